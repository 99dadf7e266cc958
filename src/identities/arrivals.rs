//! Users who arrive with one login: those who are known found together, and those who are new made together.
//!
//! At work there are always several; one statement for all of them costs a fraction of one each. What cannot be decided
//! so, for whatever reason, is signed in alone (`sign_in.rs`), by the same rules and with its own transaction; but where the
//! database has no more to give, nobody asks again, and all are told to come again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::identity::Located;
use super::login::{Candidate, Login, LoginKey, check_count};
use super::sign_in::{self, Change, Claim, SignedIn};
use super::tried::{Commit, Tried};
use crate::db::{self, Coalescer, Db};
use crate::error::{Error, Result};
use crate::ids;
use crate::pools::Pool;
use crate::{retry, workers};

/// How many users one statement looks up or makes.
const MOST: usize = 64;

/// A transaction that makes several users holds some while it may have to wait for another, and others wait for it. It does
/// not wait for long: that ends a deadlock well before the server looks for one (`deadlock_timeout`), and each user is made
/// alone then.
const LOCK_PATIENCE: &str = "set local lock_timeout = '50ms'; ";

/// Where users with one login wait for each other: those of one worker, as telling another costs more than it saves.
#[derive(Debug)]
pub struct Arrivals {
    lanes: Vec<Lane>,
}

#[derive(Debug, Default)]
struct Lane {
    known: Coalescer<LoginKey, Told<Option<Uuid>>>,
    new: Coalescer<Newcomer, Told<SignedIn>>,
}

/// What each of those who asked together is told.
type Told<T> = Result<T, Arc<Error>>;

/// A user who was not there a moment ago.
#[derive(Debug)]
struct Newcomer {
    candidate: Candidate,
    /// The id that the identity gets, if it is this one that is made.
    fresh: Uuid,
}

impl Arrivals {
    /// Nobody waits yet.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self { lanes: (0..workers.max(1)).map(|_| Lane::default()).collect() }
    }

    fn lane(&self) -> &Lane {
        &self.lanes[workers::number() % self.lanes.len()]
    }

    /// Asks for those who wait on this worker, for as long as it is polled. While it is not, all are signed in alone.
    pub async fn run(&self, db: &Db) {
        let Lane { known, new } = self.lane();
        tokio::join!(
            known.run(MOST, |keys| async move { told(keys.len(), find(db, &keys).await) }),
            new.run(MOST, |newcomers| async move { told(newcomers.len(), make(db, &newcomers).await) }),
        );
    }

    /// Signs in, with others where that can be.
    ///
    /// # Errors
    /// As [`sign_in::sign_in`].
    pub async fn sign_in(&self, db: &Db, pool: &Pool, claim: &Claim<'_>, login_limit: u32) -> Result<SignedIn> {
        let mut tried = Tried::default();
        match self.together(pool, claim, login_limit, &mut tried).await? {
            Some(signed_in) => Ok(signed_in),
            None => Box::pin(alone(db, pool, claim, login_limit, tried)).await,
        }
    }

    /// The claim's identity, if it is a claim to one login that is known, or that belongs to nobody and is to belong to
    /// somebody new. Nothing if it has to be signed in alone.
    async fn together(
        &self,
        pool: &Pool,
        claim: &Claim<'_>,
        login_limit: u32,
        tried: &mut Tried<SignedIn>,
    ) -> Result<Option<SignedIn>> {
        let mut candidates = claim.candidates(pool)?;
        let (Some(candidate), true) = (candidates.pop(), candidates.is_empty()) else { return Ok(None) };
        let Lane { known, new } = self.lane();
        match (known.ask(candidate.key.clone()).await.transpose()?, claim.named) {
            (Some(Some(owner)), named) => {
                // A disabled identity has no logins, so one that has this may be used.
                let is_named = named.is_none_or(|named| named.uuid == owner && named.region == pool.id.region);
                Ok(is_named.then_some(SignedIn { identity: owner, change: Change::None }))
            }
            (Some(None), None) => {
                check_count(1, login_limit)?;
                let route = candidate.key.route;
                let fresh = ids::new_identity_uuid(route)?;
                let made = SignedIn { identity: fresh, change: Change::Created };
                tried.is_committing(Commit::Made(Located { route, uuid: fresh }), made);
                Ok(new.ask(Newcomer { candidate, fresh }).await.transpose()?)
            }
            _ => Ok(None),
        }
    }
}

