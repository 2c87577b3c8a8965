//! The listening socket, and the UDP sockets that go with it.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
#[cfg(target_os = "linux")]
use socket2::SockRef;
use socket2::{Domain, Protocol, Type};

use crate::driver::interfaces::{InterfaceAddr, scan_interfaces};
use crate::driver::local_addrs::{AddressSet, BindStep, ListenScope, ReachableAddrs};
use crate::driver::udp_sockets::OverflowUdpSocket;
use crate::{BindError, Config};

/// How often another number is tried when any port will do and the UDP side of it is taken.
const MAX_BIND_ATTEMPTS: usize = 16;
/// Most UDP sockets, whatever the settings say.
pub(super) const MAX_UDP_SOCKETS: usize = 1_024;
/// Connections that the system completes before they are accepted.
const LISTEN_BACKLOG: i32 = 1_024;
/// Room for bursts of datagrams, in bytes; the system may give less.
const UDP_SOCKET_BUFFER: usize = 4 * 1024 * 1024;

/// What a TCP connection may hold unsent, in bytes; the system asks for more at half of it. Little,
/// so that it is seen soon what a peer takes: without this, Linux takes up to 4 MiB at once, and
/// then nothing until a third of that has arrived. And much enough for 100 Mbit/s and turns of 4 ms.
#[cfg(target_os = "linux")]
const NOTSENT_LOWAT: u32 = 64 * 1024;

/// All sockets of a server but those of its connections.
#[derive(Debug)]
pub(crate) struct ServerSockets {
    pub(crate) listener: TcpListener,
    /// One for each address that may be asked, so that the answer comes from it.
    pub(crate) udp: Vec<UdpBinding>,
    /// The address that is listened on.
    pub(crate) local_addr: SocketAddr,
    /// Which addresses have a socket, and which are to have one.
    pub(crate) address_set: AddressSet,
    /// What was found for `addresses`.
    pub(crate) interface_addrs: Vec<InterfaceAddr>,
    /// Which of them are left out for now, and why.
    bind_warnings: Vec<String>,
}

/// A UDP socket, and who may use it.
#[derive(Debug)]
pub(crate) struct UdpBinding<S = OverflowUdpSocket> {
    pub(crate) socket: S,
    pub(crate) local_addr: SocketAddr,
    pub(crate) source_filter: SourceFilter,
}

/// Whose datagrams are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceFilter {
    Any,
    /// Only those from this machine's own addresses: the socket stands beside a loopback one and
    /// must not let another machine in.
    OwnAddrs,
}

impl ServerSockets {
    /// Binds the first address that can be had. The error is that of the last.
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

    /// Any port number will do if it is 0: then one of which all that is ready can be had.
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

    /// Binds what can be bound now; the error is that of the first address that cannot, if
    /// nothing is left that is of use.
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

    /// Says what a person who sets up a firewall wants to know.
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

/// Addresses as a person reads them.
pub(super) fn format_addrs(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
}

fn listen(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket =
        socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted server must not wait for the old one's connections to be forgotten. On
    // Windows the same option would let two servers share a port.
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

/// Sets what a connection needs that was just accepted.
///
/// Messages leave at once. And the system gives up a connection that does not acknowledge what
/// was sent for so long (`TCP_USER_TIMEOUT`, RFC 5482), also one that we have closed, which it
/// would otherwise try to deliver for minutes: only Linux knows that.
pub(super) fn configure_tcp(tcp: &TcpStream, give_up_after: Duration) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if let Err(error) = SockRef::from(tcp).set_tcp_user_timeout(Some(give_up_after)) {
        log::debug!("TCP_USER_TIMEOUT: {error}");
    }
    // Also elsewhere what the system takes is what is sent; only less exactly.
    #[cfg(target_os = "linux")]
    if let Err(error) = SockRef::from(tcp).set_tcp_notsent_lowat(NOTSENT_LOWAT) {
        log::debug!("TCP_NOTSENT_LOWAT: {error}");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = give_up_after;
    tcp.set_nodelay(true)
}

impl UdpBinding {
    /// A socket at this address, of a server that listens at `listens`. Beside loopback any port
    /// number will do.
    pub(super) fn bind_for_listener(
        listens: SocketAddr,
        address: SocketAddr,
    ) -> io::Result<UdpBinding> {
        if !listens.ip().is_loopback() || address.ip().is_loopback() {
            return UdpBinding::bind(address, SourceFilter::Any);
        }
        UdpBinding::bind(address, SourceFilter::OwnAddrs)
            .or_else(|_| UdpBinding::bind((address.ip(), 0).into(), SourceFilter::OwnAddrs))
    }

    fn bind(address: SocketAddr, admits: SourceFilter) -> io::Result<UdpBinding> {
        let socket =
            socket2::Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // Smaller buffers than asked for are no reason to fail.
        _ = socket.set_recv_buffer_size(UDP_SOCKET_BUFFER);
        _ = socket.set_send_buffer_size(UDP_SOCKET_BUFFER);
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let socket = std::net::UdpSocket::from(socket);
        let local = socket.local_addr()?;
        Ok(UdpBinding {
            socket: OverflowUdpSocket::new(socket),
            local_addr: local,
            source_filter: admits,
        })
    }
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

/// The bad ports of the fetch standard (<https://fetch.spec.whatwg.org/#port-blocking>), in order.
const BAD_PORTS: [u16; 83] = [
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101,
    102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427,
    465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990,
    993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667,
    6668, 6669, 6679, 6697, 10_080,
];

/// Whether browsers refuse to open a websocket to this port.
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
