//! What a signed assertion says, held against what is expected
//! (<https://docs.oasis-open.org/security/saml/v2.0/saml-profiles-2.0-os.pdf> section 4.1.4.3).

use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};

use super::signature::Signed;
use super::{ASSERTION, PROTOCOL};
use crate::clock;
use crate::error::InvalidLogin;
use crate::xml::{self, Element};

const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
const INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";
/// The claim that stands for the name id where a provider names it so, and the one that AWS's default mapping reads
/// (<https://docs.aws.amazon.com/cognito/latest/developerguide/provider-mappings.html>).
const NAME_IDENTIFIER: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier";

/// Formats of name ids that stay with a user (saml-core-2.0-os section 8.3). A transient one is another at each login.
const FORMATS: [&str; 6] = [
    "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
    "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
    "urn:oasis:names:tc:SAML:1.1:nameid-format:X509SubjectName",
    "urn:oasis:names:tc:SAML:1.1:nameid-format:WindowsDomainQualifiedName",
    "urn:oasis:names:tc:SAML:2.0:nameid-format:kerberos",
    "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
];
const TRANSIENT: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient";

/// The longest name id, in characters.
const MAX_SUBJECT: usize = 1024;

const FORM: InvalidLogin = InvalidLogin::Saml("The SAML assertion lacks what it must have, or has it twice.");
const TIME: InvalidLogin = InvalidLogin::Saml("A time in the SAML assertion is not one such as 2030-01-02T03:04:05Z.");
const BEARER_MISSING: InvalidLogin = InvalidLogin::Saml(
    "The SAML assertion confirms no bearer: SubjectConfirmationData needs NotOnOrAfter, no NotBefore, and a Recipient of \
     upstream.saml_recipients.",
);

/// What an assertion is held against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    /// The provider's entity id.
    pub(super) issuer: &'a str,
    /// Of these the audience must be one.
    pub(super) audiences: &'a [String],
    /// And of these the recipient.
    pub(super) recipients: &'a [String],
    /// Now.
    pub(super) now: OffsetDateTime,
    /// How far the provider's clock may be off.
    pub(super) skew: Duration,
}

/// What an assertion says that holds.
#[derive(Debug)]
pub(super) struct Said {
    /// The user.
    pub(super) subject: String,
    /// The audience that was expected.
    pub(super) audience: String,
    /// The attributes by their names, and `sub`, `iss` and the name identifier.
    pub(super) claims: Map<String, Value>,
    /// The assertion's own id.
    pub(super) id: String,
    /// When it can be taken no more, the provider's clock being right.
    pub(super) expires_at: OffsetDateTime,
}

impl Expected<'_> {
    /// Checks the end of something.
    fn check_end(&self, end: OffsetDateTime) -> Result<(), InvalidLogin> {
        if self.now.saturating_sub(self.skew) < end {
            return Ok(());
        }
        Err(InvalidLogin::Expired { now: self.now.unix_timestamp(), exp: end.unix_timestamp() })
    }

    /// Checks the beginning of something.
    fn check_start(&self, start: OffsetDateTime) -> Result<(), InvalidLogin> {
        if start <= self.now.saturating_add(self.skew) { Ok(()) } else { Err(InvalidLogin::NotYetValid) }
    }
}

/// Reads the assertion in a signed text, which is the text of an assertion or of a response.
///
/// # Errors
/// The first thing that does not hold.
pub(super) fn read(signed: &Signed, expected: &Expected<'_>) -> Result<Said, InvalidLogin> {
    let document = xml::read(&signed.0).map_err(|_| FORM)?;
    let root = Element::root(&document).ok_or(FORM)?;
    let assertion = if root.is(PROTOCOL, "Response") { root.only_child(ASSERTION, "Assertion") } else { Some(root) };
    let assertion = assertion.filter(|element| element.is(ASSERTION, "Assertion")).ok_or(FORM)?;
    if assertion.attribute("Version") != Some("2.0") {
        return Err(FORM);
    }
    let id = assertion.attribute("ID").filter(|id| !id.is_empty()).ok_or(FORM)?;
    expected.check_start(time(assertion, "IssueInstant")?.ok_or(TIME)?)?;
    check_issuer(assertion.only_child(ASSERTION, "Issuer").ok_or(InvalidLogin::Issuer)?, expected)?;
    let subject = assertion.only_child(ASSERTION, "Subject").ok_or(FORM)?;
    let name = name_id(subject, expected)?;
    let (audience, end) = conditions(assertion, expected)?;
    let last = bearer(subject, expected)?;
    check_session(assertion, expected)?;
    let claims = claims(assertion, &name, expected);
    let expires_at = end.map_or(last, |end| end.min(last));
    Ok(Said { subject: name, audience, claims, id: id.to_owned(), expires_at })
}

/// Checks that an `Issuer` is the provider.
pub(super) fn check_issuer(issuer: Element<'_, '_>, expected: &Expected<'_>) -> Result<(), InvalidLogin> {
    let is_entity = matches!(
        issuer.attribute("Format"),
        None | Some(
            "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"
                | "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
        )
    );
    if is_entity && issuer.text().as_deref() == Some(expected.issuer) { Ok(()) } else { Err(InvalidLogin::Issuer) }
}

