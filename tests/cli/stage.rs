//! What the tests stand on: one server for all, a database for each, and the binary with an environment of its own.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak, mpsc};
use std::thread::JoinHandle;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use symbolon::cli::dev_postgres::{Options, Postgres};
use symbolon::seal::Seal;

const BINARY: &str = env!("CARGO_BIN_EXE_symbolon");
pub const ISSUER: &str = "https://id.example.com";

/// The server, on a thread of its own, since it must outlive the test that starts it.
struct Server {
    url: String,
    end: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// The running server; the first test starts it, the last one to need it ends it.
    fn shared() -> Arc<Self> {
        static RUNNING: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut running = RUNNING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        running.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::start());
            *running = Arc::downgrade(&server);
            server
        })
    }

    fn start() -> Self {
        let (url_sender, url) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let postgres = runtime.block_on(Postgres::start(Options::ephemeral())).unwrap();
            url_sender.send(postgres.url()).unwrap();
            let _ = ended.recv();
            runtime.block_on(postgres.stop()).unwrap();
        });
        Self { url: url.recv().unwrap(), end: Some(end), thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A database of its own, a folder, and the variables that commands get.
pub struct Stage {
    pub url: String,
    pub folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
    _server: Arc<Server>,
}

/// What a command did.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Stage {
    /// A stage with an empty database.
    pub fn empty() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = Server::shared();
        let name = format!("t{}", COUNT.fetch_add(1, Ordering::SeqCst));
        execute(&server.url, &format!("create database {name} template template0 encoding 'UTF8'"));
        let folder = tempfile::tempdir().unwrap();
        let url = server.url.replace("/symbolon?", &format!("/{name}?"));
        let mut stage = Self { url: url.clone(), folder, variables: Vec::new(), _server: server };
        stage.set("DATABASE_URL", &url);
        stage.set("SYMBOLON_MASTER_KEY", &fresh_key());
        stage.set("SYMBOLON__ISSUER__URL", ISSUER);
        stage
    }

    /// A stage with a migrated database.
    pub fn migrated() -> Self {
        let stage = Self::empty();
        stage.ok(&["migrate"]);
        stage
    }

    /// A stage with a database that a broker has been started on, as far as most commands can tell.
    pub fn set_up(kind: &str) -> Self {
        let stage = Self::migrated();
        stage.sql(&format!("insert into installation (id, kind, issuer) values (1, '{kind}', '{ISSUER}')"));
        stage
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.unset(name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    pub fn unset(&mut self, name: &str) {
        self.variables.retain(|(other, _)| other != name);
    }

    pub fn get(&self, name: &str) -> String {
        self.variables.iter().find(|(other, _)| other == name).unwrap().1.clone()
    }

    /// Writes a file with this mode.
    pub fn file(&self, name: &str, mode: u32, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(args).env_clear().env("PATH", "/usr/bin:/bin").current_dir(self.folder.path());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    pub fn run(&self, args: &[&str]) -> Done {
        run(self.command(args))
    }

    /// Runs a command that must succeed, and returns what it printed.
    pub fn ok(&self, args: &[&str]) -> String {
        let done = self.run(args);
        assert_eq!(done.code, 0, "{args:?}: {done:?}");
        done.stdout
    }

    /// The same with `--output json`: stdout must be one document.
    pub fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--output", "json"]).collect();
        serde_json::from_str(&self.ok(&args)).unwrap()
    }

    /// Runs a command that must fail with `code`, and returns what it said. Stdout must stay empty.
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        let done = self.run(args);
        assert_eq!((done.code, done.stdout.as_str()), (code, ""), "{args:?}: {done:?}");
        assert!(code == 2 || done.stderr.starts_with("symbolon: "), "{done:?}");
        done.stderr
    }

    pub fn sql(&self, statement: &str) {
        execute(&self.url, statement);
    }

    /// The texts that a query gives.
    pub fn texts(&self, query: &str) -> Vec<String> {
        let query = query.to_owned();
        with_connection(&self.url, async move |conn| {
            sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(conn).await.unwrap()
        })
    }

    pub fn epoch(&self) -> i64 {
        self.texts("select epoch::text from installation")[0].parse().unwrap()
    }

    fn tables(&self) -> Vec<String> {
        self.texts("select tablename::text from pg_tables where schemaname = 'public' order by 1")
    }

    /// Every row of every table as text.
    pub fn dump(&self) -> Vec<String> {
        self.tables().iter().flat_map(|table| self.texts(&format!("select t::text from {table} t"))).collect()
    }

    /// Starts a broker on free ports.
    pub fn broker(&self, args: &[&str]) -> Broker {
        let mut command = self.command(args);
        command.env("SYMBOLON__SERVER__DRAIN_DELAY", "0").stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut told = String::new();
        let admin = loop {
            let Some(line) = lines.next() else { panic!("the broker ended: {told}") };
            let line = line.unwrap();
            if let Some((_, rest)) = line.split_once("\"admin\":\"").or_else(|| line.split_once("admin=")) {
                break rest.split(['"', ' ']).next().unwrap().to_owned();
            }
            told.push_str(&line);
        };
        // Else it would end at its next line.
        std::thread::spawn(move || lines.count());
        Broker { child, admin }
    }

    /// Starts `symbolon serve` on free ports.
    pub fn serve(&self) -> Broker {
        self.broker(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
    }
}

/// A running broker.
pub struct Broker {
    child: Child,
    pub admin: String,
}

impl Broker {
    pub fn stop(mut self) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGTERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(mut command: Command) -> Done {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Done { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs the binary without any variable.
pub fn bare(args: &[&str]) -> Done {
    let mut command = Command::new(BINARY);
    command.args(args).env_clear();
    run(command)
}

/// A master key made here.
pub fn fresh_key() -> String {
    Seal::generate().unwrap().to_string()
}

fn with_connection<T>(url: &str, work: impl AsyncFnOnce(&mut PgConnection) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut conn = PgConnection::connect(url).await.unwrap();
        let result = work(&mut conn).await;
        conn.close().await.unwrap();
        result
    })
}

fn execute(url: &str, statement: &str) {
    let statement = statement.to_owned();
    with_connection(url, async move |conn| {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(conn).await.unwrap();
    });
}
