//! What commands work with: the configuration, an open database of the right schema, the master keys.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use secrecy::ExposeSecret as _;
use sqlx::postgres::PgConnection;

use super::Failure;
use crate::config::{Config, Environment, SealSource, Sources};
use crate::db::{self, Db, Schema};
use crate::error::database_text;
use crate::installation::{self, SealState};
use crate::seal::Seal;

/// Where a command finds its configuration.
#[derive(Debug)]
pub struct Session {
    file: Option<PathBuf>,
    environment: Environment,
}

impl Session {
    /// A session with this file and environment.
    #[must_use]
    pub fn new(file: Option<PathBuf>, environment: Environment) -> Self {
        Self { file, environment }
    }

    /// The sources of its configuration.
    #[must_use]
    pub fn sources(&self) -> Sources<'static> {
        Sources { file: self.file.clone(), env: self.environment.clone(), ..Sources::default() }
    }

    /// The configuration, without the rules that only a running broker must meet.
    ///
    /// # Errors
    /// Every problem found.
    pub fn config(&self) -> Result<Config, Failure> {
        Ok(Config::read(&self.sources())?)
    }

    /// The database and a connection to it, whatever its schema.
    ///
    /// # Errors
    /// If no database is configured, or it cannot be reached.
    pub async fn database(&self) -> Result<(Config, Db, PgConnection), Failure> {
        let config = self.config()?;
        let db = open(&config)?;
        let conn = db.connect().await.map_err(|error| unreachable_database(&error))?;
        Ok((config, db, conn))
    }

    /// The database and a connection to it, if its schema is right.
    ///
    /// # Errors
    /// As [`Session::database`]; or if migrations are missing, or a newer version took the database over.
    pub async fn migrated(&self) -> Result<(Config, Db, PgConnection), Failure> {
        let (config, db, mut conn) = self.database().await?;
        check_schema(&db::schema(&mut conn).await?)?;
        Ok((config, db, conn))
    }

    /// The database, a connection to it, and master keys that open what it holds: for commands that read or write
    /// secrets.
    ///
    /// # Errors
    /// As [`Session::migrated`]; or if master keys are missing or wrong.
    pub async fn unsealed(&self) -> Result<(Config, Db, PgConnection, Seal), Failure> {
        let (config, db, mut conn) = self.migrated().await?;
        let seal = unseal(&config, &mut conn).await?;
        Ok((config, db, conn, seal))
    }
}

/// The configured master keys, if they open what the database holds.
///
/// # Errors
/// If master keys are missing or wrong.
pub async fn unseal(config: &Config, conn: &mut PgConnection) -> Result<Seal, Failure> {
    let seal = load_master_keys(&config.seal)?;
    match installation::unseal(conn, &seal).await? {
        SealState::Unsealed => Ok(seal),
        SealState::Sealed(missing) => Err(sealed(&missing)),
    }
}

/// The configured database, not connected yet.
///
/// # Errors
/// If none is configured, or its address is none.
pub fn open(config: &Config) -> Result<Db, Failure> {
    let url = config.database.url.expose_secret();
    if url.is_empty() {
        return Err(Failure::configuration(
            "no database is configured; set DATABASE_URL, or database.url, to postgres://user:password@host/database",
        ));
    }
    // The driver takes any scheme. The address is not shown, since it may hold a password.
    let refuse = |why: &str| {
        Failure::configuration(format!(
            "database.url is not an address of the form postgres://user:password@host/database: {why}"
        ))
    };
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(refuse("it must begin with postgres://"));
    }
    Db::new(&config.database).map_err(|error| refuse(&error.to_string()))
}

/// A database that does not answer, in one line.
#[must_use]
pub fn unreachable_database(error: &sqlx::Error) -> Failure {
    Failure::new(
        4,
        format!(
            "cannot connect to the database: {}; check DATABASE_URL and that the server runs",
            database_text(error)
        ),
    )
}

/// Refuses schemas that this binary must not work with.
///
/// # Errors
/// If migrations are missing, or a newer version took the database over.
pub fn check_schema(schema: &Schema) -> Result<(), Failure> {
    match schema {
        Schema::Current | Schema::Newer => Ok(()),
        Schema::Behind { missing } => Err(Failure::new(
            5,
            format!(
                "the database lacks {missing} migration{}; run `symbolon migrate`",
                if *missing == 1 { "" } else { "s" }
            ),
        )),
        Schema::TooNew { min_version } => Err(Failure::new(
            5,
            format!(
                "the database was migrated by a newer release; this is {}, and it needs {min_version} or newer",
                env!("CARGO_PKG_VERSION")
            ),
        )),
    }
}

/// The ring of master keys, from `SYMBOLON_MASTER_KEY` or a file.
///
/// # Errors
/// If none is configured, the file is readable by others, or an entry is no key.
pub fn load_master_keys(source: &SealSource) -> Result<Seal, Failure> {
    let refuse = |why: String| Failure::configuration(why);
    if let Some(text) = &source.master_key {
        return Seal::from_text(text.expose_secret()).map_err(|error| refuse(format!("SYMBOLON_MASTER_KEY: {error}")));
    }
    let path = &source.master_key_file;
    if path.as_os_str().is_empty() {
        return Err(refuse(
            "no master key is configured; make one with `symbolon master-key generate` and hand it over in \
             SYMBOLON_MASTER_KEY or a file named by SYMBOLON_MASTER_KEY_FILE"
                .to_owned(),
        ));
    }
    let shown = path.display();
    let readable = |error: &std::io::Error| refuse(format!("cannot read the master key file {shown}: {error}"));
    let mode = fs::metadata(path).map_err(|error| readable(&error))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(refuse(format!(
            "the master key file {shown} can be read by others (mode {:03o}); run `chmod 600 {shown}`",
            mode & 0o777
        )));
    }
    let text = zeroize::Zeroizing::new(fs::read_to_string(path).map_err(|error| readable(&error))?);
    Seal::from_text(&text).map_err(|error| refuse(format!("{shown}: {error}")))
}

/// Master keys that do not open the database, in one line.
#[must_use]
pub fn sealed(missing: &[String]) -> Failure {
    Failure::configuration(format!(
        "the database is sealed under master key {}, which is not among those given (or has other bytes); nothing was \
         written; add the right key to SYMBOLON_MASTER_KEY or the master key file",
        missing.join(", ")
    ))
}
