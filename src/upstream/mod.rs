//! Logins of other providers: their tokens are verified here, before anything is looked up for them.
//!
//! A token costs its bearer nothing, and a fetch costs us something, so what can be known without one is known first:
//!
//! 1. [`trust`]: what a pool trusts under a login key, and for which clients; [`issuer`]: who that is, and where its
//!    keys are.
//! 2. [`token`]: the form of the token, and a header that leaves nothing open.
//! 3. [`claims`]: issuer, times, user and client.
//! 4. [`remembered`]: the issuer's keys, from memory or by way of [`discovery`], which asks for documents through
//!    [`fetch`]; [`resolver`] and [`address`] say whom that may connect to. [`key_set`]: the signature.
//! 5. [`introspection`]: for a user pool's client that wants it, whether the token is still honoured.
//!
//! A SAML response brings its keys' proof along, and nobody is asked: [`saml`].
//!
//! What held is a [`VerifiedLogin`].

pub mod address;
pub mod claims;
pub mod discovery;
pub mod fetch;
pub mod introspection;
pub mod issuer;
pub mod key_set;
pub mod login;
pub mod remembered;
pub mod resolver;
pub mod saml;
pub mod token;
pub mod trust;

use std::sync::Arc;

use futures_util::future::join_all;

use self::claims::Judged;
use self::fetch::Fetcher;
use self::introspection::Introspection;
use self::issuer::Issuer;
use self::remembered::Remembered;
use self::token::Token;
use crate::clock::Clock;
use crate::config;
use crate::error::{InvalidLogin, Result};
use crate::ids::AccountId;

pub use login::VerifiedLogin;
pub use trust::{Audience, Declared, Kind, SamlTrust, Trust, Trusted};

/// What verifies login tokens: the issuers' keys in memory, and what fetches them.
#[derive(Debug)]
pub struct Upstream {
    config: config::Upstream,
    clock: Clock,
    remembered: Remembered,
    introspection: Introspection,
}

/// A login on its way: one that holds already, or a token whose claims would hold, if its signature does.
enum Proof<'a> {
    Done(VerifiedLogin),
    Token(Candidate<'a>),
}

impl<'a> Proof<'a> {
    fn token(&self) -> Option<&Candidate<'a>> {
        match self {
            Self::Done(_) => None,
            Self::Token(candidate) => Some(candidate),
        }
    }
}

struct Candidate<'a> {
    text: &'a str,
    token: Token<'a>,
    account_id: &'a AccountId,
    issuer: Issuer,
    login: VerifiedLogin,
}

impl Upstream {
    /// With nothing fetched yet.
    ///
    /// # Errors
    /// [`Error::Refused`](crate::error::Error::Refused) if `upstream.ca_file` does not hold certificates.
    pub fn new(config: &config::Upstream, clock: Clock) -> Result<Self> {
        let fetcher = Arc::new(Fetcher::new(config)?);
        Ok(Self {
            config: config.clone(),
            clock: clock.clone(),
            remembered: Remembered::new(Arc::clone(&fetcher), config, clock),
            introspection: Introspection::new(fetcher, config),
        })
    }

    /// Verifies the proof of each login: all hold, or none counts. Hold no database connection meanwhile: it may take
    /// twice `upstream.fetch_timeout`. That nothing is taken [`once`](VerifiedLogin::once) too often is for the caller.
    ///
    /// # Errors
    /// [`Error::InvalidLogin`](crate::error::Error::InvalidLogin) for the first one that does not hold,
    /// [`Error::ProviderNotSupported`](crate::error::Error::ProviderNotSupported) if it is of a user pool's client that
    /// is not configured, [`Error::Upstream`](crate::error::Error::Upstream) if an issuer cannot be asked.
    pub async fn verify(&self, logins: Vec<(impl Into<Trusted>, String)>) -> Result<Vec<VerifiedLogin>> {
        let logins: Vec<(Trusted, String)> = logins.into_iter().map(|(trusted, text)| (trusted.into(), text)).collect();
        let proofs: Vec<Proof<'_>> = logins
            .iter()
            .map(|(trusted, text)| match trusted {
                Trusted::IdToken(trust) => self.candidate(trust, text).map(Proof::Token),
                Trusted::Saml(trust) => {
                    let verified = saml::verify(trust, text, &self.config, self.clock.wall());
                    verified.map(Proof::Done).map_err(Into::into)
                }
            })
            .collect::<Result<_>>()?;
        all(proofs.iter().filter_map(Proof::token).map(|token| self.check_signature(token))).await?;
        all(proofs.iter().filter_map(Proof::token).map(|token| self.check_honoured(token))).await?;
        let login = |proof| match proof {
            Proof::Done(login) => login,
            Proof::Token(candidate) => candidate.login,
        };
        Ok(proofs.into_iter().map(login).collect())
    }

    /// What a token comes to without asking anyone.
    fn candidate<'a>(&self, trust: &'a Trust, text: &'a str) -> Result<Candidate<'a>> {
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
        Ok(Candidate { text, token, account_id: &trust.account_id, issuer, login })
    }

    async fn check_signature(&self, candidate: &Candidate<'_>) -> Result<()> {
        let Candidate { token, account_id, issuer, .. } = candidate;
        let keys = self.remembered.keys(account_id, &issuer.keys, &token.header).await?;
        if keys.verifies(token) { Ok(()) } else { Err(InvalidLogin::Signature.into()) }
    }

    async fn check_honoured(&self, candidate: &Candidate<'_>) -> Result<()> {
        match candidate.login.audience.kind {
            Kind::UserPool { server_side_token_check: true } => {
                self.introspection.check(&candidate.login.login_key, candidate.text).await
            }
            _ => Ok(()),
        }
    }
}

/// All checks at once, and the first failure in their order.
async fn all(checks: impl Iterator<Item = impl Future<Output = Result<()>>>) -> Result<()> {
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
