//! What is due, and how it is written.
//!
//! The decisions are pure functions of rows, policy and time; each gives [`Step`]s. [`perform`] is what steps mean.
//! [`change`] writes them: it decides, generates the keys needed, takes the key ring's version by compare-and-swap,
//! decides again by the clock of that very moment, and writes what [`perform`] changed. Who loses discards.

use std::fmt;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::material::Fresh;
use super::signing_key::{
    self, Reading, SigningKey, State, Which, active, compare_and_swap, newest, published, waiting,
};
use super::{MAX_PUBLISHED_KEYS, Policy, after, signed};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::installation::{self, SealState};
use crate::retry;
use crate::seal::Seal;

/// One change to the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Publish a fresh key.
    Publish {
        /// From when it signs, if that is already known.
        sign_from: Option<OffsetDateTime>,
    },
    /// Let a published key sign.
    Begin {
        /// Which.
        kid: String,
        /// From when.
        at: OffsetDateTime,
    },
    /// Let a key cease to sign.
    End {
        /// Which.
        kid: String,
        /// From when.
        at: OffsetDateTime,
        /// When it leaves the JWKS.
        unpublish_at: OffsetDateTime,
    },
    /// Let a key sign on, whose successor is revoked before its time.
    Resume {
        /// Which.
        kid: String,
    },
    /// Revoke a key.
    Revoke {
        /// Which.
        kid: String,
        /// When.
        at: OffsetDateTime,
    },
    /// Destroy the private half of a key that signs no more.
    Destroy {
        /// Which.
        kid: String,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publish { sign_from: None } => f.write_str("publish a new key"),
            Self::Publish { sign_from: Some(at) } => write!(f, "publish a new key that signs from {}", shown(*at)),
            Self::Begin { kid, at } => write!(f, "{kid} signs from {}", shown(*at)),
            Self::End { kid, at, .. } => write!(f, "{kid} signs until {}", shown(*at)),
            Self::Resume { kid } => write!(f, "{kid} signs on"),
            Self::Revoke { kid, .. } => write!(f, "revoke {kid}"),
            Self::Destroy { kid } => write!(f, "destroy the private half of {kid}"),
        }
    }
}

/// What is due at `now`. Most of the time that is nothing.
#[must_use]
pub fn plan(keys: &[SigningKey], policy: &Policy, now: OffsetDateTime) -> Vec<Step> {
    let mut steps = destructions(keys, policy, now);
    let waiting = waiting(keys, now);
    let due: Vec<Step> = match (active(keys, now), waiting.first()) {
        (None, _) => begin_at_once(&waiting, from_now_on(keys, policy, now)),
        (Some(active), Some(next)) if is_old(active, policy, now) && known_from(next, policy) <= now => {
            turn(active, &waiting, policy, now)
        }
        (Some(_), _) => one_waits(&waiting).into_iter().collect(),
    };
    // A ninth key waits for room, unless nothing signs.
    if active(keys, now).is_none() || within_cap(keys, &due, now).is_ok() {
        steps.extend(due);
    }
    steps
}

/// A rotation by hand: the next key takes over, `keys.sign_fence` from now.
///
/// # Errors
/// [`Error::Refused`] if verifiers would notice it, unless `force`; if a rotation is under way; if it would publish too
/// many keys.
pub fn rotate(keys: &[SigningKey], policy: &Policy, now: OffsetDateTime, force: bool) -> Result<Vec<Step>> {
    let waiting = waiting(keys, now);
    let (Some(active), Some(next)) = (active(keys, now), waiting.first()) else {
        return Err(Error::Refused("there is no key to hand over from or to yet; a running broker makes both".into()));
    };
    if let Some(until) = active.sign_until {
        let safe = waiting.last().map_or(until, |last| known_from(last, policy));
        return Err(Error::Refused(format!(
            "a rotation is under way: {} takes over at {}; the next one is safe from {}",
            next.kid,
            shown(until),
            shown(safe)
        )));
    }
    if !force && known_from(next, policy) > now {
        return Err(too_young("rotate", next, policy));
    }
    let mut steps = destructions(keys, policy, now);
    steps.extend(turn(active, &waiting, policy, now));
    within_cap(keys, &steps, now)?;
    Ok(steps)
}

