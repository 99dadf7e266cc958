//! Guests and users of an OpenID Connect provider, who call without credentials.

use aws_sdk_cognitoidentity::Client;
use aws_sdk_cognitoidentity::error::ProvideErrorMetadata as _;
use serde_json::json;

use crate::CLIENT;
use crate::issuer::Issuer;
use crate::stage::{ACCOUNT, Broker, NOBODY, pool, service_error, verified};

const NO_ROLE: &str = "Invalid identity pool configuration. Check assigned IAM roles for this pool.";

/// O1, O9, C4: a guest gets a token, and waits for a role.
pub async fn guests(broker: &Broker, client: &Client) {
    let pool = pool(client, "logins of guests").await;
    let guest = client.get_id().identity_pool_id(&pool).send().await.unwrap().identity_id.unwrap();
    let answer = client.get_open_id_token().identity_id(&guest).send().await.unwrap();
    assert_eq!(answer.identity_id(), Some(guest.as_str()));
    let claims = verified(broker.endpoint(), &pool, answer.token().unwrap()).await;
    assert_eq!((&claims["sub"], &claims["amr"]), (&json!(guest), &json!(["unauthenticated"])));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 600);

    let error = service_error(client.get_credentials_for_identity().identity_id(&guest).send().await);
    assert!(error.is_invalid_identity_pool_configuration_exception(), "{error:?}");
    assert_eq!(error.message(), Some(NO_ROLE));
}

/// I3, O3, O4, O7, K1, K2, U2: a user signs in, is verified, and unlinks the login.
pub async fn users(broker: &Broker, client: &Client, issuer: &Issuer) {
    let pool = federated(client, issuer).await;
    let guest = client.get_id().identity_pool_id(&pool).send().await.unwrap().identity_id.unwrap();
    let open_id = |identity: &str, token: String| {
        client.get_open_id_token().identity_id(identity).logins(issuer.login_key(), token).send()
    };
    let answer = open_id(&guest, issuer.token("ann", CLIENT)).await.unwrap();
    assert_eq!(answer.identity_id(), Some(guest.as_str()));
    let claims = verified(broker.endpoint(), &pool, answer.token().unwrap()).await;
    let proof = format!("{}:OIDC:ann", provider(issuer));
    assert_eq!(claims["amr"], json!(["authenticated", issuer.login_key(), proof]));

    let ann = client.get_id().identity_pool_id(&pool).logins(issuer.login_key(), issuer.token("ann", CLIENT));
    assert_eq!(ann.send().await.unwrap().identity_id(), Some(guest.as_str()));
    let error = service_error(client.get_open_id_token().identity_id(&guest).send().await);
    assert!(error.is_not_authorized_exception(), "{error:?}");
    assert_eq!(error.message(), Some(format!("Access to Identity '{guest}' is forbidden.").as_str()));
    let error = service_error(open_id(&guest, issuer.token("bob", CLIENT)).await);
    assert!(error.is_not_authorized_exception(), "{error:?}");

    let unlink = |user: &str| {
        let request = client.unlink_identity().identity_id(&guest).logins_to_remove(issuer.login_key());
        request.logins(issuer.login_key(), issuer.token(user, CLIENT)).send()
    };
    let error = service_error(unlink("bob").await);
    assert!(error.is_not_authorized_exception(), "{error:?}");
    unlink("ann").await.unwrap();
    let described = client.describe_identity().identity_id(&guest).send().await.unwrap();
    assert_eq!(described.logins(), [""; 0]);
    let error = service_error(unlink("ann").await);
    assert!(error.is_not_authorized_exception(), "{error:?}");
}

/// O10, C4, C9, S7 and S10, as the SDK's types.
pub async fn refusals(client: &Client, issuer: &Issuer) {
    let pool = federated(client, issuer).await;
    let key = issuer.login_key();
    let get_id = |token: String| client.get_id().identity_pool_id(&pool).logins(key, token).send();
    let ann = get_id(issuer.token("ann", CLIENT)).await.unwrap().identity_id.unwrap();
    let error = service_error(get_id(issuer.token("ann", "another-app")).await);
    assert!(error.is_not_authorized_exception(), "{error:?}");
    assert_eq!(error.message(), Some("Invalid login token. Incorrect token audience."));

    let credentials = |identity: &str, user: &str| {
        let request = client.get_credentials_for_identity().identity_id(identity);
        request.logins(key, issuer.token(user, CLIENT)).send()
    };
    let error = service_error(credentials(&ann, "ann").await);
    assert!(error.is_invalid_identity_pool_configuration_exception(), "{error:?}");
    assert!(service_error(credentials(&ann, "bob").await).is_not_authorized_exception());
    assert!(service_error(credentials(NOBODY, "ann").await).is_resource_not_found_exception());
    let unlink = client.unlink_identity().identity_id(NOBODY).logins(key, "t").logins_to_remove(key).send().await;
    assert!(service_error(unlink).is_resource_not_found_exception());

    let update = client.update_identity_pool().identity_pool_id(&pool).identity_pool_name("no classic flow");
    let update = update.allow_unauthenticated_identities(true).allow_classic_flow(false);
    update.open_id_connect_provider_arns(provider(issuer)).send().await.unwrap();
    let token = client.get_open_id_token().identity_id(&ann).logins(key, issuer.token("ann", CLIENT)).send().await;
    let error = service_error(token);
    assert!(error.is_invalid_parameter_exception(), "{error:?}");
}

/// A pool that takes the issuer's tokens.
async fn federated(client: &Client, issuer: &Issuer) -> String {
    let request = client.create_identity_pool().identity_pool_name("federated").allow_unauthenticated_identities(true);
    let made = request.open_id_connect_provider_arns(provider(issuer)).send().await.unwrap();
    made.identity_pool_id
}

fn provider(issuer: &Issuer) -> String {
    format!("arn:aws:iam::{ACCOUNT}:oidc-provider/{}", issuer.login_key())
}
