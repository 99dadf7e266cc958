//! `symbolon dev`: everything in one process, with well-known credentials, on a private Postgres.

mod folder;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;

use self::folder::Folder;
use super::broker::Listeners;
use super::dev_postgres::{Options, Postgres, Search};
use super::session::{self, Session};
use super::{Failure, apply, broker};
use crate::app::App;
use crate::config::{Config, Sources};
use crate::db::{self, Db};
use crate::ids::{AccessKeyId, AccountId};
use crate::installation::{self, Installation, Kind, SealState};
use crate::seal::Seal;
use crate::telemetry;
use crate::tenants::access_key::{AccessKey, DEV_ACCESS_KEY, DEV_SECRET, Secret};
use crate::tenants::tenant::Tenant;

/// What dev mode takes for granted; a configuration file and the environment may say otherwise.
const PROFILE: &str = r#"
regions = ["us-east-1", "*"]
[server]
drain_delay = 0
[credentials]
builtin = true
[limits]
requests_per_second_per_address = 0
signed_requests_per_second_per_account = 0
guests_per_second_per_address = 0
guests_per_second_per_pool = 0
[telemetry]
log_format = "text"
[issuer]
allow_insecure = true
[dev]
allow_dev_credentials = true
"#;

/// The tenant of `test`: the account number that local AWS tools use by convention.
const DEV_ACCOUNT: &str = "000000000000";

/// Restarts of the private Postgres within a minute before giving up.
const MAX_RESTARTS: usize = 3;

/// Options of `symbolon dev`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Public address.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4600")]
    listen: SocketAddr,
    /// Address of health, readiness and metrics.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4601")]
    admin_listen: SocketAddr,
    /// Where the data, the env file and the master key are kept. Started again on it, everything is there again.
    #[arg(long, value_name = "DIR", default_value = ".symbolon")]
    data_dir: PathBuf,
    /// Throw the database away at the end, and do without durability: for tests.
    #[arg(long, conflicts_with = "database_url")]
    ephemeral: bool,
    /// Tenants, access keys, login providers and pools to make, as for `symbolon apply`; at every start.
    #[arg(long, value_name = "FILE")]
    seed: Option<PathBuf>,
    /// Folder of PostgreSQL's programs; searched for otherwise.
    #[arg(long, value_name = "DIR")]
    pg_bin: Option<PathBuf>,
    /// Use this database instead of a private one: an empty one, or one made by `symbolon dev`.
    #[arg(long, value_name = "URL", conflicts_with = "pg_bin")]
    database_url: Option<String>,
    /// Listen on an address that others can reach, although anyone knows the credentials.
    #[arg(long)]
    allow_public_dev_credentials: bool,
}

/// Runs the command until SIGTERM or SIGINT.
///
/// # Errors
/// One line with the remedy.
pub async fn run(session: Session, args: Args) -> Result<(), Failure> {
    if !args.listen.ip().is_loopback() && !args.allow_public_dev_credentials {
        return Err(Failure::new(
            2,
            format!(
                "--listen {} can be reached from other machines, and anyone knows the credentials test/test; add \
                 --allow-public-dev-credentials if that is meant",
                args.listen
            ),
        ));
    }
    let sources = sources(&session);
    telemetry::log(&Config::read(&sources)?.telemetry);
    let mut stop = pin!(broker::termination()?);
    let listeners = Listeners::bind(args.listen, args.admin_listen)?;
    let folder = Folder::open(&args.data_dir)?;
    let (app, mut postgres) = tokio::select! {
        // Also while the database starts.
        () = &mut stop => return Ok(()),
        prepared = prepare(&args, sources, &listeners, &folder) => prepared?,
    };
    banner(&folder, &listeners, &app.ring.policy().issuer)?;

    let mut outcome = Ok(());
    let ended = async {
        tokio::select! {
            () = stop => {}
            failure = supervise(postgres.as_mut()) => outcome = Err(failure),
        }
    };
    broker::run(app, listeners, ended).await?;
    if let Some(postgres) = postgres {
        postgres.stop().await?;
    }
    if args.ephemeral {
        folder.clear();
    }
    outcome
}

