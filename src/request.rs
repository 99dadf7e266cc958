//! What is known of a request before it is read: the id it gets, and where it came from.

use std::net::IpAddr;

use axum::http::HeaderValue;

/// The request id that answers and logs carry: a random UUID.
#[derive(Clone, Debug)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// As a header's value.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl Default for RequestId {
    fn default() -> Self {
        let id = uuid::Uuid::new_v4().to_string();
        Self(HeaderValue::try_from(id).unwrap_or_else(|_| HeaderValue::from_static("-")))
    }
}

/// Where a request came from: the peer, or what a trusted proxy says of it.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);

impl Default for ClientAddress {
    fn default() -> Self {
        Self(IpAddr::from([0, 0, 0, 0]))
    }
}

/// Whether a request came over TLS. The broker itself speaks none: a trusted proxy has to say so in `X-Forwarded-Proto`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Secure(pub bool);
