//! What was measured, as tables: printed, and written into the document.

use std::fs;
use std::path::Path;

use crate::goals::Goals;
use crate::measure::{Fixed, Round, Row};
use crate::series::Series;
use crate::stalls;
use crate::targets::targets;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/performance.md");
const BEGIN: &str = "<!-- measured: begin -->\n";
const END: &str = "<!-- measured: end -->";

#[derive(Default)]
pub struct Report {
    pub machine: Vec<String>,
    /// One for each algorithm.
    pub goals: Vec<Goals>,
    pub rows: Vec<Row>,
    pub bytes_per_identity: f64,
}

impl Report {
    /// As Markdown.
    pub fn text(&self) -> String {
        let mut text: String = self.machine.iter().map(|line| format!("{line}\n")).collect();
        let goals = self
            .goals
            .iter()
            .flat_map(|goals| goals.known.iter().map(|known| &known.row).chain(std::iter::once(&goals.first_time)));
        let rows: Vec<&Row> = goals.chain(&self.rows).collect();
        text += "\n### Scenarios\n\n";
        text += &table(&COST, rows.iter().map(|row| cost(row).into()));
        text += "\n### Throughput and latency\n\n";
        text += &table(&SPEED, rows.iter().map(|row| speed(row).into()));
        if !self.goals.is_empty() {
            text += &format!("\n{}\n", taken_away(&self.goals));
            text += "\n### Floors\n\n";
            text += &table(&FLOORS, self.goals.iter().flat_map(floors).map(Into::into));
            text += "\n### Peers\n\n";
            text += &table(&PEERS, self.goals.iter().flat_map(peers).map(Into::into));
        }
        if let [rsa, ecdsa] = &self.goals[..] {
            text += "\n### Goals\n\n";
            let most_memory = rows.iter().map(|row| row.peak).fold(0.0, f64::max);
            let targets = targets(rsa, ecdsa, most_memory, self.bytes_per_identity);
            text += &table(&GOALS, targets.iter().map(|target| target.cells().into()));
        }
        text
    }

    /// Puts the tables in their place in the document.
    pub fn write(&self) {
        let document = fs::read_to_string(DOCUMENT).unwrap();
        let (before, rest) = document.split_once(BEGIN).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        fs::write(Path::new(DOCUMENT), format!("{before}{BEGIN}\n{}\n{END}{after}", self.text())).unwrap();
    }
}

const COST: [&str; 9] = [
    "Scenario",
    "Algorithm",
    "Identities",
    "Connections",
    "Broker, µs",
    "Postgres, µs",
    "Generator, µs",
    "Broker / bare signature",
    "Broker + Postgres / bare signature",
];

fn cost(row: &Row) -> [String; 9] {
    let series = |figure: fn(&Round) -> f64, decimals| Series::of(&row.rounds, figure).text(decimals);
    [
        row.name.clone(),
        row.algorithm.to_owned(),
        row.identities.to_string(),
        row.connections.to_string(),
        series(|round| round.server, 0),
        series(|round| round.postgres, 0),
        series(|round| round.generator, 0),
        series(|round| round.server / round.bare, 2),
        series(Round::signatures, 2),
    ]
}

const SPEED: [&str; 10] = [
    "Scenario",
    "Algorithm",
    "Identities",
    "Connections",
    "Per second",
    "At a fixed rate of",
    "p50, ms",
    "p99, ms",
    "p99.9, ms",
    "Memory, MB",
];

fn speed(row: &Row) -> [String; 10] {
    let fixed = |figure: fn(&Fixed) -> f64, decimals| Series::of(&row.fixed, figure).text(decimals);
    [
        row.name.clone(),
        row.algorithm.to_owned(),
        row.identities.to_string(),
        row.connections.to_string(),
        Series::of(&row.rounds, |round| round.rate).text(0),
        format!("{:.0}", Series::of(&row.fixed, |fixed| fixed.rate).median()),
        fixed(|fixed| fixed.p50, 2),
        fixed(|fixed| fixed.p99, 2),
        fixed(|fixed| fixed.p999, 2),
        format!("{:.0}", row.peak),
    ]
}

fn taken_away(goals: &[Goals]) -> String {
    let percents: Vec<f64> = goals.iter().flat_map(|goals| &goals.stalls).copied().collect();
    format!(
        "Stalls: before each round of the goals, without load, a busy thread on each core was without it, for {:?} or longer at \
         once, in {} % of the time.",
        stalls::SHORTEST,
        Series::of(&percents, |percent| *percent).text(2)
    )
}

const FLOORS: [&str; 2] = ["Floor", "CPU, µs"];

fn floors(goals: &Goals) -> Vec<[String; 2]> {
    let signatures: Vec<f64> =
        goals.known.iter().flat_map(|known| known.row.rounds.iter().map(|round| round.bare)).collect();
    let mut floors = vec![[
        format!("one bare signature, {}", goals.algorithm),
        Series::of(&signatures, |signature| *signature).text(1),
    ]];
    floors.push([
        format!("the same while every core signs, {}", goals.algorithm),
        Series::of(&goals.on_every_core, |signature| *signature).text(1),
    ]);
    for known in &goals.known {
        let size = known.row.identities;
        let client = Series::of(&known.lookups, |lookup| lookup.client).text(1);
        let server = Series::of(&known.lookups, |lookup| lookup.server).text(1);
        floors.push([format!("one look-up among {size} identities ({} rounds), client", goals.algorithm), client]);
        floors.push([format!("one look-up among {size} identities ({} rounds), Postgres", goals.algorithm), server]);
    }
    floors
}

const PEERS: [&str; 5] = ["Peer", "Algorithm", "CPU per token, µs", "Per second", "Ours / theirs, CPU"];

fn peers(goals: &Goals) -> Vec<[String; 5]> {
    let row = |peer: &crate::peers::Peer| {
        let name = peer.name.to_owned();
        let algorithm = goals.algorithm.to_owned();
        match &peer.running {
            Err(why) => [name, algorithm, format!("not measured: {why}"), "—".into(), "—".into()],
            Ok(_) => [
                name,
                algorithm,
                Series::of(&peer.rounds, |round| round.server).text(0),
                Series::of(&peer.rounds, |round| round.rate).text(0),
                goals.against(peer.name).map(|series| series.text(3)).unwrap_or_default(),
            ],
        }
    };
    goals.peers.iter().map(row).collect()
}

const GOALS: [&str; 5] = ["Measure", "Must", "Goal", "Measured", "Verdict"];

fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let rule = head.iter().map(|_| "---").collect::<Vec<_>>().join("|");
    let body: String = rows.map(|row| format!("| {} |\n", row.join(" | "))).collect();
    format!("| {} |\n|{rule}|\n{body}", head.join(" | "))
}
