//! Congestion control of unreliable messages in place of SCTP's (RFC 8085).
//!
//! [`RateController`] combines a congestion control algorithm with a [pacer]. Two algorithms, named
//! as in libwebrtc's GCC:
//! * [`DelayBased`] (default): delay-based, and TCP-friendly AIMD beside buffer-filling traffic.
//!   The mode switch is that of Copa and Nimbus.
//! * [`LossBased`]: AIMD on loss that rises with the own send rate.
//!
//! Rates are in bytes per second, and delays in seconds, unless a type says otherwise. Symbols: `C`
//! capacity estimate of the bottleneck, `q` queuing delay, `RTprop` minimum RTT ([`MinRtt`]).

pub(crate) mod ack;
mod delay_based;
mod delay_controller;
mod loss_based;
mod pacer;
mod queue_probe;
mod rate_sample;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use crate::Congestion;
use crate::congestion::ack::{AckSummary, RttEstimator};
use crate::congestion::delay_based::DelayBased;
use crate::congestion::loss_based::LossBased;
pub(crate) use crate::congestion::pacer::CircuitBreaker;
use crate::congestion::pacer::{BurstLimiter, PROBE_SHARE, TokenBucket};
use crate::congestion::rate_sample::{MinRtt, RateMeter};
use crate::sctp::settings::DataPathSettings;

/// Share of lost packets that, over 10 s, opens the circuit breaker (RFC 8084).
const BREAKER_LOSS: f64 = 0.5;
/// Lower bound of the rate in bytes per second, whatever is configured: keeps waiting times finite.
const ABSOLUTE_MIN_RATE: f64 = 1.0;
/// Weight of a packet in the moving average of packet sizes.
const PACKET_SIZE_GAIN: f64 = 1.0 / 16.0;
/// Average packet size in bytes before any packet was sent.
const INITIAL_PACKET_SIZE: f64 = 1_200.0;

/// Bounds of the send rate, in bytes per second.
#[derive(Clone, Copy, Debug)]
struct RateLimits {
    min_rate: f64,
    max_rate: f64,
    /// Moving average of packet sizes, in bytes.
    avg_packet_size: f64,
}

impl RateLimits {
    fn clamp(self, rate: f64) -> f64 {
        rate.clamp(self.min_rate, self.max_rate)
    }
}

/// Congestion controller and pacer of one peer.
#[derive(Debug)]
pub(crate) struct RateController {
    /// The configured rates and the measured packet size.
    limits: RateLimits,
    token_bucket: TokenBucket,
    burst_limiter: BurstLimiter,
    algorithm: CongestionAlgorithm,
    circuit_breaker: CircuitBreaker,
    min_rtt: MinRtt,
    send_rate: RateMeter,
}

