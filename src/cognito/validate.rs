//! A request against its shape: first the JSON types, then the model's limits and the words for what breaks them.
//!
//! Three steps, since authorization stands between the first two and the third: [`check_types`], [`normalize`],
//! [`violations`]. A request that is in order is walked without allocating.
//!
//! The words are those of the service (`ValidationException`), including that both failures of one value are told, and
//! that elements of lists and maps are told once, with every limit they have in one bracket. Ours alone are:
//!
//! - The order of clauses: members as in the model; of one value first its length or range, then its pattern, then its
//!   set of values; of a map first its size, then keys, then values, then what the values hold, in the order of the
//!   object read. The service's own order is not known.
//! - Values of shapes marked sensitive are shown as `***`. The service shows them.
//! - A value is shown up to [`MAX_ECHO`] characters, a map's key in a path up to [`MAX_KEY`], and no more than
//!   [`MAX_CLAUSES`] clauses are looked for.

use std::fmt::{self, Display, Write as _};

use serde_json::{Map, Value};

use super::json::Malformed;
use super::model::{Bounds, Kind, Pattern, Shape, Text};

/// The most characters of a value that a message shows.
pub const MAX_ECHO: usize = 1024;
/// The most characters of a map's key that a path shows: as many as any key of the model may have.
pub const MAX_KEY: usize = 128;
/// The most clauses a message has.
pub const MAX_CLAUSES: usize = 64;

/// Checks that `value` and all in it have the JSON types that `shape` asks for. `null` counts as absent, unknown
/// members are ignored, and a number with a fraction of zero is a whole number.
///
/// # Errors
/// If some type is wrong.
pub fn check_types(shape: &Shape, value: &Value) -> Result<(), Malformed> {
    if value.is_null() {
        return Ok(());
    }
    match (&shape.kind, value) {
        (Kind::Structure(members), Value::Object(object)) => members
            .iter()
            .filter_map(|member| object.get(member.name).map(|value| (member.shape, value)))
            .try_for_each(|(shape, value)| check_types(shape, value)),
        (Kind::List { element, .. }, Value::Array(list)) => {
            list.iter().try_for_each(|value| check_types(element, value))
        }
        (Kind::Map { value: shape, .. }, Value::Object(object)) => {
            object.values().try_for_each(|value| check_types(shape, value))
        }
        (Kind::Text(_), Value::String(_)) | (Kind::Boolean, Value::Bool(_)) => Ok(()),
        (Kind::Integer(_), Value::Number(_)) if whole(value).is_some_and(|number| i32::try_from(number).is_ok()) => {
            Ok(())
        }
        (Kind::Long(_), Value::Number(_)) if whole(value).is_some() => Ok(()),
        (kind, _) => Err(Malformed::new(mismatch(kind, value))),
    }
}

fn mismatch(expected: &Kind, found: &Value) -> String {
    let expected = match expected {
        Kind::Structure(_) | Kind::Map { .. } => return "Expected map or null".to_owned(),
        Kind::List { .. } => return "Expected list or null".to_owned(),
        Kind::Text(_) => "a String",
        Kind::Integer(_) => "an Integer",
        Kind::Long(_) => "a Long",
        Kind::Boolean => "a Boolean",
    };
    let found = match found {
        Value::Object(_) => return "Start of structure or map found where not expected.".to_owned(),
        Value::Array(_) => return "Start of list found where not expected.".to_owned(),
        Value::Null => "NULL_VALUE",
        Value::Bool(true) => "TRUE_VALUE",
        Value::Bool(false) => "FALSE_VALUE",
        Value::Number(_) => "NUMBER_VALUE",
        Value::String(_) => "STRING_VALUE",
    };
    format!("{found} can not be converted to {expected}")
}

/// The whole number in `value`, also when it is written with a fraction of zero or an exponent.
fn whole(value: &Value) -> Option<i64> {
    // 2^63, the first float beyond an i64.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    value.as_i64().or_else(|| {
        let number = value.as_f64().filter(|_| value.is_f64())?;
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and within range")]
        (number.fract() == 0.0 && (-BEYOND..BEYOND).contains(&number)).then_some(number as i64)
    })
}

/// Rewrites a `value` that [`check_types`] accepts so that it says the same in one way only: absent members are
/// absent rather than `null`, and whole numbers are integers (`10.0` is `10`), as `serde` wants them.
pub fn normalize(shape: &Shape, value: &mut Value) {
    match (&shape.kind, &mut *value) {
        (Kind::Structure(members), Value::Object(object)) => {
            object.retain(|_, value| !value.is_null());
            for member in *members {
                if let Some(value) = object.get_mut(member.name) {
                    normalize(member.shape, value);
                }
            }
        }
        (Kind::List { element, .. }, Value::Array(list)) => {
            for value in list {
                normalize(element, value);
            }
        }
        (Kind::Map { value: shape, .. }, Value::Object(object)) => {
            for value in object.values_mut() {
                normalize(shape, value);
            }
        }
        (Kind::Integer(_) | Kind::Long(_), Value::Number(number)) if number.is_f64() => {
            if let Some(number) = whole(value) {
                *value = number.into();
            }
        }
        _ => {}
    }
}

