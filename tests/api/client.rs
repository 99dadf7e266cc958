//! The broker in this process and those who call it: whole requests and whole answers, without a socket between them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings};
use aws_sigv4::sign::v4;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use symbolon::app::App;
use symbolon::clock::Clock;
use symbolon::config::{Config, Sources};
use symbolon::http::Public;
use symbolon::ids::{AccessKeyId, AccountId};
use symbolon::installation::{self, Installation};
use symbolon::request::NOWHERE;
use symbolon::seal::Seal;
use symbolon::tenants::AccessKey;
use symbolon::tenants::access_key::Secret;

use crate::harness::{self, DEVELOPER, TestDb, fresh_db};

/// Two regions, and keys that are quickly made; the rest is as it comes.
const PROFILE: &str = r#"
    regions = ["us-east-1", "eu-west-1"]
    [issuer]
    algorithm = "ES256"
"#;

/// The region of a developer who was not told otherwise.
pub const HOME: &str = "us-east-1";
pub const ABROAD: &str = "eu-west-1";

/// One replica of a broker with two tenants.
pub struct Broker {
    pub app: Arc<App>,
    pub db: Arc<TestDb>,
}

/// The broker as most tests want it.
pub async fn broker() -> Broker {
    broker_with(|_| {}).await
}

/// A broker with some other settings.
pub async fn broker_with(change: impl FnOnce(&mut Config)) -> Broker {
    let db = Arc::new(fresh_db().await);
    let mut conn = db.conn().await;
    installation::unseal(&mut conn, &harness::seal()).await.unwrap();
    for number in [1, 2] {
        let account = harness::tenant(&mut conn, number).await;
        let (id, secret) = (key_id(number), Secret::new(&secret(number)));
        assert!(AccessKey::create(&mut conn, &harness::seal(), &id, &account, &secret).await.unwrap());
    }
    let broker = Broker { app: app(&db, change, false).await, db: Arc::clone(&db) };
    broker.tick().await;
    broker
}

async fn app(db: &TestDb, change: impl FnOnce(&mut Config), makes_dev_keys: bool) -> Arc<App> {
    app_sealed_by(harness::seal(), db, change, makes_dev_keys).await
}

async fn app_sealed_by(seal: Seal, db: &TestDb, change: impl FnOnce(&mut Config), makes_dev_keys: bool) -> Arc<App> {
    let mut config = Config::read(&Sources { profile: PROFILE, ..Sources::default() }).unwrap();
    change(&mut config);
    let mut conn = db.conn().await;
    let found = Installation::find(&mut conn).await.unwrap().unwrap();
    let state = installation::seal_state(&mut conn, &seal).await.unwrap();
    let mut app = App::new(config, db.another_pool(), Clock::System, seal, &found, state).unwrap();
    app.makes_dev_keys = makes_dev_keys;
    let app = Arc::new(app);
    let background = Arc::clone(&app);
    tokio::spawn(async move { background.arrivals.run(&background.db).await });
    app
}

/// The access key of the tenant of this number.
pub fn key_id(number: u64) -> AccessKeyId {
    AccessKeyId::parse(&format!("AKIA{number:016}")).unwrap()
}

fn secret(number: u64) -> String {
    format!("secret of {number}")
}

impl Broker {
    /// Another replica on the same database, which has not polled yet.
    pub async fn replica(&self) -> Self {
        self.replica_with(|_| {}).await
    }

    /// The same with some other settings.
    pub async fn replica_with(&self, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = self.app.config.clone();
        change(&mut config);
        let app = app(&self.db, |other| *other = config, self.app.makes_dev_keys).await;
        Self { app, db: Arc::clone(&self.db) }
    }

    /// Another replica, which has been given this ring of master keys.
    pub async fn replica_sealed_by(&self, seal: Seal) -> Self {
        let config = self.app.config.clone();
        let app = app_sealed_by(seal, &self.db, |other| *other = config, self.app.makes_dev_keys).await;
        Self { app, db: Arc::clone(&self.db) }
    }

