//! A database of some size: a tenant with an access key and a pool, and its users, grown row by row.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnection;
use symbolon::config::{Config, Sources};
use symbolon::db::{self, Db};
use symbolon::iam::Role;
use symbolon::ids::{AccessKeyId, AccountId, PoolId, Route, new_identity_uuid};
use symbolon::policy::Policy;
use symbolon::pools::roles::Roles;
use symbolon::pools::{Pool, Settings};
use symbolon::seal::Seal;
use symbolon::tenants::access_key::Secret;
use symbolon::tenants::{AccessKey, Tenant};
use uuid::Uuid;

use crate::dice::Dice;
use crate::server::Server;

pub const PROVIDER: &str = "login.bench";
const ACCOUNT: &str = "111122223333";
const BATCH: usize = 10_000;
/// How many users, of all, the requests of a run are about.
const SAMPLE: usize = 50_000;
const GUESTS: usize = 2_000;

/// What must be known of a filled database to use it again; kept beside it.
#[derive(Clone, Serialize, Deserialize)]
struct Facts {
    migrations: String,
    master_key: String,
    access_key: String,
    restricted_key: String,
    secret: String,
    pool: String,
    bytes_per_identity: f64,
    guests: Vec<Uuid>,
}

pub struct Population {
    pub server: Server,
    pub db: Arc<Db>,
    pub pool: Pool,
    pub master_key: String,
    pub access_key: AccessKeyId,
    /// Of the same secret, with a policy.
    pub restricted_key: AccessKeyId,
    pub secret: String,
    pub size: usize,
    pub shared_buffers: &'static str,
    pub bytes_per_identity: f64,
    /// Some of its developer users, drawn at random.
    pub users: Vec<String>,
    /// The identities of some guests.
    pub guests: Vec<Uuid>,
}

impl Population {
    /// The database of `size` identities in `folder`, filled if it is not there yet.
    pub async fn open(folder: &Path, size: usize) -> Self {
        let shared_buffers = if size > 1_000_000 { "4GB" } else { "512MB" };
        let folder = folder.join(size.to_string());
        let kept = read_facts(&folder);
        if kept.is_none() && folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        fs::create_dir_all(&folder)
            .unwrap_or_else(|error| panic!("no database can be kept in {}: {error}", folder.display()));
        let server = Server::start(&folder, shared_buffers).await;
        let env = [("DATABASE_URL".to_owned(), server.url().to_owned())].into();
        let db = Db::new(&Config::read(&Sources { env, ..Sources::default() }).unwrap().database).unwrap();
        let mut conn = db.connect().await.unwrap();
        let facts = match kept {
            Some(facts) => facts,
            None => fill(&db, &mut conn, size, &folder).await,
        };
        warm(&mut conn).await;
        let account = AccountId::parse(ACCOUNT).unwrap();
        let pool = PoolId::parse(&facts.pool).unwrap();
        let pool = Pool::find(&mut conn, &account, &pool).await.unwrap().unwrap();
        let users = sample(&mut conn, size).await;
        Self {
            server,
            db: Arc::new(db),
            pool,
            master_key: facts.master_key,
            access_key: AccessKeyId::parse(&facts.access_key).unwrap(),
            restricted_key: AccessKeyId::parse(&facts.restricted_key).unwrap(),
            secret: facts.secret,
            size,
            shared_buffers,
            bytes_per_identity: facts.bytes_per_identity,
            users,
            guests: facts.guests,
        }
    }

    /// Has the next broker make signing keys anew. No broker may be running.
    pub async fn forget_signing_keys(&self) {
        let mut conn = self.db.connect().await.unwrap();
        for table in ["signing_keys", "keyrings"] {
            sqlx::query(sqlx::AssertSqlSafe(format!("delete from {table}"))).execute(&mut conn).await.unwrap();
        }
    }

    /// A setting of the server, as it is in force.
    pub async fn setting(&self, name: &str) -> String {
        let mut conn = self.db.connect().await.unwrap();
        sqlx::query_scalar("select current_setting($1)").bind(name).fetch_one(&mut conn).await.unwrap()
    }
}

fn facts_file(folder: &Path) -> PathBuf {
    folder.join("population.json")
}

/// Nothing if the database is not whole, or made by other migrations.
fn read_facts(folder: &Path) -> Option<Facts> {
    let facts: Facts = serde_json::from_slice(&fs::read(facts_file(folder)).ok()?).ok()?;
    (facts.migrations == migrations()).then_some(facts)
}

/// A digest of the migrations: with others, the database is another.
fn migrations() -> String {
    let folder = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).unwrap();
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let text: Vec<u8> = files.iter().flat_map(|file| fs::read(file).unwrap()).collect();
    hex::encode(digest(&SHA256, &text))
}

