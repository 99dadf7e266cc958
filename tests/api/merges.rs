//! Merging developer users (M1 to M9): all or nothing, also in chains.

use symbolon::error::Error;
use symbolon::identities::identity::State;
use symbolon::identities::sign_in::Change;
use symbolon::identities::{Identity, Login};

use crate::harness::*;

#[tokio::test]
async fn a_merge_moves_every_login_and_disables_the_source() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    for pool in both_pools(&mut conn).await {
        let (a, b) = (new_user(&mut conn, &pool, "a").await, new_user(&mut conn, &pool, "b").await);
        extra_login(&mut conn, &pool, "a2", a).await;
        public_login(&mut conn, &pool, 2, "someone", a).await;
        public_login(&mut conn, &pool, 3, "someone", b).await;
        let before = (identity(&mut conn, &pool, a).await, identity(&mut conn, &pool, b).await);
        assert_eq!(merge(&mut conn, &pool, &user("a2"), &user("b"), LOGINS).await.unwrap(), b);
        assert!(Login::of_identity(&mut conn, &pool, a).await.unwrap().is_empty());
        assert_eq!(Login::of_identity(&mut conn, &pool, b).await.unwrap().len(), 5);
        let after = (identity(&mut conn, &pool, a).await, identity(&mut conn, &pool, b).await);
        assert_eq!((after.0.state, after.1.state), (State::Disabled, State::Enabled));
        assert!(after.0.modified_at > before.0.modified_at && after.1.modified_at > before.1.modified_at);
        for name in ["a", "a2", "b"] {
            let signed_in = sign_in(&mut conn, &pool, None, &user(name)).await.unwrap();
            assert_eq!((signed_in.identity, signed_in.change), (b, Change::None), "{name}");
        }
        let listed = async |conn: &mut _, hide| {
            let listed = Identity::list(conn, &pool, hide, None, 60).await.unwrap();
            listed.iter().any(|identity| identity.uuid == a)
        };
        assert!(listed(&mut *conn, false).await && !listed(&mut *conn, true).await);
    }
    assert_sound(&mut conn).await;
}

#[tokio::test]
async fn two_users_of_one_public_provider_are_not_merged() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    for pool in both_pools(&mut conn).await {
        let (a, b) = (new_user(&mut conn, &pool, "a").await, new_user(&mut conn, &pool, "b").await);
        public_login(&mut conn, &pool, 2, "someone", a).await;
        let route = *pool.routes().last().unwrap();
        try_public_login(&mut conn, route, 2, "someone else", b).await.unwrap();
        let before = people(&mut conn).await;
        for (source, destination) in [("a", "b"), ("b", "a")] {
            let refused = merge(&mut conn, &pool, &user(source), &user(destination), LOGINS).await;
            assert_refused!(refused, Error::SecondUserOfProvider);
        }
        assert_eq!(people(&mut conn).await, before);
    }
}

#[tokio::test]
async fn twenty_logins_are_merged_and_one_more_is_not() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    for pool in both_pools(&mut conn).await {
        let (a, b) = (new_user(&mut conn, &pool, "a").await, new_user(&mut conn, &pool, "b").await);
        for number in 0..9 {
            extra_login(&mut conn, &pool, &format!("a{number}"), a).await;
            extra_login(&mut conn, &pool, &format!("b{number}"), b).await;
        }
        extra_login(&mut conn, &pool, "b9", b).await;
        let before = people(&mut conn).await;
        let refused = merge(&mut conn, &pool, &user("a"), &user("b"), LOGINS).await;
        assert_refused!(refused, Error::TooManyLogins);
        assert_eq!(people(&mut conn).await, before);
        unlink(&mut conn, &pool, b, &user("b9")).await.unwrap();
        assert_eq!(merge(&mut conn, &pool, &user("a"), &user("b"), LOGINS).await.unwrap(), b);
        assert_eq!(Login::of_identity(&mut conn, &pool, b).await.unwrap().len(), 20);
    }
    assert_sound(&mut conn).await;
}

#[tokio::test]
async fn an_unknown_user_is_not_merged() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let elsewhere = pool(&mut conn).await;
    new_user(&mut conn, &elsewhere, "c").await;
    for pool in both_pools(&mut conn).await {
        new_user(&mut conn, &pool, "a").await;
        let before = people(&mut conn).await;
        for (source, destination) in [("a", "b"), ("b", "a"), ("b", "b"), ("a", "c"), ("c", "a")] {
            let refused = merge(&mut conn, &pool, &user(source), &user(destination), LOGINS).await;
            assert_refused!(refused, Error::DeveloperUserNotFound);
        }
        assert_eq!(people(&mut conn).await, before);
    }
}

#[tokio::test]
async fn users_of_one_identity_are_merged_already() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    for pool in both_pools(&mut conn).await {
        let a = new_user(&mut conn, &pool, "a").await;
        extra_login(&mut conn, &pool, "b", a).await;
        let before = people(&mut conn).await;
        for (source, destination) in [("a", "b"), ("b", "a"), ("a", "a")] {
            assert_eq!(merge(&mut conn, &pool, &user(source), &user(destination), LOGINS).await.unwrap(), a);
        }
        assert_eq!(people(&mut conn).await, before);
    }
}

#[tokio::test]
async fn a_chain_of_merges_ends_at_one_identity() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    for pool in both_pools(&mut conn).await {
        let a = new_user(&mut conn, &pool, "a").await;
        let (b, c) = (new_user(&mut conn, &pool, "b").await, new_user(&mut conn, &pool, "c").await);
        assert_eq!(merge(&mut conn, &pool, &user("a"), &user("b"), LOGINS).await.unwrap(), b);
        assert_eq!(merge(&mut conn, &pool, &user("b"), &user("c"), LOGINS).await.unwrap(), c);
        // The source's user names its present identity.
        let d = new_user(&mut conn, &pool, "d").await;
        assert_eq!(merge(&mut conn, &pool, &user("a"), &user("d"), LOGINS).await.unwrap(), d);
        for name in ["a", "b", "c", "d"] {
            assert_eq!(owner(&mut conn, &pool, name).await, Some(d));
        }
        for dead in [a, b, c] {
            assert_eq!(identity(&mut conn, &pool, dead).await.state, State::Disabled);
        }
    }
    assert_sound(&mut conn).await;
}

#[tokio::test]
async fn a_merge_touches_no_other_identity() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let elsewhere = pool(&mut conn).await;
    let there = new_user(&mut conn, &elsewhere, "a").await;
    for pool in both_pools(&mut conn).await {
        for name in ["a", "b"] {
            new_user(&mut conn, &pool, name).await;
        }
        let bystander = new_user(&mut conn, &pool, "c").await;
        let before = identity(&mut conn, &pool, bystander).await.modified_at;
        merge(&mut conn, &pool, &user("a"), &user("b"), LOGINS).await.unwrap();
        assert_eq!(identity(&mut conn, &pool, bystander).await.modified_at, before);
        assert_eq!(owner(&mut conn, &pool, "c").await, Some(bystander));
        assert_eq!(owner(&mut conn, &elsewhere, "a").await, Some(there));
    }
}
