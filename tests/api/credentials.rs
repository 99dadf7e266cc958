//! GetCredentialsForIdentity (C1 to C13): who gets which role, what an STS is asked and what becomes of its answers, and
//! credentials of the broker's own.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use symbolon::clock::Clock;
use symbolon::config::Config;
use symbolon::keys::control;
use tokio::sync::watch;

use crate::client::{Answer, Broker};
use crate::elapsed::pass;
use crate::federation::{Federation, NO_MATCH, federation, federation_with};
use crate::harness::{self, DEVELOPER, ISSUER, together};
use crate::other_sts::{self, Asked, Does, OtherSts};
use crate::query::{trust, trust_of, trust_with_tags};
use crate::tokens;

const NO_ROLE: &str = "Invalid identity pool configuration. Check assigned IAM roles for this pool.";
const NO_STS: &str = "The STS that gives credentials could not be asked. Try again.";
const CONFIGURATION: &str = "InvalidIdentityPoolConfigurationException";

/// The ARN of a role of the tenant 1.
fn arn(name: &str) -> String {
    format!("arn:aws:iam::000000000001:role/{name}")
}

/// A federation whose credentials come from an STS; its pool has a role for users and one for guests.
async fn with_sts() -> (Federation, OtherSts) {
    with_sts_and(|_| {}).await
}

async fn with_sts_and(change: impl FnOnce(&mut Config)) -> (Federation, OtherSts) {
    let sts = OtherSts::start().await;
    let at = federation_with(|config| {
        config.credentials.sts_endpoint.clone_from(&sts.url);
        change(config);
    })
    .await;
    at.set_roles(json!({ "authenticated": arn("user"), "unauthenticated": arn("guest") }), json!({})).await;
    (at, sts)
}

/// A federation that gives credentials of its own; its pool has roles that there are.
async fn builtin() -> Federation {
    builtin_and(|_| {}).await
}

async fn builtin_and(change: impl FnOnce(&mut Config)) -> Federation {
    let at = federation_with(|config| {
        config.credentials.builtin = true;
        change(config);
    })
    .await;
    at.developer.role("user", &trust_of(&at.pool, "authenticated")).await.ok();
    at.developer.role("guest", &trust_of(&at.pool, "unauthenticated")).await.ok();
    at.set_roles(json!({ "authenticated": arn("user"), "unauthenticated": arn("guest") }), json!({})).await;
    at
}

impl Answer {
    /// Asserts that there is no role.
    #[track_caller]
    fn no_role(&self) {
        self.refused(CONFIGURATION, NO_ROLE);
    }
}

/// How far off a date is that an answer has.
fn seconds_until(date: &Value) -> i64 {
    let text = date.to_string();
    let seconds: i64 = text.split('.').next().unwrap().parse().unwrap();
    seconds - Clock::System.wall().unix_timestamp()
}

/// The claims of the token that the STS was given, which holds against our keys.
async fn claims(broker: &Broker, pool: &str, asked: &Asked) -> Value {
    tokens::verify(broker, pool, &asked.form["WebIdentityToken"]).await
}

