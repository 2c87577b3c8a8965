//! Events that wait for the application.

use std::collections::{HashMap, VecDeque};
use std::sync::PoisonError;
use std::time::Duration;

use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::{CloseReason, Config, Delivery, Event, PeerId};

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
    reader: Reader,
    finished: bool,
}

/// What was taken.
#[derive(Debug)]
pub(crate) struct Taken<T> {
    pub(crate) events: T,
    /// There was no room, and now there is: the loop, which may have stopped reading, must hear.
    pub(crate) made_room: bool,
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
        let event = Event::Received(id, message);
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
        Taken { events, made_room }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is complete before anything in here could panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size(event: &Event) -> usize {
    match event {
        Event::Received(_, message) => message.len(),
        Event::Open(_) | Event::Closed(_) => 0,
    }
}

impl Inner {
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
            self.bytes -= size(&event);
            dropped += 1;
        }
        dropped
    }

    fn number(&mut self, event: &Event) -> u64 {
        self.bytes += size(event);
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
        self.bytes -= size(&event);
        if let Event::Closed(id) = event {
            self.reasons.popped(id);
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

    #[test]
    fn without_a_reader_nothing_waits() {
        let events = events(10);
        events.open(id(0));
        events.abandon();
        received(&events, Delivery::Reliable, "b");
        events.closed(id(0), CloseReason::Lost);
        assert_eq!((events.pop().events, events.lock().bytes), (None, 0));
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
