//! The signatures of a SAML response: the profile of XML signatures that SAML has (saml-core-2.0-os section 5.4), narrowed
//! to what identity providers write, and verified by pinned keys.
//!
//! The library resolves references and verifies. What it took for the signed element is compared with the parent of the
//! signature; then the element is made canonical here once more, and its digest compared, so that the text that is handed
//! on is proven to be what was signed.

use aws_lc_rs::digest::{self, SHA256, SHA384, SHA512, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bergshamra::c14n::{C14nMode, canonicalize_doc};
use bergshamra::dsig::verify::verify_all_document;
use bergshamra::keys::loader::load_x509_cert_der;
use bergshamra::xml::NodeSet;
use bergshamra::{DsigContext, KeysManager, VerifyResult};
use uppsala::Document;

use super::SIGNATURE;
use crate::error::InvalidLogin;
use crate::xml::Element;

/// Exclusive canonicalization. What is referred to by its id has no comments in it, so that the two come to the same.
const EXCLUSIVE: [&str; 2] =
    ["http://www.w3.org/2001/10/xml-exc-c14n#", "http://www.w3.org/2001/10/xml-exc-c14n#WithComments"];
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";

/// RSA by PKCS #1 and ECDSA, with SHA-256 and longer (RFC 9231).
const METHODS: [&str; 6] = [
    "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
    "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384",
    "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512",
    "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256",
    "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384",
    "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512",
];

const DIGESTS: [(&str, &digest::Algorithm); 3] = [
    ("http://www.w3.org/2001/04/xmlenc#sha256", &SHA256),
    ("http://www.w3.org/2001/04/xmldsig-more#sha384", &SHA384),
    ("http://www.w3.org/2001/04/xmlenc#sha512", &SHA512),
];

/// The most prefixes in a list of them; providers name `xs` and a few more. Each is looked for at every element, so that a
/// long list and a document of many elements would keep the canonicalization busy for seconds, before any signature is
/// known to hold.
const MAX_PREFIXES: usize = 16;

const FORM: InvalidLogin =
    InvalidLogin::Saml("A signature in the SAML response is not of the form that SAML asks for.");
const REFERENCE: InvalidLogin =
    InvalidLogin::Saml("A signature in the SAML response does not refer to the element that holds it, by its ID.");
const ALGORITHM: InvalidLogin = InvalidLogin::Saml(
    "The SAML response is signed in a way that is not accepted: RSA or ECDSA with SHA-256 or longer, and exclusive \
     canonicalization, are.",
);

/// The canonical text of a signed element, without its signature: exactly the bytes whose digest was signed.
#[derive(Debug)]
pub(super) struct Signed(pub(super) String);

/// What a signature says of itself, within the profile.
struct Profile<'d, 't> {
    signature: Element<'d, 't>,
    signed: Element<'d, 't>,
    prefixes: Vec<String>,
    algorithm: &'static digest::Algorithm,
    digest: Vec<u8>,
}

/// Verifies all signatures of the document, which are these: every one holds, by one of the certificates' keys. In their
/// order, what each has signed.
///
/// # Errors
/// [`InvalidLogin::Signature`] if one does not hold; else what is wrong with its form.
pub(super) fn verify(
    document: &Document<'_>,
    signatures: &[Element<'_, '_>],
    certificates: &[Vec<u8>],
) -> Result<Vec<Signed>, InvalidLogin> {
    let profiles = signatures.iter().map(|signature| profile(*signature)).collect::<Result<Vec<_>, _>>()?;
    let mut keys = KeysManager::new();
    for der in certificates {
        let mut key = load_x509_cert_der(der).map_err(|_| InvalidLogin::Signature)?;
        // The key is pinned; who certified it, and until when, does not count.
        key.x509_chain.clear();
        keys.add_key(key);
    }
    let context = DsigContext::new(keys);
    let results = verify_all_document(&context, document).map_err(|_| InvalidLogin::Signature)?;
    if results.len() != profiles.len() {
        return Err(InvalidLogin::Signature);
    }
    profiles.iter().zip(&results).map(|(profile, result)| profile.signed_text(document, result)).collect()
}

impl Profile<'_, '_> {
    /// What was signed, if the library has verified this very signature of this very element.
    fn signed_text(&self, document: &Document<'_>, result: &VerifyResult) -> Result<Signed, InvalidLogin> {
        let VerifyResult::Valid { signature_node, references, .. } = result else {
            return Err(InvalidLogin::Signature);
        };
        let [reference] = references.as_slice() else { return Err(InvalidLogin::Signature) };
        let is_ours = *signature_node == self.signature.id()
            && reference.digest_verified
            && reference.resolved_node == Some(self.signed.id());
        if !is_ours {
            return Err(InvalidLogin::Signature);
        }
        let without = NodeSet::tree_with_comments(self.signature.id(), document);
        let nodes = NodeSet::tree_without_comments(self.signed.id(), document).subtract(&without);
        let bytes = canonicalize_doc(document, C14nMode::Exclusive, Some(&nodes), &self.prefixes)
            .map_err(|_| InvalidLogin::Signature)?;
        if digest(self.algorithm, &bytes).as_ref() != self.digest.as_slice() {
            return Err(InvalidLogin::Signature);
        }
        String::from_utf8(bytes).map(Signed).map_err(|_| InvalidLogin::Signature)
    }
}

/// Holds a signature against the profile. What is not named here is refused, but for `KeyInfo`, which nobody reads.
fn profile<'d, 't>(signature: Element<'d, 't>) -> Result<Profile<'d, 't>, InvalidLogin> {
    let signed = signature.parent().ok_or(FORM)?;
    let (info, value) = match members(signature)?.as_slice() {
        [info, value] => (*info, *value),
        [info, value, key] if key.is(SIGNATURE, "KeyInfo") => (*info, *value),
        _ => return Err(FORM),
    };
    let [canonicalization, method, reference] = members(named(info, "SignedInfo")?)?[..] else { return Err(FORM) };
    if !EXCLUSIVE.contains(&algorithm(named(canonicalization, "CanonicalizationMethod")?)?)
        || !METHODS.contains(&algorithm(named(method, "SignatureMethod")?)?)
        || !members(method)?.is_empty()
    {
        return Err(ALGORITHM);
    }
    // Read for its form only; the library reads it again.
    prefixes(canonicalization)?;
    let [transforms, digest_method, digest_value] = members(named(reference, "Reference")?)?[..] else {
        return Err(FORM);
    };
    let id = signed.attribute("ID").filter(|id| !id.is_empty()).ok_or(REFERENCE)?;
    if reference.attribute("URI").and_then(|uri| uri.strip_prefix('#')) != Some(id) {
        return Err(REFERENCE);
    }
    let [enveloped, exclusive] = members(named(transforms, "Transforms")?)?[..] else { return Err(ALGORITHM) };
    if algorithm(named(enveloped, "Transform")?)? != ENVELOPED
        || !members(enveloped)?.is_empty()
        || !EXCLUSIVE.contains(&algorithm(named(exclusive, "Transform")?)?)
    {
        return Err(ALGORITHM);
    }
    let name = algorithm(named(digest_method, "DigestMethod")?)?;
    let (_, algorithm) = DIGESTS.iter().find(|(known, _)| *known == name).ok_or(ALGORITHM)?;
    if !members(digest_method)?.is_empty() {
        return Err(FORM);
    }
    let digest = base64(named(digest_value, "DigestValue")?)?;
    base64(named(value, "SignatureValue")?)?;
    Ok(Profile { signature, signed, prefixes: prefixes(exclusive)?, algorithm, digest })
}

/// The elements in one that holds nothing else, and has no attributes that two readers could read in two ways.
fn members<'d, 't>(element: Element<'d, 't>) -> Result<Vec<Element<'d, 't>>, InvalidLogin> {
    if !element.is_plain_structure() || element.attributes().any(|(namespace, ..)| namespace.is_some()) {
        return Err(FORM);
    }
    Ok(element.children().collect())
}

fn named<'d, 't>(element: Element<'d, 't>, name: &str) -> Result<Element<'d, 't>, InvalidLogin> {
    if element.is(SIGNATURE, name) { Ok(element) } else { Err(FORM) }
}

fn algorithm<'d>(element: Element<'d, '_>) -> Result<&'d str, InvalidLogin> {
    if element.attributes().any(|(namespace, ..)| namespace.is_some()) {
        return Err(FORM);
    }
    element.attribute("Algorithm").ok_or(FORM)
}

/// The prefixes that an exclusive canonicalization treats as an inclusive one does.
fn prefixes(element: Element<'_, '_>) -> Result<Vec<String>, InvalidLogin> {
    match members(element)?.as_slice() {
        [] => Ok(Vec::new()),
        [list] if list.is(EXCLUSIVE[0], "InclusiveNamespaces") && members(*list)?.is_empty() => {
            let prefixes = list.attribute("PrefixList").unwrap_or_default().split_ascii_whitespace();
            let prefixes: Vec<String> = prefixes.take(MAX_PREFIXES + 1).map(str::to_owned).collect();
            if prefixes.len() > MAX_PREFIXES { Err(FORM) } else { Ok(prefixes) }
        }
        _ => Err(FORM),
    }
}

fn base64(element: Element<'_, '_>) -> Result<Vec<u8>, InvalidLogin> {
    if !element.is_plain_text() || element.attributes().any(|(namespace, ..)| namespace.is_some()) {
        return Err(FORM);
    }
    let text: String = element.text().unwrap_or_default().split_ascii_whitespace().collect();
    STANDARD.decode(text).map_err(|_| FORM)
}
