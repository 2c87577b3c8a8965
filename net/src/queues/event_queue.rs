//! Event queue between the event loop and the application.

use std::collections::{HashMap, VecDeque};
use std::sync::PoisonError;
use std::time::Duration;

use crate::queues::sync::{Condvar, Mutex, MutexGuard};
use crate::{CloseReason, Config, Delivery, Event, Message, PeerId, PeerInfo};

/// Close reasons that are kept after their `Closed` was popped.
const MAX_KEPT_REASONS: usize = 4_096;

/// Channel of events from the loop to all clones of the queue.
#[derive(Debug)]
pub(crate) struct EventChannel {
    inner: Mutex<EventQueueInner>,
    available: Condvar,
    max_events: usize,
    max_bytes: usize,
}

/// Events are numbered, so that droppable ones can be queued apart from the others and still come
/// out in order.
#[derive(Debug, Default)]
struct EventQueueInner {
    kept: VecDeque<(u64, Event)>,
    droppable: VecDeque<(u64, Event)>,
    last_seq: u64,
    bytes: usize,
    close_reasons: CloseReasons,
    /// Information about closed peers, until their `Closed` was handled.
    closed_peers: HashMap<PeerId, PeerInfo>,
    /// Closed peers whose `Closed` was popped in the present call.
    popped_closed: Vec<PeerId>,
    reader: ReaderState,
    is_finished: bool,
}

/// Events taken in one call, and whether the event loop must be woken.
#[derive(Debug)]
pub(crate) struct Popped<T> {
    pub(crate) events: T,
    /// The queue was full and now has room: the loop, which may have stopped reading, must be
    /// woken.
    pub(crate) needs_wake: bool,
    /// Peers whose `Closed` is among the events: call [`EventChannel::release_peer_info`] for them
    /// once that is handled.
    pub(crate) closed_peers: Vec<PeerId>,
}

/// State of the reading side.
#[derive(Debug, Default, PartialEq, Eq)]
enum ReaderState {
    #[default]
    Attached,
    Detached,
}

impl EventChannel {
    pub(crate) fn new(config: &Config) -> EventChannel {
        let (inner, available) = (Mutex::default(), Condvar::new());
        EventChannel {
            inner,
            available,
            max_events: config.event_queue_len,
            max_bytes: config.event_queue_bytes,
        }
    }

    /// Queues an `Open`.
    pub(crate) fn push_open(&self, id: PeerId) {
        self.lock().push_kept(Event::Open(id));
        self.available.notify_all();
    }

    /// Queues a message. Returns the number of unreliable messages that were dropped for it.
    pub(crate) fn push_message(
        &self,
        id: PeerId,
        delivery: Delivery,
        message: bytes::Bytes,
    ) -> u64 {
        let mut inner = self.lock();
        let event = Event::Received(id, Message::new(delivery, message));
        let dropped = match delivery {
            Delivery::Reliable => inner.push_kept(event),
            Delivery::Unreliable => {
                inner.push_droppable(event);
                inner.drop_oldest(self.max_events, self.max_bytes)
            }
        };
        self.available.notify_all();
        dropped
    }

    /// Keeps the information of a peer that is about to be closed, until it is released.
    pub(crate) fn retain_peer_info(&self, id: PeerId, info: PeerInfo) {
        let mut inner = self.lock();
        if inner.reader == ReaderState::Attached {
            inner.closed_peers.insert(id, info);
        }
    }

    /// Returns the information of a closed peer that is not released.
    pub(crate) fn closed_peer_info(&self, id: PeerId) -> Option<PeerInfo> {
        self.lock().closed_peers.get(&id).cloned()
    }

    /// Releases the information of peers whose `Closed` was handled.
    pub(crate) fn release_peer_info(&self, ids: &[PeerId]) {
        let mut inner = self.lock();
        let infos: Vec<_> = ids.iter().filter_map(|id| inner.closed_peers.remove(id)).collect();
        // The application's values are dropped outside of the lock, because their `Drop` may take
        // it.
        drop(inner);
        drop(infos);
    }

    /// Queues a `Closed`.
    pub(crate) fn push_closed(&self, id: PeerId, reason: CloseReason) {
        let mut inner = self.lock();
        inner.close_reasons.insert(id, reason);
        if inner.reader == ReaderState::Detached {
            inner.close_reasons.on_popped(id);
        }
        inner.push_kept(Event::Closed(id));
        self.available.notify_all();
    }