/// One broken limit, in the words of the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The offending value as shown, quoted, or `null`.
    value: String,
    /// Where it stands.
    path: String,
    /// What it breaks.
    constraint: String,
}

impl Violation {
    /// A whole number above a limit that this installation sets below the model's.
    #[must_use]
    pub fn above(path: &str, value: i64, limit: i64) -> Self {
        Self {
            value: format!("'{value}'"),
            path: path.to_owned(),
            constraint: format!("Member must have value less than or equal to {limit}"),
        }
    }
}

impl Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { value, path, constraint } = self;
        write!(f, "Value {value} at '{path}' failed to satisfy constraint: {constraint}")
    }
}

/// What of `value`, which [`check_types`] accepts, breaks the limits of `shape`: the first [`MAX_CLAUSES`] at most.
#[must_use]
pub fn violations(shape: &Shape, value: &Value) -> Vec<Violation> {
    let mut found = Vec::new();
    walk(shape, value, &Path { parent: None, step: Step::Root }, &mut found);
    found.truncate(MAX_CLAUSES);
    found
}

/// The message of a `ValidationException`.
#[must_use]
pub fn message(violations: &[Violation]) -> String {
    let plural = if violations.len() == 1 { "" } else { "s" };
    let mut text = format!("{} validation error{plural} detected: ", violations.len());
    for (position, violation) in violations.iter().enumerate() {
        let separator = if position == 0 { "" } else { "; " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}{violation}");
    }
    text
}

fn walk(shape: &Shape, value: &Value, path: &Path<'_>, found: &mut Vec<Violation>) {
    let mut report = |constraint: String| found.push(path.violation(shape, value, constraint));
    for rule in rules(shape).filter(|rule| rule.is_broken_by(value)) {
        report(rule.to_string());
    }
    match (&shape.kind, value) {
        (Kind::Structure(members), Value::Object(object)) => {
            for member in *members {
                let path = path.then(Step::Member(member.name));
                match object.get(member.name).filter(|value| !value.is_null()) {
                    Some(value) => walk(member.shape, value, &path, found),
                    None if member.required => found.push(path.null()),
                    None => {}
                }
                if found.len() >= MAX_CLAUSES {
                    return;
                }
            }
        }
        (Kind::List { element, .. }, Value::Array(list)) => {
            if is_nested(element) {
                let places = (1..).map(Step::Position);
                walk_each(element, places.zip(list), path, found);
            } else if list.iter().any(|value| breaks_any(element, value)) {
                report(format!("Member must satisfy constraint: {}", Bracket::of(element, list.iter())));
            }
        }
        (Kind::Map { key: key_shape, value: value_shape, .. }, Value::Object(object)) => {
            if object.keys().any(|key| breaks_any_as_key(key_shape, key)) {
                report(format!("Map keys must satisfy constraint: {}", Bracket::of(key_shape, [].iter())));
            }
            if is_nested(value_shape) {
                walk_each(value_shape, object.iter().map(|(key, value)| (Step::Key(key), value)), path, found);
            } else if object.values().any(|value| breaks_any(value_shape, value)) {
                report(format!("Map value must satisfy constraint: {}", Bracket::of(value_shape, object.values())));
            }
        }
        _ => {}
    }
}

/// Walks the elements of a list or map that are more than one plain value each.
fn walk_each<'a>(
    shape: &Shape,
    elements: impl Iterator<Item = (Step<'a>, &'a Value)>,
    path: &Path<'_>,
    found: &mut Vec<Violation>,
) {
    for (step, value) in elements {
        let place = path.then(step);
        let path = place.then(Step::Member("member"));
        if value.is_null() {
            found.push(path.null());
        } else {
            walk(shape, value, &path, found);
        }
        if found.len() >= MAX_CLAUSES {
            return;
        }
    }
}

/// Whether violations within a `shape` have paths of their own.
fn is_nested(shape: &Shape) -> bool {
    matches!(shape.kind, Kind::Structure(_) | Kind::List { .. } | Kind::Map { .. })
}

fn breaks_any(shape: &Shape, value: &Value) -> bool {
    value.is_null() || rules(shape).any(|rule| rule.is_broken_by(value))
}

fn breaks_any_as_key(shape: &Shape, key: &str) -> bool {
    rules(shape).any(|rule| rule.is_broken_by_text(key))
}

/// One limit.
#[derive(Clone, Copy)]
enum Rule {
    MaxLength(i64),
    MinLength(i64),
    MaxValue(i64),
    MinValue(i64),
    Matches(&'static Pattern),
    OneOf(&'static [&'static str]),
    NotNull,
}

