//! A private Postgres for the whole test process, a fresh migrated database for each test, and what tests say often.

use std::os::unix::process::CommandExt as _;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use secrecy::SecretString;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _};
use symbolon::cli::dev_postgres::{Options, Postgres};
use symbolon::config;
use symbolon::db::{self, Conn, Db};
use symbolon::identities::sign_in::{self, Change, Claim, SignedIn};
use symbolon::identities::{DeveloperUser, Identity, Tried};
use symbolon::ids::{self, AccountId, IdentityId, PoolId, Region};
use symbolon::installation::{Installation, Kind};
use symbolon::pools::Pool;
use symbolon::pools::Settings;
use symbolon::seal::Seal;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use uuid::Uuid;

pub use crate::tenancy::questions::DEVELOPER;
pub const ISSUER: &str = "https://tokens.example.com";
/// The limit on linked logins that the defaults set.
pub const LOGINS: u32 = 20;

const TEMPLATE: &str = "migrated";

/// The server of this process. Statics are never dropped, so a shell ends it and deletes its folder: the shell reads
/// from a pipe that only this process holds, and so is told of its end, however that comes.
struct Server {
    postgres: Postgres,
    _until_we_end: ChildStdin,
}

/// Kills none but the server that the folder itself names.
const CLEAN_UP: &str = r#"
    cat
    pid="$1/postmaster.pid"
    tries=0
    while [ -s "$pid" ] && [ $tries -lt 100 ]; do
        kill -QUIT "$(head -n 1 "$pid")"
        sleep 0.1
        tries=$((tries + 1))
    done
    rm -rf -- "$2"
    rmdir -- "$3"
"#;

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    // On a thread and a runtime of its own, since the test that happens to come first ends with its own runtime.
    SERVER.get_or_init(|| std::thread::spawn(|| runtime().block_on(start())).join().unwrap())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn start() -> Server {
    let postgres = Postgres::start(Options::ephemeral()).await.unwrap();
    let cluster = postgres.cluster_dir();
    let mut clean_up = Command::new("sh");
    clean_up.args(["-c", CLEAN_UP, "sh"]).args([cluster, cluster.parent().unwrap(), postgres.socket_dir()]);
    clean_up.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    clean_up.process_group(0); // Ctrl-C is for us, not for it
    let until_we_end = clean_up.spawn().unwrap().stdin.take().unwrap();
    let server = Server { postgres, _until_we_end: until_we_end };
    run_sql(&server, &format!("create database {TEMPLATE} template template0 lc_collate 'C' lc_ctype 'C'")).await;
    let db = open(&server, TEMPLATE, 1);
    db::migrate(&db).await.unwrap();
    db.close().await;
    server
}

