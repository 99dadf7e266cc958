//! Merging of two developer users' identities: the destination's takes every login, the source's is disabled.

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::aftercheck;
use super::identity::{self, State};
use super::login::{self, DeveloperUser, Login};
use super::sign_in::{MAX_RACES, locate};
use super::tried::{Commit, Tried};
use crate::error::{Error, Result};
use crate::pools::Pool;

/// Merges the identity of `source` into that of `destination`, whose id is returned. Done already if they are one.
///
/// # Errors
/// [`Error::DeveloperUserNotFound`], [`Error::SecondUserOfProvider`] or [`Error::TooManyLogins`], with nothing
/// changed; or if the database fails.
pub async fn merge(
    conn: &mut PgConnection,
    pool: &Pool,
    source: &DeveloperUser,
    destination: &DeveloperUser,
    login_limit: u32,
    tried: &mut Tried<Uuid>,
) -> Result<Uuid> {
    if let Some(done) = tried.outcome(conn).await? {
        return Ok(done);
    }
    let (source, destination) = (source.key(pool), destination.key(pool));
    for _ in 0..MAX_RACES {
        let (Some(from), Some(into)) = (Login::owner(conn, &source).await?, Login::owner(conn, &destination).await?)
        else {
            return Err(Error::DeveloperUserNotFound);
        };
        if from == into {
            return Ok(into);
        }
        let (Some(from), Some(into)) = (locate(conn, pool, from).await?, locate(conn, pool, into).await?) else {
            continue;
        };
        let mut tx = sqlx::Connection::begin(&mut *conn).await?;
        // In the order of their ids, so that opposite merges wait for each other instead of deadlocking.
        let (first, second) = if from.uuid < into.uuid { (from, into) } else { (into, from) };
        let states = (identity::lock(&mut tx, first).await?, identity::lock(&mut tx, second).await?);
        // Another merge or unlink may have moved either user while the locks were waited for.
        let unchanged = states == (Some(State::Enabled), Some(State::Enabled))
            && Login::owner(&mut tx, &source).await? == Some(from.uuid)
            && Login::owner(&mut tx, &destination).await? == Some(into.uuid);
        if !unchanged {
            tx.rollback().await?;
            continue;
        }
        let mut union = Login::of_identity(&mut tx, pool, from.uuid).await?;
        union.extend(Login::of_identity(&mut tx, pool, into.uuid).await?);
        login::check_one_user_each(union.iter().map(|login| login.provider_no))?;
        login::check_count(union.len(), login_limit)?;
        login::move_all(&mut tx, pool, from.uuid, into.uuid).await?;
        identity::touch(&mut tx, into).await?;
        let version = identity::disable(&mut tx, from).await?;
        tried.commit(tx, Commit::Disabled(from, version), into.uuid).await?;
        if pool.spread > 1 {
            aftercheck::after_merge(conn, pool, from.uuid, into, &destination).await?;
        }
        return Ok(into.uuid);
    }
    Err(Error::Contended)
}
