//! What a seed asks for, checked by the same rules as requests.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::document::{Document, Section};
use super::iam_roles::{self, WantedRole};
use super::pool::{self, WantedPool};
use super::saml::{self, WantedSamlProvider};
use crate::aws_query;
use crate::cli::tenant;
use crate::cognito::fault::Fault;
use crate::cognito::{shapes, validate};
use crate::config::{Config, Environment};
use crate::error::Error;
use crate::iam::{OidcProvider, provider_url};
use crate::ids::{AccessKeyId, AccountId};
use crate::policy::Policy;
use crate::tags::Tags;
use crate::tenants::access_key::{Secret, is_dev_access_key};

/// What a seed is checked against, the database aside.
pub(super) struct Context<'a> {
    pub(super) config: &'a Config,
    pub(super) environment: &'a Environment,
    /// Where files of secrets, policies and metadata are looked for.
    pub(super) folder: &'a Path,
    /// Whether dev mode's well-known access keys are allowed.
    pub(super) dev: bool,
}

/// A tenant with its keys, login providers, roles and pools.
pub(super) struct WantedTenant {
    pub(super) account_id: AccountId,
    pub(super) name: String,
    pub(super) keys: Vec<WantedKey>,
    pub(super) providers: Vec<WantedProvider>,
    pub(super) saml_providers: Vec<WantedSamlProvider>,
    pub(super) roles: Vec<WantedRole>,
    pub(super) pools: Vec<WantedPool>,
}

/// An access key.
pub(super) struct WantedKey {
    pub(super) line: usize,
    pub(super) id: AccessKeyId,
    pub(super) secret: Secret,
    /// Left out, the one that the key has stays.
    pub(super) policy: Option<Policy>,
}

/// An OpenID Connect provider.
pub(super) struct WantedProvider {
    /// Without its scheme.
    pub(super) url: String,
    client_ids: Vec<String>,
    thumbprints: Option<Vec<String>>,
    tags: Option<Tags>,
}

impl WantedProvider {
    /// Makes `current` what the seed says: thumbprints and tags that are left out stay.
    pub(super) fn bring(&self, current: &mut OidcProvider) {
        current.client_ids.clone_from(&self.client_ids);
        if let Some(thumbprints) = &self.thumbprints {
            current.thumbprints.clone_from(thumbprints);
        }
        if let Some(tags) = &self.tags {
            current.tags.clone_from(tags);
        }
    }

    /// The provider when there is none yet.
    pub(super) fn fresh(&self, created_at: OffsetDateTime) -> OidcProvider {
        let mut provider = OidcProvider {
            url: self.url.clone(),
            client_ids: Vec::new(),
            thumbprints: Vec::new(),
            tags: Tags::new(),
            created_at,
        };
        self.bring(&mut provider);
        provider
    }
}

/// Reads a seed, or lists everything that is wrong with it.
pub(super) fn read(source: &str, context: &Context<'_>) -> Result<Vec<WantedTenant>, Vec<String>> {
    let document = Document::new(source);
    let mut tenants = Vec::new();
    if let Some(table) = document.parse() {
        let root = document.root(&table);
        let mut seen = Seen::default();
        for section in root.sections("tenant") {
            tenants.extend(read_tenant(&section, context, &mut seen));
        }
        root.end();
    }
    let problems = document.into_problems();
    if problems.is_empty() { Ok(tenants) } else { Err(problems) }
}

/// What stands in the seed already: nothing may be asked for twice.
#[derive(Default)]
struct Seen {
    tenants: BTreeSet<AccountId>,
    keys: BTreeSet<AccessKeyId>,
    providers: BTreeSet<(String, String)>,
    saml_providers: BTreeSet<(String, String)>,
    /// By tenant, in small letters.
    roles: BTreeSet<(String, String)>,
    pools: BTreeSet<Uuid>,
}

