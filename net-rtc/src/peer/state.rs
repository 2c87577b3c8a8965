//! Connection state of a peer.

use std::time::Instant;

use bytes::Bytes;
use str0m::channel::ChannelId;

use crate::Config;
use crate::event::WebRtcStage;
use crate::sdp::offer::PendingOffer;

/// Connection state of a peer.
///
/// ```text
///   Offered --accept_answer--> Connecting(Ice -> Dtls -> Channel) --open_channel--> Open
///      '---------------------------------'--------------- finish ---------------------'--> Closed
/// ```
/// The answerer begins in `Connecting`.
#[derive(Debug)]
pub(crate) enum State {
    Offered(Box<PendingOffer>),
    Connecting(ConnectingState),
    Open(ChannelId),
    Closed,
}

/// State of a connecting peer.
#[derive(Debug)]
pub(crate) struct ConnectingState {
    pub(crate) stage: WebRtcStage,
    pub(crate) deadline: Instant,
    /// The channel that this side created; if none, the first of the other side is used.
    pub(crate) own_channel: Option<ChannelId>,
    /// The channel that our SCTP reports as open.
    pub(crate) ready_channel: Option<ChannelId>,
    pub(crate) preopen: PreOpenBuffer,
}

impl ConnectingState {
    /// Returns the channel once both sides can send on it. Our SCTP's report does not imply that
    /// the other side's channel is open; a decrypted SCTP packet of the other side does.
    pub(crate) fn open_channel(&self, heard: bool) -> Option<ChannelId> {
        self.ready_channel.filter(|_| self.stage == WebRtcStage::Channel && heard)
    }
}

impl State {
    pub(crate) fn connecting(now: Instant, config: &Config, ours: Option<ChannelId>) -> State {
        let (deadline, early) =
            (now + config.connect_timeout, PreOpenBuffer::new(config.max_preopen_bytes));
        State::Connecting(ConnectingState {
            stage: WebRtcStage::Ice,
            deadline,
            own_channel: ours,
            ready_channel: None,
            preopen: early,
        })
    }

    /// Returns the stage; `None` once closed.
    pub(crate) fn stage(&self) -> Option<WebRtcStage> {
        match self {
            State::Offered(..) => Some(WebRtcStage::Answer),
            State::Connecting(progress) => Some(progress.stage),
            State::Open(_) => Some(WebRtcStage::Open),
            State::Closed => None,
        }
    }
}

/// Minimum cost of a message, in bytes, which bounds the number of small ones.
const MIN_MESSAGE_COST: usize = 64;

/// Bounded buffer of messages received before the channel is open. On an unordered channel data can
/// overtake the acknowledgement that opens it (RFC 8832 §6).
#[derive(Debug, Default)]
pub(crate) struct PreOpenBuffer {
    messages: Vec<Bytes>,
    remaining: usize,
}

impl PreOpenBuffer {
    pub(crate) fn new(most_bytes: usize) -> PreOpenBuffer {
        PreOpenBuffer { messages: Vec::new(), remaining: most_bytes }
    }

    /// Adds a message, or drops it if there is no room: the channel is unreliable anyway.
    pub(crate) fn push(&mut self, message: Bytes) {
        let size = message.len().max(MIN_MESSAGE_COST);
        if size <= self.remaining {
            self.remaining -= size;
            self.messages.push(message);
        }
    }

    pub(crate) fn into_messages(self) -> impl Iterator<Item = Bytes> {
        self.messages.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_there_is_room_for() {
        let mut early = PreOpenBuffer::new(3 * MIN_MESSAGE_COST);
        let long = "b".repeat(2 * MIN_MESSAGE_COST);
        for message in ["a", "", &long, "c", "d", ""] {
            early.push(Bytes::copy_from_slice(message.as_bytes()));
        }
        assert_eq!(early.into_messages().collect::<Vec<_>>(), ["a", "", "c"]);
    }
}
