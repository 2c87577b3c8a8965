//! What the application's threads and the loop share.

pub(crate) mod event_queue;
pub(crate) mod send_queue;
pub(crate) mod sync;

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use net_rtc::{DropCounters, PathMonitor};

use crate::event::Way;
use crate::hub::Hub;
use crate::queues::event_queue::Events;
use crate::queues::send_queue::{Left, Mailbox, Posted, Total, Unposted};
use crate::queues::sync::{AtomicBool, Mutex, SegQueue, ShardedLock};
use crate::stats::{Counters, Inspector, Refusals, add};
use crate::{CloseReason, Config, Delivery, PeerId, PeerInfo, Refusal, SendError};

/// The handles on one side, the loop on the other.
pub(crate) struct Shared {
    pub(crate) events: Events,
    pub(crate) counters: Counters,
    pub(crate) inspector: Inspector,
    /// What waits for all peers.
    pub(crate) total: Arc<Total>,
    message_bytes: usize,
    peers: ShardedLock<HashMap<PeerId, Arc<Entry>>>,
    /// Ids of mailboxes that are not empty, each once.
    posts: SegQueue<PeerId>,
    refusals: Mutex<Refusals>,
    /// What browsers are told.
    announced: Mutex<Vec<SocketAddr>>,
    wake: Box<dyn Fn() + Send + Sync>,
    waking: AtomicBool,
    stopping: AtomicBool,
    stopped: AtomicBool,
}

/// What is known of an open peer.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) mailbox: Mailbox,
    info: PeerInfo,
    gauge: PathMonitor,
    /// What was dropped in the mailbox; the gauge shows the rest.
    dropped: DropCounters,
}

impl Entry {
    pub(crate) fn new(
        config: &Config,
        total: &Arc<Total>,
        info: PeerInfo,
        gauge: PathMonitor,
    ) -> Entry {
        let mailbox = Mailbox::new(config, total.clone());
        Entry { mailbox, info, gauge, dropped: DropCounters::default() }
    }

    /// What is known now.
    pub(crate) fn info(&self) -> PeerInfo {
        let mut info = self.info.clone();
        info.link = self.gauge.snapshot();
        info.link.dropped += self.dropped.snapshot();
        info
    }
}

impl Shared {
    /// `wake` ends the loop's wait; it is called on the edge from nothing to do to something.
    pub(crate) fn new(config: &Config, wake: impl Fn() + Send + Sync + 'static) -> Shared {
        Shared {
            events: Events::new(config),
            counters: Counters::default(),
            inspector: Inspector::default(),
            total: Total::new(config),
            message_bytes: config.message_bytes,
            peers: ShardedLock::default(),
            posts: SegQueue::new(),
            refusals: Mutex::default(),
            announced: Mutex::default(),
            wake: Box::new(wake),
            waking: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        }
    }

    /// Posts a message to one peer.
    pub(crate) fn send(&self, way: Way, id: PeerId, message: Bytes) -> Result<(), SendError> {
        let result = self.try_send(way, id, message);
        result.inspect_err(|error| self.counters.count_refused_send(error))
    }

    /// The same, but a peer whose backlog is full is closed as `SlowConsumer`.
    pub(crate) fn send_or_close(&self, way: Way, id: PeerId, message: Bytes) {
        if let Err(SendError::Full(message)) = self.send(way, id, message)
            && let Some(entry) = self.find(id)
        {
            let why = entry.mailbox.why_full(message.len());
            self.close(id, CloseReason::SlowConsumer(why));
        }
    }

    pub(crate) fn broadcast(&self, way: Way, message: &Bytes) {
        for id in self.ids() {
            self.send_or_close(way, id, message.clone());
        }
    }

    pub(crate) fn close(&self, id: PeerId, reason: CloseReason) {
        if let Some(entry) = self.find(id) {
            self.posted(id, &entry, entry.mailbox.close(reason));
        }
    }

