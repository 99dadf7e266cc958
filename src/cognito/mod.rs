//! The Amazon Cognito Identity API over AWS JSON 1.1: `POST /` with `X-Amz-Target`, and the table of its operations.

pub mod caller;
mod developer;
pub mod fault;
mod identities;
pub mod json;
mod logins;
pub mod model;
mod origin;
mod pools;
mod principal_tags;
mod roles;
pub mod shapes;
mod tags;
mod tokens;
mod types;
pub mod validate;
pub mod wire;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Request, header};
use axum::response::Response;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::caller::{Caller, Visitor};
use self::fault::Fault;
use crate::app::App;
use crate::error::{Error, Result};
use crate::request::{ClientAddress, RequestId};

/// What `X-Amz-Target` names before the operation; a longer form ends in it.
const SERVICE: &str = "AWSCognitoIdentityService";

/// What is read of a body that is too large, and how long, before its connection is closed.
const MAX_DISCARDED: usize = 8 << 20;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// A client that sends nothing for so long waits for the answer.
const DISCARD_PAUSE: Duration = Duration::from_millis(100);

/// One request: what arrived, read but not parsed.
struct Call<'a> {
    app: &'a App,
    parts: &'a Parts,
    body: &'a [u8],
    address: IpAddr,
    operation: &'static str,
}

/// Answers `POST /`.
pub async fn handle(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let id = parts.extensions.get::<RequestId>().cloned().unwrap_or_default();
    let operation = operation(&parts.headers);
    let result = answer(&app, &parts, body, operation).await;
    let name = operation.unwrap_or("Unknown");
    let code = result.as_ref().map_or_else(|fault| fault.exception, |_| "OK");
    metrics::counter!("symbolon_requests_total", "operation" => name, "code" => code).increment(1);
    metrics::histogram!("symbolon_request_duration_seconds", "operation" => name)
        .record(started.elapsed().as_secs_f64());
    if let Err(fault) = &result {
        report(fault, name, &id);
    }
    wire::response(result, &id)
}

fn report(fault: &Fault, operation: &str, id: &RequestId) {
    if let Some(reason) = fault.denial() {
        metrics::counter!("symbolon_denials_total", "reason" => reason).increment(1);
    }
    let (exception, request_id) = (fault.exception, id.as_str());
    if let Some(cause) = &fault.cause {
        tracing::error!(%cause, operation, exception, request_id, "request failed");
    } else {
        let reason = fault.message.as_deref().unwrap_or_default();
        tracing::info!(operation, exception, request_id, reason, "request refused");
    }
}

/// The operation that the target header names, if there is exactly one and we know it.
fn operation(headers: &HeaderMap) -> Option<&'static str> {
    let mut targets = headers.get_all("x-amz-target").iter();
    let (target, None) = (targets.next()?.to_str().ok()?, targets.next()) else { return None };
    let (service, name) = target.rsplit_once('.')?;
    let rest = service.strip_suffix(SERVICE)?;
    if !(rest.is_empty() || rest.ends_with('.')) {
        return None;
    }
    shapes::OPERATIONS.iter().find(|operation| **operation == name).copied()
}

/// Whether the request says that it is of the only protocol there is.
fn speaks_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(given), None) = (types.next().and_then(|value| value.to_str().ok()), types.next()) else { return false };
    let media_type = given.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case(wire::MEDIA_TYPE)
}

async fn answer(app: &App, parts: &Parts, body: Body, operation: Option<&'static str>) -> Result<Vec<u8>, Fault> {
    let ClientAddress(address) = parts.extensions.get().copied().unwrap_or_default();
    app.limits.admit_address(address).map_err(|error| Fault::from(error).closing())?;
    // Before any other refusal: a connection with a body in it that nobody reads has to be closed, and that could hit
    // the client while it is still sending, or with its next request under way.
    let body = read(app, body).await?;
    if !speaks_json(&parts.headers) {
        return Err(Fault::unknown_protocol());
    }
    let operation = operation.ok_or_else(Fault::unknown_operation)?;
    if parts.headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(Fault::content_encoding());
    }
    app.check_unsealed()?;
    let call = Call { app, parts, body: &body, address, operation };
    match tokio::time::timeout(time_limit(app, operation), dispatch(&call)).await {
        Ok(result) => result,
        Err(_) => Err(Fault::internal(Error::internal("the operation did not end within server.handler_timeout"))),
    }
}

/// Operations that may have to ask an issuer for its keys get the time for it beside their own.
fn time_limit(app: &App, operation: &str) -> Duration {
    let own = app.config.server.handler_timeout;
    match operation {
        "GetId"
        | "GetOpenIdToken"
        | "GetOpenIdTokenForDeveloperIdentity"
        | "GetCredentialsForIdentity"
        | "UnlinkIdentity" => own + app.config.upstream.fetch_timeout,
        _ => own,
    }
}

