//! Collecting the head of an HTTP message.

/// The bytes of a request or answer up to its empty line. Each byte is looked at once, however
/// many pieces they arrive in.
#[derive(Debug, Default)]
pub(crate) struct Head {
    bytes: Vec<u8>,
    /// Whether the line that is being read is empty so far; not true of the first, so that a
    /// leading empty line does not end the head.
    empty_line: bool,
}

/// What more bytes did to a head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress<'a> {
    /// The end is not here yet.
    Partial,
    /// The head is complete; these bytes follow it.
    Complete(&'a [u8]),
    /// The head is longer than allowed.
    TooLong,
}

impl Head {
    /// Takes `input` up to the end of the head, which may have `limit` bytes.
    pub(crate) fn extend<'a>(&mut self, input: &'a [u8], limit: usize) -> Progress<'a> {
        let room = limit.saturating_sub(self.bytes.len());
        let seen = &input[..input.len().min(room)];
        let end = self.find_end(seen);
        let (head, tail) = input.split_at(end.unwrap_or(seen.len()));
        self.bytes.extend_from_slice(head);
        match end {
            Some(_) => Progress::Complete(tail),
            None if input.len() > room => Progress::TooLong,
            None => Progress::Partial,
        }
    }

    /// What is collected.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether this is a TLS record with a handshake, where HTTP should be (RFC 8446 §5.1).
    pub(crate) fn is_tls(&self) -> bool {
        self.bytes.first() == Some(&22)
    }

    /// Behind the line feed of the first empty line.
    fn find_end(&mut self, input: &[u8]) -> Option<usize> {
        for (at, byte) in input.iter().enumerate() {
            match byte {
                b'\n' if self.empty_line => return Some(at + 1),
                b'\n' => self.empty_line = true,
                b'\r' => {}
                _ => self.empty_line = false,
            }
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
        let mut head = Head::default();
        let input = [HEAD, b"\r\n\r\ntail"].concat();
        assert_eq!(head.extend(&input, 100), Progress::Complete(b"\r\n\r\ntail"));
        assert_eq!(head.bytes(), HEAD);
    }

    #[test]
    fn byte_by_byte() {
        let mut head = Head::default();
        for byte in &HEAD[..HEAD.len() - 1] {
            assert_eq!(head.extend(&[*byte], HEAD.len()), Progress::Partial);
        }
        assert_eq!(head.extend(b"\n", HEAD.len()), Progress::Complete(b""));
    }

    #[test]
    fn the_limit_is_exact() {
        for (limit, fits) in [(HEAD.len(), true), (HEAD.len() - 1, false)] {
            let mut head = Head::default();
            let progress = head.extend(HEAD, limit);
            assert_eq!(progress == Progress::Complete(b""), fits);
            assert_eq!(progress == Progress::TooLong, !fits);
        }
    }
}
