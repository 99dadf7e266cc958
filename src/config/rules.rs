//! The rules that a whole configuration must meet, each with its remedy.

use std::net::IpAddr;
use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::load::unknown;
use super::{Config, Issuer, Keys, credentials, upstream};
use crate::ids::Region;

/// Keys in the JWKS at any time. Consumers read at most so many, or only the first few.
pub const MAX_PUBLISHED_KEYS: usize = 8;

/// The longest `TokenDuration` of the service model, in seconds.
const MODEL_MAX_LIFETIME: u64 = 86_400;

/// More threads than this serve nobody.
const MOST_WORKERS: usize = 1024;

/// A publish lead below this is refused: caches of an hour are common.
const MIN_PUBLISH_LEAD: u64 = 7_200;

/// The operations that `limits.requests_per_second` can name: all that there are.
pub const OPERATIONS: &[&str] = &[
    "CreateIdentityPool",
    "DeleteIdentities",
    "DeleteIdentityPool",
    "DescribeIdentity",
    "DescribeIdentityPool",
    "GetCredentialsForIdentity",
    "GetId",
    "GetIdentityPoolRoles",
    "GetOpenIdToken",
    "GetOpenIdTokenForDeveloperIdentity",
    "GetPrincipalTagAttributeMap",
    "ListIdentities",
    "ListIdentityPools",
    "ListTagsForResource",
    "LookupDeveloperIdentity",
    "MergeDeveloperIdentities",
    "SetIdentityPoolRoles",
    "SetPrincipalTagAttributeMap",
    "TagResource",
    "UnlinkDeveloperIdentity",
    "UnlinkIdentity",
    "UntagResource",
    "UpdateIdentityPool",
];

/// Every rule that `config` breaks.
pub(super) fn check(config: &Config) -> Vec<String> {
    let mut problems = Vec::new();
    regions(config, &mut problems);
    server(config, &mut problems);
    limits(config, &mut problems);
    if config.database.url.expose_secret().is_empty() {
        problems.push(
            "database.url: is not set; set it, or DATABASE_URL, to postgres://user:password@host/database".into(),
        );
    }
    if config.server.workers > MOST_WORKERS {
        problems.push(format!("server.workers: must not be more than {MOST_WORKERS}; 0 means one for each core"));
    }
    if config.database.pool_size == 0 {
        problems.push("database.pool_size: must be at least 1".into());
    }
    for (name, value) in
        [("acquire_timeout", config.database.acquire_timeout), ("statement_timeout", config.database.statement_timeout)]
    {
        if value.is_zero() {
            problems.push(format!("database.{name}: must be at least 1 second"));
        }
    }
    if config.database.lock_timeout <= Duration::from_secs(1) {
        problems
            .push("database.lock_timeout: must exceed the server's deadlock_timeout of 1 s; 2 is the default".into());
    }
    if config.seal.master_key.is_none() && config.seal.master_key_file.as_os_str().is_empty() {
        problems.push(
            "seal.master_key_file: no master key is configured; make one with `symbolon master-key generate` and hand \
             it over in SYMBOLON_MASTER_KEY or a file named by SYMBOLON_MASTER_KEY_FILE"
                .into(),
        );
    }
    problems.extend(issuer(&config.issuer));
    tokens_and_keys(config, &mut problems);
    problems.extend(upstream::check(&config.upstream));
    problems.extend(credentials::check(&config.credentials));
    if let Err(error) = config.telemetry.log_level.parse::<tracing_subscriber::EnvFilter>() {
        problems.push(format!("telemetry.log_level: {error}"));
    }
    problems
}

fn regions(config: &Config, problems: &mut Vec<String>) {
    if config.default_region().is_none() {
        problems.push("regions: must name at least one region, such as us-east-1".into());
    }
    for name in config.regions.iter().filter(|name| *name != "*" && Region::parse(name).is_none()) {
        problems.push(format!(
            "regions: {name:?} is not a region name (lower-case letters, digits and dashes, at most 18 characters)"
        ));
    }
}

