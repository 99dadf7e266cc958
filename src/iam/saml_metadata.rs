//! The metadata of a SAML identity provider: who it is, and the certificates whose keys it signs with
//! (<https://docs.oasis-open.org/security/saml/v2.0/saml-metadata-2.0-os.pdf>). Read when it is saved, and never again.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rsa::pkcs8::DecodePublicKey as _;
use rsa::traits::PublicKeyParts as _;
use time::OffsetDateTime;

use crate::clock;
use crate::xml::{self, Element};

/// The namespace of metadata.
const METADATA: &str = "urn:oasis:names:tc:SAML:2.0:metadata";
/// The namespace of XML signatures, and of the certificates in metadata.
const SIGNATURE: &str = "http://www.w3.org/2000/09/xmldsig#";
/// The protocol that a provider must speak.
const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";

/// How many signing certificates a provider can have
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>, keys per SAML provider).
const MAX_CERTIFICATES: usize = 10;
/// How long an entity id can be, in characters (saml-metadata-2.0-os section 2.2.1).
const MAX_ENTITY_ID: usize = 1024;
/// The shortest RSA key that is trusted, in bits (NIST SP 800-131A).
const MIN_RSA_BITS: usize = 2048;
/// And the longest: what the crypto core verifies with.
const MAX_RSA_BITS: usize = 8192;

/// What of a provider's metadata counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SamlMetadata {
    /// The provider's own name, and the issuer of its assertions.
    pub entity_id: String,
    /// The certificates that it signs with, DER. Only their keys count: what else a certificate says is for TLS.
    pub certificates: Vec<Vec<u8>>,
    /// Until when the metadata holds, if it says so.
    pub valid_until: Option<OffsetDateTime>,
}

impl SamlMetadata {
    /// Reads a metadata document.
    ///
    /// # Errors
    /// What is wrong with it, and where, for its owner.
    pub fn parse(document: &str) -> Result<Self, String> {
        let document = xml::read(document).map_err(|why| format!("{why}."))?;
        let root = Element::root(&document).ok_or("It is empty.")?;
        let entity = entity(root)?;
        let entity_id = entity.attribute("entityID").unwrap_or_default();
        if !(1..=MAX_ENTITY_ID).contains(&entity_id.chars().count()) || entity_id.chars().any(char::is_control) {
            return Err(format!("EntityDescriptor needs an entityID of 1 to {MAX_ENTITY_ID} characters."));
        }
        let descriptor = entity.only_child(METADATA, "IDPSSODescriptor").ok_or(
            "EntityDescriptor needs exactly one IDPSSODescriptor: this is the metadata of an identity provider, not of \
             a service provider.",
        )?;
        let protocols = descriptor.attribute("protocolSupportEnumeration").unwrap_or_default();
        if !protocols.split_ascii_whitespace().any(|protocol| protocol == PROTOCOL) {
            return Err(format!("IDPSSODescriptor does not support {PROTOCOL}."));
        }
        let ends = [root, entity, descriptor].into_iter().filter_map(|element| element.attribute("validUntil"));
        let ends = ends.map(clock::parse).collect::<Option<Vec<_>>>();
        let valid_until = ends.ok_or("A validUntil is not a time such as 2030-01-02T03:04:05Z.")?.into_iter().min();
        Ok(Self { entity_id: entity_id.to_owned(), certificates: certificates(descriptor)?, valid_until })
    }
}

/// The one entity: the document itself, or the only member of a list.
fn entity<'d, 't>(root: Element<'d, 't>) -> Result<Element<'d, 't>, String> {
    if root.is(METADATA, "EntityDescriptor") {
        return Ok(root);
    }
    if !root.is(METADATA, "EntitiesDescriptor") {
        return Err(format!("It is not an EntityDescriptor of the namespace {METADATA}."));
    }
    root.only_child(METADATA, "EntityDescriptor").ok_or_else(|| {
        "EntitiesDescriptor must hold exactly one EntityDescriptor: a provider is one identity provider.".to_owned()
    })
}

/// The certificates of keys that may sign, each once.
fn certificates(descriptor: Element<'_, '_>) -> Result<Vec<Vec<u8>>, String> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    let keys = descriptor.children_named(METADATA, "KeyDescriptor");
    for key in keys.filter(|key| matches!(key.attribute("use"), None | Some("signing"))) {
        let certificates = key
            .children_named(SIGNATURE, "KeyInfo")
            .flat_map(|info| info.children_named(SIGNATURE, "X509Data"))
            .flat_map(|data| data.children_named(SIGNATURE, "X509Certificate"));
        for certificate in certificates {
            let number = found.len() + 1;
            let text: String = certificate.text().unwrap_or_default().split_ascii_whitespace().collect();
            let der = STANDARD.decode(text).map_err(|_| format!("Signing certificate {number} is not base64."))?;
            check(&der).map_err(|why| format!("Signing certificate {number} {why}"))?;
            if !found.contains(&der) {
                found.push(der);
            }
        }
    }
    if found.is_empty() {
        return Err("IDPSSODescriptor needs a KeyDescriptor for signing with an X509Certificate.".to_owned());
    }
    if found.len() > MAX_CERTIFICATES {
        return Err(format!("It has {} signing certificates; {MAX_CERTIFICATES} is the limit.", found.len()));
    }
    Ok(found)
}

/// Whether the key of a certificate is one to trust.
fn check(der: &[u8]) -> Result<(), String> {
    let unread = "is not an X.509 certificate with an RSA or an ECDSA key.";
    let key = bergshamra::keys::loader::load_x509_cert_der(der).map_err(|_| unread.to_owned())?;
    match key.algorithm_name() {
        "EC-P256" | "EC-P384" | "EC-P521" => Ok(()),
        "RSA" => {
            let der = key.to_spki_der().ok_or(unread)?;
            let bits = rsa::RsaPublicKey::from_public_key_der(&der).map_err(|_| unread.to_owned())?.n().bits();
            if (MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
                return Ok(());
            }
            Err(format!("has an RSA key of {bits} bits; {MIN_RSA_BITS} to {MAX_RSA_BITS} are trusted."))
        }
        _ => Err("has a key that is neither RSA nor ECDSA on P-256, P-384 or P-521.".to_owned()),
    }
}
