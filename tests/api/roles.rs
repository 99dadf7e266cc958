//! Roles and role mappings of pools (R1 to R5): replaced as a whole, read back as they were set, checked against the pool.

use serde_json::{Value, json};
use symbolon::error::Error;
use symbolon::pools::Pool;
use symbolon::pools::roles::{Otherwise, RoleMapping, RoleSource, Roles};

use crate::client::{Developer, broker, broker_with};
use crate::harness::{self, DEVELOPER, assert_refused, epoch, fresh_db};

const ROLE: &str = "arn:aws:iam::123456789012:role/one";
const OTHER_ROLE: &str = "arn:aws-cn:iam::123456789012:role/path/of/another";
const OPENID: &str = "arn:aws:iam::000000000001:oidc-provider/idp.example.com/realm";
const SAML: &str = "arn:aws:iam::000000000001:saml-provider/adfs";
const USER_POOL: &str = "cognito-idp.us-east-1.amazonaws.com/us-east-1_a";
const INVALID: &str = "InvalidParameterException";

/// A pool with a provider of each kind.
async fn pool(developer: &Developer) -> String {
    developer.call("CreateIdentityPool", with_providers(json!({}))).await.member("IdentityPoolId")
}

fn with_providers(more: Value) -> Value {
    let mut pool = json!({
        "IdentityPoolName": "a pool", "AllowUnauthenticatedIdentities": true, "DeveloperProviderName": DEVELOPER,
        "SupportedLoginProviders": { "graph.facebook.com": "1" },
        "OpenIdConnectProviderARNs": [OPENID], "SamlProviderARNs": [SAML],
        "CognitoIdentityProviders": [{ "ProviderName": USER_POOL, "ClientId": "one" },
                                     { "ProviderName": USER_POOL, "ClientId": "two" }],
    });
    let Value::Object(more) = more else { panic!("{more} is no object") };
    pool.as_object_mut().unwrap().extend(more);
    pool
}

fn token() -> Value {
    json!({ "Type": "Token", "AmbiguousRoleResolution": "Deny" })
}

fn rule(value: &str, role: &str) -> Value {
    json!({ "Claim": "isAdmin", "MatchType": "Equals", "Value": value, "RoleARN": role })
}

fn rules(rules: &[Value]) -> Value {
    json!({ "Type": "Rules", "AmbiguousRoleResolution": "AuthenticatedRole", "RulesConfiguration": { "Rules": rules } })
}

async fn set(developer: &Developer, pool: &str, roles: Value, mappings: Option<Value>) -> crate::client::Answer {
    let mut body = json!({ "IdentityPoolId": pool, "Roles": roles });
    if let Some(mappings) = mappings {
        body["RoleMappings"] = mappings;
    }
    developer.call("SetIdentityPoolRoles", body).await
}

async fn get(developer: &Developer, pool: &str) -> Value {
    developer.call("GetIdentityPoolRoles", json!({ "IdentityPoolId": pool })).await.ok().json
}

#[tokio::test]
async fn the_operations_on_roles_answer_so() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let pool = pool(&developer).await;
    let got = async || developer.call("GetIdentityPoolRoles", json!({ "IdentityPoolId": pool })).await;
    got().await.is(r#"{"IdentityPoolId":"[us-east-1 pool]"}"#);

    let answer =
        set(&developer, &pool, json!({ "authenticated": ROLE }), Some(json!({ "graph.facebook.com": token() }))).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, ""));
    assert_eq!(answer.header("content-length"), "0");
    got().await.is(concat!(
        r#"{"IdentityPoolId":"[us-east-1 pool]","Roles":{"authenticated":"arn:aws:iam::123456789012:role/one"},"#,
        r#""RoleMappings":{"graph.facebook.com":{"Type":"Token","AmbiguousRoleResolution":"Deny"}}}"#,
    ));
}

#[tokio::test]
async fn what_was_set_reads_back_the_same_with_rules_in_their_order() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let pool = pool(&developer).await;
    let roles = json!({ "authenticated": ROLE, "unauthenticated": OTHER_ROLE });
    let match_types = ["NotEqual", "StartsWith", "Contains", "Equals"];
    let all: Vec<Value> = (0..25)
        .map(|number| {
            json!({ "Claim": format!("claim:{}é", 25 - number), "MatchType": match_types[number % 4],
                    "Value": format!("a value {number}\n"), "RoleARN": ROLE })
        })
        .collect();
    let mut both = rules(&[rule("x", OTHER_ROLE)]);
    both["Type"] = json!("Token"); // rules that are not asked are kept
    let mappings = json!({
        "graph.facebook.com": rules(&all), OPENID: token(), "idp.example.com/realm": rules(&[rule("a", ROLE)]),
        SAML: both, format!("{USER_POOL}:one"): token(), format!("{USER_POOL}:two"): token(), DEVELOPER: token(),
    });
    assert_eq!(set(&developer, &pool, roles.clone(), Some(mappings.clone())).await.ok().text, "");
    let expected = json!({ "IdentityPoolId": pool, "Roles": roles, "RoleMappings": mappings });
    assert_eq!(get(&developer, &pool).await, expected);
    // Another broker of the installation reads the same.
    assert_eq!(get(&broker.replica().await.developer(1), &pool).await, expected);
}

