//! Send buffer with shared payloads.

use std::collections::VecDeque;
use std::io;
use std::io::IoSlice;

use bytes::Bytes;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::OpCode;

/// Payload size in bytes from which payloads are shared instead of copied. Copying less is cheaper
/// than one more slice to write. A shared payload may keep the buffer alive that it is a slice of;
/// for an echoed message that is at most about this much more.
pub(crate) const SHARE_THRESHOLD: usize = 4 * 1024;
/// Maximum bytes of an owned segment: large enough for few writes, and the most that is moved when
/// it grows.
const MAX_SEGMENT_LEN: usize = 16 * 1024;
/// Maximum capacity in bytes of the buffer that is kept for the next frame.
const MAX_SPARE_CAPACITY: usize = 4 * 1024;
/// Maximum capacity of the segment queue that is kept when it is empty.
const MAX_SPARE_SEGMENTS: usize = 8;

/// Buffer of unsent bytes: small frames are copied into contiguous segments, so that one write
/// takes many; large payloads are held by reference, so that a broadcast stores its message once.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    segments: VecDeque<Segment>,
    /// Bytes of the first segment that are already written, never all.
    written: usize,
    len: usize,
    /// Allocation of an earlier segment for reuse; always empty.
    spare: Vec<u8>,
}

impl Outbox {
    /// Appends `bytes`.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len();
        while !bytes.is_empty() {
            let own = self.writable_segment();
            let (now, rest) = bytes.split_at(bytes.len().min(MAX_SEGMENT_LEN - own.len()));
            grow(own, now.len());
            own.extend_from_slice(now);
            bytes = rest;
        }
    }

    /// Appends a frame without copying its payload.
    pub(crate) fn push_shared(&mut self, head: EncodedHeader, payload: Bytes) {
        let segment = Segment::Shared(head, payload);
        self.len += segment.len();
        self.segments.push_back(segment);
    }

    /// Removes the first `count` bytes, or all if there are fewer.
    pub(crate) fn advance(&mut self, count: usize) {
        let count = count.min(self.len);
        self.len -= count;
        self.written += count;
        while self.segments.front().is_some_and(|first| first.len() <= self.written) {
            self.pop_front();
        }
    }

    /// Removes all bytes.
    pub(crate) fn clear(&mut self) {
        *self = Outbox::default();
    }

    /// Returns the bytes to write next; empty only if there are none.
    pub(crate) fn chunk(&self) -> &[u8] {
        self.segments.front().map_or(&[], |first| first.chunks_from(self.written)[0])
    }

    /// Fills `slices` with the bytes to write next; returns the number of slices filled.
    pub(crate) fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let written = std::iter::once(self.written).chain(std::iter::repeat(0));
        let parts = self.segments.iter().zip(written);
        let parts = parts.flat_map(|(segment, written)| segment.chunks_from(written));
        let parts = parts.filter(|part| !part.is_empty());
        slices.iter_mut().zip(parts).map(|(slice, part)| *slice = IoSlice::new(part)).count()
    }

    /// Returns the number of unsent bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns the last segment, if it is owned and not full, or a new one.
    fn writable_segment(&mut self) -> &mut Vec<u8> {
        if !matches!(self.segments.back(), Some(Segment::Owned(bytes)) if bytes.len() < MAX_SEGMENT_LEN)
        {
            self.segments.push_back(Segment::Owned(std::mem::take(&mut self.spare)));
        }
        match self.segments.back_mut() {
            Some(Segment::Owned(bytes)) => bytes,
            _ => unreachable!("pushed above where there was none"),
        }
    }

    /// Removes the first segment, which is written, and keeps a small allocation for reuse.
    fn pop_front(&mut self) {
        let Some(first) = self.segments.pop_front() else { return };
        self.written -= first.len();
        if let Segment::Owned(mut bytes) = first
            && bytes.capacity() <= MAX_SPARE_CAPACITY
        {
            bytes.clear();
            self.spare = bytes;
        }
        if self.segments.is_empty() && self.segments.capacity() > MAX_SPARE_SEGMENTS {
            self.segments = VecDeque::new();
        }
    }
}

