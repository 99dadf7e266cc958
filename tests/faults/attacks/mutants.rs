//! Signed requests with one thing changed, thousands of them by a seed that a failing run names: none is let through.
//!
//! A mutant never means the same as what was signed: no change of a header name's case, of the order of headers, or of
//! runs of spaces that the canonical form takes for one.

#![expect(clippy::unnecessary_wraps, reason = "some mutations always have room")]

use std::collections::BTreeMap;

use super::signatures::{KEY, SECRET, Scene};
use super::wire::{Sender, Signer, Wire};
use crate::dice::{Dice, new_seed};
use crate::figures::{Figures, size};

/// The seed of every short run; a whole one has a new one.
const SEED: u64 = 0x5359_4d42_4f4c_4f4e;

const INCOMPLETE: &str = "IncompleteSignatureException";
const INVALID: &str = "InvalidSignatureException";
const UNKNOWN: &str = "UnrecognizedClientException";
const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// One thing changed, and the exceptions that may be said of it.
type Mutant = (Wire, &'static [&'static str]);
type Mutation = fn(&mut Dice, &Wire, &Wire) -> Option<Mutant>;

/// Each gives nothing if the request has no room for it, or if what came out would mean the same.
const MUTATIONS: &[(&str, Mutation)] = &[
    ("a byte of a header", a_byte_of_a_header),
    ("a byte of the Authorization header", a_byte_of_the_authorization),
    ("a byte of the body", a_byte_of_the_body),
    ("the body", the_body),
    ("a header dropped", a_header_dropped),
    ("a header doubled", a_header_doubled),
    ("a header renamed", a_header_renamed),
    ("a header added", a_header_added),
    ("two values exchanged", two_values_exchanged),
    ("the case of a value", the_case_of_a_value),
    ("white space in a value", white_space_in_a_value),
    ("the list of signed headers", the_list),
    ("the scope", the_scope),
    ("the date", the_date),
    ("the signature", the_signature),
    ("another request's signature", transplanted),
    ("another secret", another_secret),
    ("another operation", another_operation),
];

fn letter(dice: &mut Dice) -> u8 {
    *dice.pick(ALPHABET)
}

/// The headers that are signed and that nothing but the verifier reads.
fn free(request: &Wire) -> Vec<usize> {
    let is_free = |name: &str| name.starts_with("x-amz-meta-") || name == "host" || name == "x-note";
    (0..request.headers.len()).filter(|at| is_free(&request.headers[*at].0)).collect()
}

/// Another text by one byte replaced, put in or taken out, none of them a space.
fn another(dice: &mut Dice, text: &[u8]) -> Option<Vec<u8>> {
    let at: Vec<usize> = (0..text.len()).filter(|at| text[*at] != b' ').collect();
    if at.is_empty() {
        return None;
    }
    let (at, letter, mut text) = (*dice.pick(&at), letter(dice), text.to_vec());
    match dice.below(3) {
        0 if text[at] == letter => return None,
        0 => text[at] = letter,
        1 => text.insert(at, letter),
        _ => drop(text.remove(at)),
    }
    Some(text)
}

fn a_byte_of_a_header(dice: &mut Dice, request: &Wire, _: &Wire) -> Option<Mutant> {
    let at = *dice.pick(&free(request));
    let mut request = request.clone();
    request.headers[at].1 = another(dice, &request.headers[at].1)?;
    Some((request, &[INVALID]))
}

fn a_byte_of_the_authorization(dice: &mut Dice, request: &Wire, _: &Wire) -> Option<Mutant> {
    let value = another(dice, request.value("authorization").as_bytes())?;
    // Without a comma between them, two parameters are one.
    Some((request.clone().set("authorization", value), &[INCOMPLETE, INVALID, UNKNOWN]))
}

fn a_byte_of_the_body(dice: &mut Dice, request: &Wire, _: &Wire) -> Option<Mutant> {
    let mut body = request.body.clone();
    let at = dice.below(body.len());
    let bit = 1 << dice.below(8);
    match dice.below(3) {
        0 => body[at] ^= bit,
        1 => body.insert(at, bit),
        _ => drop(body.remove(at)),
    }
    Some((Wire { body, ..request.clone() }, &[INVALID]))
}

