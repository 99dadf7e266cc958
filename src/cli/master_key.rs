//! `symbolon master-key`: make a master key, and seal everything anew under the first of the ring.

use clap::Subcommand;
use serde::Serialize;
use sqlx::Connection as _;

use super::session::Session;
use super::{Failure, Output, note, print};
use crate::installation;
use crate::keys::signing_key;
use crate::seal::Seal;
use crate::tenants::AccessKey;

/// Options of `symbolon master-key`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print a fresh master key in base64, and nothing else.
    #[command(after_help = "Example: (umask 077; symbolon master-key generate > master.key)\n\n\
                            Without it, access-key secrets and signing keys in the database are lost: keep a copy away \
                            from the database's backups.")]
    Generate,
    /// Seal every secret under the first master key of the ring; run again, it goes on where it was interrupted.
    #[command(after_help = "To replace a master key:\n  \
                            1. add the new one second, everywhere; restart every broker\n  \
                            2. make it first, everywhere; restart every broker\n  \
                            3. symbolon master-key rotate\n  \
                            4. remove the old one, everywhere; restart every broker\n\n\
                            A broker that still has the old one first goes on to seal under it: run step 3 again then.")]
    Rotate {
        /// text or json
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Rotated {
    primary_key_id: String,
    access_keys: u64,
    signing_keys: u64,
    removed_key_ids: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// If the random source fails; for a rotation, if the database or its master keys do not fit.
pub async fn run(session: Session, args: Args) -> Result<(), Failure> {
    match args.action {
        Action::Generate => note(Output::Text, Seal::generate()?.as_str()),
        Action::Rotate { output } => rotate(&session, output).await,
    }
}

async fn rotate(session: &Session, output: Output) -> Result<(), Failure> {
    let (_, _, mut conn, seal) = session.unsealed().await?;
    // Each row is a transaction of its own: an interrupted run leaves rows under either key, and the ring opens both.
    let access_keys = AccessKey::reseal(&mut conn, &seal).await?;
    let mut signing_keys = 0;
    loop {
        let mut tx = conn.begin().await?;
        let resealed = signing_key::reseal_one(&mut tx, &seal).await?;
        tx.commit().await?;
        if !resealed {
            break;
        }
        signing_keys += 1;
    }
    let mut tx = conn.begin().await?;
    let removed_key_ids = installation::forget_unused_seal_keys(&mut tx, &seal).await?;
    installation::bump_epoch(&mut tx).await?;
    tx.commit().await?;
    let rotated = Rotated { primary_key_id: seal.primary_id(), access_keys, signing_keys, removed_key_ids };
    print(output, &rotated, |rotated| {
        let Rotated { primary_key_id, access_keys, signing_keys, removed_key_ids } = rotated;
        let head =
            format!("sealed anew under {primary_key_id}: {access_keys} access keys, {signing_keys} signing keys\n");
        removed_key_ids.iter().fold(head, |text, id| {
            text + &format!("nothing is sealed under {id} any more; remove that master key everywhere\n")
        })
    })
}
