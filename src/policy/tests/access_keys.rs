//! What policies of access keys decide.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::Decision::{Allowed, ExplicitDeny, NotAllowed};
use super::super::{Context, Decision, Policy, Question};
use super::context;

const POOL: &str = "arn:aws:cognito-identity:us-east-1:111122223333:identitypool/us-east-1:6d03c3ca";
const TOKEN: &str = "cognito-identity:GetOpenIdTokenForDeveloperIdentity";

fn decide(statements: &Value, action: &str, resource: &str, context: &Context) -> Decision {
    let document = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    let policy = Policy::parse(&document).unwrap_or_else(|problem| panic!("{problem}: {document}"));
    policy.decide(&Question { action, resource, context })
}

#[test]
fn a_statement_speaks_of_its_actions_and_resources() {
    let other = POOL.replace("6d03c3ca", "other");
    for (statements, action, resource, expected) in [
        (json!([{"Effect": "Allow", "Action": "*", "Resource": "*"}]), TOKEN, POOL, Allowed),
        (json!({"Effect": "Allow", "Action": "*", "Resource": "*"}), TOKEN, POOL, Allowed),
        (json!([{"Effect": "Deny", "Action": "*", "Resource": "*"}]), TOKEN, POOL, ExplicitDeny),
        (json!([{"Effect": "Allow", "Action": TOKEN, "Resource": POOL}]), TOKEN, POOL, Allowed),
        (json!([{"Effect": "Allow", "Action": TOKEN, "Resource": POOL}]), TOKEN, &other, NotAllowed),
        (json!([{"Effect": "Allow", "Action": TOKEN, "Resource": POOL}]), "cognito-identity:GetId", POOL, NotAllowed),
        (json!([{"Effect": "Allow", "Action": TOKEN, "Resource": [other, POOL]}]), TOKEN, POOL, Allowed),
        (json!([{"Effect": "Allow", "Action": ["a:b", TOKEN], "Resource": "*"}]), TOKEN, POOL, Allowed),
        // The case of an action does not matter, that of a resource does.
        (json!([{"Effect": "Allow", "Action": TOKEN.to_uppercase(), "Resource": "*"}]), TOKEN, POOL, Allowed),
        (
            json!([{"Effect": "Allow", "Action": "*", "Resource": POOL.replace("pool/", "Pool/")}]),
            TOKEN,
            POOL,
            NotAllowed,
        ),
        // Wildcards.
        (json!([{"Effect": "Allow", "Action": "cognito-identity:Get*", "Resource": "*"}]), TOKEN, POOL, Allowed),
        (
            json!([{"Effect": "Allow", "Action": "cognito-identity:G?tId", "Resource": "*"}]),
            "cognito-identity:GetId",
            "*",
            Allowed,
        ),
        (
            json!([{"Effect": "Allow", "Action": "cognito-identity:G?tId", "Resource": "*"}]),
            "cognito-identity:GtId",
            "*",
            NotAllowed,
        ),
        (json!([{"Effect": "Allow", "Action": "*:Get*", "Resource": "*"}]), TOKEN, POOL, Allowed),
        (json!([{"Effect": "Allow", "Action": "iam:*", "Resource": "*"}]), TOKEN, POOL, NotAllowed),
        (json!([{"Effect": "Allow", "Action": "*", "Resource": "arn:aws:cognito-identity:*"}]), TOKEN, POOL, Allowed),
        (
            json!([{"Effect": "Allow", "Action": "*", "Resource": "arn:*:identitypool/us-east-1:*"}]),
            TOKEN,
            POOL,
            Allowed,
        ),
        (
            json!([{"Effect": "Allow", "Action": "*", "Resource": "arn:aws:cognito-identity:*:*:identitypool/????"}]),
            TOKEN,
            POOL,
            NotAllowed,
        ),
        // An action that knows no resource is on `*`, which only `*` fits.
        (
            json!([{"Effect": "Allow", "Action": "*", "Resource": POOL}]),
            "cognito-identity:ListIdentityPools",
            "*",
            NotAllowed,
        ),
        (
            json!([{"Effect": "Allow", "Action": "*", "Resource": "*"}]),
            "cognito-identity:ListIdentityPools",
            "*",
            Allowed,
        ),
        // Every action but.
        (json!([{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}]), TOKEN, POOL, Allowed),
        (json!([{"Effect": "Allow", "NotAction": "COGNITO-identity:get*", "Resource": "*"}]), TOKEN, POOL, NotAllowed),
        (json!([{"Effect": "Allow", "NotAction": ["iam:*", TOKEN], "Resource": "*"}]), TOKEN, POOL, NotAllowed),
        (json!([{"Effect": "Allow", "NotAction": "*", "Resource": "*"}]), TOKEN, POOL, NotAllowed),
        (json!([{"Effect": "Deny", "NotAction": TOKEN, "Resource": "*"}]), TOKEN, POOL, NotAllowed),
        (json!([{"Effect": "Deny", "NotAction": "iam:*", "Resource": "*"}]), TOKEN, POOL, ExplicitDeny),
        // A denial of something else denies nothing here.
        (
            json!([{"Effect": "Allow", "Action": "*", "Resource": "*"}, {"Effect": "Deny", "Action": "iam:*", "Resource": "*"}]),
            TOKEN,
            POOL,
            Allowed,
        ),
        (
            json!([{"Effect": "Allow", "Action": "*", "Resource": "*"}, {"Effect": "Deny", "Action": "*", "Resource": other}]),
            TOKEN,
            POOL,
            Allowed,
        ),
    ] {
        assert_eq!(
            decide(&statements, action, resource, &Context::new()),
            expected,
            "{action} {resource} {statements}"
        );
    }
}

