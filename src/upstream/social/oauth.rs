//! Signing a request by OAuth 1.0a with HMAC-SHA1 (RFC 5849 section 3), as Twitter wants it
//! (<https://developer.x.com/en/docs/authentication/oauth-1-0a/creating-a-signature>).

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;

/// Who signs, and when.
pub(super) struct Signer<'a> {
    pub(super) consumer_key: &'a str,
    pub(super) consumer_secret: &'a str,
    pub(super) token: &'a str,
    pub(super) token_secret: &'a str,
    /// In epoch seconds.
    pub(super) timestamp: i64,
    /// Not used twice.
    pub(super) nonce: &'a str,
}

impl Signer<'_> {
    /// The `Authorization` header (section 3.5.1) of a request to a [`base_url`] with these query parameters, which
    /// stand there decoded.
    pub(super) fn authorization(&self, method: &str, url: &str, query: &[(&str, &str)]) -> String {
        let timestamp = self.timestamp.to_string();
        let own = [
            ("oauth_consumer_key", self.consumer_key),
            ("oauth_nonce", self.nonce),
            ("oauth_signature_method", "HMAC-SHA1"),
            ("oauth_timestamp", timestamp.as_str()),
            ("oauth_token", self.token),
            ("oauth_version", "1.0"),
        ];
        let signature = self.sign(&base_string(method, url, own.iter().chain(query)));
        let all = own.iter().copied().chain([("oauth_signature", signature.as_str())]);
        let parts: Vec<String> = all.map(|(name, value)| format!("{name}=\"{}\"", encoded(value))).collect();
        format!("OAuth {}", parts.join(", "))
    }

    /// Section 3.4.2. That SHA-1 has collisions does not touch HMAC.
    fn sign(&self, base: &str) -> String {
        let key = format!("{}&{}", encoded(self.consumer_secret), encoded(self.token_secret));
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes());
        STANDARD.encode(hmac::sign(&key, base.as_bytes()))
    }
}

/// Section 3.4.1.1.
fn base_string<'a>(method: &str, url: &str, parameters: impl Iterator<Item = &'a (&'a str, &'a str)>) -> String {
    let mut pairs: Vec<_> = parameters.map(|(name, value)| (encoded(name), encoded(value))).collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{method}&{}&{}", encoded(url), encoded(&pairs.join("&")))
}

/// Section 3.4.1.2: scheme and host in lower case, which the parser sees to, as it does to the default port; no query.
pub(super) fn base_url(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

/// Section 3.6.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENTED: Signer<'_> = Signer {
        consumer_key: "xvz1evFS4wEEPTGEFPHBog",
        consumer_secret: "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw",
        token: "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
        token_secret: "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE",
        timestamp: 1_318_622_958,
        nonce: "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg",
    };

    #[test]
    fn the_example_of_twitters_documentation_is_signed_so() {
        let query = [("status", "Hello Ladies + Gentlemen, a signed OAuth request!"), ("include_entities", "true")];
        let header = DOCUMENTED.authorization("POST", "https://api.twitter.com/1.1/statuses/update.json", &query);
        assert_eq!(
            header,
            "OAuth oauth_consumer_key=\"xvz1evFS4wEEPTGEFPHBog\", \
             oauth_nonce=\"kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg\", oauth_signature_method=\"HMAC-SHA1\", \
             oauth_timestamp=\"1318622958\", oauth_token=\"370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb\", \
             oauth_version=\"1.0\", oauth_signature=\"hCtSmYh%2BiHYCEqBWrE7C7hYmtUk%3D\""
        );
    }

    #[test]
    fn the_example_of_the_rfc_is_signed_so() {
        // Section 1.2: its request has no oauth_version.
        let parameters = [
            ("file", "vacation.jpg"),
            ("size", "original"),
            ("oauth_consumer_key", "dpf43f3p2l4k3l03"),
            ("oauth_token", "nnch734d00sl2jdk"),
            ("oauth_signature_method", "HMAC-SHA1"),
            ("oauth_timestamp", "137131202"),
            ("oauth_nonce", "chapoH"),
        ];
        let base = base_string("GET", "http://photos.example.net/photos", parameters.iter());
        let signer = Signer { consumer_secret: "kd94hf93k423kf44", token_secret: "pfkkdhi9sl3r4s00", ..DOCUMENTED };
        assert_eq!(signer.sign(&base), "MdpQcU8iPSUjWoN/UDMsK2sui9I=");
    }

    #[test]
    fn parameters_are_encoded_and_then_sorted() {
        // Section 3.4.1.3.2, without its body.
        let parameters = [("b5", "=%3D"), ("a3", "a"), ("c@", ""), ("a2", "r b"), ("c2", ""), ("a3", "2 q")];
        let base = base_string("POST", "http://example.com/request", parameters.iter());
        assert_eq!(
            base,
            "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D\
             %26c2%3D"
        );
    }

    #[test]
    fn a_base_url_has_no_default_port_and_no_query() {
        for (url, base) in [
            ("HTTP://EXAMPLE.COM:80/r%20v/X?id=123", "http://example.com/r%20v/X"),
            ("https://www.example.net:8080/?q=1", "https://www.example.net:8080/"),
            ("https://api.twitter.com:443/1.1/x.json#f", "https://api.twitter.com/1.1/x.json"),
        ] {
            assert_eq!(base_url(&Url::parse(url).unwrap()), base);
        }
    }

    #[test]
    fn only_unreserved_characters_stand_for_themselves() {
        assert_eq!(encoded("azAZ09-._~"), "azAZ09-._~");
        assert_eq!(encoded("a b+c&=%/;|\u{20ac}"), "a%20b%2Bc%26%3D%25%2F%3B%7C%E2%82%AC");
    }
}
