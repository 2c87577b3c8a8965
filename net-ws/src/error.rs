//! What `connect` and `send` refuse.

use crate::Message;

/// Why [`Socket::connect`](crate::Socket::connect) refused its arguments.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Host and target do not make a URI: the host is a name or address with an optional port
    /// (`example.org:3000`, `[::1]:3000`), the target begins with `/` and has no `#`.
    #[error("not a host and a path: {0:?}")]
    Address(String),
    /// A header with a bad name or value, or one that the upgrade itself sets.
    #[error("a header that cannot be sent: {0}")]
    Header(String),
}

/// Why [`Socket::send`](crate::Socket::send) did not take a message. It is given back, and
/// nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Longer than `message_bytes`: it can never be sent.
    #[error("the message is longer than the limit")]
    TooLarge(Message),
    /// The backlog has no room for it: try again when the peer has read more.
    #[error("the backlog is full")]
    Full(Message),
    /// The socket is not open: before `Upgraded`, or after closing began.
    #[error("the websocket is not open")]
    Closed(Message),
}

impl SendError {
    /// The message that was not sent.
    pub fn into_message(self) -> Message {
        match self {
            SendError::TooLarge(message)
            | SendError::Full(message)
            | SendError::Closed(message) => message,
        }
    }
}
