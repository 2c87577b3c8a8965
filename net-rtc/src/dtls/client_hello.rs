//! Reassembly of a fragmented ClientHello (RFC 6347 §4.2.3).
//!
//! A client whose ClientHello is too long for its path fragments it anew when it gets no response,
//! and the new fragments overlap the old ones. The DTLS 1.2 server in dimpl accepts only adjacent
//! fragments, so it gets the reassembled message.

use std::ops::Range;

/// Lengths of the headers of a record and of a handshake message.
const RECORD_HEADER_LEN: usize = 13;
const HANDSHAKE_HEADER_LEN: usize = 12;
const RECORD_LENGTH_FIELD: Range<usize> = 11..13;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// Maximum size of a reassembled ClientHello, in bytes. With a post-quantum key share it has 1,500.
const MAX_CLIENT_HELLO_SIZE: usize = 4_096;

/// Result of a datagram.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reassembled {
    /// No fragment of a ClientHello, or an unfragmented one.
    NotFragment,
    /// A fragment, and others are missing.
    Incomplete,
    /// The last fragment, with the whole message as one record.
    Complete(Vec<u8>),
}

/// Fragments received of one ClientHello.
#[derive(Debug, Default)]
pub(crate) struct ClientHelloReassembly {
    /// Its sequence number in the handshake.
    message_seq: [u8; 2],
    body: Vec<u8>,
    /// Whether each byte of the body has arrived.
    received: Vec<bool>,
}

/// One record with one fragment.
#[derive(Clone, Copy)]
struct HelloFragment<'a> {
    record: &'a [u8],
    message_seq: [u8; 2],
    message_len: usize,
    fragment_offset: usize,
    fragment: &'a [u8],
}

impl ClientHelloReassembly {
    pub(crate) fn push(&mut self, datagram: &[u8]) -> Reassembled {
        let Some(pieces) = parse_fragments(datagram) else { return Reassembled::NotFragment };
        if pieces.iter().all(|piece| piece.fragment.len() == piece.message_len) {
            return Reassembled::NotFragment;
        }
        for piece in &pieces {
            self.insert(piece);
        }
        if self.received.contains(&false) {
            return Reassembled::Incomplete;
        }
        let whole = self.to_record(pieces[pieces.len() - 1].record);
        *self = ClientHelloReassembly::default();
        Reassembled::Complete(whole)
    }

    fn insert(&mut self, piece: &HelloFragment<'_>) {
        if self.message_seq != piece.message_seq || self.body.len() != piece.message_len {
            let (body, here) = (vec![0; piece.message_len], vec![false; piece.message_len]);
            *self = ClientHelloReassembly { message_seq: piece.message_seq, body, received: here };
        }
        let place = piece.fragment_offset..piece.fragment_offset + piece.fragment.len();
        self.body[place.clone()].copy_from_slice(piece.fragment);
        self.received[place].fill(true);
    }

    /// Returns the record of the last fragment, with the whole message in place of the fragment.
    fn to_record(&self, record: &[u8]) -> Vec<u8> {
        let [_, high, middle, low] = (self.body.len() as u32).to_be_bytes();
        let mut whole = record[..RECORD_HEADER_LEN].to_vec();
        whole[RECORD_LENGTH_FIELD]
            .copy_from_slice(&((HANDSHAKE_HEADER_LEN + self.body.len()) as u16).to_be_bytes());
        whole.extend([CLIENT_HELLO, high, middle, low]);
        whole.extend(self.message_seq);
        whole.extend([0, 0, 0, high, middle, low]);
        whole.extend(&self.body);
        whole
    }
}

/// Returns the fragments in a datagram, if it consists of nothing else.
fn parse_fragments(datagram: &[u8]) -> Option<Vec<HelloFragment<'_>>> {
    let (mut pieces, mut rest) = (Vec::new(), datagram);
    while !rest.is_empty() {
        let end = RECORD_HEADER_LEN
            + usize::from(u16::from_be_bytes(rest.get(RECORD_LENGTH_FIELD)?.try_into().ok()?));
        pieces.push(parse_fragment(rest.get(..end)?)?);
        rest = &rest[end..];
    }
    (!pieces.is_empty()).then_some(pieces)
}

fn parse_fragment(record: &[u8]) -> Option<HelloFragment<'_>> {
    let is_clear = record[0] == HANDSHAKE && record[3..5] == [0, 0];
    let header = record
        .get(RECORD_HEADER_LEN..RECORD_HEADER_LEN + HANDSHAKE_HEADER_LEN)
        .filter(|_| is_clear)?;
    let bytes = &record[RECORD_HEADER_LEN + HANDSHAKE_HEADER_LEN..];
    let (whole, from) = (u24(&header[1..]), u24(&header[6..]));
    let fits = header[0] == CLIENT_HELLO
        && u24(&header[9..]) == bytes.len()
        && from + bytes.len() <= whole
        && (1..=MAX_CLIENT_HELLO_SIZE).contains(&whole);
    fits.then_some(HelloFragment {
        record,
        message_seq: [header[4], header[5]],
        message_len: whole,
        fragment_offset: from,
        fragment: bytes,
    })
}

