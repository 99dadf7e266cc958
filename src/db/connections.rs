//! The connections that a broker keeps open, each in one hand at a time.
//!
//! Not the pool of sqlx, which asks a connection that comes back whether it lives: that is one more round trip for
//! every request, and it waits for the answer for ever, so that a network that swallows packets costs one connection
//! after the other. Here a connection that was used to the end is at once free for the next, and every wait is bounded.

use std::fmt;
use std::io::ErrorKind;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

/// A connection that was idle for longer is asked whether it lives before it is used.
const TEST_AFTER_IDLE: Duration = Duration::from_secs(5);

/// For so long a connection is waited for that is asked whether it lives; then others are tried beside it.
const TEST_PATIENCE: Duration = Duration::from_millis(500);

/// How often it is looked whether there is another, while a connection is being made.
const LOOK: Duration = Duration::from_millis(100);

/// Connections are closed after so long, and after so long without use.
const MAX_AGE: Duration = Duration::from_mins(30);
const MAX_IDLE: Duration = Duration::from_mins(10);

/// The connections of one broker.
pub(super) struct Connections {
    options: PgConnectOptions,
    settings: String,
    patience: Duration,
    size: u32,
    slots: Arc<Semaphore>,
    parked: Arc<Mutex<Parked>>,
}

/// Those that nobody uses now, the latest used last.
#[derive(Default)]
struct Parked {
    idle: Vec<Idle>,
    broken_at: Option<Instant>,
    /// When one was found to lead to a server that takes no writes.
    misled_at: Option<Instant>,
    closed: bool,
}

struct Idle {
    conn: PgConnection,
    origin: Origin,
    since: Instant,
}

/// When a connection was made, and where: it is the business of that thread's runtime, which has to wake any other that
/// waits for its answers.
#[derive(Clone, Copy)]
struct Origin {
    at: Instant,
    thread: ThreadId,
    /// When it was last found to live, in the beginning or by a test.
    lived: Instant,
}

impl Origin {
    fn here() -> Self {
        let now = Instant::now();
        Self { at: now, thread: thread::current().id(), lived: now }
    }
}

impl Idle {
    fn is_stale(&self) -> bool {
        self.since.elapsed() > MAX_IDLE || self.origin.at.elapsed() > MAX_AGE
    }
}

/// A connection that has not said yet whether it lives: it comes of this, if it does.
type Doubt = BoxFuture<'static, Option<Idle>>;

impl Parked {
    /// The one used last of those made on this thread; any other only if no more may be made.
    fn take(&mut self, may_make_another: bool) -> Option<Idle> {
        let here = thread::current().id();
        match self.idle.iter().rposition(|idle| idle.origin.thread == here) {
            Some(place) => Some(self.idle.remove(place)),
            None if may_make_another => None,
            None => self.idle.pop(),
        }
    }
}

