//! What can go wrong, in the broker's own words. The `fault.rs` of each protocol alone turns these into exceptions of the
//! wire.

use std::error::Error as StdError;
use std::sync::Arc;

use crate::sigv4::Refusal;

/// An operation's failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A body beyond the limit, in bytes.
    #[error("the body is larger than {0} bytes")]
    BodyTooLarge(usize),
    /// A body that did not arrive in time, or not whole.
    #[error("the body did not arrive whole and in time")]
    BodyIncomplete,
    /// A body in an encoding that is not taken.
    #[error("the body has a Content-Encoding")]
    BodyEncoded,
    /// A browser page of this foreign origin signing with well-known credentials.
    #[error("signed in a browser page of {0}")]
    ForeignOrigin(String),
    /// A signature that does not hold.
    #[error("{0}")]
    Signature(#[from] Refusal),
    /// No pool of this id that the caller may see.
    #[error("identity pool {0} not found")]
    PoolNotFound(String),
    /// No identity of this id that the caller may see.
    #[error("identity {0} not found")]
    IdentityNotFound(String),
    /// The identity is disabled, or was used without proof of one of its logins.
    #[error("access to identity {0} is forbidden")]
    IdentityForbidden(String),
    /// The pool does not admit guests.
    #[error("guests are not allowed in this pool")]
    GuestsNotAllowed,
    /// None of the given logins belongs to the named identity.
    #[error("no given login belongs to the identity")]
    LoginsDontMatch,
    /// A login of a provider that the pool does not have.
    #[error("the pool has no such provider")]
    ProviderNotSupported,
    /// The developer provider where only public ones are taken.
    #[error("a developer provider where only public ones are taken")]
    DeveloperProviderNotPublic,
    /// A login token that does not hold.
    #[error("invalid login token: {0}")]
    InvalidLogin(#[from] InvalidLogin),
    /// The STS that gives credentials could not be asked; the text is for the log.
    #[error("the STS of credentials.sts_endpoint could not be asked: {0}")]
    StsFailed(String),
    /// An issuer, or what stands behind it, could not be asked; the text is for the log.
    #[error("upstream: {0}")]
    Upstream(String),
    /// The identity has no role that it could take on.
    #[error("no usable role")]
    NoUsableRole,
    /// A classic-flow operation on a pool that does not admit the classic flow.
    #[error("the classic flow is not enabled")]
    ClassicFlowDisabled,
    /// A classic-flow operation on a pool with role mappings.
    #[error("the classic flow does not go with role mappings")]
    ClassicFlowWithMappings,
    /// A role that cannot be passed: its ARN is malformed.
    #[error("access to role {0} is forbidden")]
    RoleForbidden(String),
    /// The role mapping of this provider has no role for the user, and denies.
    #[error("the role mapping of {0} denies")]
    RoleMappingDenied(String),
    /// A key of role mappings that names no provider of the pool.
    #[error("{0} is not a role mapping provider")]
    NotAMappingProvider(String),
    /// A provider by a name that no provider of the pool has.
    #[error("the pool has no provider {0}")]
    ProviderNotFound(String),
    /// A provider for which no principal tags were ever set.
    #[error("no principal tags were set for provider {0}")]
    TagMapNotFound(String),
    /// The caller may not do this to what it names; all of it is for the caller.
    #[error("{0}")]
    NotAllowed(Box<NotAllowed>),
    /// The service's own token given as a login to `GetId`.
    #[error("the service's own token was given as a login")]
    OwnTokenAsLogin,
    /// A developer provider name that is not the pool's.
    #[error("the pool has no developer provider of this name")]
    DeveloperProviderNotSupported,
    /// No developer user among the logins.
    #[error("no developer provider among the logins")]
    DeveloperProviderMissing,
    /// A developer user identifier that no row can hold; the reason is for the caller.
    #[error("bad developer user identifier: {0}")]
    BadDeveloperUser(&'static str),
    /// The developer user belongs to another identity.
    #[error("the developer user is registered with another identity")]
    DeveloperUserAlreadyRegistered,
    /// A second user of one public provider.
    #[error("the identity already has another user of this provider")]
    SecondUserOfProvider,
    /// More linked logins than one identity may hold.
    #[error("too many linked logins")]
    TooManyLogins,
    /// No such developer user in the pool.
    #[error("developer user not found")]
    DeveloperUserNotFound,
    /// The developer user and the identity of a look-up do not belong together.
    #[error("developer user and identity do not match")]
    LookupMismatch,
    /// The developer user to unlink is linked to another identity.
    #[error("the developer user is not linked to this identity")]
    NotLinkedToIdentity,
    /// A look-up without any key.
    #[error("a look-up needs an identity or a developer user")]
    LookupWithoutKey,
    /// An attempt to change a developer provider name.
    #[error("the developer provider name cannot be changed")]
    DeveloperProviderImmutable,
    /// A developer provider name that is also a public provider's login key.
    #[error("the developer provider name is a login key of the pool")]
    DeveloperProviderIsLoginKey,
    /// A user pool entry without a proper name or client.
    #[error("bad user pool provider")]
    BadUserPoolProvider,
    /// A parameter that the model admits and the service does not; the text is for the caller.
    #[error("{0}")]
    InvalidParameter(String),
    /// A page token that is not one of ours for this very question.
    #[error("bad page token")]
    BadPageToken,
    /// No OpenID Connect provider of this ARN that the caller may see.
    #[error("OpenID Connect provider {0} not found")]
    OidcProviderNotFound(String),
    /// The tenant has an OpenID Connect provider of this URL already.
    #[error("OpenID Connect provider {0} exists already")]
    OidcProviderExists(String),
    /// No SAML provider of this ARN that the caller may see.
    #[error("SAML provider {0} not found")]
    SamlProviderNotFound(String),
    /// The tenant has a SAML provider of this name already.
    #[error("SAML provider {0} exists already")]
    SamlProviderExists(String),
    /// No role of this name that the caller may see.
    #[error("role {0} not found")]
    RoleNotFound(String),
    /// The tenant has a role of this name already.
    #[error("role {0} exists already")]
    RoleExists(String),
    /// The role's trust policy does not admit the bearer of a token, or there is no such role; the reason is for the log
    /// alone.
    #[error("the web identity may not take on the role: {0}")]
    RoleNotAssumable(String),
    /// A session of a role for longer than the role's sessions may last.
    #[error("the session would last longer than the role allows")]
    SessionTooLong,
    /// No credentials are given here: none of the backends is configured for it.
    #[error("no credentials are given here")]
    NoCredentials,
    /// A policy document that is none; the text, which names the place, is for the caller.
    #[error("{0}")]
    MalformedPolicy(String),
    /// More of something than the tenant may have; the text is for the caller.
    #[error("{0}")]
    LimitExceeded(String),
    /// Too many requests.
    #[error("rate exceeded")]
    RateExceeded,
    /// Other writers were faster, again and again.
    #[error("lost every race")]
    Contended,
    /// A `TokenDuration` beyond this installation's `tokens.max_lifetime` (the limit, in seconds).
    #[error("token duration above the limit of {limit} s")]
    TokenTooLong {
        /// What was asked for, in seconds.
        asked: i64,
        /// What is allowed, in seconds.
        limit: i64,
    },
    /// No master key opens what must be opened; holds the key ids that are missing.
    #[error("sealed: no usable master key for {0}")]
    Sealed(String),
    /// A command that the state of things forbids; the text is for the operator.
    #[error("{0}")]
    Refused(String),
    /// No key may sign now.
    #[error("no signing key: {0}")]
    CannotSign(&'static str),
    /// The installation has another issuer than this broker was started with.
    #[error("the installation's issuer has changed to {0}; restart this broker with it")]
    IssuerChanged(String),
    /// The database failed, or could not be reached in time.
    #[error("database: {}", database_text(.0))]
    Database(#[from] sqlx::Error),
    /// What was reached is not the primary.
    #[error("the database takes no writes: it is a standby, or read-only; DATABASE_URL must lead to the primary")]
    Standby,
    /// The database failed for a statement that several asked with.
    #[error("{0}")]
    Together(#[from] Arc<Self>),
    /// A defect or a broken machine. Logged whole, shown bare.
    #[error("internal: {0}")]
    Internal(Box<dyn StdError + Send + Sync>),
}

impl Error {
    /// An [`Error::Internal`] with a reason for the log.
    pub fn internal(reason: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Internal(reason.into())
    }
}

/// A database error in the server's words and its SQLSTATE; the driver adds lines of the server's source.
#[must_use]
pub fn database_text(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => match error.code() {
            Some(code) => format!("{} (SQLSTATE {code})", error.message()),
            None => error.message().to_owned(),
        },
        sqlx::Error::PoolTimedOut => "no connection became free within database.acquire_timeout".to_owned(),
        error => error.to_string(),
    }
}

/// Who may not do what to what. `Display` is AWS's text
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("User: {caller} is not authorized to perform: {action} on resource: {resource} {}", self.reason())]
pub struct NotAllowed {
    /// The caller's ARN.
    pub caller: String,
    /// The service and the operation: `cognito-identity:ListIdentities`.
    pub action: String,
    /// What was named.
    pub resource: String,
    /// Whether a statement denies it, or none allows it.
    pub explicit: bool,
}

impl NotAllowed {
    fn reason(&self) -> String {
        if self.explicit {
            "with an explicit deny".to_owned()
        } else {
            format!("because no identity-based policy allows the {} action", self.action)
        }
    }
}

/// Why a login token is refused: what its bearer may know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLogin {
    /// Not a compact JWS whose payload is a set of claims, or not an ID token.
    #[error("not an OpenID Connect ID token")]
    NotIdToken,
    /// Expired; both times in epoch seconds.
    #[error("expired: {now} >= {exp}")]
    Expired {
        /// Now.
        now: i64,
        /// Its `exp`.
        exp: i64,
    },
    /// Dated in the future.
    #[error("not valid yet")]
    NotYetValid,
    /// The signature is not one of the issuer's published keys.
    #[error("couldn't verify the signature")]
    Signature,
    /// Of another issuer than that of its login key.
    #[error("of another issuer")]
    Issuer,
    /// A claim that must be there is not, or is not of its type.
    #[error("no usable claim {0}")]
    MissingClaim(&'static str),
    /// Made for a client that is not configured.
    #[error("for another audience")]
    Audience,
    /// The user pool no longer honours it: signed out, disabled or deleted.
    #[error("no longer honoured by its user pool")]
    Revoked,
    /// The server-side check is asked for, and cannot be done.
    #[error("the server-side token check is not configured")]
    CheckNotConfigured,
    /// Not an access token as its provider makes them.
    #[error("not an access token of its provider")]
    NotAccessToken,
    /// The provider, asked about it, refuses it: expired, revoked, or never its own.
    #[error("refused by its provider")]
    NotHonoured,
    /// Not one of this service's own tokens, where only those are taken.
    #[error("not one of this service's tokens")]
    NotOwnToken,
    /// A SAML response that breaks a rule; the text says which.
    #[error("SAML response: {0}")]
    Saml(&'static str),
    /// A SAML assertion that the operation has taken before.
    #[error("the assertion was taken before")]
    Replayed,
    /// A claim that is mapped to a principal tag does not fit one.
    #[error("the claim {0} does not fit a principal tag")]
    UnfitTagClaim(String),
}

/// Shorthand for a result in the broker's own words.
pub type Result<T, E = Error> = std::result::Result<T, E>;
