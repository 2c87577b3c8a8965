//! What becomes of a packet between SCTP and DTLS.

use crate::sctp::packet::{Builder, Chunk, Data, Header, chunks, flag, kind, protocol};

/// What becomes of a packet on its way between SCTP and DTLS.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// It goes on as it is.
    Pass,
    /// This goes on instead.
    Replace(Vec<u8>),
    /// Nothing goes on.
    Swallow,
}

impl Passage {
    /// What was written goes on, and an empty packet does not.
    pub(super) fn of(builder: Builder) -> Passage {
        if builder.is_empty() { Passage::Swallow } else { Passage::Replace(builder.finish()) }
    }

    /// A packet goes on with each of its chunks written anew.
    pub(super) fn rewrite(
        packet: &[u8],
        mut write: impl FnMut(&mut Builder, &Chunk<'_>),
    ) -> Passage {
        let Some(header) = Header::parse(packet) else { return Passage::Pass };
        let mut builder = Builder::new(header);
        chunks(packet).for_each(|chunk| write(&mut builder, &chunk));
        Passage::of(builder)
    }

    /// What goes on of this packet has another place to pass.
    pub(super) fn then(self, packet: &[u8], next: impl FnOnce(&[u8]) -> Passage) -> Passage {
        match self {
            Passage::Pass => next(packet),
            Passage::Replace(other) => match next(&other) {
                Passage::Pass => Passage::Replace(other),
                passage => passage,
            },
            Passage::Swallow => Passage::Swallow,
        }
    }

    /// What goes on of this packet.
    pub(crate) fn rest<'a>(&'a self, packet: &'a [u8]) -> Option<&'a [u8]> {
        match self {
            Passage::Pass => Some(packet),
            Passage::Replace(other) => Some(other),
            Passage::Swallow => None,
        }
    }
}

impl From<Option<Vec<u8>>> for Passage {
    /// What goes on in place of a packet, if something else does.
    fn from(other: Option<Vec<u8>>) -> Passage {
        other.map_or(Passage::Pass, Passage::Replace)
    }
}

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
    use super::*;
    use crate::sctp::packet::{Builder, Header, Tsn};

    const HEADER: Header = Header { source: 1, destination: 2, tag: 3 };

    /// An acknowledgement, and messages with TSNs from 0 on.
    pub(in crate::sctp) fn packet(protocols: &[u32]) -> Vec<u8> {
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
