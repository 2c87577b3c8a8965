//! Packets in other words: with chunks changed or left out.

use super::Passage;
use super::packet::{Chunk, Data, chunks, flag, kind, protocol};

/// str0m sends nothing for an empty message. So for one the peer writes a byte of *text*,
/// which we never send otherwise, and here that becomes the empty binary message of
/// RFC 8831 §6.6.
pub(super) fn text_to_empty(packet: &[u8]) -> Passage {
    let is_text = |data: &Data<'_>| data.protocol == protocol::STRING;
    if !chunks(packet).any(|chunk| data_of(&chunk).is_some_and(|data| is_text(&data))) {
        return Passage::Pass;
    }
    Passage::rewrite(packet, |builder, chunk| match data_of(chunk) {
        Some(data) if is_text(&data) => {
            builder.data(&Data { protocol: protocol::BINARY_EMPTY, ..data });
        }
        _ => builder.copy(chunk),
    })
}

/// The packet without the wish to be acknowledged at once (RFC 7053).
pub(super) fn unasked(packet: &[u8]) -> Passage {
    Passage::rewrite(packet, |builder, chunk| {
        let wish = if chunk.kind == kind::DATA { flag::IMMEDIATE } else { 0 };
        builder.copy(&Chunk { flags: chunk.flags & !wish, ..*chunk });
    })
}

/// The packet without answers to greetings, which the library does not know of.
pub(super) fn without_echoes(packet: &[u8]) -> Passage {
    let is_echo = |chunk: &Chunk<'_>| chunk.kind == kind::HEARTBEAT_ACK;
    if !chunks(packet).any(|chunk| is_echo(&chunk)) {
        return Passage::Pass;
    }
    Passage::rewrite(packet, |builder, chunk| {
        if !is_echo(chunk) {
            builder.copy(chunk);
        }
    })
}

fn data_of<'a>(chunk: &Chunk<'a>) -> Option<Data<'a>> {
    (chunk.kind == kind::DATA).then(|| Data::parse(chunk)).flatten()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::packet::{Builder, Header};
    use super::super::tsn::Tsn;
    use super::*;

    const HEADER: Header = Header { source: 1, destination: 2, tag: 3 };

    /// An acknowledgement, and messages with TSNs from 0 on.
    pub(in crate::plane) fn packet(protocols: &[u32]) -> Vec<u8> {
        let mut builder = Builder::new(HEADER);
        builder.sack(Tsn(1), 2);
        for (index, protocol) in protocols.iter().enumerate() {
            let (tsn, payload) = (Tsn(index as u32), &b"x"[..]);
            let flags = flag::BEGIN | flag::END | flag::UNORDERED;
            builder.data(&Data { flags, tsn, stream: 0, protocol: *protocol, payload });
        }
        builder.finish()
    }

    #[test]
    fn text_becomes_empty_and_the_rest_stays() {
        let expected = Passage::Replace(packet(&[protocol::BINARY, protocol::BINARY_EMPTY]));
        assert_eq!(text_to_empty(&packet(&[protocol::BINARY, protocol::STRING])), expected);
        assert_eq!(text_to_empty(&packet(&[protocol::BINARY, 50])), Passage::Pass);
        assert_eq!(text_to_empty(&[]), Passage::Pass);
    }
}
