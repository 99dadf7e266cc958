//! The row of a signing key, its state as a pure function of the times in it, and its SQL.

use std::cmp::Reverse;

use serde::{Serialize, Serializer};
use sqlx::postgres::PgConnection;
use sqlx::types::Json;
use time::OffsetDateTime;

use super::after;
use super::material::{Fresh, PublicJwk, place};
use crate::config::{self, Algorithm};
use crate::error::{Error, Result};
use crate::installation;
use crate::seal::Seal;

/// A signing key as the database holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKey {
    /// Its RFC 7638 thumbprint.
    pub kid: String,
    /// What it signs with.
    pub alg: Algorithm,
    /// What verifiers are shown, and its certificate.
    pub public_jwk: PublicJwk,
    /// The sealed private half, until it is destroyed.
    pub private_sealed: Option<Vec<u8>>,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// Since when it is in the JWKS. A row is never inserted ahead of that.
    pub publish_at: OffsetDateTime,
    /// From when it signs; none while it waits.
    pub sign_from: Option<OffsetDateTime>,
    /// Until when it signs; none until a successor has its `sign_from`.
    pub sign_until: Option<OffsetDateTime>,
    /// Until when it is in the JWKS.
    pub unpublish_at: Option<OffsetDateTime>,
    /// When it was revoked.
    pub revoked_at: Option<OffsetDateTime>,
    /// The version of the key ring that inserted it.
    pub version: i64,
}

/// What a key is at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It signs.
    Active,
    /// It signs no more; its tokens are still verified.
    Retiring,
    /// It is published and waits for its turn.
    Next,
    /// It is gone from the JWKS.
    Retired,
    /// It was revoked, and is gone from the JWKS.
    Revoked,
}

impl State {
    /// The state's name, as operators see it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Retiring => "RETIRING",
            Self::Next => "NEXT",
            Self::Retired => "RETIRED",
            Self::Revoked => "REVOKED",
        }
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl SigningKey {
    /// The row of a fresh key, published at `now`.
    #[must_use]
    pub fn new(fresh: Fresh, now: OffsetDateTime, sign_from: Option<OffsetDateTime>, version: i64) -> Self {
        Self {
            kid: fresh.public_jwk.kid.clone(),
            alg: fresh.alg,
            public_jwk: fresh.public_jwk,
            private_sealed: Some(fresh.private_sealed),
            created_at: now,
            publish_at: now,
            sign_from,
            sign_until: None,
            unpublish_at: None,
            revoked_at: None,
            version,
        }
    }

    /// What this key is at `now`, beside the others of its issuer.
    #[must_use]
    pub fn state(&self, keys: &[Self], now: OffsetDateTime) -> State {
        if self.revoked_at.is_some() {
            State::Revoked
        } else if self.waits(now) {
            State::Next
        } else if active(keys, now).is_some_and(|active| active.kid == self.kid) {
            State::Active
        } else if self.unpublish_at.is_some_and(|at| at <= now) {
            State::Retired
        } else {
            State::Retiring
        }
    }

    fn waits(&self, now: OffsetDateTime) -> bool {
        self.revoked_at.is_none() && self.sign_from.is_none_or(|at| at > now)
    }

    fn has_begun(&self, now: OffsetDateTime) -> bool {
        self.revoked_at.is_none() && self.sign_from.is_some_and(|at| at <= now)
    }

    /// What orders keys that have begun to sign: the greatest is the newest.
    fn seniority(&self) -> (Option<OffsetDateTime>, i64, &str) {
        (self.sign_from, self.version, &self.kid)
    }

    /// When it ceased to sign, or will: the earlier of `sign_until` and `revoked_at`.
    #[must_use]
    pub fn ends_at(&self) -> Option<OffsetDateTime> {
        self.sign_until.into_iter().chain(self.revoked_at).min()
    }

    /// Whether it may sign at `now` or later: only then is its private half opened.
    #[must_use]
    pub fn may_yet_sign(&self, now: OffsetDateTime) -> bool {
        self.ends_at().is_none_or(|end| now < end)
    }
}

/// The newest unrevoked key whose time to sign has come.
#[must_use]
pub fn newest(keys: &[SigningKey], now: OffsetDateTime) -> Option<&SigningKey> {
    keys.iter().filter(|key| key.has_begun(now)).max_by_key(|key| key.seniority())
}

/// The key that signs at `now`: the newest one, unless its own time is over.
#[must_use]
pub fn active(keys: &[SigningKey], now: OffsetDateTime) -> Option<&SigningKey> {
    newest(keys, now).filter(|key| key.sign_until.is_none_or(|until| now < until))
}

/// The keys that wait for their turn: the one that has its time first, then the longest published.
#[must_use]
pub fn waiting(keys: &[SigningKey], now: OffsetDateTime) -> Vec<&SigningKey> {
    let mut waiting: Vec<&SigningKey> = keys.iter().filter(|key| key.waits(now)).collect();
    waiting.sort_by_key(|key| (key.sign_from.is_none(), key.sign_from, key.publish_at, &key.kid));
    waiting
}

