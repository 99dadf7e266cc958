//! The keys that an issuer publishes, and whether one of them has signed a token.

use aws_lc_rs::signature::{
    self, EcdsaVerificationAlgorithm, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::token::{Header, Token};

/// More keys than this are no key set that anyone needs; IAM reads as many
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc.html>).
const MAX_KEYS: usize = 100;

/// Keys of one id that are tried for a token: an id means several keys only where their kinds differ (RFC 7517 section
/// 4.5), and a hostile issuer should not make one token cost a hundred verifications.
const MAX_NAMESAKES: usize = 4;

/// RSA keys that are neither too weak nor a burden, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// An algorithm that an issuer may sign with: those that IAM takes. No HMAC, since its key would be public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RFC 7518 section 3.1")]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    ES256,
    ES384,
    ES512,
}

impl Algorithm {
    /// The algorithm of an `alg`, exactly as it is written.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "RS256" => Self::RS256,
            "RS384" => Self::RS384,
            "RS512" => Self::RS512,
            "ES256" => Self::ES256,
            "ES384" => Self::ES384,
            "ES512" => Self::ES512,
            _ => return None,
        })
    }

    /// How its signatures are verified: also which keys it goes with.
    fn scheme(self) -> Scheme {
        match self {
            Self::RS256 => Scheme::Rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            Self::RS384 => Scheme::Rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            Self::RS512 => Scheme::Rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            Self::ES256 => Scheme::Ec(Curve::P256, &signature::ECDSA_P256_SHA256_FIXED),
            Self::ES384 => Scheme::Ec(Curve::P384, &signature::ECDSA_P384_SHA384_FIXED),
            Self::ES512 => Scheme::Ec(Curve::P521, &signature::ECDSA_P521_SHA512_FIXED),
        }
    }
}

enum Scheme {
    Rsa(&'static RsaParameters),
    Ec(Curve, &'static EcdsaVerificationAlgorithm),
}

/// A curve of RFC 7518 section 6.2.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "P-256" => Some(Self::P256),
            "P-384" => Some(Self::P384),
            "P-521" => Some(Self::P521),
            _ => None,
        }
    }

    /// The length of a coordinate, in bytes.
    fn bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

/// A JWK Set (RFC 7517 section 5), of which only keys are kept that can verify a signature here.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

#[derive(Debug)]
struct Key {
    id: Option<String>,
    /// The `alg` of the JWK: the only algorithm that it may be used with, if it has one.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
    /// The point, uncompressed.
    Ec(Curve, Vec<u8>),
}

impl KeySet {
    /// Reads a JWK Set. Keys that are not for verifying signatures, or not by these algorithms, are left out
    /// (RFC 7517 section 5 asks for that).
    ///
    /// # Errors
    /// What is wrong, if it is no JWK Set or holds too many keys.
    pub fn read(document: &Map<String, Value>) -> Result<Self, &'static str> {
        let keys = document.get("keys").and_then(Value::as_array).ok_or("it has no list of keys")?;
        if keys.len() > MAX_KEYS {
            return Err("it has more than 100 keys");
        }
        Ok(Self { keys: keys.iter().filter_map(Value::as_object).filter_map(Key::read).collect() })
    }

    /// Whether the key that a header names is here: a look at the issuer's document would not help.
    #[must_use]
    pub fn knows(&self, header: &Header) -> bool {
        header.key_id.is_none() || self.keys.iter().any(|key| key.id == header.key_id)
    }

    /// Whether one of these keys, named by the token and made for its algorithm, has signed it. A token without `kid`
    /// names the only key there is, if there is only one.
    #[must_use]
    pub fn verifies(&self, token: &Token<'_>) -> bool {
        let header = &token.header;
        let named = |key: &&Key| match &header.key_id {
            Some(_) => key.id == header.key_id,
            None => self.keys.len() == 1,
        };
        let fitting = self.keys.iter().filter(named).filter(|key| key.fits(header.algorithm));
        fitting.take(MAX_NAMESAKES).any(|key| key.verifies(header.algorithm, token.message, &token.signature))
    }

    /// About how much memory the keys take, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        let of_material = |material: &Material| match material {
            Material::Rsa(key) => key.n.len() + key.e.len(),
            Material::Ec(_, point) => point.len(),
        };
        let of_key = |key: &Key| size_of::<Key>() + key.id.as_ref().map_or(0, String::len) + of_material(&key.material);
        self.keys.iter().map(of_key).sum()
    }
}

