//! The database lost under a running broker: requests are told to come again, and when it is back, so is the broker.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::broker::{Broker, Launch};
use crate::client::{self, Client};
use crate::database::{Database, Durable, add_developer, public_dir};
use crate::proxy::Proxy;

/// `server.handler_timeout` here, and what may come on top on a busy machine.
const HANDLER: Duration = Duration::from_secs(2);
const SLACK: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_stopped_or_killed_database_is_told_in_errors_and_missed_no_longer_than_it_is_gone() {
    let mut durable = Durable::start().await;
    let url = durable.postgres.url();
    let client = add_developer(&url, "AKIADEVELOPERNUMBER1").await;
    let broker = Launch::serve(&url).start().await;
    let pool = client.create_pool(&broker.url).await;
    let alice = client.identity(&broker.url, &pool, "alice").await;
    let keys = broker.get("/.well-known/jwks.json").await.text;

    for end in [Signal::SIGINT, Signal::SIGKILL] {
        kill(Pid::from_raw(durable.postgres.pid()), end).unwrap();
        durable.postgres.exited().await;
        for _ in 0..3 {
            is_without_database(&broker, &client, &pool, Duration::from_secs(5)).await;
        }
        assert_eq!(broker.get("/.well-known/jwks.json").await.text, keys);

        durable.postgres.restart().await.unwrap();
        let back = Instant::now();
        broker.until_ready().await;
        assert_eq!(client.identity(&broker.url, &pool, "alice").await, alice);
        assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
    }
    broker.stop().await;
    durable.postgres.stop().await.unwrap();
}

/// Whatever is asked is answered in time, and in the words that each asker understands.
async fn is_without_database(broker: &Broker, client: &Client, pool: &str, limit: Duration) {
    let asked = Instant::now();
    let (known, guest, readiness, liveness) = tokio::join!(
        client.token(&broker.url, pool, "alice"),
        client::get_id(&broker.url, pool),
        broker.readiness(),
        broker.ask("/livez"),
    );
    assert!(asked.elapsed() <= limit, "{:?}", asked.elapsed());
    known.is_internal_error();
    guest.is_internal_error();
    assert_eq!(readiness.0, 503);
    assert!(readiness.1.contains("database"), "{}", readiness.1);
    assert_eq!(liveness.status, 200);
}

#[tokio::test]
async fn a_network_that_swallows_everything_holds_nobody_and_nothing_for_ever() {
    let (database, client) = Database::with_developer().await;
    let proxy = Proxy::start(&database.server).await;
    let broker = Launch::serve(&proxy.url(&database.url))
        .env("SYMBOLON__SERVER__HANDLER_TIMEOUT", HANDLER.as_secs().to_string())
        .env("SYMBOLON__DATABASE__POOL_SIZE", "3")
        .env("SYMBOLON__KEYS__POLL_INTERVAL", "1")
        .start()
        .await;
    let pool = client.create_pool(&broker.url).await;
    let alice = client.identity(&broker.url, &pool, "alice").await;

    proxy.strike_all_dumb();
    for _ in 0..2 {
        is_without_database(&broker, &client, &pool, HANDLER + SLACK).await;
    }
    // The old connections never say another word, not even good-bye.
    proxy.recover();
    let back = Instant::now();
    broker.until("a token is given", async || client.token(&broker.url, &pool, "alice").await.status == 200).await;
    broker.until_ready().await;
    assert!(back.elapsed() < Duration::from_secs(15), "{:?}", back.elapsed());
    assert_eq!(client.identity(&broker.url, &pool, "alice").await, alice);
    // All connections of the pool are of use again, and the keys are polled.
    let asked = tokio::join!(
        client.token(&broker.url, &pool, "bob"),
        client.token(&broker.url, &pool, "carol"),
        client.token(&broker.url, &pool, "dave"),
        client.token(&broker.url, &pool, "erin"),
    );
    for answer in [asked.0, asked.1, asked.2, asked.3] {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

#[tokio::test]
async fn dev_restarts_its_database_when_that_is_killed() {
    let dir = public_dir();
    let broker = Launch::dev(&dir.path().join("data")).start().await;
    let client = Client::dev();
    let pool = client.create_pool(&broker.url).await;
    let alice = client.identity(&broker.url, &pool, "alice").await;

    kill(postmaster(&broker), Signal::SIGKILL).unwrap();
    broker.until("its database is back", async || broker.said().contains("the private Postgres runs again")).await;
    broker.until_ready().await;
    assert_eq!(client.identity(&broker.url, &pool, "alice").await, alice);
    let ended = broker.stop().await;
    assert!(ended.stderr.contains("the private Postgres ended; restarting it"), "{}", ended.stderr);
}

#[tokio::test]
async fn dev_gives_up_with_a_message_on_a_database_that_ends_again_and_again() {
    let dir = public_dir();
    let broker = Launch::dev(&dir.path().join("data")).arg("--ephemeral").start().await;
    for restart in 0..4 {
        broker.until("it runs again", async || broker.said().matches("runs again").count() == restart).await;
        kill(postmaster(&broker), Signal::SIGKILL).unwrap();
    }
    let ended = broker.end_within(Duration::from_secs(30)).await;
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    // With the end of the server's log behind it.
    let complaint = ended.complaint().lines().next().unwrap_or_default();
    assert!(complaint.contains("the private Postgres ends again and again"), "{complaint}");
}

/// The server that this broker started: its child.
fn postmaster(broker: &Broker) -> Pid {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_string_lossy().parse::<i32>().ok());
    let is_it = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let Some((name, rest)) = stat.rsplit_once(") ") else { return false };
        let parent = rest.split_whitespace().nth(1).and_then(|parent| parent.parse().ok());
        parent == Some(broker.pid()) && name.ends_with("(postgres")
    };
    Pid::from_raw(pids.find(is_it).unwrap_or_else(|| panic!("no Postgres: {}", broker.said())))
}
