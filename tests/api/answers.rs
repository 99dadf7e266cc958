//! Every operation's success, whole: status, headers and body.

use serde_json::json;

use crate::client::broker;
use crate::harness::DEVELOPER;

#[tokio::test]
async fn the_operations_on_pools_answer_so() {
    let broker = broker().await;
    let developer = broker.developer(1);

    let plain = json!({ "IdentityPoolName": "plain", "AllowUnauthenticatedIdentities": false });
    let made = developer.call("CreateIdentityPool", plain).await;
    let plain_pool = r#"{"IdentityPoolId":"[us-east-1 pool]","IdentityPoolName":"plain","AllowUnauthenticatedIdentities":false,"IdentityPoolTags":{}}"#;
    made.is(plain_pool);
    let id = made.member("IdentityPoolId");
    let described = developer.call("DescribeIdentityPool", json!({ "IdentityPoolId": id })).await;
    described.is(plain_pool);
    assert_eq!(described.text, made.text);

    let full = json!({
        "IdentityPoolName": "full", "AllowUnauthenticatedIdentities": true, "AllowClassicFlow": false,
        "SupportedLoginProviders": { "graph.facebook.com": "7346241598935555" },
        "DeveloperProviderName": DEVELOPER,
        "OpenIdConnectProviderARNs": ["arn:aws:iam::000000000001:oidc-provider/idp.example.com"],
        "CognitoIdentityProviders": [
            { "ProviderName": "cognito-idp.us-east-1.amazonaws.com/us-east-1_1", "ClientId": "client1",
              "ServerSideTokenCheck": false },
            { "ProviderName": "cognito-idp.us-east-1.amazonaws.com/us-east-1_2", "ClientId": "client2" },
        ],
        "SamlProviderARNs": ["arn:aws:iam::000000000001:saml-provider/adfs"],
        "IdentityPoolTags": { "team": "blue", "empty": "" },
    });
    let made = developer.call("CreateIdentityPool", full).await;
    made.is(concat!(
        r#"{"IdentityPoolId":"[us-east-1 pool]","IdentityPoolName":"full","AllowUnauthenticatedIdentities":true,"#,
        r#""AllowClassicFlow":false,"SupportedLoginProviders":{"graph.facebook.com":"7346241598935555"},"#,
        r#""DeveloperProviderName":"login.example.com","#,
        r#""OpenIdConnectProviderARNs":["arn:aws:iam::000000000001:oidc-provider/idp.example.com"],"#,
        r#""CognitoIdentityProviders":[{"ProviderName":"cognito-idp.us-east-1.amazonaws.com/us-east-1_1","#,
        r#""ClientId":"client1","ServerSideTokenCheck":false},"#,
        r#"{"ProviderName":"cognito-idp.us-east-1.amazonaws.com/us-east-1_2","ClientId":"client2"}],"#,
        r#""SamlProviderARNs":["arn:aws:iam::000000000001:saml-provider/adfs"],"#,
        r#""IdentityPoolTags":{"empty":"","team":"blue"}}"#,
    ));
    let full = made.member("IdentityPoolId");

    let update = json!({ "IdentityPoolId": full, "IdentityPoolName": "less", "AllowUnauthenticatedIdentities": false });
    let updated = developer.call("UpdateIdentityPool", update).await;
    updated.is(concat!(
        r#"{"IdentityPoolId":"[us-east-1 pool]","IdentityPoolName":"less","AllowUnauthenticatedIdentities":false,"#,
        r#""AllowClassicFlow":false,"DeveloperProviderName":"login.example.com","#,
        r#""IdentityPoolTags":{"empty":"","team":"blue"}}"#,
    ));
    let described = developer.call("DescribeIdentityPool", json!({ "IdentityPoolId": full })).await.ok();
    assert_eq!(described.text, updated.text);

    let first = developer.call("ListIdentityPools", json!({ "MaxResults": 1 })).await;
    let page = |name: &str| format!(r#"{{"IdentityPoolId":"[us-east-1 pool]","IdentityPoolName":"{name}"}}"#);
    let name = |answer: &crate::client::Answer| answer.json["IdentityPools"][0]["IdentityPoolName"].clone();
    let (one, other) = if name(&first) == "plain" { ("plain", "less") } else { ("less", "plain") };
    first.is(&format!(r#"{{"IdentityPools":[{}],"NextToken":[page token]}}"#, page(one)));
    let next = json!({ "MaxResults": 1, "NextToken": first.member("NextToken") });
    developer.call("ListIdentityPools", next).await.is(&format!(r#"{{"IdentityPools":[{}]}}"#, page(other)));

    for id in [full, id] {
        assert_empty(&developer.call("DeleteIdentityPool", json!({ "IdentityPoolId": id })).await);
    }
    developer.call("ListIdentityPools", json!({ "MaxResults": 60 })).await.is(r#"{"IdentityPools":[]}"#);
}

/// An operation without an output shape: 200, `Content-Length: 0`, and otherwise as ever.
#[track_caller]
fn assert_empty(answer: &crate::client::Answer) {
    let head = crate::shown::HEAD.replace("[length of the body]", "0");
    assert_eq!(answer.shown(), format!("200\n{head}\n"));
}

#[tokio::test]
async fn the_operations_on_identities_answer_so() {
    let broker = broker().await;
    let (developer, visitor) = (broker.developer(1), broker.visitor());
    let pool = developer.pool().await;

    let listed = developer.call("ListIdentities", json!({ "IdentityPoolId": pool, "MaxResults": 60 })).await;
    listed.is(r#"{"IdentityPoolId":"[us-east-1 pool]","Identities":[]}"#);

    let guest = visitor.get_id(&pool).await;
    guest.is(r#"{"IdentityId":"[us-east-1 identity]"}"#);
    let guest = guest.member("IdentityId");
    let dates = r#""CreationDate":[now],"LastModifiedDate":[now]"#;
    let shown_guest = format!(r#"{{"IdentityId":"[us-east-1 identity]",{dates}}}"#);
    developer.call("DescribeIdentity", json!({ "IdentityId": guest })).await.is(&shown_guest);

    let user = developer.identity(&pool, "user").await;
    let shown_user = format!(r#"{{"IdentityId":"[us-east-1 identity]","Logins":["login.example.com"],{dates}}}"#);
    developer.call("DescribeIdentity", json!({ "IdentityId": user })).await.is(&shown_user);

    let first = developer.call("ListIdentities", json!({ "IdentityPoolId": pool, "MaxResults": 1 })).await;
    let guest_first = first.json["Identities"][0]["IdentityId"] == guest.as_str();
    let (one, other) = if guest_first { (&shown_guest, &shown_user) } else { (&shown_user, &shown_guest) };
    let begin = r#"{"IdentityPoolId":"[us-east-1 pool]","Identities":["#;
    first.is(&format!(r#"{begin}{one}],"NextToken":[page token]}}"#));
    let next = json!({ "IdentityPoolId": pool, "MaxResults": 1, "NextToken": first.member("NextToken") });
    developer.call("ListIdentities", next).await.is(&format!("{begin}{other}]}}"));

    let delete = json!({ "IdentityIdsToDelete": [guest, user] });
    developer.call("DeleteIdentities", delete).await.is(r#"{"UnprocessedIdentityIds":[]}"#);
    let listed = developer.call("ListIdentities", json!({ "IdentityPoolId": pool, "MaxResults": 1 })).await;
    listed.is(&format!("{begin}]}}"));
}

#[tokio::test]
async fn the_operations_on_developer_users_answer_so() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let pool = developer.pool().await;

    let token = developer.token(&pool, "b").await;
    token.is(r#"{"IdentityId":"[us-east-1 identity]","Token":[JWT]}"#);
    let (id, other) = (token.member("IdentityId"), developer.identity(&pool, "a").await);

    let merge = json!({ "SourceUserIdentifier": "a", "DestinationUserIdentifier": "b",
                        "DeveloperProviderName": DEVELOPER, "IdentityPoolId": pool });
    let merged = developer.call("MergeDeveloperIdentities", merge).await;
    merged.is(r#"{"IdentityId":"[us-east-1 identity]"}"#);
    assert_eq!(merged.member("IdentityId"), id);
    let described = developer.call("DescribeIdentity", json!({ "IdentityId": other })).await;
    described.is(r#"{"IdentityId":"[us-east-1 identity]","CreationDate":[now],"LastModifiedDate":[now]}"#);

    let lookup = async |more: serde_json::Value| {
        let mut body = json!({ "IdentityPoolId": pool });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        developer.call("LookupDeveloperIdentity", body).await
    };
    let both = r#"{"IdentityId":"[us-east-1 identity]","DeveloperUserIdentifierList":["a","b"]}"#;
    let only =
        |user: &str| format!(r#"{{"IdentityId":"[us-east-1 identity]","DeveloperUserIdentifierList":["{user}"]"#);
    lookup(json!({ "DeveloperUserIdentifier": "a" })).await.is(both);
    lookup(json!({ "IdentityId": id })).await.is(both);
    lookup(json!({ "IdentityId": id, "DeveloperUserIdentifier": "a" })).await.is(&(only("a") + "}"));
    let first = lookup(json!({ "IdentityId": id, "MaxResults": 1 })).await;
    first.is(&(only("a") + r#","NextToken":[page token]}"#));
    let next = json!({ "IdentityId": id, "MaxResults": 1, "NextToken": first.member("NextToken") });
    lookup(next).await.is(&(only("b") + "}"));

    let unlink = json!({ "IdentityId": id, "IdentityPoolId": pool,
                         "DeveloperProviderName": DEVELOPER, "DeveloperUserIdentifier": "a" });
    assert_empty(&developer.call("UnlinkDeveloperIdentity", unlink).await);
    lookup(json!({ "IdentityId": id })).await.is(&(only("b") + "}"));
}