#[tokio::test]
async fn an_sts_is_asked_for_the_role_with_a_token_of_ours_and_its_credentials_are_handed_on() {
    let (at, sts) = with_sts().await;
    let guest = at.guest().await;
    let ann = at.id(&["a:ann"]).await;
    let bob = at.developer.token(&at.pool, "bob").await;
    let (bob, bobs_token) = (bob.member("IdentityId"), bob.member("Token"));
    let a = at.key("a");
    for (number, (answer, identity, role, amr)) in [
        (at.credentials(&guest, &[]).await, &guest, "guest", json!(["unauthenticated"])),
        (
            at.credentials(&ann, &["a:ann"]).await,
            &ann,
            "user",
            json!(["authenticated", a, format!("{}:OIDC:ann", at.arn("a"))]),
        ),
        (
            at.credentials_by(&bob, &bobs_token).await,
            &bob,
            "user",
            json!(["authenticated", DEVELOPER, format!("{DEVELOPER}:{}:bob", at.pool)]),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let expected = json!({
            "IdentityId": identity,
            "Credentials": { "AccessKeyId": other_sts::KEY_ID, "SecretKey": other_sts::SECRET,
                             "SessionToken": other_sts::SESSION_TOKEN, "Expiration": other_sts::EXPIRES_AT },
        });
        assert_eq!(answer.ok().json, expected);

        let asked = &sts.asked()[number];
        assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/"));
        assert_eq!(asked.headers["content-type"], "application/x-www-form-urlencoded");
        assert!(!asked.headers.contains_key("authorization"), "{asked:?}");
        let mut form = asked.form.clone();
        let token = form.remove("WebIdentityToken").unwrap();
        let rest: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let expected = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("DurationSeconds", "3600"),
            ("RoleArn", &arn(role)),
            ("RoleSessionName", "CognitoIdentityCredentials"),
            ("Version", "2011-06-15"),
        ];
        assert_eq!(rest, expected);

        let said = claims(&at.broker, &at.pool, asked).await;
        assert_eq!(said["exp"].as_i64().unwrap() - said["iat"].as_i64().unwrap(), 600);
        let (iss, sub) = (json!(ISSUER), json!(identity));
        assert_eq!((&said["iss"], &said["aud"], &said["sub"], &said["amr"]), (&iss, &json!(at.pool), &sub, &amr));
        assert!(said.get("https://aws.amazon.com/tags").is_none());
        // It is a token of its own: the developer's is not shown to the STS.
        assert_ne!(token, bobs_token);
    }
    assert_eq!(sts.asked().len(), 3);
}

#[tokio::test]
async fn session_tags_go_to_the_sts_in_the_token() {
    let (at, sts) = with_sts().await;
    let map =
        json!({ "IdentityPoolId": at.pool, "IdentityProviderName": at.key("a"), "PrincipalTags": { "team": "team" } });
    at.developer.call("SetPrincipalTagAttributeMap", map).await.ok();
    let ann = at.id(&["a:ann"]).await;
    let logins = json!({ at.key("a"): at.token_with("a", "ann", &json!({ "team": "blue" })) });
    let body = json!({ "IdentityId": ann, "Logins": logins });
    at.visitor.call("GetCredentialsForIdentity", body).await.ok();
    let tags = json!({ "principal_tags": { "team": ["blue"] } });
    assert_eq!(claims(&at.broker, &at.pool, &sts.last()).await["https://aws.amazon.com/tags"], tags);

    // Those that a backend gave to its user's token.
    let body = json!({ "IdentityPoolId": at.pool, "Logins": { DEVELOPER: "bob" }, "PrincipalTags": { "team": "red" } });
    let bob = at.developer.call("GetOpenIdTokenForDeveloperIdentity", body).await;
    at.credentials_by(&bob.member("IdentityId"), &bob.member("Token")).await.ok();
    let tags = json!({ "principal_tags": { "team": ["red"] } });
    assert_eq!(claims(&at.broker, &at.pool, &sts.last()).await["https://aws.amazon.com/tags"], tags);
}

#[tokio::test]
async fn the_sts_is_not_given_a_token_for_the_pools_other_audiences() {
    let (at, sts) = with_sts().await;
    crate::audiences::set(&at.broker, &at.pool, &["another.example.com"]).await.unwrap();
    at.broker.poll().await;
    let bob = at.developer.token(&at.pool, "bob").await;
    at.credentials_by(&bob.member("IdentityId"), &bob.member("Token")).await.ok();
    assert_eq!(claims(&at.broker, &at.pool, &sts.last()).await["aud"], at.pool);
}

#[tokio::test]
async fn what_the_sts_was_given_is_no_proof_of_the_user_here() {
    let (at, sts) = with_sts().await;
    let bob = at.developer.token(&at.pool, "bob").await;
    let (bob, token) = (bob.member("IdentityId"), bob.member("Token"));
    at.credentials_by(&bob, &token).await.ok();
    let given = sts.last();
    assert_eq!(claims(&at.broker, &at.pool, &given).await["token_use"], "sts");
    at.credentials_by(&bob, &given.form["WebIdentityToken"]).await.refused("NotAuthorizedException", NO_MATCH);
    // The STS has not been given a fresh one for it.
    assert_eq!(sts.asked().len(), 1);
    at.credentials_by(&bob, &token).await.ok();
}

