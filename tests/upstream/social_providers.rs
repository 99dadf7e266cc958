//! Facebook, Login with Amazon and Twitter as far as they tell whose a token is: one real HTTP server on loopback that
//! answers as their documentation says, remembers what it was asked, and misbehaves on demand.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use symbolon::clock::Clock;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::issuer::Fault;
use crate::issuer::faults::{Answer, faulty, whole};

pub const FACEBOOK: &str = "graph.facebook.com";
pub const AMAZON: &str = "www.amazon.com";
pub const TWITTER: &str = "api.twitter.com";

/// Where Facebook tells the application, and the user.
pub const APP: &str = "/facebook/v23.0/app";
pub const ME: &str = "/facebook/v23.0/me";
pub const TOKEN_INFO: &str = "/amazon/auth/o2/tokeninfo";
pub const CREDENTIALS: &str = "/twitter/1.1/account/verify_credentials.json";

/// Twitter's only application, but for what a test adds.
pub const CONSUMER: (&str, &str) = ("consumer-key", "consumer-s3cret");

/// A request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub path: String,
    /// Decoded, in its order.
    pub query: Vec<(String, String)>,
    pub raw_query: String,
    pub authorization: String,
}

#[derive(Default)]
struct State {
    origin: String,
    /// The application and the user of each token.
    facebook: BTreeMap<String, (String, String)>,
    /// What is told of each token.
    amazon: BTreeMap<String, Value>,
    consumers: BTreeMap<String, String>,
    /// The consumer, the secret and the user of each token.
    twitter: BTreeMap<String, (String, String, String)>,
    nonces: BTreeSet<String>,
    faults: Vec<(String, Fault)>,
    asked: Vec<Asked>,
}

