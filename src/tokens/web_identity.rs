//! Someone of whom a token of ours speaks, before the trust policy of a role.

use time::OffsetDateTime;

use super::principal_tags::PrincipalTags;
use super::session::Session;
use crate::error::{Error, Result};
use crate::iam::Role;
use crate::ids::{AccountId, IdentityId, PoolId};
use crate::policy::{Context, Decision, TrustPolicy};

/// The name under which trust policies know identity pools, whoever serves them
/// (<https://docs.aws.amazon.com/cognito/latest/developerguide/iam-roles.html>).
const COGNITO_IDENTITY: &str = "cognito-identity.amazonaws.com";

/// What trust policies must allow, and what for sessions with tags beside.
const ASSUME: &str = "sts:AssumeRoleWithWebIdentity";
const TAG_SESSION: &str = "sts:TagSession";

/// Whom a token of ours speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebIdentity {
    /// The identity: `sub`.
    pub identity: IdentityId,
    /// Its pool: `aud`.
    pub pool: PoolId,
    /// The tenant that the pool belongs to.
    pub account_id: AccountId,
    /// How it was authenticated: `amr`.
    pub methods: Vec<String>,
    /// Its session tags.
    pub tags: PrincipalTags,
}

/// Where and when a role is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The issuer of our tokens, whose host and path a trust policy may name.
    pub issuer: &'a str,
    /// The name that the session shall have.
    pub session_name: &'a str,
    /// Where the request came from.
    pub address: std::net::IpAddr,
    /// When.
    pub now: OffsetDateTime,
}

impl WebIdentity {
    /// The session of a role that it takes on, if the role's trust policy lets it.
    ///
    /// Stricter than AWS: the policy must name the pool as audience, or the role trusts every pool of everyone; and a
    /// tenant's roles are for its own pools.
    ///
    /// # Errors
    /// [`Error::RoleNotAssumable`]
    pub fn assume(&self, role: &Role, at: Circumstances<'_>, expires_at: OffsetDateTime) -> Result<Session> {
        let policy = TrustPolicy::parse(&role.trust_policy).map_err(|problem| {
            tracing::error!(role = role.name, %problem, "a stored trust policy cannot be read; it admits nobody");
            Error::RoleNotAssumable(format!("its trust policy cannot be read: {problem}"))
        })?;
        let host = at.issuer.split_once("://").map_or(at.issuer, |(_, rest)| rest);
        let partition = self.pool.region.partition();
        let provider = format!("arn:{partition}:iam::{}:oidc-provider/{host}", self.account_id);
        let names = [COGNITO_IDENTITY, host];
        let audience_keys: Vec<String> = names.iter().map(|name| format!("{name}:aud").to_ascii_lowercase()).collect();
        let audience_keys: Vec<&str> = audience_keys.iter().map(String::as_str).collect();
        let context = self.context(names, at);
        let providers = [COGNITO_IDENTITY, &provider];
        let wanted = [ASSUME, TAG_SESSION];
        for action in wanted.into_iter().take(if self.tags.is_empty() { 1 } else { 2 }) {
            if policy.decide(action, &providers, &context, &audience_keys) != Decision::Allowed {
                let why = policy.objection(action, &providers, &context, &audience_keys);
                let of_tags = if action == TAG_SESSION { " (the identity has principal tags)" } else { "" };
                return Err(Error::RoleNotAssumable(format!("its trust policy: {why}{of_tags}")));
            }
        }
        Ok(Session::new(&self.account_id, (&role.name, &role.role_id), at.session_name, expires_at))
    }

    /// The condition keys of
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif>
    /// and <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html>.
    fn context(&self, names: [&str; 2], at: Circumstances<'_>) -> Context {
        let mut context = Context::new();
        for name in names {
            context.set(&format!("{name}:aud"), self.pool.to_string());
            context.set(&format!("{name}:sub"), self.identity.to_string());
            context.set_all(&format!("{name}:amr"), self.methods.iter().map(String::as_str));
        }
        context.set("sts:RoleSessionName", at.session_name);
        context.set("aws:FederatedProvider", names[0]);
        context.set("aws:SourceIp", at.address.to_string());
        context.set("aws:CurrentTime", at.now.unix_timestamp().to_string());
        context.set("aws:EpochTime", at.now.unix_timestamp().to_string());
        context.set_all("aws:TagKeys", self.tags.keys().map(String::as_str));
        for (key, value) in &self.tags {
            context.set(&format!("aws:RequestTag/{key}"), value.as_str());
        }
        context
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-24 12:00 UTC);
    const POOL: &str = "us-east-1:11111111-1111-4111-8111-111111111111";
    const OTHER_POOL: &str = "us-east-1:22222222-2222-4222-8222-222222222222";

    fn identity(methods: &[&str], tags: &[(&str, &str)]) -> WebIdentity {
        WebIdentity {
            identity: IdentityId::parse("us-east-1:33333333-3333-8333-8333-333333333333").unwrap(),
            pool: PoolId::parse(POOL).unwrap(),
            account_id: AccountId::parse("111122223333").unwrap(),
            methods: methods.iter().map(|method| (*method).to_owned()).collect(),
            tags: tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        }
    }