    /// No handle is left: the loop shall end.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, SeqCst);
        self.wake();
    }

    pub(crate) fn find(&self, id: PeerId) -> Option<Arc<Entry>> {
        self.peers.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    pub(crate) fn refusals(&self) -> Refusals {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn announced(&self) -> Vec<SocketAddr> {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_announced(&self, announced: Vec<SocketAddr>) {
        *self.announced.lock().unwrap_or_else(PoisonError::into_inner) = announced;
    }

    /// Ends the loop's wait, unless it has been told already.
    pub(crate) fn wake(&self) {
        if !self.waking.swap(true, SeqCst) {
            (self.wake)();
        }
    }

    /// The loop is awake and looks: whoever posts from now on must wake it again.
    pub(crate) fn awake(&self) {
        self.waking.store(false, SeqCst);
    }

    /// The loop takes the next mailbox that is not empty.
    pub(crate) fn next_post(&self) -> Option<PeerId> {
        self.posts.pop()
    }

    /// Puts a mailbox back in line that has more than was taken.
    pub(crate) fn post_again(&self, id: PeerId) {
        self.posts.push(id);
    }

    /// Whether a mailbox is not empty.
    pub(crate) fn has_posts(&self) -> bool {
        !self.posts.is_empty()
    }

    /// Whether no handle is left and the loop has taken all that was posted: in this order, for
    /// nobody posts once the last handle is gone.
    pub(crate) fn is_over(&self) -> bool {
        self.stopping.load(SeqCst) && self.posts.is_empty()
    }

    /// The loop opened a peer: from now on it can be sent to.
    pub(crate) fn opened(&self, id: PeerId, entry: Arc<Entry>) {
        self.peers.write().unwrap_or_else(PoisonError::into_inner).insert(id, entry);
        add(&self.counters.opened, 1);
        add(&self.counters.peers, 1);
        self.events.open(id);
    }

    /// What is known of an open peer, or of one whose `Closed` is not handled yet.
    pub(crate) fn peer(&self, id: PeerId) -> Option<PeerInfo> {
        // In this order: one that closes meanwhile departs before it is no longer found.
        self.find(id).map(|entry| entry.info()).or_else(|| self.events.departed(id))
    }

    /// The loop closed a peer.
    pub(crate) fn closed(&self, id: PeerId, reason: CloseReason) {
        if let Some(entry) = self.find(id) {
            self.events.depart(id, entry.info());
        }
        self.peers.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
        self.counters.peers.fetch_sub(1, SeqCst);
        self.events.closed(id, reason);
    }

    pub(crate) fn refused(&self, refusal: Refusal) {
        add(&self.counters.refused, 1);
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).push(refusal);
    }

    /// The loop has ended and everything it had is free. A loop that had to stop before its time
    /// has left peers behind, and their lives end here.
    pub(crate) fn stopped(&self) {
        self.stopped.store(true, SeqCst);
        self.ids().into_iter().for_each(|id| self.closed(id, CloseReason::Shutdown));
        self.events.finish();
    }

    fn try_send(&self, way: Way, id: PeerId, message: Bytes) -> Result<(), SendError> {
        if message.len() > self.message_bytes {
            return Err(SendError::TooLarge(message));
        }
        let Some(entry) = self.find(id) else {
            return Err(match self.stopped.load(SeqCst) {
                true => SendError::Stopped(message),
                false => SendError::NoSuchPeer(message),
            });
        };
        let posted = entry.mailbox.post(way, message).map_err(|unposted| match unposted {
            Unposted::Full(message) => SendError::Full(message),
            Unposted::Closing(message) => SendError::NoSuchPeer(message),
        })?;
        self.posted(id, &entry, posted);
        Ok(())
    }

    fn posted(&self, id: PeerId, entry: &Entry, posted: Posted) {
        entry.dropped.add(posted.dropped);
        self.counters.unreliable_dropped.add(posted.dropped);
        if posted.announce {
            self.posts.push(id);
            self.wake();
        }
    }

    fn ids(&self) -> Vec<PeerId> {
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
    use crate::{Admission, Delivery, Request};

    /// Of a client that asked for `/`.
    pub(crate) fn info() -> PeerInfo {
        let (now, config) = (Instant::now(), net_ws::Config::default());
        let client = Socket::connect(now, config.clone(), "a", "/").unwrap();
        let mut server = Socket::accept(now, config);
        server.handle_input(now, Input::Bytes(client.outgoing()));
        let Output::Upgraded(head) = server.poll_output() else { panic!("not upgraded") };
        let request = Request::new(([198, 51, 100, 1], 5_000).into(), None, head);
        PeerInfo::new(&request, Admission::default())
    }

    #[test]
    fn t67_after_a_million_opens_a_stale_id_reaches_nobody() {
        const OPENS: u64 = 1_000_000;
        let config = Config::default();
        let wakes = Arc::new(AtomicU32::new(0));
        let counter = wakes.clone();
        let shared = Shared::new(&config, move || _ = counter.fetch_add(1, SeqCst));
        let entry = Arc::new(Entry::new(&config, &shared.total, info(), PathMonitor::default()));
        for number in 0..OPENS {
            let id = PeerId::from(number);
            shared.opened(id, entry.clone());
            if let Some(stale) = number.checked_sub(1 + number % 5_000) {
                let sent = shared.send(Delivery::Reliable.into(), stale.into(), Bytes::new());
                assert_eq!(sent, Err(SendError::NoSuchPeer(Bytes::new())));
            }
            shared.closed(id, CloseReason::Lost);
            if number % 1_000 == 0 {
                shared.events.forget(&shared.events.pop_all().departed);
            }
        }
        shared.events.pop_all();
        assert!(!shared.has_posts() && wakes.load(SeqCst) == 0, "the loop hears of none of it");
        assert!(shared.ids().is_empty());
        assert_eq!(shared.counters.snapshot().opened, OPENS);
        let known = (0..OPENS).filter(|id| shared.events.close_reason((*id).into()).is_some());
        assert_eq!(known.count(), 4_096);
    }

    #[test]
    fn t64_a_loop_that_had_to_stop_ends_every_life() {
        let shared = Shared::new(&Config::default(), || {});
        let entry = Entry::new(&Config::default(), &shared.total, info(), PathMonitor::default());
        shared.opened(7.into(), Arc::new(entry));
        shared.stopped();
        let events = shared.events.pop_all().events;
        assert_eq!(events, [crate::Event::Open(7.into()), crate::Event::Closed(7.into())]);
        assert!(shared.events.is_finished());
        let sent = shared.send(Delivery::Reliable.into(), 7.into(), "who?".into());
        assert_eq!(sent, Err(SendError::Stopped("who?".into())));
    }
}

impl Shared {
    /// Hands the hub a part of what waits in the first mailbox in line; what is left goes behind
    /// the others. False if none is in line.
    pub(crate) fn hand_over(&self, now: Instant, hub: &mut Hub) -> bool {
        let Some(id) = self.next_post() else { return false };
        let Some(entry) = self.find(id) else { return true };
        let left = entry.mailbox.take_part(|part| {
            for message in part.reliable {
                hub.send(now, id, Delivery::Reliable, message);
            }
            for (message, options) in part.fresh {
                hub.send_unreliable(now, id, message, options);
            }
            if let Some(reason) = part.close {
                hub.close(now, id, reason);
            }
            hub.unwritten(id)
        });
        if left == Left::Something {
            self.post_again(id);
        }
        true
    }
}
