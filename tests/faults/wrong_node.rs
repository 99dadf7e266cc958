//! A broker whose connections lead to a standby: what wants to be written finds the primary as soon as there is a way to it,
//! and the broker goes on by itself when the standby is promoted.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;

use crate::broker::{Broker, Launch, MASTER_KEY};
use crate::client::Client;
use crate::database::{ACCOUNT, add_developer, connect};
use crate::figures::{Figures, size};
use crate::operator::Operator;
use crate::proxy::{Proxy, Shape};
use crate::replication::Cluster;

const PRIMARY: usize = 0;
const STANDBY: usize = 1;

/// Connections of the broker that lead to the standby: many more than one call has tries.
const MISLED: usize = 16;

/// `keys.sign_fence` here.
const FENCE: Duration = Duration::from_secs(9);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_led_to_a_standby_finds_the_primary_in_one_call_and_goes_on_when_the_standby_is_promoted() {
    let rounds = size(1, 20);
    let mut cluster = Cluster::start(2).await;
    let client = add_developer(&cluster.url(), "AKIADEVELOPERNUMBER1").await;
    let proxy = Proxy::start_to(0, &cluster.socket(PRIMARY)).await;
    let launch = Launch::serve(&proxy.url(&cluster.url()))
        .env("SYMBOLON__KEYS__POLL_INTERVAL", "3")
        .env("SYMBOLON__KEYS__SIGN_FENCE", FENCE.as_secs().to_string())
        .env("SYMBOLON__KEYS__REPLICA_SKEW", "1")
        .env("SYMBOLON__KEYS__ALLOW_UNSAFE", "true");
    let broker = launch.start().await;
    let pool = client.create_pool(&broker.url).await;
    let alice = client.identity(&broker.url, &pool, "alice").await;

    nothing_is_remembered_of_a_standby_that_lags(&cluster, &proxy, &broker).await;
    it_polls(&broker, &proxy).await;

    // Once more and more: the way leads to the standby, and then to the primary again.
    for round in 0..rounds {
        proxy.lead_to(&cluster.socket(STANDBY));
        proxy.cut_off();
        // A poll of the keys finds out by itself where they lead, and gives all up: then once more.
        broker
            .until("many connections lead there", async || {
                read_at_once(&broker, &client, &pool, &proxy).await >= MISLED / 2
            })
            .await;
        proxy.lead_to(&cluster.socket(PRIMARY));
        let answer = client.token(&broker.url, &pool, &format!("user-{round}")).await;
        assert_eq!(answer.status, 200, "round {round}: {answer:?} {}", broker.said());
        // From the primary, or it would sign no more after a few rounds.
        it_polls(&broker, &proxy).await;
    }

    // Only the standby is left, and nobody has promoted it yet.
    proxy.lead_to(&cluster.socket(STANDBY));
    proxy.cut_off();
    let led_there = Instant::now();
    assert_eq!(client.identity(&broker.url, &pool, "alice").await, alice, "who is known may be read");
    // What a standby says of keys may be out of date, so it is not taken for a poll: past the fence nobody signs by it.
    let stale = async {
        broker.until("its keys are out of date", async || broker.readiness().await.0 == 503).await;
        led_there.elapsed()
    };
    let (signed_for, bob) = tokio::join!(stale, client.token(&broker.url, &pool, "bob"));
    bob.is_internal_error();
    assert!(broker.ask("/metrics").await.text.contains("sqlstate=\"25006\""));
    assert!(signed_for < FENCE + Duration::from_secs(2), "{signed_for:?}");
    client.token(&broker.url, &pool, "alice").await.is_internal_error();
    let mut late = launch.spawn();
    late.until("it waits", async || late.said().contains("the database takes no writes")).await;

    cluster.kill_primary();
    cluster.fail_over().await;
    cluster.go_on_alone().await;
    broker.until("bob is registered", async || client.token(&broker.url, &pool, "bob").await.status == 200).await;
    late.find_addresses().await;
    late.until_ready().await;
    assert_eq!(client.identity(&late.url, &pool, "alice").await, alice);
    assert_eq!(client.identity(&late.url, &pool, "bob").await, client.identity(&broker.url, &pool, "bob").await);

    let mut figures = Figures::of("3-wrong-node", "Connections that lead to a standby (SQLSTATE 25006)");
    figures.row("Times that all connections of a broker led to a standby", "", rounds);
    figures.row("First write afterwards that found the primary, in one call", "all", rounds);
    figures.row(
        "A broker that only reaches a standby is not ready and signs no more after (`keys.sign_fence` 9 s)",
        "≤ 11 s",
        format!("{:.2} s", signed_for.as_secs_f64()),
    );
    figures.row("Brokers that were restarted when their standby was promoted", "0", 0);
    figures.publish();
}

/// Waits until the broker asks anew what its keys are.
async fn it_polls(broker: &Broker, proxy: &Proxy) {
    proxy.take();
    broker.until("it polls", async || proxy.take().iter().any(|sent| sent.has("keyrings"))).await;
}

/// An access key that was disabled, but is enabled by what a standby says that lags: the broker does not remember that.
async fn nothing_is_remembered_of_a_standby_that_lags(cluster: &Cluster, proxy: &Proxy, broker: &Broker) {
    let operator = Operator::of(&cluster.url(), MASTER_KEY);
    let (key, secret) = operator.access_key(ACCOUNT).await;
    let client = Client::new(&key, &secret);
    let ask = async || client.call(&broker.url, "ListIdentityPools", &json!({ "MaxResults": 1 })).await;
    assert_eq!(ask().await.status, 200);
    let to_standby = Proxy::start_to(0, &cluster.socket(STANDBY)).await;
    let mut standby = connect(&to_standby.url(&cluster.url())).await;
    // What is acknowledged is there, but is not seen there at once.
    let seen = "select exists (select from access_keys where access_key_id = $1)";
    while !sqlx::query_scalar::<_, bool>(seen).bind(&key).fetch_one(&mut standby).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    sqlx::query("select pg_wal_replay_pause()").execute(&mut standby).await.unwrap();
    operator.ok(&["access-key", "disable", &key]).await;
    broker.until("the broker has heard", async || ask().await.status == 400).await;

    proxy.lead_to(&cluster.socket(STANDBY));
    proxy.cut_off();
    broker.until("it reads what was before", async || ask().await.status == 200).await;
    proxy.lead_to(&cluster.socket(PRIMARY));
    proxy.cut_off();
    let answer = ask().await;
    assert_eq!((answer.status, answer.exception()), (400, "UnrecognizedClientException"), "{answer:?}");
    sqlx::query("select pg_wal_replay_resume()").execute(&mut standby).await.unwrap();
}

/// Has the broker read with many connections at the same time, and says how many it has now.
async fn read_at_once(broker: &Broker, client: &Client, pool: &str, proxy: &Proxy) -> usize {
    proxy.shape(Shape { delay: Duration::from_millis(40), ..Shape::default() }, 0);
    let body = json!({ "IdentityPoolId": pool });
    let calls = (0..MISLED).map(|_| client.call(&broker.url, "DescribeIdentityPool", &body));
    for answer in join_all(calls).await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    proxy.shape(Shape::default(), 0);
    let metrics = broker.ask("/metrics").await.text;
    let idle = metrics.lines().find_map(|line| line.strip_prefix("symbolon_db_pool_connections{state=\"idle\"} "));
    idle.unwrap().parse().unwrap()
}
