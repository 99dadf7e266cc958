//! The parts that every document has, read from JSON strictly: what is unknown is refused with its place.

use serde_json::{Map, Value};

use super::Problem;
use crate::json;

/// Of which kind a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profile {
    /// The policy of an access key.
    AccessKey,
    /// The trust policy of a role.
    Trust,
}

/// The most characters of a document as it is given, white space included: what the IAM API takes.
const MAX_TEXT: usize = 131_072;

impl Profile {
    pub(super) fn is_trust(self) -> bool {
        self == Self::Trust
    }

    /// The most characters, not counting white space, as AWS does not: the quota of a managed policy, and that to which
    /// the one of a trust policy can be raised
    /// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>).
    fn max_characters(self) -> usize {
        match self {
            Self::AccessKey => 6144,
            Self::Trust => 4096,
        }
    }
}

/// Something of a document, with its place.
pub(super) type Placed<T> = (String, T);

/// The statements in a document.
///
/// # Errors
/// The first problem: no JSON, too long, an unknown member, an unknown version, no statements.
pub(super) fn statements(text: &str, profile: Profile) -> Result<Vec<Placed<Map<String, Value>>>, Problem> {
    let whole = |why: String| Problem::new("document", why);
    let most = profile.max_characters();
    if text.len() > MAX_TEXT || text.chars().filter(|c| !c.is_whitespace()).count() > most {
        return Err(whole(format!("at most {most} characters are taken, not counting white space")));
    }
    let document = json::read(text.as_bytes()).map_err(|error| whole(format!("no strict JSON: {error}")))?;
    let Value::Object(mut document) = document else {
        return Err(whole("a policy is a JSON object with Version and Statement".to_owned()));
    };
    only(&document, "", &["Version", "Id", "Statement"])?;
    if let Some(version) = document.get("Version")
        && !matches!(version.as_str(), Some("2012-10-17" | "2008-10-17"))
    {
        return Err(Problem::new("Version", "the versions are \"2012-10-17\" and \"2008-10-17\""));
    }
    if let Some(id) = document.get("Id") {
        text_at(id, "Id")?;
    }
    let statements = match document.remove("Statement") {
        Some(Value::Array(list)) if !list.is_empty() => {
            list.into_iter().enumerate().map(|(at, statement)| (format!("Statement[{at}]"), statement)).collect()
        }
        Some(Value::Array(_)) => return Err(Problem::new("Statement", "at least one statement is needed")),
        Some(one) => vec![("Statement".to_owned(), one)],
        None => return Err(Problem::new("Statement", "is needed: a statement or a list of them")),
    };
    let objects = statements.into_iter().map(|(place, statement)| match statement {
        Value::Object(object) => Ok((place, object)),
        _ => Err(Problem::new(place, "a statement is an object with Effect, Action and so on")),
    });
    objects.collect()
}

/// Refuses a member that is not one of `known`.
pub(super) fn only(object: &Map<String, Value>, place: &str, known: &[&str]) -> Result<(), Problem> {
    match object.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(Problem::new(member(place, name), format!("unknown; known here are {}", known.join(", ")))),
        None => Ok(()),
    }
}

/// The place of a member. Its name may be anyone's: it is shown without control characters, and not at any length.
pub(super) fn member(place: &str, name: &str) -> String {
    const MOST: usize = 128;
    let mut shown: String = name.chars().take(MOST).flat_map(char::escape_debug).collect();
    if name.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    if place.is_empty() { shown } else { format!("{place}.{shown}") }
}

/// A value that is one or a list: each, at least one.
pub(super) fn one_or_more<'a>(value: &'a Value, place: &str) -> Result<Vec<Placed<&'a Value>>, Problem> {
    match value {
        Value::Array(list) if list.is_empty() => Err(Problem::new(place, "at least one value is needed")),
        Value::Array(list) => {
            Ok(list.iter().enumerate().map(|(at, value)| (format!("{place}[{at}]"), value)).collect())
        }
        one => Ok(vec![(place.to_owned(), one)]),
    }
}

/// A text without control characters.
pub(super) fn text_at<'a>(value: &'a Value, place: &str) -> Result<&'a str, Problem> {
    let text = value.as_str().ok_or_else(|| Problem::new(place, "a text in quotes is needed"))?;
    if text.chars().any(char::is_control) {
        return Err(Problem::new(place, "control characters are not taken"));
    }
    Ok(text)
}

/// A text that policy variables have no place in, either: they are not served, and taken as they stand they would mean
/// something else than to their author.
pub(super) fn plain_text_at<'a>(value: &'a Value, place: &str) -> Result<&'a str, Problem> {
    let text = text_at(value, place)?;
    if text.contains("${") {
        return Err(Problem::new(place, "policy variables such as ${aws:username} are not taken: write what is meant"));
    }
    Ok(text)
}
