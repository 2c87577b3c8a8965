//! Packets in other words: with chunks changed or left out.

use super::Passage;
use super::packet::{Builder, Chunk, Data, Header, chunks, flag, kind, protocol};

/// str0m sends nothing for an empty message. So for one the peer writes a byte of *text*,
/// which we never send otherwise, and here that becomes the empty binary message of
/// RFC 8831 §6.6.
pub(super) fn text_to_empty(packet: &[u8]) -> Passage {
    let is_text = |data: &Data<'_>| data.protocol == protocol::STRING;
    if !chunks(packet).any(|chunk| data_of(&chunk).is_some_and(|data| is_text(&data))) {
        return Passage::Pass;
    }
    let Some(header) = Header::parse(packet) else { return Passage::Pass };
    let mut builder = Builder::new(header);
    for chunk in chunks(packet) {
        match data_of(&chunk) {
            Some(data) if is_text(&data) => {
                builder.data(&Data { protocol: protocol::BINARY_EMPTY, ..data });
            }
            _ => builder.chunk(chunk.kind, chunk.flags, &[chunk.value]),
        }
    }
    Passage::Replace(builder.finish())
}

/// The packet without the wish to be acknowledged at once (RFC 7053).
pub(super) fn unasked(packet: &[u8]) -> Passage {
    let Some(header) = Header::parse(packet) else { return Passage::Pass };
    let mut builder = Builder::new(header);
    for chunk in chunks(packet) {
        let wish = if chunk.kind == kind::DATA { flag::IMMEDIATE } else { 0 };
        builder.chunk(chunk.kind, chunk.flags & !wish, &[chunk.value]);
    }
    Passage::Replace(builder.finish())
}

/// The packet without answers to greetings, which the library does not know of.
pub(super) fn without_echoes(packet: &[u8]) -> Passage {
    let is_echo = |chunk: &Chunk<'_>| chunk.kind == kind::HEARTBEAT_ACK;
    let header = Header::parse(packet).filter(|_| chunks(packet).any(|chunk| is_echo(&chunk)));
    let Some(header) = header else { return Passage::Pass };
    let mut builder = Builder::new(header);
    for chunk in chunks(packet).filter(|chunk| !is_echo(chunk)) {
        builder.chunk(chunk.kind, chunk.flags, &[chunk.value]);
    }
    if builder.is_empty() { Passage::Swallow } else { Passage::Replace(builder.finish()) }
}

fn data_of<'a>(chunk: &Chunk<'a>) -> Option<Data<'a>> {
    (chunk.kind == kind::DATA).then(|| Data::parse(chunk)).flatten()
}

#[cfg(test)]
mod tests {
    use super::super::tsn::Tsn;
    use super::*;

    const HEADER: Header = Header { source: 1, destination: 2, tag: 3 };

    fn packet(protocols: &[u32]) -> Vec<u8> {
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
