//! An attacker's datagrams: from sockets of its own, and in others' names.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{SocketAddr, SocketAddrV4};

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use super::Tally;
use crate::attack::Input;
use crate::tun::udp_packet;

/// Sockets of its own at once. Datagrams from further addresses are forged.
const SOCKETS: usize = 256;
/// IPPROTO_RAW: whole packets, their IP header included.
const RAW: i32 = 255;
const DATAGRAM: usize = 2_048;
/// Tokens of UDP sockets are even; 0 is somebody else's.
const STRIDE: usize = 2;

/// See the module's page.
#[derive(Debug)]
pub(super) struct Voices {
    server: SocketAddr,
    own: Vec<(SocketAddr, UdpSocket)>,
    by_address: HashMap<SocketAddr, usize>,
    /// Those that may have something to read.
    line: VecDeque<usize>,
    raw: Option<Socket>,
}

impl Voices {
    pub(super) fn new(server: SocketAddr) -> Voices {
        let raw = raw().inspect_err(|error| log::info!("no raw socket: {error}")).ok();
        Voices { server, own: Vec::new(), by_address: HashMap::new(), line: VecDeque::new(), raw }
    }

    pub(super) fn send(
        &mut self,
        registry: &Registry,
        source: SocketAddr,
        is_own: bool,
        contents: &[u8],
        tally: &mut Tally,
    ) {
        let server = self.server;
        let own = if is_own { self.own(registry, source) } else { None };
        let sent = match own {
            Some(socket) => socket.send_to(contents, server).map(drop),
            None => self.forge(source, contents).inspect(|()| tally.forged += 1),
        };
        match sent {
            Ok(()) => tally.datagrams += 1,
            Err(_) => tally.unsent += 1,
        }
    }

    fn own(&mut self, registry: &Registry, source: SocketAddr) -> Option<&UdpSocket> {
        if let Some(index) = self.by_address.get(&source) {
            return Some(&self.own[*index].1);
        }
        if self.own.len() >= SOCKETS {
            return None;
        }
        let mut socket = UdpSocket::bind(source).ok()?;
        let index = self.own.len();
        let token = Token((index + 1) * STRIDE);
        registry.register(&mut socket, token, Interest::READABLE).ok()?;
        self.own.push((source, socket));
        self.by_address.insert(source, index);
        self.own.last().map(|(_, socket)| socket)
    }

    fn forge(&self, source: SocketAddr, contents: &[u8]) -> io::Result<()> {
        let raw = self.raw.as_ref().ok_or(io::ErrorKind::PermissionDenied)?;
        let (SocketAddr::V4(from), SocketAddr::V4(to)) = (source, self.server) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let packet = udp_packet(from, to, contents);
        // The port is in the packet; the system wants none here.
        let to = SocketAddr::V4(SocketAddrV4::new(*to.ip(), 0));
        raw.send_to(&packet, &to.into()).map(drop)
    }

    pub(super) fn note(&mut self, token: Token) {
        if token.0.is_multiple_of(STRIDE) && token.0 > 0 {
            self.line.push_back(token.0 / STRIDE - 1);
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        !self.line.is_empty()
    }

    /// Tells of one datagram; false if there is none.
    pub(super) fn receive_next(&mut self, tell: &mut impl FnMut(Input<'_>)) -> bool {
        let Some(index) = self.line.pop_front() else { return false };
        let (destination, socket) = &self.own[index];
        let mut buffer = [0; DATAGRAM];
        // What else than "nothing more" fails, such as a port that nobody listens at, is over
        // with this call.
        match socket.recv_from(&mut buffer) {
            Ok((length, _)) => {
                self.line.push_back(index);
                let contents = &buffer[..length];
                tell(Input::Datagram { destination: *destination, contents });
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.line.push_back(index),
        }
        true
    }
}

fn raw() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(RAW)))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
