//! Whether loss is ours.

use std::time::{Duration, Instant};

use crate::congestion::Limits;
use crate::congestion::ack::Told;
use crate::congestion::queue_probe::GONE;
use crate::congestion::rate_sample::Seen;

/// Loss is judged over so long at least: a rate over less says where in a burst one is.
const SHORTEST: Duration = Duration::from_millis(250);
/// By how much a rate must differ for loss to be compared.
const FASTER: f64 = 1.1;

/// When loss is ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// Packets whose fate is known before loss is judged.
    pub(super) judged: u32,
    /// Loss that rises by this share while the rate rises is ours, ...
    pub(super) rise: f64,
    /// ... and by so many times what chance explains.
    pub(super) chance: f64,
    /// Loss over this share is ours whatever the rate did, ...
    pub(super) heavy: f64,
    /// ... if it is seen so many times in a row.
    pub(super) times: u32,
}

/// Judges loss by windows of packets. Loss that is there whatever we send, as on a bad radio
/// link, is not ours.
#[derive(Debug)]
pub(super) struct Losses {
    rule: Rule,
    /// How many times in a row it was heavy.
    heavy: u32,
    began: Instant,
    sent: f64,
    arrived: u32,
    lost: u32,
    before: Option<Verdict>,
}

/// What a window came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Verdict {
    /// Sent in it, in bytes a second.
    pub(super) rate: f64,
    /// The share that was lost.
    pub(super) loss: f64,
    /// What is lost whatever we do, as far as is known.
    pub(super) always: f64,
    /// Whether it was lost because we send too much.
    pub(super) ours: bool,
}

impl Losses {
    pub(super) fn new(now: Instant, rule: Rule) -> Losses {
        Losses { rule, heavy: 0, began: now, sent: 0.0, arrived: 0, lost: 0, before: None }
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as f64;
    }

    /// Takes the fate of some packets, and judges if enough is known.
    pub(super) fn told(&mut self, now: Instant, told: &Told) -> Option<Verdict> {
        self.arrived += told.arrived;
        self.lost += told.lost;
        let short = now < self.began + SHORTEST;
        if short || self.arrived + self.lost < self.rule.judged {
            return None;
        }
        // Without a word from the peer nothing is known: an outage is not our doing.
        let verdict = (self.arrived > 0).then(|| self.judge(now, told.spread));
        let before = verdict.or(self.before);
        *self = Losses { heavy: self.heavy, before, ..Losses::new(now, self.rule) };
        verdict
    }

    /// What follows is not to be compared with what was.
    pub(super) fn forget(&mut self, now: Instant) {
        *self = Losses::new(now, self.rule);
    }

    fn judge(&mut self, now: Instant, spread: f64) -> Verdict {
        let seconds = now.saturating_duration_since(self.began).as_secs_f64().max(0.001);
        let (rate, all) = (self.sent / seconds, f64::from(self.arrived + self.lost));
        let loss = f64::from(self.lost) / all;
        self.heavy = if loss > self.rule.heavy { self.heavy + 1 } else { 0 };
        let rises = self.before.is_some_and(|before| {
            let mean = (before.loss + loss) / 2.0;
            let chance = (2.0 * mean * (1.0 - mean) / all).sqrt();
            let rise = self.rule.rise + self.rule.chance * chance * spread;
            rate > before.rate * FASTER && loss > before.loss + rise
        });
        let always = self.before.filter(|_| rises).map_or(0.0, |before| before.loss);
        Verdict { rate, loss, always, ours: rises || self.heavy >= self.rule.times }
    }
}

/// A segment of TCP, in bytes. Small messages are no reason for a smaller share (RFC 4828).
const SEGMENT: f64 = 1_460.0;
/// What the rate is multiplied by after a loss (RFC 9438 §4.6).
const CUBIC_DECREASE: f64 = 0.7;
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
            true => self.rate * CUBIC_DECREASE,
        };
        self.rate
    }

    /// Whether the others are gone.
    pub(super) fn is_over(&self) -> bool {
        self.calm >= CALM
    }
}

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

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::congestion::controller::RULE;

    const OFTEN: Duration = Duration::from_millis(100);
    const SELDOM: Duration = Duration::from_millis(500);

    /// The first burst whose loss is said to be ours, of 60 s of bursts of so many packets.
    fn blamed(seed: u64, packets: u32, every: Duration, loss: impl Fn(u32) -> f64) -> Option<u32> {
        let (begin, mut random) = (Instant::now(), StdRng::seed_from_u64(seed));
        let mut losses = Losses::new(begin, RULE);
        let count = Duration::from_secs(60).div_duration_f64(every) as u32;
        (0..count).find(|burst| {
            losses.sent(packets as usize * 1_000);
            let late = Duration::from_micros(random.random_range(0..5_000));
            let mut ours = false;
            for packet in 0..packets {
                let lost = u32::from(random.random_bool(loss(*burst)));
                let told = Told { arrived: 1 - lost, lost, spread: 1.05, ..Told::default() };
                let now = begin + every * *burst + late + packet * Duration::from_millis(1);
                ours |= losses.told(now, &told).is_some_and(|verdict| verdict.ours);
            }
            ours
        })
    }

    #[test]
    fn what_is_lost_of_bursts_by_chance_is_not_ours() {
        for seed in 0..100 {
            for (packets, every) in [(18, OFTEN), (250, SELDOM)] {
                assert_eq!(blamed(seed, packets, every, |_| 0.2), None, "seed {seed}, {packets}");
            }
        }
    }

    #[test]
    fn what_is_lost_of_bursts_because_they_are_too_much_is() {
        for seed in 0..100 {
            let found = blamed(seed, 18, OFTEN, |burst| if burst < 100 { 0.0 } else { 0.5 });
            assert!(found.is_some_and(|burst| (100..120).contains(&burst)), "{found:?}");
        }
    }
}
