//! What access keys with policies may do, by the examples of docs/reference/policies.md.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use symbolon::ids::AccessKeyId;
use symbolon::policy::{Policy, TrustPolicy};
use symbolon::tenants::AccessKey;

use crate::client::{Answer, Broker, Developer, HOME, Peer, broker, broker_with, key_id};
use crate::harness::DEVELOPER;
use crate::policy_matrix::key_with;

/// The policies in the reference: for an issuer, a reader, one pool, the office; then a trust policy.
fn examples() -> Vec<String> {
    let text = include_str!("../../docs/reference/policies.md");
    text.split("```json\n").skip(1).map(|rest| rest.split_once("```").unwrap().0.to_owned()).collect()
}

async fn set(broker: &Broker, id: &AccessKeyId, policy: &str) {
    let policy = Policy::parse(policy).unwrap_or_else(|problem| panic!("{problem}"));
    let mut conn = broker.db.conn().await;
    assert!(AccessKey::set_policy(&mut conn, id, Some(&policy)).await.unwrap());
    broker.poll().await;
}

/// Asserts a refusal by the policy.
#[track_caller]
fn denied(answer: &Answer, developer: &Developer, operation: &str, resource: &str, explicit: bool) {
    let (account, key) = (&developer.account, &developer.key);
    let action = format!("cognito-identity:{operation}");
    let reason = if explicit {
        "with an explicit deny".to_owned()
    } else {
        format!("because no identity-based policy allows the {action} action")
    };
    let user = format!("arn:aws:iam::{account}:user/{key}");
    let text = format!("User: {user} is not authorized to perform: {action} on resource: {resource} {reason}");
    answer.refused("AccessDeniedException", &text);
}

fn arn(developer: &Developer, pool: &str) -> String {
    format!("arn:aws:cognito-identity:{HOME}:{}:identitypool/{pool}", developer.account)
}

#[test]
fn every_example_of_the_reference_is_a_policy() {
    let examples = examples();
    let [policies @ .., trust] = examples.as_slice() else { panic!("no examples") };
    assert_eq!(policies.len(), 4);
    for policy in policies {
        Policy::parse(policy).unwrap_or_else(|problem| panic!("{problem}: {policy}"));
    }
    TrustPolicy::parse(trust).unwrap_or_else(|problem| panic!("{problem}: {trust}"));
}

#[tokio::test]
async fn an_issuer_issues_tokens_and_does_nothing_else() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let pool = developer.pool().await;
    set(&broker, &key_id(1), &examples()[0]).await;
    developer.token(&pool, "user").await.ok();
    for (operation, body, resource) in [
        ("ListIdentityPools", json!({ "MaxResults": 1 }), arn(&developer, "")),
        ("DescribeIdentityPool", json!({ "IdentityPoolId": pool }), arn(&developer, &pool)),
        ("DeleteIdentityPool", json!({ "IdentityPoolId": pool }), arn(&developer, &pool)),
    ] {
        let answer = developer.call(operation, body).await;
        denied(&answer, &developer, operation, &resource, false);
    }
}

#[tokio::test]
async fn a_reader_reads_and_gets_no_token() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let pool = developer.pool().await;
    let identity = developer.identity(&pool, "user").await;
    set(&broker, &key_id(1), &examples()[1]).await;
    for (operation, body) in [
        ("ListIdentityPools", json!({ "MaxResults": 1 })),
        ("DescribeIdentityPool", json!({ "IdentityPoolId": pool })),
        ("DescribeIdentity", json!({ "IdentityId": identity })),
        ("ListIdentities", json!({ "IdentityPoolId": pool, "MaxResults": 1 })),
        ("GetIdentityPoolRoles", json!({ "IdentityPoolId": pool })),
        ("LookupDeveloperIdentity", json!({ "IdentityPoolId": pool, "IdentityId": identity })),
        ("ListTagsForResource", json!({ "ResourceArn": arn(&developer, &pool) })),
    ] {
        developer.call(operation, body).await.ok();
    }
    let answer = developer.token(&pool, "user").await;
    denied(&answer, &developer, "GetOpenIdTokenForDeveloperIdentity", &arn(&developer, &pool), false);
    let answer = developer.call("DeleteIdentities", json!({ "IdentityIdsToDelete": [identity] })).await;
    denied(&answer, &developer, "DeleteIdentities", &arn(&developer, &pool), false);
    developer.call("DescribeIdentity", json!({ "IdentityId": identity })).await.ok();
}