#[tokio::test]
async fn both_members_are_replaced_as_a_whole_and_empty_ones_are_as_none() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let pool = pool(&developer).await;
    let (one, two) = (json!({ "authenticated": ROLE }), json!({ "unauthenticated": OTHER_ROLE }));
    let mapping = json!({ "graph.facebook.com": token() });

    set(&developer, &pool, one.clone(), Some(mapping.clone())).await.ok();
    set(&developer, &pool, two.clone(), Some(json!({ SAML: token() }))).await.ok();
    let expected = json!({ "IdentityPoolId": pool, "Roles": two, "RoleMappings": { SAML: token() } });
    assert_eq!(get(&developer, &pool).await, expected);
    // Mappings left out are removed.
    set(&developer, &pool, one.clone(), None).await.ok();
    assert_eq!(get(&developer, &pool).await, json!({ "IdentityPoolId": pool, "Roles": one }));
    set(&developer, &pool, json!({}), Some(mapping.clone())).await.ok();
    assert_eq!(get(&developer, &pool).await, json!({ "IdentityPoolId": pool, "RoleMappings": mapping }));
    // As Terraform destroys them.
    set(&developer, &pool, json!({}), Some(json!({}))).await.ok();
    assert_eq!(get(&developer, &pool).await, json!({ "IdentityPoolId": pool }));
    let query = "select count(*) from identity_pools where roles is null and role_mappings is null";
    assert_eq!(harness::count(&mut *broker.db.conn().await, query).await, 1);
}

#[tokio::test]
async fn keys_of_mappings_name_providers_of_the_pool() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let pool = pool(&developer).await;
    for bad in [
        "www.amazon.com",
        "graph.facebook.com:1",
        USER_POOL,
        &format!("{USER_POOL}:three"),
        &format!("{USER_POOL}:"),
        &format!("https://{USER_POOL}:one"),
        "cognito-idp.us-east-1.amazonaws.com/us-east-1_b:one",
        "https://idp.example.com/realm",
        "arn:aws:iam::000000000002:oidc-provider/idp.example.com/realm",
        "arn:aws:iam::000000000001:saml-provider/other",
        "other.example.com",
    ] {
        let mappings = json!({ bad: token(), "graph.facebook.com": token() });
        let answer = set(&developer, &pool, json!({}), Some(mappings)).await;
        let text = format!("({bad}) is not a valid RoleMapping ProviderName or is not a configured provider.");
        answer.is_exception(400, INVALID, &text);
    }
    assert_eq!(get(&developer, &pool).await, json!({ "IdentityPoolId": pool }));
}

#[tokio::test]
async fn malformed_roles_are_forbidden_wherever_they_stand() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let pool = pool(&developer).await;
    for bad in ["a-role-without-an-arn", "arn:aws:iam:::role/no-account", "arn:aws:iam::123456789012:user/alice"] {
        let text = format!("Access to Role '{bad}' is forbidden.");
        let roles = json!({ "authenticated": ROLE, "unauthenticated": bad });
        set(&developer, &pool, roles, None).await.is_exception(400, "NotAuthorizedException", &text);
        let mappings = json!({ "graph.facebook.com": rules(&[rule("a", ROLE), rule("b", bad)]) });
        let answer = set(&developer, &pool, json!({}), Some(mappings)).await;
        answer.is_exception(400, "NotAuthorizedException", &text);
    }
    assert_eq!(get(&developer, &pool).await, json!({ "IdentityPoolId": pool }));
}

