//! Our tables of shapes against the services' published models: Cognito Identity's both ways, and of IAM and STS what is
//! served.
//!
//! The models are not part of this repository. `make test` installs them with botocore and names the first file in
//! `SYMBOLON_MODEL_JSON`; those of IAM and STS lie beside it.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::{fmt, fs};

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use symbolon::aws_query::shapes::{IAM_OPERATIONS, STS_OPERATIONS, iam_operation, sts_operation};
use symbolon::cognito::model::{Bounds, Kind, Shape};
use symbolon::cognito::shapes::{OPERATIONS, input_of};

/// What the model says of a shape that is no limit: prose, and a hint for generators of Java.
const NO_LIMITS: [&str; 2] = ["documentation", "box"];

const COGNITO_IDENTITY: &str = "cognito-identity";

/// Shapes whose patterns are no limits of the wire here: `symbolon::tags` checks their characters, and names the tag.
const PATTERNS_CHECKED_ELSEWHERE: [&str; 2] = ["tagKeyType", "tagValueType"];

#[expect(clippy::disallowed_methods, reason = "`make test` says where it put the model; this is no configuration")]
fn published_text(service: &str) -> Vec<u8> {
    let path = std::env::var("SYMBOLON_MODEL_JSON")
        .expect("SYMBOLON_MODEL_JSON names no service-2.json of botocore's cognito-identity: run `make test`");
    let mut path = PathBuf::from(path);
    if service != COGNITO_IDENTITY {
        path.set_file_name(format!("{service}-service-2.json"));
    }
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `make clients`", path.display()))
}

fn published(service: &str) -> Value {
    serde_json::from_slice(&published_text(service)).unwrap()
}

/// The operations that are served, and their inputs.
fn served(service: &str) -> BTreeMap<&'static str, &'static Shape> {
    let all = |names: &[&'static str], find: fn(&str) -> Option<(&'static str, &'static Shape)>| {
        names.iter().map(|name| find(name).unwrap()).collect()
    };
    match service {
        COGNITO_IDENTITY => OPERATIONS.iter().map(|name| (*name, input_of(name).unwrap())).collect(),
        "iam" => all(IAM_OPERATIONS, iam_operation),
        "sts" => all(STS_OPERATIONS, sts_operation),
        other => panic!("{other} is not served"),
    }
}

/// `shape` in the words of the published model, and after it all that it is made of.
fn describe(shape: &'static Shape, into: &mut BTreeMap<String, Value>) {
    let (said, parts) = words_of(shape);
    match into.insert(shape.name.to_owned(), said.clone()) {
        Some(before) => assert_eq!(before, said, "two shapes are called {}", shape.name),
        None => parts.into_iter().for_each(|part| describe(part, into)),
    }
}

fn words_of(shape: &'static Shape) -> (Value, Vec<&'static Shape>) {
    let limits = |value: &mut Value, bounds: &Bounds| {
        for (name, limit) in [("min", bounds.min), ("max", bounds.max)] {
            if let Some(limit) = limit {
                value[name] = limit.into();
            }
        }
    };
    match &shape.kind {
        Kind::Structure(members) => {
            let named: Map<String, Value> =
                members.iter().map(|member| (member.name.to_owned(), json!({ "shape": member.shape.name }))).collect();
            assert_eq!(named.len(), members.len(), "{} has a member twice", shape.name);
            let required: BTreeSet<&str> =
                members.iter().filter(|member| member.required).map(|member| member.name).collect();
            let said = json!({ "type": "structure", "members": named, "required": required });
            (said, members.iter().map(|member| member.shape).collect())
        }
        Kind::List { element, size } => {
            let mut said = json!({ "type": "list", "member": { "shape": element.name } });
            limits(&mut said, size);
            (said, vec![*element])
        }
        Kind::Map { key, value, size } => {
            let mut said = json!({ "type": "map", "key": { "shape": key.name }, "value": { "shape": value.name } });
            limits(&mut said, size);
            (said, vec![*key, *value])
        }
        Kind::Text(text) => {
            let mut said = json!({ "type": "string" });
            limits(&mut said, &text.length);
            if let Some(pattern) = text.pattern {
                said["pattern"] = pattern.text.into();
            }
            if !text.one_of.is_empty() {
                said["enum"] = text.one_of.into();
            }
            if text.sensitive {
                said["sensitive"] = true.into();
            }
            (said, Vec::new())
        }
        Kind::Integer(range) => {
            let mut said = json!({ "type": "integer" });
            limits(&mut said, range);
            (said, Vec::new())
        }
        Kind::Long(range) => {
            let mut said = json!({ "type": "long" });
            limits(&mut said, range);
            (said, Vec::new())
        }
        Kind::Boolean => (json!({ "type": "boolean" }), Vec::new()),
    }
}

