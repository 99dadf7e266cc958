//! Sign-in of developer users, row by row of the contract's matrix (G10 to G24, G30), in one route and in many.

use symbolon::error::Error;
use symbolon::identities::identity::State;
use symbolon::identities::sign_in::{Change, SignedIn};
use symbolon::identities::{Identity, Login};
use symbolon::ids::{self, IdentityId, Region, Route};

use crate::harness::*;

#[tokio::test]
async fn a_new_user_gets_a_new_identity() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    for pool in both_pools(&mut conn).await {
        let (first, second) = (new_user(&mut conn, &pool, "a").await, new_user(&mut conn, &pool, "b").await);
        assert_ne!(first, second);
        let found = identity(&mut conn, &pool, first).await;
        assert_eq!((found.state, found.created_at), (State::Enabled, found.modified_at));
        assert_eq!(ids::route_hint(&first), Some(found.route));
        assert_eq!(found.route, user("a").key(&pool).route);
    }
    assert_sound(&mut conn).await;
}

#[tokio::test]
async fn a_known_user_gets_its_identity_every_time() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    for pool in both_pools(&mut conn).await {
        let made = new_user(&mut conn, &pool, "a").await;
        let before = people(&mut conn).await;
        for named in [None, Some(id_of(&pool, made))] {
            let again = sign_in(&mut conn, &pool, named.as_ref(), &user("a")).await.unwrap();
            assert_eq!(again, SignedIn { identity: made, change: Change::None });
        }
        assert_eq!(people(&mut conn).await, before);
    }
}

#[tokio::test]
async fn one_name_in_two_pools_is_two_users() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let (one, other) = (pool(&mut conn).await, pool(&mut conn).await);
    assert_ne!(new_user(&mut conn, &one, "a").await, new_user(&mut conn, &other, "a").await);
}

#[tokio::test]
async fn a_users_identity_is_never_a_disabled_one() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    for pool in both_pools(&mut conn).await {
        for name in ["a", "b", "c"] {
            new_user(&mut conn, &pool, name).await;
        }
        merge(&mut conn, &pool, &user("a"), &user("b"), LOGINS).await.unwrap();
        let c = owner(&mut conn, &pool, "c").await.unwrap();
        unlink(&mut conn, &pool, c, &user("c")).await.unwrap();
        assert_sound(&mut conn).await;
        for name in ["a", "b", "c"] {
            let got = sign_in(&mut conn, &pool, None, &user(name)).await.unwrap().identity;
            assert_eq!(identity(&mut conn, &pool, got).await.state, State::Enabled, "{name}");
        }
    }
}

#[tokio::test]
async fn a_guest_becomes_the_users_identity_and_keeps_its_id() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    for pool in both_pools(&mut conn).await {
        let guest = Identity::create_guest(&mut conn, &pool, &mut None).await.unwrap();
        let before = identity(&mut conn, &pool, guest).await;
        assert_eq!((before.state, before.modified_at), (State::Enabled, before.created_at));
        link(&mut conn, &pool, guest, "a").await;
        let after = identity(&mut conn, &pool, guest).await;
        assert_eq!((after.state, after.created_at), (State::Enabled, before.created_at));
        assert!(after.modified_at > before.modified_at);
        assert_eq!(owner(&mut conn, &pool, "a").await, Some(guest));
    }
    assert_sound(&mut conn).await;
}

#[tokio::test]
async fn a_known_user_does_not_take_a_guest_over() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    for pool in both_pools(&mut conn).await {
        new_user(&mut conn, &pool, "a").await;
        let guest = Identity::create_guest(&mut conn, &pool, &mut None).await.unwrap();
        let before = people(&mut conn).await;
        let refused = sign_in(&mut conn, &pool, Some(&id_of(&pool, guest)), &user("a")).await;
        assert_refused!(refused, Error::DeveloperUserAlreadyRegistered);
        assert_eq!(people(&mut conn).await, before);
    }
}

