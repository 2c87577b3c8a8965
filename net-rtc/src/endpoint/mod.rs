//! Endpoint: many peers on one or a few UDP addresses, without IO.

pub(crate) mod demux;
mod signalling;
#[cfg(any(test, feature = "odd"))]
mod test_hooks;

use std::collections::{HashMap, VecDeque};
use std::fmt::Debug;
use std::hash::Hash;
use std::panic;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use log::{debug, error, warn};
use slab::Slab;

use crate::Config;
use crate::dtls::DtlsContext;
use crate::endpoint::demux::{CredentialGenerator, LookupKey, MigrationLookup, Routes};
use crate::error::SendError;
use crate::event::{
    CloseReason, Event, HandshakeProgress, Input, Output, SendOptions, WebRtcStage,
};
use crate::peer::path::FourTuple;
use crate::peer::{Peer, PeerOutput};
use crate::stats::{EndpointUsage, PathMonitor, Stats};
use crate::stun_binding::StunServer;
use crate::timer_queue::TimerQueue;

/// Maximum size of a message that fits into one packet (measured with a packet of 1,150 bytes,
/// str0m's default).
const MAX_UNFRAGMENTED_MESSAGE: usize = 1_062;

/// Maximum number of peers that one timeout handles; if more are due, [`Output::Timeout`] returns a
/// time that has already come.
const MAX_TIMERS_PER_CALL: usize = 32;

/// WebRTC peers with one unreliable, unordered data channel each, keyed by the caller's `K`.
///
/// An endpoint has no socket, clock or thread. Datagrams and time go in by [`handle_input`], and
/// outputs are returned by [`poll_output`]; after each call that takes `now`, poll until
/// [`Output::Timeout`].
///
/// [`handle_input`]: Endpoint::handle_input
/// [`poll_output`]: Endpoint::poll_output
#[derive(Debug)]
pub struct Endpoint<K> {
    config: Arc<Config>,
    dtls: DtlsContext,
    credential_generator: CredentialGenerator,
    /// Boxed: a `Peer` has some 12 KiB, which the slab would keep for the largest number of peers
    /// it has ever had, and move whenever it grows.
    peers: Slab<(K, Box<Peer>)>,
    slots: HashMap<K, usize>,
    routes: Routes,
    migration_lookup: MigrationLookup,
    stun_server: StunServer,
    timers: TimerQueue<usize>,
    outputs: VecDeque<Output<K>>,
    /// Handshake progress of the peers whose `Closed` is among the outputs, in their order.
    pending_closed: VecDeque<(K, HandshakeProgress)>,
    /// The same of the peer whose `Closed` was returned last.
    last_closed: Option<(K, HandshakeProgress)>,
    /// Slots with messages that were queued since the last poll, so that they share packets.
    unflushed: Vec<usize>,
    last_send: Option<Instant>,
    peer_outputs: Vec<PeerOutput>,
    stats: Stats,
}

impl<K: Clone + Eq + Hash + Debug> Endpoint<K> {
    /// An endpoint without peers. Generates a certificate, which takes a millisecond or two.
    pub fn new(config: Config) -> Endpoint<K> {
        Endpoint {
            dtls: DtlsContext::new(&config),
            credential_generator: CredentialGenerator::new(config.seed),
            migration_lookup: MigrationLookup::new(config.max_trial_decryptions_per_sec),
            stun_server: StunServer::new(
                config.max_stun_responses,
                config.max_stun_responses_per_sec,
            ),
            config: Arc::new(config),
            peers: Slab::new(),
            slots: HashMap::new(),
            routes: Routes::default(),
            timers: TimerQueue::default(),
            outputs: VecDeque::new(),
            pending_closed: VecDeque::new(),
            last_closed: None,
            unflushed: Vec::new(),
            last_send: None,
            peer_outputs: Vec::new(),
            stats: Stats::default(),
        }
    }

