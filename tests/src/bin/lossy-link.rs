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
//! - `{"stalled":[time, milliseconds]}` when the machine did not let it run for some time;
//! - `{"done":[time, line]}` when it has done what a line of its input says;
//! - `{"packet":[time, direction, protocol, bytes, payload, passed]}` for each packet that
//!   enters it, once its input says `record`: the number of the protocol above IP, the bytes
//!   with all headers, the first bytes of what the datagram or TCP segment carries in
//!   hexadecimal digits, and whether it will leave the link.
//!
//! What its input says holds from then on: `loss 0.1`; `rate 125000` (0 is no bottleneck);
//! `cut datagrams`, `cut everything` or `cut nothing` of what enters; `map 192.0.2.9`: a NAT at
//! the client's end forgets how it mapped the addresses of the client's datagrams, and maps
//! them to others of this IP address; `record 32` tells so many bytes of each packet. `wait 100`
//! lets the next line wait for so many milliseconds. It ends when its input does.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::error::Error;
use std::io::{self, BufRead};
use std::str::FromStr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use std::{env, thread};

use net_tests::link::{Cause, Conditions, Direction, Link, Loss, Rate};
use net_tests::nat::Nat;
use net_tests::real::{Cut, arguments, micros};
use net_tests::tun::{MTU, Tun, datagram, payload};
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
    let nat = Arc::default();
    let lanes = [
        Lane::start(Direction::Up, &options, &nat, [client.clone(), server.clone()]),
        Lane::start(Direction::Down, &options, &nat, [server, client]),
    ];
    thread::spawn(tell_stalls);
    println!("ready");
    let told = lanes.clone();
    thread::spawn(move || tell_carried(&told));
    for line in io::stdin().lock().lines() {
        let line = line?;
        obey(&line, &mut options, &lanes, &nat)?;
        println!("{}", json!({ "done": [micros(), line] }));
        lanes.iter().for_each(Lane::tell);
    }
    Ok(())
}

/// Does what a line of the input says.
fn obey(
    line: &str,
    options: &mut Options,
    lanes: &[Lane],
    nat: &Mutex<Nat>,
) -> Result<(), Box<dyn Error>> {
    let (verb, object) = line.split_once(' ').ok_or("a verb and an object")?;
    match verb {
        "loss" => options.loss = object.parse()?,
        "rate" => options.rate.bytes_per_second = object.parse()?,
        "wait" => thread::sleep(Duration::from_millis(object.parse()?)),
        "cut" => options.cut = Cut::from_str(object)?,
        "record" => options.record = object.parse()?,
        "map" => nat.lock().expect("no holder panics").forget(object.parse()?),
        _ => return Err(format!("no verb {verb}").into()),
    }
    lanes.iter().for_each(|lane| lane.shape(options));
    Ok(())
}

/// What the command line says, and then the input.
#[derive(Clone, Copy)]
struct Options {
    delay: Duration,
    loss: f64,
    run_mean: Option<f64>,
    rate: Rate,
    /// The longest packet that passes, in bytes.
    max_packet: Option<usize>,
    seed: u64,
    cut: Cut,
    /// Bytes of each packet's payload that are told; 0: packets are not told at all.
    record: usize,
}

impl Options {
    fn parse(words: &[String]) -> Result<Options, Box<dyn Error>> {
        let rate = Rate { bytes_per_second: 0, queue_bytes: 64 * 1024 };
        let delay = Conditions::default().delay;
        let mut options = Options {
            delay,
            loss: 0.0,
            run_mean: None,
            rate,
            max_packet: None,
            seed: 1,
            cut: Cut::Nothing,
            record: 0,
        };
        for (name, value) in arguments(words)? {
            match name {
                "--delay" => options.delay = Duration::from_secs_f64(value.parse::<f64>()? / 1e3),
                "--loss" => options.loss = value.parse()?,
                "--run-mean" => options.run_mean = Some(value.parse()?),
                "--rate" => options.rate.bytes_per_second = value.parse()?,
                "--max-packet" => options.max_packet = Some(value.parse()?),
                "--queue" => options.rate.queue_bytes = value.parse()?,
                "--seed" => options.seed = value.parse()?,
                _ => return Err(format!("no option {name}").into()),
            }
        }
        Ok(options)
    }

    fn conditions(&self) -> Conditions {
        let share = self.loss;
        Conditions {
            delay: self.delay,
            loss: self.run_mean.map_or(Loss::Random(share), |mean| Loss::Runs { share, mean }),
            rate: (self.rate.bytes_per_second > 0).then_some(self.rate),
            max_packet: self.max_packet,
            ..Conditions::default()
        }
    }
}

