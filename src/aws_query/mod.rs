//! Services over AWS Query: `POST /` with a form, answered in XML. Of IAM what login providers and roles need, and STS.
//!
//! The service is told by the scope of the signature, the operation by `Action` and `Version`. But for one, which has no
//! signature, operations are for verified callers: nothing of the form is read before its signature holds.

mod authorize;
mod fault;
mod form;
mod iam;
mod roles;
mod saml;
pub mod shapes;
mod sts;
mod xml;

use std::time::Instant;

use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::form::Form;
use self::xml::Named;
use crate::app::App;
use crate::cognito::caller::{self, Caller, Verified, Visitor};
use crate::cognito::fault::Fault;
use crate::cognito::model::Shape;
use crate::cognito::{door, origin, validate};
use crate::error::{Error, Result};
use crate::ids::Region;
use crate::request::Envelope;
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

/// A service that is served over this protocol.
#[derive(Debug)]
struct Api {
    version: &'static str,
    namespace: &'static str,
    operation: fn(&str) -> Option<(&'static str, &'static Shape)>,
}

static IAM: Api = Api {
    version: "2010-05-08",
    namespace: "https://iam.amazonaws.com/doc/2010-05-08/",
    operation: shapes::iam_operation,
};

static STS: Api = Api {
    version: "2011-06-15",
    namespace: "https://sts.amazonaws.com/doc/2011-06-15/",
    operation: shapes::sts_operation,
};

impl Api {
    /// The operation that a form asks for, which is one of this service.
    fn operation_of(&self, form: &Form) -> Result<Operation, Fault> {
        let (action, version) = (form.get("Action"), form.get("Version"));
        let known = action.filter(|_| version == Some(self.version)).and_then(self.operation);
        let (name, input) = known.ok_or_else(|| fault::unknown_action(action, version))?;
        Ok(Operation { namespace: self.namespace, name, input })
    }
}

/// An operation of a service.
#[derive(Clone, Copy)]
struct Operation {
    namespace: &'static str,
    name: &'static str,
    input: &'static Shape,
}

/// A request whose form was read.
struct Call<'a> {
    app: &'a App,
    form: Form,
    operation: Operation,
}

/// Answers `POST /` with a form.
pub async fn handle(app: &App, envelope: Envelope, request: Request) -> Response {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let mut operation = None;
    let result = answer(app, &envelope, &parts, body, &mut operation).await;
    door::account(operation.map(|operation: Operation| operation.name), started, &envelope.id, result.as_ref().err());
    xml::response(result, operation.map_or(xml::NO_SERVICE, |operation| operation.namespace), &envelope.id)
}

/// The body of the answer. `operation` is set as soon as it is known.
async fn answer(
    app: &App,
    envelope: &Envelope,
    parts: &Parts,
    body: Body,
    operation: &mut Option<Operation>,
) -> Result<Vec<u8>, Fault> {
    let body = door::receive(app, envelope.address, body).await.map_err(|error| fault::of(error).closing())?;
    let work = async {
        door::check_encoding(&parts.headers).map_err(fault::of)?;
        app.check_unsealed().map_err(fault::of)?;
        let (found, output) = if let Some((form, found)) = anyones(parts, &body) {
            *operation = Some(found);
            let visitor = Visitor { address: envelope.address };
            (found, open(Call { app, form, operation: found }, visitor, sts::assume_role).await?)
        } else {
            let verified = admit(app, parts, envelope, &body).await.map_err(fault::of)?;
            let form = Form::parse(&body).map_err(|why| fault::malformed(&why))?;
            let api = if verified.service == Service::STS { &STS } else { &IAM };
            let found = api.operation_of(&form)?;
            *operation = Some(found);
            (found, dispatch(Call { app, form, operation: found }, verified).await?)
        };
        xml::success(Named { namespace: found.namespace, operation: found.name }, &output, &envelope.id)
            .map_err(fault::of)
    };
    match tokio::time::timeout(app.config.server.handler_timeout, work).await {
        Ok(result) => result,
        Err(_) => Err(fault::of(Error::internal("the operation did not end within server.handler_timeout"))),
    }
}

/// The one operation that anyone may ask for, if a request without a signature does.
fn anyones(parts: &Parts, body: &[u8]) -> Option<(Form, Operation)> {
    if parts.headers.contains_key(header::AUTHORIZATION) {
        return None;
    }
    let form = Form::parse(body).ok()?;
    let operation = STS.operation_of(&form).ok().filter(|found| found.name == "AssumeRoleWithWebIdentity")?;
    Some((form, operation))
}

/// The verified sender of a request to this installation. IAM and the global endpoint of STS are one for all regions:
/// their signers name the region that their partition keeps them in, or one that is served
/// (<https://docs.aws.amazon.com/general/latest/gr/iam-service.html>).
async fn admit(app: &App, parts: &Parts, envelope: &Envelope, body: &[u8]) -> Result<Verified> {
    origin::check(app, &parts.headers)?;
    let regions = app.regions.as_ref().map(|served| {
        let homes = served.iter().filter_map(|region| Region::parse(home(region)));
        served.iter().cloned().chain(homes).collect::<Vec<_>>()
    });
    let rules = Rules { services: &[Service::IAM, Service::STS], regions: regions.as_deref() };
    caller::authenticate(app, parts, envelope, body, &rules).await
}

