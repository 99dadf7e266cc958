//! Attacks on logins of a Cognito user pool, whose tokens say what they are for.

use serde_json::{Value, json};

use super::{Attack, CLIENT, USER_POOL, VICTIM, World, attack};
use crate::issuer::minting::altered;

/// The claims of an ID token of the user pool.
pub(super) fn claims(world: &World) -> Value {
    let iss = format!("{}/{USER_POOL}", world.issuer.url());
    json!({"iss": iss, "sub": VICTIM, "aud": CLIENT, "iat": world.now, "exp": world.now + 600, "token_use": "id"})
}

pub(super) fn proper(world: &World) -> String {
    world.rsa.token(&claims(world))
}

pub(super) fn attacks(world: &World) -> Vec<Attack> {
    let with = |changes: Value| world.rsa.token(&altered(&claims(world), &changes));
    let pool = |id: &str| json!({"iss": format!("{}/{id}", world.issuer.url())});
    let access = json!({"token_use": "access", "aud": null, "client_id": CLIENT});
    let mut found = vec![
        attack("user pool: an access token", "MissingClaim aud", with(access)),
        attack("user pool: another client", "ProviderNotSupported", with(json!({"aud": "another-client"}))),
        attack("user pool: another azp", "ProviderNotSupported", with(json!({"azp": "another-client"}))),
        attack("user pool: another pool", "Issuer", with(pool("eu-central-1_Zz9yXw8vU"))),
        attack("user pool: the pool's name in other case", "Issuer", with(pool(&USER_POOL.to_lowercase()))),
        attack("user pool: the pool's name and more", "Issuer", with(pool(&format!("{USER_POOL}x")))),
        attack("user pool: the pool's name in part", "Issuer", with(pool(&USER_POOL[..USER_POOL.len() - 1]))),
        attack("user pool: AWS's own name", "Issuer", {
            with(json!({"iss": format!("https://cognito-idp.eu-central-1.amazonaws.com/{USER_POOL}")}))
        }),
        attack("user pool: a login of another provider", "Issuer", world.proper()),
        attack("user pool: expired", "Expired", with(json!({"exp": world.now - 301}))),
        attack("user pool: the attacker's signature", "Signature", world.rogue.token(&claims(world))),
        attack("user pool: no sub", "MissingClaim sub", with(json!({"sub": null}))),
    ];
    for (name, token_use) in [
        ("access, with an aud", json!("access")),
        ("refresh", json!("refresh")),
        ("ID", json!("ID")),
        ("id and a space", json!("id ")),
        ("empty", json!("")),
        ("an array", json!(["id"])),
        ("true", json!(true)),
        ("missing", Value::Null),
    ] {
        let token = with(json!({"token_use": token_use}));
        found.push(attack(format!("user pool: a token_use that is {name}"), "NotIdToken", token));
    }
    found
}
