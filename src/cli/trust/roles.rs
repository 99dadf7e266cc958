//! Consumers that speak STS: a token becomes credentials of a role. AWS IAM, MinIO, Ceph RGW.

use serde_json::{Value, json};

use super::facts::{Facts, period};
use super::guide::{Guide, Language, Status, TOKEN_FILE};
use super::quote::shell;
use super::{CEPH, REVIEWED};

/// Who may take a role on: whoever has a token of this pool, and of this identity if there is one.
fn trust_policy(facts: &Facts, provider_arn: &str, actions: &[&str]) -> Value {
    let provider = facts.provider();
    let mut equals = serde_json::Map::from_iter([(format!("{provider}:aud"), json!(facts.audience()))]);
    if let Some(identity) = &facts.identity {
        equals.insert(format!("{provider}:sub"), json!(identity));
    }
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "Federated": [provider_arn] },
            "Action": actions,
            "Condition": { "StringEquals": equals },
        }],
    })
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
        "Register the issuer. IAM reads its keys by itself, also when they rotate; a thumbprint is not needed where the \
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
        &trust_policy(facts, &arn, &["sts:AssumeRoleWithWebIdentity", "sts:TagSession"]),
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
    facts.warn_of_guests(&mut guide, true);
    let audience = facts.audience();
    let first = facts.pool.audiences.as_slice().iter().chain([&audience]).min();
    if let Some(first) = first.filter(|first| **first != audience) {
        guide.warn(format!(
            "`aud` of this pool's tokens is a list, of which RGW 16 sees one only: the one that sorts first, {first}. It \
             refuses these tokens. Use a pool without extra audiences for it."
        ));
    } else if !facts.pool.audiences.as_slice().is_empty() {
        guide.warn(
            "`aud` of this pool's tokens is a list, of which RGW 16 sees one only: the one that sorts first, which is the \
             pool's id now. Add no audience that sorts before it, or use a pool of its own.",
        );
    }
    let tags = facts.principal_tags();
    if !tags.is_empty() {
        guide.warn(format!(
            "claims of logins become principal tags in this pool ({}). Releases of Ceph that know session tags (17 and \
             newer) refuse such tokens unless the trust policy also allows sts:TagSession.",
            tags.join(", ")
        ));
    }
    guide.warn(format!(
        "RGW trusts the certificates that it is told of, and signing keys change every {}. The thumbprints below \
         hold the key that signs and its successor. Run this command again after each rotation (`symbolon key list`) \
         and make the provider anew. RGW 16 uses the first key of the JWKS alone: tokens of the key before it end there \
         at the moment of the rotation.",
        period(facts.rotation_period)
    ));
    guide.command(
        "In ceph.conf, in the section of the gateway, then restart it: `rgw sts key = ` with 16 characters of your own, and \
         `rgw s3 auth use sts = true`. The administrator, whose access key the calls below are signed with:",
        "radosgw-admin user create --uid oidc-admin --display-name oidc-admin\n\
         radosgw-admin caps add --uid oidc-admin --caps 'oidc-provider=*;roles=*'",
    );
    let endpoint = "aws --endpoint-url REPLACE_RGW_ENDPOINT";
    let arn = format!("arn:aws:iam:::oidc-provider/{}", facts.provider());
    guide.command(
        "Register the issuer, with the SHA-1 of each certificate. To make it anew, first: delete-open-id-connect-provider.",
        format!(
            "{endpoint} iam create-open-id-connect-provider --url {} --client-id-list {} \\\n  --thumbprint-list {}",
            shell(&facts.issuer),
            shell(&audience),
            facts.thumbprints().join(" ")
        ),
    );
    // RGW 16 does not decode the blanks of a form: "failed to parse policy".
    let name = shell(&facts.name);
    let trust = trust_policy(facts, &arn, &["sts:AssumeRoleWithWebIdentity"]).to_string();
    let permissions = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Action": ["s3:ListBucket", "s3:GetObject", "s3:PutObject"],
            "Resource": ["arn:aws:s3:::REPLACE_BUCKET", "arn:aws:s3:::REPLACE_BUCKET/*"],
        }],
    });
    guide.command(
        "Make the role, and say what it may do. RGW 16 reads no policy with blanks in it: leave them out.",
        format!(
            "{endpoint} iam create-role --role-name {name} \\\n  --assume-role-policy-document {}\n\
             {endpoint} iam put-role-policy --role-name {name} --policy-name {name} \\\n  --policy-document {}",
            shell(&trust),
            shell(&permissions.to_string())
        ),
    );
    let role = format!("arn:aws:iam:::role/{}", facts.name);
    guide.command(TRY, assume(Some("REPLACE_RGW_ENDPOINT"), &shell(&role)));
    guide
}
