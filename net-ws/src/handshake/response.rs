//! The client's upgrade request (RFC 6455 §4.1), its check of the response, and HTTP responses.

use std::io::Write;

use tungstenite::Error;
use tungstenite::client::IntoClientRequest;
use tungstenite::error::CapacityError;
use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::{client, derive_accept_key};
use tungstenite::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};

use crate::handshake::request::has_token;
use crate::outbox::Outbox;
use crate::{BadRequest, BadResponse, CloseReason, ConnectError, Request};

/// Headers that only the upgrade itself may set.
const RESERVED_HEADERS: [&str; 7] = [
    "connection",
    "host",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-version",
    "upgrade",
];

/// A sent upgrade request, with the `Sec-WebSocket-Accept` value that the response must have.
#[derive(Debug)]
pub(crate) struct ClientRequest {
    pub(crate) request: Request,
    accept_key: String,
}

/// Builds an upgrade request with additional `headers`; returns its bytes and its description.
pub(crate) fn build_request(
    host: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> Result<(Vec<u8>, ClientRequest), ConnectError> {
    let mut request = build_uri(host, target)?
        .into_client_request()
        .map_err(|error| ConnectError::InvalidUri(error.to_string()))?;
    for (name, value) in headers {
        let (name, value) = parse_header(name, value)?;
        request.headers_mut().append(name, value);
    }
    let shown = Request::new(request.clone());
    let (bytes, key) = client::generate_request(request)
        .map_err(|error| ConnectError::InvalidHeader(error.to_string()))?;
    Ok((bytes, ClientRequest { request: shown, accept_key: derive_accept_key(key.as_bytes()) }))
}

/// Checks that a complete response head, with at most `max_headers` lines, accepts the request
/// `asked`.
pub(crate) fn check_response(
    head: &[u8],
    max_headers: usize,
    asked: &ClientRequest,
) -> Result<(), CloseReason> {
    let response = match client::Response::try_parse(head) {
        Ok(Some((_, response))) => response,
        Ok(None) => return bad_response(BadResponse::Syntax("incomplete".to_owned())),
        Err(Error::Capacity(CapacityError::TooManyHeaders)) => {
            return bad_response(BadResponse::TooManyHeaders);
        }
        Err(error) => return bad_response(BadResponse::Syntax(error.to_string())),
    };
    if response.status().as_u16() != 101 {
        return Err(CloseReason::Rejected { status: response.status().as_u16() });
    }
    check_headers(response.headers(), max_headers, asked).map_err(CloseReason::BadResponse)
}

/// Performs the client's checks of the response headers (RFC 6455 §4.1).
fn check_headers(
    headers: &HeaderMap,
    most: usize,
    asked: &ClientRequest,
) -> Result<(), BadResponse> {
    let names_unasked = |name| {
        headers.get(name).is_some_and(|chosen| {
            !asked.request.list(name).any(|one| one == chosen.as_bytes().trim_ascii())
        })
    };
    if headers.len() > most {
        Err(BadResponse::TooManyHeaders)
    } else if !has_token(headers, "connection", "upgrade")
        || !has_token(headers, "upgrade", "websocket")
    {
        Err(BadResponse::Upgrade)
    } else if headers.get("sec-websocket-accept").is_none_or(|value| value != &asked.accept_key) {
        Err(BadResponse::AcceptKey)
    } else if names_unasked("sec-websocket-protocol")
        || headers.contains_key("sec-websocket-extensions")
    {
        Err(BadResponse::Unrequested)
    } else {
        Ok(())
    }
}

fn bad_response(why: BadResponse) -> Result<(), CloseReason> {
    Err(CloseReason::BadResponse(why))
}

/// Builds a URI of exactly these parts; returns an error if the parser drops or moves a part, such
/// as a fragment.
fn build_uri(host: &str, target: &str) -> Result<Uri, ConnectError> {
    let text = format!("ws://{host}{target}");
    let whole = text.parse::<Uri>().ok().filter(|uri| {
        uri.authority().is_some_and(|part| part == host && !host.contains('@'))
            && uri.path_and_query().is_some_and(|part| part == target)
            && target.is_ascii()
    });
    whole.ok_or(ConnectError::InvalidUri(text))
}

fn parse_header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), ConnectError> {
    let bad =
        |error: &dyn std::fmt::Display| ConnectError::InvalidHeader(format!("{name:?}: {error}"));
    if RESERVED_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        return Err(bad(&"the upgrade itself decides it"));
    }
    Ok((
        HeaderName::from_bytes(name.as_bytes()).map_err(|error| bad(&error))?,
        HeaderValue::from_str(value).map_err(|error| bad(&error))?,
    ))
}

