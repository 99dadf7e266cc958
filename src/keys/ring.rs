//! The key ring in memory: what a replica signs with, and what it shows to verifiers.
//!
//! A replica never decides anything. It polls the rows every `keys.poll_interval`, and derives from them and from time
//! which key signs and which are shown, as every other replica does. How old its last good poll may be is what keeps it
//! from going its own way: past `keys.sign_fence` it signs nothing, past `keys.jwks_stale_limit` it shows nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::documents::{Document, discovery, jwks};
use super::material::PrivateHalf;
use super::rotation;
use super::signing_key::{Reading, SigningKey, State, Which, active, published};
use super::{Policy, after, signed};
use crate::clock::Clock;
use crate::config::Algorithm;
use crate::db::{Db, insist_on_primary};
use crate::error::{Error, Result};
use crate::ids;
use crate::installation::LEAP;
use crate::retry;
use crate::seal::Seal;

/// A poll, and the making of keys that are due, is given up after the fence, but not before this.
const SHORTEST_LIMIT: Duration = Duration::from_secs(15);

const NO_POLL: &str = "the keys have not been read from the database yet";
const STALE: &str = "the keys were last read from the database too long ago";
const CLOCK_OFF: &str = "the clocks of this machine and of the database disagree";
const RAN_BACK: &str =
    "the database is an earlier state of what it was, as after a restore: run `symbolon post-restore`";
const NO_KEY: &str = "no key has its time to sign";
const NO_HALF: &str = "the private half of the signing key is missing or broken";

/// What one good poll told, and what follows from it. Pure.
#[derive(Clone, Debug)]
pub struct View {
    /// What the database said.
    pub reading: Reading,
    /// The monotonic time when the poll began.
    pub began: Duration,
    /// The monotonic time when the answer was there.
    pub answered: Duration,
}

impl View {
    /// The database's time as derived from this poll: never ahead of it, so that no `iat` lies in the future.
    #[must_use]
    pub fn now(&self, elapsed: Duration) -> OffsetDateTime {
        after(self.reading.now, elapsed.saturating_sub(self.answered))
    }

    /// Whether the poll began no longer than `limit` ago.
    #[must_use]
    pub fn within(&self, limit: Duration, elapsed: Duration) -> bool {
        elapsed.saturating_sub(self.began) <= limit
    }

    /// The key that signs at `now`.
    ///
    /// # Errors
    /// [`Error::CannotSign`] past the fence, or if no key signs.
    pub fn signing_key(&self, policy: &Policy, elapsed: Duration, now: OffsetDateTime) -> Result<&SigningKey> {
        if !self.within(policy.keys.sign_fence, elapsed) {
            return Err(Error::CannotSign(STALE));
        }
        active(&self.reading.keys, now).ok_or(Error::CannotSign(NO_KEY))
    }

    /// The keys of the JWKS at `now`, in its order.
    ///
    /// # Errors
    /// [`Error::CannotSign`] past the limit of staleness, or if no key signs.
    pub fn published(&self, policy: &Policy, elapsed: Duration, now: OffsetDateTime) -> Result<Vec<&SigningKey>> {
        if !self.within(policy.keys.jwks_stale_limit, elapsed) {
            return Err(Error::CannotSign(STALE));
        }
        active(&self.reading.keys, now).ok_or(Error::CannotSign(NO_KEY))?;
        Ok(published(&self.reading.keys, now))
    }
}

/// Whether the machine's date before and after a poll fits the database's within it.
#[must_use]
pub fn clocks_agree(
    policy: &Policy,
    before: OffsetDateTime,
    after_it: OffsetDateTime,
    database: OffsetDateTime,
) -> bool {
    let tolerance = policy.keys.replica_skew.max(Duration::from_secs(1));
    database >= before.saturating_sub(signed(tolerance)) && database <= after(after_it, tolerance)
}

/// The key ring of one replica.
pub struct KeyRing {
    policy: Policy,
    clock: Clock,
    held: RwLock<Held>,
    shown: RwLock<Arc<Shown>>,
    /// The latest time that was told, in microseconds.
    latest: AtomicI64,
}

#[derive(Clone, Default)]
struct Held {
    snapshot: Option<Arc<Snapshot>>,
    /// Why what the last poll read was not taken over: the clocks disagree, or the epoch ran backwards.
    refused: Option<&'static str>,
    /// The lowest epoch to which it ran backwards. However far it comes from there by steps, it is of another history.
    ran_back_to: Option<i64>,
}

struct Snapshot {
    view: View,
    halves: BTreeMap<String, Result<Arc<PrivateHalf>>>,
}

/// Both documents, and the keys that they show: these alone decide their bytes.
#[derive(Default)]
struct Shown {
    kids: Vec<String>,
    documents: Option<(Arc<Document>, Arc<Document>)>,
}

