//! A rotation that is due is done once, however many brokers see at the same time that it is.

use std::sync::Arc;

use symbolon::clock::Clock;
use symbolon::config::{Algorithm, Config, Sources};
use symbolon::db::Db;
use symbolon::installation::{self, Installation, Kind};
use symbolon::keys::rotation::{self, Outcome, Step};
use symbolon::keys::{KeyRing, Policy, control};
use symbolon::seal::Seal;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::broker::{ISSUER, MASTER_KEY};
use crate::database::{Database, count, open};
use crate::elapsed::pass;
use crate::figures::{Figures, size};

const REPLICAS: usize = 4;

/// A broker, as far as its keys are concerned: what it holds in memory, and its own connections.
struct Replica {
    ring: KeyRing,
    db: Db,
    seal: Seal,
}

impl Replica {
    fn of(url: &str, policy: &Policy) -> Self {
        let seal = Seal::from_text(MASTER_KEY).unwrap();
        Self { ring: KeyRing::new(policy.clone(), Clock::System), db: open(url), seal }
    }

    async fn poll(&self) {
        self.ring.poll(&self.db, &self.seal).await.unwrap();
    }

    /// What the broker's loop does when something is due by its last poll.
    async fn change(&self) -> Outcome {
        let policy = self.ring.policy();
        let plan = |keys: &[_], now| Ok(rotation::plan(keys, policy, now));
        rotation::change(&self.db, &self.seal, policy, plan).await.unwrap()
    }
}

/// What all of them do, begun at the same moment.
async fn together(replicas: &[Arc<Replica>]) -> Vec<Outcome> {
    let barrier = Arc::new(Barrier::new(replicas.len()));
    let mut racing = JoinSet::new();
    for replica in replicas {
        let (replica, barrier) = (Arc::clone(replica), Arc::clone(&barrier));
        racing.spawn(async move {
            replica.poll().await;
            barrier.wait().await;
            replica.change().await
        });
    }
    racing.join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_four_brokers_that_race_for_a_due_rotation_one_makes_one_key() {
    let database = Database::migrated().await;
    // The default schedule, with keys that are quickly made.
    let policy = Policy::new(&Config::read(&Sources::default()).unwrap(), ISSUER);
    let policy = Policy { algorithm: Algorithm::ES256, ..policy };
    let replicas: Vec<_> = (0..REPLICAS).map(|_| Arc::new(Replica::of(&database.url, &policy))).collect();
    let first = &replicas[0];
    let mut conn = first.db.connect().await.unwrap();
    installation::unseal(&mut conn, &first.seal).await.unwrap();
    Installation::find_or_create(&mut conn, Kind::Serve, ISSUER).await.unwrap();

    let made = async || usize::try_from(count(&database.url, "select count(*) from signing_keys").await).unwrap();
    let rounds = size(10, 200);
    let (mut lost, mut contended) = (0, 0);
    let mut previous = None;
    // The first race is for the issuer's first keys: one that signs, and one that waits.
    for round in 0..=rounds {
        if round > 0 {
            pass(&first.db, policy.keys.rotation_period).await;
        }
        let outcomes = together(&replicas).await;
        let written: Vec<&Vec<Step>> = outcomes
            .iter()
            .filter_map(|outcome| match outcome {
                Outcome::Written(steps) => Some(steps),
                Outcome::Nothing | Outcome::Lost => None,
            })
            .collect();
        assert_eq!(written.len(), 1, "{outcomes:?}");
        let published = written[0].iter().filter(|step| matches!(step, Step::Publish { .. })).count();
        assert_eq!((published, made().await), (if round == 0 { 2 } else { 1 }, 2 + round), "{outcomes:?}");
        let losers = outcomes.iter().filter(|outcome| **outcome == Outcome::Lost).count();
        lost += losers;
        contended += usize::from(round > 0 && losers > 0);

        // All of them turn to the same key, which has not signed before.
        pass(&first.db, policy.keys.sign_fence).await;
        let mut signing = Vec::new();
        for replica in &replicas {
            replica.poll().await;
            signing.push((replica.ring.signer().unwrap().kid, replica.ring.jwks().unwrap().body.clone()));
        }
        assert!(signing.iter().all(|other| *other == signing[0]), "{signing:?}");
        assert_ne!(previous, Some(signing[0].0.clone()));
        previous = Some(signing[0].0.clone());
    }
    assert!(contended * 2 > rounds, "{contended} of {rounds} rotations were raced for");
    let audit = control::audit(&first.db, &policy).await.unwrap();
    assert!(audit.findings.is_empty(), "{audit:?}");

    let mut figures = Figures::of("1-rotation-4-raced", "Rotations that four brokers race for");
    figures.row("rotations due", size("10", "200"), rounds);
    figures.row("new keys, beside the first two", size("10", "200"), made().await - 2);
    figures.row("rotations for which a broker came too late, and threw its key away", "more than half", contended);
    figures.row("keys thrown away", "", lost);
    figures.publish();
}
