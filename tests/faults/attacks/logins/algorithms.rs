//! Attacks on the choice of algorithm and key.

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use super::{Attack, World, attack};
use crate::issuer::minting::{Key, base64url, pem, signing_input};

/// The order of P-256, as which a zero can be disguised.
const P256_ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
const HMAC_SECRET: &[u8] = b"a secret that the issuer should never have published";

/// Keys that an issuer may publish, and that sign no token all the same.
pub(super) fn odd_keys(rsa: &Key) -> Vec<Value> {
    let named =
        |kid: &str, changes: Value| crate::issuer::minting::altered(&rsa.known_as(kid, "RS256").jwk(), &changes);
    let p256 = Key::p256("p256-odd").jwk();
    vec![
        Key::rsa_1024("weak").jwk(),
        named("encrypts", json!({"use": "enc"})),
        named("key-ops-encrypt", json!({"use": null, "key_ops": ["encrypt"]})),
        named("key-ops-sign", json!({"use": null, "key_ops": ["sign"]})),
        named("for-rs512", json!({"alg": "RS512"})),
        named("for-oaep", json!({"alg": "RSA-OAEP"})),
        named("exponent-one", json!({"e": "AQ"})),
        named("no-modulus", json!({"n": null})),
        named("empty-modulus", json!({"n": ""})),
        named("of-kty-ec", json!({"kty": "EC"})),
        named("of-kty-okp", json!({"kty": "OKP", "crv": "Ed25519", "x": p256["x"]})),
        json!({"kty": "oct", "kid": "oct", "alg": "HS256", "k": base64url(HMAC_SECRET)}),
        json!({"kty": "oct", "kid": "oct-for-rs256", "alg": "RS256", "k": base64url(HMAC_SECRET)}),
        json!({"kty": "EC", "kid": "off-the-curve", "crv": "P-256", "alg": "ES256", "x": p256["x"], "y": p256["x"]}),
        json!({"kty": "EC", "kid": "infinity", "crv": "P-256", "alg": "ES256", "x": "", "y": ""}),
        json!({"kty": "EC", "kid": "zero-point", "crv": "P-256", "alg": "ES256", "x": base64url([0; 32]), "y": base64url([0; 32])}),
    ]
}

/// A token under `alg` whose signature is an HMAC with `secret`.
fn hmac_token(world: &World, alg: &str, kid: &str, secret: &[u8]) -> String {
    let algorithm = match alg {
        "HS384" => hmac::HMAC_SHA384,
        "HS512" => hmac::HMAC_SHA512,
        _ => hmac::HMAC_SHA256,
    };
    let header = json!({"alg": alg, "typ": "JWT", "kid": kid});
    let input = signing_input(header.to_string(), world.claims().to_string());
    let tag = hmac::sign(&hmac::Key::new(algorithm, secret), input.as_bytes());
    format!("{input}.{}", base64url(tag))
}

/// A token that claims `alg` and `kid`, with these bytes as its signature.
fn stamped(world: &World, alg: &str, kid: &str, signature: &[u8]) -> String {
    let header = json!({"alg": alg, "typ": "JWT", "kid": kid});
    format!("{}.{}", signing_input(header.to_string(), world.claims().to_string()), base64url(signature))
}

/// A token that claims `alg` and `kid`, signed by `key` with `signs`.
fn signed(world: &World, alg: &str, kid: &str, key: &Key, signs: &str) -> String {
    let header = json!({"alg": alg, "typ": "JWT", "kid": kid});
    let input = signing_input(header.to_string(), world.claims().to_string());
    format!("{input}.{}", base64url(key.sign_as(signs, input.as_bytes())))
}

pub(super) fn attacks(world: &World) -> Vec<Attack> {
    [none(world), hmacs(world), names(world), mismatches(world), curves(world), keys(world)]
        .into_iter()
        .flatten()
        .collect()
}

fn none(world: &World) -> Vec<Attack> {
    let signature = world.proper().rsplit('.').next().unwrap().to_owned();
    let mut found = Vec::new();
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let header = json!({"alg": alg, "typ": "JWT", "kid": world.rsa.kid});
        let input = signing_input(header.to_string(), world.claims().to_string());
        found.push(attack(format!("alg {alg:?}, nothing for a signature"), "Signature", format!("{input}.")));
        found.push(attack(
            format!("alg {alg:?}, another token's signature"),
            "Signature",
            format!("{input}.{signature}"),
        ));
    }
    found
}

