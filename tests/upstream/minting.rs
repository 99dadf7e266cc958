//! Keys of an issuer for tests, and the tokens they sign, down to the last byte.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, KeyPair as _, RsaEncoding, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rsa::BigUint;
use rsa::pkcs8::DecodePublicKey as _;
use rsa::traits::PublicKeyParts as _;
use serde_json::{Map, Value, json};
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

/// Two primes of 512 bits: the key is too weak on purpose, and no library makes one so small any more.
const SMALL_PRIMES: [&str; 2] = [
    "d11768a39571b72badcebf5d2cce98065c494bd68d28afdff4d9cce755c244480c0fd55357c75df3872dfaddf68b83fc60f6287e69c48111d3591b2987292845",
    "e3d292b79f46b6b174f54e5e57b385115ff15aab8d28bafabff0d91977dceaef4f72d682d1f86e5bc88a7f033eac9c5bbdd1554c29f6ade8dabf907dd8fcbd7f",
];

/// The RSA pairs of this process: they take long to make, so that the tests share them.
static RSA: LazyLock<Mutex<BTreeMap<usize, Arc<Pair>>>> = LazyLock::new(Mutex::default);

enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    SmallRsa(Box<rsa::RsaPrivateKey>),
}

/// A signing key and the name it is published under.
#[derive(Clone)]
pub struct Key {
    /// Its `kid`.
    pub kid: String,
    /// The algorithm that it signs with, and that its JWK names.
    pub alg: &'static str,
    pair: Arc<Pair>,
}

impl Key {
    /// The `number`th RSA pair of 2048 bits of this process, for `alg` (RS256 to RS512, PS256 to PS512).
    pub fn rsa(number: usize, kid: &str, alg: &'static str) -> Self {
        let mut made = RSA.lock().unwrap_or_else(PoisonError::into_inner);
        let pair =
            made.entry(number).or_insert_with(|| Arc::new(Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())));
        Self { kid: kid.to_owned(), alg, pair: Arc::clone(pair) }
    }

    /// A fresh pair on P-256, for ES256.
    pub fn p256(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { kid: kid.to_owned(), alg: "ES256", pair: Arc::new(Pair::P256(pair)) }
    }

    /// A fresh pair on P-384, for ES384.
    pub fn p384(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        Self { kid: kid.to_owned(), alg: "ES384", pair: Arc::new(Pair::P384(pair)) }
    }

    /// An RSA pair of 1024 bits, for RS256.
    pub fn rsa_1024(kid: &str) -> Self {
        let primes = SMALL_PRIMES.map(|hex| BigUint::parse_bytes(hex.as_bytes(), 16).unwrap());
        let [p, q] = primes;
        let key = rsa::RsaPrivateKey::from_p_q(p, q, BigUint::from(65_537_u32)).unwrap();
        Self { kid: kid.to_owned(), alg: "RS256", pair: Arc::new(Pair::SmallRsa(Box::new(key))) }
    }

    /// The same pair under another name and algorithm.
    pub fn known_as(&self, kid: &str, alg: &'static str) -> Self {
        Self { kid: kid.to_owned(), alg, pair: Arc::clone(&self.pair) }
    }

    /// Its public half (RFC 7517), with `kid`, `alg` and `use`.
    pub fn jwk(&self) -> Value {
        let mut jwk = match &*self.pair {
            Pair::Rsa(_) | Pair::SmallRsa(_) => {
                let (n, e) = self.rsa_numbers();
                json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode(n), "e": URL_SAFE_NO_PAD.encode(e)})
            }
            Pair::P256(pair) => ec_jwk("P-256", pair),
            Pair::P384(pair) => ec_jwk("P-384", pair),
        };
        jwk["kid"] = json!(self.kid);
        jwk["alg"] = json!(self.alg);
        jwk["use"] = json!("sig");
        jwk
    }

    /// Its modulus and exponent, for an RSA key.
    pub fn rsa_numbers(&self) -> (Vec<u8>, Vec<u8>) {
        match &*self.pair {
            Pair::Rsa(_) => {
                let public = rsa::RsaPublicKey::from_public_key_der(&self.spki()).unwrap();
                (public.n().to_bytes_be(), public.e().to_bytes_be())
            }
            Pair::SmallRsa(key) => (key.n().to_bytes_be(), key.e().to_bytes_be()),
            Pair::P256(_) | Pair::P384(_) => panic!("not an RSA key"),
        }
    }

    /// Its public half as SubjectPublicKeyInfo (RFC 5280), in DER.
    pub fn spki(&self) -> Vec<u8> {
        let der = match &*self.pair {
            Pair::Rsa(pair) => AsDer::as_der(pair.public_key()),
            Pair::P256(pair) | Pair::P384(pair) => AsDer::as_der(pair.public_key()),
            Pair::SmallRsa(_) => panic!("not published in this form"),
        };
        let der: PublicKeyX509Der<'_> = der.unwrap();
        der.as_ref().to_vec()
    }

    /// A certificate of its own making, in DER, for an RSA key.
    pub fn certificate(&self) -> Vec<u8> {
        let Pair::Rsa(pair) = &*self.pair else { panic!("not an RSA key") };
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let private = PrivatePkcs8KeyDer::from(der.as_ref());
        let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&private, &rcgen::PKCS_RSA_SHA256).unwrap();
        rcgen::CertificateParams::default().self_signed(&pair).unwrap().der().to_vec()
    }

    /// Signs with the key's own algorithm.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.sign_as(self.alg, message)
    }

    /// Signs with an algorithm that fits the pair, whatever the key is published for.
    pub fn sign_as(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &*self.pair {
            Pair::Rsa(pair) => {
                let scheme: &'static dyn RsaEncoding = match alg {
                    "RS256" => &signature::RSA_PKCS1_SHA256,
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    other => panic!("an RSA key does not sign {other}"),
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(scheme, &random, message, &mut signature).unwrap();
                signature
            }
            Pair::P256(pair) | Pair::P384(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::SmallRsa(key) => {
                // DigestInfo of SHA-256 (RFC 8017 section 9.2).
                let prefix = hex::decode("3031300d060960864801650304020105000420").unwrap();
                let scheme = rsa::Pkcs1v15Sign { hash_len: Some(32), prefix: prefix.into() };
                key.sign(scheme, digest::digest(&digest::SHA256, message).as_ref()).unwrap()
            }
        }
    }

    /// The header of a proper token of this key.
    pub fn header(&self) -> Value {
        json!({"alg": self.alg, "typ": "JWT", "kid": self.kid})
    }

    /// A proper token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        self.token_of(self.header().to_string(), claims.to_string())
    }

    /// A token with this header and payload, byte for byte, properly signed.
    pub fn token_of(&self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        let input = signing_input(header, payload);
        let signature = self.sign(input.as_bytes());
        format!("{input}.{}", base64url(signature))
    }
}

/// What a signature is made over (RFC 7515 section 5.1).
pub fn signing_input(header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
    format!("{}.{}", base64url(header), base64url(payload))
}

/// Base64url without padding (RFC 7515 section 2).
pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// `der` as PEM (RFC 7468).
pub fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// `base` with the members of `changes` laid over it; `null` takes a member away.
pub fn altered(base: &Value, changes: &Value) -> Value {
    let mut members: Map<String, Value> = base.as_object().cloned().unwrap_or_default();
    for (name, value) in changes.as_object().into_iter().flatten() {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    Value::Object(members)
}

fn ec_jwk(curve: &str, pair: &EcdsaKeyPair) -> Value {
    let point = &pair.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    json!({"kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y)})
}
