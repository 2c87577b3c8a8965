//! Receive quota: mirror of sctp-proto's receive buffer, which is unbounded.

use std::collections::VecDeque;

use crate::sctp::packet::{DataChunk, Tsn};
use crate::{Config, DataPathMode};

/// Limits while SCTP only opens the channel, and for peers without FORWARD-TSN (no browser is one).
/// The bytes are more if `Config::max_partial_messages` messages take more.
const HANDSHAKE_LIMITS: QuotaLimits = QuotaLimits { max_bytes: 128 * 1024, max_chunks: 512 };
/// Limits where SCTP carries the data: its advertised window.
const PLAIN_SCTP_LIMITS: QuotaLimits = QuotaLimits { max_bytes: 1024 * 1024, max_chunks: 4_096 };
/// Memory of a chunk beside its payload, in sctp-proto and here (333 bytes measured).
const MEMORY_PER_CHUNK: usize = 384;

/// Limits of the receive buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuotaLimits {
    max_bytes: usize,
    max_chunks: usize,
}

/// Record of the chunks that sctp-proto buffers: those behind a gap, and fragments of incomplete
/// messages. sctp-proto keeps all of them, and searches them again and again, however many a peer
/// sends.
#[derive(Debug)]
pub(super) struct ReceiveQuota {
    limits: QuotaLimits,
    /// Everything up to this TSN was received or abandoned.
    cumulative_tsn: Tsn,
    /// Sorted by TSN.
    chunks: VecDeque<BufferedChunk>,
    buffered_bytes: usize,
}

/// One received chunk that SCTP buffers.
#[derive(Clone, Copy, Debug)]
struct BufferedChunk {
    tsn: Tsn,
    bytes: usize,
    is_first_fragment: bool,
    is_last_fragment: bool,
    is_released: bool,
}

impl QuotaLimits {
    pub(crate) fn from_config(config: &Config) -> QuotaLimits {
        let QuotaLimits { max_bytes: bytes, max_chunks } = match config.effective_data_path() {
            DataPathMode::LowLatency => HANDSHAKE_LIMITS,
            DataPathMode::PlainSctp => PLAIN_SCTP_LIMITS,
        };
        let partial = config.max_message_size.saturating_mul(config.max_partial_messages());
        QuotaLimits { max_bytes: bytes.max(partial), max_chunks }
    }

    /// Returns the memory of a full buffer, in bytes.
    pub(crate) fn max_memory(self) -> usize {
        self.max_bytes.saturating_add(self.max_chunks * MEMORY_PER_CHUNK)
    }
}

impl ReceiveQuota {
    /// Creates an empty record: everything up to `before` was received.
    pub(super) fn new(limits: QuotaLimits, before: Tsn) -> ReceiveQuota {
        ReceiveQuota { limits, cumulative_tsn: before, chunks: VecDeque::new(), buffered_bytes: 0 }
    }

