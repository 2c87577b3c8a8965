//! How fast something grows.

use std::time::Duration;

/// Measurements over time, and the straight line through them (least squares).
#[derive(Clone, Debug, Default)]
pub struct Slope {
    points: Vec<(f64, f64)>,
}

impl Slope {
    /// One more measurement.
    pub fn push(&mut self, at: Duration, value: f64) {
        self.points.push((at.as_secs_f64(), value));
    }

    /// How much it grows in an hour; 0 for fewer than two points.
    #[must_use]
    pub fn per_hour(&self) -> f64 {
        let count = self.points.len() as f64;
        let sum = |of: fn(&(f64, f64)) -> f64| self.points.iter().map(of).sum::<f64>();
        let (x, y, xx, xy) = (sum(|p| p.0), sum(|p| p.1), sum(|p| p.0 * p.0), sum(|p| p.0 * p.1));
        let spread = count * xx - x * x;
        if spread <= 0.0 { 0.0 } else { (count * xy - x * y) / spread * 3_600.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_own_slope() {
        let mut slope = Slope::default();
        assert_eq!(slope.per_hour(), 0.0);
        for minute in 0..10 {
            slope.push(Duration::from_secs(60 * minute), 7.0 + minute as f64);
        }
        assert!((slope.per_hour() - 60.0).abs() < 1e-6);
    }
}
