//! Access keys: the SigV4 credentials of a tenant's developers. The secret is sealed, since SigV4 needs it back.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sqlx::postgres::PgConnection;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::tenant::Status;
use crate::error::{Error, Result};
use crate::ids::{self, AccessKeyId, AccountId};
use crate::installation;
use crate::json;
use crate::policy::Policy;
use crate::seal::{Place, Seal};

/// The access key that local AWS tools use by convention. Only `symbolon dev` makes it.
pub const DEV_ACCESS_KEY: &str = "test";

/// The secret of [`DEV_ACCESS_KEY`], and of the account numbers that `symbolon dev` takes as access keys.
pub const DEV_SECRET: &str = "test";

/// Whether this is one of the well-known keys of dev mode: `test`, or an account number.
#[must_use]
pub fn is_dev_access_key(id: &AccessKeyId) -> bool {
    id.as_str() == DEV_ACCESS_KEY || AccountId::parse(id.as_str()).is_some()
}

/// An access key without its secret.
#[derive(Clone, Debug)]
pub struct AccessKey {
    /// The public half.
    pub id: AccessKeyId,
    /// The tenant it belongs to.
    pub account_id: AccountId,
    /// Whether it may be used.
    pub status: Status,
    /// Since when it exists.
    pub created_at: OffsetDateTime,
    /// Which of all secrets that a key of this id has had, one that was deleted included: the installation's epoch when it was
    /// set, so that none ever has the number of another.
    pub secret_version: i64,
    /// When it was last used, to a minute or so.
    pub last_used_at: Option<OffsetDateTime>,
    /// The document of its policy; without one it may do everything in its account.
    pub policy: Option<Value>,
}

/// The secret half of an access key, wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// A secret given by an operator.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.as_bytes().to_vec()))
    }

    /// A fresh secret of 40 characters (240 random bits), the length AWS gives.
    ///
    /// # Errors
    /// If the system's random source fails.
    pub fn generate() -> Result<Self> {
        let bytes = Zeroizing::new(ids::random::<30>()?);
        Ok(Self(Zeroizing::new(STANDARD.encode(bytes.as_ref()).into_bytes())))
    }

    /// The secret itself: for deriving signing keys, and for showing it once.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A key that may sign now, with its secret opened.
#[derive(Debug)]
pub struct UsableKey {
    /// The public half.
    pub id: AccessKeyId,
    /// The tenant it speaks for.
    pub account_id: AccountId,
    /// The secret half.
    pub secret: Secret,
    /// What it may do; everything in its tenant if it has no policy.
    pub policy: Option<Arc<Policy>>,
}

/// A fresh access key id, in AWS's form.
///
/// # Errors
/// If the system's random source fails.
pub fn generate_id() -> Result<AccessKeyId> {
    random_id("AKIA")
}

/// A fresh access key id that begins with `prefix`: 80 random bits.
///
/// # Errors
/// If the system's random source fails.
pub fn random_id(prefix: &str) -> Result<AccessKeyId> {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let random: [u8; 16] = ids::random()?;
    let tail = random.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)]));
    let text: String = prefix.chars().chain(tail).collect();
    AccessKeyId::parse(&text).ok_or_else(|| Error::internal("an access key id of our own is ill-formed"))
}

/// A row without its secret.
struct Row {
    access_key_id: String,
    account_id: String,
    status: i16,
    created_at: OffsetDateTime,
    secret_version: i64,
    last_used_at: Option<OffsetDateTime>,
    policy: Option<Value>,
}

impl Row {
    fn into_key(self) -> Option<AccessKey> {
        Some(AccessKey {
            id: AccessKeyId::parse(&self.access_key_id)?,
            account_id: AccountId::parse(&self.account_id)?,
            status: Status::of(self.status),
            created_at: self.created_at,
            secret_version: self.secret_version,
            last_used_at: self.last_used_at,
            policy: self.policy,
        })
    }
}

