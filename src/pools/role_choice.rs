//! Which role the user of a pool takes on: a pure function of the pool's roles, the logins of the call and what it asks
//! for (<https://docs.aws.amazon.com/cognito/latest/developerguide/role-based-access-control.html>).

use serde_json::{Map, Value};

use super::roles::{MatchType, Otherwise, RoleMapping, RoleSource, Roles, Rule};
use crate::error::{Error, Result};

/// The role that a user pool's token prefers, and those that it lists.
const PREFERRED_ROLE: &str = "cognito:preferred_role";
const LISTED_ROLES: &str = "cognito:roles";

/// Who asks for a role.
#[derive(Clone, Copy, Debug)]
pub enum Asking<'a> {
    /// Someone who knows the id of an identity without logins.
    Guest,
    /// A user with these logins, of which the first whose provider has a mapping decides.
    User(&'a [MappedLogin<'a>]),
}

/// A login as role mappings see it.
#[derive(Clone, Debug)]
pub struct MappedLogin<'a> {
    /// The names that a mapping may call its provider by, the most particular first.
    pub names: Vec<String>,
    /// The claims of its token.
    pub claims: &'a Map<String, Value>,
}

/// The ARN of the role for who is asking. `custom` is the call's `CustomRoleArn`.
///
/// # Errors
/// [`Error::NoUsableRole`] if the pool has no role of this kind, [`Error::RoleMappingDenied`] if the mapping says so,
/// [`Error::RoleForbidden`] for a `custom` role that no mapping gives.
pub fn choose<'a>(roles: &'a Roles, asking: Asking<'a>, custom: Option<&'a str>) -> Result<&'a str> {
    let of_kind = |kind: &str| {
        let found = roles.by_kind.as_ref().and_then(|by_kind| by_kind.get(kind));
        found.map(String::as_str).ok_or(Error::NoUsableRole)
    };
    let forbidden = |role: &str| Error::RoleForbidden(role.to_owned());
    let Asking::User(logins) = asking else {
        return custom.map_or_else(|| of_kind("unauthenticated"), |role| Err(forbidden(role)));
    };
    let mappings = || roles.mappings.iter().flatten();
    let mapped = logins.iter().find_map(|login| {
        let mapping = login.names.iter().find_map(|name| mappings().find(|(provider, _)| *provider == name));
        mapping.map(|(provider, mapping)| (login, provider, mapping))
    });
    let Some((login, provider, mapping)) = mapped else {
        return custom.map_or_else(|| of_kind("authenticated"), |role| Err(forbidden(role)));
    };
    let offered = offered(mapping, login.claims);
    if let Some(custom) = custom {
        return if offered.all.contains(&custom) { Ok(custom) } else { Err(forbidden(custom)) };
    }
    match (offered.first, mapping.otherwise) {
        (Some(role), _) => Ok(role),
        (None, Some(Otherwise::AuthenticatedRole)) => of_kind("authenticated"),
        (None, Some(Otherwise::Deny) | None) => Err(Error::RoleMappingDenied(provider.clone())),
    }
}

/// What a mapping has for the bearer of some claims.
struct Offered<'a> {
    /// What it gives unless told.
    first: Option<&'a str>,
    /// What it gives if asked for.
    all: Vec<&'a str>,
}

fn offered<'a>(mapping: &'a RoleMapping, claims: &'a Map<String, Value>) -> Offered<'a> {
    match mapping.source {
        RoleSource::Token => Offered {
            first: claims.get(PREFERRED_ROLE).and_then(Value::as_str),
            all: claims
                .get(LISTED_ROLES)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect(),
        },
        RoleSource::Rules => {
            let holding = mapping.rules.iter().flatten().filter(|rule| holds(rule, claims));
            let all: Vec<&str> = holding.map(|rule| rule.role_arn.as_str()).collect();
            Offered { first: all.first().copied(), all }
        }
    }
}

/// Whether a rule holds. One whose claim the token lacks is not asked, whatever it compares.
fn holds(rule: &Rule, claims: &Map<String, Value>) -> bool {
    let values = match claims.get(&rule.claim) {
        Some(Value::Array(list)) => list.iter().filter_map(single).collect(),
        Some(one) => single(one).into_iter().collect(),
        None => Vec::new(),
    };
    let wanted = rule.value.as_str();
    !values.is_empty()
        && match rule.match_type {
            MatchType::Equals => values.iter().any(|value| value == wanted),
            MatchType::Contains => values.iter().any(|value| value.contains(wanted)),
            MatchType::StartsWith => values.iter().any(|value| value.starts_with(wanted)),
            MatchType::NotEqual => values.iter().all(|value| value != wanted),
        }
}