async fn fill(db: &Db, conn: &mut PgConnection, size: usize, folder: &Path) -> Facts {
    db::migrate(db).await.unwrap();
    let master_key = Seal::generate().unwrap().to_string();
    let seal = Seal::from_text(&master_key).unwrap();
    symbolon::installation::unseal(conn, &seal).await.unwrap();
    let account = AccountId::parse(ACCOUNT).unwrap();
    let access_key = AccessKeyId::parse("AKIABENCHMARK0000000").unwrap();
    let secret = Secret::generate().unwrap();
    Tenant::create(conn, &account, "bench").await.unwrap();
    AccessKey::create(conn, &seal, &access_key, &account, &secret).await.unwrap();
    let pool = make_pool(conn, &account).await;
    let restricted_key = AccessKeyId::parse("AKIABENCHMARK0000001").unwrap();
    AccessKey::create(conn, &seal, &restricted_key, &account, &secret).await.unwrap();
    AccessKey::set_policy(conn, &restricted_key, Some(&policy(&pool))).await.unwrap();
    grow(conn, &pool, size).await;
    let bytes_per_identity = bytes(conn).await / f64::from(u32::try_from(size).unwrap());
    let mut guests = Vec::new();
    for _ in 0..GUESTS {
        guests.push(new_identity_uuid(Route(pool.routes()[0])).unwrap());
    }
    sqlx::query("insert into identities (route, identity_id) select $1, unnest($2::uuid[])")
        .bind(pool.routes()[0])
        .bind(&guests)
        .execute(&mut *conn)
        .await
        .unwrap();
    for command in ["vacuum analyze", "checkpoint"] {
        sqlx::query(command).execute(&mut *conn).await.unwrap();
    }
    let facts = Facts {
        migrations: migrations(),
        master_key,
        access_key: access_key.to_string(),
        restricted_key: restricted_key.to_string(),
        secret: String::from_utf8(secret.expose().to_vec()).unwrap(),
        pool: pool.id.to_string(),
        bytes_per_identity,
        guests,
    };
    fs::write(facts_file(folder), serde_json::to_vec(&facts).unwrap()).unwrap();
    facts
}

/// What a backend that issues tokens needs: the operation, in its pool, for its provider.
fn policy(pool: &Pool) -> Policy {
    let text = serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Action": "cognito-identity:GetOpenIdTokenForDeveloperIdentity",
            "Resource": format!("arn:aws:cognito-identity:us-east-1:{ACCOUNT}:identitypool/{}", pool.id),
        }],
    });
    Policy::parse(&text.to_string()).unwrap()
}

/// A pool for developer users and guests, with a role for each kind.
async fn make_pool(conn: &mut PgConnection, account: &AccountId) -> Pool {
    let id = PoolId {
        region: symbolon::ids::Region::parse("us-east-1").unwrap(),
        uuid: symbolon::ids::new_pool_uuid().unwrap(),
    };
    let settings = Settings {
        name: "bench".into(),
        allow_unauthenticated: true,
        developer_provider: Some(PROVIDER.into()),
        ..Settings::default()
    };
    let pool = Pool::create(conn, account, &id, &settings, 10).await.unwrap();
    let mut by_kind = BTreeMap::new();
    for kind in ["authenticated", "unauthenticated"] {
        let trust_policy = serde_json::json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": {"Federated": "cognito-identity.amazonaws.com"},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {
                    "StringEquals": {"cognito-identity.amazonaws.com:aud": pool.id.to_string()},
                    "ForAnyValue:StringLike": {"cognito-identity.amazonaws.com:amr": kind},
                },
            }],
        });
        let role = Role {
            name: kind.to_owned(),
            path: "/".to_owned(),
            role_id: Role::draw_id().unwrap(),
            description: None,
            max_session_duration: 3_600,
            trust_policy: trust_policy.to_string(),
            tags: BTreeMap::new(),
            created_at: time::OffsetDateTime::UNIX_EPOCH,
        };
        role.create(conn, account, 10).await.unwrap();
        by_kind.insert(kind.to_owned(), format!("arn:aws:iam::{account}:role/{kind}"));
    }
    Roles { by_kind: Some(by_kind), mappings: None }.set(conn, &pool, 10).await.unwrap();
    pool
}

/// Inserts the users, whose names and identities are in random order, so that tables and indexes are as they grow to be
/// in use, not as a bulk load would build them.
async fn grow(conn: &mut PgConnection, pool: &Pool, size: usize) {
    for start in (0..size).step_by(BATCH) {
        let end = (start + BATCH).min(size);
        let numbers: Vec<i32> = (start..end).map(|number| i32::try_from(number).unwrap()).collect();
        let route = Route(pool.routes()[0]);
        let identities: Vec<Uuid> = numbers.iter().map(|_| new_identity_uuid(route).unwrap()).collect();
        sqlx::query(
            "with made as (insert into identities (route, identity_id) select $1, unnest($2::uuid[]))
             insert into logins (route, provider_no, identity_id, subject_key)
             select $1, 1, id, '\\x00'::bytea || convert_to(md5('bench-' || n)::uuid::text, 'UTF8')
             from unnest($2::uuid[], $3::int[]) u (id, n)",
        )
        .bind(route.0)
        .bind(&identities)
        .bind(&numbers)
        .execute(&mut *conn)
        .await
        .unwrap();
        if end.is_multiple_of(250_000) {
            eprintln!("  {end} identities of {size} are in");
        }
    }
    sqlx::query("vacuum analyze").execute(conn).await.unwrap();
}

/// What the tables of users and their indexes take up.
async fn bytes(conn: &mut PgConnection) -> f64 {
    let query = "select (pg_total_relation_size('identities') + pg_total_relation_size('logins'))::float8";
    sqlx::query_scalar(query).fetch_one(conn).await.unwrap()
}

/// Reads tables and indexes of users into the server's memory.
async fn warm(conn: &mut PgConnection) {
    let query = "select sum(pg_prewarm(c.oid::regclass)) from pg_class c where c.relkind in ('r', 'i')
                 and (c.relname like 'identities%' or c.relname like 'logins%')";
    sqlx::query("create extension if not exists pg_prewarm").execute(&mut *conn).await.unwrap();
    sqlx::query(query).execute(&mut *conn).await.unwrap();
}

/// Users drawn at random from all.
async fn sample(conn: &mut PgConnection, size: usize) -> Vec<String> {
    let mut dice = Dice::new();
    let numbers: Vec<i32> = (0..SAMPLE).map(|_| i32::try_from(dice.below(size)).unwrap()).collect();
    sqlx::query_scalar("select md5('bench-' || n)::uuid::text from unnest($1::int[]) n")
        .bind(&numbers)
        .fetch_all(conn)
        .await
        .unwrap()
}