fn hmacs(world: &World) -> Vec<Attack> {
    let (n, _) = world.rsa.rsa_numbers();
    let jwk = world.rsa.jwk();
    let spki = world.rsa.spki();
    let text = pem("PUBLIC KEY", &spki);
    let secrets: [(&str, Vec<u8>); 9] = [
        ("the public key in PEM", text.clone().into_bytes()),
        ("the public key in PEM without a last newline", text.trim_end().into()),
        ("the public key in DER", spki),
        ("the modulus", n),
        ("the JWK's n", jwk["n"].as_str().unwrap().into()),
        ("the JWK", jwk.to_string().into_bytes()),
        ("the client id", crate::stage::CLIENT.into()),
        ("zeros", vec![0; 32]),
        ("nothing", Vec::new()),
    ];
    let mut found = Vec::new();
    for alg in ["HS256", "HS384", "HS512"] {
        for (name, secret) in &secrets {
            found.push(attack(
                format!("{alg} with {name}"),
                "Signature",
                hmac_token(world, alg, &world.rsa.kid, secret),
            ));
        }
    }
    found.push(attack("an HMAC under RS256", "Signature", hmac_token(world, "RS256", &world.rsa.kid, text.as_bytes())));
    found.push(attack("HS256 with the published secret", "Signature", hmac_token(world, "HS256", "oct", HMAC_SECRET)));
    let odd = hmac_token(world, "RS256", "oct-for-rs256", HMAC_SECRET);
    found.push(attack("a published secret that is said to be for RS256", "Signature", odd));
    found
}

