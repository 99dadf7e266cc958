//! The STS that the operator names: it takes our tokens by AssumeRoleWithWebIdentity, and gives credentials that work where
//! it is trusted (<https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>).

use std::time::Duration;

use quick_xml::Reader;
use quick_xml::events::Event;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE};
use reqwest::{Client, Response};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::client::keeping_client;
use super::fetch::{self, Failure};
use crate::clock;
use crate::config;
use crate::error::{Error, Result};

/// The version of the API.
const VERSION: &str = "2011-06-15";

/// What session names AWS gives (seen in the ARNs of callers).
pub const SESSION_NAME: &str = "CognitoIdentityCredentials";

/// The largest answer that is read, in bytes.
const MAX_BYTES: usize = 64 * 1024;

/// The setting that bounds how long an answer may take.
const TIMEOUT: &str = "credentials.timeout";

/// How much of an STS's own text goes into the log.
const MAX_TEXT: usize = 256;

/// An STS.
#[derive(Debug)]
pub struct Sts {
    client: Client,
    endpoint: String,
    lifetime: Duration,
    guest_session_policy: String,
}

/// Who takes on which role.
#[derive(Clone, Copy, Debug)]
pub struct Assume<'a> {
    /// The role's ARN.
    pub role: &'a str,
    /// One of our tokens.
    pub token: &'a str,
    /// Whether its subject is a guest, whose session is held to the policy for guests.
    pub guest: bool,
}

/// What the STS gave.
pub struct Assumed {
    /// The public half.
    pub access_key_id: String,
    /// The secret half.
    pub secret: Zeroizing<String>,
    /// What goes with every request.
    pub session_token: String,
    /// When the credentials end.
    pub expires_at: OffsetDateTime,
}

/// The STS does not admit a token to a role: the pool or the role must be mended.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    code: String,
    text: String,
}

impl Sts {
    /// The configured STS; none is configured by default.
    ///
    /// # Errors
    /// [`Error::Refused`] if `upstream.ca_file` does not hold certificates.
    pub fn new(config: &config::Credentials, upstream: &config::Upstream) -> Result<Option<Self>> {
        if config.sts_endpoint.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            client: keeping_client(upstream, config.timeout)?,
            endpoint: config.sts_endpoint.clone(),
            lifetime: config.lifetime,
            guest_session_policy: config.guest_session_policy.clone(),
        }))
    }

    /// Takes on a role. Hold no database connection meanwhile.
    ///
    /// # Errors
    /// [`Error::NoUsableRole`] if the STS does not admit the token to the role, [`Error::StsFailed`] if it cannot be asked.
    pub async fn assume(&self, assume: Assume<'_>) -> Result<Assumed> {
        let outcome = self.ask(assume).await;
        fetch::count_of("the STS", &self.endpoint, &outcome);
        match outcome {
            Ok(Ok(assumed)) => Ok(assumed),
            Ok(Err(Refused { code, text })) => {
                let role = assume.role;
                tracing::warn!(role, code, text, "the STS does not admit an identity to its role");
                Err(Error::NoUsableRole)
            }
            Err(failure) => Err(Error::StsFailed(failure.reason)),
        }
    }

    fn form(&self, assume: Assume<'_>) -> String {
        let seconds = self.lifetime.as_secs().to_string();
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", "AssumeRoleWithWebIdentity")
            .append_pair("Version", VERSION)
            .append_pair("RoleArn", assume.role)
            .append_pair("RoleSessionName", SESSION_NAME)
            .append_pair("DurationSeconds", &seconds)
            .append_pair("WebIdentityToken", assume.token);
        if assume.guest && !self.guest_session_policy.is_empty() {
            form.append_pair("Policy", &self.guest_session_policy);
        }
        form.finish()
    }

    async fn ask(&self, assume: Assume<'_>) -> Result<Result<Assumed, Refused>, Failure> {
        let request = self
            .client
            .post(&self.endpoint)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "text/xml, application/xml")
            .header(ACCEPT_ENCODING, "identity")
            .body(self.form(assume));
        let response = request.send().await.map_err(|error| Failure::on_the_way(error, TIMEOUT))?;
        let status = response.status().as_u16();
        let text = read(response).await?;
        if status == 200 {
            return assumed(&text).map(Ok);
        }
        refused(status, &text, assume.token).map(Err)
    }
}

