//! Candidate selection, and diagnosis of unreachable UDP ports.

use std::net::{IpAddr, SocketAddr};

use crate::Config;
use crate::config::{is_private, select_addrs};

/// UDP addresses that the server is bound to and those it advertises.
#[derive(Clone, Debug)]
pub(super) struct UdpAddrs {
    /// Bound addresses of the sockets.
    local_addrs: Vec<SocketAddr>,
    /// Advertised addresses, from which each client gets those it can use.
    announced_addrs: Vec<SocketAddr>,
}

impl UdpAddrs {
    /// Creates the set; an empty `announced` means the bound addresses.
    pub(super) fn new(local_addrs: Vec<SocketAddr>, announced: Vec<SocketAddr>) -> UdpAddrs {
        let announced_addrs = if announced.is_empty() { local_addrs.clone() } else { announced };
        UdpAddrs { local_addrs, announced_addrs }
    }

    /// Returns the UDP port number.
    pub(super) fn port(&self) -> u16 {
        self.local_addrs.first().map_or(0, SocketAddr::port)
    }

    /// Returns the addresses to offer a client at `client` whose websocket arrived on `arrived`, if
    /// it came directly.
    pub(super) fn candidates(
        &self,
        client: IpAddr,
        arrived: Option<IpAddr>,
        max: usize,
    ) -> Vec<SocketAddr> {
        let beside = |ip: IpAddr| self.local_addrs.iter().find(|local| local.ip() == ip).copied();
        CandidateSelector { client_ip: client, local_addr: arrived.and_then(beside) }
            .select(&self.announced_addrs, max)
    }

    /// Explains why no connectivity check of a client arrived that was offered these addresses,
    /// with a hint.
    pub(super) fn explain_unreachable(
        &self,
        remote: IpAddr,
        offered: &[SocketAddr],
        config: &Config,
    ) -> Explanation {
        let all = |is: fn(IpAddr) -> bool| offered.iter().all(|told| is(told.ip()));
        let (port, told) = (self.port(), self.describe_offered(offered));
        if self.is_own_addr(remote) {
            let cause = "which does not follow a TCP port that is forwarded";
            let cause = format!("no check reached UDP {port}, {cause}");
            return Explanation::new(cause).with_hint(self.forwarded_port_hint(&told));
        }
        if all(is_loopback) {
            let cause = format!("only {told} was announced and the client is not on this machine");
            return Explanation::new(cause).with_hint(match config.public_addrs.is_empty() {
                true => "bind 0.0.0.0 in place of 127.0.0.1",
                false => "set Config::public_addrs to the addresses that clients see",
            });
        }
        if all(is_private) && !is_private(remote) {
            let cause = format!("only {told} was announced, which clients outside cannot reach");
            return Explanation::new(cause).with_hint(format!(
                "set Config::public_addrs to the server's public address, and open UDP {port}"
            ));
        }
        Explanation::new(format!("no check reached UDP {port}"))
            .with_hint(self.firewall_hint(&told, offered, config))
    }

    /// Returns whether a connection from there may be forwarded by something on this machine.
    fn is_own_addr(&self, remote: IpAddr) -> bool {
        remote.is_loopback() || self.local_addrs.iter().any(|local| local.ip() == remote)
    }

    /// Hint for a program on this machine that forwards TCP but not UDP.
    fn forwarded_port_hint(&self, told: &str) -> String {
        let port = self.port();
        let forwarded = "the websocket came from the server's own machine: is the TCP port \
                         forwarded, as by WSL2, ssh -L, Docker or a proxy?";
        match self.local_addrs.first() {
            Some(local) if local.ip().is_loopback() => format!(
                "{forwarded} Then bind 0.0.0.0 in place of {}, so that UDP {port} is reached from \
                 outside. On this machine a network must be up",
                local.ip()
            ),
            _ => format!(
                "{forwarded} Then clients must reach UDP {port} at {told}, so open the page by that \
                 address in place of localhost, or have UDP {port} passed on as well"
            ),
        }
    }

    /// Hint on the ports that a firewall must open for connectivity checks.
    fn firewall_hint(&self, told: &str, offered: &[SocketAddr], config: &Config) -> String {
        let port = self.port();
        if self.local_addrs.first().is_some_and(|local| local.ip().is_loopback()) {
            return "is the client behind a proxy? Then bind 0.0.0.0 in place of 127.0.0.1, for \
                    UDP does not pass the proxy"
                .into();
        }
        let open = format!(
            "is UDP {port} open in the firewall or security group, as TCP is? With Docker: -p \
             {port}:{port}/udp"
        );
        if !config.public_addrs.is_empty() {
            format!("{open}. Is Config::public_addrs right, of which {told} was announced?")
        } else if offered.iter().all(|told| is_private(told.ip())) {
            format!("{open}. Set Config::public_addrs if {told} is not what clients reach")
        } else {
            open
        }
    }

