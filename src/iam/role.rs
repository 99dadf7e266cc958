//! Roles: what identities take on, and who may take on each.

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use sqlx::types::Json;
use time::OffsetDateTime;

use super::tagging;
use crate::error::{Error, Result};
use crate::ids::{AccountId, Region};
use crate::installation;
use crate::policy::TrustPolicy;
use crate::tags::{self, Tags};
use crate::tenants::Tenant;
use crate::tenants::access_key;

/// How long a session of a role may last unless its `MaxSessionDuration` says more, in seconds
/// (<https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html>).
pub const DEFAULT_MAX_SESSION_DURATION: i32 = 3_600;

/// A role that a tenant has declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its name, unique in the account whatever its case.
    pub name: String,
    /// Its path: `/`, or words between slashes.
    pub path: String,
    /// Its unique id, which another role of this name will not have.
    pub role_id: String,
    /// What people say of it.
    pub description: Option<String>,
    /// How long its sessions may last, in seconds.
    pub max_session_duration: i32,
    /// Who may take it on: a trust policy as it was given.
    pub trust_policy: String,
    /// Tags.
    pub tags: Tags,
    /// Since when it exists.
    pub created_at: OffsetDateTime,
}

struct Row {
    name: String,
    path: String,
    role_id: String,
    description: Option<String>,
    max_session_duration: i32,
    trust_policy: String,
    tags: Json<Tags>,
    created_at: OffsetDateTime,
}

impl From<Row> for Role {
    fn from(row: Row) -> Self {
        Self {
            name: row.name,
            path: row.path,
            role_id: row.role_id,
            description: row.description,
            max_session_duration: row.max_session_duration,
            trust_policy: row.trust_policy,
            tags: row.tags.0,
            created_at: row.created_at,
        }
    }
}

/// What unique ids of roles begin with
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html>).
const ID_PREFIX: &str = "AROA";

impl Role {
    /// A unique id for a new role.
    ///
    /// # Errors
    /// If the system's random source fails.
    pub fn draw_id() -> Result<String> {
        Ok(access_key::random_id(ID_PREFIX)?.to_string())
    }

    /// What comes after `role/` in its ARN. Of the path nothing but the first slash is left out, so that `role` and the
    /// path and the name make the same ARN before there is a role.
    #[must_use]
    pub fn path_and_name(&self) -> String {
        format!("{}{}", self.path.strip_prefix('/').unwrap_or(&self.path), self.name)
    }

