//! What an attacker has: addresses, and how fast it is.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

/// Addresses of one simulated attacker.
const BLOCK: u32 = 64;
/// The first of them all: a network for tests (RFC 2544) that no server takes for a private one.
const FIRST: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
/// How many attackers have addresses of their own there.
const BLOCKS: u32 = 2_048;

/// What an attacker has.
#[derive(Clone, Debug)]
pub struct Means {
    /// Its own IP addresses, at least one. TCP connections come from there, and its own
    /// datagrams. The lists of kinds say who forges others'.
    pub addresses: Vec<IpAddr>,
    /// The ports of its datagrams; not empty. TCP connections come from port 0, which stands for
    /// any.
    pub ports: Range<u16>,
    /// How many times faster than in a simulation its floods are. At least 1.
    pub pace: u32,
}

impl Means {
    /// Those of the n-th of up to 2,048 attackers of a simulated world, where addresses cost
    /// nothing.
    pub fn simulated(number: u32) -> Means {
        let first = u32::from(FIRST) + number % BLOCKS * BLOCK;
        let addresses = (first..first + BLOCK).map(|ip| Ipv4Addr::from(ip).into()).collect();
        Means { addresses, ports: 1_024..u16::MAX, pace: 1 }
    }

    /// The n-th of its addresses for datagrams, each IP address in turn, then the next port.
    pub fn udp(&self, number: u32) -> SocketAddr {
        let ips = self.addresses.len() as u32;
        let port = number / ips % self.ports.len() as u32;
        SocketAddr::new(self.addresses[(number % ips) as usize], self.ports.start + port as u16)
    }

    /// The n-th of its addresses for connections.
    pub fn tcp(&self, number: u32) -> SocketAddr {
        SocketAddr::new(self.addresses[number as usize % self.addresses.len()], 0)
    }

    /// Whether an address is its own.
    pub fn has(&self, address: SocketAddr) -> bool {
        self.ports.contains(&address.port()) && self.addresses.contains(&address.ip())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulated_attackers_have_nothing_in_common() {
        let (one, other) = (Means::simulated(0), Means::simulated(1));
        for number in [0, 1, 63, 64, 100_000] {
            assert!(one.has(one.udp(number)) && !other.has(one.udp(number)));
        }
        assert_eq!(one.udp(65).to_string(), "198.18.0.1:1025");
        assert_eq!(one.tcp(65).to_string(), "198.18.0.1:0");
    }
}
