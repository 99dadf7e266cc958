//! Migrations: which there are, which the database has, and applying the rest, one migrator at a time.

use sqlx::Connection as _;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnection;

use super::{Db, Tries};
use crate::error::{Error, Result};

/// What the database's schema is to this binary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schema {
    /// Just right.
    Current,
    /// Migrations are missing.
    Behind {
        /// How many.
        missing: usize,
    },
    /// A newer binary migrated it, in a way that this one still works with.
    Newer,
    /// A newer binary migrated it, and this one must not touch it any more.
    TooNew {
        /// The oldest version that may.
        min_version: String,
    },
}

/// One migration and whether it was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationState {
    /// Its number.
    pub version: i64,
    /// What it does.
    pub description: String,
    /// Whether the database has it.
    pub applied: bool,
}

fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!();
    // Not by advisory lock, which poolers and distributed engines do not keep; a row is locked instead. A newer
    // binary's migrations are not this one's business.
    migrator.set_locking(false).set_ignore_missing(true);
    migrator
}

/// The state of each migration that this binary knows.
///
/// # Errors
/// If the database fails.
pub async fn migrations(conn: &mut PgConnection) -> Result<Vec<MigrationState>> {
    let applied = applied(conn).await?;
    Ok(migrator()
        .iter()
        .map(|migration| MigrationState {
            version: migration.version,
            description: migration.description.to_string(),
            applied: applied.contains(&migration.version),
        })
        .collect())
}

/// What the schema found is to this binary.
///
/// # Errors
/// If the database fails.
pub async fn schema(conn: &mut PgConnection) -> Result<Schema> {
    // First, since a newer binary's migrations may have replaced those that this one knows.
    if let Some(min_version) = min_version(conn).await?
        && version_number(&min_version) > version_number(env!("CARGO_PKG_VERSION"))
    {
        return Ok(Schema::TooNew { min_version });
    }
    let applied = applied(conn).await?;
    let migrator = migrator();
    let missing = migrator.iter().filter(|migration| !applied.contains(&migration.version)).count();
    if missing > 0 {
        return Ok(Schema::Behind { missing });
    }
    let known = applied.iter().all(|version| migrator.version_exists(*version));
    Ok(if known { Schema::Current } else { Schema::Newer })
}

async fn min_version(conn: &mut PgConnection) -> Result<Option<String>> {
    let present: bool =
        sqlx::query_scalar("select to_regclass('schema_compat') is not null").fetch_one(&mut *conn).await?;
    if !present {
        return Ok(None);
    }
    Ok(sqlx::query_scalar("select min_version from schema_compat where id = 1").fetch_optional(conn).await?)
}

async fn applied(conn: &mut PgConnection) -> Result<Vec<i64>> {
    let present: bool =
        sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null").fetch_one(&mut *conn).await?;
    if !present {
        return Ok(Vec::new());
    }
    Ok(sqlx::query_scalar("select version from _sqlx_migrations where success order by version")
        .fetch_all(conn)
        .await?)
}

fn version_number(text: &str) -> [u64; 3] {
    let mut parts = text.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
    [parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(0)]
}

/// Applies the missing migrations, one migrator at a time, and returns how many there were.
///
/// # Errors
/// If the database cannot be reached, or a migration fails.
pub async fn migrate(db: &Db) -> Result<usize> {
    let mut locked = db.connect().await?;
    quiet(&mut locked).await?;
    make_lock_tables(&mut locked).await?;
    let mut lock = locked.begin().await?;
    sqlx::query("select id from migration_lock where id = 1 for update").fetch_one(&mut *lock).await?;
    let mut conn = db.connect().await?;
    quiet(&mut conn).await?;
    let missing = migrations(&mut conn).await?.iter().filter(|migration| !migration.applied).count();
    if missing > 0 {
        migrator().run(&mut conn).await.map_err(migration_error)?;
    }
    lock.commit().await?;
    Ok(missing)
}

fn migration_error(error: sqlx::migrate::MigrateError) -> Error {
    match error {
        sqlx::migrate::MigrateError::Execute(error) | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => {
            Error::Database(error)
        }
        error => Error::internal(error),
    }
}

/// Notices of what exists already are no news.
async fn quiet(conn: &mut PgConnection) -> Result<()> {
    sqlx::query("set client_min_messages = 'warning'").execute(conn).await?;
    Ok(())
}

/// The two tables that migrating itself needs. Two migrators may make them at once: `if not exists` then still fails.
async fn make_lock_tables(conn: &mut PgConnection) -> Result<()> {
    for statement in [
        "create table if not exists migration_lock (id int2 not null, constraint migration_lock_pkey primary key (id), \
         constraint migration_lock_single_check check (id = 1))",
        "create table if not exists schema_compat (id int2 not null, min_version text not null, \
         constraint schema_compat_pkey primary key (id), constraint schema_compat_single_check check (id = 1))",
        "insert into migration_lock (id) values (1) on conflict (id) do nothing",
        "insert into schema_compat (id, min_version) values (1, '0.1.0') on conflict (id) do nothing",
    ] {
        let mut tries = Tries::default();
        loop {
            match sqlx::query(statement).execute(&mut *conn).await {
                Ok(_) => break,
                Err(error) if made_meanwhile(&error) && tries.pause().await => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// Found out by the unique index, by the table, or by the type that comes with a table.
fn made_meanwhile(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("23505" | "42P07" | "42710"))
}

#[cfg(test)]
mod tests {
    use super::version_number;

    #[test]
    fn versions_compare_by_number() {
        assert!(version_number("0.10.0") > version_number("0.9.3"));
        assert_eq!(version_number("1.2"), [1, 2, 0]);
    }
}
