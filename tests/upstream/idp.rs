//! A SAML identity provider for tests: it writes responses in canonical form by hand, and signs them by hand, so that it
//! has nothing in common with what verifies them, and can do everything wrong that there is. It needs nothing of the test
//! binary it is included in.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use aws_lc_rs::digest::{self, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::CertificateParams;
use rsa::pkcs8::DecodePrivateKey as _;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

pub const ASSERTION: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
pub const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
pub const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
pub const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
pub const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
pub const RSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";
pub const SHA256: &str = "http://www.w3.org/2001/04/xmlenc#sha256";
pub const RECIPIENT: &str = "https://signin.aws.amazon.com/saml";
pub const AUDIENCE: &str = "urn:amazon:webservices";

/// Where the signature of a text goes.
pub const MARK: &str = "<!--signature-->";

/// PKCS #8 of the RSA pairs of this process: they take long to make.
static PAIRS: LazyLock<Mutex<Vec<Arc<Vec<u8>>>>> = LazyLock::new(Mutex::default);

enum Pair {
    Rsa(RsaKeyPair, Arc<Vec<u8>>),
    P256(EcdsaKeyPair),
}

/// A provider with one key.
pub struct Idp {
    pub entity: String,
    pub certificate: Vec<u8>,
    pair: Pair,
}

/// How something is signed.
#[derive(Clone)]
pub struct How {
    pub canonicalization: String,
    pub method: String,
    pub digest: String,
    /// What is in `Transforms`; nothing leaves it out.
    pub transforms: Option<String>,
    /// The `URI`; `None` is that of the element, an empty one the whole document.
    pub uri: Option<String>,
    pub key_info: String,
    /// What else is in the signature.
    pub more: String,
    /// Another text to digest than the element's.
    pub digests: Option<String>,
}

impl Default for How {
    fn default() -> Self {
        Self {
            canonicalization: EXCLUSIVE.to_owned(),
            method: RSA_SHA256.to_owned(),
            digest: SHA256.to_owned(),
            transforms: Some(transform(ENVELOPED) + &transform(EXCLUSIVE)),
            uri: None,
            key_info: String::new(),
            more: String::new(),
            digests: None,
        }
    }
}

/// A transform by its name.
pub fn transform(algorithm: &str) -> String {
    format!("<ds:Transform Algorithm=\"{algorithm}\"></ds:Transform>")
}

/// A moment, in seconds from an epoch second.
pub fn at(now: i64, seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(now + seconds).unwrap().format(&Rfc3339).unwrap()
}

/// Base64, as it comes in a login.
pub fn login(text: &str) -> String {
    STANDARD.encode(text)
}

impl Idp {
    /// With the `number`th RSA key of this process.
    pub fn rsa(entity: &str, number: usize) -> Self {
        let mut pairs = PAIRS.lock().unwrap_or_else(PoisonError::into_inner);
        while pairs.len() <= number {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
            let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
            pairs.push(Arc::new(der.as_ref().to_vec()));
        }
        let der = Arc::clone(&pairs[number]);
        let certificate = certified(&der, &rcgen::PKCS_RSA_SHA256);
        Self { entity: entity.to_owned(), certificate, pair: Pair::Rsa(RsaKeyPair::from_pkcs8(&der).unwrap(), der) }
    }

