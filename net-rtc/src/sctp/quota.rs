//! What SCTP holds of what a peer sent and cannot give out yet.

use std::collections::VecDeque;

use crate::sctp::packet::{Data, Tsn};
use crate::{Config, DataPathMode};

/// Where SCTP only opens the channel, and for peers that the plane does not fit, none of which
/// is a browser: bytes, if [`Config::partial_messages`] are no more, and chunks.
const LITTLE: Room = Room { bytes: 128 * 1024, chunks: 512 };
/// Where it carries the data: what its window promises.
const PROMISED: Room = Room { bytes: 1024 * 1024, chunks: 4_096 };
/// What a chunk costs beside its bytes, in sctp-proto and here (333 measured).
const CHUNK: usize = 384;

/// How much may be held.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    bytes: usize,
    chunks: usize,
}

/// Chunks behind a gap, and pieces of messages of which others have not come. The library's SCTP
/// keeps them all, and looks through them again and again, however many a peer sends.
#[derive(Debug)]
pub(super) struct Held {
    room: Room,
    /// Everything up to here has come, or was given up.
    cumulative: Tsn,
    /// In the order of their TSNs.
    chunks: VecDeque<Chunk>,
    bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Chunk {
    tsn: Tsn,
    bytes: usize,
    begins: bool,
    ends: bool,
    is_out: bool,
}

impl Room {
    pub(crate) fn of(config: &Config) -> Room {
        let Room { bytes, chunks } = match config.effective_data_path() {
            DataPathMode::LowLatency => LITTLE,
            DataPathMode::PlainSctp => PROMISED,
        };
        let partial = config.max_message_size.saturating_mul(config.max_partial_messages());
        Room { bytes: bytes.max(partial), chunks }
    }

    /// What the most of it costs, in bytes of memory.
    pub(crate) fn memory(self) -> usize {
        self.bytes.saturating_add(self.chunks * CHUNK)
    }
}

impl Held {
    /// Everything up to `before` has come.
    pub(super) fn new(room: Room, before: Tsn) -> Held {
        Held { room, cumulative: before, chunks: VecDeque::new(), bytes: 0 }
    }

    /// Notes a chunk on its way to SCTP.
    pub(super) fn insert(&mut self, data: &Data<'_>) -> Result<(), &'static str> {
        let at = self.chunks.partition_point(|chunk| chunk.tsn < data.tsn);
        let is_known = self.chunks.get(at).is_some_and(|chunk| chunk.tsn == data.tsn);
        if is_known || data.tsn <= self.cumulative {
            return Ok(());
        }
        let (tsn, bytes, begins, ends) = (data.tsn, data.payload.len(), data.begins(), data.ends());
        self.chunks.insert(at, Chunk { tsn, bytes, begins, ends, is_out: false });
        self.bytes += bytes;
        self.advance(at);
        match self.bytes > self.room.bytes || self.chunks.len() > self.room.chunks {
            true => Err("more that is not whole than may wait"),
            false => Ok(()),
        }
    }

    /// The peer has given up what is missing up to `tsn` (RFC 3758 §3.6).
    pub(super) fn forward(&mut self, tsn: Tsn) {
        if tsn <= self.cumulative {
            return;
        }
        self.cumulative = tsn;
        let passed = self.chunks.partition_point(|chunk| chunk.tsn <= tsn);
        self.chunks.drain(..passed).for_each(|chunk| self.bytes -= chunk.bytes);
        self.advance(0);
    }

    /// Moves on over what is here without a gap from the chunk `at` on, and lets go what is whole.
    fn advance(&mut self, at: usize) {
        let next = self.chunks.range(at..).map(|chunk| chunk.tsn);
        let cumulative =
            next.fold(self.cumulative, |last, tsn| if tsn == last.plus(1) { tsn } else { last });
        if cumulative != self.cumulative {
            self.cumulative = cumulative;
            self.let_go();
        }
    }

    fn let_go(&mut self) {
        let (mut begin, mut last) = (None, None);
        for at in 0..self.chunks.len() {
            let Chunk { tsn, begins, ends, .. } = self.chunks[at];
            if tsn > self.cumulative {
                break;
            }
            let follows = last.replace(tsn).is_some_and(|last: Tsn| last.plus(1) == tsn);
            begin = if begins { Some(at) } else { begin.filter(|_| follows) };
            if let Some(begin) = begin.filter(|_| ends) {
                self.chunks.range_mut(begin..=at).for_each(|chunk| chunk.is_out = true);
            }
            begin = begin.filter(|_| !ends);
        }
        self.chunks.retain(|chunk| !chunk.is_out);
        self.bytes = self.chunks.iter().map(|chunk| chunk.bytes).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sctp::packet::{flag, protocol};

    const WHOLE: u8 = flag::BEGIN | flag::END;

    fn held() -> Held {
        Held::new(LITTLE, Tsn(u32::MAX - 2))
    }

    fn insert(held: &mut Held, tsn: u32, flags: u8) -> Result<(), &'static str> {
        let (tsn, protocol) = (Tsn(tsn), protocol::BINARY);
        held.insert(&Data { flags, tsn, stream: 0, protocol, payload: &[7; 100] })
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
            assert_eq!(Room::of(&config).bytes, bytes);
        }
    }

