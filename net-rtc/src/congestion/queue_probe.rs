//! Queue probe: lowers the rate briefly to see whether the queuing delay is self-induced.
//!
//! The nearest published relatives are BBR's ProbeRTT phase and the rate pulses of Nimbus. With
//! `q0` the initial queuing delay and `g` the gain, an own queue drains in `q0 / (1 - g)`, at most
//! 400 ms. It is self-induced if `q` falls to 10 ms, or by at least a third of what it would
//! without cross traffic.

use std::time::{Duration, Instant};

/// Share of the rate that is sent during a probe.
const PROBE_GAIN: f64 = 0.5;
/// The same for [`ProbeReason::Periodic`], which measures `RTprop`: all flows of the path shall see
/// it empty, so it also takes longer by this factor.
const PERIODIC_PROBE_GAIN: f64 = 0.1;
const PERIODIC_PROBE_STRETCH: f64 = 2.0;
/// Upper bound of the time at the lower rate.
const MAX_PROBE_DURATION: Duration = Duration::from_millis(400);
/// Time after that, besides a round trip and the initial queue, without feedback that ends the
/// probe.
const FEEDBACK_TIMEOUT: Duration = Duration::from_millis(300);
/// Queuing delay up to which a queue counts as empty.
pub(super) const EMPTY_QUEUE_DELAY: Duration = Duration::from_millis(10);
/// A queue is self-induced if it shrinks by at least this share of what it would without cross
/// traffic.
const SELF_INDUCED_SHARE: f64 = 1.0 / 3.0;

/// One probe. A self-induced queue drains meanwhile; one that others fill, as a TCP download does,
/// hardly shrinks.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueProbe {
    started_at: Instant,
    /// Queuing delay of the last packet that was sent before the probe began.
    initial_queue: Duration,
    /// Lowest queuing delay of the packets sent since.
    min_queue: Option<Duration>,
    pub(super) reason: ProbeReason,
    /// Rate after the probe in delay control, in bytes per second.
    pub(super) own_rate: f64,
    /// Rate after the probe beside cross traffic, in bytes per second.
    pub(super) competitive_rate: f64,
}

/// Cause of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProbeReason {
    /// A queue appeared. It may be that of other flows that start likewise and have not measured it
    /// yet, so the result "cross traffic" is verified by a second probe.
    NewQueue,
    /// Periodic probe in delay control, to measure `RTprop` without the own queue.
    Periodic,
    /// Cross traffic was found before or is suspected. TCP may have backed off just then, so the
    /// result "self-induced" is verified by a second probe.
    Uncertain,
    /// Second probe after an ambiguous result.
    Repeat,
}

/// Cause of the queuing delay that a probe finds: our own traffic, or cross traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueueCause {
    SelfInduced,
    CrossTraffic,
}

impl QueueProbe {
    /// Starts a probe. `own_rate` and `competitive_rate` are the rates after it, in bytes per
    /// second.
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

    /// Returns the send rate at `now`, in bytes per second.
    pub(super) fn rate(&self, now: Instant) -> f64 {
        if now < self.drained_at() { self.own_rate * self.gain() } else { self.own_rate }
    }

    /// Takes the queuing delay of a packet sent at `left`; returns the cause once it is known.
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

    /// Returns the cause if feedback is overdue, `rtt` being `RTprop`.
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

    /// Returns the time at which the queue is drained if there is no cross traffic.
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
