//! The primary of a synchronous cluster is killed and a standby promoted: nothing acknowledged is lost, and brokers go on by
//! themselves at the address of HAProxy.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use crate::broker::Launch;
use crate::database::add_developer;
use crate::figures::{Figures, size};
use crate::registrants::Registrants;
use crate::replication::Cluster;

/// From the death of the primary until both brokers register users again.
const RECOVERY: Duration = Duration::from_secs(10);

/// How long it takes whoever promotes to be sure that the primary is dead.
const DETECTION: Duration = Duration::from_secs(1);

/// For how long the standbys receive nothing before the primary is killed, in every other round.
const CUT: Duration = Duration::from_millis(700);

/// Registrations of each round before the primary is killed.
const REGISTRATIONS: usize = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_registration_is_lost_when_the_primary_is_killed_and_a_standby_promoted() {
    let rounds = size(1, 8);
    let mut cluster = Cluster::start(3).await;
    // Brokers come while HAProxy does not know yet who takes writes, and leads to any.
    cluster.start_haproxy();
    let client = add_developer(&cluster.url(), "AKIADEVELOPERNUMBER1").await;
    let launch = Launch::serve(&cluster.broker_url());
    let (one, other) = tokio::join!(launch.start(), launch.start());
    cluster.haproxy_knows().await;
    let registrants = Registrants::of(client, [&one, &other]).await;
    let clients = registrants.gather();

    let mut recoveries = Vec::new();
    for round in 1..=rounds {
        registrants.until(round * REGISTRATIONS).await;
        let mut cut_off = Vec::new();
        if round % 2 == 0 {
            cut_off = cluster.cut_standbys_off().await;
            tokio::time::sleep(CUT).await;
        }
        let struck = Instant::now();
        let dead = cluster.kill_primary();
        for receiver in cut_off {
            kill(receiver, Signal::SIGCONT).unwrap();
        }
        tokio::time::sleep(DETECTION).await;
        cluster.fail_over().await;
        recoveries.push(registrants.recovery(struck, &[0, 1]).await);
        if round < rounds {
            cluster.join(dead).await;
        }
    }
    println!("{recoveries:?}");
    let longest = recoveries.iter().max().unwrap();
    assert!(*longest <= RECOVERY, "{recoveries:?} {}", cluster.haproxy_log());
    let mut figures = Figures::of("3-failover", "A primary killed, a standby promoted");
    registrants.part(clients, (rounds + 1) * REGISTRATIONS, &cluster.url(), &mut figures).await;

    figures.row("Primaries killed with SIGKILL", "", rounds);
    figures.row("Of them with standbys that were cut off before", "", rounds / 2);
    let limit = format!("≤ {} s", RECOVERY.as_secs());
    let measure = format!(
        "From the kill until both brokers register again, {} s of which nobody promotes, at most",
        DETECTION.as_secs()
    );
    figures.row(&measure, &limit, format!("{:.2} s", longest.as_secs_f64()));
    figures.publish();
}
