//! Access keys in memory, with the signing keys derived from them, so that a request needs neither row nor derivation.

use std::sync::{Arc, Mutex, PoisonError};

use super::access_key::UsableKey;
use crate::ids::Region;
use crate::sigv4::{SigningKey, Timely};

/// An access key kept in memory, with the signing keys derived from it.
#[derive(Debug)]
pub struct RememberedKey {
    /// The key.
    pub key: UsableKey,
    derived: Mutex<Vec<Derived>>,
}

/// A signing key with the day, the region and the service that it is for.
type Derived = (String, Region, &'static str, Arc<SigningKey>);

/// Signing keys kept for one access key: a new day, another region or another service needs another.
const MAX_DERIVED: usize = 16;

impl RememberedKey {
    /// A key from which nothing has been derived yet.
    #[must_use]
    pub fn new(key: UsableKey) -> Self {
        Self { key, derived: Mutex::new(Vec::new()) }
    }

    /// The signing key for the scope of a request.
    #[must_use]
    pub fn signing_key(&self, presented: &Timely<'_>) -> Arc<SigningKey> {
        let (date, region, service) = (presented.date(), presented.region(), presented.service().name);
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((.., key)) = derived.iter().find(|(d, r, s, _)| d == date && r == region && *s == service) {
            return Arc::clone(key);
        }
        let key = Arc::new(SigningKey::derive(self.key.secret.expose(), date, region.as_str(), service));
        if derived.len() >= MAX_DERIVED {
            derived.clear();
        }
        derived.push((date.to_owned(), region.clone(), service, Arc::clone(&key)));
        key
    }
}
