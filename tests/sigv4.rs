//! SigV4 verification against two independent oracles: Amazon's signer and Amazon's published vectors.
//!
//! The vectors are read from the source of the `aws-sigv4` crate. Through the whole verifier go those that are a `POST`
//! to `/` without a query: the only requests the broker admits. All others (`GET`, other paths, queries, presigned
//! forms) are asserted to be refused by `parse`. Their header canonicalisation, string to sign and signature are checked
//! nevertheless, with the first three lines of the canonical request taken from the vector; so what is out of scope is
//! the canonicalisation of paths and queries, the presigned form, `SigV4a`, and the two vectors that come without a
//! context (`double-encode-path`, `double-url-encode`), of which only the refusal is checked.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers panic as its tests do")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_lc_rs::digest::{self, Digest};
use aws_sigv4::http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings};
use aws_sigv4::sign::v4;
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use proptest::prelude::*;
use symbolon::ids::Region;
use symbolon::sigv4::{Refusal, Rules, Service, SigningKey, parse, request_hash};
use time::OffsetDateTime;
use time::macros::datetime;

const KEY_ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const NOW: OffsetDateTime = datetime!(2026-03-04 05:06:07 UTC);
const TARGET: &str = "AWSCognitoIdentityService.ListIdentityPools";

const COGNITO: Rules<'static> = Rules { services: &[Service::COGNITO_IDENTITY], regions: None };
const QUERY_APIS: Rules<'static> = Rules { services: &[Service::STS, Service::IAM], regions: None };

// ── the two sides ──

/// What a broker with one access key would say.
fn check(parts: &Parts, body: &[u8], rules: &Rules<'_>, now: OffsetDateTime) -> Result<(), Refusal> {
    let presented = parse(parts, rules)?.check_time(now)?;
    // The key's id is not under the signature: it is bound by being what the secret is looked up with.
    if presented.access_key_id() != KEY_ID {
        return Err(presented.refuse_unknown_key(body));
    }
    let (date, region, service) = (presented.date(), presented.region().as_str(), presented.service().name);
    presented.verify(&SigningKey::derive(SECRET.as_bytes(), date, region, service), body)
}

struct Signer<'a> {
    at: OffsetDateTime,
    region: &'a str,
    service: &'a str,
    token: Option<&'a str>,
    settings: SigningSettings,
}

impl Signer<'_> {
    fn new() -> Self {
        let settings = SigningSettings::default();
        Self { at: NOW, region: "us-east-1", service: "cognito-identity", token: None, settings }
    }

    /// Lets Amazon's own code sign.
    fn sign(self, mut request: Request<Vec<u8>>) -> (Parts, Vec<u8>) {
        let identity = Credentials::new(KEY_ID, SECRET, self.token.map(str::to_owned), None, "test").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(SystemTime::UNIX_EPOCH + Duration::from_secs(self.at.unix_timestamp().try_into().unwrap()))
            .settings(self.settings)
            .build()
            .unwrap();
        let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
        let body = SignableBody::Bytes(request.body());
        let signable = SignableRequest::new("POST", "http://localhost/", headers, body).unwrap();
        let (instructions, _) = aws_sigv4::http_request::sign(signable, &params.into()).unwrap().into_parts();
        instructions.apply_to_request_http1x(&mut request);
        request.into_parts()
    }
}

