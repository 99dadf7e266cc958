//! The documents that verifiers fetch: the JWKS (RFC 7517) and OpenID Connect discovery, made from the published keys.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::material::PublicJwk;
use super::signing_key::SigningKey;

/// A document as it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// JSON.
    pub body: String,
    /// Its strong entity tag, in its quotes.
    pub etag: String,
}

impl Document {
    fn new(content: &serde_json::Value) -> Arc<Self> {
        let body = content.to_string();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.as_bytes());
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(digest));
        Arc::new(Self { body, etag })
    }
}

/// The JWKS. Its bytes follow from the keys alone.
pub(super) fn jwks(keys: &[&SigningKey], x5c: bool) -> Arc<Document> {
    let mut shown: Vec<PublicJwk> = keys.iter().map(|key| key.public_jwk.clone()).collect();
    if !x5c {
        for jwk in &mut shown {
            jwk.x5c.clear();
        }
    }
    Document::new(&json!({ "keys": shown }))
}

pub(super) fn discovery(keys: &[&SigningKey], issuer: &str) -> Arc<Document> {
    let mut algorithms: Vec<&str> = Vec::new();
    for alg in keys.iter().map(|key| key.alg.as_str()) {
        if !algorithms.contains(&alg) {
            algorithms.push(alg);
        }
    }
    Document::new(&json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
        "claims_supported": [
            "sub",
            "aud",
            "amr",
            "iss",
            "exp",
            "iat",
            "https://aws.amazon.com/tags",
            "https://cognito-identity.amazonaws.com/identity-pool-arn"
        ],
    }))
}
