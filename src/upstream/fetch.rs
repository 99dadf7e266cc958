//! Fetching a document of an issuer: whom we connect to, and how much of an answer we take.
//!
//! Tenants choose issuers, and issuers choose where their keys are; neither may choose what this machine talks to. So:
//! https to a host of the public network on an allowed port, by a name whose every address was checked, and to the
//! address that was checked; no proxy, no redirect, and an answer of bounded size, time and form.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue,
};
use reqwest::{Client, RequestBuilder, Response, Url};
use serde_json::{Map, Value};

use super::client::client;
use super::issuer::NamedBy;
use super::resolver::{Lookup, RefusedAddress, System};
use crate::config::{self, SocialEndpoint, network};
use crate::error::Result;
use crate::json;

/// The largest document that is read, in bytes.
const MAX_BYTES: usize = 256 * 1024;

/// The setting that bounds how long an answer may take.
pub(super) const FETCH_TIMEOUT: &str = "upstream.fetch_timeout";

/// Gets documents of issuers.
#[derive(Debug)]
pub struct Fetcher {
    guarded: Client,
    /// For what the operator names; only where something is named.
    trusting: Option<Client>,
    allow_ports: Vec<u16>,
}

/// A document that was fetched.
#[derive(Debug)]
pub struct Document {
    /// Its one JSON object.
    pub content: Map<String, Value>,
    /// For how long its sender says that it may be kept.
    pub max_age: Option<Duration>,
}

/// What somebody says who was asked about a token.
#[derive(Debug)]
pub enum Told {
    /// 200, and one JSON object.
    Yes(Map<String, Value>),
    /// 400, 401 or 403: it does not hold, unless the answer, empty where it is no JSON object, gives another reason.
    No(u16, Map<String, Value>),
}

/// Why nothing usable was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The label of `symbolon_upstream_fetch_total`.
    pub result: &'static str,
    /// For the log and the operator: without anything of a token.
    pub reason: String,
}

impl Failure {
    /// A URL that is not fetched.
    pub fn refused_url(reason: impl Into<String>) -> Self {
        Self { result: "refused_url", reason: reason.into() }
    }

    /// A document that is not what it should be.
    pub fn bad_document(reason: impl Into<String>) -> Self {
        Self { result: "bad_document", reason: reason.into() }
    }

    /// No answer within the time of this setting.
    #[must_use]
    pub fn timeout(setting: &str) -> Self {
        Self { result: "timeout", reason: format!("no whole answer within {setting}") }
    }

    /// An answer that is neither a yes nor a no.
    pub fn bad_status(reason: impl Into<String>) -> Self {
        Self { result: "bad_status", reason: reason.into() }
    }

    /// What stopped a request on its way, which may take the time of this setting.
    pub(super) fn on_the_way(error: reqwest::Error, setting: &str) -> Self {
        if error.is_timeout() {
            return Self::timeout(setting);
        }
        let error = error.without_url();
        let mut causes = vec![error.to_string()];
        let mut source = error.source();
        while let Some(cause) = source {
            if let Some(refused) = cause.downcast_ref::<RefusedAddress>() {
                return Self { result: "refused_address", reason: refused.to_string() };
            }
            causes.push(cause.to_string());
            source = cause.source();
        }
        Self { result: "unreachable", reason: causes.join(": ") }
    }
}

/// Counts the outcome of asking `provider`, and logs a failure.
pub fn count<T>(provider: &str, outcome: &Result<T, Failure>) {
    count_of("a login provider", provider, outcome);
}

/// The same of another kind of service: `what` it is, and the `provider` that it is.
pub(super) fn count_of<T>(what: &str, provider: &str, outcome: &Result<T, Failure>) {
    let result = match outcome {
        Ok(_) => "ok",
        Err(failure) => {
            let (result, reason) = (failure.result, failure.reason.as_str());
            tracing::warn!(provider, result, reason, "{what} could not be asked");
            failure.result
        }
    };
    metrics::counter!("symbolon_upstream_fetch_total", "result" => result).increment(1);
}

impl Fetcher {
    /// The clients that this configuration allows.
    ///
    /// # Errors
    /// [`Error::Refused`](crate::error::Error::Refused) if `upstream.ca_file` cannot be read, or holds no certificates.
    pub fn new(config: &config::Upstream) -> Result<Self> {
        Self::asking(config, &(Arc::new(System) as Arc<dyn Lookup>))
    }

    /// The same, with names looked up elsewhere than in the system.
    ///
    /// # Errors
    /// As [`Fetcher::new`].
    pub fn asking(config: &config::Upstream, lookup: &Arc<dyn Lookup>) -> Result<Self> {
        let names_urls = !config.allow_http_issuers.is_empty()
            || [&config.user_pool_issuer, &config.user_pool_jwks, &config.token_introspection]
                .iter()
                .any(|template| !template.is_empty())
            || config.social_endpoints().iter().any(SocialEndpoint::is_named);
        let admitted: Vec<_> = config.allow_private_issuers.iter().filter_map(|text| network(text)).collect();
        Ok(Self {
            guarded: client(config, Some(&admitted), lookup)?,
            trusting: if names_urls { Some(client(config, None, lookup)?) } else { None },
            allow_ports: config.allow_ports.clone(),
        })
    }