fn request(headers: &[(&str, &str)], body: &[u8]) -> Request<Vec<u8>> {
    let mut request = Request::builder().method(Method::POST).uri("/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.to_vec()).unwrap()
}

fn cognito_request() -> Request<Vec<u8>> {
    let headers = [
        ("host", "localhost:4000"),
        ("content-type", "application/x-amz-json-1.1"),
        ("x-amz-target", TARGET),
        ("user-agent", "test"),
    ];
    request(&headers, b"{\"MaxResults\":1}")
}

fn signed() -> (Parts, Vec<u8>) {
    Signer::new().sign(cognito_request())
}

/// A signed request after `edit`, as the broker would answer it.
fn edited(edit: impl FnOnce(&mut Parts)) -> Result<(), Refusal> {
    let (mut parts, body) = signed();
    edit(&mut parts);
    check(&parts, &body, &COGNITO, NOW)
}

fn authorization(parts: &Parts) -> String {
    parts.headers["authorization"].to_str().unwrap().to_owned()
}

/// Replaces `from` in the `Authorization` header; it must occur.
fn reauthorize(parts: &mut Parts, from: &str, to: &str) {
    let old = authorization(parts);
    assert!(old.contains(from), "{from} in {old}");
    parts.headers.insert("authorization", old.replace(from, to).parse().unwrap());
}

fn unsigned(header: &str) -> Result<(), Refusal> {
    Err(Refusal::Unsigned { header: header.to_owned() })
}

fn duplicate(header: &str) -> Result<(), Refusal> {
    Err(Refusal::Duplicate { header: header.to_owned() })
}

fn absent(header: &str) -> Result<(), Refusal> {
    Err(Refusal::Absent { header: header.to_owned() })
}

// ── properties ──

/// Another byte that a header value may hold and that changes the value's canonical form.
fn flipped(byte: u8) -> u8 {
    match byte {
        b' ' => b'x',
        _ if (0x21..0x7f).contains(&(byte ^ 1)) => byte ^ 1,
        _ => byte ^ 2,
    }
}

fn flip(value: &HeaderValue, index: usize) -> HeaderValue {
    let mut bytes = value.as_bytes().to_vec();
    bytes[index] = flipped(bytes[index]);
    HeaderValue::from_bytes(&bytes).unwrap()
}

/// Headers that the tests set themselves, or that the oracle or the transport treats apart.
fn is_free(name: &str) -> bool {
    const TAKEN: [&str; 8] = [
        "authorization",
        "content-type",
        "host",
        "transfer-encoding",
        "user-agent",
        "x-amz-cf-id",
        "x-amz-date",
        "x-amz-target",
    ];
    !TAKEN.contains(&name) && !name.starts_with("x-amz-content-sha") && !name.starts_with("x-amz-security-")
}

prop_compose! {
    fn any_signed()(
        extra in proptest::collection::btree_map(
            "(x-amz-|amz-sdk-|x-)?[a-z][a-z0-9-]{0,12}".prop_filter("taken", |name| is_free(name)),
            "[ -~]{0,24}|[ ]{0,3}[a-z]{1,4}[ ]{1,4}[a-z]{1,4}[ ]{0,3}",
            0..6,
        ),
        body in proptest::collection::vec(any::<u8>(), 0..96),
        token in proptest::option::of("[A-Za-z0-9+/=]{1,64}"),
        hash_header in any::<bool>(),
        skew in -300_i64..=300,
        region in prop_oneof![Just("us-east-1"), Just("eu-west-1"), Just("local")],
    ) -> (Parts, Vec<u8>) {
        let mut request = cognito_request();
        *request.body_mut() = body;
        for (name, value) in &extra {
            request.headers_mut().insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        let mut signer = Signer::new();
        signer.at = NOW + time::Duration::seconds(skew);
        signer.token = token.as_deref();
        signer.region = region;
        if hash_header {
            signer.settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        signer.sign(request)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_amazon_signs_is_accepted((parts, body) in any_signed()) {
        prop_assert_eq!(check(&parts, &body, &COGNITO, NOW), Ok(()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every byte in turn, of every signed value (target and date among them), every signed name, the body and the
    /// `Authorization` header with its scope, list and signature.
    #[test]
    fn any_flipped_byte_is_refused((parts, body) in any_signed()) {
        let headers = parts.headers.clone();
        for (name, value) in headers.iter().filter(|(name, _)| *name != "user-agent") {
            for index in 0..value.len() {
                let mut parts = parts.clone();
                parts.headers.insert(name, flip(value, index));
                prop_assert!(check(&parts, &body, &COGNITO, NOW).is_err(), "value of {} at {}", name, index);
            }
            for index in 0..name.as_str().len() {
                let mut other = name.as_str().as_bytes().to_vec();
                other[index] = if other[index] == b'q' { b'z' } else { b'q' };
                let other = HeaderName::from_bytes(&other).unwrap();
                if headers.contains_key(&other) {
                    continue;
                }
                let mut parts = parts.clone();
                parts.headers.remove(name);
                parts.headers.insert(&other, value.clone());
                prop_assert!(check(&parts, &body, &COGNITO, NOW).is_err(), "{} as {}", name, other);
            }
        }
        for index in 0..body.len() {
            let mut body = body.clone();
            body[index] ^= 1;
            prop_assert!(check(&parts, &body, &COGNITO, NOW).is_err(), "body at {}", index);
        }
        prop_assert!(check(&parts, &[&body[..], b"x"].concat(), &COGNITO, NOW).is_err());
        if !body.is_empty() {
            prop_assert!(check(&parts, &body[1..], &COGNITO, NOW).is_err());
        }
    }

    /// Renaming a header in both places keeps the form good: only the signature can tell.
    #[test]
    fn a_signed_header_renamed_in_both_places_is_a_mismatch(value in "[a-z]{1,8}") {
        let mut request = cognito_request();
        request.headers_mut().insert("x-zz", value.parse().unwrap());
        let (mut parts, body) = Signer::new().sign(request);
        let value = parts.headers.remove("x-zz").unwrap();
        parts.headers.insert("x-zy", value);
        reauthorize(&mut parts, ";x-zz", ";x-zy");
        prop_assert_eq!(check(&parts, &body, &COGNITO, NOW), Err(Refusal::Mismatch));
    }

    #[test]
    fn no_bytes_in_a_header_cause_a_panic(
        bytes in proptest::collection::vec(any::<u8>().prop_filter("header byte", |b| *b >= 32 && *b != 127), 0..200),
        name in prop_oneof![
            Just("authorization"), Just("x-amz-date"), Just("x-amz-target"), Just("host"), Just("content-type"),
            Just("x-amz-security-token"), Just("x-amz-content-sha256"),
        ],
        after_algorithm in any::<bool>(),
    ) {
        let bytes = if after_algorithm { [b"AWS4-HMAC-SHA256 ", &bytes[..]].concat() } else { bytes };
        let refused = edited(|parts| {
            parts.headers.insert(name, HeaderValue::from_bytes(&bytes).unwrap());
        });
        prop_assert!(refused.is_err());
        prop_assert!(refused.unwrap_err().to_string().len() < 2048);
    }
}

// ── the table of refusals ──

#[test]
fn the_untouched_request_is_accepted() {
    assert_eq!(edited(|_| {}), Ok(()));
}

#[test]
fn an_unsigned_request_is_told_so() {
    assert_eq!(edited(|parts| drop(parts.headers.remove("authorization"))), Err(Refusal::MissingToken));
}

#[test]
fn a_header_that_is_lacking_is_named() {
    for name in ["host", "x-amz-target", "content-type"] {
        assert_eq!(edited(|parts| drop(parts.headers.remove(name))), absent(name));
    }
    let no_date = edited(|parts| drop(parts.headers.remove("x-amz-date"))).unwrap_err().to_string();
    assert!(no_date.starts_with("Authorization header requires existence of a 'X-Amz-Date' header."), "{no_date}");
}

#[test]
fn a_repeated_header_is_refused() {
    for name in ["authorization", "host", "x-amz-target", "content-type", "x-amz-date"] {
        let result = edited(|parts| {
            let same = parts.headers[name].clone();
            parts.headers.append(name, same);
        });
        assert_eq!(result, duplicate(name));
    }
}

#[test]
fn an_amz_header_must_be_signed_but_for_the_one_that_a_proxy_adds() {
    let add = |name: &'static str| edited(|parts| drop(parts.headers.insert(name, HeaderValue::from_static("v"))));
    assert_eq!(add("x-amz-user-agent"), unsigned("x-amz-user-agent"));
    assert_eq!(add("x-amz-security-token"), unsigned("x-amz-security-token"));
    assert_eq!(add("x-amz-content-sha256"), unsigned("x-amz-content-sha256"));
    assert_eq!(add("x-amz-cf-id"), Ok(()));
    assert_eq!(add("x-amzn-trace-id"), Ok(()));
    assert_eq!(add("x-forwarded-for"), Ok(()));
}

#[test]
fn what_must_be_signed_cannot_be_left_out_of_the_list() {
    for name in ["content-type", "host", "x-amz-date", "x-amz-target"] {
        let mut signer = Signer::new();
        signer.settings.excluded_headers = Some(vec![name.into(), "user-agent".into()]);
        let (parts, body) = signer.sign(cognito_request());
        assert!(!authorization(&parts).contains(name));
        assert_eq!(check(&parts, &body, &COGNITO, NOW), unsigned(name));
    }
}

#[test]
fn only_cognito_needs_a_target() {
    let form = [("host", "localhost"), ("content-type", "application/x-www-form-urlencoded")];
    for (service, rules, expected) in [
        ("sts", QUERY_APIS, Ok(())),
        ("iam", QUERY_APIS, Ok(())),
        ("cognito-identity", COGNITO, unsigned("x-amz-target")),
    ] {
        let signer = Signer { service, ..Signer::new() };
        let (parts, body) = signer.sign(request(&form, b"Action=GetCallerIdentity"));
        assert_eq!(check(&parts, &body, &rules, NOW), expected, "{service}");
    }
}

#[test]
fn a_disordered_list_is_refused() {
    for list in [
        "host;content-type;x-amz-date;x-amz-target",
        "content-type;host;host;x-amz-date;x-amz-target",
        "content-type;Host;x-amz-date;x-amz-target",
        "content-type;host;x-amz-date;X-Amz-Target",
        "content-type;host;x-amz-date;x-amz-target;",
    ] {
        let result = edited(|parts| reauthorize(parts, "content-type;host;x-amz-date;x-amz-target", list));
        assert_eq!(result, Err(Refusal::DisorderedHeaders), "{list}");
    }
    for (list, name) in [
        (";content-type;host;x-amz-date;x-amz-target", ""),
        ("content-type;host;x-amz-date;x-amz-none;x-amz-target", "x-amz-none"),
        ("content-type;host:;x-amz-date;x-amz-target", "host:"),
    ] {
        let result = edited(|parts| reauthorize(parts, "content-type;host;x-amz-date;x-amz-target", list));
        assert_eq!(result, absent(name), "{list}");
    }
}

#[test]
fn only_a_post_to_the_root_is_admitted() {
    assert_eq!(edited(|parts| parts.method = Method::GET), Err(Refusal::NotPostRoot));
    for uri in ["/x", "//", "/?a=b", "/?X-Amz-Signature=0&X-Amz-Credential=a"] {
        assert_eq!(edited(|parts| parts.uri = uri.parse().unwrap()), Err(Refusal::NotPostRoot), "{uri}");
    }
    // An empty query is no query: its canonical form is the same.
    assert_eq!(edited(|parts| parts.uri = Uri::from_static("/?")), Ok(()));
}

#[test]
fn a_payload_must_be_signed_whole() {
    let with_hash = |value: &str| {
        let headers = [("host", "h"), ("x-amz-content-sha256", value), ("x-amz-target", TARGET)];
        let (parts, body) = Signer::new().sign(request(&headers, b"{}"));
        assert!(authorization(&parts).contains("x-amz-content-sha256"));
        check(&parts, &body, &COGNITO, NOW)
    };
    let of_body = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    assert_eq!(with_hash(of_body), Ok(()));
    assert_eq!(with_hash(&of_body.replace('4', "5")), Err(Refusal::Mismatch));
    for value in [
        "UNSIGNED-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "",
        &of_body.to_uppercase(),
        &of_body[1..],
    ] {
        assert_eq!(with_hash(value), Err(Refusal::UnsignedPayload), "{value}");
    }

    for body in [SignableBody::UnsignedPayload, SignableBody::StreamingUnsignedPayloadTrailer] {
        // Even without the header that says so.
        let headers = [("host", "h"), ("x-amz-target", TARGET)];
        let identity = Credentials::new(KEY_ID, SECRET, None, None, "test").into();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.unix_timestamp().try_into().unwrap());
        let params = v4::SigningParams::builder().identity(&identity).region("us-east-1").name("cognito-identity");
        let params = params.time(at).settings(SigningSettings::default()).build().unwrap().into();
        let signable = SignableRequest::new("POST", "http://h/", headers.into_iter(), body).unwrap();
        let (instructions, _) = aws_sigv4::http_request::sign(signable, &params).unwrap().into_parts();
        let mut request = request(&headers, b"{}");
        instructions.apply_to_request_http1x(&mut request);
        let (parts, body) = request.into_parts();
        assert_eq!(check(&parts, &body, &COGNITO, NOW), Err(Refusal::Mismatch));
    }
}

#[test]
fn the_scope_must_be_of_this_service_region_and_day() {
    let service = edited(|parts| reauthorize(parts, "/cognito-identity/", "/sts/")).unwrap_err();
    assert_eq!(service.to_string(), "Credential should be scoped to correct service: 'cognito-identity'.");

    let (parts, _) = signed();
    let served: Vec<Region> = ["eu-west-1", "eu-north-1"].iter().filter_map(|name| Region::parse(name)).collect();
    let region = parse(&parts, &Rules { regions: Some(&served), ..COGNITO }).unwrap_err();
    assert_eq!(
        region.to_string(),
        "Credential should be scoped to a valid region. This endpoint serves: eu-west-1, eu-north-1."
    );
    let served = [Region::parse("us-east-1").unwrap()];
    assert!(parse(&parts, &Rules { regions: Some(&served), ..COGNITO }).is_ok());
    assert!(parse(&parts, &Rules { regions: Some(&[]), ..COGNITO }).is_err());
    for ill_formed in ["US-EAST-1", "", "us_east_1", "a-region-of-nineteen"] {
        let result = edited(|parts| reauthorize(parts, "/us-east-1/", &format!("/{ill_formed}/")));
        assert_eq!(result, Err(Refusal::WrongRegion { served: Vec::new() }));
    }

    for day in ["20260303", "2026030", "", "20260304T"] {
        let result = edited(|parts| reauthorize(parts, "/20260304/", &format!("/{day}/")));
        assert_eq!(result, Err(Refusal::WrongDate { scope: day.to_owned(), date: "20260304".to_owned() }));
    }
    let terminator = edited(|parts| reauthorize(parts, "/aws4_request", "/aws4_other"));
    assert_eq!(terminator, Err(Refusal::WrongTerminator));
}

#[test]
fn the_clock_may_differ_by_five_minutes() {
    let at = |seconds: i64| {
        let (parts, body) = signed();
        check(&parts, &body, &COGNITO, NOW + time::Duration::seconds(seconds))
    };
    assert_eq!(at(300), Ok(()));
    assert_eq!(at(-300), Ok(()));
    assert_eq!(
        at(301).unwrap_err().to_string(),
        "Signature expired: 20260304T050607Z is now earlier than 20260304T050608Z (20260304T051108Z - 5 min.)"
    );
    assert_eq!(
        at(-301).unwrap_err().to_string(),
        "Signature not yet current: 20260304T050607Z is still later than 20260304T050606Z (20260304T050106Z + 5 min.)"
    );
}

#[test]
fn only_a_basic_date_is_a_date() {
    for date in
        ["Wed, 04 Mar 2026 05:06:07 GMT", "2026-03-04T05:06:07Z", "20260304", "20260304T050607", "20260304T250607Z"]
    {
        let result = edited(|parts| drop(parts.headers.insert("x-amz-date", date.parse().unwrap()))).unwrap_err();
        assert!(result.to_string().starts_with("Date must be in ISO-8601 'basic format'."), "{result}");
    }
}

#[test]
fn a_signature_is_64_lower_case_hexadecimal_digits() {
    let (parts, _) = signed();
    let whole = authorization(&parts);
    let (_, signature) = whole.split_once("Signature=").unwrap();
    for wrong in [
        signature.to_uppercase(),
        signature[1..].to_owned(),
        format!("{signature}0"),
        format!("{}g", &signature[1..]),
        "0".repeat(64),
        "UNSIGNED".to_owned(),
    ] {
        assert_eq!(edited(|parts| reauthorize(parts, signature, &wrong)), Err(Refusal::Mismatch), "{wrong}");
    }
}

#[test]
fn the_parts_of_the_authorization_may_be_spaced_and_ordered_freely() {
    assert_eq!(edited(|parts| reauthorize(parts, ", ", ",")), Ok(()));
    assert_eq!(edited(|parts| reauthorize(parts, ", ", " ,  ")), Ok(()));
    let (mut parts, body) = signed();
    let whole = authorization(&parts);
    let (algorithm, rest) = whole.split_once(' ').unwrap();
    let mut reversed: Vec<_> = rest.split(", ").collect();
    reversed.reverse();
    parts.headers.insert("authorization", format!("{algorithm} {}", reversed.join(",")).parse().unwrap());
    assert_eq!(check(&parts, &body, &COGNITO, NOW), Ok(()));
}

#[test]
fn a_garbled_authorization_is_incomplete_and_never_repeats_a_signature() {
    let (parts, _) = signed();
    let whole = authorization(&parts);
    let (_, signature) = whole.split_once("Signature=").unwrap();
    let scope = "AKIDEXAMPLE/20260304/us-east-1/cognito-identity/aws4_request";
    let list = "content-type;host;x-amz-date;x-amz-target";
    for (header, text) in [
        (
            "AWS4-HMAC-SHA256".to_owned(),
            "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' \
             parameter. Authorization header requires 'SignedHeaders' parameter. Authorization=..."
                .to_owned(),
        ),
        (
            format!("AWS4-HMAC-SHA256 Credential={scope}, Signature={signature}"),
            format!(
                "Authorization header requires 'SignedHeaders' parameter. \
                 Authorization=AWS4-HMAC-SHA256 Credential={scope}, Signature=..."
            ),
        ),
        (
            format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={list}"),
            format!(
                "Authorization header requires 'Signature' parameter. \
                 Authorization=AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={list}"
            ),
        ),
        (
            whole.replace(scope, ""),
            format!(
                "Authorization header requires 'Credential' parameter. \
                 Authorization=AWS4-HMAC-SHA256 Credential=, SignedHeaders={list}, Signature=..."
            ),
        ),
    ] {
        let result = edited(|parts| drop(parts.headers.insert("authorization", header.parse().unwrap())));
        assert_eq!(result.unwrap_err().to_string(), text);
    }
    for header in [
        format!("{whole}, Extra=1"),
        format!("{whole},"),
        format!("{whole}, Signature={signature}"),
        format!("{whole}, Credential={scope}"),
        whole.replace("Signature=", "Signature "),
        whole.replace("Credential=", "credential="),
        whole.replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        whole.replace("AWS4-HMAC-SHA256", "aws4-hmac-sha256"),
        whole.replace("AWS4-HMAC-SHA256 ", ""),
        whole.replace("AKIDEXAMPLE", ""),
        whole.replace("AKIDEXAMPLE", "a/b"),
        whole.replace("/aws4_request", ""),
        format!("Bearer {signature}"),
    ] {
        let result = edited(|parts| drop(parts.headers.insert("authorization", header.parse().unwrap())));
        let refusal = result.unwrap_err();
        assert!(matches!(refusal, Refusal::Incomplete { .. }), "{header}: {refusal}");
        assert!(!format!("{refusal} {refusal:?}").contains(signature), "{header}: {refusal}");
    }
}

#[test]
fn an_unknown_key_is_refused_as_such() {
    let refused = edited(|parts| reauthorize(parts, KEY_ID, "AKIDOTHER"));
    assert_eq!(refused, Err(Refusal::UnknownKey));
}

#[test]
fn a_session_token_is_handed_on_and_nothing_secret_is_shown() {
    let signer = Signer { token: Some("the-token"), ..Signer::new() };
    let (parts, body) = signer.sign(cognito_request());
    assert_eq!(check(&parts, &body, &COGNITO, NOW), Ok(()));
    let presented = parse(&parts, &COGNITO).unwrap();
    assert_eq!(presented.session_token(), Some("the-token"));
    assert_eq!(presented.signed_at(), NOW);
    let shown = format!("{presented:?}");
    let (_, signature) =
        authorization(&parts).split_once("Signature=").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert!(!shown.contains("the-token") && !shown.contains(&signature), "{shown}");
}

#[test]
fn bytes_beyond_ascii_are_signed_as_they_are() {
    let value = b"caf\xe9  \xc3\xa9 ";
    let (date, timestamp) = ("20260304", "20260304T050607Z");
    let mut canonical =
        format!("POST\n/\n\nhost:h\nx-amz-date:{timestamp}\nx-amz-target:{TARGET}\nx-name:").into_bytes();
    canonical.extend_from_slice(b"caf\xe9 \xc3\xa9");
    let list = "host;x-amz-date;x-amz-target;x-name";
    canonical.extend_from_slice(format!("\n\n{list}\n{}", hex::encode(sha256(b""))).as_bytes());
    let scope = format!("{date}/us-east-1/cognito-identity/aws4_request");
    let to_sign = format!("AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{}", hex::encode(sha256(&canonical)));
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.unix_timestamp().try_into().unwrap());
    let key = v4::generate_signing_key(SECRET, at, "us-east-1", "cognito-identity");
    let signature = v4::calculate_signature(key, to_sign.as_bytes());

    let mut request = request(&[("host", "h"), ("x-amz-date", timestamp), ("x-amz-target", TARGET)], b"");
    let value = HeaderValue::from_bytes(value).unwrap();
    request.headers_mut().insert("x-name", value);
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential={KEY_ID}/{scope}, SignedHeaders={list}, Signature={signature}");
    request.headers_mut().insert("authorization", authorization.parse().unwrap());
    assert_eq!(check(&request.into_parts().0, b"", &COGNITO, NOW), Ok(()));
}

// ── the published vectors ──

fn sha256(data: &[u8]) -> Digest {
    digest::digest(&digest::SHA256, data)
}

/// The vectors' directory in the source of the very `aws-sigv4` that `Cargo.lock` names.
#[expect(clippy::disallowed_methods, reason = "Cargo tells its tests which Cargo runs them, and not by configuration")]
fn vectors() -> BTreeMap<String, PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--offline", "--locked", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{} (cargo fetch helps)", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|package| package["name"] == "aws-sigv4").expect("aws-sigv4 is a dependency");
    let manifest = Path::new(package["manifest_path"].as_str().unwrap());
    let suite = manifest.parent().unwrap().join("aws-signing-test-suite").join("v4");
    fs::read_dir(&suite)
        .unwrap_or_else(|error| panic!("{}: {error}", suite.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path))
        .collect()
}

struct Message {
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Message {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap().replace("\r\n", "\n");
        let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end(), ""));
        // A folded line is one value; an HTTP parser turns the fold into spaces before any verifier sees it.
        let head = head.replace("\n ", "  ");
        let mut lines = head.lines();
        // The target of one vector holds a space.
        let (method, rest) = lines.next().unwrap().split_once(' ').unwrap();
        let target = rest.strip_suffix(" HTTP/1.1").unwrap_or(rest).to_owned();
        let mut headers = HeaderMap::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').unwrap();
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.append(name.parse::<HeaderName>().unwrap(), value);
        }
        Self { method: method.parse().unwrap(), target, headers, body: body.as_bytes().to_vec() }
    }

    /// Nothing if no HTTP parser would let the target pass.
    fn parts(&self) -> Option<Parts> {
        let path: PathAndQuery = self.target.parse().ok()?;
        let mut parts = Request::new(()).into_parts().0;
        parts.method = self.method.clone();
        parts.uri = path.into();
        parts.headers = self.headers.clone();
        Some(parts)
    }

    fn is_admitted(&self) -> bool {
        self.method == Method::POST && self.target == "/"
    }
}