impl AccessKey {
    /// The key, if it and its tenant are enabled, with its secret opened.
    ///
    /// # Errors
    /// If the database fails, or the secret cannot be opened.
    pub async fn usable(conn: &mut PgConnection, seal: &Seal, id: &AccessKeyId) -> Result<Option<UsableKey>> {
        let row = sqlx::query!(
            "select k.account_id, k.secret_sealed, k.policy
             from access_keys k join tenants t on t.account_id = k.account_id
             where k.access_key_id = $1 and k.status = 1 and t.status = 1",
            id.as_str()
        )
        .fetch_optional(conn)
        .await?;
        let Some((row, account_id)) = row.and_then(|row| AccountId::parse(&row.account_id).map(|id| (row, id))) else {
            return Ok(None);
        };
        let secret = Secret(seal.open(place(id, &account_id), &row.secret_sealed)?);
        let policy = row.policy.map(|document| Arc::new(stored_policy(id, &document)));
        Ok(Some(UsableKey { id: id.clone(), account_id, secret, policy }))
    }

    /// The tenant and the secret of a key, disabled or not: for comparing with what an operator wants.
    ///
    /// # Errors
    /// If the database fails, or the secret cannot be opened.
    pub async fn secret(conn: &mut PgConnection, seal: &Seal, id: &AccessKeyId) -> Result<Option<(AccountId, Secret)>> {
        let row =
            sqlx::query!("select account_id, secret_sealed from access_keys where access_key_id = $1", id.as_str())
                .fetch_optional(conn)
                .await?;
        let Some((row, account_id)) = row.and_then(|row| AccountId::parse(&row.account_id).map(|id| (row, id))) else {
            return Ok(None);
        };
        let secret = Secret(seal.open(place(id, &account_id), &row.secret_sealed)?);
        Ok(Some((account_id, secret)))
    }

    /// Makes a key with this id and secret; false if the id is taken.
    ///
    /// # Errors
    /// If the database fails, or the tenant does not exist (a violated foreign key).
    pub async fn create(
        conn: &mut PgConnection,
        seal: &Seal,
        id: &AccessKeyId,
        account_id: &AccountId,
        secret: &Secret,
    ) -> Result<bool> {
        let sealed = seal.seal(place(id, account_id), secret.expose())?;
        let mut tx = sqlx::Connection::begin(conn).await?;
        installation::keep_seal_key(&mut tx, &sealed).await?;
        let made = sqlx::query!(
            "insert into access_keys (access_key_id, account_id, secret_sealed, secret_version)
             values ($1, $2, $3, coalesce((select epoch from installation), 0) + 1)
             on conflict (access_key_id) do nothing",
            id.as_str(),
            account_id.as_str(),
            sealed
        )
        .execute(&mut *tx)
        .await?
        .rows_affected()
            > 0;
        if made {
            installation::bump_epoch(&mut tx).await?;
        }
        tx.commit().await?;
        Ok(made)
    }

