//! Pacer: token bucket, burst limit and circuit breaker (RFC 8084).

use std::time::{Duration, Instant};

use crate::congestion::ack::AckSummary;

/// Burst size while the path does not limit the rate, in seconds at the rate.
pub(super) const BURST_SECS: f64 = 0.1;

/// Token bucket: a rate, and a burst after a pause.
#[derive(Debug)]
pub(super) struct TokenBucket {
    /// Bytes that may be sent now; negative after a message of many packets.
    tokens: f64,
    capacity: f64,
    last_refill: Instant,
}

impl TokenBucket {
    pub(super) fn new(now: Instant, rate: f64) -> TokenBucket {
        TokenBucket::with_capacity(now, rate * BURST_SECS)
    }

    /// Creates a full bucket of `capacity` bytes.
    pub(super) fn with_capacity(now: Instant, capacity: f64) -> TokenBucket {
        TokenBucket { tokens: capacity, capacity, last_refill: now }
    }

    /// Returns whether a message may be sent now, after `waiting` queued bytes, or else the time at
    /// which it may. `rate` is in bytes per second.
    pub(super) fn poll_ready(
        &mut self,
        now: Instant,
        rate: f64,
        waiting: f64,
    ) -> Result<(), Instant> {
        let elapsed = now.saturating_duration_since(self.last_refill).as_secs_f64();
        self.tokens = (self.tokens + elapsed * rate).min(self.capacity);
        self.last_refill = self.last_refill.max(now);
        let left = self.tokens - waiting;
        if left > 0.0 {
            return Ok(());
        }
        // One byte more, so that tokens are left at that time.
        Err(now + Duration::from_secs_f64((1.0 - left) / rate))
    }

    pub(super) fn consume(&mut self, bytes: f64) {
        self.tokens -= bytes;
    }

    /// Returns the tokens above half of the capacity, in bytes.
    pub(super) fn spare_bytes(&self) -> f64 {
        (self.tokens - self.capacity / 2.0).max(0.0)
    }

    /// Sets the capacity in bytes, to at least 2, so that something can be sent.
    pub(super) fn set_capacity(&mut self, size: f64) {
        self.capacity = size.max(2.0);
        self.tokens = self.tokens.min(self.capacity);
    }
}

/// Share of the minimum rate that is sent while the breaker is open, to detect a better path.
pub(super) const PROBE_SHARE: f64 = 0.1;
/// Duration of heavy loss, or of silence of the peer, that opens the breaker.
const OPEN_AFTER: Duration = Duration::from_secs(10);
/// Packets with a known outcome per evaluation. Fewer could be better by chance.
const MIN_PACKETS: u32 = 20;
/// The same while the breaker is open and little is sent, and the loss share up to which it closes.
const MIN_PACKETS_WHEN_OPEN: u32 = 6;
const MAX_LOSS_TO_CLOSE: f64 = 0.17;

/// Network transport circuit breaker (RFC 8084): opens after 10 s of heavy loss or without an
/// acknowledgement.
#[derive(Debug)]
pub(crate) struct CircuitBreaker {
    max_loss: f64,
    window_start: Instant,
    packets_acked: u32,
    packets_lost: u32,
    /// Begin of the heavy loss.
    lossy_since: Option<Instant>,
    /// When the first packet was sent that no acknowledgement followed.
    silent_since: Option<Instant>,
}

impl CircuitBreaker {
    /// Creates a closed breaker. Loss over `max_loss`, from 0 to 1, is heavy.
    pub(crate) fn new(now: Instant, max_loss: f64) -> CircuitBreaker {
        CircuitBreaker {
            max_loss,
            window_start: now,
            packets_acked: 0,
            packets_lost: 0,
            lossy_since: None,
            silent_since: None,
        }
    }

    /// Records a sent packet: an acknowledgement is expected from now on.
    pub(super) fn on_send(&mut self, now: Instant) {
        self.silent_since.get_or_insert(now);
    }

    /// Forgets the peer's silence: another answer of it proves that it is reachable.
    pub(super) fn on_reachable(&mut self) {
        self.silent_since = None;
    }

    pub(crate) fn on_ack(&mut self, now: Instant, told: &AckSummary) {
        self.packets_acked += told.packets_acked;
        self.packets_lost += told.packets_lost;
        if told.bytes_acked > 0 {
            self.silent_since = None;
        }
        let all = self.packets_acked + self.packets_lost;
        let (enough, heavy) = if self.is_open(now) {
            (MIN_PACKETS_WHEN_OPEN, MAX_LOSS_TO_CLOSE)
        } else {
            (MIN_PACKETS, self.max_loss)
        };
        if all >= enough {
            self.update(f64::from(self.packets_lost) > heavy * f64::from(all));
            (self.window_start, self.packets_acked, self.packets_lost) = (now, 0, 0);
        }
    }

    /// Returns whether the breaker is open: only [`PROBE_SHARE`] of the minimum rate may be sent.
    pub(crate) fn is_open(&self, now: Instant) -> bool {
        [self.lossy_since, self.silent_since]
            .into_iter()
            .flatten()
            .any(|since| now >= since + OPEN_AFTER)
    }

    fn update(&mut self, heavy: bool) {
        self.lossy_since = heavy.then(|| self.lossy_since.unwrap_or(self.window_start));
    }
}

