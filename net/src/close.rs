//! Why a peer closed, or why a connection never became one.

use std::fmt;

pub use net_rtc::Stage as WebRtcStage;

/// Why a peer closed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The other side closed the websocket, the data channel or the connection, as a closed or
    /// reloaded tab does.
    ClosedByPeer,
    /// `Server::close` was called.
    ClosedByServer,
    /// Nothing was heard from the other side for too long, or its TCP connection broke.
    Lost,
    /// The other side broke the protocol, with the cause in words.
    Protocol(String),
    /// The other side sent a message longer than `Config::message_bytes`.
    TooLarge,
    /// The other side reads more slowly than the application sends reliable messages: more
    /// than `Config::backlog_bytes` waited.
    SlowConsumer,
    /// The websocket's upgrade or the answer took too long.
    HandshakeTimeout,
    /// WebRTC failed at this stage, with the cause in words. Of DTLS the other side is told to
    /// try again (close code 1013): somebody else may have spoken in its name.
    WebRtcFailed(WebRtcStage, String),
    /// The other side asked for more than it may have, with the limit in words.
    Limit(String),
    /// It was not let in, with the cause in words: the page's origin is not in
    /// `Config::origins`, or `Config::accept` says no.
    Refused(String),
    /// `Config::accept` panicked at its request.
    AcceptPanicked,
    /// The machine of this peer panicked: a fault of the library, which hurts no other peer.
    PeerPanicked,
    /// The server was dropped.
    Shutdown,
}

impl CloseReason {
    /// A short name of the cause, the same for all closings of a kind, for counting.
    pub fn name(&self) -> &'static str {
        match self {
            CloseReason::ClosedByPeer => "closed by peer",
            CloseReason::ClosedByServer => "closed by server",
            CloseReason::Lost => "lost",
            CloseReason::Protocol(_) => "protocol",
            CloseReason::TooLarge => "too large",
            CloseReason::SlowConsumer => "slow consumer",
            CloseReason::HandshakeTimeout => "handshake timeout",
            CloseReason::WebRtcFailed(..) => "webrtc failed",
            CloseReason::Limit(_) => "limit",
            CloseReason::Refused(_) => "refused",
            CloseReason::AcceptPanicked => "accept panicked",
            CloseReason::PeerPanicked => "peer panicked",
            CloseReason::Shutdown => "shutdown",
        }
    }

    /// The websocket close code that tells the other side (RFC 6455 §7.4.1).
    pub(crate) fn code(&self) -> u16 {
        match self {
            CloseReason::ClosedByPeer | CloseReason::ClosedByServer => 1000,
            CloseReason::Shutdown | CloseReason::Lost => 1001,
            CloseReason::Protocol(_) => 1002,
            CloseReason::TooLarge => 1009,
            // Whoever knows the client's address can break its handshake, and not for long.
            CloseReason::WebRtcFailed(WebRtcStage::Dtls, _) => 1013,
            CloseReason::SlowConsumer
            | CloseReason::HandshakeTimeout
            | CloseReason::WebRtcFailed(..)
            | CloseReason::Limit(_)
            | CloseReason::Refused(_) => 1008,
            CloseReason::AcceptPanicked | CloseReason::PeerPanicked => 1011,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::Protocol(cause)
            | CloseReason::Limit(cause)
            | CloseReason::Refused(cause) => write!(f, "{}: {cause}", self.name()),
            CloseReason::WebRtcFailed(stage, cause) => write!(f, "{stage}: {cause}"),
            _ => f.write_str(self.name()),
        }
    }
}

impl From<net_rtc::CloseReason> for CloseReason {
    fn from(reason: net_rtc::CloseReason) -> CloseReason {
        use net_rtc::CloseReason as Rtc;
        match reason {
            Rtc::ByPeer => CloseReason::ClosedByPeer,
            Rtc::ByUs => CloseReason::ClosedByServer,
            Rtc::Lost => CloseReason::Lost,
            Rtc::Timeout(stage) => CloseReason::WebRtcFailed(stage, "took too long".into()),
            Rtc::Failed(stage, cause) => CloseReason::WebRtcFailed(stage, cause),
            Rtc::Limit(what) => CloseReason::Limit(what.into()),
            Rtc::Panicked => CloseReason::PeerPanicked,
            other => CloseReason::Protocol(other.to_string()),
        }
    }
}

impl From<net_ws::CloseReason> for CloseReason {
    fn from(reason: net_ws::CloseReason) -> CloseReason {
        use net_ws::CloseReason as Ws;
        match reason {
            Ws::ByPeer { .. } => CloseReason::ClosedByPeer,
            Ws::ByUs => CloseReason::ClosedByServer,
            Ws::Gone | Ws::Dead => CloseReason::Lost,
            Ws::TooLarge => CloseReason::TooLarge,
            Ws::UpgradeTimeout => CloseReason::HandshakeTimeout,
            other => CloseReason::Protocol(other.to_string()),
        }
    }
}

impl From<net_signal::Refusal> for CloseReason {
    fn from(refusal: net_signal::Refusal) -> CloseReason {
        match refusal {
            net_signal::Refusal::NoAnswer => CloseReason::HandshakeTimeout,
            other => CloseReason::WebRtcFailed(WebRtcStage::Answer, other.to_string()),
        }
    }
}
