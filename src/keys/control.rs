//! What the operator's commands do: list, rotate, revoke, audit, change the issuer.

use serde::Serialize;
use serde_json::Value;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use sqlx::types::Json;
use time::OffsetDateTime;

use super::documents;
use super::material::Numbers;
use super::rotation::{self, Outcome, known_from};
use super::signing_key::{Reading, SigningKey, State, Which, active, end_other_rings, published, waiting};
use super::{MAX_PUBLISHED_KEYS, Policy, after};
use crate::config::{self, Algorithm};
use crate::db::{Db, Tries};
use crate::error::{Error, Result};
use crate::retry;
use crate::seal::Seal;

/// What `symbolon key list` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Listing {
    /// Every key there ever was, the newest last.
    pub keys: Vec<ListedKey>,
}

/// One key of a [`Listing`]. Times are epoch seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the fields are those of the row")]
pub struct ListedKey {
    pub key_id: String,
    pub algorithm: &'static str,
    pub state: State,
    pub publish_at: i64,
    pub sign_from: Option<i64>,
    pub sign_until: Option<i64>,
    pub unpublish_at: Option<i64>,
    pub revoked_at: Option<i64>,
}

/// Every key with its state.
///
/// # Errors
/// If the database fails.
pub async fn list(db: &Db, policy: &Policy) -> Result<Listing> {
    Ok(listing(&read(db, policy).await?))
}

async fn read(db: &Db, policy: &Policy) -> Result<Reading> {
    retry!(db, |conn| { Reading::take(conn, &policy.issuer, Which::All).await })
}

fn listing(reading: &Reading) -> Listing {
    let seconds = |at: Option<OffsetDateTime>| at.map(OffsetDateTime::unix_timestamp);
    let keys = reading.keys.iter().map(|key| ListedKey {
        key_id: key.kid.clone(),
        algorithm: key.alg.as_str(),
        state: key.state(&reading.keys, reading.now),
        publish_at: key.publish_at.unix_timestamp(),
        sign_from: seconds(key.sign_from),
        sign_until: seconds(key.sign_until),
        unpublish_at: seconds(key.unpublish_at),
        revoked_at: seconds(key.revoked_at),
    });
    Listing { keys: keys.collect() }
}

/// A key that the JWKS shows, as consumers that are given keys by hand are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedKey {
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// What it is now.
    pub state: State,
    /// Its certificate, in base64: shown by the JWKS only if `issuer.x5c` is on.
    pub certificate: Option<String>,
}

/// The keys of the JWKS in its order, and the JWKS without certificates. Both are empty if the issuer has no keys yet.
///
/// # Errors
/// If the database fails.
pub async fn published_keys(db: &Db, policy: &Policy) -> Result<(Vec<PublishedKey>, String)> {
    let reading = read(db, policy).await?;
    let shown = published(&reading.keys, reading.now);
    let jwks = documents::jwks(&shown, false).body.clone();
    let keys = shown.into_iter().map(|key| PublishedKey {
        algorithm: key.alg,
        state: key.state(&reading.keys, reading.now),
        certificate: key.public_jwk.x5c.first().cloned(),
    });
    Ok((keys.collect(), jwks))
}

/// Hands over to the next key, and returns the keys as they then are.
///
/// # Errors
/// As [`rotation::rotate`] and [`rotation::change`].
pub async fn rotate(db: &Db, seal: &Seal, policy: &Policy, force: bool) -> Result<Listing> {
    insist(db, seal, policy, |keys, now| rotation::rotate(keys, policy, now, force)).await?;
    tracing::warn!(force, "signing keys rotated by hand");
    list(db, policy).await
}

/// Revokes a key, and returns the keys as they then are. Every replica knows it within `keys.sign_fence`.
///
/// # Errors
/// As [`rotation::revoke`] and [`rotation::change`].
pub async fn revoke(db: &Db, seal: &Seal, policy: &Policy, kid: &str, force: bool) -> Result<Listing> {
    insist(db, seal, policy, |keys, now| rotation::revoke(keys, kid, policy, now, force)).await?;
    tracing::warn!(kid, force, "signing key revoked");
    list(db, policy).await
}

/// Changes the keys, again while another writer is faster.
async fn insist(
    db: &Db,
    seal: &Seal,
    policy: &Policy,
    decide: impl Fn(&[SigningKey], OffsetDateTime) -> Result<Vec<rotation::Step>>,
) -> Result<()> {
    let mut tries = Tries::default();
    while rotation::change(db, seal, policy, &decide).await? == Outcome::Lost {
        if !tries.pause().await {
            return Err(Error::Contended);
        }
    }
    Ok(())
}

