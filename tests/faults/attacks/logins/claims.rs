//! Attacks by the claims: all properly signed by the issuer.

use serde_json::{Value, json};

use super::{Attack, CLIENT, World, attack};

pub(super) fn attacks(world: &World) -> Vec<Attack> {
    [issuers(world), audiences(world), times(world), subjects(world)].into_iter().flatten().collect()
}

/// Names that are nearly the issuer's, or are to some reader.
fn issuers(world: &World) -> Vec<Attack> {
    let iss = world.iss();
    let authority = world.issuer.login_key();
    let port = world.issuer.port();
    let attacker = world.attacker.login_key();
    let others = [
        ("another trusted issuer's", json!(world.other.url())),
        ("the attacker's", json!(world.attacker.url())),
        ("with a slash", json!(format!("{iss}/"))),
        ("without its path", json!(world.issuer.url())),
        ("with https", json!(iss.replace("http:", "https:"))),
        ("with HTTP", json!(iss.replace("http:", "HTTP:"))),
        ("without its scheme", json!(format!("{authority}/realm"))),
        ("with no scheme but its slashes", json!(format!("//{authority}/realm"))),
        ("in other case", json!(format!("{}/Realm", world.issuer.url()))),
        ("in part", json!(&iss[..iss.len() - 1])),
        ("and more", json!(format!("{iss}m"))),
        ("and another domain", json!(format!("{iss}.attacker.example"))),
        ("as the path of another", json!(format!("http://{attacker}/{authority}/realm"))),
        ("as the query of another", json!(format!("http://{attacker}?{iss}"))),
        ("as the user of another", json!(format!("http://{authority}@{attacker}/realm"))),
        ("with a user", json!(format!("http://user@{authority}/realm"))),
        ("with a backslash", json!(format!("http://{attacker}\\@{authority}/realm"))),
        ("with a query", json!(format!("{iss}?tenant=b"))),
        ("with a fragment", json!(format!("{iss}#b"))),
        ("by a path that comes back", json!(format!("{}/b/../realm", world.issuer.url()))),
        ("with a slash twice", json!(format!("{}//realm", world.issuer.url()))),
        ("in percent encoding", json!(format!("{}/%72ealm", world.issuer.url()))),
        ("as localhost", json!(format!("http://localhost:{port}/realm"))),
        ("as a short address", json!(format!("http://127.1:{port}/realm"))),
        ("as a number", json!(format!("http://2130706433:{port}/realm"))),
        ("as an IPv6 address", json!(format!("http://[::ffff:127.0.0.1]:{port}/realm"))),
        ("of full width", json!(format!("{}/\u{ff52}ealm", world.issuer.url()))),
        ("of Cyrillic", json!(format!("{}/r\u{435}alm", world.issuer.url()))),
        ("in Punycode", json!(format!("{}/xn--ralm-f5d", world.issuer.url()))),
        ("with a NUL", json!(format!("{iss}\0"))),
        ("with a space", json!(format!("{iss} "))),
        ("with a line break", json!(format!("{iss}\n"))),
        ("an array", json!([iss])),
        ("an array of both", json!([iss, world.attacker.url()])),
        ("an object", json!({"url": iss})),
        ("a number", json!(1)),
        ("empty", json!("")),
        ("missing", Value::Null),
    ];
    let mut found: Vec<_> = others
        .iter()
        .map(|(name, iss)| attack(format!("an iss that is {name}"), "Issuer", world.with(&json!({"iss": iss}))))
        .collect();
    // Nor does it help to be the issuer that one names.
    let own = world.attacker.claims_at(world.now, super::VICTIM, CLIENT);
    found.push(attack("a whole login of the attacker's own issuer", "Issuer", world.attacker.token_with(&own)));
    found.push(attack("a whole login of another trusted issuer", "Issuer", world.other_token()));
    found
}

fn audiences(world: &World) -> Vec<Attack> {
    let mut found = Vec::new();
    for (name, aud) in [
        ("another's", json!("another-client")),
        ("in other case", json!(CLIENT.to_uppercase())),
        ("with a space", json!(format!(" {CLIENT}"))),
        ("in part", json!(&CLIENT[..3])),
        ("and more", json!(format!("{CLIENT}s"))),
        ("a list in one text", json!(format!("{CLIENT},another"))),
        ("a list with spaces", json!(format!("{CLIENT} another"))),
        ("the issuer", json!(world.iss())),
        ("any", json!("*")),
        ("empty", json!("")),
        ("an array of others", json!(["one", "two"])),
    ] {
        found.push(attack(format!("an aud that is {name}"), "Audience", world.with(&json!({"aud": aud}))));
    }
    for (name, aud) in [
        ("missing", Value::Null),
        ("an empty array", json!([])),
        ("an array in an array", json!([[CLIENT]])),
        ("an array of not only text", json!([CLIENT, 1])),
        ("an array with null", json!([CLIENT, null])),
        ("an object", json!({CLIENT: true})),
        ("a number", json!(1)),
        ("true", json!(true)),
    ] {
        found.push(attack(format!("an aud that is {name}"), "MissingClaim aud", world.with(&json!({"aud": aud}))));
    }
    for (name, azp) in
        [("another's", json!("another-client")), ("in other case", json!(CLIENT.to_uppercase())), ("empty", json!(""))]
    {
        found.push(attack(format!("an azp that is {name}"), "Audience", world.with(&json!({"azp": azp}))));
        let several = json!({"azp": azp, "aud": [CLIENT, "another-client"]});
        found.push(attack(format!("an azp that is {name}, of several aud"), "Audience", world.with(&several)));
    }
    for azp in [json!(1), json!([CLIENT]), json!({"client": CLIENT}), json!(true)] {
        found.push(attack(format!("an azp that is {azp}"), "MissingClaim azp", world.with(&json!({"azp": azp}))));
    }
    found
}

