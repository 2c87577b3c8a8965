//! The simple rule: additive increase, multiplicative decrease (RFC 8085 §3.1).

use std::time::Instant;

use super::super::flight::Told;
use super::Limits;
use super::losses::{Losses, Rule, Verdict};

/// With fewer chunks chance would look like a trend: at 25 % loss the share in 200 strays by 3 %.
const RULE: Rule = Rule { judged: 200, rise: 0.15, chance: 0.0, heavy: 0.4, times: 1 };
/// What the rate is multiplied by when loss is ours.
const DECREASE: f64 = 0.7;
/// What it grows by in each judged window, in bytes a second.
const INCREASE: f64 = 25_000.0;

/// Goes by loss that rises with our own rate, and by nothing else.
#[derive(Debug)]
pub(super) struct Simple {
    rate: f64,
    losses: Losses,
}

impl Simple {
    pub(super) fn new(now: Instant, limits: Limits) -> Simple {
        Simple { rate: limits.most, losses: Losses::new(now, RULE) }
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.losses.sent(bytes);
    }

    pub(super) fn told(&mut self, now: Instant, told: &Told, limits: Limits) {
        if let Some(Verdict { rate, ours, .. }) = self.losses.told(now, told) {
            self.rate = limits.clamp(match ours {
                true => rate.min(self.rate) * DECREASE,
                false => self.rate + INCREASE,
            });
        }
    }

    pub(super) fn rate(&self) -> f64 {
        self.rate
    }
}
