//! A connection between its request and its open channel.

use bytes::Bytes;
use net_signal::Negotiation;

use crate::{Config, PeerInfo};

#[derive(Debug)]
pub(super) struct Setup {
    pub(super) info: PeerInfo,
    pub(super) negotiation: Negotiation,
    /// Messages that came too early, for later.
    pub(super) early: Vec<Bytes>,
    early_bytes: usize,
}

impl Setup {
    pub(super) fn new(info: PeerInfo, negotiation: Negotiation) -> Setup {
        Setup { info, negotiation, early: Vec::new(), early_bytes: 0 }
    }

    pub(super) fn push_early(&mut self, message: Bytes) {
        self.early_bytes += message.len();
        self.early.push(message);
    }

    pub(super) fn is_over(&self, config: &Config) -> bool {
        self.early.len() > config.early_messages || self.early_bytes > config.early_bytes
    }
}
