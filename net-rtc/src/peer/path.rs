//! Where a peer is: the address that data is sent to.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use str0m::Input;
use str0m::net::{Protocol, Receive};

use crate::event::Transmit;
use crate::rtc::SignallingRole;

/// Probes whose answers are awaited. An older one proves nothing any more.
const MAX_PENDING_CHALLENGES: usize = 16;

/// Where data goes. ICE says so until the channel is open. From then on a peer moves when an
/// answer to a probe comes from elsewhere: a nonce that was sent there, back through DTLS. A
/// connectivity check has no nonce of ours, so a captured one could be sent from anywhere.
#[derive(Debug)]
pub(crate) struct ActivePath {
    role: SignallingRole,
    state: PathState,
    random: StdRng,
    pending_challenges: VecDeque<(u64, FourTuple)>,
}

/// ```text
///   Nominated --open--> Proven --answer to a probe from elsewhere--> Proven
/// ```
#[derive(Clone, Copy, Debug)]
enum PathState {
    /// Wherever ICE sends.
    Nominated(Option<FourTuple>),
    /// There: what is sent there reaches the peer.
    Validated(FourTuple),
}

impl ActivePath {
    /// Who answers an offer makes the checks, so there ICE knows best, always. `seed` is for
    /// tests; `None` takes the system's randomness.
    pub(crate) fn new(role: SignallingRole, seed: Option<u64>) -> ActivePath {
        let random = seed.map_or_else(rand::make_rng, StdRng::seed_from_u64);
        ActivePath {
            role,
            state: PathState::Nominated(None),
            random,
            pending_challenges: VecDeque::new(),
        }
    }

    /// The way of a datagram that ICE would send this way.
    pub(crate) fn route(&mut self, way: FourTuple) -> FourTuple {
        match &mut self.state {
            PathState::Nominated(last) => *last.insert(way),
            PathState::Validated(way) => *way,
        }
    }

    /// The channel is open, so the peer is where the handshakes went.
    pub(crate) fn pin(&mut self) {
        if self.role == SignallingRole::Offerer
            && let PathState::Nominated(Some(way)) = self.state
        {
            self.state = PathState::Validated(way);
        }
    }

    /// Where the peer is, if that is not left to ICE.
    pub(crate) fn validated(&self) -> Option<FourTuple> {
        match self.state {
            PathState::Nominated(_) => None,
            PathState::Validated(way) => Some(way),
        }
    }

    /// Where data goes, whoever says so.
    pub(crate) fn current(&self) -> Option<FourTuple> {
        match self.state {
            PathState::Nominated(way) => way,
            PathState::Validated(way) => Some(way),
        }
    }

    /// Whether what came this way came from elsewhere than the peer is.
    pub(crate) fn is_off_path(&self, from: FourTuple) -> bool {
        matches!(self.state, PathState::Validated(way) if way != from)
    }

    /// The nonce of a probe that goes this way.
    pub(crate) fn new_challenge(&mut self, way: FourTuple) -> u64 {
        let nonce = self.random.random();
        self.pending_challenges.truncate(MAX_PENDING_CHALLENGES - 1);
        self.pending_challenges.push_front((nonce, way));
        nonce
    }

    /// An answer to a probe came this way. Gives the way that it proves, if the probe went
    /// there too: the peer is there now.
    pub(crate) fn on_path_response(&mut self, nonce: u64, from: FourTuple) -> Option<FourTuple> {
        let probe = self.pending_challenges.iter().position(|(sent, _)| *sent == nonce)?;
        let (_, to) = self.pending_challenges.remove(probe)?;
        if to != from || matches!(self.state, PathState::Nominated(_)) {
            return None;
        }
        // What older ones prove is what has been.
        self.pending_challenges.truncate(probe);
        self.state = PathState::Validated(from);
        Some(from)
    }
}

/// A source that has been silent for so long makes room for another.
const EVICT_AFTER: Duration = Duration::from_secs(30);
/// Sources in the life of a peer that were never proven and made room. str0m remembers every
/// one of which a check came, and a check can be replayed.
const MAX_UNVALIDATED_EVICTIONS: u32 = 240;
/// How often a source is probed that sends what decrypts: nothing else can move a peer sooner.
const RECORD_PROBE_INTERVAL: Duration = Duration::from_millis(250);
/// How often one is that sends checks. Between two, an unproven one is answered.
const CHECK_PROBE_INTERVAL: Duration = Duration::from_secs(3);

