//! Which addresses of this machine are to have a UDP socket, and which of them browsers are told,
//! while addresses come and go.

#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::config::at_most;
use crate::driver::interfaces::Found;
use crate::error::hint;

/// After how long it is tried again to bind what could not be bound.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// What the address to listen on stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// This one.
    One(IpAddr),
    /// This one of loopback, and beside it one that is not, for Firefox on this machine.
    Loopback(IpAddr),
    /// Every address of this machine.
    All { with_ipv6: bool },
}

impl Scope {
    pub(crate) fn of(ip: IpAddr) -> Scope {
        match ip {
            _ if ip.is_unspecified() => Scope::All { with_ipv6: ip.is_ipv6() },
            _ if ip.is_loopback() => Scope::Loopback(ip),
            _ => Scope::One(ip),
        }
    }

    /// Whether it changes as the addresses of this machine do.
    pub(crate) fn follows_interfaces(self) -> bool {
        !matches!(self, Scope::One(_))
    }
}

/// The addresses, each with or without a socket. It has no socket itself: [`next_step`] says what
/// to do, [`bound`] and [`failed`] take what came of it.
///
/// [`next_step`]: AddressSet::next_step
/// [`bound`]: AddressSet::bound
/// [`failed`]: AddressSet::failed
#[derive(Debug)]
pub(crate) struct AddressSet {
    scope: Scope,
    port: u16,
    max: usize,
    /// What is announced before all others: sockets elsewhere lead here.
    public: Vec<SocketAddr>,
    found: Vec<Found>,
    arrived: Vec<Arrived>,
    /// Those that are wanted, most wanted first.
    places: Vec<Place>,
    closing: Vec<SocketAddr>,
    told: Reachable,
    /// Whether something happened since that was told.
    is_stale: bool,
}

/// A websocket came in on this address, so it is one of this machine.
#[derive(Clone, Copy, Debug)]
struct Arrived {
    ip: IpAddr,
    /// Whether it was on the list of interfaces once: then it is gone when it is not any more.
    is_listed: bool,
}

#[derive(Debug)]
struct Place {
    ip: IpAddr,
    state: State,
}

/// ```text
///   Wanted --bound--> Bound
///     '--failed--> Failed --bound--> Bound
/// ```
#[derive(Debug)]
enum State {
    Wanted,
    Bound(SocketAddr),
    Failed { cause: io::ErrorKind, again: Instant },
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Close(SocketAddr),
    Bind(SocketAddr),
}

/// Where datagrams arrive, and what browsers are told, each most wanted first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reachable {
    pub(crate) local: Vec<SocketAddr>,
    pub(crate) announced: Vec<SocketAddr>,
}

impl AddressSet {
    /// Addresses with this port number, at most `max` of them, behind `public` ones.
    pub(crate) fn new(scope: Scope, port: u16, max: usize, public: Vec<SocketAddr>) -> AddressSet {
        let mut set = AddressSet {
            scope,
            port,
            max: max.max(1),
            public,
            found: Vec::new(),
            arrived: Vec::new(),
            places: Vec::new(),
            closing: Vec::new(),
            told: Reachable::default(),
            is_stale: true,
        };
        set.settle();
        set
    }

    /// These are the addresses of this machine now.
    pub(crate) fn set_found(&mut self, found: Vec<Found>) {
        self.found = found;
        self.is_stale = true;
        let found = &self.found;
        self.arrived.retain_mut(|arrived| {
            let is_listed = found.iter().any(|found| found.ip == arrived.ip);
            let was_listed = std::mem::replace(&mut arrived.is_listed, is_listed);
            is_listed || !was_listed
        });
        self.settle();
    }

