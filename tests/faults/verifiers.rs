//! Verifiers of tokens as there are in the world, each with its own way to come by keys and to keep them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;

use crate::broker::ISSUER;
use crate::client::Answer;

/// A token, taken apart once for all who look at it.
pub struct Token {
    pub text: String,
    pub kid: String,
    pub iat: i64,
    pub exp: i64,
    message: String,
    signature: Vec<u8>,
}

impl Token {
    pub fn parse(text: String) -> Self {
        let parts: Vec<&str> = text.split('.').collect();
        let json = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        let (head, claims) = (json(parts[0]), json(parts[1]));
        let time = |name: &str| claims[name].as_i64().unwrap();
        Self {
            kid: head["kid"].as_str().unwrap().to_owned(),
            iat: time("iat"),
            exp: time("exp"),
            message: format!("{}.{}", parts[0], parts[1]),
            signature: URL_SAFE_NO_PAD.decode(parts[2]).unwrap(),
            text,
        }
    }
}

/// A JWKS as a verifier got it.
pub struct Fetched {
    text: String,
    /// Names and points, in the order in which they were shown.
    keys: Vec<(String, Vec<u8>)>,
    at: Instant,
    max_age: Duration,
}

impl Fetched {
    /// What a replica answered; its age counts from now on.
    pub fn of(answer: &Answer) -> Self {
        let mut directives = answer.header("cache-control").split(',').map(str::trim);
        let max_age = directives.find_map(|directive| directive.strip_prefix("max-age=")).unwrap();
        let point = |key: &Value| {
            let number = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
            [vec![4], number("x"), number("y")].concat()
        };
        let keys = answer.json["keys"].as_array().unwrap().iter();
        Self {
            text: answer.text.clone(),
            keys: keys.map(|key| (key["kid"].as_str().unwrap().to_owned(), point(key))).collect(),
            at: Instant::now(),
            max_age: Duration::from_secs(max_age.parse().unwrap()),
        }
    }

    fn is_old(&self, now: Instant) -> bool {
        now.duration_since(self.at) > self.max_age
    }

    fn key(&self, kid: &str) -> Option<&[u8]> {
        self.keys.iter().find(|(name, _)| name == kid).map(|(_, point)| point.as_slice())
    }
}

/// Whether the key made the signature.
fn signed_by(key: &[u8], token: &Token) -> bool {
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key);
    key.verify(token.message.as_bytes(), &token.signature).is_ok()
}

/// One way to come by keys. What a token claims of its times is for whoever asks.
pub trait Verifier: Send {
    /// Whether it fetches the JWKS first, to look at a token of this key.
    fn fetches(&self, kid: &str, now: Instant) -> bool;

    /// Takes over what it fetched.
    fn learn(&mut self, fetched: Fetched);

    /// Whether it accepts the token's signature with what it knows.
    fn accepts(&self, token: &Token) -> bool;
}

