//! What no honest peer does and no network should: for tests.

use std::fmt::Debug;
use std::hash::Hash;
use std::time::Instant;

use crate::endpoint::Endpoint;
#[cfg(test)]
use crate::peer::PeerOutput;
#[cfg(test)]
use crate::sctp::packet::PacketWriter;

/// For attackers in tests of other crates: feature `odd`.
impl<K: Clone + Eq + Hash + Debug> Endpoint<K> {
    /// Sends an SCTP packet with these bytes in place of its chunks, inside of DTLS; false if
    /// nobody has this key, or SCTP has not begun with him.
    #[doc(hidden)]
    pub fn inject_chunks(&mut self, now: Instant, key: &K, chunks: &[u8]) -> bool {
        let Some(slot) = self.slots.get(key).copied() else { return false };
        self.with_peer(slot, |peer, out| {
            peer.inject_packet(now, |builder| builder.write_raw(chunks), out)
        })
        .unwrap_or(false)
    }

    /// Chunks of this type are never sent to a peer from now on.
    #[doc(hidden)]
    pub fn suppress_chunk_type(&mut self, key: &K, kind: u8) {
        if let Some(slot) = self.slots.get(key).copied() {
            self.peers[slot].1.suppress_chunk_type(kind);
        }
    }

    /// A peer is never ended for an offence from now on: whoever attacks must expect some.
    #[doc(hidden)]
    pub fn ignore_violations(&mut self, key: &K) {
        if let Some(slot) = self.slots.get(key).copied() {
            self.peers[slot].1.ignore_violations();
        }
    }

    /// The TSN that is next to be sent to a peer, and the highest that came of it; `None` unless
    /// the plane of our own carries the data.
    #[doc(hidden)]
    pub fn tsns(&self, key: &K) -> Option<(u32, u32)> {
        let (ours, theirs) = self.peers[*self.slots.get(key)?].1.tsns()?;
        Some((ours.0, theirs.0))
    }
}

#[cfg(test)]
impl<K: Clone + Eq + Hash + Debug> Endpoint<K> {
    /// Takes a peer back to plain SCTP, as the plane does with one that it does not fit.
    pub(crate) fn fall_back(&mut self, key: &K) {
        self.peers[self.slots[key]].1.fall_back();
    }

    /// Lets the network lose the next packet to us that ends with this chunk.
    pub(crate) fn drop_next_inbound(&mut self, key: &K, kind: u8) {
        self.peers[self.slots[key]].1.drop_next_inbound(kind);
    }

    /// Sends an SCTP packet that an honest peer would not.
    pub(crate) fn inject_packet(
        &mut self,
        now: Instant,
        key: &K,
        write: impl FnOnce(&mut PacketWriter),
    ) {
        let slot = self.slots[key];
        let injected = self.with_peer(slot, |peer, out| peer.inject_packet(now, write, out));
        assert_ne!(injected, Some(false), "SCTP has begun");
    }

    /// Has a peer's machine panic just after it forgot where the peer was.
    pub(crate) fn forget_and_panic(&mut self, key: &K) {
        let slot = self.slots[key];
        self.with_peer(slot, |peer, out| -> () {
            let source = peer.remote_addrs().next().expect("it was heard");
            peer.remove_addr(source);
            out.push(PeerOutput::AddrRemoved(source));
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
    pub(crate) fn open_second_channel(&mut self, now: Instant, key: &K) {
        let slot = self.slots[key];
        self.with_peer(slot, |peer, out| peer.open_second_channel(now, out));
    }
}