/// The limits of a value of `shape` itself, not of what it holds; the most stands before the least, as the service has
/// it in brackets.
fn rules(shape: &Shape) -> impl Iterator<Item = Rule> + use<> {
    let length = |size: &Bounds| [size.max.map(Rule::MaxLength), size.min.map(Rule::MinLength), None, None];
    let range = |range: &Bounds| [range.max.map(Rule::MaxValue), range.min.map(Rule::MinValue), None, None];
    let rules = match &shape.kind {
        Kind::Structure(_) | Kind::Boolean => [None; 4],
        Kind::List { size, .. } | Kind::Map { size, .. } => length(size),
        Kind::Integer(bounds) | Kind::Long(bounds) => range(bounds),
        Kind::Text(Text { length: size, pattern, one_of, .. }) => {
            let [max, min, ..] = length(size);
            [max, min, pattern.map(Rule::Matches), (!one_of.is_empty()).then_some(Rule::OneOf(one_of))]
        }
    };
    rules.into_iter().flatten()
}

impl Rule {
    fn is_broken_by(self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.is_broken_by_text(text),
            Value::Array(list) => self.is_broken_by_length(|| list.len()),
            Value::Object(object) => self.is_broken_by_length(|| object.len()),
            Value::Number(_) => match self {
                Self::MaxValue(max) => whole(value).is_none_or(|number| number > max),
                Self::MinValue(min) => whole(value).is_none_or(|number| number < min),
                _ => false,
            },
            Value::Null | Value::Bool(_) => false,
        }
    }

    fn is_broken_by_text(self, text: &str) -> bool {
        match self {
            Self::Matches(pattern) => !(pattern.matches)(text),
            Self::OneOf(values) => !values.contains(&text),
            // Bytes are never fewer than characters, and one byte is already a character: no need to count.
            Self::MaxLength(max) if i64::try_from(text.len()).is_ok_and(|bytes| bytes <= max) => false,
            Self::MinLength(..=1) if !text.is_empty() => false,
            _ => self.is_broken_by_length(|| text.chars().count()),
        }
    }

    fn is_broken_by_length(self, length: impl FnOnce() -> usize) -> bool {
        let length = || i64::try_from(length()).unwrap_or(i64::MAX);
        match self {
            Self::MaxLength(max) => length() > max,
            Self::MinLength(min) => length() < min,
            _ => false,
        }
    }
}

impl Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MaxLength(max) => write!(f, "Member must have length less than or equal to {max}"),
            Self::MinLength(min) => write!(f, "Member must have length greater than or equal to {min}"),
            Self::MaxValue(max) => write!(f, "Member must have value less than or equal to {max}"),
            Self::MinValue(min) => write!(f, "Member must have value greater than or equal to {min}"),
            Self::Matches(pattern) => write!(f, "Member must satisfy regular expression pattern: {}", pattern.text),
            Self::OneOf(values) => write!(f, "Member must satisfy enum value set: [{}]", values.join(", ")),
            Self::NotNull => f.write_str("Member must not be null"),
        }
    }
}

/// All limits of an element, broken or not: `[…, …]`. That it must not be null is said only if one is.
struct Bracket<'a> {
    shape: &'a Shape,
    with_null: bool,
}

impl<'a> Bracket<'a> {
    fn of<'v>(shape: &'a Shape, mut values: impl Iterator<Item = &'v Value>) -> Self {
        Self { shape, with_null: values.any(Value::is_null) }
    }
}

impl Display for Bracket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, rule) in rules(self.shape).chain(self.with_null.then_some(Rule::NotNull)).enumerate() {
            write!(f, "{}{rule}", if position == 0 { "[" } else { ", " })?;
        }
        f.write_char(']')
    }
}

/// Where a value stands, as a chain on the stack; it becomes text only for a violation.
struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Member(&'static str),
    Position(usize),
    Key(&'a str),
}

impl<'a> Path<'a> {
    fn then(&'a self, step: Step<'a>) -> Path<'a> {
        Path { parent: Some(self), step }
    }

    fn violation(&self, shape: &Shape, value: &Value, constraint: String) -> Violation {
        let mut echo = Capped::new(MAX_ECHO);
        let _ = show(shape, value, &mut echo);
        Violation { value: format!("'{}'", echo.text), path: self.to_string(), constraint }
    }

    fn null(&self) -> Violation {
        Violation { value: "null".to_owned(), path: self.to_string(), constraint: Rule::NotNull.to_string() }
    }
}

impl Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
            if !matches!(parent.step, Step::Root) {
                f.write_char('.')?;
            }
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Member(name) => lower_first(name, f),
            Step::Position(position) => write!(f, "{position}"),
            Step::Key(key) => {
                let mut shown = Capped::new(MAX_KEY);
                let _ = shown.write_str(key);
                f.write_str(&shown.text)
            }
        }
    }
}

fn lower_first(name: &str, out: &mut impl fmt::Write) -> fmt::Result {
    let mut letters = name.chars();
    if let Some(first) = letters.next() {
        out.write_char(first.to_ascii_lowercase())?;
    }
    out.write_str(letters.as_str())
}

