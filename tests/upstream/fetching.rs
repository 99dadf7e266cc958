//! What is fetched of an issuer, and what of its answers is taken.

use std::cell::RefCell;
use std::sync::Once;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use symbolon::clock::Clock;
use symbolon::upstream::{Upstream, VerifiedLogin};
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::prelude::*;

use crate::issuer::minting::Key;
use crate::issuer::{DISCOVERY, Fault, Issuer, KEYS};
use crate::stage::{self, CLIENT, NOW, outcome};

/// An upstream that has these for issuers without TLS.
fn trusting(issuers: &[Issuer]) -> Upstream {
    trusting_for(5, issuers)
}

/// The same, that waits for them no longer than so many seconds.
fn trusting_for(seconds: u64, issuers: &[Issuer]) -> Upstream {
    let urls: Vec<_> = issuers.iter().map(|issuer| format!("'{}'", issuer.url())).collect();
    stage::upstream(&format!("allow_http_issuers = [{}]\nfetch_timeout = {seconds}", urls.join(", "))).0
}

async fn login(upstream: &Upstream, issuer: &Issuer) -> String {
    let token = issuer.token_with(&issuer.claims_at(NOW, "user", CLIENT));
    outcome(&stage::verify(upstream, &stage::declared(issuer.login_key()), &token).await)
}

/// What becomes of proper logins, each at an issuer of its own that has this fault on this path, within so many seconds.
async fn logins_with(seconds: u64, faults: &[(String, &str, Fault)]) -> Vec<(String, String)> {
    let issuers = join_all(faults.iter().map(|_| Issuer::start())).await;
    for (issuer, (_, path, fault)) in issuers.iter().zip(faults) {
        let fault = match fault {
            // Which URL it has, is only known now.
            Fault::Altered(members) => {
                Fault::Altered(serde_json::from_str(&members.to_string().replace("{url}", issuer.url())).unwrap())
            }
            fault => fault.clone(),
        };
        issuer.misbehave(path, fault);
    }
    let upstream = trusting_for(seconds, &issuers);
    let outcomes = join_all(issuers.iter().map(|issuer| login(&upstream, issuer))).await;
    assert!(issuers.iter().all(|issuer| issuer.hits() <= 2), "more than a document and its keys");
    faults.iter().map(|(name, ..)| name.clone()).zip(outcomes).collect()
}