impl Key {
    fn read(jwk: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let absent_or = |name: &str, fits: &dyn Fn(&Value) -> bool| jwk.get(name).is_none_or(fits);
        let for_verifying = absent_or("use", &|value| value == "sig")
            && absent_or("key_ops", &|value| value.as_array().is_some_and(|list| list.iter().any(|op| op == "verify")));
        if !for_verifying {
            return None;
        }
        let id = match jwk.get("kid") {
            None => None,
            Some(id) => Some(id.as_str()?.to_owned()),
        };
        let algorithm = match jwk.get("alg") {
            None => None,
            Some(name) => Some(Algorithm::parse(name.as_str()?)?),
        };
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
        let material = match text("kty")? {
            "RSA" => {
                let (n, e) = (significant(bytes("n")?), significant(bytes("e")?));
                let bits = n.len() * 8 - usize::try_from(n.first()?.leading_zeros()).ok()?;
                if !RSA_BITS.contains(&bits) {
                    return None;
                }
                Material::Rsa(RsaPublicKeyComponents { n, e })
            }
            "EC" => {
                let curve = Curve::parse(text("crv")?)?;
                let (x, y) = (bytes("x")?, bytes("y")?);
                if x.len() != curve.bytes() || y.len() != curve.bytes() {
                    return None;
                }
                Material::Ec(curve, [&[4], x.as_slice(), y.as_slice()].concat())
            }
            _ => return None,
        };
        Some(Self { id, algorithm, material })
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|own| own == algorithm)
            && match (algorithm.scheme(), &self.material) {
                (Scheme::Rsa(_), Material::Rsa(_)) => true,
                (Scheme::Ec(of_scheme, _), Material::Ec(curve, _)) => of_scheme == *curve,
                _ => false,
            }
    }

    fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match (algorithm.scheme(), &self.material) {
            (Scheme::Rsa(scheme), Material::Rsa(key)) => key.verify(scheme, message, signature).is_ok(),
            (Scheme::Ec(_, scheme), Material::Ec(_, point)) => {
                UnparsedPublicKey::new(scheme, point).verify(message, signature).is_ok()
            }
            _ => false,
        }
    }
}