/// A claim of one value as text.
fn single(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    const PROVIDER: &str = "idp.example.com";

    fn arn(name: &str) -> String {
        format!("arn:aws:iam::111122223333:role/{name}")
    }

    fn roles(mapping: Option<RoleMapping>) -> Roles {
        let kinds = [("authenticated", "user"), ("unauthenticated", "guest")];
        Roles {
            by_kind: Some(kinds.map(|(kind, role)| (kind.to_owned(), arn(role))).into()),
            mappings: mapping.map(|mapping| BTreeMap::from([(PROVIDER.to_owned(), mapping)])),
        }
    }

    fn token(otherwise: Otherwise) -> RoleMapping {
        RoleMapping { source: RoleSource::Token, otherwise: Some(otherwise), rules: None }
    }

    fn rules(otherwise: Otherwise, rules: &[(&str, MatchType, &str, &str)]) -> RoleMapping {
        let rule = |(claim, match_type, value, role): &(&str, MatchType, &str, &str)| Rule {
            claim: (*claim).to_owned(),
            match_type: *match_type,
            value: (*value).to_owned(),
            role_arn: arn(role),
        };
        RoleMapping {
            source: RoleSource::Rules,
            otherwise: Some(otherwise),
            rules: Some(rules.iter().map(rule).collect()),
        }
    }

    /// The name of the role, or how it was refused.
    fn chosen(roles: &Roles, asking: Asking<'_>, custom: Option<&str>) -> String {
        let custom = custom.map(arn);
        match choose(roles, asking, custom.as_deref()) {
            Ok(role) => role.rsplit('/').next().unwrap().to_owned(),
            Err(Error::NoUsableRole) => "!none".to_owned(),
            Err(Error::RoleMappingDenied(provider)) => format!("!denied {provider}"),
            Err(Error::RoleForbidden(role)) => format!("!forbidden {}", role.rsplit('/').next().unwrap()),
            Err(other) => panic!("{other}"),
        }
    }

    fn of_user(roles: &Roles, claims: &Value, custom: Option<&str>) -> String {
        let claims = claims.as_object().unwrap();
        let login = MappedLogin { names: vec![PROVIDER.to_owned()], claims };
        chosen(roles, Asking::User(&[login]), custom)
    }

    #[test]
    fn without_a_mapping_the_kind_of_identity_decides() {
        let set = roles(None);
        assert_eq!(chosen(&set, Asking::Guest, None), "guest");
        assert_eq!(chosen(&set, Asking::Guest, Some("user")), "!forbidden user");
        assert_eq!(of_user(&set, &json!({}), None), "user");
        assert_eq!(of_user(&set, &json!({ "cognito:preferred_role": arn("boss") }), None), "user");
        assert_eq!(of_user(&set, &json!({}), Some("user")), "!forbidden user");
        let none = Roles::default();
        assert_eq!(chosen(&none, Asking::Guest, None), "!none");
        assert_eq!(of_user(&none, &json!({}), None), "!none");
        let guests_only =
            Roles { by_kind: Some([("unauthenticated".to_owned(), arn("guest"))].into()), mappings: None };
        assert_eq!(of_user(&guests_only, &json!({}), None), "!none");
        assert_eq!(chosen(&roles(Some(token(Otherwise::Deny))), Asking::Guest, None), "guest");
    }

    #[test]
    fn a_mapping_by_token_takes_the_claims_word() {
        let both = json!({ "cognito:preferred_role": arn("boss"), "cognito:roles": [arn("boss"), arn("clerk")] });
        let denied = format!("!denied {PROVIDER}");
        for (otherwise, claims, custom, expected) in [
            (Otherwise::Deny, both.clone(), None, "boss"),
            (Otherwise::Deny, both.clone(), Some("clerk"), "clerk"),
            (Otherwise::Deny, both.clone(), Some("root"), "!forbidden root"),
            (Otherwise::AuthenticatedRole, both.clone(), Some("user"), "!forbidden user"),
            (Otherwise::Deny, json!({}), None, denied.as_str()),
            (Otherwise::AuthenticatedRole, json!({}), None, "user"),
            (Otherwise::AuthenticatedRole, json!({}), Some("boss"), "!forbidden boss"),
            // Several roles and no preference are ambiguous, and so is one that is not text.
            (Otherwise::Deny, json!({ "cognito:roles": [arn("clerk")] }), None, denied.as_str()),
            (Otherwise::Deny, json!({ "cognito:roles": [arn("clerk")] }), Some("clerk"), "clerk"),
            (Otherwise::Deny, json!({ "cognito:preferred_role": [arn("boss")] }), None, denied.as_str()),
            // A preference is no entry of the list.
            (Otherwise::Deny, json!({ "cognito:preferred_role": arn("boss") }), Some("boss"), "!forbidden boss"),
            (Otherwise::Deny, json!({ "cognito:roles": arn("clerk") }), Some("clerk"), "!forbidden clerk"),
        ] {
            assert_eq!(of_user(&roles(Some(token(otherwise))), &claims, custom), expected, "{claims} {custom:?}");
        }
    }

    #[test]
    fn every_match_type_has_its_meaning() {
        use MatchType::{Contains, Equals, NotEqual, StartsWith};
        for (match_type, value, claim, holds) in [
            (Equals, "a", json!("a"), true),
            (Equals, "a", json!("A"), false),
            (Equals, "a", json!("ab"), false),
            (Equals, "7", json!(7), true),
            (Equals, "true", json!(true), true),
            (Equals, "a", json!(["b", "a"]), true),
            (Equals, "a", json!(["b"]), false),
            (Contains, "b", json!("abc"), true),
            (Contains, "d", json!("abc"), false),
            (Contains, "b", json!(["abc", "x"]), true),
            (StartsWith, "ab", json!("abc"), true),
            (StartsWith, "bc", json!("abc"), false),
            (StartsWith, "ab", json!(["x", "abc"]), true),
            (NotEqual, "a", json!("b"), true),
            (NotEqual, "a", json!("a"), false),
            (NotEqual, "a", json!(["a", "b"]), false),
            (NotEqual, "a", json!(["b", "c"]), true),
            // As if it were not there.
            (NotEqual, "a", json!(null), false),
            (NotEqual, "a", json!([]), false),
            (NotEqual, "a", json!({ "a": "b" }), false),
            (Equals, "a", json!([["a"]]), false),
        ] {
            let set = roles(Some(rules(Otherwise::AuthenticatedRole, &[("c", match_type, value, "mapped")])));
            let expected = if holds { "mapped" } else { "user" };
            assert_eq!(of_user(&set, &json!({ "c": claim }), None), expected, "{match_type:?} {value} {claim}");
        }
        let absent = roles(Some(rules(Otherwise::AuthenticatedRole, &[("c", NotEqual, "a", "mapped")])));
        assert_eq!(of_user(&absent, &json!({ "d": "b" }), None), "user");
    }

    #[test]
    fn the_first_rule_that_holds_wins_unless_another_is_asked_for() {
        use MatchType::{Equals, StartsWith};
        let list = [("dep", Equals, "x", "one"), ("dep", StartsWith, "a", "two"), ("dep", Equals, "ab", "three")];
        let set = roles(Some(rules(Otherwise::Deny, &list)));
        let claims = json!({ "dep": "ab" });
        assert_eq!(of_user(&set, &claims, None), "two");
        assert_eq!(of_user(&set, &claims, Some("three")), "three");
        assert_eq!(of_user(&set, &claims, Some("one")), "!forbidden one");
        assert_eq!(of_user(&set, &claims, Some("user")), "!forbidden user");
        assert_eq!(of_user(&set, &json!({ "dep": "z" }), None), format!("!denied {PROVIDER}"));
        let lenient = roles(Some(rules(Otherwise::AuthenticatedRole, &list)));
        assert_eq!(of_user(&lenient, &json!({ "dep": "z" }), None), "user");
        // Roles of the token are not asked where rules decide.
        assert_eq!(of_user(&lenient, &json!({ "cognito:preferred_role": arn("boss") }), None), "user");
    }

    #[test]
    fn the_first_login_with_a_mapping_decides_under_its_most_particular_name() {
        let mapping = |role| rules(Otherwise::Deny, &[("c", MatchType::Equals, "v", role)]);
        let set = Roles {
            by_kind: roles(None).by_kind,
            mappings: Some(BTreeMap::from([
                ("pool".to_owned(), mapping("by-name")),
                ("pool:client".to_owned(), mapping("by-client")),
                ("second".to_owned(), mapping("second")),
            ])),
        };
        let claims = json!({ "c": "v" });
        let claims = claims.as_object().unwrap();
        let login =
            |names: &[&str]| MappedLogin { names: names.iter().map(|name| (*name).to_owned()).collect(), claims };
        let of = |logins: &[MappedLogin<'_>]| chosen(&set, Asking::User(logins), None);
        assert_eq!(of(&[login(&["pool:client", "pool"])]), "by-client");
        assert_eq!(of(&[login(&["pool:other", "pool"])]), "by-name");
        assert_eq!(of(&[login(&["unmapped"]), login(&["second"]), login(&["pool"])]), "second");
        assert_eq!(of(&[login(&["unmapped"])]), "user");
    }
}