/// What `symbolon key audit` prints: clean if there are no findings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Audit {
    /// The time of the audit, in epoch seconds.
    pub at: i64,
    /// The version of the key ring.
    pub version: i64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// A rule that the rows break.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Finding {
    /// The invariant, `KEY1` and so on.
    pub rule: &'static str,
    /// The key, if it is about one.
    pub key_id: Option<String>,
    /// What is wrong with it.
    pub message: String,
}

/// Checks what the rows can show of the invariants.
///
/// # Errors
/// If the database fails.
pub async fn audit(db: &Db, policy: &Policy) -> Result<Audit> {
    let reading = read(db, policy).await?;
    let jwks = retry!(db, |conn| {
        let rows = sqlx::query!(
            r#"select kid, public_jwk as "public_jwk: Json<Value>" from signing_keys where issuer = $1 order by kid"#,
            policy.issuer
        )
        .fetch_all(conn)
        .await?;
        Ok(rows.into_iter().map(|row| (row.kid, row.public_jwk.0)).collect::<Vec<_>>())
    })?;
    let others = retry!(db, |conn| {
        let rows = sqlx::query!(
            r#"select kid, issuer, least(sign_until, revoked_at) as "end" from signing_keys
               where issuer <> $1 and private_sealed is not null order by kid"#,
            policy.issuer
        )
        .fetch_all(conn)
        .await?;
        Ok(rows.into_iter().map(|row| (row.kid, row.issuer, row.end)).collect::<Vec<_>>())
    })?;
    let mut findings = audit_rows(&reading.keys, policy, reading.now);
    for (kid, issuer, end) in &others {
        let message = match end {
            None => format!(
                "it is of the former issuer {issuer} and has no end: `symbolon installation set-issuer {}` ends it",
                policy.issuer
            ),
            Some(end) if is_overdue(*end, policy, reading.now) => {
                format!("it is of the former issuer {issuer}, and its private half should have been destroyed")
            }
            Some(_) => continue,
        };
        findings.push(finding("KEY10", Some(kid), message));
    }
    for (kid, jwk) in &jwks {
        findings.extend(audit_jwk(kid, jwk).map(|message| finding("KEY6", Some(kid), message)));
    }
    Ok(Audit { at: reading.now.unix_timestamp(), version: reading.version, findings })
}

fn finding(rule: &'static str, kid: Option<&str>, message: impl Into<String>) -> Finding {
    Finding { rule, key_id: kid.map(ToOwned::to_owned), message: message.into() }
}

/// What the rows break at `now`.
#[must_use]
pub fn audit_rows(keys: &[SigningKey], policy: &Policy, now: OffsetDateTime) -> Vec<Finding> {
    if keys.is_empty() {
        let message = "the issuer has no keys yet; a broker makes them when it starts";
        return vec![finding("KEY3", None, message)];
    }
    let mut findings = Vec::new();
    let mut find = |rule, key: Option<&SigningKey>, message: &str| {
        findings.push(finding(rule, key.map(|key| key.kid.as_str()), message));
    };
    match active(keys, now) {
        None => find("KEY3", None, "no key is ACTIVE"),
        Some(key) if key.private_sealed.is_none() => find("KEY8", Some(key), "the ACTIVE key has no private half"),
        Some(_) => {}
    }
    let waiting = waiting(keys, now);
    if waiting.is_empty() {
        find("KEY4", None, "no key is NEXT");
    }
    for key in waiting.iter().filter(|key| key.private_sealed.is_none()) {
        find("KEY4", Some(key), "a NEXT key has no private half");
    }
    let published = published(keys, now);
    if published.len() > MAX_PUBLISHED_KEYS {
        find("KEY9", None, &format!("{} keys are published; {MAX_PUBLISHED_KEYS} is the most", published.len()));
    }
    let open_ended = |key: &&&SigningKey| key.sign_from.is_some() && key.sign_until.is_none();
    if published.iter().filter(open_ended).count() > 1 {
        find("KEY3", None, "more than one key signs without an end");
    }

    for key in &published {
        if let Some(from) = key.sign_from
            && from < known_from(key, policy)
            && now < known_from(key, policy)
            && signed_at(keys, from)
            && !took_over_from_a_revoked_key(keys, policy, from)
        {
            find(
                "KEY1",
                Some(key),
                "it was published too late before it signs: some verifiers still refuse its tokens",
            );
        }
        match (key.sign_until, key.unpublish_at) {
            (Some(until), Some(unpublish)) if unpublish < after(until, shortest_publication(policy)) => {
                find("KEY2", Some(key), "it leaves the JWKS before its last tokens end");
            }
            (Some(_), None) => find("KEY2", Some(key), "it never leaves the JWKS"),
            (None, Some(_)) => find("KEY2", Some(key), "it leaves the JWKS, but signs without an end"),
            _ => {}
        }
        if key.sign_until.is_some_and(|until| key.sign_from.is_none_or(|from| until <= from)) {
            find("KEY3", Some(key), "it ceases to sign before it begins");
        }
    }
    let overdue = |key: &&SigningKey| {
        key.private_sealed.is_some() && key.ends_at().is_some_and(|end| is_overdue(end, policy, now))
    };
    for key in keys.iter().filter(overdue) {
        find("KEY10", Some(key), "its private half should have been destroyed");
    }
    findings
}