#[tokio::test]
async fn the_identity_that_is_answered_is_the_one_in_the_token() {
    let (at, sts) = with_sts().await;
    // A new login makes the guest a user, of the same id.
    let guest = at.guest().await;
    assert_eq!(at.credentials(&guest, &["a:ann"]).await.member("IdentityId"), guest);
    assert_eq!(claims(&at.broker, &at.pool, &sts.last()).await["sub"], guest);
    // A known one makes the guest its owner, and disables the guest.
    let second = at.guest().await;
    assert_eq!(at.credentials(&second, &["a:ann"]).await.member("IdentityId"), guest);
    let said = claims(&at.broker, &at.pool, &sts.last()).await;
    assert_eq!((&said["sub"], &said["amr"][0]), (&json!(guest), &json!("authenticated")));
    assert_eq!(sts.last().form["RoleArn"], arn("user"));
    at.is_forbidden(&second).await;
    // What was proven by the backend and is proven again stands in the token once.
    let both = at.developer_token(None, &["bob", "b:bob"]).await;
    let logins = json!({ "cognito-identity.amazonaws.com": both.member("Token"), at.key("b"): at.token("b", "bob") });
    let body = json!({ "IdentityId": both.member("IdentityId"), "Logins": logins });
    at.visitor.call("GetCredentialsForIdentity", body).await.ok();
    let said = claims(&at.broker, &at.pool, &sts.last()).await;
    let pool = &at.pool;
    let amr = json!([
        "authenticated",
        DEVELOPER,
        format!("{DEVELOPER}:{pool}:bob"),
        at.key("b"),
        format!("{}:OIDC:bob", at.arn("b"))
    ]);
    assert_eq!(said["amr"], amr);
    // Who proves nothing gets nothing, and nobody is asked for it.
    let asked = sts.asked().len();
    at.is_forbidden(&guest).await;
    at.credentials(&guest, &["b:bob"]).await.refused("NotAuthorizedException", NO_MATCH);
    assert_eq!(sts.asked().len(), asked);
}

/// What a user with these claims gets: the name of the role, or the text of the refusal.
async fn chosen(at: &Federation, sts: &OtherSts, identity: &str, claims: &Value, custom: Option<&str>) -> String {
    let logins = json!({ at.key("a"): at.token_with("a", "ann", claims) });
    let mut body = json!({ "IdentityId": identity, "Logins": logins });
    if let Some(custom) = custom {
        body["CustomRoleArn"] = json!(arn(custom));
    }
    let before = sts.asked().len();
    let answer = at.visitor.call("GetCredentialsForIdentity", body).await;
    if answer.status == 200 {
        let role = sts.last().form["RoleArn"].clone();
        return role.rsplit('/').next().unwrap().to_owned();
    }
    assert_eq!(sts.asked().len(), before, "a role was asked for and then refused");
    assert_eq!(answer.exception(), "NotAuthorizedException", "{answer:?}");
    answer.json["message"].as_str().unwrap().replace("arn:aws:iam::000000000001:role/", "").replace(&at.key("a"), "A")
}

const DENIED: &str = "The ambiguous role mapping rules for: A denied this request.";

