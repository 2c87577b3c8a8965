//! Keeps a queue short that is ours.

use std::time::Duration;

use crate::congestion::queue_probe::EMPTY_QUEUE_DELAY;
use crate::congestion::rate_sample::RateSample;

/// What is sent of what passes, at first.
const INITIAL_CAPACITY_SHARE: f64 = 0.95;
/// In what time a queue is brought to its target, in round trips with a look, and at least, in
/// seconds.
const SETTLE_ROUNDS: f64 = 3.0;
const MIN_SETTLE_SECS: f64 = 0.4;
/// The most by which the rate may be over and under what passes, to let a queue grow or shrink.
const MAX_OVERSHOOT: f64 = 0.10;
const MAX_UNDERSHOOT: f64 = 0.5;
/// How fast more is tried while nothing queues: this share each second.
const GROWTH_PER_SEC: f64 = 0.2;
/// What everyone who shares a short queue tries more besides, in bytes a second each second: for
/// who sends little that is much.
const FAIRNESS_INCREASE: f64 = 4_000.0;
const MAX_FAIRNESS_SHARE: f64 = 0.15;
/// The delay, in seconds, up to which that much can be tried.
const FULL_GROWTH_DELAY: f64 = 0.2;
/// The share of a new look in what is known to pass.
const CAPACITY_GAIN: f64 = 0.4;
/// The same for the loss that is seen, and for the loss that is there whatever we do.
const RECENT_LOSS_GAIN: f64 = 0.1;
const BASELINE_LOSS_GAIN: f64 = 0.05;
/// More than this share is never there whatever we do.
const MAX_BASELINE_LOSS: f64 = 0.5;
/// Loss over that by this share, and by so many times its deviation, says that no more passes.
const EXCESS_LOSS: f64 = 0.06;
const EXCESS_LOSS_DEVIATIONS: f64 = 0.15;
/// More that arrives, by this share, than seemed to pass says that more passes, once it comes to
/// so much, in seconds and bytes.
const GROWTH_EVIDENCE_MARGIN: f64 = 0.03;
const MIN_GROWTH_EVIDENCE_SECS: f64 = 0.01;
const MIN_GROWTH_EVIDENCE_BYTES: f64 = 2_400.0;
/// How much faster more is tried then, with each look, and at the most: shares each look.
const FAST_GROWTH_STEP: f64 = 0.04;
const MAX_FAST_GROWTH: f64 = 0.25;

/// Knows what passes, and sends a little more or less to bring the queue to its target.
#[derive(Clone, Copy, Debug)]
pub(super) struct DelayController {
    /// What passes, in bytes a second.
    capacity: f64,
    /// The same when something last said that no more does.
    capacity_ceiling: f64,
    /// By how much, in seconds of it, more than that has arrived.
    growth_evidence: f64,
    /// Looks since it is proven that more passes.
    fast_growth_samples: u32,
    /// The share that is lost lately, and whatever we do.
    recent_loss: f64,
    baseline_loss: f64,
    /// Looks that the latter comes from.
    baseline_samples: u32,
    /// The last look, its queue in seconds.
    last_queue: f64,
    last_send_rate: f64,
}

impl DelayController {
    /// `passes` is what passes, in bytes a second, and `loss` the share that is lost whatever
    /// we do.
    pub(super) fn new(passes: f64, loss: f64) -> DelayController {
        DelayController {
            capacity: passes * INITIAL_CAPACITY_SHARE,
            capacity_ceiling: passes,
            growth_evidence: 0.0,
            fast_growth_samples: 0,
            recent_loss: loss,
            baseline_loss: loss,
            baseline_samples: 0,
            last_queue: 0.0,
            last_send_rate: passes * INITIAL_CAPACITY_SHARE,
        }
    }

    /// The queue was let run empty.
    pub(super) fn after_drain(self) -> DelayController {
        let known = self.capacity * INITIAL_CAPACITY_SHARE;
        DelayController { capacity: known, last_send_rate: known, last_queue: 0.0, ..self }
    }

    /// What passes, in bytes a second.
    pub(super) fn capacity(&self) -> f64 {
        self.capacity
    }

