//! What mio said last of a socket, for it says so only once.

use std::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    Yes,
    No,
    /// The system failed, and will not say when it works again: it is tried then.
    At(Instant),
}

impl Ready {
    /// When there may be something.
    pub(super) fn next_wake(self, now: Instant) -> Option<Instant> {
        match self {
            Ready::Yes => Some(now),
            Ready::No => None,
            Ready::At(at) => Some(at),
        }
    }

    /// Whether there may be something now.
    pub(super) fn is_now(self, now: Instant) -> bool {
        self.next_wake(now).is_some_and(|at| at <= now)
    }
}
