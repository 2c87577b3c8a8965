//! Other people's traffic through a [bottleneck](crate::bottleneck).

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::tcp::Download;

/// Bytes of a packet, headers included.
const PACKET: usize = 1_200;

/// What kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cross {
    /// At a constant rate, headers included; the time between two packets varies by half.
    Steady {
        /// More than 0.
        bytes_per_second: u64,
    },
    /// The same, now and then.
    Bursts {
        /// While it is on; more than 0.
        bytes_per_second: u64,
        /// How long it is on, on average; more than 0.
        on: Duration,
        /// How long it is off, on average.
        off: Duration,
    },
    /// One download over TCP, as much as TCP's congestion control takes.
    Download {
        /// What a segment and its acknowledgement take together, without any queue.
        round_trip: Duration,
    },
}

/// Sends into a bottleneck what is to be sent; gives the time when it leaves, if it does.
pub(crate) type Door<'a> = dyn FnMut(usize) -> Option<Instant> + 'a;

/// Traffic on its way.
#[derive(Debug)]
pub enum Source {
    /// Without an ear for the path.
    Deaf(Box<Deaf>),
    /// TCP.
    Download(Box<Download>),
}

/// What keeps its rate whatever happens.
#[derive(Debug)]
pub struct Deaf {
    gap: Duration,
    next: Instant,
    /// When it pauses, and how long it is on and off on average.
    pauses: Option<(Instant, Duration, Duration)>,
    random: StdRng,
}

impl Source {
    /// Begins now.
    pub(crate) fn new(now: Instant, cross: Cross, seed: u64) -> Source {
        match cross {
            Cross::Steady { bytes_per_second } => {
                Source::Deaf(Box::new(Deaf::new(now, bytes_per_second, None, seed)))
            }
            Cross::Bursts { bytes_per_second, on, off } => {
                Source::Deaf(Box::new(Deaf::new(now, bytes_per_second, Some((on, off)), seed)))
            }
            Cross::Download { round_trip } => {
                Source::Download(Box::new(Download::new(now, round_trip, None)))
            }
        }
    }

    /// When it does something by itself.
    pub(crate) fn next(&self) -> Option<Instant> {
        match self {
            Source::Deaf(deaf) => Some(deaf.next),
            Source::Download(download) => download.next(),
        }
    }

    pub(crate) fn act(&mut self, now: Instant, door: &mut Door<'_>) {
        match self {
            Source::Deaf(deaf) => deaf.act(now, door),
            Source::Download(download) => download.act(now, door),
        }
    }

    /// What a download has got across, in bytes with headers, each segment once; 0 for others.
    pub fn downloaded(&self) -> u64 {
        match self {
            Source::Deaf(_) => 0,
            Source::Download(download) => download.carried(),
        }
    }
}

impl Deaf {
    fn new(
        now: Instant,
        bytes_per_second: u64,
        pauses: Option<(Duration, Duration)>,
        seed: u64,
    ) -> Deaf {
        let gap = Duration::from_secs_f64(PACKET as f64 / bytes_per_second as f64);
        let mut random = StdRng::seed_from_u64(seed);
        let pauses = pauses.map(|(on, off)| (now + about(&mut random, on), on, off));
        Deaf { gap, next: now, pauses, random }
    }

    fn act(&mut self, now: Instant, door: &mut Door<'_>) {
        door(PACKET);
        self.next = now + self.gap.mul_f64(self.random.random_range(0.5..1.5));
        if let Some((until, on, off)) = self.pauses
            && self.next >= until
        {
            self.next = until + about(&mut self.random, off);
            self.pauses = Some((self.next + about(&mut self.random, on), on, off));
        }
    }
}

/// A time with this mean, as likely to end at any moment as at any other.
fn about(random: &mut StdRng, mean: Duration) -> Duration {
    mean.mul_f64(-(1.0 - random.random::<f64>()).ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When packets come.
    fn packets(cross: Cross, seed: u64, time: Duration) -> Vec<Duration> {
        let now = Instant::now();
        let mut source = Source::new(now, cross, seed);
        let mut times = Vec::new();
        while let Some(at) = source.next().filter(|at| *at < now + time) {
            source.act(at, &mut |size| {
                assert_eq!(size, PACKET);
                times.push(at - now);
                None
            });
        }
        times
    }

    #[test]
    fn a_steady_source_keeps_its_rate() {
        let cross = Cross::Steady { bytes_per_second: 120_000 };
        let times = packets(cross, 1, Duration::from_secs(100));
        assert!((9_800..10_200).contains(&times.len()), "{}", times.len());
    }

    #[test]
    fn bursts_are_on_as_long_as_said_and_follow_from_the_seed() {
        let (on, off) = (Duration::from_millis(500), Duration::from_millis(1_500));
        let cross = Cross::Bursts { bytes_per_second: 120_000, on, off };
        let times = packets(cross, 1, Duration::from_secs(1_000));
        assert!((22_000..28_000).contains(&times.len()), "{}", times.len());
        let pauses = times.windows(2).filter(|pair| pair[1] - pair[0] > off / 10).count();
        assert!((350..650).contains(&pauses), "{pauses}");
        assert_eq!(times, packets(cross, 1, Duration::from_secs(1_000)));
        assert_ne!(times, packets(cross, 2, Duration::from_secs(1_000)));
    }
}
