//! Pools in many routes: that they are, and the re-checks after COMMIT on leftovers made by hand, as a distributed engine
//! would leave them.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnection;
use symbolon::identities::aftercheck::{after_delete, after_link, after_merge};
use symbolon::identities::identity::{Located, State};
use symbolon::identities::{Identity, Login};
use symbolon::pools::Pool;
use uuid::Uuid;

use crate::harness::*;

#[tokio::test]
async fn users_and_guests_lie_in_many_routes() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let pool = wide_pool(&mut conn).await;
    let (mut users, mut guests) = (BTreeSet::new(), BTreeSet::new());
    for number in 0..150 {
        let made = new_user(&mut conn, &pool, &number.to_string()).await;
        users.insert(identity(&mut conn, &pool, made).await.route);
        let made = Identity::create_guest(&mut conn, &pool, &mut None).await.unwrap();
        guests.insert(identity(&mut conn, &pool, made).await.route);
    }
    for routes in [users, guests] {
        assert!(routes.len() > 40, "only {routes:?}");
        assert!(routes.iter().all(|route| pool.routes().contains(&route.0)));
    }
}

async fn located(conn: &mut PgConnection, pool: &Pool, uuid: Uuid) -> Located {
    identity(conn, pool, uuid).await.located()
}

async fn set_state(conn: &mut PgConnection, uuid: Uuid, state: i16) {
    let update = sqlx::query("update identities set state = $2 where identity_id = $1").bind(uuid).bind(state);
    update.execute(conn).await.unwrap();
}

async fn logins(conn: &mut PgConnection, pool: &Pool, of: Uuid) -> usize {
    Login::of_identity(conn, pool, of).await.unwrap().len()
}

#[tokio::test]
async fn a_link_to_an_identity_that_is_no_more_is_taken_back() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let pool = wide_pool(&mut conn).await;
    let guest = Identity::create_guest(&mut conn, &pool, &mut None).await.unwrap();
    let at = located(&mut conn, &pool, guest).await;
    let key = user("a").key(&pool);
    extra_login(&mut conn, &pool, "a", guest).await;
    extra_login(&mut conn, &pool, "b", guest).await;

    assert_eq!(after_link(&mut conn, &pool, at, &key).await.unwrap(), Some(State::Enabled));
    assert_eq!(logins(&mut conn, &pool, guest).await, 2, "all is well");
    set_state(&mut conn, guest, 2).await;
    assert_eq!(after_link(&mut conn, &pool, at, &key).await.unwrap(), Some(State::Disabled));
    assert_eq!(owner(&mut conn, &pool, "a").await, None);
    assert_eq!(owner(&mut conn, &pool, "b").await, Some(guest), "only the login just made");
    sqlx::query("delete from identities").execute(&mut *conn).await.unwrap();
    assert_eq!(after_link(&mut conn, &pool, at, &user("b").key(&pool)).await.unwrap(), None);
    assert_eq!(owner(&mut conn, &pool, "b").await, None);
}

#[tokio::test]
async fn a_linked_login_that_was_moved_since_stays_where_it_is() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let pool = wide_pool(&mut conn).await;
    let guest = Identity::create_guest(&mut conn, &pool, &mut None).await.unwrap();
    let at = located(&mut conn, &pool, guest).await;
    link(&mut conn, &pool, guest, "a").await;
    let b = new_user(&mut conn, &pool, "b").await;
    merge(&mut conn, &pool, &user("a"), &user("b"), LOGINS).await.unwrap();
    let key = user("a").key(&pool);
    assert_eq!(after_link(&mut conn, &pool, at, &key).await.unwrap(), Some(State::Enabled), "the link came first");
    assert_eq!(owner(&mut conn, &pool, "a").await, Some(b));
}

/// The users `a` and `b`, merged; and a login, `late`, that the merge did not see.
async fn merged(conn: &mut PgConnection, pool: &Pool) -> (Uuid, Located) {
    let (a, b) = (new_user(conn, pool, "a").await, new_user(conn, pool, "b").await);
    merge(conn, pool, &user("a"), &user("b"), LOGINS).await.unwrap();
    extra_login(conn, pool, "late", a).await;
    (a, located(conn, pool, b).await)
}

