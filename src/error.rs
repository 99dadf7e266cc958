//! What can go wrong, in the broker's own words. `cognito/fault.rs` alone turns these into exceptions of the wire.

use std::error::Error as StdError;

/// An operation's failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
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

/// Shorthand for a result in the broker's own words.
pub type Result<T, E = Error> = std::result::Result<T, E>;
