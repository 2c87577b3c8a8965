//! Redundant copies of chunks in later packets (libwebrtc: RED), and the loss estimator.
//!
//! Copies replace retransmission; the estimated loss decides which chunks are copied, and when.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::congestion::ack::{FirstTransmission, Redundancy};
use crate::sctp::packet::Tsn;
use crate::sctp::packet_builder::{Fragment, RepairPolicy};

/// Maximum age of a copied chunk: six ticks at 60 Hz.
pub(super) const MAX_COPY_AGE: Duration = Duration::from_millis(105);
/// Maximum distance of a copy from its chunk's first packet, in packets.
pub(super) const MAX_COPY_DISTANCE: u32 = 8;
/// Loss share above which one copy is not enough.
const HEAVY_LOSS: f32 = 0.07;

/// Most memory of the buffer, in bytes: the content of the packets within that distance, in small
/// chunks.
pub(super) const MAX_MEMORY: usize = MAX_COPY_DISTANCE as usize * 4 * 1024;

/// Distances of copies, in packets. The next packet suffices against random loss; against bursts
/// the copy must be outside of the burst.
const NEXT_PACKET: &[u32] = &[1];
const NEXT_TWO_PACKETS: &[u32] = &[1, 2];
const BEYOND_BURSTS: &[u32] = &[4, 6];

/// Buffer of chunks that may be copied, oldest first.
#[derive(Debug, Default)]
pub(super) struct RedundancyBuffer {
    entries: VecDeque<RedundancyEntry>,
}

/// One sent chunk that may be copied into later packets.
#[derive(Debug)]
struct RedundancyEntry {
    packet_number: u32,
    sent_at: Instant,
    tsn: Tsn,
    fragment: Fragment,
}

impl RedundancyBuffer {
    /// Adds a chunk of the packet that is sent now, and drops expired ones.
    pub(super) fn push(&mut self, now: Instant, packet: u32, tsn: Tsn, piece: Fragment) {
        self.drop_expired(now, packet);
        self.entries.push_back(RedundancyEntry {
            packet_number: packet,
            sent_at: now,
            tsn,
            fragment: piece,
        });
    }

    /// Returns the chunks to copy into this packet, sorted by TSN.
    pub(super) fn due(
        &mut self,
        now: Instant,
        packet: u32,
        weather: LossEstimator,
    ) -> impl Iterator<Item = (Tsn, &Fragment)> {
        self.drop_expired(now, packet);
        let (lossy, distances) = (weather.is_lossy(), copy_distances(weather));
        let rides = move |kept: &&RedundancyEntry| {
            distances.contains(&packet.wrapping_sub(kept.packet_number))
                && (lossy || kept.fragment.repair == RepairPolicy::Always)
        };
        self.entries.iter().filter(rides).map(|kept| (kept.tsn, &kept.fragment))
    }

    /// Drops chunks that are too old, and releases the memory of an empty buffer.
    pub(super) fn trim(&mut self, now: Instant) {
        while self.entries.front().is_some_and(|kept| now > kept.sent_at + MAX_COPY_AGE) {
            self.entries.pop_front();
        }
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
    }

    fn drop_expired(&mut self, now: Instant, packet: u32) {
        let is_old = |kept: &RedundancyEntry| {
            packet.wrapping_sub(kept.packet_number) > MAX_COPY_DISTANCE
                || now > kept.sent_at + MAX_COPY_AGE
        };
        while self.entries.front().is_some_and(is_old) {
            self.entries.pop_front();
        }
    }
}

fn copy_distances(weather: LossEstimator) -> &'static [u32] {
    match () {
        () if weather.is_bursty() => BEYOND_BURSTS,
        () if weather.loss_rate() > HEAVY_LOSS => NEXT_TWO_PACKETS,
        () => NEXT_PACKET,
    }
}

/// Weight of a packet in the loss average. At 60 packets per second it covers about 4 s.
const LOSS_GAIN: f32 = 1.0 / 256.0;
/// Weight of a loss in the average over losses; with fewer losses all count the same. Bursts are
/// unknown below the minimum.
const BURST_GAIN: f32 = 1.0 / 24.0;
const MIN_BURST_SAMPLES: u32 = 8;
/// Loss shares above which a path becomes lossy, and below which it ceases to be.
const LOSSY_ENTER: f32 = 0.005;
const LOSSY_EXIT: f32 = 0.001;
/// Losses are bursty if the packet after a lost one is lost with at least this share, ...
const BURSTY_SHARE: f32 = 0.4;
/// ... and at least this multiple of the average.
const BURSTY_FACTOR: f32 = 2.0;

/// Loss estimator: moving averages over sent packets, in their order.
#[derive(Clone, Copy, Debug)]
pub(super) struct LossEstimator {
    loss_rate: f32,
    /// Loss share of packets after a lost one.
    loss_after_loss: f32,
    /// Number of losses in it.
    burst_samples: u32,
    /// The last recorded packet, and whether it was lost.
    last_packet: Option<(u32, bool)>,
    lossy: bool,
}

