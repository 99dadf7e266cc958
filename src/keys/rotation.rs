//! What is due, and how it is written.
//!
//! The decisions are pure functions of rows, policy and time; each gives [`Step`]s. [`perform`] is what steps mean.
//! [`change`] writes them: it decides, generates the keys needed, takes the key ring's version by compare-and-swap,
//! decides again by the clock of that very moment, and writes what [`perform`] changed. Who loses discards.

use sqlx::Connection as _;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::material::Fresh;
use super::signing_key::{Reading, SigningKey, State, Which, active, compare_and_swap, newest, published, waiting};
use super::{MAX_PUBLISHED_KEYS, Policy, after};
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

/// What is due at `now`. Most of the time that is nothing.
#[must_use]
pub fn plan(keys: &[SigningKey], policy: &Policy, now: OffsetDateTime) -> Vec<Step> {
    let mut steps = destructions(keys, policy, now);
    let waiting = waiting(keys, now);
    let due: Vec<Step> = match (active(keys, now), waiting.first()) {
        (None, _) => begin_at_once(&waiting, policy, now),
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
            steps.extend(begin_at_once(&others, policy, now));
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

/// A key signs from now on: the first of those that wait, or else a fresh one. One is left to wait after it.
fn begin_at_once(waiting: &[&SigningKey], policy: &Policy, now: OffsetDateTime) -> Vec<Step> {
    let at = policy.at_once(now);
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
fn one_waits(waiting: &[&SigningKey]) -> Option<Step> {
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
fn within_cap(keys: &[SigningKey], steps: &[Step], now: OffsetDateTime) -> Result<()> {
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
    /// Another writer was faster. What it wrote may have made this change needless, or impossible.
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
    if let SealState::Sealed(missing) = retry!(db, |conn| { installation::unseal(conn, seal).await })? {
        return Err(Error::Sealed(missing.join(", ")));
    }
    let mut fresh = Vec::new();
    for _ in 0..publications(&wanted) {
        fresh.push(Fresh::generate(issuer, policy.algorithm, reading.now, seal).await?);
    }
    let outcome = retry!(db, |conn| {
        let mut transaction = conn.begin().await?;
        let Some(now) = compare_and_swap(&mut transaction, issuer, reading.version).await? else {
            return Ok(Outcome::Lost);
        };
        let steps = decide(&reading.keys, now)?;
        if steps.is_empty() {
            return Ok(Outcome::Nothing);
        }
        let Some(keys) = perform(&reading.keys, &steps, reading.version + 1, now, fresh.clone()) else {
            return Ok(Outcome::Lost);
        };
        for key in &keys {
            match reading.keys.iter().find(|old| old.kid == key.kid) {
                None => key.insert(&mut transaction, issuer).await?,
                Some(old) if old != key => key.update(&mut transaction).await?,
                Some(_) => {}
            }
        }
        installation::bump_epoch(&mut transaction).await?;
        transaction.commit().await?;
        Ok(Outcome::Written(steps))
    })?;
    if let Outcome::Written(steps) = &outcome {
        for step in steps {
            tracing::info!(issuer, version = reading.version + 1, ?step, "signing keys changed");
        }
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use time::macros::datetime;

    use super::*;
    use crate::keys::material::{Numbers, PublicJwk};
    use crate::keys::testing::policy;

    const START: OffsetDateTime = datetime!(2030-01-01 0:00 UTC);

    /// Rows, their version, and a time that goes on.
    struct Rows {
        keys: Vec<SigningKey>,
        version: i64,
        now: OffsetDateTime,
    }

    impl Rows {
        /// An issuer with its first keys: k0 signs, k1 waits.
        fn begun() -> Self {
            let mut rows = Self { keys: Vec::new(), version: 0, now: START };
            rows.write(&plan(&rows.keys, &policy(), rows.now));
            rows
        }

        fn write(&mut self, steps: &[Step]) {
            let made = self.keys.len();
            let fresh = (made..).map(|number| Fresh {
                alg: crate::config::Algorithm::RS256,
                public_jwk: PublicJwk {
                    numbers: Numbers::RSA { n: String::new(), e: String::new() },
                    usage: "sig".into(),
                    alg: "RS256".into(),
                    kid: format!("k{number}"),
                    x5c: Vec::new(),
                },
                private_sealed: vec![1],
            });
            self.version += 1;
            self.keys = perform(&self.keys, steps, self.version, self.now, fresh).unwrap();
        }

        fn pass(&mut self, by: Duration) {
            self.now = after(self.now, by);
        }

        fn plan(&mut self) -> Vec<Step> {
            let steps = plan(&self.keys, &policy(), self.now);
            self.write(&steps);
            steps
        }

        fn revoke(&mut self, kid: &str, force: bool) -> Result<()> {
            let steps = revoke(&self.keys, kid, &policy(), self.now, force)?;
            self.write(&steps);
            Ok(())
        }

        fn rotate(&mut self, force: bool) -> Result<()> {
            let steps = rotate(&self.keys, &policy(), self.now, force)?;
            self.write(&steps);
            Ok(())
        }

        fn states(&self) -> String {
            let states =
                self.keys.iter().map(|key| format!("{}:{}", key.kid, key.state(&self.keys, self.now).as_str()));
            states.collect::<Vec<_>>().join(" ")
        }
    }

    #[test]
    fn the_first_two_keys_come_together_and_one_signs_at_once() {
        let mut rows = Rows::begun();
        assert_eq!(rows.states(), "k0:ACTIVE k1:NEXT");
        assert_eq!(rows.keys[0].sign_from, Some(START - 2 * policy().keys.replica_skew));
        assert_eq!(rows.plan(), []);
    }

    #[test]
    fn a_key_turns_when_it_is_old_and_its_successor_is_known() {
        let (mut rows, policy) = (Rows::begun(), policy());
        // The first key signs since a little before it was made.
        rows.now = policy.at_once(after(rows.now, policy.keys.rotation_period)) - Duration::from_micros(1);
        assert_eq!(rows.plan(), []);
        rows.pass(Duration::from_micros(1));
        let turn = after(rows.now, policy.keys.sign_fence);
        assert_eq!(next_transition(&rows.keys, &policy, rows.now), Some(rows.now));
        assert_eq!(
            rows.plan(),
            [
                Step::End { kid: "k0".into(), at: turn, unpublish_at: turn + policy.keys.unpublish_delay },
                Step::Begin { kid: "k1".into(), at: turn },
                Step::Publish { sign_from: None },
            ]
        );
        assert_eq!(rows.states(), "k0:ACTIVE k1:NEXT k2:NEXT");
        assert_eq!(next_transition(&rows.keys, &policy, rows.now), Some(turn));
        rows.pass(policy.keys.sign_fence);
        assert_eq!(rows.states(), "k0:RETIRING k1:ACTIVE k2:NEXT");
        rows.pass(policy.keys.destroy_delay);
        assert_eq!(rows.plan(), [Step::Destroy { kid: "k0".into() }]);
        rows.pass(policy.keys.unpublish_delay);
        assert_eq!(rows.states(), "k0:RETIRED k1:ACTIVE k2:NEXT");
    }

    #[test]
    fn a_late_rotation_is_late_and_nothing_else() {
        let mut rows = Rows::begun();
        rows.pass(policy().keys.rotation_period * 3);
        assert_eq!(rows.states(), "k0:ACTIVE k1:NEXT");
        rows.plan();
        assert_eq!(rows.states(), "k0:ACTIVE k1:NEXT k2:NEXT");
        assert_eq!(rows.plan(), []);
    }

    #[test]
    fn a_rotation_by_hand_says_from_when_it_is_safe() {
        let mut rows = Rows::begun();
        let refusal = rows.rotate(false).unwrap_err().to_string();
        assert!(refusal.contains("safe to rotate from 2030-01-02T00:00:00Z; --force"), "{refusal}");
        rows.rotate(true).unwrap();
        let refusal = rows.rotate(true).unwrap_err().to_string();
        assert!(
            refusal.contains("k1 takes over at 2030-01-01T00:01:00Z; the next one is safe from 2030-01-02"),
            "{refusal}"
        );
        rows.pass(policy().keys.publish_lead);
        rows.rotate(false).unwrap();
        assert_eq!(rows.states(), "k0:RETIRING k1:ACTIVE k2:NEXT k3:NEXT");
    }

    #[test]
    fn the_next_key_signs_at_once_when_the_active_one_is_revoked() {
        let mut rows = Rows::begun();
        let refusal = rows.revoke("k0", false).unwrap_err().to_string();
        assert!(refusal.contains("for up to 3900 s; it is safe to revoke from 2030-01-02T00:00:00Z"), "{refusal}");
        rows.pass(policy().keys.publish_lead);
        rows.revoke("k0", false).unwrap();
        assert_eq!(rows.states(), "k0:REVOKED k1:ACTIVE k2:NEXT");
        assert_eq!(rows.keys[1].sign_from, Some(policy().at_once(rows.now)));
        assert!(rows.revoke("k0", true).is_err() && rows.revoke("k9", true).is_err());
        rows.pass(policy().keys.destroy_delay);
        assert_eq!(rows.plan(), [Step::Destroy { kid: "k0".into() }]);
    }

    #[test]
    fn a_revoked_next_key_is_replaced() {
        let mut rows = Rows::begun();
        rows.revoke("k1", false).unwrap();
        assert_eq!(rows.states(), "k0:ACTIVE k1:REVOKED k2:NEXT");
    }

    #[test]
    fn the_active_key_signs_on_when_its_successor_is_revoked_before_the_turn() {
        let mut rows = Rows::begun();
        rows.rotate(true).unwrap();
        assert!(rows.keys[0].sign_until.is_some());
        rows.revoke("k1", false).unwrap();
        assert_eq!(rows.states(), "k0:ACTIVE k1:REVOKED k2:NEXT");
        assert_eq!((rows.keys[0].sign_until, rows.keys[0].unpublish_at), (None, None));
        rows.pass(policy().keys.unpublish_delay);
        assert_eq!(rows.states(), "k0:ACTIVE k1:REVOKED k2:NEXT");
    }

    #[test]
    fn the_one_that_waits_behind_a_turn_is_replaced_too() {
        let mut rows = Rows::begun();
        rows.rotate(true).unwrap();
        rows.revoke("k2", false).unwrap();
        rows.pass(policy().keys.sign_fence);
        assert_eq!(rows.states(), "k0:RETIRING k1:ACTIVE k2:REVOKED k3:NEXT");
    }

    #[test]
    fn a_ninth_key_is_not_published() {
        let (mut rows, policy) = (Rows::begun(), policy());
        for _ in 0..6 {
            rows.rotate(true).unwrap();
            rows.pass(policy.keys.sign_fence);
        }
        assert_eq!(published(&rows.keys, rows.now).len(), 8);
        let refusal = rows.rotate(true).unwrap_err().to_string();
        assert!(refusal.contains("more than 8 keys; there is room for another from 2030-01-02T01:01:00Z"), "{refusal}");
        // Nor by itself: the rotation waits for room.
        let mut crowded = policy.clone();
        crowded.keys.rotation_period = Duration::from_secs(1);
        crowded.keys.publish_lead = Duration::from_secs(1);
        crowded.keys.destroy_delay = policy.keys.rotation_period;
        rows.pass(Duration::from_secs(2));
        assert_eq!(plan(&rows.keys, &crowded, rows.now), []);
        rows.pass(policy.keys.unpublish_delay);
        assert_eq!(plan(&rows.keys, &crowded, rows.now).len(), 3);
        // A revocation makes its own room.
        rows.revoke("k6", true).unwrap();
    }

    #[test]
    fn if_nothing_signs_something_does() {
        let mut rows = Rows::begun();
        rows.keys[0].revoked_at = Some(rows.now);
        rows.plan();
        assert_eq!(rows.states(), "k0:REVOKED k1:ACTIVE k2:NEXT");
    }
}
