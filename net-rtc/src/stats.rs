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
    pub forged: u64,
    /// How often a record from an unknown address was tried on a peer that may have moved.
    pub trials: u64,
    /// Binding requests without credentials that were answered.
    pub binding_answers: u64,
    /// Messages that were dropped before they were sent, by cause.
    pub dropped: Dropped,
}

/// Messages that were dropped before they were sent, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// A newer message with the same key took their place.
    pub replaced: u64,
    /// They were first in line when more waited than there is room for.
    pub too_many: u64,
    /// They waited too long.
    pub too_old: u64,
}

impl Dropped {
    /// All of them.
    pub fn total(self) -> u64 {
        self.replaced + self.too_many + self.too_old
    }
}

impl Add for Dropped {
    type Output = Dropped;

    fn add(self, more: Dropped) -> Dropped {
        Dropped {
            replaced: self.replaced + more.replaced,
            too_many: self.too_many + more.too_many,
            too_old: self.too_old + more.too_old,
        }
    }
}

impl AddAssign for Dropped {
    fn add_assign(&mut self, more: Dropped) {
        *self = *self + more;
    }
}

impl Sub for Dropped {
    type Output = Dropped;

    /// What came since `before`. Never less than nothing.
    fn sub(self, before: Dropped) -> Dropped {
        Dropped {
            replaced: self.replaced.saturating_sub(before.replaced),
            too_many: self.too_many.saturating_sub(before.too_many),
            too_old: self.too_old.saturating_sub(before.too_old),
        }
    }
}

/// [`Dropped`] that any thread may add to and read, without a lock.
#[derive(Debug, Default)]
pub struct DroppedCounter {
    replaced: AtomicU64,
    too_many: AtomicU64,
    too_old: AtomicU64,
}

impl DroppedCounter {
    /// Counts more.
    pub fn add(&self, more: Dropped) {
        for (counter, more) in [
            (&self.replaced, more.replaced),
            (&self.too_many, more.too_many),
            (&self.too_old, more.too_old),
        ] {
            if more > 0 {
                counter.fetch_add(more, Relaxed);
            }
        }
    }

    /// What was counted so far.
    pub fn read(&self) -> Dropped {
        Dropped {
            replaced: self.replaced.load(Relaxed),
            too_many: self.too_many.load(Relaxed),
            too_old: self.too_old.load(Relaxed),
        }
    }
}

/// The state of the unreliable path to one peer. Everything but `dropped` is what our own data
/// plane has measured lately: nothing before it has sent and heard, and with plain SCTP.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Path {
    /// The round trip, smoothed (RFC 6298). `None` if it is not known yet.
    pub rtt: Option<Duration>,
    /// The shortest round trip of the last seconds: what is left when no queue stands on the
    /// way. `None` if it is not known yet.
    pub least_rtt: Option<Duration>,
    /// Share of our packets that were lost lately, from 0 to 1.
    pub loss: f32,
    /// What may be sent now, in bits a second; 0 if it is not known yet.
    pub rate: u64,
    /// What is sent, in bits a second.
    pub sending: u64,
    /// Messages to this peer that were dropped before they were sent, since it opened.
    pub dropped: Dropped,
    /// Packets with messages to this peer that left and did not arrive, since it opened. A message
    /// of several packets is lost with any of them. Those for which repair made good may be left
    /// out.
    pub packets_lost: u64,
}

/// Shows the [`Path`] to one peer to any thread. Reading it takes no lock and waits for nobody;
/// each number is whole, though two of them may be from two moments. Once the peer is gone it
/// stays as it was.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<Words>);

#[derive(Debug, Default)]
struct Words {
    /// In nanoseconds, for no round trip takes none; 0 is `None`.
    rtt: AtomicU64,
    least_rtt: AtomicU64,
    /// The bits of an `f32`.
    loss: AtomicU32,
    rate: AtomicU64,
    sending: AtomicU64,
    dropped: DroppedCounter,
    packets_lost: AtomicU64,
}

impl Gauge {
    /// The path as it is now.
    pub fn read(&self) -> Path {
        let words = &*self.0;
        Path {
            rtt: duration(words.rtt.load(Relaxed)),
            least_rtt: duration(words.least_rtt.load(Relaxed)),
            loss: f32::from_bits(words.loss.load(Relaxed)),
            rate: words.rate.load(Relaxed),
            sending: words.sending.load(Relaxed),
            dropped: words.dropped.read(),
            packets_lost: words.packets_lost.load(Relaxed),
        }
    }