#[tokio::test]
async fn what_a_merge_did_not_see_follows_it() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let pool = wide_pool(&mut conn).await;
    let (a, b) = merged(&mut conn, &pool).await;
    let before = identity(&mut conn, &pool, b.uuid).await.modified_at;
    after_merge(&mut conn, &pool, a, b, &user("b").key(&pool)).await.unwrap();
    assert_eq!(owner(&mut conn, &pool, "late").await, Some(b.uuid));
    assert!(identity(&mut conn, &pool, b.uuid).await.modified_at > before);
    assert_sound(&mut conn).await;
    let after = people(&mut conn).await;
    after_merge(&mut conn, &pool, a, b, &user("b").key(&pool)).await.unwrap();
    assert_eq!(people(&mut conn).await, after, "nothing is left to do");
}

#[tokio::test]
async fn what_a_merge_did_not_see_follows_a_further_merge() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let pool = wide_pool(&mut conn).await;
    let (a, b) = merged(&mut conn, &pool).await;
    let c = new_user(&mut conn, &pool, "c").await;
    merge(&mut conn, &pool, &user("b"), &user("c"), LOGINS).await.unwrap();
    after_merge(&mut conn, &pool, a, b, &user("b").key(&pool)).await.unwrap();
    assert_eq!(owner(&mut conn, &pool, "late").await, Some(c));
    assert_sound(&mut conn).await;
}

#[tokio::test]
async fn what_nobody_is_left_to_have_is_deleted() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let pool = wide_pool(&mut conn).await;
    for deleted in [false, true] {
        let (a, b) = merged(&mut conn, &pool).await;
        if deleted {
            Identity::delete(&mut conn, &pool, b).await.unwrap();
        } else {
            for name in ["a", "b"] {
                unlink(&mut conn, &pool, b.uuid, &user(name)).await.unwrap();
            }
        }
        after_merge(&mut conn, &pool, a, b, &user("b").key(&pool)).await.unwrap();
        assert_eq!(owner(&mut conn, &pool, "late").await, None);
        assert_sound(&mut conn).await;
    }
}

#[tokio::test]
async fn a_survivor_that_lost_the_destinations_user_still_inherits() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let pool = wide_pool(&mut conn).await;
    let (a, b) = merged(&mut conn, &pool).await;
    unlink(&mut conn, &pool, b.uuid, &user("b")).await.unwrap();
    after_merge(&mut conn, &pool, a, b, &user("b").key(&pool)).await.unwrap();
    assert_eq!(owner(&mut conn, &pool, "late").await, Some(b.uuid));
    assert_sound(&mut conn).await;
}

#[tokio::test]
async fn a_survivor_keeps_its_own_public_user() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let pool = wide_pool(&mut conn).await;
    let (a, b) = merged(&mut conn, &pool).await;
    for (route, provider, name, of) in [(3, 2, "own", b.uuid), (5, 2, "late", a), (5, 3, "late", a)] {
        try_public_login(&mut conn, pool.routes()[route], provider, name, of).await.unwrap();
    }
    after_merge(&mut conn, &pool, a, b, &user("b").key(&pool)).await.unwrap();
    assert_eq!(logins(&mut conn, &pool, a).await, 0);
    let public = "select count(*) from logins where provider_no = 2 and subject_key = '\\x01' || 'own'::bytea
                  or provider_no = 3";
    assert_eq!(count(&mut conn, public).await, 2);
    assert_eq!(count(&mut conn, "select count(*) from logins where provider_no > 1").await, 2);
    assert_eq!(owner(&mut conn, &pool, "late").await, Some(b.uuid));
    assert_sound(&mut conn).await;
}

#[tokio::test]
async fn what_a_deletion_did_not_see_is_deleted_after_it() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let pool = wide_pool(&mut conn).await;
    let bystander = new_user(&mut conn, &pool, "b").await;
    let a = new_user(&mut conn, &pool, "a").await;
    let at = located(&mut conn, &pool, a).await;
    Identity::delete(&mut conn, &pool, at).await.unwrap();
    for number in 0..5 {
        extra_login(&mut conn, &pool, &number.to_string(), a).await;
    }
    after_delete(&mut conn, &pool, a).await.unwrap();
    assert_eq!(logins(&mut conn, &pool, a).await, 0);
    assert_eq!(owner(&mut conn, &pool, "b").await, Some(bystander));
    assert_sound(&mut conn).await;
}