/// Whether a broker that polls has had its time to destroy the private half of a key that ceased to sign at `end`.
fn is_overdue(end: OffsetDateTime, policy: &Policy, now: OffsetDateTime) -> bool {
    after(end, policy.keys.destroy_delay.saturating_add(policy.keys.sign_fence)) <= now
}

/// Whether another key signed until `from` or longer: not if the key that signs from then is the issuer's first, or the
/// first after the issuer was another for a while.
fn signed_at(keys: &[SigningKey], from: OffsetDateTime) -> bool {
    let begun = |key: &&SigningKey| key.sign_from.is_some_and(|other| other < from);
    keys.iter().filter(begun).any(|key| key.ends_at().is_none_or(|end| from <= end))
}

/// Whether a key that signs `from` then was made to by a revocation.
fn took_over_from_a_revoked_key(keys: &[SigningKey], policy: &Policy, from: OffsetDateTime) -> bool {
    keys.iter().filter_map(|key| key.revoked_at).any(|at| (policy.at_once(at)..=at).contains(&from))
}

/// How long after its last signature a key must stay published. Less only where the operator waived it.
fn shortest_publication(policy: &Policy) -> std::time::Duration {
    let keys = &policy.keys;
    let bound = policy.max_lifetime + keys.verifier_leeway + keys.verifier_skew + keys.sign_fence;
    bound.min(keys.unpublish_delay)
}

/// What is wrong with a stored JWK.
fn audit_jwk(kid: &str, jwk: &Value) -> Option<&'static str> {
    const PUBLIC: [&str; 10] = ["kty", "use", "alg", "kid", "n", "e", "crv", "x", "y", "x5c"];
    let Some(members) = jwk.as_object() else { return Some("its JWK is not an object") };
    if members.keys().any(|name| !PUBLIC.contains(&name.as_str())) {
        return Some("its JWK has a member that is not known to be public");
    }
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    if text("kid") != Some(kid) {
        return Some("its JWK has another kid");
    }
    if text("alg").and_then(Algorithm::parse).is_none() {
        return Some("its JWK has an unknown algorithm");
    }
    let thumbprint = serde_json::from_value::<Numbers>(jwk.clone()).ok().map(|numbers| numbers.thumbprint());
    (thumbprint.as_deref() != Some(kid)).then_some("its kid is not the thumbprint of its JWK")
}

/// Changes the installation's issuer, and ends the key rings of all others: every verifier must be told, since tokens
/// of the old one cease to be made. Writes the row only if something changes.
///
/// # Errors
/// If the database fails.
pub async fn set_issuer(conn: &mut PgConnection, issuer: &str, keys: &config::Keys) -> Result<()> {
    let mut tx = conn.begin().await?;
    let ended = end_other_rings(&mut tx, issuer, keys).await?;
    sqlx::query!(
        "update installation set issuer = $1, epoch = epoch + 1 where id = 1 and (issuer <> $1 or $2)",
        issuer,
        ended
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jwk_is_checked_against_its_name_and_for_private_members() {
        let numbers = Numbers::EC { crv: "P-256".into(), x: "eA".into(), y: "eQ".into() };
        let kid = numbers.thumbprint();
        let good = serde_json::json!({"kty": "EC", "crv": "P-256", "x": "eA", "y": "eQ", "kid": kid, "alg": "ES256"});
        assert_eq!(audit_jwk(&kid, &good), None);
        for (member, value) in [("d", "ZA"), ("kid", "other"), ("alg", "none"), ("x", "eg")] {
            let mut bad = good.clone();
            bad[member] = value.into();
            assert!(audit_jwk(&kid, &bad).is_some(), "{member}");
        }
    }
}
