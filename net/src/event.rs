//! What the application sees: events, the ids of peers, and the two ways to send.

use std::fmt;

use bytes::Bytes;
use net_rtc::SendOptions;

/// Something happened to a peer. For each id: one `Open`, then any number of `Received`, then
/// one `Closed`, then nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Both paths are up: a message sent now can arrive on either.
    Open(PeerId),
    /// Either path failed or closed, or the server closed the peer; `Server::close_reason`
    /// knows why.
    Closed(PeerId),
    /// A message arrived, over the websocket or the data channel.
    Received(PeerId, Bytes),
}

impl Event {
    /// The peer that it happened to.
    pub fn peer(&self) -> PeerId {
        match self {
            Event::Open(id) | Event::Closed(id) | Event::Received(id, _) => *id,
        }
    }
}

/// Names a peer: 0 for the first that opened, then 1, and so on, never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(u64);

// The only `From` of an integer: with a second one the literal in `send_reliable(0, ..)` would
// have no type.
impl From<u64> for PeerId {
    fn from(id: u64) -> PeerId {
        PeerId(id)
    }
}

impl From<PeerId> for u64 {
    fn from(id: PeerId) -> u64 {
        id.0
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The two ways to send a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// Over the websocket: whole, once, in order.
    Reliable,
    /// Over the data channel: fresh or not at all.
    Unreliable,
}

/// The same with what can be asked of either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Reliable,
    Unreliable(SendOptions),
}

impl From<Delivery> for Way {
    fn from(delivery: Delivery) -> Way {
        match delivery {
            Delivery::Reliable => Way::Reliable,
            Delivery::Unreliable => Way::Unreliable(SendOptions::default()),
        }
    }
}
