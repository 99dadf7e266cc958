//! AWS Signature Version 4, verified strictly: one form of request, and nothing of its body read before it holds.
//!
//! Three steps, each with a type of its own so that none can be left out: [`parse`] checks the form and gives
//! [`Presented`], [`Presented::check_time`] gives [`Timely`], and [`Timely::verify`] checks the signature under the key
//! that the caller looked up in between.

mod refusal;
mod signature;

use std::fmt;
use std::hint::black_box;
use std::ops::Deref;

use aws_lc_rs::digest;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use time::{Date, Duration, Month, OffsetDateTime, Time};

use crate::ids::Region;

use refusal::excerpt;
use signature::{ALGORITHM, TERMINATOR};

pub use refusal::Refusal;
pub use signature::{SigningKey, request_hash};

/// How far the sender's clock may be off, either way.
pub const WINDOW: Duration = Duration::minutes(5);

/// The only request that is admitted, as the first lines of its canonical form.
const POST_ROOT: &str = "POST\n/\n\n";

/// A service that a credential can be scoped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Service {
    /// Its name in the scope.
    pub name: &'static str,
    /// Whether its operation is in `X-Amz-Target`, which must then be sent and signed.
    pub has_target: bool,
}

impl Service {
    /// Amazon Cognito Identity.
    pub const COGNITO_IDENTITY: Self = Self { name: "cognito-identity", has_target: true };
    /// The Security Token Service.
    pub const STS: Self = Self { name: "sts", has_target: false };
    /// Identity and Access Management.
    pub const IAM: Self = Self { name: "iam", has_target: false };
}

/// What an endpoint admits.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The services that the credential may be scoped to.
    pub services: &'a [Service],
    /// The regions that it may be scoped to; any well-formed one if there is no list.
    pub regions: Option<&'a [Region]>,
}

/// A signature of good form, as its sender presents it: nothing of it is proven.
pub struct Presented<'a> {
    access_key_id: &'a str,
    /// `date/region/service/aws4_request`, as sent.
    scope: &'a str,
    date: &'a str,
    region: Region,
    service: Service,
    timestamp: &'a str,
    signed_at: OffsetDateTime,
    signed_headers: &'a str,
    session_token: Option<&'a str>,
    content_sha256: Option<&'a [u8]>,
    signature: [u8; 32],
    headers: &'a HeaderMap,
}

/// Checks the form of a signed request: everything that can be told without a key and without a clock.
///
/// # Errors
/// The first reason found to refuse it.
pub fn parse<'a>(request: &'a Parts, rules: &Rules<'_>) -> Result<Presented<'a>, Refusal> {
    let uri = &request.uri;
    if request.method != Method::POST || uri.path() != "/" || uri.query().is_some_and(|query| !query.is_empty()) {
        return Err(Refusal::NotPostRoot);
    }
    let headers = &request.headers;
    let authorization = single(headers, "authorization")?.ok_or(Refusal::MissingToken)?;
    let timestamp = single(headers, "x-amz-date")?;
    let Authorization { credential, signed_headers, signature } =
        Authorization::parse(authorization.as_bytes(), timestamp.is_some())?;
    let incomplete = |problem: &str| Refusal::incomplete(problem, authorization.as_bytes());
    let (timestamp, signed_at) = timestamp
        .and_then(|value| value.to_str().ok())
        .and_then(|text| Some((text, basic_format(text)?)))
        .ok_or_else(|| incomplete("Date must be in ISO-8601 'basic format'."))?;

    let mut elements = credential.split('/');
    let scope = credential.split_once('/').map(|(_, scope)| scope);
    let (Some(access_key_id), Some(date), Some(region), Some(service), Some(terminator), None, Some(scope)) = (
        elements.next().filter(|id| !id.is_empty()),
        elements.next(),
        elements.next(),
        elements.next(),
        elements.next(),
        elements.next(),
        scope,
    ) else {
        return Err(incomplete(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.",
        ));
    };
    if terminator != TERMINATOR {
        return Err(Refusal::WrongTerminator);
    }
    if Some(date) != timestamp.get(..8) {
        let signed_on = timestamp.get(..8).unwrap_or_default();
        return Err(Refusal::WrongDate { scope: excerpt(date), date: signed_on.to_owned() });
    }
    let region = Region::parse(region)
        .filter(|region| rules.regions.is_none_or(|served| served.contains(region)))
        .ok_or_else(|| Refusal::WrongRegion { served: rules.regions.unwrap_or_default().to_vec() })?;
    let service =
        rules.services.iter().find(|served| served.name == service).copied().ok_or_else(|| Refusal::WrongService {
            served: rules.services.iter().map(|served| served.name).collect(),
        })?;

    check_headers(headers, signed_headers, service)?;
    let content_sha256 = headers.get("x-amz-content-sha256").map(HeaderValue::as_bytes);
    if content_sha256.is_some_and(|hash| !is_lower_hex_hash(hash)) {
        return Err(Refusal::UnsignedPayload);
    }
    let session_token = match headers.get("x-amz-security-token") {
        Some(token) => Some(token.to_str().map_err(|_| Refusal::UnknownKey)?),
        None => None,
    };
    let mut signature_bytes = [0; 32];
    // An ill-formed signature is one that does not match; its sender need not learn more.
    if !is_lower_hex_hash(signature.as_bytes()) || hex::decode_to_slice(signature, &mut signature_bytes).is_err() {
        return Err(Refusal::Mismatch);
    }
    Ok(Presented {
        access_key_id,
        scope,
        date,
        region,
        service,
        timestamp,
        signed_at,
        signed_headers,
        session_token,
        content_sha256,
        signature: signature_bytes,
        headers,
    })
}