#[tokio::test]
async fn an_issuer_that_answers_badly_is_not_believed() {
    let elsewhere = Issuer::start().await;
    let keys = json!({"keys": [elsewhere.key().jwk()]}).to_string();
    let both = [
        ("a redirect", Fault::Redirect(format!("{}{DISCOVERY}", elsewhere.url()))),
        ("a redirect to keys", Fault::Redirect(format!("{}{KEYS}", elsewhere.url()))),
        ("a body of 256 KiB and a byte", Fault::Padded(256 * 1024 + 1)),
        ("a body of 10 MB", Fault::Padded(10_000_000)),
        ("a body without an end", Fault::Endless),
        ("a body that trickles", Fault::Slow),
        ("no answer", Fault::Hang),
        ("compression", Fault::Gzip),
        ("no JSON", Fault::Text("<html>".to_owned())),
        ("nothing", Fault::Text(String::new())),
        ("an array", Fault::Text("[]".to_owned())),
        ("an empty object", Fault::Text("{}".to_owned())),
        ("JSON and more", Fault::Text(format!("{keys}{keys}"))),
        ("a member twice", Fault::Text(r#"{"keys":[],"keys":[],"issuer":"a","issuer":"b"}"#.to_owned())),
        ("an error of its own", Fault::Status(500)),
        ("not found", Fault::Status(404)),
        ("too many requests", Fault::Status(429)),
        ("no content", Fault::Status(204)),
        ("a closed connection", Fault::Reset),
    ];
    let mut cases = Vec::new();
    for path in [DISCOVERY, KEYS] {
        cases.extend(both.iter().map(|(name, fault)| (format!("{path}: {name}"), path, fault.clone())));
    }
    for (name, members) in [
        ("another issuer", json!({"issuer": elsewhere.url()})),
        ("the issuer with a slash", json!({"issuer": "{url}/"})),
        ("the issuer and more", json!({"issuer": "{url}/realm"})),
        ("no issuer", json!({"issuer": null})),
        ("issuers", json!({"issuer": [elsewhere.url()]})),
        ("no jwks_uri", json!({"jwks_uri": null})),
        ("a jwks_uri that is a number", json!({"jwks_uri": 1})),
        ("a jwks_uri that is empty", json!({"jwks_uri": ""})),
        ("a jwks_uri without a host", json!({"jwks_uri": KEYS})),
        ("a jwks_uri without a scheme", json!({"jwks_uri": format!("//{}{KEYS}", elsewhere.login_key())})),
        ("a jwks_uri of a file", json!({"jwks_uri": "file:///etc/passwd"})),
        ("a jwks_uri of data", json!({"jwks_uri": format!("data:application/json,{keys}")})),
        ("a jwks_uri of another issuer without TLS", json!({"jwks_uri": format!("{}{KEYS}", elsewhere.url())})),
        ("jwks in place of jwks_uri", json!({"jwks_uri": null, "jwks": {"keys": [elsewhere.key().jwk()]}})),
    ] {
        cases.push((format!("{DISCOVERY}: {name}"), DISCOVERY, Fault::Altered(members)));
    }
    let many: Vec<_> = (0..101).map(|n| elsewhere.key().known_as(&format!("k{n}"), "RS256").jwk()).collect();
    for (name, members) in [
        ("101 keys", json!({"keys": many})),
        ("keys that are an object", json!({"keys": {"first": elsewhere.key().jwk()}})),
        ("keys that are text", json!({"keys": "all"})),
    ] {
        cases.push((format!("{KEYS}: {name}"), KEYS, Fault::Altered(members)));
    }
    let begun = Instant::now();
    let wrong: Vec<_> = logins_with(1, &cases).await.into_iter().filter(|(_, came)| came != "Upstream").collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(elsewhere.connections(), 0, "another host was asked");
    assert!(begun.elapsed() < Duration::from_secs(15), "somebody was waited for, for {:?}", begun.elapsed());
}

#[tokio::test]
async fn an_issuer_that_answers_oddly_but_rightly_is_believed() {
    let signing = Key::rsa(0, "first", "RS256").jwk();
    let other = Key::rsa(1, "x", "RS256");
    let many: Vec<_> =
        (0..99).map(|n| other.known_as(&format!("k{n}"), "RS256").jwk()).chain([signing.clone()]).collect();
    let mut unnamed = signing.clone();
    for member in ["alg", "use"] {
        unnamed.as_object_mut().unwrap().remove(member);
    }
    let twins = [Key::p256("first").jwk(), signing.clone()];
    let cases = [
        ("a body of just 256 KiB", DISCOVERY, Fault::Padded(256 * 1024)),
        ("keys in just 256 KiB", KEYS, Fault::Padded(256 * 1024)),
        ("members that nobody knows", DISCOVERY, Fault::Altered(json!({"x": {"y": [1, null]}}))),
        ("100 keys", KEYS, Fault::Altered(json!({"keys": many}))),
        ("a key without alg and use", KEYS, Fault::Altered(json!({"keys": [unnamed]}))),
        ("two keys of one kid, of different kinds", KEYS, Fault::Altered(json!({"keys": twins}))),
        ("keys that nobody can use", KEYS, Fault::Altered(json!({"keys": [{"kty": "AKP"}, {}, 1, signing]}))),
        ("an answer that takes its time", DISCOVERY, Fault::Late(Duration::from_millis(200))),
    ];
    let cases = cases.map(|(name, path, fault)| (name.to_owned(), path, fault));
    let wrong: Vec<_> = logins_with(5, &cases).await.into_iter().filter(|(_, came)| came != "accepted").collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn slow_issuers_have_the_whole_of_a_fetch_and_no_more() {
    let issuer = Issuer::start().await;
    issuer.misbehave(DISCOVERY, Fault::Slow);
    let upstream = trusting_for(1, std::slice::from_ref(&issuer));
    let begun = Instant::now();
    assert_eq!(login(&upstream, &issuer).await, "Upstream");
    // Each byte comes in time; all of them would take half a minute.
    let took = begun.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(10)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn no_more_is_said_to_an_issuer_than_it_must_know() {
    let issuer = Issuer::start().await;
    let token = issuer.token_with(&issuer.claims_at(NOW, "user", CLIENT));
    let upstream = trusting(std::slice::from_ref(&issuer));
    stage::verify(&upstream, &stage::declared(issuer.login_key()), &token).await.unwrap();
    let asked = issuer.asked_with();
    assert_eq!(asked.len(), 2);
    for (path, headers) in asked {
        for (name, value) in headers {
            let known = ["host", "accept", "accept-encoding", "user-agent"].contains(&name.as_str());
            assert!(known, "{path} was asked with {name}: {value}");
            assert!(name != "accept-encoding" || value == "identity", "{value}");
            assert!(!value.contains(&token));
        }
    }
}

#[tokio::test]
async fn an_issuer_that_cannot_be_reached_is_an_outage_and_not_a_refusal() {
    // It is bound, so that nobody else is given the port, and does not listen.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = held.local_addr().unwrap();
    let (upstream, _) = stage::upstream(&format!("allow_http_issuers = ['http://{address}']"));
    let claims =
        json!({"iss": format!("http://{address}"), "sub": "user", "aud": CLIENT, "iat": NOW, "exp": NOW + 600});
    let token = Key::rsa(0, "first", "RS256").token(&claims);
    let result = stage::verify(&upstream, &stage::declared(&address.to_string()), &token).await;
    assert_eq!(outcome(&result), "Upstream");
}

#[tokio::test]
async fn an_issuer_may_end_in_a_slash() {
    let issuer = Issuer::start().await;
    let iss = format!("{}/", issuer.url());
    issuer.misbehave(DISCOVERY, Fault::Altered(json!({"issuer": iss})));
    let (upstream, _) = stage::upstream(&format!("allow_http_issuers = ['{iss}']"));
    let login_key = format!("{}/", issuer.login_key());
    let mut claims = issuer.claims_at(NOW, "user", CLIENT);
    let without = issuer.token_with(&claims);
    claims["iss"] = json!(iss);
    let with = issuer.token_with(&claims);
    let verified = stage::verify(&upstream, &stage::declared(&login_key), &with).await.unwrap();
    assert_eq!((verified.login_key(), verified.subject()), (login_key.as_str(), "user"));
    assert_eq!(issuer.asked_with()[0].0, DISCOVERY, "the slash is not doubled");
    let result = stage::verify(&upstream, &stage::declared(&login_key), &without).await;
    assert_eq!(outcome(&result), "Issuer");
}

#[tokio::test]
async fn logins_are_verified_together_and_come_back_in_their_order() {
    let issuers = join_all([(); 3].map(|()| Issuer::start())).await;
    let upstream = trusting(&issuers);
    let login_of = |issuer: &Issuer, sub: &str| {
        (stage::declared(issuer.login_key()), issuer.token_with(&issuer.claims_at(NOW, sub, CLIENT)))
    };
    let logins = vec![login_of(&issuers[2], "c"), login_of(&issuers[0], "a"), login_of(&issuers[1], "b")];
    let verified = upstream.verify(logins.clone()).await.unwrap();
    assert_eq!(verified.iter().map(VerifiedLogin::subject).collect::<Vec<_>>(), ["c", "a", "b"]);
    assert_eq!(verified[0].claims()["sub"], "c");
    let arn = format!("arn:aws:iam::{}:oidc-provider/{}", stage::TENANT, issuers[2].login_key());
    assert_eq!(verified[0].method(), format!("{arn}:OIDC:c"));

    let mut one_bad = logins.clone();
    one_bad[2].1.push('A');
    assert!(upstream.verify(one_bad).await.is_err(), "all hold, or none counts");
    let none = upstream.verify(Vec::new()).await.unwrap();
    assert!(none.is_empty());
}

#[tokio::test]
async fn by_the_machines_own_clock_a_fresh_token_holds() {
    let issuer = Issuer::start().await;
    let config = stage::settings(&format!("allow_http_issuers = ['{}']", issuer.url()));
    let upstream = stage::built(&config, Clock::System);
    let token = issuer.token("user", CLIENT);
    stage::verify(&upstream, &stage::declared(issuer.login_key()), &token).await.unwrap();
}

#[tokio::test]
async fn the_keys_of_user_pools_are_where_the_operator_says() {
    let issuer = Issuer::start().await;
    let lines = format!("user_pool_jwks = '{}/{{region}}/{{user_pool_id}}{KEYS}'", issuer.url());
    let (upstream, _) = stage::upstream(&lines);
    let pool = "us-east-1_Ab3dEf9hJ";
    let iss = format!("https://cognito-idp.us-east-1.amazonaws.com/{pool}");
    let claims = json!({"iss": iss, "sub": "user", "aud": CLIENT, "iat": NOW, "exp": NOW + 600, "token_use": "id"});
    let verified = stage::verify(&upstream, &stage::user_pool(pool, false), &issuer.token_with(&claims)).await.unwrap();
    assert_eq!(verified.method(), format!("cognito-idp.us-east-1.amazonaws.com/{pool}:CognitoSignIn:user"));
    assert_eq!((issuer.hits(), issuer.hits_of(&format!("/us-east-1/{pool}{KEYS}"))), (1, 1));
}

/// An `iss` that is good enough to ask Google for its keys is told from another one by what happens then: nothing
/// answers where this test has Google.
#[tokio::test]
async fn google_has_two_names_and_no_third() {
    let google = "accounts.google.com";
    let (upstream, _) = stage::upstream("hosts = { 'accounts.google.com' = '127.0.0.1' }");
    for (iss, expected) in [
        ("https://accounts.google.com", "Upstream"),
        ("accounts.google.com", "Upstream"),
        ("https://accounts.google.com/", "Issuer"),
        ("http://accounts.google.com", "Issuer"),
        ("https://accounts.google.com.attacker.example", "Issuer"),
        ("https://accounts.google.co", "Issuer"),
        ("google.com", "Issuer"),
    ] {
        let claims = json!({"iss": iss, "sub": "user", "aud": CLIENT, "iat": NOW, "exp": NOW + 600});
        let token = Key::rsa(0, "first", "RS256").token(&claims);
        assert_eq!(outcome(&stage::verify(&upstream, &stage::social(google), &token).await), expected, "{iss}");
    }
    // Only Google's own login key has them.
    let issuer = Issuer::start().await;
    let mut claims = issuer.claims_at(NOW, "user", CLIENT);
    claims["iss"] = json!(issuer.login_key());
    let upstream = trusting(std::slice::from_ref(&issuer));
    let result = stage::verify(&upstream, &stage::declared(issuer.login_key()), &issuer.token_with(&claims)).await;
    assert_eq!(outcome(&result), "Issuer");
}

thread_local! {
    /// What this thread has logged since it began to listen.
    static LOGGED: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

struct Log;

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOGGED.with_borrow_mut(|logged| logged.iter_mut().for_each(|logged| logged.extend_from_slice(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Listens to this thread. The subscriber is that of the process: one of a thread misses what other threads, without a
/// subscriber, come by at the moment when it is made.
fn listen() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let listening = dynamic_filter_fn(|_, _| LOGGED.with_borrow(Option::is_some));
        let log = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(|| Log);
        tracing_subscriber::registry().with(log.with_filter(listening)).init();
    });
    LOGGED.set(Some(Vec::new()));
}

#[tokio::test]
async fn a_failed_fetch_is_told_in_the_log_and_no_token_ever_is() {
    // On this thread this runtime does everything.
    listen();
    let issuer = Issuer::start().await;
    let upstream = trusting(std::slice::from_ref(&issuer));
    let trust = stage::declared(issuer.login_key());
    let token = issuer.token_with(&issuer.claims_at(NOW, "who-logs-in", CLIENT));
    issuer.misbehave(KEYS, Fault::Status(500));
    assert_eq!(outcome(&stage::verify(&upstream, &trust, &token).await), "Upstream");
    let forged = format!("{}A", &token[..token.len() - 1]);
    assert!(stage::verify(&upstream, &trust, &forged).await.is_err());
    let log = String::from_utf8(LOGGED.take().unwrap()).unwrap();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "little was listened to");
    let told = log.lines().find(|line| line.contains("WARN symbolon")).unwrap();
    assert!(told.contains(issuer.login_key()) && told.contains("500"), "{told}");
    assert_eq!(log.lines().filter(|line| line.contains("WARN symbolon")).count(), 1, "one line for one fetch");
    for secret in token.split('.').chain(["who-logs-in"]) {
        assert!(!log.contains(secret), "the log shows a part of the token");
    }
}

#[tokio::test]
async fn a_token_that_names_no_key_is_of_the_only_one_there_is() {
    let nameless = |key: &Key| crate::issuer::minting::altered(&key.jwk(), &json!({"kid": null}));
    let (signing, other) = (Key::rsa(0, "first", "RS256"), Key::p256("other"));
    for (keys, named, expected) in [
        (vec![signing.jwk()], false, "accepted"),
        (vec![nameless(&signing)], false, "accepted"),
        (vec![signing.jwk(), json!({"kty": "oct", "k": "AAAA"})], false, "accepted"),
        (vec![signing.jwk(), other.jwk()], false, "Signature"),
        (vec![nameless(&signing), nameless(&other)], false, "Signature"),
        (vec![other.jwk()], false, "Signature"),
        (vec![], false, "Signature"),
        (vec![nameless(&signing)], true, "Signature"),
    ] {
        let issuer = Issuer::start().await;
        issuer.misbehave(KEYS, Fault::Altered(json!({"keys": keys})));
        let header = if named { signing.header() } else { json!({"alg": "RS256"}) };
        let claims = issuer.claims_at(NOW, "user", CLIENT).to_string();
        let token = signing.token_of(header.to_string(), claims);
        let upstream = trusting(std::slice::from_ref(&issuer));
        let result = stage::verify(&upstream, &stage::declared(issuer.login_key()), &token).await;
        assert_eq!(outcome(&result), expected, "{keys:?}");
    }
}
