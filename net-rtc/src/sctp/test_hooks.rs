//! What no honest peer does inside of DTLS: for tests.

use std::collections::VecDeque;

use crate::sctp::packet::{Builder, Tsn, chunks};
use crate::sctp::{Passage, Plane, Stage};

/// What a test wants of a plane.
#[derive(Debug, Default)]
pub(crate) struct Odd {
    /// The network loses the peer's next packet that ends with this chunk.
    pub(crate) lose: Option<u8>,
    /// Chunks that this side never sends.
    pub(crate) muted: Vec<u8>,
    /// Whether this side ends nobody for an offence.
    pub(crate) forgives: bool,
    packets: VecDeque<Vec<u8>>,
}

impl Odd {
    pub(super) fn loses(&mut self, packet: &[u8]) -> bool {
        let last = chunks(packet).last().map(|chunk| chunk.kind);
        self.lose.is_some() && self.lose.take_if(|lose| Some(*lose) == last).is_some()
    }

    pub(super) fn packet(&mut self) -> Option<Vec<u8>> {
        self.packets.pop_front()
    }

    /// A packet of this side without what it never sends.
    pub(super) fn mute(&self, packet: &[u8]) -> Passage {
        if !chunks(packet).any(|chunk| self.muted.contains(&chunk.kind)) {
            return Passage::Pass;
        }
        Passage::rewrite(packet, |builder, chunk| {
            if !self.muted.contains(&chunk.kind) {
                builder.copy(chunk);
            }
        })
    }
}

impl Plane {
    /// Sends a packet that an honest peer would not; false before SCTP has begun.
    pub(crate) fn inject(&mut self, write: impl FnOnce(&mut Builder)) -> bool {
        let Some(header) = self.watch.header() else { return false };
        let mut builder = Builder::new(header);
        write(&mut builder);
        self.odd.packets.push_back(builder.finish());
        true
    }

    /// The TSN that we would give next, and the peer's highest that arrived.
    pub(crate) fn tsns(&self) -> Option<(Tsn, Tsn)> {
        match &self.stage {
            Stage::Engaged(engaged) => Some(engaged.tsns()),
            Stage::Watching(..) | Stage::Plain(_) => None,
        }
    }
}
