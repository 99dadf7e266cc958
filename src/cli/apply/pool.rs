//! The identity pool that a seed asks for, checked by the same rules as `UpdateIdentityPool`.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use super::document::Section;
use super::principal_tags::{self, WantedTags};
use super::roles;
use super::wanted::{Context, fits_model, words};
use crate::config::Config;
use crate::ids::PoolId;
use crate::pools::providers::{Providers, UserPool};
use crate::pools::roles::Roles;
use crate::pools::{Audiences, Settings};
use crate::tags::{self, Tags};

/// A well-formed pool id.
pub(super) const ANY_POOL_ID: &str = "us-east-1:00000000-0000-0000-0000-000000000000";

/// An identity pool.
pub(super) struct WantedPool {
    pub(super) line: usize,
    pub(super) id: PoolId,
    name: String,
    allow_unauthenticated: bool,
    allow_classic: Option<bool>,
    pub(super) developer_provider: Option<String>,
    providers: Providers,
    tags: Option<Tags>,
    /// Its extra audiences, if the seed names them.
    pub(super) audiences: Option<Audiences>,
    /// Its roles and role mappings, if the seed names any of them: both are one then.
    pub(super) roles: Option<Roles>,
    /// The principal tags of the providers that the seed names.
    pub(super) principal_tags: Vec<WantedTags>,
}

impl WantedPool {
    /// The settings of the pool that has `current` ones now: what is left out stays or goes as by `UpdateIdentityPool`.
    pub(super) fn settings(&self, current: Settings) -> Settings {
        Settings {
            name: self.name.clone(),
            allow_unauthenticated: self.allow_unauthenticated,
            allow_classic: self.allow_classic.or(current.allow_classic),
            developer_provider: current.developer_provider.or_else(|| self.developer_provider.clone()),
            providers: self.providers.clone(),
            tags: self.tags.clone().unwrap_or(current.tags),
        }
    }
}

/// Reads the section of a pool.
pub(super) fn read(section: &Section<'_, '_>, context: &Context<'_>, seen: &mut BTreeSet<Uuid>) -> Option<WantedPool> {
    let id = section.needed_text("identity_pool_id");
    let name = section.needed_text("identity_pool_name");
    let pool_id = id.as_deref().and_then(|text| read_pool_id(section, text, context));
    if pool_id.as_ref().is_some_and(|id| !seen.insert(id.uuid)) {
        section.problem("identity_pool_id", "stands twice in this file");
    }
    let allow_unauthenticated = section.flag("allow_unauthenticated_identities").unwrap_or(false);
    let allow_classic = section.flag("allow_classic_flow");
    let developer_provider = section.text("developer_provider_name");
    let providers = Providers {
        supported_logins: section.text_map("supported_login_providers").unwrap_or_default(),
        openid_connect_arns: section.texts("openid_connect_provider_arns").unwrap_or_default(),
        saml_arns: section.texts("saml_provider_arns").unwrap_or_default(),
        user_pools: section.sections("cognito_identity_provider").iter().map(read_user_pool).collect(),
    };
    let tags = section.text_map("tags");
    let audiences = section
        .texts("audiences")
        .and_then(|list| Audiences::new(list).inspect_err(|why| section.problem("audiences", &why.to_string())).ok());
    let mut wanted = WantedPool {
        line: section.line(),
        // What is missing was told above; the rest is checked nevertheless, under any id.
        id: pool_id.clone().or_else(|| PoolId::parse(ANY_POOL_ID))?,
        name: name.clone().unwrap_or_else(|| "-".to_owned()),
        allow_unauthenticated,
        allow_classic,
        developer_provider,
        providers,
        tags,
        audiences,
        roles: None,
        principal_tags: Vec::new(),
    };
    let settings = wanted.settings(Settings::default());
    wanted.roles = roles::read(section, &settings, context.config.limits.rules_per_role_mapping);
    wanted.principal_tags = principal_tags::read(section, &settings);
    section.end();
    check_pool(section, &wanted, &settings, context.config);
    (pool_id.is_some() && name.is_some()).then_some(wanted)
}

fn read_pool_id(section: &Section<'_, '_>, text: &str, context: &Context<'_>) -> Option<PoolId> {
    let Some(id) = PoolId::parse(text) else {
        section.problem(
            "identity_pool_id",
            "must be REGION:UUID in lower case, such as us-east-1:6d03c3ca-918a-4d03-84bd-192d2cb331b8",
        );
        return None;
    };
    if context.config.served_regions().is_some_and(|served| !served.contains(&id.region)) {
        section.problem("identity_pool_id", &format!("region {} is not served; add it to `regions`", id.region));
    }
    Some(id)
}

fn read_user_pool(section: &Section<'_, '_>) -> UserPool {
    let user_pool = UserPool {
        provider_name: section.needed_text("provider_name").unwrap_or_default(),
        client_id: section.needed_text("client_id").unwrap_or_default(),
        server_side_token_check: section.flag("server_side_token_check"),
    };
    section.end();
    user_pool
}

/// Checks a pool as a request that asks for it would be: by the model, then by what the model leaves open.
fn check_pool(section: &Section<'_, '_>, wanted: &WantedPool, settings: &Settings, config: &Config) {
    if !fits_model(section, "", "UpdateIdentityPool", &on_the_wire(wanted, settings)) {
        return;
    }
    let limits = &config.limits;
    let checks =
        [settings.providers.check(limits), tags::check(&settings.tags, limits.tags_per_pool), settings.check()];
    for error in checks.into_iter().filter_map(Result::err) {
        section.problem("", &words(error));
    }
}

fn on_the_wire(wanted: &WantedPool, settings: &Settings) -> Value {
    let client = |client: &UserPool| json!({ "ProviderName": client.provider_name, "ClientId": client.client_id });
    json!({
        "IdentityPoolId": wanted.id.to_string(),
        "IdentityPoolName": settings.name,
        "AllowUnauthenticatedIdentities": settings.allow_unauthenticated,
        "SupportedLoginProviders": settings.providers.supported_logins,
        "DeveloperProviderName": settings.developer_provider,
        "OpenIdConnectProviderARNs": settings.providers.openid_connect_arns,
        "CognitoIdentityProviders": settings.providers.user_pools.iter().map(client).collect::<Vec<_>>(),
        "SamlProviderARNs": settings.providers.saml_arns,
        "IdentityPoolTags": settings.tags,
    })
}
