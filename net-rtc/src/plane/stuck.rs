//! Whether the peer follows FORWARD-TSN.

use std::time::{Duration, Instant};

use super::tsn::Tsn;

/// So many times, over so long, a peer must have heard that it shall move, and stay.
const TIMES: u32 = 8;
const TIME: Duration = Duration::from_secs(2);

/// Watches the packets that told the peer to move on. One that is lost proves nothing; of one
/// whose data arrived the peer must have taken the rest too.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stuck {
    /// The packet that told it last, and where to move.
    told: Option<(u32, Tsn)>,
    /// Since when it stays, and how often it was told.
    stays: Option<(Instant, u32)>,
}

impl Stuck {
    /// A packet with data tells the peer to move to `target`.
    pub(super) fn told(&mut self, packet: u32, target: Tsn) {
        self.told.get_or_insert((packet, target));
    }

    /// The packet that told it last.
    pub(super) fn packet(&self) -> Option<u32> {
        self.told.map(|(packet, _)| packet)
    }

    /// That packet arrived, and the peer is at `cumulative`.
    pub(super) fn arrived(&mut self, now: Instant, cumulative: Tsn) {
        let Some((_, target)) = self.told.take() else { return };
        self.stays = (cumulative < target).then(|| {
            let (since, times) = self.stays.unwrap_or((now, 0));
            (since, times + 1)
        });
    }

    /// That packet is lost.
    pub(super) fn lost(&mut self) {
        self.told = None;
    }

    /// Whether the peer was told again and again, and is where it was.
    pub(super) fn is_sure(&self, now: Instant) -> bool {
        self.stays.is_some_and(|(since, times)| times >= TIMES && now >= since + TIME)
    }
}
