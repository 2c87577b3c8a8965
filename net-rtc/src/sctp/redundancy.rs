//! Repair without retransmission: which chunks ride again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::congestion::ack::First;
use crate::sctp::packet::Tsn;
use crate::sctp::packet_builder::{Piece, Wish};

/// A chunk rides again only while it is no older than this: six ticks at 60 Hz.
pub(super) const KEPT: Duration = Duration::from_millis(105);
/// Packets whose chunks are kept: what left in an older one rides no more.
pub(super) const PACKETS: u32 = 8;
/// Above this share of lost packets one copy is not enough.
const HEAVY: f32 = 0.07;

/// Most memory that all of it can take: what a packet holds, in small chunks.
pub(super) const MEMORY: usize = PACKETS as usize * 4 * 1024;

/// By how many packets a copy comes after its chunk. Against chance the next packet will do;
/// against runs of loss the copy must be far enough away not to be in the same run.
const NEXT: &[u32] = &[1];
const NEXT_TWO: &[u32] = &[1, 2];
const BEYOND_RUNS: &[u32] = &[4, 6];

/// The chunks that may ride again, oldest first.
#[derive(Debug, Default)]
pub(super) struct Copies {
    kept: VecDeque<Kept>,
}

#[derive(Debug)]
struct Kept {
    packet: u32,
    left: Instant,
    tsn: Tsn,
    piece: Piece,
}

impl Copies {
    /// Keeps a chunk that leaves now in this packet, and forgets those that are too old.
    pub(super) fn keep(&mut self, now: Instant, packet: u32, tsn: Tsn, piece: Piece) {
        self.forget(now, packet);
        self.kept.push_back(Kept { packet, left: now, tsn, piece });
    }

    /// The chunks that should ride again in this packet, in the order of their TSNs.
    pub(super) fn of(
        &mut self,
        now: Instant,
        packet: u32,
        weather: Weather,
    ) -> impl Iterator<Item = (Tsn, &Piece)> {
        self.forget(now, packet);
        let (lossy, distances) = (weather.is_lossy(), distances(weather));
        let rides = move |kept: &&Kept| {
            distances.contains(&packet.wrapping_sub(kept.packet))
                && (lossy || kept.piece.wish == Wish::Always)
        };
        self.kept.iter().filter(rides).map(|kept| (kept.tsn, &kept.piece))
    }

    /// Forgets what is too old to ride again, and the memory that it took.
    pub(super) fn rest(&mut self, now: Instant) {
        while self.kept.front().is_some_and(|kept| now > kept.left + KEPT) {
            self.kept.pop_front();
        }
        if self.kept.is_empty() {
            self.kept = VecDeque::new();
        }
    }

    fn forget(&mut self, now: Instant, packet: u32) {
        let is_old =
            |kept: &Kept| packet.wrapping_sub(kept.packet) > PACKETS || now > kept.left + KEPT;
        while self.kept.front().is_some_and(is_old) {
            self.kept.pop_front();
        }
    }
}

fn distances(weather: Weather) -> &'static [u32] {
    match () {
        () if weather.has_runs() => BEYOND_RUNS,
        () if weather.loss() > HEAVY => NEXT_TWO,
        () => NEXT,
    }
}

/// The share of a new packet in the average. At 60 packets a second it looks back 4 s.
const PACKET: f32 = 1.0 / 256.0;
/// The share of a new loss in the average over losses; as long as there are fewer, all count
/// the same. Below the least nothing is known of runs.
const LOSS: f32 = 1.0 / 24.0;
const LEAST: u32 = 8;
/// Lossy begins above this share of lost packets, and ends below the other.
const LOSSY: f32 = 0.005;
const FAIR: f32 = 0.001;
/// Losses come in runs if the packet after a lost one is lost this often, ...
const RUNS: f32 = 0.4;
/// ... and this many times as often as any other.
const MORE: f32 = 2.0;

/// Moving averages over the packets that were sent, in their order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    loss: f32,
    /// Of the packets after a lost one.
    again: f32,
    /// Losses that this comes from.
    losses: u32,
    /// The last packet that was noted, and whether it was lost.
    last: Option<(u32, bool)>,
    lossy: bool,
}

impl Weather {
    pub(super) fn new() -> Weather {
        Weather { loss: 0.0, again: 0.0, losses: 0, last: None, lossy: false }
    }

    /// Notes what became of a packet. Chunks of one packet share its fate.
    pub(super) fn note(&mut self, packet: u32, first: First) {
        let lost = match first {
            First::Unknown => return,
            First::Arrived => false,
            First::Lost | First::Doubtful => true,
        };
        if self.last.is_some_and(|(last, _)| last == packet) {
            return;
        }
        let share = f32::from(u8::from(lost));
        self.loss += (share - self.loss) * PACKET;
        if let Some((last, true)) = self.last
            && last.wrapping_add(1) == packet
        {
            self.losses = self.losses.saturating_add(1);
            self.again += (share - self.again) * LOSS.max(1.0 / self.losses as f32);
        }
        self.last = Some((packet, lost));
        self.lossy = self.loss > if self.lossy { FAIR } else { LOSSY };
    }

    /// Notes a packet that was lost, after those behind it.
    pub(super) fn note_late(&mut self) {
        self.loss += (1.0 - self.loss) * PACKET;
        self.lossy |= self.loss > LOSSY;
    }

    /// The share of packets that are lost, from 0 to 1.
    pub(super) fn loss(&self) -> f32 {
        self.loss
    }

    /// Whether packets are being lost.
    pub(super) fn is_lossy(&self) -> bool {
        self.lossy
    }

    /// How many times as far as independent losses theirs stray from the average.
    pub(super) fn spread(&self) -> f64 {
        let again = f64::from(self.again.max(self.loss).min(0.9));
        ((1.0 + again) / (1.0 - again)).sqrt()
    }

