//! GetId, DescribeIdentity, ListIdentities, DeleteIdentities and UnlinkIdentity.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::caller::{Caller, Visitor};
use super::logins::{self, Logins};
use super::tokens::Asked;
use super::wire;
use crate::app::App;
use crate::error::{Error, Result};
use crate::identities::identity::Located;
use crate::identities::sign_in::{Change, Claim, sign_in};
use crate::identities::unlink::unlink_providers;
use crate::identities::{Identity, Login, Tried};
use crate::ids::{IdentityId, Route};
use crate::pools::{Pool, providers};
use crate::retry;

/// `GetId`'s input. `AccountId` is accepted and ignored, as the pool's id says whose it is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetIdInput {
    identity_pool_id: String,
    #[serde(default)]
    logins: Option<Logins>,
}

/// An output that only names an identity.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct IdentityIdOutput {
    pub(super) identity_id: String,
}

/// `GetId`: a new guest at every call without logins; with logins, the identity that they belong to, found or made.
pub async fn get_id(app: &App, visitor: Visitor, input: GetIdInput) -> Result<IdentityIdOutput> {
    let logins = input.logins.unwrap_or_default();
    if logins.is_empty() {
        return get_guest_id(app, visitor, &input.identity_pool_id).await;
    }
    let read_at = app.moment();
    let pool = retry!(app.db, |conn| { visitor.pool(conn, &input.identity_pool_id).await })?;
    app.limits.admit_operation(&pool.account_id, "GetId")?;
    logins::check_keys(&pool, &logins)?;
    let public = logins::verify(app, &pool, read_at, logins, "GetId").await?;
    let claim = Claim { public: &public, ..Claim::default() };
    let limit = app.config.limits.linked_logins_per_identity;
    let mut tried = Tried::default();
    let signed_in = retry!(app.db, |conn| { sign_in(conn, &pool, &claim, limit, &mut tried).await })?;
    if signed_in.change == Change::Created {
        metrics::counter!("symbolon_identities_created_total", "kind" => "public").increment(1);
    }
    Ok(IdentityIdOutput { identity_id: pool.identity_id(signed_in.identity).to_string() })
}

async fn get_guest_id(app: &App, visitor: Visitor, pool: &str) -> Result<IdentityIdOutput> {
    let mut drawn = None;
    let made = retry!(app.db, |conn| {
        let pool = visitor.pool(conn, pool).await?;
        app.limits.admit_operation(&pool.account_id, "GetId")?;
        if !pool.settings.allow_unauthenticated {
            return Err(Error::GuestsNotAllowed);
        }
        app.limits.admit_guest(visitor.address, &pool.id)?;
        Ok(pool.identity_id(Identity::create_guest(conn, &pool, &mut drawn).await?))
    })?;
    metrics::counter!("symbolon_identities_created_total", "kind" => "guest").increment(1);
    Ok(IdentityIdOutput { identity_id: made.to_string() })
}

/// `UnlinkIdentity`'s input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UnlinkInput {
    identity_id: String,
    logins: Logins,
    logins_to_remove: Vec<String>,
}

/// `UnlinkIdentity`: who proves a login of the identity takes logins from it. One that it does not have is not missed.
pub async fn unlink(app: &App, visitor: Visitor, input: UnlinkInput) -> Result<()> {
    let asked = Asked::read(app, visitor, "UnlinkIdentity", &input.identity_id).await?;
    let pool = &asked.pool;
    // A developer's backend takes its users away itself (UnlinkDeveloperIdentity).
    if input.logins_to_remove.iter().any(|name| pool.settings.developer_provider.as_ref() == Some(name)) {
        return Err(Error::DeveloperProviderNotPublic);
    }
    logins::check_keys(pool, &input.logins)?;
    let proofs = asked.verify(app, input.logins).await?;
    let remove = input.logins_to_remove.iter().filter_map(|name| pool.numbered.get(name));
    let remove: Vec<i16> = remove.map(|provider| provider.no).collect();
    let mut tried = Tried::default();
    retry!(app.db, |conn| { unlink_providers(conn, pool, asked.id.uuid, &proofs, &remove, &mut tried).await })
}

/// `DescribeIdentity`'s input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeInput {
    identity_id: String,
}

/// An identity. Its logins are names of providers, never users; a guest has none, and the member is left out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct IdentityDescription {
    identity_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logins: Vec<String>,
    #[serde(serialize_with = "wire::timestamp")]
    creation_date: OffsetDateTime,
    #[serde(serialize_with = "wire::timestamp")]
    last_modified_date: OffsetDateTime,
}

