//! What the broker costs, against what nothing can be cheaper than and against others: `make bench`.
//!
//! Everything is measured in one run and told as ratios, since machines differ and are shared.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    reason = "a benchmark reports by printing, and nobody builds on it"
)]

mod broker;
mod dice;
mod floors;
mod goals;
mod load;
mod measure;
mod population;
mod process;
mod requests;
mod server;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

#[derive(Parser)]
struct Arguments {
    /// What to measure; everything otherwise.
    parts: Vec<Part>,
    /// How many identities there are: 10^4, 10^4 and 10^6, or these and 10^7.
    #[arg(long, value_enum, default_value = "default")]
    size: Size,
    /// Rounds of each measurement.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Where to keep the databases for the next run; thrown away otherwise.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// What the goals are about.
    Goals,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Size {
    Small,
    Default,
    Full,
}

impl Size {
    /// The least and the greatest number of identities, and that for everything else.
    fn identities(self) -> Vec<usize> {
        match self {
            Self::Small => vec![10_000],
            Self::Default => vec![10_000, 1_000_000],
            Self::Full => vec![10_000, 1_000_000, 10_000_000],
        }
    }
}

fn main() {
    let arguments = Arguments::parse();
    // One thread: what it uses is the generator's, and it leaves the other core to the others.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(&arguments));
}

async fn run(arguments: &Arguments) {
    // Another user runs Postgres there.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    let temporary = tempfile::Builder::new().prefix("symbolon-performance-").permissions(open).tempdir().unwrap();
    let folder = arguments.keep.clone().unwrap_or_else(|| temporary.path().to_owned());
    let mut populations = Vec::new();
    for size in arguments.size.identities() {
        eprintln!("{size} identities");
        populations.push(population::Population::open(&folder, size).await);
    }
    for algorithm in ["RS256", "ES256"] {
        goals::measure(algorithm, &populations, arguments.rounds).await.print();
    }
}
