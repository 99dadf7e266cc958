//! `symbolon access-key`: make, list, enable, disable and delete the credentials of a tenant's backends, and say what each
//! may do.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::session::Session;
use super::tenant::{account_id, takes_effect, unknown};
use super::{Failure, Output, columns, note, print, shown};
use crate::error::Result;
use crate::ids::{AccessKeyId, AccountId};
use crate::policy::Policy;
use crate::seal::Seal;
use crate::tenants::access_key::{self, AccessKey, Secret};
use crate::tenants::tenant::{Status, Tenant};

/// Options of `symbolon access-key`.
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
    /// Make an access key. Its secret is shown this once.
    #[command(after_help = "Example: symbolon access-key create --account 111122223333 --policy issuer.json")]
    Create {
        /// The tenant's account number.
        #[arg(long, value_name = "12DIGITS", value_parser = account_id)]
        account: AccountId,
        /// What it may do: a JSON policy as IAM has them. Without one it may do everything in its account.
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
    },
    /// List access keys, without their secrets.
    List {
        /// Of this tenant alone.
        #[arg(long, value_name = "12DIGITS", value_parser = account_id)]
        account: Option<AccountId>,
    },
    /// Let a disabled access key be used again.
    Enable {
        /// The access key's id.
        #[arg(value_parser = key_id)]
        key: AccessKeyId,
    },
    /// Let an access key not be used.
    Disable {
        /// The access key's id.
        #[arg(value_parser = key_id)]
        key: AccessKeyId,
    },
    /// Say what an access key may do.
    #[command(after_help = "Example: symbolon access-key set-policy AKIAEXAMPLE0000000AA --policy issuer.json")]
    SetPolicy {
        /// The access key's id.
        #[arg(value_parser = key_id)]
        key: AccessKeyId,
        #[command(flatten)]
        policy: GivenPolicy,
    },
    /// Print the policy of an access key.
    ShowPolicy {
        /// The access key's id.
        #[arg(value_parser = key_id)]
        key: AccessKeyId,
    },
    /// Delete an access key for good.
    Delete {
        /// The access key's id.
        #[arg(value_parser = key_id)]
        key: AccessKeyId,
    },
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct GivenPolicy {
    /// A JSON policy as IAM has them, in place of the one that the key has.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// No policy: the key may do everything in its account.
    #[arg(long)]
    none: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Made {
    access_key_id: String,
    secret_access_key: String,
    account_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listing {
    access_keys: Vec<Listed>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    access_key_id: String,
    account_id: String,
    status: &'static str,
    created_at: i64,
    secret_version: i64,
    last_used_at: Option<i64>,
    has_policy: bool,
    policy: Option<serde_json::Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Changed {
    access_key_id: String,
    status: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Governed {
    access_key_id: String,
    has_policy: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    access_key_id: String,
    policy: Option<serde_json::Value>,
}

/// Runs the command.
///
/// # Errors
/// If there is no such tenant or access key; if the database, or for a new key its master key, does not fit; with exit
/// code 3 if a policy cannot be read or is refused.
pub async fn run(session: Session, args: Args) -> Result<(), Failure> {
    let output = args.output;
    match args.action {
        Action::Create { account, policy } => {
            let policy = policy.as_deref().map(read_policy).transpose()?;
            let (_, _, mut conn, seal) = session.unsealed().await?;
            let made = create(&mut conn, &seal, &account, policy.as_ref()).await?;
            print(output, &made, |made| {
                format!(
                    "access key  {}\nsecret      {}\naccount     {}\n\nThe secret is not shown again.",
                    made.access_key_id, made.secret_access_key, made.account_id
                )
            })
        }
        Action::List { account } => {
            let (_, _, mut conn) = session.migrated().await?;
            if let Some(account) = &account
                && Tenant::find(&mut conn, account).await?.is_none()
            {
                return Err(unknown(account));
            }
            list(output, &AccessKey::list(&mut conn, account.as_ref()).await?)
        }
        Action::Enable { key } => set_status(&session, output, &key, Status::Enabled).await,
        Action::Disable { key } => set_status(&session, output, &key, Status::Disabled).await,
        Action::SetPolicy { key, policy } => {
            let policy = policy.policy.as_deref().map(read_policy).transpose()?;
            set_policy(&session, output, &key, policy.as_ref()).await
        }
        Action::ShowPolicy { key } => {
            let (_, _, mut conn) = session.migrated().await?;
            let found = AccessKey::find(&mut conn, &key).await?.ok_or_else(|| no_key(&key))?;
            print(output, &Shown { access_key_id: key.to_string(), policy: found.policy }, |shown| {
                match &shown.policy {
                    Some(policy) => format!("{policy:#}"),
                    None => format!("access key {key} has no policy: it may do everything in its account"),
                }
            })
        }
        Action::Delete { key } => {
            let (config, _, mut conn) = session.migrated().await?;
            let mut tx = conn.begin().await?;
            if !AccessKey::delete(&mut tx, &key).await? {
                return Err(no_key(&key));
            }
            tx.commit().await?;
            changed(output, &key, "DELETED", config.keys.sign_fence)
        }
    }
}

async fn create(
    conn: &mut PgConnection,
    seal: &Seal,
    account: &AccountId,
    policy: Option<&Policy>,
) -> Result<Made, Failure> {
    if Tenant::find(conn, account).await?.is_none() {
        return Err(unknown(account));
    }
    let (id, secret) = (access_key::generate_id()?, Secret::generate()?);
    let mut tx = conn.begin().await?;
    let made = AccessKey::create(&mut tx, seal, &id, account, &secret).await?;
    if made && policy.is_some() {
        AccessKey::set_policy(&mut tx, &id, policy).await?;
    }
    tx.commit().await?;
    if !made {
        // 80 random bits: it does not happen.
        return Err(Failure::plain("the random access key id is taken; try again"));
    }
    Ok(Made {
        access_key_id: id.to_string(),
        secret_access_key: String::from_utf8_lossy(secret.expose()).into_owned(),
        account_id: account.to_string(),
    })
}

fn list(output: Output, keys: &[AccessKey]) -> Result<(), Failure> {
    let listed = keys.iter().map(|key| Listed {
        access_key_id: key.id.to_string(),
        account_id: key.account_id.to_string(),
        status: key.status.as_str(),
        created_at: key.created_at.unix_timestamp(),
        secret_version: key.secret_version,
        last_used_at: key.last_used_at.map(time::OffsetDateTime::unix_timestamp),
        has_policy: key.policy.is_some(),
        policy: key.policy.clone(),
    });
    print(output, &Listing { access_keys: listed.collect() }, |_| {
        let row = |key: &AccessKey| {
            let (id, account, status) =
                (key.id.to_string(), key.account_id.to_string(), key.status.as_str().to_owned());
            let policy = if key.policy.is_some() { "yes" } else { "no" };
            [id, account, status, shown(Some(key.created_at)), shown(key.last_used_at), policy.to_owned()]
        };
        columns(["ACCESS KEY", "ACCOUNT", "STATUS", "CREATED", "LAST USED", "POLICY"], keys.iter().map(row))
    })
}

async fn set_status(session: &Session, output: Output, key: &AccessKeyId, status: Status) -> Result<(), Failure> {
    let (config, _, mut conn) = session.migrated().await?;
    let mut tx = conn.begin().await?;
    if !AccessKey::set_status(&mut tx, key, status).await? {
        return Err(no_key(key));
    }
    tx.commit().await?;
    changed(output, key, status.as_str(), config.keys.sign_fence)
}

async fn set_policy(
    session: &Session,
    output: Output,
    key: &AccessKeyId,
    policy: Option<&Policy>,
) -> Result<(), Failure> {
    let (config, _, mut conn) = session.migrated().await?;
    let mut tx = conn.begin().await?;
    if !AccessKey::set_policy(&mut tx, key, policy).await? {
        return Err(no_key(key));
    }
    tx.commit().await?;
    let governed = Governed { access_key_id: key.to_string(), has_policy: policy.is_some() };
    print(output, &governed, |governed| {
        let may = if governed.has_policy { "what its policy allows" } else { "everything in its account" };
        format!("access key {} may do {may}", governed.access_key_id)
    })?;
    note(output, &takes_effect(config.keys.sign_fence))
}

/// The policy in a file.
fn read_policy(file: &Path) -> Result<Policy, Failure> {
    let shown = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::configuration(format!("cannot read the policy {shown}: {error}")))?;
    Policy::parse(&text).map_err(|problem| {
        Failure::configuration(format!("the policy {shown} is refused, and nothing was written: {problem}"))
    })
}

fn no_key(key: &AccessKeyId) -> Failure {
    Failure::plain(format!("there is no access key {key}; `symbolon access-key list` shows those there are"))
}

fn changed(output: Output, key: &AccessKeyId, status: &'static str, fence: std::time::Duration) -> Result<(), Failure> {
    let changed = Changed { access_key_id: key.to_string(), status };
    print(output, &changed, |changed| format!("access key {} is {}", changed.access_key_id, changed.status))?;
    note(output, &takes_effect(fence))
}

fn key_id(text: &str) -> Result<AccessKeyId, String> {
    AccessKeyId::parse(text).ok_or_else(|| "an access key id has letters, digits and underscores only".to_owned())
}
