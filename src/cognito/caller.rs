//! Who is asking: from a signature to someone verified, and from there to a caller whose pools may be found.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::request::Parts;
use sqlx::postgres::PgConnection;

use crate::app::App;
use crate::cache::Moment;
use crate::error::{Error, NotAllowed, Result};
use crate::ids::{AccessKeyId, AccountId, PoolId, Region};
use crate::installation;
use crate::policy::{Context, Decision, Policy, Question};
use crate::pools::Pool;
use crate::request::Envelope;
use crate::retry;
use crate::sigv4::{self, Refusal, Rules, Service, SigningKey, Timely};
use crate::tenants::access_key::{self, AccessKey, Secret, UsableKey};
use crate::tenants::remembered_key::RememberedKey;
use crate::tenants::tenant::{Status, Tenant};
use crate::tokens::session::Session;

/// Someone whose signature holds. Who that is may be told; whether it may do anything is not decided yet.
#[derive(Debug)]
pub struct Verified {
    /// The tenant it speaks for.
    pub account_id: AccountId,
    /// The region that its signature names.
    pub region: Region,
    /// The service that its signature is for.
    pub service: Service,
    principal: Principal,
    address: IpAddr,
    secure: bool,
    /// Kept where a policy may ask for it.
    user_agent: Option<String>,
}

/// What a request was signed with.
#[derive(Debug)]
enum Principal {
    /// An access key, perhaps one that was remembered.
    Key(Arc<RememberedKey>),
    /// Credentials of a role session.
    Session(Session),
}

impl Verified {
    /// Its Amazon Resource Name: the access key as a user of the account, or the session.
    #[must_use]
    pub fn arn(&self) -> String {
        match &self.principal {
            Principal::Key(key) => user_arn(&self.region, &self.account_id, &key.key.id),
            Principal::Session(session) => session.arn(self.region.partition()),
        }
    }

    /// Its unique id.
    #[must_use]
    pub fn user_id(&self) -> String {
        match &self.principal {
            Principal::Key(key) => key.key.id.to_string(),
            Principal::Session(session) => session.user_id(),
        }
    }

    /// Where the request came from.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Whether it is a session of a role, which has no rights: nothing need be looked up to refuse it, and so the refusal
    /// tells nothing of what is there.
    #[must_use]
    pub fn is_session(&self) -> bool {
        matches!(self.principal, Principal::Session(_))
    }

    /// A caller who may do everything in its tenant, as an access key without a policy may.
    ///
    /// # Errors
    /// Itself, if what it may do depends on what it is done to.
    pub fn unrestricted(self) -> Result<Caller, Box<Self>> {
        match &self.principal {
            Principal::Key(key) if key.key.policy.is_none() => {
                let access_key_id = key.key.id.clone();
                Ok(Caller { access_key_id, account_id: self.account_id, region: self.region })
            }
            _ => Err(Box::new(self)),
        }
    }

    /// A caller, if it may do `action` to each of `resources`, and is denied none of `other_names`, by which the same
    /// are known elsewhere.
    ///
    /// # Errors
    /// [`Error::NotAllowed`] for the first that it may not, [`Error::Signature`] if its key has gone meanwhile, or if the
    /// database fails.
    pub async fn authorize(
        self,
        app: &App,
        action: &str,
        resources: &[String],
        other_names: &[String],
    ) -> Result<Caller> {
        let key = match &self.principal {
            Principal::Key(key) => key,
            // Sessions have no rights of their own: nothing here is theirs but their name.
            Principal::Session(_) => {
                let resource = resources.first().map_or("*", String::as_str);
                return Err(self.not_allowed(action, resource, Decision::NotAllowed));
            }
        };
        let context = self.context(app);
        let refusal = |policy: Option<&Policy>| {
            let decide = |resource: &String| match policy {
                Some(policy) => policy.decide(&Question { action, resource, context: &context }),
                None => Decision::Allowed,
            };
            let decided = |name| (name, decide(name));
            let refused = resources.iter().map(decided).find(|(_, decision)| *decision != Decision::Allowed);
            let denied = || other_names.iter().map(decided).find(|(_, decision)| *decision == Decision::ExplicitDeny);
            refused.or_else(denied)
        };
        if refusal(key.key.policy.as_deref()).is_some() {
            // The policy may have been remembered: only the database may refuse.
            let now = retry!(app.db, |conn| { AccessKey::usable(conn, &app.seal, &key.key.id).await })?;
            let now = now.ok_or(Refusal::UnknownKey)?;
            if let Some((resource, decision)) = refusal(now.policy.as_deref()) {
                return Err(self.not_allowed(action, resource, decision));
            }
        }
        Ok(Caller { access_key_id: key.key.id.clone(), account_id: self.account_id, region: self.region })
    }