    /// The same broker run by `symbolon dev`, or by `symbolon serve` on what it left.
    pub async fn in_dev_mode(&self, makes_dev_keys: bool, origins: &[&str]) -> Self {
        let mut config = self.app.config.clone();
        config.dev.allow_dev_credentials = true;
        config.dev.allowed_origins = origins.iter().map(ToString::to_string).collect();
        let app = app(&self.db, |other| *other = config, makes_dev_keys).await;
        Self { app, db: Arc::clone(&self.db) }
    }

    /// Reads the signing keys, and makes those that are missing.
    pub async fn tick(&self) {
        self.app.ring.tick(&self.app.db, &self.app.seal).await.unwrap();
    }

    /// Lets this replica notice what others have changed.
    pub async fn poll(&self) {
        self.app.ring.poll(&self.app.db, &self.app.seal).await.unwrap();
    }

    pub fn public(&self) -> Public {
        Public::new(&self.app)
    }

    /// The developer of the tenant of this number.
    pub fn developer(&self, number: u64) -> Developer {
        let (key, secret) = (key_id(number).as_str().to_owned(), secret(number));
        let (public, account, region) = (self.public(), harness::account(number), HOME.to_owned());
        Developer { public, account, key, secret, session_token: None, region }
    }

    /// Someone without an access key.
    pub fn visitor(&self) -> Visitor {
        Visitor { public: self.public() }
    }
}

/// Put into a request: whose connection it comes over.
#[derive(Clone, Copy)]
pub struct Peer(pub IpAddr);

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
    pub json: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The exception's name; nothing for a success.
    pub fn exception(&self) -> &str {
        self.json["__type"].as_str().unwrap_or_default()
    }

    /// The value of a text member of a success.
    #[track_caller]
    pub fn member(&self, name: &str) -> String {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        self.json[name].as_str().unwrap().to_owned()
    }

    /// Asserts a success.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        self
    }

    /// Asserts a refusal with this exception and text.
    #[track_caller]
    pub fn refused(&self, exception: &str, message: &str) {
        let text = self.json["message"].as_str().or(self.json["Message"].as_str());
        assert_eq!((self.exception(), text), (exception, Some(message)), "{self:?}");
        assert_eq!(self.status, StatusCode::BAD_REQUEST);
    }

    /// Asserts that a request signed so was not believed.
    #[track_caller]
    pub fn unknown_key(&self) {
        self.refused("UnrecognizedClientException", "The security token included in the request is invalid.");
    }

    /// Asserts that there is no such pool.
    #[track_caller]
    pub fn no_pool(&self, id: &str) {
        self.refused("ResourceNotFoundException", &format!("IdentityPool '{id}' not found."));
    }

    /// Asserts that there is no such identity.
    #[track_caller]
    pub fn no_identity(&self, id: &str) {
        self.refused("ResourceNotFoundException", &format!("Identity '{id}' not found."));
    }
}

/// Sends a request whose body and headers are as given.
pub async fn send(public: &Public, request: Request<Body>) -> Answer {
    let peer = request.extensions().get().map_or(NOWHERE, |Peer(address)| *address);
    let of_program =
        request.method() == "POST" && request.uri().path() == "/" && !request.headers().contains_key("origin");
    let (head, body) = public.clone().answer(peer, request).await.into_parts();
    assert_eq!(head.headers.contains_key("access-control-allow-origin"), !of_program);
    let bytes = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let json = serde_json::from_str(&text).unwrap_or_default();
    Answer { status: head.status, headers: head.headers, text, json }
}

/// The head and body of a call that nobody has signed yet.
pub fn unsigned(operation: &str, body: impl Into<Body>) -> Request<Body> {
    let target = format!("AWSCognitoIdentityService.{operation}");
    let request = Request::post("/").header("host", "broker.example.com").header("x-amz-target", target);
    request.header("content-type", "application/x-amz-json-1.1").body(body.into()).unwrap()
}

