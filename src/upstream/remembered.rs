//! Issuers' keys in memory: fetched once for all who wait for them, kept while they are fresh, and used a while longer
//! where their issuer does not answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::policy::EvictionPolicy;

use super::discovery::{self, Published};
use super::fetch::{self, Failure, Fetcher};
use super::issuer::KeysAt;
use super::key_set::KeySet;
use super::token::Header;
use crate::clock::Clock;
use crate::config;
use crate::error::{Error, Result};
use crate::ids::AccountId;

/// Providers remembered by one replica; those that nobody has used for longest go first.
const CAPACITY: u64 = 10_000;

/// How long keys are fresh if their issuer does not say, and the bounds of what it may say: a key that is taken back
/// must go, and an issuer must not make itself be asked all the time.
const DEFAULT_FRESHNESS: Duration = Duration::from_hours(1);
const MIN_FRESHNESS: Duration = Duration::from_mins(5);
const MAX_FRESHNESS: Duration = Duration::from_hours(24);

/// The keys of issuers, each for one tenant: what a tenant's provider answered serves no other tenant.
#[derive(Debug)]
pub struct Remembered {
    providers: moka::sync::Cache<(AccountId, KeysAt), Arc<Provider>>,
    fetcher: Arc<Fetcher>,
    clock: Clock,
    patience: Patience,
}

/// How often an issuer is asked, and how long it may be silent.
#[derive(Clone, Copy, Debug)]
struct Patience {
    fetch_timeout: Duration,
    cooldown: Duration,
    stale_limit: Duration,
}

/// One issuer. Whoever fetches holds the flight; nobody waits for it who has what he needs.
#[derive(Debug, Default)]
struct Provider {
    known: Mutex<Known>,
    flight: Arc<tokio::sync::Mutex<()>>,
}

/// What is known of an issuer. Times are those of [`Clock::elapsed`].
#[derive(Debug, Default)]
struct Known {
    kept: Option<Kept>,
    /// When it was last asked.
    asked_at: Option<Duration>,
    /// Why the last fetch brought nothing.
    failure: Option<String>,
}

#[derive(Debug)]
struct Kept {
    keys: Arc<KeySet>,
    at: Duration,
    freshness: Duration,
}

/// What to do for a token.
#[derive(Debug)]
enum Step {
    /// Judge it by these keys.
    Use(Arc<KeySet>),
    /// Ask the issuer first.
    Fetch,
    /// There are no keys, and it is too early to ask again.
    GiveUp(String),
}

impl Known {
    /// What to do for a token with this header.
    fn step(&self, header: &Header, now: Duration, patience: Patience) -> Step {
        if let Some(kept) = &self.kept
            && now.saturating_sub(kept.at) < kept.freshness
            && kept.keys.knows(header)
        {
            return Step::Use(Arc::clone(&kept.keys));
        }
        let may_ask = self.asked_at.is_none_or(|at| now.saturating_sub(at) >= patience.cooldown);
        if may_ask { Step::Fetch } else { self.without_asking(now, patience) }
    }

    /// What to do when the issuer is not asked, or has been.
    fn without_asking(&self, now: Duration, patience: Patience) -> Step {
        match &self.kept {
            Some(kept) if now.saturating_sub(kept.at) <= kept.freshness.max(patience.stale_limit) => {
                Step::Use(Arc::clone(&kept.keys))
            }
            _ => Step::GiveUp(self.failure.clone().unwrap_or_else(|| "its keys could not be fetched".to_owned())),
        }
    }

    /// Takes note of what a fetch brought.
    fn settle(&mut self, outcome: Result<Published, Failure>, now: Duration) {
        self.asked_at = Some(now);
        match outcome {
            Ok(Published { keys, max_age }) => {
                let freshness = max_age.unwrap_or(DEFAULT_FRESHNESS).clamp(MIN_FRESHNESS, MAX_FRESHNESS);
                self.kept = Some(Kept { keys: Arc::new(keys), at: now, freshness });
                self.failure = None;
            }
            Err(failure) => self.failure = Some(failure.reason),
        }
    }
}

impl Remembered {
    /// With nothing fetched yet.
    #[must_use]
    pub fn new(fetcher: Arc<Fetcher>, config: &config::Upstream, clock: Clock) -> Self {
        let providers =
            moka::sync::Cache::builder().max_capacity(CAPACITY).eviction_policy(EvictionPolicy::lru()).build();
        let patience = Patience {
            fetch_timeout: config.fetch_timeout,
            cooldown: config.refetch_cooldown,
            stale_limit: config.stale_limit,
        };
        Self { providers, fetcher, clock, patience }
    }

    /// The keys by which a token with this header is to be judged; they need not hold the one that it names.
    ///
    /// # Errors
    /// [`Error::Upstream`] if there are none, since their issuer could not be asked.
    pub async fn keys(&self, account_id: &AccountId, keys_at: &KeysAt, header: &Header) -> Result<Arc<KeySet>> {
        let key = (account_id.clone(), keys_at.clone());
        let provider = self.providers.get_with(key, Arc::default);
        let step = || provider.known().step(header, self.clock.elapsed(), self.patience);
        if let Some(decided) = decided(step(), keys_at) {
            return decided;
        }
        let flight = Arc::clone(&provider.flight).lock_owned().await;
        // Somebody else may have fetched meanwhile.
        if let Some(decided) = decided(step(), keys_at) {
            return decided;
        }
        // A task of its own: a caller who goes away must not take the fetch from those who wait for it.
        let fetching = tokio::spawn({
            let (fetcher, clock, patience) = (Arc::clone(&self.fetcher), self.clock.clone(), self.patience);
            let (provider, keys_at) = (Arc::clone(&provider), keys_at.clone());
            async move {
                let outcome = discovery::fetch(&fetcher, &keys_at, patience.fetch_timeout).await;
                fetch::count(keys_at.name(), &outcome);
                provider.known().settle(outcome, clock.elapsed());
                drop(flight);
            }
        });
        fetching.await.map_err(Error::internal)?;
        let after = provider.known().without_asking(self.clock.elapsed(), self.patience);
        decided(after, keys_at).unwrap_or_else(|| Err(Error::internal("a fetch that was not decided")))
    }
}

impl Provider {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of it, unless the issuer is to be asked.
fn decided(step: Step, keys_at: &KeysAt) -> Option<Result<Arc<KeySet>>> {
    match step {
        Step::Use(keys) => Some(Ok(keys)),
        Step::Fetch => None,
        Step::GiveUp(reason) => Some(Err(Error::Upstream(format!("{}: {reason}", keys_at.name())))),
    }
}
