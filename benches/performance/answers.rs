//! What is fast must also be right: one answer of each scenario is looked at before it is measured.

use std::net::SocketAddr;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde_json::Value;

use crate::broker::ISSUER;
use crate::load::{Connection, Operation};
use crate::population::Population;
use crate::requests::Requests;

/// The answer holds a token that a key of the broker signed, for the identity that it names.
pub async fn check_token(address: SocketAddr, population: &Population, operation: &Operation) {
    let mut connection = Connection::new(address);
    let keys: JwkSet = serde_json::from_slice(connection.run(&Requests::keys()).await).unwrap();
    let answer = json(connection.run(operation).await);
    let token = answer["Token"].as_str().unwrap();
    let header = decode_header(token).unwrap();
    let key = keys.find(header.kid.as_deref().unwrap()).unwrap();
    let mut validation = Validation::new(header.alg);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[population.pool.id.to_string()]);
    let claims = decode::<Value>(token, &DecodingKey::from_jwk(key).unwrap(), &validation).unwrap().claims;
    assert_eq!(claims["sub"], answer["IdentityId"]);
}

/// The answer has a value at this place.
pub async fn check_member(address: SocketAddr, operation: &Operation, pointer: &str) {
    let answer = json(Connection::new(address).run(operation).await);
    assert!(answer.pointer(pointer).is_some(), "no {pointer} in {answer}");
}

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}
