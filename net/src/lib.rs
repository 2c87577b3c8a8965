//! Reliable and unreliable messages between a game or realtime server and browsers: over a
//! websocket and a WebRTC data channel at once.
//!
//! A browser that connects to a [`Server`] becomes a peer with an id. Its [`Event`]s come out of an
//! [`EventQueue`]; messages to it are sent with [`Server::send_reliable`] (complete, once, in
//! order) or [`Server::send_unreliable`] (unordered, dropped rather than late):
//!
//! ```no_run
//! use net::{Event, Server};
//!
//! let (server, queue) = Server::new("127.0.0.1:3000");
//! loop {
//!     for event in queue.wait(std::time::Duration::from_millis(16)) {
//!         match event {
//!             Event::Open(id) => server.send_reliable(id, "welcome"),
//!             Event::Received(id, message) => server.send_unreliable(id, message),
//!             Event::Closed(id) => println!("{id} left: {:?}", server.close_reason(id)),
//!         }
//!     }
//! }
//! ```
//!
//! Both handles are thread-safe, cheap to clone and never block on the network. [`Config`] holds
//! every setting; [`hub`] is the server's state machine without IO. `ARCHITECTURE.md` beside this
//! crate's manifest describes the internals for contributors.

mod admission;
mod config;
mod driver;
mod error;
mod event;
pub mod hub;
#[cfg(feature = "odd")]
pub mod machine;
mod peer;
mod queues;
mod server;
mod stats;
#[cfg(all(test, feature = "models"))]
mod tests;

pub use admission::{AcceptHook, Accepted, Decision, Request};
pub use bytes::{self, Bytes};
pub use config::{
    Config, Congestion, DataPathMode, DtlsRole, DtlsVersions, HandshakeOptions, PublicAddr, Repair,
};
pub use error::{BindError, CloseReason, ConnectFailure, HandshakeStage, SendError, WebRtcStage};
pub use event::{Delivery, Event, Message};
pub use ipnet::IpNet;
pub use net_rtc::{DropStats, PathStats, SendOptions};
pub use peer::{PeerId, PeerInfo};
pub use server::{EventQueue, Server};
pub use stats::{ConnectFailures, Stats};

/// Compiles the README's programs.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
