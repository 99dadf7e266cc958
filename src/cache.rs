//! Rows of small tables kept in memory, each for as long as the installation's epoch stands still.

use std::hash::Hash;
use std::time::Duration;

/// Entries per cache; the least used ones go first.
const CAPACITY: u64 = 10_000;

/// No row, and no key derived from one, is kept for longer.
const MAX_AGE: Duration = Duration::from_mins(5);

/// What this replica knew of changes at some moment: the epoch of its last poll, and its own writes since it started.
/// Rows read at another moment than now are not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The installation's epoch, as last polled.
    pub epoch: i64,
    /// Writes of this replica itself, which it knows of before the next poll.
    pub writes: u64,
}

/// A map from ids to rows. Refusals are never decided from it: on a miss or a mismatch the caller reads the database.
#[derive(Clone, Debug)]
pub struct Cache<K: Eq + Hash + Send + Sync + 'static, V: Clone + Send + Sync + 'static> {
    entries: moka::sync::Cache<K, (Moment, V)>,
}

impl<K: Eq + Hash + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Default for Cache<K, V> {
    fn default() -> Self {
        Self { entries: moka::sync::Cache::builder().max_capacity(CAPACITY).time_to_live(MAX_AGE).build() }
    }
}

impl<K: Eq + Hash + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Cache<K, V> {
    /// The row, if nothing has changed since it was read. `now` is nothing when this replica has not polled lately
    /// enough to know.
    #[must_use]
    pub fn get(&self, key: &K, now: Option<Moment>) -> Option<V> {
        let (read_at, value) = self.entries.get(key)?;
        (Some(read_at) == now).then_some(value)
    }

    /// Keeps a row. `read_at` is the moment before its reading began, so that a change in between is noticed.
    pub fn put(&self, read_at: Option<Moment>, key: K, value: V) {
        if let Some(read_at) = read_at {
            self.entries.insert(key, (read_at, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_used_only_while_nothing_has_changed_since_it_was_read() {
        let cache = Cache::default();
        let before = Moment { epoch: 1, writes: 0 };
        cache.put(Some(before), 1, "row");
        assert_eq!(cache.get(&1, Some(before)), Some("row"));
        assert_eq!(cache.get(&1, None), None, "a replica past its fence trusts nothing");
        for changed in [Moment { epoch: 2, ..before }, Moment { writes: 1, ..before }] {
            assert_eq!(cache.get(&1, Some(changed)), None);
        }
        cache.put(None, 2, "read past the fence");
        assert_eq!(cache.get(&2, Some(before)), None);
    }
}