#[tokio::test]
async fn an_identity_with_logins_takes_no_user_without_proof() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    for pool in both_pools(&mut conn).await {
        let taken = new_user(&mut conn, &pool, "a").await;
        let public = Identity::create_guest(&mut conn, &pool, &mut None).await.unwrap();
        public_login(&mut conn, &pool, 2, "someone", public).await;
        let before = people(&mut conn).await;
        for named in [taken, public] {
            let refused = sign_in(&mut conn, &pool, Some(&id_of(&pool, named)), &user("b")).await;
            assert_refused!(refused, Error::LoginsDontMatch);
        }
        assert_eq!(people(&mut conn).await, before);
    }
}

#[tokio::test]
async fn a_login_of_another_identity_is_refused() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    for pool in both_pools(&mut conn).await {
        let (a, _) = (new_user(&mut conn, &pool, "a").await, new_user(&mut conn, &pool, "b").await);
        let before = people(&mut conn).await;
        let refused = sign_in(&mut conn, &pool, Some(&id_of(&pool, a)), &user("b")).await;
        assert_refused!(refused, Error::DeveloperUserAlreadyRegistered);
        assert_eq!(people(&mut conn).await, before);
    }
}

#[tokio::test]
async fn a_disabled_identity_is_forbidden_to_everyone() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    for pool in both_pools(&mut conn).await {
        let (merged, unlinked) = (new_user(&mut conn, &pool, "a").await, new_user(&mut conn, &pool, "c").await);
        new_user(&mut conn, &pool, "b").await;
        merge(&mut conn, &pool, &user("a"), &user("b"), LOGINS).await.unwrap();
        unlink(&mut conn, &pool, unlinked, &user("c")).await.unwrap();
        let before = people(&mut conn).await;
        for named in [merged, unlinked] {
            for name in ["a", "b", "c", "unknown"] {
                let refused = sign_in(&mut conn, &pool, Some(&id_of(&pool, named)), &user(name)).await;
                assert_refused!(refused, Error::IdentityForbidden(_));
            }
        }
        assert_eq!(people(&mut conn).await, before);
    }
}

#[tokio::test]
async fn an_identity_that_cannot_be_found_leaves_the_user_unknown() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let elsewhere = pool(&mut conn).await;
    let stranger = new_user(&mut conn, &elsewhere, "x").await;
    let guest_elsewhere = Identity::create_guest(&mut conn, &elsewhere, &mut None).await.unwrap();
    for pool in both_pools(&mut conn).await {
        let gone = Identity::create_guest(&mut conn, &pool, &mut None).await.unwrap();
        let at = identity(&mut conn, &pool, gone).await.located();
        Identity::delete(&mut conn, &pool, at).await.unwrap();
        let never = ids::new_identity_uuid(Route(pool.routes()[0])).unwrap();
        let known = new_user(&mut conn, &pool, "known").await;
        let before = people(&mut conn).await;
        let mut named: Vec<_> =
            [gone, never, stranger, guest_elsewhere].map(|uuid| id_of(&pool, uuid)).into_iter().collect();
        // Our own, said to be of another region.
        named.push(IdentityId { region: Region::parse("eu-west-1").unwrap(), uuid: known });
        for named in named {
            for name in ["unknown", "known"] {
                let refused = sign_in(&mut conn, &pool, Some(&named), &user(name)).await;
                assert_refused!(refused, Error::IdentityNotFound(_));
            }
        }
        assert_eq!(people(&mut conn).await, before);
    }
}

