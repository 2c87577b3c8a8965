//! Which connections are on their way to open, from which address, and which one gives way.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::Config;
use crate::config::is_private;
use crate::hub::ConnectionId;
use crate::hub::client_addr::Client;
use crate::hub::close_cause::{Full, Scope};

/// How long a client may take for one step, before it gives way to others of its own address:
/// some round trips of most paths, and the time of a browser that is busy.
const STEP: Duration = Duration::from_millis(500);

/// What counts as one address: of IPv6 the first 64 bits, which one customer has alone
/// (RFC 6177).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    ip: IpAddr,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Public,
    /// On this machine or in a private network, and not just said to be by a proxy.
    Local,
    /// A trusted proxy's, until the request says for which client it speaks.
    Proxy,
}

impl Place {
    pub(super) fn of(client: Client) -> Place {
        let ip = client.address().ip();
        match client {
            Client::Direct(_) if is_private(ip.to_canonical()) => Place::new(ip, Kind::Local),
            _ => Place::new(ip, Kind::Public),
        }
    }

    /// Where the connections of a trusted proxy are counted until their requests are whole.
    pub(super) fn proxy(address: SocketAddr) -> Place {
        Place::new(address.ip(), Kind::Proxy)
    }

    fn new(ip: IpAddr, kind: Kind) -> Place {
        let ip = match ip.to_canonical() {
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
            ip => ip,
        };
        Place { ip, kind }
    }

    fn scope(self) -> Scope {
        match self.kind {
            Kind::Public => Scope::Address,
            Kind::Local => Scope::LocalAddress,
            Kind::Proxy => Scope::All,
        }
    }
}

/// What a connection on its way to open waits for, in the order in which those of one address
/// give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Awaits {
    /// The client's next step, since then.
    Client(Instant),
    /// The application's verdict, for which the client can do nothing.
    Verdict,
    /// The channel: authenticated datagrams have come.
    Channel,
}

impl Awaits {
    fn is_late(self, now: Instant) -> bool {
        matches!(self, Awaits::Client(since) if now.saturating_duration_since(since) >= STEP)
    }
}

/// The connections on their way to open, and how many peers each address has.
///
/// An address may have as many on their way as there is room for in all. Once there is none, the
/// address with the greatest excess makes room, where the excess is what an address has on its
/// way but for a share of those whose datagrams have come through.
#[derive(Debug)]
pub(super) struct Census {
    config: Config,
    waiting: HashMap<ConnectionId, (Place, Awaits)>,
    places: HashMap<Place, Household>,
    /// The addresses with an excess.
    ranks: BTreeMap<Rank, Place>,
}

/// An address's excess, then what would give way there: of two that are equal the one that has
/// waited longer comes last.
type Rank = (usize, Reverse<(Awaits, ConnectionId)>);

#[derive(Debug, Default)]
struct Household {
    waiting: BTreeSet<(Awaits, ConnectionId)>,
    /// Those of them that await the channel only.
    proven: usize,
    peers: usize,
    rank: Option<Rank>,
}

impl Household {
    fn insert(&mut self, awaits: Awaits, id: ConnectionId) {
        self.waiting.insert((awaits, id));
        self.proven += usize::from(awaits == Awaits::Channel);
    }

    fn remove(&mut self, awaits: Awaits, id: ConnectionId) {
        self.waiting.remove(&(awaits, id));
        self.proven -= usize::from(awaits == Awaits::Channel);
    }

    fn excess(&self, share: usize) -> usize {
        self.waiting.len() - self.proven.min(share)
    }

    fn rank(&self, share: usize) -> Option<Rank> {
        let excess = self.excess(share);
        let first = self.waiting.first().filter(|_| excess > 0)?;
        Some((excess, Reverse(*first)))
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.peers == 0
    }
}

/// A connection that ends, so that a newer one finds room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GivesWay {
    pub(super) id: ConnectionId,
    pub(super) scope: Scope,
}

impl Census {
    pub(super) fn new(config: Config) -> Census {
        let (waiting, places, ranks) = (HashMap::new(), HashMap::new(), BTreeMap::new());
        Census { config, waiting, places, ranks }
    }

    /// Whether a connection may come from there; if another has to give way for it, which.
    ///
    /// An address with a greater excess gives way in any case. If there is none, a connection
    /// does that has not taken its next step in time; else those that are on their way go on, and
    /// the newcomer has to come again.
    pub(super) fn room(
        &mut self,
        now: Instant,
        place: Place,
        is_proven: impl Fn(ConnectionId) -> bool,
    ) -> Result<Option<GivesWay>, Full> {
        if self.waiting.len() < self.config.half_open {
            return Ok(None);
        }
        let own = self.excess(place) + 1;
        match self.first(is_proven) {
            Some((excess, awaits, gives_way)) if excess > own || awaits.is_late(now) => {
                Ok(Some(gives_way))
            }
            _ => Err(Full::HalfOpen(self.scope(place))),
        }
    }

