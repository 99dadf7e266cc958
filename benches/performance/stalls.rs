//! How much of the time a core is taken away from who would use it: what nobody's latency can be free of.

use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

const WATCHED: Duration = Duration::from_secs(1);
/// A shorter one delays few requests, by little.
pub const SHORTEST: Duration = Duration::from_micros(500);

/// Percent of the cores' time that they are at somebody else's work, or at none, for [`SHORTEST`] or longer at once, though
/// a thread of ours would run there. To be asked while there is no load.
pub fn percent() -> f64 {
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let cores = (0..CpuSet::count()).filter(|core| allowed.is_set(*core) == Ok(true));
    let cores: Vec<usize> = cores.collect();
    let watched = WATCHED * u32::try_from(cores.len()).unwrap();
    let lost: Duration = thread::scope(|scope| {
        let watching: Vec<_> = cores.iter().map(|core| scope.spawn(|| watch(*core))).collect();
        watching.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    100.0 * lost.as_secs_f64() / watched.as_secs_f64()
}

fn watch(core: usize) -> Duration {
    let mut only = CpuSet::new();
    only.set(core).unwrap();
    sched_setaffinity(Pid::from_raw(0), &only).unwrap();
    let started = Instant::now();
    let (mut last, mut lost) = (started, Duration::ZERO);
    while last - started < WATCHED {
        let now = Instant::now();
        lost += Some(now - last).filter(|gap| *gap >= SHORTEST).unwrap_or_default();
        last = now;
    }
    lost
}