/// Where the partition of a region keeps IAM.
fn home(region: &Region) -> &'static str {
    match region.partition() {
        "aws-cn" => "cn-north-1",
        "aws-us-gov" => "us-gov-west-1",
        _ => "us-east-1",
    }
}

/// The table of signed operations.
async fn dispatch(call: Call<'_>, verified: Verified) -> Result<Value, Fault> {
    match call.operation.name {
        "CreateOpenIDConnectProvider" => signed(call, verified, iam::create).await,
        "GetOpenIDConnectProvider" => signed(call, verified, iam::get).await,
        "ListOpenIDConnectProviders" => signed(call, verified, iam::list).await,
        "DeleteOpenIDConnectProvider" => signed(call, verified, iam::delete).await,
        "AddClientIDToOpenIDConnectProvider" => signed(call, verified, iam::add_client_id).await,
        "RemoveClientIDFromOpenIDConnectProvider" => signed(call, verified, iam::remove_client_id).await,
        "UpdateOpenIDConnectProviderThumbprint" => signed(call, verified, iam::update_thumbprint).await,
        "TagOpenIDConnectProvider" => signed(call, verified, iam::tag).await,
        "UntagOpenIDConnectProvider" => signed(call, verified, iam::untag).await,
        "ListOpenIDConnectProviderTags" => signed(call, verified, iam::list_tags).await,

        "CreateSAMLProvider" => signed(call, verified, saml::create).await,
        "GetSAMLProvider" => signed(call, verified, saml::get).await,
        "ListSAMLProviders" => signed(call, verified, saml::list).await,
        "UpdateSAMLProvider" => signed(call, verified, saml::update).await,
        "DeleteSAMLProvider" => signed(call, verified, saml::delete).await,
        "TagSAMLProvider" => signed(call, verified, saml::tag).await,
        "UntagSAMLProvider" => signed(call, verified, saml::untag).await,
        "ListSAMLProviderTags" => signed(call, verified, saml::list_tags).await,

        "CreateRole" => signed(call, verified, roles::create).await,
        "GetRole" => signed(call, verified, roles::get).await,
        "ListRoles" => signed(call, verified, roles::list).await,
        "UpdateAssumeRolePolicy" => signed(call, verified, roles::update_trust_policy).await,
        "UpdateRole" => signed(call, verified, roles::update).await,
        "UpdateRoleDescription" => signed(call, verified, roles::update_description).await,
        "DeleteRole" => signed(call, verified, roles::delete).await,
        "TagRole" => signed(call, verified, roles::tag).await,
        "UntagRole" => signed(call, verified, roles::untag).await,
        "ListRoleTags" => signed(call, verified, roles::list_tags).await,
        "ListRolePolicies" => signed(call, verified, roles::list_inline_policies).await,
        "ListAttachedRolePolicies" => signed(call, verified, roles::list_attached_policies).await,
        "ListInstanceProfilesForRole" => signed(call, verified, roles::list_instance_profiles).await,

        "GetCallerIdentity" => open(call, verified, sts::caller_identity).await,
        "AssumeRoleWithWebIdentity" => {
            let visitor = Visitor { address: verified.address() };
            open(call, visitor, sts::assume_role).await
        }
        // No other name gets here: `shapes` knows those above.
        other => Err(fault::unknown_action(Some(other), None)),
    }
}

/// Runs an operation for a caller who may do it.
async fn signed<'a, I, O, F>(
    call: Call<'a>,
    verified: Verified,
    function: impl FnOnce(&'a App, Caller, I) -> F,
) -> Result<Value, Fault>
where
    I: DeserializeOwned,
    O: Serialize,
    F: Future<Output = Result<O>>,
{
    let input = call.structure()?;
    let caller = authorize::caller(call.app, verified, call.operation.name, &input).await.map_err(fault::of)?;
    finish(function(call.app, caller, call.constrained(input)?).await)
}

/// Runs an operation that no policy is asked about: for whoever's signature holds, or for anyone.
async fn open<'a, W, I, O, F>(call: Call<'a>, who: W, function: impl FnOnce(&'a App, W, I) -> F) -> Result<Value, Fault>
where
    I: DeserializeOwned,
    O: Serialize,
    F: Future<Output = Result<O>>,
{
    let input = call.structure()?;
    finish(function(call.app, who, call.constrained(input)?).await)
}

impl Call<'_> {
    /// The form as the operation's shape has it.
    fn structure(&self) -> Result<Value, Fault> {
        self.form.structure(self.operation.input).map_err(|why| fault::malformed(&why))
    }

    /// The same as the operation's input, held against every constraint of the model.
    fn constrained<I: DeserializeOwned>(&self, input: Value) -> Result<I, Fault> {
        let violations = validate::violations(self.operation.input, &input);
        if !violations.is_empty() {
            return Err(fault::violated(&violations));
        }
        serde_json::from_value(input).map_err(|error| fault::of(Error::internal(error)))
    }
}

fn finish<O: Serialize>(output: Result<O>) -> Result<Value, Fault> {
    serde_json::to_value(output.map_err(fault::of)?).map_err(|error| fault::of(Error::internal(error)))
}
