//! How PostgreSQL's programs are run: as whom, in which environment, and ending with us even if we are killed.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use nix::sys::signal::Signal;
use nix::unistd::{Pid, Uid, User};
use tokio::sync::{oneshot, watch};

use super::error::Error;
use super::locate::{Binaries, DEFAULT_PATH};

/// The lesser user that the server runs as when we are root, whom PostgreSQL refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RunAs {
    pub uid: u32,
    pub gid: u32,
    pub name: String,
}

impl RunAs {
    /// Nothing if we are not root. Data that are there already stay with their owner.
    pub(super) fn choose(cluster: Option<&Path>) -> Result<Option<Self>, Error> {
        if !Uid::effective().is_root() {
            return Ok(None);
        }
        if let Some(cluster) = cluster {
            let meta = fs::metadata(cluster).map_err(Error::file("look at", cluster))?;
            if meta.uid() != 0 {
                let user = User::from_uid(Uid::from_raw(meta.uid())).ok().flatten();
                let name = user.map_or_else(|| meta.uid().to_string(), |user| user.name);
                return Ok(Some(Self { uid: meta.uid(), gid: meta.gid(), name }));
            }
        }
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| User::from_name(name).ok().flatten().filter(|user| !user.uid.is_root()))
            .map(|user| Some(Self { uid: user.uid.as_raw(), gid: user.gid.as_raw(), name: user.name }))
            .ok_or(Error::NoUser)
    }
}

/// Makes the commands that run PostgreSQL's programs.
#[derive(Debug)]
pub(super) struct Launcher {
    pub binaries: Binaries,
    pub user: Option<RunAs>,
    path: OsString,
    death_signal: bool,
}

impl Launcher {
    /// Fails if the user cannot run the programs.
    pub(super) fn new(binaries: Binaries, user: Option<RunAs>, path: Option<OsString>) -> Result<Self, Error> {
        let path = path.filter(|path| !path.is_empty()).unwrap_or_else(|| DEFAULT_PATH.into());
        let mut launcher = Self { binaries, user, path, death_signal: cfg!(target_os = "linux") };
        let program = launcher.binaries.postgres();
        // BusyBox has a setpriv without death signals, so the very call is tried.
        if launcher.death_signal && try_out(&mut launcher.command(&program, Signal::SIGINT)).is_ok() {
            return Ok(launcher);
        }
        launcher.death_signal = false;
        match try_out(&mut launcher.command(&program, Signal::SIGINT)) {
            Ok(()) => Ok(launcher),
            Err(reason) => Err(Error::CannotRun { program, user: launcher.user_name(), reason }),
        }
    }

    /// `program` as the server's user: own process group (Ctrl-C is for us, not for it), nothing of our environment,
    /// and `at_death` when the thread that starts it ends (where the system can do that).
    pub(super) fn command(&self, program: &Path, at_death: Signal) -> Command {
        let mut command = if self.death_signal {
            let mut setpriv = Command::new("setpriv");
            setpriv.args(["--pdeathsig", at_death.as_str().trim_start_matches("SIG")]);
            if let Some(user) = &self.user {
                let (uid, gid) = (user.uid.to_string(), user.gid.to_string());
                setpriv.args(["--reuid", &uid, "--regid", &gid, "--clear-groups"]);
            }
            setpriv.arg("--").arg(program);
            setpriv
        } else {
            self.plain(program)
        };
        command.env_clear().env("PATH", &self.path).env("LC_ALL", "C").env("TZ", "UTC");
        command.stdin(Stdio::null()).process_group(0);
        command
    }

    /// Whether the server's user can enter `dir`. It is tried, since modes do not tell everything (access lists,
    /// network file systems).
    pub(super) fn can_enter(&self, dir: &Path) -> bool {
        // The standard library enters the folder after it has changed the user; setpriv would come too late.
        try_out(self.plain(&self.binaries.postgres()).env_clear().env("PATH", &self.path).current_dir(dir)).is_ok()
    }

    pub(super) fn user_name(&self) -> String {
        self.user.as_ref().map_or_else(|| Uid::effective().to_string(), |user| user.name.clone())
    }

