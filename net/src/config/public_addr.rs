//! Where browsers find a server that cannot know it.

use std::net::{AddrParseError, IpAddr, SocketAddr};
use std::str::FromStr;

/// An address that browsers are told: an IP address, with the bound port unless it has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicAddr {
    /// The address.
    pub ip: IpAddr,
    /// The UDP port; `None` is the one that is bound.
    pub port: Option<u16>,
}

impl PublicAddr {
    pub(crate) fn with_port(self, bound: u16) -> SocketAddr {
        SocketAddr::new(self.ip, self.port.unwrap_or(bound))
    }
}

impl From<IpAddr> for PublicAddr {
    fn from(ip: IpAddr) -> PublicAddr {
        PublicAddr { ip, port: None }
    }
}

impl From<SocketAddr> for PublicAddr {
    fn from(addr: SocketAddr) -> PublicAddr {
        PublicAddr { ip: addr.ip(), port: Some(addr.port()) }
    }
}

impl FromStr for PublicAddr {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<PublicAddr, AddrParseError> {
        text.parse::<SocketAddr>()
            .map(PublicAddr::from)
            .or_else(|_| text.parse::<IpAddr>().map(PublicAddr::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_address_has_a_port_or_takes_the_bound_one() {
        let told = |text: &str| text.parse::<PublicAddr>().map(|addr| addr.with_port(3000));
        assert_eq!(told("203.0.113.5"), Ok("203.0.113.5:3000".parse().unwrap()));
        assert_eq!(told("203.0.113.5:4000"), Ok("203.0.113.5:4000".parse().unwrap()));
        assert_eq!(told("2001:db8::1"), Ok("[2001:db8::1]:3000".parse().unwrap()));
        assert!(told("example.org").is_err());
    }
}
