//! How many connections there are of an address, and who gives way.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};

use super::ConnectionId;
use super::ending::{Full, Scope};
use super::forwarded::Client;
use super::reach::is_private;
use crate::Config;

/// What counts as one address: of IPv6 the first 64 bits, which one customer has alone
/// (RFC 6177).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    ip: IpAddr,
    /// On this machine or in a private network, and not just said to be by a proxy.
    local: bool,
}

impl Place {
    pub(super) fn of(client: Client) -> Place {
        let ip = client.address().ip().to_canonical();
        let local = matches!(client, Client::Direct(_)) && is_private(ip);
        let ip = match ip {
            IpAddr::V4(_) => ip,
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        };
        Place { ip, local }
    }

    fn scope(self) -> Scope {
        if self.local { Scope::LocalAddress } else { Scope::Address }
    }
}

/// Who is on the way to open, and how many peers each address has.
#[derive(Debug, Default)]
pub(super) struct Census {
    all: Waiting,
    places: HashMap<Place, Household>,
}

#[derive(Debug, Default)]
struct Household {
    waiting: Waiting,
    peers: usize,
}

/// Connections on their way to open.
#[derive(Debug, Default)]
struct Waiting {
    count: usize,
    /// Those that have not shown that datagrams get through, when they were last asked. Ids
    /// count up, so the first is the oldest.
    unproven: BTreeSet<ConnectionId>,
}

impl Waiting {
    fn push(&mut self, id: ConnectionId) {
        self.count += 1;
        self.unproven.insert(id);
    }

    fn remove(&mut self, id: ConnectionId) {
        self.count -= 1;
        self.unproven.remove(&id);
    }

    /// The oldest that has shown nothing yet. Each that has is passed once.
    fn oldest(&mut self, is_proven: impl Fn(ConnectionId) -> bool) -> Option<ConnectionId> {
        while let Some(oldest) = self.unproven.first().copied() {
            if !is_proven(oldest) {
                return Some(oldest);
            }
            self.unproven.remove(&oldest);
        }
        None
    }

    /// Whether there is room for one more, where `most` may be; if not, who gives way.
    fn room(
        &mut self,
        most: usize,
        scope: Scope,
        is_proven: impl Fn(ConnectionId) -> bool,
    ) -> Result<Option<GivesWay>, Full> {
        if self.count < most {
            return Ok(None);
        }
        let oldest = self.oldest(is_proven).ok_or(Full::HalfOpen(scope))?;
        Ok(Some(GivesWay { id: oldest, scope }))
    }
}

/// A connection that ends, so that a newer one finds room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GivesWay {
    pub(super) id: ConnectionId,
    pub(super) scope: Scope,
}

impl Census {
    /// Whether a connection may come, in all and from its address as far as that is known; if
    /// another has to give way for it, which.
    pub(super) fn room(
        &mut self,
        config: &Config,
        place: Option<Place>,
        is_proven: impl Fn(ConnectionId) -> bool,
    ) -> Result<Option<GivesWay>, Full> {
        let here = match place {
            Some(place) => self.room_at(config, place, &is_proven)?,
            None => None,
        };
        match here {
            // There is one less in all, too.
            Some(gives_way) => Ok(Some(gives_way)),
            None => self.all.room(config.half_open, Scope::All, is_proven),
        }
    }

    /// The same of one address only.
    pub(super) fn room_at(
        &mut self,
        config: &Config,
        place: Place,
        is_proven: impl Fn(ConnectionId) -> bool,
    ) -> Result<Option<GivesWay>, Full> {
        let most = place.scope().half_open(config);
        match self.places.get_mut(&place) {
            Some(household) => household.waiting.room(most, place.scope(), is_proven),
            None => Waiting::default().room(most, place.scope(), is_proven),
        }
    }

    /// Whether an address may have one more peer.
    pub(super) fn has_room_for_peer(&self, config: &Config, place: Place) -> Result<(), Full> {
        let peers = self.places.get(&place).map_or(0, |household| household.peers);
        match peers < place.scope().peers(config) {
            true => Ok(()),
            false => Err(Full::Peers(place.scope())),
        }
    }

    /// Connections on their way to open.
    pub(super) fn waiting(&self) -> usize {
        self.all.count
    }

    /// Addresses of which somebody is here.
    pub(super) fn addresses(&self) -> usize {
        self.places.len()
    }

    /// A connection came.
    pub(super) fn arrive(&mut self, id: ConnectionId) {
        self.all.push(id);
    }

    /// The address of a connection is known.
    pub(super) fn settle(&mut self, id: ConnectionId, place: Place) {
        self.places.entry(place).or_default().waiting.push(id);
    }

    /// A connection became a peer.
    pub(super) fn open(&mut self, id: ConnectionId, place: Place) {
        self.all.remove(id);
        let household = self.places.entry(place).or_default();
        household.waiting.remove(id);
        household.peers += 1;
    }

    /// A connection will not become a peer.
    pub(super) fn refuse(&mut self, id: ConnectionId, place: Option<Place>) {
        self.all.remove(id);
        if let Some(place) = place {
            self.change(place, |household| household.waiting.remove(id));
        }
    }

    /// A peer is no more.
    pub(super) fn close(&mut self, place: Place) {
        self.change(place, |household| household.peers -= 1);
    }

    fn change(&mut self, place: Place, change: impl FnOnce(&mut Household)) {
        let Some(household) = self.places.get_mut(&place) else { return };
        change(household);
        if household.waiting.count == 0 && household.peers == 0 {
            self.places.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        Place::of(Client::Direct((text.parse::<IpAddr>().unwrap(), 1).into()))
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
    }

    #[test]
    fn the_oldest_without_proof_gives_way_and_nobody_with() {
        let config = Config { half_open: 3, ..Config::default() };
        let mut census = Census::default();
        let proven = |id: ConnectionId| id.0 == 0 || id.0 == 2;
        for number in 0..3 {
            assert_eq!(census.room(&config, None, proven), Ok(None));
            census.arrive(ConnectionId(number));
        }
        let gives_way = GivesWay { id: ConnectionId(1), scope: Scope::All };
        assert_eq!(census.room(&config, None, proven), Ok(Some(gives_way)));
        census.refuse(ConnectionId(1), None);
        assert_eq!(census.room(&config, None, proven), Ok(None));
        census.arrive(ConnectionId(3));
        assert_eq!(census.room(&config, None, |_| true), Err(Full::HalfOpen(Scope::All)));
    }

    #[test]
    fn nothing_is_left_of_who_left() {
        let (id, here) = (ConnectionId(0), place("198.51.100.7"));
        let mut census = Census::default();
        for open in [true, false] {
            census.arrive(id);
            census.settle(id, here);
            assert_eq!((census.waiting(), census.addresses()), (1, 1));
            match open {
                true => {
                    census.open(id, here);
                    assert_eq!(census.places[&here].peers, 1);
                    census.close(here);
                }
                false => census.refuse(id, Some(here)),
            }
            assert_eq!((census.all.count, census.places.len()), (0, 0));
            assert_eq!((census.waiting(), census.addresses()), (0, 0));
            assert!(census.all.unproven.is_empty());
        }
    }
}