fn server(config: &Config, problems: &mut Vec<String>) {
    let server = &config.server;
    if server.listen == server.admin_listen && server.listen.port() != 0 {
        problems.push(format!("server.admin_listen: must differ from server.listen, {}", server.listen));
    }
    for (name, value) in [
        ("header_timeout", server.header_timeout),
        ("request_timeout", server.request_timeout),
        ("handler_timeout", server.handler_timeout),
        ("drain_timeout", server.drain_timeout),
    ] {
        if value.is_zero() {
            problems.push(format!("server.{name}: must be at least 1 second"));
        }
    }
    for proxy in server.trusted_proxies.iter().filter(|proxy| network(proxy).is_none()) {
        problems.push(format!("server.trusted_proxies: {proxy:?} is not an address or a network such as 10.0.0.0/8"));
    }
    if server.max_body_bytes == 0 {
        problems.push("server.max_body_bytes: must be at least 1; 786432 is the default".into());
    }
}

fn limits(config: &Config, problems: &mut Vec<String>) {
    if config.limits.max_connections == 0 {
        problems.push("limits.max_connections: must be at least 1".into());
    }
    if config.limits.linked_logins_per_identity == 0 {
        problems.push("limits.linked_logins_per_identity: must be at least 1; 20 is AWS's".into());
    }
    // The environment knows names in lower case only.
    let known = |name: &String| OPERATIONS.iter().any(|operation| operation.eq_ignore_ascii_case(name));
    for name in config.limits.requests_per_second.keys().filter(|name| !known(name)) {
        problems.push(unknown(name, "limits.requests_per_second.", OPERATIONS.iter().copied()));
    }
}

/// An address, or a network in CIDR notation.
#[must_use]
pub fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let address: IpAddr = address.parse().ok()?;
    let full = if address.is_ipv4() { 32 } else { 128 };
    let length = length.map_or(Some(full), |length| length.parse().ok())?;
    (length <= full).then_some((address, length))
}

/// Whether a network holds an address. An IPv4 address is the same in its IPv6 form.
#[must_use]
pub fn within((network, length): (IpAddr, u8), address: IpAddr) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, true),
        IpAddr::V6(address) => (u128::from(address), false),
    };
    let ((network, v4), (address, other_v4)) = (bits(network), bits(address.to_canonical()));
    v4 == other_v4 && (length == 0 || (network ^ address) >> (128 - u32::from(length)) == 0)
}

/// What is wrong with an issuer URL. Also used by `symbolon installation set-issuer`.
#[must_use]
pub fn issuer(issuer: &Issuer) -> Vec<String> {
    let url = issuer.url.as_str();
    let mut problems = Vec::new();
    let mut refuse = |why: &str| problems.push(format!("issuer.url: {url:?} {why}"));
    if url.is_empty() {
        return vec![
            "issuer.url: is not set (SYMBOLON__ISSUER__URL); it is the `iss` of every token and the base of the discovery URL, such as \
             https://id.example.com"
                .into(),
        ];
    }
    if url.len() > 128 {
        refuse("is longer than 128 bytes");
    }
    if url.ends_with('/') {
        refuse("must not end in a slash");
    }
    if url.contains(['?', '#', '@']) || url.chars().any(|c| c.is_whitespace() || c.is_control() || !c.is_ascii()) {
        refuse("must not hold a query, a fragment, user information, blanks or characters beyond ASCII");
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        refuse("is not a URL; it must begin with https://");
        return problems;
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if host.is_empty() || host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        refuse("must name a host in lower case");
    }
    let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) || host == "[::1]";
    let lenient = loopback || issuer.allow_insecure;
    match scheme {
        "https" => {}
        "http" if lenient => {}
        _ => refuse("must begin with https:// (issuer.allow_insecure accepts http:// in a laboratory)"),
    }
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        refuse("has a bad port");
    } else if port.is_some() && !lenient {
        refuse("must not name a port: several consumers refuse it (issuer.allow_insecure accepts it in a laboratory)");
    }
    problems
}

fn tokens_and_keys(config: &Config, problems: &mut Vec<String>) {
    let lifetime = config.tokens.max_lifetime.as_secs();
    if !(1..=MODEL_MAX_LIFETIME).contains(&lifetime) {
        problems.push(format!("tokens.max_lifetime: must lie between 1 and {MODEL_MAX_LIFETIME} seconds"));
    }
    if config.tokens.default_lifetime.is_zero() {
        problems.push("tokens.default_lifetime: must be at least 1 second".into());
    }
    let keys = &config.keys;
    for (name, value) in [
        ("rotation_period", keys.rotation_period),
        ("poll_interval", keys.poll_interval),
        ("sign_fence", keys.sign_fence),
    ] {
        if value.is_zero() {
            problems.push(format!("keys.{name}: must be at least 1 second"));
        }
    }
    if keys.poll_interval >= keys.sign_fence {
        problems.push("keys.poll_interval: must be shorter than keys.sign_fence, or no replica may ever sign".into());
    }
    if !keys.rotation_period.is_zero() && published_keys(keys) > MAX_PUBLISHED_KEYS {
        problems.push(format!(
            "keys.rotation_period: {} s would publish {} keys at once; at most {MAX_PUBLISHED_KEYS} are allowed: \
             lengthen it, or shorten keys.unpublish_delay",
            keys.rotation_period.as_secs(),
            published_keys(keys)
        ));
    }
    if !keys.allow_unsafe {
        problems.extend(lower_bounds(keys, lifetime));
    }
}

