//! The Postgres of a run: a private one of its own, durable, with memory as a server in production has.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use symbolon::cli::dev_postgres::{Options, Postgres};

use crate::process::{self, Cpu, Process};

/// What a run sets, beside `shared_buffers`; all else is Postgres's default.
pub const SETTINGS: [&str; 6] = [
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "max_connections=200",
    "max_wal_size=8GB",
    "checkpoint_timeout=30min",
];

pub struct Server {
    process: Process,
    url: String,
}

impl Server {
    /// The server on the data in `folder`, made there with an empty database if there are none.
    pub async fn start(folder: &Path, shared_buffers: &str) -> Self {
        let made = Postgres::start(Options::folder(folder)).await.unwrap();
        let (programs, cluster) = (made.bin_dir().to_owned(), made.cluster_dir().to_owned());
        // Its settings are dev mode's, so it gives way to one with ours.
        made.stop().await.unwrap();
        let owner = fs::metadata(&cluster).unwrap();
        let user = nix::unistd::Uid::effective().is_root().then(|| (owner.uid(), owner.gid()));
        let mut command = process::as_user(programs.join("postgres"), Signal::SIGINT, user);
        command.arg("-D").arg(&cluster).arg("-k").arg(&cluster).current_dir(&cluster);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command.args(["-c", &format!("shared_buffers={shared_buffers}"), "-c", "listen_addresses="]);
        let log = File::create(folder.join("benchmark.log")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let process = Process::start(command, Signal::SIGINT).unwrap();
        let socket = cluster.to_str().unwrap();
        let url = format!("postgres://symbolon@localhost:5432/symbolon?host={socket}&sslmode=disable");
        let mut server = Self { process, url };
        server.wait().await;
        server
    }

    async fn wait(&mut self) {
        let options: PgConnectOptions = self.url.parse().unwrap();
        for _ in 0..3_000 {
            if let Ok(conn) = PgConnection::connect_with(&options).await {
                conn.close().await.unwrap();
                return;
            }
            assert_eq!(self.process.ended(), None, "Postgres ended; see benchmark.log beside its data");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("Postgres is not ready after a minute");
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn pid(&self) -> Pid {
        self.process.pid()
    }

    pub fn cpu(&self) -> Cpu {
        Cpu::of(self.pid())
    }
}
