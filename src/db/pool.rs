//! The pool of connections. A connection whose work ended well goes back at once, without the round trip that sqlx's
//! own pool spends on each return: the known user's token costs one statement and nothing else.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Error};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// A connection that was idle for longer is asked whether it lives before it is used.
const TEST_AFTER_IDLE: Duration = Duration::from_secs(5);

/// Connections are closed after so long without use.
const MAX_IDLE: Duration = Duration::from_mins(10);

/// And after so long in any case, so that a moved database is found.
const MAX_AGE: Duration = Duration::from_mins(30);

/// How often a server that refuses connections, as one that starts does, is asked again.
const RECONNECT: Duration = Duration::from_millis(50);

/// How long a connection whose work did not end well may take to become usable again.
const RECOVERY: Duration = Duration::from_secs(1);

/// A pool that connects when it is asked.
pub(super) struct Pool {
    shared: Arc<Shared>,
    permits: Arc<Semaphore>,
    size: u32,
    acquire_timeout: Duration,
}

struct Shared {
    options: PgConnectOptions,
    /// Statements for each new connection.
    settings: String,
    idle: Mutex<Vec<Idle>>,
    broken_at: Mutex<Option<Instant>>,
}

struct Idle {
    conn: PgConnection,
    opened: Instant,
    since: Instant,
}

/// A connection on loan. Dropped, it returns to its pool once it has answered a ping; [`Lease::settle`] returns it
/// at once.
pub struct Lease {
    conn: Option<PgConnection>,
    opened: Instant,
    shared: Arc<Shared>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Pool {
    pub(super) fn new(options: PgConnectOptions, settings: String, size: u32, acquire_timeout: Duration) -> Self {
        let shared = Shared { options, settings, idle: Mutex::default(), broken_at: Mutex::default() };
        let permits = Arc::new(Semaphore::new(usize::try_from(size).unwrap_or(Semaphore::MAX_PERMITS)));
        Self { shared: Arc::new(shared), permits, size, acquire_timeout }
    }

    /// A connection: an idle one that is likely to live, or a new one.
    pub(super) async fn acquire(&self) -> Result<Lease, Error> {
        let mut refused = None;
        let acquired = timeout(self.acquire_timeout, async {
            let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Error::PoolClosed)?;
            if let Some((conn, opened)) = self.shared.take_idle().await {
                return Ok(self.lease(conn, opened, permit));
            }
            loop {
                match self.shared.connect().await {
                    Ok(conn) => return Ok(self.lease(conn, Instant::now(), permit)),
                    Err(error) if may_be_starting(&error) => refused = Some(error),
                    Err(error) => return Err(error),
                }
                tokio::time::sleep(RECONNECT).await;
            }
        });
        match acquired.await {
            Ok(result) => result,
            Err(_) => Err(refused.unwrap_or(Error::PoolTimedOut)),
        }
    }

    fn lease(&self, conn: PgConnection, opened: Instant, permit: OwnedSemaphorePermit) -> Lease {
        Lease { conn: Some(conn), opened, shared: Arc::clone(&self.shared), permit: Some(permit) }
    }

    /// Connections as (on loan, idle).
    pub(super) fn connections(&self) -> (u32, u32) {
        let free = u32::try_from(self.permits.available_permits()).unwrap_or(u32::MAX);
        let idle = u32::try_from(lock(&self.shared.idle).len()).unwrap_or(u32::MAX);
        (self.size.saturating_sub(free), idle)
    }

    /// Waits for every loan to end, and closes all connections.
    pub(super) async fn close(&self) {
        let _all = self.permits.acquire_many(self.size).await;
        self.permits.close();
        let idle = std::mem::take(&mut *lock(&self.shared.idle));
        for Idle { conn, .. } in idle {
            let _ = timeout(RECOVERY, conn.close()).await;
        }
    }
}

impl Shared {
    async fn connect(&self) -> Result<PgConnection, Error> {
        let mut conn = self.options.connect().await?;
        sqlx::raw_sql(AssertSqlSafe(self.settings.clone())).execute(&mut conn).await?;
        Ok(conn)
    }

    /// The connection used last that still lives, as far as can be known.
    async fn take_idle(&self) -> Option<(PgConnection, Instant)> {
        loop {
            let Idle { mut conn, opened, since } = lock(&self.idle).pop()?;
            // After one connection broke, those as old as it are likely to be dead too.
            let suspect = lock(&self.broken_at).is_some_and(|broken: Instant| opened <= broken);
            if opened.elapsed() > MAX_AGE {
                continue;
            }
            if !suspect && since.elapsed() <= TEST_AFTER_IDLE || conn.ping().await.is_ok() {
                return Some((conn, opened));
            }
        }
    }

    fn put_idle(&self, conn: PgConnection, opened: Instant) {
        let mut idle = lock(&self.idle);
        idle.push(Idle { conn, opened, since: Instant::now() });
        // The least used lie at the front.
        if idle.first().is_some_and(|first| first.since.elapsed() > MAX_IDLE) {
            idle.remove(0);
        }
    }
}

impl Lease {
    /// Returns the connection, whose work ended well.
    pub fn settle(mut self) {
        let Some(conn) = self.conn.take() else { return };
        // What is yet to be sent is a rollback: then the way of every other return.
        if conn.should_flush() || conn.is_in_transaction() {
            self.conn = Some(conn);
        } else {
            self.shared.put_idle(conn, self.opened);
        }
    }

    /// Closes the connection, which broke.
    pub fn discard(mut self) {
        lock(&self.shared.broken_at).replace(Instant::now());
        self.conn = None;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (Some(mut conn), Some(permit)) = (self.conn.take(), self.permit.take()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (shared, opened) = (Arc::clone(&self.shared), self.opened);
        runtime.spawn(async move {
            // Rolls back what was begun, and reads what was not: else the connection is closed here.
            if matches!(timeout(RECOVERY, conn.ping()).await, Ok(Ok(()))) {
                shared.put_idle(conn, opened);
            }
            drop(permit);
        });
    }
}

impl Deref for Lease {
    type Target = PgConnection;

    #[expect(clippy::expect_used, reason = "only `settle`, `discard` and `drop` take it, and they end the lease")]
    fn deref(&self) -> &PgConnection {
        self.conn.as_ref().expect("a lease holds its connection")
    }
}

impl DerefMut for Lease {
    #[expect(clippy::expect_used, reason = "only `settle`, `discard` and `drop` take it, and they end the lease")]
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.conn.as_mut().expect("a lease holds its connection")
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").finish_non_exhaustive()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("connections", &self.connections()).finish_non_exhaustive()
    }
}

/// Whether a server that does not take the connection may do so in a moment: none listens, or it says that it starts.
fn may_be_starting(error: &Error) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, NotFound};
    match error {
        Error::Io(error) => matches!(error.kind(), ConnectionRefused | NotFound),
        Error::Database(error) => matches!(error.code().as_deref(), Some("57P03" | "53300")),
        _ => false,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
