//! The form of a login token: three parts, a header that leaves nothing open, and claims that are not believed yet.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::key_set::Algorithm;
use crate::error::InvalidLogin;
use crate::json;

/// A JWS in compact form (RFC 7515 section 7.1) whose signature has not been looked at.
#[derive(Debug)]
pub struct Token<'a> {
    /// What its header says.
    pub header: Header,
    /// Its payload.
    pub claims: Map<String, Value>,
    /// What is signed: the first two parts as they stand.
    pub message: &'a [u8],
    /// The signature.
    pub signature: Vec<u8>,
}

/// What counts in a header. `jku`, `x5u`, `jwk` and `x5c` do not: keys come from the issuer's own document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The algorithm that the token claims.
    pub algorithm: Algorithm,
    /// The id of the key.
    pub key_id: Option<String>,
}

impl<'a> Token<'a> {
    /// Reads a token.
    ///
    /// # Errors
    /// [`InvalidLogin::NotIdToken`] for what is not a JWS of a set of claims in strict base64url and JSON;
    /// [`InvalidLogin::Signature`] for an algorithm that no issuer may sign with.
    pub fn parse(text: &'a str) -> Result<Self, InvalidLogin> {
        let (message, signature) = text.rsplit_once('.').ok_or(InvalidLogin::NotIdToken)?;
        let (header, claims) = message.split_once('.').ok_or(InvalidLogin::NotIdToken)?;
        let (header, claims) = (object(header)?, object(claims)?);
        let header = Header::read(&header)?;
        let signature = decode(signature)?;
        Ok(Self { header, claims, message: message.as_bytes(), signature })
    }
}

impl Header {
    /// Holds a header against RFC 7515 section 4, RFC 8725 section 3 and our own narrower rules.
    fn read(header: &Map<String, Value>) -> Result<Self, InvalidLogin> {
        // What must be understood, changes what is signed, or is of an encrypted token.
        if ["crit", "b64", "enc", "zip"].iter().any(|name| header.contains_key(*name)) {
            return Err(InvalidLogin::NotIdToken);
        }
        match header.get("typ") {
            None => {}
            // `at+jwt` and its like: typed so as not to be taken for ID tokens (RFC 8725 section 3.11).
            Some(Value::String(kind)) if !kind.to_ascii_lowercase().ends_with("+jwt") => {}
            Some(_) => return Err(InvalidLogin::NotIdToken),
        }
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err(InvalidLogin::NotIdToken),
        };
        let name = header.get("alg").and_then(Value::as_str).ok_or(InvalidLogin::NotIdToken)?;
        let algorithm = Algorithm::parse(name).ok_or(InvalidLogin::Signature)?;
        Ok(Self { algorithm, key_id })
    }
}

/// The bytes of a part: unpadded, canonical, and nothing but base64url.
fn decode(part: &str) -> Result<Vec<u8>, InvalidLogin> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| InvalidLogin::NotIdToken)
}

