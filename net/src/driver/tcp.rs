//! The TCP connections: reading when there is room, writing when there is something.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::io::{IoSlice, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};

use crate::PeerId;
use crate::driver::udp_sockets::Ready;
use crate::hub::{ConnectionId, Hub, Input};
use crate::queues::Entry;

/// Pieces that are written at a time: the head and the payload of 8 large messages.
const SLICES: usize = 16;

/// One TCP connection. mio tells only when something changes, so what it said last is kept.
#[derive(Debug)]
struct Stream<T> {
    tcp: T,
    reading: Reading,
    writing: Writing,
    peer: Option<(PeerId, Arc<Entry>)>,
}

/// ```text
///   Empty --note--> InLine --no room--> PassedOver --opened--> InLine
///     '<---read_next---'
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// Nothing to read, until mio says so.
    Empty,
    /// It waits for its turn.
    InLine,
    /// There is something, and no room for it before it is open.
    PassedOver,
}

/// ```text
///   Free --part left--> InLine --write_next--> Free
///     '--system full--> Blocked --note--> InLine
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    /// The system takes nothing, until mio says so.
    Blocked,
    /// The system takes something, as far as is known.
    Free,
    /// So it is, and a part waits for its turn.
    InLine,
}

/// All of them, and lines of those that can be read and written.
#[derive(Debug)]
pub(super) struct Streams<T> {
    by_id: HashMap<ConnectionId, Stream<T>>,
    to_read: VecDeque<ConnectionId>,
    to_write: VecDeque<ConnectionId>,
    /// As long as what is read at a time.
    buffer: Vec<u8>,
}

impl<T: Read + Write> Streams<T> {
    /// So many bytes are read at a time, and so the most that one connection can make the loop
    /// and the application do before the others have their turn.
    pub(super) fn new(bytes: usize) -> Streams<T> {
        Streams {
            by_id: HashMap::new(),
            to_read: VecDeque::new(),
            to_write: VecDeque::new(),
            buffer: vec![0; bytes.max(1)],
        }
    }

    pub(super) fn insert(&mut self, id: ConnectionId, tcp: T) {
        let (reading, writing) = (Reading::Empty, Writing::Free);
        self.by_id.insert(id, Stream { tcp, reading, writing, peer: None });
    }

    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<T> {
        self.by_id.remove(&id).map(|stream| stream.tcp)
    }

    /// Ties a connection to its peer's mailbox, which wants to know what is unwritten.
    pub(super) fn opened(&mut self, connection: ConnectionId, id: PeerId, entry: Arc<Entry>) {
        if let Some(stream) = self.by_id.get_mut(&connection) {
            stream.peer = Some((id, entry));
            if stream.reading == Reading::PassedOver {
                stream.reading = Reading::InLine;
                self.to_read.push_back(connection);
            }
        }
    }

    /// Notes that mio says something can be read.
    pub(super) fn readable(&mut self, id: ConnectionId) {
        if let Some(stream) = self.by_id.get_mut(&id)
            && stream.reading == Reading::Empty
        {
            stream.reading = Reading::InLine;
            self.to_read.push_back(id);
        }
    }

    /// Notes that mio says something can be written.
    pub(super) fn writable(&mut self, id: ConnectionId) {
        if let Some(stream) = self.by_id.get_mut(&id)
            && stream.writing == Writing::Blocked
        {
            stream.writing = Writing::InLine;
            self.to_write.push_back(id);
        }
    }

    /// How many connections wait to be read.
    pub(super) fn awaiting_reading(&self) -> u32 {
        u32::try_from(self.to_read.len()).unwrap_or(u32::MAX)
    }

    /// Whether a connection waits to be written.
    pub(super) fn awaits_writing(&self) -> bool {
        !self.to_write.is_empty()
    }

    /// Reads one chunk of the connection that has waited longest; false if none waits.
    pub(super) fn read_next(&mut self, now: Instant, hub: &mut Hub) -> bool {
        let Some(id) = self.to_read.pop_front() else { return false };
        let Some(stream) = self.by_id.get_mut(&id) else { return true };
        if !hub.wants_read(id) {
            stream.reading = Reading::PassedOver;
            return true;
        }
        stream.reading = Reading::Empty;
        match stream.tcp.read(&mut self.buffer) {
            Ok(0) => hub.handle_input(now, Input::End(id)),
            Ok(length) => {
                self.readable(id);
                hub.handle_input(now, Input::Bytes(id, &self.buffer[..length]));
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => {}
                io::ErrorKind::Interrupted => self.readable(id),
                _ => hub.handle_input(now, Input::End(id)),
            },
        }
        true
    }

    /// Writes a part of what a connection has to say; what is left waits in line.
    pub(super) fn write(&mut self, now: Instant, hub: &mut Hub, id: ConnectionId) {
        if let Some(stream) = self.by_id.get_mut(&id)
            && stream.writing == Writing::Free
        {
            let left = stream.write_part(now, hub, id);
            stream.tell_unwritten(hub);
            if left {
                stream.writing = Writing::InLine;
                self.to_write.push_back(id);
            }
        }
    }

