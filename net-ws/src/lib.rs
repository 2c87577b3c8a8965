//! Sans-IO websocket (RFC 6455), server and client side.
//!
//! A [`Socket`] is a state machine: bytes in, bytes out, no stream, no thread and no clock. It
//! performs the HTTP upgrade with deadlines and limits, decodes and encodes messages, answers
//! pings and sends its own, applies backpressure when the peer does not read, and performs the
//! closing handshake. Frames are decoded by [tungstenite](https://docs.rs/tungstenite).
//!
//! # Driving a socket
//! * [`Socket::handle_input`] takes inputs: bytes, the end of the stream, or passing time.
//! * [`Socket::send`] and [`Socket::close`] are the application's calls.
//! * [`Socket::outgoing`] returns bytes for the stream; [`Socket::advance`] takes the number of
//!   bytes written.
//! * [`Socket::poll_output`] returns the outputs. Call it after each of the above until it
//!   returns [`Output::Timeout`], and call `handle_input` with [`Input::Timeout`] at that time.
//!
//! The outputs of a socket are always, in this order: at most one [`Output::Upgraded`], then any
//! number of [`Output::Message`], then one [`Output::Closed`], then one [`Output::Finished`]. A
//! server with [`Config::await_decision`] may emit [`Output::PlainHttp`] or [`Output::Oversized`]
//! in place of the first. [`Output::SlowConsumer`] may come between messages.
//!
//! ```
//! use net_ws::{Config, Input, Message, Output, Socket};
//! use std::time::Instant;
//!
//! /// Moves all outgoing bytes of one socket into the other.
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
//! carry(now, &mut server, &mut client); // the response
//! assert!(matches!(client.poll_output(), Output::Upgraded(_)));
//!
//! client.send(now, Message::Text("hello".into()))?;
//! carry(now, &mut client, &mut server);
//! assert_eq!(server.poll_output(), Output::Message(Message::Text("hello".into())));
//! assert!(matches!(server.poll_output(), Output::Timeout(Some(_)))); // the next ping
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Stream`] connects a socket to anything that is `Read + Write`, for applications without an
//! event loop; `examples/ws_echo.rs` is a server on it.
//!
//! # In an event loop
//! After each input and each call: drain `poll_output`, write, and set the timer. For writing,
//! [`Socket::outgoing_vectored`] returns all unsent bytes in few slices; [`Socket::outgoing`]
//! returns the first slice. After a partial write call [`advance`](Socket::advance) with the
//! number of bytes written. Switch Nagle's algorithm off (`TCP_NODELAY`), or small messages wait
//! for the peer's acknowledgements.
//!
//! A server with admission control sets [`Config::await_decision`]: [`Output::Upgraded`] shows the
//! request before the response is sent, and [`Socket::accept_upgrade`] or
//! [`Socket::reject_upgrade`] responds. A rejected browser gets its close code on the websocket,
//! because it shows no HTTP status to its page. `Origin`, cookies and subprotocols are in the
//! [`Request`]; this crate does not check them. Such a server also sees plain HTTP requests, such
//! as a load balancer's GET ([`Output::PlainHttp`]), and responds with [`Socket::respond`].
//!
//! A loop that stopped reading, or was suspended, calls [`Socket::reset_idle_timer`] or
//! [`Socket::extend_deadlines`]; otherwise its peers time out.
//!
//! # Broadcast
//! [`Message::Binary`] holds [`Bytes`]. A server's frames are not masked, so large
//! payloads are not copied: a thousand sockets to which the same `Bytes` is sent hold it once,
//! however long it is buffered. It counts in the [`buffered_amount`](Socket::buffered_amount) of
//! each.
//!
//! # Bounds on a hostile peer
//! A peer, client or server, cannot exceed the bounds in [`Config`], whatever it sends: the
//! upgrade has a deadline and a maximum head size, a message has a maximum size and is rejected by
//! the length in its frame header, fragments without payload are counted, and pongs that the peer
//! does not read are bounded. A violation of RFC 6455 closes the socket with the matching close
//! code ([`Violation`]), and no input panics. A silent peer gets pings and times out after
//! `pong_timeout`; a peer that does not read has `send_timeout`; the closing handshake waits
//! `close_timeout` after the peer last read anything, and `send_timeout` in all.
//!
//! With the defaults an idle socket holds less than 8 KiB. A peer can make it hold up to about
//! three times [`Config::max_message_size`] while a message arrives, and [`Config::send_buffer`]
//! while it does not read.
//!
//! # Not supported
//! TLS (put it between stream and socket), compression (RFC 7692; never negotiated), HTTP other
//! than the upgrade and responses of one line of text, and HTTP/2 (RFC 8441). UTF-8 is validated
//! when a frame is complete, not at the first bad byte; the Autobahn suite calls that
//! "non-strict". The rest of the suite, except compression, passes.

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

/// A complete message, reassembled from its frames (RFC 6455 §5.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// UTF-8 text.
    Text(String),
    /// Binary data.
    Binary(Bytes),
}

impl Message {
    /// Returns the payload length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Message::Text(text) => text.len(),
            Message::Binary(bytes) => bytes.len(),
        }
    }

    /// Returns whether there is no payload. Empty messages are valid.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