fn object(part: &str) -> Result<Map<String, Value>, InvalidLogin> {
    json::object(&decode(part)?).map_err(|_| InvalidLogin::NotIdToken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(text: &str) -> String {
        URL_SAFE_NO_PAD.encode(text)
    }

    fn parse(header: &str, claims: &str) -> Result<Header, InvalidLogin> {
        Token::parse(&format!("{}.{}.c2ln", encode(header), encode(claims))).map(|token| token.header)
    }

    #[test]
    fn a_token_is_read_without_being_believed() {
        let text = format!("{}.{}.c2ln", encode(r#"{"alg":"RS256","kid":"k","typ":"JWT"}"#), encode(r#"{"sub":"s"}"#));
        let token = Token::parse(&text).unwrap();
        assert_eq!(token.header, Header { algorithm: Algorithm::RS256, key_id: Some("k".into()) });
        assert_eq!(token.claims["sub"], "s");
        assert_eq!(token.message, text.rsplit_once('.').unwrap().0.as_bytes());
        assert_eq!(token.signature, b"sig");
    }

    #[test]
    fn headers_that_leave_something_open_are_refused() {
        for good in [
            r#"{"alg":"ES512"}"#,
            r#"{"alg":"RS384","typ":"JWS","cty":"x","jku":"https://a.test","x5c":["x"],"jwk":{"kty":"oct"}}"#,
            r#"{"alg":"ES256","kid":""}"#,
        ] {
            assert!(parse(good, "{}").is_ok(), "{good}");
        }
        for (header, why) in [
            (r#"{"alg":"none"}"#, InvalidLogin::Signature),
            (r#"{"alg":"HS256"}"#, InvalidLogin::Signature),
            (r#"{"alg":"PS256"}"#, InvalidLogin::Signature),
            (r#"{"alg":"EdDSA"}"#, InvalidLogin::Signature),
            (r#"{"alg":"rs256"}"#, InvalidLogin::Signature),
            (r#"{"alg":"RS256 "}"#, InvalidLogin::Signature),
            ("{}", InvalidLogin::NotIdToken),
            (r#"{"alg":256}"#, InvalidLogin::NotIdToken),
            (r#"{"alg":["RS256"]}"#, InvalidLogin::NotIdToken),
            (r#"{"alg":"RS256","alg":"RS256"}"#, InvalidLogin::NotIdToken),
            (r#"{"alg":"RS256","kid":1}"#, InvalidLogin::NotIdToken),
            (r#"{"alg":"RS256","kid":null}"#, InvalidLogin::NotIdToken),
            (r#"{"alg":"RS256","crit":[]}"#, InvalidLogin::NotIdToken),
            (r#"{"alg":"RS256","b64":false}"#, InvalidLogin::NotIdToken),
            (r#"{"alg":"RS256","enc":"A256GCM"}"#, InvalidLogin::NotIdToken),
            (r#"{"alg":"RS256","zip":"DEF"}"#, InvalidLogin::NotIdToken),
            (r#"{"alg":"RS256","typ":"at+jwt"}"#, InvalidLogin::NotIdToken),
            (r#"{"alg":"RS256","typ":"application/AT+JWT"}"#, InvalidLogin::NotIdToken),
            (r#"{"alg":"RS256","typ":1}"#, InvalidLogin::NotIdToken),
            ("[]", InvalidLogin::NotIdToken),
            ("", InvalidLogin::NotIdToken),
        ] {
            assert_eq!(parse(header, "{}"), Err(why), "{header}");
        }
    }

    #[test]
    fn only_three_parts_in_strict_base64url_are_a_token() {
        let header = encode(r#"{"alg":"RS256"}"#);
        let claims = encode("{}");
        assert!(Token::parse(&format!("{header}.{claims}.c2ln")).is_ok());
        for text in [
            String::new(),
            "a".into(),
            format!("{header}.{claims}"),
            format!("{header}.{claims}.c2ln.c2ln"),
            format!("{header}.{claims}.c2ln.c2ln.c2ln"),
            format!("{header}..c2ln"),
            format!(".{claims}.c2ln"),
            format!("{header}=.{claims}.c2ln"),
            format!("{header}.{claims}.c2lnxx=="),
            format!("{header}.{claims}.c2l+"),
            format!("{header}.{claims}.c2ln\n"),
            format!(" {header}.{claims}.c2ln"),
            // Bits that a lax reader drops: two texts for one signature.
            format!("{header}.{claims}.c2h"),
            format!("{header}.{}.c2ln", encode("[]")),
            format!("{header}.{}.c2ln", encode("{} ")) + ".",
            format!("{header}.{}.c2ln", encode(r#"{"sub":"a","s\u0075b":"b"}"#)),
            format!("{header}.{}.c2ln", encode("\u{feff}{}")),
        ] {
            assert_eq!(Token::parse(&text).unwrap_err(), InvalidLogin::NotIdToken, "{text}");
        }
    }
}
