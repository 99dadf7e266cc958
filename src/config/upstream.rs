//! The rules of the section `upstream`, and what its switches for laboratories open.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::Url;

use super::Upstream;
use super::rules::network;

/// What templates may hold.
const PLACEHOLDERS: [(&str, &str); 2] = [("{region}", "us-east-1"), ("{user_pool_id}", "us-east-1_Example1")];

/// As much as Cognito grants (<https://docs.aws.amazon.com/cognito/latest/developerguide/open-id.html>).
const MAX_CLOCK_SKEW: Duration = Duration::from_mins(5);

/// Where social providers are asked if the operator names no other place: those of `defaults.toml`.
const FACEBOOK_GRAPH: &str = "https://graph.facebook.com";
const AMAZON_TOKEN_INFO: &str = "https://api.amazon.com/auth/o2/tokeninfo";
const TWITTER_VERIFY_CREDENTIALS: &str = "https://api.twitter.com/1.1/account/verify_credentials.json";

/// Where a social provider is asked about its tokens.
#[derive(Clone, Copy, Debug)]
pub struct SocialEndpoint<'a> {
    /// The name of the setting in its section.
    pub field: &'static str,
    /// The URL.
    pub url: &'a str,
    default: &'static str,
}

impl SocialEndpoint<'_> {
    /// Whether the operator has named it, rather than left it as it is.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.url != self.default
    }
}

impl Upstream {
    /// Where Facebook, Amazon and Twitter are asked.
    #[must_use]
    pub fn social_endpoints(&self) -> [SocialEndpoint<'_>; 3] {
        [
            ("facebook_graph", &self.facebook_graph, FACEBOOK_GRAPH),
            ("amazon_token_info", &self.amazon_token_info, AMAZON_TOKEN_INFO),
            ("twitter_verify_credentials", &self.twitter_verify_credentials, TWITTER_VERIFY_CREDENTIALS),
        ]
        .map(|(field, url, default)| SocialEndpoint { field, url, default })
    }
}

/// Every rule that the section breaks.
pub(super) fn check(upstream: &Upstream) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, value) in [
        ("connect_timeout", upstream.connect_timeout),
        ("fetch_timeout", upstream.fetch_timeout),
        ("refetch_cooldown", upstream.refetch_cooldown),
    ] {
        if value < Duration::from_secs(1) {
            problems.push(format!("upstream.{name}: must be at least 1 second"));
        }
    }
    if upstream.clock_skew > MAX_CLOCK_SKEW {
        problems.push(
            "upstream.clock_skew: must be at most 300 seconds: for so long a login token outlives its end".into(),
        );
    }
    templates(upstream, &mut problems);
    for (name, list, example) in [
        ("saml_audiences", &upstream.saml_audiences, "urn:amazon:webservices"),
        ("saml_recipients", &upstream.saml_recipients, "https://signin.aws.amazon.com/saml"),
    ] {
        // SAML compares both as they stand, byte by byte.
        if list.is_empty()
            || list.iter().any(|text| text.is_empty() || text.chars().any(|c| c.is_control() || c == ' '))
        {
            problems.push(format!(
                "upstream.{name}: needs an entry at least, and none with blanks in it, such as {example}"
            ));
        }
    }
    social_endpoints(upstream, &mut problems);
    for text in upstream.allow_private_issuers.iter().filter(|text| network(text).is_none()) {
        problems.push(format!(
            "upstream.allow_private_issuers: {text:?} is neither an address nor a network such as 10.0.0.0/8"
        ));
    }
    if upstream.allow_ports.contains(&0) {
        problems.push("upstream.allow_ports: 0 is not a port; name those that issuers may have, such as 8443".into());
    }
    for name in upstream.hosts.keys().filter(|name| !is_host_name(name)) {
        problems.push(format!(
            "upstream.hosts: {name:?} is not a host name; it needs a dot, and no scheme or port, such as idp.example.com"
        ));
    }
    for text in &upstream.allow_http_issuers {
        if let Err(why) = url(text, &["http"]) {
            problems.push(format!(
                "upstream.allow_http_issuers: {} {why}; name the whole issuer, such as http://127.0.0.1:9000/realm",
                shown(text)
            ));
        }
    }
    problems
}