/// A revocation: the key leaves the JWKS at once. If it signs, the next key signs in its stead.
///
/// # Errors
/// [`Error::Refused`] if there is no such key, or it is revoked already; if a key would have to sign that verifiers may
/// not know, unless `force`; if it would publish too many keys.
pub fn revoke(keys: &[SigningKey], kid: &str, policy: &Policy, now: OffsetDateTime, force: bool) -> Result<Vec<Step>> {
    let key = keys.iter().find(|key| key.kid == kid);
    let key = key.ok_or_else(|| Error::Refused(format!("there is no signing key {kid}")))?;
    if let Some(at) = key.revoked_at {
        return Err(Error::Refused(format!("{kid} was revoked at {}", shown(at))));
    }
    let mut steps = destructions(keys, policy, now);
    steps.push(Step::Revoke { kid: kid.to_owned(), at: now });
    let others: Vec<&SigningKey> = waiting(keys, now).into_iter().filter(|other| other.kid != kid).collect();
    match key.state(keys, now) {
        State::Active => {
            match others.first() {
                Some(next) if !force && known_from(next, policy) > now => {
                    return Err(too_young("revoke", next, policy));
                }
                None if !force => {
                    return Err(Error::Refused(
                        "no next key is published, so verifiers would refuse every new token until they fetch the JWKS \
                         again; --force revokes nevertheless"
                            .into(),
                    ));
                }
                _ => {}
            }
            steps.extend(begin_at_once(&others, policy.at_once(now)));
        }
        State::Next => {
            let predecessor = |other: &&SigningKey| other.revoked_at.is_none() && other.sign_until == key.sign_from;
            if key.sign_from.is_some()
                && let Some(predecessor) = keys.iter().find(predecessor)
            {
                steps.push(Step::Resume { kid: predecessor.kid.clone() });
            }
            steps.extend(one_waits(&others));
        }
        State::Retiring | State::Retired | State::Revoked => {}
    }
    within_cap(keys, &steps, now)?;
    Ok(steps)
}

/// Private halves whose time is over; never that of the key which signs by the rows.
fn destructions(keys: &[SigningKey], policy: &Policy, now: OffsetDateTime) -> Vec<Step> {
    let newest = newest(keys, now).map(|key| key.kid.as_str());
    let due = |key: &&SigningKey| {
        key.private_sealed.is_some()
            && newest != Some(key.kid.as_str())
            && key.ends_at().is_some_and(|end| after(end, policy.keys.destroy_delay) <= now)
    };
    keys.iter().filter(due).map(|key| Step::Destroy { kid: key.kid.clone() }).collect()
}

/// From when a key signs that is to sign at once, after those whose time is over: none of them may be the newer one.
pub(super) fn from_now_on(keys: &[SigningKey], policy: &Policy, now: OffsetDateTime) -> OffsetDateTime {
    let begun = newest(keys, now).and_then(|over| over.sign_from);
    begun.map_or(policy.at_once(now), |begun| policy.at_once(now).max(begun + time::Duration::MICROSECOND))
}

/// A key signs from `at`: the first of those that wait, or else a fresh one. One is left to wait after it.
pub(super) fn begin_at_once(waiting: &[&SigningKey], at: OffsetDateTime) -> Vec<Step> {
    let begin = match waiting.first() {
        Some(next) => Step::Begin { kid: next.kid.clone(), at },
        None => Step::Publish { sign_from: Some(at) },
    };
    let left = waiting.get(1..).unwrap_or_default();
    [begin].into_iter().chain(one_waits(left)).collect()
}

/// The first of those that wait takes over when every replica knows of it. One is left to wait after it.
fn turn(active: &SigningKey, waiting: &[&SigningKey], policy: &Policy, now: OffsetDateTime) -> Vec<Step> {
    let at = after(now, policy.keys.sign_fence);
    let unpublish_at = after(at, policy.keys.unpublish_delay);
    let mut steps = vec![Step::End { kid: active.kid.clone(), at, unpublish_at }];
    steps.extend(waiting.first().map(|next| Step::Begin { kid: next.kid.clone(), at }));
    steps.extend(one_waits(waiting.get(1..).unwrap_or_default()));
    steps
}

/// A fresh key, unless one of these waits without a time of its own: one whose time is set will not wait for long.
pub(super) fn one_waits(waiting: &[&SigningKey]) -> Option<Step> {
    let waits = waiting.iter().any(|key| key.sign_from.is_none());
    (!waits).then_some(Step::Publish { sign_from: None })
}

fn is_old(active: &SigningKey, policy: &Policy, now: OffsetDateTime) -> bool {
    let old_from = active.sign_from.map(|from| after(from, policy.keys.rotation_period));
    active.sign_until.is_none() && old_from.is_some_and(|old_from| old_from <= now)
}

/// From when every verifier knows a key, whatever it has cached.
pub(super) fn known_from(key: &SigningKey, policy: &Policy) -> OffsetDateTime {
    after(key.publish_at, policy.keys.publish_lead)
}

