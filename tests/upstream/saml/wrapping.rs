//! Signature wrapping (Somorovsky et al., "On Breaking SAML", USENIX Security 2012): a signed part stays whole somewhere in
//! the document, and another one is put where readers look. Every place, with every kind of id, for both signed parts.

use super::{Stage, USER, VICTIM};
use crate::idp::{ASSERTION, DSIG, How, Idp, MARK, PROTOCOL};
use crate::stage::NOW;

/// The assertion that the attacker wants read: the victim's, never signed by anyone who counts.
fn evil(idp: &Idp, id: &str) -> String {
    renamed(&idp.assertion(VICTIM, NOW).replace(MARK, ""), id)
}

/// The same element with another attribute, or none, in the place of its own id.
fn renamed(element: &str, id: &str) -> String {
    let (head, rest) = element.split_once(" ID=\"").unwrap();
    let (_, tail) = rest.split_once('"').unwrap();
    format!("{head}{id}{tail}")
}

fn id_of(element: &str) -> &str {
    element.split_once(" ID=\"").unwrap().1.split_once('"').unwrap().0
}

/// The signature of a signed element, and the element without it.
fn apart(signed: &str) -> (String, String) {
    let (head, rest) = signed.split_once("<ds:Signature ").unwrap();
    let (signature, tail) = rest.split_once("</ds:Signature>").unwrap();
    (format!("<ds:Signature {signature}</ds:Signature>"), format!("{head}{tail}"))
}

/// An element behind the `Issuer` of another.
fn behind_issuer(element: &str, more: &str) -> String {
    element.replacen("</saml:Issuer>", &format!("</saml:Issuer>{more}"), 1)
}

/// An element at the end of another.
fn inside(element: &str, more: &str) -> String {
    let end = element.rfind("</").unwrap();
    format!("{}{more}{}", &element[..end], &element[end..])
}

/// An element within a signature.
fn in_signature(signature: &str, more: &str) -> String {
    signature.replace("</ds:Signature>", &format!("{more}</ds:Signature>"))
}

/// The ids that an evil element can have beside a good one.
fn ids(good: &str) -> Vec<(&'static str, String)> {
    vec![
        ("an id of its own", " ID=\"_evil\"".to_owned()),
        ("the good one's id", format!(" ID=\"{good}\"")),
        ("the good one's id as Id", format!(" ID=\"_evil\" Id=\"{good}\"")),
        ("the good one's id as id alone", format!(" id=\"{good}\"")),
        ("the good one's id as xml:id", format!(" ID=\"_evil\" xml:id=\"{good}\"")),
        ("no id", String::new()),
    ]
}

/// Documents in which a signed assertion and an evil one stand in every relation.
fn of_assertions(idp: &Idp) -> Vec<(String, String)> {
    let good = idp.sign(&idp.assertion(USER, NOW), &How::default());
    let (signature, bare) = apart(&good);
    let mut documents = Vec::new();
    for (kind, id) in ids(id_of(&good)) {
        let evil = evil(idp, &id);
        let response = |content: &str| idp.response(content, NOW).replace(MARK, "");
        let extensions = |content: &str| format!("<samlp:Extensions>{content}</samlp:Extensions>");
        let object = |content: &str| format!("<ds:Object>{content}</ds:Object>");
        let around = |content: &str| format!("<x:wrapper xmlns:x=\"urn:x\">{content}</x:wrapper>");
        let advice = |content: &str| format!("<saml:Advice>{content}</saml:Advice>");
        let advice_evil = behind_issuer(&evil, &advice(&good));
        for (place, content) in [
            ("XSW3: the evil one before the good one", format!("{evil}{good}")),
            ("XSW3: the evil one behind the good one", format!("{good}{evil}")),
            ("XSW4: the good one in the evil one", inside(&evil, &good)),
            ("XSW4: the good one in the evil one, behind its issuer", behind_issuer(&evil, &good)),
            (
                "XSW5: the signature in the evil one, the good one behind it",
                format!("{}{bare}", behind_issuer(&evil, &signature)),
            ),
            (
                "XSW5: the signature in the evil one, the good one before it",
                format!("{bare}{}", behind_issuer(&evil, &signature)),
            ),
            (
                "XSW6: the good one in the signature in the evil one",
                behind_issuer(&evil, &in_signature(&signature, &bare)),
            ),
            ("XSW7: the evil one in extensions", format!("{}{good}", extensions(&evil))),
            ("XSW7: the good one in extensions", format!("{}{evil}", extensions(&good))),
            (
                "XSW8: the good one in an object of the signature in the evil one",
                behind_issuer(&evil, &in_signature(&signature, &object(&bare))),
            ),
            (
                "the evil one in an object of the good one's signature",
                good.replace("</ds:Signature>", &format!("{}</ds:Signature>", object(&evil))),
            ),
            (
                "the evil one in key information of the good one's signature",
                good.replace("</ds:Signature>", &format!("<ds:KeyInfo>{evil}</ds:KeyInfo></ds:Signature>")),
            ),
            ("the evil one alone, with the good one's signature", behind_issuer(&evil, &signature)),
            ("the evil one as advice of the good one", behind_issuer(&good, &advice(&evil))),
            ("the good one as advice of the evil one", advice_evil),
            ("the evil one in the good one's attribute", good.replace(">blue<", &format!(">{evil}<"))),
            ("the good one in the evil one's attribute", evil.replace(">blue<", &format!(">{good}<"))),
            ("the good one in a wrapper", format!("{evil}{}", around(&good))),
            ("the evil one in a wrapper", format!("{}{good}", around(&evil))),
            ("the signature beside both", format!("{signature}{evil}{bare}")),
            ("the evil one in a response within", format!("{good}{}", response(&evil))),
            ("the good one in a response within", format!("{evil}{}", response(&good))),
            ("the good one in a status", format!("<samlp:StatusDetail>{good}</samlp:StatusDetail>{evil}")),
        ] {
            documents.push((format!("{place}, {kind}"), response(&content)));
        }
    }
    documents
}

