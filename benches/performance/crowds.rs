//! Known users over fewer and more connections, over two brokers on one database, and by a key that has a policy.

use crate::broker::Broker;
use crate::floors::BareSignature;
use crate::goals::{CONNECTIONS, tokens};
use crate::measure::{Effort, Row, Subject};
use crate::population::Population;
use crate::requests::Requests;

const CROWDS: [usize; 4] = [1, 8, 64, 256];

/// A row for each number of connections; each by a broker of its own, whose memory is told.
pub async fn measure(algorithm: &'static str, population: &Population, effort: Effort) -> Vec<Row> {
    let bare = BareSignature::of(algorithm);
    let requests = Requests::new(population);
    let mut rows = Vec::new();
    for connections in CROWDS {
        let broker = Broker::start(population, algorithm, &[]).await;
        let subject = broker.subject(population, |count| requests.known(count));
        let mut row = Row::new("known user", algorithm, population.size, connections);
        (row.rounds, row.fixed) = subject.measure(&bare, connections, tokens(algorithm), effort).await;
        row.peak = broker.memory().peak;
        eprintln!("{algorithm}: {connections} connections at {} identities", population.size);
        rows.push(row);
    }
    rows
}

/// The connections are dealt out to two brokers; the CPU time is that of both.
pub async fn two_replicas(algorithm: &'static str, population: &Population, effort: Effort) -> Row {
    let bare = BareSignature::of(algorithm);
    let requests = Requests::new(population);
    let brokers = [Broker::start(population, algorithm, &[]).await, Broker::start(population, algorithm, &[]).await];
    let subject = Subject {
        addresses: brokers.iter().map(|broker| broker.address).collect(),
        processes: brokers.iter().map(Broker::pid).collect(),
        postgres: Some(population.server.pid()),
        operations: Box::new(|count| requests.known(count)),
    };
    let mut row = Row::new("known user, two replicas", algorithm, population.size, CONNECTIONS);
    (row.rounds, row.fixed) = subject.measure(&bare, CONNECTIONS, tokens(algorithm), effort).await;
    row.peak = brokers.iter().map(|broker| broker.memory().peak).fold(0.0, f64::max);
    eprintln!("{algorithm}: two replicas");
    row
}

/// By an access key with a policy, which is decided upon for each request.
pub async fn restricted(algorithm: &'static str, population: &Population, effort: Effort) -> Row {
    let bare = BareSignature::of(algorithm);
    let requests = Requests::restricted(population);
    let broker = Broker::start(population, algorithm, &[]).await;
    let subject = broker.subject(population, |count| requests.known(count));
    let mut row = Row::new("known user, access key with a policy", algorithm, population.size, CONNECTIONS);
    (row.rounds, row.fixed) = subject.measure(&bare, CONNECTIONS, tokens(algorithm), effort).await;
    row.peak = broker.memory().peak;
    eprintln!("{algorithm}: access key with a policy");
    row
}
