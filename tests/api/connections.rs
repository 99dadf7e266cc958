//! The connections that are kept: each thread has its own, and takes another's rather than none.

use std::sync::Arc;

use symbolon::db::{Conn, Db};

use crate::harness::fresh_db;

/// The server's process behind the connection that a thread is given.
async fn backend(db: &Db) -> i32 {
    let mut conn = db.acquire().await.unwrap();
    let backend = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut *conn).await.unwrap();
    conn.give_back();
    backend
}

/// The same on a thread with a runtime of its own.
async fn elsewhere(db: &Arc<Db>) -> i32 {
    let db = Arc::clone(db);
    let asked = tokio::task::spawn_blocking(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(backend(&db))
    });
    asked.await.unwrap()
}

#[tokio::test]
async fn a_thread_has_a_connection_of_its_own() {
    let made = fresh_db().await;
    // While one is made for long, one of another thread may be taken in its place.
    let mut tries = 0;
    let (db, here) = loop {
        let db = Arc::new(made.another_pool());
        let here = backend(&db).await;
        if elsewhere(&db).await != here {
            break (db, here);
        }
        tries += 1;
        assert!(tries < 20, "it is always that of another thread");
    };
    assert_eq!(backend(&db).await, here, "one that is there is used again");
}

#[tokio::test]
async fn there_are_never_more_connections_than_may_be_however_many_threads_ask() {
    let made = fresh_db().await;
    let db = Arc::new(made.another_pool());
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(db.acquire().await.unwrap());
    }
    all.into_iter().for_each(Conn::give_back);
    assert_eq!(db.connections(), (0, 4));
    elsewhere(&db).await;
    assert_eq!(db.connections(), (0, 4), "another thread is given one of these");
}

#[tokio::test]
async fn where_no_connection_can_be_made_one_of_another_thread_serves() {
    let made = fresh_db().await;
    let db = Arc::new(made.another_pool());
    let here = backend(&db).await;
    made.admit_connections(false).await;
    assert_eq!(elsewhere(&db).await, here);
    made.admit_connections(true).await;
}
