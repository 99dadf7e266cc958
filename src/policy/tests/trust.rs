//! What trust policies decide about someone with a login of a provider.

use serde_json::{Value, json};

use super::super::Decision::{Allowed, ExplicitDeny, NotAllowed};
use super::super::{Decision, TrustPolicy};
use super::context;

const ASSUME: &str = "sts:AssumeRoleWithWebIdentity";
const COGNITO: &str = "cognito-identity.amazonaws.com";
const AUD: &str = "cognito-identity.amazonaws.com:aud";
const AMR: &str = "cognito-identity.amazonaws.com:amr";
const POOL: &str = "us-east-1:6d03c3ca-918a-4d03-84bd-192d2cb331b8";

fn decide(statements: &Value, names: &[&str], given: &[(&str, &str)]) -> Decision {
    let document = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    let policy = TrustPolicy::parse(&document).unwrap_or_else(|problem| panic!("{problem}: {document}"));
    policy.decide(ASSUME, names, &context(given), &[AUD])
}

#[test]
fn the_trust_policy_of_the_cognito_console_trusts_its_pool_and_no_guest() {
    let document = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
        "Principal":{"Federated":"cognito-identity.amazonaws.com"},"Action":"sts:AssumeRoleWithWebIdentity",
        "Condition":{"StringEquals":{"cognito-identity.amazonaws.com:aud":"us-east-1:6d03c3ca-918a-4d03-84bd-192d2cb331b8"},
        "ForAnyValue:StringLike":{"cognito-identity.amazonaws.com:amr":"authenticated"}}}]}"#;
    let policy = TrustPolicy::parse(document).unwrap();
    assert_eq!(policy.text(), document);
    let provider = "arn:aws:iam::111122223333:oidc-provider/broker.example.com";
    for (action, names, given, expected) in [
        (ASSUME, [COGNITO, provider].as_slice(), [(AUD, POOL), (AMR, "authenticated|login.acme")].as_slice(), Allowed),
        ("STS:assumerolewithwebidentity", &[COGNITO], &[(AUD, POOL), (AMR, "authenticated")], Allowed),
        (ASSUME, &[COGNITO], &[(AUD, POOL), (AMR, "unauthenticated")], NotAllowed),
        (ASSUME, &[COGNITO], &[(AUD, POOL)], NotAllowed),
        (ASSUME, &[COGNITO], &[(AUD, "us-east-1:other"), (AMR, "authenticated")], NotAllowed),
        (ASSUME, &[COGNITO], &[(AMR, "authenticated")], NotAllowed),
        (ASSUME, &[provider], &[(AUD, POOL), (AMR, "authenticated")], NotAllowed),
        (ASSUME, &[], &[(AUD, POOL), (AMR, "authenticated")], NotAllowed),
        ("sts:AssumeRole", &[COGNITO], &[(AUD, POOL), (AMR, "authenticated")], NotAllowed),
        ("sts:TagSession", &[COGNITO], &[(AUD, POOL), (AMR, "authenticated")], NotAllowed),
    ] {
        assert_eq!(policy.decide(action, names, &context(given), &[AUD]), expected, "{action} {names:?} {given:?}");
    }
}

#[test]
fn only_a_provider_that_is_named_is_let_in_and_everyone_can_be_kept_out() {
    let condition = json!({"StringEquals": {AUD: POOL}});
    let allow = |principal: Value| json!([{"Effect": "Allow", "Principal": principal, "Action": ASSUME, "Condition": condition}]);
    let given = [(AUD, POOL)];
    for (principal, expected) in [
        (json!({"Federated": COGNITO}), Allowed),
        (json!({"Federated": ["accounts.google.com", COGNITO]}), Allowed),
        (json!({"AWS": "111122223333", "Federated": COGNITO}), Allowed),
        (json!({"Federated": "accounts.google.com"}), NotAllowed),
        (json!({"Federated": COGNITO.to_uppercase()}), NotAllowed),
        (json!("*"), NotAllowed),
        (json!({"AWS": "*"}), NotAllowed),
        (json!({"AWS": ["*"]}), NotAllowed),
        (json!({"AWS": COGNITO}), NotAllowed),
        (json!({"Service": COGNITO}), NotAllowed),
        (json!({"CanonicalUser": COGNITO}), NotAllowed),
    ] {
        assert_eq!(decide(&allow(principal.clone()), &[COGNITO], &given), expected, "{principal}");
    }
    for (principal, expected) in [
        (json!("*"), ExplicitDeny),
        (json!({"AWS": "*"}), ExplicitDeny),
        (json!({"Federated": "*"}), ExplicitDeny),
        (json!({"Federated": COGNITO}), ExplicitDeny),
        (json!({"Federated": "accounts.google.com"}), Allowed),
        (json!({"AWS": "arn:aws:iam::111122223333:root"}), Allowed),
    ] {
        let mut statements = vec![json!({"Effect": "Deny", "Principal": principal, "Action": "sts:*"})];
        statements.extend(allow(json!({"Federated": COGNITO})).as_array().cloned().unwrap());
        assert_eq!(decide(&json!(statements), &[COGNITO], &given), expected, "{principal}");
        statements.reverse();
        assert_eq!(decide(&json!(statements), &[COGNITO], &given), expected, "{principal}");
    }
}

