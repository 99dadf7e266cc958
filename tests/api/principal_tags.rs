//! Principal-tag maps of a pool's providers (T1 to T3).

use serde_json::{Value, json};
use symbolon::error::Error;
use symbolon::pools::Pool;
use symbolon::pools::principal_tags::TagMap;

use crate::client::{Answer, Developer, broker};
use crate::harness::{self, DEVELOPER, assert_refused, epoch, fresh_db};

const OPENID: &str = "arn:aws:iam::000000000001:oidc-provider/idp.example.com/realm";
const SAML: &str = "arn:aws:iam::000000000001:saml-provider/adfs";
const USER_POOL: &str = "cognito-idp.us-east-1.amazonaws.com/us-east-1_a";
const NAMES: [&str; 6] = ["graph.facebook.com", OPENID, "idp.example.com/realm", SAML, USER_POOL, DEVELOPER];

fn settings(more: Value) -> Value {
    let mut pool = json!({
        "IdentityPoolName": "a pool", "AllowUnauthenticatedIdentities": true, "DeveloperProviderName": DEVELOPER,
        "SupportedLoginProviders": { "graph.facebook.com": "1" },
        "OpenIdConnectProviderARNs": [OPENID], "SamlProviderARNs": [SAML],
        "CognitoIdentityProviders": [{ "ProviderName": USER_POOL, "ClientId": "one" }],
    });
    let Value::Object(more) = more else { panic!("{more} is no object") };
    pool.as_object_mut().unwrap().extend(more);
    pool
}

async fn pool(developer: &Developer) -> String {
    developer.call("CreateIdentityPool", settings(json!({}))).await.member("IdentityPoolId")
}

async fn set(developer: &Developer, pool: &str, provider: &str, map: Value) -> Answer {
    let mut body = json!({ "IdentityPoolId": pool, "IdentityProviderName": provider });
    let Value::Object(map) = map else { panic!("{map} is no object") };
    body.as_object_mut().unwrap().extend(map);
    developer.call("SetPrincipalTagAttributeMap", body).await
}

async fn get(developer: &Developer, pool: &str, provider: &str) -> Answer {
    let body = json!({ "IdentityPoolId": pool, "IdentityProviderName": provider });
    developer.call("GetPrincipalTagAttributeMap", body).await
}

fn never_set(provider: &str) -> String {
    format!("No principal tag attribute map was set for identity provider '{provider}'.")
}

#[tokio::test]
async fn a_map_answers_with_four_members_and_reads_back_the_same() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let pool = pool(&developer).await;
    let facebook = "graph.facebook.com";
    for (map, defaults, tags) in [
        (json!({ "UseDefaults": true, "PrincipalTags": {} }), true, "{}"),
        (json!({ "UseDefaults": true }), true, "{}"),
        (
            json!({ "PrincipalTags": { "team": "custom:team", "app id": "aud" } }),
            false,
            r#"{"app id":"aud","team":"custom:team"}"#,
        ),
        (json!({ "UseDefaults": true, "PrincipalTags": { "a": "b" } }), true, r#"{"a":"b"}"#),
        (json!({ "UseDefaults": false }), false, "{}"),
        (json!({}), false, "{}"),
    ] {
        let expected = format!(
            r#"{{"IdentityPoolId":"[us-east-1 pool]","IdentityProviderName":"{facebook}","UseDefaults":{defaults},"PrincipalTags":{tags}}}"#
        );
        let answer = set(&developer, &pool, facebook, map).await;
        answer.is(&expected);
        assert_eq!(get(&developer, &pool, facebook).await.text, answer.text);
        assert_eq!(get(&broker.replica().await.developer(1), &pool, facebook).await.text, answer.text);
    }
}

#[tokio::test]
async fn every_provider_has_its_own_map_under_each_of_its_names() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let pool = pool(&developer).await;
    for name in NAMES {
        get(&developer, &pool, name).await.is_exception(400, "ResourceNotFoundException", &never_set(name));
    }
    for (name, other) in [(OPENID, "idp.example.com/realm"), ("idp.example.com/realm", OPENID)] {
        set(&developer, &pool, name, json!({ "PrincipalTags": { "set by": name } })).await.ok();
        let answer = get(&developer, &pool, other).await.ok().json;
        assert_eq!(answer["PrincipalTags"], json!({ "set by": name }));
        assert_eq!(answer["IdentityProviderName"], other);
    }
    for name in NAMES.iter().filter(|name| !name.contains("idp.example.com")) {
        get(&developer, &pool, name).await.is_exception(400, "ResourceNotFoundException", &never_set(name));
        set(&developer, &pool, name, json!({ "PrincipalTags": { "set by": name } })).await.ok();
        assert_eq!(get(&developer, &pool, name).await.json["PrincipalTags"], json!({ "set by": name }));
    }
}

