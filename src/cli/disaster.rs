//! `symbolon disaster`: go on without a master key that is lost.

use clap::Subcommand;
use serde::Serialize;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::session::{self, Session};
use super::{Failure, Output, note, print};
use crate::config::Config;
use crate::db::{Db, Tries};
use crate::error::{Error, Result};
use crate::installation::{self, Installation, SealState};
use crate::keys::Policy;
use crate::keys::recovery::{self, Recovery};
use crate::keys::rotation::{Outcome, Step};
use crate::retry;
use crate::seal::Seal;
use crate::tenants::AccessKey;
use crate::tenants::tenant::Status;

/// Options of `symbolon disaster`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Give up every secret under a lost master key, and begin anew under the one that is configured now.
    #[command(
        after_help = "For a master key that is lost, not one that was stolen: `symbolon master-key rotate` replaces a \
                            key that there still is.\n\n\
                            Pools, identities and logins are not sealed, and stay as they are. What the lost key sealed is \
                            lost:\n  \
                            - signing keys sign no more; fresh ones sign at once. Tokens that were made stay good\n  \
                            - access keys are disabled: make new ones with `symbolon access-key create`\n  \
                            - temporary credentials and page tokens of this broker are unknown from now on\n\n\
                            Without --yes it says what there is of each, and writes nothing."
    )]
    Rekey {
        /// Do it. What is given up does not come back, not even if the lost key is found.
        #[arg(long)]
        yes: bool,
        /// text or json
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Rekeyed {
    lost_key_ids: Vec<String>,
    primary_key_id: String,
    ended_signing_keys: Vec<String>,
    revoked_signing_keys: Vec<String>,
    made_signing_keys: Vec<String>,
    access_keys: Vec<GivenUp>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GivenUp {
    access_key_id: String,
    account_id: String,
    was_enabled: bool,
    has_policy: bool,
}

/// Runs the command.
///
/// # Errors
/// If the master keys given open everything; without `--yes`; if the database does not answer or fit.
pub async fn run(session: Session, args: Args) -> Result<(), Failure> {
    match args.action {
        Action::Rekey { yes, output } => rekey(&session, yes, output).await,
    }
}

async fn rekey(session: &Session, yes: bool, output: Output) -> Result<(), Failure> {
    let (config, db, mut conn) = session.migrated().await?;
    let seal = session::load_master_keys(&config.seal)?;
    let lost = Lost::find(&mut conn, &seal).await?;
    if lost.key_ids.is_empty() {
        return Err(Failure::plain(
            "the master keys given open everything that this database holds: none is lost, and nothing was written; to \
             replace a master key that you have, add the new one and run `symbolon master-key rotate`",
        ));
    }
    if !yes {
        return Err(Failure::new(2, lost.warning(&mut conn).await?));
    }
    let policy = Installation::find(&mut conn).await?.map(|found| Policy::new(&config, &found.issuer));
    drop(conn);
    let rekeyed = give_up(&db, &seal, &lost, policy.as_ref()).await?;
    print(output, &rekeyed, text)?;
    note(output, &what_remains(&config, &rekeyed))
}

/// The master keys that are lost, and those that are there.
struct Lost {
    key_ids: Vec<String>,
    usable: Vec<String>,
}

impl Lost {
    async fn find(conn: &mut PgConnection, seal: &Seal) -> Result<Self> {
        let key_ids = match installation::seal_state(conn, seal).await? {
            SealState::Unsealed => Vec::new(),
            SealState::Sealed(missing) => missing,
        };
        let usable = seal.key_ids().into_iter().filter(|id| !key_ids.contains(id)).collect();
        Ok(Self { key_ids, usable })
    }

    /// Whether nobody can open this.
    fn has_sealed(&self, blob: &[u8]) -> bool {
        Seal::key_id_of(blob).is_none_or(|id| !self.usable.contains(&id))
    }

    /// What would be lost, in one line.
    async fn warning(&self, conn: &mut PgConnection) -> Result<String> {
        let keys = AccessKey::lost(conn, |blob| self.has_sealed(blob)).await?;
        let ids: Vec<&str> = keys.iter().map(|key| key.id.as_str()).collect();
        let named = if ids.is_empty() { String::new() } else { format!(" ({})", ids.join(", ")) };
        Ok(format!(
            "nothing was written. Master key {} is not among those given. If it is lost for good, `symbolon disaster rekey \
             --yes` gives up what it sealed: the secrets of {} access keys{named}, which are disabled; the private halves of \
             signing keys, in whose stead fresh ones sign, that verifiers know once they fetch the JWKS again; every temporary \
             credential and page token. Pools, identities and logins stay",
            self.key_ids.join(", "),
            ids.len()
        ))
    }
}

/// Gives up what is lost, all in one transaction, again while another writer is faster.
async fn give_up(db: &Db, seal: &Seal, lost: &Lost, policy: Option<&Policy>) -> Result<Rekeyed> {
    let is_lost = |key: &crate::keys::SigningKey| key.private_sealed.as_ref().is_some_and(|blob| lost.has_sealed(blob));
    let mut tries = Tries::default();
    loop {
        let recovery = match policy {
            Some(policy) => {
                let decide = |keys: &[_], now| recovery::lose(keys, is_lost, policy, now);
                Some((Recovery::prepare(db, seal, policy, decide).await?, decide))
            }
            None => None,
        };
        let mut committing = None;
        let done = retry!(db, |conn| {
            // An earlier try was committed after all, and only the answer was lost.
            if committing.is_some() && installation::seal_state(conn, seal).await? == SealState::Unsealed {
                return Ok(committing.take());
            }
            let mut tx = conn.begin().await?;
            if !installation::replace_lost_seal_keys(&mut tx, seal, &lost.key_ids).await? {
                return Err(Error::Refused(
                    "the master keys of this database have changed meanwhile; look again".into(),
                ));
            }
            let steps = match &recovery {
                Some((recovery, decide)) => match recovery.write(&mut tx, decide).await? {
                    Outcome::Written(steps) => steps,
                    Outcome::Nothing => Vec::new(),
                    Outcome::Lost => return Ok(None),
                },
                None => Vec::new(),
            };
            recovery::remove_lost_halves(&mut tx, |blob| lost.has_sealed(blob)).await?;
            let keys = AccessKey::lost(&mut tx, |blob| lost.has_sealed(blob)).await?;
            for key in &keys {
                key.give_up_secret(&mut tx, seal).await?;
            }
            installation::bump_epoch(&mut tx).await?;
            committing = Some((steps, keys));
            tx.commit().await?;
            Ok(committing.take())
        })?;
        if let Some((steps, keys)) = done {
            let made = recovery.map(|(recovery, _)| recovery.made()).unwrap_or_default();
            return Ok(report(seal, lost, &steps, made, &keys));
        }
        if !tries.pause().await {
            return Err(Error::Contended);
        }
    }
}

fn report(seal: &Seal, lost: &Lost, steps: &[Step], made: Vec<String>, keys: &[AccessKey]) -> Rekeyed {
    let named = |of: fn(&Step) -> Option<&String>| steps.iter().filter_map(of).cloned().collect();
    Rekeyed {
        lost_key_ids: lost.key_ids.clone(),
        primary_key_id: seal.primary_id(),
        ended_signing_keys: named(|step| if let Step::End { kid, .. } = step { Some(kid) } else { None }),
        revoked_signing_keys: named(|step| if let Step::Revoke { kid, .. } = step { Some(kid) } else { None }),
        made_signing_keys: made,
        access_keys: keys
            .iter()
            .map(|key| GivenUp {
                access_key_id: key.id.to_string(),
                account_id: key.account_id.to_string(),
                was_enabled: key.status == Status::Enabled,
                has_policy: key.policy.is_some(),
            })
            .collect(),
    }
}

fn text(done: &Rekeyed) -> String {
    let mut lines = vec![format!("given up: what master key {} sealed", done.lost_key_ids.join(", "))];
    lines.push(format!("sealed from now on under {}", done.primary_key_id));
    lines.extend(
        done.ended_signing_keys.iter().map(|kid| format!("signing key {kid} signs no more; its tokens stay good")),
    );
    lines.extend(done.revoked_signing_keys.iter().map(|kid| format!("signing key {kid} is revoked: it only waited")));
    lines.extend(done.made_signing_keys.iter().map(|kid| format!("signing key {kid} is made")));
    lines.extend(done.access_keys.iter().map(|key| {
        let before = if key.was_enabled { "" } else { ", as it was before" };
        let policy = if key.has_policy { "; it has a policy" } else { "" };
        format!("access key {} of account {} is disabled{before}{policy}", key.access_key_id, key.account_id)
    }));
    lines.join("\n")
}

/// What the operator has yet to do.
fn what_remains(config: &Config, done: &Rekeyed) -> String {
    let mut lines = vec![format!(
        "brokers with the new master key serve within {} seconds (keys.poll_interval); end any that run with the lost one",
        config.keys.poll_interval.as_secs()
    )];
    if !done.made_signing_keys.is_empty() {
        lines.push(
            "verifiers refuse tokens of the fresh key until they fetch the JWKS again: restart those that keep it longer than \
             its max-age"
                .to_owned(),
        );
    }
    if !done.access_keys.is_empty() {
        lines.push(
            "make a new access key for each that is disabled (`symbolon access-key create --account ID`), with its policy \
             (`symbolon access-key show-policy KEY`), and delete the old one; or `symbolon apply` a seed that has its secret, and \
             enable it"
                .to_owned(),
        );
    }
    lines.join("\n")
}