#[test]
fn a_statement_that_names_no_audience_lets_nobody_in() {
    for (condition, expected) in [
        (json!({"StringEquals": {AUD: POOL}}), Allowed),
        (json!({"StringEquals": {AUD: ["other", POOL]}}), Allowed),
        (json!({"StringEquals": {AUD.to_uppercase(): POOL}}), Allowed),
        (json!({"StringLike": {AUD: POOL}}), Allowed),
        (json!({"ForAnyValue:StringEquals": {AUD: POOL}}), Allowed),
        (json!({"StringLike": {AUD: "*"}, "StringEquals": {AUD: POOL}}), Allowed),
        // Each holds, and pins nothing down.
        (json!({}), NotAllowed),
        (json!({"StringLike": {AUD: "*"}}), NotAllowed),
        (json!({"StringLike": {AUD: "us-east-1:*"}}), NotAllowed),
        (json!({"StringLike": {AUD: [POOL, "us-east-1:????????-*"]}}), NotAllowed),
        (json!({"StringEqualsIfExists": {AUD: POOL}}), NotAllowed),
        (json!({"ForAllValues:StringEquals": {AUD: POOL}}), NotAllowed),
        (json!({"StringNotEquals": {AUD: "other"}}), NotAllowed),
        (json!({"StringEqualsIgnoreCase": {AUD: POOL}}), NotAllowed),
        (json!({"Null": {AUD: "false"}}), NotAllowed),
        (json!({"StringEquals": {AMR: "authenticated"}}), NotAllowed),
    ] {
        let statements =
            json!({"Effect": "Allow", "Principal": {"Federated": COGNITO}, "Action": ASSUME, "Condition": condition});
        assert_eq!(decide(&statements, &[COGNITO], &[(AUD, POOL), (AMR, "authenticated")]), expected, "{condition}");
    }
    // An empty text is no audience, even for a token with an empty one.
    let statements = json!({"Effect": "Allow", "Principal": {"Federated": COGNITO}, "Action": ASSUME,
        "Condition": {"StringEquals": {AUD: [POOL, ""]}}});
    assert_eq!(decide(&statements, &[COGNITO], &[(AUD, "")]), NotAllowed);
}

