//! Responses that hold: of five kinds of providers, signed by a signer of another family (`good/make.py`), and our own.

use serde_json::json;
use symbolon::upstream::{Proof, Upstream};

use super::{Stage, trust, verify};
use crate::idp::{How, Idp, MARK, login};
use crate::stage::{self, NOW};

struct Good {
    name: &'static str,
    provider: &'static str,
    subject: &'static str,
    claim: (&'static str, serde_json::Value),
}

fn read(name: &str) -> String {
    let path = format!("{}/tests/upstream/saml/good/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

fn all() -> Vec<Good> {
    let good = |name, provider, subject, claim, value| Good { name, provider, subject, claim: (claim, value) };
    let group = "http://schemas.xmlsoap.org/claims/Group";
    let display = "http://schemas.microsoft.com/identity/claims/displayname";
    let affiliation = "urn:oid:1.3.6.1.4.1.5923.1.1.1.1";
    let keycloak = "G-5c9b9d1e-8b1f-4c4a-8a57-9d2f0a1b2c3d";
    let (roles, groups) = (json!(["offline_access", "admin"]), json!(["Domain Users", "Development"]));
    vec![
        good("adfs", "adfs", "ann@example.com", group, groups.clone()),
        good("adfs_both", "adfs", "EXAMPLE\\ann", group, groups),
        good("entra", "entra", "lOTTsEdPQ8SmmZ+Xy1NUgQ==", display, json!("Ann & Söhne")),
        good("entra_response", "entra", "lOTTsEdPQ8SmmZ+Xy1NUgQ==", display, json!("Ann & Söhne")),
        good("okta", "okta", "ann@example.com", "department", json!("blue")),
        good("okta_ec", "okta_ec", "ann@example.com", "department", json!("blue")),
        good("keycloak", "keycloak", keycloak, "Role", roles.clone()),
        good("keycloak_assertion", "keycloak", keycloak, "Role", roles),
        good("shibboleth", "shibboleth", "NV6C3QWT5YJQ=", affiliation, json!(["member", "staff"])),
        good("shibboleth_sha384", "shibboleth", "NV6C3QWT5YJQ=", affiliation, json!(["member", "staff"])),
    ]
}

async fn accepts(upstream: &Upstream, good: &Good, document: &str) {
    let trust = trust(&read(&format!("{}.metadata.xml", good.provider)));
    let verified = verify(upstream, &trust, &login(document)).await;
    let verified = verified.unwrap_or_else(|error| panic!("{}: {error}", good.name));
    assert_eq!(verified.subject(), good.subject, "{}", good.name);
    assert_eq!(verified.claims()[good.claim.0], good.claim.1, "{}", good.name);
    let Proof::SamlResponse(saml) = &trust.proof else { panic!("{trust:?}") };
    assert_eq!(verified.claims()["iss"], saml.provider.metadata.entity_id);
    assert_eq!(verified.claims()["sub"], good.subject);
    assert_eq!(verified.method(), format!("{}:SAML:{}", saml.arn, good.subject));
    assert!(["urn:amazon:webservices", "https://signin.aws.amazon.com/saml"].contains(&verified.client_id()));
}

#[tokio::test]
async fn ten_responses_of_five_kinds_of_providers_are_accepted() {
    let (upstream, _) = stage::upstream("");
    let all = all();
    assert_eq!(all.len(), 10);
    for good in &all {
        accepts(&upstream, good, &read(&format!("{}.xml", good.name))).await;
    }
}

#[tokio::test]
async fn a_response_may_be_folded_as_forms_and_java_fold_it() {
    let (upstream, _) = stage::upstream("");
    let all = all();
    let entra = all.iter().find(|good| good.name == "entra").unwrap();
    // Apache Santuario writes carriage returns into signature values.
    let document = read("entra.xml");
    let (head, rest) = document.split_once("<SignatureValue>").unwrap();
    let (value, tail) = rest.split_once("</SignatureValue>").unwrap();
    let value: Vec<String> =
        value.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    let document = format!("{head}<SignatureValue>{}</SignatureValue>{tail}", value.join("&#13;\n"));
    accepts(&upstream, entra, &document).await;
    let trust = trust(&read("entra.metadata.xml"));
    let folded: Vec<String> =
        login(&document).as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    assert!(verify(&upstream, &trust, &folded.join("\r\n")).await.is_ok());
}

#[tokio::test]
async fn what_the_tests_provider_signs_is_accepted_with_every_algorithm_there_is() {
    let more = "http://www.w3.org/2001/04/xmldsig-more#";
    let enc = "http://www.w3.org/2001/04/xmlenc#";
    for stage in [Stage::new(), Stage::of(Idp::p256("https://idp.example.com/ec"))] {
        let is_rsa = stage.idp.entity.ends_with("saml");
        let methods: &[&str] = if is_rsa { &["rsa-sha256", "rsa-sha384", "rsa-sha512"] } else { &["ecdsa-sha256"] };
        for method in methods {
            for digest in [format!("{enc}sha256"), format!("{more}sha384"), format!("{enc}sha512")] {
                let how = How { method: format!("{more}{method}"), digest, ..How::default() };
                let assertion = stage.idp.assertion("ann", NOW);
                let signed = stage.idp.sign(&assertion, &how);
                let of_assertion = stage.idp.response(&signed, NOW).replace(MARK, "");
                let of_response = stage.idp.sign(&stage.idp.response(&assertion.replace(MARK, ""), NOW), &how);
                let of_both = stage.idp.sign(&stage.idp.response(&signed, NOW), &how);
                for document in [of_assertion, of_response, of_both] {
                    assert_eq!(stage.outcome(&document).await, "accepted ann", "{method}: {document}");
                }
            }
        }
    }
}

#[tokio::test]
async fn text_is_read_whole_whatever_comments_and_sections_cut_it() {
    let stage = Stage::new();
    // Canonicalization leaves comments out and makes text of sections, so that the signature holds.
    for cut in [
        "ann<!-- x -->@example.com",
        "ann<![CDATA[@]]>example.com",
        "<!-- -->ann&#64;example.com",
        "ann@example.com<!---->",
    ] {
        let document = stage.idp.document("ann@example.com", NOW).replace("ann@example.com", cut);
        assert_eq!(stage.outcome(&document).await, "accepted ann@example.com", "{cut}");
    }
}
