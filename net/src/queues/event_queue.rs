//! Events that wait for the application.

use std::collections::{HashMap, VecDeque};
use std::sync::PoisonError;
use std::time::Duration;

use crate::queues::sync::{Condvar, Mutex, MutexGuard};
use crate::{CloseReason, Config, Delivery, Event, Message, PeerId, PeerInfo};

/// Close reasons that are kept after their `Closed` was popped.
const REASONS: usize = 4_096;

/// One stream of events between the loop and every clone of the queue.
#[derive(Debug)]
pub(crate) struct Events {
    inner: Mutex<Inner>,
    news: Condvar,
    most_events: usize,
    most_bytes: usize,
}

/// Events are numbered, so that those that may be dropped can wait apart from those that may
/// not and still come out in order.
#[derive(Debug, Default)]
struct Inner {
    kept: VecDeque<(u64, Event)>,
    fresh: VecDeque<(u64, Event)>,
    numbered: u64,
    bytes: usize,
    reasons: Reasons,
    /// Closed peers, until their `Closed` was handled.
    departed: HashMap<PeerId, PeerInfo>,
    /// Those of them whose `Closed` was popped in the present call.
    popped: Vec<PeerId>,
    reader: Reader,
    finished: bool,
}

/// What was taken.
#[derive(Debug)]
pub(crate) struct Taken<T> {
    pub(crate) events: T,
    /// There was no room, and now there is: the loop, which may have stopped reading, must hear.
    pub(crate) made_room: bool,
    /// Whose `Closed` is among the events: [`Events::forget`] them once that is handled.
    pub(crate) departed: Vec<PeerId>,
}

/// Whether anybody is there to read.
#[derive(Debug, Default, PartialEq, Eq)]
enum Reader {
    #[default]
    Present,
    Gone,
}

impl Events {
    pub(crate) fn new(config: &Config) -> Events {
        let (inner, news) = (Mutex::default(), Condvar::new());
        Events { inner, news, most_events: config.events, most_bytes: config.event_bytes }
    }

    /// A peer opened.
    pub(crate) fn open(&self, id: PeerId) {
        self.lock().keep(Event::Open(id));
        self.news.notify_all();
    }

    /// A message arrived. Gives the number of unreliable messages that were dropped for it.
    pub(crate) fn received(&self, id: PeerId, delivery: Delivery, message: bytes::Bytes) -> u64 {
        let mut inner = self.lock();
        let event = Event::Received(id, Message::new(delivery, message));
        let dropped = match delivery {
            Delivery::Reliable => inner.keep(event),
            Delivery::Unreliable => {
                inner.push_fresh(event);
                inner.drop_oldest(self.most_events, self.most_bytes)
            }
        };
        self.news.notify_all();
        dropped
    }

    /// A peer is about to be closed: what is known of it stays, until it is to be forgotten.
    pub(crate) fn depart(&self, id: PeerId, info: PeerInfo) {
        let mut inner = self.lock();
        if inner.reader == Reader::Present {
            inner.departed.insert(id, info);
        }
    }

    /// What was known of a closed peer that is not forgotten.
    pub(crate) fn departed(&self, id: PeerId) -> Option<PeerInfo> {
        self.lock().departed.get(&id).cloned()
    }

    /// The `Closed` of these peers was handled.
    pub(crate) fn forget(&self, ids: &[PeerId]) {
        let mut inner = self.lock();
        let infos: Vec<_> = ids.iter().filter_map(|id| inner.departed.remove(id)).collect();
        // The application's values are dropped outside of the lock, which their `Drop` may want.
        drop(inner);
        drop(infos);
    }

    /// A peer closed.
    pub(crate) fn closed(&self, id: PeerId, reason: CloseReason) {
        let mut inner = self.lock();
        inner.reasons.insert(id, reason);
        if inner.reader == Reader::Gone {
            inner.reasons.popped(id);
        }
        inner.keep(Event::Closed(id));
        self.news.notify_all();
    }

    /// The loop has ended: no further events come.
    pub(crate) fn finish(&self) {
        self.lock().finished = true;
        self.news.notify_all();
    }

    /// Nobody reads any more: what waits and what comes is discarded.
    pub(crate) fn abandon(&self) {
        let mut inner = self.lock();
        inner.reader = Reader::Gone;
        while inner.pop().is_some() {}
        inner.popped = Vec::new();
        let departed = std::mem::take(&mut inner.departed);
        drop(inner);
        drop(departed);
    }

    pub(crate) fn pop(&self) -> Taken<Option<Event>> {
        self.take(self.lock(), Inner::pop)
    }

    pub(crate) fn pop_all(&self) -> Taken<Vec<Event>> {
        self.take(self.lock(), Inner::pop_all)
    }

