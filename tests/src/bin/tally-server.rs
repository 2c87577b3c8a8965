//! A server for clients of other families of software, which knows what to expect of them:
//! `tally-server 203.0.113.1:0`.
//!
//! It sends back messages that begin with `reliable` and `unreliable` as they say, and counts
//! those of the form `numbered N ..`. After `begin COUNT RATE BYTES` it sends as many numbered
//! messages itself, over the data channel. To `tally` it answers over the websocket with
//! `tally {"arrived":..,"distinct":..,"unsent":..}`, the numbered messages that arrived, how many
//! numbers they had, and how many of its own it dropped before they left.
//!
//! Prints `listening ADDRESS`, and of each peer that is over a line of JSON: its id, why it
//! closed, how many messages it sent, and what was against the grammar `Open Received* Closed`.
//! It ends when its input does.

use std::collections::{BTreeMap, HashSet};
use std::error::Error;
use std::time::{Duration, Instant};
use std::{env, io, process, str, thread};

use net::{Event, PeerId, Server};
use serde_json::json;

const REST: Duration = Duration::from_millis(2);

fn main() -> Result<(), Box<dyn Error>> {
    env_logger::init();
    let address = env::args().nth(1).ok_or("tally-server ADDRESS")?;
    let (server, queue) = Server::bind(address.as_str(), net::Config::default())?;
    println!("listening {}", server.local_addr());
    thread::spawn(|| {
        io::stdin().lines().for_each(drop);
        process::exit(0);
    });
    let mut desk = Desk { server, peers: BTreeMap::new() };
    loop {
        for event in queue.wait(Duration::from_secs(60)) {
            desk.handle(event);
        }
    }
}

/// Everybody who was ever here.
struct Desk {
    server: Server,
    peers: BTreeMap<PeerId, Tally>,
}

/// What a peer has sent.
#[derive(Default)]
struct Tally {
    received: u64,
    arrived: u64,
    numbers: HashSet<u64>,
    over: bool,
    offences: Vec<&'static str>,
}

impl Desk {
    fn handle(&mut self, event: Event) {
        match event {
            Event::Open(id) => {
                let again = self.peers.insert(id, Tally::default()).is_some();
                self.expect(id, !again, "opened twice");
            }
            Event::Received(id, message) => self.received(id, &message),
            Event::Closed(id) => self.closed(id),
        }
    }

    /// Notes it if a peer's events are not as they should be.
    fn expect(&mut self, id: PeerId, holds: bool, offence: &'static str) {
        if !holds {
            self.peers.entry(id).or_default().offences.push(offence);
        }
    }

    fn received(&mut self, id: PeerId, message: &[u8]) {
        self.expect(id, self.peers.get(&id).is_some_and(|tally| !tally.over), "not open");
        let unsent = self.server.peer(id).map_or(0, |peer| peer.path_stats.dropped.total());
        let tally = self.peers.entry(id).or_default();
        tally.received += 1;
        let text = str::from_utf8(message).unwrap_or_default();
        match text.split_ascii_whitespace().collect::<Vec<_>>()[..] {
            ["reliable", ..] => self.server.send_reliable(id, message.to_vec()),
            ["unreliable", ..] => self.server.send_unreliable(id, message.to_vec()),
            ["numbered", number, ..] => tally.count(number),
            ["tally"] => self.server.send_reliable(id, format!("tally {}", tally.told(unsent))),
            ["begin", count, rate, bytes] => match [count, rate, bytes].map(str::parse) {
                [Ok(count), Ok(rate), Ok(bytes)] => self.begin(id, [count, rate, bytes]),
                _ => tally.offences.push("no numbers"),
            },
            _ => tally.offences.push("not understood"),
        }
    }

    fn closed(&mut self, id: PeerId) {
        self.expect(id, self.peers.get(&id).is_some_and(|tally| !tally.over), "closed twice");
        let reason = format!("{:?}", self.server.close_reason(id));
        let tally = self.peers.entry(id).or_default();
        tally.over = true;
        let (received, offences) = (tally.received, &tally.offences);
        let line = json!({
            "id": id.to_string(), "reason": reason, "received": received, "offences": offences,
        });
        println!("{line}");
    }

    /// Sends numbered messages until all are sent or the peer is gone.
    fn begin(&self, id: PeerId, [count, rate, bytes]: [usize; 3]) {
        let server = self.server.clone();
        thread::spawn(move || {
            let began = Instant::now();
            let mut number = 0;
            while number < count && server.peer(id).is_some() {
                let due = (began.elapsed().as_secs_f64() * rate as f64).ceil() as usize;
                while number < due.min(count) {
                    let words = format!("numbered {number} ");
                    server.send_unreliable(id, format!("{words:#<bytes$}"));
                    number += 1;
                }
                thread::sleep(REST);
            }
        });
    }
}

impl Tally {
    fn count(&mut self, number: &str) {
        match number.parse() {
            Ok(number) => {
                self.arrived += 1;
                self.numbers.insert(number);
            }
            Err(_) => self.offences.push("no number"),
        }
    }

    fn told(&self, unsent: u64) -> serde_json::Value {
        json!({ "arrived": self.arrived, "distinct": self.numbers.len(), "unsent": unsent })
    }
}
