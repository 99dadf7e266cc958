//! `symbolon installation`: what a database was set up for, and its issuer.

use clap::Subcommand;
use serde::Serialize;

use super::session::{self, Session};
use super::{Failure, Output, print, shown};
use crate::config::{Issuer, issuer_problems};
use crate::db::{self, Schema};
use crate::installation::{self, Installation, Kind};
use crate::keys::control;

/// Options of `symbolon installation`.
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
    /// Show the kind, the issuer, the epoch, the master keys in use and the schema's state.
    Show,
    /// Change the issuer of tokens. Every verifier must be told, since each trusts the old one by name.
    #[command(after_help = "Brokers that run sign for the old issuer for keys.sign_fence (60 seconds) more, and are \
                            not ready until they are restarted with the new issuer.url; the first of them makes the \
                            new issuer's signing keys.\n\n\
                            Example: symbolon installation set-issuer https://id.example.com")]
    SetIssuer {
        /// The new `iss`: https, no port, no trailing slash.
        url: String,
    },
}

/// The installation. Members are null while no broker has been started on the database.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    kind: Option<&'static str>,
    issuer: Option<String>,
    epoch: Option<i64>,
    created_at: Option<i64>,
    seal_key_ids: Vec<String>,
    schema: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Changed {
    issuer: String,
    previous_issuer: String,
}

/// Runs the command.
///
/// # Errors
/// If the URL is not one that every consumer takes; if the database does not answer or fit.
pub async fn run(session: Session, args: Args) -> Result<(), Failure> {
    match args.action {
        Action::Show => show(&session, args.output).await,
        Action::SetIssuer { url } => set_issuer(&session, args.output, &url).await,
    }
}

async fn show(session: &Session, output: Output) -> Result<(), Failure> {
    let (_, _, mut conn) = session.database().await?;
    let schema = db::schema(&mut conn).await?;
    if !installation::is_migrated(&mut conn).await? {
        session::check_schema(&schema)?;
    }
    let found = Installation::find(&mut conn).await?;
    let result = Shown {
        kind: found.as_ref().map(|found| found.kind.as_str()),
        issuer: found.as_ref().map(|found| found.issuer.clone()),
        epoch: found.as_ref().map(|found| found.epoch),
        created_at: found.as_ref().map(|found| found.created_at.unix_timestamp()),
        seal_key_ids: installation::seal_key_ids(&mut conn).await?,
        schema: match schema {
            Schema::Current => "CURRENT",
            Schema::Behind { .. } => "BEHIND",
            Schema::Newer => "NEWER",
            Schema::TooNew { .. } => "TOO_NEW",
        },
    };
    print(output, &result, |result| {
        let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        format!(
            "kind         {}\nissuer       {}\nepoch        {}\ncreated      {}\nmaster keys  {}\nschema       {}",
            result.kind.unwrap_or("not set up yet; `symbolon serve` does it"),
            text(result.issuer.clone()),
            text(result.epoch.map(|epoch| epoch.to_string())),
            shown(found.as_ref().map(|found| found.created_at)),
            text((!result.seal_key_ids.is_empty()).then(|| result.seal_key_ids.join(", "))),
            result.schema
        )
    })
}

async fn set_issuer(session: &Session, output: Output, url: &str) -> Result<(), Failure> {
    let issuer = Issuer { url: url.to_owned(), ..session.config()?.issuer };
    let problems = issuer_problems(&issuer);
    if !problems.is_empty() {
        return Err(Failure::new(2, problems.join("; ")));
    }
    let (config, _, mut conn, _) = session.unsealed().await?;
    let Some(found) = Installation::find(&mut conn).await? else {
        return Err(Failure::plain(format!(
            "this database has no issuer yet; set issuer.url to {url} and start `symbolon serve`"
        )));
    };
    // If it is this one already, keys of former issuers that never got an end get it.
    control::set_issuer(&mut conn, url, &config.keys).await?;
    let result = Changed { issuer: url.to_owned(), previous_issuer: found.issuer };
    print(output, &result, |result| {
        if result.previous_issuer == result.issuer {
            return format!("the issuer is {url} already");
        }
        format!("the issuer is now {url}; it was {}", result.previous_issuer)
    })?;
    if result.previous_issuer != result.issuer {
        let restart = match found.kind {
            Kind::Serve => format!("set issuer.url to {url} and restart every broker"),
            Kind::Dev => "restart `symbolon dev`".to_owned(),
        };
        let fence = config.keys.sign_fence.as_secs();
        super::note(
            output,
            &format!(
                "{restart}: what runs signs for the old one for {fence} seconds more (keys.sign_fence), and then nothing\n\
                 the first broker that starts makes the new issuer's signing keys\n\
                 tell every verifier: none accepts tokens of {url} before it trusts that name, and those of {} end",
                result.previous_issuer
            ),
        )?;
    }
    Ok(())
}
