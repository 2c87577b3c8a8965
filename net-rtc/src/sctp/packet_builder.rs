//! A packet in the making.

use bytes::Bytes;

use crate::Repair;
use crate::sctp::packet::{Builder, DATA_HEADER, Data, HEADER, Header, Tsn, flag, protocol};

/// What goes into one chunk: a message, or a part of one.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    flags: u8,
    protocol: u32,
    payload: Bytes,
    pub(super) wish: Wish,
}

/// When a chunk may ride again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Never,
    WhileLossy,
    Always,
}

impl Wish {
    /// What the sender of a message says goes before what is configured.
    pub(super) fn of(configured: Repair, said: Option<bool>) -> Wish {
        match (said, configured) {
            (Some(true), _) | (None, Repair::On) => Wish::Always,
            (Some(false), _) | (None, Repair::Off) => Wish::Never,
            (None, Repair::WhileLossy) => Wish::WhileLossy,
        }
    }
}

/// A message in as few pieces as possible, each for a packet of `size` bytes at most.
pub(super) fn pieces(message: &Bytes, wish: Wish, size: usize) -> impl Iterator<Item = Piece> {
    let most = size - HEADER - DATA_HEADER;
    let (protocol, bytes) = match message.is_empty() {
        true => (protocol::BINARY_EMPTY, Bytes::from_static(&[0])),
        false => (protocol::BINARY, message.clone()),
    };
    let last = bytes.len().div_ceil(most) - 1;
    (0..=last).map(move |index| {
        let begin = if index == 0 { flag::BEGIN } else { 0 };
        let end = if index == last { flag::END } else { 0 };
        let from = index * most;
        let payload = bytes.slice(from..bytes.len().min(from + most));
        Piece { flags: flag::UNORDERED | begin | end, protocol, payload, wish }
    })
}

impl Piece {
    /// As a chunk, in bytes.
    pub(super) fn size(&self) -> usize {
        (DATA_HEADER + self.payload.len()).next_multiple_of(4)
    }

    /// Whether it is the last of its message.
    pub(super) fn ends(&self) -> bool {
        self.flags & flag::END != 0
    }

    /// Writes it, with one more flag or none.
    pub(super) fn write(&self, tsn: Tsn, stream: u16, flag: u8, builder: &mut Builder) {
        let Piece { flags, protocol, payload, .. } = self;
        let (flags, protocol) = (flags | flag, *protocol);
        builder.data(&Data { flags, tsn, stream, protocol, payload });
    }
}

/// What must be said is written at once; what is new waits, for what rides again comes first:
/// the TSNs of a packet ascend (RFC 9260 §6.10).
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) builder: Builder,
    fresh: Vec<(Tsn, Piece)>,
    bytes: usize,
    /// The most that the whole packet may have.
    most: usize,
}

impl Draft {
    /// A packet of `most` bytes at most.
    pub(super) fn new(header: Header, most: usize) -> Draft {
        Draft { builder: Builder::new(header), fresh: Vec::new(), bytes: 0, most }
    }

    pub(super) fn push(&mut self, tsn: Tsn, piece: Piece) {
        self.bytes += piece.size();
        self.fresh.push((tsn, piece));
    }

    /// The whole packet, in bytes.
    pub(super) fn size(&self) -> usize {
        self.builder.len() + self.bytes
    }

    pub(super) fn room(&self) -> usize {
        self.most.saturating_sub(self.size())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.builder.is_empty() && self.fresh.is_empty()
    }

    pub(super) fn has_data(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// Writes what is new, and gives it back; the last piece may ask for an acknowledgement.
    pub(super) fn write(&mut self, stream: u16, asks: bool) -> Vec<(Tsn, Piece)> {
        let fresh = std::mem::take(&mut self.fresh);
        self.bytes = 0;
        for (index, (tsn, piece)) in fresh.iter().enumerate() {
            let is_last = index + 1 == fresh.len();
            let flag = if asks && is_last { flag::IMMEDIATE } else { 0 };
            piece.write(*tsn, stream, flag, &mut self.builder);
        }
        fresh
    }
}
