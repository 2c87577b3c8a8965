//! STUN Binding responses for connecting clients (RFC 8489 §2).
//!
//! A browser that hides its own addresses, because of privacy settings or extensions, has no
//! candidate until a STUN server tells it its reflexive address. The UDP port of this endpoint acts
//! as that server: it responds only to IP addresses of connecting peers, as given by
//! [`OfferOptions::remote`](crate::OfferOptions::remote). The TCP connection of the offer has
//! validated such an address, so that no response goes to a victim.
//!
//! Observed: Firefox ESR 153 with this port as its STUN server connects if it gets our candidates
//! after it has gathered its own. Chromium 156 drops all other datagrams from the address of a STUN
//! server, so it must not be given this one; it does not need it, because it hides its addresses
//! behind mDNS names.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::datagram::{STUN_HEADER_LEN, STUN_MAGIC_COOKIE};
use crate::endpoint::demux::OpsTokenBucket;

const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];
const XOR_MAPPED_ADDRESS: u16 = 0x0020;

/// Answers STUN Binding requests of connecting clients, within quotas.
#[derive(Debug)]
pub(crate) struct StunServer {
    clients: HashMap<IpAddr, ClientQuota>,
    /// IP address of each connecting peer, by slot.
    connecting_peers: HashMap<usize, IpAddr>,
    max_per_peer: u32,
    bucket: OpsTokenBucket,
}

/// Connecting peers of one IP address, and the responses left to them.
#[derive(Debug, Default)]
struct ClientQuota {
    connecting_peers: usize,
    responses_left: u32,
}

impl StunServer {
    /// A server with this many responses for each connecting peer, and this many per second in all.
    pub(crate) fn new(max_per_peer: u32, max_per_second: u32) -> StunServer {
        let bucket = OpsTokenBucket::new(max_per_second);
        StunServer {
            clients: HashMap::new(),
            connecting_peers: HashMap::new(),
            max_per_peer,
            bucket,
        }
    }

    /// Adds the quota of a connecting peer at this validated IP address.
    pub(crate) fn add_peer(&mut self, slot: usize, ip: IpAddr) {
        let ip = ip.to_canonical();
        let client = self.clients.entry(ip).or_default();
        client.connecting_peers += 1;
        client.responses_left = client.responses_left.saturating_add(self.max_per_peer);
        self.connecting_peers.insert(slot, ip);
    }

    /// Removes the quota of a peer that is open or closed.
    pub(crate) fn remove_peer(&mut self, slot: usize) {
        let Some(ip) = self.connecting_peers.remove(&slot) else { return };
        if let Some(client) = self.clients.get_mut(&ip) {
            client.connecting_peers -= 1;
            // The unused quota of one peer does not pass to the others.
            let most = self
                .max_per_peer
                .saturating_mul(u32::try_from(client.connecting_peers).unwrap_or(u32::MAX));
            client.responses_left = client.responses_left.min(most);
            if client.connecting_peers == 0 {
                self.clients.remove(&ip);
            }
        }
    }

    /// Number of connecting peers with a quota.
    pub(crate) fn len(&self) -> usize {
        self.connecting_peers.len()
    }

    /// Returns the response to a request from this address, within its quota and the rate limit.
    pub(crate) fn respond(
        &mut self,
        now: Instant,
        source: SocketAddr,
        request: &[u8],
    ) -> Option<Vec<u8>> {
        let client = self.clients.get_mut(&source.ip().to_canonical())?;
        client.responses_left = client.responses_left.checked_sub(1)?;
        (self.bucket.take_up_to(now, 1) == 1).then(|| success_response(source, request))
    }
}

