//! The URL of an OpenID Connect provider: which issuers can be declared, and what is kept of their URL.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::config::Upstream;
use crate::error::{Error, Result};

/// What is kept of an issuer's URL: host and path, with a slash at the end if it has one.
///
/// # Errors
/// [`Error::InvalidParameter`] unless it begins with `https://` and names a host in full, without user information, query and
/// fragment, and without a port that no setting admits
/// (<https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateOpenIDConnectProvider.html>, `Url`).
pub fn parse(url: &str, config: &Upstream) -> Result<String> {
    let refuse = |why: &str| Err(Error::InvalidParameter(format!("Invalid Open ID Connect Provider URL. {why}")));
    if let Some(kept) = url.strip_prefix("http://")
        && config.allow_http_issuers.iter().any(|admitted| admitted == url)
    {
        return Ok(kept.to_owned());
    }
    let Some(kept) = url.strip_prefix("https://") else {
        return refuse("The URL must begin with https://, or be named as a whole in upstream.allow_http_issuers.");
    };
    if kept.contains(['?', '#']) {
        return refuse("The URL must not have a query or a fragment.");
    }
    let authority = kept.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        return refuse("The URL must not have user information.");
    }
    let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
    if !is_host(host) {
        return refuse("The URL must name a host.");
    }
    // Its keys would never be fetched.
    if !host.contains('.') || host.parse::<Ipv4Addr>().is_ok() {
        return refuse("The host must be a full name with a dot in it, such as idp.example.com, and no address.");
    }
    if !kept.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%/".contains(&byte)) {
        return refuse("The URL holds a character that belongs in no path; percent-encode it.");
    }
    let admitted: BTreeSet<String> = config.allow_ports.iter().map(ToString::to_string).collect();
    if port.is_some_and(|port| !admitted.contains(port)) {
        return refuse("The URL must not have a port, but for those that upstream.allow_ports names.");
    }
    Ok(kept.to_owned())
}

/// Labels of letters, digits and dashes, with dots between them.
fn is_host(text: &str) -> bool {
    text.split('.').all(|label| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};

    fn upstream() -> Upstream {
        let mut upstream = Config::read(&Sources::default()).unwrap().upstream;
        upstream.allow_ports = vec![8443];
        upstream.allow_http_issuers = vec!["http://127.0.0.1:9000/realm".into(), "http://[::1]:9000".into()];
        upstream
    }

    #[test]
    fn the_url_is_kept_without_its_scheme() {
        for (url, kept) in [
            ("https://idp.example.com", "idp.example.com"),
            ("https://tenant.auth0.com/", "tenant.auth0.com/"),
            ("https://IdP.example.com/realms/A@b%20", "IdP.example.com/realms/A@b%20"),
            ("https://idp.example.com:8443/x", "idp.example.com:8443/x"),
            ("http://127.0.0.1:9000/realm", "127.0.0.1:9000/realm"),
            ("http://[::1]:9000", "[::1]:9000"),
        ] {
            assert_eq!(parse(url, &upstream()).unwrap(), kept);
        }
    }

    #[test]
    fn urls_of_no_issuer_are_refused_with_the_reason() {
        for (url, why) in [
            ("idp.example.com", "begin with https://"),
            ("http://idp.example.com", "begin with https://"),
            ("http://127.0.0.1:9000/realm/", "begin with https://"),
            ("HTTPS://idp.example.com", "begin with https://"),
            ("https://", "name a host"),
            ("https:///path", "name a host"),
            ("https://a..b", "name a host"),
            ("https://-a.example.com", "name a host"),
            ("https://a_b.example.com", "name a host"),
            ("https://idp\u{e9}.example.com", "name a host"),
            ("https://[::1]/", "name a host"),
            ("https://localhost", "a full name with a dot"),
            ("https://127.0.0.1:4720", "a full name with a dot"),
            ("http://idp.example.com", "upstream.allow_http_issuers"),
            ("https://idp.example.com?a=b", "query or a fragment"),
            ("https://idp.example.com/#", "query or a fragment"),
            ("https://user:pass@idp.example.com", "user information"),
            ("https://idp.example.com:443", "upstream.allow_ports"),
            ("https://idp.example.com:", "upstream.allow_ports"),
            ("https://idp.example.com:08443", "upstream.allow_ports"),
            ("https://idp.example.com/a b", "percent-encode"),
            ("https://idp.example.com/\u{e9}", "percent-encode"),
        ] {
            let refused = parse(url, &upstream()).unwrap_err();
            let Error::InvalidParameter(text) = &refused else { panic!("{url}: {refused:?}") };
            assert!(text.starts_with("Invalid Open ID Connect Provider URL. ") && text.contains(why), "{url}: {text}");
        }
    }
}
