//! From what went wrong to what the wire says: the only place that knows exception names of this API, and their texts.
//!
//! Texts are AWS's own where a response was captured; `docs/compatibility.md` says which.

use axum::http::StatusCode;

use super::json::Malformed;
use super::validate::{self, Violation};
use crate::error::{Error, InvalidLogin};
use crate::sigv4::Refusal;

/// A failure as the wire has it.
#[derive(Debug)]
pub struct Fault {
    /// 400 but for faults of the service (500), bodies that are too large (413) and other protocols (404).
    pub status: StatusCode,
    /// The exception's short name: `__type`, or the `Code` of AWS Query.
    pub exception: &'static str,
    /// The text, unless the exception has none.
    pub message: Option<String>,
    /// What to log in its stead, if it repeats what the client sent.
    pub logged: Option<Box<str>>,
    /// Whether to ask the client to come again in a second.
    pub retry: bool,
    /// Whether the connection ends with the answer, as the body was not read.
    pub close: bool,
    /// What to log: the failure whole, where the wire shows it bare.
    pub cause: Option<Error>,
}

impl Fault {
    /// A refusal of a client's request, with status 400.
    #[must_use]
    pub fn new(exception: &'static str, message: impl Into<String>) -> Self {
        let status = StatusCode::BAD_REQUEST;
        Self { status, exception, message: Some(message.into()), logged: None, retry: false, close: false, cause: None }
    }

    /// The same fault, and the end of its connection.
    #[must_use]
    pub fn closing(self) -> Self {
        Self { close: true, ..self }
    }

    /// The operation does not exist.
    #[must_use]
    pub fn unknown_operation() -> Self {
        Self { message: None, ..Self::new("UnknownOperationException", "") }
    }

    /// The request is of another protocol than this endpoint's.
    #[must_use]
    pub fn unknown_protocol() -> Self {
        Self { status: StatusCode::NOT_FOUND, ..Self::unknown_operation() }
    }

    /// The service failed; the wire shows nothing of why.
    #[must_use]
    pub fn internal(cause: Error) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            retry: true,
            cause: Some(cause),
            ..Self::new("InternalErrorException", "The service could not answer. Try again.")
        }
    }

    /// The label under which `symbolon_denials_total` counts it; nothing for what is not a denial.
    #[must_use]
    pub fn denial(&self) -> Option<&'static str> {
        Some(match self.exception {
            "NotAuthorizedException" => "not_authorized",
            "AccessDeniedException" | "AccessDenied" => "access_denied",
            "MissingAuthenticationTokenException" | "MissingAuthenticationToken" => "missing_signature",
            "IncompleteSignatureException" | "IncompleteSignature" => "incomplete_signature",
            "InvalidSignatureException" | "SignatureDoesNotMatch" => "invalid_signature",
            "UnrecognizedClientException" | "InvalidClientTokenId" => "unknown_access_key",
            "ExpiredTokenException" | "ExpiredToken" => "expired_session",
            "InvalidIdentityToken" => "invalid_web_identity",
            "TooManyRequestsException" | "Throttling" => "rate",
            "DeveloperUserAlreadyRegisteredException" => "registered_elsewhere",
            _ => return None,
        })
    }
}

