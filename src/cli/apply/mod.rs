//! `symbolon apply`: bring tenants, access keys, login providers, roles, identity pools and what they have to what a TOML
//! file says. Applied again, it changes nothing; what the file does not name is left alone.
//!
//! The layout, names as Terraform's AWS provider has them where it has any:
//!
//! - `[[tenant]]`: `account_id` and `name`, both needed. Another name renames it.
//! - `[[tenant.access_key]]`: `id`, and `secret_env` (a variable) or `secret_file` (a file that only its owner can read,
//!   relative to the seed). What it may do: `policy` (JSON) or `policy_file` (relative to the seed), which left out stays.
//!   Another secret or policy replaces it.
//! - `[[tenant.openid_connect_provider]]`: `url` and `client_id_list`, both needed; `thumbprint_list`, `tags`.
//! - `[[tenant.saml_provider]]`: `name` and `metadata_file` (relative to the seed), both needed; `tags`.
//! - `[[tenant.role]]`: `name`, and `trust_policy` (JSON) or `trust_policy_file` (relative to the seed); `path` (`/`
//!   otherwise, and never changed), `description`, `max_session_duration` (seconds, an hour otherwise), `tags`.
//! - `[[tenant.identity_pool]]`: `identity_pool_id` and `identity_pool_name`, both needed;
//!   `allow_unauthenticated_identities` (false otherwise), `allow_classic_flow`, `developer_provider_name`,
//!   `supported_login_providers`, `openid_connect_provider_arns`, `saml_provider_arns`, `tags`;
//!   `audiences`, which are ours: see `symbolon audience`.
//! - `[[tenant.identity_pool.cognito_identity_provider]]`: `provider_name`, `client_id`, `server_side_token_check`.
//! - `[tenant.identity_pool.roles]`: `authenticated`, `unauthenticated`, each the ARN of a role.
//! - `[[tenant.identity_pool.role_mapping]]`: `identity_provider`, `type`, `ambiguous_role_resolution`, all
//!   needed.
//! - `[[tenant.identity_pool.role_mapping.mapping_rule]]`: `claim`, `match_type`, `value`, `role_arn`, all needed.
//! - `[[tenant.identity_pool.principal_tag]]`: `identity_provider_name`, needed; `use_defaults` (false otherwise),
//!   `principal_tags`.
//!
//! An existing pool is changed as `UpdateIdentityPool` would: public providers left out are cleared; the classic flow,
//! the developer provider and the tags left out stay. So do the thumbprints of an OpenID Connect provider, the tags of a
//! provider, and whatever else than its trust policy is left out of a role.
//! Roles and role mappings are one, as for `SetIdentityPoolRoles`: if the pool names either, both are brought to what it
//! says. Principal tags are brought for each provider that is named, and stay for the others. The providers of both are
//! those that the pool's own section names, so that a seed is right or wrong by itself. Audiences are brought if the pool
//! names them.
//!
//! Everything is checked before anything is written: the file first (`document`; `wanted`, `iam_roles`, `pool`,
//! `roles`, `principal_tags`), then against the database (`bring`). Each tenant, key, provider, role and pool, a pool's roles, its
//! audiences and each of its maps of principal tags is one transaction, as for every other writer; a run that failed in
//! the middle is simply run again.

mod bring;
mod document;
mod iam_roles;
mod pool;
mod principal_tags;
mod roles;
mod saml;
mod wanted;

use std::path::{Path, PathBuf};

use serde::Serialize;

use self::wanted::WantedTenant;
use super::session::{self, Session};
use super::{Failure, Output, print};
use crate::config::{Config, Environment};
use crate::db::Db;
use crate::installation::{Installation, Kind};
use crate::retry;
use crate::seal::Seal;

