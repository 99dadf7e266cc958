//! GetOpenIdToken: an identity is used by whoever proves one of its logins, or, if it is a guest, by whoever knows its id.

use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::caller::Visitor;
use super::logins::{self, Logins};
use crate::app::App;
use crate::cache::Moment;
use crate::error::{Error, Result};
use crate::identities::identity::State;
use crate::identities::sign_in::Claim;
use crate::identities::{DeveloperUser, Identity, Login};
use crate::ids::IdentityId;
use crate::pools::Pool;
use crate::retry;
use crate::tokens::openid_token::{Grant, Vouched, check_length, mint};
use crate::tokens::own_token;
use crate::tokens::principal_tags::{self, PrincipalTags};
use crate::tokens::web_identity::WebIdentity;
use crate::upstream::VerifiedLogin;

/// How long a token of the classic flow lives: ten minutes
/// (<https://docs.aws.amazon.com/cognitoidentity/latest/APIReference/API_GetOpenIdToken.html>).
pub(super) const LIFETIME: Duration = Duration::from_mins(10);

/// `GetOpenIdToken`'s input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TokenInput {
    identity_id: String,
    #[serde(default)]
    logins: Option<Logins>,
}

/// An identity, and a token for it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TokenOutput {
    pub(super) identity_id: String,
    pub(super) token: String,
}

/// `GetOpenIdToken`: the classic flow's token. The identity that is answered can be another than the one asked for.
pub async fn get_open_id_token(app: &App, visitor: Visitor, input: TokenInput) -> Result<TokenOutput> {
    let asked = Asked::read(app, visitor, "GetOpenIdToken", &input.identity_id).await?;
    if asked.pool.settings.allow_classic == Some(false) {
        return Err(Error::ClassicFlowDisabled);
    }
    if asked.pool.roles.mappings.is_some() {
        return Err(Error::ClassicFlowWithMappings);
    }
    let logins = input.logins.unwrap_or_default();
    let lifetime = LIFETIME.min(app.config.tokens.max_lifetime);
    let (identity, token) = if logins.is_empty() {
        asked.check_guest()?;
        let none = PrincipalTags::new();
        let grant = Grant::new(&asked.pool, &asked.id, Vouched::default(), &none, lifetime);
        (asked.id.clone(), mint(&app.ring, app.config.issuer.token_type, &grant)?)
    } else {
        logins::check_keys(&asked.pool, &logins)?;
        let public = asked.verify(app, logins).await?;
        let tags = principal_tags::of(&asked.pool, &public, PrincipalTags::new())?;
        let vouched = Vouched { developer: None, public: &public };
        let grant = |identity: &IdentityId| Grant::new(&asked.pool, identity, vouched, &tags, lifetime);
        // Whoever is refused for a token that would be too long has linked nothing.
        check_length(&app.ring, app.config.issuer.token_type, &grant(&asked.id))?;
        let identity = asked.sign_in(app, &public).await?;
        let token = mint(&app.ring, app.config.issuer.token_type, &grant(&identity))?;
        (identity, token)
    };
    metrics::counter!("symbolon_tokens_issued_total", "flow" => "classic").increment(1);
    Ok(TokenOutput { identity_id: identity.to_string(), token })
}

/// The identity that a request names, as it was found.
pub(super) struct Asked {
    pub(super) pool: Pool,
    pub(super) id: IdentityId,
    state: State,
    has_logins: bool,
    operation: &'static str,
    /// The moment before it was.
    read_at: Option<Moment>,
}

impl Asked {
    /// The identity of this id, whose ever it is.
    ///
    /// # Errors
    /// [`Error::IdentityNotFound`], [`Error::RateExceeded`], or if the database fails.
    pub(super) async fn read(app: &App, _visitor: Visitor, operation: &'static str, text: &str) -> Result<Self> {
        let not_found = || Error::IdentityNotFound(text.to_owned());
        let id = IdentityId::parse(text).ok_or_else(not_found)?;
        let read_at = app.moment();
        let asked = retry!(app.db, |conn| {
            let (pool, identity) = Identity::find_public(conn, &id).await?.ok_or_else(not_found)?;
            let has_logins = !Login::of_identity(conn, &pool, identity.uuid).await?.is_empty();
            Ok(Self { pool, id: id.clone(), state: identity.state, has_logins, operation, read_at })
        })?;
        app.limits.admit_operation(&asked.pool.account_id, operation)?;
        Ok(asked)
    }

    /// Whether the id alone is enough.
    ///
    /// # Errors
    /// [`Error::IdentityForbidden`] for a disabled identity and for one with logins; [`Error::GuestsNotAllowed`].
    pub(super) fn check_guest(&self) -> Result<()> {
        if self.state == State::Disabled || self.has_logins {
            return Err(Error::IdentityForbidden(self.id.to_string()));
        }
        if !self.pool.settings.allow_unauthenticated {
            return Err(Error::GuestsNotAllowed);
        }
        Ok(())
    }

    /// Takes one of our own tokens as proof of the identity, and returns what it says: one that a developer's backend asked for, for a user who is
    /// still its user. It lets its bearer use the identity, and no more: it is shown to others, and whoever is shown it
    /// must not be able to link himself.
    ///
    /// # Errors
    /// What [`own_token::verify`] refuses; [`Error::IdentityForbidden`] if the identity is disabled;
    /// [`Error::LoginsDontMatch`] for the token of another identity, of another user, or of the classic flow.
    pub(super) async fn check_own_token(&self, app: &App, token: &str) -> Result<WebIdentity> {
        let own = own_token::verify(&app.ring, token)?;
        if self.state == State::Disabled {
            return Err(Error::IdentityForbidden(self.id.to_string()));
        }
        let provider = self.pool.settings.developer_provider.as_ref();
        let developer = own.developer.filter(|developer| Some(&developer.provider) == provider);
        let (Some(developer), true) = (developer, own.subject.identity == self.id && own.subject.pool == self.pool.id)
        else {
            return Err(Error::LoginsDontMatch);
        };
        let key = DeveloperUser::parse(developer.user)?.key(&self.pool);
        match retry!(app.db, |conn| { Login::owner(conn, &key).await })? {
            Some(owner) if owner == self.id.uuid => Ok(own.subject),
            _ => Err(Error::LoginsDontMatch),
        }
    }

    /// Verifies the tokens of public logins.
    ///
    /// # Errors
    /// As [`logins::verify`]; [`Error::IdentityNotFound`] if its pool was deleted meanwhile.
    pub(super) async fn verify(&self, app: &App, logins: Logins) -> Result<Vec<VerifiedLogin>> {
        logins::verify(app, &self.pool, self.read_at, logins, self.operation).await.map_err(|error| match error {
            Error::PoolNotFound(_) => Error::IdentityNotFound(self.id.to_string()),
            error => error,
        })
    }

    /// Signs in with what was proven: the identity of all these logins from now on.
    pub(super) async fn sign_in(&self, app: &App, public: &[VerifiedLogin]) -> Result<IdentityId> {
        let claim = Claim { named: Some(&self.id), public, ..Claim::default() };
        let limit = app.config.limits.linked_logins_per_identity;
        let signed_in = app.arrivals.sign_in(&app.db, &self.pool, &claim, limit).await?;
        Ok(self.pool.identity_id(signed_in.identity))
    }
}
