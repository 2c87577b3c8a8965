//! Error types, close reasons and close frame payloads (RFC 6455 §7.4).

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use tungstenite::protocol::frame::coding::CloseCode;

use crate::{Message, SlowConsumer};

/// Error of [`Socket::connect`](crate::Socket::connect): invalid arguments.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Host and target do not form a URI: the host must be a name or address with an optional port
    /// (`example.org:3000`, `[::1]:3000`), the target must begin with `/` and have no `#`.
    #[error("not a host and a path: {0:?}")]
    InvalidUri(String),
    /// A header with an invalid name or value, or one that the upgrade itself sets.
    #[error("a header that cannot be sent: {0}")]
    InvalidHeader(String),
}

/// Error of [`Socket::send`](crate::Socket::send). Holds the unsent message; the socket is
/// unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Longer than `max_message_size`: it can never be sent.
    #[error("the message is longer than the limit")]
    TooLarge(Message),
    /// The send buffer has no room for it: try again when the peer has read more.
    #[error("the backlog is full")]
    Full(Message),
    /// The socket is not open: before `Upgraded`, or after closing began.
    #[error("the websocket is not open")]
    Closed(Message),
}

impl SendError {
    /// Returns the unsent message.
    pub fn into_message(self) -> Message {
        match self {
            SendError::TooLarge(message)
            | SendError::Full(message)
            | SendError::Closed(message) => message,
        }
    }
}

/// Maximum length of a close reason: a control frame has 125 bytes, the code takes 2
/// (RFC 6455 §5.5).
const MAX_REASON_LEN: usize = 123;

/// Reason for which a socket closed. Emitted once, in [`Output::Closed`](crate::Output::Closed).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer sent a close frame.
    Remote {
        /// Its code; 1005 if the frame had none (RFC 6455 §7.1.5).
        code: u16,
        /// Its reason, possibly empty, at most 123 bytes.
        reason: String,
    },
    /// The application called [`Socket::close`](crate::Socket::close) or
    /// [`Socket::reject_upgrade`](crate::Socket::reject_upgrade).
    Local,
    /// The stream ended without a close frame.
    Eof,
    /// The peer violated the protocol. Sent close code: 1002, 1007 or 1008.
    Protocol(Violation),
    /// The peer sent or announced a message over `max_message_size`. Sent close code: 1009.
    TooLarge,
    /// No byte was received for `pong_timeout`.
    TimedOut,
    /// The peer read too little of the send buffer within `send_timeout`. Sent close code: 1008,
    /// after the buffered bytes.
    SlowConsumer(SlowConsumer),
    /// The upgrade did not complete within `upgrade_timeout`.
    UpgradeTimeout,
    /// Server side: the request was no valid upgrade. The response was an HTTP error.
    BadRequest(BadRequest),
    /// Server side: the request was plain HTTP, and [`Socket::respond`] responded to it.
    ///
    /// [`Socket::respond`]: crate::Socket::respond
    Responded,
    /// Client side: the server responded with this HTTP status instead of 101.
    Rejected {
        /// The HTTP status, for example 403.
        status: u16,
    },
    /// Client side: the server's response was no valid upgrade.
    BadResponse(BadResponse),
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::Remote { code, reason } if reason.is_empty() => {
                write!(f, "closed by the peer with code {code}")
            }
            CloseReason::Remote { code, reason } => {
                write!(f, "closed by the peer with code {code}: {reason}")
            }
            CloseReason::Local => f.write_str("closed by us"),
            CloseReason::Eof => f.write_str("the stream ended without a close frame"),
            CloseReason::Protocol(violation) => {
                write!(f, "the peer broke the protocol: {violation}")
            }
            CloseReason::TooLarge => f.write_str("the peer's message was too large"),
            CloseReason::TimedOut => f.write_str("nothing was heard from the peer for too long"),
            CloseReason::SlowConsumer(slow) => write!(f, "the peer {slow}"),
            CloseReason::UpgradeTimeout => f.write_str("the upgrade took too long"),
            CloseReason::BadRequest(why) => write!(f, "not a websocket request: {why}"),
            CloseReason::Responded => f.write_str("a plain HTTP request was answered"),
            CloseReason::Rejected { status } => {
                write!(f, "the server refused the upgrade with HTTP status {status}")
            }
            CloseReason::BadResponse(why) => write!(f, "not a websocket answer: {why}"),
        }
    }
}

