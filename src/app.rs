//! The running broker: everything that operations need, built in one place.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use time::OffsetDateTime;

use crate::cache::{Cache, Moment};
use crate::clock::Clock;
use crate::config::Config;
use crate::db::Db;
use crate::error::{Error, Result};
use crate::identities::Arrivals;
use crate::ids::{AccessKeyId, AccountId, PoolId, Region};
use crate::installation::{self, Installation, SealState};
use crate::keys::{KeyRing, Policy};
use crate::limits::Limits;
use crate::pools::Pool;
use crate::retry;
use crate::seal::Seal;
use crate::tenants::AccessKey;
use crate::tenants::remembered_key::RememberedKey;
use crate::upstream::Upstream;
use crate::upstream::sts::Sts;
use crate::workers;

/// The running broker. Only doors (`cli`, `http`, `aws_query`, `cognito`) see it; rooms take what they need.
pub struct App {
    /// The configuration.
    pub config: Config,
    /// The database.
    pub db: Db,
    /// Time.
    pub clock: Clock,
    /// The ring of master keys.
    pub seal: Seal,
    /// The signing keys.
    pub ring: KeyRing,
    /// The login providers of others.
    pub upstream: Upstream,
    /// The STS that gives credentials, if one is configured.
    pub sts: Option<Sts>,
    /// Rates.
    pub limits: Limits,
    /// The regions served; none means every well-formed name.
    pub regions: Option<Vec<Region>>,
    /// Whether account numbers become access keys at their first use: `symbolon dev` alone.
    pub makes_dev_keys: bool,
    /// How many threads serve requests.
    pub workers: usize,
    /// Users who arrive with one login.
    pub arrivals: Arrivals,
    /// Access keys in memory.
    pub access_keys: Cache<AccessKeyId, Arc<RememberedKey>>,
    /// Pools in memory, for issuing tokens only.
    pub pools: Cache<(AccountId, PoolId), Arc<Pool>>,
    writes: AtomicU64,
    seal_state: RwLock<SealState>,
    uses: Mutex<HashMap<AccessKeyId, OffsetDateTime>>,
    draining: AtomicBool,
}

impl App {
    /// The broker of this installation, as its database was found.
    ///
    /// # Errors
    /// If `upstream.ca_file` does not hold certificates.
    pub fn new(
        config: Config,
        db: Db,
        clock: Clock,
        seal: Seal,
        found: &Installation,
        seal_state: SealState,
    ) -> Result<Self> {
        let workers = match config.server.workers {
            0 => workers::one_for_each_core(),
            count => count,
        };
        Ok(Self {
            ring: KeyRing::new(Policy::new(&config, &found.issuer), clock.clone()),
            upstream: Upstream::new(&config.upstream, clock.clone())?,
            sts: Sts::new(&config.credentials, &config.upstream)?,
            limits: Limits::new(&config.limits),
            regions: config.served_regions(),
            makes_dev_keys: false,
            arrivals: Arrivals::new(workers),
            workers,
            access_keys: Cache::default(),
            pools: Cache::default(),
            writes: AtomicU64::new(0),
            seal_state: RwLock::new(seal_state),
            uses: Mutex::default(),
            draining: AtomicBool::new(false),
            config,
            db,
            clock,
            seal,
        })
    }

    /// What this replica knows of changes to small tables now; nothing past the fence.
    #[must_use]
    pub fn moment(&self) -> Option<Moment> {
        let writes = self.writes.load(Ordering::SeqCst);
        self.ring.fresh().then(|| Moment { epoch: self.ring.epoch(), writes })
    }

    /// Forgets every remembered row: this replica has changed one, and must not answer from before.
    pub fn forget_rows(&self) {
        self.writes.fetch_add(1, Ordering::SeqCst);
    }

    /// Compares the master keys with the database's canaries again.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn observe_seal(&self) -> Result<()> {
        let state = retry!(self.db, |conn| { installation::seal_state(conn, &self.seal).await })?;
        *self.seal_state.write().unwrap_or_else(PoisonError::into_inner) = state;
        Ok(())
    }

    /// Refuses while master keys are missing: a sealed broker reads no secret and writes nothing.
    ///
    /// # Errors
    /// [`Error::Sealed`], naming the missing key ids.
    pub fn check_unsealed(&self) -> Result<()> {
        match &*self.seal_state.read().unwrap_or_else(PoisonError::into_inner) {
            SealState::Unsealed => Ok(()),
            SealState::Sealed(missing) => Err(Error::Sealed(missing.join(", "))),
        }
    }

    /// How long a token lives: what was asked for, or the default.
    ///
    /// # Errors
    /// [`Error::TokenTooLong`] above `tokens.max_lifetime`.
    pub fn token_lifetime(&self, asked: Option<i64>) -> Result<Duration> {
        let tokens = &self.config.tokens;
        let Some(asked) = asked else { return Ok(tokens.default_lifetime.min(tokens.max_lifetime)) };
        let lifetime = Duration::from_secs(u64::try_from(asked).unwrap_or_default());
        if lifetime > tokens.max_lifetime {
            let limit = i64::try_from(tokens.max_lifetime.as_secs()).unwrap_or(i64::MAX);
            return Err(Error::TokenTooLong { asked, limit });
        }
        Ok(lifetime)
    }

    /// Remembers that an access key was used, to be written in batches.
    pub fn note_use(&self, id: &AccessKeyId) {
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.wall();
        match uses.get_mut(id) {
            Some(at) => *at = now,
            None => drop(uses.insert(id.clone(), now)),
        }
    }

    /// Writes when access keys were last used.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn write_uses(&self) -> Result<()> {
        let uses: Vec<_> =
            std::mem::take(&mut *self.uses.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect();
        if uses.is_empty() || self.check_unsealed().is_err() {
            return Ok(());
        }
        retry!(self.db, |conn| { AccessKey::record_use(conn, &uses).await })
    }

    /// Begins to drain: not ready any more, though requests are still answered.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Whether the broker is about to end.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }
}