/// Whether the JWKS stays within its cap; if not, from when it would.
pub(super) fn within_cap(keys: &[SigningKey], steps: &[Step], now: OffsetDateTime) -> Result<()> {
    if publications(steps) == 0 {
        return Ok(());
    }
    let before = published(keys, now);
    let leaves = |step: &&Step| matches!(step, Step::Revoke { kid, .. } if before.iter().any(|key| key.kid == *kid));
    let count = before.len() + publications(steps) - steps.iter().filter(leaves).count();
    if count <= MAX_PUBLISHED_KEYS {
        return Ok(());
    }
    let room = before.iter().filter_map(|key| key.unpublish_at).min().map(shown).unwrap_or_default();
    Err(Error::Refused(format!(
        "the JWKS would hold more than {MAX_PUBLISHED_KEYS} keys; there is room for another from {room}"
    )))
}

/// When the next thing happens by itself: a turn, an end of publication, or the rotation that is due or overdue.
#[must_use]
pub fn next_transition(keys: &[SigningKey], policy: &Policy, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let live = || keys.iter().filter(|key| key.revoked_at.is_none());
    let known = live().flat_map(|key| [key.sign_from, key.unpublish_at]).flatten().filter(|at| *at > now);
    let due = || {
        let active = active(keys, now).filter(|active| active.sign_until.is_none())?;
        let next = waiting(keys, now).first().map(|next| known_from(next, policy));
        Some(after(active.sign_from?, policy.keys.rotation_period)).max(next)
    };
    known.chain(due()).min()
}

fn publications(steps: &[Step]) -> usize {
    steps.iter().filter(|step| matches!(step, Step::Publish { .. })).count()
}

fn too_young(verb: &str, next: &SigningKey, policy: &Policy) -> Error {
    Error::Refused(format!(
        "the next key, {}, was published at {}: verifiers that fetched the JWKS before would refuse its tokens, for up \
         to {} s; it is safe to {verb} from {}; --force does it now",
        next.kid,
        shown(next.publish_at),
        (policy.keys.jwks_max_age + policy.keys.jwks_stale_limit).as_secs(),
        shown(known_from(next, policy))
    ))
}

/// To the second, never too early: what is safe from then on is safe indeed.
fn shown(at: OffsetDateTime) -> String {
    let whole = at.replace_nanosecond(0).unwrap_or(at);
    let at = if whole == at { at } else { whole.saturating_add(time::Duration::SECOND) };
    at.format(&Rfc3339).unwrap_or_else(|_| at.to_string())
}

/// What steps mean: the rows after them, at the ring's `version`; none if there are too few fresh keys.
#[must_use]
pub fn perform(
    keys: &[SigningKey],
    steps: &[Step],
    version: i64,
    now: OffsetDateTime,
    fresh: impl IntoIterator<Item = Fresh>,
) -> Option<Vec<SigningKey>> {
    let mut fresh = fresh.into_iter();
    let mut keys = keys.to_vec();
    for step in steps {
        let (kid, apply): (&str, &dyn Fn(&mut SigningKey)) = match step {
            Step::Publish { sign_from } => {
                keys.push(SigningKey::new(fresh.next()?, now, *sign_from, version));
                continue;
            }
            Step::Begin { kid, at } => (kid, &|key| key.sign_from = Some(*at)),
            Step::End { kid, at, unpublish_at } => (kid, &|key| {
                key.sign_until = Some(*at);
                key.unpublish_at = Some(*unpublish_at);
            }),
            Step::Resume { kid } => (kid, &|key| {
                key.sign_until = None;
                key.unpublish_at = None;
            }),
            Step::Revoke { kid, at } => (kid, &|key| key.revoked_at = Some(*at)),
            Step::Destroy { kid } => (kid, &|key| key.private_sealed = None),
        };
        keys.iter_mut().filter(|key| key.kid == kid).for_each(apply);
    }
    Some(keys)
}

/// What came of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was nothing to do.
    Nothing,
    /// These steps were written.
    Written(Vec<Step>),
    /// Another writer was faster, or the issuer has changed. What it wrote may have made this change needless, or impossible.
    Lost,
}

/// Reads the keys, lets `decide` say what to do, and writes it.
///
/// # Errors
/// [`Error::Sealed`] if a master key is missing: then nothing is written. What `decide` refuses. If the database fails.
pub async fn change(
    db: &Db,
    seal: &Seal,
    policy: &Policy,
    decide: impl Fn(&[SigningKey], OffsetDateTime) -> Result<Vec<Step>>,
) -> Result<Outcome> {
    let issuer = policy.issuer.as_str();
    let reading = retry!(db, |conn| { Reading::take(conn, issuer, Which::All).await })?;
    let wanted = decide(&reading.keys, reading.now)?;
    if wanted.is_empty() {
        return Ok(Outcome::Nothing);
    }
    insist_unsealed(db, seal).await?;
    let fresh = make(&wanted, policy, reading.now, seal).await?;
    let mut tried: Vec<Step> = Vec::new();
    let outcome = retry!(db, |conn| {
        let mut transaction = conn.begin().await?;
        match write(&mut transaction, policy, &reading, &fresh, &decide).await? {
            Outcome::Written(steps) => {
                installation::bump_epoch(&mut transaction).await?;
                tried.clone_from(&steps);
                transaction.commit().await?;
                Ok(Outcome::Written(steps))
            }
            // It may be that an earlier try was done, and only the answer to its commit lost.
            Outcome::Lost if !tried.is_empty() => {
                let now = Reading::take(&mut transaction, issuer, Which::All).await?;
                Ok(if are_done(&tried, &fresh, &now.keys) { Outcome::Written(tried.clone()) } else { Outcome::Lost })
            }
            outcome => Ok(outcome),
        }
    })?;
    if let Outcome::Written(steps) = &outcome {
        for step in steps {
            tracing::info!(issuer, version = reading.version + 1, %step, "signing keys changed");
        }
    }
    Ok(outcome)
}

