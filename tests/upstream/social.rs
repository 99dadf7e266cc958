//! Opaque tokens of social providers: what the providers are asked, what their answers come to, and that nothing but a
//! plain yes for an application of the pool is a yes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use symbolon::clock::Clock;
use symbolon::upstream::social::Provider;
use symbolon::upstream::{Audience, Kind, Proof, Trust, Upstream, VerifiedLogin};
use time::OffsetDateTime;

use crate::issuer::{Fault, Issuer};
use crate::social_providers::{
    AMAZON, APP, Asked, CONSUMER, CREDENTIALS, FACEBOOK, ME, Providers, TOKEN_INFO, TWITTER,
};
use crate::stage::{self, NOW, outcome};

const CLIENT: &str = "amzn1.application-oa2-client.one";
const APPLICATION: &str = "amzn1.application.one";

struct Scene {
    providers: Providers,
    upstream: Upstream,
}

impl Scene {
    /// With a token of each provider: `fb-good`, `Atza|good` and `tw-good;tw-secret`.
    async fn new() -> Self {
        Self::with("fetch_timeout = 5").await
    }

    async fn with(lines: &str) -> Self {
        let (clock, _) = Clock::fixed(OffsetDateTime::from_unix_timestamp(NOW).unwrap());
        let providers = Providers::start(clock).await;
        let settings = providers.settings().map(|(field, url)| format!("{field} = '{url}'")).join("\n");
        let (upstream, _) = stage::upstream(&format!("{lines}\n{settings}"));
        providers.facebook("fb-good", "1001", "ann-at-facebook");
        providers.amazon("Atza|good", "one", "amzn1.account.ANN");
        providers.twitter("tw-good", "tw-secret", "42");
        Self { providers, upstream }
    }

    async fn login(&self, trust: &Trust, token: &str) -> String {
        outcome(&stage::verify(&self.upstream, trust, token).await)
    }

    /// The paths that were asked since the last time.
    fn paths(&self) -> Vec<String> {
        self.providers.asked().into_iter().map(|asked| asked.path).collect()
    }
}

/// A pool that has this value for the key.
fn trust(login_key: &str, value: &str) -> Trust {
    let (provider, ids) = Provider::of(login_key, value).unwrap();
    let audiences = ids.into_iter().map(|client_id| Audience { client_id, kind: Kind::Social }).collect();
    Trust { proof: Proof::OpaqueToken(provider), audiences, ..stage::social(login_key) }
}

fn facebook() -> Trust {
    trust(FACEBOOK, "1001")
}

fn amazon() -> Trust {
    trust(AMAZON, CLIENT)
}

