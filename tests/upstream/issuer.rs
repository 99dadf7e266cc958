//! An OpenID Connect issuer for tests: a real HTTP server on loopback, with or without TLS, that counts who asks it for
//! what, and misbehaves on demand. It needs nothing of the test binary it is included in.
//!
//! `Issuer::start().await` is an issuer without TLS: name its `url()` in `upstream.allow_http_issuers`. It serves any
//! number of issuers, one under each path of its own, with the same keys. It lives as long as its runtime and itself.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use serde_json::{Value, json};
use symbolon::clock::Clock;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

#[path = "faults.rs"]
pub mod faults;
#[path = "minting.rs"]
pub mod minting;

pub use faults::Fault;
use faults::{Answer, faulty, whole};
use minting::Key;

/// What every issuer's path ends in (OpenID Connect Discovery 1.0 section 4).
pub const DISCOVERY: &str = "/.well-known/openid-configuration";
/// Where the keys are, below the issuer.
pub const KEYS: &str = "/keys";
/// Where tokens are introspected (RFC 7662).
pub const INTROSPECTION: &str = "/introspect";

struct State {
    origin: String,
    keys: Vec<Value>,
    signs_with: Key,
    faults: Vec<(String, Fault)>,
    hits: BTreeMap<String, usize>,
    connections: usize,
    cache_control: Option<String>,
    revoked: Vec<String>,
    introspected: Vec<String>,
    asked_with: Vec<(String, Vec<(String, String)>)>,
}

/// The issuer. It stops when dropped.
pub struct Issuer {
    url: String,
    port: u16,
    ca_pem: String,
    state: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Issuer {
    /// An issuer without TLS, `http://127.0.0.1:PORT`, with one RSA key.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self::serve(listener, format!("http://127.0.0.1:{port}"), None, String::new())
    }

    /// An issuer with TLS, `https://HOST:PORT`, on loopback, by a certificate of an authority of its own
    /// ([`ca_pem`](Self::ca_pem)).
    pub async fn start_tls(host: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (acceptor, ca_pem) = certified(host);
        let name = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        Self::serve(listener, format!("https://{name}:{port}"), Some(acceptor), ca_pem)
    }

    fn serve(listener: TcpListener, url: String, tls: Option<TlsAcceptor>, ca_pem: String) -> Self {
        let key = Key::rsa(0, "first", "RS256");
        let state = Arc::new(Mutex::new(State {
            origin: url.clone(),
            keys: vec![key.jwk()],
            signs_with: key,
            faults: Vec::new(),
            hits: BTreeMap::new(),
            connections: 0,
            cache_control: None,
            revoked: Vec::new(),
            introspected: Vec::new(),
            asked_with: Vec::new(),
        }));
        let port = listener.local_addr().unwrap().port();
        let accepting = tokio::spawn(accept(listener, tls, Arc::clone(&state)));
        Self { url, port, ca_pem, state, accepting }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its `iss`: the URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its key in `Logins`, and the URL of its provider in IAM: without the scheme.
    pub fn login_key(&self) -> &str {
        self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest)
    }

    /// The port it listens on, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The authority of its certificate, if it has one: what `upstream.ca_file` is to hold.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The claims of a proper ID token, of ten minutes from now.
    pub fn claims(&self, sub: &str, client_id: &str) -> Value {
        self.claims_at(Clock::System.wall().unix_timestamp(), sub, client_id)
    }

    /// The claims of a proper ID token made at `now` (epoch seconds), for ten minutes.
    pub fn claims_at(&self, now: i64, sub: &str, client_id: &str) -> Value {
        json!({"iss": self.url, "sub": sub, "aud": client_id, "iat": now, "exp": now + 600})
    }

    /// A proper ID token, valid for ten minutes.
    pub fn token(&self, sub: &str, client_id: &str) -> String {
        self.token_with(&self.claims(sub, client_id))
    }

    /// A token with these claims and no others, signed by the current key.
    pub fn token_with(&self, claims: &Value) -> String {
        self.key().token(claims)
    }

    /// The key that signs now.
    pub fn key(&self) -> Key {
        self.state().signs_with.clone()
    }

    /// Publishes `key`, and signs with it from now on. The others stay published.
    pub fn sign_with(&self, key: Key) {
        let mut state = self.state();
        state.keys.push(key.jwk());
        state.signs_with = key;
    }

    /// Signs with a new RSA key from now on, and gives its `kid`. The one before stays published.
    pub fn rotate(&self) -> String {
        let kid = format!("rotated-{}", self.state().keys.len());
        self.sign_with(Key::rsa(1, &kid, "RS256"));
        kid
    }

