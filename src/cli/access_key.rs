//! `symbolon access-key`: make, list, enable, disable and delete the credentials of a tenant's backends.

use clap::Subcommand;
use serde::Serialize;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::session::Session;
use super::tenant::{account_id, takes_effect, unknown};
use super::{Failure, Output, columns, note, print, shown};
use crate::error::Result;
use crate::ids::{AccessKeyId, AccountId};
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
    #[command(after_help = "Example: symbolon access-key create --account 111122223333 --output json")]
    Create {
        /// The tenant's account number.
        #[arg(long, value_name = "12DIGITS", value_parser = account_id)]
        account: AccountId,
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
    /// Delete an access key for good.
    Delete {
        /// The access key's id.
        #[arg(value_parser = key_id)]
        key: AccessKeyId,
    },
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
    last_used_at: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Changed {
    access_key_id: String,
    status: &'static str,
}

/// Runs the command.
///
/// # Errors
/// If there is no such tenant or access key; if the database, or for a new key its master key, does not fit.
pub async fn run(session: Session, args: Args) -> Result<(), Failure> {
    let output = args.output;
    match args.action {
        Action::Create { account } => {
            let (_, _, mut conn, seal) = session.unsealed().await?;
            let made = create(&mut conn, &seal, &account).await?;
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

async fn create(conn: &mut PgConnection, seal: &Seal, account: &AccountId) -> Result<Made, Failure> {
    if Tenant::find(conn, account).await?.is_none() {
        return Err(unknown(account));
    }
    let (id, secret) = (access_key::generate_id()?, Secret::generate()?);
    let mut tx = conn.begin().await?;
    let made = AccessKey::create(&mut tx, seal, &id, account, &secret).await?;
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
        last_used_at: key.last_used_at.map(time::OffsetDateTime::unix_timestamp),
    });
    print(output, &Listing { access_keys: listed.collect() }, |_| {
        let row = |key: &AccessKey| {
            let (id, account, status) =
                (key.id.to_string(), key.account_id.to_string(), key.status.as_str().to_owned());
            [id, account, status, shown(Some(key.created_at)), shown(key.last_used_at)]
        };
        columns(["ACCESS KEY", "ACCOUNT", "STATUS", "CREATED", "LAST USED"], keys.iter().map(row))
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