/// What `count` who asked together are told; nothing if each is to ask alone.
fn told<T>(count: usize, result: Result<Vec<T>>) -> Option<Vec<Told<T>>> {
    match result {
        Ok(answers) => Some(answers.into_iter().map(Ok).collect()),
        Err(error) if db::is_exhausted(&error) => {
            let error = Arc::new(error);
            Some((0..count).map(|_| Err(Arc::clone(&error))).collect())
        }
        Err(error) => {
            report(&error);
            None
        }
    }
}

/// Counts a statement that failed for all, each of whom now asks alone, and logs what is not to be expected: somebody else
/// who was faster, or takes long.
fn report(error: &Error) {
    let sqlstate = match error {
        Error::Database(sqlx::Error::Database(error)) => error.code().unwrap_or_default().into_owned(),
        _ => "io".to_owned(),
    };
    if !["23505", "55P03", "40P01"].contains(&sqlstate.as_str()) {
        tracing::warn!(%error, "users who came together are served one by one");
    }
    metrics::counter!("symbolon_db_retries_total", "sqlstate" => sqlstate).increment(1);
}

/// Signs in with a transaction of its own.
async fn alone(
    db: &Db,
    pool: &Pool,
    claim: &Claim<'_>,
    login_limit: u32,
    mut tried: Tried<SignedIn>,
) -> Result<SignedIn> {
    retry!(*db, |conn| { sign_in::sign_in(conn, pool, claim, login_limit, &mut tried).await })
}

/// The owners of the logins, in their order.
async fn find(db: &Db, keys: &[LoginKey]) -> Result<Vec<Option<Uuid>>> {
    let mut conn = db.acquire().await?;
    let found = db.in_time(async {
        match keys {
            [key] => Ok(vec![Login::owner(&mut conn, key).await?]),
            keys => Login::owners(&mut conn, keys).await,
        }
    });
    let owners = found.await?;
    conn.give_back();
    Ok(owners)
}

/// Makes the identities of all, or of none if one of them is there already. Of those who came twice, one is made.
async fn make(db: &Db, newcomers: &[Newcomer]) -> Result<Vec<SignedIn>> {
    let mut firsts = BTreeMap::new();
    for newcomer in newcomers {
        firsts.entry(&newcomer.candidate.key).or_insert(newcomer);
    }
    let mut conn = db.acquire().await?;
    db.in_time(insert(&mut conn, firsts.values().copied())).await?;
    conn.give_back();
    let signed_in = |newcomer: &Newcomer| {
        let identity = firsts.get(&newcomer.candidate.key).map_or(newcomer.fresh, |first| first.fresh);
        let change = if identity == newcomer.fresh { Change::Created } else { Change::None };
        SignedIn { identity, change }
    };
    Ok(newcomers.iter().map(signed_in).collect())
}

/// Inserts logins, in the order in which all writers insert them, and their identities.
///
/// As one message, which is one transaction (<https://www.postgresql.org/docs/current/protocol-flow.html>, "Multiple
/// Statements in a Simple Query"): begin, two prepared statements and commit would be four round trips. A message has no
/// parameters, so values are written as numbers and hexadecimal digits, of which nothing can break out.
async fn insert(conn: &mut PgConnection, newcomers: impl Iterator<Item = &Newcomer> + Clone) -> Result<()> {
    let mut sql = String::with_capacity(1_024);
    sql.push_str(LOCK_PATIENCE);
    sql.push_str("insert into logins (route, provider_no, subject_key, subject, identity_id) values ");
    list(&mut sql, newcomers.clone(), |sql, Newcomer { candidate, fresh }| {
        let LoginKey { route, provider_no, subject_key } = &candidate.key;
        let subject_key = hex::encode(subject_key);
        let _ = write!(sql, "({}, {provider_no}, decode('{subject_key}', 'hex'), ", route.0);
        let _ = match &candidate.text {
            Some(text) => write!(sql, "convert_from(decode('{}', 'hex'), 'UTF8')", hex::encode(text)),
            None => sql.write_str("null"),
        };
        let _ = write!(sql, ", '{fresh}')");
    });
    sql.push_str("; insert into identities (route, identity_id) values ");
    list(&mut sql, newcomers, |sql, Newcomer { candidate, fresh }| {
        let _ = write!(sql, "({}, '{fresh}')", candidate.key.route.0);
    });
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await?;
    Ok(())
}

/// Writes one row for each, with commas between.
fn list<'a>(sql: &mut String, newcomers: impl Iterator<Item = &'a Newcomer>, row: impl Fn(&mut String, &Newcomer)) {
    for (position, newcomer) in newcomers.enumerate() {
        if position > 0 {
            sql.push_str(", ");
        }
        row(sql, newcomer);
    }
}
