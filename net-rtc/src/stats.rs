//! Counters, path statistics and resource usage.

use std::ops::{Add, AddAssign, Sub};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

/// Counters of an endpoint since its creation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Datagrams that were delivered to a peer.
    pub routed: u64,
    /// Datagrams of no peer, or from an address that is not in the table of any peer.
    pub unrouted: u64,
    /// Connectivity checks with the ufrag of a peer and a wrong password.
    pub bad_integrity: u64,
    /// Trial decryptions: records from an unknown address that were tried on a peer that may have
    /// moved.
    pub trial_decryptions: u64,
    /// STUN Binding requests without credentials that were answered.
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
    /// They were the oldest when the queue exceeded its bound.
    pub overflow: u64,
    /// They exceeded the maximum age.
    pub expired: u64,
}

impl DropStats {
    /// Returns the sum of all causes.
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

    /// Returns the increase since `before`, at least 0 each.
    fn sub(self, before: DropStats) -> DropStats {
        DropStats {
            superseded: self.superseded.saturating_sub(before.superseded),
            overflow: self.overflow.saturating_sub(before.overflow),
            expired: self.expired.saturating_sub(before.expired),
        }
    }
}

/// [`DropStats`] that any thread can add to and read without a lock.
#[derive(Debug, Default)]
pub struct DropCounters {
    superseded: AtomicU64,
    overflow: AtomicU64,
    expired: AtomicU64,
}

impl DropCounters {
    /// Adds to the counters.
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

    /// Returns the current values.
    pub fn snapshot(&self) -> DropStats {
        DropStats {
            superseded: self.superseded.load(Relaxed),
            overflow: self.overflow.load(Relaxed),
            expired: self.expired.load(Relaxed),
        }
    }
}

/// Path statistics of one peer. All but `dropped` are recent measurements of the low-latency data
/// path: defaults before it has sent and received, and with plain SCTP.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct PathStats {
    /// Smoothed round-trip time (RFC 6298). `None` before the first measurement.
    pub rtt: Option<Duration>,
    /// Minimum round-trip time of the last seconds, which is the one without queuing delay. `None`
    /// before the first measurement.
    pub min_rtt: Option<Duration>,
    /// Recent loss rate of our packets, from 0 to 1.
    pub loss: f32,
    /// Allowed sending rate, in bits per second; 0 before the first measurement.
    pub allowed_rate: u64,
    /// Current sending rate, in bits per second.
    pub send_rate: u64,
    /// Messages to this peer that were dropped before they were sent, since it opened.
    pub dropped: DropStats,
    /// Packets with messages to this peer that were lost, since it opened. A message of several
    /// packets is lost with any of them. Packets whose messages a redundant copy has delivered may
    /// be left out.
    pub packets_lost: u64,
}

/// Shared handle of one peer's [`PathStats`], readable from any thread without a lock. Each number
/// is consistent, but two of them may be from different times. Once the peer is closed the values
/// no longer change.
#[derive(Clone, Debug, Default)]
pub struct PathMonitor(Arc<PathAtomics>);

/// Path statistics that other threads read without a lock.
#[derive(Debug, Default)]
struct PathAtomics {
    /// In nanoseconds; 0 is `None`, because no round trip takes 0.
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
    /// Returns the current statistics.
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

    /// Publishes the measurements of the data path: times, a loss rate from 0 to 1, and bits per
    /// second.
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

    /// Publishes the number of packets lost so far.
    pub(crate) fn set_packets_lost(&self, packets: u64) {
        self.0.packets_lost.store(packets, Relaxed);
    }

    /// Adds to the counters of dropped messages.
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

/// Entries in the tables and queues of an [`Endpoint`](crate::Endpoint). Once all peers are closed
/// and [`poll_output`](crate::Endpoint::poll_output) has returned everything, all are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointUsage {
    /// Peers that are connecting or connected.
    pub peers: usize,
    /// Keys in use.
    pub keys: usize,
    /// Remote addresses that are routed to a peer.
    pub routes: usize,
    /// Peers with a pending timeout.
    pub timers: usize,
    /// Peers in the migration lookup, by IP address and by silence.
    pub migration_lookup: usize,
    /// Datagrams and events to be polled.
    pub outputs: usize,
    /// Peers with messages to flush at the next poll.
    pub unflushed: usize,
    /// Connecting peers whose STUN Binding requests are answered.
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

    /// Sets every number of a path to this round.
    fn show(gauge: &PathMonitor, round: u64) {
        let time = Some(Duration::from_millis(round * 7));
        gauge.update(time, time, round as f32, round << 20, round << 40);
        gauge.set_packets_lost(round);
        gauge.add_dropped(DropStats { superseded: 1, overflow: 1, expired: 1 });
    }

    /// The round of each number.
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
