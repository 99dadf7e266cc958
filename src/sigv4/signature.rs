//! The arithmetic of SigV4: the canonical request's hash and the key that signs it.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::hmac;
use axum::http::HeaderMap;
use zeroize::Zeroizing;

pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
pub(super) const TERMINATOR: &str = "aws4_request";

/// The hash of a canonical request.
///
/// `request_line` is its first three lines (method, path, query), already canonical: `"POST\n/\n\n"` is the only one
/// that the broker admits, so it needs no canonicalisation of URIs. `signed_headers` is the list as sent. A header that
/// is not there contributes an empty value and one sent twice is joined with a comma, as AWS describes it; refusing
/// both is the business of [`parse`](super::parse).
#[must_use]
pub fn request_hash(request_line: &str, headers: &HeaderMap, signed_headers: &str, body_hash: &Digest) -> Digest {
    let mut canonical = Vec::with_capacity(1024);
    canonical.extend_from_slice(request_line.as_bytes());
    for name in signed_headers.split(';') {
        canonical.extend_from_slice(name.as_bytes());
        canonical.push(b':');
        for (index, value) in headers.get_all(name).iter().enumerate() {
            if index > 0 {
                canonical.push(b',');
            }
            push_collapsed(&mut canonical, value.as_bytes());
        }
        canonical.push(b'\n');
    }
    canonical.push(b'\n');
    canonical.extend_from_slice(signed_headers.as_bytes());
    canonical.push(b'\n');
    canonical.extend_from_slice(&hex(body_hash));
    digest::digest(&digest::SHA256, &canonical)
}

/// Appends a header value without the spaces around it, runs of spaces within it as one. Spaces only: AWS's signers
/// leave every other byte as it is.
fn push_collapsed(out: &mut Vec<u8>, value: &[u8]) {
    let Some(start) = value.iter().position(|&byte| byte != b' ') else { return };
    let end = value.iter().rposition(|&byte| byte != b' ').map_or(value.len(), |last| last + 1);
    let value = &value[start..end];
    if value.windows(2).any(|pair| pair == b"  ") {
        let mut previous = 0;
        for &byte in value {
            if (byte, previous) != (b' ', b' ') {
                out.push(byte);
            }
            previous = byte;
        }
    } else {
        out.extend_from_slice(value);
    }
}

/// A SHA-256 in lower-case hexadecimal.
pub(super) fn hex(digest: &Digest) -> [u8; 64] {
    let mut text = [b'0'; 64];
    for (pair, byte) in text.chunks_exact_mut(2).zip(digest.as_ref()) {
        pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
        pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
    text
}

/// The key of one access key, day, region and service. Worth caching: it costs four HMACs and the unsealed secret.
/// Its memory is wiped on drop (the cryptographic library does so for its HMAC states).
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

impl SigningKey {
    /// Derives the key from a secret access key. `date` is the scope's, as `YYYYMMDD`.
    #[must_use]
    pub fn derive(secret: &[u8], date: &str, region: &str, service: &str) -> Self {
        // Of its final size from the start: growing would leave a copy of the secret behind.
        let mut seed = Zeroizing::new(Vec::with_capacity(4 + secret.len()));
        seed.extend_from_slice(b"AWS4");
        seed.extend_from_slice(secret);
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, &seed);
        for part in [date, region, service, TERMINATOR] {
            let mut next = Zeroizing::new([0; 32]);
            // Cannot fail for a buffer of the algorithm's size. If it did, the key would stay another secret one, under
            // which nothing verifies: never a key that anyone can know.
            if hmac::sign_to_buffer(&key, part.as_bytes(), next.as_mut()).is_ok() {
                key = hmac::Key::new(hmac::HMAC_SHA256, next.as_ref());
            }
        }
        Self(key)
    }

    /// Whether `signature` is this key's, of a request with this `X-Amz-Date`, scope and canonical hash. In constant
    /// time.
    #[must_use]
    pub fn has_signed(&self, timestamp: &str, scope: &str, request_hash: &Digest, signature: &[u8; 32]) -> bool {
        let mut context = hmac::Context::with_key(&self.0);
        for line in [ALGORITHM, timestamp, scope] {
            context.update(line.as_bytes());
            context.update(b"\n");
        }
        context.update(&hex(request_hash));
        verify_slices_are_equal(context.sign().as_ref(), signature).is_ok()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_collapse_and_nothing_else_does() {
        for (value, canonical) in [
            (&b"plain"[..], &b"plain"[..]),
            (b"", b""),
            (b"   ", b""),
            (b"  a  ", b"a"),
            (b"a b", b"a b"),
            (b" \"a   b   c\" ", b"\"a b c\""),
            (b"a\t\t b", b"a\t\t b"),
            (b"\xff  \xfe", b"\xff \xfe"),
        ] {
            let mut out = Vec::new();
            push_collapsed(&mut out, value);
            assert_eq!(out, canonical);
        }
    }

    #[test]
    fn a_signing_key_shows_nothing_and_travels_between_threads() {
        fn is_shareable<T: Send + Sync>(_: &T) {}
        let key = SigningKey::derive(b"secret", "20150830", "us-east-1", "sts");
        is_shareable(&key);
        assert_eq!(format!("{key:?}"), "SigningKey(..)");
    }
}
