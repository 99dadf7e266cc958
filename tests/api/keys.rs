//! The key ring against a real database: first keys, turns, revocations, sealed rings.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Value, json};
use sqlx::Row as _;
use symbolon::clock::Clock;
use symbolon::config::{self, Algorithm};
use symbolon::db::Db;
use symbolon::error::Error;
use symbolon::installation::{self, Installation};
use symbolon::keys::signing_key::{Reading, Which, reseal_one};
use symbolon::keys::{KeyRing, Policy, Signer, State, control};
use symbolon::seal::Seal;
use tokio_util::sync::CancellationToken;

use crate::elapsed::pass;
use crate::harness::{ISSUER, TestDb, fresh_db};

/// A database that is set up, and its master key.
async fn installed() -> (TestDb, Seal) {
    let (db, seal) = (fresh_db().await, master(1));
    installation::unseal(&mut *db.conn().await, &seal).await.unwrap();
    (db, seal)
}

fn master(byte: u8) -> Seal {
    Seal::from_text(&STANDARD.encode([byte; 32])).unwrap()
}

/// The default schedule, with keys that are quickly made.
fn policy() -> Policy {
    let config = config::Config::read(&config::Sources::default()).unwrap();
    Policy { algorithm: Algorithm::ES256, ..Policy::new(&config, ISSUER) }
}

fn replica() -> KeyRing {
    KeyRing::new(policy(), Clock::System)
}

/// Everything that the key ring may write, as text.
async fn contents(db: &Db) -> String {
    let mut conn = db.acquire().await.unwrap();
    let statement = "select string_agg(line, '\n' order by line) from (select k::text as line from signing_keys k \
                     union all select r::text from keyrings r union all select s::text from seal_keys s \
                     union all select i::text from installation i) lines";
    sqlx::query(statement).fetch_one(&mut *conn).await.unwrap().get(0)
}

async fn set_issuer(db: &Db, issuer: &str) {
    let mut conn = db.acquire().await.unwrap();
    control::set_issuer(&mut conn, issuer, &policy().keys).await.unwrap();
}

async fn private_halves(db: &Db) -> i64 {
    let mut conn = db.acquire().await.unwrap();
    let statement = "select count(private_sealed) from signing_keys";
    sqlx::query(statement).fetch_one(&mut *conn).await.unwrap().get(0)
}

async fn states(db: &Db) -> Vec<State> {
    control::list(db, &policy()).await.unwrap().keys.iter().map(|key| key.state).collect()
}

async fn assert_clean(db: &Db) {
    let audit = control::audit(db, &policy()).await.unwrap();
    assert!(audit.findings.is_empty(), "{audit:#?}");
}

fn refusal(result: Result<control::Listing, Error>) -> String {
    match result {
        Err(Error::Refused(text)) => text,
        other => panic!("{other:?}"),
    }
}

/// A token as the broker makes it.
fn mint(signer: &Signer<'_>) -> String {
    let header = json!({"kid": signer.kid, "typ": "JWT", "alg": signer.alg.as_str()});
    let iat = signer.now.unix_timestamp();
    let claims = json!({"sub": "s", "aud": "a", "iss": ISSUER, "iat": iat, "exp": iat + 600});
    let parts = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let message = parts.join(".");
    let signature = signer.sign(message.as_bytes()).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// What a verifier makes of a token with nothing but the JWKS.
fn verify(token: &str, jwks: &str) -> Value {
    let header = jsonwebtoken::decode_header(token).unwrap();
    let jwks: JwkSet = serde_json::from_str(jwks).unwrap();
    let jwk = jwks.find(header.kid.as_ref().unwrap()).unwrap();
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&["a"]);
    validation.set_issuer(&[ISSUER]);
    validation.leeway = 0;
    jsonwebtoken::decode::<Value>(token, &DecodingKey::from_jwk(jwk).unwrap(), &validation).unwrap().claims
}

