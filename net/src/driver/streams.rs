//! The TCP connections: reading when there is room, writing when there is something.

use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Instant;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::turn::FIRST_STREAM;
use crate::PeerId;
use crate::hub::{ConnectionId, Hub, Input};
use crate::shared::Entry;

/// Bytes that are read at a time, and so the most that one connection can make the loop do
/// before the others have their turn.
const CHUNK: usize = 16 * 1024;
/// Pieces that are written at a time: the head and the payload of 8 large messages.
const SLICES: usize = 16;

/// One TCP connection. mio tells only when something changes, so what it said last is kept.
#[derive(Debug)]
struct Stream {
    tcp: TcpStream,
    readable: bool,
    writable: bool,
    peer: Option<(PeerId, Arc<Entry>)>,
}

/// All of them, and a line of those that can be read.
#[derive(Debug)]
pub(super) struct Streams {
    by_id: HashMap<ConnectionId, Stream>,
    line: VecDeque<ConnectionId>,
    buffer: Vec<u8>,
}

pub(super) fn token(id: ConnectionId) -> Token {
    Token(id.0 as usize + FIRST_STREAM)
}

fn connection(token: Token) -> ConnectionId {
    ConnectionId((token.0 - FIRST_STREAM) as u64)
}

impl Streams {
    pub(super) fn new() -> Streams {
        Streams { by_id: HashMap::new(), line: VecDeque::new(), buffer: vec![0; CHUNK] }
    }

    pub(super) fn insert(
        &mut self,
        registry: &Registry,
        id: ConnectionId,
        mut tcp: TcpStream,
    ) -> io::Result<()> {
        tcp.set_nodelay(true)?;
        registry.register(&mut tcp, token(id), Interest::READABLE | Interest::WRITABLE)?;
        self.by_id.insert(id, Stream { tcp, readable: false, writable: true, peer: None });
        Ok(())
    }

    pub(super) fn remove(&mut self, registry: &Registry, id: ConnectionId) {
        if let Some(mut stream) = self.by_id.remove(&id) {
            // Both can fail only because the connection is gone, which is what is wanted.
            _ = registry.deregister(&mut stream.tcp);
            _ = stream.tcp.shutdown(Shutdown::Write);
        }
    }

    /// Ties a connection to its peer's mailbox, which wants to know what is unwritten.
    pub(super) fn opened(&mut self, connection: ConnectionId, id: PeerId, entry: Arc<Entry>) {
        if let Some(stream) = self.by_id.get_mut(&connection) {
            stream.peer = Some((id, entry));
            // It may have been passed over while it was not open.
            if stream.readable && !self.line.contains(&connection) {
                self.line.push_back(connection);
            }
        }
    }

    /// Notes what mio says; what can be written now is written now.
    pub(super) fn note(&mut self, event: &Event, now: Instant, hub: &mut Hub) {
        let id = connection(event.token());
        let Some(stream) = self.by_id.get_mut(&id) else { return };
        if event.is_readable() && !stream.readable {
            stream.readable = true;
            self.line.push_back(id);
        }
        if event.is_writable() {
            stream.writable = true;
            self.write(now, hub, id);
        }
    }

    /// Whether a connection waits to be read.
    pub(super) fn is_ready(&self) -> bool {
        !self.line.is_empty()
    }

    /// Reads one chunk of the connection that has waited longest; false if none waits.
    pub(super) fn read_next(&mut self, now: Instant, hub: &mut Hub) -> bool {
        let Some(id) = self.line.pop_front() else { return false };
        let Some(stream) = self.by_id.get_mut(&id).filter(|_| hub.wants_read(id)) else {
            return true;
        };
        match stream.tcp.read(&mut self.buffer) {
            Ok(0) => hub.handle_input(now, Input::End(id)),
            Ok(length) => {
                self.line.push_back(id);
                hub.handle_input(now, Input::Bytes(id, &self.buffer[..length]));
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => stream.readable = false,
                io::ErrorKind::Interrupted => self.line.push_back(id),
                _ => hub.handle_input(now, Input::End(id)),
            },
        }
        true
    }

    /// Writes what a connection has to say, as far as the system takes it.
    pub(super) fn write(&mut self, now: Instant, hub: &mut Hub, id: ConnectionId) {
        let Some(stream) = self.by_id.get_mut(&id) else { return };
        while stream.writable && !hub.outgoing(id).is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = hub.outgoing_vectored(id, &mut slices);
            let written = match &slices[..count] {
                [one] => stream.tcp.write(one), // a vectored write costs more
                many => stream.tcp.write_vectored(many),
            };
            match written {
                Ok(length) => hub.advance(now, id, length),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => stream.writable = false,
                    io::ErrorKind::Interrupted => {}
                    _ => {
                        stream.writable = false;
                        hub.handle_input(now, Input::End(id));
                    }
                },
            }
        }
        if let Some((peer, entry)) = &stream.peer {
            entry.mailbox.set_unwritten(hub.unwritten(*peer));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use mio::Poll;

    use super::*;

    #[test]
    fn every_connection_sends_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let _client = std::net::TcpStream::connect(listener.local_addr().expect("bound"));
        let (accepted, _) = listener.accept().expect("the client above");
        accepted.set_nonblocking(true).expect("a socket");
        let (poll, mut streams) = (Poll::new().expect("a poll"), Streams::new());
        let (id, tcp) = (ConnectionId(0), TcpStream::from_std(accepted));
        assert!(!tcp.nodelay().expect("a socket"), "the system's default");
        streams.insert(poll.registry(), id, tcp).expect("a socket");
        assert!(streams.by_id[&id].tcp.nodelay().expect("a socket"));
    }
}
