//! Path validation (cf. RFC 9000 §8.2): the active path and the remote addresses of a peer.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use str0m::Input;
use str0m::net::{Protocol, Receive};

use crate::event::Transmit;
use crate::peer::handshake::SignallingRole;

/// Maximum number of pending path challenges; older ones are dropped.
const MAX_PENDING_CHALLENGES: usize = 16;

/// Path that data is sent on. ICE selects it until the channel is open. From then on the peer
/// migrates when a path response arrives from another address: a nonce that was sent there,
/// returned through DTLS. A connectivity check has no nonce of ours, so a captured one can be
/// replayed from any address.
#[derive(Debug)]
pub(crate) struct ActivePath {
    role: SignallingRole,
    state: PathState,
    random: StdRng,
    pending_challenges: VecDeque<(u64, FourTuple)>,
}

/// State of the active path.
///
/// ```text
///   Nominated --open--> Validated --path response from another address--> Validated
/// ```
#[derive(Clone, Copy, Debug)]
enum PathState {
    /// The path that ICE used last.
    Nominated(Option<FourTuple>),
    /// Validated: datagrams on this path reach the peer.
    Validated(FourTuple),
}

impl ActivePath {
    /// An unnominated path. The answerer is the controlling agent: it always uses the path that ICE
    /// selects. `seed` is for tests; `None` uses the system's randomness.
    pub(crate) fn new(role: SignallingRole, seed: Option<u64>) -> ActivePath {
        let random = seed.map_or_else(rand::make_rng, StdRng::seed_from_u64);
        ActivePath {
            role,
            state: PathState::Nominated(None),
            random,
            pending_challenges: VecDeque::new(),
        }
    }

    /// Returns the path for a datagram that ICE would send on this one.
    pub(crate) fn route(&mut self, way: FourTuple) -> FourTuple {
        match &mut self.state {
            PathState::Nominated(last) => *last.insert(way),
            PathState::Validated(way) => *way,
        }
    }

    /// Pins the path of the handshakes, once the channel is open.
    pub(crate) fn pin(&mut self) {
        if self.role == SignallingRole::Offerer
            && let PathState::Nominated(Some(way)) = self.state
        {
            self.state = PathState::Validated(way);
        }
    }

    /// Returns the validated path; `None` while ICE selects the path.
    pub(crate) fn validated(&self) -> Option<FourTuple> {
        match self.state {
            PathState::Nominated(_) => None,
            PathState::Validated(way) => Some(way),
        }
    }

    /// Returns the path that data goes to, validated or nominated.
    pub(crate) fn current(&self) -> Option<FourTuple> {
        match self.state {
            PathState::Nominated(way) => way,
            PathState::Validated(way) => Some(way),
        }
    }

    /// Whether this path differs from the validated one.
    pub(crate) fn is_off_path(&self, from: FourTuple) -> bool {
        matches!(self.state, PathState::Validated(way) if way != from)
    }

    /// Returns the nonce of a new path challenge on this path.
    pub(crate) fn new_challenge(&mut self, way: FourTuple) -> u64 {
        let nonce = self.random.random();
        self.pending_challenges.truncate(MAX_PENDING_CHALLENGES - 1);
        self.pending_challenges.push_front((nonce, way));
        nonce
    }

    /// Handles a path response from this path. If its challenge was sent on the same path,
    /// activates that path and returns it.
    pub(crate) fn on_path_response(&mut self, nonce: u64, from: FourTuple) -> Option<FourTuple> {
        let probe = self.pending_challenges.iter().position(|(sent, _)| *sent == nonce)?;
        let (_, to) = self.pending_challenges.remove(probe)?;
        if to != from || matches!(self.state, PathState::Nominated(_)) {
            return None;
        }
        // Responses to older challenges are out of date.
        self.pending_challenges.truncate(probe);
        self.state = PathState::Validated(from);
        Some(from)
    }
}

/// Silence after which an address can be evicted by a check from a new one.
const EVICT_AFTER: Duration = Duration::from_secs(30);
/// Maximum number of unvalidated addresses evicted in the lifetime of a peer. str0m keeps every
/// address that has sent a check, and checks can be replayed.
const MAX_UNVALIDATED_EVICTIONS: u32 = 240;
/// Minimum interval of path challenges to an address that sends decryptable records; it bounds how
/// fast a peer can migrate.
const RECORD_PROBE_INTERVAL: Duration = Duration::from_millis(250);
/// Minimum interval of path challenges to an address that sends checks. In between, an unvalidated
/// one gets responses to its checks.
const CHECK_PROBE_INTERVAL: Duration = Duration::from_secs(3);

