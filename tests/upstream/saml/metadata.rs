//! Metadata of identity providers: what is taken from it, and what is refused when it is saved.

use symbolon::iam::SamlMetadata;
use time::macros::datetime;

use crate::idp::{Idp, PROTOCOL, key_descriptor};

const SMALL: &[u8] = include_bytes!("good/rsa_1024.der");
const EDWARDS: &[u8] = include_bytes!("good/ed25519.der");

fn idp() -> Idp {
    Idp::rsa("https://idp.example.com/saml", 0)
}

#[test]
fn metadata_names_the_provider_its_certificates_and_its_end() {
    let (idp, other) = (idp(), Idp::p256("x"));
    let of = |attributes: &str, keys: &str| SamlMetadata::parse(&idp.metadata_with(attributes, keys)).unwrap();
    let key = key_descriptor(" use=\"signing\"", &idp.certificate);
    let plain = of("", &key);
    assert_eq!(plain.entity_id, "https://idp.example.com/saml");
    assert_eq!((plain.certificates, plain.valid_until), (vec![idp.certificate.clone()], None));
    let any = key_descriptor("", &other.certificate);
    let encryption = key_descriptor(" use=\"encryption\"", b"not even a certificate");
    let several = of(" validUntil=\"2030-01-02T03:04:05Z\"", &format!("{encryption}{key}{any}{key}"));
    assert_eq!(several.certificates, [idp.certificate.clone(), other.certificate]);
    assert_eq!(several.valid_until, Some(datetime!(2030-01-02 03:04:05 UTC)));
}

#[test]
fn metadata_that_cannot_be_used_is_refused_with_the_reason() {
    let idp = idp();
    let key = key_descriptor("", &idp.certificate);
    let good = idp.metadata();
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replace(from, to)
    };
    let elevens: String = (0..11).map(|_| key_descriptor("", &Idp::p256("x").certificate)).collect();
    let entity = &good[good.find("<md:EntityDescriptor").unwrap()..];
    let list = |content: &str| {
        format!(
            "<md:EntitiesDescriptor xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\">{content}</md:EntitiesDescriptor>"
        )
    };
    assert!(SamlMetadata::parse(&list(entity)).is_ok());
    for (document, why) in [
        (String::new(), "not well-formed"),
        ("{}".to_owned(), "not well-formed"),
        (with("<md:IDPSSODescriptor", "<!DOCTYPE x><md:IDPSSODescriptor"), "a document type"),
        (with("<md:IDPSSODescriptor", "<?x ?><md:IDPSSODescriptor"), "a processing instruction"),
        (with("SAML:2.0:metadata", "SAML:1.0:metadata"), "not an EntityDescriptor"),
        (with("md:EntityDescriptor", "md:AffiliationDescriptor"), "not an EntityDescriptor"),
        (list(""), "exactly one EntityDescriptor"),
        (list(&format!("{entity}{entity}")), "exactly one EntityDescriptor"),
        (with(" entityID=\"https://idp.example.com/saml\"", ""), "needs an entityID"),
        (with("entityID=\"https://idp.example.com/saml\"", "entityID=\"\""), "needs an entityID"),
        (with("IDPSSODescriptor", "SPSSODescriptor"), "not of a service provider"),
        (with(PROTOCOL, "urn:oasis:names:tc:SAML:1.1:protocol"), "does not support"),
        (idp.metadata_with(" validUntil=\"soon\"", &key), "A validUntil is not a time"),
        (idp.metadata_with(" validUntil=\"9999-12-31T23:59:59-23:59\"", &key), "A validUntil is not a time"),
        (idp.metadata_with("", ""), "needs a KeyDescriptor"),
        (idp.metadata_with("", &key_descriptor(" use=\"encryption\"", &idp.certificate)), "needs a KeyDescriptor"),
        (idp.metadata_with("", &key_descriptor("", b"no certificate")), "Signing certificate 1 is not an X.509"),
        (with("<ds:X509Certificate>", "<ds:X509Certificate>!"), "Signing certificate 1 is not base64"),
        (
            idp.metadata_with("", &format!("{key}{}", key_descriptor("", SMALL))),
            "Signing certificate 2 has an RSA key of 1024 bits",
        ),
        (idp.metadata_with("", &key_descriptor("", EDWARDS)), "neither RSA nor ECDSA"),
        (idp.metadata_with("", &elevens), "11 signing certificates; 10 is the limit"),
    ] {
        let refused = SamlMetadata::parse(&document).unwrap_err();
        assert!(refused.contains(why), "{refused:?} for {why:?}");
    }
}
