//! Sign-in of a developer user: find the identity, create it, link the user to it, or refuse.

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::aftercheck;
use super::identity::{self, Identity, Located, State};
use super::login::{self, DeveloperUser, Login, LoginKey};
use crate::error::{Error, Result};
use crate::ids::{self, IdentityId};
use crate::pools::Pool;

/// How often a transaction that lost a race starts over.
pub(super) const MAX_RACES: u32 = 5;

/// The identity that a user signed in as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// The unique part of its id.
    pub identity: Uuid,
    /// What this call changed.
    pub change: Change,
}

/// What a sign-in changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing: the user was known.
    None,
    /// A new identity was made for the user.
    Created,
    /// The user was linked to the guest it named.
    Linked,
}

/// Signs a developer user in. `named` is the identity that the caller asked for, if any.
///
/// One round trip when the user is known, and is who was named; the caller's developer credentials vouch for the user.
///
/// # Errors
/// [`Error::IdentityNotFound`], [`Error::IdentityForbidden`], [`Error::LoginsDontMatch`] or
/// [`Error::DeveloperUserAlreadyRegistered`], with nothing changed; or if the database fails.
pub async fn sign_in(
    conn: &mut PgConnection,
    pool: &Pool,
    named: Option<&IdentityId>,
    user: &DeveloperUser,
) -> Result<SignedIn> {
    let key = user.key(pool);
    let owner = Login::owner(conn, &key).await?;
    match (named, owner) {
        (None, Some(identity)) => Ok(SignedIn { identity, change: Change::None }),
        // A disabled identity has no logins, so one that has this login may be used.
        (Some(named), Some(identity)) if named.uuid == identity && named.region == pool.id.region => {
            Ok(SignedIn { identity, change: Change::None })
        }
        (None, None) => create(conn, &key, user).await,
        (Some(named), owner) => link(conn, pool, named, &key, user, owner).await,
    }
}

/// Makes an identity for a user whom nobody knew a moment ago.
async fn create(conn: &mut PgConnection, key: &LoginKey, user: &DeveloperUser) -> Result<SignedIn> {
    for _ in 0..MAX_RACES {
        let fresh = ids::new_identity_uuid(key.route)?;
        let mut tx = sqlx::Connection::begin(&mut *conn).await?;
        if login::insert(&mut tx, key, user, fresh).await? {
            identity::insert(&mut tx, key.route, fresh).await?;
            tx.commit().await?;
            return Ok(SignedIn { identity: fresh, change: Change::Created });
        }
        tx.rollback().await?;
        // Another call was faster. Only a new statement sees what it committed.
        if let Some(identity) = Login::owner(conn, key).await? {
            return Ok(SignedIn { identity, change: Change::None });
        }
    }
    Err(Error::Contended)
}

/// Links a user to the identity that the caller named, if that is a guest.
async fn link(
    conn: &mut PgConnection,
    pool: &Pool,
    named: &IdentityId,
    key: &LoginKey,
    user: &DeveloperUser,
    owner: Option<Uuid>,
) -> Result<SignedIn> {
    let not_found = || Error::IdentityNotFound(named.to_string());
    if named.region != pool.id.region {
        return Err(not_found());
    }
    let target = Identity::find(conn, pool, named.uuid).await?.ok_or_else(not_found)?;
    if target.state == State::Disabled {
        return Err(Error::IdentityForbidden(named.to_string()));
    }
    if owner.is_some() {
        return Err(registered_elsewhere());
    }
    for _ in 0..MAX_RACES {
        let mut tx = sqlx::Connection::begin(&mut *conn).await?;
        match identity::lock(&mut tx, target.located()).await? {
            None => return Err(not_found()),
            Some(State::Disabled) => return Err(Error::IdentityForbidden(named.to_string())),
            Some(State::Enabled) => {}
        }
        if !Login::of_identity(&mut tx, pool, target.uuid).await?.is_empty() {
            tx.rollback().await?;
            return match Login::owner(conn, key).await? {
                // This very user was linked meanwhile, by a call that ran beside this one.
                Some(identity) if identity == target.uuid => Ok(SignedIn { identity, change: Change::None }),
                Some(_) => Err(registered_elsewhere()),
                None => Err(Error::LoginsDontMatch),
            };
        }
        if login::insert(&mut tx, key, user, target.uuid).await? {
            identity::touch(&mut tx, target.located()).await?;
            tx.commit().await?;
            if pool.spread > 1 {
                match aftercheck::after_link(conn, pool, target.located(), key).await? {
                    None => return Err(not_found()),
                    Some(State::Disabled) => return Err(Error::IdentityForbidden(named.to_string())),
                    Some(State::Enabled) => {}
                }
            }
            return Ok(SignedIn { identity: target.uuid, change: Change::Linked });
        }
        tx.rollback().await?;
        match Login::owner(conn, key).await? {
            Some(identity) if identity == target.uuid => return Ok(SignedIn { identity, change: Change::None }),
            Some(_) => return Err(registered_elsewhere()),
            None => {}
        }
    }
    Err(Error::Contended)
}

/// The identity named is another than the one that the user is registered with.
///
/// For a named guest AWS documents two readings: this error, whose meaning it is, or an implicit merge into the user's
/// identity. No capture settles it; if AWS is found to merge, this is the place to change.
/// <https://docs.aws.amazon.com/cognitoidentity/latest/APIReference/API_GetOpenIdTokenForDeveloperIdentity.html>
fn registered_elsewhere() -> Error {
    Error::DeveloperUserAlreadyRegistered
}

/// Where an identity that owns a login lies.
pub(super) async fn locate(conn: &mut PgConnection, pool: &Pool, identity: Uuid) -> Result<Option<Located>> {
    Ok(Identity::find(conn, pool, identity).await?.map(|identity| identity.located()))
}