    /// Ends the stream: the loop has ended.
    pub(crate) fn finish(&self) {
        self.lock().is_finished = true;
        self.available.notify_all();
    }

    /// Disconnects the reading side: queued and further events are discarded.
    pub(crate) fn disconnect(&self) {
        let mut inner = self.lock();
        inner.reader = ReaderState::Detached;
        while inner.pop().is_some() {}
        inner.popped_closed = Vec::new();
        let departed = std::mem::take(&mut inner.closed_peers);
        drop(inner);
        drop(departed);
    }

    pub(crate) fn pop(&self) -> Popped<Option<Event>> {
        self.pop_with(self.lock(), EventQueueInner::pop)
    }

    pub(crate) fn pop_all(&self) -> Popped<Vec<Event>> {
        self.pop_with(self.lock(), EventQueueInner::pop_all)
    }

    /// Waits for an event or the timeout, then takes all events.
    pub(crate) fn wait(&self, timeout: Duration) -> Popped<Vec<Event>> {
        let inner = self.lock();
        let idle = |inner: &mut EventQueueInner| inner.len() == 0 && !inner.is_finished;
        let waited = self.available.wait_timeout_while(inner, timeout, idle);
        self.pop_with(waited.unwrap_or_else(PoisonError::into_inner).0, EventQueueInner::pop_all)
    }

    /// Returns whether the queue is full, so that websockets must not be read.
    pub(crate) fn is_full(&self) -> bool {
        self.lock().is_at_limit(self.max_events, self.max_bytes)
    }

    /// Returns whether all events were popped and the loop has ended.
    pub(crate) fn is_finished(&self) -> bool {
        let inner = self.lock();
        inner.is_finished && inner.len() == 0
    }

    pub(crate) fn close_reason(&self, id: PeerId) -> Option<CloseReason> {
        self.lock().close_reasons.find(id)
    }

    /// Pops under one lock: between two the loop could fill the queue and find it full.
    fn pop_with<T>(
        &self,
        mut inner: MutexGuard<'_, EventQueueInner>,
        take: fn(&mut EventQueueInner) -> T,
    ) -> Popped<T> {
        let was_full = inner.is_at_limit(self.max_events, self.max_bytes);
        let events = take(&mut inner);
        let made_room = was_full && !inner.is_at_limit(self.max_events, self.max_bytes);
        Popped {
            events,
            needs_wake: made_room,
            closed_peers: std::mem::take(&mut inner.popped_closed),
        }
    }

    fn lock(&self) -> MutexGuard<'_, EventQueueInner> {
        // Every change is complete before anything in here could panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventQueueInner {
    /// Returns the bytes that an event occupies in the queue. The information of a closed peer
    /// counts with its `Closed`.
    fn event_size(&self, event: &Event) -> usize {
        match event {
            Event::Received(_, message) => message.len(),
            Event::Closed(id) => self.closed_peers.get(id).map_or(0, PeerInfo::memory_size),
            Event::Open(_) => 0,
        }
    }

    fn len(&self) -> usize {
        self.kept.len() + self.droppable.len()
    }

    fn is_at_limit(&self, events: usize, bytes: usize) -> bool {
        self.len() >= events || self.bytes >= bytes
    }

    fn push_kept(&mut self, event: Event) -> u64 {
        if self.reader == ReaderState::Attached {
            let number = self.assign_seq(&event);
            self.kept.push_back((number, event));
        }
        0
    }

    fn push_droppable(&mut self, event: Event) {
        if self.reader == ReaderState::Attached {
            let number = self.assign_seq(&event);
            self.droppable.push_back((number, event));
        }
    }

    fn drop_oldest(&mut self, events: usize, bytes: usize) -> u64 {
        let mut dropped = 0;
        while self.len() > events || self.bytes > bytes {
            let Some((_, event)) = self.droppable.pop_front() else { break };
            self.bytes -= self.event_size(&event);
            dropped += 1;
        }
        dropped
    }

    fn assign_seq(&mut self, event: &Event) -> u64 {
        self.bytes += self.event_size(event);
        self.last_seq += 1;
        self.last_seq
    }

