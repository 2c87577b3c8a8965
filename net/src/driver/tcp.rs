//! TCP connections: accepting, fair reading and writing.

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
use crate::driver::udp_sockets::Readiness;
use crate::hub::{ConnectionId, Hub, Input};
use crate::queues::PeerHandle;

/// Maximum slices of a vectored write: the heads and payloads of 8 large messages.
const MAX_WRITE_SLICES: usize = 16;

/// TCP connection. mio is edge-triggered, so the last readiness is kept.
#[derive(Debug)]
struct TcpConnection<T> {
    tcp: T,
    read_state: ReadState,
    write_state: WriteState,
    peer: Option<(PeerId, Arc<PeerHandle>)>,
}

/// Read state of a connection.
///
/// ```text
///   Idle --on_readable--> Queued --no room--> Paused --opened--> Queued
///     '<----read_next-------'
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadState {
    /// Nothing to read, until mio reports it readable.
    Idle,
    /// In the read queue.
    Queued,
    /// Readable, but without room for the data before it is open.
    Paused,
}

/// Whether a connection can be written to, has output queued, or waits for writability.
///
/// ```text
///   Writable --part left--> Queued --write_next--> Writable
///     '--WouldBlock--> Blocked --on_writable--> Queued
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriteState {
    /// The socket buffer is full, until mio reports it writable.
    Blocked,
    /// Writable, as far as is known.
    Writable,
    /// Writable, and in the write queue with data left.
    Queued,
}

/// All TCP connections, with queues of those to read and to write.
#[derive(Debug)]
pub(super) struct TcpConnections<T> {
    by_id: HashMap<ConnectionId, TcpConnection<T>>,
    read_queue: VecDeque<ConnectionId>,
    write_queue: VecDeque<ConnectionId>,
    /// As long as one read.
    read_buffer: Vec<u8>,
}

impl<T: Read + Write> TcpConnections<T> {
    /// Creates an empty set. `bytes` is the size of one read, and so the most work that one
    /// connection can cause in the loop and the application before the others are served.
    pub(super) fn new(bytes: usize) -> TcpConnections<T> {
        TcpConnections {
            by_id: HashMap::new(),
            read_queue: VecDeque::new(),
            write_queue: VecDeque::new(),
            read_buffer: vec![0; bytes.max(1)],
        }
    }

    pub(super) fn insert(&mut self, id: ConnectionId, tcp: T) {
        let (reading, writing) = (ReadState::Idle, WriteState::Writable);
        self.by_id.insert(
            id,
            TcpConnection { tcp, read_state: reading, write_state: writing, peer: None },
        );
    }

    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<T> {
        self.by_id.remove(&id).map(|stream| stream.tcp)
    }

    /// Attaches a peer's handle to its connection, to report the buffered amount.
    pub(super) fn on_open(&mut self, connection: ConnectionId, id: PeerId, entry: Arc<PeerHandle>) {
        if let Some(stream) = self.by_id.get_mut(&connection) {
            stream.peer = Some((id, entry));
            if stream.read_state == ReadState::Paused {
                stream.read_state = ReadState::Queued;
                self.read_queue.push_back(connection);
            }
        }
    }

    /// Records that mio reported it readable.
    pub(super) fn on_readable(&mut self, id: ConnectionId) {
        if let Some(stream) = self.by_id.get_mut(&id)
            && stream.read_state == ReadState::Idle
        {
            stream.read_state = ReadState::Queued;
            self.read_queue.push_back(id);
        }
    }

    /// Records that mio reported it writable.
    pub(super) fn on_writable(&mut self, id: ConnectionId) {
        if let Some(stream) = self.by_id.get_mut(&id)
            && stream.write_state == WriteState::Blocked
        {
            stream.write_state = WriteState::Queued;
            self.write_queue.push_back(id);
        }
    }

    /// Returns the number of connections in the read queue.
    pub(super) fn read_queue_len(&self) -> u32 {
        u32::try_from(self.read_queue.len()).unwrap_or(u32::MAX)
    }

    /// Returns whether a connection is in the write queue.
    pub(super) fn has_queued_writes(&self) -> bool {
        !self.write_queue.is_empty()
    }

    /// Reads one chunk of the connection that has waited longest; returns `false` if none waits.
    pub(super) fn read_next(&mut self, now: Instant, hub: &mut Hub) -> bool {
        let Some(id) = self.read_queue.pop_front() else { return false };
        let Some(stream) = self.by_id.get_mut(&id) else { return true };
        if !hub.wants_read(id) {
            stream.read_state = ReadState::Paused;
            return true;
        }
        stream.read_state = ReadState::Idle;
        match stream.tcp.read(&mut self.read_buffer) {
            Ok(0) => hub.handle_input(now, Input::End(id)),
            Ok(length) => {
                self.on_readable(id);
                hub.handle_input(now, Input::Bytes(id, &self.read_buffer[..length]));
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => {}
                io::ErrorKind::Interrupted => self.on_readable(id),
                _ => hub.handle_input(now, Input::End(id)),
            },
        }
        true
    }

    /// Writes a part of a connection's data; the rest is queued.
    pub(super) fn write(&mut self, now: Instant, hub: &mut Hub, id: ConnectionId) {
        if let Some(stream) = self.by_id.get_mut(&id)
            && stream.write_state == WriteState::Writable
        {
            let left = stream.write_once(now, hub, id);
            stream.report_buffered_amount(hub);
            if left {
                stream.write_state = WriteState::Queued;
                self.write_queue.push_back(id);
            }
        }
    }

