//! Test hooks for tests outside of this crate: a bare data path and SCTP packets with faults. Only
//! with the feature `odd`; may change in any version.

use std::time::Instant;

use bytes::Bytes;

use crate::Config;
use crate::sctp::{DataPath, Filtered, packet};

/// Data path of one peer without ICE, DTLS and str0m's SCTP: plaintext packets in and out.
#[derive(Debug)]
pub struct BareDataPath {
    data_path: DataPath,
}

impl BareDataPath {
    /// A data path that observes the SCTP handshake.
    pub fn new(now: Instant, config: &Config) -> BareDataPath {
        BareDataPath { data_path: DataPath::new(now, config) }
    }

    /// Advances the time; it never goes back.
    pub fn set_now(&mut self, now: Instant) {
        self.data_path.set_now(now);
    }

    /// Reports that DTLS is connected.
    pub fn on_dtls_connected(&mut self) {
        self.data_path.on_dtls_connected();
        self.data_path.queue_initial_heartbeat();
    }

    /// Filters a packet of our SCTP; returns what is passed to DTLS.
    pub fn filter_outbound(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        payload(self.data_path.filter_outbound(packet), packet)
    }

    /// Filters a packet from DTLS; returns what is passed to our SCTP.
    pub fn filter_inbound(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        payload(self.data_path.filter_inbound(packet), packet)
    }

    /// Returns the next synthetic packet for our SCTP, which no peer has sent.
    pub fn poll_synthetic(&mut self) -> Option<Vec<u8>> {
        self.data_path.poll_synthetic()
    }

    /// Reports that the channel is open on this stream.
    pub fn activate(&mut self, stream: u16) {
        self.data_path.activate(stream);
    }

    /// Whether the data path carries messages.
    pub fn is_active(&self) -> bool {
        self.data_path.is_active()
    }

    /// Queues a message for the next [`flush`](BareDataPath::flush), if there is room; returns
    /// whether there was.
    pub fn send(&mut self, message: Bytes, repair: Option<bool>) -> bool {
        let has_room = self.data_path.is_active() && self.data_path.poll_ready().is_ok();
        if has_room {
            self.data_path.send(message, repair);
        }
        has_room
    }

    /// Writes the queued data into packets.
    pub fn flush(&mut self) {
        self.data_path.flush();
    }

    /// Sends a path challenge with this nonce.
    pub fn send_path_challenge(&mut self, nonce: u64) {
        self.data_path.send_path_challenge(nonce);
    }

    /// Returns the nonce of a path response, once.
    pub fn poll_path_response(&mut self) -> Option<u64> {
        self.data_path.poll_path_response()
    }

    /// Returns the data path's next packet for DTLS.
    pub fn poll_packet(&mut self) -> Option<Vec<u8>> {
        self.data_path.poll_packet()
    }

    /// Returns the next received message.
    pub fn poll_message(&mut self) -> Option<Bytes> {
        self.data_path.poll_message()
    }

    /// Returns the next timeout.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.data_path.next_timeout()
    }

    /// Whether the peer has to be closed for an error. Returns true once.
    pub fn has_failed(&mut self) -> bool {
        self.data_path.take_error().is_some()
    }
}

/// Writes the checksum of RFC 9260 §6.8 into a packet of at least 12 bytes.
///
/// # Panics
/// If the packet is shorter.
pub fn write_checksum(packet: &mut [u8]) {
    packet::write_checksum(packet);
}

fn payload(passage: Filtered, packet: &[u8]) -> Option<Vec<u8>> {
    passage.payload(packet).map(<[u8]>::to_vec)
}
