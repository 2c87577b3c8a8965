//! One chunk on its way, and what is told of many.

use std::time::{Duration, Instant};

/// A chunk that was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentChunk {
    pub(crate) sent_at: Instant,
    /// The packet that it left in, counted from the first.
    pub(crate) packet_number: u32,
    /// What it takes of its packet.
    pub(crate) bytes: u16,
    /// Its packet, in bytes.
    pub(crate) packet_len: u16,
    /// Whether it is the last of its packet, and so speaks for it.
    pub(crate) ends_packet: bool,
    /// Whether its packet left after a pause, and so met no queue of the one before.
    pub(crate) is_after_idle: bool,
    /// Whether the peer was asked to acknowledge it at once.
    pub(crate) wants_immediate_ack: bool,
    /// Whether it is the last of its message.
    pub(crate) ends_message: bool,
    /// Whether its message is abandoned (RFC 3758 §3.5), whatever became of the chunk itself.
    pub(crate) is_abandoned: bool,
    pub(crate) redundancy: Redundancy,
    pub(crate) state: ChunkState,
    /// What is known of the packet in which it left first.
    pub(crate) first_transmission: FirstTransmission,
}

/// What else is done for a chunk besides sending it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Redundancy {
    /// Nothing.
    Never,
    /// It may ride again.
    Eligible,
    /// It rode again, for the first time in this packet, and for the last time so many
    /// milliseconds after it left.
    Copied { first_copy_packet: u32, last_copy_ms: u16 },
}

/// Whether the peer has a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChunkState {
    InFlight,
    Acked,
    DeclaredLost,
}

/// Whether the packet arrived in which a chunk left first. Of a chunk that rode again nobody
/// may ever know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstTransmission {
    Unknown,
    Arrived,
    Lost,
    /// It was lost, or the SACK that would have told of it.
    PresumedLost,
}

/// What a SACK told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct AckSummary {
    /// Packets that arrived. Chunks of one packet share its fate, so it counts once.
    pub(crate) packets_acked: u32,
    /// Packets that did not, and when the last of them left.
    pub(crate) packets_lost: u32,
    pub(crate) last_lost_sent_at: Option<Instant>,
    /// What arrived, in bytes of packets.
    pub(crate) bytes_acked: usize,
    /// The round trip of a packet that was acknowledged at once.
    pub(crate) rtt_sample: Option<Duration>,
    /// How many times as far as independent losses these stray from the average.
    pub(crate) burst_factor: f64,
}

impl AckSummary {
    /// Takes what is known of a chunk now.
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

/// What is assumed before anything was measured.
const INITIAL_RTT: Duration = Duration::from_millis(200);

/// Smoothed round-trip times (RFC 6298 §2).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RttEstimator {
    srtt: Option<Duration>,
    path_srtt: Option<Duration>,
}

impl RttEstimator {
    /// Takes a round trip; a `prompt` one is of a packet that the peer acknowledged at once.
    pub(crate) fn add_sample(&mut self, sample: Duration, prompt: bool) {
        update_srtt(&mut self.srtt, sample);
        if prompt {
            update_srtt(&mut self.path_srtt, sample);
        }
    }

    /// Until a SACK comes. A peer may hold it back for up to 200 ms (RFC 9260 §6.2), so this is
    /// rather too long than too short.
    pub(crate) fn smoothed(&self) -> Duration {
        self.srtt.unwrap_or(INITIAL_RTT)
    }

    /// What the path takes, if that was measured.
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
