//! One TCP download, packet by packet: slow start (RFC 5681), CUBIC (RFC 9438), loss found by
//! selective acknowledgements with a threshold of three packets (RFC 6675), and a retransmission
//! timer (RFC 6298) of at least 200 ms, as Linux has it.
//!
//! The path behind the bottleneck neither loses nor reorders, and every segment is acknowledged
//! at once. So an acknowledgement tells which transmission arrived, and one that was sent
//! before three that arrived, and has not, is lost; that also finds a lost retransmission.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::cross::Door;
use crate::cubic::Cubic;

/// Bytes of a segment.
pub const SEGMENT: usize = 1_448;
/// Its headers: IPv4, and TCP with timestamps.
pub const TCP_HEADERS: usize = 52;

/// Later transmissions that must have arrived before one counts as lost.
const THRESHOLD: u64 = 3;
/// The timer's bounds.
const LEAST_TIMEOUT: Duration = Duration::from_millis(200);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);
/// The timer before anything was measured.
const FIRST_TIMEOUT: Duration = Duration::from_secs(1);

/// See the [module's page](self).
#[derive(Clone, Debug)]
pub struct Download {
    round_trip: Duration,
    /// Segments of the whole; `None` has no end.
    segments: Option<u64>,
    began: Began,
    /// The next segment that was never sent, and the number of the next transmission.
    next_segment: u64,
    next_number: u64,
    /// Transmissions of unknown fate, in order.
    flight: VecDeque<Sent>,
    /// Segments to be sent again, first of all.
    lost: BTreeSet<u64>,
    /// Acknowledgements on their way back, in order.
    acks: VecDeque<(Instant, Sent)>,
    received: Received,
    cubic: Cubic,
    /// The first transmission after the window was last reduced: what was sent before does not
    /// reduce it again.
    reduced: u64,
    clock: Clock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Began {
    At(Instant),
    Already,
}

/// One transmission of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sent {
    number: u64,
    segment: u64,
    at: Instant,
}

/// What the other side has.
#[derive(Clone, Debug, Default)]
struct Received {
    /// All segments before this one.
    before: u64,
    /// And these.
    beyond: BTreeSet<u64>,
}

/// The retransmission timer (RFC 6298).
#[derive(Clone, Debug)]
struct Clock {
    /// The smoothed round trip and its variation.
    measured: Option<(Duration, Duration)>,
    backoff: u32,
    due: Option<Instant>,
}

impl Download {
    /// Begins now. `round_trip` is what a segment and its acknowledgement take without any
    /// queue; `segments` the length, without end if there is none.
    pub fn new(now: Instant, round_trip: Duration, segments: Option<u64>) -> Download {
        Download {
            round_trip,
            segments,
            began: Began::At(now),
            next_segment: 0,
            next_number: 0,
            flight: VecDeque::new(),
            lost: BTreeSet::new(),
            acks: VecDeque::new(),
            received: Received::default(),
            cubic: Cubic::default(),
            reduced: 0,
            clock: Clock { measured: None, backoff: 0, due: None },
        }
    }

    /// What has come across, in bytes with headers, each segment once.
    pub fn carried(&self) -> u64 {
        self.received.count() * (SEGMENT + TCP_HEADERS) as u64
    }

    /// Whether all segments are across, and that is known.
    pub fn is_complete(&self) -> bool {
        self.segments.is_some_and(|all| self.received.before >= all)
    }

    /// The congestion window, in segments.
    pub fn window(&self) -> f64 {
        self.cubic.window()
    }

    /// When it does something by itself.
    pub(crate) fn next(&self) -> Option<Instant> {
        match self.began {
            Began::At(at) => Some(at),
            Began::Already => {
                self.acks.front().map(|(at, _)| *at).into_iter().chain(self.clock.due).min()
            }
        }
    }

