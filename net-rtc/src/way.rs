//! Which way a datagram goes.

use std::net::SocketAddr;
use std::time::Instant;

use str0m::Input;
use str0m::net::{Protocol, Receive};

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

    /// A datagram that came this way, if str0m knows such.
    pub(crate) fn received(self, now: Instant, contents: &[u8]) -> Option<Input<'_>> {
        let receive = Receive::new(Protocol::Udp, self.remote, self.local, contents).ok()?;
        Some(Input::Receive(now, receive))
    }
}
