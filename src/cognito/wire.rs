//! The AWS JSON 1.1 protocol's answers: heads, bodies, timestamps and page tokens.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use time::OffsetDateTime;

use super::caller::Caller;
use super::fault::Fault;
use crate::app::App;
use crate::error::{Error, Result};
use crate::request::RequestId;
use crate::seal::Seal;

/// The purpose that page-token keys are derived for.
const PURPOSE: &str = "page";

/// What requests and answers say that they are.
pub const MEDIA_TYPE: &str = "application/x-amz-json-1.1";
const CONTENT_TYPE: HeaderValue = HeaderValue::from_static(MEDIA_TYPE);

/// Longer messages, and those that are not plain ASCII, are not repeated in a header.
const MAX_HEADER_MESSAGE: usize = 1_024;

/// The response to a call: its body, or its fault with type and message in body and headers.
#[must_use]
pub fn response(result: std::result::Result<Vec<u8>, Fault>, id: &RequestId) -> Response<Body> {
    let (status, body, fault) = match result {
        Ok(body) => (StatusCode::OK, body, None),
        Err(fault) => (fault.status, fault_body(&fault), Some(fault)),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
    headers.insert("x-amzn-requestid", id.header());
    if let Some(fault) = fault {
        // With a colon behind the name: clients cut there.
        if let Ok(name) = HeaderValue::try_from(format!("{}:", fault.exception)) {
            headers.insert("x-amzn-errortype", name);
        }
        if let Some(message) = fault.message.filter(|text| text.len() <= MAX_HEADER_MESSAGE && text.is_ascii())
            && let Ok(message) = HeaderValue::try_from(message)
        {
            headers.insert("x-amzn-errormessage", message);
        }
        if fault.retry {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if fault.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
    response
}

/// `{"__type": …, "message": …}`; the one exception that IAM throws spells the member `Message`.
fn fault_body(fault: &Fault) -> Vec<u8> {
    if fault.status == StatusCode::NOT_FOUND {
        // As AWS answers where none of its protocols takes a request.
        return br#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}"#
            .to_vec();
    }
    let member = if fault.exception == "AccessDeniedException" { "Message" } else { "message" };
    let body = match &fault.message {
        Some(message) => serde_json::json!({ "__type": fault.exception, member: message }),
        None => serde_json::json!({ "__type": fault.exception }),
    };
    body.to_string().into_bytes()
}

/// Serializes a time as epoch seconds with milliseconds, as AWS does.
///
/// # Errors
/// As the serializer.
pub fn timestamp<S: Serializer>(at: &OffsetDateTime, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    let millis = i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX);
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 need 41 of a double's 53 bits")]
    serializer.serialize_f64(millis as f64 / 1_000.0)
}

/// Cuts a list that was read one longer than asked for, and says whether there is more.
pub fn cut<T>(list: &mut Vec<T>, limit: i64) -> bool {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = list.len() > limit;
    list.truncate(limit);
    more
}

/// The page tokens of one question: opaque, and good for the same tenant, region, operation and filter only.
#[derive(Debug)]
pub struct Pages<'a> {
    seal: &'a Seal,
    context: Vec<u8>,
}

impl<'a> Pages<'a> {
    /// The page tokens of `operation` asked by `caller` with `filter`.
    #[must_use]
    pub fn new(app: &'a App, caller: &Caller, operation: &str, filter: &[&str]) -> Self {
        let parts =
            [caller.account_id.as_str(), caller.region.as_str(), operation].into_iter().chain(filter.iter().copied());
        let mut context = Vec::new();
        for part in parts {
            context.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.extend_from_slice(part.as_bytes());
        }
        Self { seal: &app.seal, context }
    }

    /// The position that a token stands for.
    ///
    /// # Errors
    /// [`Error::BadPageToken`] if it is not one of this question.
    pub fn position<P: DeserializeOwned>(&self, token: Option<&str>) -> Result<Option<P>> {
        let Some(token) = token else { return Ok(None) };
        let blob = URL_SAFE_NO_PAD.decode(token).map_err(|_| Error::BadPageToken)?;
        let position = self.seal.open_token(PURPOSE, &self.context, &blob).ok_or(Error::BadPageToken)?;
        serde_json::from_slice(&position).map(Some).map_err(|_| Error::BadPageToken)
    }

    /// A token for the position of the last entry of a page.
    ///
    /// # Errors
    /// If the system's random source fails.
    pub fn token<P: Serialize>(&self, position: &P) -> Result<String> {
        let position = serde_json::to_vec(position).map_err(Error::internal)?;
        Ok(URL_SAFE_NO_PAD.encode(self.seal.seal_token(PURPOSE, &self.context, &position)?))
    }
}
