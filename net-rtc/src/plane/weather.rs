//! What losses look like lately.

use super::flight::First;

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
