//! The database: its pool, which failures are worth another try, and the migrations.

mod connections;

use std::time::Duration;

use secrecy::ExposeSecret as _;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};

pub use self::connections::Conn;
use self::connections::Connections;
use crate::config;
use crate::error::{Error, Result};

/// At most so many tries of a whole transaction.
const MAX_TRIES: u32 = 5;

/// A transaction that takes longer has lost its server, however silently.
pub const MAX_TRY: Duration = Duration::from_secs(10);

/// The database: its address, and the connections that are kept open.
#[derive(Debug)]
pub struct Db {
    connections: Connections,
    options: PgConnectOptions,
}

impl Db {
    /// A database that is connected to when first asked.
    ///
    /// # Errors
    /// If the URL is none.
    pub fn new(config: &config::Database) -> Result<Self, sqlx::Error> {
        let options: PgConnectOptions =
            config.url.expose_secret().parse::<PgConnectOptions>()?.application_name("symbolon");
        let settings = format!(
            "set default_transaction_isolation = 'read committed'; set lock_timeout = {}; set statement_timeout = {}; \
             set idle_in_transaction_session_timeout = '30s'",
            config.lock_timeout.as_millis(),
            config.statement_timeout.as_millis()
        );
        let connections = Connections::new(options.clone(), settings, config.pool_size, config.acquire_timeout);
        Ok(Self { connections, options })
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

    /// Closes the connections kept.
    pub async fn close(&self) {
        self.connections.close().await;
    }

    /// Whether the transaction that failed with `error` is to be tried again; if so, after a jittered pause.
    pub async fn again(&self, tries: &mut Tries, conn: Conn, error: &Error) -> bool {
        let retryable = match error {
            Error::Database(error) => retryable(error),
            _ => None,
        };
        match &retryable {
            Some(state) if state.drops_connection => conn.give_up(),
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
    let silence = |_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()).into());
    tokio::time::timeout(MAX_TRY, one_try).await.unwrap_or_else(silence)
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
    drops_connection: bool,
}

/// Serialization failures, deadlocks, lock time-outs, shutdowns, full servers, a standby, and broken connections;
/// never a cancelled statement, a full disk or a violated constraint, and never a pool without a free connection.
fn retryable(error: &sqlx::Error) -> Option<Retryable> {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => {
            Some(Retryable { sqlstate: "io".to_owned(), drops_connection: true })
        }
        sqlx::Error::Database(error) => {
            let code = error.code()?;
            let (listed, drops_connection) = match code.as_ref() {
                "40001" | "40P01" | "55P03" => (true, false),
                "57P01" | "57P02" | "57P03" | "53300" | "25006" => (true, true),
                code => (code.starts_with("08"), true),
            };
            listed.then(|| Retryable { sqlstate: code.into_owned(), drops_connection })
        }
        _ => None,
    }
}

/// Whether `error` is a violated unique constraint (SQLSTATE 23505). Constraint names differ on distributed engines.
#[must_use]
pub fn is_unique_violation(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

/// What the database's schema is to this binary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schema {
    /// Just right.
    Current,
    /// Migrations are missing.
    Behind {
        /// How many.
        missing: usize,
    },
    /// A newer binary migrated it, in a way that this one still works with.
    Newer,
    /// A newer binary migrated it, and this one must not touch it any more.
    TooNew {
        /// The oldest version that may.
        min_version: String,
    },
}

/// One migration and whether it was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationState {
    /// Its number.
    pub version: i64,
    /// What it does.
    pub description: String,
    /// Whether the database has it.
    pub applied: bool,
}

fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!();
    // Not by advisory lock, which poolers and distributed engines do not keep; a row is locked instead. A newer
    // binary's migrations are not this one's business.
    migrator.set_locking(false).set_ignore_missing(true);
    migrator
}

