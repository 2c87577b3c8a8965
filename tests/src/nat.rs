//! A NAT in front of a client, for datagrams over IPv4, which forgets its mappings when told to.
//!
//! A mapping serves every destination and lets everybody in (RFC 4787 §4.1, §5), so that what
//! is lost with one is lost for no other reason.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use crate::tun::datagram;

/// The first public port.
const FIRST_PORT: u16 = 40_000;

const CHECKSUM: usize = 10;
const SOURCE: usize = 12;
const DESTINATION: usize = 16;
const UDP_HEADER: usize = 8;
/// Where the UDP checksum is, from the beginning of the UDP header.
const UDP_CHECKSUM: usize = 6;

/// See the [module's page](self). The default translates nothing.
#[derive(Clone, Debug, Default)]
pub struct Nat {
    state: State,
    mapped: u16,
}

#[derive(Clone, Debug, Default)]
enum State {
    #[default]
    Transparent,
    Translating {
        public: Ipv4Addr,
        /// By private address.
        out: HashMap<SocketAddrV4, SocketAddrV4>,
        /// By public address.
        back: HashMap<SocketAddrV4, SocketAddrV4>,
    },
}

impl Nat {
    /// Forgets all mappings. New ones have this address, and ports that were never used.
    pub fn forget(&mut self, public: Ipv4Addr) {
        let (out, back) = (HashMap::new(), HashMap::new());
        self.state = State::Translating { public, out, back };
    }

    /// Translates a packet that the client sends. What is no datagram passes as it is.
    pub fn outward(&mut self, packet: &mut [u8]) {
        let State::Translating { public, out, back } = &mut self.state else { return };
        if !is_datagram(packet) {
            return;
        }
        let private = address(packet, SOURCE, 0);
        let mapping = *out.entry(private).or_insert_with(|| {
            let fresh = SocketAddrV4::new(*public, FIRST_PORT + self.mapped % 20_000);
            self.mapped = self.mapped.wrapping_add(1);
            back.insert(fresh, private);
            fresh
        });
        rewrite(packet, SOURCE, 0, mapping);
    }

    /// Translates a packet for the client; false if it is a datagram that is nobody's.
    pub fn inward(&mut self, packet: &mut [u8]) -> bool {
        let State::Translating { back, .. } = &self.state else { return true };
        if !is_datagram(packet) {
            return true;
        }
        match back.get(&address(packet, DESTINATION, 2)) {
            Some(private) => {
                rewrite(packet, DESTINATION, 2, *private);
                true
            }
            None => false,
        }
    }
}

fn is_datagram(packet: &[u8]) -> bool {
    datagram(packet).is_some() && packet.len() >= header(packet) + UDP_HEADER
}

/// Bytes of the IPv4 header.
fn header(packet: &[u8]) -> usize {
    usize::from(packet[0] & 0x0F) * 4
}

/// An address of a datagram: its IP from this place on, its port from that place of the UDP
/// header on.
fn address(packet: &[u8], ip: usize, port: usize) -> SocketAddrV4 {
    let port = header(packet) + port;
    let octets: [u8; 4] = std::array::from_fn(|index| packet[ip + index]);
    SocketAddrV4::new(octets.into(), u16::from_be_bytes([packet[port], packet[port + 1]]))
}

fn rewrite(packet: &mut [u8], ip: usize, port: usize, to: SocketAddrV4) {
    let udp = header(packet);
    let [a, b, c, d] = to.ip().octets();
    let words = [(ip, [a, b]), (ip + 2, [c, d]), (udp + port, to.port().to_be_bytes())];
    for (at, word) in words {
        let old = [packet[at], packet[at + 1]];
        packet[at..at + 2].copy_from_slice(&word);
        if at < udp {
            correct(packet, CHECKSUM, old, word);
        }
        // None at all is said by a zero (RFC 768).
        if packet[udp + UDP_CHECKSUM..][..2] != [0, 0] {
            correct(packet, udp + UDP_CHECKSUM, old, word);
        }
    }
}