#[tokio::test]
async fn a_deleted_identity_frees_its_users() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    for pool in both_pools(&mut conn).await {
        let first = new_user(&mut conn, &pool, "a").await;
        extra_login(&mut conn, &pool, "b", first).await;
        public_login(&mut conn, &pool, 2, "someone", first).await;
        let bystander = new_user(&mut conn, &pool, "c").await;
        let at = identity(&mut conn, &pool, first).await.located();
        Identity::delete(&mut conn, &pool, at).await.unwrap();
        Identity::delete(&mut conn, &pool, at).await.unwrap(); // done already
        assert!(Identity::find(&mut conn, &pool, first).await.unwrap().is_none());
        assert_eq!(Login::of_identity(&mut conn, &pool, first).await.unwrap().len(), 0);
        assert_eq!(owner(&mut conn, &pool, "c").await, Some(bystander));
        let (a, b) = (new_user(&mut conn, &pool, "a").await, new_user(&mut conn, &pool, "b").await);
        assert!(a != b && a != first && b != first);
    }
    assert_sound(&mut conn).await;
}

#[tokio::test]
async fn the_schema_admits_one_owner_of_a_login() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let pool = pool(&mut conn).await;
    let (a, b) = (new_user(&mut conn, &pool, "a").await, new_user(&mut conn, &pool, "b").await);
    let route = pool.routes()[0];
    public_login(&mut conn, &pool, 2, "someone", a).await;
    let twice = try_public_login(&mut conn, route, 2, "someone", b).await.unwrap_err();
    assert!(symbolon::db::is_unique_violation(&twice), "{twice}");
    let second_user = try_public_login(&mut conn, route, 2, "someone else", a).await.unwrap_err();
    assert!(symbolon::db::is_unique_violation(&second_user), "{second_user}");
    try_public_login(&mut conn, route, 3, "someone else", a).await.unwrap();
    try_public_login(&mut conn, route, 2, "someone else", b).await.unwrap();
    extra_login(&mut conn, &pool, "c", a).await; // of developer users there may be many
}

#[tokio::test]
async fn the_schema_admits_two_states() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let pool = pool(&mut conn).await;
    let guest = Identity::create_guest(&mut conn, &pool, &mut None).await.unwrap();
    for (state, admitted) in [(0_i16, false), (1, true), (2, true), (3, false)] {
        let update = sqlx::query("update identities set state = $1 where identity_id = $2").bind(state).bind(guest);
        assert_eq!(update.execute(&mut *conn).await.is_ok(), admitted, "{state}");
    }
}

#[tokio::test]
async fn a_lookup_finds_every_user_in_a_stable_order() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    for pool in both_pools(&mut conn).await {
        let one = new_user(&mut conn, &pool, "m").await;
        let long = "ü".repeat(1024);
        for name in ["z", "a", "Z", "user@example.com"] {
            extra_login(&mut conn, &pool, name, one).await;
        }
        public_login(&mut conn, &pool, 2, "someone", one).await;
        let other = Identity::create_guest(&mut conn, &pool, &mut None).await.unwrap();
        link(&mut conn, &pool, other, &long).await;
        let lonely = Identity::create_guest(&mut conn, &pool, &mut None).await.unwrap();

        let users = |logins: Vec<Login>| logins.iter().filter_map(Login::developer_user).collect::<Vec<_>>();
        let found = users(Login::of_identity(&mut conn, &pool, one).await.unwrap());
        assert_eq!(found, ["Z", "a", "m", "user@example.com", "z"], "bytewise, and no public users");
        assert_eq!(users(Login::of_identity(&mut conn, &pool, other).await.unwrap()), [long]);
        assert!(Login::of_identity(&mut conn, &pool, lonely).await.unwrap().is_empty());

        let mut page = Vec::new();
        for uuid in [one, other, lonely] {
            page.push(identity(&mut conn, &pool, uuid).await);
        }
        let by_identity = Login::of_identities(&mut conn, &pool, &page).await.unwrap();
        let numbers = |uuid| by_identity.get(&uuid).map(|logins| logins.iter().map(|l| l.provider_no).collect());
        assert_eq!(numbers(one), Some(vec![1, 1, 1, 1, 1, 2]));
        assert_eq!(numbers(other), Some(vec![1]));
        assert_eq!(numbers(lonely), None::<Vec<i16>>);
    }
}