    fn pop(&mut self) -> Option<Event> {
        let fresh_first = match (self.kept.front(), self.droppable.front()) {
            (Some((kept, _)), Some((fresh, _))) => fresh < kept,
            (kept, _) => kept.is_none(),
        };
        let queue = if fresh_first { &mut self.droppable } else { &mut self.kept };
        let (_, event) = queue.pop_front()?;
        self.bytes -= self.event_size(&event);
        if let Event::Closed(id) = event {
            self.close_reasons.on_popped(id);
            self.popped_closed.push(id);
        }
        Some(event)
    }

    fn pop_all(&mut self) -> Vec<Event> {
        let mut events = Vec::with_capacity(self.len());
        events.extend(std::iter::from_fn(|| self.pop()));
        events
    }
}

/// Close reasons of peers whose `Closed` is queued, and of the last 4,096 popped.
#[derive(Debug, Default)]
struct CloseReasons {
    by_id: HashMap<PeerId, CloseReason>,
    popped_order: VecDeque<PeerId>,
}

impl CloseReasons {
    fn insert(&mut self, id: PeerId, reason: CloseReason) {
        self.by_id.insert(id, reason);
    }

    fn on_popped(&mut self, id: PeerId) {
        self.popped_order.push_back(id);
        if self.popped_order.len() > MAX_KEPT_REASONS
            && let Some(oldest) = self.popped_order.pop_front()
        {
            self.by_id.remove(&oldest);
        }
    }