    /// The one that gives way first, if it has not taken its next step in time.
    pub(super) fn late(
        &mut self,
        now: Instant,
        is_proven: impl Fn(ConnectionId) -> bool,
    ) -> Option<GivesWay> {
        let (_, awaits, gives_way) = self.first(is_proven)?;
        awaits.is_late(now).then_some(gives_way)
    }

    /// What gives way first: it, what it waits for, and the excess of its address. Authenticated
    /// datagrams are seen only here, once for each connection.
    fn first(
        &mut self,
        is_proven: impl Fn(ConnectionId) -> bool,
    ) -> Option<(usize, Awaits, GivesWay)> {
        loop {
            let (rank, place) = self.ranks.last_key_value()?;
            let (excess, Reverse((awaits, id))) = *rank;
            if awaits == Awaits::Channel || !is_proven(id) {
                return Some((excess, awaits, GivesWay { id, scope: self.scope(*place) }));
            }
            self.progress(id, Awaits::Channel);
        }
    }

    /// Of whom the connections are too many: those of this address, if it has more than its
    /// share, or those of all.
    fn scope(&self, place: Place) -> Scope {
        let waiting = self.places.get(&place).map_or(0, |household| household.waiting.len());
        if waiting > self.share(place) { place.scope() } else { Scope::All }
    }

    fn excess(&self, place: Place) -> usize {
        self.places.get(&place).map_or(0, |household| household.excess(self.share(place)))
    }

    fn share(&self, place: Place) -> usize {
        match place.kind {
            Kind::Public => self.config.half_open_per_address,
            Kind::Local => self.config.half_open_per_local,
            Kind::Proxy => 0,
        }
    }

    /// Whether an address may have one more peer.
    pub(super) fn has_room_for_peer(&self, place: Place) -> Result<(), Full> {
        let peers = self.places.get(&place).map_or(0, |household| household.peers);
        match peers < place.scope().peers(&self.config) {
            true => Ok(()),
            false => Err(Full::Peers(place.scope())),
        }
    }

    /// Connections on their way to open.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Addresses that have a connection.
    pub(super) fn addresses(&self) -> usize {
        self.places.len()
    }

    /// A connection came.
    pub(super) fn arrive(&mut self, now: Instant, id: ConnectionId, place: Place) {
        self.set(id, Some((place, Awaits::Client(now))));
    }

    /// The address of a connection is another than that of its proxy.
    pub(super) fn settle(&mut self, id: ConnectionId, place: Place) {
        if let Some((_, awaits)) = self.waiting.get(&id).copied() {
            self.set(id, Some((place, awaits)));
        }
    }

    /// A connection on its way to open has come further.
    pub(super) fn progress(&mut self, id: ConnectionId, awaits: Awaits) {
        if let Some((place, _)) = self.waiting.get(&id).copied() {
            self.set(id, Some((place, awaits)));
        }
    }

    /// A connection became a peer.
    pub(super) fn open(&mut self, id: ConnectionId, place: Place) {
        self.set(id, None);
        self.change(place, |household| household.peers += 1);
    }

    /// A connection will not become a peer.
    pub(super) fn refuse(&mut self, id: ConnectionId) {
        self.set(id, None);
    }

    /// A peer is no more.
    pub(super) fn close(&mut self, place: Place) {
        self.change(place, |household| household.peers -= 1);
    }

    fn set(&mut self, id: ConnectionId, to: Option<(Place, Awaits)>) {
        let from = match to {
            Some(to) => self.waiting.insert(id, to),
            None => self.waiting.remove(&id),
        };
        if let Some((place, awaits)) = from {
            self.change(place, |household| household.remove(awaits, id));
        }
        if let Some((place, awaits)) = to {
            self.change(place, |household| household.insert(awaits, id));
        }
    }