    /// Writes a part of the connection that has waited longest; false if none waits.
    pub(super) fn write_next(&mut self, now: Instant, hub: &mut Hub) -> bool {
        let Some(id) = self.to_write.pop_front() else { return false };
        if let Some(stream) = self.by_id.get_mut(&id) {
            stream.writing = Writing::Free;
            self.write(now, hub, id);
        }
        true
    }
}

impl<T: Write> Stream<T> {
    /// Writes once; whether the system may take more of what is left.
    fn write_part(&mut self, now: Instant, hub: &mut Hub, id: ConnectionId) -> bool {
        if hub.outgoing(id).is_empty() {
            return false;
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = hub.outgoing_vectored(id, &mut slices);
        let written = match &slices[..count] {
            [one] => self.tcp.write(one), // a vectored write costs more
            many => self.tcp.write_vectored(many),
        };
        match written {
            Ok(length @ 1..) => hub.advance(now, id, length),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.writing = Writing::Blocked;
            }
            Ok(0) | Err(_) => {
                self.writing = Writing::Blocked;
                hub.handle_input(now, Input::End(id));
            }
        }
        self.writing == Writing::Free && !hub.outgoing(id).is_empty()
    }

    fn tell_unwritten(&self, hub: &Hub) {
        if let Some((peer, entry)) = &self.peer {
            entry.mailbox.set_unwritten(hub.unwritten(*peer));
        }
    }
}

/// When to try again to accept, after the system refused, for example for want of descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// How often the log is told so.
const TELL_AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Listening {
    listener: TcpListener,
    ready: Ready,
    /// When the log was told last that the system refuses.
    told: Option<Instant>,
}

/// What came of it to accept a connection.
#[derive(Debug)]
pub(super) enum Accepted {
    /// One that this peer has begun.
    Connection(TcpStream, SocketAddr),
    /// Nothing waits, or it has gone already.
    None,
    /// Something waits, and the system refuses to give it.
    Refused,
}

impl Listening {
    pub(super) fn new(listener: TcpListener) -> Listening {
        Listening { listener, ready: Ready::Yes, told: None }
    }

    /// Notes that mio says somebody has come.
    pub(super) fn readable(&mut self) {
        self.ready = Ready::Yes;
    }

    /// When somebody may have come.
    pub(super) fn next_wake(&self, now: Instant) -> Option<Instant> {
        self.ready.next_wake(now)
    }

    /// Whether somebody may have come.
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        self.ready.is_now(now)
    }

    /// The next connection and who it is, if the system has one.
    pub(super) fn accept(&mut self, now: Instant) -> Accepted {
        self.ready = Ready::Yes;
        match self.listener.accept() {
            Ok((tcp, remote)) => {
                Accepted::Connection(tcp, (remote.ip().to_canonical(), remote.port()).into())
            }
            Err(error) => self.failed(now, &error),
        }
    }

    fn failed(&mut self, now: Instant, error: &io::Error) -> Accepted {
        match error.kind() {
            io::ErrorKind::WouldBlock => self.ready = Ready::No,
            io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
            _ => {
                self.ready = Ready::At(now + ACCEPT_AGAIN);
                if self.told.is_none_or(|told| now >= told + TELL_AGAIN) {
                    log::warn!("no connection can be accepted for now: {error}");
                    self.told = Some(now);
                }
                return Accepted::Refused;
            }
        }
        Accepted::None
    }

    /// Something was freed: the system is asked again at once.
    pub(super) fn freed(&mut self) {
        self.ready = Ready::Yes;
    }
}

#[cfg(test)]
mod listener_tests {
    use super::*;

    fn listening() -> Listening {
        Listening::new(TcpListener::bind(([127, 0, 0, 1], 0).into()).expect("a free port"))
    }

    #[test]
    fn t70_who_has_nobody_waits_to_be_told() {
        let (mut listening, now) = (listening(), Instant::now());
        assert!(listening.is_ready(now), "mio says nothing of who was there before");
        assert!(matches!(listening.accept(now), Accepted::None));
        assert!(!listening.is_ready(now + 10 * ACCEPT_AGAIN));
        assert_eq!(listening.next_wake(now), None);
        listening.readable();
        assert!(listening.is_ready(now));
        assert_eq!(listening.next_wake(now), Some(now));
    }

    #[test]
    fn t20_what_the_system_refuses_is_tried_again_soon_and_not_at_once() {
        let (mut listening, now) = (listening(), Instant::now());
        for kind in [io::ErrorKind::Interrupted, io::ErrorKind::ConnectionAborted] {
            assert!(matches!(listening.failed(now, &kind.into()), Accepted::None));
            assert_eq!(listening.next_wake(now), Some(now), "there may be another");
        }
        let refused = listening.failed(now, &io::Error::other("no descriptors"));
        assert!(matches!(refused, Accepted::Refused));
        assert!(!listening.is_ready(now));
        assert_eq!(listening.next_wake(now), Some(now + ACCEPT_AGAIN));
        assert!(listening.is_ready(now + ACCEPT_AGAIN));
        listening.freed();
        assert!(listening.is_ready(now));
    }
}