    /// Records a chunk on its way to SCTP; an error if it exceeds the limits.
    pub(super) fn on_data(&mut self, data: &DataChunk<'_>) -> Result<(), &'static str> {
        let at = self.chunks.partition_point(|chunk| chunk.tsn < data.tsn);
        let is_known = self.chunks.get(at).is_some_and(|chunk| chunk.tsn == data.tsn);
        if is_known || data.tsn <= self.cumulative_tsn {
            return Ok(());
        }
        let (tsn, bytes, begins, ends) =
            (data.tsn, data.payload.len(), data.is_first_fragment(), data.is_last_fragment());
        self.chunks.insert(
            at,
            BufferedChunk {
                tsn,
                bytes,
                is_first_fragment: begins,
                is_last_fragment: ends,
                is_released: false,
            },
        );
        self.buffered_bytes += bytes;
        self.advance_cumulative(at);
        match self.buffered_bytes > self.limits.max_bytes
            || self.chunks.len() > self.limits.max_chunks
        {
            true => Err("more that is not whole than may wait"),
            false => Ok(()),
        }
    }

    /// Records that the peer abandoned missing chunks up to `tsn` (RFC 3758 §3.6).
    pub(super) fn on_forward_tsn(&mut self, tsn: Tsn) {
        if tsn <= self.cumulative_tsn {
            return;
        }
        self.cumulative_tsn = tsn;
        let passed = self.chunks.partition_point(|chunk| chunk.tsn <= tsn);
        self.chunks.drain(..passed).for_each(|chunk| self.buffered_bytes -= chunk.bytes);
        self.advance_cumulative(0);
    }

    /// Advances the cumulative TSN over contiguous chunks from index `at` on, and releases complete
    /// messages.
    fn advance_cumulative(&mut self, at: usize) {
        let next = self.chunks.range(at..).map(|chunk| chunk.tsn);
        let cumulative = next
            .fold(self.cumulative_tsn, |last, tsn| if tsn == last.plus(1) { tsn } else { last });
        if cumulative != self.cumulative_tsn {
            self.cumulative_tsn = cumulative;
            self.release_complete();
        }
    }

    fn release_complete(&mut self) {
        let (mut begin, mut last) = (None, None);
        for at in 0..self.chunks.len() {
            let BufferedChunk { tsn, is_first_fragment: begins, is_last_fragment: ends, .. } =
                self.chunks[at];
            if tsn > self.cumulative_tsn {
                break;
            }
            let follows = last.replace(tsn).is_some_and(|last: Tsn| last.plus(1) == tsn);
            begin = if begins { Some(at) } else { begin.filter(|_| follows) };
            if let Some(begin) = begin.filter(|_| ends) {
                self.chunks.range_mut(begin..=at).for_each(|chunk| chunk.is_released = true);
            }
            begin = begin.filter(|_| !ends);
        }
        self.chunks.retain(|chunk| !chunk.is_released);
        self.buffered_bytes = self.chunks.iter().map(|chunk| chunk.bytes).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sctp::packet::{flag, ppid};

    const WHOLE: u8 = flag::BEGIN | flag::END;

    fn quota() -> ReceiveQuota {
        ReceiveQuota::new(HANDSHAKE_LIMITS, Tsn(u32::MAX - 2))
    }

    fn insert(held: &mut ReceiveQuota, tsn: u32, flags: u8) -> Result<(), &'static str> {
        let (tsn, protocol) = (Tsn(tsn), ppid::BINARY);
        held.on_data(&DataChunk { flags, tsn, stream_id: 0, ppid: protocol, payload: &[7; 100] })
    }

    #[test]
    fn a_whole_message_has_room_whatever_is_set() {
        let large = 1024 * 1024;
        for (partial_messages, bytes) in [(0, large), (1, large), (3, 3 * large)] {
            let config = Config::new(Vec::new());
            let config = Config {
                max_partial_messages: partial_messages,
                max_message_size: large,
                ..config
            };
            assert_eq!(QuotaLimits::from_config(&config).max_bytes, bytes);
        }
    }

    #[test]
    fn what_comes_whole_and_in_order_is_not_held() {
        let mut held = quota();
        for step in 0..10_000u32 {
            insert(&mut held, (u32::MAX - 1).wrapping_add(step), WHOLE).unwrap();
            assert_eq!((held.chunks.len(), held.buffered_bytes), (0, 0));
        }
    }

    #[test]
    fn a_gap_holds_what_is_behind_it_until_it_comes_or_is_given_up() {
        let mut held = quota();
        for tsn in [u32::MAX, 0, 1, 3, 3, 4] {
            insert(&mut held, tsn, WHOLE).unwrap();
        }
        assert_eq!((held.chunks.len(), held.buffered_bytes), (5, 500));
        insert(&mut held, u32::MAX - 1, WHOLE).unwrap();
        assert_eq!(held.chunks.len(), 2);
        insert(&mut held, u32::MAX - 1, WHOLE).unwrap();
        assert_eq!(held.chunks.len(), 2, "it came before");
        held.on_forward_tsn(Tsn(2));
        assert_eq!((held.chunks.len(), held.buffered_bytes), (0, 0));
        for tsn in [7, 10] {
            insert(&mut held, tsn, WHOLE).unwrap();
        }
        held.on_forward_tsn(Tsn(8));
        assert_eq!((held.chunks.len(), held.buffered_bytes), (1, 100));
    }

    #[test]
    fn pieces_are_held_until_their_message_is_whole() {
        let mut held = quota();
        insert(&mut held, u32::MAX - 1, flag::BEGIN).unwrap();
        insert(&mut held, 0, flag::END).unwrap();
        insert(&mut held, u32::MAX, 0).unwrap();
        assert_eq!(held.chunks.len(), 0);
        // Its end is missing, and what follows does not belong to it.
        for (tsn, flags) in [(1, flag::BEGIN), (2, 0), (3, WHOLE), (4, 0), (5, flag::END)] {
            insert(&mut held, tsn, flags).unwrap();
        }
        assert_eq!(held.chunks.len(), 4);
        held.on_forward_tsn(Tsn(5));
        assert_eq!(held.chunks.len(), 4, "everything up to there was here");
    }

    #[test]
    fn there_is_room_for_so_much() {
        let end = |flags: fn(u32) -> u8| {
            let mut held = quota();
            (0..2_000).position(|tsn| insert(&mut held, tsn * 2, flags(tsn)).is_err())
        };
        assert_eq!(end(|_| WHOLE), Some(HANDSHAKE_LIMITS.max_chunks));
        assert_eq!(end(|_| flag::END), Some(HANDSHAKE_LIMITS.max_chunks));
        let mut held = quota();
        let most = (0..2_000).position(|tsn| {
            let (tsn, protocol) = (Tsn(tsn), ppid::BINARY);
            held.on_data(&DataChunk {
                flags: 0,
                tsn,
                stream_id: 0,
                ppid: protocol,
                payload: &[7; 1_024],
            })
            .is_err()
        });
        assert_eq!(most, Some(HANDSHAKE_LIMITS.max_bytes / 1_024), "exactly so much");
    }
}
