//! Who a login key stands for: the `iss` of its tokens, and where the keys are that sign them.

use super::trust::{Kind, Trust};
use crate::config;

/// Google writes its `iss` with and without the scheme
/// (<https://developers.google.com/identity/openid-connect/openid-connect#an-id-tokens-payload>).
const GOOGLE: &str = "accounts.google.com";

/// An issuer of login tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// What `iss` may be, exactly.
    pub names: Vec<String>,
    /// Where its keys are.
    pub keys: KeysAt,
}

/// Where an issuer's keys are. Two login keys with the same answer share what was fetched, within a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeysAt {
    /// Where the discovery document of this issuer says (OpenID Connect Discovery 1.0 section 4).
    Discovery {
        /// The issuer.
        issuer: String,
        /// Who named it.
        named_by: NamedBy,
    },
    /// At this URL, which the operator has configured.
    Url(String),
}

impl KeysAt {
    /// For the log: who it is that is asked.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Discovery { issuer, .. } => issuer,
            Self::Url(url) => url,
        }
    }
}

/// Who named a URL that is to be fetched. What a tenant names, or a document that was fetched, obeys every rule of
/// [`fetch`](super::fetch); what the operator has configured is the operator's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NamedBy {
    /// A tenant, or somebody even further away.
    Tenant,
    /// The operator.
    Operator,
}

impl Issuer {
    /// The issuer of what is trusted.
    #[must_use]
    pub fn of(trust: &Trust, config: &config::Upstream) -> Self {
        let key = trust.login_key.as_str();
        let plain = format!("http://{key}");
        if config.allow_http_issuers.contains(&plain) {
            return Self::discovered(plain, NamedBy::Operator);
        }
        let of_user_pool = trust.audiences.iter().any(|audience| matches!(audience.kind, Kind::UserPool { .. }));
        let user_pool = if of_user_pool { UserPool::parse(key) } else { None };
        let mut issuer = match &user_pool {
            Some(pool) if !config.user_pool_issuer.is_empty() => {
                Self::discovered(pool.fill(&config.user_pool_issuer), NamedBy::Operator)
            }
            _ => Self::discovered(format!("https://{key}"), NamedBy::Tenant),
        };
        if let Some(pool) = &user_pool
            && !config.user_pool_jwks.is_empty()
        {
            issuer.keys = KeysAt::Url(pool.fill(&config.user_pool_jwks));
        }
        if key == GOOGLE {
            issuer.names.push(GOOGLE.to_owned());
        }
        issuer
    }

    fn discovered(issuer: String, named_by: NamedBy) -> Self {
        Self { names: vec![issuer.clone()], keys: KeysAt::Discovery { issuer, named_by } }
    }
}

/// A Cognito user pool, by its login key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserPool<'a> {
    region: &'a str,
    id: &'a str,
}