    /// Gives the rate for what was seen, in bytes a second. A queue over `limit` may be full.
    pub(super) fn update_rate(
        &mut self,
        queue: Duration,
        seen: RateSample,
        limit: Duration,
    ) -> f64 {
        self.update_loss(seen);
        let stands =
            queue.as_secs_f64().min(self.last_queue) > EMPTY_QUEUE_DELAY.as_secs_f64() / 2.0;
        match stands {
            true => self.learn_capacity(queue, seen, limit),
            false if queue > EMPTY_QUEUE_DELAY => self.on_capacity_reached(),
            false => self.probe_up(seen),
        }
        (self.last_queue, self.last_send_rate) = (queue.as_secs_f64(), seen.send_rate);
        let delay = seen.interval_secs + seen.min_rtt.as_secs_f64();
        let target = target_queue(self.capacity);
        let more = FAIRNESS_INCREASE.min(self.capacity * MAX_FAIRNESS_SHARE) * seen.interval_secs;
        self.capacity += more * (1.0 - self.last_queue / target).max(0.0);
        let settle = match queue > limit {
            true => MIN_SETTLE_SECS,
            false => (SETTLE_ROUNDS * delay).max(MIN_SETTLE_SECS),
        };
        let step = (target - self.last_queue) / settle;
        self.capacity * (1.0 + step.clamp(-MAX_UNDERSHOOT, MAX_OVERSHOOT * growth_damping(delay)))
    }

    fn update_loss(&mut self, seen: RateSample) {
        self.recent_loss += (seen.loss - self.recent_loss) * RECENT_LOSS_GAIN;
        if seen.send_rate <= self.capacity_ceiling {
            self.baseline_samples += 1;
            let weight = BASELINE_LOSS_GAIN.max(1.0 / f64::from(self.baseline_samples));
            self.baseline_loss = (self.baseline_loss + (seen.loss - self.baseline_loss) * weight)
                .min(MAX_BASELINE_LOSS);
        }
    }

    /// What was sent a round trip ago and made the queue grow or shrink tells what passes.
    fn learn_capacity(&mut self, queue: Duration, seen: RateSample, limit: Duration) {
        let slope = (queue.as_secs_f64() - self.last_queue) / seen.interval_secs;
        let sent = (self.last_send_rate + seen.send_rate) / 2.0;
        let passes = match queue > limit || self.has_excess_loss() {
            true => seen.delivery_rate / (1.0 - self.baseline_loss),
            false => sent / (1.0 + slope).max(0.1),
        };
        self.capacity += (passes - self.capacity) * CAPACITY_GAIN;
        self.on_capacity_reached();
    }

    /// Whether more is lost than always.
    fn has_excess_loss(&self) -> bool {
        let chance = (self.baseline_loss * (1.0 - self.baseline_loss)).sqrt();
        self.recent_loss > self.baseline_loss + EXCESS_LOSS + EXCESS_LOSS_DEVIATIONS * chance
    }

    /// No more passes than is known.
    fn on_capacity_reached(&mut self) {
        (self.capacity_ceiling, self.growth_evidence, self.fast_growth_samples) =
            (self.capacity, 0.0, 0);
    }

    fn probe_up(&mut self, seen: RateSample) {
        let passes = seen.delivery_rate / (1.0 - self.baseline_loss);
        self.growth_evidence = (self.growth_evidence
            + (passes / self.capacity_ceiling - 1.0 - GROWTH_EVIDENCE_MARGIN) * seen.interval_secs)
            .max(0.0);
        let enough = MIN_GROWTH_EVIDENCE_SECS + MIN_GROWTH_EVIDENCE_BYTES / self.capacity_ceiling;
        self.fast_growth_samples =
            if self.growth_evidence > enough { self.fast_growth_samples + 1 } else { 0 };
        if !self.has_excess_loss() {
            let eager =
                (f64::from(self.fast_growth_samples) * FAST_GROWTH_STEP).min(MAX_FAST_GROWTH);
            let growth = GROWTH_PER_SEC
                * seen.interval_secs
                * growth_damping(seen.interval_secs + seen.min_rtt.as_secs_f64());
            self.capacity *= 1.0 + growth + eager;
        }
    }
}

/// The longer it takes until the outcome is seen, the less is tried.
fn growth_damping(delay: f64) -> f64 {
    (FULL_GROWTH_DELAY / delay).min(1.0).powi(2)
}

/// How long a queue may be that is ours, in seconds. Who sends less may push more, and so
/// several who share a queue come to share it evenly.
fn target_queue(rate: f64) -> f64 {
    (0.010 + 1_250.0 / rate).clamp(0.010, 0.045)
}
