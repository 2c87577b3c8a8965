//! Many peers behind one or a few UDP addresses.

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
use crate::dtls::Dtls;
use crate::endpoint::demux::{Credentials, Findable, Routes, Seek};
use crate::error::SendError;
use crate::event::{CloseReason, Event, Evidence, Input, Output, SendOptions, Stage};
use crate::peer::path::Way;
use crate::peer::{Peer, PeerOutput};
use crate::stats::{Gauge, Sizes, Stats};
use crate::stun_binding::BindingServer;
use crate::timer_queue::Deadlines;

/// A message longer than this travels in several packets (measured with a packet of 1,150
/// bytes, str0m's default).
const ONE_PACKET: usize = 1_062;

/// Peers that one timeout looks at; if more are due, [`Output::Timeout`] asks for the present.
const BATCH: usize = 32;

/// WebRTC peers with one unreliable, unordered data channel each, keyed by the caller's `K`.
///
/// An endpoint has no socket, clock or thread. Datagrams and time go in by [`handle_input`],
/// what there is to do comes out of [`poll_output`]; after each call that takes `now`, poll
/// until [`Output::Timeout`].
///
/// [`handle_input`]: Endpoint::handle_input
/// [`poll_output`]: Endpoint::poll_output
#[derive(Debug)]
pub struct Endpoint<K> {
    config: Arc<Config>,
    dtls: Dtls,
    credentials: Credentials,
    /// Each in a place of its own: a `Peer` has some 12 KiB, which a table would keep for as many
    /// as there ever were at once, and move whenever it grows.
    peers: Slab<(K, Box<Peer>)>,
    slots: HashMap<K, usize>,
    routes: Routes,
    seek: Seek,
    binding: BindingServer,
    deadlines: Deadlines<usize>,
    outputs: VecDeque<Output<K>>,
    /// What was heard of the peers whose `Closed` is among the outputs, in their order.
    ended: VecDeque<(K, Evidence)>,
    /// The same of the one whose `Closed` was told last.
    told: Option<(K, Evidence)>,
    /// Slots with messages that were sent since the last poll, so that they share packets.
    unflushed: Vec<usize>,
    now: Option<Instant>,
    scratch: Vec<PeerOutput>,
    stats: Stats,
}

impl<K: Clone + Eq + Hash + Debug> Endpoint<K> {
    /// An endpoint without peers. Makes a certificate, which takes a millisecond or two.
    pub fn new(config: Config) -> Endpoint<K> {
        Endpoint {
            dtls: Dtls::new(&config),
            credentials: Credentials::new(config.seed),
            seek: Seek::new(config.trials),
            binding: BindingServer::new(
                config.max_binding_answers,
                config.max_binding_answers_per_second,
            ),
            config: Arc::new(config),
            peers: Slab::new(),
            slots: HashMap::new(),
            routes: Routes::default(),
            deadlines: Deadlines::default(),
            outputs: VecDeque::new(),
            ended: VecDeque::new(),
            told: None,
            unflushed: Vec::new(),
            now: None,
            scratch: Vec::new(),
            stats: Stats::default(),
        }
    }

