//! Attackers: machines without IO that do one kind of harm each. A [`World`](crate::world::World)
//! drives them in virtual time, and other programs drive the same ones over real sockets.
//!
//! An attacker has as many TCP connections as it likes, from any address, sends datagrams with
//! any source, hears what is sent to its own addresses, and may overhear what honest clients and
//! the server say to each other on UDP.
//!
//! [`Kind`] names all that no honest client notices, and [`Spoof`] those that can keep one from
//! opening. Inside, `kit` is what each works with, `script` plays what is done to a TCP
//! connection line by line, and `insider` is a peer of its own that got in honestly; the other
//! files are what is played, each for one part of the server.

mod chunk;
mod crowding;
mod datagrams;
mod door;
mod frames;
mod hello;
mod http;
mod insider;
mod kind;
mod kit;
mod means;
mod roaming;
mod script;
mod sctp;
mod signals;
mod spoofer;
mod spy;
mod stun;
mod watched;

use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::Instant;

pub use self::kind::Kind;
pub use self::means::Means;
pub use self::spoofer::Spoof;
pub use self::watched::{Observer, Tally, Traffic, Watched};

/// One of an attacker's TCP connections, by a number of its own choice that it never uses again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tcp(pub u32);

/// What happened to an attacker.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// It begins: nothing else comes before.
    Begin {
        /// Where the server is, TCP and UDP.
        server: SocketAddr,
    },
    /// Bytes were read from a connection.
    Bytes(Tcp, &'a [u8]),
    /// The server ended a connection, or refused it.
    End(Tcp),
    /// A datagram of the server came to an address of the attacker's.
    Datagram {
        /// Where it came to.
        destination: SocketAddr,
        /// Its payload.
        contents: &'a [u8],
    },
    /// A datagram passed between an honest client and the server; for those that
    /// [listen](Attacker::listens).
    Overheard {
        /// Who sent it.
        source: SocketAddr,
        /// To whom.
        destination: SocketAddr,
        /// Its payload.
        contents: &'a [u8],
    },
    /// The time of the last [`Output::Timeout`] has come.
    Timeout,
}

/// What an attacker does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Connects from this address.
    Connect(Tcp, SocketAddr),
    /// Writes to a connection.
    Write(Tcp, Vec<u8>),
    /// Reads from a connection from now on, or no more, whatever comes. At first it reads.
    Read(Tcp, bool),
    /// Ends a connection, or its half, in order (FIN).
    End(Tcp),
    /// Tears a connection down (RST).
    Reset(Tcp),
    /// Sends the server a datagram that claims to come from there.
    Datagram {
        /// Its source address, which may be anybody's.
        source: SocketAddr,
        /// Its payload.
        contents: Vec<u8>,
    },
    /// Nothing more now; wake me then.
    Timeout(Option<Instant>),
}

/// The one door of every attacker.
pub trait Attacker: Debug {
    /// In a word or two, for tables and failing seeds.
    fn name(&self) -> &'static str;

    /// Feeds what happened.
    fn handle_input(&mut self, now: Instant, input: Input<'_>);

    /// What it does next; [`Output::Timeout`] ends a drain.
    fn poll_output(&mut self) -> Output;

    /// Whether datagrams to this address come to it.
    fn is_at(&self, _address: SocketAddr) -> bool {
        false
    }

    /// Whether it overhears the honest.
    fn listens(&self) -> bool {
        false
    }
}
