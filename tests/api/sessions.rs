//! Credentials of our own in use: they say who they are and can do nothing else, for as long as they live, and only whole.

use axum::body::Body;
use axum::http::{HeaderValue, Request};
use serde_json::json;
use symbolon::aws_query::shapes::IAM_OPERATIONS;
use symbolon::cognito::shapes::OPERATIONS;
use symbolon::seal::Seal;
use symbolon::tenants::Tenant;
use symbolon::tenants::tenant::Status;
use symbolon::tokens::session::Session;
use time::OffsetDateTime;

use crate::client::{Broker, Developer, broker_with, unsigned};
use crate::federation::{Federation, federation_with};
use crate::harness;
use crate::query::{of_sts, request, trust};
use crate::tenancy::home::Home;
use crate::tenancy::questions::{Named, OF_IDENTITIES, OF_NOTHING, OF_POOLS, OF_RESOURCES};

const UNKNOWN: &str = "The security token included in the request is invalid.";
const WRONG: &str = "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
                     Access Key and signing method. Consult the service documentation for details.";
const WHO: &str = "arn:aws:sts::000000000001:assumed-role/app/app";

/// The session of a user `ann` of a pool of the tenant 1 in the role `app`.
async fn session(broker: &Broker) -> Developer {
    let developer = broker.developer(1);
    let pool = developer.pool().await;
    developer.role("app", &trust(&pool)).await.ok();
    take_on(&developer, &pool).await
}

async fn take_on(developer: &Developer, pool: &str) -> Developer {
    let token = developer.token(pool, "ann").await.member("Token");
    let parameters =
        [("RoleArn", "arn:aws:iam::000000000001:role/app"), ("RoleSessionName", "app"), ("WebIdentityToken", &token)];
    let answer = developer.send(request(&of_sts("AssumeRoleWithWebIdentity", &parameters))).await.ok();
    let session = developer.assumed(&answer);
    assert_eq!(session.arn().await, WHO);
    session
}

async fn broker() -> Broker {
    broker_with(|config| config.credentials.builtin = true).await
}

/// Everything that the database holds of tenants, but when their keys were used last.
async fn everything(at: &Federation) -> Vec<String> {
    let mut conn = at.broker.db.conn().await;
    sqlx::query("update access_keys set last_used_at = null").execute(&mut *conn).await.unwrap();
    let tables =
        ["tenants", "access_keys", "identity_pools", "pool_providers", "oidc_providers", "iam_roles", "installation"];
    let mut rows = harness::dump(&mut conn, &tables).await;
    rows.extend(harness::people(&mut conn).await);
    rows
}

/// What every operation of IAM could need: what one does not know it ignores.
fn of_everything(arn: &str) -> Vec<(&str, &str)> {
    vec![
        ("RoleName", "app"),
        ("AssumeRolePolicyDocument", "{\"Version\": \"2012-10-17\", \"Statement\": []}"),
        ("PolicyDocument", "{\"Version\": \"2012-10-17\", \"Statement\": []}"),
        ("Description", "taken over"),
        ("MaxSessionDuration", "43200"),
        ("Tags.member.1.Key", "taken"),
        ("Tags.member.1.Value", "over"),
        ("TagKeys.member.1", "team"),
        ("Url", "https://mallory.example.com"),
        ("OpenIDConnectProviderArn", arn),
        ("ClientID", "mallorys"),
        ("ThumbprintList", ""),
    ]
}

#[tokio::test]
async fn sessions_do_not_use_up_the_rates_of_their_tenant() {
    let broker = broker_with(|config| {
        config.credentials.builtin = true;
        config.limits.signed_requests_per_second_per_account = 10;
        config.limits.requests_per_second = [("ListIdentityPools".to_owned(), 1)].into();
    })
    .await;
    let session = session(&broker).await;
    let list = json!({ "MaxResults": 1 });
    for _ in 0..40 {
        assert_eq!(session.call("ListIdentityPools", list.clone()).await.exception(), "AccessDeniedException");
    }
    // Whose account it is.
    let developer = broker.developer(1);
    developer.call("ListIdentityPools", list.clone()).await.ok();
    assert_eq!(developer.call("ListIdentityPools", list).await.exception(), "TooManyRequestsException");
}