fn templates(upstream: &Upstream, problems: &mut Vec<String>) {
    for (name, template) in [
        ("user_pool_issuer", &upstream.user_pool_issuer),
        ("user_pool_jwks", &upstream.user_pool_jwks),
        ("token_introspection", &upstream.token_introspection),
    ] {
        if template.is_empty() {
            continue;
        }
        let mut refuse = |why: &str| problems.push(format!("upstream.{name}: {} {why}", shown(template)));
        let filled = PLACEHOLDERS.iter().fold(template.clone(), |text, (name, example)| text.replace(name, example));
        if filled.contains(['{', '}']) {
            refuse("has a placeholder other than {region} and {user_pool_id}");
            continue;
        }
        match url(&filled, &["https", "http"]) {
            Err(why) => refuse(&format!("{why}; it must be a URL such as http://localhost:9229/{{user_pool_id}}")),
            Ok(url) if name == "token_introspection" && url.scheme() == "http" && !is_loopback(&url) => {
                refuse("sends tokens over plain http to another machine; it must begin with https://");
            }
            Ok(_) => {}
        }
        if name == "user_pool_issuer" && !template.contains("{user_pool_id}") {
            refuse("is one issuer for every user pool; it must hold {user_pool_id}");
        }
    }
}

fn social_endpoints(upstream: &Upstream, problems: &mut Vec<String>) {
    for SocialEndpoint { field, url: text, default } in upstream.social_endpoints() {
        match url(text, &["https", "http"]) {
            Err(why) => {
                problems.push(format!("upstream.{field}: {} {why}; it must be a URL such as {default}", shown(text)));
            }
            Ok(url) if url.scheme() == "http" && !is_loopback(&url) => problems.push(format!(
                "upstream.{field}: {} sends tokens over plain http to another machine; it must begin with https://",
                shown(text)
            )),
            Ok(_) => {}
        }
    }
}

/// A URL as a text may repeat it: whoever puts a password into one finds it in no log.
pub(super) fn shown(url: &str) -> String {
    let Some((before, after)) = url.rsplit_once('@') else { return format!("{url:?}") };
    let scheme = before.split_once("://").map(|(scheme, _)| format!("{scheme}://")).unwrap_or_default();
    format!("{:?}", format!("{scheme}***@{after}"))
}

/// A URL of one of these schemes that names a host, and nobody and nothing else.
pub(super) fn url(text: &str, schemes: &[&str]) -> Result<Url, String> {
    if text.contains(['?', '#', '@', '\\']) || !text.chars().all(|c| c.is_ascii_graphic()) {
        return Err("must not hold a query, a fragment, user information, blanks or characters beyond ASCII".to_owned());
    }
    let url = Url::parse(text).map_err(|error| format!("is not a URL ({error})"))?;
    let named = schemes.iter().any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| rest.starts_with("://")));
    if !named || url.host_str().is_none_or(str::is_empty) {
        return Err(format!("must begin with {}://", schemes.join(":// or ")));
    }
    Ok(url)
}

pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.contains('.') && name.split('.').all(is_label) && name.parse::<IpAddr>().is_err()
}

