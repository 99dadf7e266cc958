//! Unlinking. The last login gone, the identity is disabled: it never turns into a guest again.

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::identity::{self, State};
use super::login::{Candidate, DeveloperUser, Login};
use super::sign_in::{MAX_RACES, locate};
use crate::error::{Error, Result};
use crate::pools::Pool;
use crate::upstream::VerifiedLogin;

/// Takes `user` from the identity, which the caller has found in the pool.
///
/// # Errors
/// [`Error::DeveloperUserNotFound`] or [`Error::NotLinkedToIdentity`], with nothing changed; or if the database fails.
pub async fn unlink(conn: &mut PgConnection, pool: &Pool, identity: Uuid, user: &DeveloperUser) -> Result<()> {
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
        if Login::of_identity(&mut tx, pool, identity).await?.is_empty() {
            identity::disable(&mut tx, at).await?;
        } else {
            identity::touch(&mut tx, at).await?;
        }
        tx.commit().await?;
        return Ok(());
    }
    Err(Error::Contended)
}

/// Who takes logins from an identity, with what was proven of them.
#[derive(Clone, Copy, Debug)]
pub struct Proof<'a> {
    /// The logins whose tokens held.
    pub logins: &'a [VerifiedLogin],
    /// Whether this call was begun before, and what became of it is not known.
    pub again: bool,
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
    proof: &Proof<'_>,
    providers: &[i16],
) -> Result<()> {
    let named = || pool.identity_id(identity).to_string();
    let proofs = proof.logins.iter().map(|login| Candidate::public(pool, login)).collect::<Result<Vec<_>>>()?;
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
        // The answer to an earlier try's commit was lost, and what is missed now is what that try took.
        let done = proof.again && !logins.iter().any(|login| providers.contains(&login.provider_no));
        return if done { Ok(()) } else { Err(refusal) };
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
    if logins.iter().all(|login| providers.contains(&login.provider_no)) {
        identity::disable(&mut tx, at).await?;
    } else {
        identity::touch(&mut tx, at).await?;
    }
    tx.commit().await?;
    Ok(())
}
