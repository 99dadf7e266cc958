//! STS: who gets credentials of ours for a token of ours, every refusal, and who somebody is.

use std::time::Duration;

use serde_json::{Value, json};
use symbolon::config::Config;
use symbolon::keys::control;
use symbolon::tenants::Tenant;
use symbolon::tenants::tenant::Status;

use crate::client::{ABROAD, Answer, Broker, Developer, Visitor, broker_with};
use crate::federation::federation_with;
use crate::harness::{DEVELOPER, ISSUER};
use crate::query::{STS, of_sts, request, trust, trust_of, trust_with_tags};
use crate::tokens;

const NOT_ALLOWED: &str = "Not authorized to perform sts:AssumeRoleWithWebIdentity";
const NOT_OURS: &str =
    "Couldn't verify the web identity token: it must be one of this installation's own OpenID tokens.";
const SESSION: &str = "app";

struct Stage {
    broker: Broker,
    developer: Developer,
    visitor: Visitor,
    pool: String,
    /// Of the developer's user `ann`.
    token: String,
    identity: String,
}

/// A pool of the tenant 1 with a user, and a role `app` that trusts the pool.
async fn stage() -> Stage {
    stage_with(|_| {}).await
}

async fn stage_with(change: impl FnOnce(&mut Config)) -> Stage {
    let broker = broker_with(|config| {
        config.credentials.builtin = true;
        change(config);
    })
    .await;
    let (developer, visitor) = (broker.developer(1), broker.visitor());
    let pool = developer.pool().await;
    developer.role("app", &trust(&pool)).await.ok();
    let ann = developer.token(&pool, "ann").await;
    Stage { token: ann.member("Token"), identity: ann.member("IdentityId"), broker, developer, visitor, pool }
}

fn arn(name: &str) -> String {
    format!("arn:aws:iam::000000000001:role/{name}")
}

impl Stage {
    async fn assume(&self, role: &str, token: &str, more: &[(&str, &str)]) -> Answer {
        let parameters = [("RoleArn", role), ("RoleSessionName", SESSION), ("WebIdentityToken", token)];
        self.visitor.sts("AssumeRoleWithWebIdentity", &[&parameters, more].concat()).await
    }

    /// A token of the developer's, with these members of its request.
    async fn token_with(&self, user: &str, more: Value) -> String {
        let mut body = json!({ "IdentityPoolId": self.pool, "Logins": { DEVELOPER: user } });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.developer.call("GetOpenIdTokenForDeveloperIdentity", body).await.member("Token")
    }
}

#[tokio::test]
async fn a_token_of_ours_is_worth_credentials_of_a_role_that_trusts_its_pool() {
    let at = stage().await;
    let role_id = at.developer.iam("GetRole", &[("RoleName", "app")]).await.ok().element("RoleId").to_owned();
    let answer = at.assume(&arn("app"), &at.token, &[]).await.ok();
    let of = |name: &str| answer.element(name).to_owned();
    let expiration = of("Expiration");
    let expected = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><AssumeRoleWithWebIdentityResponse xmlns=\"{STS}\">\
         <AssumeRoleWithWebIdentityResult>\
         <AssumedRoleUser><Arn>arn:aws:sts::000000000001:assumed-role/app/app</Arn>\
         <AssumedRoleId>{role_id}:app</AssumedRoleId></AssumedRoleUser><Audience>{}</Audience>\
         <Credentials><AccessKeyId>{}</AccessKeyId><Expiration>{expiration}</Expiration>\
         <SecretAccessKey>{}</SecretAccessKey><SessionToken>{}</SessionToken></Credentials>\
         <Provider>{ISSUER}</Provider><SubjectFromWebIdentityToken>{}</SubjectFromWebIdentityToken>\
         </AssumeRoleWithWebIdentityResult><ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata>\
         </AssumeRoleWithWebIdentityResponse>",
        at.pool,
        of("AccessKeyId"),
        of("SecretAccessKey"),
        of("SessionToken"),
        at.identity,
        answer.header("x-amzn-requestid")
    );
    assert_eq!(answer.text, expected);
    assert!(of("AccessKeyId").starts_with("ASIA") && of("AccessKeyId").len() == 20);
    assert_eq!(of("SecretAccessKey").len(), 40);

    let who = at.developer.assumed(&answer).sts("GetCallerIdentity", &[]).await.ok();
    let expected = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><GetCallerIdentityResponse xmlns=\"{STS}\">\
         <GetCallerIdentityResult><Account>000000000001</Account>\
         <Arn>arn:aws:sts::000000000001:assumed-role/app/app</Arn><UserId>{role_id}:app</UserId>\
         </GetCallerIdentityResult><ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata>\
         </GetCallerIdentityResponse>",
        who.header("x-amzn-requestid")
    );
    assert_eq!(who.text, expected);
}

