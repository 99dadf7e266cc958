//! Races of calls with several logins: for a guest, for the last free place, for one login first seen by many at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use symbolon::error::{Error, Result};
use symbolon::iam::OidcProvider;
use symbolon::identities::identity::State;
use symbolon::identities::sign_in::{self, Claim};
use symbolon::identities::unlink::unlink_providers;
use symbolon::identities::{Identity, Tried};
use symbolon::ids::PoolId;
use symbolon::pools::Pool;
use symbolon::upstream::{Declared, Trust, VerifiedLogin};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::federation::{Federation, PROVIDERS, federation};
use crate::harness::*;

/// Rounds in a pool in one route, and after them in one in many.
const ROUNDS: usize = 60;
const WIDE_ROUNDS: usize = 20;
const RACERS: usize = 16;

/// One call of a broker, to be run beside others.
#[derive(Clone, Debug)]
enum Call {
    /// With users of public providers, as `PATH:NAME`, and at most one of the developer's.
    SignIn(Option<Uuid>, Vec<&'static str>),
    /// Takes the login of the provider at a path from an identity, with a user as proof.
    Take(Uuid, &'static str, &'static str),
}
use Call::{SignIn, Take};

/// What a call returned: the identity, if any.
type Answer = Result<Option<Uuid>>;

struct Ring {
    at: Federation,
    pools: [Pool; 2],
    proven: Arc<BTreeMap<String, VerifiedLogin>>,
    conns: Vec<Arc<Mutex<PgConnection>>>,
}

impl Ring {
    /// A pool in one route and one in many, and a connection for each racer.
    async fn new() -> Self {
        let at = federation().await;
        let other = at.pool_with(serde_json::json!({})).await;
        let mut pools = Vec::new();
        let conn = &mut *at.broker.db.conn().await;
        for (id, spread) in [(&at.pool, 1_i16), (&other, 64)] {
            let id = PoolId::parse(id).unwrap();
            let update = sqlx::query("update identity_pools set spread = $2 where pool_id = $1");
            update.bind(id.uuid).bind(spread).execute(&mut *conn).await.unwrap();
            pools.push(Pool::find(conn, &at.developer.account, &id).await.unwrap().unwrap());
        }
        let keys = PROVIDERS.map(|path| at.key(path));
        let openid_connect = OidcProvider::of_urls(conn, &at.developer.account, &keys).await.unwrap();
        let declared = Declared { openid_connect, ..Declared::default() };
        let mut proven = BTreeMap::new();
        for path in PROVIDERS {
            for name in ["ann", "bob"] {
                let login = (Trust::of(&pools[0], &at.key(path), &declared).unwrap(), at.token(path, name));
                let verified = at.broker.app.upstream.verify(vec![login]).await.unwrap();
                proven.insert(format!("{path}:{name}"), verified.into_iter().next().unwrap());
            }
        }
        let mut conns = Vec::new();
        for _ in 0..RACERS {
            let options = at.broker.db.options().options([("lock_timeout", "5s")]);
            let conn = PgConnection::connect_with(&options).await.unwrap();
            conns.push(Arc::new(Mutex::new(conn)));
        }
        Self { pools: pools.try_into().unwrap(), proven: Arc::new(proven), conns, at }
    }

    fn rounds(&self) -> impl Iterator<Item = &Pool> {
        (0..ROUNDS + WIDE_ROUNDS).map(|round| &self.pools[usize::from(round >= ROUNDS)])
    }

    /// Each tried once, as `retry!` would hide a deadlock.
    async fn race(&self, pool: &Pool, calls: &[Call]) -> Vec<Answer> {
        let runs = calls
            .iter()
            .zip(&self.conns)
            .map(|(call, conn)| run(call.clone(), Arc::clone(conn), pool.clone(), Arc::clone(&self.proven)));
        together(runs.collect()).await
    }

