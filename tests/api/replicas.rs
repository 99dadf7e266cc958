//! What one replica remembers while another changes it: nothing outlives the next poll, and no refusal is from memory.

use serde_json::json;
use symbolon::ids::AccessKeyId;
use symbolon::tenants::access_key::Secret;
use symbolon::tenants::tenant::Status;
use symbolon::tenants::{AccessKey, Tenant};

use crate::client::{Answer, Broker, broker, key_id};
use crate::harness::{self, DEVELOPER};
use crate::tokens::texts;

/// Every signed operation that needs no more than a pool.
const SIGNED: [&str; 3] = ["DescribeIdentityPool", "ListIdentities", "GetOpenIdTokenForDeveloperIdentity"];

/// What the tenant 1 gets for these at a replica.
async fn ask_all(broker: &Broker, pool: &str) -> Vec<Answer> {
    let mut answers = Vec::new();
    for operation in SIGNED {
        let body = json!({ "IdentityPoolId": pool, "MaxResults": 1, "Logins": { DEVELOPER: "user" } });
        answers.push(broker.developer(1).call(operation, body).await);
    }
    answers
}

/// A broker of two replicas, of which the first remembers the tenant 1's key and pool.
async fn warm() -> (Broker, Broker, String) {
    let broker = broker().await;
    let pool = broker.developer(1).pool().await;
    let other = broker.replica().await;
    broker.poll().await;
    other.poll().await;
    for answer in ask_all(&broker, &pool).await {
        answer.ok();
    }
    (broker, other, pool)
}

fn key(text: &str) -> AccessKeyId {
    AccessKeyId::parse(text).unwrap()
}

#[tokio::test]
async fn a_pool_deleted_elsewhere_is_gone_after_the_next_poll_and_at_once_where_it_was_deleted() {
    let (broker, other, pool) = warm().await;
    ask_all(&other, &pool).await;
    other.developer(1).call("DeleteIdentityPool", json!({ "IdentityPoolId": pool })).await.ok();
    other.visitor().get_id(&pool).await.no_pool(&pool);
    broker.visitor().get_id(&pool).await.no_pool(&pool);
    for replica in [&other, &broker] {
        // The other one has not polled either: it knows of its own writes.
        for answer in ask_all(replica, &pool).await {
            answer.no_pool(&pool);
        }
        broker.poll().await;
    }
}

#[tokio::test]
async fn a_disabled_tenant_is_refused_after_the_next_poll_and_back_at_once() {
    let (broker, other, pool) = warm().await;
    let tenant = harness::account(1);
    let mut conn = broker.db.conn().await;
    for _ in 0..2 {
        assert!(Tenant::set_status(&mut conn, &tenant, Status::Disabled).await.unwrap());
        broker.poll().await;
        other.poll().await;
        for replica in [&broker, &other] {
            for answer in ask_all(replica, &pool).await {
                answer.unknown_key();
            }
            replica.visitor().get_id(&pool).await.no_pool(&pool);
            // The other tenant notices nothing.
            replica.developer(2).call("ListIdentityPools", json!({ "MaxResults": 1 })).await.ok();
        }
        assert!(Tenant::set_status(&mut conn, &tenant, Status::Enabled).await.unwrap());
        for answer in ask_all(&broker, &pool).await {
            answer.ok();
        }
        broker.visitor().get_id(&pool).await.ok();
        broker.poll().await;
        for answer in ask_all(&broker, &pool).await {
            answer.ok();
        }
    }
}

#[tokio::test]
async fn a_key_disabled_or_deleted_elsewhere_is_refused_after_the_next_poll_and_the_others_are_not() {
    let (broker, _other, pool) = warm().await;
    let mut conn = broker.db.conn().await;
    let spare = Secret::new("spare");
    AccessKey::create(&mut conn, &harness::seal(), &key("SPARE"), &harness::account(1), &spare).await.unwrap();
    let developer = broker.developer(1).with_key("SPARE", "spare");
    for delete in [false, true] {
        if delete {
            assert!(AccessKey::delete(&mut conn, &key_id(1)).await.unwrap());
        } else {
            assert!(AccessKey::set_status(&mut conn, &key_id(1), Status::Disabled).await.unwrap());
        }
        broker.poll().await;
        for answer in ask_all(&broker, &pool).await {
            answer.unknown_key();
        }
        developer.token(&pool, "user").await.ok();
        if !delete {
            assert!(AccessKey::set_status(&mut conn, &key_id(1), Status::Enabled).await.unwrap());
            for answer in ask_all(&broker, &pool).await {
                answer.ok();
            }
        }
    }
}

