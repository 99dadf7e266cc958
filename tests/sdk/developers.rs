//! Developer users, their guests and pools, tenants, and the typed errors of each.

use std::collections::BTreeSet;

use aws_sdk_cognitoidentity::Client;
use aws_sdk_cognitoidentity::error::ProvideErrorMetadata as _;
use serde_json::json;

use crate::stage::{Broker, NOBODY, PROVIDER, pool, service_error, sign_in, verified};

/// G10, G11, G60, G63: tokens, verified through the served keys.
pub async fn tokens(broker: &Broker, client: &Client) {
    let pool = pool(client, "tokens").await;
    let (identity, token) = sign_in(client, &pool, "alice").await;
    let claims = verified(broker.endpoint(), &pool, &token).await;
    assert_eq!(claims["sub"], identity);
    assert_eq!(claims["amr"], json!(["authenticated", PROVIDER, format!("{PROVIDER}:{pool}:alice")]));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 900);
    assert_eq!(claims.get("https://aws.amazon.com/tags"), None);
    assert_eq!(sign_in(client, &pool, "alice").await.0, identity);

    let tagged = client
        .get_open_id_token_for_developer_identity()
        .identity_pool_id(&pool)
        .logins(PROVIDER, "alice")
        .principal_tags("team", "blue")
        .token_duration(300)
        .send()
        .await
        .unwrap();
    let claims = verified(broker.endpoint(), &pool, tagged.token().unwrap()).await;
    assert_eq!(claims["https://aws.amazon.com/tags"], json!({ "principal_tags": { "team": ["blue"] } }));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 300);
}

/// I1, G13, G30, A1: a guest becomes a user's identity, and its id stays.
pub async fn guests_and_their_users(client: &Client) {
    let pool = pool(client, "guests").await;
    let guest = client.get_id().identity_pool_id(&pool).send().await.unwrap().identity_id.unwrap();
    let upgrade = |user: &'static str, identity: &str| {
        client
            .get_open_id_token_for_developer_identity()
            .identity_pool_id(&pool)
            .identity_id(identity)
            .logins(PROVIDER, user)
            .send()
    };
    assert_eq!(upgrade("bob", &guest).await.unwrap().identity_id(), Some(guest.as_str()));
    let described = client.describe_identity().identity_id(&guest).send().await.unwrap();
    assert_eq!(described.logins(), [PROVIDER]);
    assert!(described.creation_date().unwrap() <= described.last_modified_date().unwrap());

    let second = client.get_id().identity_pool_id(&pool).send().await.unwrap().identity_id.unwrap();
    assert_ne!(second, guest);
    let error = service_error(upgrade("bob", &second).await);
    assert!(error.is_developer_user_already_registered_exception(), "{error:?}");
    assert_eq!(error.message(), Some("This developer user identifier is already registered with Cognito."));
    let error = service_error(upgrade("carol", &guest).await);
    assert!(error.is_not_authorized_exception(), "{error:?}");
    let error = service_error(upgrade("carol", NOBODY).await);
    assert!(error.is_resource_not_found_exception(), "{error:?}");
    assert_eq!(error.message(), Some(format!("Identity '{NOBODY}' not found.").as_str()));
}

/// M1 to M3, L2, L3, U1 to U3, A2, A3.
pub async fn merging_and_unlinking(client: &Client) {
    let pool = pool(client, "users").await;
    let (alice, _) = sign_in(client, &pool, "alice").await;
    let (bob, _) = sign_in(client, &pool, "bob").await;
    let merged = client
        .merge_developer_identities()
        .identity_pool_id(&pool)
        .developer_provider_name(PROVIDER)
        .source_user_identifier("bob")
        .destination_user_identifier("alice")
        .send()
        .await
        .unwrap();
    assert_eq!(merged.identity_id(), Some(alice.as_str()));
    assert_eq!(sign_in(client, &pool, "bob").await.0, alice);

    let lookup = |size, token: Option<String>| {
        let request = client.lookup_developer_identity().identity_pool_id(&pool).identity_id(&alice);
        request.max_results(size).set_next_token(token).send()
    };
    let first = lookup(1, None).await.unwrap();
    let second = lookup(1, first.next_token.clone()).await.unwrap();
    assert_eq!((first.developer_user_identifier_list(), second.next_token()), (&["alice".to_owned()][..], None));
    assert_eq!(second.developer_user_identifier_list(), ["bob"]);

    let list = |hide| client.list_identities().identity_pool_id(&pool).max_results(60).hide_disabled(hide).send();
    let ids = |answer: aws_sdk_cognitoidentity::operation::list_identities::ListIdentitiesOutput| -> BTreeSet<String> {
        answer.identities.unwrap().into_iter().filter_map(|identity| identity.identity_id).collect()
    };
    assert_eq!(ids(list(false).await.unwrap()), BTreeSet::from([alice.clone(), bob.clone()]));
    assert_eq!(ids(list(true).await.unwrap()), BTreeSet::from([alice.clone()]));

    let unlink = |user: &'static str| {
        let request = client.unlink_developer_identity().identity_pool_id(&pool).identity_id(&alice);
        request.developer_provider_name(PROVIDER).developer_user_identifier(user).send()
    };
    unlink("bob").await.unwrap();
    assert!(service_error(unlink("bob").await).is_resource_not_found_exception());
    let (again, _) = sign_in(client, &pool, "bob").await;
    assert!(again != alice && again != bob);
    assert!(service_error(unlink("bob").await).is_resource_conflict_exception());

    let deleted = client.delete_identities().identity_ids_to_delete(&alice).identity_ids_to_delete(bob).send().await;
    assert_eq!(deleted.unwrap().unprocessed_identity_ids(), []);
    let error = service_error(client.describe_identity().identity_id(&alice).send().await);
    assert!(error.is_resource_not_found_exception());
}

