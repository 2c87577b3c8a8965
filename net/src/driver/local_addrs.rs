//! Local addresses: selection for UDP sockets and advertisement, while addresses come and go.

#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::config::select_addrs;
use crate::driver::interfaces::InterfaceAddr;
use crate::error::hint;

/// Time after which a failed bind is retried.
const BIND_RETRY_DELAY: Duration = Duration::from_secs(1);

/// Listening address: one address, or a wildcard, for which each interface address gets a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListenScope {
    /// This address.
    Single(IpAddr),
    /// This loopback address, and with it one that is not loopback, for Firefox on this machine.
    Loopback(IpAddr),
    /// Every address of this machine.
    All { with_ipv6: bool },
}

impl ListenScope {
    pub(crate) fn new(ip: IpAddr) -> ListenScope {
        match ip {
            _ if ip.is_unspecified() => ListenScope::All { with_ipv6: ip.is_ipv6() },
            _ if ip.is_loopback() => ListenScope::Loopback(ip),
            _ => ListenScope::Single(ip),
        }
    }

    /// Returns whether the set follows the interfaces of this machine.
    pub(crate) fn follows_interfaces(self) -> bool {
        !matches!(self, ListenScope::Single(_))
    }
}

/// Set of local addresses, each with or without a socket. It owns no socket: [`next_step`] returns
/// the next action, [`bound`] and [`failed`] take its result.
///
/// [`next_step`]: AddressSet::next_step
/// [`bound`]: AddressSet::on_bound
/// [`failed`]: AddressSet::on_bind_failed
#[derive(Debug)]
pub(crate) struct AddressSet {
    scope: ListenScope,
    port: u16,
    max_sockets: usize,
    /// Advertised before all others: sockets elsewhere that are forwarded here.
    public_addrs: Vec<SocketAddr>,
    interface_addrs: Vec<InterfaceAddr>,
    observed: Vec<ObservedAddr>,
    /// Addresses to bind, in order of preference.
    slots: Vec<BindSlot>,
    to_close: Vec<SocketAddr>,
    last_reported: ReachableAddrs,
    /// Whether the set changed since the last report.
    is_dirty: bool,
}

/// Local address on which a websocket arrived, so it belongs to this machine.
#[derive(Clone, Copy, Debug)]
struct ObservedAddr {
    ip: IpAddr,
    /// Whether an interface scan listed it once: then it is removed when it is no longer listed.
    is_listed: bool,
}

/// One IP address to bind, retried until it succeeds.
#[derive(Debug)]
struct BindSlot {
    ip: IpAddr,
    state: BindState,
}

/// State of a bind slot.
///
/// ```text
///   Pending --bound--> Bound
///     '--failed--> Failed --bound--> Bound
/// ```
#[derive(Debug)]
enum BindState {
    Pending,
    Bound(SocketAddr),
    Failed { cause: io::ErrorKind, retry_at: Instant },
}

/// Next action for the owner of the sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BindStep {
    Close(SocketAddr),
    Bind(SocketAddr),
}

/// Receiving and advertised addresses, each in order of preference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReachableAddrs {
    pub(crate) local_addrs: Vec<SocketAddr>,
    pub(crate) announced_addrs: Vec<SocketAddr>,
}

impl AddressSet {
    /// Creates a set of addresses with this port, at most `max` of them, advertised after `public`
    /// ones.
    pub(crate) fn new(
        scope: ListenScope,
        port: u16,
        max: usize,
        public: Vec<SocketAddr>,
    ) -> AddressSet {
        let mut set = AddressSet {
            scope,
            port,
            max_sockets: max.max(1),
            public_addrs: public,
            interface_addrs: Vec::new(),
            observed: Vec::new(),
            slots: Vec::new(),
            to_close: Vec::new(),
            last_reported: ReachableAddrs::default(),
            is_dirty: true,
        };
        set.update_slots();
        set
    }

    /// Updates the addresses of this machine.
    pub(crate) fn set_interface_addrs(&mut self, found: Vec<InterfaceAddr>) {
        self.interface_addrs = found;
        self.is_dirty = true;
        let found = &self.interface_addrs;
        self.observed.retain_mut(|arrived| {
            let is_listed = found.iter().any(|found| found.ip == arrived.ip);
            let was_listed = std::mem::replace(&mut arrived.is_listed, is_listed);
            is_listed || !was_listed
        });
        self.update_slots();
    }

