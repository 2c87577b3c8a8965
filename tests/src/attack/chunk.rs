//! SCTP chunks (RFC 9260 §3.3), good ones and others.

pub(super) const DATA: u8 = 0;
pub(super) const INIT: u8 = 1;
pub(super) const SACK: u8 = 3;
pub(super) const ABORT: u8 = 6;
pub(super) const SHUTDOWN: u8 = 7;
pub(super) const COOKIE_ECHO: u8 = 10;
pub(super) const RE_CONFIG: u8 = 130;
pub(super) const FORWARD_TSN: u8 = 192;

/// Flags of DATA: last and first piece, and unordered.
pub(super) const END: u8 = 1;
pub(super) const BEGIN: u8 = 2;
pub(super) const UNORDERED: u8 = 4;

/// Payload protocols (RFC 8831 §8).
pub(super) const DCEP: u32 = 50;
pub(super) const PIECE_OF_BINARY: u32 = 53;

pub(super) fn chunk(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, flags];
    bytes.extend((value.len() as u16 + 4).to_be_bytes());
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

pub(super) fn data(flags: u8, tsn: u32, stream: u16, protocol: u32, payload: &[u8]) -> Vec<u8> {
    let head = [&tsn.to_be_bytes()[..], &stream.to_be_bytes(), &[0; 2], &protocol.to_be_bytes()];
    chunk(DATA, flags, &[&head.concat(), payload].concat())
}

/// An acknowledgement with so many gap blocks of one TSN each.
pub(super) fn sack(cumulative: u32, window: u32, gaps: u16) -> Vec<u8> {
    let mut value = [cumulative.to_be_bytes(), window.to_be_bytes()].concat();
    value.extend([gaps.to_be_bytes(), [0; 2]].concat());
    (0..gaps).for_each(|gap| value.extend((2 + 2 * gap).to_be_bytes().repeat(2)));
    chunk(SACK, 0, &value)
}

pub(super) fn forward_tsn(cumulative: u32) -> Vec<u8> {
    chunk(FORWARD_TSN, 0, &cumulative.to_be_bytes())
}

/// The beginning of another association.
pub(super) fn init(tag: u32, first: u32) -> Vec<u8> {
    let streams = [0xff, 0xff, 0xff, 0xff];
    chunk(INIT, 0, &[tag.to_be_bytes(), [0; 4], streams, first.to_be_bytes()].concat())
}

/// A request to reset a stream (RFC 6525 §4.1).
pub(super) fn reset(number: u32, stream: u16) -> Vec<u8> {
    let numbers = [number.to_be_bytes(), [0; 4], number.to_be_bytes()].concat();
    let request = [&[0, 13, 0, 18][..], &numbers, &stream.to_be_bytes()].concat();
    chunk(RE_CONFIG, 0, &request)
}
