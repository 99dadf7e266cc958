//! Logins of other providers: their tokens are verified here, before anything is looked up for them.
//!
//! A token costs its bearer nothing, and a fetch costs us something, so what can be known without one is known first:
//!
//! 1. [`trust`]: what a pool trusts under a login key, and for which clients; [`issuer`]: who that is, and where its
//!    keys are.
//! 2. [`token`]: the form of the token, and a header that leaves nothing open.
//! 3. [`claims`]: issuer, times, user and client.
//! 4. [`remembered`]: the issuer's keys, from memory or by way of [`discovery`], which asks for documents through
//!    [`fetch`] and its [`client`]; [`resolver`] and [`address`] say whom that may connect to. [`key_set`]: the signature.
//! 5. [`introspection`]: for a user pool's client that wants it, whether the token is still honoured.
//!
//! [`social`] providers have opaque tokens: in place of all that, they are asked.
//!
//! A [`saml`] response brings all that it needs along, and nobody is asked.
//!
//! What held is a [`VerifiedLogin`]. The other way round, [`sts`] hands tokens of ours to an STS.

pub mod address;
pub mod claims;
pub mod client;
pub mod discovery;
pub mod fetch;
pub mod introspection;
pub mod issuer;
pub mod key_set;
pub mod login;
pub mod remembered;
pub mod resolver;
pub mod saml;
pub mod social;
pub mod sts;
pub mod token;
pub mod trust;

use std::sync::Arc;

use futures_util::future::join_all;

use self::claims::Judged;
use self::fetch::Fetcher;
use self::introspection::Introspection;
use self::issuer::Issuer;
use self::remembered::Remembered;
use self::resolver::{Lookup, System};
use self::social::{Question, Social};
use self::token::Token;
use crate::clock::Clock;
use crate::config;
use crate::error::{InvalidLogin, Result};

pub use login::VerifiedLogin;
pub use trust::{Audience, Declared, Kind, Proof, Saml, Trust};

/// What verifies login tokens: the issuers' keys in memory, and what fetches them.
#[derive(Debug)]
pub struct Upstream {
    config: config::Upstream,
    clock: Clock,
    remembered: Remembered,
    introspection: Introspection,
    social: Social,
}

/// A login of which no more can be told without asking anyone.
enum Candidate<'a> {
    IdToken(Box<Claimed<'a>>),
    OpaqueToken(Question<'a>),
    Proven(Box<VerifiedLogin>),
}

/// A token whose claims would hold, if its signature does.
struct Claimed<'a> {
    trust: &'a Trust,
    token: Token<'a>,
    issuer: Issuer,
    login: VerifiedLogin,
}

impl Upstream {
    /// With nothing fetched yet.
    ///
    /// # Errors
    /// [`Error::Refused`](crate::error::Error::Refused) if `upstream.ca_file` does not hold certificates.
    pub fn new(config: &config::Upstream, clock: Clock) -> Result<Self> {
        Self::asking(config, clock, &(Arc::new(System) as Arc<dyn Lookup>))
    }

    /// The same, with the names of issuers looked up elsewhere than in the system.
    ///
    /// # Errors
    /// As [`Upstream::new`].
    pub fn asking(config: &config::Upstream, clock: Clock, lookup: &Arc<dyn Lookup>) -> Result<Self> {
        let fetcher = Arc::new(Fetcher::asking(config, lookup)?);
        Ok(Self {
            config: config.clone(),
            clock: clock.clone(),
            remembered: Remembered::new(Arc::clone(&fetcher), config, clock.clone()),
            introspection: Introspection::new(Arc::clone(&fetcher), config),
            social: Social::new(fetcher, config, clock),
        })
    }

    /// Verifies the token of each login: all hold, or none counts. Hold no database connection meanwhile: it may take
    /// twice `upstream.fetch_timeout`.
    ///
    /// # Errors
    /// [`Error::InvalidLogin`](crate::error::Error::InvalidLogin) for the first one that does not hold,
    /// [`Error::ProviderNotSupported`](crate::error::Error::ProviderNotSupported) if it is of a user pool's client that
    /// is not configured, [`Error::Upstream`](crate::error::Error::Upstream) if an issuer or a provider cannot be asked.
    pub async fn verify(&self, logins: Vec<(Trust, String)>) -> Result<Vec<VerifiedLogin>> {
        let candidates: Vec<Candidate<'_>> =
            logins.iter().map(|(trust, text)| self.candidate(trust, text)).collect::<Result<_>>()?;
        let proven = all(candidates.into_iter().map(|candidate| self.prove(candidate))).await?;
        all(logins.iter().zip(&proven).map(|((_, text), login)| self.check_honoured(login, text))).await?;
        Ok(proven)
    }

    /// What a login comes to without asking anyone.
    fn candidate<'a>(&self, trust: &'a Trust, text: &'a str) -> Result<Candidate<'a>> {
        Ok(match &trust.proof {
            Proof::IdToken => Candidate::IdToken(Box::new(self.claimed(trust, text)?)),
            Proof::OpaqueToken(provider) => Candidate::OpaqueToken(Social::question(trust, provider, text)?),
            Proof::SamlResponse(saml) => {
                let verified = saml::verify(&trust.login_key, saml, text, &self.config, self.clock.wall())?;
                Candidate::Proven(Box::new(verified))
            }
        })
    }

    fn claimed<'a>(&self, trust: &'a Trust, text: &'a str) -> Result<Claimed<'a>> {
        let token = Token::parse(text)?;
        let issuer = Issuer::of(trust, &self.config);
        let skew = i64::try_from(self.config.clock_skew.as_secs()).unwrap_or(i64::MAX);
        let judged = Judged { now: self.clock.wall().unix_timestamp(), skew };
        let said = claims::check(&token.claims, trust, &issuer, judged)?;
        let login = VerifiedLogin {
            login_key: trust.login_key.clone(),
            audience: said.audience.clone(),
            subject: said.subject.to_owned(),
            claims: token.claims.clone(),
            once: None,
        };
        Ok(Claimed { trust, token, issuer, login })
    }

    async fn prove(&self, candidate: Candidate<'_>) -> Result<VerifiedLogin> {
        match candidate {
            Candidate::IdToken(claimed) => {
                let Claimed { trust, token, issuer, login } = *claimed;
                let keys = self.remembered.keys(&trust.account_id, &issuer.keys, &token.header).await?;
                if keys.verifies(&token) { Ok(login) } else { Err(InvalidLogin::Signature.into()) }
            }
            Candidate::OpaqueToken(question) => self.social.ask(&question).await,
            Candidate::Proven(login) => Ok(*login),
        }
    }

    async fn check_honoured(&self, login: &VerifiedLogin, text: &str) -> Result<()> {
        match login.audience.kind {
            Kind::UserPool { server_side_token_check: true } => self.introspection.check(&login.login_key, text).await,
            _ => Ok(()),
        }
    }
}

/// All checks at once, and the first failure in their order.
async fn all<T>(checks: impl Iterator<Item = impl Future<Output = Result<T>>>) -> Result<Vec<T>> {
    join_all(checks).await.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use crate::config::{self, Config, Sources};

    /// The defaults with these settings of the section.
    pub fn settings(text: &str) -> config::Upstream {
        let profile = format!("[upstream]\n{text}\n");
        Config::read(&Sources { profile: &profile, ..Sources::default() }).unwrap().upstream
    }
}
