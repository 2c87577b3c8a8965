//! What the application sees: events, the ids of peers, and the two ways to send.

use std::fmt;

use net_rtc::SendOptions;

use crate::Message;

/// Something happened to a peer. For each id: one `Open`, then any number of `Received`, then
/// one `Closed`, then nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Both paths are up: a message sent now can arrive on either.
    Open(PeerId),
    /// Either path failed or closed, or the server closed the peer; `Server::close_reason`
    /// knows why.
    Closed(PeerId),
    /// A message arrived, over the websocket or the data channel: [`Message::delivery`].
    Received(PeerId, Message),
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
///
/// A `PeerId` is a number with a type of its own. It can be the key of a map,
/// [`as_u64`](PeerId::as_u64) and `u64::from` give the number, and what takes an id takes a number
/// or a reference as well:
///
/// ```no_run
/// # let (server, _queue) = net::Server::new("127.0.0.1:3000");
/// use std::collections::HashMap;
/// use net::PeerId;
///
/// let names = HashMap::from([(PeerId::from(7), "Ada")]);
/// for (id, name) in &names {
///     server.send_reliable(id, format!("{name} is number {}", id.as_u64()));
/// }
/// ```
///
/// With the feature `serde` it is (de)serialised as its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct PeerId(u64);

impl PeerId {
    /// Its number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

// The only `From` of an integer: with a second one the literal in `send_reliable(0, ..)` would
// have no type.
impl From<u64> for PeerId {
    fn from(id: u64) -> PeerId {
        PeerId(id)
    }
}

impl From<&PeerId> for PeerId {
    fn from(id: &PeerId) -> PeerId {
        *id
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

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(id: impl Into<PeerId>) -> u64 {
        id.into().as_u64()
    }

    #[test]
    fn an_id_is_given_as_number_value_or_reference() {
        let id = PeerId::from(7);
        let borrowed = &id;
        assert_eq!([takes(7), takes(id), takes(borrowed), u64::from(id)], [7; 4]);
        assert_eq!((id.to_string(), PeerId::default()), ("7".to_owned(), PeerId::from(0)));
    }

    #[cfg(feature = "serde")]
    #[test]
    fn an_id_is_serialised_as_a_number() {
        use std::collections::HashMap;

        let scores = HashMap::from([(PeerId::from(7), 12)]);
        let json = serde_json::to_string(&scores).expect("a map with numbers for keys");
        assert_eq!(json, r#"{"7":12}"#);
        assert_eq!(serde_json::from_str::<HashMap<PeerId, i32>>(&json).ok(), Some(scores));
        assert_eq!(serde_json::from_str::<PeerId>("7").ok(), Some(PeerId::from(7)));
    }
}
