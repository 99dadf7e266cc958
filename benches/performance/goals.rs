//! What the goals are about: rounds of each subject take turns, so that all see the same machine.

use std::path::Path;
use std::time::Duration;

use crate::answers;
use crate::broker::Broker;
use crate::floors::{BareSignature, Lookup, lookups};
use crate::measure::{Effort, Row, Subject};
use crate::peers::Peer;
use crate::population::Population;
use crate::requests::Requests;
use crate::stalls;

pub const CONNECTIONS: usize = 16;
const FIRST_TIME: usize = 2_000;
const STARTS: usize = 5;

/// A known user's token at one size of the database.
pub struct Known {
    pub row: Row,
    pub lookups: Vec<Lookup>,
}

pub struct Goals {
    pub algorithm: &'static str,
    /// By size, the least first.
    pub known: Vec<Known>,
    /// Which of them is the size that goals are set for.
    pub main: usize,
    pub first_time: Row,
    /// Of one bare signature while every core signs, in CPU microseconds.
    pub on_every_core: Vec<f64>,
    /// Percent of the time in which the machine took a core away, before each round.
    pub stalls: Vec<f64>,
    pub peers: [Peer; 2],
    /// Resident memory before the first request, in MB.
    pub idle: f64,
    /// From the start of a broker to its first token, in milliseconds.
    pub starts: Vec<f64>,
}

/// Tokens of a round: enough for a second or two. Many short rounds tell more than few long ones on a shared machine.
pub fn tokens(algorithm: &str) -> usize {
    if algorithm == "RS256" { 4_000 } else { 12_000 }
}

pub async fn measure(
    algorithm: &'static str,
    populations: &[Population],
    main: usize,
    peers: Option<&Path>,
    effort: Effort,
) -> Goals {
    let bare = BareSignature::of(algorithm);
    let requests: Vec<Requests> = populations.iter().map(Requests::new).collect();
    let mut brokers = Vec::new();
    for population in populations {
        brokers.push(Broker::start(population, algorithm, &[]).await);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let idle = brokers[main].memory().now;
    let parts = || populations.iter().zip(&requests).zip(&brokers);
    let subjects: Vec<Subject> = parts()
        .map(|((population, requests), broker)| broker.subject(population, |count| requests.known(count)))
        .collect();
    let first_time_subject = brokers[main].subject(&populations[main], |count| requests[main].first_time(count));
    let row = |name: &str, population: &Population| Row::new(name, algorithm, population.size, CONNECTIONS);
    let mut known: Vec<Known> = populations
        .iter()
        .map(|population| Known { row: row("known user", population), lookups: Vec::new() })
        .collect();
    let mut first_time = row("first-time user", &populations[main]);
    let mut peers = Peer::start(peers, algorithm).await;

    for (((population, requests), broker), subject) in parts().zip(&subjects) {
        answers::check_token(broker.address, population, &requests.known(1)[0]).await;
        answers::check_token(broker.address, population, &requests.first_time(1)[0]).await;
        subject.saturate(&bare, CONNECTIONS, effort.of(tokens(algorithm))).await;
        lookups(population).await;
    }
    first_time_subject.saturate(&bare, CONNECTIONS, effort.of(FIRST_TIME / 2)).await;
    for peer in peers.iter().filter_map(|peer| peer.running.as_ref().ok()) {
        // Theirs are compiled as they run, which takes a while whatever our effort.
        peer.subject.saturate(&bare, CONNECTIONS, 2 * peer.total).await;
    }

    let (mut on_every_core, mut stalls) = (Vec::new(), Vec::new());
    for number in 1..=effort.rounds {
        on_every_core.push(bare.measure_on_every_core());
        stalls.push(stalls::percent());
        for ((population, subject), known) in populations.iter().zip(&subjects).zip(&mut known) {
            let round = subject.saturate(&bare, CONNECTIONS, effort.of(tokens(algorithm))).await;
            known.row.rounds.push(round);
            known.lookups.push(lookups(population).await);
        }
        let first_time_round = first_time_subject.saturate(&bare, CONNECTIONS, effort.of(FIRST_TIME)).await;
        first_time.rounds.push(first_time_round);
        for peer in &mut peers {
            if let Ok(running) = &peer.running {
                peer.rounds.push(running.subject.saturate(&bare, CONNECTIONS, effort.of(running.total)).await);
            }
        }
        for (subject, known) in subjects.iter().zip(&mut known) {
            let last = known.row.rounds[number - 1];
            known.row.fixed.push(subject.at_half(&last, CONNECTIONS, effort).await);
        }
        first_time.fixed.push(first_time_subject.at_half(&first_time_round, CONNECTIONS, effort).await);
        eprintln!("{algorithm}: round {number} of {} of the goals", effort.rounds);
    }
    for (known, broker) in known.iter_mut().zip(&brokers) {
        known.row.peak = broker.memory().peak;
    }
    first_time.peak = brokers[main].memory().peak;

    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let took = Broker::time_to_first_token(&populations[main], algorithm, &requests[main].known(1)[0]).await;
        starts.push(took.as_secs_f64() * 1e3);
    }
    Goals { algorithm, known, main, first_time, on_every_core, stalls, peers, idle, starts }
}
