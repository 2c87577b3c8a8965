//! What was seen of the path in a short time.

use std::time::{Duration, Instant};

use crate::congestion::ack::Told;

/// A standing queue is one that was never empty for so long (RFC 8289 §3.2).
const STANDING: Duration = Duration::from_millis(100);
/// Round trips that are needed to know the least, and how long may be waited for them.
const SAMPLES: u32 = 4;
const PATIENCE: Duration = Duration::from_secs(1);

/// Collects what SACKs tell, from one SACK to another.
#[derive(Debug)]
pub(super) struct Look {
    began: Instant,
    samples: u32,
    least: Option<Duration>,
    bytes: usize,
    sent: usize,
    arrived: u32,
    lost: u32,
}

/// What came of a look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Seen {
    /// How long it took, in seconds.
    pub(super) time: f64,
    /// The shortest round trip in it.
    pub(super) rtt: Duration,
    /// What arrived, in bytes a second.
    pub(super) delivered: f64,
    /// What left, in bytes a second.
    pub(super) sent: f64,
    /// The share of chunks that were lost.
    pub(super) loss: f64,
}

impl Look {
    pub(super) fn new(now: Instant) -> Look {
        Look { began: now, samples: 0, least: None, bytes: 0, sent: 0, arrived: 0, lost: 0 }
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
    }

    /// Takes what was told; gives what was seen if that is enough. `rtt` is that of the empty
    /// path: what is shorter than a round trip shows nothing of what we did.
    pub(super) fn told(
        &mut self,
        now: Instant,
        told: &Told,
        rtt: Option<Duration>,
    ) -> Option<Seen> {
        self.bytes += told.bytes;
        self.arrived += told.arrived;
        self.lost += told.lost;
        if let Some(sample) = told.rtt {
            self.samples += 1;
            self.least = Some(self.least.map_or(sample, |least| least.min(sample)));
        }
        let time = now.saturating_duration_since(self.began);
        let enough = time >= STANDING.max(rtt.unwrap_or_default()) && self.samples >= SAMPLES;
        if told.bytes == 0 || !(enough || time >= PATIENCE) {
            return None;
        }
        let seen = self.least.map(|rtt| self.seen(time.as_secs_f64(), rtt));
        *self = Look::new(now);
        seen
    }

    fn seen(&self, time: f64, rtt: Duration) -> Seen {
        let rate = |bytes: usize| bytes as f64 / time;
        let (delivered, sent) = (rate(self.bytes), rate(self.sent));
        let loss = f64::from(self.lost) / f64::from(self.arrived + self.lost).max(1.0);
        Seen { time, rtt, delivered, sent, loss }
    }
}

/// How many bytes a second pass, over the last second or so.
#[derive(Debug)]
pub(super) struct Meter {
    began: Instant,
    bytes: usize,
    rate: f64,
}

impl Meter {
    pub(super) fn new(now: Instant) -> Meter {
        Meter { began: now, bytes: 0, rate: 0.0 }
    }

    pub(super) fn add(&mut self, now: Instant, bytes: usize) {
        if now >= self.began + PATIENCE {
            self.rate = self.rate(now);
            (self.began, self.bytes) = (now, 0);
        }
        self.bytes += bytes;
    }

    pub(super) fn rate(&self, now: Instant) -> f64 {
        let time = now.saturating_duration_since(self.began);
        if time < PATIENCE { self.rate } else { self.bytes as f64 / time.as_secs_f64() }
    }
}

/// Two such spans are looked back upon, the last of them still growing.
const SPAN: Duration = Duration::from_secs(15);

/// The shortest round trip of the last 15 to 30 s: what the path takes when nothing queues.
/// Longer ago the path may have been another.
#[derive(Debug)]
pub(super) struct Least {
    began: Instant,
    before: Option<Duration>,
    lately: Option<Duration>,
}

impl Least {
    pub(super) fn new(now: Instant) -> Least {
        Least { began: now, before: None, lately: None }
    }

    pub(super) fn note(&mut self, now: Instant, rtt: Duration) {
        if now >= self.began + SPAN {
            self.began = now;
            self.before = self.lately.take();
        }
        self.lately = Some(self.lately.map_or(rtt, |least| least.min(rtt)));
    }

    pub(super) fn rtt(&self) -> Option<Duration> {
        self.before.into_iter().chain(self.lately).min()
    }

    /// How much longer a round trip was than the shortest.
    pub(super) fn over(&self, rtt: Duration) -> Duration {
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
        let mut least = Least::new(now);
        least.note(now, ms(40));
        least.note(now, ms(60));
        assert_eq!((least.rtt(), least.over(ms(100))), (Some(ms(40)), ms(60)));
        least.note(now + SPAN, ms(70));
        assert_eq!(least.rtt(), Some(ms(40)));
        least.note(now + SPAN * 2, ms(80));
        assert_eq!(least.rtt(), Some(ms(70)));
    }
}
