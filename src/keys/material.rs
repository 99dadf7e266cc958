//! Key pairs: made by aws-lc, encoded by `rsa`, shown as JWK, certified by themselves, and kept parsed to sign.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _, RsaEncoding};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rsa::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use rsa::traits::PublicKeyParts as _;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::config::Algorithm;
use crate::error::{Error, Result};
use crate::seal::{Place, Seal};

/// A public key as RFC 7517 shows it. The type has no place for a private member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicJwk {
    /// The numbers of the key.
    #[serde(flatten)]
    pub numbers: Numbers,
    /// What it is for: always `sig`.
    #[serde(rename = "use")]
    pub usage: String,
    /// Its algorithm.
    pub alg: String,
    /// Its thumbprint.
    pub kid: String,
    /// Its certificate, in base64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub x5c: Vec<String>,
}

/// What makes a public key: exactly the members that RFC 7638 takes into the thumbprint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kty")]
#[expect(missing_docs, reason = "the names are those of RFC 7518 section 6")]
pub enum Numbers {
    RSA { n: String, e: String },
    EC { crv: String, x: String, y: String },
}

impl Numbers {
    fn rsa(n: &[u8], e: &[u8]) -> Self {
        Self::RSA { n: URL_SAFE_NO_PAD.encode(n), e: URL_SAFE_NO_PAD.encode(e) }
    }

    /// The point in its uncompressed form: 4, x, y.
    fn ec(crv: &str, point: &[u8]) -> Self {
        let (x, y) = point.get(1..).unwrap_or_default().split_at(point.len() / 2);
        Self::EC { crv: crv.to_owned(), x: URL_SAFE_NO_PAD.encode(x), y: URL_SAFE_NO_PAD.encode(y) }
    }

    /// The thumbprint of RFC 7638 under SHA-256. Base64url needs no escapes in JSON.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        let members = match self {
            Self::RSA { n, e } => format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#),
            Self::EC { crv, x, y } => format!(r#"{{"crv":"{crv}","kty":"EC","x":"{x}","y":"{y}"}}"#),
        };
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, members.as_bytes());
        URL_SAFE_NO_PAD.encode(digest)
    }
}

/// How an algorithm signs.
enum Scheme {
    Rsa(&'static dyn RsaEncoding),
    Ec(&'static EcdsaSigningAlgorithm, &'static str, &'static rcgen::SignatureAlgorithm),
}

fn scheme(alg: Algorithm) -> Scheme {
    match alg {
        Algorithm::RS256 => Scheme::Rsa(&signature::RSA_PKCS1_SHA256),
        Algorithm::RS384 => Scheme::Rsa(&signature::RSA_PKCS1_SHA384),
        Algorithm::RS512 => Scheme::Rsa(&signature::RSA_PKCS1_SHA512),
        Algorithm::ES256 => {
            Scheme::Ec(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, "P-256", &rcgen::PKCS_ECDSA_P256_SHA256)
        }
        Algorithm::ES384 => {
            Scheme::Ec(&signature::ECDSA_P384_SHA384_FIXED_SIGNING, "P-384", &rcgen::PKCS_ECDSA_P384_SHA384)
        }
    }
}

/// A key that no row holds yet.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// Its algorithm.
    pub alg: Algorithm,
    /// Its public half, with the certificate.
    pub public_jwk: PublicJwk,
    /// Its private half, PKCS#8, sealed for its row.
    pub private_sealed: Vec<u8>,
}

impl Fresh {
    /// Makes a key for `issuer`, off the async threads: RSA takes its time.
    ///
    /// # Errors
    /// If the random source or the machine fails.
    pub async fn generate(issuer: &str, alg: Algorithm, now: OffsetDateTime, seal: &Seal) -> Result<Self> {
        let name = issuer.to_owned();
        let (numbers, private, certificate) =
            tokio::task::spawn_blocking(move || pair(&name, alg, now)).await.map_err(Error::internal)??;
        let kid = numbers.thumbprint();
        let private_sealed = seal.seal(place(&kid, issuer), &private)?;
        let x5c = vec![certificate];
        let public_jwk = PublicJwk { numbers, usage: "sig".to_owned(), alg: alg.as_str().to_owned(), kid, x5c };
        Ok(Self { alg, public_jwk, private_sealed })
    }
}

/// A key's public numbers, its private half in PKCS#8, and its certificate in base64.
fn pair(issuer: &str, alg: Algorithm, now: OffsetDateTime) -> Result<(Numbers, Zeroizing<Vec<u8>>, String)> {
    let failed = |_| Error::internal("a key could not be made");
    match scheme(alg) {
        Scheme::Rsa(_) => {
            let made = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
            let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&made).map_err(failed)?;
            let key = rsa::RsaPrivateKey::from_pkcs8_der(der.as_ref()).map_err(Error::internal)?;
            let numbers = Numbers::rsa(&key.n().to_bytes_be(), &key.e().to_bytes_be());
            let private = key.to_pkcs8_der().map_err(Error::internal)?.to_bytes();
            let certificate = certificate(issuer, &private, &rcgen::PKCS_RSA_SHA256, now)?;
            Ok((numbers, private, certificate))
        }
        Scheme::Ec(signing, crv, certifying) => {
            let made = EcdsaKeyPair::generate(signing).map_err(failed)?;
            let private = Zeroizing::new(made.to_pkcs8v1().map_err(failed)?.as_ref().to_vec());
            let certificate = certificate(issuer, &private, certifying, now)?;
            Ok((Numbers::ec(crv, made.public_key().as_ref()), private, certificate))
        }
    }
}

