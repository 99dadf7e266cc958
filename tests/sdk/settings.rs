//! What is set on a pool: roles and role mappings, principal-tag maps, tags.

use aws_sdk_cognitoidentity::Client;
use aws_sdk_cognitoidentity::error::ProvideErrorMetadata as _;
use aws_sdk_cognitoidentity::types::{
    AmbiguousRoleResolutionType, MappingRule, MappingRuleMatchType, RoleMapping, RoleMappingType,
    RulesConfigurationType,
};

use crate::stage::{ACCOUNT, NOBODY, PROVIDER, pool, service_error};

const ROLE: &str = "arn:aws:iam::000000000000:role/users";

/// R1 to R4.
pub async fn roles(client: &Client) {
    let pool = pool(client, "roles").await;
    let rule = MappingRule::builder().claim("group").match_type(MappingRuleMatchType::StartsWith).value("admin");
    let rules = RulesConfigurationType::builder().rules(rule.role_arn(ROLE).build().unwrap()).build().unwrap();
    let mapping = RoleMapping::builder()
        .r#type(RoleMappingType::Rules)
        .ambiguous_role_resolution(AmbiguousRoleResolutionType::Deny)
        .rules_configuration(rules)
        .build()
        .unwrap();
    let set = |pool: &str, role: &str, provider: &str| {
        let request = client.set_identity_pool_roles().identity_pool_id(pool).roles("authenticated", role);
        request.role_mappings(provider, mapping.clone()).send()
    };
    set(&pool, ROLE, PROVIDER).await.unwrap();
    let got = client.get_identity_pool_roles().identity_pool_id(&pool).send().await.unwrap();
    assert_eq!(got.roles().unwrap()["authenticated"], ROLE);
    assert_eq!(got.role_mappings().unwrap()[PROVIDER], mapping);

    let error = service_error(set(&pool, "a-role-without-an-arn", PROVIDER).await);
    assert!(error.is_not_authorized_exception(), "{error:?}");
    assert_eq!(error.message(), Some("Access to Role 'a-role-without-an-arn' is forbidden."));
    let error = service_error(set(&pool, ROLE, "other.example").await);
    assert!(error.is_invalid_parameter_exception(), "{error:?}");
    assert!(service_error(set(NOBODY, ROLE, PROVIDER).await).is_resource_not_found_exception());
    let error = service_error(client.get_identity_pool_roles().identity_pool_id(NOBODY).send().await);
    assert!(error.is_resource_not_found_exception(), "{error:?}");
}

/// T1 to T3.
pub async fn principal_tags(client: &Client) {
    let pool = pool(client, "principal tags").await;
    let get = |provider: &str| {
        let request = client.get_principal_tag_attribute_map().identity_pool_id(&pool);
        request.identity_provider_name(provider).send()
    };
    let set = |provider: &str| {
        let request = client.set_principal_tag_attribute_map().identity_pool_id(&pool).identity_provider_name(provider);
        request.principal_tags("team", "group").send()
    };
    assert!(service_error(get(PROVIDER).await).is_resource_not_found_exception());
    assert!(service_error(set("other.example").await).is_resource_not_found_exception());
    let made = set(PROVIDER).await.unwrap();
    let got = get(PROVIDER).await.unwrap();
    assert_eq!((got.identity_provider_name(), got.use_defaults()), (Some(PROVIDER), Some(false)));
    assert_eq!(got.principal_tags().unwrap()["team"], "group");
    assert_eq!(got.principal_tags(), made.principal_tags());
}

/// X1, X2, W11.
pub async fn tags(client: &Client) {
    let pool = pool(client, "tags").await;
    let arn = |pool: &str| format!("arn:aws:cognito-identity:us-east-1:{ACCOUNT}:identitypool/{pool}");
    let tag = |resource: String, key: &str| client.tag_resource().resource_arn(resource).tags(key, "v").send();
    tag(arn(&pool), "one").await.unwrap();
    tag(arn(&pool), "two").await.unwrap();
    client.untag_resource().resource_arn(arn(&pool)).tag_keys("one").tag_keys("absent").send().await.unwrap();
    let listed = client.list_tags_for_resource().resource_arn(arn(&pool)).send().await.unwrap();
    assert_eq!(listed.tags().unwrap().iter().collect::<Vec<_>>(), [(&"two".to_owned(), &"v".to_owned())]);

    assert!(service_error(tag(arn(&pool), "aws:one").await).is_invalid_parameter_exception());
    assert!(service_error(tag(arn(NOBODY), "one").await).is_resource_not_found_exception());
    let untag = client.untag_resource().resource_arn(arn(NOBODY)).tag_keys("one").send().await;
    assert!(service_error(untag).is_resource_not_found_exception());
    // Not in the model, and so of no type of its own.
    let error = service_error(client.list_tags_for_resource().resource_arn("a pool, but not by its ARN").send().await);
    assert_eq!(error.code(), Some("AccessDeniedException"));
}
