//! A request against the JSON types of its shape: a number where a string is modelled is malformed, not a violation.

use serde_json::Value;

use super::json::Malformed;
use super::model::{Kind, Shape};

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
pub(super) fn whole(value: &Value) -> Option<i64> {
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
