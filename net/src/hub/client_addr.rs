//! Client address behind proxies: `X-Forwarded-For` and the PROXY protocol header.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use net_ws::Request;

/// Address of a client: that of its TCP connection, or the one that a trusted proxy names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientAddr {
    /// The address of the TCP connection.
    Direct(SocketAddr),
    /// The address that a trusted proxy names, with port 0 if it names none.
    Forwarded(SocketAddr),
}

impl ClientAddr {
    /// Returns the client's address of a request that came from `peer`.
    ///
    /// Each proxy appends the address of its own client, so the list is reliable from its right end
    /// up to the first address that is not a trusted proxy's: that one is the client's. Entries
    /// left of it can be forged by the client, and an invalid entry ends the list.
    pub(super) fn from_request(
        peer: SocketAddr,
        request: &Request,
        trusted: &[IpNet],
    ) -> ClientAddr {
        if !is_trusted(trusted, peer.ip()) {
            return ClientAddr::Direct(peer);
        }
        let values: Vec<_> = request.values("x-forwarded-for").collect();
        let entries = values.iter().rev().flat_map(|value| value.rsplit(|byte| *byte == b','));
        let mut client = ClientAddr::Direct(peer);
        for entry in entries.map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty()) {
            let Some(named) = parse_forwarded_entry(entry) else { break };
            client = ClientAddr::Forwarded(named);
            if !is_trusted(trusted, named.ip()) {
                break;
            }
        }
        client
    }

    pub(super) fn addr(self) -> SocketAddr {
        match self {
            ClientAddr::Direct(address) | ClientAddr::Forwarded(address) => address,
        }
    }
}

/// Returns whether an address belongs to a trusted proxy. An IPv4-mapped IPv6 address (RFC 4291
/// §2.5.5.2) counts as IPv4.
pub(super) fn is_trusted(trusted: &[IpNet], ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    trusted.iter().any(|net| net.contains(&ip))
}

/// Parses an entry: an address, to which some proxies add the port.
fn parse_forwarded_entry(entry: &[u8]) -> Option<SocketAddr> {
    let entry = std::str::from_utf8(entry).ok()?;
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    let named = match bare.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, 0),
        Err(_) => entry.parse::<SocketAddr>().ok()?,
    };
    Some(SocketAddr::new(named.ip().to_canonical(), named.port()))
}

/// Signature of a version 2 header (PROXY protocol specification §2.2).
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Length of a version 2 header before its addresses.
const V2_HEADER_LEN: usize = 16;
/// Maximum length of a version 1 header, its line end included (§2.1).
const V1_MAX_LEN: usize = 107;
/// Length of the relevant version 2 addresses: two of IPv6 and two ports. The rest is skipped.
const V2_MAX_ADDRS_LEN: usize = 36;

/// Incremental parser of a PROXY protocol header.
#[derive(Debug, Default)]
pub(super) struct ProxyHeaderParser {
    /// The relevant bytes, at most 107.
    buffer: Vec<u8>,
    /// Bytes of the header received, kept or not.
    received: usize,
}

/// Result of parsing more bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ProxyHeaderProgress<'a> {
    /// The header is incomplete.
    Partial,
    /// The header is complete; these bytes follow it. It names the client, except for a `LOCAL` or
    /// unknown connection, such as a health check of the proxy.
    Complete(Option<SocketAddr>, &'a [u8]),
    /// Not a PROXY protocol header.
    Invalid,
}

impl ProxyHeaderParser {
    /// Consumes `input` up to the end of the header.
    pub(super) fn parse<'a>(&mut self, input: &'a [u8]) -> ProxyHeaderProgress<'a> {
        for (at, byte) in input.iter().enumerate() {
            self.received += 1;
            if self.buffer.len() < V2_HEADER_LEN + V2_MAX_ADDRS_LEN
                || !self.buffer.starts_with(V2_SIGNATURE)
            {
                self.buffer.push(*byte);
            }
            match self.check() {
                HeaderEnd::Incomplete => {}
                HeaderEnd::Complete(client) => {
                    return ProxyHeaderProgress::Complete(client, &input[at + 1..]);
                }
                HeaderEnd::Invalid => return ProxyHeaderProgress::Invalid,
            }
        }
        ProxyHeaderProgress::Partial
    }

    fn check(&self) -> HeaderEnd {
        let bytes = &self.buffer[..];
        let begins = |start: &[u8]| bytes.iter().zip(start).all(|(byte, begin)| byte == begin);
        if begins(V2_SIGNATURE) {
            self.check_v2()
        } else if !begins(b"PROXY ") || bytes.len() > V1_MAX_LEN {
            HeaderEnd::Invalid
        } else {
            bytes.strip_suffix(b"\r\n").map_or(HeaderEnd::Incomplete, parse_v1)
        }
    }

    fn check_v2(&self) -> HeaderEnd {
        let [fixed @ .., high, low] = &self.buffer[..self.buffer.len().min(V2_HEADER_LEN)] else {
            return HeaderEnd::Incomplete;
        };
        if fixed.len() + 2 < V2_HEADER_LEN {
            return HeaderEnd::Incomplete;
        }
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let addresses = &self.buffer[V2_HEADER_LEN..];
        match (fixed[12], fixed[13] >> 4) {
            (0x20 | 0x21, _) if self.received < V2_HEADER_LEN + length => HeaderEnd::Incomplete,
            (0x21, 1) => v2_ipv4_source(addresses)
                .map_or(HeaderEnd::Invalid, |client| HeaderEnd::Complete(Some(client))),
            (0x21, 2) => v2_ipv6_source(addresses)
                .map_or(HeaderEnd::Invalid, |client| HeaderEnd::Complete(Some(client))),
            (0x20 | 0x21, _) => HeaderEnd::Complete(None),
            _ => HeaderEnd::Invalid,
        }
    }
}

