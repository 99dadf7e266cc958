//! Whole answers as text, with what differs from run to run asserted by its shape and then put out of sight.

use std::sync::LazyLock;

use axum::http::HeaderMap;
use regex::{Captures, Regex, RegexBuilder};
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::client::Answer;

/// The headers of every answer to an operation.
pub const HEAD: &str = "\
content-length: [length of the body]
content-type: application/x-amz-json-1.1
strict-transport-security: max-age=31536000; includeSubDomains
x-amzn-requestid: [random uuid]
";

/// The same where a browser's page asks.
pub const HEAD_FOR_PAGES: &str = "\
access-control-allow-origin: *
access-control-expose-headers: x-amzn-requestid,x-amzn-errortype,x-amzn-errormessage,date
content-length: [length of the body]
content-type: application/x-amz-json-1.1
strict-transport-security: max-age=31536000; includeSubDomains
vary: access-control-request-headers
x-amzn-requestid: [random uuid]
";

fn pattern(text: &str) -> Regex {
    RegexBuilder::new(text).unicode(false).build().unwrap()
}

static REGIONAL: LazyLock<Regex> =
    LazyLock::new(|| pattern("(us-east-1|eu-west-1):([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"));
static DATE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#""(CreationDate|LastModifiedDate)":([0-9]{10}(?:\.[0-9]{1,3})?)([,}])"#));
static TOKEN: LazyLock<Regex> = LazyLock::new(|| pattern(r#""Token":"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+""#));
static PAGE: LazyLock<Regex> = LazyLock::new(|| pattern(r#""NextToken":"[\w-]+""#));
static ETAG: LazyLock<Regex> = LazyLock::new(|| pattern(r#"^"[\w-]{43}"$"#));

impl Answer {
    /// Status, headers and body; only what is of the right shape is put out of sight.
    pub fn shown(&self) -> String {
        let body = REGIONAL.replace_all(&self.text, |found: &Captures<'_>| match version(&found[2]) {
            4 => format!("[{} pool]", &found[1]),
            8 => format!("[{} identity]", &found[1]),
            _ => found[0].to_owned(),
        });
        let body = DATE.replace_all(&body, |found: &Captures<'_>| {
            let at: f64 = found[2].parse().unwrap();
            assert!((at - now()).abs() < 60.0, "{} is not now", &found[0]);
            format!(r#""{}":[now]{}"#, &found[1], &found[3])
        });
        let body = TOKEN.replace_all(&body, r#""Token":[JWT]"#);
        let body = PAGE.replace_all(&body, r#""NextToken":[page token]"#);
        format!("{}\n{}\n{body}", self.status.as_u16(), self.shown_headers())
    }

    fn shown_headers(&self) -> String {
        let mut lines: Vec<String> = self
            .headers
            .iter()
            .map(|(name, value)| self.shown_header(name.as_str(), value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines.concat()
    }

    fn shown_header(&self, name: &str, value: &str) -> String {
        let length = self.text.len().to_string();
        let shown = match name {
            "x-amzn-requestid" if version(value) == 4 && value == value.to_ascii_lowercase() => "[random uuid]",
            "content-length" if value == length && value != "0" => "[length of the body]",
            "etag" if ETAG.is_match(value) => "[digest]",
            _ => value,
        };
        format!("{name}: {shown}\n")
    }

    /// Asserts a success with this body and no other headers than those of every answer.
    #[track_caller]
    pub fn is(&self, body: &str) {
        assert_eq!(self.shown(), format!("200\n{HEAD}\n{body}"));
    }

    /// Asserts an exception: its whole body, its two headers, and none but those.
    #[track_caller]
    pub fn is_exception(&self, status: u16, exception: &str, message: &str) {
        let text = json!(message);
        self.is_fault(
            status,
            exception,
            Some(message),
            &format!(r#"{{"__type":"{exception}","message":{text}}}"#),
            &[],
        );
    }

    /// The same for whatever differs: no text in the header, another body, more headers.
    #[track_caller]
    pub fn is_fault(&self, status: u16, exception: &str, text: Option<&str>, body: &str, more: &[&str]) {
        let for_page = self.headers.contains_key("access-control-allow-origin");
        let head = if for_page { HEAD_FOR_PAGES } else { HEAD };
        let mut head: Vec<String> = head.lines().map(|line| format!("{line}\n")).collect();
        head.push(format!("x-amzn-errortype: {exception}:\n"));
        head.extend(text.map(|text| format!("x-amzn-errormessage: {text}\n")));
        head.extend(more.iter().map(|line| format!("{line}\n")));
        head.sort();
        // Ids in a text are the caller's own and are compared as they are.
        let whole = format!("{}\n{}\n{}", self.status.as_u16(), self.shown_headers(), self.text);
        assert_eq!(whole, format!("{status}\n{}\n{body}", head.concat()));
    }
}

/// The headers of an answer, but for those that differ between two answers to one question.
pub fn comparable(headers: &HeaderMap) -> Vec<(String, String)> {
    let other = ["x-amzn-requestid", "date"];
    let kept = headers.iter().filter(|(name, _)| !other.contains(&name.as_str()));
    let mut kept: Vec<_> = kept.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    kept.sort();
    kept
}

fn version(uuid: &str) -> usize {
    Uuid::try_parse(uuid).map_or(0, |uuid| uuid.get_version_num())
}

#[expect(clippy::disallowed_methods, reason = "dates in answers are compared with the real clock")]
fn now() -> f64 {
    f64::from(u32::try_from(OffsetDateTime::now_utc().unix_timestamp()).unwrap())
}
