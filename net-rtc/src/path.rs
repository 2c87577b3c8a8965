//! How the way to a peer is, for whoever wants to adapt to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::dropped::{Dropped, DroppedCounter};

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

#[cfg(test)]
mod tests {
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
