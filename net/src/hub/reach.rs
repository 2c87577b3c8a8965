//! Where datagrams can reach the server, and what is likely wrong when none does.

use std::net::{IpAddr, SocketAddr};

use super::words::Words;
use crate::Config;

/// The addresses of the UDP side.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    /// Where the sockets are bound.
    local: Vec<SocketAddr>,
    /// What browsers are told.
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

    /// Why no check of a client came, and what to do.
    pub(super) fn unreached(&self, remote: IpAddr, config: &Config) -> Words {
        let all = |is: fn(IpAddr) -> bool| self.announced.iter().all(|told| is(told.ip()));
        let told = self.told();
        if all(is_loopback) && !remote.is_loopback() {
            let cause = format!("only {told} was announced and the client is not on this machine");
            return Words::new(cause).set(match config.public_addr {
                Some(_) => "set Config::public_addr to the address that clients see",
                None => "bind 0.0.0.0 in place of 127.0.0.1",
            });
        }
        if all(is_private) && !is_private(remote) {
            let cause = format!("only {told} was announced, which clients outside cannot reach");
            let port = self.port();
            return Words::new(cause).set(format!(
                "set Config::public_addr to the server's public address, and open UDP {port}"
            ));
        }
        Words::new(format!("no check reached UDP {}", self.port())).set(self.way_in(config))
    }

    /// What has to be open for a check to come in.
    fn way_in(&self, config: &Config) -> String {
        let port = self.port();
        if config.public_addr.is_none() && self.local.iter().any(|local| local.ip().is_loopback()) {
            return "is the client behind a proxy? Then bind 0.0.0.0 in place of 127.0.0.1, for \
                    UDP does not pass the proxy. On this machine a network must be up"
                .into();
        }
        let open = format!(
            "is UDP {port} open in the firewall or security group, as TCP is? With Docker: -p \
             {port}:{port}/udp"
        );
        match config.public_addr {
            Some(_) => format!("{open}. Is Config::public_addr, {}, right?", self.told()),
            None if self.announced.iter().all(|told| is_private(told.ip())) => {
                let told = self.told();
                format!("{open}. Set Config::public_addr if {told} is not what clients reach")
            }
            None => open,
        }
    }

    fn told(&self) -> String {
        match &self.announced[..] {
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

/// Not to be reached over the internet: RFC 1918, RFC 6598, RFC 4193, and this machine.
pub(super) fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let carrier = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || carrier
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cause and setting.
    fn words(local: &str, announced: &str, public: Option<&str>, remote: &str) -> (String, String) {
        let list = |text: &str| -> Vec<SocketAddr> {
            text.split_whitespace().map(|addr| addr.parse().unwrap()).collect()
        };
        let public_addr = public.map(|addr| addr.parse().unwrap());
        let config = Config { public_addr, ..Config::default() };
        let reach = Reach::new(list(local), list(announced));
        let Words { cause, setting } = reach.unreached(remote.parse().unwrap(), &config);
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
        assert_says(said, cause, &["Config::public_addr", "UDP 3000"]);
        let said = words("10.0.0.5:3000 [fd00::1]:3000", "", None, "2001:db8::7");
        let cause = "only 10.0.0.5 and the like was announced, which clients outside cannot reach";
        assert_says(said, cause, &["Config::public_addr"]);
    }

    #[test]
    fn a_wrong_public_address_or_a_closed_port_behind_it() {
        let public = "203.0.113.5";
        let said = words("10.0.0.5:3000", "203.0.113.5:3000", Some(public), "198.51.100.7");
        let advice = ["UDP 3000", "Is Config::public_addr, 203.0.113.5, right?"];
        assert_says(said, "no check reached UDP 3000", &advice);
        let public = "203.0.113.5:4000";
        let said = words("10.0.0.5:3000", "203.0.113.5:4000", Some(public), "198.51.100.7");
        assert_says(said, "no check reached UDP 3000", &["203.0.113.5:4000, right?"]);
    }

    #[test]
    fn a_container_whose_port_is_not_published() {
        let said = words("172.17.0.2:3000", "", None, "172.17.0.1");
        let advice = ["Docker: -p 3000:3000/udp", "Config::public_addr if 172.17.0.2"];
        assert_says(said, "no check reached UDP 3000", &advice);
    }

    #[test]
    fn only_loopback() {
        let cause = "only 127.0.0.1 was announced and the client is not on this machine";
        let said = words("127.0.0.1:3000", "", None, "198.51.100.7");
        assert_says(said, cause, &["bind 0.0.0.0"]);
        let said = words("0.0.0.0:3000", "127.0.0.1:3000", Some("127.0.0.1"), "198.51.100.7");
        assert_says(said, cause, &["Config::public_addr"]);
    }

    #[test]
    fn a_proxy_in_front_of_a_server_on_loopback() {
        let said = words("127.0.0.1:3000 192.0.2.5:3000", "", None, "127.0.0.1");
        assert_says(said, "no check reached UDP 3000", &["proxy", "bind 0.0.0.0"]);
    }

    #[test]
    fn what_cannot_be_reached_from_outside() {
        let private = ["10.1.2.3", "172.31.0.1", "192.168.1.1", "100.64.0.1", "100.127.255.255"];
        let public = ["100.63.0.1", "100.128.0.1", "172.32.0.1", "203.0.113.5", "2001:db8::1"];
        let is = |ip: &str| is_private(ip.parse().unwrap());
        assert!(private.into_iter().chain(["127.0.0.1", "::1", "fd12::1", "fe80::1"]).all(is));
        assert!(!public.into_iter().any(is));
    }
}
