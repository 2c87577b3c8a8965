//! Keeps a queue short that is ours.

use std::time::Duration;

use super::dip::GONE;
use super::look::Seen;

/// In what time a queue is brought to its target, in round trips with a look, and at least, in
/// seconds.
const ROUNDS: f64 = 3.0;
const SETTLE: f64 = 0.4;
/// The most by which the rate may be over and under what passes, to let a queue grow or shrink.
const OVER: f64 = 0.05;
const UNDER: f64 = 0.5;
/// How fast more is tried while nothing queues: this share each second.
const GROWTH: f64 = 0.1;
/// The delay, in seconds, up to which that much can be tried.
const PROMPT: f64 = 0.2;
/// The share of a new look in what is known to pass.
const NEWS: f64 = 0.4;
/// A queue that should stand if no more passed than is known, and does not: more passes, in
/// seconds.
const DEBT: f64 = 0.03;
/// How much faster more is tried then, with each look, and at the most: shares each look.
const EAGER: f64 = 0.04;
const MOST_EAGER: f64 = 0.25;

/// Knows what passes, and sends a little more or less to bring the queue to its target.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hold {
    /// What passes, in bytes a second.
    known: f64,
    /// The share that is lost while the queue is short, by chance and not for want of room.
    chance: f64,
    /// How long the queue should be that does not stand, in seconds.
    debt: f64,
    /// Looks since it is known that more passes.
    eager: u32,
    /// The last look, its queue in seconds.
    queue: f64,
    sent: f64,
}

impl Hold {
    /// What passes, in bytes a second.
    pub(super) fn known(&self) -> f64 {
        self.known
    }

    /// `known` is what passes, in bytes a second.
    pub(super) fn new(known: f64) -> Hold {
        Hold { known, chance: 0.0, debt: 0.0, eager: 0, queue: 0.0, sent: known }
    }

    /// Gives the rate for what was seen, in bytes a second.
    pub(super) fn rate(&mut self, queue: Duration, seen: Seen, limit: f64) -> f64 {
        let queue = queue.as_secs_f64();
        if queue < limit {
            self.chance += (seen.loss - self.chance) * NEWS * 0.25;
        }
        match queue.min(self.queue) > GONE.as_secs_f64() / 2.0 {
            true => self.learn(queue, seen, limit),
            false => self.try_more(queue, seen),
        }
        (self.queue, self.sent) = (queue, seen.sent);
        let delay = seen.time + seen.rtt.as_secs_f64();
        let step = (target(self.known) - queue) / (ROUNDS * delay).max(SETTLE);
        self.known * (1.0 + step.clamp(-UNDER, OVER * caution(delay)))
    }

    /// What was sent a round trip ago and made the queue grow or shrink tells what passes.
    fn learn(&mut self, queue: f64, seen: Seen, limit: f64) {
        let slope = (queue - self.queue) / seen.time;
        let sent = (self.sent + seen.sent) / 2.0;
        let passes = match queue > limit {
            // It may be full, and then only what arrives tells.
            true => seen.delivered / (1.0 - self.chance),
            false => sent / (1.0 + slope).max(0.1),
        };
        self.known += (passes - self.known) * NEWS;
        (self.debt, self.eager) = (0.0, 0);
    }

    fn try_more(&mut self, queue: f64, seen: Seen) {
        if queue > GONE.as_secs_f64() {
            (self.debt, self.eager) = (0.0, 0);
            return;
        }
        self.debt = (self.debt + (seen.sent / self.known - 1.0) * seen.time).max(0.0);
        if self.debt > DEBT {
            self.eager += 1;
        }
        let eager = (f64::from(self.eager) * EAGER).min(MOST_EAGER);
        let growth = GROWTH * seen.time * caution(seen.time + seen.rtt.as_secs_f64());
        self.known *= 1.0 + growth + eager;
    }
}

/// The longer it takes until the outcome is seen, the less is tried.
fn caution(delay: f64) -> f64 {
    (PROMPT / delay).min(1.0)
}

/// How long a queue may be that is ours, in seconds. Who sends less may push more, and so
/// several who share a queue come to share it evenly.
fn target(rate: f64) -> f64 {
    (0.010 + 1_250.0 / rate).clamp(0.010, 0.045)
}
