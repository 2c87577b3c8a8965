//! WebRTC data channels for many peers behind one UDP port, as one machine without IO.
//!
//! An [`Endpoint`] holds any number of peers. Each has one data channel, unordered and without
//! retransmissions: a message arrives fresh or not at all. The endpoint owns no socket, clock
//! or thread. You hand it datagrams and the time; it hands you datagrams to send, events, and
//! the time at which it wants to be called again:
//!
//! ```
//! use std::time::Instant;
//! use net_rtc::{Config, Endpoint, Event, Input, Output};
//!
//! let (here, there) = ("192.0.2.1:3000".parse()?, "192.0.2.2:5000".parse()?);
//! let mut server = Endpoint::new(Config::new(vec![here]));
//! let mut client = Endpoint::new(Config::new(vec![there]));
//!
//! // Offer and answer travel over a reliable path of yours, for example a websocket.
//! let mut now = Instant::now();
//! let offer = server.offer(now, "peer")?;
//! let answer = client.accept_offer(now, "peer", &offer.sdp)?;
//! server.accept_answer(now, &"peer", &answer)?;
//!
//! // Here memory is the network: what one side sends, the other receives at once.
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
//! The map: `endpoint` routes datagrams and wakes peers, `peer` is one connection around str0m's
//! `Rtc`, with how far it has come in `state`; `outbox` is what it has to send, with the queue
//! `fresh` and in that the line `latest`; `plane` carries it between SCTP and DTLS ([`data_plane`]
//! says why, how and how well), `tap` is its place in str0m, `path` shows how the way is;
//! `whereabouts` says where the peer is, `silence` how long it may be quiet, and `seek` finds one
//! that has moved ([`addresses`] says how); `offer`, `answer`, `sdp` and `credentials` shape what
//! is signalled, and `nomination` and `snap` save round trips ([`handshakes`] says which). `binding` tells a
//! client that connects which address it is seen at.

mod config;
mod congestion;
mod datagram;
mod dtls;
mod endpoint;
mod error;
mod event;
mod keyed_queue;
mod peer;
mod rtc;
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
