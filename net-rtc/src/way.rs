//! Which way a datagram goes.

use std::net::SocketAddr;

use crate::event::Transmit;

/// The two ends that a datagram has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

impl Way {
    /// A datagram that goes this way.
    pub(crate) fn carry(self, contents: Vec<u8>) -> Transmit {
        Transmit { source: self.local, destination: self.remote, contents }
    }
}
