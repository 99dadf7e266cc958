//! Proofs of logins that are good once: each operation takes one once, and never again.
//!
//! Once for each, as the clients of AWS call `GetId` and then `GetCredentialsForIdentity` with the same logins.

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::error::{InvalidLogin, Result};
use crate::ids::{self, AccountId};
use crate::upstream::VerifiedLogin;
use crate::upstream::login::Once;

/// Rows per statement of a sweep, each statement its own transaction.
const BATCH: i64 = 1000;

/// A call of an operation that takes proofs.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Whose pool it is about.
    pub account_id: &'a AccountId,
    /// The operation.
    pub operation: &'a str,
    /// The call itself: tried again after a lost answer, it finds what it has taken.
    pub id: Uuid,
}

impl<'a> Call<'a> {
    /// A new call.
    ///
    /// # Errors
    /// If the system's random source fails.
    pub fn new(account_id: &'a AccountId, operation: &'a str) -> Result<Self> {
        Ok(Self { account_id, operation, id: uuid::Builder::from_random_bytes(ids::random()?).into_uuid() })
    }
}

/// Takes all of these logins' proofs, or none.
///
/// # Errors
/// [`InvalidLogin::Replayed`] if the operation has taken one of them before, or if the database fails.
pub async fn take(conn: &mut PgConnection, call: Call<'_>, logins: &[VerifiedLogin]) -> Result<()> {
    let mut tx = sqlx::Connection::begin(conn).await?;
    for once in logins.iter().filter_map(VerifiedLogin::once) {
        if !take_one(&mut tx, call, once).await? {
            tx.rollback().await?;
            return Err(InvalidLogin::Replayed.into());
        }
    }
    tx.commit().await?;
    Ok(())
}

async fn take_one(conn: &mut PgConnection, call: Call<'_>, once: &Once) -> Result<bool> {
    let taken = sqlx::query!(
        "insert into saml_assertions (account_id, provider, assertion, operation, call, expires_at)
         values ($1, $2, $3, $4, $5, $6) on conflict (account_id, provider, assertion, operation) do nothing",
        call.account_id.as_str(),
        once.provider,
        once.id,
        call.operation,
        call.id,
        once.expires_at
    )
    .execute(&mut *conn)
    .await?
    .rows_affected();
    if taken > 0 {
        return Ok(true);
    }
    let by = sqlx::query_scalar!(
        "select call from saml_assertions
         where account_id = $1 and provider = $2 and assertion = $3 and operation = $4",
        call.account_id.as_str(),
        once.provider,
        once.id,
        call.operation
    )
    .fetch_optional(conn)
    .await?;
    Ok(by == Some(call.id))
}

/// Forgets what has expired. An hour later, since by then no clock that may be off takes it for good any more.
///
/// # Errors
/// If the database fails. Batches done stay done.
pub async fn sweep(conn: &mut PgConnection) -> Result<u64> {
    let mut swept = 0;
    loop {
        let batch = sqlx::query!(
            "delete from saml_assertions where (account_id, provider, assertion, operation) in
               (select account_id, provider, assertion, operation from saml_assertions
                where expires_at < clock_timestamp() - interval '1 hour' order by expires_at limit $1)",
            BATCH
        )
        .execute(&mut *conn)
        .await?
        .rows_affected();
        swept += batch;
        if batch == 0 {
            return Ok(swept);
        }
    }
}
