//! `symbolon completions`: what shells need to complete our commands and options.

use std::io::Write as _;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, Failure};

/// Where the scripts go.
pub const EXAMPLES: &str = "Examples:
  bash   symbolon completions bash > /etc/bash_completion.d/symbolon
  zsh    symbolon completions zsh > \"${fpath[1]}/_symbolon\"
  fish   symbolon completions fish > ~/.config/fish/completions/symbolon.fish";

/// Options of `symbolon completions`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Args {
    /// For which shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs the command.
///
/// # Errors
/// If stdout is closed.
pub fn run(args: Args) -> Result<(), Failure> {
    // Into memory first: writing to a closed pipe would panic in there.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "symbolon", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(())
}
