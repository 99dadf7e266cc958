//! SAML providers: whose assertions may be logins.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use sqlx::types::Json;
use time::OffsetDateTime;

use super::{SamlMetadata, tagging};
use crate::error::{Error, Result};
use crate::ids::AccountId;
use crate::installation;
use crate::tags::{self, Tags};
use crate::tenants::Tenant;

/// A provider that a tenant has declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SamlProvider {
    /// Its name: the end of the ARN.
    pub name: String,
    /// What of its metadata counts.
    pub metadata: SamlMetadata,
    /// Tags.
    pub tags: Tags,
    /// Since when it exists, to the microsecond.
    pub created_at: OffsetDateTime,
}

/// A row of `saml_providers`, without the document.
struct Row {
    name: String,
    entity_id: String,
    certificates: Json<Vec<String>>,
    valid_until: Option<OffsetDateTime>,
    tags: Json<Tags>,
    created_at: OffsetDateTime,
}

impl TryFrom<Row> for SamlProvider {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let certificates = row.certificates.0.iter().map(|text| STANDARD.decode(text).map_err(Error::internal));
        let metadata = SamlMetadata {
            entity_id: row.entity_id,
            certificates: certificates.collect::<Result<_>>()?,
            valid_until: row.valid_until,
        };
        Ok(Self { name: row.name, metadata, tags: row.tags.0, created_at: row.created_at })
    }
}

/// A provider as lists have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Until when its metadata holds, if it says so.
    pub valid_until: Option<OffsetDateTime>,
    /// Since when it exists.
    pub created_at: OffsetDateTime,
}

impl SamlProvider {
    /// A provider by its metadata, which is to be made now.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] for metadata that cannot be used, or that has expired.
    pub fn new(name: String, document: &str, tags: Tags, now: OffsetDateTime) -> Result<Self> {
        let metadata = read(document, now)?;
        Ok(Self { name, metadata, tags, created_at: now.replace_microsecond(now.microsecond()).unwrap_or(now) })
    }

