//! Three PostgreSQL servers that replicate synchronously, and HAProxy before them, by the very files of `deploy/`.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use tempfile::TempDir;

use crate::data_dir::data_dir;
use crate::database::{Database, migrate, run};

const APP_PASSWORD: &str = "apppassword";
const REPLICATION_PASSWORD: &str = "replicationpassword";

/// The names of the servers in the files.
const NAMES: [&str; 3] = ["pg1", "pg2", "pg3"];

/// Whatever is waited for takes less.
const PATIENCE: Duration = Duration::from_secs(30);

/// A process that ends with the test.
struct Process(Child);

impl Process {
    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The servers, of which one is the primary.
pub struct Cluster {
    servers: [Option<Process>; 3],
    primary: usize,
    haproxy: Option<Process>,
    /// Addresses of loopback that nobody else has: one for each server, and the last for HAProxy.
    network: [u8; 2],
    bin: PathBuf,
    /// User and group of the servers' files.
    owner: (u32, u32),
    dir: TempDir,
}

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

impl Cluster {
    /// So many servers, with Symbolon's schema and roles.
    pub async fn start(servers: usize) -> Self {
        let dir = data_dir();
        // The programs, and whom they run as, are those of the server that tests share.
        let shared = Database::empty().await.server;
        let (bin, meta) = (shared.bin_dir().to_owned(), fs::metadata(shared.cluster_dir()).unwrap());
        let network = symbolon::ids::random().unwrap();
        let owner = (meta.uid(), meta.gid());
        let mut cluster = Self { servers: [None, None, None], primary: 0, haproxy: None, network, bin, owner, dir };
        for (server, name) in NAMES.iter().enumerate().take(servers) {
            fs::create_dir_all(cluster.socket(server)).unwrap();
            for folder in [cluster.socket(server), cluster.dir.path().join(name)] {
                chown(folder, Some(cluster.owner.0), Some(cluster.owner.1)).unwrap();
            }
        }
        cluster.make_first().await;
        for standby in 1..servers {
            cluster.join(standby).await;
        }
        cluster
    }

    /// The first primary. Only from its first start on does it write to disk whatever it says it has written.
    async fn make_first(&mut self) {
        let data = self.data(0);
        let mut initdb = self.command("initdb");
        initdb.args(["-U", "symbolon", "--no-sync", "--data-checksums", "--encoding=UTF8", "--locale=C", "-D"]);
        done(initdb.arg(&data));
        self.configure(0, None);
        let conf = fs::read_to_string(data.join("postgresql.conf")).unwrap();
        fs::write(data.join("postgresql.conf"), format!("{conf}\ninclude 'node.conf'\n")).unwrap();
        self.run(0).await;
        let create = "create database symbolon template template0 lc_collate 'C' lc_ctype 'C'";
        run(&self.url().replace("/symbolon?", "/postgres?"), create).await;
        migrate(&self.url()).await;
        for (database, file) in [("symbolon", "roles.sql"), ("postgres", "high-availability.sql")] {
            let mut psql = Command::new(self.bin.join("psql"));
            psql.args(["-qX", "-v", "ON_ERROR_STOP=1", "-U", "symbolon", "-d", database, "-h"]).arg(self.socket(0));
            psql.arg("-f").arg(project("deploy/postgres").join(file)).env("SYMBOLON_APP_PASSWORD", APP_PASSWORD);
            psql.env("SYMBOLON_OWNER_PASSWORD", "ownerpassword");
            psql.env("SYMBOLON_REPLICATION_PASSWORD", REPLICATION_PASSWORD);
            done(&mut psql);
        }
        fs::copy(project("deploy/postgres/high-availability.conf"), data.join("high-availability.conf")).unwrap();
        let conf = format!("{conf}\ninclude 'high-availability.conf'\ninclude 'node.conf'\n");
        fs::write(data.join("postgresql.conf"), conf).unwrap();
        let access = fs::read_to_string(project("deploy/postgres/pg_hba.conf")).unwrap();
        // The test's superuser comes through the socket, and is no user of the system.
        fs::write(data.join("pg_hba.conf"), format!("local all all trust\n{access}")).unwrap();
        // In order: of a killed server some processes live on for a moment, and the next one does not start.
        let mut first = self.servers[0].take().unwrap();
        kill(Pid::from_raw(i32::try_from(first.0.id()).unwrap()), Signal::SIGINT).unwrap();
        assert!(first.0.wait().unwrap().success());
        self.run(0).await;
    }