/// Someone with an access key of a tenant.
#[derive(Clone)]
pub struct Developer {
    public: Public,
    pub account: AccountId,
    pub key: String,
    pub secret: String,
    /// Of temporary credentials.
    pub session_token: Option<String>,
    pub region: String,
}

impl Developer {
    /// The same developer in another region.
    pub fn in_region(&self, region: &str) -> Self {
        Self { region: region.to_owned(), ..self.clone() }
    }

    /// The same developer with another access key.
    pub fn with_key(&self, key: &str, secret: &str) -> Self {
        Self { key: key.to_owned(), secret: secret.to_owned(), session_token: None, ..self.clone() }
    }

    /// Whoever has these temporary credentials.
    pub fn with_session(&self, key: &str, secret: &str, token: &str) -> Self {
        Self { session_token: Some(token.to_owned()), ..self.with_key(key, secret) }
    }

    /// The call, signed by Amazon's own code.
    pub fn sign(&self, operation: &str, body: &str) -> Request<Body> {
        self.sign_request(unsigned(operation, body.to_owned()), body)
    }

    /// The same for a request that is otherwise complete.
    pub fn sign_request(&self, request: Request<Body>, body: &str) -> Request<Body> {
        self.sign_for("cognito-identity", request, body)
    }

    /// The same for another service.
    #[expect(clippy::disallowed_methods, reason = "the signer of a real client reads the real clock")]
    pub fn sign_for(&self, service: &str, mut request: Request<Body>, body: &str) -> Request<Body> {
        let identity = Credentials::new(&self.key, &self.secret, self.session_token.clone(), None, "test").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(service)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
        let body = SignableBody::Bytes(body.as_bytes());
        let signable = SignableRequest::new("POST", "https://broker.example.com/", headers, body).unwrap();
        let (instructions, _) = aws_sigv4::http_request::sign(signable, &params).unwrap().into_parts();
        for (name, value) in instructions.headers() {
            request.headers_mut().insert(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
        }
        request
    }

    pub async fn call(&self, operation: &str, body: Value) -> Answer {
        send(&self.public, self.sign(operation, &body.to_string())).await
    }

    /// Sends a request that is signed, or not.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        send(&self.public, request).await
    }

    /// A pool with this developer provider, and whether guests are welcome.
    pub async fn pool_with(&self, provider: Option<&str>, guests: bool) -> String {
        let pool = json!({
            "IdentityPoolName": "a pool", "AllowUnauthenticatedIdentities": guests, "DeveloperProviderName": provider,
        });
        self.call("CreateIdentityPool", pool).await.member("IdentityPoolId")
    }

    /// A pool for developer users and guests.
    pub async fn pool(&self) -> String {
        self.pool_with(Some(DEVELOPER), true).await
    }

    /// A token for a user, or why there is none.
    pub async fn token(&self, pool: &str, user: &str) -> Answer {
        let body = json!({ "IdentityPoolId": pool, "Logins": { DEVELOPER: user } });
        self.call("GetOpenIdTokenForDeveloperIdentity", body).await
    }

    /// The identity of a user.
    pub async fn identity(&self, pool: &str, user: &str) -> String {
        self.token(pool, user).await.member("IdentityId")
    }
}

/// Someone who signs nothing.
#[derive(Clone)]
pub struct Visitor {
    pub public: Public,
}

impl Visitor {
    pub async fn call(&self, operation: &str, body: Value) -> Answer {
        send(&self.public, unsigned(operation, body.to_string())).await
    }

    /// A new guest, or why there is none.
    pub async fn get_id(&self, pool: &str) -> Answer {
        self.call("GetId", json!({ "IdentityPoolId": pool })).await
    }

    /// What is at a path.
    pub async fn get(&self, path: &str) -> Answer {
        send(&self.public, Request::get(path).body(Body::empty()).unwrap()).await
    }
}
