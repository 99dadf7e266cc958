//! The `symbolon` binary: parse the command line, run the command, say what went wrong, exit.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let environment = symbolon::config::environment();
    symbolon::cli::run(symbolon::cli::Cli::parse(), environment)
}
