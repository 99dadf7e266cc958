//! What every operation is asked, by what its input names: of one replica here, of two by `tests/faults/isolation.rs`.

use serde_json::{Value, json};

/// The developer provider of the pools that are asked about.
pub const DEVELOPER: &str = "login.example.com";

/// What a question is about.
pub struct Named<'a> {
    pub pool: &'a str,
    pub identity: &'a str,
    /// Public logins that hold, and belong to a user of the pool.
    pub logins: &'a Value,
}

/// An input that names something.
pub type Question = fn(&Named<'_>) -> Value;

/// An input that names a resource.
pub type OfArn = fn(arn: &str) -> Value;

/// Every signed operation that names a pool.
pub const OF_POOLS: &[(&str, Question)] = &[
    ("DescribeIdentityPool", |of| json!({ "IdentityPoolId": of.pool })),
    ("DeleteIdentityPool", |of| json!({ "IdentityPoolId": of.pool })),
    ("UpdateIdentityPool", |of| {
        json!({ "IdentityPoolId": of.pool, "IdentityPoolName": "taken", "AllowUnauthenticatedIdentities": false,
                "DeveloperProviderName": DEVELOPER })
    }),
    ("ListIdentities", |of| json!({ "IdentityPoolId": of.pool, "MaxResults": 60 })),
    ("LookupDeveloperIdentity", |of| json!({ "IdentityPoolId": of.pool, "DeveloperUserIdentifier": "user" })),
    ("LookupDeveloperIdentity", |of| json!({ "IdentityPoolId": of.pool, "IdentityId": of.identity })),
    ("MergeDeveloperIdentities", |of| {
        json!({ "IdentityPoolId": of.pool, "DeveloperProviderName": DEVELOPER,
                "SourceUserIdentifier": "user", "DestinationUserIdentifier": "friend" })
    }),
    ("UnlinkDeveloperIdentity", |of| {
        json!({ "IdentityPoolId": of.pool, "IdentityId": of.identity, "DeveloperProviderName": DEVELOPER,
                "DeveloperUserIdentifier": "user" })
    }),
    (
        "GetOpenIdTokenForDeveloperIdentity",
        |of| json!({ "IdentityPoolId": of.pool, "Logins": { DEVELOPER: "newcomer" } }),
    ),
    (
        "GetOpenIdTokenForDeveloperIdentity",
        |of| json!({ "IdentityPoolId": of.pool, "IdentityId": of.identity, "Logins": with(of.logins, "newcomer") }),
    ),
    ("GetIdentityPoolRoles", |of| json!({ "IdentityPoolId": of.pool })),
    (
        "SetIdentityPoolRoles",
        |of| json!({ "IdentityPoolId": of.pool, "Roles": { "authenticated": "arn:aws:iam::000000000001:role/taken" } }),
    ),
    (
        "GetPrincipalTagAttributeMap",
        |of| json!({ "IdentityPoolId": of.pool, "IdentityProviderName": any_key(of.logins) }),
    ),
    ("SetPrincipalTagAttributeMap", |of| {
        json!({ "IdentityPoolId": of.pool, "IdentityProviderName": any_key(of.logins),
                "PrincipalTags": { "taken": "sub" } })
    }),
];

/// Every signed operation that names an identity: first those that name no pool beside it.
pub const OF_IDENTITIES: &[(&str, Question)] = &[
    ("DescribeIdentity", |of| json!({ "IdentityId": of.identity })),
    ("DeleteIdentities", |of| json!({ "IdentityIdsToDelete": [of.identity] })),
    ("LookupDeveloperIdentity", |of| json!({ "IdentityPoolId": of.pool, "IdentityId": of.identity })),
    (
        "LookupDeveloperIdentity",
        |of| json!({ "IdentityPoolId": of.pool, "IdentityId": of.identity, "DeveloperUserIdentifier": "user" }),
    ),
    ("UnlinkDeveloperIdentity", |of| {
        json!({ "IdentityPoolId": of.pool, "IdentityId": of.identity, "DeveloperProviderName": DEVELOPER,
                "DeveloperUserIdentifier": "user" })
    }),
    (
        "GetOpenIdTokenForDeveloperIdentity",
        |of| json!({ "IdentityPoolId": of.pool, "IdentityId": of.identity, "Logins": { DEVELOPER: "user" } }),
    ),
    (
        "GetOpenIdTokenForDeveloperIdentity",
        |of| json!({ "IdentityPoolId": of.pool, "IdentityId": of.identity, "Logins": with(of.logins, "newcomer") }),
    ),
];

/// How many of those name no pool.
pub const WITHOUT_POOL: usize = 2;

/// Every signed operation that names a resource, by its ARN.
pub const OF_RESOURCES: &[(&str, OfArn)] = &[
    ("TagResource", |arn| json!({ "ResourceArn": arn, "Tags": { "taken": "over" } })),
    ("UntagResource", |arn| json!({ "ResourceArn": arn, "TagKeys": ["of"] })),
    ("ListTagsForResource", |arn| json!({ "ResourceArn": arn })),
];

/// Every operation for anyone that names a pool.
pub const OF_ANYONES_POOLS: &[(&str, Question)] = &[
    ("GetId", |of| json!({ "IdentityPoolId": of.pool })),
    ("GetId", |of| json!({ "IdentityPoolId": of.pool, "Logins": of.logins })),
    ("GetId", |of| json!({ "IdentityPoolId": of.pool, "Logins": { "garbage": "garbage" } })),
];

/// Every operation for anyone that names an identity.
pub const OF_ANYONES_IDENTITIES: &[(&str, Question)] = &[
    ("GetOpenIdToken", |of| json!({ "IdentityId": of.identity })),
    ("GetOpenIdToken", |of| json!({ "IdentityId": of.identity, "Logins": of.logins })),
    ("GetOpenIdToken", |of| json!({ "IdentityId": of.identity, "Logins": { "garbage": "garbage" } })),
    ("GetCredentialsForIdentity", |of| json!({ "IdentityId": of.identity })),
    ("GetCredentialsForIdentity", |of| json!({ "IdentityId": of.identity, "Logins": of.logins })),
    (
        "GetCredentialsForIdentity",
        |of| json!({ "IdentityId": of.identity, "Logins": { "cognito-identity.amazonaws.com": "garbage" } }),
    ),
    (
        "UnlinkIdentity",
        |of| json!({ "IdentityId": of.identity, "Logins": of.logins, "LoginsToRemove": [any_key(of.logins)] }),
    ),
    ("UnlinkIdentity", |of| json!({ "IdentityId": of.identity, "Logins": {}, "LoginsToRemove": [DEVELOPER] })),
];

/// The operations that name nothing that is there. `signed.rs` asks them.
pub const OF_NOTHING: [&str; 2] = ["CreateIdentityPool", "ListIdentityPools"];

/// Public logins and a developer's user.
fn with(logins: &Value, user: &str) -> Value {
    let mut logins = logins.clone();
    logins[DEVELOPER] = json!(user);
    logins
}

fn any_key(logins: &Value) -> &str {
    logins.as_object().unwrap().keys().next().unwrap()
}
