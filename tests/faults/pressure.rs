//! A database that is short of connections, stuck or slow: who cannot be served is told so soon, nothing is half written,
//! verifiers get their keys all the while, and when it is over all is well again without anybody's help.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::Connection as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::broker::{Broker, Launch};
use crate::client::{Answer, Client, PROVIDER};
use crate::database::{Database, connect, count, run};
use crate::figures::{Figures, size};
use crate::proxy::{Proxy, Sent};

/// `server.handler_timeout` here, after which nobody waits any longer.
const HANDLER: Duration = Duration::from_secs(3);
/// What a busy machine may take on top.
const SLACK: Duration = Duration::from_secs(3);
/// `database.acquire_timeout` where there are not enough connections, and what a busy machine may take on top of that: both
/// together are less than the time of those who wait behind a lock.
const ACQUIRE: Duration = Duration::from_secs(1);
const ACQUIRE_SLACK: Duration = Duration::from_millis(1_500);
/// What the log says of who found none.
const NO_CONNECTION: &str = "no connection became free within database.acquire_timeout";
/// What a verifier asks for.
pub const DOCUMENTS: [&str; 2] = ["/.well-known/jwks.json", "/.well-known/openid-configuration"];

/// A verifier who asks for the documents again and again, and how often he got them.
pub struct Verifier {
    end: CancellationToken,
    task: tokio::task::JoinHandle<usize>,
}

