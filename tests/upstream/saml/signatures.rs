//! Signatures that do not count: by another key, in another way, over something else.

use super::{Stage, USER, VICTIM};
use crate::idp::{DSIG, ENVELOPED, EXCLUSIVE, How, Idp, MARK, RSA_SHA256, SHA256, transform};
use crate::stage::NOW;

const ALGORITHM: &str = "in a way that is not accepted";
const FORM: &str = "not of the form";
const REFERENCE: &str = "does not refer to the element that holds it";
const BROKEN: &str = "Signature";

type Case = (String, String, Option<&'static str>);

fn case(name: &str, document: String, expected: &'static str) -> Case {
    (name.to_owned(), document, Some(expected))
}

/// A response whose assertion is signed so.
fn signed(idp: &Idp, how: &How) -> String {
    idp.response(&idp.sign(&idp.assertion(USER, NOW), how), NOW).replace(MARK, "")
}

fn keys(idp: &Idp) -> Vec<Case> {
    let other = Idp::rsa(&idp.entity, 1);
    let good = idp.document(USER, NOW);
    let own_key = How { key_info: other.key_info(), ..How::default() };
    let pinned = How { key_info: idp.key_info(), ..How::default() };
    let named = How { key_info: "<ds:KeyInfo><ds:KeyName>idp</ds:KeyName></ds:KeyInfo>".into(), ..How::default() };
    let modulus = "<ds:KeyInfo><ds:KeyValue><ds:RSAKeyValue><ds:Modulus>AQAB</ds:Modulus><ds:Exponent>AQAB</ds:Exponent>\
                   </ds:RSAKeyValue></ds:KeyValue></ds:KeyInfo>";
    let retrieval =
        "<ds:KeyInfo><ds:RetrievalMethod URI=\"https://evil.example.com/cert\"></ds:RetrievalMethod></ds:KeyInfo>";
    let value = |key_info: &str| How { key_info: key_info.to_owned(), ..How::default() };
    let (head, rest) = good.split_once("<ds:SignatureValue>").unwrap();
    let (_, tail) = rest.split_once("</ds:SignatureValue>").unwrap();
    let with_value = |value: &str| format!("{head}<ds:SignatureValue>{value}</ds:SignatureValue>{tail}");
    vec![
        case("another key", signed(&other, &How::default()), BROKEN),
        case("another key, with its certificate", signed(&other, &own_key), BROKEN),
        case("another key, with the pinned certificate", signed(&other, &pinned), BROKEN),
        case("another key, by name", signed(&other, &named), BROKEN),
        case("another key, with a key value", signed(&other, &value(modulus)), BROKEN),
        case("another key, to be fetched", signed(&other, &value(retrieval)), BROKEN),
        case(
            "a key on another curve",
            signed(&Idp::p256(&idp.entity), &How { method: RSA_SHA256.replace("rsa", "ecdsa"), ..own_key }),
            BROKEN,
        ),
        case("an empty value", with_value(""), FORM),
        case("a value of zeroes", with_value(&"A".repeat(344)), BROKEN),
        case("a value that is no base64", with_value("!!!!"), FORM),
        case(
            "a value cut by a comment",
            good.replace("</ds:SignatureValue>", "<!-- -->AAAA</ds:SignatureValue>"),
            FORM,
        ),
        case("a value in a section", with_value("<![CDATA[AAAA]]>"), FORM),
        case("a value with an element", with_value("<x xmlns=\"urn:x\">AAAA</x>"), FORM),
    ]
}

fn algorithms(idp: &Idp) -> Vec<Case> {
    let how = How::default();
    let method = |method: &str| signed(idp, &How { method: method.to_owned(), ..how.clone() });
    let digest = |digest: &str| signed(idp, &How { digest: digest.to_owned(), ..how.clone() });
    let canonical = |name: &str| signed(idp, &How { canonicalization: name.to_owned(), ..how.clone() });
    let transforms = |list: &str| signed(idp, &How { transforms: Some(list.to_owned()), ..how.clone() });
    let (enveloped, exclusive) = (transform(ENVELOPED), transform(EXCLUSIVE));
    let xpath = "<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xpath-19991116\"><ds:XPath>not(ancestor-or-self::ds:Signature)\
                 </ds:XPath></ds:Transform>";
    let xslt = "<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xslt-19991116\"><xsl:stylesheet version=\"1.0\" \
                xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\"></xsl:stylesheet></ds:Transform>";
    let base64 = transform("http://www.w3.org/2000/09/xmldsig#base64");
    let filter = transform("http://www.w3.org/2002/06/xmldsig-filter2");
    let inclusive = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315";
    let more = "http://www.w3.org/2001/04/xmldsig-more#";
    let short_hmac = method(&format!("{more}hmac-sha256")).replace(
        "#hmac-sha256\"></ds:SignatureMethod>",
        "#hmac-sha256\"><ds:HMACOutputLength>8</ds:HMACOutputLength></ds:SignatureMethod>",
    );
    let twice = |name: &str, other: &str| {
        let from = format!("<ds:{name} Algorithm=\"");
        signed(idp, &how).replacen(
            &from,
            &format!("<ds:{name} xmlns:x=\"urn:x\" x:Algorithm=\"{other}\" Algorithm=\""),
            1,
        )
    };
    vec![
        case("RSA with SHA-1", method("http://www.w3.org/2000/09/xmldsig#rsa-sha1"), ALGORITHM),
        case("RSA with MD5", method(&format!("{more}rsa-md5")), ALGORITHM),
        case("DSA", method("http://www.w3.org/2000/09/xmldsig#dsa-sha1"), ALGORITHM),
        case("HMAC with the certificate for a secret", method(&format!("{more}hmac-sha256")), ALGORITHM),
        case("HMAC of eight bits", short_hmac, ALGORITHM),
        case("HMAC with SHA-1", method("http://www.w3.org/2000/09/xmldsig#hmac-sha1"), ALGORITHM),
        case("no method", method(""), ALGORITHM),
        case("none for a method", method("none"), ALGORITHM),
        case("a method in capitals", method(&RSA_SHA256.to_uppercase()), ALGORITHM),
        case("an unknown method", method("urn:unknown"), ALGORITHM),
        case("a digest with SHA-1", digest("http://www.w3.org/2000/09/xmldsig#sha1"), ALGORITHM),
        case("a digest with MD5", digest(&format!("{more}md5")), ALGORITHM),
        case("no digest", digest(""), ALGORITHM),
        case("inclusive canonicalization", canonical(inclusive), ALGORITHM),
        case("inclusive canonicalization with comments", canonical(&format!("{inclusive}#WithComments")), ALGORITHM),
        case("canonicalization 1.1", canonical("http://www.w3.org/2006/12/xml-c14n11"), ALGORITHM),
        case("no canonicalization", canonical(""), ALGORITHM),
        case("an XPath transform", transforms(&format!("{xpath}{exclusive}")), ALGORITHM),
        case("an XSLT transform", transforms(&format!("{xslt}{exclusive}")), ALGORITHM),
        case("a base64 transform", transforms(&format!("{enveloped}{base64}")), ALGORITHM),
        case("an XPath filter", transforms(&format!("{enveloped}{filter}")), ALGORITHM),
        case("three transforms", transforms(&format!("{enveloped}{exclusive}{exclusive}")), ALGORITHM),
        case("transforms the other way round", transforms(&format!("{exclusive}{enveloped}")), ALGORITHM),
        case("no enveloped signature", transforms(&exclusive), ALGORITHM),
        case("no canonicalization of the reference", transforms(&enveloped), ALGORITHM),
        case(
            "inclusive canonicalization of the reference",
            transforms(&format!("{enveloped}{}", transform(inclusive))),
            ALGORITHM,
        ),
        case("no transforms at all", transforms(""), ALGORITHM),
        case(
            "a second method in another namespace",
            twice("SignatureMethod", "http://www.w3.org/2000/09/xmldsig#rsa-sha1"),
            FORM,
        ),
        case(
            "a second digest in another namespace",
            twice("DigestMethod", "http://www.w3.org/2000/09/xmldsig#sha1"),
            FORM,
        ),
    ]
}

fn references(idp: &Idp) -> Vec<Case> {
    let how = How::default();
    let uri = |uri: &str| signed(idp, &How { uri: Some(uri.to_owned()), ..how.clone() });
    let object = "<ds:Object Id=\"object\">x</ds:Object>".to_owned();
    let digest_of_object = How {
        uri: Some("#object".into()),
        digests: Some(format!("<ds:Object xmlns:ds=\"{DSIG}\" Id=\"object\">x</ds:Object>")),
        more: object.clone(),
        ..how.clone()
    };
    let good = signed(idp, &how);
    // Signed rightly, with what the profile has no place for.
    let assertion = idp.assertion(USER, NOW);
    let id = assertion.split_once(" ID=\"").unwrap().1.split_once('"').unwrap().0.to_owned();
    let good_info = {
        let signed = idp.sign(&assertion, &how);
        signed.split_once("<ds:SignedInfo>").unwrap().1.split_once("</ds:SignedInfo>").unwrap().0.to_owned()
    };
    let with_info = |info: &str| {
        let signed = assertion.replace(MARK, &idp.signature(info, &how));
        idp.response(&signed, NOW).replace(MARK, "")
    };
    let reference = &good_info[good_info.find("<ds:Reference").unwrap()..];
    let before = &good_info[..good_info.find("<ds:Reference").unwrap()];
    let manifest =
        reference.replacen("<ds:Reference ", "<ds:Reference Type=\"http://www.w3.org/2000/09/xmldsig#Manifest\" ", 1);
    let empty_digest = reference.split_once("<ds:DigestValue>").unwrap().0.to_owned()
        + "<ds:DigestValue></ds:DigestValue></ds:Reference>";
    let no_uri = reference.replacen(&format!(" URI=\"#{id}\""), "", 1);
    let foreign_uri = reference.replacen(" URI=", " xmlns:x=\"urn:x\" x:URI=\"#evil\" URI=", 1);
    vec![
        case("the whole document", uri(""), REFERENCE),
        case("an id that is not there", uri("#_nobody"), REFERENCE),
        case("an XPointer to the root", uri("#xpointer(/)"), REFERENCE),
        case("an XPointer by id", uri(&format!("#xpointer(id('{id}'))")), REFERENCE),
        case("another document", uri("https://evil.example.com/a.xml"), REFERENCE),
        case("a file", uri("file:///etc/passwd"), REFERENCE),
        case("a file beside", uri("Cargo.toml"), REFERENCE),
        case("an attachment", uri("cid:part"), REFERENCE),
        case("an object in the signature", signed(idp, &digest_of_object), FORM),
        case("an object beside a good reference", signed(idp, &How { more: object, ..how.clone() }), FORM),
        case("two references to the same", with_info(&format!("{before}{reference}{reference}")), FORM),
        case(
            "a second reference to nothing",
            with_info(&format!("{before}{reference}{}", reference.replace(&id, "_x"))),
            FORM,
        ),
        case("no reference", with_info(before), FORM),
        case("no URI", with_info(&format!("{before}{no_uri}")), REFERENCE),
        case("a URI in another namespace", with_info(&format!("{before}{foreign_uri}")), FORM),
        case("an empty digest", with_info(&format!("{before}{empty_digest}")), FORM),
        case(
            "a manifest of nothing",
            with_info(&format!("{before}{}", manifest.replace(&format!("#{id}"), "#_m"))),
            REFERENCE,
        ),
        case("a signed info cut by a comment", good.replace("<ds:SignedInfo>", "<ds:SignedInfo><!-- x -->"), FORM),
        case("text in a signed info", good.replace("<ds:SignedInfo>", "<ds:SignedInfo>x"), FORM),
        case(
            "two signed infos",
            good.replace("<ds:SignatureValue>", "<ds:SignedInfo></ds:SignedInfo><ds:SignatureValue>"),
            FORM,
        ),
        case("no signed info", remove(&good, "ds:SignedInfo"), FORM),
        case("no signature value", remove(&good, "ds:SignatureValue"), FORM),
        case("an unknown element", good.replace("</ds:Signature>", "<x xmlns=\"urn:x\"></x></ds:Signature>"), FORM),
    ]
}

/// A document without the first element of this name.
fn remove(document: &str, name: &str) -> String {
    let (head, rest) = document.split_once(&format!("<{name}>")).unwrap();
    format!("{head}{}", rest.split_once(&format!("</{name}>")).unwrap().1)
}

fn contents(idp: &Idp) -> Vec<Case> {
    let good = idp.document(USER, NOW);
    let assertion = idp.sign(&idp.assertion(USER, NOW), &How::default());
    let whole = idp.sign(&idp.response(&assertion, NOW), &How::default());
    let other = Idp::rsa(&idp.entity, 1);
    let foreign_outside = other.sign(&idp.response(&assertion, NOW), &How::default());
    let foreign_inside =
        idp.sign(&idp.response(&other.sign(&idp.assertion(USER, NOW), &How::default()), NOW), &How::default());
    let twice = |document: &str| {
        let at = document.find("<ds:Signature ").unwrap();
        let end = document[at..].find("</ds:Signature>").unwrap() + at + "</ds:Signature>".len();
        format!("{}{}{}", &document[..end], &document[at..end], &document[end..])
    };
    let unsigned = idp.response(&idp.assertion(USER, NOW).replace(MARK, ""), NOW).replace(MARK, "");
    let unencrypted =
        "<saml:EncryptedAssertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"></saml:EncryptedAssertion>";
    vec![
        case("another user", good.replace(USER, VICTIM), BROKEN),
        case("another user in a signed response", whole.replace(USER, VICTIM), BROKEN),
        case("another attribute", good.replace(">blue<", ">red<"), BROKEN),
        case("another attribute name", good.replace("\"team\"", "\"tribe\""), BROKEN),
        case("a blank more", good.replace("<saml:Subject>", " <saml:Subject>"), BROKEN),
        case(
            "another attribute value type",
            good.replace("<saml:AttributeValue>", "<saml:AttributeValue a=\"b\">"),
            BROKEN,
        ),
        case(
            "a namespace in use",
            good.replace("<saml:Subject>", "<saml:Subject xmlns:x=\"urn:x\" x:a=\"b\">"),
            BROKEN,
        ),
        case("a later end", good.replace("NotOnOrAfter=\"2", "NotOnOrAfter=\"3"), BROKEN),
        case(
            "the assertion's own id",
            good.replace(
                "<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"_",
                "<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"_0",
            ),
            REFERENCE,
        ),
        case("nothing signed", unsigned, "Neither the SAML response nor its assertion is signed"),
        case("the response's signature by another key", foreign_outside, BROKEN),
        case("the assertion's signature by another key", foreign_inside, BROKEN),
        case(
            "the response changed around a signed assertion in it",
            whole.replace("status:Success", "status:Success "),
            "does not tell of success",
        ),
        case("the same signature twice", twice(&good), "not where SAML has signatures"),
        case(
            "an encrypted assertion",
            idp.response(unencrypted, NOW).replace(MARK, ""),
            "Encrypted SAML assertions are not supported",
        ),
        case(
            "an encrypted assertion beside a good one",
            idp.response(&format!("{assertion}{unencrypted}"), NOW).replace(MARK, ""),
            "Encrypted SAML assertions are not supported",
        ),
        case(
            "an encrypted name",
            good.replace("saml:NameID", "saml:EncryptedID"),
            "Encrypted SAML assertions are not supported",
        ),
        case("cut off", good[..good.len() / 2].to_owned(), "Not a SAML response"),
        case("a document type", format!("<!DOCTYPE x>{good}"), "holds a document type"),
        case(
            "an entity for the user",
            format!("<!DOCTYPE x [<!ENTITY u \"{VICTIM}\">]>{}", good.replace(USER, "&u;")),
            "holds a document type",
        ),
        case(
            "entities of entities",
            format!("<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]>{good}"),
            "holds a document type",
        ),
        case("a stylesheet", format!("<?xml-stylesheet href=\"x\"?>{good}"), "processing instruction"),
        case("an instruction in the name", good.replace(USER, &format!("<?x ?>{USER}")), "processing instruction"),
        case("two roots", format!("{good}{good}"), "Not a SAML response"),
        case("nested too deeply", format!("{}{good}{}", "<a>".repeat(60), "</a>".repeat(60)), "Not a SAML response"),
        case("an undeclared entity", good.replace(USER, "&admin;"), "Not a SAML response"),
        case("an id of a signature that is the assertion's", same_id(&good), "ids in the SAML response are not unique"),
    ]
}

fn same_id(document: &str) -> String {
    let assertion = &document[document.find("<saml:Assertion").unwrap()..];
    let id = assertion.split_once(" ID=\"").unwrap().1.split_once('"').unwrap().0.to_owned();
    document.replace("<ds:Signature ", &format!("<ds:Signature Id=\"{id}\" "))
}

#[tokio::test]
async fn a_signature_by_anything_but_a_pinned_key_does_not_count() {
    let stage = Stage::new();
    let good = How { key_info: stage.idp.key_info(), ..How::default() };
    assert_eq!(stage.outcome(&signed(&stage.idp, &good)).await, format!("accepted {USER}"));
    stage.refuses(&keys(&stage.idp)).await;
}

#[tokio::test]
async fn algorithms_and_transforms_are_those_of_a_short_list() {
    let stage = Stage::new();
    let with_comments = format!("{EXCLUSIVE}WithComments");
    let how = How {
        canonicalization: with_comments.clone(),
        transforms: Some(transform(ENVELOPED) + &transform(&with_comments)),
        digest: SHA256.to_owned(),
        ..How::default()
    };
    assert_eq!(stage.outcome(&signed(&stage.idp, &how)).await, format!("accepted {USER}"));
    stage.refuses(&algorithms(&stage.idp)).await;
}

#[tokio::test]
async fn a_list_of_prefixes_is_not_so_long_that_it_keeps_the_verifier_busy() {
    let stage = Stage::new();
    let listed = |count: usize| {
        let prefixes: String = (0..count).map(|number| format!("p{number} ")).collect();
        // In canonical form: it is a part of what is signed.
        let list = format!(
            "<x:InclusiveNamespaces xmlns:x=\"{EXCLUSIVE}\" PrefixList=\"{prefixes}\"></x:InclusiveNamespaces>"
        );
        let exclusive = transform(EXCLUSIVE).replace("></", &format!(">{list}</"));
        signed(&stage.idp, &How { transforms: Some(transform(ENVELOPED) + &exclusive), ..How::default() })
    };
    // What is listed and declared nowhere changes nothing of the element.
    assert_eq!(stage.outcome(&listed(16)).await, format!("accepted {USER}"));
    assert!(stage.outcome(&listed(17)).await.contains(FORM));
    // A response of nearly the greatest length, which nobody has signed. Without a limit it would take most of a minute.
    let declared: String = (0..290).map(|number| format!(" xmlns:p{number}=\"u\"")).collect();
    let many = listed(3_000).replacen("<samlp:Response ", &format!("<samlp:Response{declared} "), 1);
    let many = many.replace("</saml:Assertion>", &format!("{}</saml:Assertion>", "<d/>".repeat(12_000)));
    let began = std::time::Instant::now();
    assert!(stage.outcome(&many).await.contains(FORM));
    assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_signature_refers_to_the_element_that_holds_it_and_to_nothing_else() {
    let stage = Stage::new();
    stage.refuses(&references(&stage.idp)).await;
}

#[tokio::test]
async fn a_document_that_was_changed_cut_or_added_to_is_refused() {
    let stage = Stage::new();
    stage.refuses(&contents(&stage.idp)).await;
}

#[test]
fn the_catalogue_of_bad_signatures_is_long() {
    let idp = Idp::rsa("https://idp.example.com/saml", 0);
    let count = keys(&idp).len() + algorithms(&idp).len() + references(&idp).len() + contents(&idp).len();
    assert_eq!(count, 92);
}
