//! A client of the broker that Amazon's own signer signs for.

use std::fmt::Write as _;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings};
use aws_sigv4::sign::v4;
use axum::http::Request;
use axum::http::request::Parts;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::overheard;

/// The developer provider of every pool here.
pub const PROVIDER: &str = "login.example.com";

/// No request takes longer, whatever befalls the broker.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
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

    /// The value of a member of a success.
    #[track_caller]
    pub fn member(&self, name: &str) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        self.json[name].as_str().unwrap().to_owned()
    }

    /// The service could not answer, and says when to come again.
    #[track_caller]
    pub fn is_internal_error(&self) {
        assert_eq!((self.status, self.exception()), (500, "InternalErrorException"), "{self:?}");
        assert_eq!(self.header("retry-after"), "1", "{self:?}");
    }
}

/// How long a connection without a request is kept: less than a broker does (`server.header_timeout`), or a request might be
/// on its way when the broker closes it.
const KEPT: Duration = Duration::from_secs(4);

/// One pool of connections that stay open, as an SDK's.
pub fn http() -> reqwest::Client {
    reqwest::Client::builder().timeout(TIMEOUT).pool_idle_timeout(KEPT).no_proxy().build().unwrap()
}

fn shared() -> reqwest::Client {
    // Cloned by every test: connections belong to the runtime that made them, so none is kept idle.
    static SHARED: OnceLock<reqwest::Client> = OnceLock::new();
    let make = || reqwest::Client::builder().timeout(TIMEOUT).no_proxy().pool_max_idle_per_host(0).build().unwrap();
    SHARED.get_or_init(make).clone()
}

pub async fn get(url: &str) -> reqwest::Result<Answer> {
    get_by(&shared(), url).await
}

/// The same over connections of the caller's own.
pub async fn get_by(http: &reqwest::Client, url: &str) -> reqwest::Result<Answer> {
    answer(http.get(url).send().await?).await
}

/// What comes back for a request, over connections of the caller's own.
pub async fn send_by(http: &reqwest::Client, request: &Signed) -> reqwest::Result<Answer> {
    let Signed { url, headers, body } = request.clone();
    answer(http.post(url).headers(headers).body(body).send().await?).await
}

async fn answer(response: reqwest::Response) -> reqwest::Result<Answer> {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await?;
    let json = serde_json::from_str(&text).unwrap_or_default();
    overheard::remember_answer(&text);
    Ok(Answer { status, headers, text, json })
}

/// A developer with an access key.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    key: String,
    secret: String,
}

/// A request with its signature, if it has one, good for any number of sendings.
#[derive(Clone)]
pub struct Signed {
    pub url: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Signed {
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(HeaderName::from_static(name), value.parse().unwrap());
        self
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// The head of the request and its body, as a server has them.
    pub fn received(&self) -> (Parts, String) {
        let mut request = Request::post("/").body(self.body.clone()).unwrap();
        let host = self.url.trim_start_matches("http://").parse().unwrap();
        request.headers_mut().extend(self.headers.clone());
        request.headers_mut().insert("host", host);
        request.into_parts()
    }

    /// The request as it goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let host = self.url.trim_start_matches("http://");
        let mut head = format!("POST / HTTP/1.1\r\nhost: {host}\r\ncontent-length: {}\r\n", self.body.len());
        for (name, value) in &self.headers {
            write!(head, "{name}: {}\r\n", value.to_str().unwrap()).unwrap();
        }
        format!("{head}\r\n{}", self.body).into_bytes()
    }
}

impl Client {
    pub fn new(key: &str, secret: &str) -> Self {
        overheard::remember(secret);
        Self { http: http(), key: key.to_owned(), secret: secret.to_owned() }
    }

    /// With the well-known credentials of dev mode.
    pub fn dev() -> Self {
        Self::new("test", "test")
    }

    /// A signed request for the broker at `url`.
    pub fn sign(&self, url: &str, operation: &str, body: &Value) -> Signed {
        self.sign_for("cognito-identity", unsigned(url, operation, body))
    }

    /// A request that this developer signs for a service.
    pub fn sign_for(&self, service: &str, request: Signed) -> Signed {
        signed_with(Credentials::new(&self.key, &self.secret, None, None, "test"), service, request)
    }

    pub async fn send(&self, request: &Signed) -> reqwest::Result<Answer> {
        send_by(&self.http, request).await
    }

    pub async fn call(&self, url: &str, operation: &str, body: &Value) -> Answer {
        self.send(&self.sign(url, operation, body)).await.unwrap()
    }

    /// A pool whose users the caller vouches for, and that takes guests too.
    pub async fn create_pool(&self, url: &str) -> String {
        let pool = json!({ "IdentityPoolName": "first", "AllowUnauthenticatedIdentities": true,
                           "DeveloperProviderName": PROVIDER });
        self.call(url, "CreateIdentityPool", &pool).await.member("IdentityPoolId")
    }

    pub fn token_request(&self, url: &str, pool: &str, user: &str) -> Signed {
        self.sign(url, "GetOpenIdTokenForDeveloperIdentity", &token_input(pool, user))
    }

    /// A user's token, or why there is none.
    pub async fn token(&self, url: &str, pool: &str, user: &str) -> Answer {
        self.call(url, "GetOpenIdTokenForDeveloperIdentity", &token_input(pool, user)).await
    }

    /// A user's identity.
    pub async fn identity(&self, url: &str, pool: &str, user: &str) -> String {
        self.token(url, pool, user).await.member("IdentityId")
    }
}

fn token_input(pool: &str, user: &str) -> Value {
    json!({ "IdentityPoolId": pool, "Logins": { PROVIDER: user } })
}

/// The request with a signature by these credentials.
#[expect(clippy::disallowed_methods, reason = "the signer of a real client reads the real clock")]
pub fn signed_with(credentials: Credentials, service: &str, request: Signed) -> Signed {
    let Signed { url, mut headers, body } = request;
    let identity = credentials.into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name(service)
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let plain: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    let signable =
        SignableRequest::new("POST", format!("{url}/"), plain.into_iter(), SignableBody::Bytes(body.as_bytes()));
    let (instructions, _) = aws_sigv4::http_request::sign(signable.unwrap(), &params).unwrap().into_parts();
    for (name, value) in instructions.headers() {
        headers.insert(HeaderName::try_from(name).unwrap(), value.parse().unwrap());
    }
    Signed { url, headers, body }
}

/// A request for the broker at `url` that nobody signs.
pub fn unsigned(url: &str, operation: &str, body: &Value) -> Signed {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/x-amz-json-1.1"));
    headers.insert("x-amz-target", format!("AWSCognitoIdentityService.{operation}").parse().unwrap());
    Signed { url: url.to_owned(), headers, body: body.to_string() }
}

/// So many bytes that say nothing.
pub async fn send_blanks(url: &str, length: usize) -> Answer {
    let request = shared().post(url).header("x-amz-target", "AWSCognitoIdentityService.GetId");
    answer(request.body(" ".repeat(length)).send().await.unwrap()).await.unwrap()
}

/// A call that nobody signed.
pub async fn call_unsigned(url: &str, operation: &str, body: &Value) -> Answer {
    let request = shared().post(url).header("content-type", "application/x-amz-json-1.1");
    let request = request.header("x-amz-target", format!("AWSCognitoIdentityService.{operation}"));
    answer(request.body(body.to_string()).send().await.unwrap()).await.unwrap()
}

/// A guest of the pool.
pub async fn get_id(url: &str, pool: &str) -> Answer {
    call_unsigned(url, "GetId", &json!({ "IdentityPoolId": pool })).await
}
