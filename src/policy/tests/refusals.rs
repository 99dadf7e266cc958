//! What is refused when it is read, each with its exact place; and that reading never panics.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{Context, Policy, Question, TrustPolicy};

fn policy_place(document: &str) -> (String, String) {
    let problem = Policy::parse(document).map(|_| format!("taken: {document}")).unwrap_err();
    (problem.place().to_owned(), problem.to_string())
}

fn trust_place(document: &str) -> (String, String) {
    let problem = TrustPolicy::parse(document).map(|_| format!("taken: {document}")).unwrap_err();
    (problem.place().to_owned(), problem.to_string())
}

/// A statement that is right, but for the members given.
fn policy_with(members: &Value) -> String {
    let mut statement = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
    replace(&mut statement, members);
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}

fn trust_with(members: &Value) -> String {
    let mut statement =
        json!({"Effect": "Allow", "Principal": {"Federated": "a.example"}, "Action": "sts:AssumeRoleWithWebIdentity"});
    replace(&mut statement, members);
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}

/// Sets members; null takes one away.
fn replace(statement: &mut Value, members: &Value) {
    let statement = statement.as_object_mut().unwrap();
    for (name, value) in members.as_object().unwrap() {
        match value {
            Value::Null => drop(statement.remove(name)),
            value => drop(statement.insert(name.clone(), value.clone())),
        }
    }
}