    fn find(&self, id: PeerId) -> Option<CloseReason> {
        self.by_id.get(&id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn events(most_events: usize) -> EventChannel {
        EventChannel::new(&Config {
            event_queue_len: most_events,
            event_queue_bytes: 1_000,
            ..Config::default()
        })
    }

    fn id(number: u64) -> PeerId {
        PeerId::from(number)
    }

    fn received(events: &EventChannel, delivery: Delivery, text: &'static str) -> u64 {
        events.push_message(id(0), delivery, Bytes::from_static(text.as_bytes()))
    }

    fn texts(popped: Vec<Event>) -> Vec<String> {
        popped
            .into_iter()
            .map(|event| match event {
                Event::Open(_) => "open".into(),
                Event::Closed(_) => "closed".into(),
                Event::Received(_, message) => String::from_utf8_lossy(&message).into_owned(),
            })
            .collect()
    }

    #[test]
    fn both_kinds_come_out_in_order() {
        let events = events(10);
        events.push_open(id(0));
        for (delivery, text) in [
            (Delivery::Unreliable, "a"),
            (Delivery::Reliable, "b"),
            (Delivery::Unreliable, "c"),
            (Delivery::Unreliable, "d"),
        ] {
            received(&events, delivery, text);
        }
        events.push_closed(id(0), CloseReason::ClosedByPeer);
        assert_eq!(events.pop().events, Some(Event::Open(id(0))));
        assert_eq!(texts(events.pop_all().events), ["a", "b", "c", "d", "closed"]);
        assert_eq!(events.pop().events, None);
    }

    #[test]
    fn at_the_bound_only_the_oldest_unreliable_is_dropped() {
        let events = events(3);
        events.push_open(id(0));
        assert_eq!(received(&events, Delivery::Unreliable, "old"), 0);
        assert!(!events.is_full());
        assert_eq!(received(&events, Delivery::Reliable, "kept"), 0);
        assert!(events.is_full());
        assert_eq!(received(&events, Delivery::Unreliable, "new"), 1);
        assert_eq!(received(&events, Delivery::Reliable, "kept too"), 0);
        events.push_closed(id(0), CloseReason::Lost);
        assert_eq!(received(&events, Delivery::Unreliable, "none"), 2);
        assert_eq!(texts(events.pop_all().events), ["open", "kept", "kept too", "closed"]);
        assert!(!events.is_full());
    }

    #[test]
    fn whoever_makes_room_is_told() {
        let events = events(2);
        events.push_open(id(0));
        received(&events, Delivery::Reliable, "a");
        received(&events, Delivery::Reliable, "b");
        let pop = || events.pop().needs_wake;
        assert_eq!([pop(), pop(), pop(), pop()], [false, true, false, false]);
        received(&events, Delivery::Reliable, "c");
        received(&events, Delivery::Reliable, "d");
        assert!(events.wait(Duration::ZERO).needs_wake);
        assert!(!events.pop_all().needs_wake);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let events = events(100);
        let big = Bytes::from(vec![0; 600]);
        assert_eq!(events.push_message(id(0), Delivery::Unreliable, big.clone()), 0);
        assert_eq!(events.push_message(id(0), Delivery::Unreliable, big.clone()), 1);
        assert_eq!(events.push_message(id(0), Delivery::Reliable, big), 0);
        assert!(events.is_full());
    }

    #[test]
    fn as_many_bytes_as_may_wait_do_and_what_was_popped_counts_no_more() {
        let events = events(100);
        for _ in 0..3 {
            for _ in 0..2 {
                assert!(!events.is_full());
                let half = Bytes::from(vec![0; 500]);
                assert_eq!(events.push_message(id(0), Delivery::Unreliable, half), 0);
            }
            assert!(events.is_full());
            assert_eq!(events.pop_all().events.len(), 2);
        }
    }

    #[test]
    fn without_events_a_wait_lasts_its_time() {
        let (events, time) = (events(10), Duration::from_millis(20));
        let began = std::time::Instant::now();
        assert_eq!(events.wait(time).events, []);
        assert!(began.elapsed() >= time);
    }

    #[test]
    fn a_reason_is_known_until_popped_and_for_a_while_after() {
        let events = events(10);
        for number in 0..MAX_KEPT_REASONS as u64 + 2 {
            events.push_closed(id(number), CloseReason::Lost);
        }
        assert_eq!(events.close_reason(id(0)), Some(CloseReason::Lost));
        assert_eq!(events.pop_all().events.len(), MAX_KEPT_REASONS + 2);
        let known = |number| events.close_reason(id(number)).is_some();
        assert_eq!([known(0), known(1), known(2)], [false, false, true]);
    }

    fn depart(events: &EventChannel, number: u64) {
        events.retain_peer_info(id(number), crate::queues::tests::info());
        events.push_closed(id(number), CloseReason::Lost);
    }

    #[test]
    fn what_was_known_of_a_peer_stays_until_it_is_forgotten() {
        let events = events(10);
        depart(&events, 0);
        depart(&events, 1);
        assert!(events.closed_peer_info(id(0)).is_some());
        let taken = events.pop();
        assert_eq!((taken.events, &taken.closed_peers), (Some(Event::Closed(id(0))), &vec![id(0)]));
        assert!(events.closed_peer_info(id(0)).is_some(), "it is handled now");
        events.release_peer_info(&taken.closed_peers);
        assert!(
            events.closed_peer_info(id(0)).is_none() && events.closed_peer_info(id(1)).is_some()
        );
        assert_eq!(events.pop_all().closed_peers, [id(1)]);
        assert!(events.pop_all().closed_peers.is_empty());
    }

    #[test]
    fn what_is_known_of_departed_peers_counts_among_the_bytes() {
        let events = events(10_000);
        let size = crate::queues::tests::info().memory_size();
        let most = u64::try_from(1_000 / size).unwrap();
        (0..=most).for_each(|number| depart(&events, number));
        assert!(events.is_full());
        events.pop_all();
        assert!(!events.is_full());
        assert_eq!(events.lock().bytes, 0);
    }

    #[test]
    fn without_a_reader_nothing_waits() {
        let events = events(10);
        events.push_open(id(0));
        depart(&events, 1);
        events.disconnect();
        received(&events, Delivery::Reliable, "b");
        events.push_closed(id(0), CloseReason::Lost);
        depart(&events, 2);
        assert_eq!((events.pop().events, events.lock().bytes), (None, 0));
        assert!(events.lock().closed_peers.is_empty() && events.lock().popped_closed.is_empty());
        assert_eq!(events.close_reason(id(0)), Some(CloseReason::Lost));
    }

    #[test]
    fn finished_means_popped() {
        let events = events(10);
        events.push_open(id(0));
        events.finish();
        assert!(!events.is_finished());
        assert_eq!(events.wait(Duration::MAX).events.len(), 1);
        assert!(events.is_finished());
        assert_eq!(events.wait(Duration::MAX).events, []);
    }
}
