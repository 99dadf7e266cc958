//! `symbolon config`: check the configuration as `serve` would, or show what it comes to.

use clap::Subcommand;
use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::session::{self, Session};
use super::{Failure, Output, note, print};
use crate::clock::Clock;
use crate::config::{Config, Problems};
use crate::upstream::Upstream;

/// Options of `symbolon config`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
    /// text or json
    #[arg(long, value_enum, default_value_t, global = true)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Load everything that `symbolon serve` would load, and list every problem. The database is not asked.
    Check,
    /// Print every setting, defaults included, without the database's address and without master keys.
    Show,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Checked {
    problems: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// Exit code 3 with every problem found.
pub fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    match args.action {
        Action::Check => check(session, args.output),
        Action::Show => show(session, args.output),
    }
}

fn check(session: &Session, output: Output) -> Result<(), Failure> {
    let problems = problems(session);
    let failed = !problems.is_empty();
    let checked = Checked { problems };
    if output == Output::Json || !failed {
        print(output, &checked, |_| "ok".to_owned())?;
        for waived in session.config().map(|config| config.waived_bounds()).unwrap_or_default() {
            // Beside the result, on stderr.
            note(Output::Json, &format!("waived by keys.allow_unsafe: {waived}"))?;
        }
        for opened in session.config().map(|config| config.opened_switches()).unwrap_or_default() {
            note(Output::Json, &format!("a switch for laboratories is on: {opened}"))?;
        }
    }
    if failed { Err(Problems(checked.problems).into()) } else { Ok(()) }
}

fn problems(session: &Session) -> Vec<String> {
    let sources = session.sources();
    let mut problems = Config::load(&sources).err().map(|problems| problems.0).unwrap_or_default();
    // What the rules cannot see: whether keys and certificates can be read, and the address understood.
    if let Ok(config) = Config::read(&sources) {
        if let Err(error) = Upstream::new(&config.upstream, Clock::System) {
            problems.push(error.to_string());
        }
        let seal = &config.seal;
        if (seal.master_key.is_some() || !seal.master_key_file.as_os_str().is_empty())
            && let Err(failure) = session::load_master_keys(seal)
        {
            problems.push(failure.message);
        }
        if !config.database.url.expose_secret().is_empty()
            && let Err(failure) = session::open(&config)
        {
            problems.push(failure.message);
        }
    }
    problems
}

fn show(session: &Session, output: Output) -> Result<(), Failure> {
    let text = session.config()?.effective_toml().map_err(|error| Failure::plain(error.to_string()))?;
    let tree: toml::Table = toml::from_str(&text).map_err(|error| Failure::plain(error.to_string()))?;
    print(output, &tree, |_| text)
}