    pub(crate) fn act(&mut self, now: Instant, door: &mut Door<'_>) {
        self.began = Began::Already;
        while let Some((at, sent)) = self.acks.front().copied()
            && at <= now
        {
            self.acks.pop_front();
            self.on_ack(now, sent);
        }
        if self.clock.due.is_some_and(|due| due <= now) {
            self.on_timeout(now);
        }
        while (self.flight.len() as f64) < self.cubic.window().floor() {
            let Some(segment) = self.next_to_send() else { break };
            self.transmit(now, segment, door);
        }
    }

    fn on_ack(&mut self, now: Instant, sent: Sent) {
        self.clock.sample(now - sent.at);
        self.received.insert(sent.segment);
        // What was lost only by the timer's opinion need not be sent again.
        self.lost.remove(&sent.segment);
        let limited = self.flight.len() as f64 + 1.0 >= self.cubic.window();
        self.flight.retain(|flying| flying.number != sent.number);
        if self.drop_lost(sent.number) {
            self.reduced = self.next_number;
            self.cubic.on_loss();
        } else if sent.number >= self.reduced && limited {
            self.cubic.on_ack(now, self.clock.smoothed());
        }
        self.clock.arm(now, !self.flight.is_empty() || !self.lost.is_empty());
    }

    /// Finds what is lost now that this number arrived; tells whether the window must shrink.
    fn drop_lost(&mut self, arrived: u64) -> bool {
        let mut shrink = false;
        while let Some(gone) = self.flight.front().copied()
            && gone.number + THRESHOLD <= arrived
        {
            self.flight.pop_front();
            shrink |= gone.number >= self.reduced;
            self.lost.insert(gone.segment);
        }
        shrink
    }

    fn on_timeout(&mut self, now: Instant) {
        self.lost.extend(self.flight.drain(..).map(|sent| sent.segment));
        self.reduced = self.next_number;
        self.cubic.on_timeout();
        self.clock.backoff += 1;
        self.clock.arm(now, true);
    }

    fn next_to_send(&mut self) -> Option<u64> {
        if let Some(segment) = self.lost.pop_first() {
            return Some(segment);
        }
        let segment = self.next_segment;
        self.segments.is_none_or(|all| segment < all).then(|| {
            self.next_segment += 1;
            segment
        })
    }

    fn transmit(&mut self, now: Instant, segment: u64, door: &mut Door<'_>) {
        let sent = Sent { number: self.next_number, segment, at: now };
        self.next_number += 1;
        self.flight.push_back(sent);
        if let Some(departure) = door(SEGMENT + TCP_HEADERS) {
            self.acks.push_back((departure + self.round_trip, sent));
        }
        if self.clock.due.is_none() {
            self.clock.arm(now, true);
        }
    }
}

impl Received {
    fn insert(&mut self, segment: u64) {
        if segment >= self.before {
            self.beyond.insert(segment);
        }
        while self.beyond.remove(&self.before) {
            self.before += 1;
        }
    }

    fn count(&self) -> u64 {
        self.before + self.beyond.len() as u64
    }
}

impl Clock {
    fn sample(&mut self, time: Duration) {
        self.backoff = 0;
        self.measured = Some(match self.measured {
            None => (time, time / 2),
            Some((smoothed, variation)) => {
                let off = smoothed.abs_diff(time);
                ((smoothed * 7 + time) / 8, (variation * 3 + off) / 4)
            }
        });
    }

    fn smoothed(&self) -> Duration {
        self.measured.map_or(Duration::ZERO, |(smoothed, _)| smoothed)
    }