    fn change(&mut self, place: Place, change: impl FnOnce(&mut Household)) {
        let share = self.share(place);
        let household = self.places.entry(place).or_default();
        change(household);
        let (before, after) = (household.rank, household.rank(share));
        household.rank = after;
        if household.is_empty() {
            self.places.remove(&place);
        }
        if let Some(before) = before {
            self.ranks.remove(&before);
        }
        if let Some(after) = after {
            self.ranks.insert(after, place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn place(text: &str) -> Place {
        Place::of(Client::Direct((text.parse::<IpAddr>().unwrap(), 1).into()))
    }

    fn census(half_open: usize) -> Census {
        Census::new(Config { half_open, half_open_per_address: 2, ..Config::default() })
    }

    /// So many come from there, a millisecond after each other.
    fn fill(census: &mut Census, now: &mut Instant, ids: std::ops::Range<u64>, here: Place) {
        for id in ids {
            census.arrive(*now, ConnectionId(id), here);
            *now += MILLISECOND;
        }
    }

    fn gives_way(id: u64, scope: Scope) -> Result<Option<GivesWay>, Full> {
        Ok(Some(GivesWay { id: ConnectionId(id), scope }))
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
        let forwarded = Client::Forwarded(([127, 0, 0, 1], 0).into());
        assert_eq!(place("127.0.0.1").scope(), Scope::LocalAddress);
        assert_eq!(place("fd00::1").scope(), Scope::LocalAddress);
        assert_eq!(place("198.51.100.7").scope(), Scope::Address);
        assert_eq!(Place::of(forwarded).scope(), Scope::Address);
        assert_ne!(Place::of(forwarded), Place::proxy(([127, 0, 0, 1], 1).into()));
    }

    #[test]
    fn one_address_may_have_all_the_room_and_gives_it_to_any_other() {
        let (mut census, mut now, crowd) = (census(4), Instant::now(), place("198.51.100.7"));
        for id in 0..4 {
            assert_eq!(census.room(now, crowd, nobody), Ok(None));
            fill(&mut census, &mut now, id..id + 1, crowd);
        }
        let other = place("198.51.100.8");
        assert_eq!(census.room(now, other, nobody), gives_way(0, Scope::Address));
        census.refuse(ConnectionId(0));
        fill(&mut census, &mut now, 4..5, other);
        assert_eq!(census.room(now, other, nobody), gives_way(1, Scope::Address));
        census.refuse(ConnectionId(1));
        fill(&mut census, &mut now, 5..6, other);
        let full = Err(Full::HalfOpen(Scope::All));
        assert_eq!(census.room(now, other, nobody), full, "both have as much");
    }

    #[test]
    fn of_equals_only_a_connection_that_is_late_gives_way() {
        let (mut census, mut now, here) = (census(3), Instant::now(), place("198.51.100.7"));
        fill(&mut census, &mut now, 0..3, here);
        let full = Err(Full::HalfOpen(Scope::Address));
        assert_eq!(census.room(now, here, nobody), full);
        now += STEP;
        assert_eq!(census.room(now, here, nobody), gives_way(0, Scope::Address));
        census.progress(ConnectionId(0), Awaits::Client(now));
        assert_eq!(census.room(now, here, nobody), gives_way(1, Scope::Address));
        census.progress(ConnectionId(1), Awaits::Verdict);
        census.progress(ConnectionId(2), Awaits::Verdict);
        assert_eq!(census.room(now, here, nobody), full, "and one that has just moved does not");
        census.refuse(ConnectionId(0));
        fill(&mut census, &mut now, 3..4, here);
        census.progress(ConnectionId(3), Awaits::Verdict);
        assert_eq!(census.room(now + 60 * STEP, here, nobody), full, "the application is slow");
    }

    #[test]
    fn connections_with_datagrams_keep_a_share_of_the_room() {
        let (mut census, mut now, crowd) = (census(4), Instant::now(), place("198.51.100.7"));
        fill(&mut census, &mut now, 0..4, crowd);
        let other = place("198.51.100.8");
        // Two of four are beyond the share, and of those the one without datagrams goes first.
        let proven = |id: ConnectionId| id.0 != 2;
        assert_eq!(census.room(now, other, proven), gives_way(2, Scope::Address));
        assert_eq!(census.room(now, other, |_| true), gives_way(0, Scope::Address));
        census.refuse(ConnectionId(0));
        census.refuse(ConnectionId(1));
        fill(&mut census, &mut now, 4..6, other);
        now += STEP;
        let full = Err(Full::HalfOpen(Scope::All));
        assert_eq!(census.room(now, place("198.51.100.9"), |_| true), full);
    }

    #[test]
    fn connections_through_a_proxy_count_where_their_requests_say() {
        let (mut census, mut now) = (census(3), Instant::now());
        let proxy = Place::proxy(([10, 0, 0, 1], 1).into());
        fill(&mut census, &mut now, 0..3, proxy);
        assert_eq!(census.room(now, proxy, nobody), Err(Full::HalfOpen(Scope::All)));
        let client = place("198.51.100.7");
        for id in 0..3 {
            census.settle(ConnectionId(id), client);
        }
        assert_eq!((census.waiting(), census.addresses()), (3, 1));
        assert_eq!(census.room(now, proxy, nobody), gives_way(0, Scope::Address));
    }

    #[test]
    fn what_has_not_moved_in_time_is_found() {
        let (mut census, mut now, here) = (census(9), Instant::now(), place("198.51.100.7"));
        assert_eq!(census.late(now, nobody), None);
        fill(&mut census, &mut now, 0..2, here);
        assert_eq!(census.late(now, nobody), None);
        let first = gives_way(0, Scope::All).unwrap();
        assert_eq!(census.late(now + STEP, nobody), first);
        assert_eq!(census.late(now + STEP, |_| true), None);
    }

    #[test]
    fn nothing_is_left_of_a_connection_that_left() {
        let (id, here, now) = (ConnectionId(0), place("198.51.100.7"), Instant::now());
        let mut census = census(3);
        for open in [true, false] {
            census.arrive(now, id, here);
            census.progress(id, Awaits::Channel);
            assert_eq!((census.waiting(), census.addresses()), (1, 1));
            match open {
                true => {
                    census.open(id, here);
                    assert_eq!(census.places[&here].peers, 1);
                    census.close(here);
                }
                false => census.refuse(id),
            }
            assert_eq!((census.waiting(), census.addresses()), (0, 0));
            assert!(census.ranks.is_empty());
        }
    }
}
