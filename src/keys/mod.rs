//! stub
use crate::error::*;
use std::sync::Arc;
#[derive(Debug)]
pub struct KeyRing;
#[derive(Debug)]
pub struct Document {
    pub body: String,
    pub etag: String,
}
pub struct Signer;
impl Signer {
    pub fn now(&self) -> time::OffsetDateTime {
        loop {}
    }
    pub fn kid(&self) -> &str {
        ""
    }
    pub fn alg(&self) -> &str {
        ""
    }
    pub fn sign(&self, _: &[u8]) -> Result<Vec<u8>> {
        loop {}
    }
}
impl KeyRing {
    pub fn new(_: &crate::config::Config, _: &str, _: crate::clock::Clock) -> Self {
        Self
    }
    pub fn signer(&self) -> Result<Signer> {
        loop {}
    }
    pub fn token_type(&self) -> crate::config::TokenType {
        loop {}
    }
    pub fn issuer(&self) -> &str {
        ""
    }
    pub fn jwks(&self) -> Result<Arc<Document>> {
        loop {}
    }
    pub fn discovery(&self) -> Result<Arc<Document>> {
        loop {}
    }
    pub fn status(&self) -> Result<()> {
        loop {}
    }
    pub fn fresh(&self) -> bool {
        true
    }
    pub fn epoch(&self) -> i64 {
        0
    }
}
