//! Admission of clients: the hook of the application and its decision.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Admission hook of the application: [`Config::accept`].
///
/// ```no_run
/// use net::{AcceptHook, Config, Decision, Server};
///
/// #[derive(Clone)]
/// struct Account(String);
///
/// # fn look_up(ticket: &str) -> Option<Account> { Some(Account(ticket.into())) }
/// let accept = AcceptHook::new(|request| match request.cookie("ticket").and_then(look_up) {
///     Some(account) => Decision::accept(account),
///     None => Decision::reject(403, "no ticket"),
/// });
/// let config = Config { accept: Some(accept), ..Config::default() };
/// let (server, queue) = Server::bind("127.0.0.1:3000", config)?;
///
/// // Later, of an open peer:
/// let account = server.peer(0).and_then(|peer| peer.user_data::<Account>());
/// # Ok::<(), net::BindError>(())
/// ```
///
/// It runs on dedicated threads ([`Config::accept_threads`]), so it may wait for a file or a
/// database without delaying the server. Two hooks are equal if one is a clone of the other.
///
/// [`Config::accept`]: crate::Config::accept
/// [`Config::accept_threads`]: crate::Config::accept_threads
#[derive(Clone)]
pub struct AcceptHook {
    hook: Arc<dyn Fn(&Request) -> Decision + Send + Sync>,
}

/// Decision of the admission hook.
#[derive(Clone, Debug)]
#[must_use = "a verdict decides nothing until Config::accept returns it"]
pub enum Decision {
    /// The client is accepted; the offer follows.
    Accept(Accepted),
    /// The client is rejected, and informed in the form that it can read.
    ///
    /// Browsers show no HTTP status to a page. A browser's request, one with an `Origin`, is
    /// therefore upgraded and closed at once with a close code and `accept: {reason}`; no offer is
    /// made. The code is 1008, or 1013 ("try again later", which `net.js` does) for status 503. Any
    /// other client gets the HTTP status.
    Reject {
        /// The HTTP status, 400 to 599, for example 403; any other is sent as 500.
        status: u16,
        /// Cause for the client, the log and
        /// [`ConnectFailure::cause`](crate::ConnectFailure::cause). A browser gets its first 115
        /// bytes.
        reason: String,
    },
}

/// Parameters of an accepted client.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Application data of the peer, kept while it lives:
    /// [`PeerInfo::user_data`](crate::PeerInfo::user_data). It may be dropped on the server's own
    /// thread, or by a call that pops events, so its `Drop` must neither wait nor panic.
    pub user_data: Arc<dyn Any + Send + Sync>,
    /// The subprotocol, one of [`Request::subprotocols`]; any other is ignored. A browser that
    /// offers some disconnects if none of them is selected.
    pub subprotocol: Option<String>,
}

impl Default for Accepted {
    fn default() -> Accepted {
        Accepted { user_data: Arc::new(()), subprotocol: None }
    }
}

/// Error of the admission hook: no decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookError {
    /// The queue of requests is full:
    /// [`Config::accept_queue_len`](crate::Config::accept_queue_len).
    QueueFull,
    /// No decision within [`Config::upgrade_timeout`](crate::Config::upgrade_timeout).
    TimedOut,
    /// The hook panicked.
    Panicked,
}

impl Decision {
    /// Accepts the client; `value` is kept for [`PeerInfo::user_data`](crate::PeerInfo::user_data),
    /// `()` if there is nothing to keep.
    pub fn accept(value: impl Any + Send + Sync) -> Decision {
        Decision::Accept(Accepted { user_data: Arc::new(value), ..Accepted::default() })
    }

    /// Rejects the client with an HTTP status and a reason: [`Decision::Reject`]. Status 503 is for
    /// temporary causes.
    pub fn reject(status: u16, reason: impl Into<String>) -> Decision {
        Decision::Reject { status, reason: reason.into() }
    }

