//! The processes that a run starts: ended with it even if it is killed, and what of the machine each has used.

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::ops::Sub;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// A running child. Dropped, it is told to stop, and waited for.
pub struct Process {
    child: Child,
    stop: Signal,
}

/// A command that ends, by `stop`, when the thread that starts it does. It has nothing of our environment but the path.
pub fn command(program: impl AsRef<OsStr>, stop: Signal) -> Command {
    as_user(program, stop, None)
}

/// The same, run by another user than root.
pub fn as_user(program: impl AsRef<OsStr>, stop: Signal, user: Option<(u32, u32)>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", stop.as_str().trim_start_matches("SIG")]);
    if let Some((uid, gid)) = user {
        command.args(["--reuid", &uid.to_string(), "--regid", &gid.to_string(), "--clear-groups"]);
    }
    command.arg("--").arg(program);
    command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
    command.stdin(Stdio::null());
    command
}

impl Process {
    pub fn start(mut command: Command, stop: Signal) -> std::io::Result<Self> {
        Ok(Self { child: command.spawn()?, stop })
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// Resident memory now, and the most there ever was, in MB.
    pub fn memory(&self) -> Memory {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let megabytes = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
            line.trim_end_matches("kB").trim().parse::<f64>().unwrap() / 1_024.0
        };
        Memory { now: megabytes("VmRSS:"), peak: megabytes("VmHWM:") }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = kill(self.pid(), self.stop);
        let _ = self.child.wait();
    }
}

/// Resident memory of a process, in MB.
#[derive(Clone, Copy)]
pub struct Memory {
    pub now: f64,
    pub peak: f64,
}

/// User and system time that was used up to a moment.
#[derive(Clone, Copy, Default)]
pub struct Cpu(Duration);

impl Cpu {
    /// Of this process.
    pub fn own() -> Self {
        Self(clock(ClockId::CLOCK_PROCESS_CPUTIME_ID))
    }

    /// Of a process with all its threads, also ended ones, and of its children, also ended ones: to the nanosecond, but
    /// to the system's tick (10 ms) for children that have ended.
    pub fn of(pid: Pid) -> Self {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let living = children.split_whitespace().filter_map(|child| child.parse().ok());
        Self(
            living.map(|child| process_clock(Pid::from_raw(child))).sum::<Duration>() + process_clock(pid) + ended(pid),
        )
    }

    /// As microseconds.
    pub fn micros(self) -> f64 {
        self.0.as_secs_f64() * 1e6
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self(self.0.saturating_sub(before.0))
    }
}

impl std::iter::Sum for Cpu {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        Self(parts.map(|part| part.0).sum())
    }
}

fn clock(id: ClockId) -> Duration {
    clock_gettime(id).unwrap().into()
}

/// Nothing for a process that has just ended.
fn process_clock(pid: Pid) -> Duration {
    ClockId::pid_cpu_clock_id(pid).ok().and_then(|id| clock_gettime(id).ok()).map_or(Duration::ZERO, Into::into)
}

/// What the ended children of a process have used.
fn ended(pid: Pid) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = (13..=14).filter_map(|index| fields.get(index)?.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The first line of what a program says about its version, if it is there.
pub fn version(program: impl AsRef<Path>) -> Option<String> {
    let output = Command::new(program.as_ref()).arg("--version").stdin(Stdio::null()).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| said.lines().next().unwrap_or_default().to_owned())
}