    fn describe_offered(&self, offered: &[SocketAddr]) -> String {
        match offered {
            [] => "no address".into(),
            [one] if one.port() == self.port() => one.ip().to_string(),
            [one] => one.to_string(),
            [first, ..] => format!("{} and the like", first.ip()),
        }
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.is_loopback()
}

/// Selection of the candidates of an offer by the addresses of the client's websocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CandidateSelector {
    /// The client's IP address.
    pub(super) client_ip: IpAddr,
    /// The UDP address beside the one on which its websocket arrived, if it came directly.
    pub(super) local_addr: Option<SocketAddr>,
}

impl CandidateSelector {
    /// Returns the candidates of its offer, in order of preference: the address on which it
    /// arrived, which is reachable, then the advertised ones in their order. At most `max`.
    ///
    /// A client at a public address gets private ones only if there are no others: it cannot reach
    /// them, and a browser may ask its user for a permission because of them. Loopback is for this
    /// machine, and the last resort.
    pub(super) fn select(self, announced: &[SocketAddr], max: usize) -> Vec<SocketAddr> {
        let mut told = announced.to_vec();
        if let Some(arrived) = self.local_addr.filter(|arrived| !is_ipv6_link_local(arrived.ip())) {
            self.add_local_addr(&mut told, arrived);
        }
        let has_public = told.iter().any(|addr| !is_private(addr.ip()));
        if has_public && !is_private(self.client_ip) {
            told.retain(|addr| !is_private(addr.ip()));
        }
        let has_others = told.iter().any(|addr| !addr.ip().is_loopback());
        told.retain(|addr| !has_others || !addr.ip().is_loopback() || self.is_local_addr(addr));
        select_addrs(max.max(1), told, |addr| addr.ip(), |addr| self.is_required(addr))
    }

    /// Adds the address on which the client arrived first. A client of this machine may have come
    /// through a proxy, and then cannot use loopback.
    fn add_local_addr(self, told: &mut Vec<SocketAddr>, arrived: SocketAddr) {
        if arrived.ip().is_loopback() {
            if !told.contains(&arrived) {
                told.push(arrived);
            }
        } else {
            told.retain(|addr| *addr != arrived);
            told.insert(0, arrived);
        }
    }

    fn is_local_addr(self, addr: &SocketAddr) -> bool {
        self.local_addr == Some(*addr)
    }

    fn is_required(self, addr: &SocketAddr) -> bool {
        self.is_local_addr(addr) && !addr.ip().is_loopback()
    }
}

/// Returns whether an address is IPv6 link-local: it needs a zone id, which a candidate cannot
/// carry.
fn is_ipv6_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// Cause of a failure, and a hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Explanation {
    pub(super) cause: String,
    pub(super) hint: Option<String>,
}

impl Explanation {
    pub(super) fn new(cause: impl Into<String>) -> Explanation {
        Explanation { cause: cause.into(), hint: None }
    }

