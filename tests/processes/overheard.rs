//! No process of a whole test run says a secret that any of them was given or gave out: all are remembered here, and looked
//! for in all that each process said.

use std::collections::BTreeSet;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::figures::Figures;

/// Shorter ones would be found by chance.
const SHORTEST: usize = 12;

/// Members of answers in JSON, and elements of those in XML, that are secrets.
const SECRET: [&str; 6] = ["Token", "SecretKey", "SecretAccessKey", "SessionToken", "NextToken", "access_token"];

static HEARD: LazyLock<Mutex<Heard>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Heard {
    /// Without the padding of base64; of tokens their signatures.
    secrets: BTreeSet<String>,
    tokens: usize,
    processes: usize,
    bytes: usize,
    found: usize,
}

fn heard() -> MutexGuard<'static, Heard> {
    HEARD.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Heard {
    fn remember(&mut self, secret: &str) {
        // What else is in a token is no secret, and might be said.
        let last = secret.rsplit('.').next().unwrap_or_default().trim_end_matches('=');
        if last.len() >= SHORTEST && self.secrets.insert(last.to_owned()) {
            self.tokens += usize::from(secret.matches('.').count() == 2);
        }
    }

    fn is_secret(&self, word: &str) -> bool {
        let word = word.trim_end_matches('=');
        word.len() >= SHORTEST && self.secrets.contains(word)
    }

    /// The first line that has a secret in it.
    fn find(&self, said: &str) -> Option<String> {
        let in_base64 = |byte: char| byte.is_ascii_alphanumeric() || "+/-_=".contains(byte);
        let has_secret = |line: &str| {
            let words = line.split(|byte| !in_base64(byte));
            // In an address a secret stands between what may be part of another.
            words
                .flat_map(|word| [word].into_iter().chain(word.split('=')).chain(word.split('/')))
                .any(|word| self.is_secret(word))
        };
        said.lines().find(|line| has_secret(line)).map(str::to_owned)
    }
}

/// A secret of which no process may say anything from now on.
pub fn remember(secret: &str) {
    heard().remember(secret);
}

/// The secrets of an answer in JSON or XML.
pub fn remember_answer(answer: &str) {
    match serde_json::from_str(answer) {
        Ok(json) => secrets_of(&json, &mut remember),
        Err(_) => secrets_in_elements(answer, &mut remember),
    }
}

fn secrets_of(json: &Value, each: &mut impl FnMut(&str)) {
    match json {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(secret) if SECRET.contains(&name.as_str()) => each(secret),
                    _ => secrets_of(value, each),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| secrets_of(value, each)),
        _ => (),
    }
}

fn secrets_in_elements(xml: &str, each: &mut impl FnMut(&str)) {
    for name in SECRET {
        let start = format!("<{name}>");
        let elements = xml.split(&start).skip(1);
        elements.filter_map(|rest| rest.split_once("</")).for_each(|(secret, _)| each(secret));
    }
}

/// What a process said that has ended, or is about to.
pub fn listen(said: &str) {
    let mut heard = heard();
    heard.processes += 1;
    heard.bytes += said.len();
    let found = heard.find(said);
    heard.found += usize::from(found.is_some());
    let mut figures = Figures::of("10-whole-run", "Secrets in what all processes of the whole run said");
    figures.row("processes that were listened to", "", heard.processes);
    figures.row("KiB that they said", "", heard.bytes >> 10);
    figures.row("signed tokens searched for, of all that clients were given", "", heard.tokens);
    figures.row(
        "other secrets: of access keys, temporary credentials, page tokens, master keys",
        "",
        heard.secrets.len() - heard.tokens,
    );
    figures.row("processes that said one", "0", heard.found);
    figures.keep();
    drop(heard);
    // A test that fails already has said why.
    assert!(found.is_none() || std::thread::panicking(), "a secret was said: {found:?}");
}

#[test]
fn a_secret_that_was_said_is_heard() {
    let mut heard = Heard::default();
    let (token, secret) =
        ("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLW9m-YS10b2tlbg", "wJalrXUtnFEMI/K7MDENG+bPxRfiCY==");
    heard.remember(token);
    heard.remember(secret);
    heard.remember("test");
    assert_eq!(heard.tokens, 1);
    for said in [
        format!("first\n{{\"message\":\"a token\",\"token\":\"{token}\"}}\nlast"),
        format!("Bearer {token}"),
        format!("{{\"secret\":\"{secret}\"}}"),
        format!("https://example.com/?key={}&more=1", secret.trim_end_matches('=')),
    ] {
        assert!(heard.find(&said).is_some(), "{said}");
    }
    assert_eq!(heard.find("test eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0 wJalrXUtnFEMI/K7MDENG+bPxRfiC"), None);
}

#[test]
fn the_secrets_of_an_answer_are_found_in_json_and_in_xml() {
    let json = serde_json::json!({ "Credentials": { "AccessKeyId": "ASIA", "SecretKey": "one" }, "NextToken": "two" });
    let xml = "<Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>one</SecretAccessKey>\
               <SessionToken>two</SessionToken></Credentials>";
    let (mut of_json, mut of_xml) = (Vec::new(), Vec::new());
    secrets_of(&json, &mut |secret| of_json.push(secret.to_owned()));
    secrets_in_elements(xml, &mut |secret| of_xml.push(secret.to_owned()));
    assert_eq!(of_json, ["one", "two"]);
    assert_eq!(of_xml, ["one", "two"]);
}
