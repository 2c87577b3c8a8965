//! Whether loss is ours.

use super::super::flight::Told;
use std::time::Instant;

/// Chunks whose fate is known before loss is judged. With fewer, chance would look like a
/// trend: at 25 % loss the share in 200 chunks strays by 3 %.
const JUDGED: u32 = 200;
/// Loss that rises by this share while the rate rises is ours.
const RISE: f64 = 0.15;
/// By how much a rate must differ for loss to be compared.
const FASTER: f64 = 1.1;
/// Loss over this share is ours whatever the rate did.
const HEAVY: f64 = 0.4;

/// Judges loss by windows of chunks. Loss that is there whatever we send, as on a bad radio
/// link, is not ours.
#[derive(Debug)]
pub(super) struct Losses {
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
    /// Whether it was lost because we send too much.
    pub(super) ours: bool,
}

impl Losses {
    pub(super) fn new(now: Instant) -> Losses {
        Losses { began: now, sent: 0.0, arrived: 0, lost: 0, before: None }
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as f64;
    }

    /// Takes the fate of some chunks, and judges if enough is known.
    pub(super) fn told(&mut self, now: Instant, told: &Told) -> Option<Verdict> {
        self.arrived += told.arrived;
        self.lost += told.lost;
        if self.arrived + self.lost < JUDGED {
            return None;
        }
        let verdict = self.judge(now);
        // Without a word from the peer nothing is known: an outage is not our doing.
        let heard = self.arrived > 0;
        *self = Losses { before: self.before, ..Losses::new(now) };
        self.before = if heard { Some(verdict) } else { self.before };
        heard.then_some(verdict)
    }

    /// What follows is not to be compared with what was.
    pub(super) fn forget(&mut self, now: Instant) {
        *self = Losses::new(now);
    }

    fn judge(&self, now: Instant) -> Verdict {
        let seconds = now.saturating_duration_since(self.began).as_secs_f64().max(0.001);
        let (rate, all) = (self.sent / seconds, f64::from(self.arrived + self.lost));
        let loss = f64::from(self.lost) / all;
        let rises = self
            .before
            .is_some_and(|before| rate > before.rate * FASTER && loss > before.loss + RISE);
        Verdict { rate, loss, ours: rises || loss > HEAVY }
    }
}
