//! Binding of the TCP listener and its UDP sockets.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
#[cfg(target_os = "linux")]
use socket2::SockRef;
use socket2::{Domain, Protocol, Type};

use crate::driver::interfaces::{InterfaceAddr, scan_interfaces};
use crate::driver::local_addrs::{AddressSet, BindStep, ListenScope, ReachableAddrs};
use crate::driver::udp_sockets::UdpBinding;
use crate::{BindError, Config};

/// Maximum number of other ports tried when any port will do and the UDP port of the same number is
/// taken.
const MAX_BIND_ATTEMPTS: usize = 16;
/// Maximum number of UDP sockets, regardless of configuration.
pub(super) const MAX_UDP_SOCKETS: usize = 1_024;
/// Backlog of the listener: connections completed by the system before they are accepted.
const LISTEN_BACKLOG: i32 = 1_024;

/// `TCP_NOTSENT_LOWAT`: maximum unsent bytes in a TCP socket; the system asks for more at half of
/// it. Low, so that the rate of a peer is visible early: without it, Linux takes up to 4 MiB at
/// once, and then nothing until a third of that has arrived. High enough for 100 Mbit/s and
/// iterations of 4 ms.
#[cfg(target_os = "linux")]
const NOTSENT_LOWAT: u32 = 64 * 1024;

/// Listener and UDP sockets of a server.
#[derive(Debug)]
pub(crate) struct ServerSockets {
    pub(crate) listener: TcpListener,
    /// One for each address to which requests can come, so that the response has it as its source.
    pub(crate) udp: Vec<UdpBinding>,
    /// The listening address.
    pub(crate) local_addr: SocketAddr,
    /// The set of addresses with, or waiting for, a socket.
    pub(crate) address_set: AddressSet,
    /// The interface addresses found for `address_set`.
    pub(crate) interface_addrs: Vec<InterfaceAddr>,
    /// Addresses that are left out for now, and why.
    bind_warnings: Vec<String>,
}

