//! Adapter between a socket and a `Read + Write` stream.

use std::io;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::time::Instant;

use crate::{Input, Socket};

/// Maximum bytes read by one exchange.
const READ_BUFFER_SIZE: usize = 16 * 1024;
/// Maximum slices per vectored write.
const MAX_WRITE_SLICES: usize = 16;

/// A [`Socket`] on a blocking or non-blocking stream, for use without an event loop.
///
/// Call [`Stream::exchange`] in a loop, and after each call drain
/// [`poll_output`](Socket::poll_output) of [`Stream::socket_mut`]. On a blocking stream set a read
/// timeout; otherwise nothing is sent and no deadline is kept while the peer is silent.
#[derive(Debug)]
pub struct Stream<S> {
    socket: Socket,
    stream: S,
    buffer: Box<[u8]>,
}

impl<S: Read + Write> Stream<S> {
    /// Creates the adapter. The stream must carry only this socket's bytes, from the first.
    pub fn new(socket: Socket, stream: S) -> Stream<S> {
        Stream { socket, stream, buffer: vec![0; READ_BUFFER_SIZE].into_boxed_slice() }
    }

    /// Returns the socket.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Returns the socket, to poll it, and to send and close.
    pub fn socket_mut(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// Returns the stream.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// Writes as much as the stream accepts, reads once (at most 16 KiB), writes the resulting
    /// bytes, and handles expired deadlines. Does nothing if the socket is finished.
    ///
    /// # Errors
    /// Those of the stream; the socket treats each as the end of the stream, closes with
    /// [`CloseReason::Eof`](crate::CloseReason::Eof) and finishes. `WouldBlock`, `TimedOut` and
    /// `Interrupted` are not errors.
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

/// Returns the error, unless it is `WouldBlock`, `TimedOut` or `Interrupted`.
fn ignore_would_block(error: io::Error) -> io::Result<()> {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(()),
        _ => Err(error),
    }
}