#[tokio::test]
async fn tokens_of_every_flow_are_taken() {
    let at = federation_with(|config| config.credentials.builtin = true).await;
    at.developer.role("app", &trust(&at.pool)).await.ok();
    at.developer.role("users", &trust_of(&at.pool, "authenticated")).await.ok();
    let guest = at.guest().await;
    let guests = at.visitor.call("GetOpenIdToken", json!({ "IdentityId": guest })).await.member("Token");
    let ann = at.id(&["a:ann"]).await;
    let anns = at.open_id_token(&ann, &["a:ann"]).await.member("Token");
    let bobs = at.developer_token(None, &["bob", "b:bob"]).await.member("Token");
    for (token, is_user) in [(&guests, false), (&anns, true), (&bobs, true)] {
        for (role, admitted) in [("app", true), ("users", is_user)] {
            let role = arn(role);
            let parameters = [("RoleArn", role.as_str()), ("RoleSessionName", SESSION), ("WebIdentityToken", token)];
            let answer = at.visitor.sts("AssumeRoleWithWebIdentity", &parameters).await;
            if admitted {
                let who = at.developer.assumed(&answer.ok()).arn().await;
                assert_eq!(
                    who,
                    format!("arn:aws:sts::000000000001:assumed-role/{}/app", role.rsplit('/').next().unwrap())
                );
            } else {
                answer.denied_by_sts(403, "AccessDenied", NOT_ALLOWED);
            }
        }
    }
}

#[tokio::test]
async fn a_token_with_more_audiences_is_for_roles_that_trust_its_pool_and_not_for_those_that_trust_the_others() {
    let at = stage().await;
    crate::audiences::set(&at.broker, &at.pool, &["another.example.com"]).await.unwrap();
    at.broker.poll().await;
    let token = at.developer.token(&at.pool, "ann").await.member("Token");
    assert!(crate::federation::claims(&token)["aud"].is_array());
    let answer = at.assume(&arn("app"), &token, &[]).await.ok();
    assert_eq!(answer.element("Audience"), at.pool);
    at.developer.role("other", &trust("another.example.com")).await.ok();
    at.assume(&arn("other"), &token, &[]).await.denied_by_sts(403, "AccessDenied", NOT_ALLOWED);
}

#[tokio::test]
async fn a_signature_is_neither_needed_nor_in_the_way() {
    let at = stage().await;
    let app = arn("app");
    let parameters = [("RoleArn", app.as_str()), ("RoleSessionName", SESSION), ("WebIdentityToken", &at.token)];
    // Even that of another tenant: the token says whose role it is for.
    for number in [1, 2] {
        let answer = at.broker.developer(number).sts("AssumeRoleWithWebIdentity", &parameters).await.ok();
        assert_eq!(answer.element("Arn"), "arn:aws:sts::000000000001:assumed-role/app/app");
    }
    // One that is there has to hold.
    let wrong = at.developer.with_key(&at.developer.key, "wrong").sts("AssumeRoleWithWebIdentity", &parameters).await;
    assert_eq!(wrong.code(), (403, "SignatureDoesNotMatch"));
}

