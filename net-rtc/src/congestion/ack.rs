//! Sent chunks, acknowledgement summary and RTT estimator.

use std::time::{Duration, Instant};

/// Record of a sent chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentChunk {
    pub(crate) sent_at: Instant,
    /// Number of its packet, counted from the first.
    pub(crate) packet_number: u32,
    /// Bytes that it takes of its packet.
    pub(crate) bytes: u16,
    /// Length of its packet, in bytes.
    pub(crate) packet_len: u16,
    /// Whether it is the last of its packet, which stands for the packet's outcome.
    pub(crate) ends_packet: bool,
    /// Whether its packet was sent after a pause, and so did not queue behind the one before.
    pub(crate) is_after_idle: bool,
    /// Whether it asked for an immediate SACK (RFC 7053).
    pub(crate) wants_immediate_ack: bool,
    /// Whether it is the last of its message.
    pub(crate) ends_message: bool,
    /// Whether its message is abandoned (RFC 3758 §3.5), even if the chunk itself arrived.
    pub(crate) is_abandoned: bool,
    pub(crate) redundancy: Redundancy,
    pub(crate) state: ChunkState,
    /// Outcome of the packet that carried it first.
    pub(crate) first_transmission: FirstTransmission,
}

/// Whether a sent chunk has been copied into later packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Redundancy {
    /// No copies.
    Never,
    /// It may be copied into later packets.
    Eligible,
    /// It was copied: into which packet first, and for the last time how many milliseconds after it
    /// was sent.
    Copied { first_copy_packet: u32, last_copy_ms: u16 },
}

/// Acknowledgement state of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChunkState {
    InFlight,
    Acked,
    DeclaredLost,
}

/// Outcome of the packet that carried a chunk first. For a copied chunk it may stay unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstTransmission {
    Unknown,
    Arrived,
    Lost,
    /// The packet, or the SACK that would have reported it, was lost.
    PresumedLost,
}

/// Outcome of a SACK, or of a loss detection.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct AckSummary {
    /// Packets that arrived. Chunks of one packet share its outcome, so it counts once.
    pub(crate) packets_acked: u32,
    /// Packets that were lost, and when the last of them was sent.
    pub(crate) packets_lost: u32,
    pub(crate) last_lost_sent_at: Option<Instant>,
    /// Acknowledged bytes of packets.
    pub(crate) bytes_acked: usize,
    /// RTT of a packet that was acknowledged immediately.
    pub(crate) rtt_sample: Option<Duration>,
    /// Standard deviation of the losses as a multiple of that of independent ones, at least 1 if
    /// measured.
    pub(crate) burst_factor: f64,
}

impl AckSummary {
    /// Adds the packet that a chunk ends, if its outcome is known.
    pub(crate) fn add_chunk(&mut self, flight: &SentChunk) {
        match flight.first_transmission {
            FirstTransmission::Arrived if flight.ends_packet => self.packets_acked += 1,
            FirstTransmission::Lost if flight.ends_packet => self.add_loss(flight.sent_at),
            _ => {}
        }
    }

    pub(crate) fn add_loss(&mut self, left: Instant) {
        self.packets_lost += 1;
        self.last_lost_sent_at = self.last_lost_sent_at.max(Some(left));
    }
}

impl SentChunk {
    pub(crate) fn new(
        sent_at: Instant,
        packet_number: u32,
        bytes: usize,
        redundancy: Redundancy,
        ends_message: bool,
    ) -> SentChunk {
        SentChunk {
            sent_at,
            packet_number,
            bytes: u16::try_from(bytes).unwrap_or(u16::MAX),
            packet_len: 0,
            ends_packet: false,
            is_after_idle: false,
            wants_immediate_ack: false,
            ends_message,
            is_abandoned: false,
            redundancy,
            state: ChunkState::InFlight,
            first_transmission: FirstTransmission::Unknown,
        }
    }
}

/// RTT before any measurement.
const INITIAL_RTT: Duration = Duration::from_millis(200);

/// RTT estimator: smoothed round-trip times (RFC 6298 §2).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RttEstimator {
    srtt: Option<Duration>,
    path_srtt: Option<Duration>,
}

impl RttEstimator {
    /// Adds a measurement; `prompt` if the peer acknowledged the packet immediately.
    pub(crate) fn add_sample(&mut self, sample: Duration, prompt: bool) {
        update_srtt(&mut self.srtt, sample);
        if prompt {
            update_srtt(&mut self.path_srtt, sample);
        }
    }

    /// Returns the smoothed time until a SACK arrives. A peer may delay a SACK by up to 200 ms (RFC
    /// 9260 §6.2), so this is rather too long than too short. 200 ms before any measurement.
    pub(crate) fn smoothed(&self) -> Duration {
        self.srtt.unwrap_or(INITIAL_RTT)
    }

    /// Returns the smoothed RTT of the path, from immediate SACKs, if it was measured.
    pub(crate) fn path_rtt(&self) -> Option<Duration> {
        self.path_srtt
    }
}

fn update_srtt(smoothed: &mut Option<Duration>, sample: Duration) {
    *smoothed = Some(smoothed.map_or(sample, |smoothed| (smoothed * 7 + sample) / 8));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eighth_of_each_sample_counts() {
        let ms = Duration::from_millis;
        let mut rtt = RttEstimator::default();
        assert_eq!((rtt.smoothed(), rtt.path_rtt()), (INITIAL_RTT, None));
        rtt.add_sample(ms(80), true);
        assert_eq!((rtt.smoothed(), rtt.path_rtt()), (ms(80), Some(ms(80))));
        rtt.add_sample(ms(160), false);
        assert_eq!((rtt.smoothed(), rtt.path_rtt()), (ms(90), Some(ms(80))));
    }
}