/// Congestion control algorithm, as [`Congestion`](crate::Congestion) selects it.
#[derive(Debug)]
enum CongestionAlgorithm {
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
                    CongestionAlgorithm::DelayBased(Box::new(DelayBased::new(now, limits)))
                }
                Congestion::LossBased => {
                    CongestionAlgorithm::LossBased(LossBased::new(now, limits))
                }
            },
            circuit_breaker: CircuitBreaker::new(now, BREAKER_LOSS),
            min_rtt: MinRtt::new(now),
            send_rate: RateMeter::new(now),
        }
    }

    /// Returns whether a message may be sent now, after `waiting` bytes that are queued already, or
    /// else the time at which it may.
    pub(crate) fn poll_ready(&mut self, now: Instant, waiting: usize) -> Result<(), Instant> {
        let rate = self.allowed_rate(now);
        self.token_bucket.poll_ready(now, rate, waiting as f64)
    }

    /// Returns whether another packet of the same burst may be sent now, or else the time at which
    /// it may. Checks the burst limit only: a message that was begun is not held back by the rate.
    pub(crate) fn poll_burst_ready(&mut self, now: Instant) -> Result<(), Instant> {
        let rate = self.allowed_rate(now);
        self.burst_limiter.poll_ready(now, rate)
    }

    /// Returns the bytes that redundant copies may take now.
    pub(crate) fn spare_bytes(&self) -> usize {
        self.token_bucket.spare_bytes() as usize
    }

    /// Records a sent packet of `bytes` bytes, `fresh` of which are not redundant copies.
    pub(crate) fn on_send(&mut self, now: Instant, fresh: usize, bytes: usize) {
        self.limits.avg_packet_size +=
            (bytes as f64 - self.limits.avg_packet_size) * PACKET_SIZE_GAIN;
        self.token_bucket.consume(bytes as f64);
        self.burst_limiter.consume(fresh);
        self.send_rate.add(now, bytes);
        self.circuit_breaker.on_send(now);
        match &mut self.algorithm {
            CongestionAlgorithm::DelayBased(adaptive) => adaptive.on_send(bytes),
            CongestionAlgorithm::LossBased(simple) => simple.on_send(bytes),
        }
    }

    /// Records a sent probe of `bytes` bytes. It is charged to the pacer and is no sample of loss
    /// or delay.
    pub(crate) fn on_probe_sent(&mut self, bytes: usize) {
        self.token_bucket.consume(bytes as f64);
    }

    /// Ends the outage that the circuit breaker measures: the peer is reachable again.
    pub(crate) fn on_reachable(&mut self) {
        self.circuit_breaker.on_reachable();
    }

    /// Takes a SACK, or chunks that were declared lost.
    pub(crate) fn on_ack(&mut self, now: Instant, told: &AckSummary, rtt: &RttEstimator) {
        self.circuit_breaker.on_ack(now, told);
        if let Some(rtt) = told.rtt_sample {
            self.min_rtt.add_sample(now, rtt);
        }
        let limits = self.effective_limits(rtt);
        match &mut self.algorithm {
            CongestionAlgorithm::DelayBased(adaptive) => {
                adaptive.on_ack(now, told, &self.min_rtt, limits)
            }
            CongestionAlgorithm::LossBased(simple) => simple.on_ack(now, told, limits),
        }
        let (burst, rate) = match &self.algorithm {
            CongestionAlgorithm::DelayBased(adaptive) => (adaptive.burst_secs(), adaptive.rate()),
            CongestionAlgorithm::LossBased(simple) => (pacer::BURST_SECS, simple.rate()),
        };
        self.token_bucket.set_capacity(burst * rate);
    }

    /// Returns the allowed send rate, in bytes per second.
    pub(crate) fn allowed_rate(&self, now: Instant) -> f64 {
        let rate = match &self.algorithm {
            CongestionAlgorithm::DelayBased(adaptive) => adaptive.rate(),
            CongestionAlgorithm::LossBased(simple) => simple.rate(),
        };
        let rate = if self.circuit_breaker.is_open(now) {
            self.limits.min_rate * PROBE_SHARE
        } else {
            rate
        };
        rate.max(ABSOLUTE_MIN_RATE)
    }

    /// Returns the measured send rate, in bytes per second.
    pub(crate) fn send_rate(&self, now: Instant) -> f64 {
        self.send_rate.rate(now)
    }

    /// Returns `RTprop`, the minimum RTT of the last 15 to 30 s.
    pub(crate) fn min_rtt(&self) -> Option<Duration> {
        self.min_rtt.rtt()
    }

    /// Raises the minimum rate to two packets per round trip, which are always allowed (RFC 8085
    /// §3.1.3).
    fn effective_limits(&self, rtt: &RttEstimator) -> RateLimits {
        let round = rtt.path_rtt().unwrap_or(rtt.smoothed()).as_secs_f64().max(0.001);
        let RateLimits { min_rate: least, max_rate: most, avg_packet_size: packet } = self.limits;
        RateLimits { min_rate: least.max(2.0 * packet / round).min(most), ..self.limits }
    }
}