#[tokio::test]
async fn every_other_operation_needs_a_signature() {
    let at = stage().await;
    let missing = "Missing Authentication Token";
    for (action, version) in [
        ("GetCallerIdentity", "2011-06-15"),
        ("AssumeRole", "2011-06-15"),
        ("GetSessionToken", "2011-06-15"),
        ("assumerolewithwebidentity", "2011-06-15"),
        ("AssumeRoleWithWebIdentity", "2010-05-08"),
        ("AssumeRoleWithWebIdentity", ""),
        ("CreateRole", "2010-05-08"),
        ("ListRoles", "2010-05-08"),
    ] {
        let body = crate::query::form(&[("Action", action), ("Version", version)]);
        at.developer.send(request(&body)).await.denied_at_the_door(403, "MissingAuthenticationToken", missing);
    }
    // Nor is what is signed for one service an operation of the other.
    let body = of_sts("GetCallerIdentity", &[]);
    let answer = at.developer.send(at.developer.sign_for("iam", request(&body), &body)).await;
    assert_eq!(answer.code(), (400, "InvalidAction"));
    let body = crate::query::of_iam("ListRoles", &[]);
    let answer = at.developer.send(at.developer.sign_for("sts", request(&body), &body)).await;
    assert_eq!(answer.code(), (400, "InvalidAction"));
    for action in ["AssumeRole", "GetSessionToken", "GetFederationToken", "AssumeRoleWithSAML"] {
        assert_eq!(at.developer.sts(action, &[]).await.code(), (400, "InvalidAction"), "{action}");
    }
}

#[tokio::test]
async fn tokens_that_are_not_ours_or_not_good_are_refused() {
    let at = stage().await;
    let [head, claims, signature] = &at.token.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let refuse = async |token: &str, why: &str| {
        let answer = at.assume(&arn("app"), token, &[]).await;
        assert_eq!(answer.code(), (400, "InvalidIdentityToken"), "{why}");
        answer.denied_by_sts(400, "InvalidIdentityToken", NOT_OURS);
    };
    let encode = |text: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
    };
    let (head_text, claims_text) = tokens::texts(&at.token);
    refuse("not a token", "no JWT").await;
    refuse(&format!("{head}.{claims}.{}A", &signature[..signature.len() - 2]), "another signature").await;
    refuse(&format!("{head}.{claims}."), "no signature").await;
    let none = head_text.replace("ES256", "none");
    refuse(&format!("{}.{claims}.", encode(&none)), "no algorithm").await;
    let hmac = head_text.replace("ES256", "HS256");
    refuse(&format!("{}.{claims}.{signature}", encode(&hmac)), "an algorithm of secrets").await;
    let later = claims_text.replace(&at.identity, &at.developer.identity(&at.pool, "bob").await);
    refuse(&format!("{head}.{}.{signature}", encode(&later)), "somebody else's name").await;

    // Of another installation, with keys and an issuer of its own.
    let other = stage().await;
    refuse(&other.token, "another installation").await;
    // Of an issuer that the tenant trusts as a login provider: its users are to sign in first.
    let issuer = crate::issuer::Issuer::start().await;
    refuse(&issuer.token("ann", &at.pool), "another issuer").await;

    // Of a key that was revoked.
    let kid: Value = serde_json::from_str(&head_text).unwrap();
    let (db, app) = (&at.broker.db.db, &at.broker.app);
    at.assume(&arn("app"), &at.token, &[]).await.ok();
    control::revoke(db, &app.seal, app.ring.policy(), kid["kid"].as_str().unwrap(), true).await.unwrap();
    at.broker.poll().await;
    refuse(&at.token, "a revoked key").await;
}

#[tokio::test]
async fn a_token_that_has_expired_is_told_so() {
    let at = stage().await;
    let token = at.token_with("ann", json!({ "TokenDuration": 3 })).await;
    at.assume(&arn("app"), &token, &[]).await.ok();
    tokio::time::sleep(Duration::from_millis(3_100)).await;
    let text = "Token expired: current time is past the token's expiration";
    at.assume(&arn("app"), &token, &[]).await.denied_by_sts(400, "ExpiredTokenException", text);
}

