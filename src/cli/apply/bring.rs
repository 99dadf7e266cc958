//! From what a seed asks for to rows: what stands against it, then each tenant, key, login provider, role, pool, its
//! roles, its audiences and each of its maps of principal tags in its transaction.

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::Applied;
use super::iam_roles;
use super::pool::WantedPool;
use super::principal_tags::WantedTags;
use super::saml;
use super::wanted::{WantedKey, WantedProvider, WantedTenant};
use crate::cli::Failure;
use crate::clock::Clock;
use crate::config::Limits;
use crate::db::Db;
use crate::error::{Error, Result};
use crate::iam::{OidcProvider, Role};
use crate::ids::{AccountId, PoolId};
use crate::pools::principal_tags::TagMap;
use crate::pools::providers::DEVELOPER;
use crate::pools::roles::Roles;
use crate::pools::{Audiences, Pool, Settings};
use crate::retry;
use crate::seal::Seal;
use crate::tenants::{AccessKey, Tenant, access_key};

/// What became of one item.
#[derive(Clone, Copy)]
pub(super) enum Fate {
    Made,
    Changed,
    Left,
}

/// Everything in the database that a seed cannot have.
pub(super) async fn conflicts(conn: &mut PgConnection, tenants: &[WantedTenant]) -> Result<Vec<String>> {
    let mut conflicts = Vec::new();
    let taken = AccessKey::list(conn, None).await?;
    for tenant in tenants {
        for key in &tenant.keys {
            let other = taken.iter().find(|taken| taken.id == key.id && taken.account_id != tenant.account_id);
            if let Some(other) = other {
                let (line, id, owner) = (key.line, &key.id, &other.account_id);
                conflicts.push(format!("line {line}: access key {id} belongs to tenant {owner}"));
            }
        }
        for role in &tenant.roles {
            let found = Role::find(conn, &tenant.account_id, &role.name).await?;
            if let Some(conflict) = found.and_then(|found| role.conflict(&found)) {
                conflicts.push(format!("line {}: role {} {conflict}", role.line, role.name));
            }
        }
        for pool in &tenant.pools {
            if let Some(conflict) = pool_conflict(conn, &tenant.account_id, pool).await? {
                conflicts.push(format!("line {}: identity pool {} {conflict}", pool.line, pool.id));
            }
        }
    }
    Ok(conflicts)
}

async fn pool_conflict(conn: &mut PgConnection, account: &AccountId, wanted: &WantedPool) -> Result<Option<String>> {
    let Some(claim) = Pool::claim(conn, &wanted.id).await? else { return Ok(None) };
    if claim.account_id != account.as_str() {
        return Ok(Some(format!("belongs to tenant {}", claim.account_id)));
    }
    if claim.deleted {
        return Ok(Some("was deleted, and ids are not used again: choose another".to_owned()));
    }
    if claim.region != wanted.id.region.as_str() {
        return Ok(Some(format!("is in region {}", claim.region)));
    }
    let Some(pool) = Pool::find(conn, account, &wanted.id).await? else { return Ok(None) };
    let (current, given) = (pool.settings.developer_provider.clone(), wanted.developer_provider.as_ref());
    if let (Some(current), Some(given)) = (&current, given)
        && current != given
    {
        return Ok(Some(format!(
            "has the developer provider {current}, which cannot be changed: set developer_provider_name to it, or leave \
             it out"
        )));
    }
    // Numbers are for ever: a name that was a public provider's once is no developer provider's.
    let was_public = |name: &String| pool.numbered.get(name).is_some_and(|provider| provider.no != DEVELOPER);
    if let Some(given) = given.filter(|name| was_public(name)) {
        return Ok(Some(format!("has or had a login provider {given}: choose another developer_provider_name")));
    }
    Ok(match (wanted.settings(pool.settings).check(), current) {
        (Err(_), Some(current)) => Some(format!(
            "has the developer provider {current}, which cannot be a login provider of it, too: choose another provider"
        )),
        _ => None,
    })
}

