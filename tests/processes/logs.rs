//! What operators read: log lines with the ids of requests and without a secret, and metrics that name nobody.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::{Value, json};
use symbolon::clock::Clock;
use symbolon::iam::SamlProvider;
use symbolon::ids::AccountId;
use symbolon::tags::Tags;

use crate::broker::{Broker, Launch, MASTER_KEY};
use crate::client::{self, Client};
use crate::database::{ACCOUNT, Database, connect};
use crate::idp::{self, Idp};
use crate::issuer::Fault;
use crate::other_sts::{self, Does, OtherSts};
use crate::proxy::Proxy;
use crate::social_providers::{AMAZON, CONSUMER, FACEBOOK, Providers, TWITTER};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// The first line with a token, which begins like this. In the middle of a word it may be a part of a key's id, by chance.
fn line_with_token(said: &str) -> Option<&str> {
    let beginning = Regex::new(r"(^|[^\w-]|\\[nrt]|%[[:xdigit:]]{2})eyJ").unwrap();
    said.lines().find(|line| beginning.is_match(line))
}

/// One of everything: successes, refusals of each kind, a user, a guest. Gives the request ids of the refusals.
async fn use_it(broker: &Broker, client: &Client) -> (String, String, Vec<String>) {
    let url = &broker.url;
    let pool = client.create_pool(url).await;
    let alice = client.identity(url, &pool, "alice@example.com").await;
    assert_eq!(client::get_id(url, &pool).await.status, 200);
    let absent = json!({ "IdentityPoolId": "us-east-1:00000000-0000-4000-8000-000000000000" });
    let login = json!({ "IdentityPoolId": pool, "Logins": { "nobody.example.com": "alice@example.com" } });
    let refusals = [
        Client::new("AKIADEVELOPERNUMBER1", "wrong").token(url, &pool, "alice@example.com").await,
        Client::new("AKIANOBODYKNOWSTHIS1", SECRET).token(url, &pool, "alice@example.com").await,
        client.call(url, "DescribeIdentityPool", &absent).await,
        client.call(url, "GetOpenIdTokenForDeveloperIdentity", &login).await,
        client.call(url, "ListIdentityPools", &json!({ "MaxResults": -1 })).await,
        client.call(url, "NoSuchOperation", &json!({})).await,
        client::call_unsigned(url, "ListIdentityPools", &json!({ "MaxResults": 1 })).await,
        client::call_unsigned(
            url,
            "GetId",
            &json!({ "IdentityPoolId": pool, "Logins": { "a.example": "eyJh.eyJi.c" } }),
        )
        .await,
    ];
    let mut ids = Vec::new();
    for refusal in refusals {
        assert_eq!(refusal.status, 400, "{refusal:?}");
        ids.push(refusal.header("x-amzn-requestid").to_owned());
    }
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    (pool, alice, ids)
}

#[tokio::test]
async fn log_lines_are_json_with_request_ids_and_never_hold_a_secret() {
    let (database, client) = Database::with_developer().await;
    let proxy = Proxy::start(&database.server).await;
    let broker = Launch::serve(&proxy.url(&database.url)).env("SYMBOLON__TELEMETRY__LOG_LEVEL", "trace").start().await;
    let (pool, _, refused) = use_it(&broker, &client).await;
    let token = client.token(&broker.url, &pool, "bob").await.member("Token");
    let request = client.token_request(&broker.url, &pool, "carol");
    let signature = request.header("authorization").rsplit_once("Signature=").unwrap().1.to_owned();
    client.send(&request).await.unwrap().member("Token");
    // Failures are logged whole, and still without secrets.
    proxy.strike_all_dumb();
    let failed = client.token(&broker.url, &pool, "dave").await;
    failed.is_internal_error();
    proxy.recover();

    // A line is read some time after the answer that it tells of.
    let id = failed.header("x-amzn-requestid");
    broker.until("to log the failure", async || broker.said().contains(id)).await;
    let lines = broker.log();
    let levels: BTreeSet<&str> = lines.iter().filter_map(|line| line["level"].as_str()).collect();
    assert!(levels.contains("DEBUG"), "more is logged than usual: {levels:?}");
    for line in &lines {
        for member in ["timestamp", "level", "target"] {
            assert!(line[member].is_string(), "{line}");
        }
    }
    let of = |id: &str| -> Vec<&Value> { lines.iter().filter(|line| line["request_id"] == id).collect() };
    for id in &refused {
        let [line] = of(id)[..] else { panic!("{id}: {:?}", of(id)) };
        assert_eq!(line["message"], "request refused", "{line}");
        assert!(line["exception"].as_str().unwrap().ends_with("Exception"), "{line}");
    }
    let [line] = of(failed.header("x-amzn-requestid"))[..] else { panic!("the failure is not logged") };
    assert_eq!((line["level"].as_str(), line["exception"].as_str()), (Some("ERROR"), Some("InternalErrorException")));
    assert!(line["cause"].as_str().is_some_and(|cause| !cause.is_empty()), "{line}");

    let said = broker.stop().await.stderr;
    let (_, last_part) = token.rsplit_once('.').unwrap();
    for (what, secret) in [
        ("the secret of the access key", SECRET),
        ("a token's signature", last_part),
        ("a request's signature", &signature),
        ("signatures", "Signature="),
        ("the database's password", "s3cret-of-the-database"),
        ("the master key", MASTER_KEY),
        // Not even those of the statements that made them.
        ("a user's name", "carol"),
        ("a user's name in hexadecimal", &hex::encode("carol")),
        ("a statement", "insert into"),
    ] {
        let line = said.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{what} is in the log: {line:?}");
    }
    assert_eq!(line_with_token(&said), None);
}

