//! Statements, and the policies of access keys, which are made of them.

use serde_json::{Map, Value};

use super::condition::{self, Condition};
use super::document::{self, Placed, Profile, member, one_or_more, only, plain_text_at, text_at};
use super::pattern::Pattern;
use super::{Context, Decision, Problem, Question};

/// Whether a statement allows or denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

/// A statement, and what it is about: the resources of an access key's policy, or the principals of a role's.
#[derive(Clone, Debug)]
pub(super) struct Statement<About> {
    /// Where it stands in its document.
    pub(super) place: String,
    pub(super) effect: Effect,
    pub(super) about: About,
    actions: Vec<Pattern>,
    /// Whether it is about every action but these.
    all_but: bool,
    pub(super) conditions: Vec<Condition>,
}

impl<About> Statement<About> {
    /// Whether it is about an action.
    pub(super) fn is_of(&self, action: &str) -> bool {
        self.actions.iter().any(|pattern| pattern.fits(action)) != self.all_but
    }

    /// The first condition that does not hold.
    pub(super) fn unmet(&self, context: &Context) -> Option<&Condition> {
        self.conditions.iter().find(|condition| !condition.holds(context))
    }
}

/// Every statement of a document, with the part that differs read by `about`.
///
/// # Errors
/// The first problem.
pub(super) fn parse_all<About>(
    text: &str,
    profile: Profile,
    about: impl Fn(&Map<String, Value>, &str, Effect) -> Result<About, Problem>,
) -> Result<Vec<Statement<About>>, Problem> {
    let mut sids: Vec<String> = Vec::new();
    let mut statements = Vec::new();
    for (place, object) in document::statements(text, profile)? {
        if let Some(sid) = object.get("Sid") {
            let place = member(&place, "Sid");
            let sid = text_at(sid, &place)?;
            if !sid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(Problem::new(place, "a Sid has letters and digits only"));
            }
            // The console gives many statements an empty one.
            if !sid.is_empty() && sids.iter().any(|taken| taken == sid) {
                return Err(Problem::new(place, "another statement has the same Sid"));
            }
            sids.push(sid.to_owned());
        }
        let effect = effect(&object, &place)?;
        let about = about(&object, &place, effect)?;
        let (actions, all_but) = actions(&object, &place, profile)?;
        let conditions = match object.get("Condition") {
            Some(condition) => condition::parse(condition, &member(&place, "Condition"), profile)?,
            None => Vec::new(),
        };
        statements.push(Statement { place, effect, about, actions, all_but, conditions });
    }
    Ok(statements)
}

fn effect(object: &Map<String, Value>, place: &str) -> Result<Effect, Problem> {
    match object.get("Effect").map(Value::as_str) {
        Some(Some("Allow")) => Ok(Effect::Allow),
        Some(Some("Deny")) => Ok(Effect::Deny),
        Some(_) => Err(Problem::new(member(place, "Effect"), "the effects are \"Allow\" and \"Deny\"")),
        None => Err(Problem::new(member(place, "Effect"), "is needed: \"Allow\" or \"Deny\"")),
    }
}

fn actions(object: &Map<String, Value>, place: &str, profile: Profile) -> Result<(Vec<Pattern>, bool), Problem> {
    let (name, value, all_but) = match (object.get("Action"), object.get("NotAction")) {
        (Some(value), None) => ("Action", value, false),
        (None, Some(value)) => ("NotAction", value, true),
        (Some(_), Some(_)) => {
            return Err(Problem::new(member(place, "NotAction"), "Action or NotAction is taken, not both"));
        }
        (None, None) => return Err(Problem::new(member(place, "Action"), "is needed, or NotAction")),
    };
    let mut patterns = Vec::new();
    for (place, value) in one_or_more(value, &member(place, name))? {
        let text = plain_text_at(value, &place)?;
        if !is_action(text) {
            return Err(Problem::new(
                place,
                "an action is * or has the form service:Name, such as cognito-identity:GetId or cognito-identity:Get*",
            ));
        }
        let service = text.split(':').next().unwrap_or_default();
        if profile.is_trust() && !service.eq_ignore_ascii_case("sts") {
            return Err(Problem::new(
                place,
                "a trust policy speaks of the actions of sts alone, such as sts:AssumeRoleWithWebIdentity",
            ));
        }
        patterns.push(Pattern::in_any_case(text));
    }
    Ok((patterns, all_but))
}

/// Whether a text is `*`, or a service (or `*`) and the pattern of a name.
fn is_action(text: &str) -> bool {
    let Some((service, name)) = text.split_once(':') else { return text == "*" };
    let letters = |text: &str, more: &[u8]| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    (service == "*" || letters(service, b"-")) && letters(name, b"*?")
}

/// What the statements say, of which only those that `concern` the question count. The first that denies settles it.
pub(super) fn decide<About>(
    statements: &[Statement<About>],
    action: &str,
    context: &Context,
    concerns: impl Fn(&Statement<About>) -> bool,
) -> Decision {
    let mut decision = Decision::NotAllowed;
    for statement in statements {
        let speaks = statement.is_of(action) && concerns(statement) && statement.unmet(context).is_none();
        match statement.effect {
            Effect::Deny if speaks => return Decision::ExplicitDeny,
            Effect::Allow if speaks => decision = Decision::Allowed,
            _ => {}
        }
    }
    decision
}

/// What an access key may do: an identity-based policy.
#[derive(Clone, Debug)]
pub struct Policy {
    text: String,
    statements: Vec<Statement<Resources>>,
}

/// What a statement's action is done to.
type Resources = Vec<Pattern>;

impl Policy {
    /// The policy in a JSON document.
    ///
    /// # Errors
    /// The first problem, with its place.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let statements = parse_all(text, Profile::AccessKey, |object, place, _| resources(object, place))?;
        Ok(Self { text: text.to_owned(), statements })
    }

    /// The policy that allows nothing: for a key whose own cannot be read.
    #[must_use]
    pub fn of_nothing() -> Self {
        Self { text: String::new(), statements: Vec::new() }
    }

    /// What it says to a question.
    #[must_use]
    pub fn decide(&self, question: &Question<'_>) -> Decision {
        decide(&self.statements, question.action, question.context, |statement| {
            statement.about.iter().any(|pattern| pattern.fits(question.resource))
        })
    }

    /// The document as it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn resources(object: &Map<String, Value>, place: &str) -> Result<Resources, Problem> {
    for (name, why) in [
        ("NotResource", "is not taken: name the resources that are meant"),
        ("Principal", "is not taken: the access key itself is the principal"),
        ("NotPrincipal", "is not taken: the access key itself is the principal"),
    ] {
        if object.contains_key(name) {
            return Err(Problem::new(member(place, name), why));
        }
    }
    only(object, place, &["Sid", "Effect", "Action", "NotAction", "Resource", "Condition"])?;
    let place = member(place, "Resource");
    let value =
        object.get("Resource").ok_or_else(|| Problem::new(&place, "is needed: \"*\", an ARN or a list of them"))?;
    let read = |(place, value): Placed<&Value>| match plain_text_at(value, &place)? {
        text if text == "*" || text.starts_with("arn:") => Ok(Pattern::new(text)),
        _ => Err(Problem::new(
            place,
            "a resource is * or an ARN, such as arn:aws:cognito-identity:us-east-1:111122223333:identitypool/*",
        )),
    };
    one_or_more(value, &place)?.into_iter().map(read).collect()
}
