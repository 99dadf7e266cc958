//! Who is asking: from a signature to a verified caller, whose pools it may then find.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::request::Parts;
use sqlx::postgres::PgConnection;

use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{AccessKeyId, AccountId, PoolId, Region};
use crate::pools::Pool;
use crate::retry;
use crate::sigv4::{self, Refusal, Rules, Timely};
use crate::tenants::access_key::{self, AccessKey, Secret, UsableKey};
use crate::tenants::remembered_key::RememberedKey;
use crate::tenants::tenant::Tenant;

/// A caller whose signature was verified.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The tenant it speaks for.
    pub account_id: AccountId,
    /// The access key it signed with.
    pub access_key_id: AccessKeyId,
    /// The region that its signature names.
    pub region: Region,
}

impl Caller {
    /// Its Amazon Resource Name: the access key as a user of the account.
    #[must_use]
    pub fn arn(&self) -> String {
        format!("arn:{}:iam::{}:user/{}", self.region.partition(), self.account_id, self.access_key_id)
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
            None => self.read_pool(app, &id).await,
        }
    }

    /// The same from the database, to be remembered from now on.
    ///
    /// # Errors
    /// [`Error::PoolNotFound`], or if the database fails.
    pub async fn read_pool(&self, app: &App, id: &PoolId) -> Result<Arc<Pool>> {
        let read_at = app.moment();
        let pool = Arc::new(retry!(app.db, |conn| { self.pool(conn, &id.to_string()).await })?);
        app.pools.put(read_at, (self.account_id.clone(), id.clone()), Arc::clone(&pool));
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
pub async fn authenticate(app: &App, parts: &Parts, body: &[u8], rules: &Rules<'_>) -> Result<Caller> {
    let presented = sigv4::parse(parts, rules)?.check_time(app.clock.wall())?;
    let Some(id) = AccessKeyId::parse(presented.access_key_id()) else {
        return Err(presented.refuse_unknown_key(body).into());
    };
    // Long-lived keys have no session token: one that comes along belongs to other credentials.
    if presented.session_token().is_some() {
        return Err(presented.refuse_unknown_key(body).into());
    }
    let key = match app.access_keys.get(&id, app.moment()) {
        Some(key) if presented.verify(&key.signing_key(&presented), body).is_ok() => key,
        // Unknown, or changed since it was remembered: only the database may refuse.
        _ => verify_with_stored_key(app, &presented, &id, body).await?,
    };
    app.note_use(&id);
    let caller =
        Caller { account_id: key.key.account_id.clone(), access_key_id: id, region: presented.region().clone() };
    app.limits.admit_account(&caller.account_id)?;
    Ok(caller)
}

async fn verify_with_stored_key(
    app: &App,
    presented: &Timely<'_>,
    id: &AccessKeyId,
    body: &[u8],
) -> Result<Arc<RememberedKey>> {
    let read_at = app.moment();
    let stored = retry!(app.db, |conn| { AccessKey::usable(conn, &app.seal, id).await })?;
    let key = match stored {
        Some(key) => Arc::new(RememberedKey::new(key)),
        None if app.makes_dev_keys && AccountId::parse(id.as_str()).is_some() => {
            return make_dev_key(app, presented, id, body).await;
        }
        None => return Err(presented.refuse_unknown_key(body).into()),
    };
    presented.verify(&key.signing_key(presented), body)?;
    app.access_keys.put(read_at, id.clone(), Arc::clone(&key));
    Ok(key)
}

/// Dev mode: an account number is an access key of that account, and both are made at its first use.
async fn make_dev_key(app: &App, presented: &Timely<'_>, id: &AccessKeyId, body: &[u8]) -> Result<Arc<RememberedKey>> {
    let account_id = AccountId::parse(id.as_str()).ok_or(Refusal::UnknownKey)?;
    let secret = Secret::new(access_key::DEV_SECRET);
    let key = UsableKey { id: id.clone(), account_id: account_id.clone(), secret: secret.clone(), policy: None };
    let key = RememberedKey::new(key);
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
