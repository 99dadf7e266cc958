//! Logins of other providers: their tokens are verified here, before anything is looked up for them.
//!
//! - [`trust`]: what a pool trusts under a login key, and for which clients.
//! - [`login`]: a login whose token held.

pub mod login;
pub mod trust;

use crate::clock::Clock;
use crate::config;
use crate::error::{Error, Result};

pub use login::VerifiedLogin;
pub use trust::{Audience, Kind, Trust};

/// What is kept between requests: the issuers' keys, and the client that fetches them.
#[derive(Debug)]
pub struct Upstream {
    _config: config::Upstream,
    _clock: Clock,
}

impl Upstream {
    /// With nothing fetched yet.
    #[must_use]
    pub fn new(config: &config::Upstream, clock: Clock) -> Self {
        Self { _config: config.clone(), _clock: clock }
    }

    /// Verifies the token of each login: all hold, or none counts. Hold no database connection meanwhile.
    ///
    /// # Errors
    /// [`Error::InvalidLogin`] for the first one that does not hold; [`Error::Upstream`] if an issuer cannot be asked.
    #[expect(clippy::unused_async, reason = "it fetches")]
    pub async fn verify(&self, logins: Vec<(Trust, String)>) -> Result<Vec<VerifiedLogin>> {
        if logins.is_empty() { Ok(Vec::new()) } else { Err(Error::ProviderNotSupported) }
    }
}
