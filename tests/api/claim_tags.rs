//! Principal tags in tokens: those given in the call, and those that a provider's attribute map makes of claims.

use serde_json::{Value, json};

use crate::federation::{CLIENT, Federation, claims, federation};
use crate::harness::DEVELOPER;

const TAGS: &str = "https://aws.amazon.com/tags";

impl Federation {
    async fn map(&self, provider: &str, use_defaults: bool, tags: Value) {
        let body = json!({ "IdentityPoolId": self.pool, "IdentityProviderName": provider,
                           "UseDefaults": use_defaults, "PrincipalTags": tags });
        self.developer.call("SetPrincipalTagAttributeMap", body).await.ok();
    }

    /// The tags in the token that the classic flow gives for these logins.
    async fn tags_of(&self, identity: &str, logins: Value) -> Value {
        let body = json!({ "IdentityId": identity, "Logins": logins });
        let token = self.visitor.call("GetOpenIdToken", body).await.member("Token");
        claims(&token)[TAGS].clone()
    }
}

fn tags(tags: &[(&str, &str)]) -> Value {
    let tags: serde_json::Map<String, Value> =
        tags.iter().map(|(key, value)| ((*key).to_owned(), json!([value]))).collect();
    json!({ "principal_tags": tags })
}

#[tokio::test]
async fn the_default_mapping_tells_client_and_user() {
    let at = federation().await;
    let ann = at.id(&["a:ann"]).await;
    assert_eq!(at.tags_of(&ann, at.logins(&["a:ann"])).await, Value::Null);
    at.map(&at.key("a"), true, json!({})).await;
    let expected = tags(&[("client", CLIENT), ("username", "ann")]);
    assert_eq!(at.tags_of(&ann, at.logins(&["a:ann"])).await, expected);
    // Of several audiences, the client that was accepted.
    let token = at.token_with("a", "ann", &json!({ "aud": ["another", CLIENT], "azp": CLIENT }));
    assert_eq!(at.tags_of(&ann, json!({ at.key("a"): token })).await, expected);
}

#[tokio::test]
async fn a_claim_becomes_a_tag_if_it_is_a_single_value() {
    let at = federation().await;
    let ann = at.id(&["a:ann"]).await;
    let names = ["text", "number", "truth", "list", "object", "nothing", "empty", "absent"];
    let map: serde_json::Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), json!(name))).collect();
    at.map(&at.key("a"), false, map.into()).await;
    let token = at.token_with(
        "a",
        "ann",
        &json!({ "text": "grün", "number": 7, "truth": true, "list": ["x"], "object": {}, "nothing": null, "empty": "" }),
    );
    let made = at.tags_of(&ann, json!({ at.key("a"): token })).await;
    assert_eq!(made, tags(&[("number", "7"), ("text", "grün"), ("truth", "true")]));
}

#[tokio::test]
async fn a_claim_that_fits_no_tag_is_refused_before_anything_changes() {
    let at = federation().await;
    at.map(&at.key("a"), false, json!({ "team": "team" })).await;
    let (guest, before) = (at.guest().await, at.state().await);
    for (length, admitted) in [(257, false), (256, true)] {
        let token = at.token_with("a", "ann", &json!({ "team": "é".repeat(length) }));
        let body = json!({ "IdentityId": guest, "Logins": { at.key("a"): token } });
        let answer = at.visitor.call("GetOpenIdToken", body).await;
        if admitted {
            answer.ok();
        } else {
            let text = "Invalid login token. The claim 'team' does not fit a principal tag.";
            answer.refused("NotAuthorizedException", text);
            assert_eq!(at.state().await, before);
        }
    }
}

#[tokio::test]
async fn a_developers_call_has_the_tags_that_it_gives_and_those_of_its_public_logins() {
    let at = federation().await;
    at.map(&at.key("a"), false, json!({ "team": "team", "site": "site" })).await;
    // The developer provider has no claims to map: what is given is used as it is.
    at.map(DEVELOPER, true, json!({})).await;
    let token = at.token_with("a", "ann", &json!({ "team": "red", "site": "north" }));
    let call = async |logins: Value, given: Value| {
        let body = json!({ "IdentityPoolId": at.pool, "Logins": logins, "PrincipalTags": given });
        let answer = at.developer.call("GetOpenIdTokenForDeveloperIdentity", body).await;
        claims(&answer.member("Token"))[TAGS].clone()
    };
    let (alone, both) = (json!({ DEVELOPER: "ann" }), json!({ DEVELOPER: "ann", at.key("a"): token }));
    assert_eq!(call(alone.clone(), json!({})).await, Value::Null);
    assert_eq!(call(alone.clone(), json!({ "team": "blue" })).await, tags(&[("team", "blue")]));
    assert_eq!(call(both.clone(), json!({})).await, tags(&[("site", "north"), ("team", "red")]));
    assert_eq!(call(both, json!({ "team": "blue" })).await, tags(&[("site", "north"), ("team", "blue")]));
    // Tags are of the call, not of the identity.
    assert_eq!(call(alone, json!({})).await, Value::Null);
}

#[tokio::test]
async fn a_map_counts_at_once_and_only_for_its_own_provider() {
    let at = federation().await;
    let ann = at.id(&["a:ann", "b:ann"]).await;
    at.map(&at.key("a"), true, json!({})).await;
    assert_eq!(at.tags_of(&ann, at.logins(&["b:ann"])).await, Value::Null);
    at.map(&at.key("b"), false, json!({ "who": "sub" })).await;
    assert_eq!(at.tags_of(&ann, at.logins(&["b:ann"])).await, tags(&[("who", "ann")]));
    let both = at.tags_of(&ann, at.logins(&["a:ann", "b:ann"])).await;
    assert_eq!(both, tags(&[("client", CLIENT), ("username", "ann"), ("who", "ann")]));
    at.map(&at.key("b"), false, json!({})).await;
    assert_eq!(at.tags_of(&ann, at.logins(&["b:ann"])).await, Value::Null);
}