#[tokio::test]
async fn a_provider_that_the_pool_does_not_have_is_not_found() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let pool = pool(&developer).await;
    for name in [
        "www.amazon.com",
        &format!("{USER_POOL}:one"),
        "https://idp.example.com/realm",
        "arn:aws:iam::000000000002:oidc-provider/idp.example.com/realm",
        "é",
    ] {
        let text = format!("Identity provider '{name}' is not configured on this identity pool.");
        for answer in [set(&developer, &pool, name, json!({})).await, get(&developer, &pool, name).await] {
            answer.refused("ResourceNotFoundException", &text);
        }
    }
}

#[tokio::test]
async fn keys_and_claims_that_no_session_tag_has() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let pool = pool(&developer).await;
    let characters = "letters, digits, white space and _ . : / = + - @ are allowed.";
    for (key, claim, text) in [
        ("aws:team", "sub", "Tag key 'aws:team' begins with the reserved prefix 'aws:'.".to_owned()),
        ("a*", "sub", format!("Tag 'a*' holds the character '*'; {characters}")),
        ("a", "s\0", "The claim of tag 'a' must not contain U+0000.".to_owned()),
    ] {
        let answer = set(&developer, &pool, SAML, json!({ "PrincipalTags": { key: claim } })).await;
        answer.refused("InvalidParameterException", &text);
    }
    get(&developer, &pool, SAML).await.is_exception(400, "ResourceNotFoundException", &never_set(SAML));
    let any = json!({ "Équipe/x": "https://idp.example/claims/équipe*\n" });
    set(&developer, &pool, SAML, json!({ "PrincipalTags": any })).await.ok();
    assert_eq!(get(&developer, &pool, SAML).await.json["PrincipalTags"], any);
}

#[tokio::test]
async fn a_provider_that_leaves_takes_its_map_along_and_brings_it_back() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let pool = pool(&developer).await;
    let facebook = "graph.facebook.com";
    let made = set(&developer, &pool, facebook, json!({ "PrincipalTags": { "a": "b" } })).await.ok();
    let without = settings(json!({ "IdentityPoolId": pool, "SupportedLoginProviders": {} }));
    developer.call("UpdateIdentityPool", without).await.ok();
    // Terraform takes this for destroyed.
    let gone = "Identity provider 'graph.facebook.com' is not configured on this identity pool.";
    for answer in [get(&developer, &pool, facebook).await, set(&developer, &pool, facebook, json!({})).await] {
        answer.is_exception(400, "ResourceNotFoundException", gone);
    }
    developer.call("UpdateIdentityPool", settings(json!({ "IdentityPoolId": pool }))).await.ok();
    assert_eq!(get(&developer, &pool, facebook).await.text, made.text);
}

#[tokio::test]
async fn setting_a_map_moves_the_epoch_and_is_read_with_the_pool() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let pool = harness::pool(&mut conn).await;
    let before = epoch(&mut conn).await;
    let map = TagMap { use_defaults: Some(false), principal_tags: Some([("a".to_owned(), "b".to_owned())].into()) };
    map.set(&mut conn, &pool, DEVELOPER).await.unwrap();
    assert_eq!(epoch(&mut conn).await, before + 1);
    let found = Pool::find_public(&mut conn, &pool.id).await.unwrap().unwrap();
    assert_eq!(TagMap::of(&found, DEVELOPER).unwrap(), Some(&map));
    assert_eq!(found.numbered[DEVELOPER].tag_map, Some(map.clone()));
    assert_refused!(map.set(&mut conn, &pool, "unknown.example").await, Error::ProviderNotFound(_));
    assert_eq!(epoch(&mut conn).await, before + 1);
    pool.clone().delete(&mut conn).await.unwrap();
    assert_refused!(map.set(&mut conn, &pool, DEVELOPER).await, Error::PoolNotFound(_));
}