/// A number without leading zeros, which some libraries write.
fn significant(mut bytes: Vec<u8>) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.drain(..zeros);
    bytes
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    use serde_json::json;

    use super::*;

    struct Signer {
        pair: EcdsaKeyPair,
    }

    impl Signer {
        fn new() -> Self {
            Self { pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap() }
        }

        fn jwk(&self, id: &str) -> Value {
            let point = self.pair.public_key().as_ref();
            let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
            json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": id })
        }

        fn token(&self, algorithm: Algorithm, key_id: Option<&str>) -> Token<'static> {
            let message = b"message".as_slice();
            let signature = self.pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec();
            let header = Header { algorithm, key_id: key_id.map(str::to_owned) };
            Token { header, claims: Map::new(), message, signature }
        }
    }

    fn set(keys: &[Value]) -> KeySet {
        KeySet::read(json!({ "keys": keys }).as_object().unwrap()).unwrap()
    }

    fn with(mut jwk: Value, name: &str, value: Value) -> Value {
        jwk[name] = value;
        jwk
    }

    #[test]
    fn a_token_is_verified_by_the_key_that_it_names() {
        let (ours, other) = (Signer::new(), Signer::new());
        let keys = set(&[ours.jwk("a"), other.jwk("b")]);
        assert!(keys.verifies(&ours.token(Algorithm::ES256, Some("a"))));
        assert!(!keys.verifies(&ours.token(Algorithm::ES256, Some("b"))));
        assert!(!keys.verifies(&ours.token(Algorithm::ES256, Some("c"))));
        assert!(!keys.verifies(&ours.token(Algorithm::ES256, None)), "which one?");
        assert!(set(&[ours.jwk("a")]).verifies(&ours.token(Algorithm::ES256, None)));
        let mut forged = ours.token(Algorithm::ES256, Some("a"));
        forged.signature[7] ^= 1;
        assert!(!keys.verifies(&forged));
        // The same id twice: RFC 7517 section 4.5 allows it for different kinds of keys.
        let token = ours.token(Algorithm::ES256, Some("a"));
        assert!(set(&[other.jwk("a"), ours.jwk("a")]).verifies(&token));
        let after = |others: usize| set(&[vec![other.jwk("a"); others], vec![ours.jwk("a")]].concat());
        assert!(after(3).verifies(&token) && !after(4).verifies(&token), "four are tried");
    }

    #[test]
    fn a_look_at_the_issuers_document_helps_only_with_an_unknown_key() {
        let signer = Signer::new();
        let keys = set(&[signer.jwk("a")]);
        assert!(keys.knows(&signer.token(Algorithm::RS256, Some("a")).header));
        assert!(keys.knows(&signer.token(Algorithm::ES256, None).header));
        assert!(!keys.knows(&signer.token(Algorithm::ES256, Some("b")).header));
    }

    #[test]
    fn an_algorithm_is_bound_to_the_key() {
        let signer = Signer::new();
        for wrong in [Algorithm::ES384, Algorithm::ES512, Algorithm::RS256, Algorithm::RS512] {
            assert!(!set(&[signer.jwk("a")]).verifies(&signer.token(wrong, Some("a"))), "{wrong:?}");
        }
        let token = signer.token(Algorithm::ES256, Some("a"));
        assert!(set(&[with(signer.jwk("a"), "alg", json!("ES256"))]).verifies(&token));
        assert!(!set(&[with(signer.jwk("a"), "alg", json!("ES384"))]).verifies(&token));
    }

    #[test]
    fn keys_that_cannot_verify_are_left_out() {
        let signer = Signer::new();
        let jwk = signer.jwk("a");
        let token = signer.token(Algorithm::ES256, Some("a"));
        for (name, value, kept) in [
            ("use", json!("sig"), true),
            ("use", json!("enc"), false),
            ("use", json!(["sig"]), false),
            ("key_ops", json!(["verify", "sign"]), true),
            ("key_ops", json!(["encrypt"]), false),
            ("key_ops", json!("verify"), false),
            ("alg", json!("HS256"), false),
            ("alg", json!("ECDH-ES"), false),
            ("alg", json!(1), false),
            ("kty", json!("oct"), false),
            ("kty", json!("RSA"), false),
            ("crv", json!("P-384"), false),
            ("crv", json!("secp256k1"), false),
            ("x", json!("AAAA"), false),
            ("y", json!("not base64!"), false),
            ("kid", json!(7), false),
            ("x5c", json!(["anything"]), true),
        ] {
            let keys = set(&[with(jwk.clone(), name, value.clone())]);
            assert_eq!(keys.keys.len(), usize::from(kept), "{name}: {value}");
            assert_eq!(keys.verifies(&token), kept, "{name}: {value}");
        }
        assert!(set(&[json!(1), json!([]), json!({})]).keys.is_empty());
    }

    #[test]
    fn rsa_keys_have_2048_to_8192_bits() {
        for (bytes, first, kept) in [
            (128, 0xff, false),
            (255, 0xff, false),
            (256, 0x7f, false),
            (256, 0x80, true),
            (257, 0x00, true),
            (512, 0xc0, true),
            (1024, 0xff, true),
            (1025, 0x01, false),
        ] {
            let mut n = vec![0x81; bytes];
            n[0] = first;
            let jwk = json!({ "kty": "RSA", "kid": "r", "n": URL_SAFE_NO_PAD.encode(n), "e": "AQAB" });
            assert_eq!(set(&[jwk]).keys.len(), usize::from(kept), "{bytes} bytes from {first:#x}");
        }
    }

    #[test]
    fn a_document_without_a_list_of_keys_or_with_too_many_is_refused() {
        for document in [json!({}), json!({ "keys": {} }), json!({ "keys": vec![json!({}); 101] })] {
            assert!(KeySet::read(document.as_object().unwrap()).is_err());
        }
        assert!(KeySet::read(json!({ "keys": vec![json!({}); 100] }).as_object().unwrap()).is_ok());
    }
}
