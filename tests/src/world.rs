//! A whole server and its clients in virtual time, with a seeded network between them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use net::hub::{ConnectionId, Hub, Input as HubInput, Output as HubOutput};
use net::{CloseReason, Config, Delivery, PeerId, Refusal};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::agent::{Agent, Input, Manners, Output};

/// What the network does to what it carries. TCP is delayed only; datagrams may also be lost
/// or, by their jitter, overtake one another.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// One way.
    pub delay: Duration,
    /// Added to a datagram's delay, anything between nothing and this.
    pub jitter: Duration,
    /// The share of datagrams that is lost, from 0 to 1.
    pub loss: f64,
}

impl Default for Link {
    fn default() -> Link {
        Link { delay: Duration::from_millis(20), jitter: Duration::ZERO, loss: 0.0 }
    }
}

/// What the application would have seen, or the log told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// `Event::Open`.
    Open(PeerId),
    /// `Event::Received`, and by which path.
    Received(PeerId, Delivery, Bytes),
    /// `Event::Closed`, and why.
    Closed(PeerId, CloseReason),
    /// A refusal.
    Refused(Refusal),
}

/// What a client heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Both paths are up.
    Open,
    /// A message arrived.
    Received(Delivery, Bytes),
    /// The websocket is over.
    Closed(u16, String),
}

/// One client's end of the network.
#[derive(Debug)]
struct Line {
    agent: Agent,
    connection: Option<ConnectionId>,
    address: SocketAddr,
    /// Bytes of a stream must not overtake one another.
    up_until: Instant,
    down_until: Instant,
    cut: bool,
    heard: Vec<Heard>,
    wake: Option<Instant>,
}

/// Something on its way.
#[derive(Debug)]
enum Parcel {
    Up(usize, Vec<u8>),
    UpEnd(usize),
    Down(usize, Vec<u8>),
    DownEnd(usize),
    DatagramUp { source: SocketAddr, destination: SocketAddr, contents: Vec<u8> },
    DatagramDown { line: usize, source: SocketAddr, contents: Vec<u8> },
}

/// See the [module's page](self).
#[derive(Debug)]
pub struct World {
    /// What time it is.
    pub now: Instant,
    /// What the network does; may be changed at any time.
    pub link: Link,
    /// What the server told, oldest first.
    pub seen: Vec<Seen>,
    hub: Hub,
    lines: Vec<Line>,
    parcels: BTreeMap<(Instant, u64), Parcel>,
    sent: u64,
    random: StdRng,
    wake: Option<Instant>,
}

fn server_address() -> SocketAddr {
    ([192, 0, 2, 1], 3000).into()
}

impl World {
    /// A server without clients. Everything that is decided by chance follows from `seed`.
    pub fn new(seed: u64, config: Config) -> World {
        World {
            now: Instant::now(),
            link: Link::default(),
            seen: Vec::new(),
            hub: Hub::new(config, vec![server_address()], Vec::new(), Some(seed)),
            lines: Vec::new(),
            parcels: BTreeMap::new(),
            sent: 0,
            random: StdRng::seed_from_u64(seed),
            wake: None,
        }
    }

    /// A new client connects; gives its number.
    pub fn join(&mut self, manners: Manners) -> usize {
        let number = self.lines.len();
        let address = SocketAddr::from(([198, 51, 100, 1], 5_000 + number as u16));
        let seed = Some(self.random.random());
        self.lines.push(Line {
            agent: Agent::new(self.now, address, "/", manners, seed),
            connection: self.hub.accept(self.now, address),
            address,
            up_until: self.now,
            down_until: self.now,
            cut: false,
            heard: Vec::new(),
            wake: None,
        });
        self.collect();
        number
    }

    /// Lets a client do something.
    pub fn act<T>(&mut self, line: usize, act: impl FnOnce(&mut Agent, Instant) -> T) -> T {
        let result = act(&mut self.lines[line].agent, self.now);
        self.collect();
        result
    }

    /// Lets the server do something.
    pub fn serve<T>(&mut self, act: impl FnOnce(&mut Hub, Instant) -> T) -> T {
        let result = act(&mut self.hub, self.now);
        self.collect();
        result
    }

    /// The client's process ends: its system closes the TCP connection, nothing else is said.
    pub fn kill(&mut self, line: usize) {
        let at = self.now + self.link.delay;
        let at = at.max(self.lines[line].up_until);
        self.post(at, Parcel::UpEnd(line));
        self.lines[line].cut = true;
    }

    /// The client's cable is pulled: nothing arrives any more, either way.
    pub fn cut(&mut self, line: usize) {
        self.lines[line].cut = true;
    }

    /// What a client has heard.
    pub fn heard(&self, line: usize) -> &[Heard] {
        &self.lines[line].heard
    }

    /// Whether the server has no connections left.
    pub fn is_empty(&self) -> bool {
        self.hub.is_empty()
    }

