//! Many peers behind one or a few UDP addresses.

mod routing;

use std::collections::{HashMap, VecDeque};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use log::{debug, warn};
use slab::Slab;
use str0m::IceCreds;

use crate::credentials::Credentials;
use crate::crypto::Dtls;
use crate::deadlines::Deadlines;
use crate::dropped::Dropped;
use crate::error::{AcceptAnswerError, AcceptOfferError, OfferError, SendError};
use crate::event::{CloseReason, Event, Input, Output, Stage};
use crate::evidence::Evidence;
use crate::options::SendOptions;
use crate::path::Gauge;
use crate::peer::{Peer, PeerOutput};
use crate::routes::Routes;
use crate::sdp::{Offer, candidate_addresses, checked};
use crate::seek::Seek;
use crate::whereabouts::Way;
use crate::{Config, OfferOptions};

/// A message longer than this travels in several packets (measured with a packet of 1,150
/// bytes, str0m's default).
const ONE_PACKET: usize = 1_062;

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
    peers: Slab<(K, Peer)>,
    slots: HashMap<K, usize>,
    routes: Routes,
    seek: Seek,
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

/// What an endpoint has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Datagrams that belonged to a peer.
    pub routed: u64,
    /// Datagrams that belonged to nobody, or came from an address that no peer has proved to
    /// be its own.
    pub unrouted: u64,
    /// Connectivity checks that named a peer and were not signed with its password.
    pub forged: u64,
    /// How often a record from an unknown address was tried on a peer that may have moved.
    pub trials: u64,
    /// Messages that were dropped before they were sent, by cause.
    pub dropped: Dropped,
}

