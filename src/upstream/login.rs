//! A login whose token held: only [`Upstream::verify`](super::Upstream::verify) makes one.

use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::trust::{Audience, Kind};

/// A user at a provider, proven by a token or an assertion.
#[derive(Clone, Debug)]
pub struct VerifiedLogin {
    pub(super) login_key: String,
    pub(super) audience: Audience,
    pub(super) subject: String,
    pub(super) claims: Map<String, Value>,
    pub(super) once: Option<Once>,
}

/// What proves a login once and no more: an operation that has taken it must not take it again until it has expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    /// The name of the tenant's provider.
    pub provider: String,
    /// The SHA-256 of its id at the provider.
    pub id: Vec<u8>,
    /// When it expires, by the provider's clock.
    pub expires_at: OffsetDateTime,
}

impl VerifiedLogin {
    /// The provider's key in `Logins`.
    #[must_use]
    pub fn login_key(&self) -> &str {
        &self.login_key
    }

    /// The user at the provider: the token's `sub`, the assertion's name id.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The client that its token was made for; an assertion's audience.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.audience.client_id
    }

    /// The claims of the token, the attributes of the assertion.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// What must not be taken twice, if the proof is of that kind.
    #[must_use]
    pub fn once(&self) -> Option<&Once> {
        self.once.as_ref()
    }

    /// The names that role mappings may have for its provider, the most particular first: of user pools with the client,
    /// of providers declared in IAM the ARN.
    #[must_use]
    pub fn mapping_names(&self) -> Vec<String> {
        let particular = match &self.audience.kind {
            Kind::OpenIdConnect { arn } | Kind::Saml { arn } => Some(arn.clone()),
            Kind::UserPool { .. } => Some(format!("{}:{}", self.login_key, self.audience.client_id)),
            Kind::Social => None,
        };
        particular.into_iter().chain([self.login_key.clone()]).collect()
    }

    /// The last entry of `amr` for this login, as API Gateway shows it in `cognitoAuthenticationProvider`.
    #[must_use]
    pub fn method(&self) -> String {
        match &self.audience.kind {
            Kind::OpenIdConnect { arn } => format!("{arn}:OIDC:{}", self.subject),
            Kind::UserPool { .. } => format!("{}:CognitoSignIn:{}", self.login_key, self.subject),
            Kind::Saml { arn } => format!("{arn}:SAML:{}", self.subject),
            Kind::Social => format!("{}:{}:{}", self.login_key, self.audience.client_id, self.subject),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_told_in_the_words_of_api_gateway() {
        let login = |login_key: &str, kind| VerifiedLogin {
            login_key: login_key.to_owned(),
            audience: Audience { client_id: "client".to_owned(), kind },
            subject: "ann".to_owned(),
            claims: Map::new(),
            once: None,
        };
        let arn = "arn:aws:iam::123456789012:oidc-provider/idp.example.com/realm";
        let provider = login("idp.example.com/realm", Kind::OpenIdConnect { arn: arn.to_owned() });
        assert_eq!(provider.method(), format!("{arn}:OIDC:ann"));
        let arn = "arn:aws:iam::123456789012:saml-provider/Okta";
        assert_eq!(login(arn, Kind::Saml { arn: arn.to_owned() }).method(), format!("{arn}:SAML:ann"));
        let pool = "cognito-idp.us-east-1.amazonaws.com/us-east-1_abc";
        let user_pool = login(pool, Kind::UserPool { server_side_token_check: false });
        assert_eq!(user_pool.method(), format!("{pool}:CognitoSignIn:ann"));
        assert_eq!(login("accounts.google.com", Kind::Social).method(), "accounts.google.com:client:ann");
    }
}
