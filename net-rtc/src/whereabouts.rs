//! Where a peer is: the address that data is sent to.

use std::collections::VecDeque;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::stack::Role;
use crate::way::Way;

/// Probes whose answers are awaited. An older one proves nothing any more.
const PROBES: usize = 16;

/// Where data goes. ICE says so until the channel is open. From then on a peer moves when an
/// answer to a probe comes from elsewhere: a nonce that was sent there, back through DTLS. A
/// connectivity check has no nonce of ours, so a captured one could be sent from anywhere.
#[derive(Debug)]
pub(crate) struct Whereabouts {
    role: Role,
    here: Here,
    random: StdRng,
    probes: VecDeque<(u64, Way)>,
}

/// ```text
///   Nominated --open--> Proven --answer to a probe from elsewhere--> Proven
/// ```
#[derive(Clone, Copy, Debug)]
enum Here {
    /// Wherever ICE sends.
    Nominated(Option<Way>),
    /// There: what is sent there reaches the peer.
    Proven(Way),
}

impl Whereabouts {
    /// Who answers an offer makes the checks, so there ICE knows best, always. `seed` is for
    /// tests; `None` takes the system's randomness.
    pub(crate) fn new(role: Role, seed: Option<u64>) -> Whereabouts {
        let random = seed.map_or_else(rand::make_rng, StdRng::seed_from_u64);
        Whereabouts { role, here: Here::Nominated(None), random, probes: VecDeque::new() }
    }

    /// The way of a datagram that ICE would send this way.
    pub(crate) fn lead(&mut self, way: Way) -> Way {
        match &mut self.here {
            Here::Nominated(last) => *last.insert(way),
            Here::Proven(way) => *way,
        }
    }

    /// The channel is open, so the peer is where the handshakes went.
    pub(crate) fn settle(&mut self) {
        if self.role == Role::Offerer
            && let Here::Nominated(Some(way)) = self.here
        {
            self.here = Here::Proven(way);
        }
    }

    /// Where the peer is, if that is not left to ICE.
    pub(crate) fn here(&self) -> Option<Way> {
        match self.here {
            Here::Nominated(_) => None,
            Here::Proven(way) => Some(way),
        }
    }

    /// Where data goes, whoever says so.
    pub(crate) fn way(&self) -> Option<Way> {
        match self.here {
            Here::Nominated(way) => way,
            Here::Proven(way) => Some(way),
        }
    }

    /// Whether what came this way came from elsewhere than the peer is.
    pub(crate) fn is_elsewhere(&self, from: Way) -> bool {
        matches!(self.here, Here::Proven(way) if way != from)
    }

    /// The nonce of a probe that goes this way.
    pub(crate) fn probe(&mut self, way: Way) -> u64 {
        let nonce = self.random.random();
        self.probes.truncate(PROBES - 1);
        self.probes.push_front((nonce, way));
        nonce
    }

    /// An answer to a probe came this way. Gives the way that it proves, if the probe went
    /// there too: the peer is there now.
    pub(crate) fn answered(&mut self, nonce: u64, from: Way) -> Option<Way> {
        let probe = self.probes.iter().position(|(sent, _)| *sent == nonce)?;
        let (_, to) = self.probes.remove(probe)?;
        if to != from || matches!(self.here, Here::Nominated(_)) {
            return None;
        }
        // What older ones prove is what has been.
        self.probes.truncate(probe);
        self.here = Here::Proven(from);
        Some(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(port: u16) -> Way {
        Way { local: ([127, 0, 0, 1], 3_000).into(), remote: ([127, 0, 0, 1], port).into() }
    }

    fn open() -> Whereabouts {
        let mut whereabouts = Whereabouts::new(Role::Offerer, Some(1));
        assert_eq!(whereabouts.lead(way(9)), way(9));
        assert_eq!(whereabouts.lead(way(1)), way(1));
        whereabouts.settle();
        whereabouts
    }

    #[test]
    fn once_open_only_the_answer_to_a_probe_moves_it() {
        let mut whereabouts = open();
        assert_eq!(whereabouts.lead(way(2)), way(1));
        let nonce = whereabouts.probe(way(2));
        assert_eq!(whereabouts.answered(nonce ^ 1, way(2)), None);
        assert_eq!(whereabouts.lead(way(2)), way(1));
        assert_eq!(whereabouts.answered(nonce, way(2)), Some(way(2)));
        assert_eq!(whereabouts.lead(way(1)), way(2));
        assert_eq!(whereabouts.answered(nonce, way(2)), None, "each is good for once");
    }

    #[test]
    fn who_answers_leaves_it_to_ice() {
        let mut whereabouts = Whereabouts::new(Role::Answerer, Some(1));
        whereabouts.lead(way(1));
        whereabouts.settle();
        assert_eq!((whereabouts.lead(way(2)), whereabouts.here()), (way(2), None));
        let nonce = whereabouts.probe(way(2));
        assert_eq!(whereabouts.answered(nonce, way(2)), None);
        assert_eq!(whereabouts.lead(way(3)), way(3));
    }

    #[test]
    fn an_answer_from_elsewhere_proves_nothing() {
        let mut whereabouts = open();
        let nonce = whereabouts.probe(way(2));
        assert_eq!(whereabouts.answered(nonce, way(3)), None);
        assert_eq!(whereabouts.here(), Some(way(1)));
    }

    #[test]
    fn an_answer_that_was_overtaken_does_not_move_it_back() {
        let mut whereabouts = open();
        let (older, newer) = (whereabouts.probe(way(2)), whereabouts.probe(way(3)));
        assert_eq!(whereabouts.answered(newer, way(3)), Some(way(3)));
        assert_eq!(whereabouts.answered(older, way(2)), None);
    }

    #[test]
    fn probes_are_bounded() {
        let mut whereabouts = open();
        (0..1_000).for_each(|_| _ = whereabouts.probe(way(2)));
        assert_eq!(whereabouts.probes.len(), PROBES);
    }
}
