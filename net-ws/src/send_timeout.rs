//! Whether the peer takes what is sent to it.

use std::fmt;
use std::time::{Duration, Instant};

use crate::Config;
use crate::config::saturating_add;

/// How slowly a peer takes what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowConsumer {
    /// Bytes that it took, frame heads included.
    pub written: usize,
    /// In this time.
    pub elapsed: Duration,
    /// Bytes that wait for it still.
    pub buffered: usize,
}

impl fmt::Display for SlowConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SlowConsumer { written: taken, elapsed: time, buffered: waiting } = self;
        write!(f, "took {taken} bytes in {} s, and {waiting} wait", time.as_secs_f32())
    }
}

/// One period in which bytes wait. Until its end the peer must have taken all that waited at its
/// beginning, or as much as the least rate makes of its time: a peer that is only far away, or
/// whose path is narrow, passes, and one that takes a byte now and then does not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendTimeout {
    started: Instant,
    /// What must be taken, in bytes.
    required: usize,
    written: usize,
    warned: bool,
}

/// What a period has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendStatus {
    /// It goes on, or the next one begins.
    OnTrack,
    /// It is half over, and less than half of what must be was taken.
    Behind(SlowConsumer),
    /// It is over, and too little was taken.
    TooSlow(SlowConsumer),
}

impl SendTimeout {
    /// A period that begins with so many bytes waiting.
    pub(crate) fn new(now: Instant, waiting: usize, config: &Config) -> SendTimeout {
        let least = f64::from(config.min_send_bitrate) / 8.0 * config.send_timeout.as_secs_f64();
        SendTimeout {
            started: now,
            required: waiting.min(least as usize),
            written: 0,
            warned: false,
        }
    }

    /// The stream took so many bytes.
    pub(crate) fn on_written(&mut self, bytes: usize) {
        self.written = self.written.saturating_add(bytes);
    }

    /// So much of the time is not the peer's.
    pub(crate) fn extend(&mut self, time: Duration) {
        self.started = saturating_add(self.started, time);
    }

    /// When to judge next.
    pub(crate) fn next_check(&self, config: &Config) -> Instant {
        let time = config.send_timeout;
        saturating_add(self.started, if self.warned { time } else { time / 2 })
    }

    /// Judges what was taken, with so many bytes waiting still; once it is [due](Progress::due).
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

    /// 10 s, in which 1,000 bytes must be taken.
    fn config() -> Config {
        Config { send_timeout: 10 * SECOND, min_send_bitrate: 800, ..Config::default() }
    }

    /// How long a peer lasts that takes `bytes` each second of more than there is.
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

    /// A hundred bytes a second, each of which waits for a while.
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
