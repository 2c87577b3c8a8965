//! Packet under construction, and fragmentation of messages (RFC 9260 §6.9).

use bytes::Bytes;

use crate::Repair;
use crate::sctp::packet::{
    CommonHeader, DATA_HEADER_LEN, DataChunk, HEADER_LEN, PacketWriter, Tsn, flag, ppid,
};

/// Payload of one DATA chunk to send: a message, or a fragment of one.
#[derive(Clone, Debug)]
pub(super) struct Fragment {
    flags: u8,
    ppid: u32,
    payload: Bytes,
    pub(super) repair: RepairPolicy,
}

/// Condition for redundant copies of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RepairPolicy {
    Never,
    WhileLossy,
    Always,
}

impl RepairPolicy {
    /// Returns the policy of a message: its own setting precedes the configured one.
    pub(super) fn resolve(configured: Repair, said: Option<bool>) -> RepairPolicy {
        match (said, configured) {
            (Some(true), _) | (None, Repair::On) => RepairPolicy::Always,
            (Some(false), _) | (None, Repair::Off) => RepairPolicy::Never,
            (None, Repair::WhileLossy) => RepairPolicy::WhileLossy,
        }
    }
}

/// Splits a message into as few fragments as possible, each for a packet of `size` bytes at most.
pub(super) fn fragment_message(
    message: &Bytes,
    wish: RepairPolicy,
    size: usize,
) -> impl Iterator<Item = Fragment> {
    let most = size - HEADER_LEN - DATA_HEADER_LEN;
    let (protocol, bytes) = match message.is_empty() {
        true => (ppid::BINARY_EMPTY, Bytes::from_static(&[0])),
        false => (ppid::BINARY, message.clone()),
    };
    let last = bytes.len().div_ceil(most) - 1;
    (0..=last).map(move |index| {
        let begin = if index == 0 { flag::BEGIN } else { 0 };
        let end = if index == last { flag::END } else { 0 };
        let from = index * most;
        let payload = bytes.slice(from..bytes.len().min(from + most));
        Fragment { flags: flag::UNORDERED | begin | end, ppid: protocol, payload, repair: wish }
    })
}

impl Fragment {
    /// Returns the length of its chunk, in bytes.
    pub(super) fn encoded_len(&self) -> usize {
        (DATA_HEADER_LEN + self.payload.len()).next_multiple_of(4)
    }

    /// Returns whether it is the last of its message.
    pub(super) fn is_last_fragment(&self) -> bool {
        self.flags & flag::END != 0
    }

    /// Writes the chunk, with an additional flag or 0.
    pub(super) fn write(&self, tsn: Tsn, stream: u16, flag: u8, builder: &mut PacketWriter) {
        let Fragment { flags, ppid: protocol, payload, .. } = self;
        let (flags, protocol) = (flags | flag, *protocol);
        builder.write_data(&DataChunk { flags, tsn, stream_id: stream, ppid: protocol, payload });
    }
}

/// Packet under construction. Control chunks are written at once; new fragments wait, because
/// redundant copies come first: the TSNs of a packet ascend (RFC 9260 §6.10).
#[derive(Debug)]
pub(super) struct PacketBuilder {
    pub(super) writer: PacketWriter,
    fragments: Vec<(Tsn, Fragment)>,
    fragments_len: usize,
    /// Maximum length of the packet, in bytes.
    max_len: usize,
}

impl PacketBuilder {
    /// Creates a packet of at most `max_len` bytes.
    pub(super) fn new(header: CommonHeader, max_len: usize) -> PacketBuilder {
        PacketBuilder {
            writer: PacketWriter::new(header),
            fragments: Vec::new(),
            fragments_len: 0,
            max_len,
        }
    }

    pub(super) fn push(&mut self, tsn: Tsn, piece: Fragment) {
        self.fragments_len += piece.encoded_len();
        self.fragments.push((tsn, piece));
    }

    /// Returns the length of the packet, in bytes.
    pub(super) fn packet_len(&self) -> usize {
        self.writer.len() + self.fragments_len
    }

    pub(super) fn remaining(&self) -> usize {
        self.max_len.saturating_sub(self.packet_len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.writer.is_empty() && self.fragments.is_empty()
    }

    pub(super) fn has_data(&self) -> bool {
        !self.fragments.is_empty()
    }

    /// Writes the new fragments and returns them; with `asks`, the last one requests an immediate
    /// SACK (RFC 7053).
    pub(super) fn write_fragments(&mut self, stream: u16, asks: bool) -> Vec<(Tsn, Fragment)> {
        let fresh = std::mem::take(&mut self.fragments);
        self.fragments_len = 0;
        for (index, (tsn, piece)) in fresh.iter().enumerate() {
            let is_last = index + 1 == fresh.len();
            let flag = if asks && is_last { flag::IMMEDIATE } else { 0 };
            piece.write(*tsn, stream, flag, &mut self.writer);
        }
        fresh
    }
}
