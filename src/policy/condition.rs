//! Conditions: read once, held against circumstances often.
//!
//! All must hold. Of a condition's values one must fit, or none for an operator with Not. A key that is absent fits
//! nothing: so an operator with Not holds for it, any other does not, and one with IfExists does
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>).

use serde_json::Value;

use super::document::{Placed, Profile, member, one_or_more, plain_text_at};
use super::operator::{Comparison, Operator, Order, Over};
use super::pattern::{ArnPattern, Pattern};
use super::value::{Network, Number, parse_time};
use super::{Context, Problem, key};

/// An operator with one of its keys.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    /// The operator and the key as the document has them, for the log.
    pub(super) told: String,
    operator: Operator,
    /// In small letters.
    key: String,
    values: Values,
}

/// The values of a policy, ready for the operator's comparison.
#[derive(Clone, Debug)]
enum Values {
    Texts(Vec<String>),
    /// In small letters.
    TextsInAnyCase(Vec<String>),
    Patterns(Vec<Pattern>),
    Arns(Vec<ArnPattern>),
    Booleans(Vec<bool>),
    Networks(Vec<Network>),
    Times(Order, Vec<time::OffsetDateTime>),
    Numbers(Order, Vec<Number>),
    Absent(Vec<bool>),
}

/// The conditions of a statement.
///
/// # Errors
/// The first problem.
pub(super) fn parse(value: &Value, place: &str, profile: Profile) -> Result<Vec<Condition>, Problem> {
    let operators = value.as_object().ok_or_else(|| {
        Problem::new(
            place,
            r#"an object of operators is needed: {"StringEquals": {"aws:RequestedRegion": "us-east-1"}}"#,
        )
    })?;
    let mut conditions: Vec<Condition> = Vec::new();
    for (name, keys) in operators {
        let place = member(place, name);
        let operator = Operator::parse(name, profile).map_err(|why| Problem::new(&place, why))?;
        let Some(keys) = keys.as_object().filter(|keys| !keys.is_empty()) else {
            return Err(Problem::new(
                place,
                r#"an object of condition keys is needed: {"aws:RequestedRegion": "us-east-1"}"#,
            ));
        };
        let before = conditions.len();
        for (key, values) in keys {
            let place = member(&place, key);
            check_key(key, operator.comparison, profile).map_err(|why| Problem::new(&place, why))?;
            let told = format!("{name} {key}");
            let key = key.to_ascii_lowercase();
            if conditions.iter().skip(before).any(|condition| condition.key == key) {
                return Err(Problem::new(place, "this key twice, in other letters: put its values in one list"));
            }
            let values = Values::parse(operator.comparison, values, &place)?;
            conditions.push(Condition { told, operator, key, values });
        }
    }
    Ok(conditions)
}

fn check_key(name: &str, comparison: Comparison, profile: Profile) -> Result<(), String> {
    match key::kind(name) {
        Some(kind) if comparison.suits(kind) => Ok(()),
        Some(kind) => Err(format!("{name} {}", kind.told())),
        None if !profile.is_trust() => Err(format!("unknown condition key; the known ones are {}", key::known())),
        None if !name.contains(':') || name.chars().any(char::is_control) || name.contains("${") => {
            Err("a condition key has the form prefix:name, such as accounts.google.com:aud".to_owned())
        }
        None => Ok(()),
    }
}

const AN_ARN: &str = "an ARN of six parts is needed, in which * and ? stay within a part";
const A_NETWORK: &str = "an address or a network is needed, such as 203.0.113.0/24 or 2001:db8::/32";
const A_TIME: &str = "a time is needed: 2026-01-31, 2026-01-31T18:30:00Z (with its zone), or whole seconds since 1970";
const A_NUMBER: &str = "a decimal number is needed, of at most 18 digits before its point and 18 behind it";

impl Values {
    fn parse(comparison: Comparison, value: &Value, place: &str) -> Result<Self, Problem> {
        let values = one_or_more(value, place)?;
        Ok(match comparison {
            Comparison::Equals => Self::Texts(texts(&values, str::to_owned)?),
            Comparison::EqualsInAnyCase => Self::TextsInAnyCase(texts(&values, str::to_lowercase)?),
            Comparison::Like => Self::Patterns(texts(&values, Pattern::new)?),
            Comparison::Arn => Self::Arns(each(&values, ArnPattern::parse, AN_ARN)?),
            Comparison::Address => Self::Networks(each(&values, Network::parse, A_NETWORK)?),
            Comparison::Bool => Self::Booleans(booleans(&values)?),
            Comparison::Null => Self::Absent(booleans(&values)?),
            Comparison::Time(order) => Self::Times(order, each_scalar(&values, parse_time, A_TIME)?),
            Comparison::Number(order) => Self::Numbers(order, each_scalar(&values, Number::parse, A_NUMBER)?),
        })
    }