impl<'a> Presented<'a> {
    /// The access key that the request claims to be signed with.
    #[must_use]
    pub fn access_key_id(&self) -> &'a str {
        self.access_key_id
    }

    /// The scope's day, `YYYYMMDD`.
    #[must_use]
    pub fn date(&self) -> &'a str {
        self.date
    }

    /// The scope's region: one of those that are served.
    #[must_use]
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// The scope's service: one of those that are served.
    #[must_use]
    pub fn service(&self) -> Service {
        self.service
    }

    /// When the request says it was signed.
    #[must_use]
    pub fn signed_at(&self) -> OffsetDateTime {
        self.signed_at
    }

    /// The session token, if there is one; the signature covers it.
    #[must_use]
    pub fn session_token(&self) -> Option<&'a str> {
        self.session_token
    }

    /// Checks the time of signing against the clock's `now`, to the second.
    ///
    /// # Errors
    /// [`Refusal::Expired`] or [`Refusal::NotYetCurrent`] if they are more than [`WINDOW`] apart.
    pub fn check_time(self, now: OffsetDateTime) -> Result<Timely<'a>, Refusal> {
        let now = now.to_offset(time::UtcOffset::UTC);
        let age = now.unix_timestamp() - self.signed_at.unix_timestamp();
        if age > WINDOW.whole_seconds() {
            return Err(Refusal::Expired { signed: self.signed_at, now });
        }
        if age < -WINDOW.whole_seconds() {
            return Err(Refusal::NotYetCurrent { signed: self.signed_at, now });
        }
        Ok(Timely(self))
    }

    fn holds(&self, key: &SigningKey, body: &[u8]) -> bool {
        let body_hash = digest::digest(&digest::SHA256, body);
        let declared = self.content_sha256.is_none_or(|hash| hash == signature::hex(&body_hash));
        let hash = request_hash(POST_ROOT, self.headers, self.signed_headers, &body_hash);
        // Not lazy, so that a wrong declared hash costs as much as a right one.
        key.has_signed(self.timestamp, self.scope, &hash, &self.signature) & declared
    }
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented")
            .field("access_key_id", &self.access_key_id)
            .field("scope", &self.scope)
            .field("timestamp", &self.timestamp)
            .finish_non_exhaustive()
    }
}

/// A [`Presented`] signature of the present time.
#[derive(Debug)]
pub struct Timely<'a>(Presented<'a>);

