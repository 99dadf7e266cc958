//! Lets time pass for the signing keys, by moving what is in their rows. It needs nothing of the test binary it is
//! included in.

use std::time::Duration;

use symbolon::db::Db;

/// Lets so much time pass, as far as the keys are concerned.
pub async fn pass(db: &Db, by: Duration) {
    let mut conn = db.acquire().await.unwrap();
    let statement = "update signing_keys set created_at = created_at - $1, publish_at = publish_at - $1, \
                     sign_from = sign_from - $1, sign_until = sign_until - $1, unpublish_at = unpublish_at - $1, \
                     revoked_at = revoked_at - $1";
    sqlx::query(statement).bind(by).execute(&mut *conn).await.unwrap();
}