/// The success response (RFC 8489 §7.3.1) with XOR-MAPPED-ADDRESS only.
fn success_response(source: SocketAddr, request: &[u8]) -> Vec<u8> {
    let transaction = &request[4..STUN_HEADER_LEN];
    let (family, octets) = match source.ip().to_canonical() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    let mut answer = Vec::with_capacity(STUN_HEADER_LEN + 8 + octets.len());
    answer.extend(BINDING_SUCCESS);
    answer.extend((8 + octets.len() as u16).to_be_bytes());
    answer.extend(transaction);
    answer.extend(XOR_MAPPED_ADDRESS.to_be_bytes());
    answer.extend((4 + octets.len() as u16).to_be_bytes());
    answer.extend([0, family]);
    let port = source.port().to_be_bytes();
    answer.extend(port.iter().zip(STUN_MAGIC_COOKIE).map(|(byte, key)| byte ^ key));
    answer.extend(octets.iter().zip(transaction).map(|(byte, key)| byte ^ key));
    answer
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::datagram::{MESSAGE_INTEGRITY, USERNAME, is_unauthenticated_binding_request};

    /// As sent by Chromium: a header and no attributes.
    fn request() -> Vec<u8> {
        let mut request = vec![0, 1, 0, 0];
        request.extend(STUN_MAGIC_COOKIE);
        request.extend(1..=12);
        request
    }

    fn with_attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut request = request();
        request.extend(kind.to_be_bytes());
        request.extend((value.len() as u16).to_be_bytes());
        request.extend(value);
        request.resize(request.len().next_multiple_of(4), 0);
        let length = (request.len() - STUN_HEADER_LEN) as u16;
        request[2..4].copy_from_slice(&length.to_be_bytes());
        request
    }

    fn source() -> SocketAddr {
        "192.0.2.1:32853".parse().unwrap()
    }

    #[test]
    fn the_answer_is_that_of_rfc_5769() {
        // RFC 5769 §2.2 and §2.3: the attribute of the sample responses, under their transaction.
        let transaction = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];
        let mut request = request();
        request[8..20].copy_from_slice(&transaction);
        let answer = success_response(source(), &request);
        assert_eq!(answer.len(), 32);
        assert_eq!(answer[..4], [1, 1, 0, 12]);
        assert_eq!(answer[4..20], request[4..20]);
        assert_eq!(answer[20..], [0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]);
        let source = "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap();
        let answer = success_response(source, &request);
        assert_eq!(answer.len(), 44);
        let expected = [
            0, 0x20, 0, 0x14, 0, 2, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79,
            0xbc, 0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9,
        ];
        assert_eq!(answer[20..], expected);
    }

    #[test]
    fn a_check_is_no_bare_request_and_neither_is_garbage() {
        assert!(is_unauthenticated_binding_request(&request()));
        assert!(
            is_unauthenticated_binding_request(&with_attribute(0x8022, b"a browser")),
            "SOFTWARE"
        );
        assert!(!is_unauthenticated_binding_request(&with_attribute(USERNAME, b"ours:theirs")));
        assert!(!is_unauthenticated_binding_request(&with_attribute(MESSAGE_INTEGRITY, &[0; 20])));
        for length in 0..request().len() {
            assert!(!is_unauthenticated_binding_request(&request()[..length]));
        }
        let mut long = with_attribute(0x8022, b"abcd");
        long[23] = 200;
        assert!(!is_unauthenticated_binding_request(&long), "an attribute past the end");
        for index in 0..8 {
            let mut other = request();
            other[index] ^= 1;
            assert!(!is_unauthenticated_binding_request(&other), "byte {index}");
        }
    }

    #[test]
    fn t42_only_an_address_with_a_peer_on_its_way_is_answered_and_so_often() {
        let (now, mut server) = (Instant::now(), StunServer::new(3, 1_000));
        let answers = |server: &mut StunServer| {
            (0..10).filter(|_| server.respond(now, source(), &request()).is_some()).count()
        };
        assert_eq!(answers(&mut server), 0);
        server.add_peer(7, source().ip());
        server.add_peer(8, source().ip());
        assert_eq!(answers(&mut server), 6);
        server.remove_peer(7);
        assert_eq!(answers(&mut server), 0);
        server.add_peer(9, source().ip());
        server.remove_peer(8);
        assert_eq!(answers(&mut server), 3, "a share for each that is on its way");
        server.remove_peer(9);
        server.remove_peer(9);
        assert_eq!(answers(&mut server), 0);
        assert_eq!((server.len(), server.clients.len()), (0, 0));
    }

    #[test]
    fn t42_all_together_are_answered_so_often_a_second() {
        let (now, mut server) = (Instant::now(), StunServer::new(1_000, 5));
        server.add_peer(1, source().ip());
        let mut answers =
            |now| (0..10).filter(|_| server.respond(now, source(), &request()).is_some()).count();
        assert_eq!(answers(now), 5);
        assert_eq!(answers(now), 0);
        assert_eq!(answers(now + Duration::from_secs(1)), 5);
    }
}