/// A statement that belongs to no database.
async fn run_sql(server: &Server, statement: &str) {
    let mut conn = PgConnection::connect_with(&server.postgres.connect_options()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

fn open(server: &Server, database: &str, pool_size: u32) -> Db {
    let url = server.postgres.url().replace("/symbolon?", &format!("/{database}?"));
    Db::new(&config::Database {
        url: SecretString::from(url),
        pool_size,
        coalesce: true,
        acquire_timeout: Duration::from_secs(20),
        lock_timeout: Duration::from_secs(5),
        statement_timeout: Duration::from_secs(10),
        start_timeout: Duration::from_secs(10),
        migrate_on_start: false,
    })
    .unwrap()
}

/// A database of one test, dropped at its end.
pub struct TestDb {
    pub db: Db,
    name: String,
}

/// A migrated database with nothing in it but the installation.
pub async fn fresh_db() -> TestDb {
    busy_db(4).await
}

/// The same for tests that need so many connections at once.
pub async fn busy_db(connections: u32) -> TestDb {
    let made = database(TEMPLATE, "strategy file_copy", connections).await;
    Installation::find_or_create(&mut *made.conn().await, Kind::Serve, ISSUER).await.unwrap();
    made
}

/// A database without a schema.
pub async fn empty_db() -> TestDb {
    database("template0", "", 4).await
}

async fn database(template: &str, how: &str, pool_size: u32) -> TestDb {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    run_sql(server(), &format!("create database {name} template {template} {how}")).await;
    TestDb { db: open(server(), &name, pool_size), name }
}

impl TestDb {
    /// A connection of the pool.
    pub async fn conn(&self) -> Conn {
        self.db.acquire().await.unwrap()
    }

    /// More connections to this database: those of another process, as it were.
    pub fn another_pool(&self) -> Db {
        open(server(), &self.name, 4)
    }

    /// Whether the server takes new connections to this database.
    pub async fn admit_connections(&self, admitted: bool) {
        run_sql(server(), &format!("alter database {} allow_connections {admitted}", self.name)).await;
    }

    /// How to connect to this database, past the pool.
    pub fn options(&self) -> PgConnectOptions {
        server().postgres.connect_options().database(&self.name)
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let drop = format!("drop database {} with (force)", self.name);
        let dropped = std::thread::spawn(move || runtime().block_on(run_sql(server(), &drop))).join();
        assert!(dropped.is_ok() || std::thread::panicking(), "{} cannot be dropped", self.name);
    }
}

impl std::ops::Deref for TestDb {
    type Target = Db;

    fn deref(&self) -> &Db {
        &self.db
    }
}

/// That of [`seal`].
pub const MASTER_KEY: &str = "c3ltYm9sb24gdGVzdCBtYXN0ZXIga2V5IG51bWJlcjE=";

/// A ring of one master key, the same in every test.
pub fn seal() -> Seal {
    Seal::from_text(MASTER_KEY).unwrap()
}

pub fn region() -> Region {
    Region::parse("us-east-1").unwrap()
}

pub fn account(number: u64) -> AccountId {
    AccountId::parse(&format!("{number:012}")).unwrap()
}

/// Until so many sessions of this database wait for a lock.
pub async fn await_waiting(conn: &mut PgConnection, sessions: i64) {
    let waiting =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    for _ in 0..2_000 {
        if sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut *conn).await.unwrap() >= sessions {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("fewer than {sessions} sessions wait for a lock");
}

/// A fresh database in which [`seal`] is in use.
pub async fn unsealed_db() -> TestDb {
    let db = fresh_db().await;
    symbolon::installation::unseal(&mut *db.conn().await, &seal()).await.unwrap();
    db
}

/// A tenant of this number.
pub async fn tenant(conn: &mut PgConnection, number: u64) -> AccountId {
    let id = account(number);
    assert!(symbolon::tenants::Tenant::create(conn, &id, "a tenant").await.unwrap());
    id
}

pub fn settings() -> Settings {
    Settings { name: "pool".into(), developer_provider: Some(DEVELOPER.into()), ..Settings::default() }
}

pub fn new_pool_id() -> PoolId {
    PoolId { region: region(), uuid: ids::new_pool_uuid().unwrap() }
}

/// A pool with a developer provider, of the tenant 1, who is made if missing.
pub async fn pool(conn: &mut PgConnection) -> Pool {
    let owner = account(1);
    symbolon::tenants::Tenant::create(conn, &owner, "a tenant").await.unwrap();
    Pool::create(conn, &owner, &new_pool_id(), &settings(), 1000).await.unwrap()
}

/// The same, its identities spread over many routes.
pub async fn wide_pool(conn: &mut PgConnection) -> Pool {
    let pool = pool(conn).await;
    sqlx::query("update identity_pools set spread = 64 where pool_no = $1")
        .bind(pool.no)
        .execute(&mut *conn)
        .await
        .unwrap();
    Pool::find(conn, &pool.account_id, &pool.id).await.unwrap().unwrap()
}

/// A pool in one route and one in many: what holds for sign-in holds for both.
pub async fn both_pools(conn: &mut PgConnection) -> [Pool; 2] {
    [pool(conn).await, wide_pool(conn).await]
}

pub fn user(name: &str) -> DeveloperUser {
    DeveloperUser::parse(name.to_owned()).unwrap()
}

pub fn id_of(pool: &Pool, uuid: Uuid) -> IdentityId {
    IdentityId { region: pool.id.region.clone(), uuid }
}

/// Signs a developer user in, as a backend does.
pub async fn sign_in(
    conn: &mut PgConnection,
    pool: &Pool,
    named: Option<&IdentityId>,
    user: &DeveloperUser,
) -> symbolon::error::Result<SignedIn> {
    let claim = Claim { named, developer: Some(user), ..Claim::default() };
    sign_in::sign_in(conn, pool, &claim, LOGINS, &mut Tried::default()).await
}

/// [`symbolon::identities::merge::merge`], tried once.
pub async fn merge(
    conn: &mut PgConnection,
    pool: &Pool,
    source: &DeveloperUser,
    destination: &DeveloperUser,
    login_limit: u32,
) -> symbolon::error::Result<Uuid> {
    symbolon::identities::merge::merge(conn, pool, source, destination, login_limit, &mut Tried::default()).await
}

/// [`symbolon::identities::unlink::unlink`], tried once.
pub async fn unlink(
    conn: &mut PgConnection,
    pool: &Pool,
    identity: Uuid,
    user: &DeveloperUser,
) -> symbolon::error::Result<()> {
    symbolon::identities::unlink::unlink(conn, pool, identity, user, &mut Tried::default()).await
}

/// The identity of a user whom nobody knew.
pub async fn new_user(conn: &mut PgConnection, pool: &Pool, name: &str) -> Uuid {
    let SignedIn { identity, change } = sign_in(conn, pool, None, &user(name)).await.unwrap();
    assert_eq!(change, Change::Created, "{name} was known");
    identity
}

/// Links a user to a guest.
pub async fn link(conn: &mut PgConnection, pool: &Pool, guest: Uuid, name: &str) {
    let linked = sign_in(conn, pool, Some(&id_of(pool, guest)), &user(name)).await.unwrap();
    assert_eq!(linked, SignedIn { identity: guest, change: Change::Linked });
}

/// The identity that a user belongs to.
pub async fn owner(conn: &mut PgConnection, pool: &Pool, name: &str) -> Option<Uuid> {
    symbolon::identities::Login::owner(conn, &user(name).key(pool)).await.unwrap()
}

pub async fn identity(conn: &mut PgConnection, pool: &Pool, uuid: Uuid) -> Identity {
    Identity::find(conn, pool, uuid).await.unwrap().unwrap()
}

/// Gives an identity one more developer user, as a merge would have done.
pub async fn extra_login(conn: &mut PgConnection, pool: &Pool, name: &str, of: Uuid) {
    let key = user(name).key(pool);
    let insert = "insert into logins (route, provider_no, identity_id, subject_key) values ($1, $2, $3, $4)";
    let query = sqlx::query(insert).bind(key.route.0).bind(key.provider_no).bind(of).bind(key.subject_key);
    query.execute(conn).await.unwrap();
}

/// Gives an identity a user of a public provider: what upstream sign-in will do.
pub async fn public_login(conn: &mut PgConnection, pool: &Pool, provider: i16, user: &str, of: Uuid) {
    try_public_login(conn, pool.routes()[0], provider, user, of).await.unwrap();
}

pub async fn try_public_login(
    conn: &mut PgConnection,
    route: i32,
    provider: i16,
    user: &str,
    of: Uuid,
) -> Result<(), sqlx::Error> {
    let insert = "insert into logins (route, provider_no, identity_id, subject_key) values ($1, $2, $3, $4)";
    let key = [&[1], user.as_bytes()].concat();
    sqlx::query(insert).bind(route).bind(provider).bind(of).bind(key).execute(conn).await.map(drop)
}

pub async fn count(conn: &mut PgConnection, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(conn).await.unwrap()
}

/// The rows of these tables, to see whether anything changed.
pub async fn dump(conn: &mut PgConnection, tables: &[&str]) -> Vec<String> {
    let mut rows = Vec::new();
    for table in tables {
        let query = AssertSqlSafe(format!("select t::text from {table} as t order by 1"));
        rows.extend(sqlx::query_scalar::<_, String>(query).fetch_all(&mut *conn).await.unwrap());
    }
    rows
}

/// The identities and their logins, to see whether anything changed.
pub async fn people(conn: &mut PgConnection) -> Vec<String> {
    dump(conn, &["identities", "logins", "identity_routes"]).await
}

pub async fn epoch(conn: &mut PgConnection) -> i64 {
    count(conn, "select epoch from installation").await
}

/// What holds at every moment: no login of an identity that is gone or disabled, at most one user of a public provider.
pub async fn assert_sound(conn: &mut PgConnection) {
    let dead = "select count(*) from logins l left join identities i
                  on i.identity_id = l.identity_id and i.route / 1024 = l.route / 1024 and i.state = 1
                where i.identity_id is null";
    assert_eq!(count(conn, dead).await, 0, "logins of dead identities");
    let second = "select count(*) from (select from logins where provider_no > 1
                  group by identity_id, provider_no having count(*) > 1) as more";
    assert_eq!(count(conn, second).await, 0, "two users of one public provider");
}

/// Runs all at the same moment, each on a task of its own, and returns what they returned in their order.
pub async fn together<T: Send + 'static, F: Future<Output = T> + Send + 'static>(work: Vec<F>) -> Vec<T> {
    let start = Arc::new(Barrier::new(work.len()));
    let mut tasks = JoinSet::new();
    for (number, work) in work.into_iter().enumerate() {
        let start = Arc::clone(&start);
        tasks.spawn(async move {
            start.wait().await;
            (number, work.await)
        });
    }
    let mut done = tasks.join_all().await;
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Asserts that something was refused for this reason.
macro_rules! assert_refused {
    ($result:expr, $reason:pat) => {
        match $result {
            Err($reason) => {}
            other => panic!("not refused with {}: {other:?}", stringify!($reason)),
        }
    };
}
pub(crate) use assert_refused;