fn the_body(dice: &mut Dice, request: &Wire, other: &Wire) -> Option<Mutant> {
    let mut body = request.body.clone();
    match dice.below(5) {
        0 => body.truncate(dice.below(body.len())),
        1 => drop(body.drain(..=dice.below(body.len()))),
        2 => body.extend((0..=dice.below(64)).map(|_| letter(dice))),
        3 => body.clone_from(&other.body),
        _ => {
            let (one, two) = (dice.below(body.len()), dice.below(body.len()));
            body.swap(one, two);
        }
    }
    (body != request.body).then(|| (Wire { body, ..request.clone() }, [INVALID].as_slice()))
}

fn a_header_dropped(dice: &mut Dice, request: &Wire, _: &Wire) -> Option<Mutant> {
    let mut request = request.clone();
    let (name, _) = request.headers.remove(dice.below(request.headers.len()));
    Some((
        request,
        match name.as_str() {
            "authorization" => &["MissingAuthenticationTokenException"],
            "x-amz-date" => &[INCOMPLETE],
            "x-amz-target" | "content-type" => &["UnknownOperationException"],
            _ => &[INVALID],
        },
    ))
}

fn a_header_doubled(dice: &mut Dice, request: &Wire, _: &Wire) -> Option<Mutant> {
    let (name, value) = request.headers[dice.below(request.headers.len())].clone();
    let value = if dice.chance(50) { another(dice, &value)? } else { value };
    let mut doubled = request.clone();
    doubled.headers.insert(dice.below(request.headers.len() + 1), (name.clone(), value));
    let is_routed = ["x-amz-target", "content-type"].contains(&name.as_str());
    Some((doubled, if is_routed { &["UnknownOperationException"] } else { &[INVALID] }))
}

/// In the request, or in the list, or in both.
fn a_header_renamed(dice: &mut Dice, request: &Wire, _: &Wire) -> Option<Mutant> {
    let at = *dice.pick(&free(request));
    let old = request.headers[at].0.clone();
    let new = format!("{old}{}", char::from(letter(dice)).to_ascii_lowercase());
    let mut renamed = request.clone();
    let which = dice.below(3);
    if which != 1 {
        renamed.headers[at].0.clone_from(&new);
    }
    if which != 0 {
        let list = request.signed_headers();
        let names: Vec<_> = list.split(';').map(|name| if name == old { new.as_str() } else { name }).collect();
        renamed = renamed.reauthorized(&list, &names.join(";"));
    }
    Some((renamed, &[INVALID]))
}

fn a_header_added(dice: &mut Dice, request: &Wire, _: &Wire) -> Option<Mutant> {
    let name = format!("x-amz-{}{}", char::from(letter(dice)).to_ascii_lowercase(), dice.below(1_000));
    let mut added = request.clone().header(&name, [letter(dice)]);
    if dice.chance(50) {
        let list = request.signed_headers();
        let mut names: Vec<_> = list.split(';').chain([name.as_str()]).collect();
        names.sort_unstable();
        added = added.reauthorized(&list, &names.join(";"));
    }
    Some((added, &[INVALID]))
}

fn two_values_exchanged(dice: &mut Dice, request: &Wire, _: &Wire) -> Option<Mutant> {
    let free = free(request);
    let (one, two) = (*dice.pick(&free), *dice.pick(&free));
    let mut exchanged = request.clone();
    exchanged.headers[one].1.clone_from(&request.headers[two].1);
    exchanged.headers[two].1.clone_from(&request.headers[one].1);
    (exchanged != *request).then_some((exchanged, [INVALID].as_slice()))
}

fn the_case_of_a_value(dice: &mut Dice, request: &Wire, _: &Wire) -> Option<Mutant> {
    let at = dice.below(request.headers.len());
    let mut turned = request.clone();
    let (name, value) = &mut turned.headers[at];
    let expected: &[_] = match name.as_str() {
        "x-amz-date" => &[INCOMPLETE],
        "x-amz-target" => &["UnknownOperationException"],
        "authorization" => &[INCOMPLETE, INVALID, UNKNOWN],
        _ => &[INVALID],
    };
    let letters: Vec<usize> = (0..value.len()).filter(|at| value[*at].is_ascii_alphabetic()).collect();
    if letters.is_empty() {
        return None;
    }
    value[*dice.pick(&letters)] ^= 0x20;
    Some((turned, expected))
}

