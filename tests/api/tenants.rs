//! Tenants and access keys; what is sealed; and that every write to a small table is told to the other replicas.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use symbolon::config;
use symbolon::error::{Error, Result};
use symbolon::ids::AccessKeyId;
use symbolon::installation::{self, Installation, Kind, SealState};
use symbolon::keys::control;
use symbolon::policy::{Context, Decision, Policy, Question};
use symbolon::pools::Pool;
use symbolon::pools::Settings;
use symbolon::seal::Seal;
use symbolon::tenants::access_key::{Secret, generate_id};
use symbolon::tenants::tenant::Status;
use symbolon::tenants::{AccessKey, Tenant};

use crate::harness::*;

/// A policy that allows this action.
fn policy(action: &str) -> Policy {
    let statement = serde_json::json!({"Effect": "Allow", "Action": action, "Resource": "*"});
    Policy::parse(&serde_json::json!({ "Statement": statement }).to_string()).unwrap()
}

fn key(text: &str) -> AccessKeyId {
    AccessKeyId::parse(text).unwrap()
}

#[tokio::test]
async fn a_tenant_is_made_once() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    assert!(Tenant::create(&mut conn, &account(2), "second").await.unwrap());
    assert!(!Tenant::create(&mut conn, &account(2), "again").await.unwrap());
    assert!(Tenant::create(&mut conn, &account(1), "first").await.unwrap());
    assert!(Tenant::rename(&mut conn, &account(1), "renamed").await.unwrap());
    assert!(!Tenant::rename(&mut conn, &account(3), "nobody").await.unwrap());
    let names: Vec<_> = Tenant::list(&mut conn).await.unwrap().into_iter().map(|tenant| tenant.name).collect();
    assert_eq!(names, ["renamed", "second"]);
    let found = Tenant::find(&mut conn, &account(2)).await.unwrap().unwrap();
    assert_eq!((found.status, found.account_id), (Status::Enabled, account(2)));
    assert!(Tenant::find(&mut conn, &account(3)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_disabled_tenant_has_no_usable_key_and_no_public_pool() {
    let db = unsealed_db().await;
    let mut conn = db.conn().await;
    let pool = pool(&mut conn).await;
    AccessKey::create(&mut conn, &seal(), &key("AKIA"), &pool.account_id, &Secret::new("secret")).await.unwrap();
    assert!(AccessKey::usable(&mut conn, &seal(), &key("AKIA")).await.unwrap().is_some());
    for (status, usable) in [(Status::Disabled, false), (Status::Enabled, true)] {
        assert!(Tenant::set_status(&mut conn, &pool.account_id, status).await.unwrap());
        assert_eq!(AccessKey::usable(&mut conn, &seal(), &key("AKIA")).await.unwrap().is_some(), usable);
        assert_eq!(Pool::find_public(&mut conn, &pool.id).await.unwrap().is_some(), usable);
    }
    assert!(!Tenant::set_status(&mut conn, &account(9), Status::Disabled).await.unwrap());
}

#[tokio::test]
async fn a_disabled_or_deleted_key_is_not_usable() {
    let db = unsealed_db().await;
    let mut conn = db.conn().await;
    let owner = tenant(&mut conn, 1).await;
    AccessKey::create(&mut conn, &seal(), &key("AKIA"), &owner, &Secret::new("secret")).await.unwrap();
    let found = AccessKey::usable(&mut conn, &seal(), &key("AKIA")).await.unwrap().unwrap();
    assert_eq!((found.account_id, found.secret.expose()), (owner.clone(), &b"secret"[..]));
    assert!(AccessKey::set_status(&mut conn, &key("AKIA"), Status::Disabled).await.unwrap());
    assert!(AccessKey::usable(&mut conn, &seal(), &key("AKIA")).await.unwrap().is_none());
    assert_eq!(AccessKey::list(&mut conn, Some(&owner)).await.unwrap()[0].status, Status::Disabled);
    assert!(AccessKey::set_status(&mut conn, &key("AKIA"), Status::Enabled).await.unwrap());
    assert!(AccessKey::usable(&mut conn, &seal(), &key("AKIA")).await.unwrap().is_some());
    assert!(AccessKey::delete(&mut conn, &key("AKIA")).await.unwrap());
    assert!(!AccessKey::delete(&mut conn, &key("AKIA")).await.unwrap());
    assert!(!AccessKey::set_status(&mut conn, &key("AKIA"), Status::Enabled).await.unwrap());
    assert!(AccessKey::usable(&mut conn, &seal(), &key("AKIA")).await.unwrap().is_none());
}

#[tokio::test]
async fn a_usable_key_comes_with_its_policy() {
    let db = unsealed_db().await;
    let mut conn = db.conn().await;
    let owner = tenant(&mut conn, 1).await;
    AccessKey::create(&mut conn, &seal(), &key("AKIA"), &owner, &Secret::new("secret")).await.unwrap();
    AccessKey::create(&mut conn, &seal(), &key("AKIB"), &owner, &Secret::new("secret")).await.unwrap();
    assert!(AccessKey::usable(&mut conn, &seal(), &key("AKIA")).await.unwrap().unwrap().policy.is_none());
    assert!(AccessKey::find(&mut conn, &key("AKIA")).await.unwrap().unwrap().policy.is_none());

    assert!(AccessKey::set_policy(&mut conn, &key("AKIA"), Some(&policy("a:Get*"))).await.unwrap());
    let found = AccessKey::usable(&mut conn, &seal(), &key("AKIA")).await.unwrap().unwrap().policy.unwrap();
    let context = Context::new();
    for (action, expected) in [("a:GetIt", Decision::Allowed), ("a:PutIt", Decision::NotAllowed)] {
        assert_eq!(found.decide(&Question { action, resource: "*", context: &context }), expected);
    }
    let listed = AccessKey::list(&mut conn, None).await.unwrap();
    assert_eq!(listed.iter().map(|key| key.policy.is_some()).collect::<Vec<_>>(), [true, false]);

    assert!(AccessKey::set_policy(&mut conn, &key("AKIA"), None).await.unwrap());
    assert!(AccessKey::usable(&mut conn, &seal(), &key("AKIA")).await.unwrap().unwrap().policy.is_none());
    assert!(!AccessKey::set_policy(&mut conn, &key("AKIC"), None).await.unwrap());
    assert!(AccessKey::find(&mut conn, &key("AKIC")).await.unwrap().is_none());
}

#[tokio::test]
async fn a_stored_policy_that_cannot_be_read_allows_nothing() {
    let db = unsealed_db().await;
    let mut conn = db.conn().await;
    let owner = tenant(&mut conn, 1).await;
    AccessKey::create(&mut conn, &seal(), &key("AKIA"), &owner, &Secret::new("secret")).await.unwrap();
    for stored in [
        "null",
        "{}",
        "\"*\"",
        r#"{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", "Until": "2030"}}"#,
        r#"{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}, "Version": "2031-10-17"}"#,
    ] {
        sqlx::query("update access_keys set policy = $1::jsonb").bind(stored).execute(&mut *conn).await.unwrap();
        let found = AccessKey::usable(&mut conn, &seal(), &key("AKIA")).await.unwrap().unwrap().policy.unwrap();
        let decided = found.decide(&Question { action: "a:GetIt", resource: "*", context: &Context::new() });
        assert_eq!(decided, Decision::NotAllowed, "{stored}");
    }
}

#[tokio::test]
async fn a_policy_near_its_limit_is_stored_and_read_again() {
    let db = unsealed_db().await;
    let mut conn = db.conn().await;
    let owner = tenant(&mut conn, 1).await;
    AccessKey::create(&mut conn, &seal(), &key("AKIA"), &owner, &Secret::new("secret")).await.unwrap();
    let document = |actions: usize| {
        let actions: Vec<String> = (0..actions).map(|number| format!("a:G{number}x")).collect();
        let statement = serde_json::json!({"Effect": "Allow", "Action": actions, "Resource": "*"});
        serde_json::json!({ "Statement": [statement] }).to_string()
    };
    let most = (1..2000).take_while(|actions| Policy::parse(&document(*actions)).is_ok()).last().unwrap();
    let text = document(most);
    assert!(text.len() > 6100, "{}", text.len());
    let policy = Policy::parse(&text).unwrap();
    AccessKey::set_policy(&mut conn, &key("AKIA"), Some(&policy)).await.unwrap();
    let found = AccessKey::usable(&mut conn, &seal(), &key("AKIA")).await.unwrap().unwrap().policy.unwrap();
    let last = format!("a:G{}x", most - 1);
    let decided = found.decide(&Question { action: &last, resource: "*", context: &Context::new() });
    assert_eq!(decided, Decision::Allowed);
}

#[tokio::test]
async fn a_key_id_belongs_to_whoever_had_it_first() {
    let db = unsealed_db().await;
    let mut conn = db.conn().await;
    let (first, second) = (tenant(&mut conn, 1).await, tenant(&mut conn, 2).await);
    assert!(AccessKey::create(&mut conn, &seal(), &key("AKIA"), &first, &Secret::new("one")).await.unwrap());
    assert!(!AccessKey::create(&mut conn, &seal(), &key("AKIA"), &second, &Secret::new("two")).await.unwrap());
    assert!(!AccessKey::set_secret(&mut conn, &seal(), &key("AKIA"), &second, &Secret::new("two")).await.unwrap());
    let found = AccessKey::usable(&mut conn, &seal(), &key("AKIA")).await.unwrap().unwrap();
    assert_eq!((found.account_id, found.secret.expose()), (first.clone(), &b"one"[..]));
    assert!(AccessKey::set_secret(&mut conn, &seal(), &key("AKIA"), &first, &Secret::new("three")).await.unwrap());
    let found = AccessKey::usable(&mut conn, &seal(), &key("AKIA")).await.unwrap().unwrap();
    assert_eq!(found.secret.expose(), b"three");
    let unknown = AccessKey::create(&mut conn, &seal(), &key("AKIB"), &account(3), &Secret::new("x")).await;
    assert_refused!(unknown, Error::Database(_));
    assert_eq!(AccessKey::list(&mut conn, None).await.unwrap().len(), 1);
    assert_eq!(AccessKey::list(&mut conn, Some(&second)).await.unwrap().len(), 0);
}

#[tokio::test]
async fn the_row_of_a_key_holds_no_secret_and_opens_in_its_place_only() {
    let db = unsealed_db().await;
    let mut conn = db.conn().await;
    let owner = tenant(&mut conn, 1).await;
    let (id, secret) = (generate_id().unwrap(), Secret::generate().unwrap());
    assert_eq!((id.as_str().len(), secret.expose().len()), (20, 40));
    AccessKey::create(&mut conn, &seal(), &id, &owner, &secret).await.unwrap();
    let sealed: Vec<u8> =
        sqlx::query_scalar("select secret_sealed from access_keys").fetch_one(&mut *conn).await.unwrap();
    assert!(!sealed.windows(8).any(|part| secret.expose().windows(8).any(|of_it| of_it == part)));
    let text = dump(&mut conn, &["access_keys"]).await.concat();
    let secret_text = String::from_utf8(secret.expose().to_vec()).unwrap();
    assert!(!text.contains(&secret_text) && !text.contains(&hex::encode(secret.expose())));

    AccessKey::create(&mut conn, &seal(), &key("AKIA"), &owner, &Secret::new("other")).await.unwrap();
    sqlx::query("update access_keys set secret_sealed = $1 where access_key_id = 'AKIA'")
        .bind(sealed)
        .execute(&mut *conn)
        .await
        .unwrap();
    assert_refused!(AccessKey::usable(&mut conn, &seal(), &key("AKIA")).await, Error::Internal(_));
    let another = Seal::from_text(&Seal::generate().unwrap()).unwrap();
    assert_refused!(AccessKey::usable(&mut conn, &another, &id).await, Error::Sealed(_));
}

#[tokio::test]
async fn resealing_moves_every_secret_to_the_first_master_key() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let owner = tenant(&mut conn, 1).await;
    let (old, new) = (Seal::generate().unwrap(), Seal::generate().unwrap());
    let before = Seal::from_text(&old).unwrap();
    installation::unseal(&mut conn, &before).await.unwrap();
    for name in ["AKIA", "AKIB"] {
        AccessKey::create(&mut conn, &before, &key(name), &owner, &Secret::new(name)).await.unwrap();
    }
    let both = Seal::from_text(&format!("{}\n{}", *new, *old)).unwrap();
    installation::unseal(&mut conn, &both).await.unwrap();
    assert_eq!(AccessKey::reseal(&mut conn, &both).await.unwrap(), 2);
    assert_eq!(AccessKey::reseal(&mut conn, &both).await.unwrap(), 0);
    let after = Seal::from_text(&new).unwrap();
    for name in ["AKIA", "AKIB"] {
        let found = AccessKey::usable(&mut conn, &after, &key(name)).await.unwrap().unwrap();
        assert_eq!(found.secret.expose(), name.as_bytes());
    }
}

/// A database whose old master key gives way to a newer one; the ring of both, the newer one first, and of the old one alone.
async fn changing_master_keys() -> (TestDb, Seal, Seal) {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let (old, new) = (Seal::generate().unwrap(), Seal::generate().unwrap());
    let stale = Seal::from_text(&old).unwrap();
    let ring = Seal::from_text(&format!("{}\n{}", *new, *old)).unwrap();
    for seal in [&stale, &ring] {
        assert_eq!(installation::unseal(&mut conn, seal).await.unwrap(), SealState::Unsealed);
    }
    drop(conn);
    (db, ring, stale)
}

#[tokio::test]
async fn a_master_key_stays_in_use_while_a_secret_is_written_that_it_has_sealed() {
    let (db, ring, stale) = changing_master_keys().await;
    let (mut writer, mut remover, mut watcher) = (db.conn().await, db.conn().await, db.conn().await);
    let owner = tenant(&mut watcher, 1).await;
    // Holds the writer up at its last step but one.
    let mut held = db.conn().await;
    let mut held = held.begin().await.unwrap();
    sqlx::query("lock table access_keys in share mode").execute(&mut *held).await.unwrap();
    let written = tokio::spawn(async move {
        AccessKey::create(&mut writer, &stale, &key("AKIA"), &owner, &Secret::new("secret")).await.unwrap()
    });
    await_waiting(&mut watcher, 1).await;
    let removed = tokio::spawn(async move {
        let mut tx = remover.begin().await.unwrap();
        let removed = installation::forget_unused_seal_keys(&mut tx, &ring).await.unwrap();
        tx.commit().await.unwrap();
        removed
    });
    await_waiting(&mut watcher, 2).await;
    held.commit().await.unwrap();
    assert!(written.await.unwrap());
    assert_eq!(removed.await.unwrap(), [""; 0], "the old master key is needed still");
}

#[tokio::test]
async fn nothing_is_sealed_under_a_master_key_that_was_taken_out_of_use() {
    let (db, ring, stale) = changing_master_keys().await;
    let mut conn = db.conn().await;
    let owner = tenant(&mut conn, 1).await;
    AccessKey::create(&mut conn, &ring, &key("AKIA"), &owner, &Secret::new("first")).await.unwrap();
    assert_eq!(installation::forget_unused_seal_keys(&mut conn, &ring).await.unwrap(), [stale.primary_id()]);
    let before = dump(&mut conn, &["access_keys", "installation"]).await;
    let secret = Secret::new("second");
    for refused in [
        AccessKey::create(&mut conn, &stale, &key("AKIB"), &owner, &secret).await,
        AccessKey::set_secret(&mut conn, &stale, &key("AKIA"), &owner, &secret).await,
    ] {
        assert!(matches!(refused, Err(Error::Refused(why)) if why.contains(&stale.primary_id())));
    }
    assert_eq!(dump(&mut conn, &["access_keys", "installation"]).await, before);
}

#[tokio::test]
async fn a_ring_without_the_right_key_is_sealed_and_writes_nothing() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    assert_eq!(installation::unseal(&mut conn, &seal()).await.unwrap(), SealState::Unsealed);
    assert_eq!(installation::unseal(&mut conn, &seal()).await.unwrap(), SealState::Unsealed);
    let before = dump(&mut conn, &["seal_keys"]).await;
    assert_eq!(before.len(), 1);
    let other = Seal::from_text(&Seal::generate().unwrap()).unwrap();
    let sealed = SealState::Sealed(vec![seal().primary_id()]);
    assert_eq!(installation::unseal(&mut conn, &other).await.unwrap(), sealed);
    assert_eq!(installation::seal_state(&mut conn, &other).await.unwrap(), sealed);
    assert_eq!(dump(&mut conn, &["seal_keys"]).await, before);
}

