//! The public listener on one page: what it answers, and from whom it takes what a request came in.

pub mod admin;
pub mod listener;
pub mod openid;

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::HttpBody as _;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use futures_util::FutureExt as _;
use tower::ServiceExt as _;
use tower_http::cors::{AllowHeaders, Any, CorsLayer};

use crate::app::App;
use crate::aws_query;
use crate::cognito::fault::Fault;
use crate::cognito::{self, wire};
use crate::config::{network, within};
use crate::error::Error;
use crate::request::{Envelope, NOWHERE, RequestId};

/// The public listener.
#[derive(Clone)]
pub struct Public {
    app: Arc<App>,
    /// What is not an API call of a program: documents, browsers, and whatever nobody serves.
    router: Router,
}

impl Public {
    /// The listener of this broker.
    #[must_use]
    pub fn new(app: &Arc<App>) -> Self {
        Self { app: Arc::clone(app), router: router(app) }
    }

    /// Answers a request of `peer`.
    pub async fn answer(self, peer: IpAddr, mut request: Request) -> Response {
        let proxies = &self.app.config.server.trusted_proxies;
        let envelope = Envelope {
            id: RequestId::default(),
            address: client_address(peer, request.headers(), proxies),
            secure: came_by_tls(peer, request.headers(), proxies),
        };
        let mut response = if is_call(&request) {
            api(&self.app, envelope, request).await
        } else {
            request.extensions_mut().insert(envelope);
            self.router.oneshot(request).await.unwrap_or_else(|never| match never {})
        };
        if let Some(length) = response.body().size_hint().exact() {
            response.headers_mut().entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
        }
        if self.app.is_draining() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if self.app.ring.policy().issuer.starts_with("https://") {
            let policy = HeaderValue::from_static("max-age=31536000; includeSubDomains");
            response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, policy);
        }
        response
    }
}

/// Whether this is an API call that no browser's page sent: nearly every request, and needs no routing and no CORS.
fn is_call(request: &Request) -> bool {
    request.method() == Method::POST && request.uri().path() == "/" && !request.headers().contains_key(header::ORIGIN)
}

/// The routes, and for browsers' pages CORS.
fn router(app: &Arc<App>) -> Router {
    let answer_header = |name: &'static str| HeaderName::from_static(name);
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::POST, Method::GET])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([
            answer_header("x-amzn-requestid"),
            answer_header("x-amzn-errortype"),
            answer_header("x-amzn-errormessage"),
            header::DATE,
        ])
        .max_age(std::time::Duration::from_hours(48));
    let call = |State(app): State<Arc<App>>, Extension(envelope): Extension<Envelope>, request: Request| async move {
        api(&app, envelope, request).await
    };
    Router::new()
        .route("/", post(call))
        .route("/.well-known/openid-configuration", get(openid::discovery))
        .route("/.well-known/jwks.json", get(openid::jwks))
        // Where AWS serves the same bytes.
        .route("/.well-known/jwks_uri", get(openid::jwks))
        .layer(cors)
        .with_state(Arc::clone(app))
}

/// Hands a call to the protocol that it says it is of. A panic ends its own request, not the process.
async fn api(app: &App, envelope: Envelope, request: Request) -> Response {
    let id = envelope.id.clone();
    let answered = AssertUnwindSafe(by_protocol(app, envelope, request)).catch_unwind().await;
    answered.unwrap_or_else(|_| panicked(&id))
}

async fn by_protocol(app: &App, envelope: Envelope, request: Request) -> Response {
    if aws_query::speaks(request.headers()) {
        aws_query::handle(app, envelope, request).await
    } else {
        cognito::handle(app, envelope, request).await
    }
}

fn is_trusted(address: IpAddr, trusted: &[String]) -> bool {
    trusted.iter().filter_map(|text| network(text)).any(|net| within(net, address))
}

/// Whether the trusted proxy that sent the request says that it came over TLS.
fn came_by_tls(peer: IpAddr, headers: &HeaderMap, trusted: &[String]) -> bool {
    let mut said = headers.get_all("x-forwarded-proto").iter();
    matches!((said.next(), said.next()), (Some(scheme), None) if scheme == "https") && is_trusted(peer, trusted)
}

/// The last address of `X-Forwarded-For` that no trusted proxy has, if a trusted proxy sent it. Where that is no address it
/// is nobody's: policies and rates must not take whoever it was for the proxy, which may be one of a network that they admit.
fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[String]) -> IpAddr {
    let mut client = peer;
    let forwarded = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let hops: Vec<&str> = forwarded.flat_map(|value| value.split(',')).map(str::trim).collect();
    for hop in hops.iter().rev() {
        if !is_trusted(client, trusted) {
            break;
        }
        let Some(address) = forwarded_address(hop) else { return NOWHERE };
        client = address;
    }
    client
}

/// An address, with or without the port that some proxies write behind it.
fn forwarded_address(hop: &str) -> Option<IpAddr> {
    let with_port = || hop.parse().map(|peer: SocketAddr| peer.ip());
    hop.parse().or_else(|_| with_port()).ok()
}

fn panicked(id: &RequestId) -> Response {
    tracing::error!(request_id = id.as_str(), "a request panicked");
    wire::response(Err(Fault::internal(Error::internal("a request panicked"))), id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarded_addresses_are_believed_from_trusted_proxies_only() {
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", HeaderValue::from_static("6.6.6.6, 203.0.113.7"));
        headers.append("x-forwarded-for", HeaderValue::from_static("10.0.0.2"));
        let trusted = ["10.0.0.0/8".to_owned(), "::1".to_owned()];
        let from =
            |peer: &str, trusted: &[String]| client_address(peer.parse().unwrap(), &headers, trusted).to_string();
        assert_eq!(from("198.51.100.1", &trusted), "198.51.100.1");
        assert_eq!(from("10.0.0.1", &trusted), "203.0.113.7");
        assert_eq!(from("::1", &trusted), "203.0.113.7");
        assert_eq!(from("::ffff:10.0.0.1", &trusted), "203.0.113.7");
        assert_eq!(from("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn a_forwarded_address_may_have_a_port_and_what_is_none_is_not_the_proxys() {
        let trusted = ["10.0.0.0/8".to_owned()];
        let said = |hops: &'static str| {
            let headers =
                HeaderMap::from_iter([(HeaderName::from_static("x-forwarded-for"), HeaderValue::from_static(hops))]);
            client_address([10, 0, 0, 1].into(), &headers, &trusted).to_string()
        };
        assert_eq!(said("6.6.6.6, 203.0.113.7:50123"), "203.0.113.7");
        assert_eq!(said("[2001:db8::7]:50123, 10.0.0.2:443"), "2001:db8::7");
        for none in ["unknown", "203.0.113.7, _hidden", "203.0.113.7:", "[2001:db8::7]", ""] {
            assert_eq!(said(none), "0.0.0.0", "{none}");
        }
    }

    #[test]
    fn only_a_trusted_proxy_vouches_for_tls() {
        let trusted = ["10.0.0.0/8".to_owned()];
        let by = |peer: &str, schemes: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for scheme in schemes {
                headers.append("x-forwarded-proto", HeaderValue::from_static(scheme));
            }
            came_by_tls(peer.parse().unwrap(), &headers, &trusted)
        };
        assert!(by("10.0.0.1", &["https"]));
        assert!(!by("203.0.113.7", &["https"]));
        assert!(!by("10.0.0.1", &["http"]) && !by("10.0.0.1", &[]) && !by("10.0.0.1", &["http", "https"]));
    }
}
