//! Limits on pending connections and peers per address, and eviction.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::Config;
use crate::config::is_private;
use crate::hub::ConnectionId;
use crate::hub::client_addr::ClientAddr;
use crate::hub::close_cause::{LimitHit, LimitScope};

/// Time after which a client without progress has stalled and can be evicted for other connections:
/// some round trips of most paths, and the delay of a busy browser.
const STALLED_AFTER: Duration = Duration::from_millis(500);

/// Key under which limits count a client: its address, of IPv6 the /64 prefix, which a single
/// customer has (RFC 6177).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClientKey {
    ip: IpAddr,
    kind: IpKind,
}

/// Kind of an IP address, which decides its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum IpKind {
    Public,
    /// An address of this machine or of a private network that no proxy named.
    Private,
    /// A trusted proxy, until the request names the client.
    Proxy,
}

impl ClientKey {
    pub(super) fn from_client(client: ClientAddr) -> ClientKey {
        let ip = client.addr().ip();
        match client {
            ClientAddr::Direct(_) if is_private(ip.to_canonical()) => {
                ClientKey::new(ip, IpKind::Private)
            }
            _ => ClientKey::new(ip, IpKind::Public),
        }
    }

    /// Returns the key of a trusted proxy's connections until their requests are complete.
    pub(super) fn from_proxy(address: SocketAddr) -> ClientKey {
        ClientKey::new(address.ip(), IpKind::Proxy)
    }

    fn new(ip: IpAddr, kind: IpKind) -> ClientKey {
        let ip = match ip.to_canonical() {
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
            ip => ip,
        };
        ClientKey { ip, kind }
    }

    fn limit_scope(self) -> LimitScope {
        match self.kind {
            IpKind::Public => LimitScope::Ip,
            IpKind::Private => LimitScope::PrivateIp,
            IpKind::Proxy => LimitScope::All,
        }
    }
}

/// Next step of a pending connection; the order is the eviction order of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Awaiting {
    /// The client's next step, since then.
    Client(Instant),
    /// The decision of the admission hook, which the client cannot hasten.
    Decision,
    /// The data channel: authenticated datagrams have arrived.
    Channel,
}

impl Awaiting {
    fn is_stalled(self, now: Instant) -> bool {
        matches!(self, Awaiting::Client(since) if now.saturating_duration_since(since) >= STALLED_AFTER)
    }
}

/// Pending connections, and the number of peers per address.
///
/// An address may have as many pending connections as there is room for in all. Once there is none,
/// a connection of the address with the greatest excess is evicted, where the excess is the number
/// of its pending connections minus a share of those whose datagrams were authenticated.
#[derive(Debug)]
pub(super) struct ConnLimits {
    config: Config,
    handshakes: HashMap<ConnectionId, (ClientKey, Awaiting)>,
    clients: HashMap<ClientKey, PerClient>,
    /// The addresses with an excess.
    eviction_order: BTreeMap<EvictionRank, ClientKey>,
}

/// Excess of an address, then the connection it would lose: of two equal ones, the one that has
/// waited longer comes last.
type EvictionRank = (usize, Reverse<(Awaiting, ConnectionId)>);

/// Connections of one client IP address, and its rank for eviction.
#[derive(Debug, Default)]
struct PerClient {
    handshakes: BTreeSet<(Awaiting, ConnectionId)>,
    /// Those of them that wait for the data channel only.
    validated: usize,
    peers: usize,
    eviction_rank: Option<EvictionRank>,
}

impl PerClient {
    fn insert(&mut self, awaits: Awaiting, id: ConnectionId) {
        self.handshakes.insert((awaits, id));
        self.validated += usize::from(awaits == Awaiting::Channel);
    }

    fn remove(&mut self, awaits: Awaiting, id: ConnectionId) {
        self.handshakes.remove(&(awaits, id));
        self.validated -= usize::from(awaits == Awaiting::Channel);
    }

    fn excess(&self, share: usize) -> usize {
        self.handshakes.len() - self.validated.min(share)
    }

    fn eviction_rank(&self, share: usize) -> Option<EvictionRank> {
        let excess = self.excess(share);
        let first = self.handshakes.first().filter(|_| excess > 0)?;
        Some((excess, Reverse(*first)))
    }

    fn is_empty(&self) -> bool {
        self.handshakes.is_empty() && self.peers == 0
    }
}

/// Connection that is evicted to make room for a newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Evicted {
    pub(super) id: ConnectionId,
    pub(super) scope: LimitScope,
}

