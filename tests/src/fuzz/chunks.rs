//! SCTP chunks (RFC 9260 §3.2), more or less as a peer would send them.

use arbitrary::{Result, Unstructured};

const DATA: u8 = 0;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const SACK: u8 = 3;
const HEARTBEAT: u8 = 4;
const RE_CONFIG: u8 = 130;
const FORWARD_TSN: u8 = 192;
/// Without a value that matters: HEARTBEAT ACK, ABORT, SHUTDOWN, SHUTDOWN ACK, ERROR,
/// COOKIE ECHO, COOKIE ACK, SHUTDOWN COMPLETE, I-DATA, ASCONF.
const OTHERS: [u8; 10] = [5, 6, 7, 8, 9, 10, 11, 14, 64, 193];
/// DCEP, string, binary, their empty forms, and one that nobody knows (RFC 8831 §8).
const PROTOCOLS: [u32; 6] = [50, 51, 53, 56, 57, 99];
const PARAMETERS: [u16; 8] = [13, 14, 15, 16, 17, 18, 0xc000, 0x8008];

/// Around which numbers what is said makes sense.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    /// The TSNs of whoever sends these chunks.
    pub(super) own: u32,
    /// Those of whoever gets them.
    pub(super) other: u32,
}

/// Some chunks for one packet.
pub(super) fn chunks(u: &mut Unstructured<'_>, numbers: Numbers) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for _ in 0..u.int_in_range(1..=4_u8)? {
        chunk(u, numbers, &mut bytes)?;
        if bytes.len() > 1_100 {
            bytes.truncate(1_100);
            break;
        }
    }
    Ok(bytes)
}

fn chunk(u: &mut Unstructured<'_>, numbers: Numbers, to: &mut Vec<u8>) -> Result<()> {
    let (kind, value) = match u.int_in_range(0..=15_u8)? {
        0..=4 => (DATA, data(u, numbers)?),
        5..=7 => (SACK, sack(u, numbers)?),
        8 => (FORWARD_TSN, near(u, numbers.own)?.to_be_bytes().to_vec()),
        9 => (RE_CONFIG, parameter(u)?),
        10 => (HEARTBEAT, parameter(u)?),
        11 => (if u.arbitrary()? { INIT } else { INIT_ACK }, init(u, numbers)?),
        12 | 13 => (*u.choose(&OTHERS)?, some(u)?),
        14 => (u.arbitrary()?, some(u)?),
        _ => return some(u).map(|bytes| to.extend(bytes)),
    };
    let flags: u8 = match u.ratio(3, 4)? {
        // Unordered and whole.
        true => 7,
        false => u.arbitrary()?,
    };
    let lie = if u.ratio(1, 64)? { u.arbitrary::<i16>()? } else { 0 };
    let length = (4 + value.len() as u16).wrapping_add_signed(lie);
    to.extend([kind, flags]);
    to.extend(length.to_be_bytes());
    to.extend(value);
    to.resize(to.len().next_multiple_of(4), 0);
    Ok(())
}

/// A number not far from where it should be, or any.
fn near(u: &mut Unstructured<'_>, number: u32) -> Result<u32> {
    Ok(match u.int_in_range(0..=63_u8)? {
        0 => u.arbitrary()?,
        1 => number.wrapping_add_signed(i32::from(u.arbitrary::<i16>()?) * 4),
        2..16 => number.wrapping_add_signed(u.arbitrary::<i8>()?.into()),
        _ => number.wrapping_add(u32::from(u.arbitrary::<u8>()?) / 4),
    })
}

fn data(u: &mut Unstructured<'_>, numbers: Numbers) -> Result<Vec<u8>> {
    let tsn = near(u, numbers.own)?;
    let stream: u16 = if u.ratio(127, 128)? { 1 } else { u.arbitrary()? };
    let protocol = if u.ratio(3, 4)? { 53 } else { *u.choose(&PROTOCOLS)? };
    let (size, fill) = (u.int_in_range(0..=300_usize)?, u.arbitrary::<u8>()?);
    let mut value = tsn.to_be_bytes().to_vec();
    value.extend(stream.to_be_bytes());
    value.extend([0, 0]);
    value.extend(protocol.to_be_bytes());
    value.resize(value.len() + size, fill);
    Ok(value)
}

fn sack(u: &mut Unstructured<'_>, numbers: Numbers) -> Result<Vec<u8>> {
    let mut value = near(u, numbers.other)?.to_be_bytes().to_vec();
    value.extend(u.arbitrary::<u32>()?.to_be_bytes());
    let (gaps, twice) = (u.int_in_range(0..=6_u16)?, u.int_in_range(0..=3_u16)?);
    let lie = u.ratio(1, 16)?;
    value.extend(if lie { u.arbitrary()? } else { gaps }.to_be_bytes());
    value.extend(twice.to_be_bytes());
    for _ in 0..gaps {
        let first = u16::from(u.arbitrary::<u8>()?);
        value.extend(first.to_be_bytes());
        value.extend(first.wrapping_add(u.arbitrary::<u8>()?.into()).to_be_bytes());
    }
    for _ in 0..twice {
        value.extend(near(u, numbers.own)?.to_be_bytes());
    }
    Ok(value)
}

fn init(u: &mut Unstructured<'_>, numbers: Numbers) -> Result<Vec<u8>> {
    let mut value = u.arbitrary::<u32>()?.to_be_bytes().to_vec();
    value.extend(u.arbitrary::<u32>()?.to_be_bytes());
    value.extend([0xff; 4]);
    value.extend(near(u, numbers.own)?.to_be_bytes());
    for _ in 0..u.int_in_range(0..=3_u8)? {
        value.extend(parameter(u)?);
    }
    Ok(value)
}

/// Type, length and value of a parameter (RFC 9260 §3.2.1).
fn parameter(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let kind = if u.ratio(3, 4)? { *u.choose(&PARAMETERS)? } else { 1 };
    let value = some(u)?;
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend((4 + value.len() as u16).to_be_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    Ok(bytes)
}

fn some(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let size = u.int_in_range(0..=40_usize)?.min(u.len());
    Ok(u.bytes(size)?.to_vec())
}
