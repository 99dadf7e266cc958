//! Identifiers at their limits: long and odd user names, forged and imported identity ids, pages of identities.

use sqlx::postgres::PgConnection;
use symbolon::error::Error;
use symbolon::identities::identity::Located;
use symbolon::identities::{DeveloperUser, Identity, Login};
use symbolon::ids::{self, Route};
use symbolon::pools::Pool;
use uuid::Uuid;

use crate::harness::*;

#[tokio::test]
async fn a_user_of_any_length_is_found_and_told_again() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    for pool in both_pools(&mut conn).await {
        let mut seen = Vec::new();
        for name in [
            "x".repeat(64),
            "x".repeat(65),
            "x".repeat(1024),
            "\u{1F600}".repeat(16),
            "\u{1F600}".repeat(1024),
            "\u{1F600}".repeat(1023) + "\u{1F601}",
        ] {
            let made = new_user(&mut conn, &pool, &name).await;
            assert!(!seen.contains(&made));
            seen.push(made);
            assert_eq!(sign_in(&mut conn, &pool, None, &user(&name)).await.unwrap().identity, made);
            let logins = Login::of_identity(&mut conn, &pool, made).await.unwrap();
            assert_eq!(logins.iter().map(Login::developer_user).collect::<Vec<_>>(), [Some(name)]);
        }
    }
    let kept = "select count(*) from logins where (octet_length(subject_key) = 33) <> (subject is not null)";
    assert_eq!(count(&mut conn, kept).await, 0, "only what is hashed is kept as text");
}

#[tokio::test]
async fn a_user_whose_name_is_the_key_of_a_longer_one_is_another() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let pool = pool(&mut conn).await;
    let long = new_user(&mut conn, &pool, &"x".repeat(65)).await;
    let key = user(&"x".repeat(65)).key(&pool).subject_key;
    // No text is the hash itself, but its hexadecimal form is one.
    assert_ne!(new_user(&mut conn, &pool, &hex::encode(&key)).await, long);
    assert_ne!(new_user(&mut conn, &pool, &hex::encode(&key[1..])).await, long);
}

#[test]
fn users_that_no_row_can_hold_are_refused() {
    for bad in [String::new(), "a\0b".into(), "\0".into(), "x".repeat(1025), "\u{1F600}".repeat(1025)] {
        assert_refused!(DeveloperUser::parse(bad), Error::BadDeveloperUser(_));
    }
}

#[tokio::test]
async fn users_are_compared_byte_for_byte() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    for pool in both_pools(&mut conn).await {
        let names = [
            "alice",
            "Alice",
            "ALICE",
            " alice",
            "alice ",
            "al ice",
            "alice\n",
            "alice\u{200b}",
            "caf\u{e9}",
            "cafe\u{301}",
            "\u{212b}",
            "\u{c5}",
            "A\u{30a}",
            "\u{fb01}",
            "fi",
            "ß",
            "ss",
            "SS",
            "ı",
            "i",
            "%",
            "_",
            "'",
            "\\",
            "\\x61",
            "0",
            "00",
            "\u{1}",
        ];
        let mut seen = Vec::new();
        for name in names {
            let made = new_user(&mut conn, &pool, name).await;
            assert!(!seen.contains(&made), "{name:?}");
            seen.push(made);
        }
        for (name, made) in names.iter().zip(seen) {
            assert_eq!(owner(&mut conn, &pool, name).await, Some(made), "{name:?}");
        }
    }
}

async fn import(conn: &mut PgConnection, route: i32, uuid: Uuid) {
    sqlx::query("insert into identities (route, identity_id) values ($1, $2)")
        .bind(route)
        .bind(uuid)
        .execute(&mut *conn)
        .await
        .unwrap();
    sqlx::query("insert into identity_routes (route, identity_id) values ($1, $2)")
        .bind(route)
        .bind(uuid)
        .execute(conn)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_forged_route_leads_nowhere() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let [narrow, wide] = both_pools(&mut conn).await;
    for pool in [&narrow, &wide] {
        let real = new_user(&mut conn, pool, "a").await;
        let other = if pool.no == narrow.no { &wide } else { &narrow };
        let top = Route::new(pool.no, 0).0;
        for route in [0, -1, i32::MIN, i32::MAX, top - 1, top + 64, top + 1023, other.routes()[0]] {
            let mut bytes = *real.as_bytes();
            bytes[..4].copy_from_slice(&route.to_be_bytes());
            let forged = Uuid::from_bytes(bytes);
            assert!(Identity::find(&mut conn, pool, forged).await.unwrap().is_none(), "{route}");
            let for_tenant = Identity::find_for_tenant(&mut conn, &pool.account_id, &id_of(pool, forged)).await;
            assert!(for_tenant.unwrap().is_none(), "{route}");
            let refused = sign_in(&mut conn, pool, Some(&id_of(pool, forged)), &user("b")).await;
            assert_refused!(refused, Error::IdentityNotFound(_));
        }
        assert!(Identity::find(&mut conn, other, real).await.unwrap().is_none(), "it is of another pool");
    }
}