    /// Sets the subprotocol, see [`Accepted::subprotocol`]; no effect on a rejection.
    pub fn with_subprotocol(mut self, protocol: impl Into<String>) -> Decision {
        if let Decision::Accept(admission) = &mut self {
            admission.subprotocol = Some(protocol.into());
        }
        self
    }
}

impl AcceptHook {
    /// Creates a hook from a function. It should return within
    /// [`Config::upgrade_timeout`](crate::Config::upgrade_timeout), which counts from the TCP
    /// connection: a request without a decision by then is refused with 503 (a browser gets 1013),
    /// one on which the hook panics with 500 (1011).
    #[must_use = "it is asked once it is in Config::accept"]
    pub fn new(hook: impl Fn(&Request) -> Decision + Send + Sync + 'static) -> AcceptHook {
        AcceptHook { hook: Arc::new(hook) }
    }

    /// Runs the hook on this thread, for drivers of a [`Hub`](crate::hub::Hub).
    ///
    /// # Errors
    /// [`HookError::Panicked`] if it panics, where panics unwind.
    pub fn decide(&self, request: &Request) -> Result<Decision, HookError> {
        // The hook changes nothing of the library; its own state is the application's
        // responsibility.
        catch_unwind(AssertUnwindSafe(|| (self.hook)(request))).map_err(|_| HookError::Panicked)
    }
}

impl PartialEq for AcceptHook {
    fn eq(&self, other: &AcceptHook) -> bool {
        Arc::ptr_eq(&self.hook, &other.hook)
    }
}

impl Eq for AcceptHook {}

impl fmt::Debug for AcceptHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Accept(..)")
    }
}

/// Parses a query into names and values, in order. Any query is valid: malformed percent-encoding
/// stays as it is, and invalid UTF-8 becomes U+FFFD.
pub(crate) fn parse_query(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|item| !item.is_empty()).map(|item| {
        let (name, value) = item.split_once('=').unwrap_or((item, ""));
        (percent_decode(name), percent_decode(value))
    })
}

/// Returns the first value of this name.
pub(crate) fn find_query_value<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    parse_query(query).find(|(found, _)| found == name).map(|(_, value)| value)
}