#[tokio::test]
async fn of_two_replicas_that_begin_together_one_makes_the_first_keys() {
    let (db, seal) = installed().await;
    let (one, other) = (replica(), replica());
    let before = Installation::find(&mut *db.conn().await).await.unwrap().unwrap().epoch;
    let (first, second) = tokio::join!(one.tick(&db, &seal), other.tick(&db, &seal));
    first.unwrap();
    second.unwrap();
    assert_eq!(states(&db).await, [State::Active, State::Next]);
    one.poll(&db, &seal).await.unwrap();
    assert_eq!(one.jwks().unwrap(), other.jwks().unwrap());
    assert_eq!(one.signer().unwrap().kid, other.signer().unwrap().kid);
    assert_eq!(one.epoch(), before + 1);
    verify(&mint(&one.signer().unwrap()), &other.jwks().unwrap().body);
    assert_clean(&db).await;
}

#[tokio::test]
async fn after_three_periods_without_a_broker_tokens_are_there_at_once() {
    let (db, seal) = installed().await;
    replica().tick(&db, &seal).await.unwrap();
    let old = control::list(&db, &policy()).await.unwrap();
    pass(&db, policy().keys.rotation_period * 3).await;

    let ring = replica();
    ring.tick(&db, &seal).await.unwrap();
    let signer = ring.signer().unwrap();
    let active = old.keys.iter().find(|key| key.state == State::Active).unwrap();
    assert_eq!(signer.kid, active.key_id);
    verify(&mint(&signer), &ring.jwks().unwrap().body);
    assert_clean(&db).await;

    pass(&db, policy().keys.sign_fence).await;
    ring.poll(&db, &seal).await.unwrap();
    let next = old.keys.iter().find(|key| key.state == State::Next).unwrap();
    assert_eq!(ring.signer().unwrap().kid, next.key_id);
    assert_clean(&db).await;
}

#[tokio::test]
async fn a_private_half_is_gone_by_the_first_poll_after_its_delay() {
    let (db, seal) = installed().await;
    let ring = replica();
    ring.tick(&db, &seal).await.unwrap();
    pass(&db, policy().keys.rotation_period).await;
    ring.tick(&db, &seal).await.unwrap();
    pass(&db, policy().keys.destroy_delay).await;
    ring.tick(&db, &seal).await.unwrap();
    assert_eq!(private_halves(&db).await, 3);
    pass(&db, policy().keys.sign_fence).await;
    replica().tick(&db, &seal).await.unwrap();
    assert_eq!(private_halves(&db).await, 2);
    assert_clean(&db).await;
    ring.tick(&db, &seal).await.unwrap();
    pass(&db, policy().keys.unpublish_delay).await;
    assert_eq!(states(&db).await.iter().filter(|state| **state == State::Retired).count(), 1);
    ring.tick(&db, &seal).await.unwrap();
    assert_eq!(ring.jwks().unwrap().body.matches("\"kid\"").count(), 2);
}

#[tokio::test]
async fn keys_are_rotated_and_revoked_by_hand() {
    let (db, seal) = installed().await;
    let (ring, policy) = (replica(), policy());
    assert!(refusal(control::rotate(&db, &seal, &policy, true).await).contains("a running broker makes both"));
    ring.tick(&db, &seal).await.unwrap();
    let first = ring.signer().unwrap().kid;
    let text = refusal(control::rotate(&db, &seal, &policy, false).await);
    assert!(text.contains("safe to rotate from") && text.contains("--force"), "{text}");
    pass(&db, policy.keys.publish_lead).await;
    control::rotate(&db, &seal, &policy, false).await.unwrap();
    refusal(control::rotate(&db, &seal, &policy, true).await);
    pass(&db, policy.keys.sign_fence).await;
    ring.tick(&db, &seal).await.unwrap();
    let second = ring.signer().unwrap().kid;
    assert_ne!(first, second);
    assert_clean(&db).await;

    let text = refusal(control::revoke(&db, &seal, &policy, &second, false).await);
    assert!(text.contains("safe to revoke from"), "{text}");
    control::revoke(&db, &seal, &policy, &second, true).await.unwrap();
    ring.tick(&db, &seal).await.unwrap();
    let third = ring.signer().unwrap().kid;
    let body = &ring.jwks().unwrap().body;
    assert!(third != second && !body.contains(&second) && body.contains(&first));
    verify(&mint(&ring.signer().unwrap()), body);
    refusal(control::revoke(&db, &seal, &policy, &second, true).await);
    // The key that signs in a revoked one's stead was logged, so the audit does not repeat it.
    assert_clean(&db).await;
    // One that was forced is found, as long as verifiers may lack it.
    control::rotate(&db, &seal, &policy, true).await.unwrap();
    let audit = control::audit(&db, &policy).await.unwrap();
    assert_eq!(audit.findings.iter().map(|finding| finding.rule).collect::<Vec<_>>(), ["KEY1"]);
    pass(&db, policy.keys.publish_lead).await;
    ring.tick(&db, &seal).await.unwrap();
    assert_clean(&db).await;
}

