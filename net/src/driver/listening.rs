//! The listener: connections as they come, and patience when the system has none to give.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};

use super::ready::Ready;

/// When to try again to accept, after the system refused, for example for want of descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Listening {
    listener: TcpListener,
    ready: Ready,
}

impl Listening {
    pub(super) fn new(listener: TcpListener) -> Listening {
        Listening { listener, ready: Ready::Yes }
    }

    /// Notes that mio says somebody has come.
    pub(super) fn readable(&mut self) {
        self.ready = Ready::Yes;
    }

    /// When somebody may have come.
    pub(super) fn next_wake(&self, now: Instant) -> Option<Instant> {
        self.ready.next_wake(now)
    }

    /// Whether somebody may have come.
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        self.ready.is_now(now)
    }

    /// The next connection and who it is, if the system has one.
    pub(super) fn accept(&mut self, now: Instant) -> Option<(TcpStream, SocketAddr)> {
        self.ready = Ready::Yes;
        match self.listener.accept() {
            Ok((tcp, remote)) => {
                return Some((tcp, (remote.ip().to_canonical(), remote.port()).into()));
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => self.ready = Ready::No,
                io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                _ => {
                    log::warn!("no connection can be accepted for now: {error}");
                    self.ready = Ready::At(now + ACCEPT_AGAIN);
                }
            },
        }
        None
    }
}
