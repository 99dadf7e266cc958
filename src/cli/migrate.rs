//! `symbolon migrate`: apply the missing migrations, or show which there are.

use std::fmt::Write as _;

use serde::Serialize;

use super::session::Session;
use super::{Failure, Output, print};
use crate::db;
use crate::error::Error;

/// Options of `symbolon migrate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show the migrations and change nothing.
    #[arg(long)]
    status: bool,
    /// text or json
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Status {
    migrations: Vec<Migration>,
    applied_now: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Migration {
    version: i64,
    description: String,
    applied: bool,
}

/// The one mistake that is made again and again: migrating as the role that the broker runs as.
fn with_remedy(error: Error) -> Failure {
    let denied =
        matches!(&error, Error::Database(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42501"));
    let mut failure = Failure::from(error);
    if denied {
        failure
            .message
            .push_str("; migrate as the role that owns the tables (symbolon_owner in deploy/postgres/roles.sql)");
    }
    failure
}

/// Runs the command.
///
/// # Errors
/// If the database cannot be reached, or a migration fails.
pub async fn run(session: Session, args: Args) -> Result<(), Failure> {
    let (_, db, mut conn) = session.database().await?;
    let applied_now = if args.status { 0 } else { db::migrate(&db).await.map_err(with_remedy)? };
    let migrations = db::migrations(&mut conn)
        .await?
        .into_iter()
        .map(|state| Migration { version: state.version, description: state.description, applied: state.applied })
        .collect();
    print(args.output, &Status { migrations, applied_now }, |status| {
        let line = |migration: &Migration| {
            let mark = if migration.applied { "applied" } else { "missing" };
            format!("{mark}  {}  {}\n", migration.version, migration.description)
        };
        let mut text: String = status.migrations.iter().map(line).collect();
        if !args.status {
            let _ = writeln!(text, "{} applied now", status.applied_now);
        }
        text
    })
}