#[test]
fn conditions_of_trust_hold_as_aws_documents_them() {
    const TAG: &str = "aws:RequestTag/team";
    const SUB: &str = "idp.example.com/realms/x:sub";
    for (condition, given, holds) in [
        (json!({"StringLike": {SUB: "repo:acme/*"}}), [(SUB, "repo:acme/web:ref")].as_slice(), true),
        (json!({"NumericLessThanEquals": {"sts:DurationSeconds": "3600"}}), &[("sts:DurationSeconds", "3600")], true),
        (json!({"NumericLessThanEquals": {"sts:DurationSeconds": 3600}}), &[("sts:DurationSeconds", "3601")], false),
        (json!({"NumericEquals": {"sts:DurationSeconds": [900, 3600]}}), &[("sts:DurationSeconds", "900.0")], true),
        (json!({"NumericNotEquals": {"sts:DurationSeconds": 900}}), &[], true),
        (json!({"NumericGreaterThan": {"sts:DurationSeconds": 900}}), &[("sts:DurationSeconds", "much")], false),
        (json!({"NumericGreaterThan": {"aws:EpochTime": 900}}), &[("aws:EpochTime", "1767225600")], true),
        (
            json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/*"}}),
            &[("aws:PrincipalArn", "arn:aws:iam::1:role/a")],
            true,
        ),
        (
            json!({"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::*:role/*"}}),
            &[("aws:PrincipalArn", "arn:aws:iam::1:role/a")],
            true,
        ),
        (json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:*:*:*:*"}}), &[("aws:PrincipalArn", "arn:aws:iam")], false),
        (
            json!({"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::2:role/*"}}),
            &[("aws:PrincipalArn", "arn:aws:iam::1:role/a")],
            true,
        ),
        (json!({"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::2:role/*"}}), &[], true),
        (json!({"ArnEqualsIfExists": {"aws:PrincipalArn": "arn:aws:iam::2:role/*"}}), &[], true),
        // Whether a key is there.
        (json!({"Null": {TAG: "true"}}), &[], true),
        (json!({"Null": {TAG: "true"}}), &[(TAG, "blue")], false),
        (json!({"Null": {TAG: false}}), &[(TAG, "blue")], true),
        (json!({"Null": {TAG: false}}), &[], false),
        // Keys with several values.
        (
            json!({"ForAnyValue:StringEquals": {"aws:TagKeys": ["team", "cost"]}}),
            &[("aws:TagKeys", "team|other")],
            true,
        ),
        (
            json!({"ForAnyValue:StringEquals": {"aws:TagKeys": ["team", "cost"]}}),
            &[("aws:TagKeys", "else|other")],
            false,
        ),
        (json!({"ForAnyValue:StringEquals": {"aws:TagKeys": "team"}}), &[], false),
        (json!({"ForAnyValue:StringEqualsIfExists": {"aws:TagKeys": "team"}}), &[], true),
        (json!({"ForAnyValue:StringNotEquals": {"aws:TagKeys": "team"}}), &[("aws:TagKeys", "team|other")], true),
        (json!({"ForAnyValue:StringNotEquals": {"aws:TagKeys": "team"}}), &[("aws:TagKeys", "team")], false),
        (json!({"ForAnyValue:StringNotEquals": {"aws:TagKeys": "team"}}), &[], false),
        (
            json!({"ForAllValues:StringEquals": {"aws:TagKeys": ["team", "cost"]}}),
            &[("aws:TagKeys", "team|cost")],
            true,
        ),
        (
            json!({"ForAllValues:StringEquals": {"aws:TagKeys": ["team", "cost"]}}),
            &[("aws:TagKeys", "team|other")],
            false,
        ),
        (json!({"ForAllValues:StringLike": {"aws:TagKeys": "t*"}}), &[], true),
        (json!({"ForAllValues:StringNotEquals": {"aws:TagKeys": "team"}}), &[("aws:TagKeys", "cost|team")], false),
        // Without a prefix: one value that fits, or none that must not.
        (json!({"StringEquals": {"aws:TagKeys": "team"}}), &[("aws:TagKeys", "team|other")], true),
        (json!({"StringNotEquals": {"aws:TagKeys": "team"}}), &[("aws:TagKeys", "team|other")], false),
    ] {
        let deny = json!([
            {"Effect": "Deny", "Principal": "*", "Action": ASSUME, "Condition": condition},
            {"Effect": "Allow", "Principal": {"Federated": COGNITO}, "Action": ASSUME, "Condition": {"StringEquals": {AUD: POOL}}},
        ]);
        let given: Vec<_> = given.iter().copied().chain([(AUD, POOL)]).collect();
        assert_eq!(
            decide(&deny, &[COGNITO], &given),
            if holds { ExplicitDeny } else { Allowed },
            "{condition} {given:?}"
        );
    }
}

#[test]
fn an_objection_names_what_is_to_be_mended() {
    let condition = json!({"StringEquals": {AUD: POOL}, "ForAnyValue:StringLike": {AMR: "authenticated"}});
    let statement = |changes: Value| {
        let mut statement =
            json!({"Effect": "Allow", "Principal": {"Federated": COGNITO}, "Action": ASSUME, "Condition": condition});
        statement.as_object_mut().unwrap().extend(changes.as_object().cloned().unwrap());
        statement
    };
    let guests =
        json!({"Condition": {"StringEquals": {AUD: POOL}, "ForAnyValue:StringLike": {AMR: "unauthenticated"}}});
    for (changes, expected) in [
        (json!({"Action": "sts:AssumeRole"}), "no statement allows sts:AssumeRoleWithWebIdentity".to_owned()),
        (
            json!({"Principal": "*"}),
            format!("no statement that allows {ASSUME} names its provider under Federated: {COGNITO} or other"),
        ),
        (
            json!({"Condition": {"StringLike": {AUD: "us-east-1:*"}}}),
            format!(
                "no statement that allows {ASSUME} names the pool: StringEquals, or StringLike without wildcards, of {AUD}"
            ),
        ),
        (
            json!({"Condition": {"StringEquals": {AUD: "other"}}}),
            format!("Statement[0].Condition: StringEquals {AUD} does not hold"),
        ),
        (guests.clone(), format!("Statement[0].Condition: ForAnyValue:StringLike {AMR} does not hold")),
    ] {
        let document = json!({"Statement": [statement(changes)]}).to_string();
        let policy = TrustPolicy::parse(&document).unwrap();
        let given = context(&[(AUD, POOL), (AMR, "authenticated")]);
        assert_eq!(policy.decide(ASSUME, &[COGNITO, "other"], &given, &[AUD]), NotAllowed);
        assert_eq!(policy.objection(ASSUME, &[COGNITO, "other"], &given, &[AUD]), expected);
    }
    let deny = json!({"Effect": "Deny", "Principal": "*", "Action": "sts:*"});
    let document = json!({"Statement": [statement(json!({})), deny]}).to_string();
    let given = context(&[(AUD, POOL), (AMR, "authenticated")]);
    let objection = TrustPolicy::parse(&document).unwrap().objection(ASSUME, &[COGNITO], &given, &[AUD]);
    assert_eq!(objection, format!("Statement[1] denies {ASSUME}"));
}
