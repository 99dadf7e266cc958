//! The roles of a pool's identities: the ones by kind, and the mappings of each provider.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnection;
use sqlx::types::Json;

use super::pool::Pool;
use super::settings::Settings;
use crate::error::{Error, Result};
use crate::installation;

/// What was set by `SetIdentityPoolRoles`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// Role ARNs by `authenticated` and `unauthenticated`. Never empty.
    pub by_kind: Option<BTreeMap<String, String>>,
    /// How each provider's users get their roles, by provider. Never empty. One whose provider was removed from the pool
    /// stays, and says nothing.
    pub mappings: Option<BTreeMap<String, RoleMapping>>,
}

/// How the users of one provider get their roles
/// (<https://docs.aws.amazon.com/cognito/latest/developerguide/role-based-access-control.html>).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleMapping {
    /// Where a user's role comes from.
    pub source: RoleSource,
    /// What happens when that gives no role.
    pub otherwise: Option<Otherwise>,
    /// The rules in their order; kept and not asked where roles come from the token.
    pub rules: Option<Vec<Rule>>,
}

/// Where a user's role comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoleSource {
    /// The claims `cognito:preferred_role` and `cognito:roles`.
    Token,
    /// The first rule that holds.
    Rules,
}

/// What a user gets for whom there is no role, or more than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Otherwise {
    /// The role of authenticated identities.
    AuthenticatedRole,
    /// Nothing.
    Deny,
}

/// A claim that gives a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The name of the claim.
    pub claim: String,
    /// How it is compared.
    pub match_type: MatchType,
    /// With what.
    pub value: String,
    /// The role that it gives.
    pub role_arn: String,
}

/// How a claim is compared with a rule's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum MatchType {
    Equals,
    Contains,
    StartsWith,
    NotEqual,
}