#[tokio::test]
async fn roles_come_from_the_claims_of_a_real_token() {
    let (at, sts) = with_sts().await;
    let ann = at.id(&["a:ann"]).await;
    let roles = json!({ "authenticated": arn("user") });
    let mapping = |otherwise: &str| json!({ at.key("a"): { "Type": "Token", "AmbiguousRoleResolution": otherwise } });
    at.set_roles(roles.clone(), mapping("Deny")).await;
    let two = json!({ "cognito:roles": [arn("one"), arn("two")], "cognito:preferred_role": arn("two") });
    let unclear = json!({ "cognito:roles": [arn("one"), arn("two")] });
    for (claims, custom, expected) in [
        (&two, None, "two"),
        (&two, Some("one"), "one"),
        (&two, Some("three"), "Access to Role 'three' is forbidden."),
        (&unclear, Some("one"), "one"),
        (&unclear, None, DENIED),
        (&json!({}), None, DENIED),
        (&json!({}), Some("user"), "Access to Role 'user' is forbidden."),
    ] {
        assert_eq!(chosen(&at, &sts, &ann, claims, custom).await, expected, "{claims} {custom:?}");
    }
    at.set_roles(roles, mapping("AuthenticatedRole")).await;
    assert_eq!(chosen(&at, &sts, &ann, &unclear, None).await, "user");
    // A login of a provider without mapping takes the role of its kind.
    at.developer_token(Some(&ann), &["a:ann", "b:ann"]).await;
    let bob = at.id(&["b:bob"]).await;
    at.credentials(&bob, &["b:bob"]).await.ok();
    assert_eq!(sts.last().form["RoleArn"], arn("user"));
}

#[tokio::test]
async fn roles_come_from_the_first_rule_that_holds_for_a_real_token() {
    let (at, sts) = with_sts().await;
    let ann = at.id(&["a:ann"]).await;
    let rule = |claim: &str, how: &str, value: &str, role: &str| json!({ "Claim": claim, "MatchType": how, "Value": value, "RoleARN": arn(role) });
    let rules = json!([
        rule("group", "Equals", "admin", "admin"),
        rule("group", "StartsWith", "eng", "engineer"),
        rule("mail", "Contains", "@example.", "mail"),
        rule("group", "NotEqual", "guest", "somebody"),
    ]);
    let set = async |otherwise: &str| {
        let mapping = json!({ "Type": "Rules", "AmbiguousRoleResolution": otherwise,
                              "RulesConfiguration": { "Rules": rules } });
        at.set_roles(json!({ "authenticated": arn("user") }), json!({ at.key("a"): mapping })).await;
    };
    set("Deny").await;
    for (claims, custom, expected) in [
        (json!({ "group": "admin" }), None, "admin"),
        (json!({ "group": "engineers" }), None, "engineer"),
        (json!({ "group": ["sales", "engineers"] }), None, "engineer"),
        (json!({ "group": "guest", "mail": "ann@example.com" }), None, "mail"),
        (json!({ "group": "sales" }), None, "somebody"),
        // A rule whose claim is not there is not asked, not even one with NotEqual.
        (json!({}), None, DENIED),
        (json!({ "group": "guest" }), None, DENIED),
        (json!({ "group": "admin" }), Some("somebody"), "somebody"),
        (json!({ "group": "sales" }), Some("admin"), "Access to Role 'admin' is forbidden."),
    ] {
        assert_eq!(chosen(&at, &sts, &ann, &claims, custom).await, expected, "{claims} {custom:?}");
    }
    set("AuthenticatedRole").await;
    assert_eq!(chosen(&at, &sts, &ann, &json!({ "group": "guest" }), None).await, "user");
}

#[tokio::test]
async fn guests_and_developer_users_have_the_role_of_their_kind_and_no_other() {
    let (at, sts) = with_sts().await;
    let guest = at.guest().await;
    let bob = at.developer.token(&at.pool, "bob").await;
    let (bob, token) = (bob.member("IdentityId"), bob.member("Token"));
    let text = format!("Access to Role '{}' is forbidden.", arn("other"));
    let custom = json!({ "IdentityId": guest, "CustomRoleArn": arn("other") });
    at.visitor.call("GetCredentialsForIdentity", custom).await.refused("NotAuthorizedException", &text);
    let custom = json!({ "IdentityId": bob, "CustomRoleArn": arn("other"),
                         "Logins": { "cognito-identity.amazonaws.com": token } });
    at.visitor.call("GetCredentialsForIdentity", custom).await.refused("NotAuthorizedException", &text);
    assert_eq!(sts.asked().len(), 0);
    // A mapping of the developer provider, which the interface takes, says nothing.
    for mapping in [
        json!({ "Type": "Token", "AmbiguousRoleResolution": "Deny" }),
        json!({ "Type": "Rules", "AmbiguousRoleResolution": "Deny", "RulesConfiguration": { "Rules": [
                { "Claim": "sub", "MatchType": "NotEqual", "Value": "x", "RoleARN": arn("other") }] } }),
    ] {
        at.set_roles(json!({ "authenticated": arn("user") }), json!({ DEVELOPER: mapping })).await;
        at.credentials_by(&bob, &token).await.ok();
        assert_eq!(sts.last().form["RoleArn"], arn("user"));
    }
    // A kind without a role.
    for (roles, of_guest, of_bob) in [
        (json!({ "authenticated": arn("user") }), false, true),
        (json!({ "unauthenticated": arn("guest") }), true, false),
        (json!({}), false, false),
    ] {
        at.set_roles(roles, json!({})).await;
        let before = sts.asked().len();
        for (answer, has_role) in
            [(at.credentials(&guest, &[]).await, of_guest), (at.credentials_by(&bob, &token).await, of_bob)]
        {
            if has_role {
                answer.ok();
            } else {
                answer.no_role();
            }
        }
        assert_eq!(sts.asked().len() - before, usize::from(of_guest) + usize::from(of_bob));
    }
}

