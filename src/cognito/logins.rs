//! `Logins` of a request: which keys they may have, and the proof of each.

use std::collections::BTreeMap;

use crate::app::App;
use crate::cache::Moment;
use crate::error::{Error, Result};
use crate::iam::{OidcProvider, SamlProvider};
use crate::identities::taken;
use crate::pools::Pool;
use crate::retry;
use crate::upstream::trust::saml_name;
use crate::upstream::{Declared, Trust, VerifiedLogin};

/// The map of the wire: a token or a user by its provider's login key.
pub type Logins = BTreeMap<String, String>;

/// The keys under which the service's own tokens are given as logins.
const OWN_LOGIN_KEYS: [&str; 2] = ["cognito-identity.amazonaws.com", "cognito-identity.cn-north-1.amazonaws.com.cn"];

/// Takes the service's own token out of the logins.
pub fn take_own_token(logins: &mut Logins) -> Option<String> {
    OWN_LOGIN_KEYS.iter().find_map(|key| logins.remove(*key))
}

/// Refuses what is no public login of this pool: before any token is looked at.
///
/// # Errors
/// [`Error::OwnTokenAsLogin`], [`Error::DeveloperProviderNotPublic`] or [`Error::ProviderNotSupported`].
pub fn check_keys(pool: &Pool, logins: &Logins) -> Result<()> {
    if logins.keys().any(|key| OWN_LOGIN_KEYS.contains(&key.as_str())) {
        return Err(Error::OwnTokenAsLogin);
    }
    if logins.keys().any(|key| pool.settings.developer_provider.as_ref() == Some(key)) {
        return Err(Error::DeveloperProviderNotPublic);
    }
    let public = pool.settings.providers.login_keys();
    if logins.keys().any(|key| !public.contains(key.as_str())) {
        return Err(Error::ProviderNotSupported);
    }
    Ok(())
}

/// Verifies the proofs of public logins: all hold, or none counts. No connection is held while issuers are asked. What is
/// good once has then been taken by this operation. `read_at` is the moment before the pool was read.
///
/// # Errors
/// [`Error::ProviderNotSupported`] for a provider whose logins are not taken, or that is not declared; what
/// [`Upstream::verify`](crate::upstream::Upstream::verify) or [`taken::take`] refuses. [`Error::PoolNotFound`] too, if the
/// pool was deleted while issuers were asked.
pub async fn verify(
    app: &App,
    pool: &Pool,
    read_at: Option<Moment>,
    logins: Logins,
    operation: &str,
) -> Result<Vec<VerifiedLogin>> {
    let keys: Vec<String> = logins.keys().cloned().collect();
    let declared = declared(app, pool, &keys).await?;
    let trusted = logins.into_iter().map(|(key, proof)| {
        let trust = Trust::of(pool, &key, &declared).ok_or(Error::ProviderNotSupported)?;
        Ok((trust, proof))
    });
    let verified = app.upstream.verify(trusted.collect::<Result<_>>()?).await?;
    // An issuer can take its time, and a pool that was deleted meanwhile issues nothing.
    if !verified.is_empty() && (read_at.is_none() || app.moment() != read_at) {
        let found = retry!(app.db, |conn| { Pool::find_public(conn, &pool.id).await })?;
        let now = found.ok_or_else(|| Error::PoolNotFound(pool.id.to_string()))?;
        let public = now.settings.providers.login_keys();
        if keys.iter().any(|key| !public.contains(key.as_str())) {
            return Err(Error::ProviderNotSupported);
        }
    }
    // Before anyone is signed in. Whoever fails after this for a passing reason has to sign in at the provider again.
    if verified.iter().any(|login| login.once().is_some()) {
        let call = taken::Call::new(&pool.account_id, operation)?;
        retry!(app.db, |conn| { taken::take(conn, call, &verified).await })?;
    }
    Ok(verified)
}

/// What the pool's tenant has declared in IAM under these keys.
async fn declared(app: &App, pool: &Pool, keys: &[String]) -> Result<Declared> {
    let names: Vec<String> = keys.iter().filter_map(|key| saml_name(pool, key)).map(str::to_owned).collect();
    let is_open_id = !pool.settings.providers.openid_connect_arns.is_empty() && names.len() < keys.len();
    if names.is_empty() && !is_open_id {
        return Ok(Declared::default());
    }
    retry!(app.db, |conn| {
        let mut declared = Declared::default();
        if is_open_id {
            declared.openid_connect = OidcProvider::of_urls(conn, &pool.account_id, keys).await?;
        }
        if !names.is_empty() {
            declared.saml = SamlProvider::of_names(conn, &pool.account_id, &names).await?;
        }
        Ok(declared)
    })
}