const VECTORS: Rules<'static> = Rules { services: &[Service { name: "service", has_target: false }], regions: None };
const VECTORS_TIME: OffsetDateTime = datetime!(2015-08-30 12:36 UTC);

#[test]
fn published_vectors_of_the_admitted_form_pass_the_whole_verifier() {
    let mut accepted = 0;
    for (name, path) in vectors() {
        let mut message = Message::read(&path.join("header-signed-request.txt"));
        if !message.is_admitted() {
            continue;
        }
        if name == "post-sts-header-after" {
            // Its point is a session token outside of the signature, which the broker does not admit.
            let refused = check(&message.parts().unwrap(), &message.body, &VECTORS, VECTORS_TIME);
            assert_eq!(refused, unsigned("x-amz-security-token"));
            message.headers.remove("x-amz-security-token");
        }
        let parts = message.parts().unwrap();
        assert_eq!(check(&parts, &message.body, &VECTORS, VECTORS_TIME), Ok(()), "{name}");
        let mut body = message.body.clone();
        body.push(b'!');
        assert_eq!(check(&parts, &body, &VECTORS, VECTORS_TIME), Err(Refusal::Mismatch), "{name}");
        accepted += 1;
    }
    assert_eq!(accepted, 8);
}

#[test]
fn published_vectors_of_every_other_form_are_refused() {
    let (mut other, mut presigned, mut no_uri) = (0, 0, Vec::new());
    for (name, path) in vectors() {
        for (file, count) in [("header-signed-request.txt", &mut other), ("query-signed-request.txt", &mut presigned)] {
            let file = path.join(file);
            if !file.exists() {
                continue;
            }
            let message = Message::read(&file);
            if message.is_admitted() {
                continue;
            }
            if let Some(parts) = message.parts() {
                assert_eq!(parse(&parts, &VECTORS).unwrap_err(), Refusal::NotPostRoot, "{name}");
                *count += 1;
            } else {
                no_uri.push(name.clone());
            }
        }
    }
    assert_eq!((other, presigned), (30, 36));
    // These, in both forms, hold a target that no URI parser lets through: they cannot even be put to the verifier.
    no_uri.dedup();
    assert_eq!(no_uri, ["get-space-normalized", "get-space-unnormalized"]);
}