    /// Replaces the secret of a key; false if there is no such key of this tenant.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn set_secret(
        conn: &mut PgConnection,
        seal: &Seal,
        id: &AccessKeyId,
        account_id: &AccountId,
        secret: &Secret,
    ) -> Result<bool> {
        let sealed = seal.seal(place(id, account_id), secret.expose())?;
        let mut tx = sqlx::Connection::begin(conn).await?;
        installation::keep_seal_key(&mut tx, &sealed).await?;
        let found = sqlx::query!(
            "update access_keys set secret_sealed = $3,
                 secret_version = greatest(secret_version, (select epoch from installation)) + 1
             where access_key_id = $1 and account_id = $2",
            id.as_str(),
            account_id.as_str(),
            sealed
        )
        .execute(&mut *tx)
        .await?
        .rows_affected()
            > 0;
        installation::bump_epoch(&mut tx).await?;
        tx.commit().await?;
        Ok(found)
    }

    /// All keys, or those of one tenant.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn list(conn: &mut PgConnection, account_id: Option<&AccountId>) -> Result<Vec<Self>> {
        let rows = sqlx::query_as!(
            Row,
            "select access_key_id, account_id, status, created_at, secret_version, last_used_at, policy
             from access_keys where $1::text is null or account_id = $1 order by account_id, access_key_id",
            account_id.map(AccountId::as_str)
        )
        .fetch_all(conn)
        .await?;
        Ok(rows.into_iter().filter_map(Row::into_key).collect())
    }

    /// The key, whosever it is.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find(conn: &mut PgConnection, id: &AccessKeyId) -> Result<Option<Self>> {
        let row = sqlx::query_as!(
            Row,
            "select access_key_id, account_id, status, created_at, secret_version, last_used_at, policy
             from access_keys where access_key_id = $1",
            id.as_str()
        )
        .fetch_optional(conn)
        .await?;
        Ok(row.and_then(Row::into_key))
    }

    /// Gives a key this policy, or takes its policy away, on every replica within the fence; false if there is no such
    /// key.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn set_policy(conn: &mut PgConnection, id: &AccessKeyId, policy: Option<&Policy>) -> Result<bool> {
        let document = policy.map(document).transpose()?;
        let mut tx = sqlx::Connection::begin(conn).await?;
        let found = sqlx::query!("update access_keys set policy = $2 where access_key_id = $1", id.as_str(), document)
            .execute(&mut *tx)
            .await?
            .rows_affected()
            > 0;
        installation::bump_epoch(&mut tx).await?;
        tx.commit().await?;
        Ok(found)
    }

    /// Enables or disables a key, on every replica within the fence; false if there is no such key.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn set_status(conn: &mut PgConnection, id: &AccessKeyId, status: Status) -> Result<bool> {
        let mut tx = sqlx::Connection::begin(conn).await?;
        let found =
            sqlx::query!("update access_keys set status = $2 where access_key_id = $1", id.as_str(), status as i16)
                .execute(&mut *tx)
                .await?
                .rows_affected()
                > 0;
        installation::bump_epoch(&mut tx).await?;
        tx.commit().await?;
        Ok(found)
    }

    /// Deletes a key; false if there is no such key.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn delete(conn: &mut PgConnection, id: &AccessKeyId) -> Result<bool> {
        let mut tx = sqlx::Connection::begin(conn).await?;
        let found = sqlx::query!("delete from access_keys where access_key_id = $1", id.as_str())
            .execute(&mut *tx)
            .await?
            .rows_affected()
            > 0;
        installation::bump_epoch(&mut tx).await?;
        tx.commit().await?;
        Ok(found)
    }

    /// Whether the database holds any of dev mode's well-known keys.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn any_dev_key(conn: &mut PgConnection) -> Result<bool> {
        let row = sqlx::query!(
            r#"select exists (select from access_keys where access_key_id = $1 or access_key_id ~ '^[0-9]{12}$') as "any!""#,
            DEV_ACCESS_KEY
        )
        .fetch_one(conn)
        .await?;
        Ok(row.any)
    }

    /// Records when keys were last used. Not worth an epoch: no decision depends on it.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn record_use(conn: &mut PgConnection, used: &[(AccessKeyId, OffsetDateTime)]) -> Result<()> {
        let (ids, times): (Vec<String>, Vec<OffsetDateTime>) =
            used.iter().map(|(id, at)| (id.as_str().to_owned(), *at)).unzip();
        sqlx::query!(
            "update access_keys k set last_used_at = greatest(k.last_used_at, u.at)
             from unnest($1::text[], $2::timestamptz[]) as u (id, at) where k.access_key_id = u.id",
            &ids,
            &times
        )
        .execute(conn)
        .await?;
        Ok(())
    }

    /// The keys whose sealed secret `is_lost` says nobody can open.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn lost(conn: &mut PgConnection, is_lost: impl Fn(&[u8]) -> bool) -> Result<Vec<Self>> {
        let rows = sqlx::query!("select access_key_id, secret_sealed from access_keys").fetch_all(&mut *conn).await?;
        let lost: Vec<String> =
            rows.into_iter().filter(|row| is_lost(&row.secret_sealed)).map(|row| row.access_key_id).collect();
        let mut keys = Self::list(conn, None).await?;
        keys.retain(|key| lost.iter().any(|id| id == key.id.as_str()));
        Ok(keys)
    }

    /// Disables a key whose secret is lost, and gives it one that nobody knows, so that the key keeps its place and its
    /// policy, and every secret opens. The epoch is the caller's.
    ///
    /// # Errors
    /// If the database or the system's random source fails.
    pub async fn give_up_secret(&self, conn: &mut PgConnection, seal: &Seal) -> Result<()> {
        let sealed = seal.seal(place(&self.id, &self.account_id), Secret::generate()?.expose())?;
        installation::keep_seal_key(&mut *conn, &sealed).await?;
        sqlx::query!(
            "update access_keys set secret_sealed = $2, status = $3,
                 secret_version = greatest(secret_version, (select epoch from installation)) + 1
             where access_key_id = $1",
            self.id.as_str(),
            sealed,
            Status::Disabled as i16
        )
        .execute(conn)
        .await?;
        Ok(())
    }

    /// Seals every secret that another than the primary master key holds anew, row by row; returns how many.
    ///
    /// # Errors
    /// If the database fails, or a secret cannot be opened.
    pub async fn reseal(conn: &mut PgConnection, seal: &Seal) -> Result<u64> {
        let rows = sqlx::query!("select access_key_id, account_id, secret_sealed from access_keys")
            .fetch_all(&mut *conn)
            .await?;
        let mut resealed = 0;
        for row in rows {
            let (Some(id), Some(account)) = (AccessKeyId::parse(&row.access_key_id), AccountId::parse(&row.account_id))
            else {
                continue;
            };
            if Seal::key_id_of(&row.secret_sealed).as_deref() == Some(&seal.primary_id()) {
                continue;
            }
            let sealed = seal.seal(place(&id, &account), &seal.open(place(&id, &account), &row.secret_sealed)?)?;
            // A key that changed meanwhile was sealed by its writer.
            let mut tx = sqlx::Connection::begin(&mut *conn).await?;
            installation::keep_seal_key(&mut tx, &sealed).await?;
            let changed = sqlx::query!(
                "update access_keys set secret_sealed = $3 where access_key_id = $1 and secret_sealed = $2",
                row.access_key_id,
                row.secret_sealed,
                sealed
            )
            .execute(&mut *tx)
            .await?
            .rows_affected();
            installation::bump_epoch(&mut tx).await?;
            tx.commit().await?;
            resealed += changed;
        }
        Ok(resealed)
    }
}

/// A policy as JSON, to be stored and compared: its white space and the order of its members do not count.
///
/// # Errors
/// If it is no JSON, as that of nothing is not.
pub fn document(policy: &Policy) -> Result<Value> {
    json::read(policy.text().as_bytes()).map_err(Error::internal)
}

/// A policy from its row. One that cannot be read allows nothing: it was written by a later version, or by another hand.
fn stored_policy(id: &AccessKeyId, document: &Value) -> Policy {
    Policy::parse(&document.to_string()).unwrap_or_else(|problem| {
        tracing::error!(access_key = %id, %problem, "the policy of this access key cannot be read: it may do nothing");
        Policy::of_nothing()
    })
}

fn place<'a>(id: &'a AccessKeyId, account_id: &'a AccountId) -> Place<'a> {
    Place { table: "access_keys", column: "secret_sealed", row: id.as_str(), tenant: account_id.as_str() }
}
