//! SetIdentityPoolRoles and GetIdentityPoolRoles.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::caller::Caller;
use super::pools::PoolIdInput;
use crate::app::App;
use crate::error::Result;
use crate::pools::roles::{self, MatchType, Otherwise, RoleSource, Roles};
use crate::retry;

/// How the users of a provider get their roles, as the wire has it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RoleMapping {
    #[serde(rename = "Type")]
    source: RoleSource,
    #[serde(skip_serializing_if = "Option::is_none")]
    ambiguous_role_resolution: Option<Otherwise>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rules_configuration: Option<RulesConfiguration>,
}

/// The rules of a mapping.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RulesConfiguration {
    rules: Vec<Rule>,
}

/// A rule.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Rule {
    claim: String,
    match_type: MatchType,
    value: String,
    #[serde(rename = "RoleARN")]
    role_arn: String,
}

impl From<RoleMapping> for roles::RoleMapping {
    fn from(mapping: RoleMapping) -> Self {
        let rule = |rule: Rule| roles::Rule {
            claim: rule.claim,
            match_type: rule.match_type,
            value: rule.value,
            role_arn: rule.role_arn,
        };
        Self {
            source: mapping.source,
            otherwise: mapping.ambiguous_role_resolution,
            rules: mapping.rules_configuration.map(|given| given.rules.into_iter().map(rule).collect()),
        }
    }
}

impl From<roles::RoleMapping> for RoleMapping {
    fn from(mapping: roles::RoleMapping) -> Self {
        let rule = |rule: roles::Rule| Rule {
            claim: rule.claim,
            match_type: rule.match_type,
            value: rule.value,
            role_arn: rule.role_arn,
        };
        Self {
            source: mapping.source,
            ambiguous_role_resolution: mapping.otherwise,
            rules_configuration: mapping
                .rules
                .map(|rules| RulesConfiguration { rules: rules.into_iter().map(rule).collect() }),
        }
    }
}

/// `SetIdentityPoolRoles`' input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SetInput {
    identity_pool_id: String,
    roles: BTreeMap<String, String>,
    role_mappings: Option<BTreeMap<String, RoleMapping>>,
}

/// `SetIdentityPoolRoles`: both members are replaced; mappings left out are removed.
pub async fn set(app: &App, caller: Caller, input: SetInput) -> Result<()> {
    let mappings = input.role_mappings.map(|given| given.into_iter().map(|(key, value)| (key, value.into())).collect());
    let roles = Roles { by_kind: Some(input.roles), mappings };
    retry!(app.db, |conn| {
        let pool = caller.pool(conn, &input.identity_pool_id).await?;
        roles.clone().set(conn, &pool, app.config.limits.rules_per_role_mapping).await
    })?;
    app.forget_rows();
    Ok(())
}

/// `GetIdentityPoolRoles`' output: what is not set is left out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetOutput {
    identity_pool_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    roles: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role_mappings: Option<BTreeMap<String, RoleMapping>>,
}

/// `GetIdentityPoolRoles`
pub async fn get(app: &App, caller: Caller, input: PoolIdInput) -> Result<GetOutput> {
    let pool = retry!(app.db, |conn| { caller.pool(conn, &input.identity_pool_id).await })?;
    let Roles { by_kind, mappings } = pool.roles;
    Ok(GetOutput {
        identity_pool_id: pool.id.to_string(),
        roles: by_kind,
        role_mappings: mappings.map(|all| all.into_iter().map(|(key, value)| (key, value.into())).collect()),
    })
}
