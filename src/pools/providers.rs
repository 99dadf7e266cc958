//! The login providers of a pool: what is configured, and the keys under which logins of each arrive.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnection;

use crate::error::{Error, Result};

/// The number of a pool's developer provider. Public ones count from 2.
pub const DEVELOPER: i16 = 1;

/// The public providers of a pool, as a document of its row. Lists keep their order: Terraform compares them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Providers {
    /// Social providers: login key to application id.
    pub supported_logins: BTreeMap<String, String>,
    /// ARNs of OpenID Connect providers.
    pub openid_connect_arns: Vec<String>,
    /// User pool clients.
    pub user_pools: Vec<UserPool>,
    /// ARNs of SAML providers.
    pub saml_arns: Vec<String>,
}

/// A client of a user pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserPool {
    /// `cognito-idp.REGION.amazonaws.com/USER_POOL_ID`
    pub provider_name: String,
    /// The client that tokens must have been made for.
    pub client_id: String,
    /// Whether the user pool itself is asked about each token.
    pub server_side_token_check: Option<bool>,
}

impl Providers {
    /// The keys that `Logins` may hold for these providers
    /// (<https://docs.aws.amazon.com/cognitoidentity/latest/APIReference/API_GetId.html>, `Logins`).
    #[must_use]
    pub fn login_keys(&self) -> BTreeSet<&str> {
        let social = self.supported_logins.keys().map(String::as_str);
        let openid =
            self.openid_connect_arns.iter().filter_map(|arn| arn.split_once(":oidc-provider/")).map(|(_, key)| key);
        let user_pools = self.user_pools.iter().map(|client| client.provider_name.as_str());
        let saml = self.saml_arns.iter().map(String::as_str);
        social.chain(openid).chain(user_pools).chain(saml).collect()
    }

    /// Checks what the model leaves open.
    ///
    /// # Errors
    /// [`Error::BadUserPoolProvider`] for an entry that is no user pool client, [`Error::LimitExceeded`] for too many,
    /// [`Error::InvalidParameter`] for text that no row can hold.
    pub fn check(&self, user_pool_limit: u32) -> Result<()> {
        let arns = self.openid_connect_arns.iter().chain(&self.saml_arns);
        if self.supported_logins.keys().chain(arns).any(|text| text.contains('\0')) {
            return Err(Error::InvalidParameter("A login provider must not contain the character U+0000.".to_owned()));
        }
        if self.user_pools.iter().any(|client| !is_user_pool(&client.provider_name) || client.client_id.is_empty()) {
            return Err(Error::BadUserPoolProvider);
        }
        if self.user_pools.len() > usize::try_from(user_pool_limit).unwrap_or(usize::MAX) {
            return Err(Error::LimitExceeded(format!(
                "An identity pool can have at most {user_pool_limit} Cognito user pool providers."
            )));
        }
        Ok(())
    }
}

/// `cognito-idp.REGION.amazonaws.com/REGION_ID`, also of the other partitions.
fn is_user_pool(name: &str) -> bool {
    let Some((host, pool)) = name.split_once('/') else { return false };
    let in_aws = host.strip_prefix("cognito-idp.").is_some_and(|rest| {
        [".amazonaws.com", ".amazonaws.com.cn"]
            .iter()
            .any(|suffix| rest.strip_suffix(suffix).is_some_and(|r| !r.is_empty()))
    });
    in_aws && pool.split_once('_').is_some_and(|(region, id)| !region.is_empty() && !id.is_empty() && !id.contains('/'))
}

/// Gives every login key of a pool its number, for ever: a number used again would hand one provider's users to
/// another. The pool's row must be locked by this transaction.
///
/// # Errors
/// If the database fails.
pub async fn number(
    conn: &mut PgConnection,
    pool_no: i32,
    developer: Option<&str>,
    keys: &BTreeSet<&str>,
) -> Result<()> {
    if let Some(name) = developer {
        sqlx::query!(
            "insert into pool_providers (pool_no, provider_no, login_key) values ($1, $2, $3)
             on conflict (pool_no, provider_no) do nothing",
            pool_no,
            DEVELOPER,
            name
        )
        .execute(&mut *conn)
        .await?;
    }
    let known = sqlx::query_scalar!("select login_key from pool_providers where pool_no = $1", pool_no)
        .fetch_all(&mut *conn)
        .await?;
    for key in keys.iter().filter(|key| !known.iter().any(|known| known == *key)) {
        let number = sqlx::query_scalar!(
            "update identity_pools set next_provider_no = next_provider_no + 1 where pool_no = $1
             returning next_provider_no - 1::int2 as \"number!: i16\"",
            pool_no
        )
        .fetch_one(&mut *conn)
        .await?;
        sqlx::query!(
            "insert into pool_providers (pool_no, provider_no, login_key) values ($1, $2, $3)",
            pool_no,
            number,
            key
        )
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

/// The login keys of a pool by number, those of providers that were removed from it included.
///
/// # Errors
/// If the database fails.
pub async fn names(conn: &mut PgConnection, pool_no: i32) -> Result<BTreeMap<i16, String>> {
    let rows = sqlx::query!("select provider_no, login_key from pool_providers where pool_no = $1", pool_no)
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(|row| (row.provider_no, row.login_key)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_pools_are_told_by_their_name() {
        assert!(is_user_pool("cognito-idp.us-east-1.amazonaws.com/us-east-1_abc123"));
        assert!(is_user_pool("cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_abc"));
        for bad in [
            "",
            "us-east-1_abc",
            "cognito-idp.us-east-1.amazonaws.com",
            "cognito-idp..amazonaws.com/a_b/c",
            "https://x/y_z",
        ] {
            assert!(!is_user_pool(bad), "{bad}");
        }
    }

    #[test]
    fn every_provider_has_its_login_key() {
        let providers = Providers {
            supported_logins: BTreeMap::from([("graph.facebook.com".into(), "1".into())]),
            openid_connect_arns: vec!["arn:aws:iam::000000000000:oidc-provider/idp.example.com/realm".into()],
            user_pools: vec![UserPool {
                provider_name: "cognito-idp.us-east-1.amazonaws.com/us-east-1_a".into(),
                client_id: "c".into(),
                server_side_token_check: None,
            }],
            saml_arns: vec!["arn:aws:iam::000000000000:saml-provider/okta".into()],
        };
        let keys: Vec<_> = providers.login_keys().into_iter().collect();
        assert_eq!(
            keys,
            [
                "arn:aws:iam::000000000000:saml-provider/okta",
                "cognito-idp.us-east-1.amazonaws.com/us-east-1_a",
                "graph.facebook.com",
                "idp.example.com/realm"
            ]
        );
    }
}
