//! Whether loss is ours.

use super::super::flight::Told;
use std::time::Instant;

/// By how much a rate must differ for loss to be compared.
const FASTER: f64 = 1.1;

/// When loss is ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// Chunks whose fate is known before loss is judged.
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

/// Judges loss by windows of chunks. Loss that is there whatever we send, as on a bad radio
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

    /// Takes the fate of some chunks, and judges if enough is known.
    pub(super) fn told(&mut self, now: Instant, told: &Told) -> Option<Verdict> {
        self.arrived += told.arrived;
        self.lost += told.lost;
        if self.arrived + self.lost < self.rule.judged {
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
