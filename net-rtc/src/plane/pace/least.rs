//! The least of the last seconds.

use std::time::{Duration, Instant};

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