/// What one costs, mostly in str0m (346 measured).
const MEMORY_PER_ADDR: usize = 352;

/// Most memory that the addresses of a peer can take, if so many are known at a time.
pub(crate) fn max_memory(most: usize) -> usize {
    most.saturating_add(MAX_UNVALIDATED_EVICTIONS as usize).saturating_mul(MEMORY_PER_ADDR)
}

/// The addresses that a peer is heard from; few, for each is a route, and a place in str0m.
#[derive(Debug)]
pub(crate) struct RemoteAddrs {
    addrs: Vec<RemoteAddr>,
    max_addrs: usize,
    unvalidated_evictions: u32,
}

#[derive(Clone, Copy, Debug)]
struct RemoteAddr {
    address: SocketAddr,
    /// When something authenticated came from there.
    last_recv: Instant,
    last_probe: Option<Instant>,
    /// Bytes of records that came from there, less those of the probes that answered them.
    credit: usize,
    /// Whether an answer to a probe came from there: what is sent there reaches the peer.
    validated: bool,
}

/// What shows that an address is the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SeenBy {
    /// A connectivity check. Its password is the peer's, but it may be a replay.
    Check,
    /// A record that DTLS decrypted. It was never seen before.
    Record,
}

/// What became of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It is remembered.
    Kept,
    /// It is remembered in place of this one.
    Evicted(SocketAddr),
    /// There is no room.
    Full,
}

impl RemoteAddrs {
    pub(crate) fn new(max_addrs: usize) -> RemoteAddrs {
        RemoteAddrs { addrs: Vec::new(), max_addrs, unvalidated_evictions: 0 }
    }

    /// The peer was heard from an address. Where data goes, `here`, is never forgotten.
    pub(crate) fn observe(
        &mut self,
        now: Instant,
        address: SocketAddr,
        sign: SeenBy,
        here: Option<SocketAddr>,
    ) -> Inserted {
        if let Some(source) = self.find(address) {
            source.last_recv = source.last_recv.max(now);
            return Inserted::Kept;
        }
        let source =
            RemoteAddr { address, last_recv: now, last_probe: None, credit: 0, validated: false };
        if self.addrs.len() < self.max_addrs {
            self.addrs.push(source);
            return Inserted::Kept;
        }
        let Some(index) = self.eviction_index(now, sign, here) else { return Inserted::Full };
        let old = std::mem::replace(&mut self.addrs[index], source);
        self.unvalidated_evictions += u32::from(!old.validated);
        Inserted::Evicted(old.address)
    }

    /// An answer to a probe came from there.
    pub(crate) fn validate(&mut self, address: SocketAddr) {
        if let Some(source) = self.find(address) {
            source.validated = true;
        }
    }

    pub(crate) fn is_validated(&self, address: SocketAddr) -> bool {
        self.addrs.iter().any(|source| source.address == address && source.validated)
    }

    /// Whether an address may be probed; if so, not again too soon.
    pub(crate) fn poll_probe(&mut self, now: Instant, address: SocketAddr, sign: SeenBy) -> bool {
        let Some(source) = self.find(address) else { return false };
        let pause = match sign {
            SeenBy::Check => CHECK_PROBE_INTERVAL,
            SeenBy::Record => RECORD_PROBE_INTERVAL,
        };
        let due = source.last_probe.is_none_or(|probed| now >= probed + pause);
        source.last_probe = if due { Some(now) } else { source.last_probe };
        due
    }

    /// A record of so many bytes came from there.
    pub(crate) fn credit(&mut self, address: SocketAddr, bytes: usize) {
        if let Some(source) = self.find(address) {
            source.credit = source.credit.saturating_add(bytes);
        }
    }

    /// Whether a probe of so many bytes may answer the records of an address: until it is proven
    /// it gets no more than came. If not, the next record is looked at as if none had been sent.
    pub(crate) fn try_debit(&mut self, address: SocketAddr, bytes: usize) -> bool {
        let Some(source) = self.find(address).filter(|source| !source.validated) else {
            return true;
        };
        match source.credit.checked_sub(bytes) {
            Some(left) => source.credit = left,
            None => source.last_probe = None,
        }
        source.last_probe.is_some()
    }

    /// When the peer was last heard from an address.
    pub(crate) fn last_recv(&self, address: SocketAddr) -> Option<Instant> {
        self.addrs.iter().find(|source| source.address == address).map(|source| source.last_recv)
    }

