//! SetPrincipalTagAttributeMap and GetPrincipalTagAttributeMap.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::caller::Caller;
use crate::app::App;
use crate::error::{Error, Result};
use crate::pools::principal_tags::TagMap;
use crate::retry;

/// `SetPrincipalTagAttributeMap`'s input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SetInput {
    identity_pool_id: String,
    identity_provider_name: String,
    use_defaults: Option<bool>,
    principal_tags: Option<BTreeMap<String, String>>,
}

/// `GetPrincipalTagAttributeMap`'s input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetInput {
    identity_pool_id: String,
    identity_provider_name: String,
}

/// The map of a provider, which is named as the caller named it. All members are there, also those that were left out
/// when it was set.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct MapOutput {
    identity_pool_id: String,
    identity_provider_name: String,
    use_defaults: bool,
    principal_tags: BTreeMap<String, String>,
}

impl MapOutput {
    fn new(pool: String, provider: String, map: TagMap) -> Self {
        Self {
            identity_pool_id: pool,
            identity_provider_name: provider,
            use_defaults: map.use_defaults.unwrap_or_default(),
            principal_tags: map.principal_tags.unwrap_or_default(),
        }
    }
}

/// `SetPrincipalTagAttributeMap`
pub async fn set(app: &App, caller: Caller, input: SetInput) -> Result<MapOutput> {
    let map = TagMap { use_defaults: input.use_defaults, principal_tags: input.principal_tags };
    retry!(app.db, |conn| {
        let pool = caller.pool(conn, &input.identity_pool_id).await?;
        map.set(conn, &pool, &input.identity_provider_name).await
    })?;
    app.forget_rows();
    Ok(MapOutput::new(input.identity_pool_id, input.identity_provider_name, map))
}

/// `GetPrincipalTagAttributeMap`
pub async fn get(app: &App, caller: Caller, input: GetInput) -> Result<MapOutput> {
    let pool = retry!(app.db, |conn| { caller.pool(conn, &input.identity_pool_id).await })?;
    let provider = input.identity_provider_name;
    match TagMap::of(&pool, &provider)? {
        Some(map) => Ok(MapOutput::new(input.identity_pool_id, provider, map.clone())),
        None => Err(Error::TagMapNotFound(provider)),
    }
}
