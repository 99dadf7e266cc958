//! Starting on a database that is not there, not there yet, not migrated, sealed under another key, or another's.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use symbolon::ids::{AccessKeyId, AccountId};
use symbolon::installation::{Installation, Kind};
use symbolon::seal::Seal;
use symbolon::tenants::AccessKey;
use symbolon::tenants::access_key::Secret;

use crate::broker::{ISSUER, Launch, MASTER_KEY};
use crate::client;
use crate::database::{ACCOUNT, Database, checksum, connect, count, public_dir, run};
use crate::ports::held_port;
use crate::proxy::Proxy;

pub fn url_at(port: u16) -> String {
    format!("postgres://symbolon:s3cret-of-the-database@127.0.0.1:{port}/symbolon?sslmode=disable")
}

#[tokio::test]
async fn a_database_that_does_not_come_is_waited_for_with_a_message_and_then_no_longer() {
    // One port where nobody listens, and one where a server takes connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let began = Instant::now();
    let start = async |port| Launch::serve(&url_at(port)).env("SYMBOLON__DATABASE__START_TIMEOUT", "3").run().await;
    let (_held, absent) = held_port();
    let (absent, silent) = tokio::join!(start(absent), start(silent.local_addr().unwrap().port()));
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(10), "{took:?}");
    for ended in [absent, silent] {
        ended.told(4, &["cannot connect to the database", "DATABASE_URL", "database.start_timeout"]);
        assert!(!ended.stderr.contains("s3cret-of-the-database"), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn a_database_that_comes_late_is_waited_for() {
    let (database, client) = Database::with_developer().await;
    let (_held, port) = held_port();
    let (_, path) = database.url.split_once("5432/").unwrap();
    let (name, _) = path.split_once('?').unwrap();
    let mut broker = Launch::serve(&url_at(port).replace("/symbolon?", &format!("/{name}?"))).spawn();
    broker.until("it says what it waits for", async || broker.said().contains("waiting for the database")).await;
    let _proxy = Proxy::start_at(port, &database.server).await;
    broker.find_addresses().await;
    broker.until_ready().await;
    client.create_pool(&broker.url).await;
}

#[tokio::test]
async fn an_unmigrated_database_is_refused_until_it_is_migrated() {
    let database = Database::empty().await;
    let serve = Launch::serve(&database.url);
    serve.run().await.told(5, &["lacks", "run `symbolon migrate`"]);
    let migrate = Launch::command(&["migrate", "--output", "json"]).env("DATABASE_URL", &*database.url);
    let status = migrate.clone().arg("--status").run().await;
    assert!(status.stdout.contains(r#""Applied":false"#), "{status:?}");
    let migrated = migrate.run().await;
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    assert!(!migrated.stdout.contains(r#""Applied":false"#), "{migrated:?}");
    serve.start().await.stop().await;

    // Not this binary's database any more.
    run(&database.url, "insert into _sqlx_migrations values (99991231235959, 'later', now(), true, '', 0)").await;
    serve.start().await.stop().await;
    run(&database.url, "update schema_compat set min_version = '999.0.0'").await;
    serve.run().await.told(5, &["newer release", "999.0.0", env!("CARGO_PKG_VERSION")]);
}

#[tokio::test]
async fn migrate_on_start_makes_the_schema() {
    let database = Database::empty().await;
    let serve = Launch::serve(&database.url).env("SYMBOLON__DATABASE__MIGRATE_ON_START", "true");
    // Two at once, as a deployment starts them.
    let _ = tokio::join!(serve.start(), serve.start());
    assert_eq!(count(&database.url, "select count(*) from installation").await, 1);
    assert_eq!(count(&database.url, "select count(*) from keyrings").await, 1);
    assert_eq!(count(&database.url, "select count(*) from signing_keys").await, 2);
}

#[tokio::test]
async fn a_wrong_master_key_leaves_the_broker_sealed_and_the_database_as_it_was() {
    let (database, client) = Database::with_developer().await;
    let broker = Launch::serve(&database.url).start().await;
    let pool = client.create_pool(&broker.url).await;
    client.identity(&broker.url, &pool, "alice").await;
    assert_eq!(client::get_id(&broker.url, &pool).await.status, 200);
    broker.stop().await;
    let before = checksum(&database.url).await;

    let mut sealed = Launch::serve(&database.url)
        .env("SYMBOLON_MASTER_KEY", "YW5vdGhlciBtYXN0ZXIga2V5IG9mIDMyIGJ5dGVzISE=")
        .env("SYMBOLON__KEYS__POLL_INTERVAL", "1")
        .spawn();
    sealed.find_addresses().await;
    let missing = Seal::from_text(MASTER_KEY).unwrap().primary_id();
    let until = Instant::now() + Duration::from_millis(2_500); // two polls and more
    loop {
        assert_eq!(sealed.ask("/livez").await.status, 200);
        let (status, reasons) = sealed.readiness().await;
        assert_eq!(status, 503);
        assert!(reasons.contains(&missing), "{reasons}");
        client.token(&sealed.url, &pool, "alice").await.is_internal_error();
        client.token(&sealed.url, &pool, "bob").await.is_internal_error();
        client::get_id(&sealed.url, &pool).await.is_internal_error();
        if Instant::now() > until {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let said = sealed.said();
    assert!(said.contains("nothing will be written") && said.contains(&missing), "{said}");
    sealed.stop().await;
    assert_eq!(checksum(&database.url).await, before);
}

#[tokio::test]
async fn another_issuer_than_the_databases_is_refused() {
    let database = Database::migrated().await;
    Launch::serve(&database.url).start().await.stop().await;
    let before = checksum(&database.url).await;
    let other = "https://other.example.com";
    let ended = Launch::serve(&database.url).env("SYMBOLON__ISSUER__URL", other).run().await;
    ended.told(3, &[ISSUER, other, "symbolon installation set-issuer"]);
    assert_eq!(checksum(&database.url).await, before);
}

#[tokio::test]
async fn serve_refuses_the_well_known_keys_of_dev_mode_unless_told_otherwise() {
    let (database, _) = Database::with_developer().await;
    let (account, seal) = (AccountId::parse(ACCOUNT).unwrap(), Seal::from_text(MASTER_KEY).unwrap());
    let mut conn = connect(&database.url).await;
    for key in ["test", ACCOUNT] {
        let id = AccessKeyId::parse(key).unwrap();
        assert!(AccessKey::create(&mut conn, &seal, &id, &account, &Secret::new("test")).await.unwrap());
        let ended = Launch::serve(&database.url).run().await;
        ended.told(3, &["well-known access keys", "symbolon access-key delete", "dev.allow_dev_credentials"]);
        if key == "test" {
            assert!(AccessKey::delete(&mut conn, &id).await.unwrap());
        }
    }
    let allowed = Launch::serve(&database.url).env("SYMBOLON__DEV__ALLOW_DEV_CREDENTIALS", "true");
    allowed.start().await.stop().await;
}

#[tokio::test]
async fn dev_keeps_its_hands_off_databases_that_are_not_its_own() {
    let dir = public_dir();
    let dev = |url: &str| Launch::dev(&dir.path().join("data")).arg("--database-url").arg(url);

    let of_serve = Database::migrated().await;
    Installation::find_or_create(&mut connect(&of_serve.url).await, Kind::Serve, ISSUER).await.unwrap();
    let (of_others, prepared) = (Database::empty().await, Database::with_developer().await.0);
    run(&of_others.url, "create table invoices (number int)").await;
    for (database, words) in [
        (&of_serve, "belongs to `symbolon serve`"),
        (&of_others, "not empty"),
        // Migrated and filled for a `serve` that has not started yet.
        (&prepared, "not empty"),
    ] {
        let tables = "select count(*) from pg_class where relnamespace = 'public'::regnamespace";
        let before = count(&database.url, tables).await;
        dev(&database.url).run().await.told(3, &[words, "--database-url"]);
        assert_eq!(count(&database.url, tables).await, before);
    }
    let keys = "select count(*) from access_keys";
    assert_eq!((count(&of_serve.url, keys).await, count(&prepared.url, keys).await), (0, 1));

    // An empty one becomes its own, and stays it; DATABASE_URL alone changes nothing.
    let empty = Database::empty().await;
    for _ in 0..2 {
        dev(&empty.url).env("DATABASE_URL", &*of_serve.url).start().await.stop().await;
    }
    assert_eq!(count(&empty.url, keys).await, 1);
    assert_eq!(count(&of_serve.url, keys).await, 0);
}
