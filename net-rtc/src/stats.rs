//! What is counted.

use std::ops::{Add, AddAssign, Sub};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

/// What an endpoint has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Datagrams that belonged to a peer.
    pub routed: u64,
    /// Datagrams that belonged to nobody, or came from an address that no peer has proved to
    /// be its own.
    pub unrouted: u64,
    /// Connectivity checks that named a peer and were not signed with its password.
    pub bad_integrity: u64,
    /// How often a record from an unknown address was tried on a peer that may have moved.
    pub trial_decryptions: u64,
    /// Binding requests without credentials that were answered.
    pub stun_responses: u64,
    /// Messages that were dropped before they were sent, by cause.
    pub dropped: DropStats,
}

/// Messages that were dropped before they were sent, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DropStats {
    /// A newer message with the same key took their place.
    pub superseded: u64,
    /// They were first in line when more waited than there is room for.
    pub overflow: u64,
    /// They waited too long.
    pub expired: u64,
}

impl DropStats {
    /// All of them.
    pub fn total(self) -> u64 {
        self.superseded + self.overflow + self.expired
    }
}

impl Add for DropStats {
    type Output = DropStats;

    fn add(self, more: DropStats) -> DropStats {
        DropStats {
            superseded: self.superseded + more.superseded,
            overflow: self.overflow + more.overflow,
            expired: self.expired + more.expired,
        }
    }
}

impl AddAssign for DropStats {
    fn add_assign(&mut self, more: DropStats) {
        *self = *self + more;
    }
}

impl Sub for DropStats {
    type Output = DropStats;

    /// What came since `before`. Never less than nothing.
    fn sub(self, before: DropStats) -> DropStats {
        DropStats {
            superseded: self.superseded.saturating_sub(before.superseded),
            overflow: self.overflow.saturating_sub(before.overflow),
            expired: self.expired.saturating_sub(before.expired),
        }
    }
}

/// [`Dropped`] that any thread may add to and read, without a lock.
#[derive(Debug, Default)]
pub struct DropCounters {
    superseded: AtomicU64,
    overflow: AtomicU64,
    expired: AtomicU64,
}

impl DropCounters {
    /// Counts more.
    pub fn add(&self, more: DropStats) {
        for (counter, more) in [
            (&self.superseded, more.superseded),
            (&self.overflow, more.overflow),
            (&self.expired, more.expired),
        ] {
            if more > 0 {
                counter.fetch_add(more, Relaxed);
            }
        }
    }

    /// What was counted so far.
    pub fn snapshot(&self) -> DropStats {
        DropStats {
            superseded: self.superseded.load(Relaxed),
            overflow: self.overflow.load(Relaxed),
            expired: self.expired.load(Relaxed),
        }
    }
}

/// The state of the unreliable path to one peer. Everything but `dropped` is what our own data
/// plane has measured lately: nothing before it has sent and heard, and with plain SCTP.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct PathStats {
    /// The round trip, smoothed (RFC 6298). `None` if it is not known yet.
    pub rtt: Option<Duration>,
    /// The shortest round trip of the last seconds: what is left when no queue stands on the
    /// way. `None` if it is not known yet.
    pub min_rtt: Option<Duration>,
    /// Share of our packets that were lost lately, from 0 to 1.
    pub loss: f32,
    /// What may be sent now, in bits a second; 0 if it is not known yet.
    pub allowed_rate: u64,
    /// What is sent, in bits a second.
    pub send_rate: u64,
    /// Messages to this peer that were dropped before they were sent, since it opened.
    pub dropped: DropStats,
    /// Packets with messages to this peer that left and did not arrive, since it opened. A message
    /// of several packets is lost with any of them. Those for which repair made good may be left
    /// out.
    pub packets_lost: u64,
}

/// Shows the [`Path`] to one peer to any thread. Reading it takes no lock and waits for nobody;
/// each number is whole, though two of them may be from two moments. Once the peer is gone it
/// stays as it was.
#[derive(Clone, Debug, Default)]
pub struct PathMonitor(Arc<PathAtomics>);

#[derive(Debug, Default)]
struct PathAtomics {
    /// In nanoseconds, for no round trip takes none; 0 is `None`.
    rtt: AtomicU64,
    min_rtt: AtomicU64,
    /// The bits of an `f32`.
    loss: AtomicU32,
    allowed_rate: AtomicU64,
    send_rate: AtomicU64,
    dropped: DropCounters,
    packets_lost: AtomicU64,
}

impl PathMonitor {
    /// The path as it is now.
    pub fn snapshot(&self) -> PathStats {
        let words = &*self.0;
        PathStats {
            rtt: duration(words.rtt.load(Relaxed)),
            min_rtt: duration(words.min_rtt.load(Relaxed)),
            loss: f32::from_bits(words.loss.load(Relaxed)),
            allowed_rate: words.allowed_rate.load(Relaxed),
            send_rate: words.send_rate.load(Relaxed),
            dropped: words.dropped.snapshot(),
            packets_lost: words.packets_lost.load(Relaxed),
        }
    }

