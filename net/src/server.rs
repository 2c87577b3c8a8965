//! The handle by which an application sends.

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

/// A running server. Clone it freely, use it from any thread; no call blocks, and none panics
/// on anything a peer did.
///
/// When the last clone is dropped the server says goodbye to every peer and ends: its thread
/// and port are free within 2 s, and the [`EventQueue`] still gives what waits in it, then
/// `Closed` for each peer, then [`is_finished`](EventQueue::is_finished).
#[derive(Clone, Debug)]
#[must_use = "once the last Server is dropped, the server ends"]
pub struct Server {
    handle: Arc<ServerHandle>,
}

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
    /// A handle on a server without a loop of its own.
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
        // Not a closure: the panic is to name the caller's line.
        match Server::bind(addr, Config::default()) {
            Ok(started) => started,
            Err(error) => panic!("{error}"),
        }
    }

    /// Starts a server with these settings.
    ///
    /// # Errors
    /// If the address is none, or cannot be bound. Where a wildcard is to be bound, an address of
    /// this machine whose UDP port cannot be had is left out, named in the log, and taken within
    /// seconds of its being ready; it is an error only if no other is left.
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

    /// Sends over the websocket: whole, once, in order. An id that nobody has is not an error.
    ///
    /// Messages wait as long as the peer takes them. One that takes next to nothing for
    /// [`Config::reliable_send_timeout`] is closed as `SlowConsumer`, and so is one for which more
    /// than [`Config::reliable_send_buffer`] would wait. Messages over [`Config::max_message_size`] are not
    /// sent. What does not fit is counted in [`stats`](Server::stats); [`try_send`](Server::try_send) tells.
    pub fn send_reliable(&self, id: impl Into<PeerId>, message: impl Into<Bytes>) {
        self.handle.shared.send_or_close(SendMode::Reliable, id.into(), message.into());
    }

    /// Sends over the WebRTC data channel: fresh or not at all. An id that nobody has is not an
    /// error. Messages over [`Config::max_message_size`] are not sent, and counted.
    pub fn send_unreliable(&self, id: impl Into<PeerId>, message: impl Into<Bytes>) {
        self.send_unreliable_with(id, message, SendOptions::default());
    }

    /// [`send_unreliable`](Server::send_unreliable) for state of which only the newest matters:
    /// a message takes the place, and the turn, of an older one with the same key to the same
    /// peer that has not left. So a path that is too narrow for every message carries the newest
    /// of each key in turn, instead of old ones.
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
    /// Such messages are not repaired: the next one makes good for one that was lost. For what
    /// happens once, use [`send_unreliable_with`](Server::send_unreliable_with).
    pub fn send_latest(&self, id: impl Into<PeerId>, key: u64, message: impl Into<Bytes>) {
        self.send_unreliable_with(id, message, SendOptions::latest(key));
    }

    /// [`send_unreliable`](Server::send_unreliable) with a key, or with a word on repair:
    ///
    /// ```no_run
    /// # let (server, _queue) = net::Server::new("127.0.0.1:3000");
    /// use net::SendOptions;
    ///
    /// // It happens once: worth sending along with later messages, in case it is lost.
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

    /// Sends a message and tells whether it was taken; if not, it comes back and nothing has
    /// changed. An unreliable message is never `Full`.
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

    /// [`close`](Server::close) with a code and a reason, which the page finds in the event of
    /// `net.onclose` (or of its `WebSocket`), and [`close_reason`](Server::close_reason) here:
    ///
    /// ```no_run
    /// # let (server, id) = (net::Server::new("127.0.0.1:3000").0, 0);
    /// server.close_with(id, 4001, "kicked: idle for 5 minutes");
    /// ```
    ///
    /// An application's own codes are 4000 to 4999 (RFC 6455 §7.4.2); another goes out as 4000,
    /// with a warning in the log. The reason has at most 123 bytes of UTF-8 (§5.5); a longer one
    /// is cut between characters.
    pub fn close_with(&self, id: impl Into<PeerId>, code: u16, reason: impl Into<String>) {
        self.handle.shared.close(id.into(), CloseReason::with_code(code, reason.into()));
    }

    /// Closes a peer after the reliable messages that were sent before. It gets a goodbye on
    /// both paths; the queue gets its `Closed`. An id that nobody has is not an error.
    /// [`close_with`](Server::close_with) gives it a reason.
    pub fn close(&self, id: impl Into<PeerId>) {
        self.handle.shared.close(id.into(), CloseReason::ClosedByServer);
    }

    /// Why a peer closed: known from before its `Closed` is popped, and then for the last
    /// 4,096 of them.
    #[must_use]
    pub fn close_reason(&self, id: impl Into<PeerId>) -> Option<CloseReason> {
        self.handle.shared.events.close_reason(id.into())
    }

    /// What is known of a peer, and the [value](PeerInfo::user_data) that [`Config::accept`]
    /// accepted it with. A peer that has closed is known while its `Closed` is handled: until
    /// the [`EventQueue`] handle that gave the `Closed` is asked for events again, or dropped.
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
    ///     match peer.link.rate {
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

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.handle.shared.counters.snapshot()
    }

    /// How much the loop holds, for tests. Waits for its answer; `None` if there is none.
    #[doc(hidden)]
    pub fn resource_usage(&self) -> Option<crate::hub::ResourceUsage> {
        self.handle.shared.loop_monitor.resource_usage(|| self.handle.shared.wake())
    }

    /// From now on the loop's turns are measured, for tests, by this clock.
    #[doc(hidden)]
    pub fn measure_iterations(&self, clock: fn() -> std::time::Duration) {
        self.handle.shared.loop_monitor.measure_iterations(clock);
    }

    /// The longest turn since this was asked last, by the clock of
    /// [`measure_turns`](Server::measure_iterations).
    #[doc(hidden)]
    pub fn take_longest_iteration(&self) -> std::time::Duration {
        self.handle.shared.loop_monitor.take_longest_iteration()
    }

    /// Connections that never became peers: the last 256, and how many of each kind.
    #[must_use]
    pub fn connect_failures(&self) -> ConnectFailures {
        self.handle.shared.connect_failures()
    }

    /// The bound address; its port is both the TCP and the UDP port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.handle.local_addr
    }

    /// The addresses that browsers are told for WebRTC, most wanted first, as they are now: where
    /// a wildcard is bound, they come and go with those of this machine. Each browser is told of
    /// those that it can use, at most [`Config::max_candidates`].
    #[must_use]
    pub fn announced_addrs(&self) -> Vec<SocketAddr> {
        self.handle.shared.announced_addrs()
    }
}

