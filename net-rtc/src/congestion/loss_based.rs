//! Loss-based congestion control: self-induced loss detection and AIMD (RFC 5681 §3.1).
//!
//! [`LossDetector`] separates congestion loss from the constant loss of a radio link;
//! [`TcpFriendly`] is AIMD with TCP's increase and CUBIC's decrease (RFC 9438 §4.6), for the
//! competitive mode; [`LossBased`] is AIMD on self-induced loss alone.

use std::time::{Duration, Instant};

use crate::congestion::RateLimits;
use crate::congestion::ack::AckSummary;
use crate::congestion::queue_probe::EMPTY_QUEUE_DELAY;
use crate::congestion::rate_sample::RateSample;

/// Shortest window: a rate over less time depends on the position in a burst.
const MIN_WINDOW: Duration = Duration::from_millis(250);
/// Factor by which the send rate must rise between two windows for their loss to be compared.
const MIN_RATE_INCREASE: f64 = 1.1;

/// Thresholds of self-induced loss.
#[derive(Clone, Copy, Debug)]
pub(super) struct LossThresholds {
    /// Packets with a known outcome in a window.
    pub(super) min_packets: u32,
    /// Loss is self-induced if it rises by this share while the rate rises, ...
    pub(super) min_increase: f64,
    /// ... plus this multiple of the standard deviation of chance, ...
    pub(super) min_deviations: f64,
    /// ... or if it exceeds this share, whatever the rate did, ...
    pub(super) heavy_loss: f64,
    /// ... in this many windows in a row.
    pub(super) min_heavy_windows: u32,
}

/// Detector of self-induced loss by windows of packets. Loss that does not depend on the send rate,
/// as on a bad radio link, is not self-induced.
#[derive(Debug)]
pub(super) struct LossDetector {
    thresholds: LossThresholds,
    /// Consecutive windows with heavy loss.
    heavy_windows: u32,
    window_start: Instant,
    bytes_sent: f64,
    packets_acked: u32,
    packets_lost: u32,
    previous: Option<LossReport>,
}

/// Loss of one window of chunks, and whether it is self-induced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LossReport {
    /// Send rate in bytes per second.
    pub(super) send_rate: f64,
    /// Share of lost packets.
    pub(super) loss: f64,
    /// Share that is lost at the previous, lower rate; 0 if unknown.
    pub(super) baseline_loss: f64,
    /// Whether the own send rate caused the loss.
    pub(super) is_self_induced: bool,
}

impl LossDetector {
    pub(super) fn new(now: Instant, thresholds: LossThresholds) -> LossDetector {
        LossDetector {
            thresholds,
            heavy_windows: 0,
            window_start: now,
            bytes_sent: 0.0,
            packets_acked: 0,
            packets_lost: 0,
            previous: None,
        }
    }

    pub(super) fn on_send(&mut self, bytes: usize) {
        self.bytes_sent += bytes as f64;
    }

    /// Takes the outcome of packets; returns a report when the window is complete.
    pub(super) fn on_ack(&mut self, now: Instant, told: &AckSummary) -> Option<LossReport> {
        self.packets_acked += told.packets_acked;
        self.packets_lost += told.packets_lost;
        let short = now < self.window_start + MIN_WINDOW;
        if short || self.packets_acked + self.packets_lost < self.thresholds.min_packets {
            return None;
        }
        // Without any acknowledgement the window is an outage, not congestion.
        let verdict = (self.packets_acked > 0).then(|| self.evaluate(now, told.burst_factor));
        let before = verdict.or(self.previous);
        *self = LossDetector {
            heavy_windows: self.heavy_windows,
            previous: before,
            ..LossDetector::new(now, self.thresholds)
        };
        verdict
    }

    /// Starts over: later windows are not compared with earlier ones.
    pub(super) fn reset(&mut self, now: Instant) {
        *self = LossDetector::new(now, self.thresholds);
    }

    fn evaluate(&mut self, now: Instant, spread: f64) -> LossReport {
        let seconds = now.saturating_duration_since(self.window_start).as_secs_f64().max(0.001);
        let (rate, all) =
            (self.bytes_sent / seconds, f64::from(self.packets_acked + self.packets_lost));
        let loss = f64::from(self.packets_lost) / all;
        self.heavy_windows =
            if loss > self.thresholds.heavy_loss { self.heavy_windows + 1 } else { 0 };
        let rises = self.previous.is_some_and(|before| {
            let mean = (before.loss + loss) / 2.0;
            let chance = (2.0 * mean * (1.0 - mean) / all).sqrt();
            let rise =
                self.thresholds.min_increase + self.thresholds.min_deviations * chance * spread;
            rate > before.send_rate * MIN_RATE_INCREASE && loss > before.loss + rise
        });
        let always = self.previous.filter(|_| rises).map_or(0.0, |before| before.loss);
        LossReport {
            send_rate: rate,
            loss,
            baseline_loss: always,
            is_self_induced: rises || self.heavy_windows >= self.thresholds.min_heavy_windows,
        }
    }
}

/// TCP segment size in bytes. Small messages do not reduce the share (RFC 4828).
const TCP_SEGMENT_SIZE: f64 = 1_460.0;
/// Multiplicative decrease after a loss (RFC 9438 §4.6).
const CUBIC_BETA: f64 = 0.7;
/// Upper bound of the rate as a multiple of the send rate: more is untested.
const APP_LIMITED_FACTOR: f64 = 2.0;
/// Consecutive samples without a queue after which cross traffic counts as gone.
const UNCONTENDED_SAMPLES: u32 = 3;

