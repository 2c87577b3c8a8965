//! What no honest peer does and no network should: for tests.

use std::fmt::Debug;
use std::hash::Hash;
use std::time::Instant;

use super::Endpoint;
use crate::peer::PeerOutput;
use crate::plane::packet::Builder;

impl<K: Clone + Eq + Hash + Debug> Endpoint<K> {
    /// Takes a peer back to plain SCTP, as the plane does with one that it does not fit.
    pub(crate) fn fall_back(&mut self, key: &K) {
        self.peers[self.slots[key]].1.fall_back();
    }

    /// Lets the network lose the next packet to us that ends with this chunk.
    pub(crate) fn lose(&mut self, key: &K, kind: u8) {
        self.peers[self.slots[key]].1.lose(kind);
    }

    /// Sends an SCTP packet that an honest peer would not.
    pub(crate) fn inject(&mut self, now: Instant, key: &K, write: impl FnOnce(&mut Builder)) {
        let slot = self.slots[key];
        self.with_peer(slot, |peer, out| peer.inject(now, write, out));
    }

    /// Has a peer's machine panic just after it forgot where the peer was.
    pub(crate) fn forget_and_panic(&mut self, key: &K) {
        let slot = self.slots[key];
        self.with_peer(slot, |peer, out| -> () {
            let source = peer.sources().next().expect("it was heard");
            peer.forget(source);
            out.push(PeerOutput::Forgot(source));
            panic!("as this test wants it");
        });
    }

    /// 12 or 13, once DTLS is up.
    pub(crate) fn dtls_version(&mut self, key: &K) -> Option<u8> {
        self.peers[self.slots[key]].1.dtls_version()
    }

    /// Closes its channel, and nothing else.
    pub(crate) fn close_channel(&mut self, now: Instant, key: &K) {
        let slot = self.slots[key];
        self.with_peer(slot, |peer, out| peer.close_channel(now, out));
    }

    /// Opens another channel and sends on it, as only an odd peer does.
    pub(crate) fn open_another(&mut self, now: Instant, key: &K) {
        let slot = self.slots[key];
        self.with_peer(slot, |peer, out| peer.open_another(now, out));
    }
}
