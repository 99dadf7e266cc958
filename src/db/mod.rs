//! The database: how it is asked, which failures are worth another try, and its migrations.

mod coalescer;
mod connections;
mod migration;

use std::time::Duration;

use secrecy::ExposeSecret as _;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

pub use self::coalescer::Coalescer;
pub use self::connections::Conn;
use self::connections::Connections;
pub use self::migration::{MigrationState, Schema, migrate, migrations, schema};
use crate::config;
use crate::error::{Error, Result};

/// At most so many tries of a whole transaction.
const MAX_TRIES: u32 = 5;

/// A transaction that takes longer has lost its server, however silently.
pub const MAX_TRY: Duration = Duration::from_secs(10);

/// How long after its time a statement that is not even cancelled is waited for: a server that lives cancels it at once.
const CANCELLED_WITHIN: Duration = Duration::from_millis(500);

/// The database: its address, and the connections that are kept open.
#[derive(Debug)]
pub struct Db {
    connections: Connections,
    options: PgConnectOptions,
    statement_timeout: Duration,
}

impl Db {
    /// A database that is connected to when first asked.
    ///
    /// # Errors
    /// If the URL is none.
    pub fn new(config: &config::Database) -> Result<Self, sqlx::Error> {
        // No statement in a log, however slow: one may hold the names of users.
        let options: PgConnectOptions = config
            .url
            .expose_secret()
            .parse::<PgConnectOptions>()?
            .application_name("symbolon")
            .disable_statement_logging();
        let settings = format!(
            "set default_transaction_isolation = 'read committed'; set lock_timeout = {}; set statement_timeout = {}; \
             set idle_in_transaction_session_timeout = '30s'",
            config.lock_timeout.as_millis(),
            config.statement_timeout.as_millis()
        );
        let connections = Connections::new(options.clone(), settings, config.pool_size, config.acquire_timeout);
        Ok(Self { connections, options, statement_timeout: config.statement_timeout })
    }

    /// The connections kept, as (in use, idle).
    #[must_use]
    pub fn connections(&self) -> (u32, u32) {
        self.connections.count()
    }

    /// One of the connections kept.
    ///
    /// # Errors
    /// If none is free, or can be made, within `database.acquire_timeout`.
    pub async fn acquire(&self) -> Result<Conn> {
        Ok(self.connections.acquire().await?)
    }

    /// A connection beside those kept, without their time limits: for migrations and for waiting at start.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        self.options.connect().await
    }

    /// One statement, or message, ended as a broken connection's is when the server does not even cancel it in time.
    ///
    /// # Errors
    /// As the statement.
    pub async fn in_time<T>(&self, statement: impl Future<Output = Result<T>>) -> Result<T> {
        let limit = MAX_TRY.min(self.statement_timeout + CANCELLED_WITHIN);
        tokio::time::timeout(limit, statement).await.unwrap_or_else(|_| Err(silence()))
    }

    /// Closes the connections kept.
    pub async fn close(&self) {
        self.connections.close().await;
    }

    /// Whether the transaction that failed with `error` is to be tried again; if so, after a jittered pause.
    pub async fn again(&self, tries: &mut Tries, conn: Conn, error: &Error) -> bool {
        let retryable = match error {
            Error::Database(error) => retryable(error),
            // After a pause there are fewer to race with.
            Error::Contended => Some(Retryable { sqlstate: "contended".to_owned(), connection: Fate::Kept }),
            Error::Standby => Some(Retryable { sqlstate: "25006".to_owned(), connection: Fate::Misled }),
            _ => None,
        };
        match &retryable {
            Some(Retryable { connection: Fate::GivenUp, .. }) => conn.give_up(),
            Some(Retryable { connection: Fate::Misled, .. }) => conn.give_up_all(),
            // A refusal of ours, which leaves at most a transaction to roll back.
            _ if !matches!(error, Error::Database(_)) => conn.give_back(),
            _ => drop(conn),
        }
        let Some(state) = retryable else { return false };
        metrics::counter!("symbolon_db_retries_total", "sqlstate" => state.sqlstate).increment(1);
        tries.pause().await
    }
}

