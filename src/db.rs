//! The database: its pool, which failures are worth another try, and the migrations.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret as _;
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, Postgres};

use crate::config;
use crate::error::{Error, Result};

/// A connection that was idle for longer is asked whether it lives before it is used.
const TEST_AFTER_IDLE: Duration = Duration::from_secs(5);

/// At most so many tries of a whole transaction.
const MAX_TRIES: u32 = 5;

/// The pool of connections, and when one of them was last found broken.
#[derive(Debug)]
pub struct Db {
    pool: PgPool,
    options: PgConnectOptions,
    broken_at: std::sync::Arc<Mutex<Option<Instant>>>,
}

impl Db {
    /// A pool that connects when first asked.
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
        let broken_at = std::sync::Arc::new(Mutex::new(None));
        let seen = std::sync::Arc::clone(&broken_at);
        let pool = PgPoolOptions::new()
            .max_connections(config.pool_size)
            .acquire_timeout(config.acquire_timeout)
            .acquire_slow_threshold(config.acquire_timeout)
            .test_before_acquire(false)
            .after_connect(move |conn, _| {
                let settings = settings.clone();
                Box::pin(async move {
                    sqlx::raw_sql(sqlx::AssertSqlSafe(settings)).execute(conn).await?;
                    Ok(())
                })
            })
            .before_acquire(move |conn, meta| {
                // After one connection broke, those as old as it are likely to be dead too.
                let suspect = lock(&seen).is_some_and(|broken: Instant| broken.elapsed() <= meta.age);
                Box::pin(async move {
                    if suspect || meta.idle_for > TEST_AFTER_IDLE {
                        conn.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options.clone());
        Ok(Self { pool, options, broken_at })
    }

    /// The pool's connections, as (in use, idle).
    #[must_use]
    pub fn connections(&self) -> (u32, u32) {
        let idle = u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX);
        (self.pool.size().saturating_sub(idle), idle)
    }

    /// A connection of the pool.
    ///
    /// # Errors
    /// If none is free, or can be made, within `database.acquire_timeout`.
    pub async fn acquire(&self) -> Result<PoolConnection<Postgres>> {
        Ok(self.pool.acquire().await?)
    }

    /// A connection outside the pool, without its time limits: for migrations and for waiting at start.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        self.options.connect().await
    }

    /// Closes the pool once its connections are back.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Whether the transaction that failed with `error` is to be tried again; if so, after a jittered pause.
    pub async fn again(&self, tries: &mut Tries, mut conn: PoolConnection<Postgres>, error: &Error) -> bool {
        let Error::Database(error) = error else { return false };
        let Some(state) = retryable(error) else { return false };
        if state.drops_connection {
            lock(&self.broken_at).replace(Instant::now());
            conn.close_on_drop();
        }
        drop(conn);
        metrics::counter!("symbolon_db_retries_total", "sqlstate" => state.sqlstate).increment(1);
        tries.pause().await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
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
            let mut pooled = match db.acquire().await {
                Ok(pooled) => pooled,
                Err(error) => break Err(error),
            };
            let result: $crate::error::Result<_> = {
                let $conn: &mut sqlx::postgres::PgConnection = &mut pooled;
                async { $body }.await
            };
            match result {
                Err(error) if db.again(&mut tries, pooled, &error).await => {}
                result => break result,
            }
        }
    }};
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
    // First, since a newer binary's migrations may have replaced those that this one knows.
    if let Some(min_version) = min_version(conn).await?
        && version_number(&min_version) > version_number(env!("CARGO_PKG_VERSION"))
    {
        return Ok(Schema::TooNew { min_version });
    }
    let applied = applied(conn).await?;
    let migrator = migrator();
    let missing = migrator.iter().filter(|migration| !applied.contains(&migration.version)).count();
    if missing > 0 {
        return Ok(Schema::Behind { missing });
    }
    let known = applied.iter().all(|version| migrator.version_exists(*version));
    Ok(if known { Schema::Current } else { Schema::Newer })
}

async fn min_version(conn: &mut PgConnection) -> Result<Option<String>> {
    let present: bool =
        sqlx::query_scalar("select to_regclass('schema_compat') is not null").fetch_one(&mut *conn).await?;
    if !present {
        return Ok(None);
    }
    Ok(sqlx::query_scalar("select min_version from schema_compat where id = 1").fetch_optional(conn).await?)
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

/// Found out by the unique index, by the table, or by the type that comes with a table.
fn made_meanwhile(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("23505" | "42P07" | "42710"))
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