/// RFC 8446 §5.1: a record of type 22, a handshake.
const TLS_HANDSHAKE: &[u8] = &[22];
/// RFC 9113 §3.4: the first bytes of the connection preface.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";
/// HAProxy PROXY protocol §2.1: version 1.
const PROXY_V1: &[u8] = b"PROXY ";
/// HAProxy PROXY protocol §2.2: version 2.
const PROXY_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Detects a known protocol other than HTTP/1 by the first bytes of a connection.
pub(crate) fn detect_foreign_protocol(bytes: &[u8]) -> Option<BadRequest> {
    let known = [
        (TLS_HANDSHAKE, BadRequest::Tls),
        (HTTP2_PREFACE, BadRequest::Http2),
        (PROXY_V1, BadRequest::ProxyProtocol { version: 1 }),
        (PROXY_V2, BadRequest::ProxyProtocol { version: 2 }),
    ];
    known.into_iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, what)| what)
}

/// Lets cross-origin isolated pages see that a response came (HTML, cross-origin embedder policy):
/// net.js probes the server with a plain request where a browser delays websockets.
const CORP_HEADER: &str = "Cross-Origin-Resource-Policy: cross-origin\r\n";

/// Writes a response with an error `status` and a line of text that announces the end of the
/// stream. A number that is no HTTP error status becomes 500.
pub(crate) fn http_error(outbox: &mut Outbox, status: u16, text: &str) {
    let status = StatusCode::from_u16(status)
        .ok()
        .filter(|status| status.is_client_error() || status.is_server_error());
    write_http(outbox, status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), text, true);
}

/// Writes a response with any final `status` and a line of text that announces the end of the
/// stream. The response to a HEAD has no text (RFC 9110 §9.3.2). A number that is no such status
/// becomes 500.
pub(crate) fn http_response(outbox: &mut Outbox, status: u16, text: &str, is_head: bool) {
    let status = StatusCode::from_u16(status)
        .ok()
        .filter(|status| !status.is_informational() && status.as_u16() < 600);
    write_http(outbox, status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), text, !is_head);
}

fn write_http(outbox: &mut Outbox, status: StatusCode, text: &str, with_text: bool) {
    write!(
        outbox,
        "HTTP/1.1 {} {}\r\n{}Connection: close\r\nContent-Type: text/plain; charset=utf-8\r\n\
         {CORP_HEADER}Content-Length: {}\r\n\r\n",
        status.as_u16(),
        status.canonical_reason().unwrap_or("Error"),
        extra_headers(status),
        text.len() + 1,
    )
    .expect("an outbox takes everything");
    if with_text {
        writeln!(outbox, "{text}").expect("an outbox takes everything");
    }
}