#[tokio::test]
async fn a_key_for_one_pool_learns_nothing_of_another_and_cannot_delete_its_own() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let (pool, other) = (developer.pool().await, developer.pool().await);
    let foreign = broker.developer(2).pool().await;
    let (mine, others) = (developer.identity(&pool, "user").await, developer.identity(&other, "user").await);
    let example = examples()[2].replace("111122223333", developer.account.as_str());
    let example = example.replace("us-east-1:6d03c3ca-918a-4d03-84bd-192d2cb331b8", &pool);
    set(&broker, &key_id(1), &example).await;

    developer.token(&pool, "user").await.ok();
    developer.call("DescribeIdentity", json!({ "IdentityId": mine })).await.ok();
    let none = format!("{HOME}:00000000-0000-4000-8000-000000000000");
    for id in [&other, &foreign, &none] {
        let answer = developer.token(id, "user").await;
        denied(&answer, &developer, "GetOpenIdTokenForDeveloperIdentity", &arn(&developer, id), false);
    }
    let answer = developer.call("DescribeIdentity", json!({ "IdentityId": others })).await;
    denied(&answer, &developer, "DescribeIdentity", &arn(&developer, &other), false);
    let answer = developer.call("DeleteIdentities", json!({ "IdentityIdsToDelete": [mine, others] })).await;
    denied(&answer, &developer, "DeleteIdentities", &arn(&developer, &other), false);
    developer.call("DescribeIdentity", json!({ "IdentityId": mine })).await.ok();
    let answer = developer.call("ListIdentityPools", json!({ "MaxResults": 1 })).await;
    denied(&answer, &developer, "ListIdentityPools", &arn(&developer, ""), false);

    let answer = developer.call("DeleteIdentityPool", json!({ "IdentityPoolId": pool })).await;
    denied(&answer, &developer, "DeleteIdentityPool", &arn(&developer, &pool), true);
    let answer = developer.call("DeleteIdentityPool", json!({ "IdentityPoolId": other })).await;
    denied(&answer, &developer, "DeleteIdentityPool", &arn(&developer, &other), true);
}

#[tokio::test]
async fn a_key_for_the_office_works_from_its_networks_only() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let pool = developer.pool().await;
    set(&broker, &key_id(1), &examples()[3]).await;
    let body = json!({ "IdentityPoolId": pool, "Logins": { DEVELOPER: "user" } }).to_string();
    let operation = "GetOpenIdTokenForDeveloperIdentity";
    for (address, works) in [
        ("203.0.113.9", true),
        ("::ffff:203.0.113.9", true),
        ("2001:db8:5::1", true),
        ("198.51.100.9", false),
        ("2001:db8:6::1", false),
    ] {
        let mut request: Request<Body> = developer.sign(operation, &body);
        request.extensions_mut().insert(Peer(address.parse().unwrap()));
        let answer = developer.send(request).await;
        if works {
            answer.ok();
        } else {
            denied(&answer, &developer, operation, &arn(&developer, &pool), false);
        }
    }
}

#[tokio::test]
async fn what_a_policy_no_longer_allows_ends_with_the_next_poll_and_what_it_newly_allows_works_at_once() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let pool = developer.pool().await;
    let describe = || developer.call("DescribeIdentityPool", json!({ "IdentityPoolId": pool }));
    let give = async |policy: Option<&str>| {
        let policy = policy.map(|text| Policy::parse(text).unwrap());
        let mut conn = broker.db.conn().await;
        assert!(AccessKey::set_policy(&mut conn, &key_id(1), policy.as_ref()).await.unwrap());
    };
    describe().await.ok();
    give(Some(&examples()[0])).await;
    broker.poll().await;
    denied(&describe().await, &developer, "DescribeIdentityPool", &arn(&developer, &pool), false);
    // By another replica's hand, and without a poll.
    give(Some(&examples()[1])).await;
    describe().await.ok();
    give(Some(&examples()[0])).await;
    broker.poll().await;
    denied(&describe().await, &developer, "DescribeIdentityPool", &arn(&developer, &pool), false);
    give(None).await;
    describe().await.ok();
}

