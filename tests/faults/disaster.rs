//! The master key is lost: `symbolon disaster rekey` saves what was not sealed, and brokers serve on with new keys.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use symbolon::seal::Seal;

use crate::broker::{Broker, Launch, MASTER_KEY};
use crate::client::{self, Client};
use crate::database::{ACCOUNT, Database, checksum, connect, count};
use crate::figures::{Figures, size};
use crate::operator::Operator;
use crate::proxy::Proxy;
use crate::verifier::{jwks, kid_of, shown, verified};

/// Tables of which nothing is sealed.
const SAVED: [&str; 6] = ["tenants", "identity_pools", "pool_providers", "identities", "logins", "identity_routes"];

/// The digests of what is to be saved.
async fn saved(url: &str) -> Vec<String> {
    let sums = checksum(url).await;
    let of = |table: &str| sums.lines().find(|line| line.split(' ').next() == Some(table)).unwrap().to_owned();
    SAVED.iter().map(|table| of(table)).collect()
}

fn serve(url: &str, master_key: &str) -> Launch {
    Launch::serve(url)
        .env("SYMBOLON_MASTER_KEY", master_key)
        .env("SYMBOLON__KEYS__POLL_INTERVAL", "1")
        .env("SYMBOLON__KEYS__SIGN_FENCE", "3")
        .env("SYMBOLON__KEYS__REPLICA_SKEW", "1")
        .env("SYMBOLON__KEYS__ALLOW_UNSAFE", "true")
        .env("SYMBOLON__LIMITS__GUESTS_PER_SECOND_PER_ADDRESS", "0")
        .env("SYMBOLON__LIMITS__GUESTS_PER_SECOND_PER_POOL", "0")
}

/// A broker that has not the master key of its database.
async fn sealed(url: &str, master_key: &str) -> Broker {
    let mut broker = serve(url, master_key).spawn();
    broker.find_addresses().await;
    broker.until("it says that it is sealed", async || broker.readiness().await.1.contains("sealed")).await;
    broker
}

