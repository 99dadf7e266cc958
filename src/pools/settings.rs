//! What can be configured on a pool, and what holds between settings.

use sqlx::postgres::PgConnection;

use super::providers::{self, Providers};
use crate::db;
use crate::error::{Error, Result};
use crate::tags::Tags;

/// What can be configured on a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What people call it. Not unique.
    pub name: String,
    /// Whether guests get identities.
    pub allow_unauthenticated: bool,
    /// Whether the classic flow is allowed; unset counts as allowed.
    pub allow_classic: Option<bool>,
    /// The one developer provider. Once set, it stays.
    pub developer_provider: Option<String>,
    /// The public providers.
    pub providers: Providers,
    /// Tags.
    pub tags: Tags,
}

impl Settings {
    /// Checks what holds between settings.
    ///
    /// # Errors
    /// [`Error::DeveloperProviderIsLoginKey`].
    pub fn check(&self) -> Result<()> {
        match &self.developer_provider {
            Some(name) if self.providers.login_keys().contains(name.as_str()) => {
                Err(Error::DeveloperProviderIsLoginKey)
            }
            _ => Ok(()),
        }
    }

    /// The login key of the provider that is called `name`: that key itself, an OpenID Connect provider's ARN, or the
    /// developer provider's name.
    #[must_use]
    pub fn login_key<'a>(&self, name: &'a str) -> Option<&'a str> {
        let keys = self.providers.login_keys();
        if keys.contains(name) || self.developer_provider.as_deref() == Some(name) {
            return Some(name);
        }
        let declared = self.providers.openid_connect_arns.iter().any(|arn| arn == name);
        name.split_once(":oidc-provider/").filter(|_| declared).map(|(_, key)| key)
    }

    pub(super) async fn number_providers(&self, conn: &mut PgConnection, pool_no: i32) -> Result<()> {
        let numbered =
            providers::number(conn, pool_no, self.developer_provider.as_deref(), &self.providers.login_keys()).await;
        match numbered {
            // The name was the login key of a public provider once, and numbers are for ever.
            Err(Error::Database(error)) if db::is_unique_violation(&error) => Err(Error::DeveloperProviderIsLoginKey),
            numbered => numbered,
        }
    }
}
