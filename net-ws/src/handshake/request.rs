//! The client's request, parsed and checked by the server (RFC 6455 §4.2.1).

use std::borrow::Cow;
use std::ops::Range;

use tungstenite::Error;
use tungstenite::error::CapacityError;
use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::Response;
use tungstenite::handshake::{derive_accept_key, server};
use tungstenite::http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::BadRequest;

/// Head of a client's request: an upgrade (RFC 6455 §4.1) or plain HTTP. On the client side this
/// is its own request.
#[derive(Clone, Debug)]
pub struct Request {
    head: tungstenite::http::Request<()>,
}

impl Request {
    /// Returns the path, beginning with `/`, as sent (percent-encoded).
    pub fn path(&self) -> &str {
        self.head.uri().path()
    }

    /// Returns the query after the `?`, as sent.
    pub fn query(&self) -> Option<&str> {
        self.head.uri().query()
    }

    /// Returns the method; that of an upgrade is always `GET`.
    pub fn method(&self) -> &str {
        self.head.method().as_str()
    }

    /// Returns the value of the first header of that name, compared case-insensitively; `None`
    /// also if it is not UTF-8: see [`values`](Request::values).
    pub fn header(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.values(name).next()?).ok()
    }

    /// Returns the values of all headers of that name, compared case-insensitively, in order and
    /// as sent. Distinguishes repeated values, and values that are not UTF-8, from missing ones.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.head.headers().get_all(name).iter().map(|value| value.as_bytes())
    }

    /// Returns the members of the comma-separated list of all headers of that name
    /// (RFC 9110 §5.3), in order, without the white space around them and without empty ones.
    pub fn list(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        list_members(self.head.headers(), name)
    }

    /// Returns the names (lower case) and values of all headers whose value is UTF-8.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let headers = self.head.headers().iter();
        headers.filter_map(|(name, value)| {
            Some((name.as_str(), std::str::from_utf8(value.as_bytes()).ok()?))
        })
    }

    /// Returns whether the request has an `Origin`: browsers always send one (RFC 6455 §4.1),
    /// other clients rarely.
    pub fn is_browser(&self) -> bool {
        self.head.headers().contains_key("origin")
    }

    /// Returns the first offered subprotocol, if it is visible ASCII.
    pub(crate) fn first_subprotocol(&self) -> Option<HeaderValue> {
        let first = self.list("sec-websocket-protocol").next()?;
        // It is repeated in the response: visible ASCII only.
        HeaderValue::from_bytes(first).ok().filter(|value| value.to_str().is_ok())
    }

    pub(crate) fn new(head: tungstenite::http::Request<()>) -> Request {
        Request { head }
    }
}

impl PartialEq for Request {
    /// Compares target and headers.
    fn eq(&self, other: &Request) -> bool {
        self.head.uri() == other.head.uri() && self.head.headers() == other.head.headers()
    }
}

impl Eq for Request {}

/// A parsed request head.
pub(crate) enum ParsedRequest {
    /// A valid upgrade, with its 101 response.
    Upgrade(Request, Response),
    /// A plain HTTP request.
    PlainHttp(Request),
}

/// Parses a complete head with at most `max_headers` lines.
pub(crate) fn parse(head: &[u8], max_headers: usize) -> Result<ParsedRequest, BadRequest> {
    let too_many = BadRequest::TooManyHeaders { limit: max_headers };
    let line = RequestLine::parse(head);
    let parsed = match &line {
        Some(line) => server::Request::try_parse(&line.as_get(head)),
        None => server::Request::try_parse(head),
    };
    let mut request = match parsed {
        Ok(Some((_, request))) => request,
        Ok(None) => return Err(BadRequest::Syntax("incomplete".to_owned())),
        Err(Error::Capacity(CapacityError::TooManyHeaders)) => return Err(too_many),
        Err(error) => return Err(BadRequest::Syntax(error.to_string())),
    };
    if request.headers().len() > max_headers {
        return Err(too_many);
    }
    let is_old = line.as_ref().is_some_and(|line| line.is_http10);
    *request.method_mut() = line.map_or(Method::GET, |line| line.method);
    match is_websocket(request.headers()) {
        false => Ok(ParsedRequest::PlainHttp(Request::new(request))),
        true if is_old => Err(BadRequest::HttpVersion),
        true => {
            let response = switching_protocols(&request)?;
            Ok(ParsedRequest::Upgrade(Request::new(request), response))
        }
    }
}

/// Returns whether any header is of a websocket: a proxy that removes `Upgrade` leaves the other
/// fields.
fn is_websocket(headers: &HeaderMap) -> bool {
    let own = ["sec-websocket-key", "sec-websocket-version"];
    has_token(headers, "upgrade", "websocket") || own.iter().any(|name| headers.contains_key(*name))
}

