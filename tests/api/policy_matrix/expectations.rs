//! The policies of the matrix, and by hand for each what its key may do: nothing here asks the code under test.

use super::conditions;

/// Signed operations that are done to a pool.
const OF_A_POOL: &[&str] = &[
    "DeleteIdentities",
    "DeleteIdentityPool",
    "DescribeIdentity",
    "DescribeIdentityPool",
    "GetIdentityPoolRoles",
    "GetOpenIdTokenForDeveloperIdentity",
    "GetPrincipalTagAttributeMap",
    "ListIdentities",
    "ListTagsForResource",
    "LookupDeveloperIdentity",
    "MergeDeveloperIdentities",
    "SetIdentityPoolRoles",
    "SetPrincipalTagAttributeMap",
    "TagResource",
    "UnlinkDeveloperIdentity",
    "UntagResource",
    "UpdateIdentityPool",
];
/// Those that are done to none.
const OF_NO_POOL: &[&str] = &["CreateIdentityPool", "ListIdentityPools"];
/// Operations of IAM on a provider that is there.
const OF_A_PROVIDER: &[&str] = &[
    "AddClientIDToOpenIDConnectProvider",
    "DeleteOpenIDConnectProvider",
    "GetOpenIDConnectProvider",
    "ListOpenIDConnectProviderTags",
    "RemoveClientIDFromOpenIDConnectProvider",
    "TagOpenIDConnectProvider",
    "UntagOpenIDConnectProvider",
    "UpdateOpenIDConnectProviderThumbprint",
];
const OF_NO_PROVIDER: &[&str] =
    &["CreateOpenIDConnectProvider", "CreateSAMLProvider", "ListOpenIDConnectProviders", "ListSAMLProviders"];
/// On a SAML provider that is there.
const OF_A_SAML: &[&str] = &[
    "DeleteSAMLProvider",
    "GetSAMLProvider",
    "ListSAMLProviderTags",
    "TagSAMLProvider",
    "UntagSAMLProvider",
    "UpdateSAMLProvider",
];
/// On a role that is there.
const OF_A_ROLE: &[&str] = &[
    "DeleteRole",
    "GetRole",
    "ListAttachedRolePolicies",
    "ListInstanceProfilesForRole",
    "ListRolePolicies",
    "ListRoleTags",
    "TagRole",
    "UntagRole",
    "UpdateAssumeRolePolicy",
    "UpdateRole",
    "UpdateRoleDescription",
];
const OF_NO_ROLE: &[&str] = &["CreateRole", "ListRoles"];

/// Every signed operation of Cognito Identity.
pub const COGNITO: &[&[&str]] = &[OF_A_POOL, OF_NO_POOL];
/// Every operation of IAM.
pub const IAM: &[&[&str]] = &[OF_A_PROVIDER, OF_A_SAML, OF_NO_PROVIDER, OF_A_ROLE, OF_NO_ROLE];
pub const EVERYTHING: &[&[&str]] =
    &[OF_A_POOL, OF_NO_POOL, OF_A_PROVIDER, OF_A_SAML, OF_NO_PROVIDER, OF_A_ROLE, OF_NO_ROLE];
pub const NOTHING: &[&[&str]] = &[];
/// What nobody signs.
pub const ANYONES: [&str; 4] = ["GetCredentialsForIdentity", "GetId", "GetOpenIdToken", "UnlinkIdentity"];

const TOKEN: &str = "GetOpenIdTokenForDeveloperIdentity";
const READ: &[&[&str]] = &[&[
    "DescribeIdentity",
    "DescribeIdentityPool",
    "GetIdentityPoolRoles",
    "GetPrincipalTagAttributeMap",
    "ListIdentities",
    "ListIdentityPools",
    "ListTagsForResource",
    "LookupDeveloperIdentity",
    "GetOpenIDConnectProvider",
    "ListOpenIDConnectProviders",
    "ListOpenIDConnectProviderTags",
    "GetSAMLProvider",
    "ListSAMLProviders",
    "ListSAMLProviderTags",
    "GetRole",
    "ListAttachedRolePolicies",
    "ListInstanceProfilesForRole",
    "ListRolePolicies",
    "ListRoleTags",
    "ListRoles",
]];
const DELETE: &[&[&str]] =
    &[&["DeleteIdentities", "DeleteIdentityPool", "DeleteOpenIDConnectProvider", "DeleteSAMLProvider", "DeleteRole"]];
