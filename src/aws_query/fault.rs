//! From what went wrong to the codes of AWS Query services, IAM and STS: one table
//! (<https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html>, and the errors of each operation).

use axum::http::StatusCode;

use super::form::Malformed;
use crate::cognito::fault::{Fault, text};
use crate::cognito::validate::{self, Violation};
use crate::error::{Error, InvalidLogin};
use crate::sigv4::Refusal;

/// The fault of an error.
#[must_use]
pub fn of(error: Error) -> Fault {
    let with = |status: StatusCode, code: &'static str, message: String| Fault { status, ..Fault::new(code, message) };
    match error {
        Error::OidcProviderNotFound(arn) => {
            with(StatusCode::NOT_FOUND, "NoSuchEntity", format!("OpenIDConnect Provider not found for arn {arn}"))
        }
        Error::OidcProviderExists(url) => {
            with(StatusCode::CONFLICT, "EntityAlreadyExists", format!("Provider with url {url} already exists."))
        }
        Error::SamlProviderNotFound(arn) => {
            with(StatusCode::NOT_FOUND, "NoSuchEntity", format!("Manifest not found for arn {arn}"))
        }
        Error::SamlProviderExists(name) => {
            with(StatusCode::CONFLICT, "EntityAlreadyExists", format!("Provider with name {name} already exists."))
        }
        Error::RoleNotFound(name) => {
            with(StatusCode::NOT_FOUND, "NoSuchEntity", format!("The role with name {name} cannot be found."))
        }
        Error::RoleExists(name) => {
            with(StatusCode::CONFLICT, "EntityAlreadyExists", format!("Role with name {name} already exists."))
        }
        Error::MalformedPolicy(why) => Fault::new("MalformedPolicyDocument", why),
        Error::NotAllowed(why) => with(StatusCode::FORBIDDEN, "AccessDenied", why.to_string()),
        Error::RoleNotAssumable(_) => with(
            StatusCode::FORBIDDEN,
            "AccessDenied",
            "Not authorized to perform sts:AssumeRoleWithWebIdentity".into(),
        ),
        Error::NoCredentials => with(
            StatusCode::FORBIDDEN,
            "AccessDenied",
            "This STS gives no credentials: its operator has not set credentials.builtin.".into(),
        ),
        Error::SessionTooLong => Fault::new(
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        ),
        Error::InvalidLogin(InvalidLogin::Expired { .. }) => {
            Fault::new("ExpiredTokenException", "Token expired: current time is past the token's expiration")
        }
        Error::InvalidLogin(_) => Fault::new(
            "InvalidIdentityToken",
            "Couldn't verify the web identity token: it must be one of this installation's own OpenID tokens.",
        ),
        Error::InvalidParameter(message) => Fault::new("InvalidInput", message),
        Error::BadPageToken => Fault::new("InvalidInput", "Invalid Marker."),
        Error::LimitExceeded(message) => with(StatusCode::CONFLICT, "LimitExceeded", message),
        Error::RateExceeded => Fault::new("Throttling", "Rate exceeded"),
        Error::Signature(refusal) => {
            let code = match refusal {
                Refusal::MissingToken => "MissingAuthenticationToken",
                Refusal::Incomplete { .. } => "IncompleteSignature",
                Refusal::UnknownKey => "InvalidClientTokenId",
                Refusal::ExpiredToken => "ExpiredToken",
                _ => "SignatureDoesNotMatch",
            };
            let status = if code == "IncompleteSignature" { StatusCode::BAD_REQUEST } else { StatusCode::FORBIDDEN };
            with(status, code, refusal.to_string())
        }
        Error::ForeignOrigin(origin) => with(StatusCode::FORBIDDEN, "AccessDenied", text::foreign_origin(&origin)),
        Error::BodyTooLarge(limit) => {
            with(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", text::too_large(limit))
        }
        Error::BodyIncomplete => Fault::new("MalformedHttpRequest", text::INCOMPLETE),
        Error::BodyEncoded => Fault::new("MalformedHttpRequest", text::ENCODED),
        error => Fault { exception: "ServiceFailure", ..Fault::internal(error) },
    }
}

/// The fault of a body that is no form, or not one of its operation.
#[must_use]
pub fn malformed(why: &Malformed) -> Fault {
    Fault::new("MalformedQueryString", why.to_string())
}

/// The fault of an input that breaks limits of the model.
#[must_use]
pub fn violated(violations: &[Violation]) -> Fault {
    let logged = Some(validate::without_values(violations).into());
    Fault { logged, ..Fault::new("ValidationError", validate::message(violations)) }
}

/// The fault of an action that the version of a service does not have.
#[must_use]
pub fn unknown_action(action: Option<&str>, version: Option<&str>) -> Fault {
    // Of what a client sends, no more than names are long.
    let shown = |text: &str| text.chars().take(128).collect::<String>();
    match action {
        None => Fault::new("MissingAction", "The request has no parameter Action."),
        Some(action) => {
            let version = shown(version.unwrap_or("NO_VERSION_SPECIFIED"));
            Fault::new("InvalidAction", format!("Could not find operation {} for version {version}", shown(action)))
        }
    }
}
