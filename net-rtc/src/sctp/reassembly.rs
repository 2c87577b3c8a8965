//! Messages that come in pieces.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::sctp::packet::{Data, Tsn};

/// No honest peer cuts a message smaller than this, in bytes, but for its last piece.
const SMALLEST: usize = 256;

/// What a piece costs beside its bytes.
const PIECE: usize = 2 * size_of::<Piece>() + 16;

/// Most memory that the pieces of so many messages of so many bytes can take.
pub(super) fn most_memory(message_bytes: usize, messages: usize) -> usize {
    let each = message_bytes.saturating_add((message_bytes / SMALLEST + 2).saturating_mul(PIECE));
    each.saturating_mul(messages)
}

/// Pieces in the order of their TSNs; those of one message have consecutive ones
/// (RFC 9260 §6.9).
#[derive(Debug)]
pub(crate) struct Assembly {
    pieces: VecDeque<Piece>,
    bytes: usize,
    /// Of a message.
    most_bytes: usize,
    /// Whole messages' worth of pieces.
    most_messages: usize,
}

#[derive(Debug)]
struct Piece {
    tsn: Tsn,
    begins: bool,
    ends: bool,
    bytes: Bytes,
}

/// A message that is longer than allowed, or in more pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Endless;

impl Assembly {
    pub(crate) fn new(most_bytes: usize, most_messages: usize) -> Assembly {
        Assembly { pieces: VecDeque::new(), bytes: 0, most_bytes, most_messages }
    }

    pub(crate) fn most_bytes(&self) -> usize {
        self.most_bytes
    }

    /// Adds a piece; gives the message that it completes.
    pub(crate) fn insert(&mut self, data: &Data<'_>) -> Result<Option<Bytes>, Endless> {
        let at = self.pieces.partition_point(|piece| piece.tsn < data.tsn);
        let (tsn, bytes) = (data.tsn, Bytes::copy_from_slice(data.payload));
        self.bytes += bytes.len();
        self.pieces.insert(at, Piece { tsn, begins: data.begins(), ends: data.ends(), bytes });
        let (first, last) = self.run(at);
        let length: usize = self.pieces.range(first..=last).map(|piece| piece.bytes.len()).sum();
        if length > self.most_bytes || last - first > self.most_pieces() {
            return Err(Endless);
        }
        if self.pieces[first].begins && self.pieces[last].ends {
            return Ok(Some(self.take(first, last)));
        }
        self.shed();
        Ok(None)
    }

    /// Drops pieces up to `tsn`.
    pub(crate) fn forget(&mut self, tsn: Tsn) {
        while self.pieces.front().is_some_and(|piece| piece.tsn <= tsn) {
            self.drop_oldest();
        }
    }

    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The neighbours of a piece that belong to the same message.
    fn run(&self, at: usize) -> (usize, usize) {
        let follows = |index: usize| {
            let (a, b) = (&self.pieces[index], &self.pieces[index + 1]);
            b.tsn == a.tsn.plus(1) && !a.ends && !b.begins
        };
        let (mut first, mut last) = (at, at);
        while first > 0 && follows(first - 1) {
            first -= 1;
        }
        while last + 1 < self.pieces.len() && follows(last) {
            last += 1;
        }
        (first, last)
    }

    fn take(&mut self, first: usize, last: usize) -> Bytes {
        let mut message = BytesMut::new();
        for piece in self.pieces.drain(first..=last) {
            message.extend_from_slice(&piece.bytes);
        }
        self.bytes -= message.len();
        message.freeze()
    }

    /// Keeps to the bound at the cost of the oldest.
    fn shed(&mut self) {
        let most_bytes = self.most_messages.saturating_mul(self.most_bytes);
        let most_pieces = self.most_messages.saturating_mul(self.most_pieces());
        while self.bytes > most_bytes || self.pieces.len() > most_pieces {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        self.bytes -= self.pieces.pop_front().map_or(0, |piece| piece.bytes.len());
    }

    fn most_pieces(&self) -> usize {
        self.most_bytes / SMALLEST + 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sctp::packet::protocol;

    const MOST: usize = 1_000;

    /// Pieces of as many messages, none of which becomes whole.
    fn filled(pieces: u32, size: usize) -> Assembly {
        let mut assembly = Assembly::new(MOST, 2);
        for piece in 0..pieces {
            let (tsn, protocol) = (Tsn(u32::MAX - 3).plus(piece * 2), protocol::BINARY);
            let data = Data { flags: 0, tsn, stream: 0, protocol, payload: &vec![7; size] };
            assert_eq!(assembly.insert(&data), Ok(None));
        }
        assembly
    }

    #[test]
    fn two_messages_bytes_are_kept_and_no_more() {
        let kept = |pieces, size| filled(pieces, size).bytes();
        assert_eq!([kept(2, 900), kept(3, 900), kept(9, 900)], [1_800; 3]);
        assert_eq!([kept(2, 1_000), kept(3, 1_000)], [2_000; 2]);
    }

    #[test]
    fn so_are_as_many_pieces_as_two_messages_can_have() {
        // Five of 256 bytes at least, but for the last, would be more than a message.
        assert_eq!([9, 10, 11, 99].map(|pieces| filled(pieces, 1).pieces.len()), [9, 10, 10, 10]);
        assert_eq!(filled(99, 0).pieces.len(), 10);
    }

    #[test]
    fn what_was_given_up_is_dropped() {
        let mut assembly = filled(5, 100);
        assembly.forget(Tsn(u32::MAX - 4));
        assert_eq!(assembly.bytes(), 500);
        assembly.forget(Tsn(1));
        assert_eq!((assembly.bytes(), assembly.pieces.len()), (200, 2));
        assembly.forget(Tsn(100));
        assert_eq!((assembly.bytes(), assembly.pieces.len()), (0, 0));
    }

    #[test]
    fn the_bound_of_memory_is_that_of_the_pieces() {
        let piece = most_memory(0, 2) / 2 / 2;
        assert!(piece >= 2 * size_of::<Piece>() && piece < 256, "{piece}");
        assert_eq!(most_memory(25_600, 2), 2 * (25_600 + 102 * piece));
    }
}
