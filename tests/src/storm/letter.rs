//! Messages that tell by themselves which they are: all bytes follow from the stream and the
//! number.

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Largest message, `net::Config::message_bytes`.
const LARGEST: usize = 64 * 1024;
/// An unreliable message that is not empty begins with its number.
const NUMBER: usize = 4;

/// What one side sends the other on one path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Letters {
    key: u64,
    /// Whether each must show its number, because any may be lost.
    numbered: bool,
}

impl Letters {
    pub(super) fn new(key: u64, numbered: bool) -> Letters {
        Letters { key, numbered }
    }

    /// The message with this number: now and then empty or as long as may be.
    pub(super) fn letter(self, number: u32) -> Bytes {
        let mut random = self.random(number);
        let mut bytes = vec![0; size(&mut random)];
        random.fill(&mut bytes[..]);
        if self.numbered && !bytes.is_empty() {
            bytes.resize(bytes.len().max(NUMBER), 0);
            bytes[..NUMBER].copy_from_slice(&number.to_le_bytes());
        }
        bytes.into()
    }

    /// The number of a message that is not empty.
    pub(super) fn number_of(bytes: &[u8]) -> Option<u32> {
        bytes.first_chunk::<NUMBER>().map(|number| u32::from_le_bytes(*number))
    }

    fn random(self, number: u32) -> StdRng {
        StdRng::seed_from_u64(self.key ^ u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }
}

fn size(random: &mut StdRng) -> usize {
    match random.random_range(0..512) {
        0 => LARGEST,
        1..24 => random.random_range(0..5_000),
        24..56 => 0,
        _ => random.random_range(1..200),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_always_the_same_and_unlike_all_others() {
        let letters = Letters::new(7, true);
        let all: Vec<Bytes> = (0..2_000).map(|number| letters.letter(number)).collect();
        for (number, letter) in all.iter().enumerate() {
            assert_eq!(*letter, letters.letter(number as u32));
            let told = Letters::number_of(letter);
            assert!(letter.is_empty() || told == Some(number as u32));
        }
        assert!(all.iter().any(Bytes::is_empty) && all.iter().any(|one| one.len() == LARGEST));
        assert_ne!(all[0], Letters::new(8, true).letter(0));
    }
}
