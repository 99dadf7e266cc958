//! `symbolon post-restore`: what was revoked, disabled or deleted after a dump was taken does not come back with it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use time::OffsetDateTime;

use super::session::Session;
use super::{Failure, Output, key, note, print};
use crate::db::{Db, Tries};
use crate::error::{Error, Result};
use crate::installation::{self, Installation, LEAP};
use crate::keys::recovery::{self, LaterKey, Recovery};
use crate::keys::rotation::{Outcome, Step};
use crate::keys::{Policy, SigningKey};
use crate::retry;
use crate::seal::Seal;
use crate::tenants::tenant::Status;
use crate::tenants::{AccessKey, Tenant};

/// What `--help` shows at its end.
pub const EXAMPLES: &str = "\
A restored database has forgotten what was done since: a signing key that was revoked signs again, an access key that was
deleted opens again. Stop every broker before the restore, run this after it, and start them then. It is one transaction.

What is known of the state that was lost is in the lists that it printed. Take them when you revoke or disable something,
and before you restore if the old database still answers:
  symbolon key list --output json > keys.json
  symbolon access-key list --output json > access-keys.json
  symbolon tenant list --output json > tenants.json
  symbolon post-restore --later keys.json --later access-keys.json --later tenants.json

For a list that is not there, say one of
  --unchanged   nothing was revoked, disabled or deleted since the dump, but for what --later and --revoked say
  --distrust    nobody knows: every signing key is revoked and a fresh one signs, every access key and tenant is disabled";

