//! What a signed assertion must say, rule by rule: each is signed rightly, and says one thing wrongly.

use std::time::Duration;

use symbolon::error::{Error, InvalidLogin};

use super::{Stage, trust, verify};
use crate::idp::{AUDIENCE, How, Idp, MARK, RECIPIENT, at, login};
use crate::stage::{self, NOW};

const AUDIENCE_MISSING: &str = "Audience";
const BEARER: &str = "confirms no bearer";
const FORM: &str = "lacks what it must have, or has it twice";

/// A response with a signed assertion that was changed before it was signed.
fn said(idp: &Idp, change: impl FnOnce(String) -> String) -> String {
    let changed = change(idp.assertion("ann", NOW));
    idp.response(&idp.sign(&changed, &How::default()), NOW).replace(MARK, "")
}

/// The same where one text takes the place of another.
fn with(idp: &Idp, from: &str, to: &str) -> String {
    said(idp, |assertion| {
        assert!(assertion.contains(from), "{from}");
        assertion.replace(from, to)
    })
}

/// Where an element begins and ends.
fn element(assertion: &str, name: &str) -> std::ops::Range<usize> {
    let start = [">", " "].iter().filter_map(|next| assertion.find(&format!("<saml:{name}{next}"))).min().unwrap();
    let close = format!("</saml:{name}>");
    start..assertion.find(&close).unwrap() + close.len()
}

/// The same without an element.
fn without(idp: &Idp, name: &str) -> String {
    said(idp, |assertion| {
        let place = element(&assertion, name);
        format!("{}{}", &assertion[..place.start], &assertion[place.end..])
    })
}

/// The same with an element twice.
fn doubled(idp: &Idp, name: &str) -> String {
    said(idp, |assertion| {
        let place = element(&assertion, name);
        format!("{}{}{}", &assertion[..place.end], &assertion[place.clone()], &assertion[place.end..])
    })
}

/// A response that was changed; its assertion is signed, itself it is not.
fn enveloped(idp: &Idp, from: &str, to: &str) -> String {
    let document = idp.document("ann", NOW);
    assert!(document.contains(from), "{from}");
    document.replacen(from, to, 1)
}

