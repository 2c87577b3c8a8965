//! Which TSNs arrived, lately.

use super::tsn::Tsn;

/// TSNs below the highest that are remembered one by one; whatever is older counts as seen. At
/// 600 messages a second this is more than a second and a half.
const WINDOW: u32 = 1_024;
const WORDS: usize = (WINDOW / 64) as usize;

/// A ring of bits behind the highest TSN.
#[derive(Debug)]
pub(crate) struct Seen {
    highest: Tsn,
    bits: [u64; WORDS],
}

impl Seen {
    /// Everything up to `before` counts as seen.
    pub(crate) fn new(before: Tsn) -> Seen {
        Seen { highest: before, bits: [u64::MAX; WORDS] }
    }

    pub(crate) fn highest(&self) -> Tsn {
        self.highest
    }

    /// Marks a TSN; false if it was marked already, or is too old to tell.
    pub(crate) fn insert(&mut self, tsn: Tsn) -> bool {
        self.open(tsn);
        let new = !self.contains(tsn);
        if new {
            *self.word(tsn) |= bit(tsn);
        }
        new
    }

    /// Marks everything up to `tsn`.
    pub(crate) fn advance(&mut self, tsn: Tsn) {
        self.open(tsn);
        for steps in 0..WINDOW {
            let older = tsn.minus(steps);
            if self.highest.since(older) < i64::from(WINDOW) {
                *self.word(older) |= bit(older);
            }
        }
    }

    /// The last TSN after `before` up to which all are marked.
    pub(crate) fn contiguous_from(&self, before: Tsn) -> Tsn {
        let mut last = before;
        while last < self.highest && self.contains(last.plus(1)) {
            last = last.plus(1);
        }
        last
    }

    fn contains(&self, tsn: Tsn) -> bool {
        self.highest.since(tsn) >= i64::from(WINDOW) || self.bits[index(tsn)] & bit(tsn) != 0
    }

    /// Moves the window so that it ends with `tsn`, if that is beyond it.
    fn open(&mut self, tsn: Tsn) {
        let steps = tsn.since(self.highest);
        if steps >= i64::from(WINDOW) {
            self.bits = [0; WORDS];
        } else {
            for step in 1..=steps.max(0) as u32 {
                let fresh = self.highest.plus(step);
                *self.word(fresh) &= !bit(fresh);
            }
        }
        self.highest = self.highest.max(tsn);
    }

    fn word(&mut self, tsn: Tsn) -> &mut u64 {
        &mut self.bits[index(tsn)]
    }
}

// 2^32 is a multiple of the window, so the ring goes on across the wrap.
fn index(tsn: Tsn) -> usize {
    (tsn.0 % WINDOW / 64) as usize
}

fn bit(tsn: Tsn) -> u64 {
    1 << (tsn.0 % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    #[test]
    fn agrees_with_a_set() {
        for start in [0, 5_000, u32::MAX - 700] {
            let mut random = StdRng::seed_from_u64(u64::from(start));
            let mut seen = Seen::new(Tsn(start));
            let mut model = HashSet::new();
            let mut highest = 0i64;
            for _ in 0..20_000 {
                let offset = (highest + random.random_range(-1_200..40)).max(1);
                let tsn = Tsn(start).plus(offset as u32);
                let too_old = highest - offset >= i64::from(WINDOW);
                let new = !too_old && model.insert(offset);
                assert_eq!(seen.insert(tsn), new, "{offset} of {highest}");
                highest = highest.max(offset);
                assert_eq!(seen.highest(), Tsn(start).plus(highest as u32));
            }
        }
    }

    #[test]
    fn advancing_marks_what_is_passed() {
        let mut seen = Seen::new(Tsn(10));
        seen.insert(Tsn(15));
        seen.advance(Tsn(13));
        assert_eq!([11, 12, 13, 14].map(|tsn| seen.insert(Tsn(tsn))), [false, false, false, true]);
        seen.advance(Tsn(40_000));
        assert!(!seen.insert(Tsn(39_999)));
        assert!(seen.insert(Tsn(40_001)));
    }

    #[test]
    fn contiguous_stops_at_the_first_gap() {
        let mut seen = Seen::new(Tsn(10));
        assert_eq!([11, 12, 14].map(|tsn| seen.insert(Tsn(tsn))), [true; 3]);
        assert_eq!(seen.contiguous_from(Tsn(10)), Tsn(12));
    }
}
