//! A login whose token held: only [`Upstream::verify`](super::Upstream::verify) makes one.

use serde_json::{Map, Value};

use super::trust::{Audience, Kind};

/// A user at a provider, proven by a token.
#[derive(Clone, Debug)]
pub struct VerifiedLogin {
    pub(super) login_key: String,
    pub(super) audience: Audience,
    pub(super) subject: String,
    pub(super) claims: Map<String, Value>,
}

impl VerifiedLogin {
    /// The provider's key in `Logins`.
    #[must_use]
    pub fn login_key(&self) -> &str {
        &self.login_key
    }

    /// The user at the provider: the token's `sub`.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The client that its token was made for.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.audience.client_id
    }

    /// The claims of the token.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// The names that role mappings may have for its provider, the most particular first: of user pools with the client,
    /// of OpenID Connect providers the ARN.
    #[must_use]
    pub fn mapping_names(&self) -> Vec<String> {
        let particular = match &self.audience.kind {
            Kind::OpenIdConnect { arn } => Some(arn.clone()),
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
        };
        let arn = "arn:aws:iam::123456789012:oidc-provider/idp.example.com/realm";
        let provider = login("idp.example.com/realm", Kind::OpenIdConnect { arn: arn.to_owned() });
        assert_eq!(provider.method(), format!("{arn}:OIDC:ann"));
        let pool = "cognito-idp.us-east-1.amazonaws.com/us-east-1_abc";
        let user_pool = login(pool, Kind::UserPool { server_side_token_check: false });
        assert_eq!(user_pool.method(), format!("{pool}:CognitoSignIn:ann"));
        assert_eq!(login("accounts.google.com", Kind::Social).method(), "accounts.google.com:client:ann");
    }
}
