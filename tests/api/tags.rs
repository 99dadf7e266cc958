//! Tags of pools by their ARN (W11, X1, X2), and rates of operations (I11).

use std::sync::Arc;

use serde_json::{Value, json};

use crate::client::{ABROAD, Answer, Developer, HOME, broker, broker_with};
use crate::harness::together;

fn arn(account: &str, pool: &str) -> String {
    format!("arn:aws:cognito-identity:{HOME}:{account}:identitypool/{pool}")
}

async fn tag(developer: &Developer, arn: &str, tags: Value) -> Answer {
    developer.call("TagResource", json!({ "ResourceArn": arn, "Tags": tags })).await
}

async fn untag(developer: &Developer, arn: &str, keys: Value) -> Answer {
    developer.call("UntagResource", json!({ "ResourceArn": arn, "TagKeys": keys })).await
}

async fn list(developer: &Developer, arn: &str) -> Answer {
    developer.call("ListTagsForResource", json!({ "ResourceArn": arn })).await
}

#[tokio::test]
async fn tags_are_merged_removed_and_those_of_the_pool() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let pool = developer.pool().await;
    // With the account as it is, and as Terraform leaves it out.
    let (full, short) = (arn(developer.account.as_str(), &pool), arn("", &pool));
    list(&developer, &full).await.is(r#"{"Tags":{}}"#);
    tag(&developer, &full, json!({ "team": "blue", "Team": "Blue", "é": "" })).await.is("{}");
    tag(&developer, &short, json!({ "team": "red", "new": "1" })).await.is("{}");
    let merged = json!({ "team": "red", "Team": "Blue", "é": "", "new": "1" });
    assert_eq!(list(&developer, &short).await.ok().json, json!({ "Tags": merged }));
    let describe = json!({ "IdentityPoolId": pool });
    let described = developer.call("DescribeIdentityPool", describe.clone()).await.ok();
    assert_eq!(described.json["IdentityPoolTags"], merged);

    untag(&developer, &full, json!(["team", "absent", "é"])).await.is("{}");
    untag(&developer, &short, json!(["team"])).await.is("{}");
    untag(&developer, &short, json!([])).await.is("{}");
    tag(&developer, &short, json!({})).await.is("{}");
    assert_eq!(list(&developer, &full).await.ok().json, json!({ "Tags": { "Team": "Blue", "new": "1" } }));
    let update = json!({ "IdentityPoolId": pool, "IdentityPoolName": "p", "AllowUnauthenticatedIdentities": true,
                         "IdentityPoolTags": { "other": "x" } });
    developer.call("UpdateIdentityPool", update).await.ok();
    list(&developer, &full).await.is(r#"{"Tags":{"other":"x"}}"#);
}

#[tokio::test]
async fn a_pool_has_fifty_tags_after_the_merge_and_all_follow_the_rules() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let arn = arn("", &developer.pool().await);
    let tags = |range: std::ops::Range<u32>| range.map(|n| (format!("k{n}"), json!("v"))).collect::<Value>();
    tag(&developer, &arn, tags(0..30)).await.ok();
    let too_many = "A resource can have at most 50 tags.";
    tag(&developer, &arn, tags(10..51)).await.is_exception(400, "InvalidParameterException", too_many);
    tag(&developer, &arn, tags(10..50)).await.ok();
    tag(&developer, &arn, json!({ "k0": "new" })).await.ok();
    tag(&developer, &arn, json!({ "one more": "v" })).await.is_exception(400, "InvalidParameterException", too_many);
    untag(&developer, &arn, json!(["k0"])).await.ok();
    tag(&developer, &arn, json!({ "one more": "v" })).await.ok();
    untag(&developer, &arn, json!(["k1"])).await.ok();
    for (tags, text) in [
        (json!({ "aws:x": "y" }), "Tag key 'aws:x' begins with the reserved prefix 'aws:'."),
        (
            json!({ "a": "b\0" }),
            "Tag 'a' holds the character '\\0'; letters, digits, white space and _ . : / = + - @ are allowed.",
        ),
    ] {
        tag(&developer, &arn, tags).await.is_exception(400, "InvalidParameterException", text);
    }
    assert_eq!(list(&developer, &arn).await.json["Tags"].as_object().unwrap().len(), 49);
}

