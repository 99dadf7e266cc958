//! What is known of a request before it is read: the id it gets, and where it came from.

use std::net::{IpAddr, Ipv4Addr};

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

/// What a request came in.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The id it gets.
    pub id: RequestId,
    /// Where it came from: the peer, or what a trusted proxy says of it.
    pub address: IpAddr,
    /// Whether it came over TLS. The broker itself speaks none: a trusted proxy has to say so in `X-Forwarded-Proto`.
    pub secure: bool,
}

/// The address of whoever cannot be told: nobody's.
pub const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
