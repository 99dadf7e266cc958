//! Facebook, Amazon and Twitter by the operations: users sign in with opaque tokens, or are refused with nothing changed.

use std::time::Duration;

use serde_json::{Value, json};
use symbolon::clock::Clock;

use crate::client::{Answer, Broker, Developer, Visitor, broker_with};
use crate::federation::{NOT_SUPPORTED, claims};
use crate::harness::{self, DEVELOPER};
use crate::issuer::Fault;
use crate::social_providers::{AMAZON, CONSUMER, FACEBOOK, Providers, TWITTER};

const CLIENT: &str = "amzn1.application-oa2-client.one";

struct Social {
    broker: Broker,
    providers: Providers,
    developer: Developer,
    visitor: Visitor,
    pool: String,
}

/// A pool with all three providers, each of which has a token for Ann.
async fn social() -> Social {
    let providers = Providers::start(Clock::System).await;
    let [(_, facebook), (_, amazon), (_, twitter)] = providers.settings();
    let broker = broker_with(|config| {
        // So little that Facebook's two late answers need the time for asking providers.
        config.server.handler_timeout = Duration::from_secs(3);
        config.upstream.fetch_timeout = Duration::from_secs(20);
        config.upstream.facebook_graph = facebook;
        config.upstream.amazon_token_info = amazon;
        config.upstream.twitter_verify_credentials = twitter;
    })
    .await;
    providers.facebook("fb-ann", "1001", "ann-at-facebook");
    providers.amazon("Atza|ann", "one", "amzn1.account.ANN");
    providers.twitter("tw-ann", "tw-secret", "42");
    let developer = broker.developer(1);
    let visitor = broker.visitor();
    let mut made = Social { broker, providers, developer, visitor, pool: String::new() };
    made.pool = made.pool_with(json!(applications())).await;
    made
}

fn applications() -> Value {
    json!({ FACEBOOK: "999;1001", AMAZON: CLIENT, TWITTER: format!("{};{}", CONSUMER.0, CONSUMER.1) })
}

impl Social {
    async fn pool_with(&self, providers: Value) -> String {
        let settings = json!({ "IdentityPoolName": "social", "AllowUnauthenticatedIdentities": true,
                               "DeveloperProviderName": DEVELOPER, "SupportedLoginProviders": providers });
        self.developer.call("CreateIdentityPool", settings).await.member("IdentityPoolId")
    }

    async fn get_id(&self, logins: Value) -> Answer {
        self.visitor.call("GetId", json!({ "IdentityPoolId": self.pool, "Logins": logins })).await
    }

    async fn id(&self, logins: Value) -> String {
        self.get_id(logins).await.member("IdentityId")
    }

    async fn token(&self, identity: &str, logins: Value) -> Value {
        let body = json!({ "IdentityId": identity, "Logins": logins });
        claims(&self.visitor.call("GetOpenIdToken", body).await.member("Token"))
    }

    async fn state(&self) -> String {
        let mut conn = self.broker.db.conn().await;
        harness::dump(&mut conn, &["identities", "logins"]).await.join("\n")
    }
}

/// Ann's login at each provider, the client it is for, and who she is there.
fn anns() -> [(&'static str, &'static str, &'static str, &'static str); 3] {
    [
        (FACEBOOK, "fb-ann", "1001", "ann-at-facebook"),
        (AMAZON, "Atza|ann", CLIENT, "amzn1.account.ANN"),
        (TWITTER, "tw-ann;tw-secret", CONSUMER.0, "42"),
    ]
}

#[tokio::test]
async fn users_of_each_provider_sign_in_and_their_tokens_say_so() {
    let at = social().await;
    for (key, token, client, subject) in anns() {
        let logins = json!({ key: token });
        let ann = at.id(logins.clone()).await;
        assert_eq!(at.id(logins.clone()).await, ann);
        let claims = at.token(&ann, logins.clone()).await;
        assert_eq!(claims["sub"], ann);
        assert_eq!(claims["amr"], json!(["authenticated", key, format!("{key}:{client}:{subject}")]));
        let described = at.developer.call("DescribeIdentity", json!({ "IdentityId": ann })).await.ok();
        assert_eq!(described.json["Logins"], json!([key]));
        // Another token of the same user is the same user.
        assert!(!at.state().await.contains(&hex::encode(subject)));
    }
    at.providers.facebook("fb-ann-2", "999", "ann-at-facebook");
    assert_eq!(at.id(json!({ FACEBOOK: "fb-ann-2" })).await, at.id(json!({ FACEBOOK: "fb-ann" })).await);
}

#[tokio::test]
async fn logins_of_several_providers_become_one_identity() {
    let at = social().await;
    let all: Value = anns().iter().map(|(key, token, ..)| ((*key).to_owned(), json!(token))).collect();
    let ann = at.id(all.clone()).await;
    for (key, token, ..) in anns() {
        assert_eq!(at.id(json!({ key: token })).await, ann);
    }
    // A guest who signs in with a new login keeps the identity.
    at.providers.facebook("fb-bob", "1001", "bob");
    let guest = at.visitor.get_id(&at.pool).await.member("IdentityId");
    at.token(&guest, json!({ FACEBOOK: "fb-bob" })).await;
    assert_eq!(at.id(json!({ FACEBOOK: "fb-bob" })).await, guest);
    // A backend brings a login along.
    let body = json!({ "IdentityPoolId": at.pool, "Logins": { DEVELOPER: "ann", AMAZON: "Atza|ann" } });
    let answer = at.developer.call("GetOpenIdTokenForDeveloperIdentity", body).await;
    assert_eq!(answer.member("IdentityId"), ann);
    // One that goes is gone.
    let body = json!({ "IdentityId": ann, "Logins": { TWITTER: "tw-ann;tw-secret" }, "LoginsToRemove": [TWITTER] });
    at.visitor.call("UnlinkIdentity", body).await.ok();
    assert_ne!(at.id(json!({ TWITTER: "tw-ann;tw-secret" })).await, ann);
}