    /// Something between 0 and `below`, by the seed.
    pub fn choose(&mut self, below: u64) -> u64 {
        self.random.random_range(0..below)
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.next().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.step();
        }
        self.now = end;
    }

    fn next(&self) -> Option<Instant> {
        let parcel = self.parcels.first_key_value().map(|((at, _), _)| *at);
        let lines = self.lines.iter().filter(|line| !line.cut).filter_map(|line| line.wake);
        lines.chain(parcel).chain(self.wake).min()
    }

    fn step(&mut self) {
        let now = self.now;
        while let Some(first) = self.parcels.first_entry()
            && first.key().0 <= now
        {
            let parcel = first.remove();
            self.deliver(parcel);
            self.collect();
        }
        self.hub.handle_input(now, HubInput::Timeout);
        for line in self.lines.iter_mut().filter(|line| line.wake.is_some_and(|at| at <= now)) {
            line.agent.handle_input(now, Input::Timeout);
        }
        self.collect();
    }

    fn deliver(&mut self, parcel: Parcel) {
        let now = self.now;
        match parcel {
            Parcel::Up(line, bytes) => self.up(line, |id| HubInput::Bytes(id, &bytes)),
            Parcel::UpEnd(line) => self.up(line, HubInput::End),
            Parcel::Down(line, bytes) => self.down(line, Input::Bytes(&bytes)),
            Parcel::DownEnd(line) => self.down(line, Input::End),
            Parcel::DatagramUp { source, destination, contents } => {
                let contents = &contents[..];
                self.hub.handle_input(now, HubInput::Datagram { source, destination, contents });
            }
            Parcel::DatagramDown { line, source, contents } => {
                self.down(line, Input::Datagram(source, &contents));
            }
        }
    }

    fn up<'a>(&mut self, line: usize, input: impl FnOnce(ConnectionId) -> HubInput<'a>) {
        if let Some(id) = self.lines[line].connection {
            self.hub.handle_input(self.now, input(id));
        }
    }

    fn down(&mut self, line: usize, input: Input<'_>) {
        if !self.lines[line].cut {
            self.lines[line].agent.handle_input(self.now, input);
        }
    }

    /// Takes what everyone has to say and puts it on its way.
    fn collect(&mut self) {
        self.collect_hub();
        for line in 0..self.lines.len() {
            self.collect_line(line);
        }
    }

    fn collect_hub(&mut self) {
        loop {
            match self.hub.poll_output() {
                HubOutput::Timeout(wake) => return self.wake = wake,
                HubOutput::Open { id, .. } => self.seen.push(Seen::Open(id)),
                HubOutput::Received { id, delivery, message } => {
                    self.seen.push(Seen::Received(id, delivery, message));
                }
                HubOutput::Closed { id, reason } => self.seen.push(Seen::Closed(id, reason)),
                HubOutput::Refused(refusal) => self.seen.push(Seen::Refused(refusal)),
                HubOutput::Write(id) => self.write_down(id),
                HubOutput::Drop(id) => self.hang_up(id),
                HubOutput::Transmit(transmit) => {
                    let to = self.lines.iter().position(|l| l.address == transmit.destination);
                    let Some(line) = to else { continue };
                    let (source, contents) = (transmit.source, transmit.contents);
                    self.post_datagram(Parcel::DatagramDown { line, source, contents });
                }
            }
        }
    }

    fn collect_line(&mut self, number: usize) {
        self.write_up(number);
        loop {
            let line = &mut self.lines[number];
            match line.agent.poll_output() {
                Output::Timeout(wake) => return line.wake = wake,
                Output::Open => line.heard.push(Heard::Open),
                Output::Received(delivery, message) => {
                    line.heard.push(Heard::Received(delivery, message));
                }
                Output::Closed(code, words) => line.heard.push(Heard::Closed(code, words)),
                Output::Transmit(_) if line.cut => {}
                Output::Transmit(t) => self.post_datagram(Parcel::DatagramUp {
                    source: t.source,
                    destination: t.destination,
                    contents: t.contents,
                }),
            }
        }
    }

    fn write_up(&mut self, number: usize) {
        let (now, delay) = (self.now, self.link.delay);
        let line = &mut self.lines[number];
        let mut all = Vec::new();
        while !line.agent.outgoing().is_empty() {
            let part = line.agent.outgoing().to_vec();
            line.agent.advance(now, part.len());
            all.extend(part);
        }
        if !all.is_empty() && !line.cut {
            line.up_until = line.up_until.max(now + delay);
            let at = line.up_until;
            self.post(at, Parcel::Up(number, all));
        }
    }

    fn write_down(&mut self, id: ConnectionId) {
        let mut all = Vec::new();
        while !self.hub.outgoing(id).is_empty() {
            let part = self.hub.outgoing(id).to_vec();
            self.hub.advance(self.now, id, part.len());
            all.extend(part);
        }
        if !all.is_empty() {
            self.post_down(id, |number| Parcel::Down(number, all));
        }
    }

    fn hang_up(&mut self, id: ConnectionId) {
        self.post_down(id, Parcel::DownEnd);
    }

    fn post_down(&mut self, id: ConnectionId, parcel: impl FnOnce(usize) -> Parcel) {
        let number = self.lines.iter().position(|line| line.connection == Some(id));
        let Some(number) = number else { return };
        let line = &mut self.lines[number];
        line.down_until = line.down_until.max(self.now + self.link.delay);
        let at = line.down_until;
        self.post(at, parcel(number));
    }

    fn post_datagram(&mut self, parcel: Parcel) {
        let lost = self.random.random_bool(self.link.loss);
        let jitter = self.link.jitter.mul_f64(self.random.random());
        if !lost {
            self.post(self.now + self.link.delay + jitter, parcel);
        }
    }

    fn post(&mut self, at: Instant, parcel: Parcel) {
        self.sent += 1;
        self.parcels.insert((at, self.sent), parcel);
    }
}