#[test]
fn a_document_that_is_no_policy_is_refused_with_its_place() {
    let statement = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;
    for (document, place) in [
        (String::new(), "document"),
        ("{".to_owned(), "document"),
        ("[]".to_owned(), "document"),
        ("null".to_owned(), "document"),
        (format!(r#"{{"Statement":[{statement}]}} x"#), "document"),
        (format!(r#"{{"Statement":[{statement}],"Statement":[]}}"#), "document"),
        (r#"{"Statement":[{"Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*"}]}"#.to_owned(), "document"),
        (format!(r#"{{"Statement":{}1{}}}"#, "[".repeat(20), "]".repeat(20)), "document"),
        ("{}".to_owned(), "Statement"),
        (r#"{"Statement":[]}"#.to_owned(), "Statement"),
        (r#"{"Statement":"*"}"#.to_owned(), "Statement"),
        (format!(r#"{{"Statement":[{statement},1]}}"#), "Statement[1]"),
        (format!(r#"{{"Version":"2012-10-18","Statement":[{statement}]}}"#), "Version"),
        (format!(r#"{{"Version":2012,"Statement":[{statement}]}}"#), "Version"),
        (format!(r#"{{"Id":1,"Statement":[{statement}]}}"#), "Id"),
        (format!(r#"{{"Id":"a\u0000","Statement":[{statement}]}}"#), "Id"),
        (format!(r#"{{"version":"2012-10-17","Statement":[{statement}]}}"#), "version"),
        (format!(r#"{{"Statements":[{statement}]}}"#), "Statements"),
        (format!(r#"{{"Statement":[{statement}],"a\u0000\u001b[1m":1}}"#), "a\\0\\u{1b}[1m"),
        (r#"{"Statement":{"Effect":"allow","Action":"*","Resource":"*"}}"#.to_owned(), "Statement.Effect"),
        (r#"{"Statement":[{"Sid":"a","Effect":"Deny","Action":"*","Resource":"*"},{"Sid":"a","Effect":"Deny","Action":"*","Resource":"*"}]}"#.to_owned(), "Statement[1].Sid"),
        (format!(r#"{{"Id":"{}","Statement":[{statement}]}}"#, "a".repeat(6144)), "document"),
    ] {
        assert_eq!(policy_place(&document).0, place, "{document}");
    }
}

#[test]
fn a_statement_is_refused_with_its_place() {
    for (members, place) in [
        (json!({"Effect": null}), "Statement[0].Effect"),
        (json!({"Effect": ["Allow"]}), "Statement[0].Effect"),
        (json!({"Sid": "a b"}), "Statement[0].Sid"),
        (json!({"Sid": 1}), "Statement[0].Sid"),
        (json!({"Action": null}), "Statement[0].Action"),
        (json!({"Action": []}), "Statement[0].Action"),
        (json!({"Action": 1}), "Statement[0].Action"),
        (json!({"Action": ""}), "Statement[0].Action"),
        (json!({"Action": "GetId"}), "Statement[0].Action"),
        (json!({"Action": "cognito-identity:"}), "Statement[0].Action"),
        (json!({"Action": "cognito-*:GetId"}), "Statement[0].Action"),
        (json!({"Action": ":GetId"}), "Statement[0].Action"),
        (json!({"Action": "a:b:c"}), "Statement[0].Action"),
        (json!({"Action": "a:b c"}), "Statement[0].Action"),
        (json!({"Action": "a:${b}"}), "Statement[0].Action"),
        (json!({"Action": ["a:b", "GetId"]}), "Statement[0].Action[1]"),
        (json!({"Action": ["a:b", ["a:b"]]}), "Statement[0].Action[1]"),
        (json!({"NotAction": "a:b"}), "Statement[0].NotAction"),
        (json!({"Action": null, "NotAction": ["GetId"]}), "Statement[0].NotAction[0]"),
        (json!({"Resource": null}), "Statement[0].Resource"),
        (json!({"Resource": []}), "Statement[0].Resource"),
        (json!({"Resource": {}}), "Statement[0].Resource"),
        (json!({"Resource": "us-east-1:6d03c3ca"}), "Statement[0].Resource"),
        (json!({"Resource": ["*", "pool/*"]}), "Statement[0].Resource[1]"),
        (json!({"Resource": "arn:aws:iam::111122223333:user/${aws:username}"}), "Statement[0].Resource"),
        (json!({"Resource": "arn:aws:iam::1\u{0}"}), "Statement[0].Resource"),
        (json!({"Resource": null, "NotResource": "*"}), "Statement[0].NotResource"),
        (json!({"Principal": "*"}), "Statement[0].Principal"),
        (json!({"NotPrincipal": "*"}), "Statement[0].NotPrincipal"),
        (json!({"action": "*"}), "Statement[0].action"),
        (json!({"Conditions": {}}), "Statement[0].Conditions"),
    ] {
        let document = policy_with(&members);
        assert_eq!(policy_place(&document).0, place, "{document}");
    }
}

#[test]
fn a_condition_that_would_not_be_decided_is_refused_with_its_place() {
    for (condition, place) in [
        (json!([]), ""),
        (json!("x"), ""),
        (json!({"StringEquals": "x"}), ".StringEquals"),
        (json!({"StringEquals": {}}), ".StringEquals"),
        (json!({"StringEquals": {"aws:username": []}}), ".StringEquals.aws:username"),
        (json!({"StringEquals": {"aws:username": null}}), ".StringEquals.aws:username"),
        (json!({"StringEquals": {"aws:username": 1}}), ".StringEquals.aws:username"),
        (json!({"StringEquals": {"aws:username": true}}), ".StringEquals.aws:username"),
        (json!({"StringEquals": {"aws:username": ["a", {"b": 1}]}}), ".StringEquals.aws:username[1]"),
        (json!({"StringEquals": {"aws:username": ["a", "${aws:userid}"]}}), ".StringEquals.aws:username[1]"),
        (json!({"StringLike": {"aws:username": "${*}"}}), ".StringLike.aws:username"),
        (json!({"StringEquals": {"aws:username": "a", "AWS:UserName": "b"}}), ".StringEquals.aws:username"),
        (json!({"StringEquals": {"aws:PrincipalTag/team": "blue"}}), ".StringEquals.aws:PrincipalTag/team"),
        (json!({"StringEquals": {"username": "a"}}), ".StringEquals.username"),
        (
            json!({"StringEquals": {"cognito-identity.amazonaws.com:aud": "a"}}),
            ".StringEquals.cognito-identity.amazonaws.com:aud",
        ),
        // Operators.
        (json!({"stringEquals": {"aws:username": "a"}}), ".stringEquals"),
        (json!({"Equals": {"aws:username": "a"}}), ".Equals"),
        (json!({"StringEqualsIfExistsIfExists": {"aws:username": "a"}}), ".StringEqualsIfExistsIfExists"),
        (json!({"NumericEquals": {"aws:EpochTime": "1"}}), ".NumericEquals"),
        (json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/a"}}), ".ArnLike"),
        (json!({"Null": {"aws:username": "true"}}), ".Null"),
        (json!({"BinaryEquals": {"aws:username": "YQ=="}}), ".BinaryEquals"),
        (json!({"ForAnyValue:StringEquals": {"aws:username": "a"}}), ".ForAnyValue:StringEquals"),
        (json!({"ForAllValues:StringEquals": {"aws:username": "a"}}), ".ForAllValues:StringEquals"),
        // Operators on keys of another kind.
        (json!({"StringLike": {"aws:SourceIp": "10.*"}}), ".StringLike.aws:SourceIp"),
        (json!({"StringEquals": {"aws:SecureTransport": "true"}}), ".StringEquals.aws:SecureTransport"),
        (json!({"StringEquals": {"aws:CurrentTime": "2026-01-01"}}), ".StringEquals.aws:CurrentTime"),
        (json!({"IpAddress": {"aws:UserAgent": "10.0.0.0/8"}}), ".IpAddress.aws:UserAgent"),
        (json!({"Bool": {"aws:username": "true"}}), ".Bool.aws:username"),
        (json!({"DateLessThan": {"aws:SourceIp": "2026-01-01"}}), ".DateLessThan.aws:SourceIp"),
        // Values.
        (json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}}), ".IpAddress.aws:SourceIp"),
        (json!({"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "office"]}}), ".IpAddress.aws:SourceIp[1]"),
        (json!({"NotIpAddressIfExists": {"aws:SourceIp": "10.*"}}), ".NotIpAddressIfExists.aws:SourceIp"),
        (json!({"IpAddress": {"aws:SourceIp": 10}}), ".IpAddress.aws:SourceIp"),
        (json!({"DateLessThan": {"aws:CurrentTime": "2026-01-01T00:00:00"}}), ".DateLessThan.aws:CurrentTime"),
        (json!({"DateLessThan": {"aws:CurrentTime": "2026-02-30"}}), ".DateLessThan.aws:CurrentTime"),
        (json!({"DateLessThan": {"aws:CurrentTime": "2026"}}), ".DateLessThan.aws:CurrentTime"),
        (json!({"DateLessThan": {"aws:CurrentTime": 1.5}}), ".DateLessThan.aws:CurrentTime"),
        (json!({"DateLessThan": {"aws:EpochTime": [0, "soon"]}}), ".DateLessThan.aws:EpochTime[1]"),
        (json!({"Bool": {"aws:SecureTransport": "yes"}}), ".Bool.aws:SecureTransport"),
        (json!({"Bool": {"aws:SecureTransport": 1}}), ".Bool.aws:SecureTransport"),
    ] {
        let document = policy_with(&json!({"Condition": condition}));
        assert_eq!(policy_place(&document).0, format!("Statement[0].Condition{place}"), "{document}");
    }
}

#[test]
fn a_trust_policy_is_refused_with_its_place() {
    for (members, place) in [
        (json!({"Principal": null}), "Principal"),
        (json!({"Principal": "cognito-identity.amazonaws.com"}), "Principal"),
        (json!({"Principal": {}}), "Principal"),
        (json!({"Principal": ["*"]}), "Principal"),
        (json!({"Principal": {"federated": "a"}}), "Principal.federated"),
        (json!({"Principal": {"Federated": []}}), "Principal.Federated"),
        (json!({"Principal": {"Federated": "*"}}), "Principal.Federated"),
        (json!({"Principal": {"Federated": ["a", "*.example"]}}), "Principal.Federated[1]"),
        (json!({"Principal": {"Federated": ""}}), "Principal.Federated"),
        (json!({"Principal": {"AWS": "arn:aws:iam::*:root"}}), "Principal.AWS"),
        (json!({"Principal": {"Service": 1}}), "Principal.Service"),
        (json!({"Principal": {"AWS": "${aws:userid}"}}), "Principal.AWS"),
        (json!({"NotPrincipal": {"Federated": "a"}}), "NotPrincipal"),
        (json!({"Resource": "*"}), "Resource"),
        (json!({"NotResource": "*"}), "NotResource"),
        (json!({"Action": "*"}), "Action"),
        (json!({"Action": ["sts:AssumeRole", "iam:PassRole"]}), "Action[1]"),
        (json!({"Action": null}), "Action"),
        (json!({"Extra": 1}), "Extra"),
        (json!({"Condition": {"BinaryEquals": {"a:b": "YQ=="}}}), "Condition.BinaryEquals"),
        (json!({"Condition": {"NullIfExists": {"a:b": "true"}}}), "Condition.NullIfExists"),
        (json!({"Condition": {"ForAnyValue:Null": {"a:b": "true"}}}), "Condition.ForAnyValue:Null"),
        (json!({"Condition": {"ForSomeValue:StringEquals": {"a:b": "c"}}}), "Condition.ForSomeValue:StringEquals"),
        (json!({"Condition": {"Null": {"a:b": "never"}}}), "Condition.Null.a:b"),
        (json!({"Condition": {"StringEquals": {"aud": "c"}}}), "Condition.StringEquals.aud"),
        (json!({"Condition": {"StringEquals": {"a:b\n": "c"}}}), "Condition.StringEquals.a:b\\n"),
        (json!({"Condition": {"StringEquals": {"a:b": "${saml:sub}"}}}), "Condition.StringEquals.a:b"),
        (json!({"Condition": {"StringEquals": {"aws:SourceIp": "10.0.0.1"}}}), "Condition.StringEquals.aws:SourceIp"),
        (json!({"Condition": {"NumericLessThan": {"a:b": "1e3"}}}), "Condition.NumericLessThan.a:b"),
        (
            json!({"Condition": {"NumericLessThan": {"aws:CurrentTime": "1"}}}),
            "Condition.NumericLessThan.aws:CurrentTime",
        ),
        (json!({"Condition": {"ArnLike": {"a:b": ["arn:aws:iam::1:role/a", "*"]}}}), "Condition.ArnLike.a:b[1]"),
    ] {
        let document = trust_with(&members);
        assert_eq!(trust_place(&document).0, format!("Statement[0].{place}"), "{document}");
    }
    let long = trust_with(&json!({"Condition": {"StringEquals": {"a:b": "a".repeat(4096)}}}));
    assert_eq!(trust_place(&long).0, "document");
}

#[test]
fn a_refusal_says_what_may_stand_there() {
    for (members, words) in [
        (json!({"Action": "GetId"}), "Statement[0].Action: an action is * or has the form service:Name"),
        (json!({"Resource": "x"}), "a resource is * or an ARN"),
        (json!({"Effect": "allow"}), "\"Allow\" and \"Deny\""),
        (json!({"Extra": 1}), "Statement[0].Extra: unknown; known here are Sid, Effect, Action"),
        (json!({"Condition": {"StringEquals": {"aws:user": "a"}}}), "the known ones are aws:CurrentTime, "),
        (json!({"Condition": {"Equals": {"aws:username": "a"}}}), "those are StringEquals, "),
        (json!({"Condition": {"StringLike": {"aws:SourceIp": "10.*"}}}), "compare it with IpAddress or NotIpAddress"),
        (json!({"Condition": {"DateLessThan": {"aws:CurrentTime": "x"}}}), "2026-01-31T18:30:00Z"),
    ] {
        let shown = policy_place(&policy_with(&members)).1;
        assert!(shown.contains(words), "{shown}");
    }
    let shown = policy_place(&policy_with(&json!({"Condition": {"Equals": {"aws:username": "a"}}}))).1;
    assert!(!shown.contains("Numeric") && !shown.contains("Null"), "{shown}");
}

#[test]
fn white_space_does_not_count_as_length() {
    let document = policy_with(&json!({}));
    let spaced = document.replace(',', &format!(",{}", " \n".repeat(6144)));
    Policy::parse(&spaced).unwrap();
    assert_eq!(policy_place(&" ".repeat(131_073)).0, "document");
}

/// JSON that looks like a policy often enough to get somewhere.
fn any_value() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "Allow",
        "Deny",
        "*",
        "a:b",
        "arn:aws:a:::b",
        "arn:",
        "${a}",
        "10.0.0.0/8",
        "::/0",
        "2026-01-01",
        "true",
        "",
        "é",
        "2012-10-17",
        "sts:AssumeRole",
        "1e5",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        words.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let names = prop::sample::select(vec![
        "Version",
        "Id",
        "Statement",
        "Sid",
        "Effect",
        "Action",
        "NotAction",
        "Resource",
        "Condition",
        "Principal",
        "Federated",
        "AWS",
        "StringEquals",
        "StringNotLikeIfExists",
        "IpAddress",
        "DateLessThan",
        "Bool",
        "NumericEquals",
        "ArnLike",
        "Null",
        "ForAnyValue:StringLike",
        "aws:SourceIp",
        "aws:CurrentTime",
        "aws:username",
        "a:b",
        "",
    ]);
    leaf.prop_recursive(6, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(names.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|object| Value::Object(object.into_iter().collect())),
        ]
    })
}

/// Reads the document as both kinds, and asks what could be read.
fn read(document: &str) {
    let mut context = Context::new();
    context.set_all("a:b", ["", "1", "é"]);
    context.set("aws:SourceIp", "::1");
    if let Ok(policy) = Policy::parse(document) {
        let _ = policy.decide(&Question { action: "a:b", resource: "*", context: &context });
    }
    if let Ok(policy) = TrustPolicy::parse(document) {
        let _ = policy.decide("sts:AssumeRole", &["a"], &context, &["a:b"]);
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        read(&text);
    }

    #[test]
    fn any_json_is_read_or_refused(value in any_value()) {
        read(&value.to_string());
        read(&json!({"Statement": value}).to_string());
        read(&policy_with(&json!({"Condition": value})));
        read(&trust_with(&json!({"Condition": value})));
        read(&policy_with(&json!({"Action": value})));
        read(&policy_with(&json!({"Resource": value})));
        read(&trust_with(&json!({"Principal": value})));
    }

    #[test]
    fn any_value_of_any_operator_is_read_or_refused(
        operator in prop::sample::select(vec![
            "StringEquals", "StringLike", "IpAddress", "DateEquals", "NumericEquals", "ArnEquals", "Bool", "Null",
        ]),
        text in "[-+0-9.:/TZ*?a-fé]{0,24}",
        given in "[-+0-9.:/TZa-fé]{0,24}",
    ) {
        let document = trust_with(&json!({"Condition": {operator: {"a:b": text}}}));
        if let Ok(policy) = TrustPolicy::parse(&document) {
            let mut context = Context::new();
            context.set("a:b", given);
            let _ = policy.decide("sts:AssumeRoleWithWebIdentity", &["a.example"], &context, &[]);
        }
    }
}
