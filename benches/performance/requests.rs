//! The requests of each scenario, as bytes to be sent: those of developers signed beforehand by the official signer.

use std::cell::Cell;
use std::fmt::Write as _;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use serde::Deserialize;
use symbolon::ids::AccessKeyId;
use uuid::Uuid;

use crate::dice::Dice;
use crate::load::Operation;
use crate::population::{PROVIDER, Population};

/// Signed, but not looked at: so that requests fit every broker.
const HOST: &str = "localhost";
const SERVICE: &str = "AWSCognitoIdentityService";

/// A developer's access key. Signatures hold for five minutes.
pub struct Signer(Identity);

/// Makes the requests to one database's brokers.
pub struct Requests<'a> {
    population: &'a Population,
    signer: Signer,
    /// How many of the users drawn have been asked for.
    asked: Cell<usize>,
}

impl<'a> Requests<'a> {
    pub fn new(population: &'a Population) -> Self {
        Self::by(&population.access_key, population)
    }

    /// By an access key that has a policy.
    pub fn restricted(population: &'a Population) -> Self {
        Self::by(&population.restricted_key, population)
    }

    fn by(key: &AccessKeyId, population: &'a Population) -> Self {
        let signer = Signer::new(key.as_str(), &population.secret);
        Self { population, signer, asked: Cell::new(0) }
    }

    /// Tokens for users that have an identity.
    pub fn known(&self, count: usize) -> Vec<Operation> {
        self.next_users(count).map(|user| self.token(user)).collect()
    }

    /// The next of the users drawn, and the first ones after the last.
    fn next_users(&self, count: usize) -> impl Iterator<Item = &'a String> {
        let users = &self.population.users;
        let start = self.asked.replace((self.asked.get() + count) % users.len());
        users.iter().cycle().skip(start).take(count)
    }

    /// Tokens for users that nobody has seen yet, nor will again.
    pub fn first_time(&self, count: usize) -> Vec<Operation> {
        (0..count).map(|_| self.token(&Uuid::new_v4().to_string())).collect()
    }

    /// New guests: an identity, then a token for it.
    pub fn guests(&self, _: usize) -> Vec<Operation> {
        vec![self.guest()]
    }

    /// Credentials for guests.
    pub fn credentials(&self, count: usize) -> Vec<Operation> {
        self.population.guests.iter().take(count).map(|guest| self.credentials_of(*guest)).collect()
    }

    /// The identities of users.
    pub fn lookups(&self, count: usize) -> Vec<Operation> {
        self.next_users(count).map(|user| self.lookup(user)).collect()
    }

    /// The keys that verify tokens.
    pub fn keys() -> Operation {
        Operation::once(format!("GET /.well-known/jwks.json HTTP/1.1\r\nhost: {HOST}\r\n\r\n").into_bytes())
    }

    /// In every hundred, 70 known users, 10 guests, 10 credentials, 5 look-ups and 5 first-time users, drawn alike each
    /// time, but for the last.
    pub fn mix(&self, count: usize) -> Vec<Operation> {
        let mut dice = Dice::new();
        let Population { users, guests, .. } = self.population;
        let draw = |_| match dice.below(100) {
            0..70 => self.token(&users[dice.below(users.len())]),
            70..80 => self.guest(),
            80..90 => self.credentials_of(guests[dice.below(guests.len())]),
            90..95 => self.lookup(&users[dice.below(users.len())]),
            _ => self.token(&Uuid::new_v4().to_string()),
        };
        (0..count).map(draw).collect()
    }

    fn token(&self, user: &str) -> Operation {
        let pool = &self.population.pool.id;
        let body = format!(r#"{{"IdentityPoolId":"{pool}","Logins":{{"{PROVIDER}":"{user}"}}}}"#);
        self.signer.signed("GetOpenIdTokenForDeveloperIdentity", &body)
    }

    fn lookup(&self, user: &str) -> Operation {
        let pool = &self.population.pool.id;
        let body = format!(r#"{{"IdentityPoolId":"{pool}","DeveloperUserIdentifier":"{user}"}}"#);
        self.signer.signed("LookupDeveloperIdentity", &body)
    }

    fn guest(&self) -> Operation {
        let body = format!(r#"{{"IdentityPoolId":"{}"}}"#, self.population.pool.id);
        let token = |answer: &[u8]| {
            let identity: IdentityIdOutput = serde_json::from_slice(answer).unwrap();
            unsigned("GetOpenIdToken", &format!(r#"{{"IdentityId":"{}"}}"#, identity.identity_id))
        };
        Operation { first: unsigned("GetId", &body), then: Some(token) }
    }

    fn credentials_of(&self, guest: Uuid) -> Operation {
        let identity = self.population.pool.identity_id(guest);
        let body = format!(r#"{{"IdentityId":"{identity}"}}"#);
        Operation::once(unsigned("GetCredentialsForIdentity", &body))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct IdentityIdOutput<'a> {
    identity_id: &'a str,
}

fn unsigned(operation: &str, body: &str) -> Vec<u8> {
    request(&headers(&format!("{SERVICE}.{operation}")), body)
}

fn headers(target: &str) -> [(&str, &str); 3] {
    [("content-type", "application/x-amz-json-1.1"), ("host", HOST), ("x-amz-target", target)]
}

fn request(headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut request = "POST / HTTP/1.1\r\n".to_owned();
    for (name, value) in headers {
        write!(request, "{name}: {value}\r\n").unwrap();
    }
    write!(request, "content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    request.into_bytes()
}

impl Signer {
    pub fn new(access_key: &str, secret: &str) -> Self {
        Self(Credentials::new(access_key, secret, None, None, "benchmark").into())
    }

    pub fn signed(&self, operation: &str, body: &str) -> Operation {
        let target = format!("{SERVICE}.{operation}");
        let headers = headers(&target);
        #[expect(clippy::disallowed_methods, reason = "the signer asks for the date of the machine")]
        let params = v4::SigningParams::builder()
            .identity(&self.0)
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
        let headers: Vec<_> = headers.into_iter().chain(instructions.headers()).collect();
        Operation::once(request(&headers, body))
    }
}