/// Violation of RFC 6455 by the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// An invalid frame: reserved bits or opcodes, a missing or forbidden mask, a bad control
    /// frame, fragments out of order. The text says which. Code 1002.
    Frame(String),
    /// A close frame with a code that must not be sent, such as 1005 (§7.4). Code 1002.
    CloseCode(u16),
    /// Text that is not UTF-8 (§8.1). Code 1007.
    Utf8,
    /// More than `max_empty_fragments` fragments without payload in one message. Code 1008.
    EmptyFragments,
}

impl Violation {
    /// Returns the close code that was sent to the peer (RFC 6455 §7.4.1).
    pub fn close_code(&self) -> u16 {
        match self {
            Violation::Frame(_) | Violation::CloseCode(_) => 1002,
            Violation::Utf8 => 1007,
            Violation::EmptyFragments => 1008,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Frame(what) => write!(f, "bad frame: {what}"),
            Violation::CloseCode(code) => write!(f, "close code {code} must not be sent"),
            Violation::Utf8 => f.write_str("text that is not UTF-8"),
            Violation::EmptyFragments => f.write_str("too many empty fragments"),
        }
    }
}

/// Reason for which the server side rejected a request, with the HTTP status of its response
/// (RFC 6455 §4.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadRequest {
    /// A TLS ClientHello: the client speaks `wss:` or `https:` to a plain port. 400.
    Tls,
    /// The preface of HTTP/2 (RFC 9113 §3.4) without TLS: a proxy speaks HTTP/2 to this port. 400.
    Http2,
    /// A header of the PROXY protocol before the request. 400.
    ProxyProtocol {
        /// Its version: 1 is text, 2 is binary.
        version: u8,
    },
    /// Not HTTP, or malformed; the text says why. 400.
    Syntax(String),
    /// A method other than GET. 405.
    Method,
    /// HTTP before 1.1. 400.
    HttpVersion,
    /// No `Host` header, or several (RFC 9112 §3.2). 400.
    Host,
    /// No `Connection: Upgrade` with `Upgrade: websocket`. 400.
    Upgrade,
    /// No `Sec-WebSocket-Version: 13`. 426.
    WebSocketVersion,
    /// An upgrade without any `Sec-WebSocket-Key`: proxies that translate a websocket over HTTP/2
    /// (RFC 8441), which has none, send such requests. 400.
    MissingKey,
    /// A `Sec-WebSocket-Key` that is not 16 bytes in base64. 400.
    InvalidKey,
    /// The head has more than `max_request_head_size` bytes. 431.
    HeadTooLarge {
        /// `max_request_head_size`.
        limit: usize,
        /// Bytes of cookies among the bytes of the head that were read.
        cookie_bytes: usize,
    },
    /// The head has more than `max_request_headers` lines. 431.
    TooManyHeaders {
        /// `max_request_headers`.
        limit: usize,
    },
    /// More than `max_message_size` bytes before the server's decision on a pending upgrade. 400.
    EarlyData,
}

impl BadRequest {
    /// Returns the HTTP status of the response.
    pub fn status(&self) -> u16 {
        match self {
            BadRequest::Method => 405,
            BadRequest::WebSocketVersion => 426,
            BadRequest::HeadTooLarge { .. } | BadRequest::TooManyHeaders { .. } => 431,
            _ => 400,
        }
    }
}

impl fmt::Display for BadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadRequest::Tls => "this port speaks plain http and ws, not TLS: use ws://, or put a TLS proxy in front",
            BadRequest::Http2 => "this port speaks HTTP/1.1, not HTTP/2: let the proxy use HTTP/1.1 to it",
            BadRequest::ProxyProtocol { version } => {
                return write!(f, "this port expects no PROXY protocol: switch version {version} off in the proxy");
            }
            BadRequest::Syntax(why) => return write!(f, "the request is not readable as HTTP/1.1: {why}"),
            BadRequest::Method => "the method must be GET",
            BadRequest::HttpVersion => "the protocol must be HTTP/1.1",
            BadRequest::Host => "there must be one Host header",
            BadRequest::Upgrade => "this is a websocket: send Connection: Upgrade and Upgrade: websocket",
            BadRequest::WebSocketVersion => "send Sec-WebSocket-Version: 13",
            BadRequest::InvalidKey => "send a Sec-WebSocket-Key of 16 bytes in base64",
            BadRequest::MissingKey => {
                "an upgrade without Sec-WebSocket-Key: a proxy that takes HTTP/2 must add one"
            }
            BadRequest::HeadTooLarge { limit, cookie_bytes: cookies } => {
                return write!(f, "the request's head is over {limit} bytes, {cookies} of it cookies");
            }
            BadRequest::TooManyHeaders { limit } => {
                return write!(f, "the request has over {limit} header lines");
            }
            BadRequest::EarlyData => "wait for the answer before sending messages",
        })
    }
}

