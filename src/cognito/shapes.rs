//! What each of the 23 operations takes: the one table of members and limits.
//!
//! Names, limits and patterns are those of the service's published model (API version 2014-06-30); `tests/model.rs`
//! compares the two both ways. Members stand in the model's order, which is also the order in which
//! [`validate`](super::validate) reports.

use std::sync::LazyLock;

use regex::Regex;

use super::model::{Bounds, Member, Pattern, Shape};

macro_rules! operations {
    ($($operation:literal => $input:ident,)*) => {
        /// The names of all operations.
        pub const OPERATIONS: &[&str] = &[$($operation),*];

        /// What `operation` takes, or nothing if there is no such operation.
        #[must_use]
        pub fn input_of(operation: &str) -> Option<&'static Shape> {
            match operation {
                $($operation => Some(&$input),)*
                _ => None,
            }
        }
    };
}

operations! {
    "CreateIdentityPool" => CREATE_IDENTITY_POOL,
    "DeleteIdentities" => DELETE_IDENTITIES,
    "DeleteIdentityPool" => DELETE_IDENTITY_POOL,
    "DescribeIdentity" => DESCRIBE_IDENTITY,
    "DescribeIdentityPool" => DESCRIBE_IDENTITY_POOL,
    "GetCredentialsForIdentity" => GET_CREDENTIALS_FOR_IDENTITY,
    "GetId" => GET_ID,
    "GetIdentityPoolRoles" => GET_IDENTITY_POOL_ROLES,
    "GetOpenIdToken" => GET_OPEN_ID_TOKEN,
    "GetOpenIdTokenForDeveloperIdentity" => GET_OPEN_ID_TOKEN_FOR_DEVELOPER_IDENTITY,
    "GetPrincipalTagAttributeMap" => GET_PRINCIPAL_TAG_ATTRIBUTE_MAP,
    "ListIdentities" => LIST_IDENTITIES,
    "ListIdentityPools" => LIST_IDENTITY_POOLS,
    "ListTagsForResource" => LIST_TAGS_FOR_RESOURCE,
    "LookupDeveloperIdentity" => LOOKUP_DEVELOPER_IDENTITY,
    "MergeDeveloperIdentities" => MERGE_DEVELOPER_IDENTITIES,
    "SetIdentityPoolRoles" => SET_IDENTITY_POOL_ROLES,
    "SetPrincipalTagAttributeMap" => SET_PRINCIPAL_TAG_ATTRIBUTE_MAP,
    "TagResource" => TAG_RESOURCE,
    "UnlinkDeveloperIdentity" => UNLINK_DEVELOPER_IDENTITY,
    "UnlinkIdentity" => UNLINK_IDENTITY,
    "UntagResource" => UNTAG_RESOURCE,
    "UpdateIdentityPool" => UPDATE_IDENTITY_POOL,
}

// The operations' inputs.

static CREATE_IDENTITY_POOL: Shape = Shape::structure(
    "CreateIdentityPoolInput",
    &[
        Member::required("IdentityPoolName", &IDENTITY_POOL_NAME),
        Member::required("AllowUnauthenticatedIdentities", &IDENTITY_POOL_UNAUTHENTICATED),
        Member::optional("AllowClassicFlow", &CLASSIC_FLOW),
        Member::optional("SupportedLoginProviders", &IDENTITY_PROVIDERS),
        Member::optional("DeveloperProviderName", &DEVELOPER_PROVIDER_NAME),
        Member::optional("OpenIdConnectProviderARNs", &OIDC_PROVIDER_LIST),
        Member::optional("CognitoIdentityProviders", &COGNITO_IDENTITY_PROVIDER_LIST),
        Member::optional("SamlProviderARNs", &SAML_PROVIDER_LIST),
        Member::optional("IdentityPoolTags", &IDENTITY_POOL_TAGS),
    ],
);

