//! The requests of each scenario, as bytes to be sent: those of developers signed beforehand by the official signer.

use std::fmt::Write as _;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;

use crate::load::Operation;
use crate::population::{PROVIDER, Population};

/// Signed, but not looked at: so that requests fit every broker.
const HOST: &str = "localhost";
const SERVICE: &str = "AWSCognitoIdentityService";

/// Makes the requests to one database's brokers. Signatures hold for five minutes.
pub struct Requests<'a> {
    population: &'a Population,
    identity: aws_smithy_runtime_api::client::identity::Identity,
}

impl<'a> Requests<'a> {
    pub fn new(population: &'a Population) -> Self {
        let credentials =
            Credentials::new(population.access_key.as_str(), population.secret.as_str(), None, None, "benchmark");
        Self { population, identity: credentials.into() }
    }

    /// Tokens for `count` of the sampled users, from the `skip`th on.
    pub fn known(&self, count: usize) -> Vec<Operation> {
        self.population.users.iter().cycle().take(count).map(|user| self.token(user)).collect()
    }

    /// Tokens for users that nobody has seen yet, nor will again.
    pub fn first_time(&self, count: usize) -> Vec<Operation> {
        (0..count).map(|_| self.token(&uuid::Uuid::new_v4().to_string())).collect()
    }

    pub fn token(&self, user: &str) -> Operation {
        let pool = &self.population.pool.id;
        let body = format!(r#"{{"IdentityPoolId":"{pool}","Logins":{{"{PROVIDER}":"{user}"}}}}"#);
        self.signed("GetOpenIdTokenForDeveloperIdentity", &body)
    }

    fn signed(&self, operation: &str, body: &str) -> Operation {
        let target = format!("{SERVICE}.{operation}");
        let headers = [("content-type", "application/x-amz-json-1.1"), ("host", HOST), ("x-amz-target", &target)];
        #[expect(clippy::disallowed_methods, reason = "the signer asks for the date of the machine")]
        let params = v4::SigningParams::builder()
            .identity(&self.identity)
            .region("us-east-1")
            .name("cognito-identity")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let url = format!("http://{HOST}/");
        let signable = SignableRequest::new("POST", &url, headers.into_iter(), SignableBody::Bytes(body.as_bytes()));
        let (instructions, _) = sign(signable.unwrap(), &params).unwrap().into_parts();
        let mut request = "POST / HTTP/1.1\r\n".to_owned();
        for (name, value) in headers.into_iter().chain(instructions.headers()) {
            write!(request, "{name}: {value}\r\n").unwrap();
        }
        write!(request, "content-length: {}\r\n\r\n{body}", body.len()).unwrap();
        Operation::once(request.into_bytes())
    }
}