    /// Waits until there is something or the time is up, then takes everything.
    pub(crate) fn wait(&self, timeout: Duration) -> Taken<Vec<Event>> {
        let inner = self.lock();
        let idle = |inner: &mut Inner| inner.len() == 0 && !inner.finished;
        let waited = self.news.wait_timeout_while(inner, timeout, idle);
        self.take(waited.unwrap_or_else(PoisonError::into_inner).0, Inner::pop_all)
    }

    /// Whether so much waits that websockets should not be read.
    pub(crate) fn is_full(&self) -> bool {
        self.lock().is_over(self.most_events, self.most_bytes)
    }

    /// Whether everything was popped and nothing more can come.
    pub(crate) fn is_finished(&self) -> bool {
        let inner = self.lock();
        inner.finished && inner.len() == 0
    }

    pub(crate) fn close_reason(&self, id: PeerId) -> Option<CloseReason> {
        self.lock().reasons.find(id)
    }

    /// Under one lock: between two the loop could fill the queue and find it full.
    fn take<T>(&self, mut inner: MutexGuard<'_, Inner>, take: fn(&mut Inner) -> T) -> Taken<T> {
        let was_full = inner.is_over(self.most_events, self.most_bytes);
        let events = take(&mut inner);
        let made_room = was_full && !inner.is_over(self.most_events, self.most_bytes);
        Taken { events, made_room, departed: std::mem::take(&mut inner.popped) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is complete before anything in here could panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Bytes that wait because of an event. What is known of a closed peer waits with its
    /// `Closed`.
    fn size(&self, event: &Event) -> usize {
        match event {
            Event::Received(_, message) => message.len(),
            Event::Closed(id) => self.departed.get(id).map_or(0, PeerInfo::size),
            Event::Open(_) => 0,
        }
    }

    fn len(&self) -> usize {
        self.kept.len() + self.fresh.len()
    }

    fn is_over(&self, events: usize, bytes: usize) -> bool {
        self.len() >= events || self.bytes >= bytes
    }

    fn keep(&mut self, event: Event) -> u64 {
        if self.reader == Reader::Present {
            let number = self.number(&event);
            self.kept.push_back((number, event));
        }
        0
    }

    fn push_fresh(&mut self, event: Event) {
        if self.reader == Reader::Present {
            let number = self.number(&event);
            self.fresh.push_back((number, event));
        }
    }

    fn drop_oldest(&mut self, events: usize, bytes: usize) -> u64 {
        let mut dropped = 0;
        while self.len() > events || self.bytes > bytes {
            let Some((_, event)) = self.fresh.pop_front() else { break };
            self.bytes -= self.size(&event);
            dropped += 1;
        }
        dropped
    }

    fn number(&mut self, event: &Event) -> u64 {
        self.bytes += self.size(event);
        self.numbered += 1;
        self.numbered
    }

    fn pop(&mut self) -> Option<Event> {
        let fresh_first = match (self.kept.front(), self.fresh.front()) {
            (Some((kept, _)), Some((fresh, _))) => fresh < kept,
            (kept, _) => kept.is_none(),
        };
        let queue = if fresh_first { &mut self.fresh } else { &mut self.kept };
        let (_, event) = queue.pop_front()?;
        self.bytes -= self.size(&event);
        if let Event::Closed(id) = event {
            self.reasons.popped(id);
            self.popped.push(id);
        }
        Some(event)
    }

    fn pop_all(&mut self) -> Vec<Event> {
        let mut events = Vec::with_capacity(self.len());
        events.extend(std::iter::from_fn(|| self.pop()));
        events
    }
}

/// Why peers closed: for all whose `Closed` waits, and the last 4,096 popped.
#[derive(Debug, Default)]
struct Reasons {
    by_id: HashMap<PeerId, CloseReason>,
    popped: VecDeque<PeerId>,
}

impl Reasons {
    fn insert(&mut self, id: PeerId, reason: CloseReason) {
        self.by_id.insert(id, reason);
    }

    fn popped(&mut self, id: PeerId) {
        self.popped.push_back(id);
        if self.popped.len() > REASONS
            && let Some(oldest) = self.popped.pop_front()
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

    fn events(most_events: usize) -> Events {
        Events::new(&Config { events: most_events, event_bytes: 1_000, ..Config::default() })
    }

    fn id(number: u64) -> PeerId {
        PeerId::from(number)
    }

    fn received(events: &Events, delivery: Delivery, text: &'static str) -> u64 {
        events.received(id(0), delivery, Bytes::from_static(text.as_bytes()))
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
        events.open(id(0));
        for (delivery, text) in [
            (Delivery::Unreliable, "a"),
            (Delivery::Reliable, "b"),
            (Delivery::Unreliable, "c"),
            (Delivery::Unreliable, "d"),
        ] {
            received(&events, delivery, text);
        }
        events.closed(id(0), CloseReason::ClosedByPeer);
        assert_eq!(events.pop().events, Some(Event::Open(id(0))));
        assert_eq!(texts(events.pop_all().events), ["a", "b", "c", "d", "closed"]);
        assert_eq!(events.pop().events, None);
    }

    #[test]
    fn at_the_bound_only_the_oldest_unreliable_is_dropped() {
        let events = events(3);
        events.open(id(0));
        assert_eq!(received(&events, Delivery::Unreliable, "old"), 0);
        assert!(!events.is_full());
        assert_eq!(received(&events, Delivery::Reliable, "kept"), 0);
        assert!(events.is_full());
        assert_eq!(received(&events, Delivery::Unreliable, "new"), 1);
        assert_eq!(received(&events, Delivery::Reliable, "kept too"), 0);
        events.closed(id(0), CloseReason::Lost);
        assert_eq!(received(&events, Delivery::Unreliable, "none"), 2);
        assert_eq!(texts(events.pop_all().events), ["open", "kept", "kept too", "closed"]);
        assert!(!events.is_full());
    }

    #[test]
    fn whoever_makes_room_is_told() {
        let events = events(2);
        events.open(id(0));
        received(&events, Delivery::Reliable, "a");
        received(&events, Delivery::Reliable, "b");
        let pop = || events.pop().made_room;
        assert_eq!([pop(), pop(), pop(), pop()], [false, true, false, false]);
        received(&events, Delivery::Reliable, "c");
        received(&events, Delivery::Reliable, "d");
        assert!(events.wait(Duration::ZERO).made_room);
        assert!(!events.pop_all().made_room);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let events = events(100);
        let big = Bytes::from(vec![0; 600]);
        assert_eq!(events.received(id(0), Delivery::Unreliable, big.clone()), 0);
        assert_eq!(events.received(id(0), Delivery::Unreliable, big.clone()), 1);
        assert_eq!(events.received(id(0), Delivery::Reliable, big), 0);
        assert!(events.is_full());
    }

    #[test]
    fn as_many_bytes_as_may_wait_do_and_what_was_popped_counts_no_more() {
        let events = events(100);
        for _ in 0..3 {
            for _ in 0..2 {
                assert!(!events.is_full());
                let half = Bytes::from(vec![0; 500]);
                assert_eq!(events.received(id(0), Delivery::Unreliable, half), 0);
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
        for number in 0..REASONS as u64 + 2 {
            events.closed(id(number), CloseReason::Lost);
        }
        assert_eq!(events.close_reason(id(0)), Some(CloseReason::Lost));
        assert_eq!(events.pop_all().events.len(), REASONS + 2);
        let known = |number| events.close_reason(id(number)).is_some();
        assert_eq!([known(0), known(1), known(2)], [false, false, true]);
    }

    fn depart(events: &Events, number: u64) {
        events.depart(id(number), crate::queues::tests::info());
        events.closed(id(number), CloseReason::Lost);
    }

    #[test]
    fn what_was_known_of_a_peer_stays_until_it_is_forgotten() {
        let events = events(10);
        depart(&events, 0);
        depart(&events, 1);
        assert!(events.departed(id(0)).is_some());
        let taken = events.pop();
        assert_eq!((taken.events, &taken.departed), (Some(Event::Closed(id(0))), &vec![id(0)]));
        assert!(events.departed(id(0)).is_some(), "it is handled now");
        events.forget(&taken.departed);
        assert!(events.departed(id(0)).is_none() && events.departed(id(1)).is_some());
        assert_eq!(events.pop_all().departed, [id(1)]);
        assert!(events.pop_all().departed.is_empty());
    }

    #[test]
    fn what_is_known_of_departed_peers_counts_among_the_bytes() {
        let events = events(10_000);
        let size = crate::queues::tests::info().size();
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
        events.open(id(0));
        depart(&events, 1);
        events.abandon();
        received(&events, Delivery::Reliable, "b");
        events.closed(id(0), CloseReason::Lost);
        depart(&events, 2);
        assert_eq!((events.pop().events, events.lock().bytes), (None, 0));
        assert!(events.lock().departed.is_empty() && events.lock().popped.is_empty());
        assert_eq!(events.close_reason(id(0)), Some(CloseReason::Lost));
    }

    #[test]
    fn finished_means_popped() {
        let events = events(10);
        events.open(id(0));
        events.finish();
        assert!(!events.is_finished());
        assert_eq!(events.wait(Duration::MAX).events.len(), 1);
        assert!(events.is_finished());
        assert_eq!(events.wait(Duration::MAX).events, []);
    }
}
