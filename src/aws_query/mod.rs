//! Services over AWS Query: `POST /` with a form, answered in XML. So far IAM, and of IAM what login providers need.
//!
//! The service is told by the scope of the signature, the operation by `Action` and `Version`. All operations are for
//! verified callers: nothing of the form is read before its signature holds.

mod fault;
mod form;
mod iam;
mod saml;
pub mod shapes;
mod xml;

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Request, header};
use axum::response::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::form::Form;
use self::xml::Named;
use crate::app::App;
use crate::cognito::caller::{self, Caller};
use crate::cognito::fault::Fault;
use crate::cognito::model::Shape;
use crate::cognito::{door, origin, validate};
use crate::error::{Error, Result};
use crate::ids::Region;
use crate::request::{ClientAddress, RequestId};
use crate::sigv4::{Rules, Service};

/// What a form says that it is.
const MEDIA_TYPE: &str = "application/x-www-form-urlencoded";

/// Whether the request says that it is of this protocol.
#[must_use]
pub fn speaks(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(given), None) = (types.next().and_then(|value| value.to_str().ok()), types.next()) else { return false };
    given.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(MEDIA_TYPE)
}

/// A signed request whose form was read.
struct Call<'a> {
    app: &'a App,
    caller: Caller,
    form: Form,
    operation: &'static str,
    input: &'static Shape,
}

/// Answers `POST /` with a form.
pub async fn handle(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let id = parts.extensions.get::<RequestId>().cloned().unwrap_or_default();
    let mut operation = None;
    let result = answer(&app, &parts, body, &mut operation, &id).await;
    door::account(operation, started, &id, result.as_ref().err());
    xml::response(result, if operation.is_some() { iam::NAMESPACE } else { xml::NO_SERVICE }, &id)
}

/// The body of the answer. `operation` is set as soon as it is known.
async fn answer(
    app: &App,
    parts: &Parts,
    body: Body,
    operation: &mut Option<&'static str>,
    id: &RequestId,
) -> Result<Vec<u8>, Fault> {
    let ClientAddress(address) = parts.extensions.get().copied().unwrap_or_default();
    let body = door::receive(app, address, body).await.map_err(|error| fault::of(error).closing())?;
    let work = async {
        let caller = admit(app, parts, &body).await.map_err(fault::of)?;
        let form = Form::parse(&body).map_err(|why| fault::malformed(&why))?;
        let (action, version) = (form.get("Action"), form.get("Version"));
        let known = action.filter(|_| version == Some(iam::VERSION)).and_then(shapes::operation);
        let (name, input) = known.ok_or_else(|| fault::unknown_action(action, version))?;
        *operation = Some(name);
        let output = dispatch(Call { app, caller, form, operation: name, input }).await?;
        xml::success(Named { namespace: iam::NAMESPACE, operation: name }, &output, id).map_err(fault::of)
    };
    match tokio::time::timeout(app.config.server.handler_timeout, work).await {
        Ok(result) => result,
        Err(_) => Err(fault::of(Error::internal("the operation did not end within server.handler_timeout"))),
    }
}

/// The verified caller of a request to this installation. IAM is one for all regions: its signers name the region that
/// its partition keeps it in, or one that is served
/// (<https://docs.aws.amazon.com/general/latest/gr/iam-service.html>).
async fn admit(app: &App, parts: &Parts, body: &[u8]) -> Result<Caller> {
    door::check_encoding(&parts.headers)?;
    app.check_unsealed()?;
    origin::check(app, &parts.headers)?;
    let regions = app.regions.as_ref().map(|served| {
        let homes = served.iter().filter_map(|region| Region::parse(home(region)));
        served.iter().cloned().chain(homes).collect::<Vec<_>>()
    });
    let rules = Rules { services: &[Service::IAM], regions: regions.as_deref() };
    caller::authenticate(app, parts, body, &rules).await
}

/// Where the partition of a region keeps IAM.
fn home(region: &Region) -> &'static str {
    match region.partition() {
        "aws-cn" => "cn-north-1",
        "aws-us-gov" => "us-gov-west-1",
        _ => "us-east-1",
    }
}

/// The table of operations.
async fn dispatch(call: Call<'_>) -> Result<Value, Fault> {
    match call.operation {
        "CreateOpenIDConnectProvider" => signed(call, iam::create).await,
        "GetOpenIDConnectProvider" => signed(call, iam::get).await,
        "ListOpenIDConnectProviders" => signed(call, iam::list).await,
        "DeleteOpenIDConnectProvider" => signed(call, iam::delete).await,
        "AddClientIDToOpenIDConnectProvider" => signed(call, iam::add_client_id).await,
        "RemoveClientIDFromOpenIDConnectProvider" => signed(call, iam::remove_client_id).await,
        "UpdateOpenIDConnectProviderThumbprint" => signed(call, iam::update_thumbprint).await,
        "TagOpenIDConnectProvider" => signed(call, iam::tag).await,
        "UntagOpenIDConnectProvider" => signed(call, iam::untag).await,
        "ListOpenIDConnectProviderTags" => signed(call, iam::list_tags).await,
        "CreateSAMLProvider" => signed(call, saml::create).await,
        "GetSAMLProvider" => signed(call, saml::get).await,
        "ListSAMLProviders" => signed(call, saml::list).await,
        "UpdateSAMLProvider" => signed(call, saml::update).await,
        "DeleteSAMLProvider" => signed(call, saml::delete).await,
        "TagSAMLProvider" => signed(call, saml::tag).await,
        "UntagSAMLProvider" => signed(call, saml::untag).await,
        "ListSAMLProviderTags" => signed(call, saml::list_tags).await,
        // No other name gets here: `shapes` knows those above.
        other => Err(fault::unknown_action(Some(other), Some(iam::VERSION))),
    }
}

/// Runs an operation for its verified caller.
async fn signed<'a, I, O, F>(call: Call<'a>, function: impl FnOnce(&'a App, Caller, I) -> F) -> Result<Value, Fault>
where
    I: DeserializeOwned,
    O: Serialize,
    F: Future<Output = Result<O>>,
{
    let input = call.form.structure(call.input).map_err(|why| fault::malformed(&why))?;
    let violations = validate::violations(call.input, &input);
    if !violations.is_empty() {
        return Err(fault::violated(&violations));
    }
    let input = serde_json::from_value(input).map_err(|error| fault::of(Error::internal(error)))?;
    let output = function(call.app, call.caller, input).await.map_err(fault::of)?;
    serde_json::to_value(output).map_err(|error| fault::of(Error::internal(error)))
}