#[tokio::test]
async fn the_first_start_decides_what_the_installation_is() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let found = Installation::find_or_create(&mut conn, Kind::Dev, "http://other").await.unwrap();
    assert_eq!((found.kind, found.issuer.as_str()), (Kind::Serve, ISSUER));
    let keys = config::Config::read(&config::Sources::default()).unwrap().keys;
    control::set_issuer(&mut conn, "https://new.example.com", &keys).await.unwrap();
    let changed = Installation::find(&mut conn).await.unwrap().unwrap();
    assert_eq!((changed.issuer.as_str(), changed.epoch), ("https://new.example.com", found.epoch + 1));
    assert!(sqlx::query("insert into installation values (2, 'dev', 'x')").execute(&mut *conn).await.is_err());
}

/// That of [`seal`] behind so many newer ones.
fn ring_of_master_keys(newer: u8) -> Seal {
    let newer = (1..=newer).rev().map(|byte| STANDARD.encode([byte; 32]) + "\n");
    Seal::from_text(&(newer.collect::<String>() + MASTER_KEY)).unwrap()
}

/// Each write to a small table, by number, on the tenant 1, its key `AKIA` and its pool, where a newer master key is in use.
async fn small_write(number: u32, conn: &mut PgConnection, pool: &Pool) -> Option<Result<()>> {
    let owner = account(1);
    let secret = Secret::new("secret");
    let done = match number {
        0 => Tenant::create(conn, &account(2), "new").await.map(drop),
        1 => Tenant::rename(conn, &owner, "new").await.map(drop),
        2 => Tenant::set_status(conn, &owner, Status::Disabled).await.map(drop),
        3 => AccessKey::create(conn, &seal(), &key("AKIB"), &owner, &secret).await.map(drop),
        4 => AccessKey::set_secret(conn, &seal(), &key("AKIA"), &owner, &secret).await.map(drop),
        5 => AccessKey::set_status(conn, &key("AKIA"), Status::Disabled).await.map(drop),
        6 => AccessKey::reseal(conn, &ring_of_master_keys(1)).await.map(drop),
        7 => installation::unseal(conn, &ring_of_master_keys(2)).await.map(drop),
        8 => Pool::create(conn, &owner, &new_pool_id(), &settings(), 10).await.map(drop),
        9 => {
            let change = |old: Settings| Ok(Settings { name: "new".into(), ..old });
            pool.clone().update(conn, change).await.map(drop)
        }
        10 => AccessKey::set_policy(conn, &key("AKIA"), Some(&policy("*"))).await.map(drop),
        11 => AccessKey::delete(conn, &key("AKIA")).await.map(drop),
        12 => pool.clone().delete(conn).await,
        _ => return None,
    };
    Some(done)
}

