//! Our table of shapes against the service's published model, both ways.
//!
//! The model is not part of this repository. `make test` installs it with botocore and names the file in
//! `SYMBOLON_MODEL_JSON`.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::{fmt, fs};

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use symbolon::cognito::model::{Bounds, Kind, Shape};
use symbolon::cognito::shapes::{OPERATIONS, input_of};

/// What the model says of a shape that is no limit: prose, and a hint for generators of Java.
const NO_LIMITS: [&str; 2] = ["documentation", "box"];

#[expect(clippy::disallowed_methods, reason = "`make test` says where it put the model; this is no configuration")]
fn published_text() -> Vec<u8> {
    let path = std::env::var("SYMBOLON_MODEL_JSON")
        .expect("SYMBOLON_MODEL_JSON names no service-2.json of botocore's cognito-identity: run `make test`");
    fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn published() -> Value {
    serde_json::from_slice(&published_text()).unwrap()
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
    let model = published();
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
    let model = published();
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
    fn compare(shape: &'static Shape, model: &Model) {
        let (_, parts) = words_of(shape);
        if let Kind::Structure(members) = &shape.kind {
            let ours: Vec<&str> = members.iter().map(|member| member.name).collect();
            assert_eq!(ours, model.shapes[shape.name].members.0, "{}", shape.name);
        }
        for part in parts {
            compare(part, model);
        }
    }
    let model: Model = serde_json::from_slice(&published_text()).unwrap();
    for name in OPERATIONS {
        compare(input_of(name).unwrap(), &model);
    }
}
