//! Hears what others send to the server and get from it.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use crate::tun::{MTU, addressed};

/// ETH_P_IP in network order: what arrives, and not once more what leaves.
const IP: i32 = 0x0800_u16.to_be() as i32;

/// A packet socket.
#[derive(Debug)]
pub(super) struct Ear {
    socket: Socket,
    server: SocketAddr,
    buffer: Vec<u8>,
}

impl Ear {
    pub(super) fn new(registry: &Registry, token: Token, server: SocketAddr) -> io::Result<Ear> {
        // Of kind "datagram" each packet begins with its IP header, whatever the device.
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(IP)))?;
        socket.set_nonblocking(true)?;
        registry.register(&mut SourceFd(&socket.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Ear { socket, server, buffer: vec![0; MTU.into()] })
    }

    /// The next datagram of the server's, if there is one: source, destination, contents.
    pub(super) fn next(&mut self) -> Option<(SocketAddr, SocketAddr, &[u8])> {
        let length = loop {
            let length = (&self.socket).read(&mut self.buffer).ok()?;
            let ends = addressed(&self.buffer[..length]);
            if ends.is_some_and(|(from, to, _)| from == self.server || to == self.server) {
                break length;
            }
        };
        addressed(&self.buffer[..length])
    }
}
