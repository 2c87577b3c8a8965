//! WebRTC data channels for many peers on one UDP port, as a state machine without IO (sans-IO).
//!
//! An [`Endpoint`] holds any number of peers. Each has one data channel, unordered and without
//! retransmissions: a message arrives within its maximum age or not at all. The endpoint owns no
//! socket, clock or thread. The caller passes in datagrams and the time; the endpoint returns
//! datagrams to send, events, and the time of its next timeout:
//!
//! ```
//! use std::time::Instant;
//! use net_rtc::{Config, Endpoint, Event, Input, Output};
//!
//! let (here, there) = ("192.0.2.1:3000".parse()?, "192.0.2.2:5000".parse()?);
//! let mut server = Endpoint::new(Config::new(vec![here]));
//! let mut client = Endpoint::new(Config::new(vec![there]));
//!
//! // The application carries offer and answer, for example over a websocket.
//! let mut now = Instant::now();
//! let offer = server.offer(now, "peer")?;
//! let answer = client.accept_offer(now, "peer", &offer.sdp)?;
//! server.accept_answer(now, &"peer", &answer)?;
//!
//! // The network of this example is memory: each datagram arrives at once.
//! fn carry(now: Instant, from: &mut Endpoint<&str>, to: &mut Endpoint<&str>) -> Vec<Event> {
//!     let mut events = Vec::new();
//!     loop {
//!         match from.poll_output() {
//!             Output::Timeout(_) => return events,
//!             Output::Event(_, event) => events.push(event),
//!             Output::Transmit(t) => to.handle_input(now, Input::Datagram {
//!                 source: t.source,
//!                 destination: t.destination,
//!                 contents: &t.contents,
//!             }),
//!         }
//!     }
//! }
//! let mut events = Vec::new();
//! while !events.contains(&Event::Open) {
//!     now += std::time::Duration::from_millis(5);
//!     server.handle_input(now, Input::Timeout);
//!     client.handle_input(now, Input::Timeout);
//!     events.extend(carry(now, &mut client, &mut server));
//!     events.extend(carry(now, &mut server, &mut client));
//! }
//! server.send(now, &"peer", "hello!")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `examples/echo.rs` is the same over real sockets, in both roles.
//!
//! Modules: `endpoint` demultiplexes datagrams (`endpoint::demux`), runs the peers' timers and
//! creates peers from offers and answers (`endpoint::signalling`). `peer` is one connection around
//! str0m's `Rtc`: `peer::state` and `peer::handshake` (connection state), `peer::path` and
//! `peer::migration` (path validation and connection migration, see [`addresses`]),
//! `peer::amplification` (anti-amplification limit), `peer::idle` (idle timeout),
//! `peer::nomination` (ICE nomination), `peer::outbox` and `peer::send_queue` (send queue, on
//! [`KeyedQueue`]). `sctp` is the data path between SCTP and DTLS, `congestion` its rate control
//! ([`data_path`] has the design and measurements), and `dtls` the shim that connects it to str0m.
//! `sdp` reads and writes session descriptions; [`handshakes`] describes what shortens the
//! handshake. `stun_binding` answers STUN Binding requests of connecting clients; `stats` has the
//! counters and the path statistics.

mod config;
mod congestion;
mod datagram;
mod dtls;
mod endpoint;
mod error;
mod event;
mod keyed_queue;
mod peer;
mod sctp;
mod sdp;
mod stats;
mod stun_binding;
#[cfg(feature = "odd")]
pub mod testing;
#[cfg(test)]
mod tests;
mod timer_queue;

pub use config::{
    Channels, Config, Congestion, DataPathMode, DtlsRole, DtlsVersions, HandshakeOptions,
    OfferOptions, Repair,
};
pub use endpoint::Endpoint;
pub use error::{AcceptAnswerError, AcceptOfferError, OfferError, SendError};
pub use event::{
    CloseReason, Event, HandshakeProgress, Input, Output, SendOptions, Transmit, WebRtcStage,
};
pub use keyed_queue::KeyedQueue;
pub use sdp::Offer;
pub use stats::{DropCounters, DropStats, EndpointUsage, PathMonitor, PathStats, Stats};
pub use timer_queue::TimerQueue;

#[doc = include_str!("../DATA-PLANE.md")]
pub mod data_path {}

#[doc = include_str!("../ADDRESSES.md")]
pub mod addresses {}

#[doc = include_str!("../CONNECTING.md")]
pub mod handshakes {}
