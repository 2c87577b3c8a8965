//! The server process: what it does, and whoever starts it.

use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use cpu_time::ThreadTime;
use net::{Config, Event, Server};

use super::{Place, Report};
use crate::real::Lines;

/// For the process to start, or to answer.
const SOON: Duration = Duration::from_secs(20);
/// How often it looks whether it was asked.
const LOOK: Duration = Duration::from_millis(20);

/// First byte of a message that goes back over the websocket.
pub(super) const RELIABLE: u8 = b'r';
/// First byte of one that goes back over the data channel.
pub(super) const UNRELIABLE: u8 = b'u';

/// Runs a server that sends back what it gets, the way the first byte says. Prints
/// `listening ADDRESS`, and a [`Report`] for each line of its input; ends with it.
///
/// # Errors
/// The address cannot be bound.
pub fn serve(address: &str, config: Config) -> io::Result<()> {
    let (server, queue) = Server::bind(address, config).map_err(io::Error::other)?;
    server.measure_iterations(|| ThreadTime::now().as_duration());
    println!("listening {}", server.local_addr());
    let asked = questions();
    let mut reasons = BTreeMap::new();
    loop {
        for event in queue.wait(LOOK) {
            handle(&server, event, &mut reasons);
        }
        match asked.try_recv() {
            Ok(_) => println!("{}", Report::of(&server, &reasons).to_json()),
            Err(std::sync::mpsc::TryRecvError::Empty) => {}
            Err(std::sync::mpsc::TryRecvError::Disconnected) => return Ok(()),
        }
    }
}

fn questions() -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        let all = io::stdin().lock().lines().map_while(Result::ok);
        all.take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
    });
    lines
}

fn handle(server: &Server, event: Event, reasons: &mut BTreeMap<String, u64>) {
    match event {
        Event::Open(_) => {}
        Event::Received(id, message) => match message.first() {
            Some(&RELIABLE) => server.send_reliable(id, message),
            Some(&UNRELIABLE) => server.send_unreliable(id, message),
            // An attacker's; nobody waits for an answer.
            _ => {}
        },
        Event::Closed(id) => {
            let reason = server.close_reason(id).map_or("unknown", |reason| reason.name());
            *reasons.entry(reason.to_owned()).or_default() += 1;
        }
    }
}

/// A server process at work, ended when dropped.
#[derive(Debug)]
pub struct Host {
    lines: Lines,
    address: SocketAddr,
}

impl Host {
    /// Starts `program serve 127.0.0.1:0`, followed by these words, on the server's processor.
    ///
    /// # Errors
    /// It cannot be started, or does not say where it listens.
    pub fn start(program: &Path, words: &[&str]) -> io::Result<Host> {
        let mut command = Place::Server.command(program);
        let lines = Lines::start(command.args(["serve", "127.0.0.1:0"]).args(words))?;
        let line = lines.next(SOON)?;
        let address = line.strip_prefix("listening ").and_then(|text| text.parse().ok());
        let address = address.ok_or_else(|| io::Error::other(format!("it said {line:?}")))?;
        Ok(Host { lines, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// It is gone.
    pub fn report(&mut self) -> io::Result<Report> {
        self.lines.tell("report")?;
        Report::parse(&self.lines.next(SOON)?)
    }

    /// Waits until nobody is left, for so long at most; the last report.
    ///
    /// # Errors
    /// It is gone.
    pub fn settled(&mut self, patience: Duration) -> io::Result<Report> {
        let mut left = patience;
        loop {
            let report = self.report()?;
            if report.is_empty() || left.is_zero() {
                return Ok(report);
            }
            thread::sleep(LOOK * 5);
            left = left.saturating_sub(LOOK * 5);
        }
    }
}
