//! Tenants: what AWS calls accounts. Everything else belongs to one.

use sqlx::postgres::PgConnection;
use time::OffsetDateTime;

use crate::error::Result;
use crate::ids::AccountId;
use crate::installation;

/// Whether a tenant or an access key may be used. Stored as a number, so that engines without enums can hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It may.
    Enabled = 1,
    /// It may not.
    Disabled = 2,
}

impl Status {
    pub(crate) fn of(number: i16) -> Self {
        if number == 1 { Self::Enabled } else { Self::Disabled }
    }

    /// The status as the commands print it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "ENABLED",
            Self::Disabled => "DISABLED",
        }
    }
}

/// A tenant.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Its number.
    pub account_id: AccountId,
    /// What people call it.
    pub name: String,
    /// Whether its keys and pools may be used.
    pub status: Status,
    /// Since when it exists.
    pub created_at: OffsetDateTime,
}

impl Tenant {
    /// Locks the tenant's row until the transaction ends, so that what is made under it is made one after the other: a
    /// count of what it has then holds.
    ///
    /// # Errors
    /// If there is no such tenant, or the database fails.
    pub async fn lock(conn: &mut PgConnection, account_id: &AccountId) -> Result<()> {
        sqlx::query!("select status from tenants where account_id = $1 for no key update", account_id.as_str())
            .fetch_one(conn)
            .await?;
        Ok(())
    }

    /// The tenant of this number.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find(conn: &mut PgConnection, account_id: &AccountId) -> Result<Option<Self>> {
        let row =
            sqlx::query!("select name, status, created_at from tenants where account_id = $1", account_id.as_str())
                .fetch_optional(conn)
                .await?;
        Ok(row.map(|row| Self {
            account_id: account_id.clone(),
            name: row.name,
            status: Status::of(row.status),
            created_at: row.created_at,
        }))
    }

    /// Makes a tenant; false if its number is taken.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn create(conn: &mut PgConnection, account_id: &AccountId, name: &str) -> Result<bool> {
        let mut tx = sqlx::Connection::begin(conn).await?;
        let made = sqlx::query!(
            "insert into tenants (account_id, name) values ($1, $2) on conflict (account_id) do nothing",
            account_id.as_str(),
            name
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

    /// All tenants, by number.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn list(conn: &mut PgConnection) -> Result<Vec<Self>> {
        let rows = sqlx::query!("select account_id, name, status, created_at from tenants order by account_id")
            .fetch_all(conn)
            .await?;
        Ok(rows
            .into_iter()
            .filter_map(|row| {
                Some(Self {
                    account_id: AccountId::parse(&row.account_id)?,
                    name: row.name,
                    status: Status::of(row.status),
                    created_at: row.created_at,
                })
            })
            .collect())
    }

    /// Gives the tenant another name; false if there is no such tenant.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn rename(conn: &mut PgConnection, account_id: &AccountId, name: &str) -> Result<bool> {
        let mut tx = sqlx::Connection::begin(conn).await?;
        let found = sqlx::query!("update tenants set name = $2 where account_id = $1", account_id.as_str(), name)
            .execute(&mut *tx)
            .await?
            .rows_affected()
            > 0;
        installation::bump_epoch(&mut tx).await?;
        tx.commit().await?;
        Ok(found)
    }

    /// Enables or disables the tenant, on every replica within the fence; false if there is no such tenant.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn set_status(conn: &mut PgConnection, account_id: &AccountId, status: Status) -> Result<bool> {
        let mut tx = sqlx::Connection::begin(conn).await?;
        let found =
            sqlx::query!("update tenants set status = $2 where account_id = $1", account_id.as_str(), status as i16)
                .execute(&mut *tx)
                .await?
                .rows_affected()
                > 0;
        installation::bump_epoch(&mut tx).await?;
        tx.commit().await?;
        Ok(found)
    }
}
