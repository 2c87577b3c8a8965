//! Rate samples, send rate meter and windowed minimum RTT.
//!
//! [`RateSample`] and [`MinRtt`] correspond to BBR's rate sample and `RTprop` filter.

use std::time::{Duration, Instant};

use crate::congestion::ack::AckSummary;

/// Shortest sample: a queue is standing if it was not empty for that long (RFC 8289 §3.2).
const MIN_SAMPLE_INTERVAL: Duration = Duration::from_millis(100);
/// RTT measurements per sample, and the time after which fewer suffice.
const MIN_RTT_SAMPLES: u32 = 4;
const MAX_SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// Sampler of loss, delay and rates, from one SACK to another.
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

/// Loss, delay and rates over one sampling interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RateSample {
    /// Length of the interval, in seconds.
    pub(super) interval_secs: f64,
    /// Minimum RTT of the interval.
    pub(super) min_rtt: Duration,
    /// Acknowledged bytes per second.
    pub(super) delivery_rate: f64,
    /// Sent bytes per second.
    pub(super) send_rate: f64,
    /// Share of lost packets.
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

    /// Takes a SACK; returns the sample when the interval is complete: at least 100 ms, `rtt`
    /// (`RTprop`; less than a round trip shows no effect of the rate) and 4 RTT measurements, or 1
    /// s.
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

/// Meter of bytes per second, over about the last second.
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

/// Half of the filter's window: the minimum covers a complete half and the current one.
const MIN_RTT_WINDOW: Duration = Duration::from_secs(15);

/// Windowed minimum RTT of the last 15 to 30 s (`RTprop`): the path's delay without a queue. Older
/// samples may belong to another path.
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

    /// Returns `RTprop`, if any sample was taken.
    pub(super) fn rtt(&self) -> Option<Duration> {
        self.previous.into_iter().chain(self.current).min()
    }

    /// Returns the queuing delay `q = rtt - RTprop`; 0 without samples.
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
