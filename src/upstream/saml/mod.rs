//! SAML responses as logins: what a browser brings from its identity provider, in base64.
//!
//! A response is a document in which anything may be signed, and anything else added; wrapping attacks live on a check
//! that looks at one part and a reader that looks at another. So the two are never asked about the same text:
//!
//! 1. `response`: the form of the whole document. One response, one assertion, each id once, signatures only where SAML
//!    has them.
//! 2. `signature`: the signatures, by the keys of the provider's own metadata and nothing else. What it gives is the
//!    canonical text that was digested and signed.
//! 3. `assertion`: reads that text, parsed anew, and nothing but that text: user, times, audience, recipient,
//!    attributes.
//!
//! Requests are not tracked, so that `InResponseTo` is not looked at, as AWS does not: a login may begin at the provider.
//! That an assertion is taken once is for the caller to see to ([`Once`]).

mod assertion;
mod response;
mod signature;

use aws_lc_rs::digest::{SHA256, digest};
use time::{Duration, OffsetDateTime};

use self::assertion::Expected;
use super::login::{Once, VerifiedLogin};
use super::trust::{Audience, Kind, Saml};
use crate::config;
use crate::error::InvalidLogin;

/// The namespace of assertions.
const ASSERTION: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
/// The namespace of responses.
const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
/// The namespace of signatures.
const SIGNATURE: &str = "http://www.w3.org/2000/09/xmldsig#";

/// Verifies a response of the provider at this time: whose it is, for whom, and by whom signed.
///
/// # Errors
/// The first thing that does not hold.
pub fn verify(
    login_key: &str,
    trust: &Saml,
    response: &str,
    config: &config::Upstream,
    now: OffsetDateTime,
) -> Result<VerifiedLogin, InvalidLogin> {
    let metadata = &trust.provider.metadata;
    if metadata.valid_until.is_some_and(|end| end <= now) {
        return Err(InvalidLogin::Saml("The metadata of the SAML provider has expired (validUntil)."));
    }
    let skew = Duration::try_from(config.clock_skew).unwrap_or(Duration::MAX);
    let expected = Expected {
        issuer: &metadata.entity_id,
        audiences: &config.saml_audiences,
        recipients: &config.saml_recipients,
        now,
        skew,
    };
    let signed = response::open(response, &metadata.certificates, &expected)?;
    let said = assertion::read(&signed, &expected)?;
    let id = digest(&SHA256, said.id.as_bytes()).as_ref().to_vec();
    Ok(VerifiedLogin {
        login_key: login_key.to_owned(),
        audience: Audience { client_id: said.audience, kind: Kind::Saml { arn: trust.arn.clone() } },
        subject: said.subject,
        claims: said.claims,
        once: Some(Once { provider: trust.provider.name.clone(), id, expires_at: said.expires_at }),
    })
}
