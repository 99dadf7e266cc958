//! The form body of an AWS Query request: read strictly, and turned into the input of an operation by its shape
//! (<https://smithy.io/2.0/aws/protocols/aws-query-protocol.html>).

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use crate::cognito::model::{Kind, Shape};

/// The most parameters that a form can have: several times what the largest request of an operation needs.
pub const MAX_PARAMETERS: usize = 1_000;

/// The parameters of a request, by name.
#[derive(Debug)]
pub struct Form(BTreeMap<String, String>);

/// Why a body is no form, or not one of the operation's. No value is ever repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// More parameters than anyone needs.
    TooMany,
    /// A `%` that two hexadecimal digits do not follow.
    Escape,
    /// Bytes that are not UTF-8.
    Utf8,
    /// A character that no answer could repeat, since XML has no way to write it.
    Character,
    /// A value without a name.
    Nameless,
    /// A parameter that is there twice.
    Twice(String),
    /// A list whose members are not numbered 1, 2, 3 and so on.
    Numbering(String),
    /// A list that has a value of its own.
    NotAList(String),
    /// A whole number that is none.
    NotANumber(String),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(f, "The request has more than {MAX_PARAMETERS} parameters."),
            Self::Escape => f.write_str("The request holds a % that is not followed by two hexadecimal digits."),
            Self::Utf8 => f.write_str("The request is not UTF-8."),
            Self::Character => f.write_str("The request holds a control character."),
            Self::Nameless => f.write_str("The request holds a parameter without a name."),
            Self::Twice(name) => write!(f, "The parameter {name} is there twice."),
            Self::Numbering(name) => {
                write!(f, "The members of the list {name} must be numbered {name}.1, {name}.2, …")
            }
            Self::NotAList(name) => write!(f, "The parameter {name} is a list: send {name}.member.1, …"),
            Self::NotANumber(name) => write!(f, "The parameter {name} must be a whole number."),
        }
    }
}

/// At most so many characters of a parameter's name go back into a text.
const MAX_NAME: usize = 128;

fn shown(name: &str) -> String {
    name.chars().take(MAX_NAME).collect()
}

impl Form {
    /// The form in a body (<https://url.spec.whatwg.org/#urlencoded-parsing>, but that nothing ill-formed is mended).
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut parameters = BTreeMap::new();
        for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            if parameters.len() == MAX_PARAMETERS {
                return Err(Malformed::TooMany);
            }
            let equal_sign = pair.iter().position(|byte| *byte == b'=');
            let (name, value) = equal_sign.map_or((pair, &b""[..]), |at| (&pair[..at], &pair[at + 1..]));
            let (name, value) = (decode(name)?, decode(value)?);
            if name.is_empty() {
                return Err(Malformed::Nameless);
            }
            if parameters.contains_key(&name) {
                return Err(Malformed::Twice(shown(&name)));
            }
            parameters.insert(name, value);
        }
        Ok(Self(parameters))
    }

    /// The value of a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The parameters as the structure that `shape` says. Those that it does not name are ignored.
    ///
    /// # Errors
    /// If a list is none, or a number.
    pub fn structure(&self, shape: &Shape) -> Result<Value, Malformed> {
        Ok(self.read(shape, "")?.unwrap_or_else(|| Value::Object(Map::new())))
    }

    /// What stands at `path`, if anything does.
    fn read(&self, shape: &Shape, path: &str) -> Result<Option<Value>, Malformed> {
        match &shape.kind {
            Kind::Structure(members) => {
                let mut object = Map::new();
                for member in *members {
                    let place =
                        if path.is_empty() { member.name.to_owned() } else { format!("{path}.{}", member.name) };
                    if let Some(value) = self.read(member.shape, &place)? {
                        object.insert(member.name.to_owned(), value);
                    }
                }
                Ok((!object.is_empty()).then_some(Value::Object(object)))
            }
            Kind::List { element, .. } => self.list(element, path),
            Kind::Integer(_) => self.get(path).map(|text| number(text, path)).transpose(),
            // No input of a service that is served has one of the last three.
            Kind::Text(_) | Kind::Long(_) | Kind::Boolean | Kind::Map { .. } => Ok(self.get(path).map(Value::from)),
        }
    }

    /// The list at `path`: `path.member.1` and so on, or `path` alone with an empty value for a list without members.
    fn list(&self, element: &Shape, path: &str) -> Result<Option<Value>, Malformed> {
        let head = format!("{path}.member");
        let prefix = format!("{head}.");
        let members = self.0.range(prefix.clone()..).map_while(|(name, _)| name.strip_prefix(&prefix));
        let mut numbers: Vec<usize> = Vec::new();
        for member in members {
            let digits = member.split('.').next().unwrap_or_default();
            let number = digits.parse().ok().filter(|number: &usize| number.to_string() == digits);
            numbers.push(number.ok_or_else(|| Malformed::Numbering(head.clone()))?);
        }
        numbers.sort_unstable();
        numbers.dedup();
        if self.get(path).is_some_and(|own| !own.is_empty() || !numbers.is_empty()) {
            return Err(Malformed::NotAList(path.to_owned()));
        }
        if numbers.is_empty() {
            return Ok(self.get(path).map(|_| Value::Array(Vec::new())));
        }
        if !numbers.iter().copied().eq(1..=numbers.len()) {
            return Err(Malformed::Numbering(head));
        }
        let member = |number: &usize| {
            let found = self.read(element, &format!("{prefix}{number}"))?;
            // Something is there, though nothing that the shape names.
            Ok(found.unwrap_or_else(|| Value::Object(Map::new())))
        };
        numbers.iter().map(member).collect::<Result<_, _>>().map(|list| Some(Value::Array(list)))
    }
}