impl LossEstimator {
    pub(super) fn new() -> LossEstimator {
        LossEstimator {
            loss_rate: 0.0,
            loss_after_loss: 0.0,
            burst_samples: 0,
            last_packet: None,
            lossy: false,
        }
    }

    /// Records the outcome of a packet. Chunks of one packet share its outcome, so it counts once.
    pub(super) fn on_packet(&mut self, packet: u32, first: FirstTransmission) {
        let lost = match first {
            FirstTransmission::Unknown => return,
            FirstTransmission::Arrived => false,
            FirstTransmission::Lost | FirstTransmission::PresumedLost => true,
        };
        if self.last_packet.is_some_and(|(last, _)| last == packet) {
            return;
        }
        let share = f32::from(u8::from(lost));
        self.loss_rate += (share - self.loss_rate) * LOSS_GAIN;
        if let Some((last, true)) = self.last_packet
            && last.wrapping_add(1) == packet
        {
            self.burst_samples = self.burst_samples.saturating_add(1);
            self.loss_after_loss +=
                (share - self.loss_after_loss) * BURST_GAIN.max(1.0 / self.burst_samples as f32);
        }
        self.last_packet = Some((packet, lost));
        self.lossy = self.loss_rate > if self.lossy { LOSSY_EXIT } else { LOSSY_ENTER };
    }

    /// Records a loss that was found after later packets.
    pub(super) fn on_late_loss(&mut self) {
        self.loss_rate += (1.0 - self.loss_rate) * LOSS_GAIN;
        self.lossy |= self.loss_rate > LOSSY_ENTER;
    }

    /// Returns the share of lost packets, from 0 to 1.
    pub(super) fn loss_rate(&self) -> f32 {
        self.loss_rate
    }

    /// Returns whether the path is lossy.
    pub(super) fn is_lossy(&self) -> bool {
        self.lossy
    }

    /// Returns the standard deviation of losses as a multiple of that of independent losses, at
    /// least 1.
    pub(super) fn burst_factor(&self) -> f64 {
        let again = f64::from(self.loss_after_loss.max(self.loss_rate).min(0.9));
        ((1.0 + again) / (1.0 - again)).sqrt()
    }

    /// Returns whether consecutive losses are more frequent than by chance.
    pub(super) fn is_bursty(&self) -> bool {
        self.burst_samples >= MIN_BURST_SAMPLES
            && self.loss_after_loss > BURSTY_SHARE.max(BURSTY_FACTOR * self.loss_rate).min(0.9)
    }
}

/// Copies without a duplicate TSN report after which the peer is assumed to report none.
const MAX_UNREPORTED_DUPS: u32 = 64;

/// Whether the peer reports duplicate TSNs, as it should (RFC 9260 §6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DupReporting {
    /// Number of copies that it could have reported and did not.
    Unconfirmed(u32),
    Confirmed,
}

impl DupReporting {
    /// Returns the outcome of a chunk's first packet from a SACK whose newest chunk was sent in
    /// packet `newest`.
    pub(super) fn classify(
        &mut self,
        care: Redundancy,
        newest: Option<u32>,
        came_twice: impl Fn() -> bool,
    ) -> FirstTransmission {
        let (Redundancy::Copied { first_copy_packet: copy, .. }, Some(newest)) = (care, newest)
        else {
            return FirstTransmission::Arrived;
        };
        match newest.wrapping_sub(copy) as i32 {
            // The copy had not arrived yet.
            ..0 => FirstTransmission::Arrived,
            0 if came_twice() => FirstTransmission::Arrived,
            0 => self.on_unreported(),
            // The SACK that would have reported it is lost.
            1.. => FirstTransmission::Unknown,
        }
    }

