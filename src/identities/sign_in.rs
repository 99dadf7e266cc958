//! Sign-in: from the logins that were proven to one identity, found, made, linked to, merged, or refused.
//!
//! The decision is made here, from what the database said a moment ago; `link.rs` writes it behind locks, and only if
//! everything is still as it was. Else it is decided anew.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::identity::{self, Identity, Located, State};
use super::link::{self, Join};
use super::login::{self, Candidate, DeveloperUser, Login};
use super::tried::{Commit, Tried};
use crate::error::{Error, Result};
use crate::ids::{self, IdentityId};
use crate::pools::Pool;
use crate::pools::providers::DEVELOPER;
use crate::upstream::VerifiedLogin;

/// How often a transaction that lost a race starts over.
pub(super) const MAX_RACES: u32 = 5;

/// Who asks, with everything that was proven of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Claim<'a> {
    /// The identity that the caller named.
    pub named: Option<&'a IdentityId>,
    /// The user whom the caller's developer credentials vouch for.
    pub developer: Option<&'a DeveloperUser>,
    /// The logins whose tokens held.
    pub public: &'a [VerifiedLogin],
}

impl Claim<'_> {
    /// The logins as rows that are there or could be, in the order in which all writers write them.
    pub(super) fn candidates(&self, pool: &Pool) -> Result<Vec<Candidate>> {
        let developer = self.developer.map(|user| Ok(user.candidate(pool)));
        let public = self.public.iter().map(|login| Candidate::public(pool, login));
        let mut candidates = developer.into_iter().chain(public).collect::<Result<Vec<_>>>()?;
        candidates.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(candidates)
    }
}

/// The identity that was signed in.
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
    /// Nothing: every login was known.
    None,
    /// A new identity was made.
    Created,
    /// A login was linked.
    Linked,
    /// Another identity was merged into this one, and is disabled now.
    Merged,
}

/// What is to be done.
enum Plan {
    Stay(Uuid),
    Create,
    Join(Join),
}

/// Signs in. One round trip when a single login is known and is that of whoever was named.
///
/// # Errors
/// [`Error::IdentityNotFound`], [`Error::IdentityForbidden`], [`Error::LoginsDontMatch`],
/// [`Error::DeveloperUserAlreadyRegistered`], [`Error::SecondUserOfProvider`] or [`Error::TooManyLogins`], with nothing
/// changed; or if the database fails.
pub async fn sign_in(
    conn: &mut PgConnection,
    pool: &Pool,
    claim: &Claim<'_>,
    login_limit: u32,
    tried: &mut Tried<SignedIn>,
) -> Result<SignedIn> {
    if let Some(done) = tried.outcome(conn).await? {
        return Ok(done);
    }
    let candidates = claim.candidates(pool)?;
    for _ in 0..MAX_RACES {
        let owners = owners(conn, &candidates).await?;
        let plan = match plan(conn, pool, claim, &candidates, &owners).await {
            // The refusal may rest on logins that moved while it was worked out.
            Err(refusal @ (Error::LoginsDontMatch | Error::DeveloperUserAlreadyRegistered)) => {
                if self::owners(conn, &candidates).await? == owners {
                    return Err(refusal);
                }
                continue;
            }
            plan => plan?,
        };
        let signed_in = match plan {
            None => None,
            Some(Plan::Stay(identity)) => Some(SignedIn { identity, change: Change::None }),
            Some(Plan::Create) => create(conn, &candidates, login_limit, tried).await?,
            Some(Plan::Join(join)) => link::join(conn, pool, &join, &candidates, &owners, login_limit, tried).await?,
        };
        if let Some(signed_in) = signed_in {
            return Ok(signed_in);
        }
    }
    Err(Error::Contended)
}

/// Who owns each login.
pub(super) async fn owners(conn: &mut PgConnection, candidates: &[Candidate]) -> Result<Vec<Option<Uuid>>> {
    let mut owners = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        owners.push(Login::owner(conn, &candidate.key).await?);
    }
    Ok(owners)
}

