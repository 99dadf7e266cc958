//! The running server: started or adopted, watched, stopped.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep, timeout};

use super::cluster::PidFile;
use super::error::Error;
use super::folder::{Home, SocketDir};
use super::launch::{Launcher, Process, pid_taken, serves};
use super::{answers, last_lines};

const POLL: Duration = Duration::from_millis(10);
/// Crash recovery reads back what was written since the last checkpoint; that much time it may take.
const MAX_START: Duration = Duration::from_mins(2);
const MAX_STOP: Duration = Duration::from_mins(1);
const MAX_LOG: u64 = 16 * 1024 * 1024;

/// Everything needed to start a server, again and again.
#[derive(Debug)]
pub(super) struct Site {
    pub launcher: Launcher,
    pub socket_dir: SocketDir,
    pub cluster: PathBuf,
    pub home: Home, // last, for it unlocks or deletes the folder when dropped
}

impl Site {
    /// The signal to stop with: a throw-away database needs no checkpoint.
    fn stop_signal(&self) -> Signal {
        if self.home.ephemeral { Signal::SIGQUIT } else { Signal::SIGINT }
    }

    /// Takes over a server that runs on our cluster; waits for one that is ending.
    pub(super) async fn adopt(&mut self) -> Result<Option<Server>, Error> {
        let deadline = Instant::now() + MAX_STOP;
        let mut told_to_stop = false;
        while let Some(found) = PidFile::living(&self.cluster) {
            if Instant::now() > deadline {
                return Err(Error::WontStop(found.pid.as_raw()));
            }
            if told_to_stop || !found.ready {
                sleep(POLL).await;
                continue;
            }
            // Whoever started it may have been killed this moment, which is its sign to stop.
            sleep(Duration::from_millis(300)).await;
            if PidFile::living(&self.cluster).as_ref() != Some(&found) {
                continue;
            }
            if answers(&found.socket_dir).await {
                tracing::info!(pid = found.pid.as_raw(), "adopted the PostgreSQL that runs on this data folder");
                self.socket_dir = SocketDir::of_running(found.socket_dir, &self.home);
                let log_start = fs::metadata(&self.home.log).map_or(0, |meta| meta.len());
                return Ok(Some(self.server(Running::Adopted(found.pid), log_start)));
            }
            let _ = kill(found.pid, Signal::SIGINT);
            told_to_stop = true;
        }
        Ok(None)
    }

    /// Starts a server and waits until it is ready.
    pub(super) async fn launch(&self) -> Result<Server, Error> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match self.launch_once().await {
                // Of a killed server the backends may live on for a moment.
                Err(Error::Died { tail, .. }) if tail.contains("shared memory block") && Instant::now() < deadline => {
                    sleep(Duration::from_millis(200)).await;
                }
                result => return result,
            }
        }
    }

    async fn launch_once(&self) -> Result<Server, Error> {
        self.socket_dir.clean();
        if PidFile::read(&self.cluster).is_some_and(|stale| pid_taken(stale.pid)) {
            // Someone else has the number of a server that was killed; PostgreSQL would take them for it.
            let path = PidFile::path(&self.cluster);
            fs::remove_file(&path).map_err(Error::file("remove", &path))?;
        }
        let (log, log_start) = self.open_log().map_err(Error::file("open", &self.home.log))?;

        let program = self.launcher.binaries.postgres();
        let mut command = self.launcher.command(&program, self.stop_signal());
        command.arg("-D").arg(&self.cluster).args(["-k", &quoted(&self.socket_dir.path)]);
        for setting in self.settings() {
            command.args(["-c", setting]);
        }
        let second = log.try_clone().map_err(Error::file("open", &self.home.log))?;
        command.current_dir(&self.cluster).stdout(log).stderr(second);
        let process = Process::start(command).map_err(|source| Error::Spawn { program, source })?;

        let pid = process.pid;
        let server = self.server(Running::Child(process), log_start);
        let started = Instant::now();
        let mut told = false;
        loop {
            if PidFile::read(&self.cluster).is_some_and(|file| file.pid == pid && file.ready) {
                return Ok(server);
            }
            if let Some(status) = server.ended() {
                return Err(server.died(status));
            }
            if started.elapsed() > MAX_START {
                let (log, tail) = (server.log.clone(), server.log_tail());
                return Err(Error::Slow { seconds: MAX_START.as_secs(), log, tail });
            }
            if !told && started.elapsed() > Duration::from_secs(5) {
                told = true;
                let log = self.home.log.display();
                tracing::info!(%log, "PostgreSQL is still starting, perhaps recovering from a crash");
            }
            sleep(POLL).await;
        }
    }

    fn settings(&self) -> Vec<&'static str> {
        let mut settings = vec![
            "listen_addresses=",
            "port=5432",
            "unix_socket_permissions=0700",
            "max_connections=200",
            "shared_buffers=128MB",
            "logging_collector=off",
            "log_destination=stderr",
        ];
        settings.extend(if self.home.ephemeral {
            &[
                "fsync=off",
                "synchronous_commit=off",
                "full_page_writes=off",
                "wal_level=minimal",
                "max_wal_senders=0",
                "autovacuum=off",
            ][..]
        } else {
            &["fsync=on", "synchronous_commit=on", "full_page_writes=on"][..]
        });
        if cfg!(target_os = "linux") && !roomy(Path::new("/dev/shm")) {
            settings.push("dynamic_shared_memory_type=mmap");
        }
        settings
    }

    /// The log, opened by us: so it lies in the data folder even where the server cannot reach that.
    fn open_log(&self) -> io::Result<(File, u64)> {
        let path = &self.home.log;
        if fs::metadata(path).is_ok_and(|meta| meta.len() > MAX_LOG) {
            fs::rename(path, path.with_extension("log.old"))?;
        }
        let log = OpenOptions::new().create(true).append(true).open(path)?;
        let start = log.metadata()?.len();
        Ok((log, start))
    }

    fn server(&self, running: Running, log_start: u64) -> Server {
        Server {
            running,
            cluster: self.cluster.clone(),
            log: self.home.log.clone(),
            log_start,
            ephemeral: self.home.ephemeral,
            stop_signal: self.stop_signal(),
        }
    }
}