static UPDATE_IDENTITY_POOL: Shape = Shape::structure(
    "IdentityPool",
    &[
        Member::required("IdentityPoolId", &IDENTITY_POOL_ID),
        Member::required("IdentityPoolName", &IDENTITY_POOL_NAME),
        Member::required("AllowUnauthenticatedIdentities", &IDENTITY_POOL_UNAUTHENTICATED),
        Member::optional("AllowClassicFlow", &CLASSIC_FLOW),
        Member::optional("SupportedLoginProviders", &IDENTITY_PROVIDERS),
        Member::optional("DeveloperProviderName", &DEVELOPER_PROVIDER_NAME),
        Member::optional("OpenIdConnectProviderARNs", &OIDC_PROVIDER_LIST),
        Member::optional("CognitoIdentityProviders", &COGNITO_IDENTITY_PROVIDER_LIST),
        Member::optional("SamlProviderARNs", &SAML_PROVIDER_LIST),
        Member::optional("IdentityPoolTags", &IDENTITY_POOL_TAGS),
    ],
);

static DELETE_IDENTITY_POOL: Shape =
    Shape::structure("DeleteIdentityPoolInput", &[Member::required("IdentityPoolId", &IDENTITY_POOL_ID)]);

static DESCRIBE_IDENTITY_POOL: Shape =
    Shape::structure("DescribeIdentityPoolInput", &[Member::required("IdentityPoolId", &IDENTITY_POOL_ID)]);

static LIST_IDENTITY_POOLS: Shape = Shape::structure(
    "ListIdentityPoolsInput",
    &[Member::required("MaxResults", &QUERY_LIMIT), Member::optional("NextToken", &PAGINATION_KEY)],
);

static GET_ID: Shape = Shape::structure(
    "GetIdInput",
    &[
        Member::optional("AccountId", &ACCOUNT_ID),
        Member::required("IdentityPoolId", &IDENTITY_POOL_ID),
        Member::optional("Logins", &LOGINS_MAP),
    ],
);

static DESCRIBE_IDENTITY: Shape =
    Shape::structure("DescribeIdentityInput", &[Member::required("IdentityId", &IDENTITY_ID)]);

static LIST_IDENTITIES: Shape = Shape::structure(
    "ListIdentitiesInput",
    &[
        Member::required("IdentityPoolId", &IDENTITY_POOL_ID),
        Member::required("MaxResults", &QUERY_LIMIT),
        Member::optional("NextToken", &PAGINATION_KEY),
        Member::optional("HideDisabled", &HIDE_DISABLED),
    ],
);

static DELETE_IDENTITIES: Shape =
    Shape::structure("DeleteIdentitiesInput", &[Member::required("IdentityIdsToDelete", &IDENTITY_ID_LIST)]);

static UNLINK_IDENTITY: Shape = Shape::structure(
    "UnlinkIdentityInput",
    &[
        Member::required("IdentityId", &IDENTITY_ID),
        Member::required("Logins", &LOGINS_MAP),
        Member::required("LoginsToRemove", &LOGINS_LIST),
    ],
);

static GET_OPEN_ID_TOKEN: Shape = Shape::structure(
    "GetOpenIdTokenInput",
    &[Member::required("IdentityId", &IDENTITY_ID), Member::optional("Logins", &LOGINS_MAP)],
);

static GET_CREDENTIALS_FOR_IDENTITY: Shape = Shape::structure(
    "GetCredentialsForIdentityInput",
    &[
        Member::required("IdentityId", &IDENTITY_ID),
        Member::optional("Logins", &LOGINS_MAP),
        Member::optional("CustomRoleArn", &ARN),
    ],
);

static GET_OPEN_ID_TOKEN_FOR_DEVELOPER_IDENTITY: Shape = Shape::structure(
    "GetOpenIdTokenForDeveloperIdentityInput",
    &[
        Member::required("IdentityPoolId", &IDENTITY_POOL_ID),
        Member::optional("IdentityId", &IDENTITY_ID),
        Member::required("Logins", &LOGINS_MAP),
        Member::optional("PrincipalTags", &PRINCIPAL_TAGS),
        Member::optional("TokenDuration", &TOKEN_DURATION),
    ],
);

static LOOKUP_DEVELOPER_IDENTITY: Shape = Shape::structure(
    "LookupDeveloperIdentityInput",
    &[
        Member::required("IdentityPoolId", &IDENTITY_POOL_ID),
        Member::optional("IdentityId", &IDENTITY_ID),
        Member::optional("DeveloperUserIdentifier", &DEVELOPER_USER_IDENTIFIER),
        Member::optional("MaxResults", &QUERY_LIMIT),
        Member::optional("NextToken", &PAGINATION_KEY),
    ],
);