#[tokio::test]
async fn a_listing_has_the_members_that_scripts_read() {
    let (db, seal) = installed().await;
    replica().tick(&db, &seal).await.unwrap();
    let listing = serde_json::to_value(control::list(&db, &policy()).await.unwrap()).unwrap();
    let active = listing["Keys"].as_array().unwrap().iter().find(|key| key["State"] == "ACTIVE").unwrap();
    let published = active["PublishAt"].as_i64().unwrap();
    assert!((published - 11..=published - 10).contains(&active["SignFrom"].as_i64().unwrap()));
    assert_eq!(
        (&active["Algorithm"], &active["SignUntil"], &active["UnpublishAt"]),
        (&json!("ES256"), &Value::Null, &Value::Null)
    );
    assert_eq!(active["KeyId"].as_str().unwrap().len(), 43);
}

#[tokio::test]
async fn nothing_is_written_under_a_wrong_master_key() {
    let (db, seal) = installed().await;
    replica().tick(&db, &seal).await.unwrap();
    pass(&db, policy().keys.rotation_period * 3).await;
    let before = contents(&db).await;
    let (ring, wrong) = (replica(), master(2));
    assert!(matches!(ring.tick(&db, &wrong).await, Err(Error::Sealed(_))));
    assert!(matches!(ring.status(), Err(Error::Sealed(id)) if id == seal.primary_id()));
    let kid = &control::list(&db, &policy()).await.unwrap().keys[0].key_id.clone();
    for command in
        [control::rotate(&db, &wrong, &policy(), true).await, control::revoke(&db, &wrong, &policy(), kid, true).await]
    {
        assert!(matches!(command, Err(Error::Sealed(id)) if id == seal.primary_id()));
    }
    assert_eq!(contents(&db).await, before);
    ring.jwks().unwrap();

    // Nor are first keys made.
    let (db, _) = installed().await;
    let before = contents(&db).await;
    assert!(matches!(replica().tick(&db, &wrong).await, Err(Error::Sealed(_))));
    assert_eq!(contents(&db).await, before);
}

#[tokio::test]
async fn a_new_master_key_seals_what_the_old_one_did() {
    let (db, seal) = installed().await;
    replica().tick(&db, &seal).await.unwrap();
    let both = Seal::from_text(&[2, 1].map(|byte| STANDARD.encode([byte; 32])).join(",")).unwrap();
    let mut conn = db.acquire().await.unwrap();
    installation::unseal(&mut conn, &both).await.unwrap();
    for left in [true, true, false] {
        assert_eq!(reseal_one(&mut conn, &both).await.unwrap(), left);
    }
    let ring = replica();
    ring.poll(&db, &master(2)).await.unwrap();
    ring.signer().unwrap().sign(b"message").unwrap();
}