    /// Whether several are lost in a row more often than by chance.
    pub(super) fn has_runs(&self) -> bool {
        self.losses >= LEAST && self.again > RUNS.max(MORE * self.loss).min(0.9)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::congestion::ack::First;
    use crate::sctp::packet_builder::pieces;
    use crate::sctp::path_mtu::BASE;

    const TICK: Duration = Duration::from_micros(16_667);

    /// The packets (before the tenth) whose chunks ride in the tenth.
    fn riding(weather: Weather, wish: Wish, tick: Duration) -> Vec<u32> {
        let now = Instant::now();
        let mut copies = Copies::default();
        for packet in 0..10 {
            let _ = copies.of(now + tick * packet, packet, weather).count();
            let piece = pieces(&Bytes::from_static(b"x"), wish, BASE).next().expect("one piece");
            copies.keep(now + tick * packet, packet, Tsn(packet), piece);
        }
        assert!(copies.kept.len() <= 9, "what is too old is forgotten");
        copies.of(now + tick * 10, 10, weather).map(|(tsn, _)| 10 - tsn.0).collect()
    }

    /// The weather after packets of which these were lost.
    fn weather(packets: u32, is_lost: impl Fn(u32) -> bool) -> Weather {
        let mut weather = Weather::new();
        for packet in 0..packets {
            weather.note(packet, if is_lost(packet) { First::Lost } else { First::Arrived });
        }
        weather
    }

    #[test]
    fn in_fair_weather_only_what_always_shall_rides_again() {
        let fair = Weather::new();
        assert_eq!(riding(fair, Wish::Always, TICK), [1]);
        assert!(riding(fair, Wish::WhileLossy, TICK).is_empty());
    }

    #[test]
    fn the_loss_decides_which() {
        for wish in [Wish::Always, Wish::WhileLossy] {
            assert_eq!(riding(weather(2_000, |packet| packet % 20 == 0), wish, TICK), [1]);
            assert_eq!(riding(weather(2_000, |packet| packet % 8 == 0), wish, TICK), [2, 1]);
            assert_eq!(riding(weather(2_000, |packet| packet % 60 < 3), wish, TICK), [6, 4]);
        }
    }

    /// While messages wait nobody asks what rides again, for as long as that may be.
    #[test]
    fn without_anyone_asking_little_is_kept() {
        let (now, mut copies) = (Instant::now(), Copies::default());
        for packet in 0..10_000 {
            let piece =
                pieces(&Bytes::from_static(b"x"), Wish::Always, BASE).next().expect("one piece");
            copies.keep(now, packet, Tsn(packet), piece);
        }
        assert!(copies.kept.len() <= 1 + PACKETS as usize, "{} kept", copies.kept.len());
    }

    #[test]
    fn what_is_too_old_does_not_ride() {
        let runs = weather(2_000, |packet| packet % 60 < 3);
        assert_eq!(riding(runs, Wish::Always, TICK * 3 / 2), [4]);
        assert!(riding(runs, Wish::Always, TICK * 3).is_empty());
    }

    #[test]
    fn the_sender_of_a_message_knows_best() {
        use crate::Repair::{Off, On, WhileLossy};
        for configured in [Off, WhileLossy, On] {
            assert_eq!(Wish::of(configured, Some(true)), Wish::Always);
            assert_eq!(Wish::of(configured, Some(false)), Wish::Never);
        }
        let wishes = [Off, WhileLossy, On].map(|configured| Wish::of(configured, None));
        assert_eq!(wishes, [Wish::Never, Wish::WhileLossy, Wish::Always]);
    }
}

#[cfg(test)]
mod weather_tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// After so many packets, a share of which is lost, in runs of `mean`.
    fn after(packets: u32, share: f64, mean: f64, seed: u64) -> Weather {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut weather, mut lost) = (Weather::new(), false);
        for packet in 0..packets {
            let chance = match (mean > 1.0, lost) {
                (false, _) => share,
                (true, true) => 1.0 - 1.0 / mean,
                (true, false) => share / (1.0 - share) / mean,
            };
            lost = random.random_bool(chance);
            weather.note(packet, if lost { First::Lost } else { First::Arrived });
        }
        weather
    }

    #[test]
    fn the_share_is_found() {
        for share in [0.01, 0.05, 0.2] {
            let mean =
                (0..20).map(|seed| after(1_000, share, 1.0, seed).loss()).sum::<f32>() / 20.0;
            assert!((mean - share as f32).abs() < 0.02, "{mean} for {share}");
        }
    }

    #[test]
    fn one_in_a_hundred_is_lossy_and_none_is_not() {
        let lossy = (0..100).filter(|seed| after(2_000, 0.01, 1.0, *seed).is_lossy());
        assert!(lossy.count() > 95);
        let mut weather = after(2_000, 0.05, 1.0, 1);
        (2_000..3_500).for_each(|packet| weather.note(packet, First::Arrived));
        assert!(!weather.is_lossy());
    }

    #[test]
    fn runs_are_told_from_chance() {
        for seed in 0..100 {
            for share in [0.01, 0.05, 0.2] {
                assert!(!after(2_000, share, 1.0, seed).has_runs(), "seed {seed}, {share}");
            }
        }
        let seen = (0..100).filter(|seed| after(2_000, 0.05, 3.0, *seed).has_runs());
        assert!(seen.count() > 90);
    }

    #[test]
    fn what_nobody_knows_counts_for_nothing() {
        let mut weather = Weather::new();
        (0..1_000).for_each(|packet| weather.note(packet, First::Unknown));
        assert_eq!((weather.loss(), weather.is_lossy()), (0.0, false));
    }
}