#[tokio::test]
async fn what_names_no_pool_is_denied_as_iam_would() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let pool = developer.pool().await;
    let body = |operation: &str, arn: &str| match operation {
        "TagResource" => json!({ "ResourceArn": arn, "Tags": { "aws:not": "asked" } }),
        "UntagResource" => json!({ "ResourceArn": arn, "TagKeys": ["a"] }),
        _ => json!({ "ResourceArn": arn }),
    };
    for operation in ["TagResource", "UntagResource", "ListTagsForResource"] {
        for given in [
            pool.as_str(),
            "a name of twenty characters",
            &format!("identitypool/{pool}"),
            &format!("arn:aws:cognito-idp:{HOME}::identitypool/{pool}"),
            &format!("arn:aws:cognito-identity:{HOME}::userpool/{pool}"),
            &format!("arn:aws:cognito-identity:{HOME}::identitypool/"),
            &format!("arn:other:cognito-identity:{HOME}::identitypool/{pool}"),
            &format!("ARN:aws:cognito-identity:{HOME}::identitypool/{pool}"),
        ] {
            let text = format!(
                "User: arn:aws:iam::000000000001:user/{} is not authorized to perform: cognito-identity:{operation} \
                 on resource: {given} because no identity-based policy allows the cognito-identity:{operation} action",
                developer.key
            );
            let answer = developer.call(operation, body(operation, given)).await;
            let whole = format!(r#"{{"Message":"{text}","__type":"AccessDeniedException"}}"#);
            assert_eq!((answer.status.as_u16(), answer.text.as_str()), (400, whole.as_str()));
            assert_eq!(answer.header("x-amzn-errortype"), "AccessDeniedException:");
            assert_eq!(answer.header("x-amzn-errormessage"), text);
        }
    }
}

#[tokio::test]
async fn an_arn_of_anothers_pool_or_region_is_as_of_one_that_does_not_exist() {
    let broker = broker().await;
    let (developer, stranger) = (broker.developer(1), broker.developer(2));
    let (pool, foreign) = (developer.pool().await, stranger.pool().await);
    let (own, other) = (developer.account.as_str(), stranger.account.as_str());
    let absent = format!("{HOME}:00000000-0000-4000-8000-000000000000");
    let abroad = pool.replace(HOME, ABROAD);
    for (given, id) in [
        (arn(own, &absent), absent.as_str()),
        (arn("", &foreign), &foreign),
        (arn(own, &foreign), &foreign),
        (arn(other, &foreign), &foreign),
        (arn(other, &pool), &pool),
        (arn("000000000009", &pool), &pool),
        (arn(own, &pool).replace(&format!(":{HOME}:{own}"), &format!(":{ABROAD}:{own}")), &pool),
        (arn(own, &pool).replace("arn:aws:", "arn:aws-cn:"), &pool),
        (arn(own, &abroad), &abroad),
        (arn(own, "no id"), "no id"),
    ] {
        list(&developer, &given).await.no_pool(id);
        tag(&developer, &given, json!({ "taken": "over" })).await.no_pool(id);
        untag(&developer, &given, json!(["a"])).await.no_pool(id);
    }
    list(&developer.in_region(ABROAD), &arn(own, &pool)).await.no_pool(&pool);
    list(&developer.in_region(ABROAD), &arn(own, &abroad).replacen(HOME, ABROAD, 1)).await.no_pool(&abroad);
    for (owner, pool) in [(&developer, &pool), (&stranger, &foreign)] {
        list(owner, &arn("", pool)).await.is(r#"{"Tags":{}}"#);
    }
}

#[tokio::test]
async fn pools_of_other_partitions_have_their_arns() {
    let broker = broker_with(|config| config.regions = vec!["*".into()]).await;
    for (region, partition) in [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"), ("eu-west-1", "aws")] {
        let developer = broker.developer(1).in_region(region);
        let pool = developer.pool().await;
        for account in ["", developer.account.as_str()] {
            let arn = format!("arn:{partition}:cognito-identity:{region}:{account}:identitypool/{pool}");
            tag(&developer, &arn, json!({ "in": region })).await.ok();
            assert_eq!(list(&developer, &arn).await.ok().json, json!({ "Tags": { "in": region } }));
        }
        let denied = list(&developer, &pool).await;
        assert!(denied.text.contains(&format!("User: arn:{partition}:iam::000000000001:user/")), "{denied:?}");
    }
}

#[tokio::test]
async fn tags_set_at_the_same_time_are_all_there() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let arn = Arc::new(arn("", &developer.pool().await));
    let work: Vec<_> = (0..10)
        .map(|number| {
            let (developer, arn) = (developer.clone(), Arc::clone(&arn));
            async move { tag(&developer, &arn, json!({ format!("k{number}"): "v" })).await.exception().to_owned() }
        })
        .collect();
    assert_eq!(together(work).await, vec![""; 10]);
    assert_eq!(list(&developer, &arn).await.json["Tags"].as_object().unwrap().len(), 10);
}

#[tokio::test]
async fn an_operation_has_the_rate_that_is_configured_for_each_account() {
    let broker = broker_with(|config| {
        config.limits.requests_per_second = [("ListTagsForResource".to_owned(), 1)].into();
    })
    .await;
    let (developer, stranger) = (broker.developer(1), broker.developer(2));
    let arn = arn("", &developer.pool().await);
    let mut answer = list(&developer, &arn).await.ok();
    while answer.exception().is_empty() {
        // A slow machine asks once a second.
        answer = list(&developer, &arn).await;
    }
    answer.is_exception(400, "TooManyRequestsException", "Rate exceeded");
    // Neither another account's nor another operation's.
    list(&stranger, &arn).await.refused(
        "ResourceNotFoundException",
        &format!("IdentityPool '{}' not found.", arn.rsplit_once('/').unwrap().1),
    );
    for _ in 0..10 {
        tag(&developer, &arn, json!({ "a": "b" })).await.ok();
    }
}