#[tokio::test]
async fn tokens_of_social_providers_are_in_no_log_line_whatever_comes_of_them() {
    let (database, client) = Database::with_developer().await;
    let providers = Providers::start(Clock::System).await;
    let mut launch = Launch::serve(&database.url).env("SYMBOLON__TELEMETRY__LOG_LEVEL", "trace");
    for (field, url) in providers.settings() {
        launch = launch.env(&format!("SYMBOLON__UPSTREAM__{}", field.to_uppercase()), url);
    }
    let broker = launch.start().await;
    let url = &broker.url;
    let applications =
        json!({ FACEBOOK: "1001", AMAZON: "amzn1.application.one", TWITTER: format!("{};{}", CONSUMER.0, CONSUMER.1) });
    let settings = |applications: &Value| {
        json!({ "IdentityPoolName": "social", "AllowUnauthenticatedIdentities": true,
                "SupportedLoginProviders": applications })
    };
    let pool = client.call(url, "CreateIdentityPool", &settings(&applications)).await.member("IdentityPoolId");
    let refused =
        client.call(url, "CreateIdentityPool", &settings(&json!({ TWITTER: "key of consumer-s3cret" }))).await;
    assert_eq!(refused.status, 400);
    let tokens = [(FACEBOOK, "Fb-T0ken"), (AMAZON, "Atza-T0ken"), (TWITTER, "Tw-T0ken;Tw-S3cret")];
    let get_id = async |key: &str, token: &str| {
        let body = json!({ "IdentityPoolId": pool, "Logins": { key: token } });
        client::call_unsigned(url, "GetId", &body).await.status
    };
    providers.facebook("Fb-T0ken", "1001", "ann");
    providers.amazon("Atza-T0ken", "one", "ann");
    providers.twitter("Tw-T0ken", "Tw-S3cret", "42");
    for (key, token) in tokens {
        assert_eq!(get_id(key, token).await, 200);
    }
    let faults = [
        Fault::Says(400, "{}".to_owned()),
        Fault::Status(500),
        Fault::Text("no JSON".to_owned()),
        Fault::Redirect("http://127.0.0.1:1/?access_token=Fb-T0ken".to_owned()),
        Fault::Reset,
    ];
    for fault in faults {
        providers.behave();
        providers.misbehave("", fault);
        for (key, token) in tokens {
            assert_eq!(get_id(key, token).await, 400);
        }
    }
    // Nobody listens any more.
    drop(providers);
    for (key, token) in tokens {
        assert_eq!(get_id(key, token).await, 400);
    }
    let metrics = broker.ask("/metrics").await.text;
    assert!(metrics.contains(r#"symbolon_upstream_fetch_total{result="ok"} 7"#), "{metrics}");
    let said = broker.stop().await.stderr;
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let failures = lines.iter().filter(|line| line["message"] == "a login provider could not be asked");
    let results: BTreeSet<&str> = failures.filter_map(|line| line["result"].as_str()).collect();
    assert_eq!(results, BTreeSet::from(["bad_document", "bad_status", "unreachable"]));
    for secret in ["T0ken", "S3cret", "consumer-s3cret", "oauth_signature", "access_token"] {
        let line = said.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret} is in the log: {line:?}");
    }
}

#[tokio::test]
async fn credentials_are_counted_by_where_they_come_from_and_are_in_no_log_line() {
    let (database, client) = Database::with_developer().await;
    let sts = OtherSts::start().await;
    let serve = Launch::serve(&database.url).env("SYMBOLON__TELEMETRY__LOG_LEVEL", "trace");
    let broker = serve.clone().env("SYMBOLON__CREDENTIALS__STS_ENDPOINT", &sts.url).start().await;
    let pool = client.create_pool(&broker.url).await;
    let role = format!("arn:aws:iam::{ACCOUNT}:role/guest");
    let roles = json!({ "IdentityPoolId": pool, "Roles": { "unauthenticated": role } });
    assert_eq!(client.call(&broker.url, "SetIdentityPoolRoles", &roles).await.status, 200);
    let guest = client::get_id(&broker.url, &pool).await.member("IdentityId");
    let get = async |url: &str| {
        client::call_unsigned(url, "GetCredentialsForIdentity", &json!({ "IdentityId": guest })).await
    };
    assert_eq!(get(&broker.url).await.status, 200);
    for does in [Does::Refuse(403, "AccessDenied"), Does::Repeat, Does::Say(500, String::new()), Does::HangUp] {
        sts.does(does);
        assert_eq!(get(&broker.url).await.status, 400);
    }
    let metrics = broker.ask("/metrics").await.text;
    for line in [
        r#"symbolon_credentials_issued_total{backend="sts"} 1"#,
        r#"symbolon_upstream_fetch_total{result="ok"} 3"#,
        r#"symbolon_upstream_fetch_total{result="bad_status"} 1"#,
        r#"symbolon_upstream_fetch_total{result="unreachable"} 1"#,
        r#"symbolon_requests_total{operation="GetCredentialsForIdentity",code="ExternalServiceException"} 2"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
    let tokens: Vec<String> = sts.asked().iter().map(|asked| asked.form["WebIdentityToken"].clone()).collect();
    assert_eq!(tokens.len(), 5);
    let said = broker.stop().await.stderr;
    for text in
        ["credentials come from an STS", "the STS does not admit an identity to its role", "the STS could not be asked"]
    {
        assert!(said.contains(text), "{text} is not in\n{said}");
    }

    // The same of this broker's own, whose session then says who it is.
    let trust = json!({ "Statement": { "Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
                        "Principal": { "Federated": "cognito-identity.amazonaws.com" },
                        "Condition": { "StringEquals": { "cognito-identity.amazonaws.com:aud": pool } } } });
    let insert = "insert into iam_roles (account_id, name_key, name, path, role_id, max_session_duration, trust_policy)
                  values ($1, 'guest', 'guest', '/', 'AROAEXAMPLE', 3600, $2)";
    let query = sqlx::query(insert).bind(ACCOUNT).bind(trust.to_string());
    query.execute(&mut connect(&database.url).await).await.unwrap();
    let broker = serve.env("SYMBOLON__CREDENTIALS__BUILTIN", "true").start().await;
    let given = get(&broker.url).await;
    assert_eq!(given.status, 200, "{given:?}");
    let of = |name: &str| given.json["Credentials"][name].as_str().unwrap().to_owned();
    let metrics = broker.ask("/metrics").await.text;
    let line = r#"symbolon_credentials_issued_total{backend="builtin"} 1"#;
    assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    let said = said + &broker.stop().await.stderr;
    assert!(said.contains("credentials are this broker's own"), "{said}");

    let signatures: Vec<&str> = tokens.iter().map(|token| token.rsplit_once('.').unwrap().1).collect();
    let (secret, session) = (of("SecretKey"), of("SessionToken"));
    assert_eq!(line_with_token(&said), None);
    for part in signatures.into_iter().chain([other_sts::SECRET, other_sts::SESSION_TOKEN, &secret, &session]) {
        let line = said.lines().find(|line| line.contains(part));
        assert!(line.is_none(), "{part} is in the log: {line:?}");
    }
}

#[tokio::test]
async fn nothing_of_a_saml_response_is_in_a_log_line_whatever_comes_of_it() {
    let (database, client) = Database::with_developer().await;
    let idp = Idp::rsa("https://idp.example.com/saml", 0);
    let now = Clock::System.wall();
    let (account, metadata) = (AccountId::parse(ACCOUNT).unwrap(), idp.metadata());
    let provider = SamlProvider::new("idp".to_owned(), &metadata, Tags::new(), now).unwrap();
    provider.create(&mut connect(&database.url).await, &account, &metadata, 1).await.unwrap();
    let broker = Launch::serve(&database.url).env("SYMBOLON__TELEMETRY__LOG_LEVEL", "trace").start().await;
    let arn = format!("arn:aws:iam::{ACCOUNT}:saml-provider/idp");
    let settings = json!({ "IdentityPoolName": "saml", "AllowUnauthenticatedIdentities": true,
                           "SamlProviderARNs": [arn] });
    let pool = client.call(&broker.url, "CreateIdentityPool", &settings).await.member("IdentityPoolId");
    let now = now.unix_timestamp();
    let good = idp.document("ann-s3cret", now);
    let altered = good.replace("ann-s3cret", "bob-s3cret");
    let expired = idp.document("eve-s3cret", now - 86_400);
    let bare = good.replace("Response", "Retort");
    // The second time it is a replay.
    for (document, status) in [(&good, 200), (&good, 400), (&altered, 400), (&expired, 400), (&bare, 400)] {
        let body = json!({ "IdentityPoolId": pool, "Logins": { &arn: idp::login(document) } });
        assert_eq!(client::call_unsigned(&broker.url, "GetId", &body).await.status, status, "{document}");
    }
    let said = broker.stop().await.stderr;
    let value = good.split_once("<ds:SignatureValue>").unwrap().1.split_once('<').unwrap().0;
    // A base64 text of any of them begins like this.
    for part in ["s3cret", "saml:Assertion", value, &idp::login(&good)[..40], &idp::login(&bare)[..40]] {
        let line = said.lines().find(|line| line.contains(part));
        assert!(line.is_none(), "{part} is in the log: {line:?}");
    }
    assert_eq!(said.lines().filter(|line| line.contains("request refused")).count(), 4, "{said}");
}

#[tokio::test]
async fn a_secret_in_the_configuration_is_not_told_when_that_is_refused() {
    let serve = Launch::serve("postgres://symbolon:s3cret-of-the-database@127.0.0.1:notaport/x");
    let mut all = String::new();
    for refused in [
        serve.clone(),
        serve.clone().env("SYMBOLON_MASTER_KEY", format!("{MASTER_KEY},{MASTER_KEY}")),
        serve.clone().env("SYMBOLON_MASTER_KEY", format!("{MASTER_KEY}x")),
        serve.env("SYMBOLON__DATABASE__POOL_SIZE", "many"),
    ] {
        let ended = refused.run().await;
        assert_eq!(ended.code, Some(3), "{ended:?}");
        all.push_str(&ended.stderr);
    }
    assert!(!all.contains("s3cret-of-the-database") && !all.contains(MASTER_KEY), "{all}");
}

#[tokio::test]
async fn metrics_have_the_documented_names_and_no_ones_name_in_a_label() {
    let (database, client) = Database::with_developer().await;
    let broker = Launch::serve(&database.url).start().await;
    let (pool, alice, _) = use_it(&broker, &client).await;
    let answer = broker.ask("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"), "{answer:?}");
    let text = answer.text;
    for line in [
        r#"symbolon_requests_total{operation="GetOpenIdTokenForDeveloperIdentity",code="OK"} 1"#,
        r#"symbolon_requests_total{operation="DescribeIdentityPool",code="ResourceNotFoundException"} 1"#,
        r#"symbolon_requests_total{operation="Unknown",code="UnknownOperationException"} 1"#,
        r#"symbolon_request_duration_seconds_count{operation="GetId"} 2"#,
        r#"symbolon_tokens_issued_total{flow="developer"} 1"#,
        r#"symbolon_identities_created_total{kind="developer"} 1"#,
        r#"symbolon_identities_created_total{kind="guest"} 1"#,
        r#"symbolon_denials_total{reason="invalid_signature"} 1"#,
        r#"symbolon_denials_total{reason="unknown_access_key"} 1"#,
        r#"symbolon_denials_total{reason="missing_signature"} 1"#,
        r#"symbolon_signing_key_age_seconds{state="active"}"#,
        r#"symbolon_signing_key_age_seconds{state="next"}"#,
        "symbolon_signing_key_next_transition_timestamp_seconds ",
        r#"symbolon_db_pool_connections{state="idle"}"#,
        r#"symbolon_db_pool_connections{state="used"} "#,
        concat!(r#"symbolon_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""} 1"#),
    ] {
        assert!(text.lines().any(|found| found.starts_with(line)), "{line} is not in\n{text}");
    }
    let (_, pool_uuid) = pool.split_once(':').unwrap();
    let (_, alice_uuid) = alice.split_once(':').unwrap();
    for name in [pool_uuid, alice_uuid, "alice", "AKIADEVELOPER", "123456789012", "login.example.com", "127.0.0.1"] {
        assert!(!text.contains(name), "{name} is in\n{text}");
    }
}
