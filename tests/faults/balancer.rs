//! A load balancer: it sends to brokers that say that they are ready, over connections that it keeps. It tries nothing twice.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::broker::Broker;
use crate::client;
use crate::raw::{Raw, Response};

/// How often it asks a broker whether it is ready.
pub const CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// How long it keeps a connection that has nothing to do: less than a broker waits for a request, which is 10 s.
const KEPT: Duration = Duration::from_secs(4);

/// One broker.
struct Backend {
    url: String,
    admin: String,
    is_ready: AtomicBool,
    idle: Mutex<Vec<(Raw, Instant)>>,
}

impl Backend {
    /// A connection that it has, or a new one.
    async fn connection(&self) -> io::Result<Raw> {
        let kept = {
            let mut idle = self.idle.lock().unwrap();
            idle.retain(|(_, since)| since.elapsed() < KEPT);
            idle.pop()
        };
        match kept {
            Some((connection, _)) => Ok(connection),
            None => Raw::connect(&self.url).await,
        }
    }

    async fn exchange(&self, request: &[u8]) -> io::Result<Response> {
        let mut connection = self.connection().await?;
        connection.send(request).await?;
        let response = connection.response().await?;
        if !response.closes() {
            self.idle.lock().unwrap().push((connection, Instant::now()));
        }
        Ok(response)
    }

    /// Asks whether the broker is ready; sends it nothing more if it is not.
    async fn check(&self) {
        let is_ready = client::get(&format!("{}/readyz", self.admin)).await.is_ok_and(|answer| answer.status == 200);
        self.is_ready.store(is_ready, Ordering::SeqCst);
        if !is_ready {
            self.idle.lock().unwrap().clear();
        }
    }
}

/// The balancer of some brokers, of which each may be replaced by another.
pub struct Balancer {
    backends: Mutex<Vec<Arc<Backend>>>,
    next: AtomicUsize,
    checks: Mutex<Vec<JoinHandle<()>>>,
}

impl Balancer {
    /// One with no broker behind it.
    pub fn empty() -> Self {
        Self { backends: Mutex::default(), next: AtomicUsize::new(0), checks: Mutex::default() }
    }

    /// Sends to this broker too, which is ready, until it says that it is not.
    pub fn add(&self, broker: &Broker) {
        let (url, admin) = (broker.url.clone(), broker.admin.clone());
        let backend = Arc::new(Backend { url, admin, is_ready: AtomicBool::new(true), idle: Mutex::default() });
        self.backends.lock().unwrap().push(Arc::clone(&backend));
        self.checks.lock().unwrap().push(tokio::spawn(async move {
            while backend.is_ready.load(Ordering::SeqCst) {
                tokio::time::sleep(CHECK_INTERVAL).await;
                backend.check().await;
            }
        }));
    }

    /// The brokers that it sends to.
    pub fn ready(&self) -> usize {
        self.backends.lock().unwrap().iter().filter(|backend| backend.is_ready.load(Ordering::SeqCst)).count()
    }

    /// Has one of the brokers answer, by turns.
    pub async fn send(&self, request: &[u8]) -> io::Result<Response> {
        let backend = {
            let mut backends = self.backends.lock().unwrap();
            backends.retain(|backend| backend.is_ready.load(Ordering::SeqCst));
            let next = self.next.fetch_add(1, Ordering::Relaxed) % backends.len();
            Arc::clone(&backends[next])
        };
        backend.exchange(request).await
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.checks.lock().unwrap().iter().for_each(JoinHandle::abort);
    }
}