/// Where a request comes from, and what a proxy has put in.
pub struct Circumstances {
    pub peer: &'static str,
    pub headers: &'static [(&'static str, &'static str)],
}

/// From somewhere, by itself.
const PLAIN: Circumstances = Circumstances { peer: "203.0.113.9", headers: &[] };

/// A policy, and what a key with it may do.
pub struct Row {
    pub why: &'static str,
    /// With names in capitals for what the place has.
    pub statements: &'static str,
    pub circumstances: Circumstances,
    allowed: &'static [&'static [&'static str]],
    denied: &'static [&'static [&'static str]],
}

impl Row {
    pub fn allows(&self, operation: &str) -> bool {
        self.allowed.iter().any(|group| group.contains(&operation))
    }

    /// Whether it is denied explicitly.
    pub fn denies(&self, operation: &str) -> bool {
        self.denied.iter().any(|group| group.contains(&operation))
    }

    pub fn under(self, circumstances: Circumstances) -> Self {
        Self { circumstances, ..self }
    }
}

/// What is in neither list is not allowed.
pub fn row(
    why: &'static str,
    allowed: &'static [&'static [&'static str]],
    denied: &'static [&'static [&'static str]],
    statements: &'static str,
) -> Row {
    Row { why, statements, circumstances: PLAIN, allowed, denied }
}

/// The table.
pub fn rows() -> Vec<Row> {
    [by_actions(), by_resources(), conditions::of_the_way(), conditions::of_the_rest()].into_iter().flatten().collect()
}

fn by_actions() -> Vec<Row> {
    vec![
        row("all", EVERYTHING, NOTHING, r#"[{"Effect": "Allow", "Action": "*", "Resource": "*"}]"#),
        row("only a Deny", NOTHING, DELETE, r#"{"Effect": "Deny", "Action": "*:Delete*", "Resource": "*"}"#),
        row(
            "tokens",
            &[&[TOKEN]],
            NOTHING,
            r#"[{"Effect": "Allow", "Action": "cognito-identity:GetOpenIdTokenForDeveloperIdentity", "Resource": "*"}]"#,
        ),
        row(
            "reading",
            READ,
            NOTHING,
            r#"[{"Effect": "Allow", "Action": ["cognito-identity:Describe*", "cognito-identity:List*",
                "cognito-identity:Lookup*", "cognito-identity:GetIdentityPoolRoles", "iam:Get*", "iam:List*",
                "cognito-identity:GetPrincipalTagAttributeMap"], "Resource": "*"}]"#,
        ),
        row("iam:*", IAM, NOTHING, r#"[{"Effect": "Allow", "Action": "iam:*", "Resource": "*"}]"#),
        row("cognito", COGNITO, NOTHING, r#"[{"Effect": "Allow", "Action": "cognito-identity:*", "Resource": "*"}]"#),
        row("allow NotAction", COGNITO, NOTHING, r#"[{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}]"#),
        row(
            "deny NotAction",
            COGNITO,
            IAM,
            r#"[{"Effect": "Allow", "Action": "*", "Resource": "*"},
                {"Effect": "Deny", "NotAction": ["cognito-identity:*"], "Resource": "*"}]"#,
        ),
        row(
            "a Deny before an Allow",
            &[OF_A_POOL],
            &[OF_NO_POOL, OF_A_PROVIDER, OF_A_SAML, OF_NO_PROVIDER, OF_A_ROLE, OF_NO_ROLE],
            r#"[{"Effect": "Deny", "Resource": "*",
                 "Action": ["iam:*", "cognito-identity:CreateIdentityPool", "cognito-identity:ListIdentityPools"]},
                {"Effect": "Allow", "Action": "*", "Resource": "*"}]"#,
        ),
        row(
            "a Deny after an Allow",
            IAM,
            COGNITO,
            r#"[{"Effect": "Allow", "Action": ["iam:*", "cognito-identity:Delete*"], "Resource": "*"},
                {"Effect": "Deny", "Action": "cognito-identity:*", "Resource": "*"}]"#,
        ),
        row(
            "actions in another case",
            &[&[TOKEN, "GetRole"]],
            &[&["DeleteRole"]],
            r#"[{"Effect": "Allow", "Action": ["COGNITO-identity:getOPENidTOKENforDEVELOPERidentity", "IAM:g?trole"],
                 "Resource": "*"}, {"Effect": "Deny", "Action": "IAM:dELETErOLE", "Resource": "*"}]"#,
        ),
        row(
            "another service, and names that there are not",
            NOTHING,
            NOTHING,
            r#"[{"Effect": "Allow", "Action": ["sts:*", "s3:*", "cognito-idp:*", "cognito-identity:GetRole", "iam:GetId*"],
                 "Resource": "*"}]"#,
        ),
    ]
}