/// A whole seed, shown by `--help`.
pub const EXAMPLE: &str = r#"Example of a FILE:

  [[tenant]]
  account_id = "111122223333"
  name = "acme"

  [[tenant.access_key]]
  id = "AKIAEXAMPLE0000000AA"
  secret_env = "ACME_SECRET"          # or secret_file = "acme.secret", readable by its owner alone
  # What it may do, else everything; or policy_file = "issuer.json".
  policy = '''{"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "cognito-identity:GetOpenIdTokenForDeveloperIdentity", "Resource": "*"}]}'''

  [[tenant.openid_connect_provider]]
  url = "https://idp.example.com"
  client_id_list = ["web"]
  thumbprint_list = []
  tags = { team = "web" }

  [[tenant.role]]
  name = "user"
  path = "/"
  description = "Users of the pool below"
  max_session_duration = 3600
  tags = { team = "web" }
  # Who may take it on; or trust_policy_file = "user.json".
  trust_policy = '''{"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
     "Principal": {"Federated": "cognito-identity.amazonaws.com"},
     "Condition": {
       "StringEquals": {"cognito-identity.amazonaws.com:aud": "us-east-1:6d03c3ca-918a-4d03-84bd-192d2cb331b8"},
       "ForAnyValue:StringLike": {"cognito-identity.amazonaws.com:amr": "authenticated"}}}]}'''

  [[tenant.identity_pool]]
  identity_pool_id = "us-east-1:6d03c3ca-918a-4d03-84bd-192d2cb331b8"
  identity_pool_name = "web"
  developer_provider_name = "login.acme"
  allow_unauthenticated_identities = false
  allow_classic_flow = true
  supported_login_providers = { "graph.facebook.com" = "1234567890" }
  openid_connect_provider_arns = ["arn:aws:iam::111122223333:oidc-provider/idp.example.com"]
  saml_provider_arns = []
  tags = { team = "web" }
  audiences = ["snowflakecomputing.com"]        # beside the pool's id in `aud` of its users' tokens

  [[tenant.identity_pool.cognito_identity_provider]]
  provider_name = "cognito-idp.us-east-1.amazonaws.com/us-east-1_abcdefghi"
  client_id = "1234567890abcdefghijklmnop"

  [tenant.identity_pool.roles]
  authenticated = "arn:aws:iam::111122223333:role/user"
  unauthenticated = "arn:aws:iam::111122223333:role/guest"

  [[tenant.identity_pool.role_mapping]]
  identity_provider = "cognito-idp.us-east-1.amazonaws.com/us-east-1_abcdefghi:1234567890abcdefghijklmnop"
  type = "Rules"                      # or "Token"
  ambiguous_role_resolution = "AuthenticatedRole"       # or "Deny"

  [[tenant.identity_pool.role_mapping.mapping_rule]]
  claim = "isAdmin"
  match_type = "Equals"               # or "Contains", "StartsWith", "NotEqual"
  value = "paid"
  role_arn = "arn:aws:iam::111122223333:role/admin"

  [[tenant.identity_pool.principal_tag]]
  identity_provider_name = "idp.example.com"
  use_defaults = false
  principal_tags = { team = "custom:team" }

Applied again it changes nothing; what it does not name is left alone. Existing pools are changed as UpdateIdentityPool
would: public providers left out are cleared; allow_classic_flow, developer_provider_name and tags left out stay. Of an
access key, the policy left out stays. Of an OpenID Connect provider, thumbprint_list and tags left out stay; of a role,
everything but its trust policy. A pool's roles and role mappings are one: if it names either, both are brought to what it
says. Principal tags are brought for each provider named, audiences if they are named."#;

/// Options of `symbolon apply`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The TOML file; `--help` shows one.
    file: PathBuf,
    /// text or json
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// What became of everything that a seed names.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Applied {
    /// New.
    pub made: Vec<String>,
    /// Was other than the seed says.
    pub changed: Vec<String>,
    /// Was as the seed says.
    pub left: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// Exit code 3 with every problem of the file; 1 with everything in the database that stands against it.
pub async fn run(session: Session, args: Args) -> Result<(), Failure> {
    let (config, db, mut conn) = session.migrated().await?;
    let tenants = check(&db, &config, &session.sources().env, &args.file).await?;
    let seal = session::unseal(&config, &mut conn).await?;
    let applied = bring::about(&db, &seal, &config.limits, &tenants).await?;
    print(args.output, &applied, |Applied { made, changed, left }| {
        let fates = [("made", made), ("changed", changed), ("left", left)];
        let lines = fates.into_iter().flat_map(|(fate, items)| items.iter().map(move |item| (fate, item)));
        lines.fold(String::new(), |text, (fate, item)| text + &format!("{fate:<7}  {item}\n"))
    })
}

/// Applies the seed in `file`.
///
/// # Errors
/// As [`run`].
pub async fn seed(
    db: &Db,
    config: &Config,
    seal: &Seal,
    environment: &Environment,
    file: &Path,
) -> Result<Applied, Failure> {
    let tenants = check(db, config, environment, file).await?;
    bring::about(db, seal, &config.limits, &tenants).await
}

/// Reads a seed, and finds everything that is wrong with it, without writing anything.
async fn check(db: &Db, config: &Config, environment: &Environment, file: &Path) -> Result<Vec<WantedTenant>, Failure> {
    let shown = file.display();
    let source = std::fs::read_to_string(file)
        .map_err(|error| Failure::configuration(format!("cannot read the seed {shown}: {error}")))?;
    let found = retry!(db, |conn| { Installation::find(conn).await })?;
    let context = wanted::Context {
        config,
        environment,
        folder: file.parent().unwrap_or(Path::new(".")),
        dev: found.is_some_and(|found| found.kind == Kind::Dev),
    };
    let list = |what: &str, problems: &[String]| {
        let plural = if problems.len() == 1 { "" } else { "s" };
        let head = format!("{what} {} problem{plural}; nothing was written:", problems.len());
        problems.iter().fold(head, |text, problem| text + "\n  - " + problem)
    };
    let tenants = wanted::read(&source, &context)
        .map_err(|problems| Failure::configuration(list(&format!("the seed {shown} has"), &problems)))?;
    let conflicts = retry!(db, |conn| { bring::conflicts(conn, &tenants).await })?;
    if !conflicts.is_empty() {
        return Err(Failure::plain(list(&format!("the seed {shown} does not fit this database:"), &conflicts)));
    }
    Ok(tenants)
}
