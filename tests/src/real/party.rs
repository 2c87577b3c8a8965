//! One client of a flow, and what went between it and the server.

use std::io;

use serde_json::Value;

use super::{Client, End, Plan, Record};
use crate::link::Direction;

/// A client and the messages to it and from it.
pub(super) struct Party {
    end: End,
    is_done: bool,
    down: Option<Record>,
    up: Option<Record>,
}

impl Party {
    /// Starts the client and waits until it is connected.
    pub(super) fn join(client: Client, plan: &Plan, host: &str, port: u16) -> io::Result<Party> {
        let end = End::start(client, &plan.query(host, port))?;
        let opened = end.report()?;
        match opened["open"] == true {
            true => Ok(Party { end, is_done: false, down: None, up: None }),
            false => Err(io::Error::other(format!("instead of open: {opened}"))),
        }
    }

    /// Messages begin.
    pub(super) fn begin(&mut self, plan: &Plan) {
        self.down = plan.down.map(|load| plan.record(load, Direction::Down));
        self.up = plan.up.map(|load| plan.record(load, Direction::Up));
    }

    /// Waits for the client's next report; false after the last.
    pub(super) fn step(&mut self) -> io::Result<bool> {
        if !self.is_done {
            let report = self.end.report()?;
            self.down.iter_mut().for_each(|record| record.take_arrived(&report));
            self.up.iter_mut().for_each(|record| record.take_sent(&report));
            self.is_done = report["done"] == true;
        }
        Ok(!self.is_done)
    }

    pub(super) fn take_server(&mut self, rows: &Value) {
        self.down.iter_mut().for_each(|record| record.take_sent(rows));
        self.up.iter_mut().for_each(|record| record.take_arrived(rows));
    }

    pub(super) fn take_link(&mut self, line: &Value) {
        self.down.iter_mut().chain(&mut self.up).for_each(|record| record.take_dropped(line));
    }

    /// Down and then up.
    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.down.iter().chain(&self.up)
    }
}
