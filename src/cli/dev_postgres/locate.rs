//! Which PostgreSQL to run: the one that was named, else what the machine has, newest first.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::Error;

/// The oldest version that the schema and the statements are tested on.
pub(super) const OLDEST_MAJOR: u32 = 15;

/// Where programs lie if nobody says otherwise.
pub(super) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Folders with a version in their name: parent, what precedes the version, what follows it.
const VERSIONED: [(&str, &str, &str); 5] = [
    ("/opt/homebrew/opt", "postgresql@", "bin"), // macOS on ARM
    ("/usr/local/opt", "postgresql@", "bin"),    // macOS on Intel
    ("/usr", "pgsql-", "bin"),                   // Red Hat
    ("/usr/lib", "postgresql", "bin"),           // SUSE
    ("/usr/libexec", "postgresql", ""),          // Alpine
];

/// Where to look for PostgreSQL when `--pg-bin` does not say.
#[derive(Clone, Debug)]
pub struct Search {
    /// The folder that `SYMBOLON_PG_BIN` names.
    pub named: Option<PathBuf>,
    /// The value of `PATH`; the usual one if nothing.
    pub path: Option<OsString>,
    /// Whether to look where distributions put PostgreSQL.
    pub usual_places: bool,
}

impl Search {
    /// The whole machine.
    #[must_use]
    pub fn machine() -> Self {
        Self { named: None, path: None, usual_places: true }
    }

    /// Nowhere: only `--pg-bin` counts.
    #[must_use]
    pub fn nowhere() -> Self {
        Self { named: None, path: Some(OsString::new()), usual_places: false }
    }

    fn dirs(&self) -> Vec<PathBuf> {
        let path: Vec<_> = std::env::split_paths(self.path.as_deref().unwrap_or(OsStr::new(DEFAULT_PATH)))
            .filter(|dir| dir.is_absolute()) // an empty entry means the current folder, which anyone may have filled
            .collect();
        let mut dirs = Vec::new();
        if self.usual_places {
            dirs.extend(versions("/usr/lib/postgresql", "", "bin"));
        }
        dirs.extend(path.iter().cloned());
        dirs.extend(path.iter().filter_map(|dir| pg_config_bindir(dir)));
        if self.usual_places {
            dirs.extend(VERSIONED.iter().flat_map(|(parent, prefix, suffix)| versions(parent, prefix, suffix)));
        }
        dirs
    }
}

/// A folder with a working `initdb` and `postgres`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binaries {
    pub dir: PathBuf,
    pub major: u32,
}

impl Binaries {
    pub(super) fn initdb(&self) -> PathBuf {
        self.dir.join("initdb")
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.dir.join("postgres")
    }

    /// What to run: `asked` (`--pg-bin`), else the first find that fits `data`, the folder and version of data already
    /// there.
    pub(super) fn find(asked: Option<&Path>, search: &Search, data: Option<(&Path, u32)>) -> Result<Self, Error> {
        if let Some(dir) = asked {
            return choose([Self::in_named_dir(dir, "--pg-bin")?], data);
        }
        let named = match &search.named {
            Some(dir) => Some(Self::in_named_dir(dir, "SYMBOLON_PG_BIN")?),
            None => None,
        };
        choose(named.into_iter().chain(search.dirs().iter().filter_map(|dir| Self::in_dir(dir).ok())), data)
    }

    fn in_named_dir(dir: &Path, source_name: &'static str) -> Result<Self, Error> {
        Self::in_dir(dir).map_err(|reason| Error::BadBinaries { dir: dir.to_owned(), source_name, reason })
    }

    fn in_dir(dir: &Path) -> Result<Self, String> {
        // Absolute, for the server's working folder is another; the link itself may be the only stable name (Homebrew).
        let dir = std::path::absolute(dir).map_err(|error| error.to_string())?;
        let found = Self { major: 0, dir };
        for program in [found.initdb(), found.postgres()] {
            let runnable =
                fs::metadata(&program).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
            if !runnable {
                return Err(format!("there is no program {}", program.display()));
            }
        }
        let version = output(&found.postgres(), "--version")?;
        let version = String::from_utf8_lossy(&version);
        let major = major_of(&version).ok_or_else(|| format!("its version is not understood: {}", version.trim()))?;
        Ok(Self { major, ..found })
    }
}

fn choose(finds: impl IntoIterator<Item = Binaries>, data: Option<(&Path, u32)>) -> Result<Binaries, Error> {
    let mut others: Vec<Binaries> = Vec::new();
    for find in finds {
        if find.major >= OLDEST_MAJOR && data.is_none_or(|(_, major)| major == find.major) {
            return Ok(find);
        }
        if others.iter().all(|other| other.major != find.major) {
            others.push(find);
        }
    }
    let list: Vec<_> = others.iter().map(|other| format!("{} in {}", other.major, other.dir.display())).collect();
    let found = if list.is_empty() { "none".to_owned() } else { list.join(", ") };
    Err(match data {
        Some((cluster, major)) => Error::OtherMajor { cluster: cluster.to_owned(), major, found },
        None if others.is_empty() => Error::NotFound,
        None => Error::TooOld { found },
    })
}

/// The sub-folders of `parent` whose name is `prefix` and a version, newest first.
fn versions(parent: &str, prefix: &str, suffix: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = number(entry.file_name().to_str()?.strip_prefix(prefix)?)?;
            Some((version, entry.path().join(suffix)))
        })
        .collect();
    found.sort_by(|one, other| other.cmp(one));
    found.into_iter().map(|(_, dir)| dir).collect()
}

fn pg_config_bindir(dir: &Path) -> Option<PathBuf> {
    let program = dir.join("pg_config");
    let mut told = program.is_file().then(|| output(&program, "--bindir").ok()).flatten()?;
    told.truncate(told.trim_ascii_end().len());
    Some(PathBuf::from(OsString::from_vec(told))).filter(|dir| dir.is_absolute())
}

fn output(program: &Path, argument: &str) -> Result<Vec<u8>, String> {
    let output = Command::new(program)
        .arg(argument)
        .env_clear()
        .env("PATH", DEFAULT_PATH)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{} does not run: {error}", program.display()))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{} does not run: {}", program.display(), said.lines().next().unwrap_or_default()))
    }
}

/// The major version in the answer to `postgres --version`.
fn major_of(version: &str) -> Option<u32> {
    number(version.split_once("(PostgreSQL)")?.1.trim_start())
}

/// The number that `text` begins with.
pub(super) fn number(text: &str) -> Option<u32> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_all_kinds_are_understood() {
        for (text, major) in [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some(15)),
            ("postgres (PostgreSQL) 19devel\n", Some(19)),
            ("postgres (PostgreSQL) 9.6.24\n", Some(9)),
            ("postgres: something else\n", None),
        ] {
            assert_eq!(major_of(text), major, "{text}");
        }
    }

    #[test]
    fn the_version_of_the_data_wins_over_the_newest() {
        let finds = || [18, 16, 13].map(|major| Binaries { dir: format!("/{major}").into(), major });
        let data = Path::new("/data");
        assert_eq!(choose(finds(), None).unwrap().major, 18);
        assert_eq!(choose(finds(), Some((data, 16))).unwrap().major, 16);
        let refused = choose(finds(), Some((data, 17))).unwrap_err().to_string();
        assert!(refused.contains("PostgreSQL 17") && refused.contains("18 in /18, 16 in /16"), "{refused}");
        let old = choose([Binaries { dir: "/13".into(), major: 13 }], None).unwrap_err().to_string();
        assert!(old.contains("15 or newer") && old.contains("13 in /13"), "{old}");
    }
}
