//! SCTP packet codec (RFC 9260 §3): zero-copy parser, writer, and TSN arithmetic.

use std::cmp::Ordering;
use std::fmt;

/// Source port, destination port, verification tag, checksum.
pub(crate) const HEADER_LEN: usize = 12;
const CHECKSUM_RANGE: std::ops::Range<usize> = 8..12;
const CHUNK_HEADER_LEN: usize = 4;
/// A DATA chunk without its payload.
pub(crate) const DATA_HEADER_LEN: usize = 16;

/// Chunk types (RFC 9260 §3.2, RFC 3758 §3.2, RFC 6525 §3.1).
pub(crate) mod chunk_type {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const INIT: u8 = 1;
    pub(crate) const INIT_ACK: u8 = 2;
    pub(crate) const SACK: u8 = 3;
    pub(crate) const HEARTBEAT: u8 = 4;
    pub(crate) const HEARTBEAT_ACK: u8 = 5;
    pub(crate) const ABORT: u8 = 6;
    pub(crate) const SHUTDOWN: u8 = 7;
    pub(crate) const SHUTDOWN_ACK: u8 = 8;
    pub(crate) const COOKIE_ECHO: u8 = 10;
    pub(crate) const COOKIE_ACK: u8 = 11;
    pub(crate) const RE_CONFIG: u8 = 130;
    /// RFC 4820.
    pub(crate) const PAD: u8 = 132;
    pub(crate) const FORWARD_TSN: u8 = 192;
}

/// Payload protocol identifiers (RFC 8831 §8).
pub(crate) mod ppid {
    /// DATA_CHANNEL_OPEN and DATA_CHANNEL_ACK (RFC 8832).
    pub(crate) const DCEP: u32 = 50;
    pub(crate) const STRING: u32 = 51;
    pub(crate) const BINARY: u32 = 53;
    pub(crate) const STRING_EMPTY: u32 = 56;
    pub(crate) const BINARY_EMPTY: u32 = 57;
}

/// Messages of RFC 8832 §5, by their first byte.
pub(crate) mod dcep {
    pub(crate) const ACK: u8 = 2;
    pub(crate) const OPEN: u8 = 3;
}

/// Flags of a DATA chunk (RFC 9260 §3.3.1).
pub(crate) mod flag {
    pub(crate) const END: u8 = 1;
    pub(crate) const BEGIN: u8 = 2;
    pub(crate) const UNORDERED: u8 = 4;
    /// Acknowledge at once (RFC 7053).
    pub(crate) const IMMEDIATE: u8 = 8;
}

/// Common header (RFC 9260 §3.1) of the packets of one direction, without the checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CommonHeader {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) verification_tag: u32,
}

impl CommonHeader {
    pub(crate) fn parse(packet: &[u8]) -> Option<CommonHeader> {
        let source = u16_at(packet, 0)?;
        Some(CommonHeader {
            source_port: source,
            destination_port: u16_at(packet, 2)?,
            verification_tag: u32_at(packet, 4)?,
        })
    }
}

/// One chunk of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk<'a> {
    pub(crate) chunk_type: u8,
    pub(crate) flags: u8,
    pub(crate) value: &'a [u8],
}

/// Iterates over the chunks of a packet, up to the first malformed one.
pub(crate) fn chunks(packet: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut rest = packet.get(HEADER_LEN..).unwrap_or_default();
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 2)?);
        let value = rest.get(CHUNK_HEADER_LEN..length)?;
        let chunk = Chunk { chunk_type: rest[0], flags: rest[1], value };
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(chunk)
    })
}

/// A DATA chunk (RFC 9260 §3.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DataChunk<'a> {
    pub(crate) flags: u8,
    pub(crate) tsn: Tsn,
    pub(crate) stream_id: u16,
    pub(crate) ppid: u32,
    pub(crate) payload: &'a [u8],
}

impl<'a> DataChunk<'a> {
    pub(crate) fn parse(chunk: &Chunk<'a>) -> Option<DataChunk<'a>> {
        Some(DataChunk {
            flags: chunk.flags,
            tsn: Tsn(u32_at(chunk.value, 0)?),
            stream_id: u16_at(chunk.value, 4)?,
            ppid: u32_at(chunk.value, 8)?,
            payload: chunk.value.get(12..)?,
        })
    }

    pub(crate) fn is_unfragmented(&self) -> bool {
        self.is_first_fragment() && self.is_last_fragment()
    }

    pub(crate) fn is_first_fragment(&self) -> bool {
        self.flags & flag::BEGIN != 0
    }

    pub(crate) fn is_last_fragment(&self) -> bool {
        self.flags & flag::END != 0
    }
}

/// A SACK chunk (RFC 9260 §3.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SackChunk<'a> {
    pub(crate) cumulative_tsn: Tsn,
    pub(crate) a_rwnd: u32,
    raw_gap_blocks: &'a [u8],
    raw_duplicates: &'a [u8],
}

