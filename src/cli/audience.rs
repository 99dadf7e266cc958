//! `symbolon audience`: what else than the pool's id stands in `aud` of its users' tokens.

use clap::Subcommand;
use serde::Serialize;
use sqlx::postgres::PgConnection;

use super::session::Session;
use super::tenant::takes_effect;
use super::{Failure, Output, columns, note, print};
use crate::error::{Error, Result};
use crate::ids::{AccountId, PoolId};
use crate::pools::{Audiences, Pool};

/// Options of `symbolon audience`.
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
    /// Let the tokens of a pool's users carry one more audience.
    #[command(
        after_help = "For consumers that accept no audience but their own, such as Snowflake and Entra. The tokens \
                            of a pool's users then have a list in `aud`, the pool's id first; guests' tokens never carry \
                            more than that id.\n\n\
                            Example: symbolon audience add snowflakecomputing.com --pool us-east-1:6d03c3ca-918a-4d03-84bd-192d2cb331b8"
    )]
    Add(Which),
    /// Let them carry it no longer.
    Remove(Which),
    /// List the audiences of a pool's tokens.
    List {
        /// The pool's id.
        #[arg(long, value_name = "ID", value_parser = pool_id)]
        pool: PoolId,
    },
}

#[derive(Debug, clap::Args)]
struct Which {
    /// What the consumer expects in `aud`.
    audience: String,
    /// The pool's id.
    #[arg(long, value_name = "ID", value_parser = pool_id)]
    pool: PoolId,
}

/// The audiences of a pool beside its id.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listing {
    identity_pool_id: String,
    audiences: Audiences,
}

/// Runs the command.
///
/// # Errors
/// If there is no such pool, a token cannot carry the audience, or one that is to be removed is not there; if the
/// database does not answer or fit.
pub async fn run(session: Session, args: Args) -> Result<(), Failure> {
    let (config, _, mut conn) = session.migrated().await?;
    let output = args.output;
    match args.action {
        Action::Add(Which { audience, pool }) => {
            let pool = find(&mut conn, &pool).await?;
            let (added, audiences) = Audiences::change(&mut conn, &pool, |all| {
                let added = all.add(&audience)?;
                Ok((added, all.clone()))
            })
            .await?;
            let text = if added { "is now an audience" } else { "was an audience already" };
            show(output, &pool, audiences, &format!("{audience} {text} of pool {}", pool.id))?;
            let others = Audiences::others_with(&mut conn, &pool, &audience).await?;
            if !others.is_empty() {
                note(
                    output,
                    &format!(
                        "other pools have it, too ({}): a consumer must not trust by this audience alone, but by `sub`, \
                         the identity",
                        others.join(", ")
                    ),
                )?;
            }
            note(output, &takes_effect(config.keys.sign_fence))
        }
        Action::Remove(Which { audience, pool }) => {
            let pool = find(&mut conn, &pool).await?;
            let (removed, audiences) =
                Audiences::change(&mut conn, &pool, |all| Ok((all.remove(&audience), all.clone()))).await?;
            if !removed {
                let itself = audience == pool.id.to_string();
                return Err(Failure::plain(if itself {
                    "a pool's own id is always an audience of its tokens".to_owned()
                } else {
                    format!(
                        "{audience} is no audience of pool {id}; `symbolon audience list --pool {id}` shows those there are",
                        id = pool.id
                    )
                }));
            }
            show(output, &pool, audiences, &format!("{audience} is no audience of pool {} any more", pool.id))?;
            note(output, &takes_effect(config.keys.sign_fence))
        }
        Action::List { pool } => {
            let pool = find(&mut conn, &pool).await?;
            let rows = std::iter::once([pool.id.to_string(), "everyone, guests too".to_owned()])
                .chain(pool.audiences.as_slice().iter().map(|other| [other.clone(), "users".to_owned()]));
            let text = columns(["AUDIENCE", "IN THE TOKENS OF"], rows);
            show(output, &pool, pool.audiences.clone(), &text)
        }
    }
}

fn show(output: Output, pool: &Pool, audiences: Audiences, text: &str) -> Result<(), Failure> {
    print(output, &Listing { identity_pool_id: pool.id.to_string(), audiences }, |_| text.to_owned())
}

/// The live pool of this id, of whichever tenant: operators see all.
///
/// # Errors
/// If there is none, with what became of it.
pub(super) async fn find(conn: &mut PgConnection, id: &PoolId) -> Result<Pool, Failure> {
    let Some(claim) = Pool::claim(conn, id).await? else {
        return Err(Failure::plain(format!(
            "there is no identity pool {id}; `ListIdentityPools` shows a tenant's pools"
        )));
    };
    if claim.deleted {
        return Err(Failure::plain(format!("identity pool {id} was deleted")));
    }
    if claim.region != id.region.as_str() {
        let uuid = id.uuid.as_hyphenated();
        return Err(Failure::plain(format!("there is no identity pool {id}; did you mean {}:{uuid}?", claim.region)));
    }
    let owner = AccountId::parse(&claim.account_id).ok_or_else(|| Error::internal("a pool's owner is ill-formed"))?;
    Pool::find(conn, &owner, id).await?.ok_or_else(|| Error::PoolNotFound(id.to_string()).into())
}

/// The pool id on a command line.
pub(super) fn pool_id(text: &str) -> Result<PoolId, String> {
    PoolId::parse(text).ok_or_else(|| {
        "a pool id is REGION:UUID in lower case: us-east-1:6d03c3ca-918a-4d03-84bd-192d2cb331b8".to_owned()
    })
}
