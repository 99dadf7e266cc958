//! Tokens that hold, as near to the attacks as a proper token comes: without them, refusing everything would do.

use serde_json::json;

use super::{Attack, CLIENT, VICTIM, World, attack};
use crate::issuer::minting::{Key, altered};

pub(super) fn tokens(world: &World) -> Vec<Attack> {
    let claims = world.claims();
    let mut found = Vec::new();
    let mut add = |name: &str, token: String| found.push(attack(name, "accepted", token));
    add("RS256", world.proper());
    add("another key of the issuer", world.second.token(&claims));
    add("ES256", world.p256.token(&claims));
    add("ES384", world.p384.token(&claims));
    add("RS512 by the key that is for it", Key::rsa(0, "for-rs512", "RS512").token(&claims));
    for (name, change) in [
        ("no typ", json!({"typ": null})),
        ("typ in small letters", json!({"typ": "jwt"})),
        ("typ JWS", json!({"typ": "JWS"})),
        ("typ as a media type", json!({"typ": "application/jwt"})),
        ("a member that nobody knows", json!({"x-unknown": [1, {"a": null}]})),
        ("a thumbprint of a certificate", json!({"x5t": "rJP3w1pZ"})),
        ("a jku that is not followed", json!({"jku": world.attacker.url()})),
        ("an x5u that is not followed", json!({"x5u": world.attacker.url()})),
        ("a jwk that is not used", json!({"jwk": world.rogue.jwk()})),
    ] {
        add(name, world.headed(&change));
    }
    for (name, change) in [
        ("an aud in an array", json!({"aud": [CLIENT]})),
        ("an aud among others", json!({"aud": ["another-client", CLIENT]})),
        ("an azp", json!({"azp": CLIENT})),
        ("an azp, and an aud of another", json!({"azp": CLIENT, "aud": "a-resource"})),
        (
            "a nonce, and claims of all kinds",
            json!({"nonce": "n", "email_verified": true, "address": {"country": "x"}}),
        ),
        ("an nbf", json!({"nbf": world.now})),
        ("an nbf of zero", json!({"nbf": 0})),
        ("an nbf within the skew", json!({"nbf": world.now + 299})),
        ("an iat within the skew", json!({"iat": world.now + 299})),
        ("an iat of long ago", json!({"iat": world.now - 86_400 * 30})),
        ("an exp within the skew", json!({"exp": world.now - 299})),
        ("an exp of next year", json!({"exp": world.now + 86_400 * 365})),
        ("times with a fraction", json!({"iat": 1_795_435_199.25, "exp": 1_795_435_800.75})),
        ("a sub of 255 characters", json!({"sub": "s".repeat(255)})),
        ("a sub of 255 characters of four bytes", json!({"sub": "\u{1f600}".repeat(255)})),
        ("a sub of one character", json!({"sub": "s"})),
        ("a sub with what is in those of Auth0", json!({"sub": "auth0|5f7c8ec7c33c6c004bbafe82"})),
        ("many claims", json!({"groups": vec!["engineering"; 1_000]})),
        ("a token_use, which says nothing here", json!({"token_use": "access"})),
    ] {
        add(name, world.with(&change));
    }
    let open = claims.to_string();
    let open = open.strip_suffix('}').unwrap();
    add("a name in escapes, there once", world.reading(format!("{open},\"n\\u0061me\":\"x\"}}")));
    add("white space around", world.reading(format!("\n {open} , \"a\" : 1 }} \r\n")));
    let exponents = altered(&claims, &json!({"iat": null, "exp": null})).to_string();
    let exponents = exponents.strip_suffix('}').unwrap();
    add("times with exponents", world.reading(format!("{exponents},\"iat\":1.7954352e9,\"exp\":1795435800e0}}")));
    add("times with a point", world.reading(format!("{exponents},\"iat\":1795435200.0,\"exp\":1795435800.0}}")));
    assert_eq!(claims["sub"], VICTIM);
    found
}
