//! One chunk on its way, and what is told of many.

use std::time::{Duration, Instant};

/// A chunk that was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    pub(super) left: Instant,
    /// The packet that it left in, counted from the first.
    pub(super) packet: u32,
    /// What it takes of its packet.
    pub(super) bytes: u16,
    /// Its packet, in bytes.
    pub(super) size: u16,
    /// Whether it is the last of its packet, and so speaks for it.
    pub(super) last: bool,
    /// Whether its packet left after a pause, and so met no queue of the one before.
    pub(super) leads: bool,
    /// Whether the peer was asked to acknowledge it at once.
    pub(super) prompt: bool,
    /// Whether it is the last of its message.
    pub(super) ends: bool,
    /// Whether its message is abandoned (RFC 3758 §3.5), whatever became of the chunk itself.
    pub(super) abandoned: bool,
    pub(super) care: Care,
    pub(super) fate: Fate,
    /// What is known of the packet in which it left first.
    pub(super) first: First,
}

/// What else is done for a chunk besides sending it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    /// Nothing.
    Once,
    /// It may ride again.
    Kept,
    /// It rode again, for the first time in this packet, and for the last time so many
    /// milliseconds after it left.
    Copied { packet: u32, last: u16 },
}

/// Whether the peer has a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Unknown,
    Arrived,
    GivenUp,
}

/// Whether the packet arrived in which a chunk left first. Of a chunk that rode again nobody
/// may ever know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    Unknown,
    Arrived,
    Lost,
    /// It was lost, or the SACK that would have told of it.
    Doubtful,
}

/// What a SACK told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Told {
    /// Packets that arrived. Chunks of one packet share its fate, so it counts once.
    pub(crate) arrived: u32,
    /// Packets that did not, and when the last of them left.
    pub(crate) lost: u32,
    pub(crate) lost_left: Option<Instant>,
    /// What arrived, in bytes of packets.
    pub(crate) bytes: usize,
    /// The round trip of a packet that was acknowledged at once.
    pub(crate) rtt: Option<Duration>,
    /// How many times as far as independent losses these stray from the average.
    pub(crate) spread: f64,
}

impl Told {
    /// Takes what is known of a chunk now.
    pub(super) fn count(&mut self, flight: &Flight) {
        match flight.first {
            First::Arrived if flight.last => self.arrived += 1,
            First::Lost if flight.last => self.lose(flight.left),
            _ => {}
        }
    }

    pub(super) fn lose(&mut self, left: Instant) {
        self.lost += 1;
        self.lost_left = self.lost_left.max(Some(left));
    }
}

impl Flight {
    pub(super) fn new(left: Instant, packet: u32, bytes: usize, care: Care, ends: bool) -> Flight {
        Flight {
            left,
            packet,
            bytes: u16::try_from(bytes).unwrap_or(u16::MAX),
            size: 0,
            last: false,
            leads: false,
            prompt: false,
            ends,
            abandoned: false,
            care,
            fate: Fate::Unknown,
            first: First::Unknown,
        }
    }
}
