//! Reassembly of fragmented messages (RFC 9260 §6.9).

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::sctp::packet::{DataChunk, Tsn};

/// Smallest fragment of an honest peer in bytes, except the last of a message.
const MIN_FRAGMENT_SIZE: usize = 256;

/// Memory of a fragment beside its payload.
const MEMORY_PER_FRAGMENT: usize = 2 * size_of::<BufferedFragment>() + 16;

/// Returns the most memory that the fragments of `messages` messages of `message_bytes` bytes can
/// take, in bytes.
pub(super) fn max_memory(message_bytes: usize, messages: usize) -> usize {
    let each = message_bytes.saturating_add(
        (message_bytes / MIN_FRAGMENT_SIZE + 2).saturating_mul(MEMORY_PER_FRAGMENT),
    );
    each.saturating_mul(messages)
}

/// Buffer of fragments, sorted by TSN; those of one message have consecutive TSNs (RFC 9260 §6.9).
#[derive(Debug)]
pub(crate) struct Reassembly {
    fragments: VecDeque<BufferedFragment>,
    buffered_bytes: usize,
    /// Bound of one message, in bytes.
    max_message_size: usize,
    /// Bound of all fragments, in messages of that size.
    max_messages: usize,
}

/// One received fragment of an incomplete message.
#[derive(Debug)]
struct BufferedFragment {
    tsn: Tsn,
    is_first_fragment: bool,
    is_last_fragment: bool,
    payload: Bytes,
}

/// A message over the maximum size or number of fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MessageTooLong;

impl Reassembly {
    pub(crate) fn new(max_message_size: usize, max_messages: usize) -> Reassembly {
        Reassembly { fragments: VecDeque::new(), buffered_bytes: 0, max_message_size, max_messages }
    }

    pub(crate) fn max_message_size(&self) -> usize {
        self.max_message_size
    }

    /// Adds a fragment; returns the message that it completes.
    pub(crate) fn insert(&mut self, data: &DataChunk<'_>) -> Result<Option<Bytes>, MessageTooLong> {
        let at = self.fragments.partition_point(|piece| piece.tsn < data.tsn);
        let (tsn, bytes) = (data.tsn, Bytes::copy_from_slice(data.payload));
        self.buffered_bytes += bytes.len();
        self.fragments.insert(
            at,
            BufferedFragment {
                tsn,
                is_first_fragment: data.is_first_fragment(),
                is_last_fragment: data.is_last_fragment(),
                payload: bytes,
            },
        );
        let (first, last) = self.contiguous_run(at);
        let length: usize =
            self.fragments.range(first..=last).map(|piece| piece.payload.len()).sum();
        if length > self.max_message_size || last - first > self.max_fragments() {
            return Err(MessageTooLong);
        }
        if self.fragments[first].is_first_fragment && self.fragments[last].is_last_fragment {
            return Ok(Some(self.extract(first, last)));
        }
        self.enforce_limits();
        Ok(None)
    }

    /// Drops fragments up to `tsn`.
    pub(crate) fn discard_through(&mut self, tsn: Tsn) {
        while self.fragments.front().is_some_and(|piece| piece.tsn <= tsn) {
            self.drop_oldest();
        }
    }

    #[cfg(test)]
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.buffered_bytes
    }

    /// Returns the first and last index of the contiguous fragments of one message around `at`.
    fn contiguous_run(&self, at: usize) -> (usize, usize) {
        let follows = |index: usize| {
            let (a, b) = (&self.fragments[index], &self.fragments[index + 1]);
            b.tsn == a.tsn.plus(1) && !a.is_last_fragment && !b.is_first_fragment
        };
        let (mut first, mut last) = (at, at);
        while first > 0 && follows(first - 1) {
            first -= 1;
        }
        while last + 1 < self.fragments.len() && follows(last) {
            last += 1;
        }
        (first, last)
    }

    fn extract(&mut self, first: usize, last: usize) -> Bytes {
        let mut message = BytesMut::new();
        for piece in self.fragments.drain(first..=last) {
            message.extend_from_slice(&piece.payload);
        }
        self.buffered_bytes -= message.len();
        message.freeze()
    }

    /// Drops the oldest fragments beyond the limits.
    fn enforce_limits(&mut self) {
        let most_bytes = self.max_messages.saturating_mul(self.max_message_size);
        let most_pieces = self.max_messages.saturating_mul(self.max_fragments());
        while self.buffered_bytes > most_bytes || self.fragments.len() > most_pieces {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        self.buffered_bytes -= self.fragments.pop_front().map_or(0, |piece| piece.payload.len());
    }

    fn max_fragments(&self) -> usize {
        self.max_message_size / MIN_FRAGMENT_SIZE + 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sctp::packet::ppid;

    const MAX_MESSAGE_SIZE: usize = 1_000;

    /// Pieces of as many messages, none of which becomes whole.
    fn filled(pieces: u32, size: usize) -> Reassembly {
        let mut assembly = Reassembly::new(MAX_MESSAGE_SIZE, 2);
        for piece in 0..pieces {
            let (tsn, protocol) = (Tsn(u32::MAX - 3).plus(piece * 2), ppid::BINARY);
            let data =
                DataChunk { flags: 0, tsn, stream_id: 0, ppid: protocol, payload: &vec![7; size] };
            assert_eq!(assembly.insert(&data), Ok(None));
        }
        assembly
    }

    #[test]
    fn two_messages_bytes_are_kept_and_no_more() {
        let kept = |pieces, size| filled(pieces, size).buffered_bytes();
        assert_eq!([kept(2, 900), kept(3, 900), kept(9, 900)], [1_800; 3]);
        assert_eq!([kept(2, 1_000), kept(3, 1_000)], [2_000; 2]);
    }

    #[test]
    fn so_are_as_many_pieces_as_two_messages_can_have() {
        // Five of 256 bytes at least, but for the last, would be more than a message.
        assert_eq!(
            [9, 10, 11, 99].map(|pieces| filled(pieces, 1).fragments.len()),
            [9, 10, 10, 10]
        );
        assert_eq!(filled(99, 0).fragments.len(), 10);
    }

    #[test]
    fn what_was_given_up_is_dropped() {
        let mut assembly = filled(5, 100);
        assembly.discard_through(Tsn(u32::MAX - 4));
        assert_eq!(assembly.buffered_bytes(), 500);
        assembly.discard_through(Tsn(1));
        assert_eq!((assembly.buffered_bytes(), assembly.fragments.len()), (200, 2));
        assembly.discard_through(Tsn(100));
        assert_eq!((assembly.buffered_bytes(), assembly.fragments.len()), (0, 0));
    }

    #[test]
    fn the_bound_of_memory_is_that_of_the_pieces() {
        let piece = max_memory(0, 2) / 2 / 2;
        assert!(piece >= 2 * size_of::<BufferedFragment>() && piece < 256, "{piece}");
        assert_eq!(max_memory(25_600, 2), 2 * (25_600 + 102 * piece));
    }
}
