//! State shared by the application's threads and the event loop.

pub(crate) mod event_queue;
pub(crate) mod send_queue;
pub(crate) use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use net_rtc::{DropCounters, PathMonitor};

use crate::event::SendMode;
use crate::hub::Hub;
use crate::queues::event_queue::EventChannel;
use crate::queues::send_queue::{PeerSendQueue, PushError, Queued, Remaining, SendBufferPool};
use crate::queues::sync::{AtomicBool, AtomicU8, Mutex, SegQueue, ShardedLock};
use crate::stats::{ConnectFailures, Counters, LoopMonitor, add};
use crate::{CloseReason, Config, ConnectFailure, Delivery, PeerId, PeerInfo, SendError};

/// State that the application's handles share with the event loop: queues, counters, peers.
pub(crate) struct Shared {
    pub(crate) events: EventChannel,
    pub(crate) counters: Counters,
    pub(crate) loop_monitor: LoopMonitor,
    /// Pool of the send buffers of all peers.
    pub(crate) send_pool: Arc<SendBufferPool>,
    max_message_size: usize,
    peers: ShardedLock<HashMap<PeerId, Arc<PeerHandle>>>,
    /// Ids of the peers with a non-empty send queue, each once.
    pending_sends: SegQueue<PeerId>,
    connect_failures: Mutex<ConnectFailures>,
    /// The advertised addresses.
    announced_addrs: Mutex<Vec<SocketAddr>>,
    wake: Box<dyn Fn() + Send + Sync>,
    is_wake_pending: AtomicBool,
    /// A [`Lifecycle`].
    lifecycle: AtomicU8,
}

/// Lifecycle of the loop; it only goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Lifecycle {
    Running,
    /// No handle is left.
    Stopping,
    /// The loop has ended and freed its resources.
    Stopped,
}

/// Handle of an open peer: its send queue, information and statistics.
#[derive(Debug)]
pub(crate) struct PeerHandle {
    pub(crate) send_queue: PeerSendQueue,
    info: PeerInfo,
    path_monitor: PathMonitor,
    /// Drops in the send queue; `path_monitor` has the others.
    queue_drops: DropCounters,
}

impl PeerHandle {
    pub(crate) fn new(
        config: &Config,
        total: &Arc<SendBufferPool>,
        info: PeerInfo,
        path_monitor: PathMonitor,
    ) -> PeerHandle {
        let send_queue = PeerSendQueue::new(config, total.clone());
        PeerHandle { send_queue, info, path_monitor, queue_drops: DropCounters::default() }
    }

    /// Returns the current peer information.
    pub(crate) fn info(&self) -> PeerInfo {
        let mut info = self.info.clone();
        info.path_stats = self.path_monitor.snapshot();
        info.path_stats.dropped += self.queue_drops.snapshot();
        info
    }
}

impl Shared {
    /// Creates the shared state. `wake` ends the loop's wait; it is called on the edge from idle to
    /// pending work.
    pub(crate) fn new(config: &Config, wake: impl Fn() + Send + Sync + 'static) -> Shared {
        Shared {
            events: EventChannel::new(config),
            counters: Counters::default(),
            loop_monitor: LoopMonitor::default(),
            send_pool: SendBufferPool::new(config),
            max_message_size: config.max_message_size,
            peers: ShardedLock::default(),
            pending_sends: SegQueue::new(),
            connect_failures: Mutex::default(),
            announced_addrs: Mutex::default(),
            wake: Box::new(wake),
            is_wake_pending: AtomicBool::new(false),
            lifecycle: AtomicU8::new(Lifecycle::Running as u8),
        }
    }

    /// Queues a message for one peer.
    pub(crate) fn send(&self, way: SendMode, id: PeerId, message: Bytes) -> Result<(), SendError> {
        let result = self.try_send(way, id, message);
        result.inspect_err(|error| self.counters.count_send_error(error))
    }

    /// The same, but a peer whose send buffer is full is closed as `SlowConsumer`.
    pub(crate) fn send_or_close(&self, way: SendMode, id: PeerId, message: Bytes) {
        if let Err(SendError::Full(message)) = self.send(way, id, message)
            && let Some(entry) = self.peer_handle(id)
        {
            let why = entry.send_queue.full_reason(message.len());
            self.close(id, CloseReason::SlowConsumer(why));
        }
    }

    pub(crate) fn broadcast(&self, way: SendMode, message: &Bytes) {
        for id in self.peer_ids() {
            self.send_or_close(way, id, message.clone());
        }
    }

    pub(crate) fn close(&self, id: PeerId, reason: CloseReason) {
        if let Some(entry) = self.peer_handle(id) {
            self.on_queued(id, &entry, entry.send_queue.close(reason));
        }
    }