#[tokio::test]
async fn a_key_made_elsewhere_works_at_once_though_it_was_refused_a_moment_ago() {
    let (broker, _other, pool) = warm().await;
    let developer = broker.developer(1).with_key("LATER", "secret");
    developer.token(&pool, "user").await.unknown_key();
    let mut conn = broker.db.conn().await;
    let secret = Secret::new("secret");
    AccessKey::create(&mut conn, &harness::seal(), &key("LATER"), &harness::account(1), &secret).await.unwrap();
    developer.token(&pool, "user").await.ok();
}

#[tokio::test]
async fn a_secret_changed_elsewhere_works_at_once_and_the_old_one_no_longer_than_until_the_next_poll() {
    let (broker, _other, pool) = warm().await;
    let mut conn = broker.db.conn().await;
    let mut old = broker.developer(1);
    for (secret, used_before_the_poll) in [("second", false), ("third", true)] {
        let new = old.with_key(key_id(1).as_str(), secret);
        let (id, secret) = (key_id(1), Secret::new(secret));
        assert!(AccessKey::set_secret(&mut conn, &harness::seal(), &id, &new.account, &secret).await.unwrap());
        if used_before_the_poll {
            new.token(&pool, "user").await.ok();
        }
        broker.poll().await;
        let refused = old.token(&pool, "user").await;
        assert_eq!(refused.exception(), "InvalidSignatureException", "{refused:?}");
        new.token(&pool, "user").await.ok();
        old = new;
    }
}

#[tokio::test]
async fn a_developer_provider_named_elsewhere_works_at_once_and_is_in_the_token() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let pool = developer.pool_with(None, false).await;
    let other = broker.replica().await;
    broker.poll().await;
    other.poll().await;
    let text = "This identity pool does not support the specified developer provider";
    for _ in 0..2 {
        developer.token(&pool, "user").await.refused("InvalidParameterException", text);
    }
    let update = json!({ "IdentityPoolId": pool, "IdentityPoolName": "a pool",
                         "AllowUnauthenticatedIdentities": false, "DeveloperProviderName": DEVELOPER });
    other.developer(1).call("UpdateIdentityPool", update).await.ok();
    let methods = format!(r#""amr":["authenticated","{DEVELOPER}","{DEVELOPER}:{pool}:user"]"#);
    for poll in [false, true, false] {
        if poll {
            broker.poll().await;
        }
        let token = developer.token(&pool, "user").await.member("Token");
        assert!(texts(&token).1.contains(&methods), "{}", texts(&token).1);
    }
}

#[tokio::test]
async fn guests_switched_off_or_on_elsewhere_are_so_at_once() {
    let (broker, other, pool) = warm().await;
    let text = "Unauthenticated access is not supported for this identity pool.";
    for allowed in [false, true] {
        let update = json!({ "IdentityPoolId": pool, "IdentityPoolName": "a pool",
                             "AllowUnauthenticatedIdentities": allowed });
        other.developer(1).call("UpdateIdentityPool", update).await.ok();
        let answer = broker.visitor().get_id(&pool).await;
        if allowed {
            answer.ok();
        } else {
            answer.refused("NotAuthorizedException", text);
        }
    }
}

#[tokio::test]
async fn a_replica_past_its_fence_signs_nothing_and_says_when_to_come_again() {
    let (broker, _other, pool) = warm().await;
    let fresh = broker.replica().await;
    let text = "The service could not answer. Try again.";
    let body = format!(r#"{{"__type":"InternalErrorException","message":"{text}"}}"#);
    let answer = fresh.developer(1).token(&pool, "user").await;
    answer.is_fault(500, "InternalErrorException", Some(text), &body, &["retry-after: 1"]);
    fresh.developer(1).call("DescribeIdentityPool", json!({ "IdentityPoolId": pool })).await.ok();
    fresh.poll().await;
    fresh.developer(1).token(&pool, "user").await.ok();
}
