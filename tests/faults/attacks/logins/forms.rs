//! Attacks on the form: parts, their encoding, and the JSON within. Each is properly signed where that can be.

use serde_json::json;

use super::{Attack, VICTIM, World, attack};
use crate::issuer::minting::{altered, base64url};
use crate::stage::CLIENT;

pub(super) fn attacks(world: &World) -> Vec<Attack> {
    let parts = [parts(world), encodings(world)].into_iter().flatten();
    let texts = [texts(world), payloads(world), doubles(world)].into_iter().flatten();
    parts.chain(texts).map(|(name, token)| attack(name, "NotIdToken", token)).collect()
}

fn parts(world: &World) -> Vec<(String, String)> {
    let token = world.proper();
    let [header, payload, signature] = three(&token);
    let claims = world.claims().to_string();
    let named = |name: &str, token: String| (name.to_owned(), token);
    vec![
        named("one part", header.clone()),
        named("two parts", format!("{header}.{payload}")),
        named("four parts", format!("{token}.{signature}")),
        named("four parts, the last empty", format!("{token}.")),
        named("four parts, the first empty", format!(".{token}")),
        named("five parts, as of a JWE", format!("{header}.{payload}.{signature}.{payload}.{signature}")),
        named("six parts", format!("{token}.{token}")),
        named("a thousand parts", format!("{token}{}", ".e30".repeat(997))),
        named("no payload", format!("{header}..{signature}")),
        named("dots alone", "..".to_owned()),
        named("a dot", ".".to_owned()),
        named("a word", "undefined".to_owned()),
        named("null", "null".to_owned()),
        named("the claims themselves", claims.clone()),
        named(
            "the JSON serialization",
            json!({"payload": payload, "signatures": [{"protected": header, "signature": signature}]}).to_string(),
        ),
        named(
            "the flattened JSON serialization",
            json!({"payload": payload, "protected": header, "signature": signature}).to_string(),
        ),
        named("an empty payload", world.reading("")),
        named("an assertion of SAML", "PHNhbWxwOlJlc3BvbnNlPjwvc2FtbHA6UmVzcG9uc2U+".to_owned()),
    ]
}

fn encodings(world: &World) -> Vec<(String, String)> {
    // One whose signature is another in plain base64, as nearly all are.
    let is_of_urls = |token: &String| token.rsplit('.').next().unwrap().contains(['-', '_']);
    let token = (0..100).map(|number| world.with(&json!({"number": number}))).find(is_of_urls).unwrap();
    let [header, payload, signature] = three(&token);
    let mut found = Vec::new();
    let mut add = |name: &str, token: String| found.push((name.to_owned(), token));
    add("a signature with padding", format!("{token}=="));
    add("a signature with a little padding", format!("{token}="));
    add("a header with padding", signed_text(world, &format!("{header}="), &payload));
    let text = (0..3).map(|n| format!("{}{}", world.claims(), " ".repeat(n))).find(|text| text.len() % 3 == 1).unwrap();
    add("a payload with padding", signed_text(world, &header, &format!("{}==", base64url(text))));
    add("a payload with too much padding", signed_text(world, &header, &format!("{payload}====")));
    let standard = signature.replace('-', "+").replace('_', "/");
    assert_ne!(standard, signature);
    add("a signature in the alphabet of plain base64", format!("{header}.{payload}.{standard}"));
    let odd = base64url(altered(&world.claims(), &json!({"name": "???>>>~~~???>>>~~~"})).to_string());
    let standard = odd.replace('-', "+").replace('_', "/");
    assert_ne!(standard, odd);
    add("a payload in the alphabet of plain base64", signed_text(world, &header, &standard));
    for (name, space) in [
        ("a space", " "),
        ("a tab", "\t"),
        ("a line break", "\n"),
        ("a carriage return", "\r\n"),
        ("a NUL", "\0"),
        ("a no-break space", "\u{a0}"),
        ("a byte order mark", "\u{feff}"),
        ("a zero-width space", "\u{200b}"),
    ] {
        add(&format!("{name} before"), format!("{space}{token}"));
        add(&format!("{name} after"), format!("{token}{space}"));
        add(&format!("{name} within the payload"), signed_text(world, &header, &split(&payload, space)));
        add(&format!("{name} within the signature"), format!("{header}.{payload}.{}", split(&signature, space)));
    }
    add("Bearer before", format!("Bearer {token}"));
    add("quotes around", format!("\"{token}\""));
    add("dots of full width", token.replace('.', "\u{ff0e}"));
    add("dots in percent encoding", token.replace('.', "%2E"));
    add("an ellipsis", format!("{header}.{payload}\u{2026}{signature}"));
    add("a letter of full width", signed_text(world, &header, &payload.replacen('e', "\u{ff45}", 1)));
    add("a signature in hexadecimal, of odd length", format!("{header}.{payload}.{}", "abcde"));
    // 256 bytes leave four bits of the last letter that say nothing, and must be zero (RFC 4648 section 3.5).
    add("loose bits in the signature", format!("{header}.{payload}.{}", loose(&signature)));
    let text = (0..3).map(|n| format!("{}{}", world.claims(), " ".repeat(n))).find(|text| text.len() % 3 == 1).unwrap();
    add("loose bits in the payload", signed_text(world, &header, &loose(&base64url(text))));
    let text = (0..3).map(|n| format!("{}{}", world.rsa.header(), " ".repeat(n))).find(|text| text.len() % 3 == 1);
    add("loose bits in the header", signed_text(world, &loose(&base64url(text.unwrap())), &payload));
    found
}

