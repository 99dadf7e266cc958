//! Reading a request body: one JSON object, read strictly, or nothing at all.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::json;

/// A body that is no JSON object, or has the wrong JSON types: `SerializationException` on the wire.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Malformed {
    reason: Cow<'static, str>,
}

impl Malformed {
    /// A body refused for `reason`, a text that shows nothing of the body's values.
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: reason.into() }
    }

    /// Why, in words that show nothing of the body's values.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// The object in `body`. An empty body reads as `{}`, as clients send for operations without members.
///
/// # Errors
/// If the body is not one JSON object, or [`json::read`] refuses it.
pub fn read(body: &[u8]) -> Result<Value, Malformed> {
    if body.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    match json::read(body) {
        Ok(value) if value.is_object() => Ok(value),
        Ok(_) => Err(Malformed::new("the body is not a JSON object")),
        Err(error) => Err(Malformed::new(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(body: &str) -> String {
        read(body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_body_is_an_empty_object() {
        assert_eq!(read(b""), Ok(json!({})));
        assert_eq!(read(b" {}\n"), Ok(json!({})));
    }

    #[test]
    fn a_body_of_blanks_is_not_empty() {
        assert!(read(b" \n").is_err());
    }

    #[test]
    fn only_an_object_is_a_body() {
        for body in ["[]", "null", "1", r#""{}""#, "true", r#"[{"a":1}]"#] {
            assert_eq!(refused(body), "the body is not a JSON object", "{body}");
        }
    }

    #[test]
    fn a_refusal_shows_no_value() {
        let text = refused(r#"{"Logins":{"p":"secret-one","p":"secret-two"}}"#);
        assert!(!text.contains("secret"), "{text}");
        assert!(!refused(r#"{"Logins": "secret-one" "secret-two"}"#).contains("secret"));
        assert!(!refused(r#""secret""#).contains("secret"));
    }
}
