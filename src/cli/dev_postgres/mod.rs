//! The private Postgres of dev mode and of the tests: found on this machine, started on a unix socket, ended with us.
//!
//! `locate` finds the programs, `folder` says where things lie, `cluster` makes the database, `launch` runs programs as
//! the right user, `server` holds the running one, `error` tells the user what to do.

mod cluster;
mod error;
mod folder;
mod launch;
mod locate;
mod server;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{Connection as _, PgConnection};

pub use self::error::Error;
use self::folder::{DataFolder, Home, SocketDir};
use self::launch::{Launcher, RunAs, on_own_thread};
use self::locate::Binaries;
pub use self::locate::Search;
use self::server::{Server, Site};

const SUPERUSER: &str = "symbolon";
const DATABASE: &str = "symbolon";
const PORT: u16 = 5432; // only part of the socket's name

/// Where the cluster goes when we are root and the server's user cannot reach the data folder.
pub const STATE_DIR: &str = "/var/lib/symbolon";

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// What becomes of the data.
    pub keep: Keep,
    /// `--pg-bin`: the folder of PostgreSQL's programs.
    pub pg_bin: Option<PathBuf>,
    /// Where to look for the programs otherwise.
    pub search: Search,
    /// [`STATE_DIR`], or another in tests.
    pub state_dir: PathBuf,
}

/// What becomes of the data.
#[derive(Clone, Debug)]
pub enum Keep {
    /// They stay in this folder, and every acknowledged write survives a crash.
    Folder(PathBuf),
    /// They are thrown away; speed is all.
    Nothing,
}

impl Options {
    /// A durable server on `data_dir`.
    #[must_use]
    pub fn folder(data_dir: impl Into<PathBuf>) -> Self {
        Self::new(Keep::Folder(data_dir.into()))
    }

    /// A throw-away server.
    #[must_use]
    pub fn ephemeral() -> Self {
        Self::new(Keep::Nothing)
    }

    fn new(keep: Keep) -> Self {
        Self { keep, pg_bin: None, search: Search::machine(), state_dir: STATE_DIR.into() }
    }
}

/// A private server, ready, with an empty or earlier filled database `symbolon`. Dropped, it is told to stop;
/// [`Postgres::stop`] also waits. Killed with `SIGKILL`, we take it with us where the system has death signals.
#[derive(Debug)]
pub struct Postgres {
    server: Server, // dropped before the place it runs in
    site: Site,
}

impl Postgres {
    /// Starts the server, or adopts the one that runs on the same data already.
    ///
    /// # Errors
    /// See [`Error`]; each message carries its remedy.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let mut site = on_own_thread(move || prepare(options)).await?;
        let server = match site.adopt().await? {
            Some(server) => server,
            None => site.launch().await?,
        };
        let postgres = Self { server, site };
        postgres.make_database().await?;
        Ok(postgres)
    }

    /// The address of the database: only through the socket, without TLS.
    #[must_use]
    pub fn url(&self) -> String {
        let host = url_encoded(&self.socket_dir().to_string_lossy());
        format!("postgres://{SUPERUSER}@localhost:{PORT}/{DATABASE}?host={host}&sslmode=disable")
    }

    /// The same for sqlx, without a detour through text.
    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        connect_options(self.socket_dir(), DATABASE)
    }

    /// The folder of the socket.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.site.socket_dir.path
    }

    /// The folder of the cluster.
    #[must_use]
    pub fn cluster_dir(&self) -> &Path {
        &self.site.cluster
    }

    /// The folder of PostgreSQL's programs.
    #[must_use]
    pub fn bin_dir(&self) -> &Path {
        &self.site.launcher.binaries.dir
    }

    /// The server's log file.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.site.home.log
    }

    /// The process number of the server.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.server.pid().as_raw()
    }

    /// Waits until the server ended without being asked to, and says how ([`Error::Died`]). May be dropped and called
    /// again.
    pub async fn exited(&mut self) -> Error {
        self.server.exited().await
    }

    /// Starts the server anew at the same address, after it ended or instead of the running one.
    ///
    /// # Errors
    /// See [`Error`]. The server is then not running; it may be tried again.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.server.stop().await?;
        self.server = self.site.launch().await?;
        Ok(())
    }

    /// Stops the server and waits until it has ended; a throw-away one is deleted.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn stop(self) -> Result<(), Error> {
        let Self { mut server, site } = self;
        let stopped = server.stop().await;
        on_own_thread(move || {
            drop(server);
            drop(site);
            Ok(())
        })
        .await?;
        stopped
    }

    async fn make_database(&self) -> Result<(), Error> {
        let work = async {
            let mut db = PgConnection::connect_with(&connect_options(self.socket_dir(), "postgres")).await?;
            let found =
                sqlx::query("select 1 from pg_database where datname = 'symbolon'").fetch_optional(&mut db).await?;
            if found.is_none() {
                // Bytewise order whatever the machine's language is.
                let create = "create database symbolon template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C'";
                sqlx::query(create).execute(&mut db).await?;
            }
            db.close().await
        };
        match tokio::time::timeout(Duration::from_mins(1), work).await {
            Ok(done) => done.map_err(Error::Database),
            Err(_) => Err(Error::Internal("it does not answer".to_owned())),
        }
    }
}

