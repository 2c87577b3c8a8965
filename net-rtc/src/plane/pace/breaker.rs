//! The circuit breaker (RFC 8084): when a path carries next to nothing, next to nothing is sent.

use std::time::{Duration, Instant};

use super::super::flight::Told;

/// The share of the least rate that still leaves, to find out whether the path is better.
pub(super) const TRICKLE: f64 = 0.1;
/// Loss over a share for so long, or so long without a word from the peer, opens the breaker.
const PATIENCE: Duration = Duration::from_secs(10);
/// Chunks whose fate is known before their loss is judged. Fewer could be better by chance.
const JUDGED: u32 = 20;
/// While it is open there are few, so these must do, and hardly any of them may be lost.
const FEW: u32 = 6;
const LIGHT: f64 = 0.17;

/// Counts how long it has been bad.
#[derive(Debug)]
pub(in super::super) struct Breaker {
    heavy: f64,
    window: Instant,
    arrived: u32,
    lost: u32,
    /// Since when most has been lost.
    bad: Option<Instant>,
    /// Since when the peer should have spoken.
    silent: Option<Instant>,
}

impl Breaker {
    /// Loss over this share, from 0 to 1, is heavy.
    pub(in super::super) fn new(now: Instant, heavy: f64) -> Breaker {
        Breaker { heavy, window: now, arrived: 0, lost: 0, bad: None, silent: None }
    }

    /// Something leaves: the peer will have to speak.
    pub(super) fn sent(&mut self, now: Instant) {
        self.silent.get_or_insert(now);
    }

    /// The peer has answered something else: it is there, so its silence was the path's.
    pub(super) fn reached(&mut self) {
        self.silent = None;
    }

    pub(in super::super) fn told(&mut self, now: Instant, told: &Told) {
        self.arrived += told.arrived;
        self.lost += told.lost;
        if told.bytes > 0 {
            self.silent = None;
        }
        let all = self.arrived + self.lost;
        let (enough, heavy) = if self.is_open(now) { (FEW, LIGHT) } else { (JUDGED, self.heavy) };
        if all >= enough {
            self.judge(f64::from(self.lost) > heavy * f64::from(all));
            (self.window, self.arrived, self.lost) = (now, 0, 0);
        }
    }

    /// Whether only a trickle may pass.
    pub(in super::super) fn is_open(&self, now: Instant) -> bool {
        [self.bad, self.silent].into_iter().flatten().any(|since| now >= since + PATIENCE)
    }

    fn judge(&mut self, heavy: bool) {
        self.bad = heavy.then(|| self.bad.unwrap_or(self.window));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Sends 20 chunks a second, of which `lost` in a hundred are lost; whether it is open then.
    fn after(breaker: &mut Breaker, now: &mut Instant, seconds: u32, lost: u32) -> bool {
        for number in 0..seconds * 20 {
            *now += 50 * MS;
            breaker.sent(*now);
            let lost = u32::from(number * 37 % 100 < lost);
            let (arrived, bytes) = (1 - lost, 100 * (1 - lost as usize));
            breaker.told(*now, &Told { arrived, lost, bytes, ..Told::default() });
        }
        breaker.is_open(*now)
    }

    #[test]
    fn ten_seconds_of_heavy_loss_open_it_and_better_times_close_it() {
        let mut now = Instant::now();
        let mut breaker = Breaker::new(now, 0.5);
        assert!(!after(&mut breaker, &mut now, 60, 40));
        assert!(!after(&mut breaker, &mut now, 8, 70));
        assert!(after(&mut breaker, &mut now, 5, 70));
        assert!(after(&mut breaker, &mut now, 60, 70));
        assert!(!after(&mut breaker, &mut now, 5, 10));
    }

    #[test]
    fn so_does_silence_until_the_first_word() {
        let mut now = Instant::now();
        let mut breaker = Breaker::new(now, 0.5);
        assert!(!after(&mut breaker, &mut now, 60, 0));
        breaker.sent(now);
        assert!(!breaker.is_open(now + PATIENCE - MS));
        assert!(breaker.is_open(now + PATIENCE));
        breaker.told(now + PATIENCE, &Told { arrived: 1, bytes: 10, ..Told::default() });
        assert!(!breaker.is_open(now + PATIENCE));
    }

    #[test]
    fn silence_is_over_when_the_peer_is_reached() {
        let now = Instant::now();
        let mut breaker = Breaker::new(now, 0.5);
        breaker.sent(now);
        assert!(breaker.is_open(now + PATIENCE));
        breaker.reached();
        assert!(!breaker.is_open(now + PATIENCE));
        breaker.sent(now + PATIENCE);
        assert!(breaker.is_open(now + PATIENCE * 2));
    }

    #[test]
    fn who_sends_nothing_expects_nothing() {
        let now = Instant::now();
        assert!(!Breaker::new(now, 0.5).is_open(now + PATIENCE * 10));
    }
}
