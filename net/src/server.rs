//! Server handle and event queue of the application.

use std::fmt::Debug;
use std::mem;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::event::SendMode;
use crate::queues::Shared;
use crate::queues::event_queue::Popped;
use crate::queues::sync::Mutex;
use crate::{
    BindError, CloseReason, Config, ConnectFailures, Delivery, Event, PeerId, PeerInfo, SendError,
    SendOptions, Stats, driver,
};

/// Handle of a running server. It can be cloned freely and used from any thread; no call blocks,
/// and none panics on anything a peer did.
///
/// When the last clone is dropped the server closes every peer and ends: its thread and port are
/// free within 2 s, and the [`EventQueue`] still returns the queued events, then `Closed` for each
/// peer, then [`is_finished`](EventQueue::is_finished).
#[derive(Clone, Debug)]
#[must_use = "once the last Server is dropped, the server ends"]
pub struct Server {
    handle: Arc<ServerHandle>,
}

/// State behind all clones of a [`Server`]; its drop stops the server.
#[derive(Debug)]
struct ServerHandle {
    shared: Arc<Shared>,
    local_addr: SocketAddr,
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.shared.request_stop();
    }
}

#[cfg(any(feature = "odd", all(test, feature = "models")))]
impl Server {
    /// Creates a handle on a server without an event loop of its own.
    pub(crate) fn without_loop(shared: Arc<Shared>, local: SocketAddr) -> Server {
        shared.set_announced_addrs(vec![local]);
        Server { handle: Arc::new(ServerHandle { shared, local_addr: local }) }
    }
}

impl Server {
    /// Starts a server with the defaults: websockets on this TCP port, WebRTC on the UDP port
    /// of the same number. Port 0 takes any free number: see [`local_addr`](Server::local_addr).
    ///
    /// # Panics
    /// If the address cannot be bound; the message names it and the cause. [`Server::bind`]
    /// gives an error instead.
    #[track_caller]
    pub fn new(addr: impl ToSocketAddrs + Debug) -> (Server, EventQueue) {
        // Not a closure: the panic must name the caller's line.
        match Server::bind(addr, Config::default()) {
            Ok(started) => started,
            Err(error) => panic!("{error}"),
        }
    }

    /// Starts a server with these settings.
    ///
    /// # Errors
    /// If the address does not resolve, or cannot be bound. With a wildcard address, an address of
    /// this machine whose UDP port cannot be bound is skipped and logged, and bound within seconds
    /// of becoming available; it is an error only if no other is left.
    pub fn bind(
        addr: impl ToSocketAddrs + Debug,
        config: Config,
    ) -> Result<(Server, EventQueue), BindError> {
        let unresolved = |cause| BindError::Address { address: format!("{addr:?}"), cause };
        let candidates: Vec<_> = addr.to_socket_addrs().map_err(unresolved)?.collect();
        let started = driver::start(&candidates, config)?;
        let queue = EventQueue::new(started.shared.clone());
        let handle = ServerHandle { shared: started.shared, local_addr: started.local_addr };
        Ok((Server { handle: Arc::new(handle) }, queue))
    }

    /// Sends over the websocket: complete, once, in order. An unknown id is ignored.
    ///
    /// Messages are queued for as long as the peer takes them. A peer slower than
    /// [`Config::min_reliable_bitrate`] for [`Config::reliable_send_timeout`] is closed as
    /// `SlowConsumer`, and so is one with more than [`Config::reliable_send_buffer`] queued.
    /// Messages over [`Config::max_message_size`] are not sent. Messages that are not sent are
    /// counted in [`stats`](Server::stats); [`try_send`](Server::try_send) returns the error.
    pub fn send_reliable(&self, id: impl Into<PeerId>, message: impl Into<Bytes>) {
        self.handle.shared.send_or_close(SendMode::Reliable, id.into(), message.into());
    }

