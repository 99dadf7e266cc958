//! The exact message of every kind of violation.

use proptest::prelude::*;
use serde_json::json;

use super::super::json::read;
use super::super::model::Member;
use super::super::shapes::{OPERATIONS, input_of};
use super::*;
use crate::cognito::json::Malformed;
use crate::cognito::types::{check_types, normalize};

const ID: &str = "us-east-1:157d6171-ee1b-c968-98c2-0123456789ab";
const ROLE: &str = "arn:aws:iam::123456789012:role/r";

fn violations_of(operation: &str, body: &Value) -> Vec<Violation> {
    let shape = input_of(operation).unwrap();
    check_types(shape, body).unwrap();
    violations(shape, body)
}

#[track_caller]
fn refused(operation: &str, body: &Value, text: &str) {
    assert_eq!(message(&violations_of(operation, body)), text);
}

#[track_caller]
fn accepted(operation: &str, body: &Value) {
    assert_eq!(violations_of(operation, body), []);
}

#[track_caller]
fn malformed(operation: &str, body: &Value, text: &str) {
    assert_eq!(check_types(input_of(operation).unwrap(), body), Err(Malformed::new(text.to_owned())));
}

fn rules_of(rules: &Value) -> Value {
    json!({
        "IdentityPoolId": ID,
        "Roles": {},
        "RoleMappings": { "p": { "Type": "Rules", "RulesConfiguration": { "Rules": rules } } },
    })
}

#[test]
fn a_missing_member_is_null() {
    let text = "1 validation error detected: Value null at 'identityPoolId' failed to satisfy constraint: \
                Member must not be null";
    refused("GetId", &json!({}), text);
    refused("GetId", &json!({ "IdentityPoolId": null, "Logins": null }), text);
    refused(
        "MergeDeveloperIdentities",
        &json!({}),
        "4 validation errors detected: \
         Value null at 'sourceUserIdentifier' failed to satisfy constraint: Member must not be null; \
         Value null at 'destinationUserIdentifier' failed to satisfy constraint: Member must not be null; \
         Value null at 'developerProviderName' failed to satisfy constraint: Member must not be null; \
         Value null at 'identityPoolId' failed to satisfy constraint: Member must not be null",
    );
}

#[test]
fn a_pattern_is_told_as_the_model_writes_it() {
    refused(
        "GetId",
        &json!({ "IdentityPoolId": "us-east-1:ABC" }),
        r"1 validation error detected: Value 'us-east-1:ABC' at 'identityPoolId' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w-]+:[0-9a-f-]+",
    );
}

#[test]
fn both_length_and_pattern_are_told() {
    refused(
        "DescribeIdentity",
        &json!({ "IdentityId": "" }),
        r"2 validation errors detected: Value '' at 'identityId' failed to satisfy constraint: Member must have length greater than or equal to 1; Value '' at 'identityId' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w-]+:[0-9a-f-]+",
    );
    let long = "x".repeat(56);
    refused(
        "DescribeIdentity",
        &json!({ "IdentityId": long }),
        &format!(
            r"2 validation errors detected: Value '{long}' at 'identityId' failed to satisfy constraint: Member must have length less than or equal to 55; Value '{long}' at 'identityId' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w-]+:[0-9a-f-]+"
        ),
    );
}

#[test]
fn the_three_errors_seen_in_the_wild_are_told_with_the_login_hidden() {
    // Contract V6, in the order of the model.
    refused(
        "GetCredentialsForIdentity",
        &json!({ "IdentityId": "", "Logins": { "graph.facebook.com": "" } }),
        r"3 validation errors detected: Value '' at 'identityId' failed to satisfy constraint: Member must have length greater than or equal to 1; Value '' at 'identityId' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w-]+:[0-9a-f-]+; Value '{graph.facebook.com=}' at 'logins' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length less than or equal to 50000, Member must have length greater than or equal to 1]",
    );
}

#[test]
fn the_secret_of_an_application_is_never_shown() {
    let providers = json!({ "api.twitter.com": "key s3cr3t", "graph.facebook.com": "1 2", "www.digits.com": "" });
    let body = json!({ "IdentityPoolName": "web", "AllowUnauthenticatedIdentities": false, "SupportedLoginProviders": providers });
    let text = message(&violations_of("CreateIdentityPool", &body));
    assert!(text.contains("{api.twitter.com=***, graph.facebook.com=1 2, www.digits.com=}"), "{text}");
    assert!(!text.contains("s3cr3t"), "{text}");
}

