//! Test hooks: protocol violations and losses inside DTLS.

use std::collections::VecDeque;

use crate::sctp::packet::{PacketWriter, Tsn, chunks};
use crate::sctp::{DataPath, DataPathState, Filtered};

/// Test hooks of a [`DataPath`].
#[derive(Debug, Default)]
pub(crate) struct DataPathHooks {
    /// Drops the peer's next packet that ends with a chunk of this type.
    pub(crate) drop_next_inbound: Option<u8>,
    /// Types of chunks that this side never sends.
    pub(crate) suppressed_chunk_types: Vec<u8>,
    /// Whether this side tolerates protocol violations.
    pub(crate) ignore_violations: bool,
    injected_packets: VecDeque<Vec<u8>>,
}

impl DataPathHooks {
    pub(super) fn should_drop(&mut self, packet: &[u8]) -> bool {
        let last = chunks(packet).last().map(|chunk| chunk.chunk_type);
        self.drop_next_inbound.is_some()
            && self.drop_next_inbound.take_if(|lose| Some(*lose) == last).is_some()
    }

    pub(super) fn poll_packet(&mut self) -> Option<Vec<u8>> {
        self.injected_packets.pop_front()
    }

    /// Filters an own packet without the suppressed chunks.
    pub(super) fn suppress_chunks(&self, packet: &[u8]) -> Filtered {
        if !chunks(packet).any(|chunk| self.suppressed_chunk_types.contains(&chunk.chunk_type)) {
            return Filtered::Forward;
        }
        Filtered::rewrite_chunks(packet, |builder, chunk| {
            if !self.suppressed_chunk_types.contains(&chunk.chunk_type) {
                builder.copy_chunk(chunk);
            }
        })
    }
}

impl DataPath {
    /// Sends a packet of arbitrary chunks; false before SCTP has sent anything.
    pub(crate) fn inject_packet(&mut self, write: impl FnOnce(&mut PacketWriter)) -> bool {
        let Some(header) = self.handshake.send_header() else { return false };
        let mut builder = PacketWriter::new(header);
        write(&mut builder);
        self.hooks.injected_packets.push_back(builder.finish());
        true
    }

    /// Returns the next own TSN, and the peer's highest received TSN.
    pub(crate) fn tsns(&self) -> Option<(Tsn, Tsn)> {
        match &self.state {
            DataPathState::Active(engaged) => Some(engaged.tsns()),
            DataPathState::Handshake(..) | DataPathState::PlainSctp(_) => None,
        }
    }
}