/// Writes `value` as Java's `toString` would: `{k=v, k2=v2}`, `[a, b]`; a structure as a map of the members it has.
///
/// Deliberate difference (contract V7): the service shows values of sensitive shapes, which puts login tokens and
/// developers' user ids into clients' logs. Here `Logins` reads `{provider=***}`; an empty value, which hides nothing,
/// stays empty.
fn show(shape: &Shape, value: &Value, out: &mut Capped) -> fmt::Result {
    match (&shape.kind, value) {
        (_, Value::Null) => out.write_str("null"),
        (Kind::Text(text), Value::String(value)) => {
            let hide = text.sensitive && !value.is_empty();
            out.write_str(if hide { "***" } else { value })
        }
        (Kind::Structure(members), Value::Object(object)) => {
            let present = members.iter().filter_map(|member| object.get(member.name).map(|value| (member, value)));
            show_all("{}", present.filter(|(_, value)| !value.is_null()), out, |(member, value), out| {
                lower_first(member.name, out)?;
                out.write_char('=')?;
                show(member.shape, value, out)
            })
        }
        (Kind::List { element, .. }, Value::Array(list)) => {
            show_all("[]", list.iter(), out, |value, out| show(element, value, out))
        }
        (Kind::Map { value: shape, .. }, Value::Object(object)) => {
            show_all("{}", Map::iter(object), out, |(key, value), out| {
                out.write_str(key)?;
                out.write_char('=')?;
                show(shape, value, out)
            })
        }
        (Kind::Boolean, Value::Bool(value)) => write!(out, "{value}"),
        (Kind::Integer(_) | Kind::Long(_), Value::Number(number)) => match whole(value) {
            Some(number) => write!(out, "{number}"),
            None => write!(out, "{number}"),
        },
        // Of another type than the shape's: not the business of a message about limits.
        _ => out.write_char('?'),
    }
}

fn show_all<T>(
    brackets: &str,
    items: impl Iterator<Item = T>,
    out: &mut Capped,
    mut show_one: impl FnMut(T, &mut Capped) -> fmt::Result,
) -> fmt::Result {
    let (open, close) = brackets.split_at(1);
    out.write_str(open)?;
    for (position, item) in items.enumerate() {
        if position > 0 {
            out.write_str(", ")?;
        }
        show_one(item, out)?;
    }
    out.write_str(close)
}

/// A text of so many characters at most, and `...` if that is not all. Writing fails once it is full, so that nobody
/// goes on writing.
struct Capped {
    text: String,
    room: usize,
}

impl Capped {
    fn new(room: usize) -> Self {
        Self { text: String::new(), room }
    }
}

