//! What no honest peer does and no network should: for tests.

use std::time::Instant;

use str0m::crypto::dtls::ProtocolVersion;

use super::{Peer, PeerOutput};
use crate::plane::packet::Builder;
use crate::stack::unreliable;
use crate::state::State;

impl Peer {
    pub(crate) fn lose(&mut self, kind: u8) {
        self.plane.lock().lose = Some(kind);
    }

    pub(crate) fn fall_back(&mut self) {
        self.plane.lock().fall_back();
    }

    pub(crate) fn inject(
        &mut self,
        now: Instant,
        write: impl FnOnce(&mut Builder),
        out: &mut Vec<PeerOutput>,
    ) {
        self.plane.lock().inject(write);
        self.step(now, out);
        self.settle(now);
    }

    pub(crate) fn dtls_version(&mut self) -> Option<u8> {
        match self.rtc.direct_api().dtls_protocol_version()? {
            ProtocolVersion::DTLS1_2 => Some(12),
            ProtocolVersion::DTLS1_3 => Some(13),
            _ => None,
        }
    }

    /// What a page does by `channel.close()`: RE-CONFIG (RFC 6525).
    pub(crate) fn close_channel(&mut self, now: Instant, out: &mut Vec<PeerOutput>) {
        if let State::Open(channel) = self.state {
            self.rtc.direct_api().close_data_channel(channel);
        }
        self.step(now, out);
    }

    pub(crate) fn open_another(&mut self, now: Instant, out: &mut Vec<PeerOutput>) {
        self.rtc.direct_api().create_data_channel(unreliable(false));
        self.step(now, out);
        self.settle(now);
    }
}
