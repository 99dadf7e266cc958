//! Where things lie: the data folder and its lock, the system's state folder where the data folder is out of the
//! server's reach, throw-away folders, and the folder of the socket.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Uid};

use super::cluster::{self, PidFile};
use super::error::Error;
use super::launch::{Launcher, RunAs, serves};

/// What a socket's address holds, less the slash and the name `.s.PGSQL.5432`.
const MAX_SOCKET_DIR: usize = if cfg!(target_os = "linux") { 107 - 14 } else { 103 - 14 };
const EPHEMERAL_PREFIX: &str = "symbolon-ephemeral-";

/// The folder that holds the cluster (`postgres`) and, where that works, the socket (`run`). Locked as long as it
/// lives; a throw-away one is deleted at the end.
#[derive(Debug)]
pub(super) struct Home {
    pub dir: PathBuf,
    pub log: PathBuf,
    pub ephemeral: bool,
    _locks: Vec<Flock<File>>,
}

impl Home {
    pub(super) fn cluster(&self) -> PathBuf {
        self.dir.join("postgres")
    }

    /// A new throw-away folder. What killed processes left of theirs is swept away.
    pub(super) fn ephemeral(launcher: &Launcher) -> Result<Self, Error> {
        let mut refused = PathBuf::new();
        for base in [std::env::temp_dir(), PathBuf::from("/tmp")] {
            let base = fs::canonicalize(&base).map_err(Error::file("find", &base))?;
            sweep(&base);
            let random = random_name()?;
            // It gets the name that sweepers look for only when it is locked.
            let unlocked = base.join(format!(".symbolon-new-{random}"));
            let dir = base.join(format!("{EPHEMERAL_PREFIX}{random}"));
            make_dir(&unlocked).map_err(Error::file("make", &unlocked))?;
            let lock = lock(&unlocked)?;
            fs::rename(&unlocked, &dir).map_err(Error::file("make", &dir))?;
            let home = Self { log: dir.join("postgres.log"), dir, ephemeral: true, _locks: vec![lock] };
            if launcher.can_enter(&home.dir) {
                return Ok(home);
            }
            refused.clone_from(&home.dir);
        }
        Err(Error::Unreachable { path: refused, user: launcher.user_name() })
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.ephemeral {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// The user's data folder, locked, with what is known about its database.
#[derive(Debug)]
pub(super) struct DataFolder {
    path: PathBuf,
    lock: Flock<File>,
    recorded_home: Option<PathBuf>,
    state_dir: PathBuf,
}

impl DataFolder {
    pub(super) fn open(path: &Path, state_dir: &Path) -> Result<Self, Error> {
        if !path.exists() {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(Error::file("make", parent))?;
            }
            match make_dir(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Error::file("make", path)(error));
                }
                _ => {}
            }
        }
        let path = fs::canonicalize(path).map_err(Error::own_file("find", path))?;
        if path.join("PG_VERSION").exists() {
            return Err(Error::NotACluster { path });
        }
        let lock = lock(&path)?;
        let mut folder = Self { path, lock, recorded_home: None, state_dir: state_dir.to_owned() };
        folder.recorded_home = folder.read_record()?;
        Ok(folder)
    }

    /// The cluster that the folder has already, and its version.
    pub(super) fn cluster(&self) -> Result<Option<(PathBuf, u32)>, Error> {
        let cluster = self.recorded_home.as_ref().unwrap_or(&self.path).join("postgres");
        Ok(cluster::major(&cluster)?.map(|major| (cluster, major)))
    }

    /// Where the database is or goes.
    pub(super) fn into_home(self, launcher: &Launcher) -> Result<Home, Error> {
        let log = self.path.join("postgres.log");
        let dir = if let Some(home) = &self.recorded_home {
            home.clone()
        } else if self.cluster()?.is_some() || self.suits(launcher) {
            self.path.clone()
        } else {
            self.home_elsewhere(launcher)?
        };
        // A copy of the data folder points to the same home: that one is locked too.
        let second = if dir == self.path { None } else { Some(lock(&dir)?) };
        let home =
            Home { dir, log, ephemeral: false, _locks: [Some(self.lock), second].into_iter().flatten().collect() };
        let inside = if home.cluster().exists() { home.cluster() } else { home.dir.clone() };
        if !launcher.can_enter(&inside) && !cluster::is_roots(&inside) {
            return Err(Error::Unreachable { path: inside, user: launcher.user_name() });
        }
        Ok(home)
    }

