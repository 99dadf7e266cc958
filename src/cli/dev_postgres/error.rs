//! What can keep the private server from running, each with its remedy, since these lines are all the user sees.

use std::io;
use std::path::{Path, PathBuf};

use super::locate::OLDEST_MAJOR;

/// Why the private server does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No PostgreSQL on this machine.
    #[error(
        "no PostgreSQL found: install it (Debian, Ubuntu: `apt-get install postgresql`; Fedora: `dnf install \
         postgresql-server`; Alpine: `apk add postgresql`; Arch: `pacman -S postgresql`; macOS: `brew install \
         postgresql@17`), name the folder of its programs with --pg-bin, or use a running server with --database-url"
    )]
    NotFound,
    /// The folder that was named has no usable PostgreSQL.
    #[error("no PostgreSQL to use in {}, named by {source_name}: {reason}", dir.display())]
    BadBinaries {
        /// The folder.
        dir: PathBuf,
        /// What named it.
        source_name: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Only old versions found.
    #[error(
        "PostgreSQL {OLDEST_MAJOR} or newer is needed, found {found}: install a newer one, name the folder of its \
         programs with --pg-bin, or use a running server with --database-url"
    )]
    TooOld {
        /// The versions found and where.
        found: String,
    },
    /// The data were written by a version whose programs are not here.
    #[error(
        "{} holds data of PostgreSQL {major}, which only that version can open; found {found}: install \
         postgresql-{major}, name the folder of its programs with --pg-bin, or choose another --data-dir",
        cluster.display()
    )]
    OtherMajor {
        /// The folder of the data.
        cluster: PathBuf,
        /// The version that wrote them.
        major: u32,
        /// The versions found and where.
        found: String,
    },
    /// Another process works on the same folder.
    #[error(
        "{} is in use by another symbolon{}: stop it, or choose another --data-dir",
        folder.display(),
        holder.as_ref().map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Busy {
        /// The folder.
        folder: PathBuf,
        /// The other process, if known.
        holder: Option<String>,
    },
    /// The folder was filled by another user.
    #[error(
        "{} belongs to another user (was it made by root?): start as that user, or choose another --data-dir",
        path.display()
    )]
    Foreign {
        /// What could not be opened.
        path: PathBuf,
    },
    /// The user that the server runs as may not enter a folder.
    #[error(
        "PostgreSQL must run as user {user} here, who cannot use {}: let that user enter its parent folders, or choose \
         another --data-dir",
        path.display()
    )]
    Unreachable {
        /// The folder.
        path: PathBuf,
        /// The user.
        user: String,
    },
    /// The user that the server runs as cannot run it.
    #[error("user {user} cannot run {}: {reason}", program.display())]
    CannotRun {
        /// The program.
        program: PathBuf,
        /// The user.
        user: String,
        /// What the system said.
        reason: String,
    },
    /// Started as root where no lesser user exists.
    #[error(
        "PostgreSQL refuses to run as root and there is no user postgres or nobody: create one, or start as another"
    )]
    NoUser,
    /// Started under a number that has no name.
    #[error("user id {0} has no name, which PostgreSQL needs to make a database: add it to /etc/passwd")]
    Nameless(u32),
    /// Something else lies where the data should be.
    #[error("{} is not a database of symbolon dev: move it away, or choose another --data-dir", path.display())]
    NotACluster {
        /// The folder.
        path: PathBuf,
    },
    /// The database was kept outside the data folder and is no longer there.
    #[error(
        "the database of {} was kept in {}, which is gone: bring it back, or remove the data folder to start afresh",
        folder.display(),
        home.display()
    )]
    Gone {
        /// The data folder.
        folder: PathBuf,
        /// Where its database was.
        home: PathBuf,
    },
    /// A file or folder could not be worked on.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// The verb.
        action: &'static str,
        /// The object.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A program could not be started.
    #[error("cannot start {}: {source}", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// `initdb` failed.
    #[error("initdb failed ({status}){}", indented(output))]
    Initdb {
        /// How it ended.
        status: String,
        /// Its last lines.
        output: String,
    },
    /// The server ended by itself.
    #[error("PostgreSQL ended ({status}); its log is {}{}", log.display(), indented(tail))]
    Died {
        /// How it ended.
        status: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// The server did not become ready in time.
    #[error("PostgreSQL is not ready after {seconds} s; its log is {}{}", log.display(), indented(tail))]
    Slow {
        /// How long it was waited for.
        seconds: u64,
        /// Its log file.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// A server does not end when told to.
    #[error("PostgreSQL (process {0}) does not stop: end it by hand and start again")]
    WontStop(i32),
    /// The server runs and refuses us.
    #[error("the private PostgreSQL: {0}")]
    Database(#[from] sqlx::Error),
    /// A defect or a broken machine.
    #[error("the private PostgreSQL: {0}")]
    Internal(String),
}

impl Error {
    /// The exit code of a process that ends because of this: 3 where the user must set something right, 4 where the
    /// database failed.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Initdb { .. }
            | Self::Died { .. }
            | Self::Slow { .. }
            | Self::WontStop(_)
            | Self::Database(_)
            | Self::Internal(_) => 4,
            _ => 3,
        }
    }

    pub(super) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    /// As [`Error::file`], where a refusal means that the folder is someone else's.
    pub(super) fn own_file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::PermissionDenied => Self::Foreign { path },
            _ => Self::File { action, path, source },
        }
    }
}

fn indented(text: &str) -> String {
    text.lines().flat_map(|line| ["\n  ", line]).collect()
}
