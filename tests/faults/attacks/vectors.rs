//! Project Wycheproof's vectors: what our verification of login tokens says of them, and the arithmetic beneath SigV4 and
//! the seal.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use symbolon::upstream::key_set::{Algorithm, KeySet};
use symbolon::upstream::token::{Header, Token};
use wycheproof::{TestResult, aead, ecdsa, hkdf, mac, rsa_pkcs1_verify as rsa};

use crate::figures::{Figures, size};

/// What was said of the vectors of one kind.
#[derive(Default)]
struct Tally {
    valid: usize,
    invalid: usize,
    acceptable: usize,
    wrong: Vec<String>,
}

impl Tally {
    /// What is merely acceptable may be either.
    fn count(&mut self, name: &str, result: TestResult, accepted: bool) {
        let (place, wanted) = match result {
            TestResult::Valid => (&mut self.valid, true),
            TestResult::Invalid => (&mut self.invalid, false),
            TestResult::Acceptable => (&mut self.acceptable, accepted),
        };
        *place += 1;
        if accepted != wanted {
            self.wrong.push(format!("{name}: {accepted}"));
        }
    }

    /// Nothing is wrong, and both kinds were there.
    fn publish(&self, figures: &mut Figures, what: &str) {
        assert!(self.wrong.is_empty(), "{what}: {:#?}", self.wrong);
        assert!(self.valid > 20 && self.invalid > 20, "{what}: {} and {}", self.valid, self.invalid);
        let measured = format!("{} valid, {} invalid, {} either", self.valid, self.invalid, self.acceptable);
        figures.row(what, "every verdict", measured);
    }
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Whether a key of an issuer verifies a message, as the signature of a login token is verified.
fn verifies(jwk: &Value, alg: &str, message: &[u8], signature: &[u8]) -> bool {
    let keys = KeySet::read(json!({"keys": [jwk]}).as_object().unwrap()).unwrap();
    let header = Header { algorithm: Algorithm::parse(alg).unwrap(), key_id: None };
    keys.verifies(&Token { header, claims: Map::new(), message, signature: signature.to_vec() })
}

fn of_rsa() -> Tally {
    let mut tally = Tally::default();
    let sets = [
        (rsa::TestName::Rsa2048Sha256, "RS256"),
        (rsa::TestName::Rsa2048Sha384, "RS384"),
        (rsa::TestName::Rsa2048Sha512, "RS512"),
        (rsa::TestName::Rsa3072Sha256, "RS256"),
        (rsa::TestName::Rsa3072Sha384, "RS384"),
        (rsa::TestName::Rsa3072Sha512, "RS512"),
        (rsa::TestName::Rsa4096Sha256, "RS256"),
        (rsa::TestName::Rsa4096Sha384, "RS384"),
        (rsa::TestName::Rsa4096Sha512, "RS512"),
        (rsa::TestName::Rsa8192Sha256, "RS256"),
        (rsa::TestName::Rsa8192Sha384, "RS384"),
        (rsa::TestName::Rsa8192Sha512, "RS512"),
    ];
    // One of each size and of each algorithm in the short form.
    for (name, alg) in sets.into_iter().step_by(size(4, 1)) {
        for group in rsa::TestSet::load(name).unwrap().test_groups {
            for test in group.tests {
                let jwk = json!({"kty": "RSA", "alg": alg, "n": encoded(&group.key.n), "e": encoded(&group.key.e)});
                let accepted = verifies(&jwk, alg, &test.msg, &test.sig);
                tally.count(&format!("{name:?} {} {:?}", test.tc_id, test.flags), test.result, accepted);
            }
        }
    }
    tally
}

fn of_ecdsa() -> Tally {
    let mut tally = Tally::default();
    for (name, alg, crv) in [
        (ecdsa::TestName::EcdsaSecp256r1Sha256P1363, "ES256", "P-256"),
        (ecdsa::TestName::EcdsaSecp384r1Sha384P1363, "ES384", "P-384"),
        (ecdsa::TestName::EcdsaSecp521r1Sha512P1363, "ES512", "P-521"),
    ] {
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            let (x, y) = group.key.key[1..].split_at(group.key.key.len() / 2);
            for test in group.tests {
                let jwk = json!({"kty": "EC", "crv": crv, "alg": alg, "x": encoded(x), "y": encoded(y)});
                let accepted = verifies(&jwk, alg, &test.msg, &test.sig);
                tally.count(&format!("{name:?} {} {:?}", test.tc_id, test.flags), test.result, accepted);
            }
        }
    }
    tally
}

fn of_hmac() -> Tally {
    let mut tally = Tally::default();
    for group in mac::TestSet::load(mac::TestName::HmacSha256).unwrap().test_groups {
        for test in group.tests {
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &test.key), &test.msg);
            let accepted = tag.as_ref()[..group.tag_size / 8] == test.tag[..];
            tally.count(&format!("{}", test.tc_id), test.result, accepted);
        }
    }
    tally
}

fn of_gcm() -> Tally {
    let mut tally = Tally::default();
    for group in aead::TestSet::load(aead::TestName::AesGcm).unwrap().test_groups {
        // The seal has no other sizes.
        if (group.key_size, group.nonce_size, group.tag_size) != (256, 96, 128) {
            continue;
        }
        for test in group.tests {
            let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &test.key).unwrap());
            let nonce = || Nonce::try_assume_unique_for_key(&test.nonce).unwrap();
            let mut sealed = [&test.ct[..], &test.tag].concat();
            let accepted =
                key.open_in_place(nonce(), Aad::from(&test.aad[..]), &mut sealed).is_ok_and(|p| *p == test.pt[..]);
            tally.count(&format!("{}", test.tc_id), test.result, accepted);
        }
    }
    tally
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn of_hkdf() -> (usize, usize) {
    let (mut right, mut too_long) = (0, 0);
    for group in hkdf::TestSet::load(hkdf::TestName::HkdfSha256).unwrap().test_groups {
        for test in group.tests {
            let key = Salt::new(HKDF_SHA256, &test.salt).extract(&test.ikm);
            let mut okm = vec![0; test.size];
            let info: [&[u8]; 1] = [&test.info];
            let filled = key.expand(&info, Length(test.size)).and_then(|okm_of| okm_of.fill(&mut okm));
            if test.result == TestResult::Invalid {
                assert!(filled.is_err(), "{}", test.tc_id);
                too_long += 1;
            } else {
                assert!(filled.is_ok() && okm == test.okm[..], "{}", test.tc_id);
                right += 1;
            }
        }
    }
    (right, too_long)
}

#[test]
fn every_verdict_of_wycheproof_is_ours() {
    let mut figures = Figures::of("8-attacks-a-vectors", "Wycheproof");
    of_rsa().publish(&mut figures, "RS256 to RS512, keys of 2 048 to 8 192 bits, as the signature of a login token");
    of_ecdsa().publish(&mut figures, "ES256 to ES512, as the signature of a login token");
    of_hmac().publish(&mut figures, "HMAC-SHA-256, of which SigV4 is made");
    of_gcm().publish(&mut figures, "AES-256-GCM, of which the seal is made");
    let (right, too_long) = of_hkdf();
    assert!(right > 50 && too_long > 0);
    let measured = format!("{right} valid, {too_long} invalid");
    figures.row("HKDF-SHA-256, of which the keys of tokens are made", "every verdict", measured);
    figures.publish();
}
