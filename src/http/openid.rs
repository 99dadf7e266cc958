//! Discovery and JWKS: what a verifier of our tokens fetches (OpenID Connect Discovery 1.0, RFC 7517).

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use crate::app::App;
use crate::error::Result;
use crate::keys::Document;

/// `GET /.well-known/openid-configuration`
pub async fn discovery(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    document(&app, &headers, app.ring.discovery())
}

/// `GET /.well-known/jwks.json`
pub async fn jwks(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    document(&app, &headers, app.ring.jwks())
}

/// A document with its entity tag; 304 to who has it already, 503 when it would be older than verifiers may rely on.
fn document(app: &App, asked: &HeaderMap, document: Result<Arc<Document>>) -> Response {
    let document = match document {
        Ok(document) => document,
        Err(error) => {
            let retry = [(header::RETRY_AFTER, "1"), (header::CACHE_CONTROL, "no-store")];
            return (StatusCode::SERVICE_UNAVAILABLE, retry, format!("{error}\n")).into_response();
        }
    };
    let max_age = app.config.keys.jwks_max_age.as_secs();
    let head: [(HeaderName, String); 3] = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (header::CACHE_CONTROL, format!("public, max-age={max_age}, must-revalidate")),
        (header::ETAG, document.etag.clone()),
    ];
    let known = |tag: &HeaderValue| {
        let tags = tag.to_str().unwrap_or_default();
        tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == document.etag)
    };
    if asked.get_all(header::IF_NONE_MATCH).iter().any(known) {
        return (StatusCode::NOT_MODIFIED, head).into_response();
    }
    (head, document.body.clone()).into_response()
}