/// The published `name` without what is no limit, and after it all that it is made of.
fn gather(model: &Value, name: &str, into: &mut BTreeMap<String, Value>) {
    let mut said = model["shapes"][name].clone();
    strip(&mut said);
    if said["type"] == "structure" {
        // Order says nothing here, and a structure may say nothing of what it requires.
        let required: BTreeSet<String> =
            said.get("required").map(|names| serde_json::from_value(names.clone()).unwrap()).unwrap_or_default();
        said["required"] = json!(required);
    }
    let mut parts: Vec<Value> = ["member", "key", "value"].iter().filter_map(|part| said.get(part).cloned()).collect();
    if let Some(members) = said.get("members") {
        parts.extend(members.as_object().unwrap().values().cloned());
    }
    if into.insert(name.to_owned(), said).is_none() {
        for part in parts {
            gather(model, part["shape"].as_str().unwrap(), into);
        }
    }
}

fn strip(value: &mut Value) {
    if let Value::Object(object) = value {
        object.retain(|key, inner| !NO_LIMITS.contains(&key.as_str()) || inner.is_object());
        object.values_mut().for_each(strip);
    }
}

#[test]
fn the_operations_are_those_of_the_published_model() {
    let model = published(COGNITO_IDENTITY);
    let ours: BTreeMap<&str, &str> = OPERATIONS.iter().map(|name| (*name, input_of(name).unwrap().name)).collect();
    let theirs: BTreeMap<&str, &str> = model["operations"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, operation)| (name.as_str(), operation["input"]["shape"].as_str().unwrap()))
        .collect();
    assert_eq!(ours, theirs);
}

#[test]
fn every_shape_has_the_limits_of_the_published_model() {
    let model = published(COGNITO_IDENTITY);
    let (mut ours, mut theirs) = (BTreeMap::new(), BTreeMap::new());
    for name in OPERATIONS {
        describe(input_of(name).unwrap(), &mut ours);
    }
    for operation in model["operations"].as_object().unwrap().values() {
        gather(&model, operation["input"]["shape"].as_str().unwrap(), &mut theirs);
    }
    let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let differences: Vec<String> = names
        .into_iter()
        .filter(|name| ours.get(*name) != theirs.get(*name))
        .map(|name| format!("{name}\n  ours      {:?}\n  published {:?}", ours.get(name), theirs.get(name)))
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(theirs.len() > 60, "only {} shapes were compared", theirs.len());
}

/// The keys of an object, in the order of the text.
#[derive(Default)]
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Names;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some((name, _)) = members.next_entry::<String, IgnoredAny>()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

#[test]
fn members_stand_in_the_order_of_the_published_model() {
    #[derive(Deserialize)]
    struct Ordered {
        #[serde(default)]
        members: Names,
    }
    #[derive(Deserialize)]
    struct Model {
        shapes: BTreeMap<String, Ordered>,
    }
    fn compare(shape: &'static Shape, name: &str, model: &Model) {
        let (_, parts) = words_of(shape);
        if let Kind::Structure(members) = &shape.kind {
            let ours: Vec<&str> = members.iter().map(|member| member.name).collect();
            assert_eq!(ours, model.shapes[name].members.0, "{name}");
        }
        for part in parts {
            compare(part, part.name, model);
        }
    }
    for service in [COGNITO_IDENTITY, "iam", "sts"] {
        let text = published_text(service);
        let model: Model = serde_json::from_slice(&text).unwrap();
        let operations: Value = serde_json::from_slice(&text).unwrap();
        for (operation, shape) in served(service) {
            if let Some(name) = operations["operations"][operation]["input"]["shape"].as_str() {
                compare(shape, name, &model);
            }
        }
    }
}

#[test]
fn what_is_served_of_iam_and_sts_has_the_limits_of_their_published_models() {
    for (service, at_least) in [("iam", 40), ("sts", 10)] {
        let model = published(service);
        let mut compared = BTreeSet::new();
        for (operation, shape) in served(service) {
            let published = &model["operations"][operation];
            assert!(published.is_object(), "{service} has no operation {operation}");
            let (mut ours, mut theirs) = (BTreeMap::new(), BTreeMap::new());
            describe(shape, &mut ours);
            // The shape of an input is our own where several operations have the same.
            let input = ours.remove(shape.name).unwrap();
            if let Some(name) = published["input"]["shape"].as_str() {
                gather(&model, name, &mut theirs);
                assert_eq!(input, theirs.remove(name).unwrap(), "the input of {operation}");
            } else {
                assert_eq!(input["members"], json!({}), "the input of {operation}");
            }
            let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
            for name in names {
                let plain = |said: Option<&Value>| {
                    let mut said = said.cloned().unwrap_or_default();
                    if let Value::Object(limits) = &mut said {
                        // No minimum is a minimum of nothing.
                        limits.retain(|name, limit| name != "min" || *limit != json!(0));
                        limits.retain(|limit, _| {
                            limit != "pattern" || !PATTERNS_CHECKED_ELSEWHERE.contains(&name.as_str())
                        });
                    }
                    said
                };
                assert_eq!(plain(ours.get(name)), plain(theirs.get(name)), "{name} of {operation}");
                compared.insert(name.clone());
            }
            compared.insert(operation.to_owned());
        }
        assert!(compared.len() >= at_least, "only {} shapes of {service} were compared", compared.len());
    }
}