/// Makes or changes what is not as the seed says.
pub(super) async fn about(db: &Db, seal: &Seal, limits: &Limits, tenants: &[WantedTenant]) -> Result<Applied, Failure> {
    let mut applied = Applied::default();
    for tenant in tenants {
        let account = &tenant.account_id;
        let fate = retry!(db, |conn| { bring_tenant(conn, tenant).await });
        applied.note(format!("tenant {account}"), fate)?;
        for key in &tenant.keys {
            let fate = retry!(db, |conn| { bring_key(conn, seal, account, key).await });
            applied.note(format!("access-key {}", key.id), fate)?;
        }
        for provider in &tenant.providers {
            let fate = bring_provider(db, account, provider, limits.openid_connect_providers_per_account).await;
            applied.note(format!("openid-connect-provider {}", provider.url), fate)?;
        }
        for provider in &tenant.saml_providers {
            let fate = saml::bring(db, account, provider, limits.saml_providers_per_account).await;
            applied.note(format!("saml-provider {}", provider.name), fate)?;
        }
        for role in &tenant.roles {
            let fate = iam_roles::bring(db, account, role, limits.roles_per_account).await;
            applied.note(format!("role {}", role.name), fate)?;
        }
        for pool in &tenant.pools {
            let fate = retry!(db, |conn| { bring_pool(conn, account, pool, limits.identity_pools_per_account).await });
            let item = format!("identity-pool {}", pool.id);
            applied.note(item.clone(), fate)?;
            if let Some(roles) = &pool.roles {
                let limit = limits.rules_per_role_mapping;
                let fate = retry!(db, |conn| { bring_roles(conn, account, &pool.id, roles, limit).await });
                applied.note(format!("roles of {item}"), fate)?;
            }
            if let Some(audiences) = &pool.audiences {
                let fate = retry!(db, |conn| { bring_audiences(conn, account, &pool.id, audiences).await });
                applied.note(format!("audiences of {item}"), fate)?;
            }
            for tags in &pool.principal_tags {
                let fate = retry!(db, |conn| { bring_principal_tags(conn, account, &pool.id, tags).await });
                applied.note(format!("principal-tags of {item} {}", tags.provider), fate)?;
            }
        }
    }
    Ok(applied)
}

impl Applied {
    fn note(&mut self, item: String, fate: Result<Fate>) -> Result<(), Failure> {
        match fate {
            Ok(Fate::Made) => self.made.push(item),
            Ok(Fate::Changed) => self.changed.push(item),
            Ok(Fate::Left) => self.left.push(item),
            Err(error) => {
                let Failure { code, message } = error.into();
                let done = self.made.len() + self.changed.len();
                return Err(Failure::new(
                    code,
                    format!("{item}: {message}; {done} items before it were made or changed: apply the seed again"),
                ));
            }
        }
        Ok(())
    }
}

async fn bring_tenant(conn: &mut PgConnection, wanted: &WantedTenant) -> Result<Fate> {
    let found = Tenant::find(conn, &wanted.account_id).await?;
    if found.as_ref().is_some_and(|found| found.name == wanted.name) {
        return Ok(Fate::Left);
    }
    let mut tx = conn.begin().await?;
    let fate = match found {
        Some(_) => Tenant::rename(&mut tx, &wanted.account_id, &wanted.name).await.map(|_| Fate::Changed)?,
        None if Tenant::create(&mut tx, &wanted.account_id, &wanted.name).await? => Fate::Made,
        None => return Err(Error::Contended),
    };
    tx.commit().await?;
    Ok(fate)
}

