//! What goes through the door: inputs, outputs, events and why a peer ended.

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

/// What the caller hands to [`Endpoint::handle_input`](crate::Endpoint::handle_input).
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A datagram that a socket received.
    Datagram {
        /// Who sent it.
        source: SocketAddr,
        /// The address of [`Config::local`](crate::Config::local) at which it arrived.
        destination: SocketAddr,
        /// Its payload.
        contents: &'a [u8],
    },
    /// The time of the last [`Output::Timeout`] has come. Earlier or later is harmless.
    Timeout,
}

/// What [`Endpoint::poll_output`](crate::Endpoint::poll_output) gives.
#[derive(Debug)]
pub enum Output<K> {
    /// Send this datagram.
    Transmit(Transmit),
    /// Something happened to the peer with this key.
    Event(K, Event),
    /// Nothing more for now; call `handle_input` with [`Input::Timeout`] at this time, if any.
    Timeout(Option<Instant>),
}

/// A datagram to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The local address to send from.
    pub source: SocketAddr,
    /// Where to.
    pub destination: SocketAddr,
    /// The payload.
    pub contents: Vec<u8>,
}

/// What happens to a peer: `Open` at most once, then `Received` any number of times, and
/// `Closed` exactly once, also for a peer that never opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The channel is open: a message sent now can arrive.
    Open,
    /// A message arrived.
    Received(Bytes),
    /// The peer is gone and its key is free.
    Closed(CloseReason),
}

/// Why a peer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The other side closed the channel or the connection.
    ByPeer,
    /// [`Endpoint::close`](crate::Endpoint::close) was called.
    ByUs,
    /// Nothing was heard from the other side for too long.
    Lost,
    /// This stage was not passed in time.
    Timeout(Stage),
    /// This stage failed, with the cause in words.
    Failed(Stage, String),
    /// The other side asked for more than it may have.
    Limit(&'static str),
    /// The machine of this peer has panicked: a fault of this library, which hurts nobody else.
    Panicked,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::ByPeer => f.write_str("closed by the peer"),
            CloseReason::ByUs => f.write_str("closed by us"),
            CloseReason::Lost => f.write_str("nothing heard any more"),
            CloseReason::Timeout(stage) => write!(f, "{stage} took too long"),
            CloseReason::Failed(stage, cause) => write!(f, "{stage} failed: {cause}"),
            CloseReason::Limit(what) => write!(f, "limit: {what}"),
            CloseReason::Panicked => f.write_str("a fault of this side"),
        }
    }
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The session description of the other side.
    Answer,
    /// Connectivity checks (RFC 8445).
    Ice,
    /// The DTLS handshake (RFC 6347).
    Dtls,
    /// The SCTP association and its data channel (RFC 8831, RFC 8832).
    Channel,
    /// The channel is open.
    Open,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Answer => "answer",
            Stage::Ice => "ice",
            Stage::Dtls => "dtls",
            Stage::Channel => "channel",
            Stage::Open => "open",
        })
    }
}