/// The broker and its private Postgres, if it has one; the folder's files are written.
async fn prepare(
    args: &Args,
    mut sources: Sources<'static>,
    listeners: &Listeners,
    folder: &Folder,
) -> Result<(Arc<App>, Option<Postgres>), Failure> {
    if args.ephemeral {
        folder.forget_env();
    }
    let (postgres, url) = if let Some(url) = &args.database_url {
        (None, url.clone())
    } else {
        let postgres = start_postgres(args, &sources).await?;
        // Only now is the folder known to be ours alone.
        folder.forget_env();
        let url = postgres.url();
        (Some(postgres), url)
    };
    sources.flags.extend([
        ("database.url", url.clone()),
        // With the ports that were given for 0: `symbolon health` reads them.
        ("server.listen", listeners.public_address()?.to_string()),
        ("server.admin_listen", listeners.admin_address()?.to_string()),
        ("seal.master_key_file", folder.master_key_file()?.display().to_string()),
    ]);
    let environment = sources.env.clone();
    let (config, db, seal, found) = set_up(sources, listeners.public_address()?).await?;
    if let Some(seed) = &args.seed {
        let applied = apply::seed(&db, &config, &seal, &environment, seed).await?;
        let (made, changed, left) = (applied.made.len(), applied.changed.len(), applied.left.len());
        tracing::info!(made, changed, left, "seed {} applied", seed.display());
    }
    folder.write_config(&config)?;
    folder.write_env(&endpoint(listeners.public_address()?), &url, &config)?;
    Ok((broker::build(config, db, seal, &found, SealState::Unsealed, true).await?, postgres))
}

/// The environment's settings, but for those that name another database or installation: a shell that has read an env
/// file, or works on another project, must not redirect dev mode.
fn sources(session: &Session) -> Sources<'static> {
    let mut sources = session.sources();
    for name in ["DATABASE_URL", "SYMBOLON_CONFIG", "SYMBOLON_MASTER_KEY", "SYMBOLON_MASTER_KEY_FILE"] {
        sources.env.remove(name);
    }
    sources.profile = PROFILE;
    sources
}

async fn start_postgres(args: &Args, sources: &Sources<'_>) -> Result<Postgres, Failure> {
    let mut options = if args.ephemeral { Options::ephemeral() } else { Options::folder(args.data_dir.clone()) };
    options.pg_bin.clone_from(&args.pg_bin);
    options.search = Search {
        named: sources.env.get("SYMBOLON_PG_BIN").map(PathBuf::from),
        path: sources.env.get("PATH").map(Into::into),
        ..Search::machine()
    };
    Ok(Postgres::start(options).await?)
}

/// Migrates the database, makes or finds the installation and its dev tenant.
async fn set_up(
    mut sources: Sources<'static>,
    address: SocketAddr,
) -> Result<(Config, Db, Seal, Installation), Failure> {
    let preliminary = Config::read(&sources)?;
    let db = session::open(&preliminary)?;
    let mut conn = db.connect().await.map_err(|error| session::unreachable_database(&error))?;
    refuse_other_databases(&mut conn).await?;
    db::migrate(&db).await?;
    session::check_schema(&db::schema(&mut conn).await?)?;

    let seal = session::load_master_keys(&preliminary.seal)?;
    if let SealState::Sealed(missing) = installation::unseal(&mut conn, &seal).await? {
        return Err(session::sealed(&missing));
    }
    let wanted = match preliminary.issuer.url.as_str() {
        "" => endpoint(address),
        url => url.to_owned(),
    };
    // Checked before it is stored: the stored one stays.
    sources.flags.push(("issuer.url", wanted.clone()));
    let mut config = Config::load(&sources)?;
    let found = Installation::find_or_create(&mut conn, Kind::Dev, &wanted).await?;
    if found.issuer != wanted {
        tracing::warn!(
            issuer = found.issuer,
            "tokens keep the issuer that this data folder was made with, not {wanted}; verifiers that fetch its keys \
             from there find them only while the broker listens there: `symbolon installation set-issuer {wanted}` \
             changes it"
        );
        sources.flags.push(("issuer.url", found.issuer.clone()));
        config = Config::load(&sources)?;
    }
    make_dev_tenant(&mut conn, &seal).await?;
    Ok((config, db, seal, found))
}