#[tokio::test]
async fn tokens_of_every_algorithm_verify_with_the_jwks_alone() {
    let (db, seal) = installed().await;
    for alg in [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::ES256, Algorithm::ES384] {
        for x5c in [false, true] {
            let issuer = format!("{ISSUER}/{}", alg.as_str());
            set_issuer(&db, &issuer).await;
            let policy = Policy { issuer: issuer.clone(), algorithm: alg, x5c, ..policy() };
            let ring = KeyRing::new(policy, Clock::System);
            ring.tick(&db, &seal).await.unwrap();
            let signer = ring.signer().unwrap();
            let jwks = ring.jwks().unwrap();
            assert_eq!(verify(&mint(&signer), &jwks.body)["sub"], "s");

            let set: Value = serde_json::from_str(&jwks.body).unwrap();
            assert_eq!(set["keys"][0]["kid"], signer.kid.as_str());
            assert_eq!(set["keys"].as_array().unwrap().len(), 2);
            for key in set["keys"].as_array().unwrap() {
                let mut names: Vec<&str> = key.as_object().unwrap().keys().map(String::as_str).collect();
                names.retain(|name| !["alg", "kid", "kty", "use"].contains(name) && (!x5c || *name != "x5c"));
                names.sort_unstable();
                let rsa = alg.as_str().starts_with('R');
                assert_eq!(names, if rsa { &["e", "n"][..] } else { &["crv", "x", "y"] });
                assert_eq!((&key["use"], &key["alg"]), (&json!("sig"), &json!(alg.as_str())));
                // No leading zero byte, as RFC 7518 section 6.3.1.1 wants it.
                assert!(!rsa || !key["n"].as_str().unwrap().starts_with("AA"));
                assert_eq!(key["x5c"].is_array(), x5c);
            }
            let discovery: Value = serde_json::from_str(&ring.discovery().unwrap().body).unwrap();
            assert_eq!(discovery["issuer"], issuer);
            assert_eq!(discovery["jwks_uri"], format!("{issuer}/.well-known/jwks.json"));
            assert_eq!(discovery["id_token_signing_alg_values_supported"], json!([alg.as_str()]));
        }
    }
}

#[tokio::test]
async fn while_brokers_run_keys_turn_and_no_verifier_notices() {
    let (db, seal) = installed().await;
    let mut hasty = policy();
    let second = Duration::from_secs(1);
    hasty.max_lifetime = second;
    hasty.keys = config::Keys {
        rotation_period: 3 * second,
        publish_lead: 2 * second,
        poll_interval: second,
        sign_fence: 3 * second,
        unpublish_delay: 8 * second,
        destroy_delay: second,
        allow_unsafe: true,
        ..hasty.keys
    };
    let rings = [(); 2].map(|()| KeyRing::new(hasty.clone(), Clock::System));
    let shutdown = CancellationToken::new();
    let mut signed_with = Vec::new();
    let watch = async {
        let began = Instant::now();
        for round in 0.. {
            if round >= 160 && (signed_with.len() >= 2 || began.elapsed() > Duration::from_mins(1)) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            let (signing, showing) = (&rings[round % 2], &rings[(round / 2) % 2]);
            let (Ok(signer), Ok(jwks)) = (signing.signer(), showing.jwks()) else { continue };
            verify(&mint(&signer), &jwks.body);
            if signed_with.last() != Some(&signer.kid) {
                signed_with.push(signer.kid);
            }
        }
        shutdown.cancel();
    };
    tokio::join!(rings[0].run(&db, &seal, shutdown.clone()), rings[1].run(&db, &seal, shutdown.clone()), watch);
    assert!(signed_with.len() >= 2, "{signed_with:?}");
    let audit = control::audit(&db, &hasty).await.unwrap();
    assert!(audit.findings.is_empty(), "{audit:#?}");
}

#[tokio::test]
async fn another_algorithm_is_that_of_the_next_key() {
    let (db, seal) = installed().await;
    replica().tick(&db, &seal).await.unwrap();
    pass(&db, policy().keys.rotation_period).await;
    let ring = KeyRing::new(Policy { algorithm: Algorithm::ES384, ..policy() }, Clock::System);
    ring.tick(&db, &seal).await.unwrap();
    assert_eq!(ring.signer().unwrap().alg, Algorithm::ES256);
    let discovery: Value = serde_json::from_str(&ring.discovery().unwrap().body).unwrap();
    assert_eq!(discovery["id_token_signing_alg_values_supported"], json!(["ES256", "ES384"]));
}

