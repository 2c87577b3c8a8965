//! Where datagrams can reach the server, and what is likely wrong when none does.

use std::net::{IpAddr, SocketAddr};

use super::candidates::Seen;
use super::words::Words;
use crate::Config;
use crate::addresses::is_private;

/// The addresses of the UDP side, as they are now.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    /// Where the sockets are bound.
    local: Vec<SocketAddr>,
    /// What browsers are told, as far as each can use it.
    announced: Vec<SocketAddr>,
}

impl Reach {
    /// Nothing announced means that the bound addresses are.
    pub(super) fn new(local: Vec<SocketAddr>, announced: Vec<SocketAddr>) -> Reach {
        let announced = if announced.is_empty() { local.clone() } else { announced };
        Reach { local, announced }
    }

    /// The number of the UDP port.
    pub(super) fn port(&self) -> u16 {
        self.local.first().map_or(0, SocketAddr::port)
    }

    /// The addresses to offer a client at `client` whose websocket came in on `arrived`, if it
    /// came by itself.
    pub(super) fn candidates(
        &self,
        client: IpAddr,
        arrived: Option<IpAddr>,
        max: usize,
    ) -> Vec<SocketAddr> {
        let beside = |ip: IpAddr| self.local.iter().find(|local| local.ip() == ip).copied();
        Seen { client, arrived: arrived.and_then(beside) }.candidates(&self.announced, max)
    }

    /// Why no check of a client came that was offered these addresses, and what to do.
    pub(super) fn unreached(
        &self,
        remote: IpAddr,
        offered: &[SocketAddr],
        config: &Config,
    ) -> Words {
        let all = |is: fn(IpAddr) -> bool| offered.iter().all(|told| is(told.ip()));
        let (port, told) = (self.port(), self.told(offered));
        if self.is_this_machine(remote) {
            let cause = "which does not follow a TCP port that is forwarded";
            let cause = format!("no check reached UDP {port}, {cause}");
            return Words::new(cause).set(self.way_in_behind_a_forwarded_port(&told));
        }
        if all(is_loopback) {
            let cause = format!("only {told} was announced and the client is not on this machine");
            return Words::new(cause).set(match config.public_addrs.is_empty() {
                true => "bind 0.0.0.0 in place of 127.0.0.1",
                false => "set Config::public_addrs to the addresses that clients see",
            });
        }
        if all(is_private) && !is_private(remote) {
            let cause = format!("only {told} was announced, which clients outside cannot reach");
            return Words::new(cause).set(format!(
                "set Config::public_addrs to the server's public address, and open UDP {port}"
            ));
        }
        Words::new(format!("no check reached UDP {port}")).set(self.way_in(&told, offered, config))
    }

    /// Whether a connection from there may be one that something on this machine passes on.
    fn is_this_machine(&self, remote: IpAddr) -> bool {
        remote.is_loopback() || self.local.iter().any(|local| local.ip() == remote)
    }

    /// A program on this machine passes TCP on, and UDP does not come along.
    fn way_in_behind_a_forwarded_port(&self, told: &str) -> String {
        let port = self.port();
        let forwarded = "the websocket came from the server's own machine: is the TCP port \
                         forwarded, as by WSL2, ssh -L, Docker or a proxy?";
        match self.local.first() {
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

    /// What has to be open for a check to come in.
    fn way_in(&self, told: &str, offered: &[SocketAddr], config: &Config) -> String {
        let port = self.port();
        if self.local.first().is_some_and(|local| local.ip().is_loopback()) {
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

    fn told(&self, offered: &[SocketAddr]) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Cause and setting.
    fn words(local: &str, announced: &str, public: Option<&str>, remote: &str) -> (String, String) {
        let list = |text: &str| -> Vec<SocketAddr> {
            text.split_whitespace().map(|addr| addr.parse().unwrap()).collect()
        };
        let public_addrs = public.into_iter().map(|addr| addr.parse().unwrap()).collect();
        let config = Config { public_addrs, ..Config::default() };
        let reach = Reach::new(list(local), list(announced));
        let remote = remote.parse().unwrap();
        let offered = reach.candidates(remote, None, config.max_candidates);
        let Words { cause, setting } = reach.unreached(remote, &offered, &config);
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
