//! Unlinking developer users (U1 to U4).

use symbolon::error::Error;
use symbolon::identities::Login;
use symbolon::identities::identity::State;

use crate::harness::*;

#[tokio::test]
async fn an_unlinked_user_is_a_new_one() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    for pool in both_pools(&mut conn).await {
        let first = new_user(&mut conn, &pool, "a").await;
        extra_login(&mut conn, &pool, "b", first).await;
        let before = identity(&mut conn, &pool, first).await;
        unlink(&mut conn, &pool, first, &user("a")).await.unwrap();
        let after = identity(&mut conn, &pool, first).await;
        assert_eq!(after.state, State::Enabled, "it has another login");
        assert!(after.modified_at > before.modified_at);
        assert_eq!(owner(&mut conn, &pool, "b").await, Some(first));
        assert_ne!(new_user(&mut conn, &pool, "a").await, first);
    }
    assert_sound(&mut conn).await;
}

#[tokio::test]
async fn an_identity_without_its_last_login_is_disabled_and_no_guest() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    for pool in both_pools(&mut conn).await {
        let first = new_user(&mut conn, &pool, "a").await;
        unlink(&mut conn, &pool, first, &user("a")).await.unwrap();
        assert_eq!(identity(&mut conn, &pool, first).await.state, State::Disabled);
        for name in ["a", "b"] {
            let refused = sign_in(&mut conn, &pool, Some(&id_of(&pool, first)), &user(name)).await;
            assert_refused!(refused, Error::IdentityForbidden(_));
        }
        assert_ne!(new_user(&mut conn, &pool, "a").await, first);
    }
    assert_sound(&mut conn).await;
}

#[tokio::test]
async fn a_public_login_keeps_an_identity_alive() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    for pool in both_pools(&mut conn).await {
        let first = new_user(&mut conn, &pool, "a").await;
        public_login(&mut conn, &pool, 2, "someone", first).await;
        unlink(&mut conn, &pool, first, &user("a")).await.unwrap();
        assert_eq!(identity(&mut conn, &pool, first).await.state, State::Enabled);
        assert_eq!(Login::of_identity(&mut conn, &pool, first).await.unwrap().len(), 1);
        let refused = sign_in(&mut conn, &pool, Some(&id_of(&pool, first)), &user("b")).await;
        assert_refused!(refused, Error::LoginsDontMatch);
    }
}

#[tokio::test]
async fn a_user_of_another_identity_is_not_unlinked() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let elsewhere = pool(&mut conn).await;
    let there = new_user(&mut conn, &elsewhere, "a").await;
    new_user(&mut conn, &elsewhere, "d").await;
    for pool in both_pools(&mut conn).await {
        let (a, b) = (new_user(&mut conn, &pool, "a").await, new_user(&mut conn, &pool, "b").await);
        let c = new_user(&mut conn, &pool, "c").await;
        merge(&mut conn, &pool, &user("c"), &user("b"), LOGINS).await.unwrap();
        let before = people(&mut conn).await;
        for (identity, name) in [(a, "b"), (b, "a"), (c, "c"), (c, "b"), (there, "a")] {
            let refused = unlink(&mut conn, &pool, identity, &user(name)).await;
            assert_refused!(refused, Error::NotLinkedToIdentity);
        }
        for name in ["d", "A", "a "] {
            assert_refused!(unlink(&mut conn, &pool, a, &user(name)).await, Error::DeveloperUserNotFound);
        }
        assert_eq!(people(&mut conn).await, before);
    }
}

#[tokio::test]
async fn a_user_is_unlinked_once() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    for pool in both_pools(&mut conn).await {
        let first = new_user(&mut conn, &pool, "a").await;
        unlink(&mut conn, &pool, first, &user("a")).await.unwrap();
        assert_refused!(unlink(&mut conn, &pool, first, &user("a")).await, Error::DeveloperUserNotFound);
        new_user(&mut conn, &pool, "a").await;
        assert_refused!(unlink(&mut conn, &pool, first, &user("a")).await, Error::NotLinkedToIdentity);
    }
}