#[test]
fn logins_are_never_shown() {
    let secret = "s3cr3t".repeat(10_000);
    refused(
        "GetOpenIdToken",
        &json!({ "IdentityId": ID, "Logins": { "a": secret, "b": "token", "c": null, "d": "" } }),
        "1 validation error detected: Value '{a=***, b=***, c=null, d=}' at 'logins' failed to satisfy constraint: \
         Map value must satisfy constraint: [Member must have length less than or equal to 50000, \
         Member must have length greater than or equal to 1, Member must not be null]",
    );
    let eleven: Value = (10..21).map(|n| (n.to_string(), json!("token"))).collect::<Map<_, _>>().into();
    refused(
        "GetOpenIdToken",
        &json!({ "IdentityId": ID, "Logins": eleven }),
        "1 validation error detected: Value '{10=***, 11=***, 12=***, 13=***, 14=***, 15=***, 16=***, 17=***, \
         18=***, 19=***, 20=***}' at 'logins' failed to satisfy constraint: \
         Member must have length less than or equal to 10",
    );
}

#[test]
fn keys_of_a_map_are_told_in_one_bracket() {
    refused(
        "TagResource",
        &json!({ "ResourceArn": ROLE, "Tags": { "": "a", "k": "b" } }),
        "1 validation error detected: Value '{=a, k=b}' at 'tags' failed to satisfy constraint: \
         Map keys must satisfy constraint: [Member must have length less than or equal to 128, \
         Member must have length greater than or equal to 1]",
    );
    refused(
        "SetIdentityPoolRoles",
        &json!({ "IdentityPoolId": ID, "Roles": { "admin": "short" } }),
        "2 validation errors detected: Value '{admin=short}' at 'roles' failed to satisfy constraint: \
         Map keys must satisfy constraint: [Member must have length less than or equal to 128, \
         Member must have length greater than or equal to 1, \
         Member must satisfy regular expression pattern: (un)?authenticated]; \
         Value '{admin=short}' at 'roles' failed to satisfy constraint: \
         Map value must satisfy constraint: [Member must have length less than or equal to 2048, \
         Member must have length greater than or equal to 20]",
    );
}

#[test]
fn a_map_tells_its_size_then_keys_then_values() {
    let roles = json!({ "authenticated": "r", "other": ROLE, "unauthenticated": ROLE });
    let found = violations_of("SetIdentityPoolRoles", &json!({ "IdentityPoolId": ID, "Roles": roles }));
    let constraints: Vec<&str> = found.iter().map(|violation| &violation.constraint[..18]).collect();
    assert_eq!(constraints, ["Member must have l", "Map keys must sati", "Map value must sat"]);
    assert_eq!(found[0].constraint, "Member must have length less than or equal to 2");
}

#[test]
fn plain_elements_of_a_list_are_told_in_one_bracket() {
    refused(
        "UntagResource",
        &json!({ "ResourceArn": ROLE, "TagKeys": ["a", "", ""] }),
        "1 validation error detected: Value '[a, , ]' at 'tagKeys' failed to satisfy constraint: \
         Member must satisfy constraint: [Member must have length less than or equal to 128, \
         Member must have length greater than or equal to 1]",
    );
    refused(
        "UntagResource",
        &json!({ "ResourceArn": ROLE, "TagKeys": ["a", null] }),
        "1 validation error detected: Value '[a, null]' at 'tagKeys' failed to satisfy constraint: \
         Member must satisfy constraint: [Member must have length less than or equal to 128, \
         Member must have length greater than or equal to 1, Member must not be null]",
    );
    refused(
        "DeleteIdentities",
        &json!({ "IdentityIdsToDelete": ["x"] }),
        r"1 validation error detected: Value '[x]' at 'identityIdsToDelete' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 55, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: [\w-]+:[0-9a-f-]+]",
    );
}

#[test]
fn a_list_has_a_least_and_a_most() {
    refused(
        "DeleteIdentities",
        &json!({ "IdentityIdsToDelete": [] }),
        "1 validation error detected: Value '[]' at 'identityIdsToDelete' failed to satisfy constraint: \
         Member must have length greater than or equal to 1",
    );
    accepted("DeleteIdentities", &json!({ "IdentityIdsToDelete": vec![ID; 60] }));
    let found = violations_of("DeleteIdentities", &json!({ "IdentityIdsToDelete": vec![ID; 61] }));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].constraint, "Member must have length less than or equal to 60");
}

