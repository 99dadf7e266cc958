//! Re-checks after COMMIT, for pools that lie in several routes only.
//!
//! A distributed engine has no snapshot of the whole cluster: a transaction that touched two routes is seen, and lets go
//! of its locks, one route after the other. So whoever waited for a lock in one route may still not see what was written
//! in another, and a login can be left on an identity that is gone or disabled. A pool in one route needs none of this.

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::identity::{self, Identity, Located, State};
use super::login::{Login, LoginKey};
use super::sign_in::{MAX_RACES, locate};
use crate::error::{Error, Result};
use crate::pools::Pool;

/// After `key` was linked to an identity: takes the login away again if the identity was gone or disabled by then.
/// Returns what the identity is, unless somebody else has taken care of the login since.
///
/// # Errors
/// If the database fails.
pub async fn after_link(
    conn: &mut PgConnection,
    pool: &Pool,
    linked: Located,
    key: &LoginKey,
) -> Result<Option<State>> {
    let state = Identity::find(conn, pool, linked.uuid).await?.map(|identity| identity.state);
    if state == Some(State::Enabled) {
        return Ok(state);
    }
    let deleted = sqlx::query!(
        "delete from logins where route = $1 and provider_no = $2 and subject_key = $3 and identity_id = $4",
        key.route.0,
        key.provider_no,
        key.subject_key,
        linked.uuid
    )
    .execute(conn)
    .await?
    .rows_affected();
    // Moved or deleted by whoever merged or deleted the identity: they came after the link.
    Ok(if deleted == 0 { Some(State::Enabled) } else { state })
}

/// After `from` was merged into `into`, the identity of the user `destination`: moves what is left of its logins after
/// the others, to where that user is now. If nobody is left to have them they are deleted: their users are new again.
///
/// # Errors
/// [`Error::Contended`], or if the database fails.
pub async fn after_merge(
    conn: &mut PgConnection,
    pool: &Pool,
    from: Uuid,
    into: Located,
    destination: &LoginKey,
) -> Result<()> {
    for _ in 0..MAX_RACES {
        if Login::of_identity(conn, pool, from).await?.is_empty() {
            return Ok(());
        }
        let heir = match Login::owner(conn, destination).await? {
            // A further merge has carried the user on.
            Some(owner) if owner != into.uuid => match locate(conn, pool, owner).await? {
                Some(heir) => heir,
                None => continue,
            },
            _ => into,
        };
        let mut tx = sqlx::Connection::begin(&mut *conn).await?;
        let state = identity::lock(&mut tx, heir).await?;
        if Login::owner(&mut tx, destination).await?.is_some_and(|owner| owner != heir.uuid) {
            tx.rollback().await?;
            continue;
        }
        if state == Some(State::Enabled) {
            move_leftovers(&mut tx, pool, from, heir).await?;
        } else {
            delete_leftovers(&mut tx, pool, from).await?;
        }
        tx.commit().await?;
        return Ok(());
    }
    Err(Error::Contended)
}

/// After an identity was deleted: deletes what is left of its logins. Its id never comes back.
///
/// # Errors
/// If the database fails.
pub async fn after_delete(conn: &mut PgConnection, pool: &Pool, gone: Uuid) -> Result<()> {
    delete_leftovers(conn, pool, gone).await
}

/// The heir, which is locked, keeps its own user of a public provider. That it may come to hold more logins than the
/// limit is the lesser evil: a login lost is a user lost.
async fn move_leftovers(conn: &mut PgConnection, pool: &Pool, from: Uuid, heir: Located) -> Result<()> {
    sqlx::query!(
        "delete from logins where route = any($1) and identity_id = $2 and provider_no > 1 and provider_no in
           (select provider_no from logins where route = any($1) and identity_id = $3)",
        &pool.routes(),
        from,
        heir.uuid
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "update logins set identity_id = $3 where route = any($1) and identity_id = $2",
        &pool.routes(),
        from,
        heir.uuid
    )
    .execute(&mut *conn)
    .await?;
    identity::touch(conn, heir).await?;
    Ok(())
}

async fn delete_leftovers(conn: &mut PgConnection, pool: &Pool, of: Uuid) -> Result<()> {
    sqlx::query!("delete from logins where route = any($1) and identity_id = $2", &pool.routes(), of)
        .execute(conn)
        .await?;
    Ok(())
}
