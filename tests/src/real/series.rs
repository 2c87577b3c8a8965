//! A count as time goes by.

/// A count that only grows, as it was at some times; in microseconds since 1970, ascending.
#[derive(Clone, Debug, Default)]
pub struct Series {
    points: Vec<(u64, u64)>,
}

impl Series {
    /// It was so much then.
    pub fn push(&mut self, at: u64, count: u64) {
        self.points.push((at, count));
    }

    /// What came from the first point at or after `from` up to the last.
    pub fn since(&self, from: u64) -> u64 {
        self.rise(from, u64::MAX).1
    }

    /// What came each second, between the first point and the last from `from` up to `until`; 0
    /// without two points.
    pub fn per_second(&self, from: u64, until: u64) -> f64 {
        match self.rise(from, until) {
            (0, _) => 0.0,
            (time, count) => count as f64 * 1e6 / time as f64,
        }
    }

    /// Time and count between the first point and the last.
    fn rise(&self, from: u64, until: u64) -> (u64, u64) {
        let first = self.points.partition_point(|(at, _)| *at < from);
        let end = self.points.partition_point(|(at, _)| *at <= until);
        match self.points.get(first..end) {
            Some([(from, before), .., (until, after)]) => (until - from, after - before),
            _ => (0, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 10 a second, told every second but late, after 5 before.
    fn series() -> Series {
        let mut series = Series::default();
        (0..10).for_each(|n| series.push(1_000_000 * n + 3, 5 + 10 * n));
        series
    }

    #[test]
    fn a_rate_is_between_points() {
        assert_eq!(series().per_second(0, u64::MAX), 10.0);
        assert_eq!(series().per_second(1_500_000, 4_500_000), 10.0);
        assert_eq!(series().per_second(1_500_000, 2_500_000), 0.0);
        assert_eq!(series().per_second(u64::MAX, 0), 0.0);
        assert_eq!(Series::default().per_second(0, u64::MAX), 0.0);
    }

    #[test]
    fn a_sum_begins_with_the_first_point() {
        assert_eq!(series().since(0), 90);
        assert_eq!(series().since(4), 80);
        assert_eq!(series().since(u64::MAX), 0);
    }
}
