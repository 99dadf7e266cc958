//! Somebody else's STS: a real HTTP server on loopback that keeps what it is asked, and gives credentials, refuses or
//! fails as it is told. It needs nothing of the test binary it is included in.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What a success gives.
pub const KEY_ID: &str = "ASIAOFANOTHERSTS0001";
pub const SECRET: &str = "the secret of <another> STS & its";
pub const SESSION_TOKEN: &str = "the/session+token=";
/// 2030-01-02T03:04:05Z
pub const EXPIRES_AT: f64 = 1_893_553_445.0;

/// What the STS does.
#[derive(Clone, Debug)]
pub enum Does {
    /// Gives credentials.
    Give,
    /// Gives them so much later.
    GiveLate(Duration),
    /// Gives them once this is true.
    GiveWhen(watch::Receiver<bool>),
    /// Refuses, with this status and code.
    Refuse(u16, &'static str),
    /// Refuses, and repeats the token in its text.
    Repeat,
    /// Answers this text with this status.
    Say(u16, String),
    /// Closes the connection without an answer.
    HangUp,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub form: BTreeMap<String, String>,
    pub body: String,
}

struct State {
    does: Does,
    asked: Vec<Asked>,
}

/// The STS. It stops when dropped.
pub struct OtherSts {
    pub url: String,
    state: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

impl Drop for OtherSts {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl OtherSts {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let state = Arc::new(Mutex::new(State { does: Does::Give, asked: Vec::new() }));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { url, state, accepting }
    }

    /// What it does from now on.
    pub fn does(&self, what: Does) {
        locked(&self.state).does = what;
    }

    /// Everything that it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        locked(&self.state).asked.clone()
    }

    /// The last that it was asked.
    pub fn last(&self) -> Asked {
        self.asked().pop().unwrap()
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, Arc::clone(&state)));
    }
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) {
    let service = service_fn(|request| answer(request, Arc::clone(&state)));
    // A caller that gives up, or is given up, breaks its connection; that concerns nobody else.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, state: Arc<Mutex<State>>) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let asked = Asked {
        method: head.method.to_string(),
        path: head.uri.to_string(),
        headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect(),
        form: form_urlencoded::parse(&body).into_owned().collect(),
        body: text(&body),
    };
    let token = asked.form.get("WebIdentityToken").cloned().unwrap_or_default();
    let does = {
        let mut state = locked(&state);
        state.asked.push(asked);
        state.does.clone()
    };
    let (status, text) = match does {
        Does::Give => (200, success()),
        Does::GiveLate(by) => {
            tokio::time::sleep(by).await;
            (200, success())
        }
        Does::GiveWhen(mut open) => {
            // An error says that the test has ended.
            let _ = open.wait_for(|open| *open).await;
            (200, success())
        }
        Does::Refuse(status, code) => (status, refusal(code, "No.")),
        Does::Repeat => (403, refusal("AccessDenied", &format!("Not with {token}, no."))),
        Does::Say(status, text) => (status, text),
        Does::HangUp => return Err(io::Error::other("closed on purpose")),
    };
    let response = Response::builder().status(status).header("content-type", "text/xml");
    response.body(Full::from(text)).map_err(io::Error::other)
}

/// As AWS writes it (<https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>, example).
pub fn success() -> String {
    let secret = SECRET.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">
  <AssumeRoleWithWebIdentityResult>
    <SubjectFromWebIdentityToken>somebody</SubjectFromWebIdentityToken>
    <Audience>a pool</Audience>
    <AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/a/b</Arn><AssumedRoleId>AROA:b</AssumedRoleId></AssumedRoleUser>
    <Credentials>
      <SessionToken>{SESSION_TOKEN}</SessionToken>
      <SecretAccessKey>{secret}</SecretAccessKey>
      <Expiration>2030-01-02T03:04:05Z</Expiration>
      <AccessKeyId>{KEY_ID}</AccessKeyId>
    </Credentials>
    <Provider>somewhere</Provider>
  </AssumeRoleWithWebIdentityResult>
  <ResponseMetadata><RequestId>ad4156e9-bce1-11e2-82e6-6b6efEXAMPLE</RequestId></ResponseMetadata>
</AssumeRoleWithWebIdentityResponse>"
    )
}

fn refusal(code: &str, text: &str) -> String {
    format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>{code}</Code>\
         <Message>{text}</Message></Error><RequestId>1</RequestId></ErrorResponse>"
    )
}
