//! Which addresses of this machine a browser can reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use if_addrs::Interface;

/// Most addresses that are announced.
const ANNOUNCED: usize = 8;

/// How interfaces of container and virtual machine bridges begin: they are announced last,
/// because hardly any browser is behind them.
const BRIDGES: [&str; 12] = [
    "docker", "br-", "veth", "virbr", "vmnet", "vboxnet", "podman", "cni", "flannel", "cali",
    "lxc", "lxd",
];

/// The addresses to announce when all interfaces are listened on: at most 8, loopback only if
/// there is nothing else, IPv6 only if it is listened on.
pub(crate) fn of_all_interfaces(with_ipv6: bool) -> Vec<IpAddr> {
    ranked(interfaces(), with_ipv6)
}

/// An address of this machine that is not loopback: Firefox does not connect to loopback, but
/// it does to this.
pub(crate) fn beside_loopback() -> Option<IpAddr> {
    ranked(interfaces(), true).into_iter().find(|ip| !ip.is_loopback())
}

/// Every address of this machine.
pub(crate) fn of_this_machine() -> Vec<IpAddr> {
    interfaces().iter().map(Interface::ip).collect()
}

fn interfaces() -> Vec<Interface> {
    if_addrs::get_if_addrs().unwrap_or_else(|error| {
        log::warn!("the network interfaces cannot be listed: {error}");
        Vec::new()
    })
}

fn ranked(interfaces: Vec<Interface>, with_ipv6: bool) -> Vec<IpAddr> {
    let mut usable: Vec<_> = interfaces
        .into_iter()
        .filter(|interface| is_usable(interface.ip()) && (with_ipv6 || interface.ip().is_ipv4()))
        .collect();
    // Stable, so that the system's order decides between equals.
    usable.sort_by_key(|interface| (is_bridge(&interface.name), interface.ip().is_ipv6()));
    let (loopback, mut ips): (Vec<_>, Vec<_>) =
        usable.iter().map(Interface::ip).partition(IpAddr::is_loopback);
    if ips.is_empty() {
        ips = loopback;
    }
    ips.truncate(ANNOUNCED);
    ips
}

fn is_bridge(name: &str) -> bool {
    BRIDGES.iter().any(|prefix| name.starts_with(prefix))
}

/// Link-local addresses are of no use in a candidate: they need an interface beside them.
fn is_usable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_link_local() && ip != Ipv4Addr::UNSPECIFIED,
        IpAddr::V6(ip) => !ip.is_unicast_link_local() && ip != Ipv6Addr::UNSPECIFIED,
    }
}

#[cfg(test)]
mod tests {
    use if_addrs::{IfAddr, IfOperStatus, Ifv4Addr, Ifv6Addr};

    use super::*;

    fn interface(name: &str, ip: &str) -> Interface {
        let addr = match ip.parse().unwrap() {
            IpAddr::V4(ip) => IfAddr::V4(Ifv4Addr {
                ip,
                netmask: Ipv4Addr::BROADCAST,
                prefixlen: 32,
                broadcast: None,
            }),
            IpAddr::V6(ip) => IfAddr::V6(Ifv6Addr {
                ip,
                netmask: Ipv6Addr::LOCALHOST,
                prefixlen: 128,
                broadcast: None,
            }),
        };
        Interface {
            name: name.into(),
            addr,
            index: None,
            oper_status: IfOperStatus::Up,
            is_p2p: false,
        }
    }

    fn announced(interfaces: &[(&str, &str)], with_ipv6: bool) -> Vec<String> {
        let interfaces = interfaces.iter().map(|(name, ip)| interface(name, ip)).collect();
        ranked(interfaces, with_ipv6).iter().map(IpAddr::to_string).collect()
    }

    #[test]
    fn bridges_come_last_and_loopback_not_at_all() {
        let found = [
            ("lo", "127.0.0.1"),
            ("docker0", "172.17.0.1"),
            ("eth0", "2001:db8::5"),
            ("eth0", "192.0.2.5"),
            ("eth0", "fe80::1"),
            ("wlan0", "198.51.100.5"),
        ];
        let expected = ["192.0.2.5", "198.51.100.5", "2001:db8::5", "172.17.0.1"];
        assert_eq!(announced(&found, true), expected);
        assert_eq!(announced(&found, false), ["192.0.2.5", "198.51.100.5", "172.17.0.1"]);
    }

    #[test]
    fn loopback_is_better_than_nothing() {
        let found = [("lo", "127.0.0.1"), ("lo", "::1"), ("eth0", "169.254.7.7")];
        assert_eq!(announced(&found, true), ["127.0.0.1", "::1"]);
        assert_eq!(announced(&[], true), Vec::<String>::new());
    }

    #[test]
    fn never_more_than_eight() {
        let many: Vec<_> = (0..20).map(|n| format!("192.0.2.{n}")).collect();
        let many: Vec<_> = many.iter().map(|ip| ("eth0", ip.as_str())).collect();
        assert_eq!(announced(&many, true).len(), ANNOUNCED);
    }
}
