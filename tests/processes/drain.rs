//! The end of a broker under load: readiness goes first, and nobody who was heard goes without an answer.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use sqlx::Connection as _;
use tokio::task::JoinSet;

use crate::broker::Launch;
use crate::client::{self, Client};
use crate::database::{Database, connect};
use crate::raw::{self, Raw, Response};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_under_load_ends_without_a_request_lost() {
    let (database, client) = Database::with_developer().await;
    let broker = Launch::serve(&database.url).env("SYMBOLON__SERVER__DRAIN_DELAY", "1").start().await;
    let pool = client.create_pool(&broker.url).await;
    let client = Arc::new(client);
    let mut kept = JoinSet::new();
    let mut fresh = JoinSet::new();
    for user in 0..3 {
        kept.spawn(on_kept_connections(Arc::clone(&client), broker.url.clone(), pool.clone(), user));
        fresh.spawn(on_new_connections(Arc::clone(&client), broker.url.clone(), pool.clone(), user));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;

    broker.signal(Signal::SIGTERM);
    let told = Instant::now();
    broker.until("readiness turns", async || broker.readiness().await.0 == 503).await;
    assert!(told.elapsed() < Duration::from_millis(800), "{:?}", told.elapsed());
    assert!(broker.readiness().await.1.contains("draining"));
    assert_eq!(broker.ask("/livez").await.status, 200);
    // Not ready, but still there for those who have not heard.
    assert_eq!(client.token(&broker.url, &pool, "late").await.status, 200);

    let mut clients: Vec<(usize, usize)> = kept.join_all().await;
    clients.extend(fresh.join_all().await);
    let ended = broker.end_within(Duration::from_secs(15)).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("stopped"), "{}", ended.stderr);
    assert!(clients.iter().all(|(answers, _)| *answers > 10), "{clients:?}");
    // The system may complete a connection in the very moment in which the listener closes, with nobody to accept it.
    assert!(clients.iter().map(|(_, lost)| lost).sum::<usize>() <= 1, "{clients:?}");
}

/// Sends one request after the other until nobody listens, on one connection for as long as the server keeps that; each
/// must be answered in full. Tells how many were, and how many connections were not accepted.
async fn on_kept_connections(client: Arc<Client>, url: String, pool: String, user: usize) -> (usize, usize) {
    let request = client.token_request(&url, &pool, &format!("kept-{user}")).bytes();
    let mut answered = 0;
    'connections: loop {
        let Ok(mut connection) = Raw::connect(&url).await else { return (answered, 0) };
        for number in 0.. {
            match exchange(&mut connection, &request).await {
                Ok(response) => {
                    answered += 1;
                    if response.closes() {
                        continue 'connections;
                    }
                }
                Err(error) if number == 0 && was_not_accepted(&error) => return (answered, 1),
                Err(error) => panic!("request {number} of a connection, after {answered}: {error}"),
            }
        }
    }
}

/// The same with a connection for each request.
async fn on_new_connections(client: Arc<Client>, url: String, pool: String, user: usize) -> (usize, usize) {
    let request = client.token_request(&url, &pool, &format!("new-{user}")).bytes();
    let mut answered = 0;
    loop {
        let Ok(mut connection) = Raw::connect(&url).await else { return (answered, 0) };
        match exchange(&mut connection, &request).await {
            Ok(_) => answered += 1,
            Err(error) if was_not_accepted(&error) => return (answered, 1),
            Err(error) => panic!("after {answered} answers: {error}"),
        }
    }
}

async fn exchange(connection: &mut Raw, request: &[u8]) -> io::Result<Response> {
    connection.send(request).await?;
    let response = connection.response().await?;
    assert_eq!(response.status, 200, "{response:?}");
    Ok(response)
}

fn was_not_accepted(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

#[tokio::test]
async fn what_is_under_way_is_brought_to_its_end() {
    let (database, client) = Database::with_developer().await;
    let broker = Launch::serve(&database.url).start().await;
    let pool = client.create_pool(&broker.url).await;
    client.identity(&broker.url, &pool, "alice").await;

    // A registration that waits for a row, and a request of which half the body is there.
    let mut conn = connect(&database.url).await;
    let mut lock = conn.begin().await.unwrap();
    sqlx::query("lock table logins in share mode").execute(&mut *lock).await.unwrap();
    let waiting = tokio::spawn({
        let (client, request) = (client.clone(), client.token_request(&broker.url, &pool, "bob"));
        async move { client.send(&request).await }
    });
    let body = format!(r#"{{"IdentityPoolId":"{pool}"}}"#);
    let mut halfway = Raw::connect(&broker.url).await.unwrap();
    let (first, rest) = body.split_at(body.len() / 2);
    halfway.send(format!("{}{first}", raw::head("GetId", body.len())).as_bytes()).await.unwrap();
    let mut idle = Raw::connect(&broker.url).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;

    broker.signal(Signal::SIGTERM);
    broker.until("nobody listens", async || client::get(&broker.url).await.is_err()).await;
    idle.closed().await;
    assert_eq!(broker.ask("/livez").await.status, 200);
    assert_eq!(broker.readiness().await.0, 503);
    lock.rollback().await.unwrap();
    halfway.send(rest.as_bytes()).await.unwrap();

    assert_eq!(waiting.await.unwrap().unwrap().status, 200);
    let guest = halfway.response().await.unwrap();
    assert_eq!(guest.status, 200, "{guest:?}");
    halfway.closed().await;
    let ended = broker.end_within(Duration::from_secs(15)).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}
