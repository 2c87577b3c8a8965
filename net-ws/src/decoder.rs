//! Bytes of the peer into messages.

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

/// Bytes read at a time. Each socket holds a buffer of this size all its life, so a large one
/// would cost far more memory than it saves time.
const READ_BUFFER_SIZE: usize = 4 * 1024;

/// What the peer sent.
#[derive(Debug)]
pub(crate) enum Decoded {
    Message(Message),
    Ping(Bytes),
    /// Code and reason, where the frame had a payload.
    Close(Option<(u16, String)>),
}

/// tungstenite's decoder under our limits. It is never told to send anything.
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

    /// What comes next in `bytes`, which is moved on; `None` when they are used up. After a close
    /// or an error the decoder is of no more use, only [`Decoder::take_meter`].
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

    /// What looks for the peer's close frame when messages do not matter any more.
    pub(crate) fn take_scanner(&mut self) -> FrameScanner {
        std::mem::replace(&mut self.scanner, FrameScanner::new(0))
    }

    /// A close frame, unless its code was forbidden: tungstenite then shows a code of its own.
    fn on_close_frame(&self, frame: Option<CloseFrame>) -> Result<Decoded, CloseReason> {
        let Some(frame) = frame else { return Ok(Decoded::Close(None)) };
        let code = u16::from(frame.code);
        match self.scanner.close_code() {
            Some(sent) if sent != code => Err(CloseReason::Protocol(Violation::CloseCode(sent))),
            _ => Ok(Decoded::Close(Some((code, frame.reason.to_string())))),
        }
    }
}

/// Whose fault a decoder's error is: always the peer's.
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

/// The bytes of one input, read under the eyes of a [`Meter`]. What tungstenite writes while it
/// reads is its own answer to a ping or a close frame; we answer those ourselves, when there is
/// room, so it goes nowhere.
pub(crate) struct ScannedReader<'a, 'b> {
    /// What is not read yet.
    pub(crate) bytes: &'a mut &'b [u8],
    /// Sees every byte once.
    pub(crate) scanner: &'a mut FrameScanner,
}

impl Read for ScannedReader<'_, '_> {
    /// `WouldBlock` when all was read, `InvalidData` behind one empty fragment too many.
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
