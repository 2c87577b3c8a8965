//! What waits for all peers together.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use crate::Config;

/// Room for the reliable messages that wait for all peers. Half of it is divided among as many
/// peers as there may be, so that each has its own part whatever the others do; the other half is
/// for those that need more, whoever comes first.
#[derive(Debug)]
pub(crate) struct Total {
    /// Of each peer, in bytes.
    own: usize,
    most_shared: usize,
    /// What waits beyond the own parts.
    shared: AtomicUsize,
}

impl Total {
    pub(crate) fn new(config: &Config) -> Arc<Total> {
        let half = config.total_reliable_send_buffer / 2;
        let own = half / config.peers.max(1);
        Arc::new(Total { own, most_shared: half, shared: AtomicUsize::new(0) })
    }

    /// Takes so many bytes more for a peer for which `waiting` do, if there is room for them.
    pub(crate) fn reserve(&self, waiting: usize, more: usize) -> bool {
        let more = self.beyond(waiting + more) - self.beyond(waiting);
        let reserve = |shared: usize| (shared + more <= self.most_shared).then_some(shared + more);
        more == 0 || self.shared.fetch_update(Relaxed, Relaxed, reserve).is_ok()
    }

    /// What waits for a peer was so much, and is so much now.
    pub(crate) fn change(&self, before: usize, after: usize) {
        let (before, after) = (self.beyond(before), self.beyond(after));
        if before != after {
            // Wraps around where it falls, which is right.
            self.shared.fetch_add(after.wrapping_sub(before), Relaxed);
        }
    }

    /// Bytes that wait for all peers, beyond the part that each has.
    pub(crate) fn shared(&self) -> usize {
        self.shared.load(Relaxed)
    }

    /// What of a peer's is not in its own part.
    fn beyond(&self, waiting: usize) -> usize {
        waiting.saturating_sub(self.own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For ten peers, each of which has 5,000 bytes, and another 50,000 for all.
    fn total() -> Arc<Total> {
        let (peers, total_reliable_send_buffer) = (10, 100_000);
        Total::new(&Config { peers, total_reliable_send_buffer, ..Config::default() })
    }

    #[test]
    fn those_that_hoard_leave_each_its_own_part() {
        let total = total();
        let fill = || (0..).take_while(|tens| total.reserve(tens * 10, 10)).count() * 10;
        let taken: Vec<_> = (0..10).map(|_| fill()).collect();
        assert_eq!((taken[0], &taken[1..]), (55_000, &[5_000; 9][..]));
    }

    #[test]
    fn what_is_given_back_is_free() {
        let total = total();
        assert!(total.reserve(0, 55_000) && !total.reserve(55_000, 1));
        assert!(total.reserve(0, 5_000) && !total.reserve(5_000, 1));
        total.change(55_000, 20_000);
        assert_eq!(total.shared(), 15_000);
        assert!(total.reserve(5_000, 35_000) && !total.reserve(40_000, 1));
        total.change(20_000, 0);
        total.change(40_000, 0);
        assert_eq!(total.shared(), 0);
    }
}