const OTHER: &str = "https://other.example.com";

fn of(issuer: &str) -> Policy {
    Policy { issuer: issuer.to_owned(), ..policy() }
}

/// What the audit of this issuer finds, by rule and message.
async fn findings(db: &Db, issuer: &str) -> Vec<(&'static str, String)> {
    let audit = control::audit(db, &of(issuer)).await.unwrap();
    audit.findings.into_iter().map(|finding| (finding.rule, finding.message)).collect()
}

async fn epoch(db: &Db) -> i64 {
    Installation::find(&mut db.acquire().await.unwrap()).await.unwrap().unwrap().epoch
}

#[tokio::test]
async fn a_changed_issuer_ends_the_old_keys_and_their_private_halves() {
    let (db, seal) = installed().await;
    let old = replica();
    old.tick(&db, &seal).await.unwrap();
    set_issuer(&db, OTHER).await;
    assert_eq!(states(&db).await, [State::Active, State::Revoked]);
    let found = findings(&db, OTHER).await;
    assert!(found.len() == 1 && found[0].1.contains("a broker makes them when it starts"), "{found:?}");

    // Again, it changes nothing.
    let before = epoch(&db).await;
    set_issuer(&db, OTHER).await;
    assert_eq!(epoch(&db).await, before);

    let ring = KeyRing::new(of(OTHER), Clock::System);
    ring.tick(&db, &seal).await.unwrap();
    ring.status().unwrap();
    assert_eq!((private_halves(&db).await, findings(&db, OTHER).await), (4, vec![]));
    // The one that only waited has its time first. Whoever comes to it destroys it, but for the wrong master key.
    pass(&db, policy().keys.destroy_delay).await;
    assert!(matches!(KeyRing::new(of(OTHER), Clock::System).tick(&db, &master(2)).await, Err(Error::Sealed(_))));
    assert_eq!(private_halves(&db).await, 4);
    let before = epoch(&db).await;
    old.tick(&db, &seal).await.unwrap();
    assert_eq!((private_halves(&db).await, epoch(&db).await), (3, before + 1));
    pass(&db, policy().keys.sign_fence).await;
    assert_eq!(findings(&db, OTHER).await, []);
    ring.tick(&db, &seal).await.unwrap();
    assert_eq!((private_halves(&db).await, epoch(&db).await), (2, before + 2));
    ring.tick(&db, &seal).await.unwrap();
    assert_eq!(epoch(&db).await, before + 2);
    assert_eq!(findings(&db, OTHER).await, []);
}

#[tokio::test]
async fn a_broker_of_the_old_issuer_makes_no_keys_and_is_not_ready() {
    let (db, seal) = installed().await;
    let (ring, late) = (replica(), replica());
    ring.tick(&db, &seal).await.unwrap();
    // One has seen before the change that a rotation is due.
    pass(&db, policy().keys.rotation_period).await;
    late.poll(&db, &seal).await.unwrap();
    set_issuer(&db, OTHER).await;
    late.maintain(&db, &seal).await.unwrap();
    ring.tick(&db, &seal).await.unwrap();
    for ring in [&ring, &late] {
        let error = ring.status().unwrap_err();
        assert!(matches!(&error, Error::IssuerChanged(issuer) if issuer == OTHER), "{error}");
        ring.signer().unwrap().sign(b"message").unwrap();
    }
    pass(&db, policy().keys.sign_fence).await;
    ring.tick(&db, &seal).await.unwrap();
    assert!(ring.signer().is_err());
    assert_eq!(states(&db).await, [State::Retiring, State::Revoked]);
    assert!(matches!(control::rotate(&db, &seal, &policy(), true).await, Err(Error::Refused(_))));
}

