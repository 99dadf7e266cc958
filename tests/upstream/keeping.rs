//! What is kept of an issuer, for how long, and who shares it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use symbolon::clock::FixedClock;
use symbolon::upstream::{Trust, Upstream};
use tokio::task::JoinSet;

use crate::issuer::minting::Key;
use crate::issuer::{DISCOVERY, Fault, Issuer, KEYS};
use crate::stage::{self, CLIENT, NOW, outcome};

/// In seconds, as the defaults have it.
const COOLDOWN: u64 = 30;
const DAY: u64 = 86_400;

/// An issuer, a broker's upstream that trusts it, and the clock of both.
struct Scene {
    issuer: Issuer,
    upstream: Arc<Upstream>,
    hands: Arc<FixedClock>,
    passed: u64,
}

impl Scene {
    async fn new() -> Self {
        let issuer = Issuer::start().await;
        let lines = format!("allow_http_issuers = ['{}']\nfetch_timeout = 2", issuer.url());
        let (upstream, hands) = stage::upstream(&lines);
        Self { issuer, upstream: Arc::new(upstream), hands, passed: 0 }
    }

    /// Lets so many seconds pass.
    fn advance(&mut self, seconds: u64) {
        self.hands.advance(Duration::from_secs(seconds));
        self.passed += seconds;
    }

    fn claims(&self) -> Value {
        self.issuer.claims_at(NOW + i64::try_from(self.passed).unwrap(), "user", CLIENT)
    }

    fn trust(&self) -> Trust {
        stage::declared(self.issuer.login_key())
    }

    fn token(&self) -> String {
        self.issuer.token_with(&self.claims())
    }

    async fn login_by(&self, key: &Key) -> String {
        outcome(&stage::verify(&self.upstream, &self.trust(), &key.token(&self.claims())).await)
    }

    async fn login(&self) -> String {
        self.login_by(&self.issuer.key()).await
    }

    /// A login by a key that nobody has ever published.
    async fn login_by_a_stranger(&self, name: &str) -> String {
        self.login_by(&Key::rsa(2, name, "RS256")).await
    }

