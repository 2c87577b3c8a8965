//! An agent's websocket over a TCP connection that does not block.

use std::io::{self, Read, Write};
use std::time::Instant;

use super::{Agent, Input};

const BUFFER: usize = 65_536;

impl Agent {
    /// Takes what has come.
    pub fn read_from(&mut self, tcp: &mut impl Read) {
        let mut buffer = [0; BUFFER];
        loop {
            match tcp.read(&mut buffer) {
                Ok(length) if length > 0 => {
                    self.handle_input(Instant::now(), Input::Bytes(&buffer[..length]));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                _ => return self.handle_input(Instant::now(), Input::End),
            }
        }
    }

    /// Writes what is to be written, as far as there is room.
    pub fn write_to(&mut self, tcp: &mut impl Write) {
        while !self.outgoing().is_empty() {
            match tcp.write(self.outgoing()) {
                Ok(length) => self.advance(Instant::now(), length),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.handle_input(Instant::now(), Input::End),
            }
        }
    }
}
