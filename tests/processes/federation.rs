//! Brokers whose developer also takes the ID tokens of a real issuer on loopback, under three login keys.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::broker::Launch;
use crate::client::{Client, PROVIDER};
use crate::database::{ACCOUNT, Database, connect};
use crate::issuer::Issuer;

/// The client that the tokens are for.
const CLIENT: &str = "a-client";

/// The paths of the issuers: each is a provider of its own.
pub const PATHS: [&str; 3] = ["a", "b", "c"];

pub struct Federation {
    pub database: Database,
    pub client: Client,
    issuer: Issuer,
    tokens: BTreeMap<String, String>,
    config: TempDir,
}

impl Federation {
    /// A database with the developer and the providers, and tokens for users of these names at each provider.
    pub async fn start(users: &[&str]) -> Self {
        let issuer = Issuer::start().await;
        let (database, client) = Database::with_developer().await;
        let mut conn = connect(&database.url).await;
        for path in PATHS {
            sqlx::query("insert into oidc_providers (account_id, url, client_ids) values ($1, $2, $3)")
                .bind(ACCOUNT)
                .bind(format!("{}/{path}", issuer.login_key()))
                .bind(json!([CLIENT]))
                .execute(&mut conn)
                .await
                .unwrap();
        }
        let urls: Vec<String> = PATHS.iter().map(|path| format!("{}/{path}", issuer.url())).collect();
        let config = crate::database::public_dir();
        let text = format!("[upstream]\nallow_http_issuers = {urls:?}\n");
        std::fs::write(config.path().join("symbolon.toml"), text).unwrap();
        let mut tokens = BTreeMap::new();
        for (path, url) in PATHS.iter().zip(&urls) {
            for user in users {
                let mut claims = issuer.claims(user, CLIENT);
                claims["iss"] = json!(url);
                tokens.insert(format!("{path}:{user}"), issuer.token_with(&claims));
            }
        }
        Self { database, client, issuer, tokens, config }
    }

    /// `symbolon serve` on this database, or on the same through a proxy.
    pub fn serve(&self, database_url: &str) -> Launch {
        let config = self.config.path().join("symbolon.toml");
        Launch::serve(database_url)
            .arg("--config")
            .arg(config.to_str().unwrap())
            .env("SYMBOLON__LIMITS__GUESTS_PER_SECOND_PER_ADDRESS", "0")
            .env("SYMBOLON__LIMITS__GUESTS_PER_SECOND_PER_POOL", "0")
    }

    /// A pool with all three providers, made by the broker at `url`.
    pub async fn create_pool(&self, url: &str) -> String {
        self.client.call(url, "CreateIdentityPool", &self.pool_settings()).await.member("IdentityPoolId")
    }

    /// The settings of such a pool.
    pub fn pool_settings(&self) -> Value {
        self.pool_settings_of(ACCOUNT)
    }

    /// The same for another tenant that has declared the providers.
    pub fn pool_settings_of(&self, account: &str) -> Value {
        let arns = PATHS.map(|path| format!("arn:aws:iam::{account}:oidc-provider/{}", self.key(path)));
        json!({ "IdentityPoolName": "federated", "AllowUnauthenticatedIdentities": true,
                "DeveloperProviderName": PROVIDER, "OpenIdConnectProviderARNs": arns })
    }

    /// The login key of the provider at this path.
    pub fn key(&self, path: &str) -> String {
        format!("{}/{path}", self.issuer.login_key())
    }

    /// `Logins` of users, each `PATH:NAME`, or a bare name for the developer provider.
    pub fn logins<T: AsRef<str>>(&self, users: &[T]) -> Value {
        let login = |user: &T| match user.as_ref().split_once(':') {
            Some((path, _)) => (self.key(path), json!(self.tokens[user.as_ref()])),
            None => (PROVIDER.to_owned(), json!(user.as_ref())),
        };
        Value::Object(users.iter().map(login).collect())
    }
}