/// What the switches in force open, each in a line for the log.
pub(super) fn opened(upstream: &Upstream) -> Vec<String> {
    let mut opened = Vec::new();
    let mut tell = |field: &str, what: &str| opened.push(format!("upstream.{field}: {what}"));
    for network in &upstream.allow_private_issuers {
        tell("allow_private_issuers", &format!("issuers may have addresses of {network}"));
    }
    for port in &upstream.allow_ports {
        tell("allow_ports", &format!("issuers may be at port {port}"));
    }
    if !upstream.ca_file.as_os_str().is_empty() {
        tell("ca_file", &format!("issuers may have certificates of {}", upstream.ca_file.display()));
    }
    for (name, address) in &upstream.hosts {
        tell("hosts", &format!("{name} is taken to be at {address}, which is not checked"));
    }
    for issuer in &upstream.allow_http_issuers {
        tell("allow_http_issuers", &format!("{issuer} is asked without TLS, wherever it is"));
    }
    for (field, template) in
        [("user_pool_issuer", &upstream.user_pool_issuer), ("user_pool_jwks", &upstream.user_pool_jwks)]
    {
        if template.starts_with("http://") {
            tell(field, &format!("{template} is asked without TLS, wherever it is"));
        }
    }
    for endpoint in upstream.social_endpoints().iter().filter(|endpoint| endpoint.is_named()) {
        tell(endpoint.field, &format!("{} says whose tokens of this provider are whose", endpoint.url));
    }
    opened
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment, Sources};

    fn read(settings: &str) -> Upstream {
        let profile = format!("[upstream]\n{settings}\n");
        Config::read(&Sources { profile: &profile, ..Sources::default() }).unwrap().upstream
    }

    #[test]
    fn sound_settings_have_no_problems() {
        for settings in [
            "",
            "stale_limit = 0\nclock_skew = 0",
            "user_pool_issuer = 'http://localhost:9229/{user_pool_id}'",
            "user_pool_issuer = 'https://cognito-idp.{region}.cloud.test/{user_pool_id}'",
            "user_pool_jwks = 'http://emulator:4566/keys'",
            "token_introspection = 'https://idp.test/{user_pool_id}/introspect'",
            "token_introspection = 'http://127.0.0.1:9000/introspect'",
            "token_introspection = 'http://[::1]:9000/introspect'",
            "facebook_graph = 'https://graph.facebook.com/v23.0'",
            "amazon_token_info = 'https://stand-in.internal:8443/tokeninfo'\nfacebook_graph = 'http://127.0.0.1:9000/'",
            "twitter_verify_credentials = 'https://api.x.com/1.1/account/verify_credentials.json'",
            "allow_private_issuers = ['10.0.0.0/8', 'fd00::/8', '192.168.1.7']",
            "saml_audiences = ['urn:example:broker']\nsaml_recipients = ['https://app.example.com/saml']",
            "allow_ports = [8443]",
            "hosts = { 'idp.example.test' = '127.0.0.1' }",
            "allow_http_issuers = ['http://127.0.0.1:9000/realm', 'http://keycloak:8080/']",
        ] {
            assert_eq!(check(&read(settings)), Vec::<String>::new(), "{settings}");
        }
    }

    #[test]
    fn every_setting_that_cannot_work_is_named_with_its_remedy() {
        for (settings, field, remedy) in [
            ("connect_timeout = 0", "connect_timeout", "at least 1"),
            ("fetch_timeout = 0", "fetch_timeout", "at least 1"),
            ("refetch_cooldown = 0", "refetch_cooldown", "at least 1"),
            ("clock_skew = 301", "clock_skew", "at most 300"),
            ("user_pool_issuer = 'http://localhost:9229'", "user_pool_issuer", "{user_pool_id}"),
            ("user_pool_issuer = 'http://h/{pool}/{user_pool_id}'", "user_pool_issuer", "{region} and {user_pool_id}"),
            ("user_pool_issuer = 'localhost:9229/{user_pool_id}'", "user_pool_issuer", "https://"),
            ("user_pool_jwks = 'ftp://h/keys'", "user_pool_jwks", "https://"),
            ("user_pool_jwks = '/keys'", "user_pool_jwks", "such as http://"),
            ("token_introspection = 'http://idp.test/introspect'", "token_introspection", "https://"),
            ("token_introspection = 'https://u:p@idp.test/i'", "token_introspection", "user information"),
            ("saml_audiences = []", "saml_audiences", "urn:amazon:webservices"),
            ("saml_recipients = ['https://a.test/ saml']", "saml_recipients", "https://signin.aws.amazon.com/saml"),
            ("facebook_graph = ''", "facebook_graph", "https://graph.facebook.com"),
            ("facebook_graph = 'http://graph.facebook.com'", "facebook_graph", "https://"),
            ("amazon_token_info = 'api.amazon.com'", "amazon_token_info", "/auth/o2/tokeninfo"),
            ("amazon_token_info = 'https://api.amazon.com/x?y=z'", "amazon_token_info", "query"),
            ("twitter_verify_credentials = 'https://u:p@h.test/'", "twitter_verify_credentials", "user information"),
            ("allow_private_issuers = ['10.0.0.0/33']", "allow_private_issuers", "10.0.0.0/8"),
            ("allow_private_issuers = ['lan']", "allow_private_issuers", "10.0.0.0/8"),
            ("allow_ports = [0]", "allow_ports", "8443"),
            ("hosts = { 'idp' = '127.0.0.1' }", "hosts", "idp.example.com"),
            ("hosts = { 'https://idp.test' = '127.0.0.1' }", "hosts", "idp.example.com"),
            ("hosts = { '10.0.0.1' = '127.0.0.1' }", "hosts", "idp.example.com"),
            ("allow_http_issuers = ['https://idp.test']", "allow_http_issuers", "http://127.0.0.1:9000/realm"),
            ("allow_http_issuers = ['127.0.0.1:9000']", "allow_http_issuers", "http://127.0.0.1:9000/realm"),
            ("allow_http_issuers = ['http://']", "allow_http_issuers", "http://127.0.0.1:9000/realm"),
        ] {
            let problems = check(&read(settings));
            let [problem] = problems.as_slice() else { panic!("{settings}: {problems:?}") };
            assert!(problem.starts_with(&format!("upstream.{field}: ")) && problem.contains(remedy), "{problem}");
        }
    }

    #[test]
    fn lists_come_from_the_environment_too() {
        let given = |name: &str, value: &str| {
            let name = format!("SYMBOLON__UPSTREAM__{name}");
            let env = Environment::from([(name, value.to_owned())]);
            Config::read(&Sources { env, ..Sources::default() }).map(|config| config.upstream)
        };
        assert_eq!(given("ALLOW_PORTS", "8443").unwrap().allow_ports, [8443]);
        assert_eq!(given("ALLOW_PORTS", "8443,9443").unwrap().allow_ports, [8443, 9443]);
        assert!(given("ALLOW_PORTS", "https").is_err());
        assert_eq!(given("ALLOW_PRIVATE_ISSUERS", "10.0.0.0/8").unwrap().allow_private_issuers, ["10.0.0.0/8"]);
        assert_eq!(given("SAML_AUDIENCES", "urn:a,urn:b").unwrap().saml_audiences, ["urn:a", "urn:b"]);
        assert_eq!(given("SAML_RECIPIENTS", "https://a.test/saml").unwrap().saml_recipients, ["https://a.test/saml"]);
        assert_eq!(given("ALLOW_HTTP_ISSUERS", "http://a:1,http://b:2").unwrap().allow_http_issuers.len(), 2);
    }

    #[test]
    fn every_switch_in_force_is_told() {
        assert_eq!(opened(&read("")), Vec::<String>::new());
        let all = read(
            "allow_private_issuers = ['10.0.0.0/8', 'fd00::/8']
             allow_ports = [8443]
             ca_file = '/etc/lab.pem'
             hosts = { 'idp.example.test' = '127.0.0.1' }
             allow_http_issuers = ['http://127.0.0.1:9000/realm']
             user_pool_issuer = 'http://localhost:9229/{user_pool_id}'
             facebook_graph = 'http://127.0.0.1:9001'",
        );
        let told = opened(&all);
        assert_eq!(told.len(), 8, "{told:?}");
        let expected =
            ["10.0.0.0/8", "fd00::/8", "8443", "/etc/lab.pem", "idp.example.test", "9000/realm", "9229", "9001"];
        for what in expected {
            assert!(told.iter().any(|line| line.contains(what)), "{what} in {told:?}");
        }
    }
}