    /// Requests the end of the loop: no handle is left.
    pub(crate) fn request_stop(&self) {
        self.lifecycle.fetch_max(Lifecycle::Stopping as u8, SeqCst);
        self.wake();
    }

    pub(crate) fn peer_handle(&self, id: PeerId) -> Option<Arc<PeerHandle>> {
        self.peers.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    pub(crate) fn connect_failures(&self) -> ConnectFailures {
        self.connect_failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn announced_addrs(&self) -> Vec<SocketAddr> {
        self.announced_addrs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_announced_addrs(&self, announced: Vec<SocketAddr>) {
        *self.announced_addrs.lock().unwrap_or_else(PoisonError::into_inner) = announced;
    }

    /// Ends the loop's wait, unless a wake-up is pending.
    pub(crate) fn wake(&self) {
        if !self.is_wake_pending.swap(true, SeqCst) {
            (self.wake)();
        }
    }

    /// Clears the pending wake-up before the loop checks for work: a later send must wake it again.
    pub(crate) fn clear_wake(&self) {
        self.is_wake_pending.store(false, SeqCst);
    }

    /// Takes the next non-empty send queue, for the loop.
    pub(crate) fn next_pending(&self) -> Option<PeerId> {
        self.pending_sends.pop()
    }

    /// Requeues a send queue that has more than was taken.
    pub(crate) fn requeue(&self, id: PeerId) {
        self.pending_sends.push(id);
    }

    /// Returns whether a send queue is not empty.
    pub(crate) fn has_pending(&self) -> bool {
        !self.pending_sends.is_empty()
    }

    /// Returns whether no handle is left and the loop has taken all messages: checked in this
    /// order, because nothing can be sent once the last handle is gone.
    pub(crate) fn is_ready_to_stop(&self) -> bool {
        self.has_reached(Lifecycle::Stopping) && self.pending_sends.is_empty()
    }

    /// Adds a peer that the loop opened: from now on it can be sent to.
    pub(crate) fn on_open(&self, id: PeerId, entry: Arc<PeerHandle>) {
        self.peers.write().unwrap_or_else(PoisonError::into_inner).insert(id, entry);
        add(&self.counters.peers_opened, 1);
        add(&self.counters.open_peers, 1);
        self.events.push_open(id);
    }

    /// Returns the information of an open peer, or of one whose `Closed` is not handled yet.
    pub(crate) fn peer_info(&self, id: PeerId) -> Option<PeerInfo> {
        // In this order: a peer that closes meanwhile is retained before it is removed.
        self.peer_handle(id).map(|entry| entry.info()).or_else(|| self.events.closed_peer_info(id))
    }

    /// Removes a peer that the loop closed.
    pub(crate) fn on_closed(&self, id: PeerId, reason: CloseReason) {
        if let Some(entry) = self.peer_handle(id) {
            self.events.retain_peer_info(id, entry.info());
        }
        self.peers.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
        self.counters.open_peers.fetch_sub(1, SeqCst);
        self.events.push_closed(id, reason);
    }

    pub(crate) fn on_connect_failure(&self, refusal: ConnectFailure) {
        add(&self.counters.connect_failures, 1);
        self.connect_failures.lock().unwrap_or_else(PoisonError::into_inner).push(refusal);
    }

    /// Records that the loop has ended and freed its resources. Peers left behind by a loop that
    /// failed are closed here.
    pub(crate) fn on_loop_stopped(&self) {
        self.lifecycle.store(Lifecycle::Stopped as u8, SeqCst);
        self.peer_ids().into_iter().for_each(|id| self.on_closed(id, CloseReason::Shutdown));
        self.events.finish();
    }

    fn try_send(&self, way: SendMode, id: PeerId, message: Bytes) -> Result<(), SendError> {
        if message.len() > self.max_message_size {
            return Err(SendError::TooLarge(message));
        }
        let Some(entry) = self.peer_handle(id) else {
            return Err(match self.has_reached(Lifecycle::Stopped) {
                true => SendError::Stopped(message),
                false => SendError::NoSuchPeer(message),
            });
        };
        let posted = entry.send_queue.push(way, message).map_err(|unposted| match unposted {
            PushError::Full(message) => SendError::Full(message),
            PushError::Closing(message) => SendError::NoSuchPeer(message),
        })?;
        self.on_queued(id, &entry, posted);
        Ok(())
    }

    fn on_queued(&self, id: PeerId, entry: &PeerHandle, posted: Queued) {
        entry.queue_drops.add(posted.dropped);
        self.counters.unreliable_dropped.add(posted.dropped);
        if posted.needs_wake {
            self.pending_sends.push(id);
            self.wake();
        }
    }

    fn has_reached(&self, state: Lifecycle) -> bool {
        self.lifecycle.load(SeqCst) >= state as u8
    }

    fn peer_ids(&self) -> Vec<PeerId> {
        self.peers.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("stats", &self.counters.snapshot()).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::AtomicU32;
    use std::time::Instant;

    use net_ws::{Input, Output, Socket};

    use super::*;
    use crate::{Accepted, Delivery, Request};

    /// Peer information of a client that asked for `/`.
    pub(crate) fn info() -> PeerInfo {
        let (now, config) = (Instant::now(), net_ws::Config::default());
        let client = Socket::connect(now, config.clone(), "a", "/").unwrap();
        let mut server = Socket::accept(now, config);
        server.handle_input(now, Input::Bytes(client.outgoing()));
        let Output::Upgraded(head) = server.poll_output() else { panic!("not upgraded") };
        let request = Request::new(([198, 51, 100, 1], 5_000).into(), None, head);
        PeerInfo::new(&request, Accepted::default())
    }

    #[test]
    fn t67_after_a_million_opens_a_stale_id_reaches_nobody() {
        const OPENS: u64 = 1_000_000;
        let config = Config::default();
        let wakes = Arc::new(AtomicU32::new(0));
        let counter = wakes.clone();
        let shared = Shared::new(&config, move || _ = counter.fetch_add(1, SeqCst));
        let entry =
            Arc::new(PeerHandle::new(&config, &shared.send_pool, info(), PathMonitor::default()));
        for number in 0..OPENS {
            let id = PeerId::from(number);
            shared.on_open(id, entry.clone());
            if let Some(stale) = number.checked_sub(1 + number % 5_000) {
                let sent = shared.send(Delivery::Reliable.into(), stale.into(), Bytes::new());
                assert_eq!(sent, Err(SendError::NoSuchPeer(Bytes::new())));
            }
            shared.on_closed(id, CloseReason::Lost);
            if number % 1_000 == 0 {
                shared.events.release_peer_info(&shared.events.pop_all().closed_peers);
            }
        }
        shared.events.pop_all();
        assert!(!shared.has_pending() && wakes.load(SeqCst) == 0, "the loop hears of none of it");
        assert!(shared.peer_ids().is_empty());
        assert_eq!(shared.counters.snapshot().peers_opened, OPENS);
        let known = (0..OPENS).filter(|id| shared.events.close_reason((*id).into()).is_some());
        assert_eq!(known.count(), 4_096);
    }

    #[test]
    fn t64_a_loop_that_had_to_stop_ends_every_life() {
        let shared = Shared::new(&Config::default(), || {});
        let entry =
            PeerHandle::new(&Config::default(), &shared.send_pool, info(), PathMonitor::default());
        shared.on_open(7.into(), Arc::new(entry));
        shared.on_loop_stopped();
        let events = shared.events.pop_all().events;
        assert_eq!(events, [crate::Event::Open(7.into()), crate::Event::Closed(7.into())]);
        assert!(shared.events.is_finished());
        let sent = shared.send(Delivery::Reliable.into(), 7.into(), "who?".into());
        assert_eq!(sent, Err(SendError::Stopped("who?".into())));
    }
}

impl Shared {
    /// Passes a batch of the next pending send queue to the hub; the rest is requeued behind the
    /// others. Returns `false` if none is pending.
    pub(crate) fn dispatch_sends(&self, now: Instant, hub: &mut Hub) -> bool {
        let Some(id) = self.next_pending() else { return false };
        let Some(entry) = self.peer_handle(id) else { return true };
        let left = entry.send_queue.drain_batch(|part| {
            for message in part.reliable {
                hub.send(now, id, Delivery::Reliable, message);
            }
            for (message, options) in part.unreliable {
                hub.send_unreliable(now, id, message, options);
            }
            if let Some(reason) = part.close {
                hub.close(now, id, reason);
            }
            hub.buffered_amount(id)
        });
        if left == Remaining::More {
            self.requeue(id);
        }
        true
    }
}

/// Synchronisation primitives of the standard library and crossbeam, replaced by shuttle's in the
/// [models](crate::tests::shuttle), so that they check the shipped code.
pub(crate) mod sync {
    #[cfg(not(all(test, feature = "models")))]
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8};
    #[cfg(not(all(test, feature = "models")))]
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};

    #[cfg(not(all(test, feature = "models")))]
    pub(crate) use crossbeam::queue::SegQueue;
    #[cfg(not(all(test, feature = "models")))]
    pub(crate) use crossbeam::sync::ShardedLock;

    #[cfg(all(test, feature = "models"))]
    pub(crate) use crate::tests::shuttle::sync::*;
}