    /// Gets the document at `url`.
    ///
    /// # Errors
    /// If the URL is refused, nobody answers, or the answer is not one JSON object of a bounded size.
    pub async fn get(&self, url: &str, named_by: NamedBy) -> Result<Document, Failure> {
        let (client, url) = self.admit(url, named_by)?;
        read(client.get(url)).await
    }

    /// Posts a form to a URL of the operator's, and reads the answer.
    ///
    /// # Errors
    /// As [`Fetcher::get`].
    pub async fn post(&self, url: &str, form: String) -> Result<Document, Failure> {
        let (client, url) = self.admit(url, NamedBy::Operator)?;
        read(client.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form)).await
    }

    /// Asks about a token, which is in the URL or in the `Authorization` header.
    ///
    /// # Errors
    /// If the URL is refused, nobody answers, or the answer is neither a yes nor a no.
    pub async fn ask(&self, url: &str, authorization: Option<&str>, named_by: NamedBy) -> Result<Told, Failure> {
        let (client, url) = self.admit(url, named_by)?;
        let mut request = client.get(url);
        if let Some(authorization) = authorization {
            let mut value = HeaderValue::try_from(authorization)
                .map_err(|_| Failure::refused_url("the token does not fit into a header"))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let response = send(request).await?;
        let status = response.status().as_u16();
        if matches!(status, 400 | 401 | 403) {
            let content = body(response).await?;
            return Ok(Told::No(status, json::object(&content).unwrap_or_default()));
        }
        whole(response).await.map(|document| Told::Yes(document.content))
    }

    /// The client for a URL, if that may be fetched.
    fn admit(&self, url: &str, named_by: NamedBy) -> Result<(&Client, Url), Failure> {
        let parsed = plain_url(url)?;
        if named_by == NamedBy::Operator
            && let Some(client) = &self.trusting
        {
            return Ok((client, parsed));
        }
        check_url(&parsed, &self.allow_ports)?;
        Ok((&self.guarded, parsed))
    }
}

/// A URL that every reader takes for the same.
fn plain_url(text: &str) -> Result<Url, Failure> {
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '\\' | '#' | '"' | '<' | '>');
    if !text.chars().all(is_plain) {
        return Err(Failure::refused_url("the URL holds a fragment, blanks, or characters that URLs do not hold"));
    }
    let url = Url::parse(text).map_err(|error| Failure::refused_url(format!("not a URL: {error}")))?;
    let authority = text.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?']).next().unwrap_or_default());
    if authority.is_empty() || authority.contains('@') {
        return Err(Failure::refused_url("the URL holds user information, or no host"));
    }
    Ok(url)
}

/// Where a URL of unknown origin may lead.
fn check_url(url: &Url, allow_ports: &[u16]) -> Result<(), Failure> {
    if url.scheme() != "https" {
        return Err(Failure::refused_url("the URL is not https"));
    }
    let Some(host) = url.domain() else {
        return Err(Failure::refused_url("the host is an address; issuers have names"));
    };
    if !host.contains('.') || host.split('.').any(str::is_empty) {
        return Err(Failure::refused_url("the host is not a full name with a dot in it"));
    }
    match url.port() {
        Some(port) if !allow_ports.contains(&port) => {
            Err(Failure::refused_url(format!("the port is {port}, and neither 443 nor one of upstream.allow_ports")))
        }
        _ => Ok(()),
    }
}

/// Sends a request, and reads the answer within the limits.
async fn read(request: RequestBuilder) -> Result<Document, Failure> {
    whole(send(request).await?).await
}

async fn send(request: RequestBuilder) -> Result<Response, Failure> {
    let request = request.header(ACCEPT, "application/json").header(ACCEPT_ENCODING, "identity");
    request.send().await.map_err(|error| Failure::on_the_way(error, FETCH_TIMEOUT))
}

/// The document of a good answer.
async fn whole(response: Response) -> Result<Document, Failure> {
    check_status(&response)?;
    let max_age = max_age(response.headers());
    let body = body(response).await?;
    let content = json::object(&body).map_err(|error| Failure::bad_document(format!("not a JSON object: {error}")))?;
    Ok(Document { content, max_age })
}