/// Corrects a checksum for one word that has changed (RFC 1624 §3).
fn correct(packet: &mut [u8], at: usize, old: [u8; 2], new: [u8; 2]) {
    let checksum = u16::from_be_bytes([packet[at], packet[at + 1]]);
    let terms = [!checksum, !u16::from_be_bytes(old), u16::from_be_bytes(new)];
    let mut sum: u32 = terms.into_iter().map(u32::from).sum();
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    packet[at..at + 2].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIVATE: [u8; 4] = [198, 51, 100, 1];
    const SERVER: [u8; 4] = [203, 0, 113, 1];

    /// The checksum of these words (RFC 1071).
    fn sum(bytes: &[u8], start: u32) -> u16 {
        let words = bytes.chunks(2).map(|pair| {
            u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]))
        });
        let mut sum = words.sum::<u32>() + start;
        while sum > 0xFFFF {
            sum = (sum & 0xFFFF) + (sum >> 16);
        }
        !(sum as u16)
    }

    fn pseudo_header(packet: &[u8]) -> u32 {
        let addresses: u32 = packet[12..20]
            .chunks(2)
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
            .sum();
        addresses + 17 + (packet.len() - 20) as u32
    }

    fn packet(source: ([u8; 4], u16), destination: ([u8; 4], u16)) -> Vec<u8> {
        let mut packet = vec![0; 33];
        packet[0] = 0x45;
        packet[9] = 17;
        packet[12..16].copy_from_slice(&source.0);
        packet[16..20].copy_from_slice(&destination.0);
        packet[20..22].copy_from_slice(&source.1.to_be_bytes());
        packet[22..24].copy_from_slice(&destination.1.to_be_bytes());
        packet[28..].copy_from_slice(b"hello");
        let ip = sum(&packet[..20], 0);
        packet[10..12].copy_from_slice(&ip.to_be_bytes());
        let udp = sum(&packet[20..], pseudo_header(&packet));
        packet[26..28].copy_from_slice(&udp.to_be_bytes());
        packet
    }

    /// A packet with right checksums sums up to nothing.
    fn is_right(packet: &[u8]) -> bool {
        sum(&packet[..20], 0) == 0 && sum(&packet[20..], pseudo_header(packet)) == 0
    }

    #[test]
    fn a_datagram_and_its_answer_are_translated() {
        let mut nat = Nat::default();
        nat.forget(Ipv4Addr::new(192, 0, 2, 9));
        let mut out = packet((PRIVATE, 5_000), (SERVER, 3_000));
        assert!(is_right(&out));
        nat.outward(&mut out);
        assert_eq!(address(&out, SOURCE, 0), "192.0.2.9:40000".parse().unwrap());
        assert!(is_right(&out));
        let mut back = packet((SERVER, 3_000), ([192, 0, 2, 9], 40_000));
        assert!(nat.inward(&mut back));
        assert_eq!(back, packet((SERVER, 3_000), (PRIVATE, 5_000)));
    }

    #[test]
    fn a_mapping_that_is_forgotten_leads_nowhere() {
        let mut nat = Nat::default();
        let mut untouched = packet((PRIVATE, 5_000), (SERVER, 3_000));
        nat.outward(&mut untouched);
        assert_eq!(untouched, packet((PRIVATE, 5_000), (SERVER, 3_000)));
        for port in [40_000, 40_001] {
            nat.forget(PRIVATE.into());
            assert!(!nat.inward(&mut packet((SERVER, 3_000), (PRIVATE, port))));
            nat.outward(&mut packet((PRIVATE, 5_000), (SERVER, 3_000)));
            assert!(nat.inward(&mut packet((SERVER, 3_000), (PRIVATE, port))));
            assert!(!nat.inward(&mut packet((SERVER, 3_000), (PRIVATE, 5_000))));
        }
    }

    #[test]
    fn what_is_no_datagram_passes() {
        let mut nat = Nat::default();
        nat.forget(PRIVATE.into());
        let mut segment = packet((PRIVATE, 5_000), (SERVER, 3_000));
        segment[9] = 6;
        let before = segment.clone();
        nat.outward(&mut segment);
        assert!(nat.inward(&mut segment));
        assert_eq!(segment, before);
    }
}
