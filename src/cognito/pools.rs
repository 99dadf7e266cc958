//! Create-, Describe-, Update-, Delete- and ListIdentityPools.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::caller::Caller;
use super::wire;
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{self, PoolId};
use crate::pools::providers::{Providers, UserPool};
use crate::pools::{Pool, Settings};
use crate::retry;
use crate::tags;

/// A user pool client, as the wire has it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CognitoIdentityProvider {
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_side_token_check: Option<bool>,
}

/// What Create and Update have in common.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PoolInput {
    identity_pool_name: String,
    allow_unauthenticated_identities: bool,
    allow_classic_flow: Option<bool>,
    supported_login_providers: Option<BTreeMap<String, String>>,
    developer_provider_name: Option<String>,
    #[serde(rename = "OpenIdConnectProviderARNs")]
    open_id_connect_provider_arns: Option<Vec<String>>,
    cognito_identity_providers: Option<Vec<CognitoIdentityProvider>>,
    #[serde(rename = "SamlProviderARNs")]
    saml_provider_arns: Option<Vec<String>>,
    identity_pool_tags: Option<BTreeMap<String, String>>,
}

impl PoolInput {
    fn providers(&self) -> Providers {
        let client = |entry: &CognitoIdentityProvider| UserPool {
            provider_name: entry.provider_name.clone().unwrap_or_default(),
            client_id: entry.client_id.clone().unwrap_or_default(),
            server_side_token_check: entry.server_side_token_check,
        };
        Providers {
            supported_logins: self.supported_login_providers.clone().unwrap_or_default(),
            openid_connect_arns: self.open_id_connect_provider_arns.clone().unwrap_or_default(),
            user_pools: self.cognito_identity_providers.iter().flatten().map(client).collect(),
            saml_arns: self.saml_provider_arns.clone().unwrap_or_default(),
        }
    }
}

/// A whole pool. Members that are not set are left out, but for the tags, which are always there.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PoolOutput {
    identity_pool_id: String,
    identity_pool_name: String,
    allow_unauthenticated_identities: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_classic_flow: Option<bool>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    supported_login_providers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    developer_provider_name: Option<String>,
    #[serde(rename = "OpenIdConnectProviderARNs", skip_serializing_if = "Vec::is_empty")]
    open_id_connect_provider_arns: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cognito_identity_providers: Vec<CognitoIdentityProvider>,
    #[serde(rename = "SamlProviderARNs", skip_serializing_if = "Vec::is_empty")]
    saml_provider_arns: Vec<String>,
    identity_pool_tags: BTreeMap<String, String>,
}

impl From<Pool> for PoolOutput {
    fn from(pool: Pool) -> Self {
        let Settings { name, allow_unauthenticated, allow_classic, developer_provider, providers, tags } =
            pool.settings;
        let client = |client: UserPool| CognitoIdentityProvider {
            provider_name: Some(client.provider_name),
            client_id: Some(client.client_id),
            server_side_token_check: client.server_side_token_check,
        };
        Self {
            identity_pool_id: pool.id.to_string(),
            identity_pool_name: name,
            allow_unauthenticated_identities: allow_unauthenticated,
            allow_classic_flow: allow_classic,
            supported_login_providers: providers.supported_logins,
            developer_provider_name: developer_provider,
            open_id_connect_provider_arns: providers.openid_connect_arns,
            cognito_identity_providers: providers.user_pools.into_iter().map(client).collect(),
            saml_provider_arns: providers.saml_arns,
            identity_pool_tags: tags,
        }
    }
}

/// An input that only names a pool.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PoolIdInput {
    pub(super) identity_pool_id: String,
}

/// `CreateIdentityPool`
pub async fn create(app: &App, caller: Caller, input: PoolInput) -> Result<PoolOutput> {
    let limits = &app.config.limits;
    let providers = input.providers();
    providers.check(limits)?;
    let settings = Settings {
        name: input.identity_pool_name,
        allow_unauthenticated: input.allow_unauthenticated_identities,
        allow_classic: input.allow_classic_flow,
        developer_provider: input.developer_provider_name,
        providers,
        tags: input.identity_pool_tags.unwrap_or_default(),
    };
    tags::check(&settings.tags, limits.tags_per_pool)?;
    let id = PoolId { region: caller.region.clone(), uuid: ids::new_pool_uuid()? };
    let pool = retry!(app.db, |conn| {
        Pool::create(conn, &caller.account_id, &id, &settings, limits.identity_pools_per_account).await
    })?;
    app.forget_rows();
    Ok(pool.into())
}