#[tokio::test]
async fn an_identity_is_found_by_the_tenant_that_owns_its_live_pool() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let stranger = tenant(&mut conn, 2).await;
    for pool in both_pools(&mut conn).await {
        let made = new_user(&mut conn, &pool, "a").await;
        let imported = Uuid::new_v4();
        import(&mut conn, pool.routes()[0], imported).await;
        for uuid in [made, imported] {
            let id = id_of(&pool, uuid);
            let found = Identity::find_for_tenant(&mut conn, &pool.account_id, &id).await.unwrap().unwrap();
            assert_eq!((found.0.id, found.1.uuid), (pool.id.clone(), uuid));
            assert!(Identity::find_for_tenant(&mut conn, &stranger, &id).await.unwrap().is_none());
            let elsewhere = ids::IdentityId { region: ids::Region::parse("eu-west-1").unwrap(), uuid };
            assert!(Identity::find_for_tenant(&mut conn, &pool.account_id, &elsewhere).await.unwrap().is_none());
        }
        pool.clone().delete(&mut conn).await.unwrap();
        for uuid in [made, imported] {
            let found = Identity::find_for_tenant(&mut conn, &pool.account_id, &id_of(&pool, uuid)).await;
            assert!(found.unwrap().is_none(), "its pool is deleted");
        }
    }
}

#[tokio::test]
async fn an_imported_identity_keeps_its_id() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    for pool in both_pools(&mut conn).await {
        let last = *pool.routes().last().unwrap();
        // Of AWS; and of another installation, whose route means something else here.
        let foreign = ids::new_identity_uuid(Route::new(77, 3)).unwrap();
        for (uuid, name) in [(Uuid::new_v4(), "a"), (foreign, "b")] {
            import(&mut conn, last, uuid).await;
            let found = identity(&mut conn, &pool, uuid).await;
            assert_eq!(found.route, Route(last));
            link(&mut conn, &pool, uuid, name).await;
            assert_eq!(owner(&mut conn, &pool, name).await, Some(uuid));
            Identity::delete(&mut conn, &pool, found.located()).await.unwrap();
            assert!(Identity::find(&mut conn, &pool, uuid).await.unwrap().is_none());
        }
        assert_eq!(count(&mut conn, "select count(*) from identity_routes").await, 0);
    }
    assert_sound(&mut conn).await;
}

#[tokio::test]
async fn an_identity_imported_into_a_second_pool_is_that_pools() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let (first, second) = (pool(&mut conn).await, pool(&mut conn).await);
    let uuid = new_user(&mut conn, &first, "a").await;
    import(&mut conn, second.routes()[0], uuid).await;
    let here = identity(&mut conn, &first, uuid).await;
    let there = identity(&mut conn, &second, uuid).await;
    assert_eq!((here.route, there.route), (Route(first.routes()[0]), Route(second.routes()[0])));
    link(&mut conn, &second, uuid, "b").await;
    assert_eq!(Login::of_identity(&mut conn, &first, uuid).await.unwrap().len(), 1);
    Identity::delete(&mut conn, &first, here.located()).await.unwrap();
    assert!(Identity::find(&mut conn, &first, uuid).await.unwrap().is_none());
    assert_eq!(identity(&mut conn, &second, uuid).await.route, there.route, "the other pool's stays");
    assert_eq!(owner(&mut conn, &second, "b").await, Some(uuid));
}

#[tokio::test]
async fn the_last_pool_number_with_the_widest_spread_works() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let pool = pool(&mut conn).await;
    sqlx::query("delete from pool_providers").execute(&mut *conn).await.unwrap();
    let last = "update identity_pools set pool_no = 2097151, spread = 1024";
    sqlx::query(last).execute(&mut *conn).await.unwrap();
    let pool = Pool::find(&mut conn, &pool.account_id, &pool.id).await.unwrap().unwrap();
    assert_eq!(pool.routes().last(), Some(&i32::MAX));
    for number in 0..8 {
        let made = new_user(&mut conn, &pool, &number.to_string()).await;
        identity(&mut conn, &pool, made).await;
    }
    import(&mut conn, i32::MAX, Uuid::max()).await;
    assert_eq!(identity(&mut conn, &pool, Uuid::max()).await.route, Route(i32::MAX));
}

#[tokio::test]
async fn pages_of_identities_hold_each_once_in_order() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let bystander = pool(&mut conn).await;
    new_user(&mut conn, &bystander, "a").await;
    for pool in both_pools(&mut conn).await {
        for number in 0..23 {
            Identity::create_guest(&mut conn, &pool, &mut None).await.unwrap();
            new_user(&mut conn, &pool, &number.to_string()).await;
        }
        for number in 0..5 {
            let at = owner(&mut conn, &pool, &number.to_string()).await.unwrap();
            let name = user(&number.to_string());
            unlink(&mut conn, &pool, at, &name).await.unwrap();
        }
        for (hide_disabled, all) in [(false, 46), (true, 41)] {
            for size in [1, 7, 46, 60] {
                let listed = list(&mut conn, &pool, hide_disabled, size).await;
                assert_eq!(listed.len(), all, "pages of {size}");
                assert!(listed.is_sorted_by_key(|at| (at.route, at.uuid)));
                assert!(listed.windows(2).all(|two| two[0] != two[1]));
            }
        }
    }
}

async fn list(conn: &mut PgConnection, pool: &Pool, hide_disabled: bool, size: i64) -> Vec<Located> {
    let mut listed: Vec<Located> = Vec::new();
    loop {
        let page = Identity::list(conn, pool, hide_disabled, listed.last().copied(), size).await.unwrap();
        assert!(i64::try_from(page.len()).unwrap() <= size);
        if page.is_empty() {
            return listed;
        }
        listed.extend(page.iter().map(Identity::located));
    }
}
