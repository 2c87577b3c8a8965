//! The listening socket, and the UDP sockets that go with it.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
#[cfg(target_os = "linux")]
use socket2::SockRef;
use socket2::{Domain, Protocol, Type};

use super::udp::Socket;
use super::{addresses, bad_ports};
use crate::{BindError, Config};

/// How often another number is tried when any port will do and the UDP side of it is taken.
const TRIES: usize = 16;
/// Connections that the system completes before they are accepted.
const LISTEN_BACKLOG: i32 = 1_024;
/// Room for bursts of datagrams, in bytes; the system may give less.
const UDP_BUFFER: usize = 4 * 1024 * 1024;

/// All sockets of a server but those of its connections.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) listener: TcpListener,
    /// One for each address that may be asked, so that the answer comes from it.
    pub(crate) udp: Vec<Udp>,
    /// The address that is listened on.
    pub(crate) local: SocketAddr,
    /// What browsers are told.
    pub(crate) announced: Vec<SocketAddr>,
}

/// A UDP socket, and who may use it.
#[derive(Debug)]
pub(crate) struct Udp<S = Socket> {
    pub(crate) socket: S,
    pub(crate) local: SocketAddr,
    pub(crate) admits: Admits,
}

/// Whose datagrams are taken.
#[derive(Debug)]
pub(crate) enum Admits {
    Everyone,
    /// Only these addresses, which are this machine's: the socket stands beside a loopback one
    /// and must not let another machine in.
    ThisMachine(HashSet<IpAddr>),
}

impl Admits {
    pub(crate) fn admits(&self, source: SocketAddr) -> bool {
        match self {
            Admits::Everyone => true,
            Admits::ThisMachine(own) => own.contains(&source.ip().to_canonical()),
        }
    }
}

impl Sockets {
    /// Binds the first address that can be had. The error is that of the last.
    pub(crate) fn bind_first(
        candidates: &[SocketAddr],
        config: &Config,
    ) -> Result<Sockets, BindError> {
        let mut result = Err(BindError::Address {
            address: format!("{candidates:?}"),
            cause: io::ErrorKind::NotFound.into(),
        });
        for address in candidates {
            result = Sockets::bind(*address, config);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    fn bind(address: SocketAddr, config: &Config) -> Result<Sockets, BindError> {
        let tries = if address.port() == 0 { TRIES } else { 1 };
        let mut result = Sockets::bind_once(address, config);
        for _ in 1..tries {
            if !matches!(result, Err(BindError::Udp { .. })) {
                break;
            }
            result = Sockets::bind_once(address, config);
        }
        result
    }

    fn bind_once(address: SocketAddr, config: &Config) -> Result<Sockets, BindError> {
        let (listener, local) =
            listen(address).map_err(|cause| BindError::Tcp { address, cause })?;
        let mut udp = Vec::new();
        for ip in ips(address)? {
            let address = SocketAddr::new(ip, local.port());
            let socket = Udp::bind(address, Admits::Everyone);
            udp.push(socket.map_err(|cause| BindError::Udp { address, cause })?);
        }
        if address.ip().is_loopback() && config.public_addr.is_none() {
            udp.extend(beside_loopback(local.port()));
        }
        let announced = match config.public_addr {
            Some(public) => vec![public.with_port(local.port())],
            None => udp.iter().map(|udp| udp.local).collect(),
        };
        Ok(Sockets { listener, udp, local, announced })
    }

    /// The bound UDP addresses.
    pub(crate) fn udp_addresses(&self) -> Vec<SocketAddr> {
        self.udp.iter().map(|udp| udp.local).collect()
    }

    /// Says what a person who sets up a firewall wants to know.
    pub(crate) fn log(&self) {
        let list = |addresses: &[SocketAddr]| {
            addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
        };
        log::info!(
            "websockets on TCP {}, WebRTC on UDP {}",
            self.local,
            list(&self.udp_addresses())
        );
        if bad_ports::is_bad(self.local.port()) {
            log::warn!(
                "browsers refuse to connect to port {}, which is another protocol's (bad ports of \
                 the fetch standard): bind another one, such as 3000, or put a proxy in front",
                self.local.port()
            );
        }
        if self.local.ip().is_loopback() {
            log::info!(
                "only browsers on this machine can connect: {} is loopback",
                self.local.ip()
            );
        } else {
            let port = self.local.port();
            log::info!(
                "browsers are told {}; open TCP {port} and UDP {port}",
                list(&self.announced)
            );
        }
    }
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
pub(super) fn prepare(tcp: &TcpStream, dead_after: Duration) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if let Err(error) = SockRef::from(tcp).set_tcp_user_timeout(Some(dead_after)) {
        log::debug!("TCP_USER_TIMEOUT: {error}");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = dead_after;
    tcp.set_nodelay(true)
}

/// The addresses that one address to listen on stands for.
fn ips(address: SocketAddr) -> Result<Vec<IpAddr>, BindError> {
    if !address.ip().is_unspecified() {
        return Ok(vec![address.ip()]);
    }
    match addresses::of_all_interfaces(address.is_ipv6()) {
        none if none.is_empty() => Err(BindError::NoAddress { address }),
        ips => Ok(ips),
    }
}

/// The socket by which Firefox on this machine reaches a loopback server, on the same port
/// number if that is free.
fn beside_loopback(port: u16) -> Option<Udp> {
    let Some(ip) = addresses::beside_loopback() else {
        log::warn!(
            "browsers will hardly connect: they avoid loopback, and this machine has no other address: join a network"
        );
        return None;
    };
    let admits = || Admits::ThisMachine(addresses::of_this_machine().into_iter().collect());
    let bind = |port| Udp::bind(SocketAddr::new(ip, port), admits());
    bind(port)
        .or_else(|_| bind(0))
        .inspect_err(|error| log::warn!("Firefox will not connect: UDP on {ip}: {error}"))
        .ok()
}

impl Udp {
    fn bind(address: SocketAddr, admits: Admits) -> io::Result<Udp> {
        let socket =
            socket2::Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // Smaller buffers than asked for are no reason to fail.
        _ = socket.set_recv_buffer_size(UDP_BUFFER);
        _ = socket.set_send_buffer_size(UDP_BUFFER);
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let socket = std::net::UdpSocket::from(socket);
        let local = socket.local_addr()?;
        Ok(Udp { socket: Socket::new(socket), local, admits })
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
        prepare(&tcp, Duration::from_secs(35)).unwrap();
        let told = SockRef::from(&tcp).tcp_user_timeout().unwrap();
        assert_eq!(told, Some(Duration::from_secs(35)));
        assert!(tcp.nodelay().unwrap());
    }
}
