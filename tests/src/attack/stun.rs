//! STUN messages (RFC 8489), as bytes.

use rand::RngExt;
use rand::rngs::StdRng;

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const HEADER: usize = 20;
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const FINGERPRINT: u16 = 0x8028;
const PRIORITY: u16 = 0x0024;
const USE_CANDIDATE: u16 = 0x0025;
const ICE_CONTROLLING: u16 = 0x802a;

/// A binding request for this user, which lacks nothing but a signature that is right.
pub(super) fn request(random: &mut StdRng, user: &str) -> Vec<u8> {
    let mut bytes = [&[0, 1, 0, 0][..], &COOKIE, &random.random::<[u8; 12]>()].concat();
    attribute(&mut bytes, USERNAME, user.as_bytes());
    attribute(&mut bytes, PRIORITY, &[0x6e, 0, 0x1e, 0xff]);
    attribute(&mut bytes, ICE_CONTROLLING, &random.random::<[u8; 8]>());
    attribute(&mut bytes, USE_CANDIDATE, &[]);
    attribute(&mut bytes, MESSAGE_INTEGRITY, &random.random::<[u8; 20]>());
    seal(&mut bytes);
    bytes
}

pub(super) fn is_request(datagram: &[u8]) -> bool {
    datagram.starts_with(&[0, 1]) && datagram.len() >= HEADER
}

/// The same request with a signature that is wrong by one bit.
pub(super) fn forged(request: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = request.to_vec();
    let at = find(request, MESSAGE_INTEGRITY)?;
    *bytes.get_mut(at + 4)? ^= 1;
    // The checksum over all of it is not worth a thing to who checks the signature.
    bytes.truncate(at + 24);
    seal(&mut bytes);
    Some(bytes)
}

fn attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    bytes.extend(kind.to_be_bytes());
    bytes.extend((value.len() as u16).to_be_bytes());
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    let end = bytes.len();
    set_length(bytes, end);
}

fn set_length(bytes: &mut [u8], end: usize) {
    bytes[2..4].copy_from_slice(&((end - HEADER) as u16).to_be_bytes());
}

/// Adds the checksum (§14.7).
fn seal(bytes: &mut Vec<u8>) {
    let end = bytes.len() + 8;
    set_length(bytes, end);
    let checksum = crc32(bytes) ^ 0x5354_554e;
    attribute(bytes, FINGERPRINT, &checksum.to_be_bytes());
}

/// Where an attribute begins.
fn find(bytes: &[u8], wanted: u16) -> Option<usize> {
    let mut at = HEADER;
    loop {
        let head: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        if head[..2] == wanted.to_be_bytes() {
            return Some(at);
        }
        at += 4 + usize::from(u16::from_be_bytes([head[2], head[3]])).next_multiple_of(4);
    }
}

/// CRC-32 as in Ethernet.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_forged_request_differs_in_its_signature_only() {
        let request = request(&mut StdRng::seed_from_u64(1), "abcd:efgh");
        let forged = forged(&request).expect("it is signed");
        assert_eq!(forged.len(), request.len());
        let signature = find(&request, MESSAGE_INTEGRITY).expect("it is signed") + 4;
        assert_eq!(forged[..signature], request[..signature]);
        assert_ne!(forged[signature], request[signature]);
    }
}
