//! The login providers of a pool: what is configured, and the keys under which logins of each arrive.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnection;

use super::principal_tags::TagMap;
use crate::config::Limits;
use crate::error::{Error, Result};

/// The number of a pool's developer provider. Public ones count from 2.
pub const DEVELOPER: i16 = 1;

/// The greatest number that a provider can get: the one to be given next must be a number, too.
const LAST: i16 = i16::MAX - 1;

/// How long the name of a provider can be, in bytes. Those of the model's length may have four times as many, which an
/// index does not hold (<https://www.postgresql.org/docs/current/btree.html>: a third of a page, some 2,700 bytes).
const MAX_BYTES: usize = 2048;

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

/// A provider of a pool by its number.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Provider {
    /// Its number in the pool, for ever.
    pub no: i16,
    /// Which of its claims become principal tags, if that was ever set.
    pub tag_map: Option<TagMap>,
}

/// Every provider that a pool has or had, by login key; the developer provider by its name.
pub type Numbered = BTreeMap<String, Provider>;

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
    /// [`Error::InvalidParameter`] for names that no row can hold or no log should, [`Error::BadUserPoolProvider`] for an
    /// entry that is no user pool client, [`Error::LimitExceeded`] for too many of a kind.
    pub fn check(&self, limits: &Limits) -> Result<()> {
        let arns = self.openid_connect_arns.iter().chain(&self.saml_arns);
        if self.supported_logins.keys().chain(arns).any(|name| !is_storable(name)) {
            return Err(Error::InvalidParameter(format!(
                "The name or ARN of a login provider can have at most {MAX_BYTES} bytes in UTF-8 and no control \
                 characters."
            )));
        }
        if self.user_pools.iter().any(|client| !is_user_pool(&client.provider_name) || client.client_id.is_empty()) {
            return Err(Error::BadUserPoolProvider);
        }
        for (count, limit, kind) in [
            (self.user_pools.len(), limits.user_pool_providers_per_pool, "Cognito user pool"),
            (self.openid_connect_arns.len(), limits.openid_connect_providers_per_pool, "OpenID Connect"),
            (self.saml_arns.len(), limits.saml_providers_per_pool, "SAML"),
        ] {
            if count > usize::try_from(limit).unwrap_or(usize::MAX) {
                let text = format!("An identity pool can have at most {limit} {kind} providers.");
                return Err(Error::LimitExceeded(text));
            }
        }
        Ok(())
    }
}

fn is_storable(name: &str) -> bool {
    name.len() <= MAX_BYTES && !name.chars().any(char::is_control)
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
/// [`Error::LimitExceeded`] when the numbers are used up, or if the database fails.
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
    let wanted: Vec<&str> = keys.iter().copied().collect();
    let known: HashSet<String> = sqlx::query_scalar!(
        "select login_key from pool_providers where pool_no = $1 and login_key = any($2::text[])",
        pool_no,
        &wanted as _
    )
    .fetch_all(&mut *conn)
    .await?
    .into_iter()
    .collect();
    let new: Vec<&str> = wanted.into_iter().filter(|key| !known.contains(*key)).collect();
    if new.is_empty() {
        return Ok(());
    }
    let used_up = || Error::LimitExceeded(format!("An identity pool can have had at most {LAST} login providers."));
    let count = i16::try_from(new.len()).map_err(|_| used_up())?;
    let next = sqlx::query_scalar!(
        "update identity_pools set next_provider_no = next_provider_no + $2::int2
         where pool_no = $1 and next_provider_no <= $3::int2 returning next_provider_no",
        pool_no,
        count,
        i16::MAX - count
    )
    .fetch_optional(&mut *conn)
    .await?
    .ok_or_else(used_up)?;
    sqlx::query!(
        "insert into pool_providers (pool_no, provider_no, login_key)
         select $1, ($2::int2 + position - 1)::int2, login_key
         from unnest($3::text[]) with ordinality as u (login_key, position)",
        pool_no,
        next - count,
        &new as _
    )
    .execute(conn)
    .await?;
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
    fn names_of_providers_fit_into_an_index_and_print() {
        for good in ["", "graph.facebook.com", &"x".repeat(2048), &"\u{10000}".repeat(512)] {
            assert!(is_storable(good), "{good}");
        }
        for bad in ["a\0", "\n", "a\u{7f}", "a\u{85}b", &"x".repeat(2049), &"\u{10000}".repeat(513)] {
            assert!(!is_storable(bad), "{bad:?}");
        }
    }

    #[test]
    fn each_kind_of_provider_has_its_limit() {
        let config = crate::config::Config::read(&crate::config::Sources::default()).unwrap();
        let user_pool = UserPool {
            provider_name: "cognito-idp.us-east-1.amazonaws.com/us-east-1_a".into(),
            client_id: "c".into(),
            server_side_token_check: None,
        };
        let of = |user_pools: usize, openid: usize, saml: usize| Providers {
            supported_logins: BTreeMap::new(),
            // The same one again counts again: lists are kept as they are given.
            openid_connect_arns: vec!["arn:aws:iam::000000000000:oidc-provider/idp.example.com".into(); openid],
            user_pools: vec![user_pool.clone(); user_pools],
            saml_arns: vec!["arn:aws:iam::000000000000:saml-provider/okta".into(); saml],
        };
        of(50, 100, 100).check(&config.limits).unwrap();
        for (many, text) in [
            (of(51, 0, 0), "An identity pool can have at most 50 Cognito user pool providers."),
            (of(0, 101, 0), "An identity pool can have at most 100 OpenID Connect providers."),
            (of(0, 0, 101), "An identity pool can have at most 100 SAML providers."),
        ] {
            let refused = many.check(&config.limits).unwrap_err();
            assert!(matches!(&refused, Error::LimitExceeded(said) if said == text), "{refused:?}");
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