/// What the rules ask for; nothing if an identity has vanished meanwhile.
async fn plan(
    conn: &mut PgConnection,
    pool: &Pool,
    claim: &Claim<'_>,
    candidates: &[Candidate],
    owners: &[Option<Uuid>],
) -> Result<Option<Plan>> {
    let known: BTreeSet<Uuid> = owners.iter().flatten().copied().collect();
    let all_known = owners.iter().all(Option::is_some);
    let developer = candidates.iter().position(|candidate| candidate.key.provider_no == DEVELOPER);
    let developers_owner = developer.and_then(|at| owners.get(at).copied().flatten());
    let Some(named) = claim.named else {
        let survivor = match (developers_owner, known.len()) {
            (_, 0) => return Ok(Some(Plan::Create)),
            (Some(owner), _) => Some(owner),
            (None, _) => oldest(conn, pool, &known).await?,
        };
        return Ok(survivor.map(|survivor| to(survivor, None, known, all_known)));
    };
    // A disabled identity has no logins, so one that has these may be used.
    if all_known
        && !owners.is_empty()
        && known.iter().all(|owner| *owner == named.uuid && named.region == pool.id.region)
    {
        return Ok(Some(Plan::Stay(named.uuid)));
    }
    let not_found = || Error::IdentityNotFound(named.to_string());
    if named.region != pool.id.region {
        return Err(not_found());
    }
    let target = Identity::find(conn, pool, named.uuid).await?.ok_or_else(not_found)?;
    if target.state == State::Disabled {
        return Err(Error::IdentityForbidden(named.to_string()));
    }
    if developers_owner.is_some_and(|owner| owner != target.uuid) {
        return Err(registered_elsewhere());
    }
    if Login::of_identity(conn, pool, target.uuid).await?.is_empty() {
        // A guest may be claimed by whoever knows its id: by new users as it is, by known ones into their own identity.
        let survivor = if known.is_empty() { Some(target.uuid) } else { oldest(conn, pool, &known).await? };
        return Ok(survivor.map(|survivor| to(survivor, Some(target.uuid), known, all_known)));
    }
    if known.contains(&target.uuid) {
        return Ok(Some(to(target.uuid, None, known, all_known)));
    }
    Err(Error::LoginsDontMatch)
}

/// All logins to `survivor`: those of everyone else known, and the new ones.
fn to(survivor: Uuid, guest: Option<Uuid>, known: BTreeSet<Uuid>, all_known: bool) -> Plan {
    let mut absorbed = known;
    absorbed.extend(guest);
    absorbed.remove(&survivor);
    if all_known && absorbed.is_empty() {
        return Plan::Stay(survivor);
    }
    Plan::Join(Join { survivor, absorbed, guest })
}

/// The one that has existed for longest: what survives where AWS does not say which. Nothing if one of them is gone.
async fn oldest(conn: &mut PgConnection, pool: &Pool, identities: &BTreeSet<Uuid>) -> Result<Option<Uuid>> {
    if identities.len() == 1 {
        return Ok(identities.first().copied());
    }
    let mut oldest: Option<Identity> = None;
    for uuid in identities {
        let Some(identity) = Identity::find(conn, pool, *uuid).await? else { return Ok(None) };
        if oldest.as_ref().is_none_or(|oldest| identity.created_at < oldest.created_at) {
            oldest = Some(identity);
        }
    }
    Ok(oldest.map(|identity| identity.uuid))
}

/// Makes an identity for logins that nobody knew a moment ago; nothing if another call was faster.
async fn create(
    conn: &mut PgConnection,
    candidates: &[Candidate],
    login_limit: u32,
    tried: &mut Tried<SignedIn>,
) -> Result<Option<SignedIn>> {
    let Some(first) = candidates.first() else { return Err(Error::LoginsDontMatch) };
    login::check_count(candidates.len(), login_limit)?;
    let fresh = ids::new_identity_uuid(first.key.route)?;
    let mut tx = sqlx::Connection::begin(&mut *conn).await?;
    for candidate in candidates {
        if !login::insert(&mut tx, candidate, fresh).await? {
            tx.rollback().await?;
            return Ok(None);
        }
    }
    identity::insert(&mut tx, first.key.route, fresh).await?;
    let made = Commit::Made(Located { route: first.key.route, uuid: fresh });
    Ok(Some(tried.commit(tx, made, SignedIn { identity: fresh, change: Change::Created }).await?))
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
