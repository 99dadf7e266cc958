//! The Amazon Cognito Identity API over AWS JSON 1.1: `POST /` with `X-Amz-Target`, and the table of its operations.

mod authorize;
pub mod caller;
mod credentials;
mod developer;
pub mod door;
pub mod fault;
mod identities;
pub mod json;
mod logins;
pub mod model;
pub mod origin;
mod pools;
mod principal_tags;
pub(crate) mod roles;
pub mod shapes;
mod tags;
mod tokens;
mod types;
pub mod validate;
pub mod wire;

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::caller::{Caller, Visitor};
use self::fault::Fault;
use self::model::Shape;
use crate::app::App;
use crate::error::{Error, Result};
use crate::request::Envelope;
use crate::sigv4::{Rules, Service};

/// What `X-Amz-Target` names before the operation; a longer form ends in it.
const SERVICE: &str = "AWSCognitoIdentityService";

/// One request: what arrived, read but not parsed.
struct Call<'a> {
    app: &'a App,
    parts: &'a Parts,
    envelope: &'a Envelope,
    body: &'a [u8],
    operation: &'static str,
    began: Instant,
}

/// Answers `POST /`.
pub async fn handle(app: &App, envelope: Envelope, request: Request) -> Response {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let operation = operation(&parts.headers);
    let result = answer(app, &envelope, &parts, body, operation).await;
    door::account(operation, started, &envelope.id, result.as_ref().err());
    wire::response(result, &envelope.id)
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

async fn answer(
    app: &App,
    envelope: &Envelope,
    parts: &Parts,
    body: Body,
    operation: Option<&'static str>,
) -> Result<Vec<u8>, Fault> {
    let body = door::receive(app, envelope.address, body).await.map_err(|error| Fault::from(error).closing())?;
    if !speaks_json(&parts.headers) {
        return Err(Fault::unknown_protocol());
    }
    let operation = operation.ok_or_else(Fault::unknown_operation)?;
    door::check_encoding(&parts.headers)?;
    app.check_unsealed()?;
    dispatch(&Call { app, parts, envelope, body: &body, operation, began: Instant::now() }).await
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
        "GetCredentialsForIdentity" => public(call, credentials::get).await,

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
    let rules = Rules { services: &[Service::COGNITO_IDENTITY], regions: call.app.regions.as_deref() };
    let verified = call
        .in_time(Duration::ZERO, caller::authenticate(call.app, call.parts, call.envelope, call.body, &rules))
        .await?;
    // Sessions are not counted: they are denied in any case, and guests have them, too.
    if !verified.is_session() {
        call.app.limits.admit_operation(&verified.account_id, call.operation)?;
    }
    let (shape, body) = read(call)?;
    let authorized = authorize::caller(call.app, verified, call.operation, &body);
    let caller = call.in_time(Duration::ZERO, authorized).await?;
    let (input, fetching) = input(call, shape, body)?;
    // Boxed: operations are of many sizes, and what holds them all would be as large as the largest.
    serialize(&call.in_time(fetching, Box::pin(function(call.app, caller, input))).await?)
}

/// Runs an operation for anyone. A signature, which old clients send, is not looked at.
async fn public<'a, I, O, F>(call: &Call<'a>, function: impl FnOnce(&'a App, Visitor, I) -> F) -> Result<Vec<u8>, Fault>
where
    I: DeserializeOwned,
    O: Serialize,
    F: Future<Output = Result<O>>,
{
    let (shape, body) = read(call)?;
    let (input, fetching) = input(call, shape, body)?;
    let visitor = Visitor { address: call.envelope.address };
    serialize(&call.in_time(fetching, Box::pin(function(call.app, visitor, input))).await?)
}

impl Call<'_> {
    /// What the work gives, if it ends within the time of a request, and `more`.
    async fn in_time<T>(&self, more: Duration, work: impl Future<Output = Result<T>>) -> Result<T, Fault> {
        let limit = self.app.config.server.handler_timeout + more;
        match tokio::time::timeout(limit.saturating_sub(self.began.elapsed()), work).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(Fault::internal(Error::internal("the operation did not end within server.handler_timeout"))),
        }
    }

    /// The time for asking issuers, if there are logins that only they can vouch for; and an STS, for credentials.
    fn fetching(&self, body: &Value) -> Duration {
        let sts = match self.operation {
            "GetCredentialsForIdentity" if self.app.sts.is_some() => self.app.config.credentials.timeout,
            _ => Duration::ZERO,
        };
        // A backend vouches for its own user itself.
        let vouched = usize::from(self.operation == "GetOpenIdTokenForDeveloperIdentity");
        let logins = body.get("Logins").and_then(Value::as_object).map_or(0, serde_json::Map::len);
        sts + if logins > vouched { self.app.config.upstream.fetch_timeout } else { Duration::ZERO }
    }
}

/// The body, every member of its shape being of the right type.
fn read(call: &Call<'_>) -> Result<(&'static Shape, Value), Fault> {
    let shape = shapes::input_of(call.operation).ok_or_else(Fault::unknown_operation)?;
    let mut body = json::read(call.body)?;
    types::check_types(shape, &body)?;
    types::normalize(shape, &mut body);
    Ok((shape, body))
}

/// The body as the operation's input, held against every constraint of the model. And how long issuers may have to be
/// asked about it.
fn input<I: DeserializeOwned>(call: &Call<'_>, shape: &Shape, body: Value) -> Result<(I, Duration), Fault> {
    let violations = validate::violations(shape, &body);
    if !violations.is_empty() {
        return Err(violations.into());
    }
    let fetching = call.fetching(&body);
    let input = serde_json::from_value(body).map_err(|error| Fault::internal(Error::internal(error)))?;
    Ok((input, fetching))
}

/// The output as a body; operations without an output shape answer with an empty one.
fn serialize<O: Serialize>(output: &O) -> Result<Vec<u8>, Fault> {
    let body = serde_json::to_vec(output).map_err(|error| Fault::internal(Error::internal(error)))?;
    Ok(if body == b"null" { Vec::new() } else { body })
}
