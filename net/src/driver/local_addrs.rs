//! Which addresses of this machine are to have a UDP socket, and which of them browsers are told,
//! while addresses come and go.

#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::config::select_addrs;
use crate::driver::interfaces::InterfaceAddr;
use crate::error::hint;

/// After how long it is tried again to bind what could not be bound.
const BIND_RETRY_DELAY: Duration = Duration::from_secs(1);

/// What the address to listen on stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListenScope {
    /// This one.
    Single(IpAddr),
    /// This one of loopback, and beside it one that is not, for Firefox on this machine.
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

    /// Whether it changes as the addresses of this machine do.
    pub(crate) fn follows_interfaces(self) -> bool {
        !matches!(self, ListenScope::Single(_))
    }
}

/// The addresses, each with or without a socket. It has no socket itself: [`next_step`] says what
/// to do, [`bound`] and [`failed`] take what came of it.
///
/// [`next_step`]: AddressSet::next_step
/// [`bound`]: AddressSet::on_bound
/// [`failed`]: AddressSet::on_bind_failed
#[derive(Debug)]
pub(crate) struct AddressSet {
    scope: ListenScope,
    port: u16,
    max_sockets: usize,
    /// What is announced before all others: sockets elsewhere lead here.
    public_addrs: Vec<SocketAddr>,
    interface_addrs: Vec<InterfaceAddr>,
    observed: Vec<ObservedAddr>,
    /// Those that are wanted, most wanted first.
    slots: Vec<BindSlot>,
    to_close: Vec<SocketAddr>,
    last_reported: ReachableAddrs,
    /// Whether something happened since that was told.
    is_dirty: bool,
}

/// A websocket came in on this address, so it is one of this machine.
#[derive(Clone, Copy, Debug)]
struct ObservedAddr {
    ip: IpAddr,
    /// Whether it was on the list of interfaces once: then it is gone when it is not any more.
    is_listed: bool,
}

#[derive(Debug)]
struct BindSlot {
    ip: IpAddr,
    state: BindState,
}

/// ```text
///   Wanted --bound--> Bound
///     '--failed--> Failed --bound--> Bound
/// ```
#[derive(Debug)]
enum BindState {
    Pending,
    Bound(SocketAddr),
    Failed { cause: io::ErrorKind, retry_at: Instant },
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BindStep {
    Close(SocketAddr),
    Bind(SocketAddr),
}

/// Where datagrams arrive, and what browsers are told, each most wanted first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReachableAddrs {
    pub(crate) local_addrs: Vec<SocketAddr>,
    pub(crate) announced_addrs: Vec<SocketAddr>,
}

impl AddressSet {
    /// Addresses with this port number, at most `max` of them, behind `public` ones.
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

    /// These are the addresses of this machine now.
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

    /// A websocket came in on this address, whatever the list of interfaces says. If it could not
    /// be bound, it is tried again now.
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

    /// What to do next, if anything now.
    pub(crate) fn next_step(&mut self, now: Instant) -> Option<BindStep> {
        if let Some(local) = self.to_close.pop() {
            self.is_dirty = true;
            return Some(BindStep::Close(local));
        }
        let due = |place: &&BindSlot| place.state.is_due(now);
        self.slots.iter().find(due).map(|place| BindStep::Bind((place.ip, self.port).into()))
    }

    /// When there is something to do at the latest.
    pub(crate) fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let wakes = self.slots.iter().filter_map(|place| place.state.next_attempt(now));
        wakes.chain((!self.to_close.is_empty()).then_some(now)).min()
    }

    /// An address has its socket; gives words for the log where it was named as left out before.
    pub(crate) fn on_bound(&mut self, ip: IpAddr, local: SocketAddr) -> Option<String> {
        let place = self.slots.iter_mut().find(|place| place.ip == ip)?;
        let before = std::mem::replace(&mut place.state, BindState::Bound(local));
        self.is_dirty = true;
        matches!(before, BindState::Failed { .. }).then(|| format!("UDP {local} is bound now"))
    }

    /// An address cannot be bound; gives words for the log, once for each cause.
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

    /// Whether no browser could connect for a reason that does not pass by itself: of the address
    /// to listen on, or of all that are not loopback, the UDP port is not to be had.
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

    /// Whether a socket is missing that could be had with another port number.
    pub(crate) fn has_port_conflict(&self) -> bool {
        self.slots.iter().any(|place| match place.state {
            BindState::Failed { cause, .. } => cause == io::ErrorKind::AddrInUse,
            BindState::Pending | BindState::Bound(_) => false,
        })
    }

    /// The addresses, if they have changed since this was asked last.
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

    /// Every address of this machine, as far as it is known.
    pub(crate) fn own_ips(&self) -> impl Iterator<Item = IpAddr> {
        self.interface_addrs.iter().map(|found| found.ip)
    }

    fn local_addrs(&self) -> Vec<SocketAddr> {
        self.slots.iter().filter_map(|place| place.state.local_addr()).collect()
    }

    /// After the public addresses, what is bound on interfaces that are up. An address that only
    /// a websocket has shown is for its own client.
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

    /// Finds out which addresses are wanted now.
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

    /// The one that is there already, or the best.
    fn loopback_companion(&self) -> Option<IpAddr> {
        let others: Vec<_> =
            self.ranked_ips(true).into_iter().filter(|ip| !ip.is_loopback()).collect();
        let known = self.slots.iter().map(|place| place.ip).find(|ip| others.contains(ip));
        known.or_else(|| others.first().copied())
    }

    /// Addresses of interfaces that are up, or that have a socket since then: the likelier to be
    /// of use first.
    fn ranked_ips(&self, with_ipv6: bool) -> Vec<IpAddr> {
        let has_place = |ip: IpAddr| self.slots.iter().any(|place| place.ip == ip);
        let keeps_socket = |ip| matches!(self.scope, ListenScope::All { .. }) && has_place(ip);
        let is_wanted = |found: &&InterfaceAddr| {
            is_usable(found.ip)
                && (with_ipv6 || found.ip.is_ipv4())
                && (found.is_up || keeps_socket(found.ip))
        };
        let mut usable: Vec<_> = self.interface_addrs.iter().filter(is_wanted).collect();
        // Stable, so that the system's order decides between equals.
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

/// IPv6 addresses of one link are of no use in a candidate: they need an interface beside them.
fn is_usable(ip: IpAddr) -> bool {
    !ip.is_unspecified() && !matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}
