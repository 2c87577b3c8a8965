//! What was seen of the path in a short time.

use std::time::{Duration, Instant};

use crate::congestion::ack::AckSummary;

/// A standing queue is one that was never empty for so long (RFC 8289 §3.2).
const MIN_SAMPLE_INTERVAL: Duration = Duration::from_millis(100);
/// Round trips that are needed to know the least, and how long may be waited for them.
const MIN_RTT_SAMPLES: u32 = 4;
const MAX_SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// Collects what SACKs tell, from one SACK to another.
#[derive(Debug)]
pub(super) struct RateSampler {
    started_at: Instant,
    rtt_samples: u32,
    min_rtt: Option<Duration>,
    bytes_acked: usize,
    bytes_sent: usize,
    packets_acked: u32,
    packets_lost: u32,
}

/// What came of a look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RateSample {
    /// How long it took, in seconds.
    pub(super) interval_secs: f64,
    /// The shortest round trip in it.
    pub(super) min_rtt: Duration,
    /// What arrived, in bytes a second.
    pub(super) delivery_rate: f64,
    /// What left, in bytes a second.
    pub(super) send_rate: f64,
    /// The share of chunks that were lost.
    pub(super) loss: f64,
}

impl RateSampler {
    pub(super) fn new(now: Instant) -> RateSampler {
        RateSampler {
            started_at: now,
            rtt_samples: 0,
            min_rtt: None,
            bytes_acked: 0,
            bytes_sent: 0,
            packets_acked: 0,
            packets_lost: 0,
        }
    }

    pub(super) fn on_send(&mut self, bytes: usize) {
        self.bytes_sent += bytes;
    }

    /// Takes what was told; gives what was seen if that is enough. `rtt` is that of the empty
    /// path: what is shorter than a round trip shows nothing of what we did.
    pub(super) fn on_ack(
        &mut self,
        now: Instant,
        told: &AckSummary,
        rtt: Option<Duration>,
    ) -> Option<RateSample> {
        self.bytes_acked += told.bytes_acked;
        self.packets_acked += told.packets_acked;
        self.packets_lost += told.packets_lost;
        if let Some(sample) = told.rtt_sample {
            self.rtt_samples += 1;
            self.min_rtt = Some(self.min_rtt.map_or(sample, |least| least.min(sample)));
        }
        let time = now.saturating_duration_since(self.started_at);
        let enough = time >= MIN_SAMPLE_INTERVAL.max(rtt.unwrap_or_default())
            && self.rtt_samples >= MIN_RTT_SAMPLES;
        if told.bytes_acked == 0 || !(enough || time >= MAX_SAMPLE_INTERVAL) {
            return None;
        }
        let seen = self.min_rtt.map(|rtt| self.sample(time.as_secs_f64(), rtt));
        *self = RateSampler::new(now);
        seen
    }

    fn sample(&self, time: f64, rtt: Duration) -> RateSample {
        let rate = |bytes: usize| bytes as f64 / time;
        let (delivered, sent) = (rate(self.bytes_acked), rate(self.bytes_sent));
        let loss = f64::from(self.packets_lost)
            / f64::from(self.packets_acked + self.packets_lost).max(1.0);
        RateSample {
            interval_secs: time,
            min_rtt: rtt,
            delivery_rate: delivered,
            send_rate: sent,
            loss,
        }
    }
}

/// How many bytes a second pass, over the last second or so.
#[derive(Debug)]
pub(super) struct RateMeter {
    window_start: Instant,
    bytes: usize,
    rate: f64,
}

impl RateMeter {
    pub(super) fn new(now: Instant) -> RateMeter {
        RateMeter { window_start: now, bytes: 0, rate: 0.0 }
    }

    pub(super) fn add(&mut self, now: Instant, bytes: usize) {
        if now >= self.window_start + MAX_SAMPLE_INTERVAL {
            self.rate = self.rate(now);
            (self.window_start, self.bytes) = (now, 0);
        }
        self.bytes += bytes;
    }

    pub(super) fn rate(&self, now: Instant) -> f64 {
        let time = now.saturating_duration_since(self.window_start);
        if time < MAX_SAMPLE_INTERVAL { self.rate } else { self.bytes as f64 / time.as_secs_f64() }
    }
}

/// Two such spans are looked back upon, the last of them still growing.
const MIN_RTT_WINDOW: Duration = Duration::from_secs(15);

/// The shortest round trip of the last 15 to 30 s: what the path takes when nothing queues.
/// Longer ago the path may have been another.
#[derive(Debug)]
pub(super) struct MinRtt {
    window_start: Instant,
    previous: Option<Duration>,
    current: Option<Duration>,
}

impl MinRtt {
    pub(super) fn new(now: Instant) -> MinRtt {
        MinRtt { window_start: now, previous: None, current: None }
    }

    pub(super) fn add_sample(&mut self, now: Instant, rtt: Duration) {
        if now >= self.window_start + MIN_RTT_WINDOW {
            self.window_start = now;
            self.previous = self.current.take();
        }
        self.current = Some(self.current.map_or(rtt, |least| least.min(rtt)));
    }

    pub(super) fn rtt(&self) -> Option<Duration> {
        self.previous.into_iter().chain(self.current).min()
    }

    /// How much longer a round trip was than the shortest.
    pub(super) fn queuing_delay(&self, rtt: Duration) -> Duration {
        rtt.saturating_sub(self.rtt().unwrap_or(rtt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let ms = Duration::from_millis;
        let now = Instant::now();
        let mut least = MinRtt::new(now);
        least.add_sample(now, ms(40));
        least.add_sample(now, ms(60));
        assert_eq!((least.rtt(), least.queuing_delay(ms(100))), (Some(ms(40)), ms(60)));
        least.add_sample(now + MIN_RTT_WINDOW, ms(70));
        assert_eq!(least.rtt(), Some(ms(40)));
        least.add_sample(now + MIN_RTT_WINDOW * 2, ms(80));
        assert_eq!(least.rtt(), Some(ms(70)));
    }
}
