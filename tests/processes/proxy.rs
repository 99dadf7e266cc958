//! A proxy between broker and Postgres that reads along, and that can delay, cut up, cut off and lose what it carries, as a
//! network can.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use symbolon::cli::dev_postgres::Postgres;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

use crate::dice::Dice;

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

impl Sent {
    /// Whether it is a statement with this word in it.
    pub fn has(&self, word: &str) -> bool {
        matches!(self, Self::Execute(sql) | Self::Query(sql) if sql.contains(word))
    }
}

/// What befalls connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The broker's end is reset, and the server's is closed.
    Reset,
    /// The broker reads the end. What it still writes is read, and goes nowhere.
    ClosedToBroker,
    /// The server reads the end, and may say something yet.
    ClosedToServer,
    /// Both ends stay open, and nothing moves, until [`Proxy::bury`].
    Silence,
}

/// When a fault strikes, once.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// The server has answered a commit, and nobody hears of it: the next one, or one behind so many others.
    Committed { left: usize },
    /// So many pieces from now, in either direction; of that piece this percentage gets through.
    Piece { left: usize, part: usize },
}

/// A fault that is to come.
#[derive(Clone, Copy, Debug)]
struct Plan {
    moment: Moment,
    fault: Fault,
    /// Whether it befalls all connections that there are, or only the one where the moment comes.
    all: bool,
}

/// How bytes travel when nothing befalls them.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Each piece is held up for a random time up to this.
    pub delay: Duration,
    /// Longer ones are cut into pieces of this many bytes.
    pub slice: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self { delay: Duration::ZERO, slice: usize::MAX }
    }
}

pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

/// What every connection needs.
struct Shared {
    /// The server's socket.
    socket: Mutex<PathBuf>,
    sent: Mutex<Vec<Sent>>,
    accepted: Mutex<usize>,
    /// What has befallen connections with a lower number than this.
    struck: watch::Sender<(usize, Fault)>,
    /// Changes when the connections that are silent by then are to end.
    buried: watch::Sender<()>,
    plan: Mutex<Option<Plan>>,
    pieces: AtomicUsize,
    shape: Mutex<(Shape, Dice)>,
    /// How much longer each answer takes.
    answer_delay: Mutex<Duration>,
    /// Statements with this word in them do not arrive, nor anything after them on their connection.
    held_back: Mutex<Option<&'static str>>,
}

impl Proxy {
    /// A proxy to a server's socket.
    pub async fn start(server: &Postgres) -> Self {
        Self::start_at(0, server).await
    }

    /// The same at this port.
    pub async fn start_at(port: u16, server: &Postgres) -> Self {
        Self::start_to(port, server.socket_dir()).await
    }

