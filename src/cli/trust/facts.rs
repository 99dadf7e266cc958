//! What an installation says of itself, as far as consumers must be told.

use std::net::IpAddr;
use std::time::Duration;

use super::guide::Guide;
use super::quote;
use crate::config::Algorithm;
use crate::keys::State;
use crate::keys::control::PublishedKey;
use crate::pools::Pool;

/// Everything that a consumer's configuration is made of.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// The `iss` of tokens.
    pub(super) issuer: String,
    /// Whether the installation is one of `symbolon dev`.
    pub(super) dev: bool,
    /// The pool.
    pub(super) pool: Pool,
    /// The one identity that is let in, if the user named it.
    pub(super) identity: Option<String>,
    /// Whether that identity is a guest.
    pub(super) guest: bool,
    /// What things are called at the consumer.
    pub(super) name: String,
    /// The keys of the JWKS, in its order.
    pub(super) keys: Vec<PublishedKey>,
    /// The JWKS, without certificates.
    pub(super) jwks: String,
    /// The algorithm of keys yet to be made.
    pub(super) algorithm: Algorithm,
    /// Whether the JWKS shows certificates, by the configuration that this command sees.
    pub(super) x5c: bool,
    /// How long a key signs.
    pub(super) rotation_period: Duration,
    /// How long a key is public before it signs.
    pub(super) publish_lead: Duration,
}

impl Facts {
    /// The pool's id, which is the audience.
    pub(super) fn audience(&self) -> String {
        self.pool.id.to_string()
    }

    /// The issuer without its scheme: what AWS and those after it call a provider by.
    pub(super) fn provider(&self) -> &str {
        self.issuer.split_once("://").map_or(self.issuer.as_str(), |(_, rest)| rest)
    }

    /// Where the keys are.
    pub(super) fn jwks_url(&self) -> String {
        format!("{}/.well-known/jwks.json", self.issuer)
    }

    /// The identity that is let in, or the placeholder for it.
    pub(super) fn subject(&self) -> String {
        self.identity.clone().unwrap_or_else(|| "REPLACE_IDENTITY_ID".to_owned())
    }

