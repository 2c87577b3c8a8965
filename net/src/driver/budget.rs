//! How much work a turn of the loop may do, and each kind of work in it.

use std::time::{Duration, Instant};

/// The time of one turn. What one kind of work leaves of its share goes to those after it, and
/// what is left undone is first in line in the next turn.
#[derive(Debug)]
pub(super) struct Turn {
    ends: Instant,
    /// Kinds of work that are still to come.
    kinds: u32,
}

impl Turn {
    /// A turn that begins now and works about so long, for the last piece that is begun in time
    /// is done, with so many kinds of work.
    pub(super) fn begin(now: Instant, time: Duration, kinds: u32) -> Turn {
        Turn { ends: now + time, kinds }
    }

    /// What the next kind of work may do: so many pieces, and one at least, in its share of the
    /// time that is left.
    /// The clock is looked at before each `stride`th piece.
    pub(super) fn share(&mut self, now: Instant, pieces: u32, stride: u32) -> Budget {
        let left = self.ends.saturating_duration_since(now);
        let ends = now + left / self.kinds.max(1);
        self.kinds = self.kinds.saturating_sub(1);
        Budget { pieces: pieces.max(1), done: 0, stride, ends }
    }
}

/// What one kind of work may do in a turn.
#[derive(Debug)]
pub(super) struct Budget {
    pieces: u32,
    done: u32,
    stride: u32,
    ends: Instant,
}

impl Budget {
    /// Whether one piece more may be done. The first always may, so that everything goes on
    /// however late it is.
    pub(super) fn admits(&mut self, clock: impl FnOnce() -> Instant) -> bool {
        let looks = self.done > 0 && self.done.is_multiple_of(self.stride);
        if looks && clock() >= self.ends {
            self.pieces = self.done;
        }
        let admits = self.done < self.pieces;
        self.done += u32::from(admits);
        admits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Pieces that are done where each takes so long.
    fn done(mut budget: Budget, now: &mut Instant, each: Duration) -> u32 {
        let mut done = 0;
        while budget.admits(|| *now) {
            done += 1;
            *now += each;
        }
        done
    }

    #[test]
    fn work_ends_with_its_pieces_or_its_time() {
        let mut now = Instant::now();
        let mut share = |pieces, stride, each| {
            let mut turn = Turn::begin(now, 4 * MS, 1);
            done(turn.share(now, pieces, stride), &mut now, each)
        };
        assert_eq!(share(100, 1, Duration::ZERO), 100);
        assert_eq!(share(100, 1, MS), 4);
        assert_eq!(share(100, 8, MS), 8, "the clock is looked at before every eighth");
        assert_eq!(share(100, 1, 10 * MS), 1, "the first is always done");
        assert_eq!(share(0, 1, MS), 1, "whatever is asked for");
    }

    #[test]
    fn each_kind_has_its_share_and_what_those_before_it_left() {
        let mut now = Instant::now();
        let begin = now;
        let mut turn = Turn::begin(now, 4 * MS, 4);
        let mut kind = |most: u32| {
            let budget = turn.share(now, most, 1);
            done(budget, &mut now, MS / 4)
        };
        assert_eq!(kind(u32::MAX), 4, "a quarter of the time");
        assert_eq!(kind(1), 1);
        assert_eq!(kind(u32::MAX), 6, "half of what is left, begun in time");
        assert_eq!(kind(u32::MAX), 5);
        assert_eq!(now - begin, 4 * MS);
    }

    #[test]
    fn whoever_comes_after_the_time_is_up_does_one_piece() {
        let mut now = Instant::now();
        let mut turn = Turn::begin(now, 4 * MS, 3);
        assert_eq!(done(turn.share(now, 9, 1), &mut now, 20 * MS), 1);
        assert_eq!(done(turn.share(now, 9, 1), &mut now, MS), 1);
        assert_eq!(done(turn.share(now, 9, 1), &mut now, MS), 1);
    }
}
