//! Identity pools: the row, who may see it, and how it is written.

use std::collections::BTreeMap;

use sqlx::postgres::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::audiences::Audiences;
use super::providers::{Numbered, Providers};
use super::roles::{RoleMapping, Roles};
use super::settings::Settings;
use crate::error::{Error, Result};
use crate::ids::{self, AccountId, IdentityId, PoolId, Region, Route};
use crate::installation;
use crate::tags::Tags;
use crate::tenants::Tenant;

/// A live pool. To hold one is proof that the caller may see it: it is found through a tenant and a region, or, for
/// operations that anyone may call, by its id.
#[derive(Clone, Debug)]
pub struct Pool {
    /// The leading part of the routes of its identities.
    pub no: i32,
    /// Its id, which carries its region.
    pub id: PoolId,
    /// Its tenant.
    pub account_id: AccountId,
    /// In how many routes its identities lie.
    pub spread: i16,
    /// What can be changed.
    pub settings: Settings,
    /// The roles of its identities.
    pub roles: Roles,
    /// Every provider that it has or had, by login key, with its number.
    pub numbered: Numbered,
    /// What else than its id stands in `aud` of its users' tokens.
    pub audiences: Audiences,
}

/// Whose a pool id is: for commands, which may tell an operator what no caller may know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The tenant's number.
    pub account_id: String,
    /// The region.
    pub region: String,
    /// Whether the pool was deleted.
    pub deleted: bool,
}

/// How often a pool number is drawn before giving up: with a million pools, two draws in three are free.
const DRAWS: u32 = 64;

/// A row of `identity_pools`, with the columns of a live pool.
struct Row {
    pool_no: i32,
    pool_id: Uuid,
    account_id: String,
    region: String,
    name: String,
    spread: i16,
    allow_unauthenticated: bool,
    allow_classic: Option<bool>,
    developer_provider: Option<String>,
    providers: Json<Providers>,
    tags: Json<Tags>,
    roles: Option<Json<BTreeMap<String, String>>>,
    role_mappings: Option<Json<BTreeMap<String, RoleMapping>>>,
    numbered: Json<Numbered>,
    audiences: Json<Audiences>,
}

impl Row {
    fn pool(self) -> Result<Pool> {
        let ill_formed = || Error::internal("a pool's row holds an ill-formed id");
        Ok(Pool {
            no: self.pool_no,
            id: PoolId { region: Region::parse(&self.region).ok_or_else(ill_formed)?, uuid: self.pool_id },
            account_id: AccountId::parse(&self.account_id).ok_or_else(ill_formed)?,
            spread: self.spread,
            settings: Settings {
                name: self.name,
                allow_unauthenticated: self.allow_unauthenticated,
                allow_classic: self.allow_classic,
                developer_provider: self.developer_provider,
                providers: self.providers.0,
                tags: self.tags.0,
            },
            roles: Roles {
                by_kind: self.roles.map(|roles| roles.0),
                mappings: self.role_mappings.map(|mappings| mappings.0),
            },
            numbered: self.numbered.0,
            audiences: self.audiences.0,
        })
    }
}

