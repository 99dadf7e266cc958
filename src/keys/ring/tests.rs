//! The ring's clocks, fence and documents.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use time::macros::datetime;

use super::*;
use crate::clock::FixedClock;
use crate::keys::material::Fresh;
use crate::keys::testing::policy;

const START: OffsetDateTime = datetime!(2030-01-01 0:00 UTC);
const SECOND: Duration = Duration::from_secs(1);

struct Bench {
    ring: KeyRing,
    hands: Arc<FixedClock>,
    seal: Seal,
    keys: Vec<SigningKey>,
}

impl Bench {
    /// A ring without a poll, and the two first keys.
    async fn new() -> Self {
        let (clock, hands) = Clock::fixed(START);
        let seal = Seal::from_text(&STANDARD.encode([1; 32])).unwrap();
        let policy = policy();
        let mut keys = Vec::new();
        for sign_from in [Some(policy.at_once(START)), None] {
            let fresh = Fresh::generate(&policy.issuer, Algorithm::ES256, START, &seal).await.unwrap();
            keys.push(SigningKey::new(fresh, START, sign_from, 1));
        }
        Self { ring: KeyRing::new(policy, clock), hands, seal, keys }
    }

    /// A poll for which the database says `now`.
    fn poll(&self, now: OffsetDateTime) -> Result<()> {
        self.poll_at(7, now)
    }

    /// The same, at another epoch.
    fn poll_at(&self, epoch: i64, now: OffsetDateTime) -> Result<()> {
        let reading = Reading {
            now,
            epoch,
            issuer: self.ring.policy.issuer.clone(),
            others_end: None,
            version: 1,
            keys: self.keys.clone(),
        };
        let elapsed = self.ring.clock.elapsed();
        let wall = self.ring.clock.wall();
        let agree = clocks_agree(&self.ring.policy, wall, wall, now);
        self.ring.take_over(View { reading, began: elapsed, answered: elapsed }, agree, &self.seal)
    }