    /// A websocket came in on this address, whatever the list of interfaces says. If it could not
    /// be bound, it is tried again now.
    pub(crate) fn note_arrival(&mut self, now: Instant, ip: IpAddr) {
        let mut places = self.places.iter_mut();
        if let Some(Place { state: State::Failed { again, .. }, .. }) =
            places.find(|place| place.ip == ip)
        {
            *again = now;
        }
        let is_known = self.arrived.iter().any(|arrived| arrived.ip == ip);
        let Scope::All { .. } = self.scope else { return };
        if !is_known && is_usable(ip) && self.arrived.len() < self.max {
            let is_listed = self.found.iter().any(|found| found.ip == ip);
            self.arrived.push(Arrived { ip, is_listed });
            self.settle();
        }
    }

    /// What to do next, if anything now.
    pub(crate) fn next_step(&mut self, now: Instant) -> Option<Step> {
        if let Some(local) = self.closing.pop() {
            self.is_stale = true;
            return Some(Step::Close(local));
        }
        let due = |place: &&Place| place.state.is_due(now);
        self.places.iter().find(due).map(|place| Step::Bind((place.ip, self.port).into()))
    }

    /// When there is something to do at the latest.
    pub(crate) fn next_wake(&self, now: Instant) -> Option<Instant> {
        let wakes = self.places.iter().filter_map(|place| place.state.wake(now));
        wakes.chain((!self.closing.is_empty()).then_some(now)).min()
    }

    /// An address has its socket; gives words for the log where it was named as left out before.
    pub(crate) fn bound(&mut self, ip: IpAddr, local: SocketAddr) -> Option<String> {
        let place = self.places.iter_mut().find(|place| place.ip == ip)?;
        let before = std::mem::replace(&mut place.state, State::Bound(local));
        self.is_stale = true;
        matches!(before, State::Failed { .. }).then(|| format!("UDP {local} is bound now"))
    }

    /// An address cannot be bound; gives words for the log, once for each cause.
    pub(crate) fn failed(&mut self, now: Instant, ip: IpAddr, error: &io::Error) -> Option<String> {
        let address = SocketAddr::from((ip, self.port));
        let place = self.places.iter_mut().find(|place| place.ip == ip)?;
        let (cause, again) = (error.kind(), now + TRY_AGAIN);
        let before = std::mem::replace(&mut place.state, State::Failed { cause, again });
        let is_known = matches!(before, State::Failed { cause, .. } if cause == error.kind());
        (!is_known).then(|| {
            format!(
                "UDP {address} is left out: {error}{}. Browsers are not told of it; it is tried \
                 again every second",
                hint(error)
            )
        })
    }

    /// Whether no browser could connect for a reason that does not pass by itself: of the address
    /// to listen on, or of all that are not loopback, the UDP port is not to be had.
    pub(crate) fn is_hopeless(&self) -> bool {
        let cannot = |place: &&Place| match place.state {
            State::Failed { cause, .. } => cause != io::ErrorKind::AddrNotAvailable,
            State::Wanted | State::Bound(_) => false,
        };
        let others: Vec<_> = self.places.iter().filter(|place| !place.ip.is_loopback()).collect();
        match self.scope {
            Scope::All { .. } if !others.is_empty() => others.iter().all(cannot),
            _ => self.places.first().is_some_and(|first| cannot(&first)),
        }
    }

    /// Whether a socket is missing that could be had with another port number.
    pub(crate) fn lacks_port(&self) -> bool {
        self.places.iter().any(|place| match place.state {
            State::Failed { cause, .. } => cause == io::ErrorKind::AddrInUse,
            State::Wanted | State::Bound(_) => false,
        })
    }

    /// The addresses, if they have changed since this was asked last.
    pub(crate) fn take_change(&mut self) -> Option<Reachable> {
        if !std::mem::take(&mut self.is_stale) {
            return None;
        }
        let reachable = Reachable { local: self.local(), announced: self.announced() };
        let has_changed = reachable != self.told;
        self.told.clone_from(&reachable);
        has_changed.then_some(reachable)
    }

    /// Every address of this machine, as far as it is known.
    pub(crate) fn of_this_machine(&self) -> impl Iterator<Item = IpAddr> {
        self.found.iter().map(|found| found.ip)
    }

    fn local(&self) -> Vec<SocketAddr> {
        self.places.iter().filter_map(|place| place.state.local()).collect()
    }

