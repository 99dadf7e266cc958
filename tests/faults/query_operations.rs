//! A call of every operation of IAM and STS, each on a role and providers of its own, and what the database has of them.

use serde_json::json;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::client::{Client, Signed};
use crate::forms::{element, form};

/// What anyone may ask.
const PUBLIC: &str = "AssumeRoleWithWebIdentity";

/// They are about nothing that is there, or about all that is one's own.
pub const OF_NONE: [&str; 7] = [
    "CreateOpenIDConnectProvider",
    "ListOpenIDConnectProviders",
    "CreateSAMLProvider",
    "ListSAMLProviders",
    "CreateRole",
    "ListRoles",
    "GetCallerIdentity",
];

const METADATA: &str = include_str!("../api/policy_matrix/metadata.xml");
const THUMBPRINT: &str = "0123456789012345678901234567890123456789";

/// A role and providers that a call is made on, all named by a part of their own.
#[derive(Clone)]
pub struct Declared {
    account: String,
    part: String,
    trust: String,
    oidc: String,
    saml: String,
    /// An OpenID token that the role takes.
    token: String,
}

impl Declared {
    /// Made by the broker at `url` in this account. The role is for users of this pool, of whom one has this token.
    pub async fn by(client: &Client, url: &str, account: &str, pool: &str, token: String) -> Self {
        let part = pool.split_once(':').unwrap().1.to_owned();
        let trust = json!({ "Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Action": format!("sts:{PUBLIC}"), "Principal": { "Federated": "cognito-identity.amazonaws.com" },
            "Condition": { "StringEquals": { "cognito-identity.amazonaws.com:aud": pool } } } });
        let (account, trust) = (account.to_owned(), trust.to_string());
        let mut declared = Self { account, part, trust, oidc: String::new(), saml: String::new(), token };
        let tags = tags("kept", "taken");
        let oidc =
            [("Url", &*declared.url("kept")), ("ClientIDList.member.1", "one"), ("ClientIDList.member.2", "two")]
                .map(|(name, value)| (name, value.to_owned()));
        let saml = [("Name", declared.name("kept")), ("SAMLMetadataDocument", METADATA.to_owned())];
        let role = [("RoleName", declared.name("kept")), ("AssumeRolePolicyDocument", declared.trust.clone())];
        let make = async |action: &str, own: &[(&'static str, String)]| {
            let parameters: Vec<_> = own.iter().chain(&tags).map(|(name, value)| (*name, &**value)).collect();
            let answer = client.send(&client.sign_for("iam", form(url, "iam", action, &parameters))).await.unwrap();
            assert_eq!(answer.status, 200, "{action}: {answer:?}");
            answer
        };
        declared.oidc = element(&make("CreateOpenIDConnectProvider", &oidc).await, "OpenIDConnectProviderArn");
        declared.saml = element(&make("CreateSAMLProvider", &saml).await, "SAMLProviderArn");
        make("CreateRole", &role).await;
        declared
    }

    /// What has the same names but for their own part, or is in another account, or both.
    pub fn elsewhere(&self, account: &str, part: &str) -> Self {
        let moved = |arn: &str| arn.replace(&self.part, part).replace(&self.account, account);
        let (oidc, saml) = (moved(&self.oidc), moved(&self.saml));
        Self { account: account.to_owned(), part: part.to_owned(), oidc, saml, ..self.clone() }
    }

    /// The part that all names have in common.
    pub fn part(&self) -> &str {
        &self.part
    }

    /// The ARN of the role.
    pub fn role_arn(&self) -> String {
        format!("arn:aws:iam::{}:role/{}", self.account, self.name("kept"))
    }

    fn name(&self, what: &str) -> String {
        format!("{what}-{}", self.part)
    }

    fn url(&self, what: &str) -> String {
        format!("https://{what}.example.com/{}", self.part)
    }

    /// The call, to the broker at `url`.
    pub fn request(&self, client: &Client, url: &str, action: &str) -> Signed {
        let parameters = self.parameters(action);
        let parameters: Vec<_> = parameters.iter().map(|(name, value)| (*name, &**value)).collect();
        match action {
            PUBLIC => form(url, "sts", action, &parameters),
            "GetCallerIdentity" => client.sign_for("sts", form(url, "sts", action, &parameters)),
            _ => client.sign_for("iam", form(url, "iam", action, &parameters)),
        }
    }

    fn parameters(&self, action: &str) -> Vec<(&'static str, String)> {
        let of = [
            ("OpenIDConnectProvider", "OpenIDConnectProviderArn", &self.oidc),
            ("SAMLProvider", "SAMLProviderArn", &self.saml),
            ("Role", "RoleName", &self.name("kept")),
        ];
        let named = of.into_iter().find(|(kind, ..)| action.contains(kind));
        let named = named.filter(|_| !OF_NONE.contains(&action) && action != PUBLIC);
        let mut parameters: Vec<_> = named.into_iter().map(|(_, name, value)| (name, value.clone())).collect();
        let mut with = |name, value: &str| parameters.push((name, value.to_owned()));
        match action {
            "CreateOpenIDConnectProvider" => with("Url", &self.url("made")),
            "CreateSAMLProvider" => {
                with("Name", &self.name("made"));
                with("SAMLMetadataDocument", METADATA);
            }
            "UpdateSAMLProvider" => {
                with("SAMLMetadataDocument", &METADATA.replace("idp.example.com/saml", "idp.example.com/other"));
            }
            "CreateRole" => {
                with("RoleName", &self.name("made"));
                with("AssumeRolePolicyDocument", &self.trust);
            }
            "UpdateAssumeRolePolicy" => with("PolicyDocument", &self.trust.replace("StringEquals", "StringLike")),
            "UpdateRole" | "UpdateRoleDescription" => with("Description", "changed"),
            "AddClientIDToOpenIDConnectProvider" => with("ClientID", "three"),
            "RemoveClientIDFromOpenIDConnectProvider" => with("ClientID", "two"),
            "UpdateOpenIDConnectProviderThumbprint" => with("ThumbprintList.member.1", THUMBPRINT),
            PUBLIC => {
                with("RoleArn", &self.role_arn());
                with("RoleSessionName", "app");
                with("WebIdentityToken", &self.token);
            }
            _ if action.starts_with("Tag") => parameters.extend(tags("given", "other")),
            _ if action.starts_with("Untag") => with("TagKeys.member.1", "taken"),
            _ => (),
        }
        parameters
    }

    /// Everything that the database has of them, without what is different for every part.
    pub async fn state(&self, database_url: &str) -> String {
        let mut conn = PgConnection::connect(database_url).await.unwrap();
        let query = "
            select replace(jsonb_build_object(
              'roles', (
                select jsonb_agg(to_jsonb(r) - array['role_id', 'created_at'] order by name_key)
                from iam_roles r where name_key like '%' || $1),
              'oidc', (
                select jsonb_agg(to_jsonb(o) - 'created_at'::text order by url)
                from oidc_providers o where url like '%' || $1),
              'saml', (
                select jsonb_agg(to_jsonb(s) - array['created_at', 'document', 'certificates'] order by name)
                from saml_providers s where name like '%' || $1))::text, $1, 'PART')";
        sqlx::query_scalar(query).bind(&self.part).fetch_one(&mut conn).await.unwrap()
    }
}

fn tags(one: &str, other: &str) -> [(&'static str, String); 4] {
    [
        ("Tags.member.1.Key", one.to_owned()),
        ("Tags.member.1.Value", "1".to_owned()),
        ("Tags.member.2.Key", other.to_owned()),
        ("Tags.member.2.Value", "2".to_owned()),
    ]
}
