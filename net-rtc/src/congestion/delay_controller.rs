//! Delay controller: capacity estimate and send rate for a short self-induced queue.
//!
//! No published algorithm; the nearest relatives are LEDBAT++, Copa, SCReAM and GCC, which hold the
//! queuing delay at a target too. Symbols: `C` capacity estimate, `q` queuing delay, `r` send rate,
//! `p` delivery rate divided by 1 - baseline loss, `Δ` length of a [`RateSample`], `D = Δ + RTT`
//! feedback delay; bytes and seconds.
//!
//! ```text
//!   target    q* = clamp(0.010 + 1,250 / C, 0.010, 0.045)
//!   rate      r  = C · (1 + clamp((q* - q) / T, -0.5, 0.1 · d))
//!             T  = max(3 D, 0.4), or 0.4 if q > limit
//!   damping   d  = min(0.2 / D, 1)²
//!   fairness  C += min(4,000, 0.15 C) · Δ · max(1 - q / q*, 0)
//!   learn     C += 0.4 · (s - C)
//!             s  = r / max(1 + dq/dt, 0.1), or p if q > limit or loss exceeds its baseline
//!   probe     C *= 1 + 0.2 Δ · d + min(0.04 n, 0.25)
//!   evidence  E  = max(E + (p / ceiling - 1.03) · Δ, 0), proof if E > 0.010 + 2,400 / ceiling
//! ```
//!
//! `C` is learned while a queue stands (two samples in a row over 5 ms): the queue grows by `dq/dt
//! = r / C - 1`. It is probed while `q` is at most 10 ms and loss does not exceed its baseline,
//! faster by the number `n` of samples since `E` proved that more than the ceiling passes.

use std::time::Duration;

use crate::congestion::queue_probe::EMPTY_QUEUE_DELAY;
use crate::congestion::rate_sample::RateSample;

/// Initial share of the delivered rate that is sent.
const INITIAL_CAPACITY_SHARE: f64 = 0.95;
/// Time in which the queue is brought to its target: a multiple of the feedback delay `D`, and its
/// lower bound in seconds.
const SETTLE_ROUNDS: f64 = 3.0;
const MIN_SETTLE_SECS: f64 = 0.4;
/// Bounds of the rate above and below `C`, as shares of `C`.
const MAX_OVERSHOOT: f64 = 0.10;
const MAX_UNDERSHOOT: f64 = 0.5;
/// Growth of `C` while the queue is empty, as a share per second.
const GROWTH_PER_SEC: f64 = 0.2;
/// Additive increase that makes flows in a short queue converge to equal shares, in bytes per
/// second per second, and its upper bound as a share of `C` per second.
const FAIRNESS_INCREASE: f64 = 4_000.0;
const MAX_FAIRNESS_SHARE: f64 = 0.15;
/// Feedback delay in seconds up to which growth is not damped.
const FULL_GROWTH_DELAY: f64 = 0.2;
/// Weight of a new sample in `C`.
const CAPACITY_GAIN: f64 = 0.4;
/// Weight of a new sample in the recent and in the baseline loss.
const RECENT_LOSS_GAIN: f64 = 0.1;
const BASELINE_LOSS_GAIN: f64 = 0.05;
/// Upper bound of the baseline loss, as a share.
const MAX_BASELINE_LOSS: f64 = 0.5;
/// Recent loss indicates that the capacity is reached if it exceeds the baseline by the sum of this
/// share and this multiple of the baseline's standard deviation.
const EXCESS_LOSS: f64 = 0.06;
const EXCESS_LOSS_DEVIATIONS: f64 = 0.15;
/// Delivery above the ceiling, by this share, is evidence of more capacity; it suffices once it
/// comes to this many seconds plus bytes at the ceiling.
const GROWTH_EVIDENCE_MARGIN: f64 = 0.03;
const MIN_GROWTH_EVIDENCE_SECS: f64 = 0.01;
const MIN_GROWTH_EVIDENCE_BYTES: f64 = 2_400.0;
/// Additional growth once more capacity is proven: share per sample, rising by the step with each
/// one up to the maximum.
const FAST_GROWTH_STEP: f64 = 0.04;
const MAX_FAST_GROWTH: f64 = 0.25;

/// Capacity estimator and send rate of a self-induced queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct DelayController {
    /// Capacity estimate `C`, in bytes per second.
    capacity: f64,
    /// `C` when a sample last showed that the capacity is reached.
    capacity_ceiling: f64,
    /// Delivery above the ceiling, in seconds at the ceiling.
    growth_evidence: f64,
    /// Samples since more capacity was proven.
    fast_growth_samples: u32,
    /// Moving averages of the lost share: recent, and at rates that the path is known to carry.
    recent_loss: f64,
    baseline_loss: f64,
    /// Samples in the baseline loss.
    baseline_samples: u32,
    /// Queuing delay of the last sample, in seconds.
    last_queue: f64,
    last_send_rate: f64,
}

impl DelayController {
    /// Creates the controller for a delivered rate in bytes per second and a baseline loss share.
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

    /// Returns the controller after a probe drained the queue.
    pub(super) fn after_drain(self) -> DelayController {
        let known = self.capacity * INITIAL_CAPACITY_SHARE;
        DelayController { capacity: known, last_send_rate: known, last_queue: 0.0, ..self }
    }

    /// Returns the capacity estimate `C`, in bytes per second.
    pub(super) fn capacity(&self) -> f64 {
        self.capacity
    }

    /// Takes a sample; returns the send rate in bytes per second. A queue over `limit` may be full.
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

    /// Corrects `C` by a sample with a standing queue: its slope shows by how much the rate of one
    /// round trip ago exceeded the capacity.
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

    /// Returns whether recent loss is above its baseline.
    fn has_excess_loss(&self) -> bool {
        let chance = (self.baseline_loss * (1.0 - self.baseline_loss)).sqrt();
        self.recent_loss > self.baseline_loss + EXCESS_LOSS + EXCESS_LOSS_DEVIATIONS * chance
    }

    /// Sets the ceiling to `C` and discards evidence of growth.
    fn on_capacity_reached(&mut self) {
        (self.capacity_ceiling, self.growth_evidence, self.fast_growth_samples) =
            (self.capacity, 0.0, 0);
    }

    /// Raises `C` while the queue is empty, unless loss is above its baseline.
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

/// Returns the damping `d` of growth, from 0 to 1: the later the outcome is seen, the less is
/// probed.
fn growth_damping(delay: f64) -> f64 {
    (FULL_GROWTH_DELAY / delay).min(1.0).powi(2)
}

/// Returns the target queuing delay `q*` in seconds for a capacity estimate in bytes per second.
/// Flows that send less have a longer target, so flows that share a queue converge to equal shares.
fn target_queue(rate: f64) -> f64 {
    (0.010 + 1_250.0 / rate).clamp(0.010, 0.045)
}
