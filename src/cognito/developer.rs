//! GetOpenIdTokenForDeveloperIdentity, Lookup-, Merge- and UnlinkDeveloperIdentity: a backend speaks for its own users.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::caller::Caller;
use super::identities::IdentityIdOutput;
use super::logins::{self, Logins};
use super::tokens::TokenOutput;
use super::wire;
use crate::app::App;
use crate::cache::Moment;
use crate::error::{Error, Result};
use crate::identities::sign_in::{Change, Claim};
use crate::identities::{DeveloperUser, Identity, Login, Tried, merge, unlink};
use crate::ids::IdentityId;
use crate::pools::Pool;
use crate::retry;
use crate::tokens::openid_token::{Grant, Vouched, check_length, mint};
use crate::tokens::principal_tags::{self, PrincipalTags};
use crate::upstream::VerifiedLogin;

/// How many identifiers a look-up answers with when it is not told.
const DEFAULT_PAGE: i64 = 60;

/// `GetOpenIdTokenForDeveloperIdentity`'s input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TokenInput {
    identity_pool_id: String,
    identity_id: Option<String>,
    logins: Logins,
    #[serde(default)]
    principal_tags: Option<PrincipalTags>,
    token_duration: Option<i64>,
}

/// `GetOpenIdTokenForDeveloperIdentity`: the identity of the caller's user, found or made, and a token for it.
pub async fn get_open_id_token(app: &App, caller: Caller, mut input: TokenInput) -> Result<TokenOutput> {
    let lifetime = app.token_lifetime(input.token_duration)?;
    let read_at = app.moment();
    let pool = caller.remembered_pool(app, &input.identity_pool_id).await?;
    let (pool, user) = developer_user(app, &caller, pool, &mut input.logins).await?;
    let named = match &input.identity_id {
        Some(text) => Some(IdentityId::parse(text).ok_or_else(|| Error::IdentityNotFound(text.clone()))?),
        None => None,
    };
    let public = Box::pin(public_logins(app, &pool, read_at, input.logins)).await?;
    let tags = principal_tags::of(&pool, &public, input.principal_tags.unwrap_or_default())?;
    let vouched = Vouched { developer: Some(&user), public: &public };
    let grant = |identity: &IdentityId| Grant::new(&pool, identity, vouched, &tags, lifetime);
    // Only these can make a token too long; a call that is refused for them makes nobody.
    if !(tags.is_empty() && public.is_empty()) {
        check_length(&app.ring, app.config.issuer.token_type, &grant(&pool.identity_id(Uuid::nil())))?;
    }
    let claim = Claim { named: named.as_ref(), developer: Some(&user), public: &public };
    let limit = app.config.limits.linked_logins_per_identity;
    let signed_in = app.arrivals.sign_in(&app.db, &pool, &claim, limit).await?;
    if signed_in.change == Change::Created {
        metrics::counter!("symbolon_identities_created_total", "kind" => "developer").increment(1);
    }
    let identity = pool.identity_id(signed_in.identity);
    let token = mint(&app.ring, app.config.issuer.token_type, &grant(&identity))?;
    metrics::counter!("symbolon_tokens_issued_total", "flow" => "developer").increment(1);
    Ok(TokenOutput { identity_id: identity.to_string(), token })
}

/// Takes the developer user out of the logins, which hold one under the pool's developer provider name, and finds the
/// pool that has this name. One remembered without it is read again first: a refusal is never decided from memory, nor
/// is what a public login's provider is.
async fn developer_user(
    app: &App,
    caller: &Caller,
    pool: Arc<Pool>,
    logins: &mut Logins,
) -> Result<(Arc<Pool>, DeveloperUser)> {
    let is_developer = |pool: &Pool, key: &String| pool.settings.developer_provider.as_ref() == Some(key);
    let only = if logins.len() == 1 { logins.keys().next() } else { None };
    let pool = match only {
        Some(key) if is_developer(&pool, key) => pool,
        _ => Box::pin(caller.read_pool(app, &pool.id)).await?,
    };
    let public = pool.settings.providers.login_keys();
    if logins.keys().any(|key| !is_developer(&pool, key) && !public.contains(key.as_str())) {
        return Err(Error::DeveloperProviderNotSupported);
    }
    drop(public);
    let name = pool.settings.developer_provider.as_ref().ok_or(Error::DeveloperProviderMissing)?;
    let user = logins.remove(name).ok_or(Error::DeveloperProviderMissing)?;
    let user = DeveloperUser::parse(user)?;
    Ok((pool, user))
}

/// The public logins beside the developer user. The operation has no exception for an issuer that cannot be asked.
async fn public_logins(app: &App, pool: &Pool, read_at: Option<Moment>, logins: Logins) -> Result<Vec<VerifiedLogin>> {
    if logins.is_empty() {
        return Ok(Vec::new());
    }
    logins::verify(app, pool, read_at, logins, "GetOpenIdTokenForDeveloperIdentity").await.map_err(
        |error| match error {
            Error::Upstream(why) => Error::internal(why),
            error => error,
        },
    )
}

/// `LookupDeveloperIdentity`'s input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LookupInput {
    identity_pool_id: String,
    identity_id: Option<String>,
    developer_user_identifier: Option<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

/// `LookupDeveloperIdentity`'s output.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct LookupOutput {
    identity_id: String,
    developer_user_identifier_list: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// `LookupDeveloperIdentity`: from user to identity, from identity to users, or whether both belong together.