/// Reserves room for `more` bytes: doubles the capacity, so that few bytes are moved, up to
/// [`MAX_SEGMENT_LEN`], so that memory stays close to the unsent bytes.
fn grow(own: &mut Vec<u8>, more: usize) {
    let needed = own.len() + more;
    if needed > own.capacity() {
        let capacity = needed.max(own.capacity() * 2).min(MAX_SEGMENT_LEN);
        own.reserve_exact(capacity - own.len());
    }
}

impl io::Write for Outbox {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Maximum length of an unmasked frame header (RFC 6455 §5.2).
const MAX_HEADER_LEN: usize = 10;

/// Part of the send buffer; never empty.
#[derive(Debug)]
pub(crate) enum Segment {
    /// Small frames, contiguous.
    Owned(Vec<u8>),
    /// One frame whose payload may be shared with other sockets.
    Shared(EncodedHeader, Bytes),
}

/// Encoded header of an unmasked frame (RFC 6455 §5.2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct EncodedHeader {
    bytes: [u8; MAX_HEADER_LEN],
    len: u8,
}

impl EncodedHeader {
    /// Encodes the header of an unfragmented message of `payload` bytes.
    pub(crate) fn new(opcode: OpCode, payload: usize) -> EncodedHeader {
        let header = FrameHeader { opcode, ..FrameHeader::default() };
        let mut bytes = [0; MAX_HEADER_LEN];
        let mut rest = &mut bytes[..];
        header.format(payload as u64, &mut rest).expect("no head without a mask is longer");
        let len = (MAX_HEADER_LEN - rest.len()) as u8; // at most 10
        EncodedHeader { bytes, len }
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl Segment {
    pub(crate) fn len(&self) -> usize {
        self.parts().map(<[u8]>::len).iter().sum()
    }

    /// Returns the bytes after the first `written`, in two parts. The first is empty only if there
    /// are none.
    pub(crate) fn chunks_from(&self, written: usize) -> [&[u8]; 2] {
        let [first, second] = self.parts();
        match written.checked_sub(first.len()) {
            None => [&first[written..], second],
            Some(written) => [&second[written..], &[]],
        }
    }

    fn parts(&self) -> [&[u8]; 2] {
        match self {
            Segment::Owned(bytes) => [bytes, &[]],
            Segment::Shared(head, payload) => [head.as_slice(), payload],
        }
    }
}

#[cfg(test)]
mod tests {
    use tungstenite::protocol::frame::FrameHeader;
    use tungstenite::protocol::frame::coding::{Data, OpCode};

    use super::*;

    /// Drains all bytes in steps of `step`.
    fn drain(outbox: &mut Outbox, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while outbox.len() > 0 {
            let part = &outbox.chunk()[..outbox.chunk().len().min(step)];
            let count = part.len();
            all.extend_from_slice(part);
            outbox.advance(count);
        }
        assert!(outbox.chunk().is_empty());
        all
    }

    #[test]
    fn bytes_come_out_in_order_whatever_the_steps() {
        let bytes: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
        for step in [1, 7, 4096, usize::MAX] {
            let mut outbox = Outbox::default();
            bytes.chunks(777).for_each(|part| outbox.push(part));
            assert_eq!(outbox.len(), bytes.len());
            assert_eq!(drain(&mut outbox, step), bytes);
        }
    }

    /// Returns the allocated bytes, without shared payloads.
    fn allocated(outbox: &Outbox) -> usize {
        let own = outbox.segments.iter().map(|segment| match segment {
            Segment::Owned(bytes) => bytes.capacity(),
            Segment::Shared(..) => 0,
        });
        own.sum::<usize>()
            + outbox.spare.capacity()
            + outbox.segments.capacity() * size_of::<Segment>()
    }

    fn head(payload: usize) -> EncodedHeader {
        EncodedHeader::new(OpCode::Data(Data::Binary), payload)
    }

    #[test]
    fn small_and_shared_come_out_in_order_however_they_are_written() {
        let payload = Bytes::from((0..70_000u32).map(|i| (i % 251) as u8).collect::<Vec<_>>());
        let fill = |outbox: &mut Outbox| {
            let mut all = Vec::new();
            for size in [SHARE_THRESHOLD, 65_535, 65_536, SHARE_THRESHOLD] {
                outbox.push(b"small");
                outbox.push(b"and small");
                outbox.push_shared(head(size), payload.slice(..size));
                let header =
                    FrameHeader { opcode: OpCode::Data(Data::Binary), ..FrameHeader::default() };
                all.extend_from_slice(b"smalland small");
                header.format(size as u64, &mut all).unwrap();
                all.extend_from_slice(&payload[..size]);
            }
            assert_eq!(outbox.len(), all.len());
            all
        };
        for step in [1, 4, 5, 18, 4096, usize::MAX] {
            let mut outbox = Outbox::default();
            let expected = fill(&mut outbox);
            assert!(drain(&mut outbox, step) == expected, "{step}");
            let expected = fill(&mut outbox);
            assert!(drain_vectored(&mut outbox, step) == expected, "{step}");
        }
    }

    /// Drains all bytes in vectored writes of at most `most` bytes.
    fn drain_vectored(outbox: &mut Outbox, most: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while outbox.len() > 0 {
            let mut slices = [IoSlice::new(&[]); 5];
            let count = outbox.chunks_vectored(&mut slices);
            assert!(slices[..count].iter().all(|slice| !slice.is_empty()));
            assert_eq!(slices[0][..], *outbox.chunk());
            let before = all.len();
            let bytes = slices[..count].iter().flat_map(|slice| slice.iter());
            all.extend(bytes.take(most));
            outbox.advance(all.len() - before);
        }
        assert_eq!(outbox.chunks_vectored(&mut [IoSlice::new(&[])]), 0);
        all
    }

    #[test]
    fn one_vectored_write_takes_many_frames() {
        let mut outbox = Outbox::default();
        outbox.push_shared(head(SHARE_THRESHOLD), vec![1; SHARE_THRESHOLD].into());
        (0..100).for_each(|_| outbox.push(&[2; 100]));
        outbox.push_shared(head(SHARE_THRESHOLD), vec![3; SHARE_THRESHOLD].into());
        let mut slices = [IoSlice::new(&[]); 16];
        let count = outbox.chunks_vectored(&mut slices);
        let lengths: Vec<_> = slices[..count].iter().map(|slice| slice.len()).collect();
        assert_eq!(lengths, [4, SHARE_THRESHOLD, 10_000, 4, SHARE_THRESHOLD]);
    }

    #[test]
    fn memory_follows_the_bytes_waiting() {
        for (small, shared) in [(1000, false), (1020, false), (204, true), (6, true)] {
            let mut outbox = Outbox::default();
            let payload = Bytes::from(vec![0; SHARE_THRESHOLD]);
            for _ in 0..1000 {
                outbox.push(&vec![0; small]);
                if shared {
                    outbox.push_shared(head(SHARE_THRESHOLD), payload.clone());
                }
            }
            let copied = 1000 * small;
            let segments = outbox.segments.len() * 2 * size_of::<Segment>();
            let most = copied + copied / 4 + 2 * MAX_SEGMENT_LEN + segments;
            assert!(allocated(&outbox) < most, "{} of {most}", allocated(&outbox));
            drain(&mut outbox, usize::MAX);
            assert!(
                allocated(&outbox) <= MAX_SPARE_CAPACITY + 1024,
                "{small}: {}",
                allocated(&outbox)
            );
        }
    }

    #[test]
    fn what_grows_byte_by_byte_moves_few_times() {
        let (mut own, mut moves) = (Vec::new(), 0);
        for _ in 0..MAX_SEGMENT_LEN {
            let before = own.capacity();
            grow(&mut own, 1);
            moves += usize::from(own.capacity() != before);
            own.push(0);
        }
        assert!(
            moves <= 20 && own.capacity() <= MAX_SEGMENT_LEN,
            "{moves} times, to {}",
            own.capacity()
        );
    }

    #[test]
    fn a_small_segment_is_used_again() {
        let mut outbox = Outbox::default();
        outbox.push(&[1; 100]);
        let at = outbox.chunk().as_ptr();
        outbox.advance(100);
        outbox.push(&[2; 100]);
        assert_eq!((outbox.chunk().as_ptr(), outbox.chunk()), (at, &[2; 100][..]));
        // A large segment is not kept.
        outbox.push(&[3; 10_000]);
        outbox.advance(usize::MAX);
        assert_eq!(allocated(&outbox), outbox.segments.capacity() * size_of::<Segment>());
    }

    #[test]
    fn more_than_there_is_counts_as_all() {
        let mut outbox = Outbox::default();
        outbox.advance(5);
        outbox.push(b"abc");
        outbox.advance(usize::MAX);
        assert_eq!(outbox.len(), 0);
    }
}