fn number(text: &str, path: &str) -> Result<Value, Malformed> {
    text.parse::<i32>().map(Value::from).map_err(|_| Malformed::NotANumber(path.to_owned()))
}

/// A name or value as it was before it was encoded.
fn decode(text: &[u8]) -> Result<String, Malformed> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| char::from(*digit).to_digit(16));
                let (Some(high), Some(low)) = (digit(), digit()) else { return Err(Malformed::Escape) };
                u8::try_from(high * 16 + low).unwrap_or_default()
            }
            byte => *byte,
        });
    }
    let text = String::from_utf8(bytes).map_err(|_| Malformed::Utf8)?;
    // https://www.w3.org/TR/xml/#charsets
    let unwritable = |c: char| (c < ' ' && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{fffe}' | '\u{ffff}');
    if text.chars().any(unwritable) { Err(Malformed::Character) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::cognito::model::{Bounds, Member};

    static TEXT: Shape = Shape::text("Text", 0, 10);
    static TEXTS: Shape = Shape::list("Texts", &TEXT, Bounds::NONE);
    static PAIR: Shape = Shape::structure("Pair", &[Member::required("Key", &TEXT), Member::required("Value", &TEXT)]);
    static PAIRS: Shape = Shape::list("Pairs", &PAIR, Bounds::NONE);
    static COUNT: Shape = Shape::integer("Count", 1, 10);
    static INPUT: Shape = Shape::structure(
        "Input",
        &[
            Member::required("Name", &TEXT),
            Member::optional("Texts", &TEXTS),
            Member::optional("Pairs", &PAIRS),
            Member::optional("Count", &COUNT),
        ],
    );

    fn read(body: &str) -> Result<Value, Malformed> {
        Form::parse(body.as_bytes())?.structure(&INPUT)
    }

    #[test]
    fn a_form_becomes_what_its_shape_says() {
        let body = "Action=X&Name=a+b%2bc%C3%A9&Texts.member.2=z&Texts.member.1=y&Pairs.member.1.Key=k&\
                    Pairs.member.1.Value=&Count=7&Other.member.9=ignored&";
        let value = json!({ "Name": "a b+c\u{e9}", "Texts": ["y", "z"], "Pairs": [{ "Key": "k", "Value": "" }],
                            "Count": 7 });
        assert_eq!(read(body).unwrap(), value);
        assert_eq!(read("").unwrap(), json!({}));
        assert_eq!(read("Name").unwrap(), json!({ "Name": "" }));
        assert_eq!(read("Name=a=b").unwrap(), json!({ "Name": "a=b" }));
        assert_eq!(read("Texts=").unwrap(), json!({ "Texts": [] }), "as the SDKs write a list without members");
        assert_eq!(read("Pairs.member.1.Kee=k").unwrap(), json!({ "Pairs": [{}] }));
    }

    #[test]
    fn long_lists_keep_their_order() {
        let numbers = 1..=120;
        let body: Vec<String> = numbers.clone().rev().map(|n| format!("Texts.member.{n}=v{n}")).collect();
        let values: Vec<String> = numbers.map(|n| format!("v{n}")).collect();
        assert_eq!(read(&body.join("&")).unwrap(), json!({ "Texts": values }));
    }

    #[test]
    fn what_is_ill_formed_is_refused_rather_than_mended() {
        let twice = |name: &str| Malformed::Twice(name.to_owned());
        let numbering = || Malformed::Numbering("Texts.member".to_owned());
        for (body, why) in [
            ("Name=a&Name=a", twice("Name")),
            ("Name=a&N%61me=b", twice("Name")),
            ("Texts.member.1=a&Texts.member.1=b", twice("Texts.member.1")),
            ("Name=%", Malformed::Escape),
            ("Name=%4", Malformed::Escape),
            ("Name=%4g", Malformed::Escape),
            ("Name=%+1", Malformed::Escape),
            ("%zz=a", Malformed::Escape),
            ("Name=%ff", Malformed::Utf8),
            ("Name=%C3", Malformed::Utf8),
            ("Name=%ED%A0%80", Malformed::Utf8),
            ("Name=%00", Malformed::Character),
            ("Name=%1b", Malformed::Character),
            ("=a", Malformed::Nameless),
            ("&&=", Malformed::Nameless),
            ("Texts.member.2=a", numbering()),
            ("Texts.member.1=a&Texts.member.3=b", numbering()),
            ("Texts.member.0=a", numbering()),
            ("Texts.member.01=a", numbering()),
            ("Texts.member.+1=a", numbering()),
            ("Texts.member.x=a", numbering()),
            ("Texts.member.=a", numbering()),
            ("Texts.member.99999999999999999999=a", numbering()),
            ("Texts=a", Malformed::NotAList("Texts".to_owned())),
            ("Texts=&Texts.member.1=a", Malformed::NotAList("Texts".to_owned())),
            ("Count=x", Malformed::NotANumber("Count".to_owned())),
            ("Count=", Malformed::NotANumber("Count".to_owned())),
            ("Count=2147483648", Malformed::NotANumber("Count".to_owned())),
        ] {
            assert_eq!(read(body), Err(why), "{body}");
        }
        assert_eq!(Form::parse(b"Name=\xff").unwrap_err(), Malformed::Utf8);
    }

    #[test]
    fn the_number_of_parameters_has_a_bound() {
        let body = |count: usize| (0..count).map(|n| format!("p{n}=")).collect::<Vec<_>>().join("&");
        assert!(Form::parse(body(MAX_PARAMETERS).as_bytes()).is_ok());
        assert_eq!(Form::parse(body(MAX_PARAMETERS + 1).as_bytes()).unwrap_err(), Malformed::TooMany);
        assert!(Form::parse(&b"&".repeat(100_000)).is_ok(), "no parameter at all");
    }

    #[test]
    fn long_names_are_not_repeated_whole() {
        let name = "n".repeat(10_000);
        assert_eq!(Form::parse(format!("{name}=&{name}=").as_bytes()).unwrap_err(), Malformed::Twice("n".repeat(128)));
    }

    proptest! {
        #[test]
        fn whatever_an_encoder_writes_is_read_back(
            pairs in proptest::collection::btree_map("[^\\p{C}]{1,8}", "[^\\p{C}]{0,8}", 0..8)
        ) {
            let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
            prop_assert_eq!(Form::parse(body.as_bytes()).unwrap().0, pairs);
        }

        #[test]
        fn no_body_is_too_much_for_the_reader(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(form) = Form::parse(&body) {
                let _ = form.structure(&INPUT);
            }
        }
    }
}
