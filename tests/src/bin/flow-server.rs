//! Sends numbered messages to whoever asks, and writes down what it receives:
//! `flow-server 0.0.0.0:0 --down 1x60x200 --seconds 30`.
//!
//! A client that sends `go` gets the messages of `--down` (burst x bursts a second x bytes), if
//! there are to be any, over the data channel for `--seconds`. Every message begins with its
//! number and the time in microseconds since 1970, 8 bytes each in little endian. Prints
//! `listening ADDRESS`, and then once a second what it sent and received, as JSON (see
//! `net_tests::real::Rows`), and its resident set in KiB. `--plane stock` takes plain SCTP;
//! `--first-tsn` is the first TSN of the server.

use std::env;
use std::error::Error;
use std::fs;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use net::{Config, DataPlane, Event, EventQueue, PeerId, Server};
use net_tests::lab::Load;
use net_tests::plane::Plane;
use net_tests::real::{Rows, arguments, micros, parse_load, send_all};

/// Between two lines.
const PERIOD: Duration = Duration::from_secs(1);

fn main() -> Result<(), Box<dyn Error>> {
    env_logger::init();
    let words: Vec<String> = env::args().skip(1).collect();
    let address = words.first().ok_or("flow-server ADDRESS [OPTIONS]")?;
    let options = Options::parse(&words[1..])?;
    let (server, queue) = Server::bind(address.as_str(), options.config.clone())?;
    println!("listening {}", server.local_addr());
    let rows = Arc::new(Mutex::new(Rows::default()));
    let ends = Ends { server, options, rows };
    ends.run(&queue);
    Ok(())
}

/// What the command line says.
#[derive(Clone)]
struct Options {
    config: Config,
    down: Option<Load>,
    time: Duration,
}

impl Options {
    fn parse(words: &[String]) -> Result<Options, Box<dyn Error>> {
        let (mut plane, mut first_tsn) = ("ours", None);
        let mut options =
            Options { config: Config::default(), down: None, time: Duration::from_secs(30) };
        for (name, value) in arguments(words)? {
            match name {
                "--plane" => plane = value,
                "--first-tsn" => first_tsn = Some(value.parse()?),
                "--down" => options.down = Some(parse_load(value)?),
                "--seconds" => options.time = Duration::from_secs(value.parse()?),
                _ => return Err(format!("no option {name}").into()),
            }
        }
        options.config = Config { first_tsn, ..config(plane)? };
        Ok(options)
    }
}

fn config(plane: &str) -> Result<Config, String> {
    match plane {
        "ours" => Ok(Plane::Ours.server()),
        "stock" => Ok(Config { data_plane: DataPlane::Sctp, ..Plane::Stock.server() }),
        _ => Err(format!("no plane {plane}")),
    }
}

struct Ends {
    server: Server,
    options: Options,
    rows: Arc<Mutex<Rows>>,
}

impl Ends {
    fn run(&self, queue: &EventQueue) {
        let mut tell_at = Instant::now() + PERIOD;
        loop {
            let events = queue.wait(tell_at.saturating_duration_since(Instant::now()));
            let now = micros();
            for event in events {
                self.handle(event, now);
            }
            if Instant::now() >= tell_at {
                self.tell();
                tell_at += PERIOD;
            }
        }
    }

    fn handle(&self, event: Event, now: u64) {
        match event {
            Event::Open(id) => log::info!("{id} opened"),
            Event::Closed(id) => log::warn!("{id} closed: {:?}", self.server.close_reason(id)),
            Event::Received(id, message) if *message == *b"go" => self.begin(id),
            Event::Received(_, message) => self.rows().arrived(&message, now),
        }
    }

    /// Sends to a client in a thread of its own, until it is gone.
    fn begin(&self, id: PeerId) {
        let Some(load) = self.options.down else { return };
        let Ends { server, options, rows } = self;
        let (server, rows, time) = (server.clone(), Arc::clone(rows), options.time);
        thread::spawn(move || {
            send_all(load, time, |number, now, message| {
                rows.lock().expect("no holder panics").sent(number, now);
                server.send_unreliable(id, message);
                server.peer(id).is_some()
            });
        });
    }

    fn tell(&self) {
        let mut rows = self.rows().take();
        rows["rssKib"] = resident_kib().into();
        println!("{rows}");
    }

    fn rows(&self) -> std::sync::MutexGuard<'_, Rows> {
        self.rows.lock().expect("no holder panics")
    }
}

/// This process's resident set, 0 where it cannot be told.
fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
