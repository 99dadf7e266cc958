//! The sweep of deleted pools: nothing is left, nothing else is touched, and none is finished too early.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _};
use symbolon::pools::Pool;
use symbolon::pools::sweep::{Swept, sweep};
use symbolon::retry;

use crate::harness::*;

const FENCE: Duration = Duration::from_mins(1);

/// Fills a pool with so many users, and half as many imported guests.
async fn fill(conn: &mut PgConnection, pool: &Pool, users: i32) {
    let fill = "with made as (insert into identities (route, identity_id)
                select ($1::int4[])[1 + n % array_length($1, 1)], gen_random_uuid() from generate_series(1, $2) n
                returning route, identity_id)
                insert into logins (route, provider_no, subject_key, identity_id)
                select route, 1, uuid_send(identity_id), identity_id from made";
    sqlx::query(fill).bind(pool.routes()).bind(users).execute(&mut *conn).await.unwrap();
    let import = "with made as (insert into identities (route, identity_id)
                  select ($1::int4[])[1 + n % array_length($1, 1)], gen_random_uuid() from generate_series(1, $2) n
                  returning route, identity_id)
                  insert into identity_routes select identity_id, route from made";
    sqlx::query(import).bind(pool.routes()).bind(users / 2).execute(conn).await.unwrap();
}

/// Deletes a pool as if that had been so many seconds ago.
async fn delete(conn: &mut PgConnection, pool: &Pool, ago: f64) {
    pool.clone().delete(conn).await.unwrap();
    date(conn, pool, ago).await;
}

/// Moves the deletion of a pool to so many seconds ago.
async fn date(conn: &mut PgConnection, pool: &Pool, ago: f64) {
    let date =
        "update identity_pools set deleted_at = clock_timestamp() - make_interval(secs => $2) where pool_no = $1";
    sqlx::query(date).bind(pool.no).bind(ago).execute(conn).await.unwrap();
}

async fn finished(conn: &mut PgConnection) -> i64 {
    count(conn, "select count(*) from identity_pools where swept_at is not null").await
}

const HOUR: f64 = 3600.0;

#[tokio::test]
async fn a_deleted_pool_is_emptied_and_only_then_finished() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    for pool in both_pools(&mut conn).await {
        fill(&mut conn, &pool, 10).await;
    }
    let live = people(&mut conn).await;
    let pools = both_pools(&mut conn).await;
    for pool in &pools {
        fill(&mut conn, pool, 2500).await;
        delete(&mut conn, pool, HOUR).await;
    }
    let swept = sweep(&mut conn, FENCE).await.unwrap();
    assert_eq!(swept, Swept { rows: 2 * (2500 + 2500 + 1250), finished: 0, waiting: 2 });
    assert_eq!(people(&mut conn).await, live, "what is in live pools stays");
    assert_eq!(finished(&mut conn).await, 0, "this sweep found something");

    let before = epoch(&mut conn).await;
    assert_eq!(sweep(&mut conn, FENCE).await.unwrap(), Swept { rows: 0, finished: 2, waiting: 0 });
    assert_eq!(finished(&mut conn).await, 2);
    assert!(epoch(&mut conn).await > before);
    assert_eq!(sweep(&mut conn, FENCE).await.unwrap(), Swept::default(), "there is nothing to do any more");
    assert_eq!(people(&mut conn).await, live);
}

#[tokio::test]
async fn the_numbers_of_a_swept_pool_stay_taken() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let pool = pool(&mut conn).await;
    delete(&mut conn, &pool, HOUR).await;
    sweep(&mut conn, FENCE).await.unwrap();
    assert_eq!(finished(&mut conn).await, 1);
    assert_eq!(count(&mut conn, "select count(*) from pool_providers").await, 1);
}