/// Returns the headers that a status requires: `Allow` for 405 (RFC 9110 §15.5.6), the supported
/// version for 426 (RFC 6455 §4.4).
fn extra_headers(status: StatusCode) -> &'static str {
    match status {
        StatusCode::METHOD_NOT_ALLOWED => "Allow: GET, HEAD, OPTIONS\r\n",
        StatusCode::UPGRADE_REQUIRED => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(head: &str) -> Result<(), CloseReason> {
        let mut asked = {
            let name = "Sec-WebSocket-Protocol";
            build_request("a", "/", &[(name, "x, y"), (name, "w")]).unwrap().1
        };
        asked.accept_key = "right".to_owned();
        check_response(head.as_bytes(), 6, &asked)
    }

    #[test]
    fn odd_addresses_are_refused() {
        for (host, target) in [
            ("", "/"),
            ("a/b", "/"),
            ("a", "b"),
            ("u@a", "/"),
            ("a", "/#b"),
            ("a", "/ b"),
            ("a b", "/"),
        ] {
            assert!(build_request(host, target, &[]).is_err(), "{host} {target}");
        }
        for (host, target) in [("a", "/"), ("a:1", "/?"), ("[::1]:3", "/b?c=d"), ("127.0.0.1", "/")]
        {
            let (bytes, _) = build_request(host, target, &[]).unwrap();
            let text = String::from_utf8(bytes).unwrap();
            assert!(
                text.starts_with(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n")),
                "{text}"
            );
        }
    }

    #[test]
    fn headers_cannot_smuggle() {
        for header in [("A b", "c"), ("A", "b\r\nC: d"), ("Host", "b"), ("sec-websocket-key", "b")]
        {
            assert!(
                matches!(build_request("a", "/", &[header]), Err(ConnectError::InvalidHeader(_))),
                "{header:?}"
            );
        }
        let (bytes, asked) = build_request("a", "/", &[("Origin", "https://b")]).unwrap();
        assert!(String::from_utf8(bytes).unwrap().contains("\r\nOrigin: https://b\r\n"));
        assert_eq!(asked.request.header("origin"), Some("https://b"));
    }

    #[test]
    fn each_check_of_the_answer() {
        let good = "HTTP/1.1 101 x\r\nUpgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\n\
                    Sec-WebSocket-Accept: right\r\n";
        let with = |more: &str| answer(&format!("{good}{more}\r\n"));
        let without =
            |line: &str, other: &str| answer(&format!("{}\r\n", good.replace(line, other)));
        assert_eq!(with(""), Ok(()));
        assert_eq!(with("Sec-WebSocket-Protocol: y\r\n"), Ok(()));
        assert_eq!(with("Sec-WebSocket-Protocol: w\r\n"), Ok(()));
        assert_eq!(with("Connection: \u{e9}\r\n"), Ok(()));
        assert_eq!(without("keep-alive, upgrade", "a\r\nConnection: b,\tUpgrade"), Ok(()));
        assert_eq!(with("Sec-WebSocket-Protocol: z\r\n"), bad_response(BadResponse::Unrequested));
        assert_eq!(with("Sec-WebSocket-Extensions: z\r\n"), bad_response(BadResponse::Unrequested));
        assert_eq!(
            with("A: 1\r\nA: 2\r\nA: 3\r\nA: 4\r\n"),
            bad_response(BadResponse::TooManyHeaders)
        );
        assert_eq!(without("right", "wrong"), bad_response(BadResponse::AcceptKey));
        assert_eq!(without("WebSocket\r", "h2c\r"), bad_response(BadResponse::Upgrade));
        assert_eq!(without("keep-alive, upgrade", "close"), bad_response(BadResponse::Upgrade));
        assert_eq!(without("101", "403"), Err(CloseReason::Rejected { status: 403 }));
        assert!(matches!(
            answer("SSH-2.0\r\n\r\n"),
            Err(CloseReason::BadResponse(BadResponse::Syntax(_)))
        ));
    }
}

#[cfg(test)]
mod preface_tests {
    use super::*;

    #[test]
    fn each_is_told_by_its_first_bytes_and_not_by_fewer() {
        for (start, what) in [
            (TLS_HANDSHAKE, BadRequest::Tls),
            (HTTP2_PREFACE, BadRequest::Http2),
            (PROXY_V1, BadRequest::ProxyProtocol { version: 1 }),
            (PROXY_V2, BadRequest::ProxyProtocol { version: 2 }),
        ] {
            assert_eq!(detect_foreign_protocol(&[start, b"more"].concat()), Some(what));
            assert_eq!(detect_foreign_protocol(&start[..start.len() - 1]), None);
        }
        for other in ["", "GET / HTTP/1.1\r\n", "\r\n\r\nGET /", "PROXY", "PRI / HTTP/1.1"] {
            assert_eq!(detect_foreign_protocol(other.as_bytes()), None, "{other}");
        }
    }
}

#[cfg(test)]
mod reply_tests {
    use super::*;

    fn text(status: u16, body: &str) -> String {
        let mut outbox = Outbox::default();
        http_error(&mut outbox, status, body);
        String::from_utf8(outbox.chunk().to_vec()).unwrap()
    }

    #[test]
    fn a_refusal_is_proper_http() {
        assert_eq!(
            text(503, "later"),
            "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Cross-Origin-Resource-Policy: cross-origin\r\nContent-Length: 6\r\n\r\nlater\n"
        );
        assert!(text(426, "").contains("\r\nSec-WebSocket-Version: 13\r\n"));
        assert!(text(405, "").contains("\r\nAllow: GET, HEAD, OPTIONS\r\n"));
    }

    #[test]
    fn a_head_is_answered_as_a_get_but_for_the_text() {
        let text = |status, is_head| {
            let mut outbox = Outbox::default();
            http_response(&mut outbox, status, "fine", is_head);
            String::from_utf8(outbox.chunk().to_vec()).unwrap()
        };
        assert!(text(200, false).starts_with("HTTP/1.1 200 OK\r\n"));
        assert_eq!(text(200, false), text(200, true) + "fine\n");
        for status in [0, 101, 600, 1000] {
            assert!(text(status, false).starts_with("HTTP/1.1 500 "), "{status}");
        }
    }

    #[test]
    fn only_errors_refuse() {
        for status in [0, 101, 200, 301, 600, 1000] {
            assert!(text(status, "").starts_with("HTTP/1.1 500 "), "{status}");
        }
        assert!(text(499, "").starts_with("HTTP/1.1 499 Error\r\n"));
    }
}
