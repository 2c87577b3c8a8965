//! The UDP sockets while the addresses of this machine come and go.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use mio::{Interest, Token};

use crate::driver::bind::{Udp, list};
use crate::driver::event_loop::{Driver, FIRST_UDP};
use crate::driver::interfaces::Watcher;
use crate::driver::local_addrs::{Reachable, Step};

impl Driver {
    /// Where datagrams arrive, and what browsers are told, is this from now on.
    pub(in crate::driver) fn announce(&mut self, reachable: Reachable) {
        self.shared.set_announced(reachable.announced.clone());
        self.hub.set_addresses(reachable.local, reachable.announced);
    }

    /// A connection came in on this address, which may be newer than the last look at the
    /// interfaces.
    pub(super) fn arrived(&mut self, now: Instant, local: Option<IpAddr>) {
        local.into_iter().for_each(|ip| self.addresses.note_arrival(now, ip));
        self.follow_addresses(now);
    }

    /// Takes note of addresses of this machine that have come and gone.
    pub(super) fn follow_interfaces(&mut self, now: Instant) {
        if let Some(found) = self.watcher.as_ref().and_then(Watcher::take) {
            self.addresses.set_found(found);
            self.datagrams.set_own(self.addresses.of_this_machine());
        }
        self.follow_addresses(now);
    }

    /// Opens and closes UDP sockets, so that each address that is wanted has one: some 30 us each.
    fn follow_addresses(&mut self, now: Instant) {
        while let Some(step) = self.addresses.next_step(now) {
            match step {
                Step::Close(local) => self.close_udp(local),
                Step::Bind(address) => self.bind_udp(now, address),
            }
        }
        if let Some(reachable) = self.addresses.take_change() {
            log::info!("browsers are told {} now", list(&reachable.announced));
            self.announce(reachable);
        }
    }

    fn bind_udp(&mut self, now: Instant, address: SocketAddr) {
        let bound = Udp::beside(self.local, address).and_then(|udp| {
            let local = udp.local;
            self.open_udp(udp).map(|()| local)
        });
        match bound {
            Ok(local) => {
                if let Some(words) = self.addresses.bound(address.ip(), local) {
                    log::info!("{words}");
                }
            }
            Err(error) => {
                if let Some(words) = self.addresses.failed(now, address.ip(), &error) {
                    log::warn!("{words}");
                }
            }
        }
    }

    pub(super) fn open_udp(&mut self, mut udp: Udp) -> io::Result<()> {
        let number = self.datagrams.free_number();
        let token = Token(FIRST_UDP + number);
        self.poll.registry().register(udp.socket.source(), token, Interest::READABLE)?;
        self.datagrams.insert(number, udp);
        Ok(())
    }

    fn close_udp(&mut self, local: SocketAddr) {
        if let Some(mut socket) = self.datagrams.remove(local) {
            log::info!("UDP {local} is closed: this machine has not got that address any more");
            // It fails only where mio knows nothing of it, which is what is wanted.
            _ = self.poll.registry().deregister(socket.source());
        }
    }
}