static MERGE_DEVELOPER_IDENTITIES: Shape = Shape::structure(
    "MergeDeveloperIdentitiesInput",
    &[
        Member::required("SourceUserIdentifier", &DEVELOPER_USER_IDENTIFIER),
        Member::required("DestinationUserIdentifier", &DEVELOPER_USER_IDENTIFIER),
        Member::required("DeveloperProviderName", &DEVELOPER_PROVIDER_NAME),
        Member::required("IdentityPoolId", &IDENTITY_POOL_ID),
    ],
);

static UNLINK_DEVELOPER_IDENTITY: Shape = Shape::structure(
    "UnlinkDeveloperIdentityInput",
    &[
        Member::required("IdentityId", &IDENTITY_ID),
        Member::required("IdentityPoolId", &IDENTITY_POOL_ID),
        Member::required("DeveloperProviderName", &DEVELOPER_PROVIDER_NAME),
        Member::required("DeveloperUserIdentifier", &DEVELOPER_USER_IDENTIFIER),
    ],
);

static GET_IDENTITY_POOL_ROLES: Shape =
    Shape::structure("GetIdentityPoolRolesInput", &[Member::required("IdentityPoolId", &IDENTITY_POOL_ID)]);

static SET_IDENTITY_POOL_ROLES: Shape = Shape::structure(
    "SetIdentityPoolRolesInput",
    &[
        Member::required("IdentityPoolId", &IDENTITY_POOL_ID),
        Member::required("Roles", &ROLES_MAP),
        Member::optional("RoleMappings", &ROLE_MAPPING_MAP),
    ],
);

static GET_PRINCIPAL_TAG_ATTRIBUTE_MAP: Shape = Shape::structure(
    "GetPrincipalTagAttributeMapInput",
    &[
        Member::required("IdentityPoolId", &IDENTITY_POOL_ID),
        Member::required("IdentityProviderName", &IDENTITY_PROVIDER_NAME),
    ],
);

static SET_PRINCIPAL_TAG_ATTRIBUTE_MAP: Shape = Shape::structure(
    "SetPrincipalTagAttributeMapInput",
    &[
        Member::required("IdentityPoolId", &IDENTITY_POOL_ID),
        Member::required("IdentityProviderName", &IDENTITY_PROVIDER_NAME),
        Member::optional("UseDefaults", &USE_DEFAULTS),
        Member::optional("PrincipalTags", &PRINCIPAL_TAGS),
    ],
);

static LIST_TAGS_FOR_RESOURCE: Shape =
    Shape::structure("ListTagsForResourceInput", &[Member::required("ResourceArn", &ARN)]);

static TAG_RESOURCE: Shape = Shape::structure(
    "TagResourceInput",
    &[Member::required("ResourceArn", &ARN), Member::required("Tags", &IDENTITY_POOL_TAGS)],
);

static UNTAG_RESOURCE: Shape = Shape::structure(
    "UntagResourceInput",
    &[Member::required("ResourceArn", &ARN), Member::required("TagKeys", &IDENTITY_POOL_TAGS_LIST)],
);

// What they are made of.

static CLASSIC_FLOW: Shape = Shape::boolean("ClassicFlow");
static HIDE_DISABLED: Shape = Shape::boolean("HideDisabled");
static IDENTITY_POOL_UNAUTHENTICATED: Shape = Shape::boolean("IdentityPoolUnauthenticated");
static USE_DEFAULTS: Shape = Shape::boolean("UseDefaults");

static QUERY_LIMIT: Shape = Shape::integer("QueryLimit", 1, 60);
static TOKEN_DURATION: Shape = Shape::long("TokenDuration", 1, 86_400);

static ACCOUNT_ID: Shape = Shape::patterned("AccountId", 1, 15, &DIGITS);
static ARN: Shape = Shape::text("ARNString", 20, 2048);
static DEVELOPER_PROVIDER_NAME: Shape = Shape::patterned("DeveloperProviderName", 1, 128, &DEVELOPER_PROVIDER);
static DEVELOPER_USER_IDENTIFIER: Shape = Shape::text("DeveloperUserIdentifier", 1, 1024);
static IDENTITY_ID: Shape = Shape::patterned("IdentityId", 1, 55, &REGIONAL_ID);
static IDENTITY_POOL_ID: Shape = Shape::patterned("IdentityPoolId", 1, 55, &REGIONAL_ID);
static IDENTITY_POOL_NAME: Shape = Shape::patterned("IdentityPoolName", 1, 128, &POOL_NAME);
static IDENTITY_PROVIDER_ID: Shape = Shape::patterned("IdentityProviderId", 1, 128, &PROVIDER_ID);
static IDENTITY_PROVIDER_NAME: Shape = Shape::text("IdentityProviderName", 1, 128);
static IDENTITY_PROVIDER_TOKEN: Shape = Shape::secret("IdentityProviderToken", 1, 50_000);
static PAGINATION_KEY: Shape = Shape::patterned("PaginationKey", 1, 65_535, &NO_BLANKS);