/// The right to sign, for the moment, with one key.
pub struct Signer<'ring> {
    ring: &'ring KeyRing,
    snapshot: Arc<Snapshot>,
    half: Arc<PrivateHalf>,
    /// The key's name.
    pub kid: String,
    /// What it signs with.
    pub alg: Algorithm,
    /// The database's time: the `iat` of what is signed.
    pub now: OffsetDateTime,
}

impl Signer<'_> {
    /// The signature over `message`.
    ///
    /// # Errors
    /// [`Error::CannotSign`] if this signer has been held past the fence, or the last poll was refused.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        if !self.snapshot.view.within(self.ring.policy.keys.sign_fence, self.ring.clock.elapsed()) {
            return Err(Error::CannotSign(STALE));
        }
        if let Some(reason) = self.ring.held().refused {
            return Err(Error::CannotSign(reason));
        }
        self.half.sign(message)
    }
}

impl KeyRing {
    /// A ring that knows nothing yet.
    #[must_use]
    pub fn new(policy: Policy, clock: Clock) -> Self {
        Self { policy, clock, held: RwLock::default(), shown: RwLock::default(), latest: AtomicI64::new(i64::MIN) }
    }

    /// The schedule that this ring keeps.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The database's time, derived from the last good poll; it never runs backwards. None before the first one.
    #[must_use]
    pub fn now(&self) -> Option<OffsetDateTime> {
        Some(self.monotone(&self.held().snapshot?.view))
    }

