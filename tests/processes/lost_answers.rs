//! Commits whose answer is lost on the way: the broker tries again, finds what its first try has done, and answers as if
//! nothing had happened.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::broker::Broker;
use crate::client::{Answer, PROVIDER, get_id, unsigned};
use crate::database::{connect, count};
use crate::federation::Federation;
use crate::proxy::Proxy;

struct Lossy {
    at: Federation,
    broker: Broker,
    proxy: Proxy,
    pool: String,
}

impl Lossy {
    async fn start() -> Self {
        let at = Federation::start(&["ann", "bob"]).await;
        let proxy = Proxy::start(&at.database.server).await;
        let broker = at.serve(&proxy.url(&at.database.url)).env("SYMBOLON__KEYS__POLL_INTERVAL", "59").start().await;
        let pool = at.create_pool(&broker.url).await;
        Self { at, broker, proxy, pool }
    }

    async fn call(&self, operation: &str, body: &Value) -> Answer {
        let public = ["GetId", "GetOpenIdToken", "GetCredentialsForIdentity", "UnlinkIdentity"].contains(&operation);
        let request = if public {
            unsigned(&self.broker.url, operation, body)
        } else {
            self.at.client.sign(&self.broker.url, operation, body)
        };
        self.at.client.send(&request).await.unwrap()
    }

    /// The same, and the answer to its commit is lost.
    async fn call_in_vain(&self, operation: &str, body: &Value) -> Answer {
        self.proxy.lose_an_answer();
        let answer = self.call(operation, body).await;
        assert!(!self.proxy.is_losing(), "{operation} committed nothing: {answer:?}");
        answer
    }

    async fn id(&self, user: &str) -> String {
        let operation = if user.contains(':') { "GetId" } else { "GetOpenIdTokenForDeveloperIdentity" };
        self.call(operation, &self.sign_in(None, &[user])).await.member("IdentityId")
    }

    async fn guest(&self) -> String {
        get_id(&self.broker.url, &self.pool).await.member("IdentityId")
    }

    fn sign_in(&self, named: Option<&str>, users: &[&str]) -> Value {
        json!({ "IdentityPoolId": self.pool, "IdentityId": named, "Logins": self.at.logins(users) })
    }

    fn use_of(&self, named: &str, users: &[&str]) -> Value {
        json!({ "IdentityId": named, "Logins": self.at.logins(users) })
    }

    fn developers(&self, more: &Value) -> Value {
        let mut body = json!({ "IdentityPoolId": self.pool, "DeveloperProviderName": PROVIDER });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    }

    async fn identities(&self) -> i64 {
        count(&self.at.database.url, "select count(*) from identities").await
    }
}

#[tokio::test]
async fn a_user_made_by_a_lost_try_is_found_by_the_next() {
    let at = Lossy::start().await;
    let ann = at.call_in_vain("GetId", &at.sign_in(None, &["a:ann", "b:ann"])).await.member("IdentityId");
    let own = at.call_in_vain("GetOpenIdTokenForDeveloperIdentity", &at.sign_in(None, &["ada"])).await;
    assert_eq!((at.id("b:ann").await, at.id("ada").await), (ann, own.member("IdentityId")));
    assert_eq!(at.identities().await, 2);
}

#[tokio::test]
async fn a_guest_merged_by_a_lost_try_leads_to_where_its_user_is() {
    let at = Lossy::start().await;
    let ann = at.id("a:ann").await;
    for operation in ["GetOpenIdToken", "GetCredentialsForIdentity"] {
        let guest = at.guest().await;
        let answer = at.call_in_vain(operation, &at.use_of(&guest, &["a:ann"])).await;
        if operation == "GetOpenIdToken" {
            assert_eq!(answer.member("IdentityId"), ann);
        } else {
            assert_eq!(answer.exception(), "InvalidIdentityPoolConfigurationException", "{answer:?}");
        }
        // To whoever comes anew it is forbidden.
        let answer = at.call("GetOpenIdToken", &at.use_of(&guest, &["a:ann"])).await;
        assert_eq!(answer.json["message"], format!("Access to Identity '{guest}' is forbidden."));
    }
    // A new user of the developer comes along into the identity of the public one.
    let guest = at.guest().await;
    let body = at.sign_in(Some(&guest), &["ada", "a:ann", "b:ann"]);
    assert_eq!(at.call_in_vain("GetOpenIdTokenForDeveloperIdentity", &body).await.member("IdentityId"), ann);
    for user in ["ada", "a:ann", "b:ann"] {
        assert_eq!(at.id(user).await, ann);
    }
}