/// TCP-friendly AIMD: one segment more per round trip, and a multiplicative decrease after a loss
/// (RFC 5681 §3.1). The rate `r` grows by `1,460 B · Δ / RTT²` per sample of length `Δ`, and falls
/// to `0.7 r`.
#[derive(Clone, Copy, Debug)]
pub(super) struct TcpFriendly {
    current_rate: f64,
    /// Consecutive samples without a queue.
    empty_queue_samples: u32,
}

impl TcpFriendly {
    pub(super) fn new(current_rate: f64) -> TcpFriendly {
        TcpFriendly { current_rate, empty_queue_samples: 0 }
    }

    /// Takes a sample; returns the rate in bytes per second. RTTs below 10 ms count as 10 ms.
    pub(super) fn update_rate(&mut self, queue: Duration, seen: RateSample) -> f64 {
        self.empty_queue_samples =
            if queue < EMPTY_QUEUE_DELAY { self.empty_queue_samples + 1 } else { 0 };
        let round = seen.min_rtt.as_secs_f64().max(0.01);
        self.current_rate = match seen.loss > 0.0 {
            false if self.current_rate > APP_LIMITED_FACTOR * seen.send_rate => self.current_rate,
            false => self.current_rate + TCP_SEGMENT_SIZE * seen.interval_secs / (round * round),
            true => self.current_rate * CUBIC_BETA,
        };
        self.current_rate
    }

    /// Returns whether cross traffic is gone.
    pub(super) fn is_uncontended(&self) -> bool {
        self.empty_queue_samples >= UNCONTENDED_SAMPLES
    }
}

/// With fewer packets chance looks like a trend: at 25 % loss the share of 200 varies by 3 %.
const LOSS_BASED_THRESHOLDS: LossThresholds = LossThresholds {
    min_packets: 200,
    min_increase: 0.15,
    min_deviations: 0.0,
    heavy_loss: 0.4,
    min_heavy_windows: 1,
};
/// Multiplicative decrease after self-induced loss.
const DECREASE_FACTOR: f64 = 0.7;
/// Additive increase per window, in bytes per second.
const INCREASE_PER_WINDOW: f64 = 25_000.0;

/// AIMD on loss that rises with the own send rate.
#[derive(Debug)]
pub(super) struct LossBased {
    rate: f64,
    loss_detector: LossDetector,
}

impl LossBased {
    pub(super) fn new(now: Instant, limits: RateLimits) -> LossBased {
        LossBased {
            rate: limits.max_rate,
            loss_detector: LossDetector::new(now, LOSS_BASED_THRESHOLDS),
        }
    }

    pub(super) fn on_send(&mut self, bytes: usize) {
        self.loss_detector.on_send(bytes);
    }

    pub(super) fn on_ack(&mut self, now: Instant, told: &AckSummary, limits: RateLimits) {
        if let Some(LossReport { send_rate: rate, is_self_induced: ours, .. }) =
            self.loss_detector.on_ack(now, told)
        {
            self.rate = limits.clamp(match ours {
                true => rate.min(self.rate) * DECREASE_FACTOR,
                false => self.rate + INCREASE_PER_WINDOW,
            });
        }
    }

    pub(super) fn rate(&self) -> f64 {
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::congestion::delay_based::DELAY_BASED_THRESHOLDS;

    const OFTEN: Duration = Duration::from_millis(100);
    const SELDOM: Duration = Duration::from_millis(500);

    /// The first burst whose loss is said to be ours, of 60 s of bursts of so many packets.
    fn first_self_induced(
        seed: u64,
        packets: u32,
        every: Duration,
        loss: impl Fn(u32) -> f64,
    ) -> Option<u32> {
        let (begin, mut random) = (Instant::now(), StdRng::seed_from_u64(seed));
        let mut losses = LossDetector::new(begin, DELAY_BASED_THRESHOLDS);
        let count = Duration::from_secs(60).div_duration_f64(every) as u32;
        (0..count).find(|burst| {
            losses.on_send(packets as usize * 1_000);
            let late = Duration::from_micros(random.random_range(0..5_000));
            let mut ours = false;
            for packet in 0..packets {
                let lost = u32::from(random.random_bool(loss(*burst)));
                let told = AckSummary {
                    packets_acked: 1 - lost,
                    packets_lost: lost,
                    burst_factor: 1.05,
                    ..AckSummary::default()
                };
                let now = begin + every * *burst + late + packet * Duration::from_millis(1);
                ours |= losses.on_ack(now, &told).is_some_and(|verdict| verdict.is_self_induced);
            }
            ours
        })
    }

    #[test]
    fn what_is_lost_of_bursts_by_chance_is_not_ours() {
        for seed in 0..100 {
            for (packets, every) in [(18, OFTEN), (250, SELDOM)] {
                assert_eq!(
                    first_self_induced(seed, packets, every, |_| 0.2),
                    None,
                    "seed {seed}, {packets}"
                );
            }
        }
    }

    #[test]
    fn what_is_lost_of_bursts_because_they_are_too_much_is() {
        for seed in 0..100 {
            let found =
                first_self_induced(seed, 18, OFTEN, |burst| if burst < 100 { 0.0 } else { 0.5 });
            assert!(found.is_some_and(|burst| (100..120).contains(&burst)), "{found:?}");
        }
    }
}
