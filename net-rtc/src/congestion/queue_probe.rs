//! Whose queue is it?

use std::time::{Duration, Instant};

/// What of the rate is still sent meanwhile.
const PROBE_GAIN: f64 = 0.5;
/// The same when it is only about the length of the path. Then everyone on it is to see it
/// empty, so it takes longer too: by this factor.
const PERIODIC_PROBE_GAIN: f64 = 0.1;
const PERIODIC_PROBE_STRETCH: f64 = 2.0;
/// A dip takes at most so long.
const MAX_PROBE_DURATION: Duration = Duration::from_millis(400);
/// How long one may wait for word of it after that, besides a round trip.
const FEEDBACK_TIMEOUT: Duration = Duration::from_millis(300);
/// A queue that is as short as this is gone.
pub(super) const EMPTY_QUEUE_DELAY: Duration = Duration::from_millis(10);
/// Ours is a queue that shrinks at least by this share of what it would if we were alone.
const SELF_INDUCED_SHARE: f64 = 1.0 / 3.0;

/// For a moment half is sent. A queue that is ours empties meanwhile; one that others fill, as a
/// download by TCP does, hardly shrinks.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueProbe {
    started_at: Instant,
    /// The queue that the last packet found which left before it began.
    initial_queue: Duration,
    /// The shortest that a later one found.
    min_queue: Option<Duration>,
    pub(super) reason: ProbeReason,
    /// The rate of our own after it, in bytes a second.
    pub(super) own_rate: f64,
    /// The same beside others.
    pub(super) competitive_rate: f64,
}

/// Why it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProbeReason {
    /// There was no queue before. It may be that of others who begin as we do and have not seen
    /// it yet, so if it does not look like ours it is asked once more.
    NewQueue,
    /// To see how long the path is without the queue that we hold, now and then.
    Periodic,
    /// It may have been others', or may be now. TCP may have made room just then, so if it looks
    /// like ours it is asked once more.
    Uncertain,
    /// Once more.
    Repeat,
}

/// What a dip found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueueCause {
    SelfInduced,
    CrossTraffic,
}

impl QueueProbe {
    /// `ours` and `share` are the rates after it.
    pub(super) fn new(
        now: Instant,
        reason: ProbeReason,
        initial_queue: Duration,
        own_rate: f64,
        competitive_rate: f64,
    ) -> QueueProbe {
        QueueProbe {
            started_at: now,
            initial_queue,
            min_queue: None,
            reason,
            own_rate,
            competitive_rate,
        }
    }

    /// What is sent now.
    pub(super) fn rate(&self, now: Instant) -> f64 {
        if now < self.drained_at() { self.own_rate * self.gain() } else { self.own_rate }
    }

    /// Takes the queue that a packet found which left at that time; tells whose it is once that
    /// is known.
    pub(super) fn on_sample(&mut self, left: Instant, queue: Duration) -> Option<QueueCause> {
        if left <= self.started_at {
            self.initial_queue = queue;
            return None;
        }
        let least = self.min_queue.map_or(queue, |least| least.min(queue));
        self.min_queue = Some(least);
        let gone = least <= EMPTY_QUEUE_DELAY && self.reason != ProbeReason::Periodic;
        match left >= self.drained_at() || gone {
            true => Some(self.classify(least)),
            false => None,
        }
    }

    /// What is known if nothing is heard for too long, `rtt` being that of the empty path.
    pub(super) fn poll_timeout(&self, now: Instant, rtt: Duration) -> Option<QueueCause> {
        let late = now >= self.drained_at() + rtt + self.initial_queue + FEEDBACK_TIMEOUT;
        late.then(|| self.classify(self.min_queue.unwrap_or(self.initial_queue)))
    }

    fn classify(&self, least: Duration) -> QueueCause {
        let alone = (self.drained_at() - self.started_at).mul_f64(1.0 - PROBE_GAIN);
        let shrank = self.initial_queue.saturating_sub(least);
        match least <= EMPTY_QUEUE_DELAY || shrank >= alone.mul_f64(SELF_INDUCED_SHARE) {
            true => QueueCause::SelfInduced,
            false => QueueCause::CrossTraffic,
        }
    }

    fn gain(&self) -> f64 {
        if self.reason == ProbeReason::Periodic { PERIODIC_PROBE_GAIN } else { PROBE_GAIN }
    }

    /// When the queue should be gone if we are alone.
    fn drained_at(&self) -> Instant {
        let longer =
            if self.reason == ProbeReason::Periodic { PERIODIC_PROBE_STRETCH } else { 1.0 };
        let time = self.initial_queue.mul_f64(longer / (1.0 - self.gain()));
        self.started_at + time.min(MAX_PROBE_DURATION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A queue of 80 ms, and what packets find that leave every 10 ms.
    fn probe_outcome(found: impl Fn(u32) -> u32) -> Option<QueueCause> {
        let now = Instant::now();
        let mut dip = QueueProbe::new(now, ProbeReason::NewQueue, 50 * MS, 100.0, 200.0);
        assert_eq!(dip.on_sample(now, 80 * MS), None);
        assert_eq!((dip.rate(now), dip.rate(now + 160 * MS)), (50.0, 100.0));
        (1..17).find_map(|step| dip.on_sample(now + step * 10 * MS, found(step) * MS))
    }

    #[test]
    fn a_queue_that_empties_is_ours() {
        assert_eq!(probe_outcome(|step| 80 - step * 5), Some(QueueCause::SelfInduced));
        assert_eq!(
            probe_outcome(|step| 80 - step * 2),
            Some(QueueCause::SelfInduced),
            "another one shares it"
        );
    }

    #[test]
    fn a_queue_that_stays_is_not() {
        assert_eq!(probe_outcome(|_| 80), Some(QueueCause::CrossTraffic));
        assert_eq!(probe_outcome(|step| 80 + step), Some(QueueCause::CrossTraffic));
        assert_eq!(probe_outcome(|step| 80 - step), Some(QueueCause::CrossTraffic));
    }

    #[test]
    fn silence_ends_it_too() {
        let now = Instant::now();
        let dip = QueueProbe::new(now, ProbeReason::NewQueue, 50 * MS, 100.0, 200.0);
        assert_eq!(dip.poll_timeout(now + 489 * MS, 40 * MS), None);
        assert_eq!(dip.poll_timeout(now + 490 * MS, 40 * MS), Some(QueueCause::CrossTraffic));
    }
}
