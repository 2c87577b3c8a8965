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
use crate::congestion::ack::{Rtt, Told};
use crate::congestion::controller::Adaptive;
use crate::congestion::loss_based::Simple;
pub(crate) use crate::congestion::pacer::Breaker;
use crate::congestion::pacer::{Bucket, Peak, TRICKLE};
use crate::congestion::rate_sample::{Least, Meter};
use crate::sctp::settings::Settings;

/// The share of lost packets that opens the circuit breaker after 10 s (RFC 8084).
const HEAVY: f64 = 0.5;
/// In bytes a second, whatever is configured: some day the next packet must leave.
const NEVER_LESS: f64 = 1.0;
/// The share of a packet in the average of their sizes.
const PACKET: f64 = 1.0 / 16.0;
/// What is assumed before any was sent, in bytes.
const FIRST_PACKET: f64 = 1_200.0;

/// Between what and what a rate may be, in bytes a second.
#[derive(Clone, Copy, Debug)]
struct Limits {
    least: f64,
    most: f64,
    /// A packet, on average, in bytes.
    packet: f64,
}

impl Limits {
    fn clamp(self, rate: f64) -> f64 {
        rate.clamp(self.least, self.most)
    }
}

/// Says when the next message may leave.
#[derive(Debug)]
pub(crate) struct Pace {
    /// As configured, and as the packets are.
    bounds: Limits,
    bucket: Bucket,
    peak: Peak,
    control: Control,
    breaker: Breaker,
    least: Least,
    sending: Meter,
}

#[derive(Debug)]
enum Control {
    Adaptive(Box<Adaptive>),
    Simple(Simple),
}

impl Pace {
    pub(crate) fn new(now: Instant, settings: Settings) -> Pace {
        let most = f64::from(settings.most_rate.max(1)) / 8.0;
        let least = (f64::from(settings.least_rate) / 8.0).min(most);
        let bounds = Limits { least, most, packet: FIRST_PACKET };
        Pace {
            bounds,
            bucket: Bucket::new(now, most),
            peak: Peak::new(now),
            control: match settings.congestion {
                Congestion::DelayBased => Control::Adaptive(Box::new(Adaptive::new(now, bounds))),
                Congestion::LossBased => Control::Simple(Simple::new(now, bounds)),
            },
            breaker: Breaker::new(now, HEAVY),
            least: Least::new(now),
            sending: Meter::new(now),
        }
    }

    /// Whether something may leave now, behind so many bytes that wait, or else when.
    pub(crate) fn room(&mut self, now: Instant, waiting: usize) -> Result<(), Instant> {
        let rate = self.rate(now);
        self.bucket.room(now, rate, waiting as f64)
    }

    /// Whether a packet may leave behind those that have just left, or else when. What was
    /// begun goes on for the rate's part: only the peak is asked.
    pub(crate) fn follows(&mut self, now: Instant) -> Result<(), Instant> {
        let rate = self.rate(now);
        self.peak.room(now, rate)
    }

    /// What may be sent besides what must be, in bytes.
    pub(crate) fn spare(&self) -> usize {
        self.bucket.spare() as usize
    }

    /// A packet of that many bytes leaves, with so many of them besides what rides again.
    pub(crate) fn sent(&mut self, now: Instant, fresh: usize, bytes: usize) {
        self.bounds.packet += (bytes as f64 - self.bounds.packet) * PACKET;
        self.bucket.take(bytes as f64);
        self.peak.take(fresh);
        self.sending.add(now, bytes);
        self.breaker.sent(now);
        match &mut self.control {
            Control::Adaptive(adaptive) => adaptive.sent(bytes),
            Control::Simple(simple) => simple.sent(bytes),
        }
    }

    /// A probe of that many bytes leaves, which says nothing of loss and delay.
    pub(crate) fn probed(&mut self, bytes: usize) {
        self.bucket.take(bytes as f64);
    }

    /// What is sent reaches the peer again.
    pub(crate) fn reached(&mut self) {
        self.breaker.reached();
    }

    /// The peer spoke, or some chunks were given up.
    pub(crate) fn told(&mut self, now: Instant, told: &Told, rtt: &Rtt) {
        self.breaker.told(now, told);
        if let Some(rtt) = told.rtt {
            self.least.note(now, rtt);
        }
        let limits = self.limits(rtt);
        match &mut self.control {
            Control::Adaptive(adaptive) => adaptive.told(now, told, &self.least, limits),
            Control::Simple(simple) => simple.told(now, told, limits),
        }
        let (burst, rate) = match &self.control {
            Control::Adaptive(adaptive) => (adaptive.burst(), adaptive.rate()),
            Control::Simple(simple) => (pacer::BURST, simple.rate()),
        };
        self.bucket.resize(burst * rate);
    }

    /// What may be sent now, in bytes a second.
    pub(crate) fn rate(&self, now: Instant) -> f64 {
        let rate = match &self.control {
            Control::Adaptive(adaptive) => adaptive.rate(),
            Control::Simple(simple) => simple.rate(),
        };
        let rate = if self.breaker.is_open(now) { self.bounds.least * TRICKLE } else { rate };
        rate.max(NEVER_LESS)
    }

    /// What is sent, in bytes a second.
    pub(crate) fn sending(&self, now: Instant) -> f64 {
        self.sending.rate(now)
    }

    /// The shortest round trip of the last seconds.
    pub(crate) fn least_rtt(&self) -> Option<Duration> {
        self.least.rtt()
    }

    /// Two packets a round trip are always allowed (RFC 8085 §3.1.3).
    fn limits(&self, rtt: &Rtt) -> Limits {
        let round = rtt.of_path().unwrap_or(rtt.smoothed()).as_secs_f64().max(0.001);
        let Limits { least, most, packet } = self.bounds;
        Limits { least: least.max(2.0 * packet / round).min(most), ..self.bounds }
    }
}