/// Decodes percent-encoding, and `+` as a space.
fn percent_decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return text.into();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let (decoded, after) = match (byte, after) {
            (b'+', _) => (b' ', after),
            (b'%', [high, low, after @ ..]) => match (hex_digit(*high), hex_digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => (b'%', rest.split_at(1).1),
            },
            _ => (*byte, after),
        };
        bytes.push(decoded);
        rest = after;
    }
    match String::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned().into(),
    }
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Websocket request of a client, as [`Config::accept`](crate::Config::accept) gets it: its request
/// head (RFC 6455 §4.1), of at most
/// [`Config::max_request_head_size`](crate::Config::max_request_head_size).
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

    /// Returns the client's address, as in [`PeerInfo::remote`](crate::PeerInfo::remote).
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Returns the path, percent-encoded, for example `/room/7`.
    pub fn path(&self) -> &str {
        self.head.path()
    }

    /// Returns the query without the `?`, percent-encoded, as in
    /// [`PeerInfo::query`](crate::PeerInfo::query); [`query_value`](Request::query_value) decodes
    /// it.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// Returns names and values of the query, decoded as a page's `URLSearchParams` encodes them:
    /// percent-encoding, and `+` for a space.
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        parse_query(self.query().unwrap_or_default())
    }

    /// Returns the first value of that name in the query, decoded: `a b` of `?ticket=a%20b`. Empty
    /// for a name without `=`.
    pub fn query_value(&self, name: &str) -> Option<Cow<'_, str>> {
        find_query_value(self.query()?, name)
    }

    /// Returns the value of the first header of that name, case-insensitive; `None` also where it
    /// is not UTF-8. A program can set any header, a page only its cookies, its origin and its
    /// subprotocols.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// Returns the values of all headers of that name, case-insensitive, in order, unchanged,
    /// including those that are not UTF-8.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.head.values(name)
    }

    /// Returns names (lower case) and values of all headers whose value is UTF-8.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.head.headers()
    }

    /// Returns the origin of the page (RFC 6454 §7), for example `https://game.example`.
    pub fn origin(&self) -> Option<&str> {
        self.header("origin")
    }

    /// Returns the subprotocols that the client offers, in order of preference (RFC 6455 §4.1, the
    /// second argument of a page's `new WebSocket`).
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        self.head.list("sec-websocket-protocol").filter_map(|one| std::str::from_utf8(one).ok())
    }

    /// Returns the value of the first cookie of that name (RFC 6265 §4.2), unchanged. `None` also
    /// where that one is not UTF-8; the contents of other cookies do not matter.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies().find(|(cookie, _)| *cookie == name).map(|(_, value)| value)
    }

    /// Returns names and values of all cookies that are UTF-8.
    pub fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.values("cookie").flat_map(|list| list.split(|byte| *byte == b';'));
        let pairs = pairs.filter_map(|pair| std::str::from_utf8(pair).ok());
        pairs.filter_map(|pair| pair.trim().split_once('='))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Vec<(String, String)> {
        parse_query(query).map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
    }

    fn is(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn what_a_page_writes_is_read() {
        // new URLSearchParams({ ticket: 'a b', room: 'Zürich & co', sum: '1+1=2', flag: '' })
        let query = "ticket=a+b&room=Z%C3%BCrich+%26+co&sum=1%2B1%3D2&flag=";
        let pairs = [("ticket", "a b"), ("room", "Zürich & co"), ("sum", "1+1=2"), ("flag", "")];
        assert_eq!(read(query), is(&pairs));
        assert_eq!(find_query_value(query, "room").as_deref(), Some("Zürich & co"));
        assert_eq!(find_query_value("ticket=a%20b&ticket=c", "ticket").as_deref(), Some("a b"));
        assert_eq!(find_query_value("%74icket=1", "ticket").as_deref(), Some("1"));
        assert_eq!(find_query_value("ticket", "ticket").as_deref(), Some(""));
        assert_eq!(find_query_value("tickets=1", "ticket"), None);
    }

    #[test]
    fn any_query_can_be_read() {
        assert_eq!(read(""), is(&[]));
        assert_eq!(read("&&a&=b&="), is(&[("a", ""), ("", "b"), ("", "")]));
        assert_eq!(read("a=b=c"), is(&[("a", "b=c")]));
        for kept in ["%", "%4", "100%", "%zz", "%4g", "%+1"] {
            assert_eq!(read(kept), is(&[(&kept.replace('+', " "), "")]), "{kept}");
        }
        assert_eq!(read("a=%ff%41"), is(&[("a", "\u{fffd}A")]));
        assert_eq!(read("a=%00"), is(&[("a", "\0")]));
    }

    #[test]
    fn what_is_not_encoded_is_not_copied() {
        assert!(matches!(find_query_value("a=b", "a"), Some(Cow::Borrowed("b"))));
    }
}

#[cfg(test)]
mod request_tests {
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
        assert_eq!(request.subprotocols().collect::<Vec<_>>(), ["\u{e9}", "chat"]);
        let latin = raw(b"X-Name: J\xf6rg\r\nSec-WebSocket-Protocol: \xe9, chat");
        assert_eq!((latin.header("x-name"), latin.values("x-name").count()), (None, 1));
        assert_eq!(latin.subprotocols().collect::<Vec<_>>(), ["chat"]);
    }

    #[test]
    fn subprotocols_come_in_order() {
        let name = "Sec-WebSocket-Protocol";
        let offered = request(&[(name, "chat, v2 ,"), (name, "v1")]);
        assert_eq!(offered.subprotocols().collect::<Vec<_>>(), ["chat", "v2", "v1"]);
        assert_eq!(request(&[]).subprotocols().count(), 0);
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
