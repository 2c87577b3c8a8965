//! Repair without retransmission: which chunks ride again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::draft::{Piece, Wish};
use super::tsn::Tsn;
use super::weather::Weather;

/// A chunk rides again only while it is younger than this.
pub(super) const KEPT: Duration = Duration::from_millis(100);
/// Packets whose chunks are kept.
const PACKETS: u32 = 8;
/// Above this share of lost packets one copy is not enough.
const HEAVY: f32 = 0.07;

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
    /// Keeps a chunk that leaves now in this packet.
    pub(super) fn keep(&mut self, now: Instant, packet: u32, tsn: Tsn, piece: Piece) {
        self.kept.push_back(Kept { packet, left: now, tsn, piece });
    }

    /// The chunks that should ride again in this packet, in the order of their TSNs.
    pub(super) fn of(
        &mut self,
        now: Instant,
        packet: u32,
        weather: Weather,
    ) -> impl Iterator<Item = (Tsn, &Piece)> {
        let is_old =
            |kept: &Kept| packet.wrapping_sub(kept.packet) > PACKETS || now > kept.left + KEPT;
        while self.kept.front().is_some_and(is_old) {
            self.kept.pop_front();
        }
        let (lossy, distances) = (weather.is_lossy(), distances(weather));
        let rides = move |kept: &&Kept| {
            distances.contains(&packet.wrapping_sub(kept.packet))
                && (lossy || kept.piece.wish == Wish::Always)
        };
        self.kept.iter().filter(rides).map(|kept| (kept.tsn, &kept.piece))
    }
}

fn distances(weather: Weather) -> &'static [u32] {
    match () {
        () if weather.has_runs() => BEYOND_RUNS,
        () if weather.loss() > HEAVY => NEXT_TWO,
        () => NEXT,
    }
}
