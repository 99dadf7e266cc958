//! Rounds of load, what each cost, and the median and range of several.

use std::net::SocketAddr;
use std::sync::Arc;

use nix::unistd::Pid;

use crate::load::{Load, Operation, Outcome};
use crate::process::Cpu;

/// Who answers, and whose CPU time is counted for it.
pub struct Subject {
    pub addresses: Vec<SocketAddr>,
    pub processes: Vec<Pid>,
    pub postgres: Option<Pid>,
}

/// CPU microseconds per operation, and operations per second.
#[derive(Clone, Copy)]
pub struct Round {
    pub server: f64,
    pub postgres: f64,
    pub generator: f64,
    pub rate: f64,
    /// Of one bare signature, measured just before.
    pub bare: f64,
}

impl Round {
    pub fn total(&self) -> f64 {
        self.server + self.postgres
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

impl Subject {
    /// Runs `total` operations, each connection as fast as it is answered.
    pub async fn saturate(&self, operations: Vec<Operation>, connections: usize, total: usize) -> Round {
        let load = self.load(operations, connections, total);
        let before = self.cpu();
        let outcome = load.closed_loop().await;
        let each = |after: Cpu, before: Cpu| (after - before).micros() / f64::from(u32::try_from(total).unwrap());
        let after = self.cpu();
        Round {
            server: each(after[0], before[0]),
            postgres: each(after[1], before[1]),
            generator: each(after[2], before[2]),
            rate: outcome.rate,
            bare: f64::NAN,
        }
    }

    /// Runs `total` operations at `rate`.
    pub async fn at_rate(&self, operations: Vec<Operation>, connections: usize, total: usize, rate: f64) -> Fixed {
        let outcome: Outcome = self.load(operations, connections, total).open_loop(rate).await;
        Fixed {
            rate: outcome.rate,
            p50: outcome.percentile(50.0),
            p99: outcome.percentile(99.0),
            p999: outcome.percentile(99.9),
        }
    }

    fn load(&self, operations: Vec<Operation>, connections: usize, total: usize) -> Load {
        Load { operations: Arc::new(operations), targets: self.addresses.clone(), connections, total }
    }

    /// Of the servers, of Postgres, of the generator.
    fn cpu(&self) -> [Cpu; 3] {
        [self.processes.iter().copied().map(Cpu::of).sum(), self.postgres.map(Cpu::of).unwrap_or_default(), Cpu::own()]
    }
}

/// Figures of several rounds.
pub struct Series(Vec<f64>);

impl Series {
    pub fn of<T>(rounds: &[T], figure: impl Fn(&T) -> f64) -> Self {
        let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        Self(figures)
    }

    /// Of two kinds of rounds that took turns.
    pub fn of_pairs<A, B>(some: &[A], others: &[B], figure: impl Fn(&A, &B) -> f64) -> Self {
        Self::of(&some.iter().zip(others).collect::<Vec<_>>(), |(a, b)| figure(a, b))
    }

    pub fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        if self.0.len() % 2 == 1 { self.0[middle] } else { f64::midpoint(self.0[middle - 1], self.0[middle]) }
    }

    /// `median (least–most)`
    pub fn text(&self, decimals: usize) -> String {
        let (least, most) = (self.0[0], self.0[self.0.len() - 1]);
        format!("{:.decimals$} ({least:.decimals$}–{most:.decimals$})", self.median())
    }
}
