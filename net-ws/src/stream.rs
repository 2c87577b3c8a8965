//! A socket on a stream of bytes.

use std::io;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::time::Instant;

use crate::{Input, Socket};

/// Bytes read by one exchange.
const READ_BUFFER_SIZE: usize = 16 * 1024;
/// Pieces written at once.
const MAX_WRITE_SLICES: usize = 16;

/// Moves bytes between a [`Socket`] and a blocking or non-blocking stream, for use without an
/// event loop of one's own.
///
/// Call [`Stream::exchange`] again and again, and after each call drain
/// [`poll_output`](Socket::poll_output) of [`Stream::socket_mut`]. On a blocking stream set a read
/// timeout, or nothing is sent and no deadline kept while the peer is silent.
#[derive(Debug)]
pub struct Stream<S> {
    socket: Socket,
    stream: S,
    buffer: Box<[u8]>,
}

impl<S: Read + Write> Stream<S> {
    /// Joins the two. The stream carries nothing but this socket's bytes, from their first.
    pub fn new(socket: Socket, stream: S) -> Stream<S> {
        Stream { socket, stream, buffer: vec![0; READ_BUFFER_SIZE].into_boxed_slice() }
    }

    /// The socket.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The socket, to poll it, and to send and close.
    pub fn socket_mut(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// The stream.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// Writes what the stream takes, reads once (at most 16 KiB), writes what that caused, and
    /// lets the socket act on its deadlines.
    ///
    /// # Errors
    /// The stream's; the socket takes each as its end, so that it closes as `Gone` and finishes.
    /// `WouldBlock`, `TimedOut` and `Interrupted` are none. A finished socket leaves the stream
    /// alone.
    pub fn exchange(&mut self, now: Instant) -> io::Result<()> {
        if self.socket.is_finished() {
            return Ok(());
        }
        let moved = self.write(now).and_then(|()| self.read(now)).and_then(|()| self.write(now));
        let last = if moved.is_err() { Input::End } else { Input::Timeout };
        self.socket.handle_input(now, last);
        moved
    }

    fn write(&mut self, now: Instant) -> io::Result<()> {
        while self.socket.buffered_amount() > 0 {
            let mut slices = [IoSlice::new(&[]); MAX_WRITE_SLICES];
            let count = self.socket.outgoing_vectored(&mut slices);
            let written = match &slices[..count] {
                [one] => self.stream.write(one), // a vectored write costs more
                many => self.stream.write_vectored(many),
            };
            match written {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.socket.advance(now, count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return ignore_would_block(error),
            }
        }
        match self.stream.flush() {
            Ok(()) => Ok(()),
            Err(error) => ignore_would_block(error),
        }
    }

    fn read(&mut self, now: Instant) -> io::Result<()> {
        match self.stream.read(&mut self.buffer) {
            Ok(0) => self.socket.handle_input(now, Input::End),
            Ok(count) => self.socket.handle_input(now, Input::Bytes(&self.buffer[..count])),
            Err(error) => return ignore_would_block(error),
        }
        Ok(())
    }
}

/// An error, unless it only means "not now".
fn ignore_would_block(error: io::Error) -> io::Result<()> {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(()),
        _ => Err(error),
    }
}