/// Runs a block against a connection of the pool, again as a whole while its failure is a passing one.
///
/// `retry!(app.db, |conn| { … })` is a `Result`; `conn` is a `&mut PgConnection`, and `?` leaves the block.
#[macro_export]
macro_rules! retry {
    ($db:expr, |$conn:ident| $body:block) => {{
        let db: &$crate::db::Db = &$db;
        let mut tries = $crate::db::Tries::default();
        loop {
            let mut held = match db.acquire().await {
                Ok(held) => held,
                Err(error) => break Err(error),
            };
            let result: $crate::error::Result<_> = {
                let $conn: &mut sqlx::postgres::PgConnection = &mut held;
                $crate::db::bounded(async { $body }).await
            };
            match result {
                Ok(value) => {
                    held.give_back();
                    break Ok(value);
                }
                Err(error) if db.again(&mut tries, held, &error).await => {}
                Err(error) => break Err(error),
            }
        }
    }};
}

/// One try of a transaction, ended as a broken connection's is when the server says nothing for too long.
///
/// # Errors
/// As the try.
pub async fn bounded<T>(one_try: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(MAX_TRY, one_try).await.unwrap_or_else(|_| Err(silence()))
}

fn silence() -> Error {
    sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()).into()
}

/// How often a transaction has been tried.
#[derive(Debug, Default)]
pub struct Tries(u32);

impl Tries {
    /// Waits before the next try, at random up to a bound that doubles (full jitter); false if there is none left.
    pub async fn pause(&mut self) -> bool {
        self.0 += 1;
        if self.0 >= MAX_TRIES {
            return false;
        }
        let bound = 20_u64 << self.0;
        let random = crate::ids::random::<2>().map_or(0, u16::from_be_bytes);
        tokio::time::sleep(Duration::from_millis(bound * u64::from(random) / u64::from(u16::MAX))).await;
        true
    }
}

struct Retryable {
    sqlstate: String,
    connection: Fate,
}

/// What becomes of the connection on which something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Kept,
    GivenUp,
    /// It leads to the wrong server.
    Misled,
}

/// Serialization failures, deadlocks, lock time-outs, shutdowns, full servers, a standby, and broken connections;
/// never a cancelled statement, a full disk or a violated constraint, and never a pool without a free connection.
fn retryable(error: &sqlx::Error) -> Option<Retryable> {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => {
            Some(Retryable { sqlstate: "io".to_owned(), connection: Fate::GivenUp })
        }
        sqlx::Error::Database(error) => {
            let code = error.code()?;
            let connection = match code.as_ref() {
                "40001" | "40P01" | "55P03" => Fate::Kept,
                "57P01" | "57P02" | "57P03" | "53300" => Fate::GivenUp,
                "25006" => Fate::Misled,
                code if code.starts_with("08") => Fate::GivenUp,
                _ => return None,
            };
            Some(Retryable { sqlstate: code.into_owned(), connection })
        }
        _ => None,
    }
}

/// Whether the database has no more to give: no connection free, a statement cancelled for its time, a full disk. Another
/// statement would not fare better, and would make it worse for all.
#[must_use]
pub fn is_exhausted(error: &Error) -> bool {
    match error {
        Error::Database(sqlx::Error::PoolTimedOut) => true,
        Error::Database(sqlx::Error::Database(error)) => matches!(error.code().as_deref(), Some("57014" | "53100")),
        _ => false,
    }
}

/// Refuses a server that takes no writes: what a standby says may be out of date for however long.
///
/// # Errors
/// [`Error::Standby`]; or if the database fails.
pub async fn insist_on_primary(conn: &mut PgConnection) -> Result<()> {
    let read_only: String = sqlx::query_scalar("show transaction_read_only").fetch_one(conn).await?;
    if read_only == "off" { Ok(()) } else { Err(Error::Standby) }
}

/// Whether `error` is a violated unique constraint (SQLSTATE 23505). Constraint names differ on distributed engines.
#[must_use]
pub fn is_unique_violation(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_passing_failures_are_tried_again() {
        assert!(retryable(&sqlx::Error::PoolTimedOut).is_none());
        assert!(retryable(&sqlx::Error::RowNotFound).is_none());
        let broken = retryable(&sqlx::Error::Io(std::io::ErrorKind::UnexpectedEof.into())).unwrap();
        assert_eq!(broken.connection, Fate::GivenUp);
    }
}