/// What a kind is called, and a fresh one of it.
pub type Kind = (&'static str, fn() -> Box<dyn Verifier>);

pub const STRICT: usize = 0;
pub const REFETCHING: usize = 1;
pub const FIRST_KEY: usize = 4;

/// Every kind that there is.
pub const KINDS: [Kind; 6] = [
    ("one that keeps a JWKS for its max-age, and asks for none before", || Box::<Strict>::default()),
    ("one that asks again for a key that it does not know (go-oidc 3)", || Box::<Refetching>::default()),
    ("one that does so only when its JWKS is old (go-oidc 2)", || Box::<GoOidc2>::default()),
    ("one that forgets no key (MinIO)", || Box::<NeverPruning>::default()),
    ("one that takes the first key, with no turn between minting and looking (old Ceph)", || {
        Box::<FirstKey>::default()
    }),
    ("a real library: jsonwebtoken with its JwkSet", || Box::<Library>::default()),
];

/// Keeps a set for its max-age and asks for none before, whatever it is shown: Envoy's `jwt_authn` with that as its
/// `cache_duration`, and whatever sits behind an HTTP cache.
#[derive(Default)]
struct Strict(Option<Fetched>);

impl Verifier for Strict {
    fn fetches(&self, _: &str, now: Instant) -> bool {
        self.0.as_ref().is_none_or(|set| set.is_old(now))
    }

    fn learn(&mut self, fetched: Fetched) {
        self.0 = Some(fetched);
    }

    fn accepts(&self, token: &Token) -> bool {
        known(self.0.as_ref(), token)
    }
}

/// Keeps a set until a token names a key that is not in it, as OpenID Connect Core 1.0 section 10.1.1 has it: go-oidc 3, and
/// but for a pause between two fetches jose's `createRemoteJWKSet`.
#[derive(Default)]
struct Refetching(Option<Fetched>);

impl Verifier for Refetching {
    fn fetches(&self, kid: &str, _: Instant) -> bool {
        self.0.as_ref().and_then(|set| set.key(kid)).is_none()
    }

    fn learn(&mut self, fetched: Fetched) {
        self.0 = Some(fetched);
    }

    fn accepts(&self, token: &Token) -> bool {
        known(self.0.as_ref(), token)
    }
}

/// Uses a key that it knows, however old its set is. One that it does not know it asks for when the set is older than its
/// max-age, and else refuses: go-oidc 2's `remoteKeySet` (which begins 30 seconds earlier to ask).
#[derive(Default)]
struct GoOidc2(Option<Fetched>);

impl Verifier for GoOidc2 {
    fn fetches(&self, kid: &str, now: Instant) -> bool {
        self.0.as_ref().is_none_or(|set| set.key(kid).is_none() && set.is_old(now))
    }

    fn learn(&mut self, fetched: Fetched) {
        self.0 = Some(fetched);
    }

    fn accepts(&self, token: &Token) -> bool {
        known(self.0.as_ref(), token)
    }
}

fn known(set: Option<&Fetched>, token: &Token) -> bool {
    set.and_then(|set| set.key(&token.kid)).is_some_and(|key| signed_by(key, token))
}

/// Adds what it fetches to what it knows, and asks for what it does not know: MinIO's `publicKeys`.
#[derive(Default)]
struct NeverPruning(HashMap<String, Vec<u8>>);

impl Verifier for NeverPruning {
    fn fetches(&self, kid: &str, _: Instant) -> bool {
        !self.0.contains_key(kid)
    }

    fn learn(&mut self, fetched: Fetched) {
        self.0.extend(fetched.keys);
    }

    fn accepts(&self, token: &Token) -> bool {
        self.0.get(&token.kid).is_some_and(|key| signed_by(key, token))
    }
}

/// Fetches for every token, and tries the first key alone: Ceph's RGW before it looked at the `kid`.
#[derive(Default)]
struct FirstKey(Option<Fetched>);

impl Verifier for FirstKey {
    fn fetches(&self, _: &str, _: Instant) -> bool {
        true
    }

    fn learn(&mut self, fetched: Fetched) {
        self.0 = Some(fetched);
    }

    fn accepts(&self, token: &Token) -> bool {
        self.0.as_ref().and_then(|set| set.keys.first()).is_some_and(|(_, key)| signed_by(key, token))
    }
}

/// A library of many services, used as is usual: the set is kept for its max-age, or until a key is missing.
#[derive(Default)]
struct Library(Option<(Fetched, JwkSet)>);

impl Verifier for Library {
    fn fetches(&self, kid: &str, now: Instant) -> bool {
        self.0.as_ref().is_none_or(|(set, keys)| set.is_old(now) || keys.find(kid).is_none())
    }

    fn learn(&mut self, fetched: Fetched) {
        let keys = serde_json::from_str(&fetched.text).unwrap();
        self.0 = Some((fetched, keys));
    }

    fn accepts(&self, token: &Token) -> bool {
        let Some(key) = self.0.as_ref().and_then(|(_, keys)| keys.find(&token.kid)) else { return false };
        let mut rules = Validation::new(Algorithm::ES256);
        rules.set_issuer(&[ISSUER]);
        rules.validate_aud = false;
        // Whoever asks has another clock than this process.
        rules.validate_exp = false;
        jsonwebtoken::decode::<Value>(&token.text, &DecodingKey::from_jwk(key).unwrap(), &rules).is_ok()
    }
}