impl fmt::Write for Capped {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        match more.char_indices().nth(self.room) {
            None => {
                self.room -= more.chars().count();
                self.text.push_str(more);
                Ok(())
            }
            Some((end, _)) => {
                self.room = 0;
                self.text.push_str(&more[..end]);
                self.text.push_str("...");
                Err(fmt::Error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::json::read;
    use super::super::model::Member;
    use super::super::shapes::{OPERATIONS, input_of};
    use super::*;

    const ID: &str = "us-east-1:157d6171-ee1b-c968-98c2-0123456789ab";
    const ROLE: &str = "arn:aws:iam::123456789012:role/r";

    fn violations_of(operation: &str, body: &Value) -> Vec<Violation> {
        let shape = input_of(operation).unwrap();
        check_types(shape, body).unwrap();
        violations(shape, body)
    }

    #[track_caller]
    fn refused(operation: &str, body: &Value, text: &str) {
        assert_eq!(message(&violations_of(operation, body)), text);
    }

    #[track_caller]
    fn accepted(operation: &str, body: &Value) {
        assert_eq!(violations_of(operation, body), []);
    }

    #[track_caller]
    fn malformed(operation: &str, body: &Value, text: &str) {
        assert_eq!(check_types(input_of(operation).unwrap(), body), Err(Malformed::new(text.to_owned())));
    }

    fn rules_of(rules: &Value) -> Value {
        json!({
            "IdentityPoolId": ID,
            "Roles": {},
            "RoleMappings": { "p": { "Type": "Rules", "RulesConfiguration": { "Rules": rules } } },
        })
    }

    #[test]
    fn a_missing_member_is_null() {
        let text = "1 validation error detected: Value null at 'identityPoolId' failed to satisfy constraint: \
                    Member must not be null";
        refused("GetId", &json!({}), text);
        refused("GetId", &json!({ "IdentityPoolId": null, "Logins": null }), text);
        refused(
            "MergeDeveloperIdentities",
            &json!({}),
            "4 validation errors detected: \
             Value null at 'sourceUserIdentifier' failed to satisfy constraint: Member must not be null; \
             Value null at 'destinationUserIdentifier' failed to satisfy constraint: Member must not be null; \
             Value null at 'developerProviderName' failed to satisfy constraint: Member must not be null; \
             Value null at 'identityPoolId' failed to satisfy constraint: Member must not be null",
        );
    }

    #[test]
    fn a_pattern_is_told_as_the_model_writes_it() {
        refused(
            "GetId",
            &json!({ "IdentityPoolId": "us-east-1:ABC" }),
            r"1 validation error detected: Value 'us-east-1:ABC' at 'identityPoolId' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w-]+:[0-9a-f-]+",
        );
    }

    #[test]
    fn both_length_and_pattern_are_told() {
        refused(
            "DescribeIdentity",
            &json!({ "IdentityId": "" }),
            r"2 validation errors detected: Value '' at 'identityId' failed to satisfy constraint: Member must have length greater than or equal to 1; Value '' at 'identityId' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w-]+:[0-9a-f-]+",
        );
        let long = "x".repeat(56);
        refused(
            "DescribeIdentity",
            &json!({ "IdentityId": long }),
            &format!(
                r"2 validation errors detected: Value '{long}' at 'identityId' failed to satisfy constraint: Member must have length less than or equal to 55; Value '{long}' at 'identityId' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w-]+:[0-9a-f-]+"
            ),
        );
    }

    #[test]
    fn the_three_errors_seen_in_the_wild_are_told_with_the_login_hidden() {
        // Contract V6, in the order of the model.
        refused(
            "GetCredentialsForIdentity",
            &json!({ "IdentityId": "", "Logins": { "graph.facebook.com": "" } }),
            r"3 validation errors detected: Value '' at 'identityId' failed to satisfy constraint: Member must have length greater than or equal to 1; Value '' at 'identityId' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w-]+:[0-9a-f-]+; Value '{graph.facebook.com=}' at 'logins' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length less than or equal to 50000, Member must have length greater than or equal to 1]",
        );
    }

    #[test]
    fn logins_are_never_shown() {
        let secret = "s3cr3t".repeat(10_000);
        refused(
            "GetOpenIdToken",
            &json!({ "IdentityId": ID, "Logins": { "a": secret, "b": "token", "c": null, "d": "" } }),
            "1 validation error detected: Value '{a=***, b=***, c=null, d=}' at 'logins' failed to satisfy constraint: \
             Map value must satisfy constraint: [Member must have length less than or equal to 50000, \
             Member must have length greater than or equal to 1, Member must not be null]",
        );
        let eleven: Value = (10..21).map(|n| (n.to_string(), json!("token"))).collect::<Map<_, _>>().into();
        refused(
            "GetOpenIdToken",
            &json!({ "IdentityId": ID, "Logins": eleven }),
            "1 validation error detected: Value '{10=***, 11=***, 12=***, 13=***, 14=***, 15=***, 16=***, 17=***, \
             18=***, 19=***, 20=***}' at 'logins' failed to satisfy constraint: \
             Member must have length less than or equal to 10",
        );
    }

    #[test]
    fn keys_of_a_map_are_told_in_one_bracket() {
        refused(
            "TagResource",
            &json!({ "ResourceArn": ROLE, "Tags": { "": "a", "k": "b" } }),
            "1 validation error detected: Value '{=a, k=b}' at 'tags' failed to satisfy constraint: \
             Map keys must satisfy constraint: [Member must have length less than or equal to 128, \
             Member must have length greater than or equal to 1]",
        );
        refused(
            "SetIdentityPoolRoles",
            &json!({ "IdentityPoolId": ID, "Roles": { "admin": "short" } }),
            "2 validation errors detected: Value '{admin=short}' at 'roles' failed to satisfy constraint: \
             Map keys must satisfy constraint: [Member must have length less than or equal to 128, \
             Member must have length greater than or equal to 1, \
             Member must satisfy regular expression pattern: (un)?authenticated]; \
             Value '{admin=short}' at 'roles' failed to satisfy constraint: \
             Map value must satisfy constraint: [Member must have length less than or equal to 2048, \
             Member must have length greater than or equal to 20]",
        );
    }

    #[test]
    fn a_map_tells_its_size_then_keys_then_values() {
        let roles = json!({ "authenticated": "r", "other": ROLE, "unauthenticated": ROLE });
        let found = violations_of("SetIdentityPoolRoles", &json!({ "IdentityPoolId": ID, "Roles": roles }));
        let constraints: Vec<&str> = found.iter().map(|violation| &violation.constraint[..18]).collect();
        assert_eq!(constraints, ["Member must have l", "Map keys must sati", "Map value must sat"]);
        assert_eq!(found[0].constraint, "Member must have length less than or equal to 2");
    }

    #[test]
    fn plain_elements_of_a_list_are_told_in_one_bracket() {
        refused(
            "UntagResource",
            &json!({ "ResourceArn": ROLE, "TagKeys": ["a", "", ""] }),
            "1 validation error detected: Value '[a, , ]' at 'tagKeys' failed to satisfy constraint: \
             Member must satisfy constraint: [Member must have length less than or equal to 128, \
             Member must have length greater than or equal to 1]",
        );
        refused(
            "UntagResource",
            &json!({ "ResourceArn": ROLE, "TagKeys": ["a", null] }),
            "1 validation error detected: Value '[a, null]' at 'tagKeys' failed to satisfy constraint: \
             Member must satisfy constraint: [Member must have length less than or equal to 128, \
             Member must have length greater than or equal to 1, Member must not be null]",
        );
        refused(
            "DeleteIdentities",
            &json!({ "IdentityIdsToDelete": ["x"] }),
            r"1 validation error detected: Value '[x]' at 'identityIdsToDelete' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 55, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: [\w-]+:[0-9a-f-]+]",
        );
    }

    #[test]
    fn a_list_has_a_least_and_a_most() {
        refused(
            "DeleteIdentities",
            &json!({ "IdentityIdsToDelete": [] }),
            "1 validation error detected: Value '[]' at 'identityIdsToDelete' failed to satisfy constraint: \
             Member must have length greater than or equal to 1",
        );
        accepted("DeleteIdentities", &json!({ "IdentityIdsToDelete": vec![ID; 60] }));
        let found = violations_of("DeleteIdentities", &json!({ "IdentityIdsToDelete": vec![ID; 61] }));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].constraint, "Member must have length less than or equal to 60");
    }

