//! A bad network between two machines: `lossy-link CLIENT SERVER --delay 20 --loss 0.05`.
//!
//! Makes two TUN devices of these names and carries IP packets between them. Each takes `--delay`
//! ms and passes the one bottleneck of its direction: `--rate` bytes a second, IP headers
//! included, with a queue of `--queue` bytes that drops what does not fit. Behind it UDP
//! datagrams, and nothing else, are lost by chance: `--loss`, from 0 to 1, each for itself, or
//! with `--run-mean 3` in runs of three on average. Chance follows from `--seed`.
//!
//! Prints `ready` when both devices exist; they can then be moved to other machines, and
//! packets flow once they are up. Then prints lines of JSON, all times in microseconds since
//! 1970 and the direction `up` (from the client) or `down`:
//!
//! - `{"dropped":[time, direction, number, bytes, cause]}` for each datagram that it drops, by
//!   `chance` or for the `queue`;
//! - `{"carried":[time, direction, datagrams, bytes, udp, other]}` for each direction once a
//!   second and after each line of its input: how many datagrams it was asked to carry, their
//!   payload, and the bytes that passed the bottleneck with IP headers, UDP and all else; each
//!   since the start;
//! - `{"stalled":[time, milliseconds]}` when the machine did not let it run for some time.
//!
//! A line `loss 0.1` on its input changes the loss from then on, `rate 125000` the rate (0 is no
//! bottleneck); it ends when its input does.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::env;
use std::error::Error;
use std::io::{self, BufRead};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use net_tests::link::{Cause, Conditions, Direction, Link, Loss, Rate};
use net_tests::real::{arguments, micros};
use net_tests::tun::{MTU, Tun, datagram};
use serde_json::json;

/// Between two reports of what passed.
const PERIOD: Duration = Duration::from_secs(1);
/// How often to look whether the machine stalls, and by how much that has to be late to be told.
const LOOK: Duration = Duration::from_millis(10);
const STALL: Duration = Duration::from_millis(20);
/// How long to wait before a device that is down is asked again.
const DOWN: Duration = Duration::from_millis(20);

fn main() -> Result<(), Box<dyn Error>> {
    env_logger::init();
    let words: Vec<String> = env::args().skip(1).collect();
    let [client, server] = words.first_chunk().ok_or("lossy-link CLIENT SERVER [OPTIONS]")?;
    let mut options = Options::parse(&words[2..])?;
    let (client, server) = (Tun::new(client)?, Tun::new(server)?);
    let lanes = [
        Lane::start(Direction::Up, &options, [client.clone(), server.clone()]),
        Lane::start(Direction::Down, &options, [server, client]),
    ];
    thread::spawn(tell_stalls);
    println!("ready");
    let told = lanes.clone();
    thread::spawn(move || tell_carried(&told));
    for line in io::stdin().lock().lines() {
        options.change(&line?)?;
        for lane in &lanes {
            lane.shape(options.conditions());
            lane.tell();
        }
    }
    Ok(())
}

/// What the command line says, and then the input.
#[derive(Clone, Copy)]
struct Options {
    delay: Duration,
    loss: f64,
    run_mean: Option<f64>,
    rate: Rate,
    seed: u64,
}

impl Options {
    fn parse(words: &[String]) -> Result<Options, Box<dyn Error>> {
        let rate = Rate { bytes_per_second: 0, queue_bytes: 64 * 1024 };
        let delay = Conditions::default().delay;
        let mut options = Options { delay, loss: 0.0, run_mean: None, rate, seed: 1 };
        for (name, value) in arguments(words)? {
            match name {
                "--delay" => options.delay = Duration::from_secs_f64(value.parse::<f64>()? / 1e3),
                "--loss" => options.loss = value.parse()?,
                "--run-mean" => options.run_mean = Some(value.parse()?),
                "--rate" => options.rate.bytes_per_second = value.parse()?,
                "--queue" => options.rate.queue_bytes = value.parse()?,
                "--seed" => options.seed = value.parse()?,
                _ => return Err(format!("no option {name}").into()),
            }
        }
        Ok(options)
    }

    fn change(&mut self, line: &str) -> Result<(), Box<dyn Error>> {
        match line.split_once(' ') {
            Some(("loss", share)) => self.loss = share.parse()?,
            Some(("rate", bytes)) => self.rate.bytes_per_second = bytes.parse()?,
            _ => return Err("only `loss SHARE` and `rate BYTES` are understood".into()),
        }
        Ok(())
    }

