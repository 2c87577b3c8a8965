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

pub use crate::admission::HookError;
use crate::hub::client_addr::ClientAddr;
use crate::hub::close_cause::{LimitHit, LimitScope};
use crate::hub::connection::Connection;
use crate::hub::context::Context;
use crate::hub::diagnostics::ConnectProgress;
pub use crate::hub::handshake::AcceptRequest;
use crate::hub::isolation::SuspendDetector;
use crate::hub::limits::ClientKey;
use crate::{CloseReason, Config, ConnectFailure, Decision, Delivery, PeerId, PeerInfo};

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
    /// The application's answer to [`Output::AcceptRequest`] about this connection. If it is gone, the next
    /// one is asked about.
    Decision(ConnectionId, &'a Result<Decision, HookError>),
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
    /// Ask [`Config::accept`], which is there: [`Input::Decision`] is the answer, to be given also
    /// if the connection is gone by then. Without one the connection ends after
    /// [`Config::upgrade_timeout`]. No more than [`Config::accept_threads`] are to be answered at
    /// any time; the others wait for their turn.
    AcceptRequest(AcceptRequest),
    /// A connection will not become a peer.
    ConnectFailed(ConnectFailure),
    /// A connection from there asked for no websocket: a plain HTTP request, which was answered,
    /// or it ended before its first byte. It is neither a peer nor a refusal.
    PlainHttp(SocketAddr),
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
const MAX_CONNECTIONS_PER_CALL: usize = 32;

/// See the [module's page](self). A panic in what is done for one connection, a fault of ours,
/// ends that connection, as [`CloseReason::PeerPanicked`], and no other.
#[derive(Debug)]
pub struct Hub {
    context: Context,
    connections: HashMap<ConnectionId, Connection>,
    next_connection: u64,
    timers: TimerQueue<ConnectionId>,
    endpoint_timeout: Option<Instant>,
    /// The time of the last call that knew it, for what follows from that call.
    last_call: Option<Instant>,
    suspend_detector: SuspendDetector,
    /// Who is to be told that the server ends, and was not yet.
    shutdown_pending: Vec<ConnectionId>,
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
            context: Context::new(config, local, announced, seed),
            connections: HashMap::new(),
            next_connection: 0,
            timers: TimerQueue::new(),
            endpoint_timeout: None,
            last_call: None,
            suspend_detector: SuspendDetector::default(),
            shutdown_pending: Vec::new(),
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
        self.advance_clock(now);
        if self.is_over_capacity() && !self.drop_oldest_lingering() {
            let full = LimitHit::Handshakes(LimitScope::All).into();
            self.context.report_failure(
                now,
                remote,
                Duration::ZERO,
                ConnectProgress::Connected,
                &full,
            );
            return None;
        }
        let place = match self.context.is_trusted_proxy(remote) {
            true => ClientKey::from_proxy(remote),
            false => ClientKey::from_client(ClientAddr::Direct(remote)),
        };
        let room = self.context.reserve_handshake(now, place);
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        let connection =
            Connection::new(now, id, remote, place, &mut self.context).with_local_ip(local);
        self.connections.insert(id, connection);
        self.with_connection(id, |connection, core| match room {
            Ok(()) => connection.handle_timeout(now, core),
            Err(full) => connection.close(now, full, core),
        });
        Some(id)
    }

    /// Frees what one connection holds, as for a new one: one that was refused is hung up on, or
    /// one on its way to open that is late with its next step. False if there is none.
    pub fn evict_one(&mut self, now: Instant) -> bool {
        self.advance_clock(now);
        if self.context.lingering.is_empty() {
            self.context.evict_stalled(now);
            self.process_pending();
        }
        self.drop_oldest_lingering()
    }

    /// From now on datagrams are received at `local`, and browsers are told of `announced`, as in
    /// [`new`](Hub::new). Peers at an address that is gone end when they have been silent for long
    /// enough.
    pub fn set_addresses(&mut self, local: Vec<SocketAddr>, announced: Vec<SocketAddr>) {
        self.context.set_addresses(local, announced);
    }

    /// Feeds what happened.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        self.advance_clock(now);
        match input {
            Input::Bytes(id, bytes) => {
                self.with_connection(id, |connection, core| {
                    connection.handle_bytes(now, bytes, core)
                });
            }
            Input::End(id) => {
                self.with_connection(id, |connection, core| connection.handle_end(now, core))
            }
            Input::Timeout => self.handle_timeout(now),
            Input::Decision(id, verdict) => {
                self.context.accept_queue.on_decision(id);
                self.with_connection(id, |connection, core| {
                    connection.on_decision(now, verdict, core)
                });
            }
            Input::Datagram { source, destination, contents } => {
                let datagram = net_rtc::Input::Datagram { source, destination, contents };
                self.catch_panic(now, |core| core.endpoint.handle_input(now, datagram));
            }
        }
    }

    /// Sends a message to a peer; unknown ids and messages over the limit are ignored. A peer
    /// whose websocket takes no more is closed as `SlowConsumer`.
    pub fn send(&mut self, now: Instant, id: PeerId, delivery: Delivery, message: Bytes) {
        self.advance_clock(now);
        let Some(connection) = self.context.peers.get(&id).copied() else { return };
        match delivery {
            Delivery::Reliable => self.with_connection(connection, |connection, core| {
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
        self.advance_clock(now);
        if let Some(connection) = self.context.peers.get(&id) {
            // The endpoint refuses only what is not open or too large: see the promise above.
            _ = self.context.endpoint.send_with(now, connection, message, options);
        }
    }

    /// Ends a peer, after the reliable messages that were sent before.
    pub fn close(&mut self, now: Instant, id: PeerId, reason: CloseReason) {
        self.advance_clock(now);
        if let Some(connection) = self.context.peers.get(&id).copied() {
            self.with_connection(connection, |connection, core| {
                connection.close(now, reason, core)
            });
        }
    }

    /// Ends every connection, some now and the others at the next timeouts. The hub is empty once
    /// all have said goodbye, or given up.
    pub fn shutdown(&mut self, now: Instant) {
        self.advance_clock(now);
        self.shutdown_pending = self.connections.keys().copied().collect();
        // Whoever came first goes first, from the end: a table's order changes from run to run.
        self.shutdown_pending.sort_unstable_by(|a, b| b.cmp(a));
        self.shutdown_batch(now);
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
        self.advance_clock(now);
        self.with_connection(id, |connection, core| connection.advance(now, written, core));
    }

    /// Whether bytes of a connection may be read now. If not, the next chance is its `Open`.
    pub fn wants_read(&self, id: ConnectionId) -> bool {
        self.connections
            .get(&id)
            .is_none_or(|connection| connection.wants_read(&self.context.config))
    }

    /// Bytes that a peer's websocket has still to write.
    pub fn buffered_amount(&self, id: PeerId) -> usize {
        let connection = self.context.peers.get(&id).and_then(|id| self.connections.get(id));
        connection.map_or(0, Connection::buffered_amount)
    }

    /// The next thing to do or to tell.
    #[must_use = "each output comes once"]
    pub fn poll_output(&mut self) -> Output {
        loop {
            if let Some(output) = self.context.outputs.pop_front() {
                return output;
            }
            match self.context.endpoint.poll_output() {
                net_rtc::Output::Timeout(wake) => {
                    self.endpoint_timeout = wake;
                    let wake = self.next_timeout();
                    self.suspend_detector
                        .expect_call(wake.max(self.last_call.filter(|_| wake.is_some())));
                    return Output::Timeout(wake);
                }
                net_rtc::Output::Transmit(transmit) => return Output::Transmit(transmit),
                net_rtc::Output::Event(id, event) => self.on_rtc_event(id, event),
            }
        }
    }

    /// Whether there are no connections.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// How much is held now.
    pub fn resource_usage(&self) -> ResourceUsage {
        ResourceUsage {
            connections: self.connections.len(),
            handshakes: self.context.conn_limits.handshake_count(),
            peers: self.context.peers.len(),
            client_ips: self.context.conn_limits.client_count(),
            timers: self.timers.len(),
            queued_outputs: self.context.outputs.len()
                + self.context.pending_closes.len()
                + self.context.lingering.len(),
            endpoint: self.context.endpoint.resource_usage(),
        }
    }

    /// Unreliable messages that were dropped before they were sent, to all peers.
    pub fn unreliable_dropped(&self) -> DropStats {
        self.context.endpoint.stats().dropped
    }

    /// Shows how the path to an open peer is, to any thread; `None` if nobody has this id.
    pub fn path_monitor(&self, id: PeerId) -> Option<PathMonitor> {
        self.context.endpoint.path_monitor(self.context.peers.get(&id)?)
    }

    fn next_timeout(&self) -> Option<Instant> {
        let leaving = self.last_call.filter(|_| !self.shutdown_pending.is_empty());
        [self.endpoint_timeout, self.timers.next_deadline(), leaving].into_iter().flatten().min()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.shutdown_batch(now);
        for id in self.timers.take_due(now, MAX_CONNECTIONS_PER_CALL) {
            self.with_connection(id, |connection, core| connection.handle_timeout(now, core));
        }
        if self.endpoint_timeout.is_some_and(|wake| wake <= now) {
            self.context.endpoint.handle_input(now, net_rtc::Input::Timeout);
        }
    }

    /// Tells some of those that are to hear that the server ends.
    fn shutdown_batch(&mut self, now: Instant) {
        let told = self.shutdown_pending.len().saturating_sub(MAX_CONNECTIONS_PER_CALL);
        for id in self.shutdown_pending.split_off(told) {
            self.with_connection(id, |connection, core| {
                connection.close(now, CloseReason::Shutdown, core)
            });
        }
    }

    fn on_rtc_event(&mut self, id: ConnectionId, event: net_rtc::Event) {
        let now = self.last_call.expect("nothing happens before the first call");
        self.with_connection(id, |connection, core| connection.on_rtc_event(now, event, core));
    }

    /// Whether there are as many connections as may be that are no peers. Those that are saying
    /// goodbye count on their own.
    fn is_over_capacity(&self) -> bool {
        let not_open = self.connections.len() - self.context.peers.len();
        not_open >= self.context.config.max_handshakes.saturating_mul(2)
    }

    /// Drops the connection that was refused first, whether it has heard of that or not, so that
    /// clients which do not hang up keep no other out. False if there is none.
    fn drop_oldest_lingering(&mut self) -> bool {
        let Some(first) = self.context.lingering.first().copied() else { return false };
        self.with_connection(first, |connection, _| connection.abort());
        true
    }
}

/// How many entries the tables and queues of a [`Hub`](Hub) have. Once its connections
/// are gone and [`poll_output`](crate::hub::Hub::poll_output) has given everything, all are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceUsage {
    /// TCP connections.
    pub connections: usize,
    /// Those on their way to open.
    pub handshakes: usize,
    /// Those that are open.
    pub peers: usize,
    /// Addresses of which there is a connection.
    pub client_ips: usize,
    /// Connections that want to be woken.
    pub timers: usize,
    /// What waits to be polled.
    pub queued_outputs: usize,
    /// The WebRTC side.
    pub endpoint: net_rtc::EndpointUsage,
}
