//! What must not wear a broker down, nor hold up its end: logs that nobody reads, clients that never read, databases
//! that never come.

use std::io::ErrorKind;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::broker::{ISSUER, Launch, MASTER_KEY};
use crate::client::{self, Client};
use crate::database::Database;
use crate::ports::held_port;
use crate::raw::Raw;
use crate::start::url_at;

const KEYS: &str = "/.well-known/jwks.json";

#[tokio::test]
async fn a_broker_whose_log_nobody_reads_any_more_answers_and_signs_as_ever() {
    let (database, client) = Database::with_developer().await;
    let broker = Launch::serve(&database.url)
        .env("SYMBOLON__KEYS__POLL_INTERVAL", "1")
        .env("SYMBOLON__KEYS__SIGN_FENCE", "6")
        .env("SYMBOLON__KEYS__REPLICA_SKEW", "1")
        .env("SYMBOLON__KEYS__ALLOW_UNSAFE", "true")
        .heard_until("\"serving\"")
        .start()
        .await;
    let pool = client.create_pool(&broker.url).await;
    client.identity(&broker.url, &pool, "alice").await;
    let keys = broker.get(KEYS).await.text;

    // Refusals are logged, and so is what becomes of the keys.
    let stranger = Client::new("AKIANOBODYKNOWSTHIS1", "nothing");
    let refused = async || {
        let answer = stranger.token(&broker.url, &pool, "alice").await;
        assert_eq!((answer.status, answer.exception()), (400, "UnrecognizedClientException"), "{answer:?}");
    };
    refused().await;
    let rotated = Launch::command(&["key", "rotate", "--force"])
        .env("DATABASE_URL", &*database.url)
        .env("SYMBOLON_MASTER_KEY", MASTER_KEY)
        .env("SYMBOLON__ISSUER__URL", ISSUER)
        .env("SYMBOLON__ISSUER__ALGORITHM", "ES256")
        .run()
        .await;
    assert_eq!(rotated.code, Some(0), "{rotated:?}");
    broker.until("it shows the new keys", async || broker.get(KEYS).await.text != keys).await;
    // Past the fence, which only further polls push on.
    tokio::time::sleep(Duration::from_millis(6_500)).await;
    broker.until("it signs", async || client.token(&broker.url, &pool, "alice").await.status == 200).await;
    refused().await;
    broker.stop().await;
}

#[tokio::test]
async fn a_broker_that_waits_for_its_database_ends_when_told_to() {
    let (_held, port) = held_port();
    let broker = Launch::serve(&url_at(port)).spawn();
    broker.until("it waits", async || broker.said().contains("waiting for the database")).await;
    broker.signal(Signal::SIGTERM);
    let ended = broker.end_within(Duration::from_secs(3)).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[tokio::test]
async fn who_never_reads_answers_is_cut_off_and_makes_room_for_others() {
    let database = Database::migrated().await;
    let broker = Launch::serve(&database.url)
        .env("SYMBOLON__LIMITS__MAX_CONNECTIONS", "2")
        // Two slow readers are not ready at the same time: the first is still there when the second is.
        .env("SYMBOLON__SERVER__REQUEST_TIMEOUT", "20")
        // Who is let in first stays until the other is.
        .env("SYMBOLON__SERVER__HEADER_TIMEOUT", "60")
        .start()
        .await;
    let (mut one, mut other) = tokio::join!(Raw::slow_reader(&broker.url, KEYS), Raw::slow_reader(&broker.url, KEYS));
    let url = format!("{}{KEYS}", broker.url);
    let early = tokio::time::timeout(Duration::from_millis(300), client::get(&url)).await;
    assert!(early.is_err(), "there was room for a third connection: {early:?}");
    // Whoever reads before it is cut off is no slow reader any more. Both were when two others have a connection each.
    let mut others = [Raw::connect(&broker.url).await.unwrap(), Raw::connect(&broker.url).await.unwrap()];
    let let_in = async {
        for _ in 0..2 {
            let [one, other] = &mut others;
            tokio::join!(ask(one), ask(other));
        }
    };
    tokio::time::timeout(Duration::from_secs(24), let_in).await.expect("slow readers are not cut off");
    for slow in [&mut one, &mut other] {
        slow.closed().await;
        assert!(slow.said().starts_with("HTTP/1.1 200"));
    }
}

/// Asks, and waits for the answer for as long as that takes.
async fn ask(connection: &mut Raw) {
    connection.send(format!("GET {KEYS} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await.unwrap();
    let answer = loop {
        match connection.response().await {
            Err(error) if error.kind() == ErrorKind::TimedOut => {}
            answer => break answer.unwrap(),
        }
    };
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn who_never_reads_answers_does_not_hold_up_the_end() {
    let database = Database::migrated().await;
    let broker = Launch::serve(&database.url)
        .env("SYMBOLON__SERVER__DRAIN_TIMEOUT", "3")
        .env("SYMBOLON__SERVER__REQUEST_TIMEOUT", "40")
        .start()
        .await;
    let _slow = tokio::join!(Raw::slow_reader(&broker.url, KEYS), Raw::slow_reader(&broker.admin, "/metrics"));
    broker.signal(Signal::SIGTERM);
    // Those two would hold it up for half a minute yet.
    let ended = broker.end_within(Duration::from_secs(5)).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("some requests did not end"), "nothing held it up: {}", ended.stderr);
}
