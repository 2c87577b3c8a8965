//! Fallback to plain SCTP: its watchdog, the TSN offset and the closing FORWARD-TSN (RFC 3758).

use std::time::{Duration, Instant};

use crate::sctp::packet::{
    CommonHeader, HEADER_LEN, PacketWriter, SackChunk, Tsn, chunk_type, chunks, u16_at, u32_at,
    write_checksum,
};

/// Difference between the TSNs on the wire and those of SCTP. SCTP's count stands still while the
/// association carries the data; after a fallback each TSN that passes is shifted by the
/// difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TsnOffset {
    /// Offset of own TSNs.
    pub(super) local: u32,
    /// Offset of the peer's TSNs.
    pub(super) remote: u32,
}

impl TsnOffset {
    /// Returns a packet of SCTP with the TSNs of the wire; `None` without an offset.
    pub(super) fn shift_outbound(self, packet: &[u8]) -> Option<Vec<u8>> {
        self.shift_tsns(packet, self.local, self.remote)
    }

    /// Returns a packet of the wire with the TSNs of SCTP; `None` without an offset.
    pub(super) fn shift_inbound(self, packet: &[u8]) -> Option<Vec<u8>> {
        self.shift_tsns(packet, self.remote.wrapping_neg(), self.local.wrapping_neg())
    }

    /// Shifts TSNs of the packet's sender by `own`, and of its receiver by `other`.
    fn shift_tsns(self, packet: &[u8], own: u32, other: u32) -> Option<Vec<u8>> {
        if self == TsnOffset::default() {
            return None;
        }
        let mut packet = packet.to_vec();
        let mut at = HEADER_LEN;
        while let Some(length) = u16_at(&packet, at + 2).map(usize::from).filter(|n| *n >= 4) {
            if let Some((field, step)) = tsn_field(&packet, at, own, other) {
                add_to_field(&mut packet, field, step);
            }
            at += length.next_multiple_of(4);
        }
        write_checksum(&mut packet);
        Some(packet)
    }
}

/// Returns the offset of the TSN in the chunk at `at`, and its shift.
fn tsn_field(packet: &[u8], at: usize, own: u32, other: u32) -> Option<(usize, u32)> {
    /// Parameter 13 of RFC 6525 §4.1: type, length, two sequence numbers, then the last TSN.
    const OUTGOING_RESET: u16 = 13;
    match *packet.get(at)? {
        chunk_type::INIT | chunk_type::INIT_ACK => Some((at + 16, own)),
        chunk_type::DATA | chunk_type::FORWARD_TSN => Some((at + 4, own)),
        chunk_type::SACK | chunk_type::SHUTDOWN => Some((at + 4, other)),
        chunk_type::RE_CONFIG if u16_at(packet, at + 4)? == OUTGOING_RESET => Some((at + 16, own)),
        _ => None,
    }
}

fn add_to_field(packet: &mut [u8], field: usize, step: u32) {
    if let Some(tsn) = u32_at(packet, field) {
        packet[field..field + 4].copy_from_slice(&tsn.wrapping_add(step).to_be_bytes());
    }
}

/// Shortest interval between FORWARD-TSNs.
const FORWARD_TSN_INTERVAL: Duration = Duration::from_millis(20);

/// FORWARD-TSN over all data of the association, repeated until the peer acknowledges it: the
/// fallback from the data path to str0m's SCTP begins with it.
#[derive(Debug)]
pub(super) struct FallbackForward {
    header: CommonHeader,
    target_tsn: Tsn,
    last_sent: Instant,
    queued_packet: Option<Vec<u8>>,
}

impl FallbackForward {
    pub(super) fn new(now: Instant, header: CommonHeader, target_tsn: Tsn) -> FallbackForward {
        let queued_packet = Some(forward_tsn_packet(header, target_tsn));
        FallbackForward { header, target_tsn, last_sent: now, queued_packet }
    }

    /// Takes a packet of the peer; repeats the FORWARD-TSN if a SACK is below it.
    pub(super) fn on_recv(&mut self, now: Instant, packet: &[u8]) {
        let sacks = chunks(packet).filter(|chunk| chunk.chunk_type == chunk_type::SACK);
        let behind = sacks
            .filter_map(|chunk| SackChunk::parse(&chunk))
            .any(|sack| sack.cumulative_tsn < self.target_tsn);
        if behind && now >= self.last_sent + FORWARD_TSN_INTERVAL {
            self.last_sent = now;
            self.queued_packet = Some(forward_tsn_packet(self.header, self.target_tsn));
        }
    }

