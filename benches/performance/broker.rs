//! The broker under measurement: the release binary under `symbolon serve`.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::net::TcpStream;

use crate::load::{Connection, Operation};
use crate::measure::Subject;
use crate::population::Population;
use crate::process::{self, Memory, Process};

pub const ISSUER: &str = "https://id.example.com";

/// What beside the defaults of `serve` a scenario needs.
pub type Settings = &'static [(&'static str, &'static str)];

pub struct Broker {
    process: Process,
    pub address: SocketAddr,
}

impl Broker {
    /// Starts a broker and waits until it takes connections.
    pub async fn start(population: &Population, algorithm: &str, settings: Settings) -> Self {
        let mut broker = Self::spawn(population, algorithm, settings);
        broker.connect().await;
        broker
    }

    /// How long it takes from the start of the process to its first token.
    pub async fn time_to_first_token(population: &Population, algorithm: &str, request: &Operation) -> Duration {
        let started = Instant::now();
        let mut broker = Self::spawn(population, algorithm, &[]);
        broker.connect().await;
        Connection::new(broker.address).run(request).await;
        started.elapsed()
    }

    fn spawn(population: &Population, algorithm: &str, settings: Settings) -> Self {
        let listen = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (address, admin) = (listen(process::free_port()), listen(process::free_port()));
        let mut command = process::command(env!("CARGO_BIN_EXE_symbolon"), Signal::SIGTERM);
        command
            .args(["serve", "--listen", &address.to_string(), "--admin-listen", &admin.to_string()])
            .env("DATABASE_URL", population.server.url())
            .env("SYMBOLON_MASTER_KEY", &population.master_key)
            .env("SYMBOLON__ISSUER__URL", ISSUER)
            .env("SYMBOLON__ISSUER__ALGORITHM", algorithm)
            .env("SYMBOLON__SERVER__DRAIN_DELAY", "0")
            .env("SYMBOLON__TELEMETRY__LOG_LEVEL", "warn")
            .envs(settings.iter().copied());
        Self { process: Process::start(command, Signal::SIGTERM).unwrap(), address }
    }

    async fn connect(&mut self) {
        for _ in 0..10_000 {
            if TcpStream::connect(self.address).await.is_ok() {
                return;
            }
            assert_eq!(self.process.ended(), None, "the broker ended");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("the broker does not listen");
    }

    pub fn pid(&self) -> Pid {
        self.process.pid()
    }

    /// This broker and its database, under these operations.
    pub fn subject<'a>(
        &self,
        population: &Population,
        operations: impl Fn(usize) -> Vec<Operation> + 'a,
    ) -> Subject<'a> {
        Subject {
            addresses: vec![self.address],
            processes: vec![self.pid()],
            postgres: Some(population.server.pid()),
            operations: Box::new(operations),
        }
    }

    pub fn memory(&self) -> Memory {
        self.process.memory()
    }
}