impl IdentityDescription {
    fn new(pool: &Pool, identity: &Identity, logins: &[Login], names: &BTreeMap<i16, String>) -> Self {
        let mut numbers: Vec<i16> = logins.iter().map(|login| login.provider_no).collect();
        numbers.dedup();
        Self {
            identity_id: IdentityId { region: pool.id.region.clone(), uuid: identity.uuid }.to_string(),
            logins: numbers.iter().filter_map(|number| names.get(number).cloned()).collect(),
            creation_date: identity.created_at,
            last_modified_date: identity.modified_at,
        }
    }
}

/// `DescribeIdentity`
pub async fn describe(app: &App, caller: Caller, input: DescribeInput) -> Result<IdentityDescription> {
    let not_found = || Error::IdentityNotFound(input.identity_id.clone());
    let id = IdentityId::parse(&input.identity_id).filter(|id| id.region == caller.region).ok_or_else(not_found)?;
    retry!(app.db, |conn| {
        let (pool, identity) = Identity::find_for_tenant(conn, &caller.account_id, &id).await?.ok_or_else(not_found)?;
        let logins = Login::of_identity(conn, &pool, identity.uuid).await?;
        let names = providers::names(conn, pool.no).await?;
        Ok(IdentityDescription::new(&pool, &identity, &logins, &names))
    })
}

/// `ListIdentities`' input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListInput {
    identity_pool_id: String,
    max_results: i64,
    next_token: Option<String>,
    #[serde(default)]
    hide_disabled: Option<bool>,
}

/// `ListIdentities`' output.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListOutput {
    identity_pool_id: String,
    identities: Vec<IdentityDescription>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// `ListIdentities`
pub async fn list(app: &App, caller: Caller, input: ListInput) -> Result<ListOutput> {
    let hide_disabled = input.hide_disabled.unwrap_or(false);
    let filter = [input.identity_pool_id.as_str(), if hide_disabled { "enabled" } else { "all" }];
    let pages = wire::Pages::new(app, &caller, "ListIdentities", &filter);
    let after: Option<(i32, Uuid)> = pages.position(input.next_token.as_deref())?;
    let after = after.map(|(route, uuid)| Located { route: Route(route), uuid });
    let (more, last, identities) = retry!(app.db, |conn| {
        let pool = caller.pool(conn, &input.identity_pool_id).await?;
        let mut found = Identity::list(conn, &pool, hide_disabled, after, input.max_results + 1).await?;
        let more = wire::cut(&mut found, input.max_results);
        let names = providers::names(conn, pool.no).await?;
        let mut logins = Login::of_identities(conn, &pool, &found).await?;
        let descriptions: Vec<IdentityDescription> = found
            .iter()
            .map(|identity| {
                let logins = logins.remove(&identity.uuid).unwrap_or_default();
                IdentityDescription::new(&pool, identity, &logins, &names)
            })
            .collect();
        Ok((more, found.last().map(Identity::located), descriptions))
    })?;
    let next = last.filter(|_| more).map(|last| pages.token(&(last.route.0, last.uuid))).transpose()?;
    Ok(ListOutput { identity_pool_id: input.identity_pool_id, identities, next_token: next })
}

/// `DeleteIdentities`' input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteInput {
    identity_ids_to_delete: Vec<String>,
}

/// `DeleteIdentities`' output.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteOutput {
    unprocessed_identity_ids: Vec<UnprocessedIdentityId>,
}

/// An identity that could not be deleted.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct UnprocessedIdentityId {
    identity_id: String,
    error_code: &'static str,
}

/// `DeleteIdentities`: one transaction each. Those that do not exist count as deleted.
pub async fn delete(app: &App, caller: Caller, input: DeleteInput) -> Result<DeleteOutput> {
    let mut unprocessed = Vec::new();
    let mut failures = Vec::new();
    let asked = input.identity_ids_to_delete.len();
    for text in input.identity_ids_to_delete {
        let Some(id) = IdentityId::parse(&text).filter(|id| id.region == caller.region) else { continue };
        let deleted = retry!(app.db, |conn| {
            match Identity::find_for_tenant(conn, &caller.account_id, &id).await? {
                Some((pool, identity)) => Identity::delete(conn, &pool, identity.located()).await,
                None => Ok(()),
            }
        });
        if let Err(error) = deleted {
            failures.push(error);
            unprocessed.push(UnprocessedIdentityId { identity_id: text, error_code: "InternalServerError" });
        }
    }
    match failures.pop() {
        // Nothing at all could be done: the database is away, and the caller should know rather than read a list.
        Some(error) if unprocessed.len() == asked => Err(error),
        Some(error) => {
            tracing::warn!(%error, unprocessed = unprocessed.len(), "some identities could not be deleted");
            Ok(DeleteOutput { unprocessed_identity_ids: unprocessed })
        }
        None => Ok(DeleteOutput { unprocessed_identity_ids: unprocessed }),
    }
}