    #[test]
    fn a_range_is_told_by_value() {
        let with = |duration: Value| json!({ "IdentityPoolId": ID, "Logins": {}, "TokenDuration": duration });
        let operation = "GetOpenIdTokenForDeveloperIdentity";
        refused(
            operation,
            &with(json!(86401)),
            "1 validation error detected: Value '86401' at 'tokenDuration' failed to satisfy constraint: \
             Member must have value less than or equal to 86400",
        );
        for (duration, shown) in
            [(json!(0), "0"), (json!(-1), "-1"), (json!(-2.0), "-2"), (json!(i64::MIN), "-9223372036854775808")]
        {
            refused(
                operation,
                &with(duration),
                &format!(
                    "1 validation error detected: Value '{shown}' at 'tokenDuration' failed to satisfy constraint: \
                     Member must have value greater than or equal to 1"
                ),
            );
        }
        accepted(operation, &with(json!(1)));
        accepted(operation, &with(json!(86400.0)));
    }

    #[test]
    fn an_enum_is_told_with_its_values() {
        refused(
            "SetIdentityPoolRoles",
            &json!({ "IdentityPoolId": ID, "Roles": {}, "RoleMappings": { "graph.facebook.com": { "Type": "token" } } }),
            "1 validation error detected: Value 'token' at 'roleMappings.graph.facebook.com.member.type' failed to \
             satisfy constraint: Member must satisfy enum value set: [Token, Rules]",
        );
    }

    #[test]
    fn members_of_structures_in_lists_and_maps_have_their_own_paths() {
        let good = json!({ "Claim": "c", "MatchType": "Equals", "Value": "v", "RoleARN": ROLE });
        let bad = json!({ "Claim": "c d", "MatchType": "Equals", "Value": "v" });
        refused(
            "SetIdentityPoolRoles",
            &rules_of(&json!([good, bad, null])),
            r"3 validation errors detected: Value 'c d' at 'roleMappings.p.member.rulesConfiguration.rules.2.member.claim' failed to satisfy constraint: Member must satisfy regular expression pattern: [\p{L}\p{M}\p{S}\p{N}\p{P}]+; Value null at 'roleMappings.p.member.rulesConfiguration.rules.2.member.roleARN' failed to satisfy constraint: Member must not be null; Value null at 'roleMappings.p.member.rulesConfiguration.rules.3.member' failed to satisfy constraint: Member must not be null",
        );
        refused(
            "SetIdentityPoolRoles",
            &json!({ "IdentityPoolId": ID, "Roles": {}, "RoleMappings": { "p": null } }),
            "1 validation error detected: Value null at 'roleMappings.p.member' failed to satisfy constraint: \
             Member must not be null",
        );
        refused(
            "CreateIdentityPool",
            &json!({
                "IdentityPoolName": "p",
                "AllowUnauthenticatedIdentities": true,
                "CognitoIdentityProviders": [{ "ProviderName": "p", "ClientId": "a-b" }],
            }),
            r"1 validation error detected: Value 'a-b' at 'cognitoIdentityProviders.1.member.clientId' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w_]+",
        );
    }

    #[test]
    fn structures_are_shown_by_the_members_they_have() {
        let too_many: Map<_, _> = (10..21)
            .map(|n| (n.to_string(), json!({ "AmbiguousRoleResolution": null, "Type": "Token", "X": 1 })))
            .collect();
        let found = violations_of(
            "SetIdentityPoolRoles",
            &json!({ "IdentityPoolId": ID, "Roles": {}, "RoleMappings": too_many }),
        );
        assert_eq!(found.len(), 1);
        assert!(found[0].value.starts_with("'{10={type=Token}, 11={type=Token}, "), "{}", found[0].value);
    }

