//! What is counted.

use crate::dropped::Dropped;

/// What an endpoint has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Datagrams that belonged to a peer.
    pub routed: u64,
    /// Datagrams that belonged to nobody, or came from an address that no peer has proved to
    /// be its own.
    pub unrouted: u64,
    /// Connectivity checks that named a peer and were not signed with its password.
    pub forged: u64,
    /// How often a record from an unknown address was tried on a peer that may have moved.
    pub trials: u64,
    /// Binding requests without credentials that were answered.
    pub binding_answers: u64,
    /// Messages that were dropped before they were sent, by cause.
    pub dropped: Dropped,
}
