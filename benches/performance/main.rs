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

mod answers;
mod broker;
mod crowds;
mod dice;
mod floors;
mod goals;
mod load;
mod machine;
mod measure;
mod peers;
mod population;
mod process;
mod report;
mod requests;
mod scenarios;
mod series;
mod server;
mod stalls;
mod targets;

use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};

use measure::Effort;
use population::Population;
use report::Report;

#[derive(Parser)]
struct Arguments {
    /// What to measure; everything otherwise, which is then written into docs/performance.md, but for the small size.
    parts: Vec<Part>,
    /// How much to load.
    #[arg(long, value_enum, default_value = "default")]
    size: Size,
    /// Rounds of what the goals are about: 9, or 1 of the small size. Others have 3 at most.
    #[arg(long, value_parser = at_least_one)]
    rounds: Option<usize>,
    /// Where to keep the databases for the next run; thrown away otherwise.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Where .ci/install-peers has put those to compare with.
    #[arg(long, value_name = "FOLDER")]
    peers: Option<PathBuf>,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// What the goals are about, peers included.
    Goals,
    /// Known users over fewer and more connections, over two replicas, and by a key that has a policy.
    Crowds,
    /// The other operations.
    Scenarios,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Size {
    /// 10^4 identities and a short round: whether the benchmark works.
    Small,
    /// 10^4 and 10^6 identities.
    Default,
    /// 10^4, 10^6 and 10^7 identities.
    Full,
}

impl Size {
    fn identities(self) -> &'static [usize] {
        match self {
            Self::Small => &[10_000],
            Self::Default => &[10_000, 1_000_000],
            Self::Full => &[10_000, 1_000_000, 10_000_000],
        }
    }

    /// Which of these the goals are set for.
    fn main(self) -> usize {
        usize::from(self != Self::Small)
    }

    fn effort(self, rounds: Option<usize>) -> Effort {
        match self {
            Self::Small => Effort { rounds: rounds.unwrap_or(1), divisor: 8 },
            _ => Effort { rounds: rounds.unwrap_or(9), divisor: 1 },
        }
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "a number of rounds is 1 or more".to_owned())
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
    let folder = arguments.keep.as_deref().unwrap_or(temporary.path());
    let populations = open_all(folder, arguments.size).await;
    let report = measure(arguments, &populations).await;
    println!("{}", report.text());
    if arguments.parts.is_empty() && arguments.size != Size::Small {
        report.write();
    }
}

async fn open_all(folder: &Path, size: Size) -> Vec<Population> {
    let mut populations = Vec::new();
    for identities in size.identities() {
        eprintln!("{identities} identities");
        populations.push(Population::open(folder, *identities).await);
    }
    populations
}

async fn measure(arguments: &Arguments, populations: &[Population]) -> Report {
    let (size, effort) = (arguments.size, arguments.size.effort(arguments.rounds));
    let wanted = |part: Part| arguments.parts.is_empty() || arguments.parts.contains(&part);
    let main = &populations[size.main()];
    let machine = machine::description(main).await;
    let mut report = Report { machine, bytes_per_identity: main.bytes_per_identity, ..Report::default() };
    // As many rounds are needed only where goals are at stake.
    let fewer = Effort { rounds: effort.rounds.min(3), ..effort };
    for algorithm in ["RS256", "ES256"] {
        for population in populations {
            population.forget_signing_keys().await;
        }
        if wanted(Part::Goals) {
            let peers = arguments.peers.as_ref().map(|folder| folder.canonicalize().unwrap_or(folder.clone()));
            report.goals.push(goals::measure(algorithm, populations, size.main(), peers.as_deref(), effort).await);
        }
        if wanted(Part::Crowds) {
            for population in populations {
                report.rows.extend(crowds::measure(algorithm, population, fewer).await);
            }
            report.rows.push(crowds::two_replicas(algorithm, main, fewer).await);
            report.rows.push(crowds::restricted(algorithm, main, fewer).await);
        }
        if wanted(Part::Scenarios) && algorithm == "RS256" {
            report.rows.extend(scenarios::measure(main, fewer).await);
        }
    }
    report
}
