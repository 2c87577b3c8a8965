//! Where a peer is: the address that data is sent to.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use str0m::Input;
use str0m::net::{Protocol, Receive};

use crate::event::Transmit;
use crate::rtc::Role;

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

/// A source that has been silent for so long makes room for another.
const STALE: Duration = Duration::from_secs(30);
/// Sources in the life of a peer that were never proven and made room. str0m remembers every
/// one of which a check came, and a check can be replayed.
const FORGOTTEN: u32 = 240;
/// How often a source is probed that sends what decrypts: nothing else can move a peer sooner.
const PROBE_PAUSE: Duration = Duration::from_millis(250);
/// How often one is that sends checks. Between two, an unproven one is answered.
const CHECK_PAUSE: Duration = Duration::from_secs(3);

/// What one costs, mostly in str0m (346 measured).
const ADDRESS: usize = 352;

/// Most memory that the addresses of a peer can take, if so many are known at a time.
pub(crate) fn most_memory(most: usize) -> usize {
    most.saturating_add(FORGOTTEN as usize).saturating_mul(ADDRESS)
}

/// The addresses that a peer is heard from; few, for each is a route, and a place in str0m.
#[derive(Debug)]
pub(crate) struct Sources {
    known: Vec<Source>,
    most: usize,
    forgotten: u32,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    address: SocketAddr,
    /// When something authenticated came from there.
    heard: Instant,
    probed: Option<Instant>,
    /// Bytes of records that came from there, less those of the probes that answered them.
    credit: usize,
    /// Whether an answer to a probe came from there: what is sent there reaches the peer.
    proven: bool,
}

/// What shows that an address is the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// A connectivity check. Its password is the peer's, but it may be a replay.
    Check,
    /// A record that DTLS decrypted. It was never seen before.
    Record,
}

/// What became of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Learnt {
    /// It is remembered.
    Kept,
    /// It is remembered in place of this one.
    InPlaceOf(SocketAddr),
    /// There is no room.
    Refused,
}

impl Sources {
    pub(crate) fn new(most: usize) -> Sources {
        Sources { known: Vec::new(), most, forgotten: 0 }
    }

    /// The peer was heard from an address. Where data goes, `here`, is never forgotten.
    pub(crate) fn learn(
        &mut self,
        now: Instant,
        address: SocketAddr,
        sign: Sign,
        here: Option<SocketAddr>,
    ) -> Learnt {
        if let Some(source) = self.find(address) {
            source.heard = source.heard.max(now);
            return Learnt::Kept;
        }
        let source = Source { address, heard: now, probed: None, credit: 0, proven: false };
        if self.known.len() < self.most {
            self.known.push(source);
            return Learnt::Kept;
        }
        let Some(index) = self.least(now, sign, here) else { return Learnt::Refused };
        let old = std::mem::replace(&mut self.known[index], source);
        self.forgotten += u32::from(!old.proven);
        Learnt::InPlaceOf(old.address)
    }

    /// An answer to a probe came from there.
    pub(crate) fn prove(&mut self, address: SocketAddr) {
        if let Some(source) = self.find(address) {
            source.proven = true;
        }
    }

    pub(crate) fn is_proven(&self, address: SocketAddr) -> bool {
        self.known.iter().any(|source| source.address == address && source.proven)
    }

    /// Whether an address may be probed; if so, not again too soon.
    pub(crate) fn probe(&mut self, now: Instant, address: SocketAddr, sign: Sign) -> bool {
        let Some(source) = self.find(address) else { return false };
        let pause = match sign {
            Sign::Check => CHECK_PAUSE,
            Sign::Record => PROBE_PAUSE,
        };
        let due = source.probed.is_none_or(|probed| now >= probed + pause);
        source.probed = if due { Some(now) } else { source.probed };
        due
    }

    /// A record of so many bytes came from there.
    pub(crate) fn earn(&mut self, address: SocketAddr, bytes: usize) {
        if let Some(source) = self.find(address) {
            source.credit = source.credit.saturating_add(bytes);
        }
    }

    /// Whether a probe of so many bytes may answer the records of an address: until it is proven
    /// it gets no more than came. If not, the next record is looked at as if none had been sent.
    pub(crate) fn spend(&mut self, address: SocketAddr, bytes: usize) -> bool {
        let Some(source) = self.find(address).filter(|source| !source.proven) else { return true };
        match source.credit.checked_sub(bytes) {
            Some(left) => source.credit = left,
            None => source.probed = None,
        }
        source.probed.is_some()
    }

    /// When the peer was last heard from an address.
    pub(crate) fn heard(&self, address: SocketAddr) -> Option<Instant> {
        self.known.iter().find(|source| source.address == address).map(|source| source.heard)
    }

    /// An address turned out to be another's.
    pub(crate) fn forget(&mut self, address: SocketAddr) {
        self.known.retain(|source| source.address != address);
    }

    pub(crate) fn known(&self) -> impl Iterator<Item = SocketAddr> {
        self.known.iter().map(|source| source.address)
    }

    fn find(&mut self, address: SocketAddr) -> Option<&mut Source> {
        self.known.iter_mut().find(|source| source.address == address)
    }

