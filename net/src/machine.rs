//! Server without sockets and thread, for tests outside of this crate: the same handles, queues and
//! hub, driven by the caller. Available only with the feature `odd`; may change in any version.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::hub::{ConnectionId, Hub, Input, Output};
use crate::queues::{PeerHandle, Shared};
use crate::stats::add;
use crate::{Config, Delivery, EventQueue, PeerId, Server};

/// Event loop state between the handles and the network. Call
/// [`dispatch_sends`](Machine::dispatch_sends), then [`check_shutdown`](Machine::check_shutdown),
/// after each event, then [`poll_output`](Machine::poll_output) until `Timeout`.
#[derive(Debug)]
pub struct Machine {
    hub: Hub,
    shared: Arc<Shared>,
    config: Config,
    peers: HashMap<ConnectionId, (PeerId, Arc<PeerHandle>)>,
    is_shutting_down: bool,
}

impl Machine {
    /// Creates a server at this address, and its handles. `seed` makes it deterministic.
    pub fn new(config: Config, local: SocketAddr, seed: u64) -> (Machine, Server, EventQueue) {
        let shared = Arc::new(Shared::new(&config, || ()));
        let (server, queue) =
            (Server::without_loop(shared.clone(), local), EventQueue::new(shared.clone()));
        let hub = Hub::new(config.clone(), vec![local], Vec::new(), Some(seed));
        (
            Machine { hub, shared, config, peers: HashMap::new(), is_shutting_down: false },
            server,
            queue,
        )
    }

    /// As [`Hub::accept`].
    #[must_use = "it names the connection from now on"]
    pub fn accept(&mut self, now: Instant, remote: SocketAddr) -> Option<ConnectionId> {
        add(&self.shared.counters.tcp_accepted, 1);
        self.hub.accept(now, remote)
    }

    /// As [`Hub::handle_input`].
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        self.hub.handle_input(now, input);
    }

    /// Drains one non-empty send queue; returns `false` if there is none. Poll after each call.
    pub fn dispatch_sends(&mut self, now: Instant) -> bool {
        self.shared.dispatch_sends(now, &mut self.hub)
    }

    /// Starts the shutdown once no handle is left.
    pub fn check_shutdown(&mut self, now: Instant) {
        self.shared.clear_wake();
        if self.shared.is_ready_to_stop() && !std::mem::replace(&mut self.is_shutting_down, true) {
            self.hub.shutdown(now);
        }
    }

    /// Returns the next output; outputs for the handles have been delivered to them.
    #[must_use = "each output comes once"]
    pub fn poll_output(&mut self) -> Output {
        loop {
            match self.hub.poll_output() {
                Output::Open { connection, id, info } => {
                    let gauge = self.hub.path_monitor(id).unwrap_or_default();
                    let entry = Arc::new(PeerHandle::new(
                        &self.config,
                        &self.shared.send_pool,
                        info,
                        gauge,
                    ));
                    self.peers.insert(connection, (id, entry.clone()));
                    self.shared.on_open(id, entry);
                }
                Output::Received { id, delivery, message } => {
                    self.push_message(id, delivery, message)
                }
                Output::Closed { id, reason } => self.shared.on_closed(id, reason),
                Output::ConnectFailed(refusal) => self.shared.on_connect_failure(refusal),
                Output::PlainHttp(_) => add(&self.shared.counters.plain_http, 1),
                output => {
                    if let Output::Drop(connection) = &output {
                        self.peers.remove(connection);
                    }
                    return output;
                }
            }
        }
    }

    /// As [`Hub::outgoing`].
    pub fn outgoing(&self, id: ConnectionId) -> &[u8] {
        self.hub.outgoing(id)
    }

    /// As [`Hub::advance`].
    pub fn advance(&mut self, now: Instant, id: ConnectionId, written: usize) {
        self.hub.advance(now, id, written);
        if let Some((peer, entry)) = self.peers.get(&id) {
            entry.send_queue.set_buffered_amount(self.hub.buffered_amount(*peer));
        }
    }

    /// As [`Hub::wants_read`], and `false` while the event queue is full.
    pub fn wants_read(&self, id: ConnectionId) -> bool {
        !self.shared.events.is_full() && self.hub.wants_read(id)
    }

    /// As [`Hub::buffered_amount`].
    pub fn buffered_amount(&self, id: PeerId) -> usize {
        self.hub.buffered_amount(id)
    }

    /// As [`Hub::is_empty`].
    pub fn is_empty(&self) -> bool {
        self.hub.is_empty()
    }

    /// Signals that the loop has ended.
    pub fn on_loop_stopped(self) {
        self.shared.on_loop_stopped();
    }

    fn push_message(&self, id: PeerId, delivery: Delivery, message: Bytes) {
        let dropped = self.shared.events.push_message(id, delivery, message);
        add(&self.shared.counters.events_dropped, dropped);
    }
}