#[tokio::test]
async fn the_classic_flows_switch_and_role_mappings_do_not_close_the_enhanced_one() {
    let (at, _sts) = with_sts().await;
    at.update(json!({ "AllowClassicFlow": false })).await;
    let guest = at.guest().await;
    at.credentials(&guest, &[]).await.ok();
    let mapping = json!({ at.key("a"): { "Type": "Token", "AmbiguousRoleResolution": "Deny" } });
    at.set_roles(json!({ "unauthenticated": arn("guest") }), mapping).await;
    at.credentials(&guest, &[]).await.ok();
}

#[tokio::test]
async fn what_the_sts_refuses_is_the_pools_configuration_and_what_it_fails_at_is_another_services_fault() {
    let (at, sts) = with_sts().await;
    let guest = at.guest().await;
    let external = "ExternalServiceException";
    let good = other_sts::success();
    for (does, exception, text) in [
        (Does::Refuse(403, "AccessDenied"), CONFIGURATION, NO_ROLE),
        (Does::Refuse(400, "InvalidIdentityToken"), CONFIGURATION, NO_ROLE),
        (Does::Refuse(400, "ExpiredTokenException"), CONFIGURATION, NO_ROLE),
        (Does::Refuse(400, "PackedPolicyTooLarge"), CONFIGURATION, NO_ROLE),
        (Does::Refuse(400, "ValidationError"), CONFIGURATION, NO_ROLE),
        (Does::Refuse(404, "NoSuchEntity"), CONFIGURATION, NO_ROLE),
        (Does::Repeat, CONFIGURATION, NO_ROLE),
        (Does::Refuse(400, "IDPCommunicationError"), external, NO_STS),
        (Does::Refuse(400, "Throttling"), external, NO_STS),
        (Does::Refuse(429, "TooManyRequests"), external, NO_STS),
        (Does::Refuse(500, "InternalFailure"), external, NO_STS),
        (Does::Refuse(503, "AccessDenied"), external, NO_STS),
        (Does::Say(200, String::new()), external, NO_STS),
        (Does::Say(200, "{\"Credentials\":{}}".into()), external, NO_STS),
        (Does::Say(200, good.replace("SessionToken", "Session")), external, NO_STS),
        (Does::Say(200, good.replace("2030-01-02T03:04:05Z", "soon")), external, NO_STS),
        (Does::Say(200, format!("{}{good}", " ".repeat(70_000))), external, NO_STS),
        (Does::Say(200, good[..good.len() / 2].to_owned()), external, NO_STS),
        (Does::Say(201, good.clone()), external, NO_STS),
        (Does::Say(302, good.clone()), external, NO_STS),
        (Does::Say(403, "<html>Forbidden</html>".into()), external, NO_STS),
        (Does::Say(404, String::new()), external, NO_STS),
        (Does::HangUp, external, NO_STS),
    ] {
        sts.does(does.clone());
        let answer = at.credentials(&guest, &[]).await;
        assert_eq!((answer.exception(), answer.json["message"].as_str()), (exception, Some(text)), "{does:?}");
        answer.refused(exception, text);
    }
    // Nothing of it is remembered.
    sts.does(Does::Give);
    at.credentials(&guest, &[]).await.ok();
}