    #[test]
    fn shapes_that_the_service_does_not_have_are_told_alike() {
        static SHAPE: Shape = Shape::list("Switches", &SWITCH, Bounds::between(2, 2));
        static SWITCH: Shape = Shape::structure(
            "Switch",
            &[Member::optional("On", &ON), Member::optional("Level", &LEVEL), Member::optional("Names", &NAMES)],
        );
        static ON: Shape = Shape::boolean("On");
        static LEVEL: Shape = Shape::integer("Level", 1, 2);
        static NAMES: Shape = Shape::list("Names", &NAME, Bounds::NONE);
        static NAME: Shape = Shape::one_of("Name", &["A", "B"]);
        assert_eq!(
            message(&violations(&SHAPE, &json!([{ "On": true, "Level": 1.0, "Names": ["A", "C"] }]))),
            "2 validation errors detected: Value '[{on=true, level=1, names=[A, C]}]' at '' failed to satisfy \
             constraint: Member must have length greater than or equal to 2; \
             Value '[A, C]' at '1.member.names' failed to satisfy constraint: \
             Member must satisfy constraint: [Member must satisfy enum value set: [A, B]]"
        );
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        let tags = |value: String| json!({ "ResourceArn": ROLE, "Tags": { "k": value } });
        accepted("TagResource", &tags("😀".repeat(256)));
        accepted("TagResource", &tags(String::new()));
        assert_eq!(violations_of("TagResource", &tags("é".repeat(257))).len(), 1);
    }

    #[test]
    fn long_values_are_cut() {
        let name = "é".repeat(2_000);
        let found = violations_of(
            "CreateIdentityPool",
            &json!({ "IdentityPoolName": name, "AllowUnauthenticatedIdentities": false }),
        );
        assert_eq!(found[0].value, format!("'{}...'", "é".repeat(1024)));
        let just_fits = "x".repeat(1024);
        let found = violations_of("ListTagsForResource", &json!({ "ResourceArn": just_fits.repeat(2) + "x" }));
        assert_eq!(found[0].value, format!("'{just_fits}...'"));
        let found = violations_of("GetId", &json!({ "IdentityPoolId": just_fits }));
        assert_eq!(found[0].value, format!("'{just_fits}'"));
        let key = "k".repeat(100_000);
        let mappings = json!({ "IdentityPoolId": ID, "Roles": {}, "RoleMappings": { key: {} } });
        let found = violations_of("SetIdentityPoolRoles", &mappings);
        assert_eq!(found[1].path, format!("roleMappings.{}....member.type", "k".repeat(128)));
    }

    #[test]
    fn a_message_has_so_many_clauses_at_most() {
        let text = message(&violations_of("SetIdentityPoolRoles", &rules_of(&json!(vec![json!({}); 100_000]))));
        assert!(text.starts_with("64 validation errors detected: "));
        assert_eq!(text.matches("failed to satisfy").count(), 64);
        assert!(text.len() < 20_000, "{}", text.len());
    }

    #[test]
    fn a_body_in_order_has_no_violations() {
        accepted("GetId", &json!({ "IdentityPoolId": ID, "AccountId": "123456789012", "Logins": {}, "Unknown": [1] }));
        accepted("ListIdentityPools", &json!({ "MaxResults": 60, "NextToken": null }));
        let rule = json!({ "Claim": "größe", "MatchType": "NotEqual", "Value": "v w", "RoleARN": ROLE });
        accepted("SetIdentityPoolRoles", &rules_of(&json!(vec![rule; 400])));
    }

    #[test]
    fn types_are_strict() {
        malformed("GetId", &json!({ "IdentityPoolId": 1 }), "NUMBER_VALUE can not be converted to a String");
        malformed("GetId", &json!({ "IdentityPoolId": true }), "TRUE_VALUE can not be converted to a String");
        malformed("GetId", &json!({ "IdentityPoolId": {} }), "Start of structure or map found where not expected.");
        malformed("GetId", &json!({ "IdentityPoolId": [] }), "Start of list found where not expected.");
        malformed("GetId", &json!({ "Logins": [] }), "Expected map or null");
        malformed("GetId", &json!({ "Logins": { "p": 1 } }), "NUMBER_VALUE can not be converted to a String");
        malformed("UntagResource", &json!({ "TagKeys": "k" }), "Expected list or null");
        malformed("UntagResource", &json!({ "TagKeys": [["k"]] }), "Start of list found where not expected.");
        malformed("SetIdentityPoolRoles", &rules_of(&json!([1])), "Expected map or null");
        malformed(
            "CreateIdentityPool",
            &json!({ "AllowUnauthenticatedIdentities": "true" }),
            "STRING_VALUE can not be converted to a Boolean",
        );
        malformed("GetId", &json!([]), "Expected map or null");
    }

