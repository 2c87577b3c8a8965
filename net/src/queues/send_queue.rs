//! Send queue of one peer, from the application's threads to the event loop.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use net_rtc::{DropStats, KeyedQueue, SendOptions};

use crate::event::SendMode;
use crate::queues::sync::{Mutex, MutexGuard};
use crate::{CloseReason, Config};

/// Overhead of a reliable message: its slot in a queue that has just doubled its capacity, and the
/// allocator's overhead.
const MESSAGE_OVERHEAD: usize = 2 * size_of::<Bytes>() + 16;
/// Maximum messages of each kind in one batch, before the other peers are served.
const MAX_BATCH_MESSAGES: usize = 64;

/// Send queue of one peer, shared by the application's threads and the loop. Both delivery modes
/// are bounded here: reliable messages get backpressure, unreliable ones drop the first in the
/// queue, and the newest of a key replaces the older one.
#[derive(Debug)]
pub(crate) struct PeerSendQueue {
    inner: Mutex<SendQueueInner>,
    pool: Arc<SendBufferPool>,
    reliable_send_buffer: usize,
    unreliable_send_buffer: usize,
}

/// Contents of a send queue.
#[derive(Debug)]
struct SendQueueInner {
    reliable: VecDeque<Bytes>,
    unreliable: KeyedQueue<(Bytes, SendOptions)>,
    close: Option<CloseReason>,
    reliable_cost: usize,
    /// Bytes that the loop took and the peer's websocket has not written yet.
    buffered_amount: usize,
    /// Whether the queue is marked as pending for the loop.
    is_pending: bool,
}

/// Result of queueing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Queued {
    /// The queue is no longer empty, and the loop must be notified.
    pub(crate) needs_wake: bool,
    /// Unreliable messages that were dropped or replaced.
    pub(crate) dropped: DropStats,
}

/// Batch of messages for the loop.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SendBatch {
    pub(crate) reliable: Vec<Bytes>,
    pub(crate) unreliable: Vec<(Bytes, SendOptions)>,
    /// After all messages.
    pub(crate) close: Option<CloseReason>,
}

/// State of a queue after a batch was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remaining {
    Empty,
    /// The loop must requeue it itself: no sender will mark it as pending.
    More,
}

/// Error of queueing; it returns the message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PushError {
    /// The send buffer is full.
    Full(Bytes),
    /// The peer is being closed, and nothing can follow that.
    Closing(Bytes),
}

fn message_cost(message: &Bytes) -> usize {
    message.len() + MESSAGE_OVERHEAD
}

impl PeerSendQueue {
    pub(crate) fn new(config: &Config, pool: Arc<SendBufferPool>) -> PeerSendQueue {
        PeerSendQueue {
            inner: Mutex::new(SendQueueInner::new(config.unreliable_send_buffer, 0)),
            pool,
            reliable_send_buffer: config.reliable_send_buffer,
            unreliable_send_buffer: config.unreliable_send_buffer,
        }
    }

    /// Queues a message, or returns it.
    pub(crate) fn push(&self, way: SendMode, message: Bytes) -> Result<Queued, PushError> {
        let mut contents = self.lock();
        let dropped = match way {
            _ if contents.close.is_some() => return Err(PushError::Closing(message)),
            SendMode::Reliable
                if !self.try_reserve(contents.reliable_buffered(), message_cost(&message)) =>
            {
                return Err(PushError::Full(message));
            }
            SendMode::Reliable => contents.push_reliable(message),
            SendMode::Unreliable(options) => contents.push_unreliable(message, options),
        };
        Ok(Queued { needs_wake: contents.mark_pending(), dropped })
    }

    /// Queues the close. The first reason counts.
    pub(crate) fn close(&self, reason: CloseReason) -> Queued {
        let mut contents = self.lock();
        contents.close.get_or_insert(reason);
        Queued { needs_wake: contents.mark_pending(), dropped: DropStats::default() }
    }

    /// Describes why a message of this size does not fit, and which setting applies.
    pub(crate) fn full_reason(&self, bytes: usize) -> String {
        let waiting = self.lock().reliable_buffered();
        if waiting + bytes + MESSAGE_OVERHEAD > self.reliable_send_buffer {
            let most = self.reliable_send_buffer;
            return format!(
                "{waiting} bytes wait, of {most} at most (Config::reliable_send_buffer)"
            );
        }
        let shared = self.pool.shared_used();
        format!(
            "{waiting} bytes wait, and {shared} beyond the parts of all peers (Config::total_reliable_send_buffer)"
        )
    }

    /// Passes a batch to the loop, which returns how much of it, and of earlier ones, the websocket
    /// has not written. This happens under one lock, so that no sender sees the messages gone
    /// before they are counted there.
    pub(crate) fn drain_batch(&self, take: impl FnOnce(SendBatch) -> usize) -> Remaining {
        let mut contents = self.lock();
        let before = contents.reliable_buffered();
        let part = contents.next_batch();
        contents.buffered_amount = take(part);
        self.pool.adjust(before, contents.reliable_buffered());
        if !contents.is_empty() {
            return Remaining::More;
        }
        *contents = SendQueueInner::new(self.unreliable_send_buffer, contents.buffered_amount);
        Remaining::Empty
    }

    /// Records how much the websocket has not written yet.
    pub(crate) fn set_buffered_amount(&self, bytes: usize) {
        let mut contents = self.lock();
        self.pool.adjust(contents.buffered_amount, bytes);
        contents.buffered_amount = bytes;
    }