    fn statement(changes: &Value) -> Value {
        let mut statement = json!({
            "Effect": "Allow",
            "Principal": { "Federated": "cognito-identity.amazonaws.com" },
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {
                "StringEquals": { "cognito-identity.amazonaws.com:aud": POOL },
                "ForAnyValue:StringLike": { "cognito-identity.amazonaws.com:amr": "authenticated" },
            },
        });
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => drop(statement.as_object_mut().unwrap().remove(name)),
                value => statement[name] = value.clone(),
            }
        }
        statement
    }

    fn admitted(who: &WebIdentity, statements: &[Value]) -> bool {
        let role = Role {
            name: "app".into(),
            path: "/".into(),
            role_id: "AROAEXAMPLE".into(),
            description: None,
            max_session_duration: 3600,
            trust_policy: json!({ "Version": "2012-10-17", "Statement": statements }).to_string(),
            tags: crate::tags::Tags::new(),
            created_at: NOW,
        };
        let at = Circumstances {
            issuer: "https://tokens.example.com/a",
            session_name: "CognitoIdentityCredentials",
            address: [192, 0, 2, 1].into(),
            now: NOW,
        };
        match who.assume(&role, at, NOW + time::Duration::hours(1)) {
            Ok(session) => {
                assert_eq!(session.arn("aws"), "arn:aws:sts::111122223333:assumed-role/app/CognitoIdentityCredentials");
                true
            }
            Err(Error::RoleNotAssumable(_)) => false,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_trust_policy_admits_its_pools_users() {
        let user = identity(&["authenticated", "login.example", "login.example:x:ann"], &[]);
        let provider = |host: &str| json!({ "Federated": format!("arn:aws:iam::111122223333:oidc-provider/{host}") });
        let only_aud = |key: &str| json!({ "StringEquals": { key: POOL } });
        for (changes, expected) in [
            (json!({}), true),
            (json!({ "Condition": only_aud("cognito-identity.amazonaws.com:aud") }), true),
            (
                json!({ "Condition": { "StringEquals": { "cognito-identity.amazonaws.com:aud": [OTHER_POOL, POOL] } } }),
                true,
            ),
            (
                json!({ "Principal": provider("tokens.example.com/a"), "Condition": only_aud("tokens.example.com/a:aud") }),
                true,
            ),
            (
                json!({ "Condition": { "StringEquals": {
                "cognito-identity.amazonaws.com:aud": POOL,
                "cognito-identity.amazonaws.com:sub": "us-east-1:33333333-3333-8333-8333-333333333333" } } }),
                true,
            ),
            (json!({ "Action": "sts:*" }), true),
            // Another pool, another kind, another user, another name.
            (json!({ "Condition": { "StringEquals": { "cognito-identity.amazonaws.com:aud": OTHER_POOL } } }), false),
            (
                json!({ "Condition": { "StringEquals": { "cognito-identity.amazonaws.com:aud": POOL },
                "ForAnyValue:StringLike": { "cognito-identity.amazonaws.com:amr": "unauthenticated" } } }),
                false,
            ),
            (
                json!({ "Condition": { "StringEquals": { "cognito-identity.amazonaws.com:aud": POOL,
                "cognito-identity.amazonaws.com:sub": "us-east-1:44444444-4444-8444-8444-444444444444" } } }),
                false,
            ),
            (json!({ "Principal": provider("elsewhere.example.com") }), false),
            (
                json!({ "Principal": { "Federated": "arn:aws:iam::999999999999:oidc-provider/tokens.example.com/a" } }),
                false,
            ),
            (json!({ "Principal": { "Federated": "accounts.google.com" } }), false),
            (json!({ "Principal": { "Service": "lambda.amazonaws.com" } }), false),
            (json!({ "Principal": "*" }), false),
            (json!({ "Action": "sts:AssumeRole" }), false),
            // No audience, or one that is everybody's.
            (json!({ "Condition": null }), false),
            (
                json!({ "Condition": { "ForAnyValue:StringLike": { "cognito-identity.amazonaws.com:amr": "authenticated" } } }),
                false,
            ),
            (json!({ "Condition": { "StringLike": { "cognito-identity.amazonaws.com:aud": "*" } } }), false),
            (json!({ "Condition": { "StringLike": { "cognito-identity.amazonaws.com:aud": "us-east-1:*" } } }), false),
            (json!({ "Condition": { "StringEqualsIfExists": { "cognito-identity.amazonaws.com:aud": POOL } } }), false),
            (
                json!({ "Condition": { "StringNotEquals": { "cognito-identity.amazonaws.com:aud": OTHER_POOL } } }),
                false,
            ),
            (json!({ "Condition": only_aud("accounts.google.com:aud") }), false),
        ] {
            assert_eq!(admitted(&user, &[statement(&changes)]), expected, "{changes}");
        }
        assert!(!admitted(&identity(&["unauthenticated"], &[]), &[statement(&json!({}))]));
        let deny = statement(&json!({ "Effect": "Deny", "Condition": null }));
        assert!(!admitted(&user, &[statement(&json!({})), deny.clone()]));
        assert!(!admitted(&user, &[deny, statement(&json!({}))]));
    }

    #[test]
    fn a_session_with_tags_needs_leave_to_have_them() {
        let user = identity(&["authenticated"], &[("team", "blue")]);
        let both = json!({ "Action": ["sts:AssumeRoleWithWebIdentity", "sts:TagSession"] });
        assert!(!admitted(&user, &[statement(&json!({}))]));
        assert!(admitted(&user, &[statement(&both)]));
        let tagged = |value: &str| {
            let mut changes = both.clone();
            changes["Condition"] = json!({ "StringEquals": {
                "cognito-identity.amazonaws.com:aud": POOL, "aws:RequestTag/team": value } });
            statement(&changes)
        };
        assert!(admitted(&user, &[tagged("blue")]));
        assert!(!admitted(&user, &[tagged("red")]));
    }
}