/// Where no space is next to it: runs of spaces are as one, and those around a value are none.
fn white_space_in_a_value(dice: &mut Dice, request: &Wire, _: &Wire) -> Option<Mutant> {
    let at = *dice.pick(&free(request));
    let mut spaced = request.clone();
    let value = &mut spaced.headers[at].1;
    let between = |at: &usize| value[at - 1] != b' ' && value[*at] != b' ';
    let places: Vec<usize> = (1..value.len()).filter(between).collect();
    if places.is_empty() {
        return None;
    }
    value.insert(*dice.pick(&places), *dice.pick(b" \t"));
    Some((spaced, &[INVALID]))
}

fn the_list(dice: &mut Dice, request: &Wire, _: &Wire) -> Option<Mutant> {
    let list = request.signed_headers();
    let mut names: Vec<String> = list.split(';').map(str::to_owned).collect();
    let (one, two) = (dice.below(names.len()), dice.below(names.len()));
    match dice.below(5) {
        0 => names.swap(one, two),
        1 => drop(names.remove(one)),
        2 => names.insert(two, names[one].clone()),
        3 => names[one].make_ascii_uppercase(),
        _ => names.insert(one, format!("x-{}", dice.below(1_000))),
    }
    let changed = names.join(";");
    (changed != list).then(|| (request.clone().reauthorized(&list, &changed), [INVALID].as_slice()))
}

fn the_scope(dice: &mut Dice, request: &Wire, _: &Wire) -> Option<Mutant> {
    let authorization = request.value("authorization");
    let scope = authorization.split_once("Credential=").unwrap().1.split(',').next().unwrap();
    let mut elements: Vec<String> = scope.split('/').map(str::to_owned).collect();
    let at = dice.below(elements.len() - 1) + 1;
    let expected: &[_] = match dice.below(4) {
        0 => {
            elements[at] =
                (*dice.pick(&["20260101", "eu-west-1", "sts", "iam", "aws4_request", "us-east-2", ""])).into();
            &[INVALID]
        }
        1 => {
            let letter = char::from(letter(dice));
            elements[at].push(letter);
            &[INVALID]
        }
        2 => {
            elements.remove(at);
            &[INCOMPLETE]
        }
        _ => {
            elements.insert(at, (*dice.pick(&["x", "us-east-1", ""])).into());
            &[INCOMPLETE]
        }
    };
    let changed = elements.join("/");
    (changed != scope).then(|| (request.clone().reauthorized(scope, &changed), expected))
}

/// Moved by seconds that are within the window or far out of it, with the day of the scope.
fn the_date(dice: &mut Dice, request: &Wire, _: &Wire) -> Option<Mutant> {
    let off = i64::try_from(dice.below(240)).unwrap() - 120;
    let off = if dice.chance(25) { off * 1_000 } else { off };
    let (wanted, date) = (Signer { off, ..Signer::new(KEY, SECRET) }, request.value("x-amz-date"));
    let moved = wanted.sign(&Wire::call("http://localhost", "ListIdentityPools", "{}")).value("x-amz-date");
    let days = (format!("/{}/", &date[..8]), format!("/{}/", &moved[..8]));
    (moved != date)
        .then(|| (request.clone().set("x-amz-date", &moved).reauthorized(&days.0, &days.1), [INVALID].as_slice()))
}

fn the_signature(dice: &mut Dice, request: &Wire, _: &Wire) -> Option<Mutant> {
    let signature = request.signature();
    let mut digits = signature.clone().into_bytes();
    let (one, two) = (dice.below(64), dice.below(64));
    match dice.below(4) {
        0 => digits[one] = *dice.pick(b"0123456789abcdef"),
        1 => digits.swap(one, two),
        2 => digits.rotate_left(one),
        _ => digits[one..].fill(b'0'),
    }
    let changed = String::from_utf8(digits).unwrap();
    (changed != signature).then(|| (request.clone().reauthorized(&signature, &changed), [INVALID].as_slice()))
}

fn transplanted(dice: &mut Dice, request: &Wire, other: &Wire) -> Option<Mutant> {
    let changed = if dice.chance(50) {
        request.clone().set("authorization", other.value("authorization"))
    } else {
        request.clone().reauthorized(&request.signature(), &other.signature())
    };
    // The list of another request may name what is not here; that of this one fits it, and the signature does not.
    (request.signature() != other.signature()).then_some((changed, [INVALID].as_slice()))
}