fn lock(parked: &Mutex<Parked>) -> MutexGuard<'_, Parked> {
    parked.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connections {
    /// At most `size` connections, each begun with the statements of `settings`, each waited for no longer than
    /// `patience`.
    pub(super) fn new(options: PgConnectOptions, settings: String, size: u32, patience: Duration) -> Self {
        let slots = Arc::new(Semaphore::new(usize::try_from(size).unwrap_or(Semaphore::MAX_PERMITS)));
        Self { options, settings, patience, size, slots, parked: Arc::default() }
    }

    /// As (in use, idle).
    pub(super) fn count(&self) -> (u32, u32) {
        let free = u32::try_from(self.slots.available_permits()).unwrap_or(u32::MAX);
        let idle = u32::try_from(lock(&self.parked).idle.len()).unwrap_or(u32::MAX);
        (self.size.saturating_sub(free), idle)
    }

    /// A living connection.
    pub(super) async fn acquire(&self) -> Result<Conn, sqlx::Error> {
        let mut refusal = None;
        let found = timeout(self.patience, async {
            let slots = Arc::clone(&self.slots);
            let slot = slots.acquire_owned().await.map_err(|_| sqlx::Error::PoolClosed)?;
            let mut doubts = Vec::new();
            let (conn, origin) = if let Some(idle) = self.living(false, &mut doubts).await {
                (idle.conn, idle.origin)
            } else {
                tokio::select! {
                    biased;
                    idle = self.spare(doubts) => (idle.conn, idle.origin),
                    made = self.connect(&mut refusal) => made?,
                }
            };
            Ok(Conn { inner: Some(conn), origin, parked: Arc::clone(&self.parked), slot: Some(slot) })
        });
        found.await.unwrap_or_else(|_| Err(refusal.unwrap_or(sqlx::Error::PoolTimedOut)))
    }

    /// An idle connection, asked whether it lives where that is in doubt; those that do not say so soon are left in `doubts`.
    /// With `any`, also one of another thread, though one could be made.
    async fn living(&self, any: bool, doubts: &mut Vec<Doubt>) -> Option<Idle> {
        loop {
            let (idle, suspect) = {
                let mut parked = lock(&self.parked);
                // Whoever asks has a slot already: with one more there are as many as idle ones and taken slots.
                let may_make_another = !any && self.slots.available_permits() >= parked.idle.len();
                let idle = parked.take(may_make_another)?;
                // After one connection broke, those made before are likely to be dead too.
                let suspect = parked.broken_at.is_some_and(|broken| broken >= idle.origin.lived);
                (idle, suspect)
            };
            let doubtful = suspect || idle.since.elapsed() > TEST_AFTER_IDLE;
            if idle.is_stale() {
                continue;
            }
            if !doubtful {
                return Some(idle);
            }
            let mut asked: Doubt = Box::pin(tested(idle));
            match timeout(TEST_PATIENCE, &mut asked).await {
                Ok(Some(idle)) => return Some(idle),
                Ok(None) => (),
                Err(_) => doubts.push(asked),
            }
        }
    }

    /// Any that is there already, or given back meanwhile, or says now that it lives: while a new one is being made, which
    /// where the database is slow takes several times as long as an answer, and longer than anybody waits.
    async fn spare(&self, doubts: Vec<Doubt>) -> Idle {
        let mut doubts: FuturesUnordered<_> = doubts.into_iter().collect();
        loop {
            tokio::select! {
                biased;
                Some(Some(idle)) = doubts.next() => return idle,
                () = sleep(LOOK) => {
                    let mut more = Vec::new();
                    if let Some(idle) = self.living(true, &mut more).await {
                        return idle;
                    }
                    doubts.extend(more);
                }
            }
        }
    }

    /// A new connection, or one of another thread if none can be made. A server that is only starting, or full, is waited
    /// for, and its last `refusal` kept.
    async fn connect(&self, refusal: &mut Option<sqlx::Error>) -> Result<(PgConnection, Origin), sqlx::Error> {
        let mut pause = Duration::from_millis(10);
        loop {
            match self.options.connect().await {
                Ok(mut conn) => {
                    sqlx::raw_sql(sqlx::AssertSqlSafe(self.settings.as_str())).execute(&mut conn).await?;
                    return Ok((conn, Origin::here()));
                }
                Err(error) => match self.living(true, &mut Vec::new()).await {
                    Some(idle) => return Ok((idle.conn, idle.origin)),
                    None if is_starting(&error) => *refusal = Some(error),
                    None => return Err(error),
                },
            }
            sleep(pause).await;
            pause *= 2;
        }
    }

    /// Closes what is idle, and lets nobody have a connection any more.
    pub(super) async fn close(&self) {
        self.slots.close();
        let idle = {
            let mut parked = lock(&self.parked);
            parked.closed = true;
            std::mem::take(&mut parked.idle)
        };
        for idle in idle {
            let _ = timeout(TEST_PATIENCE, idle.conn.close()).await;
        }
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("size", &self.size).finish_non_exhaustive()
    }
}

