//! Reading JSON, more strictly than JSON asks.
//!
//! Two readings of one text are what attackers live on, so whatever another reader might take differently is refused:
//! an object with a key twice, a lone surrogate, bytes after the end.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Error, Map, Number, Value};

/// The deepest nesting of objects and arrays that is read; the outermost counts as one.
const MAX_DEPTH: usize = 16;

/// The value in `text`.
///
/// # Errors
/// If the text is not one JSON value in UTF-8 and nothing after it, nests too deeply, has a key twice in an object, a
/// lone surrogate in a string, or a number that neither 64 bits of integer nor a finite float can hold. The error names
/// a place and a kind, never a value.
pub fn read(text: &[u8]) -> Result<Value, Error> {
    let mut text = serde_json::Deserializer::from_slice(text);
    let value = Node { room: MAX_DEPTH }.deserialize(&mut text)?;
    text.end()?;
    Ok(value)
}

/// The object in `text`.
///
/// # Errors
/// As [`read`], and if the value is no object.
pub fn object(text: &[u8]) -> Result<Map<String, Value>, Error> {
    match read(text)? {
        Value::Object(object) => Ok(object),
        _ => Err(Error::custom("not a JSON object")),
    }
}

/// One value of the tree, with `room` for that many levels from here on down.
#[derive(Clone, Copy)]
struct Node {
    room: usize,
}

impl Node {
    fn below<E: serde::de::Error>(self) -> Result<Self, E> {
        self.room.checked_sub(1).map(|room| Self { room }).ok_or_else(|| E::custom("nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for Node {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut list = Vec::new();
        while let Some(element) = elements.next_element_seed(below)? {
            list.push(element);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut object = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            // Keys are compared after unescaping: `"a"` and `"\u0061"` are one key.
            match object.entry(key) {
                Entry::Vacant(place) => place.insert(members.next_value_seed(below)?),
                Entry::Occupied(_) => return Err(A::Error::custom("a key twice in one object")),
            };
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn refused(text: &str) -> String {
        read(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn values_of_every_kind_are_kept() {
        let body = r#"{"a":[null,true,false,-1,18446744073709551615,1.5,"\u00e9\ud83d\ude00"],"b":{"c":{}}}"#;
        let read = read(body.as_bytes()).unwrap();
        assert_eq!(read, json!({"a": [null, true, false, -1, u64::MAX, 1.5, "é😀"], "b": {"c": {}}}));
        assert!(read["a"][3].is_i64() && read["a"][4].is_u64() && read["a"][5].is_f64());
    }

    #[test]
    fn sixteen_levels_are_read_and_seventeen_refused() {
        let nested = |lists: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(lists), "]".repeat(lists));
        assert!(read(nested(15).as_bytes()).is_ok());
        assert!(refused(&nested(16)).starts_with("nested too deeply"));
        let objects = |inner: usize| format!("{}1{}", r#"{"a":"#.repeat(inner + 1), "}".repeat(inner + 1));
        assert!(read(objects(15).as_bytes()).is_ok());
        assert!(refused(&objects(16)).starts_with("nested too deeply"));
        assert!(refused(&format!(r#"{{"a":{}"#, "[".repeat(500_000))).starts_with("nested too deeply"));
    }

    #[test]
    fn a_key_twice_is_refused_at_any_level_and_however_written() {
        for body in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"b":2,"a":null}"#,
            r#"{"Logins":{"p":"x","p":"y"}}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"l":[{"b":1,"b":2}]}"#,
            r#"{"":1,"":2}"#,
        ] {
            assert!(refused(body).starts_with("a key twice in one object"), "{body}");
        }
        assert!(read(br#"{"a":{"a":1},"A":2}"#).is_ok());
    }

    #[test]
    fn lone_surrogates_are_refused_in_values_and_keys() {
        for body in [
            r#"{"a":"\ud800"}"#,
            r#"{"a":"\udc00"}"#,
            r#"{"a":"\ud83dx"}"#,
            r#"{"\ud800":1}"#,
            r#"{"a":"\ud800\ud800"}"#,
        ] {
            assert!(read(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn bytes_after_the_value_are_refused() {
        for body in ["{}{}", "{} x", "{}]", "{}\0"] {
            assert!(refused(body).starts_with("trailing characters"), "{body}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for body in
            ["{", "{a:1}", "{'a':1}", r#"{"a":01}"#, r#"{"a":NaN}"#, r#"{"a":1,}"#, "\u{feff}{}", r#"{"a":1e999}"#]
        {
            assert!(read(body.as_bytes()).is_err(), "{body}");
        }
        assert!(read(b"{\"a\":\"\xff\"}").is_err());
        assert!(read(b"{\"\xc3\":1}").is_err());
        assert!(read(b"{\"a\":\"\x01\"}").is_err());
    }

    #[test]
    fn an_object_is_told_from_other_values() {
        assert_eq!(object(b" {}\n").unwrap(), Map::new());
        for text in ["", "[]", "null", "1", r#""{}""#, "true", r#"[{"a":1}]"#] {
            assert!(object(text.as_bytes()).is_err(), "{text}");
        }
    }

    /// The float that is nearest to what is written, as other readers take it, and not one that is next to it.
    #[test]
    fn fractions_are_read_as_by_others_and_again_as_written() {
        for text in
            ["1.46744073709551615", "0.1", "1e23", "-5e-324", "2.2250738585072011e-308", "1.7976931348623157e308"]
        {
            let value = read(text.as_bytes()).unwrap();
            assert_eq!(value.as_f64(), text.parse().ok(), "{text}");
            assert_eq!(read(value.to_string().as_bytes()).unwrap(), value, "{text}");
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|object| Value::Object(object.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_serde_json_writes_is_read_back(value in any_value()) {
            let body = json!({ "a": value });
            prop_assert_eq!(read(body.to_string().as_bytes()).unwrap(), body);
        }

        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = read(&body);
        }
    }
}
