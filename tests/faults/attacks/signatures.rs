//! Forged and garbled signatures, one by one: each gets the status, the exception and the words that are promised.

use std::collections::BTreeSet;

use aws_sigv4::http_request::SignableBody;

use super::wire::{Said, Sender, Signer, Wire};
use crate::broker::{Broker, Launch};
use crate::database::{ACCOUNT, Database, add_developer, count, run};
use crate::figures::Figures;

pub const KEY: &str = "AKIADEVELOPERNUMBER1";
/// That of every access key that [`add_developer`] makes.
pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
pub const POOLS: &str = "select count(*) from identity_pools";

const MISSING: &str = "MissingAuthenticationTokenException";
const INCOMPLETE: &str = "IncompleteSignatureException";
const INVALID: &str = "InvalidSignatureException";
const UNKNOWN: &str = "UnrecognizedClientException";
const MISMATCH: &str = "The request signature we calculated does not match";

/// An attack: its name, what is answered, and what is sent.
struct Attack {
    name: String,
    status: u16,
    exception: &'static str,
    begin: String,
    request: Wire,
}

#[derive(Default)]
struct Catalogue(Vec<Attack>);

impl Catalogue {
    fn add(&mut self, name: impl Into<String>, exception: &'static str, begin: impl Into<String>, request: Wire) {
        self.add_of(400, name, exception, begin, request);
    }

    fn add_of(
        &mut self,
        status: u16,
        name: impl Into<String>,
        exception: &'static str,
        begin: impl Into<String>,
        request: Wire,
    ) {
        self.0.push(Attack { name: name.into(), status, exception, begin: begin.into(), request });
    }
}

/// A broker, and a developer who would make a pool with every request that is let through.
pub struct Scene {
    pub database: Database,
    pub broker: Broker,
}

impl Scene {
    pub async fn start() -> Self {
        let (database, _) = Database::with_developer().await;
        let broker = Launch::serve(&database.url).start().await;
        Self { database, broker }
    }