/// P1, P3, P7, P8.
pub async fn pools(client: &Client) {
    let id = pool(client, "pools").await;
    let described = client.describe_identity_pool().identity_pool_id(&id).send().await.unwrap();
    assert_eq!((described.identity_pool_name(), described.allow_classic_flow()), ("pools", None));
    let updated = client
        .update_identity_pool()
        .identity_pool_id(&id)
        .identity_pool_name("renamed")
        .allow_unauthenticated_identities(false)
        .send()
        .await
        .unwrap();
    assert_eq!((updated.identity_pool_name(), updated.developer_provider_name()), ("renamed", Some(PROVIDER)));

    let mut pages = client.list_identity_pools().max_results(1).into_paginator().send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        assert_eq!(page.identity_pools().len(), 1);
        names.extend(page.identity_pools.unwrap().into_iter().filter_map(|pool| pool.identity_pool_name));
    }
    names.sort();
    assert_eq!(names, ["guests", "renamed", "tokens", "users"]);

    client.delete_identity_pool().identity_pool_id(&id).send().await.unwrap();
    let error = service_error(client.describe_identity_pool().identity_pool_id(&id).send().await);
    assert!(error.is_resource_not_found_exception());
}

/// The types that the SDK makes of our answers.
pub async fn typed_errors(client: &Client) {
    let pool = pool(client, "errors").await;
    let token = |key: &'static str, duration| {
        let request = client.get_open_id_token_for_developer_identity().identity_pool_id(&pool);
        request.logins(key, "alice").set_token_duration(duration).send()
    };
    let error = service_error(token("other", None).await);
    assert!(error.is_invalid_parameter_exception(), "{error:?}");
    // Not in the model, and so of no type of its own.
    let error = service_error(token(PROVIDER, Some(86_401)).await);
    assert_eq!(error.code(), Some("ValidationException"));
    let text = "1 validation error detected: Value '86401' at 'tokenDuration' failed to satisfy constraint: \
                Member must have value less than or equal to 86400";
    assert_eq!(error.message(), Some(text));
    let error = service_error(client.get_id().identity_pool_id(NOBODY).send().await);
    assert!(error.is_resource_not_found_exception());
    assert_eq!(error.message(), Some(format!("IdentityPool '{NOBODY}' not found.").as_str()));
    let error = service_error(client.get_id().identity_pool_id(&pool).logins(PROVIDER, "t").send().await);
    assert!(error.is_invalid_parameter_exception(), "{error:?}");
    let error = service_error(client.get_id().identity_pool_id(&pool).logins("graph.facebook.com", "t").send().await);
    assert!(error.is_not_authorized_exception(), "{error:?}");
}

/// D5: what another tenant has is as what does not exist.
pub async fn tenants(broker: &Broker, client: &Client) {
    let pool = pool(client, "ours").await;
    let other = broker.client_of("999900009999", "test").await;
    let error = service_error(other.describe_identity_pool().identity_pool_id(&pool).send().await);
    assert!(error.is_resource_not_found_exception());
    let listed = other.list_identity_pools().max_results(60).send().await.unwrap();
    assert_eq!(listed.identity_pools(), []);
}

/// The exceptions of a signature that does not hold, as far as this SDK can provoke them.
pub async fn refused_signatures(broker: &Broker) {
    let key = &broker.env["AWS_ACCESS_KEY_ID"];
    for (key, secret, code) in
        [(key.as_str(), "wrong", "InvalidSignatureException"), ("AKIAEXAMPLE", "test", "UnrecognizedClientException")]
    {
        let client = broker.client_of(key, secret).await;
        let error = service_error(client.list_identity_pools().max_results(1).send().await);
        assert_eq!(error.code(), Some(code));
    }
}
