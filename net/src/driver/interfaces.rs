//! Interface watcher: polls the addresses of this machine.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use crossbeam::queue::ArrayQueue;
use if_addrs::Interface;

use crate::queues::Shared;

/// Interval of interface scans. A scan takes some 0.3 ms for few addresses, 9 ms for 1,000
/// (measured on a busy machine).
const SCAN_INTERVAL: Duration = Duration::from_secs(1);

/// Name prefixes of interfaces of containers, virtual machines and clusters, which hardly any
/// browser uses.
const VIRTUAL_PREFIXES: [&str; 28] = [
    "docker",
    "br-",
    "veth",
    "vethernet",
    "virbr",
    "vmnet",
    "vboxnet",
    "podman",
    "cni",
    "flannel",
    "cali",
    "lxc",
    "lxd",
    "incus",
    "nerdctl",
    "kube-",
    "cilium",
    "weave",
    "nodelocaldns",
    "antrea",
    "ovn",
    "vxlan",
    "genev",
    "tunl",
    "dummy",
    "ifb",
    "bridge100",
    "cbr",
];

/// Address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InterfaceAddr {
    pub(crate) ip: IpAddr,
    pub(crate) is_up: bool,
    /// Whether its interface belongs to a container, a virtual machine or a cluster.
    pub(crate) is_virtual: bool,
}

impl InterfaceAddr {
    fn new(interface: &Interface) -> InterfaceAddr {
        InterfaceAddr {
            ip: interface.ip(),
            is_up: interface.is_oper_up(),
            is_virtual: is_virtual_interface(&interface.name),
        }
    }
}

fn is_virtual_interface(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    VIRTUAL_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Returns the current addresses of this machine; none if the system does not list them.
pub(crate) fn scan_interfaces() -> Vec<InterfaceAddr> {
    list_interfaces().unwrap_or_else(|error| {
        log::warn!(
            "the network interfaces cannot be listed: {error}; an address is told to browsers once \
             a websocket has come in on it"
        );
        Vec::new()
    })
}

fn list_interfaces() -> io::Result<Vec<InterfaceAddr>> {
    Ok(if_addrs::get_if_addrs()?.iter().map(InterfaceAddr::new).collect())
}

/// Thread that scans the interfaces, because a scan may take some milliseconds where there are
/// thousands. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct InterfaceWatcher {
    /// The newest list that was not taken.
    changed: Arc<ArrayQueue<Vec<InterfaceAddr>>>,
    _stop: Sender<()>,
}

impl InterfaceWatcher {
    /// Starts the thread, which reports changes since `before`, each with a wake-up.
    pub(super) fn start(
        before: Vec<InterfaceAddr>,
        shared: &Arc<Shared>,
    ) -> io::Result<InterfaceWatcher> {
        let (stop, stopped) = bounded(0);
        let changed = Arc::new(ArrayQueue::new(1));
        let (told, shared) = (changed.clone(), shared.clone());
        thread::Builder::new()
            .name("net interfaces".into())
            .spawn(move || watch_interfaces(before, &stopped, &told, &shared))?;
        Ok(InterfaceWatcher { changed, _stop: stop })
    }

    /// Returns whether the addresses have changed.
    pub(super) fn has_change(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Returns the addresses, if they have changed.
    pub(super) fn take_change(&self) -> Option<Vec<InterfaceAddr>> {
        self.changed.pop()
    }
}

fn watch_interfaces(
    mut before: Vec<InterfaceAddr>,
    stopped: &Receiver<()>,
    told: &ArrayQueue<Vec<InterfaceAddr>>,
    shared: &Shared,
) {
    while stopped.recv_timeout(SCAN_INTERVAL) == Err(RecvTimeoutError::Timeout) {
        if let Ok(found) = list_interfaces()
            && found != before
        {
            before.clone_from(&found);
            told.force_push(found);
            shared.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_of_containers_and_clusters_are_known_by_their_names() {
        for name in ["docker0", "br-1a2b", "kube-ipvs0", "cni0", "vEthernet (WSL)", "cilium_host"] {
            assert!(is_virtual_interface(name), "{name}");
        }
        for name in ["eth0", "enp3s0", "wlan0", "br0", "vmbr0", "tailscale0", "wg0", "bond0", "lo"]
        {
            assert!(!is_virtual_interface(name), "{name}");
        }
    }

    #[test]
    fn this_machine_has_loopback_and_it_is_up() {
        let loopback = list_interfaces().unwrap().into_iter().find(|found| found.ip.is_loopback());
        assert!(loopback.is_some_and(|found| found.is_up && !found.is_virtual));
    }
}
