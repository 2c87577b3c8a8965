//! UDP sockets of the event loop, as local addresses change.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use mio::{Interest, Token};

use crate::driver::bind::format_addrs;
use crate::driver::event_loop::{Driver, FIRST_UDP_TOKEN};
use crate::driver::interfaces::InterfaceWatcher;
use crate::driver::local_addrs::{BindStep, ReachableAddrs};
use crate::driver::udp_sockets::UdpBinding;

impl Driver {
    /// Replaces the receiving and the advertised addresses.
    pub(in crate::driver) fn set_reachable_addrs(&mut self, reachable: ReachableAddrs) {
        self.shared.set_announced_addrs(reachable.announced_addrs.clone());
        self.hub.set_addresses(reachable.local_addrs, reachable.announced_addrs);
    }

    /// Records that a connection arrived on this address, which may be newer than the last
    /// interface scan.
    pub(super) fn on_local_ip(&mut self, now: Instant, local: Option<IpAddr>) {
        local.into_iter().for_each(|ip| self.address_set.on_local_ip(now, ip));
        self.sync_udp_sockets(now);
    }

    /// Applies changes of this machine's addresses.
    pub(super) fn update_interfaces(&mut self, now: Instant) {
        if let Some(found) = self.watcher.as_ref().and_then(InterfaceWatcher::take_change) {
            self.address_set.set_interface_addrs(found);
            self.udp_sockets.set_own_addrs(self.address_set.own_ips());
        }
        self.sync_udp_sockets(now);
    }

    /// Opens and closes UDP sockets, so that each wanted address has one: some 30 us each.
    fn sync_udp_sockets(&mut self, now: Instant) {
        while let Some(step) = self.address_set.next_step(now) {
            match step {
                BindStep::Close(local) => self.close_udp(local),
                BindStep::Bind(address) => self.bind_udp(now, address),
            }
        }
        if let Some(reachable) = self.address_set.take_change() {
            log::info!("browsers are told {} now", format_addrs(&reachable.announced_addrs));
            self.set_reachable_addrs(reachable);
        }
    }

    fn bind_udp(&mut self, now: Instant, address: SocketAddr) {
        let bound = UdpBinding::bind_for_listener(self.listen_addr, address).and_then(|udp| {
            let local = udp.local_addr;
            self.register_udp(udp).map(|()| local)
        });
        match bound {
            Ok(local) => {
                if let Some(words) = self.address_set.on_bound(address.ip(), local) {
                    log::info!("{words}");
                }
            }
            Err(error) => {
                if let Some(words) = self.address_set.on_bind_failed(now, address.ip(), &error) {
                    log::warn!("{words}");
                }
            }
        }
    }

    pub(super) fn register_udp(&mut self, mut udp: UdpBinding) -> io::Result<()> {
        let number = self.udp_sockets.free_slot();
        let token = Token(FIRST_UDP_TOKEN + number);
        self.poll.registry().register(udp.socket.mio_source(), token, Interest::READABLE)?;
        self.udp_sockets.insert(number, udp);
        Ok(())
    }

    fn close_udp(&mut self, local: SocketAddr) {
        if let Some(mut socket) = self.udp_sockets.remove(local) {
            log::info!("UDP {local} is closed: this machine has not got that address any more");
            // It fails only if the socket is not registered, which is fine.
            _ = self.poll.registry().deregister(socket.mio_source());
        }
    }
}
