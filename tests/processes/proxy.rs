//! A proxy between broker and Postgres that reads along, and that can be slow, be struck dumb, or lose an answer, as a network
//! can.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use symbolon::cli::dev_postgres::Postgres;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

/// What a client sent: one statement, or the wish for an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// A prepared statement, executed.
    Execute(String),
    /// A simple query.
    Query(String),
    /// The end of a round of the extended protocol: the client waits for the answer.
    Sync,
}

pub struct Proxy {
    port: u16,
    sent: Arc<Mutex<Vec<Sent>>>,
    /// Connections with a lower number are dumb for ever.
    dumb_below: watch::Sender<usize>,
    accepted: Arc<Mutex<usize>>,
    /// Whether the answer to the next commit is lost.
    to_lose: Arc<AtomicBool>,
    /// How long an answer takes.
    delay: watch::Sender<Duration>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// A proxy to a server's socket.
    pub async fn start(server: &Postgres) -> Self {
        Self::start_at(0, server).await
    }

    /// The same at this port.
    pub async fn start_at(port: u16, server: &Postgres) -> Self {
        let socket = server.socket_dir().join(".s.PGSQL.5432");
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let sent = Arc::new(Mutex::new(Vec::new()));
        let accepted = Arc::new(Mutex::new(0));
        let to_lose = Arc::new(AtomicBool::new(false));
        let (dumb_below, watched) = watch::channel(0);
        let (delay, delayed) = watch::channel(Duration::ZERO);
        let wires = Wires {
            socket,
            sent: Arc::clone(&sent),
            to_lose: Arc::clone(&to_lose),
            dumb_below: watched,
            delay: delayed,
        };
        let task = tokio::spawn(accept(listener, Arc::clone(&accepted), wires));
        Self { port, sent, dumb_below, accepted, to_lose, delay, task }
    }

    /// The address of a database behind the proxy.
    pub fn url(&self, direct: &str) -> String {
        let (name, _) = direct.split_once('?').unwrap();
        let (_, name) = name.rsplit_once('/').unwrap();
        format!("postgres://symbolon:s3cret-of-the-database@127.0.0.1:{}/{name}?sslmode=disable", self.port)
    }

    /// What was sent since the last time.
    pub fn take(&self) -> Vec<Sent> {
        std::mem::take(&mut self.sent.lock().unwrap())
    }

    /// The connections there are get no more bytes through, and are not told.
    pub fn strike_dumb(&self) {
        self.dumb_below.send_replace(*self.accepted.lock().unwrap());
    }

    /// So do those to come, until [`Proxy::recover`].
    pub fn strike_all_dumb(&self) {
        self.dumb_below.send_replace(usize::MAX);
    }

    /// The next commit is done, but instead of the answer to it the connection ends.
    pub fn lose_an_answer(&self) {
        self.to_lose.store(true, Ordering::SeqCst);
    }

    /// No answer is to be lost any more.
    pub fn lose_none(&self) {
        self.to_lose.store(false, Ordering::SeqCst);
    }

    /// Whether an answer is still to be lost.
    pub fn is_losing(&self) -> bool {
        self.to_lose.load(Ordering::SeqCst)
    }

    /// Every answer takes so much longer.
    pub fn slow_down(&self, delay: Duration) {
        self.delay.send_replace(delay);
    }

    /// New connections work again.
    pub fn recover(&self) {
        self.strike_dumb();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What every connection needs.
#[derive(Clone)]
struct Wires {
    socket: PathBuf,
    sent: Arc<Mutex<Vec<Sent>>>,
    to_lose: Arc<AtomicBool>,
    dumb_below: watch::Receiver<usize>,
    delay: watch::Receiver<Duration>,
}

/// Whether this ends a transaction, or is one whole: several statements in one message.
fn commits(sent: &Sent) -> bool {
    matches!(sent, Sent::Query(sql) if sql == "COMMIT" || sql.contains("; insert into "))
}

async fn accept(listener: TcpListener, accepted: Arc<Mutex<usize>>, wires: Wires) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let number = {
            let mut accepted = accepted.lock().unwrap();
            *accepted += 1;
            *accepted - 1
        };
        let wires = wires.clone();
        tokio::spawn(async move {
            let _ = relay(client, number, wires).await;
        });
    }
}

async fn relay(client: TcpStream, number: usize, wires: Wires) -> std::io::Result<()> {
    let Wires { socket, sent, to_lose, mut dumb_below, delay } = wires;
    client.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = UnixStream::connect(socket).await?.into_split();
    let loses = AtomicBool::new(false);
    let upward = async {
        let mut reader = Reader::default();
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let length = from_client.read(&mut buffer).await?;
            if length == 0 {
                return std::io::Result::Ok(());
            }
            let mut read = Vec::new();
            reader.read(&buffer[..length], &mut read);
            if read.iter().any(commits) && to_lose.swap(false, Ordering::SeqCst) {
                loses.store(true, Ordering::SeqCst);
            }
            sent.lock().unwrap().extend(read);
            to_server.write_all(&buffer[..length]).await?;
        }
    };
    let downward = async {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let length = from_server.read(&mut buffer).await?;
            // The server has answered, and so it is done: but nobody hears of it.
            if length == 0 || loses.load(Ordering::SeqCst) {
                return std::io::Result::Ok(());
            }
            let delay = *delay.borrow();
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            to_client.write_all(&buffer[..length]).await?;
        }
    };
    let struck = async { drop(dumb_below.wait_for(|below| number < *below).await) };
    tokio::select! {
        _ = upward => {}
        _ = downward => {}
        // Both ends stay open, and nothing moves.
        () = struck => std::future::pending().await,
    }
    Ok(())
}

/// Takes a client's side of one connection apart (PostgreSQL manual, "Message Formats").
#[derive(Default)]
struct Reader {
    pending: Vec<u8>,
    started: bool,
    statements: HashMap<String, String>,
    portals: HashMap<String, String>,
}

impl Reader {
    fn read(&mut self, bytes: &[u8], sent: &mut Vec<Sent>) {
        self.pending.extend_from_slice(bytes);
        loop {
            // The first message has no type.
            let head = usize::from(self.started);
            let Some(length) = self.pending.get(head..head + 4) else { return };
            let end = head + u32::from_be_bytes(length.try_into().unwrap()) as usize;
            if self.pending.len() < end {
                return;
            }
            let message: Vec<u8> = self.pending.drain(..end).collect();
            if self.started {
                self.understand(message[0], &message[5..], sent);
            }
            self.started = true;
        }
    }

    fn understand(&mut self, kind: u8, body: &[u8], sent: &mut Vec<Sent>) {
        let words: Vec<String> =
            body.splitn(3, |byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        match kind {
            b'P' => drop(self.statements.insert(words[0].clone(), words[1].clone())),
            b'B' => drop(self.portals.insert(words[0].clone(), words[1].clone())),
            b'E' => sent.push(Sent::Execute(self.statements[&self.portals[&words[0]]].clone())),
            b'Q' => sent.push(Sent::Query(words[0].clone())),
            b'S' => sent.push(Sent::Sync),
            _ => {}
        }
    }
}