impl<'a> SackChunk<'a> {
    pub(crate) fn parse(chunk: &Chunk<'a>) -> Option<SackChunk<'a>> {
        let gaps = 12 + 4 * usize::from(u16_at(chunk.value, 8)?);
        let duplicates = gaps + 4 * usize::from(u16_at(chunk.value, 10)?);
        Some(SackChunk {
            cumulative_tsn: Tsn(u32_at(chunk.value, 0)?),
            a_rwnd: u32_at(chunk.value, 4)?,
            raw_gap_blocks: chunk.value.get(12..gaps)?,
            raw_duplicates: chunk.value.get(gaps..duplicates).unwrap_or_default(),
        })
    }

    /// Returns the first and last TSN of each gap ack block.
    pub(crate) fn gap_blocks(&self) -> impl Iterator<Item = (Tsn, Tsn)> + 'a {
        let cumulative = self.cumulative_tsn;
        let offset = |bytes: &[u8]| u32::from(u16::from_be_bytes([bytes[0], bytes[1]]));
        self.raw_gap_blocks.chunks_exact(4).map(move |block| {
            (cumulative.plus(offset(block)), cumulative.plus(offset(&block[2..])))
        })
    }

    pub(crate) fn gap_block_count(&self) -> usize {
        self.raw_gap_blocks.len() / 4
    }

    /// Returns the duplicate TSNs since the last SACK.
    pub(crate) fn duplicate_tsns(&self) -> impl Iterator<Item = Tsn> + 'a {
        self.raw_duplicates.chunks_exact(4).filter_map(|bytes| u32_at(bytes, 0).map(Tsn))
    }
}

/// Parses the new cumulative TSN of a FORWARD-TSN chunk (RFC 3758 §3.2).
pub(crate) fn parse_forward_tsn(chunk: &Chunk<'_>) -> Option<Tsn> {
    u32_at(chunk.value, 0).map(Tsn)
}

/// An INIT or INIT-ACK chunk (RFC 9260 §3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InitChunk {
    /// Verification tag of each packet to its sender.
    pub(crate) initiate_tag: u32,
    pub(crate) initial_tsn: Tsn,
    /// Whether its sender supports FORWARD-TSN (RFC 3758 §3.1, RFC 5061 §4.2.7).
    pub(crate) supports_forward_tsn: bool,
}

impl InitChunk {
    pub(crate) fn parse(chunk: &Chunk<'_>) -> Option<InitChunk> {
        const FORWARD_TSN_SUPPORTED: u16 = 0xc000;
        const SUPPORTED_EXTENSIONS: u16 = 0x8008;
        let (tag, first) = (u32_at(chunk.value, 0)?, Tsn(u32_at(chunk.value, 12)?));
        let forwards = parameters(chunk.value.get(16..)?).any(|(kind, value)| match kind {
            FORWARD_TSN_SUPPORTED => true,
            SUPPORTED_EXTENSIONS => value.contains(&chunk_type::FORWARD_TSN),
            _ => false,
        });
        Some(InitChunk { initiate_tag: tag, initial_tsn: first, supports_forward_tsn: forwards })
    }
}