static IDENTITY_ID_LIST: Shape = Shape::list("IdentityIdList", &IDENTITY_ID, Bounds::between(1, 60));
static LOGINS_LIST: Shape = Shape::list("LoginsList", &IDENTITY_PROVIDER_NAME, Bounds::NONE);
static LOGINS_MAP: Shape =
    Shape::map("LoginsMap", &IDENTITY_PROVIDER_NAME, &IDENTITY_PROVIDER_TOKEN, Bounds::up_to(10));
static OIDC_PROVIDER_LIST: Shape = Shape::list("OIDCProviderList", &ARN, Bounds::NONE);
static SAML_PROVIDER_LIST: Shape = Shape::list("SAMLProviderList", &ARN, Bounds::NONE);
static IDENTITY_PROVIDERS: Shape =
    Shape::map("IdentityProviders", &IDENTITY_PROVIDER_NAME, &IDENTITY_PROVIDER_ID, Bounds::up_to(10));

static COGNITO_IDENTITY_PROVIDER_LIST: Shape =
    Shape::list("CognitoIdentityProviderList", &COGNITO_IDENTITY_PROVIDER, Bounds::NONE);
static COGNITO_IDENTITY_PROVIDER: Shape = Shape::structure(
    "CognitoIdentityProvider",
    &[
        Member::optional("ProviderName", &COGNITO_IDENTITY_PROVIDER_NAME),
        Member::optional("ClientId", &COGNITO_IDENTITY_PROVIDER_CLIENT_ID),
        Member::optional("ServerSideTokenCheck", &COGNITO_IDENTITY_PROVIDER_TOKEN_CHECK),
    ],
);
static COGNITO_IDENTITY_PROVIDER_NAME: Shape = Shape::patterned("CognitoIdentityProviderName", 1, 128, &USER_POOL_NAME);
static COGNITO_IDENTITY_PROVIDER_CLIENT_ID: Shape = Shape::patterned("CognitoIdentityProviderClientId", 1, 128, &WORD);
static COGNITO_IDENTITY_PROVIDER_TOKEN_CHECK: Shape = Shape::boolean("CognitoIdentityProviderTokenCheck");

static ROLES_MAP: Shape = Shape::map("RolesMap", &ROLE_TYPE, &ARN, Bounds::up_to(2));
static ROLE_TYPE: Shape = Shape::patterned("RoleType", 1, 128, &ROLE_KIND);
static ROLE_MAPPING_MAP: Shape =
    Shape::map("RoleMappingMap", &IDENTITY_PROVIDER_NAME, &ROLE_MAPPING, Bounds::up_to(10));
static ROLE_MAPPING: Shape = Shape::structure(
    "RoleMapping",
    &[
        Member::required("Type", &ROLE_MAPPING_TYPE),
        Member::optional("AmbiguousRoleResolution", &AMBIGUOUS_ROLE_RESOLUTION),
        Member::optional("RulesConfiguration", &RULES_CONFIGURATION),
    ],
);
static ROLE_MAPPING_TYPE: Shape = Shape::one_of("RoleMappingType", &["Token", "Rules"]);
static AMBIGUOUS_ROLE_RESOLUTION: Shape = Shape::one_of("AmbiguousRoleResolutionType", &["AuthenticatedRole", "Deny"]);
static RULES_CONFIGURATION: Shape =
    Shape::structure("RulesConfigurationType", &[Member::required("Rules", &MAPPING_RULES_LIST)]);
