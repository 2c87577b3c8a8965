//! What a call can be refused for: one enum for each verb.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::{fmt, io};

use bytes::Bytes;
use log::warn;
pub use net_rtc::WebRtcStage;
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
    EventLoop(io::Error),
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
    /// Longer than `Config::max_message_size`.
    #[error("the message is longer than Config::max_message_size")]
    TooLarge(Bytes),
    /// More than `Config::reliable_send_buffer` of reliable messages wait for this peer already, or
    /// more than its part of `Config::total_reliable_send_buffer`. Nothing changed; try later, or
    /// close the peer.
    #[error(
        "more reliable messages wait than Config::reliable_send_buffer or total_reliable_send_buffer"
    )]
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

/// Why a peer closed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The other side closed the websocket, the data channel or the connection, as a closed or
    /// reloaded tab does.
    ClosedByPeer,
    /// `Server::close` was called.
    ClosedByServer,
    /// `Server::close_with` was called; this is what the other side is told.
    ClosedWithCode {
        /// The close code, 4000 to 4999.
        code: u16,
        /// The reason, at most 123 bytes.
        reason: String,
    },
    /// Nothing was heard from the other side for too long, or its TCP connection broke.
    Lost,
    /// The other side broke the protocol, with the cause in words.
    Protocol(String),
    /// The other side sent a message longer than `Config::max_message_size`.
    TooLarge,
    /// The other side reads more slowly than the application sends reliable messages, with the
    /// bytes, the time and the setting in words: it took next to nothing for
    /// `Config::reliable_send_timeout`, or more than `Config::reliable_send_buffer` waited.
    SlowConsumer(String),
    /// The websocket's upgrade or the answer took too long.
    HandshakeTimeout,
    /// WebRTC failed at this stage, with the cause in words. Of DTLS the other side is told to
    /// try again (close code 1013): somebody else may have spoken in its name.
    WebRtcFailed(WebRtcStage, String),
    /// The other side asked for more than it may have, with the limit in words.
    Limit(String),
    /// It was not let in, with the cause in words: the page's origin is not in
    /// `Config::allowed_origins`, or `Config::accept` says no.
    Rejected(String),
    /// `Config::accept` panicked at its request.
    AcceptPanicked,
    /// The machine of this peer panicked: a fault of the library, which hurts no other peer.
    PeerPanicked,
    /// The server was dropped.
    Shutdown,
}

/// The close codes that are an application's own (RFC 6455 §7.4.2).
const APPLICATION_CLOSE_CODES: RangeInclusive<u16> = 4000..=4999;
/// The longest reason: a control frame has 125 bytes, the code takes 2 (RFC 6455 §5.5).
const MAX_REASON_LEN: usize = 123;

impl CloseReason {
    /// A closing by the application. A code that is not its own becomes 4000, and a reason that is
    /// too long is cut between characters: a peer that is to go must go all the same.
    pub(crate) fn with_code(code: u16, mut reason: String) -> CloseReason {
        let allowed = APPLICATION_CLOSE_CODES.contains(&code);
        if !allowed {
            warn!("close code {code} goes out as 4000; an application's own are 4000 to 4999");
        }
        let mut end = reason.len().min(MAX_REASON_LEN);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        reason.truncate(end);
        CloseReason::ClosedWithCode { code: if allowed { code } else { 4000 }, reason }
    }

    /// The text of the close frame.
    pub(crate) fn close_text(&self) -> String {
        match self {
            CloseReason::ClosedWithCode { reason, .. } => reason.clone(),
            other => other.to_string(),
        }
    }