#[tokio::test]
async fn a_session_can_do_nothing_but_say_who_it_is() {
    let at = federation_with(|config| config.credentials.builtin = true).await;
    let home = Home::of(&at, 1).await;
    at.developer.role("app", &trust(&home.pool)).await.ok();
    let session = take_on(&at.developer, &home.pool).await;
    let before = everything(&at).await;

    // Every signed operation of Cognito, with inputs that are good.
    let named: Named<'_> = home.named();
    let mut asked: Vec<(&str, serde_json::Value)> = Vec::new();
    asked.extend(OF_POOLS.iter().chain(OF_IDENTITIES).map(|(operation, question)| (*operation, question(&named))));
    asked.extend(OF_RESOURCES.iter().map(|(operation, question)| (*operation, question(&home.arn()))));
    let new = json!({ "IdentityPoolName": "mallorys", "AllowUnauthenticatedIdentities": true, "MaxResults": 60 });
    asked.extend(OF_NOTHING.map(|operation| (operation, new.clone())));
    for (operation, input) in &asked {
        let answer = session.call(operation, input.clone()).await;
        let text = answer.json["Message"].as_str().unwrap_or_default().to_owned();
        let reason = format!("because no identity-based policy allows the cognito-identity:{operation} action");
        assert_eq!(
            (answer.status.as_u16(), answer.exception()),
            (400, "AccessDeniedException"),
            "{operation}: {answer:?}"
        );
        assert!(
            text.starts_with(&format!("User: {WHO} is not authorized to perform: cognito-identity:{operation} on "))
        );
        assert!(text.ends_with(&reason), "{text}");
    }
    let mut left: Vec<&str> =
        OPERATIONS.iter().copied().filter(|name| !asked.iter().any(|(asked, _)| asked == name)).collect();
    left.sort_unstable();
    assert_eq!(left, ["GetCredentialsForIdentity", "GetId", "GetOpenIdToken", "UnlinkIdentity"]);

    // Every operation of IAM.
    let arn = at.arn("a");
    for operation in IAM_OPERATIONS {
        let answer = session.iam(operation, &of_everything(&arn)).await;
        assert_eq!(answer.code(), (403, "AccessDenied"), "{operation}: {answer:?}");
        let text = answer.element("Message");
        assert!(text.starts_with(&format!("User: {WHO} is not authorized to perform: iam:{operation} on ")), "{text}");
    }
    assert!(IAM_OPERATIONS.len() >= 23);
    assert_eq!(everything(&at).await, before);
    assert_eq!(session.arn().await, WHO);

    // With the tenant's key the same requests are not denied.
    for (operation, input) in &asked {
        assert_ne!(
            at.developer.call(operation, input.clone()).await.exception(),
            "AccessDeniedException",
            "{operation}"
        );
    }
    for operation in IAM_OPERATIONS {
        let answer = at.developer.iam(operation, &of_everything(&arn)).await;
        assert!(!answer.text.contains("AccessDenied"), "{operation}: {answer:?}");
    }
    assert_ne!(everything(&at).await, before);
}

#[tokio::test]
async fn a_refusal_tells_a_session_nothing_of_what_is_there() {
    let broker = broker().await;
    let session = session(&broker).await;
    let developer = broker.developer(1);
    let pool = developer.pool().await;
    let (there, nowhere) =
        (developer.identity(&pool, "bob").await, "us-east-1:157d6171-ee1b-c968-98c2-0123456789ab".to_owned());
    let answers = [&there, &nowhere].map(|id| {
        let session = session.clone();
        let body = json!({ "IdentityId": id });
        async move { session.call("DescribeIdentity", body).await.text }
    });
    let [first, second] = answers;
    assert_eq!(first.await, second.await);
    let path = [("RoleName", "deep"), ("Path", "/secret/"), ("AssumeRolePolicyDocument", &trust(&pool).to_string())];
    developer.iam("CreateRole", &path).await.ok();
    let deep = session.iam("GetRole", &[("RoleName", "deep")]).await.element("Message").to_owned();
    let none = session.iam("GetRole", &[("RoleName", "none")]).await.element("Message").to_owned();
    assert_eq!(deep.replace("deep", "none"), none);
}

