//! What a measurement with real kernels is about.

use std::time::Duration;

use net::{Congestion, Repair};

use super::Record;
use super::arguments::{congestion_text, load_text, plane_text, repair_text};
use crate::lab::{Cell, Load};
use crate::link::{Conditions, Direction};
use crate::plane::Plane;

/// What is sent over what. Every client sends and receives the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// From the server to each client.
    pub down: Option<Load>,
    /// From each client to the server.
    pub up: Option<Load>,
    /// How long.
    pub time: Duration,
    /// When the page sends what it is to send: see `pages/policies.js`. `None` is the client
    /// module's own `sendUnreliable`.
    pub policy: Option<&'static str>,
    /// What the link does each way, once all are connected: of it delay, loss and rate count; and
    /// from the beginning on the longest packet.
    pub conditions: Conditions,
    /// The server's data plane.
    pub plane: Plane,
    /// How the server finds its rate.
    pub congestion: Congestion,
    /// Whether the server lets messages ride again.
    pub repair: Repair,
    /// Whether somebody downloads by TCP, with CUBIC (RFC 9438), at the same time.
    pub download: bool,
    /// The server's first TSN, if it is not to be random.
    pub first_tsn: Option<u32>,
    /// What the link's chance follows from.
    pub seed: u64,
}

impl From<Cell> for Plan {
    fn from(cell: Cell) -> Plan {
        let is_down = cell.direction == Direction::Down;
        let config = cell.server.server();
        Plan {
            down: is_down.then_some(cell.load),
            up: (!is_down).then_some(cell.load),
            time: cell.time,
            policy: None,
            conditions: cell.conditions,
            plane: cell.server,
            congestion: config.congestion,
            repair: config.repair,
            download: false,
            first_tsn: None,
            seed: cell.seed,
        }
    }
}

impl Plan {
    /// What the client has to know, as the words behind the `?` of an address.
    pub fn query(&self, host: &str, port: u16) -> String {
        let seconds = self.time.as_secs();
        let up = self.up.map_or_else(String::new, |load| format!("&up={}", load_text(load)));
        let policy = self.policy.map_or_else(String::new, |name| format!("&policy={name}"));
        format!("host={host}&port={port}&seconds={seconds}{up}{policy}")
    }

    pub(super) fn record(&self, load: Load, direction: Direction) -> Record {
        let cell = Cell::new(load, self.conditions.delay, 0.0, direction).by(self.plane);
        Record::new(Cell { conditions: self.conditions, time: self.time, ..cell })
    }

    pub(super) fn server_arguments(&self, address: &str) -> Vec<String> {
        let mut words = vec![format!("{address}:0")];
        let mut option = |name: &str, value: String| words.extend([format!("--{name}"), value]);
        option("plane", plane_text(self.plane).into());
        option("congestion", congestion_text(self.congestion).into());
        option("repair", repair_text(self.repair).into());
        option("seconds", self.time.as_secs().to_string());
        self.down.iter().for_each(|load| option("down", load_text(*load)));
        self.first_tsn.iter().for_each(|tsn| option("first-tsn", tsn.to_string()));
        if self.download {
            option("downloads", format!("{address}:{DOWNLOAD_PORT}"));
        }
        words
    }
}

/// Where downloads come from; the machine is ours alone.
pub(super) const DOWNLOAD_PORT: u16 = 9_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_told() {
        let delay = Duration::from_millis(20);
        let cell = Cell::new(Load::steady(60, 200), delay, 0.05, Direction::Up);
        let plan = Plan { repair: Repair::On, download: true, ..Plan::from(cell) };
        assert_eq!(plan.query("host", 3), "host=host&port=3&seconds=60&up=1x60x200");
        let words = plan.server_arguments("ip").join(" ");
        let expected = "ip:0 --plane ours --congestion adaptive --repair on --seconds 60 \
            --downloads ip:9000";
        assert_eq!(words, expected);
    }
}
