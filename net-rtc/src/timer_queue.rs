//! Timer queue: keys ordered by deadline.

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

/// Keys by deadline: O(log n) to set, O(1) to read the earliest. Public because callers that run
/// other state machines beside an [`Endpoint`](crate::Endpoint) need the same for them.
#[derive(Clone, Debug)]
pub struct TimerQueue<K> {
    by_deadline: BTreeSet<(Instant, K)>,
    /// Keys that were due and have not been returned yet, see [`TimerQueue::take_due`].
    pending: VecDeque<K>,
}

impl<K: Copy + Ord> TimerQueue<K> {
    /// An empty queue.
    pub fn new() -> TimerQueue<K> {
        TimerQueue { by_deadline: BTreeSet::new(), pending: VecDeque::new() }
    }

    /// Moves a key from its old deadline to its new one.
    pub fn reschedule(&mut self, key: K, old: Option<Instant>, new: Option<Instant>) {
        if old == new {
            return;
        }
        if let Some(old) = old {
            self.by_deadline.remove(&(old, key));
        }
        if let Some(new) = new {
            self.by_deadline.insert((new, key));
        }
    }

    /// Number of keys with a deadline.
    pub fn len(&self) -> usize {
        self.by_deadline.len()
    }

    /// Whether no key has a deadline.
    pub fn is_empty(&self) -> bool {
        self.by_deadline.is_empty()
    }

    /// Returns the earliest deadline.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }

    /// Returns the keys that are due, the earliest deadline first. They stay queued until they are
    /// rescheduled.
    pub fn due(&self, now: Instant) -> Vec<K> {
        self.by_deadline.iter().take_while(|(at, _)| *at <= now).map(|(_, key)| *key).collect()
    }

    /// Returns at most `most` of the due keys, which bounds the time of a call. Every due key is
    /// returned once before any is returned again; a returned key may no longer be due, or may be
    /// removed.
    pub fn take_due(&mut self, now: Instant, most: usize) -> Vec<K> {
        if self.pending.is_empty() {
            self.pending = self.due(now).into();
        }
        self.pending.drain(..most.min(self.pending.len())).collect()
    }
}

impl<K: Copy + Ord> Default for TimerQueue<K> {
    fn default() -> TimerQueue<K> {
        TimerQueue::new()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn keys_come_due_in_order() {
        let now = Instant::now();
        let at = |ms| Some(now + Duration::from_millis(ms));
        let mut deadlines = TimerQueue::new();
        assert_eq!((deadlines.len(), deadlines.is_empty()), (0, true));
        deadlines.reschedule(7, None, at(20));
        deadlines.reschedule(3, None, at(10));
        deadlines.reschedule(5, None, at(10));
        assert_eq!(deadlines.next_deadline(), at(10));
        assert_eq!(deadlines.due(now), []);
        assert_eq!(deadlines.due(now + Duration::from_millis(10)), [3, 5]);
        deadlines.reschedule(3, at(10), at(30));
        deadlines.reschedule(5, at(10), None);
        assert_eq!((deadlines.len(), deadlines.is_empty()), (2, false));
        assert_eq!(deadlines.due(now + Duration::from_millis(30)), [7, 3]);
    }

    #[test]
    fn some_at_a_time_and_everyone_before_anyone_again() {
        let now = Instant::now();
        let mut deadlines = TimerQueue::new();
        (0..5).for_each(|key| deadlines.reschedule(key, None, Some(now)));
        // Key 0 is due at every call.
        assert_eq!(deadlines.take_due(now, 2), [0, 1]);
        deadlines.reschedule(1, Some(now), None);
        assert_eq!(deadlines.take_due(now, 2), [2, 3]);
        assert_eq!(deadlines.take_due(now, 2), [4]);
        assert_eq!(deadlines.take_due(now, 9), [0, 2, 3, 4]);
    }
}
