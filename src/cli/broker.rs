//! The running broker: its listeners, its background work, and how it ends. `serve` and `dev` both run it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::Failure;
use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::db::Db;
use crate::error::Error;
use crate::http::listener::{self, Patience};
use crate::http::{self, admin};
use crate::identities::taken;
use crate::installation::{Installation, SealState};
use crate::pools::sweep;
use crate::seal::Seal;
use crate::telemetry;
use crate::workers::Workers;

/// How often access-key uses are written, idle rates dropped, master keys compared, and deleted pools and expired assertions swept.
const HOUSEKEEPING: Duration = Duration::from_secs(30);

/// How long one round of that may take.
const MAX_HOUSEKEEPING: Duration = Duration::from_mins(5);

/// Of `server.drain_timeout`, the part that is for the end of background work and the last writes.
const AFTER_REQUESTS: Duration = Duration::from_secs(2);

/// How many connections may wait to be taken; the system may allow fewer (`net.core.somaxconn`). Of one too many the first
/// packet is lost, and its client tries again after a second.
const BACKLOG: u32 = 4_096;

/// However short that is, requests under way have so long to end.
const LEAST_FOR_REQUESTS: Duration = Duration::from_secs(2);

/// Before background work that panicked is begun anew.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// The two listeners, bound before anything else, so that a taken port is known at once.
#[derive(Debug)]
pub struct Listeners {
    public: TcpListener,
    admin: TcpListener,
}

impl Listeners {
    /// Binds both addresses.
    ///
    /// # Errors
    /// If one is taken, or not of this machine.
    pub fn bind(public: SocketAddr, admin: SocketAddr) -> Result<Self, Failure> {
        Ok(Self { public: bind(public, "listen")?, admin: bind(admin, "admin-listen")? })
    }

    /// The public address, with the port that was given for 0.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn public_address(&self) -> Result<SocketAddr, Failure> {
        Ok(self.public.local_addr()?)
    }

    /// The admin address, with the port that was given for 0.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn admin_address(&self) -> Result<SocketAddr, Failure> {
        Ok(self.admin.local_addr()?)
    }
}

fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener, Failure> {
    listen(address).map_err(|error| {
        let remedy = match error.kind() {
            std::io::ErrorKind::AddrInUse => "another process listens there; end it or choose another with",
            _ => "choose an address of this machine with",
        };
        Failure::plain(format!("cannot listen on {address}: {error}; {remedy} --{flag}"))
    })
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The broker of an installation whose schema is right, with its first signing keys. A database whose master key is
/// missing gives a broker that is sealed. `makes_dev_keys`: account numbers become access keys at their first use.
///
/// # Errors
/// If the issuers of logins cannot be reached as configured.
pub async fn build(
    config: Config,
    db: Db,
    seal: Seal,
    found: &Installation,
    state: SealState,
    makes_dev_keys: bool,
) -> Result<Arc<App>, Failure> {
    for opened in config.opened_switches() {
        tracing::warn!(opened, "a switch for laboratories is on");
    }
    match (config.credentials.sts_endpoint.as_str(), config.credentials.builtin) {
        ("", false) => {
            tracing::info!("no credentials are given: neither credentials.sts_endpoint nor credentials.builtin is set");
        }
        ("", true) => tracing::info!(backend = "builtin", "credentials are this broker's own"),
        (endpoint, _) => tracing::info!(backend = "sts", endpoint, "credentials come from an STS"),
    }
    if let SealState::Sealed(missing) = &state {
        let missing = missing.join(", ");
        tracing::error!(missing, "sealed: the database needs master keys that were not given; nothing will be written");
    }
    let mut app = App::new(config, db, Clock::System, seal, found, state)
        .map_err(|error| Failure::configuration(error.to_string()))?;
    app.makes_dev_keys = makes_dev_keys;
    let app = Arc::new(app);
    if let Err(error) = app.ring.tick(&app.db, &app.seal).await {
        tracing::warn!(%error, "no signing key yet; trying again");
    }
    Ok(app)
}

/// Resolves at SIGTERM or SIGINT.
///
/// # Errors
/// If the signals cannot be watched.
pub fn termination() -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Serves until `stop`, then drains: not ready first, then no new connections, then the end of what is under way.
///
/// # Errors
/// If metrics cannot be set up.
pub async fn run(app: Arc<App>, listeners: Listeners, stop: impl Future<Output = ()>) -> Result<(), Failure> {
    let metrics = telemetry::metrics().map_err(|error| Failure::plain(error.to_string()))?;
    let upkeep = metrics.clone();
    let server = &app.config.server;
    // Of the time to end in, the last part is for what comes after the requests.
    let others = server.drain_delay + listener::LAST_CALL + AFTER_REQUESTS;
    let for_requests = server.drain_timeout.saturating_sub(others).max(LEAST_FOR_REQUESTS);
    let patience = Patience {
        header_timeout: server.header_timeout,
        write_timeout: server.request_timeout,
        drain_timeout: for_requests,
        max_connections: usize::try_from(app.config.limits.max_connections).unwrap_or(usize::MAX),
    };
    let for_admin = Patience { drain_timeout: AFTER_REQUESTS / 4, ..patience };
    let (public_address, admin_address) = (listeners.public_address()?, listeners.admin_address()?);
    let closing = CancellationToken::new();
    let ending = CancellationToken::new();
    let public = http::Public::new(&app);
    let public = move |peer, request| public.clone().answer(peer, request);
    let workers = Arc::new(Workers::start(app.workers, app.config.server.pin_workers)?);
    let public = tokio::spawn({
        let (workers, closing) = (Arc::clone(&workers), closing.clone());
        async move { listener::serve(listeners.public, public, patience, closing, &workers).await }
    });
    let admin = admin::router(&app, metrics);
    let admin = move |_, request| admin.clone().oneshot(request).map(|Ok(response)| response);
    let admin = tokio::spawn({
        let ending = ending.clone();
        async move { listener::serve(listeners.admin, admin, for_admin, ending, &Workers::here()).await }
    });
    let background = TaskTracker::new();
    background.spawn(keep_running("the key ring", ending.clone(), {
        let (app, ending) = (Arc::clone(&app), ending.clone());
        move || {
            let (app, ending) = (Arc::clone(&app), ending.clone());
            async move { app.ring.run(&app.db, &app.seal, ending).await }
        }
    }));
    if app.config.database.coalesce {
        workers.spawn_each(|| {
            let app = Arc::clone(&app);
            keep_running("arrivals", ending.clone(), move || {
                let app = Arc::clone(&app);
                async move { app.arrivals.run(&app.db).await }
            })
        });
    }
    background.spawn(keep_running("housekeeping", ending.clone(), {
        let (app, ending) = (Arc::clone(&app), ending.clone());
        move || {
            let (app, ending, upkeep) = (Arc::clone(&app), ending.clone(), upkeep.clone());
            async move { keep_house(&app, ending, || upkeep.run_upkeep()).await }
        }
    }));
    tracing::info!(listen = %public_address, admin = %admin_address, issuer = app.ring.policy().issuer, "serving");

    stop.await;
    tracing::info!("stopping");
    app.drain();
    // Whoever watches readiness gets time to send requests elsewhere.
    tokio::time::sleep(server.drain_delay).await;
    closing.cancel();
    let _ = public.await;
    ending.cancel();
    background.close();
    let rest = async {
        background.wait().await;
        let _ = admin.await;
        if let Err(error) = app.write_uses().await {
            tracing::warn!(%error, "the last uses of access keys were not written");
        }
        app.db.close().await;
    };
    if tokio::time::timeout(AFTER_REQUESTS, rest).await.is_err() {
        tracing::warn!("background work did not end in time, and is cut off");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Runs a task until it ends by itself, which it does once `ending` begins. If it panics, it is begun anew.
async fn keep_running<F>(name: &'static str, ending: CancellationToken, task: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    while let Err(error) = tokio::spawn(task()).await {
        tracing::error!(%error, "{name} failed; it is begun anew");
        tokio::select! {
            () = ending.cancelled() => return,
            () = tokio::time::sleep(RESTART_PAUSE) => {}
        }
    }
}

/// Work that no request waits for.
async fn keep_house(app: &App, ending: CancellationToken, upkeep: impl Fn()) {
    loop {
        // A sealed broker looks as often as the key ring does, so that it serves soon after it may.
        let pause = app.check_unsealed().map_or(app.config.keys.poll_interval.min(HOUSEKEEPING), |()| HOUSEKEEPING);
        tokio::select! {
            () = ending.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        upkeep();
        app.limits.forget_idle();
        let work = async {
            app.observe_seal().await?;
            app.write_uses().await?;
            if app.check_unsealed().is_ok() {
                let mut conn = app.db.acquire().await?;
                // A call that asks issuers may come to write so much later.
                let busy = app.config.server.handler_timeout + app.config.upstream.fetch_timeout;
                sweep::sweep(&mut conn, app.config.keys.sign_fence + busy).await?;
                taken::sweep(&mut conn).await?;
            }
            Ok(())
        };
        // A server that falls silent must not keep us from trying again, nor a long sweep from ending: each of its
        // batches is a transaction of its own.
        let done = tokio::select! {
            () = ending.cancelled() => return,
            done = tokio::time::timeout(MAX_HOUSEKEEPING, work) => done,
        };
        if let Err(error) = done.unwrap_or_else(|_| Err(Error::internal("it took too long"))) {
            tracing::warn!(%error, "housekeeping failed; it will be tried again");
        }
    }
}