#[test]
fn a_range_is_told_by_value() {
    let with = |duration: Value| json!({ "IdentityPoolId": ID, "Logins": {}, "TokenDuration": duration });
    let operation = "GetOpenIdTokenForDeveloperIdentity";
    refused(
        operation,
        &with(json!(86401)),
        "1 validation error detected: Value '86401' at 'tokenDuration' failed to satisfy constraint: \
         Member must have value less than or equal to 86400",
    );
    for (duration, shown) in
        [(json!(0), "0"), (json!(-1), "-1"), (json!(-2.0), "-2"), (json!(i64::MIN), "-9223372036854775808")]
    {
        refused(
            operation,
            &with(duration),
            &format!(
                "1 validation error detected: Value '{shown}' at 'tokenDuration' failed to satisfy constraint: \
                 Member must have value greater than or equal to 1"
            ),
        );
    }
    accepted(operation, &with(json!(1)));
    accepted(operation, &with(json!(86400.0)));
}

#[test]
fn an_enum_is_told_with_its_values() {
    refused(
        "SetIdentityPoolRoles",
        &json!({ "IdentityPoolId": ID, "Roles": {}, "RoleMappings": { "graph.facebook.com": { "Type": "token" } } }),
        "1 validation error detected: Value 'token' at 'roleMappings.graph.facebook.com.member.type' failed to \
         satisfy constraint: Member must satisfy enum value set: [Token, Rules]",
    );
}

#[test]
fn members_of_structures_in_lists_and_maps_have_their_own_paths() {
    let good = json!({ "Claim": "c", "MatchType": "Equals", "Value": "v", "RoleARN": ROLE });
    let bad = json!({ "Claim": "c d", "MatchType": "Equals", "Value": "v" });
    refused(
        "SetIdentityPoolRoles",
        &rules_of(&json!([good, bad, null])),
        r"3 validation errors detected: Value 'c d' at 'roleMappings.p.member.rulesConfiguration.rules.2.member.claim' failed to satisfy constraint: Member must satisfy regular expression pattern: [\p{L}\p{M}\p{S}\p{N}\p{P}]+; Value null at 'roleMappings.p.member.rulesConfiguration.rules.2.member.roleARN' failed to satisfy constraint: Member must not be null; Value null at 'roleMappings.p.member.rulesConfiguration.rules.3.member' failed to satisfy constraint: Member must not be null",
    );
    refused(
        "SetIdentityPoolRoles",
        &json!({ "IdentityPoolId": ID, "Roles": {}, "RoleMappings": { "p": null } }),
        "1 validation error detected: Value null at 'roleMappings.p.member' failed to satisfy constraint: \
         Member must not be null",
    );
    refused(
        "CreateIdentityPool",
        &json!({
            "IdentityPoolName": "p",
            "AllowUnauthenticatedIdentities": true,
            "CognitoIdentityProviders": [{ "ProviderName": "p", "ClientId": "a-b" }],
        }),
        r"1 validation error detected: Value 'a-b' at 'cognitoIdentityProviders.1.member.clientId' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w_]+",
    );
}

#[test]
fn structures_are_shown_by_the_members_they_have() {
    let too_many: Map<_, _> = (10..21)
        .map(|n| (n.to_string(), json!({ "AmbiguousRoleResolution": null, "Type": "Token", "X": 1 })))
        .collect();
    let found =
        violations_of("SetIdentityPoolRoles", &json!({ "IdentityPoolId": ID, "Roles": {}, "RoleMappings": too_many }));
    assert_eq!(found.len(), 1);
    assert!(found[0].value.starts_with("'{10={type=Token}, 11={type=Token}, "), "{}", found[0].value);
}

#[test]
fn shapes_that_the_service_does_not_have_are_told_alike() {
    static SHAPE: Shape = Shape::list("Switches", &SWITCH, Bounds::between(2, 2));
    static SWITCH: Shape = Shape::structure(
        "Switch",
        &[Member::optional("On", &ON), Member::optional("Level", &LEVEL), Member::optional("Names", &NAMES)],
    );
    static ON: Shape = Shape::boolean("On");
    static LEVEL: Shape = Shape::integer("Level", 1, 2);
    static NAMES: Shape = Shape::list("Names", &NAME, Bounds::NONE);
    static NAME: Shape = Shape::one_of("Name", &["A", "B"]);
    assert_eq!(
        message(&violations(&SHAPE, &json!([{ "On": true, "Level": 1.0, "Names": ["A", "C"] }]))),
        "2 validation errors detected: Value '[{on=true, level=1, names=[A, C]}]' at '' failed to satisfy \
         constraint: Member must have length greater than or equal to 2; \
         Value '[A, C]' at '1.member.names' failed to satisfy constraint: \
         Member must satisfy constraint: [Member must satisfy enum value set: [A, B]]"
    );
}

