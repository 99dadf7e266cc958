//! Callers of IAM and STS, whose forms Amazon's own signer signs.

use aws_credential_types::Credentials;
use reqwest::header::{HeaderMap, HeaderValue};

use crate::client::{self, Answer, Signed};
use crate::overheard;

/// An access key, or the credentials of a session.
#[derive(Clone)]
pub struct Caller {
    pub key: String,
    pub secret: String,
    pub session_token: Option<String>,
}

/// The text of the first element of this name in the XML of an answer.
#[track_caller]
pub fn element(answer: &Answer, name: &str) -> String {
    let (_, rest) = answer.text.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name} in {answer:?}"));
    rest.split_once('<').unwrap().0.to_owned()
}

/// A request for IAM or STS at `url` that nobody signs.
pub fn form(url: &str, service: &str, action: &str, parameters: &[(&str, &str)]) -> Signed {
    let version = if service == "iam" { "2010-05-08" } else { "2011-06-15" };
    let named = [("Action", action), ("Version", version)];
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(named.iter().chain(parameters)).finish();
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
    Signed { url: url.to_owned(), headers: HeaderMap::from_iter([(reqwest::header::CONTENT_TYPE, kind)]), body }
}

/// What anyone may ask STS.
pub async fn sts_unsigned(url: &str, action: &str, parameters: &[(&str, &str)]) -> Answer {
    client::send_by(&client::http(), &form(url, "sts", action, parameters)).await.unwrap()
}

impl Caller {
    pub fn new(key: &str, secret: &str) -> Self {
        overheard::remember(secret);
        Self { key: key.to_owned(), secret: secret.to_owned(), session_token: None }
    }

    /// Whoever has these credentials of a session.
    pub fn of_session(key: &str, secret: &str, token: &str) -> Self {
        Self { session_token: Some(token.to_owned()), ..Self::new(key, secret) }
    }

    pub async fn iam(&self, url: &str, action: &str, parameters: &[(&str, &str)]) -> Answer {
        client::send_by(&client::http(), &self.sign("iam", form(url, "iam", action, parameters))).await.unwrap()
    }

    /// The ARN that STS says this is; an error if nobody answers.
    pub async fn who(&self, http: &reqwest::Client, url: &str) -> reqwest::Result<Answer> {
        client::send_by(http, &self.sign("sts", form(url, "sts", "GetCallerIdentity", &[]))).await
    }

    fn sign(&self, service: &str, request: Signed) -> Signed {
        let credentials = Credentials::new(&self.key, &self.secret, self.session_token.clone(), None, "test");
        client::signed_with(credentials, service, request)
    }
}