#[tokio::test]
async fn an_sts_that_is_not_there_is_another_services_fault() {
    let (at, sts) = with_sts().await;
    drop(sts);
    let guest = at.guest().await;
    at.credentials(&guest, &[]).await.refused("ExternalServiceException", NO_STS);
}

#[tokio::test]
async fn an_sts_has_its_own_time_beside_that_of_the_operation() {
    let (at, sts) = with_sts_and(|config| {
        config.server.handler_timeout = Duration::from_secs(3);
        config.credentials.timeout = Duration::from_secs(8);
    })
    .await;
    let guest = at.guest().await;
    sts.does(Does::GiveLate(Duration::from_secs(4)));
    at.credentials(&guest, &[]).await.ok();
    sts.does(Does::GiveLate(Duration::from_mins(1)));
    let began = Instant::now();
    at.credentials(&guest, &[]).await.refused("ExternalServiceException", NO_STS);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[tokio::test]
async fn waiting_for_the_sts_holds_no_connection_to_the_database() {
    let (at, sts) = with_sts_and(|config| {
        config.server.handler_timeout = Duration::from_secs(20);
        config.credentials.timeout = Duration::from_mins(1);
    })
    .await;
    let guest = at.guest().await;
    let gate = watch::Sender::new(false);
    sts.does(Does::GiveWhen(gate.subscribe()));
    // Many more than there are connections.
    let waiting: Vec<_> = (0..32)
        .map(|_| {
            let (visitor, body) = (at.visitor.clone(), json!({ "IdentityId": guest }));
            async move { visitor.call("GetCredentialsForIdentity", body).await }
        })
        .collect();
    let waiting = tokio::spawn(together(waiting));
    while sts.asked().len() < 32 && !waiting.is_finished() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    at.developer.call("DescribeIdentityPool", json!({ "IdentityPoolId": at.pool })).await.ok();
    at.guest().await;
    assert!(!waiting.is_finished());
    gate.send_replace(true);
    for answer in waiting.await.unwrap() {
        answer.ok();
    }
}

#[tokio::test]
async fn sessions_of_guests_are_held_to_the_operators_policy_and_those_of_users_are_not() {
    let policy = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}"#;
    let (at, sts) = with_sts_and(|config| {
        config.credentials.guest_session_policy = policy.to_owned();
        config.credentials.lifetime = Duration::from_mins(15);
    })
    .await;
    let guest = at.guest().await;
    at.credentials(&guest, &[]).await.ok();
    let asked = sts.last();
    assert_eq!((asked.form["Policy"].as_str(), asked.form["DurationSeconds"].as_str()), (policy, "900"));
    at.credentials(&guest, &["a:ann"]).await.ok();
    let bob = at.developer.token(&at.pool, "bob").await;
    at.credentials_by(&bob.member("IdentityId"), &bob.member("Token")).await.ok();
    let [_, ann, bob] = &sts.asked()[..] else { panic!("{:?}", sts.asked()) };
    assert!(!ann.form.contains_key("Policy") && !bob.form.contains_key("Policy"));
}

#[tokio::test]
async fn a_developers_token_proves_its_identity_after_the_keys_have_turned() {
    let (at, sts) = with_sts().await;
    let bob = at.developer.token(&at.pool, "bob").await;
    let (bob, before) = (bob.member("IdentityId"), bob.member("Token"));
    let (db, app) = (&at.broker.db.db, &at.broker.app);
    control::rotate(db, &app.seal, app.ring.policy(), true).await.unwrap();
    pass(db, Duration::from_secs(61)).await;
    at.broker.tick().await;
    let after = at.developer.token(&at.pool, "bob").await.member("Token");
    let kid = |token: &str| tokens::texts(token).0;
    assert_ne!(kid(&before), kid(&after));
    for token in [&before, &after] {
        at.credentials_by(&bob, token).await.ok();
        // What the STS is given is signed by the key of today.
        assert_eq!(kid(&sts.last().form["WebIdentityToken"]), kid(&after));
    }
    // One of a key that was revoked proves nothing.
    let header: Value = serde_json::from_str(&kid(&before)).unwrap();
    control::revoke(db, &app.seal, app.ring.policy(), header["kid"].as_str().unwrap(), true).await.unwrap();
    at.broker.poll().await;
    let text = "Invalid login token. Not a Cognito token.";
    at.credentials_by(&bob, &before).await.refused("NotAuthorizedException", text);
}