/// One direction.
#[derive(Clone)]
struct Lane {
    direction: Direction,
    road: Arc<Mutex<Road>>,
    nat: Arc<Mutex<Nat>>,
}

/// What packets travel on, and the bytes that passed its bottleneck.
struct Road {
    link: Link,
    cut: Cut,
    record: usize,
    udp: u64,
    other: u64,
}

impl Lane {
    fn start(
        direction: Direction,
        options: &Options,
        nat: &Arc<Mutex<Nat>>,
        [from, to]: [Tun; 2],
    ) -> Lane {
        let mut link = Link::new(options.seed, 0, direction);
        link.conditions = options.conditions();
        let Options { cut, record, .. } = *options;
        let road = Arc::new(Mutex::new(Road { link, cut, record, udp: 0, other: 0 }));
        let lane = Lane { direction, road, nat: Arc::clone(nat) };
        let (sender, packets) = channel();
        let (entrance, exit) = (lane.clone(), lane.clone());
        thread::spawn(move || entrance.take(&from, &sender));
        thread::spawn(move || exit.deliver(&to, &packets));
        lane
    }

    fn shape(&self, options: &Options) {
        let mut road = self.road();
        road.link.conditions = options.conditions();
        road.cut = options.cut;
        road.record = options.record;
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
            let contents = &mut buffer[..length];
            if self.direction == Direction::Up {
                self.nat().outward(contents);
            }
            for due in self.decide(now, contents) {
                let packet = (due, number, contents.to_vec());
                packets.send(Reverse(packet)).expect("the other thread never ends");
            }
        }
    }

    fn decide(&self, now: Instant, packet: &[u8]) -> Vec<Instant> {
        let mut road = self.road();
        let arrivals = match datagram(packet) {
            Some(size) => self.carry(&mut road, now, size, packet.len()),
            None if road.cut == Cut::Everything => Vec::new(),
            None => {
                let arrival = road.link.packet(now, packet.len());
                road.other += arrival.map_or(0, |_| packet.len() as u64);
                arrival.into_iter().collect()
            }
        };
        if road.record > 0 {
            self.tell_packet(packet, road.record, !arrivals.is_empty());
        }
        arrivals
    }

    fn carry(&self, road: &mut Road, now: Instant, size: usize, whole: usize) -> Vec<Instant> {
        let mut arrivals: Vec<_> = road.link.send(now, size).arrivals().collect();
        let dropped = road.link.dropped().last().filter(|_| arrivals.is_empty());
        let mut cause = dropped.map(|dropped| dropped.cause);
        if road.cut != Cut::Nothing {
            arrivals.clear();
            cause = Some(Cause::Blackout);
        }
        let number = road.link.traffic().datagrams - 1;
        if cause != Some(Cause::Queue) {
            road.udp += whole as u64;
        }
        if let Some(cause) = cause {
            let row = json!([micros(), self.direction.name(), number, size, cause.name()]);
            println!("{}", json!({ "dropped": row }));
        }
        arrivals
    }

    /// Gives each packet out when it is due.
    fn deliver(&self, to: &Tun, packets: &Receiver<Packet>) {
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
                    _ = waiting.pop().map(|Reverse((_, _, bytes))| self.give(to, bytes));
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn give(&self, to: &Tun, mut packet: Vec<u8>) {
        if self.direction == Direction::Up || self.nat().inward(&mut packet) {
            // A device that is down takes nothing, as a cable that is not plugged in.
            let _down = to.send(&packet);
        }
    }

    fn tell(&self) {
        let road = self.road();
        let (offered, way) = (road.link.traffic(), self.direction.name());
        let row = json!([micros(), way, offered.datagrams, offered.bytes, road.udp, road.other]);
        println!("{}", json!({ "carried": row }));
    }

    fn tell_packet(&self, packet: &[u8], bytes: usize, passed: bool) {
        let (protocol, rest) = payload(packet).unwrap_or((0, packet));
        let hex: String = rest.iter().take(bytes).map(|byte| format!("{byte:02x}")).collect();
        let row = json!([micros(), self.direction.name(), protocol, packet.len(), hex, passed]);
        println!("{}", json!({ "packet": row }));
    }

    fn road(&self) -> MutexGuard<'_, Road> {
        self.road.lock().expect("no holder panics")
    }

    fn nat(&self) -> MutexGuard<'_, Nat> {
        self.nat.lock().expect("no holder panics")
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