    fn why_not(&self) -> Option<&'static str> {
        match self.ring.status() {
            Ok(()) => None,
            Err(Error::CannotSign(reason)) => Some(reason),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn nothing_is_signed_past_the_fence_and_nothing_shown_past_the_limit() {
    let bench = Bench::new().await;
    assert_eq!(bench.why_not(), Some(NO_POLL));
    assert!(bench.ring.jwks().is_err() && bench.ring.now().is_none() && !bench.ring.fresh());
    bench.poll(START).unwrap();
    assert_eq!(bench.ring.epoch(), 7);
    let signer = bench.ring.signer().unwrap();
    assert_eq!((signer.kid.as_str(), signer.now), (bench.keys[0].kid.as_str(), START));
    bench.hands.advance(bench.ring.policy.keys.sign_fence);
    signer.sign(b"message").unwrap();
    assert!(bench.ring.fresh());
    bench.hands.advance(SECOND);
    assert!(matches!(signer.sign(b"message"), Err(Error::CannotSign(STALE))));
    assert_eq!(bench.why_not(), Some(STALE));
    assert!(!bench.ring.fresh());
    let elapsed = bench.ring.clock.elapsed();
    bench.hands.advance(bench.ring.policy.keys.jwks_stale_limit.checked_sub(elapsed).unwrap());
    bench.ring.jwks().unwrap();
    bench.hands.advance(SECOND);
    assert!(bench.ring.jwks().is_err() && bench.ring.discovery().is_err());
}

#[tokio::test]
async fn clocks_that_disagree_stop_signing_until_a_poll_agrees() {
    let bench = Bench::new().await;
    let skew = bench.ring.policy.keys.replica_skew;
    bench.poll(START).unwrap();
    let signer = bench.ring.signer().unwrap();
    for wrong in [START + skew + SECOND, START - skew - SECOND] {
        bench.hands.set_wall(wrong);
        bench.poll(START).unwrap_err();
        assert_eq!(bench.why_not(), Some(CLOCK_OFF));
        assert!(signer.sign(b"message").is_err());
        assert!(bench.ring.jwks().is_ok());
    }
    bench.hands.set_wall(START + skew);
    bench.poll(START).unwrap();
    assert_eq!(bench.why_not(), None);
    signer.sign(b"message").unwrap();
}

#[tokio::test]
async fn a_database_that_went_back_to_an_earlier_state_stops_signing_until_it_is_told_to_go_on() {
    let bench = Bench::new().await;
    bench.poll_at(7, START).unwrap();
    let (signer, jwks) = (bench.ring.signer().unwrap(), bench.ring.jwks().unwrap());
    bench.poll_at(6, START).unwrap_err();
    assert_eq!(bench.why_not(), Some(RAN_BACK));
    assert!(signer.sign(b"message").is_err() && !bench.ring.fresh());
    // What was there before is shown on, for as long as it may be.
    assert_eq!(bench.ring.jwks().unwrap().body, jwks.body);
    assert_eq!(bench.ring.epoch(), 7);
    // Changes of that state do not make it a later one.
    for epoch in [5, 7, 8, 1_000, LEAP + 4] {
        bench.poll_at(epoch, START).unwrap_err();
        assert_eq!((bench.why_not(), bench.ring.epoch()), (Some(RAN_BACK), 7));
    }
    bench.poll_at(LEAP + 5, START).unwrap();
    assert_eq!((bench.why_not(), bench.ring.epoch()), (None, LEAP + 5));
    signer.sign(b"message").unwrap();
}

#[test]
fn a_slow_poll_is_allowed_its_round_trip() {
    let policy = policy();
    let limit = policy.keys.replica_skew;
    assert!(clocks_agree(&policy, START, START + 3 * SECOND, START + limit + 3 * SECOND));
    assert!(!clocks_agree(&policy, START, START + 3 * SECOND, START + limit + 4 * SECOND));
    assert!(!clocks_agree(&policy, START, START + 3 * SECOND, START - limit - SECOND));
}

#[tokio::test]
async fn time_never_runs_backwards() {
    let bench = Bench::new().await;
    bench.poll(START).unwrap();
    bench.hands.advance(10 * SECOND);
    assert_eq!(bench.ring.now(), Some(START + 10 * SECOND));
    bench.poll(START + 7 * SECOND).unwrap();
    assert_eq!(bench.ring.now(), Some(START + 10 * SECOND));
    bench.hands.advance(4 * SECOND);
    assert_eq!(bench.ring.now(), Some(START + 11 * SECOND));
}

#[tokio::test]
async fn the_turn_comes_with_time_alone() {
    let mut bench = Bench::new().await;
    let turn = START + 30 * SECOND;
    bench.keys[0].sign_until = Some(turn);
    bench.keys[0].unpublish_at = Some(turn + bench.ring.policy.keys.unpublish_delay);
    bench.keys[1].sign_from = Some(turn);
    bench.poll(START).unwrap();
    let jwks = bench.ring.jwks().unwrap();
    assert!(Arc::ptr_eq(&jwks, &bench.ring.jwks().unwrap()));
    assert_eq!(bench.ring.signer().unwrap().kid, bench.keys[0].kid);
    bench.hands.advance(30 * SECOND);
    assert_eq!(bench.ring.signer().unwrap().kid, bench.keys[1].kid);
    let turned = bench.ring.jwks().unwrap();
    assert!(turned.body.find(&bench.keys[1].kid) < turned.body.find(&bench.keys[0].kid));
    assert_ne!(turned.etag, jwks.etag);
}

#[tokio::test]
async fn a_private_half_is_neither_kept_nor_loaded_when_it_may_sign_no_more() {
    let mut bench = Bench::new().await;
    bench.poll(START).unwrap();
    bench.keys[0].sign_until = Some(START);
    bench.keys[1].sign_from = Some(START);
    bench.poll(START).unwrap();
    let held = bench.ring.held().snapshot.unwrap();
    assert_eq!(held.halves.keys().collect::<Vec<_>>(), [&bench.keys[1].kid]);
    bench.keys[1].revoked_at = Some(START);
    bench.poll(START).unwrap();
    assert_eq!(bench.why_not(), Some(NO_KEY));
    assert!(bench.ring.jwks().is_err());
    assert!(bench.ring.held().snapshot.unwrap().halves.is_empty());
}

#[tokio::test]
async fn a_ring_without_the_master_key_shows_but_does_not_sign() {
    let mut bench = Bench::new().await;
    let missing = bench.seal.primary_id();
    bench.seal = Seal::from_text(&STANDARD.encode([2; 32])).unwrap();
    bench.poll(START).unwrap();
    assert!(matches!(bench.ring.status(), Err(Error::Sealed(id)) if id == missing));
    bench.ring.jwks().unwrap();
    bench.keys[0].private_sealed = None;
    bench.poll(START).unwrap();
    assert_eq!(bench.why_not(), Some(NO_HALF));
}