    /// Puts HAProxy before the servers.
    pub fn start_haproxy(&mut self) {
        let program = project("target/haproxy/haproxy");
        assert!(program.exists(), "HAProxy is missing: run `make haproxy`");
        let mut command = Command::new(program);
        command.arg("-db").arg("-f").arg(project("deploy/haproxy/haproxy.cfg"));
        command.env("SYMBOLON_DB_ADDRESS", format!("{}:5432", self.address(3)));
        for (server, name) in
            ["SYMBOLON_PG1_ADDRESS", "SYMBOLON_PG2_ADDRESS", "SYMBOLON_PG3_ADDRESS"].iter().enumerate()
        {
            command.env(name, format!("{}:5432", self.address(server)));
        }
        let log = fs::File::create(self.dir.path().join("haproxy.log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.haproxy = Some(Process(command.spawn().unwrap()));
    }

    fn address(&self, server: usize) -> String {
        let [a, b] = self.network;
        format!("127.{}.{b}.{}", a.clamp(1, 254), server + 1)
    }

    fn data(&self, server: usize) -> PathBuf {
        self.dir.path().join(NAMES[server]).join("postgres")
    }

    /// The folder of a server's socket.
    pub fn socket(&self, server: usize) -> PathBuf {
        self.dir.path().join(NAMES[server]).join("run")
    }

    /// The database for the superuser, on the primary, past HAProxy.
    pub fn url(&self) -> String {
        self.url_of(self.primary)
    }

    fn url_of(&self, server: usize) -> String {
        format!("postgres://symbolon@localhost/symbolon?host={}&sslmode=disable", self.socket(server).display())
    }

    /// The database for brokers, through HAProxy.
    pub fn broker_url(&self) -> String {
        format!("postgres://symbolon_app:{APP_PASSWORD}@{}:5432/symbolon?sslmode=disable", self.address(3))
    }

    /// Waits until HAProxy leads to nobody but the primary.
    pub async fn haproxy_knows(&self) {
        let is_down = |standby: usize| self.haproxy_log().contains(&format!("postgres/{} is DOWN", NAMES[standby]));
        self.until("HAProxy knows the primary", async || self.standbys().into_iter().all(is_down)).await;
    }

    /// What HAProxy has said.
    pub fn haproxy_log(&self) -> String {
        fs::read_to_string(self.dir.path().join("haproxy.log")).unwrap()
    }

    /// A program of PostgreSQL, run as the user whose files they are.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if Uid::effective().is_root() {
            let (uid, gid) = (self.owner.0.to_string(), self.owner.1.to_string());
            command.args(["--reuid", &uid, "--regid", &gid, "--clear-groups"]);
        }
        command.arg("--").arg(self.bin.join(program)).current_dir("/").env("LC_ALL", "C").stdin(Stdio::null());
        command
    }

    /// Writes what is each server's own: of a standby, whom it follows.
    fn configure(&self, server: usize, primary: Option<usize>) {
        let (name, address, socket) = (NAMES[server], self.address(server), self.socket(server));
        let mut conf = format!(
            "cluster_name = '{name}'\nlisten_addresses = '{address}'\nport = 5432\nunix_socket_directories = '{}'\n\
             shared_buffers = 32MB\n",
            socket.display()
        );
        if let Some(primary) = primary {
            conf += &format!(
                "primary_conninfo = 'host={} user=symbolon_replication password={REPLICATION_PASSWORD} \
                 application_name={name}'\n",
                self.address(primary)
            );
        }
        fs::write(self.data(server).join("node.conf"), conf).unwrap();
        chown(self.data(server).join("node.conf"), Some(self.owner.0), Some(self.owner.1)).unwrap();
    }

    /// Starts a server and waits until it answers.
    async fn run(&mut self, server: usize) {
        let mut command = self.command("postgres");
        let log = fs::File::create(self.dir.path().join(format!("{}.log", NAMES[server]))).unwrap();
        command.arg("-D").arg(self.data(server)).stdout(log.try_clone().unwrap()).stderr(log);
        self.servers[server] = Some(Process(command.spawn().unwrap()));
        let url = self.url_of(server).replace("/symbolon?", "/postgres?");
        self.until("it answers", async || PgConnection::connect(&url).await.is_ok()).await;
    }

