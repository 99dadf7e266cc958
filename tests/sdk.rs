//! The official AWS SDK for Rust against a listening broker, configured from the env file of `symbolon dev` alone, with
//! its tokens verified through discovery and JWKS.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_cognitoidentity::Client;
use aws_sdk_cognitoidentity::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

const PROVIDER: &str = "login.example";
const NOBODY: &str = "us-east-1:00000000-0000-4000-8000-000000000000";

/// A running `symbolon dev`, and what a shell knows that has read its env file.
struct Broker {
    child: Child,
    env: HashMap<String, String>,
    log: PathBuf,
    _dir: TempDir,
}

impl Broker {
    fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("symbolon-sdk-").tempdir().unwrap();
        let (data, log) = (dir.path().join("data"), dir.path().join("log"));
        let mut child = Command::new(env!("CARGO_BIN_EXE_symbolon"))
            .args(["dev", "--ephemeral", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        // Both addresses are bound before the banner shows them: what asks early waits for its answer.
        let banner = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let shown = banner.into_iter().any(|line| line.starts_with("Ctrl-C ends it"));
        assert!(shown, "the broker did not start:\n{}", fs::read_to_string(&log).unwrap());
        Self { child, env: sourced(&data), log, _dir: dir }
    }

    /// SIGTERM, and exit 0 after it.
    fn stop(mut self) {
        kill(self.pid(), Signal::SIGTERM).unwrap();
        let since = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if since.elapsed() > Duration::from_secs(30) => panic!("the broker does not end at SIGTERM"),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let log = fs::read_to_string(&self.log).unwrap();
        assert!(status.success(), "{status}\n{log}");
        assert!(!log.contains("panicked") && !log.contains("request failed"), "{log}");
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    fn endpoint(&self) -> &str {
        &self.env["AWS_ENDPOINT_URL_COGNITO_IDENTITY"]
    }

    async fn client(&self) -> Client {
        self.client_of(&self.env["AWS_ACCESS_KEY_ID"], &self.env["AWS_SECRET_ACCESS_KEY"]).await
    }

    /// A client of the env file's values, as the SDK would read them from its environment.
    async fn client_of(&self, key: &str, secret: &str) -> Client {
        let config = aws_config::defaults(BehaviorVersion::latest())
            .empty_test_environment()
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .region(Region::new(self.env["AWS_REGION"].clone()))
            .endpoint_url(self.endpoint())
            .credentials_provider(Credentials::new(key, secret, None, None, "env file"))
            .load()
            .await;
        Client::new(&config)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // After a failed test it still runs; SIGTERM, so that it stops its Postgres too.
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = kill(self.pid(), Signal::SIGTERM);
            let _ = self.child.wait();
        }
    }
}

/// What a shell with an empty environment exports after it has read the env file.
fn sourced(data: &Path) -> HashMap<String, String> {
    let output =
        Command::new("/bin/sh").args(["-c", ". ./env && env -0"]).current_dir(data).env_clear().output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.split('\0').filter_map(|pair| pair.split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

async fn pool(client: &Client, name: &str) -> String {
    let made = client
        .create_identity_pool()
        .identity_pool_name(name)
        .allow_unauthenticated_identities(true)
        .developer_provider_name(PROVIDER)
        .send()
        .await
        .unwrap();
    assert_eq!(made.developer_provider_name(), Some(PROVIDER));
    made.identity_pool_id
}

/// Identity and token of a developer user.
async fn sign_in(client: &Client, pool: &str, user: &str) -> (String, String) {
    let answer =
        client.get_open_id_token_for_developer_identity().identity_pool_id(pool).logins(PROVIDER, user).send().await;
    let answer = answer.unwrap();
    (answer.identity_id.unwrap(), answer.token.unwrap())
}

/// The error of the service that a call ended with: status 400, with a request id.
#[track_caller]
fn service_error<T, E>(result: Result<T, SdkError<E, HttpResponse>>) -> E {
    let Err(SdkError::ServiceError(error)) = result else { panic!("not refused by the service") };
    let response = error.raw();
    assert_eq!(response.status().as_u16(), 400);
    assert_eq!(response.headers().get("x-amzn-requestid").map(str::len), Some(36));
    error.into_err()
}

async fn fetch(url: &str) -> Value {
    let answer = reqwest::get(url).await.unwrap();
    assert_eq!(answer.status(), 200, "{url}");
    answer.json().await.unwrap()
}

/// The claims of a token, as a relying party reads them that knows the issuer and the audience.
async fn verified(issuer: &str, audience: &str, token: &str) -> Value {
    let discovery = fetch(&format!("{issuer}/.well-known/openid-configuration")).await;
    assert_eq!(discovery["issuer"], issuer);
    let keys: JwkSet = serde_json::from_value(fetch(discovery["jwks_uri"].as_str().unwrap()).await).unwrap();
    let header = decode_header(token).unwrap();
    let key = DecodingKey::from_jwk(keys.find(&header.kid.unwrap()).unwrap()).unwrap();
    let algorithms = serde_json::from_value(discovery["id_token_signing_alg_values_supported"].clone()).unwrap();
    let mut rules = Validation::new(header.alg);
    rules.algorithms = algorithms;
    rules.set_issuer(&[issuer]);
    rules.set_audience(&[audience]);
    rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    rules.leeway = 0;
    decode::<Value>(token, &key, &rules).unwrap().claims
}

#[tokio::test]
async fn the_developer_flow_with_the_sdk_for_rust() {
    let broker = Broker::start();
    let client = broker.client().await;

    tokens(&broker, &client).await;
    guests_and_their_users(&client).await;
    merging_and_unlinking(&client).await;
    pools(&client).await;
    typed_errors(&client).await;
    tenants(&broker, &client).await;
    refused_signatures(&broker).await;

    broker.stop();
}

/// G10, G11, G60, G63: tokens, verified through the served keys.
async fn tokens(broker: &Broker, client: &Client) {
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
async fn guests_and_their_users(client: &Client) {
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
async fn merging_and_unlinking(client: &Client) {
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
async fn pools(client: &Client) {
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
async fn typed_errors(client: &Client) {
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
async fn tenants(broker: &Broker, client: &Client) {
    let pool = pool(client, "ours").await;
    let other = broker.client_of("999900009999", "test").await;
    let error = service_error(other.describe_identity_pool().identity_pool_id(&pool).send().await);
    assert!(error.is_resource_not_found_exception());
    let listed = other.list_identity_pools().max_results(60).send().await.unwrap();
    assert_eq!(listed.identity_pools(), []);
}

/// CONTRACT 1.5, as far as this SDK can provoke it.
async fn refused_signatures(broker: &Broker) {
    let key = &broker.env["AWS_ACCESS_KEY_ID"];
    for (key, secret, code) in
        [(key.as_str(), "wrong", "InvalidSignatureException"), ("AKIAEXAMPLE", "test", "UnrecognizedClientException")]
    {
        let client = broker.client_of(key, secret).await;
        let error = service_error(client.list_identity_pools().max_results(1).send().await);
        assert_eq!(error.code(), Some(code));
    }
}