    fn conditions(&self) -> Conditions {
        let share = self.loss;
        Conditions {
            delay: self.delay,
            loss: self.run_mean.map_or(Loss::Random(share), |mean| Loss::Runs { share, mean }),
            rate: (self.rate.bytes_per_second > 0).then_some(self.rate),
            ..Conditions::default()
        }
    }
}

/// One direction.
#[derive(Clone)]
struct Lane {
    direction: Direction,
    road: Arc<Mutex<Road>>,
}

/// What packets travel on, and the bytes that passed its bottleneck.
struct Road {
    link: Link,
    udp: u64,
    other: u64,
}

impl Lane {
    fn start(direction: Direction, options: &Options, [from, to]: [Tun; 2]) -> Lane {
        let mut link = Link::new(options.seed, 0, direction);
        link.conditions = options.conditions();
        let road = Arc::new(Mutex::new(Road { link, udp: 0, other: 0 }));
        let lane = Lane { direction, road };
        let (sender, packets) = channel();
        let entrance = lane.clone();
        thread::spawn(move || entrance.take(&from, &sender));
        thread::spawn(move || deliver(&to, &packets));
        lane
    }

    fn shape(&self, conditions: Conditions) {
        self.road().link.conditions = conditions;
    }

    /// Reads packets for ever and decides what becomes of each.
    fn take(&self, from: &Tun, packets: &Sender<Packet>) {
        let mut buffer = [0; MTU as usize];
        for number in 0.. {
            let Ok(length) = from.recv(&mut buffer) else {
                thread::sleep(DOWN);
                continue;
            };
            let now = Instant::now();
            for due in self.decide(now, &buffer[..length]) {
                let packet = (due, number, buffer[..length].to_vec());
                packets.send(Reverse(packet)).expect("the other thread never ends");
            }
        }
    }

    fn decide(&self, now: Instant, packet: &[u8]) -> Vec<Instant> {
        let mut road = self.road();
        match datagram(packet) {
            Some(size) => self.carry(&mut road, now, size, packet.len()),
            None => {
                let arrival = road.link.packet(now, packet.len());
                road.other += arrival.map_or(0, |_| packet.len() as u64);
                arrival.into_iter().collect()
            }
        }
    }

    fn carry(&self, road: &mut Road, now: Instant, size: usize, whole: usize) -> Vec<Instant> {
        let arrivals: Vec<_> = road.link.send(now, size).arrivals().collect();
        let dropped = road.link.dropped().last().filter(|_| arrivals.is_empty());
        let (number, cause) = match dropped {
            Some(dropped) => (dropped.number, Some(dropped.cause)),
            None => (0, None),
        };
        if cause != Some(Cause::Queue) {
            road.udp += whole as u64;
        }
        if let Some(cause) = cause {
            let row = json!([micros(), self.direction.name(), number, size, cause.name()]);
            println!("{}", json!({ "dropped": row }));
        }
        arrivals
    }

    fn tell(&self) {
        let road = self.road();
        let (offered, way) = (road.link.traffic(), self.direction.name());
        let row = json!([micros(), way, offered.datagrams, offered.bytes, road.udp, road.other]);
        println!("{}", json!({ "carried": row }));
    }

    fn road(&self) -> MutexGuard<'_, Road> {
        self.road.lock().expect("no holder panics")
    }
}

fn tell_carried(lanes: &[Lane]) {
    loop {
        thread::sleep(PERIOD);
        lanes.iter().for_each(Lane::tell);
    }
}

/// Says when a sleep takes much longer than it should.
fn tell_stalls() {
    loop {
        let before = Instant::now();
        thread::sleep(LOOK);
        let late = before.elapsed().saturating_sub(LOOK);
        if late >= STALL {
            println!("{{\"stalled\":[{},{}]}}", micros(), late.as_millis());
        }
    }
}

/// A packet on its way, the soonest first; numbers keep the order of those due at once.
type Packet = Reverse<(Instant, u64, Vec<u8>)>;

/// Gives each packet out when it is due.
fn deliver(to: &Tun, packets: &Receiver<Packet>) {
    let mut waiting = BinaryHeap::<Packet>::new();
    loop {
        let next = match waiting.peek() {
            Some(Reverse((due, ..))) => {
                packets.recv_timeout(due.saturating_duration_since(Instant::now()))
            }
            None => packets.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match next {
            Ok(packet) => waiting.push(packet),
            Err(RecvTimeoutError::Timeout) => {
                // A device that is down takes nothing, as a cable that is not plugged in.
                _ = waiting.pop().map(|Reverse((_, _, bytes))| to.send(&bytes));
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
