//! Time, in one place: the wall clock and a suspend-aware monotonic clock, both replaceable in tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// The two clocks the broker reads. Only this type may ask the operating system for the time (`clippy.toml`).
#[derive(Clone, Debug)]
pub enum Clock {
    /// The operating system's clocks.
    System,
    /// A clock that stands still until a test moves it.
    Fixed(Arc<FixedClock>),
}

/// The hands of [`Clock::Fixed`].
#[derive(Debug)]
pub struct FixedClock {
    wall_micros: AtomicI64,
    elapsed_micros: AtomicI64,
}

impl Clock {
    /// A fixed clock that starts at `wall`.
    #[must_use]
    pub fn fixed(wall: OffsetDateTime) -> (Self, Arc<FixedClock>) {
        let hands =
            Arc::new(FixedClock { wall_micros: AtomicI64::new(micros(wall)), elapsed_micros: AtomicI64::new(0) });
        (Self::Fixed(Arc::clone(&hands)), hands)
    }

    /// The machine's idea of the date. Used for SigV4 skew, for the times of login
    /// tokens, and to compare with the database; never to date a token.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's date")]
    pub fn wall(&self) -> OffsetDateTime {
        match self {
            Self::System => OffsetDateTime::now_utc(),
            Self::Fixed(hands) => from_micros(hands.wall_micros.load(Ordering::SeqCst)),
        }
    }

    /// Time since an arbitrary start that never runs backwards and goes on while the machine sleeps.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        match self {
            Self::System => boottime(),
            Self::Fixed(hands) => {
                Duration::from_micros(u64::try_from(hands.elapsed_micros.load(Ordering::SeqCst)).unwrap_or(0))
            }
        }
    }
}

/// The time in a text of RFC 3339, in UTC. Nothing for one that UTC has no year for: a zone can push the last hours of the
/// year 9999 over the end of the calendar, and who then asks for the time in UTC panics.
#[must_use]
pub fn parse(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()?.checked_to_offset(UtcOffset::UTC)
}

impl FixedClock {
    /// Lets `by` pass on both clocks.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.wall_micros.fetch_add(by, Ordering::SeqCst);
        self.elapsed_micros.fetch_add(by, Ordering::SeqCst);
    }

    /// Sets the wall clock alone, as an administrator or NTP would.
    pub fn set_wall(&self, wall: OffsetDateTime) {
        self.wall_micros.store(micros(wall), Ordering::SeqCst);
    }
}

fn micros(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX)
}

fn from_micros(micros: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn boottime() -> Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn boottime() -> Duration {
    // Elsewhere CLOCK_MONOTONIC is what goes on during sleep (macOS) or the best there is.
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}
