//! Test hooks of a peer: faults of peers and of the network.

use std::time::Instant;

#[cfg(test)]
use str0m::crypto::dtls::ProtocolVersion;

#[cfg(test)]
use crate::peer::state::State;
use crate::peer::{Peer, PeerOutput};
use crate::sctp::packet::{PacketWriter, Tsn};
#[cfg(test)]
use crate::sdp::channel_config;

impl Peer {
    /// Sends an SCTP packet; returns false if the SCTP association has not begun.
    pub(crate) fn inject_packet(
        &mut self,
        now: Instant,
        write: impl FnOnce(&mut PacketWriter),
        out: &mut Vec<PeerOutput>,
    ) -> bool {
        let injected = self.data_path.lock().inject_packet(write);
        self.advance_time(now, out);
        self.update_timeout(now);
        injected
    }

    pub(crate) fn suppress_chunk_type(&mut self, kind: u8) {
        self.data_path.lock().hooks.suppressed_chunk_types.push(kind);
    }

    pub(crate) fn ignore_violations(&mut self) {
        self.data_path.lock().hooks.ignore_violations = true;
    }

    pub(crate) fn tsns(&self) -> Option<(Tsn, Tsn)> {
        self.data_path.lock().tsns()
    }
}

#[cfg(test)]
impl Peer {
    pub(crate) fn drop_next_inbound(&mut self, kind: u8) {
        self.data_path.lock().hooks.drop_next_inbound = Some(kind);
    }

    pub(crate) fn fall_back(&mut self) {
        self.data_path.lock().fall_back();
    }

    pub(crate) fn dtls_version(&mut self) -> Option<u8> {
        match self.rtc.direct_api().dtls_protocol_version()? {
            ProtocolVersion::DTLS1_2 => Some(12),
            ProtocolVersion::DTLS1_3 => Some(13),
            _ => None,
        }
    }

    /// Closes the channel by RE-CONFIG (RFC 6525), like `channel.close()` in a page.
    pub(crate) fn close_channel(&mut self, now: Instant, out: &mut Vec<PeerOutput>) {
        if let State::Open(channel) = self.state {
            self.rtc.direct_api().close_data_channel(channel);
        }
        self.advance_time(now, out);
        self.update_timeout(now);
    }

    pub(crate) fn open_second_channel(&mut self, now: Instant, out: &mut Vec<PeerOutput>) {
        self.rtc.direct_api().create_data_channel(channel_config(false));
        self.advance_time(now, out);
        self.update_timeout(now);
    }
}