    /// Feeds a datagram or the passing of time.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Timeout => self.handle_timeout(now),
            Input::Datagram { source, destination, contents } => {
                self.handle_datagram(now, Way { local: destination, remote: source }, contents);
            }
        }
    }

    /// Sends an unreliable message: fresh or not at all. It leaves with the next
    /// [`poll_output`](Endpoint::poll_output), together with others that were sent before that,
    /// and never waits longer than [`Config::fresh_time`].
    ///
    /// # Errors
    /// If the channel of this peer is not open, or the message is longer than
    /// [`Config::message_bytes`], or than 64 KiB with plain SCTP; the message comes back.
    pub fn send(
        &mut self,
        now: Instant,
        key: &K,
        message: impl Into<Bytes>,
    ) -> Result<(), SendError> {
        self.send_with(now, key, message, SendOptions::default())
    }

    /// [`send`](Endpoint::send) with options: a message of which only the newest matters, as in
    /// `SendOptions::latest(entity)`, takes the place of an older one that has not left.
    ///
    /// # Errors
    /// As of [`send`](Endpoint::send).
    pub fn send_with(
        &mut self,
        now: Instant,
        key: &K,
        message: impl Into<Bytes>,
        options: SendOptions,
    ) -> Result<(), SendError> {
        let message = message.into();
        if message.len() > self.config.longest() {
            return Err(SendError::TooLarge(message));
        }
        match self.slots.get(key).copied() {
            Some(slot) if self.peers[slot].1.stage() == Some(Stage::Open) => {
                self.warn_of_fragments(message.len());
                self.with_peer(slot, |peer, _| peer.send(now, message, options));
                self.unflushed.extend((self.unflushed.last() != Some(&slot)).then_some(slot));
                self.now = self.now.max(Some(now));
                Ok(())
            }
            _ => Err(SendError::NotOpen(message)),
        }
    }

    /// Ends a peer. It gets a goodbye, and the caller its `Closed`; a key that nobody has is
    /// not an error.
    pub fn close(&mut self, now: Instant, key: &K) {
        if let Some(slot) = self.slots.get(key).copied() {
            self.with_peer(slot, |peer, out| peer.close(now, CloseReason::ByUs, out));
        }
    }

    /// Nobody is blamed for a time in which this program was stopped: an open peer has
    /// [`Config::silent_timeout`] from now on, one on its way so much longer.
    pub fn excuse(&mut self, now: Instant, stopped: Duration) {
        let slots: Vec<_> = self.peers.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            self.with_peer(slot, |peer, _| peer.excuse(now, stopped));
        }
    }

    /// The next thing to do.
    #[must_use = "each output comes once"]
    pub fn poll_output(&mut self) -> Output<K> {
        while self.outputs.is_empty()
            && let (Some(slot), Some(now)) = (self.unflushed.pop(), self.now)
        {
            self.with_peer(slot, |peer, out| peer.flush(now, out));
        }
        let output = self.outputs.pop_front();
        if let Some(Output::Event(_, Event::Closed(_))) = output {
            self.told = self.ended.pop_front();
        }
        output.unwrap_or_else(|| Output::Timeout(self.deadlines.next()))
    }

    /// What was heard of a peer on its way: of one that is here, and of the last one whose
    /// `Closed` came out of [`poll_output`](Endpoint::poll_output). `None` for other keys.
    pub fn evidence(&self, key: &K) -> Option<Evidence> {
        let told = self.told.as_ref().filter(|(ended, _)| ended == key);
        match self.slots.get(key) {
            Some(slot) => Some(self.peers[*slot].1.evidence()),
            None => told.map(|(_, evidence)| *evidence),
        }
    }

    /// How far a peer has come; `None` if nobody has this key.
    pub fn stage(&self, key: &K) -> Option<Stage> {
        self.peers[*self.slots.get(key)?].1.stage()
    }

    /// Shows how the path to this peer is, to any thread; `None` if nobody has this key.
    pub fn gauge(&self, key: &K) -> Option<Gauge> {
        Some(self.peers[*self.slots.get(key)?].1.gauge().clone())
    }

    /// Peers that are connecting or connected.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether there are no peers.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Counters over all peers.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// How much is held now.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            peers: self.peers.len(),
            keys: self.slots.len(),
            routes: self.routes.len(),
            deadlines: self.deadlines.len(),
            findable: self.seek.len(),
            outputs: self.outputs.len() + self.ended.len(),
            unflushed: self.unflushed.len(),
            binding_clients: self.binding.len(),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        for slot in self.deadlines.some_due(now, BATCH) {
            self.with_peer(slot, |peer, out| peer.handle_timeout(now, out));
        }
    }

    /// The only way to change a peer: what it gives and when it wants to be woken is taken
    /// over at once, and a closed peer is forgotten. `None` if it panicked or is gone already.
    fn with_peer<R>(
        &mut self,
        slot: usize,
        change: impl FnOnce(&mut Peer, &mut Vec<PeerOutput>) -> R,
    ) -> Option<R> {
        let (key, peer) = self.peers.get_mut(slot)?;
        let (wake, dropped, found) = (peer.wake(), peer.dropped(), peer.findable());
        // What may be left half done is the peer and what it gave, and neither is used again.
        let changed = AssertUnwindSafe(|| change(peer, &mut self.scratch));
        let Ok(result) = panic::catch_unwind(changed) else {
            self.give_up(slot, wake, found);
            return None;
        };
        self.seek.replace(slot, found, peer.findable());
        self.deadlines.replace(slot, wake, peer.wake().filter(|_| !peer.is_closed()));
        let dropped = peer.dropped() - dropped;
        peer.gauge().add_dropped(dropped);
        self.stats.dropped += dropped;
        for output in self.scratch.drain(..) {
            match output {
                PeerOutput::Transmit(transmit) => {
                    self.outputs.push_back(Output::Transmit(transmit));
                }
                PeerOutput::Event(event) => {
                    if event == Event::Open {
                        self.binding.end(slot);
                    }
                    self.outputs.push_back(Output::Event(key.clone(), event));
                }
                PeerOutput::Forgot(source) => self.routes.remove(slot, source),
            }
        }
        if peer.is_closed() {
            self.remove(slot);
        }
        Some(result)
    }

    /// Ends a peer whose machine has panicked: without a word to the other side. What it gave
    /// last goes nowhere, but what it forgot is forgotten.
    fn give_up(&mut self, slot: usize, wake: Option<Instant>, found: Findable) {
        for output in self.scratch.drain(..) {
            if let PeerOutput::Forgot(source) = output {
                self.routes.remove(slot, source);
            }
        }
        self.seek.replace(slot, found, Findable::default());
        self.deadlines.replace(slot, wake, None);
        let key = self.peers[slot].0.clone();
        error!("{key:?}: its machine has panicked, which ends it and nobody else");
        self.outputs.push_back(Output::Event(key, Event::Closed(CloseReason::Panicked)));
        self.remove(slot);
    }

    fn remove(&mut self, slot: usize) {
        let (key, peer) = self.peers.remove(slot);
        self.ended.push_back((key.clone(), peer.evidence()));
        debug!("{key:?} is gone");
        self.slots.remove(&key);
        self.binding.end(slot);
        peer.sources().for_each(|source| self.routes.remove(slot, source));
    }

    fn warn_of_fragments(&self, size: usize) {
        static ONCE: std::sync::Once = std::sync::Once::new();
        if size > ONE_PACKET {
            ONCE.call_once(|| {
                warn!("an unreliable message of {size} bytes takes several packets, and one lost packet loses it all; keep them under {ONE_PACKET} bytes");
            });
        }
    }
}
