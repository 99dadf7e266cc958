//! The end of a broker under load: readiness goes first, and nobody who was heard goes without an answer.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use sqlx::Connection as _;
use tokio::task::JoinSet;

use crate::balancer::Balancer;
use crate::broker::{Broker, Launch};
use crate::client::{self, Client};
use crate::database::{Database, connect};
use crate::figures::{Figures, size};
use crate::raw::{self, Raw, Response};

/// A broker ends within this, whatever it has under way.
const END: Duration = Duration::from_secs(15);

/// `server.drain_delay`: several times as long as the balancer takes to notice, which is what it is for.
const DRAIN_DELAY: Duration = Duration::from_secs(2);

/// Requests per second, and how many of them at most are without an answer: a machine that is too slow for more gets less.
const RATE: u32 = 200;
const AT_ONCE: usize = 64;

/// Sends so many requests a second by the balancer, whether others have been answered or not, until told to stop. Each must
/// be answered in full, and with 200.
async fn load(balancer: Arc<Balancer>, requests: Vec<Vec<u8>>, is_over: Arc<AtomicBool>) -> (usize, Vec<String>) {
    let (mut sent, mut answers) = (JoinSet::new(), Vec::new());
    let mut tick = tokio::time::interval(Duration::from_secs(1) / RATE);
    let requests = Arc::new(requests);
    for number in 0.. {
        tick.tick().await;
        if is_over.load(Ordering::SeqCst) {
            break;
        }
        while let Some(answer) = sent.try_join_next() {
            answers.push(answer.unwrap());
        }
        if sent.len() < AT_ONCE {
            let (balancer, requests) = (Arc::clone(&balancer), Arc::clone(&requests));
            sent.spawn(async move { balancer.send(&requests[number % requests.len()]).await });
        }
    }
    answers.extend(sent.join_all().await);
    let wrong = |answer: &io::Result<Response>| match answer {
        Ok(response) if response.status == 200 => None,
        other => Some(format!("{other:?}")),
    };
    (answers.len(), answers.iter().filter_map(wrong).collect())
}

/// The longest that anything took, over all brokers that were stopped.
#[derive(Default)]
struct Longest {
    not_ready: Duration,
    end: Duration,
    /// And the shortest for which it still took new connections after it was told.
    listening: Option<Duration>,
}

