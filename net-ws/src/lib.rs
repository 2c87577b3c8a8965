//! A websocket (RFC 6455), server and client side, as one machine without IO.
//!
//! Bytes go in, bytes come out: a [`Socket`] owns no stream, no thread and no clock. It speaks the
//! HTTP upgrade with deadlines and limits, cuts the bytes into messages, answers pings and sends
//! its own, pushes back when the peer does not read, and says goodbye with a close code. Frames
//! are decoded by [tungstenite](https://docs.rs/tungstenite).
//!
//! # The one door
//! * [`Socket::handle_input`] takes what happened: bytes, the end of the stream, or time passing.
//! * [`Socket::send`] and [`Socket::close`] are what the application wants.
//! * [`Socket::outgoing`] are bytes for the stream; [`Socket::advance`] says how many were written.
//! * [`Socket::poll_output`] says what came of it. Call it after each of the above until it
//!   gives [`Output::Timeout`], and call `handle_input` with [`Input::Timeout`] at that time.
//!
//! The outputs of a socket are always, in this order: at most one [`Output::Upgraded`], then any
//! number of [`Output::Message`], then one [`Output::Closed`], then one [`Output::Finished`]. A
//! server with [`Config::hold_upgrade`] may say [`Output::Plain`] or [`Output::Oversized`] in
//! place of the first.
//!
//! ```
//! use net_ws::{Config, Input, Message, Output, Socket};
//! use std::time::Instant;
//!
//! /// What one socket has to say, into the other.
//! fn carry(now: Instant, from: &mut Socket, to: &mut Socket) {
//!     while !from.outgoing().is_empty() {
//!         let bytes = from.outgoing().to_vec();
//!         from.advance(now, bytes.len());
//!         to.handle_input(now, Input::Bytes(&bytes));
//!     }
//! }
//!
//! let now = Instant::now();
//! let mut server = Socket::accept(now, Config::default());
//! let mut client = Socket::connect(now, Config::default(), "example.org", "/game?room=7")?;
//!
//! carry(now, &mut client, &mut server); // the request
//! let Output::Upgraded(request) = server.poll_output() else { panic!("not upgraded") };
//! assert_eq!((request.path(), request.query()), ("/game", Some("room=7")));
//!
//! carry(now, &mut server, &mut client); // the answer
//! assert!(matches!(client.poll_output(), Output::Upgraded(_)));
//!
//! client.send(now, Message::Text("hello".into()))?;
//! carry(now, &mut client, &mut server);
//! assert_eq!(server.poll_output(), Output::Message(Message::Text("hello".into())));
//! assert!(matches!(server.poll_output(), Output::Timeout(Some(_)))); // the next ping
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Without an event loop of one's own, [`Stream`] moves the bytes between a socket and anything
//! that is `Read + Write`; `examples/ws_echo.rs` is a server on it.
//!
//! # With an event loop of one's own
//! After each input and each call: drain `poll_output`, write, and note the time. For writing,
//! [`Socket::outgoing_vectored`] gives all there is in few pieces; [`Socket::outgoing`] gives the
//! first piece. A partial write is an [`advance`](Socket::advance) by as much. Switch Nagle's
//! algorithm off (`TCP_NODELAY`), or small messages wait for the peer's acknowledgements.
//!
//! A server that asks the application who may connect sets [`Config::hold_upgrade`]: the request
//! is shown by [`Output::Upgraded`] before it is answered, and [`Socket::admit`] or
//! [`Socket::refuse`] answers it. A refused browser is told on the websocket, because it shows no
//! HTTP status to its page. `Origin`, cookies and subprotocols are in the [`Request`];
//! this crate does not judge them. Such a server also sees what asks for no websocket, such as a
//! balancer's GET ([`Output::Plain`]), and answers it ([`Socket::respond`]).
//!
//! A loop that stopped reading, or was stopped itself, says so with [`Socket::excuse_silence`], or
//! its peers count as dead.
//!
//! # One message to many
//! [`Message::Binary`] holds [`Bytes`](bytes::Bytes). A server's frames are not masked, so large
//! payloads are not copied: a thousand sockets to which the same `Bytes` is sent hold it once,
//! however long it waits. It counts in the backlog of each.
//!
//! # What the other side can do
//! Nothing beyond the bounds in [`Config`], be it a client or a server, and whatever its bytes:
//! the upgrade has a deadline and a largest head, a message has a largest size and is refused by
//! what its head announces, fragments without payload are counted, and so are our own answers to
//! pings that it does not read. What breaks RFC 6455 ends the socket with the close code that
//! belongs to it ([`Violation`]), and no input panics. Silence is asked about with pings and ends
//! after `dead_after`; a peer that does not take what waits for it has `send_timeout`; closing
//! waits for `close_timeout` since the peer last took anything, and `send_timeout` in all.
//!
//! With the defaults an idle socket holds less than 8 KiB. A peer can make it hold up to about
//! three times [`Config::message_bytes`] while a message arrives, and [`Config::backlog_bytes`]
//! while it does not read.
//!
//! # What it does not do
//! TLS (put it between stream and socket), compression (RFC 7692; none is ever agreed on), other
//! HTTP than the upgrade but for one line of text, and HTTP/2 (RFC 8441). Text is judged when its frame is whole, not at
//! the byte that spoils it; the Autobahn suite calls that "non-strict", and the rest of it, but
//! for compression, passes.

mod config;
mod decoder;
mod error;
mod frame_scanner;
mod handshake;
mod outbox;
mod send_timeout;
mod socket;
mod stream;

use bytes::Bytes;
pub use config::Config;
pub use error::{BadRequest, BadResponse, CloseReason, ConnectError, SendError, Violation};
pub use handshake::request::Request;
pub use send_timeout::SlowConsumer;
pub use socket::{Input, Output, Socket};
pub use stream::Stream;

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
