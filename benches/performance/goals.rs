//! The figures that the goals are about: rounds of each subject take turns, so that all see the same machine.

use std::sync::Arc;

use crate::broker::Broker;
use crate::floors::{BareSignature, Lookup, lookups};
use crate::measure::{Round, Series, Subject};
use crate::population::Population;
use crate::requests::Requests;

pub const CONNECTIONS: usize = 16;

/// A database's brokers under one algorithm.
pub struct Known {
    pub size: usize,
    pub rounds: Vec<Round>,
    pub lookups: Vec<Lookup>,
}

pub struct Goals {
    pub algorithm: &'static str,
    /// By size of the database.
    pub known: Vec<Known>,
}

/// Tokens of a round: enough for a second or two.
pub fn tokens(algorithm: &str) -> usize {
    if algorithm == "RS256" { 8_000 } else { 24_000 }
}

pub async fn measure(algorithm: &'static str, populations: &[Population], rounds: usize) -> Goals {
    let bare = BareSignature::of(algorithm);
    let mut subjects = Vec::new();
    let mut known = Vec::new();
    for population in populations {
        population.forget_signing_keys().await;
        let broker = Broker::start(population, algorithm, &[]).await;
        let subject = Subject {
            addresses: vec![broker.address],
            processes: vec![broker.pid()],
            postgres: Some(population.server.pid()),
        };
        let requests = Requests::new(population);
        subject.saturate(requests.known(2_000), CONNECTIONS, 4_000).await;
        lookups(population).await;
        subjects.push((population, requests, subject, broker));
        known.push(Known { size: population.size, rounds: Vec::new(), lookups: Vec::new() });
    }
    for number in 1..=rounds {
        for ((population, requests, subject, _), known) in subjects.iter().zip(&mut known) {
            let operations = requests.known(population.users.len());
            let bare = bare.measure();
            let round = subject.saturate(operations, CONNECTIONS, tokens(algorithm)).await;
            known.rounds.push(Round { bare, ..round });
            known.lookups.push(lookups(population).await);
        }
        eprintln!("{algorithm}: round {number} of {rounds}");
    }
    Goals { algorithm, known }
}

impl Goals {
    pub fn print(&self) {
        for known in &self.known {
            let series = |figure: fn(&Round) -> f64| Series::of(&known.rounds, figure).text(1);
            let ratio = |figure: fn(&Round) -> f64| Series::of(&known.rounds, figure).text(2);
            println!("\n{}, known user, {} identities: median (range)", self.algorithm, known.size);
            println!("  bare signature         {} us CPU", series(|round| round.bare));
            println!("  broker                 {} us CPU per token", series(|round| round.server));
            println!("  postgres               {} us CPU per token", series(|round| round.postgres));
            println!("  generator              {} us CPU per token", series(|round| round.generator));
            println!("  throughput             {} tokens/s", series(|round| round.rate));
            println!("  broker / bare          {}", ratio(|round| round.server / round.bare));
            println!("  (broker + pg) / bare   {}", ratio(|round| round.total() / round.bare));
            println!("  throughput / bare      {}", ratio(|round| round.rate * round.bare / 1e6));
            println!("  bare look-up: server   {} us CPU", Series::of(&known.lookups, |l| l.server).text(1));
            println!("  bare look-up: client   {} us CPU", Series::of(&known.lookups, |l| l.client).text(1));
        }
    }
}