/// A certificate without an end (RFC 5280 section 4.1.2.5): the JWKS says how long a key is good for.
fn certificate(
    issuer: &str,
    private: &[u8],
    alg: &'static rcgen::SignatureAlgorithm,
    now: OffsetDateTime,
) -> Result<String> {
    let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&private.into(), alg).map_err(Error::internal)?;
    let pair = Zeroizing::new(pair);
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, issuer);
    params.not_before = now.saturating_sub(time::Duration::DAY);
    params.not_after = time::macros::datetime!(9999-12-31 23:59:59 UTC);
    let certificate = params.self_signed(&*pair).map_err(Error::internal)?;
    Ok(STANDARD.encode(certificate.der()))
}

/// Where a private half lives.
pub(crate) fn place<'a>(kid: &'a str, issuer: &'a str) -> Place<'a> {
    Place { table: "signing_keys", column: "private_sealed", row: kid, tenant: issuer }
}

/// A private half, opened and parsed once, ready to sign.
pub struct PrivateHalf(Pair);

enum Pair {
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    Ec(EcdsaKeyPair),
}

impl PrivateHalf {
    /// Opens the private half of the key named `kid`, and proves that it belongs to that name.
    ///
    /// # Errors
    /// [`Error::Sealed`] if its master key is missing; [`Error::Internal`] if it is not what the row says.
    pub fn open(kid: &str, alg: Algorithm, issuer: &str, blob: &[u8], seal: &Seal) -> Result<Self> {
        let der = seal.open(place(kid, issuer), blob)?;
        let (pair, numbers) = match scheme(alg) {
            Scheme::Rsa(encoding) => {
                let pair = RsaKeyPair::from_pkcs8(&der).map_err(Error::internal)?;
                let public = pair.public_key();
                let (n, e) = (public.modulus(), public.exponent());
                let numbers = Numbers::rsa(n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero());
                (Pair::Rsa(pair, encoding), numbers)
            }
            Scheme::Ec(signing, crv, _) => {
                let pair = EcdsaKeyPair::from_pkcs8(signing, &der).map_err(Error::internal)?;
                let numbers = Numbers::ec(crv, pair.public_key().as_ref());
                (Pair::Ec(pair), numbers)
            }
        };
        if numbers.thumbprint() == kid {
            Ok(Self(pair))
        } else {
            Err(Error::internal(format!("the private half of {kid} belongs to another key")))
        }
    }

    /// The signature of RFC 7518 section 3 over `message`.
    ///
    /// # Errors
    /// If the machine fails.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let failed = |_| Error::internal("signing failed");
        let random = SystemRandom::new();
        match &self.0 {
            Pair::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            Pair::Ec(pair) => Ok(pair.sign(&random, message).map_err(failed)?.as_ref().to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Algorithm; 5] =
        [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::ES256, Algorithm::ES384];

    fn seal(byte: u8) -> Seal {
        Seal::from_text(&STANDARD.encode([byte; 32])).unwrap()
    }

    #[test]
    fn the_thumbprint_is_that_of_rfc_7638() {
        let numbers = Numbers::RSA {
            n: "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCi\
                FV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9\
                c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1j\
                F44-csFCur-kEgU8awapJzKnqDKgw"
                .into(),
            e: "AQAB".into(),
        };
        assert_eq!(numbers.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[tokio::test]
    async fn a_key_opens_in_its_row_alone_and_its_public_half_holds_nothing_private() {
        let now = time::macros::datetime!(2030-01-01 0:00 UTC);
        for alg in ALL {
            let fresh = Fresh::generate("https://id.example.com", alg, now, &seal(1)).await.unwrap();
            let kid = &fresh.public_jwk.kid;
            let open = |kid: &str, issuer: &str, master: u8| {
                PrivateHalf::open(kid, alg, issuer, &fresh.private_sealed, &seal(master)).map(drop)
            };
            open(kid, "https://id.example.com", 1).unwrap();
            assert!(open("other", "https://id.example.com", 1).is_err());
            assert!(open(kid, "https://id2.example.com", 1).is_err());
            assert!(matches!(open(kid, "https://id.example.com", 2), Err(Error::Sealed(_))));

            let json = serde_json::to_value(&fresh.public_jwk).unwrap();
            let mut names: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
            names.sort_unstable();
            let expected: &[&str] = match alg {
                Algorithm::ES256 | Algorithm::ES384 => &["alg", "crv", "kid", "kty", "use", "x", "x5c", "y"],
                _ => &["alg", "e", "kid", "kty", "n", "use", "x5c"],
            };
            assert_eq!(names, expected);
            let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(json).unwrap();
            assert_eq!(jwk.thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256).unwrap(), *kid);
        }
    }
}
