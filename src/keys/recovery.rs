//! What becomes of signing keys when something was lost: the master key that sealed them, or what was written after the
//! dump that the database was restored from.
//!
//! [`lose`] and [`restore`] decide, purely; [`Recovery`] writes what they decide in the caller's transaction, with whatever
//! else the loss asks for.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnection;
use time::OffsetDateTime;

use super::material::Fresh;
use super::rotation::{self, Outcome, Step, begin_at_once, from_now_on, one_waits, perform, within_cap};
use super::signing_key::{Reading, SigningKey, Which, active, waiting};
use super::{Policy, after};
use crate::db::Db;
use crate::error::Result;
use crate::retry;
use crate::seal::Seal;

/// What is due when the private halves of some keys are lost: nobody has them, so what they signed stays good and they stay
/// published until it has run out, but they sign no more.
///
/// What only waited is revoked, since no token needs it. A key that is left signs at once, or else a fresh one.
#[must_use]
pub fn lose(
    keys: &[SigningKey],
    is_lost: impl Fn(&SigningKey) -> bool,
    policy: &Policy,
    now: OffsetDateTime,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let waits = waiting(keys, now);
    for key in keys.iter().filter(|key| is_lost(key)) {
        let kid = key.kid.clone();
        if waits.iter().any(|waiting| waiting.kid == kid) {
            steps.push(Step::Revoke { kid: kid.clone(), at: now });
        } else if key.may_yet_sign(now) {
            let unpublish_at = after(now, policy.keys.unpublish_delay);
            steps.push(Step::End { kid: kid.clone(), at: now, unpublish_at });
        }
        steps.push(Step::Destroy { kid });
    }
    let left: Vec<&SigningKey> = waits.into_iter().filter(|key| !is_lost(key)).collect();
    match active(keys, now).filter(|active| !is_lost(active)) {
        None => steps.extend(begin_at_once(&left, from_now_on(keys, policy, now))),
        Some(active) => {
            let has_successor = left.iter().any(|next| next.sign_from.is_some());
            if active.sign_until.is_some() && !has_successor {
                steps.push(Step::Resume { kid: active.kid.clone() });
            }
            steps.extend(one_waits(&left));
        }
    }
    steps
}

/// What is known of a key from the state that was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaterKey {
    /// Which.
    pub kid: String,
    /// Whether it had been revoked.
    pub is_revoked: bool,
    /// From when it signed, if that had come to be known.
    pub sign_from: Option<OffsetDateTime>,
    /// Until when, and when it was to leave the JWKS.
    pub end: Option<(OffsetDateTime, OffsetDateTime)>,
}

impl LaterKey {
    /// A key of which only that is known.
    #[must_use]
    pub fn revoked(kid: &str) -> Self {
        Self { kid: kid.to_owned(), is_revoked: true, sign_from: None, end: None }
    }
}

/// What is due when the rows are from before what is known: what was revoked then is revoked again, what had ended ends, and
/// what had begun begins. A revoked key's private half goes at once, for no broker can be about to use it.
///
/// If nothing signs by then, the next key does, or else a fresh one.
#[must_use]
pub fn restore(keys: &[SigningKey], later: &[LaterKey], policy: &Policy, now: OffsetDateTime) -> Vec<Step> {
    let mut steps = Vec::new();
    for key in keys.iter().filter(|key| key.revoked_at.is_none()) {
        let Some(known) = later.iter().find(|known| known.kid == key.kid) else { continue };
        let kid = || key.kid.clone();
        if known.is_revoked {
            steps.push(Step::Revoke { kid: kid(), at: now });
            if key.private_sealed.is_some() {
                steps.push(Step::Destroy { kid: kid() });
            }
            continue;
        }
        if let (None, Some(at)) = (key.sign_from, known.sign_from) {
            steps.push(Step::Begin { kid: kid(), at });
        }
        if let (None, Some((at, unpublish_at))) = (key.sign_until, known.end) {
            steps.push(Step::End { kid: kid(), at, unpublish_at });
        }
    }
    // None of these steps needs a fresh key.
    let then = perform(keys, &steps, 0, now, []).unwrap_or_default();
    let waits = waiting(&then, now);
    if active(&then, now).is_none() {
        steps.extend(begin_at_once(&waits, from_now_on(&then, policy, now)));
    } else if let Some(due) = one_waits(&waits)
        && within_cap(&then, std::slice::from_ref(&due), now).is_ok()
    {
        steps.push(due);
    }
    steps
}

/// A change of the keys that waits for its transaction: the rows it is about, and the keys it publishes.
pub struct Recovery<'a> {
    policy: &'a Policy,
    /// The rows.
    pub reading: Reading,
    fresh: Vec<Fresh>,
}

impl<'a> Recovery<'a> {
    /// Reads the keys, and makes those that `decide` publishes.
    ///
    /// # Errors
    /// If the database, the random source or the machine fails; what `decide` refuses.
    pub async fn prepare(
        db: &Db,
        seal: &Seal,
        policy: &'a Policy,
        decide: impl Fn(&[SigningKey], OffsetDateTime) -> Vec<Step>,
    ) -> Result<Self> {
        let reading = retry!(db, |conn| { Reading::take(conn, &policy.issuer, Which::All).await })?;
        let fresh = rotation::make(&decide(&reading.keys, reading.now), policy, reading.now, seal).await?;
        Ok(Self { policy, reading, fresh })
    }

    /// Writes what `decide` says by now. The caller moves the epoch and commits; if another writer was faster it gives the
    /// transaction up.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn write(
        &self,
        conn: &mut PgConnection,
        decide: impl Fn(&[SigningKey], OffsetDateTime) -> Vec<Step>,
    ) -> Result<Outcome> {
        rotation::write(conn, self.policy, &self.reading, &self.fresh, |keys, now| Ok(decide(keys, now))).await
    }

    /// The names of the keys that it publishes.
    #[must_use]
    pub fn made(&self) -> Vec<String> {
        self.fresh.iter().map(|fresh| fresh.public_jwk.kid.clone()).collect()
    }
}

/// Removes the private halves of every issuer's keys that `is_lost` says nobody can open; tells how many there were.
///
/// # Errors
/// If the database fails.
pub async fn remove_lost_halves(conn: &mut PgConnection, is_lost: impl Fn(&[u8]) -> bool) -> Result<u64> {
    let rows = sqlx::query!(
        r#"select kid, private_sealed as "blob!" from signing_keys where private_sealed is not null order by kid"#
    )
    .fetch_all(&mut *conn)
    .await?;
    let lost: BTreeSet<String> = rows.into_iter().filter(|row| is_lost(&row.blob)).map(|row| row.kid).collect();
    let lost: Vec<String> = lost.into_iter().collect();
    let removed =
        sqlx::query!("update signing_keys set private_sealed = null where kid = any($1)", &lost).execute(conn).await?;
    Ok(removed.rows_affected())
}

/// Takes every key ring's version so far ahead that the state that was lost had not come there.
///
/// # Errors
/// If the database fails.
pub async fn leap_versions(conn: &mut PgConnection) -> Result<()> {
    sqlx::query!("update keyrings set version = version + $1", crate::installation::LEAP).execute(conn).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