/// Documents in which a signed response and an evil one stand in every relation.
fn of_responses(idp: &Idp) -> Vec<(String, String)> {
    let good = idp.sign(&idp.response(&idp.assertion(USER, NOW).replace(MARK, ""), NOW), &How::default());
    let (signature, bare) = apart(&good);
    let mut documents = Vec::new();
    for (kind, id) in ids(id_of(&good)) {
        let evil = renamed(&idp.response(&evil(idp, " ID=\"_evil_assertion\""), NOW).replace(MARK, ""), &id);
        let object = |content: &str| format!("<ds:Object>{content}</ds:Object>");
        let in_evil = |content: &str| behind_issuer(&evil, content);
        for (place, document) in [
            ("XSW1: the good one in the signature", in_evil(&in_signature(&signature, &bare))),
            ("XSW1: the good one in an object of the signature", in_evil(&in_signature(&signature, &object(&bare)))),
            ("XSW2: the good one beside the signature", in_evil(&format!("{bare}{signature}"))),
            ("XSW2: the good one behind the signature", in_evil(&format!("{signature}{bare}"))),
            ("the good one, with its signature, in the evil one", inside(&evil, &good)),
            ("the good one in extensions", in_evil(&format!("<samlp:Extensions>{good}</samlp:Extensions>"))),
            ("the signature alone", in_evil(&signature)),
            (
                "the good one in the evil assertion",
                evil.replace("</saml:Assertion>", &format!("{good}</saml:Assertion>")),
            ),
            ("the good one in an evil attribute", evil.replace(">blue<", &format!(">{good}<"))),
            ("a root around both", format!("<x:root xmlns:x=\"urn:x\">{evil}{good}</x:root>")),
            ("the evil one in the good one", inside(&good, &evil)),
            (
                "the evil one in the good one's signature",
                good.replace("</ds:Signature>", &format!("{}</ds:Signature>", object(&evil))),
            ),
        ] {
            documents.push((format!("{place}, {kind}"), document));
        }
    }
    documents
}

#[tokio::test]
async fn no_wrapping_of_a_signed_part_is_accepted() {
    let stage = Stage::new();
    // What they are made of is accepted as it is: nothing but the wrapping is refused.
    assert_eq!(stage.outcome(&stage.idp.document(USER, NOW)).await, format!("accepted {USER}"));
    let bare = stage.idp.assertion(USER, NOW).replace(MARK, "");
    let whole = stage.idp.sign(&stage.idp.response(&bare, NOW), &How::default());
    assert_eq!(stage.outcome(&whole).await, format!("accepted {USER}"));

    let documents: Vec<_> = of_assertions(&stage.idp).into_iter().chain(of_responses(&stage.idp)).collect();
    assert_eq!(documents.len(), 23 * 6 + 12 * 6);
    for (name, document) in &documents {
        // Each is well-formed, so that it is its form that is refused.
        symbolon::xml::read(document).unwrap_or_else(|why| panic!("{name}: {why}"));
    }
    let documents: Vec<_> = documents.into_iter().map(|(name, document)| (name, document, None)).collect();
    stage.refuses(&documents).await;
}

#[tokio::test]
async fn an_evil_assertion_of_another_name_or_namespace_is_not_read() {
    let stage = Stage::new();
    let idp = &stage.idp;
    let good = idp.sign(&idp.assertion(USER, NOW), &How::default());
    let evil = evil(idp, " ID=\"_evil\"");
    let response = |content: &str| idp.response(content, NOW).replace(MARK, "");
    let other_namespace = evil.replace(ASSERTION, "urn:oasis:names:tc:SAML:1.0:assertion");
    let no_namespace = evil.replace(&format!(" xmlns:saml=\"{ASSERTION}\""), "").replace("saml:", "");
    let own = response(&format!("{good}{evil}")).replace(PROTOCOL, "urn:other");
    let renamed_prefix = evil
        .replace("saml:", "samlp:")
        .replace("xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:assertion\"", &format!("xmlns:samlp=\"{ASSERTION}\""));
    let signature_elsewhere = good.replace(DSIG, "urn:not-a-signature");
    let second = "must hold exactly one assertion";
    stage
        .refuses(&[
            ("SAML 1.1".into(), response(&format!("{good}{other_namespace}")), Some(second)),
            ("no namespace".into(), response(&format!("{no_namespace}{good}")), Some(second)),
            ("another prefix".into(), response(&format!("{renamed_prefix}{good}")), Some(second)),
            ("a response of another namespace".into(), own, Some("Not a SAML response")),
            ("the assertion alone".into(), good.clone(), Some("Not a SAML response")),
            (
                "a signature of another namespace".into(),
                response(&signature_elsewhere),
                Some("not where SAML has signatures"),
            ),
            ("no assertion".into(), response(""), Some(second)),
            ("in lower case".into(), response(&good.replace("saml:Assertion", "saml:assertion")), Some(second)),
        ])
        .await;
}