fn by_resources() -> Vec<Row> {
    vec![
        row(
            "one pool by its ARN",
            &[OF_A_POOL],
            NOTHING,
            r#"[{"Effect": "Allow", "Action": "*",
                 "Resource": "arn:aws:cognito-identity:us-east-1:ACCOUNT:identitypool/POOL"}]"#,
        ),
        row(
            "another pool",
            NOTHING,
            NOTHING,
            r#"[{"Effect": "Allow", "Action": "*",
                 "Resource": "arn:aws:cognito-identity:us-east-1:ACCOUNT:identitypool/OTHER_POOL"}]"#,
        ),
        row(
            "pools by a wildcard",
            &[OF_A_POOL, OF_NO_POOL],
            NOTHING,
            r#"[{"Effect": "Allow", "Action": "*", "Resource": "arn:aws:cognito-identity:*:*:identitypool/*"}]"#,
        ),
        row(
            "no pool, for there must be one character",
            &[OF_A_POOL],
            NOTHING,
            r#"[{"Effect": "Allow", "Action": "*",
                 "Resource": "arn:aws:cognito-identity:us-east-?:ACCOUNT:identitypool/?*"}]"#,
        ),
        row(
            "a Deny on one pool",
            &[OF_NO_POOL, OF_A_PROVIDER, OF_A_SAML, OF_NO_PROVIDER, OF_A_ROLE, OF_NO_ROLE],
            &[OF_A_POOL],
            r#"[{"Effect": "Deny", "Action": "*",
                 "Resource": ["arn:aws:cognito-identity:us-east-1:ACCOUNT:identitypool/POOL"]},
                {"Effect": "Allow", "Action": "*", "Resource": "*"}]"#,
        ),
        row(
            "another account",
            NOTHING,
            NOTHING,
            r#"[{"Effect": "Allow", "Action": "*", "Resource": ["arn:aws:iam::000000000002:*",
                "arn:aws:cognito-identity:us-east-1:000000000002:identitypool/*",
                "arn:aws:cognito-identity:us-east-1::identitypool/*"]}]"#,
        ),
        row(
            "another region, and another partition",
            NOTHING,
            NOTHING,
            r#"[{"Effect": "Allow", "Action": "*", "Resource": ["arn:aws-cn:iam::ACCOUNT:*",
                "arn:aws:cognito-identity:eu-west-1:ACCOUNT:identitypool/*", "arn:aws:iam:us-east-1:ACCOUNT:*"]}]"#,
        ),
        row(
            "resources in another case",
            NOTHING,
            NOTHING,
            r#"[{"Effect": "Allow", "Action": "*", "Resource": ["arn:aws:iam::ACCOUNT:Role/*",
                "arn:aws:iam::ACCOUNT:role/Team/ROLE", "arn:aws:iam::ACCOUNT:OIDC-provider/*",
                "arn:aws:cognito-identity:us-east-1:ACCOUNT:IdentityPool/POOL"]}]"#,
        ),
        row(
            "one role",
            &[OF_A_ROLE],
            NOTHING,
            r#"[{"Effect": "Allow", "Action": "*", "Resource": "arn:aws:iam::ACCOUNT:role/team/ROLE"}]"#,
        ),
        row(
            "the roles of a path, and a Deny on one",
            &[OF_NO_ROLE],
            &[OF_A_ROLE],
            r#"[{"Effect": "Allow", "Action": "iam:*", "Resource": "arn:aws:iam::ACCOUNT:role/*"},
                {"Effect": "Deny", "Action": "iam:*", "Resource": "arn:aws:iam::*:role/*/ROLE"}]"#,
        ),
        row(
            "one provider",
            &[OF_A_PROVIDER],
            NOTHING,
            r#"[{"Effect": "Allow", "Action": "*", "Resource": "arn:aws:iam::ACCOUNT:oidc-provider/PROVIDER"}]"#,
        ),
    ]
}
