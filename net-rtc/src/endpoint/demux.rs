//! Demultiplexing of datagrams to peers, by ufrag, remote address or trial decryption.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use str0m::IceCreds;
use str0m::ice::StunMessage;

use crate::datagram::{is_protected, is_unauthenticated_binding_request};
use crate::dtls;
use crate::endpoint::Endpoint;
use crate::event::{Output, Transmit};
use crate::peer::DatagramOutcome;
use crate::peer::path::{FourTuple, SeenBy};

impl<K: Clone + Eq + Hash + Debug> Endpoint<K> {
    pub(super) fn handle_datagram(&mut self, now: Instant, way: FourTuple, contents: &[u8]) {
        if is_unauthenticated_binding_request(contents) {
            return self.handle_stun_request(now, way, contents);
        }
        let routed = match self.route(now, way.remote, contents) {
            Some(slot) => {
                let taken = self.deliver(now, slot, way, contents);
                // Two peers behind one NAT may have exchanged their addresses.
                if !taken && is_protected(contents) && self.is_silent_at(now, slot, way.remote) {
                    self.try_migration(now, way, contents, Some(slot));
                }
                true
            }
            None => is_protected(contents) && self.try_migration(now, way, contents, None),
        };
        self.stats.routed += u64::from(routed);
        self.stats.unrouted += u64::from(!routed);
    }

    /// Answers a STUN Binding request of a connecting client.
    fn handle_stun_request(&mut self, now: Instant, way: FourTuple, request: &[u8]) {
        let Some(contents) = self.stun_server.respond(now, way.remote, request) else {
            self.stats.unrouted += 1;
            return;
        };
        self.stats.stun_responses += 1;
        let (source, destination) = (way.local, way.remote);
        self.outputs.push_back(Output::Transmit(Transmit { source, destination, contents }));
    }

    /// Records an address of a peer that sent an authenticated check, and routes it there. An
    /// address of another open peer stays routed to that one until it is silent and a path
    /// challenge has been answered from there: a check proves the password, not that the source is
    /// genuine.
    pub(super) fn observe_addr(&mut self, now: Instant, slot: usize, source: SocketAddr) -> bool {
        let owner = self.routes.find(source).filter(|owner| *owner != slot);
        if owner.is_some_and(|owner| !self.is_silent_at(now, owner, source)) {
            return false;
        }
        let check = SeenBy::Check;
        let learnt = self.with_peer(slot, |peer, out| peer.observe_addr(now, source, check, out));
        let learnt = learnt.unwrap_or(false);
        if learnt && owner.is_none() {
            self.routes.insert(source, slot);
        }
        learnt
    }

    /// Routes checks by our own ufrag, everything else by the source address.
    fn route(&mut self, now: Instant, source: SocketAddr, contents: &[u8]) -> Option<usize> {
        match contents.first()? {
            0..=3 => self.route_stun(now, source, &StunMessage::parse(contents).ok()?),
            _ => self.routes.find(source),
        }
    }

    fn route_stun(
        &mut self,
        now: Instant,
        source: SocketAddr,
        message: &StunMessage<'_>,
    ) -> Option<usize> {
        if !message.is_binding_request() {
            return self.routes.find(source);
        }
        let (ours, _) = message.split_username()?;
        let slot = slot_from_ufrag(ours)?;
        let (_, peer) = self.peers.get(slot)?;
        if peer.credentials().ufrag != ours {
            return None;
        }
        if !message.verify(peer.credentials().pass.as_bytes(), dtls::sha1_hmac) {
            self.stats.bad_integrity += 1;
            self.peers[slot].1.on_bad_integrity();
            return None;
        }
        self.observe_addr(now, slot, source).then_some(slot)
    }

