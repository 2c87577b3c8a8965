//! How fast to send: the place of a congestion control.

use std::time::{Duration, Instant};

use super::sender::Told;

/// Most that one peer is sent, in bytes a second: 4 Mbit/s.
const CAP: f64 = 500_000.0;
/// Least, whatever the path says: 64 kbit/s, and never under two packets a round trip.
const FLOOR: f64 = 8_000.0;
/// A packet, for the floor, in bytes.
const PACKET: f64 = 1_200.0;
/// What may leave at once: this much time's worth of the rate.
const BURST: f64 = 0.1;
/// Chunks whose fate is known before loss is judged. With fewer, chance would look like a
/// trend: at 25 % loss the share in 200 chunks strays by 3 %.
const JUDGED: u32 = 200;
/// Loss that rises by this share while the rate rises is ours.
const RISE: f64 = 0.15;
/// Loss over this share is ours whatever the rate did.
const HEAVY: f64 = 0.4;
/// What the rate is multiplied by then.
const DECREASE: f64 = 0.7;
/// What it grows by in each judged window, in bytes a second.
const INCREASE: f64 = 25_000.0;

/// Additive increase, multiplicative decrease (RFC 8085 §3.1), on loss that rises with our own
/// rate. Loss that is there whatever we send, as on a bad radio link, lowers nothing.
#[derive(Debug)]
pub(crate) struct Pace {
    rate: f64,
    /// What may leave now, in bytes; below zero after a message of many packets.
    tokens: f64,
    filled: Instant,
    window: Window,
    before: Option<Verdict>,
}

/// What happened since the last judgement.
#[derive(Debug)]
struct Window {
    began: Instant,
    sent: f64,
    told: Told,
}

/// The last judgement: bytes a second, and the share that was lost.
#[derive(Clone, Copy, Debug)]
struct Verdict {
    rate: f64,
    loss: f64,
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Pace {
        let window = Window { began: now, sent: 0.0, told: Told::default() };
        Pace { rate: CAP, tokens: CAP * BURST, filled: now, window, before: None }
    }

    /// Whether something may leave now, behind so many bytes that wait, or else when.
    pub(crate) fn room(&mut self, now: Instant, waiting: usize) -> Result<(), Instant> {
        let elapsed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + elapsed * self.rate).min(self.rate * BURST);
        self.filled = now;
        let left = self.tokens - waiting as f64;
        if left > 0.0 {
            return Ok(());
        }
        // One byte more, so that there is room when the time has come.
        Err(now + Duration::from_secs_f64((1.0 - left) / self.rate))
    }

    /// A packet of that many bytes leaves.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.tokens -= bytes as f64;
        self.window.sent += bytes as f64;
    }

    /// The fate of some chunks is known.
    pub(crate) fn told(&mut self, now: Instant, told: Told, rtt: Duration) {
        self.window.told.arrived += told.arrived;
        self.window.told.lost += told.lost;
        let Told { arrived, lost } = self.window.told;
        if arrived + lost >= JUDGED {
            self.judge(now, rtt);
        }
    }

    /// What may be sent, in bits a second.
    #[cfg(test)]
    pub(crate) fn rate(&self) -> f64 {
        self.rate * 8.0
    }

    fn judge(&mut self, now: Instant, rtt: Duration) {
        let seconds = now.saturating_duration_since(self.window.began).as_secs_f64().max(0.001);
        let Told { arrived, lost } = self.window.told;
        let loss = f64::from(lost) / f64::from(arrived + lost);
        let verdict = Verdict { rate: self.window.sent / seconds, loss };
        self.window = Window { began: now, sent: 0.0, told: Told::default() };
        // Without a word from the peer nothing is known: an outage is not our doing.
        if arrived > 0 {
            self.adjust(verdict, rtt);
            self.before = Some(verdict);
        }
    }

    fn adjust(&mut self, verdict: Verdict, rtt: Duration) {
        let rises = self.before.is_some_and(|before| {
            verdict.rate > before.rate * 1.1 && verdict.loss > before.loss + RISE
        });
        let floor = FLOOR.max(2.0 * PACKET / rtt.as_secs_f64().max(0.001));
        self.rate = match rises || verdict.loss > HEAVY {
            true => (verdict.rate.min(self.rate) * DECREASE).max(floor.min(CAP)),
            false => (self.rate + INCREASE).min(CAP),
        };
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    const RTT: Duration = Duration::from_millis(40);

    /// Sends `rate` packets of 1,000 bytes a second for a while over a path that carries
    /// `path` bytes a second and loses `loss` of them besides; gives the rate in the end.
    fn run(
        pace: &mut Pace,
        now: &mut Instant,
        rate: u32,
        path: f64,
        loss: f64,
        seconds: u32,
    ) -> f64 {
        let mut random = StdRng::seed_from_u64(u64::from(rate) + (loss * 100.0) as u64);
        let mut carried: f64 = 0.0;
        for _ in 0..rate * seconds {
            let tick = 1.0 / f64::from(rate);
            *now += Duration::from_secs_f64(tick);
            carried = (carried - tick * path).max(0.0);
            if pace.room(*now, 0).is_err() {
                continue;
            }
            pace.sent(1_000);
            let fits = carried + 1_000.0 < path * 0.1;
            let lost = !fits || random.random_bool(loss);
            carried += if fits { 1_000.0 } else { 0.0 };
            let told =
                if lost { Told { arrived: 0, lost: 1 } } else { Told { arrived: 1, lost: 0 } };
            pace.told(*now, told, RTT);
        }
        pace.rate()
    }

    #[test]
    fn constant_loss_up_to_a_quarter_lowers_nothing() {
        for loss in [0.0, 0.01, 0.1, 0.25] {
            let mut now = Instant::now();
            let mut pace = Pace::new(now);
            let rate = run(&mut pace, &mut now, 60, 1e9, loss, 600);
            assert_eq!(rate, CAP * 8.0, "at {loss}");
        }
    }

    #[test]
    fn what_a_path_does_not_carry_lowers_the_rate_and_time_raises_it_again() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        let rate = run(&mut pace, &mut now, 250, 125_000.0, 0.0, 60);
        assert!((500_000.0..1_900_000.0).contains(&rate), "{rate}");
        let rate = run(&mut pace, &mut now, 250, 1e9, 0.0, 60);
        assert_eq!(rate, CAP * 8.0);
    }

    #[test]
    fn the_cap_holds_and_a_burst_leaves_at_once() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        let mut sent = 0;
        while pace.room(now, 0).is_ok() {
            pace.sent(1_000);
            sent += 1_000;
        }
        assert_eq!(sent, 50_000);
        let later = pace.room(now, 0).unwrap_err();
        assert!(later > now && pace.room(later, 0).is_ok());
    }

    #[test]
    fn an_outage_lowers_nothing() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        assert_eq!(run(&mut pace, &mut now, 60, 1e9, 1.0, 60), CAP * 8.0);
    }

    #[test]
    fn the_floor_holds_whatever_is_lost() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        let rate = run(&mut pace, &mut now, 250, 100.0, 0.5, 600);
        assert!(rate >= FLOOR * 8.0, "{rate}");
    }
}
