//! Peers come by offers and answers.

use std::fmt::Debug;
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use str0m::IceCreds;

use crate::OfferOptions;
use crate::endpoint::Endpoint;
use crate::error::{AcceptAnswerError, AcceptOfferError, OfferError};
use crate::event::CloseReason;
use crate::peer::Peer;
use crate::sdp::{Offer, candidate_addresses, sanitize_offer};

impl<K: Clone + Eq + Hash + Debug> Endpoint<K> {
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
        let credentials = self.generate_credentials();
        let (peer, offer) = Peer::new_offerer(now, &self.config, &self.dtls, credentials, &options);
        let slot = self.insert_peer(now, key, peer);
        options.remote.into_iter().for_each(|ip| self.stun_server.add_peer(slot, ip));
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
        self.apply_answer(now, key, sdp, false)
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
        self.apply_answer(now, key, sdp, true)
    }

    /// Begins a connection as the side that answers, and gives the answer. Up to 16 candidates
    /// of the offer are checked.
    pub fn accept_offer(
        &mut self,
        now: Instant,
        key: K,
        sdp: &str,
    ) -> Result<String, AcceptOfferError> {
        self.handle_offer(now, key, sdp, false)
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
        self.handle_offer(now, key, sdp, true)
    }

    fn apply_answer(
        &mut self,
        now: Instant,
        key: &K,
        sdp: &str,
        negotiated: bool,
    ) -> Result<(), AcceptAnswerError> {
        let slot = *self.slots.get(key).ok_or(AcceptAnswerError::UnknownPeer)?;
        if !self.peers[slot].1.is_awaiting_answer() {
            return Err(AcceptAnswerError::Unexpected);
        }
        let config = self.config.clone();
        self.with_peer(slot, |peer, out| peer.accept_answer(now, &config, sdp, negotiated, out))
            .unwrap_or_else(|| Err(CloseReason::Panicked.to_string()))
            .map_err(AcceptAnswerError::InvalidAnswer)
    }

    fn handle_offer(
        &mut self,
        now: Instant,
        key: K,
        sdp: &str,
        negotiated: bool,
    ) -> Result<String, AcceptOfferError> {
        if self.slots.contains_key(&key) {
            return Err(AcceptOfferError::KeyInUse);
        }
        let refused = AcceptOfferError::InvalidOffer;
        let config = self.config.clone();
        let snap = config.handshake.snap && config.initial_tsn.is_none();
        let sdp = sanitize_offer(sdp, config.max_sdp_size, snap).map_err(refused)?;
        let theirs = candidate_addresses(&sdp);
        if theirs.iter().any(|address| self.routes.find(*address).is_some()) {
            return Err(AcceptOfferError::AddressInUse);
        }
        let credentials = self.generate_credentials();
        let made = Peer::new_answerer(now, &config, &self.dtls, credentials, &sdp, negotiated);
        let (peer, answer) = made.map_err(|error| refused(error.to_string()))?;
        let slot = self.insert_peer(now, key, peer);
        theirs.into_iter().for_each(|address| _ = self.observe_addr(now, slot, address));
        Ok(answer)
    }

    /// From now on datagrams arrive at `local`, as [`Config::local`](crate::Config::local), and
    /// offers name `announce`, as [`Config::announce`](crate::Config::announce). Peers that have
    /// their offer keep the addresses of its time: what arrives for them elsewhere is not taken.
    pub fn set_addresses(&mut self, local: Vec<SocketAddr>, announce: Vec<SocketAddr>) {
        let config = Arc::make_mut(&mut self.config);
        (config.local_addrs, config.announced_addrs) = (local, announce);
    }

    fn generate_credentials(&mut self) -> IceCreds {
        self.credential_generator.generate(self.peers.vacant_key())
    }

    fn insert_peer(&mut self, now: Instant, key: K, peer: Peer) -> usize {
        let slot = self.peers.insert((key.clone(), Box::new(peer)));
        self.slots.insert(key, slot);
        self.with_peer(slot, |peer, out| peer.handle_timeout(now, out));
        slot
    }
}