    /// Passes a datagram to a peer; returns whether the datagram is authenticated as the peer's.
    fn deliver(&mut self, now: Instant, slot: usize, way: FourTuple, contents: &[u8]) -> bool {
        let taken = self.with_peer(slot, |peer, out| peer.handle_datagram(now, way, contents, out));
        match taken {
            None | Some(DatagramOutcome::Ignored) => return false,
            Some(DatagramOutcome::Authenticated) if self.routes.find(way.remote).is_some() => {}
            Some(DatagramOutcome::Authenticated | DatagramOutcome::PathValidated) => {
                self.claim_route(slot, way.remote)
            }
        }
        true
    }

    /// Tries a record on peers that may have moved, until one decrypts it.
    fn try_migration(
        &mut self,
        now: Instant,
        way: FourTuple,
        contents: &[u8],
        but: Option<usize>,
    ) -> bool {
        let candidates = self.migration_lookup.matches(now, way.remote.ip());
        candidates.into_iter().filter(|slot| Some(*slot) != but).any(|slot| {
            self.stats.trial_decryptions += 1;
            self.deliver(now, slot, way, contents)
        })
    }

    fn claim_route(&mut self, slot: usize, source: SocketAddr) {
        let Some((_, peer)) = self.peers.get(slot) else { return };
        if !peer.remote_addrs().any(|known| known == source) {
            return;
        }
        if let Some(owner) = self.routes.find(source).filter(|owner| *owner != slot) {
            self.with_peer(owner, |peer, _| peer.remove_addr(source));
        }
        self.routes.insert(source, slot);
    }

    fn is_silent_at(&self, now: Instant, slot: usize, source: SocketAddr) -> bool {
        self.peers.get(slot).is_none_or(|(_, peer)| peer.is_silent_at(now, source))
    }
}

/// Length of the part of a ufrag that is the peer's slot in hexadecimal.
const SLOT_HEX_DIGITS: usize = 8;

/// Generates ICE credentials (RFC 8445 §5.3). A ufrag begins with the peer's slot, so that a check
/// is routed without a lookup table, and ends with 48 random bits.
#[derive(Debug)]
pub(crate) struct CredentialGenerator {
    random: StdRng,
}

impl CredentialGenerator {
    pub(crate) fn new(seed: Option<u64>) -> CredentialGenerator {
        CredentialGenerator { random: seed.map_or_else(rand::make_rng, StdRng::seed_from_u64) }
    }

    pub(crate) fn generate(&mut self, slot: usize) -> IceCreds {
        let tail = self.random.random::<u64>() >> 16;
        let pass = self.random.random::<u128>();
        IceCreds { ufrag: format!("{slot:08x}{tail:012x}"), pass: format!("{pass:032x}") }
    }
}

/// Returns the slot in a ufrag, whether or not it is in use.
pub(crate) fn slot_from_ufrag(ufrag: &str) -> Option<usize> {
    usize::from_str_radix(ufrag.get(..SLOT_HEX_DIGITS)?, 16).ok()
}

/// Peers by remote address: the sources of their authenticated connectivity checks and, as the
/// answerer, the candidates of the offer.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    by_source: HashMap<SocketAddr, usize>,
}

impl Routes {
    pub(crate) fn find(&self, source: SocketAddr) -> Option<usize> {
        self.by_source.get(&source).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_source.len()
    }

    pub(crate) fn insert(&mut self, source: SocketAddr, slot: usize) {
        self.by_source.insert(source, slot);
    }

    /// Removes a route of this peer, but not one that another peer has taken over since.
    pub(crate) fn remove(&mut self, slot: usize, source: SocketAddr) {
        if self.find(source) == Some(slot) {
            self.by_source.remove(&source);
        }
    }
}

/// Maximum number of trial decryptions per datagram, for each kind of peer.
const MAX_TRIALS_PER_DATAGRAM: usize = 4;
/// Number of silent peers, the last to fall silent, among which candidates with another IP address
/// are chosen.
const MAX_SILENT_PEERS: usize = 64;

/// Peers on which records from unknown addresses are tried: those of the same IP address, whose NAT
/// may have changed the port, and those that have recently fallen silent, which may have moved to
/// another IP address.
#[derive(Debug)]
pub(crate) struct MigrationLookup {
    by_ip: HashMap<IpAddr, Vec<usize>>,
    /// Silent peers by the start of their silence.
    silent: BTreeSet<(Instant, usize)>,
    same_ip_bucket: OpsTokenBucket,
    other_ip_bucket: OpsTokenBucket,
    rotation: usize,
}

