//! `symbolon trust`: what a consumer of tokens must be told, filled in, and where it does not fit this installation.
//!
//! - `facts`: what the database and the configuration say, and the warnings that several consumers share.
//! - `guide`: a consumer's configuration as data; its text and its JSON.
//! - `quote`: values that stay values in a shell, in SQL, JSON, YAML and comments.
//! - `roles`, `logins`, `clouds`: the consumers.
//!
//! Nothing is written, here or at the consumer.

mod clouds;
mod facts;
mod guide;
mod logins;
mod quote;
mod roles;

use clap::ValueEnum;
use sqlx::postgres::PgConnection;

use self::facts::Facts;
use self::guide::Guide;
use super::session::Session;
use super::{Failure, Output, audience, print};
use crate::config::Config;
use crate::db::Db;
use crate::identities::Login;
use crate::identities::identity::{Identity, State};
use crate::ids::{IdentityId, PoolId};
use crate::installation::{Installation, Kind};
use crate::keys::{Policy, control};
use crate::pools::Pool;

/// When the consumers' documentation was read.
const REVIEWED: &str = "2026-11-24";
/// The release that the tests run.
const CEPH: &str = "Ceph RGW 16.2";

/// Options of `symbolon trust`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The output can be pasted or run: comments begin it, values are quoted, and what only you know stands \
                        as REPLACE_… and is listed at the end. It says whether this project's tests have run it \
                        (executed) or it was held against the consumer's documentation (reviewed), and warns where this \
                        installation does not fit.\n\n\
                        Example: symbolon trust kubernetes --pool us-east-1:6d03c3ca-918a-4d03-84bd-192d2cb331b8 \
                        > authentication.yaml"
)]
pub struct Args {
    /// Who is to trust the tokens of a pool.
    #[arg(value_enum)]
    consumer: Consumer,
    /// The pool's id.
    #[arg(long, value_name = "ID", value_parser = audience::pool_id)]
    pool: PoolId,
    /// Trust this identity of the pool alone; Snowflake and Entra know no other way.
    #[arg(long, value_name = "ID", value_parser = identity_id)]
    identity: Option<IdentityId>,
    /// What roles, users and the like are called at the consumer: 4 to 32 lower-case letters, digits and dashes.
    #[arg(long, default_value = "symbolon", value_parser = name)]
    name: String,
    /// text or json
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// A consumer of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Consumer {
    /// AWS IAM: a token becomes credentials of an IAM role (reviewed).
    Aws,
    /// MinIO: a token becomes S3 credentials with a policy (reviewed).
    Minio,
    /// Ceph RGW: a token becomes S3 credentials of a role (executed).
    Ceph,
    /// Vault or OpenBao: a token is a login of the JWT auth method (reviewed).
    Vault,
    /// Kubernetes: a token is a bearer token of the API server (reviewed).
    Kubernetes,
    /// Google Cloud: a token is exchanged by workload identity federation (reviewed).
    Gcp,
    /// Snowflake: a token is the login of one user (reviewed).
    Snowflake,
    /// Nomad: a token is a login of a JWT auth method (reviewed).
    Nomad,
    /// Microsoft Entra: a token is the credential of an application (reviewed).
    Entra,
}

impl Consumer {
    fn guide(self, facts: &Facts) -> Guide {
        match self {
            Self::Aws => roles::aws(facts),
            Self::Minio => roles::minio(facts),
            Self::Ceph => roles::ceph(facts),
            Self::Vault => logins::vault(facts),
            Self::Kubernetes => logins::kubernetes(facts),
            Self::Gcp => clouds::gcp(facts),
            Self::Snowflake => clouds::snowflake(facts),
            Self::Nomad => logins::nomad(facts),
            Self::Entra => clouds::entra(facts),
        }
    }

    fn as_str(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Runs the command. It reads the database, and writes nothing.
///
/// # Errors
/// If there is no such pool, or the identity is none of it; if the installation has no issuer or no keys yet; if the
/// database does not answer or fit.
pub async fn run(session: Session, args: Args) -> Result<(), Failure> {
    let (config, db, mut conn) = session.migrated().await?;
    let pool = audience::find(&mut conn, &args.pool).await?;
    let guest = match &args.identity {
        Some(id) => check_identity(&mut conn, &pool, id).await?,
        None => false,
    };
    let identity = args.identity.as_ref().map(ToString::to_string);
    let facts = facts(&config, &db, &mut conn, pool, identity, guest, args.name).await?;
    let guide = args.consumer.guide(&facts);
    let (consumer, audience) = (args.consumer.as_str(), facts.audience());
    print(args.output, &guide.shown(&consumer, &audience, &facts.issuer), |_| guide.text(&audience, &facts.issuer))
}

async fn facts(
    config: &Config,
    db: &Db,
    conn: &mut PgConnection,
    pool: Pool,
    identity: Option<String>,
    guest: bool,
    name: String,
) -> Result<Facts, Failure> {
    let unready = |what: &str| Failure::plain(format!("this database has no {what} yet; `symbolon serve` makes it"));
    let found = Installation::find(conn).await?.ok_or_else(|| unready("issuer"))?;
    let policy = Policy::new(config, &found.issuer);
    let (keys, jwks) = control::published_keys(db, &policy).await?;
    if keys.is_empty() {
        return Err(unready("signing key"));
    }
    Ok(Facts {
        issuer: found.issuer,
        dev: found.kind == Kind::Dev,
        pool,
        identity,
        guest,
        name,
        keys,
        jwks,
        algorithm: policy.algorithm,
        x5c: policy.x5c,
        rotation_period: policy.keys.rotation_period,
        publish_lead: policy.keys.publish_lead,
    })
}

/// Whether an identity of the pool is a guest.
async fn check_identity(conn: &mut PgConnection, pool: &Pool, id: &IdentityId) -> Result<bool, Failure> {
    let found = match &id.region {
        region if *region == pool.id.region => Identity::find(conn, pool, id.uuid).await?,
        _ => None,
    };
    match found {
        Some(identity) if identity.state == State::Enabled => {
            Ok(Login::of_identity(conn, pool, identity.uuid).await?.is_empty())
        }
        Some(_) => {
            Err(Failure::plain(format!("identity {id} is disabled: it was merged into another, or lost its logins")))
        }
        None => Err(Failure::plain(format!("pool {} has no identity {id}", pool.id))),
    }
}

fn identity_id(text: &str) -> Result<IdentityId, String> {
    IdentityId::parse(text)
        .ok_or_else(|| "an identity id is REGION:UUID in lower case, the `sub` of its tokens".to_owned())
}

/// A name that every consumer takes, without quotes anywhere.
fn name(text: &str) -> Result<String, String> {
    let fits = (4..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && !text.ends_with('-')
        && !text.starts_with("gcp-");
    if fits {
        return Ok(text.to_owned());
    }
    Err("a name has 4 to 32 lower-case letters, digits and dashes, begins with a letter, not with gcp-, and does not end \
         in a dash"
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_such_that_every_consumer_takes_them() {
        for good in ["symbolon", "team-a1", "abcd", &"a".repeat(32)] {
            assert!(name(good).is_ok(), "{good}");
        }
        for bad in ["abc", "Symbolon", "a_bcd", "1abc", "abcd-", "gcp-x", "a'bc", "a bcd", &"a".repeat(33)] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }
}
