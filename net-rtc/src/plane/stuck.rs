//! Whether the peer follows FORWARD-TSN.

use std::time::{Duration, Instant};

/// So many SACKs, over so long, must show that a peer does not move when it is told to.
const SACKS: u32 = 8;
const TIME: Duration = Duration::from_secs(2);

/// Whether the peer stays where it is although it was told to move on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stuck {
    No,
    /// Since then, and so many SACKs have said so.
    Since(Instant, u32),
}

impl Stuck {
    /// The peer is told to move on.
    pub(super) fn told(&mut self, now: Instant) {
        if *self == Stuck::No {
            *self = Stuck::Since(now, 0);
        }
    }

    /// The peer spoke, and is `still` where it was. A SACK that was on its way when the peer was
    /// told says nothing yet.
    pub(super) fn heard(&mut self, now: Instant, still: bool, rtt: Duration) {
        *self = match *self {
            Stuck::Since(at, sacks) if still => {
                Stuck::Since(at, sacks + u32::from(now >= at + rtt * 2))
            }
            Stuck::Since(..) | Stuck::No => Stuck::No,
        };
    }

    /// Whether it was told again and again, and has spoken since, and is where it was.
    pub(super) fn is_sure(self, now: Instant) -> bool {
        match self {
            Stuck::No => false,
            Stuck::Since(at, sacks) => sacks >= SACKS && now >= at + TIME,
        }
    }
}
