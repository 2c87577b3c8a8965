//! Messages that never left, by cause.

use std::ops::{Add, AddAssign, Sub};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Messages that were dropped before they were sent, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// A newer message with the same key took their place.
    pub replaced: u64,
    /// They were first in line when more waited than there is room for.
    pub too_many: u64,
    /// They waited too long.
    pub too_old: u64,
}

impl Dropped {
    /// All of them.
    pub fn total(self) -> u64 {
        self.replaced + self.too_many + self.too_old
    }
}

impl Add for Dropped {
    type Output = Dropped;

    fn add(self, more: Dropped) -> Dropped {
        Dropped {
            replaced: self.replaced + more.replaced,
            too_many: self.too_many + more.too_many,
            too_old: self.too_old + more.too_old,
        }
    }
}

impl AddAssign for Dropped {
    fn add_assign(&mut self, more: Dropped) {
        *self = *self + more;
    }
}

impl Sub for Dropped {
    type Output = Dropped;

    /// What came since `before`. Never less than nothing.
    fn sub(self, before: Dropped) -> Dropped {
        Dropped {
            replaced: self.replaced.saturating_sub(before.replaced),
            too_many: self.too_many.saturating_sub(before.too_many),
            too_old: self.too_old.saturating_sub(before.too_old),
        }
    }
}

/// [`Dropped`] that any thread may add to and read, without a lock.
#[derive(Debug, Default)]
pub struct DroppedCounter {
    replaced: AtomicU64,
    too_many: AtomicU64,
    too_old: AtomicU64,
}

impl DroppedCounter {
    /// Counts more.
    pub fn add(&self, more: Dropped) {
        for (counter, more) in [
            (&self.replaced, more.replaced),
            (&self.too_many, more.too_many),
            (&self.too_old, more.too_old),
        ] {
            if more > 0 {
                counter.fetch_add(more, Relaxed);
            }
        }
    }

    /// What was counted so far.
    pub fn read(&self) -> Dropped {
        Dropped {
            replaced: self.replaced.load(Relaxed),
            too_many: self.too_many.load(Relaxed),
            too_old: self.too_old.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_counted_on_its_own() {
        let counter = DroppedCounter::default();
        let (one, two) = (
            Dropped { replaced: 1, too_many: 2, too_old: 3 },
            Dropped { replaced: 10, too_many: 20, too_old: 30 },
        );
        counter.add(one);
        counter.add(two);
        assert_eq!(counter.read(), one + two);
        assert_eq!((counter.read() - one, counter.read().total()), (two, 66));
        assert_eq!(one - two, Dropped::default());
    }
}