    /// An address turned out to be another's.
    pub(crate) fn remove(&mut self, address: SocketAddr) {
        self.addrs.retain(|source| source.address != address);
    }

    pub(crate) fn addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.addrs.iter().map(|source| source.address)
    }

    fn find(&mut self, address: SocketAddr) -> Option<&mut RemoteAddr> {
        self.addrs.iter_mut().find(|source| source.address == address)
    }

    /// Who makes room: the longest silent. A replay must not push out what lives, nor without
    /// end what may come to live.
    fn eviction_index(
        &self,
        now: Instant,
        sign: SeenBy,
        here: Option<SocketAddr>,
    ) -> Option<usize> {
        let may_go = |source: &RemoteAddr| match sign {
            _ if here == Some(source.address) => false,
            SeenBy::Check => {
                now >= source.last_recv + EVICT_AFTER
                    && (source.validated || self.unvalidated_evictions < MAX_UNVALIDATED_EVICTIONS)
            }
            SeenBy::Record => true,
        };
        let sources = self.addrs.iter().enumerate().filter(|(_, source)| may_go(source));
        sources
            .min_by_key(|(_, source)| (source.validated, source.last_recv))
            .map(|(index, _)| index)
    }
}

/// The two ends that a datagram has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FourTuple {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

impl FourTuple {
    /// A datagram that goes this way.
    pub(crate) fn transmit(self, contents: Vec<u8>) -> Transmit {
        Transmit { source: self.local, destination: self.remote, contents }
    }

    /// A datagram that came this way, if str0m knows such.
    pub(crate) fn rtc_input(self, now: Instant, contents: &[u8]) -> Option<Input<'_>> {
        let receive = Receive::new(Protocol::Udp, self.remote, self.local, contents).ok()?;
        Some(Input::Receive(now, receive))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(port: u16) -> FourTuple {
        FourTuple { local: ([127, 0, 0, 1], 3_000).into(), remote: ([127, 0, 0, 1], port).into() }
    }

    fn open() -> ActivePath {
        let mut whereabouts = ActivePath::new(SignallingRole::Offerer, Some(1));
        assert_eq!(whereabouts.route(way(9)), way(9));
        assert_eq!(whereabouts.route(way(1)), way(1));
        whereabouts.pin();
        whereabouts
    }

    #[test]
    fn once_open_only_the_answer_to_a_probe_moves_it() {
        let mut whereabouts = open();
        assert_eq!(whereabouts.route(way(2)), way(1));
        let nonce = whereabouts.new_challenge(way(2));
        assert_eq!(whereabouts.on_path_response(nonce ^ 1, way(2)), None);
        assert_eq!(whereabouts.route(way(2)), way(1));
        assert_eq!(whereabouts.on_path_response(nonce, way(2)), Some(way(2)));
        assert_eq!(whereabouts.route(way(1)), way(2));
        assert_eq!(whereabouts.on_path_response(nonce, way(2)), None, "each is good for once");
    }

    #[test]
    fn who_answers_leaves_it_to_ice() {
        let mut whereabouts = ActivePath::new(SignallingRole::Answerer, Some(1));
        whereabouts.route(way(1));
        whereabouts.pin();
        assert_eq!((whereabouts.route(way(2)), whereabouts.validated()), (way(2), None));
        let nonce = whereabouts.new_challenge(way(2));
        assert_eq!(whereabouts.on_path_response(nonce, way(2)), None);
        assert_eq!(whereabouts.route(way(3)), way(3));
    }

    #[test]
    fn an_answer_from_elsewhere_proves_nothing() {
        let mut whereabouts = open();
        let nonce = whereabouts.new_challenge(way(2));
        assert_eq!(whereabouts.on_path_response(nonce, way(3)), None);
        assert_eq!(whereabouts.validated(), Some(way(1)));
    }

    #[test]
    fn an_answer_that_was_overtaken_does_not_move_it_back() {
        let mut whereabouts = open();
        let (older, newer) = (whereabouts.new_challenge(way(2)), whereabouts.new_challenge(way(3)));
        assert_eq!(whereabouts.on_path_response(newer, way(3)), Some(way(3)));
        assert_eq!(whereabouts.on_path_response(older, way(2)), None);
    }

