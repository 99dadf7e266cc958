//! Pools: who sees them, what an update keeps (P1 to P9), and provider numbers, which are for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use symbolon::error::Error;
use symbolon::ids::{PoolId, Region};
use symbolon::pools::Pool;
use symbolon::pools::Settings;
use symbolon::pools::providers::{Providers, UserPool, names};
use symbolon::retry;

use crate::harness::*;

fn social(keys: &[&str]) -> Providers {
    Providers {
        supported_logins: keys.iter().map(|key| ((*key).to_owned(), "app".to_owned())).collect(),
        ..Providers::default()
    }
}

fn full() -> Settings {
    let user_pool = |name: &str, client: &str, check| UserPool {
        provider_name: format!("cognito-idp.us-east-1.amazonaws.com/us-east-1_{name}"),
        client_id: client.into(),
        server_side_token_check: check,
    };
    Settings {
        name: "a name".into(),
        allow_unauthenticated: true,
        allow_classic: Some(false),
        developer_provider: Some(DEVELOPER.into()),
        providers: Providers {
            openid_connect_arns: vec![
                "arn:aws:iam::000000000001:oidc-provider/z.example".into(),
                "arn:aws:iam::000000000001:oidc-provider/a.example/realm".into(),
            ],
            user_pools: vec![user_pool("b", "2", None), user_pool("a", "1", Some(true)), user_pool("b", "1", None)],
            saml_arns: vec!["arn:aws:iam::000000000001:saml-provider/x".into()],
            ..social(&["graph.facebook.com", "accounts.google.com"])
        },
        tags: BTreeMap::from([("Team".into(), "blue".into()), ("Équipe".into(), String::new())]),
    }
}

async fn make(conn: &mut PgConnection, settings: &Settings) -> Result<Pool, Error> {
    symbolon::tenants::Tenant::create(conn, &account(1), "a tenant").await.unwrap();
    Pool::create(conn, &account(1), &new_pool_id(), settings, 1000).await
}

async fn find(conn: &mut PgConnection, pool: &Pool) -> Option<Pool> {
    Pool::find(conn, &pool.account_id, &pool.id).await.unwrap()
}

#[tokio::test]
async fn a_pool_is_found_as_it_was_made() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    for settings in [full(), settings(), Settings::default()] {
        let made = make(&mut conn, &settings).await.unwrap();
        assert!((1..=2_097_151).contains(&made.no));
        let found = [
            find(&mut conn, &made).await,
            Pool::find_by_no(&mut conn, &made.account_id, &made.id.region, made.no).await.unwrap(),
            Pool::find_public(&mut conn, &made.id).await.unwrap(),
        ];
        for found in found {
            let found = found.unwrap();
            assert_eq!((found.no, &found.id, &found.account_id), (made.no, &made.id, &made.account_id));
            assert_eq!((found.spread, &found.settings), (1, &settings));
        }
    }
}

