//! A call of every operation, each on a pool, identities, a role and providers of its own, and what the database has of them.

use serde_json::{Value, json};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use symbolon::aws_query::shapes::{IAM_OPERATIONS, STS_OPERATIONS};

use crate::client::{Answer, PROVIDER, Signed, call_unsigned, unsigned};
use crate::database::ACCOUNT;
use crate::federation::Federation;
use crate::forms::element;
use crate::query_operations::Declared;
use crate::registrants::unique_part;

/// Every operation of Cognito, some in two ways.
const OF_COGNITO: [&str; 25] = [
    "CreateIdentityPool",
    "DescribeIdentityPool",
    "UpdateIdentityPool",
    "DeleteIdentityPool",
    "ListIdentityPools",
    "SetIdentityPoolRoles",
    "GetIdentityPoolRoles",
    "SetPrincipalTagAttributeMap",
    "GetPrincipalTagAttributeMap",
    "TagResource",
    "UntagResource",
    "ListTagsForResource",
    "GetId",
    "GetId of a guest",
    "DescribeIdentity",
    "ListIdentities",
    "DeleteIdentities",
    "UnlinkIdentity",
    "GetOpenIdToken",
    "GetCredentialsForIdentity",
    "GetOpenIdTokenForDeveloperIdentity",
    "GetOpenIdTokenForDeveloperIdentity of a known identity",
    "LookupDeveloperIdentity",
    "MergeDeveloperIdentities",
    "UnlinkDeveloperIdentity",
];

/// Every operation, some in two ways.
pub fn cases() -> Vec<&'static str> {
    [&OF_COGNITO[..], IAM_OPERATIONS, STS_OPERATIONS].concat()
}

/// A client cannot repeat these without making another pool or guest.
pub const MAKING: [&str; 2] = ["CreateIdentityPool", "GetId of a guest"];

const PUBLIC: [&str; 4] = ["GetId", "GetOpenIdToken", "GetCredentialsForIdentity", "UnlinkIdentity"];

/// What a call is made on.
pub struct Stage {
    pub pool: String,
    /// Of a user of two public providers.
    ann: String,
    /// Of developer users.
    ada: String,
    bea: String,
    guest: String,
    declared: Declared,
}

impl Stage {
    /// A new pool with its identities, made by the broker at `url`.
    pub async fn set(at: &Federation, url: &str) -> Self {
        let pool = at.create_pool(url).await;
        let tags = json!({ "ResourceArn": arn(&pool), "Tags": { "kept": "1", "taken": "2" } });
        assert_eq!(at.client.call(url, "TagResource", &tags).await.status, 200);
        let map =
            json!({ "IdentityPoolId": pool, "IdentityProviderName": at.key("b"), "PrincipalTags": { "who": "sub" } });
        assert_eq!(at.client.call(url, "SetPrincipalTagAttributeMap", &map).await.status, 200);
        let ann = json!({ "IdentityPoolId": pool, "Logins": at.logins(&["a:ann", "b:ann"]) });
        let ann = call_unsigned(url, "GetId", &ann).await.member("IdentityId");
        let guest = call_unsigned(url, "GetId", &json!({ "IdentityPoolId": pool })).await.member("IdentityId");
        let (ada, bea) = (at.client.token(url, &pool, "ada").await, at.client.identity(url, &pool, "bea").await);
        let declared = Declared::by(&at.client, url, ACCOUNT, &pool, ada.member("Token")).await;
        let roles = json!({ "IdentityPoolId": pool, "Roles": { "authenticated": declared.role_arn() } });
        assert_eq!(at.client.call(url, "SetIdentityPoolRoles", &roles).await.status, 200);
        Self { pool, ann, ada: ada.member("IdentityId"), bea, guest, declared }
    }

    /// The call, to the broker at `url`.
    pub fn request(&self, at: &Federation, url: &str, case: &str) -> Signed {
        if !OF_COGNITO.contains(&case) {
            return self.declared.request(&at.client, url, case);
        }
        let operation = case.split(' ').next().unwrap();
        let body = self.body(at, case);
        if PUBLIC.contains(&operation) {
            unsigned(url, operation, &body)
        } else {
            at.client.sign(url, operation, &body)
        }
    }