/// Memory of one address, mostly in str0m, in bytes (346 measured).
const MEMORY_PER_ADDR: usize = 352;

/// Maximum memory of the addresses of a peer, in bytes, with this bound of the table.
pub(crate) fn max_memory(most: usize) -> usize {
    most.saturating_add(MAX_UNVALIDATED_EVICTIONS as usize).saturating_mul(MEMORY_PER_ADDR)
}

/// Table of a peer's remote addresses; bounded, because each has a route and an entry in str0m.
#[derive(Debug)]
pub(crate) struct RemoteAddrs {
    addrs: Vec<RemoteAddr>,
    max_addrs: usize,
    unvalidated_evictions: u32,
}

/// One entry of [`RemoteAddrs`]: an address, and whether it is validated.
#[derive(Clone, Copy, Debug)]
struct RemoteAddr {
    address: SocketAddr,
    /// Time of the last authenticated datagram from there.
    last_recv: Instant,
    last_probe: Option<Instant>,
    /// Bytes of records from there, less those of the path challenges sent for them.
    credit: usize,
    /// Whether a path response has arrived from there.
    validated: bool,
}

/// Evidence that an address is the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SeenBy {
    /// A connectivity check with the peer's password; may be a replay.
    Check,
    /// A record that DTLS decrypted; not a replay.
    Record,
}

/// Result of recording an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It is in the table.
    Kept,
    /// It is in the table and has evicted this one.
    Evicted(SocketAddr),
    /// The table is full.
    Full,
}

impl RemoteAddrs {
    pub(crate) fn new(max_addrs: usize) -> RemoteAddrs {
        RemoteAddrs { addrs: Vec::new(), max_addrs, unvalidated_evictions: 0 }
    }

    /// Records that the peer sent from an address. The active address, `here`, is never evicted.
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

    /// Marks an address as validated.
    pub(crate) fn validate(&mut self, address: SocketAddr) {
        if let Some(source) = self.find(address) {
            source.validated = true;
        }
    }

    pub(crate) fn is_validated(&self, address: SocketAddr) -> bool {
        self.addrs.iter().any(|source| source.address == address && source.validated)
    }

    /// Returns whether a path challenge to an address is due, and if so, schedules the next.
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

    /// Adds credit for a record of this size.
    pub(crate) fn credit(&mut self, address: SocketAddr, bytes: usize) {
        if let Some(source) = self.find(address) {
            source.credit = source.credit.saturating_add(bytes);
        }
    }

    /// Takes credit for a path challenge of this size; returns whether it may be sent. An
    /// unvalidated address gets no more bytes than it has sent. Without enough credit, the next
    /// record may be answered by a challenge at once.
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

    /// Returns the time of the last authenticated datagram from an address.
    pub(crate) fn last_recv(&self, address: SocketAddr) -> Option<Instant> {
        self.addrs.iter().find(|source| source.address == address).map(|source| source.last_recv)
    }

    /// Removes an address that belongs to another peer.
    pub(crate) fn remove(&mut self, address: SocketAddr) {
        self.addrs.retain(|source| source.address != address);
    }

    pub(crate) fn addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.addrs.iter().map(|source| source.address)
    }

    fn find(&mut self, address: SocketAddr) -> Option<&mut RemoteAddr> {
        self.addrs.iter_mut().find(|source| source.address == address)
    }

    /// Returns the address to evict: the longest silent, unvalidated ones first. A replayed check
    /// must not evict an address in use, nor evict unvalidated addresses without limit.
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

/// Local and remote address of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FourTuple {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

impl FourTuple {
    /// Returns a datagram to send on this path.
    pub(crate) fn transmit(self, contents: Vec<u8>) -> Transmit {
        Transmit { source: self.local, destination: self.remote, contents }
    }

    /// Returns a received datagram as str0m's input, if str0m recognises its kind.
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
        // A peer that really migrates is validated each time, and is never limited.
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
