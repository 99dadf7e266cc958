//! Signing keys: how they look, when they turn, which of them signs, and what verifiers are shown.
//!
//! - [`material`]: key pairs, their public JWK and their certificate.
//! - [`signing_key`]: the row; its state is a pure function of the times in it.
//! - [`rotation`]: the pure decisions (what is due, a rotation or a revocation by hand) and the one way to write them.
//! - [`ring`]: what a replica holds in memory: it signs, shows the JWKS, and keeps the rows in order.
//! - [`documents`]: the JWKS and the discovery document, made from the published keys.
//! - [`control`]: what the operator's commands do.
//! - [`recovery`]: what becomes of keys after a loss of the master key, or a restore from a dump.

pub mod control;
pub mod documents;
pub mod material;
pub mod recovery;
pub mod ring;
pub mod rotation;
pub mod signing_key;

use std::time::Duration;

use time::OffsetDateTime;

use crate::config::{self, Algorithm};

pub use crate::config::MAX_PUBLISHED_KEYS;
pub use documents::Document;
pub use ring::{KeyRing, Signer};
pub use signing_key::{SigningKey, State};

/// The schedule of an issuer's keys, and how they look.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// The algorithm of keys yet to be made.
    pub algorithm: Algorithm,
    /// Whether the JWKS shows certificates.
    pub x5c: bool,
    /// The longest life of a token.
    pub max_lifetime: Duration,
    /// The periods.
    pub keys: config::Keys,
}

impl Policy {
    /// The configured schedule for `issuer`: in dev the one that the database was set up for.
    #[must_use]
    pub fn new(config: &config::Config, issuer: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            algorithm: config.issuer.algorithm,
            x5c: config.issuer.x5c,
            max_lifetime: config.tokens.max_lifetime,
            keys: config.keys.clone(),
        }
    }

    /// How far a replica's idea of the time may lie from another's at a turn: twice the skew to the database.
    #[must_use]
    pub fn turn_margin(&self) -> Duration {
        self.keys.replica_skew.saturating_mul(2)
    }

    /// From when a key that must sign at once signs: so early that no replica's skew leaves it without a key.
    #[must_use]
    pub fn at_once(&self, now: OffsetDateTime) -> OffsetDateTime {
        now.saturating_sub(signed(self.turn_margin()))
    }
}

/// `by` after `at`; the end of time if that is beyond it.
pub(crate) fn after(at: OffsetDateTime, by: Duration) -> OffsetDateTime {
    at.saturating_add(signed(by))
}

fn signed(duration: Duration) -> time::Duration {
    time::Duration::try_from(duration).unwrap_or(time::Duration::MAX)
}

#[cfg(test)]
mod testing {
    use super::Policy;
    use crate::config::{Config, Sources};

    /// The default schedule.
    pub fn policy() -> Policy {
        Policy::new(&Config::read(&Sources::default()).unwrap(), "https://id.example.com")
    }
}