static MAPPING_RULES_LIST: Shape = Shape::list("MappingRulesList", &MAPPING_RULE, Bounds::between(1, 400));
static MAPPING_RULE: Shape = Shape::structure(
    "MappingRule",
    &[
        Member::required("Claim", &CLAIM_NAME),
        Member::required("MatchType", &MAPPING_RULE_MATCH_TYPE),
        Member::required("Value", &CLAIM_VALUE),
        Member::required("RoleARN", &ARN),
    ],
);
static CLAIM_NAME: Shape = Shape::patterned("ClaimName", 1, 64, &CLAIM);
static CLAIM_VALUE: Shape = Shape::text("ClaimValue", 1, 128);
static MAPPING_RULE_MATCH_TYPE: Shape =
    Shape::one_of("MappingRuleMatchType", &["Equals", "Contains", "StartsWith", "NotEqual"]);

static PRINCIPAL_TAGS: Shape = Shape::map("PrincipalTags", &PRINCIPAL_TAG_ID, &PRINCIPAL_TAG_VALUE, Bounds::up_to(50));
static PRINCIPAL_TAG_ID: Shape = Shape::text("PrincipalTagID", 1, 128);
static PRINCIPAL_TAG_VALUE: Shape = Shape::text("PrincipalTagValue", 1, 256);

static IDENTITY_POOL_TAGS: Shape = Shape::map("IdentityPoolTagsType", &TAG_KEY, &TAG_VALUE, Bounds::NONE);
static IDENTITY_POOL_TAGS_LIST: Shape = Shape::list("IdentityPoolTagsListType", &TAG_KEY, Bounds::NONE);
static TAG_KEY: Shape = Shape::text("TagKeysType", 1, 128);
static TAG_VALUE: Shape = Shape::text("TagValueType", 0, 256);

// What strings look like. Class after class of ASCII needs no expression at run time; a property test holds each
// function against its expression.

static DIGITS: Pattern = Pattern { text: r"\d+", matches: |text| every(text, |byte| byte.is_ascii_digit()) };
static REGIONAL_ID: Pattern = Pattern { text: r"[\w-]+:[0-9a-f-]+", matches: is_regional_id };
static POOL_NAME: Pattern =
    Pattern { text: r"[\w\s+=,.@-]+", matches: |text| every(text, |byte| word_or(byte, b"+=,.@-") || blank(byte)) };
static DEVELOPER_PROVIDER: Pattern =
    Pattern { text: r"[\w._-]+", matches: |text| every(text, |byte| word_or(byte, b".-")) };
static PROVIDER_ID: Pattern =
    Pattern { text: r"[\w.;_/-]+", matches: |text| every(text, |byte| word_or(byte, b".;/-")) };
static USER_POOL_NAME: Pattern =
    Pattern { text: r"[\w._:/-]+", matches: |text| every(text, |byte| word_or(byte, b".:/-")) };
static WORD: Pattern = Pattern { text: r"[\w_]+", matches: |text| every(text, |byte| word_or(byte, b"")) };
static NO_BLANKS: Pattern = Pattern { text: r"[\S]+", matches: |text| every(text, |byte| !blank(byte)) };
static ROLE_KIND: Pattern =
    Pattern { text: "(un)?authenticated", matches: |text| matches!(text, "authenticated" | "unauthenticated") };
static CLAIM: Pattern = Pattern { text: r"[\p{L}\p{M}\p{S}\p{N}\p{P}]+", matches: is_claim };

fn is_regional_id(text: &str) -> bool {
    text.split_once(':').is_some_and(|(region, rest)| {
        every(region, |byte| word_or(byte, b"-"))
            && every(rest, |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'))
    })
}

fn is_claim(text: &str) -> bool {
    // This one asks for Unicode's tables. That the expression compiles is a test's business; were it not to, no name
    // but an ASCII one would pass.
    static OTHER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\A[\p{L}\p{M}\p{S}\p{N}\p{P}]+\z").ok());
    every(text, |byte| byte.is_ascii_graphic()) || OTHER.as_ref().is_some_and(|regex| regex.is_match(text))
}

/// Whether `text` is one byte or more, all of which `admits` admits. No byte of a character beyond ASCII is ASCII.
fn every(text: &str, admits: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(admits)
}

/// Java's `\w`, or one of `others`.
fn word_or(byte: u8, others: &[u8]) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || others.contains(&byte)
}

/// Java's `\s`: the vertical tab is one, which Rust's `is_ascii_whitespace` leaves out.
fn blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

#[cfg(test)]
mod tests;