#[tokio::test]
async fn mappings_must_be_whole_and_their_rules_are_counted() {
    let broker = broker_with(|config| config.limits.rules_per_role_mapping = 2).await;
    let developer = broker.developer(1);
    let pool = pool(&developer).await;
    let of = "The role mapping of 'graph.facebook.com'";
    let ambiguous = format!("{of} must have AmbiguousRoleResolution: AuthenticatedRole or Deny.");
    let mut undecided = rules(&[rule("a", ROLE)]);
    undecided.as_object_mut().unwrap().remove("AmbiguousRoleResolution");
    for (mapping, text) in [
        (json!({ "Type": "Token" }), ambiguous.as_str()),
        (undecided, &ambiguous),
        (
            json!({ "Type": "Rules", "AmbiguousRoleResolution": "Deny" }),
            &format!("{of} is of type Rules and must have RulesConfiguration."),
        ),
        (rules(&[rule("a", ROLE), rule("b", ROLE), rule("c", ROLE)]), &format!("{of} can have at most 2 rules.")),
        (rules(&[rule("a\0", ROLE)]), &format!("{of} has a rule whose Value contains U+0000.")),
    ] {
        let answer = set(&developer, &pool, json!({}), Some(json!({ "graph.facebook.com": mapping }))).await;
        answer.is_exception(400, INVALID, text);
    }
    let two =
        json!({ "graph.facebook.com": rules(&[rule("a", ROLE), rule("b", ROLE)]), SAML: rules(&[rule("c", ROLE)]) });
    set(&developer, &pool, json!({}), Some(two)).await.ok();
}

#[tokio::test]
async fn what_is_wrong_is_told_in_this_order() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let pool = pool(&developer).await;
    let absent = "us-east-1:00000000-0000-4000-8000-000000000000";
    let bad_role = "a-role-without-an-arn";
    let mut mapping = json!({ "Type": "Rules", "RulesConfiguration": { "Rules": [rule("a", bad_role)] } });
    let roles = json!({ "authenticated": bad_role });
    let unknown = json!({ "unknown.example": mapping });
    set(&developer, absent, roles.clone(), Some(unknown.clone())).await.no_pool(absent);
    let answer = set(&developer, &pool, roles.clone(), Some(unknown)).await;
    assert!(answer.text.contains("(unknown.example) is not a valid RoleMapping"), "{answer:?}");
    let answer = set(&developer, &pool, roles.clone(), Some(json!({ SAML: mapping }))).await;
    assert!(answer.text.contains("must have AmbiguousRoleResolution"), "{answer:?}");
    mapping["AmbiguousRoleResolution"] = json!("Deny");
    let answer = set(&developer, &pool, roles, Some(json!({ SAML: mapping }))).await;
    assert_eq!(answer.exception(), "NotAuthorizedException", "{answer:?}");
}

#[tokio::test]
async fn the_mapping_of_a_provider_that_left_the_pool_stays_until_mappings_are_set_again() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let pool = pool(&developer).await;
    let mappings = json!({ "graph.facebook.com": token(), SAML: token() });
    set(&developer, &pool, json!({}), Some(mappings.clone())).await.ok();
    let without = with_providers(json!({ "IdentityPoolId": pool, "SupportedLoginProviders": {} }));
    developer.call("UpdateIdentityPool", without).await.ok();
    assert_eq!(get(&developer, &pool).await["RoleMappings"], mappings);
    developer.token(&pool, "alice").await.ok();
    assert_eq!(set(&developer, &pool, json!({}), Some(mappings)).await.exception(), INVALID);
    set(&developer, &pool, json!({}), Some(json!({ SAML: token() }))).await.ok();
}

#[tokio::test]
async fn setting_roles_moves_the_epoch_and_keeps_everything_else() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let pool = harness::pool(&mut conn).await;
    let before = epoch(&mut conn).await;
    let roles = Roles {
        by_kind: Some([("authenticated".to_owned(), ROLE.to_owned())].into()),
        mappings: Some(
            [(
                DEVELOPER.to_owned(),
                RoleMapping { source: RoleSource::Token, otherwise: Some(Otherwise::Deny), rules: None },
            )]
            .into(),
        ),
    };
    roles.clone().set(&mut conn, &pool, 25).await.unwrap();
    assert_eq!(epoch(&mut conn).await, before + 1);
    let found = Pool::find(&mut conn, &pool.account_id, &pool.id).await.unwrap().unwrap();
    assert_eq!((&found.roles, &found.settings, &found.numbered), (&roles, &pool.settings, &pool.numbered));
    // A refusal changes nothing.
    let bad = Roles { by_kind: Some([("authenticated".to_owned(), "x".to_owned())].into()), mappings: None };
    assert_refused!(bad.set(&mut conn, &pool, 25).await, Error::RoleForbidden(_));
    assert_eq!(epoch(&mut conn).await, before + 1);
    // A pool that was deleted since it was read.
    pool.clone().delete(&mut conn).await.unwrap();
    assert_refused!(Roles::default().set(&mut conn, &pool, 25).await, Error::PoolNotFound(_));
}
