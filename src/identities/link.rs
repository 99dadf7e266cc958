//! Linking and implicit merging: all logins of a call to one identity, in one transaction, or nothing.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::aftercheck;
use super::identity::{self, Located, State};
use super::login::{self, Candidate, Login};
use super::sign_in::{Change, SignedIn, locate, owners};
use super::tried::{Commit, Tried};
use crate::error::{Error, Result};
use crate::pools::Pool;

/// What is to become one identity.
#[derive(Debug)]
pub(super) struct Join {
    /// The one that stays.
    pub(super) survivor: Uuid,
    /// Those whose logins it takes over. They are disabled.
    pub(super) absorbed: BTreeSet<Uuid>,
    /// The one among all that was a guest when this was decided.
    pub(super) guest: Option<Uuid>,
}

/// Writes `join`, decided when the candidates had these `owners`. Nothing if anything has changed since.
pub(super) async fn join(
    conn: &mut PgConnection,
    pool: &Pool,
    join: &Join,
    candidates: &[Candidate],
    owners_before: &[Option<Uuid>],
    login_limit: u32,
    tried: &mut Tried<SignedIn>,
) -> Result<Option<SignedIn>> {
    let mut involved = join.absorbed.clone();
    involved.insert(join.survivor);
    // A set of ids is in their order: so opposite merges wait for each other instead of deadlocking.
    let mut located = Vec::with_capacity(involved.len());
    for uuid in &involved {
        let Some(at) = locate(conn, pool, *uuid).await? else { return Ok(None) };
        located.push(at);
    }
    let mut tx = sqlx::Connection::begin(&mut *conn).await?;
    for at in &located {
        if identity::lock(&mut tx, *at).await? != Some(State::Enabled) {
            tx.rollback().await?;
            return Ok(None);
        }
    }
    // Others may have moved a login, or claimed the guest, while the locks were waited for.
    if owners(&mut tx, candidates).await? != owners_before {
        tx.rollback().await?;
        return Ok(None);
    }
    let mut union = Vec::new();
    for at in &located {
        let logins = Login::of_identity(&mut tx, pool, at.uuid).await?;
        if join.guest == Some(at.uuid) && !logins.is_empty() {
            tx.rollback().await?;
            return Ok(None);
        }
        union.extend(logins.into_iter().map(|login| (at.uuid, login.provider_no)));
    }
    let new: Vec<&Candidate> =
        candidates.iter().zip(owners_before).filter(|(_, owner)| owner.is_none()).map(|(new, _)| new).collect();
    let gained = union.iter().filter(|(owner, _)| *owner != join.survivor).count() + new.len();
    let numbers = union.iter().map(|(_, number)| *number).chain(new.iter().map(|candidate| candidate.key.provider_no));
    login::check_one_user_each(numbers)?;
    // Nothing gained, nothing refused: the limit may have been lowered since.
    if gained > 0 {
        login::check_count(union.len() + new.len(), login_limit)?;
    }
    // Before any login is moved: an insert can wait for a sign-in that makes an identity, and that sign-in, which has
    // locked no identity, could come to wait for a login moved.
    for candidate in &new {
        if !login::insert(&mut tx, candidate, join.survivor).await? {
            tx.rollback().await?;
            return Ok(None);
        }
    }
    let mut commit = None;
    for at in located.iter().filter(|at| at.uuid != join.survivor) {
        login::move_all(&mut tx, pool, at.uuid, join.survivor).await?;
        commit = Some(Commit::Disabled(*at, identity::disable(&mut tx, *at).await?));
    }
    let Some(survivor) = located.iter().copied().find(|at| at.uuid == join.survivor) else { return Ok(None) };
    if gained > 0 {
        let version = identity::touch(&mut tx, survivor).await?;
        commit = commit.or(Some(Commit::Changed(survivor, version)));
    }
    let change = if join.absorbed.is_empty() { Change::Linked } else { Change::Merged };
    let signed_in = SignedIn { identity: join.survivor, change };
    match commit {
        Some(commit) => drop(tried.commit(tx, commit, signed_in).await?),
        None => tx.commit().await?,
    }
    if pool.spread > 1 {
        recheck(conn, pool, join, survivor, candidates, &new).await?;
    }
    Ok(Some(signed_in))
}

/// What a pool in several routes needs after COMMIT (`aftercheck.rs`).
async fn recheck(
    conn: &mut PgConnection,
    pool: &Pool,
    join: &Join,
    survivor: Located,
    candidates: &[Candidate],
    new: &[&Candidate],
) -> Result<()> {
    let Some(anchor) = candidates.first() else { return Ok(()) };
    for absorbed in &join.absorbed {
        aftercheck::after_merge(conn, pool, *absorbed, survivor, &anchor.key).await?;
    }
    for candidate in new {
        match aftercheck::after_link(conn, pool, survivor, &candidate.key).await? {
            None => return Err(Error::IdentityNotFound(pool.identity_id(survivor.uuid).to_string())),
            Some(State::Disabled) => return Err(Error::IdentityForbidden(pool.identity_id(survivor.uuid).to_string())),
            Some(State::Enabled) => {}
        }
    }
    Ok(())
}