const SMALL_TABLES: [&str; 5] = ["tenants", "access_keys", "identity_pools", "pool_providers", "seal_keys"];

#[tokio::test]
async fn every_write_to_a_small_table_moves_the_epoch() {
    let db = unsealed_db().await;
    let mut conn = db.conn().await;
    let pool = pool(&mut conn).await;
    AccessKey::create(&mut conn, &seal(), &key("AKIA"), &pool.account_id, &Secret::new("x")).await.unwrap();
    installation::unseal(&mut conn, &ring_of_master_keys(1)).await.unwrap();
    for number in 0.. {
        let (before, rows) = (epoch(&mut conn).await, dump(&mut conn, &SMALL_TABLES).await);
        let Some(done) = small_write(number, &mut conn, &pool).await else { break };
        done.unwrap();
        assert_ne!(dump(&mut conn, &SMALL_TABLES).await, rows, "write {number} wrote nothing");
        assert!(epoch(&mut conn).await > before, "write {number} told nobody");
    }
}

#[tokio::test]
async fn a_write_that_cannot_be_told_is_not_made() {
    let db = unsealed_db().await;
    let mut conn = db.conn().await;
    let pool = pool(&mut conn).await;
    AccessKey::create(&mut conn, &seal(), &key("AKIA"), &pool.account_id, &Secret::new("x")).await.unwrap();
    installation::unseal(&mut conn, &ring_of_master_keys(1)).await.unwrap();
    let trigger = "create function refuse() returns trigger language plpgsql as 'begin raise exception ''no''; end';
                   create trigger refuse before update on installation execute function refuse()";
    sqlx::raw_sql(trigger).execute(&mut *conn).await.unwrap();
    let before = dump(&mut conn, &SMALL_TABLES).await;
    for number in 0.. {
        let Some(done) = small_write(number, &mut conn, &pool).await else { break };
        assert!(done.is_err(), "write {number} was made");
        assert_eq!(dump(&mut conn, &SMALL_TABLES).await, before, "write {number} left something");
    }
}