#[expect(clippy::too_many_lines, reason = "it is one table")]
#[tokio::test]
async fn each_rule_of_the_browser_profile_is_kept() {
    let stage = Stage::new();
    let idp = &stage.idp;
    let end = format!("NotOnOrAfter=\"{}\" Recipient", at(NOW, 300));
    let conditions = format!("NotBefore=\"{}\" NotOnOrAfter=\"{}\"", at(NOW, -300), at(NOW, 300));
    let persistent = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent";
    let audience = format!("<saml:Audience>{AUDIENCE}</saml:Audience>");
    let restriction = format!("<saml:AudienceRestriction>{audience}</saml:AudienceRestriction>");
    let other = "<saml:AudienceRestriction><saml:Audience>urn:other</saml:Audience></saml:AudienceRestriction>";
    let session =
        |to: &str| with(idp, " SessionIndex=\"_s1\"", &format!(" SessionIndex=\"_s1\" SessionNotOnOrAfter=\"{to}\""));
    let issued = format!("IssueInstant=\"{}\"", at(NOW, 0));
    let success = "urn:oasis:names:tc:SAML:2.0:status:Success";
    let cases = [
        ("expired", with(idp, &conditions, &format!("NotOnOrAfter=\"{}\"", at(NOW, -301))), "Expired"),
        ("expired this second", with(idp, &conditions, &format!("NotOnOrAfter=\"{}\"", at(NOW, -300))), "Expired"),
        ("not yet valid", with(idp, &conditions, &format!("NotBefore=\"{}\"", at(NOW, 301))), "NotYetValid"),
        ("issued in the future", with(idp, &issued, &format!("IssueInstant=\"{}\"", at(NOW, 301))), "NotYetValid"),
        ("without a time of issue", with(idp, &format!("{issued} "), ""), "A time in the SAML assertion"),
        (
            "a time without a zone",
            with(idp, &conditions, "NotOnOrAfter=\"2126-01-01T00:00:00\""),
            "A time in the SAML assertion",
        ),
        (
            "a time beyond the calendar",
            with(idp, &end, "NotOnOrAfter=\"9999-12-31T23:59:59-23:59\" Recipient"),
            "A time in the SAML assertion",
        ),
        ("a time that is none", with(idp, &conditions, "NotOnOrAfter=\"never\""), "A time in the SAML assertion"),
        (
            "another issuer",
            with(idp, &format!("<saml:Issuer>{}", idp.entity), "<saml:Issuer>https://evil.example.com"),
            "Issuer",
        ),
        ("an issuer with a blank", with(idp, "</saml:Issuer>", " </saml:Issuer>"), "Issuer"),
        (
            "an issuer of another format",
            with(idp, "<saml:Issuer>", &format!("<saml:Issuer Format=\"{persistent}\">")),
            "Issuer",
        ),
        ("no issuer", without(idp, "Issuer"), "Issuer"),
        ("another version", with(idp, "Version=\"2.0\"", "Version=\"1.1\""), FORM),
        ("no conditions", without(idp, "Conditions"), AUDIENCE_MISSING),
        ("two conditions", doubled(idp, "Conditions"), AUDIENCE_MISSING),
        ("no audience restriction", without(idp, "AudienceRestriction"), AUDIENCE_MISSING),
        ("another audience", with(idp, AUDIENCE, "urn:other"), AUDIENCE_MISSING),
        ("an audience that begins like ours", with(idp, AUDIENCE, &format!("{AUDIENCE}:evil")), AUDIENCE_MISSING),
        ("an audience in capitals", with(idp, AUDIENCE, &AUDIENCE.to_uppercase()), AUDIENCE_MISSING),
        ("no audience", with(idp, &audience, ""), AUDIENCE_MISSING),
        ("a second restriction to others", with(idp, &restriction, &format!("{restriction}{other}")), AUDIENCE_MISSING),
        (
            "an unknown condition",
            with(idp, &restriction, &format!("{restriction}<saml:Condition></saml:Condition>")),
            "a condition that is not known",
        ),
        ("another recipient", with(idp, RECIPIENT, "https://evil.example.com/saml"), BEARER),
        ("a recipient that begins like ours", with(idp, RECIPIENT, &format!("{RECIPIENT}/evil")), BEARER),
        ("no recipient", with(idp, &format!(" Recipient=\"{RECIPIENT}\""), ""), BEARER),
        ("no end for the bearer", with(idp, &end, "Recipient"), BEARER),
        ("a beginning for the bearer", with(idp, &end, &format!("NotBefore=\"{}\" {end}", at(NOW, -10))), BEARER),
        (
            "the bearer's end has passed",
            with(idp, &end, &format!("NotOnOrAfter=\"{}\" Recipient", at(NOW, -301))),
            "Expired",
        ),
        ("no bearer", with(idp, "cm:bearer", "cm:holder-of-key"), BEARER),
        ("sender vouches", with(idp, "cm:bearer", "cm:sender-vouches"), BEARER),
        ("no confirmation", without(idp, "SubjectConfirmation"), BEARER),
        ("no confirmation data", without(idp, "SubjectConfirmationData"), BEARER),
        ("no subject", without(idp, "Subject"), FORM),
        ("two subjects", doubled(idp, "Subject"), FORM),
        ("no name", without(idp, "NameID"), "MissingClaim NameID"),
        ("two names", doubled(idp, "NameID"), "MissingClaim NameID"),
        ("an empty name", with(idp, ">ann<", "><"), "MissingClaim NameID"),
        ("a blank name", with(idp, ">ann<", ">  <"), "MissingClaim NameID"),
        ("a name with a blank behind it", with(idp, ">ann<", ">ann <"), "MissingClaim NameID"),
        ("a name with an element in it", with(idp, ">ann<", "><saml:x>ann</saml:x><"), "MissingClaim NameID"),
        ("a name that is too long", with(idp, ">ann<", &format!(">{}<", "a".repeat(1025))), "MissingClaim NameID"),
        ("a transient name", with(idp, ":persistent\"", ":transient\""), "The NameID is transient"),
        ("a name of an entity", with(idp, ":persistent\"", ":entity\""), "a Format that is not accepted"),
        ("a name of an unknown format", with(idp, persistent, "urn:x"), "a Format that is not accepted"),
        (
            "a name of another directory",
            with(idp, ":persistent\"", ":persistent\" NameQualifier=\"https://other.example.com\""),
            "qualified by another",
        ),
        (
            "a name for another service",
            with(idp, ":persistent\"", ":persistent\" SPNameQualifier=\"urn:other\""),
            "qualified by another",
        ),
        ("no statement", without(idp, "AuthnStatement"), "no AuthnStatement"),
        ("the session has ended", session(&at(NOW, -301)), "Expired"),
        ("a session end that is no time", session("x"), "A time in the SAML assertion"),
        (
            "no success",
            enveloped(idp, success, "urn:oasis:names:tc:SAML:2.0:status:Requester"),
            "does not tell of success",
        ),
        (
            "no status",
            enveloped(idp, "samlp:StatusCode", "samlp:Status_Code")
                .replace("</samlp:StatusCode>", "</samlp:Status_Code>"),
            "does not tell of success",
        ),
        (
            "another destination",
            enveloped(idp, &format!("Destination=\"{RECIPIENT}\""), "Destination=\"https://evil.example.com\""),
            "The Destination",
        ),
        (
            "another issuer of the response",
            enveloped(idp, &format!(">{}</saml:Issuer>", idp.entity), ">https://evil.example.com</saml:Issuer>"),
            "Issuer",
        ),
        (
            "another version of the response",
            enveloped(idp, "Version=\"2.0\"><saml:Issuer xmlns", "Version=\"1.1\"><saml:Issuer xmlns"),
            "Not a SAML response",
        ),
    ];
    assert_eq!(cases.len(), 54);
    let cases: Vec<_> =
        cases.into_iter().map(|(name, document, expected)| (name.to_owned(), document, Some(expected))).collect();
    stage.refuses(&cases).await;
}

