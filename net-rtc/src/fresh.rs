//! Messages that wait to be sent: fresh or not at all.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// A queue with a bound and a deadline for each message. What does not fit pushes out the
/// oldest, what waits too long is dropped; both are counted.
#[derive(Debug)]
pub(crate) struct Fresh {
    waiting: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    most_bytes: usize,
    most_time: Duration,
    dropped: u64,
}

impl Fresh {
    pub(crate) fn new(most_bytes: usize, most_time: Duration) -> Fresh {
        Fresh { waiting: VecDeque::new(), bytes: 0, most_bytes, most_time, dropped: 0 }
    }

    /// Admits a message, always, at the cost of the oldest.
    pub(crate) fn push(&mut self, now: Instant, message: Bytes) {
        self.bytes += message.len();
        self.waiting.push_back((now + self.most_time, message));
        while self.bytes > self.most_bytes && self.waiting.len() > 1 {
            self.drop_oldest();
        }
    }

    /// The size of the next message that is still fresh, after dropping those that are not.
    pub(crate) fn peek(&mut self, now: Instant) -> Option<usize> {
        while self.deadline().is_some_and(|deadline| deadline <= now) {
            self.drop_oldest();
        }
        self.waiting.front().map(|(_, message)| message.len())
    }

    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        let (_, message) = self.waiting.pop_front()?;
        self.bytes -= message.len();
        Some(message)
    }

    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
        self.bytes = 0;
    }

    /// When the oldest message stops being fresh.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.waiting.front().map(|(deadline, _)| *deadline)
    }

    /// Messages that were too many or too old.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    fn drop_oldest(&mut self) {
        self.dropped += u64::from(self.pop().is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_millis(100);

    fn filled(sizes: &[usize]) -> (Fresh, Instant) {
        let now = Instant::now();
        let mut fresh = Fresh::new(1_000, TIME);
        for size in sizes {
            fresh.push(now, Bytes::from(vec![0; *size]));
        }
        (fresh, now)
    }

    #[test]
    fn keeps_order() {
        let (mut fresh, now) = filled(&[1, 2, 3]);
        for size in 1..=3 {
            assert_eq!(fresh.peek(now), Some(size));
            assert_eq!(fresh.pop().map(|m| m.len()), Some(size));
        }
        assert_eq!(fresh.peek(now), None);
        assert_eq!(fresh.deadline(), None);
    }

    #[test]
    fn the_bound_drops_the_oldest() {
        let (mut fresh, now) = filled(&[500, 499, 1]);
        assert_eq!((fresh.peek(now), fresh.dropped()), (Some(500), 0));
        fresh.push(now, Bytes::from_static(b"x"));
        assert_eq!((fresh.peek(now), fresh.dropped()), (Some(499), 1));
    }

    #[test]
    fn one_whole_message_is_always_admitted() {
        let (mut fresh, now) = filled(&[10, 5_000]);
        assert_eq!((fresh.peek(now), fresh.dropped()), (Some(5_000), 1));
    }

    #[test]
    fn a_message_grows_old() {
        let (mut fresh, now) = filled(&[10]);
        fresh.push(now + TIME / 2, Bytes::from_static(b"later"));
        assert_eq!(fresh.deadline(), Some(now + TIME));
        assert_eq!(fresh.peek(now + TIME - Duration::from_nanos(1)), Some(10));
        assert_eq!(fresh.peek(now + TIME), Some(5));
        assert_eq!(fresh.peek(now + TIME * 2), None);
        assert_eq!(fresh.dropped(), 2);
    }
}
