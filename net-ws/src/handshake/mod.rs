//! HTTP/1.1 message heads (RFC 9112 §2) of the opening handshake.

pub(crate) mod oversized_head;
pub(crate) mod request;
pub(crate) mod response;

/// Buffer of a request or response head up to its empty line. Each byte is scanned once, however
/// the bytes are split.
#[derive(Debug, Default)]
pub(crate) struct HeadBuffer {
    bytes: Vec<u8>,
    line: LineState,
}

/// State of the line that is being read.
#[derive(Debug, Default, PartialEq, Eq)]
enum LineState {
    /// Empty, with only empty lines before it (RFC 9112 §2.2).
    #[default]
    Leading,
    /// Empty so far.
    Empty,
    /// Not empty.
    NonEmpty,
}

/// Result of extending a head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeadProgress<'a> {
    /// The head is incomplete.
    Partial,
    /// The head is complete; these bytes follow it.
    Complete(&'a [u8]),
    /// The head is longer than allowed; these bytes are past the limit.
    TooLong(&'a [u8]),
}

impl HeadBuffer {
    /// Appends `input` up to the end of the head, which may have `limit` bytes.
    pub(crate) fn extend<'a>(&mut self, input: &'a [u8], limit: usize) -> HeadProgress<'a> {
        let room = limit.saturating_sub(self.bytes.len());
        let seen = &input[..input.len().min(room)];
        let end = self.find_end(seen);
        let (head, tail) = input.split_at(end.unwrap_or(seen.len()));
        self.reserve(head.len(), limit);
        self.bytes.extend_from_slice(head);
        match end {
            Some(_) => HeadProgress::Complete(tail),
            None if tail.is_empty() => HeadProgress::Partial,
            None => HeadProgress::TooLong(tail),
        }
    }

    /// Returns the bytes buffered so far.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reserves room for `more` bytes: doubles the capacity, up to `limit`.
    fn reserve(&mut self, more: usize, limit: usize) {
        let (len, room) = (self.bytes.len(), self.bytes.capacity());
        if len + more > room {
            let room = (2 * room).max(len + more).min(limit);
            self.bytes.reserve_exact(room.saturating_sub(len));
        }
    }

    /// Returns the position after the line feed of the first empty line that is not leading.
    fn find_end(&mut self, input: &[u8]) -> Option<usize> {
        for (at, byte) in input.iter().enumerate() {
            self.line = match (byte, &self.line) {
                (b'\n', LineState::Empty) => return Some(at + 1),
                (b'\n', LineState::NonEmpty) => LineState::Empty,
                (b'\r' | b'\n', LineState::Leading) => LineState::Leading,
                (b'\r', LineState::Empty) => LineState::Empty,
                _ => LineState::NonEmpty,
            };
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    #[test]
    fn the_tail_is_given_back() {
        let mut head = HeadBuffer::default();
        let input = [HEAD, b"\r\n\r\ntail"].concat();
        assert_eq!(head.extend(&input, 100), HeadProgress::Complete(b"\r\n\r\ntail"));
        assert_eq!(head.bytes(), HEAD);
    }

    #[test]
    fn byte_by_byte() {
        let mut head = HeadBuffer::default();
        for byte in &HEAD[..HEAD.len() - 1] {
            assert_eq!(head.extend(&[*byte], HEAD.len()), HeadProgress::Partial);
        }
        assert_eq!(head.extend(b"\n", HEAD.len()), HeadProgress::Complete(b""));
    }

    #[test]
    fn the_limit_is_exact() {
        for (limit, fits) in [(HEAD.len(), true), (HEAD.len() - 1, false)] {
            let mut head = HeadBuffer::default();
            let progress = head.extend(HEAD, limit);
            assert_eq!(progress == HeadProgress::Complete(b""), fits);
            assert_eq!(matches!(progress, HeadProgress::TooLong(_)), !fits);
        }
    }

    #[test]
    fn empty_lines_in_front_do_not_end_it() {
        let input = [b"\r\n\r\n\n", HEAD, b"tail"].concat();
        for step in [1, 5, input.len()] {
            let mut head = HeadBuffer::default();
            let mut parts = input.chunks(step);
            let ends =
                parts.any(|part| matches!(head.extend(part, 100), HeadProgress::Complete(_)));
            assert!(ends && head.bytes().ends_with(HEAD), "{step}");
        }
    }
}