    /// The call that is attacked, signed by nobody.
    pub fn unsigned(&self, name: &str) -> Wire {
        let body = format!(r#"{{"IdentityPoolName":"{name}","AllowUnauthenticatedIdentities":false}}"#);
        Wire::call(&self.broker.url, "CreateIdentityPool", body).header("x-amz-meta-note", "one two")
    }

    /// The same, properly signed.
    pub fn signed(&self, name: &str) -> Wire {
        Signer::new(KEY, SECRET).sign(&self.unsigned(name))
    }

    /// A form for the STS here.
    fn form(&self) -> Wire {
        let host = self.broker.url.trim_start_matches("http://");
        let headers = [("host", host), ("content-type", "application/x-www-form-urlencoded")];
        Wire::post(&headers, "Action=GetCallerIdentity&Version=2011-06-15")
    }

    pub async fn pools(&self) -> i64 {
        count(&self.database.url, POOLS).await
    }
}

fn without_the_header(scene: &Scene, all: &mut Catalogue) {
    let signed = scene.signed("x");
    all.add("no signature at all", MISSING, "Missing Authentication Token", scene.unsigned("x"));
    all.add("the header taken away", MISSING, "Missing Authentication Token", signed.clone().without("authorization"));
    let value = signed.value("authorization");
    for name in ["x-authorization", "proxy-authorization", "cookie", "x-amzn-authorization"] {
        let moved = scene.unsigned("x").header("x-amz-date", signed.value("x-amz-date")).header(name, &value);
        all.add(format!("the header under the name {name}"), MISSING, "Missing Authentication Token", moved);
    }
    let mut query = signed.clone().without("authorization");
    query.line = format!("POST /?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature={} HTTP/1.1", signed.signature());
    all.add("a presigned form", INVALID, "A signed request must be a POST to '/' without a query", query);
    let mut query = signed;
    "POST /?a=b HTTP/1.1".clone_into(&mut query.line);
    all.add("a query beside the header", INVALID, "A signed request must be a POST to '/' without a query", query);
}

fn of_a_garbled_header(scene: &Scene, all: &mut Catalogue) {
    let signed = scene.signed("x");
    let (value, signature) = (signed.value("authorization"), signed.signature());
    let scope = value.split_once("Credential=").unwrap().1.split(',').next().unwrap().to_owned();
    let list = signed.signed_headers();
    let algorithm = "Unsupported AWS 'algorithm'";
    for (name, begin, text) in [
        ("nothing", algorithm, String::new()),
        ("another algorithm", algorithm, value.replace("HMAC-SHA256", "ECDSA-P256-SHA256")),
        ("the algorithm in small letters", algorithm, value.replace("AWS4-HMAC-SHA256", "aws4-hmac-sha256")),
        ("the algorithm of version 3", algorithm, value.replace("AWS4-HMAC-SHA256", "AWS3-HMAC-SHA256")),
        ("version 2", algorithm, format!("AWS {KEY}:{signature}")),
        ("no algorithm", algorithm, value.replace("AWS4-HMAC-SHA256 ", "")),
        ("a tab behind the algorithm", algorithm, value.replace("SHA256 ", "SHA256\t")),
        ("a bearer token", algorithm, format!("Bearer {signature}")),
        ("a password", algorithm, format!("Basic {signature}")),
        ("no parameters", "Authorization header requires 'Credential' parameter.", "AWS4-HMAC-SHA256".to_owned()),
        (
            "no Credential",
            "Authorization header requires 'Credential' parameter.",
            format!("AWS4-HMAC-SHA256 SignedHeaders={list}, Signature={signature}"),
        ),
        ("an empty Credential", "Authorization header requires 'Credential' parameter.", value.replace(&scope, "")),
        (
            "no SignedHeaders",
            "Authorization header requires 'SignedHeaders' parameter.",
            format!("AWS4-HMAC-SHA256 Credential={scope}, Signature={signature}"),
        ),
        ("empty SignedHeaders", "Authorization header requires 'SignedHeaders' parameter.", value.replace(&list, "")),
        (
            "no Signature",
            "Authorization header requires 'Signature' parameter.",
            format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={list}"),
        ),
        ("an empty Signature", "Authorization header requires 'Signature' parameter.", value.replace(&signature, "")),
        ("a fourth parameter", "Authorization header has an unknown parameter.", format!("{value}, Extra=1")),
        (
            "a parameter in small letters",
            "Authorization header has an unknown parameter.",
            value.replace("Credential=", "credential="),
        ),
        ("two Credentials", "Authorization header has a parameter twice.", format!("{value}, Credential={scope}")),
        ("two SignedHeaders", "Authorization header has a parameter twice.", format!("{value}, SignedHeaders={list}")),
        ("two Signatures", "Authorization header has a parameter twice.", format!("{value}, Signature={signature}")),
        ("a comma at its end", "Authorization header has a part without an equal-sign.", format!("{value},")),
        (
            "a part without an equal-sign",
            "Authorization header has a part without an equal-sign.",
            value.replace("Signature=", "Signature "),
        ),
        (
            "a signature that ran into the list",
            "Authorization header requires 'Signature' parameter.",
            value.replace(", Signature=", "Signature="),
        ),
        (
            "a signature that ran into the scope",
            "Authorization header requires 'Signature' parameter.",
            format!("AWS4-HMAC-SHA256 SignedHeaders={list}, Credential={scope}{signature}"),
        ),
        ("no access key", "Credential must have exactly 5", value.replace(KEY, "")),
        ("a scope of four elements", "Credential must have exactly 5", value.replace("/aws4_request", "")),
        ("a scope of six elements", "Credential must have exactly 5", value.replace(KEY, "AKIA/X")),
        ("letters beyond ASCII", "Authorization header must be ASCII.", value.replace(KEY, "AKIÄ")),
    ] {
        all.add(format!("a header of {name}"), INCOMPLETE, begin, signed.clone().set("authorization", text));
    }
}

fn of_the_date(scene: &Scene, all: &mut Catalogue) {
    let signed = scene.signed("x");
    let date = signed.value("x-amz-date");
    let begin = "Date must be in ISO-8601 'basic format'.";
    for (name, text) in [
        ("of HTTP", "Tue, 24 Nov 2026 18:00:00 GMT".to_owned()),
        ("in the extended format", "2026-11-24T18:00:00Z".to_owned()),
        ("without a time", date[..8].to_owned()),
        ("without a zone", date[..15].to_owned()),
        ("in another zone", date.replace('Z', "+0100")),
        ("in small letters", date.to_lowercase()),
        ("of hour 25", format!("{}T250000Z", &date[..8])),
        ("of the 32nd", format!("{}32T000000Z", &date[..6])),
        ("in seconds", "1795543200".to_owned()),
        ("with a letter", format!("x{}", &date[1..])),
        ("of nothing", String::new()),
    ] {
        all.add(format!("a date {name}"), INCOMPLETE, begin, signed.clone().set("x-amz-date", text));
    }
    let begin = "Authorization header requires existence of a 'X-Amz-Date' header.";
    all.add("no date", INCOMPLETE, begin, signed.clone().without("x-amz-date"));
    let date_alone = signed.clone().without("x-amz-date").header("date", &date);
    all.add("Date in place of X-Amz-Date", INCOMPLETE, begin, date_alone);
    // Wide of the edge, since all are signed before the first is sent; the edge itself is in `tests/sigv4.rs`.
    for off in [-330, -3_600, -86_400 * 365] {
        let late = Signer { off, ..Signer::new(KEY, SECRET) }.sign(&scene.unsigned("x"));
        all.add(format!("signed {} s ago", -off), INVALID, "Signature expired: ", late);
    }
    for off in [330, 3_600, 86_400 * 365] {
        let early = Signer { off, ..Signer::new(KEY, SECRET) }.sign(&scene.unsigned("x"));
        all.add(format!("signed in {off} s"), INVALID, "Signature not yet current: ", early);
    }
}

fn of_the_scope(scene: &Scene, all: &mut Catalogue) {
    let signed = scene.signed("x");
    let day = signed.value("x-amz-date")[..8].to_owned();
    for (name, text) in [("of yesteryear", "20250101"), ("cut short", &day[..7]), ("of nothing", "")] {
        let moved = signed.clone().reauthorized(&format!("/{day}/"), &format!("/{text}/"));
        all.add(format!("a scope whose day is {name}"), INVALID, "Date in Credential scope does not match", moved);
    }
    let begin = "Credential should be scoped to a valid region. This endpoint serves: us-east-1";
    for region in ["eu-west-9", "US-EAST-1", "us_east_1", ""] {
        let moved = signed.clone().reauthorized("/us-east-1/", &format!("/{region}/"));
        all.add(format!("a scope of region {region:?}"), INVALID, begin, moved);
    }
    let abroad = Signer { region: "ap-south-1", ..Signer::new(KEY, SECRET) }.sign(&scene.unsigned("x"));
    all.add("properly signed for another region", INVALID, begin, abroad);
    let begin = "Credential should be scoped to correct service: 'cognito-identity'.";
    for service in ["sts", "iam", "s3", "Cognito-Identity", ""] {
        let moved = signed.clone().reauthorized("/cognito-identity/", &format!("/{service}/"));
        all.add(format!("a scope of service {service:?}"), INVALID, begin, moved);
    }
    for service in ["sts", "execute-api"] {
        let other = Signer { service, ..Signer::new(KEY, SECRET) }.sign(&scene.unsigned("x"));
        all.add(format!("properly signed for {service}"), INVALID, begin, other);
    }
    for terminator in ["aws4_other", "AWS4_REQUEST", ""] {
        let moved = signed.clone().reauthorized("/aws4_request", &format!("/{terminator}"));
        let begin = "Credential should be scoped with a valid terminator";
        all.add(format!("a scope that ends in {terminator:?}"), INVALID, begin, moved);
    }
}

fn of_signed_headers(scene: &Scene, all: &mut Catalogue) {
    let signed = scene.signed("x");
    for name in ["authorization", "host", "x-amz-date", "x-amz-meta-note"] {
        all.add(format!("{name} twice"), INVALID, format!("'{name}' must be sent once."), signed.clone().twice(name));
    }
    for name in ["content-type", "host", "x-amz-target", "x-amz-meta-note"] {
        let unsigned = [name];
        let request = Signer { unsigned: &unsigned, ..Signer::new(KEY, SECRET) }.sign(&scene.unsigned("x"));
        let begin = format!("'{name}' must be a 'SignedHeader'");
        all.add(format!("{name} outside of the signature"), INVALID, begin, request);
    }
    for name in ["x-amz-user-agent", "x-amz-security-token", "x-amz-content-sha256", "x-amz-acl"] {
        let begin = format!("'{name}' must be a 'SignedHeader'");
        all.add(format!("{name} added"), INVALID, begin, signed.clone().header(name, "added"));
    }
    for name in ["host", "x-amz-meta-note"] {
        let begin = format!("'{name}' is a 'SignedHeader' in the AWS Authorization but is not in the request.");
        all.add(format!("{name} taken away"), INVALID, begin, signed.clone().without(name));
    }
    let list = signed.signed_headers();
    let disordered = "'SignedHeaders' in the AWS Authorization must be lower-case, sorted";
    for (name, begin, other) in [
        ("unsorted", disordered, list.replace("content-type;host", "host;content-type")),
        ("with a name twice", disordered, list.replace("host", "host;host")),
        ("with a capital letter", disordered, list.replace("host", "Host")),
        ("with a name of nothing at its end", disordered, format!("{list};")),
        ("with a name of nothing before it", "'' is a 'SignedHeader'", format!(";{list}")),
        ("with a header that is not there", "'x-amz-none' is a", list.replace(";x-amz-t", ";x-amz-none;x-amz-t")),
        ("that a signature ran into", "'x-amz-target", format!("{list}{}", signed.signature())),
        ("parted by commas", "", list.replace(';', ",")),
    ] {
        // A comma parts parameters, too.
        let exception = if begin.is_empty() { INCOMPLETE } else { INVALID };
        all.add(format!("a list {name}"), exception, begin, signed.clone().reauthorized(&list, &other));
    }
}

fn of_the_payload(scene: &Scene, all: &mut Catalogue) {
    let begin = "'x-amz-content-sha256' must be the SHA-256 of the whole payload";
    let signer = Signer::new(KEY, SECRET);
    for hash in [
        "UNSIGNED-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "",
        "44136FA355B3678A1146AD16F7E8649E94FB4FC21FE77E8310C060F61CAAFF8A",
        "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8",
    ] {
        let request = signer.sign(&scene.unsigned("x").header("x-amz-content-sha256", hash));
        all.add(format!("a payload hash of {hash:?}"), INVALID, begin, request);
    }
    let of_another = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let request = signer.sign(&scene.unsigned("x").header("x-amz-content-sha256", of_another));
    all.add("the hash of another payload, signed", INVALID, MISMATCH, request);
    let payloads: [(_, fn() -> SignableBody<'static>); 3] = [
        ("UNSIGNED-PAYLOAD", || SignableBody::UnsignedPayload),
        ("a streamed payload", || SignableBody::StreamingUnsignedPayloadTrailer),
        ("an empty payload", || SignableBody::Bytes(b"")),
    ];
    for (name, payload) in payloads {
        let request = Signer { payload: Some(payload), ..signer.clone() }.sign(&scene.unsigned("x"));
        // The signer adds the header where there is no hash of a body, and it says what it is.
        let begin =
            if request.headers.iter().any(|(name, _)| name == "x-amz-content-sha256") { begin } else { MISMATCH };
        all.add(format!("signed with {name} for the payload"), INVALID, begin, request);
    }
    let signed = scene.signed("x");
    let text = String::from_utf8(signed.body.clone()).unwrap();
    for (name, body) in [
        ("another name", text.replace(r#""x""#, r#""y""#)),
        ("true for false", text.replace("false", "true")),
        ("a space at its end", format!("{text} ")),
        ("a space inside", text.replace(':', ": ")),
        ("a member more", text.replace('}', r#","DeveloperProviderName":"d"}"#)),
        ("its last byte cut off", text[..text.len() - 1].to_owned()),
        ("nothing left of it", String::new()),
        ("an escape for a letter", text.replace("\"x\"", r#""\u0078""#)),
        ("what is no JSON", "<x/>".to_owned()),
    ] {
        all.add(format!("a body with {name}"), INVALID, MISMATCH, Wire { body: body.into(), ..signed.clone() });
    }
}

fn of_the_signature(scene: &Scene, all: &mut Catalogue) {
    let signed = scene.signed("x");
    let signature = signed.signature();
    let other = if signature.starts_with('0') { '1' } else { '0' };
    for (name, text) in [
        ("in capitals", signature.to_uppercase()),
        ("cut short", signature[..63].to_owned()),
        ("of one digit more", format!("{signature}0")),
        ("with another digit", format!("{other}{}", &signature[1..])),
        ("with a letter that is no digit", format!("g{}", &signature[1..])),
        ("of zeros", "0".repeat(64)),
        ("in base64", "wJalrXUtnFEMIwJalrXUtnFEMIwJalrXUtnFEMIwJal".to_owned()),
        ("backwards", signature.chars().rev().collect()),
        ("of another request", scene.signed("y").signature()),
    ] {
        all.add(format!("a signature {name}"), INVALID, MISMATCH, signed.clone().reauthorized(&signature, &text));
    }
    for (name, secret) in [
        ("another secret", "aJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        ("the secret in small letters", &SECRET.to_lowercase()),
        ("the secret and a line end", &format!("{SECRET}\n")),
        ("the access key as the secret", KEY),
        ("an empty secret", ""),
        ("the dummy that unknown keys are held against", &".".repeat(40)),
    ] {
        let request = Signer::new(KEY, secret).sign(&scene.unsigned("x"));
        all.add(format!("signed with {name}"), INVALID, MISMATCH, request);
    }
    for (name, to) in [
        ("target", signed.clone().replaced("x-amz-target", "CreateIdentityPool", "ListIdentityPools")),
        ("target, by its longer name", signed.clone().replaced("x-amz-target", "AWS", "com.amazonaws.AWS")),
        ("content type", signed.clone().replaced("content-type", "json-1.1", "json-1.1; charset=utf-8")),
        ("host", signed.clone().replaced("host", "127.0.0.1", "localhost")),
        ("note", signed.clone().set("x-amz-meta-note", "one  three")),
    ] {
        all.add(format!("another {name}"), INVALID, MISMATCH, to);
    }
}

async fn of_the_key(scene: &Scene, all: &mut Catalogue) {
    let begin = "The security token included in the request is invalid.";
    let signed = scene.signed("x");
    for (name, key) in [
        ("that does not exist", "AKIADEVELOPERNUMBER9"),
        ("in small letters", &KEY.to_lowercase()),
        ("and more", &format!("{KEY}0")),
        ("in part", &KEY[..19]),
        ("that is an account", ACCOUNT),
        ("of dev mode", "test"),
        ("with a quote in it", "AKIA'--"),
        ("with a blank in it", "AKIA DEVELOPER"),
        ("that is any", "*"),
        ("that is long", &"A".repeat(2_000)),
    ] {
        all.add(format!("an access key {name}"), UNKNOWN, begin, signed.clone().reauthorized(KEY, key));
    }
    // Whatever the secret of an unknown key could be.
    for secret in ["", ".........................................", SECRET, "test"] {
        let request = Signer::new("AKIADEVELOPERNUMBER9", secret).sign(&scene.unsigned("x"));
        all.add(format!("an unknown key with the secret {secret:?}"), UNKNOWN, begin, request);
    }
    add_developer(&scene.database.url, "AKIADEVELOPERNUMBER2").await;
    run(&scene.database.url, "update access_keys set status = 2 where access_key_id = 'AKIADEVELOPERNUMBER2'").await;
    let disabled = Signer::new("AKIADEVELOPERNUMBER2", SECRET).sign(&scene.unsigned("x"));
    all.add("a disabled access key", UNKNOWN, begin, disabled);
    for token in ["x", "AAAA", "AAAAAAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "é", ""] {
        let request = scene.unsigned("x").header("x-amz-security-token", token);
        let signer = Signer::new(KEY, SECRET);
        if token == "é" {
            // No signer signs it: what it says is not read at all.
            let request = signer.sign(&scene.unsigned("x")).header("x-amz-security-token", b"\xe9");
            let list = request.signed_headers();
            let (first, last) = list.split_once(";x-amz-target").unwrap();
            let request = request.reauthorized(&list, &format!("{first};x-amz-security-token;x-amz-target{last}"));
            all.add("a session token beyond ASCII", UNKNOWN, begin, request);
            continue;
        }
        all.add(format!("a session token {token:?} with an access key"), UNKNOWN, begin, signer.sign(&request));
    }
}

/// The other protocol has its own names for the same.
fn of_forms(scene: &Scene, all: &mut Catalogue) {
    let sts = Signer { service: "sts", ..Signer::new(KEY, SECRET) };
    let signed = sts.sign(&scene.form());
    let mismatch = "SignatureDoesNotMatch";
    let missing = "MissingAuthenticationToken";
    all.add_of(403, "a form with no signature", missing, "Missing Authentication Token", scene.form());
    let garbled = signed.clone().reauthorized(", Signature=", ", Sgnature=");
    all.add_of(400, "a form with a garbled header", "IncompleteSignature", "Authorization header has an", garbled);
    let unknown = signed.clone().reauthorized(KEY, "AKIADEVELOPERNUMBER9");
    all.add_of(403, "a form of an unknown key", "InvalidClientTokenId", "The security token included", unknown);
    let body = Wire { body: b"Action=GetCallerIdentity&Version=2011-06-15&x=".to_vec(), ..signed };
    all.add_of(403, "a form with another body", mismatch, MISMATCH, body);
    let other = Signer { service: "cognito-identity", ..sts.clone() }.sign(&scene.form());
    let begin = "Credential should be scoped to correct service: ";
    all.add_of(403, "a form for another service", mismatch, begin, other);
    let late = Signer { off: -330, ..sts }.sign(&scene.form());
    all.add_of(403, "a form of long ago", mismatch, "Signature expired: ", late);
}

#[tokio::test]
async fn every_forged_signature_is_refused_by_its_name() {
    let scene = Scene::start().await;
    let before = Sender::to(&scene.broker.url).send(&scene.signed("before")).await;
    assert_eq!(before.status, 200, "without it refusing everything would do");

    let mut all = Catalogue::default();
    for part in [
        without_the_header,
        of_a_garbled_header,
        of_the_date,
        of_the_scope,
        of_signed_headers,
        of_the_payload,
        of_the_signature,
        of_forms,
    ] {
        part(&scene, &mut all);
    }
    of_the_key(&scene, &mut all).await;
    let Catalogue(attacks) = all;
    let names: BTreeSet<_> = attacks.iter().map(|attack| &attack.name).collect();
    assert_eq!(names.len(), attacks.len(), "two attacks of one name");
    assert!(attacks.len() >= 100, "only {}", attacks.len());

    let mut wrong = Vec::new();
    let (mut accepted, mut signatures) = (0, 0);
    let mut sender = Sender::to(&scene.broker.url);
    for Attack { name, status, exception, begin, request } in &attacks {
        let said = sender.send(request).await;
        let Said { message, .. } = &said;
        if (said.status, said.exception.as_str()) != (*status, *exception) || !message.starts_with(begin.as_str()) {
            wrong.push(format!("{name}: {said:?}, not {status} {exception} {begin:?}"));
        }
        accepted += usize::from(said.status < 400);
        // Neither theirs nor ours, however it is garbled.
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        signatures += usize::from(message.as_bytes().windows(16).any(|text| text.iter().all(is_digit)));
    }
    assert!(wrong.is_empty(), "{} of {} went wrong:\n{}", wrong.len(), attacks.len(), wrong.join("\n"));
    assert_eq!(accepted, 0);
    assert_eq!(signatures, 0, "messages that show a signature");
    assert_eq!(sender.send(&scene.signed("after")).await.status, 200);
    assert_eq!(scene.pools().await, 2, "what was signed, and nothing else");

    let mut figures = Figures::of("8-attacks-1-signatures", "Forged signatures");
    let exceptions: BTreeSet<_> = attacks.iter().map(|attack| attack.exception).collect();
    figures.row("Named forgeries, each refused with its status, exception and words", "≥ 60, all", attacks.len());
    figures.row("Exceptions among them", "exact", exceptions.len());
    figures.row("Of them accepted", "0", accepted);
    figures.row("Refusals that show a signature", "0", signatures);
    figures.publish();
}
