//! The goals: what each measure must not exceed, what it should come to, and what it came to in this run.

use crate::goals::Goals;
use crate::measure::Round;
use crate::peers::{MOTO, OIDC_PROVIDER};
use crate::series::Series;

/// One line of the table of goals.
pub struct Target {
    measure: String,
    must: f64,
    goal: f64,
    /// Nothing if it was not measured in this run.
    measured: Option<Series>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    AtMost,
    AtLeast,
}

impl Target {
    fn new(measure: impl Into<String>, must: f64, goal: f64, measured: Option<Series>) -> Self {
        Self { measure: measure.into(), must, goal, measured, kind: Kind::AtMost }
    }

    pub fn cells(&self) -> [String; 5] {
        let sign = if self.kind == Kind::AtMost { "≤" } else { "≥" };
        let decimals = if self.must < 1.0 {
            3
        } else if self.must < 10.0 {
            2
        } else {
            0
        };
        let met = |limit: f64, value: f64| if self.kind == Kind::AtMost { value <= limit } else { value >= limit };
        let verdict = match self.measured.as_ref().map(Series::median) {
            None => "not measured",
            Some(value) if met(self.goal, value) => "goal met",
            Some(value) if met(self.must, value) => "must met",
            Some(_) => "missed",
        };
        let measured = self.measured.as_ref().map_or("—".to_owned(), |series| series.text(decimals));
        [
            self.measure.clone(),
            format!("{sign} {}", self.must),
            format!("{sign} {}", self.goal),
            measured,
            verdict.to_owned(),
        ]
    }
}

/// All of them, from what was measured under each algorithm, and the most memory that any broker of the run had, in MB.
pub fn targets(rsa: &Goals, ecdsa: &Goals, most_memory: f64, bytes_per_identity: f64) -> Vec<Target> {
    let of = |goals: &Goals, figure: fn(&Round) -> f64| Some(Series::of(goals.rounds(), figure));
    let mut targets = vec![
        Target::new(
            "broker CPU per RS256 token / bare RSA-2048 signature",
            1.20,
            1.10,
            of(rsa, |round| round.server / round.bare),
        ),
        Target::new(
            "broker + Postgres CPU per RS256 token / bare RSA-2048 signature",
            1.30,
            1.15,
            of(rsa, Round::signatures),
        ),
        Target::new(
            "broker + Postgres CPU per ES256 token / bare P-256 signature",
            6.0,
            3.5,
            of(ecdsa, Round::signatures),
        ),
    ];
    for (peer, limits) in [(OIDC_PROVIDER, [(0.75, 0.65), (0.40, 0.25)]), (MOTO, [(0.18, 0.16), (0.05, 0.03)])] {
        for (goals, (must, goal)) in [rsa, ecdsa].into_iter().zip(limits) {
            let name = format!("broker + Postgres CPU per {} token / CPU per token of {peer}", goals.algorithm);
            targets.push(Target::new(name, must, goal, goals.against(peer)));
        }
    }
    targets.push(Target {
        kind: Kind::AtLeast,
        ..Target::new(
            "RS256 tokens per second at saturation / bare signatures per second of one core",
            1.2,
            1.4,
            of(rsa, |round| round.rate * round.bare / 1e6),
        )
    });
    let main = &rsa.known[rsa.main];
    targets.push(Target::new(
        "RS256 at half of saturation: p99 / p50",
        6.0,
        4.0,
        Some(Series::of(&main.row.fixed, |fixed| fixed.p99 / fixed.p50)),
    ));
    targets.push(Target::new("resident memory idle, MB", 16.0, 10.0, Some(Series::of(&[rsa.idle], |idle| *idle))));
    targets.push(Target::new(
        "resident memory under load, most, MB",
        32.0,
        16.0,
        Some(Series::of(&[most_memory], |most| *most)),
    ));
    targets.push(Target::new(
        "start of `serve` to first token, ms",
        200.0,
        100.0,
        Some(Series::of(&rsa.starts, |start| *start)),
    ));
    targets.push(Target::new(
        "broker + Postgres CPU per RS256 token: first-time user / known user",
        1.60,
        1.30,
        Some(Series::of_pairs(&rsa.first_time.rounds, rsa.rounds(), |first, known| first.total() / known.total())),
    ));
    targets.extend(growth(rsa));
    targets.push(Target::new(
        "bytes per identity with one login",
        380.0,
        360.0,
        Some(Series::of(&[bytes_per_identity], |bytes| *bytes)),
    ));
    targets
}

/// From the least to the greatest database; not measured unless that is of the size that the limits are for.
fn growth(rsa: &Goals) -> Vec<Target> {
    let (least, most) = (&rsa.known[0], &rsa.known[rsa.known.len() - 1]);
    let sizes = "from 10000 to 10000000 identities";
    let is_grown = most.row.identities == 10_000_000;
    let lookups = Series::of_pairs(&most.lookups, &least.lookups, |most, least| most.server / least.server);
    let tokens =
        Series::of_pairs(&most.row.rounds, &least.row.rounds, |most, least| most.signatures() / least.signatures());
    vec![
        Target::new(format!("growth {sizes}: look-up, Postgres CPU"), 3.0, 2.5, Some(lookups).filter(|_| is_grown)),
        Target::new(format!("growth {sizes}: RS256 token, all CPU"), 1.3, 1.2, Some(tokens).filter(|_| is_grown)),
    ]
}

impl Goals {
    /// Known users' tokens at the size that goals are set for.
    fn rounds(&self) -> &[Round] {
        &self.known[self.main].row.rounds
    }

    /// What our tokens cost in those of a peer; nothing if it did not run.
    pub fn against(&self, name: &str) -> Option<Series> {
        let peer = self.peers.iter().find(|peer| peer.name == name && peer.running.is_ok())?;
        Some(Series::of_pairs(self.rounds(), &peer.rounds, |ours, theirs| ours.total() / theirs.server))
    }
}
