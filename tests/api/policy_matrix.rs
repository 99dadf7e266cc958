//! The matrix of policies: every signed operation with a key of each policy, and what its owner must be told.

mod conditions;
mod expectations;
pub mod requests;

use std::collections::BTreeSet;

use axum::http::HeaderValue;
use symbolon::aws_query::shapes::IAM_OPERATIONS;
use symbolon::cognito::shapes::OPERATIONS;
use symbolon::policy::Policy;
use symbolon::tenants::AccessKey;
use symbolon::tenants::access_key::Secret;

use crate::client::{Answer, Broker, Developer, Peer, broker_with, key_id};
use crate::harness;
use expectations::{ANYONES, COGNITO, Circumstances, IAM, Row, rows};
use requests::{Asked, Place};

/// Where the trusted proxy of the matrix is.
const PROXY: &str = "10.0.0.0/8";

/// Another key of the place's tenant, with a policy.
pub async fn key_with(broker: &Broker, admin: &Developer, number: u64, policy: &str) -> Developer {
    let (id, secret) = (key_id(number), "secret of a key with a policy");
    let policy = Policy::parse(policy).unwrap_or_else(|problem| panic!("{problem}: {policy}"));
    let mut conn = broker.db.conn().await;
    assert!(AccessKey::create(&mut conn, &harness::seal(), &id, &admin.account, &Secret::new(secret)).await.unwrap());
    assert!(AccessKey::set_policy(&mut conn, &id, Some(&policy)).await.unwrap());
    admin.with_key(id.as_str(), secret)
}

/// The refusal of what a policy does not allow, to the letter.
#[track_caller]
pub fn assert_denied(answer: &Answer, key: &Developer, action: &str, resource: &str, explicit: bool) {
    let reason = if explicit {
        "with an explicit deny".to_owned()
    } else {
        format!("because no identity-based policy allows the {action} action")
    };
    let user = format!("arn:aws:iam::{}:user/{}", key.account, key.key);
    let text = format!("User: {user} is not authorized to perform: {action} on resource: {resource} {reason}");
    if action.starts_with("iam:") {
        let told = format!("<Code>AccessDenied</Code><Message>{text}</Message>");
        assert!(answer.text.contains(&told), "{told}\nis not in\n{}", answer.text);
        assert_eq!(answer.status.as_u16(), 403);
    } else {
        answer.refused("AccessDeniedException", &text);
    }
}

/// Every row of every table.
pub async fn all_rows(broker: &Broker) -> Vec<String> {
    let mut conn = broker.db.conn().await;
    let query = "select tablename::text from pg_tables where schemaname = 'public' order by 1";
    let tables: Vec<String> = sqlx::query_scalar(query).fetch_all(&mut *conn).await.unwrap();
    let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
    harness::dump(&mut conn, &tables).await
}

/// Sends what is asked, under these circumstances.
async fn ask(key: &Developer, asked: &Asked, circumstances: &Circumstances) -> Answer {
    let mut request = asked.signed_by(key);
    request.extensions_mut().insert(Peer(circumstances.peer.parse().unwrap()));
    for (name, value) in circumstances.headers {
        request.headers_mut().insert(*name, HeaderValue::from_static(value));
    }
    key.send(request).await
}

#[test]
fn no_operation_is_left_out() {
    let written: BTreeSet<&str> = COGNITO.iter().copied().flatten().copied().chain(ANYONES).collect();
    assert_eq!(written, OPERATIONS.iter().copied().collect());
    let written: BTreeSet<&str> = IAM.iter().copied().flatten().copied().collect();
    assert_eq!(written, IAM_OPERATIONS.iter().copied().collect());
}

#[tokio::test]
async fn every_signed_operation_is_done_or_denied_as_the_policy_of_its_key_says() {
    let broker = broker_with(|config| config.server.trusted_proxies = vec![PROXY.to_owned()]).await;
    let rows = rows();
    assert!(rows.len() >= 14);
    let mut expected_of_all = BTreeSet::new();
    // The number of a key says which policy it has, should it be told what it should not.
    for (number, row) in (100..).zip(&rows) {
        let place = Place::new(&broker, number).await;
        let key = key_with(&broker, &place.admin, number, &place.policy(row.statements)).await;
        let requests = place.requests();
        let named: BTreeSet<&str> = requests.iter().map(Asked::operation).collect();
        assert_eq!(named, [COGNITO, IAM].concat().into_iter().flatten().copied().collect());

        let before = all_rows(&broker).await;
        for asked in requests.iter().filter(|asked| !row.allows(asked.operation())) {
            let explicit = row.denies(asked.operation());
            let answer = ask(&key, asked, &row.circumstances).await;
            assert_denied(&answer, &key, &asked.action, &asked.resource, explicit);
            expected_of_all.insert((asked.operation().to_owned(), if explicit { "denied" } else { "not allowed" }));
        }
        assert!(all_rows(&broker).await == before, "{}: a denied request has changed something", row.why);
        // In an order in which each can be done.
        for asked in requests.iter().filter(|asked| row.allows(asked.operation())) {
            let answer = ask(&key, asked, &row.circumstances).await;
            assert_eq!(answer.status.as_u16(), 200, "{}: {}: {answer:?}", row.why, asked.action);
            expected_of_all.insert((asked.operation().to_owned(), "allowed"));
        }
    }
    // The policies are such that each operation met each answer.
    assert_eq!(expected_of_all.len(), 3 * [COGNITO, IAM].concat().into_iter().flatten().count());
}

#[test]
fn no_expectation_contradicts_itself() {
    for row in rows() {
        for operation in [COGNITO, IAM].concat().into_iter().flatten() {
            assert!(!(row.allows(operation) && row.denies(operation)), "{}: {operation}", row.why);
        }
    }
    let reasons: BTreeSet<&str> = rows().iter().map(|row: &Row| row.why).collect();
    assert_eq!(reasons.len(), rows().len());
}