/// End of a PROXY protocol header, with the source address that it names.
enum HeaderEnd {
    Incomplete,
    Complete(Option<SocketAddr>),
    Invalid,
}

/// Parses a version 1 line, without its end: `PROXY TCP4 198.51.100.7 203.0.113.1 5000 3000`.
fn parse_v1(line: &[u8]) -> HeaderEnd {
    let words = std::str::from_utf8(line).unwrap_or_default();
    match words.split(' ').collect::<Vec<_>>()[..] {
        ["PROXY", "UNKNOWN", ..] => HeaderEnd::Complete(None),
        ["PROXY", "TCP4" | "TCP6", source, _, port, _] => {
            match (source.parse::<IpAddr>(), port.parse()) {
                (Ok(ip), Ok(port)) => {
                    HeaderEnd::Complete(Some(SocketAddr::new(ip.to_canonical(), port)))
                }
                _ => HeaderEnd::Invalid,
            }
        }
        _ => HeaderEnd::Invalid,
    }
}

/// Returns the source of version 2 addresses: source address, destination address, source port,
/// destination port.
fn v2_ipv4_source(addresses: &[u8]) -> Option<SocketAddr> {
    let (ip, rest) = addresses.split_first_chunk::<4>()?;
    let port = rest.get(4..)?.first_chunk::<2>()?;
    Some(SocketAddr::new(Ipv4Addr::from(*ip).into(), u16::from_be_bytes(*port)))
}

