//! The installation: its one row, the epoch that tells replicas of changes, and the canaries of its master keys.

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use time::OffsetDateTime;

use crate::error::{Error, Result};
use crate::seal::{Place, Seal};

const CANARY: &[u8] = b"symbolon";

/// What a database was set up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `symbolon dev`: well-known credentials, throw-away data.
    Dev,
    /// `symbolon serve`.
    Serve,
}

impl Kind {
    /// The kind as the commands print it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Serve => "serve",
        }
    }
}

/// The row of `installation`.
#[derive(Clone, Debug)]
pub struct Installation {
    /// What it was set up for.
    pub kind: Kind,
    /// The `iss` of its tokens.
    pub issuer: String,
    /// Counts changes of every small table.
    pub epoch: i64,
    /// When the database was set up.
    pub created_at: OffsetDateTime,
}

impl Installation {
    /// The installation, if the database holds one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find(conn: &mut PgConnection) -> Result<Option<Self>> {
        let row = sqlx::query!("select kind, issuer, epoch, created_at from installation where id = 1")
            .fetch_optional(conn)
            .await?;
        Ok(row.map(|row| Self {
            kind: if row.kind == "dev" { Kind::Dev } else { Kind::Serve },
            issuer: row.issuer,
            epoch: row.epoch,
            created_at: row.created_at,
        }))
    }

    /// The installation; made with this kind and issuer if the database has none.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find_or_create(conn: &mut PgConnection, kind: Kind, issuer: &str) -> Result<Self> {
        sqlx::query!(
            "insert into installation (id, kind, issuer) values (1, $1, $2) on conflict (id) do nothing",
            kind.as_str(),
            issuer
        )
        .execute(&mut *conn)
        .await?;
        Self::find(conn).await?.ok_or_else(|| Error::internal("the installation row is gone"))
    }
}

/// The epoch, of the state that the connection's server has come to.
///
/// # Errors
/// If the database fails.
pub async fn epoch(conn: &mut PgConnection) -> Result<i64> {
    Ok(sqlx::query_scalar!("select epoch from installation where id = 1").fetch_one(conn).await?)
}

/// Tells replicas that a small table has changed: the last statement of the transaction that changed it.
///
/// # Errors
/// If the database fails.
pub async fn bump_epoch(conn: &mut PgConnection) -> Result<()> {
    sqlx::query!("update installation set epoch = epoch + 1 where id = 1").execute(conn).await?;
    Ok(())
}

/// How far what counts changes goes on after a restore: the state that was lost had not counted so far.
pub const LEAP: i64 = 1_000_000_000;

/// Takes the epoch of a restored database to where it never was, so that no replica takes what it knows of the state that
/// was lost for this one's.
///
/// # Errors
/// If the database fails.
pub async fn leap_epoch(conn: &mut PgConnection) -> Result<()> {
    sqlx::query!("update installation set epoch = epoch + $1 where id = 1", LEAP).execute(conn).await?;
    Ok(())
}

/// Whether the ring of master keys opens everything this database was sealed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealState {
    /// It does.
    Unsealed,
    /// These key ids are missing from the ring, or have other bytes. Nothing may be written.
    Sealed(Vec<String>),
}

/// Compares the ring with the canaries. Writes nothing.
///
/// # Errors
/// If the database fails.
pub async fn seal_state(conn: &mut PgConnection, seal: &Seal) -> Result<SealState> {
    let rows = sqlx::query!("select key_id, canary from seal_keys order by key_id").fetch_all(conn).await?;
    let missing: Vec<String> = rows
        .into_iter()
        .filter(|row| seal.open(canary_place(&row.key_id), &row.canary).is_err())
        .map(|row| row.key_id)
        .collect();
    Ok(if missing.is_empty() { SealState::Unsealed } else { SealState::Sealed(missing) })
}

/// Compares the ring with the canaries and, if it fits, records the primary key's canary.
///
/// # Errors
/// If the database fails.
pub async fn unseal(conn: &mut PgConnection, seal: &Seal) -> Result<SealState> {
    let state = seal_state(&mut *conn, seal).await?;
    if state == SealState::Unsealed {
        let mut tx = conn.begin().await?;
        if record_canary(&mut tx, seal).await? {
            bump_epoch(&mut tx).await?;
        }
        tx.commit().await?;
    }
    Ok(state)
}