#[tokio::test]
async fn a_session_ends_when_its_credentials_say() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let made_at = |ends: OffsetDateTime| {
        let role = ("app", "AROAEXAMPLE");
        let made = Session::new(&developer.account, role, "app", ends).credentials(&harness::seal(), ends).unwrap();
        let secret = String::from_utf8(made.secret.expose().to_vec()).unwrap();
        developer.with_session(&made.access_key_id, &secret, &made.session_token)
    };
    let now = symbolon::clock::Clock::System.wall();
    assert_eq!(made_at(now + time::Duration::minutes(1)).arn().await, WHO);
    // Yesterday's key, too, opens what it has sealed.
    for ago in [time::Duration::seconds(1), time::Duration::hours(1), time::Duration::days(2)] {
        let ended = made_at(now - ago);
        let text = "The security token included in the request is expired";
        ended.sts("GetCallerIdentity", &[]).await.denied_at_the_door(403, "ExpiredToken", text);
        let list = json!({ "MaxResults": 1 });
        ended.call("ListIdentityPools", list).await.refused("ExpiredTokenException", text);
        // Who has not its secret is not told that it has ended.
        let guess = ended.with_session(&ended.key, "a guess", ended.session_token.as_deref().unwrap());
        guess.sts("GetCallerIdentity", &[]).await.denied_at_the_door(403, "SignatureDoesNotMatch", WRONG);
    }
}

#[tokio::test]
async fn only_all_three_parts_of_the_same_credentials_hold() {
    let broker = broker().await;
    let one = session(&broker).await;
    let developer = broker.developer(1);
    let two = take_on(&developer, &developer_pool(&developer).await).await;
    let token = one.session_token.clone().unwrap();
    let others = two.session_token.clone().unwrap();
    let ask = async |key: &str, secret: &str, token: Option<&str>| {
        let mut who = developer.with_key(key, secret);
        who.session_token = token.map(ToOwned::to_owned);
        let list = who.call("ListIdentityPools", json!({ "MaxResults": 1 })).await;
        (who.sts("GetCallerIdentity", &[]).await, list)
    };
    let mut unknown = vec![
        (one.key.clone(), one.secret.clone(), Some(others.clone())),
        (two.key.clone(), one.secret.clone(), Some(token.clone())),
        // Without its token it is nobody's key; and a token makes no key of the tenant's a session.
        (one.key.clone(), one.secret.clone(), None),
        (developer.key.clone(), developer.secret.clone(), Some(token.clone())),
        (one.key.clone(), one.secret.clone(), Some("AAAA".to_owned())),
        (one.key.clone(), one.secret.clone(), Some("garbage!".to_owned())),
        (one.key.clone(), one.secret.clone(), Some(token.repeat(10))),
    ];
    for at in (0..token.len()).step_by(7) {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        unknown.push((one.key.clone(), one.secret.clone(), Some(String::from_utf8(changed).unwrap())));
    }
    for (key, secret, token) in unknown {
        let (sts, cognito) = ask(&key, &secret, token.as_deref()).await;
        sts.denied_at_the_door(403, "InvalidClientTokenId", UNKNOWN);
        cognito.unknown_key();
    }
    let (sts, cognito) = ask(&one.key, &two.secret, Some(&token)).await;
    sts.denied_at_the_door(403, "SignatureDoesNotMatch", WRONG);
    cognito.refused("InvalidSignatureException", WRONG);
    assert_eq!(one.arn().await, WHO);
}

/// A pool whose users may take on the role `app`, beside those who may already.
async fn developer_pool(developer: &Developer) -> String {
    let pool = developer.pool().await;
    developer.retrust("app", &trust(&pool)).await;
    pool
}

#[tokio::test]
async fn the_session_token_is_part_of_what_is_signed() {
    let broker = broker().await;
    let session = session(&broker).await;
    let body = of_sts("GetCallerIdentity", &[]);
    let without = session.with_key(&session.key, &session.secret);
    let mut without = without.sign_for("sts", request(&body), &body);
    let token = HeaderValue::from_str(session.session_token.as_deref().unwrap()).unwrap();
    without.headers_mut().insert("x-amz-security-token", token.clone());
    let answer = session.send(without).await;
    assert_eq!(answer.code(), (403, "SignatureDoesNotMatch"));
    assert!(answer.element("Message").contains("x-amz-security-token"), "{answer:?}");
    let mut twice = session.sign_for("sts", request(&body), &body);
    twice.headers_mut().append("x-amz-security-token", token);
    assert_eq!(session.send(twice).await.code(), (403, "SignatureDoesNotMatch"));
    // The operations for anyone do not look at it.
    let pool = broker.developer(1).pool().await;
    let get_id = json!({ "IdentityPoolId": pool }).to_string();
    let mut signed = session.sign_request(unsigned("GetId", get_id.clone()), &get_id);
    signed.headers_mut().insert("x-amz-security-token", HeaderValue::from_static("garbage"));
    session.send(signed).await.ok();
}