impl Pool {
    /// The tenant's live pool of this id.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find(conn: &mut PgConnection, account_id: &AccountId, id: &PoolId) -> Result<Option<Self>> {
        sqlx::query_as!(
            Row,
            r#"select pool_no, pool_id, account_id, region, name, spread, allow_unauthenticated, allow_classic,
                      developer_provider, providers as "providers: Json<Providers>", tags as "tags: Json<Tags>",
                      roles as "roles: Json<BTreeMap<String, String>>",
                      role_mappings as "role_mappings: Json<BTreeMap<String, RoleMapping>>",
                      audiences as "audiences: Json<Audiences>",
                      (select coalesce(jsonb_object_agg(login_key, jsonb_build_object('no', provider_no, 'tag_map', tag_map)),
                                       '{}')
                       from pool_providers n where n.pool_no = p.pool_no) as "numbered!: Json<Numbered>"
               from identity_pools p where pool_id = $1 and account_id = $2 and region = $3 and deleted_at is null"#,
            id.uuid,
            account_id.as_str(),
            id.region.as_str()
        )
        .fetch_optional(conn)
        .await?
        .map(Row::pool)
        .transpose()
    }

    /// The tenant's live pool that numbers its routes so, in this region.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find_by_no(
        conn: &mut PgConnection,
        account_id: &AccountId,
        region: &Region,
        no: i32,
    ) -> Result<Option<Self>> {
        sqlx::query_as!(
            Row,
            r#"select pool_no, pool_id, account_id, region, name, spread, allow_unauthenticated, allow_classic,
                      developer_provider, providers as "providers: Json<Providers>", tags as "tags: Json<Tags>",
                      roles as "roles: Json<BTreeMap<String, String>>",
                      role_mappings as "role_mappings: Json<BTreeMap<String, RoleMapping>>",
                      audiences as "audiences: Json<Audiences>",
                      (select coalesce(jsonb_object_agg(login_key, jsonb_build_object('no', provider_no, 'tag_map', tag_map)),
                                       '{}')
                       from pool_providers n where n.pool_no = p.pool_no) as "numbered!: Json<Numbered>"
               from identity_pools p where pool_no = $1 and account_id = $2 and region = $3 and deleted_at is null"#,
            no,
            account_id.as_str(),
            region.as_str()
        )
        .fetch_optional(conn)
        .await?
        .map(Row::pool)
        .transpose()
    }

    /// The live pool of this id, of any enabled tenant: for the operations that anyone may call.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find_public(conn: &mut PgConnection, id: &PoolId) -> Result<Option<Self>> {
        sqlx::query_as!(
            Row,
            r#"select pool_no, pool_id, p.account_id, region, p.name, spread, allow_unauthenticated, allow_classic,
                      developer_provider, providers as "providers: Json<Providers>", tags as "tags: Json<Tags>",
                      roles as "roles: Json<BTreeMap<String, String>>",
                      role_mappings as "role_mappings: Json<BTreeMap<String, RoleMapping>>",
                      audiences as "audiences: Json<Audiences>",
                      (select coalesce(jsonb_object_agg(login_key, jsonb_build_object('no', provider_no, 'tag_map', tag_map)),
                                       '{}')
                       from pool_providers n where n.pool_no = p.pool_no) as "numbered!: Json<Numbered>"
               from identity_pools p join tenants t on t.account_id = p.account_id
               where pool_id = $1 and region = $2 and deleted_at is null and t.status = 1"#,
            id.uuid,
            id.region.as_str()
        )
        .fetch_optional(conn)
        .await?
        .map(Row::pool)
        .transpose()
    }

    /// The live pool that numbers its routes so, of any enabled tenant: for the operations that anyone may call.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find_public_by_no(conn: &mut PgConnection, region: &Region, no: i32) -> Result<Option<Self>> {
        sqlx::query_as!(
            Row,
            r#"select pool_no, pool_id, p.account_id, region, p.name, spread, allow_unauthenticated, allow_classic,
                      developer_provider, providers as "providers: Json<Providers>", tags as "tags: Json<Tags>",
                      roles as "roles: Json<BTreeMap<String, String>>",
                      role_mappings as "role_mappings: Json<BTreeMap<String, RoleMapping>>",
                      audiences as "audiences: Json<Audiences>",
                      (select coalesce(jsonb_object_agg(login_key, jsonb_build_object('no', provider_no, 'tag_map', tag_map)),
                                       '{}')
                       from pool_providers n where n.pool_no = p.pool_no) as "numbered!: Json<Numbered>"
               from identity_pools p join tenants t on t.account_id = p.account_id
               where pool_no = $1 and region = $2 and deleted_at is null and t.status = 1"#,
            no,
            region.as_str()
        )
        .fetch_optional(conn)
        .await?
        .map(Row::pool)
        .transpose()
    }

    /// The tenant of the pool of this id, deleted or not, of any region. Pool ids are never used again.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn claim(conn: &mut PgConnection, id: &PoolId) -> Result<Option<Claim>> {
        let row = sqlx::query!(
            r#"select account_id, region, deleted_at is not null as "deleted!" from identity_pools where pool_id = $1"#,
            id.uuid
        )
        .fetch_optional(conn)
        .await?;
        Ok(row.map(|row| Claim { account_id: row.account_id, region: row.region, deleted: row.deleted }))
    }

    /// Makes a pool in `region` with the id drawn by the caller, so that a retry after a lost answer finds it again.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] when the tenant has `limit` pools, or what [`Settings`] does not admit.
    pub async fn create(
        conn: &mut PgConnection,
        account_id: &AccountId,
        id: &PoolId,
        settings: &Settings,
        limit: u32,
    ) -> Result<Self> {
        settings.check()?;
        let mut tx = sqlx::Connection::begin(conn).await?;
        Tenant::lock(&mut tx, account_id).await?;
        // Only now: the try whose answer was lost may have been committing until the lock was got.
        if let Some(pool) = Self::find(&mut tx, account_id, id).await? {
            tx.rollback().await?;
            return Ok(pool);
        }
        let pools = sqlx::query_scalar!(
            r#"select count(*) as "count!" from identity_pools where account_id = $1 and deleted_at is null"#,
            account_id.as_str()
        )
        .fetch_one(&mut *tx)
        .await?;
        if pools >= i64::from(limit) {
            return Err(Error::LimitExceeded(format!("An account can have at most {limit} identity pools.")));
        }
        let mut made = None;
        for _ in 0..DRAWS {
            let no = i32::from_be_bytes(ids::random()?) & 0x001f_ffff;
            if no == 0 {
                continue;
            }
            made = sqlx::query_scalar!(
                "insert into identity_pools (pool_no, pool_id, account_id, region, name, allow_unauthenticated,
                                             allow_classic, developer_provider, providers, tags)
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                 on conflict (pool_no) do nothing returning pool_no",
                no,
                id.uuid,
                account_id.as_str(),
                id.region.as_str(),
                settings.name,
                settings.allow_unauthenticated,
                settings.allow_classic,
                settings.developer_provider,
                Json(&settings.providers) as _,
                Json(&settings.tags) as _
            )
            .fetch_optional(&mut *tx)
            .await?;
            if made.is_some() {
                break;
            }
        }
        let no = made.ok_or_else(|| Error::internal("no free pool number found"))?;
        settings.number_providers(&mut tx, no).await?;
        installation::bump_epoch(&mut tx).await?;
        let made = Self::find(&mut tx, account_id, id).await?;
        tx.commit().await?;
        made.ok_or_else(|| Error::internal("a pool just made was not found"))
    }

    /// Replaces the settings as `change` says, with the row locked, so that no update is lost.
    ///
    /// # Errors
    /// [`Error::PoolNotFound`] if the pool was deleted meanwhile, [`Error::DeveloperProviderImmutable`], or what `change`
    /// and [`Settings`] refuse.
    pub async fn update(
        self,
        conn: &mut PgConnection,
        change: impl FnOnce(Settings) -> Result<Settings> + Send,
    ) -> Result<Self> {
        let mut tx = sqlx::Connection::begin(conn).await?;
        let pool = self.lock(&mut tx).await?;
        let settings = change(pool.settings.clone())?;
        settings.check()?;
        // Its logins are numbered by this name for ever.
        if pool.settings.developer_provider.is_some() && settings.developer_provider != pool.settings.developer_provider
        {
            return Err(Error::DeveloperProviderImmutable);
        }
        sqlx::query!(
            "update identity_pools set name = $2, allow_unauthenticated = $3, allow_classic = $4,
                    developer_provider = $5, providers = $6, tags = $7, modified_at = now()
             where pool_no = $1",
            pool.no,
            settings.name,
            settings.allow_unauthenticated,
            settings.allow_classic,
            settings.developer_provider,
            Json(&settings.providers) as _,
            Json(&settings.tags) as _
        )
        .execute(&mut *tx)
        .await?;
        settings.number_providers(&mut tx, pool.no).await?;
        installation::bump_epoch(&mut tx).await?;
        let changed = Self::find(&mut tx, &pool.account_id, &pool.id).await?;
        tx.commit().await?;
        changed.ok_or_else(|| Error::internal("a pool just changed was not found"))
    }

    /// The pool as it is now, its row locked until the transaction ends.
    pub(super) async fn lock(&self, conn: &mut PgConnection) -> Result<Self> {
        let locked = sqlx::query_scalar!(
            "select pool_no from identity_pools where pool_no = $1 and deleted_at is null for no key update",
            self.no
        )
        .fetch_optional(&mut *conn)
        .await?;
        let current = match locked {
            Some(_) => Self::find(conn, &self.account_id, &self.id).await?,
            None => None,
        };
        current.ok_or_else(|| Error::PoolNotFound(self.id.to_string()))
    }

    /// Makes the pool invisible everywhere at once. Its rows are swept later.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn delete(self, conn: &mut PgConnection) -> Result<()> {
        let mut tx = sqlx::Connection::begin(conn).await?;
        sqlx::query!(
            "update identity_pools set deleted_at = clock_timestamp() where pool_no = $1 and deleted_at is null",
            self.no
        )
        .execute(&mut *tx)
        .await?;
        installation::bump_epoch(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Ids and names of the tenant's live pools in a region, by id, after `after`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn list(
        conn: &mut PgConnection,
        account_id: &AccountId,
        region: &Region,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<(PoolId, String)>> {
        let rows = sqlx::query!(
            "select pool_id, name from identity_pools
             where account_id = $1 and region = $2 and deleted_at is null and pool_id > $3
             order by pool_id limit $4",
            account_id.as_str(),
            region.as_str(),
            after.unwrap_or(Uuid::nil()),
            limit
        )
        .fetch_all(conn)
        .await?;
        Ok(rows.into_iter().map(|row| (PoolId { region: region.clone(), uuid: row.pool_id }, row.name)).collect())
    }

    /// Every route that its identities can lie in.
    #[must_use]
    pub fn routes(&self) -> Vec<i32> {
        (0..i32::from(self.spread)).map(|sub| Route::new(self.no, sub).0).collect()
    }

    /// The id of an identity of this pool.
    #[must_use]
    pub fn identity_id(&self, uuid: Uuid) -> IdentityId {
        IdentityId { region: self.id.region.clone(), uuid }
    }

    /// Its Amazon Resource Name.
    #[must_use]
    pub fn arn(&self) -> String {
        let region = &self.id.region;
        format!("arn:{}:cognito-identity:{region}:{}:identitypool/{}", region.partition(), self.account_id, self.id)
    }
}
