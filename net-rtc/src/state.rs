//! How far a peer has come.

use std::time::Instant;

use str0m::channel::ChannelId;

use crate::Config;
use crate::early::Early;
use crate::event::Stage;
use crate::offer::PendingOffer;

/// ```text
///   Offered --accept_answer--> Connecting(Ice -> Dtls -> Channel) --opened--> Open
///      '---------------------------------'------------- finish -----------------'--> Closed
/// ```
/// A peer that answers begins as `Connecting`.
#[derive(Debug)]
pub(crate) enum State {
    Offered(Box<PendingOffer>),
    Connecting(Progress),
    Open(ChannelId),
    Closed,
}

/// What is known of a connection on its way.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) stage: Stage,
    pub(crate) deadline: Instant,
    /// The channel that this side has made; without one it is the first of the other side.
    pub(crate) ours: Option<ChannelId>,
    /// The channel that is open as far as SCTP here knows.
    pub(crate) ready: Option<ChannelId>,
    pub(crate) early: Early,
}

impl Progress {
    /// The channel, once both ends can send on it: what SCTP believes of itself is no proof that
    /// the other end has come as far, but that DTLS has decrypted something of its SCTP is.
    pub(crate) fn opened(&self, heard: bool) -> Option<ChannelId> {
        self.ready.filter(|_| self.stage == Stage::Channel && heard)
    }
}

impl State {
    pub(crate) fn connecting(now: Instant, config: &Config, ours: Option<ChannelId>) -> State {
        let (deadline, early) = (now + config.connect_timeout, Early::new(config.early_bytes));
        State::Connecting(Progress { stage: Stage::Ice, deadline, ours, ready: None, early })
    }

    /// `None` once it is over.
    pub(crate) fn stage(&self) -> Option<Stage> {
        match self {
            State::Offered(..) => Some(Stage::Answer),
            State::Connecting(progress) => Some(progress.stage),
            State::Open(_) => Some(Stage::Open),
            State::Closed => None,
        }
    }
}