impl<'a> Deref for Timely<'a> {
    type Target = Presented<'a>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Timely<'_> {
    /// Checks the signature under `key`, over the raw `body`. In constant time.
    ///
    /// # Errors
    /// [`Refusal::Mismatch`] if it is not the signature of this request.
    pub fn verify(&self, key: &SigningKey, body: &[u8]) -> Result<(), Refusal> {
        if self.0.holds(key, body) { Ok(()) } else { Err(Refusal::Mismatch) }
    }

    /// The refusal of an access key that does not exist, after the work that one which exists would have cost.
    #[must_use]
    pub fn refuse_unknown_key(&self, body: &[u8]) -> Refusal {
        let dummy = SigningKey::derive(&[b'.'; 40], self.date, self.region.as_str(), self.service.name);
        black_box(self.0.holds(&dummy, body));
        Refusal::UnknownKey
    }
}

/// The parts of the `Authorization` header.
struct Authorization<'a> {
    credential: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    fn parse(header: &'a [u8], has_date: bool) -> Result<Self, Refusal> {
        let incomplete = |problem: &str| Refusal::incomplete(problem, header);
        let text = std::str::from_utf8(header)
            .ok()
            .filter(|text| text.is_ascii())
            .ok_or_else(|| incomplete("Authorization header must be ASCII."))?;
        let (algorithm, parts) = text.split_once(' ').unwrap_or((text, ""));
        if algorithm != ALGORITHM {
            return Err(incomplete("Unsupported AWS 'algorithm': only 'AWS4-HMAC-SHA256' is supported."));
        }
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for part in parts.split(',').map(str::trim).filter(|_| !parts.trim().is_empty()) {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| incomplete("Authorization header has a part without an equal-sign."))?;
            let place = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return Err(incomplete("Authorization header has an unknown parameter.")),
            };
            if place.replace(value).is_some() {
                return Err(incomplete("Authorization header has a parameter twice."));
            }
        }
        let present = |part: Option<&'a str>| part.filter(|value| !value.is_empty());
        match (present(credential), present(signed_headers), present(signature)) {
            (Some(credential), Some(signed_headers), Some(signature)) if has_date => {
                Ok(Self { credential, signed_headers, signature })
            }
            (credential, signed_headers, signature) => {
                let lacking = [
                    (credential.is_some(), "'Credential' parameter"),
                    (signature.is_some(), "'Signature' parameter"),
                    (signed_headers.is_some(), "'SignedHeaders' parameter"),
                    (has_date, "existence of a 'X-Amz-Date' header"),
                ]
                .into_iter()
                .filter(|(there, _)| !there)
                .map(|(_, what)| format!("Authorization header requires {what}."));
                Err(incomplete(&lacking.collect::<Vec<_>>().join(" ")))
            }
        }
    }
}

/// Holds the list of signed headers against the headers that were sent.
fn check_headers(headers: &HeaderMap, signed_headers: &str, service: Service) -> Result<(), Refusal> {
    let mut signed = Vec::with_capacity(16);
    for name in signed_headers.split(';') {
        // Ascending names that must all be there once: the list cannot be longer than the request's headers.
        if signed.last().is_some_and(|last| *last >= name) || name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(Refusal::DisorderedHeaders);
        }
        if single(headers, name)?.is_none() {
            return Err(Refusal::Absent { header: excerpt(name) });
        }
        signed.push(name);
    }
    let must_be_signed = ["host", "x-amz-date"]
        .into_iter()
        .chain(headers.contains_key("content-type").then_some("content-type"))
        .chain(service.has_target.then_some("x-amz-target"))
        .chain(headers.keys().map(HeaderName::as_str).filter(|name| {
            // A proxy adds this one after the signature, and nobody reads it.
            name.starts_with("x-amz-") && *name != "x-amz-cf-id"
        }));
    for name in must_be_signed {
        if signed.binary_search(&name).is_err() {
            return Err(Refusal::Unsigned { header: excerpt(name) });
        }
    }
    Ok(())
}

/// The only value of a header, if it was sent at all.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a HeaderValue>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { Err(Refusal::Duplicate { header: excerpt(name) }) } else { Ok(first) }
}

fn is_lower_hex_hash(text: &[u8]) -> bool {
    text.len() == 64 && text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The time in `YYYYMMDDTHHMMSSZ`, and in no other form.
fn basic_format(text: &str) -> Option<OffsetDateTime> {
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u16>().ok()).flatten()
    };
    let small = |from: usize| u8::try_from(number(from, from + 2)?).ok();
    if text.len() != 16 || text.get(8..9) != Some("T") || text.get(15..) != Some("Z") {
        return None;
    }
    let month = Month::try_from(small(4)?).ok()?;
    let date = Date::from_calendar_date(i32::from(number(0, 4)?), month, small(6)?).ok()?;
    Some(date.with_time(Time::from_hms(small(9)?, small(11)?, small(13)?).ok()?).assume_utc())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn only_the_basic_format_is_a_date() {
        assert_eq!(basic_format("20150830T123600Z"), Some(datetime!(2015-08-30 12:36 UTC)));
        for bad in [
            "",
            "20150830T123600",
            "20150830T123600z",
            "20150830 123600Z",
            "2015-08-30T12:36:00Z",
            "20150230T123600Z",
            "20151330T123600Z",
            "20150830T243600Z",
            "20150830T126000Z",
            "20150830T123660Z",
            "+2150830T123600Z",
            "2015083\u{e9}123600Z",
            "20150830T1236000Z",
        ] {
            assert_eq!(basic_format(bad), None, "{bad}");
        }
    }
}
