//! The narrowest point of a path: a queue that drops what does not fit, and a rate behind it.
//! Several lines may share one, and with [cross traffic](crate::cross) that runs for itself.
//!
//! It has no clock either: what other traffic did in between is caught up on whenever somebody
//! comes by.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::cross::{Cross, Source};
use crate::link::{HEADERS, Rate};

/// What waits in front of a rate.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    /// When each has left, and its size with headers; in that order.
    waiting: VecDeque<(Instant, usize)>,
    waiting_bytes: usize,
    left_bytes: u64,
}

impl Queue {
    /// A packet of `size` bytes, headers included, comes: when its last byte leaves; `None` if
    /// there is no room. Those that came before a change of the rate leave as they would have.
    pub fn pass(&mut self, now: Instant, rate: Rate, size: usize) -> Option<Instant> {
        self.leave(now);
        if self.waiting_bytes > 0 && self.waiting_bytes + size > rate.queue_bytes {
            return None;
        }
        let start = self.waiting.back().map_or(now, |(at, _)| *at);
        let departure = start + Duration::from_secs_f64(size as f64 / rate.bytes_per_second as f64);
        self.waiting.push_back((departure, size));
        self.waiting_bytes += size;
        Some(departure)
    }

    /// How long a packet that comes now would wait.
    pub fn wait(&self, now: Instant) -> Duration {
        self.waiting.back().map_or(Duration::ZERO, |(at, _)| at.saturating_duration_since(now))
    }

    /// Bytes that have left, headers included, when it was last looked at.
    pub fn left(&self) -> u64 {
        self.left_bytes
    }

    fn leave(&mut self, now: Instant) {
        while let Some((at, size)) = self.waiting.front().copied()
            && at <= now
        {
            self.waiting.pop_front();
            self.waiting_bytes -= size;
            self.left_bytes += size as u64;
        }
    }
}

/// See the [module's page](self).
#[derive(Debug)]
pub struct Bottleneck {
    rate: Rate,
    queue: Queue,
    sources: Vec<Source>,
}

impl Bottleneck {
    /// With this rate, and no traffic of its own.
    pub fn new(rate: Rate) -> Bottleneck {
        Bottleneck { rate, queue: Queue::default(), sources: Vec::new() }
    }

    /// Changes the rate for whatever comes from now on.
    pub fn set_rate(&mut self, now: Instant, rate: Rate) {
        self.catch_up(now);
        self.rate = rate;
    }

    /// What it carries.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Lets other traffic in, from now on; its chances follow from `seed`.
    pub fn add(&mut self, now: Instant, cross: Cross, seed: u64) {
        self.catch_up(now);
        self.sources.push(Source::new(now, cross, seed));
    }

    /// A datagram with `size` bytes of payload comes: when it leaves, if it does.
    pub fn pass(&mut self, now: Instant, size: usize) -> Option<Instant> {
        self.catch_up(now);
        self.queue.pass(now, self.rate, size + HEADERS)
    }

    /// How long a datagram that comes now would wait.
    pub fn wait(&mut self, now: Instant) -> Duration {
        self.catch_up(now);
        self.queue.wait(now)
    }

    /// Bytes of everyone that have left up to now, headers included.
    pub fn left(&mut self, now: Instant) -> u64 {
        self.catch_up(now);
        self.queue.left()
    }

    /// Other traffic, in the order in which it was [added](Bottleneck::add), as it is now.
    pub fn sources(&mut self, now: Instant) -> &[Source] {
        self.catch_up(now);
        &self.sources
    }

    /// Lets the sources do, in the order of time, what they have done since the last time.
    fn catch_up(&mut self, now: Instant) {
        let Bottleneck { rate, queue, sources } = self;
        let next = |sources: &[Source]| {
            let times = sources.iter().enumerate().filter_map(|(n, s)| Some((s.next()?, n)));
            times.min().filter(|(at, _)| *at <= now)
        };
        while let Some((at, number)) = next(sources) {
            sources[number].act(at, &mut |size| queue.pass(at, *rate, size));
        }
        queue.leave(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    /// A byte takes 10 us, ten packets of 1,000 bytes may wait.
    const RATE: Rate = Rate { bytes_per_second: 100_000, queue_bytes: 10_000 };

    #[test]
    fn packets_leave_one_after_the_other() {
        let now = Instant::now();
        let mut bottleneck = Bottleneck::new(RATE);
        for number in 1..=10 {
            assert_eq!(bottleneck.pass(now, 972), Some(now + 10 * MS * number));
        }
        assert_eq!(bottleneck.pass(now, 972), None);
        assert_eq!((bottleneck.wait(now), bottleneck.left(now)), (100 * MS, 0));
        let later = now + 35 * MS;
        assert_eq!((bottleneck.wait(later), bottleneck.left(later)), (65 * MS, 3_000));
        assert_eq!(bottleneck.pass(later, 972), Some(now + 110 * MS));
        assert_eq!(bottleneck.left(now + 1_000 * MS), 11_000);
    }

    #[test]
    fn a_new_rate_holds_for_whatever_comes() {
        let now = Instant::now();
        let mut bottleneck = Bottleneck::new(RATE);
        (0..5).for_each(|_| _ = bottleneck.pass(now, 972));
        bottleneck.set_rate(now, Rate { bytes_per_second: 1_000_000, queue_bytes: 100_000 });
        assert_eq!(bottleneck.pass(now, 972), Some(now + 51 * MS));
    }

    #[test]
    fn other_traffic_takes_its_share_while_nobody_looks() {
        let now = Instant::now();
        let mut bottleneck = Bottleneck::new(RATE);
        bottleneck.add(now, Cross::Steady { bytes_per_second: 50_000 }, 1);
        let left = bottleneck.left(now + 10_000 * MS);
        assert!((480_000..520_000).contains(&left), "{left}");
    }

    #[test]
    fn too_much_other_traffic_fills_the_queue() {
        let now = Instant::now();
        let mut bottleneck = Bottleneck::new(RATE);
        bottleneck.add(now, Cross::Steady { bytes_per_second: 200_000 }, 1);
        let later = now + 10_000 * MS;
        assert!(bottleneck.wait(later) > 70 * MS, "{:?}", bottleneck.wait(later));
        let left = bottleneck.left(later);
        assert!((980_000..=1_000_000).contains(&left), "{left}");
    }
}
