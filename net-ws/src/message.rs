//! One message.

use bytes::Bytes;

/// One whole message, however many frames carried it (RFC 6455 §5.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// UTF-8 text.
    Text(String),
    /// Any bytes.
    Binary(Bytes),
}

impl Message {
    /// Payload bytes.
    pub fn len(&self) -> usize {
        match self {
            Message::Text(text) => text.len(),
            Message::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether there is no payload. An empty message is a message like any other.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