    /// Sends over the WebRTC data channel: unordered, dropped rather than late. An unknown id is
    /// ignored. Messages over [`Config::max_message_size`] are not sent, but counted.
    pub fn send_unreliable(&self, id: impl Into<PeerId>, message: impl Into<Bytes>) {
        self.send_unreliable_with(id, message, SendOptions::default());
    }

    /// [`send_unreliable`](Server::send_unreliable) for state of which only the newest matters: a
    /// message replaces an unsent older one with the same key to the same peer, and keeps its place
    /// in the queue. So a path that is too narrow for every message carries the newest of each key
    /// in turn, instead of old ones.
    ///
    /// Give each entity a key of its own:
    ///
    /// ```no_run
    /// # struct Entity { id: u64 }
    /// # impl Entity { fn snapshot(&self) -> Vec<u8> { Vec::new() } }
    /// # let (server, entities) = (net::Server::new("127.0.0.1:3000").0, Vec::<Entity>::new());
    /// // In each tick:
    /// for entity in &entities {
    ///     server.send_latest(0, entity.id, entity.snapshot());
    /// }
    /// ```
    ///
    /// Such messages are not repaired: the next one replaces a lost one. For one-off events, use
    /// [`send_unreliable_with`](Server::send_unreliable_with).
    pub fn send_latest(&self, id: impl Into<PeerId>, key: u64, message: impl Into<Bytes>) {
        self.send_unreliable_with(id, message, SendOptions::latest(key));
    }

    /// [`send_unreliable`](Server::send_unreliable) with a key or a repair option:
    ///
    /// ```no_run
    /// # let (server, _queue) = net::Server::new("127.0.0.1:3000");
    /// use net::SendOptions;
    ///
    /// // A one-off event: worth repeating with later messages, in case it is lost.
    /// server.send_unreliable_with(0, "bang", SendOptions::default().repair(true));
    /// ```
    pub fn send_unreliable_with(
        &self,
        id: impl Into<PeerId>,
        message: impl Into<Bytes>,
        options: SendOptions,
    ) {
        self.handle.shared.send_or_close(SendMode::Unreliable(options), id.into(), message.into());
    }

    /// Sends a message, or returns it in the error, with nothing changed.
    ///
    /// # Errors
    /// As [`SendError`] says. An unreliable message is never `Full`.
    pub fn try_send(
        &self,
        delivery: Delivery,
        id: impl Into<PeerId>,
        message: impl Into<Bytes>,
    ) -> Result<(), SendError> {
        self.handle.shared.send(delivery.into(), id.into(), message.into())
    }

    /// [`send_reliable`](Server::send_reliable) to every open peer.
    pub fn broadcast_reliable(&self, message: impl Into<Bytes>) {
        self.handle.shared.broadcast(SendMode::Reliable, &message.into());
    }

    /// [`send_unreliable`](Server::send_unreliable) to every open peer.
    pub fn broadcast_unreliable(&self, message: impl Into<Bytes>) {
        self.broadcast_unreliable_with(message, SendOptions::default());
    }

    /// [`send_latest`](Server::send_latest) to every open peer.
    pub fn broadcast_latest(&self, key: u64, message: impl Into<Bytes>) {
        self.broadcast_unreliable_with(message, SendOptions::latest(key));
    }

    /// [`send_unreliable_with`](Server::send_unreliable_with) to every open peer.
    pub fn broadcast_unreliable_with(&self, message: impl Into<Bytes>, options: SendOptions) {
        self.handle.shared.broadcast(SendMode::Unreliable(options), &message.into());
    }

