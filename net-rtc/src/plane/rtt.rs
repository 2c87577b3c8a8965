//! How long a round trip takes.

use std::time::Duration;

/// What is assumed before anything was measured.
const UNKNOWN: Duration = Duration::from_millis(200);

/// Smoothed round-trip times (RFC 6298 §2).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rtt {
    any: Option<Duration>,
    prompt: Option<Duration>,
}

impl Rtt {
    /// Takes a round trip; a `prompt` one is of a packet that the peer acknowledged at once.
    pub(crate) fn sample(&mut self, sample: Duration, prompt: bool) {
        smooth(&mut self.any, sample);
        if prompt {
            smooth(&mut self.prompt, sample);
        }
    }

    /// Until a SACK comes. A peer may hold it back for up to 200 ms (RFC 9260 §6.2), so this is
    /// rather too long than too short.
    pub(crate) fn smoothed(&self) -> Duration {
        self.any.unwrap_or(UNKNOWN)
    }

    /// What the path takes, if that was measured.
    pub(crate) fn of_path(&self) -> Option<Duration> {
        self.prompt
    }
}

fn smooth(smoothed: &mut Option<Duration>, sample: Duration) {
    *smoothed = Some(smoothed.map_or(sample, |smoothed| (smoothed * 7 + sample) / 8));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eighth_of_each_sample_counts() {
        let ms = Duration::from_millis;
        let mut rtt = Rtt::default();
        assert_eq!((rtt.smoothed(), rtt.of_path()), (UNKNOWN, None));
        rtt.sample(ms(80), true);
        assert_eq!((rtt.smoothed(), rtt.of_path()), (ms(80), Some(ms(80))));
        rtt.sample(ms(160), false);
        assert_eq!((rtt.smoothed(), rtt.of_path()), (ms(90), Some(ms(80))));
    }
}