    /// The same to whatever server has its socket in a folder.
    pub async fn start_to(port: u16, socket_dir: &Path) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            socket: Mutex::new(socket_in(socket_dir)),
            sent: Mutex::default(),
            accepted: Mutex::default(),
            struck: watch::Sender::new((0, Fault::Silence)),
            buried: watch::Sender::new(()),
            plan: Mutex::default(),
            pieces: AtomicUsize::new(0),
            shape: Mutex::new((Shape::default(), Dice::of(0))),
            answer_delay: Mutex::default(),
            held_back: Mutex::default(),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { port, shared, task }
    }

    /// The address of a database behind the proxy.
    pub fn url(&self, direct: &str) -> String {
        let (name, _) = direct.split_once('?').unwrap();
        let (_, name) = name.rsplit_once('/').unwrap();
        format!("postgres://symbolon:s3cret-of-the-database@127.0.0.1:{}/{name}?sslmode=disable", self.port)
    }

    /// New connections go to the server that has its socket in this folder.
    pub fn lead_to(&self, socket_dir: &Path) {
        *self.shared.socket.lock().unwrap() = socket_in(socket_dir);
    }

    /// The connections that there are end.
    pub fn cut_off(&self) {
        self.shared.strike_all(Fault::Reset);
    }

    /// What was sent since the last time.
    pub fn take(&self) -> Vec<Sent> {
        std::mem::take(&mut self.shared.sent.lock().unwrap())
    }

    /// How many pieces went either way since the last time.
    pub fn take_pieces(&self) -> usize {
        self.shared.pieces.swap(0, Ordering::SeqCst)
    }

    /// How bytes travel from now on; delays are those of a seed.
    pub fn shape(&self, shape: Shape, seed: u64) {
        *self.shared.shape.lock().unwrap() = (shape, Dice::of(seed));
    }

    /// Every answer takes so much longer.
    pub fn slow_down(&self, delay: Duration) {
        *self.shared.answer_delay.lock().unwrap() = delay;
    }

    /// From now on a connection ends in silence with the first statement that has this word in it.
    pub fn hold_back(&self, word: &'static str) {
        *self.shared.held_back.lock().unwrap() = Some(word);
    }

    /// The connections there are get no more bytes through, and are not told.
    pub fn strike_dumb(&self) {
        self.shared.strike_all(Fault::Silence);
    }

    /// So do those to come, until [`Proxy::recover`].
    pub fn strike_all_dumb(&self) {
        self.shared.struck.send_replace((usize::MAX, Fault::Silence));
    }

    /// New connections work again.
    pub fn recover(&self) {
        self.strike_dumb();
    }

    /// The connections that are silent end: now the server, too, learns of it.
    pub fn bury(&self) {
        self.shared.buried.send_replace(());
    }

    /// The next commit is done, but instead of the answer to it the connection ends.
    pub fn lose_an_answer(&self) {
        self.strike_at_commit(Fault::ClosedToBroker);
    }

    /// The same of the commit that comes after so many others.
    pub fn lose_an_answer_after(&self, left: usize) {
        let plan = Plan { moment: Moment::Committed { left }, fault: Fault::ClosedToBroker, all: false };
        *self.shared.plan.lock().unwrap() = Some(plan);
    }

    /// The next commit is done, but instead of the answer to it comes this.
    pub fn strike_at_commit(&self, fault: Fault) {
        *self.shared.plan.lock().unwrap() = Some(Plan { moment: Moment::Committed { left: 0 }, fault, all: false });
    }

    /// The fault comes so many pieces from now, of which a part gets through, in percent.
    pub fn strike_at_piece(&self, fault: Fault, number: usize, part: usize, all: bool) {
        *self.shared.plan.lock().unwrap() = Some(Plan { moment: Moment::Piece { left: number, part }, fault, all });
    }

    /// Whether the fault is still to come.
    pub fn is_losing(&self) -> bool {
        self.shared.plan.lock().unwrap().is_some()
    }

    /// The fault that has not come is not to come any more.
    pub fn spare(&self) {
        *self.shared.plan.lock().unwrap() = None;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn socket_in(dir: &Path) -> PathBuf {
    dir.join(".s.PGSQL.5432")
}

/// Whether this ends a transaction, or is one whole: a statement outside of one, or several in one message.
fn commits(sent: &Sent, is_open: &mut bool) -> bool {
    match sent {
        Sent::Query(sql) => {
            let ends = sql == "COMMIT" || sql.contains("; insert into ");
            *is_open = sql == "BEGIN" || *is_open && !ends && sql != "ROLLBACK";
            ends
        }
        Sent::Execute(sql) => {
            !*is_open && ["insert", "update", "delete"].iter().any(|verb| sql.trim_start().starts_with(verb))
        }
        Sent::Sync => false,
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let number = {
            let mut accepted = shared.accepted.lock().unwrap();
            *accepted += 1;
            *accepted - 1
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let _ = relay(client, number, &shared).await;
        });
    }
}

impl Shared {
    fn strike_all(&self, fault: Fault) {
        self.struck.send_replace((*self.accepted.lock().unwrap(), fault));
    }

