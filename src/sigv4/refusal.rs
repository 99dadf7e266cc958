//! Why a signed request is refused, each reason with the sentence that its sender reads.

use std::fmt;

use time::OffsetDateTime;

use crate::ids::Region;

use super::WINDOW;

/// A reason to refuse a signed request. `Display` is the text for its sender: AWS's own words where they are known.
/// No text ever holds a signature, neither the sender's nor ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No `Authorization` at all.
    #[error("Missing Authentication Token")]
    MissingToken,
    /// `Authorization` lacks a part, has one that cannot be read, or comes without a date.
    #[error("{problems} Authorization={shown}")]
    Incomplete {
        /// What is wrong, in whole sentences.
        problems: String,
        /// The header as far as it may be shown.
        shown: String,
    },
    /// Not a plain `POST /`; so are the presigned forms, which sign a query string.
    #[error("A signed request must be a POST to '/' without a query string.")]
    NotPostRoot,
    /// A header that must be there once is there twice.
    #[error("'{header}' must be sent once.")]
    Duplicate {
        /// The header's name.
        header: String,
    },
    /// A header that must be signed is not.
    #[error("'{header}' must be a 'SignedHeader' in the AWS Authorization.")]
    Unsigned {
        /// The header's name.
        header: String,
    },
    /// A header is named as signed and was not sent.
    #[error("'{header}' is a 'SignedHeader' in the AWS Authorization but is not in the request.")]
    Absent {
        /// The header's name.
        header: String,
    },
    /// `SignedHeaders` is not in its canonical form.
    #[error("'SignedHeaders' in the AWS Authorization must be lower-case, sorted and without repetition.")]
    DisorderedHeaders,
    /// The payload is not signed, or piece by piece.
    #[error("'x-amz-content-sha256' must be the SHA-256 of the whole payload: unsigned and streamed ones are refused.")]
    UnsignedPayload,
    /// The scope is of another day than the request.
    #[error(
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
         '{scope}' != '{date}'."
    )]
    WrongDate {
        /// The day of the scope.
        scope: String,
        /// The day of `X-Amz-Date`.
        date: String,
    },
    /// The scope is of a region that is not served here.
    #[error("Credential should be scoped to a valid region.{}", ServedRegions(served))]
    WrongRegion {
        /// The regions that are served; none when any well-formed one is.
        served: Vec<Region>,
    },
    /// The scope is of another service.
    #[error("Credential should be scoped to correct service: {}.", Quoted(served))]
    WrongService {
        /// The services that would have been right.
        served: Vec<&'static str>,
    },
    /// The scope does not end as a scope must.
    #[error("Credential should be scoped with a valid terminator: 'aws4_request'.")]
    WrongTerminator,
    /// No such access key, or a session token that is not ours.
    #[error("The security token included in the request is invalid.")]
    UnknownKey,
    /// A session token past its end.
    #[error("The security token included in the request is expired")]
    ExpiredToken,
    /// Signed too long ago.
    #[error(
        "Signature expired: {} is now earlier than {} ({} - {} min.)",
        Basic(*signed), Basic(now.saturating_sub(WINDOW)), Basic(*now), WINDOW.whole_minutes()
    )]
    Expired {
        /// When the sender says it signed.
        signed: OffsetDateTime,
        /// When it was received.
        now: OffsetDateTime,
    },
    /// Signed too far in the future.
    #[error(
        "Signature not yet current: {} is still later than {} ({} + {} min.)",
        Basic(*signed), Basic(now.saturating_add(WINDOW)), Basic(*now), WINDOW.whole_minutes()
    )]
    NotYetCurrent {
        /// When the sender says it signed.
        signed: OffsetDateTime,
        /// When it was received.
        now: OffsetDateTime,
    },
    /// The signature is not the one of this request under this key.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access \
         Key and signing method. Consult the service documentation for details."
    )]
    Mismatch,
}

impl Refusal {
    pub(super) fn incomplete(problems: impl Into<String>, authorization: &[u8]) -> Self {
        Self::Incomplete { problems: problems.into(), shown: shown(authorization) }
    }
}

/// At most so many characters of what a sender wrote go back into a text.
const EXCERPT: usize = 128;

/// So many digits, as a signature is written in, could be a piece of one that ran into something else.
const DIGITS: usize = 16;

pub(super) fn excerpt(text: &str) -> String {
    let text: String = text.chars().take(EXCERPT).collect();
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let digits = text.as_bytes().windows(DIGITS).position(|run| run.iter().all(is_digit));
    match digits.and_then(|at| text.get(..at)) {
        Some(before) => format!("{before}..."),
        None => text,
    }
}

