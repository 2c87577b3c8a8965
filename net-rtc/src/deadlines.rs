//! When each peer wants to be woken.

use std::collections::BTreeSet;
use std::time::Instant;

/// Slots by deadline: O(log n) to set, O(1) to see the next.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    order: BTreeSet<(Instant, usize)>,
}

impl Deadlines {
    /// Moves a slot from the deadline it had to the one it has now.
    pub(crate) fn replace(&mut self, slot: usize, old: Option<Instant>, new: Option<Instant>) {
        if old == new {
            return;
        }
        if let Some(old) = old {
            self.order.remove(&(old, slot));
        }
        if let Some(new) = new {
            self.order.insert((new, slot));
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(deadline, _)| *deadline)
    }

    /// The slots that are due, each once.
    pub(crate) fn due(&self, now: Instant) -> Vec<usize> {
        self.order
            .iter()
            .take_while(|(deadline, _)| *deadline <= now)
            .map(|entry| entry.1)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn slots_come_due_in_order() {
        let now = Instant::now();
        let at = |ms| Some(now + Duration::from_millis(ms));
        let mut deadlines = Deadlines::default();
        deadlines.replace(7, None, at(20));
        deadlines.replace(3, None, at(10));
        deadlines.replace(5, None, at(10));
        assert_eq!(deadlines.next(), at(10));
        assert_eq!(deadlines.due(now), []);
        assert_eq!(deadlines.due(now + Duration::from_millis(10)), [3, 5]);
        deadlines.replace(3, at(10), at(30));
        deadlines.replace(5, at(10), None);
        assert_eq!(deadlines.due(now + Duration::from_millis(30)), [7, 3]);
    }
}
