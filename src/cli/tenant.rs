//! `symbolon tenant`: make, list, enable and disable tenants.

use clap::Subcommand;
use serde::Serialize;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::session::Session;
use super::{Failure, Output, columns, note, print, shown};
use crate::error::Result;
use crate::ids::{self, AccountId};
use crate::tenants::tenant::{Status, Tenant};

/// How often a random account number is drawn before giving up.
const DRAWS: u32 = 32;

/// Options of `symbolon tenant`.
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
    /// Make a tenant, with a random account number unless one is given.
    #[command(after_help = "Example: symbolon tenant create acme --account-id 111122223333")]
    Create {
        /// What people call it.
        #[arg(value_parser = name)]
        name: String,
        /// Its account number.
        #[arg(long, value_name = "12DIGITS", value_parser = account_id)]
        account_id: Option<AccountId>,
    },
    /// List all tenants.
    List,
    /// Let a tenant's access keys and pools be used again.
    Enable {
        /// Its account number.
        #[arg(value_parser = account_id)]
        id: AccountId,
    },
    /// Let none of a tenant's access keys and pools be used.
    Disable {
        /// Its account number.
        #[arg(value_parser = account_id)]
        id: AccountId,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Made {
    account_id: String,
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listing {
    tenants: Vec<Listed>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    account_id: String,
    name: String,
    status: &'static str,
    created_at: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Changed {
    account_id: String,
    status: &'static str,
}

/// Runs the command.
///
/// # Errors
/// If the account number is taken, or there is no such tenant; if the database does not answer or fit.
pub async fn run(session: Session, args: Args) -> Result<(), Failure> {
    match args.action {
        Action::Create { name, account_id } => {
            let (_, _, mut conn, _) = session.unsealed().await?;
            let account_id = create(&mut conn, &name, account_id).await?;
            let made = Made { account_id: account_id.to_string(), name };
            print(args.output, &made, |made| format!("tenant {} ({}) made", made.account_id, made.name))
        }
        Action::List => {
            let (_, _, mut conn) = session.migrated().await?;
            list(args.output, &Tenant::list(&mut conn).await?)
        }
        Action::Enable { id } => set_status(&session, args.output, &id, Status::Enabled).await,
        Action::Disable { id } => set_status(&session, args.output, &id, Status::Disabled).await,
    }
}

async fn create(conn: &mut PgConnection, name: &str, wanted: Option<AccountId>) -> Result<AccountId, Failure> {
    if let Some(account_id) = wanted {
        if insert(conn, &account_id, name).await? {
            return Ok(account_id);
        }
        let owner = Tenant::find(conn, &account_id).await?.map(|tenant| tenant.name).unwrap_or_default();
        return Err(Failure::plain(format!(
            "account {account_id} exists already ({owner}); choose another number, or leave --account-id out"
        )));
    }
    for _ in 0..DRAWS {
        let account_id = random_account_id()?;
        if insert(conn, &account_id, name).await? {
            return Ok(account_id);
        }
    }
    Err(Failure::plain("no free account number found; choose one with --account-id"))
}

async fn insert(conn: &mut PgConnection, account_id: &AccountId, name: &str) -> Result<bool> {
    let mut tx = conn.begin().await?;
    let made = Tenant::create(&mut tx, account_id, name).await?;
    tx.commit().await?;
    Ok(made)
}

/// A number without a leading zero, which spreadsheets and YAML readers would eat.
fn random_account_id() -> Result<AccountId> {
    const LEAST: u64 = 100_000_000_000;
    let number = LEAST + u64::from_be_bytes(ids::random()?) % (9 * LEAST);
    AccountId::parse(&number.to_string())
        .ok_or_else(|| crate::error::Error::internal("an account number of our own is ill-formed"))
}

fn list(output: Output, tenants: &[Tenant]) -> Result<(), Failure> {
    let tenants_listed = tenants.iter().map(|tenant| Listed {
        account_id: tenant.account_id.to_string(),
        name: tenant.name.clone(),
        status: tenant.status.as_str(),
        created_at: tenant.created_at.unix_timestamp(),
    });
    print(output, &Listing { tenants: tenants_listed.collect() }, |_| {
        let row = |tenant: &Tenant| {
            let status = tenant.status.as_str().to_owned();
            [tenant.account_id.to_string(), status, shown(Some(tenant.created_at)), tenant.name.clone()]
        };
        columns(["ACCOUNT", "STATUS", "CREATED", "NAME"], tenants.iter().map(row))
    })
}

async fn set_status(session: &Session, output: Output, id: &AccountId, status: Status) -> Result<(), Failure> {
    let (config, _, mut conn) = session.migrated().await?;
    let mut tx = conn.begin().await?;
    if !Tenant::set_status(&mut tx, id, status).await? {
        return Err(unknown(id));
    }
    tx.commit().await?;
    let changed = Changed { account_id: id.to_string(), status: status.as_str() };
    print(output, &changed, |changed| format!("tenant {} is {}", changed.account_id, changed.status))?;
    note(output, &takes_effect(config.keys.sign_fence))
}

/// A tenant that does not exist, in one line.
pub(super) fn unknown(id: &AccountId) -> Failure {
    Failure::plain(format!("there is no tenant {id}; `symbolon tenant list` shows those there are"))
}

/// When a change of what access keys may do is known everywhere.
pub(super) fn takes_effect(fence: std::time::Duration) -> String {
    format!("takes effect within {} seconds on every replica (keys.sign_fence)", fence.as_secs())
}

/// The account number on a command line.
pub(super) fn account_id(text: &str) -> Result<AccountId, String> {
    AccountId::parse(text).ok_or_else(|| "an account number has 12 digits".to_owned())
}

/// What a tenant may be called.
pub(super) fn name(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    if text.trim().is_empty() || length > 128 || text.chars().any(char::is_control) {
        return Err("a name has 1 to 128 characters, and none that does not print".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_account_numbers_have_twelve_digits_and_no_leading_zero() {
        for _ in 0..100 {
            let id = random_account_id().unwrap();
            assert!(id.as_str().len() == 12 && !id.as_str().starts_with('0'), "{id}");
        }
    }

    #[test]
    fn names_print() {
        assert!(name("Acme & Söhne").is_ok());
        assert!(name(" ").is_err() && name("a\nb").is_err() && name(&"x".repeat(129)).is_err());
    }
}