#[tokio::test]
async fn a_key_that_is_about_to_take_over_ends_with_the_issuer() {
    let (db, seal) = installed().await;
    replica().tick(&db, &seal).await.unwrap();
    control::rotate(&db, &seal, &policy(), true).await.unwrap();
    set_issuer(&db, OTHER).await;
    pass(&db, policy().keys.sign_fence).await;
    let mut found = states(&db).await;
    found.sort_unstable();
    assert_eq!(found, [State::Retiring, State::Retiring, State::Revoked]);
}

#[tokio::test]
async fn an_issuer_that_is_set_back_signs_with_a_fresh_key_at_once() {
    let (db, seal) = installed().await;
    replica().tick(&db, &seal).await.unwrap();
    let old: Vec<String> =
        control::list(&db, &policy()).await.unwrap().keys.into_iter().map(|key| key.key_id).collect();
    set_issuer(&db, OTHER).await;
    pass(&db, policy().keys.destroy_delay).await;
    KeyRing::new(of(OTHER), Clock::System).tick(&db, &seal).await.unwrap();
    set_issuer(&db, ISSUER).await;
    let ring = replica();
    ring.tick(&db, &seal).await.unwrap();
    let signer = ring.signer().unwrap();
    assert!(!old.contains(&signer.kid));
    verify(&mint(&signer), &ring.jwks().unwrap().body);
    assert_eq!(states(&db).await.iter().filter(|state| **state == State::Next).count(), 1);
    assert_clean(&db).await;

    // At once back: the old key signs until its end, and then a fresh one.
    set_issuer(&db, OTHER).await;
    set_issuer(&db, ISSUER).await;
    let ring = replica();
    ring.tick(&db, &seal).await.unwrap();
    assert_eq!(ring.signer().unwrap().kid, signer.kid);
    pass(&db, policy().keys.sign_fence).await;
    ring.tick(&db, &seal).await.unwrap();
    assert_ne!(ring.signer().unwrap().kid, signer.kid);
}

#[tokio::test]
async fn the_audit_finds_private_halves_that_other_issuers_left() {
    let (db, seal) = installed().await;
    replica().tick(&db, &seal).await.unwrap();
    let mut conn = db.conn().await;
    sqlx::query("update installation set issuer = $1").bind(OTHER).execute(&mut *conn).await.unwrap();
    let ring = KeyRing::new(of(OTHER), Clock::System);
    ring.tick(&db, &seal).await.unwrap();
    let found = findings(&db, OTHER).await;
    assert!(found.len() == 2 && found.iter().all(|(rule, text)| *rule == "KEY10" && text.contains("set-issuer")));

    set_issuer(&db, OTHER).await;
    assert_eq!(findings(&db, OTHER).await, []);
    pass(&db, policy().keys.destroy_delay + 2 * policy().keys.sign_fence).await;
    let found = findings(&db, OTHER).await;
    assert!(found.len() == 2 && found.iter().all(|(rule, text)| *rule == "KEY10" && text.contains("destroyed")));
    ring.tick(&db, &seal).await.unwrap();
    assert_eq!(findings(&db, OTHER).await, []);
}

#[tokio::test]
async fn the_epoch_of_keys_is_that_of_the_moment_in_which_they_were_read() {
    let (db, seal) = installed().await;
    replica().tick(&db, &seal).await.unwrap();
    // An epoch that falls between one statement and the next, as it does where a restore is committed in between.
    let falling = "create sequence steps;
                   alter table installation rename to original;
                   create view installation as
                     select id, kind, issuer, created_at, 1000 - nextval('steps') as epoch from original";
    let mut conn = db.conn().await;
    sqlx::raw_sql(falling).execute(&mut *conn).await.unwrap();
    let reading = Reading::take(&mut conn, ISSUER, Which::Live).await.unwrap();
    assert!(!reading.keys.is_empty());
    let last: i64 = sqlx::query("select 1000 - last_value from steps").fetch_one(&mut *conn).await.unwrap().get(0);
    assert!(reading.epoch < 999, "{}: that of the first statement", reading.epoch);
    // One value for each key at most, since the view is asked once for each row.
    assert!(reading.epoch >= last, "{} was never there", reading.epoch);
}
