//! The files of the database cluster itself: made whole or not at all, and read to learn of a running server.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, lchown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::{Pid, Uid, User};

use super::error::Error;
use super::folder::{private_dir, random_name};
use super::launch::{Launcher, RunAs, serves};
use super::locate::number;
use super::{SUPERUSER, last_lines};

const UNFINISHED: &str = "postgres.new-";

/// The version of PostgreSQL that wrote `cluster`; nothing if there is no data yet.
pub(super) fn major(cluster: &Path) -> Result<Option<u32>, Error> {
    let not_ours = || Error::NotACluster { path: cluster.to_owned() };
    match fs::read_to_string(cluster.join("PG_VERSION")) {
        Ok(version) => number(version.trim()).map(Some).ok_or_else(not_ours),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::read_dir(cluster) {
            Ok(mut entries) => entries.next().map_or(Ok(None), |_| Err(not_ours())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::own_file("read", cluster)(error)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(not_ours()),
        Err(error) => Err(Error::own_file("read", cluster)(error)),
    }
}

/// Makes the cluster beside its place and moves it there, so that a killed `initdb` leaves nothing half-made.
pub(super) fn initialise(cluster: &Path, launcher: &Launcher, ephemeral: bool) -> Result<(), Error> {
    if launcher.user.is_none() && User::from_uid(Uid::effective()).is_ok_and(|user| user.is_none()) {
        return Err(Error::Nameless(Uid::effective().as_raw()));
    }
    let parent = cluster.parent().unwrap_or(cluster);
    for entry in fs::read_dir(parent).map_err(Error::file("read", parent))?.flatten() {
        if entry.file_name().as_bytes().starts_with(UNFINISHED.as_bytes()) {
            remove_tree(&entry.path())?;
        }
    }
    // A name of its own: an `initdb` whose parent was killed removes its files when it ends, which may be now.
    let unfinished = parent.join(format!("{UNFINISHED}{}", random_name()?));
    private_dir(&unfinished, launcher.user.as_ref()).map_err(Error::file("make", &unfinished))?;

    let program = launcher.binaries.initdb();
    let mut command = launcher.command(&program, Signal::SIGINT);
    command.current_dir(&unfinished).arg("--pgdata").arg(&unfinished);
    // Trust is right: only who may enter the folder of the socket (0700) comes so far.
    command.args(["--auth-local=trust", "--auth-host=reject", "--data-checksums", "--encoding=UTF8", "--locale=C"]);
    command.arg(format!("--username={SUPERUSER}"));
    if ephemeral {
        command.arg("--no-sync");
    }
    let output = command.stdin(Stdio::null()).output().map_err(|source| Error::Spawn { program, source })?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let output_lines = last_lines(&said);
        let _ = remove_tree(&unfinished);
        return Err(Error::Initdb { status: output.status.to_string(), output: output_lines });
    }
    fs::rename(&unfinished, cluster).map_err(Error::file("make", cluster))?;
    if !ephemeral {
        File::open(parent).and_then(|dir| dir.sync_all()).map_err(Error::file("sync", parent))?;
    }
    Ok(())
}

/// Removes what an earlier start left, perhaps while its `initdb` does the same.
fn remove_tree(path: &Path) -> Result<(), Error> {
    let mut tries = 0;
    loop {
        match fs::remove_dir_all(path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => {
                return Ok(());
            }
            Err(error) if tries == 20 => return Err(Error::own_file("remove", path)(error)),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
        tries += 1;
    }
}

/// Gives a cluster that was copied by root, and so is root's, back to the server's user.
pub(super) fn hand_over(path: &Path, user: &RunAs) -> Result<(), Error> {
    let meta = fs::symlink_metadata(path).map_err(Error::file("look at", path))?;
    lchown(path, Some(user.uid), Some(user.gid)).map_err(Error::file("hand over", path))?;
    if meta.is_dir() {
        for entry in fs::read_dir(path).map_err(Error::file("read", path))? {
            hand_over(&entry.map_err(Error::file("read", path))?.path(), user)?;
        }
    }
    Ok(())
}

/// Whether the cluster belongs to root, who cannot run it.
pub(super) fn is_roots(cluster: &Path) -> bool {
    fs::metadata(cluster).is_ok_and(|meta| meta.uid() == 0)
}

/// What a server writes about itself into `postmaster.pid`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PidFile {
    pub pid: Pid,
    pub socket_dir: PathBuf,
    pub ready: bool,
}

impl PidFile {
    /// The file's content, if it is there and whole enough to name a process.
    pub(super) fn read(cluster: &Path) -> Option<Self> {
        Self::parse(&fs::read(Self::path(cluster)).ok()?)
    }

    /// The file, provided that the process it names lives and serves this cluster.
    pub(super) fn living(cluster: &Path) -> Option<Self> {
        Self::read(cluster).filter(|file| serves(file.pid, cluster))
    }

    pub(super) fn path(cluster: &Path) -> PathBuf {
        cluster.join("postmaster.pid")
    }

    fn parse(content: &[u8]) -> Option<Self> {
        // pid, data folder, start time, port, socket folder, address, shared memory, status
        let mut lines = content.split(|byte| *byte == b'\n');
        let pid = std::str::from_utf8(lines.next()?).ok()?.trim().parse().ok().filter(|pid| *pid > 1)?;
        let socket_dir = PathBuf::from(std::ffi::OsStr::from_bytes(lines.nth(3).unwrap_or_default()));
        let ready = lines.nth(2).is_some_and(|status| status.trim_ascii() == b"ready");
        Some(Self { pid: Pid::from_raw(pid), socket_dir, ready })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_file_is_read_at_every_stage_of_its_writing() {
        let whole = b"4711\n/data/postgres\n1790000000\n5432\n/data/run\n\n  1234567     65537\nready   \n";
        let file = PidFile::parse(whole).unwrap();
        assert_eq!(file, PidFile { pid: Pid::from_raw(4711), socket_dir: "/data/run".into(), ready: true });
        let starting = b"4711\n/data/postgres\n1790000000\n5432\n/data/run\n\n  1234567     65537\nstarting\n";
        assert!(!PidFile::parse(starting).unwrap().ready);
        assert!(!PidFile::parse(b"4711\n/data/postgres\n").unwrap().ready);
        assert_eq!(PidFile::parse(b""), None);
        assert_eq!(PidFile::parse(b"1\n"), None);
        assert_eq!(PidFile::parse(b"-4711\n"), None);
    }
}
