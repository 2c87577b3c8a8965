//! Transmission sequence numbers.

use std::cmp::Ordering;
use std::fmt;

/// Numbers DATA chunks. It wraps, so "later" means less than half the circle ahead (RFC 1982,
/// RFC 9260 §1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tsn(pub(crate) u32);

impl Tsn {
    pub(crate) fn plus(self, steps: u32) -> Tsn {
        Tsn(self.0.wrapping_add(steps))
    }

    pub(crate) fn minus(self, steps: u32) -> Tsn {
        Tsn(self.0.wrapping_sub(steps))
    }

    /// Steps from `earlier` to here; negative if it is later.
    pub(crate) fn since(self, earlier: Tsn) -> i64 {
        i64::from(self.0.wrapping_sub(earlier.0) as i32)
    }

    pub(crate) fn max(self, other: Tsn) -> Tsn {
        if other > self { other } else { self }
    }
}

/// Only within half the circle is the order a real one; nothing here compares across more.
impl PartialOrd for Tsn {
    fn partial_cmp(&self, other: &Tsn) -> Option<Ordering> {
        Some(self.since(*other).cmp(&0))
    }
}

impl fmt::Display for Tsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_survives_the_wrap() {
        for start in [0, 1, 1 << 31, u32::MAX - 1, u32::MAX] {
            let tsn = Tsn(start);
            for steps in [1, 2, 1_000, (1 << 31) - 1] {
                assert!(tsn < tsn.plus(steps), "{start} + {steps}");
                assert_eq!(tsn.plus(steps).since(tsn), i64::from(steps));
                assert_eq!(tsn.since(tsn.plus(steps)), -i64::from(steps));
                assert_eq!(tsn.plus(steps).minus(steps), tsn);
                assert_eq!(tsn.max(tsn.plus(steps)), tsn.plus(steps));
            }
        }
    }
}