/// Reason for which the client side rejected the server's response (RFC 6455 §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadResponse {
    /// Not HTTP; the text says why.
    Syntax(String),
    /// The head has more than `max_request_head_size` bytes.
    HeadTooLarge,
    /// The head has more than `max_request_headers` lines.
    TooManyHeaders,
    /// No `Connection: Upgrade` with `Upgrade: websocket`.
    Upgrade,
    /// The `Sec-WebSocket-Accept` does not match the key.
    AcceptKey,
    /// An extension or subprotocol that was not requested.
    Unrequested,
}

impl fmt::Display for BadResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadResponse::Syntax(why) => return write!(f, "not readable as HTTP/1.1: {why}"),
            BadResponse::HeadTooLarge => "the head is too long",
            BadResponse::TooManyHeaders => "too many headers",
            BadResponse::Upgrade => "no Connection: Upgrade with Upgrade: websocket",
            BadResponse::AcceptKey => "the Sec-WebSocket-Accept does not fit the key",
            BadResponse::Unrequested => "an extension or subprotocol that was not asked for",
        })
    }
}

/// Returns the payload of a close frame. A code that must not be sent (RFC 6455 §7.4) becomes
/// 1000.
pub(crate) fn close_payload(code: u16, reason: &str) -> Bytes {
    let code = if CloseCode::from(code).is_allowed() { code } else { 1000 };
    let reason = truncate_reason(reason);
    let mut payload = BytesMut::with_capacity(2 + reason.len());
    payload.put_u16(code);
    payload.put_slice(reason.as_bytes());
    payload.freeze()
}

/// Returns the longest prefix of `reason` that fits a close frame and ends between characters.
fn truncate_reason(reason: &str) -> &str {
    let mut end = reason.len().min(MAX_REASON_LEN);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_between_characters() {
        assert_eq!(truncate_reason("short"), "short");
        assert_eq!(truncate_reason(&"x".repeat(200)).len(), 123);
        assert_eq!(truncate_reason(&"é".repeat(100)), "é".repeat(61));
        assert_eq!(truncate_reason(&"😀".repeat(100)), "😀".repeat(30));
    }

    #[test]
    fn every_end_has_words_of_its_own() {
        let by_peer = |reason: &str| CloseReason::Remote { code: 1000, reason: reason.into() };
        assert_eq!(by_peer("").to_string(), "closed by the peer with code 1000");
        assert_eq!(by_peer("bye").to_string(), "closed by the peer with code 1000: bye");
        let bad = [
            BadResponse::Syntax("no".into()),
            BadResponse::HeadTooLarge,
            BadResponse::TooManyHeaders,
            BadResponse::Upgrade,
            BadResponse::AcceptKey,
            BadResponse::Unrequested,
        ];
        let words: std::collections::HashSet<_> = bad.iter().map(|bad| bad.to_string()).collect();
        assert!(words.len() == bad.len() && words.iter().all(|words| words.len() > 10));
    }

    #[test]
    fn the_status_is_what_was_wrong() {
        let requests = [
            (BadRequest::Method, 405),
            (BadRequest::WebSocketVersion, 426),
            (BadRequest::HeadTooLarge { limit: 1, cookie_bytes: 0 }, 431),
            (BadRequest::TooManyHeaders { limit: 1 }, 431),
            (BadRequest::Host, 400),
        ];
        requests.into_iter().for_each(|(why, status)| assert_eq!(why.status(), status, "{why}"));
    }

    #[test]
    fn forbidden_codes_never_go_out() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, u16::MAX] {
            assert_eq!(&close_payload(code, "")[..], 1000u16.to_be_bytes(), "{code}");
        }
        for code in [1000, 1001, 1009, 1013, 3000, 4999] {
            assert_eq!(&close_payload(code, "")[..], code.to_be_bytes(), "{code}");
        }
    }
}
