//! Counting what tungstenite does not.

/// The opcode of a close frame, and the first of all control opcodes (RFC 6455 §5.2).
const CLOSE: u8 = 8;

/// Walks over the frame heads in the bytes on their way to the decoder. It bounds empty fragments,
/// remembers the true code of a close frame (the decoder replaces a forbidden one), and finds the
/// peer's goodbye when nothing else in the stream matters any more.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    /// The head of a frame so far: 14 bytes at most, and 2 of a close code.
    head: [u8; 16],
    have: usize,
    /// Payload bytes of the current frame still to come.
    skip: u64,
    empty_fragments: usize,
    limit: usize,
    close: Option<CloseSeen>,
}

/// A close frame's code, if it has one.
#[derive(Clone, Copy, Debug)]
struct CloseSeen(Option<u16>);

impl Meter {
    /// Allows `limit` empty fragments in one message.
    pub(crate) fn new(limit: usize) -> Meter {
        Meter { head: [0; 16], have: 0, skip: 0, empty_fragments: 0, limit, close: None }
    }

    /// Walks over `bytes`; `Err(n)` after `n` of them if that empty fragment is one too many.
    pub(crate) fn walk(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut at = 0;
        while at < bytes.len() && !self.closed() {
            if self.skip > 0 {
                let count = self.skip.min((bytes.len() - at) as u64);
                self.skip -= count;
                at += count as usize; // at most what is left of `bytes`
                continue;
            }
            self.head[self.have] = bytes[at];
            self.have += 1;
            at += 1;
            if self.have >= 2 && self.have == self.head_len() {
                self.head_done();
                if self.exceeded() {
                    return Err(at);
                }
            }
        }
        Ok(())
    }

    /// Walks over `bytes`, looking only for a close frame.
    pub(crate) fn look_for_close(&mut self, bytes: &[u8]) {
        self.limit = usize::MAX;
        self.walk(bytes).expect("a count cannot pass usize::MAX");
    }

    /// Whether the last frame was one empty fragment too many.
    pub(crate) fn exceeded(&self) -> bool {
        self.empty_fragments > self.limit
    }

    /// Whether a whole close frame has passed. Nothing after it counts.
    pub(crate) fn closed(&self) -> bool {
        self.close.is_some() && self.skip == 0
    }

    /// The code of the close frame that has passed, if it had one.
    pub(crate) fn close_code(&self) -> Option<u16> {
        self.close.and_then(|CloseSeen(code)| code)
    }

    /// Bytes of this head, known when two of them are here.
    fn head_len(&self) -> usize {
        let length = match self.head[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if self.masked() { 4 } else { 0 };
        let code = if self.has_code() { 2 } else { 0 };
        2 + length + mask + code
    }

    fn head_done(&mut self) {
        let fin = self.head[0] & 0x80 != 0;
        let opcode = self.head[0] & 0x0f;
        self.skip = self.payload_len();
        if opcode == CLOSE && self.close.is_none() {
            self.close = Some(CloseSeen(self.code()));
        }
        if self.has_code() {
            self.skip -= 2;
        } else if opcode < CLOSE && fin {
            self.empty_fragments = 0;
        } else if opcode < CLOSE && self.skip == 0 {
            self.empty_fragments = self.empty_fragments.saturating_add(1);
        }
        self.have = 0;
    }

    fn payload_len(&self) -> u64 {
        match self.head[1] & 0x7f {
            126 => u64::from(u16::from_be_bytes([self.head[2], self.head[3]])),
            127 => self.head[2..10].iter().fold(0, |length, byte| (length << 8) | u64::from(*byte)),
            length => u64::from(length),
        }
    }

    fn masked(&self) -> bool {
        self.head[1] & 0x80 != 0
    }

    /// Whether the code's two bytes count as part of the head. Longer lengths are not legal in a
    /// close frame and their payload is of no interest.
    fn has_code(&self) -> bool {
        self.head[0] & 0x0f == CLOSE && (2..=125).contains(&(self.head[1] & 0x7f))
    }

    fn code(&self) -> Option<u16> {
        let end = self.have;
        self.has_code().then(|| {
            let mask =
                if self.masked() { [self.head[end - 6], self.head[end - 5]] } else { [0; 2] };
            u16::from_be_bytes([self.head[end - 2] ^ mask[0], self.head[end - 1] ^ mask[1]])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_fragments_are_counted_for_one_message() {
        let mut meter = Meter::new(2);
        assert_eq!(meter.walk(&[0x02, 0, 0x00, 0, 0x80, 0]), Ok(()));
        assert_eq!(meter.walk(&[0x02, 0, 0x89, 0, 0x00, 0]), Ok(()));
        assert_eq!(meter.walk(&[0x00, 1, 0xff, 0x00, 0, 0x80, 0]), Err(5));
    }

    #[test]
    fn a_close_frame_is_found_byte_by_byte_behind_any_length() {
        let mut bytes = vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0];
        bytes.extend([0x88; 65_536]);
        bytes.extend([0x81, 126, 0, 2, 0x88, 0x88]);
        bytes.extend([0x88, 0x83, 1, 2, 3, 4, 0x03 ^ 1, 0xed ^ 2, b'x' ^ 3]);
        let mut meter = Meter::new(0);
        for byte in &bytes {
            assert!(!meter.closed());
            assert_eq!(meter.walk(&[*byte]), Ok(()));
        }
        assert!(meter.closed());
        assert_eq!(meter.close_code(), Some(1005));
    }

    #[test]
    fn a_close_frame_without_a_code() {
        for frame in [&[0x88, 0][..], &[0x88, 0x80, 9, 9, 9, 9], &[0x88, 1, 7]] {
            let mut meter = Meter::new(0);
            meter.look_for_close(frame);
            assert!(meter.closed());
            assert_eq!(meter.close_code(), None);
        }
    }

    #[test]
    fn absurd_lengths_are_only_numbers() {
        let mut meter = Meter::new(0);
        meter.look_for_close(&[0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x88, 0]);
        assert!(!meter.closed());
    }
}