    /// Shows what the plane has measured: times, a share from 0 to 1, and bits a second.
    pub(crate) fn set_path(
        &self,
        rtt: Option<Duration>,
        least_rtt: Option<Duration>,
        loss: f32,
        rate: u64,
        sending: u64,
    ) {
        let words = &*self.0;
        words.rtt.store(nanoseconds(rtt), Relaxed);
        words.least_rtt.store(nanoseconds(least_rtt), Relaxed);
        words.loss.store(loss.to_bits(), Relaxed);
        words.rate.store(rate, Relaxed);
        words.sending.store(sending, Relaxed);
    }

    /// Shows how many packets were lost so far.
    pub(crate) fn set_packets_lost(&self, packets: u64) {
        self.0.packets_lost.store(packets, Relaxed);
    }

    /// Counts messages that were dropped.
    pub(crate) fn add_dropped(&self, more: Dropped) {
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
pub struct Sizes {
    /// Peers that are connecting or connected.
    pub peers: usize,
    /// Keys of peers.
    pub keys: usize,
    /// Source addresses that lead to a peer.
    pub routes: usize,
    /// Peers that want to be woken.
    pub deadlines: usize,
    /// Peers that a record from an unknown address may be tried on, and silent ones among them.
    pub findable: usize,
    /// Datagrams and events that wait to be polled.
    pub outputs: usize,
    /// Peers with messages for the next poll.
    pub unflushed: usize,
    /// Peers on their way whose clients may ask for the address that they are seen at.
    pub binding_clients: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_counted_on_its_own() {
        let counter = DroppedCounter::default();
        let (one, two) = (
            Dropped { replaced: 1, too_many: 2, too_old: 3 },
            Dropped { replaced: 10, too_many: 20, too_old: 30 },
        );
        counter.add(one);
        counter.add(two);
        assert_eq!(counter.read(), one + two);
        assert_eq!((counter.read() - one, counter.read().total()), (two, 66));
        assert_eq!(one - two, Dropped::default());
    }
}

#[cfg(test)]
mod path_tests {
    use std::thread;

    use super::*;

    const ROUNDS: u64 = 50_000;

    /// A path in which every number tells the round.
    fn show(gauge: &Gauge, round: u64) {
        let time = Some(Duration::from_millis(round * 7));
        gauge.set_path(time, time, round as f32, round << 20, round << 40);
        gauge.set_packets_lost(round);
        gauge.add_dropped(Dropped { replaced: 1, too_many: 1, too_old: 1 });
    }

    /// The rounds that each number tells.
    fn rounds(path: Path) -> [u64; 9] {
        let of_time = |time: Option<Duration>| time.map_or(0, |time| time.as_millis() as u64 / 7);
        let Path { rtt, least_rtt, loss, rate, sending, dropped, packets_lost } = path;
        let Dropped { replaced, too_many, too_old } = dropped;
        let (rtt, least) = (of_time(rtt), of_time(least_rtt));
        let loss = loss as u64;
        let shown = [rate >> 20, sending >> 40, packets_lost];
        [rtt, least, loss, shown[0], shown[1], shown[2], replaced, too_many, too_old]
    }

    #[test]
    fn shows_what_was_set_and_nothing_before() {
        let gauge = Gauge::default();
        assert_eq!(gauge.read(), Path::default());
        let (rtt, least) = (Some(Duration::from_millis(42)), Some(Duration::from_micros(1)));
        gauge.set_path(rtt, least, 0.25, 4_000_000, 96_000);
        let dropped = Dropped { replaced: 3, too_many: 0, too_old: 1 };
        gauge.add_dropped(dropped);
        gauge.set_packets_lost(7);
        let expected = Path {
            rtt,
            least_rtt: least,
            loss: 0.25,
            rate: 4_000_000,
            sending: 96_000,
            dropped,
            packets_lost: 7,
        };
        assert_eq!(gauge.clone().read(), expected);
        gauge.set_path(None, Some(Duration::ZERO), 0.0, 0, 0);
        assert_eq!(gauge.read().rtt, None);
        assert_eq!(gauge.read().least_rtt, Some(Duration::from_nanos(1)));
    }

    #[test]
    fn another_thread_sees_whole_numbers_that_only_grow() {
        let gauge = Gauge::default();
        let reader = gauge.clone();
        let seen = thread::spawn(move || {
            let mut before = [0; 9];
            while before != [ROUNDS; 9] {
                let now = rounds(reader.read());
                assert!(now.iter().zip(before).all(|(now, before)| *now >= before), "{now:?}");
                assert!(now.iter().all(|round| *round <= ROUNDS), "{now:?}");
                before = now;
            }
        });
        (1..=ROUNDS).for_each(|round| show(&gauge, round));
        seen.join().expect("the reader saw nothing odd");
    }
}
