//! Whether what concurrent callers saw could have happened in some order, one call at a time: linearizability.
//!
//! The search of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993), with the states remembered that lead
//! nowhere (Lowe, "Testing for Linearizability", 2017). A call whose outcome nobody knows may have happened at any moment
//! after it began, or never.

use std::collections::HashSet;
use std::hash::Hash;

/// What is called, said for one caller at a time.
pub trait Sequential: Clone + Eq + Hash {
    type Call;
    type Outcome;

    /// The state after the call; nothing if the call cannot have had this outcome here. Without an outcome it may have had
    /// any.
    fn after(&self, call: &Self::Call, outcome: Option<&Self::Outcome>) -> Option<Self>;
}

/// One call of a history, with the moments between which it happened.
#[derive(Debug)]
pub struct Event<C, O> {
    pub call: C,
    pub began: u64,
    /// When it was answered, and how; nothing if it never was.
    pub ended: Option<(u64, O)>,
}

/// Most calls of one history.
const MOST: usize = 64;

/// An order in which the calls could have happened, by their places in the history; or the longest beginning of one.
pub fn order_of<S: Sequential>(start: S, history: &[Event<S::Call, S::Outcome>]) -> Result<Vec<usize>, Vec<usize>> {
    assert!(history.len() <= MOST, "{} calls", history.len());
    let answered = (0..history.len()).filter(|at| history[*at].ended.is_some()).fold(0_u64, |set, at| set | 1 << at);
    let mut search = Search { history, answered, dead_ends: HashSet::new(), order: Vec::new(), longest: Vec::new() };
    if search.finish(start, 0) { Ok(search.order) } else { Err(search.longest) }
}

struct Search<'a, S: Sequential> {
    history: &'a [Event<S::Call, S::Outcome>],
    /// The calls that must have happened.
    answered: u64,
    dead_ends: HashSet<(u64, S)>,
    order: Vec<usize>,
    longest: Vec<usize>,
}

impl<S: Sequential> Search<'_, S> {
    /// Whether the rest can happen when these calls have.
    fn finish(&mut self, state: S, happened: u64) -> bool {
        if happened & self.answered == self.answered {
            return true;
        }
        if self.order.len() > self.longest.len() {
            self.longest.clone_from(&self.order);
        }
        if self.dead_ends.contains(&(happened, state.clone())) {
            return false;
        }
        let waits = |at: &usize| happened & (1 << at) == 0;
        // Whatever began after another had been answered happened after it.
        let ends = (0..self.history.len()).filter(waits).filter_map(|at| self.history[at].ended.as_ref());
        let first_end = ends.map(|(ended, _)| *ended).min().unwrap_or(u64::MAX);
        for at in (0..self.history.len()).filter(waits) {
            let Event { call, began, ended } = &self.history[at];
            if *began > first_end {
                continue;
            }
            let Some(next) = state.after(call, ended.as_ref().map(|(_, outcome)| outcome)) else { continue };
            self.order.push(at);
            if self.finish(next, happened | 1 << at) {
                return true;
            }
            self.order.pop();
        }
        self.dead_ends.insert((happened, state));
        false
    }
}

/// The checker checked, on a counter that tells what it was before.
#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    struct Counter(u32);

    #[derive(Debug)]
    enum Call {
        Read,
        Add,
    }
    use Call::{Add, Read};

    impl Sequential for Counter {
        type Call = Call;
        type Outcome = u32;

        fn after(&self, call: &Call, outcome: Option<&u32>) -> Option<Self> {
            let fits = outcome.is_none_or(|outcome| *outcome == self.0);
            let next = if matches!(call, Add) { self.0 + 1 } else { self.0 };
            fits.then_some(Self(next))
        }
    }

    /// A call, when it began, and when it was answered how.
    type Line = (Call, u64, Option<(u64, u32)>);

    fn fits(history: Vec<Line>) -> bool {
        let history: Vec<_> = history.into_iter().map(|(call, began, ended)| Event { call, began, ended }).collect();
        order_of(Counter(0), &history).is_ok()
    }

    #[test]
    fn histories_that_have_an_order_are_accepted() {
        assert!(fits(vec![]));
        assert!(fits(vec![(Add, 1, Some((2, 0))), (Add, 3, Some((4, 1))), (Read, 5, Some((6, 2)))]));
        // Both at once: either may have come first, and a reader beside them may have seen either of three values.
        for seen in 0..3 {
            assert!(fits(vec![(Add, 1, Some((9, 1))), (Add, 2, Some((8, 0))), (Read, 3, Some((4, seen)))]));
        }
        // The last in time may be the first in order.
        assert!(fits(vec![(Read, 1, Some((10, 1))), (Add, 9, Some((11, 0)))]));
    }

    #[test]
    fn an_unknown_outcome_may_take_effect_late_or_never() {
        for seen in [0, 1] {
            assert!(fits(vec![(Add, 1, None), (Read, 5, Some((6, seen)))]));
        }
        assert!(fits(vec![(Add, 1, None), (Read, 5, Some((6, 0))), (Read, 7, Some((8, 1)))]));
        // But not before it began, not twice, and not first and then not any more.
        assert!(!fits(vec![(Read, 1, Some((2, 1))), (Add, 3, None)]));
        assert!(!fits(vec![(Add, 1, None), (Read, 5, Some((6, 2)))]));
        assert!(!fits(vec![(Add, 1, None), (Read, 5, Some((6, 1))), (Read, 7, Some((8, 0)))]));
    }

    #[test]
    fn a_lost_update_a_stale_read_and_a_doubled_effect_are_refused() {
        let lost = vec![(Add, 1, Some((4, 0))), (Add, 2, Some((5, 0)))];
        let stale = vec![(Add, 1, Some((2, 0))), (Read, 3, Some((4, 0)))];
        let doubled = vec![(Add, 1, Some((2, 0))), (Read, 3, Some((4, 2)))];
        let backwards = vec![(Add, 1, Some((9, 0))), (Read, 2, Some((3, 1))), (Read, 4, Some((5, 0)))];
        for (name, history) in [("lost", lost), ("stale", stale), ("doubled", doubled), ("backwards", backwards)] {
            assert!(!fits(history), "{name}");
        }
    }

    #[test]
    fn an_order_is_told_and_how_far_one_leads() {
        let event = |call, began, ended| Event { call, began, ended: Some(ended) };
        let good = [event(Read, 1, (6, 1)), event(Add, 2, (5, 0))];
        assert_eq!(order_of(Counter(0), &good), Ok(vec![1, 0]));
        let bad = [event(Add, 1, (2, 0)), event(Read, 3, (4, 7))];
        assert_eq!(order_of(Counter(0), &bad), Err(vec![0]));
    }
}