    /// Makes a server a standby of the primary, with a fresh copy of its data.
    pub async fn join(&mut self, server: usize) {
        let data = self.data(server);
        let _ = fs::remove_dir_all(&data);
        let mut copy = self.command("pg_basebackup");
        copy.args([
            "-U",
            "symbolon_replication",
            "-c",
            "fast",
            "-X",
            "stream",
            "--no-sync",
            "-h",
            &self.address(self.primary),
        ]);
        copy.arg("-D").arg(&data).env("PGPASSWORD", REPLICATION_PASSWORD);
        done(&mut copy);
        fs::write(data.join("standby.signal"), "").unwrap();
        chown(data.join("standby.signal"), Some(self.owner.0), Some(self.owner.1)).unwrap();
        self.configure(server, Some(self.primary));
        self.run(server).await;
        let url = self.url();
        let follows = format!("select count(*) from pg_stat_replication where application_name = '{}'", NAMES[server]);
        self.until("it follows", async || ask(&url, &follows).await == 1).await;
    }

    /// The standbys stop receiving, as if they were cut off.
    pub async fn cut_standbys_off(&self) -> Vec<Pid> {
        let mut receivers = Vec::new();
        for standby in self.standbys() {
            // One that has just begun to follow another primary may have none yet.
            let url = self.url_of(standby);
            let query = "select coalesce(max(pid), 0)::int8 from pg_stat_wal_receiver";
            self.until("it receives", async || ask(&url, query).await > 0).await;
            let receiver = ask(&url, query).await;
            receivers.push(Pid::from_raw(i32::try_from(receiver).unwrap()));
        }
        for receiver in &receivers {
            kill(*receiver, Signal::SIGSTOP).unwrap();
        }
        receivers
    }

    fn standbys(&self) -> Vec<usize> {
        (0..NAMES.len()).filter(|server| *server != self.primary && self.servers[*server].is_some()).collect()
    }

    /// SIGKILL for the primary. What is left of it ends with it. Its number is the answer.
    pub fn kill_primary(&mut self) -> usize {
        self.servers[self.primary].take().unwrap().kill();
        self.primary
    }

    /// What a cluster's manager does when the primary is gone: the standby that has received most is promoted, and the
    /// other one follows it.
    pub async fn fail_over(&mut self) {
        let mut received = Vec::new();
        for standby in self.standbys() {
            let most = "select (pg_last_wal_receive_lsn() - '0/0'::pg_lsn)::int8";
            received.push((ask(&self.url_of(standby), most).await, standby));
        }
        let (_, next) = received.into_iter().max().unwrap();
        assert_eq!(ask(&self.url_of(next), "select pg_promote()::int::int8").await, 1);
        self.primary = next;
        for other in self.standbys() {
            self.configure(other, Some(next));
            assert_eq!(ask(&self.url_of(other), "select pg_reload_conf()::int::int8").await, 1);
        }
    }

    /// The primary no longer waits for standbys: there are none left.
    pub async fn go_on_alone(&self) {
        let mut conn = PgConnection::connect(&self.url()).await.unwrap();
        sqlx::raw_sql("alter system set synchronous_standby_names = ''").execute(&mut conn).await.unwrap();
        assert_eq!(ask(&self.url(), "select pg_reload_conf()::int::int8").await, 1);
    }

    async fn until(&self, what: &str, mut happens: impl AsyncFnMut() -> bool) {
        let began = Instant::now();
        while !happens().await {
            assert!(began.elapsed() < PATIENCE, "waited in vain until {what}: {}", self.logs());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn logs(&self) -> String {
        let files = NAMES.map(|name| self.dir.path().join(format!("{name}.log")));
        let log = |file: &PathBuf| format!("{}:\n{}", file.display(), fs::read_to_string(file).unwrap_or_default());
        files.iter().map(log).collect()
    }
}

/// The one number that a query gives.
async fn ask(url: &str, query: &str) -> i64 {
    let mut conn = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(&mut conn).await.unwrap()
}

/// Runs a program that is to succeed.
fn done(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
