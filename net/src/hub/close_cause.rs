//! Internal cause of the end of a connection.

use crate::admission::HookError;
use crate::hub::origin::BadOrigin;
use crate::{CloseReason, Config};

/// Cause of the end of a connection, in any stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CloseCause {
    /// The websocket closed.
    Websocket(net_ws::CloseReason),
    /// The client violated the signalling protocol, or did not answer.
    Signalling(net_signal::Error),
    /// The WebRTC side ended.
    WebRtc(net_rtc::CloseReason),
    /// A trusted proxy did not send the header that `Config::proxy_protocol` requires.
    ProxyHeader,
    /// A limit was reached.
    Limit(LimitHit),
    /// The page's origin is not allowed.
    Origin(BadOrigin),
    /// The admission hook rejected the client.
    Rejected { status: u16, reason: String },
    /// The admission hook made no decision.
    HookError(HookError),
    /// Closed by the application, or by the hub itself.
    Other(CloseReason),
}

/// Limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LimitHit {
    /// Open peers.
    Peers(LimitScope),
    /// Pending connections, none of which can be evicted.
    Handshakes(LimitScope),
    /// Pending connections, and this one is evicted.
    Evicted(LimitScope),
    /// `Config::max_preopen_bytes` or `Config::max_preopen_messages`.
    PreOpen,
}

/// Scope of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LimitScope {
    All,
    /// One address.
    Ip,
    /// One address of this machine or of a private network.
    PrivateIp,
}

impl LimitScope {
    pub(super) fn max_peers(self, config: &Config) -> usize {
        match self {
            LimitScope::All => config.max_peers,
            LimitScope::Ip => config.max_peers_per_ip,
            LimitScope::PrivateIp => config.max_peers_per_private_ip,
        }
    }
}

impl CloseCause {
    pub(super) fn close_reason(&self) -> CloseReason {
        match self.clone() {
            CloseCause::Websocket(reason) => reason.into(),
            CloseCause::Signalling(refusal) => refusal.into(),
            CloseCause::WebRtc(reason) => reason.into(),
            CloseCause::ProxyHeader => CloseReason::Protocol("no PROXY protocol header".into()),
            CloseCause::Limit(full) => CloseReason::Limit(full.name().into()),
            CloseCause::Origin(origin) => CloseReason::Rejected(origin.name().into()),
            CloseCause::Rejected { reason, .. } => CloseReason::Rejected(reason),
            CloseCause::HookError(HookError::QueueFull) => {
                CloseReason::Limit("open questions".into())
            }
            CloseCause::HookError(HookError::TimedOut) => CloseReason::HandshakeTimeout,
            CloseCause::HookError(HookError::Panicked) => CloseReason::AcceptPanicked,
            CloseCause::Other(reason) => reason,
        }
    }

    /// Returns the websocket close code (RFC 6455 §7.4.1). 1013 is "try again later".
    pub(super) fn close_code(&self) -> u16 {
        match self {
            CloseCause::Limit(LimitHit::Handshakes(_) | LimitHit::Evicted(_))
            | CloseCause::HookError(HookError::QueueFull | HookError::TimedOut)
            | CloseCause::Rejected { status: 503, .. } => 1013,
            other => other.close_reason().close_code(),
        }
    }

    /// Returns the HTTP status for a client that is no browser and whose request awaits a response.
    /// `None`: it gets the close code on the websocket, as a browser does.
    pub(super) fn http_status(&self) -> Option<u16> {
        match self {
            CloseCause::Websocket(net_ws::CloseReason::BadRequest(why)) => Some(why.status()),
            CloseCause::Origin(_) => Some(403),
            CloseCause::Rejected { status, .. } => Some(*status),
            CloseCause::HookError(HookError::Panicked) => Some(500),
            CloseCause::HookError(HookError::QueueFull | HookError::TimedOut)
            | CloseCause::Other(CloseReason::Shutdown) => Some(503),
            _ => None,
        }
    }
}

impl LimitHit {
    fn name(self) -> &'static str {
        match self {
            LimitHit::Peers(_) => "peers",
            LimitHit::Handshakes(_) | LimitHit::Evicted(_) => "half-open connections",
            LimitHit::PreOpen => "messages before the answer",
        }
    }
}

impl BadOrigin {
    fn name(&self) -> &'static str {
        match self {
            BadOrigin::Missing => "no origin",
            BadOrigin::Multiple => "several origins",
            BadOrigin::NotAllowed(_) => "origin",
        }
    }
}

impl From<net_ws::CloseReason> for CloseCause {
    fn from(reason: net_ws::CloseReason) -> CloseCause {
        CloseCause::Websocket(reason)
    }
}

impl From<net_signal::Error> for CloseCause {
    fn from(refusal: net_signal::Error) -> CloseCause {
        CloseCause::Signalling(refusal)
    }
}

impl From<net_rtc::CloseReason> for CloseCause {
    fn from(reason: net_rtc::CloseReason) -> CloseCause {
        CloseCause::WebRtc(reason)
    }
}

impl From<LimitHit> for CloseCause {
    fn from(full: LimitHit) -> CloseCause {
        CloseCause::Limit(full)
    }
}

impl From<HookError> for CloseCause {
    fn from(none: HookError) -> CloseCause {
        CloseCause::HookError(none)
    }
}

impl From<BadOrigin> for CloseCause {
    fn from(origin: BadOrigin) -> CloseCause {
        CloseCause::Origin(origin)
    }
}

impl From<CloseReason> for CloseCause {
    fn from(reason: CloseReason) -> CloseCause {
        CloseCause::Other(reason)
    }
}