#[tokio::test]
async fn the_use_of_a_key_is_recorded_without_an_epoch_and_never_moves_back() {
    let db = unsealed_db().await;
    let mut conn = db.conn().await;
    let owner = tenant(&mut conn, 1).await;
    AccessKey::create(&mut conn, &seal(), &key("AKIA"), &owner, &Secret::new("x")).await.unwrap();
    let before = epoch(&mut conn).await;
    let at = |second| time::OffsetDateTime::from_unix_timestamp(second).unwrap();
    for (used, last) in [(2_000, 2_000), (1_000, 2_000), (3_000, 3_000)] {
        AccessKey::record_use(&mut conn, &[(key("AKIA"), at(used)), (key("GONE"), at(used))]).await.unwrap();
        let found = AccessKey::list(&mut conn, Some(&owner)).await.unwrap();
        assert_eq!(found[0].last_used_at, Some(at(last)));
    }
    assert_eq!(epoch(&mut conn).await, before);
}

#[tokio::test]
async fn dev_keys_are_told_from_others() {
    let db = unsealed_db().await;
    let mut conn = db.conn().await;
    let owner = tenant(&mut conn, 1).await;
    AccessKey::create(&mut conn, &seal(), &key("AKIA"), &owner, &Secret::new("x")).await.unwrap();
    assert!(!AccessKey::any_dev_key(&mut conn).await.unwrap());
    for name in ["test", "000000000001"] {
        AccessKey::create(&mut conn, &seal(), &key(name), &owner, &Secret::new("test")).await.unwrap();
        assert!(AccessKey::any_dev_key(&mut conn).await.unwrap());
        AccessKey::delete(&mut conn, &key(name)).await.unwrap();
    }
}
