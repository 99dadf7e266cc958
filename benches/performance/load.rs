//! The load generator: operations over kept connections, one after the other or at a fixed rate.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Makes a request from the body of the answer before.
pub type Then = fn(&[u8]) -> Vec<u8>;

/// What counts as one: a request, and perhaps another that its answer leads to.
pub struct Operation {
    pub first: Vec<u8>,
    pub then: Option<Then>,
}

impl Operation {
    pub fn once(request: Vec<u8>) -> Self {
        Self { first: request, then: None }
    }
}

/// A connection that is opened when first used, and again when the other side closed it after an answer.
pub struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    answer: Vec<u8>,
}

impl Connection {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, stream: None, answer: Vec::with_capacity(8_192) }
    }

    async fn open(&mut self) -> TcpStream {
        if let Some(stream) = self.stream.take() {
            return stream;
        }
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Carries out an operation; returns the body of the last answer.
    pub async fn run(&mut self, operation: &Operation) -> &[u8] {
        let body = self.ask(&operation.first).await;
        let Some(then) = operation.then else { return &self.answer[body..] };
        let second = then(&self.answer[body..]);
        let body = self.ask(&second).await;
        &self.answer[body..]
    }

    /// Sends a request and reads the answer, which must be of status 200; returns where its body begins.
    async fn ask(&mut self, request: &[u8]) -> usize {
        let mut stream = self.open().await;
        stream.write_all(request).await.unwrap();
        self.answer.clear();
        let mut head = None;
        loop {
            let read = stream.read_buf(&mut self.answer).await.unwrap();
            if head.is_none() {
                head = Head::of(&self.answer);
            }
            match &head {
                Some(head) if head.length.is_some_and(|length| self.answer.len() >= head.end + length) => break,
                Some(head) if read == 0 && head.length.is_none() => break,
                _ => assert!(read > 0, "a connection was closed before the answer was whole"),
            }
        }
        let head = head.unwrap();
        assert!(head.is_ok, "{}", String::from_utf8_lossy(&self.answer));
        if head.stays_open {
            self.stream = Some(stream);
        }
        head.end
    }
}

/// What of the head of an answer must be known to read the rest.
struct Head {
    end: usize,
    is_ok: bool,
    length: Option<usize>,
    stays_open: bool,
}

impl Head {
    /// Nothing if it is not whole yet.
    fn of(answer: &[u8]) -> Option<Self> {
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let text = std::str::from_utf8(&answer[..end]).unwrap();
        let mut head = Self { end, is_ok: false, length: None, stays_open: text.starts_with("HTTP/1.1") };
        head.is_ok = text.get(8..13) == Some(" 200 ");
        for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                head.length = value.trim().parse().ok();
            } else if name.eq_ignore_ascii_case("connection") && value.trim().eq_ignore_ascii_case("close") {
                head.stays_open = false;
            }
        }
        assert!(head.length.is_some() || !head.stays_open, "an answer without length: {text}");
        Some(head)
    }
}

/// Operations to be carried out, in their order and over again, and over which connections.
pub struct Load {
    pub operations: Arc<Vec<Operation>>,
    /// Connections are dealt out to these in turn.
    pub targets: Vec<SocketAddr>,
    pub connections: usize,
    pub total: usize,
}

impl Load {
    /// Each connection sends its next operation as soon as the one before is answered. Returns how many were answered in
    /// a second.
    pub async fn closed_loop(&self) -> f64 {
        let next = Arc::new(AtomicUsize::new(0));
        let started = Instant::now();
        let workers = self.connections().map(|mut connection| {
            let (next, operations, total) = (Arc::clone(&next), Arc::clone(&self.operations), self.total);
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= total {
                        return;
                    }
                    connection.run(&operations[number % operations.len()]).await;
                }
            })
        });
        for worker in workers.collect::<Vec<_>>() {
            worker.await.unwrap();
        }
        f64::from(u32::try_from(self.total).unwrap()) / started.elapsed().as_secs_f64()
    }

    /// Operations begin at a fixed rate, whether those before are answered or not. Returns their latencies in nanoseconds,
    /// each from the moment at which its operation should have begun, so that a stall counts for all that it held up.
    pub async fn open_loop(&self, rate: f64) -> Histogram<u64> {
        let next = Arc::new(AtomicUsize::new(0));
        let due = Arc::new(Semaphore::new(0));
        let interval = Duration::from_secs_f64(1.0 / rate);
        let started = Instant::now();
        let workers: Vec<_> = self
            .connections()
            .map(|mut connection| {
                let (next, due) = (Arc::clone(&next), Arc::clone(&due));
                let (operations, total) = (Arc::clone(&self.operations), self.total);
                tokio::spawn(async move {
                    let mut latencies = Vec::new();
                    loop {
                        due.acquire().await.unwrap().forget();
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= total {
                            return latencies;
                        }
                        connection.run(&operations[number % operations.len()]).await;
                        let intended = started + interval * u32::try_from(number).unwrap();
                        latencies.push(intended.elapsed());
                    }
                })
            })
            .collect();
        let mut timer = Timer::every(interval);
        let mut released = 0;
        while released < self.total {
            let passed = started.elapsed().as_nanos() / interval.as_nanos() + 1;
            let passed = usize::try_from(passed).unwrap().min(self.total);
            due.add_permits(passed - released);
            released = passed;
            timer.tick().await;
        }
        // One more for each, to end by.
        due.add_permits(self.connections);
        let mut latencies = Histogram::new(3).unwrap();
        for worker in workers {
            for latency in worker.await.unwrap() {
                latencies.record(u64::try_from(latency.as_nanos()).unwrap()).unwrap();
            }
        }
        latencies
    }

    fn connections(&self) -> impl Iterator<Item = Connection> {
        (0..self.connections).map(|number| Connection::new(self.targets[number % self.targets.len()]))
    }
}

/// A timer of the system's: the runtime's own is exact to a millisecond only.
struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    fn every(interval: Duration) -> Self {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK).unwrap();
        timer.set(Expiration::Interval(TimeSpec::from(interval)), TimerSetTimeFlags::empty()).unwrap();
        #[expect(deprecated, reason = "its successor is unsafe, and demands no more than an owned descriptor promises")]
        Self(AsyncFd::new(timer.into()).unwrap())
    }

    async fn tick(&mut self) {
        let mut ready = self.0.readable().await.unwrap();
        let _ = ready.try_io(|timer| Ok(nix::unistd::read(timer, &mut [0; 8])?));
    }
}
