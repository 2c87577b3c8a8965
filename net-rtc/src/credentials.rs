//! ICE credentials that route themselves.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use str0m::IceCreds;

/// Characters of the part of a ufrag that names the peer's slot, in hexadecimal.
const SLOT_CHARS: usize = 8;

/// Draws ICE credentials (RFC 8445 §5.3). A ufrag begins with the peer's slot, so that a
/// check finds its peer without a look-up table, and ends with 48 random bits.
#[derive(Debug)]
pub(crate) struct Credentials {
    random: StdRng,
}

impl Credentials {
    pub(crate) fn new(seed: Option<u64>) -> Credentials {
        Credentials { random: seed.map_or_else(rand::make_rng, StdRng::seed_from_u64) }
    }

    pub(crate) fn draw(&mut self, slot: usize) -> IceCreds {
        let tail = self.random.random::<u64>() >> 16;
        let pass = self.random.random::<u128>();
        IceCreds { ufrag: format!("{slot:08x}{tail:012x}"), pass: format!("{pass:032x}") }
    }
}

/// The slot that a ufrag names, whether or not anybody has it.
pub(crate) fn slot_of(ufrag: &str) -> Option<usize> {
    usize::from_str_radix(ufrag.get(..SLOT_CHARS)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ufrag_names_its_slot() {
        let mut credentials = Credentials::new(Some(1));
        for slot in [0, 1, 255, 0xffff_ffff] {
            let drawn = credentials.draw(slot);
            assert_eq!(slot_of(&drawn.ufrag), Some(slot));
            assert_eq!((drawn.ufrag.len(), drawn.pass.len()), (20, 32));
        }
    }

    #[test]
    fn foreign_ufrags_name_nothing() {
        for ufrag in ["", "abcd", "zzzzzzzzzzzz", "äöüäöüäöü"] {
            assert_eq!(slot_of(ufrag), None);
        }
    }

    #[test]
    fn a_seed_repeats_and_no_seed_does_not() {
        let draw = |seed| Credentials::new(seed).draw(0);
        assert_eq!(draw(Some(5)), draw(Some(5)));
        assert_ne!(draw(None), draw(None));
    }
}