/// A running server. Dropped, it is told to stop; a throw-away one is waited for, since its folder goes next.
#[derive(Debug)]
pub(super) struct Server {
    running: Running,
    cluster: PathBuf,
    log: PathBuf,
    log_start: u64,
    ephemeral: bool,
    stop_signal: Signal,
}

#[derive(Debug)]
enum Running {
    Child(Process),
    Adopted(Pid),
}

impl Server {
    pub(super) fn pid(&self) -> Pid {
        match &self.running {
            Running::Child(process) => process.pid,
            Running::Adopted(pid) => *pid,
        }
    }

    /// Waits until the server has ended and says how. May be dropped and called again.
    pub(super) async fn exited(&mut self) -> Error {
        let status = match &mut self.running {
            Running::Child(process) => process.exited().await,
            Running::Adopted(pid) => {
                while serves(*pid, &self.cluster) {
                    sleep(Duration::from_millis(200)).await;
                }
                unseen()
            }
        };
        self.died(status)
    }

    /// Stops the server: fast at first, then without a checkpoint (the next start recovers).
    pub(super) async fn stop(&mut self) -> Result<(), Error> {
        for signal in [self.stop_signal, Signal::SIGQUIT] {
            self.signal(signal);
            if timeout(MAX_STOP, self.until_ended()).await.is_ok() {
                return Ok(());
            }
            tracing::warn!(pid = self.pid().as_raw(), "PostgreSQL does not stop after {signal}");
        }
        Err(Error::WontStop(self.pid().as_raw()))
    }

    async fn until_ended(&self) {
        while self.ended().is_none() {
            sleep(POLL).await;
        }
    }

    fn ended(&self) -> Option<String> {
        match &self.running {
            Running::Child(process) => process.exit_status(),
            Running::Adopted(pid) => (!serves(*pid, &self.cluster)).then(unseen),
        }
    }

    fn signal(&self, signal: Signal) {
        if self.ended().is_none() {
            let _ = kill(self.pid(), signal);
        }
    }

    fn died(&self, status: String) -> Error {
        Error::Died { status, log: self.log.clone(), tail: self.log_tail() }
    }

    /// The last lines that this server wrote.
    fn log_tail(&self) -> String {
        let read = || -> io::Result<Vec<u8>> {
            let mut log = File::open(&self.log)?;
            let end = log.metadata()?.len();
            log.seek(SeekFrom::Start(self.log_start.max(end.saturating_sub(8192))))?;
            let mut content = Vec::new();
            log.read_to_end(&mut content)?;
            Ok(content)
        };
        last_lines(&read().unwrap_or_default())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal(self.stop_signal);
        let mut patience = if self.ephemeral { 500 } else { 0 };
        while patience > 0 && self.ended().is_none() {
            std::thread::sleep(POLL);
            patience -= 1;
        }
    }
}

fn unseen() -> String {
    "it was not our child, so how is not known".to_owned()
}

/// One entry of a list of folders.
fn quoted(dir: &Path) -> String {
    format!("\"{}\"", dir.to_string_lossy().replace('"', "\"\""))
}

/// Whether shared memory of the size that parallel queries use fits (containers may have very little).
fn roomy(dir: &Path) -> bool {
    nix::sys::statvfs::statvfs(dir).is_ok_and(|fs| {
        let (blocks, size): (u64, u64) = (fs.blocks_available(), fs.fragment_size());
        blocks.saturating_mul(size) >= 32 * 1024 * 1024
    })
}
