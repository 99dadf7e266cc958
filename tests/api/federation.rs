//! A broker whose pool takes the ID tokens of a real issuer on loopback, under three login keys, and a developer's.

use serde_json::{Value, json};
use symbolon::config::Config;

use crate::client::{Answer, Broker, Developer, Visitor, broker_with};
use crate::harness::{self, DEVELOPER};
use crate::issuer::Issuer;

/// The client that the tokens are for.
pub const CLIENT: &str = "a-client";

/// The paths of the issuers: each is a provider of its own.
pub const PROVIDERS: [&str; 3] = ["a", "b", "c"];

pub struct Federation {
    pub broker: Broker,
    pub issuer: Issuer,
    pub developer: Developer,
    pub visitor: Visitor,
    /// A pool that admits guests.
    pub pool: String,
}

/// The claims that a test can see in a token without verifying it.
pub fn claims(token: &str) -> Value {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// Declares an OpenID Connect provider of the developer's tenant, with one client.
pub async fn declare(broker: &Broker, developer: &Developer, url: &str, client: &str) {
    let insert = "insert into oidc_providers (account_id, url, client_ids) values ($1, $2, $3)";
    let query = sqlx::query(insert).bind(developer.account.as_str()).bind(url).bind(json!([client]));
    query.execute(&mut *broker.db.conn().await).await.unwrap();
}

pub async fn federation() -> Federation {
    federation_with(|_| {}).await
}

/// The same with some other settings.
pub async fn federation_with(change: impl FnOnce(&mut Config)) -> Federation {
    let issuer = Issuer::start().await;
    let broker = broker_with(|config| {
        change(config);
        config.upstream.allow_http_issuers = PROVIDERS.iter().map(|path| format!("{}/{path}", issuer.url())).collect();
        // A quick machine makes more guests in a second than an address may; that limit has tests of its own.
        config.limits.guests_per_second_per_address = 0;
        config.limits.guests_per_second_per_pool = 0;
    })
    .await;
    let developer = broker.developer(1);
    for path in PROVIDERS {
        declare(&broker, &developer, &format!("{}/{path}", issuer.login_key()), CLIENT).await;
    }
    let visitor = broker.visitor();
    let mut made = Federation { broker, issuer, developer, visitor, pool: String::new() };
    made.pool = made.pool_with(json!({})).await;
    made
}

impl Federation {
    /// The login key of the provider at this path.
    pub fn key(&self, path: &str) -> String {
        format!("{}/{path}", self.issuer.login_key())
    }

    pub fn arn(&self, path: &str) -> String {
        format!("arn:aws:iam::{}:oidc-provider/{}", self.developer.account, self.key(path))
    }

    /// A pool with all three providers, and what else is said.
    pub async fn pool_with(&self, more: Value) -> String {
        self.developer.call("CreateIdentityPool", self.settings(&more)).await.member("IdentityPoolId")
    }

    /// Changes the pool.
    pub async fn update(&self, more: Value) {
        let mut settings = self.settings(&more);
        settings["IdentityPoolId"] = json!(self.pool);
        self.developer.call("UpdateIdentityPool", settings).await.ok();
    }

    fn settings(&self, more: &Value) -> Value {
        let mut settings = json!({
            "IdentityPoolName": "federated", "AllowUnauthenticatedIdentities": true, "DeveloperProviderName": DEVELOPER,
            "OpenIdConnectProviderARNs": PROVIDERS.map(|path| self.arn(path)),
        });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        settings
    }

    /// An ID token for a user of the provider at this path.
    pub fn token(&self, path: &str, user: &str) -> String {
        self.token_with(path, user, &json!({}))
    }

    /// The same with further or other claims.
    pub fn token_with(&self, path: &str, user: &str, more: &Value) -> String {
        let mut claims = self.issuer.claims(user, CLIENT);
        claims["iss"] = json!(format!("{}/{path}", self.issuer.url()));
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.issuer.token_with(&claims)
    }

    /// `Logins` of users, each `PATH:NAME`, or a bare name for the developer provider.
    pub fn logins(&self, users: &[&str]) -> Value {
        let login = |user: &&str| match user.split_once(':') {
            Some((path, name)) => (self.key(path), json!(self.token(path, name))),
            None => (DEVELOPER.to_owned(), json!(user)),
        };
        Value::Object(users.iter().map(login).collect())
    }

    pub async fn get_id(&self, users: &[&str]) -> Answer {
        let body = json!({ "IdentityPoolId": self.pool, "Logins": self.logins(users) });
        self.visitor.call("GetId", body).await
    }

    /// The identity of public users.
    pub async fn id(&self, users: &[&str]) -> String {
        self.get_id(users).await.member("IdentityId")
    }

    pub async fn guest(&self) -> String {
        self.visitor.get_id(&self.pool).await.member("IdentityId")
    }

    pub async fn open_id_token(&self, identity: &str, users: &[&str]) -> Answer {
        let body = json!({ "IdentityId": identity, "Logins": self.logins(users) });
        self.visitor.call("GetOpenIdToken", body).await
    }

    pub async fn credentials(&self, identity: &str, users: &[&str]) -> Answer {
        let body = json!({ "IdentityId": identity, "Logins": self.logins(users) });
        self.visitor.call("GetCredentialsForIdentity", body).await
    }

    /// Credentials for who proves an identity by a developer's token, or one of ours.
    pub async fn credentials_by(&self, identity: &str, token: &str) -> Answer {
        let body = json!({ "IdentityId": identity, "Logins": { "cognito-identity.amazonaws.com": token } });
        self.visitor.call("GetCredentialsForIdentity", body).await
    }

    /// Sets the pool's roles: those of kinds by their ARNs, and role mappings.
    pub async fn set_roles(&self, roles: Value, mappings: Value) {
        let body = json!({ "IdentityPoolId": self.pool, "Roles": roles, "RoleMappings": mappings });
        self.developer.call("SetIdentityPoolRoles", body).await.ok();
    }

    /// `GetOpenIdTokenForDeveloperIdentity` for users of both kinds.
    pub async fn developer_token(&self, identity: Option<&str>, users: &[&str]) -> Answer {
        let body = json!({ "IdentityPoolId": self.pool, "IdentityId": identity, "Logins": self.logins(users) });
        self.developer.call("GetOpenIdTokenForDeveloperIdentity", body).await
    }

    pub async fn unlink(&self, identity: &str, users: &[&str], remove: &[&str]) -> Answer {
        let remove: Vec<String> = remove.iter().map(|path| self.key(path)).collect();
        let body = json!({ "IdentityId": identity, "Logins": self.logins(users), "LoginsToRemove": remove });
        self.visitor.call("UnlinkIdentity", body).await
    }

    /// The names of an identity's providers as `DescribeIdentity` has them, by their paths.
    pub async fn providers(&self, identity: &str) -> Vec<String> {
        let described = self.developer.call("DescribeIdentity", json!({ "IdentityId": identity })).await.ok();
        let logins = described.json["Logins"].as_array().cloned().unwrap_or_default();
        let name = |login: &Value| {
            let login = login.as_str().unwrap();
            if login == DEVELOPER { "developer".to_owned() } else { login.rsplit('/').next().unwrap().to_owned() }
        };
        logins.iter().map(name).collect()
    }

    /// Asserts that nobody can use the identity any more.
    pub async fn is_forbidden(&self, identity: &str) {
        let body = json!({ "IdentityId": identity });
        for operation in ["GetOpenIdToken", "GetCredentialsForIdentity"] {
            let answer = self.visitor.call(operation, body.clone()).await;
            answer.refused("NotAuthorizedException", &format!("Access to Identity '{identity}' is forbidden."));
        }
    }

    /// Every row that a sign-in could have written, as text: the same text, the same state.
    pub async fn state(&self) -> String {
        let mut conn = self.broker.db.conn().await;
        harness::dump(&mut conn, &["identities", "logins"]).await.join("\n")
    }
}

/// Refusals that several tests wait for.
pub const NO_MATCH: &str =
    "Logins don't match. Please include at least one valid login for this identity or identity pool.";
pub const NO_GUESTS: &str = "Unauthenticated access is not supported for this identity pool.";
pub const NOT_SUPPORTED: &str = "Token is not from a supported provider of this identity pool.";
pub const NOT_PUBLIC: &str = "Please provide a valid public provider.";
pub const SECOND_USER: &str = "Login already linked to a different user of the same provider.";
pub const TOO_MANY: &str = "Too many linked logins.";
pub const REGISTERED: &str = "This developer user identifier is already registered with Cognito.";
