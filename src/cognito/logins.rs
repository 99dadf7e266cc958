//! `Logins` of a request: which keys they may have, and the proof of each.

use std::collections::BTreeMap;

use crate::app::App;
use crate::error::{Error, Result};
use crate::iam::OidcProvider;
use crate::pools::Pool;
use crate::retry;
use crate::upstream::{Trust, VerifiedLogin};

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

/// Verifies the tokens of public logins: all hold, or none counts. No connection is held while issuers are asked.
///
/// # Errors
/// [`Error::ProviderNotSupported`] for a provider whose logins are not taken, or that is not declared; what
/// [`Upstream::verify`](crate::upstream::Upstream::verify) refuses. [`Error::PoolNotFound`] too, if the pool was
/// deleted while issuers were asked.
pub async fn verify(app: &App, pool: &Pool, logins: Logins) -> Result<Vec<VerifiedLogin>> {
    let before = app.moment();
    let keys: Vec<String> = logins.keys().cloned().collect();
    let declared = if pool.settings.providers.openid_connect_arns.is_empty() {
        Vec::new()
    } else {
        retry!(app.db, |conn| { OidcProvider::of_urls(conn, &pool.account_id, &keys).await })?
    };
    let trusted = logins.into_iter().map(|(key, token)| {
        let trust = Trust::of(pool, &key, &declared).ok_or(Error::ProviderNotSupported)?;
        Ok((trust, token))
    });
    let verified = app.upstream.verify(trusted.collect::<Result<_>>()?).await?;
    // An issuer can take its time, and a pool that was deleted meanwhile issues nothing.
    if !verified.is_empty() && (before.is_none() || app.moment() != before) {
        let found = retry!(app.db, |conn| { Pool::find_public(conn, &pool.id).await })?;
        let now = found.ok_or_else(|| Error::PoolNotFound(pool.id.to_string()))?;
        let public = now.settings.providers.login_keys();
        if keys.iter().any(|key| !public.contains(key.as_str())) {
            return Err(Error::ProviderNotSupported);
        }
    }
    Ok(verified)
}