impl ConnLimits {
    pub(super) fn new(config: Config) -> ConnLimits {
        let (handshakes, clients, eviction_order) =
            (HashMap::new(), HashMap::new(), BTreeMap::new());
        ConnLimits { config, handshakes, clients, eviction_order }
    }

    /// Returns whether a connection may come from there, and which one must be evicted for it.
    ///
    /// An address with a greater excess always loses a connection. If there is none, a stalled
    /// connection is evicted; else the pending ones continue, and the new connection is refused.
    pub(super) fn check_handshake_limit(
        &mut self,
        now: Instant,
        place: ClientKey,
        is_proven: impl Fn(ConnectionId) -> bool,
    ) -> Result<Option<Evicted>, LimitHit> {
        if self.handshakes.len() < self.config.max_handshakes {
            return Ok(None);
        }
        let own = self.excess(place) + 1;
        match self.next_eviction(is_proven) {
            Some((excess, awaits, gives_way)) if excess > own || awaits.is_stalled(now) => {
                Ok(Some(gives_way))
            }
            _ => Err(LimitHit::Handshakes(self.limit_scope(place))),
        }
    }

    /// Returns the first connection to evict, if it has stalled.
    pub(super) fn next_stalled(
        &mut self,
        now: Instant,
        is_proven: impl Fn(ConnectionId) -> bool,
    ) -> Option<Evicted> {
        let (_, awaits, gives_way) = self.next_eviction(is_proven)?;
        awaits.is_stalled(now).then_some(gives_way)
    }

    /// Returns the first connection to evict, what it waits for, and the excess of its address.
    /// Authenticated datagrams are checked only here, once for each connection.
    fn next_eviction(
        &mut self,
        is_proven: impl Fn(ConnectionId) -> bool,
    ) -> Option<(usize, Awaiting, Evicted)> {
        loop {
            let (rank, place) = self.eviction_order.last_key_value()?;
            let (excess, Reverse((awaits, id))) = *rank;
            if awaits == Awaiting::Channel || !is_proven(id) {
                return Some((excess, awaits, Evicted { id, scope: self.limit_scope(*place) }));
            }
            self.set_awaiting(id, Awaiting::Channel);
        }
    }

    /// Returns the scope of the limit that was reached: this address, if it exceeds its share, or
    /// all.
    fn limit_scope(&self, place: ClientKey) -> LimitScope {
        let waiting = self.clients.get(&place).map_or(0, |household| household.handshakes.len());
        if waiting > self.protected_share(place) { place.limit_scope() } else { LimitScope::All }
    }

    fn excess(&self, place: ClientKey) -> usize {
        self.clients
            .get(&place)
            .map_or(0, |household| household.excess(self.protected_share(place)))
    }

    fn protected_share(&self, place: ClientKey) -> usize {
        match place.kind {
            IpKind::Public => self.config.max_protected_handshakes_per_ip,
            IpKind::Private => self.config.max_protected_handshakes_per_private_ip,
            IpKind::Proxy => 0,
        }
    }

    /// Returns whether an address may have one more peer.
    pub(super) fn check_peer_limit(&self, place: ClientKey) -> Result<(), LimitHit> {
        let peers = self.clients.get(&place).map_or(0, |household| household.peers);
        match peers < place.limit_scope().max_peers(&self.config) {
            true => Ok(()),
            false => Err(LimitHit::Peers(place.limit_scope())),
        }
    }

    /// Returns the number of pending connections.
    pub(super) fn handshake_count(&self) -> usize {
        self.handshakes.len()
    }

    /// Returns the number of addresses with connections.
    pub(super) fn client_count(&self) -> usize {
        self.clients.len()
    }

    /// Adds a pending connection.
    pub(super) fn begin(&mut self, now: Instant, id: ConnectionId, place: ClientKey) {
        self.set_handshake(id, Some((place, Awaiting::Client(now))));
    }

    /// Moves a connection from its proxy's key to its client's.
    pub(super) fn assign(&mut self, id: ConnectionId, place: ClientKey) {
        if let Some((_, awaits)) = self.handshakes.get(&id).copied() {
            self.set_handshake(id, Some((place, awaits)));
        }
    }

    /// Records progress of a pending connection.
    pub(super) fn set_awaiting(&mut self, id: ConnectionId, awaits: Awaiting) {
        if let Some((place, _)) = self.handshakes.get(&id).copied() {
            self.set_handshake(id, Some((place, awaits)));
        }
    }

