//! What is asked of every signed operation: a request that would be done, if it may, and what it is done to.

use axum::http::Request;
use serde_json::{Value, json};

use crate::client::{Broker, Developer, HOME};
use crate::harness::DEVELOPER;
use crate::query::{of_iam, request, trust};

/// Of a SAML provider.
const METADATA: &str = include_str!("metadata.xml");

/// The body of a request.
pub enum Body {
    Json(Value),
    Form(Vec<(&'static str, String)>),
}

/// A request, and what the reference says that it is done to.
pub struct Asked {
    pub action: String,
    pub body: Body,
    pub resource: String,
}

impl Asked {
    /// The name of the operation without its service.
    pub fn operation(&self) -> &str {
        self.action.split_once(':').unwrap().1
    }

    pub fn signed_by(&self, key: &Developer) -> Request<axum::body::Body> {
        match &self.body {
            Body::Json(body) => key.sign(self.operation(), &body.to_string()),
            Body::Form(parameters) => iam(key, self.operation(), parameters),
        }
    }
}

/// A signed request to IAM.
pub fn iam(key: &Developer, action: &str, parameters: &[(&'static str, String)]) -> Request<axum::body::Body> {
    let parameters: Vec<_> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let body = of_iam(action, &parameters);
    key.sign_for("iam", request(&body), &body)
}

/// A tenant's pool, role and provider, with all that the requests need, and other ones that policies speak of.
pub struct Place {
    /// May do everything.
    pub admin: Developer,
    pub pool: String,
    pub other_pool: String,
    number: u64,
    user: String,
    spare: String,
    guest: String,
}

impl Place {
    /// One more of the tenant 1.
    pub async fn new(broker: &Broker, number: u64) -> Self {
        let admin = broker.developer(1);
        let (pool, other_pool) = (admin.pool().await, admin.pool().await);
        let user = admin.identity(&pool, "user").await;
        admin.identity(&pool, "friend").await;
        let spare = admin.identity(&pool, "spare").await;
        let guest = broker.visitor().get_id(&pool).await.member("IdentityId");
        let map = json!({ "IdentityPoolId": pool, "IdentityProviderName": DEVELOPER, "UseDefaults": true });
        admin.call("SetPrincipalTagAttributeMap", map).await.ok();
        let place = Self { admin, pool, other_pool, number, user, spare, guest };
        let provider = vec![("Url", format!("https://{}", place.provider())), ("ClientIDList.member.1", "a".into())];
        place.admin.send(iam(&place.admin, "CreateOpenIDConnectProvider", &provider)).await.ok();
        let saml = [("Name", format!("saml-{number}")), ("SAMLMetadataDocument", METADATA.to_owned())];
        place.admin.send(iam(&place.admin, "CreateSAMLProvider", &saml)).await.ok();
        place.make_role("/team/", &place.role()).await;
        place
    }

    /// Makes a role.
    pub async fn make_role(&self, path: &str, name: &str) {
        let role = [
            ("RoleName", name.to_owned()),
            ("Path", path.to_owned()),
            ("AssumeRolePolicyDocument", trust(&self.pool).to_string()),
        ];
        self.admin.send(iam(&self.admin, "CreateRole", &role)).await.ok();
    }

    /// The role's name, in letters of both cases.
    pub fn role(&self) -> String {
        format!("Role-{}", self.number)
    }

    fn provider(&self) -> String {
        format!("idp-{}.example.com", self.number)
    }

    /// A policy of these statements, about this place.
    pub fn policy(&self, statements: &str) -> String {
        let account = self.admin.account.as_str();
        let statements = statements
            .replace("OTHER_POOL", &self.other_pool)
            .replace("POOL", &self.pool)
            .replace("ACCOUNT", account)
            .replace("ROLE", &self.role())
            .replace("PROVIDER", &self.provider());
        format!(r#"{{"Version": "2012-10-17", "Statement": {statements}}}"#)
    }

    fn pool_arn(&self, id: &str) -> String {
        format!("arn:aws:cognito-identity:{HOME}:{}:identitypool/{id}", self.admin.account)
    }

    fn iam_arn(&self, rest: &str) -> String {
        format!("arn:aws:iam::{}:{rest}", self.admin.account)
    }

    /// A request of each operation, in an order in which all can be done.
    pub fn requests(&self) -> Vec<Asked> {
        let all = [self.of_no_pool(), self.of_the_pool(), self.of_providers(), self.of_saml(), self.of_roles()];
        all.into_iter().flatten().collect()
    }

    fn of_no_pool(&self) -> Vec<Asked> {
        let asked = |operation: &str, body: Value| self.cognito(operation, body, "");
        vec![
            asked(
                "CreateIdentityPool",
                json!({ "IdentityPoolName": "another", "AllowUnauthenticatedIdentities": false }),
            ),
            asked("ListIdentityPools", json!({ "MaxResults": 60 })),
        ]
    }

    fn cognito(&self, operation: &str, body: Value, pool: &str) -> Asked {
        let action = format!("cognito-identity:{operation}");
        Asked { action, body: Body::Json(body), resource: self.pool_arn(pool) }
    }

    fn of_the_pool(&self) -> Vec<Asked> {
        let (pool, arn) = (&self.pool, self.pool_arn(&self.pool));
        let (user, spare, guest) = (&self.user, &self.spare, &self.guest);
        let role = self.iam_arn("role/one");
        [
            ("DescribeIdentityPool", json!({ "IdentityPoolId": pool })),
            (
                "UpdateIdentityPool",
                json!({ "IdentityPoolId": pool, "IdentityPoolName": "renamed",
                        "AllowUnauthenticatedIdentities": true, "DeveloperProviderName": DEVELOPER }),
            ),
            ("SetIdentityPoolRoles", json!({ "IdentityPoolId": pool, "Roles": { "authenticated": role } })),
            ("GetIdentityPoolRoles", json!({ "IdentityPoolId": pool })),
            (
                "SetPrincipalTagAttributeMap",
                json!({ "IdentityPoolId": pool, "IdentityProviderName": DEVELOPER, "PrincipalTags": { "who": "sub" } }),
            ),
            ("GetPrincipalTagAttributeMap", json!({ "IdentityPoolId": pool, "IdentityProviderName": DEVELOPER })),
            ("TagResource", json!({ "ResourceArn": arn, "Tags": { "team": "blue" } })),
            ("UntagResource", json!({ "ResourceArn": arn, "TagKeys": ["team"] })),
            ("ListTagsForResource", json!({ "ResourceArn": arn })),
            ("DescribeIdentity", json!({ "IdentityId": user })),
            ("ListIdentities", json!({ "IdentityPoolId": pool, "MaxResults": 60 })),
            (
                "GetOpenIdTokenForDeveloperIdentity",
                json!({ "IdentityPoolId": pool, "Logins": { DEVELOPER: "newcomer" } }),
            ),
            ("LookupDeveloperIdentity", json!({ "IdentityPoolId": pool, "IdentityId": user })),
            (
                "UnlinkDeveloperIdentity",
                json!({ "IdentityPoolId": pool, "IdentityId": spare, "DeveloperProviderName": DEVELOPER,
                        "DeveloperUserIdentifier": "spare" }),
            ),
            (
                "MergeDeveloperIdentities",
                json!({ "IdentityPoolId": pool, "DeveloperProviderName": DEVELOPER,
                        "SourceUserIdentifier": "user", "DestinationUserIdentifier": "friend" }),
            ),
            ("DeleteIdentities", json!({ "IdentityIdsToDelete": [guest] })),
            ("DeleteIdentityPool", json!({ "IdentityPoolId": pool })),
        ]
        .map(|(operation, body)| self.cognito(operation, body, pool))
        .into()
    }

    fn of_providers(&self) -> Vec<Asked> {
        let made = format!("made-{}.example.com/realm", self.number);
        let arn = self.iam_arn(&format!("oidc-provider/{}", self.provider()));
        let of = |operation: &str, more: Vec<(&'static str, String)>| {
            let body = [vec![("OpenIDConnectProviderArn", arn.clone())], more].concat();
            Asked { action: format!("iam:{operation}"), body: Body::Form(body), resource: arn.clone() }
        };
        let other = |operation: &str, body: Vec<(&'static str, String)>, resource: String| Asked {
            action: format!("iam:{operation}"),
            body: Body::Form(body),
            resource: self.iam_arn(&resource),
        };
        let url = vec![("Url", format!("https://{made}"))];
        let tag = vec![("Tags.member.1.Key", "team".into()), ("Tags.member.1.Value", "blue".into())];
        vec![
            other("CreateOpenIDConnectProvider", url, format!("oidc-provider/{made}")),
            other("ListOpenIDConnectProviders", vec![], "oidc-provider/".into()),
            of("GetOpenIDConnectProvider", vec![]),
            of("AddClientIDToOpenIDConnectProvider", vec![("ClientID", "b".into())]),
            of("RemoveClientIDFromOpenIDConnectProvider", vec![("ClientID", "a".into())]),
            of("UpdateOpenIDConnectProviderThumbprint", vec![("ThumbprintList.member.1", "9".repeat(40))]),
            of("TagOpenIDConnectProvider", tag),
            of("ListOpenIDConnectProviderTags", vec![]),
            of("UntagOpenIDConnectProvider", vec![("TagKeys.member.1", "team".into())]),
            of("DeleteOpenIDConnectProvider", vec![]),
        ]
    }

    fn of_saml(&self) -> Vec<Asked> {
        let made = format!("made-{}", self.number);
        let arn = self.iam_arn(&format!("saml-provider/saml-{}", self.number));
        let of = |operation: &str, more: Vec<(&'static str, String)>| {
            let body = [vec![("SAMLProviderArn", arn.clone())], more].concat();
            Asked { action: format!("iam:{operation}"), body: Body::Form(body), resource: arn.clone() }
        };
        let other = |operation: &str, body: Vec<(&'static str, String)>, resource: String| Asked {
            action: format!("iam:{operation}"),
            body: Body::Form(body),
            resource: self.iam_arn(&resource),
        };
        let tag = vec![("Tags.member.1.Key", "team".into()), ("Tags.member.1.Value", "blue".into())];
        let metadata = ("SAMLMetadataDocument", METADATA.to_owned());
        vec![
            other(
                "CreateSAMLProvider",
                vec![("Name", made.clone()), metadata.clone()],
                format!("saml-provider/{made}"),
            ),
            other("ListSAMLProviders", vec![], "saml-provider/".into()),
            of("GetSAMLProvider", vec![]),
            of("UpdateSAMLProvider", vec![metadata]),
            of("TagSAMLProvider", tag),
            of("ListSAMLProviderTags", vec![]),
            of("UntagSAMLProvider", vec![("TagKeys.member.1", "team".into())]),
            of("DeleteSAMLProvider", vec![]),
        ]
    }

    fn of_roles(&self) -> Vec<Asked> {
        let made = format!("made-{}", self.number);
        let of = |operation: &str, more: Vec<(&'static str, String)>| {
            let body = [vec![("RoleName", self.role())], more].concat();
            let resource = self.iam_arn(&format!("role/team/{}", self.role()));
            Asked { action: format!("iam:{operation}"), body: Body::Form(body), resource }
        };
        let create = vec![
            ("Path", "/new/path/".into()),
            ("RoleName", made.clone()),
            ("AssumeRolePolicyDocument", trust(&self.pool).to_string()),
        ];
        let other = |operation: &str, body: Vec<(&'static str, String)>, resource: String| Asked {
            action: format!("iam:{operation}"),
            body: Body::Form(body),
            resource: self.iam_arn(&resource),
        };
        let tag = vec![("Tags.member.1.Key", "team".into()), ("Tags.member.1.Value", "blue".into())];
        vec![
            other("CreateRole", create, format!("role/new/path/{made}")),
            other("ListRoles", vec![("PathPrefix", "/new/".into())], "role/new/".into()),
            of("GetRole", vec![]),
            of("UpdateRole", vec![("MaxSessionDuration", "7200".into())]),
            of("UpdateRoleDescription", vec![("Description", "a role".into())]),
            of("UpdateAssumeRolePolicy", vec![("PolicyDocument", trust(&self.other_pool).to_string())]),
            of("TagRole", tag),
            of("ListRoleTags", vec![]),
            of("UntagRole", vec![("TagKeys.member.1", "team".into())]),
            of("ListRolePolicies", vec![]),
            of("ListAttachedRolePolicies", vec![]),
            of("ListInstanceProfilesForRole", vec![]),
            of("DeleteRole", vec![]),
        ]
    }
}