    /// Shows what the plane has measured: times, a share from 0 to 1, and bits a second.
    pub(crate) fn update(
        &self,
        rtt: Option<Duration>,
        least_rtt: Option<Duration>,
        loss: f32,
        rate: u64,
        sending: u64,
    ) {
        let words = &*self.0;
        words.rtt.store(nanoseconds(rtt), Relaxed);
        words.min_rtt.store(nanoseconds(least_rtt), Relaxed);
        words.loss.store(loss.to_bits(), Relaxed);
        words.allowed_rate.store(rate, Relaxed);
        words.send_rate.store(sending, Relaxed);
    }

    /// Shows how many packets were lost so far.
    pub(crate) fn set_packets_lost(&self, packets: u64) {
        self.0.packets_lost.store(packets, Relaxed);
    }

    /// Counts messages that were dropped.
    pub(crate) fn add_dropped(&self, more: DropStats) {
        self.0.dropped.add(more);
    }
}

fn nanoseconds(time: Option<Duration>) -> u64 {
    time.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1))
}

fn duration(nanoseconds: u64) -> Option<Duration> {
    (nanoseconds > 0).then(|| Duration::from_nanos(nanoseconds))
}

/// How many entries the tables and queues of an [`Endpoint`](crate::Endpoint) have. Once its
/// peers are gone and [`poll_output`](crate::Endpoint::poll_output) has given everything, all
/// are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointUsage {
    /// Peers that are connecting or connected.
    pub peers: usize,
    /// Keys of peers.
    pub keys: usize,
    /// Source addresses that lead to a peer.
    pub routes: usize,
    /// Peers that want to be woken.
    pub timers: usize,
    /// Peers that a record from an unknown address may be tried on, and silent ones among them.
    pub migration_lookup: usize,
    /// Datagrams and events that wait to be polled.
    pub outputs: usize,
    /// Peers with messages for the next poll.
    pub unflushed: usize,
    /// Peers on their way whose clients may ask for the address that they are seen at.
    pub stun_clients: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_counted_on_its_own() {
        let counter = DropCounters::default();
        let (one, two) = (
            DropStats { superseded: 1, overflow: 2, expired: 3 },
            DropStats { superseded: 10, overflow: 20, expired: 30 },
        );
        counter.add(one);
        counter.add(two);
        assert_eq!(counter.snapshot(), one + two);
        assert_eq!((counter.snapshot() - one, counter.snapshot().total()), (two, 66));
        assert_eq!(one - two, DropStats::default());
    }
}

#[cfg(test)]
mod path_tests {
    use std::thread;

    use super::*;

    const ROUNDS: u64 = 50_000;

    /// A path in which every number tells the round.
    fn show(gauge: &PathMonitor, round: u64) {
        let time = Some(Duration::from_millis(round * 7));
        gauge.update(time, time, round as f32, round << 20, round << 40);
        gauge.set_packets_lost(round);
        gauge.add_dropped(DropStats { superseded: 1, overflow: 1, expired: 1 });
    }

    /// The rounds that each number tells.
    fn rounds(path: PathStats) -> [u64; 9] {
        let of_time = |time: Option<Duration>| time.map_or(0, |time| time.as_millis() as u64 / 7);
        let PathStats {
            rtt,
            min_rtt: least_rtt,
            loss,
            allowed_rate: rate,
            send_rate: sending,
            dropped,
            packets_lost,
        } = path;
        let DropStats { superseded: replaced, overflow: too_many, expired: too_old } = dropped;
        let (rtt, least) = (of_time(rtt), of_time(least_rtt));
        let loss = loss as u64;
        let shown = [rate >> 20, sending >> 40, packets_lost];
        [rtt, least, loss, shown[0], shown[1], shown[2], replaced, too_many, too_old]
    }

    #[test]
    fn shows_what_was_set_and_nothing_before() {
        let gauge = PathMonitor::default();
        assert_eq!(gauge.snapshot(), PathStats::default());
        let (rtt, least) = (Some(Duration::from_millis(42)), Some(Duration::from_micros(1)));
        gauge.update(rtt, least, 0.25, 4_000_000, 96_000);
        let dropped = DropStats { superseded: 3, overflow: 0, expired: 1 };
        gauge.add_dropped(dropped);
        gauge.set_packets_lost(7);
        let expected = PathStats {
            rtt,
            min_rtt: least,
            loss: 0.25,
            allowed_rate: 4_000_000,
            send_rate: 96_000,
            dropped,
            packets_lost: 7,
        };
        assert_eq!(gauge.clone().snapshot(), expected);
        gauge.update(None, Some(Duration::ZERO), 0.0, 0, 0);
        assert_eq!(gauge.snapshot().rtt, None);
        assert_eq!(gauge.snapshot().min_rtt, Some(Duration::from_nanos(1)));
    }

    #[test]
    fn another_thread_sees_whole_numbers_that_only_grow() {
        let gauge = PathMonitor::default();
        let reader = gauge.clone();
        let seen = thread::spawn(move || {
            let mut before = [0; 9];
            while before != [ROUNDS; 9] {
                let now = rounds(reader.snapshot());
                assert!(now.iter().zip(before).all(|(now, before)| *now >= before), "{now:?}");
                assert!(now.iter().all(|round| *round <= ROUNDS), "{now:?}");
                before = now;
            }
        });
        (1..=ROUNDS).for_each(|round| show(&gauge, round));
        seen.join().expect("the reader saw nothing odd");
    }
}