    fn arm(&mut self, now: Instant, wanted: bool) {
        let timeout = self.measured.map_or(FIRST_TIMEOUT, |(smoothed, variation)| {
            (smoothed + variation * 4).max(LEAST_TIMEOUT)
        });
        let timeout = timeout * 2u32.saturating_pow(self.backoff.min(16));
        self.due = wanted.then(|| now + timeout.min(LONGEST_TIMEOUT));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bottleneck::Queue;
    use crate::link::Rate;

    const SECOND: Duration = Duration::from_secs(1);
    const ROUND_TRIP: Duration = Duration::from_millis(40);
    /// 2 Mbit/s with 100 ms of queue.
    const RATE: Rate = Rate { bytes_per_second: 250_000, queue_bytes: 25_000 };

    /// Runs it alone over a rate; `look` sees it every 10 ms.
    fn run(
        download: &mut Download,
        rate: Rate,
        (begin, end): (Instant, Instant),
        mut look: impl FnMut(&Download, Instant),
    ) {
        let (mut queue, mut seen) = (Queue::default(), begin);
        while let Some(now) = download.next().filter(|now| *now < end) {
            while seen < now {
                look(download, seen);
                seen += SECOND / 100;
            }
            download.act(now, &mut |size| queue.pass(now, rate, size));
        }
    }

    #[test]
    fn it_fills_the_link_and_saws() {
        let now = Instant::now();
        let mut download = Download::new(now, ROUND_TRIP, None);
        let (mut at_ten, mut windows) = (0, Vec::new());
        run(&mut download, RATE, (now, now + 70 * SECOND), |download, at| {
            if at < now + 10 * SECOND {
                at_ten = download.carried();
            } else {
                windows.push(download.window());
            }
        });
        let share = (download.carried() - at_ten) as f64 / 60.0 / RATE.bytes_per_second as f64;
        assert!((0.95..=1.001).contains(&share), "{share}");
        // Each loss takes three tenths; path and queue together hold 23 segments.
        let most = windows.iter().copied().fold(0.0, f64::max);
        let least = windows.iter().copied().fold(f64::MAX, f64::min);
        assert!((20.0..30.0).contains(&most), "{most}");
        assert!((0.6..0.8).contains(&(least / most)), "{least} of {most}");
        let teeth = windows.windows(2).filter(|pair| pair[1] < pair[0] * 0.8).count();
        assert!((4..60).contains(&teeth), "{teeth}");
    }

    #[test]
    fn on_a_long_fat_path_it_fills_the_link() {
        let now = Instant::now();
        let rate = Rate { bytes_per_second: 2_500_000, queue_bytes: 250_000 };
        let mut download = Download::new(now, SECOND / 10, None);
        let mut at_ten = 0;
        run(&mut download, rate, (now, now + 70 * SECOND), |download, at| {
            at_ten = if at < now + 10 * SECOND { download.carried() } else { at_ten };
        });
        let share = (download.carried() - at_ten) as f64 / 60.0 / rate.bytes_per_second as f64;
        assert!((0.95..=1.001).contains(&share), "{share}");
    }

    #[test]
    fn all_data_comes_across_once() {
        // A queue of three packets loses much, retransmissions too.
        let rate = Rate { bytes_per_second: 250_000, queue_bytes: 4_500 };
        let now = Instant::now();
        let mut download = Download::new(now, ROUND_TRIP, Some(2_000));
        run(&mut download, rate, (now, now + 120 * SECOND), |_, _| {});
        assert!(download.is_complete());
        assert_eq!(download.carried(), 2_000 * 1_500);
        assert_eq!(download.next(), None, "nothing is left to do");
    }

    #[test]
    fn after_an_outage_the_timer_helps() {
        let now = Instant::now();
        let mut download = Download::new(now, ROUND_TRIP, None);
        let (mut queue, mut before) = (Queue::default(), 0);
        let (dark, light) = (now + 5 * SECOND, now + 8 * SECOND);
        while let Some(at) = download.next().filter(|at| *at < now + 20 * SECOND) {
            before = if at < light { download.carried() } else { before };
            let up = !(dark..light).contains(&at);
            download.act(at, &mut |size| queue.pass(at, RATE, size).filter(|_| up));
        }
        let share = (download.carried() - before) as f64 / 12.0 / 250_000.0;
        assert!(share > 0.7, "{share}");
    }
}