#[tokio::test]
async fn a_pool_of_another_tenant_or_region_is_as_none() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let made = pool(&mut conn).await;
    let stranger = tenant(&mut conn, 2).await;
    let elsewhere = Region::parse("eu-west-1").unwrap();
    let id = PoolId { region: elsewhere.clone(), uuid: made.id.uuid };
    assert!(Pool::find(&mut conn, &stranger, &made.id).await.unwrap().is_none());
    assert!(Pool::find(&mut conn, &made.account_id, &id).await.unwrap().is_none());
    assert!(Pool::find(&mut conn, &made.account_id, &new_pool_id()).await.unwrap().is_none());
    assert!(Pool::find_public(&mut conn, &id).await.unwrap().is_none());
    assert!(Pool::find_by_no(&mut conn, &stranger, &made.id.region, made.no).await.unwrap().is_none());
    assert!(Pool::find_by_no(&mut conn, &made.account_id, &elsewhere, made.no).await.unwrap().is_none());
    assert!(Pool::list(&mut conn, &stranger, &made.id.region, None, 60).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_creation_tried_twice_makes_one_pool() {
    let db = Arc::new(fresh_db().await);
    let mut conn = db.conn().await;
    let owner = tenant(&mut conn, 1).await;
    for _ in 0..10 {
        let id = new_pool_id();
        let tries: Vec<_> = (0..2)
            .map(|_| {
                let (db, owner, id) = (Arc::clone(&db), owner.clone(), id.clone());
                async move { retry!(db.db, |conn| { Pool::create(conn, &owner, &id, &settings(), 1000).await }) }
            })
            .collect();
        let made: Vec<i32> = together(tries).await.into_iter().map(|made| made.unwrap().no).collect();
        assert_eq!(made[0], made[1]);
        let late = Pool::create(&mut conn, &owner, &id, &settings(), 1000).await.unwrap();
        assert_eq!(late.no, made[0]);
    }
    assert_eq!(count(&mut conn, "select count(*) from identity_pools").await, 10);
}

#[tokio::test]
async fn a_tenant_has_no_more_pools_than_the_limit() {
    let db = Arc::new(busy_db(9).await);
    let mut conn = db.conn().await;
    let (owner, other) = (tenant(&mut conn, 1).await, tenant(&mut conn, 2).await);
    Pool::create(&mut conn, &other, &new_pool_id(), &settings(), 3).await.unwrap();
    let tries: Vec<_> = (0..8)
        .map(|_| {
            let (db, owner) = (Arc::clone(&db), owner.clone());
            async move { retry!(db.db, |conn| { Pool::create(conn, &owner, &new_pool_id(), &settings(), 3).await }) }
        })
        .collect();
    let (made, refused): (Vec<_>, Vec<_>) = together(tries).await.into_iter().partition(Result::is_ok);
    assert_eq!((made.len(), refused.len()), (3, 5));
    for refused in refused {
        assert_refused!(refused, Error::LimitExceeded(_));
    }
    for made in made {
        made.unwrap().delete(&mut conn).await.unwrap();
    }
    Pool::create(&mut conn, &owner, &new_pool_id(), &settings(), 1).await.unwrap(); // deleted ones do not count
}

#[tokio::test]
async fn an_update_writes_every_setting() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let pool = make(&mut conn, &full()).await.unwrap();
    let wanted = Settings { developer_provider: full().developer_provider, ..Settings::default() };
    let change = |old: Settings| {
        assert_eq!(old, full());
        Ok(wanted.clone())
    };
    let updated = pool.clone().update(&mut conn, change).await.unwrap();
    assert_eq!((&updated.settings, updated.no, &updated.id), (&wanted, pool.no, &pool.id));
    assert_eq!(find(&mut conn, &pool).await.unwrap().settings, wanted);
    // What `change` refuses is not written.
    let refused = pool.clone().update(&mut conn, |_| Err(Error::BadUserPoolProvider)).await;
    assert_refused!(refused, Error::BadUserPoolProvider);
    assert_eq!(find(&mut conn, &pool).await.unwrap().settings, wanted);
}

#[tokio::test]
async fn updates_at_once_lose_nothing() {
    let db = Arc::new(busy_db(9).await);
    let mut conn = db.conn().await;
    let pool = pool(&mut conn).await;
    let updates: Vec<_> = (0..8)
        .map(|number| {
            let (db, pool) = (Arc::clone(&db), pool.clone());
            async move {
                let change = |mut old: Settings| {
                    old.tags.insert(format!("tag {number}"), String::new());
                    old.providers.supported_logins.insert(format!("{number}.example"), "app".into());
                    Ok(old)
                };
                retry!(db.db, |conn| { pool.clone().update(conn, change).await })
            }
        })
        .collect();
    for updated in together(updates).await {
        updated.unwrap();
    }
    let settings = find(&mut conn, &pool).await.unwrap().settings;
    assert_eq!((settings.tags.len(), settings.providers.supported_logins.len()), (8, 8));
    let numbers: Vec<i16> = names(&mut conn, pool.no).await.unwrap().into_keys().collect();
    assert_eq!(numbers, (1..=9).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_developer_provider_is_set_once() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let pool = make(&mut conn, &Settings::default()).await.unwrap();
    let name = |name: Option<&str>| {
        let developer_provider = name.map(str::to_owned);
        |old: Settings| Ok(Settings { developer_provider, ..old })
    };
    pool.clone().update(&mut conn, name(Some("first"))).await.unwrap();
    for other in [Some("second"), Some("First"), None] {
        let refused = pool.clone().update(&mut conn, name(other)).await;
        assert_refused!(refused, Error::DeveloperProviderImmutable);
    }
    pool.clone().update(&mut conn, name(Some("first"))).await.unwrap();
    assert_eq!(find(&mut conn, &pool).await.unwrap().settings.developer_provider.as_deref(), Some("first"));
    assert_eq!(names(&mut conn, pool.no).await.unwrap(), BTreeMap::from([(1, "first".to_owned())]));
}

#[tokio::test]
async fn a_deleted_pool_is_gone_at_once() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let (pool, other) = (pool(&mut conn).await, pool(&mut conn).await);
    new_user(&mut conn, &pool, "a").await;
    pool.clone().delete(&mut conn).await.unwrap();
    assert!(find(&mut conn, &pool).await.is_none());
    assert!(Pool::find_public(&mut conn, &pool.id).await.unwrap().is_none());
    assert!(Pool::find_by_no(&mut conn, &pool.account_id, &pool.id.region, pool.no).await.unwrap().is_none());
    let listed = Pool::list(&mut conn, &pool.account_id, &pool.id.region, None, 60).await.unwrap();
    assert_eq!(listed, [(other.id.clone(), "pool".to_owned())]);
    assert_refused!(pool.clone().update(&mut conn, Ok).await, Error::PoolNotFound(_));
    let deleted = "select count(*) from identity_pools where deleted_at is not null and swept_at is null";
    assert_eq!(count(&mut conn, deleted).await, 1, "its number is never used again");
    let at = dump(&mut conn, &["identity_pools"]).await;
    pool.delete(&mut conn).await.unwrap();
    assert_eq!(dump(&mut conn, &["identity_pools"]).await, at, "it was deleted when it was deleted");
}