/// `DescribeIdentityPool`
pub async fn describe(app: &App, caller: Caller, input: PoolIdInput) -> Result<PoolOutput> {
    retry!(app.db, |conn| { caller.pool(conn, &input.identity_pool_id).await }).map(PoolOutput::from)
}

/// `UpdateIdentityPool`'s input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateInput {
    identity_pool_id: String,
    #[serde(flatten)]
    pool: PoolInput,
}

/// `UpdateIdentityPool`: public providers left out are cleared; the developer provider, the tags and the classic flow
/// left out survive (as Terraform's calls show: it never sends the first two).
pub async fn update(app: &App, caller: Caller, input: UpdateInput) -> Result<PoolOutput> {
    let limits = &app.config.limits;
    let given = &input.pool;
    let providers = given.providers();
    providers.check(limits)?;
    if let Some(given) = &given.identity_pool_tags {
        tags::check(given, limits.tags_per_pool)?;
    }
    let change = |current: Settings| {
        let changes_name = |name: &String| given.developer_provider_name.as_ref().is_some_and(|given| given != name);
        if current.developer_provider.as_ref().is_some_and(changes_name) {
            return Err(Error::DeveloperProviderImmutable);
        }
        Ok(Settings {
            name: given.identity_pool_name.clone(),
            allow_unauthenticated: given.allow_unauthenticated_identities,
            allow_classic: given.allow_classic_flow.or(current.allow_classic),
            developer_provider: current.developer_provider.or_else(|| given.developer_provider_name.clone()),
            providers: providers.clone(),
            tags: given.identity_pool_tags.clone().unwrap_or(current.tags),
        })
    };
    let pool = retry!(app.db, |conn| {
        let pool = caller.pool(conn, &input.identity_pool_id).await?;
        pool.update(conn, change).await
    })?;
    app.forget_rows();
    Ok(pool.into())
}

/// `DeleteIdentityPool`
pub async fn delete(app: &App, caller: Caller, input: PoolIdInput) -> Result<()> {
    let mut was_there = false;
    retry!(app.db, |conn| {
        let pool = match caller.pool(conn, &input.identity_pool_id).await {
            // An earlier try has found it, and deleted it: the answer to its commit was lost.
            Err(Error::PoolNotFound(_)) if was_there => return Ok(()),
            found => found?,
        };
        was_there = true;
        pool.delete(conn).await
    })?;
    app.forget_rows();
    Ok(())
}

/// `ListIdentityPools`' input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListInput {
    max_results: i64,
    next_token: Option<String>,
}

/// `ListIdentityPools`' output.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListOutput {
    identity_pools: Vec<ShortDescription>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// An entry of `ListIdentityPools`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ShortDescription {
    identity_pool_id: String,
    identity_pool_name: String,
}

/// `ListIdentityPools`: those of the call's region.
pub async fn list(app: &App, caller: Caller, input: ListInput) -> Result<ListOutput> {
    let pages = wire::Pages::new(app, &caller, "ListIdentityPools", &[]);
    let after = pages.position(input.next_token.as_deref())?;
    let mut pools = retry!(app.db, |conn| {
        Pool::list(conn, &caller.account_id, &caller.region, after, input.max_results + 1).await
    })?;
    let more = wire::cut(&mut pools, input.max_results);
    let last = pools.last().filter(|_| more).map(|(id, _)| id.uuid);
    Ok(ListOutput {
        next_token: last.map(|last| pages.token(&last)).transpose()?,
        identity_pools: pools
            .into_iter()
            .map(|(id, name)| ShortDescription { identity_pool_id: id.to_string(), identity_pool_name: name })
            .collect(),
    })
}