    fn plain(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some(user) = &self.user {
            command.uid(user.uid).gid(user.gid); // as root this also drops our groups
        }
        command
    }
}

fn try_out(postgres: &mut Command) -> Result<(), String> {
    if postgres.get_current_dir().is_none() {
        postgres.current_dir("/");
    }
    let output = postgres.arg("--version").stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    output.status.success().then_some(()).ok_or_else(|| said.lines().next().unwrap_or("it fails").to_owned())
}

/// A child, started and awaited by a thread of its own: the death signal comes when that *thread* ends, and a thread of
/// the async runtime may end long before we do.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub pid: Pid,
    exit: watch::Receiver<Option<String>>,
}

impl Process {
    pub(super) fn start(mut command: Command) -> io::Result<Self> {
        let (told, started) = std::sync::mpsc::sync_channel(1);
        let (ended, exit) = watch::channel(None);
        thread::Builder::new().name("postgres".to_owned()).spawn(move || match command.spawn() {
            Ok(mut child) => {
                let _ = told.send(Ok(child.id()));
                let status = child.wait().map_or_else(|error| error.to_string(), describe);
                ended.send_replace(Some(status));
            }
            Err(error) => {
                let _ = told.send(Err(error));
            }
        })?;
        let id = started.recv().map_err(io::Error::other)??;
        Ok(Self { pid: Pid::from_raw(i32::try_from(id).map_err(io::Error::other)?), exit })
    }

    /// How it ended, if it has.
    pub(super) fn exit_status(&self) -> Option<String> {
        self.exit.borrow().clone()
    }

    /// Waits for the end.
    pub(super) async fn exited(&mut self) -> String {
        let lost = || "lost sight of it".to_owned();
        self.exit.wait_for(Option::is_some).await.ok().and_then(|status| status.clone()).unwrap_or_else(lost)
    }
}

fn describe(status: ExitStatus) -> String {
    // "signal: 9 (SIGKILL)" or "exit status: 1"
    status.to_string()
}

/// Runs `work` on a thread that lives as long as the children it starts and waits for.
pub(super) async fn on_own_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (told, result) = oneshot::channel();
    thread::Builder::new()
        .name("postgres-setup".to_owned())
        .spawn(move || {
            let _ = told.send(work());
        })
        .map_err(|error| Error::Internal(error.to_string()))?;
    result.await.map_err(|_| Error::Internal("its preparation broke off".to_owned()))?
}

/// `true` if `pid` exists at all, be it someone else's or a zombie.
pub(super) fn pid_taken(pid: Pid) -> bool {
    nix::sys::signal::kill(pid, None) != Err(nix::errno::Errno::ESRCH)
}

/// Whether the live process `pid` is the server of the data in `cluster` (a canonical path).
#[cfg(target_os = "linux")]
pub(super) fn serves(pid: Pid, cluster: &Path) -> bool {
    let proc = Path::new("/proc").join(pid.to_string());
    if fs::read_to_string(proc.join("comm")).map_or(true, |name| name.trim_end() != "postgres") {
        return false;
    }
    match fs::read_link(proc.join("cwd")) {
        Ok(dir) => dir == cluster,
        // In many containers root may not look at another user's working folder, yet at its arguments. A zombie has
        // none.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => fs::read(proc.join("cmdline"))
            .is_ok_and(|line| line.split(|byte| *byte == 0).any(|word| word == cluster.as_os_str().as_encoded_bytes())),
        Err(_) => false,
    }
}

/// Whether the live process `pid` is the server of the data in `cluster` (a canonical path).
#[cfg(not(target_os = "linux"))]
pub(super) fn serves(pid: Pid, cluster: &Path) -> bool {
    let told = Command::new("ps").args(["-ww", "-o", "command=", "-p", &pid.to_string()]).stdin(Stdio::null()).output();
    told.is_ok_and(|told| {
        let wanted = cluster.as_os_str().as_encoded_bytes();
        told.stdout.windows(wanted.len()).any(|part| part == wanted)
    })
}
