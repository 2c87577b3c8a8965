//! Frame decoder (RFC 6455 §5) on tungstenite.

use std::io;
use std::io::{ErrorKind, Read, Write};

use bytes::Bytes;
use tungstenite::Error;
use tungstenite::error::ProtocolError;
use tungstenite::protocol::{
    CloseFrame, Message as Incoming, Role, WebSocketConfig, WebSocketContext,
};

use crate::frame_scanner::FrameScanner;
use crate::{CloseReason, Config, Message, Violation};

/// Size of tungstenite's read buffer in bytes. Each socket holds one for its lifetime, so a large
/// one would cost far more memory than it saves time.
const READ_BUFFER_SIZE: usize = 4 * 1024;

/// A decoded message or control frame of the peer.
#[derive(Debug)]
pub(crate) enum Decoded {
    Message(Message),
    Ping(Bytes),
    /// Code and reason, where the frame had a payload.
    Close(Option<(u16, String)>),
}

/// tungstenite's decoder with the limits of [`Config`]. It is used for reading only.
#[derive(Debug)]
pub(crate) struct Decoder {
    context: WebSocketContext,
    scanner: FrameScanner,
}

impl Decoder {
    pub(crate) fn new(role: Role, config: &Config) -> Decoder {
        let limits = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_SIZE)
            .write_buffer_size(0)
            .max_message_size(Some(config.max_message_size))
            .max_frame_size(Some(config.max_message_size.max(125)));
        let context = WebSocketContext::new(role, Some(limits));
        Decoder { context, scanner: FrameScanner::new(config.max_empty_fragments) }
    }

    /// Decodes the next item of `bytes` and advances `bytes` behind it; returns `None` when they
    /// are used up. After a close or an error only [`Decoder::take_scanner`] may be called.
    pub(crate) fn next(&mut self, bytes: &mut &[u8]) -> Option<Result<Decoded, CloseReason>> {
        loop {
            let mut pipe = ScannedReader { bytes, scanner: &mut self.scanner };
            return Some(match self.context.read(&mut pipe) {
                Ok(Incoming::Text(text)) => Ok(Decoded::Message(Message::Text(text.to_string()))),
                Ok(Incoming::Binary(data)) => Ok(Decoded::Message(Message::Binary(data))),
                Ok(Incoming::Ping(data)) => Ok(Decoded::Ping(data)),
                Ok(Incoming::Pong(_) | Incoming::Frame(_)) => continue,
                Ok(Incoming::Close(frame)) => self.on_close_frame(frame),
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) => Err(close_reason(error)),
            });
        }
    }

    /// Takes the scanner, which finds the peer's close frame once messages are ignored.
    pub(crate) fn take_scanner(&mut self) -> FrameScanner {
        std::mem::replace(&mut self.scanner, FrameScanner::new(0))
    }

    /// Returns the close frame, or a violation if its code was forbidden: tungstenite replaces
    /// such a code.
    fn on_close_frame(&self, frame: Option<CloseFrame>) -> Result<Decoded, CloseReason> {
        let Some(frame) = frame else { return Ok(Decoded::Close(None)) };
        let code = u16::from(frame.code);
        match self.scanner.close_code() {
            Some(sent) if sent != code => Err(CloseReason::Protocol(Violation::CloseCode(sent))),
            _ => Ok(Decoded::Close(Some((code, frame.reason.to_string())))),
        }
    }
}

/// Maps a decoder error to a close reason. Every decoder error is a violation by the peer.
fn close_reason(error: Error) -> CloseReason {
    CloseReason::Protocol(match error {
        Error::Capacity(_) => return CloseReason::TooLarge,
        Error::Utf8(_) => Violation::Utf8,
        Error::Io(_) => Violation::EmptyFragments,
        Error::Protocol(ProtocolError::InvalidOpcode(code)) => {
            Violation::Frame(format!("opcode {code}"))
        }
        error => Violation::Frame(error.to_string()),
    })
}

/// Reader over the bytes of one input that passes them through a [`FrameScanner`]. Writes are
/// discarded: tungstenite responds to pings and close frames while it reads, but the socket
/// responds itself, when the send buffer has room.
pub(crate) struct ScannedReader<'a, 'b> {
    /// Unread bytes.
    pub(crate) bytes: &'a mut &'b [u8],
    /// Scans every byte once.
    pub(crate) scanner: &'a mut FrameScanner,
}

impl Read for ScannedReader<'_, '_> {
    /// Returns `WouldBlock` when all bytes are read, `InvalidData` after one empty fragment too
    /// many.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.scanner.is_over_limit() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if self.bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = buffer.len().min(self.bytes.len());
        let count = self.scanner.scan(&self.bytes[..count]).map_or_else(|legal| legal, |()| count);
        let (now, rest) = self.bytes.split_at(count);
        buffer[..count].copy_from_slice(now);
        *self.bytes = rest;
        Ok(count)
    }
}

impl Write for ScannedReader<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
