//! How long a round trip takes.

use std::time::Duration;

/// What is assumed before anything was measured.
const UNKNOWN: Duration = Duration::from_millis(200);

/// A smoothed round-trip time (RFC 6298 §2). A peer may hold a SACK back for up to 200 ms
/// (RFC 9260 §6.2), so it is rather too long than too short.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rtt {
    smoothed: Option<Duration>,
}

impl Rtt {
    pub(crate) fn sample(&mut self, sample: Duration) {
        self.smoothed = Some(match self.smoothed {
            None => sample,
            Some(smoothed) => (smoothed * 7 + sample) / 8,
        });
    }

    pub(crate) fn smoothed(&self) -> Duration {
        self.smoothed.unwrap_or(UNKNOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eighth_of_each_sample_counts() {
        let ms = Duration::from_millis;
        let mut rtt = Rtt::default();
        assert_eq!(rtt.smoothed(), UNKNOWN);
        rtt.sample(ms(80));
        assert_eq!(rtt.smoothed(), ms(80));
        rtt.sample(ms(160));
        assert_eq!(rtt.smoothed(), ms(90));
    }
}