/// The server. It stops when dropped.
pub struct Providers {
    url: String,
    state: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

impl Drop for Providers {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Providers {
    /// On a port of its own, with this clock.
    pub async fn start(clock: Clock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let consumers = BTreeMap::from([(CONSUMER.0.to_owned(), CONSUMER.1.to_owned())]);
        let state = Arc::new(Mutex::new(State { origin: url.clone(), consumers, ..State::default() }));
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (state, clock) = (Arc::clone(&shared), clock.clone());
                tokio::spawn(async move {
                    let service = service_fn(|request| answer(request, Arc::clone(&state), clock.clone()));
                    // A caller that gives up breaks its connection; that concerns nobody else.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { url, state, accepting }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// The settings of the section `upstream` that lead here.
    pub fn settings(&self) -> [(&'static str, String); 3] {
        [
            ("facebook_graph", format!("{}/facebook/v23.0/", self.url)),
            ("amazon_token_info", format!("{}{TOKEN_INFO}", self.url)),
            ("twitter_verify_credentials", format!("{}{CREDENTIALS}", self.url)),
        ]
    }

    /// A token of Facebook.
    pub fn facebook(&self, token: &str, app: &str, user: &str) {
        self.state().facebook.insert(token.to_owned(), (app.to_owned(), user.to_owned()));
    }

    /// A token of Amazon, for a client `amzn1.application-oa2-client.APP` of the application `amzn1.application.APP`.
    pub fn amazon(&self, token: &str, app: &str, user: &str) {
        let (aud, app_id) = (format!("amzn1.application-oa2-client.{app}"), format!("amzn1.application.{app}"));
        let info = json!({"iss": "https://www.amazon.com", "user_id": user, "aud": aud, "app_id": app_id, "exp": 3597,
                          "iat": 1_311_280_970});
        self.state().amazon.insert(token.to_owned(), info);
    }

    /// A token of Twitter for its application.
    pub fn twitter(&self, token: &str, secret: &str, user: &str) {
        self.twitter_of(CONSUMER.0, token, secret, user);
    }

    /// A token of Twitter for another application.
    pub fn twitter_of(&self, consumer: &str, token: &str, secret: &str, user: &str) {
        let known = (consumer.to_owned(), secret.to_owned(), user.to_owned());
        self.state().twitter.insert(token.to_owned(), known);
    }

    /// Another application of Twitter.
    pub fn consumer(&self, key: &str, secret: &str) {
        self.state().consumers.insert(key.to_owned(), secret.to_owned());
    }

    /// From now on no token holds that held until now.
    pub fn revoke_all(&self) {
        let mut state = self.state();
        state.facebook.clear();
        state.amazon.clear();
        state.twitter.clear();
    }

    /// From now on what is asked of a path that ends in `path` is answered so.
    pub fn misbehave(&self, path: &str, fault: Fault) {
        self.state().faults.push((path.to_owned(), fault));
    }

    /// No faults any more.
    pub fn behave(&self) {
        self.state().faults.clear();
    }

    /// The requests since this was asked last.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state().asked)
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(request: Request<Incoming>, state: Arc<Mutex<State>>, clock: Clock) -> Answer {
    let raw_query = request.uri().query().unwrap_or_default().to_owned();
    let asked = Asked {
        path: request.uri().path().to_owned(),
        query: form_urlencoded::parse(raw_query.as_bytes()).into_owned().collect(),
        raw_query,
        authorization: request
            .headers()
            .get("authorization")
            .map_or(String::new(), |value| value.to_str().unwrap_or_default().to_owned()),
    };
    let (status, document, fault) = {
        let mut state = locked(&state);
        let (status, document) = if request.method() == "GET" {
            state.truth(&asked, clock.wall().unix_timestamp())
        } else {
            (405, json!({}))
        };
        let fault = state.faults.iter().find(|(end, _)| asked.path.ends_with(end)).map(|(_, fault)| fault.clone());
        state.asked.push(asked);
        (status, document, fault)
    };
    match fault {
        Some(fault) => faulty(fault, Some(document)).await,
        None => Ok(whole(StatusCode::from_u16(status).unwrap(), document.to_string())),
    }
}

impl State {
    fn truth(&mut self, asked: &Asked, now: i64) -> (u16, Value) {
        let token = match &asked.query[..] {
            [(name, token), ..] if name == "access_token" => token.as_str(),
            _ => "",
        };
        match asked.path.as_str() {
            APP | ME => match self.facebook.get(token) {
                Some((app, user)) => (200, json!({"id": if asked.path == APP { app } else { user }})),
                None => (
                    400,
                    json!({"error": {"message": "Invalid OAuth access token.", "type": "OAuthException", "code": 190,
                                     "fbtrace_id": "AbCdEf"}}),
                ),
            },
            TOKEN_INFO => match self.amazon.get(token) {
                Some(info) => (200, info.clone()),
                None => (
                    400,
                    json!({"error": "invalid_token", "error_description": "The request has an invalid parameter"}),
                ),
            },
            CREDENTIALS => match self.verified(asked, now) {
                Ok(user) => (200, json!({"id_str": user, "id": 1, "screen_name": "a_name"})),
                Err(code) => (401, json!({"errors": [{"code": code, "message": "No."}]})),
            },
            _ => (404, json!({})),
        }
    }

    /// The user of a signed request (RFC 5849 section 3.2), or the code of Twitter's error.
    fn verified(&mut self, asked: &Asked, now: i64) -> Result<String, i64> {
        let header = asked.authorization.strip_prefix("OAuth ").ok_or(215)?;
        let mut given = BTreeMap::new();
        for part in header.split(',') {
            let (name, value) = part.trim().split_once('=').ok_or(215)?;
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).ok_or(215)?;
            given.insert(name.to_owned(), decoded(value));
        }
        let of = |name: &str| given.get(name).cloned().ok_or(215);
        let signature = of("oauth_signature")?;
        if (of("oauth_signature_method")?.as_str(), of("oauth_version")?.as_str()) != ("HMAC-SHA1", "1.0") {
            return Err(215);
        }
        if (of("oauth_timestamp")?.parse::<i64>().map_err(|_| 215)? - now).abs() > 300 {
            return Err(135);
        }
        let consumer_secret = self.consumers.get(&of("oauth_consumer_key")?).ok_or(32)?;
        let (consumer, token_secret, user) = self.twitter.get(&of("oauth_token")?).ok_or(89)?;
        if *consumer != of("oauth_consumer_key")? {
            return Err(89);
        }
        let mut parameters: Vec<(String, String)> =
            given.iter().filter(|(name, _)| *name != "oauth_signature").map(|(n, v)| (plain(n), plain(v))).collect();
        parameters.extend(asked.query.iter().map(|(name, value)| (plain(name), plain(value))));
        parameters.sort();
        let joined = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        let base = ["GET", &plain(&format!("{}{}", self.origin, asked.path)), &plain(&joined)].join("&");
        let expected = hmac_sha1(&format!("{}&{}", plain(consumer_secret), plain(token_secret)), &base);
        let user = user.clone();
        if base64::engine::general_purpose::STANDARD.encode(expected) != signature {
            return Err(32);
        }
        if !self.nonces.insert(of("oauth_nonce")?) {
            return Err(215);
        }
        Ok(user)
    }
}

/// Percent-encoding by another road than the broker's.
fn plain(text: &str) -> String {
    let form: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
    form.replace('+', "%20").replace('*', "%2A").replace("%7E", "~")
}

fn decoded(text: &str) -> String {
    let form = format!("x={}", text.replace('+', "%2B"));
    form_urlencoded::parse(form.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// RFC 2104 by its definition, over SHA-1.
fn hmac_sha1(key: &str, text: &str) -> Vec<u8> {
    let hash =
        |bytes: &[u8]| aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec();
    let mut block = if key.len() > 64 { hash(key.as_bytes()) } else { key.as_bytes().to_vec() };
    block.resize(64, 0);
    let padded = |pad: u8| block.iter().map(|byte| byte ^ pad).collect::<Vec<u8>>();
    let inner = hash(&[&padded(0x36)[..], text.as_bytes()].concat());
    hash(&[&padded(0x5c)[..], &inner].concat())
}
