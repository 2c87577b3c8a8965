//! A whole server, its clients and attackers in virtual time, with a seeded network between them.

mod raid;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use net::hub::{
    ConnectionId, Hub, Input as HubInput, NoVerdict, Output as HubOutput, Question, Transmit,
};
use net::{Accept, CloseReason, Config, Delivery, PeerId, PeerInfo, Refusal, Verdict};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use self::raid::{Blow, Raider};
use crate::agent::{Agent, Input, Manners, Output};
use crate::attack;
use crate::bottleneck::Bottleneck;
use crate::link::{Conditions, Direction, Fate, Link};
use crate::plane::Plane;

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
    /// Where its datagrams come from, as the server sees it.
    address: SocketAddr,
    up: Link,
    down: Link,
    cut: bool,
    heard: Vec<Heard>,
    wake: Option<Instant>,
}

/// Something on its way.
#[derive(Debug)]
enum Parcel {
    Up(usize, Vec<u8>),
    UpEnd(usize),
    Verdict(ConnectionId, Result<Verdict, NoVerdict>),
    Down(usize, Vec<u8>),
    DownEnd(usize),
    DatagramUp { source: SocketAddr, destination: SocketAddr, contents: Rc<[u8]> },
    DatagramDown { line: usize, transmit: Rc<Transmit> },
    Blow(usize, Blow),
}

/// See the [module's page](self).
#[derive(Debug)]
pub struct World {
    /// What time it is.
    pub now: Instant,
    /// What the server told, oldest first.
    pub seen: Vec<Seen>,
    /// What the server knew of each peer when it opened.
    pub infos: BTreeMap<PeerId, PeerInfo>,
    /// How long the application thinks about who may become a peer.
    pub thinks: Duration,
    hub: Hub,
    accept: Option<Accept>,
    lines: Vec<Line>,
    raiders: Vec<Raider>,
    parcels: BTreeMap<(Instant, u64), Parcel>,
    posted: u64,
    seed: u64,
    random: StdRng,
    conditions: Conditions,
    /// What the datagrams of all clients share, up and down.
    bottlenecks: [Option<Bottleneck>; 2],
    wake: Option<Instant>,
    /// Turns since time went on: a machine that asks for the present again and again would
    /// stop the world.
    turns: u32,
}

/// More than any honest machine takes at one instant.
const MOST_TURNS: u32 = 10_000;

fn server_address() -> SocketAddr {
    ([192, 0, 2, 1], 3000).into()
}

impl World {
    /// A server without clients. Everything that is decided by chance follows from `seed`.
    pub fn new(seed: u64, config: Config) -> World {
        World::announcing(seed, config, Vec::new())
    }

    /// The same, with these addresses in its offers.
    pub fn announcing(seed: u64, config: Config, announced: Vec<SocketAddr>) -> World {
        World {
            now: Instant::now(),
            seen: Vec::new(),
            infos: BTreeMap::new(),
            thinks: Duration::ZERO,
            accept: config.accept.clone(),
            hub: Hub::new(config, vec![server_address()], announced, Some(seed)),
            lines: Vec::new(),
            raiders: Vec::new(),
            parcels: BTreeMap::new(),
            posted: 0,
            seed,
            random: StdRng::seed_from_u64(seed),
            conditions: Conditions::default(),
            bottlenecks: [None, None],
            wake: None,
            turns: 0,
        }
    }

    /// A new client connects, one like an unmodified browser; gives its number.
    pub fn join(&mut self, manners: Manners) -> usize {
        self.join_as(manners, Plane::Stock)
    }

    /// The same with another data plane.
    pub fn join_as(&mut self, manners: Manners, plane: Plane) -> usize {
        let address = self.next_address();
        self.join_through(address, "/", &[], manners, plane)
    }

    /// Where the datagrams of the next client will come from.
    pub fn next_address(&self) -> SocketAddr {
        ([198, 51, 100, 1], 5_000 + self.lines.len() as u16).into()
    }

    /// A client whose websocket comes from this address, and asks for this path with these
    /// headers.
    pub fn join_through(
        &mut self,
        proxy: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
        manners: Manners,
        plane: Plane,
    ) -> usize {
        let number = self.lines.len();
        let address = self.next_address();
        let rtc = plane.client(address, Some(self.random.random()));
        self.lines.push(Line {
            agent: Agent::asking(self.now, path, headers, manners, rtc),
            connection: self.hub.accept(self.now, proxy),
            address,
            up: self.new_link(number, Direction::Up),
            down: self.new_link(number, Direction::Down),
            cut: false,
            heard: Vec::new(),
            wake: None,
        });
        self.collect();
        number
    }

