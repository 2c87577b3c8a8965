//! SCTP packets (RFC 9260 §3) as bytes: read without copying, built in one go.

use std::cmp::Ordering;
use std::fmt;

/// Source port, destination port, verification tag, checksum.
pub(crate) const HEADER: usize = 12;
const CHECKSUM: std::ops::Range<usize> = 8..12;
const CHUNK_HEADER: usize = 4;
/// A DATA chunk without its payload.
pub(crate) const DATA_HEADER: usize = 16;

/// Chunk types (RFC 9260 §3.2, RFC 3758 §3.2, RFC 6525 §3.1).
pub(crate) mod kind {
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
pub(crate) mod protocol {
    /// What opens a channel (RFC 8832).
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

/// What every packet of one direction begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) source: u16,
    pub(crate) destination: u16,
    pub(crate) tag: u32,
}

impl Header {
    pub(crate) fn parse(packet: &[u8]) -> Option<Header> {
        let source = u16_at(packet, 0)?;
        Some(Header { source, destination: u16_at(packet, 2)?, tag: u32_at(packet, 4)? })
    }
}

/// One chunk of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk<'a> {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) value: &'a [u8],
}

/// The chunks of a packet, up to the first that is not whole.
pub(crate) fn chunks(packet: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut rest = packet.get(HEADER..).unwrap_or_default();
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 2)?);
        let value = rest.get(CHUNK_HEADER..length)?;
        let chunk = Chunk { kind: rest[0], flags: rest[1], value };
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(chunk)
    })
}

/// A DATA chunk (RFC 9260 §3.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Data<'a> {
    pub(crate) flags: u8,
    pub(crate) tsn: Tsn,
    pub(crate) stream: u16,
    pub(crate) protocol: u32,
    pub(crate) payload: &'a [u8],
}

impl<'a> Data<'a> {
    pub(crate) fn parse(chunk: &Chunk<'a>) -> Option<Data<'a>> {
        Some(Data {
            flags: chunk.flags,
            tsn: Tsn(u32_at(chunk.value, 0)?),
            stream: u16_at(chunk.value, 4)?,
            protocol: u32_at(chunk.value, 8)?,
            payload: chunk.value.get(12..)?,
        })
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.begins() && self.ends()
    }

    pub(crate) fn begins(&self) -> bool {
        self.flags & flag::BEGIN != 0
    }

    pub(crate) fn ends(&self) -> bool {
        self.flags & flag::END != 0
    }
}

/// A SACK chunk (RFC 9260 §3.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sack<'a> {
    pub(crate) cumulative: Tsn,
    pub(crate) window: u32,
    gaps: &'a [u8],
    duplicates: &'a [u8],
}

impl<'a> Sack<'a> {
    pub(crate) fn parse(chunk: &Chunk<'a>) -> Option<Sack<'a>> {
        let gaps = 12 + 4 * usize::from(u16_at(chunk.value, 8)?);
        let duplicates = gaps + 4 * usize::from(u16_at(chunk.value, 10)?);
        Some(Sack {
            cumulative: Tsn(u32_at(chunk.value, 0)?),
            window: u32_at(chunk.value, 4)?,
            gaps: chunk.value.get(12..gaps)?,
            duplicates: chunk.value.get(gaps..duplicates).unwrap_or_default(),
        })
    }

    /// First and last TSN of each block that arrived beyond the cumulative one.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = (Tsn, Tsn)> + 'a {
        let cumulative = self.cumulative;
        let offset = |bytes: &[u8]| u32::from(u16::from_be_bytes([bytes[0], bytes[1]]));
        self.gaps.chunks_exact(4).map(move |block| {
            (cumulative.plus(offset(block)), cumulative.plus(offset(&block[2..])))
        })
    }

    pub(crate) fn gap_count(&self) -> usize {
        self.gaps.len() / 4
    }

    /// The TSNs that arrived again since the last SACK.
    pub(crate) fn duplicates(&self) -> impl Iterator<Item = Tsn> + 'a {
        self.duplicates.chunks_exact(4).filter_map(|bytes| u32_at(bytes, 0).map(Tsn))
    }
}

/// The new cumulative TSN of a FORWARD-TSN chunk (RFC 3758 §3.2).
pub(crate) fn forward_tsn(chunk: &Chunk<'_>) -> Option<Tsn> {
    u32_at(chunk.value, 0).map(Tsn)
}

