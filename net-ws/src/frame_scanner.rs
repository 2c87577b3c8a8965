//! Frame header scanner: empty fragments and close frames (RFC 6455 §5.2, §5.5.1).

/// Opcode of a close frame, the lowest of all control opcodes (RFC 6455 §5.2).
const OPCODE_CLOSE: u8 = 8;

/// Scanner of the frame headers in the bytes that go to tungstenite's decoder, for checks that it
/// does not make. It bounds empty fragments,
/// records the code of a close frame as sent (the decoder replaces a forbidden one), and finds the
/// peer's close frame when the rest of the stream is ignored.
#[derive(Clone, Debug)]
pub(crate) struct FrameScanner {
    /// The frame header so far: at most 14 bytes, and 2 of a close code.
    header: [u8; 16],
    header_filled: usize,
    /// Payload bytes of the current frame still to come.
    payload_remaining: u64,
    empty_fragments: usize,
    max_empty_fragments: usize,
    close: Option<SeenClose>,
}

/// Code of a scanned close frame, if it has one.
#[derive(Clone, Copy, Debug)]
struct SeenClose(Option<u16>);

impl FrameScanner {
    /// Creates a scanner that allows `max_empty_fragments` in one message.
    pub(crate) fn new(max_empty_fragments: usize) -> FrameScanner {
        FrameScanner {
            header: [0; 16],
            header_filled: 0,
            payload_remaining: 0,
            empty_fragments: 0,
            max_empty_fragments,
            close: None,
        }
    }

    /// Scans `bytes`.
    ///
    /// # Errors
    /// `Err(n)` if the empty fragment that ends after `n` bytes is one too many.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut at = 0;
        while at < bytes.len() && !self.has_close() {
            if self.payload_remaining > 0 {
                let count = self.payload_remaining.min((bytes.len() - at) as u64);
                self.payload_remaining -= count;
                at += count as usize; // at most what is left of `bytes`
                continue;
            }
            self.header[self.header_filled] = bytes[at];
            self.header_filled += 1;
            at += 1;
            if self.header_filled >= 2 && self.header_filled == self.header_len() {
                self.on_header();
                if self.is_over_limit() {
                    return Err(at);
                }
            }
        }
        Ok(())
    }

    /// Scans `bytes` for a close frame only.
    pub(crate) fn scan_for_close(&mut self, bytes: &[u8]) {
        self.max_empty_fragments = usize::MAX;
        self.scan(bytes).expect("a count cannot pass usize::MAX");
    }

    /// Returns whether the last frame was one empty fragment too many.
    pub(crate) fn is_over_limit(&self) -> bool {
        self.empty_fragments > self.max_empty_fragments
    }

    /// Returns whether a complete close frame was scanned. Bytes after it are ignored.
    pub(crate) fn has_close(&self) -> bool {
        self.close.is_some() && self.payload_remaining == 0
    }

    /// Returns the code of the scanned close frame, if it had one.
    pub(crate) fn close_code(&self) -> Option<u16> {
        self.close.and_then(|SeenClose(code)| code)
    }

    /// Returns the length of this header, known after its first two bytes.
    fn header_len(&self) -> usize {
        let length = match self.header[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if self.is_masked() { 4 } else { 0 };
        let code = if self.has_close_code() { 2 } else { 0 };
        2 + length + mask + code
    }

    fn on_header(&mut self) {
        let fin = self.header[0] & 0x80 != 0;
        let opcode = self.header[0] & 0x0f;
        self.payload_remaining = self.payload_len();
        if opcode == OPCODE_CLOSE && self.close.is_none() {
            self.close = Some(SeenClose(self.read_close_code()));
        }
        if self.has_close_code() {
            self.payload_remaining -= 2;
        } else if opcode < OPCODE_CLOSE && fin {
            self.empty_fragments = 0;
        } else if opcode < OPCODE_CLOSE && self.payload_remaining == 0 {
            self.empty_fragments = self.empty_fragments.saturating_add(1);
        }
        self.header_filled = 0;
    }

    fn payload_len(&self) -> u64 {
        match self.header[1] & 0x7f {
            126 => u64::from(u16::from_be_bytes([self.header[2], self.header[3]])),
            127 => {
                self.header[2..10].iter().fold(0, |length, byte| (length << 8) | u64::from(*byte))
            }
            length => u64::from(length),
        }
    }

    fn is_masked(&self) -> bool {
        self.header[1] & 0x80 != 0
    }

    /// Returns whether the two bytes of a close code count as part of the header. Longer lengths
    /// are invalid in a close frame and their payload is ignored.
    fn has_close_code(&self) -> bool {
        self.header[0] & 0x0f == OPCODE_CLOSE && (2..=125).contains(&(self.header[1] & 0x7f))
    }

    fn read_close_code(&self) -> Option<u16> {
        let end = self.header_filled;
        self.has_close_code().then(|| {
            let mask = if self.is_masked() {
                [self.header[end - 6], self.header[end - 5]]
            } else {
                [0; 2]
            };
            u16::from_be_bytes([self.header[end - 2] ^ mask[0], self.header[end - 1] ^ mask[1]])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_fragments_are_counted_for_one_message() {
        let mut meter = FrameScanner::new(2);
        assert_eq!(meter.scan(&[0x02, 0, 0x00, 0, 0x80, 0]), Ok(()));
        assert_eq!(meter.scan(&[0x02, 0, 0x89, 0, 0x00, 0]), Ok(()));
        assert_eq!(meter.scan(&[0x00, 1, 0xff, 0x00, 0, 0x80, 0]), Err(5));
    }

    #[test]
    fn a_close_frame_is_found_byte_by_byte_behind_any_length() {
        let mut bytes = vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0];
        bytes.extend([0x88; 65_536]);
        bytes.extend([0x81, 126, 0, 2, 0x88, 0x88]);
        bytes.extend([0x88, 0x83, 1, 2, 3, 4, 0x03 ^ 1, 0xed ^ 2, b'x' ^ 3]);
        let mut meter = FrameScanner::new(0);
        for byte in &bytes {
            assert!(!meter.has_close());
            assert_eq!(meter.scan(&[*byte]), Ok(()));
        }
        assert!(meter.has_close());
        assert_eq!(meter.close_code(), Some(1005));
    }

    #[test]
    fn a_close_frame_without_a_code() {
        for frame in [&[0x88, 0][..], &[0x88, 0x80, 9, 9, 9, 9], &[0x88, 1, 7]] {
            let mut meter = FrameScanner::new(0);
            meter.scan_for_close(frame);
            assert!(meter.has_close());
            assert_eq!(meter.close_code(), None);
        }
    }

    #[test]
    fn absurd_lengths_are_only_numbers() {
        let mut meter = FrameScanner::new(0);
        meter.scan_for_close(&[0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x88, 0]);
        assert!(!meter.has_close());
    }
}
