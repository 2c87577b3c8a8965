//! Whether the peer takes what is sent to it.

use std::fmt;
use std::time::{Duration, Instant};

use crate::Config;
use crate::config::later;

/// How slowly a peer takes what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slow {
    /// Bytes that it took, frame heads included.
    pub taken: usize,
    /// In this time.
    pub time: Duration,
    /// Bytes that wait for it still.
    pub waiting: usize,
}

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Slow { taken, time, waiting } = self;
        write!(f, "took {taken} bytes in {} s, and {waiting} wait", time.as_secs_f32())
    }
}

/// One period in which bytes wait. Until its end the peer must have taken all that waited at its
/// beginning, or as much as the least rate makes of its time: a peer that is only far away, or
/// whose path is narrow, passes, and one that takes a byte now and then does not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    began: Instant,
    /// What must be taken, in bytes.
    wanted: usize,
    taken: usize,
    warned: bool,
}

/// What a period has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on, or the next one begins.
    Fine,
    /// It is half over, and less than half of what must be was taken.
    Behind(Slow),
    /// It is over, and too little was taken.
    TooSlow(Slow),
}

impl Progress {
    /// A period that begins with so many bytes waiting.
    pub(crate) fn new(now: Instant, waiting: usize, config: &Config) -> Progress {
        let least = f64::from(config.min_send_rate) / 8.0 * config.send_timeout.as_secs_f64();
        Progress { began: now, wanted: waiting.min(least as usize), taken: 0, warned: false }
    }

    /// The stream took so many bytes.
    pub(crate) fn took(&mut self, bytes: usize) {
        self.taken = self.taken.saturating_add(bytes);
    }

    /// So much of the time is not the peer's.
    pub(crate) fn put_off(&mut self, time: Duration) {
        self.began = later(self.began, time);
    }

    /// When to judge next.
    pub(crate) fn due(&self, config: &Config) -> Instant {
        let time = config.send_timeout;
        later(self.began, if self.warned { time } else { time / 2 })
    }

    /// Judges what was taken, with so many bytes waiting still; once it is [due](Progress::due).
    pub(crate) fn judge(&mut self, now: Instant, waiting: usize, config: &Config) -> Verdict {
        if now < self.due(config) {
            return Verdict::Fine;
        }
        let time = now.saturating_duration_since(self.began);
        let slow = Slow { taken: self.taken, time, waiting };
        if time < config.send_timeout {
            self.warned = true;
            return match self.taken < self.wanted / 2 {
                true => Verdict::Behind(slow),
                false => Verdict::Fine,
            };
        }
        if self.taken < self.wanted.max(1) {
            return Verdict::TooSlow(slow);
        }
        *self = Progress::new(now, waiting, config);
        Verdict::Fine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// 10 s, in which 1,000 bytes must be taken.
    fn config() -> Config {
        Config { send_timeout: 10 * SECOND, min_send_rate: 800, ..Config::default() }
    }

    /// How long a peer lasts that takes `bytes` each second of more than there is.
    fn lasts(bytes: usize) -> Option<u32> {
        let (config, start) = (config(), Instant::now());
        let mut progress = Progress::new(start, 1 << 20, &config);
        (1..600).find(|second| {
            progress.took(bytes);
            let verdict = progress.judge(start + *second * SECOND, 1 << 20, &config);
            matches!(verdict, Verdict::TooSlow(_))
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
        let mut progress = Progress::new(start, 100, &config);
        for period in 1..100 {
            progress.took(100);
            let verdict = progress.judge(start + period * 10 * SECOND, 100, &config);
            assert_eq!(verdict, Verdict::Fine, "period {period}");
        }
    }

    #[test]
    fn there_is_one_warning_at_half_the_time() {
        let (config, start) = (config(), Instant::now());
        let mut progress = Progress::new(start, 2_000, &config);
        let mut at = |second: u32| progress.judge(start + second * SECOND, 2_000, &config);
        let slow = |seconds: u32| Slow { taken: 0, time: seconds * SECOND, waiting: 2_000 };
        assert_eq!(at(4), Verdict::Fine);
        assert_eq!(at(5), Verdict::Behind(slow(5)));
        assert_eq!([at(6), at(9)], [Verdict::Fine; 2]);
        assert_eq!(at(10), Verdict::TooSlow(slow(10)));
    }

    #[test]
    fn time_that_is_not_the_peers_does_not_count() {
        let (config, start) = (config(), Instant::now());
        let mut progress = Progress::new(start, 2_000, &config);
        progress.put_off(60 * SECOND);
        assert_eq!(progress.judge(start + 60 * SECOND, 2_000, &config), Verdict::Fine);
        let verdict = progress.judge(start + 70 * SECOND, 2_000, &config);
        assert!(matches!(verdict, Verdict::TooSlow(_)));
    }

    #[test]
    fn never_is_never() {
        let config = Config { send_timeout: Duration::MAX, ..Config::default() };
        let start = Instant::now();
        let mut progress = Progress::new(start, usize::MAX, &config);
        assert!(progress.due(&config) > start + 1_000_000 * SECOND);
        assert_eq!(progress.judge(start + 1_000 * SECOND, 5, &config), Verdict::Fine);
    }
}
