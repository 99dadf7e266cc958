//! Bodies that two readers could take differently, or that are too much: refused before anything is done with them.

use std::collections::BTreeSet;

use super::signatures::{KEY, SECRET, Scene};
use super::wire::{Said, Sender, Signer, Wire};
use crate::database::count;
use crate::figures::Figures;

const BAD: (u16, &str) = (400, "SerializationException");
const TOO_LARGE: (u16, &str) = (413, "RequestEntityTooLargeException");
const INVALID: (u16, &str) = (400, "ValidationException");
/// The default of `server.max_body_bytes`.
const LIMIT: usize = 768 * 1024;

/// A body: its name, the answer, and the bytes.
type Attack = (String, (u16, &'static str), Vec<u8>);

/// Members that make a body of any operation here an attack, whatever else is in it.
fn members() -> Vec<(String, Vec<u8>)> {
    let lists = |depth: usize| format!(r#""x":{}{}"#, "[".repeat(depth), "]".repeat(depth));
    let objects = |depth: usize| format!(r#""x":{}1{}"#, r#"{"x":"#.repeat(depth), "}".repeat(depth));
    let mut found = Vec::new();
    let mut add = |name: &str, member: &[u8]| found.push((name.to_owned(), member.to_vec()));
    for depth in [16, 17, 64, 1_000, 100_000] {
        add(&format!("lists {depth} deep"), lists(depth).as_bytes());
        add(&format!("objects {depth} deep"), objects(depth).as_bytes());
    }
    add("lists and objects in turn", format!(r#""x":{}1{}"#, r#"[{"x":"#.repeat(8), "}]".repeat(8)).as_bytes());
    add("lists that are never closed", format!(r#""x":{}"#, "[".repeat(100_000)).as_bytes());
    for (name, member) in [
        ("a member twice", r#""x":1,"x":1"#),
        ("a member twice, once escaped", r#""x":1,"\u0078":2"#),
        ("a member twice, both escaped", r#""\u0078":1,"\u0078":2"#),
        ("a member of no name twice", r#""":1,"":2"#),
        ("a member twice, deep inside", r#""x":[{"y":{"z":1,"z":2}}]"#),
        ("a member twice, one of them null", r#""x":null,"x":1"#),
        ("a name twice beyond ASCII", r#""\u00e9":1,"é":2"#),
        ("a name twice as a pair of surrogates", r#""\ud83d\ude00":1,"😀":2"#),
        ("a high surrogate alone", r#""x":"\ud800""#),
        ("a low surrogate alone", r#""x":"\udc00""#),
        ("surrogates in the wrong order", r#""x":"\ude00\ud83d""#),
        ("a high surrogate and a letter", r#""x":"\ud83dx""#),
        ("a surrogate in a name", r#""\ud800":1"#),
        ("a comma at the end", r#""x":1,"#),
        ("two commas", r#""x":1,,"y":2"#),
        ("no colon", r#""x" 1"#),
        ("a name without quotes", "x:1"),
        ("single quotes", "'x':1"),
        ("a comment", r#""x":1/* */"#),
        ("a comment of a line", "\"x\":1//\n"),
        ("NaN", r#""x":NaN"#),
        ("Infinity", r#""x":-Infinity"#),
        ("undefined", r#""x":undefined"#),
        ("True", r#""x":True"#),
        ("a leading zero", r#""x":01"#),
        ("a leading plus", r#""x":+1"#),
        ("a point at the end", r#""x":1."#),
        ("a point at the start", r#""x":.5"#),
        ("an empty exponent", r#""x":1e"#),
        ("a hexadecimal number", r#""x":0x10"#),
        ("a number beyond any", r#""x":1e999"#),
        ("a negative one beyond any", r#""x":-1e999"#),
        ("an unknown escape", r#""x":"\x41""#),
        ("an escape cut off", r#""x":"\u00""#),
        ("an escape that is not hexadecimal", r#""x":"\u00zz""#),
        ("a text that is never closed", r#""x":"y"#),
        ("a line break in a text", "\"x\":\"a\nb\""),
        ("a tab in a text", "\"x\":\"a\tb\""),
        ("a NUL in a text", "\"x\":\"a\0b\""),
        ("a form feed between", "\"x\":\u{c}1"),
        ("a blank beyond ASCII between", "\"x\":\u{a0}1"),
    ] {
        add(name, member.as_bytes());
    }
    for (name, bytes) in [
        ("a byte that is no UTF-8", b"\xff".as_slice()),
        ("half a character", b"\xc3"),
        ("an overlong quotation mark", b"\xc0\xa2"),
        ("a surrogate in UTF-8", b"\xed\xa0\x80"),
        ("a character beyond the last", b"\xf5\x80\x80\x80"),
    ] {
        add(name, &[b"\"x\":\"", bytes, b"\""].concat());
    }
    found
}

/// Bodies that are not what an operation takes at all. `proper` is one that is, without its last brace.
fn wholes(proper: &str) -> Vec<Attack> {
    let whole = format!("{proper}}}");
    let mut found = Vec::new();
    let mut add = |name: &str, answer, body: Vec<u8>| found.push((name.to_owned(), answer, body));
    for (name, body) in [
        ("a list", "[]".to_owned()),
        ("a list of what is proper", format!("[{whole}]")),
        ("null", "null".to_owned()),
        ("a number", "1".to_owned()),
        ("a text", r#""{}""#.to_owned()),
        ("true", "true".to_owned()),
        ("white space", " \n\t ".to_owned()),
        ("a brace", "{".to_owned()),
        ("no last brace", proper.to_owned()),
        ("a brace more", format!("{whole}}}")),
        ("another object behind it", format!("{whole}{{}}")),
        ("a letter behind it", format!("{whole} x")),
        ("a NUL behind it", format!("{whole}\0")),
        ("a byte order mark before it", format!("\u{feff}{whole}")),
        ("a guard before it", format!(")]}}',\n{whole}")),
        ("a form", "IdentityPoolId=x&Action=GetId".to_owned()),
        ("XML", "<GetId/>".to_owned()),
        ("a type that is not the member's", r#"{"IdentityPoolId":1,"IdentityPoolName":1}"#.to_owned()),
        ("a list for a member", r#"{"IdentityPoolId":[],"IdentityPoolName":[]}"#.to_owned()),
    ] {
        add(name, BAD, body.into_bytes());
    }
    let utf16 = |order: fn(u16) -> [u8; 2]| whole.encode_utf16().flat_map(order).collect();
    add("UTF-16, the low byte first", BAD, utf16(u16::to_le_bytes));
    add("UTF-16, the high byte first", BAD, utf16(u16::to_be_bytes));
    add("CBOR", BAD, b"\xa1\x61x\x01".to_vec());
    add("as many blanks as may be, and no object", BAD, vec![b' '; LIMIT]);
    add("a byte more than may be", TOO_LARGE, vec![b' '; LIMIT + 1]);
    add("a text longer than may be", TOO_LARGE, format!(r#"{proper},"x":"{}"}}"#, "x".repeat(LIMIT)).into_bytes());
    add("lists deeper than may be read", TOO_LARGE, "[".repeat(LIMIT + 1).into_bytes());
    add("two megabytes", TOO_LARGE, vec![b'{'; 2 << 20]);
    found
}

/// The attacks on an operation, and near to each what holds.
fn attacks(proper: &str) -> Vec<Attack> {
    let mut found = wholes(proper);
    for (name, member) in members() {
        let body = [proper.as_bytes(), b",", &member, b"}"].concat();
        found.push((name, BAD, body));
    }
    found
}

/// Bodies that hold: as deep, as long, as odd as may be.
fn holding(proper: &str) -> Vec<String> {
    let mut found = vec![format!("{proper}}}"), format!("\r\n\t {proper} }} \n")];
    found.push(format!(r#"{proper},"x":{}{}}}"#, "[".repeat(15), "]".repeat(15)));
    found.push(format!(r#"{proper},"x":{}1{}}}"#, r#"{"x":"#.repeat(14), "}".repeat(14)));
    found.push(format!(r#"{proper},"x":"\ud83d\ude00","X":-0.5e-7,"\u00e9":null,"y":{{"x":[1,{{"x":1}}]}}}}"#));
    let room = LIMIT - proper.len() - 1;
    found.push(format!("{proper}{}}}", " ".repeat(room)));
    found
}

#[tokio::test]
async fn no_body_that_could_be_read_in_two_ways_is_read_at_all() {
    let scene = Scene::start().await;
    let url = &scene.broker.url;
    let mut sender = Sender::to(url);
    let signed = |body: &[u8]| Signer::new(KEY, SECRET).sign(&Wire::call(url, "CreateIdentityPool", body));
    let unsigned = |body: &[u8]| Wire::call(url, "DescribeIdentityPool", body);
    let made = r#"{"IdentityPoolName":"x","AllowUnauthenticatedIdentities":true"#;
    for body in holding(made) {
        let said = sender.send(&signed(body.as_bytes())).await;
        assert_eq!(said.status, 200, "{said:?}: {}", &body[..body.len().min(200)]);
    }
    let pools = scene.pools().await;
    assert_eq!(pools, i64::try_from(holding(made).len()).unwrap());

    let pool: String = {
        let mut conn = crate::database::connect(&scene.database.url).await;
        let query = "select region || ':' || pool_id::text from identity_pools limit 1";
        sqlx::query_scalar(query).fetch_one(&mut conn).await.unwrap()
    };
    let guest = format!(r#"{{"IdentityPoolId":"{pool}""#);
    let mut wrong = Vec::new();
    let (mut tried, mut accepted) = (BTreeSet::new(), 0);
    let get_id = |body: &[u8]| Wire::call(url, "GetId", body);
    for (path, proper) in [("signed", made), ("open to anyone", guest.as_str())] {
        for (name, expected, body) in attacks(proper) {
            let request = if path == "signed" { signed(&body) } else { get_id(&body) };
            let said = sender.send(&request).await;
            let Said { status, exception, message } = &said;
            if (*status, exception.as_str()) != expected || message.contains(proper) {
                wrong.push(format!("{path}: {name}: {said:?}"));
            }
            accepted += usize::from(*status < 400);
            assert!(tried.insert((path, name)), "two attacks of one name");
        }
    }
    assert!(wrong.is_empty(), "{} of {} went wrong: {wrong:#?}", wrong.len(), tried.len());
    // What nobody signed is not read: how it is garbled makes no difference.
    for (name, (status, _), body) in attacks(made) {
        let said = sender.send(&unsigned(&body)).await;
        let expected = if status == 413 { TOO_LARGE } else { (400, "MissingAuthenticationTokenException") };
        assert_eq!((said.status, said.exception.as_str()), expected, "unsigned: {name}");
    }
    // No member at all is one that is lacking; and an encoding is not undone.
    assert_eq!(sender.send(&get_id(b"")).await.exception, INVALID.1);
    let encoded = get_id(b"\x1f\x8b\x08").header("content-encoding", "gzip");
    assert_eq!(sender.send(&encoded).await.exception, BAD.1);
    let identities = count(&scene.database.url, "select count(*) from identities").await;
    assert_eq!((scene.pools().await, identities), (pools, 0), "nothing came of any");

    let mut figures = Figures::of("8-attacks-9-json", "Bodies that could be read in two ways, or are too much");
    figures.row(
        "Named bodies of a signed and of an open operation, refused each with its exception",
        "all",
        tried.len(),
    );
    figures.row("Of them accepted", "0", accepted);
    figures.row("Pools and identities that came of them", "0", scene.pools().await - pools + identities);
    figures.publish();
}
