//! An attacker's TCP connections.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::Tally;
use crate::attack::{Input, Tcp};

/// Bytes read at a time.
const CHUNK: usize = 16 * 1024;
/// Bytes that wait to be written; a write that finds more is left out whole.
const BACKLOG: usize = 1024 * 1024;
/// Tokens of connections are odd, those of UDP sockets even.
const STRIDE: usize = 2;

#[derive(Debug)]
struct Line {
    tcp: TcpStream,
    unwritten: VecDeque<u8>,
    reads: bool,
    readable: bool,
    /// It ends its half once all is written.
    ending: bool,
}

/// See the module's page.
#[derive(Debug)]
pub(super) struct Lines {
    server: SocketAddr,
    by_tcp: BTreeMap<Tcp, Line>,
    /// Those that may have something to read.
    line: VecDeque<Tcp>,
    buffer: Vec<u8>,
}

fn token(tcp: Tcp) -> Token {
    Token(tcp.0 as usize * STRIDE + 1)
}

fn named(token: Token) -> Option<Tcp> {
    (token.0 % STRIDE == 1).then_some(Tcp((token.0 / STRIDE) as u32))
}

impl Lines {
    pub(super) fn new(server: SocketAddr) -> Lines {
        Lines { server, by_tcp: BTreeMap::new(), line: VecDeque::new(), buffer: vec![0; CHUNK] }
    }

    pub(super) fn connect(
        &mut self,
        registry: &Registry,
        tcp: Tcp,
        from: SocketAddr,
        tally: &mut Tally,
    ) {
        match begin(self.server, from).and_then(|stream| watched(registry, tcp, stream)) {
            Ok(stream) => {
                tally.connects += 1;
                let unwritten = VecDeque::new();
                let line =
                    Line { tcp: stream, unwritten, reads: true, readable: false, ending: false };
                self.by_tcp.insert(tcp, line);
            }
            Err(error) => {
                log::debug!("no connection from {from}: {error}");
                tally.unconnected += 1;
                // It is told in its turn, as if the server had refused.
                self.line.push_back(tcp);
            }
        }
    }

    pub(super) fn write(&mut self, tcp: Tcp, bytes: Vec<u8>, tally: &mut Tally) {
        let Some(line) = self.by_tcp.get_mut(&tcp) else { return };
        if line.unwritten.len() + bytes.len() > BACKLOG.max(bytes.len()) {
            tally.unwritten += bytes.len() as u64;
            return;
        }
        tally.written += bytes.len() as u64;
        line.unwritten.extend(bytes);
        line.flush();
    }

    pub(super) fn read(&mut self, tcp: Tcp, reads: bool) {
        if let Some(line) = self.by_tcp.get_mut(&tcp) {
            line.reads = reads;
            self.line.push_back(tcp);
        }
    }

    pub(super) fn end(&mut self, tcp: Tcp) {
        if let Some(line) = self.by_tcp.get_mut(&tcp) {
            line.ending = true;
            line.flush();
        }
    }

    pub(super) fn reset(&mut self, tcp: Tcp) {
        if let Some(line) = self.by_tcp.remove(&tcp) {
            // Dropped with nothing to linger for, the system sends RST.
            _ = SockRef::from(&line.tcp).set_linger(Some(Duration::ZERO));
        }
    }

    pub(super) fn note(&mut self, event: &Event) {
        let Some(tcp) = named(event.token()) else { return };
        let Some(line) = self.by_tcp.get_mut(&tcp) else { return };
        if event.is_writable() {
            line.flush();
        }
        if event.is_readable() || event.is_error() {
            line.readable = true;
            self.line.push_back(tcp);
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        !self.line.is_empty()
    }

    /// Tells what one of them says; false if none says anything.
    pub(super) fn read_next(&mut self, tell: &mut impl FnMut(Input<'_>)) -> bool {
        let Some(tcp) = self.line.pop_front() else { return false };
        let Some(line) = self.by_tcp.get_mut(&tcp) else {
            tell(Input::End(tcp));
            return true;
        };
        if !(line.reads && line.readable) {
            return true;
        }
        match line.tcp.read(&mut self.buffer) {
            Ok(length) if length > 0 => {
                self.line.push_back(tcp);
                tell(Input::Bytes(tcp, &self.buffer[..length]));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => line.readable = false,
            _ => {
                self.by_tcp.remove(&tcp);
                tell(Input::End(tcp));
            }
        }
        true
    }
}

impl Line {
    fn flush(&mut self) {
        while !self.unwritten.is_empty() {
            match self.tcp.write(self.unwritten.as_slices().0) {
                Ok(length) => _ = self.unwritten.drain(..length),
                // Full, or not connected yet; what else it is, reading will tell.
                Err(_) => return,
            }
        }
        if self.ending {
            _ = self.tcp.shutdown(Shutdown::Write);
        }
    }
}

fn begin(server: SocketAddr, from: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    // Also an address whose earlier connection is not forgotten yet.
    socket.set_reuse_address(true)?;
    socket.bind(&from.into())?;
    match socket.connect(&server.into()) {
        Err(error) if error.raw_os_error() != Some(IN_PROGRESS) => return Err(error),
        _ => {}
    }
    Ok(TcpStream::from_std(socket.into()))
}

/// EINPROGRESS of Linux: std has no name for it.
const IN_PROGRESS: i32 = 115;

fn watched(registry: &Registry, tcp: Tcp, mut stream: TcpStream) -> io::Result<TcpStream> {
    registry.register(&mut stream, token(tcp), Interest::READABLE | Interest::WRITABLE)?;
    Ok(stream)
}