    /// Those of a tenant's providers that have one of these names.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn of_names(conn: &mut PgConnection, account_id: &AccountId, names: &[String]) -> Result<Vec<Self>> {
        let rows = sqlx::query_as!(
            Row,
            r#"select name, entity_id, certificates as "certificates: Json<Vec<String>>", valid_until,
                      tags as "tags: Json<Tags>", created_at
               from saml_providers where account_id = $1 and name = any($2) order by name"#,
            account_id.as_str(),
            names
        )
        .fetch_all(conn)
        .await?;
        rows.into_iter().map(Self::try_from).collect()
    }

    /// The tenant's provider of this name.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find(conn: &mut PgConnection, account_id: &AccountId, name: &str) -> Result<Option<Self>> {
        Ok(Self::of_names(conn, account_id, &[name.to_owned()]).await?.pop())
    }

    /// The metadata of the tenant's provider of this name, as it was given.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn document(conn: &mut PgConnection, account_id: &AccountId, name: &str) -> Result<Option<String>> {
        let document = sqlx::query_scalar!(
            "select document from saml_providers where account_id = $1 and name = $2",
            account_id.as_str(),
            name
        )
        .fetch_optional(conn)
        .await?;
        Ok(document)
    }

    /// All the tenant's providers, in the order of their names.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn list(conn: &mut PgConnection, account_id: &AccountId) -> Result<Vec<Listed>> {
        let listed = sqlx::query_as!(
            Listed,
            "select name, valid_until, created_at from saml_providers where account_id = $1 order by name",
            account_id.as_str()
        )
        .fetch_all(conn)
        .await?;
        Ok(listed)
    }

    /// Makes the provider. Its `created_at` was drawn once, so that a retry after a lost answer finds its own row again.
    ///
    /// # Errors
    /// [`Error::SamlProviderExists`], [`Error::LimitExceeded`] when the tenant has `limit` providers, or what
    /// [`check`](Self::check) does not admit.
    pub async fn create(
        &self,
        conn: &mut PgConnection,
        account_id: &AccountId,
        document: &str,
        limit: u32,
    ) -> Result<()> {
        self.check()?;
        let mut tx = conn.begin().await?;
        Tenant::lock(&mut tx, account_id).await?;
        if let Some(found) = Self::find(&mut tx, account_id, &self.name).await? {
            tx.rollback().await?;
            return if found == *self { Ok(()) } else { Err(Error::SamlProviderExists(self.name.clone())) };
        }
        let providers = sqlx::query_scalar!(
            r#"select count(*) as "count!" from saml_providers where account_id = $1"#,
            account_id.as_str()
        )
        .fetch_one(&mut *tx)
        .await?;
        if providers >= i64::from(limit) {
            return Err(tagging::quota("SAMLProvidersPerAccount", limit));
        }
        sqlx::query!(
            "insert into saml_providers
               (account_id, name, document, entity_id, certificates, valid_until, tags, created_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
            account_id.as_str(),
            self.name,
            document,
            self.metadata.entity_id,
            Json(encoded(&self.metadata)) as _,
            self.metadata.valid_until,
            Json(&self.tags) as _,
            self.created_at
        )
        .execute(&mut *tx)
        .await?;
        installation::bump_epoch(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Puts other metadata in the place of what the tenant's provider of this name has. Whether there is one.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] as for [`new`](Self::new), or if the database fails.
    pub async fn replace_metadata(
        conn: &mut PgConnection,
        account_id: &AccountId,
        name: &str,
        document: &str,
        now: OffsetDateTime,
    ) -> Result<bool> {
        let metadata = read(document, now)?;
        let mut tx = conn.begin().await?;
        let changed = sqlx::query!(
            "update saml_providers set document = $3, entity_id = $4, certificates = $5, valid_until = $6
             where account_id = $1 and name = $2",
            account_id.as_str(),
            name,
            document,
            metadata.entity_id,
            Json(encoded(&metadata)) as _,
            metadata.valid_until
        )
        .execute(&mut *tx)
        .await?
        .rows_affected();
        if changed > 0 {
            installation::bump_epoch(&mut tx).await?;
        }
        tx.commit().await?;
        Ok(changed > 0)
    }

    /// Changes the tags of the tenant's provider of this name, with the row locked. Whether there is one.
    ///
    /// # Errors
    /// What [`check`](Self::check) refuses, or if the database fails.
    pub async fn change_tags(
        conn: &mut PgConnection,
        account_id: &AccountId,
        name: &str,
        change: impl FnOnce(&mut Self) + Send,
    ) -> Result<bool> {
        let mut tx = conn.begin().await?;
        sqlx::query!(
            "select name from saml_providers where account_id = $1 and name = $2 for no key update",
            account_id.as_str(),
            name
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(mut provider) = Self::find(&mut tx, account_id, name).await? else {
            tx.rollback().await?;
            return Ok(false);
        };
        change(&mut provider);
        provider.check()?;
        sqlx::query!(
            "update saml_providers set tags = $3 where account_id = $1 and name = $2",
            account_id.as_str(),
            name,
            Json(&provider.tags) as _
        )
        .execute(&mut *tx)
        .await?;
        installation::bump_epoch(&mut tx).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Deletes the tenant's provider of this name. Whether there was one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn delete(conn: &mut PgConnection, account_id: &AccountId, name: &str) -> Result<bool> {
        let mut tx = conn.begin().await?;
        let deleted =
            sqlx::query!("delete from saml_providers where account_id = $1 and name = $2", account_id.as_str(), name)
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
    /// [`Error::InvalidParameter`] for a name or a tag that cannot be one, [`Error::LimitExceeded`] for too many tags.
    pub fn check(&self) -> Result<()> {
        if !is_name(&self.name) {
            let text = "The name of a SAML provider has 1 to 128 letters, digits, dots, dashes and underscores.";
            return Err(Error::InvalidParameter(text.to_owned()));
        }
        tagging::check(&self.tags, "TagsPerSAMLProvider")?;
        tags::check(&self.tags, tagging::MAX_TAGS)
    }
}

/// Whether a provider can be called so (`SAMLProviderNameType` of IAM's model).
#[must_use]
pub fn is_name(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// The metadata in a document, if it still holds.
fn read(document: &str, now: OffsetDateTime) -> Result<SamlMetadata> {
    let refuse = |why: String| Error::InvalidParameter(format!("Could not parse metadata: {why}"));
    let metadata = SamlMetadata::parse(document).map_err(refuse)?;
    match metadata.valid_until {
        Some(end) if end <= now => {
            Err(refuse("Its validUntil has passed; fetch it anew from the provider.".to_owned()))
        }
        _ => Ok(metadata),
    }
}

fn encoded(metadata: &SamlMetadata) -> Vec<String> {
    metadata.certificates.iter().map(|der| STANDARD.encode(der)).collect()
}
