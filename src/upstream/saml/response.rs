//! The form of a SAML response (<https://docs.oasis-open.org/security/saml/v2.0/saml-core-2.0-os.pdf> section 3.2.2), with
//! no room for a second assertion, a second id or a signature in another place.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::assertion::{self, Expected};
use super::signature::{self, Signed};
use super::{ASSERTION, PROTOCOL, SIGNATURE};
use crate::error::InvalidLogin;
use crate::xml::{self, Element, Malformed};

/// The longest response, in characters of base64; the model of `Logins` admits half of it.
const MAX_LENGTH: usize = 100_000;

const SUCCESS: &str = "urn:oasis:names:tc:SAML:2.0:status:Success";

const NOT_A_RESPONSE: InvalidLogin = InvalidLogin::Saml("Not a SAML response: send samlp:Response in base64.");
const SECOND: InvalidLogin = InvalidLogin::Saml("The SAML response must hold exactly one assertion, right below it.");
const ENCRYPTED: InvalidLogin =
    InvalidLogin::Saml("Encrypted SAML assertions are not supported; let the provider sign, and not encrypt.");
const IDS: InvalidLogin = InvalidLogin::Saml("The ids in the SAML response are not unique, or not plain.");
const PLACE: InvalidLogin = InvalidLogin::Saml("A signature in the SAML response is not where SAML has signatures.");

/// The signed text of a response in base64: of the response itself, or else of its assertion.
///
/// # Errors
/// What is wrong with its form, its status or its signatures.
pub(super) fn open(text: &str, certificates: &[Vec<u8>], expected: &Expected<'_>) -> Result<Signed, InvalidLogin> {
    if text.len() > MAX_LENGTH {
        return Err(NOT_A_RESPONSE);
    }
    let base64: String = text.split_ascii_whitespace().collect();
    let bytes = STANDARD.decode(base64).map_err(|_| NOT_A_RESPONSE)?;
    let text = String::from_utf8(bytes).map_err(|_| NOT_A_RESPONSE)?;
    let document = xml::read(&text).map_err(|why| match why {
        Malformed::Declaration | Malformed::Instruction => {
            InvalidLogin::Saml("The SAML response holds a document type or a processing instruction.")
        }
        Malformed::Attributes | Malformed::IllFormed => NOT_A_RESPONSE,
    })?;
    let root = Element::root(&document).filter(|root| root.is(PROTOCOL, "Response")).ok_or(NOT_A_RESPONSE)?;
    let assertion = only_assertion(root)?;
    check_ids(root)?;
    let signatures = signatures(root, assertion)?;
    check_envelope(root, expected)?;
    let signed = signature::verify(&document, &signatures, certificates)?;
    // That of the response comes first and covers more.
    signed.into_iter().next().ok_or(InvalidLogin::Signature)
}

/// The one assertion, right below the response; none is anywhere else, in whatever namespace.
fn only_assertion<'d, 't>(root: Element<'d, 't>) -> Result<Element<'d, 't>, InvalidLogin> {
    let mut assertions = Vec::new();
    for element in root.descendants() {
        match element.local_name() {
            "Assertion" => assertions.push(element),
            "Response" => return Err(SECOND),
            "EncryptedAssertion" | "EncryptedID" | "EncryptedAttribute" | "EncryptedData" => return Err(ENCRYPTED),
            _ => {}
        }
    }
    let [only] = assertions.as_slice() else { return Err(SECOND) };
    let is_below = only.parent().is_some_and(|parent| parent.id() == root.id());
    if is_below && only.is(ASSERTION, "Assertion") { Ok(*only) } else { Err(SECOND) }
}

/// Whatever anyone could take for an id is there once, and in no namespace.
fn check_ids(root: Element<'_, '_>) -> Result<(), InvalidLogin> {
    let mut seen = HashSet::new();
    for element in std::iter::once(root).chain(root.descendants()) {
        let mut own = 0;
        for (namespace, name, value) in element.attributes() {
            if name.eq_ignore_ascii_case("id") || name.eq_ignore_ascii_case("assertionid") {
                own += 1;
                if namespace.is_some() || own > 1 || !seen.insert(value) {
                    return Err(IDS);
                }
            }
        }
    }
    Ok(())
}

/// The signatures, of the response and of the assertion, one of each at most and one in all at least.
fn signatures<'d, 't>(root: Element<'d, 't>, assertion: Element<'d, 't>) -> Result<Vec<Element<'d, 't>>, InvalidLogin> {
    let found: Vec<_> = root.descendants().filter(|element| element.local_name() == "Signature").collect();
    let mut signed = HashSet::new();
    for signature in &found {
        let parent = signature.parent().map(Element::id).filter(|id| *id == root.id() || *id == assertion.id());
        if !signature.is(SIGNATURE, "Signature") || !parent.is_some_and(|id| signed.insert(id)) {
            return Err(PLACE);
        }
    }
    if found.is_empty() {
        return Err(InvalidLogin::Saml("Neither the SAML response nor its assertion is signed."));
    }
    Ok(found)
}

/// What the response itself says. It may be unsigned, and can only make things worse for its bearer.
fn check_envelope(root: Element<'_, '_>, expected: &Expected<'_>) -> Result<(), InvalidLogin> {
    if root.attribute("Version") != Some("2.0") {
        return Err(NOT_A_RESPONSE);
    }
    let status = root.only_child(PROTOCOL, "Status").and_then(|status| status.only_child(PROTOCOL, "StatusCode"));
    if status.and_then(|code| code.attribute("Value")) != Some(SUCCESS) {
        return Err(InvalidLogin::Saml("The SAML response does not tell of success."));
    }
    if root.attribute("Destination").is_some_and(|to| !expected.recipients.iter().any(|known| known == to)) {
        return Err(InvalidLogin::Saml("The Destination of the SAML response is not one of upstream.saml_recipients."));
    }
    match root.children_named(ASSERTION, "Issuer").collect::<Vec<_>>().as_slice() {
        [] => Ok(()),
        [issuer] => assertion::check_issuer(*issuer, expected),
        _ => Err(InvalidLogin::Issuer),
    }
}
