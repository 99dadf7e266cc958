//! The other operations, one by one and mixed.

use std::net::SocketAddr;

use crate::answers;
use crate::broker::{Broker, Settings};
use crate::floors::BareSignature;
use crate::goals::CONNECTIONS;
use crate::measure::{Effort, Make, Row};
use crate::population::Population;
use crate::requests::Requests;

const ALGORITHM: &str = "RS256";

/// Guests are not limited, since they all come from one address here; and the broker has credentials to give.
pub const SETTINGS: Settings = &[
    ("SYMBOLON__LIMITS__GUESTS_PER_SECOND_PER_ADDRESS", "0"),
    ("SYMBOLON__LIMITS__GUESTS_PER_SECOND_PER_POOL", "0"),
    ("SYMBOLON__CREDENTIALS__BUILTIN", "true"),
];

pub async fn measure(population: &Population, effort: Effort) -> Vec<Row> {
    let bare = BareSignature::of(ALGORITHM);
    let requests = &Requests::new(population);
    let scenarios: [(&str, usize, Make); 5] = [
        ("guest: GetId, GetOpenIdToken", 3_000, Box::new(|count| requests.guests(count))),
        ("GetCredentialsForIdentity", 8_000, Box::new(|count| requests.credentials(count))),
        ("LookupDeveloperIdentity", 10_000, Box::new(|count| requests.lookups(count))),
        ("JWKS", 30_000, Box::new(|_| vec![Requests::keys()])),
        ("mix", 8_000, Box::new(|count| requests.mix(count))),
    ];
    let mut rows = Vec::new();
    for (name, total, operations) in scenarios {
        let broker = Broker::start(population, ALGORITHM, SETTINGS).await;
        check(broker.address, population, requests).await;
        let subject = broker.subject(population, operations);
        let mut row = Row::new(name, ALGORITHM, population.size, CONNECTIONS);
        (row.rounds, row.fixed) = subject.measure(&bare, CONNECTIONS, total, effort).await;
        row.peak = broker.memory().peak;
        eprintln!("{name}");
        rows.push(row);
    }
    rows
}

async fn check(address: SocketAddr, population: &Population, requests: &Requests<'_>) {
    answers::check_token(address, population, &requests.guests(1)[0]).await;
    answers::check_member(address, &requests.credentials(1)[0], "/Credentials/SessionToken").await;
    answers::check_member(address, &requests.lookups(1)[0], "/DeveloperUserIdentifierList/0").await;
    answers::check_member(address, &Requests::keys(), "/keys/0/n").await;
}