fn read_tenant(section: &Section<'_, '_>, context: &Context<'_>, seen: &mut Seen) -> Option<WantedTenant> {
    let account_id = section
        .needed_text("account_id")
        .and_then(|text| tenant::account_id(&text).inspect_err(|why| section.problem("account_id", why)).ok());
    let name = section
        .needed_text("name")
        .and_then(|text| tenant::name(&text).inspect_err(|why| section.problem("name", why)).ok());
    if account_id.as_ref().is_some_and(|id| !seen.tenants.insert(id.clone())) {
        section.problem("account_id", "stands twice in this file");
    }
    let keys = section.sections("access_key").iter().filter_map(|key| read_key(key, context, seen)).collect();
    let providers = section.sections("openid_connect_provider");
    let owner = account_id.as_ref().map(ToString::to_string).unwrap_or_default();
    let providers = providers.iter().filter_map(|provider| read_provider(provider, context, &owner, seen)).collect();
    let saml_providers = section.sections("saml_provider");
    let saml_providers = saml_providers
        .iter()
        .filter_map(|provider| saml::read(provider, context, &owner, &mut seen.saml_providers))
        .collect();
    let roles = section.sections("role");
    let roles = roles.iter().filter_map(|role| iam_roles::read(role, context, &owner, &mut seen.roles)).collect();
    let pools = section
        .sections("identity_pool")
        .iter()
        .filter_map(|section| pool::read(section, context, &mut seen.pools))
        .collect();
    section.end();
    Some(WantedTenant { account_id: account_id?, name: name?, keys, providers, saml_providers, roles, pools })
}

fn read_key(section: &Section<'_, '_>, context: &Context<'_>, seen: &mut Seen) -> Option<WantedKey> {
    let id = section.needed_text("id").and_then(|text| {
        let id = AccessKeyId::parse(&text);
        if id.is_none() {
            section.problem("id", "an access key id has 1 to 128 letters, digits and underscores");
        }
        id
    });
    if id.as_ref().is_some_and(|id| !seen.keys.insert(id.clone())) {
        section.problem("id", "stands twice in this file");
    }
    if !context.dev && id.as_ref().is_some_and(is_dev_access_key) {
        section.problem(
            "id",
            "`test` and account numbers are the well-known access keys of `symbolon dev`; choose another",
        );
    }
    let secret = read_secret(section, context);
    let policy = read_policy(section, context);
    section.end();
    Some(WantedKey { line: section.line(), id: id?, secret: secret?, policy })
}

fn read_policy(section: &Section<'_, '_>, context: &Context<'_>) -> Option<Policy> {
    let (field, text) = document_text(section, context, "policy", "policy_file")?;
    text.and_then(|text| Policy::parse(&text).map_err(|problem| problem.to_string()))
        .inspect_err(|why| section.problem(field, why))
        .ok()
}

/// The text that `field` has, or the file that `file_field` names, or why it cannot be read; and which of both it is. If
/// both are there, that is a problem.
pub(super) fn document_text(
    section: &Section<'_, '_>,
    context: &Context<'_>,
    field: &'static str,
    file_field: &'static str,
) -> Option<(&'static str, Result<String, String>)> {
    match (section.text(field), section.text(file_field)) {
        (Some(text), None) => Some((field, Ok(text))),
        (None, Some(file)) => {
            let path = context.folder.join(file);
            let unreadable = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
            Some((file_field, fs::read_to_string(&path).map_err(unreadable)))
        }
        (None, None) => None,
        (Some(_), Some(_)) => {
            section.problem(field, &format!("{field} or {file_field} is taken, not both"));
            None
        }
    }
}

fn read_secret(section: &Section<'_, '_>, context: &Context<'_>) -> Option<Secret> {
    let (field, text) = match (section.text("secret_env"), section.text("secret_file")) {
        (Some(variable), None) => ("secret_env", secret_of_variable(&variable, context)),
        (None, Some(file)) => ("secret_file", secret_of_file(&context.folder.join(file))),
        (None, None) => {
            section.problem("", "needs secret_env = \"VARIABLE\" or secret_file = \"FILE\"");
            return None;
        }
        (Some(_), Some(_)) => {
            section.problem("", "takes secret_env or secret_file, not both");
            return None;
        }
    };
    match text {
        Ok(text) if text.is_empty() => section.problem(field, "the secret is empty"),
        Ok(text) if text.chars().any(|c| c.is_control() || c.is_whitespace()) => {
            section.problem(field, "the secret holds blanks or characters that do not print");
        }
        Ok(text) => return Some(Secret::new(&text)),
        Err(why) => section.problem(field, &why),
    }
    None
}

fn secret_of_variable(name: &str, context: &Context<'_>) -> Result<Zeroizing<String>, String> {
    let value = context.environment.get(name).filter(|value| !value.is_empty());
    value.map(|value| Zeroizing::new(value.clone())).ok_or_else(|| format!("the environment has no variable {name}"))
}

