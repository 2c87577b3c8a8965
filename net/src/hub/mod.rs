//! The whole server as one machine without IO: connections in, events out.
//!
//! [`Server`](crate::Server) drives it with sockets; a simulation, or an event loop of your
//! own, can drive it just as well. The same door as everywhere: [`Hub::handle_input`], methods
//! that take `now`, and after each of them [`Hub::poll_output`] until [`Output::Timeout`].
//! This module may change in any version.

mod client_addr;
mod close_cause;
mod connection;
mod context;
mod diagnostics;
mod handshake;
mod isolation;
mod limits;
mod origin;
mod reachability;

use std::collections::HashMap;
use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
pub use net_rtc::Transmit;
use net_rtc::{DropStats, PathMonitor, SendOptions, TimerQueue};

pub use crate::admission::NoVerdict;
use crate::hub::client_addr::Client;
use crate::hub::close_cause::{Full, Scope};
use crate::hub::connection::Connection;
use crate::hub::context::Core;
use crate::hub::diagnostics::Came;
pub use crate::hub::handshake::Question;
use crate::hub::isolation::Absence;
use crate::hub::limits::Place;
use crate::{CloseReason, Config, Delivery, PeerId, PeerInfo, Refusal, Verdict};

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
    /// The application's answer to [`Output::Ask`] about this connection. If it is gone, the next
    /// one is asked about.
    Verdict(ConnectionId, &'a Result<Verdict, NoVerdict>),
    /// The time of the last [`Output::Timeout`] has come. Some of what is due is done, 32
    /// connections or so: if there is more, the next `Timeout` asks for the present.
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
    /// Ask [`Config::accept`], which is there: [`Input::Verdict`] is the answer, to be given also
    /// if the connection is gone by then. Without one the connection ends after
    /// [`Config::upgrade_timeout`]. No more than [`Config::accept_threads`] are to be answered at
    /// any time; the others wait for their turn.
    Ask(Question),
    /// A connection will not become a peer.
    Refused(Refusal),
    /// A connection from there asked for no websocket: a plain HTTP request, which was answered,
    /// or it ended before its first byte. It is neither a peer nor a refusal.
    Plain(SocketAddr),
    /// Send this datagram.
    Transmit(Transmit),
    /// [`Hub::outgoing`] has bytes for this connection.
    Write(ConnectionId),
    /// This connection is over: drop it.
    Drop(ConnectionId),
    /// Nothing more now; give [`Input::Timeout`] at this time, if there is one.
    Timeout(Option<Instant>),
}

/// Connections that are looked at in one call, where all are to be: so that no call takes long.
const BATCH: usize = 32;

/// See the [module's page](self). A panic in what is done for one connection, a fault of ours,
/// ends that connection, as [`CloseReason::PeerPanicked`], and no other.
#[derive(Debug)]
pub struct Hub {
    core: Core,
    connections: HashMap<ConnectionId, Connection>,
    next_connection: u64,
    deadlines: TimerQueue<ConnectionId>,
    endpoint_wake: Option<Instant>,
    /// The time of the last call that knew it, for what follows from that call.
    now: Option<Instant>,
    absence: Absence,
    /// Who is to be told that the server ends, and was not yet.
    leaving: Vec<ConnectionId>,
}

