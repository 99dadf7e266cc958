//! Attacks by the header: names of keys, keys of one's own, and what changes the meaning of the rest.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{Attack, World, attack};
use crate::issuer::KEYS;
use crate::issuer::minting::{altered, base64url};

pub(super) fn attacks(world: &World) -> Vec<Attack> {
    [kids(world), keys_of_ones_own(world), meanings(world), shapes(world)].into_iter().flatten().collect()
}

fn kids(world: &World) -> Vec<Attack> {
    let kid = &world.rsa.kid;
    let unknown = [
        ("of another issuer", world.other.key().kid),
        ("empty", String::new()),
        ("in other case", kid.to_uppercase()),
        ("with a space", format!("{kid} ")),
        ("with a NUL", format!("{kid}\0")),
        ("that walks up", "../../../../../../dev/null".to_owned()),
        ("that is a file", "/proc/self/environ".to_owned()),
        ("that is a URL", format!("{}{KEYS}", world.attacker.url())),
        ("of SQL", "' union select 'secret' --".to_owned()),
        ("of a command", "first|$(id)`id`;id".to_owned()),
        ("that is a list", format!("{kid},second")),
        ("that is a pattern", "*".to_owned()),
        ("of a line break", format!("x\r\nHost: {}", world.attacker.login_key())),
        ("of 10 000 characters", "k".repeat(10_000)),
        ("beyond ASCII", "\u{ff46}irst".to_owned()),
    ];
    let mut found: Vec<_> = unknown
        .iter()
        .map(|(name, kid)| attack(format!("a kid {name}"), "Signature", world.headed(&json!({"kid": kid}))))
        .collect();
    for kid in [json!(1), json!(["first"]), json!({"kid": "first"}), json!(true)] {
        found.push(attack(format!("a kid that is {kid}"), "NotIdToken", world.headed(&json!({"kid": kid}))));
    }
    found.push(attack("no kid where there are several keys", "Signature", world.headed(&json!({"kid": null}))));
    found
}

/// What RFC 7515 lets a token say about its own key. All of it is the bearer's word.
fn keys_of_ones_own(world: &World) -> Vec<Attack> {
    let rogue = &world.rogue;
    let url = format!("{}{KEYS}", world.attacker.url());
    let own_name = rogue.known_as("rogue", "RS256");
    let certificate = STANDARD.encode(rogue.certificate());
    let mut found = Vec::new();
    for (name, member) in [
        ("jku", json!({"jku": url})),
        ("x5u", json!({"x5u": url})),
        ("jwk", json!({"jwk": rogue.jwk()})),
        ("x5c", json!({"x5c": [certificate]})),
        ("x5t", json!({"x5t": base64url([0; 20]), "x5t#S256": base64url([0; 32])})),
        ("jku of a file", json!({"jku": "file:///etc/passwd"})),
        ("jku of a metadata service", json!({"jku": "http://169.254.169.254/latest/meta-data/"})),
        ("iss in the header", json!({"iss": world.attacker.url()})),
    ] {
        found.push(attack(format!("{name} under the issuer's kid"), "Signature", world.headed_by(rogue, &member)));
        found.push(attack(format!("{name} under a kid of its own"), "Signature", world.headed_by(&own_name, &member)));
    }
    let mut bare = json!({"kid": null, "jwk": rogue.jwk()});
    found.push(attack("jwk without a kid", "Signature", world.headed_by(rogue, &bare)));
    bare["alg"] = json!("HS256");
    found.push(attack("jwk under HS256", "Signature", world.headed_by(rogue, &bare)));
    found
}