    /// The tenant's role of this name.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find(conn: &mut PgConnection, account_id: &AccountId, name: &str) -> Result<Option<Self>> {
        let row = sqlx::query_as!(
            Row,
            r#"select name, path, role_id, description, max_session_duration, trust_policy, tags as "tags: Json<Tags>",
                      created_at
               from iam_roles where account_id = $1 and name_key = $2"#,
            account_id.as_str(),
            name.to_ascii_lowercase()
        )
        .fetch_optional(conn)
        .await?;
        Ok(row.map(Self::from))
    }

    /// The role in `arn:PARTITION:iam::ACCOUNT:role/PATH/NAME`, if it exists there, in an enabled tenant, under this very
    /// path and name. The partition is that of `region`, in which it is asked for.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn of_arn(
        conn: &mut PgConnection,
        account_id: &AccountId,
        region: &Region,
        arn: &str,
    ) -> Result<Option<Self>> {
        let of_account = format!("arn:{}:iam::{account_id}:role/", region.partition());
        let Some(path_and_name) = arn.strip_prefix(&of_account) else { return Ok(None) };
        let name = path_and_name.rsplit('/').next().unwrap_or_default();
        let row = sqlx::query_as!(
            Row,
            r#"select r.name, r.path, r.role_id, r.description, r.max_session_duration, r.trust_policy,
                      r.tags as "tags: Json<Tags>", r.created_at
               from iam_roles r join tenants t on t.account_id = r.account_id
               where r.account_id = $1 and r.name_key = $2 and t.status = 1"#,
            account_id.as_str(),
            name.to_ascii_lowercase()
        )
        .fetch_optional(conn)
        .await?;
        Ok(row.map(Self::from).filter(|role| role.path_and_name() == path_and_name))
    }

    /// Up to `limit` of the tenant's roles whose path begins with `prefix`, by name, after the one whose name in lower
    /// case is `after`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn list(
        conn: &mut PgConnection,
        account_id: &AccountId,
        prefix: &str,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Self>> {
        let rows = sqlx::query_as!(
            Row,
            r#"select name, path, role_id, description, max_session_duration, trust_policy, tags as "tags: Json<Tags>",
                      created_at
               from iam_roles where account_id = $1 and starts_with(path, $2) and name_key > $3
               order by name_key limit $4"#,
            account_id.as_str(),
            prefix,
            after,
            limit
        )
        .fetch_all(conn)
        .await?;
        Ok(rows.into_iter().map(Self::from).collect())
    }

    /// Makes the role. Its `role_id` and `created_at` were drawn by the caller, so that a retry after a lost answer finds
    /// its own row again.
    ///
    /// # Errors
    /// [`Error::RoleExists`], [`Error::LimitExceeded`] when the tenant has `limit` roles, or what [`check`](Self::check)
    /// does not admit.
    pub async fn create(&self, conn: &mut PgConnection, account_id: &AccountId, limit: u32) -> Result<()> {
        self.check()?;
        let mut tx = conn.begin().await?;
        Tenant::lock(&mut tx, account_id).await?;
        if let Some(found) = Self::find(&mut tx, account_id, &self.name).await? {
            tx.rollback().await?;
            return if found == *self { Ok(()) } else { Err(Error::RoleExists(self.name.clone())) };
        }
        let roles = sqlx::query_scalar!(
            r#"select count(*) as "count!" from iam_roles where account_id = $1"#,
            account_id.as_str()
        )
        .fetch_one(&mut *tx)
        .await?;
        if roles >= i64::from(limit) {
            return Err(tagging::quota("RolesPerAccount", limit));
        }
        sqlx::query!(
            "insert into iam_roles (account_id, name_key, name, path, role_id, description, max_session_duration,
                                    trust_policy, tags, created_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            account_id.as_str(),
            self.name.to_ascii_lowercase(),
            self.name,
            self.path,
            self.role_id,
            self.description,
            self.max_session_duration,
            self.trust_policy,
            Json(&self.tags) as _,
            self.created_at
        )
        .execute(&mut *tx)
        .await?;
        installation::bump_epoch(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Changes the tenant's role of this name as `change` says, with the row locked, so that no change is lost. What comes
    /// out is returned; nothing if there is no such role.
    ///
    /// # Errors
    /// What [`check`](Self::check) refuses, or if the database fails.
    pub async fn update(
        conn: &mut PgConnection,
        account_id: &AccountId,
        name: &str,
        change: impl FnOnce(&mut Self) + Send,
    ) -> Result<Option<Self>> {
        let mut tx = conn.begin().await?;
        sqlx::query!(
            "select name from iam_roles where account_id = $1 and name_key = $2 for no key update",
            account_id.as_str(),
            name.to_ascii_lowercase()
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(current) = Self::find(&mut tx, account_id, name).await? else {
            tx.rollback().await?;
            return Ok(None);
        };
        let mut changed = current.clone();
        change(&mut changed);
        if changed == current {
            tx.rollback().await?;
            return Ok(Some(current));
        }
        changed.check()?;
        sqlx::query!(
            "update iam_roles set description = $3, max_session_duration = $4, trust_policy = $5, tags = $6
             where account_id = $1 and name_key = $2",
            account_id.as_str(),
            name.to_ascii_lowercase(),
            changed.description,
            changed.max_session_duration,
            changed.trust_policy,
            Json(&changed.tags) as _
        )
        .execute(&mut *tx)
        .await?;
        installation::bump_epoch(&mut tx).await?;
        tx.commit().await?;
        Ok(Some(changed))
    }

    /// Deletes the tenant's role of this name; false if there is none.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn delete(conn: &mut PgConnection, account_id: &AccountId, name: &str) -> Result<bool> {
        let mut tx = conn.begin().await?;
        let deleted = sqlx::query!(
            "delete from iam_roles where account_id = $1 and name_key = $2",
            account_id.as_str(),
            name.to_ascii_lowercase()
        )
        .execute(&mut *tx)
        .await?
        .rows_affected();
        if deleted > 0 {
            installation::bump_epoch(&mut tx).await?;
        }
        tx.commit().await?;
        Ok(deleted > 0)
    }

    /// Checks what the model leaves open.
    ///
    /// # Errors
    /// [`Error::MalformedPolicy`] for a trust policy that is none, [`Error::InvalidParameter`] for a bad tag,
    /// [`Error::LimitExceeded`] for too many.
    pub fn check(&self) -> Result<()> {
        TrustPolicy::parse(&self.trust_policy).map_err(|problem| Error::MalformedPolicy(problem.to_string()))?;
        tagging::check(&self.tags, "TagsPerRole")?;
        tags::check(&self.tags, tagging::MAX_TAGS)
    }
}
