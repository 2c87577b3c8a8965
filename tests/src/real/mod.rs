//! Measures the unreliable path over real kernels, with real browsers.
//!
//! The page of `flow.html` (or `aiortc/flow.py`) runs in this machine, the program `flow-server`
//! in another, and between the two is a [`Wire`]: two TUN devices and the program `lossy-link`,
//! which tells every datagram that it drops. Both ends send numbered messages and write down
//! when each was sent and when it arrived; [`Flow`] puts that together into a
//! [`Log`](crate::lab::Log) for each direction.
//!
//! All clocks are one: the system's, in microseconds since 1970.

mod arguments;
mod end;
mod flow;
mod lines;
mod pace;
mod record;
mod wire;

pub use arguments::{arguments, parse_load};
pub use end::End;
pub use flow::{Flow, Plan, Programs};
pub use lines::Lines;
pub use pace::send_all;
pub use record::{Record, Rows};
pub use wire::Wire;

use std::time::SystemTime;

/// Microseconds since 1970.
pub fn micros() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}