    /// A short name of the cause, the same for all closings of a kind, for counting.
    pub fn name(&self) -> &'static str {
        match self {
            CloseReason::ClosedByPeer => "closed by peer",
            CloseReason::ClosedByServer => "closed by server",
            CloseReason::ClosedWithCode { .. } => "closed with a code",
            CloseReason::Lost => "lost",
            CloseReason::Protocol(_) => "protocol",
            CloseReason::TooLarge => "too large",
            CloseReason::SlowConsumer(_) => "slow consumer",
            CloseReason::HandshakeTimeout => "handshake timeout",
            CloseReason::WebRtcFailed(..) => "webrtc failed",
            CloseReason::Limit(_) => "limit",
            CloseReason::Rejected(_) => "refused",
            CloseReason::AcceptPanicked => "accept panicked",
            CloseReason::PeerPanicked => "peer panicked",
            CloseReason::Shutdown => "shutdown",
        }
    }

    /// The websocket close code that tells the other side (RFC 6455 §7.4.1).
    pub(crate) fn close_code(&self) -> u16 {
        match self {
            CloseReason::ClosedByPeer | CloseReason::ClosedByServer => 1000,
            CloseReason::ClosedWithCode { code, .. } => *code,
            CloseReason::Shutdown | CloseReason::Lost => 1001,
            CloseReason::Protocol(_) => 1002,
            CloseReason::TooLarge => 1009,
            // Whoever knows the client's address can break its handshake, and not for long.
            CloseReason::WebRtcFailed(WebRtcStage::Dtls, _) => 1013,
            CloseReason::SlowConsumer(_)
            | CloseReason::HandshakeTimeout
            | CloseReason::WebRtcFailed(..)
            | CloseReason::Limit(_)
            | CloseReason::Rejected(_) => 1008,
            CloseReason::AcceptPanicked | CloseReason::PeerPanicked => 1011,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::Protocol(cause)
            | CloseReason::SlowConsumer(cause)
            | CloseReason::Limit(cause)
            | CloseReason::Rejected(cause) => write!(f, "{}: {cause}", self.name()),
            CloseReason::WebRtcFailed(stage, cause) => write!(f, "{stage}: {cause}"),
            CloseReason::ClosedWithCode { code, reason } => {
                write!(f, "closed by server with code {code}: {reason}")
            }
            _ => f.write_str(self.name()),
        }
    }
}

impl From<net_rtc::CloseReason> for CloseReason {
    fn from(reason: net_rtc::CloseReason) -> CloseReason {
        use net_rtc::CloseReason as Rtc;
        match reason {
            Rtc::Remote => CloseReason::ClosedByPeer,
            Rtc::Local => CloseReason::ClosedByServer,
            Rtc::IdleTimeout => CloseReason::Lost,
            Rtc::HandshakeTimeout(stage) => {
                CloseReason::WebRtcFailed(stage, "took too long".into())
            }
            Rtc::Failed(stage, cause) => CloseReason::WebRtcFailed(stage, cause),
            Rtc::Limit(what) => CloseReason::Limit(what.into()),
            Rtc::Panicked => CloseReason::PeerPanicked,
            other => CloseReason::Protocol(other.to_string()),
        }
    }
}

impl From<net_ws::CloseReason> for CloseReason {
    fn from(reason: net_ws::CloseReason) -> CloseReason {
        use net_ws::{BadRequest, CloseReason as Ws};
        match reason {
            Ws::Remote { .. } => CloseReason::ClosedByPeer,
            Ws::Local => CloseReason::ClosedByServer,
            Ws::Eof | Ws::TimedOut => CloseReason::Lost,
            Ws::TooLarge => CloseReason::TooLarge,
            Ws::SlowConsumer(slow) => CloseReason::SlowConsumer(format!(
                "{slow} (Config::reliable_send_timeout, min_reliable_send_rate)"
            )),
            Ws::UpgradeTimeout => CloseReason::HandshakeTimeout,
            Ws::BadRequest(
                why @ (BadRequest::HeadTooLarge { .. } | BadRequest::TooManyHeaders { .. }),
            ) => CloseReason::Limit(why.to_string()),
            other => CloseReason::Protocol(other.to_string()),
        }
    }
}