/// Options of `symbolon post-restore`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What `key list`, `access-key list` or `tenant list` printed with `--output json` after the dump was taken; may be
    /// given for each of them.
    #[arg(long, value_name = "FILE")]
    later: Vec<PathBuf>,
    /// A signing key that was revoked since, or is to be revoked; may be given again.
    // A thumbprint in base64url may begin with a dash.
    #[arg(long, value_name = "KID", allow_hyphen_values = true)]
    revoked: Vec<String>,
    /// Of what --later does not tell, nothing was revoked, disabled or deleted since the dump.
    #[arg(long, conflicts_with = "distrust")]
    unchanged: bool,
    /// Of what --later does not tell, nothing is known: revoke and disable all.
    #[arg(long)]
    distrust: bool,
    /// text or json
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// One of the three lists, as its command prints it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Document {
    #[serde(rename_all = "PascalCase")]
    Keys { keys: Vec<ListedKey> },
    #[serde(rename_all = "PascalCase")]
    AccessKeys { access_keys: Vec<ListedAccessKey> },
    #[serde(rename_all = "PascalCase")]
    Tenants { tenants: Vec<ListedTenant> },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedKey {
    key_id: String,
    state: String,
    sign_from: Option<i64>,
    sign_until: Option<i64>,
    unpublish_at: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedAccessKey {
    access_key_id: String,
    status: String,
    secret_version: i64,
    policy: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedTenant {
    account_id: String,
    status: String,
}

/// What is known of the state that was lost; nothing for a list that was not given.
#[derive(Default)]
struct Later {
    keys: Option<Vec<ListedKey>>,
    access_keys: Option<Vec<ListedAccessKey>>,
    tenants: Option<Vec<ListedTenant>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Restored {
    revoked_signing_keys: Vec<String>,
    ended_signing_keys: Vec<String>,
    made_signing_keys: Vec<String>,
    disabled_access_keys: Vec<DisabledKey>,
    disabled_tenants: Vec<String>,
    /// In the lists, and not in the database: made after the dump.
    lost_signing_keys: Vec<String>,
    lost_access_keys: Vec<String>,
    lost_tenants: Vec<String>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DisabledKey {
    access_key_id: String,
    account_id: String,
    reason: &'static str,
}

/// Runs the command.
///
/// # Errors
/// If a list is missing and nothing was said of it, cannot be read, or is not a later state of this database; if the
/// database, or its master key, does not fit.
pub async fn run(session: Session, args: Args) -> Result<(), Failure> {
    let later = Later::read(&args.later)?;
    if !args.unchanged && !args.distrust && !later.missing().is_empty() {
        return Err(Failure::new(
            2,
            format!(
                "nothing was written. What was revoked, disabled or deleted after the dump is not known without {}: give each \
                 with --later, or say --unchanged if nothing was, or --distrust if nobody knows; `symbolon post-restore --help` \
                 explains",
                later.missing().join(", ")
            ),
        ));
    }
    let (config, db, mut conn, seal) = session.unsealed().await?;
    let policy = key::policy(&config, &mut conn).await?;
    drop(conn);
    let restored = restore(&db, &seal, &policy, &later, &args).await?;
    print(args.output, &restored, text)?;
    note(
        args.output,
        "pools, roles, policies and logins are as the dump has them: bring them to what you want (`symbolon apply`), and review \
         `symbolon access-key list`; then start the brokers",
    )
}

impl Later {
    fn read(files: &[PathBuf]) -> Result<Self, Failure> {
        let mut later = Self::default();
        for file in files {
            let twice = match read(file)? {
                Document::Keys { keys } => later.keys.replace(keys).is_some(),
                Document::AccessKeys { access_keys } => later.access_keys.replace(access_keys).is_some(),
                Document::Tenants { tenants } => later.tenants.replace(tenants).is_some(),
            };
            if twice {
                return Err(Failure::new(2, format!("--later {}: another file has this list already", file.display())));
            }
        }
        Ok(later)
    }

    fn missing(&self) -> Vec<&'static str> {
        let lists = [
            (self.keys.is_none(), "`key list`"),
            (self.access_keys.is_none(), "`access-key list`"),
            (self.tenants.is_none(), "`tenant list`"),
        ];
        lists.into_iter().filter_map(|(is_missing, name)| is_missing.then_some(name)).collect()
    }

    /// What is known of each of the database's signing keys.
    fn of_keys(&self, keys: &[SigningKey], args: &Args) -> Vec<LaterKey> {
        let time = |at: Option<i64>| at.and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
        let listed = self.keys.iter().flatten().map(|key| LaterKey {
            kid: key.key_id.clone(),
            is_revoked: key.state == crate::keys::State::Revoked.as_str(),
            sign_from: time(key.sign_from),
            end: time(key.sign_until).zip(time(key.unpublish_at)),
        });
        let distrusted = keys.iter().filter(|_| self.keys.is_none() && args.distrust);
        let named = args.revoked.iter().map(|kid| LaterKey::revoked(kid));
        // The first that is found counts.
        named.chain(listed).chain(distrusted.map(|key| LaterKey::revoked(&key.kid))).collect()
    }

    /// The enabled access keys that are not to come back.
    fn of_access_keys(&self, keys: &[AccessKey], distrust: bool) -> Vec<DisabledKey> {
        let reason = |key: &AccessKey| match &self.access_keys {
            None => distrust.then_some("nothing is known of it"),
            Some(listed) => match listed.iter().find(|listed| listed.access_key_id == key.id.as_str()) {
                None => Some("it was deleted"),
                Some(listed) if listed.status == Status::Disabled.as_str() => Some("it was disabled"),
                Some(listed) if listed.secret_version != key.secret_version => {
                    Some("its secret had been exchanged for another, which is lost")
                }
                // One whose policy had been taken away may do less now than it could then, which harms nobody.
                Some(listed) if listed.policy.is_some() && listed.policy != key.policy => {
                    Some("it had been given another policy, which is lost")
                }
                Some(_) => None,
            },
        };
        let disabled = |key: &AccessKey| {
            let (access_key_id, account_id) = (key.id.to_string(), key.account_id.to_string());
            Some(DisabledKey { access_key_id, account_id, reason: reason(key)? })
        };
        keys.iter().filter(|key| key.status == Status::Enabled).filter_map(disabled).collect()
    }

    /// Whether a tenant is not to come back.
    fn disables(&self, tenant: &Tenant, distrust: bool) -> bool {
        match &self.tenants {
            None => distrust,
            Some(listed) => listed.iter().any(|listed| {
                listed.account_id == tenant.account_id.as_str() && listed.status == Status::Disabled.as_str()
            }),
        }
    }

    /// Refuses lists that are no later state of this database: neither signing keys nor tenants are ever deleted.
    fn check(&self, keys: &[SigningKey], tenants: &[Tenant]) -> Result<()> {
        let older = |list: &str, what: &str| {
            Error::Refused(format!(
                "the {list} given does not have {what}, which this database has: the list is from before the dump, or of another \
                 installation, or `post-restore` was here already; nothing was written"
            ))
        };
        if let Some(listed) = &self.keys
            && let Some(key) = keys.iter().find(|key| !listed.iter().any(|listed| listed.key_id == key.kid))
        {
            return Err(older("`key list`", &format!("signing key {}", key.kid)));
        }
        if let Some(listed) = &self.tenants
            && let Some(tenant) = tenants
                .iter()
                .find(|tenant| !listed.iter().any(|listed| listed.account_id == tenant.account_id.as_str()))
        {
            return Err(older("`tenant list`", &format!("tenant {}", tenant.account_id)));
        }
        Ok(())
    }
}

fn read(file: &Path) -> Result<Document, Failure> {
    let shown = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::configuration(format!("cannot read --later {shown}: {error}")))?;
    serde_json::from_str(&text).map_err(|_| {
        Failure::configuration(format!(
            "--later {shown} is not what `key list`, `access-key list` or `tenant list` prints with --output json"
        ))
    })
}

/// Writes what is known of the later state, all in one transaction, again while another writer is faster.
async fn restore(db: &Db, seal: &Seal, policy: &Policy, later: &Later, args: &Args) -> Result<Restored> {
    let decide = |keys: &[SigningKey], now| recovery::restore(keys, &later.of_keys(keys, args), policy, now);
    let mut tries = Tries::default();
    loop {
        let recovery = Recovery::prepare(db, seal, policy, decide).await?;
        let epoch = recovery.reading.epoch;
        let mut committing = None;
        let done = retry!(db, |conn| {
            // An earlier try was committed after all, and only the answer was lost.
            let has_leapt = |found: Installation| found.epoch >= epoch + LEAP;
            if committing.is_some() && Installation::find(conn).await?.is_some_and(has_leapt) {
                return Ok(committing.take());
            }
            let mut tx = conn.begin().await?;
            installation::leap_epoch(&mut tx).await?;
            let steps = match recovery.write(&mut tx, decide).await? {
                Outcome::Written(steps) => steps,
                Outcome::Nothing => Vec::new(),
                Outcome::Lost => return Ok(None),
            };
            recovery::leap_versions(&mut tx).await?;
            committing = Some(disable(&mut tx, later, args, &recovery, &steps).await?);
            tx.commit().await?;
            Ok(committing.take())
        })?;
        if let Some(restored) = done {
            return Ok(restored);
        }
        if !tries.pause().await {
            return Err(Error::Contended);
        }
    }
}

/// Disables what is not to come back, and tells everything that was done.
async fn disable(
    conn: &mut PgConnection,
    later: &Later,
    args: &Args,
    recovery: &Recovery<'_>,
    steps: &[Step],
) -> Result<Restored> {
    let (keys, access_keys, tenants) =
        (&recovery.reading.keys, AccessKey::list(conn, None).await?, Tenant::list(conn).await?);
    later.check(keys, &tenants)?;
    if let Some(kid) = args.revoked.iter().find(|kid| !keys.iter().any(|key| key.kid == **kid)) {
        return Err(Error::Refused(format!(
            "there is no signing key {kid} in this database, so it cannot sign or be published: leave it out; nothing was \
             written"
        )));
    }
    let disabled_access_keys = later.of_access_keys(&access_keys, args.distrust);
    for key in
        access_keys.iter().filter(|key| disabled_access_keys.iter().any(|found| found.access_key_id == key.id.as_str()))
    {
        AccessKey::set_status(conn, &key.id, Status::Disabled).await?;
    }
    let mut disabled_tenants = Vec::new();
    for tenant in
        tenants.iter().filter(|tenant| tenant.status == Status::Enabled && later.disables(tenant, args.distrust))
    {
        Tenant::set_status(conn, &tenant.account_id, Status::Disabled).await?;
        disabled_tenants.push(tenant.account_id.to_string());
    }
    let absent = |listed: Vec<&String>, has: &dyn Fn(&str) -> bool| -> Vec<String> {
        listed.into_iter().filter(|id| !has(id)).cloned().collect()
    };
    let named = |of: fn(&Step) -> Option<&String>| steps.iter().filter_map(of).cloned().collect();
    Ok(Restored {
        revoked_signing_keys: named(|step| if let Step::Revoke { kid, .. } = step { Some(kid) } else { None }),
        ended_signing_keys: named(|step| if let Step::End { kid, .. } = step { Some(kid) } else { None }),
        made_signing_keys: recovery.made(),
        disabled_access_keys,
        disabled_tenants,
        lost_signing_keys: absent(later.keys.iter().flatten().map(|key| &key.key_id).collect(), &|id| {
            keys.iter().any(|key| key.kid == id)
        }),
        lost_access_keys: absent(later.access_keys.iter().flatten().map(|key| &key.access_key_id).collect(), &|id| {
            access_keys.iter().any(|key| key.id.as_str() == id)
        }),
        lost_tenants: absent(later.tenants.iter().flatten().map(|tenant| &tenant.account_id).collect(), &|id| {
            tenants.iter().any(|tenant| tenant.account_id.as_str() == id)
        }),
    })
}

fn text(done: &Restored) -> String {
    let mut lines = vec!["replicas forget what they knew of the state that was lost".to_owned()];
    lines.extend(done.revoked_signing_keys.iter().map(|kid| format!("signing key {kid} is revoked")));
    lines.extend(
        done.ended_signing_keys.iter().map(|kid| format!("signing key {kid} signs no more, as in the later state")),
    );
    lines.extend(done.made_signing_keys.iter().map(|kid| format!("signing key {kid} is made")));
    lines.extend(done.disabled_access_keys.iter().map(|key| {
        format!("access key {} of account {} is disabled: {}", key.access_key_id, key.account_id, key.reason)
    }));
    lines.extend(done.disabled_tenants.iter().map(|id| format!("tenant {id} is disabled")));
    let lost = [
        ("signing key", &done.lost_signing_keys, "its tokens are refused from now on"),
        ("access key", &done.lost_access_keys, "make it anew"),
        ("tenant", &done.lost_tenants, "make it anew"),
    ];
    for (what, ids, remedy) in lost {
        lines.extend(ids.iter().map(|id| format!("{what} {id} was made after the dump, and is lost: {remedy}")));
    }
    lines.join("\n")
}
