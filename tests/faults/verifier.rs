//! Whoever takes tokens: what a token says of its key, and whether it holds by a JWKS.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;

use crate::broker::{Broker, ISSUER};

/// The key that a token names.
pub fn kid_of(token: &str) -> String {
    decode_header(token).unwrap().kid.unwrap()
}

/// The keys that a broker shows.
pub async fn jwks(broker: &Broker) -> JwkSet {
    let answer = broker.get("/.well-known/jwks.json").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_value(answer.json).unwrap()
}

/// The names of the keys that a broker shows.
pub async fn shown(broker: &Broker) -> Vec<String> {
    jwks(broker).await.keys.into_iter().map(|key| key.common.key_id.unwrap()).collect()
}

/// The identity of a token for this pool, if it holds by these keys.
pub fn verified(token: &str, keys: &JwkSet, pool: &str) -> Option<String> {
    let mut rules = Validation::new(Algorithm::ES256);
    rules.set_audience(&[pool]);
    rules.set_issuer(&[ISSUER]);
    let key = DecodingKey::from_jwk(keys.find(&kid_of(token))?).unwrap();
    let claims = decode::<Value>(token, &key, &rules).ok()?.claims;
    claims["sub"].as_str().map(str::to_owned)
}