impl From<net_signal::Error> for CloseReason {
    fn from(refusal: net_signal::Error) -> CloseReason {
        match refusal {
            net_signal::Error::AnswerTimeout => CloseReason::HandshakeTimeout,
            // The first is the only one that can end a peer that is open.
            net_signal::Error::RateExceeded { .. } | net_signal::Error::TooManyMessages { .. } => {
                CloseReason::Limit(refusal.to_string())
            }
            other => CloseReason::WebRtcFailed(WebRtcStage::Answer, other.to_string()),
        }
    }
}

/// A connection that never became a peer. The application never saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectFailure {
    /// The address that connected, or that a trusted proxy named.
    pub remote: SocketAddr,
    /// How far it came.
    pub stage: HandshakeStage,
    /// Why it ended, for counting.
    pub reason: CloseReason,
    /// Why it ended, in words: what was heard and what was not.
    pub cause: String,
    /// What to look at or to set, if something can be done about it.
    pub hint: Option<String>,
}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.remote, self.stage, self.cause)?;
        match &self.hint {
            Some(setting) => write!(f, "; {setting}"),
            None => Ok(()),
        }
    }
}

/// The steps to an open connection, in order. A connection fails at the first that it does not
/// pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HandshakeStage {
    /// The websocket's upgrade (RFC 6455 §4).
    Upgrade,
    /// Whether it is let in: its page's origin, the limits, the word of `Config::accept`.
    Accept,
    /// The client's answer to the offer.
    Answer,
    /// Connectivity checks (RFC 8445): whether UDP gets through.
    Ice,
    /// The DTLS handshake.
    Dtls,
    /// The SCTP association and its data channel (RFC 8831).
    Channel,
}

impl HandshakeStage {
    /// Its name, as in logs and in what the client is told.
    pub fn name(self) -> &'static str {
        match self {
            HandshakeStage::Upgrade => "upgrade",
            HandshakeStage::Accept => "accept",
            HandshakeStage::Answer => "answer",
            HandshakeStage::Ice => "ice",
            HandshakeStage::Dtls => "dtls",
            HandshakeStage::Channel => "channel",
        }
    }
}

impl fmt::Display for HandshakeStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<net_rtc::WebRtcStage> for HandshakeStage {
    fn from(stage: net_rtc::WebRtcStage) -> HandshakeStage {
        match stage {
            net_rtc::WebRtcStage::Answer => HandshakeStage::Answer,
            net_rtc::WebRtcStage::Ice => HandshakeStage::Ice,
            net_rtc::WebRtcStage::Dtls => HandshakeStage::Dtls,
            // What fails when the channel opens has failed there.
            net_rtc::WebRtcStage::Channel | net_rtc::WebRtcStage::Open => HandshakeStage::Channel,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(code: u16, reason: &str) -> (u16, String) {
        let reason = CloseReason::with_code(code, reason.to_owned());
        (reason.close_code(), reason.close_text())
    }

    #[test]
    fn an_application_closes_with_a_code_and_a_reason_of_its_own() {
        for code in [4000, 4001, 4999] {
            assert_eq!(told(code, "kicked: idle"), (code, "kicked: idle".into()));
        }
        for code in [0, 1000, 1008, 3000, 3999, 5000, u16::MAX] {
            assert_eq!(told(code, ""), (4000, String::new()), "{code}");
        }
        let reason = CloseReason::with_code(4001, "kicked".into());
        assert_eq!(reason.to_string(), "closed by server with code 4001: kicked");
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        assert_eq!(told(4000, &"x".repeat(123)).1.len(), 123);
        assert_eq!(told(4000, &"x".repeat(124)).1.len(), 123);
        assert_eq!(told(4000, &"é".repeat(100)).1, "é".repeat(61));
        assert_eq!(told(4000, &"😀".repeat(100)).1, "😀".repeat(30));
    }
}
