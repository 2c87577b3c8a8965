//! Which peer a datagram belongs to, also if the peer has moved.

use std::fmt::Debug;
use std::hash::Hash;
use std::net::SocketAddr;
use std::time::Instant;

use str0m::ice::StunMessage;

use super::Endpoint;
use crate::binding::is_bare_request;
use crate::credentials::slot_of;
use crate::crypto;
use crate::event::{Output, Transmit};
use crate::peer::Taken;
use crate::record::is_protected;
use crate::sources::Sign;
use crate::way::Way;

impl<K: Clone + Eq + Hash + Debug> Endpoint<K> {
    pub(super) fn handle_datagram(&mut self, now: Instant, way: Way, contents: &[u8]) {
        if is_bare_request(contents) {
            return self.answer_binding(now, way, contents);
        }
        let routed = match self.route(now, way.remote, contents) {
            Some(slot) => {
                let taken = self.deliver(now, slot, way, contents);
                // Two behind one NAT may have changed places.
                if !taken && is_protected(contents) && self.is_absent(now, slot, way.remote) {
                    self.seek(now, way, contents, Some(slot));
                }
                true
            }
            None => is_protected(contents) && self.seek(now, way, contents, None),
        };
        self.stats.routed += u64::from(routed);
        self.stats.unrouted += u64::from(!routed);
    }

    /// Tells a client that is connecting where its request came from.
    fn answer_binding(&mut self, now: Instant, way: Way, request: &[u8]) {
        let Some(contents) = self.binding.answer(now, way.remote, request) else {
            self.stats.unrouted += 1;
            return;
        };
        self.stats.binding_answers += 1;
        let (source, destination) = (way.local, way.remote);
        self.outputs.push_back(Output::Transmit(Transmit { source, destination, contents }));
    }

    /// Routes an address to a peer that has proved it. An address that belongs to another
    /// living peer stays there until that one is silent and a probe was answered from there: a
    /// check proves the password, not that the source is genuine.
    pub(super) fn learn(&mut self, now: Instant, slot: usize, source: SocketAddr) -> bool {
        let owner = self.routes.find(source).filter(|owner| *owner != slot);
        if owner.is_some_and(|owner| !self.is_absent(now, owner, source)) {
            return false;
        }
        let check = Sign::Check;
        let learnt = self.with_peer(slot, |peer, out| peer.learn(now, source, check, out));
        let learnt = learnt.unwrap_or(false);
        if learnt && owner.is_none() {
            self.routes.insert(source, slot);
        }
        learnt
    }

    /// Checks route by our own ufrag, everything else by its source address.
    fn route(&mut self, now: Instant, source: SocketAddr, contents: &[u8]) -> Option<usize> {
        match contents.first()? {
            0..=3 => self.route_stun(now, source, &StunMessage::parse(contents).ok()?),
            _ => self.routes.find(source),
        }
    }

    fn route_stun(
        &mut self,
        now: Instant,
        source: SocketAddr,
        message: &StunMessage<'_>,
    ) -> Option<usize> {
        if !message.is_binding_request() {
            return self.routes.find(source);
        }
        let (ours, _) = message.split_username()?;
        let slot = slot_of(ours)?;
        let (_, peer) = self.peers.get(slot)?;
        if peer.credentials().ufrag != ours {
            return None;
        }
        if !message.verify(peer.credentials().pass.as_bytes(), crypto::sha1_hmac) {
            self.stats.forged += 1;
            self.peers[slot].1.note_forged();
            return None;
        }
        self.learn(now, slot, source).then_some(slot)
    }

    /// Gives a datagram to a peer; whether it showed that it is the peer's.
    fn deliver(&mut self, now: Instant, slot: usize, way: Way, contents: &[u8]) -> bool {
        let taken = self.with_peer(slot, |peer, out| peer.handle_datagram(now, way, contents, out));
        match taken {
            None | Some(Taken::Nothing) => return false,
            Some(Taken::Heard) if self.routes.find(way.remote).is_some() => {}
            Some(Taken::Heard | Taken::Proven) => self.own(slot, way.remote),
        }
        true
    }

    /// Tries a record on peers that may have moved, until one takes it.
    fn seek(&mut self, now: Instant, way: Way, contents: &[u8], but: Option<usize>) -> bool {
        let candidates = self.seek.candidates(now, way.remote.ip());
        candidates.into_iter().filter(|slot| Some(*slot) != but).any(|slot| {
            self.stats.trials += 1;
            self.deliver(now, slot, way, contents)
        })
    }

    fn own(&mut self, slot: usize, source: SocketAddr) {
        let Some((_, peer)) = self.peers.get(slot) else { return };
        if !peer.sources().any(|known| known == source) {
            return;
        }
        if let Some(owner) = self.routes.find(source).filter(|owner| *owner != slot) {
            self.with_peer(owner, |peer, _| peer.forget(source));
        }
        self.routes.insert(source, slot);
    }

    fn is_absent(&self, now: Instant, slot: usize, source: SocketAddr) -> bool {
        self.peers.get(slot).is_none_or(|(_, peer)| peer.is_absent(now, source))
    }
}
