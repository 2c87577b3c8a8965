//! Oversized HTTP request head, reduced to the headers of the upgrade.

use crate::handshake::HeadProgress;

/// Maximum length of a line that is kept.
const MAX_LINE_LEN: usize = 4 * 1024;

/// Headers that identify the client or are necessary for the response to an upgrade.
const KEPT_HEADERS: [&str; 9] = [
    "connection",
    "host",
    "origin",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "upgrade",
    "x-forwarded-for",
];

/// The request line and the [`KEPT_HEADERS`] of a head whose rest is read and dropped: so that a
/// browser, which shows no HTTP status to its page, gets a close code on the websocket. The result
/// does not depend on how the bytes are split.
#[derive(Debug, Default)]
pub(crate) struct OversizedHead {
    kept: Vec<u8>,
    /// First bytes of the line that is being read, at most [`MAX_LINE_LEN`].
    line: Vec<u8>,
    line_len: usize,
    total_len: usize,
    cookie_bytes: usize,
}

impl OversizedHead {
    /// Reads `input` up to the end of the head. Returns [`HeadProgress::TooLong`] past `most`
    /// bytes in all, or past `limit` kept bytes.
    pub(crate) fn extend<'a>(
        &mut self,
        input: &'a [u8],
        limit: usize,
        most: usize,
    ) -> HeadProgress<'a> {
        for (at, byte) in input.iter().enumerate() {
            self.total_len += 1;
            if self.total_len > most || self.kept.len() > limit {
                return HeadProgress::TooLong(&input[at..]);
            }
            match byte {
                b'\n' if self.end_line() => return HeadProgress::Complete(&input[at + 1..]),
                b'\n' => {}
                byte => self.push_byte(*byte),
            }
        }
        HeadProgress::Partial
    }

    /// Returns the kept lines and the final empty line.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.kept
    }

    /// Returns the number of cookie bytes in the whole head.
    pub(crate) fn cookie_bytes(&self) -> usize {
        self.cookie_bytes
    }

    fn push_byte(&mut self, byte: u8) {
        self.line_len += 1;
        if self.line.len() < MAX_LINE_LEN {
            self.line.push(byte);
        }
    }

    /// Ends the current line; returns whether it is the empty one that ends the head.
    fn end_line(&mut self) -> bool {
        let is_cut = self.line.len() < self.line_len;
        let is_empty = self.line.trim_ascii().is_empty();
        let is_first = self.kept.is_empty();
        if is_empty && is_first {
            // RFC 9112 §2.2: empty lines before the request are ignored.
        } else if is_empty || is_first || (!is_cut && self.is_kept_header()) {
            self.kept.extend_from_slice(&self.line);
            self.kept.push(b'\n');
        } else if self.header_name().eq_ignore_ascii_case(b"cookie") {
            self.cookie_bytes += self.line_len;
        }
        self.line.clear();
        self.line_len = 0;
        is_empty && !is_first
    }

    fn is_kept_header(&self) -> bool {
        KEPT_HEADERS.iter().any(|kept| self.header_name().eq_ignore_ascii_case(kept.as_bytes()))
    }

    fn header_name(&self) -> &[u8] {
        self.line.split(|byte| *byte == b':').next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_is_kept_however_it_is_cut() {
        let cookies = format!("Cookie: {}\r\n", "x".repeat(9_000));
        let head = format!(
            "\r\nGET /a HTTP/1.1\r\nHost: h\r\n{cookies}Accept: */*\r\nUPGRADE: websocket\r\n\
             Origin: {}\r\n\r\ntail",
            "y".repeat(5_000)
        );
        for step in [1, 7, usize::MAX] {
            let (mut trimmed, mut tail) = (OversizedHead::default(), Vec::new());
            for part in head.as_bytes().chunks(step.min(head.len())) {
                match trimmed.extend(part, 1_000, 20_000) {
                    HeadProgress::Complete(rest) => tail.extend_from_slice(rest),
                    HeadProgress::Partial => {}
                    HeadProgress::TooLong(_) => panic!("too long"),
                }
                if !tail.is_empty() {
                    break;
                }
            }
            let kept = "GET /a HTTP/1.1\r\nHost: h\r\nUPGRADE: websocket\r\n\r\n";
            assert_eq!(std::str::from_utf8(trimmed.bytes()), Ok(kept));
            assert_eq!(trimmed.cookie_bytes(), cookies.len() - 1);
            assert!("tail".as_bytes().starts_with(&tail));
        }
    }

    #[test]
    fn it_has_bounds() {
        let head = "GET / HTTP/1.1\r\n".to_owned() + &"A: b\r\n".repeat(1_000);
        let extend = |limit, most| {
            let mut trimmed = OversizedHead::default();
            let is_over =
                matches!(trimmed.extend(head.as_bytes(), limit, most), HeadProgress::TooLong(_));
            (is_over, trimmed.kept.len())
        };
        assert_eq!(extend(100, 10_000), (false, 16));
        assert_eq!(extend(100, 6_000), (true, 16));
        assert_eq!(extend(10, 10_000), (true, 16));
        let mut endless = OversizedHead::default();
        endless.extend(&[b'x'; 100_000], 100, 1 << 20);
        assert_eq!(endless.line.len(), MAX_LINE_LEN);
    }
}
