//! The protocol: what is taken for a call, and how each kind of refusal looks from its status to its last header.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Request};
use serde_json::{Value, json};
use symbolon::cognito::shapes::OPERATIONS;

use crate::client::{Answer, Broker, Developer, broker, broker_with, key_id, send, unsigned};
use crate::harness::DEVELOPER;
use crate::shown::HEAD_FOR_PAGES;

const OTHER_PROTOCOL: &str =
    r#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}"#;
const UNKNOWN: &str = r#"{"__type":"UnknownOperationException"}"#;

/// A call with these headers instead of its own of the same name; an empty value takes one away.
fn with(mut request: Request<Body>, headers: &[(&'static str, &str)]) -> Request<Body> {
    for (name, _) in headers {
        request.headers_mut().remove(*name);
    }
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        request.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    request
}

async fn sent(broker: &Broker, request: Request<Body>, headers: &[(&'static str, &str)]) -> Answer {
    send(&broker.public(), with(request, headers)).await
}

#[tokio::test]
async fn a_page_is_told_that_it_may_read_the_answer() {
    let broker = broker().await;
    let pool = broker.developer(1).pool().await;
    let request = unsigned("GetId", json!({ "IdentityPoolId": pool }).to_string());
    let answer = sent(&broker, request, &[("origin", "https://app.example")]).await;
    assert_eq!(answer.shown(), format!("200\n{HEAD_FOR_PAGES}\n{{\"IdentityId\":\"[us-east-1 identity]\"}}"));
    let answer = sent(&broker, unsigned("GetId", "{}"), &[("origin", "https://app.example")]).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
}

#[tokio::test]
async fn an_operation_is_named_by_the_end_of_its_target_and_spoken_in_json() {
    let broker = broker().await;
    let pool = broker.developer(1).pool().await;
    let get_id = || unsigned("GetId", json!({ "IdentityPoolId": pool }).to_string());
    for target in
        ["AWSCognitoIdentityService.GetId", "com.amazonaws.cognito.identity.model.AWSCognitoIdentityService.GetId"]
    {
        sent(&broker, get_id(), &[("x-amz-target", target)]).await.ok();
    }
    for media_type in ["application/x-amz-json-1.1; charset=utf-8", "Application/X-Amz-JSON-1.1"] {
        sent(&broker, get_id(), &[("content-type", media_type)]).await.ok();
    }
    for target in [
        "",
        "GetId",
        ".GetId",
        "AWSCognitoIdentityService",
        "AWSCognitoIdentityService.",
        "AWSCognitoIdentityService.getid",
        "AWSCognitoIdentityService.GetId ",
        "AWSCognitoIdentityService.GetCaller",
        "NotAWSCognitoIdentityService.GetId",
        "AWSCognitoIdentityProviderService.GetId",
    ] {
        let answer = sent(&broker, get_id(), &[("x-amz-target", target)]).await;
        answer.is_fault(400, "UnknownOperationException", None, UNKNOWN, &[]);
    }
    let target = ("x-amz-target", "AWSCognitoIdentityService.GetId");
    sent(&broker, get_id(), &[target, target]).await.is_fault(400, "UnknownOperationException", None, UNKNOWN, &[]);
    for media_type in ["", "application/json", "application/x-amz-json-1.0", "multipart/form-data"] {
        let answer = sent(&broker, get_id(), &[("content-type", media_type)]).await;
        answer.is_fault(404, "UnknownOperationException", None, OTHER_PROTOCOL, &[]);
    }
}

#[tokio::test]
async fn every_operation_of_the_model_is_served() {
    let broker = broker().await;
    for operation in OPERATIONS {
        let answer = broker.developer(1).call(operation, json!({})).await;
        assert_eq!(answer.exception(), "ValidationException", "{operation}");
        // Only signed operations ask who is there, and they ask first.
        let answer = broker.visitor().call(operation, json!({})).await;
        if ["GetId", "GetOpenIdToken", "GetCredentialsForIdentity", "UnlinkIdentity"].contains(operation) {
            assert_eq!(answer.exception(), "ValidationException", "{operation}");
        } else {
            answer.is_exception(400, "MissingAuthenticationTokenException", "Missing Authentication Token");
        }
    }
}

/// The body of a question about this pool.
fn about(pool: &str, more: Value) -> Value {
    let Value::Object(mut body) = more else { panic!("{more} is no object") };
    body.insert("IdentityPoolId".into(), json!(pool));
    body.into()
}

async fn expect(developer: &Developer, table: &[(&str, Value, &str, &str)]) {
    for (operation, body, exception, message) in table {
        developer.call(operation, body.clone()).await.is_exception(400, exception, message);
    }
}

#[tokio::test]
async fn exceptions_about_pools_and_guests_are_told_in_the_body_and_in_two_headers() {
    let broker = broker_with(|config| {
        config.limits.identity_pools_per_account = 2;
        config.limits.guests_per_second_per_pool = 1;
    })
    .await;
    let developer = broker.developer(1);
    let (pool, closed) = (developer.pool().await, developer.pool_with(None, false).await);
    let mut guest = broker.visitor().get_id(&pool).await;
    while guest.exception().is_empty() {
        // A slow machine makes one a second.
        guest = broker.visitor().get_id(&pool).await;
    }
    guest.is_exception(400, "TooManyRequestsException", "Rate exceeded");

    let named = |name: &str| json!({ "IdentityPoolName": name, "AllowUnauthenticatedIdentities": true });
    let mut renamed = about(&pool, named("p"));
    renamed["DeveloperProviderName"] = json!("other");
    let no_pool = "us-east-1:00000000-0000-4000-8000-000000000000";
    let not_found = format!("IdentityPool '{no_pool}' not found.");
    let no_guests = "Unauthenticated access is not supported for this identity pool.";
    let name = "1 validation error detected: Value 'a/b' at 'identityPoolName' failed to satisfy constraint: Member \
                must satisfy regular expression pattern: [\\w\\s+=,.@-]+";
    let nothing = "2 validation errors detected: Value null at 'identityPoolId' failed to satisfy constraint: Member \
                   must not be null; Value null at 'maxResults' failed to satisfy constraint: Member must not be null";
    let login = |provider: &str| about(&pool, json!({ "Logins": { provider: "x" } }));
    let (invalid, denied) = ("InvalidParameterException", "NotAuthorizedException");
    let table = [
        ("CreateIdentityPool", named("p"), "LimitExceededException", "An account can have at most 2 identity pools."),
        ("CreateIdentityPool", named("a/b"), "ValidationException", name),
        ("ListIdentities", json!({}), "ValidationException", nothing),
        ("UpdateIdentityPool", renamed, invalid, "DeveloperProviderName cannot be changed."),
        ("DescribeIdentityPool", about(no_pool, json!({})), "ResourceNotFoundException", &not_found),
        ("GetId", about(&closed, json!({})), denied, no_guests),
        ("GetId", login(DEVELOPER), invalid, "Please provide a valid public provider."),
        (
            "GetId",
            login("cognito-identity.amazonaws.com"),
            denied,
            "Invalid login token. Can't pass in a Cognito token.",
        ),
        ("GetId", login("idp.example.com"), denied, "Token is not from a supported provider of this identity pool."),
    ];
    expect(&developer, &table).await;
}

#[tokio::test]
async fn providers_that_are_too_long_or_too_many_are_refused_by_create_and_by_update() {
    let broker = broker_with(|config| {
        config.limits.openid_connect_providers_per_pool = 2;
        config.limits.saml_providers_per_pool = 1;
    })
    .await;
    let developer = broker.developer(1);
    let pool = developer.pool().await;
    let openid = |key: &str| format!("arn:aws:iam::000000000001:oidc-provider/{key}");
    let saml = |key: &str| format!("arn:aws:iam::000000000001:saml-provider/{key}");
    let name = "The name or ARN of a login provider can have at most 2048 bytes in UTF-8 and no control characters.";
    let (invalid, exceeded) = ("InvalidParameterException", "LimitExceededException");
    let table = [
        ("SamlProviderARNs", vec!["\u{1f511}".repeat(2048)], invalid, name),
        ("SamlProviderARNs", vec![saml("a\0")], invalid, name),
        ("OpenIdConnectProviderARNs", vec![openid(&"\u{1f511}".repeat(1500))], invalid, name),
        ("OpenIdConnectProviderARNs", vec![openid("a\n")], invalid, name),
        ("SamlProviderARNs", vec![saml("a"); 2], exceeded, "An identity pool can have at most 1 SAML providers."),
        (
            "OpenIdConnectProviderARNs",
            (0..10_000).map(|number| openid(&number.to_string())).collect(),
            exceeded,
            "An identity pool can have at most 2 OpenID Connect providers.",
        ),
    ];
    let wanted = |member: &str, arns: &[String]| {
        about(&pool, json!({ "IdentityPoolName": "p", "AllowUnauthenticatedIdentities": true, member: arns }))
    };
    let create = |mut body: Value| {
        body.as_object_mut().unwrap().remove("IdentityPoolId");
        body
    };
    for (member, arns, exception, message) in table {
        let body = wanted(member, &arns);
        let both = [
            ("CreateIdentityPool", create(body.clone()), exception, message),
            ("UpdateIdentityPool", body, exception, message),
        ];
        expect(&developer, &both).await;
    }
    // What the limits admit comes back as it was given, one that is there twice included.
    for (member, arns) in [
        ("OpenIdConnectProviderARNs", vec![openid("idp.example.com/realm"); 2]),
        ("OpenIdConnectProviderARNs", vec![openid(&"x".repeat(2048 - openid("").len()))]),
        ("SamlProviderARNs", vec![saml(&"x".repeat(2048 - saml("").len()))]),
    ] {
        let body = wanted(member, &arns);
        assert_eq!(developer.call("CreateIdentityPool", create(body.clone())).await.ok().json[member], json!(arns));
        assert_eq!(developer.call("UpdateIdentityPool", body).await.ok().json[member], json!(arns));
    }
}

#[tokio::test]
async fn exceptions_about_developer_users_are_told_in_the_body_and_in_two_headers() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let pool = developer.pool().await;
    let (a, b) = (developer.identity(&pool, "a").await, developer.identity(&pool, "b").await);
    let guest = broker.visitor().get_id(&pool).await.member("IdentityId");
    let unlinked = |user: &str, id: &str| {
        let more = json!({ "IdentityId": id, "DeveloperProviderName": DEVELOPER, "DeveloperUserIdentifier": user });
        about(&pool, more)
    };
    developer.call("UnlinkDeveloperIdentity", unlinked("b", &b)).await.ok();

    let login = |provider: &str, user: &str, id: Option<&str>| {
        about(&pool, json!({ "Logins": { provider: user }, "IdentityId": id }))
    };
    let merge = |source: &str, destination: &str| {
        let more = json!({ "SourceUserIdentifier": source, "DestinationUserIdentifier": destination,
                           "DeveloperProviderName": DEVELOPER });
        about(&pool, more)
    };
    let looked_up = |user: Option<&str>, id: Option<&str>| {
        about(&pool, json!({ "DeveloperUserIdentifier": user, "IdentityId": id }))
    };
    let forbidden = format!("Access to Identity '{b}' is forbidden.");
    let mismatch = "Logins don't match. Please include at least one valid login for this identity or identity pool.";
    let no_provider = "This identity pool does not support the specified developer provider";
    let registered = "This developer user identifier is already registered with Cognito.";
    let no_user = "Developer user identifier not found.";
    let no_key = "Either IdentityId or DeveloperUserIdentifier must be provided.";
    let nul = "DeveloperUserIdentifier must not contain the character U+0000.";
    let other = "DeveloperUserIdentifier does not match the given IdentityId.";
    let not_linked = "DeveloperUserIdentifier is not linked to the given IdentityId.";
    let (token, lookup) = ("GetOpenIdTokenForDeveloperIdentity", "LookupDeveloperIdentity");
    let (invalid, denied) = ("InvalidParameterException", "NotAuthorizedException");
    let (not_found, conflict) = ("ResourceNotFoundException", "ResourceConflictException");
    let table = [
        (token, about(&pool, json!({ "Logins": {} })), invalid, "Please provide a valid developer provider."),
        (token, login("login.example.org", "a", None), invalid, no_provider),
        (token, login(DEVELOPER, "a\0", None), invalid, nul),
        (token, login(DEVELOPER, "c", Some(&a)), denied, mismatch),
        (token, login(DEVELOPER, "c", Some(&b)), denied, &forbidden),
        (token, login(DEVELOPER, "a", Some(&guest)), "DeveloperUserAlreadyRegisteredException", registered),
        (lookup, looked_up(None, None), invalid, no_key),
        (lookup, looked_up(Some("c"), None), not_found, no_user),
        (lookup, looked_up(None, Some(&guest)), not_found, no_user),
        (lookup, looked_up(Some("a"), Some(&guest)), conflict, other),
        ("UnlinkDeveloperIdentity", unlinked("a", &guest), conflict, not_linked),
        ("UnlinkDeveloperIdentity", unlinked("c", &guest), not_found, no_user),
        ("MergeDeveloperIdentities", merge("a", "c"), not_found, no_user),
        ("MergeDeveloperIdentities", merge("c", "a"), not_found, no_user),
    ];
    expect(&developer, &table).await;
}

#[tokio::test]
async fn a_text_that_no_header_can_hold_is_in_the_body_alone() {
    let broker = broker().await;
    for (id, shown) in [("größe", "größe"), ("a\nb", "a\\nb"), ("a\u{7f}", "a\u{7f}"), (&"x".repeat(2_000), "")] {
        let answer = broker.visitor().get_id(id).await;
        assert!(answer.text.contains(shown));
        answer.is_fault(400, "ValidationException", None, &answer.text.clone(), &[]);
        let text = answer.json["message"].as_str().unwrap();
        assert!(text.starts_with("1 validation error") || text.starts_with("2 validation errors"), "{text}");
        assert_eq!(answer.text, format!(r#"{{"__type":"ValidationException","message":{}}}"#, json!(text)));
    }
}

#[tokio::test]
async fn who_does_not_sign_as_agreed_is_told_why() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let list = r#"{"MaxResults":1}"#;
    let call = |developer: &Developer| developer.sign("ListIdentityPools", list);
    let token = "The security token included in the request is invalid.";
    let nobody = developer.with_key("AKIANOBODY", "secret");
    sent(&broker, call(&nobody), &[]).await.is_exception(400, "UnrecognizedClientException", token);
    // Another tenant's key does not fit this secret; and the text is the same whoever's it is.
    let mismatch = "The request signature we calculated does not match the signature you provided. Check your AWS \
                    Secret Access Key and signing method. Consult the service documentation for details.";
    for developer in
        [developer.with_key(&developer.key, "wrong"), developer.with_key(key_id(2).as_str(), &developer.secret)]
    {
        sent(&broker, call(&developer), &[]).await.is_exception(400, "InvalidSignatureException", mismatch);
    }
    let (mut forged, signed) = (unsigned("ListIdentityPools", r#"{"MaxResults":2}"#), call(&developer));
    *forged.headers_mut() = signed.headers().clone();
    sent(&broker, forged, &[]).await.is_exception(400, "InvalidSignatureException", mismatch);
    let target = ("x-amz-target", "AWSCognitoIdentityService.CreateIdentityPool");
    let answer = sent(&broker, call(&developer), &[target]).await;
    answer.is_exception(400, "InvalidSignatureException", mismatch);
    let region = "Credential should be scoped to a valid region. This endpoint serves: us-east-1, eu-west-1.";
    let answer = sent(&broker, call(&developer.in_region("ap-south-1")), &[]).await;
    answer.is_exception(400, "InvalidSignatureException", region);
    let partial = "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/cognito-identity/aws4_request";
    let incomplete = format!(
        "Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. \
         Authorization={partial}"
    );
    let answer = sent(&broker, call(&developer), &[("authorization", partial)]).await;
    answer.is_exception(400, "IncompleteSignatureException", &incomplete);
    // A bad body is not read before the signature holds, and is then.
    for (developer, exception) in [(&nobody, "UnrecognizedClientException"), (&developer, "SerializationException")] {
        let answer = sent(&broker, developer.sign("ListIdentityPools", "{"), &[]).await;
        assert_eq!(answer.exception(), exception);
    }
}

#[tokio::test]
async fn a_body_that_is_no_body_of_this_protocol_is_refused() {
    let broker = broker().await;
    for body in ["{", "[]", r#"{"IdentityPoolId":1}"#, r#"{"IdentityPoolId":"a:0","IdentityPoolId":"a:0"}"#, "{}{}"] {
        let answer = sent(&broker, unsigned("GetId", body.to_owned()), &[]).await;
        let text = answer.json["message"].as_str().unwrap();
        answer.is_exception(400, "SerializationException", text);
        assert!(!text.contains("a:0"), "{text}");
    }
    // An empty body and one of nothing are alike.
    let expected = broker.visitor().call("GetId", json!({})).await.text;
    for body in ["", r#"{"IdentityPoolId":null,"Unknown":[{}]}"#] {
        assert_eq!(sent(&broker, unsigned("GetId", body.to_owned()), &[]).await.text, expected);
    }
    let large = " ".repeat(broker.app.config.server.max_body_bytes + 1);
    let text = "Request body is larger than 786432 bytes.";
    let answer = sent(&broker, unsigned("GetId", large), &[]).await;
    let body = format!(r#"{{"__type":"RequestEntityTooLargeException","message":"{text}"}}"#);
    answer.is_fault(413, "RequestEntityTooLargeException", Some(text), &body, &["connection: close"]);
    let text = "Content-Encoding is not supported; send the body as it is.";
    let answer = sent(&broker, unsigned("GetId", "{}"), &[("content-encoding", "gzip")]).await;
    answer.is_exception(400, "SerializationException", text);
}
