//! How a TCP connection takes and gives bytes: all of them, in order, and cut up in any way.

use std::collections::VecDeque;
use std::time::Instant;

use rand::RngExt;
use rand::rngs::StdRng;

/// So many pieces of what comes at once are odd; the rest is one piece, so that a long message
/// does not take all day.
const ODD_PIECES: usize = 24;
/// Most bytes of an odd piece.
const ODD_BYTES: usize = 300;

/// One client's TCP connection, as the server's system sees it.
#[derive(Debug, Default)]
pub struct Wire {
    odd: Option<StdRng>,
    /// Until then the system takes nothing from the server.
    blocked: Option<Instant>,
    /// What has come and was not read, as the server does not want to.
    pub(super) unread: VecDeque<Unread>,
}

/// What a system keeps for a server that does not read.
#[derive(Debug)]
pub(super) enum Unread {
    Bytes(Vec<u8>),
    End,
}

impl Wire {
    /// From now on bytes are read and written in odd pieces, down to single bytes.
    pub fn chop(&mut self, random: StdRng) {
        self.odd = Some(random);
    }

    pub(super) fn block(&mut self, until: Instant) {
        self.blocked = self.blocked.max(Some(until));
    }

    pub(super) fn is_blocked(&self, now: Instant) -> bool {
        self.blocked.is_some_and(|until| now < until)
    }

    /// How many of so many bytes are written at once. `number` says how often that was asked in
    /// one go.
    pub(super) fn portion(&mut self, number: usize, bytes: usize) -> usize {
        match &mut self.odd {
            Some(random) if number < ODD_PIECES => odd(random).min(bytes),
            _ => bytes,
        }
    }

    /// The pieces in which these bytes are read.
    pub(super) fn pieces<'a>(&mut self, mut bytes: &'a [u8]) -> Vec<&'a [u8]> {
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(self.portion(pieces.len(), bytes.len()));
            pieces.push(piece);
            bytes = rest;
        }
        pieces
    }
}

/// Often one byte.
fn odd(random: &mut StdRng) -> usize {
    match random.random_range(0..3) {
        0 => 1,
        1 => random.random_range(1..16),
        _ => random.random_range(1..ODD_BYTES),
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn pieces_are_odd_and_everything() {
        let bytes: Vec<u8> = (0..20_000).map(|at| at as u8).collect();
        let mut wire = Wire::default();
        assert_eq!(wire.pieces(&bytes), [&bytes[..]]);
        wire.chop(StdRng::seed_from_u64(1));
        let pieces = wire.pieces(&bytes);
        assert_eq!((pieces.concat(), pieces.len()), (bytes.clone(), ODD_PIECES + 1));
        assert!(pieces.iter().any(|piece| piece.len() == 1));
    }
}