/// Payloads that some parser somewhere takes for JSON.
fn texts(world: &World) -> Vec<(String, String)> {
    let iss = world.iss();
    let now = world.now;
    let rest = format!(r#""iss":"{iss}","aud":"{CLIENT}","iat":{now},"exp":{}"#, now + 600);
    let sub = format!(r#""sub":"{VICTIM}""#);
    let mut found = Vec::new();
    for (name, payload) in [
        ("an array", format!("[{{{rest},{sub}}}]")),
        ("text", r#""claims""#.to_owned()),
        ("a number", "1".to_owned()),
        ("null", "null".to_owned()),
        ("white space", "  ".to_owned()),
        ("a form", format!("sub={VICTIM}&iss={iss}")),
        ("cut off", format!("{{{rest},{sub}")),
        ("followed by a letter", format!("{{{rest},{sub}}}x")),
        ("followed by another object", format!("{{{rest},{sub}}}{{}}")),
        ("followed by a NUL", format!("{{{rest},{sub}}}\0")),
        ("led by a byte order mark", format!("\u{feff}{{{rest},{sub}}}")),
        ("of a comma too many", format!("{{{rest},{sub},}}")),
        ("of a comment", format!("{{{rest},{sub}/* admin */}}")),
        ("of a comment to the end of the line", format!("{{{rest},// admin\n{sub}}}")),
        ("of single quotes", format!("{{{rest},'sub':'{VICTIM}'}}")),
        ("of names without quotes", format!("{{{rest},sub:\"{VICTIM}\"}}")),
        ("of NaN", format!("{{{rest},{sub},\"auth_time\":NaN}}")),
        ("of Infinity", format!("{{{rest},{sub},\"auth_time\":Infinity}}")),
        ("of a hexadecimal number", format!("{{{rest},{sub},\"auth_time\":0x10}}")),
        ("of a leading zero", format!("{{{rest},{sub},\"auth_time\":01}}")),
        ("of a leading plus", format!("{{{rest},{sub},\"auth_time\":+1}}")),
        ("of a number that begins with its point", format!("{{{rest},{sub},\"auth_time\":.5}}")),
        ("of a line break in text", format!("{{{rest},\"sub\":\"{VICTIM}\n\"}}")),
        ("of half a character", format!("{{{rest},\"sub\":\"{VICTIM}\\ud800\"}}")),
        ("of an unknown escape", format!("{{{rest},\"sub\":\"{VICTIM}\\x41\"}}")),
        ("deep in arrays", format!("{{{rest},{sub},\"x\":{}{}}}", "[".repeat(12_000), "]".repeat(12_000))),
        ("deep in objects", format!("{{{rest},{sub},\"x\":{}1{}}}", "{\"x\":".repeat(5_000), "}".repeat(5_000))),
        ("deep and never closed", format!("{{{rest},{sub},\"x\":{}", "[".repeat(30_000))),
    ] {
        found.push((format!("claims that are {name}"), world.reading(payload)));
    }
    found
}

/// Payloads that are no text at all.
fn payloads(world: &World) -> Vec<(String, String)> {
    let now = world.now;
    let before = format!(r#"{{"iss":"{}","aud":"{CLIENT}","iat":{now},"exp":{},"sub":""#, world.iss(), now + 600);
    let wrapped = |bytes: &[u8]| [before.as_bytes(), bytes, b"\"}"].concat();
    let utf16: Vec<u8> = world.claims().to_string().encode_utf16().flat_map(u16::to_be_bytes).collect();
    [
        ("Latin-1", wrapped(b"victim-5b1f\xe9")),
        ("an overlong NUL", wrapped(b"victim-5b1f\xc0\x80")),
        ("an overlong quotation mark", wrapped(b"victim-5b1f\xc0\xa2")),
        ("half a character in UTF-8", wrapped(b"victim-5b1f\xed\xa0\x80")),
        ("a character cut off", wrapped(b"victim-5b1f\xf0\x9f\x98")),
        ("UTF-16", utf16),
        ("CBOR", b"\xa1\x63sub\x6bvictim-5b1f".to_vec()),
    ]
    .into_iter()
    .map(|(name, payload)| (format!("claims in {name}"), world.reading(payload)))
    .collect()
}

/// Names that are there twice: two readers need not read the same one.
fn doubles(world: &World) -> Vec<(String, String)> {
    let now = world.now;
    let claims = world.claims().to_string();
    let open = claims.strip_suffix('}').unwrap();
    [
        ("sub", r#""sub":"another""#.to_owned()),
        ("sub, escaped", r#""s\u0075b":"another""#.to_owned()),
        ("sub, escaped whole", r#""\u0073\u0075\u0062":"another""#.to_owned()),
        ("sub, the same", format!(r#""sub":"{VICTIM}""#)),
        ("aud", format!(r#""aud":"{CLIENT}""#)),
        ("aud, escaped", r#""\u0061ud":"another-client""#.to_owned()),
        ("iss", format!(r#""iss":"{}""#, world.attacker.url())),
        ("iss, escaped", format!(r#""is\u0073":"{}""#, world.attacker.url())),
        ("exp", format!(r#""exp":{}"#, now + 900)),
        ("exp, escaped", format!(r#""\u0065xp":{}"#, now + 900)),
        ("iat", format!(r#""iat":{now}"#)),
        ("email", r#""email":"a@example.com","email":"b@example.com""#.to_owned()),
        ("a name within a claim", r#""address":{"country":"a","country":"b"}"#.to_owned()),
        ("a name within an array", r#""groups":[{"id":1,"id":2}]"#.to_owned()),
    ]
    .into_iter()
    .map(|(name, member)| (format!("claims with two of {name}"), world.reading(format!("{open},{member}}}"))))
    .collect()
}

fn three(token: &str) -> [String; 3] {
    let parts: Vec<_> = token.split('.').map(str::to_owned).collect();
    parts.try_into().unwrap()
}

/// A token of these two parts as they are, signed.
fn signed_text(world: &World, header: &str, payload: &str) -> String {
    let input = format!("{header}.{payload}");
    let signature = base64url(world.rsa.sign(input.as_bytes()));
    format!("{input}.{signature}")
}

fn split(part: &str, space: &str) -> String {
    let (head, tail) = part.split_at(8);
    format!("{head}{space}{tail}")
}

/// The same bytes to a lenient decoder: the last letter is the next in the alphabet, in bits that are cut off.
fn loose(part: &str) -> String {
    let last = part.chars().last().unwrap();
    let next = match last {
        'A' => 'B',
        'Q' => 'R',
        'g' => 'h',
        'w' => 'x',
        other => panic!("{other} leaves no loose bits"),
    };
    format!("{}{next}", &part[..part.len() - 1])
}
