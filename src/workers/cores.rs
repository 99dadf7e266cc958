//! Which core each worker keeps to.
//!
//! Where the system chooses, two workers may take turns on one core for tens of milliseconds while another idles: a scheduler
//! moves a thread to an idle core where that seems worth it, and to it requests of a millisecond do not. Who waits behind two
//! workers waits twice as long. Only where there is a worker for each core does each keep to one: fewer could meet the busy
//! ones of somebody else on theirs.

#[cfg(target_os = "linux")]
pub use linux::Cores;
#[cfg(not(target_os = "linux"))]
pub use other::Cores;

#[cfg(target_os = "linux")]
mod linux {
    use nix::errno::Errno;
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::unistd::Pid;

    /// The calling thread, to the calls of `sched_setaffinity(2)`.
    const THIS_THREAD: Pid = Pid::from_raw(0);

    /// The cores of the workers, by their numbers.
    #[derive(Debug)]
    pub struct Cores {
        all: CpuSet,
        each: Vec<CpuSet>,
    }

    impl Cores {
        /// One for each of so many workers, if this process may use just as many.
        pub fn for_each_of(workers: usize) -> Option<Self> {
            let all = sched_getaffinity(THIS_THREAD).ok()?;
            let each = (0..CpuSet::count()).filter(|core| all.is_set(*core) == Ok(true));
            let each: Vec<CpuSet> = each.map(only).collect::<Result<_, _>>().ok()?;
            (each.len() == workers).then_some(Self { all, each })
        }

        /// The calling thread is this worker: it runs on no other core from now on.
        pub fn keep_to(&self, worker: usize) {
            let core = self.each.get(worker).unwrap_or(&self.all);
            if let Err(error) = sched_setaffinity(THIS_THREAD, core) {
                tracing::debug!(worker, %error, "the system does not let a worker keep to its core");
            }
        }

        /// The calling thread is none of the workers, though one of them started it: it may run anywhere.
        pub fn leave(&self) {
            let _ = sched_setaffinity(THIS_THREAD, &self.all);
        }
    }

    fn only(core: usize) -> Result<CpuSet, Errno> {
        let mut set = CpuSet::new();
        set.set(core)?;
        Ok(set)
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    /// Never made: the system chooses.
    #[derive(Debug)]
    pub enum Cores {}

    impl Cores {
        pub fn for_each_of(_workers: usize) -> Option<Self> {
            None
        }

        pub fn keep_to(&self, _worker: usize) {}

        pub fn leave(&self) {}
    }
}
