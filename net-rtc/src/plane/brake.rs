//! The brake for what the peer sends: the window that is advertised to it.

use std::time::{Duration, Instant};

use super::flight::Told;
use super::pace::Breaker;
use super::rtt::Rtt;
use super::tsn::Tsn;

/// What a peer may send at once besides, in seconds at the most that it may send.
const BURST: f64 = 0.1;
/// The share of lost packets that is a flood after 10 s: four times what the path carries. Twice
/// as much is better lost on the way than kept waiting in the page.
const FLOOD: f64 = 0.75;
/// The least that is advertised, in bytes: two packets. With less some senders stop for good.
const LEAST: f64 = 2_400.0;
/// No window is larger, in bytes.
const MOST: f64 = 1_048_576.0;

/// The peer's own congestion control sees no loss, so this is what holds it: never more than the
/// most, and next to nothing if for long most of it has been lost (RFC 8084). More than that
/// would make messages wait in the peer's own queue and grow old there.
#[derive(Debug)]
pub(super) struct Brake {
    /// The most and the least that a peer may send, in bytes a second.
    most: f64,
    least: f64,
    breaker: Breaker,
    highest: Option<Tsn>,
}

impl Brake {
    /// Both in bits a second.
    pub(super) fn new(now: Instant, least: u32, most: u32) -> Brake {
        let (least, most) = (f64::from(least) / 8.0, f64::from(most) / 8.0);
        Brake { most, least, breaker: Breaker::new(now, FLOOD), highest: None }
    }

    /// A packet arrived with so many chunks that are new; `highest` is the latest of all.
    pub(super) fn arrived(&mut self, now: Instant, chunks: u32, highest: Tsn) {
        let steps = self.highest.map_or(i64::from(chunks), |last| highest.since(last));
        self.highest = Some(highest);
        let steps = u32::try_from(steps).unwrap_or_default();
        let lost = steps.saturating_sub(chunks);
        self.breaker.told(now, &Told { arrived: chunks, lost, ..Told::default() });
    }

    /// The window to advertise, in bytes.
    pub(super) fn window(&self, now: Instant, rtt: &Rtt) -> u32 {
        let round = rtt.of_path().unwrap_or(rtt.smoothed()).max(Duration::from_millis(1));
        let bytes = match self.breaker.is_open(now) {
            true => self.least * round.as_secs_f64(),
            false => self.most * (round.as_secs_f64() + BURST),
        };
        bytes.clamp(LEAST, MOST) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// The window after so many seconds of a hundred packets each, of which every `nth` arrives.
    fn after(seconds: u32, nth: u32, rtt: Duration) -> u32 {
        let mut now = Instant::now();
        let mut brake = Brake::new(now, 64_000, 4_000_000);
        for packet in (0..seconds * 100).step_by(nth as usize) {
            now += 10 * MS * nth;
            brake.arrived(now, 1, Tsn(u32::MAX - 50).plus(packet));
        }
        let mut known = Rtt::default();
        known.sample(rtt, true);
        brake.window(now, &known)
    }

    #[test]
    fn the_window_carries_the_most_and_a_burst() {
        assert_eq!(after(20, 1, 40 * MS), 70_000);
        assert_eq!(after(20, 1, 200 * MS), 150_000);
        assert_eq!(after(20, 1, 60_000 * MS), MOST as u32);
    }

    #[test]
    fn much_may_be_lost_and_more_for_a_while() {
        assert_eq!(after(60, 3, 40 * MS), 70_000);
        assert_eq!(after(8, 8, 40 * MS), 70_000);
        assert_eq!(after(30, 8, 40 * MS), LEAST as u32);
        assert_eq!(after(30, 8, 500 * MS), 4_000);
    }
}
