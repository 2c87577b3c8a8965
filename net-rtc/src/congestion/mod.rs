//! How fast to send: congestion control in place of SCTP's (RFC 8085).

pub(crate) mod ack;
mod controller;
mod delay_based;
mod loss_based;
mod pacer;
mod queue_probe;
mod rate_sample;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use crate::Congestion;
use crate::congestion::ack::{AckSummary, RttEstimator};
use crate::congestion::controller::DelayBased;
use crate::congestion::loss_based::LossBased;
pub(crate) use crate::congestion::pacer::CircuitBreaker;
use crate::congestion::pacer::{BurstLimiter, PROBE_SHARE, TokenBucket};
use crate::congestion::rate_sample::{MinRtt, RateMeter};
use crate::sctp::settings::DataPathSettings;

/// The share of lost packets that opens the circuit breaker after 10 s (RFC 8084).
const BREAKER_LOSS: f64 = 0.5;
/// In bytes a second, whatever is configured: some day the next packet must leave.
const ABSOLUTE_MIN_RATE: f64 = 1.0;
/// The share of a packet in the average of their sizes.
const PACKET_SIZE_GAIN: f64 = 1.0 / 16.0;
/// What is assumed before any was sent, in bytes.
const INITIAL_PACKET_SIZE: f64 = 1_200.0;

/// Between what and what a rate may be, in bytes a second.
#[derive(Clone, Copy, Debug)]
struct RateLimits {
    min_rate: f64,
    max_rate: f64,
    /// A packet, on average, in bytes.
    avg_packet_size: f64,
}

impl RateLimits {
    fn clamp(self, rate: f64) -> f64 {
        rate.clamp(self.min_rate, self.max_rate)
    }
}

/// Says when the next message may leave.
#[derive(Debug)]
pub(crate) struct RateController {
    /// As configured, and as the packets are.
    limits: RateLimits,
    token_bucket: TokenBucket,
    burst_limiter: BurstLimiter,
    algorithm: Algorithm,
    circuit_breaker: CircuitBreaker,
    min_rtt: MinRtt,
    send_rate: RateMeter,
}

#[derive(Debug)]
enum Algorithm {
    DelayBased(Box<DelayBased>),
    LossBased(LossBased),
}

impl RateController {
    pub(crate) fn new(now: Instant, settings: DataPathSettings) -> RateController {
        let most = f64::from(settings.max_bitrate.max(1)) / 8.0;
        let least = (f64::from(settings.min_bitrate) / 8.0).min(most);
        let limits =
            RateLimits { min_rate: least, max_rate: most, avg_packet_size: INITIAL_PACKET_SIZE };
        RateController {
            limits,
            token_bucket: TokenBucket::new(now, most),
            burst_limiter: BurstLimiter::new(now),
            algorithm: match settings.congestion {
                Congestion::DelayBased => {
                    Algorithm::DelayBased(Box::new(DelayBased::new(now, limits)))
                }
                Congestion::LossBased => Algorithm::LossBased(LossBased::new(now, limits)),
            },
            circuit_breaker: CircuitBreaker::new(now, BREAKER_LOSS),
            min_rtt: MinRtt::new(now),
            send_rate: RateMeter::new(now),
        }
    }

    /// Whether something may leave now, behind so many bytes that wait, or else when.
    pub(crate) fn poll_ready(&mut self, now: Instant, waiting: usize) -> Result<(), Instant> {
        let rate = self.allowed_rate(now);
        self.token_bucket.poll_ready(now, rate, waiting as f64)
    }

    /// Whether a packet may leave behind those that have just left, or else when. What was
    /// begun goes on for the rate's part: only the peak is asked.
    pub(crate) fn poll_burst_ready(&mut self, now: Instant) -> Result<(), Instant> {
        let rate = self.allowed_rate(now);
        self.burst_limiter.poll_ready(now, rate)
    }

    /// What may be sent besides what must be, in bytes.
    pub(crate) fn spare_bytes(&self) -> usize {
        self.token_bucket.spare_bytes() as usize
    }

    /// A packet of that many bytes leaves, with so many of them besides what rides again.
    pub(crate) fn on_send(&mut self, now: Instant, fresh: usize, bytes: usize) {
        self.limits.avg_packet_size +=
            (bytes as f64 - self.limits.avg_packet_size) * PACKET_SIZE_GAIN;
        self.token_bucket.consume(bytes as f64);
        self.burst_limiter.consume(fresh);
        self.send_rate.add(now, bytes);
        self.circuit_breaker.on_send(now);
        match &mut self.algorithm {
            Algorithm::DelayBased(adaptive) => adaptive.on_send(bytes),
            Algorithm::LossBased(simple) => simple.on_send(bytes),
        }
    }

    /// A probe of that many bytes leaves, which says nothing of loss and delay.
    pub(crate) fn on_probe_sent(&mut self, bytes: usize) {
        self.token_bucket.consume(bytes as f64);
    }

    /// What is sent reaches the peer again.
    pub(crate) fn on_reachable(&mut self) {
        self.circuit_breaker.on_reachable();
    }

    /// The peer spoke, or some chunks were given up.
    pub(crate) fn on_ack(&mut self, now: Instant, told: &AckSummary, rtt: &RttEstimator) {
        self.circuit_breaker.on_ack(now, told);
        if let Some(rtt) = told.rtt_sample {
            self.min_rtt.add_sample(now, rtt);
        }
        let limits = self.effective_limits(rtt);
        match &mut self.algorithm {
            Algorithm::DelayBased(adaptive) => adaptive.on_ack(now, told, &self.min_rtt, limits),
            Algorithm::LossBased(simple) => simple.on_ack(now, told, limits),
        }
        let (burst, rate) = match &self.algorithm {
            Algorithm::DelayBased(adaptive) => (adaptive.burst_secs(), adaptive.rate()),
            Algorithm::LossBased(simple) => (pacer::BURST_SECS, simple.rate()),
        };
        self.token_bucket.set_capacity(burst * rate);
    }

    /// What may be sent now, in bytes a second.
    pub(crate) fn allowed_rate(&self, now: Instant) -> f64 {
        let rate = match &self.algorithm {
            Algorithm::DelayBased(adaptive) => adaptive.rate(),
            Algorithm::LossBased(simple) => simple.rate(),
        };
        let rate = if self.circuit_breaker.is_open(now) {
            self.limits.min_rate * PROBE_SHARE
        } else {
            rate
        };
        rate.max(ABSOLUTE_MIN_RATE)
    }

    /// What is sent, in bytes a second.
    pub(crate) fn send_rate(&self, now: Instant) -> f64 {
        self.send_rate.rate(now)
    }

    /// The shortest round trip of the last seconds.
    pub(crate) fn min_rtt(&self) -> Option<Duration> {
        self.min_rtt.rtt()
    }

    /// Two packets a round trip are always allowed (RFC 8085 §3.1.3).
    fn effective_limits(&self, rtt: &RttEstimator) -> RateLimits {
        let round = rtt.path_rtt().unwrap_or(rtt.smoothed()).as_secs_f64().max(0.001);
        let RateLimits { min_rate: least, max_rate: most, avg_packet_size: packet } = self.limits;
        RateLimits { min_rate: least.max(2.0 * packet / round).min(most), ..self.limits }
    }
}