#[tokio::test]
async fn what_the_rules_leave_open_is_accepted() {
    let stage = Stage::new();
    let idp = &stage.idp;
    let end = format!("NotOnOrAfter=\"{}\" Recipient", at(NOW, 300));
    let conditions = format!("NotBefore=\"{}\" NotOnOrAfter=\"{}\"", at(NOW, -300), at(NOW, 300));
    let one_time = "</saml:AudienceRestriction><saml:OneTimeUse></saml:OneTimeUse>";
    let second = "<saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:sender-vouches\"></saml:SubjectConfirmation>\
                  <saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\">";
    for (name, document) in [
        (
            "the last second, by a clock that is off",
            with(idp, &end, &format!("NotOnOrAfter=\"{}\" Recipient", at(NOW, -299))),
        ),
        ("conditions without times", with(idp, &format!(" {conditions}"), "")),
        ("an answer to a request", with(idp, &end, &format!("InResponseTo=\"_q\" {end}"))),
        ("one time use", with(idp, "</saml:AudienceRestriction>", one_time)),
        (
            "a second confirmation",
            with(idp, "<saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\">", second),
        ),
        ("a name without a format", with(idp, " Format=\"urn:oasis:names:tc:SAML:2.0:nameid-format:persistent\"", "")),
        ("a response without a destination", enveloped(idp, &format!(" Destination=\"{RECIPIENT}\""), "")),
        ("a response without an issuer", {
            let document = idp.document("ann", NOW);
            let (head, rest) = document.split_once("<saml:Issuer xmlns").unwrap();
            format!("{head}{}", rest.split_once("</saml:Issuer>").unwrap().1)
        }),
        ("no attributes", without(idp, "AttributeStatement")),
    ] {
        assert_eq!(stage.outcome(&document).await, "accepted ann", "{name}");
    }
}