/// The events of a server. Clones share one stream: each event goes to exactly one of them.
/// When the last clone is dropped, events are discarded and connections go on.
#[derive(Debug)]
#[must_use = "once the last EventQueue is dropped, all events are discarded"]
pub struct EventQueue {
    reader: Arc<QueueReader>,
    /// Peers whose `Closed` was taken here, and which are known while it is handled.
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

    /// Takes the oldest event, if there is one.
    #[must_use = "an event that was taken does not come again"]
    pub fn pop(&self) -> Option<Event> {
        self.release_closed_peers();
        self.finish_pop(self.reader.shared.events.pop())
    }

    /// Takes every event that waits, oldest first.
    #[must_use = "events that were taken do not come again"]
    pub fn pop_all(&self) -> Vec<Event> {
        self.release_closed_peers();
        self.finish_pop(self.reader.shared.events.pop_all())
    }

    /// [`pop_all`](EventQueue::pop_all) after a sleep that lasts until there is an event, the
    /// time is up or the server has ended. The events are its result:
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

    /// Whether the server has ended and everything was taken: nothing more will come.
    pub fn is_finished(&self) -> bool {
        self.reader.shared.events.is_finished()
    }

    /// What was taken before is handled.
    fn release_closed_peers(&self) {
        let departed = self.replace_closed_peers(Vec::new());
        if !departed.is_empty() {
            self.reader.shared.events.release_peer_info(&departed);
        }
    }

    fn replace_closed_peers(&self, ids: Vec<PeerId>) -> Vec<PeerId> {
        mem::replace(&mut *self.closed_peers.lock().unwrap_or_else(PoisonError::into_inner), ids)
    }

    /// A loop that stopped reading because too much waited here must hear that there is room.
    fn finish_pop<T>(&self, taken: Popped<T>) -> T {
        let before = self.replace_closed_peers(taken.closed_peers);
        if !before.is_empty() {
            // Another thread has taken events of this very handle meanwhile.
            self.reader.shared.events.release_peer_info(&before);
        }
        if taken.needs_wake {
            self.reader.shared.wake();
        }
        taken.events
    }
}
