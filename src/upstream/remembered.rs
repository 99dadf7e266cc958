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

/// What is remembered by one replica, in bytes: some tens of thousands of issuers with a few keys each. Those that nobody
/// has used for longest go first.
const CAPACITY: u64 = 64 << 20;

/// What an issuer takes beside its keys, in bytes.
const PER_PROVIDER: usize = 1024;

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

/// One issuer. Whoever fetches holds the flight; nobody waits for it without need.
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

    /// The keys to go on with while another caller asks the issuer, if they are of use.
    fn meanwhile(&self, header: &Header, now: Duration, patience: Patience) -> Option<Arc<KeySet>> {
        match self.without_asking(now, patience) {
            Step::Use(keys) if keys.knows(header) => Some(keys),
            _ => None,
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
        let providers = moka::sync::Cache::builder()
            .max_capacity(CAPACITY)
            .weigher(|_: &(AccountId, KeysAt), provider: &Arc<Provider>| provider.size())
            .eviction_policy(EvictionPolicy::lru())
            .build();
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
        let provider = self.providers.get_with(key.clone(), Arc::default);
        let step = || provider.known().step(header, self.clock.elapsed(), self.patience);
        if let Some(decided) = decided(step(), keys_at) {
            return decided;
        }
        let flight = if let Ok(flight) = Arc::clone(&provider.flight).try_lock_owned() {
            flight
        } else {
            let meanwhile = provider.known().meanwhile(header, self.clock.elapsed(), self.patience);
            if let Some(keys) = meanwhile {
                return Ok(keys);
            }
            Arc::clone(&provider.flight).lock_owned().await
        };
        // Somebody else may have fetched meanwhile.
        if let Some(decided) = decided(step(), keys_at) {
            return decided;
        }
        // A task of its own: a caller who goes away must not take the fetch from those who wait for it.
        let fetching = tokio::spawn({
            let (fetcher, clock, patience) = (Arc::clone(&self.fetcher), self.clock.clone(), self.patience);
            let (provider, providers) = (Arc::clone(&provider), self.providers.clone());
            async move {
                let outcome = discovery::fetch(&fetcher, &key.1, patience.fetch_timeout).await;
                fetch::count(key.1.name(), &outcome);
                provider.known().settle(outcome, clock.elapsed());
                // Weighed anew.
                providers.insert(key, provider);
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

    /// About how much memory it takes, in bytes.
    fn size(&self) -> u32 {
        let keys = self.known().kept.as_ref().map_or(0, |kept| kept.keys.size());
        u32::try_from(PER_PROVIDER + keys).unwrap_or(u32::MAX)
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

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::OffsetDateTime;

    use super::*;
    use crate::upstream::fetch::FETCH_TIMEOUT;
    use crate::upstream::issuer::NamedBy;
    use crate::upstream::key_set::Algorithm;
    use crate::upstream::tests::settings;

    const PATIENCE: Patience = Patience {
        fetch_timeout: Duration::from_secs(5),
        cooldown: Duration::from_secs(30),
        stale_limit: Duration::from_hours(24),
    };

    fn header(key_id: &str) -> Header {
        Header { algorithm: Algorithm::RS256, key_id: Some(key_id.into()) }
    }

    /// An answer with one key of this id.
    fn published(key_id: &str, max_age: Option<u64>) -> Published {
        // 2,048 bits: 342 characters for 256 bytes.
        let jwk = json!({ "kty": "RSA", "kid": key_id, "n": "_".repeat(341) + "w", "e": "AQAB" });
        let keys = KeySet::read(json!({ "keys": [jwk] }).as_object().unwrap()).unwrap();
        assert!(keys.knows(&header(key_id)));
        Published { keys, max_age: max_age.map(Duration::from_secs) }
    }

    /// What is to be done at a second, for a token of a key: `use`, `fetch` or `give up`.
    fn step(known: &Known, second: u64, key_id: &str) -> &'static str {
        match known.step(&header(key_id), Duration::from_secs(second), PATIENCE) {
            Step::Use(_) => "use",
            Step::Fetch => "fetch",
            Step::GiveUp(_) => "give up",
        }
    }

    fn settled(at: u64, outcome: Result<Published, Failure>) -> Known {
        let mut known = Known::default();
        known.settle(outcome, Duration::from_secs(at));
        known
    }

    #[test]
    fn keys_are_fetched_once_and_kept_as_long_as_their_issuer_says_within_bounds() {
        assert_eq!(step(&Known::default(), 0, "a"), "fetch");
        for (max_age, freshness) in
            [(None, 3600), (Some(7200), 7200), (Some(0), 300), (Some(299), 300), (Some(u64::MAX), 86_400)]
        {
            let known = settled(100, Ok(published("a", max_age)));
            assert_eq!(step(&known, 100, "a"), "use");
            assert_eq!(step(&known, 99 + freshness, "a"), "use", "{max_age:?}");
            assert_eq!(step(&known, 100 + freshness, "a"), "fetch", "{max_age:?}");
        }
    }

    #[test]
    fn an_unknown_key_causes_one_fetch_in_a_cooldown() {
        let mut known = settled(100, Ok(published("a", None)));
        assert_eq!(step(&known, 129, "b"), "use", "the keys there are, which do not verify it");
        assert_eq!(step(&known, 130, "b"), "fetch");
        known.settle(Ok(published("a", None)), Duration::from_secs(130));
        assert_eq!(step(&known, 159, "c"), "use");
        assert_eq!(step(&known, 160, "c"), "fetch");
        known.settle(Ok(published("c", None)), Duration::from_secs(160));
        assert_eq!(step(&known, 161, "c"), "use");
        assert!(!known.kept.as_ref().unwrap().keys.knows(&header("a")), "what its issuer took back is gone");
    }

    #[test]
    fn an_issuer_that_does_not_answer_is_let_alone_for_a_cooldown() {
        let known = settled(100, Err(Failure::timeout(FETCH_TIMEOUT)));
        assert_eq!(step(&known, 129, "a"), "give up");
        assert_eq!(step(&known, 130, "a"), "fetch");
    }

    #[test]
    fn the_last_keys_serve_a_while_if_their_issuer_does_not_answer() {
        let mut known = settled(0, Ok(published("a", None)));
        known.settle(Err(Failure::timeout(FETCH_TIMEOUT)), Duration::from_secs(5000));
        assert_eq!(step(&known, 5001, "a"), "use");
        known.settle(Err(Failure::timeout(FETCH_TIMEOUT)), Duration::from_hours(24));
        assert_eq!(step(&known, 86_400, "a"), "use");
        assert_eq!(step(&known, 86_401, "a"), "give up");
        assert_eq!(step(&known, 86_430, "a"), "fetch");
        known.settle(Ok(published("a", None)), Duration::from_secs(86_430));
        assert_eq!(step(&known, 86_431, "a"), "use");
        assert_eq!(known.failure, None);
    }

    #[test]
    fn keys_that_are_no_longer_fresh_serve_those_who_need_not_wait_for_new_ones() {
        let known = settled(0, Ok(published("a", None)));
        let meanwhile = |second: u64, key_id: &str| {
            known.meanwhile(&header(key_id), Duration::from_secs(second), PATIENCE).is_some()
        };
        assert_eq!(step(&known, 5000, "a"), "fetch");
        assert!(meanwhile(5000, "a"));
        assert!(!meanwhile(5000, "b"), "new ones may have it");
        assert!(!meanwhile(86_401, "a"), "too old");
        assert!(Known::default().meanwhile(&header("a"), Duration::ZERO, PATIENCE).is_none());
    }

    #[test]
    fn an_issuer_weighs_what_its_keys_do() {
        let empty = Provider::default().size();
        let provider = Provider { known: Mutex::new(settled(0, Ok(published("a", None)))), ..Provider::default() };
        assert!((256..1024).contains(&(provider.size() - empty)), "{}", provider.size());
    }

    #[tokio::test]
    async fn a_failure_is_remembered_for_its_tenant_and_issuer_alone() {
        let config = settings("");
        let (clock, hands) = Clock::fixed(OffsetDateTime::UNIX_EPOCH);
        let remembered = Remembered::new(Arc::new(Fetcher::new(&config).unwrap()), &config, clock);
        let at = |issuer: &str| KeysAt::Discovery { issuer: issuer.into(), named_by: NamedBy::Tenant };
        let account = |id: &str| AccountId::parse(id).unwrap();
        // Refused before anything is sent.
        let (ours, refused) = (account("111111111111"), at("https://127.0.0.1/realm"));
        let asked_at = |account: &AccountId, keys_at: &KeysAt| {
            let provider = remembered.providers.get(&(account.clone(), keys_at.clone()))?;
            provider.known().asked_at
        };
        let error = remembered.keys(&ours, &refused, &header("a")).await.unwrap_err().to_string();
        assert!(error.contains("https://127.0.0.1/realm: the host is an address"), "{error}");
        assert_eq!(asked_at(&ours, &refused), Some(Duration::ZERO));
        hands.advance(Duration::from_secs(29));
        assert!(remembered.keys(&ours, &refused, &header("a")).await.is_err());
        assert_eq!(asked_at(&ours, &refused), Some(Duration::ZERO), "not asked again");
        hands.advance(Duration::from_secs(1));
        assert!(remembered.keys(&ours, &refused, &header("a")).await.is_err());
        assert_eq!(asked_at(&ours, &refused), Some(Duration::from_secs(30)));
        assert_eq!(asked_at(&account("222222222222"), &refused), None);
        assert_eq!(asked_at(&ours, &at("https://127.0.0.1")), None);
    }
}