    /// [`close`](Server::close) with a code and a reason, which the page gets in the event of
    /// `net.onclose` (or of its `WebSocket`), and [`close_reason`](Server::close_reason) returns
    /// here:
    ///
    /// ```no_run
    /// # let (server, id) = (net::Server::new("127.0.0.1:3000").0, 0);
    /// server.close_with(id, 4001, "kicked: idle for 5 minutes");
    /// ```
    ///
    /// Application codes are 4000 to 4999 (RFC 6455 §7.4.2); any other is sent as 4000, with a
    /// warning in the log. The reason has at most 123 bytes of UTF-8 (§5.5); a longer one is cut
    /// between characters.
    pub fn close_with(&self, id: impl Into<PeerId>, code: u16, reason: impl Into<String>) {
        self.handle.shared.close(id.into(), CloseReason::with_code(code, reason.into()));
    }

    /// Closes a peer after the reliable messages sent before. Both paths get a close message; the
    /// queue gets its `Closed`. An unknown id is ignored. [`close_with`](Server::close_with) adds a
    /// code and a reason.
    pub fn close(&self, id: impl Into<PeerId>) {
        self.handle.shared.close(id.into(), CloseReason::ClosedByServer);
    }

    /// Returns why a peer closed: available before its `Closed` is popped, and after that for the
    /// last 4,096 closed peers.
    #[must_use]
    pub fn close_reason(&self, id: impl Into<PeerId>) -> Option<CloseReason> {
        self.handle.shared.events.close_reason(id.into())
    }

    /// Returns information about a peer, with the [value](PeerInfo::user_data) that
    /// [`Config::accept`] accepted it with. A closed peer remains available while its `Closed` is
    /// handled: until the [`EventQueue`] handle that returned the `Closed` is asked for events
    /// again, or dropped.
    ///
    /// Cheap enough for every tick; a game can send less to a peer with a narrow path:
    ///
    /// ```no_run
    /// # let (server, id, tick) = (net::Server::new("127.0.0.1:3000").0, 0, 0_u64);
    /// # fn snapshot() -> Vec<u8> { Vec::new() }
    /// use net::PeerInfo;
    ///
    /// /// Bits a second of 60 snapshots.
    /// const FULL: u64 = 60 * 8 * 1_000;
    ///
    /// /// Of every how many ticks this peer gets a snapshot; a rate of 0 is not known yet.
    /// fn pace(peer: &PeerInfo) -> u64 {
    ///     match peer.path_stats.allowed_rate {
    ///         0 => 1,
    ///         rate => FULL.div_ceil(rate).min(6),
    ///     }
    /// }
    ///
    /// if let Some(peer) = server.peer(id) && tick % pace(&peer) == 0 {
    ///     server.send_latest(id, 0, snapshot());
    /// }
    /// ```
    #[must_use]
    pub fn peer(&self, id: impl Into<PeerId>) -> Option<PeerInfo> {
        self.handle.shared.peer_info(id.into())
    }

    /// Returns the counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.handle.shared.counters.snapshot()
    }

    /// Returns the sizes of the loop's tables and queues, for tests. Waits for its answer; `None`
    /// if there is none.
    #[doc(hidden)]
    pub fn resource_usage(&self) -> Option<crate::hub::ResourceUsage> {
        self.handle.shared.loop_monitor.resource_usage(|| self.handle.shared.wake())
    }

    /// Starts measuring the loop's iterations with this clock, for tests.
    #[doc(hidden)]
    pub fn measure_iterations(&self, clock: fn() -> std::time::Duration) {
        self.handle.shared.loop_monitor.measure_iterations(clock);
    }

    /// Returns the longest iteration since the last call, by the clock of
    /// [`measure_iterations`](Server::measure_iterations).
    #[doc(hidden)]
    pub fn take_longest_iteration(&self) -> std::time::Duration {
        self.handle.shared.loop_monitor.take_longest_iteration()
    }

    /// Returns the connections that never became peers: the last 256, and counts by kind.
    #[must_use]
    pub fn connect_failures(&self) -> ConnectFailures {
        self.handle.shared.connect_failures()
    }

    /// Returns the bound address; its port is both the TCP and the UDP port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.handle.local_addr
    }

    /// Returns the addresses currently advertised for WebRTC, in order of preference: with a
    /// wildcard address they follow the addresses of this machine. Each browser is offered those
    /// that it can use, at most [`Config::max_candidates`].
    #[must_use]
    pub fn announced_addrs(&self) -> Vec<SocketAddr> {
        self.handle.shared.announced_addrs()
    }
}