impl ServerSockets {
    /// Binds the first address that can be bound. The error is that of the last.
    pub(crate) fn bind_first(
        candidates: &[SocketAddr],
        config: &Config,
    ) -> Result<ServerSockets, BindError> {
        let mut result = Err(BindError::Address {
            address: format!("{candidates:?}"),
            cause: io::ErrorKind::NotFound.into(),
        });
        for address in candidates {
            result = ServerSockets::bind(*address, config);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// Binds an address; with port 0, a port of which all sockets that are ready can be bound.
    fn bind(address: SocketAddr, config: &Config) -> Result<ServerSockets, BindError> {
        let tries = if address.port() == 0 { MAX_BIND_ATTEMPTS } else { 1 };
        let mut result = ServerSockets::bind_once(address, config);
        for _ in 1..tries {
            match &result {
                Ok(sockets) if !sockets.address_set.has_port_conflict() => break,
                Ok(_) | Err(BindError::Udp { .. }) => {}
                Err(_) => break,
            }
            result = ServerSockets::bind_once(address, config);
        }
        result
    }

    fn bind_once(address: SocketAddr, config: &Config) -> Result<ServerSockets, BindError> {
        let (listener, local) =
            listen(address).map_err(|cause| BindError::Tcp { address, cause })?;
        let scope = ListenScope::new(address.ip());
        let found = if scope.follows_interfaces() { scan_interfaces() } else { Vec::new() };
        let public = config.public_addrs.iter().map(|addr| addr.to_socket_addr(local.port()));
        let max = config.max_udp_sockets.min(MAX_UDP_SOCKETS);
        let mut addresses = AddressSet::new(scope, local.port(), max, public.collect());
        addresses.set_interface_addrs(found.clone());
        let left_out = Vec::new();
        let mut sockets = ServerSockets {
            listener,
            udp: Vec::new(),
            local_addr: local,
            address_set: addresses,
            interface_addrs: found,
            bind_warnings: left_out,
        };
        sockets.bind_udp(Instant::now())?;
        Ok(sockets)
    }

    /// Binds the addresses that can be bound now; the error is that of the first that cannot, if no
    /// usable one is left.
    fn bind_udp(&mut self, now: Instant) -> Result<(), BindError> {
        let mut first = None;
        while let Some(BindStep::Bind(address)) = self.address_set.next_step(now) {
            match UdpBinding::bind_for_listener(self.local_addr, address) {
                Ok(udp) => {
                    self.address_set.on_bound(address.ip(), udp.local_addr);
                    self.udp.push(udp);
                }
                Err(cause) => {
                    self.bind_warnings.extend(self.address_set.on_bind_failed(
                        now,
                        address.ip(),
                        &cause,
                    ));
                    first = first.or(Some((address, cause)));
                }
            }
        }
        match first {
            Some((address, cause)) if self.address_set.is_unusable() => {
                Err(BindError::Udp { address, cause })
            }
            _ => Ok(()),
        }
    }

    /// Logs the addresses and ports, for firewall configuration.
    pub(crate) fn log_startup(&self, reachable: &ReachableAddrs) {
        let ReachableAddrs { local_addrs: local, announced_addrs: announced } = reachable;
        log::info!("websockets on TCP {}, WebRTC on UDP {}", self.local_addr, format_addrs(local));
        self.bind_warnings.iter().for_each(|words| log::warn!("{words}"));
        if is_bad_port(self.local_addr.port()) {
            log::warn!(
                "browsers refuse to connect to port {}, which is another protocol's (bad ports of \
                 the fetch standard): bind another one, such as 3000, or put a proxy in front",
                self.local_addr.port()
            );
        }
        if self.local_addr.ip().is_loopback() {
            log::info!(
                "only browsers on this machine can connect: {} is loopback",
                self.local_addr.ip()
            );
            if local.len() < 2 {
                log::warn!(
                    "browsers will hardly connect: they avoid loopback, and this machine has no \
                     other address: join a network"
                );
            }
        } else {
            let port = self.local_addr.port();
            log::info!(
                "browsers are told {}; open TCP {port} and UDP {port}",
                format_addrs(announced)
            );
        }
    }
}

/// Formats addresses for people.
pub(super) fn format_addrs(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
}

fn listen(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket =
        socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted server must not wait for the TIME-WAIT state of old connections. On Windows the
    // same option would let two servers share a port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener = std::net::TcpListener::from(socket);
    let local = listener.local_addr()?;
    Ok((TcpListener::from_std(listener), local))
}

/// Configures a TCP connection that was just accepted.
///
/// Disables Nagle's algorithm. The system gives up a connection that does not acknowledge data for
/// this long (`TCP_USER_TIMEOUT`, RFC 5482), including a closed one, which it would otherwise
/// retransmit for minutes: Linux only.
pub(super) fn configure_tcp(tcp: &TcpStream, give_up_after: Duration) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if let Err(error) = SockRef::from(tcp).set_tcp_user_timeout(Some(give_up_after)) {
        log::debug!("TCP_USER_TIMEOUT: {error}");
    }
    // On other systems the data accepted by the system counts as sent, which is less exact.
    #[cfg(target_os = "linux")]
    if let Err(error) = SockRef::from(tcp).set_tcp_notsent_lowat(NOTSENT_LOWAT) {
        log::debug!("TCP_NOTSENT_LOWAT: {error}");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = give_up_after;
    tcp.set_nodelay(true)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn t16_the_system_gives_up_what_is_not_acknowledged() {
        let (listener, address) = listen(([127, 0, 0, 1], 0).into()).unwrap();
        let _client = std::net::TcpStream::connect(address).unwrap();
        let (tcp, _) = listener.accept().unwrap();
        configure_tcp(&tcp, Duration::from_secs(35)).unwrap();
        let told = SockRef::from(&tcp).tcp_user_timeout().unwrap();
        assert_eq!(told, Some(Duration::from_secs(35)));
        assert_eq!(SockRef::from(&tcp).tcp_notsent_lowat().unwrap(), NOTSENT_LOWAT);
        assert!(tcp.nodelay().unwrap());
    }
}

/// Bad ports of the Fetch standard (<https://fetch.spec.whatwg.org/#port-blocking>), in order.
const BAD_PORTS: [u16; 83] = [
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101,
    102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427,
    465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990,
    993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667,
    6668, 6669, 6679, 6697, 10_080,
];

/// Returns whether browsers refuse to open a websocket to this port.
pub(super) fn is_bad_port(port: u16) -> bool {
    BAD_PORTS.binary_search(&port).is_ok()
}

#[cfg(test)]
mod bad_port_tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_and_names_no_usual_port() {
        assert!(BAD_PORTS.is_sorted_by(|a, b| a < b));
        for bad in [1, 22, 2049, 4190, 5060, 5061, 6000, 6566, 6665, 6669, 6679, 6697, 10_080] {
            assert!(is_bad_port(bad), "{bad}");
        }
        for good in [80, 443, 3000, 5000, 5173, 6001, 8000, 8080, 8443, 10_081, 49_152] {
            assert!(!is_bad_port(good), "{good}");
        }
    }
}
