//! `symbolon key`: list, rotate, revoke and audit the keys that sign tokens.

use clap::Subcommand;
use serde::Serialize;
use sqlx::postgres::PgConnection;
use time::OffsetDateTime;

use super::session::Session;
use super::{Failure, Output, columns, note, print, shown};
use crate::config::Config;
use crate::error::Result;
use crate::installation::Installation;
use crate::keys::control::{self, Audit, Finding};
use crate::keys::{Policy, State};

/// Options of `symbolon key`.
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
    /// List every key there ever was, with its state and times.
    List,
    /// Let the next key take over, on all replicas together, `keys.sign_fence` from now.
    Rotate {
        /// Also while some verifiers may not know the next key yet: they refuse its tokens until they fetch the JWKS.
        #[arg(long)]
        force: bool,
    },
    /// Take a key out of the JWKS for good; every token it signed becomes invalid.
    #[command(after_help = "For a key that others may have. Replicas cease to use and to show it within \
                            keys.sign_fence; verifiers refuse its tokens once they fetch the JWKS again.")]
    Revoke {
        /// The key's id, as `symbolon key list` shows it.
        // A thumbprint in base64url may begin with a dash.
        #[arg(allow_hyphen_values = true)]
        kid: String,
        /// Also while some verifiers may not know the next key yet: they refuse its tokens until they fetch the JWKS.
        #[arg(long)]
        force: bool,
    },
    /// Check the keys in the database against the rules; exit 1 if one is broken.
    Audit,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listing {
    keys: Vec<Listed>,
}

/// A key as scripts rely on it: these members, times in epoch seconds or null.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    key_id: String,
    algorithm: &'static str,
    state: State,
    publish_at: i64,
    sign_from: Option<i64>,
    sign_until: Option<i64>,
    unpublish_at: Option<i64>,
}

impl From<control::Listing> for Listing {
    fn from(listing: control::Listing) -> Self {
        let listed = |key: control::ListedKey| Listed {
            key_id: key.key_id,
            algorithm: key.algorithm,
            state: key.state,
            publish_at: key.publish_at,
            sign_from: key.sign_from,
            sign_until: key.sign_until,
            unpublish_at: key.unpublish_at,
        };
        Self { keys: listing.keys.into_iter().map(listed).collect() }
    }
}

/// Runs the command.
///
/// # Errors
/// If verifiers would notice a step that was not forced, or an audit finds something; if the database, or for steps
/// its master key, does not fit.
pub async fn run(session: Session, args: Args) -> Result<(), Failure> {
    let output = args.output;
    match args.action {
        Action::List => {
            let (config, db, mut conn) = session.migrated().await?;
            let policy = policy(&config, &mut conn).await?;
            list(output, control::list(&db, &policy).await?)
        }
        Action::Rotate { force } => {
            let (config, db, mut conn, seal) = session.unsealed().await?;
            let policy = policy(&config, &mut conn).await?;
            list(output, control::rotate(&db, &seal, &policy, force).await?)?;
            note(
                output,
                &format!("the next key signs in {} seconds (keys.sign_fence)", policy.keys.sign_fence.as_secs()),
            )
        }
        Action::Revoke { kid, force } => {
            let (config, db, mut conn, seal) = session.unsealed().await?;
            let policy = policy(&config, &mut conn).await?;
            list(output, control::revoke(&db, &seal, &policy, &kid, force).await?)?;
            note(output, &super::tenant::takes_effect(policy.keys.sign_fence))
        }
        Action::Audit => {
            let (config, db, mut conn) = session.migrated().await?;
            let policy = policy(&config, &mut conn).await?;
            audit(output, &control::audit(&db, &policy).await?)
        }
    }
}

/// The schedule of this installation's issuer, whatever `issuer.url` says here.
pub(super) async fn policy(config: &Config, conn: &mut PgConnection) -> Result<Policy, Failure> {
    match Installation::find(conn).await? {
        Some(found) => Ok(Policy::new(config, &found.issuer)),
        None => Err(Failure::plain("this database has no issuer, so no keys, yet; `symbolon serve` makes both")),
    }
}

fn list(output: Output, listing: control::Listing) -> Result<(), Failure> {
    let time = |at: Option<i64>| shown(at.and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok()));
    print(output, &Listing::from(listing), |listing| {
        let row = |key: &Listed| {
            let (id, algorithm, state) = (key.key_id.clone(), key.algorithm.to_owned(), key.state.as_str().to_owned());
            let published = time(Some(key.publish_at));
            [id, algorithm, state, published, time(key.sign_from), time(key.sign_until), time(key.unpublish_at)]
        };
        let headings = ["KEY", "ALG", "STATE", "PUBLISHED", "SIGNS FROM", "SIGNS UNTIL", "UNPUBLISHED"];
        columns(headings, listing.keys.iter().map(row))
    })
}

fn audit(output: Output, audit: &Audit) -> Result<(), Failure> {
    print(output, audit, |audit| {
        if audit.findings.is_empty() {
            return format!("clean: key ring version {}", audit.version);
        }
        let row = |found: &Finding| {
            [found.rule.to_owned(), found.key_id.clone().unwrap_or_else(|| "-".to_owned()), found.message.clone()]
        };
        columns(["RULE", "KEY", "FINDING"], audit.findings.iter().map(row))
    })?;
    match audit.findings.len() {
        0 => Ok(()),
        1 => Err(Failure::plain("the audit found a broken rule")),
        count => Err(Failure::plain(format!("the audit found {count} broken rules"))),
    }
}