    /// Records that a connection became a peer.
    pub(super) fn on_open(&mut self, id: ConnectionId, place: ClientKey) {
        self.set_handshake(id, None);
        self.update_client(place, |household| household.peers += 1);
    }

    /// Removes a pending connection that failed.
    pub(super) fn on_failed(&mut self, id: ConnectionId) {
        self.set_handshake(id, None);
    }

    /// Removes a peer.
    pub(super) fn on_close(&mut self, place: ClientKey) {
        self.update_client(place, |household| household.peers -= 1);
    }

    fn set_handshake(&mut self, id: ConnectionId, to: Option<(ClientKey, Awaiting)>) {
        let from = match to {
            Some(to) => self.handshakes.insert(id, to),
            None => self.handshakes.remove(&id),
        };
        if let Some((place, awaits)) = from {
            self.update_client(place, |household| household.remove(awaits, id));
        }
        if let Some((place, awaits)) = to {
            self.update_client(place, |household| household.insert(awaits, id));
        }
    }

    fn update_client(&mut self, place: ClientKey, change: impl FnOnce(&mut PerClient)) {
        let share = self.protected_share(place);
        let household = self.clients.entry(place).or_default();
        change(household);
        let (before, after) = (household.eviction_rank, household.eviction_rank(share));
        household.eviction_rank = after;
        if household.is_empty() {
            self.clients.remove(&place);
        }
        if let Some(before) = before {
            self.eviction_order.remove(&before);
        }
        if let Some(after) = after {
            self.eviction_order.insert(after, place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn place(text: &str) -> ClientKey {
        ClientKey::from_client(ClientAddr::Direct((text.parse::<IpAddr>().unwrap(), 1).into()))
    }

    fn census(half_open: usize) -> ConnLimits {
        ConnLimits::new(Config {
            max_handshakes: half_open,
            max_protected_handshakes_per_ip: 2,
            ..Config::default()
        })
    }

    /// This many connections from there, a millisecond apart.
    fn fill(
        census: &mut ConnLimits,
        now: &mut Instant,
        ids: std::ops::Range<u64>,
        here: ClientKey,
    ) {
        for id in ids {
            census.begin(*now, ConnectionId(id), here);
            *now += MILLISECOND;
        }
    }

    fn gives_way(id: u64, scope: LimitScope) -> Result<Option<Evicted>, LimitHit> {
        Ok(Some(Evicted { id: ConnectionId(id), scope }))
    }

    fn nobody(_: ConnectionId) -> bool {
        false
    }

    #[test]
    fn an_address_is_one_of_ipv4_or_a_64th_of_ipv6() {
        assert_eq!(place("2001:db8::1"), place("2001:db8::ffff:2"));
        assert_ne!(place("2001:db8::1"), place("2001:db8:0:1::1"));
        assert_eq!(place("::ffff:198.51.100.7"), place("198.51.100.7"));
        assert_ne!(place("198.51.100.8"), place("198.51.100.7"));
    }

    #[test]
    fn nothing_is_local_behind_a_proxy() {
        let forwarded = ClientAddr::Forwarded(([127, 0, 0, 1], 0).into());
        assert_eq!(place("127.0.0.1").limit_scope(), LimitScope::PrivateIp);
        assert_eq!(place("fd00::1").limit_scope(), LimitScope::PrivateIp);
        assert_eq!(place("198.51.100.7").limit_scope(), LimitScope::Ip);
        assert_eq!(ClientKey::from_client(forwarded).limit_scope(), LimitScope::Ip);
        assert_ne!(
            ClientKey::from_client(forwarded),
            ClientKey::from_proxy(([127, 0, 0, 1], 1).into())
        );
    }

    #[test]
    fn one_address_may_have_all_the_room_and_gives_it_to_any_other() {
        let (mut census, mut now, crowd) = (census(4), Instant::now(), place("198.51.100.7"));
        for id in 0..4 {
            assert_eq!(census.check_handshake_limit(now, crowd, nobody), Ok(None));
            fill(&mut census, &mut now, id..id + 1, crowd);
        }
        let other = place("198.51.100.8");
        assert_eq!(census.check_handshake_limit(now, other, nobody), gives_way(0, LimitScope::Ip));
        census.on_failed(ConnectionId(0));
        fill(&mut census, &mut now, 4..5, other);
        assert_eq!(census.check_handshake_limit(now, other, nobody), gives_way(1, LimitScope::Ip));
        census.on_failed(ConnectionId(1));
        fill(&mut census, &mut now, 5..6, other);
        let full = Err(LimitHit::Handshakes(LimitScope::All));
        assert_eq!(census.check_handshake_limit(now, other, nobody), full, "both have as much");
    }

    #[test]
    fn of_equals_only_a_connection_that_is_late_gives_way() {
        let (mut census, mut now, here) = (census(3), Instant::now(), place("198.51.100.7"));
        fill(&mut census, &mut now, 0..3, here);
        let full = Err(LimitHit::Handshakes(LimitScope::Ip));
        assert_eq!(census.check_handshake_limit(now, here, nobody), full);
        now += STALLED_AFTER;
        assert_eq!(census.check_handshake_limit(now, here, nobody), gives_way(0, LimitScope::Ip));
        census.set_awaiting(ConnectionId(0), Awaiting::Client(now));
        assert_eq!(census.check_handshake_limit(now, here, nobody), gives_way(1, LimitScope::Ip));
        census.set_awaiting(ConnectionId(1), Awaiting::Decision);
        census.set_awaiting(ConnectionId(2), Awaiting::Decision);
        assert_eq!(
            census.check_handshake_limit(now, here, nobody),
            full,
            "and one that has just moved does not"
        );
        census.on_failed(ConnectionId(0));
        fill(&mut census, &mut now, 3..4, here);
        census.set_awaiting(ConnectionId(3), Awaiting::Decision);
        assert_eq!(
            census.check_handshake_limit(now + 60 * STALLED_AFTER, here, nobody),
            full,
            "the application is slow"
        );
    }

    #[test]
    fn connections_with_datagrams_keep_a_share_of_the_room() {
        let (mut census, mut now, crowd) = (census(4), Instant::now(), place("198.51.100.7"));
        fill(&mut census, &mut now, 0..4, crowd);
        let other = place("198.51.100.8");
        // Two of four are beyond the share, and of those the one without datagrams goes first.
        let proven = |id: ConnectionId| id.0 != 2;
        assert_eq!(census.check_handshake_limit(now, other, proven), gives_way(2, LimitScope::Ip));
        assert_eq!(
            census.check_handshake_limit(now, other, |_| true),
            gives_way(0, LimitScope::Ip)
        );
        census.on_failed(ConnectionId(0));
        census.on_failed(ConnectionId(1));
        fill(&mut census, &mut now, 4..6, other);
        now += STALLED_AFTER;
        let full = Err(LimitHit::Handshakes(LimitScope::All));
        assert_eq!(census.check_handshake_limit(now, place("198.51.100.9"), |_| true), full);
    }

    #[test]
    fn connections_through_a_proxy_count_where_their_requests_say() {
        let (mut census, mut now) = (census(3), Instant::now());
        let proxy = ClientKey::from_proxy(([10, 0, 0, 1], 1).into());
        fill(&mut census, &mut now, 0..3, proxy);
        assert_eq!(
            census.check_handshake_limit(now, proxy, nobody),
            Err(LimitHit::Handshakes(LimitScope::All))
        );
        let client = place("198.51.100.7");
        for id in 0..3 {
            census.assign(ConnectionId(id), client);
        }
        assert_eq!((census.handshake_count(), census.client_count()), (3, 1));
        assert_eq!(census.check_handshake_limit(now, proxy, nobody), gives_way(0, LimitScope::Ip));
    }

    #[test]
    fn what_has_not_moved_in_time_is_found() {
        let (mut census, mut now, here) = (census(9), Instant::now(), place("198.51.100.7"));
        assert_eq!(census.next_stalled(now, nobody), None);
        fill(&mut census, &mut now, 0..2, here);
        assert_eq!(census.next_stalled(now, nobody), None);
        let first = gives_way(0, LimitScope::All).unwrap();
        assert_eq!(census.next_stalled(now + STALLED_AFTER, nobody), first);
        assert_eq!(census.next_stalled(now + STALLED_AFTER, |_| true), None);
    }

    #[test]
    fn nothing_is_left_of_a_connection_that_left() {
        let (id, here, now) = (ConnectionId(0), place("198.51.100.7"), Instant::now());
        let mut census = census(3);
        for open in [true, false] {
            census.begin(now, id, here);
            census.set_awaiting(id, Awaiting::Channel);
            assert_eq!((census.handshake_count(), census.client_count()), (1, 1));
            match open {
                true => {
                    census.on_open(id, here);
                    assert_eq!(census.clients[&here].peers, 1);
                    census.on_close(here);
                }
                false => census.on_failed(id),
            }
            assert_eq!((census.handshake_count(), census.client_count()), (0, 0));
            assert!(census.eviction_order.is_empty());
        }
    }
}