async fn read(mut response: Response) -> Result<Zeroizing<String>, Failure> {
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(|error| Failure::on_the_way(error, TIMEOUT))? {
        if body.len() + chunk.len() > MAX_BYTES {
            return Err(Failure::bad_document(format!("the answer is longer than {MAX_BYTES} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    let text = std::str::from_utf8(&body).map_err(|_| Failure::bad_document("the answer is not UTF-8"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// The credentials in a success.
fn assumed(xml: &str) -> Result<Assumed, Failure> {
    let of = |name: &str| {
        let path = ["AssumeRoleWithWebIdentityResult", "Credentials", name];
        let found = text_at(xml, &path).filter(|text| !text.is_empty());
        found.ok_or_else(|| Failure::bad_document(format!("the answer has no Credentials with {name}")))
    };
    let expiration = of("Expiration")?;
    let expires_at = clock::parse(&expiration)
        .ok_or_else(|| Failure::bad_document("the answer's Expiration is no time in ISO 8601"))?;
    Ok(Assumed {
        access_key_id: of("AccessKeyId")?,
        secret: Zeroizing::new(of("SecretAccessKey")?),
        session_token: of("SessionToken")?,
        expires_at,
    })
}

/// What an error tells.
///
/// # Errors
/// If it is none in STS's form, or says that the STS could not do its work: another time it might.
fn refused(status: u16, xml: &str, token: &str) -> Result<Refused, Failure> {
    // A token has no place in a log, not even when the STS repeats it, or a part of it.
    let repeats = |text: &str| token.split('.').any(|part| text.contains(part));
    let shown = |text: String| if repeats(&text) { String::new() } else { text.chars().take(MAX_TEXT).collect() };
    let code = text_at(xml, &["Error", "Code"]).map(shown).filter(|code| !code.is_empty());
    let in_passing = |code: &str| {
        // 409: Ceph makes a user for each identity, and two calls at once may both begin to.
        matches!(status, 408 | 409 | 429)
            || ["IDPCommunicationError", "Throttling", "RequestTimeout", "SlowDown"].contains(&code)
    };
    match code {
        Some(code) if (400..500).contains(&status) && !in_passing(&code) => {
            Ok(Refused { code, text: text_at(xml, &["Error", "Message"]).map(shown).unwrap_or_default() })
        }
        code => {
            let code = code.map(|code| format!(" and the code {code}")).unwrap_or_default();
            Err(Failure { result: "bad_status", reason: format!("the answer has HTTP status {status}{code}") })
        }
    }
}

/// The text of the first element that stands, wherever, under these elements. Namespaces do not count.
fn text_at(xml: &str, path: &[&str]) -> Option<String> {
    let mut reader = Reader::from_str(xml);
    let mut open: Vec<String> = Vec::new();
    let mut found: Option<String> = None;
    let is_there = |open: &[String]| {
        open.len() >= path.len() && open.iter().rev().zip(path.iter().rev()).all(|(name, wanted)| name == wanted)
    };
    loop {
        match reader.read_event().ok()? {
            Event::Start(element) => {
                open.push(String::from_utf8_lossy(element.local_name().as_ref()).into_owned());
                if is_there(&open) {
                    found = Some(String::new());
                }
            }
            Event::End(_) => {
                if is_there(&open) {
                    return found;
                }
                open.pop();
            }
            Event::Text(text) if is_there(&open) => found.as_mut()?.push_str(&text.decode().ok()?),
            Event::CData(text) if is_there(&open) => found.as_mut()?.push_str(&text.decode().ok()?),
            Event::GeneralRef(reference) if is_there(&open) => {
                let name = reference.decode().ok()?;
                let character = match reference.resolve_char_ref().ok()? {
                    Some(character) => character.to_string(),
                    None => quick_xml::escape::resolve_predefined_entity(&name)?.to_owned(),
                };
                found.as_mut()?.push_str(&character);
            }
            Event::DocType(_) | Event::Eof => return None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const ANSWER: &str = "<?xml version=\"1.0\"?><AssumeRoleWithWebIdentityResponse \
        xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleWithWebIdentityResult><Credentials>\
        <AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>a&amp;b&#x2F;c</SecretAccessKey>\
        <SessionToken>t/+=</SessionToken><Expiration>2026-11-24T12:00:00.5Z</Expiration></Credentials>\
        </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>";

    #[test]
    fn credentials_are_read_from_a_success() {
        let read = assumed(ANSWER).unwrap();
        assert_eq!((read.access_key_id.as_str(), read.secret.as_str()), ("ASIA1", "a&b/c"));
        assert_eq!(read.session_token, "t/+=");
        assert_eq!(read.expires_at, datetime!(2026-11-24 12:00:00.5 UTC));
    }

    #[test]
    fn an_answer_that_lacks_something_is_no_success() {
        for name in ["AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"] {
            let failure = assumed(&ANSWER.replace(name, "Other")).err().unwrap();
            assert!(failure.reason.contains(name), "{failure:?}");
        }
        for bad in [
            "",
            "{}",
            "<a>",
            &ANSWER.replace("Credentials", "Elsewhere"),
            &ANSWER.replace("2026-11-24T12", "tomorrow"),
            &ANSWER.replace("2026-11-24T12:00:00.5Z", "9999-12-31T23:59:59-23:59"),
            &ANSWER.replace("<?xml version=\"1.0\"?>", "<!DOCTYPE a [<!ENTITY b \"c\">]>"),
            &ANSWER.replace("&amp;", "&b;"),
        ] {
            assert!(assumed(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn an_sts_that_says_nothing_has_used_up_its_own_time() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = config::Config::read(&config::Sources::default()).unwrap();
        let client = keeping_client(&config.upstream, Duration::from_millis(50)).unwrap();
        let question = client.get(format!("http://{}", silent.local_addr().unwrap()));
        let failure = Failure::on_the_way(question.send().await.unwrap_err(), TIMEOUT);
        assert_eq!(
            (failure.result, failure.reason.as_str()),
            ("timeout", "no whole answer within credentials.timeout")
        );
    }

    #[test]
    fn a_refusal_is_told_from_a_failure() {
        let error = |code: &str, text: &str| {
            format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{text}</Message></Error></ErrorResponse>"
            )
        };
        let by_role = |code: &str, text: &str| Refused { code: code.into(), text: text.into() };
        for (status, code) in
            [(403, "AccessDenied"), (400, "InvalidIdentityToken"), (400, "PackedPolicyTooLarge"), (404, "NoSuchEntity")]
        {
            assert_eq!(refused(status, &error(code, "x"), "token").unwrap(), by_role(code, "x"), "{status}");
        }
        for (status, code) in [
            (400, "IDPCommunicationError"),
            (400, "Throttling"),
            (408, "RequestTimeout"),
            (409, "EntityAlreadyExists"),
            (429, "TooMany"),
            (503, "SlowDown"),
            (500, "InternalFailure"),
            (302, "TemporaryRedirect"),
        ] {
            let failure = refused(status, &error(code, "x"), "token").unwrap_err();
            assert_eq!(failure.result, "bad_status");
            assert_eq!(failure.reason, format!("the answer has HTTP status {status} and the code {code}"));
        }
        let repeated = refused(403, &error("AccessDenied", "bad token"), "token");
        assert_eq!(repeated.unwrap(), by_role("AccessDenied", ""));
        for part in ["head", "head.cla…", "claims of ann", "sign"] {
            let repeated = refused(403, &error("AccessDenied", part), "head.claims of ann.sign");
            assert_eq!(repeated.unwrap(), by_role("AccessDenied", ""), "{part}");
        }
        assert!(!refused(403, &error("a token", "bad token"), "token").unwrap_err().reason.contains("token"));
        let page = refused(403, "<html>Forbidden</html>", "token").unwrap_err();
        assert_eq!((page.result, page.reason.as_str()), ("bad_status", "the answer has HTTP status 403"));
        // Ceph's form.
        let bare = "<Error><Code>AccessDenied</Code><RequestId>1</RequestId></Error>";
        assert_eq!(refused(403, bare, "token").unwrap(), by_role("AccessDenied", ""));
    }
}