    fn not_allowed(&self, action: &str, resource: &str, decision: Decision) -> Error {
        Error::NotAllowed(Box::new(NotAllowed {
            caller: self.arn(),
            action: action.to_owned(),
            resource: resource.to_owned(),
            explicit: decision == Decision::ExplicitDeny,
        }))
    }

    /// What is known of the request, by the names that conditions have for it
    /// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>).
    fn context(&self, app: &App) -> Context {
        let now = app.clock.wall().unix_timestamp().to_string();
        let mut context = Context::new();
        context.set("aws:SourceIp", self.address.to_string());
        context.set("aws:CurrentTime", now.as_str());
        context.set("aws:EpochTime", now);
        context.set("aws:SecureTransport", self.secure.to_string());
        context.set("aws:RequestedRegion", self.region.as_str());
        context.set("aws:PrincipalArn", self.arn());
        context.set("aws:PrincipalAccount", self.account_id.as_str());
        context.set("aws:PrincipalType", "User");
        context.set("aws:userid", self.user_id());
        context.set("aws:username", self.user_id());
        if let Some(agent) = &self.user_agent {
            context.set("aws:UserAgent", agent.as_str());
        }
        context
    }
}

fn user_arn(region: &Region, account: &AccountId, key: &AccessKeyId) -> String {
    format!("arn:{}:iam::{account}:user/{key}", region.partition())
}

/// A caller who may do what it asks for.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The tenant it speaks for.
    pub account_id: AccountId,
    /// The region that its signature names.
    pub region: Region,
    access_key_id: AccessKeyId,
}

impl Caller {
    /// Its Amazon Resource Name: the access key as a user of the account.
    #[must_use]
    pub fn arn(&self) -> String {
        user_arn(&self.region, &self.account_id, &self.access_key_id)
    }

    /// The refusal of something that no policy could allow.
    #[must_use]
    pub fn not_allowed(&self, action: String, resource: &str) -> Error {
        let (caller, resource) = (self.arn(), resource.to_owned());
        Error::NotAllowed(Box::new(NotAllowed { caller, action, resource, explicit: false }))
    }

    /// The caller's pool of this id, in the region of the call. A foreign one is as one that does not exist.
    ///
    /// # Errors
    /// [`Error::PoolNotFound`], or if the database fails.
    pub async fn pool(&self, conn: &mut PgConnection, id: &str) -> Result<Pool> {
        let not_found = || Error::PoolNotFound(id.to_owned());
        let parsed = PoolId::parse(id).filter(|id| id.region == self.region).ok_or_else(not_found)?;
        Pool::find(conn, &self.account_id, &parsed).await?.ok_or_else(not_found)
    }

    /// The same from memory, if it is there: for issuing tokens.
    ///
    /// # Errors
    /// [`Error::PoolNotFound`], or if the database fails.
    pub async fn remembered_pool(&self, app: &App, id: &str) -> Result<Arc<Pool>> {
        let parsed = PoolId::parse(id).filter(|id| id.region == self.region);
        let id = parsed.ok_or_else(|| Error::PoolNotFound(id.to_owned()))?;
        match app.pools.get(&(self.account_id.clone(), id.clone()), app.moment()) {
            Some(pool) => Ok(pool),
            None => Box::pin(self.read_pool(app, &id)).await,
        }
    }

    /// The same from the database, to be remembered from now on.
    ///
    /// # Errors
    /// [`Error::PoolNotFound`], or if the database fails.
    pub async fn read_pool(&self, app: &App, id: &PoolId) -> Result<Arc<Pool>> {
        let read_at = app.moment();
        let (at, pool) = retry!(app.db, |conn| {
            Ok((installation::epoch(conn).await?, Arc::new(self.pool(conn, &id.to_string()).await?)))
        })?;
        app.pools.put(not_before(read_at, at), (self.account_id.clone(), id.clone()), Arc::clone(&pool));
        Ok(pool)
    }
}

/// Someone who did not sign, as the operations for anyone do not ask for it.
#[derive(Clone, Copy, Debug)]
pub struct Visitor {
    /// Where the request came from.
    pub address: IpAddr,
}

impl Visitor {
    /// The pool of this id, whose ever it is.
    ///
    /// # Errors
    /// [`Error::PoolNotFound`], or if the database fails.
    pub async fn pool(&self, conn: &mut PgConnection, id: &str) -> Result<Pool> {
        let not_found = || Error::PoolNotFound(id.to_owned());
        let parsed = PoolId::parse(id).ok_or_else(not_found)?;
        Pool::find_public(conn, &parsed).await?.ok_or_else(not_found)
    }
}