fn names(world: &World) -> Vec<Attack> {
    let unknown = [
        "RS256 ",
        " RS256",
        "rs256",
        "Rs256",
        "RS256\0",
        "RS\u{ff12}56",
        "RS1",
        "RSA256",
        "RSA1_5",
        "RSA-OAEP",
        "dir",
        "A128KW",
        "EdDSA",
        "Ed25519",
        "ES256K",
        "ES512",
        "SHA256withRSA",
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
    ];
    let mut found: Vec<_> = unknown
        .iter()
        .map(|alg| {
            attack(format!("alg {alg:?} with an RS256 signature"), "Signature", world.headed(&json!({"alg": alg})))
        })
        .collect();
    let wrong = [json!(["RS256"]), json!(256), json!({"alg": "RS256"}), json!(true), json!([])];
    for alg in wrong {
        found.push(attack(format!("alg {alg}"), "NotIdToken", world.headed(&json!({"alg": alg}))));
    }
    found.push(attack("no alg", "NotIdToken", world.headed(&json!({"alg": null}))));
    found.push(attack("ALG in place of alg", "NotIdToken", world.headed(&json!({"alg": null, "ALG": "RS256"}))));
    let null = format!(r#"{{"alg":null,"typ":"JWT","kid":"{}"}}"#, world.rsa.kid);
    found.push(attack("alg null", "NotIdToken", world.rsa.token_of(null, world.claims().to_string())));
    found
}

/// Algorithms that are sound in themselves, with a key that is not theirs.
fn mismatches(world: &World) -> Vec<Attack> {
    let World { rsa, p256, p384, .. } = world;
    let of = |alg, kid, key, signs| signed(world, alg, kid, key, signs);
    vec![
        attack("PS256 by a key for RS256", "Signature", of("PS256", &rsa.kid, rsa, "PS256")),
        attack("PS384 by a key for RS256", "Signature", of("PS384", &rsa.kid, rsa, "PS384")),
        attack("PS512 by a key for RS256", "Signature", of("PS512", &rsa.kid, rsa, "PS512")),
        attack("RS384 by a key for RS256", "Signature", of("RS384", &rsa.kid, rsa, "RS384")),
        attack("RS512 by a key for RS256", "Signature", of("RS512", &rsa.kid, rsa, "RS512")),
        attack("RS256 by a key for RS512", "Signature", of("RS256", "for-rs512", rsa, "RS256")),
        attack("RS256 by a key for RSA-OAEP", "Signature", of("RS256", "for-oaep", rsa, "RS256")),
        attack("RS256 said, RS512 done", "Signature", of("RS256", &rsa.kid, rsa, "RS512")),
        attack("RS256 said, PS256 done", "Signature", of("RS256", &rsa.kid, rsa, "PS256")),
        attack("RS256 by a key on P-256", "Signature", of("RS256", &p256.kid, p256, "ES256")),
        attack("RS256 by an RSA key, in the name of one on P-256", "Signature", of("RS256", &p256.kid, rsa, "RS256")),
        attack("ES256 by an RSA key", "Signature", of("ES256", &rsa.kid, rsa, "RS256")),
        attack("ES256 by a key on P-256, in the name of an RSA one", "Signature", of("ES256", &rsa.kid, p256, "ES256")),
        attack("ES384 by a key on P-256", "Signature", of("ES384", &p256.kid, p256, "ES256")),
        attack("ES256 by a key on P-384", "Signature", of("ES256", &p384.kid, p384, "ES384")),
        attack("ES512 by a key on P-384", "Signature", of("ES512", &p384.kid, p384, "ES384")),
    ]
}

fn curves(world: &World) -> Vec<Attack> {
    let kid = &world.p256.kid;
    let order = hex::decode(P256_ORDER).unwrap();
    let mut one = vec![0; 32];
    one[31] = 1;
    let input = signing_input(world.p256.header().to_string(), world.claims().to_string());
    let proper = world.p256.sign(input.as_bytes());
    let (r, s) = proper.split_at(32);
    let zero = vec![0; 32];
    let raw: [(&str, Vec<u8>); 10] = [
        ("r and s zero", vec![0; 64]),
        ("r zero", [zero.as_slice(), s].concat()),
        ("s zero", [r, &zero].concat()),
        ("r and s the order", [order.as_slice(), &order].concat()),
        ("r the order", [order.as_slice(), s].concat()),
        ("r and s one", [one.as_slice(), &one].concat()),
        ("r and s all ones", vec![0xff; 64]),
        ("in DER", der(r, s)),
        ("r and s exchanged", [s, r].concat()),
        ("r and s in 48 bytes each", [&[0; 16], r, &[0; 16], s].concat()),
    ];
    let mut found: Vec<_> = raw
        .iter()
        .map(|(name, signature)| {
            attack(format!("ES256 with {name}"), "Signature", stamped(world, "ES256", kid, signature))
        })
        .collect();
    for kid in ["off-the-curve", "infinity", "zero-point"] {
        found.push(attack(format!("a key {kid}"), "Signature", stamped(world, "ES256", kid, &proper)));
    }
    found.push(attack("ES384 with r and s zero", "Signature", stamped(world, "ES384", &world.p384.kid, &[0; 96])));
    found
}

/// Keys that were never good for it, or not the issuer's.
fn keys(world: &World) -> Vec<Attack> {
    let rsa = &world.rsa;
    let mut found: Vec<_> =
        ["encrypts", "key-ops-encrypt", "key-ops-sign", "no-modulus", "empty-modulus", "of-kty-ec", "of-kty-okp"]
            .iter()
            .map(|kid| {
                attack(
                    format!("a published key that is {kid}"),
                    "Signature",
                    rsa.known_as(kid, "RS256").token(&world.claims()),
                )
            })
            .collect();
    let weak = Key::rsa_1024("weak");
    found.push(attack("a published key of 1024 bits", "Signature", weak.token(&world.claims())));
    found.push(attack("a published key with the exponent one", "Signature", forged_for_exponent_one(world)));
    found.push(attack("the attacker's key, under the issuer's kid", "Signature", world.rogue.token(&world.claims())));
    let own_name = world.rogue.known_as("rogue", "RS256").token(&world.claims());
    found.push(attack("the attacker's key, under its own kid", "Signature", own_name));
    found.push(attack("the key of another trusted issuer", "Signature", world.other.key().token(&world.claims())));
    let borrowed = world.other.key().known_as(&rsa.kid, "RS256").token(&world.claims());
    found.push(attack("the key of another trusted issuer, under the issuer's kid", "Signature", borrowed));
    let crossed = world.second.known_as(&rsa.kid, "RS256").token(&world.claims());
    found.push(attack("one key of the issuer under the kid of another", "Signature", crossed));
    let retired = Key::rsa(1, "retired-last-year", "RS256").token(&world.claims());
    found.push(attack("a key that is published no more", "Signature", retired));
    found
}

/// With the exponent one, the signature is the padded digest itself (RFC 8017 section 9.2), and anyone can write it.
fn forged_for_exponent_one(world: &World) -> String {
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": "exponent-one"});
    let input = signing_input(header.to_string(), world.claims().to_string());
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, input.as_bytes());
    let info = hex::decode("3031300d060960864801650304020105000420").unwrap();
    let mut padded = vec![0, 1];
    padded.resize(256 - 1 - info.len() - 32, 0xff);
    padded.push(0);
    padded.extend(info);
    padded.extend(digest.as_ref());
    format!("{input}.{}", base64url(padded))
}

/// Two unsigned numbers as ECDSA-Sig-Value (RFC 3279 section 2.2.3).
fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        let number: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
        let lead: &[u8] = if number[0] & 0x80 == 0 { &[] } else { &[0] };
        let length = u8::try_from(lead.len() + number.len()).unwrap();
        [&[2, length], lead, &number].concat()
    };
    let body = [integer(r), integer(s)].concat();
    [&[0x30, u8::try_from(body.len()).unwrap()], body.as_slice()].concat()
}