/// The keys that the JWKS shows at `now`, in its order: ACTIVE, RETIRING with the newest first, NEXT.
#[must_use]
pub fn published(keys: &[SigningKey], now: OffsetDateTime) -> Vec<&SigningKey> {
    let active = active(keys, now);
    let shown = |key: &&SigningKey| key.has_begun(now) && key.unpublish_at.is_none_or(|at| now < at);
    let other = |key: &&SigningKey| active.is_none_or(|active| active.kid != key.kid);
    let mut retiring: Vec<&SigningKey> = keys.iter().filter(shown).filter(other).collect();
    retiring.sort_by_key(|key| Reverse(key.seniority()));
    active.into_iter().chain(retiring).chain(waiting(keys, now)).collect()
}

/// What the database says of an issuer's keys.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The database's clock, read before the rest.
    pub now: OffsetDateTime,
    /// The installation's epoch.
    pub epoch: i64,
    /// The installation's issuer: it may have been changed since the reader started.
    pub issuer: String,
    /// When the first of the keys of other issuers that still have their private half ceased to sign, or will.
    pub others_end: Option<OffsetDateTime>,
    /// The key ring's version; 0 if it was never written.
    pub version: i64,
    /// The keys.
    pub keys: Vec<SigningKey>,
}

/// Which keys to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Every key that there ever was.
    All,
    /// Those in the JWKS, and those whose private half exists.
    Live,
}