#[tokio::test]
async fn a_role_that_does_not_trust_the_pool_is_as_one_that_does_not_exist() {
    let at = stage().await;
    let other = at.developer.pool().await;
    let federated = |name: &str| {
        let mut document = trust(&at.pool);
        document["Statement"][0]["Principal"]["Federated"] = json!(name);
        document
    };
    let condition = |condition: Value| {
        let mut document = trust(&at.pool);
        document["Statement"][0]["Condition"] = condition;
        document
    };
    let aud = "cognito-identity.amazonaws.com:aud";
    let provider = |account: &str| federated(&format!("arn:aws:iam::{account}:oidc-provider/tokens.example.com"));
    let mut denied = trust(&at.pool);
    let deny = json!({ "Effect": "Deny", "Principal": "*", "Action": "sts:*" });
    denied["Statement"].as_array_mut().unwrap().push(deny);
    let mut no_condition = trust(&at.pool);
    no_condition["Statement"][0].as_object_mut().unwrap().remove("Condition");
    let mut other_action = trust(&at.pool);
    other_action["Statement"][0]["Action"] = json!("sts:AssumeRole");
    for (name, document, admitted) in [
        ("plain", trust(&at.pool), true),
        ("of-users", trust_of(&at.pool, "authenticated"), true),
        ("several-pools", condition(json!({ "StringEquals": { aud: [other, at.pool] } })), true),
        ("like-it", condition(json!({ "StringLike": { aud: at.pool } })), true),
        ("of-our-issuer", provider("000000000001"), true),
        ("our-own-key", condition(json!({ "StringEquals": { "tokens.example.com:aud": at.pool } })), true),
        (
            "this-identity",
            condition(json!({ "StringEquals": { aud: at.pool, "cognito-identity.amazonaws.com:sub": at.identity } })),
            true,
        ),
        ("another-pool", trust(&other), false),
        ("of-guests", trust_of(&at.pool, "unauthenticated"), false),
        ("no-audience", no_condition, false),
        (
            "only-amr",
            condition(json!({ "ForAnyValue:StringLike": { "cognito-identity.amazonaws.com:amr": "auth*" } })),
            false,
        ),
        ("every-audience", condition(json!({ "StringLike": { aud: "*" } })), false),
        ("every-pool-of-a-region", condition(json!({ "StringLike": { aud: "us-east-1:*" } })), false),
        ("if-exists", condition(json!({ "StringEqualsIfExists": { aud: at.pool } })), false),
        ("not-another", condition(json!({ "StringNotEquals": { aud: other } })), false),
        ("of-another-issuer", federated("accounts.google.com"), false),
        ("of-our-issuer-elsewhere", provider("000000000002"), false),
        ("denied", denied, false),
        ("another-action", other_action, false),
    ] {
        at.developer.role(name, &document).await.ok();
        let answer = at.assume(&arn(name), &at.token, &[]).await;
        assert_eq!(answer.status == 200, admitted, "{name}: {answer:?}");
        if !admitted {
            answer.denied_by_sts(403, "AccessDenied", NOT_ALLOWED);
        }
    }
    // Another tenant's, though it trusts this very pool; one that nobody has; and what is no role.
    at.broker.developer(2).role("theirs", &trust(&at.pool)).await.ok();
    for role in [
        "arn:aws:iam::000000000002:role/theirs",
        &arn("nobodys"),
        &arn("path/plain"),
        &arn("PLAIN"),
        "arn:aws:iam::000000000001:user/plain",
        "arn:aws-cn:iam::000000000001:role/plain",
        "arn:aws:sts::000000000001:role/plain",
        "twenty characters at least",
    ] {
        at.assume(role, &at.token, &[]).await.denied_by_sts(403, "AccessDenied", NOT_ALLOWED);
    }
}

#[tokio::test]
async fn the_circumstances_of_the_call_are_what_a_trust_policy_may_ask_for() {
    let at = stage().await;
    for (operator, key, value, admitted) in [
        ("StringEquals", "sts:RoleSessionName", "app", true),
        ("StringEquals", "sts:RoleSessionName", "other", false),
        ("StringEquals", "aws:FederatedProvider", "cognito-identity.amazonaws.com", true),
        ("DateGreaterThan", "aws:CurrentTime", "2020-01-01T00:00:00Z", true),
        ("DateLessThan", "aws:CurrentTime", "2020-01-01T00:00:00Z", false),
        ("IpAddress", "aws:SourceIp", "203.0.113.0/24", false),
    ] {
        let mut document = trust(&at.pool);
        document["Statement"][0]["Condition"][operator][key] = json!(value);
        at.developer.retrust("app", &document).await;
        let answer = at.assume(&arn("app"), &at.token, &[]).await;
        assert_eq!(answer.status == 200, admitted, "{operator} {key} {value}: {answer:?}");
    }
}

