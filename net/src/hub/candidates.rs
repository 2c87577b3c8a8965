//! Which addresses one client is told.

use std::net::{IpAddr, SocketAddr};

use crate::addresses::{at_most, is_private};

/// Where a client was seen, as far as that tells which addresses it can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// The client's own address.
    pub(super) client: IpAddr,
    /// The UDP address beside the one that its websocket came in on, if it came by itself.
    pub(super) arrived: Option<SocketAddr>,
}

impl Seen {
    /// The addresses of its offer, most wanted first: the one that it came in on, which it can
    /// reach, then those that are announced in their order. At most `max`.
    ///
    /// A client from a public address is told of private ones only if there are no others: they
    /// are of no use to it, and a browser may ask its user for a permission because of them.
    /// Loopback is for this machine, and the last resort.
    pub(super) fn candidates(self, announced: &[SocketAddr], max: usize) -> Vec<SocketAddr> {
        let mut told = announced.to_vec();
        if let Some(arrived) = self.arrived.filter(|arrived| !is_of_link(arrived.ip())) {
            self.add(&mut told, arrived);
        }
        let has_public = told.iter().any(|addr| !is_private(addr.ip()));
        if has_public && !is_private(self.client) {
            told.retain(|addr| !is_private(addr.ip()));
        }
        let has_others = told.iter().any(|addr| !addr.ip().is_loopback());
        told.retain(|addr| !has_others || !addr.ip().is_loopback() || self.came_in_on(addr));
        at_most(max.max(1), told, |addr| addr.ip(), |addr| self.needs(addr))
    }

    /// What a client came in on goes first. From this machine it may have come through a proxy,
    /// and then loopback is of no use to it.
    fn add(self, told: &mut Vec<SocketAddr>, arrived: SocketAddr) {
        if arrived.ip().is_loopback() {
            if !told.contains(&arrived) {
                told.push(arrived);
            }
        } else {
            told.retain(|addr| *addr != arrived);
            told.insert(0, arrived);
        }
    }

    fn came_in_on(self, addr: &SocketAddr) -> bool {
        self.arrived == Some(*addr)
    }

    fn needs(self, addr: &SocketAddr) -> bool {
        self.came_in_on(addr) && !addr.ip().is_loopback()
    }
}

/// IPv6 addresses of one link need its interface beside them, which a candidate cannot name.
fn is_of_link(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<SocketAddr> {
        let with_port = |ip: &str| SocketAddr::new(ip.parse().unwrap(), 3000);
        text.split_whitespace().map(with_port).collect()
    }

    #[track_caller]
    fn assert_told(client: &str, arrived: &str, announced: &str, max: usize, expected: &str) {
        let arrived = list(arrived).first().copied();
        let seen = Seen { client: client.parse().unwrap(), arrived };
        assert_eq!(seen.candidates(&list(announced), max), list(expected));
    }

    const LAN: &str = "192.168.1.5";
    const OUTSIDE: &str = "198.51.100.7";
    const ALL: &str = "203.0.113.5 10.0.0.3 192.168.1.2 172.17.0.1 127.0.0.1";

    #[test]
    fn a_client_from_a_public_address_is_told_nothing_private_where_there_is_a_public_one() {
        assert_told(OUTSIDE, "203.0.113.5", ALL, 8, "203.0.113.5");
        // Behind a 1:1 NAT a private address is asked.
        assert_told(OUTSIDE, "10.0.0.3", ALL, 8, "203.0.113.5");
        assert_told(OUTSIDE, "", ALL, 8, "203.0.113.5");
        assert_told(
            "2001:db8::7",
            "",
            "203.0.113.5 2001:db8::5 fd00::5",
            8,
            "203.0.113.5 2001:db8::5",
        );
    }

    #[test]
    fn where_there_is_no_public_one_it_is_told_what_there_is() {
        let private = "10.0.0.3 192.168.1.2 127.0.0.1";
        assert_told(OUTSIDE, "192.168.1.2", private, 8, "192.168.1.2 10.0.0.3");
        assert_told(OUTSIDE, "", "127.0.0.1", 8, "127.0.0.1");
    }

    #[test]
    fn what_a_websocket_came_in_on_goes_first_and_is_never_cut() {
        let told = "192.168.1.2 203.0.113.5 10.0.0.3 172.17.0.1";
        assert_told(LAN, "192.168.1.2", ALL, 8, told);
        assert_told(LAN, "172.17.0.1", ALL, 2, "172.17.0.1 203.0.113.5");
        // Not announced, as on an interface that is down or just came.
        assert_told(LAN, "10.9.9.9", "203.0.113.5", 8, "10.9.9.9 203.0.113.5");
        assert_told(LAN, "fe80::1", "203.0.113.5", 8, "203.0.113.5");
    }

    #[test]
    fn loopback_is_for_this_machine_and_the_last_resort() {
        let told = "203.0.113.5 10.0.0.3 192.168.1.2 172.17.0.1 127.0.0.1";
        assert_told("127.0.0.1", "127.0.0.1", ALL, 8, told);
        assert_told("::1", "::1", "10.0.0.3", 8, "10.0.0.3 ::1");
        assert_told("127.0.0.1", "127.0.0.1", "127.0.0.1 10.0.0.3", 8, "127.0.0.1 10.0.0.3");
        assert_told(LAN, "", "127.0.0.1 10.0.0.3", 8, "10.0.0.3");
        assert_told(LAN, "", "127.0.0.1", 8, "127.0.0.1");
    }

    #[test]
    fn a_cut_list_keeps_both_families() {
        let many: Vec<_> = (1..13).map(|n| format!("10.96.0.{n}")).collect();
        let many = format!("{} fd00::5", many.join(" "));
        let told = "10.96.0.1 10.96.0.2 10.96.0.3 fd00::5";
        assert_told(LAN, "", &many, 4, told);
        assert_told(LAN, "10.96.0.12", &many, 3, "10.96.0.12 10.96.0.1 fd00::5");
    }
}