fn u24(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2])
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::seq::SliceRandom;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn record(number: u16, whole: &[u8], piece: Range<usize>) -> Vec<u8> {
        let u24 = |value: usize| (value as u32).to_be_bytes()[1..].to_vec();
        let mut record = vec![HANDSHAKE, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 7];
        record.extend(((HANDSHAKE_HEADER_LEN + piece.len()) as u16).to_be_bytes());
        record.push(CLIENT_HELLO);
        record.extend(u24(whole.len()));
        record.extend(number.to_be_bytes());
        record.extend(u24(piece.start));
        record.extend(u24(piece.len()));
        record.extend(&whole[piece]);
        record
    }

    fn hello() -> Vec<u8> {
        (0..1_486).map(|index| index as u8).collect()
    }

    #[test]
    fn pieces_that_overlap_make_the_whole() {
        let whole = hello();
        let mut hello = ClientHelloReassembly::default();
        // Only the short one of the first two arrives.
        assert_eq!(hello.push(&record(0, &whole, 1_383..1_486)), Reassembled::Incomplete);
        assert_eq!(hello.push(&record(0, &whole, 0..1_100)), Reassembled::Incomplete);
        let taken = hello.push(&record(0, &whole, 1_100..1_486));
        assert_eq!(taken, Reassembled::Complete(record(0, &whole, 0..1_486)));
        assert_eq!(hello.received.len(), 0, "nothing is kept");
    }

    #[test]
    fn any_pieces_in_any_order_and_any_datagrams() {
        let whole = hello();
        for seed in 0..200 {
            let mut random = StdRng::seed_from_u64(seed);
            let mut ranges: Vec<_> = (0..whole.len())
                .step_by(100)
                .map(|from| from..(from + random.random_range(100..400)).min(whole.len()))
                .collect();
            ranges.shuffle(&mut random);
            let mut hello = ClientHelloReassembly::default();
            let taken = ranges.chunks(3).find_map(|ranges| {
                let records = ranges.iter().map(|range| record(1, &whole, range.clone()));
                match hello.push(&records.collect::<Vec<_>>().concat()) {
                    Reassembled::Complete(whole) => Some(whole),
                    Reassembled::Incomplete => None,
                    Reassembled::NotFragment => panic!("it is a piece"),
                }
            });
            assert_eq!(taken, Some(record(1, &whole, 0..1_486)), "seed {seed}");
        }
    }

    #[test]
    fn another_message_begins_anew() {
        let (whole, other) = (hello(), vec![9; 500]);
        let mut hello = ClientHelloReassembly::default();
        assert_eq!(hello.push(&record(0, &whole, 0..1_100)), Reassembled::Incomplete);
        assert_eq!(hello.push(&record(1, &other, 0..250)), Reassembled::Incomplete);
        let taken = hello.push(&record(1, &other, 250..500));
        assert_eq!(taken, Reassembled::Complete(record(1, &other, 0..500)));
    }

    #[test]
    fn what_is_whole_or_something_else_goes_on_as_it_is() {
        let mut hello = ClientHelloReassembly::default();
        let whole = record(0, &[7; 300], 0..300);
        let [mut other, mut cut, mut beyond] = [(); 3].map(|()| record(0, &[7; 300], 0..200));
        other[RECORD_HEADER_LEN] = 16;
        cut.truncate(100);
        beyond[RECORD_HEADER_LEN + 8] = 200;
        let long = record(0, &vec![7; MAX_CLIENT_HELLO_SIZE + 1], 0..200);
        for datagram in [whole, other, cut, beyond, long, Vec::new(), vec![HANDSHAKE]] {
            assert_eq!(hello.push(&datagram), Reassembled::NotFragment);
        }
        assert_eq!(hello.received.len(), 0);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut random = StdRng::seed_from_u64(1);
        let mut hello = ClientHelloReassembly::default();
        let good = record(0, &[7; 300], 100..200);
        for _ in 0..100_000 {
            let mut datagram = good[..random.random_range(0..=good.len())].to_vec();
            for _ in 0..random.random_range(0..4) {
                let at = random.random_range(0..RECORD_HEADER_LEN + HANDSHAKE_HEADER_LEN);
                if let Some(byte) = datagram.get_mut(at) {
                    *byte = random.random();
                }
            }
            hello.push(&datagram);
            assert!(hello.body.len() <= MAX_CLIENT_HELLO_SIZE);
        }
    }
}
