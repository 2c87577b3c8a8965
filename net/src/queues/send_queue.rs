//! What the application wants of one peer and the loop has not done yet.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use net_rtc::{DropStats, KeyedQueue, SendOptions};

use crate::event::Way;
use crate::queues::sync::{Mutex, MutexGuard};
use crate::{CloseReason, Config};

/// What a reliable message costs beside its bytes: its place in a line that has just grown to
/// twice its length, and what the allocator adds.
const MESSAGE: usize = 2 * size_of::<Bytes>() + 16;
/// Most messages of each kind that the loop takes at a time, before the other peers have their
/// turn.
const PART: usize = 64;

/// The meeting point of the application's threads and the loop, one for each peer. Both ways
/// of sending are bounded here: reliable pushes back, unreliable drops the first in line, and
/// the newest of a key takes the place of the older one.
#[derive(Debug)]
pub(crate) struct Mailbox {
    inner: Mutex<Contents>,
    total: Arc<Total>,
    backlog_bytes: usize,
    fresh_bytes: usize,
}

/// What waits in a mailbox.
#[derive(Debug)]
struct Contents {
    reliable: VecDeque<Bytes>,
    fresh: KeyedQueue<(Bytes, SendOptions)>,
    close: Option<CloseReason>,
    reliable_cost: usize,
    /// Bytes that the loop took and the peer's websocket has not written yet.
    unwritten: usize,
    /// Whether the loop knows that there is something here.
    announced: bool,
}

/// What came of a posting.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Posted {
    /// The loop must be told that this mailbox is not empty any more.
    pub(crate) announce: bool,
    /// Unreliable messages that gave way.
    pub(crate) dropped: DropStats,
}

/// What the loop takes at a time.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) reliable: Vec<Bytes>,
    pub(crate) fresh: Vec<(Bytes, SendOptions)>,
    /// Behind all messages.
    pub(crate) close: Option<CloseReason>,
}

/// What a mailbox still has after a part was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Nothing,
    /// It is for the loop to come again: nobody will announce it.
    Something,
}

/// Why a message was not taken; it comes back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unposted {
    /// Too much of its kind waits.
    Full(Bytes),
    /// The peer is being closed, and nothing comes behind that.
    Closing(Bytes),
}

fn cost(message: &Bytes) -> usize {
    message.len() + MESSAGE
}

impl Mailbox {
    pub(crate) fn new(config: &Config, total: Arc<Total>) -> Mailbox {
        Mailbox {
            inner: Mutex::new(Contents::new(config.fresh_bytes, 0)),
            total,
            backlog_bytes: config.backlog_bytes,
            fresh_bytes: config.fresh_bytes,
        }
    }

    /// Posts a message, or gives it back.
    pub(crate) fn post(&self, way: Way, message: Bytes) -> Result<Posted, Unposted> {
        let mut contents = self.lock();
        let dropped = match way {
            _ if contents.close.is_some() => return Err(Unposted::Closing(message)),
            Way::Reliable if !self.reserve(contents.waiting(), cost(&message)) => {
                return Err(Unposted::Full(message));
            }
            Way::Reliable => contents.push_reliable(message),
            Way::Unreliable(options) => contents.push_fresh(message, options),
        };
        Ok(Posted { announce: contents.announce(), dropped })
    }

    /// Asks for the end. The first reason counts.
    pub(crate) fn close(&self, reason: CloseReason) -> Posted {
        let mut contents = self.lock();
        contents.close.get_or_insert(reason);
        Posted { announce: contents.announce(), dropped: DropStats::default() }
    }

    /// Why a message of so many bytes does not fit, and what to set.
    pub(crate) fn why_full(&self, bytes: usize) -> String {
        let waiting = self.lock().waiting();
        if waiting + bytes + MESSAGE > self.backlog_bytes {
            let most = self.backlog_bytes;
            return format!("{waiting} bytes wait, of {most} at most (Config::backlog_bytes)");
        }
        let shared = self.total.shared();
        format!(
            "{waiting} bytes wait, and {shared} beyond the parts of all peers (Config::total_reliable_send_buffer)"
        )
    }

    /// Hands a part to the loop, which says how much of it, and of those before, the websocket
    /// has not written. Under one lock, so that no sender sees the messages gone before they are
    /// counted there.
    pub(crate) fn take_part(&self, take: impl FnOnce(Part) -> usize) -> Left {
        let mut contents = self.lock();
        let before = contents.waiting();
        let part = contents.part();
        contents.unwritten = take(part);
        self.total.change(before, contents.waiting());
        if !contents.is_empty() {
            return Left::Something;
        }
        *contents = Contents::new(self.fresh_bytes, contents.unwritten);
        Left::Nothing
    }

    /// Notes how much the websocket has still to write.
    pub(crate) fn set_unwritten(&self, bytes: usize) {
        let mut contents = self.lock();
        self.total.change(contents.unwritten, bytes);
        contents.unwritten = bytes;
    }

    /// Takes room for a message that costs so much; one whole message always finds it.
    fn reserve(&self, waiting: usize, cost: usize) -> bool {
        if waiting == 0 {
            self.total.change(0, cost);
            return true;
        }
        waiting + cost <= self.backlog_bytes && self.total.reserve(waiting, cost)
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        // Every change is complete before anything in here could panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        let waiting = self.lock().waiting();
        self.total.change(waiting, 0);
    }
}

impl Contents {
    fn new(fresh_bytes: usize, unwritten: usize) -> Contents {
        Contents {
            reliable: VecDeque::new(),
            fresh: KeyedQueue::new(fresh_bytes),
            close: None,
            reliable_cost: 0,
            unwritten,
            announced: false,
        }
    }

    fn is_empty(&self) -> bool {
        self.reliable.is_empty() && self.fresh.is_empty() && self.close.is_none()
    }

    /// The first of what waits; the end, once nothing else does.
    fn part(&mut self) -> Part {
        let most = self.reliable.len().min(PART);
        let reliable: Vec<_> = self.reliable.drain(..most).collect();
        self.reliable_cost -= reliable.iter().map(cost).sum::<usize>();
        let fresh = std::iter::from_fn(|| self.fresh.pop()).take(PART).collect();
        let last = self.reliable.is_empty() && self.fresh.is_empty();
        let close = if last { self.close.take() } else { None };
        Part { reliable, fresh, close }
    }

    /// Reliable messages that are not written.
    fn waiting(&self) -> usize {
        self.reliable_cost + self.unwritten
    }

    fn push_reliable(&mut self, message: Bytes) -> DropStats {
        self.reliable_cost += cost(&message);
        self.reliable.push_back(message);
        DropStats::default()
    }

    fn push_fresh(&mut self, message: Bytes, options: SendOptions) -> DropStats {
        self.fresh.push(options.key, message.len(), (message, options))
    }

    fn announce(&mut self) -> bool {
        !std::mem::replace(&mut self.announced, true)
    }
}

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
mod total_tests {
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