fn v2_ipv6_source(addresses: &[u8]) -> Option<SocketAddr> {
    let (ip, rest) = addresses.split_first_chunk::<16>()?;
    let port = rest.get(16..)?.first_chunk::<2>()?;
    Some(SocketAddr::new(
        IpAddr::from(Ipv6Addr::from(*ip)).to_canonical(),
        u16::from_be_bytes(*port),
    ))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use net_ws::{Config, Input, Output, Socket};

    use super::*;

    /// A request with these values of the header, as the websocket parses it.
    fn request(values: &[&str]) -> Request {
        let now = Instant::now();
        let headers: Vec<_> = values.iter().map(|value| ("X-Forwarded-For", *value)).collect();
        let client = Socket::connect_with(now, Config::default(), "a", "/", &headers).unwrap();
        let mut server = Socket::accept(now, Config::default());
        server.handle_input(now, Input::Bytes(client.outgoing()));
        let Output::Upgraded(request) = server.poll_output() else { panic!("not upgraded") };
        request
    }

    /// The client's address, where 10.0.0.0/8 and `::1` are trusted.
    fn client(peer: &str, values: &[&str]) -> ClientAddr {
        let trusted = ["10.0.0.0/8", "::1/128"].map(|net| net.parse().unwrap());
        ClientAddr::from_request(peer.parse().unwrap(), &request(values), &trusted)
    }

    fn direct(address: &str) -> ClientAddr {
        ClientAddr::Direct(address.parse().unwrap())
    }

    fn forwarded(address: &str) -> ClientAddr {
        ClientAddr::Forwarded(address.parse().unwrap())
    }

    #[test]
    fn t22_from_anyone_it_is_ignored() {
        let peer = "198.51.100.7:5000";
        for values in [&["203.0.113.9"][..], &["10.0.0.1"], &["127.0.0.1", "10.0.0.1"]] {
            assert_eq!(client(peer, values), direct(peer));
        }
    }

    #[test]
    fn ipv4_in_either_form_is_in_a_network() {
        let trusted =
            |net: &str, ip: &str| is_trusted(&[net.parse().unwrap()], ip.parse().unwrap());
        for (net, ip) in [("10.1.2.3/8", "10.9.9.9"), ("127.0.0.1/32", "127.0.0.1")] {
            assert!(trusted(net, ip) && trusted(net, &format!("::ffff:{ip}")), "{net} {ip}");
        }
        assert!(trusted("0.0.0.0/0", "1.2.3.4") && trusted("::/0", "2001:db9::1"));
        for (net, ip) in [("10.0.0.0/8", "11.0.0.0"), ("10.0.0.0/8", "::a00:0"), ("::1/128", "::2")]
        {
            assert!(!trusted(net, ip), "{net} {ip}");
        }
        assert!(!trusted("0.0.0.0/0", "::1") && !trusted("::/0", "1.2.3.4"));
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

#[cfg(test)]
mod proxy_protocol_tests {
    use super::*;

    /// The result of parsing these bytes, whole and byte by byte, and how many follow the header.
    #[track_caller]
    fn read(bytes: &[u8]) -> Result<Option<(Option<SocketAddr>, usize)>, ()> {
        let results = [1, 5, bytes.len()].map(|step| {
            let mut header = ProxyHeaderParser::default();
            let mut left = bytes.len();
            for part in bytes.chunks(step) {
                left -= part.len();
                match header.parse(part) {
                    ProxyHeaderProgress::Partial => {}
                    ProxyHeaderProgress::Complete(client, rest) => {
                        return Ok(Some((client, left + rest.len())));
                    }
                    ProxyHeaderProgress::Invalid => return Err(()),
                }
                assert!(header.buffer.len() <= V1_MAX_LEN);
            }
            Ok(None)
        });
        assert!(results.iter().all(|result| *result == results[0]), "{results:?}");
        results[0]
    }

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [V2_SIGNATURE, &[command, family], &length, rest, b"GET"].concat()
    }

    fn named(address: &str) -> Result<Option<(Option<SocketAddr>, usize)>, ()> {
        Ok(Some((Some(address.parse().unwrap()), 3)))
    }

    const NOBODY: Result<Option<(Option<SocketAddr>, usize)>, ()> = Ok(Some((None, 3)));

    #[test]
    fn version_1() {
        let line = |text: &str| read(format!("PROXY {text}\r\nGET").as_bytes());
        assert_eq!(line("TCP4 198.51.100.7 203.0.113.1 5000 3000"), named("198.51.100.7:5000"));
        assert_eq!(line("TCP6 2001:db8::7 2001:db8::1 5000 3000"), named("[2001:db8::7]:5000"));
        assert_eq!(line("TCP6 ::ffff:198.51.100.7 ::1 5 3"), named("198.51.100.7:5"));
        assert_eq!(line("UNKNOWN"), NOBODY);
        assert_eq!(line("UNKNOWN ffff::1 ffff::2 1 2"), NOBODY);
        for bad in
            ["", "TCP4", "TCP4 a b c d", "TCP4 1.2.3.4 1.2.3.4 99999 1", "UDP4 1.2.3.4 1.2.3.4 1 1"]
        {
            assert_eq!(line(bad), Err(()), "{bad}");
        }
        assert_eq!(read(&[b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat()), Err(()));
        assert_eq!(read(b"PROXY TCP4 198.51.100.7"), Ok(None));
        assert_eq!(read(b"GET / HTTP/1.1\r\n"), Err(()));
    }

    #[test]
    fn version_2() {
        let v4 = [198, 51, 100, 7, 203, 0, 113, 1, 0x13, 0x88, 0x0b, 0xb8];
        assert_eq!(read(&binary(0x21, 0x11, &v4)), named("198.51.100.7:5000"));
        let with_more = [&v4[..], &[7; 60_000]].concat();
        assert_eq!(read(&binary(0x21, 0x11, &with_more)), named("198.51.100.7:5000"));
        let mut v6 = [0; 36];
        v6[..2].copy_from_slice(&[0x20, 1]);
        v6[15] = 9;
        v6[32..34].copy_from_slice(&[0x13, 0x88]);
        assert_eq!(read(&binary(0x21, 0x21, &v6)), named("[2001::9]:5000"));
        assert_eq!(read(&binary(0x20, 0, &[])), NOBODY);
        assert_eq!(read(&binary(0x20, 0x11, &v4)), NOBODY);
        assert_eq!(read(&binary(0x21, 0x31, &[0; 216])), NOBODY);
        assert_eq!(read(&binary(0x21, 0x11, &v4[..4])), Err(()));
        assert_eq!(read(&binary(0x11, 0x11, &v4)), Err(()));
        assert_eq!(read(&binary(0x21, 0x11, &v4)[..20]), Ok(None));
    }
}
