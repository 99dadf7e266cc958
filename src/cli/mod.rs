//! The commands of `symbolon`, one file each, and what they share: options, exit codes and output.

pub mod access_key;
pub mod apply;
pub mod audience;
pub mod broker;
pub mod completions;
pub mod config;
pub mod dev;
pub mod dev_postgres;
pub mod disaster;
pub mod health;
pub mod installation;
pub mod key;
pub mod master_key;
pub mod migrate;
pub mod post_restore;
pub mod serve;
pub mod session;
pub mod tenant;
pub mod trust;

use std::fmt;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use self::session::Session;
use crate::config::{Environment, Problems};
use crate::error::Error;

/// A self-hosted identity broker over Postgres, wire-compatible with Amazon Cognito Identity.
#[derive(Debug, Parser)]
#[command(
    name = "symbolon",
    version,
    about,
    after_help = "Exit codes: 0 ok, 1 failure, 2 usage, 3 configuration, 4 database, 5 schema."
)]
pub struct Cli {
    /// Configuration file (TOML); else the one that `SYMBOLON_CONFIG` names.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything in one process: a private Postgres, a dev tenant, the broker.
    Dev(dev::Args),
    /// Run the broker against `DATABASE_URL`.
    Serve(serve::Args),
    /// Apply the schema's migrations, or show them.
    Migrate(migrate::Args),
    /// Make the tenants, access keys, login providers, pools and roles that a TOML file describes, or bring them to it.
    #[command(after_long_help = apply::EXAMPLE)]
    Apply(apply::Args),
    /// Tenants: what AWS calls accounts.
    Tenant(tenant::Args),
    /// The credentials with which a tenant's backends sign their calls.
    AccessKey(access_key::Args),
    /// What else than a pool's id stands in `aud` of its users' tokens.
    Audience(audience::Args),
    /// Print what a consumer of tokens must be told to trust a pool, filled in.
    Trust(trust::Args),
    /// The keys that sign tokens.
    Key(key::Args),
    /// The keys that secrets in the database are sealed with.
    MasterKey(master_key::Args),
    /// When something is lost for good: the master key.
    Disaster(disaster::Args),
    /// Make a database that was restored from a dump or to an earlier time safe to serve: what was revoked since stays so.
    #[command(after_long_help = post_restore::EXAMPLES)]
    PostRestore(post_restore::Args),
    /// What this database was set up for, and the issuer of its tokens.
    Installation(installation::Args),
    /// The configuration as a broker would read it.
    Config(config::Args),
    /// Ask a running broker whether it is ready: exit 0, or 1 with the reasons. For container checks.
    Health(health::Args),
    /// Print a shell's completion script.
    #[command(after_help = completions::EXAMPLES)]
    Completions(completions::Args),
}

/// How a command prints its result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON document on stdout, and nothing else there.
    Json,
}

/// Why a command failed: its exit code, and one line with the remedy.
#[derive(Debug)]
pub struct Failure {
    /// 1 failure, 2 usage, 3 configuration, 4 database, 5 schema.
    pub code: u8,
    /// What happened, and what to do.
    pub message: String,
}

impl Failure {
    /// A failure with a code of its own.
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A failure of no special kind.
    pub fn plain(message: impl Into<String>) -> Self {
        Self::new(1, message)
    }

    /// A configuration that cannot work.
    pub fn configuration(message: impl Into<String>) -> Self {
        Self::new(3, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::configuration(problems.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match error {
            Error::Database(_) | Error::Standby => 4,
            Error::Sealed(_) => 3,
            _ => 1,
        };
        Self::new(code, error.to_string())
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Error::from(error).into()
    }
}

impl From<dev_postgres::Error> for Failure {
    fn from(error: dev_postgres::Error) -> Self {
        Self::new(error.exit_code(), error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::plain(error.to_string())
    }
}

/// Runs a command to its exit code. What went wrong goes to stderr, as one line where one is enough.
#[must_use]
pub fn run(cli: Cli, environment: Environment) -> ExitCode {
    // Requests have threads of their own; this one is for all else.
    let result = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(Failure::from)
        .and_then(|runtime| runtime.block_on(execute(cli, environment)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "symbolon: {failure}");
            ExitCode::from(failure.code)
        }
    }
}

async fn execute(cli: Cli, environment: Environment) -> Result<(), Failure> {
    let session = Session::new(cli.config, environment);
    match cli.command {
        Command::Dev(args) => dev::run(session, args).await,
        Command::Serve(args) => serve::run(session, args).await,
        Command::Migrate(args) => migrate::run(session, args).await,
        Command::Apply(args) => apply::run(session, args).await,
        Command::Tenant(args) => tenant::run(session, args).await,
        Command::AccessKey(args) => access_key::run(session, args).await,
        Command::Audience(args) => audience::run(session, args).await,
        Command::Trust(args) => trust::run(session, args).await,
        Command::Key(args) => key::run(session, args).await,
        Command::MasterKey(args) => master_key::run(session, args).await,
        Command::Disaster(args) => disaster::run(session, args).await,
        Command::PostRestore(args) => post_restore::run(session, args).await,
        Command::Installation(args) => installation::run(session, args).await,
        Command::Config(args) => config::run(&session, &args),
        Command::Health(args) => health::run(session, args).await,
        Command::Completions(args) => completions::run(args),
    }
}

/// Prints a result: as JSON, or as the text made of it.
///
/// # Errors
/// If stdout is closed.
pub fn print<T: Serialize>(output: Output, result: &T, text: impl FnOnce(&T) -> String) -> Result<(), Failure> {
    let mut document = match output {
        Output::Json => serde_json::to_string(result).map_err(|error| Failure::plain(error.to_string()))?,
        Output::Text => text(result),
    };
    if !document.ends_with('\n') {
        document.push('\n');
    }
    std::io::stdout().write_all(document.as_bytes())?;
    Ok(())
}

/// Prints a line beside the result: after it as text, on stderr where stdout is for JSON alone.
///
/// # Errors
/// If stdout is closed.
pub fn note(output: Output, line: &str) -> Result<(), Failure> {
    match output {
        Output::Text => writeln!(std::io::stdout(), "{line}")?,
        Output::Json => {
            let _ = writeln!(std::io::stderr(), "symbolon: {line}");
        }
    }
    Ok(())
}

/// Rows under their headings, for people: columns as wide as needed, two blanks between them.
#[must_use]
pub fn columns<const N: usize>(headings: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = std::iter::once(headings.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// A time for people, to the second; `-` for none.
#[must_use]
pub fn shown(at: Option<OffsetDateTime>) -> String {
    at.and_then(|at| at.replace_nanosecond(0).ok()?.format(&Rfc3339).ok()).unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn columns_are_as_wide_as_needed() {
        let rows =
            [["1".to_owned(), "é".to_owned(), String::new()], ["22222".to_owned(), "x".to_owned(), "y".to_owned()]];
        assert_eq!(columns(["ID", "NAME", "C"], rows), "ID     NAME  C\n1      é\n22222  x     y\n");
        assert_eq!(shown(None), "-");
        assert_eq!(shown(Some(OffsetDateTime::UNIX_EPOCH)), "1970-01-01T00:00:00Z");
    }
}
