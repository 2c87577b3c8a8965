//! A connection that never became a peer: how far it came, why it ended, what to change.

use std::fmt;
use std::net::SocketAddr;

use crate::CloseReason;

/// A connection that never became a peer. The application never saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The address that connected, or that a trusted proxy named.
    pub remote: SocketAddr,
    /// How far it came.
    pub stage: Stage,
    /// Why it ended, for counting.
    pub reason: CloseReason,
    /// Why it ended, in words: what was heard and what was not.
    pub cause: String,
    /// What to look at or to set, if something can be done about it.
    pub setting: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.remote, self.stage, self.cause)?;
        match &self.setting {
            Some(setting) => write!(f, "; {setting}"),
            None => Ok(()),
        }
    }
}

/// The steps to an open connection, in order. A connection fails at the first that it does not
/// pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
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

impl Stage {
    /// Its name, as in logs and in what the client is told.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Upgrade => "upgrade",
            Stage::Accept => "accept",
            Stage::Answer => "answer",
            Stage::Ice => "ice",
            Stage::Dtls => "dtls",
            Stage::Channel => "channel",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<net_rtc::Stage> for Stage {
    fn from(stage: net_rtc::Stage) -> Stage {
        match stage {
            net_rtc::Stage::Answer => Stage::Answer,
            net_rtc::Stage::Ice => Stage::Ice,
            net_rtc::Stage::Dtls => Stage::Dtls,
            // What fails when the channel opens has failed there.
            net_rtc::Stage::Channel | net_rtc::Stage::Open => Stage::Channel,
        }
    }
}