#[test]
fn lengths_are_counted_in_characters() {
    let tags = |value: String| json!({ "ResourceArn": ROLE, "Tags": { "k": value } });
    accepted("TagResource", &tags("😀".repeat(256)));
    accepted("TagResource", &tags(String::new()));
    assert_eq!(violations_of("TagResource", &tags("é".repeat(257))).len(), 1);
}

#[test]
fn long_values_are_cut() {
    let name = "é".repeat(2_000);
    let found = violations_of(
        "CreateIdentityPool",
        &json!({ "IdentityPoolName": name, "AllowUnauthenticatedIdentities": false }),
    );
    assert_eq!(found[0].value, format!("'{}...'", "é".repeat(1024)));
    let just_fits = "x".repeat(1024);
    let found = violations_of("ListTagsForResource", &json!({ "ResourceArn": just_fits.repeat(2) + "x" }));
    assert_eq!(found[0].value, format!("'{just_fits}...'"));
    let found = violations_of("GetId", &json!({ "IdentityPoolId": just_fits }));
    assert_eq!(found[0].value, format!("'{just_fits}'"));
    let key = "k".repeat(100_000);
    let mappings = json!({ "IdentityPoolId": ID, "Roles": {}, "RoleMappings": { key: {} } });
    let found = violations_of("SetIdentityPoolRoles", &mappings);
    assert_eq!(found[1].path, format!("roleMappings.{}....member.type", "k".repeat(128)));
}

#[test]
fn a_message_has_so_many_clauses_at_most() {
    let text = message(&violations_of("SetIdentityPoolRoles", &rules_of(&json!(vec![json!({}); 100_000]))));
    assert!(text.starts_with("64 validation errors detected: "));
    assert_eq!(text.matches("failed to satisfy").count(), 64);
    assert!(text.len() < 20_000, "{}", text.len());
}

#[test]
fn a_body_in_order_has_no_violations() {
    accepted("GetId", &json!({ "IdentityPoolId": ID, "AccountId": "123456789012", "Logins": {}, "Unknown": [1] }));
    accepted("ListIdentityPools", &json!({ "MaxResults": 60, "NextToken": null }));
    let rule = json!({ "Claim": "größe", "MatchType": "NotEqual", "Value": "v w", "RoleARN": ROLE });
    accepted("SetIdentityPoolRoles", &rules_of(&json!(vec![rule; 400])));
}

#[test]
fn types_are_strict() {
    malformed("GetId", &json!({ "IdentityPoolId": 1 }), "NUMBER_VALUE can not be converted to a String");
    malformed("GetId", &json!({ "IdentityPoolId": true }), "TRUE_VALUE can not be converted to a String");
    malformed("GetId", &json!({ "IdentityPoolId": {} }), "Start of structure or map found where not expected.");
    malformed("GetId", &json!({ "IdentityPoolId": [] }), "Start of list found where not expected.");
    malformed("GetId", &json!({ "Logins": [] }), "Expected map or null");
    malformed("GetId", &json!({ "Logins": { "p": 1 } }), "NUMBER_VALUE can not be converted to a String");
    malformed("UntagResource", &json!({ "TagKeys": "k" }), "Expected list or null");
    malformed("UntagResource", &json!({ "TagKeys": [["k"]] }), "Start of list found where not expected.");
    malformed("SetIdentityPoolRoles", &rules_of(&json!([1])), "Expected map or null");
    malformed(
        "CreateIdentityPool",
        &json!({ "AllowUnauthenticatedIdentities": "true" }),
        "STRING_VALUE can not be converted to a Boolean",
    );
    malformed("GetId", &json!([]), "Expected map or null");
}