/// Burst size in bytes of SCTP packets: 24 packets. Chromium sets a receive buffer of 64 KiB on the
/// UDP socket of a connection, in which Linux has room for 56 datagrams of 1,200 bytes; of a
/// message of 64 KiB, 61 packets, the last ones were lost on each arrival.
const BURST_CAPACITY: f64 = 24.0 * 1_116.0;
/// Rate after the burst in bytes per second: two packets per millisecond, so that a receiver that
/// reads only every 15 ms loses nothing, and 64 KiB are sent in 20 ms.
const BURST_REFILL_RATE: f64 = 2_250_000.0;
/// Lower bound of that rate as a multiple of the allowed rate.
const BURST_RATE_HEADROOM: f64 = 2.0;

/// Burst limiter: spreads packets that a receiver cannot buffer at once. It does not limit the
/// average rate.
#[derive(Debug)]
pub(super) struct BurstLimiter {
    token_bucket: TokenBucket,
}

impl BurstLimiter {
    pub(super) fn new(now: Instant) -> BurstLimiter {
        BurstLimiter { token_bucket: TokenBucket::with_capacity(now, BURST_CAPACITY) }
    }

    /// Returns whether a packet may be sent now, or else the time at which it may. `rate` is the
    /// allowed rate in bytes per second.
    pub(super) fn poll_ready(&mut self, now: Instant, rate: f64) -> Result<(), Instant> {
        self.token_bucket.poll_ready(now, BURST_REFILL_RATE.max(rate * BURST_RATE_HEADROOM), 0.0)
    }

    /// Records `bytes` sent. Redundant copies do not count: they fill up packets that are sent
    /// anyway, and yield to new data.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.token_bucket.consume(bytes as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_leaves_at_once_and_then_the_rate_holds() {
        let now = Instant::now();
        let mut bucket = TokenBucket::new(now, 500_000.0);
        let mut sent = 0;
        while bucket.poll_ready(now, 500_000.0, 0.0).is_ok() {
            bucket.consume(1_000.0);
            sent += 1_000;
        }
        assert_eq!(sent, 50_000);
        let later = bucket.poll_ready(now, 500_000.0, 0.0).unwrap_err();
        assert!(later > now && bucket.poll_ready(later, 500_000.0, 0.0).is_ok());
        assert!(bucket.poll_ready(later, 500_000.0, 10.0).is_err(), "what waits comes first");
    }

    #[test]
    fn half_of_it_is_not_to_spare() {
        let now = Instant::now();
        let mut bucket = TokenBucket::new(now, 10_000.0);
        assert_eq!(bucket.spare_bytes(), 500.0);
        bucket.consume(600.0);
        assert_eq!(bucket.spare_bytes(), 0.0);
        bucket.set_capacity(200.0);
        assert_eq!(bucket.spare_bytes(), 100.0);
    }
}

#[cfg(test)]
mod circuit_breaker_tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Sends 20 chunks a second, of which `lost` in a hundred are lost; whether it is open then.
    fn after(breaker: &mut CircuitBreaker, now: &mut Instant, seconds: u32, lost: u32) -> bool {
        for number in 0..seconds * 20 {
            *now += 50 * MS;
            breaker.on_send(*now);
            let lost = u32::from(number * 37 % 100 < lost);
            let (arrived, bytes) = (1 - lost, 100 * (1 - lost as usize));
            breaker.on_ack(
                *now,
                &AckSummary {
                    packets_acked: arrived,
                    packets_lost: lost,
                    bytes_acked: bytes,
                    ..AckSummary::default()
                },
            );
        }
        breaker.is_open(*now)
    }

    #[test]
    fn ten_seconds_of_heavy_loss_open_it_and_better_times_close_it() {
        let mut now = Instant::now();
        let mut breaker = CircuitBreaker::new(now, 0.5);
        assert!(!after(&mut breaker, &mut now, 60, 40));
        assert!(!after(&mut breaker, &mut now, 8, 70));
        assert!(after(&mut breaker, &mut now, 5, 70));
        assert!(after(&mut breaker, &mut now, 60, 70));
        assert!(!after(&mut breaker, &mut now, 5, 10));
    }

    #[test]
    fn so_does_silence_until_the_first_word() {
        let mut now = Instant::now();
        let mut breaker = CircuitBreaker::new(now, 0.5);
        assert!(!after(&mut breaker, &mut now, 60, 0));
        breaker.on_send(now);
        assert!(!breaker.is_open(now + OPEN_AFTER - MS));
        assert!(breaker.is_open(now + OPEN_AFTER));
        breaker.on_ack(
            now + OPEN_AFTER,
            &AckSummary { packets_acked: 1, bytes_acked: 10, ..AckSummary::default() },
        );
        assert!(!breaker.is_open(now + OPEN_AFTER));
    }

    #[test]
    fn silence_is_over_when_the_peer_is_reached() {
        let now = Instant::now();
        let mut breaker = CircuitBreaker::new(now, 0.5);
        breaker.on_send(now);
        assert!(breaker.is_open(now + OPEN_AFTER));
        breaker.on_reachable();
        assert!(!breaker.is_open(now + OPEN_AFTER));
        breaker.on_send(now + OPEN_AFTER);
        assert!(breaker.is_open(now + OPEN_AFTER * 2));
    }

    #[test]
    fn who_sends_nothing_expects_nothing() {
        let now = Instant::now();
        assert!(!CircuitBreaker::new(now, 0.5).is_open(now + OPEN_AFTER * 10));
    }
}

#[cfg(test)]
mod burst_limiter_tests {
    use std::time::Duration;

    use super::*;

    /// When each of so many packets leaves, where so many bytes a second are allowed.
    fn leaves(packets: usize, rate: f64) -> Vec<Duration> {
        let start = Instant::now();
        let (mut now, mut peak) = (start, BurstLimiter::new(start));
        let mut leave = || {
            while let Err(at) = peak.poll_ready(now, rate) {
                now = at;
            }
            peak.consume(1_116);
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