/// Lookup key of one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LookupKey {
    /// Its IP address, once its path is validated.
    pub(crate) ip: Option<IpAddr>,
    /// Start of its silence, if it is silent.
    pub(crate) silent_since: Option<Instant>,
}

/// Token bucket for operations per second.
#[derive(Debug)]
pub(crate) struct OpsTokenBucket {
    tokens: f64,
    /// Tokens per second, and the capacity of the bucket.
    rate: f64,
    last_refill: Option<Instant>,
}

impl MigrationLookup {
    /// A lookup with this many trials per second for each kind of peer.
    pub(crate) fn new(trials: u32) -> MigrationLookup {
        let (same_ip_bucket, other_ip_bucket) =
            (OpsTokenBucket::new(trials), OpsTokenBucket::new(trials));
        MigrationLookup {
            by_ip: HashMap::new(),
            silent: BTreeSet::new(),
            same_ip_bucket,
            other_ip_bucket,
            rotation: 0,
        }
    }

    /// Replaces the lookup key of a peer.
    pub(crate) fn update(&mut self, slot: usize, old: LookupKey, new: LookupKey) {
        if old.ip != new.ip {
            self.remove_ip(slot, old.ip);
            new.ip.into_iter().for_each(|ip| self.by_ip.entry(ip).or_default().push(slot));
        }
        if old.silent_since != new.silent_since {
            old.silent_since.into_iter().for_each(|since| _ = self.silent.remove(&(since, slot)));
            new.silent_since.into_iter().for_each(|since| _ = self.silent.insert((since, slot)));
        }
    }

    /// Number of entries, over both kinds of lookup.
    pub(crate) fn len(&self) -> usize {
        self.by_ip.values().map(Vec::len).sum::<usize>() + self.silent.len()
    }

    /// Returns peers to try a record from this IP address on, the likelier first, and takes a token
    /// for each.
    pub(crate) fn matches(&mut self, now: Instant, ip: IpAddr) -> Vec<usize> {
        self.rotation = self.rotation.wrapping_add(MAX_TRIALS_PER_DATAGRAM);
        let near = self.by_ip.get(&ip).map(Vec::as_slice).unwrap_or_default();
        let mut found: Vec<usize> =
            round_robin(near.len(), self.rotation).map(|at| near[at]).collect();
        found.truncate(self.same_ip_bucket.take_up_to(now, found.len()));
        // The lookup itself has a cost too.
        if self.other_ip_bucket.refill(now) {
            let far = self.other_ip(near);
            found.extend_from_slice(&far[..self.other_ip_bucket.take_up_to(now, far.len())]);
        }
        found
    }

    fn other_ip(&self, near: &[usize]) -> Vec<usize> {
        let last = self.silent.iter().rev().map(|(_, slot)| *slot).take(MAX_SILENT_PEERS);
        let last: Vec<usize> = last.collect();
        let chosen = round_robin(last.len(), self.rotation).map(|at| last[at]);
        chosen.filter(|slot| !near.contains(slot)).collect()
    }

    fn remove_ip(&mut self, slot: usize, ip: Option<IpAddr>) {
        let Some(ip) = ip else { return };
        if let Some(slots) = self.by_ip.get_mut(&ip) {
            slots.retain(|other| *other != slot);
            if slots.is_empty() {
                self.by_ip.remove(&ip);
            }
        }
    }
}

impl OpsTokenBucket {
    /// A full bucket with this rate and capacity.
    pub(crate) fn new(rate: u32) -> OpsTokenBucket {
        OpsTokenBucket { tokens: f64::from(rate), rate: f64::from(rate), last_refill: None }
    }

    /// Refills the bucket; returns whether it has a token.
    fn refill(&mut self, now: Instant) -> bool {
        let elapsed =
            self.last_refill.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        self.last_refill = self.last_refill.max(Some(now));
        self.tokens = (self.tokens + elapsed * self.rate).min(self.rate);
        self.tokens >= 1.0
    }