    /// Writes a part of the connection that has waited longest; returns `false` if none waits.
    pub(super) fn write_next(&mut self, now: Instant, hub: &mut Hub) -> bool {
        let Some(id) = self.write_queue.pop_front() else { return false };
        if let Some(stream) = self.by_id.get_mut(&id) {
            stream.write_state = WriteState::Writable;
            self.write(now, hub, id);
        }
        true
    }
}

impl<T: Write> TcpConnection<T> {
    /// Writes once; returns whether the system may take more of the rest.
    fn write_once(&mut self, now: Instant, hub: &mut Hub, id: ConnectionId) -> bool {
        if hub.outgoing(id).is_empty() {
            return false;
        }
        let mut slices = [IoSlice::new(&[]); MAX_WRITE_SLICES];
        let count = hub.outgoing_vectored(id, &mut slices);
        let written = match &slices[..count] {
            [one] => self.tcp.write(one), // a vectored write costs more
            many => self.tcp.write_vectored(many),
        };
        match written {
            Ok(length @ 1..) => hub.advance(now, id, length),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.write_state = WriteState::Blocked;
            }
            Ok(0) | Err(_) => {
                self.write_state = WriteState::Blocked;
                hub.handle_input(now, Input::End(id));
            }
        }
        self.write_state == WriteState::Writable && !hub.outgoing(id).is_empty()
    }

    fn report_buffered_amount(&self, hub: &Hub) {
        if let Some((peer, entry)) = &self.peer {
            entry.send_queue.set_buffered_amount(hub.buffered_amount(*peer));
        }
    }
}

/// Delay before accepting is retried after an error, for example for lack of file descriptors
/// (EMFILE).
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Interval of warnings about that.
const ACCEPT_WARN_INTERVAL: Duration = Duration::from_secs(1);

/// TCP listener with backoff after accept errors.
#[derive(Debug)]
pub(super) struct Listener {
    tcp: TcpListener,
    readiness: Readiness,
    /// Time of the last warning about accept errors.
    last_warning: Option<Instant>,
}

/// Result of accepting.
#[derive(Debug)]
pub(super) enum AcceptOutcome {
    /// A connection from this address.
    Connection(TcpStream, SocketAddr),
    /// No connection is pending, or it has gone already.
    None,
    /// A connection may be pending, but the system returned an error.
    Failed,
}

impl Listener {
    pub(super) fn new(tcp: TcpListener) -> Listener {
        Listener { tcp, readiness: Readiness::Ready, last_warning: None }
    }

    /// Records that mio reported it readable.
    pub(super) fn on_readable(&mut self) {
        self.readiness = Readiness::Ready;
    }

    /// Returns when a connection may be pending.
    pub(super) fn next_timeout(&self, now: Instant) -> Option<Instant> {
        self.readiness.next_timeout(now)
    }

    /// Returns whether a connection may be pending.
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        self.readiness.is_ready(now)
    }

    /// Accepts the next connection, if there is one.
    pub(super) fn accept(&mut self, now: Instant) -> AcceptOutcome {
        self.readiness = Readiness::Ready;
        match self.tcp.accept() {
            Ok((tcp, remote)) => {
                AcceptOutcome::Connection(tcp, (remote.ip().to_canonical(), remote.port()).into())
            }
            Err(error) => self.on_accept_error(now, &error),
        }
    }

    fn on_accept_error(&mut self, now: Instant, error: &io::Error) -> AcceptOutcome {
        match error.kind() {
            io::ErrorKind::WouldBlock => self.readiness = Readiness::NotReady,
            io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
            _ => {
                self.readiness = Readiness::RetryAt(now + ACCEPT_RETRY_DELAY);
                if self.last_warning.is_none_or(|told| now >= told + ACCEPT_WARN_INTERVAL) {
                    log::warn!("no connection can be accepted for now: {error}");
                    self.last_warning = Some(now);
                }
                return AcceptOutcome::Failed;
            }
        }
        AcceptOutcome::None
    }

    /// Retries at once, because resources were freed.
    pub(super) fn retry_now(&mut self) {
        self.readiness = Readiness::Ready;
    }
}

#[cfg(test)]
mod listener_tests {
    use super::*;

    fn listening() -> Listener {
        Listener::new(TcpListener::bind(([127, 0, 0, 1], 0).into()).expect("a free port"))
    }

    #[test]
    fn t70_who_has_nobody_waits_to_be_told() {
        let (mut listening, now) = (listening(), Instant::now());
        assert!(listening.is_ready(now), "mio says nothing of who was there before");
        assert!(matches!(listening.accept(now), AcceptOutcome::None));
        assert!(!listening.is_ready(now + 10 * ACCEPT_RETRY_DELAY));
        assert_eq!(listening.next_timeout(now), None);
        listening.on_readable();
        assert!(listening.is_ready(now));
        assert_eq!(listening.next_timeout(now), Some(now));
    }

    #[test]
    fn t20_what_the_system_refuses_is_tried_again_soon_and_not_at_once() {
        let (mut listening, now) = (listening(), Instant::now());
        for kind in [io::ErrorKind::Interrupted, io::ErrorKind::ConnectionAborted] {
            assert!(matches!(listening.on_accept_error(now, &kind.into()), AcceptOutcome::None));
            assert_eq!(listening.next_timeout(now), Some(now), "there may be another");
        }
        let refused = listening.on_accept_error(now, &io::Error::other("no descriptors"));
        assert!(matches!(refused, AcceptOutcome::Failed));
        assert!(!listening.is_ready(now));
        assert_eq!(listening.next_timeout(now), Some(now + ACCEPT_RETRY_DELAY));
        assert!(listening.is_ready(now + ACCEPT_RETRY_DELAY));
        listening.retry_now();
        assert!(listening.is_ready(now));
    }
}
