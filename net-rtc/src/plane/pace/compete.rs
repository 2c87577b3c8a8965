//! Takes its share beside others who fill the queue.

use std::time::Duration;

use super::dip::GONE;
use super::look::Seen;

/// A segment of TCP, in bytes. Small messages are no reason for a smaller share (RFC 4828).
const SEGMENT: f64 = 1_460.0;
/// What the rate is multiplied by after a loss (RFC 9438 §4.6).
const DECREASE: f64 = 0.7;
/// The rate is at most so many times what is sent: who knows what more would do.
const UNUSED: f64 = 2.0;
/// Looks in a row without a queue after which the others are taken to be gone.
const CALM: u32 = 3;

/// A segment more each round trip, less after a loss, as TCP does (RFC 5681 §3.1).
#[derive(Clone, Copy, Debug)]
pub(super) struct Compete {
    rate: f64,
    /// Looks in a row without a queue.
    calm: u32,
}

impl Compete {
    pub(super) fn new(rate: f64) -> Compete {
        Compete { rate, calm: 0 }
    }

    /// Gives the rate for what was seen, in bytes a second.
    pub(super) fn rate(&mut self, queue: Duration, seen: Seen) -> f64 {
        self.calm = if queue < GONE { self.calm + 1 } else { 0 };
        let round = seen.rtt.as_secs_f64().max(0.01);
        self.rate = match seen.loss > 0.0 {
            false if self.rate > UNUSED * seen.sent => self.rate,
            false => self.rate + SEGMENT * seen.time / (round * round),
            true => self.rate * DECREASE,
        };
        self.rate
    }

    /// Whether the others are gone.
    pub(super) fn is_over(&self) -> bool {
        self.calm >= CALM
    }
}