impl Roles {
    /// Replaces the pool's roles and mappings as a whole; empty ones are as none.
    ///
    /// # Errors
    /// [`Error::PoolNotFound`] if the pool was deleted meanwhile; [`Error::NotAMappingProvider`],
    /// [`Error::InvalidParameter`] and [`Error::RoleForbidden`] for mappings and roles that do not fit it.
    pub async fn set(self, conn: &mut PgConnection, pool: &Pool, rules_limit: u32) -> Result<()> {
        let by_kind = self.by_kind.filter(|roles| !roles.is_empty());
        let mappings = self.mappings.filter(|mappings| !mappings.is_empty());
        let roles = Self { by_kind, mappings };
        let mut tx = sqlx::Connection::begin(conn).await?;
        let pool = pool.lock(&mut tx).await?;
        if let Some(problem) = roles.problems(&pool.settings, rules_limit).next() {
            return Err(problem);
        }
        sqlx::query!(
            "update identity_pools set roles = $2, role_mappings = $3, modified_at = now() where pool_no = $1",
            pool.no,
            roles.by_kind.as_ref().map(Json) as _,
            roles.mappings.as_ref().map(Json) as _
        )
        .execute(&mut *tx)
        .await?;
        installation::bump_epoch(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// What keeps a pool of these settings from having them; [`Roles::set`] tells the first.
    pub fn problems(&self, settings: &Settings, rules_limit: u32) -> impl Iterator<Item = Error> {
        let mappings = || self.mappings.iter().flatten();
        let strangers = mappings()
            .filter(|(provider, _)| !has_mapping_provider(settings, provider))
            .map(|(provider, _)| Error::NotAMappingProvider(provider.clone()));
        let ill_formed = mappings().filter_map(move |(provider, mapping)| mapping.check(provider, rules_limit).err());
        let rules = mappings().flat_map(|(_, mapping)| mapping.rules.iter().flatten()).map(|rule| &rule.role_arn);
        let arns = self.by_kind.iter().flat_map(BTreeMap::values).chain(rules).filter(|arn| !is_role_arn(arn));
        strangers.chain(ill_formed).chain(arns.map(|arn| Error::RoleForbidden(arn.clone())))
    }
}

impl RoleMapping {
    fn check(&self, provider: &str, rules_limit: u32) -> Result<()> {
        let refuse = |text: String| Err(Error::InvalidParameter(format!("The role mapping of '{provider}' {text}")));
        let rules = self.rules.as_deref().unwrap_or_default();
        if self.otherwise.is_none() {
            return refuse("must have AmbiguousRoleResolution: AuthenticatedRole or Deny.".to_owned());
        }
        if self.source == RoleSource::Rules && rules.is_empty() {
            return refuse("is of type Rules and must have RulesConfiguration.".to_owned());
        }
        if rules.len() > usize::try_from(rules_limit).unwrap_or(usize::MAX) {
            return refuse(format!("can have at most {rules_limit} rules."));
        }
        if rules.iter().any(|rule| rule.value.contains('\0')) {
            return refuse("has a rule whose Value contains U+0000.".to_owned());
        }
        Ok(())
    }
}

/// Whether the pool has the provider that a key of role mappings names: by its login key or, of OpenID Connect and SAML,
/// by its ARN; user pools by their name and one of their clients; the developer provider by its name
/// (<https://docs.aws.amazon.com/cognitoidentity/latest/APIReference/API_SetIdentityPoolRoles.html>,
/// <https://docs.aws.amazon.com/cdk/api/v2/docs/aws-cdk-lib.aws_cognito_identitypool.IdentityPoolProviderUrl.html>).
fn has_mapping_provider(settings: &Settings, key: &str) -> bool {
    let mut user_pools = settings.providers.user_pools.iter();
    let bare = |name: &str| settings.providers.user_pools.iter().any(|pool| pool.provider_name == name);
    match key.rsplit_once(':') {
        Some((name, client)) if bare(name) => {
            user_pools.any(|pool| pool.provider_name == name && pool.client_id == client)
        }
        _ => !bare(key) && settings.login_key(key).is_some(),
    }
}

/// `arn:PARTITION:iam::ACCOUNT:role/[PATH/]NAME`, as IAM makes them
/// (<https://docs.aws.amazon.com/IAM/latest/APIReference/API_Role.html>). Whether there is such a role is not known here.
#[must_use]
pub fn is_role_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, resource] = parts[..] else { return false };
    let partition_fits = partition == "aws"
        || partition
            .strip_prefix("aws-")
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
    let account_fits = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let Some(role) = resource.strip_prefix("role/") else { return false };
    let (path, name) = role.rsplit_once('/').unwrap_or(("", role));
    let path_fits = path.len() <= 510 && path.bytes().all(|byte| byte.is_ascii_graphic());
    let name_fits = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte));
    partition_fits && account_fits && path_fits && name_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_arns_are_those_that_iam_makes() {
        for good in [
            "arn:aws:iam::000000000001:role/a",
            "arn:aws:iam::123456789012:role/Cognito_idAuth_Role",
            "arn:aws-cn:iam::123456789012:role/path/to/a.b+c=d,e@f-g_h",
            "arn:aws-us-gov:iam::123456789012:role/service-role/x",
        ] {
            assert!(is_role_arn(good), "{good}");
        }
        for bad in [
            "",
            "aaaaaaaaaaaaaaaaaaaa",
            "a-role-without-an-arn",
            "arn:aws:iam::000000000001:role/",
            "arn:aws:iam::000000000001:role/path/",
            "arn:aws:iam::000000000001:user/a",
            "arn:aws:iam::00000000001:role/a",
            "arn:aws:iam:::role/without-account",
            "arn:aws:iam:us-east-1:000000000001:role/a",
            "arn:aws:sts::000000000001:role/a",
            "arn:aws-:iam::000000000001:role/a",
            "arn:other:iam::000000000001:role/a",
            "arn:aws:iam::000000000001:role/a b",
            "arn:aws:iam::000000000001:role/a\0",
            "arn:aws:iam::000000000001:role/é",
            "arn:aws:iam::000000000001:role/a:b",
        ] {
            assert!(!is_role_arn(bad), "{bad:?}");
        }
        assert!(!is_role_arn(&format!("arn:aws:iam::000000000001:role/{}", "a".repeat(65))));
    }
}