#[tokio::test]
async fn a_pool_is_not_finished_while_a_replica_may_remember_it() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let pool = pool(&mut conn).await;
    new_user(&mut conn, &pool, "a").await;
    for (ago, finished) in [(0.0, 0), (60.0, 0), (74.0, 0), (76.0, 1)] {
        delete(&mut conn, &pool, ago).await;
        // A user that a replica makes, which has not heard of the deletion, is found by the next sweep.
        new_user(&mut conn, &pool, &ago.to_string()).await;
        assert!(sweep(&mut conn, FENCE).await.unwrap().rows >= 2);
        // That may have taken a second.
        date(&mut conn, &pool, ago).await;
        let swept = sweep(&mut conn, FENCE).await.unwrap();
        assert_eq!(swept, Swept { rows: 0, finished, waiting: 1 - finished }, "{ago} s after the deletion");
    }
}

#[tokio::test]
async fn a_pool_is_not_finished_while_an_older_transaction_is_open() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let pool = pool(&mut conn).await;
    let mut late = db.conn().await;
    let mut writer = late.begin().await.unwrap();
    writer.execute("select 1").await.unwrap();
    delete(&mut conn, &pool, 15.0).await; // without a fence it would be finished at once
    let wait = Swept { rows: 0, finished: 0, waiting: 1 };
    assert_eq!(sweep(&mut conn, Duration::ZERO).await.unwrap(), wait);
    new_user(&mut writer, &pool, "late").await;
    assert_eq!(sweep(&mut conn, Duration::ZERO).await.unwrap(), wait);
    writer.commit().await.unwrap();
    assert_eq!(sweep(&mut conn, Duration::ZERO).await.unwrap(), Swept { rows: 2, ..wait });
    assert_eq!(sweep(&mut conn, Duration::ZERO).await.unwrap().finished, 1);
    assert!(people(&mut conn).await.is_empty());
}

#[tokio::test]
async fn a_younger_transaction_holds_nothing_up() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let pool = pool(&mut conn).await;
    delete(&mut conn, &pool, HOUR).await;
    let mut other = db.conn().await;
    let mut reader = other.begin().await.unwrap();
    reader.execute("select 1").await.unwrap();
    assert_eq!(sweep(&mut conn, FENCE).await.unwrap().finished, 1);
}

#[tokio::test]
async fn a_session_that_the_role_cannot_look_into_counts_as_open() {
    let db = fresh_db().await;
    let mut conn = db.conn().await;
    let pool = pool(&mut conn).await;
    let grants = "create role sweeper login; grant all on all tables in schema public to sweeper";
    sqlx::raw_sql(grants).execute(&mut *conn).await.unwrap();
    delete(&mut conn, &pool, HOUR).await;
    let mut sweeper = PgConnection::connect_with(&db.options().username("sweeper")).await.unwrap();
    let wait = Swept { rows: 0, finished: 0, waiting: 1 };
    assert_eq!(sweep(&mut sweeper, FENCE).await.unwrap(), wait);
    conn.execute("grant pg_read_all_stats to sweeper").await.unwrap();
    assert_eq!(sweep(&mut sweeper, FENCE).await.unwrap(), Swept { finished: 1, waiting: 0, ..wait });
    sweeper.close().await.unwrap();
    sqlx::raw_sql("drop owned by sweeper; drop role sweeper").execute(&mut *conn).await.unwrap();
}

#[tokio::test]
async fn sweepers_at_once_do_no_harm() {
    let db = Arc::new(busy_db(5).await);
    let mut conn = db.conn().await;
    let pools = both_pools(&mut conn).await;
    for pool in &pools {
        fill(&mut conn, pool, 3000).await;
        delete(&mut conn, pool, HOUR).await;
    }
    let sweeper = || {
        let db = Arc::clone(&db);
        async move { retry!(db.db, |conn| { sweep(conn, FENCE).await }).unwrap() }
    };
    let swept = together((0..4).map(|_| sweeper()).collect()).await;
    let rows: u64 = swept.iter().map(|swept| swept.rows).sum();
    assert!(rows <= 2 * (3000 + 3000 + 1500), "counted twice: {swept:?}");
    assert!(people(&mut conn).await.is_empty());
    together((0..4).map(|_| sweeper()).collect()).await;
    assert_eq!(finished(&mut conn).await, 2);
}
