//! The roles that a seed asks for in a pool, checked by the same rules as `SetIdentityPoolRoles`.

use std::collections::BTreeMap;

use serde_json::json;

use super::document::Section;
use super::pool::ANY_POOL_ID;
use super::wanted::{fits_model, words};
use crate::cognito::roles::RoleMapping as OnTheWire;
use crate::error::Error;
use crate::pools::Settings;
use crate::pools::roles::{RoleMapping, Roles, Rule, is_role_arn};

/// The roles and role mappings of a pool that shall have these settings; nothing if its section names neither, or if
/// something is wrong.
pub(super) fn read(pool: &Section<'_, '_>, settings: &Settings, rules_limit: u32) -> Option<Roles> {
    if !(pool.has("roles") || pool.has("role_mapping")) {
        return None;
    }
    let by_kind = pool.section("roles").as_ref().map(read_by_kind).filter(|roles| !roles.is_empty());
    let mut fits = true;
    let mut mappings = BTreeMap::new();
    for section in pool.sections("role_mapping") {
        let Some((provider, mapping)) = read_mapping(&section) else {
            fits = false;
            continue;
        };
        if mappings.insert(provider.clone(), mapping.clone()).is_some() {
            section.problem("identity_provider", "stands twice in this pool");
        }
        let alone = Roles { by_kind: None, mappings: Some(BTreeMap::from([(provider, mapping)])) };
        fits &= check(&section, "", &alone, settings, rules_limit);
    }
    let roles = Roles { by_kind, mappings: Some(mappings).filter(|mappings| !mappings.is_empty()) };
    // What is wrong with one mapping was told at its line; what is left is how many there are.
    (fits && check(pool, "role_mapping", &roles, settings, rules_limit)).then_some(roles)
}

fn read_by_kind(section: &Section<'_, '_>) -> BTreeMap<String, String> {
    let role = |kind| Some((String::from(kind), read_role(section, kind)?));
    let roles = ["authenticated", "unauthenticated"].into_iter().filter_map(role).collect();
    section.end();
    roles
}

fn read_mapping(section: &Section<'_, '_>) -> Option<(String, RoleMapping)> {
    let provider = section.needed_text("identity_provider");
    let source = section.needed_choice("type", "\"Token\" or \"Rules\"");
    let otherwise = section.needed_choice("ambiguous_role_resolution", "\"AuthenticatedRole\" or \"Deny\"");
    let rules: Vec<Option<Rule>> = section.sections("mapping_rule").iter().map(read_rule).collect();
    section.end();
    let rules: Vec<Rule> = rules.into_iter().collect::<Option<_>>()?;
    let mapping = RoleMapping {
        source: source?,
        otherwise: Some(otherwise?),
        rules: Some(rules).filter(|rules| !rules.is_empty()),
    };
    Some((provider?, mapping))
}

fn read_rule(section: &Section<'_, '_>) -> Option<Rule> {
    let claim = section.needed_text("claim");
    let match_type = section.needed_choice("match_type", "\"Equals\", \"Contains\", \"StartsWith\" or \"NotEqual\"");
    let value = section.needed_text("value");
    let role_arn = section.needed("role_arn").then(|| read_role(section, "role_arn")).flatten();
    section.end();
    Some(Rule { claim: claim?, match_type: match_type?, value: value?, role_arn: role_arn? })
}

fn read_role(section: &Section<'_, '_>, field: &'static str) -> Option<String> {
    let arn = section.text(field)?;
    if is_role_arn(&arn) {
        return Some(arn);
    }
    section.problem(field, "must be the ARN of an IAM role: arn:aws:iam::ACCOUNT:role/NAME");
    None
}

/// Checks roles as a request that asks for them would be; returns whether they are in order.
fn check(section: &Section<'_, '_>, field: &str, roles: &Roles, settings: &Settings, rules_limit: u32) -> bool {
    let mappings: BTreeMap<_, _> =
        roles.mappings.iter().flatten().map(|(key, mapping)| (key, OnTheWire::from(mapping.clone()))).collect();
    let request = json!({
        "IdentityPoolId": ANY_POOL_ID,
        "Roles": roles.by_kind.clone().unwrap_or_default(),
        "RoleMappings": mappings,
    });
    if !fits_model(section, field, "SetIdentityPoolRoles", &request) {
        return false;
    }
    let mut fits = true;
    for problem in roles.problems(settings, rules_limit) {
        fits = false;
        match problem {
            Error::NotAMappingProvider(_) => section.problem(
                "identity_provider",
                "this identity_pool section has no provider of this name; a user pool's is PROVIDER_NAME:CLIENT_ID",
            ),
            other => section.problem(field, &words(other)),
        }
    }
    fits
}