#[test]
fn an_explicit_deny_wins_wherever_it_stands() {
    let allow = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
    let deny = json!({"Effect": "Deny", "Action": "cognito-identity:Delete*", "Resource": "*"});
    let narrow = json!({"Effect": "Allow", "Action": "cognito-identity:DeleteIdentityPool", "Resource": POOL});
    for statements in [
        [&allow, &deny, &narrow],
        [&allow, &narrow, &deny],
        [&deny, &allow, &narrow],
        [&deny, &narrow, &allow],
        [&narrow, &allow, &deny],
        [&narrow, &deny, &allow],
    ] {
        let decided = decide(&json!(statements), "cognito-identity:DeleteIdentityPool", POOL, &Context::new());
        assert_eq!(decided, ExplicitDeny, "{statements:?}");
    }
}

#[test]
fn conditions_hold_as_aws_documents_them() {
    const IP: &str = "aws:SourceIp";
    const REGION: &str = "aws:RequestedRegion";
    const TLS: &str = "aws:SecureTransport";
    const NOW: &str = "aws:CurrentTime";
    for (condition, given, holds) in [
        // Texts.
        (json!({"StringEquals": {REGION: "us-east-1"}}), [(REGION, "us-east-1")].as_slice(), true),
        (json!({"StringEquals": {REGION: "us-east-1"}}), &[(REGION, "US-east-1")], false),
        (json!({"StringEquals": {REGION: "us-*"}}), &[(REGION, "us-east-1")], false),
        (json!({"StringEquals": {"AWS:requestedregion": "us-east-1"}}), &[(REGION, "us-east-1")], true),
        (json!({"StringEquals": {REGION: ["eu-west-1", "us-east-1"]}}), &[(REGION, "us-east-1")], true),
        (json!({"StringEquals": {REGION: ["eu-west-1", "us-east-2"]}}), &[(REGION, "us-east-1")], false),
        (json!({"StringEqualsIgnoreCase": {"aws:username": "ALICÉ"}}), &[("aws:username", "alicé")], true),
        (json!({"StringEqualsIgnoreCase": {"aws:username": "alice"}}), &[("aws:username", "alicia")], false),
        (json!({"StringNotEqualsIgnoreCase": {"aws:username": "ALICE"}}), &[("aws:username", "alice")], false),
        (json!({"StringLike": {"aws:UserAgent": "Boto3/*"}}), &[("aws:UserAgent", "Boto3/1.40 md/x")], true),
        (json!({"StringLike": {"aws:UserAgent": "boto3/*"}}), &[("aws:UserAgent", "Boto3/1.40")], false),
        (
            json!({"StringLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/A?IA*"}}),
            &[("aws:PrincipalArn", "arn:aws:iam::111122223333:user/AKIA1")],
            true,
        ),
        (json!({"StringNotLike": {REGION: ["eu-*", "us-*"]}}), &[(REGION, "us-east-1")], false),
        (json!({"StringNotLike": {REGION: ["eu-*", "ap-*"]}}), &[(REGION, "us-east-1")], true),
        // Of the values of an operator with Not, none may fit.
        (json!({"StringNotEquals": {REGION: ["eu-west-1", "us-east-1"]}}), &[(REGION, "us-east-1")], false),
        (json!({"StringNotEquals": {REGION: ["eu-west-1", "us-east-2"]}}), &[(REGION, "us-east-1")], true),
        // An absent key.
        (json!({"StringEquals": {REGION: "us-east-1"}}), &[], false),
        (json!({"StringLike": {REGION: "*"}}), &[], false),
        (json!({"StringNotEquals": {REGION: "us-east-1"}}), &[], true),
        (json!({"StringNotLike": {REGION: "*"}}), &[], true),
        (json!({"StringNotEqualsIgnoreCase": {REGION: "us-east-1"}}), &[], true),
        (json!({"NotIpAddress": {IP: "0.0.0.0/0"}}), &[], true),
        (json!({"IpAddress": {IP: "0.0.0.0/0"}}), &[], false),
        (json!({"DateNotEquals": {NOW: "2026-01-01"}}), &[], true),
        (json!({"DateLessThan": {NOW: "2026-01-01"}}), &[], false),
        (json!({"Bool": {TLS: "false"}}), &[], false),
        // IfExists.
        (json!({"StringEqualsIfExists": {REGION: "us-east-1"}}), &[], true),
        (json!({"StringEqualsIfExists": {REGION: "us-east-1"}}), &[(REGION, "us-east-1")], true),
        (json!({"StringEqualsIfExists": {REGION: "us-east-1"}}), &[(REGION, "eu-west-1")], false),
        (json!({"StringNotEqualsIfExists": {REGION: "us-east-1"}}), &[], true),
        (json!({"StringNotEqualsIfExists": {REGION: "us-east-1"}}), &[(REGION, "us-east-1")], false),
        (json!({"BoolIfExists": {TLS: true}}), &[], true),
        (json!({"BoolIfExists": {TLS: true}}), &[(TLS, "false")], false),
        (json!({"IpAddressIfExists": {IP: "10.0.0.0/8"}}), &[(IP, "11.0.0.1")], false),
        (json!({"DateLessThanIfExists": {NOW: "2026-01-01"}}), &[], true),
        // Booleans.
        (json!({"Bool": {TLS: "true"}}), &[(TLS, "true")], true),
        (json!({"Bool": {TLS: true}}), &[(TLS, "true")], true),
        (json!({"Bool": {TLS: "True"}}), &[(TLS, "true")], true),
        (json!({"Bool": {TLS: false}}), &[(TLS, "true")], false),
        (json!({"Bool": {TLS: [true, false]}}), &[(TLS, "false")], true),
        (json!({"Bool": {TLS: [true, false]}}), &[(TLS, "perhaps")], false),
        // Addresses.
        (json!({"IpAddress": {IP: "203.0.113.0/24"}}), &[(IP, "203.0.113.9")], true),
        (json!({"IpAddress": {IP: ["10.0.0.0/8", "2001:db8::/32"]}}), &[(IP, "2001:db8::9")], true),
        (json!({"IpAddress": {IP: "203.0.113.0/24"}}), &[(IP, "::ffff:203.0.113.9")], true),
        (json!({"IpAddress": {IP: "203.0.113.0/24"}}), &[(IP, "no address")], false),
        (json!({"NotIpAddress": {IP: ["203.0.113.0/24", "10.0.0.0/8"]}}), &[(IP, "10.1.2.3")], false),
        (json!({"NotIpAddress": {IP: ["203.0.113.0/24", "10.0.0.0/8"]}}), &[(IP, "11.1.2.3")], true),
        (json!({"NotIpAddress": {IP: "203.0.113.0/24"}}), &[(IP, "no address")], true),
        // Times are compared as moments.
        (json!({"DateEquals": {NOW: "2026-01-01T02:00:00+02:00"}}), &[(NOW, "2026-01-01T00:00:00Z")], true),
        (json!({"DateEquals": {"aws:EpochTime": "2026-01-01"}}), &[("aws:EpochTime", "1767225600")], true),
        (json!({"DateNotEquals": {NOW: 1_767_225_600}}), &[(NOW, "2026-01-01T00:00:00Z")], false),
        (json!({"DateLessThan": {NOW: "2026-01-01T00:00:00Z"}}), &[(NOW, "2026-01-01T00:00:00Z")], false),
        (json!({"DateLessThanEquals": {NOW: "2026-01-01T00:00:00Z"}}), &[(NOW, "2026-01-01T00:00:00Z")], true),
        (json!({"DateGreaterThan": {NOW: "2026-01-01T00:00:00Z"}}), &[(NOW, "2026-01-01T00:00:00.001Z")], true),
        (json!({"DateGreaterThan": {NOW: "2026-01-01"}}), &[(NOW, "2026-01-01T00:00:00Z")], false),
        (json!({"DateGreaterThanEquals": {NOW: "2026-01-01"}}), &[(NOW, "2026-01-01T00:00:00Z")], true),
        (json!({"DateGreaterThan": {NOW: "2026-01-01"}}), &[(NOW, "no time")], false),
        // All operators must hold, and all of their keys.
        (
            json!({"StringEquals": {REGION: "us-east-1"}, "Bool": {TLS: true}}),
            &[(REGION, "us-east-1"), (TLS, "true")],
            true,
        ),
        (
            json!({"StringEquals": {REGION: "us-east-1"}, "Bool": {TLS: true}}),
            &[(REGION, "us-east-1"), (TLS, "false")],
            false,
        ),
        (json!({"StringEquals": {REGION: "us-east-1", "aws:username": "a"}}), &[(REGION, "us-east-1")], false),
        (
            json!({"DateGreaterThan": {NOW: "2026-01-01"}, "DateLessThan": {NOW: "2026-02-01"}}),
            &[(NOW, "2026-01-15")],
            true,
        ),
        (
            json!({"DateGreaterThan": {NOW: "2026-01-01"}, "DateLessThan": {NOW: "2026-02-01"}}),
            &[(NOW, "2026-02-15")],
            false,
        ),
        (json!({}), &[], true),
    ] {
        let allow = json!([{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition}]);
        let expected = if holds { Allowed } else { NotAllowed };
        assert_eq!(decide(&allow, TOKEN, POOL, &context(given)), expected, "{condition} {given:?}");
        let deny = json!([
            {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition},
            {"Effect": "Allow", "Action": "*", "Resource": "*"},
        ]);
        let expected = if holds { ExplicitDeny } else { Allowed };
        assert_eq!(decide(&deny, TOKEN, POOL, &context(given)), expected, "{condition} {given:?}");
    }
}

