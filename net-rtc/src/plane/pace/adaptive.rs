//! The rate by delay, where the queue is ours, and by loss, where it is others'.

use std::time::{Duration, Instant};

use log::debug;

use super::super::flight::Told;
use super::dip::{self, Dip, Owner};
use super::least::Least;
use super::look::{Look, Seen};
use super::losses::{Losses, Verdict};
use super::{Limits, bucket};

/// A standing queue over this is too much.
const TOO_MUCH: Duration = Duration::from_millis(50);
/// What may leave at once while the path limits us: this many seconds' worth.
const BURST: f64 = 0.01;
/// Next time after that the queue is emptied, to see whose it is and how long the path is
/// without it.
const DIP_EVERY: Duration = Duration::from_secs(10);
/// So many looks in a row at a queue that does not follow our rate are enough to ask again.
const STUBBORN: u32 = 4;
/// What is sent of what is delivered once the queue is known to be ours.
const AFTER_DIP: f64 = 0.95;
/// The same while the queue is too long.
const TOO_LONG: f64 = 0.85;
/// The same when loss is ours.
const TOO_LOSSY: f64 = 0.85;

/// A segment of TCP, and what TCP's rate is multiplied by after a loss (RFC 9438 §4.6).
const SEGMENT: f64 = 1_460.0;
const TCP_DECREASE: f64 = 0.7;

/// Goes by the delay that our own packets build up; beside others, who fill the queue whatever
/// we do, as TCP would; and by loss that rises with our own rate.
#[derive(Debug)]
pub(super) struct Adaptive {
    rate: f64,
    mode: Mode,
    least: Least,
    look: Look,
    losses: Losses,
}

/// ```text
///   Free --standing queue--> Dip --it is ours--> Yield --it is short--> ... --> Free
///    ^                        ^  '--it is not--> Compete        |
///    |                        '---- now and then ----'----------'
///    '---- at the most ----- Yield <--queue gone-- Compete
/// ```
#[derive(Clone, Copy, Debug)]
enum Mode {
    /// Nothing is known to limit us.
    Free,
    /// Finding out whose queue it is.
    Dip(Dip),
    /// The queue is ours, and is kept short.
    Yield(Hold),
    /// The queue is others', and so we take our share as TCP does.
    Compete(Hold),
}

/// What is remembered from one look to the next.
#[derive(Clone, Copy, Debug)]
struct Hold {
    next_dip: Instant,
    queue: Duration,
    /// Looks in a row without any queue.
    calm: u32,
    /// Looks in a row with too much of it.
    stubborn: u32,
}

impl Hold {
    fn new(now: Instant, queue: Duration) -> Hold {
        Hold { next_dip: now + DIP_EVERY, queue, calm: 0, stubborn: 0 }
    }

    fn after(self, queue: Duration) -> Hold {
        Hold {
            queue,
            calm: if queue < dip::GONE { self.calm + 1 } else { 0 },
            stubborn: if queue >= TOO_MUCH { self.stubborn + 1 } else { 0 },
            ..self
        }
    }

    /// Whether it is time to ask whose queue it is.
    fn asks(self, now: Instant) -> bool {
        (now >= self.next_dip && self.queue >= dip::GONE) || self.stubborn >= STUBBORN
    }
}

impl Adaptive {
    pub(super) fn new(now: Instant, limits: Limits) -> Adaptive {
        Adaptive {
            rate: limits.most,
            mode: Mode::Free,
            least: Least::new(now),
            look: Look::new(now),
            losses: Losses::new(now),
        }
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.look.sent(bytes);
        self.losses.sent(bytes);
    }

    pub(super) fn told(&mut self, now: Instant, told: &Told, limits: Limits) {
        if let Some(rtt) = told.rtt {
            self.least.note(now, rtt);
        }
        if let Some(verdict) = self.losses.told(now, told) {
            self.blame(now, verdict, limits);
        }
        let seen = self.look.told(now, told, self.least.rtt());
        match &mut self.mode {
            Mode::Dip(dip) => {
                let mut dip = *dip;
                let owner = dip.look(now, told.rtt.map(|rtt| self.least.over(rtt)));
                self.mode = Mode::Dip(dip);
                if let Some(owner) = owner {
                    self.surface(now, dip, owner, limits);
                }
            }
            _ => {
                if let Some(seen) = seen {
                    self.adjust(now, seen, limits);
                }
            }
        }
    }

    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// What may leave at once, in seconds at the rate.
    pub(super) fn burst(&self) -> f64 {
        if matches!(self.mode, Mode::Free) { bucket::BURST } else { BURST }
    }

    pub(super) fn least_rtt(&self) -> Option<Duration> {
        self.least.rtt()
    }

