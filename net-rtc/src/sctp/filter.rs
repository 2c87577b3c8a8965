//! Packet filters between SCTP and DTLS.

use crate::sctp::packet::{
    Chunk, CommonHeader, DataChunk, PacketWriter, chunk_type, chunks, flag, ppid,
};

/// Result of filtering a packet between SCTP and DTLS.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Filtered {
    /// The packet is forwarded unchanged.
    Forward,
    /// This packet is forwarded instead.
    Rewrite(Vec<u8>),
    /// Nothing is forwarded.
    Drop,
}

impl Filtered {
    /// Returns the written packet, or `Drop` if it has no chunks.
    pub(super) fn from_writer(builder: PacketWriter) -> Filtered {
        if builder.is_empty() { Filtered::Drop } else { Filtered::Rewrite(builder.finish()) }
    }

    /// Rewrites a packet chunk by chunk.
    pub(super) fn rewrite_chunks(
        packet: &[u8],
        mut write: impl FnMut(&mut PacketWriter, &Chunk<'_>),
    ) -> Filtered {
        let Some(header) = CommonHeader::parse(packet) else { return Filtered::Forward };
        let mut builder = PacketWriter::new(header);
        chunks(packet).for_each(|chunk| write(&mut builder, &chunk));
        Filtered::from_writer(builder)
    }

    /// Applies another filter to what is forwarded of `packet`.
    pub(super) fn and_then(self, packet: &[u8], next: impl FnOnce(&[u8]) -> Filtered) -> Filtered {
        match self {
            Filtered::Forward => next(packet),
            Filtered::Rewrite(other) => match next(&other) {
                Filtered::Forward => Filtered::Rewrite(other),
                passage => passage,
            },
            Filtered::Drop => Filtered::Drop,
        }
    }

    /// Returns what is forwarded of `packet`.
    pub(crate) fn payload<'a>(&'a self, packet: &'a [u8]) -> Option<&'a [u8]> {
        match self {
            Filtered::Forward => Some(packet),
            Filtered::Rewrite(other) => Some(other),
            Filtered::Drop => None,
        }
    }
}

impl From<Option<Vec<u8>>> for Filtered {
    /// Converts a replacement packet, if there is one.
    fn from(other: Option<Vec<u8>>) -> Filtered {
        other.map_or(Filtered::Forward, Filtered::Rewrite)
    }
}

/// Encodes empty messages. str0m sends nothing for one, so `Peer` writes a byte of *text*, which it
/// never sends otherwise, and this filter turns it into the empty binary message of RFC 8831 §6.6.
pub(super) fn encode_empty_messages(packet: &[u8]) -> Filtered {
    let is_text = |data: &DataChunk<'_>| data.ppid == ppid::STRING;
    if !chunks(packet).any(|chunk| parse_data(&chunk).is_some_and(|data| is_text(&data))) {
        return Filtered::Forward;
    }
    Filtered::rewrite_chunks(packet, |builder, chunk| match parse_data(chunk) {
        Some(data) if is_text(&data) => {
            builder.write_data(&DataChunk { ppid: ppid::BINARY_EMPTY, ..data });
        }
        _ => builder.copy_chunk(chunk),
    })
}

/// Removes requests for an immediate SACK (RFC 7053).
pub(super) fn clear_immediate_flag(packet: &[u8]) -> Filtered {
    Filtered::rewrite_chunks(packet, |builder, chunk| {
        let wish = if chunk.chunk_type == chunk_type::DATA { flag::IMMEDIATE } else { 0 };
        builder.copy_chunk(&Chunk { flags: chunk.flags & !wish, ..*chunk });
    })
}

/// Removes HEARTBEAT-ACK chunks: answers to the initial HEARTBEAT, which sctp-proto did not send.
pub(super) fn strip_heartbeat_acks(packet: &[u8]) -> Filtered {
    let is_echo = |chunk: &Chunk<'_>| chunk.chunk_type == chunk_type::HEARTBEAT_ACK;
    if !chunks(packet).any(|chunk| is_echo(&chunk)) {
        return Filtered::Forward;
    }
    Filtered::rewrite_chunks(packet, |builder, chunk| {
        if !is_echo(chunk) {
            builder.copy_chunk(chunk);
        }
    })
}

fn parse_data<'a>(chunk: &Chunk<'a>) -> Option<DataChunk<'a>> {
    (chunk.chunk_type == chunk_type::DATA).then(|| DataChunk::parse(chunk)).flatten()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::sctp::packet::{CommonHeader, PacketWriter, Tsn};

    const HEADER: CommonHeader =
        CommonHeader { source_port: 1, destination_port: 2, verification_tag: 3 };

    /// An acknowledgement, and messages with TSNs from 0 on.
    pub(in crate::sctp) fn packet(protocols: &[u32]) -> Vec<u8> {
        let mut builder = PacketWriter::new(HEADER);
        builder.write_sack(Tsn(1), 2);
        for (index, protocol) in protocols.iter().enumerate() {
            let (tsn, payload) = (Tsn(index as u32), &b"x"[..]);
            let flags = flag::BEGIN | flag::END | flag::UNORDERED;
            builder.write_data(&DataChunk { flags, tsn, stream_id: 0, ppid: *protocol, payload });
        }
        builder.finish()
    }

    #[test]
    fn text_becomes_empty_and_the_rest_stays() {
        let expected = Filtered::Rewrite(packet(&[ppid::BINARY, ppid::BINARY_EMPTY]));
        assert_eq!(encode_empty_messages(&packet(&[ppid::BINARY, ppid::STRING])), expected);
        assert_eq!(encode_empty_messages(&packet(&[ppid::BINARY, 50])), Filtered::Forward);
        assert_eq!(encode_empty_messages(&[]), Filtered::Forward);
    }
}
