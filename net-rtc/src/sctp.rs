//! SCTP packets (RFC 9260 §3) as bytes.

/// Source port, destination port, verification tag, checksum.
const HEADER: usize = 12;
const CHECKSUM: std::ops::Range<usize> = 8..12;

/// Type, flags, length, then for DATA: TSN, stream, sequence number and the payload protocol.
const CHUNK_HEADER: usize = 4;
const DATA: u8 = 0;
const PAYLOAD_PROTOCOL: usize = 12;

/// Payload protocol identifiers of WebRTC (RFC 8831 §8).
const STRING: u32 = 51;
const BINARY_EMPTY: u32 = 57;

/// The packet with each DATA chunk of text turned into the empty binary message, or `None` if
/// it has no text.
pub(crate) fn text_to_empty(packet: &[u8]) -> Option<Vec<u8>> {
    let texts: Vec<usize> = chunks(packet).filter(|at| is_text(&packet[*at..])).collect();
    if texts.is_empty() {
        return None;
    }
    let mut changed = packet.to_vec();
    for at in texts {
        let field = at + PAYLOAD_PROTOCOL;
        changed[field..field + 4].copy_from_slice(&BINARY_EMPTY.to_be_bytes());
    }
    seal(&mut changed);
    Some(changed)
}

/// Where each whole chunk of a packet begins.
fn chunks(packet: &[u8]) -> impl Iterator<Item = usize> + '_ {
    let mut at = HEADER;
    std::iter::from_fn(move || {
        let length = packet.get(at + 2..at + CHUNK_HEADER)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        let begin = at;
        packet.get(begin..begin + length.max(CHUNK_HEADER))?;
        at += length.max(CHUNK_HEADER).next_multiple_of(4);
        Some(begin)
    })
}

fn is_text(chunk: &[u8]) -> bool {
    chunk[0] == DATA
        && chunk.get(PAYLOAD_PROTOCOL..PAYLOAD_PROTOCOL + 4) == Some(&STRING.to_be_bytes())
}

/// Writes the CRC32c of RFC 9260 §6.8.
fn seal(packet: &mut [u8]) {
    packet[CHECKSUM].fill(0);
    let checksum = crc32c::crc32c(packet);
    packet[CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data_chunk(protocol: u32, payload: &[u8]) -> Vec<u8> {
        let mut chunk = vec![DATA, 7];
        chunk.extend((16 + payload.len() as u16).to_be_bytes());
        chunk.extend([0; 8]);
        chunk.extend(protocol.to_be_bytes());
        chunk.extend(payload);
        chunk.resize(chunk.len().next_multiple_of(4), 0);
        chunk
    }

    fn packet(chunks: &[Vec<u8>]) -> Vec<u8> {
        let mut packet = vec![0; HEADER];
        chunks.iter().for_each(|chunk| packet.extend(chunk));
        seal(&mut packet);
        packet
    }

    #[test]
    fn text_becomes_empty_and_the_rest_stays() {
        let sack = vec![3, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        let with = |p| packet(&[sack.clone(), data_chunk(53, b"binary"), data_chunk(p, &[0])]);
        assert_eq!(text_to_empty(&with(STRING)), Some(with(BINARY_EMPTY)));
    }

    #[test]
    fn packets_without_text_stay() {
        assert_eq!(
            text_to_empty(&packet(&[data_chunk(53, b"binary"), data_chunk(50, b"dcep")])),
            None
        );
    }

    #[test]
    fn the_checksum_is_that_of_the_rfc() {
        let mut packet = vec![0; HEADER];
        packet.extend(*b"123456789");
        seal(&mut packet);
        assert_eq!(
            packet[CHECKSUM],
            crc32c::crc32c(&[&[0; HEADER], &b"123456789"[..]].concat()).to_le_bytes()
        );
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn hostile_lengths_end_the_walk() {
        for cut in 0..40 {
            let whole = packet(&[data_chunk(STRING, b"0123"), data_chunk(STRING, b"4567")]);
            let _ = text_to_empty(&whole[..cut.min(whole.len())]);
        }
        let zero_length = [&[0; HEADER][..], &[0, 0, 0, 0], &[0, 0, 0xff, 0xff]].concat();
        assert_eq!(chunks(&zero_length).collect::<Vec<_>>(), [12]);
        assert_eq!(text_to_empty(&[]), None);
    }
}
