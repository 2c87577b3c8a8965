//! Errors, close reasons and connect failures.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::{fmt, io};

use bytes::Bytes;
use log::warn;
pub use net_rtc::WebRtcStage;
use thiserror::Error;

/// Error of [`Server::bind`](crate::Server::bind). Each variant names the address and the cause.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindError {
    /// The text is not an address, or a name that does not resolve.
    #[error("{address:?} is no address to listen on: {cause}; write it as in \"127.0.0.1:3000\"")]
    Address {
        /// The given address.
        address: String,
        /// The error of the system.
        cause: io::Error,
    },
    /// The TCP port, for websockets, cannot be bound.
    #[error("TCP {address} cannot be listened on: {cause}{}", hint(.cause))]
    Tcp {
        /// The address to bind.
        address: SocketAddr,
        /// The error of the system.
        cause: io::Error,
    },
    /// The UDP port of the same number, for WebRTC, cannot be bound.
    #[error("UDP {address} cannot be bound: {cause}{}", hint(.cause))]
    Udp {
        /// The address to bind.
        address: SocketAddr,
        /// The error of the system.
        cause: io::Error,
    },
    /// The system cannot create an event queue or a thread.
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

/// Error of [`Server::try_send`](crate::Server::try_send). Each variant returns the message.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// No open peer has this id: never, not yet, or not any more.
    #[error("no open peer has this id")]
    NoSuchPeer(Bytes),
    /// The message is longer than [`Config::max_message_size`](crate::Config::max_message_size).
    #[error("the message is longer than Config::max_message_size")]
    TooLarge(Bytes),
    /// The peer's reliable messages fill `Config::reliable_send_buffer`, or its part of
    /// `Config::total_reliable_send_buffer`. Nothing changed; try later, or close the peer.
    #[error(
        "more reliable messages wait than Config::reliable_send_buffer or total_reliable_send_buffer"
    )]
    Full(Bytes),
    /// The server has stopped.
    #[error("the server has stopped")]
    Stopped(Bytes),
}

impl SendError {
    /// Returns the message that was not sent.
    pub fn into_message(self) -> Bytes {
        match self {
            SendError::NoSuchPeer(message)
            | SendError::TooLarge(message)
            | SendError::Full(message)
            | SendError::Stopped(message) => message,
        }
    }
}

/// Reason why a peer closed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The other side closed the websocket, the data channel or the connection, as a closed or
    /// reloaded tab does.
    ClosedByPeer,
    /// `Server::close` was called.
    ClosedByServer,
    /// `Server::close_with` was called; this is what the other side receives.
    ClosedWithCode {
        /// The close code, 4000 to 4999.
        code: u16,
        /// The reason, at most 123 bytes.
        reason: String,
    },
    /// The other side was silent for too long, or its TCP connection broke.
    Lost,
    /// The other side violated the protocol; the text is the cause.
    Protocol(String),
    /// The other side sent a message longer than `Config::max_message_size`.
    TooLarge,
    /// The other side reads more slowly than the application sends reliable messages: it stayed
    /// below `Config::min_reliable_bitrate` for `Config::reliable_send_timeout`, or more than
    /// `Config::reliable_send_buffer` was queued. The text names the bytes, the time and the
    /// setting.
    SlowConsumer(String),
    /// The websocket's upgrade or the answer took too long.
    HandshakeTimeout,
    /// WebRTC failed at this stage; the text is the cause. After a DTLS failure the other side is
    /// asked to try again (close code 1013), because an attacker may have spoofed its datagrams.
    WebRtcFailed(WebRtcStage, String),
    /// The other side exceeded a limit, which the text names.
    Limit(String),
    /// The client was not admitted: the page's origin is not in `Config::allowed_origins`, or
    /// `Config::accept` rejected it. The text is the cause.
    Rejected(String),
    /// `Config::accept` panicked on its request.
    AcceptPanicked,
    /// The state machine of this peer panicked: a bug of the library, which affects no other peer.
    PeerPanicked,
    /// The server was dropped.
    Shutdown,
}

/// Close codes for private use by the application (RFC 6455 §7.4.2).
const APPLICATION_CLOSE_CODES: RangeInclusive<u16> = 4000..=4999;
/// Maximum length of a close reason: a control frame has 125 bytes, the code takes 2 (RFC 6455
/// §5.5).
const MAX_REASON_LEN: usize = 123;

impl CloseReason {
    /// Creates the reason of a close by the application. A code outside 4000 to 4999 becomes 4000,
    /// and a reason that is too long is cut between characters, so that closing never fails.
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

    /// Returns the text of the close frame.
    pub(crate) fn close_text(&self) -> String {
        match self {
            CloseReason::ClosedWithCode { reason, .. } => reason.clone(),
            other => other.to_string(),
        }
    }

    /// Returns a short name of the cause, the same for all closes of a kind, for counting.
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

    /// Returns the websocket close code (RFC 6455 §7.4.1).
    pub(crate) fn close_code(&self) -> u16 {
        match self {
            CloseReason::ClosedByPeer | CloseReason::ClosedByServer => 1000,
            CloseReason::ClosedWithCode { code, .. } => *code,
            CloseReason::Shutdown | CloseReason::Lost => 1001,
            CloseReason::Protocol(_) => 1002,
            CloseReason::TooLarge => 1009,
            // An attacker that knows the client's address can break its handshake, but not for
            // long.
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
                "{slow} (Config::reliable_send_timeout, min_reliable_bitrate)"
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
            // Only rate limits can close an open peer.
            net_signal::Error::RateExceeded { .. } | net_signal::Error::TooManyMessages { .. } => {
                CloseReason::Limit(refusal.to_string())
            }
            other => CloseReason::WebRtcFailed(WebRtcStage::Answer, other.to_string()),
        }
    }
}

/// Connection that never became a peer, and never reached the application.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectFailure {
    /// The address of the client, or the one that a trusted proxy named.
    pub remote: SocketAddr,
    /// The handshake stage it reached.
    pub stage: HandshakeStage,
    /// The reason, for counting.
    pub reason: CloseReason,
    /// The cause as text: what was received and what was not.
    pub cause: String,
    /// A setting or check that may help, if there is one.
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

/// Stages of connection establishment, in order. A connection fails at the first stage that it does
/// not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HandshakeStage {
    /// The websocket's upgrade (RFC 6455 §4).
    Upgrade,
    /// Admission: the page's origin, the limits, the decision of `Config::accept`.
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
    /// Returns its name, as in logs and in close reasons.
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
            // A failure while the channel opens counts as this stage.
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
