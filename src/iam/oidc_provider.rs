//! OpenID Connect providers: whose ID tokens may be logins, and for which clients.

use sqlx::postgres::PgConnection;
use sqlx::types::Json;
use time::OffsetDateTime;

use crate::error::Result;
use crate::ids::AccountId;
use crate::tags::Tags;

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

impl OidcProvider {
    /// Those of a tenant's providers that have one of these URLs.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn of_urls(conn: &mut PgConnection, account_id: &AccountId, urls: &[String]) -> Result<Vec<Self>> {
        let rows = sqlx::query!(
            r#"select url, client_ids as "client_ids: Json<Vec<String>>", thumbprints as "thumbprints: Json<Vec<String>>",
                      tags as "tags: Json<Tags>", created_at
               from oidc_providers where account_id = $1 and url = any($2) order by url"#,
            account_id.as_str(),
            urls
        )
        .fetch_all(conn)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| Self {
                url: row.url,
                client_ids: row.client_ids.0,
                thumbprints: row.thumbprints.0,
                tags: row.tags.0,
                created_at: row.created_at,
            })
            .collect())
    }
}
