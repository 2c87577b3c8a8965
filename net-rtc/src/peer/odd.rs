//! What no honest peer does and no network should: for tests.

use std::time::Instant;

#[cfg(test)]
use str0m::crypto::dtls::ProtocolVersion;

use super::{Peer, PeerOutput};
#[cfg(test)]
use crate::plane::packet::Builder;
#[cfg(test)]
use crate::stack::unreliable;

#[cfg(feature = "odd")]
impl Peer {
    pub(crate) fn send_odd(
        &mut self,
        now: Instant,
        chunks: &[u8],
        out: &mut Vec<PeerOutput>,
    ) -> bool {
        let is_sent = self.plane.lock().send_odd(chunks);
        self.step(now, out);
        is_sent
    }
}

#[cfg(test)]
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
    }

    pub(crate) fn dtls_version(&mut self) -> Option<u8> {
        match self.rtc.direct_api().dtls_protocol_version()? {
            ProtocolVersion::DTLS1_2 => Some(12),
            ProtocolVersion::DTLS1_3 => Some(13),
            _ => None,
        }
    }

    pub(crate) fn open_another(&mut self, now: Instant, out: &mut Vec<PeerOutput>) {
        self.rtc.direct_api().create_data_channel(unreliable(false));
        self.step(now, out);
    }
}