    fn body(&self, at: &Federation, case: &str) -> Value {
        let Self { pool, ann, ada, bea, guest, .. } = self;
        let developers = |mut more: Value| {
            let fields = more.as_object_mut().unwrap();
            fields.insert("IdentityPoolId".to_owned(), json!(pool));
            fields.insert("DeveloperProviderName".to_owned(), json!(PROVIDER));
            more
        };
        match case {
            "CreateIdentityPool" => {
                json!({ "IdentityPoolName": self.made(), "AllowUnauthenticatedIdentities": false,
                        "DeveloperProviderName": PROVIDER })
            }
            "UpdateIdentityPool" => {
                json!({ "IdentityPoolId": pool, "IdentityPoolName": "renamed", "AllowUnauthenticatedIdentities": false })
            }
            "ListIdentityPools" => json!({ "MaxResults": 5 }),
            "SetIdentityPoolRoles" => {
                json!({ "IdentityPoolId": pool, "Roles": { "authenticated": format!("arn:aws:iam::{ACCOUNT}:role/user") } })
            }
            "SetPrincipalTagAttributeMap" => {
                json!({ "IdentityPoolId": pool, "IdentityProviderName": at.key("a"), "PrincipalTags": { "who": "sub" } })
            }
            "GetPrincipalTagAttributeMap" => json!({ "IdentityPoolId": pool, "IdentityProviderName": at.key("b") }),
            "TagResource" => json!({ "ResourceArn": arn(pool), "Tags": { "given": "3" } }),
            "UntagResource" => json!({ "ResourceArn": arn(pool), "TagKeys": ["taken"] }),
            "ListTagsForResource" => json!({ "ResourceArn": arn(pool) }),
            "GetId" => json!({ "IdentityPoolId": pool, "Logins": at.logins(&["c:ann"]) }),
            "DescribeIdentity" => json!({ "IdentityId": ann }),
            "ListIdentities" => json!({ "IdentityPoolId": pool, "MaxResults": 10 }),
            "DeleteIdentities" => json!({ "IdentityIdsToDelete": [ada] }),
            "UnlinkIdentity" => {
                json!({ "IdentityId": ann, "Logins": at.logins(&["a:ann"]), "LoginsToRemove": [at.key("b")] })
            }
            "GetOpenIdToken" => json!({ "IdentityId": guest, "Logins": at.logins(&["a:bob", "c:bob"]) }),
            "GetCredentialsForIdentity" => json!({ "IdentityId": guest, "Logins": at.logins(&["a:bob"]) }),
            "GetOpenIdTokenForDeveloperIdentity" => json!({ "IdentityPoolId": pool, "Logins": at.logins(&["cleo"]) }),
            "GetOpenIdTokenForDeveloperIdentity of a known identity" => {
                json!({ "IdentityPoolId": pool, "IdentityId": guest, "Logins": at.logins(&["dora", "c:bob"]) })
            }
            "LookupDeveloperIdentity" => json!({ "IdentityPoolId": pool, "IdentityId": bea }),
            "MergeDeveloperIdentities" => {
                developers(json!({ "SourceUserIdentifier": "ada", "DestinationUserIdentifier": "bea" }))
            }
            "UnlinkDeveloperIdentity" => developers(json!({ "IdentityId": ada, "DeveloperUserIdentifier": "ada" })),
            _ => json!({ "IdentityPoolId": pool }),
        }
    }

    /// The name of a pool that is made here.
    fn made(&self) -> String {
        format!("made-{}", unique_part(&self.pool))
    }

    /// Everything that the database has of the pool, without what is different in every pool: the same text means the same
    /// state. Identities are told by their logins.
    pub async fn state(&self, database_url: &str) -> String {
        let mut conn = PgConnection::connect(database_url).await.unwrap();
        let query = "
            select jsonb_build_object(
              'pool', to_jsonb(p) - array['pool_no', 'pool_id', 'created_at', 'modified_at', 'deleted_at', 'swept_at'],
              'deleted', p.deleted_at is not null,
              'providers', (
                select jsonb_agg(jsonb_build_array(provider_no, login_key, tag_map) order by provider_no)
                from pool_providers where pool_no = p.pool_no),
              'identities', (
                select jsonb_agg(jsonb_build_array(i.state, (
                  select jsonb_agg(jsonb_build_array(l.provider_no, encode(l.subject_key, 'hex'))
                                   order by l.provider_no, l.subject_key)
                  from logins l where l.route = i.route and l.identity_id = i.identity_id)) order by i.state, (
                  select string_agg(l.provider_no::text || encode(l.subject_key, 'hex'), ' '
                                    order by l.provider_no, l.subject_key)
                  from logins l where l.route = i.route and l.identity_id = i.identity_id))
                from identities i where i.route / 1024 = p.pool_no),
              'logins', (select count(*) from logins where route / 1024 = p.pool_no),
              'made', (select count(*) from identity_pools where name = $2))::text
            from identity_pools p where pool_id = $1::text::uuid";
        let pool = unique_part(&self.pool);
        let of_pool: String =
            sqlx::query_scalar(query).bind(pool).bind(self.made()).fetch_one(&mut conn).await.unwrap();
        format!("{}\n{}", of_pool.replace(pool, "POOL"), self.declared.state(database_url).await)
    }
}

/// Whether the identity and the pool that an answer names, if it does, are there.
pub async fn is_of(answer: &Answer, url: &str) -> bool {
    let mut conn = PgConnection::connect(url).await.unwrap();
    for (member, query) in [
        ("IdentityId", "select exists (select from identities where identity_id = $1::text::uuid)"),
        ("IdentityPoolId", "select exists (select from identity_pools where pool_id = $1::text::uuid)"),
    ] {
        let Some(id) = answer.json[member].as_str() else { continue };
        if !sqlx::query_scalar::<_, bool>(query).bind(unique_part(id)).fetch_one(&mut conn).await.unwrap() {
            return false;
        }
    }
    true
}

/// What matters of an answer: the same outcome has the same text.
pub fn outcome(answer: &Answer) -> String {
    format!("{} {}", answer.status, exception(answer))
}

fn arn(pool: &str) -> String {
    format!("arn:aws:cognito-identity:us-east-1:{ACCOUNT}:identitypool/{pool}")
}

/// The service could not answer, and says when to come again.
#[track_caller]
pub fn is_internal_error(answer: &Answer) {
    assert_eq!(answer.status, 500, "{answer:?}");
    assert!(["InternalErrorException", "ServiceFailure"].contains(&&*exception(answer)), "{answer:?}");
    assert_eq!(answer.header("retry-after"), "1", "{answer:?}");
}

/// The exception of an answer of Cognito, or the code of one of IAM or STS.
fn exception(answer: &Answer) -> String {
    if answer.text.contains("<ErrorResponse") { element(answer, "Code") } else { answer.exception().to_owned() }
}