    /// With a fresh key on P-256.
    pub fn p256(entity: &str) -> Self {
        let der =
            EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let certificate = certified(der.as_ref(), &rcgen::PKCS_ECDSA_P256_SHA256);
        let pair = EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref()).unwrap();
        Self { entity: entity.to_owned(), certificate, pair: Pair::P256(pair) }
    }

    /// A metadata document with this certificate.
    pub fn metadata(&self) -> String {
        self.metadata_with("", &key_descriptor(" use=\"signing\"", &self.certificate))
    }

    /// The same with further attributes of `EntityDescriptor`, and other keys.
    pub fn metadata_with(&self, attributes: &str, keys: &str) -> String {
        let padding = "Long enough for IAM's model, which wants a thousand characters. ".repeat(12);
        format!(
            "<?xml version=\"1.0\"?>\n<!-- {padding} -->\n<md:EntityDescriptor \
             xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\" xmlns:ds=\"{DSIG}\" entityID=\"{}\"{attributes}>\
             <md:IDPSSODescriptor protocolSupportEnumeration=\"{PROTOCOL}\">{keys}<md:SingleSignOnService \
             Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST\" Location=\"https://idp.example.com/sso\"/>\
             </md:IDPSSODescriptor></md:EntityDescriptor>",
            self.entity
        )
    }

    /// An assertion about a user, in canonical form, with the mark of its signature.
    pub fn assertion(&self, user: &str, now: i64) -> String {
        format!(
            "<saml:Assertion xmlns:saml=\"{ASSERTION}\" ID=\"_{}\" IssueInstant=\"{}\" Version=\"2.0\">\
             <saml:Issuer>{}</saml:Issuer>{MARK}<saml:Subject>\
             <saml:NameID Format=\"urn:oasis:names:tc:SAML:2.0:nameid-format:persistent\">{user}</saml:NameID>\
             <saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\">\
             <saml:SubjectConfirmationData NotOnOrAfter=\"{}\" Recipient=\"{RECIPIENT}\"></saml:SubjectConfirmationData>\
             </saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore=\"{}\" NotOnOrAfter=\"{}\">\
             <saml:AudienceRestriction><saml:Audience>{AUDIENCE}</saml:Audience></saml:AudienceRestriction>\
             </saml:Conditions><saml:AuthnStatement AuthnInstant=\"{}\" SessionIndex=\"_s1\"><saml:AuthnContext>\
             <saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef>\
             </saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement><saml:Attribute Name=\"team\">\
             <saml:AttributeValue>blue</saml:AttributeValue></saml:Attribute></saml:AttributeStatement>\
             </saml:Assertion>",
            hex::encode(random()),
            at(now, 0),
            self.entity,
            at(now, 300),
            at(now, -300),
            at(now, 300),
            at(now, -60),
        )
    }

    /// A response around an assertion, in canonical form, with the mark of its signature.
    pub fn response(&self, assertion: &str, now: i64) -> String {
        format!(
            "<samlp:Response xmlns:samlp=\"{PROTOCOL}\" Destination=\"{RECIPIENT}\" ID=\"_{}\" IssueInstant=\"{}\" \
             Version=\"2.0\"><saml:Issuer xmlns:saml=\"{ASSERTION}\">{}</saml:Issuer>{MARK}<samlp:Status>\
             <samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"></samlp:StatusCode></samlp:Status>\
             {assertion}</samlp:Response>",
            hex::encode(random()),
            at(now, 0),
            self.entity,
        )
    }

    /// A text with a mark, signed there. What comes out holds no mark.
    pub fn sign(&self, text: &str, how: &How) -> String {
        let id = text.split_once(" ID=\"").map_or("", |(_, rest)| rest.split_once('"').unwrap().0);
        let uri = how.uri.clone().unwrap_or_else(|| format!("#{id}"));
        let digested = how.digests.clone().unwrap_or_else(|| text.replace(MARK, ""));
        let digest = STANDARD.encode(digest(hash(&how.digest), digested.as_bytes()));
        let transforms = how.transforms.as_ref();
        let transforms = transforms.map(|list| format!("<ds:Transforms>{list}</ds:Transforms>")).unwrap_or_default();
        let info = format!(
            "<ds:CanonicalizationMethod Algorithm=\"{}\"></ds:CanonicalizationMethod><ds:SignatureMethod \
             Algorithm=\"{}\"></ds:SignatureMethod><ds:Reference URI=\"{uri}\">{transforms}<ds:DigestMethod \
             Algorithm=\"{}\"></ds:DigestMethod><ds:DigestValue>{digest}</ds:DigestValue></ds:Reference>",
            how.canonicalization, how.method, how.digest
        );
        text.replacen(MARK, &self.signature(&info, how), 1)
    }

    /// A signature of what is in `SignedInfo`, which must be canonical but for the declaration of `ds`.
    pub fn signature(&self, info: &str, how: &How) -> String {
        let canonical = format!("<ds:SignedInfo xmlns:ds=\"{DSIG}\">{info}</ds:SignedInfo>");
        let value = STANDARD.encode(self.signed(canonical.as_bytes(), &how.method));
        format!(
            "<ds:Signature xmlns:ds=\"{DSIG}\"><ds:SignedInfo>{info}</ds:SignedInfo><ds:SignatureValue>{value}\
             </ds:SignatureValue>{}{}</ds:Signature>",
            how.key_info, how.more
        )
    }

    fn signed(&self, message: &[u8], method: &str) -> Vec<u8> {
        match &self.pair {
            // The certificate, which anyone has, for a secret.
            _ if method.ends_with("#hmac-sha256") => {
                hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.certificate), message).as_ref().to_vec()
            }
            Pair::Rsa(_, der) if method.ends_with("#rsa-sha1") => {
                let key = rsa::RsaPrivateKey::from_pkcs8_der(der).unwrap();
                // The DigestInfo of SHA-1 (RFC 8017 section 9.2).
                let mut info = hex::decode("3021300906052b0e03021a05000414").unwrap();
                info.extend_from_slice(digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, message).as_ref());
                key.sign(rsa::Pkcs1v15Sign::new_unprefixed(), &info).unwrap()
            }
            Pair::Rsa(pair, _) => {
                let encoding = match method.rsplit_once("sha").map(|(_, bits)| bits) {
                    Some("512") => &signature::RSA_PKCS1_SHA512,
                    Some("384") => &signature::RSA_PKCS1_SHA384,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut value = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &SystemRandom::new(), message, &mut value).unwrap();
                value
            }
            Pair::P256(pair) => pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
        }
    }

    /// A response whose assertion is signed, in base64.
    pub fn login(&self, user: &str, now: i64) -> String {
        login(&self.document(user, now))
    }

    /// The same as text.
    pub fn document(&self, user: &str, now: i64) -> String {
        self.response(&self.sign(&self.assertion(user, now), &How::default()), now).replace(MARK, "")
    }

    /// `KeyInfo` with this certificate.
    pub fn key_info(&self) -> String {
        let certificate = STANDARD.encode(&self.certificate);
        format!(
            "<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
        )
    }
}

/// A `KeyDescriptor` of a certificate.
pub fn key_descriptor(attributes: &str, certificate: &[u8]) -> String {
    format!(
        "<md:KeyDescriptor{attributes}><ds:KeyInfo><ds:X509Data><ds:X509Certificate>{}</ds:X509Certificate></ds:X509Data>\
         </ds:KeyInfo></md:KeyDescriptor>",
        STANDARD.encode(certificate)
    )
}

fn certified(der: &[u8], algorithm: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
    let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(der), algorithm).unwrap();
    CertificateParams::new(Vec::new()).unwrap().self_signed(&pair).unwrap().der().to_vec()
}

fn hash(name: &str) -> &'static digest::Algorithm {
    match name.rsplit_once("sha").map(|(_, bits)| bits) {
        Some("1") => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        Some("384") => &digest::SHA384,
        Some("512") => &digest::SHA512,
        _ => &digest::SHA256,
    }
}

fn random() -> [u8; 16] {
    symbolon::ids::random().unwrap()
}
