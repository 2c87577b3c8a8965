//! Signalling: creation of peers by SDP offers and answers (RFC 8829).

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
    /// Creates a peer as the offerer, an ICE-lite agent (RFC 8445 §2.5): send the offer to the
    /// other side and pass its answer to [`accept_answer`].
    ///
    /// The offer is valid until it is answered or [`close`](Endpoint::close) is called.
    ///
    /// [`accept_answer`]: Endpoint::accept_answer
    ///
    /// # Errors
    /// If a peer with this key exists.
    pub fn offer(&mut self, now: Instant, key: K) -> Result<Offer, OfferError> {
        self.offer_with(now, key, OfferOptions::default())
    }

    /// [`offer`](Endpoint::offer) with options, such as a validated address.
    ///
    /// # Errors
    /// As for [`offer`](Endpoint::offer).
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

    /// Applies the answer to our offer. Its candidates are ignored: the other side's addresses are
    /// learned from its connectivity checks.
    pub fn accept_answer(
        &mut self,
        now: Instant,
        key: &K,
        sdp: &str,
    ) -> Result<(), AcceptAnswerError> {
        self.apply_answer(now, key, sdp, false)
    }

    /// [`accept_answer`](Endpoint::accept_answer) for a client that opens the channel itself, as
    /// stream 0.
    ///
    /// # Errors
    /// As for [`accept_answer`](Endpoint::accept_answer).
    pub fn accept_answer_negotiated(
        &mut self,
        now: Instant,
        key: &K,
        sdp: &str,
    ) -> Result<(), AcceptAnswerError> {
        self.apply_answer(now, key, sdp, true)
    }

    /// Creates a peer as the answerer, and returns the answer. Up to 16 candidates of the offer get
    /// connectivity checks.
    pub fn accept_offer(
        &mut self,
        now: Instant,
        key: K,
        sdp: &str,
    ) -> Result<String, AcceptOfferError> {
        self.handle_offer(now, key, sdp, false)
    }

    /// [`accept_offer`](Endpoint::accept_offer) with a channel that this side opens itself, as
    /// stream 0; signal that along with the answer.
    ///
    /// # Errors
    /// As for [`accept_offer`](Endpoint::accept_offer).
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

    /// Replaces [`Config::local_addrs`](crate::Config::local_addrs) by `local` and
    /// [`Config::announced_addrs`](crate::Config::announced_addrs) by `announce`. Existing peers
    /// keep the addresses of their offer: their datagrams to other addresses are ignored.
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
