//! Databases for brokers: on one throw-away server that concurrent tests share, or on one of a test's own.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use symbolon::cli::dev_postgres::{Options, Postgres};
use symbolon::db::{self, Db};
use symbolon::ids::{AccessKeyId, AccountId};
use symbolon::seal::Seal;
use symbolon::tenants::AccessKey;
use symbolon::tenants::access_key::Secret;
use symbolon::tenants::tenant::Tenant;
use tempfile::TempDir;

use crate::broker::MASTER_KEY;
use crate::client::Client;

/// The tenant of every access key here.
pub const ACCOUNT: &str = "123456789012";

/// What databases with the schema are copied from.
const MIGRATED: &str = "migrated";

/// The server that tests share while any of them runs; the last one to let go stops it.
fn shared() -> Arc<Postgres> {
    static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return server;
    }
    // On a runtime of its own, since the first test's ends with that test.
    let start = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Postgres::start(Options::ephemeral()).await.unwrap();
            run(&server.url(), &format!("create database {MIGRATED} template template0")).await;
            migrate(&url_of(&server, MIGRATED)).await;
            server
        })
    };
    let server = Arc::new(std::thread::spawn(start).join().unwrap());
    *shared = Arc::downgrade(&server);
    server
}

/// A database on the shared server.
pub struct Database {
    pub url: String,
    pub server: Arc<Postgres>,
}

impl Database {
    /// Without a schema.
    pub async fn empty() -> Self {
        Self::like("template0", "").await
    }

    /// With the schema, and nothing else.
    pub async fn migrated() -> Self {
        // Its files are copied, which is a fraction of the work of making them.
        Self::like(MIGRATED, "strategy file_copy").await
    }

    async fn like(template: &str, how: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let server = tokio::task::spawn_blocking(shared).await.unwrap();
        let name = format!("process_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        run(&server.url(), &format!("create database {name} template {template} {how}")).await;
        Self { url: url_of(&server, &name), server }
    }

    /// With the schema and a developer.
    pub async fn with_developer() -> (Self, Client) {
        let made = Self::migrated().await;
        let client = add_developer(&made.url, "AKIADEVELOPERNUMBER1").await;
        (made, client)
    }
}

fn url_of(server: &Postgres, database: &str) -> String {
    server.url().replace("/symbolon?", &format!("/{database}?"))
}

/// A durable server of a test's own, which may be killed and restarted.
pub struct Durable {
    pub postgres: Postgres,
    _dir: Option<TempDir>,
}

impl Durable {
    pub async fn start() -> Self {
        let dir = public_dir();
        let started = Self::start_in(dir.path()).await;
        Self { _dir: Some(dir), ..started }
    }

    /// The same in a folder that somebody else removes.
    pub async fn start_in(dir: &Path) -> Self {
        let options = Options { state_dir: dir.join("state"), ..Options::folder(dir.join("data")) };
        let postgres = Postgres::start(options).await.unwrap();
        migrate(&postgres.url()).await;
        Self { postgres, _dir: None }
    }
}

/// A folder that every user may enter.
pub fn public_dir() -> TempDir {
    public_dir_in("/tmp")
}

/// The same in another place than usual.
pub fn public_dir_in(parent: &str) -> TempDir {
    let dir = tempfile::Builder::new().prefix("symbolon-test-").tempdir_in(parent).unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

/// The absolute name of what lies in a folder, without links.
pub fn inside(dir: &TempDir, name: &str) -> PathBuf {
    dir.path().canonicalize().unwrap().join(name)
}

pub async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

/// Runs statements.
pub async fn run(url: &str, statements: &str) {
    let mut conn = connect(url).await;
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

/// The one number that a query gives.
pub async fn count(url: &str, query: &'static str) -> i64 {
    let mut conn = connect(url).await;
    sqlx::query_scalar(query).fetch_one(&mut conn).await.unwrap()
}

/// What a broker has: connections of its own.
pub fn open(url: &str) -> Db {
    Db::new(&symbolon::config::Database {
        url: url.into(),
        pool_size: 2,
        coalesce: true,
        acquire_timeout: Duration::from_secs(20),
        lock_timeout: Duration::from_secs(5),
        statement_timeout: Duration::from_secs(20),
        start_timeout: Duration::from_secs(10),
        migrate_on_start: false,
    })
    .unwrap()
}

pub async fn migrate(url: &str) {
    let db = open(url);
    db::migrate(&db).await.unwrap();
    db.close().await;
}

/// Adds a tenant, if it is not there, and an access key of it, as `symbolon access-key create` does.
pub async fn add_developer(url: &str, key: &str) -> Client {
    add_developer_of(ACCOUNT, url, key).await
}

/// The same for another tenant.
pub async fn add_developer_of(account: &str, url: &str, key: &str) -> Client {
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    let (account, id) = (AccountId::parse(account).unwrap(), AccessKeyId::parse(key).unwrap());
    let mut conn = connect(url).await;
    let seal = Seal::from_text(MASTER_KEY).unwrap();
    let mut tx = conn.begin().await.unwrap();
    symbolon::installation::unseal(&mut tx, &seal).await.unwrap();
    Tenant::create(&mut tx, &account, "a tenant").await.unwrap();
    assert!(AccessKey::create(&mut tx, &seal, &id, &account, &Secret::new(SECRET)).await.unwrap());
    tx.commit().await.unwrap();
    Client::new(key, SECRET)
}

/// Developer users with the unique part of their identities, as the rows have them.
pub async fn users(url: &str) -> HashMap<String, String> {
    let mut conn = connect(url).await;
    let rows =
        sqlx::query("select convert_from(substr(subject_key, 2), 'UTF8') as name, identity_id::text as id from logins")
            .fetch_all(&mut conn)
            .await
            .unwrap();
    let count = rows.len();
    let users: HashMap<String, String> = rows.iter().map(|row| (row.get("name"), row.get("id"))).collect();
    assert_eq!(users.len(), count, "a user is registered twice");
    users
}

/// Logins without their identity, and identities without a login.
pub async fn orphans(url: &str) -> (i64, i64) {
    let logins = count(
        url,
        "select count(*) from logins l left join identities i using (route, identity_id) where i.identity_id is null",
    );
    let identities = count(
        url,
        "select count(*) from identities i left join logins l using (route, identity_id) where l.identity_id is null",
    );
    (logins.await, identities.await)
}

/// A digest of every row of every table.
pub async fn checksum(url: &str) -> String {
    let mut conn = connect(url).await;
    let tables: Vec<String> = sqlx::query_scalar(
        "select relname::text from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace order by 1",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    assert!(tables.len() > 8, "{tables:?}");
    let mut sums = String::new();
    for table in tables {
        let query = format!("select coalesce(md5(string_agg(t::text, '|' order by t::text)), '') from {table} t");
        let sum: String = sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&mut conn).await.unwrap();
        writeln!(sums, "{table} {sum}").unwrap();
    }
    sums
}
