//! Configuration: embedded defaults, then a file, then the environment, then flags; every problem listed at once.

mod credentials;
mod load;
mod rules;
mod upstream;

pub(crate) use load::unknown;
pub use load::{Environment, Problems, Sources, environment};
pub use rules::{MAX_PUBLISHED_KEYS, OPERATIONS, issuer as issuer_problems, network, within};
pub use upstream::SocialEndpoint;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::ids::Region;

/// The embedded defaults: also the list of every known field.
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// Everything that can be configured. The fields are described in `defaults.toml`.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the sections are described in defaults.toml")]
pub struct Config {
    pub regions: Vec<String>,
    pub server: Server,
    pub database: Database,
    pub issuer: Issuer,
    pub seal: SealSource,
    pub tokens: Tokens,
    pub keys: Keys,
    pub limits: Limits,
    pub upstream: Upstream,
    pub credentials: Credentials,
    pub telemetry: Telemetry,
    pub dev: Dev,
    #[serde(skip)]
    effective: Map<String, Value>,
}

impl Config {
    /// The lower bounds that `keys.allow_unsafe` waives here.
    #[must_use]
    pub fn waived_bounds(&self) -> Vec<String> {
        if self.keys.allow_unsafe {
            rules::lower_bounds(&self.keys, self.tokens.max_lifetime.as_secs())
        } else {
            Vec::new()
        }
    }

    /// What the switches of `upstream` that are in force let issuers do, beyond what is safe on a public network.
    #[must_use]
    pub fn opened_switches(&self) -> Vec<String> {
        upstream::opened(&self.upstream)
    }

    /// The default region of commands.
    #[must_use]
    pub fn default_region(&self) -> Option<Region> {
        self.regions.iter().find_map(|name| Region::parse(name))
    }

    /// The regions served; `None` means every well-formed name.
    #[must_use]
    pub fn served_regions(&self) -> Option<Vec<Region>> {
        let any = self.regions.iter().any(|name| name == "*");
        (!any).then(|| self.regions.iter().filter_map(|name| Region::parse(name)).collect())
    }
}

/// Listeners and their timeouts.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "described in defaults.toml")]
pub struct Server {
    pub listen: SocketAddr,
    pub admin_listen: SocketAddr,
    pub workers: usize,
    pub pin_workers: bool,
    pub trusted_proxies: Vec<String>,
    #[serde(deserialize_with = "seconds")]
    pub header_timeout: Duration,
    #[serde(deserialize_with = "seconds")]
    pub request_timeout: Duration,
    #[serde(deserialize_with = "seconds")]
    pub handler_timeout: Duration,
    #[serde(deserialize_with = "seconds")]
    pub drain_delay: Duration,
    #[serde(deserialize_with = "seconds")]
    pub drain_timeout: Duration,
    pub max_body_bytes: usize,
}

/// The database and how patiently it is asked.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "described in defaults.toml")]
pub struct Database {
    pub url: SecretString,
    pub pool_size: u32,
    pub coalesce: bool,
    #[serde(deserialize_with = "seconds")]
    pub acquire_timeout: Duration,
    #[serde(deserialize_with = "seconds")]
    pub lock_timeout: Duration,
    #[serde(deserialize_with = "seconds")]
    pub statement_timeout: Duration,
    #[serde(deserialize_with = "seconds")]
    pub start_timeout: Duration,
    pub migrate_on_start: bool,
}

/// Who signs, and how tokens look.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "described in defaults.toml")]
pub struct Issuer {
    pub url: String,
    pub algorithm: Algorithm,
    pub token_type: TokenType,
    pub x5c: bool,
    pub allow_insecure: bool,
}

/// A signature algorithm that every supported consumer takes (RFC 7518 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[expect(missing_docs, reason = "the names are those of RFC 7518")]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    ES256,
    ES384,
}

impl Algorithm {
    /// The `alg` value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
        }
    }

    /// The algorithm of an `alg` value.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::RS256, Self::RS384, Self::RS512, Self::ES256, Self::ES384].into_iter().find(|alg| alg.as_str() == text)
    }
}

/// The token header's `typ`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are the header's values")]
pub enum TokenType {
    JWT,
    JWS,
}

/// Where master keys come from.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "described in defaults.toml")]
pub struct SealSource {
    pub master_key_file: PathBuf,
    /// The keys themselves, from `SYMBOLON_MASTER_KEY` alone.
    #[serde(skip)]
    pub master_key: Option<SecretString>,
}