#[test]
fn published_vectors_of_all_forms_agree_on_every_stage() {
    let mut exercised = 0;
    for (name, path) in vectors() {
        let read = |file: &str| fs::read_to_string(path.join(file)).unwrap().replace("\r\n", "\n");
        if !path.join("context.json").exists() {
            assert!(["double-encode-path", "double-url-encode"].contains(&name.as_str()), "{name} has no context");
            continue;
        }
        let context: serde_json::Value = serde_json::from_str(&read("context.json")).unwrap();
        let text = |key: &str| context[key].as_str().unwrap();
        let secret = context["credentials"]["secret_access_key"].as_str().unwrap();

        // Headers as received → canonical request → its hash.
        let canonical = read("header-canonical-request.txt");
        let line = canonical.match_indices('\n').nth(2).map(|(index, _)| &canonical[..=index]).unwrap();
        let mut lines = canonical.lines().rev();
        let (payload, signed_headers) = (lines.next().unwrap(), lines.next().unwrap());
        let message = Message::read(&path.join("header-signed-request.txt"));
        let body = sha256(&message.body);
        assert_eq!(hex::encode(body), payload, "{name}");
        let hash = request_hash(line, &message.headers, signed_headers, &body);
        let to_sign = read("header-string-to-sign.txt");
        let parts: Vec<&str> = to_sign.trim_end().lines().collect();
        let [algorithm, timestamp, scope, expected] = parts[..] else { panic!("{name}: {to_sign}") };
        assert_eq!(hex::encode(hash), expected, "{name}");

        // Secret and scope → key; string to sign → signature.
        assert_eq!(algorithm, "AWS4-HMAC-SHA256");
        let key = SigningKey::derive(secret.as_bytes(), &timestamp[..8], text("region"), text("service"));
        let mut signature = [0; 32];
        hex::decode_to_slice(read("header-signature.txt").trim_end(), &mut signature).unwrap();
        assert!(key.has_signed(timestamp, scope, &hash, &signature), "{name}");
        signature[31] ^= 1;
        assert!(!key.has_signed(timestamp, scope, &hash, &signature), "{name}");
        exercised += 1;
    }
    assert_eq!(exercised, 38);
}