    /// Counts a piece. If the moment of a fault has come, that fault, and how many bytes still get through.
    fn pass(&self, length: usize, answers_commit: bool) -> Option<(Fault, usize)> {
        self.pieces.fetch_add(1, Ordering::SeqCst);
        let mut planned = self.plan.lock().unwrap();
        let plan = planned.as_mut()?;
        let through = match &mut plan.moment {
            Moment::Committed { left } => {
                if !answers_commit {
                    return None;
                }
                match left.checked_sub(1) {
                    Some(fewer) => {
                        *left = fewer;
                        return None;
                    }
                    None => 0,
                }
            }
            Moment::Piece { left: left @ 1.., .. } => {
                *left -= 1;
                return None;
            }
            Moment::Piece { part, .. } => length * *part / 100,
        };
        let Plan { fault, all, .. } = planned.take()?;
        drop(planned);
        if all {
            self.strike_all(fault);
        }
        Some((fault, through))
    }

    async fn send(&self, to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
        let slice = self.shape.lock().unwrap().0.slice;
        for piece in bytes.chunks(slice) {
            let delay = {
                let (shape, dice) = &mut *self.shape.lock().unwrap();
                shape.delay.mul_f64(f64::from(u32::try_from(dice.below(101)).unwrap()) / 100.0)
            };
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            to.write_all(piece).await?;
            to.flush().await?;
        }
        Ok(())
    }
}

async fn relay(client: TcpStream, number: usize, shared: &Shared) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let socket = shared.socket.lock().unwrap().clone();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = UnixStream::connect(socket).await?.into_split();
    let commits_now = AtomicBool::new(false);
    // Of both directions: nothing when the connection has ended by itself, or what has befallen it.
    let upward = async {
        let (mut reader, mut is_open) = (Reader::default(), false);
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let length = from_client.read(&mut buffer).await?;
            if length == 0 {
                return std::io::Result::Ok(None);
            }
            let mut read = Vec::new();
            reader.read(&buffer[..length], &mut read);
            for one in &read {
                commits_now.fetch_or(commits(one, &mut is_open), Ordering::SeqCst);
            }
            let word = *shared.held_back.lock().unwrap();
            if word.is_some_and(|word| read.iter().any(|sent| sent.has(word))) {
                std::future::pending::<()>().await;
            }
            shared.sent.lock().unwrap().extend(read);
            if let Some((fault, through)) = shared.pass(length, false) {
                shared.send(&mut to_server, &buffer[..through]).await?;
                return Ok(Some(fault));
            }
            shared.send(&mut to_server, &buffer[..length]).await?;
        }
    };
    let downward = async {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let length = from_server.read(&mut buffer).await?;
            if length == 0 {
                return std::io::Result::Ok(None);
            }
            // The server has answered, and so a commit is done.
            if let Some((fault, through)) = shared.pass(length, commits_now.swap(false, Ordering::SeqCst)) {
                shared.send(&mut to_client, &buffer[..through]).await?;
                return Ok(Some(fault));
            }
            let delay = *shared.answer_delay.lock().unwrap();
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            shared.send(&mut to_client, &buffer[..length]).await?;
        }
    };
    let mut struck = shared.struck.subscribe();
    let befallen = async {
        let of_all = struck.wait_for(|(below, _)| number < *below).await;
        std::io::Result::Ok(of_all.ok().map(|struck| struck.1))
    };
    let fault = tokio::select! {
        fault = upward => fault?,
        fault = downward => fault?,
        fault = befallen => fault?,
    };
    match fault {
        None => {}
        Some(Fault::Reset) => from_client.as_ref().set_zero_linger()?,
        Some(Fault::ClosedToBroker) => {
            drop((from_server, to_server));
            to_client.shutdown().await?;
            tokio::io::copy(&mut from_client, &mut tokio::io::sink()).await?;
        }
        Some(Fault::ClosedToServer) => {
            to_server.shutdown().await?;
            tokio::io::copy(&mut from_server, &mut to_client).await?;
        }
        Some(Fault::Silence) => drop(shared.buried.subscribe().changed().await),
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