/// The body, within the limits.
async fn body(mut response: Response) -> Result<Vec<u8>, Failure> {
    check_body(&response)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Failure::on_the_way(error, FETCH_TIMEOUT))? {
        if body.len() + chunk.len() > MAX_BYTES {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn check_status(response: &Response) -> Result<(), Failure> {
    let status = response.status().as_u16();
    if status != 200 {
        let hint = if (300..400).contains(&status) { "; redirects are not followed" } else { "" };
        return Err(Failure::bad_status(format!("the answer has HTTP status {status}{hint}")));
    }
    Ok(())
}

fn check_body(response: &Response) -> Result<(), Failure> {
    if response.headers().get_all(CONTENT_ENCODING).iter().any(|encoding| encoding != "identity") {
        return Err(Failure::bad_document("the answer has a content encoding, which was not asked for"));
    }
    match response.content_length() {
        Some(length) if length > MAX_BYTES as u64 => Err(too_large()),
        _ => Ok(()),
    }
}

fn too_large() -> Failure {
    Failure::bad_document(format!("the answer is longer than {MAX_BYTES} bytes"))
}

/// The freshness that the sender gives (RFC 9111 section 5.2.2); none that can be kept is zero.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut directives = values.flat_map(|value| value.split(',')).map(|text| text.trim().to_ascii_lowercase());
    directives.find_map(|directive| match directive.as_str() {
        "no-store" | "no-cache" => Some(Duration::ZERO),
        other => other.strip_prefix("max-age=")?.trim_matches('"').parse().ok().map(Duration::from_secs),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::tests::settings;

    fn refusal(url: &str) -> Option<String> {
        plain_url(url).and_then(|url| check_url(&url, &[8443])).err().map(|failure| failure.reason)
    }

    #[test]
    fn a_url_of_a_tenant_leads_to_a_public_name_over_https() {
        for good in [
            "https://idp.example.com/.well-known/openid-configuration",
            "https://idp.example.com:443/keys",
            "https://idp.example.com:8443/keys?v=1",
            "https://xn--bcher-kva.example/keys",
        ] {
            assert_eq!(refusal(good), None, "{good}");
        }
        for (bad, why) in [
            ("http://idp.example.com/keys", "https"),
            ("ftp://idp.example.com/keys", "https"),
            ("file:///etc/passwd", "no host"),
            ("https://idp.example.com:444/keys", "port"),
            ("https://idp.example.com:80/keys", "port"),
            ("https://user@idp.example.com/keys", "user information"),
            ("https://user:pass@idp.example.com/keys", "user information"),
            ("https://@idp.example.com/keys", "user information"),
            ("https://localhost/keys", "dot"),
            ("https://idp.example.com./keys", "dot"),
            ("https://metadata/keys", "dot"),
            ("https://127.0.0.1/keys", "address"),
            ("https://2130706433/keys", "address"),
            ("https://0x7f.1/keys", "address"),
            ("https://0177.0.0.1/keys", "address"),
            ("https://[::1]/keys", "address"),
            ("https://[fd00:ec2::254]/keys", "address"),
            ("https://idp.example.com/keys#part", "fragment"),
            ("https://idp.example.com\\@evil.test/keys", "characters"),
            ("https://idp.example.com/ke ys", "blanks"),
            ("https://idp.exa\tmple.com/keys", "blanks"),
            ("https://idp.example.com/keys\r\nHost: x", "blanks"),
            ("https://b\u{fc}cher.example/keys", "characters"),
            ("https:idp.example.com/keys", "no host"),
            ("https:///keys", "no host"),
            ("idp.example.com/keys", "not a URL"),
            ("", "not a URL"),
        ] {
            let reason = refusal(bad).unwrap_or_else(|| panic!("{bad} is admitted"));
            assert!(reason.contains(why), "{bad}: {reason}");
        }
    }

    #[test]
    fn only_urls_of_the_operator_are_free_of_the_rules() {
        let plain = "http://127.0.0.1:9000/keys";
        let fetcher = Fetcher::new(&settings(r#"allow_http_issuers = ["http://127.0.0.1:9000"]"#)).unwrap();
        assert!(fetcher.admit(plain, NamedBy::Operator).is_ok());
        assert_eq!(fetcher.admit(plain, NamedBy::Tenant).unwrap_err().result, "refused_url");
        let fetcher = Fetcher::new(&settings("")).unwrap();
        assert_eq!(fetcher.admit(plain, NamedBy::Operator).unwrap_err().result, "refused_url");
    }

    #[test]
    fn freshness_is_read_from_cache_control() {
        let age = |value: &'static str| {
            max_age(&HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static(value))]))
                .map(|duration| duration.as_secs())
        };
        for (value, seconds) in [
            ("public, max-age=22003, must-revalidate", Some(22003)),
            ("Max-Age=\"60\"", Some(60)),
            ("no-store", Some(0)),
            ("no-cache, max-age=60", Some(0)),
            ("public", None),
            ("max-age=soon", None),
        ] {
            assert_eq!(age(value), seconds, "{value}");
        }
        assert_eq!(max_age(&HeaderMap::new()), None);
    }

    #[test]
    fn a_file_without_certificates_is_refused_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let refused = |file: &std::path::Path| {
            let config = settings(&format!("ca_file = {file:?}"));
            Fetcher::new(&config).unwrap_err().to_string()
        };
        assert!(refused(&file).contains("upstream.ca_file"));
        for text in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&file, text).unwrap();
            assert!(refused(&file).contains("CA certificates in PEM"), "{text}");
        }
    }
}
