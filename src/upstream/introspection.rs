//! Asking a user pool whether it still honours a token: what ServerSideTokenCheck stands for, by RFC 7662.

use std::sync::Arc;

use serde_json::Value;

use super::fetch::{self, Failure, Fetcher};
use super::issuer::UserPool;
use crate::config;
use crate::error::{Error, InvalidLogin, Result};

/// The operator's introspection endpoint.
#[derive(Debug)]
pub struct Introspection {
    fetcher: Arc<Fetcher>,
    template: String,
}

impl Introspection {
    /// The configured endpoint; none is configured by default.
    #[must_use]
    pub fn new(fetcher: Arc<Fetcher>, config: &config::Upstream) -> Self {
        Self { fetcher, template: config.token_introspection.clone() }
    }

    /// Asks about a token of this login key. The answer is not kept: it is to be that of this moment.
    ///
    /// # Errors
    /// [`InvalidLogin::Revoked`] if the token is not active, [`InvalidLogin::CheckNotConfigured`] without an endpoint,
    /// [`Error::Upstream`] if it does not answer as RFC 7662 section 2.2 says.
    pub async fn check(&self, login_key: &str, token: &str) -> Result<()> {
        let pool = UserPool::parse(login_key).filter(|_| !self.template.is_empty());
        let url = pool.ok_or(InvalidLogin::CheckNotConfigured)?.fill(&self.template);
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("token", token)
            .append_pair("token_type_hint", "id_token")
            .finish();
        let outcome = self.fetcher.post(&url, form).await.and_then(|answer| {
            let active = answer.content.get("active").and_then(Value::as_bool);
            active.ok_or_else(|| Failure::bad_document("the answer has no `active` that is true or false"))
        });
        fetch::count(login_key, &outcome);
        match outcome {
            Ok(true) => Ok(()),
            Ok(false) => Err(InvalidLogin::Revoked.into()),
            Err(failure) => Err(Error::Upstream(format!("upstream.token_introspection: {}", failure.reason))),
        }
    }
}
