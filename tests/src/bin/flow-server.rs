//! Sends numbered messages to whoever asks, and writes down what it receives:
//! `flow-server 0.0.0.0:0 --down 1x60x200 --seconds 30`.
//!
//! After a line `begin` on its input every client is told `begin` over the websocket, later ones
//! at once, and gets the messages of `--down` (burst x bursts a second x bytes), if there are
//! to be any, over the data channel for `--seconds`. Every message begins with its number and
//! the time in microseconds since 1970, 8 bytes each in little endian. Prints
//! `listening ADDRESS`, and then once a second as JSON what it sent to each client and received
//! from it, in the order in which they came (see `net_tests::real::Rows`), and its resident set
//! in KiB. It ends when its input does.
//!
//! `--plane stock` takes plain SCTP; `--congestion` is adaptive or simple, `--repair` off,
//! while-lossy or on; `--first-tsn` is the first TSN of the server. From the TCP address of
//! `--downloads` everybody gets bytes as fast as TCP can.

use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use std::{env, fs, io, process, thread};

use net::{Config, Event, EventQueue, PeerId, Server};
use net_tests::lab::Load;
use net_tests::plane::Plane;
use net_tests::real::{
    Rows, arguments, micros, parse_congestion, parse_load, parse_plane, parse_repair, send_all,
    serve_downloads,
};
use serde_json::{Value, json};

/// Between two lines.
const PERIOD: Duration = Duration::from_secs(1);

fn main() -> Result<(), Box<dyn Error>> {
    env_logger::init();
    let words: Vec<String> = env::args().skip(1).collect();
    let address = words.first().ok_or("flow-server ADDRESS [OPTIONS]")?;
    let options = Options::parse(&words[1..])?;
    let (server, queue) = Server::bind(address.as_str(), options.config.clone())?;
    options.downloads.as_deref().map_or(Ok(()), serve_downloads)?;
    println!("listening {}", server.local_addr());
    let ends = Ends { server, options, all: Arc::default() };
    let begins = ends.clone();
    thread::spawn(move || begins.obey());
    ends.run(&queue);
    Ok(())
}

/// What the command line says.
#[derive(Clone)]
struct Options {
    config: Config,
    down: Option<Load>,
    time: Duration,
    downloads: Option<String>,
}

impl Options {
    fn parse(words: &[String]) -> Result<Options, Box<dyn Error>> {
        let mut options = Options {
            config: Plane::Ours.server(),
            down: None,
            time: Duration::from_secs(30),
            downloads: None,
        };
        for (name, value) in arguments(words)? {
            let config = &mut options.config;
            match name {
                // First of all, for it decides about everything else.
                "--plane" => *config = parse_plane(value)?.server(),
                "--congestion" => config.congestion = parse_congestion(value)?,
                "--repair" => config.repair = parse_repair(value)?,
                "--first-tsn" => config.initial_tsn = Some(value.parse()?),
                "--down" => options.down = Some(parse_load(value)?),
                "--seconds" => options.time = Duration::from_secs(value.parse()?),
                "--downloads" => options.downloads = Some(value.to_owned()),
                _ => return Err(format!("no option {name}").into()),
            }
        }
        Ok(options)
    }
}

#[derive(Clone)]
struct Ends {
    server: Server,
    options: Options,
    all: Arc<Mutex<All>>,
}

/// Everybody, in the order in which they came.
#[derive(Default)]
struct All {
    begun: bool,
    rows: Vec<(PeerId, Rows)>,
}

impl Ends {
    /// Lets everybody begin when told to; ends the process with its input.
    fn obey(&self) {
        for line in io::stdin().lines().map_while(Result::ok) {
            match line.as_str() {
                "begin" => self.begin_all(),
                other => log::error!("only `begin` is understood, not {other:?}"),
            }
        }
        process::exit(0);
    }

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
            Event::Open(id) => self.open(id),
            Event::Closed(id) => log::warn!("{id} closed: {:?}", self.server.close_reason(id)),
            Event::Received(id, message) => self.note(id, |rows| rows.arrived(&message, now)),
        }
    }

    fn open(&self, id: PeerId) {
        let mut all = self.all();
        all.rows.push((id, Rows::default()));
        if all.begun {
            self.begin(id);
        }
    }

    fn begin_all(&self) {
        let mut all = self.all();
        all.begun = true;
        all.rows.iter().for_each(|(id, _)| self.begin(*id));
    }

    fn begin(&self, id: PeerId) {
        self.server.send_reliable(id, "begin");
        let ends = self.clone();
        thread::spawn(move || ends.send(id));
    }

    /// Sends to a client until it is gone.
    fn send(&self, id: PeerId) {
        let Options { down: Some(load), time, .. } = self.options else { return };
        send_all(load, time, |number, now, message| {
            self.note(id, |rows| rows.sent(number, now));
            self.server.send_unreliable(id, message);
            self.server.peer(id).is_some()
        });
    }

    fn note(&self, id: PeerId, note: impl FnOnce(&mut Rows)) {
        if let Some((_, rows)) = self.all().rows.iter_mut().find(|(other, _)| *other == id) {
            note(rows);
        }
    }

    fn tell(&self) {
        let rows = |(_, rows): &mut (PeerId, Rows)| rows.take();
        let clients: Vec<Value> = self.all().rows.iter_mut().map(rows).collect();
        println!("{}", json!({ "clients": clients, "rssKib": resident_kib() }));
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().expect("no holder panics")
    }
}

/// This process's resident set, 0 where it cannot be told.
fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