fn meanings(world: &World) -> Vec<Attack> {
    let mut found = Vec::new();
    for (name, member) in [
        ("crit of b64", json!({"crit": ["b64"], "b64": true})),
        ("crit of exp", json!({"crit": ["exp"], "exp": 0})),
        ("crit of what nobody knows", json!({"crit": ["x-policy"], "x-policy": "deny"})),
        ("crit of nothing", json!({"crit": []})),
        ("crit that is text", json!({"crit": "b64"})),
        ("crit of alg", json!({"crit": ["alg"]})),
        ("b64 false, encoded all the same", json!({"b64": false})),
        ("enc", json!({"enc": "A256GCM"})),
        ("zip", json!({"zip": "DEF"})),
        ("typ of an access token", json!({"typ": "at+jwt"})),
        ("typ of an access token, as a media type", json!({"typ": "application/at+jwt"})),
        ("typ of a logout token", json!({"typ": "logout+jwt"})),
        ("typ of a DPoP proof", json!({"typ": "dpop+jwt"})),
        ("typ that is no text", json!({"typ": 1})),
    ] {
        found.push(attack(name, "NotIdToken", world.headed(&member)));
    }
    let nested = altered(&world.rsa.header(), &json!({"cty": "JWT"})).to_string();
    let nested = world.rsa.token_of(nested, world.proper());
    found.push(attack("a token within a token", "NotIdToken", nested));

    let header = json!({"alg": "RS256", "kid": world.rsa.kid, "b64": false, "crit": ["b64"]}).to_string();
    let input = format!("{}.{}", base64url(header), world.claims());
    let signature = base64url(world.rsa.sign(input.as_bytes()));
    found.push(attack("a payload that is not encoded", "NotIdToken", format!("{input}.{signature}")));
    found
}

fn shapes(world: &World) -> Vec<Attack> {
    let kid = &world.rsa.kid;
    let claims = world.claims().to_string();
    let mut found = Vec::new();
    for (name, header) in [
        ("an array", r#"["RS256"]"#.to_owned()),
        ("text", r#""RS256""#.to_owned()),
        ("a number", "256".to_owned()),
        ("null", "null".to_owned()),
        ("true", "true".to_owned()),
        ("an empty object", "{}".to_owned()),
        ("not JSON", "alg=RS256".to_owned()),
        ("white space", " ".to_owned()),
        ("cut off", format!(r#"{{"alg":"RS256","kid":"{kid}""#)),
        ("followed by more", format!(r#"{{"alg":"RS256","kid":"{kid}"}}{{}}"#)),
        ("led by a byte order mark", format!("\u{feff}{{\"alg\":\"RS256\",\"kid\":\"{kid}\"}}")),
        ("of two alg, none first", format!(r#"{{"alg":"none","alg":"RS256","kid":"{kid}"}}"#)),
        ("of two alg, none last", format!(r#"{{"alg":"RS256","alg":"none","kid":"{kid}"}}"#)),
        ("of two alg, one escaped", format!(r#"{{"alg":"RS256","al\u0067":"none","kid":"{kid}"}}"#)),
        ("of two kid", format!(r#"{{"alg":"RS256","kid":"second","kid":"{kid}"}}"#)),
        ("of two kid, one escaped", format!(r#"{{"alg":"RS256","kid":"{kid}","\u006bid":"second"}}"#)),
        ("of two typ", format!(r#"{{"alg":"RS256","kid":"{kid}","typ":"JWT","typ":"JWT"}}"#)),
        ("deep", format!(r#"{{"alg":"RS256","kid":"{kid}","x":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000))),
    ] {
        found.push(attack(format!("a header that is {name}"), "NotIdToken", world.rsa.token_of(header, &claims)));
    }
    let latin = [br#"{"alg":"RS256","kid":"first","x":""#.as_slice(), &[0xff], br#""}"#].concat();
    found.push(attack("a header that is not UTF-8", "NotIdToken", world.rsa.token_of(latin, &claims)));
    let empty = format!(".{}", base64url(&claims));
    let signature = base64url(world.rsa.sign(empty.as_bytes()));
    found.push(attack("no header", "NotIdToken", format!("{empty}.{signature}")));
    found
}
