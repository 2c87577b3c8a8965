//! Measures the unreliable path in virtual time: one server, one client, one load, one kind of
//! bad network. A [`Cell`] says what, a [`Run`] does it, a [`Log`] holds what happened to each
//! message, a [`Report`] sums it up.

mod bounds;
mod connect;
mod grid;
mod hunt;
mod lift;
mod load;
mod log;
mod long;
mod meeting;
mod outcome;
mod overload;
mod profile;
mod profiles;
mod repair;
mod report;
mod rule;
mod run;
pub mod scene;
mod share;
mod slow;
mod table;
mod tcp;
mod trial;
pub mod warnings;

use std::fmt;
use std::time::Duration;

pub use bounds::{Bound, bounds};
pub use connect::{Named, connect, meetings};
pub use grid::grid;
pub use hunt::Hunt;
pub use lift::{appearing, lift, lift_misses, lifted, recovery};
pub use load::Load;
pub use log::{Flight, Log};
pub use long::{LONG, Long, PART};
pub use meeting::{Meeting, Met, Sent, switches};
use net::Repair;
pub use outcome::{FlowSample, Outcome, Sample, Summary};
pub use overload::{overload, overload_misses, overloaded};
pub use profile::Profile;
pub use profiles::{Duel, Duels};
pub use repair::{repair, repair_cell, repair_misses};
pub use report::Report;
pub use rule::Rule;
pub use run::Run;
pub use scene::{Flow, Scene};
pub use share::{share, share_misses, shared};
pub use slow::{slow, slow_misses, slow_scene};
pub use table::{HEAD, row};
pub use tcp::{beside_tcp, tcp, tcp_misses};
pub use trial::{Row, Table, Trial};

use crate::agent::Manners;
use crate::link::{Conditions, Direction, Loss};
use crate::plane::Plane;

/// What is measured: everything that a run depends on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// What is sent.
    pub load: Load,
    /// What the network does, both ways, once the two are connected.
    pub conditions: Conditions,
    /// Which way the messages go.
    pub direction: Direction,
    /// The server's data plane.
    pub server: Plane,
    /// Whether the server repairs.
    pub repair: Repair,
    /// The client's; [`Plane::Stock`] stands for an unmodified browser.
    pub client: Plane,
    /// How the client behaves.
    pub manners: Manners,
    /// How long messages are sent.
    pub time: Duration,
    /// How much of it does not count. A browser's own SCTP opens its window slowly, and no
    /// server can hurry it; a server has to be right from its first message on.
    pub warm_up: Duration,
    /// What chance follows from.
    pub seed: u64,
}

impl Cell {
    /// A minute of this load over a network that delays and loses, by our server's data plane, to or from an unmodified browser.
    pub fn new(load: Load, delay: Duration, loss: f64, direction: Direction) -> Cell {
        Cell {
            load,
            conditions: Conditions { delay, loss: Loss::Random(loss), ..Conditions::default() },
            direction,
            server: Plane::Ours,
            repair: Repair::default(),
            client: Plane::Stock,
            manners: Manners::Good,
            time: Duration::from_secs(60),
            warm_up: match direction {
                Direction::Up => Duration::from_secs(3),
                Direction::Down => Duration::ZERO,
            },
            seed: 1,
        }
    }

    /// The same, by another server.
    pub fn by(self, server: Plane) -> Cell {
        Cell { server, ..self }
    }

    /// Runs it and sums it up.
    ///
    /// # Panics
    /// If the two cannot connect.
    pub fn measure(self) -> Report {
        Report::of(&Run::new(self).finish().part(self.warm_up, self.time))
    }

    /// What is lost by chance, from 0 to 1.
    pub fn loss(&self) -> f64 {
        match self.conditions.loss {
            Loss::Random(share) | Loss::Runs { share, .. } => share,
        }
    }

    /// Which way, in words.
    pub fn way(&self) -> &'static str {
        match self.direction {
            Direction::Up => "up",
            Direction::Down => "down",
        }
    }
}

/// The load, the network and the way: a name that both planes share.
impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (delay, loss) = (self.conditions.delay.as_millis(), self.loss() * 100.0);
        write!(f, "{}, {delay} ms, {loss:.0} %, {}", self.load, self.way())
    }
}