impl<'a> UserPool<'a> {
    /// The user pool of a login key `cognito-idp.REGION.amazonaws.com/USER_POOL_ID`, also of the other partitions.
    #[must_use]
    pub fn parse(login_key: &'a str) -> Option<Self> {
        let (host, id) = login_key.strip_prefix("cognito-idp.")?.split_once('/')?;
        let region = host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".amazonaws.com.cn"))?;
        // They become part of URLs.
        let is_plain = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        (is_plain(region) && is_plain(id)).then_some(Self { region, id })
    }

    /// A configured template with this pool in the place of `{region}` and `{user_pool_id}`.
    #[must_use]
    pub fn fill(&self, template: &str) -> String {
        template.replace("{region}", self.region).replace("{user_pool_id}", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::AccountId;
    use crate::upstream::{Audience, Proof, tests::settings};

    const USER_POOL: &str = "cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC123";

    fn trust(login_key: &str, kind: Kind) -> Trust {
        let audiences = vec![Audience { client_id: "client".into(), kind }];
        let account_id = AccountId::parse("000000000000").unwrap();
        Trust { account_id, login_key: login_key.into(), proof: Proof::IdToken, audiences }
    }

    fn open_id(login_key: &str) -> Trust {
        trust(login_key, Kind::OpenIdConnect { arn: "arn".into() })
    }

    fn user_pool() -> Trust {
        trust(USER_POOL, Kind::UserPool { server_side_token_check: false })
    }

    fn discovery(issuer: &str, named_by: NamedBy) -> KeysAt {
        KeysAt::Discovery { issuer: issuer.into(), named_by }
    }

    #[test]
    fn an_issuer_is_its_login_key_with_https() {
        for (key, name) in [
            ("idp.example.com", "https://idp.example.com"),
            ("idp.example.com/", "https://idp.example.com/"),
            ("idp.example.com/realms/a", "https://idp.example.com/realms/a"),
            ("appleid.apple.com", "https://appleid.apple.com"),
        ] {
            let issuer = Issuer::of(&open_id(key), &settings(""));
            assert_eq!(issuer.names, [name]);
            assert_eq!(issuer.keys, discovery(name, NamedBy::Tenant));
        }
    }

    #[test]
    fn google_is_known_with_and_without_its_scheme() {
        let issuer = Issuer::of(&trust(GOOGLE, Kind::Social), &settings(""));
        assert_eq!(issuer.names, ["https://accounts.google.com", "accounts.google.com"]);
        assert_eq!(issuer.keys, discovery("https://accounts.google.com", NamedBy::Tenant));
    }

    #[test]
    fn plain_http_is_for_whole_urls_that_the_operator_names() {
        let config = settings(r#"allow_http_issuers = ["http://127.0.0.1:9000/realm"]"#);
        let issuer = Issuer::of(&open_id("127.0.0.1:9000/realm"), &config);
        assert_eq!(issuer.names, ["http://127.0.0.1:9000/realm"]);
        assert_eq!(issuer.keys, discovery("http://127.0.0.1:9000/realm", NamedBy::Operator));
        for other in ["127.0.0.1:9000", "127.0.0.1:9000/realm/", "127.0.0.1:9000/realm2"] {
            let issuer = Issuer::of(&open_id(other), &config);
            assert_eq!(issuer.keys, discovery(&format!("https://{other}"), NamedBy::Tenant));
        }
    }

    #[test]
    fn user_pools_are_where_aws_has_them_or_where_the_templates_say() {
        let aws = format!("https://{USER_POOL}");
        assert_eq!(Issuer::of(&user_pool(), &settings("")).keys, discovery(&aws, NamedBy::Tenant));

        let template = r#"user_pool_issuer = "http://localhost:9229/{region}/{user_pool_id}""#;
        let issuer = Issuer::of(&user_pool(), &settings(template));
        assert_eq!(issuer.names, ["http://localhost:9229/eu-west-1/eu-west-1_AbC123"]);
        assert_eq!(issuer.keys, discovery(&issuer.names[0], NamedBy::Operator));
        assert_eq!(Issuer::of(&open_id(USER_POOL), &settings(template)).names[0], aws, "declared in IAM");

        let issuer = Issuer::of(&user_pool(), &settings(r#"user_pool_jwks = "https://keys.test/{user_pool_id}""#));
        assert_eq!(issuer.names, [aws]);
        assert_eq!(issuer.keys, KeysAt::Url("https://keys.test/eu-west-1_AbC123".into()));
    }

    #[test]
    fn only_plain_names_are_filled_into_templates() {
        let china = UserPool::parse("cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_x").unwrap();
        assert_eq!(china.fill("{region}|{user_pool_id}"), "cn-north-1|cn-north-1_x");
        for odd in [
            "cognito-idp.us-east-1.amazonaws.com",
            "cognito-idp.us-east-1.amazonaws.com/",
            "cognito-idp.us-east-1.amazonaws.com/a/b",
            "cognito-idp.us-east-1.amazonaws.com/..",
            "cognito-idp.us-east-1.amazonaws.com/{region}",
            "cognito-idp.evil.test/@.amazonaws.com/x",
            "cognito-idp..amazonaws.com/x",
            "idp.example.com/us-east-1_x",
        ] {
            assert_eq!(UserPool::parse(odd), None, "{odd}");
        }
    }
}
