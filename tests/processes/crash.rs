//! Crashes: what was acknowledged is there after the restart, and nobody is there twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::task::JoinSet;

use crate::broker::{Broker, Launch};
use crate::client::{Client, Signed};
use crate::database::{Durable, add_developer, orphans, users};

const ROUNDS: usize = 10;
const CLIENTS: usize = 12;
/// Acknowledged registrations of a round before the kill; more are under way at that moment.
const ACKNOWLEDGED: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_registration_survives_ten_kills_and_none_is_there_twice() {
    let mut durable = Durable::start().await;
    let client = Arc::new(add_developer(&durable.postgres.url(), "AKIADEVELOPERNUMBER1").await);
    let launch = Launch::serve(&durable.postgres.url());
    let mut broker = launch.start().await;
    let pool = client.create_pool(&broker.url).await;
    let mut all = HashMap::new();

    for round in 0..ROUNDS {
        let (broker_pid, server_pid) = (broker.pid(), durable.postgres.pid());
        let with_server = round % 2 == 1;
        let strike = move || {
            kill(Pid::from_raw(broker_pid), Signal::SIGKILL).unwrap();
            if with_server {
                kill(Pid::from_raw(server_pid), Signal::SIGKILL).unwrap();
            }
        };
        let acknowledged = register_until(&client, &broker, &pool, round, strike).await;
        assert!(acknowledged.len() >= ACKNOWLEDGED, "round {round}: {}", acknowledged.len());
        broker.kill();
        if with_server {
            durable.postgres.exited().await;
            durable.postgres.restart().await.unwrap();
        }

        broker = launch.start().await;
        confirm(&client, &broker, &pool, &acknowledged).await;
        all.extend(acknowledged);
    }

    // Those who were under way at a kill are there whole or not at all.
    let url = durable.postgres.url();
    let stored = users(&url).await;
    for (user, identity) in &all {
        assert_eq!(Some(unique_part(identity)), stored.get(user).map(String::as_str), "{user}");
    }
    assert_eq!(orphans(&url).await, (0, 0));
}

fn unique_part(identity: &str) -> &str {
    identity.split_once(':').unwrap().1
}

/// Registers users without pause, and strikes while more are on their way. What was acknowledged is the outcome.
async fn register_until(
    client: &Arc<Client>,
    broker: &Broker,
    pool: &str,
    round: usize,
    strike: impl FnOnce(),
) -> HashMap<String, String> {
    let (done, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (client, url, pool) = (Arc::clone(client), broker.url.clone(), pool.to_owned());
        let (done, acknowledged) = (Arc::clone(&done), Arc::clone(&acknowledged));
        clients.spawn(async move {
            let mut known = HashMap::new();
            for user in (0..).map(|user| format!("user-{round}-{number}-{user}")) {
                if done.load(Ordering::SeqCst) {
                    break;
                }
                let request: Signed = client.token_request(&url, &pool, &user);
                // Cut off by the kill: not acknowledged. Where the database was killed first, the broker may say so.
                let Ok(answer) = client.send(&request).await else { break };
                if answer.status == 500 {
                    break;
                }
                known.insert(user, answer.member("IdentityId"));
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }
            known
        });
    }
    let began = Instant::now();
    while acknowledged.load(Ordering::SeqCst) < ACKNOWLEDGED {
        assert!(began.elapsed() < Duration::from_mins(1), "{acknowledged:?} acknowledged");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    strike();
    done.store(true, Ordering::SeqCst);
    clients.join_all().await.into_iter().flatten().collect()
}

/// Asks for every user again.
async fn confirm(client: &Arc<Client>, broker: &Broker, pool: &str, acknowledged: &HashMap<String, String>) {
    let mut clients = JoinSet::new();
    for share in acknowledged.iter().collect::<Vec<_>>().chunks(acknowledged.len().div_ceil(CLIENTS)) {
        let share: Vec<(String, String)> = share.iter().map(|(user, id)| ((*user).clone(), (*id).clone())).collect();
        let (client, url, pool) = (Arc::clone(client), broker.url.clone(), pool.to_owned());
        clients.spawn(async move {
            for (user, identity) in share {
                assert_eq!(client.identity(&url, &pool, &user).await, identity, "{user}");
            }
        });
    }
    clients.join_all().await;
}