#[tokio::test]
async fn links_and_merges_of_a_lost_try_are_done() {
    let at = Lossy::start().await;
    let guest = at.guest().await;
    let linked = at.call_in_vain("GetOpenIdToken", &at.use_of(&guest, &["a:ann"])).await;
    assert_eq!(linked.member("IdentityId"), guest);
    let other = at.id("b:ann").await;
    let merged = at.call_in_vain("GetOpenIdToken", &at.use_of(&other, &["a:ann", "b:ann"])).await;
    assert_eq!(merged.member("IdentityId"), other, "the identity named survives");
    let (_, bea) = (at.id("ada").await, at.id("bea").await);
    let body = at.developers(&json!({ "SourceUserIdentifier": "ada", "DestinationUserIdentifier": "bea" }));
    assert_eq!(at.call_in_vain("MergeDeveloperIdentities", &body).await.member("IdentityId"), bea);
    assert_eq!((at.id("a:ann").await, at.id("ada").await), (other, bea));
}

#[tokio::test]
async fn what_a_lost_try_has_taken_away_is_not_missed() {
    let at = Lossy::start().await;
    let ann = at.call("GetId", &at.sign_in(None, &["a:ann", "b:ann"])).await.member("IdentityId");
    let remove = |proof: &str, path: &str| {
        let logins = at.at.logins(&[proof]);
        json!({ "IdentityId": ann, "Logins": logins, "LoginsToRemove": [at.at.key(path)] })
    };
    // The proof itself goes, and then the last login, and with it the identity.
    for (proof, path) in [("a:ann", "a"), ("b:ann", "b")] {
        let answer = at.call_in_vain("UnlinkIdentity", &remove(proof, path)).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, ""), "{answer:?}");
        assert_ne!(at.id(proof).await, ann);
    }
    let ada = at.id("ada").await;
    let body = at.developers(&json!({ "IdentityId": ada, "DeveloperUserIdentifier": "ada" }));
    assert_eq!(at.call_in_vain("UnlinkDeveloperIdentity", &body).await.status, 200);
    assert_ne!(at.id("ada").await, ada);
    let bea = at.id("bea").await;
    let answer = at.call_in_vain("DeleteIdentities", &json!({ "IdentityIdsToDelete": [bea] })).await;
    assert_eq!(answer.json, json!({ "UnprocessedIdentityIds": [] }));
    assert_ne!(at.id("bea").await, bea);
}

#[tokio::test]
async fn a_try_that_failed_is_not_taken_for_one_that_took_the_login_away() {
    let at = Lossy::start().await;
    let ann = at.call("GetId", &at.sign_in(None, &["a:ann", "b:ann"])).await.member("IdentityId");
    let body = json!({ "IdentityId": ann, "Logins": at.at.logins(&["a:ann"]), "LoginsToRemove": [at.at.key("b")] });

    // Somebody holds the identity for longer than one try waits, and meanwhile the proof goes elsewhere.
    let mut conn = connect(&at.at.database.url).await;
    let mut other = conn.begin().await.unwrap();
    sqlx::query("select from identities for no key update").execute(&mut *other).await.unwrap();
    let unlinking = at.call("UnlinkIdentity", &body);
    let moving = async {
        at.broker
            .until("a try has failed", async || at.broker.ask("/metrics").await.text.contains("sqlstate=\"55P03\""))
            .await;
        let moved = "delete from logins where provider_no = (select min(provider_no) from logins)";
        sqlx::query(moved).execute(&mut *other).await.unwrap();
        other.commit().await.unwrap();
    };
    let (answer, ()) =
        tokio::time::timeout(Duration::from_secs(20), async { tokio::join!(unlinking, moving) }).await.unwrap();
    let text = answer.json["message"].as_str().unwrap_or_default();
    assert!(answer.exception() == "NotAuthorizedException" && text.starts_with("Logins don't match."), "{answer:?}");
    assert_eq!(at.id("b:ann").await, ann);
}