/// What may be repeated of an `Authorization` header: what is known to be harmless, so that neither a signature nor
/// another scheme's password ends up in an answer or a log, however the header is garbled.
fn shown(authorization: &[u8]) -> String {
    let text = String::from_utf8_lossy(authorization);
    let Some((scheme, parts)) = text.split_once(' ').filter(|(scheme, _)| scheme.starts_with("AWS4-")) else {
        return "...".to_owned();
    };
    let parts = parts.split(',').map(|part| match part.trim().split_once('=') {
        Some((name @ ("Credential" | "SignedHeaders"), value)) => {
            format!("{name}={}", excerpt(value.split_whitespace().next().unwrap_or_default()))
        }
        Some(("Signature", _)) => "Signature=...".to_owned(),
        _ => "...".to_owned(),
    });
    format!("{} {}", excerpt(scheme), parts.take(4).collect::<Vec<_>>().join(", "))
}

/// A time in ISO 8601 basic format, as SigV4 writes it.
struct Basic(OffsetDateTime);

impl fmt::Display for Basic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, time) = (self.0.date(), self.0.time());
        let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
        let (hour, minute, second) = (time.hour(), time.minute(), time.second());
        write!(f, "{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
    }
}

struct ServedRegions<'a>(&'a [Region]);

impl fmt::Display for ServedRegions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, rest)) = self.0.split_first() else { return Ok(()) };
        write!(f, " This endpoint serves: {first}")?;
        rest.iter().try_for_each(|region| write!(f, ", {region}"))?;
        f.write_str(".")
    }
}

struct Quoted<'a>(&'a [&'static str]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(index, name)| {
            let separator = if index == 0 { "" } else { " or " };
            write!(f, "{separator}'{name}'")
        })
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn the_clock_texts_are_the_ones_of_aws() {
        let expired =
            Refusal::Expired { signed: datetime!(2016-06-10 18:05:47 UTC), now: datetime!(2016-06-10 18:11:12 UTC) };
        assert_eq!(
            expired.to_string(),
            "Signature expired: 20160610T180547Z is now earlier than 20160610T180612Z (20160610T181112Z - 5 min.)"
        );
        let early =
            Refusal::NotYetCurrent { signed: datetime!(2023-08-04 0:00 UTC), now: datetime!(2023-08-03 17:17:33 UTC) };
        assert_eq!(
            early.to_string(),
            "Signature not yet current: 20230804T000000Z is still later than 20230803T172233Z \
             (20230803T171733Z + 5 min.)"
        );
    }

    #[test]
    fn the_scope_texts_name_what_is_served() {
        let served = ["us-east-1", "eu-west-1"].iter().filter_map(|name| Region::parse(name)).collect();
        assert_eq!(
            Refusal::WrongRegion { served }.to_string(),
            "Credential should be scoped to a valid region. This endpoint serves: us-east-1, eu-west-1."
        );
        assert_eq!(
            Refusal::WrongRegion { served: Vec::new() }.to_string(),
            "Credential should be scoped to a valid region."
        );
        assert_eq!(
            Refusal::WrongService { served: vec!["cognito-identity"] }.to_string(),
            "Credential should be scoped to correct service: 'cognito-identity'."
        );
        assert_eq!(
            Refusal::WrongService { served: vec!["sts", "iam"] }.to_string(),
            "Credential should be scoped to correct service: 'sts' or 'iam'."
        );
    }

    #[test]
    fn no_form_of_the_header_gets_a_secret_shown() {
        let secret = "0123456789abcdef";
        for header in [
            format!("AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature={secret}"),
            format!("AWS4-HMAC-SHA256 Credential=a/b Signature={secret}"),
            format!("AWS4-HMAC-SHA256 Signature {secret}"),
            format!("AWS4-HMAC-SHA256 Sgnature={secret}"),
            format!("AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=hoSignature={secret}"),
            format!("AWS4-HMAC-SHA256 Credential=a/{secret}, SignedHeaders=ho{secret}"),
            format!("Basic {secret}"),
            format!("Bearer {secret}"),
            secret.to_owned(),
        ] {
            let text = Refusal::incomplete("No.", header.as_bytes()).to_string();
            assert!(!text.contains(secret), "{text}");
        }
        assert_eq!(excerpt(&format!("x-z{secret}")), "x-z...");
        let whole = b"AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=0123";
        assert_eq!(shown(whole), "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=...");
    }
}