fn twitter() -> Trust {
    trust(TWITTER, &format!("{};{}", CONSUMER.0, CONSUMER.1))
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn a_token_of_each_provider_tells_its_user() {
    let scene = Scene::new().await;
    for (trust, token, client, subject, told) in [
        (facebook(), "fb-good", "1001", "ann-at-facebook", json!({"id": "ann-at-facebook", "app_id": "1001"})),
        (
            amazon(),
            "Atza|good",
            CLIENT,
            "amzn1.account.ANN",
            json!({"iss": "https://www.amazon.com", "user_id": "amzn1.account.ANN", "app_id": APPLICATION}),
        ),
        (twitter(), "tw-good;tw-secret", CONSUMER.0, "42", json!({"id_str": "42"})),
    ] {
        let login = stage::verify(&scene.upstream, &trust, token).await.unwrap();
        assert_eq!((login.login_key(), login.client_id()), (trust.login_key.as_str(), client));
        assert_eq!((login.subject(), login.method()), (subject, format!("{}:{client}:{subject}", trust.login_key)));
        let mut claims = told;
        claims["sub"] = json!(subject);
        claims["aud"] = json!(client);
        assert_eq!(Value::from(login.claims().clone()), claims);
    }
}

#[tokio::test]
async fn the_providers_are_asked_as_they_document_it() {
    let scene = Scene::new().await;
    assert_eq!(scene.login(&facebook(), "fb-good").await, "accepted");
    let query = pairs(&[("access_token", "fb-good"), ("fields", "id")]);
    let asked = scene.providers.asked();
    assert_eq!(asked.iter().map(|asked| asked.path.as_str()).collect::<Vec<_>>(), [APP, ME]);
    assert!(asked.iter().all(|asked| asked.query == query && asked.authorization.is_empty()), "{asked:?}");

    assert_eq!(scene.login(&amazon(), "Atza|good").await, "accepted");
    let expected = Asked {
        path: TOKEN_INFO.to_owned(),
        query: pairs(&[("access_token", "Atza|good")]),
        raw_query: "access_token=Atza%7Cgood".to_owned(),
        authorization: String::new(),
    };
    assert_eq!(scene.providers.asked(), [expected]);

    assert_eq!(scene.login(&twitter(), "tw-good;tw-secret").await, "accepted");
    assert_eq!(scene.login(&twitter(), "tw-good;tw-secret").await, "accepted", "with another nonce");
    let asked = scene.providers.asked();
    assert_eq!(asked.len(), 2);
    for Asked { path, query, authorization, .. } in &asked {
        assert_eq!(path, CREDENTIALS);
        assert_eq!(*query, pairs(&[("include_entities", "false"), ("skip_status", "true")]));
        assert!(authorization.starts_with("OAuth oauth_consumer_key=\"consumer-key\", oauth_nonce=\""));
        assert!(!authorization.contains("s3cret") && !authorization.contains("tw-secret"), "{authorization}");
    }
}

#[tokio::test]
async fn a_token_for_another_application_proves_nothing_here() {
    let scene = Scene::new().await;
    scene.providers.facebook("fb-theirs", "2002", "ann-at-facebook");
    assert_eq!(scene.login(&facebook(), "fb-theirs").await, "Audience");
    assert_eq!(scene.paths(), [APP], "the user is not even asked for");
    scene.providers.amazon("Atza|theirs", "two", "amzn1.account.ANN");
    assert_eq!(scene.login(&amazon(), "Atza|theirs").await, "Audience");
    scene.providers.consumer("their-key", "their-secret");
    scene.providers.twitter_of("their-key", "tw-theirs", "tw-secret", "42");
    assert_eq!(scene.login(&twitter(), "tw-theirs;tw-secret").await, "NotHonoured");
    // A pool with that application takes it.
    assert_eq!(scene.login(&trust(FACEBOOK, "2002"), "fb-theirs").await, "accepted");
    assert_eq!(scene.login(&trust(TWITTER, "their-key;their-secret"), "tw-theirs;tw-secret").await, "accepted");
    // Ids are compared whole.
    for other in ["100", "10011", "1001x", "2002"] {
        assert_eq!(scene.login(&trust(FACEBOOK, other), "fb-good").await, "Audience");
    }
}

#[tokio::test]
async fn a_pool_can_have_several_applications_of_facebook_and_amazon() {
    let scene = Scene::new().await;
    scene.providers.facebook("fb-other", "1002", "bob");
    scene.providers.amazon("Atza|other", "two", "amzn1.account.BOB");
    let both = trust(FACEBOOK, "1001;1002");
    for (token, client) in [("fb-good", "1001"), ("fb-other", "1002")] {
        assert_eq!(stage::verify(&scene.upstream, &both, token).await.unwrap().client_id(), client);
    }
    // Of Amazon the client's id, or that of the application around it.
    let both = trust(AMAZON, &format!("{CLIENT};amzn1.application.two"));
    for (token, client) in [("Atza|good", CLIENT), ("Atza|other", "amzn1.application.two")] {
        let login = stage::verify(&scene.upstream, &both, token).await.unwrap();
        assert_eq!((login.client_id(), &login.claims()["aud"]), (client, &json!(client)));
    }
    assert_eq!(scene.login(&trust(AMAZON, "amzn1.application.one"), "Atza|other").await, "Audience");
}

#[tokio::test]
async fn tokens_that_their_provider_does_not_honour_are_refused_each_time() {
    let scene = Scene::new().await;
    let logins = [(facebook(), "fb-good"), (amazon(), "Atza|good"), (twitter(), "tw-good;tw-secret")];
    for (trust, token) in &logins {
        assert_eq!(scene.login(trust, token).await, "accepted");
        assert_eq!(scene.login(trust, "unknown;unknown").await, "NotHonoured");
    }
    assert_eq!(scene.login(&twitter(), "tw-good;another").await, "NotHonoured");
    // A pool with a wrong secret of its application.
    assert_eq!(scene.login(&trust(TWITTER, "consumer-key;other"), "tw-good;tw-secret").await, "NotHonoured");
    scene.providers.revoke_all();
    for (trust, token) in &logins {
        assert_eq!(scene.login(trust, token).await, "NotHonoured", "nothing is remembered");
    }
}

#[tokio::test]
async fn no_character_of_a_token_reaches_beyond_it() {
    let scene = Scene::new().await;
    let odd = [
        "x&access_token=fb-good",
        "fb-good&fields=name",
        "fb-good#",
        "fb-good?x",
        "../me?access_token=fb-good",
        "fb-good%00",
        "fb%2Dgood",
        "fb-good+",
        "\"fb-good\"",
        "fb-good\\",
        "<fb-good>",
        "x=1&access_token=Atza|good",
    ];
    for token in odd {
        for (trust, path) in [(facebook(), APP), (amazon(), TOKEN_INFO)] {
            assert_eq!(scene.login(&trust, token).await, "NotHonoured", "{token}");
            let asked = scene.providers.asked();
            assert_eq!((asked.len(), asked[0].path.as_str()), (1, path), "{token}");
            assert_eq!(asked[0].query[0], ("access_token".to_owned(), token.to_owned()));
            assert_eq!(asked[0].raw_query.matches("access_token=").count(), 1, "{}", asked[0].raw_query);
        }
    }
    // Such a token holds where it is one, and so does a pair for Twitter.
    scene.providers.facebook(r#"a+b/c=&%26?#'"<>\^`{|}~"#, "1001", "ann");
    assert_eq!(scene.login(&facebook(), r#"a+b/c=&%26?#'"<>\^`{|}~"#).await, "accepted");
    scene.providers.twitter(r#"a",b="&~*"#, "+/=%,\"'", "42");
    assert_eq!(scene.login(&twitter(), "a\",b=\"&~*;+/=%,\"'").await, "accepted");
    assert_eq!(scene.login(&twitter(), "tw-good\",oauth_token=\"x;tw-secret").await, "NotHonoured");
}

#[tokio::test]
async fn what_cannot_be_a_token_makes_nobody_ask() {
    let scene = Scene::new().await;
    let long = "x".repeat(4097);
    for token in ["fb good", "fb-good\n", "fb-good\0", "g\u{fc}t", "\u{feff}fb-good", " ", &long] {
        for trust in [facebook(), amazon(), twitter()] {
            assert_eq!(scene.login(&trust, token).await, "NotAccessToken", "{token}");
        }
        for pair in [format!("{token};tw-secret"), format!("tw-good;{token}")] {
            assert_eq!(scene.login(&twitter(), &pair).await, "NotAccessToken", "{pair}");
        }
    }
    for pair in ["tw-good", "tw-good;", ";tw-secret", ";", "tw-good;tw-secret;", "tw-good;tw;secret"] {
        assert_eq!(scene.login(&twitter(), pair).await, "NotAccessToken", "{pair}");
    }
    assert_eq!(scene.paths(), [""; 0]);
    let longest = &long[1..];
    scene.providers.facebook(longest, "1001", "ann");
    assert_eq!(scene.login(&facebook(), longest).await, "accepted");
}

#[tokio::test]
async fn all_logins_hold_or_none_counts() {
    let scene = Scene::new().await;
    let (fb, amz, tw) = ("fb-good".to_owned(), "Atza|good".to_owned(), "tw-good;tw-secret".to_owned());
    let verify = async |logins: Vec<(Trust, String)>| scene.upstream.verify(logins).await;
    let all = vec![(facebook(), fb.clone()), (amazon(), amz.clone()), (twitter(), tw.clone())];
    let proven = verify(all).await.unwrap();
    let users: Vec<_> = proven.iter().map(|login| (login.login_key(), login.subject())).collect();
    assert_eq!(users, [(FACEBOOK, "ann-at-facebook"), (AMAZON, "amzn1.account.ANN"), (TWITTER, "42")]);
    assert_eq!(scene.providers.asked().len(), 4);
    let one_bad = verify(vec![(facebook(), fb.clone()), (amazon(), "Atza|bad".to_owned())]).await;
    assert_eq!(outcome(&one_bad), "NotHonoured");
    scene.providers.asked();
    // What can be told without asking is told first, whatever its place.
    for (trust, token, why) in [
        (twitter(), "tw-good".to_owned(), "NotAccessToken"),
        (stage::declared("idp.example.com"), "no.jwt".to_owned(), "NotIdToken"),
    ] {
        let one_bad = verify(vec![(facebook(), fb.clone()), (amazon(), amz.clone()), (trust, token)]).await;
        assert_eq!((outcome(&one_bad).as_str(), scene.paths().len()), (why, 0));
    }
}

#[tokio::test]
async fn opaque_tokens_and_id_tokens_go_together() {
    let issuer = Issuer::start().await;
    let scene = Scene::with(&format!("allow_http_issuers = ['{}']", issuer.url())).await;
    let id_token = |sub: &str| issuer.token_with(&issuer.claims_at(NOW, sub, stage::CLIENT));
    let logins = vec![
        (stage::declared(issuer.login_key()), id_token("ann")),
        (facebook(), "fb-good".to_owned()),
        (amazon(), "Atza|good".to_owned()),
    ];
    let proven = scene.upstream.verify(logins.clone()).await.unwrap();
    let subjects: Vec<_> = proven.iter().map(VerifiedLogin::subject).collect();
    assert_eq!(subjects, ["ann", "ann-at-facebook", "amzn1.account.ANN"]);
    let mut one_bad = logins;
    one_bad[1].1 = "fb-bad".to_owned();
    assert_eq!(outcome(&scene.upstream.verify(one_bad).await), "NotHonoured");
}

#[tokio::test]
async fn an_answer_that_tells_nothing_is_the_providers_failure() {
    // Who never answers is given up sooner.
    let (scene, hasty) = (Scene::new().await, Scene::with("fetch_timeout = 1").await);
    let elsewhere = Issuer::start().await;
    for (trust, token, path) in [
        (facebook(), "fb-good", "/app"),
        (facebook(), "fb-good", "/me"),
        (amazon(), "Atza|good", "/tokeninfo"),
        (twitter(), "tw-good;tw-secret", "/verify_credentials.json"),
    ] {
        for fault in [
            Fault::Text("{}".to_owned()),
            Fault::Text(String::new()),
            Fault::Text("[]".to_owned()),
            Fault::Text("<html>".to_owned()),
            Fault::Text(r#"{"id":"1001","id":"1001","id_str":"1","id_str":"2"}"#.to_owned()),
            Fault::Altered(json!({"id": 1001, "user_id": 7, "id_str": 42})),
            Fault::Altered(json!({"id": "", "user_id": "", "id_str": ""})),
            Fault::Altered(json!({"id": "a\u{0}", "user_id": "a\u{0}", "id_str": "a\u{0}"})),
            Fault::Altered(json!({"id": null, "user_id": null, "id_str": null})),
            Fault::Altered(json!({"id": "x".repeat(256), "user_id": "x".repeat(256), "id_str": "x".repeat(256)})),
            Fault::Status(201),
            Fault::Status(404),
            Fault::Status(429),
            Fault::Status(500),
            Fault::Status(503),
            Fault::Redirect(format!("{}{path}", elsewhere.url())),
            Fault::Padded(300_000),
            Fault::Endless,
            Fault::Gzip,
            Fault::Reset,
            Fault::Hang,
            Fault::Slow,
        ] {
            let scene = if matches!(fault, Fault::Hang | Fault::Slow) { &hasty } else { &scene };
            scene.providers.behave();
            scene.providers.misbehave(path, fault.clone());
            assert_eq!(scene.login(&trust, token).await, "Upstream", "{path}: {fault:?}");
        }
        scene.providers.behave();
        assert_eq!(scene.login(&trust, token).await, "accepted", "{path}");
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn a_refusal_is_about_the_token_unless_it_says_otherwise() {
    let scene = Scene::new().await;
    let facebook_says =
        |code: i64| json!({"error": {"type": "OAuthException", "code": code, "message": "m"}}).to_string();
    let twitter_says = |code: i64| json!({"errors": [{"code": code, "message": "m"}]}).to_string();
    for (trust, token, path, status, text, expected) in [
        (facebook(), "fb-good", "/app", 400, facebook_says(190), "NotHonoured"),
        (facebook(), "fb-good", "/me", 400, facebook_says(190), "NotHonoured"),
        (facebook(), "fb-good", "/me", 403, facebook_says(200), "NotHonoured"),
        (facebook(), "fb-good", "/app", 403, facebook_says(4), "Upstream"),
        (facebook(), "fb-good", "/me", 400, facebook_says(17), "Upstream"),
        (amazon(), "Atza|good", "", 400, r#"{"error":"invalid_token"}"#.to_owned(), "NotHonoured"),
        (amazon(), "Atza|good", "", 401, "no JSON".to_owned(), "NotHonoured"),
        (amazon(), "Atza|good", "", 400, " ".repeat(300_000), "Upstream"),
        (twitter(), "tw-good;tw-secret", "", 401, twitter_says(32), "NotHonoured"),
        (twitter(), "tw-good;tw-secret", "", 403, twitter_says(64), "NotHonoured"),
        (twitter(), "tw-good;tw-secret", "", 403, twitter_says(453), "Upstream"),
        (twitter(), "tw-good;tw-secret", "", 401, twitter_says(135), "Upstream"),
    ] {
        scene.providers.behave();
        scene.providers.misbehave(path, Fault::Says(status, text.clone()));
        assert_eq!(scene.login(&trust, token).await, expected, "{path}: {status} {text}");
    }
}

#[tokio::test]
async fn what_amazon_tells_of_a_token_must_be_whole() {
    let scene = Scene::new().await;
    for (changes, expected) in [
        (json!({"exp": 1}), "accepted"),
        (json!({"app_id": null}), "accepted"),
        (json!({"exp": 0}), "Expired"),
        (json!({"exp": -5}), "Expired"),
        (json!({"iss": "https://www.amazon.com.evil.test"}), "Issuer"),
        (json!({"aud": "another"}), "Audience"),
        (json!({"aud": "another", "app_id": APPLICATION}), "Audience"),
        (json!({"exp": null}), "Upstream"),
        (json!({"exp": "3597"}), "Upstream"),
        (json!({"exp": 3.5}), "Upstream"),
        (json!({"iss": null}), "Upstream"),
        (json!({"aud": null}), "Upstream"),
        (json!({"aud": [CLIENT]}), "Upstream"),
        (json!({"app_id": 1}), "Upstream"),
    ] {
        scene.providers.behave();
        scene.providers.misbehave("", Fault::Altered(changes.clone()));
        assert_eq!(scene.login(&amazon(), "Atza|good").await, expected, "{changes}");
    }
}

#[tokio::test]
async fn both_questions_to_facebook_share_the_time_of_one() {
    let scene = Scene::with("fetch_timeout = 4").await;
    scene.providers.misbehave("/app", Fault::Late(Duration::from_millis(2_500)));
    assert_eq!(scene.login(&facebook(), "fb-good").await, "accepted");
    scene.providers.misbehave("/me", Fault::Late(Duration::from_millis(2_500)));
    let began = Instant::now();
    assert_eq!(scene.login(&facebook(), "fb-good").await, "Upstream");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}
