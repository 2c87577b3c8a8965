//! Messages in one direction or both, over a bad network.

use std::path::PathBuf;
use std::time::Duration;
use std::{io, mem};

use serde_json::Value;

use super::party::Party;
use super::plan::DOWNLOAD_PORT;
use super::{
    Client, Done, Download, Lines, Packet, Passage, Plan, Record, Step, Use, Wire, micros,
};
use crate::lab::Log;
use crate::link::Direction::{self, Down, Up};

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

/// A plan at work.
pub struct Flow {
    // The order of the fields is the order in which they end.
    parties: Vec<Party>,
    download: Option<Download>,
    server: Lines,
    wire: Wire,
    began: u64,
    up: Passage,
    down: Passage,
    rss_kib: u64,
    stalls: Vec<Duration>,
    done: Vec<Done>,
    packets: Vec<Packet>,
}

impl Flow {
    /// Connects the clients and lets the messages begin, to all at once.
    ///
    /// # Errors
    /// What the programs said, or a client.
    pub fn start(programs: &Programs, plan: &Plan, clients: &[Client]) -> io::Result<Flow> {
        let wire = Wire::new(&programs.link, plan.conditions, plan.seed)?;
        if plan.download {
            wire.send_by_cubic()?;
        }
        let mut command = wire.machine().command(&programs.server);
        let server = Lines::start(command.args(plan.server_arguments(wire.address())))?;
        let (host, port) = (wire.address(), listening(&server)?);
        // One after the other, for the server knows them by their order.
        let parties = clients.iter().map(|client| Party::join(*client, plan, host, port));
        let parties = parties.collect::<io::Result<_>>()?;
        let (up, down) = (Passage::new(Up), Passage::new(Down));
        let mut flow = Flow {
            parties,
            download: None,
            server,
            wire,
            began: 0,
            up,
            down,
            rss_kib: 0,
            stalls: Vec::new(),
            done: Vec::new(),
            packets: Vec::new(),
        };
        flow.begin(plan)?;
        Ok(flow)
    }

    fn begin(&mut self, plan: &Plan) -> io::Result<()> {
        self.began = micros();
        self.wire.worsen()?;
        self.parties.iter_mut().for_each(|party| party.begin(plan));
        self.server.tell("begin")?;
        if plan.download {
            let address = format!("{}:{DOWNLOAD_PORT}", self.wire.address());
            self.download = Some(Download::start(address.parse().map_err(io::Error::other)?)?);
        }
        Ok(())
    }

    /// Waits for the next report of every client, some seconds; false after the last.
    ///
    /// # Errors
    /// One of the programs is gone, or a client reports a failure.
    pub fn step(&mut self) -> io::Result<bool> {
        let mut goes_on = false;
        for party in &mut self.parties {
            goes_on |= party.step()?;
        }
        for line in self.server.waiting()? {
            self.take_server(&serde_json::from_str(&line)?);
        }
        for _ in 0..if goes_on { 0 } else { LAST_LINES } {
            let line = self.server.next(SOON)?;
            self.take_server(&serde_json::from_str(&line)?);
        }
        self.take_link()?;
        Ok(goes_on)
    }

    /// Changes what passes the bottleneck each way, in bytes a second, 0 being any amount.
    /// Gives how long messages had been sent.
    ///
    /// # Errors
    /// The link is gone.
    pub fn limit(&mut self, bytes_per_second: u64) -> io::Result<Duration> {
        self.wire.limit(bytes_per_second)?;
        Ok(Duration::from_micros(micros().saturating_sub(self.began)))
    }

    /// Lets the link do these, one after the other, and does not wait for it.
    ///
    /// # Errors
    /// The link is gone.
    pub fn play(&mut self, steps: &[Step]) -> io::Result<()> {
        self.wire.play(steps)
    }

    /// What the link has done so far of what it was told, the oldest first.
    pub fn done(&self) -> &[Done] {
        &self.done
    }

    /// The packets that the link told of, the oldest first.
    pub fn packets(&self) -> &[Packet] {
        &self.packets
    }

    /// What happened so far, client by client, down and then up. Traffic is that of all
    /// clients, and a datagram that was dropped may have been any client's.
    pub fn logs(&self) -> Vec<Log> {
        self.records().map(|record| self.log(record)).collect()
    }

    /// How long messages were sent so far, in every direction.
    pub fn sent_time(&self) -> Duration {
        self.records().map(Record::sent_time).min().unwrap_or_default()
    }

    /// What was used of the bottleneck in this direction, from so long after the beginning up
    /// to so long.
    pub fn usage(&self, direction: Direction, from: Duration, until: Duration) -> Use {
        let (from, until) = (self.at(from), self.at(until));
        self.passage(direction).usage(from, until)
    }

    /// What the download received in this time, in bytes a second without headers.
    pub fn downloaded(&self, from: Duration, until: Duration) -> f64 {
        let (from, until) = (self.at(from), self.at(until));
        self.download.as_ref().map_or(0.0, |download| download.per_second(from, until))
    }

    /// What the server's kernel says of the download's socket.
    ///
    /// # Errors
    /// There is no `ss`.
    pub fn download_socket(&self) -> io::Result<String> {
        let port = format!(":{DOWNLOAD_PORT}");
        let mut command = self.wire.machine().command("ss");
        let output =
            command.args(["-tinH", "state", "established", "sport", "=", &port]).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The server's memory in KiB (its resident set), as it told last.
    pub fn rss_kib(&self) -> u64 {
        self.rss_kib
    }

    /// How long the machine did not let the link run, each time since this was last asked.
    pub fn take_stalls(&mut self) -> Vec<Duration> {
        mem::take(&mut self.stalls)
    }

    /// The records of every client, down and then up.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.parties.iter().flat_map(Party::records)
    }

    fn log(&self, record: &Record) -> Log {
        let log = record.log();
        let (forth, back) = match log.cell.direction {
            Up => (&self.up, &self.down),
            Down => (&self.down, &self.up),
        };
        Log { forth: forth.traffic(self.began), back: back.traffic(self.began), ..log }
    }

    fn passage(&self, direction: Direction) -> &Passage {
        match direction {
            Up => &self.up,
            Down => &self.down,
        }
    }

    /// In microseconds since 1970.
    fn at(&self, since: Duration) -> u64 {
        self.began + u64::try_from(since.as_micros()).unwrap_or(u64::MAX / 2)
    }

    fn take_server(&mut self, line: &Value) {
        for (party, rows) in
            self.parties.iter_mut().zip(line["clients"].as_array().into_iter().flatten())
        {
            party.take_server(rows);
        }
        self.rss_kib = line["rssKib"].as_u64().unwrap_or(self.rss_kib);
    }

    fn take_link(&mut self) -> io::Result<()> {
        let told = self.wire.told()?;
        self.packets.extend(Packet::told(&told));
        for line in told {
            self.stalls.extend(line["stalled"][1].as_u64().map(Duration::from_millis));
            self.done.extend(Done::of(&line));
            self.up.take(&line);
            self.down.take(&line);
            self.parties.iter_mut().for_each(|party| party.take_link(&line));
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
