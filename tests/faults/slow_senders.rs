//! Many who send a byte now and then: they hold connections, and nobody else waits for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::broker::{Broker, Launch};
use crate::client::Client;
use crate::database::Database;
use crate::figures::{Figures, size};
use crate::raw::{self, Raw};

/// How often each of them sends a byte.
const NOW_AND_THEN: Duration = Duration::from_secs(1);
/// What p99 stays below, in times of its baseline.
const MOST: f64 = 2.0;
/// Clients of normal traffic, each with one request at a time.
const CLIENTS: usize = 4;

/// Connections that send a byte now and then: half of them in the head of a request, half in its body.
struct Senders {
    end: CancellationToken,
    tasks: JoinSet<()>,
    open: Arc<AtomicUsize>,
}

impl Senders {
    async fn start(url: &str, count: usize) -> Self {
        let (end, open) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let (url, end, open) = (url.to_owned(), end.clone(), Arc::clone(&open));
            tasks.spawn(async move {
                // Their bytes are spread over the time between two.
                let mut pause = NOW_AND_THEN * u32::try_from(number).unwrap() / u32::try_from(count).unwrap();
                // Whoever is sent away comes back.
                while !end.is_cancelled() {
                    send_slowly(&url, number, pause, &end, &open).await;
                    pause = NOW_AND_THEN;
                }
            });
        }
        let began = Instant::now();
        while open.load(Ordering::SeqCst) < count {
            assert!(began.elapsed() < Duration::from_mins(1), "{} of {count}", open.load(Ordering::SeqCst));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Self { end, tasks, open }
    }

    async fn stop(self) {
        self.end.cancel();
        self.tasks.join_all().await;
        assert_eq!(self.open.load(Ordering::SeqCst), 0);
    }
}

/// One connection, with its first byte after a pause, until the broker ends it.
async fn send_slowly(url: &str, number: usize, mut pause: Duration, end: &CancellationToken, open: &AtomicUsize) {
    let mut connection = Raw::connect(url).await.unwrap();
    open.fetch_add(1, Ordering::SeqCst);
    let at_once =
        if number.is_multiple_of(2) { "POST / HTTP/1.1\r\nx-slow: ".to_owned() } else { raw::head("GetId", 1_000) };
    let mut sent = connection.send(at_once.as_bytes()).await;
    while sent.is_ok() {
        let ended = tokio::select! {
            () = end.cancelled() => true,
            ended = connection.ended_within(pause) => ended,
        };
        if ended {
            break;
        }
        pause = NOW_AND_THEN;
        sent = connection.send(b"a").await;
    }
    open.fetch_sub(1, Ordering::SeqCst);
}

/// How long each of so many requests took, in the order of their lengths.
async fn normal_traffic(client: &Client, url: &str, pool: &str, requests: usize) -> Vec<Duration> {
    let request = Arc::new(client.token_request(url, pool, "alice"));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (client, request) = (client.clone(), Arc::clone(&request));
        clients.spawn(async move {
            let mut took = Vec::new();
            for _ in 0..requests / CLIENTS {
                let began = Instant::now();
                let answer = client.send(&request).await.unwrap();
                took.push(began.elapsed());
                assert_eq!(answer.status, 200, "{answer:?}");
            }
            took
        });
    }
    let mut took: Vec<Duration> = clients.join_all().await.into_iter().flatten().collect();
    took.sort_unstable();
    took
}

fn middle(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

/// The files that the process has open.
fn open_files(broker: &Broker) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", broker.pid())).unwrap().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_send_a_byte_now_and_then_keep_nobody_waiting() {
    let (senders, pairs, requests) = (size(250, 1_000), size(7, 31), size(200, 1_000));
    // Each connection is a file of both sides; the broker inherits the limit.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    assert!(hard > 4_096, "at most {hard} open files are allowed here: `ulimit -Hn` has to give more than 4096");
    let (database, client) = Database::with_developer().await;
    let broker = Launch::serve(&database.url).start().await;
    let pool = client.create_pool(&broker.url).await;
    normal_traffic(&client, &broker.url, &pool, 200).await;

    let (mut alone, mut beside, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    // Rounds next to each other are compared, for a machine with other work is not equally fast all the time. How many there
    // are is settled before: more of them after a look at the first would be a search for some that pass.
    for _ in 0..pairs {
        let before = percentile(&normal_traffic(&client, &broker.url, &pool, requests).await, 99);
        let slow = Senders::start(&broker.url, senders).await;
        let meanwhile = percentile(&normal_traffic(&client, &broker.url, &pool, requests).await, 99);
        // Those whose time is up come again all at once.
        broker.until("it holds nearly all of them", async || open_files(&broker) > senders * 9 / 10).await;
        slow.stop().await;
        ratios.push(meanwhile.as_secs_f64() / before.as_secs_f64());
        alone.push(before.as_secs_f64());
        beside.push(meanwhile.as_secs_f64());
    }
    let ratio = middle(&ratios);
    assert!(ratio < MOST, "p99 is {ratio:.2} times its baseline: {ratios:.2?}");
    assert_eq!(broker.readiness().await.0, 200);

    let mut figures = Figures::of("5-pressure-senders", "Pressure: slow senders");
    figures.row("connections that send a byte each second", "1 000 in the whole form", senders);
    figures.row("rounds with and without them, in turn", "", format!("{pairs} pairs of {requests} requests"));
    let ms = |times: &[f64]| format!("{:.2} ms", middle(times) * 1_000.0);
    figures.row("p99 of known users' tokens without them (median of the rounds)", "", ms(&alone));
    figures.row("p99 beside them (median of the rounds)", "", ms(&beside));
    figures.row("p99 beside them over p99 without (median of the pairs)", "< 2", format!("{ratio:.2}"));
    figures.publish();
}