impl From<Error> for Fault {
    #[expect(clippy::too_many_lines, reason = "it is one table")]
    fn from(error: Error) -> Self {
        const INVALID: &str = "InvalidParameterException";
        const NOT_AUTHORIZED: &str = "NotAuthorizedException";
        const NOT_FOUND: &str = "ResourceNotFoundException";
        const CONFLICT: &str = "ResourceConflictException";
        match error {
            Error::BodyTooLarge(limit) => Self {
                status: StatusCode::PAYLOAD_TOO_LARGE,
                ..Self::new("RequestEntityTooLargeException", text::too_large(limit))
            },
            Error::BodyIncomplete => Self::new("SerializationException", text::INCOMPLETE),
            Error::BodyEncoded => Self::new("SerializationException", text::ENCODED),
            Error::ForeignOrigin(origin) => Self::new("AccessDeniedException", text::foreign_origin(&origin)),
            Error::Signature(refusal) => refusal.into(),
            Error::PoolNotFound(id) => Self::new(NOT_FOUND, format!("IdentityPool '{id}' not found.")),
            Error::IdentityNotFound(id) => Self::new(NOT_FOUND, format!("Identity '{id}' not found.")),
            Error::DeveloperUserNotFound => Self::new(NOT_FOUND, "Developer user identifier not found."),
            Error::IdentityForbidden(id) => {
                Self::new(NOT_AUTHORIZED, format!("Access to Identity '{id}' is forbidden."))
            }
            Error::GuestsNotAllowed => {
                Self::new(NOT_AUTHORIZED, "Unauthenticated access is not supported for this identity pool.")
            }
            Error::LoginsDontMatch => Self::new(
                NOT_AUTHORIZED,
                "Logins don't match. Please include at least one valid login for this identity or identity pool.",
            ),
            Error::ProviderNotSupported => {
                Self::new(NOT_AUTHORIZED, "Token is not from a supported provider of this identity pool.")
            }
            Error::InvalidLogin(why) => Self::new(NOT_AUTHORIZED, format!("Invalid login token.{}", login_text(&why))),
            Error::NoUsableRole => Self::new(
                "InvalidIdentityPoolConfigurationException",
                "Invalid identity pool configuration. Check assigned IAM roles for this pool.",
            ),
            Error::ClassicFlowDisabled => {
                Self::new(INVALID, "Basic (classic) flow is not enabled, please use enhanced flow.")
            }
            Error::ClassicFlowWithMappings => {
                Self::new(INVALID, "Basic (classic) flow is not supported with RoleMappings, please use enhanced flow.")
            }
            Error::RoleForbidden(role) => Self::new(NOT_AUTHORIZED, format!("Access to Role '{role}' is forbidden.")),
            Error::RoleMappingDenied(provider) => Self::new(
                NOT_AUTHORIZED,
                format!("The ambiguous role mapping rules for: {provider} denied this request."),
            ),
            Error::NotAMappingProvider(key) => Self::new(
                INVALID,
                format!("({key}) is not a valid RoleMapping ProviderName or is not a configured provider."),
            ),
            Error::ProviderNotFound(name) => {
                Self::new(NOT_FOUND, format!("Identity provider '{name}' is not configured on this identity pool."))
            }
            Error::TagMapNotFound(name) => {
                Self::new(NOT_FOUND, format!("No principal tag attribute map was set for identity provider '{name}'."))
            }
            Error::NotAllowed(why) => Self::new("AccessDeniedException", why.to_string()),
            error @ Error::Upstream(_) => Self {
                cause: Some(error),
                ..Self::new("ExternalServiceException", "A login provider could not be asked. Try again.")
            },
            error @ Error::StsFailed(_) => Self {
                cause: Some(error),
                ..Self::new("ExternalServiceException", "The STS that gives credentials could not be asked. Try again.")
            },
            Error::OwnTokenAsLogin => Self::new(NOT_AUTHORIZED, "Invalid login token. Can't pass in a Cognito token."),
            Error::DeveloperProviderNotPublic => Self::new(INVALID, "Please provide a valid public provider."),
            Error::DeveloperProviderNotSupported => {
                Self::new(INVALID, "This identity pool does not support the specified developer provider")
            }
            Error::DeveloperProviderMissing => Self::new(INVALID, "Please provide a valid developer provider."),
            Error::BadDeveloperUser(why) => Self::new(INVALID, why),
            Error::LookupWithoutKey => {
                Self::new(INVALID, "Either IdentityId or DeveloperUserIdentifier must be provided.")
            }
            Error::DeveloperProviderImmutable => Self::new(INVALID, "DeveloperProviderName cannot be changed."),
            Error::DeveloperProviderIsLoginKey => Self::new(
                INVALID,
                "DeveloperProviderName must differ from the login keys of the identity pool's providers.",
            ),
            Error::BadUserPoolProvider => Self::new(INVALID, "Invalid Cognito Identity Provider"),
            Error::InvalidParameter(message) => Self::new(INVALID, message),
            Error::BadPageToken => Self::new(INVALID, "Invalid NextToken"),
            Error::DeveloperUserAlreadyRegistered => Self::new(
                "DeveloperUserAlreadyRegisteredException",
                "This developer user identifier is already registered with Cognito.",
            ),
            Error::SecondUserOfProvider => {
                Self::new(CONFLICT, "Login already linked to a different user of the same provider.")
            }
            Error::TooManyLogins => Self::new(CONFLICT, "Too many linked logins."),
            Error::LookupMismatch => {
                Self::new(CONFLICT, "DeveloperUserIdentifier does not match the given IdentityId.")
            }
            Error::NotLinkedToIdentity => {
                Self::new(CONFLICT, "DeveloperUserIdentifier is not linked to the given IdentityId.")
            }
            Error::LimitExceeded(message) => Self::new("LimitExceededException", message),
            Error::RateExceeded => Self::new("TooManyRequestsException", "Rate exceeded"),
            Error::TokenTooLong { asked, limit } => {
                Self::new("ValidationException", validate::message(&[Violation::above("tokenDuration", asked, limit)]))
            }
            error @ (Error::Contended
            | Error::Refused(_)
            // IAM's business: no operation of this API asks for one.
            | Error::OidcProviderNotFound(_)
            | Error::OidcProviderExists(_)
            | Error::SamlProviderNotFound(_)
            | Error::SamlProviderExists(_)
            | Error::RoleNotFound(_)
            | Error::RoleExists(_)
            | Error::RoleNotAssumable(_)
            | Error::SessionTooLong
            | Error::NoCredentials
            | Error::MalformedPolicy(_)
            | Error::Sealed(_)
            | Error::CannotSign(_)
            | Error::IssuerChanged(_)
            | Error::Database(_)
            | Error::Standby
            | Error::Together(_)
            | Error::Internal(_)) => Self::internal(error),
        }
    }
}

