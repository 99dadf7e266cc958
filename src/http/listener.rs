//! Accepting connections, and letting them end: no request is cut off by a shutdown.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures_util::FutureExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use crate::workers::Workers;

/// How a listener treats its connections.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the head of a request.
    pub header_timeout: Duration,
    /// For a client to take more of an answer.
    pub write_timeout: Duration,
    /// For requests that are under way when the shutdown begins.
    pub drain_timeout: Duration,
    /// Connections at once; more wait to be accepted.
    pub max_connections: usize,
}

/// How long a connection that has no request under way is kept when the shutdown begins: the next one may be on its way.
pub const LAST_CALL: Duration = Duration::from_millis(250);

/// Has requests answered until `shutdown`, and then lets those under way end.
pub async fn serve<F>(
    listener: TcpListener,
    answer: impl Fn(IpAddr, Request) -> F + Clone + Send + 'static,
    patience: Patience,
    shutdown: CancellationToken,
    workers: &Workers,
) where
    F: Future<Output = Response> + Send + 'static,
{
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(patience.max_connections));
    let begin = |(stream, peer, slot): Accepted| {
        let answer = answer.clone();
        let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
            answer(peer.ip(), request.map(Body::new)).map(Ok::<_, Infallible>)
        });
        workers.spawn(|| {
            let connection = TcpStream::from_std(stream).map(|stream| {
                let mut stream = TimeoutStream::new(stream);
                stream.set_write_timeout(Some(patience.write_timeout));
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(patience.header_timeout)
                    .serve_connection(TokioIo::new(Box::pin(stream)), service);
                graceful.watch(connection)
            });
            async move {
                match connection {
                    Ok(connection) => {
                        if let Err(error) = connection.await {
                            tracing::debug!(%error, %peer, "connection ended");
                        }
                    }
                    Err(error) => tracing::warn!(%error, "a connection could not be taken over"),
                }
                drop(slot);
            }
        });
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        if let Some(accepted) = accepted {
            begin(accepted);
        }
    }
    accept_waiting(listener, &slots).into_iter().for_each(begin);
    // Ended now, a connection that is between two requests, or before its first, would reset the one on its way.
    let last_call = Instant::now();
    while slots.available_permits() < patience.max_connections && last_call.elapsed() < LAST_CALL {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    if tokio::time::timeout(patience.drain_timeout, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end within server.drain_timeout");
    }
}

/// Closes the listener, with those accepted who were connected already: the system would reset them.
fn accept_waiting(listener: TcpListener, slots: &Arc<Semaphore>) -> Vec<Accepted> {
    let Ok(listener) = listener.into_std() else { return Vec::new() };
    let mut waiting = Vec::new();
    while let Ok(slot) = Arc::clone(slots).try_acquire_owned()
        && let Ok((stream, peer)) = listener.accept()
    {
        if prepare(&stream).is_ok() {
            waiting.push((stream, peer, slot));
        }
    }
    waiting
}

/// A connection that no runtime has yet.
type Accepted = (std::net::TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

/// As a runtime wants it, and answers sent as soon as they are there.
fn prepare(stream: &std::net::TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)
}

async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Option<Accepted> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    let accepted = listener.accept().await.and_then(|(stream, peer)| {
        let stream = stream.into_std()?;
        prepare(&stream)?;
        Ok((stream, peer))
    });
    match accepted {
        Ok((stream, peer)) => Some((stream, peer, slot)),
        Err(error) => {
            // Out of file descriptors, or a connection that was gone at once. Neither is helped by haste.
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}
