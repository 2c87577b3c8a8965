//! What ended a connection, as the part that noticed says it.

use crate::admission::NoVerdict;
use crate::hub::origin::BadOrigin;
use crate::{CloseReason, Config};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The websocket closed.
    Websocket(net_ws::CloseReason),
    /// The client signalled what it must not, or nothing.
    Signalling(net_signal::Error),
    /// The WebRTC side ended.
    WebRtc(net_rtc::CloseReason),
    /// A trusted proxy does not begin as `Config::proxy_protocol` says.
    ProxyHeader,
    /// There is no room.
    Full(Full),
    /// Its page may not.
    Origin(BadOrigin),
    /// The application says no.
    Unwanted { status: u16, reason: String },
    /// The application does not say.
    NoVerdict(NoVerdict),
    /// The application, or the hub itself.
    Other(CloseReason),
}

/// Which bound was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// That of peers.
    Peers(Scope),
    /// That of connections on their way, and none of them can give way.
    HalfOpen(Scope),
    /// The same, and this is the one that gives way.
    GaveWay(Scope),
    /// `Config::early_bytes` or `Config::early_messages`.
    Early,
}

/// Of whom a bound counts the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    All,
    /// Those of one address.
    Address,
    /// Those of one address of this machine or of a private network.
    LocalAddress,
}

impl Scope {
    pub(super) fn peers(self, config: &Config) -> usize {
        match self {
            Scope::All => config.peers,
            Scope::Address => config.peers_per_address,
            Scope::LocalAddress => config.peers_per_local,
        }
    }
}

impl Ending {
    pub(super) fn reason(&self) -> CloseReason {
        match self.clone() {
            Ending::Websocket(reason) => reason.into(),
            Ending::Signalling(refusal) => refusal.into(),
            Ending::WebRtc(reason) => reason.into(),
            Ending::ProxyHeader => CloseReason::Protocol("no PROXY protocol header".into()),
            Ending::Full(full) => CloseReason::Limit(full.name().into()),
            Ending::Origin(origin) => CloseReason::Refused(origin.name().into()),
            Ending::Unwanted { reason, .. } => CloseReason::Refused(reason),
            Ending::NoVerdict(NoVerdict::Busy) => CloseReason::Limit("open questions".into()),
            Ending::NoVerdict(NoVerdict::Late) => CloseReason::HandshakeTimeout,
            Ending::NoVerdict(NoVerdict::Panicked) => CloseReason::AcceptPanicked,
            Ending::Other(reason) => reason,
        }
    }

    /// The websocket close code (RFC 6455 §7.4.1). 1013 is "try again later".
    pub(super) fn code(&self) -> u16 {
        match self {
            Ending::Full(Full::HalfOpen(_) | Full::GaveWay(_))
            | Ending::NoVerdict(NoVerdict::Busy | NoVerdict::Late)
            | Ending::Unwanted { status: 503, .. } => 1013,
            other => other.reason().code(),
        }
    }

    /// The HTTP status for a client that is no browser and whose request waits for an answer. If
    /// there is none, it is told on the websocket like a browser.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Ending::Websocket(net_ws::CloseReason::BadRequest(why)) => Some(why.status()),
            Ending::Origin(_) => Some(403),
            Ending::Unwanted { status, .. } => Some(*status),
            Ending::NoVerdict(NoVerdict::Panicked) => Some(500),
            Ending::NoVerdict(NoVerdict::Busy | NoVerdict::Late)
            | Ending::Other(CloseReason::Shutdown) => Some(503),
            _ => None,
        }
    }
}

impl Full {
    fn name(self) -> &'static str {
        match self {
            Full::Peers(_) => "peers",
            Full::HalfOpen(_) | Full::GaveWay(_) => "half-open connections",
            Full::Early => "messages before the answer",
        }
    }
}

impl BadOrigin {
    fn name(&self) -> &'static str {
        match self {
            BadOrigin::Absent => "no origin",
            BadOrigin::Several => "several origins",
            BadOrigin::Foreign(_) => "origin",
        }
    }
}

impl From<net_ws::CloseReason> for Ending {
    fn from(reason: net_ws::CloseReason) -> Ending {
        Ending::Websocket(reason)
    }
}

impl From<net_signal::Error> for Ending {
    fn from(refusal: net_signal::Error) -> Ending {
        Ending::Signalling(refusal)
    }
}

impl From<net_rtc::CloseReason> for Ending {
    fn from(reason: net_rtc::CloseReason) -> Ending {
        Ending::WebRtc(reason)
    }
}

impl From<Full> for Ending {
    fn from(full: Full) -> Ending {
        Ending::Full(full)
    }
}

impl From<NoVerdict> for Ending {
    fn from(none: NoVerdict) -> Ending {
        Ending::NoVerdict(none)
    }
}

impl From<BadOrigin> for Ending {
    fn from(origin: BadOrigin) -> Ending {
        Ending::Origin(origin)
    }
}

impl From<CloseReason> for Ending {
    fn from(reason: CloseReason) -> Ending {
        Ending::Other(reason)
    }
}