async fn bring_key(conn: &mut PgConnection, seal: &Seal, account: &AccountId, wanted: &WantedKey) -> Result<Fate> {
    let found = AccessKey::secret(conn, seal, &wanted.id).await?;
    let same = |secret: &[u8]| secret == wanted.secret.expose();
    let same_secret = found.as_ref().is_some_and(|(owner, secret)| owner == account && same(secret.expose()));
    let policy = wanted.policy.as_ref().map(access_key::document).transpose()?;
    let found_policy = AccessKey::find(conn, &wanted.id).await?.and_then(|key| key.policy);
    let same_policy = policy.is_none() || policy == found_policy;
    if same_secret && same_policy {
        return Ok(Fate::Left);
    }
    let mut tx = conn.begin().await?;
    let (mut done, fate) = match found {
        Some(_) if same_secret => (true, Fate::Changed),
        Some(_) => (AccessKey::set_secret(&mut tx, seal, &wanted.id, account, &wanted.secret).await?, Fate::Changed),
        None => (AccessKey::create(&mut tx, seal, &wanted.id, account, &wanted.secret).await?, Fate::Made),
    };
    if done && !same_policy {
        done = AccessKey::set_policy(&mut tx, &wanted.id, wanted.policy.as_ref()).await?;
    }
    if !done {
        return Err(Error::Contended);
    }
    tx.commit().await?;
    Ok(fate)
}

async fn bring_provider(db: &Db, account: &AccountId, wanted: &WantedProvider, limit: u32) -> Result<Fate> {
    // As IAM draws it: a retry finds its own row by it.
    let fresh = wanted.fresh(OidcProvider::moment(Clock::System.wall()));
    retry!(db, |conn| {
        let Some(found) = OidcProvider::find(conn, account, &wanted.url).await? else {
            return fresh.create(conn, account, limit).await.map(|()| Fate::Made);
        };
        let mut brought = found.clone();
        wanted.bring(&mut brought);
        if brought == found {
            return Ok(Fate::Left);
        }
        let change = |current: &mut OidcProvider| {
            wanted.bring(current);
            Ok(())
        };
        match OidcProvider::update(conn, account, &wanted.url, change).await? {
            Some(_) => Ok(Fate::Changed),
            None => Err(Error::Contended),
        }
    })
}

async fn bring_pool(conn: &mut PgConnection, account: &AccountId, wanted: &WantedPool, limit: u32) -> Result<Fate> {
    match Pool::find(conn, account, &wanted.id).await? {
        Some(pool) if wanted.settings(pool.settings.clone()) == pool.settings => Ok(Fate::Left),
        Some(pool) => pool.update(conn, |current| Ok(wanted.settings(current))).await.map(|_| Fate::Changed),
        None => {
            let settings = wanted.settings(Settings::default());
            Pool::create(conn, account, &wanted.id, &settings, limit).await.map(|_| Fate::Made)
        }
    }
}

async fn bring_roles(
    conn: &mut PgConnection,
    account: &AccountId,
    id: &PoolId,
    wanted: &Roles,
    limit: u32,
) -> Result<Fate> {
    let pool = brought(conn, account, id).await?;
    if pool.roles == *wanted {
        return Ok(Fate::Left);
    }
    let fate = if pool.roles == Roles::default() { Fate::Made } else { Fate::Changed };
    wanted.clone().set(conn, &pool, limit).await?;
    Ok(fate)
}

async fn bring_principal_tags(
    conn: &mut PgConnection,
    account: &AccountId,
    id: &PoolId,
    wanted: &WantedTags,
) -> Result<Fate> {
    let pool = brought(conn, account, id).await?;
    let fate = match TagMap::of(&pool, &wanted.provider)? {
        Some(map) if wanted.is(map) => return Ok(Fate::Left),
        Some(_) => Fate::Changed,
        None => Fate::Made,
    };
    wanted.map.set(conn, &pool, &wanted.provider).await?;
    Ok(fate)
}

async fn bring_audiences(
    conn: &mut PgConnection,
    account: &AccountId,
    id: &PoolId,
    wanted: &Audiences,
) -> Result<Fate> {
    let pool = brought(conn, account, id).await?;
    Audiences::change(conn, &pool, |all| {
        let fate = match () {
            () if all == wanted => Fate::Left,
            () if all.as_slice().is_empty() => Fate::Made,
            () => Fate::Changed,
        };
        all.clone_from(wanted);
        Ok(fate)
    })
    .await
}

/// The pool that was made or changed just before.
async fn brought(conn: &mut PgConnection, account: &AccountId, id: &PoolId) -> Result<Pool> {
    Pool::find(conn, account, id).await?.ok_or_else(|| Error::PoolNotFound(id.to_string()))
}
