//! What a call can be refused for: one enum for each verb.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use thiserror::Error;

/// Why a server could not start. Each names the address and the cause.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindError {
    /// The text is no address, or a name that nobody knows.
    #[error("{address:?} is no address to listen on: {cause}; write it as in \"127.0.0.1:3000\"")]
    Address {
        /// What was given.
        address: String,
        /// What the system says.
        cause: io::Error,
    },
    /// The TCP port, for websockets, cannot be had.
    #[error("TCP {address} cannot be listened on: {cause}{}", hint(.cause))]
    Tcp {
        /// Where it was tried.
        address: SocketAddr,
        /// What the system says.
        cause: io::Error,
    },
    /// The UDP port of the same number, for WebRTC, cannot be had.
    #[error("UDP {address} cannot be bound: {cause}{}", hint(.cause))]
    Udp {
        /// Where it was tried.
        address: SocketAddr,
        /// What the system says.
        cause: io::Error,
    },
    /// The system gives no event queue or thread.
    #[error("the event loop cannot start: {0}")]
    Loop(io::Error),
}

pub(crate) fn hint(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::AddrInUse => "; another program has this port: stop it or take another port",
        io::ErrorKind::PermissionDenied => "; take a port above 1023 or ask for the right",
        io::ErrorKind::AddrNotAvailable => {
            "; no interface of this machine has that address, or not yet: an IPv6 address is ready some \
             seconds after it was added, unless another machine has it"
        }
        _ => "",
    }
}

/// Why a message was not taken. Each gives the message back.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// No open peer has this id: never, not yet, or not any more.
    #[error("no open peer has this id")]
    NoSuchPeer(Bytes),
    /// Longer than `Config::message_bytes`.
    #[error("the message is longer than Config::message_bytes")]
    TooLarge(Bytes),
    /// More than `Config::backlog_bytes` of reliable messages wait for this peer already, or
    /// more than its part of `Config::total_reliable_send_buffer`. Nothing changed; try later, or
    /// close the peer.
    #[error("more reliable messages wait than Config::backlog_bytes or total_reliable_send_buffer")]
    Full(Bytes),
    /// The server has stopped.
    #[error("the server has stopped")]
    Stopped(Bytes),
}

impl SendError {
    /// The message that was not taken.
    pub fn into_message(self) -> Bytes {
        match self {
            SendError::NoSuchPeer(message)
            | SendError::TooLarge(message)
            | SendError::Full(message)
            | SendError::Stopped(message) => message,
        }
    }
}
