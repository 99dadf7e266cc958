//! What a call was about to commit when it lost its connection: whether it is done is found out before anything is tried
//! again.
//!
//! The answer to a commit can be lost on its way. Then nobody knows whether it was done, and to do it all again would be wrong
//! where others came in between: a merge would be done twice, an unlinking refused for what it had itself taken away. So the
//! identity is asked. Whoever changes an identity's logins moves its modification date, under its lock and by a microsecond at
//! least: the date is its version.

use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{Connection as _, Transaction};
use time::OffsetDateTime;

use super::identity::{self, Identity, Located};
use crate::error::{Error, Result};

/// The commit of an earlier try, if its answer was lost, and what the call comes to if it was done.
#[derive(Debug)]
pub struct Tried<T>(Option<(Commit, T)>);

impl<T> Default for Tried<T> {
    fn default() -> Self {
        Self(None)
    }
}

/// By what a commit is known to be done.
#[derive(Clone, Copy, Debug)]
pub(super) enum Commit {
    /// The identity is there.
    Made(Located),
    /// The identity has this version, or a later one.
    Changed(Located, OffsetDateTime),
    /// The identity has this version, which is its last one.
    Disabled(Located, OffsetDateTime),
}

impl<T: Copy> Tried<T> {
    /// Before something is committed elsewhere.
    pub(super) fn is_committing(&mut self, commit: Commit, outcome: T) {
        self.0 = Some((commit, outcome));
    }

    /// Commits, and remembers what if no answer comes.
    pub(super) async fn commit(&mut self, tx: Transaction<'_, Postgres>, commit: Commit, outcome: T) -> Result<T> {
        self.is_committing(commit, outcome);
        tx.commit().await?;
        self.0 = None;
        Ok(outcome)
    }

    /// What the call comes to if an earlier try was done after all; nothing if it is still to be done.
    ///
    /// # Errors
    /// [`Error::Internal`] if it cannot be told any more, or if the database fails.
    pub(super) async fn outcome(&mut self, conn: &mut PgConnection) -> Result<Option<T>> {
        let Some((commit, outcome)) = self.0 else { return Ok(None) };
        let done = match commit {
            Commit::Made(at) => Some(Identity::find_in(conn, at.route, at.uuid).await?.is_some()),
            Commit::Changed(at, version) => {
                version_of(conn, at).await?.filter(|now| *now <= version).map(|now| now == version)
            }
            Commit::Disabled(at, version) => version_of(conn, at).await?.map(|now| now == version),
        };
        match done {
            Some(true) => Ok(Some(outcome)),
            Some(false) => {
                self.0 = None;
                Ok(None)
            }
            None => Err(Error::internal("the answer to a commit was lost, and others have changed the identity since")),
        }
    }
}

/// The identity's version, behind its lock: a commit that is still under way holds that.
async fn version_of(conn: &mut PgConnection, at: Located) -> Result<Option<OffsetDateTime>> {
    let mut tx = conn.begin().await?;
    identity::lock(&mut tx, at).await?;
    let found = Identity::find_in(&mut tx, at.route, at.uuid).await?;
    tx.rollback().await?;
    Ok(found.map(|identity| identity.modified_at))
}