    /// Whether a value of the circumstances fits one of the policy's.
    fn fit(&self, given: &str) -> bool {
        match self {
            Self::Texts(texts) => texts.iter().any(|text| text == given),
            Self::TextsInAnyCase(texts) => {
                let given = given.to_lowercase();
                texts.contains(&given)
            }
            Self::Patterns(patterns) => patterns.iter().any(|pattern| pattern.fits(given)),
            Self::Arns(patterns) => patterns.iter().any(|pattern| pattern.fits(given)),
            Self::Booleans(booleans) => parse_boolean(given).is_some_and(|given| booleans.contains(&given)),
            Self::Networks(networks) => {
                given.parse().is_ok_and(|given| networks.iter().any(|network| network.holds(given)))
            }
            Self::Times(order, times) => {
                parse_time(given).is_some_and(|given| times.iter().any(|time| order.holds(&given, time)))
            }
            Self::Numbers(order, numbers) => {
                Number::parse(given).is_some_and(|given| numbers.iter().any(|number| order.holds(&given, number)))
            }
            Self::Absent(_) => false,
        }
    }
}

/// Each value as a text, made into something.
fn texts<T>(values: &[Placed<&Value>], make: impl Fn(&str) -> T) -> Result<Vec<T>, Problem> {
    values.iter().map(|(place, value)| plain_text_at(value, place).map(&make)).collect()
}

/// Each value as a text that `read` understands; else the reason.
fn each<T>(values: &[Placed<&Value>], read: impl Fn(&str) -> Option<T>, why: &str) -> Result<Vec<T>, Problem> {
    let read =
        |(place, value): &Placed<&Value>| read(plain_text_at(value, place)?).ok_or_else(|| Problem::new(place, why));
    values.iter().map(read).collect()
}

/// The same, where a JSON number is as good as a text.
fn each_scalar<T>(values: &[Placed<&Value>], read: impl Fn(&str) -> Option<T>, why: &str) -> Result<Vec<T>, Problem> {
    let read = |(place, value): &Placed<&Value>| {
        let value = match value {
            Value::Number(number) => read(&number.to_string()),
            value => read(plain_text_at(value, place)?),
        };
        value.ok_or_else(|| Problem::new(place, why))
    };
    values.iter().map(read).collect()
}

fn booleans(values: &[Placed<&Value>]) -> Result<Vec<bool>, Problem> {
    let read = |(place, value): &Placed<&Value>| {
        let boolean = value.as_bool().or_else(|| value.as_str().and_then(parse_boolean));
        boolean.ok_or_else(|| Problem::new(place, "true or false is needed"))
    };
    values.iter().map(read).collect()
}

fn parse_boolean(text: &str) -> Option<bool> {
    [true, false].into_iter().find(|boolean| boolean.to_string().eq_ignore_ascii_case(text))
}

impl Condition {
    /// Whether it holds under these circumstances.
    pub(super) fn holds(&self, context: &Context) -> bool {
        let Operator { negated, if_exists, over, .. } = self.operator;
        let given = context.values(&self.key);
        if let Values::Absent(wanted) = &self.values {
            return wanted.contains(&given.is_empty());
        }
        if given.is_empty() {
            return if_exists
                || match over {
                    Over::One => negated,
                    Over::Any => false,
                    Over::All => true,
                };
        }
        let mut fits = given.iter().map(|given| self.values.fit(given) != negated);
        match over {
            // Of a key with several values none may fit what must not be.
            Over::One if negated => fits.all(|fits| fits),
            Over::One | Over::Any => fits.any(|fits| fits),
            Over::All => fits.all(|fits| fits),
        }
    }

    /// Whether it holds only if one of these keys is there with one of the values that the policy spells out.
    pub(super) fn pins(&self, keys: &[&str]) -> bool {
        let Operator { negated, if_exists, over, .. } = self.operator;
        let spelled_out = match &self.values {
            Values::Texts(texts) => !texts.iter().any(String::is_empty),
            Values::Patterns(patterns) => !patterns.iter().any(|pattern| pattern.fits("") || !pattern.is_literal()),
            _ => false,
        };
        spelled_out
            && !negated
            && !if_exists
            && over != Over::All
            && keys.iter().any(|key| key.eq_ignore_ascii_case(&self.key))
    }
}