    /// Who makes room: the longest silent. A replay must not push out what lives, nor without
    /// end what may come to live.
    fn least(&self, now: Instant, sign: Sign, here: Option<SocketAddr>) -> Option<usize> {
        let may_go = |source: &Source| match sign {
            _ if here == Some(source.address) => false,
            Sign::Check => {
                now >= source.heard + STALE && (source.proven || self.forgotten < FORGOTTEN)
            }
            Sign::Record => true,
        };
        let sources = self.known.iter().enumerate().filter(|(_, source)| may_go(source));
        sources.min_by_key(|(_, source)| (source.proven, source.heard)).map(|(index, _)| index)
    }
}

/// The two ends that a datagram has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

impl Way {
    /// A datagram that goes this way.
    pub(crate) fn carry(self, contents: Vec<u8>) -> Transmit {
        Transmit { source: self.local, destination: self.remote, contents }
    }

    /// A datagram that came this way, if str0m knows such.
    pub(crate) fn received(self, now: Instant, contents: &[u8]) -> Option<Input<'_>> {
        let receive = Receive::new(Protocol::Udp, self.remote, self.local, contents).ok()?;
        Some(Input::Receive(now, receive))
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

#[cfg(test)]
mod sources_tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    #[test]
    fn only_so_many_are_remembered() {
        let now = Instant::now();
        let mut sources = Sources::new(2);
        let mut learn = |port| sources.learn(now, address(port), Sign::Check, None);
        let learnt = [1, 2, 1, 3, 2].map(&mut learn);
        assert_eq!(learnt.map(|learnt| learnt != Learnt::Refused), [true, true, true, false, true]);
        assert!(sources.known().eq([address(1), address(2)]));
    }

    #[test]
    fn the_longest_silent_makes_room_for_a_check_and_any_but_the_current_for_a_record() {
        let now = Instant::now();
        let mut sources = Sources::new(2);
        sources.learn(now, address(1), Sign::Check, None);
        sources.learn(now + STALE, address(2), Sign::Check, None);
        let mut learn =
            |port, sign, here| sources.learn(now + STALE, address(port), sign, Some(address(here)));
        assert_eq!(learn(3, Sign::Check, 1), Learnt::Refused, "where data goes stays");
        assert_eq!(learn(3, Sign::Check, 2), Learnt::InPlaceOf(address(1)));
        assert_eq!(learn(4, Sign::Check, 2), Learnt::Refused);
        assert_eq!(learn(4, Sign::Record, 2), Learnt::InPlaceOf(address(3)));
    }

    #[test]
    fn t39_replayed_checks_are_remembered_so_often_and_no_more() {
        let (now, mut sources) = (Instant::now(), Sources::new(16));
        let mut learnt = 0;
        for port in 1..60_000 {
            let at = now + STALE * u32::from(port);
            let result = sources.learn(at, address(port), Sign::Check, None);
            learnt += u32::from(result != Learnt::Refused);
        }
        assert_eq!(learnt, 16 + FORGOTTEN);
        // Whoever really moves is proven each time, and has room without end.
        for port in 1..2_000 {
            let at = now + STALE * (60_000 + u32::from(port));
            let learnt = sources.learn(at, address(port), Sign::Record, None);
            assert_ne!(learnt, Learnt::Refused);
            sources.prove(address(port));
        }
    }

    #[test]
    fn an_address_is_proven_heard_and_forgotten_on_its_own() {
        let (now, mut sources) = (Instant::now(), Sources::new(2));
        for port in 1..=2 {
            sources.learn(now + STALE * u32::from(port), address(port), Sign::Check, None);
        }
        assert_eq!([1, 2].map(|port| sources.is_proven(address(port))), [false, false]);
        sources.prove(address(2));
        assert_eq!([1, 2].map(|port| sources.is_proven(address(port))), [false, true]);
        assert_eq!(sources.heard(address(2)), Some(now + STALE * 2));
        sources.forget(address(2));
        assert_eq!([1, 2].map(|port| sources.heard(address(port)).is_some()), [true, false]);
        assert!(sources.known().eq([address(1)]));
    }

    #[test]
    fn probes_have_a_pause() {
        let now = Instant::now();
        let mut sources = Sources::new(2);
        assert!(!sources.probe(now, address(1), Sign::Check), "nobody knows it");
        sources.learn(now, address(1), Sign::Check, None);
        assert!(sources.probe(now, address(1), Sign::Check));
        assert!(!sources.probe(now + PROBE_PAUSE, address(1), Sign::Check));
        assert!(sources.probe(now + PROBE_PAUSE, address(1), Sign::Record));
    }

    #[test]
    fn t42_an_unproven_source_gets_no_more_than_it_has_paid_for() {
        let (now, mut sources) = (Instant::now(), Sources::new(2));
        sources.learn(now, address(1), Sign::Record, None);
        sources.earn(address(1), 42);
        assert!(sources.probe(now, address(1), Sign::Record));
        assert!(!sources.spend(address(1), 50), "too long");
        sources.earn(address(1), 42);
        assert!(sources.probe(now, address(1), Sign::Record), "as if none had been sent");
        assert!(sources.spend(address(1), 50));
        sources.prove(address(1));
        assert!(sources.spend(address(1), 9_000));
    }
}