    /// Reserves room for a message of this cost; one whole message always fits.
    fn try_reserve(&self, waiting: usize, cost: usize) -> bool {
        if waiting == 0 {
            self.pool.adjust(0, cost);
            return true;
        }
        waiting + cost <= self.reliable_send_buffer && self.pool.try_reserve(waiting, cost)
    }

    fn lock(&self) -> MutexGuard<'_, SendQueueInner> {
        // Every change is complete before anything in here could panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PeerSendQueue {
    fn drop(&mut self) {
        let waiting = self.lock().reliable_buffered();
        self.pool.adjust(waiting, 0);
    }
}

impl SendQueueInner {
    fn new(fresh_bytes: usize, buffered_amount: usize) -> SendQueueInner {
        SendQueueInner {
            reliable: VecDeque::new(),
            unreliable: KeyedQueue::new(fresh_bytes),
            close: None,
            reliable_cost: 0,
            buffered_amount,
            is_pending: false,
        }
    }

    fn is_empty(&self) -> bool {
        self.reliable.is_empty() && self.unreliable.is_empty() && self.close.is_none()
    }

    /// Returns the first messages of the queue; the close, once nothing else is left.
    fn next_batch(&mut self) -> SendBatch {
        let most = self.reliable.len().min(MAX_BATCH_MESSAGES);
        let reliable: Vec<_> = self.reliable.drain(..most).collect();
        self.reliable_cost -= reliable.iter().map(message_cost).sum::<usize>();
        let fresh = std::iter::from_fn(|| self.unreliable.pop()).take(MAX_BATCH_MESSAGES).collect();
        let last = self.reliable.is_empty() && self.unreliable.is_empty();
        let close = if last { self.close.take() } else { None };
        SendBatch { reliable, unreliable: fresh, close }
    }

    /// Returns the bytes of reliable messages that are not written.
    fn reliable_buffered(&self) -> usize {
        self.reliable_cost + self.buffered_amount
    }

    fn push_reliable(&mut self, message: Bytes) -> DropStats {
        self.reliable_cost += message_cost(&message);
        self.reliable.push_back(message);
        DropStats::default()
    }

    fn push_unreliable(&mut self, message: Bytes, options: SendOptions) -> DropStats {
        self.unreliable.push(options.key, message.len(), (message, options))
    }

    fn mark_pending(&mut self) -> bool {
        !std::mem::replace(&mut self.is_pending, true)
    }
}

/// Pool of the reliable send buffers of all peers. Half of it is divided among the maximum number
/// of peers, so that each has its own part whatever the others do; the other half is shared, first
/// come, first served.
#[derive(Debug)]
pub(crate) struct SendBufferPool {
    /// Part of each peer, in bytes.
    reserved_per_peer: usize,
    max_shared: usize,
    /// Bytes in use beyond the reserved parts.
    shared_used: AtomicUsize,
}

impl SendBufferPool {
    pub(crate) fn new(config: &Config) -> Arc<SendBufferPool> {
        let half = config.total_reliable_send_buffer / 2;
        let own = half / config.max_peers.max(1);
        Arc::new(SendBufferPool {
            reserved_per_peer: own,
            max_shared: half,
            shared_used: AtomicUsize::new(0),
        })
    }

    /// Reserves `more` bytes for a peer that uses `waiting`, if there is room for them.
    pub(crate) fn try_reserve(&self, waiting: usize, more: usize) -> bool {
        let more = self.over_reserved(waiting + more) - self.over_reserved(waiting);
        let reserve = |shared: usize| (shared + more <= self.max_shared).then_some(shared + more);
        more == 0 || self.shared_used.fetch_update(Relaxed, Relaxed, reserve).is_ok()
    }

    /// Adjusts for a peer whose use changed from `before` to `after`.
    pub(crate) fn adjust(&self, before: usize, after: usize) {
        let (before, after) = (self.over_reserved(before), self.over_reserved(after));
        if before != after {
            // Wraps around for a decrease, which is intended.
            self.shared_used.fetch_add(after.wrapping_sub(before), Relaxed);
        }
    }

    /// Returns the bytes of all peers beyond their reserved parts.
    pub(crate) fn shared_used(&self) -> usize {
        self.shared_used.load(Relaxed)
    }

    /// Returns the bytes of a peer beyond its reserved part.
    fn over_reserved(&self, waiting: usize) -> usize {
        waiting.saturating_sub(self.reserved_per_peer)
    }
}

#[cfg(test)]
mod total_tests {
    use super::*;

    /// For ten peers with 5,000 bytes each, and another 50,000 shared.
    fn total() -> Arc<SendBufferPool> {
        let (peers, total_reliable_send_buffer) = (10, 100_000);
        SendBufferPool::new(&Config {
            max_peers: peers,
            total_reliable_send_buffer,
            ..Config::default()
        })
    }

    #[test]
    fn those_that_hoard_leave_each_its_own_part() {
        let total = total();
        let fill = || (0..).take_while(|tens| total.try_reserve(tens * 10, 10)).count() * 10;
        let taken: Vec<_> = (0..10).map(|_| fill()).collect();
        assert_eq!((taken[0], &taken[1..]), (55_000, &[5_000; 9][..]));
    }

    #[test]
    fn what_is_given_back_is_free() {
        let total = total();
        assert!(total.try_reserve(0, 55_000) && !total.try_reserve(55_000, 1));
        assert!(total.try_reserve(0, 5_000) && !total.try_reserve(5_000, 1));
        total.adjust(55_000, 20_000);
        assert_eq!(total.shared_used(), 15_000);
        assert!(total.try_reserve(5_000, 35_000) && !total.try_reserve(40_000, 1));
        total.adjust(20_000, 0);
        total.adjust(40_000, 0);
        assert_eq!(total.shared_used(), 0);
    }
}