#[tokio::test]
async fn provider_numbers_are_for_ever() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let pool = make(&mut conn, &Settings { providers: social(&["a", "b"]), ..settings() }).await.unwrap();
    let set = |keys: &[&str]| {
        let providers = social(keys);
        |old: Settings| Ok(Settings { providers, ..old })
    };
    for (keys, next) in [(&["b", "c"][..], 5), (&[], 5), (&["d", "a"], 6), (&["a", "b", "c", "d"], 6)] {
        pool.clone().update(&mut conn, set(keys)).await.unwrap();
        let stored: i16 = sqlx::query_scalar("select next_provider_no from identity_pools where pool_no = $1")
            .bind(pool.no)
            .fetch_one(&mut *conn)
            .await
            .unwrap();
        assert_eq!(stored, next, "{keys:?}");
    }
    let expected = [(1, DEVELOPER), (2, "a"), (3, "b"), (4, "c"), (5, "d")];
    assert_eq!(
        names(&mut conn, pool.no).await.unwrap(),
        expected.into_iter().map(|(number, key)| (number, key.to_owned())).collect()
    );
    let other = make(&mut conn, &Settings { providers: social(&["z"]), ..Settings::default() }).await.unwrap();
    assert_eq!(names(&mut conn, other.no).await.unwrap(), BTreeMap::from([(2, "z".to_owned())]));
}

#[tokio::test]
async fn many_providers_and_long_ones_are_numbered_at_once() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let keys: Vec<String> = (0..30_000).map(|number| format!("{number:05}.example")).collect();
    let providers = social(&keys.iter().map(String::as_str).collect::<Vec<_>>());
    let began = Instant::now();
    let pool = make(&mut conn, &Settings { providers, ..settings() }).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let numbered = names(&mut conn, pool.no).await.unwrap();
    assert_eq!(numbered.len(), 30_001);
    assert!(keys.iter().zip(2..).all(|(key, number)| numbered[&number] == *key));

    // What does not compress, as long as `check` lets it be.
    let random: [u8; 1024] = symbolon::ids::random().unwrap();
    let long: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let change = |old: Settings| {
        let providers = Providers { saml_arns: vec![long.clone()], ..Providers::default() };
        Ok(Settings { providers, ..old })
    };
    pool.clone().update(&mut conn, change).await.unwrap();
    assert_eq!(names(&mut conn, pool.no).await.unwrap()[&30_002], long);
}

#[tokio::test]
async fn a_pool_whose_provider_numbers_are_used_up_keeps_those_it_has() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let pool = make(&mut conn, &settings()).await.unwrap();
    sqlx::query("update identity_pools set next_provider_no = 32764").execute(&mut *conn).await.unwrap();
    let set = |keys: &[&str]| {
        let providers = social(keys);
        |old: Settings| Ok(Settings { providers, ..old })
    };
    let last = pool.clone().update(&mut conn, set(&["a"])).await.unwrap();
    assert_refused!(pool.clone().update(&mut conn, set(&["b", "c", "d"])).await, Error::LimitExceeded(_));
    assert_eq!(find(&mut conn, &pool).await.unwrap().settings, last.settings);
    let last = pool.clone().update(&mut conn, set(&["b", "c"])).await.unwrap();
    assert_refused!(pool.clone().update(&mut conn, set(&["a", "d"])).await, Error::LimitExceeded(_));
    assert_eq!(find(&mut conn, &pool).await.unwrap().settings, last.settings);
    pool.clone().update(&mut conn, set(&["a", "b", "c"])).await.unwrap();
    pool.clone().update(&mut conn, set(&["a"])).await.unwrap();
    let expected = [(1, DEVELOPER), (32764, "a"), (32765, "b"), (32766, "c")];
    assert_eq!(
        names(&mut conn, pool.no).await.unwrap(),
        expected.into_iter().map(|(number, key)| (number, key.to_owned())).collect()
    );

    // Nor does a pool begin with more than there are numbers.
    let keys: Vec<String> = (0..32_766).map(|number| number.to_string()).collect();
    let mut keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let too_many = Settings { providers: social(&keys), ..Settings::default() };
    let refused = make(&mut conn, &too_many).await;
    let text = "An identity pool can have had at most 32766 login providers.";
    assert!(matches!(&refused, Err(Error::LimitExceeded(said)) if said == text), "{refused:?}");
    assert_eq!(count(&mut conn, "select count(*) from identity_pools").await, 1);
    keys.pop();
    make(&mut conn, &Settings { providers: social(&keys), ..Settings::default() }).await.unwrap();
}