fn is_starting(error: &sqlx::Error) -> bool {
    match error {
        // The latter is what a socket in the file system says whose queue is full (unix(7), EAGAIN).
        sqlx::Error::Io(error) => matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::WouldBlock),
        sqlx::Error::Database(error) => matches!(error.code().as_deref(), Some("57P03" | "53300")),
        _ => false,
    }
}

/// The connection, if it lives.
async fn tested(mut idle: Idle) -> Option<Idle> {
    idle.conn.ping().await.ok()?;
    idle.origin.lived = Instant::now();
    Some(idle)
}

/// Whether the server answers soon, once whatever was under way is done and a transaction left open is rolled back.
async fn lives(conn: &mut PgConnection) -> bool {
    matches!(timeout(TEST_PATIENCE, conn.ping()).await, Ok(Ok(())))
}

/// A connection in use. Dropped in the middle of something, it is put in order in the background, or closed.
pub struct Conn {
    /// Taken only at the end.
    inner: Option<PgConnection>,
    origin: Origin,
    parked: Arc<Mutex<Parked>>,
    slot: Option<OwnedSemaphorePermit>,
}

impl Conn {
    /// Gives the connection back after its last statement was answered; in the background, if a transaction was left
    /// that is to be rolled back first.
    pub fn give_back(mut self) {
        if self.inner.as_ref().is_some_and(|conn| !conn.should_flush())
            && let Some(conn) = self.inner.take()
        {
            put(&self.parked, conn, self.origin);
        }
    }

    /// Gives a connection up that broke, and has those tested that were made before now.
    pub fn give_up(mut self) {
        self.inner = None;
        lock(&self.parked).broken_at = Some(Instant::now());
    }

    /// Gives a connection up that leads to a server that takes no writes: a standby, which was the primary until now, or was
    /// taken for it. No test tells it from the primary, so those that were made before now are given up, too.
    pub fn give_up_all(mut self) {
        self.inner = None;
        let mut parked = lock(&self.parked);
        parked.misled_at = Some(Instant::now());
        parked.idle.clear();
    }
}

fn put(parked: &Mutex<Parked>, conn: PgConnection, origin: Origin) {
    let mut parked = lock(parked);
    if parked.closed || parked.misled_at.is_some_and(|misled| misled >= origin.at) {
        return;
    }
    parked.idle.push(Idle { conn, origin, since: Instant::now() });
    // The least used lie at the bottom.
    while parked.idle.first().is_some_and(Idle::is_stale) {
        parked.idle.remove(0);
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        let (Some(mut conn), Some(slot)) = (self.inner.take(), self.slot.take()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (parked, origin) = (Arc::clone(&self.parked), self.origin);
        runtime.spawn(async move {
            if lives(&mut conn).await {
                put(&parked, conn, origin);
            } else {
                lock(&parked).broken_at = Some(Instant::now());
            }
            drop(slot);
        });
    }
}

impl Deref for Conn {
    type Target = PgConnection;

    #[expect(clippy::expect_used, reason = "it is there until the end")]
    fn deref(&self) -> &PgConnection {
        self.inner.as_ref().expect("a connection in use")
    }
}

impl DerefMut for Conn {
    #[expect(clippy::expect_used, reason = "it is there until the end")]
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.inner.as_mut().expect("a connection in use")
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    #[test]
    fn who_is_not_there_yet_or_full_is_waited_for_and_nobody_else() {
        let of_system = |errno: Errno| sqlx::Error::Io(errno.into());
        assert!(is_starting(&of_system(Errno::EAGAIN)));
        assert!(is_starting(&of_system(Errno::ECONNREFUSED)));
        assert!(!is_starting(&of_system(Errno::ECONNRESET)));
        assert!(!is_starting(&sqlx::Error::WorkerCrashed));
    }
}
