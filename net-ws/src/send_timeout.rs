//! Send timeout: detection of slow consumers.

use std::fmt;
use std::time::{Duration, Instant};

use crate::Config;
use crate::config::saturating_add;

/// Measured send progress of a slow peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowConsumer {
    /// Bytes written to the stream in `elapsed`, frame headers included.
    pub written: usize,
    /// Time since the start of the period.
    pub elapsed: Duration,
    /// Bytes still in the send buffer.
    pub buffered: usize,
}

impl fmt::Display for SlowConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SlowConsumer { written: taken, elapsed: time, buffered: waiting } = self;
        write!(f, "took {taken} bytes in {} s, and {waiting} wait", time.as_secs_f32())
    }
}

/// One period of [`Config::send_timeout`] with buffered bytes. Until its end the peer must have
/// read all bytes buffered at its start, or as many as [`Config::min_send_bitrate`] amounts to: a
/// peer with a long round-trip time or a narrow path passes, one that reads a byte now and then
/// does not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendTimeout {
    started: Instant,
    /// Bytes that must be written until the end of the period.
    required: usize,
    written: usize,
    warned: bool,
}

/// Result of [`SendTimeout::check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendStatus {
    /// The period continues, or the next one has started.
    OnTrack,
    /// The period is half over, and less than half of the required bytes were written.
    Behind(SlowConsumer),
    /// The period is over, and too few bytes were written.
    TooSlow(SlowConsumer),
}

impl SendTimeout {
    /// Starts a period with `waiting` buffered bytes.
    pub(crate) fn new(now: Instant, waiting: usize, config: &Config) -> SendTimeout {
        let least = f64::from(config.min_send_bitrate) / 8.0 * config.send_timeout.as_secs_f64();
        SendTimeout {
            started: now,
            required: waiting.min(least as usize),
            written: 0,
            warned: false,
        }
    }

    /// Records `bytes` written to the stream.
    pub(crate) fn on_written(&mut self, bytes: usize) {
        self.written = self.written.saturating_add(bytes);
    }

    /// Extends the period by `time`, in which the peer could not be served.
    pub(crate) fn extend(&mut self, time: Duration) {
        self.started = saturating_add(self.started, time);
    }

    /// Returns the time of the next check.
    pub(crate) fn next_check(&self, config: &Config) -> Instant {
        let time = config.send_timeout;
        saturating_add(self.started, if self.warned { time } else { time / 2 })
    }

    /// Checks the bytes written, with `waiting` bytes still buffered. Returns
    /// [`SendStatus::OnTrack`] before [`next_check`](SendTimeout::next_check).
    pub(crate) fn check(&mut self, now: Instant, waiting: usize, config: &Config) -> SendStatus {
        if now < self.next_check(config) {
            return SendStatus::OnTrack;
        }
        let time = now.saturating_duration_since(self.started);
        let slow = SlowConsumer { written: self.written, elapsed: time, buffered: waiting };
        if time < config.send_timeout {
            self.warned = true;
            return match self.written < self.required / 2 {
                true => SendStatus::Behind(slow),
                false => SendStatus::OnTrack,
            };
        }
        if self.written < self.required.max(1) {
            return SendStatus::TooSlow(slow);
        }
        *self = SendTimeout::new(now, waiting, config);
        SendStatus::OnTrack
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A period of 10 s, in which 1,000 bytes must be written.
    fn config() -> Config {
        Config { send_timeout: 10 * SECOND, min_send_bitrate: 800, ..Config::default() }
    }

    /// Returns the second at which a peer times out that reads `bytes` per second of a full buffer.
    fn lasts(bytes: usize) -> Option<u32> {
        let (config, start) = (config(), Instant::now());
        let mut progress = SendTimeout::new(start, 1 << 20, &config);
        (1..600).find(|second| {
            progress.on_written(bytes);
            let verdict = progress.check(start + *second * SECOND, 1 << 20, &config);
            matches!(verdict, SendStatus::TooSlow(_))
        })
    }

    #[test]
    fn the_least_rate_decides_and_not_any_progress() {
        assert_eq!([0, 1, 99].map(lasts), [Some(10); 3]);
        assert_eq!([100, 101, 1 << 20].map(lasts), [None; 3]);
    }

    /// 100 bytes per period of 10 s, below the minimum rate, but all that is buffered.
    #[test]
    fn a_peer_that_takes_all_that_waited_is_not_slow() {
        let (config, start) = (config(), Instant::now());
        let mut progress = SendTimeout::new(start, 100, &config);
        for period in 1..100 {
            progress.on_written(100);
            let verdict = progress.check(start + period * 10 * SECOND, 100, &config);
            assert_eq!(verdict, SendStatus::OnTrack, "period {period}");
        }
    }

    #[test]
    fn there_is_one_warning_at_half_the_time() {
        let (config, start) = (config(), Instant::now());
        let mut progress = SendTimeout::new(start, 2_000, &config);
        let mut at = |second: u32| progress.check(start + second * SECOND, 2_000, &config);
        let slow =
            |seconds: u32| SlowConsumer { written: 0, elapsed: seconds * SECOND, buffered: 2_000 };
        assert_eq!(at(4), SendStatus::OnTrack);
        assert_eq!(at(5), SendStatus::Behind(slow(5)));
        assert_eq!([at(6), at(9)], [SendStatus::OnTrack; 2]);
        assert_eq!(at(10), SendStatus::TooSlow(slow(10)));
    }

    #[test]
    fn time_that_is_not_the_peers_does_not_count() {
        let (config, start) = (config(), Instant::now());
        let mut progress = SendTimeout::new(start, 2_000, &config);
        progress.extend(60 * SECOND);
        assert_eq!(progress.check(start + 60 * SECOND, 2_000, &config), SendStatus::OnTrack);
        let verdict = progress.check(start + 70 * SECOND, 2_000, &config);
        assert!(matches!(verdict, SendStatus::TooSlow(_)));
    }

    #[test]
    fn never_is_never() {
        let config = Config { send_timeout: Duration::MAX, ..Config::default() };
        let start = Instant::now();
        let mut progress = SendTimeout::new(start, usize::MAX, &config);
        assert!(progress.next_check(&config) > start + 1_000_000 * SECOND);
        assert_eq!(progress.check(start + 1_000 * SECOND, 5, &config), SendStatus::OnTrack);
    }
}