/// Iterates over type and value of each parameter (RFC 9260 §3.2.1), up to the first malformed one.
pub(crate) fn parameters(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (kind, length) = (u16_at(rest, 0)?, usize::from(u16_at(rest, 2)?));
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// Writer of an SCTP packet.
#[derive(Debug)]
pub(crate) struct PacketWriter {
    bytes: Vec<u8>,
}

impl PacketWriter {
    pub(crate) fn new(header: CommonHeader) -> PacketWriter {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend(header.source_port.to_be_bytes());
        bytes.extend(header.destination_port.to_be_bytes());
        bytes.extend(header.verification_tag.to_be_bytes());
        bytes.extend([0; 4]);
        PacketWriter { bytes }
    }

    pub(crate) fn write_chunk(&mut self, kind: u8, flags: u8, parts: &[&[u8]]) {
        let length = CHUNK_HEADER_LEN + parts.iter().map(|part| part.len()).sum::<usize>();
        self.bytes.extend([kind, flags]);
        self.bytes.extend((length as u16).to_be_bytes());
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// Writes bytes that may be no valid chunks.
    #[cfg(any(test, feature = "odd"))]
    pub(crate) fn write_raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Copies a chunk unchanged.
    pub(crate) fn copy_chunk(&mut self, chunk: &Chunk<'_>) {
        self.write_chunk(chunk.chunk_type, chunk.flags, &[chunk.value]);
    }

    pub(crate) fn write_data(&mut self, data: &DataChunk<'_>) {
        self.write_chunk(
            chunk_type::DATA,
            data.flags,
            &[
                &data.tsn.0.to_be_bytes(),
                &data.stream_id.to_be_bytes(),
                // The stream sequence number is meaningless for unordered messages.
                &[0, 0],
                &data.ppid.to_be_bytes(),
                data.payload,
            ],
        );
    }

    /// Writes a SACK chunk without gap blocks and duplicates.
    pub(crate) fn write_sack(&mut self, cumulative: Tsn, window: u32) {
        let fields = [&cumulative.0.to_be_bytes()[..], &window.to_be_bytes(), &[0; 4]];
        self.write_chunk(chunk_type::SACK, 0, &fields);
    }

    /// Writes a FORWARD-TSN chunk without streams: the channel is unordered.
    pub(crate) fn write_forward_tsn(&mut self, cumulative: Tsn) {
        self.write_chunk(chunk_type::FORWARD_TSN, 0, &[&cumulative.0.to_be_bytes()]);
    }

    /// Writes a HEARTBEAT chunk; the peer echoes `info` (RFC 9260 §3.3.5).
    pub(crate) fn write_heartbeat(&mut self, info: &[u8]) {
        const HEARTBEAT_INFO_PARAM: u16 = 1;
        let length = (CHUNK_HEADER_LEN + info.len()) as u16;
        self.write_chunk(
            chunk_type::HEARTBEAT,
            0,
            &[&HEARTBEAT_INFO_PARAM.to_be_bytes(), &length.to_be_bytes(), info],
        );
    }

    /// Writes a PAD chunk of `bytes` bytes, at least a chunk header (RFC 4820 §3).
    pub(crate) fn write_pad(&mut self, bytes: usize) {
        let zeros = vec![0; bytes.saturating_sub(CHUNK_HEADER_LEN)];
        self.write_chunk(chunk_type::PAD, 0, &[&zeros]);
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns whether there is no chunk yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.len() == HEADER_LEN
    }

    /// Returns the packet with its checksum.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        write_checksum(&mut self.bytes);
        self.bytes
    }
}

/// Writes the CRC32c checksum (RFC 9260 §6.8).
pub(crate) fn write_checksum(packet: &mut [u8]) {
    packet[CHECKSUM_RANGE].fill(0);
    let checksum = crc32c::crc32c(packet);
    packet[CHECKSUM_RANGE].copy_from_slice(&checksum.to_le_bytes());
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Transmission sequence number of a DATA chunk. It wraps: "later" means less than 2^31 ahead (RFC
/// 1982, RFC 9260 §1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tsn(pub(crate) u32);

impl Tsn {
    pub(crate) fn plus(self, steps: u32) -> Tsn {
        Tsn(self.0.wrapping_add(steps))
    }

    pub(crate) fn minus(self, steps: u32) -> Tsn {
        Tsn(self.0.wrapping_sub(steps))
    }

    /// Returns the steps from `earlier` to this TSN; negative if `earlier` is later.
    pub(crate) fn since(self, earlier: Tsn) -> i64 {
        i64::from(self.0.wrapping_sub(earlier.0) as i32)
    }

    pub(crate) fn max(self, other: Tsn) -> Tsn {
        if other > self { other } else { self }
    }
}

/// A total order only among TSNs within 2^31 of each other; no others are compared here.
impl PartialOrd for Tsn {
    fn partial_cmp(&self, other: &Tsn) -> Option<Ordering> {
        Some(self.since(*other).cmp(&0))
    }
}

impl fmt::Display for Tsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    const TO_PEER: CommonHeader =
        CommonHeader { source_port: 5000, destination_port: 5001, verification_tag: 0xdead_beef };

    #[test]
    fn what_is_built_is_read() {
        let mut random = StdRng::seed_from_u64(1);
        for _ in 0..1_000 {
            let payloads: Vec<Vec<u8>> = (0..random.random_range(1..6))
                .map(|_| (0..random.random_range(0..40)).map(|_| random.random()).collect())
                .collect();
            let data = |index: usize| DataChunk {
                flags: (index % 8) as u8,
                tsn: Tsn(u32::MAX - 2).plus(index as u32),
                stream_id: index as u16,
                ppid: ppid::BINARY,
                payload: &payloads[index],
            };
            let mut builder = PacketWriter::new(TO_PEER);
            builder.write_sack(Tsn(7), 1 << 20);
            builder.write_forward_tsn(Tsn(u32::MAX));
            (0..payloads.len()).for_each(|index| builder.write_data(&data(index)));
            let packet = builder.finish();

            assert_eq!(CommonHeader::parse(&packet), Some(TO_PEER));
            let read: Vec<_> = chunks(&packet).collect();
            let sack = SackChunk::parse(&read[0]).unwrap();
            assert_eq!(
                (sack.cumulative_tsn, sack.a_rwnd, sack.gap_block_count()),
                (Tsn(7), 1 << 20, 0)
            );
            assert_eq!(parse_forward_tsn(&read[1]), Some(Tsn(u32::MAX)));
            for (index, chunk) in read[2..].iter().enumerate() {
                assert_eq!(DataChunk::parse(chunk), Some(data(index)));
            }
            assert_eq!(read.len(), 2 + payloads.len());
        }
    }

    #[test]
    fn gaps_are_relative_to_the_cumulative_tsn() {
        let value = [0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 1, 0, 2, 0, 0, 0, 2, 0, 3, 0, 5, 0, 5];
        let chunk = Chunk { chunk_type: chunk_type::SACK, flags: 0, value: &value };
        let gaps: Vec<_> = SackChunk::parse(&chunk).unwrap().gap_blocks().collect();
        assert_eq!(gaps, [(Tsn(0), Tsn(1)), (Tsn(3), Tsn(3))]);
    }

    #[test]
    fn sctp_proto_and_we_agree_on_the_checksum() {
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        let packet = PacketWriter::new(TO_PEER).finish();
        let mut zeroed = packet.clone();
        zeroed[CHECKSUM_RANGE].fill(0);
        assert_eq!(packet[CHECKSUM_RANGE], crc32c::crc32c(&zeroed).to_le_bytes());
    }

    #[test]
    fn forward_tsn_support_is_seen_in_both_forms() {
        let init = |parameters: &[u8]| {
            let value = [&[0; 12][..], &[0, 0, 0, 9], parameters].concat();
            InitChunk::parse(&Chunk { chunk_type: chunk_type::INIT, flags: 0, value: &value })
        };
        let expected = |forwards| {
            Some(InitChunk { initiate_tag: 0, initial_tsn: Tsn(9), supports_forward_tsn: forwards })
        };
        assert_eq!(init(&[]), expected(false));
        assert_eq!(init(&[0xc0, 0, 0, 4]), expected(true));
        assert_eq!(init(&[0x80, 8, 0, 5, 64, 0, 0, 0, 0xc0, 0, 0, 4]), expected(true));
        assert_eq!(init(&[0x80, 8, 0, 6, 64, 192, 0, 0]), expected(true));
        assert_eq!(init(&[0x80, 8, 0, 6, 64, 130, 0, 0]), expected(false));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut random = StdRng::seed_from_u64(2);
        for _ in 0..20_000 {
            let length = random.random_range(0..80);
            let mut bytes: Vec<u8> = (0..length).map(|_| random.random()).collect();
            // Small lengths make chunks that are whole.
            bytes.iter_mut().skip(HEADER_LEN + 2).step_by(4).for_each(|byte| *byte = 0);
            for chunk in chunks(&bytes) {
                let _ =
                    (DataChunk::parse(&chunk), parse_forward_tsn(&chunk), InitChunk::parse(&chunk));
                let _ = SackChunk::parse(&chunk).map(|sack| sack.gap_blocks().count());
                let _ = parameters(chunk.value).count();
            }
        }
        let zero_length = [&[0; HEADER_LEN][..], &[0, 0, 0, 0], &[0, 0, 0xff, 0xff]].concat();
        assert_eq!(chunks(&zero_length).count(), 0);
    }
}

#[cfg(test)]
mod tsn_tests {
    use super::*;

    #[test]
    fn order_survives_the_wrap() {
        for start in [0, 1, 1 << 31, u32::MAX - 1, u32::MAX] {
            let tsn = Tsn(start);
            for steps in [1, 2, 1_000, (1 << 31) - 1] {
                assert!(tsn < tsn.plus(steps), "{start} + {steps}");
                assert_eq!(tsn.plus(steps).since(tsn), i64::from(steps));
                assert_eq!(tsn.since(tsn.plus(steps)), -i64::from(steps));
                assert_eq!(tsn.plus(steps).minus(steps), tsn);
                assert_eq!(tsn.max(tsn.plus(steps)), tsn.plus(steps));
            }
        }
    }
}
