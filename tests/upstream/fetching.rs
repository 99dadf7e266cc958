//! What is fetched of an issuer, and what of its answers is taken.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use symbolon::clock::Clock;

use crate::issuer::minting::Key;
use crate::issuer::{DISCOVERY, Fault, Issuer, KEYS};
use crate::stage::{self, CLIENT, NOW, outcome};

/// An upstream that has `issuer` for an issuer without TLS, and waits no longer than a second.
fn trusting(issuer: &Issuer) -> symbolon::upstream::Upstream {
    stage::upstream(&format!("allow_http_issuers = ['{}']\nfetch_timeout = 1\nconnect_timeout = 1", issuer.url())).0
}

/// What becomes of a proper login at an issuer that has these faults.
async fn login_with(path: &str, fault: Fault) -> String {
    let issuer = Issuer::start().await;
    // The issuer's own URL is only known now.
    let fault = match fault {
        Fault::Altered(members) => {
            Fault::Altered(serde_json::from_str(&members.to_string().replace("{url}", issuer.url())).unwrap())
        }
        fault => fault,
    };
    issuer.misbehave(path, fault);
    let token = issuer.token_with(&issuer.claims_at(NOW, "user", CLIENT));
    let (upstream, trust) = (trusting(&issuer), stage::declared(issuer.login_key()));
    let verified = stage::verify(&upstream, &trust, &token);
    // Whatever the issuer does, its fault is known within two fetches.
    let result = tokio::time::timeout(Duration::from_secs(5), verified).await;
    assert!(issuer.hits() <= 2, "{} requests", issuer.hits());
    result.map_or("nothing, for five seconds".to_owned(), |result| outcome(&result))
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
    let outcomes =
        join_all(cases.iter().map(async |(name, path, fault)| (name, login_with(path, fault.clone()).await)));
    let wrong: Vec<_> = outcomes.await.into_iter().filter(|(_, came)| came != "Upstream").collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(elsewhere.connections(), 0, "another host was asked");
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
    for (name, path, fault) in [
        ("a body of just 256 KiB", DISCOVERY, Fault::Padded(256 * 1024)),
        ("keys in just 256 KiB", KEYS, Fault::Padded(256 * 1024)),
        ("members that nobody knows", DISCOVERY, Fault::Altered(json!({"x": {"y": [1, null]}}))),
        ("100 keys", KEYS, Fault::Altered(json!({"keys": many}))),
        ("a key without alg and use", KEYS, Fault::Altered(json!({"keys": [unnamed]}))),
        ("two keys of one kid, of different kinds", KEYS, Fault::Altered(json!({"keys": twins}))),
        ("keys that nobody can use", KEYS, Fault::Altered(json!({"keys": [{"kty": "AKP"}, {}, 1, signing]}))),
        ("an answer that takes its time", DISCOVERY, Fault::Late(Duration::from_millis(200))),
    ] {
        assert_eq!(login_with(path, fault).await, "accepted", "{name}");
    }
}

#[tokio::test]
async fn slow_issuers_have_the_whole_of_a_fetch_and_no_more() {
    let issuer = Issuer::start().await;
    issuer.misbehave(DISCOVERY, Fault::Slow);
    let token = issuer.token_with(&issuer.claims_at(NOW, "user", CLIENT));
    let begun = Instant::now();
    let result = stage::verify(&trusting(&issuer), &stage::declared(issuer.login_key()), &token).await;
    assert_eq!(outcome(&result), "Upstream");
    // Each byte comes in time; all of them would take half a minute.
    let took = begun.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(3)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn no_more_is_said_to_an_issuer_than_it_must_know() {
    let issuer = Issuer::start().await;
    let token = issuer.token_with(&issuer.claims_at(NOW, "user", CLIENT));
    stage::verify(&trusting(&issuer), &stage::declared(issuer.login_key()), &token).await.unwrap();
    let asked = issuer.asked_with();
    assert_eq!(asked.len(), 2);
    for (path, headers) in asked {
        for (name, value) in headers {
            assert!(["host", "accept", "user-agent"].contains(&name.as_str()), "{path} was asked with {name}: {value}");
            assert!(!value.contains(&token));
        }
    }
}

#[tokio::test]
async fn a_login_of_an_unreachable_issuer_is_an_outage_and_not_a_refusal() {
    let issuer = Issuer::start().await;
    let (url, key) = (issuer.url().to_owned(), issuer.login_key().to_owned());
    let token = issuer.token_with(&issuer.claims_at(NOW, "user", CLIENT));
    let upstream = trusting(&issuer);
    drop(issuer);
    tokio::time::sleep(Duration::from_millis(10)).await;
    let error = stage::verify(&upstream, &stage::declared(&key), &token).await.unwrap_err();
    assert_eq!(outcome::<()>(&Err(error)), "Upstream", "{url}");
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
    let urls: Vec<_> = issuers.iter().map(|issuer| format!("'{}'", issuer.url())).collect();
    let upstream = || stage::upstream(&format!("allow_http_issuers = [{}]", urls.join(", "))).0;
    let login = |issuer: &Issuer, sub: &str| {
        (stage::declared(issuer.login_key()), issuer.token_with(&issuer.claims_at(NOW, sub, CLIENT)))
    };
    let logins = vec![login(&issuers[2], "c"), login(&issuers[0], "a"), login(&issuers[1], "b")];
    let verified = upstream().verify(logins.clone()).await.unwrap();
    assert_eq!(verified.iter().map(|login| login.subject()).collect::<Vec<_>>(), ["c", "a", "b"]);
    assert_eq!(verified[0].claims()["sub"], "c");
    let arn = format!("arn:aws:iam::{}:oidc-provider/{}", stage::TENANT, issuers[2].login_key());
    assert_eq!(verified[0].method(), format!("{arn}:OIDC:c"));

    let mut one_bad = logins.clone();
    one_bad[2].1.push('A');
    assert!(upstream().verify(one_bad).await.is_err(), "all hold, or none counts");
    let none = upstream().verify(Vec::new()).await.unwrap();
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
