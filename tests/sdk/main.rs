//! The official AWS SDK for Rust against a listening broker, configured from the env file of `symbolon dev` alone, with
//! its tokens verified through discovery and JWKS.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod credentials;
mod developers;
#[path = "../upstream/issuer.rs"]
mod issuer;
mod logins;
mod settings;
mod stage;

use std::collections::BTreeSet;

use symbolon::cognito::shapes::OPERATIONS;

use issuer::Issuer;
use stage::Broker;

/// The client that login tokens are for.
const CLIENT: &str = "an-app";

#[tokio::test]
async fn every_operation_with_the_sdk_for_rust() {
    let issuer = Issuer::start().await;
    let broker = Broker::start(issuer.url(), CLIENT);
    let client = broker.client().await;

    developers::tokens(&broker, &client).await;
    developers::guests_and_their_users(&client).await;
    developers::merging_and_unlinking(&client).await;
    developers::pools(&client).await;
    developers::typed_errors(&client).await;
    developers::tenants(&broker, &client).await;
    developers::refused_signatures(&broker).await;
    settings::roles(&client).await;
    settings::principal_tags(&client).await;
    settings::tags(&client).await;
    logins::guests(&broker, &client).await;
    logins::users(&broker, &client, &issuer).await;
    logins::refusals(&client, &issuer).await;
    credentials::of_identities(&broker, &client).await;
    credentials::of_sts(&broker, &client).await;
    credentials::refusals(&broker, &client).await;

    // By the broker's own count: nobody but the SDKs has asked it, and one signer for a role.
    let beside = ["CreateRole", "AssumeRoleWithWebIdentity", "GetCallerIdentity"];
    let all: BTreeSet<String> = OPERATIONS.iter().chain(&beside).map(ToString::to_string).collect();
    assert_eq!(broker.answered("OK").await, all);
    assert_eq!(broker.answered("InternalErrorException").await, BTreeSet::new());
    assert_eq!(broker.answered("ServiceFailure").await, BTreeSet::new());
    broker.stop();
}