    pub(super) fn poll_packet(&mut self) -> Option<Vec<u8>> {
        self.queued_packet.take()
    }
}

fn forward_tsn_packet(header: CommonHeader, target: Tsn) -> Vec<u8> {
    let mut builder = PacketWriter::new(header);
    builder.write_forward_tsn(target);
    builder.finish()
}

/// Fall back after this many ignored FORWARD-TSNs over at least this time.
const MIN_IGNORED_COUNT: u32 = 8;
const MIN_IGNORED_DURATION: Duration = Duration::from_secs(2);

/// Watchdog of peers that ignore FORWARD-TSN. Counts packets with data and FORWARD-TSN whose data
/// arrived, so the peer must have received the FORWARD-TSN too; lost packets prove nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ForwardTsnWatchdog {
    /// The packet of the pending FORWARD-TSN, and its TSN.
    pending: Option<(u32, Tsn)>,
    /// Time of the first ignored FORWARD-TSN, and their number.
    ignored: Option<(Instant, u32)>,
}

impl ForwardTsnWatchdog {
    /// Records a packet with data and a FORWARD-TSN of `target`.
    pub(super) fn on_send(&mut self, packet: u32, target: Tsn) {
        self.pending.get_or_insert((packet, target));
    }

    /// Returns the packet of the pending FORWARD-TSN.
    pub(super) fn pending_packet(&self) -> Option<u32> {
        self.pending.map(|(packet, _)| packet)
    }

    /// Records that the packet arrived, and that the peer's cumulative TSN is `cumulative`.
    pub(super) fn on_ack(&mut self, now: Instant, cumulative: Tsn) {
        let Some((_, target)) = self.pending.take() else { return };
        self.ignored = (cumulative < target).then(|| {
            let (since, times) = self.ignored.unwrap_or((now, 0));
            (since, times + 1)
        });
    }

    /// Records that the packet is lost.
    pub(super) fn on_loss(&mut self) {
        self.pending = None;
    }

    /// Returns whether the peer ignored FORWARD-TSN often and long enough.
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.ignored.is_some_and(|(since, times)| {
            times >= MIN_IGNORED_COUNT && now >= since + MIN_IGNORED_DURATION
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sctp::packet::{
        CommonHeader, DataChunk, PacketWriter, SackChunk, Tsn, chunks, ppid,
    };

    fn packet(data: u32, sack: u32) -> Vec<u8> {
        let mut builder = PacketWriter::new(CommonHeader {
            source_port: 1,
            destination_port: 2,
            verification_tag: 3,
        });
        let (flags, stream, protocol) = (7, 0, ppid::BINARY);
        builder.write_data(&DataChunk {
            flags,
            tsn: Tsn(data),
            stream_id: stream,
            ppid: protocol,
            payload: b"odd",
        });
        builder.write_sack(Tsn(sack), 9);
        builder.write_forward_tsn(Tsn(data));
        builder.write_chunk(chunk_type::SHUTDOWN, 0, &[&sack.to_be_bytes()]);
        let reset = [&[0, 13, 0, 18][..], &[0; 8], &data.to_be_bytes(), &[0, 1]];
        builder.write_chunk(chunk_type::RE_CONFIG, 0, &reset);
        builder.finish()
    }

    #[test]
    fn every_tsn_moves_and_comes_back() {
        let shift = TsnOffset { local: 1_000, remote: u32::MAX - 5 };
        let sent = shift.shift_outbound(&packet(7, 100)).unwrap();
        assert_eq!(sent, packet(1_007, 94));
        // The peer's packets say of their own data what ours say of theirs.
        let mirrored = TsnOffset { local: shift.remote, remote: shift.local };
        assert_eq!(mirrored.shift_inbound(&sent).unwrap(), packet(7, 100));
    }

    #[test]
    fn nothing_moves_by_nothing() {
        assert_eq!(TsnOffset::default().shift_outbound(&packet(7, 100)), None);
        assert_eq!(TsnOffset::default().shift_inbound(&packet(7, 100)), None);
    }

    #[test]
    fn cut_packets_stay_whole_as_far_as_they_go() {
        let whole = packet(7, 100);
        for length in HEADER_LEN..whole.len() {
            let moved = TsnOffset { local: 1, remote: 1 }.shift_inbound(&whole[..length]).unwrap();
            assert_eq!(moved.len(), length);
            for chunk in chunks(&moved) {
                let _ = SackChunk::parse(&chunk);
            }
        }
    }
}
