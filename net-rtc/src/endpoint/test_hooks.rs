//! Test hooks of an endpoint: faults of peers and of the network.

use std::fmt::Debug;
use std::hash::Hash;
use std::time::Instant;

use crate::endpoint::Endpoint;
#[cfg(test)]
use crate::peer::PeerOutput;
#[cfg(test)]
use crate::sctp::packet::PacketWriter;

/// Hooks for attackers in tests of other crates: feature `odd`.
impl<K: Clone + Eq + Hash + Debug> Endpoint<K> {
    /// Sends an SCTP packet with these bytes in place of its chunks, inside DTLS; returns false if
    /// no peer has this key, or its SCTP association has not begun.
    #[doc(hidden)]
    pub fn inject_chunks(&mut self, now: Instant, key: &K, chunks: &[u8]) -> bool {
        let Some(slot) = self.slots.get(key).copied() else { return false };
        self.with_peer(slot, |peer, out| {
            peer.inject_packet(now, |builder| builder.write_raw(chunks), out)
        })
        .unwrap_or(false)
    }

    /// Suppresses all chunks of this type to a peer from now on.
    #[doc(hidden)]
    pub fn suppress_chunk_type(&mut self, key: &K, kind: u8) {
        if let Some(slot) = self.slots.get(key).copied() {
            self.peers[slot].1.suppress_chunk_type(kind);
        }
    }

    /// Ignores protocol violations of a peer from now on, which attacks cause.
    #[doc(hidden)]
    pub fn ignore_violations(&mut self, key: &K) {
        if let Some(slot) = self.slots.get(key).copied() {
            self.peers[slot].1.ignore_violations();
        }
    }

    /// Returns the next TSN to be sent to a peer and the highest TSN received from it; `None`
    /// unless the low-latency data path carries the data.
    #[doc(hidden)]
    pub fn tsns(&self, key: &K) -> Option<(u32, u32)> {
        let (ours, theirs) = self.peers[*self.slots.get(key)?].1.tsns()?;
        Some((ours.0, theirs.0))
    }
}

#[cfg(test)]
impl<K: Clone + Eq + Hash + Debug> Endpoint<K> {
    /// Makes a peer fall back to plain SCTP, as the data path does with an incompatible peer.
    pub(crate) fn fall_back(&mut self, key: &K) {
        self.peers[self.slots[key]].1.fall_back();
    }

    /// Drops the next packet to us that ends with this chunk.
    pub(crate) fn drop_next_inbound(&mut self, key: &K, kind: u8) {
        self.peers[self.slots[key]].1.drop_next_inbound(kind);
    }

    /// Sends an SCTP packet with these contents.
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

    /// Makes a peer's state machine panic just after it removed an address.
    pub(crate) fn forget_and_panic(&mut self, key: &K) {
        let slot = self.slots[key];
        self.with_peer(slot, |peer, out| -> () {
            let source = peer.remote_addrs().next().expect("it was heard");
            peer.remove_addr(source);
            out.push(PeerOutput::AddrRemoved(source));
            panic!("as this test wants it");
        });
    }

    /// Returns 12 or 13, once DTLS is connected.
    pub(crate) fn dtls_version(&mut self, key: &K) -> Option<u8> {
        self.peers[self.slots[key]].1.dtls_version()
    }

    /// Closes only the channel.
    pub(crate) fn close_channel(&mut self, now: Instant, key: &K) {
        let slot = self.slots[key];
        self.with_peer(slot, |peer, out| peer.close_channel(now, out));
    }

    /// Opens a second channel.
    pub(crate) fn open_second_channel(&mut self, now: Instant, key: &K) {
        let slot = self.slots[key];
        self.with_peer(slot, |peer, out| peer.open_second_channel(now, out));
    }
}