    /// Processes a datagram or a timeout.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Timeout => self.handle_timeout(now),
            Input::Datagram { source, destination, contents } => {
                self.handle_datagram(
                    now,
                    FourTuple { local: destination, remote: source },
                    contents,
                );
            }
        }
    }

    /// Queues an unreliable message. It leaves with the next
    /// [`poll_output`](Endpoint::poll_output), together with others queued before that, and is
    /// dropped when it is older than [`Config::unreliable_max_age`].
    ///
    /// # Errors
    /// If the channel of this peer is not open, or the message is longer than
    /// [`Config::max_message_size`], or than 64 KiB with plain SCTP; the error returns the message.
    pub fn send(
        &mut self,
        now: Instant,
        key: &K,
        message: impl Into<Bytes>,
    ) -> Result<(), SendError> {
        self.send_with(now, key, message, SendOptions::default())
    }

    /// [`send`](Endpoint::send) with options: with `SendOptions::latest(entity)`, for example, the
    /// message supersedes a queued one of the same key.
    ///
    /// # Errors
    /// As for [`send`](Endpoint::send).
    pub fn send_with(
        &mut self,
        now: Instant,
        key: &K,
        message: impl Into<Bytes>,
        options: SendOptions,
    ) -> Result<(), SendError> {
        let message = message.into();
        if message.len() > self.config.max_outgoing_message_size() {
            return Err(SendError::TooLarge(message));
        }
        match self.slots.get(key).copied() {
            Some(slot) if self.peers[slot].1.stage() == Some(WebRtcStage::Open) => {
                self.warn_if_fragmented(message.len());
                self.with_peer(slot, |peer, _| peer.send(now, message, options));
                self.unflushed.extend((self.unflushed.last() != Some(&slot)).then_some(slot));
                self.last_send = self.last_send.max(Some(now));
                Ok(())
            }
            _ => Err(SendError::NotOpen(message)),
        }
    }

    /// Closes a peer: closes the connection with the other side and emits `Closed`. An unknown key
    /// is not an error.
    pub fn close(&mut self, now: Instant, key: &K) {
        if let Some(slot) = self.slots.get(key).copied() {
            self.with_peer(slot, |peer, out| peer.close(now, CloseReason::Local, out));
        }
    }

    /// Extends the deadlines of all peers after this process was suspended for `stopped`: the
    /// [`Config::idle_timeout`] of open peers starts anew, and the deadline of connecting ones
    /// moves by `stopped`.
    pub fn extend_deadlines(&mut self, now: Instant, stopped: Duration) {
        let slots: Vec<_> = self.peers.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            self.with_peer(slot, |peer, _| peer.extend_deadlines(now, stopped));
        }
    }

    /// Returns the next output.
    #[must_use = "each output comes once"]
    pub fn poll_output(&mut self) -> Output<K> {
        while self.outputs.is_empty()
            && let (Some(slot), Some(now)) = (self.unflushed.pop(), self.last_send)
        {
            self.with_peer(slot, |peer, out| peer.flush(now, out));
        }
        let output = self.outputs.pop_front();
        if let Some(Output::Event(_, Event::Closed(_))) = output {
            self.last_closed = self.pending_closed.pop_front();
        }
        output.unwrap_or_else(|| Output::Timeout(self.timers.next_deadline()))
    }

    /// Returns the handshake progress of a peer, or of the last one whose `Closed` was returned by
    /// [`poll_output`](Endpoint::poll_output). `None` for other keys.
    pub fn handshake_progress(&self, key: &K) -> Option<HandshakeProgress> {
        let told = self.last_closed.as_ref().filter(|(ended, _)| ended == key);
        match self.slots.get(key) {
            Some(slot) => Some(self.peers[*slot].1.handshake_progress()),
            None => told.map(|(_, evidence)| *evidence),
        }
    }

    /// Returns the stage of a peer; `None` if no peer has this key.
    pub fn stage(&self, key: &K) -> Option<WebRtcStage> {
        self.peers[*self.slots.get(key)?].1.stage()
    }

    /// Returns a handle to the path statistics of a peer, for any thread; `None` if no peer has
    /// this key.
    pub fn path_monitor(&self, key: &K) -> Option<PathMonitor> {
        Some(self.peers[*self.slots.get(key)?].1.path_monitor().clone())
    }

    /// Number of peers that are connecting or connected.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether there are no peers.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Returns the counters over all peers.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Returns the current sizes of the tables and queues.
    pub fn resource_usage(&self) -> EndpointUsage {
        EndpointUsage {
            peers: self.peers.len(),
            keys: self.slots.len(),
            routes: self.routes.len(),
            timers: self.timers.len(),
            migration_lookup: self.migration_lookup.len(),
            outputs: self.outputs.len() + self.pending_closed.len(),
            unflushed: self.unflushed.len(),
            stun_clients: self.stun_server.len(),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        for slot in self.timers.take_due(now, MAX_TIMERS_PER_CALL) {
            self.with_peer(slot, |peer, out| peer.handle_timeout(now, out));
        }
    }

    /// Runs a change of a peer, the only way to change one: collects its outputs, updates its timer
    /// and its lookup key, and removes it once closed. Returns `None` if the change panicked or the
    /// peer does not exist.
    fn with_peer<R>(
        &mut self,
        slot: usize,
        change: impl FnOnce(&mut Peer, &mut Vec<PeerOutput>) -> R,
    ) -> Option<R> {
        let (key, peer) = self.peers.get_mut(slot)?;
        let (wake, dropped, found) = (peer.next_timeout(), peer.dropped(), peer.lookup_key());
        // Only the peer and its outputs can be left inconsistent, and neither is used again.
        let changed = AssertUnwindSafe(|| change(peer, &mut self.peer_outputs));
        let Ok(result) = panic::catch_unwind(changed) else {
            self.drop_panicked(slot, wake, found);
            return None;
        };
        self.migration_lookup.update(slot, found, peer.lookup_key());
        self.timers.reschedule(slot, wake, peer.next_timeout().filter(|_| !peer.is_closed()));
        let dropped = peer.dropped() - dropped;
        peer.path_monitor().add_dropped(dropped);
        self.stats.dropped += dropped;
        for output in self.peer_outputs.drain(..) {
            match output {
                PeerOutput::Transmit(transmit) => {
                    self.outputs.push_back(Output::Transmit(transmit));
                }
                PeerOutput::Event(event) => {
                    if event == Event::Open {
                        self.stun_server.remove_peer(slot);
                    }
                    self.outputs.push_back(Output::Event(key.clone(), event));
                }
                PeerOutput::AddrRemoved(source) => self.routes.remove(slot, source),
            }
        }
        if peer.is_closed() {
            self.remove(slot);
        }
        Some(result)
    }

    /// Removes a peer whose state machine panicked, without closing the connection with the other
    /// side. Its last outputs are dropped, except that removed addresses lose their routes.
    fn drop_panicked(&mut self, slot: usize, wake: Option<Instant>, found: LookupKey) {
        for output in self.peer_outputs.drain(..) {
            if let PeerOutput::AddrRemoved(source) = output {
                self.routes.remove(slot, source);
            }
        }
        self.migration_lookup.update(slot, found, LookupKey::default());
        self.timers.reschedule(slot, wake, None);
        let key = self.peers[slot].0.clone();
        error!("panic while handling peer {key:?}; it is closed");
        self.outputs.push_back(Output::Event(key, Event::Closed(CloseReason::Panicked)));
        self.remove(slot);
    }

    fn remove(&mut self, slot: usize) {
        let (key, peer) = self.peers.remove(slot);
        self.pending_closed.push_back((key.clone(), peer.handshake_progress()));
        debug!("{key:?} is gone");
        self.slots.remove(&key);
        self.stun_server.remove_peer(slot);
        peer.remote_addrs().for_each(|source| self.routes.remove(slot, source));
    }

    fn warn_if_fragmented(&self, size: usize) {
        static ONCE: std::sync::Once = std::sync::Once::new();
        if size > MAX_UNFRAGMENTED_MESSAGE {
            ONCE.call_once(|| {
                warn!("an unreliable message of {size} bytes takes several packets, and one lost packet loses it all; keep them under {MAX_UNFRAGMENTED_MESSAGE} bytes");
            });
        }
    }
}
