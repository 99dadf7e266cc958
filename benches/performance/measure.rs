//! Rounds of load on a subject, and what each cost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::Pid;

use crate::floors::BareSignature;
use crate::load::{Load, Operation};
use crate::process::Cpu;

/// How long and how often to measure.
#[derive(Clone, Copy)]
pub struct Effort {
    pub rounds: usize,
    /// Every number of operations is divided by this.
    pub divisor: usize,
}

impl Effort {
    pub fn of(self, total: usize) -> usize {
        total / self.divisor
    }
}

/// Makes so many operations, or fewer, which are then repeated; others each time, where that makes a difference.
pub type Make<'a> = Box<dyn Fn(usize) -> Vec<Operation> + 'a>;

/// Who answers what, and whose CPU time is counted for it.
pub struct Subject<'a> {
    pub addresses: Vec<SocketAddr>,
    pub processes: Vec<Pid>,
    pub postgres: Option<Pid>,
    pub operations: Make<'a>,
}

/// CPU microseconds per operation, and operations per second, of as many as the connections bear.
#[derive(Clone, Copy)]
pub struct Round {
    pub server: f64,
    pub postgres: f64,
    pub generator: f64,
    pub rate: f64,
    /// Of one bare signature, measured just before and after.
    pub bare: f64,
}

impl Round {
    pub fn total(&self) -> f64 {
        self.server + self.postgres
    }

    /// The total in bare signatures.
    pub fn signatures(&self) -> f64 {
        self.total() / self.bare
    }
}

/// Latencies at a fixed rate, in milliseconds.
#[derive(Clone, Copy)]
pub struct Fixed {
    pub rate: f64,
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
}

/// What was measured of a subject.
pub struct Row {
    pub name: String,
    pub algorithm: &'static str,
    pub identities: usize,
    pub connections: usize,
    pub rounds: Vec<Round>,
    pub fixed: Vec<Fixed>,
    /// The most memory that a broker had at any time up to then, in MB.
    pub peak: f64,
}

impl Row {
    pub fn new(name: &str, algorithm: &'static str, identities: usize, connections: usize) -> Self {
        let name = name.to_owned();
        Self { name, algorithm, identities, connections, rounds: Vec::new(), fixed: Vec::new(), peak: 0.0 }
    }
}

/// Seconds of load at a fixed rate.
const FIXED_SECONDS: f64 = 3.0;

impl Subject<'_> {
    /// Runs `total` operations, on each connection as fast as they are answered.
    pub async fn saturate(&self, bare: &BareSignature, connections: usize, total: usize) -> Round {
        let load = self.load(connections, total);
        let earlier = bare.measure();
        let before = self.cpu();
        let rate = load.closed_loop().await;
        let after = self.cpu();
        let bare = f64::midpoint(earlier, bare.measure());
        let each = |part: usize| (after[part] - before[part]).micros() / f64::from(u32::try_from(total).unwrap());
        Round { server: each(0), postgres: each(1), generator: each(2), rate, bare }
    }

    /// Runs operations at half of the rate at which it was saturated.
    pub async fn at_half(&self, saturated: &Round, connections: usize, effort: Effort) -> Fixed {
        let rate = saturated.rate / 2.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of operations")]
        let total = effort.of((rate * FIXED_SECONDS) as usize);
        let latencies = self.load(connections, total).open_loop(rate).await;
        let percentile =
            |percentile: f64| Duration::from_nanos(latencies.value_at_percentile(percentile)).as_secs_f64() * 1e3;
        Fixed { rate, p50: percentile(50.0), p99: percentile(99.0), p999: percentile(99.9) }
    }

    /// Rounds of `total` operations, each with some at half of its rate.
    pub async fn measure(
        &self,
        bare: &BareSignature,
        connections: usize,
        total: usize,
        effort: Effort,
    ) -> (Vec<Round>, Vec<Fixed>) {
        self.saturate(bare, connections, effort.of(total) / 4).await; // to warm up
        let (mut rounds, mut fixed) = (Vec::new(), Vec::new());
        for _ in 0..effort.rounds {
            let round = self.saturate(bare, connections, effort.of(total)).await;
            fixed.push(self.at_half(&round, connections, effort).await);
            rounds.push(round);
        }
        (rounds, fixed)
    }

    fn load(&self, connections: usize, total: usize) -> Load {
        let operations = Arc::new((self.operations)(total));
        Load { operations, targets: self.addresses.clone(), connections, total }
    }

    /// Of the servers, of Postgres, of the generator.
    fn cpu(&self) -> [Cpu; 3] {
        [self.processes.iter().copied().map(Cpu::of).sum(), self.postgres.map(Cpu::of).unwrap_or_default(), Cpu::own()]
    }
}
