//! What no honest peer does and no network should, for tests outside of this crate. There only
//! with the feature `odd`; may change in any version.

use std::time::Instant;

use bytes::Bytes;

use crate::Config;
use crate::sctp::{Passage, Plane, packet};

/// The data plane of one peer without ICE, DTLS and SCTP around it: plain packets in and out.
#[derive(Debug)]
pub struct Carrier {
    plane: Plane,
}

impl Carrier {
    /// A plane that watches SCTP's handshake.
    pub fn new(now: Instant, config: &Config) -> Carrier {
        Carrier { plane: Plane::new(now, config) }
    }

    /// Time has passed; it never goes back.
    pub fn set_now(&mut self, now: Instant) {
        self.plane.set_now(now);
    }

    /// DTLS is up.
    pub fn connected(&mut self) {
        self.plane.connected();
        self.plane.greet();
    }

    /// A packet of our SCTP; what of it goes to DTLS.
    pub fn outbound(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        rest(self.plane.outbound(packet), packet)
    }

    /// A packet from DTLS; what of it our SCTP sees.
    pub fn inbound(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        rest(self.plane.inbound(packet), packet)
    }

    /// A packet that our SCTP sees although it did not come.
    pub fn assumed(&mut self) -> Option<Vec<u8>> {
        self.plane.assumed()
    }

    /// The channel is open on this stream.
    pub fn engage(&mut self, stream: u16) {
        self.plane.engage(stream);
    }

    /// Whether messages go through the plane.
    pub fn is_engaged(&self) -> bool {
        self.plane.is_engaged()
    }

    /// Sends a message in the next [`flush`](Carrier::flush), if there is room; tells whether
    /// there was.
    pub fn send(&mut self, message: Bytes, repair: Option<bool>) -> bool {
        let has_room = self.plane.is_engaged() && self.plane.room().is_ok();
        if has_room {
            self.plane.send(message, repair);
        }
        has_room
    }

    /// Puts what is to be sent into packets.
    pub fn flush(&mut self) {
        self.plane.flush();
    }

    /// Asks the peer for a nonce.
    pub fn probe(&mut self, nonce: u64) {
        self.plane.probe(nonce);
    }

    /// The nonce that the peer gave back, once.
    pub fn probed(&mut self) -> Option<u64> {
        self.plane.probed()
    }

    /// The next packet of the plane's own for DTLS.
    pub fn packet(&mut self) -> Option<Vec<u8>> {
        self.plane.packet()
    }

    /// The next message that arrived.
    pub fn received(&mut self) -> Option<Bytes> {
        self.plane.received()
    }

    /// When there is something to do.
    pub fn wake(&self) -> Option<Instant> {
        self.plane.wake()
    }

    /// Whether the peer has done what ends it. It says so once.
    pub fn has_fault(&mut self) -> bool {
        self.plane.fault().is_some()
    }
}

/// Writes the checksum of RFC 9260 §6.8 into a packet of at least 12 bytes.
///
/// # Panics
/// If it is shorter.
pub fn seal(packet: &mut [u8]) {
    packet::seal(packet);
}

fn rest(passage: Passage, packet: &[u8]) -> Option<Vec<u8>> {
    passage.rest(packet).map(<[u8]>::to_vec)
}