pub async fn lookup(app: &App, caller: Caller, input: LookupInput) -> Result<LookupOutput> {
    let filter = [
        input.identity_pool_id.as_str(),
        input.identity_id.as_deref().unwrap_or_default(),
        input.developer_user_identifier.as_deref().unwrap_or_default(),
    ];
    let pages = wire::Pages::new(app, &caller, "LookupDeveloperIdentity", &filter);
    let after: Option<Vec<u8>> = pages.position(input.next_token.as_deref())?;
    let limit = input.max_results.unwrap_or(DEFAULT_PAGE);
    let (identity, mut users, whole) = retry!(app.db, |conn| {
        let pool = caller.pool(conn, &input.identity_pool_id).await?;
        if input.identity_id.is_none() && input.developer_user_identifier.is_none() {
            return Err(Error::LookupWithoutKey);
        }
        let user = input.developer_user_identifier.clone().map(DeveloperUser::parse).transpose()?;
        let named = match &input.identity_id {
            Some(text) => Some(find_named(conn, &pool, text).await?.uuid),
            None => None,
        };
        let owner = match &user {
            Some(user) => Some(Login::owner(conn, &user.key(&pool)).await?.ok_or(Error::DeveloperUserNotFound)?),
            None => None,
        };
        let identity = match (named, owner) {
            (Some(named), Some(owner)) if named != owner => return Err(Error::LookupMismatch),
            (Some(identity), _) | (None, Some(identity)) => identity,
            (None, None) => return Err(Error::LookupWithoutKey),
        };
        let id = IdentityId { region: pool.id.region.clone(), uuid: identity };
        // Both given and matching: the answer is the question.
        if let (Some(_), Some(user)) = (named, &user) {
            return Ok((id, vec![(Vec::new(), user.as_str().to_owned())], true));
        }
        let users: Vec<(Vec<u8>, String)> = Login::of_identity(conn, &pool, identity)
            .await?
            .into_iter()
            .filter_map(|login| login.developer_user().map(|user| (login.subject_key, user)))
            .collect();
        // Whom the user belonged to a moment ago need not have him any more: a merge came between.
        if let Some(user) = &user
            && !users.iter().any(|(_, of_identity)| of_identity == user.as_str())
        {
            return Err(Error::Contended);
        }
        if users.is_empty() {
            return Err(Error::DeveloperUserNotFound);
        }
        Ok((id, users, false))
    })?;
    if let Some(after) = after.filter(|_| !whole) {
        users.retain(|(key, _)| *key > after);
    }
    let more = wire::cut(&mut users, limit);
    let last = users.last().filter(|_| more).map(|(key, _)| pages.token(key)).transpose()?;
    Ok(LookupOutput {
        identity_id: identity.to_string(),
        developer_user_identifier_list: users.into_iter().map(|(_, user)| user).collect(),
        next_token: last,
    })
}

async fn find_named(conn: &mut sqlx::PgConnection, pool: &Pool, text: &str) -> Result<Identity> {
    let not_found = || Error::IdentityNotFound(text.to_owned());
    let id = IdentityId::parse(text).filter(|id| id.region == pool.id.region).ok_or_else(not_found)?;
    Identity::find(conn, pool, id.uuid).await?.ok_or_else(not_found)
}

/// The pool's developer provider must be the one named.
fn check_provider(pool: &Pool, name: &str) -> Result<()> {
    if pool.settings.developer_provider.as_deref() == Some(name) {
        Ok(())
    } else {
        Err(Error::DeveloperProviderNotSupported)
    }
}

/// `MergeDeveloperIdentities`' input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MergeInput {
    source_user_identifier: String,
    destination_user_identifier: String,
    developer_provider_name: String,
    identity_pool_id: String,
}

/// `MergeDeveloperIdentities`
pub async fn merge(app: &App, caller: Caller, input: MergeInput) -> Result<IdentityIdOutput> {
    let limit = app.config.limits.linked_logins_per_identity;
    let mut tried = Tried::default();
    let (pool, uuid) = retry!(app.db, |conn| {
        let pool = caller.pool(conn, &input.identity_pool_id).await?;
        check_provider(&pool, &input.developer_provider_name)?;
        let source = DeveloperUser::parse(input.source_user_identifier.clone())?;
        let destination = DeveloperUser::parse(input.destination_user_identifier.clone())?;
        let uuid = merge::merge(conn, &pool, &source, &destination, limit, &mut tried).await?;
        Ok((pool, uuid))
    })?;
    Ok(IdentityIdOutput { identity_id: IdentityId { region: pool.id.region, uuid }.to_string() })
}

/// `UnlinkDeveloperIdentity`'s input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UnlinkInput {
    identity_id: String,
    identity_pool_id: String,
    developer_provider_name: String,
    developer_user_identifier: String,
}

/// `UnlinkDeveloperIdentity`: the user, seen again, gets a new identity.
pub async fn unlink(app: &App, caller: Caller, input: UnlinkInput) -> Result<()> {
    let mut tried = Tried::default();
    retry!(app.db, |conn| {
        let pool = caller.pool(conn, &input.identity_pool_id).await?;
        check_provider(&pool, &input.developer_provider_name)?;
        let identity = find_named(conn, &pool, &input.identity_id).await?;
        let user = DeveloperUser::parse(input.developer_user_identifier.clone())?;
        unlink::unlink(conn, &pool, identity.uuid, &user, &mut tried).await
    })
}
