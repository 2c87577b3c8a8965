//! Masks for a client's frames.

use std::hash::{BuildHasher, RandomState};

/// A source of masks that the peer and the application cannot foresee (RFC 6455 §5.3): a keyed
/// hash over a counter, the key drawn from the operating system. It exists so that scripts cannot
/// choose the bytes on the wire; it keeps nothing secret.
#[derive(Debug, Default)]
pub(crate) struct Masks {
    key: RandomState,
    drawn: u64,
}

impl Masks {
    /// The mask of the next frame.
    pub(crate) fn draw(&mut self) -> [u8; 4] {
        self.drawn += 1;
        let [a, b, c, d, ..] = self.key.hash_one(self.drawn).to_ne_bytes();
        [a, b, c, d]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn masks_differ() {
        let mut masks = Masks::default();
        let drawn: HashSet<_> = (0..1000).map(|_| masks.draw()).collect();
        assert!(drawn.len() > 990);
    }
}