    #[test]
    fn numbers_are_whole_and_fit() {
        let shape = input_of("ListIdentityPools").unwrap();
        let accepts = |number: &str| {
            let body = read(format!(r#"{{"MaxResults":{number}}}"#).as_bytes()).unwrap();
            check_types(shape, &body).is_ok()
        };
        for good in ["1", "60.0", "6e1", "-0", "2147483647", "-2147483648", "0.0"] {
            assert!(accepts(good), "{good}");
        }
        for bad in ["1.5", "2147483648", "-2147483649", "1e10", "18446744073709551615", "\"1\"", "1e-3"] {
            assert!(!accepts(bad), "{bad}");
        }
        let long = |number: Value| check_types(&Shape::long("L", 1, 2), &number).is_ok();
        assert!(long(json!(i64::MAX)) && long(json!(i64::MIN)) && long(json!(-9_223_372_036_854_775_808.0)));
        assert!(!long(json!(u64::MAX)) && !long(json!(9_223_372_036_854_775_808.0)) && !long(json!(1e300)));
    }

    #[test]
    fn null_and_unknown_members_have_any_type() {
        let shape = input_of("GetId").unwrap();
        assert_eq!(check_types(shape, &json!({ "IdentityPoolId": null, "Logins": null, "Else": [{}] })), Ok(()));
    }

    #[test]
    fn a_normal_body_has_no_nulls_for_absent_and_no_floats_for_whole_numbers() {
        let mut body = json!({
            "IdentityPoolId": ID,
            "Logins": { "p": "t" },
            "IdentityId": null,
            "TokenDuration": 900.0,
            "PrincipalTags": null,
        });
        normalize(input_of("GetOpenIdTokenForDeveloperIdentity").unwrap(), &mut body);
        assert_eq!(body, json!({ "IdentityPoolId": ID, "Logins": { "p": "t" }, "TokenDuration": 900 }));
        let mut body = json!({ "CognitoIdentityProviders": [{ "ClientId": null, "ProviderName": "p" }] });
        normalize(input_of("CreateIdentityPool").unwrap(), &mut body);
        assert_eq!(body, json!({ "CognitoIdentityProviders": [{ "ProviderName": "p" }] }));
        let mut body = json!({ "RoleMappings": { "p": { "AmbiguousRoleResolution": null } } });
        normalize(input_of("SetIdentityPoolRoles").unwrap(), &mut body);
        assert_eq!(body, json!({ "RoleMappings": { "p": {} } }));
    }

    /// A body of the right types for `shape`, with values about its limits and sometimes `null`.
    fn any_of(shape: &'static Shape) -> BoxedStrategy<Value> {
        match &shape.kind {
            Kind::Structure(members) => {
                let members: Vec<_> = members
                    .iter()
                    .map(|member| (Just(member.name.to_owned()), prop::option::weighted(0.9, any_of(member.shape))))
                    .collect();
                let present = |(name, value): (String, Option<Value>)| value.map(|value| (name, value));
                members
                    .prop_map(move |members| Value::Object(members.into_iter().filter_map(present).collect()))
                    .boxed()
            }
            Kind::List { element, .. } => {
                prop::collection::vec(or_null(any_of(element)), 0..4).prop_map(Value::Array).boxed()
            }
            Kind::Map { value, .. } => prop::collection::vec((".{0,4}|authenticated", or_null(any_of(value))), 0..12)
                .prop_map(|entries| Value::Object(entries.into_iter().collect()))
                .boxed(),
            Kind::Text(Text { one_of: [], .. }) => {
                prop_oneof![any::<String>(), "[a-z]{1,30}", "[a-z]{1,9}:[0-9a-f]{1,9}"].prop_map(Value::from).boxed()
            }
            Kind::Text(Text { one_of, .. }) => {
                prop_oneof![prop::sample::select(*one_of).prop_map(Value::from), Just(json!("Other"))].boxed()
            }
            Kind::Integer(_) => any::<i32>().prop_map(Value::from).boxed(),
            Kind::Long(_) => any::<i64>().prop_map(Value::from).boxed(),
            Kind::Boolean => any::<bool>().prop_map(Value::from).boxed(),
        }
    }

    fn or_null(values: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
        prop_oneof![9 => values, 1 => Just(Value::Null)].boxed()
    }

    proptest! {
        #[test]
        fn a_body_of_the_right_types_is_judged_alike_before_and_after_normalizing(
            (operation, body) in prop::sample::select(OPERATIONS)
                .prop_flat_map(|operation| (Just(operation), any_of(input_of(operation).unwrap()))),
        ) {
            let shape = input_of(operation).unwrap();
            prop_assert_eq!(check_types(shape, &body), Ok(()));
            let found = violations(shape, &body);
            prop_assert!(found.len() <= MAX_CLAUSES);
            let mut normal = body.clone();
            normalize(shape, &mut normal);
            prop_assert_eq!(check_types(shape, &normal), Ok(()));
            prop_assert_eq!(violations(shape, &normal), found);
        }
    }
}