/// Token lifetimes.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "described in defaults.toml")]
pub struct Tokens {
    #[serde(deserialize_with = "seconds")]
    pub max_lifetime: Duration,
    #[serde(deserialize_with = "seconds")]
    pub default_lifetime: Duration,
}

/// The signing keys' schedule.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "described in defaults.toml and docs/explanation/keys.md")]
pub struct Keys {
    #[serde(deserialize_with = "seconds")]
    pub rotation_period: Duration,
    #[serde(deserialize_with = "seconds")]
    pub publish_lead: Duration,
    #[serde(deserialize_with = "seconds")]
    pub jwks_max_age: Duration,
    #[serde(deserialize_with = "seconds")]
    pub jwks_stale_limit: Duration,
    #[serde(deserialize_with = "seconds")]
    pub poll_interval: Duration,
    #[serde(deserialize_with = "seconds")]
    pub sign_fence: Duration,
    #[serde(deserialize_with = "seconds")]
    pub verifier_leeway: Duration,
    #[serde(deserialize_with = "seconds")]
    pub verifier_skew: Duration,
    #[serde(deserialize_with = "seconds")]
    pub replica_skew: Duration,
    #[serde(deserialize_with = "seconds")]
    pub unpublish_delay: Duration,
    #[serde(deserialize_with = "seconds")]
    pub destroy_delay: Duration,
    pub allow_unsafe: bool,
}

/// Counts and rates.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "described in defaults.toml")]
pub struct Limits {
    pub identity_pools_per_account: u32,
    pub openid_connect_providers_per_account: u32,
    pub saml_providers_per_account: u32,
    pub roles_per_account: u32,
    pub user_pool_providers_per_pool: u32,
    pub openid_connect_providers_per_pool: u32,
    pub saml_providers_per_pool: u32,
    pub tags_per_pool: u32,
    pub rules_per_role_mapping: u32,
    pub linked_logins_per_identity: u32,
    pub requests_per_second_per_address: u32,
    pub signed_requests_per_second_per_account: u32,
    pub guests_per_second_per_address: u32,
    pub guests_per_second_per_pool: u32,
    pub requests_per_second: BTreeMap<String, u32>,
    pub max_connections: u32,
}

/// How issuers of login tokens are reached.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "described in defaults.toml")]
pub struct Upstream {
    #[serde(deserialize_with = "seconds")]
    pub connect_timeout: Duration,
    #[serde(deserialize_with = "seconds")]
    pub fetch_timeout: Duration,
    #[serde(deserialize_with = "seconds")]
    pub refetch_cooldown: Duration,
    #[serde(deserialize_with = "seconds")]
    pub stale_limit: Duration,
    #[serde(deserialize_with = "seconds")]
    pub clock_skew: Duration,
    pub user_pool_issuer: String,
    pub user_pool_jwks: String,
    pub token_introspection: String,
    pub saml_audiences: Vec<String>,
    pub saml_recipients: Vec<String>,
    pub facebook_graph: String,
    pub amazon_token_info: String,
    pub twitter_verify_credentials: String,
    pub allow_private_issuers: Vec<String>,
    #[serde(deserialize_with = "ports")]
    pub allow_ports: Vec<u16>,
    pub ca_file: PathBuf,
    pub hosts: BTreeMap<String, IpAddr>,
    pub allow_http_issuers: Vec<String>,
}

/// Where credentials for identities come from.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "described in defaults.toml")]
pub struct Credentials {
    pub sts_endpoint: String,
    pub builtin: bool,
    #[serde(deserialize_with = "seconds")]
    pub lifetime: Duration,
    #[serde(deserialize_with = "seconds")]
    pub timeout: Duration,
    pub guest_session_policy: String,
}

/// Logs.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "described in defaults.toml")]
pub struct Telemetry {
    pub log_format: LogFormat,
    pub log_level: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogFormat {
    Json,
    Text,
}

/// What only development may do.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "described in defaults.toml")]
pub struct Dev {
    pub allow_dev_credentials: bool,
    pub allowed_origins: Vec<String>,
}

/// Whole seconds; also as text, since the environment may hand numbers over as such.
fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_secs)
}

/// Ports; also as text, and a single one without a list, as the environment hands them over.
fn ports<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<u16>, D::Error> {
    let port = |value: Value| match value {
        Value::Number(number) => number.as_u64().and_then(|number| u16::try_from(number).ok()),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let list = match Value::deserialize(deserializer)? {
        Value::Array(list) => list,
        one => vec![one],
    };
    let ports: Option<Vec<u16>> = list.into_iter().map(port).collect();
    ports.ok_or_else(|| serde::de::Error::custom("is not a list of ports such as [8443]"))
}