    fn new_link(&self, number: usize, direction: Direction) -> Link {
        let mut link = Link::new(self.seed, number as u64, direction);
        link.conditions = self.conditions;
        link
    }

    /// Sets what the network does from now on, both ways, to present and future clients.
    pub fn shape(&mut self, conditions: Conditions) {
        self.conditions = conditions;
        for line in &mut self.lines {
            line.up.conditions = conditions;
            line.down.conditions = conditions;
        }
    }

    /// One direction of a client's network.
    pub fn link(&mut self, line: usize, direction: Direction) -> &mut Link {
        let line = &mut self.lines[line];
        match direction {
            Direction::Up => &mut line.up,
            Direction::Down => &mut line.down,
        }
    }

    /// Leads the datagrams of all clients in one direction through one bottleneck from now on,
    /// in place of their links' own; `None` takes it away.
    pub fn share(&mut self, direction: Direction, bottleneck: Option<Bottleneck>) {
        self.bottlenecks[direction as usize] = bottleneck;
    }

    /// What all clients share in one direction, if they do.
    pub fn shared(&mut self, direction: Direction) -> Option<&mut Bottleneck> {
        self.bottlenecks[direction as usize].as_mut()
    }

    /// The client's NAT forgets it: from now on its datagrams come from another address, and
    /// what is sent to the old one, or is on its way there, arrives nowhere.
    pub fn rebind(&mut self, line: usize) {
        let address = &mut self.lines[line].address;
        address.set_port(address.port() + 10_000);
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
        let at = self.lines[line].up.stream(self.now);
        self.post(at, Parcel::UpEnd(line));
        self.lines[line].cut = true;
    }

    /// The client's cable is pulled: nothing arrives any more, either way.
    pub fn cut(&mut self, line: usize) {
        self.lines[line].cut = true;
    }