impl Verifier {
    /// Of the broker at `url`. Whatever is no success, or another key set than before, is a failure.
    pub fn start(url: &str) -> Self {
        let (end, url) = (CancellationToken::new(), url.to_owned());
        let until = end.clone();
        let task = tokio::spawn(async move {
            let mut known = Vec::new();
            let mut served = 0;
            while !until.is_cancelled() || served < 20 {
                for (number, path) in DOCUMENTS.iter().enumerate() {
                    let answer = crate::client::get(&format!("{url}{path}")).await.unwrap();
                    assert_eq!(answer.status, 200, "{path}: {answer:?}");
                    if known.len() <= number {
                        known.push(answer.text);
                    } else {
                        assert_eq!(known[number], answer.text, "{path}");
                    }
                    served += 1;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            served
        });
        Self { end, task }
    }

    /// How often it was served, which is some times at least.
    pub async fn stop(self) -> usize {
        self.end.cancel();
        self.task.await.unwrap()
    }
}

/// What came of calls under pressure.
#[derive(Default)]
pub struct Outcomes {
    pub served: usize,
    pub shed: usize,
    /// The request of each that was told so, and how long it waited to be.
    refusals: Vec<(String, Duration)>,
}

impl Outcomes {
    /// Each is served, or is told to come again; and that in time.
    pub fn count(&mut self, answer: &Answer, took: Duration) {
        if answer.status == 200 {
            self.served += 1;
        } else {
            answer.is_internal_error();
            self.shed += 1;
            self.refusals.push((answer.header("x-amzn-requestid").to_owned(), took));
        }
    }

    /// How long the last one waited to be refused.
    pub fn slowest_refusal(&self) -> Duration {
        self.refusals.iter().map(|(_, took)| *took).max().unwrap_or_default()
    }
}

/// Asks for tokens of all these users at the same time.
pub async fn ask_together(
    client: &Client,
    broker: &Broker,
    pool: &str,
    users: impl Iterator<Item = String>,
) -> Outcomes {
    let mut asking = JoinSet::new();
    for user in users {
        let (client, url, pool) = (client.clone(), broker.url.clone(), pool.to_owned());
        asking.spawn(async move {
            let began = Instant::now();
            let answer = client.token(&url, &pool, &user).await;
            (answer, began.elapsed())
        });
    }
    let mut outcomes = Outcomes::default();
    for (answer, took) in asking.join_all().await {
        outcomes.count(&answer, took);
    }
    outcomes
}

/// Identities that are neither guests nor of a user nor disabled, and logins of nobody: what half a transaction leaves. No
/// test here makes guests.
pub async fn assert_nothing_is_half_written(url: &str) {
    let halves = "select (select count(*) from identities i where state = 1 and not exists
                            (select from logins l where l.route = i.route and l.identity_id = i.identity_id))
                       + (select count(*) from logins l where not exists
                            (select from identities i where i.route = l.route and i.identity_id = l.identity_id
                             and i.state = 1))";
    assert_eq!(count(url, halves).await, 0, "half a transaction was written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_finds_no_connection_free_is_told_to_come_again_and_verifiers_notice_nothing() {
    let users = size(30, 300);
    let (database, client) = Database::with_developer().await;
    let broker = Launch::serve(&database.url)
        .env("SYMBOLON__DATABASE__POOL_SIZE", "2")
        .env("SYMBOLON__DATABASE__ACQUIRE_TIMEOUT", ACQUIRE.as_secs().to_string())
        .env("SYMBOLON__SERVER__HANDLER_TIMEOUT", HANDLER.as_secs().to_string())
        .start()
        .await;
    let pool = client.create_pool(&broker.url).await;
    let mut identities = Vec::new();
    for user in 0..users {
        identities.push(client.identity(&broker.url, &pool, &format!("user-{user}")).await);
    }

    // Nobody can change an identity: those who want to hold connections for as long as they wait.
    let mut conn = connect(&database.url).await;
    let mut other = conn.begin().await.unwrap();
    sqlx::query("select from identities for update").execute(&mut *other).await.unwrap();
    let verifier = Verifier::start(&broker.url);
    let mut unlinking = JoinSet::new();
    for (user, identity) in identities.iter().enumerate() {
        let body = json!({ "IdentityId": identity, "IdentityPoolId": pool, "DeveloperProviderName": PROVIDER,
                           "DeveloperUserIdentifier": format!("user-{user}") });
        let request = client.sign(&broker.url, "UnlinkDeveloperIdentity", &body);
        let client = client.clone();
        unlinking.spawn(async move {
            let began = Instant::now();
            (client.send(&request).await.unwrap(), began.elapsed())
        });
    }
    let waiting = "select count(*) from pg_stat_activity
                   where wait_event_type = 'Lock' and datname = current_database()";
    broker.until("all connections wait", async || count(&database.url, waiting).await == 2).await;
    let known = ask_together(&client, &broker, &pool, (0..users).map(|user| format!("user-{user}"))).await;
    let mut changes = Outcomes::default();
    for (answer, took) in unlinking.join_all().await {
        changes.count(&answer, took);
    }
    let served = verifier.stop().await;
    assert_eq!((changes.served, changes.shed), (0, users), "an identity was changed behind a lock");
    // Who found no connection is told so after the time for that, not after that of those who have one and wait for the lock.
    let found_none = requests_without_connection(&broker);
    let refusals = changes.refusals.iter().chain(&known.refusals);
    let (without, behind): (Vec<_>, Vec<_>) = refusals.partition(|(request, _)| found_none.contains(request));
    let slowest = |refusals: &[&(String, Duration)]| refusals.iter().map(|(_, took)| *took).max().unwrap_or_default();
    let (slowest_without, slowest_behind) = (slowest(&without), slowest(&behind));
    assert!(!without.is_empty(), "there was a connection for everyone");
    assert_eq!(without.len(), found_none.len(), "somebody else found no connection");
    assert!(slowest_without < ACQUIRE + ACQUIRE_SLACK, "{slowest_without:?}");
    assert!(!behind.is_empty(), "nobody waited behind the lock");
    assert!(slowest_behind < HANDLER + SLACK, "{slowest_behind:?}");

    // It is over, and so is the trouble.
    other.rollback().await.unwrap();
    let over = Instant::now();
    broker.until("a token is given", async || client.token(&broker.url, &pool, "user-0").await.status == 200).await;
    let recovered = over.elapsed();
    assert!(recovered < HANDLER, "{recovered:?}");
    broker.until_ready().await;
    let again = ask_together(&client, &broker, &pool, (0..10).map(|user| format!("user-{user}"))).await;
    assert_eq!((again.served, again.shed), (10, 0));
    assert_nothing_is_half_written(&database.url).await;
    assert_eq!(count(&database.url, "select count(*) from logins").await, i64::try_from(users).unwrap());

    let mut figures = Figures::of("5-pressure-pool", "Pressure: no connection free");
    figures.row(
        "changes asked for behind a lock, over a pool of 2 connections",
        "all told to come again",
        changes.shed,
    );
    figures.row("of all calls, refused for want of a connection", "", without.len());
    let asked = known.served + known.shed;
    figures.row(
        "known users asked for meanwhile",
        "served, or told to come again",
        format!("{asked}: {} served", known.served),
    );
    figures.row(
        "slowest of these refusals (`database.acquire_timeout` 1 s)",
        "< 2.5 s",
        format!("{:.1} s", slowest_without.as_secs_f64()),
    );
    figures.row(
        "slowest refusal of those who had a connection (`server.handler_timeout` 3 s)",
        "< 6 s",
        format!("{:.1} s", slowest_behind.as_secs_f64()),
    );
    figures.row("key sets and discovery documents meanwhile", "all served", served);
    figures.row(
        "from the end of the lock to the next token",
        "< 5 s, unaided",
        format!("{} ms", recovered.as_millis()),
    );
    figures.publish();
}

/// The requests that found no connection, by the log.
fn requests_without_connection(broker: &Broker) -> BTreeSet<String> {
    let log = broker.log();
    let lines = log.iter().filter(|line| line["cause"].as_str().is_some_and(|cause| cause.contains(NO_CONNECTION)));
    lines.map(|line| line["request_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_takes_too_long_is_ended_not_tried_again_and_leaves_nothing() {
    let rounds = size(2, 10);
    let (database, client) = Database::with_developer().await;
    let proxy = Proxy::start(&database.server).await;
    let broker =
        Launch::serve(&proxy.url(&database.url)).env("SYMBOLON__DATABASE__STATEMENT_TIMEOUT", "1").start().await;
    let pool = client.create_pool(&broker.url).await;
    let alice = client.identity(&broker.url, &pool, "alice").await;

    // The second insert of a new user takes for ever.
    run(
        &database.url,
        "create function stuck() returns trigger language plpgsql as $$ begin perform pg_sleep(60); return new; end $$;
         create trigger stuck before insert on identities for each row execute function stuck()",
    )
    .await;
    let verifier = Verifier::start(&broker.url);
    proxy.take();
    let mut outcomes = Outcomes::default();
    for round in 0..rounds {
        let began = Instant::now();
        let answer = client.token(&broker.url, &pool, &format!("new-{round}")).await;
        outcomes.count(&answer, began.elapsed());
        assert_eq!(client.identity(&broker.url, &pool, "alice").await, alice, "who is known is not concerned");
    }
    let served = verifier.stop().await;
    let inserts = proxy.take().iter().filter(|sent| is_insert(sent)).count();
    assert_eq!((outcomes.served, outcomes.shed), (0, rounds));
    assert!(outcomes.slowest_refusal() < Duration::from_secs(3), "{:?}", outcomes.slowest_refusal());
    assert_eq!(inserts, rounds, "a statement that was cancelled was tried again");
    assert_eq!(count(&database.url, "select count(*) from logins").await, 1);
    assert_nothing_is_half_written(&database.url).await;

    run(&database.url, "drop trigger stuck on identities").await;
    for round in 0..rounds {
        client.identity(&broker.url, &pool, &format!("new-{round}")).await;
    }
    assert_nothing_is_half_written(&database.url).await;

    let mut figures = Figures::of("5-pressure-statement", "Pressure: statements that take too long");
    figures.row(
        "new users while no insert ends (`database.statement_timeout` 1 s)",
        "told to come again",
        outcomes.shed,
    );
    let slowest = format!("{:.1} s", outcomes.slowest_refusal().as_secs_f64());
    figures.row("slowest refusal", "< 3 s", slowest);
    figures.row("statements sent for each of them", "1: not tried again", inserts / rounds);
    figures.row("rows left of them", "0", 0);
    figures.row("key sets and discovery documents meanwhile", "all served", served);
    figures.publish();
}

/// Whether this makes a user, be it with others.
fn is_insert(sent: &Sent) -> bool {
    matches!(sent, Sent::Execute(sql) | Sent::Query(sql) if sql.contains("insert into logins"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_database_is_asked_no_more_than_a_quick_one_and_everybody_is_served() {
    const AT_ONCE: usize = 40;
    /// Under `database.statement_timeout`: the database does answer.
    const LATENCY: Duration = Duration::from_millis(1_300);
    let rounds = size(1, 8);
    let (database, client) = Database::with_developer().await;
    let proxy = Proxy::start(&database.server).await;
    let broker = Launch::serve(&proxy.url(&database.url))
        .env("SYMBOLON__DATABASE__POOL_SIZE", "4")
        .env("SYMBOLON__SERVER__WORKERS", "2")
        .env("SYMBOLON__KEYS__POLL_INTERVAL", "59")
        .start()
        .await;
    let pool = client.create_pool(&broker.url).await;
    let users = || (0..AT_ONCE).map(|user| format!("user-{user}"));
    // Twice, so that all connections there will be are there: a new one costs several answers.
    for _ in 0..2 {
        assert_eq!(ask_together(&client, &broker, &pool, users()).await.served, AT_ONCE);
    }

    let (mut served, mut shed, mut statements) = (0, 0, 0);
    let mut slowest = Duration::ZERO;
    let verifier = Verifier::start(&broker.url);
    // Idle for so long, connections are asked whether they live. They do, though they take long to say so.
    tokio::time::sleep(Duration::from_millis(5_500)).await;
    proxy.slow_down(LATENCY / 2);
    assert_eq!(ask_together(&client, &broker, &pool, users()).await.served, AT_ONCE);
    for _ in 0..rounds {
        proxy.take();
        proxy.slow_down(LATENCY);
        let began = Instant::now();
        let outcomes = ask_together(&client, &broker, &pool, users()).await;
        slowest = slowest.max(began.elapsed());
        proxy.slow_down(Duration::ZERO);
        served += outcomes.served;
        shed += outcomes.shed;
        statements += proxy.take().iter().filter(|sent| matches!(sent, Sent::Execute(_))).count();
    }
    let documents = verifier.stop().await;
    assert_eq!(shed, 0, "a database that answers in {LATENCY:?} serves nobody: {statements} statements");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    assert!(statements * 4 <= served, "{statements} statements for {served} users");
    // Its pace again.
    let again = ask_together(&client, &broker, &pool, users()).await;
    assert_eq!((again.served, again.shed), (AT_ONCE, 0));

    let mut figures = Figures::of("5-pressure-slow", "Pressure: a database that takes 1.3 s to answer");
    figures.row("known users asked for, 40 at once, over a pool of 4 connections", "all served", served);
    figures.row("statements for them", "at most one for each 4", statements);
    figures.row("slowest (`server.handler_timeout` 5 s)", "< 5 s", format!("{:.1} s", slowest.as_secs_f64()));
    figures.row("key sets and discovery documents meanwhile", "all served", documents);
    figures.publish();
}
