//! A part of what waits to be written.

use bytes::Bytes;
use tungstenite::protocol::frame::{FrameHeader, coding::OpCode};

/// The longest head of a frame without a mask (RFC 6455 §5.2).
const HEAD_BYTES: usize = 10;

/// Bytes that lie together, never none.
#[derive(Debug)]
pub(crate) enum Segment {
    /// Our own: small frames one behind the other.
    Own(Vec<u8>),
    /// One frame whose payload may be that of other sockets too.
    Shared(FrameHead, Bytes),
}

/// The head of a frame without a mask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameHead {
    bytes: [u8; HEAD_BYTES],
    len: u8,
}

impl FrameHead {
    /// The head of a whole message of `payload` bytes.
    pub(crate) fn new(opcode: OpCode, payload: usize) -> FrameHead {
        let header = FrameHeader { opcode, ..FrameHeader::default() };
        let mut bytes = [0; HEAD_BYTES];
        let mut rest = &mut bytes[..];
        header.format(payload as u64, &mut rest).expect("no head without a mask is longer");
        let len = (HEAD_BYTES - rest.len()) as u8; // at most 10
        FrameHead { bytes, len }
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl Segment {
    pub(crate) fn len(&self) -> usize {
        self.parts().map(<[u8]>::len).iter().sum()
    }

    /// What follows its first `written` bytes, in two parts. The first is empty only if there is
    /// nothing.
    pub(crate) fn behind(&self, written: usize) -> [&[u8]; 2] {
        let [first, second] = self.parts();
        match written.checked_sub(first.len()) {
            None => [&first[written..], second],
            Some(written) => [&second[written..], &[]],
        }
    }

    fn parts(&self) -> [&[u8]; 2] {
        match self {
            Segment::Own(bytes) => [bytes, &[]],
            Segment::Shared(head, payload) => [head.as_slice(), payload],
        }
    }
}
