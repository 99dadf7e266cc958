//! Callers of IAM and STS, whose forms Amazon's own signer signs.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings};
use aws_sigv4::sign::v4;

use crate::client;

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// An access key, or the credentials of a session.
#[derive(Clone)]
pub struct Caller {
    pub key: String,
    pub secret: String,
    pub session_token: Option<String>,
}

/// The status and the XML that came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub text: String,
}

impl Reply {
    /// The text of the first element of this name.
    #[track_caller]
    pub fn element(&self, name: &str) -> String {
        let (_, rest) = self.text.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name} in {self:?}"));
        rest.split_once('<').unwrap().0.to_owned()
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{self:?}");
        self
    }
}

fn body(version: &str, action: &str, parameters: &[(&str, &str)]) -> String {
    let named = [("Action", action), ("Version", version)];
    form_urlencoded::Serializer::new(String::new()).extend_pairs(named.iter().chain(parameters)).finish()
}

async fn post(
    http: &reqwest::Client,
    url: &str,
    body: String,
    signed: Vec<(String, String)>,
) -> reqwest::Result<Reply> {
    let request = http.post(url).header("content-type", FORM).body(body);
    let response =
        signed.into_iter().fold(request, |request, (name, value)| request.header(name, value)).send().await?;
    Ok(Reply { status: response.status().as_u16(), text: response.text().await? })
}

/// What anyone may ask STS.
pub async fn sts_unsigned(url: &str, action: &str, parameters: &[(&str, &str)]) -> Reply {
    post(&client::http(), url, body("2011-06-15", action, parameters), Vec::new()).await.unwrap()
}

impl Caller {
    pub fn new(key: &str, secret: &str) -> Self {
        Self { key: key.to_owned(), secret: secret.to_owned(), session_token: None }
    }

    /// Whoever has these credentials of a session.
    pub fn of_session(key: &str, secret: &str, token: &str) -> Self {
        Self { session_token: Some(token.to_owned()), ..Self::new(key, secret) }
    }

    pub async fn iam(&self, url: &str, action: &str, parameters: &[(&str, &str)]) -> Reply {
        let body = body("2010-05-08", action, parameters);
        post(&client::http(), url, body.clone(), self.sign("iam", url, &body)).await.unwrap()
    }

    /// The ARN that STS says this is; an error if nobody answers.
    pub async fn who(&self, http: &reqwest::Client, url: &str) -> reqwest::Result<Reply> {
        let body = body("2011-06-15", "GetCallerIdentity", &[]);
        post(http, url, body.clone(), self.sign("sts", url, &body)).await
    }

    #[expect(clippy::disallowed_methods, reason = "the signer of a real client reads the real clock")]
    fn sign(&self, service: &str, url: &str, body: &str) -> Vec<(String, String)> {
        let identity = Credentials::new(&self.key, &self.secret, self.session_token.clone(), None, "test").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name(service)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let plain = [("content-type", FORM)].into_iter();
        let signable =
            SignableRequest::new("POST", format!("{url}/"), plain, SignableBody::Bytes(body.as_bytes())).unwrap();
        let (instructions, _) = aws_sigv4::http_request::sign(signable, &params).unwrap().into_parts();
        instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}
