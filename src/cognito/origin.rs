//! Browser pages and dev mode: any web page knows `test`/`test`, so only pages of trusted origins may sign with it.

use axum::http::{HeaderMap, header};

use crate::app::App;
use crate::error::{Error, Result};

/// Refuses a signed request that a browser page of a foreign origin sent, while anyone knows the credentials.
///
/// # Errors
/// [`Error::ForeignOrigin`]
pub fn check(app: &App, headers: &HeaderMap) -> Result<()> {
    let dev = &app.config.dev;
    if !(app.makes_dev_keys || dev.allow_dev_credentials) {
        return Ok(());
    }
    let mut origins = headers.get_all(header::ORIGIN).iter().map(|origin| origin.to_str().unwrap_or("?"));
    let foreign =
        origins.find(|origin| !is_loopback(origin) && !dev.allowed_origins.iter().any(|allowed| allowed == origin));
    foreign.map_or(Ok(()), |origin| Err(Error::ForeignOrigin(origin.to_owned())))
}

/// `http://localhost:3000`, `https://127.0.0.1`, `http://[::1]:80` and their like.
fn is_loopback(origin: &str) -> bool {
    let Some((_, authority)) = origin.split_once("://") else { return false };
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_origins_are_told_from_others() {
        for origin in ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:80", "http://app.localhost"] {
            assert!(is_loopback(origin), "{origin}");
        }
        for origin in ["null", "https://evil.example", "http://localhost.evil.example", "http://127.0.0.1.evil.example"]
        {
            assert!(!is_loopback(origin), "{origin}");
        }
    }
}
