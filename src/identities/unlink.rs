//! Unlinking. The last login gone, the identity is disabled: it never turns into a guest again.

use sqlx::Transaction;
use sqlx::postgres::{PgConnection, Postgres};
use uuid::Uuid;

use super::identity::{self, Located, State};
use super::login::{Candidate, DeveloperUser, Login};
use super::sign_in::{MAX_RACES, locate};
use super::tried::{Commit, Tried};
use crate::error::{Error, Result};
use crate::pools::Pool;
use crate::upstream::VerifiedLogin;

/// Takes `user` from the identity, which the caller has found in the pool.
///
/// # Errors
/// [`Error::DeveloperUserNotFound`] or [`Error::NotLinkedToIdentity`], with nothing changed; or if the database fails.
pub async fn unlink(
    conn: &mut PgConnection,
    pool: &Pool,
    identity: Uuid,
    user: &DeveloperUser,
    tried: &mut Tried<()>,
) -> Result<()> {
    if tried.outcome(conn).await?.is_some() {
        return Ok(());
    }
    let key = user.key(pool);
    for _ in 0..MAX_RACES {
        match Login::owner(conn, &key).await? {
            None => return Err(Error::DeveloperUserNotFound),
            Some(owner) if owner != identity => return Err(Error::NotLinkedToIdentity),
            Some(_) => {}
        }
        let Some(at) = locate(conn, pool, identity).await? else { continue };
        let mut tx = sqlx::Connection::begin(&mut *conn).await?;
        if identity::lock(&mut tx, at).await?.is_none() {
            tx.rollback().await?;
            continue;
        }
        // By owner too: a merge that came between look-up and lock has moved the login, and it is not ours to take.
        let deleted = sqlx::query!(
            "delete from logins where route = $1 and provider_no = $2 and subject_key = $3 and identity_id = $4",
            key.route.0,
            key.provider_no,
            key.subject_key,
            identity
        )
        .execute(&mut *tx)
        .await?
        .rows_affected();
        if deleted == 0 {
            tx.rollback().await?;
            continue;
        }
        let is_last = Login::of_identity(&mut tx, pool, identity).await?.is_empty();
        return end(tx, at, is_last, tried).await;
    }
    Err(Error::Contended)
}

/// Ends a change that took logins away, the last one perhaps.
async fn end(mut tx: Transaction<'_, Postgres>, at: Located, is_last: bool, tried: &mut Tried<()>) -> Result<()> {
    let commit = if is_last {
        Commit::Disabled(at, identity::disable(&mut tx, at).await?)
    } else {
        Commit::Changed(at, identity::touch(&mut tx, at).await?)
    };
    tried.commit(tx, commit, ()).await
}

/// Takes the logins of the providers numbered so from an identity, if one of the logins proven is a login of it.
/// Those that it does not have are not missed.
///
/// # Errors
/// [`Error::IdentityNotFound`], [`Error::IdentityForbidden`] or [`Error::LoginsDontMatch`], with nothing changed; or if
/// the database fails.
pub async fn unlink_providers(
    conn: &mut PgConnection,
    pool: &Pool,
    identity: Uuid,
    proven: &[VerifiedLogin],
    providers: &[i16],
    tried: &mut Tried<()>,
) -> Result<()> {
    if tried.outcome(conn).await?.is_some() {
        return Ok(());
    }
    let named = || pool.identity_id(identity).to_string();
    let proofs = proven.iter().map(|login| Candidate::public(pool, login)).collect::<Result<Vec<_>>>()?;
    let at = locate(conn, pool, identity).await?.ok_or_else(|| Error::IdentityNotFound(named()))?;
    let mut tx = sqlx::Connection::begin(&mut *conn).await?;
    let state = identity::lock(&mut tx, at).await?;
    // Behind the lock, by which nobody else moves them.
    let logins = Login::of_identity(&mut tx, pool, identity).await?;
    let is_proof = |login: &Login| proofs.iter().any(|proof| proof.is(login));
    let refusal = match state {
        None => Some(Error::IdentityNotFound(named())),
        Some(State::Disabled) => Some(Error::IdentityForbidden(named())),
        Some(State::Enabled) if logins.is_empty() => Some(Error::LoginsDontMatch),
        Some(State::Enabled) if logins.iter().any(is_proof) => None,
        Some(State::Enabled) => Some(Error::LoginsDontMatch),
    };
    if let Some(refusal) = refusal {
        tx.rollback().await?;
        return Err(refusal);
    }
    let deleted = sqlx::query!(
        "delete from logins where route = any($1) and identity_id = $2 and provider_no = any($3)",
        &pool.routes(),
        identity,
        providers
    )
    .execute(&mut *tx)
    .await?
    .rows_affected();
    if deleted == 0 {
        tx.rollback().await?;
        return Ok(());
    }
    end(tx, at, logins.iter().all(|login| providers.contains(&login.provider_no)), tried).await
}