/// The state of each migration that this binary knows.
///
/// # Errors
/// If the database fails.
pub async fn migrations(conn: &mut PgConnection) -> Result<Vec<MigrationState>> {
    let applied = applied(conn).await?;
    Ok(migrator()
        .iter()
        .map(|migration| MigrationState {
            version: migration.version,
            description: migration.description.to_string(),
            applied: applied.contains(&migration.version),
        })
        .collect())
}

/// What the schema found is to this binary.
///
/// # Errors
/// If the database fails.
pub async fn schema(conn: &mut PgConnection) -> Result<Schema> {
    let applied = applied(conn).await?;
    let migrator = migrator();
    let missing = migrator.iter().filter(|migration| !applied.contains(&migration.version)).count();
    if missing > 0 {
        return Ok(Schema::Behind { missing });
    }
    if applied.iter().all(|version| migrator.version_exists(*version)) {
        return Ok(Schema::Current);
    }
    let min_version: String =
        sqlx::query_scalar("select min_version from schema_compat where id = 1").fetch_one(conn).await?;
    let fits = version_number(&min_version) <= version_number(env!("CARGO_PKG_VERSION"));
    Ok(if fits { Schema::Newer } else { Schema::TooNew { min_version } })
}

async fn applied(conn: &mut PgConnection) -> Result<Vec<i64>> {
    let present: bool =
        sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null").fetch_one(&mut *conn).await?;
    if !present {
        return Ok(Vec::new());
    }
    Ok(sqlx::query_scalar("select version from _sqlx_migrations where success order by version")
        .fetch_all(conn)
        .await?)
}

fn version_number(text: &str) -> [u64; 3] {
    let mut parts = text.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
    [parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(0)]
}

/// Applies the missing migrations, one migrator at a time, and returns how many there were.
///
/// # Errors
/// If the database cannot be reached, or a migration fails.
pub async fn migrate(db: &Db) -> Result<usize> {
    let mut locked = db.connect().await?;
    make_lock_tables(&mut locked).await?;
    let mut lock = locked.begin().await?;
    sqlx::query("select id from migration_lock where id = 1 for update").fetch_one(&mut *lock).await?;
    let mut conn = db.connect().await?;
    let missing = migrations(&mut conn).await?.iter().filter(|migration| !migration.applied).count();
    if missing > 0 {
        migrator().run(&mut conn).await.map_err(migration_error)?;
    }
    lock.commit().await?;
    Ok(missing)
}

fn migration_error(error: sqlx::migrate::MigrateError) -> Error {
    match error {
        sqlx::migrate::MigrateError::Execute(error) | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => {
            Error::Database(error)
        }
        error => Error::internal(error),
    }
}

/// The two tables that migrating itself needs. Two migrators may make them at once: `if not exists` then still fails.
async fn make_lock_tables(conn: &mut PgConnection) -> Result<()> {
    for statement in [
        "create table if not exists migration_lock (id int2 not null, constraint migration_lock_pkey primary key (id), \
         constraint migration_lock_single_check check (id = 1))",
        "create table if not exists schema_compat (id int2 not null, min_version text not null, \
         constraint schema_compat_pkey primary key (id), constraint schema_compat_single_check check (id = 1))",
        "insert into migration_lock (id) values (1) on conflict (id) do nothing",
        "insert into schema_compat (id, min_version) values (1, '0.1.0') on conflict (id) do nothing",
    ] {
        let mut tries = Tries::default();
        loop {
            match sqlx::query(statement).execute(&mut *conn).await {
                Ok(_) => break,
                Err(error) if made_meanwhile(&error) && tries.pause().await => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

fn made_meanwhile(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("23505" | "42P07"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(version_number("0.10.0") > version_number("0.9.3"));
        assert_eq!(version_number("1.2"), [1, 2, 0]);
    }

    #[test]
    fn only_passing_failures_are_tried_again() {
        assert!(retryable(&sqlx::Error::PoolTimedOut).is_none());
        assert!(retryable(&sqlx::Error::RowNotFound).is_none());
        assert!(retryable(&sqlx::Error::Io(std::io::ErrorKind::UnexpectedEof.into())).unwrap().drops_connection);
    }
}