    /// Whether the server's user can reach the folder, and own a part of it (some network and desktop file systems do
    /// not let root give files away).
    fn suits(&self, launcher: &Launcher) -> bool {
        let run = self.path.join("run");
        let suits = private_dir(&run, launcher.user.as_ref()).is_ok() && launcher.can_enter(&run);
        if !suits {
            let _ = fs::remove_dir(&run);
        }
        suits || launcher.user.is_none() // its own folder: let the true cause be told when something fails
    }

    /// A home in the system's state folder, recorded in the data folder.
    fn home_elsewhere(&self, launcher: &Launcher) -> Result<PathBuf, Error> {
        let unreachable = |path: &Path| Error::Unreachable { path: path.to_owned(), user: launcher.user_name() };
        if !self.state_dir.exists() {
            fs::create_dir_all(&self.state_dir).map_err(Error::file("make", &self.state_dir))?;
            set_mode(&self.state_dir, 0o711).map_err(Error::file("open", &self.state_dir))?;
        }
        let state_dir = fs::canonicalize(&self.state_dir).map_err(Error::file("find", &self.state_dir))?;
        if !launcher.can_enter(&state_dir) {
            return Err(unreachable(&self.path));
        }
        let name = short_hash(&self.path);
        for number in 0..100 {
            let home = state_dir.join(if number == 0 { name.clone() } else { format!("{name}-{number}") });
            match make_dir(&home) {
                Ok(()) => {}
                // Left by a start that was killed. One with data belonged to a data folder that was since deleted: its
                // user wants to start afresh, and no data are deleted unasked.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if cluster::major(&home.join("postgres"))?.is_some() {
                        let orphan = home.display();
                        tracing::warn!(path = %orphan, "database of a deleted data folder; remove it if not needed");
                        continue;
                    }
                }
                Err(error) => return Err(Error::file("make", &home)(error)),
            }
            if !launcher.can_enter(&home) {
                return Err(unreachable(&home));
            }
            self.write_record(&home).map_err(Error::file("write", &self.record()))?;
            return Ok(home);
        }
        Err(Error::NotACluster { path: state_dir.join(name) })
    }

    fn record(&self) -> PathBuf {
        self.path.join("cluster-path")
    }

    fn read_record(&self) -> Result<Option<PathBuf>, Error> {
        let record = self.record();
        let mut content = match fs::read(&record) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::own_file("read", &record)(error)),
        };
        content.truncate(content.trim_ascii_end().len());
        let home = PathBuf::from(std::ffi::OsString::from_vec(content));
        // As root we run and give away what it names, so it may name nothing but our own.
        let state_dir = fs::canonicalize(&self.state_dir).unwrap_or_else(|_| self.state_dir.clone());
        if home.parent() != Some(&state_dir) || home.file_name().is_none() {
            return Err(Error::NotACluster { path: home });
        }
        if !home.is_dir() {
            return Err(Error::Gone { folder: self.path.clone(), home });
        }
        Ok(Some(home))
    }

    fn write_record(&self, home: &Path) -> io::Result<()> {
        let unfinished = self.path.join("cluster-path.new");
        let mut file = File::create(&unfinished)?;
        file.write_all(home.as_os_str().as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&unfinished, self.record())?;
        File::open(&self.path)?.sync_all()
    }
}

/// A folder for the socket. `home/run`, unless its path is too long or odd, or its file system has no sockets.
#[derive(Debug)]
pub(super) struct SocketDir {
    pub path: PathBuf,
    outside: bool,
}

impl SocketDir {
    pub(super) fn prepare(home: &Home, launcher: &Launcher) -> Result<Self, Error> {
        let user = launcher.user.as_ref();
        let run = home.dir.join("run");
        private_dir(&run, user).map_err(Error::file("make", &run))?;
        if takes_sockets(&run) {
            return Ok(Self { path: run, outside: false });
        }
        // Named by hash, so that the address stays the same; by chance, if someone took that name before us.
        let hash = short_hash(&home.dir);
        let random = random_name()?;
        let mut refused = Error::Internal("no place for its socket".to_owned());
        for name in [&hash, &random] {
            for base in ["/run", "/tmp"] {
                let path = Path::new(base).join(format!("symbolon-{name}"));
                match private_dir(&path, user) {
                    Ok(()) if launcher.can_enter(&path) && takes_sockets(&path) => {
                        return Ok(Self { path, outside: true });
                    }
                    Ok(()) => drop(fs::remove_dir(&path)),
                    Err(error) => refused = Error::file("make", &path)(error),
                }
            }
        }
        Err(refused)
    }