#[tokio::test]
async fn where_no_backend_is_configured_nobody_has_a_usable_role() {
    let at = federation().await;
    at.developer.role("guest", &trust(&at.pool)).await.ok();
    at.set_roles(json!({ "authenticated": arn("guest"), "unauthenticated": arn("guest") }), json!({})).await;
    let (guest, ann) = (at.guest().await, at.id(&["a:ann"]).await);
    at.credentials(&guest, &[]).await.no_role();
    at.credentials(&ann, &["a:ann"]).await.no_role();
}

#[tokio::test]
async fn an_sts_takes_precedence_over_credentials_of_our_own() {
    let (at, sts) = with_sts_and(|config| config.credentials.builtin = true).await;
    let guest = at.guest().await;
    sts.does(Does::Refuse(403, "AccessDenied"));
    at.developer.role("guest", &trust(&at.pool)).await.ok();
    at.credentials(&guest, &[]).await.no_role();
    assert_eq!(sts.asked().len(), 1);
}

#[tokio::test]
async fn credentials_of_our_own_say_who_they_are() {
    let at = builtin().await;
    let guest = at.guest().await;
    let ann = at.id(&["a:ann"]).await;
    let bob = at.developer.token(&at.pool, "bob").await;
    let (bob, token) = (bob.member("IdentityId"), bob.member("Token"));
    for (answer, identity, role) in [
        (at.credentials(&guest, &[]).await, &guest, "guest"),
        (at.credentials(&ann, &["a:ann"]).await, &ann, "user"),
        (at.credentials_by(&bob, &token).await, &bob, "user"),
    ] {
        assert_eq!(answer.member("IdentityId"), *identity);
        let credentials = answer.json["Credentials"].as_object().cloned().unwrap_or_else(Map::new);
        let names: Vec<&str> = credentials.keys().map(String::as_str).collect();
        assert_eq!(names, ["AccessKeyId", "Expiration", "SecretKey", "SessionToken"]);
        let lifetime = seconds_until(&credentials["Expiration"]);
        assert!((3_590..=3_600).contains(&lifetime), "{lifetime}");
        assert!(credentials["AccessKeyId"].as_str().unwrap().starts_with("ASIA"));

        let who = at.developer.given(&answer).sts("GetCallerIdentity", &[]).await.ok();
        let arn = format!("arn:aws:sts::000000000001:assumed-role/{role}/CognitoIdentityCredentials");
        assert_eq!((who.element("Arn"), who.element("Account")), (arn.as_str(), "000000000001"));
        let role_id = at.developer.iam("GetRole", &[("RoleName", role)]).await.ok().element("RoleId").to_owned();
        assert_eq!(who.element("UserId"), format!("{role_id}:CognitoIdentityCredentials"));
    }
    // Two calls, two sessions.
    let (one, two) = (at.credentials(&guest, &[]).await, at.credentials(&guest, &[]).await);
    for name in ["AccessKeyId", "SecretKey", "SessionToken"] {
        assert_ne!(one.json["Credentials"][name], two.json["Credentials"][name], "{name}");
    }
}

