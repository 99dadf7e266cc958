//! Attacks on the signature itself, and on what was signed.

use serde_json::json;

use super::{Attack, World, attack};
use crate::issuer::minting::{Key, altered, base64url, signing_input};

pub(super) fn attacks(world: &World) -> Vec<Attack> {
    let mut found = Vec::new();
    for key in [&world.rsa, &world.p256, &world.p384] {
        found.extend(damaged(world, key).into_iter().map(|(name, token)| attack(name, "Signature", token)));
    }
    found.extend(swapped(world).into_iter().map(|(name, token)| attack(name, "Signature", token)));
    found
}

fn damaged(world: &World, key: &Key) -> Vec<(String, String)> {
    let input = signing_input(key.header().to_string(), world.claims().to_string());
    let signature = key.sign(input.as_bytes());
    let length = signature.len();
    let flipped = |at: usize, bit: u8| {
        let mut signature = signature.clone();
        signature[at] ^= bit;
        signature
    };
    let reversed: Vec<u8> = signature.iter().rev().copied().collect();
    [
        ("nothing", Vec::new()),
        ("one byte", signature[..1].to_vec()),
        ("all but its last byte", signature[..length - 1].to_vec()),
        ("all but its first byte", signature[1..].to_vec()),
        ("half of it", signature[..length / 2].to_vec()),
        ("a zero after it", [signature.as_slice(), &[0]].concat()),
        ("a zero before it", [&[0], signature.as_slice()].concat()),
        ("it twice", [signature.as_slice(), &signature].concat()),
        ("its first bit flipped", flipped(0, 0x80)),
        ("its last bit flipped", flipped(length - 1, 1)),
        ("a bit in the middle flipped", flipped(length / 2, 4)),
        ("zeros", vec![0; length]),
        ("ones", vec![0xff; length]),
        ("it backwards", reversed),
        ("its text in hexadecimal", hex::encode(&signature).into_bytes()),
        ("its text in base64url", base64url(&signature).into_bytes()),
        ("10 000 bytes", vec![7; 10_000]),
        ("that of the header alone", key.sign(base64url(key.header().to_string()).as_bytes())),
        ("that of the payload alone", key.sign(base64url(world.claims().to_string()).as_bytes())),
        (
            "that of the texts before their encoding",
            key.sign(format!("{}.{}", key.header(), world.claims()).as_bytes()),
        ),
        ("that of nothing", key.sign(b"")),
        ("that of another token", key.sign(signing_input(key.header().to_string(), "{}").as_bytes())),
    ]
    .into_iter()
    .map(|(name, bytes)| (format!("{}: for a signature, {name}", key.alg), format!("{input}.{}", base64url(bytes))))
    .collect()
}

/// Proper signatures, over something else.
fn swapped(world: &World) -> Vec<(String, String)> {
    let token = world.proper();
    let (header_and_payload, signature) = token.rsplit_once('.').unwrap();
    let (header, payload) = header_and_payload.split_once('.').unwrap();
    let claims = world.claims();
    let mut found = Vec::new();
    for (name, change) in [
        ("sub", json!({"sub": "another"})),
        ("exp", json!({"exp": world.now + 601})),
        ("iat", json!({"iat": world.now - 1})),
        ("a claim more", json!({"email": "admin@example.com"})),
    ] {
        let payload = base64url(altered(&claims, &change).to_string());
        found.push((format!("changed after it was signed: {name}"), format!("{header}.{payload}.{signature}")));
    }
    let spaced = base64url(format!("{claims} "));
    found.push(("changed after it was signed: a space".to_owned(), format!("{header}.{spaced}.{signature}")));
    let renamed = base64url(altered(&world.rsa.header(), &json!({"kid": "second"})).to_string());
    found.push(("changed after it was signed: kid".to_owned(), format!("{renamed}.{payload}.{signature}")));
    let retyped = base64url(altered(&world.rsa.header(), &json!({"typ": "JWS"})).to_string());
    found.push(("changed after it was signed: typ".to_owned(), format!("{retyped}.{payload}.{signature}")));
    let p256 = world.p256.token(&claims);
    let foreign = p256.rsplit('.').next().unwrap();
    found.push(("the signature of another key".to_owned(), format!("{header}.{payload}.{foreign}")));
    found
}
