//! Principal tags by claims: which claims of a login's token become session tags.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnection;
use sqlx::types::Json;

use super::pool::Pool;
use super::providers::Provider;
use crate::error::{Error, Result};
use crate::{installation, tags};

/// What was set by `SetPrincipalTagAttributeMap` for one provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TagMap {
    /// Whether the default mapping is used.
    pub use_defaults: Option<bool>,
    /// Names of claims by the keys of tags.
    pub principal_tags: Option<BTreeMap<String, String>>,
}

/// The default mapping (<https://docs.aws.amazon.com/cognito/latest/developerguide/provider-mappings.html>).
const DEFAULTS: [(&str, &str); 2] = [("client", "aud"), ("username", "sub")];

/// That of SAML providers. The page names both claims, and the tags only for the others: they are taken in their order.
const SAML_DEFAULTS: [(&str, &str); 2] = [
    ("client", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier"),
    ("username", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"),
];

impl TagMap {
    /// The tags that this map makes for the provider of this login key, each with the claim that it comes from. The
    /// default mapping stands alone.
    #[must_use]
    pub fn mapping(&self, login_key: &str) -> Vec<(&str, &str)> {
        if self.use_defaults == Some(true) {
            return if is_saml(login_key) { SAML_DEFAULTS } else { DEFAULTS }.to_vec();
        }
        self.principal_tags.iter().flatten().map(|(tag, claim)| (tag.as_str(), claim.as_str())).collect()
    }

    /// The map that was set for one of the pool's providers; nothing if none ever was.
    ///
    /// # Errors
    /// [`Error::ProviderNotFound`] if the pool has no provider of this name.
    pub fn of<'a>(pool: &'a Pool, provider: &str) -> Result<Option<&'a Self>> {
        Ok(provider_of(pool, provider)?.tag_map.as_ref())
    }

    /// Sets the map of one of the pool's providers, in place of what it had. A provider that leaves the pool and comes
    /// back still has it.
    ///
    /// # Errors
    /// [`Error::PoolNotFound`] if the pool was deleted meanwhile, [`Error::ProviderNotFound`] if it has no provider of
    /// this name, [`Error::InvalidParameter`] for keys that are no keys of session tags
    /// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html>).
    pub async fn set(&self, conn: &mut PgConnection, pool: &Pool, provider: &str) -> Result<()> {
        let mut tx = sqlx::Connection::begin(conn).await?;
        let pool = pool.lock(&mut tx).await?;
        let number = provider_of(&pool, provider)?.no;
        self.check()?;
        sqlx::query!(
            "update pool_providers set tag_map = $3 where pool_no = $1 and provider_no = $2",
            pool.no,
            number,
            Json(self) as _
        )
        .execute(&mut *tx)
        .await?;
        installation::bump_epoch(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Checks what the model leaves open.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] as for [`TagMap::set`].
    pub fn check(&self) -> Result<()> {
        for (key, claim) in self.principal_tags.iter().flatten() {
            tags::check_key(key)?;
            if claim.contains('\0') {
                return Err(Error::InvalidParameter(format!("The claim of tag '{key}' must not contain U+0000.")));
            }
        }
        Ok(())
    }
}

/// SAML providers alone are named by their ARN.
fn is_saml(login_key: &str) -> bool {
    login_key.starts_with("arn:") && login_key.contains(":saml-provider/")
}

/// The provider that the pool has now and that is called so: by login key, by ARN, or by the developer provider's name.
fn provider_of<'a>(pool: &'a Pool, name: &str) -> Result<&'a Provider> {
    let provider = pool.settings.login_key(name).and_then(|key| pool.numbered.get(key));
    provider.ok_or_else(|| Error::ProviderNotFound(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_mapping_stands_alone() {
        let tags = BTreeMap::from([("team".to_owned(), "custom:team".to_owned())]);
        let of = |use_defaults, principal_tags| TagMap { use_defaults, principal_tags };
        let defaults = [("client", "aud"), ("username", "sub")];
        assert_eq!(of(Some(true), None).mapping("idp.example.com"), defaults);
        assert_eq!(of(Some(true), Some(tags.clone())).mapping("idp.example.com"), defaults);
        assert_eq!(of(Some(false), Some(tags.clone())).mapping("idp.example.com"), [("team", "custom:team")]);
        assert_eq!(of(None, Some(tags)).mapping("idp.example.com"), [("team", "custom:team")]);
        assert_eq!(of(None, None).mapping("idp.example.com"), []);
        let saml = of(Some(true), None);
        let mapping = saml.mapping("arn:aws:iam::000000000000:saml-provider/Okta");
        assert_eq!(mapping.iter().map(|(tag, _)| *tag).collect::<Vec<_>>(), ["client", "username"]);
        assert!(mapping[0].1.ends_with("/nameidentifier") && mapping[1].1.ends_with("/name"), "{mapping:?}");
    }

    #[test]
    fn keys_are_those_of_session_tags_and_claims_are_anything_that_can_be_kept() {
        let of = |key: &str, claim: &str| TagMap {
            use_defaults: None,
            principal_tags: Some(BTreeMap::from([(key.to_owned(), claim.to_owned())])),
        };
        of("Équipe 1/x", "https://idp.example/claims/équipe*").check().unwrap();
        for bad in [of("aws:x", "a"), of("a*", "b"), of("a", "b\0")] {
            assert!(matches!(bad.check(), Err(Error::InvalidParameter(_))), "{bad:?}");
        }
    }
}