/// Records the primary key's canary; false if it is there.
async fn record_canary(conn: &mut PgConnection, seal: &Seal) -> Result<bool> {
    let key_id = seal.primary_id();
    let canary = seal.seal_under(&key_id, canary_place(&key_id), CANARY)?;
    let recorded = sqlx::query!(
        "insert into seal_keys (key_id, canary) values ($1, $2) on conflict (key_id) do nothing",
        key_id,
        canary
    )
    .execute(conn)
    .await?;
    Ok(recorded.rows_affected() > 0)
}

/// Removes the canaries of master keys that are lost, and records that of the primary one, in the caller's transaction;
/// false if others are missing than these: then it is to be given up.
///
/// # Errors
/// If the database fails.
pub async fn replace_lost_seal_keys(conn: &mut PgConnection, seal: &Seal, lost: &[String]) -> Result<bool> {
    let removed =
        sqlx::query!("delete from seal_keys where key_id = any($1)", lost).execute(&mut *conn).await?.rows_affected();
    record_canary(&mut *conn, seal).await?;
    let is_whole = usize::try_from(removed).is_ok_and(|removed| removed == lost.len());
    Ok(is_whole && seal_state(conn, seal).await? == SealState::Unsealed)
}

/// Whether the database has this table at all: it may be empty, or somebody else's.
///
/// # Errors
/// If the database fails.
pub async fn is_migrated(conn: &mut PgConnection) -> Result<bool> {
    Ok(sqlx::query_scalar("select to_regclass('installation') is not null").fetch_one(conn).await?)
}

/// The ids of the master keys that this database was sealed with, the newest last.
///
/// # Errors
/// If the database fails.
pub async fn seal_key_ids(conn: &mut PgConnection) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar!("select key_id from seal_keys order by created_at, key_id").fetch_all(conn).await?)
}

/// Keeps the master key of a sealed secret in use until the end of the caller's transaction, which writes that secret.
///
/// # Errors
/// [`Error::Refused`] if it was taken out of use since the secret was sealed: whoever did that was told that nothing needs
/// this master key. If the database fails.
pub async fn keep_seal_key(conn: &mut PgConnection, sealed: &[u8]) -> Result<()> {
    let key_id = Seal::key_id_of(sealed).unwrap_or_default();
    let kept = sqlx::query_scalar!("select key_id from seal_keys where key_id = $1 for share", key_id)
        .fetch_optional(conn)
        .await?;
    kept.map(drop).ok_or_else(|| {
        Error::Refused(format!(
            "the master key {key_id} has been taken out of use; nothing was written: start again with the current one"
        ))
    })
}

/// Removes the canaries of master keys, but for the primary one, that no secret is sealed with any more; returns their
/// ids. In a transaction of the caller's. A new table of secrets must be added here.
///
/// # Errors
/// If the database fails.
pub async fn forget_unused_seal_keys(conn: &mut PgConnection, seal: &Seal) -> Result<Vec<String>> {
    // Waits for those who write a secret now (`keep_seal_key`). A new statement then sees what they wrote.
    sqlx::query!("select key_id from seal_keys where key_id <> $1 for update", seal.primary_id())
        .fetch_all(&mut *conn)
        .await?;
    // The key id is what stands in front of a blob, after its version (`seal.rs`).
    let mut removed = sqlx::query_scalar!(
        "delete from seal_keys where key_id <> $1
           and key_id not in (select encode(substring(secret_sealed from 2 for 4), 'hex') from access_keys)
           and key_id not in (select encode(substring(private_sealed from 2 for 4), 'hex') from signing_keys
                              where private_sealed is not null)
         returning key_id",
        seal.primary_id()
    )
    .fetch_all(conn)
    .await?;
    removed.sort();
    Ok(removed)
}

fn canary_place(key_id: &str) -> Place<'_> {
    Place { table: "seal_keys", column: "canary", row: key_id, tenant: "" }
}
