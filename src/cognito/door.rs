//! What every protocol at `POST /` has in common: the body read whole, and the account of each answer.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::fault::Fault;
use crate::app::App;
use crate::error::{Error, Result};
use crate::request::RequestId;

/// What is read of a body that is too large, and how long, before its connection is closed.
const MAX_DISCARDED: usize = 8 << 20;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// A client that sends nothing for so long waits for the answer.
const DISCARD_PAUSE: Duration = Duration::from_millis(100);

/// The whole body of a request from an address that may ask, within limits of size and time.
///
/// This comes before any other refusal: a connection with a body in it that nobody reads has to be closed, and that
/// could hit the client while it is still sending, or with its next request under way. So after an error from here the
/// connection must end.
///
/// # Errors
/// [`Error::RateExceeded`], [`Error::BodyTooLarge`], [`Error::BodyIncomplete`]
pub async fn receive(app: &App, address: IpAddr, mut body: Body) -> Result<Bytes> {
    app.limits.admit_address(address)?;
    let limit = app.config.server.max_body_bytes;
    // What is announced need not be waited for.
    if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
        discard(&mut body).await;
        return Err(Error::BodyTooLarge(limit));
    }
    match tokio::time::timeout(app.config.server.request_timeout, Limited::new(&mut body, limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            discard(&mut body).await;
            Err(Error::BodyTooLarge(limit))
        }
        Ok(Err(_)) | Err(_) => Err(Error::BodyIncomplete),
    }
}

/// Reads on while more keeps coming, so that a client which sends too much comes to read why it is refused.
async fn discard(body: &mut Body) {
    let mut left = MAX_DISCARDED;
    let reading = async {
        while let Ok(Some(Ok(frame))) = tokio::time::timeout(DISCARD_PAUSE, body.frame()).await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            left = left.saturating_sub(length);
            if left == 0 {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, reading).await;
}

/// Refuses bodies that are not sent as they are.
///
/// # Errors
/// [`Error::BodyEncoded`]
pub fn check_encoding(headers: &HeaderMap) -> Result<()> {
    let encoded = headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity");
    if encoded { Err(Error::BodyEncoded) } else { Ok(()) }
}

/// Counts an answer, and logs it if it is a refusal or a failure. No operation is one that nobody knows.
pub fn account(operation: Option<&'static str>, started: Instant, id: &RequestId, fault: Option<&Fault>) {
    let operation = operation.unwrap_or("Unknown");
    let code = fault.map_or("OK", |fault| fault.exception);
    metrics::counter!("symbolon_requests_total", "operation" => operation, "code" => code).increment(1);
    metrics::histogram!("symbolon_request_duration_seconds", "operation" => operation)
        .record(started.elapsed().as_secs_f64());
    if let Some(fault) = fault {
        report(fault, operation, id);
    }
}

fn report(fault: &Fault, operation: &str, id: &RequestId) {
    if let Some(reason) = fault.denial() {
        metrics::counter!("symbolon_denials_total", "reason" => reason).increment(1);
    }
    let (exception, request_id) = (fault.exception, id.as_str());
    match &fault.cause {
        Some(cause) if fault.status.is_server_error() => {
            tracing::error!(%cause, operation, exception, request_id, "request failed");
        }
        // The failure of somebody else, which anyone can bring about.
        Some(cause) => tracing::info!(%cause, operation, exception, request_id, "request refused"),
        None => {
            let reason = fault.logged.as_deref().or(fault.message.as_deref()).unwrap_or_default();
            tracing::info!(operation, exception, request_id, reason, "request refused");
        }
    }
}
