//! What each operation of IAM and STS takes that is served here: names and limits of the services' published models (API
//! versions 2010-05-08 and 2011-06-15), in the vocabulary of [`model`](crate::cognito::model).

use crate::cognito::model::{Bounds, Member, Pattern, Shape};
use crate::iam::saml_provider;

macro_rules! operations {
    ($(#[$doc:meta])* $name:ident, $names:ident: $($operation:literal => $input:ident,)*) => {
        /// Every operation of the service that is served.
        pub const $names: &[&str] = &[$($operation),*];

        $(#[$doc])*
        #[must_use]
        pub fn $name(name: &str) -> Option<(&'static str, &'static Shape)> {
            match name {
                $($operation => Some(($operation, &$input)),)*
                _ => None,
            }
        }
    };
}

operations! {
    /// The name and the input of an operation of IAM, or nothing if it is not served.
    iam_operation, IAM_OPERATIONS:
    "AddClientIDToOpenIDConnectProvider" => CLIENT_OF_PROVIDER,
    "CreateOpenIDConnectProvider" => CREATE,
    "DeleteOpenIDConnectProvider" => PROVIDER,
    "GetOpenIDConnectProvider" => PROVIDER,
    "ListOpenIDConnectProviderTags" => LIST_TAGS,
    "ListOpenIDConnectProviders" => NOTHING,
    "RemoveClientIDFromOpenIDConnectProvider" => CLIENT_OF_PROVIDER,
    "TagOpenIDConnectProvider" => TAG,
    "UntagOpenIDConnectProvider" => UNTAG,
    "UpdateOpenIDConnectProviderThumbprint" => UPDATE_THUMBPRINT,

    "CreateSAMLProvider" => CREATE_SAML,
    "DeleteSAMLProvider" => SAML_PROVIDER,
    "GetSAMLProvider" => SAML_PROVIDER,
    "ListSAMLProviderTags" => LIST_SAML_TAGS,
    "ListSAMLProviders" => NOTHING,
    "TagSAMLProvider" => TAG_SAML,
    "UntagSAMLProvider" => UNTAG_SAML,
    "UpdateSAMLProvider" => UPDATE_SAML,

    "CreateRole" => CREATE_ROLE,
    "DeleteRole" => ROLE,
    "GetRole" => ROLE,
    "ListAttachedRolePolicies" => LIST_ATTACHED,
    "ListInstanceProfilesForRole" => OF_ROLE,
    "ListRolePolicies" => OF_ROLE,
    "ListRoleTags" => OF_ROLE,
    "ListRoles" => LIST_ROLES,
    "TagRole" => TAG_ROLE,
    "UntagRole" => UNTAG_ROLE,
    "UpdateAssumeRolePolicy" => UPDATE_TRUST_POLICY,
    "UpdateRole" => UPDATE_ROLE,
    "UpdateRoleDescription" => UPDATE_ROLE_DESCRIPTION,
}

operations! {
    /// The name and the input of an operation of STS, or nothing if it is not served.
    sts_operation, STS_OPERATIONS:
    "AssumeRoleWithWebIdentity" => ASSUME_ROLE,
    "GetCallerIdentity" => NOTHING,
}

static CREATE: Shape = Shape::structure(
    "CreateOpenIDConnectProviderRequest",
    &[
        Member::required("Url", &URL),
        Member::optional("ClientIDList", &CLIENT_ID_LIST),
        Member::optional("ThumbprintList", &THUMBPRINT_LIST),
        Member::optional("Tags", &TAG_LIST),
    ],
);

static PROVIDER: Shape =
    Shape::structure("OpenIDConnectProviderRequest", &[Member::required("OpenIDConnectProviderArn", &ARN)]);

static NOTHING: Shape = Shape::structure("Request", &[]);

static CLIENT_OF_PROVIDER: Shape = Shape::structure(
    "ClientIDOfOpenIDConnectProviderRequest",
    &[Member::required("OpenIDConnectProviderArn", &ARN), Member::required("ClientID", &CLIENT_ID)],
);

static UPDATE_THUMBPRINT: Shape = Shape::structure(
    "UpdateOpenIDConnectProviderThumbprintRequest",
    &[Member::required("OpenIDConnectProviderArn", &ARN), Member::required("ThumbprintList", &THUMBPRINT_LIST)],
);

static TAG: Shape = Shape::structure(
    "TagOpenIDConnectProviderRequest",
    &[Member::required("OpenIDConnectProviderArn", &ARN), Member::required("Tags", &TAG_LIST)],
);

static UNTAG: Shape = Shape::structure(
    "UntagOpenIDConnectProviderRequest",
    &[Member::required("OpenIDConnectProviderArn", &ARN), Member::required("TagKeys", &TAG_KEY_LIST)],
);

static LIST_TAGS: Shape = Shape::structure(
    "ListOpenIDConnectProviderTagsRequest",
    &[
        Member::required("OpenIDConnectProviderArn", &ARN),
        Member::optional("Marker", &MARKER),
        Member::optional("MaxItems", &MAX_ITEMS),
    ],
);

static CREATE_ROLE: Shape = Shape::structure(
    "CreateRoleRequest",
    &[
        Member::optional("Path", &PATH),
        Member::required("RoleName", &ROLE_NAME),
        Member::required("AssumeRolePolicyDocument", &POLICY_DOCUMENT),
        Member::optional("Description", &ROLE_DESCRIPTION),
        Member::optional("MaxSessionDuration", &MAX_SESSION_DURATION),
        Member::optional("PermissionsBoundary", &ARN),
        Member::optional("Tags", &TAG_LIST),
    ],
);

static ROLE: Shape = Shape::structure("RoleRequest", &[Member::required("RoleName", &ROLE_NAME)]);

static OF_ROLE: Shape = Shape::structure(
    "OfRoleRequest",
    &[
        Member::required("RoleName", &ROLE_NAME),
        Member::optional("Marker", &MARKER),
        Member::optional("MaxItems", &MAX_ITEMS),
    ],
);

static LIST_ATTACHED: Shape = Shape::structure(
    "ListAttachedRolePoliciesRequest",
    &[
        Member::required("RoleName", &ROLE_NAME),
        Member::optional("PathPrefix", &POLICY_PATH),
        Member::optional("Marker", &MARKER),
        Member::optional("MaxItems", &MAX_ITEMS),
    ],
);

static LIST_ROLES: Shape = Shape::structure(
    "ListRolesRequest",
    &[
        Member::optional("PathPrefix", &PATH_PREFIX),
        Member::optional("Marker", &MARKER),
        Member::optional("MaxItems", &MAX_ITEMS),
    ],
);

static TAG_ROLE: Shape = Shape::structure(
    "TagRoleRequest",
    &[Member::required("RoleName", &ROLE_NAME), Member::required("Tags", &TAG_LIST)],
);

static UNTAG_ROLE: Shape = Shape::structure(
    "UntagRoleRequest",
    &[Member::required("RoleName", &ROLE_NAME), Member::required("TagKeys", &TAG_KEY_LIST)],
);

static UPDATE_TRUST_POLICY: Shape = Shape::structure(
    "UpdateAssumeRolePolicyRequest",
    &[Member::required("RoleName", &ROLE_NAME), Member::required("PolicyDocument", &POLICY_DOCUMENT)],
);

static UPDATE_ROLE: Shape = Shape::structure(
    "UpdateRoleRequest",
    &[
        Member::required("RoleName", &ROLE_NAME),
        Member::optional("Description", &ROLE_DESCRIPTION),
        Member::optional("MaxSessionDuration", &MAX_SESSION_DURATION),
    ],
);

static UPDATE_ROLE_DESCRIPTION: Shape = Shape::structure(
    "UpdateRoleDescriptionRequest",
    &[Member::required("RoleName", &ROLE_NAME), Member::required("Description", &ROLE_DESCRIPTION)],
);

static ASSUME_ROLE: Shape = Shape::structure(
    "AssumeRoleWithWebIdentityRequest",
    &[
        Member::required("RoleArn", &ROLE_ARN),
        Member::required("RoleSessionName", &SESSION_NAME),
        Member::required("WebIdentityToken", &WEB_IDENTITY_TOKEN),
        Member::optional("ProviderId", &PROVIDER_ID),
        Member::optional("PolicyArns", &SESSION_POLICIES),
        Member::optional("Policy", &SESSION_POLICY),
        Member::optional("DurationSeconds", &DURATION_SECONDS),
        Member::optional("MinimumSessionTokenSize", &MINIMUM_TOKEN_SIZE),
    ],
);

static CREATE_SAML: Shape = Shape::structure(
    "CreateSAMLProviderRequest",
    &[
        Member::required("SAMLMetadataDocument", &SAML_METADATA),
        Member::required("Name", &SAML_NAME),
        Member::optional("Tags", &TAG_LIST),
        Member::optional("AssertionEncryptionMode", &SAML_ENCRYPTION),
        Member::optional("AddPrivateKey", &SAML_PRIVATE_KEY),
    ],
);

static UPDATE_SAML: Shape = Shape::structure(
    "UpdateSAMLProviderRequest",
    &[
        Member::optional("SAMLMetadataDocument", &SAML_METADATA),
        Member::required("SAMLProviderArn", &ARN),
        Member::optional("AssertionEncryptionMode", &SAML_ENCRYPTION),
        Member::optional("AddPrivateKey", &SAML_PRIVATE_KEY),
        Member::optional("RemovePrivateKey", &SAML_PRIVATE_KEY_ID),
    ],
);

static SAML_PROVIDER: Shape = Shape::structure("SAMLProviderRequest", &[Member::required("SAMLProviderArn", &ARN)]);

static TAG_SAML: Shape = Shape::structure(
    "TagSAMLProviderRequest",
    &[Member::required("SAMLProviderArn", &ARN), Member::required("Tags", &TAG_LIST)],
);

static UNTAG_SAML: Shape = Shape::structure(
    "UntagSAMLProviderRequest",
    &[Member::required("SAMLProviderArn", &ARN), Member::required("TagKeys", &TAG_KEY_LIST)],
);

static LIST_SAML_TAGS: Shape = Shape::structure(
    "ListSAMLProviderTagsRequest",
    &[
        Member::required("SAMLProviderArn", &ARN),
        Member::optional("Marker", &MARKER),
        Member::optional("MaxItems", &MAX_ITEMS),
    ],
);

static SAML_METADATA: Shape = Shape::text("SAMLMetadataDocumentType", 1000, 10_000_000);
static SAML_NAME: Shape = Shape::patterned("SAMLProviderNameType", 1, 128, &SAML_NAME_PATTERN);
static SAML_NAME_PATTERN: Pattern = Pattern { text: "[\\w._-]+", matches: saml_provider::is_name };
static SAML_ENCRYPTION: Shape = Shape::one_of("assertionEncryptionModeType", &["Required", "Allowed"]);
static SAML_PRIVATE_KEY: Shape = Shape::patterned_secret("privateKeyType", 1, 16384, &DOCUMENT_PATTERN);
static SAML_PRIVATE_KEY_ID: Shape = Shape::patterned("privateKeyIdType", 22, 64, &SAML_PRIVATE_KEY_ID_PATTERN);
static SAML_PRIVATE_KEY_ID_PATTERN: Pattern = Pattern {
    text: "[A-Z0-9]+",
    matches: |text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()),
};
static URL: Shape = Shape::text("OpenIDConnectProviderUrlType", 1, 255);
static ARN: Shape = Shape::text("arnType", 20, 2048);
static CLIENT_ID: Shape = Shape::text("clientIDType", 1, 255);
static CLIENT_ID_LIST: Shape = Shape::list("clientIDListType", &CLIENT_ID, Bounds::NONE);
static THUMBPRINT: Shape = Shape::text("thumbprintType", 40, 40);
static THUMBPRINT_LIST: Shape = Shape::list("thumbprintListType", &THUMBPRINT, Bounds::NONE);
static MARKER: Shape = Shape::patterned("markerType", 1, 320, &MARKER_PATTERN);
static MARKER_PATTERN: Pattern =
    Pattern { text: r"[\u0020-\u00FF]+", matches: |text| text.chars().all(|c| (' '..='\u{ff}').contains(&c)) };
static MAX_ITEMS: Shape = Shape::integer("maxItemsType", 1, 1000);
static TAG_LIST: Shape = Shape::list("tagListType", &A_TAG, Bounds::up_to(50));
static TAG_KEY_LIST: Shape = Shape::list("tagKeyListType", &TAG_KEY, Bounds::up_to(50));
static A_TAG: Shape =
    Shape::structure("Tag", &[Member::required("Key", &TAG_KEY), Member::required("Value", &TAG_VALUE)]);
// Their characters are checked by `crate::tags`.
static TAG_KEY: Shape = Shape::text("tagKeyType", 1, 128);
static TAG_VALUE: Shape = Shape::text("tagValueType", 0, 256);

static PATH: Shape = Shape::patterned("pathType", 1, 512, &PATH_PATTERN);
static PATH_PATTERN: Pattern = Pattern {
    text: r"(\u002F)|(\u002F[\u0021-\u007E]+\u002F)",
    matches: |text| {
        let inner = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
        text == "/" || inner.is_some_and(|inner| !inner.is_empty() && inner.bytes().all(|b| b.is_ascii_graphic()))
    },
};
static PATH_PREFIX: Shape = Shape::patterned("pathPrefixType", 1, 512, &PATH_PREFIX_PATTERN);
static PATH_PREFIX_PATTERN: Pattern = Pattern {
    text: r"\u002F[\u0021-\u007F]*",
    matches: |text| text.strip_prefix('/').is_some_and(|rest| rest.bytes().all(|byte| (0x21..=0x7f).contains(&byte))),
};
static ROLE_NAME: Shape = Shape::patterned("roleNameType", 1, 64, &NAME_PATTERN);
static NAME_PATTERN: Pattern = Pattern {
    text: r"[\w+=,.@-]+",
    matches: |text| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
    },
};
static POLICY_DOCUMENT: Shape = Shape::patterned("policyDocumentType", 1, 131_072, &DOCUMENT_PATTERN);
static DOCUMENT_PATTERN: Pattern = Pattern {
    text: r"[\u0009\u000A\u000D\u0020-\u00FF]+",
    matches: |text| text.chars().all(|c| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{ff}')),
};
static ROLE_DESCRIPTION: Shape = Shape::patterned("roleDescriptionType", 0, 1000, &DESCRIPTION_PATTERN);
static DESCRIPTION_PATTERN: Pattern = Pattern {
    text: r"[\u0009\u000A\u000D\u0020-\u007E\u00A1-\u00FF]*",
    matches: |text| text.chars().all(|c| matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{a1}'..='\u{ff}')),
};
static POLICY_PATH: Shape = Shape::patterned("policyPathType", 1, 512, &POLICY_PATH_PATTERN);
static POLICY_PATH_PATTERN: Pattern = Pattern {
    text: r"((/[A-Za-z0-9\.,\+@=_-]+)*)/",
    matches: |text| {
        let word = |word: &str| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".,+@=_-".contains(&byte))
        };
        let inner = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
        text == "/" || inner.is_some_and(|inner| inner.split('/').all(word))
    },
};
static MAX_SESSION_DURATION: Shape = Shape::integer("roleMaxSessionDurationType", 3_600, 43_200);
static SESSION_NAME: Shape = Shape::patterned("roleSessionNameType", 2, 64, &SESSION_NAME_PATTERN);
static SESSION_NAME_PATTERN: Pattern = Pattern { text: r"[\w+=,.@-]*", ..NAME_PATTERN };
static WEB_IDENTITY_TOKEN: Shape = Shape::secret("clientTokenType", 4, 20_000);
static PROVIDER_ID: Shape = Shape::text("urlType", 4, 2048);
static SESSION_POLICY: Shape = Shape::patterned("sessionPolicyDocumentType", 1, 2048, &DOCUMENT_PATTERN);
static SESSION_POLICIES: Shape = Shape::list("policyDescriptorListType", &SESSION_POLICY_ARN, Bounds::NONE);
static SESSION_POLICY_ARN: Shape = Shape::structure("PolicyDescriptorType", &[Member::optional("arn", &ROLE_ARN)]);
static MINIMUM_TOKEN_SIZE: Shape = Shape::integer("minimumSessionTokenSizeType", 0, 4096);
// STS calls it as IAM does, and is stricter.
static ROLE_ARN: Shape = Shape::patterned("arnType", 20, 2048, &ARN_PATTERN);
static ARN_PATTERN: Pattern = Pattern {
    text: r"[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF]+",
    // Java's \u has four digits: the last two are U+1000, a range from 0 to U+10FF, and F.
    matches: |text| text.chars().all(|c| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')),
};
static DURATION_SECONDS: Shape = Shape::integer("roleDurationSecondsType", 900, 43_200);
