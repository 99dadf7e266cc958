//! Migrating: once, whoever else does it, and not beyond what this binary knows.

use symbolon::db::{Schema, migrate, migrations, schema};

use crate::harness::*;

#[tokio::test]
async fn four_migrators_at_once_migrate_exactly_once() {
    for _ in 0..5 {
        let empty = empty_db().await;
        let known = migrations(&mut *empty.conn().await).await.unwrap().len();
        let (a, b, c, d) = tokio::join!(migrate(&empty.db), migrate(&empty.db), migrate(&empty.db), migrate(&empty.db));
        let done = [a, b, c, d].map(Result::unwrap);
        assert_eq!(done.iter().sum::<usize>(), known, "{done:?}");
        assert_eq!(done.iter().filter(|done| **done > 0).count(), 1, "{done:?}");
        let mut conn = empty.conn().await;
        assert_eq!(schema(&mut conn).await.unwrap(), Schema::Current);
        let applied = count(&mut conn, "select count(*) from _sqlx_migrations where success").await;
        assert_eq!(usize::try_from(applied).unwrap(), known);
    }
}

#[tokio::test]
async fn an_empty_database_lacks_every_migration() {
    let empty = empty_db().await;
    let mut conn = empty.conn().await;
    let states = migrations(&mut conn).await.unwrap();
    assert!(!states.is_empty() && states.iter().all(|state| !state.applied), "{states:?}");
    assert_eq!(schema(&mut conn).await.unwrap(), Schema::Behind { missing: states.len() });
    assert_eq!(migrate(&empty.db).await.unwrap(), states.len());
    assert_eq!(migrate(&empty.db).await.unwrap(), 0, "a second time there is nothing to do");
    assert!(migrations(&mut conn).await.unwrap().iter().all(|state| state.applied));
}

const LATER: &str = "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                     values (99990101000000, 'of a newer binary', true, '\\x00', 0)";

#[tokio::test]
async fn a_schema_of_a_newer_binary_is_accepted() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    sqlx::query(LATER).execute(&mut *conn).await.unwrap();
    assert_eq!(schema(&mut conn).await.unwrap(), Schema::Newer);
    assert_eq!(migrate(&db.db).await.unwrap(), 0);
    let own = concat!("update schema_compat set min_version = '", env!("CARGO_PKG_VERSION"), "'");
    sqlx::query(own).execute(&mut *conn).await.unwrap();
    assert_eq!(schema(&mut conn).await.unwrap(), Schema::Newer);
}

#[tokio::test]
async fn a_schema_that_needs_a_newer_binary_is_too_new() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let too_new = Schema::TooNew { min_version: "99.0.0".into() };
    sqlx::query("update schema_compat set min_version = '99.0.0'").execute(&mut *conn).await.unwrap();
    assert_eq!(schema(&mut conn).await.unwrap(), too_new);
    sqlx::query(LATER).execute(&mut *conn).await.unwrap();
    assert_eq!(schema(&mut conn).await.unwrap(), too_new);
    // Also where the migrations that this binary knows were replaced by others.
    sqlx::query("delete from _sqlx_migrations where version < 99990101000000").execute(&mut *conn).await.unwrap();
    assert_eq!(schema(&mut conn).await.unwrap(), too_new);
}
