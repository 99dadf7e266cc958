//! A connection without an HTTP library, to send what no library sends and to see what none shows.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::overheard;

/// Nothing takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Raw {
    stream: TcpStream,
    pending: Vec<u8>,
}

/// A whole response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Response {
    /// Whether the server closes the connection behind it.
    pub fn closes(&self) -> bool {
        self.head.to_ascii_lowercase().contains("\r\nconnection: close")
    }
}

/// How long a server takes no more questions before it is taken for one that cannot.
const NO_ROOM: Duration = Duration::from_secs(6);

impl Raw {
    pub async fn connect(url: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(url.trim_start_matches("http://")).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, pending: Vec::new() })
    }

    /// A client that asks again and again and never reads an answer, until the server takes no more questions of it.
    pub async fn slow_reader(url: &str, path: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let stream = socket.connect(url.trim_start_matches("http://").parse().unwrap()).await.unwrap();
        let mut connection = Self { stream, pending: Vec::new() };
        let requests = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").repeat(100);
        // A broker that still answers can take long to make room for more requests: the window opens when half of its buffer
        // was read, which is thousands of them, and a busy machine has other work. Only one that cannot answer takes none for
        // ever.
        while let Ok(sent) = timeout(NO_ROOM, connection.send(requests.as_bytes())).await {
            sent.unwrap();
        }
        connection
    }

    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next response; an error if the connection ends before or in it.
    pub async fn response(&mut self) -> io::Result<Response> {
        timeout(PATIENCE, self.read_response()).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn read_response(&mut self) -> io::Result<Response> {
        let end = loop {
            if let Some(at) = self.pending.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            self.read_some().await?;
        };
        let head = String::from_utf8(self.pending.drain(..end).collect()).unwrap();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
        });
        let length = length.unwrap_or(0);
        while self.pending.len() < length {
            self.read_some().await?;
        }
        let body = String::from_utf8(self.pending.drain(..length).collect()).unwrap();
        overheard::remember_answer(&body);
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        Ok(Response { status, head, body })
    }

    async fn read_some(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.pending).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Whether the server closes the connection within this time.
    pub async fn ended_within(&mut self, limit: Duration) -> bool {
        let end = async { while self.read_some().await.is_ok() {} };
        timeout(limit, end).await.is_ok()
    }

    /// What the server said that was not asked for as a response.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.pending).into_owned()
    }

    /// Waits until the server has closed the connection.
    pub async fn closed(&mut self) {
        assert!(self.ended_within(PATIENCE).await, "the server keeps the connection open");
    }
}

/// A request head for a body that is `length` bytes long.
pub fn head(operation: &str, length: usize) -> String {
    format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-amz-json-1.1\r\n\
         x-amz-target: AWSCognitoIdentityService.{operation}\r\ncontent-length: {length}\r\n\r\n"
    )
}
