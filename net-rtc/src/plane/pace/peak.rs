//! How many packets may leave one behind the other.

use std::time::Instant;

use super::bucket::Bucket;

/// What may leave at once, in bytes of SCTP packets: 24 of them. Chromium gives the socket of a
/// connection a receive buffer of 64 KiB, which Linux counts so that 56 datagrams of 1,200 bytes
/// fit; of 61, a message of 64 KiB, the last were lost on each arrival.
const BURST: f64 = 24.0 * 1_116.0;
/// The rate at which more follows, in bytes a second: two packets in a millisecond, so that a
/// receiver that does not look for 15 ms loses nothing, and 64 KiB have left in 20 ms.
const RATE: f64 = 2_250_000.0;
/// It is never less than this many times the rate that is allowed.
const HEADROOM: f64 = 2.0;

/// Spreads what is allowed to leave, where it is more than a receiver can take at once. It says
/// nothing about how much leaves in all: that is the rate's.
#[derive(Debug)]
pub(super) struct Peak {
    bucket: Bucket,
}

impl Peak {
    pub(super) fn new(now: Instant) -> Peak {
        Peak { bucket: Bucket::of_size(now, BURST) }
    }

    /// Whether a packet may leave now, where so many bytes a second are allowed, or else when.
    pub(super) fn room(&mut self, now: Instant, rate: f64) -> Result<(), Instant> {
        self.bucket.room(now, RATE.max(rate * HEADROOM), 0.0)
    }

    /// A packet of that many bytes leaves. What rides again in it does not count: it fills up a
    /// packet that leaves anyway, and stays behind while something new waits.
    pub(super) fn take(&mut self, bytes: usize) {
        self.bucket.take(bytes as f64);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// When each of so many packets leaves, where so many bytes a second are allowed.
    fn leaves(packets: usize, rate: f64) -> Vec<Duration> {
        let start = Instant::now();
        let (mut now, mut peak) = (start, Peak::new(start));
        let mut leave = || {
            while let Err(at) = peak.room(now, rate) {
                now = at;
            }
            peak.take(1_116);
            now - start
        };
        (0..packets).map(|_| leave()).collect()
    }

    #[test]
    fn no_receiver_that_looks_every_fifteen_milliseconds_has_to_hold_more_than_56() {
        let leaves = leaves(1_000, 500_000.0);
        let window = Duration::from_millis(15);
        let within = |from: &Duration| {
            leaves.iter().filter(|at| (*from..*from + window).contains(*at)).count()
        };
        let most = leaves.iter().map(within);
        assert!(most.max() <= Some(56), "{:?}", &leaves[..70]);
        assert_eq!(leaves.iter().filter(|at| at.is_zero()).count(), 24);
        assert!(leaves[60] < Duration::from_millis(20), "{:?}", leaves[60]);
    }

    #[test]
    fn a_rate_that_is_higher_is_not_held_up() {
        let allowed = 25_000_000.0;
        let last = *leaves(10_000, allowed).last().expect("some");
        assert!(last.as_secs_f64() < 10_000.0 * 1_116.0 / allowed, "{last:?}");
    }
}