fn another_secret(dice: &mut Dice, request: &Wire, _: &Wire) -> Option<Mutant> {
    let secret = String::from_utf8(another(dice, SECRET.as_bytes())?).unwrap();
    let bare = request.clone().without("authorization").without("x-amz-date");
    Some((Signer::new(KEY, &secret).sign(&bare), &[INVALID]))
}

fn another_operation(dice: &mut Dice, request: &Wire, _: &Wire) -> Option<Mutant> {
    const OTHERS: [&str; 6] = [
        "ListIdentityPools",
        "DeleteIdentityPool",
        "DescribeIdentityPool",
        "UpdateIdentityPool",
        "GetOpenIdTokenForDeveloperIdentity",
        "DeleteIdentities",
    ];
    let other = *dice.pick(&OTHERS);
    Some((request.clone().replaced("x-amz-target", "CreateIdentityPool", other), &[INVALID]))
}

/// Signed requests of several forms: with more headers, with longer bodies, with a declared hash.
fn originals(scene: &Scene) -> Vec<Wire> {
    let signer = Signer::new(KEY, SECRET);
    let plain = |name: &str| scene.unsigned(name);
    let with_headers = plain("headers").header("x-amz-meta-other", "three  four").header("x-note", "a, b; c=d");
    let tags: String = (0..20).map(|n| format!(r#","tag-{n}":"value {n}""#)).collect();
    let mut long = plain("long");
    let body =
        String::from_utf8(long.body).unwrap().replace('}', &format!(r#","IdentityPoolTags":{{{}}}}}"#, &tags[1..]));
    long.body = body.into_bytes();
    [plain("plain"), with_headers, long].iter().map(|request| signer.sign(request)).collect()
}

#[tokio::test]
async fn no_mutant_of_a_signed_request_is_accepted() {
    let scene = Scene::start().await;
    let seed = size(SEED, new_seed());
    let mut dice = Dice::of(seed);
    let mut sender = Sender::to(&scene.broker.url);
    let (wanted, mut sent) = (size(200, 10_000), 0_usize);
    let (mut kinds, mut refusals) = (BTreeMap::new(), BTreeMap::new());
    let (mut accepted, mut originals_sent) = (0, 0);
    let mut wrong = Vec::new();
    while sent < wanted {
        // Anew now and then: a signature is good for five minutes, and what is tried must be good but for one thing.
        let originals = originals(&scene);
        for original in &originals {
            let said = sender.send(original).await;
            assert_eq!(said.status, 200, "seed {seed}: an original is refused: {said:?}");
            originals_sent += 1;
        }
        for _ in 0..500.min(wanted - sent) {
            let (request, other) = (dice.pick(&originals), dice.pick(&originals));
            let (kind, mutate) = dice.pick(MUTATIONS);
            let Some((mutant, expected)) = mutate(&mut dice, request, other) else { continue };
            assert!(mutant != *request, "seed {seed}: {kind}: no mutant");
            let said = sender.send(&mutant).await;
            sent += 1;
            accepted += usize::from(said.status < 400);
            if !expected.contains(&said.exception.as_str()) || !(400..=404).contains(&said.status) {
                wrong.push(format!("{kind}: {said:?}: {}", String::from_utf8_lossy(&mutant.bytes())));
            }
            *kinds.entry(*kind).or_insert(0_usize) += 1;
            *refusals.entry(said.exception).or_insert(0_usize) += 1;
        }
    }
    assert!(wrong.is_empty(), "seed {seed}: {} of {sent} went wrong:\n{}", wrong.len(), wrong.join("\n\n"));
    assert_eq!(accepted, 0, "seed {seed}");
    assert_eq!(kinds.len(), MUTATIONS.len(), "seed {seed}: {kinds:?}");
    assert_eq!(scene.pools().await, originals_sent, "seed {seed}: pools that nobody signed for");

    let mut figures = Figures::of("8-attacks-2-mutants", "Mutants of signed requests");
    figures.row(&format!("Mutants of {} kinds, seed {seed}", kinds.len()), "≥ 5 000 in the whole form", sent);
    figures.row("Of them accepted", "0", accepted);
    for (exception, count) in refusals {
        figures.row(&format!("Refused with {exception}"), "the exception of its kind", count);
    }
    figures.publish();
}