    /// Takes up to `wanted` tokens, and returns how many.
    pub(crate) fn take_up_to(&mut self, now: Instant, wanted: usize) -> usize {
        self.refill(now);
        let taken = wanted.min(self.tokens as usize);
        self.tokens -= taken as f64;
        taken
    }
}

/// Up to [`MAX_TRIALS_PER_DATAGRAM`] indices below `count`, starting at another one each time.
fn round_robin(count: usize, turn: usize) -> impl Iterator<Item = usize> {
    (0..count.min(MAX_TRIALS_PER_DATAGRAM)).map(move |step| turn.wrapping_add(step) % count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ufrag_names_its_slot() {
        let mut credentials = CredentialGenerator::new(Some(1));
        for slot in [0, 1, 255, 0xffff_ffff] {
            let drawn = credentials.generate(slot);
            assert_eq!(slot_from_ufrag(&drawn.ufrag), Some(slot));
            assert_eq!((drawn.ufrag.len(), drawn.pass.len()), (20, 32));
        }
    }

    #[test]
    fn foreign_ufrags_name_nothing() {
        for ufrag in ["", "abcd", "zzzzzzzzzzzz", "äöüäöüäöü"] {
            assert_eq!(slot_from_ufrag(ufrag), None);
        }
    }

    #[test]
    fn a_seed_repeats_and_no_seed_does_not() {
        let draw = |seed| CredentialGenerator::new(seed).generate(0);
        assert_eq!(draw(Some(5)), draw(Some(5)));
        assert_ne!(draw(None), draw(None));
    }
}

#[cfg(test)]
mod seek_tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ip(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn at(last: u8) -> LookupKey {
        LookupKey { ip: Some(ip(last)), silent_since: None }
    }

    #[test]
    fn neighbours_come_first_and_then_the_silent() {
        let now = Instant::now();
        let mut seek = MigrationLookup::new(100);
        seek.update(1, LookupKey::default(), at(1));
        seek.update(2, LookupKey::default(), at(2));
        seek.update(3, LookupKey::default(), at(2));
        assert_eq!(seek.matches(now, ip(1)), [1]);
        assert_eq!(seek.matches(now, ip(9)), []);
        seek.update(3, at(2), LookupKey { silent_since: Some(now), ..at(2) });
        assert_eq!(seek.matches(now, ip(1)), [1, 3]);
        assert_eq!(seek.matches(now, ip(2)).len(), 2, "nobody is tried twice");
        seek.update(1, at(1), LookupKey::default());
        assert_eq!(seek.matches(now, ip(1)), [3]);
        assert_eq!(seek.by_ip.len(), 1, "who is gone leaves nothing");
    }

    #[test]
    fn many_are_tried_in_turn() {
        let now = Instant::now();
        let mut seek = MigrationLookup::new(1_000);
        (0..64).for_each(|slot| seek.update(slot, LookupKey::default(), at(1)));
        let mut tried: Vec<usize> = (0..16).flat_map(|_| seek.matches(now, ip(1))).collect();
        tried.sort_unstable();
        assert!(tried.into_iter().eq(0..64));
    }

    #[test]
    fn a_second_has_so_many_trials() {
        let now = Instant::now();
        let mut seek = MigrationLookup::new(10);
        seek.update(
            1,
            LookupKey::default(),
            LookupKey { ip: Some(ip(1)), silent_since: Some(now) },
        );
        let mut trials = |at: Instant, from: u8| -> usize {
            (0..60_000).map(|_| seek.matches(at, ip(from)).len()).sum()
        };
        assert_eq!((trials(now, 1), trials(now, 1)), (10, 0));
        assert_eq!(trials(now, 2), 10, "neighbours do not take the trials of others");
        assert_eq!(trials(now + SECOND / 2, 1), 5);
        assert_eq!(trials(now + SECOND * 60, 1), 10);
    }
}
