//! The first words of SCTP after the plane: what was lost before must not hold it up.

use std::time::{Duration, Instant};

use super::packet::{Builder, Header, Sack, chunks, kind};
use super::tsn::Tsn;

/// Never more often than this is it said again.
const PAUSE: Duration = Duration::from_millis(20);

/// Moves the peer past everything that the plane sent, until it says that it is there.
#[derive(Debug)]
pub(super) struct CatchUp {
    header: Header,
    target: Tsn,
    said: Instant,
    packet: Option<Vec<u8>>,
}

impl CatchUp {
    pub(super) fn new(now: Instant, header: Header, target: Tsn) -> CatchUp {
        let packet = Some(forward(header, target));
        CatchUp { header, target, said: now, packet }
    }

    /// Looks whether the peer is there, and says it again if not.
    pub(super) fn inbound(&mut self, now: Instant, packet: &[u8]) {
        let sacks = chunks(packet).filter(|chunk| chunk.kind == kind::SACK);
        let behind =
            sacks.filter_map(|chunk| Sack::parse(&chunk)).any(|sack| sack.cumulative < self.target);
        if behind && now >= self.said + PAUSE {
            self.said = now;
            self.packet = Some(forward(self.header, self.target));
        }
    }

    pub(super) fn packet(&mut self) -> Option<Vec<u8>> {
        self.packet.take()
    }
}

fn forward(header: Header, target: Tsn) -> Vec<u8> {
    let mut builder = Builder::new(header);
    builder.forward_tsn(target);
    builder.finish()
}