/// Texts that every protocol has for its own codes.
pub mod text {
    /// For a body in an encoding that is not taken.
    pub const ENCODED: &str = "Content-Encoding is not supported; send the body as it is.";
    /// For a body that did not arrive in time, or not whole.
    pub const INCOMPLETE: &str = "The request body did not arrive whole and in time.";

    /// For a body beyond the limit, in bytes.
    #[must_use]
    pub fn too_large(limit: usize) -> String {
        format!("Request body is larger than {limit} bytes.")
    }

    /// For a browser page of a foreign origin signing with well-known credentials.
    #[must_use]
    pub fn foreign_origin(origin: &str) -> String {
        format!(
            "Requests signed in a browser page of origin {origin} are refused, since any page knows the credentials of \
             dev mode. Add the origin to dev.allowed_origins to admit it."
        )
    }
}

/// What follows "Invalid login token.": AWS's words where a response was captured.
fn login_text(why: &InvalidLogin) -> String {
    match why {
        InvalidLogin::NotIdToken => " Not a valid OpenId Connect identity token.".to_owned(),
        InvalidLogin::Expired { now, exp } => format!(" Token expired: {now} >= {exp}"),
        InvalidLogin::NotYetValid => " Token is not valid yet.".to_owned(),
        InvalidLogin::Signature => " Couldn't verify signed token.".to_owned(),
        InvalidLogin::Issuer => " Issuer doesn't match providerName".to_owned(),
        InvalidLogin::MissingClaim(claim) => format!(" Missing a required claim: {claim}"),
        InvalidLogin::Audience => " Incorrect token audience.".to_owned(),
        InvalidLogin::Revoked => " Token is no longer honoured by its user pool.".to_owned(),
        InvalidLogin::CheckNotConfigured => {
            " The provider asks for ServerSideTokenCheck, and upstream.token_introspection is not configured."
                .to_owned()
        }
        InvalidLogin::NotAccessToken => " Not an access token of this provider.".to_owned(),
        // As it was seen where the provider's reason is not passed on.
        InvalidLogin::NotHonoured => String::new(),
        InvalidLogin::NotOwnToken => " Not a Cognito token.".to_owned(),
        InvalidLogin::Saml(why) => format!(" {why}"),
        InvalidLogin::Replayed => {
            " This SAML assertion was taken by the operation before; sign in at the provider again.".to_owned()
        }
        InvalidLogin::UnfitTagClaim(claim) => format!(" The claim '{claim}' does not fit a principal tag."),
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let exception = match refusal {
            Refusal::MissingToken => "MissingAuthenticationTokenException",
            Refusal::Incomplete { .. } => "IncompleteSignatureException",
            Refusal::UnknownKey => "UnrecognizedClientException",
            Refusal::ExpiredToken => "ExpiredTokenException",
            _ => "InvalidSignatureException",
        };
        Self::new(exception, refusal.to_string())
    }
}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Self {
        Self::new("SerializationException", malformed.reason())
    }
}

impl From<Vec<Violation>> for Fault {
    fn from(violations: Vec<Violation>) -> Self {
        let logged = Some(validate::without_values(&violations).into());
        Self { logged, ..Self::new("ValidationException", validate::message(&violations)) }
    }
}