#[tokio::test]
async fn a_key_whose_policy_cannot_be_read_may_do_nothing() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let pool = developer.pool().await;
    let mut conn = broker.db.conn().await;
    let stored: Value =
        json!({ "Statement": { "Effect": "Allow", "Action": "*", "Resource": "*", "Unless": "it rains" } });
    sqlx::query("update access_keys set policy = $1").bind(stored).execute(&mut *conn).await.unwrap();
    let fresh = broker.replica().await;
    fresh.tick().await;
    let answer = fresh.developer(1).token(&pool, "user").await;
    denied(&answer, &developer, "GetOpenIdTokenForDeveloperIdentity", &arn(&developer, &pool), false);
}

/// Whether a replica issues a token to the key 9.
async fn issues(replica: &Broker, pool: &str) -> bool {
    let key = replica.developer(1).with_key(key_id(9).as_str(), "secret of a key with a policy");
    let answer = key.token(pool, "user").await;
    if answer.status != 200 {
        denied(&answer, &key, "GetOpenIdTokenForDeveloperIdentity", &arn(&key, pool), false);
    }
    answer.status == 200
}

async fn give(broker: &Broker, policy: &str) {
    let mut conn = broker.db.conn().await;
    assert!(AccessKey::set_policy(&mut conn, &key_id(9), Some(&Policy::parse(policy).unwrap())).await.unwrap());
}

#[tokio::test]
async fn a_policy_reaches_every_replica_within_the_fence_and_a_looser_one_at_once() {
    let fence = Duration::from_secs(6);
    let broker = broker_with(|config| config.keys.sign_fence = fence).await;
    let (admin, other) = (broker.developer(1), broker.replica().await);
    let pool = admin.pool().await;
    let (issuer, reader) = (&examples()[0], &examples()[1]);
    key_with(&broker, &admin, 9, issuer).await;
    let poll = async || {
        broker.poll().await;
        other.poll().await;
    };
    poll().await;
    assert!(issues(&broker, &pool).await && issues(&other, &pool).await);

    // Both remember that it may. The next poll of each ends that.
    give(&broker, reader).await;
    other.poll().await;
    assert!(!issues(&other, &pool).await);
    broker.poll().await;
    assert!(!issues(&broker, &pool).await);
    // Both remember that it may not: the database says otherwise, and is asked.
    give(&broker, issuer).await;
    assert!(issues(&other, &pool).await && issues(&broker, &pool).await);
    poll().await;
    assert!(issues(&other, &pool).await && issues(&broker, &pool).await);

    // A replica that cannot poll goes by what it remembers no longer than the fence. It signs nothing then.
    give(&broker, reader).await;
    tokio::time::sleep(fence + Duration::from_millis(100)).await;
    assert!(!issues(&other, &pool).await && !issues(&broker, &pool).await);
}

#[tokio::test]
async fn what_anyone_may_do_no_policy_denies() {
    let broker = broker().await;
    let admin = broker.developer(1);
    let pool = admin.pool().await;
    let key =
        key_with(&broker, &admin, 9, r#"{"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}"#).await;
    let guest = key.call("GetId", json!({ "IdentityPoolId": pool })).await.member("IdentityId");
    let of_guest = json!({ "IdentityId": guest });
    key.call("GetOpenIdToken", of_guest.clone()).await.ok();
    for operation in ["GetCredentialsForIdentity", "UnlinkIdentity"] {
        let mut body = of_guest.clone();
        body["Logins"] = json!({});
        body["LoginsToRemove"] = json!([]);
        let answer = key.call(operation, body).await;
        assert!(!["AccessDeniedException", ""].contains(&answer.exception()) || answer.status == 200, "{answer:?}");
        assert!(!answer.text.contains("is not authorized to perform"), "{answer:?}");
    }
    // Whoever's signature holds may ask who it is.
    let body = "Action=GetCallerIdentity&Version=2011-06-15";
    let request = Request::post("/").header("host", "broker.example.com");
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let request = request.body(Body::from(body)).unwrap();
    let answer = key.send(key.sign_for("sts", request, body)).await.ok();
    assert!(answer.text.contains(&format!("<Arn>arn:aws:iam::{}:user/{}</Arn>", key.account, key.key)), "{answer:?}");
    let answer = key.call("DescribeIdentity", of_guest).await;
    denied(&answer, &key, "DescribeIdentity", &arn(&key, &pool), true);
}
