//! What verifiers fetch, and the paths that there are.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use symbolon::config::Algorithm;
use symbolon::http::Public;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};

use crate::client::{Answer, broker, broker_with, send};
use crate::harness::ISSUER;

const JWKS: &str = "/.well-known/jwks.json";
const AWS_JWKS: &str = "/.well-known/jwks_uri";
const DISCOVERY: &str = "/.well-known/openid-configuration";

const HEAD: &str = "\
access-control-allow-origin: *
access-control-expose-headers: x-amzn-requestid,x-amzn-errortype,x-amzn-errormessage,date
cache-control: public, max-age=300, must-revalidate
content-length: [length of the body]
content-type: application/json
etag: [digest]
strict-transport-security: max-age=31536000; includeSubDomains
vary: access-control-request-headers
";

async fn ask(public: &Public, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(public, request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn the_documents_are_served_whole_with_what_caches_and_browsers_want_to_know() {
    let broker = broker().await;
    let visitor = broker.visitor();
    let jwks = visitor.get(JWKS).await;
    assert_eq!(jwks.shown(), format!("200\n{HEAD}\n{}", jwks.text));
    let keys = jwks.json["keys"].as_array().unwrap();
    assert_eq!((jwks.json.as_object().unwrap().len(), keys.len()), (1, 2));
    for key in keys {
        let members: Vec<&String> = key.as_object().unwrap().keys().collect();
        assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
        assert_eq!((&key["alg"], &key["use"]), (&json!("ES256"), &json!("sig")));
    }
    let aws = visitor.get(AWS_JWKS).await;
    assert_eq!((&aws.text, aws.header("etag")), (&jwks.text, jwks.header("etag")));
    assert_eq!(aws.shown(), jwks.shown());

    let discovery = visitor.get(DISCOVERY).await;
    assert_eq!(discovery.shown(), format!("200\n{HEAD}\n{}", discovery.text));
    let expected = json!({
        "issuer": ISSUER,
        "jwks_uri": format!("{ISSUER}{JWKS}"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "claims_supported": ["sub", "aud", "amr", "iss", "exp", "iat", "https://aws.amazon.com/tags",
                             "https://cognito-identity.amazonaws.com/identity-pool-arn"],
    });
    assert_eq!(discovery.json, expected);

    // Every replica serves the same bytes.
    let replica = broker.replica().await;
    replica.poll().await;
    for (path, answer) in [(JWKS, &jwks), (AWS_JWKS, &jwks), (DISCOVERY, &discovery)] {
        let other = replica.visitor().get(path).await;
        assert_eq!((&other.text, other.header("etag")), (&answer.text, answer.header("etag")));
    }
}

/// Whether a certificate is signed with its own key, at this time in epoch seconds.
fn is_self_signed(der: &CertificateDer<'_>, at: u64) -> bool {
    let anchor = webpki::anchor_from_trusted_cert(der).unwrap();
    let certificate = webpki::EndEntityCert::try_from(der).unwrap();
    let (at, usage) = (UnixTime::since_unix_epoch(Duration::from_secs(at)), webpki::KeyUsage::client_auth());
    certificate.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &[anchor], &[], at, usage, None, None).is_ok()
}

#[tokio::test]
async fn certificates_are_shown_if_asked_for_and_each_is_of_its_key_for_ever() {
    for algorithm in [Algorithm::RS256, Algorithm::ES256] {
        let broker = broker_with(|config| {
            config.issuer.x5c = true;
            config.issuer.algorithm = algorithm;
        })
        .await;
        let jwks = broker.visitor().get(JWKS).await.ok();
        let keys = jwks.json["keys"].as_array().unwrap();
        assert_eq!(keys.len(), 2, "the key that signs, and the next one");
        let part = |key: &Value, name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
        for key in keys {
            let [certificate] = key["x5c"].as_array().unwrap().as_slice() else { panic!("{key}") };
            // Base64, not base64url: RFC 7517 section 4.7.
            let der = CertificateDer::from(STANDARD.decode(certificate.as_str().unwrap()).unwrap());
            let public = match algorithm {
                Algorithm::RS256 => part(key, "n"),
                _ => [vec![4], part(key, "x"), part(key, "y")].concat(),
            };
            assert!(der.windows(public.len()).any(|window| window == public), "it is of another key");
            // Now, and in the year 2200: the JWKS alone says how long a key is good for.
            for at in [1_800_000_000, 7_258_118_400] {
                assert!(is_self_signed(&der, at), "{at}");
            }
            let mut forged = der.to_vec();
            *forged.last_mut().unwrap() ^= 1;
            assert!(!is_self_signed(&CertificateDer::from(forged), 1_800_000_000));
        }

        // Another replica shows the very same, and one that is told not to shows the rest.
        let replica = broker.replica().await;
        replica.poll().await;
        assert_eq!(replica.visitor().get(JWKS).await.text, jwks.text);
        let without = broker.replica_with(|config| config.issuer.x5c = false).await;
        without.poll().await;
        let mut shown = jwks.json.clone();
        for key in shown["keys"].as_array_mut().unwrap() {
            key.as_object_mut().unwrap().remove("x5c");
        }
        assert_eq!(without.visitor().get(JWKS).await.json, shown);
    }
}

#[tokio::test]
async fn who_has_a_document_already_is_told_so() {
    let broker = broker().await;
    let public = broker.public();
    for path in [JWKS, AWS_JWKS, DISCOVERY] {
        let whole = broker.visitor().get(path).await;
        let tag = whole.header("etag");
        for known in [tag.to_owned(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
            let answer = ask(&public, Method::GET, path, &[("if-none-match", &known)]).await;
            assert_eq!((answer.status.as_u16(), answer.text.as_str()), (304, ""), "{known}");
            for name in ["etag", "cache-control", "access-control-allow-origin"] {
                assert_eq!(answer.header(name), whole.header(name));
            }
        }
        for unknown in ["\"other\"", &tag[1..tag.len() - 1], ""] {
            let answer = ask(&public, Method::GET, path, &[("if-none-match", unknown)]).await;
            assert_eq!((answer.status.as_u16(), &answer.text), (200, &whole.text), "{unknown}");
        }
        let head = ask(&public, Method::HEAD, path, &[]).await;
        assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
        assert_eq!((head.header("etag"), head.header("content-length")), (tag, whole.header("content-length")));
    }
}

#[tokio::test]
async fn nothing_is_served_before_there_is_something_to_rely_on() {
    let broker = broker().await;
    let replica = broker.replica().await;
    for path in [JWKS, AWS_JWKS, DISCOVERY] {
        let answer = ask(&replica.public(), Method::GET, path, &[("if-none-match", "*")]).await;
        assert_eq!(answer.status.as_u16(), 503);
        assert_eq!((answer.header("retry-after"), answer.header("cache-control")), ("1", "no-store"));
        assert_eq!((answer.header("etag"), answer.header("access-control-allow-origin")), ("", "*"));
        assert_eq!(answer.text, "no signing key: the keys have not been read from the database yet\n");
    }
    replica.poll().await;
    replica.visitor().get(JWKS).await.ok();
    // No key may sign: then none is shown.
    sqlx::query("update signing_keys set revoked_at = now()").execute(&mut *broker.db.conn().await).await.unwrap();
    replica.poll().await;
    for path in [JWKS, AWS_JWKS, DISCOVERY] {
        assert_eq!(replica.visitor().get(path).await.status.as_u16(), 503);
    }
}

#[tokio::test]
async fn there_are_these_paths_and_no_others() {
    let broker = broker().await;
    let public = broker.public();
    for path in ["/favicon.ico", "/.well-known/", "/.well-known/jwks.json/", "/readyz", "/metrics", "//", "/x"] {
        for method in [Method::GET, Method::POST] {
            let answer = ask(&public, method, path, &[]).await;
            assert_eq!((answer.status.as_u16(), answer.text.as_str()), (404, ""), "{path}");
        }
    }
    for (method, path, allowed) in [
        (Method::GET, "/", "POST"),
        (Method::PUT, "/", "POST"),
        (Method::DELETE, "/", "POST"),
        (Method::POST, JWKS, "GET,HEAD"),
        (Method::PUT, DISCOVERY, "GET,HEAD"),
    ] {
        let answer = ask(&public, method.clone(), path, &[]).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (405, ""), "{method} {path}");
        assert_eq!(answer.header("allow"), allowed);
    }
}

#[tokio::test]
async fn a_browser_may_ask_from_any_page() {
    let broker = broker().await;
    let asked = "authorization,content-type,x-amz-date,x-amz-target,x-amz-user-agent";
    for (path, method) in [("/", "POST"), (JWKS, "GET"), (DISCOVERY, "GET")] {
        let headers = [
            ("origin", "https://app.example.com"),
            ("access-control-request-method", method),
            ("access-control-request-headers", asked),
        ];
        let answer = ask(&broker.public(), Method::OPTIONS, path, &headers).await.ok();
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.header("access-control-allow-headers"), asked);
        assert_eq!(answer.header("access-control-max-age"), "172800");
        assert!(answer.header("access-control-allow-methods").split(',').any(|allowed| allowed == method));
        assert_eq!(answer.header("access-control-allow-credentials"), "");
    }
}