    fn adjust(&mut self, now: Instant, seen: Seen, limits: Limits) {
        let queue = self.least.over(seen.rtt);
        match self.mode {
            Mode::Free if queue >= TOO_MUCH => self.dip(now, queue, seen, limits),
            Mode::Yield(hold) | Mode::Compete(hold) if hold.after(queue).asks(now) => {
                self.dip(now, queue, seen, limits);
            }
            Mode::Free | Mode::Dip(_) => {}
            Mode::Yield(hold) => self.yield_to(hold, queue, seen, limits),
            Mode::Compete(hold) => self.compete(now, hold, queue, seen, limits),
        }
    }

    /// Begins to find out whose queue it is; but what is next to nothing is not looked into.
    fn dip(&mut self, now: Instant, queue: Duration, seen: Seen, limits: Limits) {
        if seen.sent <= limits.least {
            return;
        }
        let rtt = self.least.rtt().unwrap_or_default();
        self.rate = limits.clamp(seen.delivered.min(self.rate) * dip::SHARE);
        self.set_mode(Mode::Dip(Dip::new(now, queue, rtt, seen.delivered, seen.sent)));
    }

    fn surface(&mut self, now: Instant, dip: Dip, owner: Owner, limits: Limits) {
        let Dip { delivered, sent, .. } = dip;
        self.look = Look::new(now);
        self.losses.forget(now);
        let hold = Hold::new(now, Duration::ZERO);
        match owner {
            Owner::Us => {
                self.rate = limits.clamp(delivered * AFTER_DIP);
                self.set_mode(Mode::Yield(hold));
            }
            Owner::Others => {
                // Whoever sent less than could pass goes on with it.
                let share = if sent < delivered * 1.2 { sent * 1.5 } else { delivered };
                self.rate = limits.clamp(share);
                self.set_mode(Mode::Compete(hold));
            }
        }
    }

    /// Keeps the queue short: a proportional and integral control of delay (as RFC 8033 §4.2),
    /// slow enough for the time that it takes to see what came of it.
    fn yield_to(&mut self, hold: Hold, queue: Duration, seen: Seen, limits: Limits) {
        let delay = seen.time + seen.rtt.as_secs_f64();
        let beta = 0.4 / delay;
        let alpha = beta * beta / 2.0;
        let error = target(self.rate) - queue.as_secs_f64();
        let slope = (queue.as_secs_f64() - hold.queue.as_secs_f64()) / seen.time;
        let hold = hold.after(queue);
        let eager = f64::from(hold.calm.saturating_sub(4)) * 0.02;
        let step = (alpha * error - beta * slope) * seen.time + eager * (seen.time / 0.1).min(2.0);
        let mut rate = self.rate * (1.0 + step.clamp(-0.2, 0.25));
        if queue >= TOO_MUCH {
            rate = rate.min(seen.delivered * TOO_LONG);
        }
        self.rate = limits.clamp(rate);
        self.mode = Mode::Yield(hold);
        if self.rate >= limits.most {
            self.set_mode(Mode::Free);
        }
    }

    /// A segment more each round trip, less after a loss (RFC 5681 §3.1).
    fn compete(&mut self, now: Instant, hold: Hold, queue: Duration, seen: Seen, limits: Limits) {
        let round = seen.rtt.as_secs_f64().max(0.01);
        let rate = match seen.lost {
            0 => self.rate + SEGMENT * seen.time / (round * round),
            _ => self.rate * TCP_DECREASE,
        };
        self.rate = limits.clamp(rate.min((2.0 * seen.sent).max(self.rate * TCP_DECREASE)));
        let hold = hold.after(queue);
        self.mode = match hold.calm {
            0..=2 => Mode::Compete(Hold { stubborn: 0, ..hold }),
            _ => Mode::Yield(Hold::new(now, queue)),
        };
    }

    /// Loss that is ours lowers the rate to what passes. Beside others each loss counts anyway.
    fn blame(&mut self, now: Instant, verdict: Verdict, limits: Limits) {
        if verdict.ours && matches!(self.mode, Mode::Free | Mode::Yield(_)) {
            let passed = verdict.rate * (1.0 - verdict.loss);
            self.rate = limits.clamp(passed.min(self.rate) * TOO_LOSSY);
            self.set_mode(Mode::Yield(Hold::new(now, Duration::ZERO)));
        }
    }

    fn set_mode(&mut self, mode: Mode) {
        debug!("{:?} -> {mode:?} at {:.0} B/s", self.mode, self.rate);
        self.mode = mode;
    }
}

/// How long a queue may be that is ours, in seconds. Who sends less may push more, and so
/// several who share a queue come to share it evenly.
fn target(rate: f64) -> f64 {
    (0.010 + 1_250.0 / rate).clamp(0.010, 0.045)
}
