//! Messages in one direction or both, over a bad network.

use std::io;
use std::mem;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::arguments::load_text;
use super::{End, Lines, Record, Wire};
use crate::lab::{Cell, Load, Log};
use crate::link::{Conditions, Direction, Loss};
use crate::plane::Plane;

/// Time for the server to start, and between two of its lines.
const SOON: Duration = Duration::from_secs(10);
/// Lines of the server, one a second, after which it has told everything.
const LAST_LINES: usize = 3;

/// Where the programs are that this needs.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `lossy-link`.
    pub link: PathBuf,
    /// `flow-server`.
    pub server: PathBuf,
}

/// What is sent over what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// From the server to the client.
    pub down: Option<Load>,
    /// From the client to the server.
    pub up: Option<Load>,
    /// How long.
    pub time: Duration,
    /// One way.
    pub delay: Duration,
    /// The share of datagrams that is lost each way, from 0 to 1, once the two are connected.
    pub loss: f64,
    /// The server's data plane.
    pub plane: Plane,
    /// The server's first TSN, if it is not to be random.
    pub first_tsn: Option<u32>,
    /// What the link's chance follows from.
    pub seed: u64,
}

impl From<Cell> for Plan {
    fn from(cell: Cell) -> Plan {
        let is_down = cell.direction == Direction::Down;
        Plan {
            down: is_down.then_some(cell.load),
            up: (!is_down).then_some(cell.load),
            time: cell.time,
            delay: cell.conditions.delay,
            loss: cell.loss(),
            plane: cell.server,
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
        format!("host={host}&port={port}&seconds={seconds}{up}")
    }

    fn conditions(&self) -> Conditions {
        let loss = Loss::Random(self.loss);
        Conditions { delay: self.delay, loss, ..Conditions::default() }
    }

    fn record(&self, load: Load, direction: Direction) -> Record {
        let cell = Cell::new(load, self.delay, self.loss, direction).by(self.plane);
        Record::new(Cell { time: self.time, ..cell })
    }

    fn server_arguments(&self, address: &str) -> Vec<String> {
        let plane = match self.plane {
            Plane::Ours => "ours",
            Plane::Stock => "stock",
        };
        let seconds = self.time.as_secs().to_string();
        let mut words = vec![format!("{address}:0"), "--plane".into(), plane.into()];
        words.extend(["--seconds".into(), seconds]);
        words.extend(self.down.iter().flat_map(|load| ["--down".into(), load_text(*load)]));
        words.extend(self.first_tsn.iter().flat_map(|t| ["--first-tsn".into(), t.to_string()]));
        words
    }
}

/// A plan at work.
pub struct Flow {
    // The order of the fields is the order in which they end.
    end: End,
    server: Lines,
    wire: Wire,
    down: Option<Record>,
    up: Option<Record>,
    rss_kib: u64,
    stalls: Vec<Duration>,
}

impl Flow {
    /// Connects a client, made by `client` from the words of [`Plan::query`], and lets the
    /// messages begin.
    ///
    /// # Errors
    /// What the programs said, or the client.
    pub fn start(
        programs: &Programs,
        plan: &Plan,
        client: impl FnOnce(&str) -> io::Result<End>,
    ) -> io::Result<Flow> {
        let mut wire = Wire::new(&programs.link, plan.conditions(), plan.seed)?;
        let mut command = wire.machine().command(&programs.server);
        let server = Lines::start(command.args(plan.server_arguments(wire.address())))?;
        let end = client(&plan.query(wire.address(), listening(&server)?))?;
        let opened = end.report()?;
        if opened["open"] != true {
            return Err(io::Error::other(format!("instead of open: {opened}")));
        }
        let (down, up) = (
            plan.down.map(|load| plan.record(load, Direction::Down)),
            plan.up.map(|load| plan.record(load, Direction::Up)),
        );
        wire.lose()?;
        Ok(Flow { end, server, wire, down, up, rss_kib: 0, stalls: Vec::new() })
    }

    /// Waits for the client's next report, some seconds; false after the last.
    ///
    /// # Errors
    /// One of the programs is gone, or the client reports a failure.
    pub fn step(&mut self) -> io::Result<bool> {
        let report = self.end.report()?;
        self.take_client(&report);
        for line in self.server.waiting()? {
            self.take_server(&serde_json::from_str(&line)?);
        }
        self.take_link()?;
        if report["done"] != true {
            return Ok(true);
        }
        for _ in 0..LAST_LINES {
            let line = self.server.next(SOON)?;
            self.take_server(&serde_json::from_str(&line)?);
        }
        self.take_link()?;
        Ok(false)
    }

    /// What happened so far, down and then up.
    pub fn logs(&self) -> Vec<Log> {
        self.down.iter().chain(&self.up).map(Record::log).collect()
    }

    /// How long messages were sent so far, in every direction.
    pub fn sent_time(&self) -> Duration {
        let all = self.down.iter().chain(&self.up);
        all.map(Record::sent_time).min().unwrap_or_default()
    }

    /// The server's memory in KiB (its resident set), as it told last.
    pub fn rss_kib(&self) -> u64 {
        self.rss_kib
    }

    /// How long the machine did not let the link run, each time since this was last asked.
    pub fn take_stalls(&mut self) -> Vec<Duration> {
        mem::take(&mut self.stalls)
    }

    fn take_client(&mut self, rows: &Value) {
        self.down.iter_mut().for_each(|record| record.take_arrived(rows));
        self.up.iter_mut().for_each(|record| record.take_sent(rows));
    }

    fn take_server(&mut self, rows: &Value) {
        self.down.iter_mut().for_each(|record| record.take_sent(rows));
        self.up.iter_mut().for_each(|record| record.take_arrived(rows));
        self.rss_kib = rows["rssKib"].as_u64().unwrap_or(self.rss_kib);
    }

    fn take_link(&mut self) -> io::Result<()> {
        for line in self.wire.told()? {
            self.stalls.extend(line["stalled"][1].as_u64().map(Duration::from_millis));
            self.down.iter_mut().chain(&mut self.up).for_each(|record| record.take_dropped(&line));
        }
        Ok(())
    }
}

/// The port that the server says.
fn listening(server: &Lines) -> io::Result<u16> {
    let line = server.next(SOON)?;
    let port = line.strip_prefix("listening ").and_then(|text| text.rsplit(':').next());
    let port = port.and_then(|digits| digits.parse().ok());
    port.ok_or_else(|| io::Error::other(format!("flow-server said {line:?}")))
}
