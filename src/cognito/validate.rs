//! A request against the limits of its shape, and the words for what breaks them (`ValidationException`). Its JSON
//! types were checked before (`types.rs`). A request that is in order is walked without allocating.
//!
//! The words are those of the service, including that both failures of one value are told, and
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

use super::model::{Bounds, Kind, Pattern, Shape, Text};
use super::types::whole;

/// The most characters of a value that a message shows.
pub const MAX_ECHO: usize = 1024;
/// The most characters of a map's key that a path shows: as many as any key of the model may have.
pub const MAX_KEY: usize = 128;
/// The most clauses a message has.
pub const MAX_CLAUSES: usize = 64;

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

/// What of `value`, whose types are right, breaks the limits of `shape`: the first [`MAX_CLAUSES`] at most.
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
    joined(violations, Violation::to_string)
}

/// The same for the log: without the values, since a secret in the wrong member is one of them.
#[must_use]
pub fn without_values(violations: &[Violation]) -> String {
    let hidden = |violation: &Violation| if violation.value == "null" { "null" } else { "***" }.to_owned();
    joined(violations, |violation| Violation { value: hidden(violation), ..violation.clone() }.to_string())
}

fn joined(violations: &[Violation], shown: impl Fn(&Violation) -> String) -> String {
    let plural = if violations.len() == 1 { "" } else { "s" };
    let mut text = format!("{} validation error{plural} detected: ", violations.len());
    for (position, violation) in violations.iter().enumerate() {
        let separator = if position == 0 { "" } else { "; " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}{}", shown(violation));
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

/// The keys of `SupportedLoginProviders` whose values are `CONSUMER-KEY;CONSUMER-SECRET`.
const NAMED_WITH_SECRETS: [&str; 2] = ["api.twitter.com", "www.digits.com"];

/// Writes `value` as Java's `toString` would: `{k=v, k2=v2}`, `[a, b]`; a structure as a map of the members it has.
///
/// Deliberate difference (contract V7): the service shows values of sensitive shapes, which puts login tokens and
/// developers' user ids into clients' logs. Here `Logins` reads `{provider=***}`, and so do the applications that are
/// named with their secrets; an empty value, which hides nothing, stays empty.
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
                let hide = NAMED_WITH_SECRETS.contains(&key.as_str()) && value.as_str().is_some_and(|v| !v.is_empty());
                if hide { out.write_str("***") } else { show(shape, value, out) }
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
mod tests;
