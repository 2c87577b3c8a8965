//! Repair without retransmission: which chunks ride again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::draft::{Piece, Wish};
use super::tsn::Tsn;
use super::weather::Weather;

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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::draft::pieces;
    use super::super::flight::First;
    use super::super::path_mtu::BASE;
    use super::*;

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
