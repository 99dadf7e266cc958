//! What is fuzzed: everything that reads what a stranger wrote, and for each what must hold of an input that is taken.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings};
use aws_sigv4::sign::v4;
use axum::http::{HeaderName, HeaderValue, Method, Request};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::{Value, json};
use symbolon::ids::{AccessKeyId, AccountId};
use symbolon::seal::{Place, Seal};
use symbolon::sigv4::{Rules, Service, SigningKey, parse};
use symbolon::tokens::session::Session;
use symbolon::upstream::key_set::KeySet;
use symbolon::upstream::token::Token;
use time::OffsetDateTime;

use super::{fuzz, publish};
use crate::broker::MASTER_KEY;
use crate::issuer::minting::{Key, altered};
use crate::stage::NOW;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(NOW).unwrap()
}

/// The head of a request as lines, signed by Amazon's signer.
fn signed_head(more: &[(&str, &str)]) -> Vec<u8> {
    let mut headers = vec![
        ("host", "localhost:4000"),
        ("content-type", "application/x-amz-json-1.1"),
        ("x-amz-target", "AWSCognitoIdentityService.ListIdentityPools"),
    ];
    headers.extend_from_slice(more);
    let identity = Credentials::new("AKIDEXAMPLE", SECRET, None, None, "test").into();
    let at = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.try_into().unwrap());
    let params = v4::SigningParams::builder().identity(&identity).region("us-east-1").name("cognito-identity");
    let params = params.time(at).settings(SigningSettings::default()).build().unwrap().into();
    let body = SignableBody::Bytes(b"{}");
    let signable = SignableRequest::new("POST", "http://localhost/", headers.iter().copied(), body).unwrap();
    let (instructions, _) = aws_sigv4::http_request::sign(signable, &params).unwrap().into_parts();
    let signed = headers.iter().copied().chain(instructions.headers());
    signed.map(|(name, value)| format!("{name}: {value}\n")).collect::<String>().into_bytes()
}

/// Names and values that an HTTP library would hand on, runs of spaces as one.
fn headers_of(text: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let line = |line: &[u8]| {
        let at = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..at]).ok()?;
        let value = HeaderValue::from_bytes(line[at + 1..].trim_ascii()).ok()?;
        Some((name.to_string(), value.as_bytes().to_vec()))
    };
    text.split(|byte| *byte == b'\n').filter(|text| !text.is_empty()).map(line).collect()
}

fn collapsed(value: &[u8]) -> Vec<u8> {
    let words: Vec<_> = value.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).collect();
    words.join(&b' ')
}

