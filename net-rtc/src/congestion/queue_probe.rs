//! Whose queue is it?

use std::time::{Duration, Instant};

/// What of the rate is still sent meanwhile.
const SHARE: f64 = 0.5;
/// The same when it is only about the length of the path. Then everyone on it is to see it
/// empty, so it takes longer too: by this factor.
const LITTLE: f64 = 0.1;
const LONGER: f64 = 2.0;
/// A dip takes at most so long.
const LONGEST: Duration = Duration::from_millis(400);
/// How long one may wait for word of it after that, besides a round trip.
const WORD: Duration = Duration::from_millis(300);
/// A queue that is as short as this is gone.
pub(super) const GONE: Duration = Duration::from_millis(10);
/// Ours is a queue that shrinks at least by this share of what it would if we were alone.
const OURS: f64 = 1.0 / 3.0;

/// For a moment half is sent. A queue that is ours empties meanwhile; one that others fill, as a
/// download by TCP does, hardly shrinks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dip {
    began: Instant,
    /// The queue that the last packet found which left before it began.
    queue: Duration,
    /// The shortest that a later one found.
    least: Option<Duration>,
    pub(super) reason: Reason,
    /// The rate of our own after it, in bytes a second.
    pub(super) ours: f64,
    /// The same beside others.
    pub(super) share: f64,
}

/// Why it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// There was no queue before. It may be that of others who begin as we do and have not seen
    /// it yet, so if it does not look like ours it is asked once more.
    New,
    /// To see how long the path is without the queue that we hold, now and then.
    Routine,
    /// It may have been others', or may be now. TCP may have made room just then, so if it looks
    /// like ours it is asked once more.
    Doubt,
    /// Once more.
    Again,
}

/// What a dip found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Us,
    Others,
}

impl Dip {
    /// `ours` and `share` are the rates after it.
    pub(super) fn new(now: Instant, reason: Reason, queue: Duration, ours: f64, share: f64) -> Dip {
        Dip { began: now, queue, least: None, reason, ours, share }
    }

    /// What is sent now.
    pub(super) fn rate(&self, now: Instant) -> f64 {
        if now < self.drained() { self.ours * self.share_of_rate() } else { self.ours }
    }

    /// Takes the queue that a packet found which left at that time; tells whose it is once that
    /// is known.
    pub(super) fn look(&mut self, left: Instant, queue: Duration) -> Option<Owner> {
        if left <= self.began {
            self.queue = queue;
            return None;
        }
        let least = self.least.map_or(queue, |least| least.min(queue));
        self.least = Some(least);
        let gone = least <= GONE && self.reason != Reason::Routine;
        match left >= self.drained() || gone {
            true => Some(self.owner(least)),
            false => None,
        }
    }

    /// What is known if nothing is heard for too long, `rtt` being that of the empty path.
    pub(super) fn give_up(&self, now: Instant, rtt: Duration) -> Option<Owner> {
        let late = now >= self.drained() + rtt + self.queue + WORD;
        late.then(|| self.owner(self.least.unwrap_or(self.queue)))
    }

    fn owner(&self, least: Duration) -> Owner {
        let alone = (self.drained() - self.began).mul_f64(1.0 - SHARE);
        let shrank = self.queue.saturating_sub(least);
        match least <= GONE || shrank >= alone.mul_f64(OURS) {
            true => Owner::Us,
            false => Owner::Others,
        }
    }

    fn share_of_rate(&self) -> f64 {
        if self.reason == Reason::Routine { LITTLE } else { SHARE }
    }

    /// When the queue should be gone if we are alone.
    fn drained(&self) -> Instant {
        let longer = if self.reason == Reason::Routine { LONGER } else { 1.0 };
        let time = self.queue.mul_f64(longer / (1.0 - self.share_of_rate()));
        self.began + time.min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A queue of 80 ms, and what packets find that leave every 10 ms.
    fn dip(found: impl Fn(u32) -> u32) -> Option<Owner> {
        let now = Instant::now();
        let mut dip = Dip::new(now, Reason::New, 50 * MS, 100.0, 200.0);
        assert_eq!(dip.look(now, 80 * MS), None);
        assert_eq!((dip.rate(now), dip.rate(now + 160 * MS)), (50.0, 100.0));
        (1..17).find_map(|step| dip.look(now + step * 10 * MS, found(step) * MS))
    }

    #[test]
    fn a_queue_that_empties_is_ours() {
        assert_eq!(dip(|step| 80 - step * 5), Some(Owner::Us));
        assert_eq!(dip(|step| 80 - step * 2), Some(Owner::Us), "another one shares it");
    }

    #[test]
    fn a_queue_that_stays_is_not() {
        assert_eq!(dip(|_| 80), Some(Owner::Others));
        assert_eq!(dip(|step| 80 + step), Some(Owner::Others));
        assert_eq!(dip(|step| 80 - step), Some(Owner::Others));
    }

    #[test]
    fn silence_ends_it_too() {
        let now = Instant::now();
        let dip = Dip::new(now, Reason::New, 50 * MS, 100.0, 200.0);
        assert_eq!(dip.give_up(now + 489 * MS, 40 * MS), None);
        assert_eq!(dip.give_up(now + 490 * MS, 40 * MS), Some(Owner::Others));
    }
}