#[tokio::test]
async fn a_signed_question_can_say_whom_it_is_for() {
    let broker = broker().await;
    let session = session(&broker).await;
    let body = of_sts("GetCallerIdentity", &[]);
    let mut asked = request(&body);
    asked.headers_mut().insert("x-amz-meant-for", HeaderValue::from_static("a service"));
    let signed = || session.sign_for("sts", asked_again(&asked, &body), &body);
    assert_eq!(session.send(signed()).await.ok().element("Arn"), WHO);
    let mut changed = signed();
    changed.headers_mut().insert("x-amz-meant-for", HeaderValue::from_static("another"));
    assert_eq!(session.send(changed).await.code(), (403, "SignatureDoesNotMatch"));
}

/// The same request once more.
fn asked_again(asked: &Request<Body>, body: &str) -> Request<Body> {
    let mut again = request(body);
    again.headers_mut().clone_from(asked.headers());
    again
}

#[tokio::test]
async fn a_session_ends_with_its_tenant_and_outlives_its_role() {
    let broker = broker().await;
    let session = session(&broker).await;
    let developer = broker.developer(1);
    let mut conn = broker.db.conn().await;
    for (status, usable) in [(Status::Disabled, false), (Status::Enabled, true)] {
        Tenant::set_status(&mut conn, &developer.account, status).await.unwrap();
        let answer = session.sts("GetCallerIdentity", &[]).await;
        if usable {
            answer.ok();
        } else {
            answer.denied_at_the_door(403, "InvalidClientTokenId", UNKNOWN);
        }
    }
    developer.iam("DeleteRole", &[("RoleName", "app")]).await.ok();
    assert_eq!(session.arn().await, WHO);
}

#[tokio::test]
async fn every_replica_knows_a_session_at_once_and_none_stores_it() {
    let broker = broker().await;
    let mut conn = broker.db.conn().await;
    let other = broker.replica().await;
    other.poll().await;
    let session = session(&broker).await;
    let tables = "select coalesce(string_agg(format('%I', tablename), ',' order by tablename), '') \
                  from pg_tables where schemaname = current_schema()";
    let tables: String = sqlx::query_scalar(tables).fetch_one(&mut *conn).await.unwrap();
    let tables: Vec<&str> = tables.split(',').collect();
    assert!(tables.contains(&"iam_roles") && tables.len() > 8, "{tables:?}");
    let rows = harness::dump(&mut conn, &tables).await.concat();
    for part in [&session.key, &session.secret, session.session_token.as_ref().unwrap()] {
        assert!(!rows.contains(part.as_str()));
    }
    let there =
        other.developer(1).with_session(&session.key, &session.secret, session.session_token.as_deref().unwrap());
    assert_eq!(there.arn().await, WHO);
}

#[tokio::test]
async fn sessions_outlive_a_new_master_key_until_the_old_one_is_removed() {
    let broker = broker().await;
    let session = session(&broker).await;
    let token = session.session_token.as_deref().unwrap();
    let new = Seal::generate().unwrap();
    let both = Seal::from_text(&format!("{}\n{}", *new, harness::MASTER_KEY)).unwrap();
    let rotated = broker.replica_sealed_by(both).await;
    rotated.tick().await;
    let there = rotated.developer(1).with_session(&session.key, &session.secret, token);
    assert_eq!(there.arn().await, WHO);
    // What it makes from now on is sealed under the new one, which the others do not have.
    let fresh = take_on(&rotated.developer(1), &developer_pool(&rotated.developer(1)).await).await;
    let fresh_token = fresh.session_token.clone().unwrap();
    let here = broker.developer(1).with_session(&fresh.key, &fresh.secret, &fresh_token);
    here.sts("GetCallerIdentity", &[]).await.denied_at_the_door(403, "InvalidClientTokenId", UNKNOWN);
    let alone = Seal::from_text(&new).unwrap();
    let id = |key: &str| symbolon::ids::AccessKeyId::parse(key).unwrap();
    assert!(Session::open(&alone, &id(&session.key), token).is_err());
    assert!(Session::open(&alone, &id(&fresh.key), &fresh_token).is_ok());
}
