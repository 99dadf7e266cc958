//! Consumers that speak STS: a token becomes credentials of a role. AWS IAM, MinIO, Ceph RGW.

use serde::Serialize;
use serde_json::{Value, json};

use super::facts::{Facts, period};
use super::guide::{Guide, Language, Status, TOKEN_FILE};
use super::quote::shell;
use super::{CEPH, REVIEWED};

/// A policy with one statement, its members in the order in which people write them.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Policy<'a> {
    version: &'static str,
    statement: [Statement<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement<'a> {
    effect: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<Value>,
    action: &'a [&'a str],
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<Value>,
}

impl<'a> Policy<'a> {
    fn allow(action: &'a [&'a str]) -> Self {
        let statement = Statement { effect: "Allow", principal: None, action, resource: None, condition: None };
        Self { version: "2012-10-17", statement: [statement] }
    }

    /// Who may take a role on: whoever has a token of this pool, and of this identity if there is one.
    fn of_trust(facts: &Facts, provider_arn: &str, users_alone: bool) -> Self {
        let provider = facts.provider();
        let mut equals = serde_json::Map::from_iter([(format!("{provider}:aud"), json!(facts.audience()))]);
        if let Some(identity) = &facts.identity {
            equals.insert(format!("{provider}:sub"), json!(identity));
        }
        let mut condition = json!({ "StringEquals": equals });
        if users_alone {
            // Guests' tokens say `unauthenticated`.
            condition["ForAnyValue:StringLike"] = json!({ format!("{provider}:amr"): "authenticated" });
        }
        let mut policy = Self::allow(&["sts:AssumeRoleWithWebIdentity", "sts:TagSession"]);
        policy.statement[0].principal = Some(json!({ "Federated": [provider_arn] }));
        policy.statement[0].condition = Some(condition);
        policy
    }

    /// The policy without blanks.
    fn compact(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The call that makes credentials of a token.
fn assume(endpoint: Option<&str>, role_arn: &str) -> String {
    let endpoint = endpoint.map(|url| format!("--endpoint-url {url} ")).unwrap_or_default();
    format!(
        "aws {endpoint}sts assume-role-with-web-identity --role-session-name test --role-arn {role_arn} \\\n  \
         --web-identity-token \"$(cat {TOKEN_FILE})\""
    )
}

const TRY: &str = "Try it with a user's token in token.jwt.";

pub(super) fn aws(facts: &Facts) -> Guide {
    let mut guide = Guide::new(
        "AWS IAM",
        Status::Reviewed(REVIEWED),
        Language::Shell,
        &[
            "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc.html",
            "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_create_for-idp_oidc.html",
            "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html",
        ],
    );
    facts.warn_of_installation(&mut guide);
    facts.warn_unless_public_https(&mut guide, "AWS");
    facts.warn_of_port(&mut guide, "AWS");
    facts.warn_of_guests(&mut guide, true);
    facts.warn_of_list(&mut guide, "AWS");
    let tags = facts.principal_tags();
    if !tags.is_empty() {
        guide.warn(format!(
            "claims of logins become principal tags in this pool ({}), and these session tags of the role: whoever sets \
             those claims decides about aws:PrincipalTag in your policies. The trust policy allows sts:TagSession, \
             without which such tokens are refused.",
            tags.join(", ")
        ));
    }
    let partition = facts.pool.id.region.partition();
    let arn = format!("arn:{partition}:iam::REPLACE_AWS_ACCOUNT_ID:oidc-provider/{}", facts.provider());
    guide.command(
        "With credentials of that AWS account, in a shell without the variables of Symbolon's env file: \
         AWS_ENDPOINT_URL_IAM would send these calls to Symbolon, which has such operations, too. Register the issuer. IAM reads its keys by itself, also when they rotate; a thumbprint is not needed where the \
         issuer's TLS certificate is of a well-known authority.",
        format!(
            "aws iam create-open-id-connect-provider --url {} --client-id-list {}",
            shell(&facts.issuer),
            shell(&facts.audience())
        ),
    );
    guide.json_file(
        "trust-policy.json",
        "who may take the role on; sts:TagSession is for tokens with principal tags",
        &Policy::of_trust(facts, &arn, false),
    );
    guide.command(
        "Make the role. It may do nothing yet: attach policies to it.",
        format!(
            "aws iam create-role --role-name {} --assume-role-policy-document file://trust-policy.json",
            shell(&facts.name)
        ),
    );
    let role = format!("arn:{partition}:iam::REPLACE_AWS_ACCOUNT_ID:role/{}", facts.name);
    guide.command(TRY, assume(None, &shell(&role)));
    guide
}

pub(super) fn minio(facts: &Facts) -> Guide {
    let mut guide = Guide::new(
        "MinIO",
        Status::Reviewed(REVIEWED),
        Language::Shell,
        &[
            "https://min.io/docs/minio/linux/reference/minio-server/settings/iam/openid.html",
            "https://github.com/minio/minio/blob/master/docs/sts/web-identity.md",
        ],
    );
    facts.warn_of_installation(&mut guide);
    facts.warn_of_loopback(&mut guide, "MinIO");
    facts.warn_of_guests(&mut guide, false);
    if facts.identity.is_some() {
        guide.warn(
            "MinIO's role is for every user of the pool; --identity cannot be told to it. A policy may name the user as \
             ${jwt:sub}.",
        );
    }
    let suffix = facts.name.to_ascii_uppercase().replace('-', "_");
    let variable = |name: &str, value: &str| format!("export MINIO_IDENTITY_OPENID_{name}_{suffix}={}", shell(value));
    let discovery = format!("{}/.well-known/openid-configuration", facts.issuer);
    guide.command(
        "Give these variables to MinIO (its service reads them as /etc/default/minio, without `export`) and restart it. \
         All users of the pool get one policy.",
        [
            variable("CONFIG_URL", &discovery),
            variable("CLIENT_ID", &facts.audience()),
            variable("ROLE_POLICY", "REPLACE_MINIO_POLICY"),
        ]
        .join("\n"),
    );
    guide.command(TRY, assume(Some("REPLACE_MINIO_ENDPOINT"), "REPLACE_MINIO_ROLE_ARN"));
    guide
}

pub(super) fn ceph(facts: &Facts) -> Guide {
    let mut guide = Guide::new(
        "Ceph RGW",
        Status::Executed(CEPH),
        Language::Shell,
        &[
            "https://docs.ceph.com/en/pacific/radosgw/STS/",
            "https://docs.ceph.com/en/reef/radosgw/oidc/",
            "https://docs.ceph.com/en/reef/radosgw/role/",
        ],
    );
    facts.warn_of_installation(&mut guide);
    facts.warn_of_loopback(&mut guide, "the RADOS gateway");
    if !facts.x5c {
        guide.warn(
            "RGW verifies with the certificates of the JWKS, and this configuration shows none. Set `x5c = true` in the \
             section [issuer] (SYMBOLON__ISSUER__X5C=true) on every broker, and restart them; the thumbprints below are \
             those that will be shown.",
        );
    }
    facts.warn_of_algorithms(&mut guide, &["RS256", "RS384", "RS512"], "RGW verifies RSA signatures");
    let audience = facts.audience();
    guide.warn(format!(
        "signing keys change every {}, and RGW is told of their certificates by thumbprint: those below are of the key \
         that signs and of its successor. Run this command again after each rotation (`symbolon key list`), and make the \
         provider anew. RGW 16 asks for thumbprints but does not compare them; newer releases do. RGW 16 uses the first \
         key of the JWKS alone: tokens of the key before it end there at the moment of the rotation.",
        period(facts.rotation_period)
    ));
    let account = &facts.pool.account_id;
    guide.command(
        "In ceph.conf, in the section of the gateway, then restart it: `rgw sts key = ` with 16 characters of your own, and \
         `rgw s3 auth use sts = true`. A Ceph tenant with the number of this pool's account, so that ARNs of its roles are \
         as those of AWS, and its administrator, whose access key the calls below are signed with:",
        format!(
            "radosgw-admin user create --tenant {account} --uid oidc-admin --display-name oidc-admin\n\
             radosgw-admin caps add --tenant {account} --uid oidc-admin --caps 'oidc-provider=*;roles=*'"
        ),
    );
    let endpoint = "aws --endpoint-url REPLACE_RGW_ENDPOINT";
    let arn = format!("arn:aws:iam::{account}:oidc-provider/{}", facts.provider());
    guide.command(
        "Register the issuer, with the SHA-1 of each certificate. To make it anew, first: delete-open-id-connect-provider.",
        format!(
            "{endpoint} iam create-open-id-connect-provider --url {} --client-id-list {} \\\n  --thumbprint-list {}",
            shell(&facts.issuer),
            shell(&audience),
            facts.thumbprints().join(" ")
        ),
    );
    let mut permissions = Policy::allow(&["s3:ListBucket", "s3:GetObject", "s3:PutObject"]);
    permissions.statement[0].resource = Some(json!(["arn:aws:s3:::REPLACE_BUCKET", "arn:aws:s3:::REPLACE_BUCKET/*"]));
    let name = shell(&facts.name);
    guide.command(
        "Make the role: who may take it on (the pool's users, not its guests; sts:TagSession is for tokens with principal \
         tags), and what it may do. RGW 16 reads no policy with blanks in it: leave them out.",
        format!(
            "{endpoint} iam create-role --role-name {name} \\\n  --assume-role-policy-document {}\n\
             {endpoint} iam put-role-policy --role-name {name} --policy-name {name} \\\n  --policy-document {}",
            shell(&Policy::of_trust(facts, &arn, true).compact()),
            shell(&permissions.compact())
        ),
    );
    let role = format!("arn:aws:iam::{account}:role/{}", facts.name);
    guide.command(TRY, assume(Some("REPLACE_RGW_ENDPOINT"), &shell(&role)));
    guide
}