    /// Publishes a key as it is given, after the others.
    pub fn publish(&self, jwk: Value) {
        self.state().keys.push(jwk);
    }

    /// Publishes no key of this `kid` any more.
    pub fn remove_key(&self, kid: &str) {
        self.state().keys.retain(|jwk| jwk["kid"] != *kid);
    }

    /// From now on, what is asked of a path that ends in `path` is answered so.
    pub fn misbehave(&self, path: &str, fault: Fault) {
        self.state().faults.push((path.to_owned(), fault));
    }

    /// No faults any more.
    pub fn behave(&self) {
        self.state().faults.clear();
    }

    /// What `Cache-Control` says on all answers from now on.
    pub fn set_cache_control(&self, value: &str) {
        self.state().cache_control = Some(value.to_owned());
    }

    /// From now on the introspection of `token` says that it is not active; that of all others says that they are.
    pub fn revoke(&self, token: &str) {
        self.state().revoked.push(token.to_owned());
    }

    /// The bodies that introspection was asked with.
    pub fn introspected(&self) -> Vec<String> {
        self.state().introspected.clone()
    }

    /// The headers of each request, by its path.
    pub fn asked_with(&self) -> Vec<(String, Vec<(String, String)>)> {
        self.state().asked_with.clone()
    }

    /// The requests so far.
    pub fn hits(&self) -> usize {
        self.state().hits.values().sum()
    }

    /// The requests so far of paths that end in `path`, such as [`DISCOVERY`] or [`KEYS`].
    pub fn hits_of(&self, path: &str) -> usize {
        self.state().hits.iter().filter(|(asked, _)| asked.ends_with(path)).map(|(_, count)| count).sum()
    }

    /// The connections so far, whether or not a request came over them.
    pub fn connections(&self) -> usize {
        self.state().connections
    }
}

/// A certificate for `host`, and the authority behind it.
fn certified(host: &str) -> (TlsAcceptor, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pair = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&pair).unwrap();
    let ca_pem = minting::pem("CERTIFICATE", certificate.der());
    let authority = rcgen::Issuer::new(params, pair);

    let own = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let leaf = params.signed_by(&own, &authority).unwrap();
    let key = PrivateKeyDer::try_from(own.serialize_der()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), ca_pem)
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        locked(&state).connections += 1;
        tokio::spawn(connection(stream, tls.clone(), Arc::clone(&state)));
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, state: Arc<Mutex<State>>) {
    match tls {
        None => serve_on(stream, state).await,
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                serve_on(stream, state).await;
            }
        }
    }
}

async fn serve_on(stream: impl AsyncRead + AsyncWrite + Unpin + Send, state: Arc<Mutex<State>>) {
    let service = service_fn(|request| answer(request, Arc::clone(&state)));
    // A caller that gives up, or is given up, breaks its connection; that concerns nobody else.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, state: Arc<Mutex<State>>) -> Answer {
    let path = request.uri().path().to_owned();
    let headers = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let (document, fault, cache_control) = {
        let mut state = locked(&state);
        *state.hits.entry(path.clone()).or_default() += 1;
        state.asked_with.push((path.clone(), headers));
        let document = state.document(&path, &body);
        let fault = state.faults.iter().find(|(end, _)| path.ends_with(end)).map(|(_, fault)| fault.clone());
        (document, fault, state.cache_control.clone())
    };
    let mut answer = match fault {
        Some(fault) => faulty(fault, document).await?,
        None => match document {
            Some(document) => whole(StatusCode::OK, document.to_string()),
            None => whole(StatusCode::NOT_FOUND, "{}".to_owned()),
        },
    };
    if let Some(value) = cache_control {
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_str(&value).unwrap());
    }
    Ok(answer)
}

impl State {
    /// The truth at `path`.
    fn document(&mut self, path: &str, body: &[u8]) -> Option<Value> {
        if let Some(prefix) = path.strip_suffix(DISCOVERY) {
            let issuer = format!("{}{prefix}", self.origin);
            let jwks_uri = format!("{issuer}{KEYS}");
            return Some(json!({
                "issuer": issuer,
                "jwks_uri": jwks_uri,
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }));
        }
        if path.ends_with(KEYS) {
            return Some(json!({"keys": self.keys}));
        }
        if path.ends_with(INTROSPECTION) {
            let form = String::from_utf8_lossy(body).into_owned();
            let token = form_urlencoded::parse(body).find(|(name, _)| name == "token").map(|(_, token)| token);
            let active = token.is_some_and(|token| !self.revoked.iter().any(|revoked| *revoked == token));
            self.introspected.push(form);
            return Some(json!({"active": active}));
        }
        None
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
