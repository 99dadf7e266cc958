//! Races of sign-in, linking, merging, unlinking and deleting: whoever is faster, what is left is as if one had come
//! after the other.

use std::sync::Arc;

use symbolon::error::{Error, Result};
use symbolon::identities::identity::State;
use symbolon::identities::sign_in::Change;
use symbolon::identities::{Identity, Login};
use symbolon::pools::Pool;
use uuid::Uuid;

use crate::harness::*;

/// Rounds in a pool in one route, and after them in one in many.
const ROUNDS: usize = 200;
const WIDE_ROUNDS: usize = 20;
const ALL: usize = ROUNDS + WIDE_ROUNDS;

/// One call of a broker, on a connection of its own, to be run beside others.
#[derive(Clone, Debug)]
enum Call {
    SignIn(Option<Uuid>, String),
    Merge(String, String),
    Unlink(Uuid, String),
    Delete(Uuid),
}
use Call::{Delete, Merge, SignIn, Unlink};

/// What a call returned: the identity, if any.
type Answer = Result<Option<Uuid>>;

impl Call {
    /// Tried once, as `retry!` would hide a deadlock: locks are taken in such an order that there is none.
    async fn run(self, db: Arc<TestDb>, pool: Pool) -> Answer {
        let conn = &mut *db.conn().await;
        match self {
            SignIn(named, name) => {
                let named = named.map(|uuid| id_of(&pool, uuid));
                let signed_in = sign_in(conn, &pool, named.as_ref(), &user(&name)).await;
                signed_in.map(|signed_in| Some(signed_in.identity))
            }
            Merge(source, destination) => {
                merge(conn, &pool, &user(&source), &user(&destination), LOGINS).await.map(Some)
            }
            Unlink(identity, name) => unlink(conn, &pool, identity, &user(&name)).await.map(|()| None),
            Delete(identity) => {
                if let Some(found) = Identity::find(conn, &pool, identity).await? {
                    Identity::delete(conn, &pool, found.located()).await?;
                }
                Ok(None)
            }
        }
    }
}

/// A database, and in it the pool of each round.
struct Ring {
    db: Arc<TestDb>,
    pools: [Pool; 2],
}

impl Ring {
    async fn new() -> Self {
        let db = Arc::new(busy_db(6).await);
        let pools = both_pools(&mut *db.conn().await).await;
        Self { db, pools }
    }

    fn rounds(&self) -> impl Iterator<Item = (usize, &Pool)> {
        (0..ALL).map(|round| (round, &self.pools[usize::from(round >= ROUNDS)]))
    }

    async fn race<const N: usize>(&self, pool: &Pool, calls: [Call; N]) -> [Answer; N] {
        let calls = calls.into_iter().map(|call| call.run(Arc::clone(&self.db), pool.clone())).collect();
        together(calls).await.try_into().unwrap()
    }

    async fn new_user(&self, pool: &Pool, name: &str) -> Uuid {
        new_user(&mut *self.db.conn().await, pool, name).await
    }

    async fn guest(&self, pool: &Pool) -> Uuid {
        Identity::create_guest(&mut *self.db.conn().await, pool, &mut None).await.unwrap()
    }

    async fn owner(&self, pool: &Pool, name: &str) -> Option<Uuid> {
        owner(&mut *self.db.conn().await, pool, name).await
    }

    async fn state(&self, pool: &Pool, uuid: Uuid) -> Option<State> {
        Identity::find(&mut *self.db.conn().await, pool, uuid).await.unwrap().map(|identity| identity.state)
    }

