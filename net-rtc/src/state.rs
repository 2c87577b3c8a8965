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
    Connecting { stage: Stage, deadline: Instant, ours: Option<ChannelId>, early: Early },
    Open(ChannelId),
    Closed,
}

impl State {
    pub(crate) fn connecting(now: Instant, config: &Config, ours: Option<ChannelId>) -> State {
        let (deadline, early) = (now + config.connect_timeout, Early::new(config.early_bytes));
        State::Connecting { stage: Stage::Ice, deadline, ours, early }
    }

    /// `None` once it is over.
    pub(crate) fn stage(&self) -> Option<Stage> {
        match self {
            State::Offered(..) => Some(Stage::Answer),
            State::Connecting { stage, .. } => Some(*stage),
            State::Open(_) => Some(Stage::Open),
            State::Closed => None,
        }
    }
}
