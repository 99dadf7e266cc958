//! The sweep of deleted pools: their logins and identities go in the background, in batches.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::Result;
use crate::ids::Route;
use crate::installation;

/// Rows per statement, each statement its own transaction: no row stays locked for long.
const BATCH: i64 = 1000;

/// The longest that a request runs (`server.request_timeout`) after it looked a pool up.
const REQUEST: Duration = Duration::from_secs(15);

/// What one sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Logins and identities deleted.
    pub rows: u64,
    /// Pools found empty for good, not to be swept again.
    pub finished: u64,
    /// Deleted pools that the next sweep has to look at again.
    pub waiting: u64,
}

/// Deletes what is left in deleted pools; `fence` is `keys.sign_fence`, for which a replica trusts what it remembers.
///
/// Any replica may call it at any time, also several at once, on a connection without a transaction. A pool is
/// finished by a sweep that found nothing in it and began when nobody could write to it any more: after the fence and
/// a request's time, every transaction that began earlier having ended. It takes two sweeps at least.
///
/// # Errors
/// If the database fails. Batches done stay done.
pub async fn sweep(conn: &mut PgConnection, fence: Duration) -> Result<Swept> {
    let deleted = sqlx::query!(
        r#"select pool_no, spread, deleted_at + make_interval(secs => $1) as "quiet_from!" from identity_pools
           where deleted_at is not null and swept_at is null order by pool_no"#,
        (fence + REQUEST).as_secs_f64()
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut swept = Swept::default();
    if deleted.is_empty() {
        return Ok(swept);
    }
    // Before any row is looked for: what ended before this moment is seen by the statements below.
    let settled = settled_until(conn).await?;
    for pool in deleted {
        let mut found = 0;
        for sub in 0..i32::from(pool.spread) {
            let route = Route::new(pool.pool_no, sub);
            found += sweep_logins(conn, route).await? + sweep_identities(conn, route).await?;
        }
        swept.rows += found;
        if found == 0 && settled.is_some_and(|until| pool.quiet_from < until) {
            finish(conn, pool.pool_no).await?;
            swept.finished += 1;
        } else {
            swept.waiting += 1;
        }
    }
    Ok(swept)
}

/// The moment before which no open transaction of this database began; nothing if that cannot be told.
///
/// A role without `pg_read_all_stats` does not see when the sessions of other roles began theirs; such a session counts
/// as open for ever, since a pool finished too early keeps a user that nobody can delete any more. So do prepared
/// transactions. On a distributed engine only this node is asked, and the fence alone covers the others.
async fn settled_until(conn: &mut PgConnection) -> Result<Option<OffsetDateTime>> {
    let open = sqlx::query!(
        r#"select clock_timestamp() as "now!", min(xact_start) as began,
                  coalesce(bool_or(backend_start is null or state = 'disabled'), false)
                  or exists (select from pg_prepared_xacts where database = current_database()) as "hidden!"
           from pg_stat_activity
           where datid = (select oid from pg_database where datname = current_database())
             and pid <> pg_backend_pid() and usesysid is not null"#
    )
    .fetch_one(conn)
    .await?;
    let until = open.began.map_or(open.now, |began| began.min(open.now));
    Ok((!open.hidden).then_some(until))
}

async fn sweep_logins(conn: &mut PgConnection, route: Route) -> Result<u64> {
    let mut deleted = 0;
    loop {
        let batch = sqlx::query!(
            "delete from logins where route = $1 and (provider_no, subject_key) in
               (select provider_no, subject_key from logins where route = $1 order by 1, 2 limit $2)",
            route.0,
            BATCH
        )
        .execute(&mut *conn)
        .await?
        .rows_affected();
        if batch == 0 {
            return Ok(deleted);
        }
        deleted += batch;
    }
}

/// Their routes first: a row of `identity_routes` is found only by its identity.
async fn sweep_identities(conn: &mut PgConnection, route: Route) -> Result<u64> {
    let mut deleted = 0;
    loop {
        let batch: Vec<Uuid> = sqlx::query_scalar!(
            "select identity_id from identities where route = $1 order by identity_id limit $2",
            route.0,
            BATCH
        )
        .fetch_all(&mut *conn)
        .await?;
        if batch.is_empty() {
            return Ok(deleted);
        }
        sqlx::query!("delete from identity_routes where identity_id = any($1) and route = $2", &batch, route.0)
            .execute(&mut *conn)
            .await?;
        deleted += sqlx::query!("delete from identities where route = $1 and identity_id = any($2)", route.0, &batch)
            .execute(&mut *conn)
            .await?
            .rows_affected();
    }
}

async fn finish(conn: &mut PgConnection, pool_no: i32) -> Result<()> {
    let mut tx = sqlx::Connection::begin(conn).await?;
    sqlx::query!(
        "update identity_pools set swept_at = clock_timestamp() where pool_no = $1 and swept_at is null",
        pool_no
    )
    .execute(&mut *tx)
    .await?;
    installation::bump_epoch(&mut tx).await?;
    tx.commit().await?;
    Ok(())
}