#[test]
fn the_document_is_kept_as_it_was_given() {
    let document = "{ \"Statement\": {\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"} }\n";
    assert_eq!(Policy::parse(document).unwrap().text(), document);
}

fn any_statement() -> impl Strategy<Value = Value> {
    let effect = prop::sample::select(vec!["Allow", "Deny"]);
    let action = prop::sample::select(vec!["*", "s:*", "s:Get*", "s:GetA", "s:PutA", "t:*"]);
    let resource = prop::sample::select(vec!["*", "arn:aws:s:::*", "arn:aws:s:::a", "arn:aws:s:::b"]);
    let operator = prop::sample::select(vec!["StringEquals", "StringNotEquals", "StringEqualsIfExists"]);
    let condition = prop::option::of((operator, prop::sample::select(vec!["a", "b"])));
    (effect, any::<bool>(), action, resource, condition).prop_map(|(effect, all_but, action, resource, condition)| {
        let name = if all_but { "NotAction" } else { "Action" };
        let mut statement = json!({"Effect": effect, name: action, "Resource": resource});
        if let Some((operator, value)) = condition {
            statement["Condition"] = json!({operator: {"aws:username": value}});
        }
        statement
    })
}

proptest! {
    #[test]
    fn the_order_of_statements_does_not_matter(
        (given, shuffled) in prop::collection::vec(any_statement(), 1..6)
            .prop_flat_map(|statements| (Just(statements.clone()), Just(statements).prop_shuffle())),
        action in prop::sample::select(vec!["s:GetA", "s:PutA", "t:GetA"]),
        resource in prop::sample::select(vec!["*", "arn:aws:s:::a", "arn:aws:s:::c"]),
        user in prop::option::of(prop::sample::select(vec!["a", "c"])),
    ) {
        let context = context(user.map(|user| ("aws:username", user)).as_slice());
        let decided = decide(&json!(given), action, resource, &context);
        prop_assert_eq!(decide(&json!(shuffled), action, resource, &context), decided);
        // And each statement by itself says what the whole is made of.
        let alone: Vec<_> = given.iter().map(|one| decide(one, action, resource, &context)).collect();
        let expected = [ExplicitDeny, Allowed].into_iter().find(|said| alone.contains(said)).unwrap_or(NotAllowed);
        prop_assert_eq!(decided, expected);
    }
}
