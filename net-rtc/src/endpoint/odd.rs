//! What no honest peer does and no network should: for tests.

use std::fmt::Debug;
use std::hash::Hash;
use std::time::Instant;

use super::Endpoint;
#[cfg(feature = "odd")]
use crate::Stage;
#[cfg(test)]
use crate::plane::packet::Builder;

#[cfg(feature = "odd")]
impl<K: Clone + Eq + Hash + Debug> Endpoint<K> {
    /// Sends an SCTP packet with these bytes in place of its chunks (RFC 9260 §3), encrypted as
    /// any other; header and checksum are right. False, and nothing is sent, before DTLS is up
    /// and SCTP has said something, or if nobody has this key.
    pub fn send_odd(&mut self, now: Instant, key: &K, chunks: &[u8]) -> bool {
        let can = self.stage(key).is_some_and(|stage| stage >= Stage::Channel);
        let Some(slot) = self.slots.get(key).copied().filter(|_| can) else { return false };
        self.with_peer(slot, |peer, out| peer.send_odd(now, chunks, out)).unwrap_or(false)
    }
}

#[cfg(test)]
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

    /// 12 or 13, once DTLS is up.
    pub(crate) fn dtls_version(&mut self, key: &K) -> Option<u8> {
        self.peers[self.slots[key]].1.dtls_version()
    }

    /// Opens another channel and sends on it, as only an odd peer does.
    pub(crate) fn open_another(&mut self, now: Instant, key: &K) {
        let slot = self.slots[key];
        self.with_peer(slot, |peer, out| peer.open_another(now, out));
    }
}
