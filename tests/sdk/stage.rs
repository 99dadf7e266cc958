//! A broker on its own, as a user of the SDK has it, and what is asked of it again and again.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_cognitoidentity::Client;
use aws_sdk_cognitoidentity::error::SdkError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

pub const PROVIDER: &str = "login.example";
pub const NOBODY: &str = "us-east-1:00000000-0000-4000-8000-000000000000";

/// The account of the developer that `symbolon dev` makes.
pub const ACCOUNT: &str = "000000000000";

/// A running `symbolon dev`, and what a shell knows that has read its env file.
pub struct Broker {
    child: Child,
    pub env: HashMap<String, String>,
    log: PathBuf,
    _dir: TempDir,
}

impl Broker {
    /// A broker that admits this issuer, whose tokens for this client are logins.
    pub fn start(issuer: &str, client: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("symbolon-sdk-").tempdir().unwrap();
        let (data, log, seed) = (dir.path().join("data"), dir.path().join("log"), dir.path().join("seed.toml"));
        let declared = format!(
            "[[tenant]]\naccount_id = '{ACCOUNT}'\nname = 'dev'\n\
             [[tenant.openid_connect_provider]]\nurl = '{issuer}'\nclient_id_list = ['{client}']\n"
        );
        fs::write(&seed, declared).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_symbolon"))
            .args(["dev", "--ephemeral", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data)
            .arg("--seed")
            .arg(&seed)
            .env("SYMBOLON__UPSTREAM__ALLOW_HTTP_ISSUERS", issuer)
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
    pub fn stop(mut self) {
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

    /// Its URL, which is also its issuer's.
    pub fn endpoint(&self) -> &str {
        &self.env["AWS_ENDPOINT_URL_COGNITO_IDENTITY"]
    }

    pub async fn client(&self) -> Client {
        self.client_of(&self.env["AWS_ACCESS_KEY_ID"], &self.env["AWS_SECRET_ACCESS_KEY"]).await
    }

    /// A client of the env file's values, as the SDK would read them from its environment.
    pub async fn client_of(&self, key: &str, secret: &str) -> Client {
        let credentials = Credentials::new(key, secret, None, None, "env file");
        Client::new(&self.config(self.endpoint()).credentials_provider(credentials).load().await)
    }

    /// The env file's access key.
    pub fn key(&self) -> Credentials {
        Credentials::new(&self.env["AWS_ACCESS_KEY_ID"], &self.env["AWS_SECRET_ACCESS_KEY"], None, None, "env file")
    }

    /// A client of STS with these credentials, or without any.
    pub async fn sts(&self, credentials: Option<Credentials>) -> aws_sdk_sts::Client {
        let config = self.config(&self.env["AWS_ENDPOINT_URL_STS"]);
        let config = match credentials {
            Some(credentials) => config.credentials_provider(credentials),
            None => config.no_credentials(),
        };
        aws_sdk_sts::Client::new(&config.load().await)
    }

    fn config(&self, endpoint: &str) -> aws_config::ConfigLoader {
        aws_config::defaults(BehaviorVersion::latest())
            .empty_test_environment()
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .region(Region::new(self.env["AWS_REGION"].clone()))
            .endpoint_url(endpoint)
    }
}

impl Broker {
    /// The operations that it has answered so, by its own count.
    pub async fn answered(&self, code: &str) -> BTreeSet<String> {
        let log = fs::read_to_string(&self.log).unwrap();
        let admin = log.split_once(" admin=").unwrap().1.split_whitespace().next().unwrap();
        let metrics = reqwest::get(format!("http://{admin}/metrics")).await.unwrap().text().await.unwrap();
        let counts = metrics.lines().filter(|line| line.starts_with("symbolon_requests_total{"));
        let of_code = counts.filter(|line| line.contains(&format!("code=\"{code}\"")));
        of_code.map(|line| line.split_once("operation=\"").unwrap().1.split('"').next().unwrap().to_owned()).collect()
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

/// A pool with a developer provider, for guests too.
pub async fn pool(client: &Client, name: &str) -> String {
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
pub async fn sign_in(client: &Client, pool: &str, user: &str) -> (String, String) {
    let answer =
        client.get_open_id_token_for_developer_identity().identity_pool_id(pool).logins(PROVIDER, user).send().await;
    let answer = answer.unwrap();
    (answer.identity_id.unwrap(), answer.token.unwrap())
}

/// The error of the service that a call ended with: status 400, with a request id.
#[track_caller]
pub fn service_error<T, E>(result: Result<T, SdkError<E, HttpResponse>>) -> E {
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
pub async fn verified(issuer: &str, audience: &str, token: &str) -> Value {
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