/// `disaster rekey` that is killed in the middle of its transaction, where it waits for a lock.
async fn killed_in_the_middle(database: &Database, operator: &Operator) {
    let mut holder = connect(&database.url).await;
    sqlx::raw_sql("begin; lock table access_keys in access exclusive mode").execute(&mut holder).await.unwrap();
    let rekey = operator.command(&["disaster", "rekey", "--yes"]).spawn();
    let waits = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
                 and xact_start is not null and query like '%access_keys%'";
    rekey.until("it waits within its transaction", async || count(&database.url, waits).await > 0).await;
    rekey.kill();
    sqlx::raw_sql("rollback").execute(&mut holder).await.unwrap();
    let others = "select count(*) from pg_stat_activity where datname = current_database()
                  and pid <> pg_backend_pid() and xact_start is not null and query like '%access_keys%'";
    while count(&database.url, others).await > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_master_key_identities_are_unchanged_and_new_keys_sign() {
    let users = size(20, 500);
    let (database, client) = Database::with_developer().await;
    let with_lost = Operator::of(&database.url, MASTER_KEY);
    let running = serve(&database.url, MASTER_KEY).start().await;
    let pool = client.create_pool(&running.url).await;
    let mut identities = BTreeMap::new();
    let mut token = String::new();
    for user in (0..users).map(|user| format!("user-{user}")) {
        let answer = client.token(&running.url, &pool, &user).await;
        token = answer.member("Token");
        identities.insert(user, answer.member("IdentityId"));
        client::get_id(&running.url, &pool).await.member("IdentityId");
    }
    let last = identities[&format!("user-{}", users - 1)].clone();
    let (disabled, _) = with_lost.access_key(ACCOUNT).await;
    with_lost.ok(&["access-key", "disable", &disabled]).await;
    let kept = saved(&database.url).await;
    let (lost_kid, lost_next) = (kid_of(&token), with_lost.keys("NEXT").await);

    // The key is there: then nothing is lost.
    with_lost.run(&["disaster", "rekey", "--yes"]).await.told(1, &["none is lost", "symbolon master-key rotate"]);

    // It is lost. Those who have a new one write nothing; whoever has the old one has noted before that keys were used.
    running.stop().await;
    let running = serve(&database.url, MASTER_KEY).start().await;
    let new = Seal::generate().unwrap().to_string();
    let operator = Operator::of(&database.url, &new);
    let (one, other) = tokio::join!(sealed(&database.url, &new), sealed(&database.url, &new));
    let before = checksum(&database.url).await;
    client.token(&one.url, &pool, "user-0").await.is_internal_error();
    operator.run(&["access-key", "create", "--account", ACCOUNT]).await.told(3, &["sealed"]);
    let refused = operator.run(&["disaster", "rekey"]).await;
    refused
        .told(2, &["nothing was written", "2 access keys", "AKIADEVELOPERNUMBER1", &disabled, "--yes", "identities"]);
    killed_in_the_middle(&database, &operator).await;
    assert_eq!(checksum(&database.url).await, before, "half of a disaster");
    assert_eq!(running.readiness().await.0, 200, "it has the lost key in its memory, and nothing has changed for it");

    // The answer to its commit is lost: what was done is told all the same.
    let proxy = Proxy::start(&database.server).await;
    proxy.lose_an_answer();
    let done = Operator::of(&proxy.url(&database.url), &new).json(&["disaster", "rekey", "--yes"]).await;
    assert!(!proxy.is_losing());
    assert_eq!(
        (&done["EndedSigningKeys"], &done["RevokedSigningKeys"]),
        (&json!([lost_kid]), &json!(lost_next)),
        "{done}"
    );
    let made = done["MadeSigningKeys"].as_array().unwrap();
    assert_eq!((made.len(), done["AccessKeys"].as_array().unwrap().len()), (2, 2), "{done}");
    operator.run(&["disaster", "rekey", "--yes"]).await.told(1, &["none is lost"]);

    // Brokers that waited serve, and the one that still had the lost key can do nothing any more.
    for broker in [&one, &other] {
        broker.until_ready().await;
        let answer = client.token(&broker.url, &pool, "user-0").await;
        assert_eq!((answer.status, answer.exception()), (400, "UnrecognizedClientException"), "{answer:?}");
    }
    running.until("it is sealed", async || running.readiness().await.0 == 503).await;
    let (key, secret) = operator.access_key(ACCOUNT).await;
    let client = Client::new(&key, &secret);
    client.token(&running.url, &pool, "user-0").await.is_internal_error();
    let mut moved = 0;
    for (number, (user, identity)) in identities.iter().enumerate() {
        let broker = [&one, &other][number % 2];
        let answer = client.token(&broker.url, &pool, user).await;
        moved += usize::from(answer.member("IdentityId") != *identity);
        assert_eq!(made[0], json!(kid_of(&answer.member("Token"))), "{}", operator.ok(&["key", "list"]).await);
    }
    assert_eq!(moved, 0);
    for broker in [&one, &other] {
        let kids = shown(broker).await;
        assert_eq!(kids.len(), 3, "{kids:?}");
        assert!(made.iter().all(|kid| kids.iter().any(|shown| kid == shown)) && kids.contains(&lost_kid), "{kids:?}");
        let keys = jwks(broker).await;
        assert_eq!(verified(&token, &keys, &pool).as_ref(), Some(&last), "a token from before");
        let fresh = client.token(&broker.url, &pool, "user-0").await.member("Token");
        assert!(verified(&fresh, &keys, &pool).is_some());
    }
    let after = saved(&database.url).await;
    assert_eq!(after, kept);

    // Nothing is left of the lost key: what wants to open everything can.
    assert!(operator.ok(&["key", "audit"]).await.starts_with("clean"));
    let rotated = operator.json(&["master-key", "rotate"]).await;
    assert_eq!(
        (&rotated["AccessKeys"], &rotated["SigningKeys"], &rotated["RemovedKeyIds"]),
        (&json!(0), &json!(0), &json!([]))
    );
    let listed = operator.json(&["access-key", "list"]).await;
    let enabled = listed["AccessKeys"].as_array().unwrap().iter().filter(|listed| listed["Status"] == "ENABLED");
    assert_eq!(enabled.map(|listed| listed["AccessKeyId"].clone()).collect::<Vec<_>>(), [json!(key)]);
    for broker in [one, other, running] {
        broker.stop().await;
    }

    let mut figures = Figures::of("10-disaster", "The master key is lost, and `symbolon disaster rekey`");
    figures.row("users who are another identity after it", "0", format!("{moved} of {users}"));
    figures.row(
        "tables of identities, logins, pools and tenants with another digest",
        "0",
        format!("0 of {}", kept.len()),
    );
    figures.row("running brokers that serve without a restart", "all", "2 of 2");
    figures.row("brokers that show the fresh keys, and the lost one until its tokens have run out", "all", "2 of 2");
    figures.row("tokens from before that those keys refuse", "0", 0);
    figures.row("rows changed by a run that was killed in its transaction", "0", 0);
    figures.publish();
}