/// Returns the 101 response if the request meets RFC 6455 §4.2.1.
fn switching_protocols(request: &server::Request) -> Result<Response, BadRequest> {
    let headers = request.headers();
    if request.method() != Method::GET {
        return Err(BadRequest::Method);
    }
    // RFC 9112 §3.2: none or several are an error.
    if headers.get_all("host").iter().count() != 1 {
        return Err(BadRequest::Host);
    }
    if !has_token(headers, "connection", "upgrade") || !has_token(headers, "upgrade", "websocket") {
        return Err(BadRequest::Upgrade);
    }
    if headers.get("sec-websocket-version").is_none_or(|version| version != "13") {
        return Err(BadRequest::WebSocketVersion);
    }
    let key = headers.get("sec-websocket-key").ok_or(BadRequest::MissingKey)?;
    if !is_valid_key(key.as_bytes()) {
        return Err(BadRequest::InvalidKey);
    }
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes())).expect("base64");
    for (name, value) in [
        ("connection", HeaderValue::from_static("Upgrade")),
        ("upgrade", HeaderValue::from_static("websocket")),
        ("sec-websocket-accept", accept),
    ] {
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

/// Returns whether `key` is 16 bytes in base64 (RFC 4648 §4): 22 digits, the last of which has two
/// bits only, and the padding.
fn is_valid_key(key: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    match key.strip_suffix(b"==") {
        Some(digits) => {
            let ends = digits.last().is_some_and(|last| b"AQgw".contains(last));
            digits.len() == 22 && digits.iter().all(is_digit) && ends
        }
        None => false,
    }
}

/// Request line (RFC 9112 §3). tungstenite's parser accepts only that of a GET in HTTP/1.1.
struct RequestLine {
    method: Method,
    /// Whether the version is HTTP/1.0.
    is_http10: bool,
    /// Position of the target in the head; `end` is that of the line feed.
    target: Range<usize>,
    end: usize,
}

impl RequestLine {
    fn parse(head: &[u8]) -> Option<RequestLine> {
        let start = head.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
        let end = start + head[start..].iter().position(|byte| *byte == b'\n')?;
        let line = head[start..end].strip_suffix(b"\r").unwrap_or(&head[start..end]);
        let mut parts = line.split(|byte| *byte == b' ');
        let (method, target, version) = (parts.next()?, parts.next()?, parts.next()?);
        let is_old = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            _ => return None,
        };
        let from = start + method.len() + 1;
        let target = from..from + target.len();
        let method = Method::from_bytes(method).ok().filter(|_| parts.next().is_none())?;
        Some(RequestLine { method, is_http10: is_old, target, end })
    }

    /// Returns the head with the request line of a GET in HTTP/1.1.
    fn as_get<'a>(&self, head: &'a [u8]) -> Cow<'a, [u8]> {
        match self.method == Method::GET && !self.is_http10 {
            true => head.into(),
            false => {
                let target = &head[self.target.clone()];
                [b"GET ", target, b" HTTP/1.1\r", &head[self.end..]].concat().into()
            }
        }
    }
}

/// Returns the members of the comma-separated list of all lines of that name, in order, without
/// the white space around them and without empty ones.
pub(crate) fn list_members<'a>(
    headers: &'a HeaderMap,
    name: &str,
) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).into_iter().map(|value| value.as_bytes());
    let members = lines.flat_map(|line| line.split(|byte| *byte == b','));
    members.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// Returns whether `token` is a member of the list, compared case-insensitively.
pub(crate) fn has_token(headers: &HeaderMap, name: &str, token: &str) -> bool {
    list_members(headers, name).any(|member| member.eq_ignore_ascii_case(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_subprotocol_of_all_lists_is_found() {
        let first = |lists: &[&str]| {
            let asked = tungstenite::http::Request::get("/");
            let name = "sec-websocket-protocol";
            let asked = lists.iter().fold(asked, |asked, list| asked.header(name, *list));
            Request::new(asked.body(()).expect("a request")).first_subprotocol()
        };
        assert_eq!(first(&[]), None);
        assert_eq!(first(&["", " ,"]), None);
        assert_eq!(first(&["ü"]), None);
        assert_eq!(first(&[" ,", "chat\t, v2", "v1"]), Some(HeaderValue::from_static("chat")));
    }

    #[test]
    fn a_key_is_16_bytes_in_base64() {
        for key in
            ["dGhlIHNhbXBsZSBub25jZQ==", "AAAAAAAAAAAAAAAAAAAAAA==", "////////+/////////++Aw=="]
        {
            assert_eq!(is_valid_key(key.as_bytes()), key.len() == 24, "{key}");
        }
        for key in [
            "",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZR==",
            "dGhlIHNhbXBsZSBub25j ZQ==",
            "dGhlIHNhbXBsZSBub25jZTE=",
            "AAAAAAAAAAAAAAAAAAAA====",
        ] {
            assert!(!is_valid_key(key.as_bytes()), "{key}");
        }
    }

    #[test]
    fn requests_are_the_same_by_target_and_headers() {
        let request = |target: &str, key: &str| {
            let built = tungstenite::http::Request::get(target).header("a", key).body(());
            Request::new(built.expect("a request"))
        };
        assert_eq!(request("/a", "1"), request("/a", "1"));
        assert_ne!(request("/a", "1"), request("/b", "1"));
        assert_ne!(request("/a", "1"), request("/a", "2"));
    }
}

#[cfg(test)]
mod list_tests {
    use tungstenite::http::HeaderValue;

    use super::*;

    #[test]
    fn a_list_is_that_of_all_its_lines() {
        let mut headers = HeaderMap::new();
        for line in [&b"keep-alive"[..], b"a,\tUpgrade\t,, b ", b"\xfc, \xe9x"] {
            headers.append("connection", HeaderValue::from_bytes(line).expect("a value"));
        }
        let all: Vec<_> = list_members(&headers, "connection").collect();
        assert_eq!(all, [&b"keep-alive"[..], b"a", b"Upgrade", b"b", b"\xfc", b"\xe9x"]);
        assert!(has_token(&headers, "connection", "upgrade"));
        assert!(!has_token(&headers, "connection", "grade"));
        assert!(!has_token(&headers, "upgrade", "upgrade"));
    }
}
