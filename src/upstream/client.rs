//! The HTTP clients that fetch: whom they trust, how long they wait, and that they go nowhere but where they are sent.

use std::error::Error as StdError;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Certificate, Client, redirect};

use super::resolver::{Lookup, Resolver, System};
use crate::config;
use crate::error::{Error, Result};

/// Connections to an endpoint of the operator's that are kept while idle.
const KEPT_CONNECTIONS: usize = 16;

/// How long they are: not so long as servers and balancers keep them, of which most wait a minute.
const KEPT_FOR: Duration = Duration::from_secs(20);

/// A client for an endpoint of the operator's, which is asked again and again: it keeps its connections.
///
/// # Errors
/// As [`client`].
pub fn keeping_client(config: &config::Upstream, timeout: Duration) -> Result<Client> {
    build(
        &config::Upstream { fetch_timeout: timeout, ..config.clone() },
        None,
        &(Arc::new(System) as Arc<dyn Lookup>),
        KEPT_CONNECTIONS,
    )
}

/// A client that goes where a URL says and nowhere else. With `admitted`, only addresses of the public network and of
/// these networks are connected to. Names have the addresses that `lookup` says, but for those of `upstream.hosts`.
///
/// # Errors
/// [`Error::Refused`] if `upstream.ca_file` cannot be read, or holds no certificates.
pub fn client(
    config: &config::Upstream,
    admitted: Option<&[(IpAddr, u8)]>,
    lookup: &Arc<dyn Lookup>,
) -> Result<Client> {
    build(config, admitted, lookup, 0)
}

fn build(
    config: &config::Upstream,
    admitted: Option<&[(IpAddr, u8)]>,
    lookup: &Arc<dyn Lookup>,
    kept: usize,
) -> Result<Client> {
    let own = certificates(config)?;
    let build = |only_own: bool| {
        let guarded = admitted.is_some();
        let builder = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .https_only(guarded)
            .connect_timeout(config.connect_timeout)
            .timeout(config.fetch_timeout)
            .pool_max_idle_per_host(kept)
            .pool_idle_timeout(KEPT_FOR)
            .user_agent(concat!("symbolon/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Resolver::new(&config.hosts, admitted, Arc::clone(lookup)));
        let own = own.iter().cloned();
        if only_own { builder.tls_certs_only(own) } else { builder.tls_certs_merge(own) }.build()
    };
    match build(false) {
        Ok(client) => Ok(client),
        Err(error) if !own.is_empty() => Err(bad_ca_file(config, &reasons(&error))),
        Err(error) => {
            // A machine without any authorities can still serve those who have no such logins.
            let reason = reasons(&error);
            tracing::warn!(
                reason,
                "no issuer of login tokens can be reached: install the system's CA certificates, or set upstream.ca_file"
            );
            build(true).map_err(Error::internal)
        }
    }
}

/// The certificates of `upstream.ca_file`.
fn certificates(config: &config::Upstream) -> Result<Vec<Certificate>> {
    if config.ca_file.as_os_str().is_empty() {
        return Ok(Vec::new());
    }
    let text = std::fs::read(&config.ca_file).map_err(|error| bad_ca_file(config, &error.to_string()))?;
    let found = Certificate::from_pem_bundle(&text).map_err(|error| bad_ca_file(config, &reasons(&error)))?;
    if found.is_empty() { Err(bad_ca_file(config, "it holds no certificate in PEM")) } else { Ok(found) }
}

fn bad_ca_file(config: &config::Upstream, why: &str) -> Error {
    Error::Refused(format!(
        "upstream.ca_file: {}: {why}; name a readable file of CA certificates in PEM, or leave it empty",
        config.ca_file.display()
    ))
}

/// An error with its causes.
fn reasons(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
