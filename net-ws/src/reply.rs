//! Answers in HTTP.

use std::io::Write;

use tungstenite::http::StatusCode;

use crate::outbox::Outbox;

/// Lets cross-origin isolated pages see that there was an answer (HTML, cross-origin embedder
/// policy), as net.js asks where a browser delays websockets.
const READABLE: &str = "Cross-Origin-Resource-Policy: cross-origin\r\n";

/// Answers a request with an error `status` and a line of text, and announces the end of the
/// stream. A number that is no HTTP error status becomes 500.
pub(crate) fn refuse(outbox: &mut Outbox, status: u16, text: &str) {
    let status = StatusCode::from_u16(status)
        .ok()
        .filter(|status| status.is_client_error() || status.is_server_error());
    write(outbox, status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), text, true);
}

/// Answers a plain request with any final `status` and a line of text, and announces the end of
/// the stream. To a HEAD it goes without the text (RFC 9110 §9.3.2). A number that is no such
/// status becomes 500.
pub(crate) fn respond(outbox: &mut Outbox, status: u16, text: &str, is_head: bool) {
    let status = StatusCode::from_u16(status)
        .ok()
        .filter(|status| !status.is_informational() && status.as_u16() < 600);
    write(outbox, status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), text, !is_head);
}

fn write(outbox: &mut Outbox, status: StatusCode, text: &str, with_text: bool) {
    write!(
        outbox,
        "HTTP/1.1 {} {}\r\n{}Connection: close\r\nContent-Type: text/plain; charset=utf-8\r\n\
         {READABLE}Content-Length: {}\r\n\r\n",
        status.as_u16(),
        status.canonical_reason().unwrap_or("Error"),
        wanted(status),
        text.len() + 1,
    )
    .expect("an outbox takes everything");
    if with_text {
        writeln!(outbox, "{text}").expect("an outbox takes everything");
    }
}

/// The headers with which HTTP says what would do instead (RFC 9110 §15.5.6, RFC 6455 §4.4).
fn wanted(status: StatusCode) -> &'static str {
    match status {
        StatusCode::METHOD_NOT_ALLOWED => "Allow: GET, HEAD, OPTIONS\r\n",
        StatusCode::UPGRADE_REQUIRED => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(status: u16, body: &str) -> String {
        let mut outbox = Outbox::default();
        refuse(&mut outbox, status, body);
        String::from_utf8(outbox.front().to_vec()).unwrap()
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
            respond(&mut outbox, status, "fine", is_head);
            String::from_utf8(outbox.front().to_vec()).unwrap()
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
