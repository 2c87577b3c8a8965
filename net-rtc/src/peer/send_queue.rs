//! Unreliable send queue: bounded, keyed, and with a maximum age of messages.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::event::SendOptions;
use crate::keyed_queue::{KeyedQueue, MIN_ITEM_COST};
use crate::stats::DropStats;

/// Divisor of the maximum age while the queue is overloaded.
const OVERLOAD_DIVISOR: u32 = 5;

/// Overhead of a message in bytes (226 measured).
const MEMORY_PER_MESSAGE: usize = 228;

/// Maximum memory of a queue with this bound, in bytes.
pub(crate) fn max_memory(most_bytes: usize) -> usize {
    most_bytes.saturating_add((most_bytes / MIN_ITEM_COST).saturating_mul(MEMORY_PER_MESSAGE))
}

/// The queue in front of the data path: bounded, with keys by which newer messages supersede older
/// ones, and with a maximum age.
///
/// A burst may use the whole maximum age. When the queue has not been empty for that long, messages
/// are sent faster than the path takes them, and every message would reach the maximum age: a
/// message then expires after a fifth of it. That ends when the queue is empty and no message has
/// expired for the maximum age. While nothing newer has been pushed, a message has the whole
/// maximum age, because dropping it would benefit no other.
#[derive(Debug)]
pub(crate) struct SendQueue {
    queue: KeyedQueue<QueuedMessage>,
    state: QueueState,
    /// Time of the last push, or of the creation of the queue.
    last_push: Instant,
    max_age: Duration,
    dropped: DropStats,
}

/// Load of the queue relative to the path.
#[derive(Debug)]
enum QueueState {
    /// The queue was empty at `since`, and nothing has expired after that.
    Normal { since: Instant },
    /// Overloaded; the last message expired at `last_expiry`.
    Overloaded { last_expiry: Instant },
}

/// Queued message, and the time of its push, from which it expires.
#[derive(Debug)]
struct QueuedMessage {
    queued_at: Instant,
    message: Bytes,
    options: SendOptions,
}

impl SendQueue {
    pub(crate) fn new(now: Instant, most_bytes: usize, max_age: Duration) -> SendQueue {
        SendQueue {
            queue: KeyedQueue::new(most_bytes),
            state: QueueState::Normal { since: now },
            last_push: now,
            max_age,
            dropped: DropStats::default(),
        }
    }

    /// Admits a message, always: supersedes the one with its key, or drops the oldest above the
    /// bound.
    pub(crate) fn push(&mut self, now: Instant, message: Bytes, options: SendOptions) {
        self.expire(now);
        if self.queue.is_empty() && self.has_recovered(now) {
            self.state = QueueState::Normal { since: now };
        }
        self.last_push = now;
        let waiting = QueuedMessage { queued_at: now, message, options };
        self.dropped += self.queue.push(options.key, waiting.message.len(), waiting);
    }

    /// Drops expired messages, and returns the size of the next one.
    pub(crate) fn peek(&mut self, now: Instant) -> Option<usize> {
        self.expire(now);
        self.queue.front().map(|waiting| waiting.message.len())
    }

    pub(crate) fn pop(&mut self) -> Option<(Bytes, SendOptions)> {
        self.queue.pop().map(|waiting| (waiting.message, waiting.options))
    }

    /// Drops the next message, which is too large to be sent.
    pub(crate) fn drop_front(&mut self) {
        self.dropped.overflow += u64::from(self.queue.pop().is_some());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Returns the expiry of the next message; `None` if it never expires, or the queue is empty.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        let came = self.queue.front()?.queued_at;
        let at_most = came.checked_add(self.max_age)?;
        let hurried = came + self.max_age / OVERLOAD_DIVISOR;
        Some(match self.state {
            _ if came == self.last_push => at_most,
            QueueState::Normal { since } => hurried.max(since + self.max_age),
            QueueState::Overloaded { .. } => hurried,
        })
    }

