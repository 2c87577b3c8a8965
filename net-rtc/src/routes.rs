//! Which peer a datagram belongs to.

use std::collections::HashMap;
use std::net::SocketAddr;

/// Source addresses that a peer has proved to be its own, by an authenticated connectivity
/// check or by being the address it was told to talk to.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    by_source: HashMap<SocketAddr, usize>,
}

impl Routes {
    pub(crate) fn find(&self, source: SocketAddr) -> Option<usize> {
        self.by_source.get(&source).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_source.len()
    }

    pub(crate) fn insert(&mut self, source: SocketAddr, slot: usize) {
        self.by_source.insert(source, slot);
    }

    /// Forgets a peer's address, but not one that another peer has taken over since.
    pub(crate) fn remove(&mut self, slot: usize, source: SocketAddr) {
        if self.find(source) == Some(slot) {
            self.by_source.remove(&source);
        }
    }
}
