//! `symbolon serve`: the broker against an existing database.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;

use super::session::{self, Session};
use super::{Failure, broker};
use crate::app::App;
use crate::config::Config;
use crate::db::{self, Db};
use crate::installation::{self, Installation, Kind, SealState};
use crate::seal::Seal;
use crate::telemetry;
use crate::tenants::AccessKey;

/// Options of `symbolon serve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Public address; server.listen otherwise.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Address of health, readiness and metrics; server.admin_listen otherwise.
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<SocketAddr>,
}

/// Runs the command until SIGTERM or SIGINT.
///
/// # Errors
/// If the configuration, the database, its schema or its installation do not fit.
pub async fn run(session: Session, args: Args) -> Result<(), Failure> {
    let mut sources = session.sources();
    let flags = [("server.listen", args.listen), ("server.admin_listen", args.admin_listen)];
    sources.flags.extend(flags.into_iter().filter_map(|(path, address)| Some((path, address?.to_string()))));
    let config = Config::load(&sources)?;
    telemetry::log(&config.telemetry);
    for problem in config.waived_bounds() {
        tracing::warn!(problem, "keys.allow_unsafe waives a bound: verifiers may notice rotations");
    }
    let seal = session::load_master_keys(&config.seal)?;
    let mut stop = pin!(broker::termination()?);
    let listeners = broker::Listeners::bind(config.server.listen, config.server.admin_listen)?;
    tokio::select! {
        // Also while the database is waited for.
        () = &mut stop => Ok(()),
        app = prepare(config, seal) => broker::run(app?, listeners, stop).await,
    }
}

/// The broker, once its database is there, and is its own.
async fn prepare(config: Config, seal: Seal) -> Result<Arc<App>, Failure> {
    let db = session::open(&config)?;
    let mut conn = wait_for(&db, config.database.start_timeout).await?;
    if config.database.migrate_on_start {
        db::migrate(&db).await?;
    }
    session::check_schema(&db::schema(&mut conn).await?)?;
    let found = installation(&mut conn, &config, &seal).await?;
    // All that is needed of the database before the broker serves comes over the connection that is known to take writes:
    // another one may lead elsewhere while a primary changes.
    let state = installation::unseal(&mut conn, &seal).await?;
    drop(conn);
    broker::build(config, db, seal, &found, state, false).await
}

/// How long one attempt to connect may take.
const PER_TRY: Duration = Duration::from_secs(5);

/// Connects to the database, which may still be starting, or be a standby that somebody is about to promote.
async fn wait_for(db: &Db, patience: Duration) -> Result<PgConnection, Failure> {
    let started = Instant::now();
    let mut told = None;
    loop {
        // A server that takes the connection and says nothing is not there yet either.
        let left = patience.saturating_sub(started.elapsed()).max(Duration::from_secs(1));
        let failure = match tokio::time::timeout(left.min(PER_TRY), connect(db)).await {
            Ok(Ok(conn)) => return Ok(conn),
            Ok(Err(failure)) => failure,
            Err(_) => session::unreachable_database(&sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
        };
        let waited = started.elapsed();
        if waited >= patience {
            let Failure { code, message } = failure;
            return Err(Failure::new(
                code,
                format!("{message}; waited {} s (database.start_timeout)", patience.as_secs()),
            ));
        }
        if told.is_none_or(|told: Instant| told.elapsed() >= Duration::from_secs(5)) {
            told = Some(Instant::now());
            let left = patience.saturating_sub(waited).as_secs();
            tracing::warn!(error = %failure, "waiting for the database, {left} s more");
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// A connection to a server that takes writes.
async fn connect(db: &Db) -> Result<PgConnection, Failure> {
    let mut conn = db.connect().await.map_err(|error| session::unreachable_database(&error))?;
    db::insist_on_primary(&mut conn).await?;
    Ok(conn)
}

/// The installation, made if the database has none; refused if it is another issuer's, or holds dev mode's keys.
async fn installation(conn: &mut PgConnection, config: &Config, seal: &Seal) -> Result<Installation, Failure> {
    let issuer = &config.issuer.url;
    let found = match Installation::find(conn).await? {
        Some(found) => found,
        None => match installation::unseal(conn, seal).await? {
            SealState::Unsealed => Installation::find_or_create(conn, Kind::Serve, issuer).await?,
            SealState::Sealed(missing) => return Err(session::sealed(&missing)),
        },
    };
    if found.issuer != *issuer {
        return Err(Failure::configuration(format!(
            "issuer.url is {issuer}, but this database belongs to {}; every verifier trusts the latter: set issuer.url \
             to it, or change it on purpose with `symbolon installation set-issuer {issuer}`",
            found.issuer
        )));
    }
    if !config.dev.allow_dev_credentials && AccessKey::any_dev_key(conn).await? {
        return Err(Failure::configuration(
            "this database holds the well-known access keys of `symbolon dev`, which anyone could use; delete them with \
             `symbolon access-key delete test`, or set dev.allow_dev_credentials",
        ));
    }
    Ok(found)
}
