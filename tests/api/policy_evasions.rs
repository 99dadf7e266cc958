//! Ways around a policy, each closed: other names for the same thing, ids that steer, values that fail first, memory.

use serde_json::{Value, json};

use crate::client::{ABROAD, Developer, HOME, broker, broker_with};
use crate::harness::{DEVELOPER, people};
use crate::policy_matrix::requests::{Asked, Body as Sent, Place, iam};
use crate::policy_matrix::{all_rows, assert_denied, key_with};

const TOKEN: &str = "GetOpenIdTokenForDeveloperIdentity";
const NONE: &str = "us-east-1:00000000-0000-4000-8000-000000000000";
const CHINA: &str = "cn-north-1";

/// The policy that allows everything but what this statement denies.
fn all_but(deny: &str) -> String {
    format!(
        r#"{{"Statement": [{{"Effect": "Allow", "Action": "*", "Resource": "*"}},
                           {{"Effect": "Deny", "Action": "*", "Resource": "{deny}"}}]}}"#
    )
}

/// The policy that allows everything to be done to this.
fn only(resource: &str) -> String {
    format!(r#"{{"Statement": {{"Effect": "Allow", "Action": "*", "Resource": "{resource}"}}}}"#)
}

fn pool_arn(of: &Developer, pool: &str) -> String {
    format!("arn:aws:cognito-identity:{HOME}:{}:identitypool/{pool}", of.account)
}

fn iam_arn(of: &Developer, rest: &str) -> String {
    format!("arn:aws:iam::{}:{rest}", of.account)
}

fn action(operation: &str) -> String {
    format!("cognito-identity:{operation}")
}

/// Like the request, with another body.
fn with_body(asked: &Asked, body: &Value) -> Asked {
    Asked { action: asked.action.clone(), body: Sent::Json(body.clone()), resource: asked.resource.clone() }
}

#[tokio::test]
async fn who_may_not_learns_nothing_of_what_is_wrong_with_the_values() {
    let broker = broker().await;
    let place = Place::new(&broker, 100).await;
    let nothing = r#"{"Statement": {"Effect": "Deny", "Action": "s3:*", "Resource": "*"}}"#;
    let key = key_with(&broker, &place.admin, 9, nothing).await;
    let before = all_rows(&broker).await;
    for asked in place.requests() {
        let operation = asked.operation();
        // Nothing that is required, which only a caller who may is told.
        let (body, resource) = match asked.body {
            Sent::Json(_) if operation.contains("Resource") => (Sent::Json(json!({})), String::new()),
            Sent::Json(_) => (Sent::Json(json!({})), pool_arn(&key, "")),
            Sent::Form(_) => {
                let resource = match operation {
                    "CreateOpenIDConnectProvider" | "ListOpenIDConnectProviders" => iam_arn(&key, "oidc-provider/"),
                    "CreateSAMLProvider" | "ListSAMLProviders" => iam_arn(&key, "saml-provider/"),
                    "CreateRole" | "ListRoles" => iam_arn(&key, "role/"),
                    _ => String::new(),
                };
                (Sent::Form(Vec::new()), resource)
            }
        };
        let asked = Asked { action: asked.action.clone(), body, resource };
        let told = place.admin.send(asked.signed_by(&place.admin)).await;
        if !["ListOpenIDConnectProviders", "ListRoles", "ListSAMLProviders"].contains(&asked.operation()) {
            assert!(told.text.contains("Validation") && told.status == 400, "{}: {told:?}", asked.action);
        }
        assert_denied(&key.send(asked.signed_by(&key)).await, &key, &asked.action, &asked.resource, false);
    }
    for (operation, body, resource) in [
        ("ListIdentityPools", json!({ "MaxResults": 0 }), ""),
        ("DescribeIdentityPool", json!({ "IdentityPoolId": "no id" }), "no id"),
        ("ListIdentities", json!({ "IdentityPoolId": place.pool, "MaxResults": 61 }), &place.pool),
        (TOKEN, json!({ "IdentityPoolId": place.pool, "Logins": {} }), &place.pool),
        ("DescribeIdentity", json!({ "IdentityId": "no id" }), ""),
        ("DeleteIdentities", json!({ "IdentityIdsToDelete": [] }), ""),
    ] {
        let told = place.admin.call(operation, body.clone()).await;
        assert!(["ValidationException", "InvalidParameterException"].contains(&told.exception()), "{told:?}");
        let answer = key.call(operation, body).await;
        assert_denied(&answer, &key, &action(operation), &pool_arn(&key, resource), false);
    }
    assert!(all_rows(&broker).await == before);
}

#[tokio::test]
async fn a_pool_that_is_not_there_is_denied_as_one_of_another_tenant_and_as_one_that_is_there() {
    let broker = broker().await;
    let place = Place::new(&broker, 100).await;
    let foreign = broker.developer(2).pool().await;
    let deleted = place.admin.pool().await;
    place.admin.call("DeleteIdentityPool", json!({ "IdentityPoolId": deleted })).await.ok();
    let key = key_with(&broker, &place.admin, 9, &only(&pool_arn(&place.admin, &place.pool))).await;
    let abroad = place.pool.replace(HOME, ABROAD);
    for asked in place.requests().iter().filter(|asked| asked.resource.ends_with(&place.pool)) {
        let Sent::Json(body) = &asked.body else { panic!("{} is no JSON", asked.action) };
        if ["DescribeIdentity", "DeleteIdentities"].contains(&asked.operation()) {
            continue;
        }
        for id in [&place.other_pool, &foreign, &deleted, &abroad, NONE] {
            let body = body.to_string().replace(&place.pool, id);
            let answer = key.send(key.sign(asked.operation(), &body)).await;
            assert_denied(&answer, &key, &asked.action, &pool_arn(&key, id), false);
        }
    }
}

#[tokio::test]
async fn identities_of_a_denied_pool_are_out_of_reach_in_every_list() {
    let broker = broker_with(|config| config.limits.guests_per_second_per_address = 0).await;
    let (admin, visitor) = (broker.developer(1), broker.visitor());
    let (mine, denied) = (admin.pool().await, admin.pool().await);
    let merged = admin.identity(&denied, "source").await;
    let target = admin.identity(&denied, "target").await;
    let merge = json!({ "IdentityPoolId": denied, "DeveloperProviderName": DEVELOPER,
                        "SourceUserIdentifier": "source", "DestinationUserIdentifier": "target" });
    admin.call("MergeDeveloperIdentities", merge).await.ok();
    let guest = visitor.get_id(&denied).await.member("IdentityId");
    let foreign = broker.developer(2).identity(&broker.developer(2).pool().await, "user").await;
    let mut own = Vec::new();
    for _ in 0..61 {
        own.push(visitor.get_id(&mine).await.member("IdentityId"));
    }
    let by_deny = key_with(&broker, &admin, 8, &all_but(&pool_arn(&admin, &denied))).await;
    let by_allow = key_with(&broker, &admin, 9, &only(&pool_arn(&admin, &mine))).await;
    let before = people(&mut *broker.db.conn().await).await;

    for (key, explicit) in [(&by_deny, true), (&by_allow, false)] {
        for id in [&merged, &target, &guest] {
            let answer = key.call("DescribeIdentity", json!({ "IdentityId": id })).await;
            assert_denied(&answer, key, "cognito-identity:DescribeIdentity", &pool_arn(key, &denied), explicit);
            for list in [vec![id], vec![&own[0], id], vec![id, &own[0]], vec![&own[0], &own[0], id, id, &own[1]]] {
                let answer = key.call("DeleteIdentities", json!({ "IdentityIdsToDelete": list })).await;
                assert_denied(&answer, key, "cognito-identity:DeleteIdentities", &pool_arn(key, &denied), explicit);
            }
        }
        // In the last place of the longest list, and behind it, where it is too long for anyone.
        let last: Vec<&String> = own[..59].iter().chain([&guest]).collect();
        let answer = key.call("DeleteIdentities", json!({ "IdentityIdsToDelete": last })).await;
        assert_denied(&answer, key, "cognito-identity:DeleteIdentities", &pool_arn(key, &denied), explicit);
        let behind: Vec<&String> = own[..60].iter().chain([&guest]).collect();
        let answer = key.call("DeleteIdentities", json!({ "IdentityIdsToDelete": behind })).await;
        assert_eq!(answer.exception(), "ValidationException", "{answer:?}");
    }
    // Whose an identity is that the key cannot see, or whether there is one, is not told.
    let none = format!("{HOME}:{}", foreign.split_once(':').unwrap().1.replace(char::is_numeric, "0"));
    for id in [&foreign, &none, "no id"] {
        let answer = by_allow.call("DescribeIdentity", json!({ "IdentityId": id })).await;
        assert_denied(&answer, &by_allow, "cognito-identity:DescribeIdentity", &pool_arn(&by_allow, ""), false);
        let answer = by_allow.call("DeleteIdentities", json!({ "IdentityIdsToDelete": [own[0], id] })).await;
        assert_denied(&answer, &by_allow, "cognito-identity:DeleteIdentities", &pool_arn(&by_allow, ""), false);
    }
    assert_eq!(people(&mut *broker.db.conn().await).await, before);
    by_allow.call("DeleteIdentities", json!({ "IdentityIdsToDelete": own[..60] })).await.ok();
}

#[tokio::test]
async fn members_that_an_operation_does_not_read_do_not_steer_the_decision() {
    let broker = broker().await;
    let place = Place::new(&broker, 100).await;
    let admin = &place.admin;
    let key = key_with(&broker, admin, 9, &only(&pool_arn(admin, &place.other_pool))).await;
    let allowed = [
        ("IdentityPoolId", json!(place.other_pool)),
        ("identityPoolId", json!(place.other_pool)),
        ("IdentityPoolID", json!(place.other_pool)),
        ("IdentityId", json!(admin.identity(&place.other_pool, "user").await)),
        ("IdentityIdsToDelete", json!([])),
        ("ResourceArn", json!(pool_arn(admin, &place.other_pool))),
    ];
    let before = all_rows(&broker).await;
    for asked in place.requests() {
        let Sent::Json(body) = &asked.body else { continue };
        for (name, value) in &allowed {
            // Where it reads the member, that is what it is done to, and what is decided on.
            if body.get(*name).is_none() {
                let mut body = body.clone();
                body[*name] = value.clone();
                let answer = key.send(with_body(&asked, &body).signed_by(&key)).await;
                assert_denied(&answer, &key, &asked.action, &asked.resource, false);
            }
        }
    }
    let twice = format!(r#"{{"IdentityPoolId":"{}","IdentityPoolId":"{}"}}"#, place.other_pool, place.pool);
    let answer = key.send(key.sign("DescribeIdentityPool", &twice)).await;
    assert_eq!(answer.exception(), "SerializationException", "{answer:?}");

    assert!(all_rows(&broker).await == before);

    let role = iam_arn(admin, "role/team/Role-100");
    let key = key_with(&broker, admin, 10, &only(&role)).await;
    let before = all_rows(&broker).await;
    let provider = iam_arn(admin, "oidc-provider/idp-100.example.com");
    let by_name = [("OpenIDConnectProviderArn", provider.as_str()), ("RoleName", "Role-100")];
    let answer = key.iam("DeleteOpenIDConnectProvider", &by_name).await;
    assert_denied(&answer, &key, "iam:DeleteOpenIDConnectProvider", &provider, false);
    let listed = [("RoleName", "Role-100"), ("OpenIDConnectProviderArn", role.as_str())];
    for (operation, resource) in [("ListRoles", "role/"), ("ListOpenIDConnectProviders", "oidc-provider/")] {
        let answer = key.iam(operation, &listed).await;
        assert_denied(&answer, &key, &format!("iam:{operation}"), &iam_arn(admin, resource), false);
    }
    let url = [("Url", "https://new.example.com"), ("OpenIDConnectProviderArn", &role), ("RoleName", "Role-100")];
    let answer = key.iam("CreateOpenIDConnectProvider", &url).await;
    let made = iam_arn(admin, "oidc-provider/new.example.com");
    assert_denied(&answer, &key, "iam:CreateOpenIDConnectProvider", &made, false);
    assert!(all_rows(&broker).await == before);
}

#[tokio::test]
async fn an_arn_without_the_account_is_the_whole_one_and_no_other_form_is_taken() {
    let broker = broker().await;
    let place = Place::new(&broker, 100).await;
    let whole = pool_arn(&place.admin, &place.pool);
    let short = whole.replace(place.admin.account.as_str(), "");
    let by_deny = key_with(&broker, &place.admin, 8, &all_but(&whole)).await;
    let by_allow = key_with(&broker, &place.admin, 9, &only(&whole)).await;
    let before = all_rows(&broker).await;
    for asked in place.requests().iter().filter(|asked| asked.operation().contains("Resource")) {
        let Sent::Json(body) = &asked.body else { panic!("{} is no JSON", asked.action) };
        for arn in [&whole, &short] {
            let mut body = body.clone();
            body["ResourceArn"] = json!(arn);
            let answer = by_deny.send(with_body(asked, &body).signed_by(&by_deny)).await;
            assert_denied(&answer, &by_deny, &asked.action, &whole, true);
        }
        // Other forms fit no Deny, and name nothing.
        for (part, other) in [
            ("arn:aws:", "arn:aws-cn:"),
            ("arn:aws:", "ARN:aws:"),
            (":us-east-1:", "::"),
            (":us-east-1:", ":eu-west-1:"),
            ("identitypool", "identityPool"),
            ("identitypool/", "identitypool//"),
            ("identitypool/us-east-1:", "identitypool/US-EAST-1:"),
            ("identitypool/", "identitypool/ "),
        ] {
            let mut body = body.clone();
            body["ResourceArn"] = json!(whole.replace(part, other));
            let answer = by_deny.send(with_body(asked, &body).signed_by(&by_deny)).await;
            assert!(
                ["ResourceNotFoundException", "AccessDeniedException"].contains(&answer.exception()),
                "{other}: {answer:?}"
            );
        }
    }
    assert!(all_rows(&broker).await == before);
    for arn in [&whole, &short] {
        by_allow.call("TagResource", json!({ "ResourceArn": arn, "Tags": { "a": "b" } })).await.ok();
    }
}

#[tokio::test]
async fn a_role_has_one_arn_whatever_the_case_of_its_name_and_the_slashes_of_its_path() {
    let broker = broker().await;
    let place = Place::new(&broker, 100).await;
    let admin = &place.admin;
    let arn = iam_arn(admin, "role/team/Role-100");
    let key = key_with(&broker, admin, 9, &all_but(&arn)).await;
    let before = all_rows(&broker).await;
    for asked in place.requests().iter().filter(|asked| asked.resource == arn) {
        for name in ["Role-100", "role-100", "ROLE-100", "rOLE-100"] {
            let Sent::Form(parameters) = &asked.body else { panic!("{} is no form", asked.action) };
            let named = |(key, value): &(&'static str, String)| {
                (*key, if *key == "RoleName" { name.to_owned() } else { value.clone() })
            };
            let parameters: Vec<_> = parameters.iter().map(named).collect();
            let answer = key.send(iam(&key, asked.operation(), &parameters)).await;
            assert_denied(&answer, &key, &asked.action, &arn, true);
        }
        // A path is no part of a name.
        for name in ["team/Role-100", "/team/Role-100", "../Role-100", "Role-100 ", "Role-100\u{131}"] {
            let answer = key.iam(asked.operation(), &[("RoleName", name)]).await;
            assert_ne!(answer.status, 200, "{name}: {answer:?}");
        }
    }
    assert!(all_rows(&broker).await == before);

    // What a role is made as is what it is called afterwards.
    let key = key_with(&broker, admin, 10, &all_but(&iam_arn(admin, "role/prod/*"))).await;
    let trust = crate::query::trust(&place.pool).to_string();
    let create = async |path: &str, name: &str| {
        let role = [("RoleName", name), ("Path", path), ("AssumeRolePolicyDocument", trust.as_str())];
        key.iam("CreateRole", &role).await
    };
    let answer = create("/prod/", "one").await;
    assert_denied(&answer, &key, "iam:CreateRole", &iam_arn(admin, "role/prod/one"), true);
    for (number, path) in ["/", "//prod/", "///prod/", "/prod//", "/./prod/", "/PROD/", "///"].iter().enumerate() {
        let name = format!("two-{number}");
        let answer = create(path, &name).await;
        if path.starts_with("/prod/") {
            assert_denied(&answer, &key, "iam:CreateRole", &iam_arn(admin, &format!("role{path}{name}")), true);
            continue;
        }
        let shown = iam_arn(admin, &format!("role{path}{name}"));
        assert!(answer.ok().text.contains(&format!("<Arn>{shown}</Arn>")), "{path}");
    }
}

#[tokio::test]
async fn what_iam_holds_is_denied_under_the_names_of_every_partition() {
    let broker = broker_with(|config| config.regions.push(CHINA.to_owned())).await;
    let place = Place::new(&broker, 100).await;
    let admin = &place.admin;
    let denied = ["role/team/Role-100", "oidc-provider/idp-100.example.com", "saml-provider/saml-100"]
        .map(|rest| iam_arn(admin, rest));
    for (number, arn) in (10..).zip(&denied) {
        let key = key_with(&broker, admin, number, &all_but(arn)).await.in_region(CHINA);
        let before = all_rows(&broker).await;
        let abroad = arn.replace("arn:aws:", "arn:aws-cn:");
        for asked in place.requests().iter().filter(|asked| asked.resource == *arn) {
            let Sent::Form(parameters) = &asked.body else { panic!("{} is no form", asked.action) };
            let parameters: Vec<_> =
                parameters.iter().map(|(name, value)| (*name, value.replace(arn, &abroad))).collect();
            let answer = key.send(iam(&key, asked.operation(), &parameters)).await;
            assert!(answer.text.contains("with an explicit deny"), "{}: {answer:?}", asked.action);
        }
        assert!(all_rows(&broker).await == before);
        let listed = key.iam("ListRoles", &[]).await.ok();
        assert!(listed.text.contains("arn:aws-cn:iam::"), "{listed:?}");
    }
    // What is allowed at home is not allowed elsewhere, as pools are not.
    let key = key_with(&broker, admin, 20, &only(&denied[0])).await;
    key.iam("GetRole", &[("RoleName", "Role-100")]).await.ok();
    let answer = key.in_region(CHINA).iam("GetRole", &[("RoleName", "Role-100")]).await;
    assert!(answer.text.contains("because no identity-based policy allows the iam:GetRole action"), "{answer:?}");
}
