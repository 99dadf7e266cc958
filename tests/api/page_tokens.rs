//! A page token is good for the very question that it was given for, and for no other.

use serde_json::{Value, json};

use crate::client::{ABROAD, Developer, broker};
use crate::harness::DEVELOPER;

/// A question of several pages: who asks, which operation, and what beside the page.
struct Question {
    developer: Developer,
    operation: &'static str,
    body: Value,
}

impl Question {
    async fn page(&self, size: u32, token: Option<&str>) -> crate::client::Answer {
        let mut body = self.body.clone();
        body["MaxResults"] = json!(size);
        body["NextToken"] = json!(token);
        self.developer.call(self.operation, body).await
    }
}

/// Two users of one identity, and two identities, in a new pool.
async fn pool(developer: &Developer) -> (String, String) {
    let pool = developer.pool().await;
    let id = developer.identity(&pool, "b").await;
    for (source, destination) in [("a", "b"), ("d", "c")] {
        developer.identity(&pool, source).await;
        developer.identity(&pool, destination).await;
        let merge = json!({ "SourceUserIdentifier": source, "DestinationUserIdentifier": destination,
                            "DeveloperProviderName": DEVELOPER, "IdentityPoolId": pool });
        developer.call("MergeDeveloperIdentities", merge).await.ok();
    }
    (pool, id)
}

/// Questions that differ in one thing or another. Every one has two pages or more.
async fn questions(broker: &crate::client::Broker) -> Vec<Question> {
    let mut questions = Vec::new();
    for developer in [broker.developer(1), broker.developer(1).in_region(ABROAD), broker.developer(2)] {
        let ask = |operation, body| Question { developer: developer.clone(), operation, body };
        for (pool, id) in [pool(&developer).await, pool(&developer).await] {
            questions.extend([
                ask("ListIdentities", json!({ "IdentityPoolId": pool })),
                ask("ListIdentities", json!({ "IdentityPoolId": pool, "HideDisabled": true })),
                ask("LookupDeveloperIdentity", json!({ "IdentityPoolId": pool, "IdentityId": id })),
                ask("LookupDeveloperIdentity", json!({ "IdentityPoolId": pool, "DeveloperUserIdentifier": "a" })),
                ask("LookupDeveloperIdentity", json!({ "IdentityPoolId": pool, "DeveloperUserIdentifier": "c" })),
            ]);
        }
        questions.push(ask("ListIdentityPools", json!({})));
    }
    questions
}

#[tokio::test]
async fn a_page_token_is_refused_for_every_other_tenant_region_operation_pool_and_filter() {
    let broker = broker().await;
    let questions = questions(&broker).await;
    let mut tokens = Vec::new();
    for question in &questions {
        tokens.push(question.page(1, None).await.member("NextToken"));
    }
    for (asked, question) in questions.iter().enumerate() {
        for (given, token) in tokens.iter().enumerate() {
            let answer = question.page(1, Some(token)).await;
            if asked == given {
                answer.ok();
            } else {
                answer.is_exception(400, "InvalidParameterException", "Invalid NextToken");
            }
        }
    }
}

#[tokio::test]
async fn a_page_token_that_is_none_of_ours_is_refused() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let (pool, _) = pool(&developer).await;
    let question = Question { developer, operation: "ListIdentities", body: json!({ "IdentityPoolId": pool }) };
    let token = question.page(1, None).await.member("NextToken");
    let other = if token.ends_with('A') { "B" } else { "A" };
    let last = &token[..token.len() - 1];
    for bad in ["x", "!", "é", last, &format!("{last}{other}"), &format!("{token}A"), &token.to_uppercase()] {
        let refused = question.page(1, Some(bad)).await;
        refused.is_exception(400, "InvalidParameterException", "Invalid NextToken");
    }
    for bad in ["", " ", "a b"] {
        assert_eq!(question.page(1, Some(bad)).await.exception(), "ValidationException", "{bad}");
    }
    // Page sizes are no part of the question, and a token is good again and again, at every replica.
    let replica = broker.replica().await;
    let there = Question { developer: replica.developer(1), ..question };
    assert_eq!(there.page(60, Some(&token)).await.ok().text, there.page(59, Some(&token)).await.text);
}