    fn fetches(&self) -> usize {
        self.issuer.hits_of(KEYS)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_who_come_at_once_share_one_fetch() {
    let scene = Scene::new().await;
    scene.issuer.misbehave(DISCOVERY, Fault::Late(Duration::from_millis(100)));
    let mut callers = JoinSet::new();
    for _ in 0..50 {
        let (upstream, trust, token) = (Arc::clone(&scene.upstream), scene.trust(), scene.token());
        callers.spawn(async move { outcome(&stage::verify(&upstream, &trust, &token).await) });
    }
    let outcomes = callers.join_all().await;
    assert!(outcomes.iter().all(|came| came == "accepted"), "{outcomes:?}");
    assert_eq!((scene.issuer.hits_of(DISCOVERY), scene.issuer.hits_of(KEYS)), (1, 1));
    assert_eq!(scene.login().await, "accepted");
    assert_eq!(scene.issuer.hits(), 2);
}

#[tokio::test]
async fn callers_who_come_at_once_share_one_failure() {
    let scene = Scene::new().await;
    scene.issuer.misbehave(DISCOVERY, Fault::Status(500));
    let outcomes = join_all((0..50).map(|_| scene.login())).await;
    assert!(outcomes.iter().all(|came| came == "Upstream"), "{outcomes:?}");
    assert_eq!(scene.issuer.hits(), 1);
}

#[tokio::test]
async fn a_caller_who_goes_away_takes_nothing_from_the_others() {
    let scene = Scene::new().await;
    scene.issuer.misbehave(DISCOVERY, Fault::Late(Duration::from_millis(300)));
    let token = scene.token();
    let (upstream, trust) = (Arc::clone(&scene.upstream), scene.trust());
    let first = tokio::spawn(async move { stage::verify(&upstream, &trust, &token).await });
    while scene.issuer.hits() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let second = async {
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
    };
    let (came, ()) = tokio::join!(scene.login(), second);
    assert_eq!(came, "accepted");
    assert_eq!((scene.issuer.hits_of(DISCOVERY), scene.issuer.hits_of(KEYS)), (1, 1), "the fetch goes on");
    assert_eq!(scene.login().await, "accepted");
}

#[tokio::test]
async fn a_fetch_that_everyone_has_left_does_not_stay_in_the_way() {
    let mut scene = Scene::new().await;
    scene.issuer.misbehave(DISCOVERY, Fault::Hang);
    let abandoned = tokio::time::timeout(Duration::from_millis(100), scene.login()).await;
    assert!(abandoned.is_err());
    scene.issuer.behave();
    scene.advance(COOLDOWN);
    // At the latest when the fetch that hangs is given up.
    let came = tokio::time::timeout(Duration::from_secs(10), async {
        while scene.login().await != "accepted" {
            scene.advance(COOLDOWN);
        }
    });
    came.await.unwrap();
}

#[tokio::test]
async fn unknown_keys_cause_one_look_in_a_cooldown_whoever_asks() {
    let mut scene = Scene::new().await;
    assert_eq!(scene.login().await, "accepted");
    assert_eq!(scene.fetches(), 1);
    for round in 1..=3 {
        scene.advance(COOLDOWN);
        for n in 0..5 {
            assert_eq!(scene.login_by_a_stranger(&format!("{round}-{n}")).await, "Signature");
        }
        let names: Vec<_> = (0..20).map(|n| format!("{round}-at-once-{n}")).collect();
        let outcomes = join_all(names.iter().map(|name| scene.login_by_a_stranger(name))).await;
        assert!(outcomes.iter().all(|came| came == "Signature"), "{outcomes:?}");
        assert_eq!(scene.fetches(), 1 + round, "in round {round}");
    }
    scene.advance(COOLDOWN - 1);
    assert_eq!(scene.login_by_a_stranger("too early").await, "Signature");
    assert_eq!(scene.login().await, "accepted");
    assert_eq!(scene.fetches(), 4);
}

#[tokio::test]
async fn a_token_that_could_not_hold_makes_nobody_look() {
    let mut scene = Scene::new().await;
    let stranger = Key::rsa(2, "stranger", "RS256");
    for (change, expected) in [
        (serde_json::json!({"aud": "another"}), "Audience"),
        (serde_json::json!({"exp": 1}), "Expired"),
        (serde_json::json!({"iss": "https://elsewhere.example"}), "Issuer"),
        (serde_json::json!({"sub": null}), "MissingClaim sub"),
        (serde_json::json!({"iat": NOW + 86_400}), "NotYetValid"),
    ] {
        let token = stranger.token(&crate::issuer::minting::altered(&scene.claims(), &change));
        let result = stage::verify(&scene.upstream, &scene.trust(), &token).await;
        assert_eq!(outcome(&result), expected);
        assert_eq!(scene.issuer.connections(), 0, "{change}");
    }
    assert_eq!(scene.login().await, "accepted");
    scene.advance(COOLDOWN);
    for alg in ["none", "HS256", "ES256K"] {
        let header = serde_json::json!({"alg": alg, "kid": "stranger"});
        let token = stranger.token_of(header.to_string(), scene.claims().to_string());
        assert_eq!(outcome(&stage::verify(&scene.upstream, &scene.trust(), &token).await), "Signature");
    }
    assert_eq!(scene.issuer.hits(), 2);
}

#[tokio::test]
async fn a_new_key_is_found_and_a_removed_one_is_gone_after_the_next_look() {
    let mut scene = Scene::new().await;
    let old = scene.issuer.key();
    assert_eq!(scene.login().await, "accepted");
    scene.issuer.rotate();
    scene.advance(COOLDOWN);
    assert_eq!(scene.login().await, "accepted", "by the new key");
    assert_eq!(scene.login_by(&old).await, "accepted", "which is still published");
    assert_eq!(scene.fetches(), 2);

    scene.issuer.remove_key(&old.kid);
    assert_eq!(scene.login_by(&old).await, "accepted", "nobody has looked since");
    scene.advance(COOLDOWN);
    assert_eq!(scene.login_by_a_stranger("who makes it look").await, "Signature");
    assert_eq!(scene.login_by(&old).await, "Signature");
    assert_eq!(scene.login().await, "accepted");
}

#[tokio::test]
async fn a_removed_key_is_gone_within_a_day_even_if_nobody_comes_with_another() {
    let mut scene = Scene::new().await;
    scene.issuer.set_cache_control("public, max-age=31536000, immutable");
    let old = scene.issuer.key();
    assert_eq!(scene.login().await, "accepted");
    scene.issuer.rotate();
    scene.issuer.remove_key(&old.kid);
    scene.advance(DAY + 1);
    assert_eq!(scene.login_by(&old).await, "Signature");
}

#[tokio::test]
async fn keys_are_kept_for_as_long_as_their_issuer_says_within_bounds() {
    for (says, kept, lost) in [
        ("max-age=600", 599, 601),
        ("no-store", 299, 301),
        ("max-age=0", 299, 301),
        ("max-age=1", 299, 301),
        ("max-age=99999999999999999999", 299, 86_401),
        ("max-age=-1", 299, 86_401),
        ("max-age", 299, 86_401),
        ("nonsense,,=;max-age", 299, 86_401),
    ] {
        let mut scene = Scene::new().await;
        scene.issuer.set_cache_control(says);
        assert_eq!(scene.login().await, "accepted");
        scene.advance(kept);
        assert_eq!(scene.login().await, "accepted");
        assert_eq!(scene.fetches(), 1, "{says}, after {kept} s");
        scene.advance(lost - kept);
        assert_eq!(scene.login().await, "accepted");
        // A look may be taken behind the back of whoever came.
        for _ in 0..200 {
            if scene.fetches() > 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(scene.fetches(), 2, "{says}, after {lost} s");
    }
}

#[tokio::test]
async fn the_last_good_keys_serve_for_a_day_of_an_outage() {
    let mut scene = Scene::new().await;
    assert_eq!(scene.login().await, "accepted");
    scene.issuer.misbehave("", Fault::Status(503));
    scene.advance(DAY - 60);
    assert_eq!(scene.login().await, "accepted", "stale, but not too stale");
    assert_eq!(scene.login_by_a_stranger("x").await, "Signature", "by the keys there are");
    scene.advance(120);
    assert_eq!(scene.login().await, "Upstream", "too stale");
    scene.issuer.behave();
    scene.advance(COOLDOWN);
    assert_eq!(scene.login().await, "accepted", "and back again");
}

#[tokio::test]
async fn an_issuer_that_is_down_is_asked_once_in_a_cooldown() {
    let mut scene = Scene::new().await;
    scene.issuer.misbehave("", Fault::Status(503));
    for round in 1..=3 {
        for _ in 0..10 {
            assert_eq!(scene.login().await, "Upstream");
        }
        assert_eq!(scene.issuer.hits(), round);
        scene.advance(COOLDOWN);
    }
    scene.issuer.behave();
    assert_eq!(scene.login().await, "accepted");
}

#[tokio::test]
async fn a_bad_answer_does_not_drive_out_the_good_keys() {
    let mut scene = Scene::new().await;
    assert_eq!(scene.login().await, "accepted");
    for fault in [Fault::Text("{}".to_owned()), Fault::Reset, Fault::Gzip, Fault::Text("<html>".to_owned())] {
        scene.issuer.behave();
        scene.issuer.misbehave(KEYS, fault.clone());
        scene.advance(COOLDOWN);
        assert_eq!(scene.login_by_a_stranger("x").await, "Signature", "{fault:?}");
        assert_eq!(scene.login().await, "accepted", "{fault:?}");
    }
    assert!(scene.fetches() > 1);
}

#[tokio::test]
async fn tenants_share_nothing() {
    let scene = Scene::new().await;
    let token = scene.token();
    for (tenant, fetches) in [("000000000001", 1), ("000000000002", 2), ("000000000001", 2), ("000000000002", 2)] {
        let trust = stage::declared_by(tenant, scene.issuer.login_key());
        stage::verify(&scene.upstream, &trust, &token).await.unwrap();
        assert_eq!((scene.issuer.hits_of(DISCOVERY), scene.fetches()), (fetches, fetches), "{tenant}");
    }
}

#[tokio::test]
async fn one_tenants_strangers_do_not_use_up_anothers_look() {
    let mut scene = Scene::new().await;
    let login_key = scene.issuer.login_key().to_owned();
    let tenants = ["000000000001", "000000000002"].map(|tenant| stage::declared_by(tenant, &login_key));
    for tenant in &tenants {
        stage::verify(&scene.upstream, tenant, &scene.token()).await.unwrap();
    }
    scene.advance(COOLDOWN);
    assert_eq!(scene.login_by_a_stranger("x").await, "Signature");
    scene.issuer.rotate();
    let token = scene.token();
    assert_eq!(outcome(&stage::verify(&scene.upstream, &tenants[0], &token).await), "Signature", "used up");
    assert_eq!(outcome(&stage::verify(&scene.upstream, &tenants[1], &token).await), "accepted");
}

#[tokio::test]
async fn a_slow_issuer_holds_up_no_other() {
    let (scene, slow) = (Scene::new().await, Issuer::start().await);
    slow.misbehave("", Fault::Hang);
    let lines = format!("allow_http_issuers = ['{}', '{}']", scene.issuer.url(), slow.url());
    let (upstream, _) = stage::upstream(&lines);
    let (slow_trust, slow_token) =
        (stage::declared(slow.login_key()), slow.token_with(&slow.claims_at(NOW, "u", CLIENT)));
    let trust = scene.trust();
    let token = scene.token();
    tokio::select! {
        _ = stage::verify(&upstream, &slow_trust, &slow_token) => panic!("it hangs"),
        verified = async {
            while slow.hits() == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            stage::verify(&upstream, &trust, &token).await
        } => assert_eq!(outcome(&verified), "accepted"),
    }
}