    fn on_unreported(&mut self) -> FirstTransmission {
        match self {
            DupReporting::Confirmed => FirstTransmission::Lost,
            DupReporting::Unconfirmed(MAX_UNREPORTED_DUPS..) => FirstTransmission::PresumedLost,
            DupReporting::Unconfirmed(count) => {
                *count += 1;
                FirstTransmission::Unknown
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::congestion::ack::FirstTransmission;
    use crate::sctp::packet_builder::fragment_message;
    use crate::sctp::path_mtu::BASE_PLPMTU;

    const TICK: Duration = Duration::from_micros(16_667);

    /// The distances (before the tenth packet) of the chunks that the tenth packet copies.
    fn riding(weather: LossEstimator, wish: RepairPolicy, tick: Duration) -> Vec<u32> {
        let now = Instant::now();
        let mut copies = RedundancyBuffer::default();
        for packet in 0..10 {
            let _ = copies.due(now + tick * packet, packet, weather).count();
            let piece = fragment_message(&Bytes::from_static(b"x"), wish, BASE_PLPMTU)
                .next()
                .expect("one piece");
            copies.push(now + tick * packet, packet, Tsn(packet), piece);
        }
        assert!(copies.entries.len() <= 9, "what is too old is forgotten");
        copies.due(now + tick * 10, 10, weather).map(|(tsn, _)| 10 - tsn.0).collect()
    }

    /// The estimate after packets of which these were lost.
    fn loss_estimator(packets: u32, is_lost: impl Fn(u32) -> bool) -> LossEstimator {
        let mut weather = LossEstimator::new();
        for packet in 0..packets {
            weather.on_packet(
                packet,
                if is_lost(packet) { FirstTransmission::Lost } else { FirstTransmission::Arrived },
            );
        }
        weather
    }

    #[test]
    fn in_fair_weather_only_what_always_shall_rides_again() {
        let fair = LossEstimator::new();
        assert_eq!(riding(fair, RepairPolicy::Always, TICK), [1]);
        assert!(riding(fair, RepairPolicy::WhileLossy, TICK).is_empty());
    }

    #[test]
    fn the_loss_decides_which() {
        for wish in [RepairPolicy::Always, RepairPolicy::WhileLossy] {
            assert_eq!(riding(loss_estimator(2_000, |packet| packet % 20 == 0), wish, TICK), [1]);
            assert_eq!(riding(loss_estimator(2_000, |packet| packet % 8 == 0), wish, TICK), [2, 1]);
            assert_eq!(riding(loss_estimator(2_000, |packet| packet % 60 < 3), wish, TICK), [6, 4]);
        }
    }

    /// While messages wait nobody asks what rides again, for as long as that may be.
    #[test]
    fn without_anyone_asking_little_is_kept() {
        let (now, mut copies) = (Instant::now(), RedundancyBuffer::default());
        for packet in 0..10_000 {
            let piece =
                fragment_message(&Bytes::from_static(b"x"), RepairPolicy::Always, BASE_PLPMTU)
                    .next()
                    .expect("one piece");
            copies.push(now, packet, Tsn(packet), piece);
        }
        assert!(
            copies.entries.len() <= 1 + MAX_COPY_DISTANCE as usize,
            "{} kept",
            copies.entries.len()
        );
    }

    #[test]
    fn what_is_too_old_does_not_ride() {
        let runs = loss_estimator(2_000, |packet| packet % 60 < 3);
        assert_eq!(riding(runs, RepairPolicy::Always, TICK * 3 / 2), [4]);
        assert!(riding(runs, RepairPolicy::Always, TICK * 3).is_empty());
    }

    #[test]
    fn the_sender_of_a_message_knows_best() {
        use crate::Repair::{Off, On, WhileLossy};
        for configured in [Off, WhileLossy, On] {
            assert_eq!(RepairPolicy::resolve(configured, Some(true)), RepairPolicy::Always);
            assert_eq!(RepairPolicy::resolve(configured, Some(false)), RepairPolicy::Never);
        }
        let wishes =
            [Off, WhileLossy, On].map(|configured| RepairPolicy::resolve(configured, None));
        assert_eq!(wishes, [RepairPolicy::Never, RepairPolicy::WhileLossy, RepairPolicy::Always]);
    }
}

#[cfg(test)]
mod loss_estimator_tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// After so many packets, a share of which is lost, in runs of `mean`.
    fn after(packets: u32, share: f64, mean: f64, seed: u64) -> LossEstimator {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut weather, mut lost) = (LossEstimator::new(), false);
        for packet in 0..packets {
            let chance = match (mean > 1.0, lost) {
                (false, _) => share,
                (true, true) => 1.0 - 1.0 / mean,
                (true, false) => share / (1.0 - share) / mean,
            };
            lost = random.random_bool(chance);
            weather.on_packet(
                packet,
                if lost { FirstTransmission::Lost } else { FirstTransmission::Arrived },
            );
        }
        weather
    }

    #[test]
    fn the_share_is_found() {
        for share in [0.01, 0.05, 0.2] {
            let mean =
                (0..20).map(|seed| after(1_000, share, 1.0, seed).loss_rate()).sum::<f32>() / 20.0;
            assert!((mean - share as f32).abs() < 0.02, "{mean} for {share}");
        }
    }

    #[test]
    fn one_in_a_hundred_is_lossy_and_none_is_not() {
        let lossy = (0..100).filter(|seed| after(2_000, 0.01, 1.0, *seed).is_lossy());
        assert!(lossy.count() > 95);
        let mut weather = after(2_000, 0.05, 1.0, 1);
        (2_000..3_500).for_each(|packet| weather.on_packet(packet, FirstTransmission::Arrived));
        assert!(!weather.is_lossy());
    }

    #[test]
    fn runs_are_told_from_chance() {
        for seed in 0..100 {
            for share in [0.01, 0.05, 0.2] {
                assert!(!after(2_000, share, 1.0, seed).is_bursty(), "seed {seed}, {share}");
            }
        }
        let seen = (0..100).filter(|seed| after(2_000, 0.05, 3.0, *seed).is_bursty());
        assert!(seen.count() > 90);
    }

    #[test]
    fn what_nobody_knows_counts_for_nothing() {
        let mut weather = LossEstimator::new();
        (0..1_000).for_each(|packet| weather.on_packet(packet, FirstTransmission::Unknown));
        assert_eq!((weather.loss_rate(), weather.is_lossy()), (0.0, false));
    }
}
