//! A request as its bytes go over the wire, so that an attack may change any of them, and Amazon's signer to start from.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings};
use aws_sigv4::sign::v4;
use serde_json::Value;
use symbolon::clock::Clock;

use crate::raw::{Raw, Response};

/// A request: its first line, its headers in their order, its body.
#[derive(Clone, PartialEq, Eq)]
pub struct Wire {
    pub line: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Wire {
    /// `POST /` with these headers; the length of the body goes with it when it is sent.
    pub fn post(headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        Self { line: "POST / HTTP/1.1".to_owned(), headers, body: body.into() }
    }

    /// A call of an operation of the broker at `url`, with nobody's signature.
    pub fn call(url: &str, operation: &str, body: impl Into<Vec<u8>>) -> Self {
        let target = format!("AWSCognitoIdentityService.{operation}");
        let host = url.trim_start_matches("http://");
        let headers = [("host", host), ("content-type", "application/x-amz-json-1.1"), ("x-amz-target", &target)];
        Self::post(&headers, body)
    }

    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// The first value of a header.
    pub fn value(&self, name: &str) -> String {
        let (_, value) = self.headers.iter().find(|(other, _)| other == name).unwrap_or_else(|| panic!("no {name}"));
        String::from_utf8(value.clone()).unwrap()
    }

    /// The same with another value.
    pub fn set(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let (_, place) = self.headers.iter_mut().find(|(other, _)| other == name).unwrap();
        *place = value.as_ref().to_vec();
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        let before = self.headers.len();
        self.headers.retain(|(other, _)| other != name);
        assert_eq!(self.headers.len() + 1, before, "{name}");
        self
    }

    /// With a header once more.
    pub fn twice(self, name: &str) -> Self {
        let value = self.value(name);
        self.header(name, value)
    }

    /// With `from`, which is there, as `to` in a header.
    pub fn replaced(self, name: &str, from: &str, to: &str) -> Self {
        let value = self.value(name);
        assert!(value.contains(from), "{from} in {value}");
        self.set(name, value.replace(from, to))
    }

    /// The same in the `Authorization` header.
    pub fn reauthorized(self, from: &str, to: &str) -> Self {
        self.replaced("authorization", from, to)
    }

    /// The signature that it came with.
    pub fn signature(&self) -> String {
        self.value("authorization").split_once("Signature=").unwrap().1.to_owned()
    }

    /// What the `Authorization` header lists as signed.
    pub fn signed_headers(&self) -> String {
        let authorization = self.value("authorization");
        let (_, rest) = authorization.split_once("SignedHeaders=").unwrap();
        rest.split(',').next().unwrap().to_owned()
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{}\r\n", self.line).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", self.body.len()).as_bytes());
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// Amazon's signer, with everything that it can be told.
#[derive(Clone)]
pub struct Signer<'a> {
    pub key: &'a str,
    pub secret: &'a str,
    pub token: Option<&'a str>,
    pub region: &'a str,
    pub service: &'a str,
    /// How far its clock is off, in seconds.
    pub off: i64,
    /// Headers that it leaves out of the signature.
    pub unsigned: &'a [&'static str],
    /// What it takes for the payload; nothing for the body.
    pub payload: Option<fn() -> SignableBody<'static>>,
}

impl<'a> Signer<'a> {
    pub fn new(key: &'a str, secret: &'a str) -> Self {
        let (region, service) = ("us-east-1", "cognito-identity");
        Self { key, secret, token: None, region, service, off: 0, unsigned: &[], payload: None }
    }

    pub fn sign(&self, request: &Wire) -> Wire {
        let mut settings = SigningSettings::default();
        settings.excluded_headers = Some(self.unsigned.iter().map(|name| (*name).into()).collect());
        let seconds = u64::try_from(Clock::System.wall().unix_timestamp() + self.off).unwrap();
        let identity = Credentials::new(self.key, self.secret, self.token.map(str::to_owned), None, "test").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let headers: Vec<_> =
            request.headers.iter().map(|(name, value)| (name.as_str(), std::str::from_utf8(value).unwrap())).collect();
        let url = format!("http://{}/", request.value("host"));
        let body = self.payload.map_or(SignableBody::Bytes(&request.body), |payload| payload());
        let signable = SignableRequest::new("POST", url, headers.into_iter(), body).unwrap();
        let (instructions, _) = aws_sigv4::http_request::sign(signable, &params).unwrap().into_parts();
        instructions.headers().fold(request.clone(), |signed, (name, value)| signed.header(name, value))
    }
}

/// What came back, as far as a test of refusals asks.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    pub status: u16,
    pub exception: String,
    pub message: String,
}

impl Said {
    fn of(response: &Response) -> Self {
        let (status, body) = (response.status, &response.body);
        if body.starts_with('<') {
            let element = |name: &str| {
                let (_, rest) = body.split_once(&format!("<{name}>")).unwrap_or_default();
                rest.split('<').next().unwrap_or_default().to_owned()
            };
            return Self { status, exception: element("Code"), message: element("Message") };
        }
        // In the head, since the answer to another protocol has it elsewhere in the body.
        let named = response.head.lines().find_map(|line| line.strip_prefix("x-amzn-errortype: "));
        let exception = named.unwrap_or_default().trim_end_matches(':').to_owned();
        let json: Value = serde_json::from_str(body).unwrap_or_default();
        if json["__type"].is_string() {
            assert_eq!(json["__type"], *exception, "the body says another exception than the head");
        }
        Self { status, exception, message: json["message"].as_str().unwrap_or_default().to_owned() }
    }
}

/// A sender that keeps its connection as long as the broker does.
pub struct Sender {
    url: String,
    connection: Option<Raw>,
}

impl Sender {
    pub fn to(url: &str) -> Self {
        Self { url: url.to_owned(), connection: None }
    }

    pub async fn send(&mut self, request: &Wire) -> Said {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Raw::connect(&self.url).await.unwrap(),
        };
        connection.send(&request.bytes()).await.unwrap();
        let response = connection.response().await.unwrap_or_else(|error| {
            panic!("{error}: {}", String::from_utf8_lossy(&request.bytes()));
        });
        if !response.closes() {
            self.connection = Some(connection);
        }
        Said::of(&response)
    }
}
