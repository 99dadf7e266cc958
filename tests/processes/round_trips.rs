//! What a request costs the database: every message from the broker to Postgres, counted on the wire.

use std::time::Duration;

use crate::broker::Launch;
use crate::database::Database;
use crate::proxy::{Proxy, Sent};

const REQUESTS: usize = 100;
const LOOK_UP: &str = "select identity_id from logins where route = $1 and provider_no = $2 and subject_key = $3";

#[tokio::test]
async fn a_known_user_costs_one_statement_and_a_new_one_one_transaction() {
    let (database, client) = Database::with_developer().await;
    let proxy = Proxy::start(&database.server).await;
    // Polls of the key ring are statements too; the next one is far off.
    let broker = Launch::serve(&proxy.url(&database.url))
        .env("SYMBOLON__KEYS__POLL_INTERVAL", "59")
        .env("SYMBOLON__DATABASE__POOL_SIZE", "1")
        .start()
        .await;
    let pool = client.create_pool(&broker.url).await;
    for _ in 0..3 {
        client.identity(&broker.url, &pool, "warm").await;
    }
    settle().await;

    proxy.take();
    for _ in 0..REQUESTS {
        client.identity(&broker.url, &pool, "warm").await;
    }
    settle().await;
    let sent = proxy.take();
    let statements: Vec<&Sent> = sent.iter().filter(|sent| **sent != Sent::Sync).collect();
    assert_eq!(statements.len(), REQUESTS, "{statements:#?}");
    assert!(statements.iter().all(|sent| matches!(sent, Sent::Execute(sql) if sql.starts_with(LOOK_UP))));
    // One round trip each: nothing is sent before a connection is used, nor after.
    assert_eq!(sent.len(), 2 * REQUESTS, "{sent:#?}");

    client.identity(&broker.url, &pool, "new").await;
    settle().await;
    let sent: Vec<String> = proxy.take().into_iter().filter_map(short).collect();
    // One message is one transaction.
    assert_eq!(sent, ["select", "set local lock_timeout = '50ms'; insert into logins; insert into identities"]);
}

#[tokio::test]
async fn without_coalescing_everyone_asks_with_a_statement_of_his_own() {
    let (database, client) = Database::with_developer().await;
    let proxy = Proxy::start(&database.server).await;
    let broker = Launch::serve(&proxy.url(&database.url))
        .env("SYMBOLON__KEYS__POLL_INTERVAL", "59")
        .env("SYMBOLON__DATABASE__COALESCE", "false")
        .env("SYMBOLON__SERVER__WORKERS", "1")
        .start()
        .await;
    let pool = client.create_pool(&broker.url).await;
    // Until what comes with new connections is behind it.
    let mut tries = 0;
    loop {
        proxy.take();
        client.identity(&broker.url, &pool, "warm").await;
        settle().await;
        let sent: Vec<String> = proxy.take().into_iter().filter_map(short).collect();
        if sent == ["select"] {
            break;
        }
        tries += 1;
        assert!(tries < 50, "{sent:?}");
    }

    let known = client.identity(&broker.url, &pool, "warm").await;
    let new = client.identity(&broker.url, &pool, "new").await;
    assert_ne!(known, new);
    settle().await;
    let sent: Vec<String> = proxy.take().into_iter().filter_map(short).collect();
    assert_eq!(sent, ["select", "select", "BEGIN", "insert into logins", "insert into identities", "COMMIT"]);
}

/// What was sent, but for its end.
fn short(sent: Sent) -> Option<String> {
    match sent {
        Sent::Execute(sql) if sql.starts_with(LOOK_UP) => Some("select".to_owned()),
        Sent::Execute(sql) | Sent::Query(sql) => {
            let begins: Vec<&str> = sql.split("; ").filter_map(|statement| statement.split(" (").next()).collect();
            Some(begins.join("; "))
        }
        Sent::Sync => None,
    }
}

/// Lets the broker do what it does after an answer.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(200)).await;
}