impl Longest {
    /// Stops a broker, with so many requests of which it has half.
    async fn stop(&mut self, broker: Broker, pool: &str, under_way: usize) {
        let mut halfway = Vec::new();
        let body = format!(r#"{{"IdentityPoolId":"{pool}"}}"#);
        let (first, rest) = body.split_at(body.len() / 2);
        for _ in 0..under_way {
            let mut connection = Raw::connect(&broker.url).await.unwrap();
            connection.send(format!("{}{first}", raw::head("GetId", body.len())).as_bytes()).await.unwrap();
            halfway.push(connection);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;

        broker.signal(Signal::SIGTERM);
        let told = Instant::now();
        broker.until("it is not ready", async || broker.readiness().await.0 == 503).await;
        let not_ready = told.elapsed();
        // Whoever has not heard yet is still answered.
        assert_eq!(broker.get("/.well-known/jwks.json").await.status, 200);
        broker.until("nobody listens", async || Raw::connect(&broker.url).await.is_err()).await;
        let listening = told.elapsed();
        // Soon enough for a balancer to look away, which has all of the drain delay for it.
        assert!(not_ready < DRAIN_DELAY / 2 && listening > DRAIN_DELAY * 9 / 10, "{not_ready:?}, {listening:?}");
        for mut connection in halfway {
            connection.send(rest.as_bytes()).await.unwrap();
            let response = connection.response().await.unwrap();
            assert_eq!(response.status, 200, "{response:?}");
            connection.closed().await;
        }
        let ended = broker.end_within(END).await;
        let end = told.elapsed();
        assert!(ended.code == Some(0) && ended.stderr.contains("stopped"), "{}", ended.stderr);
        assert!(end <= END, "{end:?}");
        self.not_ready = self.not_ready.max(not_ready);
        self.end = self.end.max(end);
        self.listening = Some(self.listening.map_or(listening, |least| least.min(listening)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_behind_a_balancer_are_replaced_under_load_and_no_request_fails() {
    const UNDER_WAY: usize = 8;
    let (database, client) = Database::with_developer().await;
    let launch = Launch::serve(&database.url)
        .env("SYMBOLON__SERVER__DRAIN_DELAY", DRAIN_DELAY.as_secs().to_string())
        .env("SYMBOLON__LIMITS__GUESTS_PER_SECOND_PER_ADDRESS", "0");
    let (one, other) = tokio::join!(launch.start(), launch.start());
    let pool = client.create_pool(&one.url).await;
    // Signed for the name that the balancer has for clients; whichever broker gets it.
    let name = "http://id.example.com";
    let requests: Vec<_> =
        (0..8).map(|user| client.token_request(name, &pool, &format!("user-{user}")).bytes()).collect();
    let balancer = Arc::new(Balancer::empty());
    balancer.add(&one);
    balancer.add(&other);
    let is_over = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let load = tokio::spawn(load(Arc::clone(&balancer), requests, Arc::clone(&is_over)));

    let stops = size(1, 8);
    let mut longest = Longest::default();
    let mut brokers = VecDeque::from([one, other]);
    for _ in 0..stops {
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(balancer.ready(), 2);
        longest.stop(brokers.pop_front().unwrap(), &pool, UNDER_WAY).await;
        assert_eq!(balancer.ready(), 1);
        let successor = launch.start().await;
        balancer.add(&successor);
        brokers.push_back(successor);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    is_over.store(true, Ordering::SeqCst);
    let (sent, failed) = load.await.unwrap();
    let lasted = began.elapsed().as_secs_f64();
    assert!(failed.is_empty(), "{} of {sent} failed: {failed:#?}", failed.len());
    let due = began.elapsed().as_secs() * u64::from(RATE);
    assert!(sent as u64 * 100 > due * size(50, 95), "the machine is too slow: {sent} requests instead of {due}");

    let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
    let mut figures = Figures::of("6-drain", "The end of a broker under load");
    figures.row("brokers stopped by SIGTERM and replaced, one after the other of two", size("1", "8"), stops);
    figures.row("requests by way of a balancer, 200 a second", "", format!("{sent} in {lasted:.0} s"));
    figures.row("of these failed, refused or reset", "0", failed.len());
    figures.row(
        "requests of which a broker had half when it was stopped, answered",
        "all",
        format!("{0} of {0}", stops * UNDER_WAY),
    );
    figures.row("`/readyz` says 503 after SIGTERM", "≤ 1 s", seconds(longest.not_ready));
    figures.row(
        "new connections are taken after SIGTERM (`server.drain_delay` 2 s), at the least",
        "about 2 s",
        seconds(longest.listening.unwrap()),
    );
    figures.row("the process has ended after SIGTERM", "≤ 15 s", seconds(longest.end));
    figures.publish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_under_load_ends_without_a_request_lost() {
    let (database, client) = Database::with_developer().await;
    let broker = Launch::serve(&database.url).env("SYMBOLON__SERVER__DRAIN_DELAY", "3").start().await;
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

#[tokio::test]
async fn whoever_does_not_read_his_answer_holds_the_end_up_no_longer_than_is_set() {
    let database = Database::migrated().await;
    // The defaults in the whole form, but for a write that would be given up before.
    let (delay, limit) = size((0, 4), (1, 15));
    let broker = Launch::serve(&database.url)
        .env("SYMBOLON__SERVER__DRAIN_DELAY", delay.to_string())
        .env("SYMBOLON__SERVER__DRAIN_TIMEOUT", limit.to_string())
        .env("SYMBOLON__SERVER__REQUEST_TIMEOUT", "60")
        .start()
        .await;
    let _slow = Raw::slow_reader(&broker.url, "/.well-known/jwks.json").await;
    broker.signal(Signal::SIGTERM);
    let began = Instant::now();
    let ended = broker.end_within(Duration::from_secs(limit)).await;
    let took = began.elapsed();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("some requests did not end"), "nothing held it up: {}", ended.stderr);

    let mut figures = Figures::of("6-drain-held-up", "The end of a broker, held up by a client that never reads");
    figures.row("from SIGTERM to exit", &format!("≤ {limit} s"), format!("{:.2} s", took.as_secs_f64()));
    figures.publish();
}