    /// So many identities of each state and so many logins in all, and none of them astray.
    async fn assert_left(&self, enabled: usize, disabled: usize, logins: usize) {
        let conn = &mut *self.db.conn().await;
        assert_sound(conn).await;
        let left = [
            count(conn, "select count(*) from identities where state = 1").await,
            count(conn, "select count(*) from identities where state = 2").await,
            count(conn, "select count(*) from logins").await,
        ];
        assert_eq!(left.map(|left| usize::try_from(left).unwrap()), [enabled, disabled, logins]);
        let lonely = "select count(*) from identities i where state = 2
                      and exists (select from logins l where l.identity_id = i.identity_id)";
        assert_eq!(count(conn, lonely).await, 0, "disabled identities with logins");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_callers_of_one_new_user_get_one_identity() {
    let db = Arc::new(busy_db(16).await);
    let pools = both_pools(&mut *db.conn().await).await;
    let mut lost = 0;
    for round in 0..120 {
        let (pool, name) = (&pools[usize::from(round >= 100)], format!("user {round}"));
        let calls = (0..16).map(|_| {
            let (db, pool, user) = (Arc::clone(&db), pool.clone(), user(&name));
            async move { sign_in(&mut *db.conn().await, &pool, None, &user).await.unwrap() }
        });
        let answers = together(calls.collect()).await;
        let first = answers[0].identity;
        assert!(answers.iter().all(|answer| answer.identity == first), "{answers:?}");
        assert_eq!(answers.iter().filter(|answer| answer.change == Change::Created).count(), 1);
        lost += answers.iter().filter(|answer| answer.change == Change::None).count();
    }
    assert_eq!(lost, 120 * 15);
    let conn = &mut *db.conn().await;
    assert_sound(conn).await;
    assert_eq!(count(conn, "select count(*) from identities").await, 120);
    assert_eq!(count(conn, "select count(*) from logins").await, 120);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_users_who_claim_one_guest_one_gets_it() {
    let ring = Ring::new().await;
    for (round, pool) in ring.rounds() {
        let guest = ring.guest(pool).await;
        let names = [format!("a{round}"), format!("b{round}")];
        let calls = names.clone().map(|name| SignIn(Some(guest), name));
        let (winner, loser) = match ring.race(pool, calls).await {
            [Ok(Some(got)), Err(Error::LoginsDontMatch)] if got == guest => (&names[0], &names[1]),
            [Err(Error::LoginsDontMatch), Ok(Some(got))] if got == guest => (&names[1], &names[0]),
            other => panic!("round {round}: {other:?}"),
        };
        assert_eq!(ring.owner(pool, winner).await, Some(guest));
        assert_eq!(ring.owner(pool, loser).await, None);
    }
    ring.assert_left(ALL, 0, ALL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_user_linked_twice_at_once_is_linked_once() {
    let ring = Ring::new().await;
    for (round, pool) in ring.rounds() {
        let guest = ring.guest(pool).await;
        let call = SignIn(Some(guest), format!("a{round}"));
        let answers = ring.race(pool, [call.clone(), call]).await;
        assert!(matches!(answers, [Ok(Some(a)), Ok(Some(b))] if a == guest && b == guest), "{answers:?}");
    }
    ring.assert_left(ALL, 0, ALL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_user_linked_to_two_guests_at_once_gets_one() {
    let ring = Ring::new().await;
    for (round, pool) in ring.rounds() {
        let guests = [ring.guest(pool).await, ring.guest(pool).await];
        let name = format!("a{round}");
        let got = match ring.race(pool, guests.map(|guest| SignIn(Some(guest), name.clone()))).await {
            [Ok(Some(got)), Err(Error::DeveloperUserAlreadyRegistered)] if got == guests[0] => got,
            [Err(Error::DeveloperUserAlreadyRegistered), Ok(Some(got))] if got == guests[1] => got,
            other => panic!("round {round}: {other:?}"),
        };
        assert_eq!(ring.owner(pool, &name).await, Some(got));
    }
    ring.assert_left(2 * ALL, 0, ALL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opposite_merges_leave_one_survivor() {
    let ring = Ring::new().await;
    for (round, pool) in ring.rounds() {
        let (a, b) = (format!("a{round}"), format!("b{round}"));
        let made = [ring.new_user(pool, &a).await, ring.new_user(pool, &b).await];
        let answers = ring.race(pool, [Merge(a.clone(), b.clone()), Merge(b.clone(), a.clone())]).await;
        let [Ok(Some(survivor)), Ok(Some(same))] = answers else { panic!("round {round}: {answers:?}") };
        assert!(survivor == same && made.contains(&survivor));
        assert_eq!((ring.owner(pool, &a).await, ring.owner(pool, &b).await), (Some(survivor), Some(survivor)));
    }
    ring.assert_left(ALL, ALL, 2 * ALL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chained_merges_at_once_leave_the_last_one() {
    let ring = Ring::new().await;
    for (round, pool) in ring.rounds() {
        let [a, b, c] = ["a", "b", "c"].map(|name| format!("{name}{round}"));
        let (_, at_b) = (ring.new_user(pool, &a).await, ring.new_user(pool, &b).await);
        let at_c = ring.new_user(pool, &c).await;
        let answers = ring.race(pool, [Merge(a.clone(), b.clone()), Merge(b.clone(), c.clone())]).await;
        let [Ok(Some(first)), Ok(Some(second))] = answers else { panic!("round {round}: {answers:?}") };
        assert!((first == at_b || first == at_c) && second == at_c, "round {round}");
        for name in [a, b, c] {
            assert_eq!(ring.owner(pool, &name).await, Some(at_c), "round {round}: {name}");
        }
    }
    ring.assert_left(ALL, 2 * ALL, 3 * ALL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_of_merges_at_once_leaves_one_survivor() {
    let ring = Ring::new().await;
    for (round, pool) in ring.rounds() {
        let [a, b, c] = ["a", "b", "c"].map(|name| format!("{name}{round}"));
        for name in [&a, &b, &c] {
            ring.new_user(pool, name).await;
        }
        let calls = [Merge(a.clone(), b.clone()), Merge(b.clone(), c.clone()), Merge(c.clone(), a.clone())];
        let answers = ring.race(pool, calls).await;
        assert!(answers.iter().all(Result::is_ok), "round {round}: {answers:?}");
        let survivor = ring.owner(pool, &a).await;
        assert_eq!((ring.owner(pool, &b).await, ring.owner(pool, &c).await), (survivor, survivor));
    }
    ring.assert_left(ALL, 2 * ALL, 3 * ALL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_and_an_unlink_of_its_source_come_one_after_the_other() {
    let ring = Ring::new().await;
    let mut merged = 0;
    for (round, pool) in ring.rounds() {
        let (a, b) = (format!("a{round}"), format!("b{round}"));
        let (at_a, at_b) = (ring.new_user(pool, &a).await, ring.new_user(pool, &b).await);
        match ring.race(pool, [Merge(a.clone(), b.clone()), Unlink(at_a, a.clone())]).await {
            [Ok(Some(into)), Err(Error::NotLinkedToIdentity)] if into == at_b => {
                merged += 1;
                assert_eq!(ring.owner(pool, &a).await, Some(at_b));
            }
            [Err(Error::DeveloperUserNotFound), Ok(None)] => assert_eq!(ring.owner(pool, &a).await, None),
            other => panic!("round {round}: {other:?}"),
        }
        assert_eq!(ring.state(pool, at_a).await, Some(State::Disabled), "either way it has lost its last login");
        assert_eq!(ring.owner(pool, &b).await, Some(at_b));
    }
    ring.assert_left(ALL, ALL, ALL + merged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_and_an_unlink_of_its_destination_come_one_after_the_other() {
    let ring = Ring::new().await;
    for (round, pool) in ring.rounds() {
        let (a, b) = (format!("a{round}"), format!("b{round}"));
        let (at_a, at_b) = (ring.new_user(pool, &a).await, ring.new_user(pool, &b).await);
        let (survivor, dead) = match ring.race(pool, [Merge(a.clone(), b.clone()), Unlink(at_b, b.clone())]).await {
            [Ok(Some(into)), Ok(None)] if into == at_b => (at_b, at_a),
            [Err(Error::DeveloperUserNotFound), Ok(None)] => (at_a, at_b),
            other => panic!("round {round}: {other:?}"),
        };
        assert_eq!((ring.owner(pool, &a).await, ring.owner(pool, &b).await), (Some(survivor), None));
        assert_eq!(ring.state(pool, dead).await, Some(State::Disabled));
    }
    ring.assert_left(ALL, ALL, ALL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_and_a_merge_of_the_same_user_come_one_after_the_other() {
    let ring = Ring::new().await;
    let mut merged = 0;
    for (round, pool) in ring.rounds() {
        let (a, b) = (format!("a{round}"), format!("b{round}"));
        let (guest, at_b) = (ring.guest(pool).await, ring.new_user(pool, &b).await);
        let owner = match ring.race(pool, [SignIn(Some(guest), a.clone()), Merge(a.clone(), b.clone())]).await {
            [Ok(Some(got)), Err(Error::DeveloperUserNotFound)] if got == guest => guest,
            [Ok(Some(got)), Ok(Some(into))] if got == guest && into == at_b => {
                merged += 1;
                at_b
            }
            other => panic!("round {round}: {other:?}"),
        };
        assert_eq!(ring.owner(pool, &a).await, Some(owner));
    }
    ring.assert_left(2 * ALL - merged, merged, 2 * ALL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_and_a_link_come_one_after_the_other() {
    let ring = Ring::new().await;
    for (round, pool) in ring.rounds() {
        let (guest, name) = (ring.guest(pool).await, format!("a{round}"));
        match ring.race(pool, [Delete(guest), SignIn(Some(guest), name.clone())]).await {
            [Ok(None), Ok(Some(got))] if got == guest => {}
            [Ok(None), Err(Error::IdentityNotFound(_))] => {}
            other => panic!("round {round}: {other:?}"),
        }
        assert_eq!((ring.state(pool, guest).await, ring.owner(pool, &name).await), (None, None));
    }
    ring.assert_left(0, 0, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_and_a_sign_in_come_one_after_the_other() {
    let ring = Ring::new().await;
    let mut made = 0;
    for (round, pool) in ring.rounds() {
        let name = format!("a{round}");
        let old = ring.new_user(pool, &name).await;
        let answers = ring.race(pool, [Delete(old), SignIn(None, name.clone())]).await;
        let [Ok(None), Ok(Some(got))] = answers else { panic!("round {round}: {answers:?}") };
        assert_eq!(ring.owner(pool, &name).await, (got != old).then_some(got), "round {round}");
        assert_eq!(ring.state(pool, old).await, None);
        made += usize::from(got != old);
    }
    ring.assert_left(made, 0, made).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_and_a_merge_come_one_after_the_other() {
    let ring = Ring::new().await;
    let (mut enabled, mut disabled, mut logins) = (0, 0, 0);
    for (round, pool) in ring.rounds() {
        let (a, b) = (format!("a{round}"), format!("b{round}"));
        let (at_a, at_b) = (ring.new_user(pool, &a).await, ring.new_user(pool, &b).await);
        let victim = if round % 2 == 0 { at_a } else { at_b };
        let merged = match ring.race(pool, [Merge(a.clone(), b.clone()), Delete(victim)]).await {
            [Ok(Some(into)), Ok(None)] if into == at_b => true,
            [Err(Error::DeveloperUserNotFound), Ok(None)] => false,
            other => panic!("round {round}: {other:?}"),
        };
        let left = match (merged, victim == at_a) {
            (true, true) => (1, 0, 2),  // both users at b; the disabled source is gone
            (true, false) => (0, 1, 0), // the survivor is gone with both users
            (false, _) => (1, 0, 1),
        };
        (enabled, disabled, logins) = (enabled + left.0, disabled + left.1, logins + left.2);
    }
    ring.assert_left(enabled, disabled, logins).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chaos_leaves_everything_in_its_place() {
    let ring = Ring::new().await;
    for pool in &ring.pools {
        for name in 0..8 {
            ring.new_user(pool, &name.to_string()).await;
        }
        for round in 0..60_usize {
            let conn = &mut *ring.db.conn().await;
            let all = Identity::list(conn, pool, false, None, 1000).await.unwrap();
            let any = |salt: usize| all[(round * 7 + salt * 5) % all.len()].uuid;
            let name = |salt: usize| ((round * 3 + salt) % 8).to_string();
            let guest = Identity::create_guest(conn, pool, &mut None).await.unwrap();
            let calls = [
                Merge(name(0), name(1)),
                Merge(name(1), name(2)),
                Unlink(any(1), name(3)),
                Delete(any(2)),
                SignIn(Some(guest), name(4)),
                SignIn(None, name(5)),
            ];
            for answer in ring.race(pool, calls).await {
                assert!(
                    !matches!(answer, Err(Error::Database(_) | Error::Internal(_) | Error::Contended)),
                    "{answer:?}"
                );
            }
        }
        let conn = &mut *ring.db.conn().await;
        assert_sound(conn).await;
        for name in 0..8 {
            if let Some(owner) = owner(conn, pool, &name.to_string()).await {
                assert!(!Login::of_identity(conn, pool, owner).await.unwrap().is_empty());
            }
        }
    }
}