#[tokio::test]
async fn a_provider_has_one_number_whatever_its_clients_are() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let pool = make(&mut conn, &full()).await.unwrap();
    let before = names(&mut conn, pool.no).await.unwrap();
    assert_eq!(before.len(), 1 + 2 + 2 + 2 + 1);
    let change = |mut old: Settings| {
        old.providers.user_pools.iter_mut().for_each(|client| client.client_id.push('x'));
        old.providers.supported_logins.values_mut().for_each(|app| app.push('x'));
        Ok(old)
    };
    pool.clone().update(&mut conn, change).await.unwrap();
    assert_eq!(names(&mut conn, pool.no).await.unwrap(), before);
}

#[tokio::test]
async fn a_developer_provider_is_no_login_key_of_the_pool() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let clash = Settings { developer_provider: Some("a".into()), providers: social(&["a"]), ..Settings::default() };
    assert_refused!(make(&mut conn, &clash).await, Error::DeveloperProviderIsLoginKey);
    assert_eq!(count(&mut conn, "select count(*) from identity_pools").await, 0);

    let pool = make(&mut conn, &settings()).await.unwrap();
    let add = |old: Settings| Ok(Settings { providers: social(&[DEVELOPER]), ..old });
    assert_refused!(pool.clone().update(&mut conn, add).await, Error::DeveloperProviderIsLoginKey);

    // Nor one that it had: whose users would those be?
    let pool = make(&mut conn, &Settings { providers: social(&["a"]), ..Settings::default() }).await.unwrap();
    pool.clone().update(&mut conn, |_| Ok(Settings::default())).await.unwrap();
    let name = |old: Settings| Ok(Settings { developer_provider: Some("a".into()), ..old });
    assert_refused!(pool.clone().update(&mut conn, name).await, Error::DeveloperProviderIsLoginKey);
    assert_eq!(find(&mut conn, &pool).await.unwrap().settings, Settings::default());
}

#[tokio::test]
async fn pool_numbers_are_drawn_at_random() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let mut numbers = BTreeSet::new();
    for _ in 0..20 {
        numbers.insert(pool(&mut conn).await.no);
    }
    assert_eq!(numbers.len(), 20);
    let (first, last) = (numbers.first().unwrap(), numbers.last().unwrap());
    assert!(last - first > 100_000, "a client can learn the number of pools from {numbers:?}");
}

#[tokio::test]
async fn the_schema_admits_only_numbers_that_make_routes() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    pool(&mut conn).await;
    for (column, admitted, refused) in
        [("pool_no", &[1, 2_097_151][..], &[0, -1, 2_097_152][..]), ("spread", &[2, 64, 1024], &[0, 3, 2048])]
    {
        for value in admitted.iter().chain(refused) {
            sqlx::query("delete from pool_providers").execute(&mut *conn).await.unwrap();
            let update = sqlx::AssertSqlSafe(format!("update identity_pools set {column} = {value}"));
            let done = sqlx::query(update).execute(&mut *conn).await;
            assert_eq!(done.is_ok(), admitted.contains(value), "{column} {value}");
        }
    }
}

#[tokio::test]
async fn pages_of_pools_hold_each_once_in_order() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    for _ in 0..7 {
        pool(&mut conn).await;
    }
    pool(&mut conn).await.delete(&mut conn).await.unwrap();
    let elsewhere = PoolId { region: Region::parse("eu-west-1").unwrap(), ..new_pool_id() };
    Pool::create(&mut conn, &account(1), &elsewhere, &settings(), 100).await.unwrap();
    for size in [1, 3, 7, 60] {
        let mut listed: Vec<PoolId> = Vec::new();
        loop {
            let after = listed.last().map(|id| id.uuid);
            let page = Pool::list(&mut conn, &account(1), &region(), after, size).await.unwrap();
            assert!(i64::try_from(page.len()).unwrap() <= size);
            if page.is_empty() {
                break;
            }
            listed.extend(page.into_iter().map(|(id, _)| id));
        }
        assert_eq!(listed.len(), 7, "pages of {size}");
        assert!(listed.windows(2).all(|two| two[0].uuid < two[1].uuid));
        assert!(listed.iter().all(|id| id.region == region()));
    }
}
