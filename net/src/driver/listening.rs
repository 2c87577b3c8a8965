//! The listener: connections as they come, and patience when the system has none to give.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};

use super::ready::Ready;

/// When to try again to accept, after the system refused, for example for want of descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// How often the log is told so.
const TELL_AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Listening {
    listener: TcpListener,
    ready: Ready,
    /// When the log was told last that the system refuses.
    told: Option<Instant>,
}

/// What came of it to accept a connection.
#[derive(Debug)]
pub(super) enum Accepted {
    /// One that this peer has begun.
    Connection(TcpStream, SocketAddr),
    /// Nothing waits, or it has gone already.
    None,
    /// Something waits, and the system refuses to give it.
    Refused,
}

impl Listening {
    pub(super) fn new(listener: TcpListener) -> Listening {
        Listening { listener, ready: Ready::Yes, told: None }
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
    pub(super) fn accept(&mut self, now: Instant) -> Accepted {
        self.ready = Ready::Yes;
        match self.listener.accept() {
            Ok((tcp, remote)) => {
                Accepted::Connection(tcp, (remote.ip().to_canonical(), remote.port()).into())
            }
            Err(error) => self.failed(now, &error),
        }
    }

    fn failed(&mut self, now: Instant, error: &io::Error) -> Accepted {
        match error.kind() {
            io::ErrorKind::WouldBlock => self.ready = Ready::No,
            io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
            _ => {
                self.ready = Ready::At(now + ACCEPT_AGAIN);
                if self.told.is_none_or(|told| now >= told + TELL_AGAIN) {
                    log::warn!("no connection can be accepted for now: {error}");
                    self.told = Some(now);
                }
                return Accepted::Refused;
            }
        }
        Accepted::None
    }

    /// Something was freed: the system is asked again at once.
    pub(super) fn freed(&mut self) {
        self.ready = Ready::Yes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening() -> Listening {
        Listening::new(TcpListener::bind(([127, 0, 0, 1], 0).into()).expect("a free port"))
    }

    #[test]
    fn t70_who_has_nobody_waits_to_be_told() {
        let (mut listening, now) = (listening(), Instant::now());
        assert!(listening.is_ready(now), "mio says nothing of who was there before");
        assert!(matches!(listening.accept(now), Accepted::None));
        assert!(!listening.is_ready(now + 10 * ACCEPT_AGAIN));
        assert_eq!(listening.next_wake(now), None);
        listening.readable();
        assert!(listening.is_ready(now));
        assert_eq!(listening.next_wake(now), Some(now));
    }

    #[test]
    fn t20_what_the_system_refuses_is_tried_again_soon_and_not_at_once() {
        let (mut listening, now) = (listening(), Instant::now());
        for kind in [io::ErrorKind::Interrupted, io::ErrorKind::ConnectionAborted] {
            assert!(matches!(listening.failed(now, &kind.into()), Accepted::None));
            assert_eq!(listening.next_wake(now), Some(now), "there may be another");
        }
        let refused = listening.failed(now, &io::Error::other("no descriptors"));
        assert!(matches!(refused, Accepted::Refused));
        assert!(!listening.is_ready(now));
        assert_eq!(listening.next_wake(now), Some(now + ACCEPT_AGAIN));
        assert!(listening.is_ready(now + ACCEPT_AGAIN));
        listening.freed();
        assert!(listening.is_ready(now));
    }
}
