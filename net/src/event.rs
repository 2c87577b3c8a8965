//! Events, peer ids, messages and delivery modes.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use net_rtc::SendOptions;

use crate::PeerId;

/// Event of a peer. For each id: one `Open`, then any number of `Received`, then one `Closed`, then
/// nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Both paths are up: a message sent now can arrive on either.
    Open(PeerId),
    /// Either path failed or closed, or the server closed the peer; `Server::close_reason` returns
    /// the cause.
    Closed(PeerId),
    /// A message arrived, over the websocket or the data channel: [`Message::delivery`].
    Received(PeerId, Message),
}

impl Event {
    /// Returns the peer of the event.
    pub fn peer_id(&self) -> PeerId {
        match self {
            Event::Open(id) | Event::Closed(id) | Event::Received(id, _) => *id,
        }
    }
}

/// Delivery mode of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// Over the websocket: complete, once, in order.
    Reliable,
    /// Over the data channel: unordered, dropped rather than late.
    Unreliable,
}

/// Reliable delivery, or unreliable delivery with its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendMode {
    Reliable,
    Unreliable(SendOptions),
}

impl From<Delivery> for SendMode {
    fn from(delivery: Delivery) -> SendMode {
        match delivery {
            Delivery::Reliable => SendMode::Reliable,
            Delivery::Unreliable => SendMode::Unreliable(SendOptions::default()),
        }
    }
}

/// Message of a peer: its bytes, and the path on which it arrived.
///
/// It derefs to a byte slice, compares with slices, vectors and strings, and converts to [`Bytes`]
/// without a copy, so that it can be forwarded as it is:
///
/// ```no_run
/// # let (server, queue) = net::Server::new("127.0.0.1:3000");
/// use net::{Delivery, Event};
///
/// for event in queue.pop_all() {
///     let Event::Received(id, message) = event else { continue };
///     match message.delivery() {
///         Delivery::Reliable if message == "ping" => server.send_reliable(id, "pong"),
///         Delivery::Reliable => println!("{}", String::from_utf8_lossy(&message)),
///         Delivery::Unreliable => server.broadcast_unreliable(message),
///     }
/// }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    bytes: Bytes,
    delivery: Delivery,
}

impl Message {
    /// Creates a message as if it had been received, for tests of an application.
    pub fn new(delivery: Delivery, bytes: impl Into<Bytes>) -> Message {
        Message { bytes: bytes.into(), delivery }
    }

    /// Returns the path on which it arrived: [`Delivery::Reliable`] for the websocket,
    /// [`Delivery::Unreliable`] for the data channel.
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// Returns its bytes, which can be cloned and sliced ([`Bytes::slice`]) without a copy.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns its bytes, without a copy.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

impl Deref for Message {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Message {
    /// Formats as a byte string, `b"hello\x00"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes.fmt(f)
    }
}

impl From<Message> for Bytes {
    fn from(message: Message) -> Bytes {
        message.bytes
    }
}

impl From<Message> for Vec<u8> {
    fn from(message: Message) -> Vec<u8> {
        message.bytes.into()
    }
}

/// Implements comparison of the bytes alone, in both directions.
macro_rules! impl_partial_eq {
    ($($other:ty $(, $size:ident)?;)*) => {$(
        impl $(<const $size: usize>)? PartialEq<$other> for Message {
            fn eq(&self, other: &$other) -> bool {
                let other: &[u8] = other.as_ref();
                **self == *other
            }
        }

        impl $(<const $size: usize>)? PartialEq<Message> for $other {
            fn eq(&self, other: &Message) -> bool {
                other == self
            }
        }
    )*};
}

impl_partial_eq! {
    [u8];
    &[u8];
    [u8; N], N;
    &[u8; N], N;
    Vec<u8>;
    Bytes;
    str;
    &str;
    String;
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

#[cfg(test)]
mod message_tests {
    use super::*;

    fn message(bytes: &'static [u8]) -> Message {
        Message::new(Delivery::Unreliable, bytes)
    }

    #[test]
    fn it_is_shown_as_bytes_are() {
        assert_eq!(format!("{:?}", message(b"hello!\0")), "b\"hello!\\0\"");
        assert_eq!(format!("{:?}", message(b"\xff")), format!("{:?}", Bytes::from(vec![0xff])));
    }

    #[test]
    fn it_becomes_bytes_without_a_copy() {
        let bytes = Bytes::from(vec![1, 2, 3]);
        let message = Message::new(Delivery::Reliable, bytes.clone());
        assert_eq!(message.as_bytes().as_ptr(), bytes.as_ptr());
        assert_eq!(Bytes::from(message.clone()).as_ptr(), bytes.as_ptr());
        assert_eq!(message.into_bytes().as_ptr(), bytes.as_ptr());
    }

    #[test]
    fn it_is_a_slice_and_compares_with_what_holds_bytes() {
        let message = message(b"abc");
        assert_eq!((message.len(), message.first(), &message[1..]), (3, Some(&b'a'), &b"bc"[..]));
        assert_eq!(message, b"abc"[..]);
        assert_eq!(message, &b"abc"[..]);
        assert_eq!(message, *b"abc");
        assert_eq!(message, b"abc");
        assert_eq!(message, b"abc".to_vec());
        assert_eq!(message, Bytes::from("abc"));
        assert_eq!(message, *"abc");
        assert_eq!(message, "abc");
        assert_eq!(message, "abc".to_owned());
        assert_eq!(b"abc".to_vec(), message);
        assert_eq!("abc", message);
        assert_ne!(message, "abd");
        assert_eq!(Vec::from(message), b"abc");
    }

    #[test]
    fn messages_are_equal_that_came_on_the_same_path() {
        assert_eq!(message(b"a"), message(b"a"));
        assert_ne!(message(b"a"), message(b"b"));
        assert_ne!(message(b"a"), Message::new(Delivery::Reliable, "a"));
    }
}
