//! How an issuer misbehaves, down to the bytes of its answers.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::{Response, StatusCode};
use serde_json::Value;
use tokio::sync::watch;

use super::minting::altered;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// An answer, or a closed connection.
pub type Answer = io::Result<Response<Body>>;

/// What the issuer answers on a path, or on all that end in it, in place of the truth.
#[derive(Clone, Debug)]
pub enum Fault {
    /// 302 to this URL.
    Redirect(String),
    /// The right document and then white space, to so many bytes in all.
    Padded(usize),
    /// White space without an end, without a length, as fast as it is taken.
    Endless,
    /// The head at once, and then a byte a tenth of a second.
    Slow,
    /// No answer, ever.
    Hang,
    /// The truth, so much later.
    Late(Duration),
    /// The truth, once this is true.
    When(watch::Receiver<bool>),
    /// The right document, compressed.
    Gzip,
    /// The right document, with these members in place of its own.
    Altered(Value),
    /// This text, whatever it is.
    Text(String),
    /// This text, with this status.
    Says(u16, String),
    /// The right document, with this status.
    Status(u16),
    /// The connection is closed without an answer.
    Reset,
}

/// What a request is answered with this fault, where `document` is the truth.
pub async fn faulty(fault: Fault, document: Option<Value>) -> Answer {
    let document = document.unwrap_or_default();
    let text = document.to_string();
    Ok(match fault {
        Fault::Redirect(to) => {
            let mut answer = whole(StatusCode::FOUND, String::new());
            answer.headers_mut().insert(LOCATION, HeaderValue::from_str(&to).unwrap());
            answer
        }
        Fault::Padded(to) => whole(StatusCode::OK, text.clone() + &" ".repeat(to - text.len())),
        Fault::Endless => streamed(stream::repeat_with(|| vec![b' '; 8192])),
        Fault::Slow => streamed(stream::unfold(text.into_bytes().into_iter(), async |mut bytes| {
            let byte = bytes.next()?;
            tokio::time::sleep(Duration::from_millis(100)).await;
            Some((vec![byte], bytes))
        })),
        Fault::Hang => std::future::pending().await,
        Fault::Late(by) => {
            tokio::time::sleep(by).await;
            whole(StatusCode::OK, text)
        }
        Fault::When(mut open) => {
            // An error says that the test has ended.
            let _ = open.wait_for(|open| *open).await;
            whole(StatusCode::OK, text)
        }
        Fault::Gzip => {
            let mut answer = whole(StatusCode::OK, gzip(text.as_bytes()));
            answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            answer
        }
        Fault::Altered(members) => whole(StatusCode::OK, altered(&document, &members).to_string()),
        Fault::Text(text) => whole(StatusCode::OK, text),
        Fault::Says(status, text) => whole(StatusCode::from_u16(status).unwrap(), text),
        Fault::Status(status) => whole(StatusCode::from_u16(status).unwrap(), text),
        Fault::Reset => return Err(io::Error::other("closed on purpose")),
    })
}

/// An answer in one piece.
pub fn whole(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut answer = Response::new(Full::new(body.into()).boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn streamed(chunks: impl stream::Stream<Item = Vec<u8>> + Send + 'static) -> Response<Body> {
    use futures_util::StreamExt as _;
    let frames = chunks.map(|chunk| Ok(Frame::data(Bytes::from(chunk))));
    Response::new(StreamBody::new(frames).boxed_unsync())
}

/// One stored block (RFC 1951 section 3.2.4) in a gzip member (RFC 1952): right, if not small.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (0_u32.wrapping_sub(crc & 1)));
        }
    }
    let length = u16::try_from(bytes.len()).unwrap();
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend(bytes);
    out.extend((!crc).to_le_bytes());
    out.extend(u32::from(length).to_le_bytes());
    out
}
