//! The files of a dev data folder: the env file, the effective configuration and the master key.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::{DEV_ACCESS_KEY, DEV_SECRET, Failure};
use crate::config::Config;
use crate::seal::Seal;

/// A data folder, which only its owner can list.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    given: PathBuf,
}

impl Folder {
    /// Opens the folder, made if it does not exist.
    pub(super) fn open(given: &Path) -> Result<Self, Failure> {
        let refuse = |error: std::io::Error| {
            Failure::plain(format!(
                "cannot use the data folder {}: {error}; choose another with --data-dir",
                given.display()
            ))
        };
        // Root's is passed through by the user whom PostgreSQL runs as; what is secret in it has a mode of its own.
        let mode = if nix::unistd::Uid::effective().is_root() { 0o711 } else { 0o700 };
        fs::DirBuilder::new().recursive(true).mode(mode).create(given).map_err(refuse)?;
        Ok(Self { path: given.canonicalize().map_err(refuse)?, given: given.to_owned() })
    }

    /// Removes the env file of an earlier run, which may name another port: whoever waits for the file waits for ours.
    pub(super) fn forget_env(&self) {
        let _ = fs::remove_file(self.path.join("env"));
    }

    /// Removes the files that belong to a database which is gone.
    pub(super) fn clear(&self) {
        for name in ["env", "symbolon.toml", "master.key"] {
            let _ = fs::remove_file(self.path.join(name));
        }
    }

    /// A file of the folder as the user named it.
    pub(super) fn shown(&self, file: &str) -> String {
        let path = if file.is_empty() { self.given.clone() } else { self.given.join(file) };
        // `. name` looks a bare name up in PATH.
        let relative = path.is_relative() && !path.starts_with("./") && !path.starts_with("..");
        quoted(&if relative { Path::new(".").join(path) } else { path }.display().to_string())
    }

    /// The file of the master key, made if there is none.
    pub(super) fn master_key_file(&self) -> Result<PathBuf, Failure> {
        let path = self.path.join("master.key");
        if !path.exists() {
            let key = Seal::generate()?;
            self.write("master.key", &format!("{}\n", key.as_str()))?;
        }
        Ok(path)
    }

    /// Writes every effective setting, for other commands and for a second broker.
    pub(super) fn write_config(&self, config: &Config) -> Result<(), Failure> {
        let settings = config.effective_toml().map_err(|error| Failure::plain(error.to_string()))?;
        let text = format!("# Written by `symbolon dev` at every start; changes are lost.\n{settings}");
        self.write("symbolon.toml", &text)
    }

    /// Writes the env file: with it alone every AWS SDK, and every `symbolon` command, works on this broker.
    pub(super) fn write_env(&self, endpoint: &str, database_url: &str, config: &Config) -> Result<(), Failure> {
        let region = config.default_region().map(|region| region.to_string()).unwrap_or_default();
        let settings = self.path.join("symbolon.toml").display().to_string();
        let variables = [
            ("AWS_ENDPOINT_URL_COGNITO_IDENTITY", endpoint),
            ("AWS_ENDPOINT_URL_STS", endpoint),
            ("AWS_ENDPOINT_URL_IAM", endpoint),
            ("AWS_ACCESS_KEY_ID", DEV_ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", DEV_SECRET),
            // The command line reads the first, some SDKs only the second.
            ("AWS_DEFAULT_REGION", &region),
            ("AWS_REGION", &region),
            ("DATABASE_URL", database_url),
            ("SYMBOLON_CONFIG", &settings),
        ];
        let mut text =
            "# Written by `symbolon dev` at every start. Read it into a shell with `. FOLDER/env`.\n".to_owned();
        for (name, value) in variables {
            let _ = writeln!(text, "export {name}={}", quoted(value));
        }
        // Left over from another account, these would override or spoil the credentials above.
        text.push_str("unset AWS_SESSION_TOKEN AWS_PROFILE\n");
        self.write("env", &text)
    }

    /// Writes a file whole or not at all, for the owner's eyes only.
    fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let (path, draft) = (self.path.join(name), self.path.join(format!("{name}.new")));
        let written =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft).and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()?;
                fs::rename(&draft, &path)
            });
        written.map_err(|error| Failure::plain(format!("cannot write {}: {error}", path.display())))
    }
}

/// A word that the shell takes as it is.
fn quoted(text: &str) -> String {
    let plain =
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._/:@%+=,-".contains(&byte));
    if plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn values_reach_the_shell_unchanged() {
        assert_eq!(quoted("http://127.0.0.1:4600"), "http://127.0.0.1:4600");
        assert_eq!(quoted("postgres://a@b/c?d=e&f=g"), "'postgres://a@b/c?d=e&f=g'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }
}