impl Hub {
    /// A server that receives datagrams at `local`, and tells browsers to send them to
    /// `announced`, most wanted first, as far as each can use these; empty, that is `local`. `seed` makes it repeat itself, for tests only.
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
            deadlines: TimerQueue::new(),
            endpoint_wake: None,
            now: None,
            absence: Absence::default(),
            leaving: Vec::new(),
        }
    }

    /// Takes a new connection, for which an older one may have to give way. If none does, the new
    /// one is refused, and told so once it has asked; `None` if even for that there are too many.
    #[must_use = "it names the connection from now on"]
    pub fn accept(&mut self, now: Instant, remote: SocketAddr) -> Option<ConnectionId> {
        self.accept_at(now, remote, None)
    }

    /// [`accept`](Hub::accept), with the address of this machine that the connection came in on:
    /// if datagrams are received there, too, the client is told so first.
    #[must_use = "it names the connection from now on"]
    pub fn accept_at(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        local: Option<IpAddr>,
    ) -> Option<ConnectionId> {
        self.arrive(now);
        if self.is_crowded() && !self.drop_lingering() {
            let full = Full::HalfOpen(Scope::All).into();
            self.core.refuse(now, remote, Duration::ZERO, Came::Connected, &full);
            return None;
        }
        let place = match self.core.is_proxy(remote) {
            true => Place::proxy(remote),
            false => Place::of(Client::Direct(remote)),
        };
        let room = self.core.make_room(now, place);
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        let connection = Connection::new(now, id, remote, place, &mut self.core).at(local);
        self.connections.insert(id, connection);
        self.with(id, |connection, core| match room {
            Ok(()) => connection.handle_timeout(now, core),
            Err(full) => connection.finish(now, full, core),
        });
        Some(id)
    }

    /// Frees what one connection holds, as for a new one: one that was refused is hung up on, or
    /// one on its way to open that is late with its next step. False if there is none.
    pub fn free_one(&mut self, now: Instant) -> bool {
        self.arrive(now);
        if self.core.lingering.is_empty() {
            self.core.end_late(now);
            self.end_others();
        }
        self.drop_lingering()
    }

    /// From now on datagrams are received at `local`, and browsers are told of `announced`, as in
    /// [`new`](Hub::new). Peers at an address that is gone end when they have been silent for long
    /// enough.
    pub fn set_addresses(&mut self, local: Vec<SocketAddr>, announced: Vec<SocketAddr>) {
        self.core.set_addresses(local, announced);
    }

    /// Feeds what happened.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        self.arrive(now);
        match input {
            Input::Bytes(id, bytes) => {
                self.with(id, |connection, core| connection.handle_bytes(now, bytes, core));
            }
            Input::End(id) => self.with(id, |connection, core| connection.handle_end(now, core)),
            Input::Timeout => self.handle_timeout(now),
            Input::Verdict(id, verdict) => {
                self.core.questions.answered(id);
                self.with(id, |connection, core| connection.on_verdict(now, verdict, core));
            }
            Input::Datagram { source, destination, contents } => {
                let datagram = net_rtc::Input::Datagram { source, destination, contents };
                self.guard(now, |core| core.endpoint.handle_input(now, datagram));
            }
        }
    }

    /// Sends a message to a peer; unknown ids and messages over the limit are ignored. A peer
    /// whose websocket takes no more is closed as `SlowConsumer`.
    pub fn send(&mut self, now: Instant, id: PeerId, delivery: Delivery, message: Bytes) {
        self.arrive(now);
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
        self.arrive(now);
        if let Some(connection) = self.core.open.get(&id) {
            // The endpoint refuses only what is not open or too large: see the promise above.
            _ = self.core.endpoint.send_with(now, connection, message, options);
        }
    }

    /// Ends a peer, after the reliable messages that were sent before.
    pub fn close(&mut self, now: Instant, id: PeerId, reason: CloseReason) {
        self.arrive(now);
        if let Some(connection) = self.core.open.get(&id).copied() {
            self.with(connection, |connection, core| connection.finish(now, reason, core));
        }
    }

    /// Ends every connection, some now and the others at the next timeouts. The hub is empty once
    /// all have said goodbye, or given up.
    pub fn shutdown(&mut self, now: Instant) {
        self.arrive(now);
        self.leaving = self.connections.keys().copied().collect();
        // Whoever came first goes first, from the end: a table's order changes from run to run.
        self.leaving.sort_unstable_by(|a, b| b.cmp(a));
        self.leave(now);
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
        self.arrive(now);
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
    #[must_use = "each output comes once"]
    pub fn poll_output(&mut self) -> Output {
        loop {
            if let Some(output) = self.core.outputs.pop_front() {
                return output;
            }
            match self.core.endpoint.poll_output() {
                net_rtc::Output::Timeout(wake) => {
                    self.endpoint_wake = wake;
                    let wake = self.next_wake();
                    self.absence.expect(wake.max(self.now.filter(|_| wake.is_some())));
                    return Output::Timeout(wake);
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
            outputs: self.core.outputs.len() + self.core.to_end.len() + self.core.lingering.len(),
            endpoint: self.core.endpoint.resource_usage(),
        }
    }

    /// Unreliable messages that were dropped before they were sent, to all peers.
    pub fn unreliable_dropped(&self) -> DropStats {
        self.core.endpoint.stats().dropped
    }

    /// Shows how the path to an open peer is, to any thread; `None` if nobody has this id.
    pub fn gauge(&self, id: PeerId) -> Option<PathMonitor> {
        self.core.endpoint.path_monitor(self.core.open.get(&id)?)
    }

    fn next_wake(&self) -> Option<Instant> {
        let leaving = self.now.filter(|_| !self.leaving.is_empty());
        [self.endpoint_wake, self.deadlines.next_deadline(), leaving].into_iter().flatten().min()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.leave(now);
        for id in self.deadlines.take_due(now, BATCH) {
            self.with(id, |connection, core| connection.handle_timeout(now, core));
        }
        if self.endpoint_wake.is_some_and(|wake| wake <= now) {
            self.core.endpoint.handle_input(now, net_rtc::Input::Timeout);
        }
    }

    /// Tells some of those that are to hear that the server ends.
    fn leave(&mut self, now: Instant) {
        let told = self.leaving.len().saturating_sub(BATCH);
        for id in self.leaving.split_off(told) {
            self.with(id, |connection, core| connection.finish(now, CloseReason::Shutdown, core));
        }
    }

    fn on_channel(&mut self, id: ConnectionId, event: net_rtc::Event) {
        let now = self.now.expect("nothing happens before the first call");
        self.with(id, |connection, core| connection.on_channel(now, event, core));
    }

    /// Whether there are as many connections as may be that are no peers. Those that are saying
    /// goodbye count on their own.
    fn is_crowded(&self) -> bool {
        let not_open = self.connections.len() - self.core.open.len();
        not_open >= self.core.config.half_open.saturating_mul(2)
    }

    /// Drops the connection that was refused first, whether it has heard of that or not, so that
    /// clients which do not hang up keep no other out. False if there is none.
    fn drop_lingering(&mut self) -> bool {
        let Some(first) = self.core.lingering.first().copied() else { return false };
        self.with(first, |connection, _| connection.drop_lingering());
        true
    }
}

/// How many entries the tables and queues of a [`Hub`](Hub) have. Once its connections
/// are gone and [`poll_output`](crate::hub::Hub::poll_output) has given everything, all are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// TCP connections.
    pub connections: usize,
    /// Those on their way to open.
    pub waiting: usize,
    /// Those that are open.
    pub peers: usize,
    /// Addresses of which there is a connection.
    pub addresses: usize,
    /// Connections that want to be woken.
    pub deadlines: usize,
    /// What waits to be polled.
    pub outputs: usize,
    /// The WebRTC side.
    pub endpoint: net_rtc::EndpointUsage,
}
