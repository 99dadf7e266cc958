//! Two brokers on one database: they agree on every user, on the keys that verifiers see, and on who may ask.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;
use symbolon::ids::AccessKeyId;
use symbolon::tenants::AccessKey;
use symbolon::tenants::tenant::Status;
use tokio::task::JoinSet;

use crate::broker::{ISSUER, Launch};
use crate::client::Client;
use crate::database::{Database, add_developer, connect, count, orphans};

const USERS: usize = 2_000;
const CALLERS: usize = 8;
/// Users asked for at the same time, each by all of its callers.
const AT_ONCE: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_callers_of_a_new_user_get_one_identity_whichever_replica_they_ask() {
    let (database, client) = Database::with_developer().await;
    let launch = Launch::serve(&database.url).env("SYMBOLON__LIMITS__MAX_CONNECTIONS", "200");
    let (one, other) = tokio::join!(launch.start(), launch.start());
    let pool = client.create_pool(&one.url).await;
    let urls = [one.url.clone(), other.url.clone()];

    let client = Arc::new(client);
    let mut workers = JoinSet::new();
    for worker in 0..AT_ONCE {
        let (client, pool, urls) = (Arc::clone(&client), pool.clone(), urls.clone());
        workers.spawn(async move {
            let mut identities = BTreeMap::new();
            for user in (worker..USERS).step_by(AT_ONCE).map(|user| format!("user-{user}")) {
                identities.insert(user.clone(), ask_together(&client, &urls, &pool, &user).await);
            }
            identities
        });
    }
    let identities: BTreeMap<String, String> = workers.join_all().await.into_iter().flatten().collect();

    assert_eq!(identities.len(), USERS);
    assert_eq!(identities.values().collect::<BTreeSet<_>>().len(), USERS);
    assert_eq!(count(&database.url, "select count(*) from identities").await, 2_000);
    assert_eq!(count(&database.url, "select count(*) from logins").await, 2_000);
    assert_eq!(orphans(&database.url).await, (0, 0));
}

/// The identity that all of a user's callers are told, who ask both replicas at the same time. Each replica has its own
/// name, so two signatures serve them all: making 16 000 would take longer than answering them.
async fn ask_together(client: &Arc<Client>, urls: &[String; 2], pool: &str, user: &str) -> String {
    let requests = urls.clone().map(|url| Arc::new(client.token_request(&url, pool, user)));
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (client, request) = (Arc::clone(client), Arc::clone(&requests[caller % 2]));
        callers.spawn(async move { client.send(&request).await.unwrap().member("IdentityId") });
    }
    let told: BTreeSet<String> = callers.join_all().await.into_iter().collect();
    assert_eq!(told.len(), 1, "{user}: {told:?}");
    told.into_iter().next().unwrap()
}

#[tokio::test]
async fn replicas_show_the_same_keys_and_verify_each_others_tokens() {
    let (database, client) = Database::with_developer().await;
    let launch = Launch::serve(&database.url);
    let (one, other) = tokio::join!(launch.start(), launch.start());
    let pool = client.create_pool(&one.url).await;
    for path in ["/.well-known/jwks.json", "/.well-known/jwks_uri", "/.well-known/openid-configuration"] {
        let (of_one, of_other) = (one.get(path).await, other.get(path).await);
        assert_eq!(of_one.status, 200, "{of_one:?}");
        assert_eq!(of_one.text, of_other.text);
        assert_eq!(of_one.header("etag"), of_other.header("etag"));
    }
    for (minting, showing) in [(&one, &other), (&other, &one)] {
        let token = client.token(&minting.url, &pool, "alice").await.member("Token");
        let keys: JwkSet = serde_json::from_value(showing.get("/.well-known/jwks.json").await.json).unwrap();
        let kid = decode_header(&token).unwrap().kid.unwrap();
        let mut rules = Validation::new(Algorithm::ES256);
        rules.set_audience(&[&pool]);
        rules.set_issuer(&[ISSUER]);
        let key = DecodingKey::from_jwk(keys.find(&kid).unwrap()).unwrap();
        let claims = decode::<Value>(&token, &key, &rules).unwrap().claims;
        assert_eq!(claims["sub"], client.identity(&showing.url, &pool, "alice").await);
    }
}

#[tokio::test]
async fn a_new_access_key_works_at_once_and_a_disabled_one_no_longer_than_the_fence_on_every_replica() {
    const FENCE: u64 = 6;
    let (database, client) = Database::with_developer().await;
    let launch = Launch::serve(&database.url)
        .env("SYMBOLON__KEYS__POLL_INTERVAL", "1")
        .env("SYMBOLON__KEYS__SIGN_FENCE", FENCE.to_string())
        .env("SYMBOLON__KEYS__ALLOW_UNSAFE", "true");
    let (one, other) = tokio::join!(launch.start(), launch.start());
    let pool = client.create_pool(&one.url).await;

    let newcomer = add_developer(&database.url, "AKIADEVELOPERNUMBER2").await;
    for replica in [&one, &other] {
        let answer = newcomer.token(&replica.url, &pool, "alice").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let id = AccessKeyId::parse("AKIADEVELOPERNUMBER2").unwrap();
    assert!(AccessKey::set_status(&mut connect(&database.url).await, &id, Status::Disabled).await.unwrap());
    let disabled = Instant::now();
    for replica in [&one, &other] {
        replica
            .until("the key is refused", async || {
                let answer = newcomer.token(&replica.url, &pool, "alice").await;
                if answer.status == 200 {
                    return false;
                }
                assert_eq!((answer.status, answer.exception()), (400, "UnrecognizedClientException"), "{answer:?}");
                true
            })
            .await;
        assert!(disabled.elapsed() <= Duration::from_secs(FENCE), "{:?}", disabled.elapsed());
        // The other developer of the tenant is not concerned.
        assert_eq!(client.token(&replica.url, &pool, "alice").await.status, 200);
    }
}