    /// The folder in which a server that is running already has its socket.
    pub(super) fn of_running(path: PathBuf, home: &Home) -> Self {
        Self { outside: path.parent() != Some(&home.dir), path }
    }

    /// Removes the socket of a server that was killed. Its lock file would stop the next one if another process has got
    /// the same number since.
    pub(super) fn clean(&self) {
        for name in [".s.PGSQL.5432", ".s.PGSQL.5432.lock"] {
            let _ = fs::remove_file(self.path.join(name));
        }
    }
}

impl Drop for SocketDir {
    fn drop(&mut self) {
        if self.outside {
            let _ = fs::remove_dir(&self.path); // fails while a server still uses it, as it should
        }
    }
}

fn takes_sockets(dir: &Path) -> bool {
    // Control characters break postmaster.pid, and libpq takes a comma for the end of a host.
    let plain = dir.to_str().is_some_and(|path| !path.contains(|c: char| c.is_control() || c == ','));
    let trial = dir.join(".s.trial");
    let _ = fs::remove_file(&trial);
    let takes = plain && dir.as_os_str().len() <= MAX_SOCKET_DIR && UnixListener::bind(&trial).is_ok();
    let _ = fs::remove_file(&trial);
    takes
}

/// Makes `path` a folder that only the server's user (`user`, or else ourselves) can enter. One that is there must be
/// theirs or ours; a link is refused.
pub(super) fn private_dir(path: &Path, user: Option<&RunAs>) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // Everything else is done to the open folder, which no one can exchange.
    let dir = OpenOptions::new().read(true).custom_flags((OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).bits()).open(path)?;
    let us = Uid::effective().as_raw();
    let (uid, gid) = user.map_or((us, Gid::effective().as_raw()), |user| (user.uid, user.gid));
    let owner = dir.metadata()?.uid();
    if owner != uid && owner != us {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("it belongs to user {owner}")));
    }
    if owner != uid {
        fchown(&dir, Some(uid), Some(gid))?;
    }
    dir.set_permissions(Permissions::from_mode(0o700))?;
    if dir.metadata()?.uid() == uid {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::Unsupported, "its file system keeps no owners"))
    }
}

/// A folder of ours. Root's lets the server's user pass; what is in it has its own modes.
fn make_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)?;
    if Uid::effective().is_root() { set_mode(path, 0o711) } else { Ok(()) }
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Takes the lock of `dir`, held until dropped and by no one after a kill.
fn lock(dir: &Path) -> Result<Flock<File>, Error> {
    let path = dir.join("lock");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(&path)
        .map_err(Error::own_file("open", &path))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut lock) => {
            // For the message of whoever comes second.
            let written = lock.set_len(0).and_then(|()| write!(&mut *lock, "{}", std::process::id()));
            written.map_err(Error::file("write", &path))?;
            Ok(lock)
        }
        Err((mut file, Errno::EWOULDBLOCK)) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            Err(Error::Busy { folder: dir.to_owned(), holder: Some(holder).filter(|pid| !pid.is_empty()) })
        }
        Err((_, errno)) => Err(Error::file("lock", &path)(errno.into())),
    }
}

/// Removes throw-away folders whose process is gone, and stops what it may have left running.
fn sweep(base: &Path) {
    let us = Uid::effective().as_raw();
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let dir = entry.path();
        let ours = entry.file_name().as_bytes().starts_with(EPHEMERAL_PREFIX.as_bytes())
            && fs::symlink_metadata(&dir).is_ok_and(|meta| meta.is_dir() && meta.uid() == us);
        if !ours || !dir.join("lock").exists() {
            continue;
        }
        let Ok(_lock) = lock(&dir) else { continue };
        let cluster = dir.join("postgres");
        if let Some(left) = PidFile::living(&cluster) {
            let _ = kill(left.pid, Signal::SIGQUIT);
            for _ in 0..100 {
                if !serves(left.pid, &cluster) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let _ = fs::remove_dir_all(&dir);
    }
}

fn short_hash(path: &Path) -> String {
    hex::encode(&digest(&SHA256, path.as_os_str().as_bytes()).as_ref()[..8])
}

pub(super) fn random_name() -> Result<String, Error> {
    crate::ids::random::<8>().map(hex::encode).map_err(|error| Error::Internal(error.to_string()))
}