    pub(super) fn with_hint(self, setting: impl Into<String>) -> Explanation {
        Explanation { hint: Some(setting.into()), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cause and the hint.
    fn words(local: &str, announced: &str, public: Option<&str>, remote: &str) -> (String, String) {
        let list = |text: &str| -> Vec<SocketAddr> {
            text.split_whitespace().map(|addr| addr.parse().unwrap()).collect()
        };
        let public_addrs = public.into_iter().map(|addr| addr.parse().unwrap()).collect();
        let config = Config { public_addrs, ..Config::default() };
        let reach = UdpAddrs::new(list(local), list(announced));
        let remote = remote.parse().unwrap();
        let offered = reach.candidates(remote, None, config.max_candidates);
        let Explanation { cause, hint: setting } =
            reach.explain_unreachable(remote, &offered, &config);
        (cause, setting.expect("something can be done"))
    }

    #[track_caller]
    fn assert_says((cause, setting): (String, String), expected: &str, advice: &[&str]) {
        assert_eq!(cause, expected);
        for advice in advice {
            assert!(setting.contains(advice), "{setting}");
        }
    }

    #[test]
    fn a_closed_port() {
        let said = words("203.0.113.5:3000", "", None, "198.51.100.7");
        let advice = ["UDP 3000", "firewall or security group", "-p 3000:3000/udp"];
        assert_says(said, "no check reached UDP 3000", &advice);
    }

    #[test]
    fn nat_without_a_public_address() {
        let said = words("10.0.0.5:3000", "", None, "198.51.100.7");
        let cause = "only 10.0.0.5 was announced, which clients outside cannot reach";
        assert_says(said, cause, &["Config::public_addrs", "UDP 3000"]);
        let said = words("10.0.0.5:3000 [fd00::1]:3000", "", None, "2001:db8::7");
        let cause = "only 10.0.0.5 and the like was announced, which clients outside cannot reach";
        assert_says(said, cause, &["Config::public_addrs"]);
    }

    #[test]
    fn a_wrong_public_address_or_a_closed_port_behind_it() {
        let public = "203.0.113.5";
        let said = words("10.0.0.5:3000", "203.0.113.5:3000", Some(public), "198.51.100.7");
        let advice = ["UDP 3000", "Is Config::public_addrs right, of which 203.0.113.5 was"];
        assert_says(said, "no check reached UDP 3000", &advice);
        let public = "203.0.113.5:4000";
        let said = words("10.0.0.5:3000", "203.0.113.5:4000", Some(public), "198.51.100.7");
        assert_says(said, "no check reached UDP 3000", &["203.0.113.5:4000 was announced?"]);
    }

    #[test]
    fn a_container_whose_port_is_not_published() {
        let said = words("172.17.0.2:3000", "", None, "172.17.0.1");
        let advice = ["Docker: -p 3000:3000/udp", "Config::public_addrs if 172.17.0.2"];
        assert_says(said, "no check reached UDP 3000", &advice);
    }

    #[test]
    fn only_loopback() {
        let cause = "only 127.0.0.1 was announced and the client is not on this machine";
        let said = words("127.0.0.1:3000", "", None, "198.51.100.7");
        assert_says(said, cause, &["bind 0.0.0.0"]);
        let said = words("0.0.0.0:3000", "127.0.0.1:3000", Some("127.0.0.1"), "198.51.100.7");
        assert_says(said, cause, &["Config::public_addrs"]);
    }

    #[test]
    fn a_port_that_is_forwarded_from_localhost_or_by_a_proxy() {
        let cause = "no check reached UDP 3000, which does not follow a TCP port that is forwarded";
        let said = words("127.0.0.1:3000 192.0.2.5:3000", "", None, "127.0.0.1");
        let advice = ["WSL2, ssh -L, Docker or a proxy?", "bind 0.0.0.0 in place of 127.0.0.1"];
        assert_says(said, cause, &advice);
        for remote in ["127.0.0.1", "172.29.0.2"] {
            let said = words("172.29.0.2:3000 127.0.0.1:3000", "", None, remote);
            assert!(!said.1.contains("public_addr") && !said.1.contains("bind"), "{}", said.1);
            assert_says(said, cause, &["WSL2", "UDP 3000 at 172.29.0.2", "localhost"]);
        }
    }

    #[test]
    fn a_proxy_that_is_trusted_in_front_of_a_server_on_loopback() {
        let said = words("127.0.0.1:3000 192.0.2.5:3000", "", None, "192.0.2.9");
        assert_says(said, "no check reached UDP 3000", &["proxy", "bind 0.0.0.0"]);
    }
}

#[cfg(test)]
mod candidates_tests {
    use super::*;

    fn list(text: &str) -> Vec<SocketAddr> {
        let with_port = |ip: &str| SocketAddr::new(ip.parse().unwrap(), 3000);
        text.split_whitespace().map(with_port).collect()
    }

    #[track_caller]
    fn assert_told(client: &str, arrived: &str, announced: &str, max: usize, expected: &str) {
        let arrived = list(arrived).first().copied();
        let seen = CandidateSelector { client_ip: client.parse().unwrap(), local_addr: arrived };
        assert_eq!(seen.select(&list(announced), max), list(expected));
    }

    const LAN: &str = "192.168.1.5";
    const OUTSIDE: &str = "198.51.100.7";
    const ALL: &str = "203.0.113.5 10.0.0.3 192.168.1.2 172.17.0.1 127.0.0.1";

    #[test]
    fn a_client_from_a_public_address_is_told_nothing_private_where_there_is_a_public_one() {
        assert_told(OUTSIDE, "203.0.113.5", ALL, 8, "203.0.113.5");
        // Behind a 1:1 NAT the request arrives at a private address.
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