#[test]
fn numbers_are_whole_and_fit() {
    let shape = input_of("ListIdentityPools").unwrap();
    let accepts = |number: &str| {
        let body = read(format!(r#"{{"MaxResults":{number}}}"#).as_bytes()).unwrap();
        check_types(shape, &body).is_ok()
    };
    for good in ["1", "60.0", "6e1", "-0", "2147483647", "-2147483648", "0.0"] {
        assert!(accepts(good), "{good}");
    }
    for bad in ["1.5", "2147483648", "-2147483649", "1e10", "18446744073709551615", "\"1\"", "1e-3"] {
        assert!(!accepts(bad), "{bad}");
    }
    let long = |number: Value| check_types(&Shape::long("L", 1, 2), &number).is_ok();
    assert!(long(json!(i64::MAX)) && long(json!(i64::MIN)) && long(json!(-9_223_372_036_854_775_808.0)));
    assert!(!long(json!(u64::MAX)) && !long(json!(9_223_372_036_854_775_808.0)) && !long(json!(1e300)));
}

#[test]
fn null_and_unknown_members_have_any_type() {
    let shape = input_of("GetId").unwrap();
    assert_eq!(check_types(shape, &json!({ "IdentityPoolId": null, "Logins": null, "Else": [{}] })), Ok(()));
}

#[test]
fn a_normal_body_has_no_nulls_for_absent_and_no_floats_for_whole_numbers() {
    let mut body = json!({
        "IdentityPoolId": ID,
        "Logins": { "p": "t" },
        "IdentityId": null,
        "TokenDuration": 900.0,
        "PrincipalTags": null,
    });
    normalize(input_of("GetOpenIdTokenForDeveloperIdentity").unwrap(), &mut body);
    assert_eq!(body, json!({ "IdentityPoolId": ID, "Logins": { "p": "t" }, "TokenDuration": 900 }));
    let mut body = json!({ "CognitoIdentityProviders": [{ "ClientId": null, "ProviderName": "p" }] });
    normalize(input_of("CreateIdentityPool").unwrap(), &mut body);
    assert_eq!(body, json!({ "CognitoIdentityProviders": [{ "ProviderName": "p" }] }));
    let mut body = json!({ "RoleMappings": { "p": { "AmbiguousRoleResolution": null } } });
    normalize(input_of("SetIdentityPoolRoles").unwrap(), &mut body);
    assert_eq!(body, json!({ "RoleMappings": { "p": {} } }));
}

/// A body of the right types for `shape`, with values about its limits and sometimes `null`.
fn any_of(shape: &'static Shape) -> BoxedStrategy<Value> {
    match &shape.kind {
        Kind::Structure(members) => {
            let members: Vec<_> = members
                .iter()
                .map(|member| (Just(member.name.to_owned()), prop::option::weighted(0.9, any_of(member.shape))))
                .collect();
            let present = |(name, value): (String, Option<Value>)| value.map(|value| (name, value));
            members.prop_map(move |members| Value::Object(members.into_iter().filter_map(present).collect())).boxed()
        }
        Kind::List { element, .. } => {
            prop::collection::vec(or_null(any_of(element)), 0..4).prop_map(Value::Array).boxed()
        }
        Kind::Map { value, .. } => prop::collection::vec((".{0,4}|authenticated", or_null(any_of(value))), 0..12)
            .prop_map(|entries| Value::Object(entries.into_iter().collect()))
            .boxed(),
        Kind::Text(Text { one_of: [], .. }) => {
            prop_oneof![any::<String>(), "[a-z]{1,30}", "[a-z]{1,9}:[0-9a-f]{1,9}"].prop_map(Value::from).boxed()
        }
        Kind::Text(Text { one_of, .. }) => {
            prop_oneof![prop::sample::select(*one_of).prop_map(Value::from), Just(json!("Other"))].boxed()
        }
        Kind::Integer(_) => any::<i32>().prop_map(Value::from).boxed(),
        Kind::Long(_) => any::<i64>().prop_map(Value::from).boxed(),
        Kind::Boolean => any::<bool>().prop_map(Value::from).boxed(),
    }
}

fn or_null(values: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    prop_oneof![9 => values, 1 => Just(Value::Null)].boxed()
}

proptest! {
    #[test]
    fn a_body_of_the_right_types_is_judged_alike_before_and_after_normalizing(
        (operation, body) in prop::sample::select(OPERATIONS)
            .prop_flat_map(|operation| (Just(operation), any_of(input_of(operation).unwrap()))),
    ) {
        let shape = input_of(operation).unwrap();
        prop_assert_eq!(check_types(shape, &body), Ok(()));
        let found = violations(shape, &body);
        prop_assert!(found.len() <= MAX_CLAUSES);
        let mut normal = body.clone();
        normalize(shape, &mut normal);
        prop_assert_eq!(check_types(shape, &normal), Ok(()));
        prop_assert_eq!(violations(shape, &normal), found);
    }
}

#[test]
fn the_log_is_not_told_values() {
    let long = "s3cret".repeat(20);
    let input = serde_json::json!({ "IdentityId": long, "Logins": { "a": "s3cret", "b": "" } });
    let broken = violations(input_of("GetOpenIdToken").unwrap(), &input);
    assert!(message(&broken).contains(&long));
    let logged = without_values(&broken);
    assert!(!logged.contains("s3cret") && logged.contains("Value *** at 'identityId' failed to"), "{logged}");
    assert!(without_values(&[Violation::above("x", 7, 6)]).contains("Value *** at 'x'"));
}