    /// Records that a websocket arrived on this address, whatever the interface scan says. If it
    /// could not be bound, it is retried now.
    pub(crate) fn on_local_ip(&mut self, now: Instant, ip: IpAddr) {
        let mut places = self.slots.iter_mut();
        if let Some(BindSlot { state: BindState::Failed { retry_at: again, .. }, .. }) =
            places.find(|place| place.ip == ip)
        {
            *again = now;
        }
        let is_known = self.observed.iter().any(|arrived| arrived.ip == ip);
        let ListenScope::All { .. } = self.scope else { return };
        if !is_known && is_usable(ip) && self.observed.len() < self.max_sockets {
            let is_listed = self.interface_addrs.iter().any(|found| found.ip == ip);
            self.observed.push(ObservedAddr { ip, is_listed });
            self.update_slots();
        }
    }

    /// Returns the next action that is due now.
    pub(crate) fn next_step(&mut self, now: Instant) -> Option<BindStep> {
        if let Some(local) = self.to_close.pop() {
            self.is_dirty = true;
            return Some(BindStep::Close(local));
        }
        let due = |place: &&BindSlot| place.state.is_due(now);
        self.slots.iter().find(due).map(|place| BindStep::Bind((place.ip, self.port).into()))
    }

    /// Returns the time of the next action.
    pub(crate) fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let wakes = self.slots.iter().filter_map(|place| place.state.next_attempt(now));
        wakes.chain((!self.to_close.is_empty()).then_some(now)).min()
    }

    /// Records a bound address; returns a log message if it was reported as left out before.
    pub(crate) fn on_bound(&mut self, ip: IpAddr, local: SocketAddr) -> Option<String> {
        let place = self.slots.iter_mut().find(|place| place.ip == ip)?;
        let before = std::mem::replace(&mut place.state, BindState::Bound(local));
        self.is_dirty = true;
        matches!(before, BindState::Failed { .. }).then(|| format!("UDP {local} is bound now"))
    }

    /// Records a failed bind; returns a log message, once for each cause.
    pub(crate) fn on_bind_failed(
        &mut self,
        now: Instant,
        ip: IpAddr,
        error: &io::Error,
    ) -> Option<String> {
        let address = SocketAddr::from((ip, self.port));
        let place = self.slots.iter_mut().find(|place| place.ip == ip)?;
        let (cause, again) = (error.kind(), now + BIND_RETRY_DELAY);
        let before =
            std::mem::replace(&mut place.state, BindState::Failed { cause, retry_at: again });
        let is_known = matches!(before, BindState::Failed { cause, .. } if cause == error.kind());
        (!is_known).then(|| {
            format!(
                "UDP {address} is left out: {error}{}. Browsers are not told of it; it is tried \
                 again every second",
                hint(error)
            )
        })
    }

    /// Returns whether no browser could connect, for a permanent reason: the UDP port of the
    /// listening address, or of all addresses that are not loopback, cannot be bound.
    pub(crate) fn is_unusable(&self) -> bool {
        let cannot = |place: &&BindSlot| match place.state {
            BindState::Failed { cause, .. } => cause != io::ErrorKind::AddrNotAvailable,
            BindState::Pending | BindState::Bound(_) => false,
        };
        let others: Vec<_> = self.slots.iter().filter(|place| !place.ip.is_loopback()).collect();
        match self.scope {
            ListenScope::All { .. } if !others.is_empty() => others.iter().all(cannot),
            _ => self.slots.first().is_some_and(|first| cannot(&first)),
        }
    }

    /// Returns whether a socket is missing that could be bound with another port number.
    pub(crate) fn has_port_conflict(&self) -> bool {
        self.slots.iter().any(|place| match place.state {
            BindState::Failed { cause, .. } => cause == io::ErrorKind::AddrInUse,
            BindState::Pending | BindState::Bound(_) => false,
        })
    }

    /// Returns the addresses, if they have changed since the last call.
    pub(crate) fn take_change(&mut self) -> Option<ReachableAddrs> {
        if !std::mem::take(&mut self.is_dirty) {
            return None;
        }
        let reachable = ReachableAddrs {
            local_addrs: self.local_addrs(),
            announced_addrs: self.announced_addrs(),
        };
        let has_changed = reachable != self.last_reported;
        self.last_reported.clone_from(&reachable);
        has_changed.then_some(reachable)
    }

    /// Returns every known address of this machine.
    pub(crate) fn own_ips(&self) -> impl Iterator<Item = IpAddr> {
        self.interface_addrs.iter().map(|found| found.ip)
    }

    fn local_addrs(&self) -> Vec<SocketAddr> {
        self.slots.iter().filter_map(|place| place.state.local_addr()).collect()
    }

    /// Returns the public addresses, then the bound ones on interfaces that are up. An address
    /// known only from a websocket is offered only to its own client.
    fn announced_addrs(&self) -> Vec<SocketAddr> {
        let is_up = |place: &&BindSlot| match self.scope {
            ListenScope::Single(ip) | ListenScope::Loopback(ip) if ip == place.ip => true,
            _ => self.interface_addrs.iter().any(|found| found.ip == place.ip && found.is_up),
        };
        let mut announced = self.public_addrs.clone();
        for local in self.slots.iter().filter(is_up).filter_map(|place| place.state.local_addr()) {
            if !announced.contains(&local) {
                announced.push(local);
            }
        }
        announced
    }

    /// Updates the slots to the addresses wanted now.
    fn update_slots(&mut self) {
        let wanted = self.wanted_ips();
        let mut before = std::mem::take(&mut self.slots);
        for ip in wanted {
            let known = before.iter().position(|place| place.ip == ip);
            let new = BindSlot { ip, state: BindState::Pending };
            self.slots.push(known.map_or(new, |known| before.swap_remove(known)));
        }
        self.to_close.extend(before.iter().filter_map(|place| place.state.local_addr()));
    }

    fn wanted_ips(&self) -> Vec<IpAddr> {
        match self.scope {
            ListenScope::Single(ip) => vec![ip],
            ListenScope::Loopback(ip) => {
                [ip].into_iter().chain(self.loopback_companion()).collect()
            }
            ListenScope::All { with_ipv6 } => {
                let mut all = self.ranked_ips(with_ipv6);
                let arrived = self.observed.iter().map(|arrived| arrived.ip);
                let unlisted: Vec<_> = arrived.filter(|ip| !all.contains(ip)).collect();
                all.extend(unlisted);
                let has_arrived = |ip: &IpAddr| self.observed.iter().any(|other| other.ip == *ip);
                select_addrs(self.max_sockets, all, |ip| *ip, has_arrived)
            }
        }
    }

    /// Returns the present companion of a loopback address, or the best candidate.
    fn loopback_companion(&self) -> Option<IpAddr> {
        let others: Vec<_> =
            self.ranked_ips(true).into_iter().filter(|ip| !ip.is_loopback()).collect();
        let known = self.slots.iter().map(|place| place.ip).find(|ip| others.contains(ip));
        known.or_else(|| others.first().copied())
    }

    /// Returns addresses of interfaces that are up, or that have a socket since they were, in order
    /// of likely usefulness.
    fn ranked_ips(&self, with_ipv6: bool) -> Vec<IpAddr> {
        let has_place = |ip: IpAddr| self.slots.iter().any(|place| place.ip == ip);
        let keeps_socket = |ip| matches!(self.scope, ListenScope::All { .. }) && has_place(ip);
        let is_wanted = |found: &&InterfaceAddr| {
            is_usable(found.ip)
                && (with_ipv6 || found.ip.is_ipv4())
                && (found.is_up || keeps_socket(found.ip))
        };
        let mut usable: Vec<_> = self.interface_addrs.iter().filter(is_wanted).collect();
        // The sort is stable, so equals keep the system's order.
        usable.sort_by_key(|found| {
            let is_link_local = matches!(found.ip, IpAddr::V4(ip) if ip.is_link_local());
            (found.ip.is_loopback(), is_link_local, found.is_virtual, found.ip.is_ipv6())
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

impl BindState {
    fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            BindState::Bound(local) => Some(*local),
            BindState::Pending | BindState::Failed { .. } => None,
        }
    }

    fn next_attempt(&self, now: Instant) -> Option<Instant> {
        match self {
            BindState::Pending => Some(now),
            BindState::Failed { retry_at: again, .. } => Some(*again),
            BindState::Bound(_) => None,
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.next_attempt(now).is_some_and(|at| at <= now)
    }
}

/// Returns whether an address can be a candidate. IPv6 link-local addresses cannot: they need a
/// zone id.
fn is_usable(ip: IpAddr) -> bool {
    !ip.is_unspecified() && !matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}
