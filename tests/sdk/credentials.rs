//! Credentials for identities and for web identities, which the SDK for STS then signs with.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sdk_cognitoidentity::Client;
use aws_sdk_sts::error::{ProvideErrorMetadata as _, SdkError};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use serde_json::json;

use crate::stage::{ACCOUNT, Broker, pool, service_error, sign_in};

const SESSION: &str = "CognitoIdentityCredentials";

/// The ARN of a new role that trusts the pool.
async fn role(broker: &Broker, pool: &str, name: &str) -> String {
    let condition = json!({ "StringEquals": { "cognito-identity.amazonaws.com:aud": pool } });
    let statement = json!({ "Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity", "Condition": condition,
                            "Principal": { "Federated": "cognito-identity.amazonaws.com" } });
    let document = json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string();
    let parameters = [
        ("Action", "CreateRole"),
        ("Version", "2010-05-08"),
        ("RoleName", name),
        ("AssumeRolePolicyDocument", document.as_str()),
    ];
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    let client = reqwest::Client::builder().build().unwrap();
    let answer = client.execute(signed_for_iam(broker, &client, &body)).await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    format!("arn:aws:iam::{ACCOUNT}:role/{name}")
}

#[expect(clippy::disallowed_methods, reason = "the signer of a real client reads the real clock")]
fn signed_for_iam(broker: &Broker, client: &reqwest::Client, body: &str) -> reqwest::Request {
    let identity = broker.key().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("iam")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let url = format!("{}/", broker.endpoint());
    let content_type = ("content-type", "application/x-www-form-urlencoded");
    let request = SignableRequest::new("POST", &url, [content_type].into_iter(), SignableBody::Bytes(body.as_bytes()));
    let (instructions, _) = sign(request.unwrap(), &params).unwrap().into_parts();
    let mut request = client.post(url).header(content_type.0, content_type.1).body(body.to_owned());
    for (name, value) in instructions.headers() {
        request = request.header(name, value);
    }
    request.build().unwrap()
}

/// The ARN that STS knows these credentials by.
async fn who(broker: &Broker, credentials: Credentials) -> String {
    let answer = broker.sts(Some(credentials)).await.get_caller_identity().send().await.unwrap();
    assert_eq!(answer.account(), Some(ACCOUNT));
    answer.arn.unwrap()
}

/// C1, C2, C5, C12: those of a guest and of a developer user.
pub async fn of_identities(broker: &Broker, client: &Client) {
    let pool = pool(client, "credentials").await;
    for kind in ["authenticated", "unauthenticated"] {
        role(broker, &pool, &format!("sdk-{kind}")).await;
    }
    let arn = |kind: &str| format!("arn:aws:iam::{ACCOUNT}:role/sdk-{kind}");
    let set = client.set_identity_pool_roles().identity_pool_id(&pool);
    let set = set.roles("authenticated", arn("authenticated")).roles("unauthenticated", arn("unauthenticated"));
    set.send().await.unwrap();

    let guest = client.get_id().identity_pool_id(&pool).send().await.unwrap().identity_id.unwrap();
    let of_guest = client.get_credentials_for_identity().identity_id(&guest).send().await.unwrap();
    let (ann, token) = sign_in(client, &pool, "ann").await;
    let of_ann = client.get_credentials_for_identity().identity_id(&ann);
    let of_ann = of_ann.logins("cognito-identity.amazonaws.com", token).send().await.unwrap();
    for (answer, identity, kind) in [(of_guest, &guest, "unauthenticated"), (of_ann, &ann, "authenticated")] {
        assert_eq!(answer.identity_id(), Some(identity.as_str()));
        let given = answer.credentials.unwrap();
        assert!(given.expiration().is_some_and(|ends| ends.secs() > 0));
        let token = given.session_token;
        let keys = Credentials::new(given.access_key_id.unwrap(), given.secret_key.unwrap(), token, None, "Cognito");
        let expected = format!("arn:aws:sts::{ACCOUNT}:assumed-role/sdk-{kind}/{SESSION}");
        assert_eq!(who(broker, keys).await, expected);
    }
    assert_eq!(who(broker, broker.key()).await, format!("arn:aws:iam::{ACCOUNT}:user/test"));
}

/// A web identity by its token, without any credentials before.
pub async fn of_sts(broker: &Broker, client: &Client) {
    let pool = pool(client, "web identities").await;
    let role = role(broker, &pool, "sdk-web").await;
    let (ann, token) = sign_in(client, &pool, "ann").await;
    let assume = broker.sts(None).await.assume_role_with_web_identity().role_arn(role).role_session_name("sdk");
    let answer = assume.web_identity_token(token).duration_seconds(900).send().await.unwrap();
    assert_eq!(answer.subject_from_web_identity_token(), Some(ann.as_str()));
    assert_eq!((answer.audience(), answer.provider()), (Some(pool.as_str()), Some(broker.endpoint())));
    let expected = format!("arn:aws:sts::{ACCOUNT}:assumed-role/sdk-web/sdk");
    assert_eq!(answer.assumed_role_user().unwrap().arn(), expected);
    let given = answer.credentials.unwrap();
    let keys = Credentials::new(given.access_key_id, given.secret_access_key, Some(given.session_token), None, "STS");
    assert_eq!(who(broker, keys).await, expected);
}

/// STS's own errors, by their types.
pub async fn refusals(broker: &Broker, client: &Client) {
    let pool = pool(client, "refused web identities").await;
    let (_, token) = sign_in(client, &pool, "ann").await;
    let sts = broker.sts(None).await;
    let assume = |role: &str, token: &str| {
        let request = sts.assume_role_with_web_identity().role_arn(format!("arn:aws:iam::{ACCOUNT}:role/{role}"));
        request.role_session_name("sdk").web_identity_token(token).send()
    };
    // Of another pool, and of nobody.
    for role in ["sdk-web", "nobodys"] {
        let Err(SdkError::ServiceError(error)) = assume(role, &token).await else { panic!("{role} was taken on") };
        assert_eq!((error.err().code(), error.raw().status().as_u16()), (Some("AccessDenied"), 403));
    }
    let error = service_error(assume("sdk-web", &format!("{token}x")).await);
    assert!(error.is_invalid_identity_token_exception(), "{error:?}");
}