/// Event queue of a server. Clones share one stream: each event goes to exactly one of them. When
/// the last clone is dropped, events are discarded and connections continue.
#[derive(Debug)]
#[must_use = "once the last EventQueue is dropped, all events are discarded"]
pub struct EventQueue {
    reader: Arc<QueueReader>,
    /// Peers whose `Closed` was popped here, and whose information is kept while it is handled.
    closed_peers: Mutex<Vec<PeerId>>,
}

impl Clone for EventQueue {
    fn clone(&self) -> EventQueue {
        EventQueue { reader: self.reader.clone(), closed_peers: Mutex::default() }
    }
}

impl Drop for EventQueue {
    fn drop(&mut self) {
        self.release_closed_peers();
    }
}

/// Application's end of the event queue, behind all clones of an [`EventQueue`].
#[derive(Debug)]
struct QueueReader {
    shared: Arc<Shared>,
}

impl Drop for QueueReader {
    fn drop(&mut self) {
        self.shared.events.disconnect();
        self.shared.wake();
    }
}

impl EventQueue {
    pub(crate) fn new(shared: Arc<Shared>) -> EventQueue {
        EventQueue { reader: Arc::new(QueueReader { shared }), closed_peers: Mutex::default() }
    }

    /// Pops the oldest event, if there is one.
    #[must_use = "an event that was taken does not come again"]
    pub fn pop(&self) -> Option<Event> {
        self.release_closed_peers();
        self.finish_pop(self.reader.shared.events.pop())
    }

    /// Pops all queued events, oldest first.
    #[must_use = "events that were taken do not come again"]
    pub fn pop_all(&self) -> Vec<Event> {
        self.release_closed_peers();
        self.finish_pop(self.reader.shared.events.pop_all())
    }

    /// [`pop_all`](EventQueue::pop_all) after waiting until there is an event, the timeout expires
    /// or the server has ended. It returns the events:
    ///
    /// ```compile_fail
    /// #![deny(unused_must_use)]
    /// # let (server, queue) = net::Server::new("127.0.0.1:3000");
    /// queue.wait(std::time::Duration::from_millis(16)); // loses them
    /// # drop(server);
    /// ```
    #[must_use = "wait also takes the events, and events that were taken do not come again"]
    pub fn wait(&self, timeout: Duration) -> Vec<Event> {
        self.release_closed_peers();
        self.finish_pop(self.reader.shared.events.wait(timeout))
    }

    /// Returns whether the server has ended and all events were popped.
    pub fn is_finished(&self) -> bool {
        self.reader.shared.events.is_finished()
    }

    /// Releases the information of the peers whose `Closed` was popped before.
    fn release_closed_peers(&self) {
        let departed = self.replace_closed_peers(Vec::new());
        if !departed.is_empty() {
            self.reader.shared.events.release_peer_info(&departed);
        }
    }

    fn replace_closed_peers(&self, ids: Vec<PeerId>) -> Vec<PeerId> {
        mem::replace(&mut *self.closed_peers.lock().unwrap_or_else(PoisonError::into_inner), ids)
    }

    /// Completes a pop: wakes an event loop that stopped reading because the queue was full.
    fn finish_pop<T>(&self, taken: Popped<T>) -> T {
        let before = self.replace_closed_peers(taken.closed_peers);
        if !before.is_empty() {
            // Another thread has popped events from this handle meanwhile.
            self.reader.shared.events.release_peer_info(&before);
        }
        if taken.needs_wake {
            self.reader.shared.wake();
        }
        taken.events
    }
}
