//! What no honest peer does and no network should, for tests outside of this crate. There only
//! with the feature `odd`; may change in any version.

use std::time::Instant;

use bytes::Bytes;

use crate::Config;
use crate::sctp::{DataPath, Filtered, packet};

/// The data plane of one peer without ICE, DTLS and SCTP around it: plain packets in and out.
#[derive(Debug)]
pub struct BareDataPath {
    data_path: DataPath,
}

impl BareDataPath {
    /// A plane that watches SCTP's handshake.
    pub fn new(now: Instant, config: &Config) -> BareDataPath {
        BareDataPath { data_path: DataPath::new(now, config) }
    }

    /// Time has passed; it never goes back.
    pub fn set_now(&mut self, now: Instant) {
        self.data_path.set_now(now);
    }

    /// DTLS is up.
    pub fn on_dtls_connected(&mut self) {
        self.data_path.on_dtls_connected();
        self.data_path.queue_initial_heartbeat();
    }

    /// A packet of our SCTP; what of it goes to DTLS.
    pub fn filter_outbound(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        payload(self.data_path.filter_outbound(packet), packet)
    }

    /// A packet from DTLS; what of it our SCTP sees.
    pub fn filter_inbound(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        payload(self.data_path.filter_inbound(packet), packet)
    }

    /// A packet that our SCTP sees although it did not come.
    pub fn poll_synthetic(&mut self) -> Option<Vec<u8>> {
        self.data_path.poll_synthetic()
    }

    /// The channel is open on this stream.
    pub fn activate(&mut self, stream: u16) {
        self.data_path.activate(stream);
    }

    /// Whether messages go through the plane.
    pub fn is_active(&self) -> bool {
        self.data_path.is_active()
    }

    /// Sends a message in the next [`flush`](Carrier::flush), if there is room; tells whether
    /// there was.
    pub fn send(&mut self, message: Bytes, repair: Option<bool>) -> bool {
        let has_room = self.data_path.is_active() && self.data_path.poll_ready().is_ok();
        if has_room {
            self.data_path.send(message, repair);
        }
        has_room
    }

    /// Puts what is to be sent into packets.
    pub fn flush(&mut self) {
        self.data_path.flush();
    }

    /// Asks the peer for a nonce.
    pub fn send_path_challenge(&mut self, nonce: u64) {
        self.data_path.send_path_challenge(nonce);
    }

    /// The nonce that the peer gave back, once.
    pub fn poll_path_response(&mut self) -> Option<u64> {
        self.data_path.poll_path_response()
    }

    /// The next packet of the plane's own for DTLS.
    pub fn poll_packet(&mut self) -> Option<Vec<u8>> {
        self.data_path.poll_packet()
    }

    /// The next message that arrived.
    pub fn poll_message(&mut self) -> Option<Bytes> {
        self.data_path.poll_message()
    }

    /// When there is something to do.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.data_path.next_timeout()
    }

    /// Whether the peer has done what ends it. It says so once.
    pub fn has_failed(&mut self) -> bool {
        self.data_path.take_error().is_some()
    }
}

/// Writes the checksum of RFC 9260 §6.8 into a packet of at least 12 bytes.
///
/// # Panics
/// If it is shorter.
pub fn write_checksum(packet: &mut [u8]) {
    packet::write_checksum(packet);
}

fn payload(passage: Filtered, packet: &[u8]) -> Option<Vec<u8>> {
    passage.payload(packet).map(<[u8]>::to_vec)
}
