//! Two counts of TSNs, and the way from one to the other.

use std::time::{Duration, Instant};

use crate::sctp::packet::{Builder, HEADER, Header, Sack, Tsn, chunks, kind, seal, u16_at, u32_at};

/// By how much the TSNs on the wire are ahead of those that SCTP counts. While the plane
/// carries the data SCTP's count stands still; should SCTP carry it again, every TSN that
/// passes is moved by the difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shift {
    /// For what we send.
    pub(super) ours: u32,
    /// For what the peer sends.
    pub(super) theirs: u32,
}

impl Shift {
    /// A packet of SCTP as it should be on the wire; `None` if it is so already.
    pub(super) fn outbound(self, packet: &[u8]) -> Option<Vec<u8>> {
        self.moved(packet, self.ours, self.theirs)
    }

    /// A packet from the wire as SCTP should see it; `None` if it is so already.
    pub(super) fn inbound(self, packet: &[u8]) -> Option<Vec<u8>> {
        self.moved(packet, self.theirs.wrapping_neg(), self.ours.wrapping_neg())
    }

    /// Moves what a packet says of its sender's data by one step, of its receiver's by another.
    fn moved(self, packet: &[u8], own: u32, other: u32) -> Option<Vec<u8>> {
        if self == Shift::default() {
            return None;
        }
        let mut packet = packet.to_vec();
        let mut at = HEADER;
        while let Some(length) = u16_at(&packet, at + 2).map(usize::from).filter(|n| *n >= 4) {
            if let Some((field, step)) = tsn_field(&packet, at, own, other) {
                add(&mut packet, field, step);
            }
            at += length.next_multiple_of(4);
        }
        seal(&mut packet);
        Some(packet)
    }
}

/// Where the chunk at `at` has a TSN, and by how much it moves.
fn tsn_field(packet: &[u8], at: usize, own: u32, other: u32) -> Option<(usize, u32)> {
    /// Parameter 13 of RFC 6525 §4.1: type, length, two sequence numbers, then the last TSN.
    const OUTGOING_RESET: u16 = 13;
    match *packet.get(at)? {
        kind::INIT | kind::INIT_ACK => Some((at + 16, own)),
        kind::DATA | kind::FORWARD_TSN => Some((at + 4, own)),
        kind::SACK | kind::SHUTDOWN => Some((at + 4, other)),
        kind::RE_CONFIG if u16_at(packet, at + 4)? == OUTGOING_RESET => Some((at + 16, own)),
        _ => None,
    }
}

fn add(packet: &mut [u8], field: usize, step: u32) {
    if let Some(tsn) = u32_at(packet, field) {
        packet[field..field + 4].copy_from_slice(&tsn.wrapping_add(step).to_be_bytes());
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sctp::packet::{Builder, Data, Header, Sack, Tsn, chunks, protocol};

    fn packet(data: u32, sack: u32) -> Vec<u8> {
        let mut builder = Builder::new(Header { source: 1, destination: 2, tag: 3 });
        let (flags, stream, protocol) = (7, 0, protocol::BINARY);
        builder.data(&Data { flags, tsn: Tsn(data), stream, protocol, payload: b"odd" });
        builder.sack(Tsn(sack), 9);
        builder.forward_tsn(Tsn(data));
        builder.chunk(kind::SHUTDOWN, 0, &[&sack.to_be_bytes()]);
        let reset = [&[0, 13, 0, 18][..], &[0; 8], &data.to_be_bytes(), &[0, 1]];
        builder.chunk(kind::RE_CONFIG, 0, &reset);
        builder.finish()
    }

    #[test]
    fn every_tsn_moves_and_comes_back() {
        let shift = Shift { ours: 1_000, theirs: u32::MAX - 5 };
        let sent = shift.outbound(&packet(7, 100)).unwrap();
        assert_eq!(sent, packet(1_007, 94));
        // The peer's packets say of their own data what ours say of theirs.
        let mirrored = Shift { ours: shift.theirs, theirs: shift.ours };
        assert_eq!(mirrored.inbound(&sent).unwrap(), packet(7, 100));
    }

    #[test]
    fn nothing_moves_by_nothing() {
        assert_eq!(Shift::default().outbound(&packet(7, 100)), None);
        assert_eq!(Shift::default().inbound(&packet(7, 100)), None);
    }

    #[test]
    fn cut_packets_stay_whole_as_far_as_they_go() {
        let whole = packet(7, 100);
        for length in HEADER..whole.len() {
            let moved = Shift { ours: 1, theirs: 1 }.inbound(&whole[..length]).unwrap();
            assert_eq!(moved.len(), length);
            for chunk in chunks(&moved) {
                let _ = Sack::parse(&chunk);
            }
        }
    }
}