#[tokio::test]
async fn tokens_that_prove_nothing_are_refused_with_nothing_changed() {
    let at = social().await;
    let before = at.state().await;
    at.providers.facebook("fb-theirs", "2002", "ann-at-facebook");
    at.providers.amazon("Atza|theirs", "two", "amzn1.account.ANN");
    at.providers.consumer("theirs", "their-secret");
    at.providers.twitter_of("theirs", "tw-theirs", "tw-secret", "42");
    for (key, token, text) in [
        (FACEBOOK, "fb-theirs", " Incorrect token audience."),
        (FACEBOOK, "unknown", ""),
        (FACEBOOK, "two words", " Not an access token of this provider."),
        (AMAZON, "Atza|theirs", " Incorrect token audience."),
        (AMAZON, "unknown", ""),
        (TWITTER, "tw-theirs;tw-secret", ""),
        (TWITTER, "tw-ann;another-secret", ""),
        (TWITTER, "tw-ann", " Not an access token of this provider."),
    ] {
        let text = format!("Invalid login token.{text}");
        at.get_id(json!({ key: token })).await.refused("NotAuthorizedException", &text);
        let mut logins = json!({ DEVELOPER: "new" });
        logins[key] = json!(token);
        let body = json!({ "IdentityPoolId": at.pool, "Logins": logins });
        let answer = at.developer.call("GetOpenIdTokenForDeveloperIdentity", body).await;
        answer.refused("NotAuthorizedException", &text);
    }
    at.get_id(json!({ FACEBOOK: "fb-ann", AMAZON: "unknown" }))
        .await
        .refused("NotAuthorizedException", "Invalid login token.");
    assert_eq!(at.state().await, before);
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_told_as_an_external_failure() {
    let at = social().await;
    for status in [429, 500] {
        at.providers.behave();
        at.providers.misbehave("", Fault::Status(status));
        for (key, token, ..) in anns() {
            let answer = at.get_id(json!({ key: token })).await;
            assert_eq!((answer.status.as_u16(), answer.exception()), (400, "ExternalServiceException"), "{answer:?}");
            // The developers' operation has no such exception.
            let mut logins = json!({ DEVELOPER: "ann" });
            logins[key] = json!(token);
            let body = json!({ "IdentityPoolId": at.pool, "Logins": logins });
            let answer = at.developer.call("GetOpenIdTokenForDeveloperIdentity", body).await;
            assert_eq!(answer.exception(), "InternalErrorException", "{answer:?}");
        }
    }
    assert_eq!(at.state().await, "");
}

#[tokio::test]
async fn a_provider_takes_its_time_beside_that_of_the_operation() {
    let at = social().await;
    at.providers.misbehave("", Fault::Late(Duration::from_secs(2)));
    at.id(json!({ FACEBOOK: "fb-ann" })).await;
}

#[tokio::test]
async fn providers_without_an_application_are_not_supported() {
    let mut at = social().await;
    let asked = at.providers.asked().len();
    at.pool =
        at.pool_with(json!({ TWITTER: "key-without-secret", "www.digits.com": "key;secret", AMAZON: CLIENT })).await;
    for (key, token) in [(FACEBOOK, "fb-ann"), (TWITTER, "tw-ann;tw-secret"), ("www.digits.com", "tw-ann;tw-secret")] {
        at.get_id(json!({ key: token })).await.refused("NotAuthorizedException", NOT_SUPPORTED);
    }
    assert_eq!((asked, at.providers.asked().len()), (0, 0));
    at.id(json!({ AMAZON: "Atza|ann" })).await;
}

#[tokio::test]
async fn the_applications_of_a_pool_are_shown_as_they_were_set() {
    let at = social().await;
    let shown = at.developer.call("DescribeIdentityPool", json!({ "IdentityPoolId": at.pool })).await.ok();
    assert_eq!(shown.json["SupportedLoginProviders"], applications());
}

#[tokio::test]
async fn what_the_providers_tell_can_become_principal_tags() {
    let at = social().await;
    for (key, token, client, subject) in anns() {
        let logins = json!({ key: token });
        let ann = at.id(logins.clone()).await;
        let map = |defaults: bool, tags: Value| {
            json!({ "IdentityPoolId": at.pool, "IdentityProviderName": key,
                                                        "UseDefaults": defaults, "PrincipalTags": tags })
        };
        at.developer.call("SetPrincipalTagAttributeMap", map(true, json!({}))).await.ok();
        let tags = &at.token(&ann, logins.clone()).await["https://aws.amazon.com/tags"]["principal_tags"];
        assert_eq!(*tags, json!({ "client": [client], "username": [subject] }));
        let own = json!({ "app": "app_id", "user": "user_id", "name": "screen_name" });
        at.developer.call("SetPrincipalTagAttributeMap", map(false, own)).await.ok();
        let tags = &at.token(&ann, logins).await["https://aws.amazon.com/tags"]["principal_tags"];
        let expected = match key {
            FACEBOOK => json!({ "app": [client] }),
            AMAZON => json!({ "app": ["amzn1.application.one"], "user": [subject] }),
            _ => Value::Null,
        };
        assert_eq!(*tags, expected, "{key}");
    }
}
