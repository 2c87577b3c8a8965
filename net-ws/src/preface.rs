//! What a connection begins with, where it is not a request of HTTP/1.

use crate::BadRequest;

/// RFC 8446 §5.1: a record of type 22, a handshake.
const TLS: &[u8] = &[22];
/// RFC 9113 §3.4, as far as it tells it apart.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n";
/// The PROXY protocol of HAProxy, version 1, §2.1.
const PROXY_1: &[u8] = b"PROXY ";
/// The same, version 2, §2.2.
const PROXY_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What these first bytes of a connection are, if they are a known protocol that is not HTTP/1.
pub(crate) fn foreign(bytes: &[u8]) -> Option<BadRequest> {
    let known = [
        (TLS, BadRequest::Tls),
        (HTTP2, BadRequest::Http2),
        (PROXY_1, BadRequest::ProxyProtocol { version: 1 }),
        (PROXY_2, BadRequest::ProxyProtocol { version: 2 }),
    ];
    known.into_iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, what)| what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_told_by_its_first_bytes_and_not_by_fewer() {
        for (start, what) in [
            (TLS, BadRequest::Tls),
            (HTTP2, BadRequest::Http2),
            (PROXY_1, BadRequest::ProxyProtocol { version: 1 }),
            (PROXY_2, BadRequest::ProxyProtocol { version: 2 }),
        ] {
            assert_eq!(foreign(&[start, b"more"].concat()), Some(what));
            assert_eq!(foreign(&start[..start.len() - 1]), None);
        }
        for other in ["", "GET / HTTP/1.1\r\n", "\r\n\r\nGET /", "PROXY", "PRI / HTTP/1.1"] {
            assert_eq!(foreign(other.as_bytes()), None, "{other}");
        }
    }
}
