//! Sans-IO state machine of the whole server.
//!
//! [`Server`](crate::Server) drives it with sockets; a simulation, or another event loop, can drive
//! it as well. The interface is that of all the state machines: [`Hub::handle_input`], methods that
//! take `now`, and after each of them [`Hub::poll_output`] until [`Output::Timeout`]. This module
//! may change in any version.

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

/// Id of a TCP connection; unlike a [`PeerId`] it exists from its first byte on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// Input event.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Bytes were read from a connection.
    Bytes(ConnectionId, &'a [u8]),
    /// A connection ended, or reading or writing failed.
    End(ConnectionId),
    /// A datagram was received.
    Datagram {
        /// The sender's address.
        source: SocketAddr,
        /// The bound address at which it arrived.
        destination: SocketAddr,
        /// Its payload.
        contents: &'a [u8],
    },
    /// The decision on [`Output::AcceptRequest`] for this connection. If the connection is gone,
    /// the next request follows.
    Decision(ConnectionId, &'a Result<Decision, HookError>),
    /// The time of the last [`Output::Timeout`] has come. One call handles about 32 connections: if
    /// more are due, the next `Timeout` asks for the present.
    Timeout,
}

/// Output: an action for the driver, or an event.
#[derive(Debug)]
pub enum Output {
    /// A connection became a peer.
    Open {
        /// The connection.
        connection: ConnectionId,
        /// Its peer id.
        id: PeerId,
        /// Its peer information.
        info: PeerInfo,
    },
    /// A message from a peer.
    Received {
        /// The sender.
        id: PeerId,
        /// The path on which it arrived.
        delivery: Delivery,
        /// The message.
        message: Bytes,
    },
    /// A peer closed.
    Closed {
        /// The peer.
        id: PeerId,
        /// The reason.
        reason: CloseReason,
    },
    /// Run [`Config::accept`], which is set: [`Input::Decision`] is the response, required even if
    /// the connection is gone by then. Without a decision the connection ends after
    /// [`Config::upgrade_timeout`]. At most [`Config::accept_threads`] requests are outstanding at
    /// any time; the others are queued.
    AcceptRequest(AcceptRequest),
    /// A connection failed to become a peer.
    ConnectFailed(ConnectFailure),
    /// A connection from there sent no websocket request: a plain HTTP request, which was answered,
    /// or nothing at all before it ended. It is neither a peer nor a connect failure.
    PlainHttp(SocketAddr),
    /// Send this datagram.
    Transmit(Transmit),
    /// [`Hub::outgoing`] has bytes for this connection.
    Write(ConnectionId),
    /// This connection is over: drop it.
    Drop(ConnectionId),
    /// No more output now; give [`Input::Timeout`] at this time, if there is one.
    Timeout(Option<Instant>),
}

/// Maximum number of connections handled in one call, where all are due, so that no call takes
/// long.
const MAX_CONNECTIONS_PER_CALL: usize = 32;

/// All connections of a server as one sans-IO state machine; the driver does its IO. A panic while handling one connection, a
/// bug of the library, closes that connection as [`CloseReason::PeerPanicked`], and no other.
#[derive(Debug)]
pub struct Hub {
    context: Context,
    connections: HashMap<ConnectionId, Connection>,
    next_connection: u64,
    timers: TimerQueue<ConnectionId>,
    endpoint_timeout: Option<Instant>,
    /// The time of the last call with `now`, for actions that follow from it.
    last_call: Option<Instant>,
    suspend_detector: SuspendDetector,
    /// Connections that must still be closed for the shutdown.
    shutdown_pending: Vec<ConnectionId>,
}

impl Hub {
    /// Creates a server that receives datagrams at `local`, and advertises `announced` to browsers,
    /// in order of preference, as far as each can use them; if empty, `local`. `seed` makes it
    /// deterministic, for tests only.
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

    /// Accepts a new connection, evicting an older one if necessary. If none can be evicted, the
    /// new one is refused, and gets a response to its request; `None` if there are too many even
    /// for that.
    #[must_use = "it names the connection from now on"]
    pub fn accept(&mut self, now: Instant, remote: SocketAddr) -> Option<ConnectionId> {
        self.accept_at(now, remote, None)
    }

    /// [`accept`](Hub::accept), with the address of this machine on which the connection arrived:
    /// if datagrams are received there, too, it is the first candidate.
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

    /// Frees the resources of one connection, as for a new one: drops a refused connection, or
    /// evicts a stalled pending one. Returns `false` if there is none.
    pub fn evict_one(&mut self, now: Instant) -> bool {
        self.advance_clock(now);
        if self.context.lingering.is_empty() {
            self.context.evict_stalled(now);
            self.process_pending();
        }
        self.drop_oldest_lingering()
    }

    /// Replaces the receiving addresses with `local`, and the advertised ones with `announced`, as
    /// in [`new`](Hub::new). Peers at a removed address end by their idle timeout.
    pub fn set_addresses(&mut self, local: Vec<SocketAddr>, announced: Vec<SocketAddr>) {
        self.context.set_addresses(local, announced);
    }

    /// Handles an input event.
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

    /// Sends a message to a peer; unknown ids and messages over the limit are ignored. A peer whose
    /// websocket has no room is closed as `SlowConsumer`.
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

    /// Sends an unreliable message with options; unknown ids and messages over the limit are
    /// ignored.
    pub fn send_unreliable(
        &mut self,
        now: Instant,
        id: PeerId,
        message: Bytes,
        options: SendOptions,
    ) {
        self.advance_clock(now);
        if let Some(connection) = self.context.peers.get(&id) {
            // The endpoint rejects only peers that are not open and messages that are too large,
            // which are ignored as documented.
            _ = self.context.endpoint.send_with(now, connection, message, options);
        }
    }

    /// Closes a peer, after the reliable messages sent before.
    pub fn close(&mut self, now: Instant, id: PeerId, reason: CloseReason) {
        self.advance_clock(now);
        if let Some(connection) = self.context.peers.get(&id).copied() {
            self.with_connection(connection, |connection, core| {
                connection.close(now, reason, core)
            });
        }
    }

    /// Closes every connection, some now and the others at the next timeouts. The hub is empty once
    /// all closing handshakes are complete or have timed out.
    pub fn shutdown(&mut self, now: Instant) {
        self.advance_clock(now);
        self.shutdown_pending = self.connections.keys().copied().collect();
        // Oldest first, from the end: the order of a hash table varies from run to run.
        self.shutdown_pending.sort_unstable_by(|a, b| b.cmp(a));
        self.shutdown_batch(now);
    }

    /// Returns the bytes to write to a connection now.
    pub fn outgoing(&self, id: ConnectionId) -> &[u8] {
        self.connections.get(&id).map_or(&[], Connection::outgoing)
    }

    /// Fills `slices` for a vectored write, which takes large messages in fewer iterations; returns
    /// how many it has filled.
    pub fn outgoing_vectored<'a>(&'a self, id: ConnectionId, slices: &mut [IoSlice<'a>]) -> usize {
        self.connections.get(&id).map_or(0, |connection| connection.outgoing_vectored(slices))
    }

    /// Removes the first `written` unsent bytes of a connection.
    pub fn advance(&mut self, now: Instant, id: ConnectionId, written: usize) {
        self.advance_clock(now);
        self.with_connection(id, |connection, core| connection.advance(now, written, core));
    }

    /// Returns whether bytes of a connection may be read now. If not, they may be after its `Open`.
    pub fn wants_read(&self, id: ConnectionId) -> bool {
        self.connections
            .get(&id)
            .is_none_or(|connection| connection.wants_read(&self.context.config))
    }

    /// Returns the bytes that a peer's websocket has not written yet.
    pub fn buffered_amount(&self, id: PeerId) -> usize {
        let connection = self.context.peers.get(&id).and_then(|id| self.connections.get(id));
        connection.map_or(0, Connection::buffered_amount)
    }

    /// Returns the next output.
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

    /// Returns whether there are no connections.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Returns the current sizes of tables and queues.
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

    /// Returns the unreliable messages dropped before they were sent, over all peers.
    pub fn unreliable_dropped(&self) -> DropStats {
        self.context.endpoint.stats().dropped
    }

    /// Returns a monitor of the path to an open peer, usable on any thread; `None` for an unknown
    /// id.
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

    /// Closes a batch of the connections that must still be closed for the shutdown.
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

    /// Returns whether the number of connections that are no peers is at its limit. Those in the
    /// closing handshake count separately.
    fn is_over_capacity(&self) -> bool {
        let not_open = self.connections.len() - self.context.peers.len();
        not_open >= self.context.config.max_handshakes.saturating_mul(2)
    }

    /// Drops the oldest refused connection, whether it has received its refusal or not, so that
    /// clients that do not disconnect keep no others out. Returns `false` if there is none.
    fn drop_oldest_lingering(&mut self) -> bool {
        let Some(first) = self.context.lingering.first().copied() else { return false };
        self.with_connection(first, |connection, _| connection.abort());
        true
    }
}

/// Entries in the tables and queues of a [`Hub`]. Once its connections are gone and
/// [`poll_output`](crate::hub::Hub::poll_output) has returned everything, all are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceUsage {
    /// TCP connections.
    pub connections: usize,
    /// Pending connections.
    pub handshakes: usize,
    /// Open peers.
    pub peers: usize,
    /// Addresses with connections.
    pub client_ips: usize,
    /// Connections with a timer.
    pub timers: usize,
    /// Outputs not polled yet.
    pub queued_outputs: usize,
    /// Usage of the WebRTC endpoint.
    pub endpoint: net_rtc::EndpointUsage,
}