impl Reading {
    /// Reads the clock, and the keys of `issuer`; keys, version and epoch are of one moment.
    ///
    /// # Errors
    /// If the database fails, or is not set up.
    pub async fn take(conn: &mut PgConnection, issuer: &str, which: Which) -> Result<Self> {
        let head = sqlx::query!(
            r#"select clock_timestamp() as "now!", i.epoch, i.issuer, r.version as "version?",
                 (select min(least(k.sign_until, k.revoked_at)) from signing_keys k
                  where k.issuer <> i.issuer and k.private_sealed is not null) as others_end
               from installation i left join keyrings r on r.issuer = $1 where i.id = 1"#,
            issuer
        )
        .fetch_optional(&mut *conn)
        .await?
        .ok_or_else(|| Error::internal("the database holds no installation"))?;
        let gone_before = (which == Which::Live).then_some(head.now);
        let rows = sqlx::query!(
            r#"select k.kid, k.alg, k.public_jwk as "public_jwk: Json<PublicJwk>", k.private_sealed, k.created_at,
                 k.publish_at, k.sign_from, k.sign_until, k.unpublish_at, k.revoked_at, k.version,
                 r.version as ring_version, i.epoch
               from signing_keys k join keyrings r on r.issuer = k.issuer cross join installation i
               where k.issuer = $1 and ($2::timestamptz is null or k.private_sealed is not null
                 or (k.revoked_at is null and (k.unpublish_at is null or k.unpublish_at > $2)))
               order by k.version, k.sign_from is null, k.kid"#,
            issuer,
            gone_before
        )
        .fetch_all(conn)
        .await?;
        // The database may be restored between both: keys from before then are known by their epoch.
        let (version, epoch) =
            rows.first().map_or((head.version.unwrap_or(0), head.epoch), |row| (row.ring_version, row.epoch));
        let keys = rows
            .into_iter()
            .map(|row| {
                Ok(SigningKey {
                    alg: Algorithm::parse(&row.alg)
                        .ok_or_else(|| Error::internal(format!("signing key {} has algorithm {}", row.kid, row.alg)))?,
                    kid: row.kid,
                    public_jwk: row.public_jwk.0,
                    private_sealed: row.private_sealed,
                    created_at: row.created_at,
                    publish_at: row.publish_at,
                    sign_from: row.sign_from,
                    sign_until: row.sign_until,
                    unpublish_at: row.unpublish_at,
                    revoked_at: row.revoked_at,
                    version: row.version,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self { now: head.now, epoch, issuer: head.issuer, others_end: head.others_end, version, keys })
    }
}

impl SigningKey {
    /// Inserts the row, in a transaction of the caller's.
    ///
    /// # Errors
    /// What [`installation::keep_seal_key`] refuses. If the database fails.
    pub async fn insert(&self, conn: &mut PgConnection, issuer: &str) -> Result<()> {
        if let Some(sealed) = &self.private_sealed {
            installation::keep_seal_key(&mut *conn, sealed).await?;
        }
        sqlx::query!(
            "insert into signing_keys (kid, issuer, alg, public_jwk, private_sealed, created_at, publish_at, sign_from,
               sign_until, unpublish_at, revoked_at, version)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            self.kid,
            issuer,
            self.alg.as_str(),
            Json(&self.public_jwk) as _,
            self.private_sealed,
            self.created_at,
            self.publish_at,
            self.sign_from,
            self.sign_until,
            self.unpublish_at,
            self.revoked_at,
            self.version
        )
        .execute(conn)
        .await?;
        Ok(())
    }

    /// Writes the four times that change, and destroys the private half in the row if this one has none.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn update(&self, conn: &mut PgConnection) -> Result<()> {
        sqlx::query!(
            "update signing_keys set sign_from = $2, sign_until = $3, unpublish_at = $4, revoked_at = $5,
               private_sealed = case when $6 then private_sealed end
             where kid = $1",
            self.kid,
            self.sign_from,
            self.sign_until,
            self.unpublish_at,
            self.revoked_at,
            self.private_sealed.is_some()
        )
        .execute(conn)
        .await?;
        Ok(())
    }
}

/// Takes the key ring of `issuer` from `version` to the next, and tells the database's time; none if another writer was
/// faster, or the installation has another issuer.
///
/// # Errors
/// If the database fails.
pub async fn compare_and_swap(conn: &mut PgConnection, issuer: &str, version: i64) -> Result<Option<OffsetDateTime>> {
    if version == 0 {
        sqlx::query!("insert into keyrings (issuer) values ($1) on conflict (issuer) do nothing", issuer)
            .execute(&mut *conn)
            .await?;
    }
    let now = sqlx::query_scalar!(
        r#"update keyrings set version = version + 1 where issuer = $1 and version = $2
             and exists (select 1 from installation i where i.id = 1 and i.issuer = $1)
           returning clock_timestamp() as "now!""#,
        issuer,
        version
    )
    .fetch_optional(conn)
    .await?;
    Ok(now)
}

/// Ends the key rings of all issuers but `issuer`, and tells whether a key had no end yet: what signs, or is about to,
/// does so until every replica knows of the change; what only waits is revoked, since no token needs it. Takes the
/// rings' next versions, so that a writer which knew them before loses.
///
/// # Errors
/// If the database fails.
pub async fn end_other_rings(conn: &mut PgConnection, issuer: &str, keys: &config::Keys) -> Result<bool> {
    // The row may be missing while a broker makes the first keys.
    sqlx::query!(
        "insert into keyrings (issuer) select issuer from installation where id = 1 and issuer <> $1
         on conflict (issuer) do nothing",
        issuer
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!("update keyrings set version = version + 1 where issuer <> $1", issuer).execute(&mut *conn).await?;
    let now = sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(&mut *conn).await?;
    let until = after(now, keys.sign_fence);
    let ended = sqlx::query!(
        "update signing_keys set
           sign_until = case when sign_from < $3 then $3 end,
           unpublish_at = case when sign_from < $3 then $4::timestamptz end,
           revoked_at = case when sign_from < $3 then revoked_at else $2::timestamptz end
         where issuer <> $1 and sign_until is null and revoked_at is null",
        issuer,
        now,
        until,
        after(until, keys.unpublish_delay)
    )
    .execute(conn)
    .await?;
    Ok(ended.rows_affected() > 0)
}

/// Destroys the private halves of other issuers' keys that ceased to sign by `ended_by`; tells how many.
///
/// # Errors
/// If the database fails.
pub async fn destroy_others(conn: &mut PgConnection, ended_by: OffsetDateTime) -> Result<u64> {
    let destroyed = sqlx::query!(
        "update signing_keys set private_sealed = null
         where issuer <> (select issuer from installation where id = 1) and private_sealed is not null
           and least(sign_until, revoked_at) <= $1",
        ended_by
    )
    .execute(&mut *conn)
    .await?
    .rows_affected();
    if destroyed > 0 {
        installation::bump_epoch(conn).await?;
    }
    Ok(destroyed)
}

/// Seals under the primary master key the private half of one signing key, of any issuer, that another one sealed;
/// false if there is none left. Each call is a transaction of the caller's, so that a broken run is simply run again.
///
/// # Errors
/// [`Error::Sealed`] if a master key is missing; else if the database fails.
pub async fn reseal_one(conn: &mut PgConnection, seal: &Seal) -> Result<bool> {
    let rows = sqlx::query!(
        r#"select kid, issuer, private_sealed as "blob!"
           from signing_keys where private_sealed is not null order by kid"#
    )
    .fetch_all(&mut *conn)
    .await?;
    let primary = Some(seal.primary_id());
    let Some(row) = rows.into_iter().find(|row| Seal::key_id_of(&row.blob) != primary) else { return Ok(false) };
    let place = place(&row.kid, &row.issuer);
    let resealed = seal.seal(place, &seal.open(place, &row.blob)?)?;
    installation::keep_seal_key(&mut *conn, &resealed).await?;
    // Not if it was destroyed meanwhile.
    sqlx::query!(
        "update signing_keys set private_sealed = $3 where kid = $1 and private_sealed = $2",
        row.kid,
        row.blob,
        resealed
    )
    .execute(&mut *conn)
    .await?;
    installation::bump_epoch(conn).await?;
    Ok(true)
}