fn times(world: &World) -> Vec<Attack> {
    let mut found = Vec::new();
    let with = |name: &str, text: &str| {
        let claims = world.claims();
        let claims = crate::issuer::minting::altered(&claims, &json!({name: null})).to_string();
        world.reading(format!("{},\"{name}\":{text}}}", claims.strip_suffix('}').unwrap()))
    };
    for (text, exp) in [
        ("just beyond the skew", world.now - 301),
        ("an hour ago", world.now - 3600),
        ("years ago", 1_000_000_000),
        ("one", 1),
    ] {
        found.push(attack(format!("an exp of {text}"), "Expired", with("exp", &exp.to_string())));
    }
    found.push(attack("an exp a moment too old", "Expired", with("exp", &format!("{}.5", world.now - 302))));
    found.push(attack("an exp of the past with an exponent", "Expired", with("exp", "1.5e9")));
    found.push(attack("an exp of zero", "Expired", with("exp", "0")));
    for name in ["exp", "iat"] {
        let missing = if name == "exp" { "MissingClaim exp" } else { "MissingClaim iat" };
        let token = world.with(&json!({name: null}));
        found.push(attack(format!("no {name}"), missing, token));
        for text in [
            "\"1795435800\"",
            "\"2026-11-23T12:00:00Z\"",
            "\"\"",
            "null",
            "true",
            "[1795435800]",
            "{\"now\":1}",
            "-1",
            "-1795435800",
            "1e300",
            "-1e300",
            "9223372036854775807",
            "9223372036854775808",
            "18446744073709551616",
            "99999999999999999999999999999999999999999999",
            "1795435800000000",
        ] {
            found.push(attack(format!("an {name} of {text}"), missing, with(name, text)));
        }
        for text in ["NaN", "Infinity", "1e400", "-1e400", "0x6b03f9c0", "1_795_435_800", "1795435800n"] {
            found.push(attack(format!("an {name} of {text}"), "NotIdToken", with(name, text)));
        }
    }
    found.push(attack("an iat just beyond the skew", "NotYetValid", with("iat", &(world.now + 301).to_string())));
    found.push(attack("an iat of tomorrow", "NotYetValid", with("iat", &(world.now + 86_400).to_string())));
    found.push(attack("an iat of a moment too late", "NotYetValid", with("iat", &format!("{}.5", world.now + 301))));
    found.push(attack("an nbf just beyond the skew", "NotYetValid", with("nbf", &(world.now + 301).to_string())));
    found.push(attack("an nbf of tomorrow", "NotYetValid", with("nbf", &(world.now + 86_400).to_string())));
    for text in ["\"0\"", "true", "[0]", "{}", "null", "-1", "1e300", "9223372036854775808"] {
        found.push(attack(format!("an nbf of {text}"), "MissingClaim nbf", with("nbf", text)));
    }
    found
}

fn subjects(world: &World) -> Vec<Attack> {
    let mut found = Vec::new();
    for (name, sub) in [
        ("missing", Value::Null),
        ("empty", json!("")),
        ("a number", json!(42)),
        ("true", json!(true)),
        ("an array", json!([super::VICTIM])),
        ("an object", json!({"id": super::VICTIM})),
        ("of 256 characters", json!("s".repeat(256))),
        ("of 256 characters of four bytes", json!("\u{1f600}".repeat(256))),
        ("of 20 000 characters", json!("s".repeat(20_000))),
        ("with a NUL", json!(format!("{}\0", super::VICTIM))),
        ("a NUL", json!("\0")),
    ] {
        found.push(attack(format!("a sub that is {name}"), "MissingClaim sub", world.with(&json!({"sub": sub}))));
    }
    let other_name = world.with(&json!({"sub": null, "SUB": super::VICTIM, "Sub": super::VICTIM}));
    found.push(attack("SUB in place of sub", "MissingClaim sub", other_name));
    found.push(attack("user_id in place of sub", "MissingClaim sub", world.with(&json!({"sub": null, "user_id": 1}))));
    found.push(attack("no claims at all", "Issuer", world.reading("{}")));
    found
}
