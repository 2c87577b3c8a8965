//! A bad network between two machines: `lossy-link CLIENT SERVER --delay 20 --loss 0.05`.
//!
//! Makes two TUN devices of these names and carries IP packets between them. Each takes `--delay`
//! ms; UDP datagrams are lost by chance (`--loss`, 0 to 1) and pass a bottleneck of `--rate`
//! bytes a second with a queue of `--queue` bytes; what else there is, TCP above all, is only
//! delayed. Chance follows from `--seed`.
//!
//! Prints `ready` when both devices exist; they can then be moved to other machines, and
//! packets flow once they are up. Then prints a line of JSON for each datagram that it drops:
//! `{"dropped":[time, direction, number, bytes]}`, the time in microseconds since 1970; and when
//! the machine did not let it run for some time, `{"stalled":[time, milliseconds]}`. A line
//! `loss 0.1` on its input changes the loss from then on; it ends when its input does.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::env;
use std::error::Error;
use std::io::{self, BufRead};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use net_tests::link::{Conditions, Direction, Link, Loss, Rate};
use net_tests::real::{arguments, micros};
use net_tests::tun::{MTU, Tun, datagram};

/// How often to look whether the machine stalls, and by how much that has to be late to be told.
const LOOK: Duration = Duration::from_millis(10);
const STALL: Duration = Duration::from_millis(20);
/// How long to wait before a device that is down is asked again.
const DOWN: Duration = Duration::from_millis(20);

fn main() -> Result<(), Box<dyn Error>> {
    env_logger::init();
    let words: Vec<String> = env::args().skip(1).collect();
    let [client, server] = words.first_chunk().ok_or("lossy-link CLIENT SERVER [OPTIONS]")?;
    let options = Options::parse(&words[2..])?;
    let (client, server) = (Tun::new(client)?, Tun::new(server)?);
    let up = Lane::start(Direction::Up, &options, [client.clone(), server.clone()]);
    let down = Lane::start(Direction::Down, &options, [server, client]);
    thread::spawn(tell_stalls);
    println!("ready");
    for line in io::stdin().lock().lines() {
        match line?.strip_prefix("loss ").and_then(|share| share.parse().ok()) {
            Some(share) => [&up, &down].iter().for_each(|lane| lane.lose(share)),
            None => return Err("only `loss SHARE` is understood".into()),
        }
    }
    Ok(())
}

/// What the command line says.
#[derive(Clone, Copy)]
struct Options {
    conditions: Conditions,
    seed: u64,
}

impl Options {
    fn parse(words: &[String]) -> Result<Options, Box<dyn Error>> {
        let mut options = Options { conditions: Conditions::default(), seed: 1 };
        let mut rate = Rate { bytes_per_second: 0, queue_bytes: 64 * 1024 };
        for (name, value) in arguments(words)? {
            let conditions = &mut options.conditions;
            match name {
                "--delay" => {
                    conditions.delay = Duration::from_secs_f64(value.parse::<f64>()? / 1e3)
                }
                "--loss" => conditions.loss = Loss::Random(value.parse()?),
                "--rate" => rate.bytes_per_second = value.parse()?,
                "--queue" => rate.queue_bytes = value.parse()?,
                "--seed" => options.seed = value.parse()?,
                _ => return Err(format!("no option {name}").into()),
            }
        }
        options.conditions.rate = (rate.bytes_per_second > 0).then_some(rate);
        Ok(options)
    }
}

/// One direction.
#[derive(Clone)]
struct Lane {
    link: Arc<Mutex<Link>>,
}

impl Lane {
    fn start(direction: Direction, options: &Options, [from, to]: [Tun; 2]) -> Lane {
        let mut link = Link::new(options.seed, 0, direction);
        link.conditions = options.conditions;
        let lane = Lane { link: Arc::new(Mutex::new(link)) };
        let (sender, packets) = channel();
        let entrance = lane.clone();
        thread::spawn(move || entrance.take(&from, &sender));
        thread::spawn(move || deliver(&to, &packets));
        lane
    }

    fn lose(&self, share: f64) {
        self.link.lock().expect("no holder panics").conditions.loss = Loss::Random(share);
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
        let mut link = self.link.lock().expect("no holder panics");
        let Some(size) = datagram(packet) else { return vec![link.stream(now)] };
        let arrivals: Vec<_> = link.send(now, size).arrivals().collect();
        if let (true, Some(dropped)) = (arrivals.is_empty(), link.dropped().last()) {
            let direction = match dropped.direction {
                Direction::Up => "up",
                Direction::Down => "down",
            };
            let row = serde_json::json!([micros(), direction, dropped.number, size]);
            println!("{{\"dropped\":{row}}}");
        }
        arrivals
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