#[tokio::test]
async fn session_tags_need_leave() {
    let at = stage().await;
    let tagged = at.token_with("ann", json!({ "PrincipalTags": { "team": "blue" } })).await;
    at.assume(&arn("app"), &tagged, &[]).await.denied_by_sts(403, "AccessDenied", NOT_ALLOWED);
    at.developer.retrust("app", &trust_with_tags(&at.pool)).await;
    at.assume(&arn("app"), &tagged, &[]).await.ok();
    at.assume(&arn("app"), &at.token, &[]).await.ok();
    for (operator, key, value, admitted) in [
        ("StringEquals", "aws:RequestTag/team", json!("blue"), true),
        ("StringEquals", "aws:RequestTag/team", json!("red"), false),
        ("ForAllValues:StringEquals", "aws:TagKeys", json!(["team"]), true),
        ("ForAllValues:StringEquals", "aws:TagKeys", json!(["cost"]), false),
    ] {
        let mut document = trust_with_tags(&at.pool);
        document["Statement"][0]["Condition"][operator][key] = value;
        at.developer.retrust("app", &document).await;
        assert_eq!(at.assume(&arn("app"), &tagged, &[]).await.status == 200, admitted, "{document}");
    }
}

#[tokio::test]
async fn a_session_lasts_as_long_as_was_asked_and_the_role_allows() {
    let at = stage().await;
    let seconds = async |more: &[(&str, &str)]| {
        let answer = at.assume(&arn("app"), &at.token, more).await.ok();
        let format = &time::format_description::well_known::Rfc3339;
        let expires = time::OffsetDateTime::parse(answer.element("Expiration"), format).unwrap();
        (expires - symbolon::clock::Clock::System.wall()).whole_seconds()
    };
    assert!((3_590..=3_600).contains(&seconds(&[]).await));
    assert!((890..=900).contains(&seconds(&[("DurationSeconds", "900")]).await));
    let text = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
    let longer = [("DurationSeconds", "3601")];
    at.assume(&arn("app"), &at.token, &longer).await.denied_by_sts(400, "ValidationError", text);
    at.developer.iam("UpdateRole", &[("RoleName", "app"), ("MaxSessionDuration", "7200")]).await.ok();
    assert!((3_590..=3_601).contains(&seconds(&longer).await));
    // A stranger is not told how long sessions may last.
    at.developer.retrust("app", &trust(&at.developer.pool().await)).await;
    let longer = [("DurationSeconds", "43200")];
    at.assume(&arn("app"), &at.token, &longer).await.denied_by_sts(403, "AccessDenied", NOT_ALLOWED);
}