    #[test]
    fn what_comes_whole_and_in_order_is_not_held() {
        let mut held = held();
        for step in 0..10_000u32 {
            insert(&mut held, (u32::MAX - 1).wrapping_add(step), WHOLE).unwrap();
            assert_eq!((held.chunks.len(), held.bytes), (0, 0));
        }
    }

    #[test]
    fn a_gap_holds_what_is_behind_it_until_it_comes_or_is_given_up() {
        let mut held = held();
        for tsn in [u32::MAX, 0, 1, 3, 3, 4] {
            insert(&mut held, tsn, WHOLE).unwrap();
        }
        assert_eq!((held.chunks.len(), held.bytes), (5, 500));
        insert(&mut held, u32::MAX - 1, WHOLE).unwrap();
        assert_eq!(held.chunks.len(), 2);
        insert(&mut held, u32::MAX - 1, WHOLE).unwrap();
        assert_eq!(held.chunks.len(), 2, "it came before");
        held.forward(Tsn(2));
        assert_eq!((held.chunks.len(), held.bytes), (0, 0));
        for tsn in [7, 10] {
            insert(&mut held, tsn, WHOLE).unwrap();
        }
        held.forward(Tsn(8));
        assert_eq!((held.chunks.len(), held.bytes), (1, 100));
    }

    #[test]
    fn pieces_are_held_until_their_message_is_whole() {
        let mut held = held();
        insert(&mut held, u32::MAX - 1, flag::BEGIN).unwrap();
        insert(&mut held, 0, flag::END).unwrap();
        insert(&mut held, u32::MAX, 0).unwrap();
        assert_eq!(held.chunks.len(), 0);
        // Its end is missing, and what follows does not belong to it.
        for (tsn, flags) in [(1, flag::BEGIN), (2, 0), (3, WHOLE), (4, 0), (5, flag::END)] {
            insert(&mut held, tsn, flags).unwrap();
        }
        assert_eq!(held.chunks.len(), 4);
        held.forward(Tsn(5));
        assert_eq!(held.chunks.len(), 4, "everything up to there was here");
    }

    #[test]
    fn there_is_room_for_so_much() {
        let end = |flags: fn(u32) -> u8| {
            let mut held = held();
            (0..2_000).position(|tsn| insert(&mut held, tsn * 2, flags(tsn)).is_err())
        };
        assert_eq!(end(|_| WHOLE), Some(LITTLE.chunks));
        assert_eq!(end(|_| flag::END), Some(LITTLE.chunks));
        let mut held = held();
        let most = (0..2_000).position(|tsn| {
            let (tsn, protocol) = (Tsn(tsn), protocol::BINARY);
            held.insert(&Data { flags: 0, tsn, stream: 0, protocol, payload: &[7; 1_024] }).is_err()
        });
        assert_eq!(most, Some(LITTLE.bytes / 1_024), "exactly so much");
    }
}