#[tokio::test]
async fn credentials_of_our_own_are_for_roles_that_trust_the_pools_identity() {
    let at = builtin().await;
    let (guest, ann) = (at.guest().await, at.id(&["a:ann"]).await);
    let other = at.pool_with(json!({})).await;
    let ask = async |role: &str| {
        at.set_roles(json!({ "unauthenticated": role, "authenticated": role }), json!({})).await;
        (at.credentials(&guest, &[]).await, at.credentials(&ann, &["a:ann"]).await)
    };
    at.developer.role("both", &trust(&at.pool)).await.ok();
    at.developer.role("another-pools", &trust(&other)).await.ok();
    let path = [("RoleName", "deep"), ("Path", "/a/b/"), ("AssumeRolePolicyDocument", &trust(&at.pool).to_string())];
    at.developer.iam("CreateRole", &path).await.ok();
    let foreign = at.broker.developer(2);
    foreign.role("both", &trust(&at.pool)).await.ok();
    for (role, of_guest, of_user) in [
        (arn("both"), true, true),
        (arn("guest"), true, false),
        (arn("user"), false, true),
        (arn("another-pools"), false, false),
        (arn("nobodys"), false, false),
        // It is this very role, path and case and all.
        (arn("a/b/deep"), true, true),
        (arn("deep"), false, false),
        (arn("a/b/DEEP"), false, false),
        (arn("BOTH"), false, false),
        ("arn:aws:iam::000000000002:role/both".to_owned(), false, false),
        ("arn:aws:iam::000000000009:role/both".to_owned(), false, false),
        ("arn:aws-cn:iam::000000000001:role/both".to_owned(), false, false),
    ] {
        let answers = ask(&role).await;
        for (answer, admitted) in [(answers.0, of_guest), (answers.1, of_user)] {
            if admitted {
                answer.ok();
            } else {
                answer.no_role();
            }
        }
    }
    // What a role trusts is asked each time.
    ask(&arn("both")).await.0.ok();
    at.developer.retrust("both", &trust(&other)).await;
    at.credentials(&guest, &[]).await.no_role();
    at.developer.retrust("both", &trust(&at.pool)).await;
    at.credentials(&guest, &[]).await.ok();
    at.developer.iam("DeleteRole", &[("RoleName", "both")]).await.ok();
    at.credentials(&guest, &[]).await.no_role();
}

#[tokio::test]
async fn a_session_with_tags_is_for_roles_that_allow_them() {
    let at = builtin().await;
    let body = json!({ "IdentityPoolId": at.pool, "Logins": { DEVELOPER: "bob" }, "PrincipalTags": { "team": "red" } });
    let bob = at.developer.call("GetOpenIdTokenForDeveloperIdentity", body).await;
    let ask = async || at.credentials_by(&bob.member("IdentityId"), &bob.member("Token")).await;
    ask().await.no_role();
    at.developer.retrust("user", &trust_with_tags(&at.pool)).await;
    ask().await.ok();
    let mut of_blue = trust_with_tags(&at.pool);
    of_blue["Statement"][0]["Condition"]["StringEquals"]["aws:RequestTag/team"] = json!("blue");
    at.developer.retrust("user", &of_blue).await;
    ask().await.no_role();
}

#[tokio::test]
async fn credentials_of_our_own_live_as_long_as_the_operator_says_and_the_role_allows() {
    let at = builtin_and(|config| config.credentials.lifetime = Duration::from_hours(2)).await;
    let guest = at.guest().await;
    let lifetime = async || seconds_until(&at.credentials(&guest, &[]).await.ok().json["Credentials"]["Expiration"]);
    assert!((3_590..=3_600).contains(&lifetime().await));
    let longer = [("RoleName", "guest"), ("MaxSessionDuration", "43200")];
    at.developer.iam("UpdateRole", &longer).await.ok();
    assert!((7_190..=7_200).contains(&lifetime().await));
}

#[tokio::test]
async fn a_sealed_broker_gives_no_credentials() {
    let (at, sts) = with_sts().await;
    let guest = at.guest().await;
    let statement = "insert into seal_keys (key_id, canary) values ('00000000', '\\x00')";
    sqlx::query(statement).execute(&mut *at.broker.db.conn().await).await.unwrap();
    at.broker.app.observe_seal().await.unwrap();
    let before = harness::people(&mut *at.broker.db.conn().await).await;
    let answer = at.credentials(&guest, &["a:ann"]).await;
    assert_eq!((answer.status.as_u16(), answer.exception()), (500, "InternalErrorException"));
    assert_eq!(sts.asked().len(), 0);
    assert_eq!(harness::people(&mut *at.broker.db.conn().await).await, before);
}
