//! Dev mode: who may sign with the credentials that everyone knows, and account numbers as access keys.

use axum::http::HeaderValue;
use serde_json::json;
use symbolon::ids::AccessKeyId;
use symbolon::tenants::tenant::Status;
use symbolon::tenants::{AccessKey, Tenant};

use crate::client::{Answer, Broker, broker, send, unsigned};
use crate::harness;

const PAGE: &str = "https://app.example.com";

/// A signed request that a browser page of these origins sends.
async fn signed_from(broker: &Broker, origins: &[&str]) -> Answer {
    let body = r#"{"MaxResults":1}"#;
    let mut request = broker.developer(1).sign("ListIdentityPools", body);
    for origin in origins {
        request.headers_mut().append("origin", HeaderValue::from_str(origin).unwrap());
    }
    send(&broker.public(), request).await
}

#[track_caller]
fn assert_foreign(answer: &Answer, origin: &str) {
    let text = format!(
        "Requests signed in a browser page of origin {origin} are refused, since any page knows the credentials of dev \
         mode. Add the origin to dev.allowed_origins to admit it."
    );
    // The one exception whose text is a member with a capital letter.
    let body = format!(r#"{{"Message":"{text}","__type":"AccessDeniedException"}}"#);
    let other = format!(r#"{{"__type":"AccessDeniedException","Message":"{text}"}}"#);
    assert!([&body, &other].contains(&&answer.text), "{answer:?}");
    answer.is_fault(400, "AccessDeniedException", Some(&text), &answer.text.clone(), &[]);
}

#[tokio::test]
async fn in_dev_mode_only_pages_of_loopback_and_of_allowed_origins_may_sign() {
    let started = broker().await;
    let broker = started.in_dev_mode(true, &[]).await;
    let strict = ["https://app.example.com", "null", "http://localhost.example.com", "https://127.0.0.1.example.com"];
    for origin in strict.into_iter().chain(["", "localhost", "http://user@localhost", "http://192.0.2.1:3000"]) {
        assert_foreign(&signed_from(&broker, &[origin]).await, origin);
    }
    let loopback = ["http://localhost:3000", "https://app.localhost", "http://127.0.0.1:8080", "http://[::1]:80"];
    for origin in loopback {
        signed_from(&broker, &[origin]).await.ok();
    }
    signed_from(&broker, &[]).await.ok();
    // One good origin does not excuse a bad one.
    assert_foreign(&signed_from(&broker, &[loopback[0], PAGE]).await, PAGE);

    let broker = started.in_dev_mode(true, &[PAGE]).await;
    signed_from(&broker, &[PAGE]).await.ok();
    for origin in ["http://app.example.com", "https://app.example.com:444", "https://app.example.com.evil.example"] {
        assert_foreign(&signed_from(&broker, &[origin]).await, origin);
    }
}

#[tokio::test]
async fn a_foreign_page_learns_nothing_and_changes_nothing() {
    let started = broker().await;
    let broker = started.in_dev_mode(true, &[]).await;
    let mut conn = broker.db.conn().await;
    let before = harness::dump(&mut conn, &["tenants", "access_keys", "identity_pools"]).await;
    // Whatever its signature: known keys and unknown ones are refused alike, and none is made.
    let body = json!({ "IdentityPoolName": "theirs", "AllowUnauthenticatedIdentities": true }).to_string();
    let developer = broker.developer(1);
    for developer in [developer.clone(), developer.with_key("000000000009", "test"), developer.with_key("NONE", "x")] {
        let mut request = developer.sign("CreateIdentityPool", &body);
        request.headers_mut().insert("origin", HeaderValue::from_static(PAGE));
        assert_foreign(&send(&broker.public(), request).await, PAGE);
    }
    assert_eq!(harness::dump(&mut conn, &["tenants", "access_keys", "identity_pools"]).await, before);
}

#[tokio::test]
async fn operations_for_anyone_are_for_every_page_and_without_dev_credentials_so_are_all() {
    let started = broker().await;
    let pool = started.developer(1).pool().await;
    let get_id = || {
        let mut request = unsigned("GetId", json!({ "IdentityPoolId": pool }).to_string());
        request.headers_mut().insert("origin", HeaderValue::from_static(PAGE));
        request
    };
    let dev = started.in_dev_mode(true, &[]).await;
    for broker in [&started, &dev] {
        let answer = send(&broker.public(), get_id()).await.ok();
        assert_eq!(answer.header("access-control-allow-origin"), "*");
    }
    signed_from(&started, &[PAGE]).await.ok();
}

#[tokio::test]
async fn where_dev_keys_are_made_foreign_pages_are_refused_whatever_is_configured() {
    let started = broker().await;
    let dev = started.in_dev_mode(true, &[]).await;
    let broker = dev.replica_with(|config| config.dev.allow_dev_credentials = false).await;
    assert_foreign(&signed_from(&broker, &[PAGE]).await, PAGE);
    signed_from(&broker, &["http://localhost:3000"]).await.ok();
    signed_from(&broker, &[]).await.ok();
}

#[tokio::test]
async fn the_account_number_of_a_disabled_tenant_is_refused_from_the_first_time_on() {
    let started = broker().await;
    let dev = started.in_dev_mode(true, &[]).await;
    let mut conn = started.db.conn().await;
    let account = harness::tenant(&mut conn, 43).await;
    assert!(Tenant::set_status(&mut conn, &account, Status::Disabled).await.unwrap());
    let developer = dev.developer(1).with_key("000000000043", "test");
    for _ in 0..2 {
        developer.call("ListIdentityPools", json!({ "MaxResults": 1 })).await.unknown_key();
    }
}

#[tokio::test]
async fn account_numbers_are_access_keys_where_dev_keys_are_made_and_nowhere_else() {
    let started = broker().await;
    let list = || json!({ "MaxResults": 1 });
    let numbered = |broker: &Broker, secret: &str| broker.developer(1).with_key("000000000042", secret);
    let serve = started.in_dev_mode(false, &[]).await;
    for broker in [&started, &serve] {
        numbered(broker, "test").call("ListIdentityPools", list()).await.unknown_key();
    }
    let dev = started.in_dev_mode(true, &[]).await;
    dev.poll().await;
    let mut conn = started.db.conn().await;
    let before = harness::dump(&mut conn, &["tenants", "access_keys"]).await;
    let wrong = numbered(&dev, "guess").call("ListIdentityPools", list()).await;
    assert_eq!(wrong.exception(), "InvalidSignatureException", "{wrong:?}");
    for key in ["00000000004", "0000000000042", "00000000004a", "another"] {
        dev.developer(1).with_key(key, "test").call("ListIdentityPools", list()).await.unknown_key();
    }
    assert_eq!(harness::dump(&mut conn, &["tenants", "access_keys"]).await, before);

    let developer = numbered(&dev, "test");
    let pool = developer.pool().await;
    let account = harness::account(42);
    assert!(Tenant::find(&mut conn, &account).await.unwrap().is_some());
    assert_eq!(AccessKey::list(&mut conn, Some(&account)).await.unwrap().len(), 1);
    dev.developer(1).call("DescribeIdentityPool", json!({ "IdentityPoolId": pool })).await.no_pool(&pool);
    // Once made it is a key as any other.
    numbered(&started, "test").call("DescribeIdentityPool", json!({ "IdentityPoolId": pool })).await.ok();

    // Who was disabled is not made anew.
    let key = AccessKeyId::parse("000000000042").unwrap();
    assert!(AccessKey::set_status(&mut conn, &key, Status::Disabled).await.unwrap());
    dev.poll().await;
    for secret in ["test", "guess"] {
        let refused = developer.with_key("000000000042", secret).call("ListIdentityPools", list()).await;
        assert_ne!(refused.status.as_u16(), 200);
        assert_ne!(refused.exception(), "InternalErrorException");
    }
    assert!(AccessKey::set_status(&mut conn, &key, Status::Enabled).await.unwrap());
    assert!(Tenant::set_status(&mut conn, &account, Status::Disabled).await.unwrap());
    dev.poll().await;
    developer.call("ListIdentityPools", list()).await.unknown_key();
}
