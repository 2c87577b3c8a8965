//! A server process under load for a long time: who runs it, its honest clients, its attackers,
//! and what is measured.
//!
//! The program `soak` is three processes: a server ([`serve`]) alone on a processor, the honest
//! ([`Crowd`]) and the attackers ([`attack`]) on another, these only with the time that the honest
//! leave. [`Host`] and [`Assault`] start the other two.

mod assault;
mod campaign;
mod crowd;
mod cycles;
mod half_open;
mod host;
mod latency;
mod member;
mod pinned;
mod report;
mod slope;

pub use assault::{Assault, attack, enemies};
pub use campaign::{Campaign, Plan};
pub use crowd::{Crowd, Habits, Manifest};
pub use cycles::Cycles;
pub use half_open::HalfOpen;
pub use host::{Host, serve};
pub use latency::Latency;
pub use pinned::Place;
pub use report::Report;
pub use slope::Slope;