    /// The algorithms of the keys that are published, and of the next to be made.
    pub(super) fn algorithms(&self) -> Vec<&'static str> {
        let mut all: Vec<&'static str> = Vec::new();
        for algorithm in self.keys.iter().map(|key| key.algorithm).chain([self.algorithm]) {
            if !all.contains(&algorithm.as_str()) {
                all.push(algorithm.as_str());
            }
        }
        all
    }

    fn authority(&self) -> &str {
        self.provider().split('/').next().unwrap_or_default()
    }

    fn host(&self) -> &str {
        let authority = self.authority();
        if let Some((address, _)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            return address;
        }
        authority.split_once(':').map_or(authority, |(host, _)| host)
    }

    fn is_https(&self) -> bool {
        self.issuer.starts_with("https://")
    }

    /// Whether the issuer's host is one that only this machine reaches.
    fn is_loopback(&self) -> bool {
        let host = self.host();
        host == "localhost" || host.ends_with(".localhost") || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }

    /// Whether the issuer's host has a name that the internet can know.
    pub(super) fn is_public(&self) -> bool {
        const PRIVATE: [&str; 8] =
            [".local", ".localhost", ".internal", ".lan", ".home.arpa", ".test", ".invalid", ".intranet"];
        let host = self.host();
        host.contains('.') && host.parse::<IpAddr>().is_err() && !PRIVATE.iter().any(|end| host.ends_with(end))
    }

    /// Warns of what no consumer should overlook.
    pub(super) fn warn_of_installation(&self, guide: &mut Guide) {
        if self.dev {
            guide.warn(
                "this is an installation of `symbolon dev`: anyone who reaches it has its well-known access key, and so a \
                 token for any user. Trust it in a laboratory only.",
            );
        }
        if self.guest {
            guide.warn(format!(
                "{} is a guest: whoever knows its id gets its tokens, and they never carry extra audiences. Link a login \
                 to it first.",
                self.subject()
            ));
        }
    }

    /// Warns where guests of the pool would be let in, since the consumer cannot be told to look further than at the
    /// audience, or, if it knows `sub`, at the identity.
    pub(super) fn warn_of_guests(&self, guide: &mut Guide, knows_sub: bool) {
        if !self.pool.settings.allow_unauthenticated || (knows_sub && self.identity.is_some()) {
            return;
        }
        let name_it = if knows_sub { "Name the one identity that is meant (--identity), or use" } else { "Use" };
        guide.warn(format!(
            "this pool admits guests: anyone who knows its id gets a token that this configuration accepts. {name_it} a \
             pool without guests (AllowUnauthenticatedIdentities false)."
        ));
    }

    /// Warns if the consumer fetches from the internet, and could not.
    pub(super) fn warn_unless_public_https(&self, guide: &mut Guide, consumer: &str) {
        self.warn_unless_https(guide, consumer);
        if !self.is_public() {
            guide.warn_with(
                format!(
                    "{consumer} fetches the keys of {} from the internet, where nobody knows its host. Give the installation \
                     an issuer with a public name; every verifier must then be told.",
                    self.issuer
                ),
                "symbolon installation set-issuer https://REPLACE_HOST",
            );
        }
    }

    /// Warns if the consumer takes https only.
    pub(super) fn warn_unless_https(&self, guide: &mut Guide, consumer: &str) {
        if !self.is_https() {
            guide.warn(format!(
                "{consumer} accepts an issuer with https:// only; this one is {}. Put a proxy with TLS in front, and \
                 change the issuer (`symbolon installation set-issuer`).",
                self.issuer
            ));
        }
    }

    /// Warns if only consumers on this machine reach the issuer.
    pub(super) fn warn_of_loopback(&self, guide: &mut Guide, consumer: &str) {
        if self.is_loopback() {
            guide.warn(format!("{} is reached from this machine alone: {consumer} must run on it.", self.issuer));
        }
    }

    /// Warns if the issuer's URL names a port.
    pub(super) fn warn_of_port(&self, guide: &mut Guide, consumer: &str) {
        if self.authority().len() > self.host().len() && !self.authority().ends_with(']') {
            guide.warn(format!("{consumer} accepts no issuer with a port; this one is {}.", self.issuer));
        }
    }

    /// Warns if a key, or one yet to be made, has another algorithm than these.
    pub(super) fn warn_of_algorithms(&self, guide: &mut Guide, accepted: &[&str], why: &str) {
        let others: Vec<&str> =
            self.algorithms().into_iter().filter(|algorithm| !accepted.contains(algorithm)).collect();
        if !others.is_empty() {
            let (others, first) = (others.join(", "), accepted.first().unwrap_or(&"RS256"));
            guide.warn(format!(
                "{why}; this installation has keys, or makes its next one, with {others}. Set issuer.algorithm = \
                 \"{first}\" (SYMBOLON__ISSUER__ALGORITHM={first}) on every broker; it applies to the next key that is \
                 made."
            ));
        }
    }

    /// Warns if `aud` is a list, and the consumer's documentation does not say that it takes one.
    pub(super) fn warn_of_list(&self, guide: &mut Guide, consumer: &str) {
        if !self.pool.audiences.as_slice().is_empty() {
            guide.warn(format!(
                "this pool has extra audiences, so `aud` of its users' tokens is a list, the pool's id first. {consumer}'s \
                 documentation speaks of one value, and does not say whether a list is taken: try it first, or use a \
                 pool without any."
            ));
        }
    }

    /// Warns if the consumer wants an audience that the pool's tokens lack.
    pub(super) fn warn_unless_audience(&self, guide: &mut Guide, audience: &str, why: &str) {
        if !self.pool.audiences.contains(audience) {
            guide.warn_with(
                format!("the tokens of this pool do not carry the audience {audience}: {why}"),
                format!("symbolon audience add {} --pool {}", quote::shell(audience), quote::shell(&self.audience())),
            );
        }
    }

    /// The keys of principal tags that claims of logins become in this pool.
    pub(super) fn principal_tags(&self) -> Vec<&str> {
        let numbered = self.pool.numbered.iter();
        let maps = numbered.filter_map(|(login_key, provider)| Some((login_key, provider.tag_map.as_ref()?)));
        let mut keys: Vec<&str> = maps.flat_map(|(key, map)| map.mapping(key)).map(|(tag, _)| tag).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The SHA-1 thumbprints of the certificates that the JWKS shows, or will once `issuer.x5c` is on: the key that signs,
    /// the next ones, then those that still verify. RGW takes at most five.
    pub(super) fn thumbprints(&self) -> Vec<String> {
        const MOST: usize = 5;
        let mut keys: Vec<&PublishedKey> = self.keys.iter().collect();
        // The sort is stable: within a state the order is that of the JWKS.
        keys.sort_by_key(|key| match key.state {
            State::Active => 0,
            State::Next => 1,
            _ => 2,
        });
        keys.into_iter().filter_map(|key| thumbprint(key.certificate.as_deref()?)).take(MOST).collect()
    }
}

/// A period in words.
pub(super) fn period(period: Duration) -> String {
    let seconds = period.as_secs();
    let (count, unit) = match seconds {
        _ if seconds >= 2 * 86_400 && seconds.is_multiple_of(86_400) => (seconds / 86_400, "days"),
        _ if seconds >= 2 * 3_600 && seconds.is_multiple_of(3_600) => (seconds / 3_600, "hours"),
        _ => (seconds, "seconds"),
    };
    format!("{count} {unit}")
}

/// The SHA-1 of a certificate in base64, in hexadecimal: a name that consumers chose, not a protection.
fn thumbprint(certificate: &str) -> Option<String> {
    use base64::Engine as _;
    let der = base64::engine::general_purpose::STANDARD.decode(certificate).ok()?;
    Some(hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, &der)))
}
