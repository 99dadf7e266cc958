//! Rows of small tables kept in memory, each for as long as the installation's epoch stands still.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Entries per cache; the least used ones go first.
const CAPACITY: u64 = 10_000;

/// No row, and no key derived from one, is kept for longer.
const MAX_AGE: Duration = Duration::from_secs(300);

/// Counts the changes of small tables that this replica knows of: every poll that sees a new epoch, and every write of
/// its own, begins a new generation. Rows of earlier generations are not used again.
#[derive(Clone, Debug, Default)]
pub struct Generation(Arc<AtomicU64>);

impl Generation {
    /// Begins a new generation.
    pub fn advance(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn current(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// A map from ids to rows. Refusals are never decided from it: on a miss or a mismatch the caller reads the database.
#[derive(Clone, Debug)]
pub struct Cache<K: Eq + Hash + Send + Sync + 'static, V: Clone + Send + Sync + 'static> {
    generation: Generation,
    entries: moka::sync::Cache<K, (u64, V)>,
}

/// The moment at which reading a row began. A row may be kept only if no generation has begun since.
#[derive(Clone, Copy, Debug)]
pub struct Reading(u64);

impl<K: Eq + Hash + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Cache<K, V> {
    /// An empty cache.
    #[must_use]
    pub fn new(generation: &Generation) -> Self {
        let entries = moka::sync::Cache::builder().max_capacity(CAPACITY).time_to_live(MAX_AGE).build();
        Self { generation: generation.clone(), entries }
    }

    /// The row, if it was read in this generation. `fresh` says whether this replica has heard of changes lately
    /// enough to trust what it remembers.
    #[must_use]
    pub fn get(&self, key: &K, fresh: bool) -> Option<V> {
        if !fresh {
            return None;
        }
        let (generation, value) = self.entries.get(key)?;
        (generation == self.generation.current()).then_some(value)
    }

    /// To be called before the row is read from the database.
    #[must_use]
    pub fn reading(&self) -> Reading {
        Reading(self.generation.current())
    }

    /// Keeps a row whose reading began at `since`.
    pub fn put(&self, since: Reading, key: K, value: V) {
        self.entries.insert(key, (since.0, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_used_in_its_own_generation_only() {
        let generation = Generation::default();
        let cache = Cache::new(&generation);
        let before = cache.reading();
        cache.put(before, 1, "row");
        assert_eq!(cache.get(&1, true), Some("row"));
        assert_eq!(cache.get(&1, false), None, "a replica past its fence trusts nothing");
        generation.advance();
        assert_eq!(cache.get(&1, true), None);
        cache.put(before, 1, "read before the change, kept after it");
        assert_eq!(cache.get(&1, true), None);
    }
}