    /// Takes what the server has told since the last time.
    pub fn take_seen(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.seen)
    }

    /// What a client has heard.
    pub fn heard(&self, line: usize) -> &[Heard] {
        &self.lines[line].heard
    }

    /// Takes what a client has heard since the last time.
    pub fn take_heard(&mut self, line: usize) -> Vec<Heard> {
        std::mem::take(&mut self.lines[line].heard)
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
        while self.turn(end) {}
    }

    /// Lets time pass until something happens; false, at `end`, if nothing did.
    ///
    /// # Panics
    /// If a machine wants to be woken without end and without time going on.
    pub fn turn(&mut self, end: Instant) -> bool {
        let next = self.next().filter(|next| *next <= end);
        let now = next.unwrap_or(end).max(self.now);
        self.turns = if now > self.now { 0 } else { self.turns + 1 };
        assert!(self.turns < MOST_TURNS, "a machine spins");
        self.now = now;
        if next.is_some() {
            self.step();
        }
        next.is_some()
    }

    fn next(&self) -> Option<Instant> {
        let parcel = self.parcels.first_key_value().map(|((at, _), _)| *at);
        let lines = self.lines.iter().filter(|line| !line.cut).filter_map(|line| line.wake);
        let raiders = self.raiders.iter().filter_map(|raider| raider.wake);
        lines.chain(raiders).chain(parcel).chain(self.wake).min()
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
        for raider in self.raiders.iter_mut().filter(|r| r.wake.is_some_and(|at| at <= now)) {
            raider.attacker.handle_input(now, attack::Input::Timeout);
        }
        self.collect();
    }

    fn deliver(&mut self, parcel: Parcel) {
        let now = self.now;
        match parcel {
            Parcel::Up(line, bytes) => self.up(line, |id| HubInput::Bytes(id, &bytes)),
            Parcel::UpEnd(line) => self.up(line, HubInput::End),
            Parcel::Verdict(id, verdict) => {
                self.hub.handle_input(now, HubInput::Verdict(id, &verdict));
            }
            Parcel::Down(line, bytes) => self.down(line, Input::Bytes(&bytes)),
            Parcel::DownEnd(line) => self.down(line, Input::End),
            Parcel::DatagramUp { source, destination, contents } => {
                let contents = &*contents;
                self.hub.handle_input(now, HubInput::Datagram { source, destination, contents });
            }
            Parcel::DatagramDown { line, transmit } => {
                if self.lines[line].address == transmit.destination {
                    self.down(line, Input::Datagram(transmit.source, &transmit.contents));
                }
            }
            Parcel::Blow(raider, blow) => self.strike(raider, blow),
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
        for raider in 0..self.raiders.len() {
            self.collect_raider(raider);
        }
    }

    fn collect_hub(&mut self) {
        loop {
            match self.hub.poll_output() {
                HubOutput::Timeout(wake) => return self.wake = wake,
                HubOutput::Open { id, info, .. } => {
                    self.seen.push(Seen::Open(id));
                    self.infos.insert(id, info);
                }
                HubOutput::Received { id, delivery, message } => {
                    self.seen.push(Seen::Received(id, delivery, message));
                }
                HubOutput::Closed { id, reason } => self.seen.push(Seen::Closed(id, reason)),
                HubOutput::Refused(refusal) => self.seen.push(Seen::Refused(refusal)),
                HubOutput::Ask(question) => self.ask(&question),
                HubOutput::Write(id) => self.write_down(id),
                HubOutput::Drop(id) => self.hang_up(id),
                HubOutput::Transmit(transmit) => self.transmit_down(transmit),
            }
        }
    }

    fn ask(&mut self, question: &Question) {
        let accept = self.accept.as_ref().expect("only who wants to be asked is");
        let verdict = accept.ask(&question.request);
        self.post(self.now + self.thinks, Parcel::Verdict(question.connection, verdict));
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
                Output::Transmit(transmit) => self.transmit_up(number, transmit),
            }
        }
    }

    fn write_up(&mut self, number: usize) {
        let now = self.now;
        let line = &mut self.lines[number];
        let mut all = Vec::new();
        while !line.agent.outgoing().is_empty() {
            let part = line.agent.outgoing().to_vec();
            line.agent.advance(now, part.len());
            all.extend(part);
        }
        if !all.is_empty() && !line.cut {
            let at = line.up.stream(now);
            self.post(at, Parcel::Up(number, all));
        }
    }

    fn write_down(&mut self, id: ConnectionId) {
        if self.write_to_raider(id) {
            return;
        }
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
        if !self.hang_up_raider(id) {
            self.post_down(id, Parcel::DownEnd);
        }
    }

    fn post_down(&mut self, id: ConnectionId, parcel: impl FnOnce(usize) -> Parcel) {
        let number = self.lines.iter().position(|line| line.connection == Some(id));
        let Some(number) = number else { return };
        let at = self.lines[number].down.stream(self.now);
        self.post(at, parcel(number));
    }

    fn transmit_down(&mut self, transmit: Transmit) {
        let to = self.lines.iter().position(|line| line.address == transmit.destination);
        let Some(line) = to else { return self.transmit_to_raider(transmit) };
        self.overhear(transmit.source, transmit.destination, &transmit.contents);
        let fate = self.cross(line, Direction::Down, transmit.contents.len());
        let transmit = Rc::new(transmit);
        for at in fate.arrivals() {
            self.post(at, Parcel::DatagramDown { line, transmit: transmit.clone() });
        }
    }

    fn transmit_up(&mut self, number: usize, transmit: Transmit) {
        let fate = self.cross(number, Direction::Up, transmit.contents.len());
        let (source, destination) = (self.lines[number].address, transmit.destination);
        self.overhear(source, destination, &transmit.contents);
        let contents: Rc<[u8]> = transmit.contents.into();
        for at in fate.arrivals() {
            let contents = contents.clone();
            self.post(at, Parcel::DatagramUp { source, destination, contents });
        }
    }

    fn cross(&mut self, number: usize, direction: Direction, size: usize) -> Fate {
        let line = &mut self.lines[number];
        let link = match direction {
            Direction::Up => &mut line.up,
            Direction::Down => &mut line.down,
        };
        match &mut self.bottlenecks[direction as usize] {
            Some(shared) => link.send_through(self.now, size, shared),
            None => link.send(self.now, size),
        }
    }

    fn post(&mut self, at: Instant, parcel: Parcel) {
        self.posted += 1;
        self.parcels.insert((at, self.posted), parcel);
    }
}
