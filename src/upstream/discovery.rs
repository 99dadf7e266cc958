//! From an issuer to its keys: the discovery document, and the JWK Set that it names.

use std::time::Duration;

use reqwest::Url;
use serde_json::Value;

use super::fetch::{Document, FETCH_TIMEOUT, Failure, Fetcher};
use super::issuer::{KeysAt, NamedBy};
use super::key_set::KeySet;

/// An issuer's keys as they were fetched.
#[derive(Debug)]
pub struct Published {
    /// The keys.
    pub keys: KeySet,
    /// For how long the issuer says that they may be kept.
    pub max_age: Option<Duration>,
}

/// Fetches an issuer's keys, within `patience` for all of it.
///
/// # Errors
/// If a document cannot be fetched, or does not say what it must.
pub async fn fetch(fetcher: &Fetcher, keys_at: &KeysAt, patience: Duration) -> Result<Published, Failure> {
    tokio::time::timeout(patience, published(fetcher, keys_at))
        .await
        .unwrap_or_else(|_| Err(Failure::timeout(FETCH_TIMEOUT)))
}

async fn published(fetcher: &Fetcher, keys_at: &KeysAt) -> Result<Published, Failure> {
    let Document { content, max_age } = match keys_at {
        KeysAt::Url(url) => fetcher.get(url, NamedBy::Operator).await?,
        KeysAt::Discovery { issuer, named_by } => {
            let (url, named_by) = locate(fetcher, issuer, *named_by).await?;
            fetcher.get(&url, named_by).await?
        }
    };
    let keys = KeySet::read(&content).map_err(|why| Failure::bad_document(format!("the key set: {why}")))?;
    Ok(Published { keys, max_age })
}

/// The URL of an issuer's keys, by its discovery document (OpenID Connect Discovery 1.0 section 4), and on whose word
/// it is fetched.
async fn locate(fetcher: &Fetcher, issuer: &str, named_by: NamedBy) -> Result<(String, NamedBy), Failure> {
    if issuer.contains('?') {
        return Err(Failure::refused_url("an issuer has no query"));
    }
    let url = format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(issuer));
    let document = fetcher.get(&url, named_by).await?.content;
    if document.get("issuer").and_then(Value::as_str) != Some(issuer) {
        return Err(Failure::bad_document("the discovery document is of another issuer"));
    }
    let Some(keys) = document.get("jwks_uri").and_then(Value::as_str) else {
        return Err(Failure::bad_document("the discovery document names no jwks_uri"));
    };
    // The operator has vouched for this origin, and for no other that a document may name.
    let named_by = if same_origin(issuer, keys) { named_by } else { NamedBy::Tenant };
    Ok((keys.to_owned(), named_by))
}

fn same_origin(one: &str, other: &str) -> bool {
    matches!((Url::parse(one), Url::parse(other)), (Ok(one), Ok(other)) if one.origin() == other.origin())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        assert!(same_origin("http://localhost:9229/pool", "http://localhost:9229/keys"));
        assert!(same_origin("https://idp.test/", "https://idp.test:443/keys"));
        for other in ["http://localhost:9228/keys", "https://localhost:9229/keys", "http://127.0.0.1:9229/", "keys", ""]
        {
            assert!(!same_origin("http://localhost:9229/pool", other), "{other}");
        }
    }
}
