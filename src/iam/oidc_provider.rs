//! OpenID Connect providers: whose ID tokens may be logins, and for which clients.

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use sqlx::types::Json;
use time::OffsetDateTime;

use super::tagging;
use crate::error::{Error, Result};
use crate::ids::AccountId;
use crate::installation;
use crate::tags::{self, Tags};
use crate::tenants::Tenant;

/// How many clients a provider can have
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>, as the two below).
pub const MAX_CLIENT_IDS: usize = 100;
/// How many thumbprints.
pub const MAX_THUMBPRINTS: usize = 5;
/// A provider that a tenant has declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcProvider {
    /// The issuer without its `https://`: host and path. Also the login key, and the end of the ARN.
    pub url: String,
    /// The clients that its tokens may have been made for.
    pub client_ids: Vec<String>,
    /// Thumbprints of certificates: kept and shown, and not needed, since certificates are verified.
    pub thumbprints: Vec<String>,
    /// Tags.
    pub tags: Tags,
    /// Since when it exists.
    pub created_at: OffsetDateTime,
}

/// A row of `oidc_providers`.
struct Row {
    url: String,
    client_ids: Json<Vec<String>>,
    thumbprints: Json<Vec<String>>,
    tags: Json<Tags>,
    created_at: OffsetDateTime,
}

impl From<Row> for OidcProvider {
    fn from(row: Row) -> Self {
        Self {
            url: row.url,
            client_ids: row.client_ids.0,
            thumbprints: row.thumbprints.0,
            tags: row.tags.0,
            created_at: row.created_at,
        }
    }
}