#[tokio::test]
async fn what_the_model_does_not_admit_is_refused_without_repeating_the_token() {
    let at = stage().await;
    let app = arn("app");
    let ask = async |changes: &[(&str, &str)]| {
        let mut parameters =
            vec![("RoleArn", app.as_str()), ("RoleSessionName", SESSION), ("WebIdentityToken", &at.token)];
        parameters.retain(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
        parameters.extend(changes.iter().filter(|(_, value)| *value != "-"));
        at.visitor.sts("AssumeRoleWithWebIdentity", &parameters).await
    };
    let long = "x".repeat(20_001);
    for (changes, place) in [
        (&[("RoleArn", "-")][..], "roleArn"),
        (&[("RoleArn", "arn:too:short")], "roleArn"),
        (&[("RoleSessionName", "-")], "roleSessionName"),
        (&[("RoleSessionName", "a")], "roleSessionName"),
        (&[("RoleSessionName", "with blank")], "roleSessionName"),
        (&[("RoleSessionName", "a/b")], "roleSessionName"),
        (&[("RoleSessionName", "ümlaut")], "roleSessionName"),
        (&[("RoleSessionName", &"n".repeat(65))], "roleSessionName"),
        (&[("WebIdentityToken", "-")], "webIdentityToken"),
        (&[("WebIdentityToken", "abc")], "webIdentityToken"),
        (&[("WebIdentityToken", &long)], "webIdentityToken"),
        (&[("DurationSeconds", "899")], "durationSeconds"),
        (&[("DurationSeconds", "43201")], "durationSeconds"),
        (&[("ProviderId", "abc")], "providerId"),
        (&[("PolicyArns.member.1.arn", "short")], "policyArns.1.member.arn"),
    ] {
        let answer = ask(changes).await;
        assert_eq!(answer.code(), (400, "ValidationError"), "{changes:?}");
        assert!(answer.element("Message").contains(&format!("at &apos;{place}&apos;")), "{changes:?}: {answer:?}");
        assert!(!answer.text.contains(&at.token) && !answer.text.contains(&long[..100]), "{answer:?}");
    }
    assert_eq!(ask(&[("DurationSeconds", "an hour")]).await.code(), (400, "MalformedQueryString"));
    let provider = [("ProviderId", "www.amazon.com")];
    ask(&provider).await.denied_by_sts(400, "InvalidInput", "ProviderId is not for OpenID Connect tokens.");
    let bad_policy = "Policy: is not a policy document in JSON";
    ask(&[("Policy", "allow all")]).await.denied_by_sts(400, "MalformedPolicyDocument", bad_policy);
    // A session policy takes away from rights that are not there.
    ask(&[("Policy", "{\"Version\": \"2012-10-17\", \"Statement\": []}")]).await.ok();
    ask(&[("PolicyArns.member.1.arn", "arn:aws:iam::aws:policy/ReadOnlyAccess")]).await.ok();
}

#[tokio::test]
async fn tokens_of_pools_and_tenants_that_are_gone() {
    let at = stage().await;
    // A token outlives its pool, as on AWS; a tenant that is disabled has no roles.
    at.developer.call("DeleteIdentityPool", json!({ "IdentityPoolId": at.pool })).await.ok();
    at.assume(&arn("app"), &at.token, &[]).await.ok();
    let mut conn = at.broker.db.conn().await;
    Tenant::set_status(&mut conn, &at.developer.account, Status::Disabled).await.unwrap();
    at.assume(&arn("app"), &at.token, &[]).await.denied_by_sts(403, "AccessDenied", NOT_ALLOWED);
}

#[tokio::test]
async fn an_operator_who_gives_no_credentials_gives_none_here_either() {
    let at = stage_with(|config| config.credentials.builtin = false).await;
    let text = "This STS gives no credentials: its operator has not set credentials.builtin.";
    at.assume(&arn("app"), &at.token, &[]).await.denied_by_sts(403, "AccessDenied", text);
    // Keys may still ask who they are.
    let (key, arn) = (&at.developer.key, at.developer.arn().await);
    assert_eq!(arn, format!("arn:aws:iam::000000000001:user/{key}"));
}

#[tokio::test]
async fn a_key_is_told_whose_it_is() {
    let at = stage().await;
    let who = at.developer.sts("GetCallerIdentity", &[]).await.ok();
    let key = at.developer.key.as_str();
    let arn = format!("arn:aws:iam::000000000001:user/{key}");
    assert_eq!(
        (who.element("Account"), who.element("Arn"), who.element("UserId")),
        ("000000000001", arn.as_str(), key)
    );
    let abroad = at.developer.in_region(ABROAD);
    assert_eq!(abroad.arn().await, arn);
    let nowhere = at.developer.in_region("us-west-2").sts("GetCallerIdentity", &[]).await;
    assert_eq!(nowhere.code(), (403, "SignatureDoesNotMatch"));
    let unknown = at.developer.with_key("AKIANOBODY", "x").sts("GetCallerIdentity", &[]).await;
    assert_eq!(unknown.code(), (403, "InvalidClientTokenId"));
}

#[tokio::test]
async fn a_sealed_broker_gives_nobody_credentials() {
    let at = stage().await;
    let session = at.developer.assumed(&at.assume(&arn("app"), &at.token, &[]).await.ok());
    let statement = "insert into seal_keys (key_id, canary) values ('00000000', '\\x00')";
    sqlx::query(statement).execute(&mut *at.broker.db.conn().await).await.unwrap();
    at.broker.app.observe_seal().await.unwrap();
    for answer in [at.assume(&arn("app"), &at.token, &[]).await, session.sts("GetCallerIdentity", &[]).await] {
        assert_eq!((answer.code(), answer.element("Type")), ((500, "ServiceFailure"), "Receiver"));
    }
}
