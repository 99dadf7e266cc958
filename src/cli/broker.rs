//! The running broker: its listeners, its background work, and how it ends. `serve` and `dev` both run it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Failure;
use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::db::Db;
use crate::error::Error;
use crate::http::listener::{self, Patience};
use crate::http::{self, admin};
use crate::installation::{self, Installation, SealState};
use crate::pools::sweep;
use crate::seal::Seal;
use crate::telemetry;

/// How often access-key uses are written, idle rates dropped, master keys compared and deleted pools swept.
const HOUSEKEEPING: Duration = Duration::from_secs(30);

/// How long one round of that may take.
const MAX_HOUSEKEEPING: Duration = Duration::from_mins(5);

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
    pub async fn bind(public: SocketAddr, admin: SocketAddr) -> Result<Self, Failure> {
        Ok(Self { public: bind(public, "listen").await?, admin: bind(admin, "admin-listen").await? })
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

async fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let remedy = match error.kind() {
            std::io::ErrorKind::AddrInUse => "another process listens there; end it or choose another with",
            _ => "choose an address of this machine with",
        };
        Failure::plain(format!("cannot listen on {address}: {error}; {remedy} --{flag}"))
    })
}

/// The broker of an installation whose schema is right, with its first signing keys. A database whose master key is
/// missing gives a broker that is sealed. `makes_dev_keys`: account numbers become access keys at their first use.
///
/// # Errors
/// If the database fails.
pub async fn build(
    config: Config,
    db: Db,
    seal: Seal,
    found: &Installation,
    makes_dev_keys: bool,
) -> Result<Arc<App>, Failure> {
    let mut conn = db.connect().await?;
    let state = installation::unseal(&mut conn, &seal).await?;
    drop(conn);
    if let SealState::Sealed(missing) = &state {
        let missing = missing.join(", ");
        tracing::error!(missing, "sealed: the database needs master keys that were not given; nothing will be written");
    }
    let mut app = App::new(config, db, Clock::System, seal, found, state);
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
    let patience = Patience {
        header_timeout: server.header_timeout,
        drain_timeout: server.drain_timeout,
        max_connections: usize::try_from(app.config.limits.max_connections).unwrap_or(usize::MAX),
    };
    let (public_address, admin_address) = (listeners.public_address()?, listeners.admin_address()?);
    let closing = CancellationToken::new();
    let ending = CancellationToken::new();
    let tasks = TaskTracker::new();
    tasks.spawn(listener::serve(listeners.public, http::router(&app), patience, closing.clone()));
    let admin = tokio::spawn(listener::serve(listeners.admin, admin::router(&app, metrics), patience, ending.clone()));
    let background = TaskTracker::new();
    background.spawn({
        let (app, ending) = (Arc::clone(&app), ending.clone());
        async move { app.ring.run(&app.db, &app.seal, ending).await }
    });
    background.spawn({
        let (app, ending) = (Arc::clone(&app), ending.clone());
        async move { keep_house(&app, ending, || upkeep.run_upkeep()).await }
    });
    tracing::info!(listen = %public_address, admin = %admin_address, issuer = app.ring.policy().issuer, "serving");

    stop.await;
    tracing::info!("stopping");
    app.drain();
    // Whoever watches readiness gets time to send requests elsewhere.
    tokio::time::sleep(server.drain_delay).await;
    closing.cancel();
    tasks.close();
    tasks.wait().await;
    ending.cancel();
    background.close();
    background.wait().await;
    let _ = admin.await;
    if let Err(error) = app.write_uses().await {
        tracing::warn!(%error, "the last uses of access keys were not written");
    }
    app.db.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Work that no request waits for.
async fn keep_house(app: &App, ending: CancellationToken, upkeep: impl Fn()) {
    loop {
        tokio::select! {
            () = ending.cancelled() => return,
            () = tokio::time::sleep(HOUSEKEEPING) => {}
        }
        upkeep();
        app.limits.forget_idle();
        let work = async {
            app.observe_seal().await?;
            app.write_uses().await?;
            if app.check_unsealed().is_ok() {
                let mut conn = app.db.acquire().await?;
                sweep::sweep(&mut conn, app.config.keys.sign_fence).await?;
            }
            Ok(())
        };
        // A server that falls silent must not keep us from trying again.
        let done = tokio::time::timeout(MAX_HOUSEKEEPING, work).await;
        if let Err(error) = done.unwrap_or_else(|_| Err(Error::internal("it took too long"))) {
            tracing::warn!(%error, "housekeeping failed; it will be tried again");
        }
    }
}
