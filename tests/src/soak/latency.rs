//! Latencies and their distribution.

use std::fmt;
use std::time::Duration;

/// What an attack may add to the 99th percentile, if that is more than as much again.
const MAY_ADD: Duration = Duration::from_millis(3);

/// Latencies of which percentiles are asked.
#[derive(Clone, Debug, Default)]
pub struct Latency {
    all: Vec<Duration>,
}

impl Latency {
    /// One more.
    pub fn push(&mut self, latency: Duration) {
        self.all.push(latency);
    }

    /// All of another as well.
    pub fn extend(&mut self, other: &Latency) {
        self.all.extend(&other.all);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The latency that this share of all does not exceed, from 0 to 1; nothing if there is
    /// none.
    #[must_use]
    pub fn at(&self, share: f64) -> Duration {
        let mut sorted = self.all.clone();
        sorted.sort_unstable();
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// The share of all that is at most this.
    #[must_use]
    pub fn share_within(&self, limit: Duration) -> f64 {
        let within = self.all.iter().filter(|latency| **latency <= limit).count();
        within as f64 / self.all.len().max(1) as f64
    }

    /// Whether its 99th percentile is at most twice the quiet one, or the quiet one and 3 ms.
    #[must_use]
    pub fn is_calm(&self, quiet: &Latency) -> bool {
        let (here, quiet) = (self.at(0.99), quiet.at(0.99));
        here <= 2 * quiet || here <= quiet + MAY_ADD
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p90, p99, max] = [0.5, 0.9, 0.99, 1.0].map(|s| self.at(s).as_secs_f64() * 1e3);
        write!(f, "p50 {p50:.2}, p90 {p90:.2}, p99 {p99:.2}, max {max:.1} ms of {}", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ms: impl IntoIterator<Item = u64>) -> Latency {
        Latency { all: ms.into_iter().map(Duration::from_millis).collect() }
    }

    #[test]
    fn percentiles_are_of_those_that_were_measured() {
        let latency = of((1..=200).rev());
        assert_eq!(latency.at(0.5), Duration::from_millis(100));
        assert_eq!(latency.at(0.99), Duration::from_millis(198));
        assert_eq!(latency.at(1.0), Duration::from_millis(200));
        assert_eq!(Latency::default().at(0.5), Duration::ZERO);
        assert!((latency.share_within(Duration::from_millis(50)) - 0.25).abs() < 1e-9);
    }

    #[test]
    fn calm_is_twice_as_long_or_three_milliseconds_more() {
        assert!(of([4]).is_calm(&of([1])));
        assert!(!of([5]).is_calm(&of([1])));
        assert!(of([20]).is_calm(&of([10])));
        assert!(!of([21]).is_calm(&of([10])));
    }
}