#[tokio::test]
async fn attributes_are_claims_and_do_not_pass_for_the_subject() {
    let stage = Stage::new();
    let attribute = |name: &str, values: &[&str]| {
        let values: String =
            values.iter().map(|value| format!("<saml:AttributeValue>{value}</saml:AttributeValue>")).collect();
        format!("<saml:Attribute Name=\"{name}\">{values}</saml:Attribute>")
    };
    let more = [
        attribute("sub", &["admin"]),
        attribute("iss", &["https://evil.example.com"]),
        attribute("groups", &["a", "b"]),
        attribute("team", &["red"]),
        attribute("none", &[]),
        attribute("empty", &[""]),
        attribute("inner", &["<saml:NameID>admin</saml:NameID>"]),
        "<saml:Attribute Name=\"nil\"><saml:AttributeValue xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
         xsi:nil=\"true\"></saml:AttributeValue></saml:Attribute>"
            .to_owned(),
    ];
    let document =
        with(&stage.idp, "</saml:AttributeStatement>", &format!("{}</saml:AttributeStatement>", more.concat()));
    let verified = verify(&stage.upstream, &stage.trust, &login(&document)).await.unwrap();
    let expected = serde_json::json!({
        "sub": "ann", "iss": stage.idp.entity, "groups": ["a", "b"], "team": ["blue", "red"], "empty": "",
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier": "ann",
    });
    assert_eq!(serde_json::Value::from(verified.claims().clone()), expected);
    assert_eq!((verified.subject(), verified.client_id()), ("ann", AUDIENCE));
    let once = verified.once().unwrap();
    assert_eq!((once.provider.as_str(), once.id.len(), once.expires_at.unix_timestamp()), ("idp", 32, NOW + 300));
}

#[tokio::test]
async fn audiences_and_recipients_are_those_that_are_configured() {
    let idp = Idp::rsa("https://idp.example.com/saml", 0);
    let trust = trust(&idp.metadata());
    let (ours, _) = stage::upstream("saml_audiences = ['urn:ours']\nsaml_recipients = ['https://app.example.com/acs']");
    let changed = |audience: &str, recipient: &str| {
        let assertion = idp.assertion("ann", NOW).replace(AUDIENCE, audience).replace(RECIPIENT, recipient);
        let signed = idp.sign(&assertion, &How::default());
        login(&idp.response(&signed, NOW).replace(MARK, "").replace(RECIPIENT, "https://app.example.com/acs"))
    };
    let verified = verify(&ours, &trust, &changed("urn:ours", "https://app.example.com/acs")).await.unwrap();
    assert_eq!(verified.client_id(), "urn:ours");
    let refused = verify(&ours, &trust, &changed(AUDIENCE, "https://app.example.com/acs")).await.unwrap_err();
    assert!(matches!(refused, Error::InvalidLogin(InvalidLogin::Audience)), "{refused}");
    assert!(verify(&ours, &trust, &changed("urn:ours", "https://app.example.com/")).await.is_err());
}

#[tokio::test]
async fn metadata_that_has_expired_proves_nothing() {
    let idp = Idp::rsa("https://idp.example.com/saml", 0);
    let metadata = idp
        .metadata_with(&format!(" validUntil=\"{}\"", at(NOW, 60)), &crate::idp::key_descriptor("", &idp.certificate));
    let (upstream, hands) = stage::upstream("");
    let trust = trust(&metadata);
    let response = idp.login("ann", NOW);
    assert!(verify(&upstream, &trust, &response).await.is_ok());
    hands.advance(Duration::from_secs(61));
    let refused = verify(&upstream, &trust, &response).await.unwrap_err();
    assert!(refused.to_string().contains("has expired (validUntil)"), "{refused}");
}

#[tokio::test]
async fn a_login_that_is_no_response_is_refused() {
    let stage = Stage::new();
    for text in ["", "x", "eyJhbGciOiJSUzI1NiJ9.e30.AAAA", "PGEvPg==", "/////w==", &"A".repeat(100_001)] {
        let refused = verify(&stage.upstream, &stage.trust, text).await.unwrap_err();
        assert!(refused.to_string().contains("Not a SAML response"), "{refused}");
    }
}
