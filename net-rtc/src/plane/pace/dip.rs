//! Whose queue is it?

use std::time::{Duration, Instant};

/// What of the delivered rate is still sent meanwhile.
pub(super) const SHARE: f64 = 0.5;
/// A dip takes at most so long, and what follows.
const LONGEST: Duration = Duration::from_millis(400);
/// How long one may wait for word of it after that.
const WORD: Duration = Duration::from_millis(300);
/// A queue that is as short as this is gone.
pub(super) const GONE: Duration = Duration::from_millis(10);
/// Ours is a queue that shrinks at least by this share of what it would if we were alone.
const OURS: f64 = 1.0 / 3.0;

/// For a moment only half is sent. A queue that is ours empties meanwhile; one that others fill,
/// as a download by TCP does, hardly shrinks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dip {
    /// The queue when it began.
    queue: Duration,
    /// When it is long enough for that queue to be gone.
    until: Instant,
    /// The shortest queue since.
    least: Duration,
    /// What was delivered before, in bytes a second.
    pub(super) delivered: f64,
    /// What was sent before, in bytes a second.
    pub(super) sent: f64,
}

/// What a dip found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Us,
    Others,
}

impl Dip {
    /// `rtt` is that of the empty path.
    pub(super) fn new(
        now: Instant,
        queue: Duration,
        rtt: Duration,
        delivered: f64,
        sent: f64,
    ) -> Dip {
        // It is seen to be gone only after a round trip.
        let until = now + drained(queue) + rtt + queue;
        Dip { queue, until, least: queue, delivered, sent }
    }

    /// Takes a look at the queue; tells whose it is once that is known.
    pub(super) fn look(&mut self, now: Instant, queue: Option<Duration>) -> Option<Owner> {
        self.least = queue.map_or(self.least, |queue| queue.min(self.least));
        if self.least <= GONE {
            return Some(Owner::Us);
        }
        let over = now >= self.until && queue.is_some() || now >= self.until + WORD;
        over.then(|| self.owner())
    }

    fn owner(&self) -> Owner {
        let alone = drained(self.queue).mul_f64(1.0 - SHARE);
        match self.queue - self.least >= alone.mul_f64(OURS) {
            true => Owner::Us,
            false => Owner::Others,
        }
    }
}

/// How long it takes for a queue to empty while only our share is sent.
fn drained(queue: Duration) -> Duration {
    queue.mul_f64(1.0 / (1.0 - SHARE)).min(LONGEST)
}