#[test]
fn heads_of_signed_requests() {
    let corpus = vec![
        signed_head(&[]),
        signed_head(&[("x-amz-meta-a", "one  two"), ("user-agent", "x")]),
        signed_head(&[("x-b", "c")]),
    ];
    // The signature itself, and what it must not be taken away from.
    let known: Vec<_> = corpus.iter().map(|text| headers_of(text).unwrap()).collect();
    let rules = Rules { services: &[Service::COGNITO_IDENTITY], regions: None };
    let fuzzed = fuzz("heads of signed requests", corpus, move |text| {
        let Some(headers) = headers_of(text) else { return Ok(false) };
        let mut parts = Request::builder().method(Method::POST).uri("/").body(()).unwrap().into_parts().0;
        for (name, value) in &headers {
            let name: HeaderName = name.parse().unwrap();
            parts.headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        let shown = |refusal: symbolon::sigv4::Refusal| {
            let text = refusal.to_string();
            prop_assert!(text.len() < 4_096, "{}", text.len());
            let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            let is_shown = text.as_bytes().windows(16).any(|text| text.iter().all(is_digit));
            prop_assert!(!is_shown, "a signature is shown: {text}");
            Ok(false)
        };
        let presented = match parse(&parts, &rules).and_then(|presented| presented.check_time(now())) {
            Ok(presented) => presented,
            Err(refusal) => return shown(refusal),
        };
        let (date, region) = (presented.date(), presented.region().as_str());
        let key = SigningKey::derive(SECRET.as_bytes(), date, region, presented.service().name);
        if let Err(refusal) = presented.verify(&key, b"{}") {
            return shown(refusal);
        }
        // Taken: then it says what one of the signed ones says, in every header that is signed.
        let authorization = String::from_utf8(parts.headers["authorization"].as_bytes().to_vec()).unwrap();
        let list = authorization.split_once("SignedHeaders=").unwrap().1.split(',').next().unwrap().trim().to_owned();
        let says_the_same = |known: &Vec<(String, Vec<u8>)>| {
            list.split(';').all(|name| {
                let of = |all: &[(String, Vec<u8>)]| -> Vec<Vec<u8>> {
                    all.iter().filter(|(other, _)| other == name).map(|(_, value)| collapsed(value)).collect()
                };
                of(known) == of(&headers)
            })
        };
        prop_assert!(known.iter().any(says_the_same), "{authorization}");
        Ok(true)
    });
    publish("8-fuzzing-1-signatures", "Fuzzing: heads of signed requests", "says what was signed", &fuzzed);
}

#[test]
fn login_tokens() {
    let key = Key::rsa(0, "first", "RS256");
    let claims = json!({"iss": "https://idp.example.com", "sub": "ann", "aud": "app", "iat": NOW, "exp": NOW + 600});
    let more = altered(&claims, &json!({"groups": ["a", "b"], "address": {"country": "x"}, "name": "\u{e9}"}));
    let p256 = Key::p256("second");
    let tokens = [key.token(&claims), key.token(&more), p256.token(&claims)];
    let keys = json!({"keys": [key.jwk(), p256.jwk()]});
    let keys = KeySet::read(keys.as_object().unwrap()).unwrap();
    let known: BTreeSet<_> = tokens.iter().cloned().collect();
    let corpus = tokens.map(String::into_bytes).into();
    let fuzzed = fuzz("login tokens", corpus, move |text| {
        let Ok(text) = std::str::from_utf8(text) else { return Ok(false) };
        let Ok(token) = Token::parse(text) else { return Ok(false) };
        // Another reader would read the same, and there is one text of it only.
        let parts: Vec<_> = text.split('.').collect();
        prop_assert_eq!(parts.len(), 3);
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
        prop_assert_eq!(&claims, &Value::Object(token.claims.clone()));
        prop_assert_eq!(URL_SAFE_NO_PAD.encode(&token.signature), parts[2]);
        prop_assert_eq!(token.message, &text.as_bytes()[..text.len() - parts[2].len() - 1]);
        if keys.verifies(&token) {
            prop_assert!(known.contains(text), "nobody signed this");
        }
        Ok(true)
    });
    publish("8-fuzzing-2-tokens", "Fuzzing: login tokens", "read as by others; verified only if signed", &fuzzed);
}

#[test]
fn key_sets() {
    let (rsa, p256, p384) = (Key::rsa(0, "first", "RS256"), Key::p256("second"), Key::p384("third"));
    let claims = json!({"sub": "ann"});
    let signers = [&rsa, &p256, &p384].map(|key| (key.jwk(), key.token(&claims)));
    let corpus = vec![
        json!({"keys": [rsa.jwk(), p256.jwk(), p384.jwk()]}).to_string().into_bytes(),
        json!({"keys": [rsa.jwk()]}).to_string().into_bytes(),
        json!({"keys": [altered(&p256.jwk(), &json!({"kid": null, "use": "sig", "key_ops": ["verify"]}))]})
            .to_string()
            .into(),
    ];
    let fuzzed = fuzz("key sets", corpus, move |text| {
        let Ok(document) = symbolon::json::object(text) else { return Ok(false) };
        let Ok(keys) = KeySet::read(&document) else { return Ok(false) };
        let listed = document["keys"].as_array().unwrap();
        prop_assert!(listed.len() <= 100);
        prop_assert!(keys.size() <= text.len() * 2 + listed.len() * 512, "{} of {}", keys.size(), text.len());
        for (jwk, token) in &signers {
            let token = Token::parse(token).unwrap();
            // Only the key itself verifies: its numbers are in the document, whatever else is.
            let number = |jwk: &Value| {
                let member = |name: &str| {
                    jwk.get(name).and_then(Value::as_str).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
                };
                let mut numbers = [member("n"), member("e"), member("x"), member("y")].map(Option::unwrap_or_default);
                numbers.iter_mut().take(2).for_each(|bytes| {
                    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
                    bytes.drain(..zeros);
                });
                match jwk.get("kty").and_then(Value::as_str) {
                    Some("RSA") => numbers[..2].to_vec(),
                    _ => numbers[2..].to_vec(),
                }
            };
            if keys.verifies(&token) {
                prop_assert!(listed.iter().any(|other| number(other) == number(jwk)), "another key verifies");
            }
        }
        Ok(true)
    });
    publish("8-fuzzing-3-keys", "Fuzzing: key sets", "verify by the published keys alone", &fuzzed);
}

#[test]
fn bodies() {
    let corpus = [
        json!({}),
        json!({"IdentityPoolName": "first", "AllowUnauthenticatedIdentities": true, "IdentityPoolTags": {"a": "hidden", "b": ""}}),
        json!({"IdentityPoolId": "us-east-1:00000000-0000-4000-8000-000000000000", "Logins": {"p": "hidden", "q": "\u{1f600}"}}),
        json!({"a": [[[[[[[[[[[[[[1]]]]]]]]]]]]]], "n": [0, -1, 1.5, 1e300, u64::MAX, i64::MIN, null, true]}),
    ];
    let mut corpus: Vec<_> = corpus.map(|body| body.to_string().into_bytes()).into();
    // Found so: a reader that is not exact takes it for the float next to it.
    corpus.push(br#"{"x":[1.46744073709551615,1e23]}"#.to_vec());
    let fuzzed = fuzz("bodies", corpus, |text| {
        let read = match symbolon::cognito::json::read(text) {
            Ok(read) => read,
            Err(malformed) => {
                prop_assert!(!malformed.reason().contains("hidden"), "{}", malformed.reason());
                return Ok(false);
            }
        };
        if text.is_empty() {
            return Ok(true);
        }
        // Another reader would read the same, and what is written of it reads as it.
        prop_assert_eq!(&read, &serde_json::from_slice::<Value>(text).unwrap());
        prop_assert_eq!(&read, &symbolon::cognito::json::read(read.to_string().as_bytes()).unwrap());
        Ok(true)
    });
    publish("8-fuzzing-4-bodies", "Fuzzing: bodies", "read as by others, and again as written", &fuzzed);
}

#[test]
fn tokens_that_clients_carry() {
    let seal = Seal::from_text(MASTER_KEY).unwrap();
    let pages: Vec<_> = (0..3).map(|n| seal.seal_token("page", b"question", &vec![b'7'; n * 20]).unwrap()).collect();
    let session = Session::new(&AccountId::parse("123456789012").unwrap(), ("role", "AROA"), "session", now());
    let credentials = session.credentials(&seal, now()).unwrap();
    let id = AccessKeyId::parse(&credentials.access_key_id).unwrap();
    let secret = credentials.secret.expose().to_vec();
    let texts: BTreeSet<String> =
        pages.iter().map(|blob| URL_SAFE_NO_PAD.encode(blob)).chain([credentials.session_token]).collect();
    let corpus = texts.iter().map(|text| text.clone().into_bytes()).collect();
    let fuzzed = fuzz("tokens that clients carry", corpus, move |text| {
        let Ok(text) = std::str::from_utf8(text) else { return Ok(false) };
        let page = URL_SAFE_NO_PAD.decode(text).ok().and_then(|blob| seal.open_token("page", b"question", &blob));
        let session_of = Session::open(&seal, &id, text);
        if let Ok((read, own)) = &session_of {
            prop_assert_eq!(read, &session);
            prop_assert!(own.expose() == secret);
            prop_assert_eq!(STANDARD.encode(STANDARD.decode(text).unwrap()), text);
        }
        let taken = page.is_some() || session_of.is_ok();
        prop_assert!(!taken || texts.contains(text), "nobody gave this one out");
        Ok(taken)
    });
    publish(
        "8-fuzzing-5-pages",
        "Fuzzing: page tokens and session tokens",
        "was given out, letter for letter",
        &fuzzed,
    );
}

#[test]
fn sealed_blobs() {
    let seal = Seal::from_text(MASTER_KEY).unwrap();
    let place = Place { table: "access_keys", column: "secret_sealed", row: "AKIA1", tenant: "123456789012" };
    let corpus: Vec<_> = (0..4).map(|n| seal.seal(place, &vec![b's'; n * 16]).unwrap()).collect();
    let known: BTreeSet<_> = corpus.iter().cloned().collect();
    let fuzzed = fuzz("sealed blobs", corpus, move |blob| {
        let opened = seal.open(place, blob);
        prop_assert_eq!(opened.is_ok(), known.contains(blob));
        Ok(opened.is_ok())
    });
    publish("8-fuzzing-6-sealed", "Fuzzing: sealed blobs", "was sealed, byte for byte", &fuzzed);
}
