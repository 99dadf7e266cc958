//! The table against itself: every pattern, every shape.

use proptest::prelude::*;

use super::*;

const PATTERNS: [&Pattern; 10] = [
    &DIGITS,
    &REGIONAL_ID,
    &POOL_NAME,
    &DEVELOPER_PROVIDER,
    &PROVIDER_ID,
    &USER_POOL_NAME,
    &WORD,
    &NO_BLANKS,
    &ROLE_KIND,
    &CLAIM,
];

/// Each pattern with the `regex` crate's reading of it: ASCII classes as in Java, unless it asks for Unicode's.
fn oracles() -> Vec<(&'static Pattern, regex::bytes::Regex)> {
    let compile = |pattern: &'static Pattern| {
        let mut builder = regex::bytes::RegexBuilder::new(&format!(r"\A(?:{})\z", pattern.text));
        (pattern, builder.unicode(pattern.text.contains(r"\p")).build().unwrap())
    };
    PATTERNS.into_iter().map(compile).collect()
}

fn assert_agreement(oracles: &[(&Pattern, regex::bytes::Regex)], text: &str) {
    for (pattern, oracle) in oracles {
        assert_eq!((pattern.matches)(text), oracle.is_match(text.as_bytes()), "{} and {text:?}", pattern.text);
    }
}

#[test]
fn every_character_is_judged_as_the_expression_judges_it() {
    let oracles = oracles();
    let mut buffer = [0; 4];
    for character in '\0'..=char::MAX {
        assert_agreement(&oracles, character.encode_utf8(&mut buffer));
    }
}

#[test]
fn ids_and_roles_are_judged_as_the_expression_judges_them() {
    let oracles = oracles();
    for text in [
        "",
        ":",
        "a:",
        ":a",
        "us-east-1:157d6171-ee1b-c968-98c2-0123456789ab",
        "us-east-1:157D6171",
        "us-east-1:15\n",
        "us-east-1:15:15",
        "us east:1",
        "ü:1",
        "authenticated",
        "unauthenticated",
        "ununauthenticated",
        "un",
        "authenticated\n",
        "Authenticated",
        "cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab",
        "custom:größe",
        "a\u{a0}b",
        "a\u{2028}b",
        "a\u{e000}b",
    ] {
        assert_agreement(&oracles, text);
    }
}

#[test]
fn claims_may_be_of_any_script() {
    assert!(is_claim("größe") && is_claim("部署") && is_claim("😀"));
    assert!(!is_claim("a b") && !is_claim("a\u{2028}b") && !is_claim("a\u{7f}") && !is_claim(""));
}

#[test]
fn every_operation_has_an_input() {
    assert_eq!(OPERATIONS.len(), 23);
    assert!(OPERATIONS.iter().all(|operation| input_of(operation).is_some()));
    assert!(input_of("GetID").is_none() && input_of("").is_none());
}

proptest! {
    #[test]
    fn any_text_is_judged_as_the_expression_judges_it(
        text in r"[a-fA-F0-9g_:. ;/+=,@\-\t\n\x0b\u{0c}\r\u{85}\u{a0}äß字😀]{0,12}",
        any_text in any::<String>(),
    ) {
        static ORACLES: LazyLock<Vec<(&'static Pattern, regex::bytes::Regex)>> = LazyLock::new(oracles);
        assert_agreement(&ORACLES, &text);
        assert_agreement(&ORACLES, &any_text);
    }
}

#[test]
fn rates_can_be_set_for_every_operation() {
    assert_eq!(crate::config::OPERATIONS, OPERATIONS);
}
