//! What a client asks for.

use std::borrow::Cow;
use std::net::SocketAddr;

use crate::query;

/// What a client asks for, as [`Config::accept`](crate::Config::accept) sees it: the head of its
/// websocket's request (RFC 6455 §4.1), of at most
/// [`Config::head_bytes`](crate::Config::head_bytes).
#[derive(Clone, Debug)]
pub struct Request {
    remote: SocketAddr,
    query: Option<String>,
    head: net_ws::Request,
}

impl Request {
    pub(crate) fn new(remote: SocketAddr, query: Option<String>, head: net_ws::Request) -> Request {
        Request { remote, query, head }
    }

    /// The client's address, as in [`PeerInfo::remote`](crate::PeerInfo::remote).
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// The path, as it was sent (percent-encoded), as in `/room/7`.
    pub fn path(&self) -> &str {
        self.head.path()
    }

    /// What stood behind the `?`, as it was sent, as in
    /// [`PeerInfo::query`](crate::PeerInfo::query); [`query_value`](Request::query_value) reads
    /// it.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// Names and values of the query, decoded as a page's `URLSearchParams` encodes them: percent
    /// signs, and `+` for a space.
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        query::pairs(self.query().unwrap_or_default())
    }

    /// The first value of that name in the query, decoded: `a b` of `?ticket=a%20b`. Empty for a
    /// name without `=`.
    pub fn query_value(&self, name: &str) -> Option<Cow<'_, str>> {
        query::value(self.query()?, name)
    }

    /// The value of the first header of that name, in any case; `None` also where it is not
    /// UTF-8. A program may send any, a page only its cookies, its origin and its subprotocols.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The values of all headers of that name, in any case, in order, as they were sent: those
    /// too that are not UTF-8.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.head.values(name)
    }

    /// Names (lower case) and values of all headers whose value is UTF-8.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.head.headers()
    }

    /// The origin of the page that asks (RFC 6454 §7), as in `https://game.example`.
    pub fn origin(&self) -> Option<&str> {
        self.header("origin")
    }

    /// The subprotocols that the client offers, most wanted first (RFC 6455 §4.1, the second
    /// argument of a page's `new WebSocket`).
    pub fn protocols(&self) -> impl Iterator<Item = &str> {
        self.head.list("sec-websocket-protocol").filter_map(|one| std::str::from_utf8(one).ok())
    }

    /// The value of the first cookie of that name (RFC 6265 §4.2), as it was sent. `None` also
    /// where that one is not UTF-8; whatever other cookies hold does not matter.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies().find(|(cookie, _)| *cookie == name).map(|(_, value)| value)
    }

    /// Names and values of all cookies that are UTF-8.
    pub fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.values("cookie").flat_map(|list| list.split(|byte| *byte == b';'));
        let pairs = pairs.filter_map(|pair| std::str::from_utf8(pair).ok());
        pairs.filter_map(|pair| pair.trim().split_once('='))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use net_ws::{Config, Input, Output, Socket};

    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request {
        let now = Instant::now();
        let client = Socket::connect_with(now, Config::default(), "a", "/r?x", headers).unwrap();
        let mut server = Socket::accept(now, Config::default());
        server.handle_input(now, Input::Bytes(client.outgoing()));
        let Output::Upgraded(head) = server.poll_output() else { panic!("not upgraded") };
        Request::new(([198, 51, 100, 7], 1).into(), None, head)
    }

    #[test]
    fn cookies_are_read_as_they_are() {
        let request = request(&[("Cookie", "a=1; ticket=x=y; flag;  b=\"2\""), ("Cookie", "a=3")]);
        let cookies: Vec<_> = request.cookies().collect();
        assert_eq!(cookies, [("a", "1"), ("ticket", "x=y"), ("b", "\"2\""), ("a", "3")]);
        assert_eq!(request.cookie("ticket"), Some("x=y"));
        assert_eq!((request.cookie("a"), request.cookie("flag")), (Some("1"), None));
    }

    /// A request with this header line, which may hold any bytes.
    fn raw(line: &[u8]) -> Request {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
        let now = Instant::now();
        let mut server = Socket::accept(now, Config::default());
        server.handle_input(now, Input::Bytes(&[&head[..], line, b"\r\n\r\n"].concat()));
        let Output::Upgraded(head) = server.poll_output() else { panic!("not upgraded") };
        Request::new(([198, 51, 100, 7], 1).into(), None, head)
    }

    #[test]
    fn a_cookie_is_found_whatever_the_others_hold() {
        for other in [
            "city=Z\u{fc}rich".as_bytes(),
            b"city=Z\xfcrich",
            b"\xff",
            b"mood=\xf0\x9f\x98\x80",
            b"prefs={\"a\":1,\"b\":\"x y\"}",
            b"bare",
            b"empty=",
            b"=",
            b"t=a\tb",
            b";;",
        ] {
            for line in [[other, b"; ticket=abc"].concat(), [b"ticket=abc; ", other].concat()] {
                let request = raw(&[b"Cookie: ", &line[..]].concat());
                assert_eq!(request.cookie("ticket"), Some("abc"), "{line:?}");
            }
        }
        assert_eq!(raw("Cookie: city=Z\u{fc}rich".as_bytes()).cookie("city"), Some("Z\u{fc}rich"));
    }

    #[test]
    fn other_headers_are_found_too() {
        let request = raw("X-Name: J\u{f6}rg\r\nSec-WebSocket-Protocol: \u{e9}, chat".as_bytes());
        assert_eq!(request.header("x-name"), Some("J\u{f6}rg"));
        assert!(request.headers().any(|header| header == ("x-name", "J\u{f6}rg")));
        assert_eq!(request.protocols().collect::<Vec<_>>(), ["\u{e9}", "chat"]);
        let latin = raw(b"X-Name: J\xf6rg\r\nSec-WebSocket-Protocol: \xe9, chat");
        assert_eq!((latin.header("x-name"), latin.values("x-name").count()), (None, 1));
        assert_eq!(latin.protocols().collect::<Vec<_>>(), ["chat"]);
    }

    #[test]
    fn subprotocols_come_in_order() {
        let name = "Sec-WebSocket-Protocol";
        let offered = request(&[(name, "chat, v2 ,"), (name, "v1")]);
        assert_eq!(offered.protocols().collect::<Vec<_>>(), ["chat", "v2", "v1"]);
        assert_eq!(request(&[]).protocols().count(), 0);
    }

    #[test]
    fn a_query_is_decoded() {
        let query = Some("ticket=a%20b&name=Z%C3%BCrich".to_owned());
        let request = Request { query, ..request(&[]) };
        assert_eq!(request.query_value("ticket").as_deref(), Some("a b"));
        assert_eq!(request.query_value("room"), None);
        let pairs: Vec<_> = request.query_pairs().collect();
        assert_eq!(pairs, [("ticket".into(), "a b".into()), ("name".into(), "Zürich".into())]);
    }

    #[test]
    fn the_rest_is_as_it_was_sent() {
        let request = request(&[("Origin", "https://o"), ("X-Game", "7")]);
        assert_eq!((request.path(), request.query()), ("/r", None));
        assert_eq!((request.origin(), request.header("x-game")), (Some("https://o"), Some("7")));
        assert!(request.headers().any(|header| header == ("host", "a")));
    }
}