/// All that comes before the server: programs, user, folders, `initdb`.
fn prepare(options: Options) -> Result<Site, Error> {
    let Options { keep, pg_bin, search, state_dir } = options;
    let folder = match &keep {
        Keep::Folder(path) => Some(DataFolder::open(path, &state_dir)?),
        Keep::Nothing => None,
    };
    let existing = match &folder {
        Some(folder) => folder.cluster()?,
        None => None,
    };
    let existing = existing.as_ref().map(|(cluster, major)| (cluster.as_path(), *major));
    let binaries = Binaries::find(pg_bin.as_deref(), &search, existing)?;
    let user = RunAs::choose(existing.map(|(cluster, _)| cluster))?;
    let launcher = Launcher::new(binaries, user, search.path)?;
    let home = match folder {
        Some(folder) => folder.into_home(&launcher)?,
        None => Home::ephemeral(&launcher)?,
    };
    let cluster = home.cluster();
    match (existing, &launcher.user) {
        (None, _) => cluster::initialise(&cluster, &launcher, home.ephemeral)?,
        (Some(_), Some(user)) if cluster::is_roots(&cluster) => cluster::hand_over(&cluster, user)?,
        _ => {}
    }
    // As the system names it, for comparison with the working folder of a server (it may be a link to another disk).
    let cluster = std::fs::canonicalize(&cluster).map_err(Error::file("find", &cluster))?;
    let socket_dir = SocketDir::prepare(&home, &launcher)?;
    Ok(Site { launcher, socket_dir, cluster, home })
}

fn connect_options(socket_dir: &Path, database: &str) -> PgConnectOptions {
    // Everything is said, since the rest would come from the environment (PGPORT, PGSSLMODE, …).
    PgConnectOptions::new_without_pgpass()
        .host("localhost")
        .socket(socket_dir)
        .port(PORT)
        .username(SUPERUSER)
        .database(database)
        .ssl_mode(PgSslMode::Disable)
}

/// Whether a server answers in `socket_dir`, be it with a refusal.
async fn answers(socket_dir: &Path) -> bool {
    let options = connect_options(socket_dir, "postgres");
    match tokio::time::timeout(Duration::from_secs(5), PgConnection::connect_with(&options)).await {
        Ok(Ok(db)) => db.close().await.is_ok(),
        Ok(Err(error)) => matches!(error, sqlx::Error::Database(_)),
        Err(_) => false,
    }
}

fn url_encoded(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The end of what a program wrote.
fn last_lines(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_folders_survive_the_url() {
        use std::str::FromStr as _;
        let dir = "/home/jö hn/a&b=c?d#e%20+f/run";
        let url = format!("postgres://symbolon@localhost:5432/symbolon?host={}&sslmode=disable", url_encoded(dir));
        let options = PgConnectOptions::from_str(&url).unwrap();
        assert_eq!(options.get_socket(), Some(&PathBuf::from(dir)));
    }

    #[test]
    fn any_thread_may_start_and_watch_it() {
        fn sendable<T: Send>(_: &T) {}
        sendable(&Postgres::start(Options::ephemeral()));
        let watch = |mut postgres: Postgres| async move {
            postgres.exited().await;
            postgres.restart().await?;
            postgres.stop().await
        };
        let _ = |postgres| sendable(&watch(postgres));
    }

    #[test]
    fn only_the_end_of_an_output_is_told() {
        let output: String = (0..20).fold(String::new(), |text, n| text + &format!("line {n}\n\n"));
        let told = last_lines(output.as_bytes());
        assert!(told.starts_with("line 12\n") && told.ends_with("line 19"), "{told}");
        assert_eq!(last_lines(b""), "");
    }
}
