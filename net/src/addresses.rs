//! Which addresses are public, and which ones stay where there is no room for all.

use std::net::IpAddr;

/// Not to be reached over the internet: RFC 1918, RFC 6598, RFC 3927, RFC 4193, and this machine.
pub(crate) fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let carrier = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || carrier
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// At most `max` of these, in their order. The first ones stay, except that what is needed goes
/// before the public ones, these before the private ones, and that of each family at least one
/// stays.
pub(crate) fn at_most<T: Copy>(
    max: usize,
    all: Vec<T>,
    ip: impl Fn(&T) -> IpAddr,
    is_needed: impl Fn(&T) -> bool,
) -> Vec<T> {
    if all.len() <= max {
        return all;
    }
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|index| (!is_needed(&all[*index]), is_private(ip(&all[*index]))));
    let (mut kept, left) = (order[..max].to_vec(), &order[max..]);
    let is_ipv6 = |index: &usize| ip(&all[*index]).is_ipv6();
    for family in [false, true] {
        let missing = left.iter().find(|index| is_ipv6(index) == family);
        if let Some(missing) = missing
            && kept.len() > 1
            && kept.iter().all(|index| is_ipv6(index) != family)
        {
            kept.pop();
            kept.push(*missing);
        }
    }
    kept.sort_unstable();
    kept.into_iter().map(|index| all[index]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(text: &str) -> Vec<IpAddr> {
        text.split_whitespace().map(|ip| ip.parse().unwrap()).collect()
    }

    #[test]
    fn what_cannot_be_reached_from_outside() {
        let private = "10.1.2.3 172.31.0.1 192.168.1.1 100.64.0.1 100.127.255.255 127.0.0.1 ::1 \
                       fd12::1 fe80::1 169.254.1.1";
        let public = "100.63.0.1 100.128.0.1 172.32.0.1 203.0.113.5 2001:db8::1";
        assert!(ips(private).into_iter().all(is_private));
        assert!(!ips(public).into_iter().any(is_private));
    }

    #[test]
    fn no_public_one_makes_room_for_a_private_one_nor_the_last_of_a_family() {
        let cut = |max, all: &str, needed: &str| {
            let needed = ips(needed);
            at_most(max, ips(all), |ip| *ip, |ip| needed.contains(ip))
        };
        let all = "10.0.0.1 10.0.0.2 10.0.0.3 203.0.113.1 fd00::1 fd00::2";
        assert_eq!(cut(6, all, ""), ips(all));
        assert_eq!(cut(3, all, ""), ips("10.0.0.1 203.0.113.1 fd00::1"));
        assert_eq!(cut(3, all, "10.0.0.3"), ips("10.0.0.3 203.0.113.1 fd00::1"));
        assert_eq!(cut(3, all, "fd00::2"), ips("10.0.0.1 203.0.113.1 fd00::2"));
        assert_eq!(cut(1, all, ""), ips("203.0.113.1"));
        assert_eq!(cut(0, all, ""), ips(""));
        assert_eq!(cut(2, "2001:db8::1 2001:db8::2 10.0.0.1", ""), ips("2001:db8::1 10.0.0.1"));
    }
}