    /// Returns the number of dropped messages, by cause.
    pub(crate) fn dropped(&self) -> DropStats {
        self.dropped
    }

    fn expire(&mut self, now: Instant) {
        while self.next_expiry().is_some_and(|deadline| deadline <= now) {
            self.queue.pop();
            self.dropped.expired += 1;
            self.state = QueueState::Overloaded { last_expiry: now };
        }
    }

    /// Whether nothing has expired for the maximum age.
    fn has_recovered(&self, now: Instant) -> bool {
        match self.state {
            QueueState::Normal { .. } => true,
            QueueState::Overloaded { last_expiry: aged } => now > aged + self.max_age,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    const MAX_AGE: Duration = Duration::from_millis(100);
    const OVERLOADED_MAX_AGE: Duration = Duration::from_millis(20);
    const MS: Duration = Duration::from_millis(1);

    fn filled(sizes: &[usize]) -> (SendQueue, Instant) {
        let now = Instant::now();
        let mut fresh = SendQueue::new(now, 1_000, MAX_AGE);
        for size in sizes {
            push(&mut fresh, now, None, *size);
        }
        (fresh, now)
    }

    fn push(fresh: &mut SendQueue, now: Instant, key: Option<u64>, size: usize) {
        let options = SendOptions { key, ..SendOptions::default() };
        fresh.push(now, Bytes::from(vec![0; size]), options);
    }

    /// Sizes of what is sent now.
    fn sent(fresh: &mut SendQueue, now: Instant) -> Vec<usize> {
        std::iter::from_fn(|| {
            fresh.peek(now)?;
            fresh.pop().map(|(message, _)| message.len())
        })
        .collect()
    }

    #[test]
    fn keeps_order() {
        let (mut fresh, now) = filled(&[1, 2, 3]);
        assert!(!fresh.is_empty());
        assert_eq!(sent(&mut fresh, now), [1, 2, 3]);
        assert_eq!(fresh.peek(now), None);
        assert!(fresh.is_empty());
        assert_eq!(fresh.next_expiry(), None);
    }

    #[test]
    fn the_bound_drops_the_oldest() {
        let (mut fresh, now) = filled(&[500, 436, 1]);
        assert_eq!((fresh.peek(now), fresh.dropped().overflow), (Some(500), 0));
        push(&mut fresh, now, None, 1);
        assert_eq!((fresh.peek(now), fresh.dropped().overflow), (Some(436), 1));
    }

    #[test]
    fn one_whole_message_is_always_admitted() {
        let (mut fresh, now) = filled(&[10, 5_000]);
        assert_eq!((fresh.peek(now), fresh.dropped().overflow), (Some(5_000), 1));
    }

    #[test]
    fn the_newest_of_a_key_takes_the_place_the_time_and_the_options() {
        let (mut fresh, now) = filled(&[]);
        let later = now + MAX_AGE - MS;
        fresh.push(now, "old".into(), SendOptions::latest(1));
        push(&mut fresh, now, None, 5);
        fresh.push(later, "new".into(), SendOptions::latest(1).repair(true));
        assert_eq!(fresh.next_expiry(), Some(later + MAX_AGE));
        assert_eq!(fresh.peek(later + MAX_AGE - MS), Some(3), "it is not as old as its place");
        let expected = (Bytes::from("new"), SendOptions::latest(1).repair(true));
        assert_eq!(fresh.pop(), Some(expected));
        assert_eq!(fresh.peek(later + MAX_AGE - MS), None, "what stood behind it is");
        let DropStats { superseded: replaced, overflow: too_many, expired: too_old } =
            fresh.dropped();
        assert_eq!((replaced, too_many, too_old), (1, 0, 1));
    }

    #[test]
    fn a_burst_may_use_the_whole_time() {
        let (mut fresh, now) = filled(&[10, 11]);
        assert_eq!(fresh.next_expiry(), Some(now + MAX_AGE));
        assert_eq!(fresh.peek(now + MAX_AGE - Duration::from_nanos(1)), Some(10));
        assert_eq!(fresh.peek(now + MAX_AGE), None);
        assert_eq!((fresh.dropped().expired, fresh.next_expiry()), (2, None));
    }

    #[test]
    fn a_queue_that_stands_hurries() {
        let (mut fresh, now) = filled(&[10]);
        for (at, size) in [(50, 11), (79, 12), (80, 13), (81, 14), (99, 15)] {
            push(&mut fresh, now + MS * at, None, size);
        }
        assert_eq!(fresh.peek(now + MAX_AGE - MS), Some(10), "not yet");
        assert_eq!(fresh.peek(now + MAX_AGE), Some(14));
        assert_eq!(fresh.next_expiry(), Some(now + MS * 101));
        assert_eq!(sent(&mut fresh, now + MS * 118), [15]);
        assert_eq!(fresh.dropped().expired, 5);
    }

    #[test]
    fn hurry_ends_when_nothing_has_grown_old_for_the_whole_time() {
        let (mut fresh, now) = filled(&[10]);
        assert_eq!(fresh.peek(now + MAX_AGE), None);
        // It is empty again and again, but that is no sign that the path takes everything.
        for at in [100, 130, 170, 200] {
            push(&mut fresh, now + MS * at, None, 11);
            push(&mut fresh, now + MS * (at + 1), None, 12);
            assert_eq!(fresh.next_expiry(), Some(now + MS * at + OVERLOADED_MAX_AGE), "at {at} ms");
            assert_eq!(sent(&mut fresh, now + MS * (at + 19)), [11, 12]);
        }
        push(&mut fresh, now + MS * 220, None, 13);
        push(&mut fresh, now + MS * 221, None, 14);
        assert_eq!(fresh.next_expiry(), Some(now + MS * 320), "a burst again");
        assert_eq!(fresh.dropped().expired, 1);
    }

    #[test]
    fn hurry_goes_on_while_the_queue_stands() {
        let (mut fresh, now) = filled(&[10]);
        assert_eq!(fresh.peek(now + MAX_AGE), None);
        push(&mut fresh, now + MS * 100, None, 11);
        for at in (110..400).step_by(10) {
            push(&mut fresh, now + MS * at, None, 11);
            assert_eq!(
                fresh.next_expiry(),
                Some(now + MS * (at - 10) + OVERLOADED_MAX_AGE),
                "at {at} ms"
            );
            assert!(fresh.pop().is_some(), "one still waits");
        }
        assert_eq!(fresh.dropped().expired, 1);
    }

    #[test]
    fn nothing_hurries_while_nothing_newer_has_come() {
        let (mut fresh, now) = filled(&[10]);
        let later = now + MAX_AGE;
        push(&mut fresh, later, None, 11);
        push(&mut fresh, later, None, 12);
        assert_eq!(fresh.dropped().expired, 1, "a late look sees it too");
        assert_eq!(fresh.next_expiry(), Some(later + MAX_AGE));
        push(&mut fresh, later + OVERLOADED_MAX_AGE - MS, None, 13);
        assert_eq!(fresh.next_expiry(), Some(later + OVERLOADED_MAX_AGE));
        assert_eq!(fresh.peek(later + OVERLOADED_MAX_AGE), Some(13));
        assert_eq!(fresh.next_expiry(), Some(later + OVERLOADED_MAX_AGE - MS + MAX_AGE));
    }

    #[test]
    fn however_slow_the_sender_every_message_has_its_chance() {
        for pause in [1, 7, 19, 20, 21, 50, 99, 100, 101, 200, 1_000] {
            let (mut fresh, mut now) = filled(&[]);
            for _ in 0..200 {
                push(&mut fresh, now, None, 1);
                let newest = now;
                // Nothing is sent: the newest message stays in the queue for the whole maximum age.
                for _ in 0..pause {
                    let is_there = fresh.peek(now).is_some();
                    assert_eq!(is_there, now < newest + MAX_AGE, "a pause of {pause} ms");
                    now += MS;
                }
            }
        }
    }

    #[test]
    fn without_end_nothing_grows_old() {
        let now = Instant::now();
        let mut fresh = SendQueue::new(now, 1_000, Duration::MAX);
        push(&mut fresh, now, None, 1);
        assert_eq!(fresh.next_expiry(), None);
        assert_eq!(fresh.peek(now + MAX_AGE * 10_000), Some(1));
    }

    /// A message in the model: key, size, and time of its push.
    type ModelMessage = (Option<u64>, usize, Instant);

    /// Reference model of [`SendQueue`], advanced every millisecond.
    struct Model {
        items: Vec<ModelMessage>,
        /// Time since which the queue has not been seen empty, except while overloaded.
        backlogged_since: Instant,
        last_push: Instant,
        last_expiry: Option<Instant>,
        dropped: DropStats,
    }

    impl Model {
        fn tick(&mut self, now: Instant) {
            let hurries = now >= self.backlogged_since + MAX_AGE;
            while let Some((_, _, came)) = self.items.first() {
                let patience =
                    if hurries && *came < self.last_push { OVERLOADED_MAX_AGE } else { MAX_AGE };
                if now < *came + patience {
                    return;
                }
                self.items.remove(0);
                self.last_expiry = Some(now);
                self.dropped.expired += 1;
            }
        }

        fn push(&mut self, most: usize, known: ModelMessage) {
            let lately = |aged: Instant| known.2 - aged <= MAX_AGE;
            if self.items.is_empty() && !self.last_expiry.is_some_and(lately) {
                self.backlogged_since = known.2;
            }
            self.last_push = known.2;
            match self.items.iter().position(|old| known.0.is_some() && old.0 == known.0) {
                None => self.items.push(known),
                Some(index) => {
                    self.items[index] = known;
                    self.dropped.superseded += 1;
                }
            }
            let newest = |old: &ModelMessage| *old == known;
            while self.items.iter().map(|old| old.1.max(64)).sum::<usize>() > most
                && self.items.len() > 1
            {
                let index = usize::from(newest(&self.items[0]));
                self.items.remove(index);
                self.dropped.overflow += 1;
            }
        }
    }

    #[test]
    fn does_what_the_model_does() {
        for seed in 0..300 {
            let mut random = StdRng::seed_from_u64(seed);
            let (most, pushes) = (random.random_range(100..6_000), random.random_range(0.05..1.0));
            let pops = random.random_range(0.0..0.6);
            let mut now = Instant::now();
            let mut fresh = SendQueue::new(now, most, MAX_AGE);
            let (line, dropped) = (vec![], DropStats::default());
            let mut model = Model {
                items: line,
                backlogged_since: now,
                last_push: now,
                last_expiry: None,
                dropped,
            };
            let (mut pushed, mut popped) = (0, 0);
            for size in 0..2_000 {
                model.tick(now);
                // As the endpoint does, which is woken for it.
                if fresh.next_expiry().is_some_and(|deadline| deadline <= now) {
                    fresh.peek(now);
                }
                if random.random_bool(pushes) {
                    let key = random.random_bool(0.5).then(|| random.random_range(0..8));
                    push(&mut fresh, now, key, size);
                    model.push(most, (key, size, now));
                    pushed += 1;
                }
                if random.random_bool(pops) {
                    model.tick(now);
                    let expected = (!model.items.is_empty()).then(|| model.items.remove(0));
                    assert_eq!(fresh.peek(now), expected.map(|known| known.1), "seed {seed}");
                    popped += u64::from(fresh.pop().is_some());
                }
                now += MS;
            }
            fresh.peek(now);
            model.tick(now);
            assert_eq!(fresh.dropped(), model.dropped, "seed {seed}");
            assert_eq!(fresh.queue.len(), model.items.len(), "seed {seed}");
            let waiting = model.items.len() as u64;
            assert_eq!(pushed, popped + fresh.dropped().total() + waiting, "seed {seed}");
        }
    }
}