/// The text of a file that only its owner can read, without the line end that editors add.
fn secret_of_file(path: &Path) -> Result<Zeroizing<String>, String> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| format!("cannot read {shown}: {error}");
    let mode = fs::metadata(path).map_err(unreadable)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!("{shown} can be read by others (mode {:03o}); run `chmod 600 {shown}`", mode & 0o777));
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(unreadable)?);
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn read_provider(
    section: &Section<'_, '_>,
    context: &Context<'_>,
    owner: &str,
    seen: &mut Seen,
) -> Option<WantedProvider> {
    let given = section.needed_text("url");
    let clients = section.needed_texts("client_id_list");
    let thumbprints = section.texts("thumbprint_list");
    let tags = section.text_map("tags");
    section.end();
    let (given, clients) = (given?, clients?);
    check_provider(section, &given, &clients, thumbprints.as_deref(), tags.as_ref());
    let url = provider_url::parse(&given, &context.config.upstream)
        .inspect_err(|why| section.problem("url", &why.to_string()))
        .ok()?;
    if !seen.providers.insert((owner.to_owned(), url.clone())) {
        section.problem("url", "stands twice in this tenant");
    }
    let mut client_ids = Vec::new();
    for id in clients {
        // As IAM has them: each once.
        if !client_ids.contains(&id) {
            client_ids.push(id);
        }
    }
    let wanted = WantedProvider { url, client_ids, thumbprints, tags };
    if let Err(why) = wanted.fresh(OffsetDateTime::UNIX_EPOCH).check() {
        section.problem("", &why.to_string());
    }
    Some(wanted)
}

/// Checks a provider against the model, as a request that asks for it would be.
fn check_provider(
    section: &Section<'_, '_>,
    url: &str,
    clients: &[String],
    thumbprints: Option<&[String]>,
    tags: Option<&Tags>,
) {
    let tag = |(key, value): (&String, &String)| json!({ "Key": key, "Value": value });
    let request = json!({
        "Url": url,
        "ClientIDList": clients,
        "ThumbprintList": thumbprints.unwrap_or_default(),
        "Tags": tags.into_iter().flatten().map(tag).collect::<Vec<_>>(),
    });
    if let Some((_, shape)) = aws_query::shapes::iam_operation("CreateOpenIDConnectProvider") {
        for violation in validate::violations(shape, &request) {
            section.problem("", &violation.to_string());
        }
    }
}

/// Notes every limit of the model that an operation's input breaks; returns whether there is none.
pub(super) fn fits_model(section: &Section<'_, '_>, field: &str, operation: &str, input: &Value) -> bool {
    let violations = shapes::input_of(operation).map(|shape| validate::violations(shape, input)).unwrap_or_default();
    for violation in &violations {
        section.problem(field, &violation.to_string());
    }
    violations.is_empty()
}

/// What the wire would say.
pub(super) fn words(error: Error) -> String {
    let text = error.to_string();
    Fault::from(error).message.unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;
    use crate::pools::Settings;

    #[test]
    fn the_example_in_the_help_is_a_seed() {
        let (_, rest) = crate::cli::apply::EXAMPLE.split_once(':').unwrap();
        let (source, _) = rest.split_once("Applied again").unwrap();
        let config = Config::read(&Sources::default()).unwrap();
        let environment = Environment::from([("ACME_SECRET".to_owned(), "secret".to_owned())]);
        let context = Context { config: &config, environment: &environment, folder: Path::new("."), dev: false };
        let tenants =
            read(source, &context).map_err(|problems| problems.join("\n")).unwrap_or_else(|why| panic!("{why}"));
        let [tenant] = tenants.as_slice() else { panic!("{} tenants", tenants.len()) };
        assert_eq!(tenant.roles.len(), 1);
        assert!(tenant.keys[0].policy.is_some());
        assert_eq!([tenant.keys.len(), tenant.providers.len(), tenant.pools.len()], [1, 1, 1]);
        let pool = &tenant.pools[0];
        assert_eq!(pool.settings(Settings::default()).providers.login_keys().len(), 3);
        let roles = pool.roles.as_ref().unwrap();
        let sizes = [roles.by_kind.as_ref().unwrap().len(), roles.mappings.as_ref().unwrap().len()];
        assert_eq!((sizes, pool.principal_tags.len()), ([2, 1], 1));
    }
}
