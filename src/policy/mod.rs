//! The JSON policy language of AWS IAM, as far as it is served: documents are read strictly, and questions decided as
//! AWS decides them.
//!
//! Two kinds of documents share one grammar. A [`Policy`] says what an access key may do; a [`TrustPolicy`] says who
//! may take on a role. Whatever a document holds that would not be decided here is refused when it is read, with its
//! place: a condition that is silently ignored is a hole.
//!
//! The language: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html>. How it decides:
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>.

mod condition;
mod document;
mod key;
mod operator;
mod pattern;
mod statement;
#[cfg(test)]
mod tests;
mod trust;
mod value;

use std::collections::BTreeMap;
use std::fmt;

pub use self::statement::Policy;
pub use self::trust::TrustPolicy;

/// What is asked of a [`Policy`].
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What is to be done: `cognito-identity:GetId`. The case of its letters does not matter.
    pub action: &'a str,
    /// The ARN of what it is to be done to, or `*` where the action knows no resource. The case of its letters matters.
    pub resource: &'a str,
    /// The circumstances.
    pub context: &'a Context,
}

/// The circumstances of a question: condition keys with their values. The case of a key's letters does not matter.
#[derive(Clone, Debug, Default)]
pub struct Context(BTreeMap<String, Vec<String>>);

impl Context {
    /// No circumstances known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a key its one value. Times are ISO 8601 or whole seconds since 1970, booleans `true` or `false`.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.0.insert(key.to_ascii_lowercase(), vec![value.into()]);
    }

    /// Gives a key all of its values. A key without any is one that is absent.
    pub fn set_all(&mut self, key: &str, values: impl IntoIterator<Item = impl Into<String>>) {
        self.0.insert(key.to_ascii_lowercase(), values.into_iter().map(Into::into).collect());
    }

    /// The values of a key in small letters; none if it is absent.
    fn values(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }
}

/// What documents say to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Some statement allows it, and none denies it.
    Allowed,
    /// Some statement denies it, whatever others allow.
    ExplicitDeny,
    /// No statement speaks of it.
    NotAllowed,
}

/// Why a document is refused: the first thing that is wrong with it, and what may stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    place: String,
    why: String,
}

impl Problem {
    fn new(place: impl Into<String>, why: impl Into<String>) -> Self {
        Self { place: place.into(), why: why.into() }
    }

    /// Where: a path such as `Statement[1].Action[0]`, or `document` for the whole.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What is wrong there, and what is allowed.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.why)
    }
}

impl std::error::Error for Problem {}