/// The user: the name id, if it is one that stays.
fn name_id(subject: Element<'_, '_>, expected: &Expected<'_>) -> Result<String, InvalidLogin> {
    let name = subject.only_child(ASSERTION, "NameID").ok_or(InvalidLogin::MissingClaim("NameID"))?;
    match name.attribute("Format") {
        None => {}
        Some(format) if FORMATS.contains(&format) => {}
        Some(TRANSIENT) => {
            return Err(InvalidLogin::Saml(
                "The NameID is transient, another one at each login; let the provider send a persistent one or an address.",
            ));
        }
        Some(_) => return Err(InvalidLogin::Saml("The NameID is of a Format that is not accepted.")),
    }
    // The same name of another directory, or for another service, is another user.
    let foreign = name.attribute("NameQualifier").is_some_and(|by| by != expected.issuer)
        || name.attribute("SPNameQualifier").is_some_and(|by| !expected.audiences.iter().any(|known| known == by));
    if foreign {
        return Err(InvalidLogin::Saml("The NameID is qualified by another than the provider and its audience."));
    }
    let text = name.text().ok_or(InvalidLogin::MissingClaim("NameID"))?;
    let fits = (1..=MAX_SUBJECT).contains(&text.chars().count()) && text.trim() == text;
    if !fits || text.chars().any(char::is_control) {
        return Err(InvalidLogin::MissingClaim("NameID"));
    }
    Ok(text)
}

/// The conditions: the audience that was expected, and when they end.
fn conditions(
    assertion: Element<'_, '_>,
    expected: &Expected<'_>,
) -> Result<(String, Option<OffsetDateTime>), InvalidLogin> {
    let conditions = assertion.only_child(ASSERTION, "Conditions").ok_or(InvalidLogin::Audience)?;
    if let Some(start) = time(conditions, "NotBefore")? {
        expected.check_start(start)?;
    }
    let end = time(conditions, "NotOnOrAfter")?;
    if let Some(end) = end {
        expected.check_end(end)?;
    }
    let mut audience = None;
    for condition in conditions.children() {
        if condition.is(ASSERTION, "AudienceRestriction") {
            // Each restriction must admit us, each by any of its audiences.
            let mut audiences = condition.children_named(ASSERTION, "Audience").filter_map(Element::text);
            let ours = audiences.find(|text| expected.audiences.contains(text)).ok_or(InvalidLogin::Audience)?;
            audience.get_or_insert(ours);
        } else if !condition.is(ASSERTION, "OneTimeUse") && !condition.is(ASSERTION, "ProxyRestriction") {
            return Err(InvalidLogin::Saml("The SAML assertion has a condition that is not known."));
        }
    }
    Ok((audience.ok_or(InvalidLogin::Audience)?, end))
}

/// That the bearer is confirmed. The last moment at which any bearer could be.
fn bearer(subject: Element<'_, '_>, expected: &Expected<'_>) -> Result<OffsetDateTime, InvalidLogin> {
    let mut last: Option<OffsetDateTime> = None;
    let mut outcome = Err(BEARER_MISSING);
    let confirmations = subject.children_named(ASSERTION, "SubjectConfirmation");
    for confirmation in confirmations.filter(|confirmation| confirmation.attribute("Method") == Some(BEARER)) {
        let Some(data) = confirmation.only_child(ASSERTION, "SubjectConfirmationData") else { continue };
        let Some(end) = time(data, "NotOnOrAfter")? else { continue };
        last = Some(last.map_or(end, |last| last.max(end)));
        let is_ours = data.attribute("Recipient").is_some_and(|to| expected.recipients.iter().any(|known| known == to));
        if is_ours && data.attribute("NotBefore").is_none() && outcome.is_err() {
            outcome = expected.check_end(end);
        }
    }
    outcome.and(last.ok_or(BEARER_MISSING))
}

/// That the user has signed in at the provider, and that the session there has not ended.
fn check_session(assertion: Element<'_, '_>, expected: &Expected<'_>) -> Result<(), InvalidLogin> {
    let mut statements = assertion.children_named(ASSERTION, "AuthnStatement").peekable();
    if statements.peek().is_none() {
        return Err(InvalidLogin::Saml("The SAML assertion has no AuthnStatement: nobody has signed in."));
    }
    statements.try_for_each(|statement| match time(statement, "SessionNotOnOrAfter")? {
        Some(end) => expected.check_end(end),
        None => Ok(()),
    })
}

/// Attributes by name: text, or a list where there are several values. Values that are no text are left out.
fn claims(assertion: Element<'_, '_>, name: &str, expected: &Expected<'_>) -> Map<String, Value> {
    let mut values: Map<String, Value> = Map::new();
    let statements = assertion.children_named(ASSERTION, "AttributeStatement");
    for attribute in statements.flat_map(|statement| statement.children_named(ASSERTION, "Attribute")) {
        let Some(name) = attribute.attribute("Name") else { continue };
        let texts = attribute
            .children_named(ASSERTION, "AttributeValue")
            .filter(|value| !matches!(value.attribute_of(INSTANCE, "nil"), Some("true" | "1")))
            .filter_map(Element::text);
        for text in texts {
            match values.get_mut(name) {
                None => drop(values.insert(name.to_owned(), Value::String(text))),
                Some(Value::Array(list)) => list.push(Value::String(text)),
                Some(one) => *one = Value::Array(vec![one.take(), Value::String(text)]),
            }
        }
    }
    values.entry(NAME_IDENTIFIER).or_insert_with(|| name.into());
    // These mean what they mean for every provider, whatever attributes are called.
    values.insert("sub".to_owned(), name.into());
    values.insert("iss".to_owned(), expected.issuer.into());
    values
}

fn time(element: Element<'_, '_>, attribute: &str) -> Result<Option<OffsetDateTime>, InvalidLogin> {
    let Some(text) = element.attribute(attribute) else { return Ok(None) };
    clock::parse(text).map(Some).ok_or(TIME)
}
