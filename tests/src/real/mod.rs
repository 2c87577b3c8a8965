//! Measures the unreliable path over real kernels, with real browsers.
//!
//! The page of `flow.html` (or `aiortc/flow.py`) runs in this machine, once or several times, the program `flow-server`
//! in another, and between the two is a [`Wire`]: two TUN devices and the program `lossy-link`,
//! which tells every datagram that it drops and how much it carries. Both ends send numbered messages and write down
//! when each was sent and when it arrived; [`Flow`] puts that together into a
//! [`Log`](crate::lab::Log) for each client and direction.
//!
//! All clocks are one: the system's, in microseconds since 1970.

mod arguments;
mod asked;
mod both;
mod connecting;
mod connects;
mod cut;
mod download;
mod end;
mod flow;
mod lines;
mod pace;
mod packet;
mod party;
mod passage;
mod plan;
mod record;
mod series;
mod step;
mod wire;

use std::time::SystemTime;

pub use arguments::{arguments, parse_congestion, parse_load, parse_plane, parse_repair};
pub use asked::asked_for;
pub use both::{BROWSERS, assert_met, both};
pub use connecting::{SWITCHES, parse_connecting};
pub use connects::{Connected, Manner, Page, Request, Tries, Visitor, connect};
pub use cut::Cut;
pub use download::{Download, serve_downloads};
pub use end::{Client, End};
pub use flow::{Flow, Programs};
pub use lines::Lines;
pub use pace::send_all;
pub use packet::Packet;
pub use passage::{Passage, Use};
pub use plan::Plan;
pub use record::{Record, Rows};
pub use series::Series;
pub use step::{Done, Step};
pub use wire::Wire;

/// Microseconds since 1970.
pub fn micros() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}