async fn read(app: &App, mut body: Body) -> Result<Bytes, Fault> {
    let limit = app.config.server.max_body_bytes;
    // What is announced need not be waited for.
    if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
        discard(&mut body).await;
        return Err(Fault::too_large(limit).closing());
    }
    match tokio::time::timeout(app.config.server.request_timeout, Limited::new(&mut body, limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            discard(&mut body).await;
            Err(Fault::too_large(limit).closing())
        }
        Ok(Err(_)) | Err(_) => Err(Fault::incomplete_body().closing()),
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

/// The table of operations: who may call each, and what answers.
async fn dispatch(call: &Call<'_>) -> Result<Vec<u8>, Fault> {
    match call.operation {
        "CreateIdentityPool" => signed(call, pools::create).await,
        "DescribeIdentityPool" => signed(call, pools::describe).await,
        "UpdateIdentityPool" => signed(call, pools::update).await,
        "DeleteIdentityPool" => signed(call, pools::delete).await,
        "ListIdentityPools" => signed(call, pools::list).await,

        "SetIdentityPoolRoles" => signed(call, roles::set).await,
        "GetIdentityPoolRoles" => signed(call, roles::get).await,
        "SetPrincipalTagAttributeMap" => signed(call, principal_tags::set).await,
        "GetPrincipalTagAttributeMap" => signed(call, principal_tags::get).await,
        "TagResource" => signed(call, tags::tag).await,
        "UntagResource" => signed(call, tags::untag).await,
        "ListTagsForResource" => signed(call, tags::list).await,

        "GetId" => public(call, identities::get_id).await,
        "DescribeIdentity" => signed(call, identities::describe).await,
        "ListIdentities" => signed(call, identities::list).await,
        "DeleteIdentities" => signed(call, identities::delete).await,
        "UnlinkIdentity" => public(call, identities::unlink).await,

        "GetOpenIdToken" => public(call, tokens::get_open_id_token).await,
        "GetCredentialsForIdentity" => public(call, tokens::get_credentials).await,

        "GetOpenIdTokenForDeveloperIdentity" => signed(call, developer::get_open_id_token).await,
        "LookupDeveloperIdentity" => signed(call, developer::lookup).await,
        "MergeDeveloperIdentities" => signed(call, developer::merge).await,
        "UnlinkDeveloperIdentity" => signed(call, developer::unlink).await,

        // No other name gets here: `operation` knows those of the model.
        _ => Err(Fault::unknown_operation()),
    }
}

/// Runs an operation that needs a verified caller.
async fn signed<'a, I, O, F>(call: &Call<'a>, function: impl FnOnce(&'a App, Caller, I) -> F) -> Result<Vec<u8>, Fault>
where
    I: DeserializeOwned,
    O: Serialize,
    F: Future<Output = Result<O>>,
{
    origin::check(call.app, &call.parts.headers)?;
    let caller = caller::authenticate(call.app, call.parts, call.body).await?;
    call.app.limits.admit_operation(&caller.account_id, call.operation)?;
    let input = input(call)?;
    serialize(&function(call.app, caller, input).await?)
}

/// Runs an operation for anyone. A signature, which old clients send, is not looked at.
async fn public<'a, I, O, F>(call: &Call<'a>, function: impl FnOnce(&'a App, Visitor, I) -> F) -> Result<Vec<u8>, Fault>
where
    I: DeserializeOwned,
    O: Serialize,
    F: Future<Output = Result<O>>,
{
    let input = input(call)?;
    serialize(&function(call.app, Visitor { address: call.address }, input).await?)
}

/// The body as the operation's input: first its types, then every constraint of the model.
fn input<I: DeserializeOwned>(call: &Call<'_>) -> Result<I, Fault> {
    let shape = shapes::input_of(call.operation).ok_or_else(Fault::unknown_operation)?;
    let mut body = json::read(call.body)?;
    types::check_types(shape, &body)?;
    types::normalize(shape, &mut body);
    let violations = validate::violations(shape, &body);
    if !violations.is_empty() {
        return Err(violations.into());
    }
    serde_json::from_value(body).map_err(|error| Fault::internal(Error::internal(error)))
}

/// The output as a body; operations without an output shape answer with an empty one.
fn serialize<O: Serialize>(output: &O) -> Result<Vec<u8>, Fault> {
    let body = serde_json::to_vec(output).map_err(|error| Fault::internal(Error::internal(error)))?;
    Ok(if body == b"null" { Vec::new() } else { body })
}
