//! Crashes: what was acknowledged is there after them, nobody is there twice, and whoever lives goes on by himself.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::broker::Launch;
use crate::data_dir::data_dir;
use crate::database::{Database, Durable, add_developer, count, users};
use crate::dice::{Dice, new_seed};
use crate::figures::{Figures, size};
use crate::proxy::{Fault, Proxy};
use crate::registrants::{Registrants, unique_part};

/// Whatever was killed, it is missed no longer.
const RECOVERY: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Broker,
    Postgres,
    /// Both at the same moment.
    Both,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_registration_survives_the_crashes_of_brokers_and_of_postgres_and_none_is_there_twice() {
    use Victim::{Both, Broker, Postgres};
    let (registrations, mut victims) = size(
        (400, vec![Broker, Postgres, Both]),
        (4_000, [vec![Broker; 15], vec![Postgres; 5], vec![Both; 5]].concat()),
    );
    let seed = new_seed();
    let mut dice = Dice::of(seed);
    victims = dice.some(&victims, victims.len(), victims.len());

    let dir = data_dir();
    let mut durable = Durable::start_in(dir.path()).await;
    let url = durable.postgres.url();
    let client = add_developer(&url, "AKIADEVELOPERNUMBER1").await;
    let launch = Launch::serve(&url);
    let (one, other) = tokio::join!(launch.start(), launch.start());
    let mut brokers = [one, other];
    let registrants = Registrants::of(client, [&brokers[0], &brokers[1]]).await;
    let clients = registrants.gather();

    let mut recoveries: HashMap<&str, Duration> = HashMap::new();
    for (round, victim) in victims.iter().enumerate() {
        let due = (round + 1) * registrations / (victims.len() + 1);
        registrants.until(due).await;
        let at = dice.below(2);
        let struck = Instant::now();
        if *victim != Broker {
            kill(Pid::from_raw(durable.postgres.pid()), Signal::SIGKILL).unwrap();
        }
        if *victim != Postgres {
            brokers[at].signal(Signal::SIGKILL);
        }
        if *victim != Broker {
            durable.postgres.exited().await;
            durable.postgres.restart().await.unwrap();
        }
        let mut serving = vec![0, 1];
        if *victim == Broker {
            // The other one does not notice.
            let missed = registrants.recovery(struck, &[1 - at]).await;
            longest(&mut recoveries, "another broker", missed);
        }
        if *victim != Postgres {
            let fresh = launch.start().await;
            registrants.turn_to(at, &fresh.url);
            std::mem::replace(&mut brokers[at], fresh).kill();
            serving.retain(|broker| *broker != at);
            registrants.recovery(Instant::now(), &[at]).await;
            longest(&mut recoveries, "the broker", struck.elapsed());
        }
        if *victim != Broker {
            // Those brokers that live: nobody has restarted them.
            let missed = registrants.recovery(struck, &serving).await;
            longest(&mut recoveries, "Postgres", missed);
        }
    }
    println!("seed {seed}: {recoveries:?}");
    assert!(recoveries.values().all(|took| *took <= RECOVERY));
    let mut figures = Figures::of("2-crash", "Crashes of brokers and of Postgres");
    registrants.part(clients, registrations, &url, &mut figures).await;
    let killed = |which: Victim| victims.iter().filter(|victim| **victim == which || **victim == Both).count();
    figures.row("SIGKILLs of a broker", "", killed(Broker));
    figures.row("SIGKILLs of Postgres", "", killed(Postgres));
    let limit = format!("≤ {} s", RECOVERY.as_secs());
    for (what, measure) in [
        ("another broker", "A broker is killed: the other one answers after, at most"),
        ("the broker", "A broker is killed and started again: it answers after, at most"),
        (
            "Postgres",
            "Postgres is killed and started again: the brokers, which nobody starts again, answer after, at most",
        ),
    ] {
        figures.row(measure, &limit, format!("{:.2} s", recoveries[what].as_secs_f64()));
    }
    figures.publish();
}

fn longest(recoveries: &mut HashMap<&'static str, Duration>, what: &'static str, took: Duration) {
    let longest = recoveries.entry(what).or_default();
    *longest = took.max(*longest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_killed_between_commit_and_answer_leaves_an_identity_that_the_retry_finds() {
    let rounds = size(3, 20);
    let (database, client) = Database::with_developer().await;
    let proxy = Proxy::start(&database.server).await;
    // Nothing else is to write meanwhile.
    let launch = Launch::serve(&proxy.url(&database.url)).env("SYMBOLON__KEYS__POLL_INTERVAL", "59");
    let other = Launch::serve(&database.url).start().await;
    let pool = client.create_pool(&other.url).await;
    let mut found = 0;
    for round in 0..rounds {
        let (broker, user) = (launch.start().await, format!("user-{round}"));
        proxy.strike_at_commit(Fault::Silence);
        let request = client.token_request(&broker.url, &pool, &user);
        let asking = tokio::spawn({
            let client = client.clone();
            async move { client.send(&request).await.map(|answer| answer.status) }
        });
        broker.until("the commit is answered", async || !proxy.is_losing()).await;
        broker.kill();
        assert!(asking.await.unwrap().is_err(), "the answer came");
        proxy.bury();

        let made = users(&database.url).await.remove(&user);
        let retried = client.identity(&other.url, &pool, &user).await;
        assert_eq!(made.as_deref(), Some(unique_part(&retried)), "{user}");
        found += 1;
    }
    assert_eq!(count(&database.url, "select count(*) from identities").await, rounds);
    let mut figures = Figures::of("2-crash-commit", "A broker killed between COMMIT and its answer");
    figures.row("SIGKILLs once Postgres has committed, before the client has its answer", "", rounds);
    figures.row("Retries with the other broker that get the identity committed before", "all", found);
    figures.publish();
}
