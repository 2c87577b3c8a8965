//! Bytes that wait to be written.

use std::{collections::VecDeque, io};

/// Capacity of the first chunk, kept for the next frame when all was written.
const SMALL: usize = 4 * 1024;
/// Capacity of each further chunk: large enough for few writes, small enough that memory stays
/// close to the bytes waiting.
const LARGE: usize = 16 * 1024;

/// Unsent bytes in chunks of fixed capacity, so that neither growing nor writing moves them.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    chunks: VecDeque<Vec<u8>>,
    /// Bytes of the first chunk that are written already.
    written: usize,
    len: usize,
}

impl Outbox {
    /// Appends `bytes`.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len();
        while !bytes.is_empty() {
            let chunk = self.chunk_with_room(bytes.len());
            let (now, rest) = bytes.split_at(bytes.len().min(chunk.capacity() - chunk.len()));
            chunk.extend_from_slice(now);
            bytes = rest;
        }
    }

    /// Forgets the first `count` bytes of [`Outbox::front`], or all of it where it is shorter.
    pub(crate) fn advance(&mut self, count: usize) {
        let count = count.min(self.front().len());
        self.written += count;
        self.len -= count;
        if self.front().is_empty() {
            self.drop_front();
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Outbox::default();
    }

    /// The bytes to write next; empty only if there are none.
    pub(crate) fn front(&self) -> &[u8] {
        self.chunks.front().map_or(&[], |chunk| &chunk[self.written..])
    }

    /// All unsent bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The last chunk, or a new one where that is full.
    fn chunk_with_room(&mut self, wanted: usize) -> &mut Vec<u8> {
        if self.chunks.back().is_none_or(|chunk| chunk.len() == chunk.capacity()) {
            let capacity = if self.chunks.is_empty() { wanted.clamp(SMALL, LARGE) } else { LARGE };
            self.chunks.push_back(Vec::with_capacity(capacity));
        }
        self.chunks.back_mut().expect("pushed above where there was none")
    }

    /// Lets go of the first chunk, but keeps a last small one for the next frame.
    fn drop_front(&mut self) {
        self.written = 0;
        if let Some(mut chunk) = self.chunks.pop_front()
            && self.chunks.is_empty()
            && chunk.capacity() <= SMALL
        {
            chunk.clear();
            self.chunks.push_back(chunk);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything, taken out in steps of `step`.
    fn drain(outbox: &mut Outbox, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while outbox.len() > 0 {
            let part = &outbox.front()[..outbox.front().len().min(step)];
            let count = part.len();
            all.extend_from_slice(part);
            outbox.advance(count);
        }
        assert!(outbox.front().is_empty());
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

    #[test]
    fn memory_follows_the_bytes_waiting() {
        let mut outbox = Outbox::default();
        for _ in 0..1000 {
            outbox.push(&[0; 1000]);
        }
        let held: usize = outbox.chunks.iter().map(Vec::capacity).sum();
        assert!(held < 1_000_000 + 2 * LARGE, "{held}");
        drain(&mut outbox, usize::MAX);
        assert!(outbox.chunks.is_empty());
    }

    #[test]
    fn a_small_chunk_is_used_again() {
        let mut outbox = Outbox::default();
        outbox.push(&[1; 100]);
        let at = outbox.front().as_ptr();
        outbox.advance(100);
        outbox.push(&[2; 100]);
        assert_eq!((outbox.front().as_ptr(), outbox.front()), (at, &[2; 100][..]));
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