impl<K: Clone + Eq + Hash + Debug> Endpoint<K> {
    /// An endpoint without peers. Makes a certificate, which takes a millisecond or two.
    pub fn new(config: Config) -> Endpoint<K> {
        Endpoint {
            dtls: Dtls::new(&config),
            credentials: Credentials::new(config.seed),
            seek: Seek::new(config.trials),
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

    /// Begins a connection as the side that offers, as an ICE-lite agent (RFC 8445 §2.5):
    /// hand the offer to the other side and its answer to [`accept_answer`].
    ///
    /// The offer stands until it is answered or [`close`](Endpoint::close) is called.
    ///
    /// [`accept_answer`]: Endpoint::accept_answer
    ///
    /// # Errors
    /// If a peer with this key lives already.
    pub fn offer(&mut self, now: Instant, key: K) -> Result<Offer, OfferError> {
        self.offer_with(now, key, OfferOptions::default())
    }

    /// [`offer`](Endpoint::offer) for somebody of whom more is known.
    ///
    /// # Errors
    /// As of [`offer`](Endpoint::offer).
    pub fn offer_with(
        &mut self,
        now: Instant,
        key: K,
        options: OfferOptions,
    ) -> Result<Offer, OfferError> {
        if self.slots.contains_key(&key) {
            return Err(OfferError::KeyInUse);
        }
        let credentials = self.draw_credentials();
        let (peer, offer) = Peer::offered(now, &self.config, &self.dtls, credentials, options);
        self.insert(now, key, peer);
        Ok(offer)
    }

    /// Takes the answer to an offer of ours. Its candidates are ignored: where the other side
    /// is, its connectivity checks show.
    pub fn accept_answer(
        &mut self,
        now: Instant,
        key: &K,
        sdp: &str,
    ) -> Result<(), AcceptAnswerError> {
        self.take_answer(now, key, sdp, false)
    }

    /// [`accept_answer`](Endpoint::accept_answer) of a client that opens the channel itself, as
    /// stream 0.
    ///
    /// # Errors
    /// As of [`accept_answer`](Endpoint::accept_answer).
    pub fn accept_answer_negotiated(
        &mut self,
        now: Instant,
        key: &K,
        sdp: &str,
    ) -> Result<(), AcceptAnswerError> {
        self.take_answer(now, key, sdp, true)
    }

    /// Begins a connection as the side that answers, and gives the answer. Up to 16 candidates
    /// of the offer are checked.
    pub fn accept_offer(
        &mut self,
        now: Instant,
        key: K,
        sdp: &str,
    ) -> Result<String, AcceptOfferError> {
        self.answer(now, key, sdp, false)
    }

    /// [`accept_offer`](Endpoint::accept_offer), with a channel that this side opens itself, as
    /// stream 0: say so to the other side along with the answer.
    ///
    /// # Errors
    /// As of [`accept_offer`](Endpoint::accept_offer).
    pub fn accept_offer_negotiated(
        &mut self,
        now: Instant,
        key: K,
        sdp: &str,
    ) -> Result<String, AcceptOfferError> {
        self.answer(now, key, sdp, true)
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

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Output<K> {
        while self.outputs.is_empty()
            && let (Some(slot), Some(now)) = (self.unflushed.pop(), self.now)
        {
            if self.peers.contains(slot) {
                self.with_peer(slot, |peer, out| peer.flush(now, out));
            }
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

    /// Takes a peer back to plain SCTP, as the plane does with one that it does not fit.
    #[cfg(test)]
    pub(crate) fn fall_back(&mut self, key: &K) {
        self.peers[self.slots[key]].1.fall_back();
    }

    /// Lets the network lose the next packet to us that ends with this chunk.
    #[cfg(test)]
    pub(crate) fn lose(&mut self, key: &K, kind: u8) {
        self.peers[self.slots[key]].1.lose(kind);
    }

    /// Sends an SCTP packet that an honest peer would not.
    #[cfg(test)]
    pub(crate) fn inject(
        &mut self,
        now: Instant,
        key: &K,
        write: impl FnOnce(&mut crate::plane::packet::Builder),
    ) {
        let slot = self.slots[key];
        self.with_peer(slot, |peer, out| peer.inject(now, write, out));
    }

    /// 12 or 13, once DTLS is up.
    #[cfg(test)]
    pub(crate) fn dtls_version(&mut self, key: &K) -> Option<u8> {
        self.peers[self.slots[key]].1.dtls_version()
    }

    /// Opens another channel and sends on it, as only an odd peer does.
    #[cfg(test)]
    pub(crate) fn open_another(&mut self, now: Instant, key: &K) {
        let slot = self.slots[key];
        self.with_peer(slot, |peer, out| peer.open_another(now, out));
    }

    fn take_answer(
        &mut self,
        now: Instant,
        key: &K,
        sdp: &str,
        negotiated: bool,
    ) -> Result<(), AcceptAnswerError> {
        let slot = *self.slots.get(key).ok_or(AcceptAnswerError::UnknownPeer)?;
        if !self.peers[slot].1.awaits_answer() {
            return Err(AcceptAnswerError::Unexpected);
        }
        let config = self.config.clone();
        self.with_peer(slot, |peer, out| peer.accept_answer(now, &config, sdp, negotiated, out))
            .map_err(AcceptAnswerError::Refused)
    }

    fn answer(
        &mut self,
        now: Instant,
        key: K,
        sdp: &str,
        negotiated: bool,
    ) -> Result<String, AcceptOfferError> {
        if self.slots.contains_key(&key) {
            return Err(AcceptOfferError::KeyInUse);
        }
        let refused = AcceptOfferError::Refused;
        let config = self.config.clone();
        let snap = config.connecting.snap && config.first_tsn.is_none();
        let sdp = checked(sdp, config.sdp_bytes, snap).map_err(refused)?;
        let theirs = candidate_addresses(&sdp);
        if theirs.iter().any(|address| self.routes.find(*address).is_some()) {
            return Err(AcceptOfferError::AddressInUse);
        }
        let credentials = self.draw_credentials();
        let made = Peer::answering(now, &config, &self.dtls, credentials, &sdp, negotiated);
        let (peer, answer) = made.map_err(|error| refused(error.to_string()))?;
        let slot = self.insert(now, key, peer);
        theirs.into_iter().for_each(|address| _ = self.learn(now, slot, address));
        Ok(answer)
    }

    fn handle_timeout(&mut self, now: Instant) {
        for slot in self.deadlines.due(now) {
            self.with_peer(slot, |peer, out| peer.handle_timeout(now, out));
        }
    }

    fn draw_credentials(&mut self) -> IceCreds {
        self.credentials.draw(self.peers.vacant_key())
    }

    fn insert(&mut self, now: Instant, key: K, peer: Peer) -> usize {
        let slot = self.peers.insert((key.clone(), peer));
        self.slots.insert(key, slot);
        self.with_peer(slot, |peer, out| peer.handle_timeout(now, out));
        slot
    }

    /// The only way to change a peer: what it gives and when it wants to be woken is taken
    /// over at once, and a closed peer is forgotten.
    fn with_peer<R>(
        &mut self,
        slot: usize,
        change: impl FnOnce(&mut Peer, &mut Vec<PeerOutput>) -> R,
    ) -> R {
        let (key, peer) = &mut self.peers[slot];
        let (wake, dropped, found) = (peer.wake(), peer.dropped(), peer.findable());
        let result = change(peer, &mut self.scratch);
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
                    self.outputs.push_back(Output::Event(key.clone(), event));
                }
                PeerOutput::Forgot(source) => self.routes.remove(slot, source),
            }
        }
        if peer.is_closed() {
            self.remove(slot);
        }
        result
    }

    fn remove(&mut self, slot: usize) {
        let (key, peer) = self.peers.remove(slot);
        self.ended.push_back((key.clone(), peer.evidence()));
        debug!("{key:?} is gone");
        self.slots.remove(&key);
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