/// Dev mode's credentials must not come into a database that somebody uses for something else.
async fn refuse_other_databases(conn: &mut PgConnection) -> Result<(), Failure> {
    let ours: bool = sqlx::query_scalar("select to_regclass('installation') is not null").fetch_one(&mut *conn).await?;
    let kind = if ours { Installation::find(conn).await?.map(|found| found.kind) } else { None };
    let empty: bool = sqlx::query_scalar(
        "select not exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
                            where c.relkind in ('r', 'p', 'v', 'm') and n.nspname not in ('pg_catalog', 'information_schema')
                              and n.nspname not like 'pg_toast%')",
    )
    .fetch_one(&mut *conn)
    .await?;
    // Migrated, and still without anything in it.
    let unused = ours && sqlx::query_scalar("select not exists (select from tenants)").fetch_one(&mut *conn).await?;
    match kind {
        Some(Kind::Dev) => Ok(()),
        Some(Kind::Serve) => Err(Failure::configuration(
            "this database belongs to `symbolon serve`; dev mode would open it to anyone: name another with --database-url",
        )),
        None if unused || empty => Ok(()),
        None => Err(Failure::configuration(
            "this database is not empty, and not one of `symbolon dev`; name an empty one with --database-url",
        )),
    }
}

async fn make_dev_tenant(conn: &mut PgConnection, seal: &Seal) -> Result<(), Failure> {
    let (Some(account), Some(key)) = (AccountId::parse(DEV_ACCOUNT), AccessKeyId::parse(DEV_ACCESS_KEY)) else {
        return Err(Failure::plain("the dev tenant's ids are ill-formed"));
    };
    let mut tx = sqlx::Connection::begin(conn).await?;
    Tenant::create(&mut tx, &account, "dev").await?;
    AccessKey::create(&mut tx, seal, &key, &account, &Secret::new(DEV_SECRET)).await?;
    tx.commit().await?;
    Ok(())
}

/// The URL of the public listener for clients on this machine.
fn endpoint(address: SocketAddr) -> String {
    let host = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        IpAddr::V6(ip) if ip.is_unspecified() => "[::1]".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    format!("http://{host}:{}", address.port())
}

/// Restarts the private Postgres when it ends under us. Resolves, with the reason to end too, if that does not help.
async fn supervise(postgres: Option<&mut Postgres>) -> Failure {
    let Some(postgres) = postgres else { return std::future::pending().await };
    let mut restarts: Vec<Instant> = Vec::new();
    loop {
        let died = postgres.exited().await;
        restarts.retain(|at| at.elapsed() < Duration::from_mins(1));
        if restarts.len() >= MAX_RESTARTS {
            return Failure::new(4, format!("the private Postgres ends again and again: {died}"));
        }
        restarts.push(Instant::now());
        tracing::warn!("the private Postgres ended; restarting it: {died}");
        if let Err(error) = postgres.restart().await {
            return Failure::new(4, format!("the private Postgres ended, and does not start again: {error}"));
        }
        tracing::info!("the private Postgres runs again");
    }
}

fn banner(folder: &Folder, listeners: &Listeners, issuer: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    let env = folder.shown("env");
    let text = format!(
        "\nSymbolon {version} (dev): an Amazon Cognito Identity endpoint of your own.

  endpoint   {endpoint}    any region; access key test, secret test (or any 12-digit account number)
             also for IAM's login providers and roles, and for STS
  issuer     {issuer}/.well-known/openid-configuration{elsewhere}
  admin      http://{admin}/readyz, /metrics
  settings   . {env}

Your first token (AWS CLI, in another terminal):

  . {env}
  aws cognito-identity get-open-id-token-for-developer-identity --logins login.example=alice --identity-pool-id \\
    $(aws cognito-identity create-identity-pool --identity-pool-name first --developer-provider-name login.example \\
      --no-allow-unauthenticated-identities --query IdentityPoolId --output text)

Ctrl-C ends it; started again on {folder}, everything is there again.\n\n",
        version = env!("CARGO_PKG_VERSION"),
        endpoint = endpoint(listeners.public_address()?),
        elsewhere = if issuer == endpoint(listeners.public_address()?) {
            ""
        } else {
            "\n             not this endpoint: verifiers find the keys only where the issuer says (see the warning above)"
        },
        admin = listeners.admin_address()?,
        folder = folder.shown(""),
    );
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
