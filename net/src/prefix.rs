//! Addresses that begin alike.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;

/// All addresses with the same first bits (RFC 4632 §3.1, RFC 4291 §2.3), as in `10.0.0.0/8` or
/// `2001:db8::/32`; an address alone, as in `127.0.0.1`, stands for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    ip: IpAddr,
    bits: u8,
}

/// What was given is no prefix.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is neither an address nor a prefix; write it as in \"10.0.0.0/8\"")]
pub struct PrefixError(String);

impl Prefix {
    /// The addresses whose first `bits` are those of `ip`; more bits than it has count as all.
    pub fn new(ip: IpAddr, bits: u8) -> Prefix {
        Prefix { ip, bits: bits.min(length(ip)) }
    }

    /// Whether an address is one of them. An IPv4 address written as IPv6 (RFC 4291 §2.5.5.2)
    /// counts as IPv4.
    pub fn contains(self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let differ = match (self.ip, ip) {
            (IpAddr::V4(ours), IpAddr::V4(ip)) => u128::from(ours.to_bits() ^ ip.to_bits()),
            (IpAddr::V6(ours), IpAddr::V6(ip)) => ours.to_bits() ^ ip.to_bits(),
            _ => return false,
        };
        let rest = u32::from(length(ip) - self.bits);
        differ.checked_shr(rest).unwrap_or(0) == 0
    }
}

fn length(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

impl From<IpAddr> for Prefix {
    fn from(ip: IpAddr) -> Prefix {
        Prefix::new(ip.to_canonical(), u8::MAX)
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Prefix, PrefixError> {
        let parsed = match text.split_once('/') {
            None => text.parse().map(IpAddr::into).ok(),
            Some((ip, bits)) => ip
                .parse()
                .ok()
                .zip(bits.parse().ok())
                .and_then(|(ip, bits)| (bits <= length(ip)).then(|| Prefix::new(ip, bits))),
        };
        parsed.ok_or_else(|| PrefixError(text.to_owned()))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_contains(prefix: &str, inside: &[&str], outside: &[&str]) {
        let prefix: Prefix = prefix.parse().unwrap();
        let contains = |ip: &&&str| prefix.contains(ip.parse().unwrap());
        assert_eq!(inside.iter().find(|ip| !contains(ip)), None);
        assert_eq!(outside.iter().find(contains), None);
    }

    #[test]
    fn the_first_bits_decide() {
        assert_contains("10.0.0.0/8", &["10.0.0.0", "10.255.255.255"], &["11.0.0.0", "::a00:0"]);
        assert_contains("10.1.2.3/8", &["10.9.9.9", "::ffff:10.1.1.1"], &["9.1.2.3"]);
        assert_contains("172.16.0.0/12", &["172.31.255.255"], &["172.32.0.0", "172.15.255.255"]);
        assert_contains("127.0.0.1", &["127.0.0.1", "::ffff:127.0.0.1"], &["127.0.0.2", "::1"]);
        assert_contains("::ffff:127.0.0.1", &["127.0.0.1"], &["127.0.0.2"]);
        assert_contains("0.0.0.0/0", &["1.2.3.4", "255.255.255.255"], &["::1"]);
        assert_contains("2001:db8::/32", &["2001:db8:ffff::1"], &["2001:db9::1", "1.2.3.4"]);
        assert_contains("::/0", &["2001:db9::1", "::"], &["1.2.3.4"]);
        assert_contains("::1", &["::1"], &["::2", "127.0.0.1"]);
    }

    #[test]
    fn what_is_no_prefix_says_so() {
        for text in ["", "/", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10/8", "proxy.example", "1/"]
        {
            let error = text.parse::<Prefix>().unwrap_err();
            assert!(error.to_string().starts_with(&format!("{text:?} is neither")), "{error}");
        }
        assert_eq!("10.0.0.0/8".parse::<Prefix>().unwrap().to_string(), "10.0.0.0/8");
    }
}
