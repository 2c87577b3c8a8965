//! Keeps a queue short that is ours.

use std::time::Duration;

use crate::congestion::queue_probe::GONE;
use crate::congestion::rate_sample::Seen;

/// What is sent of what passes, at first.
const AT_FIRST: f64 = 0.95;
/// In what time a queue is brought to its target, in round trips with a look, and at least, in
/// seconds.
const ROUNDS: f64 = 3.0;
const SETTLE: f64 = 0.4;
/// The most by which the rate may be over and under what passes, to let a queue grow or shrink.
const OVER: f64 = 0.10;
const UNDER: f64 = 0.5;
/// How fast more is tried while nothing queues: this share each second.
const GROWTH: f64 = 0.2;
/// What everyone who shares a short queue tries more besides, in bytes a second each second: for
/// who sends little that is much.
const EVENLY: f64 = 4_000.0;
const EVENLY_SHARE: f64 = 0.15;
/// The delay, in seconds, up to which that much can be tried.
const PROMPT: f64 = 0.2;
/// The share of a new look in what is known to pass.
const NEWS: f64 = 0.4;
/// The same for the loss that is seen, and for the loss that is there whatever we do.
const LATELY: f64 = 0.1;
const ALWAYS: f64 = 0.05;
/// More than this share is never there whatever we do.
const MOST_ALWAYS: f64 = 0.5;
/// Loss over that by this share, and by so many times its deviation, says that no more passes.
const LOSSY: f64 = 0.06;
const CHANCE: f64 = 0.15;
/// More that arrives, by this share, than seemed to pass says that more passes, once it comes to
/// so much, in seconds and bytes.
const PROVEN: f64 = 0.03;
const ENOUGH: f64 = 0.01;
const PACKETS: f64 = 2_400.0;
/// How much faster more is tried then, with each look, and at the most: shares each look.
const EAGER: f64 = 0.04;
const MOST_EAGER: f64 = 0.25;

/// Knows what passes, and sends a little more or less to bring the queue to its target.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hold {
    /// What passes, in bytes a second.
    known: f64,
    /// The same when something last said that no more does.
    ceiling: f64,
    /// By how much, in seconds of it, more than that has arrived.
    proof: f64,
    /// Looks since it is proven that more passes.
    eager: u32,
    /// The share that is lost lately, and whatever we do.
    lately: f64,
    always: f64,
    /// Looks that the latter comes from.
    looks: u32,
    /// The last look, its queue in seconds.
    queue: f64,
    sent: f64,
}

impl Hold {
    /// `passes` is what passes, in bytes a second, and `loss` the share that is lost whatever
    /// we do.
    pub(super) fn new(passes: f64, loss: f64) -> Hold {
        Hold {
            known: passes * AT_FIRST,
            ceiling: passes,
            proof: 0.0,
            eager: 0,
            lately: loss,
            always: loss,
            looks: 0,
            queue: 0.0,
            sent: passes * AT_FIRST,
        }
    }

    /// The queue was let run empty.
    pub(super) fn emptied(self) -> Hold {
        let known = self.known * AT_FIRST;
        Hold { known, sent: known, queue: 0.0, ..self }
    }

    /// What passes, in bytes a second.
    pub(super) fn known(&self) -> f64 {
        self.known
    }

    /// Gives the rate for what was seen, in bytes a second. A queue over `limit` may be full.
    pub(super) fn rate(&mut self, queue: Duration, seen: Seen, limit: Duration) -> f64 {
        self.count_losses(seen);
        let stands = queue.as_secs_f64().min(self.queue) > GONE.as_secs_f64() / 2.0;
        match stands {
            true => self.learn(queue, seen, limit),
            false if queue > GONE => self.meets(),
            false => self.try_more(seen),
        }
        (self.queue, self.sent) = (queue.as_secs_f64(), seen.sent);
        let delay = seen.time + seen.rtt.as_secs_f64();
        let target = target(self.known);
        let more = EVENLY.min(self.known * EVENLY_SHARE) * seen.time;
        self.known += more * (1.0 - self.queue / target).max(0.0);
        let settle = match queue > limit {
            true => SETTLE,
            false => (ROUNDS * delay).max(SETTLE),
        };
        let step = (target - self.queue) / settle;
        self.known * (1.0 + step.clamp(-UNDER, OVER * caution(delay)))
    }

    fn count_losses(&mut self, seen: Seen) {
        self.lately += (seen.loss - self.lately) * LATELY;
        if seen.sent <= self.ceiling {
            self.looks += 1;
            let weight = ALWAYS.max(1.0 / f64::from(self.looks));
            self.always = (self.always + (seen.loss - self.always) * weight).min(MOST_ALWAYS);
        }
    }

    /// What was sent a round trip ago and made the queue grow or shrink tells what passes.
    fn learn(&mut self, queue: Duration, seen: Seen, limit: Duration) {
        let slope = (queue.as_secs_f64() - self.queue) / seen.time;
        let sent = (self.sent + seen.sent) / 2.0;
        let passes = match queue > limit || self.is_lossy() {
            true => seen.delivered / (1.0 - self.always),
            false => sent / (1.0 + slope).max(0.1),
        };
        self.known += (passes - self.known) * NEWS;
        self.meets();
    }

    /// Whether more is lost than always.
    fn is_lossy(&self) -> bool {
        let chance = (self.always * (1.0 - self.always)).sqrt();
        self.lately > self.always + LOSSY + CHANCE * chance
    }

    /// No more passes than is known.
    fn meets(&mut self) {
        (self.ceiling, self.proof, self.eager) = (self.known, 0.0, 0);
    }

    fn try_more(&mut self, seen: Seen) {
        let passes = seen.delivered / (1.0 - self.always);
        self.proof = (self.proof + (passes / self.ceiling - 1.0 - PROVEN) * seen.time).max(0.0);
        let enough = ENOUGH + PACKETS / self.ceiling;
        self.eager = if self.proof > enough { self.eager + 1 } else { 0 };
        if !self.is_lossy() {
            let eager = (f64::from(self.eager) * EAGER).min(MOST_EAGER);
            let growth = GROWTH * seen.time * caution(seen.time + seen.rtt.as_secs_f64());
            self.known *= 1.0 + growth + eager;
        }
    }
}

/// The longer it takes until the outcome is seen, the less is tried.
fn caution(delay: f64) -> f64 {
    (PROMPT / delay).min(1.0).powi(2)
}

/// How long a queue may be that is ours, in seconds. Who sends less may push more, and so
/// several who share a queue come to share it evenly.
fn target(rate: f64) -> f64 {
    (0.010 + 1_250.0 / rate).clamp(0.010, 0.045)
}