    async fn id(&self, pool: &Pool, users: &[&'static str]) -> Uuid {
        let call = SignIn(None, users.to_vec());
        run(call, Arc::clone(&self.conns[0]), pool.clone(), Arc::clone(&self.proven)).await.unwrap().unwrap()
    }

    async fn guest(&self, pool: &Pool) -> Uuid {
        Identity::create_guest(&mut *self.conns[0].lock().await, pool, &mut None).await.unwrap()
    }

    /// The state of an identity, and its providers by their numbers: the developer's is 1, and then they are in the order
    /// of their paths.
    async fn left(&self, pool: &Pool, uuid: Uuid) -> (State, Vec<i16>) {
        let conn = &mut *self.conns[0].lock().await;
        let logins = symbolon::identities::Login::of_identity(conn, pool, uuid).await.unwrap();
        (identity(conn, pool, uuid).await.state, logins.iter().map(|login| login.provider_no).collect())
    }

    /// Ends a round: so many identities and logins, and none of them astray; and then none at all.
    async fn clear(&self, enabled: i64, disabled: i64, logins: i64) {
        let conn = &mut *self.conns[0].lock().await;
        assert_sound(conn).await;
        let left = [
            count(conn, "select count(*) from identities where state = 1").await,
            count(conn, "select count(*) from identities where state = 2").await,
            count(conn, "select count(*) from logins").await,
        ];
        assert_eq!(left, [enabled, disabled, logins]);
        sqlx::raw_sql("delete from logins; delete from identities").execute(conn).await.unwrap();
    }
}

async fn run(
    call: Call,
    conn: Arc<Mutex<PgConnection>>,
    pool: Pool,
    proven: Arc<BTreeMap<String, VerifiedLogin>>,
) -> Answer {
    let conn = &mut *conn.lock().await;
    let answer = attempt(call, conn, &pool, &proven).await;
    // A refusal leaves a transaction that ends when the connection is next used.
    conn.ping().await.unwrap();
    answer
}

async fn attempt(call: Call, conn: &mut PgConnection, pool: &Pool, proven: &BTreeMap<String, VerifiedLogin>) -> Answer {
    match call {
        SignIn(named, users) => {
            let named = named.map(|uuid| id_of(pool, uuid));
            let developer = users.iter().find(|name| !name.contains(':')).map(|name| user(name));
            let public: Vec<VerifiedLogin> = users.iter().filter_map(|name| proven.get(*name).cloned()).collect();
            let claim = Claim { named: named.as_ref(), developer: developer.as_ref(), public: &public };
            Ok(Some(sign_in::sign_in(conn, pool, &claim, LOGINS, &mut Tried::default()).await?.identity))
        }
        Take(identity, proof, path) => {
            let logins = [proven[proof].clone()];
            let key = proven[&format!("{path}:ann")].login_key();
            unlink_providers(conn, pool, identity, &logins, &[pool.numbered[key].no], &mut Tried::default())
                .await
                .map(|()| None)
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_claimed_with_different_new_logins_becomes_one_user() {
    let ring = Ring::new().await;
    for pool in ring.rounds() {
        for claims in [[vec!["a:ann"], vec!["b:bob"]], [vec!["a:ann"], vec!["a:bob"]], [vec!["a:ann"], vec!["ada"]]] {
            let guest = ring.guest(pool).await;
            match &ring.race(pool, &claims.map(|users| SignIn(Some(guest), users))).await[..] {
                [Ok(Some(got)), Err(Error::LoginsDontMatch)] | [Err(Error::LoginsDontMatch), Ok(Some(got))] => {
                    assert_eq!(*got, guest);
                }
                other => panic!("{other:?}"),
            }
            ring.clear(1, 0, 1).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_named_by_two_known_users_joins_one_of_them() {
    let ring = Ring::new().await;
    for pool in ring.rounds() {
        let (guest, ann, bob) =
            (ring.guest(pool).await, ring.id(pool, &["a:ann"]).await, ring.id(pool, &["b:bob"]).await);
        let calls = [SignIn(Some(guest), vec!["a:ann"]), SignIn(Some(guest), vec!["b:bob"])];
        match &ring.race(pool, &calls).await[..] {
            [Ok(Some(got)), Err(Error::IdentityForbidden(_))] => assert_eq!(*got, ann),
            [Err(Error::IdentityForbidden(_)), Ok(Some(got))] => assert_eq!(*got, bob),
            other => panic!("{other:?}"),
        }
        ring.clear(2, 1, 2).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_named_by_a_known_and_by_a_new_user_is_one_of_theirs() {
    let ring = Ring::new().await;
    for pool in ring.rounds() {
        let (guest, ann) = (ring.guest(pool).await, ring.id(pool, &["a:ann"]).await);
        let calls = [SignIn(Some(guest), vec!["a:ann"]), SignIn(Some(guest), vec!["b:bob"])];
        match &ring.race(pool, &calls).await[..] {
            [Ok(Some(got)), Err(Error::IdentityForbidden(_))] if *got == ann => ring.clear(1, 1, 1).await,
            [Err(Error::LoginsDontMatch), Ok(Some(got))] if *got == guest => ring.clear(2, 0, 2).await,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_links_at_once_do_not_pass_the_limit() {
    let ring = Ring::new().await;
    for (round, pool) in ring.rounds().enumerate().filter(|(round, _)| round % 3 == 0) {
        let ann = ring.id(pool, &["ada", "a:ann"]).await;
        let free = 1 + round % 2;
        for number in 2..usize::try_from(LOGINS).unwrap() - free {
            extra_login(&mut *ring.conns[0].lock().await, pool, &number.to_string(), ann).await;
        }
        let calls = [SignIn(Some(ann), vec!["a:ann", "b:ann"]), SignIn(None, vec!["ada", "c:ann"])];
        match &ring.race(pool, &calls).await[..] {
            [Ok(Some(one)), Ok(Some(other))] if free == 2 => assert_eq!((*one, *other), (ann, ann)),
            [Ok(Some(got)), Err(Error::TooManyLogins)] | [Err(Error::TooManyLogins), Ok(Some(got))] if free == 1 => {
                assert_eq!(*got, ann);
            }
            other => panic!("{free} free: {other:?}"),
        }
        ring.clear(1, 0, i64::from(LOGINS)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_is_good_until_it_is_unlinked() {
    let ring = Ring::new().await;
    for pool in ring.rounds() {
        // Another login stays: what the proof was to link is linked before, or not at all.
        let ann = ring.id(pool, &["a:ann", "b:ann"]).await;
        let calls = [Take(ann, "a:ann", "a"), SignIn(Some(ann), vec!["a:ann", "c:ann"])];
        let expected = match &ring.race(pool, &calls).await[..] {
            [Ok(None), Ok(Some(got))] if *got == ann => vec![3, 4],
            [Ok(None), Err(Error::LoginsDontMatch)] => vec![3],
            other => panic!("{other:?}"),
        };
        assert_eq!(ring.left(pool, ann).await, (State::Enabled, expected.clone()));
        ring.clear(1, 0, i64::try_from(expected.len()).unwrap()).await;

        // It is the last: what it linked keeps the identity alive, or the identity is dead, and never a guest.
        let ann = ring.id(pool, &["a:ann"]).await;
        let calls = [Take(ann, "a:ann", "a"), SignIn(Some(ann), vec!["a:ann", "b:ann"])];
        match &ring.race(pool, &calls).await[..] {
            [Ok(None), Ok(Some(got))] if *got == ann => {
                assert_eq!(ring.left(pool, ann).await, (State::Enabled, vec![3]));
                ring.clear(1, 0, 1).await;
            }
            [Ok(None), Err(Error::IdentityForbidden(_))] => ring.clear(0, 1, 0).await,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_logins_first_seen_by_many_alone_and_together_end_at_one_identity() {
    let ring = Ring::new().await;
    let sets: [&[&str]; 3] = [&["a:ann"], &["a:ann", "b:ann"], &["b:ann"]];
    let mut merged = 0;
    for pool in ring.rounds() {
        let calls: Vec<Call> = (0..RACERS).map(|racer| SignIn(None, sets[racer % 3].to_vec())).collect();
        let answers: Vec<Uuid> = ring.race(pool, &calls).await.into_iter().map(|got| got.unwrap().unwrap()).collect();
        let survivor = ring.id(pool, &["a:ann"]).await;
        assert_eq!(ring.id(pool, &["b:ann"]).await, survivor);
        let together: BTreeSet<&Uuid> = answers.iter().skip(1).step_by(3).collect();
        assert_eq!(together, BTreeSet::from([&survivor]), "whoever has both is told of the one that is left");
        let all: BTreeSet<&Uuid> = answers.iter().collect();
        let disabled = i64::try_from(all.len()).unwrap() - 1;
        assert!(disabled <= 1, "{all:?}");
        merged += disabled;
        ring.clear(1, disabled, 2).await;
    }
    assert!(merged > 0, "nobody was ever merged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_opposite_implicit_merges_one_comes_first_and_the_other_is_too_late() {
    let ring = Ring::new().await;
    for pool in ring.rounds() {
        let (a, b) = (ring.id(pool, &["a:ann"]).await, ring.id(pool, &["b:ann"]).await);
        let calls = [SignIn(Some(a), vec!["a:ann", "b:ann"]), SignIn(Some(b), vec!["b:ann", "a:ann"])];
        match &ring.race(pool, &calls).await[..] {
            [Ok(Some(got)), Err(Error::IdentityForbidden(_))] => assert_eq!(*got, a),
            [Err(Error::IdentityForbidden(_)), Ok(Some(got))] => assert_eq!(*got, b),
            other => panic!("{other:?}"),
        }
        ring.clear(1, 1, 2).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_that_waits_for_a_sign_in_is_not_waited_for_by_it() {
    let ring = Ring::new().await;
    let [pool, _] = &ring.pools;
    let (older, younger) = (ring.id(pool, &["a:ann"]).await, ring.id(pool, &["b:ann"]).await);
    // A sign-in under way that has made the developer's user, and means to make another login that it did not find.
    let mut conn = PgConnection::connect_with(&ring.at.broker.db.options()).await.unwrap();
    let mut other = conn.begin().await.unwrap();
    sqlx::raw_sql("set local lock_timeout = 900").execute(&mut *other).await.unwrap();
    extra_login(&mut other, pool, "ada", Uuid::from_u128(1)).await;
    let merge = run(
        SignIn(None, vec!["ada", "a:ann", "b:ann"]),
        Arc::clone(&ring.conns[1]),
        pool.clone(),
        Arc::clone(&ring.proven),
    );
    let merge = tokio::spawn(merge);
    await_waiting(&mut *ring.conns[0].lock().await, 1).await;
    let insert = "insert into logins (route, provider_no, subject_key, identity_id)
                    select route, provider_no, subject_key, $2 from logins where identity_id = $1
                  on conflict (route, provider_no, subject_key) do nothing";
    let insert = sqlx::query(insert).bind(younger).bind(Uuid::from_u128(1)).execute(&mut *other).await;
    assert_eq!(insert.unwrap().rows_affected(), 0, "it is there");
    other.rollback().await.unwrap();
    assert_eq!(merge.await.unwrap().unwrap(), Some(older));
    assert_eq!(ring.left(pool, older).await, (State::Enabled, vec![1, 2, 3]));
    ring.clear(1, 1, 3).await;
}