    /// After the public addresses, what is bound on interfaces that are up. An address that only
    /// a websocket has shown is for its own client.
    fn announced(&self) -> Vec<SocketAddr> {
        let is_up = |place: &&Place| match self.scope {
            Scope::One(ip) | Scope::Loopback(ip) if ip == place.ip => true,
            _ => self.found.iter().any(|found| found.ip == place.ip && found.is_up),
        };
        let mut announced = self.public.clone();
        for local in self.places.iter().filter(is_up).filter_map(|place| place.state.local()) {
            if !announced.contains(&local) {
                announced.push(local);
            }
        }
        announced
    }

    /// Finds out which addresses are wanted now.
    fn settle(&mut self) {
        let wanted = self.wanted();
        let mut before = std::mem::take(&mut self.places);
        for ip in wanted {
            let known = before.iter().position(|place| place.ip == ip);
            let new = Place { ip, state: State::Wanted };
            self.places.push(known.map_or(new, |known| before.swap_remove(known)));
        }
        self.closing.extend(before.iter().filter_map(|place| place.state.local()));
    }

    fn wanted(&self) -> Vec<IpAddr> {
        match self.scope {
            Scope::One(ip) => vec![ip],
            Scope::Loopback(ip) => [ip].into_iter().chain(self.beside_loopback()).collect(),
            Scope::All { with_ipv6 } => {
                let mut all = self.ranked(with_ipv6);
                let arrived = self.arrived.iter().map(|arrived| arrived.ip);
                let unlisted: Vec<_> = arrived.filter(|ip| !all.contains(ip)).collect();
                all.extend(unlisted);
                let has_arrived = |ip: &IpAddr| self.arrived.iter().any(|other| other.ip == *ip);
                at_most(self.max, all, |ip| *ip, has_arrived)
            }
        }
    }

    /// The one that is there already, or the best.
    fn beside_loopback(&self) -> Option<IpAddr> {
        let others: Vec<_> = self.ranked(true).into_iter().filter(|ip| !ip.is_loopback()).collect();
        let known = self.places.iter().map(|place| place.ip).find(|ip| others.contains(ip));
        known.or_else(|| others.first().copied())
    }

    /// Addresses of interfaces that are up, or that have a socket since then: the likelier to be
    /// of use first.
    fn ranked(&self, with_ipv6: bool) -> Vec<IpAddr> {
        let has_place = |ip: IpAddr| self.places.iter().any(|place| place.ip == ip);
        let keeps_socket = |ip| matches!(self.scope, Scope::All { .. }) && has_place(ip);
        let is_wanted = |found: &&Found| {
            is_usable(found.ip)
                && (with_ipv6 || found.ip.is_ipv4())
                && (found.is_up || keeps_socket(found.ip))
        };
        let mut usable: Vec<_> = self.found.iter().filter(is_wanted).collect();
        // Stable, so that the system's order decides between equals.
        usable.sort_by_key(|found| {
            let is_link_local = matches!(found.ip, IpAddr::V4(ip) if ip.is_link_local());
            (found.ip.is_loopback(), is_link_local, found.is_bridge, found.ip.is_ipv6())
        });
        let mut ips: Vec<IpAddr> = Vec::new();
        for found in usable {
            if !ips.contains(&found.ip) {
                ips.push(found.ip);
            }
        }
        ips
    }
}

impl State {
    fn local(&self) -> Option<SocketAddr> {
        match self {
            State::Bound(local) => Some(*local),
            State::Wanted | State::Failed { .. } => None,
        }
    }

    fn wake(&self, now: Instant) -> Option<Instant> {
        match self {
            State::Wanted => Some(now),
            State::Failed { again, .. } => Some(*again),
            State::Bound(_) => None,
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.wake(now).is_some_and(|at| at <= now)
    }
}

/// IPv6 addresses of one link are of no use in a candidate: they need an interface beside them.
fn is_usable(ip: IpAddr) -> bool {
    !ip.is_unspecified() && !matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}
