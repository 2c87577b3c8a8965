//! A token bucket.

use std::time::{Duration, Instant};

/// What may leave at once while nothing is known to be in the way: this many seconds' worth.
pub(super) const BURST: f64 = 0.1;

/// Lets a rate pass, and after a pause a burst.
#[derive(Debug)]
pub(super) struct Bucket {
    /// What may leave now, in bytes; below zero after a message of many packets.
    tokens: f64,
    size: f64,
    filled: Instant,
}

impl Bucket {
    pub(super) fn new(now: Instant, rate: f64) -> Bucket {
        Bucket::of_size(now, rate * BURST)
    }

    /// A full one of so many bytes.
    pub(super) fn of_size(now: Instant, size: f64) -> Bucket {
        Bucket { tokens: size, size, filled: now }
    }

    /// Whether something may leave now, behind so many bytes that wait, or else when.
    pub(super) fn room(&mut self, now: Instant, rate: f64, waiting: f64) -> Result<(), Instant> {
        let elapsed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + elapsed * rate).min(self.size);
        self.filled = self.filled.max(now);
        let left = self.tokens - waiting;
        if left > 0.0 {
            return Ok(());
        }
        // One byte more, so that there is room when the time has come.
        Err(now + Duration::from_secs_f64((1.0 - left) / rate))
    }

    pub(super) fn take(&mut self, bytes: f64) {
        self.tokens -= bytes;
    }

    /// What is left above half of it.
    pub(super) fn spare(&self) -> f64 {
        (self.tokens - self.size / 2.0).max(0.0)
    }

    /// Holds so many bytes from now on, and a little at least, so that something can leave.
    pub(super) fn resize(&mut self, size: f64) {
        self.size = size.max(2.0);
        self.tokens = self.tokens.min(self.size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_leaves_at_once_and_then_the_rate_holds() {
        let now = Instant::now();
        let mut bucket = Bucket::new(now, 500_000.0);
        let mut sent = 0;
        while bucket.room(now, 500_000.0, 0.0).is_ok() {
            bucket.take(1_000.0);
            sent += 1_000;
        }
        assert_eq!(sent, 50_000);
        let later = bucket.room(now, 500_000.0, 0.0).unwrap_err();
        assert!(later > now && bucket.room(later, 500_000.0, 0.0).is_ok());
        assert!(bucket.room(later, 500_000.0, 10.0).is_err(), "what waits comes first");
    }

    #[test]
    fn half_of_it_is_not_to_spare() {
        let now = Instant::now();
        let mut bucket = Bucket::new(now, 10_000.0);
        assert_eq!(bucket.spare(), 500.0);
        bucket.take(600.0);
        assert_eq!(bucket.spare(), 0.0);
        bucket.resize(200.0);
        assert_eq!(bucket.spare(), 100.0);
    }
}
