//! The threads that serve requests: one for each core, each with sockets, timers and tasks of its own.
//!
//! A connection stays with the thread that it was given to. What threads that share all tasks gain in evenness they lose
//! by waking each other for every one of them, which costs as much as a whole signature by an elliptic curve. Each thread
//! signs what it serves, so that there are never more signatures under way than cores: those who are too many wait, and
//! the time of each stays what it is.

mod cores;

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::cores::Cores;

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

/// There is always a timer that is due so soon. A runtime wakes itself whenever a timer is set that is due before all
/// others, and each request's would be such a one.
const EARLIEST: Duration = Duration::from_millis(500);

/// The number of the worker that this thread is; 0, as the first one's, on threads that are none.
#[must_use]
pub fn number() -> usize {
    NUMBER.get()
}

/// One for each core that this process may use.
#[must_use]
pub fn one_for_each_core() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The workers. They end, with all that they still do, when this is dropped.
#[derive(Debug)]
pub struct Workers {
    workers: Vec<Worker>,
    _end: DropGuard,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    /// How many tasks it has been given that have not ended.
    tasks: Arc<AtomicUsize>,
}

impl Workers {
    /// Starts so many threads; `pinned`, each keeps to its core where there is one for each.
    ///
    /// # Errors
    /// If the system has none left.
    pub fn start(count: usize, pinned: bool) -> io::Result<Self> {
        let end = CancellationToken::new();
        let cores = pinned.then(|| Cores::for_each_of(count)).flatten().map(Arc::new);
        let start = |number| Worker::start(number, cores.clone(), end.clone());
        let workers = (0..count).map(start).collect::<io::Result<_>>()?;
        Ok(Self { workers, _end: end.drop_guard() })
    }

    /// The thread that this is called on, as the only worker.
    #[must_use]
    pub fn here() -> Self {
        let worker = Worker { runtime: Handle::current(), tasks: Arc::default() };
        Self { workers: vec![worker], _end: CancellationToken::new().drop_guard() }
    }

    /// Spawns the task on the worker that has the fewest. `make` is called in its context: what it makes is the worker's.
    pub fn spawn<F>(&self, make: impl FnOnce() -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Some(worker) = self.workers.iter().min_by_key(|worker| worker.tasks.load(Ordering::Relaxed)) else {
            return;
        };
        worker.spawn(make);
    }

    /// Spawns a task on each.
    pub fn spawn_each<F>(&self, make: impl Fn() -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.workers.iter().for_each(|worker| drop(worker.runtime.spawn(make())));
    }
}

impl Worker {
    fn start(number: usize, cores: Option<Arc<Cores>>, end: CancellationToken) -> io::Result<Self> {
        let mut runtime = Builder::new_current_thread();
        if let Some(cores) = cores.clone() {
            // The threads for what blocks, which are started by this one as they are needed.
            runtime.on_thread_start(move || cores.leave());
        }
        let runtime = runtime.enable_all().build()?;
        let handle = runtime.handle().clone();
        thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            NUMBER.set(number);
            if let Some(cores) = cores {
                cores.keep_to(number);
            }
            runtime.block_on(async { while tokio::time::timeout(EARLIEST, end.cancelled()).await.is_err() {} });
        })?;
        Ok(Self { runtime: handle, tasks: Arc::default() })
    }

    fn spawn<F>(&self, make: impl FnOnce() -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let _context = self.runtime.enter();
        let task = make();
        let counted = Counted::one_more(&self.tasks);
        self.runtime.spawn(async move {
            task.await;
            drop(counted);
        });
    }
}

/// A task that a worker has.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn one_more(tasks: &Arc<AtomicUsize>) -> Self {
        tasks.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(tasks))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use tokio::sync::Barrier;

    use super::*;

    #[test]
    fn tasks_are_shared_out_evenly_and_each_stays_with_its_thread() {
        let workers = Workers::start(3, true).unwrap();
        let seen = Arc::new(Mutex::new(BTreeMap::<usize, usize>::new()));
        let all = Arc::new(Barrier::new(31));
        for _ in 0..30 {
            let (seen, all) = (Arc::clone(&seen), Arc::clone(&all));
            workers.spawn(|| async move {
                let began_on = number();
                tokio::time::sleep(Duration::from_millis(1)).await;
                assert_eq!(number(), began_on);
                *seen.lock().unwrap().entry(began_on).or_default() += 1;
                all.wait().await;
            });
        }
        let here = Builder::new_current_thread().build().unwrap();
        here.block_on(all.wait());
        assert_eq!(*seen.lock().unwrap(), BTreeMap::from([(0, 10), (1, 10), (2, 10)]));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn where_there_is_a_worker_for_each_core_each_keeps_to_its_own_and_nothing_else_does() {
        use nix::sched::{CpuSet, sched_getaffinity};
        use nix::unistd::Pid;

        let cores = || {
            let set = sched_getaffinity(Pid::from_raw(0)).unwrap();
            (0..CpuSet::count()).filter(|core| set.is_set(*core).unwrap()).collect::<Vec<usize>>()
        };
        let all = cores();
        let of_workers = |count: usize, pinned: bool| {
            let (workers, (told, heard)) = (Workers::start(count, pinned).unwrap(), std::sync::mpsc::channel());
            workers.spawn_each(|| {
                let told = told.clone();
                async move { told.send((cores(), tokio::task::spawn_blocking(cores).await.unwrap())).unwrap() }
            });
            (0..count).map(|_| heard.recv().unwrap()).unzip::<_, _, Vec<_>, Vec<_>>()
        };
        let (mut workers, others) = of_workers(all.len(), true);
        workers.sort();
        assert_eq!(workers.concat(), all);
        assert!(workers.iter().all(|cores| cores.len() == 1), "{workers:?}");
        assert!(others.iter().all(|cores| *cores == all), "{others:?}");
        for (count, pinned) in [(all.len() + 1, true), (all.len(), false)] {
            let (workers, others) = of_workers(count, pinned);
            assert!(workers.iter().chain(&others).all(|cores| *cores == all), "{workers:?} {others:?}");
        }
        assert_eq!(cores(), all);
    }

    #[test]
    fn the_end_of_a_task_makes_room_even_if_it_panics() {
        let workers = Workers::start(1, true).unwrap();
        workers.spawn(|| async { panic!("a broken task") });
        workers.spawn(|| async {});
        let ended = || workers.workers[0].tasks.load(Ordering::Relaxed) == 0;
        for _ in 0..1_000 {
            if ended() {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("tasks that have ended are still counted");
    }

    #[test]
    fn dropped_the_workers_end_with_what_they_do() {
        let workers = Workers::start(2, true).unwrap();
        let held = Arc::new(());
        workers.spawn_each(|| {
            let held = Arc::clone(&held);
            async move {
                std::future::pending::<()>().await;
                drop(held);
            }
        });
        drop(workers);
        for _ in 0..1_000 {
            if Arc::strong_count(&held) == 1 {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("a task outlives its worker");
    }
}