/// What an INIT or INIT-ACK chunk says (RFC 9260 §3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Init {
    /// What the header of each packet to its sender carries.
    pub(crate) tag: u32,
    pub(crate) first: Tsn,
    /// Whether its sender understands FORWARD-TSN (RFC 3758 §3.1, RFC 5061 §4.2.7).
    pub(crate) forwards: bool,
}

impl Init {
    pub(crate) fn parse(chunk: &Chunk<'_>) -> Option<Init> {
        const FORWARD_TSN_SUPPORTED: u16 = 0xc000;
        const SUPPORTED_EXTENSIONS: u16 = 0x8008;
        let (tag, first) = (u32_at(chunk.value, 0)?, Tsn(u32_at(chunk.value, 12)?));
        let forwards = parameters(chunk.value.get(16..)?).any(|(kind, value)| match kind {
            FORWARD_TSN_SUPPORTED => true,
            SUPPORTED_EXTENSIONS => value.contains(&kind::FORWARD_TSN),
            _ => false,
        });
        Some(Init { tag, first, forwards })
    }
}

/// Type and value of each parameter (RFC 9260 §3.2.1), up to the first that is not whole.
pub(crate) fn parameters(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (kind, length) = (u16_at(rest, 0)?, usize::from(u16_at(rest, 2)?));
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// A packet in the making.
#[derive(Debug)]
pub(crate) struct Builder {
    bytes: Vec<u8>,
}

impl Builder {
    pub(crate) fn new(header: Header) -> Builder {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend(header.source.to_be_bytes());
        bytes.extend(header.destination.to_be_bytes());
        bytes.extend(header.tag.to_be_bytes());
        bytes.extend([0; 4]);
        Builder { bytes }
    }

    pub(crate) fn chunk(&mut self, kind: u8, flags: u8, parts: &[&[u8]]) {
        let length = CHUNK_HEADER + parts.iter().map(|part| part.len()).sum::<usize>();
        self.bytes.extend([kind, flags]);
        self.bytes.extend((length as u16).to_be_bytes());
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// Bytes that may be no chunks at all.
    #[cfg(any(test, feature = "odd"))]
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The chunk as it is.
    pub(crate) fn copy(&mut self, chunk: &Chunk<'_>) {
        self.chunk(chunk.kind, chunk.flags, &[chunk.value]);
    }

    pub(crate) fn data(&mut self, data: &Data<'_>) {
        self.chunk(
            kind::DATA,
            data.flags,
            &[
                &data.tsn.0.to_be_bytes(),
                &data.stream.to_be_bytes(),
                // The stream's sequence number means nothing for an unordered message.
                &[0, 0],
                &data.protocol.to_be_bytes(),
                data.payload,
            ],
        );
    }

    pub(crate) fn sack(&mut self, cumulative: Tsn, window: u32) {
        let fields = [&cumulative.0.to_be_bytes()[..], &window.to_be_bytes(), &[0; 4]];
        self.chunk(kind::SACK, 0, &fields);
    }

    /// On an unordered channel there are no streams to name.
    pub(crate) fn forward_tsn(&mut self, cumulative: Tsn) {
        self.chunk(kind::FORWARD_TSN, 0, &[&cumulative.0.to_be_bytes()]);
    }

    /// The other side sends `info` back (RFC 9260 §3.3.5).
    pub(crate) fn heartbeat(&mut self, info: &[u8]) {
        const INFO: u16 = 1;
        let length = (CHUNK_HEADER + info.len()) as u16;
        self.chunk(kind::HEARTBEAT, 0, &[&INFO.to_be_bytes(), &length.to_be_bytes(), info]);
    }

    /// Fills the packet up by so many bytes, at least a chunk header (RFC 4820 §3).
    pub(crate) fn pad(&mut self, bytes: usize) {
        let zeros = vec![0; bytes.saturating_sub(CHUNK_HEADER)];
        self.chunk(kind::PAD, 0, &[&zeros]);
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no chunk yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.len() == HEADER
    }

    /// The packet with its checksum.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        seal(&mut self.bytes);
        self.bytes
    }
}

/// Writes the CRC32c of RFC 9260 §6.8.
pub(crate) fn seal(packet: &mut [u8]) {
    packet[CHECKSUM].fill(0);
    let checksum = crc32c::crc32c(packet);
    packet[CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Numbers DATA chunks. It wraps, so "later" means less than half the circle ahead (RFC 1982,
/// RFC 9260 §1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tsn(pub(crate) u32);

impl Tsn {
    pub(crate) fn plus(self, steps: u32) -> Tsn {
        Tsn(self.0.wrapping_add(steps))
    }

    pub(crate) fn minus(self, steps: u32) -> Tsn {
        Tsn(self.0.wrapping_sub(steps))
    }

    /// Steps from `earlier` to here; negative if it is later.
    pub(crate) fn since(self, earlier: Tsn) -> i64 {
        i64::from(self.0.wrapping_sub(earlier.0) as i32)
    }

    pub(crate) fn max(self, other: Tsn) -> Tsn {
        if other > self { other } else { self }
    }
}

/// Only within half the circle is the order a real one; nothing here compares across more.
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

    const TO_PEER: Header = Header { source: 5000, destination: 5001, tag: 0xdead_beef };

    #[test]
    fn what_is_built_is_read() {
        let mut random = StdRng::seed_from_u64(1);
        for _ in 0..1_000 {
            let payloads: Vec<Vec<u8>> = (0..random.random_range(1..6))
                .map(|_| (0..random.random_range(0..40)).map(|_| random.random()).collect())
                .collect();
            let data = |index: usize| Data {
                flags: (index % 8) as u8,
                tsn: Tsn(u32::MAX - 2).plus(index as u32),
                stream: index as u16,
                protocol: protocol::BINARY,
                payload: &payloads[index],
            };
            let mut builder = Builder::new(TO_PEER);
            builder.sack(Tsn(7), 1 << 20);
            builder.forward_tsn(Tsn(u32::MAX));
            (0..payloads.len()).for_each(|index| builder.data(&data(index)));
            let packet = builder.finish();

            assert_eq!(Header::parse(&packet), Some(TO_PEER));
            let read: Vec<_> = chunks(&packet).collect();
            let sack = Sack::parse(&read[0]).unwrap();
            assert_eq!((sack.cumulative, sack.window, sack.gap_count()), (Tsn(7), 1 << 20, 0));
            assert_eq!(forward_tsn(&read[1]), Some(Tsn(u32::MAX)));
            for (index, chunk) in read[2..].iter().enumerate() {
                assert_eq!(Data::parse(chunk), Some(data(index)));
            }
            assert_eq!(read.len(), 2 + payloads.len());
        }
    }

    #[test]
    fn gaps_are_relative_to_the_cumulative_tsn() {
        let value = [0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 1, 0, 2, 0, 0, 0, 2, 0, 3, 0, 5, 0, 5];
        let chunk = Chunk { kind: kind::SACK, flags: 0, value: &value };
        let gaps: Vec<_> = Sack::parse(&chunk).unwrap().gaps().collect();
        assert_eq!(gaps, [(Tsn(0), Tsn(1)), (Tsn(3), Tsn(3))]);
    }

    #[test]
    fn sctp_proto_and_we_agree_on_the_checksum() {
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        let packet = Builder::new(TO_PEER).finish();
        let mut zeroed = packet.clone();
        zeroed[CHECKSUM].fill(0);
        assert_eq!(packet[CHECKSUM], crc32c::crc32c(&zeroed).to_le_bytes());
    }

    #[test]
    fn forward_tsn_support_is_seen_in_both_forms() {
        let init = |parameters: &[u8]| {
            let value = [&[0; 12][..], &[0, 0, 0, 9], parameters].concat();
            Init::parse(&Chunk { kind: kind::INIT, flags: 0, value: &value })
        };
        let expected = |forwards| Some(Init { tag: 0, first: Tsn(9), forwards });
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
            bytes.iter_mut().skip(HEADER + 2).step_by(4).for_each(|byte| *byte = 0);
            for chunk in chunks(&bytes) {
                let _ = (Data::parse(&chunk), forward_tsn(&chunk), Init::parse(&chunk));
                let _ = Sack::parse(&chunk).map(|sack| sack.gaps().count());
                let _ = parameters(chunk.value).count();
            }
        }
        let zero_length = [&[0; HEADER][..], &[0, 0, 0, 0], &[0, 0, 0xff, 0xff]].concat();
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
