//! What must not wear a broker down, nor hold up its end: logs that nobody reads, clients that never read, databases
//! that never come.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::broker::{ISSUER, Launch, MASTER_KEY};
use crate::client::{self, Client};
use crate::database::Database;
use crate::raw::Raw;
use crate::start::{free_port, url_at};

const KEYS: &str = "/.well-known/jwks.json";

#[tokio::test]
async fn a_broker_whose_log_nobody_reads_any_more_answers_and_signs_as_ever() {
    let (database, client) = Database::with_developer().await;
    let broker = Launch::serve(&database.url)
        .env("SYMBOLON__KEYS__POLL_INTERVAL", "1")
        .env("SYMBOLON__KEYS__SIGN_FENCE", "3")
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
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    broker.until("it signs", async || client.token(&broker.url, &pool, "alice").await.status == 200).await;
    refused().await;
    broker.stop().await;
}

#[tokio::test]
async fn a_broker_that_waits_for_its_database_ends_when_told_to() {
    let broker = Launch::serve(&url_at(free_port())).spawn();
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
        .env("SYMBOLON__SERVER__REQUEST_TIMEOUT", "10")
        .start()
        .await;
    let (mut one, mut other) = tokio::join!(Raw::slow_reader(&broker.url, KEYS), Raw::slow_reader(&broker.url, KEYS));
    let asked = Instant::now();
    let url = format!("{}{KEYS}", broker.url);
    let early = tokio::time::timeout(Duration::from_millis(300), client::get(&url)).await;
    assert!(early.is_err(), "there was room for a third connection: {early:?}");
    assert_eq!(client::get(&url).await.unwrap().status, 200);
    assert!(asked.elapsed() < Duration::from_secs(14), "{:?}", asked.elapsed());
    // Whoever reads before it is cut off is no slow reader any more; one of the two made the room above.
    tokio::time::sleep(Duration::from_secs(12).saturating_sub(asked.elapsed())).await;
    for slow in [&mut one, &mut other] {
        slow.closed().await;
        assert!(slow.said().starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn who_never_reads_answers_does_not_hold_up_the_end() {
    let database = Database::migrated().await;
    let broker = Launch::serve(&database.url)
        .env("SYMBOLON__SERVER__DRAIN_TIMEOUT", "4")
        .env("SYMBOLON__SERVER__REQUEST_TIMEOUT", "15")
        .start()
        .await;
    let _slow = tokio::join!(Raw::slow_reader(&broker.url, KEYS), Raw::slow_reader(&broker.admin, "/metrics"));
    broker.signal(Signal::SIGTERM);
    let ended = broker.end_within(Duration::from_secs(5)).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("some requests did not end"), "nothing held it up: {}", ended.stderr);
}
