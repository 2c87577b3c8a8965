//! Whom a proxy speaks for: `X-Forwarded-For`, as far as it is to be believed.

use std::net::{IpAddr, SocketAddr};

use net_ws::Request;

use crate::Prefix;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// Whoever connected.
    Direct(SocketAddr),
    /// Whom a trusted proxy names, with port 0 if it names none.
    Forwarded(SocketAddr),
}

impl Client {
    /// Who asks with a request that came from `peer`.
    ///
    /// Each proxy appends the address that it was asked from, so the list is true from its right
    /// end up to the first address that is not a trusted proxy's: that one is the client's. What
    /// stands left of it is the client's own invention, and what is no address ends the list.
    pub(super) fn of(peer: SocketAddr, request: &Request, trusted: &[Prefix]) -> Client {
        if !is_trusted(trusted, peer.ip()) {
            return Client::Direct(peer);
        }
        let values: Vec<_> = request.values("x-forwarded-for").collect();
        let entries = values.iter().rev().flat_map(|value| value.rsplit(|byte| *byte == b','));
        let mut client = Client::Direct(peer);
        for entry in entries.map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty()) {
            let Some(named) = address(entry) else { break };
            client = Client::Forwarded(named);
            if !is_trusted(trusted, named.ip()) {
                break;
            }
        }
        client
    }

    pub(super) fn address(self) -> SocketAddr {
        match self {
            Client::Direct(address) | Client::Forwarded(address) => address,
        }
    }
}

pub(super) fn is_trusted(trusted: &[Prefix], ip: IpAddr) -> bool {
    trusted.iter().any(|prefix| prefix.contains(ip))
}

/// An entry: an address, some proxies add the port.
fn address(entry: &[u8]) -> Option<SocketAddr> {
    let entry = std::str::from_utf8(entry).ok()?;
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    let named = match bare.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, 0),
        Err(_) => entry.parse::<SocketAddr>().ok()?,
    };
    Some(SocketAddr::new(named.ip().to_canonical(), named.port()))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use net_ws::{Config, Input, Output, Socket};

    use super::*;

    /// A request with these values of the header, through a websocket's own eyes.
    fn request(values: &[&str]) -> Request {
        let now = Instant::now();
        let headers: Vec<_> = values.iter().map(|value| ("X-Forwarded-For", *value)).collect();
        let client = Socket::connect_with(now, Config::default(), "a", "/", &headers).unwrap();
        let mut server = Socket::accept(now, Config::default());
        server.handle_input(now, Input::Bytes(client.outgoing()));
        let Output::Upgraded(request) = server.poll_output() else { panic!("not upgraded") };
        request
    }

    /// Who asks, where 10.0.0.0/8 and `::1` are trusted.
    fn client(peer: &str, values: &[&str]) -> Client {
        let trusted = ["10.0.0.0/8", "::1"].map(|prefix| prefix.parse().unwrap());
        Client::of(peer.parse().unwrap(), &request(values), &trusted)
    }

    fn direct(address: &str) -> Client {
        Client::Direct(address.parse().unwrap())
    }

    fn forwarded(address: &str) -> Client {
        Client::Forwarded(address.parse().unwrap())
    }

    #[test]
    fn t22_from_anyone_it_is_ignored() {
        let peer = "198.51.100.7:5000";
        for values in [&["203.0.113.9"][..], &["10.0.0.1"], &["127.0.0.1", "10.0.0.1"]] {
            assert_eq!(client(peer, values), direct(peer));
        }
    }

    #[test]
    fn from_a_trusted_proxy_the_right_most_untrusted_entry_counts() {
        let expected = forwarded("203.0.113.9:0");
        for values in [
            &["203.0.113.9"][..],
            &["1.1.1.1, 203.0.113.9"],
            &["127.0.0.1,203.0.113.9, 10.0.0.2"],
            &["1.1.1.1", "203.0.113.9", "10.0.0.2"],
            &["1.1.1.1, 203.0.113.9", "10.0.0.3, 10.0.0.2"],
            &["nonsense, 203.0.113.9"],
            &["203.0.113.9, ,"],
            &["::ffff:203.0.113.9"],
        ] {
            assert_eq!(client("10.0.0.1:5000", values), expected, "{values:?}");
        }
    }

    #[test]
    fn ports_and_brackets_are_understood() {
        assert_eq!(client("[::1]:9", &["203.0.113.9:77"]), forwarded("203.0.113.9:77"));
        assert_eq!(client("[::1]:9", &["2001:db8::7"]), forwarded("[2001:db8::7]:0"));
        assert_eq!(client("[::1]:9", &["[2001:db8::7]"]), forwarded("[2001:db8::7]:0"));
        assert_eq!(client("[::1]:9", &["[2001:db8::7]:80"]), forwarded("[2001:db8::7]:80"));
    }

    #[test]
    fn what_is_no_address_ends_the_list() {
        let proxy = "10.0.0.1:5000";
        for values in [&[][..], &[""], &["unknown"], &["203.0.113.9, _hidden"], &["1.2.3.4.5"]] {
            assert_eq!(client(proxy, values), direct(proxy), "{values:?}");
        }
        assert_eq!(client(proxy, &["203.0.113.9, x, 10.0.0.2"]), forwarded("10.0.0.2:0"));
    }

    #[test]
    fn where_all_are_trusted_the_first_is_the_client() {
        assert_eq!(client("10.0.0.1:5000", &["10.0.0.9, 10.0.0.2"]), forwarded("10.0.0.9:0"));
    }
}
