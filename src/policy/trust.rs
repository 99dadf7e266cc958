//! Trust policies: who may take on a role, as far as someone with a login of a provider is concerned.

use serde_json::{Map, Value};

use super::document::{Profile, member, one_or_more, only, plain_text_at};
use super::statement::{self, Effect, Statement};
use super::{Context, Decision, Problem};

/// Who may take on a role.
#[derive(Clone, Debug)]
pub struct TrustPolicy {
    text: String,
    statements: Vec<Statement<Principals>>,
}

/// Of whom a statement speaks. Principals of other kinds are read, and never are someone with a login.
#[derive(Clone, Debug, Default)]
struct Principals {
    /// Whether it speaks of everyone.
    everyone: bool,
    /// The names of providers.
    federated: Vec<String>,
}

impl Principals {
    fn names(&self, federated: &[&str]) -> bool {
        self.federated.iter().any(|name| federated.contains(&name.as_str()))
    }
}

impl TrustPolicy {
    /// The trust policy in a JSON document.
    ///
    /// # Errors
    /// The first problem, with its place.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        Ok(Self { text: text.to_owned(), statements: statement::parse_all(text, Profile::Trust, principals)? })
    }

    /// Whether someone whose login's provider is known by the names `federated` may do `action`.
    ///
    /// More is asked of a statement that allows than AWS asks. It must name the provider: `*` lets nobody in, though it
    /// keeps everybody out where it denies. And it must name whom the login is for: one of `audience_keys` (such as
    /// `accounts.google.com:aud`; with none of them nobody is let in) under `StringEquals`, or under `StringLike`
    /// without wildcards, so that its absence does not do. A role that trusts every client of a provider trusts
    /// strangers.
    #[must_use]
    pub fn decide(&self, action: &str, federated: &[&str], context: &Context, audience_keys: &[&str]) -> Decision {
        statement::decide(&self.statements, action, context, |statement| {
            let named = statement.about.names(federated);
            match statement.effect {
                Effect::Allow => named && statement.conditions.iter().any(|condition| condition.pins(audience_keys)),
                Effect::Deny => named || statement.about.everyone,
            }
        })
    }

    /// Why [`decide`](Self::decide) does not allow it, for the log of who can mend the document.
    #[must_use]
    pub fn objection(&self, action: &str, federated: &[&str], context: &Context, audience_keys: &[&str]) -> String {
        let of_action = || self.statements.iter().filter(|statement| statement.is_of(action));
        let denies = |statement: &&Statement<Principals>| {
            let about = &statement.about;
            statement.effect == Effect::Deny
                && (about.everyone || about.names(federated))
                && statement.unmet(context).is_none()
        };
        if let Some(denying) = of_action().find(denies) {
            return format!("{} denies {action}", denying.place);
        }
        let mut allowing: Vec<_> = of_action().filter(|statement| statement.effect == Effect::Allow).collect();
        if allowing.is_empty() {
            return format!("no statement allows {action}");
        }
        allowing.retain(|statement| statement.about.names(federated));
        if allowing.is_empty() {
            return format!(
                "no statement that allows {action} names its provider under Federated: {}",
                federated.join(" or ")
            );
        }
        allowing.retain(|statement| statement.conditions.iter().any(|condition| condition.pins(audience_keys)));
        if allowing.is_empty() {
            return format!(
                "no statement that allows {action} names the pool: StringEquals, or StringLike without wildcards, of {}",
                audience_keys.join(" or ")
            );
        }
        let unmet = allowing.iter().filter_map(|statement| {
            let condition = statement.unmet(context)?;
            Some(format!("{}.Condition: {} does not hold", statement.place, condition.told))
        });
        unmet.collect::<Vec<_>>().join("; ")
    }

    /// The document as it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn principals(object: &Map<String, Value>, place: &str, effect: Effect) -> Result<Principals, Problem> {
    for (name, why) in [
        ("NotPrincipal", "is not taken: name the principals that are trusted"),
        ("Resource", "is not taken: the role itself is the resource"),
        ("NotResource", "is not taken: the role itself is the resource"),
    ] {
        if object.contains_key(name) {
            return Err(Problem::new(member(place, name), why));
        }
    }
    only(object, place, &["Sid", "Effect", "Principal", "Action", "NotAction", "Condition"])?;
    let place = member(place, "Principal");
    let kinds = match object.get("Principal") {
        Some(Value::String(text)) if text == "*" => return Ok(Principals { everyone: true, federated: Vec::new() }),
        Some(Value::Object(kinds)) if !kinds.is_empty() => kinds,
        _ => return Err(Problem::new(place, r#"is needed: {"Federated": …}, or {"AWS": …}, {"Service": …}, "*""#)),
    };
    only(kinds, &place, &["Federated", "AWS", "Service", "CanonicalUser"])?;
    let mut principals = Principals::default();
    for (kind, names) in kinds {
        for (place, name) in one_or_more(names, &member(&place, kind))? {
            let name = plain_text_at(name, &place)?;
            let whole = name == "*";
            if name.is_empty() || (!whole && name.contains(['*', '?'])) {
                return Err(Problem::new(place, "a whole name is needed: * and ? stand for nothing within it"));
            }
            match kind.as_str() {
                "Federated" if whole && effect == Effect::Allow => {
                    return Err(Problem::new(place, "* would trust every provider: name the one that is trusted"));
                }
                "Federated" | "AWS" if whole => principals.everyone = true,
                "Federated" => principals.federated.push(name.to_owned()),
                _ => {}
            }
        }
    }
    Ok(principals)
}
