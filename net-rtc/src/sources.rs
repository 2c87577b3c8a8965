//! Where a peer's datagrams come from.

use std::net::SocketAddr;

/// The addresses that a peer has proved to be its own; few, for they are kept as long as it
/// lives.
#[derive(Debug)]
pub(crate) struct Sources {
    known: Vec<SocketAddr>,
    most: usize,
}

impl Sources {
    pub(crate) fn new(most: usize) -> Sources {
        Sources { known: Vec::new(), most }
    }

    /// Remembers an address; false past the bound.
    pub(crate) fn learn(&mut self, source: SocketAddr) -> bool {
        let is_known = self.known.contains(&source);
        let room = self.known.len() < self.most;
        if !is_known && room {
            self.known.push(source);
        }
        is_known || room
    }

    pub(crate) fn known(&self) -> &[SocketAddr] {
        &self.known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_are_remembered() {
        let [first, second, third] = [1, 2, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let mut sources = Sources::new(2);
        let learnt = [first, second, first, third, second].map(|source| sources.learn(source));
        assert_eq!(learnt, [true, true, true, false, true]);
        assert_eq!(sources.known(), [first, second]);
    }
}
