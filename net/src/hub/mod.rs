//! The whole server as one machine without IO: connections in, events out.
//!
//! [`Server`](crate::Server) drives it with sockets; a simulation, or an event loop of your
//! own, can drive it just as well. The same door as everywhere: [`Hub::handle_input`], methods
//! that take `now`, and after each of them [`Hub::poll_output`] until [`Output::Timeout`].
//! This module may change in any version.

mod asked;
mod census;
mod connection;
mod core;
mod diagnosis;
mod ending;
mod form;
mod forwarded;
mod lines;
mod origins;
mod reach;
mod setup;
mod sizes;
mod words;

use std::collections::HashMap;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use net_rtc::{Deadlines, Dropped, Gauge, SendOptions};

use self::census::{GivesWay, Place};
use self::connection::Connection;
use self::core::Core;
use self::diagnosis::Came;
use self::ending::{Full, Scope};
use self::forwarded::Client;
use crate::{CloseReason, Config, Delivery, PeerId, PeerInfo, Refusal, Verdict};

pub use self::asked::Question;
pub use self::sizes::Sizes;
pub use crate::accept::NoVerdict;
pub use net_rtc::Transmit;

/// Names a TCP connection; unlike a [`PeerId`] it has one from its first byte on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// What happened outside.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Bytes were read from a connection.
    Bytes(ConnectionId, &'a [u8]),
    /// A connection ended, or reading or writing failed.
    End(ConnectionId),
    /// A datagram was received.
    Datagram {
        /// Who sent it.
        source: SocketAddr,
        /// The bound address at which it arrived.
        destination: SocketAddr,
        /// Its payload.
        contents: &'a [u8],
    },
    /// The application's answer to [`Output::Ask`] about this connection; nothing happens if it
    /// is gone.
    Verdict(ConnectionId, &'a Result<Verdict, NoVerdict>),
    /// The time of the last [`Output::Timeout`] has come.
    Timeout,
}

/// What is to be done, or to be told.
#[derive(Debug)]
pub enum Output {
    /// A connection became a peer.
    Open {
        /// The connection.
        connection: ConnectionId,
        /// Its name from now on.
        id: PeerId,
        /// What is known of it.
        info: PeerInfo,
    },
    /// A peer's message.
    Received {
        /// Who sent it.
        id: PeerId,
        /// How it came.
        delivery: Delivery,
        /// The message.
        message: Bytes,
    },
    /// A peer is no more.
    Closed {
        /// Which.
        id: PeerId,
        /// Why.
        reason: CloseReason,
    },
    /// Ask [`Config::accept`], which is there: [`Input::Verdict`] is the answer. Without one the
    /// connection ends after [`Config::upgrade_timeout`].
    Ask(Question),
    /// A connection will not become a peer.
    Refused(Refusal),
    /// Send this datagram.
    Transmit(Transmit),
    /// [`Hub::outgoing`] has bytes for this connection.
    Write(ConnectionId),
    /// This connection is over: drop it.
    Drop(ConnectionId),
    /// Nothing more now; give [`Input::Timeout`] at this time, if there is one.
    Timeout(Option<Instant>),
}

/// See the [module's page](self).
#[derive(Debug)]
pub struct Hub {
    core: Core,
    connections: HashMap<ConnectionId, Connection>,
    next_connection: u64,
    deadlines: Deadlines<ConnectionId>,
    endpoint_wake: Option<Instant>,
    /// The time of the last call that knew it, for what follows from that call.
    now: Option<Instant>,
}

impl Hub {
    /// A server that receives datagrams at `local`, and tells browsers to send them to
    /// `announced`. `seed` makes it repeat itself, for tests only.
    pub fn new(
        config: Config,
        local: Vec<SocketAddr>,
        announced: Vec<SocketAddr>,
        seed: Option<u64>,
    ) -> Hub {
        Hub {
            core: Core::new(config, local, announced, seed),
            connections: HashMap::new(),
            next_connection: 0,
            deadlines: Deadlines::new(),
            endpoint_wake: None,
            now: None,
        }
    }

    /// Takes a new connection, for which an older one may have to give way; `None` if there are
    /// too many and none gives way.
    pub fn accept(&mut self, now: Instant, remote: SocketAddr) -> Option<ConnectionId> {
        self.now = Some(now);
        let place = (!self.core.is_proxy(remote)).then(|| Place::of(Client::Direct(remote)));
        if let Err(full) = self.make_room(place) {
            self.core.refuse(now, remote, Duration::ZERO, Came::Connected, &full.into());
            return None;
        }
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        let connection = Connection::new(now, id, remote, place, &mut self.core);
        self.connections.insert(id, connection);
        self.with(id, |connection, core| connection.handle_timeout(now, core));
        Some(id)
    }

    /// Feeds what happened.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        self.now = Some(now);
        match input {
            Input::Bytes(id, bytes) => {
                self.with(id, |connection, core| connection.handle_bytes(now, bytes, core));
            }
            Input::End(id) => self.with(id, |connection, core| connection.handle_end(now, core)),
            Input::Timeout => self.handle_timeout(now),
            Input::Verdict(id, verdict) => {
                self.with(id, |connection, core| connection.on_verdict(now, verdict, core));
            }
            Input::Datagram { source, destination, contents } => {
                let datagram = net_rtc::Input::Datagram { source, destination, contents };
                self.core.endpoint.handle_input(now, datagram);
            }
        }
    }

    /// Sends a message to a peer; unknown ids and messages over the limit are ignored. A peer
    /// whose websocket takes no more is closed as `SlowConsumer`.
    pub fn send(&mut self, now: Instant, id: PeerId, delivery: Delivery, message: Bytes) {
        self.now = Some(now);
        let Some(connection) = self.core.open.get(&id).copied() else { return };
        match delivery {
            Delivery::Reliable => self.with(connection, |connection, core| {
                connection.send(now, message, core);
            }),
            Delivery::Unreliable => {
                self.send_unreliable(now, id, message, SendOptions::default());
            }
        }
    }

    /// Sends an unreliable message as the options say; unknown ids and messages over the limit
    /// are ignored.
    pub fn send_unreliable(
        &mut self,
        now: Instant,
        id: PeerId,
        message: Bytes,
        options: SendOptions,
    ) {
        self.now = Some(now);
        if let Some(connection) = self.core.open.get(&id) {
            // The endpoint refuses only what is not open or too large: see the promise above.
            _ = self.core.endpoint.send_with(now, connection, message, options);
        }
    }

    /// Ends a peer, after the reliable messages that were sent before.
    pub fn close(&mut self, now: Instant, id: PeerId, reason: CloseReason) {
        self.now = Some(now);
        if let Some(connection) = self.core.open.get(&id).copied() {
            self.with(connection, |connection, core| connection.finish(now, reason, core));
        }
    }

    /// Ends every connection. The hub is empty once all have said goodbye, or given up.
    pub fn shutdown(&mut self, now: Instant) {
        self.now = Some(now);
        let mut all: Vec<_> = self.connections.keys().copied().collect();
        // Whoever came first goes first: a table's order changes from run to run.
        all.sort_unstable();
        for id in all {
            self.with(id, |connection, core| connection.finish(now, CloseReason::Shutdown, core));
        }
    }

    /// Bytes to write to a connection now.
    pub fn outgoing(&self, id: ConnectionId) -> &[u8] {
        self.connections.get(&id).map_or(&[], Connection::outgoing)
    }

    /// The same for a vectored write, which takes large messages in fewer turns: fills `slices`,
    /// and gives how many it has filled.
    pub fn outgoing_vectored<'a>(&'a self, id: ConnectionId, slices: &mut [IoSlice<'a>]) -> usize {
        self.connections.get(&id).map_or(0, |connection| connection.outgoing_vectored(slices))
    }

    /// The first `written` of a connection's unsent bytes are written.
    pub fn advance(&mut self, now: Instant, id: ConnectionId, written: usize) {
        self.now = Some(now);
        self.with(id, |connection, core| connection.advance(now, written, core));
    }

    /// Whether bytes of a connection may be read now. If not, the next chance is its `Open`.
    pub fn wants_read(&self, id: ConnectionId) -> bool {
        self.connections.get(&id).is_none_or(|connection| connection.wants_read(&self.core.config))
    }

    /// Bytes that a peer's websocket has still to write.
    pub fn unwritten(&self, id: PeerId) -> usize {
        let connection = self.core.open.get(&id).and_then(|id| self.connections.get(id));
        connection.map_or(0, Connection::unwritten)
    }

    /// The next thing to do or to tell.
    pub fn poll_output(&mut self) -> Output {
        loop {
            if let Some(output) = self.core.outputs.pop_front() {
                return output;
            }
            match self.core.endpoint.poll_output() {
                net_rtc::Output::Timeout(wake) => {
                    self.endpoint_wake = wake;
                    return Output::Timeout(self.next_wake());
                }
                net_rtc::Output::Transmit(transmit) => return Output::Transmit(transmit),
                net_rtc::Output::Event(id, event) => self.on_channel(id, event),
            }
        }
    }

    /// Whether there are no connections.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// How much is held now.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            connections: self.connections.len(),
            waiting: self.core.census.waiting(),
            peers: self.core.open.len(),
            addresses: self.core.census.addresses(),
            deadlines: self.deadlines.len(),
            outputs: self.core.outputs.len() + self.core.giving_way.len(),
            endpoint: self.core.endpoint.sizes(),
        }
    }

    /// Unreliable messages that were dropped before they were sent, to all peers.
    pub fn unreliable_dropped(&self) -> Dropped {
        self.core.endpoint.stats().dropped
    }

    /// Shows how the path to an open peer is, to any thread; `None` if nobody has this id.
    pub fn gauge(&self, id: PeerId) -> Option<Gauge> {
        self.core.endpoint.gauge(self.core.open.get(&id)?)
    }

    fn next_wake(&self) -> Option<Instant> {
        self.endpoint_wake.into_iter().chain(self.deadlines.next()).min()
    }

    fn handle_timeout(&mut self, now: Instant) {
        for id in self.deadlines.due(now) {
            self.with(id, |connection, core| connection.handle_timeout(now, core));
        }
        if self.endpoint_wake.is_some_and(|wake| wake <= now) {
            self.core.endpoint.handle_input(now, net_rtc::Input::Timeout);
        }
    }

    fn on_channel(&mut self, id: ConnectionId, event: net_rtc::Event) {
        let now = self.now.expect("nothing happens before the first call");
        self.with(id, |connection, core| connection.on_channel(now, event, core));
    }

    /// Makes room for a new connection. Those that are saying goodbye count on their own.
    fn make_room(&mut self, place: Option<Place>) -> Result<(), Full> {
        let not_open = self.connections.len() - self.core.open.len();
        if not_open >= self.core.config.half_open.saturating_mul(2) {
            return Err(Full::HalfOpen(Scope::All));
        }
        self.core.make_room(place)
    }

    /// The way to change a connection: who has to give way for it ends afterwards.
    fn with(&mut self, id: ConnectionId, change: impl FnOnce(&mut Connection, &mut Core)) {
        self.with_one(id, change);
        while let Some(GivesWay { id, scope }) = self.core.giving_way.pop() {
            let now = self.now.expect("nothing happens before the first call");
            self.with_one(id, |connection, core| {
                connection.finish(now, Full::GaveWay(scope), core);
            });
        }
    }

    /// Changes one: what it has to write, when it wants to be woken and whether it is over is
    /// looked at afterwards.
    fn with_one(&mut self, id: ConnectionId, change: impl FnOnce(&mut Connection, &mut Core)) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let before = connection.wake();
        change(connection, &mut self.core);
        let after = connection.wake();
        self.deadlines.replace(id, before, after);
        if !connection.outgoing().is_empty() {
            self.core.outputs.push_back(Output::Write(id));
        }
        if connection.is_over() {
            self.deadlines.replace(id, after, None);
            self.connections.remove(&id);
            self.core.outputs.push_back(Output::Drop(id));
        }
    }
}