/// Whether the keys are such as these steps make them, whose times tell them from anybody else's.
fn are_done(steps: &[Step], fresh: &[Fresh], keys: &[SigningKey]) -> bool {
    let has = |kid: &str, is_so: &dyn Fn(&SigningKey) -> bool| keys.iter().any(|key| key.kid == kid && is_so(key));
    steps.iter().all(|step| match step {
        Step::Publish { .. } => fresh.iter().any(|made| has(&made.public_jwk.kid, &|_| true)),
        Step::Begin { kid, at } => has(kid, &|key| key.sign_from == Some(*at)),
        Step::End { kid, at, .. } => has(kid, &|key| key.sign_until == Some(*at)),
        Step::Resume { kid } => has(kid, &|key| key.sign_until.is_none()),
        Step::Revoke { kid, at } => has(kid, &|key| key.revoked_at == Some(*at)),
        Step::Destroy { kid } => has(kid, &|key| key.private_sealed.is_none()),
    })
}

/// The keys that `steps` publish.
///
/// # Errors
/// If the random source or the machine fails.
pub(super) async fn make(steps: &[Step], policy: &Policy, now: OffsetDateTime, seal: &Seal) -> Result<Vec<Fresh>> {
    let mut fresh = Vec::new();
    for _ in 0..publications(steps) {
        fresh.push(Fresh::generate(&policy.issuer, policy.algorithm, now, seal).await?);
    }
    Ok(fresh)
}

/// Writes what `decide` says of the keys of `reading`, in the caller's transaction, which is to be committed if something
/// was written, and else given up.
///
/// # Errors
/// What `decide` refuses. If the database fails.
pub(super) async fn write(
    conn: &mut PgConnection,
    policy: &Policy,
    reading: &Reading,
    fresh: &[Fresh],
    decide: impl Fn(&[SigningKey], OffsetDateTime) -> Result<Vec<Step>>,
) -> Result<Outcome> {
    let issuer = policy.issuer.as_str();
    let Some(now) = compare_and_swap(conn, issuer, reading.version).await? else {
        return Ok(Outcome::Lost);
    };
    let steps = decide(&reading.keys, now)?;
    if steps.is_empty() {
        return Ok(Outcome::Nothing);
    }
    let Some(keys) = perform(&reading.keys, &steps, reading.version + 1, now, fresh.iter().cloned()) else {
        return Ok(Outcome::Lost);
    };
    for key in &keys {
        match reading.keys.iter().find(|old| old.kid == key.kid) {
            None => key.insert(conn, issuer).await?,
            Some(old) if old != key => key.update(conn).await?,
            Some(_) => {}
        }
    }
    Ok(Outcome::Written(steps))
}

/// Destroys the private halves of other issuers' keys whose time is over at `now`.
///
/// # Errors
/// [`Error::Sealed`] if a master key is missing: then nothing is written. If the database fails.
pub async fn destroy_others(db: &Db, seal: &Seal, policy: &Policy, now: OffsetDateTime) -> Result<()> {
    insist_unsealed(db, seal).await?;
    let ended_by = now.saturating_sub(signed(policy.keys.destroy_delay));
    let destroyed = retry!(db, |conn| {
        let mut transaction = conn.begin().await?;
        let destroyed = signing_key::destroy_others(&mut transaction, ended_by).await?;
        transaction.commit().await?;
        Ok(destroyed)
    })?;
    if destroyed > 0 {
        tracing::info!(destroyed, "private halves of former issuers' signing keys destroyed");
    }
    Ok(())
}

async fn insist_unsealed(db: &Db, seal: &Seal) -> Result<()> {
    match retry!(db, |conn| { installation::unseal(conn, seal).await })? {
        SealState::Unsealed => Ok(()),
        SealState::Sealed(missing) => Err(Error::Sealed(missing.join(", "))),
    }
}

#[cfg(test)]
mod tests;