/// 1 active, 1 next, and as many retiring ones as rotations fall into the unpublish delay.
fn published_keys(keys: &Keys) -> usize {
    let retiring = keys.unpublish_delay.as_secs().div_ceil(keys.rotation_period.as_secs().max(1));
    usize::try_from(retiring).unwrap_or(usize::MAX).saturating_add(2)
}

/// The bounds below which a verifier would notice a rotation. `keys.allow_unsafe` waives them.
pub fn lower_bounds(keys: &Keys, max_lifetime: u64) -> Vec<String> {
    // Far beyond any sensible period, and small enough for the sums.
    let s = |duration: Duration| duration.as_secs().min(u64::from(u32::MAX));
    let lead = MIN_PUBLISH_LEAD
        .max(s(keys.jwks_stale_limit) + s(keys.jwks_max_age) + s(keys.verifier_skew) + 2 * s(keys.replica_skew));
    let unpublish = s(keys.sign_fence) + max_lifetime + s(keys.verifier_leeway) + s(keys.verifier_skew);
    let destroy = s(keys.sign_fence) + 2 * s(keys.replica_skew);
    let bounds = [
        ("publish_lead", s(keys.publish_lead), lead, "so that every verifier has fetched a key before it signs"),
        ("unpublish_delay", s(keys.unpublish_delay), unpublish, "so that every token outlives its verification"),
        ("destroy_delay", s(keys.destroy_delay), destroy, "so that no replica still signs with a destroyed key"),
        (
            "sign_fence",
            s(keys.sign_fence),
            2 * s(keys.replica_skew) + 1,
            "so that every replica hears of a turn before it",
        ),
        ("rotation_period", s(keys.rotation_period), s(keys.publish_lead), "so that the next key is published in time"),
    ];
    bounds
        .into_iter()
        .filter(|(_, value, bound, _)| value < bound)
        .map(|(name, value, bound, why)| {
            format!("keys.{name}: {value} s is below {bound} s, {why} (keys.allow_unsafe waives this)")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Sources};

    fn env(pairs: &[(&str, &str)]) -> Environment {
        let minimum = [
            ("DATABASE_URL", "postgres://localhost/symbolon"),
            ("SYMBOLON_MASTER_KEY", "anything"),
            ("SYMBOLON__ISSUER__URL", "https://id.example.com"),
        ];
        minimum.iter().chain(pairs).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
        Config::load(&Sources { env: env(pairs), ..Sources::default() })
            .map_or_else(|problems| problems.0, |_| Vec::new())
    }

    #[test]
    fn the_defaults_with_the_three_necessary_values_are_sound() {
        assert_eq!(problems(&[]), Vec::<String>::new());
    }

    #[test]
    fn every_problem_is_listed_at_once() {
        let found = problems(&[
            ("SYMBOLON__SERVER__LISTEM", "x"),
            ("SYMBOLON__DATABASE__POOL_SIZE", "many"),
            ("SYMBOLON__KEYS__ALLOW_UNSAFE", "perhaps"),
            ("SYMBOLON__SEVER__LISTEN", "127.0.0.1:1"),
        ]);
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found.iter().any(|p| p.contains("did you mean server.listen?")), "{found:?}");
        assert!(found.iter().any(|p| p.contains("did you mean server?")), "{found:?}");
        let found = problems(&[
            ("SYMBOLON__KEYS__PUBLISH_LEAD", "60"),
            ("SYMBOLON__ISSUER__URL", "http://id.example.com:8080/"),
            ("SYMBOLON__REGIONS", "Mars,us-east-1"),
        ]);
        assert_eq!(found.len(), 5, "{found:?}");
    }

    #[test]
    fn rates_of_operations_are_named_in_any_case_and_the_environment_wins() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("symbolon.toml");
        std::fs::write(&file, "[limits.requests_per_second]\nGetId = 25\nTagResource = 5\n").unwrap();
        let set = ("SYMBOLON__LIMITS__REQUESTS_PER_SECOND__GETID", "7");
        let config = Config::load(&Sources { file: Some(file), env: env(&[set]), ..Sources::default() }).unwrap();
        let rates: Vec<_> =
            config.limits.requests_per_second.iter().map(|(name, rate)| (name.as_str(), *rate)).collect();
        assert_eq!(rates, [("GetId", 25), ("TagResource", 5), ("getid", 7)]);

        for (variable, value, problem) in [
            (
                "GETIDS",
                "1",
                "limits.requests_per_second.getids: no such field; did you mean limits.requests_per_second.GetId?",
            ),
            ("GETID", "many", "limits.requests_per_second: invalid type: string \"many\", expected a whole number"),
        ] {
            let found = problems(&[(&format!("SYMBOLON__LIMITS__REQUESTS_PER_SECOND__{variable}"), value)]);
            assert_eq!(found, [problem]);
        }
    }

    #[test]
    fn nothing_configured_names_what_is_necessary() {
        let found = Config::load(&Sources::default()).unwrap_err().0;
        for needed in ["database.url", "issuer.url", "master-key generate"] {
            assert!(found.iter().any(|problem| problem.contains(needed)), "{needed} in {found:?}");
        }
    }

    #[test]
    fn later_sources_win() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("symbolon.toml");
        std::fs::write(&file, "regions = ['eu-west-1', '*']\n[tokens]\nmax_lifetime = 3600\ndefault_lifetime = 60\n")
            .unwrap();
        let env = env(&[("SYMBOLON__TOKENS__DEFAULT_LIFETIME", "120"), ("SYMBOLON_CONFIG", file.to_str().unwrap())]);
        let config =
            Config::load(&Sources { env, flags: vec![("server.listen", "127.0.0.1:9".into())], ..Sources::default() })
                .unwrap();
        assert_eq!(config.tokens.max_lifetime.as_secs(), 3600);
        assert_eq!(config.tokens.default_lifetime.as_secs(), 120);
        assert_eq!(config.server.listen.port(), 9);
        assert_eq!(config.default_region().unwrap().as_str(), "eu-west-1");
        assert_eq!(config.served_regions(), None);
    }

    #[test]
    fn the_effective_settings_read_back_the_same_without_the_database_address() {
        let env = env(&[("SYMBOLON__REGIONS", "eu-west-1,*"), ("SYMBOLON__DATABASE__URL", "postgres://u:hunter2@h/d")]);
        let config = Config::load(&Sources { env: env.clone(), ..Sources::default() }).unwrap();
        let text = config.effective_toml().unwrap();
        assert!(!text.contains("hunter2"));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("symbolon.toml");
        std::fs::write(&file, &text).unwrap();
        let again = Config::load(&Sources { file: Some(file), env, ..Sources::default() }).unwrap();
        assert_eq!(again.effective_toml().unwrap(), text);
    }

    #[test]
    fn unsafe_schedules_are_refused_unless_waived() {
        let short = [("SYMBOLON__KEYS__UNPUBLISH_DELAY", "3600"), ("SYMBOLON__KEYS__DESTROY_DELAY", "60")];
        assert_eq!(problems(&short).len(), 2);
        let waived = [short[0], short[1], ("SYMBOLON__KEYS__ALLOW_UNSAFE", "true")];
        assert_eq!(problems(&waived), Vec::<String>::new());
        assert_eq!(
            problems(&[("SYMBOLON__KEYS__ROTATION_PERIOD", "86400"), ("SYMBOLON__KEYS__UNPUBLISH_DELAY", "900000")])
                .len(),
            1
        );
    }

    #[test]
    fn issuers_must_be_what_every_consumer_takes() {
        for good in [
            "https://id.example.com",
            "https://id.example.com/tenants/a",
            "http://127.0.0.1:4600",
            "http://localhost:1",
        ] {
            assert_eq!(problems(&[("SYMBOLON__ISSUER__URL", good)]), Vec::<String>::new(), "{good}");
        }
        for bad in [
            "id.example.com",
            "ftp://x.y",
            "https://id.example.com/",
            "https://Id.example.com",
            "https://a.b?c",
            "https://a.b:444",
            "https:///x",
        ] {
            assert!(!problems(&[("SYMBOLON__ISSUER__URL", bad)]).is_empty(), "{bad}");
        }
    }
}