    fn monotone(&self, view: &View) -> OffsetDateTime {
        let derived = view.now(self.clock.elapsed());
        let micros = i64::try_from(derived.unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX);
        let told = self.latest.fetch_max(micros, Ordering::SeqCst).max(micros);
        if told == micros {
            return derived;
        }
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(told) * 1_000).unwrap_or(derived)
    }

    /// The installation's epoch at the last good poll: caches drop what they took at another one.
    #[must_use]
    pub fn epoch(&self) -> i64 {
        self.held().snapshot.map_or(0, |snapshot| snapshot.view.reading.epoch)
    }

    /// Whether the last poll was good, and within the fence: else what depends on [`KeyRing::epoch`] is not to be trusted.
    #[must_use]
    pub fn fresh(&self) -> bool {
        let held = self.held();
        let within = |snapshot: Arc<Snapshot>| snapshot.view.within(self.policy.keys.sign_fence, self.clock.elapsed());
        held.refused.is_none() && held.snapshot.is_some_and(within)
    }

    /// Refuses while the database is known to have run backwards: what was disabled since is enabled in it.
    ///
    /// # Errors
    /// [`Error::CannotSign`], with what to do.
    pub fn check_history(&self) -> Result<()> {
        if self.held().ran_back_to.is_some() { Err(Error::CannotSign(RAN_BACK)) } else { Ok(()) }
    }

    /// The right to sign now.
    ///
    /// # Errors
    /// [`Error::CannotSign`] or [`Error::Sealed`], with the reason.
    pub fn signer(&self) -> Result<Signer<'_>> {
        let held = self.held();
        if let Some(reason) = held.refused {
            return Err(Error::CannotSign(reason));
        }
        let snapshot = held.snapshot.ok_or(Error::CannotSign(NO_POLL))?;
        let now = self.monotone(&snapshot.view);
        let key = snapshot.view.signing_key(&self.policy, self.clock.elapsed(), now)?;
        let half = match snapshot.halves.get(&key.kid) {
            Some(Ok(half)) => Arc::clone(half),
            Some(Err(Error::Sealed(missing))) => return Err(Error::Sealed(missing.clone())),
            Some(Err(_)) | None => return Err(Error::CannotSign(NO_HALF)),
        };
        let (kid, alg) = (key.kid.clone(), key.alg);
        Ok(Signer { ring: self, snapshot, half, kid, alg, now })
    }

    /// Whether this replica can sign.
    ///
    /// # Errors
    /// Why it cannot, or soon will not: the reason for not being ready.
    pub fn status(&self) -> Result<()> {
        if let Some(snapshot) = self.held().snapshot
            && snapshot.view.reading.issuer != self.policy.issuer
        {
            return Err(Error::IssuerChanged(snapshot.view.reading.issuer.clone()));
        }
        self.signer().map(drop)
    }

    /// The JWKS.
    ///
    /// # Errors
    /// [`Error::CannotSign`] if none may be served: to be answered with 503.
    pub fn jwks(&self) -> Result<Arc<Document>> {
        Ok(self.documents()?.0)
    }

    /// The discovery document.
    ///
    /// # Errors
    /// As [`KeyRing::jwks`], whose keys' algorithms it lists.
    pub fn discovery(&self) -> Result<Arc<Document>> {
        Ok(self.documents()?.1)
    }

    /// The key of this name, if the JWKS shows it.
    ///
    /// # Errors
    /// As [`KeyRing::jwks`].
    pub fn published_key(&self, kid: &str) -> Result<Option<SigningKey>> {
        let snapshot = self.held().snapshot.ok_or(Error::CannotSign(NO_POLL))?;
        let now = self.monotone(&snapshot.view);
        let keys = snapshot.view.published(&self.policy, self.clock.elapsed(), now)?;
        Ok(keys.into_iter().find(|key| key.kid == kid).cloned())
    }

    fn documents(&self) -> Result<(Arc<Document>, Arc<Document>)> {
        let snapshot = self.held().snapshot.ok_or(Error::CannotSign(NO_POLL))?;
        let now = self.monotone(&snapshot.view);
        let keys = snapshot.view.published(&self.policy, self.clock.elapsed(), now)?;
        let shown = Arc::clone(&self.shown.read().unwrap_or_else(PoisonError::into_inner));
        if let Some(documents) = &shown.documents
            && shown.kids.iter().eq(keys.iter().map(|key| &key.kid))
        {
            return Ok(documents.clone());
        }
        let documents = (jwks(&keys, self.policy.x5c), discovery(&keys, &self.policy.issuer));
        let kids = keys.iter().map(|key| key.kid.clone()).collect();
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) =
            Arc::new(Shown { kids, documents: Some(documents.clone()) });
        Ok(documents)
    }

    fn held(&self) -> Held {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the keys from the primary and, if the clocks agree and the epoch has not run backwards, takes them over.
    ///
    /// # Errors
    /// If the database fails; [`Error::CannotSign`] if what was read is not taken over.
    pub async fn poll(&self, db: &Db, seal: &Seal) -> Result<()> {
        let (view, clocks_agree) = retry!(db, |conn| {
            // A standby may lag: a key that was revoked meanwhile would be taken for good again.
            insist_on_primary(conn).await?;
            let (wall, began) = (self.clock.wall(), self.clock.elapsed());
            let reading = Reading::take(conn, &self.policy.issuer, Which::Live).await?;
            let agree = clocks_agree(&self.policy, wall, self.clock.wall(), reading.now);
            Ok((View { reading, began, answered: self.clock.elapsed() }, agree))
        })?;
        self.take_over(view, clocks_agree, seal)
    }

    fn take_over(&self, view: View, clocks_agree: bool, seal: &Seal) -> Result<()> {
        let Held { snapshot: known, ran_back_to, .. } = self.held();
        // The epoch only grows: a lower one was read from a database that was restored to an earlier time. What was revoked
        // since would be taken for good again, until `post-restore` has seen to it and let the epoch leap.
        let epoch = view.reading.epoch;
        let is_before = |known: &Arc<Snapshot>| known.view.began <= view.began && known.view.reading.epoch > epoch;
        let runs_back_to = known.as_ref().filter(|known| is_before(known)).map(|_| epoch);
        let ran_back_to = ran_back_to.into_iter().chain(runs_back_to).min().filter(|lowest| epoch < lowest + LEAP);
        let refused = if clocks_agree { ran_back_to.map(|_| RAN_BACK) } else { Some(CLOCK_OFF) };
        // Halves that may sign no more are let go; those that may are opened once.
        let halves = if refused.is_none() { self.open(&view.reading, known.as_deref(), seal) } else { BTreeMap::new() };
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.refused = refused;
        held.ran_back_to = ran_back_to;
        if let Some(reason) = refused {
            return Err(Error::CannotSign(reason));
        }
        if held.snapshot.as_ref().is_none_or(|held| held.view.began <= view.began) {
            held.snapshot = Some(Arc::new(Snapshot { view, halves }));
        }
        Ok(())
    }

    fn open(
        &self,
        reading: &Reading,
        known: Option<&Snapshot>,
        seal: &Seal,
    ) -> BTreeMap<String, Result<Arc<PrivateHalf>>> {
        let mut halves = BTreeMap::new();
        for key in reading.keys.iter().filter(|key| key.may_yet_sign(reading.now)) {
            let Some(blob) = &key.private_sealed else { continue };
            let half = match known.and_then(|known| known.halves.get(&key.kid)) {
                Some(Ok(half)) => Ok(Arc::clone(half)),
                _ => PrivateHalf::open(&key.kid, key.alg, &self.policy.issuer, blob, seal).map(Arc::new),
            };
            halves.insert(key.kid.clone(), half);
        }
        halves
    }

    /// Writes what is due by the last good poll, and then polls again. Once the installation has another issuer, its
    /// own keys are left to end.
    ///
    /// # Errors
    /// [`Error::Sealed`] if a master key is missing: then nothing is written. If the database fails.
    pub async fn maintain(&self, db: &Db, seal: &Seal) -> Result<()> {
        let Some(snapshot) = self.held().snapshot else { return Ok(()) };
        let reading = &snapshot.view.reading;
        if reading.others_end.is_some_and(|end| after(end, self.policy.keys.destroy_delay) <= reading.now) {
            rotation::destroy_others(db, seal, &self.policy, reading.now).await?;
        }
        if reading.issuer != self.policy.issuer {
            return Ok(());
        }
        if rotation::plan(&reading.keys, &self.policy, reading.now).is_empty() {
            return Ok(());
        }
        let plan = |keys: &[SigningKey], now| Ok(rotation::plan(keys, &self.policy, now));
        // Whoever wrote, and be it another between the last poll and now: what was read is not what is there.
        rotation::change(db, seal, &self.policy, plan).await?;
        self.poll(db, seal).await
    }

    /// Polls and maintains, once. A broker does so before it serves.
    ///
    /// # Errors
    /// As [`KeyRing::poll`] and [`KeyRing::maintain`].
    pub async fn tick(&self, db: &Db, seal: &Seal) -> Result<()> {
        self.poll(db, seal).await?;
        self.maintain(db, seal).await
    }

    /// Polls and maintains until `shutdown`, logs what changes, and keeps the gauges.
    pub async fn run(&self, db: &Db, seal: &Seal, shutdown: CancellationToken) {
        let mut watch = Watch::default();
        loop {
            // A connection to a host that is gone may hang for many minutes.
            let tick = tokio::time::timeout(self.policy.keys.sign_fence.max(SHORTEST_LIMIT), self.tick(db, seal));
            let outcome = tokio::select! {
                outcome = tick => outcome.unwrap_or_else(|_| Err(Error::internal("the database does not answer"))),
                () = shutdown.cancelled() => return,
            };
            watch.report(self, outcome.and_then(|()| self.status()));
            tokio::select! {
                () = tokio::time::sleep(jittered(self.policy.keys.poll_interval)) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }
}

/// Up to a fifth less than `interval`, so that replicas do not poll in step.
fn jittered(interval: Duration) -> Duration {
    let random = ids::random::<2>().map_or(0, u16::from_be_bytes);
    interval.saturating_sub(interval.mul_f64(0.2 * f64::from(random) / f64::from(u16::MAX)))
}

/// What the loop said last, so that it repeats nothing.
#[derive(Default)]
struct Watch {
    complaint: Option<String>,
    states: BTreeMap<String, State>,
}

impl Watch {
    fn report(&mut self, ring: &KeyRing, outcome: Result<()>) {
        let complaint = outcome.err().map(|error| error.to_string());
        match (&self.complaint, &complaint) {
            (before, Some(now)) if before.as_ref() != Some(now) => {
                tracing::warn!(reason = now, "key ring not in order");
            }
            (Some(_), None) => tracing::info!("key ring in order again"),
            _ => {}
        }
        self.complaint = complaint;

        let (Some(snapshot), Some(now)) = (ring.held().snapshot, ring.now()) else { return };
        let keys = &snapshot.view.reading.keys;
        let states: BTreeMap<String, State> = keys.iter().map(|key| (key.kid.clone(), key.state(keys, now))).collect();
        for (kid, state) in states.iter().filter(|(kid, state)| self.states.get(*kid) != Some(state)) {
            tracing::info!(kid, state = state.as_str(), "signing key");
        }
        self.states = states;
        gauges(keys, ring.policy(), now);
    }
}

/// How long the oldest key of each state has been in it, and when something is to happen next.
fn gauges(keys: &[SigningKey], policy: &Policy, now: OffsetDateTime) {
    for state in [State::Next, State::Active, State::Retiring] {
        let since = |key: &SigningKey| match state {
            State::Next => Some(key.publish_at),
            State::Active => key.sign_from,
            _ => key.sign_until,
        };
        let oldest = keys.iter().filter(|key| key.state(keys, now) == state).filter_map(since).min();
        let age = oldest.map_or(0.0, |since| (now - since).as_seconds_f64());
        metrics::gauge!("symbolon_signing_key_age_seconds", "state" => state.as_str().to_ascii_lowercase()).set(age);
    }
    if let Some(at) = rotation::next_transition(keys, policy, now) {
        let seconds = (at - OffsetDateTime::UNIX_EPOCH).as_seconds_f64();
        metrics::gauge!("symbolon_signing_key_next_transition_timestamp_seconds").set(seconds);
    }
}

#[cfg(test)]
mod tests;