impl OidcProvider {
    /// Those of a tenant's providers that have one of these URLs.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn of_urls(conn: &mut PgConnection, account_id: &AccountId, urls: &[String]) -> Result<Vec<Self>> {
        let rows = sqlx::query_as!(
            Row,
            r#"select url, client_ids as "client_ids: Json<Vec<String>>", thumbprints as "thumbprints: Json<Vec<String>>",
                      tags as "tags: Json<Tags>", created_at
               from oidc_providers where account_id = $1 and url = any($2) order by url"#,
            account_id.as_str(),
            urls
        )
        .fetch_all(conn)
        .await?;
        Ok(rows.into_iter().map(Self::from).collect())
    }

    /// The tenant's provider of this URL.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find(conn: &mut PgConnection, account_id: &AccountId, url: &str) -> Result<Option<Self>> {
        Ok(Self::of_urls(conn, account_id, &[url.to_owned()]).await?.pop())
    }

    /// The URLs of all the tenant's providers, in their order.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn urls(conn: &mut PgConnection, account_id: &AccountId) -> Result<Vec<String>> {
        let urls = sqlx::query_scalar!(
            "select url from oidc_providers where account_id = $1 order by url",
            account_id.as_str()
        )
        .fetch_all(conn)
        .await?;
        Ok(urls)
    }

    /// A moment of creation as a row keeps it: to the microsecond.
    #[must_use]
    pub fn moment(at: OffsetDateTime) -> OffsetDateTime {
        at.replace_microsecond(at.microsecond()).unwrap_or(at)
    }

    /// Makes the provider. Its `created_at` was drawn by the caller as a [`moment`](Self::moment), so that a retry after
    /// a lost answer finds its own row again.
    ///
    /// # Errors
    /// [`Error::OidcProviderExists`], [`Error::LimitExceeded`] when the tenant has `limit` providers, or what
    /// [`check`](Self::check) does not admit.
    pub async fn create(&self, conn: &mut PgConnection, account_id: &AccountId, limit: u32) -> Result<()> {
        self.check()?;
        let mut tx = conn.begin().await?;
        Tenant::lock(&mut tx, account_id).await?;
        if let Some(found) = Self::find(&mut tx, account_id, &self.url).await? {
            tx.rollback().await?;
            return if found == *self { Ok(()) } else { Err(Error::OidcProviderExists(self.url.clone())) };
        }
        let providers = sqlx::query_scalar!(
            r#"select count(*) as "count!" from oidc_providers where account_id = $1"#,
            account_id.as_str()
        )
        .fetch_one(&mut *tx)
        .await?;
        if providers >= i64::from(limit) {
            return Err(tagging::quota("OpenIdConnectProvidersPerAccount", limit));
        }
        sqlx::query!(
            "insert into oidc_providers (account_id, url, client_ids, thumbprints, tags, created_at)
             values ($1, $2, $3, $4, $5, $6)",
            account_id.as_str(),
            self.url,
            Json(&self.client_ids) as _,
            Json(&self.thumbprints) as _,
            Json(&self.tags) as _,
            self.created_at
        )
        .execute(&mut *tx)
        .await?;
        installation::bump_epoch(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Changes the tenant's provider of this URL as `change` says, with the row locked, so that no change is lost. What
    /// comes out is returned; nothing if there is no such provider.
    ///
    /// # Errors
    /// What `change` or [`check`](Self::check) refuses, or if the database fails.
    pub async fn update(
        conn: &mut PgConnection,
        account_id: &AccountId,
        url: &str,
        change: impl FnOnce(&mut Self) -> Result<()> + Send,
    ) -> Result<Option<Self>> {
        let mut tx = conn.begin().await?;
        sqlx::query!(
            "select url from oidc_providers where account_id = $1 and url = $2 for no key update",
            account_id.as_str(),
            url
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(current) = Self::find(&mut tx, account_id, url).await? else {
            tx.rollback().await?;
            return Ok(None);
        };
        let mut changed = current.clone();
        change(&mut changed)?;
        if changed == current {
            tx.rollback().await?;
            return Ok(Some(current));
        }
        changed.check()?;
        sqlx::query!(
            "update oidc_providers set client_ids = $3, thumbprints = $4, tags = $5 where account_id = $1 and url = $2",
            account_id.as_str(),
            url,
            Json(&changed.client_ids) as _,
            Json(&changed.thumbprints) as _,
            Json(&changed.tags) as _
        )
        .execute(&mut *tx)
        .await?;
        installation::bump_epoch(&mut tx).await?;
        tx.commit().await?;
        Ok(Some(changed))
    }

    /// Deletes the tenant's provider of this URL, if it exists.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn delete(conn: &mut PgConnection, account_id: &AccountId, url: &str) -> Result<()> {
        let mut tx = conn.begin().await?;
        let deleted =
            sqlx::query!("delete from oidc_providers where account_id = $1 and url = $2", account_id.as_str(), url)
                .execute(&mut *tx)
                .await?
                .rows_affected();
        if deleted > 0 {
            installation::bump_epoch(&mut tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Checks what the model leaves open.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] for a client id, thumbprint or tag that cannot be one, [`Error::LimitExceeded`] for
    /// too many clients or tags.
    pub fn check(&self) -> Result<()> {
        if self.client_ids.len() > MAX_CLIENT_IDS {
            return Err(tagging::quota("ClientIdsPerOpenIdConnectProvider", MAX_CLIENT_IDS));
        }
        if self.client_ids.iter().any(|id| id.chars().any(char::is_control)) {
            return Err(Error::InvalidParameter("A client id must not hold control characters.".to_owned()));
        }
        if self.thumbprints.len() > MAX_THUMBPRINTS {
            let text = format!("The thumbprint list can have at most {MAX_THUMBPRINTS} entries.");
            return Err(Error::InvalidParameter(text));
        }
        if !self.thumbprints.iter().all(|text| text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            let text = "A thumbprint is the SHA-1 hash of a certificate: 40 hexadecimal digits.";
            return Err(Error::InvalidParameter(text.to_owned()));
        }
        tagging::check(&self.tags, "TagsPerOpenIdConnectProvider")?;
        tags::check(&self.tags, tagging::MAX_TAGS)
    }

    /// Adds a client; one that is there already stays where it is.
    pub fn add_client_id(&mut self, id: String) {
        if !self.client_ids.contains(&id) {
            self.client_ids.push(id);
        }
    }
}
