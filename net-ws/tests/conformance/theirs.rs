//! The same of tungstenite's own `WebSocket`.

use std::io::{self, Cursor, ErrorKind, Read, Write};

use net_ws::Message;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message as Theirs, WebSocket};

use super::{End, Verdict};

/// A client's bytes, and what is said to it.
struct Wire {
    heard: Cursor<Vec<u8>>,
    said: Vec<u8>,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.heard.read(buffer)? {
            0 => Err(ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.said.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn verdict(bytes: &[u8]) -> Verdict {
    let limits =
        WebSocketConfig::default().max_message_size(Some(65_536)).max_frame_size(Some(65_536));
    let wire = Wire { heard: Cursor::new(bytes.to_vec()), said: Vec::new() };
    let mut socket = WebSocket::from_raw_socket(wire, Role::Server, Some(limits));
    let mut verdict = Verdict::default();
    loop {
        match socket.read() {
            Ok(Theirs::Text(text)) => verdict.messages.push(Message::Text(text.to_string())),
            Ok(Theirs::Binary(bytes)) => verdict.messages.push(Message::Binary(bytes)),
            Ok(_) => {}
            Err(error) => {
                _ = socket.flush();
                verdict.hear(&socket.get_ref().said);
                verdict.fail(&error);
                return verdict;
            }
        }
    }
}

impl Verdict {
    /// It leaves the goodbye to its user; this is the code that belongs to the error.
    fn fail(&mut self, error: &Error) {
        let code = match error {
            Error::Capacity(_) => 1009,
            Error::Utf8(_) => 1007,
            Error::Protocol(_) => 1002,
            _ => return,
        };
        self.end = End::Closed(Some(code));
    }
}