/// Verifies the signature over the head and the raw body, of which nothing has been parsed yet.
///
/// # Errors
/// [`Error::Signature`], [`Error::RateExceeded`], or if the database fails.
pub async fn authenticate(
    app: &App,
    parts: &Parts,
    envelope: &Envelope,
    body: &[u8],
    rules: &Rules<'_>,
) -> Result<Verified> {
    let presented = sigv4::parse(parts, rules)?.check_time(app.clock.wall())?;
    let Some(id) = AccessKeyId::parse(presented.access_key_id()) else {
        return Err(presented.refuse_unknown_key(body).into());
    };
    let (account_id, principal) = if let Some(token) = presented.session_token() {
        Box::pin(verify_session(app, &presented, &id, token, body)).await?
    } else {
        let key = match app.access_keys.get(&id, app.moment()) {
            Some(key) if presented.verify(&key.signing_key(&presented), body).is_ok() => key,
            // Unknown, or changed since it was remembered: only the database may refuse.
            _ => Box::pin(verify_with_stored_key(app, &presented, &id, body)).await?,
        };
        app.note_use(&id);
        app.limits.admit_account(&key.key.account_id)?;
        (key.key.account_id.clone(), Principal::Key(key))
    };
    let user_agent = match &principal {
        Principal::Key(key) if key.key.policy.is_some() => parts.headers.get("user-agent"),
        _ => None,
    };
    let user_agent = user_agent.and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    let (region, service) = (presented.region().clone(), presented.service());
    let Envelope { address, secure, .. } = *envelope;
    Ok(Verified { account_id, region, service, principal, address, secure, user_agent })
}

/// The session of temporary credentials of ours. It does not count against its tenant's rate: guests have sessions, too, and
/// could shut the tenant's own keys out. Those of anyone else are as an access key that does not exist.
async fn verify_session(
    app: &App,
    presented: &Timely<'_>,
    id: &AccessKeyId,
    token: &str,
    body: &[u8],
) -> Result<(AccountId, Principal)> {
    let Ok((session, secret)) = Session::open(&app.seal, id, token) else {
        return Err(presented.refuse_unknown_key(body).into());
    };
    let (region, service) = (presented.region().as_str(), presented.service().name);
    presented.verify(&SigningKey::derive(secret.expose(), presented.date(), region, service), body)?;
    session.check_time(app.ring.now().unwrap_or_else(|| app.clock.wall()))?;
    let account_id = session.account_id().ok_or(Refusal::UnknownKey)?;
    app.ring.check_history()?;
    match retry!(app.db, |conn| { Tenant::find(conn, &account_id).await })? {
        Some(tenant) if tenant.status == Status::Enabled => Ok((account_id, Principal::Session(session))),
        _ => Err(Refusal::UnknownKey.into()),
    }
}

async fn verify_with_stored_key(
    app: &App,
    presented: &Timely<'_>,
    id: &AccessKeyId,
    body: &[u8],
) -> Result<Arc<RememberedKey>> {
    app.ring.check_history()?;
    let read_at = app.moment();
    let (at, stored) = retry!(app.db, |conn| {
        Ok((installation::epoch(conn).await?, AccessKey::usable(conn, &app.seal, id).await?))
    })?;
    let key = match stored {
        Some(key) => Arc::new(RememberedKey::new(key)),
        None if app.makes_dev_keys && AccountId::parse(id.as_str()).is_some() => {
            return make_dev_key(app, presented, id, body).await;
        }
        None => return Err(presented.refuse_unknown_key(body).into()),
    };
    presented.verify(&key.signing_key(presented), body)?;
    app.access_keys.put(not_before(read_at, at), id.clone(), Arc::clone(&key));
    Ok(key)
}

/// The moment of what was read when the database's epoch was `at`; nothing if that was before: a standby which lags said so.
fn not_before(moment: Option<Moment>, at: i64) -> Option<Moment> {
    moment.filter(|moment| moment.epoch <= at)
}

/// Dev mode: an account number is an access key of that account, and both are made at its first use.
async fn make_dev_key(app: &App, presented: &Timely<'_>, id: &AccessKeyId, body: &[u8]) -> Result<Arc<RememberedKey>> {
    let account_id = AccountId::parse(id.as_str()).ok_or(Refusal::UnknownKey)?;
    let secret = Secret::new(access_key::DEV_SECRET);
    let key = RememberedKey::new(UsableKey {
        id: id.clone(),
        account_id: account_id.clone(),
        secret: secret.clone(),
        policy: None,
    });
    presented.verify(&key.signing_key(presented), body)?;
    let usable = retry!(app.db, |conn| {
        let mut tx = sqlx::Connection::begin(conn).await?;
        Tenant::create(&mut tx, &account_id, &format!("dev {account_id}")).await?;
        AccessKey::create(&mut tx, &app.seal, id, &account_id, &secret).await?;
        tx.commit().await?;
        // Not usable even so: somebody disabled it, or its tenant.
        Ok(AccessKey::usable(&mut *conn, &app.seal, id).await?.is_some())
    })?;
    if usable { Ok(Arc::new(key)) } else { Err(Refusal::UnknownKey.into()) }
}
