//! Sockets against each other and against hostile bytes, in memory and in virtual time.

// Helpers of tests are tests, too.
#![allow(clippy::unwrap_used)]

mod closing;
mod common;
mod fuzz;
mod hostile;
mod limits;
mod messages;
mod servers;
mod stream;
mod timers;
mod upgrade;