    #[test]
    fn probes_are_bounded() {
        let mut whereabouts = open();
        (0..1_000).for_each(|_| _ = whereabouts.new_challenge(way(2)));
        assert_eq!(whereabouts.pending_challenges.len(), MAX_PENDING_CHALLENGES);
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
        let mut sources = RemoteAddrs::new(2);
        let mut learn = |port| sources.observe(now, address(port), SeenBy::Check, None);
        let learnt = [1, 2, 1, 3, 2].map(&mut learn);
        assert_eq!(learnt.map(|learnt| learnt != Inserted::Full), [true, true, true, false, true]);
        assert!(sources.addrs().eq([address(1), address(2)]));
    }

    #[test]
    fn the_longest_silent_makes_room_for_a_check_and_any_but_the_current_for_a_record() {
        let now = Instant::now();
        let mut sources = RemoteAddrs::new(2);
        sources.observe(now, address(1), SeenBy::Check, None);
        sources.observe(now + EVICT_AFTER, address(2), SeenBy::Check, None);
        let mut learn = |port, sign, here| {
            sources.observe(now + EVICT_AFTER, address(port), sign, Some(address(here)))
        };
        assert_eq!(learn(3, SeenBy::Check, 1), Inserted::Full, "where data goes stays");
        assert_eq!(learn(3, SeenBy::Check, 2), Inserted::Evicted(address(1)));
        assert_eq!(learn(4, SeenBy::Check, 2), Inserted::Full);
        assert_eq!(learn(4, SeenBy::Record, 2), Inserted::Evicted(address(3)));
    }

    #[test]
    fn t39_replayed_checks_are_remembered_so_often_and_no_more() {
        let (now, mut sources) = (Instant::now(), RemoteAddrs::new(16));
        let mut learnt = 0;
        for port in 1..60_000 {
            let at = now + EVICT_AFTER * u32::from(port);
            let result = sources.observe(at, address(port), SeenBy::Check, None);
            learnt += u32::from(result != Inserted::Full);
        }
        assert_eq!(learnt, 16 + MAX_UNVALIDATED_EVICTIONS);
        // Whoever really moves is proven each time, and has room without end.
        for port in 1..2_000 {
            let at = now + EVICT_AFTER * (60_000 + u32::from(port));
            let learnt = sources.observe(at, address(port), SeenBy::Record, None);
            assert_ne!(learnt, Inserted::Full);
            sources.validate(address(port));
        }
    }

    #[test]
    fn an_address_is_proven_heard_and_forgotten_on_its_own() {
        let (now, mut sources) = (Instant::now(), RemoteAddrs::new(2));
        for port in 1..=2 {
            sources.observe(
                now + EVICT_AFTER * u32::from(port),
                address(port),
                SeenBy::Check,
                None,
            );
        }
        assert_eq!([1, 2].map(|port| sources.is_validated(address(port))), [false, false]);
        sources.validate(address(2));
        assert_eq!([1, 2].map(|port| sources.is_validated(address(port))), [false, true]);
        assert_eq!(sources.last_recv(address(2)), Some(now + EVICT_AFTER * 2));
        sources.remove(address(2));
        assert_eq!([1, 2].map(|port| sources.last_recv(address(port)).is_some()), [true, false]);
        assert!(sources.addrs().eq([address(1)]));
    }

    #[test]
    fn probes_have_a_pause() {
        let now = Instant::now();
        let mut sources = RemoteAddrs::new(2);
        assert!(!sources.poll_probe(now, address(1), SeenBy::Check), "nobody knows it");
        sources.observe(now, address(1), SeenBy::Check, None);
        assert!(sources.poll_probe(now, address(1), SeenBy::Check));
        assert!(!sources.poll_probe(now + RECORD_PROBE_INTERVAL, address(1), SeenBy::Check));
        assert!(sources.poll_probe(now + RECORD_PROBE_INTERVAL, address(1), SeenBy::Record));
    }

    #[test]
    fn t42_an_unproven_source_gets_no_more_than_it_has_paid_for() {
        let (now, mut sources) = (Instant::now(), RemoteAddrs::new(2));
        sources.observe(now, address(1), SeenBy::Record, None);
        sources.credit(address(1), 42);
        assert!(sources.poll_probe(now, address(1), SeenBy::Record));
        assert!(!sources.try_debit(address(1), 50), "too long");
        sources.credit(address(1), 42);
        assert!(sources.poll_probe(now, address(1), SeenBy::Record), "as if none had been sent");
        assert!(sources.try_debit(address(1), 50));
        sources.validate(address(1));
        assert!(sources.try_debit(address(1), 9_000));
    }
}
